#include "signatures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/hash.h"
#include "unit/account/kit.h"

#define KEYS_MAX 16384
#define CELLS (4 * KEYS_MAX)

bool __real_sig_verify(const struct signature *sig, const struct pubkey *key,
                       const char *context, const void *message, size_t size);
bool __real_sig_verify_bare(const struct signature *sig, const struct pubkey *key,
                            const void *message, size_t size);
bool __real_sig_key_enrollable(const struct pubkey *key);
struct signature __real_key_sign(const struct key *k, const char *context,
                                 const void *message, size_t size);
struct signature __real_key_sign_bare(const struct key *k, const void *message,
                                      size_t size);
bool __wrap_sig_verify(const struct signature *sig, const struct pubkey *key,
                       const char *context, const void *message, size_t size);
bool __wrap_sig_verify_bare(const struct signature *sig, const struct pubkey *key,
                            const void *message, size_t size);
bool __wrap_sig_key_enrollable(const struct pubkey *key);
struct signature __wrap_key_sign(const struct key *k, const char *context,
                                 const void *message, size_t size);
struct signature __wrap_key_sign_bare(const struct key *k, const void *message,
                                      size_t size);

static bool real;

void signatures_real(bool are_real)
{
    real = are_real;
}

/* ---- the stand-in ---- */

static struct signature stand_in(const struct pubkey *key, const char *context,
                                 const void *message, size_t size)
{
    static const char name[] = "simulated signature";
    const struct hash_part parts[] = {{name, sizeof name},
                                      {key->b, sizeof key->b},
                                      {context, strlen(context) + 1},
                                      {message, size}};
    struct hash h = hash_parts(parts, size > 0 ? 4 : 3);
    struct signature sig;
    memcpy(sig.b, h.b, sizeof h.b);
    for (size_t i = 0; i < sizeof h.b; i++)
        sig.b[sizeof h.b + i] = (uint8_t)(h.b[i] ^ 0x5a);
    return sig;
}

bool __wrap_sig_verify(const struct signature *sig, const struct pubkey *key,
                       const char *context, const void *message, size_t size)
{
    if (real)
        return __real_sig_verify(sig, key, context, message, size);
    struct signature wanted = stand_in(key, context, message, size);
    return memcmp(wanted.b, sig->b, sizeof wanted.b) == 0;
}

bool __wrap_sig_verify_bare(const struct signature *sig, const struct pubkey *key,
                            const void *message, size_t size)
{
    if (real)
        return __real_sig_verify_bare(sig, key, message, size);
    struct signature wanted = stand_in(key, "", message, size);
    return memcmp(wanted.b, sig->b, sizeof wanted.b) == 0;
}

struct signature __wrap_key_sign(const struct key *k, const char *context,
                                 const void *message, size_t size)
{
    if (real)
        return __real_key_sign(k, context, message, size);
    struct pubkey pub = key_public(k);
    return stand_in(&pub, context, message, size);
}

struct signature __wrap_key_sign_bare(const struct key *k, const void *message,
                                      size_t size)
{
    if (real)
        return __real_key_sign_bare(k, message, size);
    struct pubkey pub = key_public(k);
    return stand_in(&pub, "", message, size);
}

/* ---- public keys seen before ---- */

struct cell {
    bool used;
    bool enrollable;
    uint32_t number;
    struct pubkey key;
};
static struct cell cells[CELLS];
static size_t cell_count;

static struct cell *cell_of(const struct pubkey *key)
{
    uint32_t x;
    memcpy(&x, key->b, sizeof x);
    size_t i = x % CELLS;
    while (cells[i].used && !pubkey_equal(&cells[i].key, key))
        i = (i + 1) % CELLS;
    return &cells[i];
}

static struct cell *cell_make(const struct pubkey *key)
{
    struct cell *c = cell_of(key);
    if (c->used)
        return c;
    if (++cell_count > CELLS / 2) {
        fprintf(stderr, "sim: more keys than there is room for\n");
        abort();
    }
    *c = (struct cell){.used = true, .key = *key};
    c->enrollable = __real_sig_key_enrollable(key);
    return c;
}

/* The real verdict, once for each key. */
bool __wrap_sig_key_enrollable(const struct pubkey *key)
{
    return cell_make(key)->enrollable;
}

static const struct key *keys[KEYS_MAX];

const struct key *key_at(uint32_t n)
{
    if (n >= KEYS_MAX)
        abort();
    if (keys[n] == NULL) {
        keys[n] = kit_key(n);
        struct pubkey pub = key_public(keys[n]);
        cell_make(&pub)->number = n;
    }
    return keys[n];
}

struct pubkey pub_at(uint32_t n)
{
    return key_public(key_at(n));
}

uint32_t key_number(const struct pubkey *key)
{
    const struct cell *c = cell_of(key);
    return c->used ? c->number : 0;
}

const struct key *key_of(const struct pubkey *key)
{
    uint32_t n = key_number(key);
    return n == 0 ? NULL : keys[n];
}
