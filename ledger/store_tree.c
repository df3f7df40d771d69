#include "ledger/store_tree.h"

#include <string.h>

/* Hashes first .. first + count - 1 of a tile level, all in one tile. */
static enum err row(const struct tree_source *t, unsigned level, uint64_t first,
                    unsigned count, struct hash out[])
{
    uint64_t n = first / TILE_HASHES;
    if (count == 1 || tile_width(t->size, level, n) < TILE_HASHES)
        return level > 0 ? t->roots(t->context, level - 1, first, count, out)
                         : t->leaves(t->context, first, count, out);
    struct hash all[TILE_HASHES];
    TRY(t->tile(t->context, level, n, all));
    memcpy(out, &all[first % TILE_HASHES], count * sizeof *out);
    return ERR_OK;
}

enum err tree_node(const struct tree_source *t, unsigned level, uint64_t n,
                   struct hash *out)
{
    if (level >= MERKLE_LEVELS_MAX || n >= t->size >> level)
        return ERR_RANGE;
    unsigned within = level % TILE_HEIGHT;
    unsigned count = 1u << within;
    struct hash some[TILE_HASHES];
    TRY(row(t, level / TILE_HEIGHT, n << within, count, some));
    *out = tile_root(some, count);
    return ERR_OK;
}

enum err tree_tile(const struct tree_source *t, unsigned level, uint64_t n,
                   unsigned width, struct hash out[TILE_HASHES])
{
    if (level >= MERKLE_LEVELS_MAX / TILE_HEIGHT || width == 0 || width > TILE_HASHES ||
        n > MERKLE_SIZE_MAX / TILE_HASHES)
        return ERR_RANGE;
#ifndef STOA_BREAK_SERVE_PAST_CHECKPOINT
    if (width > tile_width(t->size, level, n))
        return ERR_RANGE;
#endif
    return row(t, level, n * TILE_HASHES, width, out);
}
