/* Second opinions for differential checks: Ed25519 by libcrypto, MessagePack by
 * msgpack-c, Merkle trees straight from the recursive definitions of RFC 6962
 * section 2.1, and fixed keys whose secrets the fuzzers know. Slow and plain on purpose.
 */
#ifndef TEST_FUZZ_OTHER_H
#define TEST_FUZZ_OTHER_H

#include <stdbool.h>

#include "crypto/key.h"
#include "crypto/merkle.h"
#include "ledger/bytes.h"

/* Key number n; made on first use, kept for ever. Aborts where crypto does not start. */
#define KNOWN_KEYS_MAX 64
const struct key *known_key(unsigned n);
struct pubkey known_pub(unsigned n);
/* The secret to a public key, or NULL. */
const struct key *known_secret(const struct pubkey *pub);

/* libcrypto's verdict over context || 00 || message; context NULL: the bare message. */
bool other_verify(const struct signature *sig, const struct pubkey *key,
                  const char *context, const void *message, size_t size);

/* What msgpack-c makes of `data`. Without msgpack-c all answers are OTHER_UNASKED. */
enum other_mp {
    OTHER_UNASKED, /* announces more than it holds: msgpack-c would take the memory first
                    */
    OTHER_REFUSED, /* no whole value, or one of a type, depth or form we do not use */
    OTHER_SAME     /* one value of our subset that msgpack-c writes as the same bytes */
};
/* *size: bytes of the first value, OTHER_SAME only. */
enum other_mp other_mp_read(const uint8_t *data, size_t data_size, size_t *size);

/* MTH, PATH and PROOF over given leaf hashes; counts of hashes written. */
struct hash naive_root(const struct hash leaves[], uint64_t count);
size_t naive_path(uint64_t index, const struct hash leaves[], uint64_t count,
                  struct hash out[]);
size_t naive_proof(uint64_t old_size, const struct hash leaves[], uint64_t count,
                   struct hash out[]);
/* The roots that a path or proof stands for, by walking the tree's shape from the top
 * down; false when there are too many or too few hashes. 1 <= old_size < size. */
bool naive_walk_path(uint64_t index, uint64_t size, const struct hash *leaf,
                     const struct hash path[], size_t count, struct hash *root);
bool naive_walk_proof(uint64_t old_size, uint64_t size, const struct hash *old_root,
                      const struct hash path[], size_t count, struct hash *old_found,
                      struct hash *new_found);

#endif
