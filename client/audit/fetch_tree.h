/* Hashes of a log that its signed root vouches for, read tile by tile: nothing comes out that
 * does not lead to the root. The tiles at the right edge are checked together at open (they
 * give the root), every other one against its hash in the tile above, so that a look at one
 * record costs O(log size) tiles. Layout: C2SP tlog-tiles, height 8.
 *
 * One thread at a time per tree; after open the edges may be read by several. */
#ifndef CLIENT_AUDIT_FETCH_TREE_H
#define CLIENT_AUDIT_FETCH_TREE_H

#include "client/audit/source.h"

#define FETCH_LEVELS_MAX (MERKLE_LEVELS_MAX / TILE_HEIGHT)

struct fetch_tree {
    tree_size size;
    struct hash root;
    /* `width` hashes of a tile as they are stored, unchecked; the errors of
     * audit_source_ops.tile. */
    enum err (*tile)(void *context, unsigned level, uint64_t n, unsigned width,
                     struct hash out[TILE_HASHES]);
    void *context;
    unsigned levels; /* those that hold a hash: 0 for an empty tree */
    struct hash edge[FETCH_LEVELS_MAX][TILE_HASHES];
    struct fetch_tile_kept {
        bool known;
        uint64_t n;
        struct hash hashes[TILE_HASHES];
    } kept[FETCH_LEVELS_MAX]; /* one full tile a level */
    unsigned bad_level;       /* of the newest ERR_CORRUPT */
    uint64_t bad_tile;
};

/* Complete nodes of a level, and full tiles in it. */
static inline uint64_t fetch_tree_nodes(tree_size size, unsigned level)
{
    return size >> (level * TILE_HEIGHT);
}

/* size, root, tile and context are set by the caller. ERR_CORRUPT: the right edge does not
 * give the root; ERR_TOO_LARGE; else the error of `tile`. */
MUST_CHECK enum err fetch_tree_open(struct fetch_tree *t);
/* A tile with all the tree has of it; *width of 0: nothing. ERR_CORRUPT. */
MUST_CHECK enum err fetch_tree_tile(struct fetch_tree *t, unsigned level, uint64_t n,
                                    struct hash out[TILE_HASHES], unsigned *width);
/* Path by which the tree of `old_size` leaves is a beginning of this one. ERR_RANGE. */
MUST_CHECK enum err fetch_tree_consistency(struct fetch_tree *t, tree_size old_size,
                                           struct hash path[MERKLE_PATH_MAX], size_t *count);
/* Root of the first `size` leaves. ERR_RANGE. */
MUST_CHECK enum err fetch_tree_root(struct fetch_tree *t, tree_size size, struct hash *root);

#endif
