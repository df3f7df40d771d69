/* Credits and bounces: every item that is due is settled by exactly one record of its
 * destination slot, written and signed here. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "ledger/sequencer_state.h"
#include "ledger/scratch.h"

#define PAYLOAD_BYTES_MAX 512

void settle_refresh(struct sequencer *q)
{
    q->settle_due = 0;
    for (uint32_t d = 0; d < q->slots; d++)
        if (outbox_due(q->outbox, d) > 0 && slot_may_settle(q, d))
            q->settle_due += outbox_due(q->outbox, d);
}

/* What both payloads say about the item. */
static void fill_credit(struct p_credit *p, const struct channel_item *item,
                        const char *source)
{
    *p = (struct p_credit){.cause = item->cause,
                           .payee_index = item->payee_index,
                           .amount = item->amount,
                           .source = bytes_of(source, strlen(source)),
                           .source_index = item->source_index,
                           .out_seq = item->out_seq,
                           .source_lamport = item->source_lamport};
}

struct hub_entry {
    const struct hash *account;
    const struct chain *chain;
    uint64_t kind;
};

/* Build, sign and admit the entry whose payload stands in q->payload. */
static enum err write_entry(struct sequencer *q, struct seq_slot *s,
                            const struct hub_entry *h, uint64_t now_ms)
{
    UNINITIALIZED uint8_t payload[PAYLOAD_BYTES_MAX];
    UNINITIALIZED uint8_t envelope[HUB_ENTRY_BYTES_MAX];
    struct mp_writer w = mp_writer_of(payload, sizeof payload);
    payload_encode(&w, &q->payload);
    assert(!w.full);
    struct entry_draft d = {.account = h->account,
                            .seq = h->chain->next_seq,
                            .prev = &h->chain->tip,
                            .lamport = h->chain->tip_lamport + 1,
                            .time_ms = now_ms,
                            .kind = h->kind,
                            .payload = bytes_of(payload, w.size)};
    size_t size;
    TRY(entry_build(&d, q->relay, envelope, sizeof envelope, &size));
    TRY(entry_decode(&q->entry, envelope, size));
    struct pending *p;
    return batch_admit(q, s, &q->entry, now_ms, &p);
}

static enum err write_credit(struct sequencer *q, struct seq_slot *s,
                             const struct account *a, const struct channel_item *item,
                             const char *source, uint64_t now_ms)
{
    q->payload.kind = KIND_CREDIT;
    fill_credit(&q->payload.credit, item, source);
    q->payload.credit.reason = item->is_return ? CREDIT_RETURN : CREDIT_PAYMENT;
    struct hub_entry h = {.account = &a->id, .chain = &a->hub, .kind = KIND_CREDIT};
    return write_entry(q, s, &h, now_ms);
}

static enum err write_bounce(struct sequencer *q, struct seq_slot *s,
                             enum bounce_reason reason, const struct channel_item *item,
                             const char *source, uint64_t now_ms)
{
    q->payload.kind = KIND_BOUNCE;
    struct p_bounce *p = &q->payload.bounce;
    fill_credit(&p->item, item, source);
    p->item.reason = reason;
    p->payer = item->payer;
    p->payee = item->payee;
    struct hub_entry h = {
        .account = &s->log->hub.id, .chain = &s->log->hub.chain, .kind = KIND_BOUNCE};
    return write_entry(q, s, &h, now_ms);
}

static enum err settle_item(struct sequencer *q, struct seq_slot *s,
                            const struct channel_item *item, uint64_t now_ms)
{
    UNINITIALIZED char source[NOTE_NAME_MAX + 1];
    snprintf(source, sizeof source, "%s/%02x", s->log->hub.hub,
             (unsigned)item->source_slot);
    const struct account *a = slotlog_account(s->log, &item->payee);
    if (!item->is_return && a == NULL)
        return write_bounce(q, s, BOUNCE_UNKNOWN, item, source, now_ms);
    if (!item->is_return && a->balance > BALANCE_MAX - item->amount)
        return write_bounce(q, s, BOUNCE_OVERFLOW, item, source, now_ms);
    /* A return never bounces: its payee paid it once, so it exists and has room for it.
     */
    return a == NULL ? ERR_BUG : write_credit(q, s, a, item, source, now_ms);
}

static bool has_room(const struct sequencer *q)
{
    return q->pending_count < SEQ_BATCH_ENTRIES_MAX &&
           q->bytes + HUB_ENTRY_BYTES_MAX <= SEQ_BATCH_BYTES_MAX &&
           q->item_count < SEQ_BATCH_ITEMS_MAX;
}

/* Settle what is due between two slots; false when the batch or memory is full. An item
 * that the rules refuse to settle stays first in its queue, its age shows in the
 * statistics, and its slot settles nothing more: our state is not what we think. */
static bool settle_pair(struct sequencer *q, uint32_t source, uint32_t destination,
                        uint64_t now_ms)
{
    struct seq_slot *s = &q->slot[destination];
    for (;;) {
        const struct channel_item *item = outbox_next(q->outbox, source, destination);
        if (item == NULL)
            return true;
        if (!has_room(q))
            return false;
        enum err err = settle_item(q, s, item, now_ms);
        if (err == ERR_MEMORY)
            return false;
        if (err != ERR_OK) {
            s->settle_blocked = true;
            return true;
        }
        outbox_take(q->outbox, source, destination);
    }
}

/* Pairs take turns: the next batch starts where this one had no room left. */
void settle_write(struct sequencer *q, uint64_t now_ms)
{
    if (q->settle_due == 0)
        return;
    uint64_t pairs = (uint64_t)q->slots * q->slots;
    uint64_t turn = q->settle_turn % pairs;
    for (uint64_t n = 0; n < pairs;) {
        uint32_t destination = (uint32_t)(turn / q->slots);
        uint32_t source = (uint32_t)(turn % q->slots);
        uint64_t step = 1;
        if (outbox_due(q->outbox, destination) == 0 || !slot_may_settle(q, destination))
            step = q->slots - source; /* nothing for this destination */
        else if (!settle_pair(q, source, destination, now_ms))
            break;
        n += step;
        turn = (turn + step) % pairs;
    }
    q->settle_turn = turn;
    settle_refresh(q);
}
