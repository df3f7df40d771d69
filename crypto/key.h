/* Secret Ed25519 keys. The secret lives in sodium_malloc pages (guarded, not in core
 * dumps, locked as far as the system's limit on locked memory allows) from birth to
 * key_free, which wipes it. Each key takes four memory maps, so a process with the usual
 * 65,530 holds some 16,000. Nothing here prints or stores it. A key may be used by
 * several threads at once; freeing is the owner's. */
#ifndef CRYPTO_KEY_H
#define CRYPTO_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/sig.h"

#define SEED_BYTES 32

struct key; /* opaque: hides locked memory */

/* A fresh random key; NULL when locked memory cannot be had. */
struct key *key_generate(void);
/* The key of an RFC 8032 seed. `seed` is copied; the caller wipes his own. NULL as above.
 */
struct key *key_from_seed(const uint8_t seed[SEED_BYTES]);
/* Wipes and releases. NULL is allowed. */
void key_free(struct key *k);

struct pubkey key_public(const struct key *k);

/* Sign context || 00 || message. size <= SIG_MESSAGE_BYTES_MAX (asserted). Deterministic.
 */
struct signature key_sign(const struct key *k, const char *context, const void *message,
                          size_t size);
/* Sign the bare message: signed notes only. */
struct signature key_sign_bare(const struct key *k, const void *message, size_t size);

/* Copy the seed out, for key files only. The caller wipes it with secret_wipe. */
void key_seed(const struct key *k, uint8_t seed[SEED_BYTES]);

/* Random bytes from the system's generator. Edges only. */
void random_bytes(void *out, size_t size);
/* Overwrite so that the compiler cannot drop it. */
void secret_wipe(void *data, size_t size);
/* Locked, guarded memory for secrets (sodium_malloc); NULL when not to be had. */
void *secret_alloc(size_t size);
/* Wipes and frees. NULL is allowed. */
void secret_free(void *data);

#endif
