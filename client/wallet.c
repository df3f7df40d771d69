/* A wallet's directory: keys/, stoa.db, and `wallet`, a small text card that survives the
 * database: which hub, which accounts. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "client/wallet.h"
#include "ledger/address.h"

#define CARD_FIRST "stoa-wallet-1"
#define TRUST_FIRST "first-use" /* how the hub's identity came to be believed */
#define TRUST_GIVEN "fingerprint"
#define CARD_MAX (1u << 20)
#define UNRESOLVED_STATES ((1u << CLIENT_SAVED) | (1u << CLIENT_SENT))

uint64_t clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t mono_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void wallet_set_dial(stoa_wallet *w, dial_fn dial, void *context)
{
    w->dial = dial;
    w->dial_context = context;
}

static bool path_in(const char *dir, const char *name, char *out)
{
    int n = snprintf(out, WALLET_PATH_MAX, "%s/%s", dir, name);
    return n > 0 && n < WALLET_PATH_MAX;
}

/* ---- the card ------------------------------------------------------------------------
 */

static enum err write_whole(const char *dir, const char *name, const char *text,
                            size_t size)
{
    char from[WALLET_PATH_MAX], to[WALLET_PATH_MAX];
    char temporary[64];
    snprintf(temporary, sizeof(temporary), "%s.new", name);
    if (!path_in(dir, temporary, from) || !path_in(dir, name, to))
        return ERR_USAGE;
    int fd = open(from, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return ERR_FILE;
    bool ok = write(fd, text, size) == (ssize_t)size && fsync(fd) == 0;
    ok = close(fd) == 0 && ok;
    if (!ok || rename(from, to) != 0)
        return ERR_FILE;
    int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (at >= 0) {
        (void)fsync(at);
        (void)close(at);
    }
    return ERR_OK;
}

static bool add_line(struct buf *b, const char *name, const char *value)
{
    return buf_add(b, name, strlen(name)) && buf_add(b, ": ", 2) &&
           buf_add(b, value, strlen(value)) && buf_add(b, "\n", 1);
}

stoa_result wallet_save_card(stoa_wallet *w, stoa_error *error)
{
    struct buf b = {0};
    char hex[65], line[ADDRESS_TEXT_MAX + CLIENT_NAME_MAX + 2];
    if (w->batch) {
        w->card_due = true;
        return STOA_OK;
    }
    bool ok = buf_add(&b, CARD_FIRST "\n", strlen(CARD_FIRST) + 1);
    hex_encode(hex, device_key(w)->b, PUBKEY_BYTES);
    ok = ok && add_line(&b, "device", hex);
    if (w->has_hub) {
        hex_encode(hex, w->fingerprint.b, HASH_BYTES);
        ok = ok && add_line(&b, "url", w->url) && add_line(&b, "hub", w->hub) &&
             add_line(&b, "fingerprint", hex);
        if (w->met_ms) {
            snprintf(line, sizeof(line), "%s %" PRIu64, w->first_use ? TRUST_FIRST : TRUST_GIVEN,
                     w->met_ms);
            ok = ok && add_line(&b, "trust", line);
        }
    }
    for (unsigned i = 0; i < w->account_count; i++) {
        const struct client_account *a = &w->accounts[i]->row;
        size_t n = address_format(line, &a->id, w->hub);
        snprintf(line + n, sizeof(line) - n, " %s", a->name);
        ok = ok && add_line(&b, "account", line);
    }
    enum err e =
        ok ? write_whole(w->dir, "wallet", (const char *)b.data, b.size) : ERR_MEMORY;
    buf_close(&b);
    return e == ERR_OK ? STOA_OK
                       : because(error, e, "%s/wallet: %s", w->dir, strerror(errno));
}

static char *read_whole(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    char *text = NULL;
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && st.st_size <= CARD_MAX) {
        text = malloc((size_t)st.st_size + 1);
        ssize_t n = text ? read(fd, text, (size_t)st.st_size) : -1;
        if (n < 0) {
            free(text);
            text = NULL;
        } else {
            text[n] = '\0';
        }
    }
    (void)close(fd);
    return text;
}

struct card {
    struct pubkey device;
    bool has_device;
    char url[STOA_URL_MAX];
    char fingerprint[65];
    bool first_use;
    uint64_t met_ms;
};

/* How the identity came to be believed, and when. */
static void card_trust(struct card *c, const char *value)
{
    const char *ms = strchr(value, ' ');
    if (!ms)
        return;
    c->first_use = strncmp(value, TRUST_FIRST " ", strlen(TRUST_FIRST) + 1) == 0;
    c->met_ms = strtoull(ms + 1, NULL, 10);
}

/* An account line gives back what the database may have lost. */
static enum err card_account(stoa_wallet *w, char *value)
{
    char *name = strchr(value, ' ');
    struct hash id;
    struct client_account a;
    if (name)
        *name++ = '\0';
    if (!address_parse(value, &id, NULL))
        return ERR_CONFIG;
    enum err e = client_store_account(w->store, &id, &a);
    if (e != ERR_NOT_FOUND)
        return e;
    memset(&a, 0, sizeof(a));
    a.id = id;
    a.slot = UINT32_MAX; /* known after the next connect */
    snprintf(a.name, sizeof(a.name), "%s", name ? name : "");
    return client_store_account_add(w->store, &a);
}

static enum err read_card(stoa_wallet *w, char *text, struct card *c)
{
    char *rest = text;
    char *line = strsep(&rest, "\n");
    memset(c, 0, sizeof(*c));
    if (!line || strcmp(line, CARD_FIRST) != 0)
        return ERR_CONFIG;
    while ((line = strsep(&rest, "\n")) != NULL) {
        char *value = strstr(line, ": ");
        if (!value)
            continue;
        *value = '\0';
        value += 2;
        if (strcmp(line, "device") == 0)
            c->has_device = hex_decode(c->device.b, PUBKEY_BYTES, value, strlen(value));
        else if (strcmp(line, "url") == 0)
            snprintf(c->url, sizeof(c->url), "%s", value);
        else if (strcmp(line, "fingerprint") == 0)
            snprintf(c->fingerprint, sizeof(c->fingerprint), "%s", value);
        else if (strcmp(line, "trust") == 0)
            card_trust(c, value);
        else if (strcmp(line, "account") == 0 && w->store)
            TRY(card_account(w, value));
    }
    return c->has_device ? ERR_OK : ERR_CONFIG;
}

/* ---- create --------------------------------------------------------------------------
 */

static stoa_result take_options(stoa_wallet *w, const char *dir,
                                const stoa_options *given, stoa_options *o,
                                stoa_error *error)
{
    memset(o, 0, sizeof(*o));
    o->size = sizeof(*o);
    if (given)
        memcpy(o, given, given->size < sizeof(*o) ? given->size : sizeof(*o));
    if (!dir || strlen(dir) == 0 || strlen(dir) >= sizeof(w->dir) - 64)
        return because(error, ERR_USAGE, "name a wallet directory");
    if (!crypto_start())
        return because(error, ERR_BUG, "crypto library does not pass its self-check");
    if ((o->fingerprint && strlen(o->fingerprint) != 64) ||
        (o->ca_file && strlen(o->ca_file) >= sizeof(w->ca_file)))
        return because(error, ERR_USAGE, "fingerprint has 64 hex digits");
    snprintf(w->dir, sizeof(w->dir), "%s", dir);
    w->lock_fd = -1;
    w->flags = o->flags;
    w->passphrase = o->passphrase;
    w->passphrase_context = o->passphrase_context;
    w->timeout_ms = o->timeout_ms ? o->timeout_ms : STOA_TIMEOUT_DEFAULT_MS;
    if (o->fingerprint)
        memcpy(w->fingerprint_wanted, o->fingerprint, 64);
    if (o->ca_file)
        snprintf(w->ca_file, sizeof(w->ca_file), "%s", o->ca_file);
    w->now_ms = clock_ms;
    w->dial = link_dial;
    return STOA_OK;
}

static stoa_result make_dirs(stoa_wallet *w, stoa_error *error)
{
    char path[WALLET_PATH_MAX];
    if (mkdir(w->dir, 0700) != 0 && errno != EEXIST)
        return because(error, ERR_FILE, "%s: %s", w->dir, strerror(errno));
    if (!path_in(w->dir, "wallet", path) || access(path, F_OK) == 0)
        return because(error, ERR_EXISTS,
                       "%s holds a wallet already; nothing was changed", w->dir);
    if (!path_in(w->dir, "keys", path) || (mkdir(path, 0700) != 0 && errno != EEXIST))
        return because(error, ERR_FILE, "%s: %s", path, strerror(errno));
    return STOA_OK;
}

stoa_result stoa_wallet_create(const char *dir, const stoa_options *options,
                               stoa_error *error)
{
    stoa_options o;
    stoa_wallet *w = calloc(1, sizeof(*w));
    if (!w)
        return because(error, ERR_MEMORY, "out of memory");
    struct pubkey pub;
    stoa_result r = take_options(w, dir, options, &o, error);
    if (r == STOA_OK)
        r = make_dirs(w, error);
    if (r == STOA_OK && !(o.flags & STOA_DEVICE_ONLY))
        r = keys_make(w, "root", o.root_seed, &pub, error);
    w->device = w->key_count;
    if (r == STOA_OK)
        r = keys_make(w, "device", o.device_seed, &pub, error);
    if (r == STOA_OK) {
        char path[WALLET_PATH_MAX], why[CLIENT_WHY_MAX];
        (void)path_in(w->dir, "stoa.db", path);
        enum err e = client_store_open(&w->store, path, true, why);
        client_store_close(w->store);
        if (e != ERR_OK)
            r = because_as(error, STOA_CONFIG, e, "%s", why);
    }
    /* The card comes last: a directory without one is not a wallet yet. */
    if (r == STOA_OK)
        r = wallet_save_card(w, error);
    keys_close(w);
    free(w);
    return r;
}

/* ---- open ----------------------------------------------------------------------------
 */

static stoa_result lock_dir(stoa_wallet *w, stoa_error *error)
{
    char path[WALLET_PATH_MAX];
    if (!path_in(w->dir, "lock", path))
        return because(error, ERR_USAGE, "path too long");
    w->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (w->lock_fd < 0)
        return because_as(error, STOA_CONFIG, ERR_MISSING, "%s: %s", w->dir,
                          strerror(errno));
    if (flock(w->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return because(error, ERR_LOCKED, "%s is in use by another process", w->dir);
    return STOA_OK;
}

static stoa_result open_store(stoa_wallet *w, stoa_error *error)
{
    char path[WALLET_PATH_MAX], why[CLIENT_WHY_MAX];
    (void)path_in(w->dir, "stoa.db", path);
    enum err e = client_store_open(&w->store, path, true, why);
    if (e == ERR_OK)
        return STOA_OK;
    stoa_result r = because_as(error, STOA_CONFIG, e, "%s", why[0] ? why : err_text(e));
    if (e == ERR_CORRUPT)
        because_hint(error, "stoa_wallet_rebuild sets it aside and starts a new one");
    return r;
}

/* Hub identity: from the database, and the card where that is new. */
static enum err load_hub(stoa_wallet *w, const struct card *c)
{
    struct bytes v;
    bool given = w->fingerprint_wanted[0] != '\0';
    snprintf(w->url, sizeof(w->url), "%s", c->url);
    if (c->fingerprint[0] && !w->fingerprint_wanted[0])
        memcpy(w->fingerprint_wanted, c->fingerprint, 64);
    w->first_use = c->first_use;
    w->met_ms = c->met_ms;
    enum err e = client_store_get(w->store, "hub", &v);
    if (e == ERR_NOT_FOUND)
        return ERR_OK;
    TRY(e);
    struct mp_reader r = mp_reader_of(v.data, v.size);
    size_t n = 0;
    struct bytes hub = {0};
    uint64_t slots = 0;
    (void)mp_read_array(&r, &n, 4);
    (void)mp_read_bin_exact(&r, w->federation.b, HASH_BYTES);
    (void)mp_read_str(&r, &hub, HUB_NAME_MAX);
    (void)mp_read_uint(&r, &slots);
    (void)mp_read_array(&r, &n, SLOTS_MAX);
    if (r.bad || n != slots)
        return ERR_CONFIG;
    for (size_t i = 0; i < n; i++)
        (void)mp_read_bin_exact(&r, w->log_open[i].b, HASH_BYTES);
    if (!mp_done(&r))
        return ERR_CONFIG;
    memcpy(w->hub, hub.data, hub.size);
    w->hub[hub.size] = '\0';
    w->slots = (uint32_t)slots;
    w->fingerprint = hash_sha256(w->log_open, (size_t)slots * sizeof(struct hash));
    w->has_hub = true;
    char hex[65];
    hex_encode(hex, w->fingerprint.b, HASH_BYTES);
    if (w->fingerprint_wanted[0] && strcmp(hex, w->fingerprint_wanted) != 0)
        return ERR_FORK;
    if (given && w->first_use) {
        w->compared = true;
        w->first_use = false;
        w->met_ms = w->now_ms();
    }
    return ERR_OK;
}

static stoa_result open_card(stoa_wallet *w, stoa_error *error)
{
    char path[WALLET_PATH_MAX];
    struct card c;
    (void)path_in(w->dir, "wallet", path);
    char *text = read_whole(path);
    if (!text)
        return because(error, ERR_MISSING, "%s is not a wallet: %s", w->dir,
                       strerror(errno));
    enum err e = client_store_begin(w->store);
    if (e == ERR_OK) {
        e = read_card(w, text, &c);
        enum err end = client_store_end(w->store, e == ERR_OK);
        if (e == ERR_OK)
            e = end;
    }
    free(text);
    if (e != ERR_OK)
        return because_as(error, STOA_CONFIG, e, "%s cannot be read: %s", path,
                          err_text(e));
    for (w->device = 0; w->device < w->key_count; w->device++)
        if (pubkey_equal(&w->keys[w->device].pub, &c.device))
            break;
    if (w->device == w->key_count)
        return because_as(error, STOA_CONFIG, ERR_MISSING,
                          "the device key of %s is not in %s/keys", path, w->dir);
    e = load_hub(w, &c);
    if (e == ERR_FORK)
        return because(error, ERR_HELLO,
                       "this wallet knows a hub with another fingerprint");
    if (e != ERR_OK)
        return because_as(error, STOA_CONFIG, e, "%s: hub identity cannot be read",
                          w->dir);
    return STOA_OK;
}

stoa_result stoa_wallet_open(stoa_wallet **out, const char *dir,
                             const stoa_options *options, stoa_error *error)
{
    stoa_options o;
    char why[CLIENT_WHY_MAX] = "";
    *out = NULL;
    stoa_wallet *w = calloc(1, sizeof(*w));
    if (!w)
        return because(error, ERR_MEMORY, "out of memory");
    stoa_result r = take_options(w, dir, options, &o, error);
    char path[WALLET_PATH_MAX];
    if (r == STOA_OK && (!path_in(w->dir, "wallet", path) || access(path, F_OK) != 0))
        r = because(error, ERR_MISSING, "%s holds no wallet", w->dir);
    if (r == STOA_OK)
        r = lock_dir(w, error);
    if (r == STOA_OK) {
        enum err e = keys_load(w, why, sizeof(why));
        if (e != ERR_OK)
            r = because_as(error, STOA_CONFIG, e, "%s", why);
    }
    if (r == STOA_OK)
        r = open_store(w, error);
    if (r == STOA_OK)
        r = open_card(w, error);
    if (r == STOA_OK) {
        enum err e = accounts_load(w);
        if (e != ERR_OK)
            r = because_store(w, error, e);
    }
    if (r != STOA_OK) {
        stoa_wallet_close(w);
        return r;
    }
    *out = w;
    return STOA_OK;
}

void stoa_wallet_close(stoa_wallet *w)
{
    if (!w)
        return;
    stoa_disconnect(w);
    if (w->batch) {
        ignore(client_store_end(w->store, false));
        accounts_reread(w);
    }
    accounts_close(w);
    slots_close(w);
    client_store_close(w->store);
    keys_close(w);
    buf_close(&w->frame);
    if (w->lock_fd >= 0)
        (void)close(w->lock_fd);
    free(w);
}

static int count_unresolved(const char *dir)
{
    char path[WALLET_PATH_MAX], why[CLIENT_WHY_MAX];
    struct client_store *s;
    uint64_t count = 0;
    if (!path_in(dir, "stoa.db", path) ||
        client_store_open(&s, path, false, why) != ERR_OK)
        return -1;
    enum err e = client_store_outgoing_count(s, UNRESOLVED_STATES, &count);
    client_store_close(s);
    return e == ERR_OK && count < INT32_MAX ? (int)count : -1;
}

stoa_result stoa_wallet_rebuild(const char *dir, bool force, int *unresolved,
                                stoa_error *error)
{
    stoa_options o;
    char from[WALLET_PATH_MAX], to[WALLET_PATH_MAX], name[64];
    stoa_wallet *w = calloc(1, sizeof(*w));
    if (!w)
        return because(error, ERR_MEMORY, "out of memory");
    stoa_result r = take_options(w, dir, NULL, &o, error);
    if (r == STOA_OK)
        r = lock_dir(w, error);
    if (r == STOA_OK) {
        *unresolved = count_unresolved(dir);
        if (*unresolved != 0 && !force)
            r = because_as(error, STOA_NO, ERR_EXISTS,
                           "%s/stoa.db holds entries that may not be in the ledger", dir);
    }
    snprintf(name, sizeof(name), "stoa.db.%llu", (unsigned long long)clock_ms());
    static const char *const parts[] = {"", "-wal", "-shm"};
    for (int i = 0; r == STOA_OK && i < 3; i++) {
        char old[32], beside[80];
        snprintf(old, sizeof(old), "stoa.db%s", parts[i]);
        snprintf(beside, sizeof(beside), "%s%s", name, parts[i]);
        if (path_in(dir, old, from) && path_in(dir, beside, to) &&
            rename(from, to) != 0 && errno != ENOENT)
            r = because(error, ERR_FILE, "%s: %s", from, strerror(errno));
    }
    if (w->lock_fd >= 0)
        (void)close(w->lock_fd);
    free(w);
    return r;
}

/* ---- about ---------------------------------------------------------------------------
 */

void stoa_wallet_get(const stoa_wallet *w, stoa_wallet_info *out)
{
    stoa_wallet_info v;
    uint64_t unresolved = 0;
    memset(&v, 0, sizeof(v));
    v.device = id_of_key(device_key(w));
    v.encrypted = w->keys[w->device].encrypted;
    const struct wallet_key *root = keys_first(w, "root");
    v.has_root = root != NULL;
    if (root)
        v.root = id_of_key(&root->pub);
    snprintf(v.url, sizeof(v.url), "%s", w->url);
    snprintf(v.hub, sizeof(v.hub), "%s", w->hub);
    if (w->has_hub) {
        v.federation = id_of(&w->federation);
        hex_encode(v.fingerprint, w->fingerprint.b, HASH_BYTES);
        v.first_use = w->first_use;
        v.met_ms = w->met_ms;
    }
    v.slots = w->slots;
    v.accounts = w->account_count;
    ignore(client_store_outgoing_count(w->store, UNRESOLVED_STATES, &unresolved));
    v.unresolved = (unsigned)unresolved;
    give(out, &v, sizeof(v));
}
