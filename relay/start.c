#include "relay/start.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "ledger/trace.h"
#include "relay/admin.h"
#include "relay/admin_socket.h"
#include "relay/clock.h"
#include "relay/commit.h"
#include "relay/cosigner.h"
#include "relay/follow.h"
#include "relay/loop.h"
#include "relay/peer.h"
#include "relay/reader.h"
#include "relay/region_internal.h"
#include "relay/relay.h"
#include "relay/reload.h"
#include "relay/witness_door.h"

#define DESCRIPTORS_BESIDE_CONNECTIONS 256u
#define FREE_EVERY_MS 2000u
#define STORE_AWAY_MS 1000u
#ifndef HIGHWATER_EVERY_MS /* tests/crash comes here sooner */
#define HIGHWATER_EVERY_MS 1000u
#endif
#define STORE_SCHEMA 1u

enum start_code {
    START_STORE = 7810,
    START_KEYS = 7811,
    START_MISMATCH = 7812,
    START_RECOVER = 7813,
    START_LISTEN = 7814,
    START_HIGHWATER = 7815,
    START_RESOURCES = 7816,
    START_WITNESS = 7817,
    START_COSIGN = 7818,
    START_ADMIN = 7819,
    START_REGION = 7820,
    /* 7821 to 7823 are those of stoad init */
    START_TLS = 7824
};

void say_error(unsigned code, const char *what, const char *why, const char *try_this)
{
    fprintf(stderr, "error[T%u] %s: %s\n", code, what, why);
    if (try_this && *try_this)
        fprintf(stderr, "  try: %s\n", try_this);
}

/* Shared calls. */

void relay_mail(struct relay *r, struct chain_of_links *mail)
{
    if (!mail->first)
        return;
    queue_put(&r->mail, mail);
    ws_wake(r->ws);
}

void relay_mail_one(struct relay *r, struct mail *m)
{
    queue_put_one(&r->mail, &m->link);
    ws_wake(r->ws);
}

void relay_broken(struct relay *r, const char *what, enum err why)
{
    trace(TRACE_ERROR, "relay.broken", TRACE_STR("what", what), TRACE_ERR("why", why));
    atomic_store(&r->write_state, (int)why);
    atomic_store(&r->exit_code, RELAY_EXIT_BROKEN);
    if (r->ws)
        ws_wake(r->ws);
}

uint32_t relay_slot_of(const struct relay *r, const struct hash *account)
{
    for (uint32_t slot = 0; slot < r->slots; slot++)
        if (hash_equal(&r->hub_accounts[slot], account))
            return slot;
    return slot_of(account, r->slots);
}

static void wake_loop(void *context)
{
    struct relay *r = context;
    ws_wake(r->ws);
}

/* The maintenance thread: what must not delay a commit. */

struct maintain {
    struct relay *r;
    pthread_t thread;
    struct queue stop; /* never filled: its end is the signal */
};

static void watch_room(struct relay *r)
{
    uint64_t bytes = r->store->ops->free_bytes(r->store);
    uint64_t min = settings(r)->store.min_free_bytes;
    bool low = bytes != UINT64_MAX && bytes < min;
    metrics_set(r->metrics, METRIC_STORE_FREE, 0,
                bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes);
    if (low != atomic_load(&r->low_room)) {
        trace(TRACE_WARN, "store.room", TRACE_BOOL("low", low), TRACE_U64("free", bytes),
              TRACE_U64("min", min));
        atomic_store(&r->low_room, low);
    }
}

/* A store on another machine can be away for a while: said once, shown by /readyz. */
static void watch_store(struct relay *r, enum err e, enum err was, uint64_t *since,
                        uint64_t now)
{
    if (e != was)
        trace(e == ERR_OK ? TRACE_INFO : TRACE_WARN, "store.maintain",
              TRACE_ERR("why", e));
    if (e != was || e != ERR_STORE)
        *since = now;
    atomic_store(&r->store_away, e == ERR_STORE && now - *since >= STORE_AWAY_MS);
}

static void *maintain_thread(void *context)
{
    struct maintain *m = context;
    struct relay *r = m->r;
    struct chain_of_links none;
    uint64_t marked = 0, looked = 0, since = 0;
    enum err was = ERR_OK;
    while (queue_take(&m->stop, &none, 1, MAINTAIN_EVERY_MS)) {
        uint64_t now = clock_mono_ms();
        enum err e = r->store->ops->maintain(r->store);
        if (e == ERR_IO || e == ERR_CORRUPT) {
            relay_broken(r, "maintain", e);
            return NULL;
        }
        watch_store(r, e, was, &since, now);
        was = e;
        if (now - marked >= HIGHWATER_EVERY_MS) {
            marked = now;
            (void)!highwater_save(&r->highwater);
        }
        if (now - looked >= FREE_EVERY_MS) {
            looked = now;
            watch_room(r);
        }
    }
    return NULL;
}

/* Store and keys. */

static bool make_vkeys(struct relay *r)
{
    struct pubkey log = key_public(r->keys.log);
    r->log_vkeys = calloc(r->slots, sizeof(*r->log_vkeys));
    for (uint32_t slot = 0; r->log_vkeys && slot < r->slots; slot++) {
        char origin[NOTE_NAME_MAX + 1];
        int n = snprintf(origin, sizeof(origin), "%s/%02x", r->hub, (unsigned)slot);
        if (n < 0 || (size_t)n >= sizeof(origin) ||
            !vkey_make(&r->log_vkeys[slot], origin, NOTE_ED25519, &log))
            return false;
    }
    return r->log_vkeys != NULL;
}

/* Were keys given? The folder that belongs to a hub on disk does not count: a tree in RAM
 * signed with its log key would be evidence of a fork. */
static bool keys_given(const struct relay_config *c)
{
    char usual[CONFIG_TEXT_MAX + 8];
    snprintf(usual, sizeof(usual), "%s/keys", c->hub.state_dir);
    return strcmp(c->hub.keys_dir, usual) != 0;
}

/* A hub that lives in RAM: made here, gone at the end. */
static int make_in_memory(struct relay *r, const struct start_options *o)
{
    struct store_why why = {{0}};
    struct store_identity id = {.slots = o->slots ? o->slots : SLOTS_DEFAULT};
    char text[KEYS_WHY_MAX];
    struct hub_pubkeys public_keys;
    struct recover_genesis g = {.hub = settings(r)->hub.name};
    r->memory = true;
    if (keys_given(settings(r))) {
        const struct relay_config *c = settings(r);
        if (hub_keys_public(&public_keys, c->hub.keys_dir, text) != ERR_OK ||
            hub_keys_load(&r->keys, c->hub.keys_dir, c->keys.passphrase, text) !=
                ERR_OK) {
            say_error(START_KEYS, "keys", text, "");
            return CONFIG_EXIT;
        }
        g.issuer = public_keys.issuer;
    } else {
        struct key *issuer = key_generate(); /* nobody keeps it: no points, unless told */
        r->keys.log = key_generate();
        r->keys.relay = key_generate();
        if (!issuer || !r->keys.log || !r->keys.relay) {
            key_free(issuer);
            say_error(START_RESOURCES, "keys", "no locked memory for secret keys",
                      "ulimit -l unlimited");
            return CONFIG_EXIT;
        }
        g.issuer = key_public(issuer);
        key_free(issuer);
    }
    if (o->has_issuer)
        g.issuer = o->issuer;
    random_bytes(id.federation.b, sizeof(id.federation.b));
    if (o->has_federation)
        id.federation = o->federation;
    snprintf(id.hub, sizeof(id.hub), "%.*s", HUB_NAME_MAX, settings(r)->hub.name);
    g.federation = id.federation;
    g.relay = r->keys.relay;
    g.log = key_public(r->keys.log);
    struct sequencer_config c = {.mem = &alloc_heap,
                                 .relay = r->keys.relay,
                                 .log = r->keys.log,
                                 .slots = id.slots};
    random_bytes(&c.map_seed, sizeof(c.map_seed));
    enum err e = store_create(settings(r)->store.uri, &id, &r->store, &why);
    if (e == ERR_OK)
        e = recover_genesis(r->store, &c, &g, clock_wall_ms());
    if (e == ERR_OK)
        return 0;
    say_error(START_STORE, "store", why.text[0] ? why.text : err_text(e), "");
    return CONFIG_EXIT;
}

static int open_on_disk(struct relay *r)
{
    struct store_why why = {{0}};
    char text[KEYS_WHY_MAX];
    enum err e = store_open(settings(r)->store.uri, &r->store, &why);
    if (e != ERR_OK) {
        say_error(START_STORE, "store", why.text[0] ? why.text : err_text(e),
                  e == ERR_MISSING  ? "stoad init"
                  : e == ERR_LOCKED ? "stop the other stoad first"
                                    : "");
        return CONFIG_EXIT;
    }
    e = hub_keys_load(&r->keys, settings(r)->hub.keys_dir, settings(r)->keys.passphrase,
                      text);
    if (e != ERR_OK) {
        say_error(START_KEYS, "keys", text, "");
        return CONFIG_EXIT;
    }
    return 0;
}

static int open_store(struct relay *r, const struct start_options *o)
{
    int bad = strncmp(settings(r)->store.uri, "memory:", 7) == 0 ? make_in_memory(r, o)
                                                                 : open_on_disk(r);
    if (bad)
        return bad;
    const struct store_identity *id = r->store->ops->identity(r->store);
    char text[START_WHY_MAX];
    if (strcmp(id->hub, settings(r)->hub.name) != 0) {
        snprintf(text, sizeof(text),
                 "the store belongs to hub \"%s\", hub.name says \"%s\"", id->hub,
                 settings(r)->hub.name);
        say_error(START_MISMATCH, "store", text, "set hub.name, or open the right store");
        return CONFIG_EXIT;
    }
    r->hub = id->hub;
    r->federation = id->federation;
    r->slots = id->slots;
    r->relay_public = key_public(r->keys.relay);
    if (!make_vkeys(r)) {
        say_error(START_RESOURCES, "start", err_text(ERR_MEMORY), "");
        return CONFIG_EXIT;
    }
    /* A hub's own signature is the only proof that store and keys belong together. */
    for (uint32_t slot = 0; slot < r->slots; slot++) {
        struct store_slot at;
        struct checkpoint c;
        if (r->store->ops->slot(r->store, slot, &at) != ERR_OK ||
            !checkpoint_open(&c, at.checkpoint, at.checkpoint_size,
                             &r->log_vkeys[slot])) {
            snprintf(text, sizeof(text),
                     "slot %u: the store's checkpoint is not signed by this log.key",
                     (unsigned)slot);
            say_error(START_MISMATCH, "store", text,
                      "point hub.keys_dir at this hub's keys");
            return CONFIG_EXIT;
        }
    }
    return 0;
}

static int open_highwater(struct relay *r)
{
    highwater_open(&r->highwater, r->memory ? NULL : settings(r)->hub.state_dir,
                   r->slots);
    enum err e = highwater_load(&r->highwater);
    if (e == ERR_OK)
        return 0;
    say_error(
        START_HIGHWATER, r->highwater.path, err_text(e),
        "compare the hub's checkpoints with what clients and mirrors hold; then remove "
        "the file");
    return CONFIG_EXIT;
}

/* Running. */

struct running {
    struct relay r;
    struct commit *commit;
    struct readers *readers;
    struct loop *loop;
    struct maintain maintain;
    struct tls *tls; /* only while it starts */
    bool verify_open, maintain_open;
};

static void raise_limits(const struct relay_config *c)
{
    struct rlimit l;
    rlim_t want = (rlim_t)(c->listen.max_connections + DESCRIPTORS_BESIDE_CONNECTIONS);
    if (getrlimit(RLIMIT_NOFILE, &l) != 0 || l.rlim_cur >= want)
        return;
    l.rlim_cur = l.rlim_max < want ? l.rlim_max : want;
    if (setrlimit(RLIMIT_NOFILE, &l) != 0 || l.rlim_cur < want)
        trace(TRACE_WARN, "start.few_descriptors",
              TRACE_U64("have", (uint64_t)l.rlim_cur), TRACE_U64("want", (uint64_t)want));
}

/* The ledger is loaded: what it takes is known. */
static void plan_memory(struct relay *r)
{
    const struct relay_config *c = settings(r);
    struct memory_facts facts;
    const struct memory_plan *p = &r->plan;
    memory_facts(&facts);
    memory_plan(&r->plan, &(struct memory_wishes){MEMORY_WISHES(c)}, &facts);
    metrics_set(r->metrics, METRIC_MEMORY_MAX, 0, (int64_t)p->messages);
    trace(p->tight ? TRACE_WARN : TRACE_INFO, "memory.plan",
          TRACE_U64("physical", p->physical), TRACE_U64("reserved", p->reserved),
          TRACE_U64("safety", p->safety), TRACE_U64("allocatable", p->allocatable),
          TRACE_U64("connections", p->connections), TRACE_U64("queue", p->queue_bytes),
          TRACE_U64("messages", p->messages), TRACE_BOOL("tight", p->tight));
}

static int start_threads(struct running *u)
{
    struct relay *r = &u->r;
    enum err e = verify_open(&r->verify, (unsigned)settings(r)->verify.threads,
                             r->metrics, wake_loop, r);
    if (e == ERR_OK) {
        u->verify_open = true;
        e = readers_open(&u->readers, r);
    }
    if (e == ERR_OK)
        e = committer_start(u->commit);
    if (e == ERR_OK)
        e = cosigner_start(r->cosigner);
    u->maintain.r = r;
    queue_init(&u->maintain.stop);
    if (e == ERR_OK &&
        pthread_create(&u->maintain.thread, NULL, maintain_thread, &u->maintain) != 0)
        e = ERR_MEMORY;
    if (e == ERR_OK) {
        u->maintain_open = true;
        return 0;
    }
    say_error(START_RESOURCES, "threads", err_text(e), "");
    return CONFIG_EXIT;
}

/* Beside the ledger: nothing of it waits for these. */
static int open_witnesses(struct relay *r)
{
    char why[WITNESS_DOOR_WHY_MAX > COSIGNER_WHY_MAX ? WITNESS_DOOR_WHY_MAX
                                                     : COSIGNER_WHY_MAX];
    enum err e = cosigner_open(&r->cosigner, r, why);
    if (e != ERR_OK) {
        say_error(START_COSIGN, "cosign.policy", why[0] ? why : err_text(e), "");
        return CONFIG_EXIT;
    }
    e = witness_door_open(&r->witness, r, why);
    if (e != ERR_OK) {
        say_error(START_WITNESS, "witness.logs", why[0] ? why : err_text(e),
                  r->keys.cosigner || r->memory ? "" : "stoactl key new cosigner FILE");
        return CONFIG_EXIT;
    }
    return 0;
}

static int open_admin(struct relay *r)
{
    char why[ADMIN_WHY_MAX];
    enum err e = admin_open(&r->admin, r, why);
    if (e == ERR_OK)
        return 0;
    say_error(START_ADMIN, "listen.admin", why[0] ? why : err_text(e),
              e == ERR_LOCKED ? "stop the other stoad first" : "");
    return CONFIG_EXIT;
}

static int open_tls(struct running *u)
{
    char why[TLS_WHY_MAX];
    struct relay *r = &u->r;
    enum err e = settings_tls(&u->tls, settings(r), why);
    if (e == ERR_OK) {
        settings_tls_told(r, u->tls);
        return 0;
    }
    say_error(START_TLS, "tls", why, e == ERR_AUTHORITY ? "chmod 640 the key's file" : "");
    return CONFIG_EXIT;
}

static int bring_up(struct running *u, const struct start_options *o)
{
    struct relay *r = &u->r;
    char why[STORE_WHY_MAX] = "";
    random_bytes(&r->pinned.seed, sizeof(r->pinned.seed));
    r->metrics = metrics_open(STORE_SCHEMA, WIRE_VERSION);
    if (!r->metrics ||
        pinned_open(&r->pinned, r->pinned.seed, settings(r)->access.auditors.item,
                    settings(r)->access.auditors.count) != ERR_OK) {
        say_error(START_RESOURCES, "start", err_text(ERR_MEMORY), "");
        return CONFIG_EXIT;
    }
    metrics_state(r->metrics, M_STATE_STARTING);
    vitals_init(&r->vitals);
    queue_init(&r->commit);
    queue_init(&r->readers);
    queue_init(&r->mail);
    int bad = open_store(r, o);
    if (!bad)
        bad = open_highwater(r);
    if (bad)
        return bad;
    enum err e = ERR_OK;
    if (settings(r)->region.relay[0])
        e = region_open(&r->region, r, why);
    if (e != ERR_OK) {
        say_error(START_REGION, "region", why, "");
        return CONFIG_EXIT;
    }
    e = committer_open(&u->commit, r, why);
    if (e != ERR_OK) {
        say_error(START_RECOVER, "ledger", why,
                  e == ERR_BEHIND
                      ? "this looks like a restored older copy: bring back the "
                        "newest one; see docs, \"high-water mark\""
                      : "");
        return e == ERR_CORRUPT || e == ERR_IO || e == ERR_BEHIND ? RELAY_EXIT_BROKEN
                                                                  : CONFIG_EXIT;
    }
    raise_limits(r->config);
    plan_memory(r);
    bad = open_witnesses(r);
    if (bad)
        return bad;
    if (region_on(r) && peers_open(&r->peers, r) != ERR_OK) {
        say_error(START_RESOURCES, "peers", err_text(ERR_MEMORY), "");
        return CONFIG_EXIT;
    }
    bad = open_tls(u);
    if (bad)
        return bad;
    e = loop_open(&u->loop, r, u->tls, why);
    if (e != ERR_OK) {
        say_error(START_LISTEN, "listen.client", why[0] ? why : err_text(e), "");
        return CONFIG_EXIT;
    }
    if (region_on(r)) {
        e = follow_open(r, why);
        if (e == ERR_OK)
            e = follow_start(r);
        if (e != ERR_OK) {
            say_error(START_REGION, "region", why[0] ? why : err_text(e), "");
            return CONFIG_EXIT;
        }
    }
    bad = start_threads(u);
    if (!bad)
        bad = open_admin(r);
    if (bad)
        return bad;
    e = region_start(r->region, ws_port(r->ws));
    if (e != ERR_OK)
        say_error(START_REGION, "region", err_text(e), "");
    return e == ERR_OK ? 0 : CONFIG_EXIT;
}

static void drop_queue(struct queue *q, void (*drop)(struct link *l))
{
    struct chain_of_links got;
    (void)queue_take(q, &got, SIZE_MAX, 0);
    for (struct link *l; (l = links_pop(&got));)
        drop(l);
    queue_close(q);
}

static void drop_work(struct link *l)
{
    if (((struct work *)l)->kind == WORK_JOB)
        job_drop((struct job *)l);
    else
        request_drop((struct request *)l);
}

static void drop_mail(struct link *l)
{
    mail_drop((struct mail *)l);
}

/* The order of a submit, from its front: nobody is left waiting on someone already gone.
 */
static void take_down(struct running *u)
{
    struct relay *r = &u->r;
    region_stop(r->region); /* while slots can still be let go */
    cosigner_stop(r->cosigner);
    peers_stop(r->peers);
    witness_door_close(r->witness);
    if (u->verify_open)
        verify_stop(&r->verify);
    if (u->commit)
        committer_stop(u->commit);
    readers_close(u->readers);
    follow_stop(r);
    if (u->maintain_open) {
        queue_end(&u->maintain.stop);
        pthread_join(u->maintain.thread, NULL);
        queue_close(&u->maintain.stop);
    }
    if (r->highwater.slots && highwater_save(&r->highwater) != ERR_OK)
        trace_event(TRACE_ERROR, "start.highwater_lost");
    admin_close(r->admin); /* to the last: its end tells `stoactl drain --wait` */
    if (r->ws)
        ws_close(r->ws);
    if (u->loop)
        loop_close(u->loop);
    cosigner_close(r->cosigner);
    peers_close(r->peers);
    if (u->commit)
        committer_close(u->commit);
    follow_end(r);
    region_close(r->region);
    if (u->verify_open)
        verify_close(&r->verify);
    drop_queue(&r->commit, drop_work);
    drop_queue(&r->readers, drop_work);
    drop_queue(&r->mail, drop_mail);
    if (r->highwater.slots)
        highwater_close(&r->highwater);
    if (r->store)
        r->store->ops->close(r->store);
    pinned_close(&r->pinned);
    free(r->log_vkeys);
    hub_keys_close(&r->keys);
    metrics_close(r->metrics);
    vitals_close(&r->vitals);
    settings_free(r);
}

static int open_service(struct relay *r)
{
    char why[SERVICE_WHY_MAX] = "";
    if (service_open(&r->service, why) == ERR_OK)
        return 0;
    say_error(START_LISTEN, "socket activation", why, "ListenStream= of the socket unit");
    return CONFIG_EXIT;
}

int relay_run(const struct relay_config *config, const struct start_options *o)
{
    struct running *u = calloc(1, sizeof(*u));
    if (!u)
        return CONFIG_EXIT;
    struct settings_made *first = settings_copy(&u->r, config);
    if (!first) {
        free(u);
        return CONFIG_EXIT;
    }
    atomic_init(&u->r.config, &first->config);
    u->r.sources = o->sources;
    u->r.generation = 1;
    int code = open_service(&u->r);
    if (code != 0) {
        service_close(&u->r.service);
        settings_free(&u->r);
        free(u);
        return code;
    }
    code = bring_up(u, o);
    tls_free(u->tls);
    if (code == 0) {
        struct relay *r = &u->r;
        char status[SERVICE_STATUS_MAX];
        metrics_state(r->metrics, M_STATE_SERVING);
        metrics_set(r->metrics, METRIC_GENERATION, 0, 1);
        trace(TRACE_INFO, "start.ready", TRACE_STR("hub", r->hub),
              TRACE_U64("slots", r->slots), TRACE_U64("port", ws_port(r->ws)));
        snprintf(status, sizeof(status), "hub %.128s at %s", r->hub, ws_place(r->ws));
        service_ready(&r->service, status);
        printf("ready %s://%s hub %s\n", config->tls.certificate[0] ? "wss" : "ws",
               ws_place(r->ws), r->hub);
        fflush(stdout);
        loop_run(u->loop);
        metrics_state(r->metrics, M_STATE_STOPPED);
        code = atomic_load(&r->exit_code);
    } else if (u->r.ws) {
        ws_stop(u->r.ws);
    }
    take_down(u);
    if (code == 0)
        code = atomic_load(&u->r.exit_code);
    service_close(&u->r.service);
    free(u);
    trace_flush();
    return code;
}
