/* Between batches: questions about committed state, snapshots, slots that come back. */
#include "relay/commit_internal.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/seal.h"
#include "ledger/trace.h"
#include "relay/clock.h"
#include "relay/region.h"

#define RELOAD_RETRY_MS 1000u

static void reply(struct commit *c, const struct request *q, struct frame *f)
{
    struct mail *m = mail_new(MAIL_SEND, q->conn);
    if (!m) {
        frame_drop(f);
        return;
    }
    m->frame = f;
    m->read = true;
    links_add(&c->mail, &m->link);
}

static void reply_error(struct commit *c, const struct request *q, enum err code,
                        uint64_t retry_after_ms)
{
    reply(c, q, frame_error(q->f.rid, code, retry_after_ms));
}

static void time_ask(struct commit *c, const struct request *q, enum metric_route route)
{
    metrics_observe(c->r->metrics, METRIC_REQUEST, METRIC_PAIR(route, M_CODE_OK),
                    clock_mono_us() - q->since_us);
}

/* What HEAD_IS says of an account. The hub's own has no balance, and one writer. */
static bool fill_head(struct slotlog *log, const struct request *q, struct wire_frame *f,
                      const struct chain **chain)
{
    const struct hub_account *h = &log->hub;
    const struct account *a = slotlog_account(log, &q->f.id);
    if (hash_equal(&h->id, &q->f.id)) {
        f->position = h->position;
        f->head = h->head;
        if (q->f.has_device && pubkey_equal(&q->f.device, &h->relay))
            *chain = &h->chain;
        return true;
    }
    if (!a)
        return false;
    f->position = a->position;
    f->head = a->head;
    f->balance = a->balance;
    if (q->f.has_device)
        *chain = account_chain(a, h, &q->f.device);
    return true;
}

static void ask_head(struct commit *c, const struct request *q)
{
    uint32_t slot = relay_slot_of(c->r, &q->f.id);
    struct slotlog *log = sequencer_slotlog(c->q, slot);
    if (!log || sequencer_tentative(c->q) || !region_fresh(c->r)) {
        reply_error(c, q, ERR_UNAVAILABLE, SEQ_RETRY_UNAVAILABLE_MS);
        return;
    }
    struct wire_frame f = {
        .type = WIRE_HEAD_IS, .rid = q->f.rid, .slot = slot, .size = log->frontier.size};
    const struct chain *chain = NULL;
    if (!fill_head(log, q, &f, &chain)) {
        reply_error(c, q, ERR_ACCOUNT_UNKNOWN, 0);
        return;
    }
    if (!pinned_may_read(&c->r->pinned, &q->f.id, q->has_device ? &q->device : NULL)) {
        reply_error(c, q, ERR_NOT_ALLOWED, 0);
        return;
    }
    if (chain) {
        f.has_chain = true;
        f.next_seq = chain->next_seq;
        f.tip = chain->tip;
        f.tip_lamport = chain->tip_lamport;
    }
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t size = head_message(message, &q->f.id, f.position, &f.head, log->hub.origin,
                               log->frontier.size);
    f.has_sig = true;
    f.sig = key_sign(c->r->keys.relay, CTX_HEAD, message, size);
    reply(c, q, frame_of(&f));
    time_ask(c, q, M_ROUTE_HEAD);
}

static void ask_settlement(struct commit *c, const struct request *q)
{
    struct wire_frame f = {.type = WIRE_SETTLEMENT_IS, .rid = q->f.rid};
    const struct cause *cause = causes_find(&c->causes, &q->f.id);
    uint32_t slot;
    uint64_t index;
    if (cause) {
        f.state = WIRE_SETTLE_PENDING;
        f.left = cause->left;
    } else if (c->recount) { /* what came in under a lost answer is not counted yet */
        reply_error(c, q, ERR_UNAVAILABLE, SEQ_RETRY_UNAVAILABLE_MS);
        return;
    } else {
        enum err e = c->reader->ops->find(c->reader, &q->f.id, &slot, &index);
        if (e != ERR_OK && e != ERR_NOT_FOUND) {
            reply_error(c, q, ERR_UNAVAILABLE, SEQ_RETRY_UNAVAILABLE_MS);
            return;
        }
        if (e == ERR_OK && !region_owns(c->r, slot)) { /* its owner knows */
            reply_error(c, q, ERR_UNAVAILABLE, SEQ_RETRY_UNAVAILABLE_MS);
            return;
        }
        f.state = e == ERR_OK ? WIRE_SETTLE_DONE : WIRE_SETTLE_UNKNOWN;
    }
    reply(c, q, frame_of(&f));
    time_ask(c, q, M_ROUTE_SETTLEMENT);
}

/* A reader has checked it against its entry's commitment. */
static void ask_seal(struct commit *c, const struct request *q)
{
    struct buf data = {0};
    enum err e = ERR_MEMORY;
    atomic_fetch_sub(&c->r->seals_waiting, 1u);
    if (atomic_load(&c->r->low_room) || sequencer_full(c->q)) {
        reply_error(c, q, ERR_UNAVAILABLE, SEQ_RETRY_UNAVAILABLE_MS);
        return;
    }
    if (buf_add(&data, q->f.salt.b, sizeof(q->f.salt.b)) &&
        buf_add(&data, q->f.data.data, q->f.data.size))
        e = c->r->store->ops->sealed_put(c->r->store, &q->f.id,
                                         bytes_of(data.data, data.size));
    buf_close(&data);
    if (e == ERR_OK || e == ERR_EXISTS) {
        reply(c, q, frame_of(&(struct wire_frame){.type = WIRE_OK, .rid = q->f.rid}));
        time_ask(c, q, M_ROUTE_SEALED);
        return;
    }
    metrics_count(c->r->metrics, METRIC_STORE_ERRORS, M_OP_SEALED, 1);
    if (e == ERR_IO || e == ERR_CORRUPT)
        relay_broken(c->r, "sealed", e);
    reply_error(c, q, ERR_UNAVAILABLE, SEQ_RETRY_UNAVAILABLE_MS);
}

void ask(struct commit *c, struct request *q)
{
    if (q->kind == REQUEST_STOP && !slot_held(c, q->slot)) {
        trace(TRACE_WARN, "commit.slot_gone", TRACE_U64("slot", q->slot)); /* meanwhile */
    } else if (q->kind == REQUEST_STOP) {
        trace(TRACE_ERROR, "commit.slot_stopped", TRACE_U64("slot", q->slot),
              TRACE_STR("why", "a client holds a checkpoint we signed and do not have"));
        sequencer_slot_stop(c->q, q->slot);
    } else if (q->kind == REQUEST_CHANNEL) {
        region_channels(c, q->channel);
    } else if (q->kind == REQUEST_SEAL) {
        ask_seal(c, q);
    } else {
        atomic_fetch_sub(&c->r->asks_waiting, 1u);
        if (q->f.type == WIRE_HEAD)
            ask_head(c, q);
        else
            ask_settlement(c, q);
    }
    request_drop(q);
}

/* Transfers that a restart finds under way: an item counts unless it is known to be
 * settled. */
static bool load_item(void *context, const struct channel_item *item)
{
    struct commit *c = context;
    uint64_t settled, end;
    if (sequencer_channel(c->q, item->source_slot, item->destination_slot, &settled,
                          &end) &&
        item->out_seq < settled)
        return true;
    struct cause *cause = causes_add(&c->causes, &item->cause);
    if (cause)
        cause->left++;
    return cause != NULL;
}

enum err causes_load(struct commit *c, uint32_t slot)
{
    return c->r->store->ops->outbox(c->r->store, slot, load_item, c);
}

/* Snapshots. */

struct parts {
    struct buf bytes;
    size_t count, cap;
    size_t *ends;
};

static bool add_part(void *context, struct bytes part)
{
    struct parts *p = context;
    if (p->count == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 16;
        size_t *more = realloc(p->ends, cap * sizeof(*more));
        if (!more)
            return false;
        p->ends = more;
        p->cap = cap;
    }
    if (!buf_add(&p->bytes, part.data, part.size))
        return false;
    p->ends[p->count++] = p->bytes.size;
    return true;
}

static enum err save_snapshot(struct commit *c, uint32_t slot, struct slotlog *log)
{
    struct parts p = {0};
    enum err e = slotlog_snapshot(log, c->r->keys.relay, add_part, &p);
    struct bytes *list = e == ERR_OK ? malloc((p.count + 1) * sizeof(*list)) : NULL;
    if (e == ERR_OK && !list)
        e = ERR_MEMORY;
    if (e == ERR_OK) {
        for (size_t i = 0, at = 0; i < p.count; at = p.ends[i++])
            list[i] = bytes_of(p.bytes.data + at, p.ends[i] - at);
        e = c->r->store->ops->snapshot_save(c->r->store, slot, log->frontier.size, list,
                                            p.count);
    }
    free(list);
    free(p.ends);
    buf_close(&p.bytes);
    return e;
}

void snapshot(struct commit *c, uint32_t slot, struct slotlog *log)
{
    uint64_t began = clock_mono_ms();
    enum err e = save_snapshot(c, slot, log);
    c->snapshot_size[slot] = log->frontier.size; /* failed too: not again at once */
    if (e == ERR_IO)
        relay_broken(c->r, "snapshot", e);
    else if (e != ERR_OK)
        metrics_count(c->r->metrics, METRIC_STORE_ERRORS, M_OP_SNAPSHOT, 1);
    trace(e == ERR_OK ? TRACE_DEBUG : TRACE_WARN, "snapshot.saved",
          TRACE_U64("slot", slot), TRACE_U64("size", log->frontier.size),
          TRACE_ERR("result", e), TRACE_MS("took", clock_mono_ms() - began));
}

/* One slot a cycle when it is due; with `all`, every slot that moved (at the end). */
void snapshots(struct commit *c, bool all)
{
    uint64_t every = settings(c->r)->commit.snapshot_every_records;
    for (uint32_t slot = 0; slot < c->r->slots && !c->r->memory; slot++) {
        struct slotlog *log = sequencer_slotlog(c->q, slot);
        if (!log || sequencer_tentative(c->q))
            continue;
        uint64_t grown = log->frontier.size - c->snapshot_size[slot];
        if (all ? grown <= 1 : grown < every)
            continue;
        snapshot(c, slot, log);
        if (!all || atomic_load(&c->r->exit_code) != 0)
            return;
    }
}

/* Settlements and transfers that became durable under a commit whose answer was lost were
 * reported to nobody (ledger/sequencer.h). With every slot loaded the stores tell what is
 * under way; before that an item's destination cannot say whether it settled it. */
static void causes_recount(struct commit *c)
{
    for (uint32_t slot = 0; slot < c->r->slots; slot++)
        if (slot_held(c, slot) && !sequencer_slotlog(c->q, slot))
            return;
    if (sequencer_tentative(c->q))
        return;
    causes_zero(&c->causes);
    c->ledger_size = 0;
    for (uint32_t slot = 0; slot < c->r->slots; slot++) {
        if (!slot_held(c, slot))
            continue;
        c->ledger_size += sequencer_slotlog(c->q, slot)->frontier.size;
        enum err e = causes_load(c, slot);
        if (e != ERR_OK) {
            trace(TRACE_WARN, "commit.recount", TRACE_U64("slot", slot),
                  TRACE_ERR("why", e));
            return; /* again in the next cycle */
        }
    }
    causes_sweep(&c->causes);
    c->recount = false;
}

/* Slots. */

static void reload(struct commit *c, uint32_t slot, uint64_t now_mono_ms)
{
    struct recover_mark mark = highwater_get(&c->r->highwater, slot);
    struct recover_report report = {.slot = slot};
    enum err e = recover_slot(c->q, &c->config, c->r->store, slot, &mark, &report);
    if (e == ERR_OK) {
        e = pinned_load(c, slot);
        if (e != ERR_OK) /* not served before it is known whose the records are; again later */
            sequencer_slot_release(c->q, slot);
    }
    if (e == ERR_OK) {
        event_reloaded(c, slot);
        c->recount = true;
        c->snapshot_size[slot] = report.snapshot_size;
    }
    bool usual = region_on(c->r) && (e == ERR_LOCKED || (e == ERR_OK && !c->introduced[slot]));
    trace(usual ? TRACE_DEBUG : e == ERR_OK ? TRACE_WARN : TRACE_ERROR, "recover.reload",
          TRACE_U64("slot", slot), TRACE_U64("size", report.size), TRACE_ERR("result", e),
          TRACE_STR("why", report.why));
    if (e == ERR_OK) { /* what other relays' slots sent it and settled is looked at anew */
        c->introduced[slot] = false;
        c->introduce_ms[slot] = 0;
    }
    if (e == ERR_IO) {
        relay_broken(c->r, "reload", e);
        return;
    }
    if ((e == ERR_BEHIND || e == ERR_CORRUPT) && region_doubts(c, slot))
        return;
    if (e == ERR_CORRUPT || e == ERR_BEHIND || e == ERR_RULES_AHEAD || e == ERR_FORK)
        sequencer_slot_stop(c->q, slot);
    if (e == ERR_LOCKED && region_on(c->r))
        region_doubt(c->r, slot);
    c->reload_ms[slot] = now_mono_ms + RELOAD_RETRY_MS;
}

void slots_reload(struct commit *c, uint64_t now_mono_ms)
{
    c->reloads = false;
    if (atomic_load(&c->r->write_state) == ERR_CLOCK)
        return; /* nothing is loaded again until a person has looked at the clock */
    for (uint32_t slot = 0; slot < c->r->slots && !c->reloads; slot++)
        if (slot_held(c, slot) && sequencer_slot_state(c->q, slot) == SEQ_SLOT_DOWN &&
            now_mono_ms >= c->reload_ms[slot] && atomic_load(&c->r->exit_code) == 0) {
            reload(c, slot, now_mono_ms);
            c->reloads = region_on(c->r); /* the others' batch goes before the next one */
        }
    if (c->recount && atomic_load(&c->r->exit_code) == 0)
        causes_recount(c);
}

/* What /readyz/write says. */
void write_state_refresh(struct commit *c)
{
    enum err was = (enum err)atomic_load(&c->r->write_state), is = ERR_OK;
    uint64_t accounts = 0;
    if (was == ERR_CLOCK || was == ERR_IO)
        return;
    for (uint32_t slot = 0; slot < c->r->slots; slot++) {
        struct slotlog *log = sequencer_slotlog(c->q, slot);
        accounts += log ? log->account_count : 0;
        if (sequencer_slot_state(c->q, slot) == SEQ_SLOT_STOPPED)
            is = ERR_BEHIND;
        else if (!log && is == ERR_OK && slot_shown(c, slot))
            is = ERR_UNAVAILABLE;
    }
    if (is == ERR_OK && !region_joined(c->r))
        is = ERR_UNAVAILABLE;
    if (is == ERR_OK && (sequencer_full(c->q) || atomic_load(&c->r->low_room)))
        is = ERR_STORE_FULL;
    if (is == ERR_OK && atomic_load(&c->r->store_away))
        is = ERR_STORE;
    struct seq_stats stats;
    sequencer_stats(c->q, &stats);
    struct metrics *m = c->r->metrics;
    metrics_set(m, METRIC_ACCOUNTS, 0, (int64_t)accounts);
    metrics_set(m, METRIC_LEDGER_SIZE, 0, (int64_t)c->ledger_size);
    metrics_set(m, METRIC_CHECKPOINT_SIZE, 0, (int64_t)c->ledger_size);
    metrics_set(m, METRIC_CHANNEL_ITEMS, 0, (int64_t)stats.items_waiting);
    metrics_set(m, METRIC_QUEUE, M_QUEUE_OUTBOX, (int64_t)stats.items_waiting);
    if (is == was)
        return;
    trace(is == ERR_OK ? TRACE_INFO : TRACE_WARN, "commit.write_state",
          TRACE_ERR("now", is));
    atomic_store(&c->r->write_state, (int)is);
}
