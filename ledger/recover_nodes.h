/* Trees and tiles as a store holds them: for recover*.c, and for readers who compare what two
 * stores hold. Of the thread that has the reader. Errors, where none is named: the store's. */
#ifndef LEDGER_RECOVER_NODES_H
#define LEDGER_RECOVER_NODES_H

#include "crypto/merkle.h"
#include "ledger/store.h"

#define TILE_LEVELS_OF_TREE (MERKLE_LEVELS_MAX / TILE_HEIGHT)

/* The right edge the tree had at `size`, which must be within the committed size. */
MUST_CHECK enum err nodes_frontier(struct store_reader *r, uint32_t slot, tree_size size,
                                   struct frontier *out);
/* The hashes of every level's partial tile, lowest level first, back to back into
 * out[TILE_LEVELS_OF_TREE * TILE_HASHES]. ERR_CORRUPT: they do not give the edges of `f`.
 */
MUST_CHECK enum err nodes_partial_tiles(struct store_reader *r, uint32_t slot,
                                        const struct frontier *f, struct hash out[]);

#endif
