/* From a checked entry to a pending record of the batch. */
#include <assert.h>
#include <string.h>

#include "ledger/sequencer_state.h"

/* ---- the ids and the accounts of the batch ---- */

static size_t cell_of(const struct sequencer *q, const struct hash *id)
{
    uint64_t x;
    memcpy(&x, id->b, sizeof x);
    x = (x ^ q->id_seed) * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(x >> 32) & (ID_CELLS - 1);
}

static struct pending *id_find(const struct sequencer *q, const struct hash *id)
{
    for (size_t i = cell_of(q, id); q->ids[i] != 0; i = (i + 1) & (ID_CELLS - 1)) {
        struct pending *p = &q->pending[q->ids[i] - 1];
        if (hash_equal(&p->stored.id, id))
            return p;
    }
    return NULL;
}

/* The cell where the account stands, or would. */
static size_t account_cell(const struct sequencer *q, const struct hash *account)
{
    size_t i = cell_of(q, account);
    while (q->accounts[i] != 0 &&
           !hash_equal(&q->pending[q->accounts[i] - 1].stored.account, account))
        i = (i + 1) & (ID_CELLS - 1);
    return i;
}

static void tables_add(struct sequencer *q, struct pending *p)
{
    uint32_t number = (uint32_t)(p - q->pending) + 1;
    size_t i = cell_of(q, &p->stored.id);
    while (q->ids[i] != 0)
        i = (i + 1) & (ID_CELLS - 1);
    q->ids[i] = number;
    p->cell = (uint32_t)i;
    i = account_cell(q, &p->stored.account);
    if (q->accounts[i] == 0) {
        q->accounts[i] = number;
        p->account_cell = (uint32_t)i;
    }
}

static void tables_drop(struct sequencer *q, const struct pending *p)
{
    if (p->cell != NONE)
        q->ids[p->cell] = 0;
    if (p->account_cell != NONE)
        q->accounts[p->account_cell] = 0;
}

/* ---- the batch ---- */

void batch_reset(struct sequencer *q)
{
    for (uint32_t i = 0; i < q->pending_count; i++)
        tables_drop(q, &q->pending[i]);
    for (uint32_t i = 0; i < q->slots; i++) {
        struct seq_slot *s = &q->slot[i];
        s->first = s->last = NONE;
        s->record_count = 0;
        s->item_count = 0;
    }
    q->pending_count = 0;
    q->waiter_count = 0;
    q->held_count = 0;
    q->item_count = 0;
    q->bytes = 0;
    q->append_count = 0;
    arena_reset(&q->arena);
}

static bool items_reserve(struct sequencer *q, struct seq_slot *s, size_t more)
{
    if (s->item_count + more <= s->item_cap)
        return true;
    size_t cap =
        s->item_cap * 2 > s->item_count + more ? s->item_cap * 2 : s->item_count + more;
    struct channel_item *items = q->mem->resize(
        q->mem->context, s->items, s->item_cap * sizeof *items, cap * sizeof *items);
    if (items == NULL)
        return false;
    s->items = items;
    s->item_cap = cap;
    return true;
}

enum err batch_admit(struct sequencer *q, struct seq_slot *s, const struct entry *e,
                     uint64_t now_ms, struct pending **out)
{
    assert(q->pending_count < SEQ_BATCH_ENTRIES_MAX);
    /* Everything that can fail for want of memory comes before the state changes. */
    bool puts = e->kind == KIND_TRANSFER || e->kind == KIND_BOUNCE;
    if (puts && !items_reserve(q, s, PAYEES_MAX))
        return ERR_MEMORY;
    size_t size = e->envelope.size;
    struct arena_mark mark = arena_mark(&q->arena);
    uint8_t *copy = arena_take(&q->arena, size);
    if (copy == NULL)
        return ERR_MEMORY;
    struct pending *p = &q->pending[q->pending_count];
    enum err err = slotlog_admit(s->log, e, now_ms, &p->stored.r, &q->effects);
    if (err != ERR_OK) {
        arena_rewind(&q->arena, mark);
        return err;
    }
    memcpy(copy, e->envelope.data, size);
    p->stored.r.envelope = bytes_of(copy, size);
    p->stored.account = *entry_account(e);
    p->stored.id = e->id;
    p->stored.leaf_hash = s->log->leaf;
    p->next = p->waiter_first = p->waiter_last = NONE;
    p->cell = p->account_cell = NONE;
    p->settles = q->effects.settles;
    p->bounced = q->effects.bounced;
    p->settle_source = q->effects.settle_source;
    p->settle_seq = q->effects.settle_seq;
    if (q->effects.item_count > 0) {
        assert(s->item_count + q->effects.item_count <= s->item_cap);
        memcpy(&s->items[s->item_count], q->effects.items,
               q->effects.item_count * sizeof q->effects.items[0]);
        s->item_count += q->effects.item_count;
        q->item_count += q->effects.item_count;
    }
    uint32_t at = q->pending_count++;
    if (s->first == NONE)
        s->first = at;
    else
        q->pending[s->last].next = at;
    s->last = at;
    s->record_count++;
    q->bytes += size;
    *out = p;
    return ERR_OK;
}

static uint32_t add_waiter(struct sequencer *q, uint64_t token, bool duplicate)
{
    assert(q->waiter_count < SEQ_BATCH_WAITERS_MAX);
    q->waiters[q->waiter_count] = (struct waiter){
        .token = token, .next = NONE, .duplicate = duplicate, .held = NONE};
    return q->waiter_count++;
}

static void wait_for(struct sequencer *q, struct pending *p, uint64_t token,
                     bool duplicate)
{
    uint32_t at = add_waiter(q, token, duplicate);
    if (p->waiter_first == NONE)
        p->waiter_first = at;
    else
        q->waiters[p->waiter_last].next = at;
    p->waiter_last = at;
}

/* ---- refusing ---- */

static enum seq_disposition refuse(struct refusal *r, enum err code)
{
    r->code = code;
    if (code == ERR_BUSY)
        r->retry_after_ms = SEQ_RETRY_BUSY_MS;
    else if (code == ERR_UNAVAILABLE)
        r->retry_after_ms = SEQ_RETRY_UNAVAILABLE_MS;
    return SEQ_REFUSED;
}

static void fill_head(struct refusal *r, const struct chain *c)
{
    if (c == NULL)
        return;
    r->has_head = true;
    r->next_seq = c->next_seq;
    r->tip = c->tip;
    r->tip_lamport = c->tip_lamport;
}

/* Does what was refused rest on records of this batch? Those of the account itself, of
 * the hub account (keys), and for the slot's sums any. */
static bool is_tentative(const struct sequencer *q, const struct seq_slot *s,
                         const struct entry *e, enum err code)
{
    if (s->record_count == 0)
        return false;
    return code == ERR_SUPPLY || q->accounts[account_cell(q, entry_account(e))] != 0 ||
           q->accounts[account_cell(q, &s->log->hub.id)] != 0;
}

/* Say so when the batch is committed. */
static enum seq_disposition hold_back(struct sequencer *q, const struct seq_slot *s,
                                      uint64_t token, struct refusal *r)
{
    if (q->waiter_count == SEQ_BATCH_WAITERS_MAX ||
        q->held_count == SEQ_BATCH_REFUSALS_MAX) {
        *r = (struct refusal){.code = ERR_OK};
        return refuse(r, ERR_UNAVAILABLE);
    }
    q->waiters[add_waiter(q, token, false)].held = q->held_count;
    q->held[q->held_count++] =
        (struct held_refusal){.refusal = *r, .slot = (uint32_t)(s - q->slot)};
    *r = (struct refusal){.code = ERR_OK};
    return SEQ_QUEUED;
}

/* ---- gates ---- */

/* May this kind come in this way? */
static enum err check_kind(const struct entry *e, bool from_wire)
{
    enum writer writer = BY_NOBODY;
    if (!kind_writer(e->kind, &writer))
        return ERR_KIND_UNKNOWN;
    if (writer == BY_NOBODY)
        return ERR_KIND_RESERVED;
    if (e->kind == KIND_CREDIT || e->kind == KIND_BOUNCE ||
        (from_wire && writer == BY_RELAY))
        return ERR_AUTHORITY;
    return ERR_OK;
}

/* The slot an entry belongs to; NONE when it names no hub account of ours. */
static uint32_t slot_for(const struct sequencer *q, const struct entry *e)
{
    if (!slotlog_kind_of_hub(e->kind))
        return slot_of(entry_account(e), q->slots);
    if (e->kind == KIND_LOG_OPEN) {
        uint64_t slot = slotlog_slot_of_log_open(e);
        return slot < q->slots ? (uint32_t)slot : NONE;
    }
    for (uint32_t i = 0; i < q->slots; i++)
        if (q->slot[i].log != NULL && hash_equal(&q->slot[i].log->hub.id, &e->account))
            return i;
    return NONE;
}

/* After a change of keys the log must name ours: we sign the next checkpoint. */
static enum err check_keys(struct sequencer *q, const struct seq_slot *s,
                           const struct entry *e)
{
    if (e->kind != KIND_LOG_OPEN && e->kind != KIND_HUB_KEY)
        return slot_may_sign(q, s) ? ERR_OK : ERR_UNAVAILABLE;
    TRY(payload_decode(&q->payload, e->kind, e->payload));
    if (e->kind == KIND_LOG_OPEN) {
        const struct p_log_open *p = &q->payload.log_open;
        struct vkey log;
        bool ours = vkey_parse(&log, (const char *)p->log_vkey.data, p->log_vkey.size) &&
                    pubkey_equal(&log.key, &q->log_public) &&
                    pubkey_equal(&p->relay, &q->relay_public) && p->slots == q->slots;
        return ours ? ERR_OK : ERR_AUTHORITY;
    }
    const struct p_hub_key *p = &q->payload.hub_key;
    if (p->role == ROLE_LOG)
        return pubkey_equal(&p->new_key, &q->log_public) ? ERR_OK : ERR_AUTHORITY;
    if (!slot_may_sign(q, s))
        return ERR_UNAVAILABLE;
    bool ours = p->role != ROLE_RELAY || pubkey_equal(&p->new_key, &q->relay_public);
    return ours ? ERR_OK : ERR_AUTHORITY;
}

/* Room is kept for items that are due, so that entries cannot starve them. */
static bool batch_has_room(const struct sequencer *q, const struct entry *e)
{
    uint64_t due = q->settle_due;
    size_t kept = due < SEQ_SETTLE_MIN ? (size_t)due : SEQ_SETTLE_MIN;
    size_t items = e->kind == KIND_TRANSFER ? PAYEES_MAX : 0;
    return q->pending_count + kept < SEQ_BATCH_ENTRIES_MAX &&
           q->waiter_count < SEQ_BATCH_WAITERS_MAX &&
           q->bytes + e->envelope.size + kept * HUB_ENTRY_BYTES_MAX <=
               SEQ_BATCH_BYTES_MAX &&
           q->item_count + items + kept <= SEQ_BATCH_ITEMS_MAX;
}

static bool was_revoked(const struct account *a, const struct pubkey *key)
{
    for (uint32_t i = 0; i < a->revoked_count; i++)
        if (pubkey_equal(&a->revoked[i], key))
            return true;
    return false;
}

/* ---- submit ---- */

/* What the slot knows about the writer before anything is applied. */
static const struct chain *writer_chain(struct seq_slot *s, const struct entry *e,
                                        const struct account **account)
{
    *account = NULL;
    if (slotlog_kind_of_hub(e->kind))
        return e->kind == KIND_LOG_OPEN ? NULL : &s->log->hub.chain;
    *account = slotlog_account(s->log, entry_account(e));
    return *account == NULL ? NULL : account_chain(*account, &s->log->hub, &e->device);
}

/* Could the log hold this very entry already? Then the store is to be asked. */
static enum err taken(const struct seq_slot *s, const struct entry *e,
                      const struct account *a, const struct chain *c)
{
#ifdef STOA_BREAK_DUPLICATE_ACCEPTED
    return ERR_OK;
#endif
    if (e->kind == KIND_OPEN && a != NULL)
        return ERR_ACCOUNT_EXISTS;
    if (e->kind == KIND_LOG_OPEN && s->log->frontier.size > 0)
        return ERR_ACCOUNT_EXISTS;
    if (c != NULL && e->seq < c->next_seq)
        return ERR_SEQ_TAKEN;
    if (c == NULL && a != NULL && was_revoked(a, &e->device))
        return ERR_DEVICE_REVOKED;
    return ERR_OK;
}

static enum seq_disposition admit(struct sequencer *q, struct seq_slot *s,
                                  const struct entry *e, uint64_t token, uint64_t now_ms,
                                  struct refusal *r)
{
    if (!batch_has_room(q, e))
        return refuse(r, ERR_BUSY);
    enum err err = check_keys(q, s, e);
    if (err != ERR_OK)
        return refuse(r, err);
    struct pending *p;
    err = batch_admit(q, s, e, now_ms, &p);
    if (err == ERR_OK) {
        tables_add(q, p);
        wait_for(q, p, token, false);
        if (slotlog_kind_of_hub(e->kind))
            settle_refresh(q);
        return SEQ_QUEUED;
    }
    if (err == ERR_MEMORY) /* without a head: it may rest on this batch */
        return refuse(r, ERR_BUSY);
    const struct account *a;
    fill_head(r, writer_chain(s, e, &a));
    if (err == ERR_BALANCE && a != NULL)
        r->balance = a->balance;
    refuse(r, err);
    return is_tentative(q, s, e, err) ? hold_back(q, s, token, r) : SEQ_REFUSED;
}

enum seq_disposition sequencer_submit(struct sequencer *q, const struct entry *e,
                                      uint64_t token, bool from_wire, uint64_t now_ms,
                                      struct refusal *refusal)
{
    *refusal = (struct refusal){.code = ERR_OK};
    if (q->stopped)
        return refuse(refusal, ERR_UNAVAILABLE);
    if (q->in_flight)
        return refuse(refusal, ERR_BUSY);
    enum err err = check_kind(e, from_wire);
    if (err != ERR_OK)
        return refuse(refusal, err);
    uint32_t slot = slot_for(q, e);
    if (slot == NONE)
        return refuse(refusal, ERR_ACCOUNT_UNKNOWN);
    struct seq_slot *s = &q->slot[slot];
    if (s->state != SEQ_SLOT_READY)
        return refuse(refusal, ERR_UNAVAILABLE);

    struct pending *same = q->full ? NULL : id_find(q, &e->id);
#ifdef STOA_BREAK_DUPLICATE_ACCEPTED
    same = NULL;
#endif
    if (same != NULL) {
        if (q->waiter_count == SEQ_BATCH_WAITERS_MAX)
            return refuse(refusal, ERR_BUSY);
        wait_for(q, same, token, true);
        q->stats.duplicates++;
        return SEQ_QUEUED;
    }
    const struct account *a;
    const struct chain *c = writer_chain(s, e, &a);
    err = taken(s, e, a, c);
    if (err != ERR_OK) {
        q->stats.duplicates++;
        /* What stands in its place may be of this batch: not known yet. */
        bool known = !q->full && !is_tentative(q, s, e, err);
        refuse(refusal, known ? err : ERR_UNAVAILABLE);
        if (known)
            fill_head(refusal, c);
        return SEQ_LOOKUP;
    }
    if (q->full)
        return refuse(refusal, ERR_UNAVAILABLE);
    return admit(q, s, e, token, now_ms, refusal);
}
