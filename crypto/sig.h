/* The one signature predicate of the protocol: Ed25519 (RFC 8032) as libsodium 1.0.18 to
 * 1.0.22 check it: cofactorless, S < L, no small-order or non-canonical A or R. Relay,
 * mirror, client and auditor call these functions and no others, so they cannot disagree.
 * Pure; safe from any thread after crypto_start(). */
#ifndef CRYPTO_SIG_H
#define CRYPTO_SIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIG_BYTES 64
#define PUBKEY_BYTES 32
/* Longest message a signature of ours covers, context not counted. */
#define SIG_MESSAGE_BYTES_MAX 65536

struct pubkey {
    uint8_t b[PUBKEY_BYTES];
};

struct signature {
    uint8_t b[SIG_BYTES];
};

/* Must return true before anything else in crypto/ is used; idempotent, thread-safe.
 * False: the library could not start, or a self-check of the predicate failed (a library
 * with another verdict must never run a hub). */
bool crypto_start(void);

/* Is `sig` made by `key` over context || 00 || message? False also when size is over
 * SIG_MESSAGE_BYTES_MAX. */
bool sig_verify(const struct signature *sig, const struct pubkey *key,
                const char *context, const void *message, size_t size);

/* The same predicate over the bare message: signed notes and published vectors only. */
bool sig_verify_bare(const struct signature *sig, const struct pubkey *key,
                     const void *message, size_t size);

/* May this key be enrolled? A canonical encoding of a point of prime order, not the
 * identity. Refuses mixed-order points, also where the library in use does not
 * (CVE-2025-69277). */
bool sig_key_enrollable(const struct pubkey *key);

bool pubkey_equal(const struct pubkey *a, const struct pubkey *b);
int pubkey_compare(const struct pubkey *a, const struct pubkey *b);

#endif
