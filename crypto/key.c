#include "crypto/key.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "crypto/context.h"
#include "crypto/internal.h"

_Static_assert(KEY_SECRET_BYTES == crypto_sign_SECRETKEYBYTES, "libsodium's secret form");
_Static_assert(SEED_BYTES == crypto_sign_SEEDBYTES, "RFC 8032 seed");

/* Most messages are short; only the long ones pay for a large stack frame. */
#define SIGN_SHORT_BYTES 2048

struct key *key_from_seed(const uint8_t seed[SEED_BYTES])
{
    struct key *k = secret_alloc(sizeof *k);
    if (k == NULL)
        return NULL;
    int derived = crypto_sign_seed_keypair(k->pub.b, k->secret, seed);
    assert(derived == 0);
    (void)derived;
    return k;
}

struct key *key_generate(void)
{
    struct key *k = secret_alloc(sizeof *k);
    if (k == NULL)
        return NULL;
    int made = crypto_sign_keypair(k->pub.b, k->secret);
    assert(made == 0);
    (void)made;
    return k;
}

void key_free(struct key *k)
{
    secret_free(k);
}

struct pubkey key_public(const struct key *k)
{
    return k->pub;
}

struct signature key_sign_bare(const struct key *k, const void *message, size_t size)
{
    struct signature sig;
    int made = crypto_sign_detached(sig.b, NULL, message, size, k->secret);
    assert(made == 0);
    (void)made;
    return sig;
}

static struct signature sign_copied(const struct key *k, uint8_t *copy,
                                    const char *context, size_t prefix,
                                    const void *message, size_t size)
{
    memcpy(copy, context, prefix);
    if (size > 0)
        memcpy(copy + prefix, message, size);
    return key_sign_bare(k, copy, prefix + size);
}

static __attribute__((noinline)) struct signature
sign_long(const struct key *k, const char *context, size_t prefix, const void *message,
          size_t size)
{
    uint8_t copy[CONTEXT_BYTES_MAX + 1 + SIG_MESSAGE_BYTES_MAX];
    return sign_copied(k, copy, context, prefix, message, size);
}

struct signature key_sign(const struct key *k, const char *context, const void *message,
                          size_t size)
{
    size_t prefix = strlen(context) + 1;
    assert(prefix > 1 && prefix <= CONTEXT_BYTES_MAX + 1);
    assert(size <= SIG_MESSAGE_BYTES_MAX);
    if (size > SIGN_SHORT_BYTES)
        return sign_long(k, context, prefix, message, size);
    uint8_t copy[CONTEXT_BYTES_MAX + 1 + SIGN_SHORT_BYTES];
    return sign_copied(k, copy, context, prefix, message, size);
}

void key_seed(const struct key *k, uint8_t seed[SEED_BYTES])
{
    int copied = crypto_sign_ed25519_sk_to_seed(seed, k->secret);
    assert(copied == 0);
    (void)copied;
}

void random_bytes(void *out, size_t size)
{
    randombytes_buf(out, size);
}

void secret_wipe(void *data, size_t size)
{
    sodium_memzero(data, size);
}

void *secret_alloc(size_t size)
{
    return sodium_malloc(size);
}

void secret_free(void *data)
{
    sodium_free(data);
}
