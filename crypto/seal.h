/* Private attachments (memo, receipt, profile): encrypted to the Ed25519 keys of an
 * account's devices, committed to by an entry, kept apart from it, erasable. Pure but for
 * randomness.
 *
 * Ciphertext layout: "stoa-sealed-1" LF || u8 recipients (1..64) || per recipient
 * { 8-byte key hint = first bytes of SHA-256(ed25519 key), 80-byte crypto_box_seal of the
 * 32-byte content key to the X25519 form } || 24-byte nonce || XChaCha20-Poly1305 of
 * { u32be plain size || plain || zero padding to a bucket }.
 * Everything before the nonce is authenticated as associated data.
 * commitment = SHA-256("stoa/sealed/v1" 00 salt32 || ciphertext). */
#ifndef CRYPTO_SEAL_H
#define CRYPTO_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/hash.h"
#include "crypto/key.h"

#define SEAL_PLAIN_MAX 32768
#define SEAL_RECIPIENTS_MAX 64
#define SEAL_CIPHER_MAX 65536
#define SEAL_SALT_BYTES 32

/* Padded plain sizes: 256, 1024, 4096, 16384, 65536 - overhead; size of the ciphertext
 * for a plain text of `plain_size` to `recipients`; 0 when over a limit. */
size_t seal_size(size_t plain_size, size_t recipients);
/* Encrypt. Writes exactly seal_size() bytes and the salt. False: limits, or a recipient's
 * key has no X25519 form. */
bool seal_make(uint8_t *out, size_t cap, size_t *out_size, uint8_t salt[SEAL_SALT_BYTES],
               const void *plain, size_t plain_size, const struct pubkey recipients[],
               size_t recipient_count);
/* Decrypt with one device's key. False, and nothing written, when it is not for that key
 * or was changed, or when secret memory cannot be had. `out` has SEAL_PLAIN_MAX room. */
bool seal_open(uint8_t *out, size_t *out_size, const uint8_t *data, size_t size,
               const struct key *k);
struct hash seal_commitment(const uint8_t salt[SEAL_SALT_BYTES], const uint8_t *data,
                            size_t size);

#endif
