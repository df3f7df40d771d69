/* A ledger in Postgres: made, opened, watched, closed. */
#include "ledger/store_postgres.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/key.h"
#include "crypto/note.h"
#include "ledger/store_postgres_schema.h"
#include "ledger/trace.h"

static const struct store_identity *identity(struct store *base)
{
    return &postgres_of(base)->ledger.identity;
}

static void close_store(struct store *base)
{
    struct postgres_store *s = postgres_of(base);
    postgres_places_close(s);
    pg_drop(&s->link);
    pg_target_close(&s->target);
    for (size_t i = 0; i < PG_PARAMS_MAX; i++)
        buf_close(&s->array[i].b);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* The server's disks are the server's: a full one is answered by SQLSTATE 53100. */
static uint64_t free_bytes(struct store *base)
{
    (void)base;
    return UINT64_MAX;
}

/* Does the session still live? It is made anew here, between two appends, rather than by
 * the next append. */
static enum err look(struct postgres_store *s)
{
    enum err e = postgres_ready(s);
    if (e != ERR_OK || (!atomic_load(&s->deaf) &&
                        pg_now_ms() - s->link.used_ms < POSTGRES_PING_EVERY_MS))
        return e;
    struct pg_step step = {.statement = PG_WRITER_SLOT};
    pg_add_i32(&step.p, 0);
    e = pg_exchange(&s->link, &step, 1);
    pg_clear(&step, 1);
    if (e != ERR_OK && pg_died(&s->link))
        e = postgres_ready(s);
    return e;
}

/* Vacuum and checkpoints are the server's. What is left is to know whether it is there.
 */
static enum err maintain(struct store *base)
{
    struct postgres_store *s = postgres_of(base);
    if (atomic_load(&s->broken))
        return ERR_IO;
    uint64_t now = pg_now_ms();
    if (now - atomic_load(&s->looked_ms) < POSTGRES_PING_EVERY_MS ||
        pthread_mutex_trylock(&s->lock) != 0) /* a commit is under way */
        return atomic_load(&s->away) ? ERR_STORE : ERR_OK;
    s->link.probes = true;
    enum err e = postgres_note(s, look(s));
    s->link.probes = false;
    if (!s->link.late && atomic_exchange(&s->deaf, false))
        trace(TRACE_INFO, "store.place_hears", TRACE_STR("at", s->target.name));
    atomic_store(&s->looked_ms, pg_now_ms());
    pthread_mutex_unlock(&s->lock);
    bool away = e != ERR_OK;
    if (away != atomic_exchange(&s->away, away))
        trace(away ? TRACE_ERROR : TRACE_INFO, away ? "store.away" : "store.back",
              TRACE_ERR("why", e));
    return e == ERR_OK || e == ERR_IO || e == ERR_CORRUPT ? e : ERR_STORE;
}

const struct store_ops postgres_ops = {
    .close = close_store,
    .identity = identity,
    .claim = postgres_claim,
    .slot = postgres_slot,
    .append = postgres_append,
    .outbox = postgres_outbox,
    .snapshot_save = postgres_snapshot_save,
    .snapshot_load = postgres_snapshot_load,
    .snapshot_drop = postgres_snapshot_drop,
    .sealed_put = postgres_sealed_put,
    .sealed_erase = postgres_sealed_erase,
    .free_bytes = free_bytes,
    .maintain = maintain,
    .reader_open = postgres_reader_open,
    .share = postgres_share,
};

struct pg_link postgres_link(struct postgres_store *s, enum pg_role role)
{
    return (struct pg_link){.target = &s->target,
                            .role = role,
                            .reads_only = s->reads_only,
                            .patience_ms = s->patience_ms,
                            .bound = &s->ledger,
                            .made_ms = &s->made_ms,
                            .deaf = s->is_place ? &s->deaf : NULL};
}

static enum err make(const char *rest, struct postgres_store **out, struct store_why *why)
{
    struct postgres_store *s = calloc(1, sizeof *s);
    *out = NULL;
    if (s == NULL) {
        store_why_set(why, "out of memory");
        return ERR_MEMORY;
    }
    s->base.ops = &postgres_ops;
    pthread_mutex_init(&s->lock, NULL);
    s->link = postgres_link(s, PG_PLAIN);
    s->link.bound = NULL; /* it is still to be found out */
    enum err e = pg_target_open(&s->target, rest, why);
    if (e != ERR_OK)
        close_store(&s->base);
    else
        *out = s;
    return e;
}

static enum err missing(struct postgres_store *s)
{
    store_why_set(&s->link.why,
                  "%s: there is no ledger in this database; make one with: "
                  "stoad init",
                  s->target.name);
    return ERR_MISSING;
}

/* A plain session has found the ledger; the writer's is bound to it. */
static enum err become_writer(struct postgres_store *s)
{
    pg_drop(&s->link);
    s->link = postgres_link(s, PG_WRITER);
    return pg_ready(&s->link);
}

static enum err open_ledger(struct postgres_store *s)
{
    enum err e = pg_ready(&s->link);
    if (e == ERR_MISSING)
        store_why_set(&s->link.why,
                      "%s: there is no such database; make one with: createdb",
                      s->target.name);
    TRY(e);
    TRY(pg_session_ledger(&s->link, &s->ledger));
    if (!s->ledger.any)
        return missing(s);
    TRY(pg_session_may_write(&s->link));
    return become_writer(s);
}

static enum err open_all(struct postgres_store *s)
{
    TRY(open_ledger(s));
    return postgres_places_open(s);
}

enum err postgres_place_open(struct postgres_store *s, const char *uri,
                             struct postgres_store **out, struct store_why *why)
{
    const char *rest = strchr(uri, ':');
    struct postgres_store *p = NULL;
    *out = NULL;
    TRY(make(rest == NULL ? "" : rest + 1, &p, why));
    p->is_place = true;
    p->link.deaf = &p->deaf;
    p->patience_ms = p->link.patience_ms = POSTGRES_PLACE_MS;
    enum err e = open_ledger(p);
    if (e == ERR_OK && memcmp(p->ledger.id, s->ledger.id, sizeof p->ledger.id) != 0) {
        store_why_set(&p->link.why, "%s: slots are placed there, but the ledger there is another one",
                      p->target.name);
        e = ERR_CONFIG;
    }
    if (e != ERR_OK) {
        *why = p->link.why;
        close_store(&p->base);
        return e;
    }
    p->shared = s->shared;
    p->self = s->self;
    *out = p;
    return ERR_OK;
}

static enum err finish(struct postgres_store *s, enum err e, struct store **out,
                       struct store_why *why)
{
    if (e == ERR_OK) {
        *out = &s->base;
        return e;
    }
    if (why != NULL)
        *why = s->link.why;
    if (why != NULL && why->text[0] == '\0')
        store_why_set(why, "%s: %s", s->target.name, err_text(e));
    close_store(&s->base);
    return e;
}

static enum err postgres_open(const char *rest, struct store **out, struct store_why *why)
{
    struct postgres_store *s = NULL;
    *out = NULL;
    TRY(make(rest, &s, why));
    return finish(s, open_all(s), out, why);
}

/* Readers only: of a standby, or for who may not write. The writer's calls fail in a session
 * that cannot write; nobody makes them. */
static enum err open_reads(struct postgres_store *s)
{
    s->reads_only = s->link.reads_only = true;
    TRY(pg_ready(&s->link));
    TRY(pg_session_ledger(&s->link, &s->ledger));
    if (!s->ledger.any)
        return missing(s);
    TRY(pg_session_current(&s->link, s->ledger.version));
    pg_drop(&s->link);
    s->link = postgres_link(s, PG_READER);
    return ERR_OK;
}

enum err store_replica_postgres(const char *rest, unsigned patience_ms,
                                struct store **out, struct store_why *why)
{
    struct postgres_store *s = NULL;
    *out = NULL;
    TRY(make(rest, &s, why));
    s->patience_ms = s->link.patience_ms = patience_ms;
    return finish(s, open_reads(s), out, why);
}

static void ignore_row(void *context, const struct postgres_schema_row *row)
{
    (void)context;
    (void)row;
}

/* The hub's name goes in as hex: nothing of ours is ever quoted. */
static enum err call_create(struct postgres_store *s, const struct store_identity *id)
{
    uint8_t ledger_id[POSTGRES_LEDGER_ID_BYTES];
    char hex[3][2 * HUB_NAME_MAX + 1], sql[900];
    random_bytes(ledger_id, sizeof ledger_id);
    hex_encode(hex[0], ledger_id, sizeof ledger_id);
    hex_encode(hex[1], id->federation.b, HASH_BYTES);
    hex_encode(hex[2], (const uint8_t *)id->hub, strlen(id->hub));
    snprintf(sql, sizeof sql,
             "SELECT stoa.create_ledger('\\x%s', '\\x%s',"
             " convert_from('\\x%s', 'UTF8'), %u)",
             hex[0], hex[1], hex[2], (unsigned)id->slots);
    enum err e = pg_simple(&s->link, sql, NULL);
    if (e != ERR_OK && strcmp(s->link.sqlstate, "23505") == 0) {
        store_why_set(&s->link.why, "%s: there is a ledger already; nothing was changed",
                      s->target.name);
        return ERR_EXISTS;
    }
    return e;
}

static enum err create_ledger(struct postgres_store *s, const char *rest,
                              const struct store_identity *id)
{
    char uri[POSTGRES_URI_MAX];
    int version = 0;
    enum err e = pg_ready(&s->link);
    if (e == ERR_MISSING)
        store_why_set(&s->link.why,
                      "%s: there is no such database; make one with: createdb",
                      s->target.name);
    TRY(e);
    TRY(pg_session_version(&s->link, &version));
    if (version == 0) {
        snprintf(uri, sizeof uri, "postgresql:%s", rest);
        TRY(postgres_schema_apply(uri, &version, ignore_row, NULL, &s->link.why));
    }
    TRY(pg_session_ledger(&s->link, &s->ledger));
    TRY(call_create(s, id));
    TRY(pg_session_ledger(&s->link, &s->ledger));
    TRY(s->ledger.any ? become_writer(s) : ERR_CORRUPT);
    return postgres_places_open(s);
}

static enum err postgres_create(const char *rest, const struct store_identity *id,
                                struct store **out, struct store_why *why)
{
    struct postgres_store *s = NULL;
    *out = NULL;
    TRY(make(rest, &s, why));
    return finish(s, create_ledger(s, rest, id), out, why);
}

/* libpq knows both spellings, so do we. */
const struct store_edge store_edge_postgresql = {"postgresql", postgres_create,
                                                 postgres_open};
const struct store_edge store_edge_postgres = {"postgres", postgres_create,
                                               postgres_open};
