/* Keys of an import: all derived from one seed that is saved before anything is sent. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "client/import.h"
#include "crypto/context.h"
#include "crypto/keyfile.h"

#define SEED_FILE "import.key"
#define SEED_ROLE "import"

/* SHA-256 over a fixed label, the master seed, what it is for, and whose. */
static struct hash derive(const struct import_keys *k, const char *what,
                          const char *party)
{
    static const char label[] = "stoa import seed 1";
    const struct hash_part parts[] = {{label, sizeof label},
                                      {k->master, sizeof k->master},
                                      {what, strlen(what) + 1},
                                      {party, strlen(party)}};
    return hash_parts(parts, sizeof parts / sizeof parts[0]);
}

static struct key *derived_key(const struct import_keys *k, const char *what,
                               const char *party)
{
    struct hash seed = derive(k, what, party);
    struct key *key = key_from_seed(seed.b);
    secret_wipe(&seed, sizeof seed);
    return key;
}

struct key *import_device(const struct import_keys *k, const char *party)
{
    return derived_key(k, "device", party);
}

static stoa_result make_seed(struct cli *c, const char *path, const char *passphrase)
{
    if (!passphrase && !cli_has(c, OPT_PLAINTEXT))
        return cli_fail(
            c, STOA_DENIED, ERR_NOT_ALLOWED, "--passphrase SOURCE, or --plaintext-keys",
            "the import's keys need a passphrase, or --plaintext-keys in words");
    struct key *key = key_generate();
    if (!key)
        return cli_fail(c, STOA_BUG, ERR_MEMORY, NULL, "no locked memory for a key");
    enum keyfile_result r =
        keyfile_save(path, key, SEED_ROLE, passphrase, KEYFILE_COST_NORMAL);
    key_free(key);
    if (r != KEYFILE_OK)
        return cli_fail(c, STOA_DATA, ERR_FILE, NULL, "%.200s: %s", path,
                        keyfile_result_text(r));
    return STOA_OK;
}

static stoa_result load(struct cli *c, const char *path, const char *role,
                        const char *passphrase, struct key **out)
{
    char found[KEYFILE_ROLE_MAX];
    bool encrypted = false;
    struct pubkey pub;
    enum keyfile_result r = keyfile_load_public(path, &pub, found, &encrypted);
    if (r == KEYFILE_OK)
        r = keyfile_load(path, out, found, encrypted ? passphrase : NULL);
    if (r == KEYFILE_PASSPHRASE || r == KEYFILE_NEEDED)
        return cli_fail(c, STOA_DENIED, ERR_NOT_ALLOWED, "--passphrase tty", "%.200s: %s",
                        path, keyfile_result_text(r));
    if (r != KEYFILE_OK)
        return cli_fail(c, STOA_DATA, ERR_FILE, NULL, "%.200s: %s", path,
                        keyfile_result_text(r));
    if (strcmp(found, role) != 0)
        return cli_fail(c, STOA_DATA, ERR_AUTHORITY, NULL,
                        "%.200s is a key of role %s, not %s", path, found, role);
    return STOA_OK;
}

stoa_result import_keys_load(struct cli *c, struct import_keys *k, const char *dir)
{
    char path[CLI_PATH_MAX];
    struct key *master = NULL;
    struct stat st;
    memset(k, 0, sizeof *k);
    if (!crypto_start())
        return cli_fail(c, STOA_BUG, ERR_BUG, NULL, "the crypto library does not start");
    if (cli_has(c, OPT_PASSPHRASE)) {
        c->passphrase =
            cli_passphrase(c, c->value[OPT_PASSPHRASE], "Passphrase: ", false);
        if (!c->passphrase)
            return STOA_DENIED;
    }
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return cli_fail(c, STOA_DATA, ERR_FILE, "--work DIR", "%.200s: %s", dir,
                        strerror(errno));
    (void)snprintf(path, sizeof path, "%.1000s/" SEED_FILE, dir);
    stoa_result r = STOA_OK;
    if (stat(path, &st) != 0)
        r = make_seed(c, path, c->passphrase);
    if (r == STOA_OK)
        r = load(c, path, SEED_ROLE, c->passphrase, &master);
    if (r == STOA_OK) {
        key_seed(master, k->master);
        r = load(c, c->value[OPT_ISSUER_KEY], "issuer", c->passphrase, &k->issuer);
    }
    key_free(master);
    if (r == STOA_OK)
        k->issuer_public = key_public(k->issuer);
    return r;
}

void import_keys_close(struct import_keys *k)
{
    key_free(k->issuer);
    secret_wipe(k, sizeof *k);
}

enum err import_open_entry(const struct import_keys *k, const struct bank_party *p,
                           const struct hash *federation, const char *hub, uint8_t *out,
                           size_t *size, struct hash *id)
{
    static struct payload payload; /* large */
    static uint8_t room[IMPORT_ENTRY_MAX];
    uint8_t message[MESSAGE_BYTES_MAX];
    struct key *root = derived_key(k, "root", p->name),
               *device = import_device(k, p->name);
    enum err r = ERR_MEMORY;
    if (root && device) {
        struct pubkey device_public = key_public(device);
        struct entry entry;
        payload.kind = KIND_OPEN;
        payload.open = (struct p_open){.federation = *federation,
                                       .hub = bytes_of(hub, strlen(hub)),
                                       .root = key_public(root),
                                       .residency = RESIDENCY_GLOBAL,
                                       .nonce = derive(k, "nonce", p->name)};
        size_t n = grant_open_message(message, &payload.open, &device_public);
        payload.open.root_sig = key_sign(root, CTX_DEVICE, message, n);
        struct mp_writer w = mp_writer_of(room, sizeof room);
        payload_encode(&w, &payload);
        struct entry_draft draft = {.seq = 0,
                                    .lamport = 1,
                                    .time_ms = p->time_ms,
                                    .kind = KIND_OPEN,
                                    .payload = bytes_of(room, w.size)};
        r = entry_build(&draft, device, out, IMPORT_ENTRY_MAX, size);
        if (r == ERR_OK)
            r = entry_decode(&entry, out, *size);
        if (r == ERR_OK)
            *id = entry.id;
    }
    key_free(root);
    key_free(device);
    return r;
}
