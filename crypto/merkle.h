/* RFC 6962 mathematics over SHA-256: the right edge of a tree, inclusion and consistency
 * proofs, and the tiles of C2SP tlog-tiles (height 8). Pure computation: no I/O, no
 * clock, no heap. Algorithms: RFC 6962 section 2.1, RFC 9162 section 2.1. */
#ifndef CRYPTO_MERKLE_H
#define CRYPTO_MERKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/hash.h"

typedef uint64_t tree_size; /* a count of leaves; the newest leaf's index is size - 1 */

#define MERKLE_LEVELS_MAX 48
#define MERKLE_SIZE_MAX ((UINT64_C(1) << MERKLE_LEVELS_MAX) - 1)
#define MERKLE_PATH_MAX 64 /* hashes in any proof we make or accept */
#define TILE_HEIGHT 8
#define TILE_HASHES 256

/* The right edge. A plain value: copy freely, release nothing; all zero is the empty
 * tree. edge[i] is the root of a full subtree of 2^i leaves and counts only while bit i
 * of `size` is set. */
struct frontier {
    tree_size size;
    struct hash edge[MERKLE_LEVELS_MAX];
};

/* Append one leaf hash. False, and nothing changed, at MERKLE_SIZE_MAX. */
bool frontier_append(struct frontier *f, const struct hash *leaf);
struct hash frontier_root(const struct frontier *f);
/* Number of hashes frontier_edges writes: the bits set in size. */
size_t frontier_edge_count(tree_size size);
/* The edges that count, lowest level first, into out[MERKLE_LEVELS_MAX]; returns how
 * many. */
size_t frontier_edges(const struct frontier *f, struct hash out[]);
/* Rebuild from kept edges (lowest level first). False, and `f` unchanged, when they are
 * too many, too few, or do not hash to `root`. */
bool frontier_restore(struct frontier *f, tree_size size, const struct hash *root,
                      const struct hash edges[], size_t count);

/* Verify an inclusion proof: `leaf` is the leaf hash. path of `count` hashes, leaf's
 * sibling first. */
bool merkle_verify_inclusion(uint64_t index, tree_size size, const struct hash *leaf,
                             const struct hash path[], size_t count,
                             const struct hash *root);
/* Root that an inclusion path leads to; false when the path's length does not fit. */
bool merkle_root_from_inclusion(uint64_t index, tree_size size, const struct hash *leaf,
                                const struct hash path[], size_t count,
                                struct hash *root);
/* Verify a consistency proof. old == new: true only for an empty path and equal roots.
 * old == 0: true only for an empty path and old_root == hash_empty(). */
bool merkle_verify_consistency(tree_size old_size, tree_size new_size,
                               const struct hash path[], size_t count,
                               const struct hash *old_root, const struct hash *new_root);

/* Where a proof maker gets complete nodes from: node (level, n) is the root over leaves
 * [n << level, (n + 1) << level), asked for only when that range is within `size`.
 * Returns false when it cannot be had; the proof call then returns false too. */
struct merkle_source {
    bool (*node)(void *context, unsigned level, uint64_t n, struct hash *out);
    void *context;
};

/* Proofs for a tree of `size` leaves read through `source`. `path` has MERKLE_PATH_MAX
 * room; *count is set. False: index/sizes out of range, or the source failed. */
bool merkle_prove_inclusion(uint64_t index, tree_size size,
                            const struct merkle_source *source, struct hash path[],
                            size_t *count);
bool merkle_prove_consistency(tree_size old_size, tree_size new_size,
                              const struct merkle_source *source, struct hash path[],
                              size_t *count);

/* A batch of leaves on top of a frontier, with every interior node it completes, so that
 * paths for the new leaves cost no hashing. Memory is the caller's: `nodes` must hold
 * merkle_batch_room(leaf_count) hashes. */
struct merkle_batch {
    struct frontier before;
    struct frontier after;
    struct hash *nodes;                 /* level after level */
    size_t level_at[MERKLE_LEVELS_MAX]; /* where a level starts in nodes */
    uint64_t
        level_first[MERKLE_LEVELS_MAX]; /* node number of the first kept at a level */
    size_t level_count[MERKLE_LEVELS_MAX];
    struct hash
        right[MERKLE_LEVELS_MAX]; /* root of the incomplete subtree below a level */
    bool has_right[MERKLE_LEVELS_MAX];
};
size_t merkle_batch_room(size_t leaf_count);
/* `leaves` are leaf hashes, borrowed for the call. False at MERKLE_SIZE_MAX. */
bool merkle_batch_build(struct merkle_batch *b, const struct frontier *before,
                        const struct hash leaves[], size_t leaf_count,
                        struct hash *nodes);
/* Inclusion path, in the tree of size after.size, of leaf `index` (before.size <= index <
 * after.size). Returns the number of hashes written to path[MERKLE_PATH_MAX]. */
size_t merkle_batch_path(const struct merkle_batch *b, uint64_t index,
                         struct hash path[]);

/* Tiles. Number of hashes of tile (level, n) in a tree of `size`: 0 none, 256 full. */
unsigned tile_width(tree_size size, unsigned level, uint64_t n);
/* "tile/<L>/<N>[.p/<W>]" with N in groups of three digits (tlog-tiles). width 256 = full.
 * level -1 = "entries". Returns the length, or 0 when `cap` is too small. */
size_t tile_path(char *out, size_t cap, int level, uint64_t n, unsigned width);
/* Strict inverse; false for anything tile_path would not have written. */
bool tile_path_parse(const char *path, size_t size, int *level, uint64_t *n,
                     unsigned *width);
/* Root over the first `count` (1..256) hashes of a tile, as RFC 6962 would shape them. */
struct hash tile_root(const struct hash hashes[], size_t count);

#endif
