#include "crypto/seal.h"

#include <sodium.h>
#include <string.h>

#include "crypto/context.h"
#include "crypto/internal.h"

#define MAGIC "stoa-sealed-1\n"
#define MAGIC_BYTES (sizeof MAGIC - 1)
#define HINT_BYTES 8
#define CONTENT_KEY_BYTES crypto_aead_xchacha20poly1305_ietf_KEYBYTES
#define NONCE_BYTES crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_BYTES crypto_aead_xchacha20poly1305_ietf_ABYTES
#define BOX_BYTES (crypto_box_SEALBYTES + CONTENT_KEY_BYTES)
#define SLOT_BYTES (HINT_BYTES + BOX_BYTES)
#define LENGTH_BYTES 4
#define EXCHANGE_BYTES crypto_scalarmult_curve25519_BYTES

_Static_assert(BOX_BYTES == 80, "the layout in seal.h");
_Static_assert(NONCE_BYTES == 24, "the layout in seal.h");

/* Everything before the nonce; authenticated with the content. */
static size_t head_bytes(size_t recipients)
{
    return MAGIC_BYTES + 1 + recipients * SLOT_BYTES;
}

static size_t overhead_bytes(size_t recipients)
{
    return head_bytes(recipients) + NONCE_BYTES + TAG_BYTES;
}

/* Size of the padded plain text, 0 when it does not fit. */
static size_t bucket_bytes(size_t plain_size, size_t recipients)
{
    const size_t buckets[] = {256, 1024, 4096, 16384,
                              SEAL_CIPHER_MAX - overhead_bytes(recipients)};
    for (size_t i = 0; i < sizeof buckets / sizeof buckets[0]; i++)
        if (LENGTH_BYTES + plain_size <= buckets[i])
            return buckets[i];
    return 0;
}

size_t seal_size(size_t plain_size, size_t recipients)
{
    if (plain_size > SEAL_PLAIN_MAX || recipients == 0 ||
        recipients > SEAL_RECIPIENTS_MAX)
        return 0;
    return overhead_bytes(recipients) + bucket_bytes(plain_size, recipients);
}

static void put_hint(uint8_t out[HINT_BYTES], const struct pubkey *key)
{
    struct hash h = hash_sha256(key->b, PUBKEY_BYTES);
    memcpy(out, h.b, HINT_BYTES);
}

static bool put_slots(uint8_t *out, const uint8_t content_key[CONTENT_KEY_BYTES],
                      const struct pubkey recipients[], size_t recipient_count)
{
    for (size_t i = 0; i < recipient_count; i++, out += SLOT_BYTES) {
        uint8_t exchange[EXCHANGE_BYTES];
        put_hint(out, &recipients[i]);
        if (crypto_sign_ed25519_pk_to_curve25519(exchange, recipients[i].b) != 0 ||
            crypto_box_seal(out + HINT_BYTES, content_key, CONTENT_KEY_BYTES, exchange) !=
                0)
            return false;
    }
    return true;
}

/* `out` has room for bucket + TAG_BYTES; the padded plain text is built and encrypted
 * there, so that no second copy of it needs wiping. */
static void put_content(uint8_t *out, size_t bucket, const void *plain, size_t plain_size,
                        const uint8_t *head, size_t head_size,
                        const uint8_t nonce[NONCE_BYTES],
                        const uint8_t content_key[CONTENT_KEY_BYTES])
{
    for (size_t i = 0; i < LENGTH_BYTES; i++)
        out[i] = (uint8_t)(plain_size >> (8 * (LENGTH_BYTES - 1 - i)));
    if (plain_size > 0)
        memcpy(out + LENGTH_BYTES, plain, plain_size);
    memset(out + LENGTH_BYTES + plain_size, 0, bucket - LENGTH_BYTES - plain_size);
    crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, out, bucket, head, head_size,
                                               NULL, nonce, content_key);
}

bool seal_make(uint8_t *out, size_t cap, size_t *out_size, uint8_t salt[SEAL_SALT_BYTES],
               const void *plain, size_t plain_size, const struct pubkey recipients[],
               size_t recipient_count)
{
    size_t size = seal_size(plain_size, recipient_count);
    if (size == 0 || size > cap)
        return false;
    uint8_t *content_key = secret_alloc(CONTENT_KEY_BYTES);
    if (content_key == NULL)
        return false;
    random_bytes(content_key, CONTENT_KEY_BYTES);

    memcpy(out, MAGIC, MAGIC_BYTES);
    out[MAGIC_BYTES] = (uint8_t)recipient_count;
    bool made =
        put_slots(out + MAGIC_BYTES + 1, content_key, recipients, recipient_count);
    if (made) {
        size_t head_size = head_bytes(recipient_count);
        uint8_t *nonce = out + head_size;
        random_bytes(nonce, NONCE_BYTES);
        put_content(nonce + NONCE_BYTES, bucket_bytes(plain_size, recipient_count), plain,
                    plain_size, out, head_size, nonce, content_key);
        random_bytes(salt, SEAL_SALT_BYTES);
        *out_size = size;
    }
    secret_free(content_key);
    return made;
}

struct opener {
    uint8_t secret[EXCHANGE_BYTES];
    uint8_t content_key[CONTENT_KEY_BYTES];
    uint8_t plain[SEAL_CIPHER_MAX];
};

/* Number of recipients, 0 when the outline is not one seal_make would have written. */
static size_t outline_recipients(const uint8_t *data, size_t size)
{
    if (size <= MAGIC_BYTES || size > SEAL_CIPHER_MAX ||
        memcmp(data, MAGIC, MAGIC_BYTES) != 0)
        return 0;
    size_t recipients = data[MAGIC_BYTES];
    if (recipients == 0 || recipients > SEAL_RECIPIENTS_MAX ||
        size <= overhead_bytes(recipients))
        return 0;
    size_t bucket = size - overhead_bytes(recipients);
    return bucket_bytes(bucket - LENGTH_BYTES, recipients) == bucket ? recipients : 0;
}

static bool open_slots(struct opener *o, const uint8_t *data, size_t recipients,
                       const struct key *k)
{
    uint8_t exchange[EXCHANGE_BYTES];
    uint8_t hint[HINT_BYTES];
    put_hint(hint, &k->pub);
    if (crypto_sign_ed25519_sk_to_curve25519(o->secret, k->secret) != 0 ||
        crypto_scalarmult_curve25519_base(exchange, o->secret) != 0)
        return false;
    const uint8_t *slot = data + MAGIC_BYTES + 1;
    for (size_t i = 0; i < recipients; i++, slot += SLOT_BYTES)
        if (memcmp(slot, hint, HINT_BYTES) == 0 &&
            crypto_box_seal_open(o->content_key, slot + HINT_BYTES, BOX_BYTES, exchange,
                                 o->secret) == 0)
            return true;
    return false;
}

/* Decrypts into o->plain; false also when length or padding are not those of seal_make.
 */
static bool open_content(struct opener *o, const uint8_t *data, size_t size,
                         size_t recipients, size_t *plain_size)
{
    size_t head_size = head_bytes(recipients);
    const uint8_t *nonce = data + head_size;
    const uint8_t *content = nonce + NONCE_BYTES;
    size_t bucket = size - overhead_bytes(recipients);
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(o->plain, NULL, NULL, content,
                                                   bucket + TAG_BYTES, data, head_size,
                                                   nonce, o->content_key) != 0)
        return false;
    size_t length = 0;
    for (size_t i = 0; i < LENGTH_BYTES; i++)
        length = length << 8 | o->plain[i];
    if (length > SEAL_PLAIN_MAX || bucket_bytes(length, recipients) != bucket)
        return false;
    for (size_t i = LENGTH_BYTES + length; i < bucket; i++)
        if (o->plain[i] != 0)
            return false;
    *plain_size = length;
    return true;
}

bool seal_open(uint8_t *out, size_t *out_size, const uint8_t *data, size_t size,
               const struct key *k)
{
    size_t recipients = outline_recipients(data, size);
    if (recipients == 0)
        return false;
    struct opener *o = secret_alloc(sizeof *o);
    if (o == NULL)
        return false;
    size_t plain_size = 0;
    bool opened = open_slots(o, data, recipients, k) &&
                  open_content(o, data, size, recipients, &plain_size);
    if (opened) {
        memcpy(out, o->plain + LENGTH_BYTES, plain_size);
        *out_size = plain_size;
    }
    secret_free(o);
    return opened;
}

struct hash seal_commitment(const uint8_t salt[SEAL_SALT_BYTES], const uint8_t *data,
                            size_t size)
{
    return hash_context2(CTX_SEALED, salt, SEAL_SALT_BYTES, data, size);
}
