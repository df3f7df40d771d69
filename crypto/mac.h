/* Messages between two who hold the same secret key: HMAC-SHA-256 (RFC 2104) under a key
 * that both derive and neither sends. It costs a hash where a signature costs a point
 * multiplication. Pure; a mac_key may be used by several threads at once, freeing is the
 * owner's. */
#ifndef CRYPTO_MAC_H
#define CRYPTO_MAC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/hash.h"
#include "crypto/key.h"

#define MAC_PARTS_MAX 8u /* pieces of one message (asserted) */

struct mac_key; /* opaque: hides locked memory */

/* The key of one conversation: a hash of the signature by `k` of context || 00 || message.
 * Ed25519 signatures are deterministic, so whoever holds `k` gets the same one, and nobody
 * else any. `message` names the conversation (both sides' nonces). `context` must be one
 * under which no signature is ever sent. size <= SIG_MESSAGE_BYTES_MAX (asserted).
 * NULL when locked memory cannot be had. */
struct mac_key *mac_key_shared(const struct key *k, const char *context,
                               const void *message, size_t size);
/* Wipes and releases. NULL is allowed. */
void mac_key_free(struct mac_key *m);

/* Over the message's number in the conversation (u64be), then the pieces back to back. */
struct hash mac_make(const struct mac_key *m, uint64_t number,
                     const struct hash_part parts[], size_t count);
/* In constant time. */
bool mac_check(const struct mac_key *m, uint64_t number, const struct hash_part parts[],
               size_t count, const struct hash *mac);

#endif
