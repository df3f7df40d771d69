/* How a followed slot advances: by a batch the bus carried, or by what the store has. Whatever
 * the way, the records are replayed under all rules, and nothing is shown that the log's key
 * did not sign. */
#include <stdlib.h>
#include <string.h>

#include "crypto/context.h"
#include "ledger/evidence.h"
#include "ledger/kinds.h"
#include "ledger/scratch.h"
#include "ledger/trace.h"
#include "relay/clock.h"
#include "relay/event.h"
#include "relay/evidence_file.h"
#include "relay/follow_internal.h"
#include "relay/region.h"

#define US_A_MS 1000

/* ---- records ---- */

/* What an entry does not say of itself: whose it is, and which of his. */
static enum err place(struct slotlog *log, struct store_record *s, struct entry *e)
{
    TRY(entry_decode(e, s->r.envelope.data, s->r.envelope.size));
    s->account = *entry_account(e);
    s->id = e->id;
    const struct account *a = slotlog_account(log, &s->account);
    bool hub = slotlog_kind_of_hub(e->kind);
    s->r.position = hub ? log->hub.position : a ? a->position : 0;
    return ERR_OK;
}

/* Who may read what is new is known before it is shown. */
static enum err take_readers(struct follow *f, struct slotlog *log,
                             const struct arrivals *a)
{
    for (size_t i = 0; i < a->count; i++) {
        const struct account *one = slotlog_account(log, &f->records[i].account);
        if (one && one->residency == RESIDENCY_PINNED)
            TRY(pinned_follow(&f->r->pinned, one));
    }
    return ERR_OK;
}

/* A store's record brings its position, and it must be the one that follows. */
static enum err replay(struct follow *f, const struct arrivals *a)
{
    struct slotlog *log = f->slots[a->slot].log;
    bool channels = false; /* something was sent to another slot, or settled */
    for (size_t i = 0; i < a->count; i++) {
        struct store_record *s = &f->records[i];
        const struct hash *leaf = a->leaves ? &a->leaves[i] : NULL;
        uint64_t told = s->r.position;
        UNINITIALIZED struct entry entry;
        enum err e = place(log, s, &entry);
        if (e != ERR_OK || (a->source == M_SOURCE_STORE && told != s->r.position))
            return e == ERR_VERSION || e == ERR_KIND_UNKNOWN || e == ERR_KIND_RESERVED
                       ? ERR_RULES_AHEAD
                       : ERR_CORRUPT;
        TRY(slotlog_replay_known(log, &s->r, &entry, leaf, &f->fx));
        channels = channels || f->fx.item_count > 0 || f->fx.settles;
    }
    if (channels)
        region_ring(f->r, a->slot);
    TRY(take_readers(f, log, a));
    metrics_count(f->r->metrics, METRIC_FOLLOWED, a->source, a->count);
    return ERR_OK;
}

/* ---- showing ---- */

static void time_lag(struct follow *f, const struct slotlog *log)
{
    uint64_t now = clock_wall_ms();
    uint64_t lag = now > log->hub_time_ms ? now - log->hub_time_ms : 0;
    metrics_observe(f->r->metrics, METRIC_FOLLOW_LAG, 0, lag * US_A_MS);
}

void follow_show(struct follow *f, uint32_t slot, tree_size old_size, struct bytes note,
                 bool all)
{
    const struct slotlog *log = f->slots[slot].log;
    struct hash root = frontier_root(&log->frontier);
    struct mail *m = mail_new(MAIL_EVENT, 0);
    if (m)
        m->event = event_new(slot, old_size, log->frontier.size, &root, note);
    if (m && !m->event) {
        mail_drop(m);
        m = NULL;
    }
    if (!m)
        trace_event(TRACE_ERROR, "follow.event_lost"); /* subscribers catch up later */
    else if (all && event_wanted(f->r))
        event_fill(m->event, f->r, f->records);
    highwater_set(&f->r->highwater, slot, log->frontier.size, &root);
    view_grow(f, slot, log->frontier.size, note, m);
}

/* ---- the bus ---- */

static enum err use_batch(struct follow *f, const struct bus_message *m)
{
    struct arrivals a = {.slot = m->slot,
                         .first = m->first,
                         .count = m->count,
                         .source = M_SOURCE_BUS,
                         .leaves = f->judged.leaves};
    struct mp_reader records = m->records;
    memset(f->records, 0, m->count * sizeof(*f->records));
    for (size_t i = 0; i < m->count; i++) {
        struct record *r = &f->records[i].r;
        bus_next_record(&records, r);
        r->slot = m->slot;
        r->index = m->first + i;
    }
    TRY(replay(f, &a));
    uint64_t now = clock_mono_ms();
    f->slots[m->slot].heard_ms = now;
    bus_follow(&f->bus, m->slot, &f->judged.after, now);
    follow_show(f, m->slot, m->first, m->note, true);
    time_lag(f, f->slots[m->slot].log);
    return ERR_OK;
}

/* Somebody has the log's key twice, or used it twice: the two notes stand alone as a proof. */
static void keep_fork(struct follow *f, uint32_t slot, const struct bus_message *m)
{
    struct buf file = {0};
    char name[EVIDENCE_NAME_MAX] = "", ours[CHECKPOINT_BYTES_MAX];
    if (f->slots[slot].forked_at == m->last)
        return; /* said and kept */
    f->slots[slot].forked_at = m->last;
    size_t size = view_note(f, slot, ours);
    enum err e = evidence_fork(&file, &f->r->log_vkeys[slot], bytes_of(ours, size), m->note,
                               NULL, 0);
    if (e == ERR_OK)
        e = evidence_file_keep(settings(f->r)->hub.state_dir, "fork",
                               bytes_of(file.data, file.size), name);
    buf_close(&file);
    trace(TRACE_ERROR, "follow.fork", TRACE_U64("slot", slot), TRACE_U64("size", m->last),
          TRACE_STR("why", "the bus brought our signature over another tree"),
          TRACE_STR("file", name), TRACE_ERR("kept", e));
}

enum err follow_hear(struct follow *f, uint32_t slot, struct bytes message)
{
    struct bus_message m;
    struct bus_heard *heard = &f->judged;
    heard->why = BUS_MALFORMED;
    if (bus_decode(&m, message))
        bus_hear(&f->bus, slot, &m, clock_mono_ms(), heard);
    metrics_count(f->r->metrics, METRIC_BUS_HEARD, heard->why, 1);
    if (heard->why == BUS_FORK)
        keep_fork(f, slot, &m);
    if (heard->why != BUS_USED)
        return ERR_OK; /* where there may be more, the store is asked in this turn */
    return use_batch(f, &m);
}

/* ---- the store ---- */

struct page {
    struct follow *f;
    size_t count;
    size_t at[FOLLOW_EVENT_RECORDS]; /* of each envelope in f->envelopes */
    bool failed;
};

/* Spans end with the call. */
static bool keep_record(void *context, const struct record *r, const struct hash *account)
{
    struct page *p = context;
    struct buf *b = &p->f->envelopes;
    struct store_record *s = &p->f->records[p->count];
    if (p->count > 0 && b->size + r->envelope.size > FOLLOW_EVENT_BYTES)
        return false;
    p->at[p->count] = b->size;
    p->failed = !buf_add(b, r->envelope.data, r->envelope.size);
    if (p->failed)
        return false;
    memset(s, 0, sizeof(*s));
    s->r = *r;
    s->account = *account;
    return ++p->count < FOLLOW_EVENT_RECORDS;
}

static enum err read_page(struct follow *f, uint32_t slot, tree_size from, tree_size end,
                          struct arrivals *a)
{
    struct page p = {.f = f};
    uint64_t max = end - from < FOLLOW_EVENT_RECORDS ? end - from : FOLLOW_EVENT_RECORDS;
    buf_clear(&f->envelopes);
    TRY(f->reader->ops->records(f->reader, slot, from, max, keep_record, &p));
    if (p.failed)
        return ERR_MEMORY;
    if (p.count == 0)
        return ERR_CORRUPT;
    for (size_t i = 0; i < p.count; i++)
        f->records[i].r.envelope.data = f->envelopes.data + p.at[i];
    *a = (struct arrivals){
        .slot = slot, .first = from, .count = p.count, .source = M_SOURCE_STORE};
    return ERR_OK;
}

/* The checkpoint must be the log key's, whatever else the store says. */
static enum err check_note(const struct follow *f, uint32_t slot,
                           const struct store_slot *at, struct checkpoint *c)
{
    return checkpoint_open(c, at->checkpoint, at->checkpoint_size,
                           &f->r->log_vkeys[slot]) &&
                   c->size == at->size
               ? ERR_OK
               : ERR_CORRUPT;
}

static enum err read_on(struct follow *f, uint32_t slot, const struct store_slot *at)
{
    struct slotlog *log = f->slots[slot].log;
    tree_size old_size = log->frontier.size;
    struct checkpoint c;
    struct arrivals a = {.count = 0};
    TRY(check_note(f, slot, at, &c));
    while (log->frontier.size < at->size) {
        TRY(read_page(f, slot, log->frontier.size, at->size, &a));
        TRY(replay(f, &a));
    }
    struct hash root = frontier_root(&log->frontier);
    if (!hash_equal(&root, &c.root))
        return ERR_CORRUPT;
    bus_follow(&f->bus, slot, &log->frontier, clock_mono_ms());
    follow_show(f, slot, old_size, bytes_of(at->checkpoint, at->checkpoint_size),
         a.first == old_size);
    time_lag(f, log);
    return ERR_OK;
}

/* A store that has less than was signed is a backup, or was set back: nothing of it is shown
 * until it has all of it again. */
void follow_see_behind(struct follow *f, uint32_t slot, tree_size size, tree_size shown)
{
    struct followed *s = &f->slots[slot];
    bool behind = size < shown;
    if (behind == s->behind)
        return;
    s->behind = behind;
    trace(behind ? TRACE_ERROR : TRACE_INFO, "follow.behind", TRACE_U64("slot", slot),
          TRACE_U64("store", size), TRACE_U64("shown", shown));
    if (behind)
        view_hide(f, slot);
}

enum err follow_look(struct follow *f, uint32_t slot)
{
    struct store_slot at;
    tree_size shown = view_size(f, slot); /* first: what was ours may still grow */
    metrics_count(f->r->metrics, METRIC_FOLLOW_LOOKS, 0, 1);
    enum err e = f->reader->ops->slot(f->reader, slot, &at);
    if (e != ERR_OK) {
        metrics_count(f->r->metrics, METRIC_STORE_ERRORS, M_OP_READ, 1);
        /* Asked again when the next poll is due. */
        (void)bus_looked(&f->bus, slot, 0, 0, clock_mono_ms());
        return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
    }
    f->slots[slot].heard_ms = clock_mono_ms();
    bool was_behind = f->slots[slot].behind;
    follow_see_behind(f, slot, at.size, shown);
    if (!bus_looked(&f->bus, slot, at.epoch, at.size, clock_mono_ms())) {
        /* The same log as before it went away. */
        return was_behind && !f->slots[slot].behind ? ERR_BEHIND : ERR_OK;
    }
    return read_on(f, slot, &at);
}
