/* A slow, plain Merkle tree straight from the recursive definitions of RFC 6962
 * section 2.1, for tests to compare with. Leaf i is hash_leaf of i as eight bytes. */
#ifndef TESTS_UNIT_CRYPTO_TREE_H
#define TESTS_UNIT_CRYPTO_TREE_H

#include "crypto/merkle.h"

#define TREE_LEAVES_MAX 1024

extern struct hash tree_leaves[TREE_LEAVES_MAX];

int tree_fill(void **state); /* cmocka group set-up */

/* MTH(D[begin:end]) */
struct hash tree_root(uint64_t begin, uint64_t end);
/* PATH(index, D[0:size]) and PROOF(old, D[0:size]); the number of hashes. */
size_t tree_path(uint64_t index, uint64_t size, struct hash out[]);
size_t tree_proof(uint64_t old_size, uint64_t size, struct hash out[]);

/* A source over the first *size leaves that fails the test when asked beyond them. */
struct merkle_source tree_source(uint64_t *size);
struct frontier tree_frontier(uint64_t size);

#endif
