#include "ledger/recover_nodes.h"

#include <assert.h>
#include <string.h>

enum err nodes_frontier(struct store_reader *r, uint32_t slot, tree_size size,
                        struct frontier *out)
{
    memset(out, 0, sizeof *out);
    for (unsigned level = 0; level < MERKLE_LEVELS_MAX; level++)
        if ((size >> level & 1) != 0)
            TRY(r->ops->node(r, slot, level, (size >> level) - 1, &out->edge[level]));
    out->size = size;
    return ERR_OK;
}

/* The hashes of a tile, folded, are the edges of the levels the tile covers. */
static bool tile_fits(const struct frontier *f, unsigned tile_level,
                      const struct hash tile[], size_t width)
{
    struct frontier folded = {.size = 0};
    for (size_t i = 0; i < width; i++) {
        bool appended = frontier_append(&folded, &tile[i]);
        assert(appended);
    }
    for (unsigned i = 0; i < TILE_HEIGHT; i++)
        if ((width >> i & 1) != 0 &&
            !hash_equal(&folded.edge[i], &f->edge[tile_level * TILE_HEIGHT + i]))
            return false;
    return true;
}

enum err nodes_partial_tiles(struct store_reader *r, uint32_t slot,
                             const struct frontier *f, struct hash out[])
{
    for (unsigned level = 0; level < TILE_LEVELS_OF_TREE; level++) {
        uint64_t hashes = f->size >> (level * TILE_HEIGHT);
        unsigned width = (unsigned)(hashes & (TILE_HASHES - 1));
        if (width == 0)
            continue;
        TRY(r->ops->tile(r, slot, level, hashes / TILE_HASHES, width, out));
        if (!tile_fits(f, level, out, width))
            return ERR_CORRUPT;
        out += width;
    }
    return ERR_OK;
}
