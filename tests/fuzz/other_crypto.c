#include <string.h>

#include <openssl/evp.h>

#include "fuzz.h"
#include "other.h"

static struct key *known[KNOWN_KEYS_MAX];
static struct pubkey known_pubs[KNOWN_KEYS_MAX];

const struct key *known_key(unsigned n)
{
    uint8_t seed[SEED_BYTES] = "key the fuzzers know";
    PROPERTY(n < KNOWN_KEYS_MAX);
    if (!known[n]) {
        PROPERTY(crypto_start());
        seed[SEED_BYTES - 1] = (uint8_t)n;
        known[n] = key_from_seed(seed);
        PROPERTY(known[n] != NULL);
        known_pubs[n] = key_public(known[n]);
    }
    return known[n];
}

struct pubkey known_pub(unsigned n)
{
    (void)known_key(n);
    return known_pubs[n];
}

const struct key *known_secret(const struct pubkey *pub)
{
    for (unsigned n = 0; n < KNOWN_KEYS_MAX; n++)
        if (known[n] && pubkey_equal(&known_pubs[n], pub))
            return known[n];
    return NULL;
}

bool other_verify(const struct signature *sig, const struct pubkey *key,
                  const char *context, const void *message, size_t size)
{
    static uint8_t room[SIG_MESSAGE_BYTES_MAX + 64];
    size_t used = 0;
    if (context) {
        used = strlen(context) + 1;
        PROPERTY(used < 64);
        memcpy(room, context, used);
    }
    PROPERTY(size <= SIG_MESSAGE_BYTES_MAX);
    if (size > 0)
        memcpy(room + used, message, size);
    EVP_PKEY *pkey =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->b, PUBKEY_BYTES);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool good = pkey && md && EVP_DigestVerifyInit(md, NULL, NULL, NULL, pkey) == 1 &&
                EVP_DigestVerify(md, sig->b, SIG_BYTES, room, used + size) == 1;
    EVP_MD_CTX_free(md);
    EVP_PKEY_free(pkey);
    return good;
}
