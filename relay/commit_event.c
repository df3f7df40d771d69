/* What a commit means to others: an event for the loop, the set of pinned accounts. */
#include "relay/commit_internal.h"

#include <stdlib.h>
#include <string.h>

#include "ledger/trace.h"
#include "relay/clock.h"

static size_t block_room(const struct commit *c, const struct seq_commit *done)
{
    size_t room = 0;
    uint64_t count = done->new_size - done->old_size;
    for (uint64_t i = 0; i < count; i++) {
        const struct store_record *s = &done->records[i];
        room += WIRE_RECORD_OVERHEAD + s->r.envelope.size;
        if (pinned_is(&c->r->pinned, &s->account))
            room += WIRE_RECORD_OVERHEAD;
    }
    return room;
}

/* Encode each record once; a pinned one also without its envelope and place. */
static void encode_records(struct commit *c, struct event *e,
                           const struct seq_commit *done, size_t room)
{
    struct mp_writer w = mp_writer_of(e->block, room);
    for (size_t i = 0; i < e->count; i++) {
        const struct store_record *s = &done->records[i];
        struct event_record *out = &e->records[i];
        *out = (struct event_record){.account = s->account,
                                     .position = s->r.position,
                                     .at = (uint32_t)w.size,
                                     .pinned = pinned_is(&c->r->pinned, &s->account)};
        wire_put_record(&w, &s->r);
        out->size = (uint32_t)w.size - out->at;
        out->public_at = out->at;
        out->public_size = out->size;
        if (!out->pinned)
            continue;
        struct record withheld = s->r;
        withheld.position = 0;
        withheld.envelope = bytes_of(NULL, 0);
        e->any_pinned = true;
        out->public_at = (uint32_t)w.size;
        wire_put_record(&w, &withheld);
        out->public_size = (uint32_t)w.size - out->public_at;
    }
}

void event_committed(struct commit *c, const struct seq_commit *done)
{
    struct slotlog *log = sequencer_slotlog(c->q, done->slot);
    struct mail *m = mail_new(MAIL_EVENT, 0);
    struct event *e = calloc(1, sizeof(*e));
    if (!m || !e || !log) {
        mail_drop(m);
        event_drop(e);
        trace_event(TRACE_ERROR, "commit.event_lost"); /* subscribers catch up later */
        return;
    }
    e->slot = done->slot;
    e->old_size = done->old_size;
    e->new_size = done->new_size;
    e->time_ms = clock_wall_ms();
    e->root = frontier_root(&log->frontier);
    e->note_size = done->checkpoint.size;
    memcpy(e->note, done->checkpoint.data, done->checkpoint.size);
    highwater_set(&c->r->highwater, e->slot, e->new_size, &e->root);
    if (atomic_load_explicit(&c->r->subscriptions, memory_order_relaxed) > 0) {
        size_t room = block_room(c, done);
        e->count = (size_t)(done->new_size - done->old_size);
        e->records = malloc(e->count * sizeof(*e->records));
        e->block = malloc(room ? room : 1);
        if (e->records && e->block) {
            encode_records(c, e, done, room);
        } else { /* no memory: as if nobody had listened; they catch up */
            free(e->records);
            free(e->block);
            e->records = NULL;
            e->block = NULL;
            e->count = 0;
        }
    }
    m->event = e;
    links_add(&c->events, &m->link);
}

/* As a commit nobody listened to: subscribers read it from the store. Goes at once, since
 * from here on readers show it. */
void event_reloaded(struct commit *c, uint32_t slot)
{
    struct slotlog *log = sequencer_slotlog(c->q, slot);
    struct bytes note = sequencer_checkpoint(c->q, slot);
    struct mail *m = mail_new(MAIL_EVENT, 0);
    struct event *e = calloc(1, sizeof(*e));
    if (!m || !e || !log || note.size == 0) {
        mail_drop(m);
        event_drop(e);
        return; /* the next commit tells */
    }
    e->slot = slot;
    e->old_size = e->new_size = log->frontier.size;
    e->time_ms = clock_wall_ms();
    e->root = frontier_root(&log->frontier);
    e->note_size = note.size;
    memcpy(e->note, note.data, note.size);
    highwater_set(&c->r->highwater, slot, e->new_size, &e->root);
    m->event = e;
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
