/* Opening, closing, slots coming and going. The work is in sequencer_submit.c,
 * sequencer_settle.c, sequencer_prepare.c, sequencer_outcome.c. */
#include <assert.h>
#include <string.h>

#include "ledger/sequencer_state.h"

/* ---- arena ---- */

#define ARENA_ALIGN 16

void *arena_take(struct arena *a, size_t size)
{
    assert(size <= ARENA_BLOCK_BYTES);
    size_t rounded = (size + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    if (a->block < a->block_count && a->used + rounded > ARENA_BLOCK_BYTES) {
        a->block++;
        a->used = 0;
    }
    if (a->block == a->block_count) {
        if (a->block_count == ARENA_BLOCKS_MAX)
            return NULL;
        uint8_t *block = a->mem->resize(a->mem->context, NULL, 0, ARENA_BLOCK_BYTES);
        if (block == NULL)
            return NULL;
        a->blocks[a->block_count++] = block;
        a->used = 0;
    }
    uint8_t *p = a->blocks[a->block] + a->used;
    a->used += rounded;
    return p;
}

struct arena_mark arena_mark(const struct arena *a)
{
    return (struct arena_mark){.block = a->block, .used = a->used};
}

void arena_rewind(struct arena *a, struct arena_mark m)
{
    assert(m.block <= a->block);
    a->block = m.block;
    a->used = m.used;
}

void arena_reset(struct arena *a)
{
    a->block = 0;
    a->used = 0;
}

void arena_close(struct arena *a)
{
    for (size_t i = 0; i < a->block_count; i++)
        a->mem->resize(a->mem->context, a->blocks[i], ARENA_BLOCK_BYTES, 0);
    a->block_count = 0;
    arena_reset(a);
}

/* ---- open and close ---- */

/* Every table of the sequencer, so that opening and closing cannot disagree on a size. */
#define TABLES(X)                                                                        \
    X(slot, q->slots)                                                                    \
    X(pending, SEQ_BATCH_ENTRIES_MAX)                                                    \
    X(sorted, SEQ_BATCH_ENTRIES_MAX)                                                     \
    X(order, SEQ_BATCH_ENTRIES_MAX)                                                      \
    X(leaves, SEQ_BATCH_ENTRIES_MAX)                                                     \
    X(nodes, merkle_batch_room(SEQ_BATCH_ENTRIES_MAX) + merkle_batch_room(0) * q->slots) \
    X(waiters, SEQ_BATCH_WAITERS_MAX)                                                    \
    X(ids, ID_CELLS)                                                                     \
    X(accounts, ID_CELLS)                                                                \
    X(held, SEQ_BATCH_REFUSALS_MAX)                                                      \
    X(appends, q->slots)                                                                 \
    X(tiles, TILES_MAX(q->slots))                                                        \
    X(counts, q->slots)

static bool take_tables(struct sequencer *q)
{
    const struct alloc *mem = q->mem;
#define TAKE(name, count)                                                                \
    q->name = mem->resize(mem->context, NULL, 0, (count) * sizeof *q->name);             \
    if (q->name == NULL)                                                                 \
        return false;                                                                    \
    memset(q->name, 0, (count) * sizeof *q->name);
    TABLES(TAKE)
#undef TAKE
    for (uint32_t i = 0; i < q->slots; i++)
        q->slot[i].first = q->slot[i].last = NONE;
    return true;
}

static void free_tables(struct sequencer *q)
{
    const struct alloc *mem = q->mem;
#define FREE(name, count)                                                                \
    if (q->name != NULL)                                                                 \
        mem->resize(mem->context, q->name, (count) * sizeof *q->name, 0);
    TABLES(FREE)
#undef FREE
}

enum err sequencer_open(struct sequencer **out, const struct sequencer_config *c)
{
    assert(c->slots >= 1 && c->slots <= SLOTS_MAX && (c->slots & (c->slots - 1)) == 0);
    struct sequencer *q = c->mem->resize(c->mem->context, NULL, 0, sizeof *q);
    if (q == NULL)
        return ERR_MEMORY;
    memset(q, 0, sizeof *q);
    q->mem = c->mem;
    q->arena.mem = c->mem;
    q->relay = c->relay;
    q->log = c->log;
    q->relay_public = key_public(c->relay);
    q->log_public = key_public(c->log);
    q->id_seed = c->map_seed;
    q->slots = c->slots;
    enum err err =
        take_tables(q) ? outbox_open(&q->outbox, c->mem, c->slots) : ERR_MEMORY;
    if (err != ERR_OK) {
        sequencer_close(q);
        return err;
    }
    *out = q;
    return ERR_OK;
}

static void close_log(struct sequencer *q, struct seq_slot *s)
{
    if (s->log == NULL)
        return;
    slotlog_close(s->log);
    q->mem->resize(q->mem->context, s->log, sizeof *s->log, 0);
    s->log = NULL;
}

void sequencer_close(struct sequencer *q)
{
    if (q == NULL)
        return;
    for (uint32_t i = 0; q->slot != NULL && i < q->slots; i++) {
        struct seq_slot *s = &q->slot[i];
        close_log(q, s);
        if (s->items != NULL)
            q->mem->resize(q->mem->context, s->items, s->item_cap * sizeof *s->items, 0);
    }
    outbox_close(q->outbox);
    arena_close(&q->arena);
    free_tables(q);
    q->mem->resize(q->mem->context, q, sizeof *q, 0);
}

/* ---- slots ---- */

/* The slot a channel leads to; false when it is not one of this hub's. */
static bool slot_of_channel(const struct hub_account *h, const char *origin,
                            uint32_t *slot)
{
    size_t hub = strlen(h->hub);
    uint8_t number;
    if (strncmp(origin, h->hub, hub) != 0 || origin[hub] != '/' ||
        strlen(origin + hub + 1) != 2 || !hex_decode(&number, 1, origin + hub + 1, 2))
        return false;
    *slot = number;
    return number < h->slots;
}

static void read_channels(struct sequencer *q, const struct hub_account *h, bool out)
{
    memset(q->counts, 0, q->slots * sizeof *q->counts);
    for (uint32_t i = 0; i < h->channel_count; i++) {
        const struct channel *c = &h->channels[i];
        uint32_t slot;
        if (slot_of_channel(h, c->origin, &slot) && slot < q->slots)
            q->counts[slot] = out ? c->next_out : c->next_in;
    }
}

static void take_tiles(struct seq_slot *s, const struct hash tiles[])
{
    size_t at = 0;
    for (unsigned level = 0; level < TILE_LEVELS; level++) {
        size_t width = s->committed.size >> (TILE_HEIGHT * level) & (TILE_HASHES - 1);
        if (width > 0)
            memcpy(s->tiles[level], tiles + at, width * sizeof tiles[0]);
        at += width;
    }
}

enum err sequencer_slot_ready(struct sequencer *q, struct slotlog *log, uint64_t epoch,
                              struct bytes checkpoint, const struct hash tiles[],
                              const struct channel_item items[], size_t count)
{
    assert(log->slot < q->slots && checkpoint.size <= CHECKPOINT_BYTES_MAX &&
           !q->in_flight);
    struct seq_slot *s = &q->slot[log->slot];
    assert(s->state != SEQ_SLOT_READY);
    if (s->state == SEQ_SLOT_STOPPED || q->stopped)
        return ERR_BEHIND;
    if (log->hub.open && log->hub.slots != q->slots)
        return ERR_CORRUPT;

    read_channels(q, &log->hub, true);
    enum err err = outbox_source_ready(q->outbox, log->slot, items, count, q->counts,
                                       log->hub_time_ms);
    if (err == ERR_OK) {
        read_channels(q, &log->hub, false);
        err = outbox_destination_ready(q->outbox, log->slot, q->counts);
    }
    if (err != ERR_OK)
        return err;
    s->state = SEQ_SLOT_READY;
    s->settle_blocked = false;
    s->log = log;
    s->epoch = epoch;
    s->committed = log->frontier;
    if (checkpoint.size > 0)
        memcpy(s->checkpoint, checkpoint.data, checkpoint.size);
    s->checkpoint_size = checkpoint.size;
    take_tiles(s, tiles);
    settle_refresh(q);
    return ERR_OK;
}

void slot_down(struct sequencer *q, uint32_t slot, enum seq_slot_state state)
{
    struct seq_slot *s = &q->slot[slot];
    close_log(q, s);
    s->state = state;
    s->checkpoint_size = 0;
    s->first = s->last = NONE;
    s->record_count = 0;
    q->item_count -= s->item_count;
    s->item_count = 0;
    outbox_slot_down(q->outbox, slot);
    settle_refresh(q);
}

void sequencer_slot_release(struct sequencer *q, uint32_t slot)
{
    assert(slot < q->slots && !q->in_flight);
    enum seq_slot_state state = q->slot[slot].state;
    slot_down(q, slot, state == SEQ_SLOT_STOPPED ? state : SEQ_SLOT_DOWN);
    outbox_slot_gone(q->outbox, slot);
    settle_refresh(q);
}

void sequencer_slot_retry(struct sequencer *q, uint32_t slot)
{
    assert(slot < q->slots && !q->in_flight);
    if (q->slot[slot].state == SEQ_SLOT_STOPPED)
        q->slot[slot].state = SEQ_SLOT_DOWN;
}

enum err sequencer_receive(struct sequencer *q, const struct channel_item items[],
                           size_t count)
{
    enum err err = outbox_receive(q->outbox, items, count);
    settle_refresh(q);
    return err;
}

bool sequencer_settle_sent(struct sequencer *q, const struct seq_sent *sent,
                           struct seq_settled *out)
{
    struct channel_item item;
    uint32_t remaining = 0;
    if (!outbox_settle_sent(q->outbox, sent->source, sent->destination, sent->out_seq, &item,
                            &remaining))
        return false;
    *out = (struct seq_settled){.cause = item.cause,
                                .payee_index = item.payee_index,
                                .bounced = sent->bounced,
                                .slot = sent->destination,
                                .index = sent->index,
                                .remaining = remaining};
    return true;
}

enum err sequencer_settle_sent_to(struct sequencer *q, uint32_t source,
                                  uint32_t destination, uint64_t next_in)
{
    return outbox_settle_sent_to(q->outbox, source, destination, next_in);
}

bool sequencer_channel(const struct sequencer *q, uint32_t source, uint32_t destination,
                       uint64_t *settled, uint64_t *end)
{
    return outbox_span(q->outbox, source, destination, settled, end);
}

uint64_t sequencer_epoch(const struct sequencer *q, uint32_t slot)
{
    assert(slot < q->slots);
    return q->slot[slot].epoch;
}

void sequencer_slot_stop(struct sequencer *q, uint32_t slot)
{
    assert(slot < q->slots);
    if (q->in_flight)
        q->slot[slot].state = SEQ_SLOT_STOPPED; /* taken down with the outcome */
    else
        slot_down(q, slot, SEQ_SLOT_STOPPED);
}

enum seq_slot_state sequencer_slot_state(const struct sequencer *q, uint32_t slot)
{
    assert(slot < q->slots);
    return q->slot[slot].state;
}

struct slotlog *sequencer_slotlog(struct sequencer *q, uint32_t slot)
{
    assert(slot < q->slots);
    return q->slot[slot].state == SEQ_SLOT_READY ? q->slot[slot].log : NULL;
}

struct bytes sequencer_checkpoint(const struct sequencer *q, uint32_t slot)
{
    assert(slot < q->slots);
    return bytes_of(q->slot[slot].checkpoint, q->slot[slot].checkpoint_size);
}

bool slot_may_sign(const struct sequencer *q, const struct seq_slot *s)
{
    return s->log->hub.open && pubkey_equal(&s->log->hub.log.key, &q->log_public);
}

bool slot_may_settle(const struct sequencer *q, uint32_t slot)
{
    const struct seq_slot *s = &q->slot[slot];
    return s->state == SEQ_SLOT_READY && !s->settle_blocked && slot_may_sign(q, s) &&
           pubkey_equal(&s->log->hub.relay, &q->relay_public);
}

bool sequencer_pending(const struct sequencer *q)
{
    if (q->stopped)
        return false;
    return q->full || q->pending_count > 0 || q->waiter_count > 0 || q->settle_due > 0;
}

bool sequencer_full(const struct sequencer *q)
{
    return q->full;
}

bool sequencer_tentative(const struct sequencer *q)
{
    return q->pending_count > 0;
}

void sequencer_stats(const struct sequencer *q, struct seq_stats *out)
{
    *out = q->stats;
    out->items_waiting = outbox_waiting(q->outbox, &out->item_oldest_since_ms);
}
