/* SHA-256 and the hashes of RFC 6962 section 2.1. Pure: no I/O, no clock; one digest
 * context per thread is kept by the implementation (libcrypto, fetched once) and freed
 * when the thread ends. Safe from any thread. */
#ifndef CRYPTO_HASH_H
#define CRYPTO_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HASH_BYTES 32

struct hash {
    uint8_t b[HASH_BYTES];
};

/* One piece of a message that is hashed as if the pieces stood back to back. Borrowed. */
struct hash_part {
    const void *data;
    size_t size;
};

/* SHA-256 of `size` bytes. */
struct hash hash_sha256(const void *data, size_t size);

/* SHA-256 of the pieces, back to back. */
struct hash hash_parts(const struct hash_part parts[], size_t count);

/* SHA-256(context || 00 || data): every hash we make outside the Merkle tree.
 * `context` is one of the strings in crypto/context.h. */
struct hash hash_context(const char *context, const void *data, size_t size);

/* As hash_context, over two pieces back to back. */
struct hash hash_context2(const char *context, const void *a, size_t a_size,
                          const void *b, size_t b_size);

/* RFC 6962: SHA-256(00 || data), SHA-256(01 || left || right), SHA-256(""). */
struct hash hash_leaf(const void *data, size_t size);
struct hash hash_node(const struct hash *left, const struct hash *right);
struct hash hash_empty(void);

bool hash_equal(const struct hash *a, const struct hash *b);
bool hash_is_zero(const struct hash *h);
/* memcmp order: <0, 0, >0. */
int hash_compare(const struct hash *a, const struct hash *b);

#endif
