#include "crypto/keyfile.h"

#include <assert.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "crypto/internal.h"
#include "crypto/note.h"

#define FIRST_LINE "stoa-key-1"
#define SALT_BYTES crypto_pwhash_argon2id_SALTBYTES
#define NONCE_BYTES crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_BYTES crypto_aead_xchacha20poly1305_ietf_ABYTES
#define SEALED_BYTES (NONCE_BYTES + SEED_BYTES + TAG_BYTES)
#define WRAP_KEY_BYTES crypto_aead_xchacha20poly1305_ietf_KEYBYTES

#define COST_NORMAL_OPS 3
#define COST_NORMAL_BYTES (UINT64_C(64) << 20)
#define COST_TEST_OPS 1
#define COST_TEST_BYTES (UINT64_C(8) << 20)

_Static_assert(KEYFILE_KDF_BYTES_MAX <= crypto_pwhash_argon2id_MEMLIMIT_MAX, "libsodium");

struct kdf {
    uint64_t ops;
    uint64_t bytes;
    uint8_t salt[SALT_BYTES];
};

/* A key file taken apart; points into the text it was parsed from. */
struct parts {
    char role[KEYFILE_ROLE_MAX];
    struct pubkey pub;
    bool encrypted;
    struct kdf kdf;
    size_t head_size; /* what the seal authenticates: all lines but the last */
    const char *secret;
    size_t secret_size;
};

/* Short-lived secrets; always in secret_alloc memory. */
struct unwrapped {
    uint8_t wrap_key[WRAP_KEY_BYTES];
    uint8_t seed[SEED_BYTES];
};

const char *keyfile_result_text(enum keyfile_result r)
{
    switch (r) {
    case KEYFILE_OK:
        return "done";
    case KEYFILE_MALFORMED:
        return "this is not a key file, or it is damaged";
    case KEYFILE_PASSPHRASE:
        return "the passphrase is wrong, or the key file was changed";
    case KEYFILE_NEEDED:
        return "the key file is encrypted and no passphrase was given";
    case KEYFILE_LIMIT:
        return "the key file or its passphrase is over a limit";
    case KEYFILE_EXISTS:
        return "a file is there already; it was left alone";
    case KEYFILE_IO:
        return "the key file could not be read or written";
    case KEYFILE_MEMORY:
        return "there is not enough memory";
    }
    return "unknown result";
}

/* ---- parsing ---- */

static bool role_ok(const char *role, size_t size)
{
    if (size == 0 || size >= KEYFILE_ROLE_MAX)
        return false;
    for (size_t i = 0; i < size; i++)
        if (!((role[i] >= 'a' && role[i] <= 'z') || role[i] == '-'))
            return false;
    return true;
}

/* The value of the next line when that line begins with `name`. */
static bool take_line(const char **at, const char *end, const char *name,
                      const char **value, size_t *size)
{
    const char *lf = *at < end ? memchr(*at, '\n', (size_t)(end - *at)) : NULL;
    size_t name_size = strlen(name);
    if (lf == NULL || (size_t)(lf - *at) < name_size || memcmp(*at, name, name_size) != 0)
        return false;
    *value = *at + name_size;
    *size = (size_t)(lf - *value);
    *at = lf + 1;
    return true;
}

/* The next word of a line, up to a space or the line's end. */
static bool take_word(const char **at, const char *end, const char **word, size_t *size)
{
    if (*at >= end)
        return false;
    const char *space = memchr(*at, ' ', (size_t)(end - *at));
    *word = *at;
    *size = (size_t)((space != NULL ? space : end) - *at);
    *at = space != NULL ? space + 1 : end;
    return true;
}

static bool kdf_parse(struct parts *p, const char *value, size_t size)
{
    const char *end = value + size;
    const char *word;
    size_t word_size;
    if (!take_word(&value, end, &word, &word_size))
        return false;
    if (word_size == 4 && memcmp(word, "none", 4) == 0)
        return size == 4;
    if (word_size != 8 || memcmp(word, "argon2id", 8) != 0)
        return false;
    p->encrypted = true;

    size_t salt_size;
    return take_word(&value, end, &word, &word_size) &&
           decimal_parse(word, word_size, &p->kdf.ops) &&
           take_word(&value, end, &word, &word_size) &&
           decimal_parse(word, word_size, &p->kdf.bytes) &&
           base64_decode(p->kdf.salt, SALT_BYTES, &salt_size, value,
                         (size_t)(end - value)) &&
           salt_size == SALT_BYTES && p->kdf.ops >= crypto_pwhash_argon2id_OPSLIMIT_MIN &&
           p->kdf.bytes >= crypto_pwhash_argon2id_MEMLIMIT_MIN;
}

static bool parts_parse(struct parts *p, const char *text, size_t size)
{
    const char *at = text;
    const char *end = text + size;
    const char *value;
    size_t value_size;
    *p = (struct parts){.encrypted = false};
    if (size > KEYFILE_BYTES_MAX ||
        !take_line(&at, end, FIRST_LINE, &value, &value_size) || value_size != 0)
        return false;
    if (!take_line(&at, end, "role: ", &value, &value_size) ||
        !role_ok(value, value_size))
        return false;
    memcpy(p->role, value, value_size);
    if (!take_line(&at, end, "public: ", &value, &value_size) ||
        !hex_decode(p->pub.b, PUBKEY_BYTES, value, value_size))
        return false;
    if (!take_line(&at, end, "kdf: ", &value, &value_size) ||
        !kdf_parse(p, value, value_size))
        return false;
    p->head_size = (size_t)(at - text);
    return take_line(&at, end, p->encrypted ? "sealed: " : "seed: ", &p->secret,
                     &p->secret_size) &&
           at == end;
}

/* ---- wrapping ---- */

static enum keyfile_result derive(uint8_t out[WRAP_KEY_BYTES], const char *passphrase,
                                  const struct kdf *kdf)
{
    size_t size = strlen(passphrase);
    if (size == 0)
        return KEYFILE_NEEDED;
    if (size > PASSPHRASE_BYTES_MAX || kdf->ops > KEYFILE_KDF_OPS_MAX ||
        kdf->bytes > KEYFILE_KDF_BYTES_MAX)
        return KEYFILE_LIMIT;
    if (crypto_pwhash(out, WRAP_KEY_BYTES, passphrase, size, kdf->salt, kdf->ops,
                      (size_t)kdf->bytes, crypto_pwhash_ALG_ARGON2ID13) != 0)
        return KEYFILE_MEMORY;
    return KEYFILE_OK;
}

/* The first four lines; the kdf NULL when there is none. Returns their length. */
static size_t put_head(char *out, const struct key *k, const char *role,
                       const struct kdf *kdf)
{
    struct pubkey pub = key_public(k);
    char hex[2 * PUBKEY_BYTES + 1];
    hex_encode(hex, pub.b, PUBKEY_BYTES);
    int head = snprintf(out, KEYFILE_BYTES_MAX, FIRST_LINE "\nrole: %s\npublic: %s\n",
                        role, hex);
    assert(head > 0 && head < KEYFILE_BYTES_MAX);
    size_t used = (size_t)head;
    size_t left = KEYFILE_BYTES_MAX - used;
    int line;
    if (kdf == NULL) {
        line = snprintf(out + used, left, "kdf: none\n");
    } else {
        char salt[SALT_BYTES * 2];
        base64_encode(salt, sizeof salt, kdf->salt, SALT_BYTES);
        line = snprintf(out + used, left, "kdf: argon2id %" PRIu64 " %" PRIu64 " %s\n",
                        kdf->ops, kdf->bytes, salt);
    }
    assert(line > 0 && (size_t)line < left);
    return used + (size_t)line;
}

static enum keyfile_result encode_plain(char *out, const struct key *k, const char *role,
                                        struct unwrapped *u)
{
    char hex[2 * SEED_BYTES + 1];
    key_seed(k, u->seed);
    hex_encode(hex, u->seed, SEED_BYTES);
    size_t used = put_head(out, k, role, NULL);
    snprintf(out + used, KEYFILE_BYTES_MAX - used, "seed: %s\n", hex);
    secret_wipe(hex, sizeof hex);
    return KEYFILE_OK;
}

static enum keyfile_result encode_sealed(char *out, const struct key *k, const char *role,
                                         const char *passphrase, enum keyfile_cost cost,
                                         struct unwrapped *u)
{
    bool quick = cost == KEYFILE_COST_TEST;
    struct kdf kdf = {.ops = quick ? COST_TEST_OPS : COST_NORMAL_OPS,
                      .bytes = quick ? COST_TEST_BYTES : COST_NORMAL_BYTES};
    random_bytes(kdf.salt, SALT_BYTES);
    enum keyfile_result derived = derive(u->wrap_key, passphrase, &kdf);
    if (derived != KEYFILE_OK)
        return derived;

    size_t used = put_head(out, k, role, &kdf);
    uint8_t sealed[SEALED_BYTES];
    random_bytes(sealed, NONCE_BYTES);
    key_seed(k, u->seed);
    crypto_aead_xchacha20poly1305_ietf_encrypt(sealed + NONCE_BYTES, NULL, u->seed,
                                               SEED_BYTES, (const uint8_t *)out, used,
                                               NULL, sealed, u->wrap_key);
    char text[SEALED_BYTES * 2];
    base64_encode(text, sizeof text, sealed, sizeof sealed);
    snprintf(out + used, KEYFILE_BYTES_MAX - used, "sealed: %s\n", text);
    return KEYFILE_OK;
}

enum keyfile_result keyfile_encode(char *out, const struct key *k, const char *role,
                                   const char *passphrase, enum keyfile_cost cost)
{
    out[0] = 0;
    if (!role_ok(role, strnlen(role, KEYFILE_ROLE_MAX)))
        return KEYFILE_MALFORMED;
    struct unwrapped *u = secret_alloc(sizeof *u);
    if (u == NULL)
        return KEYFILE_MEMORY;
    enum keyfile_result result = passphrase == NULL
                                     ? encode_plain(out, k, role, u)
                                     : encode_sealed(out, k, role, passphrase, cost, u);
    secret_free(u);
    return result;
}

static enum keyfile_result unwrap(struct unwrapped *u, const struct parts *p,
                                  const char *text, const char *passphrase)
{
    if (!p->encrypted)
        return hex_decode(u->seed, SEED_BYTES, p->secret, p->secret_size)
                   ? KEYFILE_OK
                   : KEYFILE_MALFORMED;
    uint8_t sealed[SEALED_BYTES];
    size_t size;
    if (!base64_decode(sealed, sizeof sealed, &size, p->secret, p->secret_size) ||
        size != sizeof sealed)
        return KEYFILE_MALFORMED;
    if (passphrase == NULL)
        return KEYFILE_NEEDED;
    enum keyfile_result derived = derive(u->wrap_key, passphrase, &p->kdf);
    if (derived != KEYFILE_OK)
        return derived;
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(
            u->seed, NULL, NULL, sealed + NONCE_BYTES, SEALED_BYTES - NONCE_BYTES,
            (const uint8_t *)text, p->head_size, sealed, u->wrap_key) != 0)
        return KEYFILE_PASSPHRASE;
    return KEYFILE_OK;
}

enum keyfile_result keyfile_decode(struct key **out, char *role_out, const char *text,
                                   size_t size, const char *passphrase)
{
    *out = NULL;
    struct parts p;
    if (!parts_parse(&p, text, size))
        return KEYFILE_MALFORMED;
    struct unwrapped *u = secret_alloc(sizeof *u);
    if (u == NULL)
        return KEYFILE_MEMORY;
    enum keyfile_result result = unwrap(u, &p, text, passphrase);
    struct key *k = result == KEYFILE_OK ? key_from_seed(u->seed) : NULL;
    secret_free(u);
    if (result != KEYFILE_OK)
        return result;
    if (k == NULL)
        return KEYFILE_MEMORY;
    struct pubkey pub = key_public(k);
    if (!pubkey_equal(&pub, &p.pub)) {
        key_free(k);
        return KEYFILE_MALFORMED;
    }
    if (role_out != NULL)
        memcpy(role_out, p.role, KEYFILE_ROLE_MAX);
    *out = k;
    return KEYFILE_OK;
}

enum keyfile_result keyfile_peek(const char *text, size_t size, struct pubkey *pub,
                                 char *role_out, bool *encrypted)
{
    struct parts p;
    if (!parts_parse(&p, text, size))
        return KEYFILE_MALFORMED;
    *pub = p.pub;
    if (role_out != NULL)
        memcpy(role_out, p.role, KEYFILE_ROLE_MAX);
    if (encrypted != NULL)
        *encrypted = p.encrypted;
    return KEYFILE_OK;
}
