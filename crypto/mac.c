#include "crypto/mac.h"

#include <sodium.h>

#include "crypto/internal.h"

struct mac_key {
    uint8_t secret[HASH_BYTES]; /* in secret_alloc memory */
};

_Static_assert(crypto_auth_hmacsha256_KEYBYTES == HASH_BYTES, "one hash is one key");
_Static_assert(crypto_auth_hmacsha256_BYTES == HASH_BYTES, "a mac is a hash");

struct mac_key *mac_key_shared(const struct key *k, const char *context,
                               const void *message, size_t size)
{
    struct mac_key *m = secret_alloc(sizeof(*m));
    if (!m)
        return NULL;
    struct signature sig = key_sign(k, context, message, size);
    struct hash h = hash_context(context, sig.b, sizeof(sig.b));
    for (size_t i = 0; i < HASH_BYTES; i++)
        m->secret[i] = h.b[i];
    secret_wipe(&sig, sizeof(sig));
    secret_wipe(&h, sizeof(h));
    return m;
}

void mac_key_free(struct mac_key *m)
{
    secret_free(m);
}

struct hash mac_make(const struct mac_key *m, uint64_t number,
                     const struct hash_part parts[], size_t count)
{
    crypto_auth_hmacsha256_state s;
    struct hash out;
    uint8_t be[8];
    for (size_t i = 0; i < sizeof(be); i++)
        be[i] = (uint8_t)(number >> (56 - 8 * i));
    crypto_auth_hmacsha256_init(&s, m->secret, sizeof(m->secret));
    crypto_auth_hmacsha256_update(&s, be, sizeof(be));
    for (size_t i = 0; i < count; i++)
        crypto_auth_hmacsha256_update(&s, parts[i].data, parts[i].size);
    crypto_auth_hmacsha256_final(&s, out.b);
    secret_wipe(&s, sizeof(s));
    return out;
}

bool mac_check(const struct mac_key *m, uint64_t number, const struct hash_part parts[],
               size_t count, const struct hash *mac)
{
    struct hash want = mac_make(m, number, parts, count);
    return sodium_memcmp(want.b, mac->b, HASH_BYTES) == 0;
}
