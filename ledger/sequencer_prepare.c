/* From pending records to appends: settle what is due, lay the records out slot by slot,
 * build the trees, sign one checkpoint per slot. */
#include <assert.h>
#include <string.h>

#include "ledger/sequencer_state.h"
#include "ledger/scratch.h"

/* ---- clock ---- */

static bool clock_jumped(struct sequencer *q, uint64_t now_ms, uint64_t mono_ms)
{
    uint64_t wall = now_ms - q->clock_wall_ms;
    uint64_t mono = mono_ms - q->clock_mono_ms;
    uint64_t ahead = wall - mono; /* modulo 2^64: a wall clock set back is far ahead */
    uint64_t apart = ahead > UINT64_MAX / 2 ? 0 - ahead : ahead;
    bool known = q->clock_known;
    q->clock_known = true;
    q->clock_wall_ms = now_ms;
    q->clock_mono_ms = mono_ms;
    return known && apart > SEQ_CLOCK_JUMP_MS;
}

/* ---- laying out ---- */

/* The records of each slot side by side, in log order. */
static void lay_out(struct sequencer *q)
{
    size_t at = 0;
    for (uint32_t i = 0; i < q->slots; i++) {
        struct seq_slot *s = &q->slot[i];
        s->record_at = at;
        for (uint32_t n = s->first; n != NONE; n = q->pending[n].next) {
            q->sorted[at] = q->pending[n].stored;
            q->leaves[at] = q->pending[n].stored.leaf_hash;
            q->order[at] = n;
            at++;
        }
        assert(at - s->record_at == s->record_count);
    }
    assert(at <= SEQ_BATCH_ENTRIES_MAX);
}

/* The batch's tree and the slot's own frontier were built apart; they must agree. */
static void check_tree(const struct seq_slot *s)
{
    const struct frontier *a = &s->merkle.after;
    const struct frontier *b = &s->log->frontier;
    assert(a->size == b->size);
    for (unsigned level = 0; level < MERKLE_LEVELS_MAX; level++)
        assert((a->size >> level & 1) == 0 ||
               hash_equal(&a->edge[level], &b->edge[level]));
}

/* New nodes at the bottom of a tile level: number of the first, and where they stand. */
static size_t new_nodes(const struct seq_slot *s, unsigned tile_level, uint64_t *first,
                        const struct hash **nodes)
{
    const struct merkle_batch *m = &s->merkle;
    unsigned level = tile_level * TILE_HEIGHT;
    *first = m->level_first[level];
    *nodes = m->nodes + m->level_at[level];
    return m->level_count[level];
}

/* Full tiles of one level. The first is completed from the partial one and needs memory;
 * the others stand side by side among the nodes. */
static enum err tile_level(struct sequencer *q, struct seq_slot *s, unsigned level,
                           size_t *tile_count)
{
    uint64_t first;
    const struct hash *nodes;
    size_t count = new_nodes(s, level, &first, &nodes);
    size_t width = (size_t)(first & (TILE_HASHES - 1));
    while (width + count >= TILE_HASHES) {
        size_t take = TILE_HASHES - width;
        const struct hash *hashes = nodes;
        if (width > 0) {
            struct hash *whole = arena_take(&q->arena, TILE_HASHES * sizeof *whole);
            if (whole == NULL)
                return ERR_MEMORY;
            memcpy(whole, s->tiles[level], width * sizeof *whole);
            memcpy(whole + width, nodes, take * sizeof *whole);
            hashes = whole;
        }
        assert(*tile_count < TILES_MAX(q->slots));
        q->tiles[(*tile_count)++] = (struct store_tile){
            .level = (uint8_t)level, .n = first / TILE_HASHES, .hashes = hashes};
        first += take;
        nodes += take;
        count -= take;
        width = 0;
    }
    return ERR_OK;
}

/* How far the batch brings the slot's channels: the last settled item of each source. */
static enum err fill_settled(struct sequencer *q, struct seq_slot *s,
                             struct store_append *a)
{
    size_t sources = 0;
    memset(q->counts, 0, q->slots * sizeof *q->counts);
    for (uint32_t n = s->first; n != NONE; n = q->pending[n].next)
        if (q->pending[n].settles && q->counts[q->pending[n].settle_source] == 0)
            q->counts[q->pending[n].settle_source] = ++sources;
    if (sources == 0)
        return ERR_OK;
    struct store_settled *settled = arena_take(&q->arena, sources * sizeof *settled);
    if (settled == NULL)
        return ERR_MEMORY;
    for (uint32_t n = s->first; n != NONE; n = q->pending[n].next) {
        const struct pending *p = &q->pending[n];
        if (p->settles)
            settled[q->counts[p->settle_source] - 1] =
                (struct store_settled){.source = p->settle_source,
                                       .next_in = p->settle_seq + 1,
                                       .index = p->stored.r.index};
    }
    a->settled_count = sources;
    a->settled = settled;
    return ERR_OK;
}

static enum err fill_append(struct sequencer *q, uint32_t slot, struct hash *nodes,
                            size_t *tile_count)
{
    struct seq_slot *s = &q->slot[slot];
    bool built = merkle_batch_build(&s->merkle, &s->committed, &q->leaves[s->record_at],
                                    s->record_count, nodes);
    assert(built); /* each record was appended to the slot's own frontier */
    check_tree(s);
    size_t tile_at = *tile_count;
    for (unsigned level = 0; level < TILE_LEVELS; level++)
        TRY(tile_level(q, s, level, tile_count));

    UNINITIALIZED struct checkpoint c;
    memcpy(c.origin, s->log->hub.origin, sizeof c.origin);
    c.size = s->merkle.after.size;
    c.root = frontier_root(&s->merkle.after);
    s->next_checkpoint_size = checkpoint_sign(
        s->next_checkpoint, sizeof s->next_checkpoint, &c, &s->log->hub.log, q->log);
    assert(s->next_checkpoint_size > 0); /* submit lets no log stand under another key */

    q->appends[q->append_count++] = (struct store_append){
        .slot = slot,
        .epoch = s->epoch,
        .old_size = s->committed.size,
        .record_count = s->record_count,
        .records = &q->sorted[s->record_at],
        .tile_count = *tile_count - tile_at,
        .tiles = &q->tiles[tile_at],
        .item_count = s->item_count,
        .items = s->items,
        .outbox_low = outbox_low(q->outbox, slot, s->committed.size),
        .edge_count = frontier_edges(&s->merkle.after, s->edges),
        .edges = s->edges,
        .checkpoint = bytes_of(s->next_checkpoint, s->next_checkpoint_size)};
    return fill_settled(q, s, &q->appends[q->append_count - 1]);
}

static enum err fill_appends(struct sequencer *q)
{
    lay_out(q);
    q->append_count = 0;
    size_t tile_count = 0;
    struct hash *nodes = q->nodes;
    for (uint32_t i = 0; i < q->slots; i++) {
        if (q->slot[i].record_count == 0)
            continue;
        TRY(fill_append(q, i, nodes, &tile_count));
        nodes += merkle_batch_room(q->slot[i].record_count);
    }
    return ERR_OK;
}

/* A batch that waits for room is what it was, but for slots stopped since. */
static void keep_appends(struct sequencer *q)
{
    size_t kept = 0;
    for (size_t i = 0; i < q->append_count; i++)
        if (q->slot[q->appends[i].slot].record_count > 0)
            q->appends[kept++] = q->appends[i];
    q->append_count = kept;
}

enum err sequencer_prepare(struct sequencer *q, uint64_t now_ms, uint64_t mono_ms,
                           const struct store_append **appends, size_t *count)
{
    assert(!q->in_flight);
    *appends = q->appends;
    *count = 0;
    if (q->broken)
        return ERR_IO;
    if (q->stopped || clock_jumped(q, now_ms, mono_ms)) {
        q->stopped = true;
        return ERR_CLOCK;
    }
    if (q->full) {
        keep_appends(q);
    } else {
        settle_write(q, now_ms);
        TRY(fill_appends(q));
    }
    q->in_flight = true;
    *count = q->append_count;
    return ERR_OK;
}
