/* Nodes and tiles of a slot's tree from what a store keeps: full tiles, the roots of full
 * tiles, and leaves. Partial tiles are kept nowhere: at level 0 they are the newest
 * leaves, above it the roots of the full tiles one level below. At most 256 hashes are
 * read a call. */
#ifndef LEDGER_STORE_TREE_H
#define LEDGER_STORE_TREE_H

#include "crypto/merkle.h"
#include "ledger/err.h"

struct tree_source {
    void *context;
    tree_size size; /* committed */
    /* All 256 hashes of a full tile. ERR_CORRUPT when it is not there. */
    enum err (*tile)(void *context, unsigned level, uint64_t n,
                     struct hash out[TILE_HASHES]);
    /* Roots of the full tiles (level, first .. first + count - 1). */
    enum err (*roots)(void *context, unsigned level, uint64_t first, unsigned count,
                      struct hash out[]);
    /* Leaf hashes first .. first + count - 1. */
    enum err (*leaves)(void *context, uint64_t first, unsigned count, struct hash out[]);
};

/* As store_reader_ops.node and .tile. */
MUST_CHECK enum err tree_node(const struct tree_source *t, unsigned level, uint64_t n,
                              struct hash *out);
MUST_CHECK enum err tree_tile(const struct tree_source *t, unsigned level, uint64_t n,
                              unsigned width, struct hash out[TILE_HASHES]);

#endif
