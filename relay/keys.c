#include "relay/keys.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES_MAX 600
#define PLAIN_SOURCE "none"

struct role_file {
    const char *role;
    const char *file;
};
enum { FILE_LOG, FILE_RELAY, FILE_ISSUER, FILE_COSIGNER, FILE_COUNT };
static const struct role_file files[FILE_COUNT] = {{"log", "log.key"},
                                                   {"relay", "relay.key"},
                                                   {"issuer", "issuer.key"},
                                                   {"cosigner", "cosigner.key"}};

static enum err say(char *why, enum err e, const char *what, const char *path,
                    const char *detail)
{
    snprintf(why, KEYS_WHY_MAX, "%s%s%s%s%s", what, path[0] ? " " : "", path,
             detail[0] ? ": " : "", detail);
    return e;
}

static bool path_of(char *out, const char *dir, const struct role_file *f)
{
    int n = snprintf(out, PATH_BYTES_MAX, "%s/%s", dir, f->file);
    return n > 0 && n < PATH_BYTES_MAX;
}

static enum err err_of(enum keyfile_result r)
{
    switch (r) {
    case KEYFILE_OK:
        return ERR_OK;
    case KEYFILE_PASSPHRASE:
    case KEYFILE_NEEDED:
        return ERR_CONFIG;
    case KEYFILE_EXISTS:
        return ERR_EXISTS;
    case KEYFILE_MEMORY:
        return ERR_MEMORY;
    case KEYFILE_IO:
        return errno == ENOENT ? ERR_MISSING : ERR_FILE;
    case KEYFILE_MALFORMED:
    case KEYFILE_LIMIT:
        break;
    }
    return ERR_FILE;
}

static enum err say_result(char *why, enum keyfile_result r, const char *path)
{
    enum err e = err_of(r);
    const char *detail = r == KEYFILE_IO ? strerror(errno) : keyfile_result_text(r);
    return say(why, e, e == ERR_MISSING ? "there is no key file" : "cannot use key file",
               path, detail);
}

/* *out is NULL for plain files, else released by secret_free. */
static enum err read_passphrase(char **out, const char *source, const char *prompt,
                                bool confirm, char *why)
{
    *out = NULL;
    if (strcmp(source, PLAIN_SOURCE) == 0)
        return ERR_OK;
    const char *reason = "";
    *out = passphrase_read(source, prompt, confirm, &reason);
    if (!*out)
        return say(why, ERR_CONFIG, "no passphrase for the key files from", source, reason);
    return ERR_OK;
}

/* Secret keys lie in it: nobody else may even read the plain ones. */
static enum err check_mode(const char *path, char *why)
{
    struct stat s;
    if (stat(path, &s) != 0) {
        enum err e = errno == ENOENT ? ERR_MISSING : ERR_FILE;
        return say(why, e,
                   e == ERR_MISSING ? "there is no key file" : "cannot read key file",
                   path, strerror(errno));
    }
    if (s.st_mode & 077)
        return say(why, ERR_FILE, "key file can be read by others:", path,
                   "chmod 600 it, and think about who did");
    return ERR_OK;
}

static enum err load_one(struct key **out, const char *path, const char *role,
                         const char *passphrase, char *why)
{
    char found[KEYFILE_ROLE_MAX];
    enum keyfile_result r = keyfile_load(path, out, found, passphrase);
    if (r != KEYFILE_OK)
        return say_result(why, r, path);
    if (role && strcmp(found, role) != 0) {
        key_free(*out);
        *out = NULL;
        return say(why, ERR_FILE, "key file has another role:", path, found);
    }
    return ERR_OK;
}

static enum err peek_one(struct pubkey *out, const char *path, const char *role,
                         bool *encrypted, char *why)
{
    char found[KEYFILE_ROLE_MAX];
    enum keyfile_result r = keyfile_load_public(path, out, found, encrypted);
    if (r != KEYFILE_OK)
        return say_result(why, r, path);
    if (role && strcmp(found, role) != 0)
        return say(why, ERR_FILE, "key file has another role:", path, found);
    return ERR_OK;
}

enum err key_file_open(struct key **out, const char *path, const char *role,
                       const char *source, char *why)
{
    *out = NULL;
    why[0] = '\0';
    struct pubkey pub;
    bool encrypted;
    TRY(check_mode(path, why));
    TRY(peek_one(&pub, path, role, &encrypted, why));
    char *passphrase = NULL;
    if (encrypted) {
        if (strcmp(source, PLAIN_SOURCE) == 0)
            return say(why, ERR_CONFIG, "key file is encrypted:", path,
                       "say where its passphrase comes from");
        TRY(read_passphrase(&passphrase, source, "passphrase: ", false, why));
    }
    enum err e = load_one(out, path, role, passphrase, why);
    secret_free(passphrase);
    return e;
}

enum err hub_keys_load(struct hub_keys *out, const char *dir, const char *source,
                       char *why)
{
    static const unsigned wanted[] = {FILE_LOG, FILE_RELAY, FILE_COSIGNER};
    struct key **const keys[] = {&out->log, &out->relay, &out->cosigner};
    char log_path[PATH_BYTES_MAX], relay_path[PATH_BYTES_MAX], own_path[PATH_BYTES_MAX];
    char *const paths[] = {log_path, relay_path, own_path};
    bool any_encrypted = false;
    size_t count = sizeof wanted / sizeof wanted[0];
    *out = (struct hub_keys){0};
    why[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        struct pubkey pub;
        bool encrypted;
        if (!path_of(paths[i], dir, &files[wanted[i]]))
            return say(why, ERR_FILE, "path is too long:", dir, "");
        enum err e = check_mode(paths[i], why);
        if (e == ERR_MISSING && wanted[i] == FILE_COSIGNER) {
            count = i;
            why[0] = '\0';
            break;
        }
        if (e != ERR_OK)
            return e;
        TRY(peek_one(&pub, paths[i], files[wanted[i]].role, &encrypted, why));
        any_encrypted = any_encrypted || encrypted;
    }
    char *passphrase = NULL;
    if (any_encrypted) {
        if (strcmp(source, PLAIN_SOURCE) == 0)
            return say(why, ERR_CONFIG, "key files are encrypted:", dir,
                       "set keys.passphrase to where the passphrase comes from");
        TRY(read_passphrase(&passphrase, source, "passphrase of the hub's keys: ", false,
                            why));
    }
    enum err e = ERR_OK;
    for (size_t i = 0; i < count && e == ERR_OK; i++)
        e = load_one(keys[i], paths[i], files[wanted[i]].role, passphrase, why);
    secret_free(passphrase);
    if (e != ERR_OK)
        hub_keys_close(out);
    return e;
}

void hub_keys_close(struct hub_keys *k)
{
    key_free(k->log);
    key_free(k->relay);
    key_free(k->cosigner);
    *k = (struct hub_keys){0};
}

enum err hub_keys_public(struct hub_pubkeys *out, const char *dir, char *why)
{
    struct pubkey *const keys[FILE_COUNT] = {&out->log, &out->relay, &out->issuer,
                                             &out->cosigner};
    why[0] = '\0';
    for (size_t i = 0; i < FILE_COUNT; i++) {
        char path[PATH_BYTES_MAX];
        bool encrypted;
        if (!path_of(path, dir, &files[i]))
            return say(why, ERR_FILE, "path is too long:", dir, "");
        enum err e = peek_one(keys[i], path, files[i].role, &encrypted, why);
        if (e == ERR_MISSING && i == FILE_COSIGNER)
            *keys[i] = (struct pubkey){{0}};
        else if (e != ERR_OK)
            return e;
    }
    why[0] = '\0';
    return ERR_OK;
}

/* Nothing of a hub's keys may be in the way, before anything is written. */
static enum err check_free(const char *dir, char *why)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return say(why, ERR_FILE, "cannot make folder", dir, strerror(errno));
    for (size_t i = 0; i < FILE_COUNT; i++) {
        char path[PATH_BYTES_MAX];
        if (!path_of(path, dir, &files[i]))
            return say(why, ERR_FILE, "path is too long:", dir, "");
        struct stat s;
        if (lstat(path, &s) == 0)
            return say(why, ERR_EXISTS, "key file is there already:", path,
                       "nothing was written");
    }
    return ERR_OK;
}

static enum err generate_one(const char *path, const char *role, const char *passphrase,
                             enum keyfile_cost cost, struct pubkey *pub, char *why)
{
    struct key *k = key_generate();
    if (!k)
        return say(why, ERR_MEMORY, "no locked memory for a key", "", "");
    *pub = key_public(k);
    enum keyfile_result r = keyfile_save(path, k, role, passphrase, cost);
    key_free(k);
    return r == KEYFILE_OK ? ERR_OK : say_result(why, r, path);
}

enum err hub_keys_generate(const char *dir, const char *source, enum keyfile_cost cost,
                           struct hub_pubkeys *out, char *why)
{
    struct pubkey *const keys[FILE_COUNT] = {&out->log, &out->relay, &out->issuer,
                                             &out->cosigner};
    char paths[FILE_COUNT][PATH_BYTES_MAX];
    why[0] = '\0';
    TRY(check_free(dir, why));
    char *passphrase;
    TRY(read_passphrase(&passphrase, source, "new passphrase for the hub's keys: ", true,
                        why));
    enum err e = ERR_OK;
    size_t written = 0;
    for (; written < FILE_COUNT && e == ERR_OK; written += e == ERR_OK)
        e = path_of(paths[written], dir, &files[written])
                ? generate_one(paths[written], files[written].role, passphrase, cost,
                               keys[written], why)
                : ERR_FILE;
    secret_free(passphrase);
    if (e != ERR_OK)
        while (written > 0)
            unlink(paths[--written]);
    return e;
}

enum err key_file_make(const char *path, const char *role, const char *source,
                       enum keyfile_cost cost, struct pubkey *out, char *why)
{
    struct stat s;
    char *passphrase;
    why[0] = '\0';
    if (lstat(path, &s) == 0)
        return say(why, ERR_EXISTS, "key file is there already:", path,
                   "nothing was written");
    TRY(read_passphrase(&passphrase, source, "new passphrase for the key file: ", true,
                        why));
    enum err e = generate_one(path, role, passphrase, cost, out, why);
    secret_free(passphrase);
    return e;
}
