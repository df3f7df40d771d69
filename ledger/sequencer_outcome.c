/* From what the store said to answers: promote, keep, or take down. */
#include <assert.h>
#include <string.h>

#include "ledger/sequencer_state.h"
#include "ledger/scratch.h"

/* ---- answers ---- */

static void answer(struct sequencer *q, const struct seq_slot *s, size_t at,
                   const struct seq_output *out)
{
    const struct pending *p = &q->pending[q->order[at]];
    if (p->waiter_first == NONE)
        return;
    struct seq_result *r = &q->result;
    r->accepted = true;
    memset(&r->refusal, 0, sizeof r->refusal);
    r->record = q->sorted[at].r;
    r->path_count = merkle_batch_path(&s->merkle, r->record.index, r->path);
    for (uint32_t n = p->waiter_first; n != NONE; n = q->waiters[n].next) {
        struct waiter *w = &q->waiters[n];
        w->answered = true;
        r->token = w->token;
        r->duplicate = w->duplicate;
        out->result(out->context, r);
    }
}

/* A refusal that was held back stands if the records it rests on do. */
static void fill_refusal(const struct sequencer *q, const struct waiter *w,
                         struct refusal *out)
{
    const struct held_refusal *h = w->held == NONE ? NULL : &q->held[w->held];
    if (h != NULL && q->slot[h->slot].state == SEQ_SLOT_READY &&
        q->slot[h->slot].record_count == 0)
        *out = h->refusal;
    else
        *out = (struct refusal){.code = ERR_UNAVAILABLE,
                                .retry_after_ms = SEQ_RETRY_UNAVAILABLE_MS};
}

void refuse_waiters(struct sequencer *q, const struct seq_output *out)
{
    struct seq_result *r = &q->result;
    for (uint32_t i = 0; i < q->waiter_count; i++) {
        if (q->waiters[i].answered)
            continue;
        r->token = q->waiters[i].token;
        r->accepted = false;
        r->duplicate = false;
        r->path_count = 0;
        memset(&r->record, 0, sizeof r->record);
        fill_refusal(q, &q->waiters[i], &r->refusal);
        out->result(out->context, r);
    }
    q->waiter_count = 0;
    q->held_count = 0;
    for (uint32_t i = 0; i < q->pending_count; i++)
        q->pending[i].waiter_first = NONE;
}

/* ---- a slot that committed ---- */

static void report_settled(struct sequencer *q, uint32_t slot, size_t at,
                           const struct seq_output *out)
{
    const struct pending *p = &q->pending[q->order[at]];
    if (!p->settles)
        return;
    UNINITIALIZED struct channel_item item;
    uint32_t remaining = 0;
    if (p->bounced)
        q->stats.bounces++;
    else
        q->stats.credits++;
    if (!outbox_settle(q->outbox, p->settle_source, slot, &item, &remaining))
        return;
    struct seq_settled settled = {.cause = item.cause,
                                  .payee_index = item.payee_index,
                                  .bounced = p->bounced,
                                  .slot = slot,
                                  .index = q->sorted[at].r.index,
                                  .remaining = remaining};
    out->settled(out->context, &settled);
}

/* The partial tile of a level after the batch. */
static void advance_tile(struct seq_slot *s, unsigned level)
{
    const struct merkle_batch *m = &s->merkle;
    unsigned bottom = level * TILE_HEIGHT;
    uint64_t first = m->level_first[bottom];
    size_t count = m->level_count[bottom];
    const struct hash *nodes = m->nodes + m->level_at[bottom];
    if (count == 0)
        return;
    size_t width = (size_t)((first + count) & (TILE_HASHES - 1));
    size_t fresh =
        width < count ? width : count; /* those of the last tile that are new */
    memcpy(&s->tiles[level][width - fresh], nodes + count - fresh, fresh * sizeof *nodes);
}

static void promote(struct sequencer *q, const struct store_append *a,
                    const struct seq_output *out)
{
    struct seq_slot *s = &q->slot[a->slot];
    for (unsigned level = 0; level < TILE_LEVELS; level++)
        advance_tile(s, level);
    s->committed = s->merkle.after;
    memcpy(s->checkpoint, s->next_checkpoint, s->next_checkpoint_size);
    s->checkpoint_size = s->next_checkpoint_size;
    for (size_t i = 0; i < a->record_count; i++)
        answer(q, s, s->record_at + i, out);
    for (size_t i = 0; i < a->record_count; i++)
        report_settled(q, a->slot, s->record_at + i, out);
    struct seq_commit c = {.slot = a->slot,
                           .old_size = a->old_size,
                           .new_size = s->committed.size,
                           .records = a->records,
                           .checkpoint = bytes_of(s->checkpoint, s->checkpoint_size)};
    out->commit(out->context, &c);
    q->stats.records += a->record_count;
}

/* Items of a committed slot come under way after every settlement of the batch is
 * counted. */
static bool put_items(struct sequencer *q, const struct store_append *a)
{
    struct seq_slot *s = &q->slot[a->slot];
    size_t at = 0;
    for (size_t i = 0; i < a->record_count && at < a->item_count; i++) {
        const struct record *r = &a->records[i].r;
        size_t from = at;
        while (at < a->item_count && a->items[at].source_index == r->index)
            at++;
        if (at > from &&
            outbox_put(q->outbox, &a->items[from], at - from, r->hub_time_ms) != ERR_OK)
            return false;
    }
    assert(at == a->item_count);
    q->item_count -= s->item_count;
    s->item_count = 0;
    s->record_count = 0;
    s->first = s->last = NONE;
    return true;
}

/* ---- all of them ---- */

static enum err break_all(struct sequencer *q, const struct seq_output *out)
{
    q->stopped = q->broken = true;
    q->in_flight = q->full = false;
    for (uint32_t i = 0; i < q->slots; i++)
        slot_down(q, i, SEQ_SLOT_STOPPED);
    refuse_waiters(q, out);
    batch_reset(q);
    return ERR_IO;
}

static enum store_outcome verdict(const struct sequencer *q, const struct store_append *a,
                                  enum store_outcome said)
{
#ifdef STOA_BREAK_ACK_BEFORE_COMMIT
    said = STORE_COMMITTED;
#endif
    return q->slot[a->slot].state == SEQ_SLOT_READY ? said : STORE_LOST;
}

static void take_down(struct sequencer *q, uint32_t slot)
{
    enum seq_slot_state state = q->slot[slot].state;
    slot_down(q, slot, state == SEQ_SLOT_STOPPED ? state : SEQ_SLOT_DOWN);
}

enum err sequencer_outcome(struct sequencer *q, const enum store_outcome outcome[],
                           const struct seq_output *out)
{
    assert(q->in_flight);
    for (size_t i = 0; i < q->append_count; i++)
        if (outcome[i] == STORE_BROKEN)
            return break_all(q, out);

    size_t committed = 0;
    for (size_t i = 0; i < q->append_count; i++)
        if (verdict(q, &q->appends[i], outcome[i]) == STORE_COMMITTED) {
            promote(q, &q->appends[i], out);
            committed++;
        }
    size_t kept = 0;
    for (size_t i = 0; i < q->append_count; i++) {
        const struct store_append *a = &q->appends[i];
        enum store_outcome said = verdict(q, a, outcome[i]);
        if (said == STORE_FULL)
            q->appends[kept++] = *a;
        else if (said != STORE_COMMITTED || !put_items(q, a))
            take_down(q, a->slot);
    }
    q->append_count = kept;
    q->stats.batches += committed > 0;
    q->in_flight = false;
    refuse_waiters(q, out);
    q->full = kept > 0;
    for (uint32_t i = 0; i < q->slots; i++) /* stopped, with no records in the batch */
        if (q->slot[i].state == SEQ_SLOT_STOPPED && q->slot[i].log != NULL)
            slot_down(q, i, SEQ_SLOT_STOPPED);
    if (!q->full)
        batch_reset(q);
    settle_refresh(q);
    return ERR_OK;
}

void sequencer_drop(struct sequencer *q, const struct seq_output *out)
{
    assert(!q->in_flight);
    for (uint32_t i = 0; i < q->slots; i++)
        if (q->slot[i].record_count > 0)
            take_down(q, i);
    q->full = false;
    refuse_waiters(q, out);
    batch_reset(q);
    settle_refresh(q);
}
