/* Key files, encrypted at rest: Argon2id (libsodium crypto_pwhash) turns a passphrase
 * into a key, XChaCha20-Poly1305 seals the 32-byte seed, the header is authenticated too.
 * Text format, one "name: value" a line, so that a person can see what a file is:
 *
 *     stoa-key-1
 *     role: device                 (one word of a-z and -: device, root, log, ..)
 *     public: <64 hex digits>
 *     kdf: argon2id <opslimit> <memlimit bytes> <salt base64>     | kdf: none
 *     sealed: <base64 nonce || ciphertext>                        | seed: <64 hex digits>
 *
 * keyfile_encode/decode are pure (but for salt and nonce); keyfile_save/load touch the
 * disk. Files are created 0600, never overwritten, written whole (temporary + rename +
 * fsync). */
#ifndef CRYPTO_KEYFILE_H
#define CRYPTO_KEYFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/key.h"

#define KEYFILE_BYTES_MAX 1024
#define KEYFILE_ROLE_MAX 16
#define PASSPHRASE_BYTES_MAX 1024
/* What a file may ask of whoever opens it. Our own normal cost is 3 passes over 64 MiB.
 */
#define KEYFILE_KDF_OPS_MAX 10
#define KEYFILE_KDF_BYTES_MAX (UINT64_C(1) << 30)

enum keyfile_result {
    KEYFILE_OK,
    KEYFILE_MALFORMED,  /* not a key file, or damaged */
    KEYFILE_PASSPHRASE, /* the passphrase is wrong, or the file was changed */
    KEYFILE_NEEDED,     /* encrypted, and no passphrase was given */
    KEYFILE_LIMIT,      /* file over KEYFILE_KDF_*, or passphrase too long */
    KEYFILE_EXISTS,     /* save: a file is there already */
    KEYFILE_IO,         /* errno says why */
    KEYFILE_MEMORY
};
const char *keyfile_result_text(enum keyfile_result r);

enum keyfile_cost {
    KEYFILE_COST_NORMAL,
    KEYFILE_COST_TEST /* quick, for tests and demo */
};

/* passphrase NULL = plain text file (the caller must have been told to, in words); an
 * empty one is KEYFILE_NEEDED, a role that is no such word KEYFILE_MALFORMED. Writes text
 * with a final zero into out[KEYFILE_BYTES_MAX]; the caller wipes it. */
enum keyfile_result keyfile_encode(char *out, const struct key *k, const char *role,
                                   const char *passphrase, enum keyfile_cost cost);
/* role_out may be NULL, else has KEYFILE_ROLE_MAX room. *out is released by key_free, and
 * NULL unless KEYFILE_OK. */
enum keyfile_result keyfile_decode(struct key **out, char *role_out, const char *text,
                                   size_t size, const char *passphrase);
/* Role and public key without the passphrase. */
enum keyfile_result keyfile_peek(const char *text, size_t size, struct pubkey *pub,
                                 char *role_out, bool *encrypted);

enum keyfile_result keyfile_save(const char *path, const struct key *k, const char *role,
                                 const char *passphrase, enum keyfile_cost cost);
enum keyfile_result keyfile_load(const char *path, struct key **out, char *role_out,
                                 const char *passphrase);
enum keyfile_result keyfile_load_public(const char *path, struct pubkey *pub,
                                        char *role_out, bool *encrypted);

/* Passphrase sources: "tty" (asked with echo off; `confirm` asks twice), "fd:N" (up to
 * the first LF or end), "cmd:COMMAND" (first line of its output; run by /bin/sh),
 * "file:PATH" (first line). Never an argument or an environment variable. Returns
 * secret_alloc'ed text, released by secret_free; NULL with *why set to a static sentence.
 */
char *passphrase_read(const char *source, const char *prompt, bool confirm,
                      const char **why);

#endif
