/* An attachment opens for its recipients and nobody else, to what was sealed, only with
 * no bit changed; and contents made by a dishonest sender never open past their limits.
 * First byte: bytes as they are, sealed by us, or contents wrapped as a sender could. */
#include <string.h>

#include <sodium.h>

#include "crypto/seal.h"
#include "fuzz.h"
#include "input.h"
#include "other.h"

#define RECIPIENTS 3

static uint8_t plain[SEAL_PLAIN_MAX];

static void check_sealed(struct input *in)
{
    static uint8_t cipher[SEAL_CIPHER_MAX];
    uint8_t salt[SEAL_SALT_BYTES];
    struct pubkey to[RECIPIENTS];
    size_t size = 0, got = 0, count = 1 + take_below(in, RECIPIENTS);
    for (unsigned i = 0; i < RECIPIENTS; i++)
        to[i] = known_pub(i);
    uint64_t bit = take(in, 4);
    struct bytes text = take_bytes(in, SEAL_PLAIN_MAX);
    PROPERTY(
        seal_make(cipher, sizeof cipher, &size, salt, text.data, text.size, to, count));
    PROPERTY(size == seal_size(text.size, count));
    for (unsigned i = 0; i < RECIPIENTS; i++) {
        bool opened = seal_open(plain, &got, cipher, size, known_key(i));
        PROPERTY(opened == (i < count));
        PROPERTY(!opened ||
                 (got == text.size && (got == 0 || memcmp(plain, text.data, got) == 0)));
    }
    bit %= 8 * size;
    cipher[bit / 8] ^= (uint8_t)(1u << bit % 8);
    PROPERTY(!seal_open(plain, &got, cipher, size, known_key(0)));
}

/* Good keys around contents that are anything: length and padding are the sender's word.
 */
static void check_wrapped(struct input *in)
{
    static uint8_t data[SEAL_CIPHER_MAX + 64], inner[SEAL_CIPHER_MAX];
    static const size_t buckets[] = {256, 1024, 4096, 16384,
                                     65536 - 13 - 1 - 1 - 88 - 40};
    static const char magic[] = "stoa-sealed-1\n";
    uint8_t content_key[32] = {9}, exchange[32];
    size_t bucket = buckets[take_below(in, 5)];
    bool zeros = take_below(in, 2) == 0;
    struct pubkey to = known_pub(0);
    memset(inner, 0, bucket);
    take_fill(in, inner, zeros ? 8 : bucket);
    uint8_t *at = data;
    memcpy(at, magic, sizeof magic - 1);
    at += sizeof magic - 1;
    *at++ = 1;
    struct hash hint = hash_sha256(to.b, sizeof to.b);
    memcpy(at, hint.b, 8);
    at += 8;
    PROPERTY(crypto_sign_ed25519_pk_to_curve25519(exchange, to.b) == 0);
    PROPERTY(crypto_box_seal(at, content_key, sizeof content_key, exchange) == 0);
    at += crypto_box_SEALBYTES + sizeof content_key;
    size_t head = (size_t)(at - data);
    uint8_t nonce[24] = {0};
    memcpy(at, nonce, sizeof nonce);
    at += sizeof nonce;
    crypto_aead_xchacha20poly1305_ietf_encrypt(at, NULL, inner, bucket, data, head, NULL,
                                               nonce, content_key);
    size_t size = (size_t)(at - data) + bucket + 16, got = SIZE_MAX;
    if (!seal_open(plain, &got, data, size, known_key(0)))
        return;
    PROPERTY(got <= SEAL_PLAIN_MAX && seal_size(got, 1) == size);
    PROPERTY(memcmp(plain, inner + 4, got) == 0);
}

static void check_raw(const uint8_t *data, size_t size)
{
    size_t got = 0;
    if (!seal_open(plain, &got, data, size, known_key(0)))
        return;
    PROPERTY(size > 16 && seal_size(got, data[sizeof "stoa-sealed-1\n" - 1]) == size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = input_of(data, size);
    (void)known_key(0);
    switch (take(&in, 1)) {
    case 0:
        check_sealed(&in);
        break;
    case 1:
        check_wrapped(&in);
        break;
    default:
        check_raw(data, size);
    }
    return 0;
}
