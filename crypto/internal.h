/* What the files of this room share and nobody outside includes. */
#ifndef CRYPTO_INTERNAL_H
#define CRYPTO_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/hash.h"
#include "crypto/key.h"
#include "crypto/sig.h"

#define KEY_SECRET_BYTES 64

/* Always in secret_alloc memory. */
struct key {
    uint8_t secret[KEY_SECRET_BYTES]; /* libsodium's form: seed || public */
    struct pubkey pub;
};

/* The key itself, where it is known: in tests. NULL when locked memory cannot be had. */
struct mac_key;
struct mac_key *mac_key_from(const uint8_t secret[HASH_BYTES]);

/* Fetch the digest; idempotent, thread-safe. False when libcrypto has no SHA-256. */
bool hash_start(void);

/* One UTF-8 code point from the first bytes of data; returns its bytes, 0 when they are
 * not well-formed (overlong, surrogate, past U+10FFFF, cut short). */
size_t utf8_step(const char *data, size_t size, uint32_t *rune);

/* Shape of a key name by the signed-note text alone: not empty, UTF-8, no Unicode space,
 * no
 * '+'. note_name_ok adds our own limits. */
bool note_name_shape_ok(const char *name, size_t size);

/* Decoded size of strict base64; false when base64_decode would refuse it. */
bool base64_check(const char *text, size_t size, size_t *decoded_size);

/* Decimal without leading zeros, at most 2^63-1; false otherwise. */
bool decimal_parse(const char *text, size_t size, uint64_t *value);

#endif
