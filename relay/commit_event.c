/* What a commit means to others: an event for the loop, the set of pinned accounts. */
#include "relay/commit_internal.h"

#include "ledger/trace.h"
#include "relay/bus_message.h"
#include "relay/event.h"
#include "relay/follow.h"

/* The loop is told by mail, which it gets when this thread says so. */
static struct mail *event_mail(struct commit *c, uint32_t slot, tree_size old_size,
                               struct bytes note)
{
    struct slotlog *log = sequencer_slotlog(c->q, slot);
    struct mail *m = mail_new(MAIL_EVENT, 0);
    if (m && log) {
        struct hash root = frontier_root(&log->frontier);
        highwater_set(&c->r->highwater, slot, log->frontier.size, &root);
        m->event = event_new(slot, old_size, log->frontier.size, &root, note);
    }
    if (m && !m->event) {
        mail_drop(m);
        m = NULL;
    }
    return m;
}

void event_committed(struct commit *c, const struct seq_commit *done)
{
    follow_own(c->r, done->slot, done->new_size, done->checkpoint);
    bus_message_add(c->r, &c->bus_out, sequencer_epoch(c->q, done->slot), done);
    struct mail *m = event_mail(c, done->slot, done->old_size, done->checkpoint);
    if (!m) {
        trace_event(TRACE_ERROR, "commit.event_lost"); /* subscribers catch up later */
        return;
    }
    if (event_wanted(c->r))
        event_fill(m->event, c->r, done->records);
    links_add(&c->events, &m->link);
}

/* As a commit nobody listened to: subscribers read it from the store. Goes at once, since
 * from here on readers show it. */
void event_reloaded(struct commit *c, uint32_t slot)
{
    struct slotlog *log = sequencer_slotlog(c->q, slot);
    struct bytes note = sequencer_checkpoint(c->q, slot);
    if (!log || note.size == 0)
        return;
    struct mail *m = event_mail(c, slot, log->frontier.size, note);
    if (!m)
        return; /* the next commit tells */
    follow_own(c->r, slot, log->frontier.size, note);
    relay_mail_one(c->r, m);
    atomic_store(&c->r->unsure[slot], false);
}

/* Before a record can be read from the store, the set knows whose it is. */
enum err pinned_prepare(struct commit *c, const struct store_append appends[],
                        size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct slotlog *log = sequencer_slotlog(c->q, appends[i].slot);
        for (size_t n = 0; log && n < appends[i].record_count; n++) {
            const struct account *a =
                slotlog_account(log, &appends[i].records[n].account);
            if (a && a->residency == RESIDENCY_PINNED)
                TRY(pinned_update(&c->r->pinned, a));
        }
    }
    return ERR_OK;
}

struct pinned_walk {
    struct pinned *pinned;
    enum err err;
};

static bool load_one(void *context, struct account *a)
{
    struct pinned_walk *walk = context;
    walk->err = pinned_update(walk->pinned, a);
    return walk->err == ERR_OK;
}

enum err pinned_load(struct commit *c, uint32_t slot)
{
    struct pinned_walk walk = {.pinned = &c->r->pinned, .err = ERR_OK};
    struct slotlog *log = sequencer_slotlog(c->q, slot);
    if (log)
        slotlog_each(log, load_one, &walk);
    return walk.err;
}
