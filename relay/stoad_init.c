/* `stoad init`: make a hub where there is none. Nothing that exists is ever touched. */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger/failpoint.h"
#include "ledger/recover.h"
#include "relay/clock.h"
#include "relay/config.h"
#include "relay/highwater.h"
#include "relay/keys.h"
#include "relay/start.h"

enum init_code {
    INIT_EXISTS = 7820,
    INIT_FOLDER = 7821,
    INIT_KEYS = 7822,
    INIT_STORE = 7823
};

static bool exists(const char *dir, const char *name)
{
    char path[HIGHWATER_PATH_MAX];
    struct stat s;
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return stat(path, &s) == 0;
}

static int make_folder(const char *dir)
{
    if (mkdir(dir, 0700) == 0 || errno == EEXIST)
        return 0;
    say_error(INIT_FOLDER, dir, strerror(errno), "make its parent folder first");
    return CONFIG_EXIT;
}

/* Root in a folder that was made for somebody else: what init makes would be root's, and the
 * relay, run by that other user, could not open it. */
static int check_owner(const char *dir)
{
    struct stat s;
    if (geteuid() != 0 || stat(dir, &s) != 0 || s.st_uid == 0)
        return 0;
    char why[KEYS_WHY_MAX], hint[KEYS_WHY_MAX];
    const struct passwd *owner = getpwuid(s.st_uid);
    snprintf(why, sizeof(why), "belongs to %s (uid %u), and this is root",
             owner ? owner->pw_name : "somebody", (unsigned)s.st_uid);
    snprintf(hint, sizeof(hint), "runuser -u %s -- stoad init",
             owner ? owner->pw_name : "ITS-OWNER");
    say_error(INIT_FOLDER, dir, why, hint);
    return CONFIG_EXIT;
}

static void print_key(const char *what, const struct pubkey *k)
{
    char hex[2 * PUBKEY_BYTES + 1];
    hex_encode(hex, k->b, PUBKEY_BYTES);
    printf("%-12s %s\n", what, hex);
}

static void print_made(const struct relay_config *c, const struct store_identity *id,
                       const struct hub_pubkeys *keys)
{
    char hex[2 * HASH_BYTES + 1], text[VKEY_TEXT_MAX], origin[NOTE_NAME_MAX + 1];
    hex_encode(hex, id->federation.b, HASH_BYTES);
    printf("hub          %s\nfederation   %s\nslots        %u\nstate        %s\nkeys     "
           "    %s\n",
           id->hub, hex, (unsigned)id->slots, c->hub.state_dir, c->hub.keys_dir);
    print_key("log key", &keys->log);
    print_key("relay key", &keys->relay);
    print_key("issuer key", &keys->issuer);
    print_key("cosigner key", &keys->cosigner);
    for (uint32_t slot = 0; slot < id->slots; slot++) {
        struct vkey v;
        snprintf(origin, sizeof(origin), "%s/%02x", id->hub, (unsigned)slot);
        if (!vkey_make(&v, origin, NOTE_ED25519, &keys->log))
            continue;
        size_t n = vkey_format(&v, text, sizeof(text));
        printf("vkey         %.*s\n", (int)n, text);
    }
    snprintf(origin, sizeof(origin), COSIGNER_NAME, id->hub);
    struct vkey cosigner;
    if (vkey_make(&cosigner, origin, NOTE_COSIGNATURE, &keys->cosigner)) {
        size_t n = vkey_format(&cosigner, text, sizeof(text));
        printf("cosigner     %.*s\n", (int)n, text);
    }
    printf("next         move issuer.key to another machine: it creates points and the "
           "relay\n"
           "             does not need it. back up the keys folder. then: stoad run\n");
}

static enum err genesis(const struct relay_config *c, const struct store_identity *id,
                        const struct hub_keys *keys, const struct pubkey *issuer,
                        struct store_why *why)
{
    struct store *store = NULL;
    struct sequencer_config sc = {
        .mem = &alloc_heap, .relay = keys->relay, .log = keys->log, .slots = id->slots};
    struct recover_genesis g = {.federation = id->federation,
                                .hub = id->hub,
                                .issuer = *issuer,
                                .relay = keys->relay,
                                .log = key_public(keys->log)};
    random_bytes(&sc.map_seed, sizeof(sc.map_seed));
    TRY(store_create(c->store.uri, id, &store, why));
    FP("init.genesis");
    enum err e = recover_genesis(store, &sc, &g, clock_wall_ms());
    store->ops->close(store);
    return e;
}

int relay_init(const struct relay_config *c, const struct init_options *o)
{
    struct store_identity id = {.slots = o->slots ? o->slots : SLOTS_DEFAULT};
    struct hub_pubkeys public_keys;
    struct hub_keys keys = {0};
    struct store_why why = {{0}};
    char text[KEYS_WHY_MAX];
    if (strncmp(c->store.uri, "memory:", 7) == 0) {
        say_error(INIT_STORE, "store.uri", "a hub in memory is made by running it",
                  "stoad run --set store.uri=memory:");
        return CONFIG_EXIT;
    }
    if (exists(c->hub.state_dir, HIGHWATER_FILE)) {
        say_error(INIT_EXISTS, c->hub.state_dir,
                  "there is a hub already; nothing was changed", "");
        return CONFIG_EXIT;
    }
    random_bytes(id.federation.b, sizeof(id.federation.b));
    if (o->has_federation)
        id.federation = o->federation;
    snprintf(id.hub, sizeof(id.hub), "%.*s", HUB_NAME_MAX, c->hub.name);
    int bad = make_folder(c->hub.state_dir);
    if (!bad)
        bad = check_owner(c->hub.state_dir);
    if (bad)
        return bad;
    enum err e = hub_keys_generate(
        c->hub.keys_dir, c->keys.passphrase,
        o->quick_keys ? KEYFILE_COST_TEST : KEYFILE_COST_NORMAL, &public_keys, text);
    if (e == ERR_OK)
        e = hub_keys_load(&keys, c->hub.keys_dir, c->keys.passphrase, text);
    if (e != ERR_OK) {
        say_error(INIT_KEYS, "keys", text,
                  e == ERR_CONFIG ? "stoad init --set keys.passphrase=tty, which asks" : "");
        return CONFIG_EXIT;
    }
    FP("init.keys");
    e = genesis(c, &id, &keys, &public_keys.issuer, &why);
    hub_keys_close(&keys);
    if (e != ERR_OK) {
        say_error(INIT_STORE, "store", why.text[0] ? why.text : err_text(e),
                  "mend that, move the keys just made out of the keys folder, and run "
                  "stoad init again");
        return CONFIG_EXIT;
    }
    print_made(c, &id, &public_keys);
    return 0;
}
