/* The wallet's key files: found by public key, unlocked when first needed. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/wallet.h"
#include "crypto/keyfile.h"

#define KEY_SUFFIX ".key"
#define KEY_NAME_HEX 16 /* digits of the public key in a file's name */
#define PASSPHRASE_TRIES 3

static bool has_suffix(const char *name)
{
    size_t n = strlen(name), m = strlen(KEY_SUFFIX);
    return n > m && strcmp(name + n - m, KEY_SUFFIX) == 0;
}

static bool key_path(const stoa_wallet *w, const char *file, char *out, size_t cap)
{
    int n = snprintf(out, cap, "%s/keys/%s", w->dir, file);
    return n > 0 && (size_t)n < cap;
}

static enum err load_one(stoa_wallet *w, const char *file, char *why, size_t why_cap)
{
    char path[WALLET_PATH_MAX + 128];
    if (w->key_count == WALLET_KEYS_MAX || strlen(file) >= sizeof(w->keys[0].file) ||
        !key_path(w, file, path, sizeof(path))) {
        snprintf(why, why_cap, "too many key files in %s/keys", w->dir);
        return ERR_CONFIG;
    }
    struct wallet_key *k = &w->keys[w->key_count];
    memset(k, 0, sizeof(*k));
    enum keyfile_result r = keyfile_load_public(path, &k->pub, k->role, &k->encrypted);
    if (r != KEYFILE_OK) {
        snprintf(why, why_cap, "%s: %s", path, keyfile_result_text(r));
        return ERR_CONFIG;
    }
    snprintf(k->file, sizeof(k->file), "%s", file);
    w->key_count++;
    return ERR_OK;
}

enum err keys_load(stoa_wallet *w, char *why, size_t why_cap)
{
    char path[WALLET_PATH_MAX + 128];
    if (!key_path(w, "", path, sizeof(path)))
        return ERR_USAGE;
    DIR *dir = opendir(path);
    if (!dir) {
        snprintf(why, why_cap, "%s: %s", path, strerror(errno));
        return ERR_MISSING;
    }
    enum err e = ERR_OK;
    for (struct dirent *d = readdir(dir); d && e == ERR_OK; d = readdir(dir))
        if (d->d_name[0] != '.' && has_suffix(d->d_name))
            e = load_one(w, d->d_name, why, why_cap);
    closedir(dir);
    return e;
}

void keys_close(stoa_wallet *w)
{
    for (unsigned i = 0; i < w->key_count; i++)
        key_free(w->keys[i].key);
    w->key_count = 0;
}

static struct wallet_key *find(const stoa_wallet *w, const struct pubkey *pub)
{
    for (unsigned i = 0; i < w->key_count; i++)
        if (pubkey_equal(&w->keys[i].pub, pub))
            return (struct wallet_key *)(uintptr_t)&w->keys[i];
    return NULL;
}

bool keys_have(const stoa_wallet *w, const struct pubkey *pub, const char *role)
{
    const struct wallet_key *k = find(w, pub);
    return k && strcmp(k->role, role) == 0;
}

const struct wallet_key *keys_first(const stoa_wallet *w, const char *role)
{
    for (unsigned i = 0; i < w->key_count; i++)
        if (strcmp(w->keys[i].role, role) == 0)
            return &w->keys[i];
    return NULL;
}

/* Ask until it is right; what was typed is wiped. */
static stoa_result unlock_file(stoa_wallet *w, const char *path, const char *role,
                               bool encrypted, struct key **out, stoa_error *error)
{
    char *text = NULL;
    enum keyfile_result r = KEYFILE_NEEDED;
    if (!encrypted) {
        r = keyfile_load(path, out, NULL, NULL);
    } else if (w->passphrase) {
        text = secret_alloc(STOA_PASSPHRASE_MAX);
        if (!text)
            return because(error, ERR_MEMORY, "no locked memory for a passphrase");
        for (int i = 0; i < PASSPHRASE_TRIES; i++) {
            text[0] = '\0';
            if (!w->passphrase(w->passphrase_context, role, i > 0, text,
                               STOA_PASSPHRASE_MAX))
                break;
            text[STOA_PASSPHRASE_MAX - 1] = '\0';
            r = keyfile_load(path, out, NULL, text);
            if (r != KEYFILE_PASSPHRASE)
                break;
        }
        secret_free(text);
    }
    if (r == KEYFILE_OK)
        return STOA_OK;
    bool denied = r == KEYFILE_PASSPHRASE || r == KEYFILE_NEEDED;
    return because_as(error, denied ? STOA_DENIED : STOA_CONFIG,
                      denied ? ERR_NOT_ALLOWED : ERR_CONFIG, "%s: %s", path,
                      keyfile_result_text(r));
}

stoa_result keys_unlock(stoa_wallet *w, const struct pubkey *pub, const struct key **out,
                        stoa_error *error)
{
    struct wallet_key *k = find(w, pub);
    char path[WALLET_PATH_MAX + 128];
    if (!k)
        return because_as(error, STOA_DENIED, ERR_NOT_ALLOWED,
                          "the key needed is not in this wallet");
    if (!k->key) {
        if (!key_path(w, k->file, path, sizeof(path)))
            return because(error, ERR_USAGE, "path too long");
        TRY_R(unlock_file(w, path, k->role, k->encrypted, &k->key, error));
        struct pubkey found = key_public(k->key);
        if (!pubkey_equal(&found, pub)) {
            key_free(k->key);
            k->key = NULL;
            return because(error, ERR_CONFIG, "%s: holds another key than it says", path);
        }
    }
    *out = k->key;
    return STOA_OK;
}

static stoa_result save(stoa_wallet *w, const struct key *key, const char *role,
                        const char *file, const char *passphrase, stoa_error *error)
{
    char path[WALLET_PATH_MAX + 128];
    if (!key_path(w, file, path, sizeof(path)))
        return because(error, ERR_USAGE, "path too long");
    enum keyfile_result r =
        keyfile_save(path, key, role, passphrase,
                     w->flags & STOA_QUICK_KDF ? KEYFILE_COST_TEST : KEYFILE_COST_NORMAL);
    if (r == KEYFILE_OK)
        return STOA_OK;
    return because(error, r == KEYFILE_EXISTS ? ERR_EXISTS : ERR_FILE, "%s: %s", path,
                   keyfile_result_text(r));
}

/* The passphrase a new key file is to have; NULL in *text for plain text. */
static stoa_result new_passphrase(stoa_wallet *w, const char *role, char **text,
                                  stoa_error *error)
{
    *text = NULL;
    if (w->flags & STOA_PLAINTEXT_KEYS)
        return STOA_OK;
    if (!w->passphrase)
        return because(error, ERR_NOT_ALLOWED, "a passphrase is needed for a new key");
    *text = secret_alloc(STOA_PASSPHRASE_MAX);
    if (!*text)
        return because(error, ERR_MEMORY, "no locked memory for a passphrase");
    (*text)[0] = '\0';
    if (w->passphrase(w->passphrase_context, role, false, *text, STOA_PASSPHRASE_MAX) &&
        memchr(*text, 0, STOA_PASSPHRASE_MAX) && (*text)[0])
        return STOA_OK;
    secret_free(*text);
    *text = NULL;
    return because(error, ERR_NOT_ALLOWED, "no passphrase was given for the %s key",
                   role);
}

stoa_result keys_make(stoa_wallet *w, const char *role, const uint8_t *seed,
                      struct pubkey *pub, stoa_error *error)
{
    if (w->key_count == WALLET_KEYS_MAX)
        return because(error, ERR_LIMIT, "this wallet has its largest number of keys");
    char *text;
    TRY_R(new_passphrase(w, role, &text, error));
    struct key *key = seed ? key_from_seed(seed) : key_generate();
    if (!key) {
        secret_free(text);
        return because(error, ERR_MEMORY, "no locked memory for a key");
    }
    struct wallet_key *k = &w->keys[w->key_count];
    memset(k, 0, sizeof(*k));
    k->pub = key_public(key);
    k->encrypted = text != NULL;
    char hex[2 * PUBKEY_BYTES + 1];
    hex_encode(hex, k->pub.b, PUBKEY_BYTES);
    snprintf(k->role, sizeof(k->role), "%s", role);
    snprintf(k->file, sizeof(k->file), "%s-%.*s%s", role, KEY_NAME_HEX, hex, KEY_SUFFIX);
    stoa_result r = save(w, key, role, k->file, text, error);
    secret_free(text);
    if (r != STOA_OK) {
        key_free(key);
        return r;
    }
    k->key = key;
    *pub = k->pub;
    w->key_count++;
    return STOA_OK;
}

/* ---- public --------------------------------------------------------------------------
 */

static stoa_result by_role(stoa_wallet *w, const char *role,
                           const struct wallet_key **out, stoa_error *error)
{
    *out = strcmp(role, "device") == 0 ? &w->keys[w->device] : keys_first(w, role);
    return *out ? STOA_OK
                : because(error, ERR_MISSING, "this wallet has no %s key", role);
}

stoa_result stoa_key_export(stoa_wallet *w, const char *role,
                            uint8_t seed[STOA_KEY_SEED_BYTES], stoa_error *error)
{
    const struct wallet_key *k;
    const struct key *key;
    TRY_R(by_role(w, role, &k, error));
    TRY_R(keys_unlock(w, &k->pub, &key, error));
    key_seed(key, seed);
    return STOA_OK;
}

/* Opens the file anew, so that an already unlocked key does not answer. */
stoa_result stoa_key_check(stoa_wallet *w, const char *role, stoa_error *error)
{
    const struct wallet_key *k;
    char path[WALLET_PATH_MAX + 128];
    struct key *key = NULL;
    TRY_R(by_role(w, role, &k, error));
    if (!key_path(w, k->file, path, sizeof(path)))
        return because(error, ERR_USAGE, "path too long");
    stoa_result r = unlock_file(w, path, k->role, k->encrypted, &key, error);
    key_free(key);
    return r;
}

/* Each file is written whole under a new name and then takes the old one's place. */
stoa_result stoa_key_rewrap(stoa_wallet *w, const char *passphrase, stoa_error *error)
{
    for (unsigned i = 0; i < w->key_count; i++) {
        const struct key *key;
        TRY_R(keys_unlock(w, &w->keys[i].pub, &key, error));
    }
    for (unsigned i = 0; i < w->key_count; i++) {
        struct wallet_key *k = &w->keys[i];
        char file[sizeof(k->file) + 8], from[WALLET_PATH_MAX + 128],
            to[WALLET_PATH_MAX + 128];
        snprintf(file, sizeof(file), "%s.new", k->file);
        if (!key_path(w, file, from, sizeof(from)) ||
            !key_path(w, k->file, to, sizeof(to)))
            return because(error, ERR_USAGE, "path too long");
        (void)unlink(from); /* left by an interrupted rewrap */
        TRY_R(save(w, k->key, k->role, file, passphrase, error));
        if (rename(from, to) != 0)
            return because(error, ERR_FILE, "%s: %s", to, strerror(errno));
        k->encrypted = passphrase != NULL;
    }
    return STOA_OK;
}

stoa_result stoa_recovery_key_create(const char *path, const char *passphrase,
                                     stoa_id *key, stoa_error *error)
{
    if (!crypto_start())
        return because(error, ERR_BUG, "crypto library does not pass its self-check");
    struct key *k = key_generate();
    if (!k)
        return because(error, ERR_MEMORY, "no locked memory for a key");
    struct pubkey pub = key_public(k);
    enum keyfile_result r =
        keyfile_save(path, k, "recovery", passphrase, KEYFILE_COST_NORMAL);
    key_free(k);
    if (r != KEYFILE_OK)
        return because(error, r == KEYFILE_EXISTS ? ERR_EXISTS : ERR_FILE, "%s: %s", path,
                       keyfile_result_text(r));
    *key = id_of_key(&pub);
    return STOA_OK;
}
