/* A sealed attachment with nothing left to chance: the primitives by name, so that the
 * page's formula and crypto/seal.c are held to each other. */
#include <sodium.h>
#include <string.h>

#include "vectors.h"

#define HEAD_BYTES (15 + 88 * SEALED_RECIPIENTS)

/* crypto_box_seal with an ephemeral key that is given. */
static void seal_key(uint8_t out[80], const uint8_t content_key[32],
                     const uint8_t ephemeral[32], const struct pubkey *to)
{
    uint8_t pub[32], nonce[24], both[64];
    must(crypto_sign_ed25519_pk_to_curve25519(both + 32, to->b) == 0, "X25519 form");
    must(crypto_scalarmult_base(pub, ephemeral) == 0, "ephemeral key");
    memcpy(both, pub, 32);
    crypto_generichash(nonce, sizeof nonce, both, sizeof both, NULL, 0);
    memcpy(out, pub, 32);
    must(crypto_box_easy(out + 32, content_key, 32, nonce, both + 32, ephemeral) == 0,
         "box");
}

static void expect_opens(const struct world *w, const struct sealed_example *x,
                         enum world_key k)
{
    uint8_t plain[SEAL_PLAIN_MAX];
    size_t size = 0;
    must(seal_open(plain, &size, x->ciphertext, sizeof x->ciphertext, w->key[k]) &&
             size == strlen(SEALED_TEXT) && memcmp(plain, SEALED_TEXT, size) == 0,
         "every recipient opens it");
}

void make_sealed(const struct world *w, struct sealed_example *x)
{
    static const enum world_key to[SEALED_RECIPIENTS] = {KEY_A_DEVICE, KEY_B_DEVICE};
    uint8_t padded[256] = {0, 0, 0, (uint8_t)strlen(SEALED_TEXT)};
    memset(x->content_key, 0x40, sizeof x->content_key);
    memset(x->nonce, 0x43, sizeof x->nonce);
    memset(x->salt, 0x44, sizeof x->salt);
    memcpy(padded + 4, SEALED_TEXT, strlen(SEALED_TEXT));
    uint8_t *at = x->ciphertext;
    memcpy(at, "stoa-sealed-1\n\x02", 15);
    at += 15;
    for (unsigned i = 0; i < SEALED_RECIPIENTS; i++, at += 88) {
        struct pubkey pub = world_pub(w, to[i]);
        struct hash hint = hash_sha256(pub.b, sizeof pub.b);
        memset(x->ephemeral[i], 0x41 + (int)i, sizeof x->ephemeral[i]);
        memcpy(at, hint.b, 8);
        seal_key(at + 8, x->content_key, x->ephemeral[i], &pub);
    }
    memcpy(at, x->nonce, sizeof x->nonce);
    crypto_aead_xchacha20poly1305_ietf_encrypt(at + sizeof x->nonce, NULL, padded,
                                               sizeof padded, x->ciphertext, HEAD_BYTES,
                                               NULL, x->nonce, x->content_key);
    x->commitment = seal_commitment(x->salt, x->ciphertext, sizeof x->ciphertext);
    must(sizeof x->ciphertext == seal_size(strlen(SEALED_TEXT), SEALED_RECIPIENTS),
         "bucket");
    for (unsigned i = 0; i < SEALED_RECIPIENTS; i++)
        expect_opens(w, x, to[i]);
}
