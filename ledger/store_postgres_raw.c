#include "ledger/store_postgres_raw.h"

#include <stdlib.h>
#include <string.h>

#include "ledger/store_postgres.h"

#define AGAIN_MS 200u

struct postgres_raw {
    struct pg_target target;
    struct pg_ledger ledger;
    pthread_mutex_t lock; /* of `busy` */
    pthread_cond_t freed;
    bool busy[POSTGRES_RAW_LINKS];
    struct pg_link link[POSTGRES_RAW_LINKS];
};

static size_t take_link(struct postgres_raw *s)
{
    size_t i = 0;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        for (i = 0; i < POSTGRES_RAW_LINKS && s->busy[i]; i++)
            ;
        if (i < POSTGRES_RAW_LINKS)
            break;
        pthread_cond_wait(&s->freed, &s->lock);
    }
    s->busy[i] = true;
    pthread_mutex_unlock(&s->lock);
    return i;
}

static void give_link(struct postgres_raw *s, size_t i)
{
    pthread_mutex_lock(&s->lock);
    s->busy[i] = false;
    pthread_cond_signal(&s->freed);
    pthread_mutex_unlock(&s->lock);
}

/* One question; while the server is away, again for a while. */
static enum err ask(struct postgres_raw *s, struct pg_step *step, struct store_why *why)
{
    size_t i = take_link(s);
    struct pg_link *l = &s->link[i];
    uint64_t until = pg_now_ms() + POSTGRES_RAW_PATIENCE_MS;
    enum err e;
    for (;;) {
        e = pg_ready(l);
        if (e == ERR_OK)
            e = pg_exchange(l, step, 1);
        bool refused = l->c != NULL && !l->again; /* by a server that is there */
        if (e != ERR_STORE || refused || pg_now_ms() >= until)
            break;
        pg_sleep_ms(AGAIN_MS);
    }
    if (e == ERR_OK)
        why->text[0] = '\0';
    if (e != ERR_OK) {
        *why = l->why;
        if (why->text[0] == '\0')
            store_why_set(why, "%s: %s", s->target.name, err_text(e));
    }
    give_link(s, i);
    return e;
}

static enum err find_ledger(struct postgres_raw *s, struct pg_link *l)
{
    TRY(pg_ready(l));
    TRY(pg_session_ledger(l, &s->ledger));
    if (s->ledger.any)
        return ERR_OK;
    store_why_set(&l->why, "%s: there is no ledger in this database", s->target.name);
    return ERR_MISSING;
}

enum err postgres_raw_open(struct postgres_raw **out, const char *uri,
                           struct store_why *why)
{
    struct postgres_raw *s = calloc(1, sizeof *s);
    const char *rest = strchr(uri, ':');
    *out = NULL;
    if (s == NULL)
        return ERR_MEMORY;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->freed, NULL);
    enum err e = pg_target_open(&s->target, rest == NULL ? "" : rest + 1, why);
    if (e == ERR_OK) {
        struct pg_link plain = {
            .target = &s->target, .role = PG_PLAIN, .reads_only = true};
        e = find_ledger(s, &plain);
        if (e != ERR_OK)
            *why = plain.why;
        if (e != ERR_OK && why->text[0] == '\0')
            store_why_set(why, "%s: %s", s->target.name, err_text(e));
        pg_drop(&plain);
    }
    for (size_t i = 0; i < POSTGRES_RAW_LINKS; i++)
        s->link[i] = (struct pg_link){.target = &s->target,
                                      .role = PG_AUDITOR,
                                      .reads_only = true,
                                      .bound = &s->ledger};
    if (e == ERR_OK)
        *out = s;
    else
        postgres_raw_close(s);
    return e;
}

void postgres_raw_close(struct postgres_raw *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < POSTGRES_RAW_LINKS; i++)
        pg_drop(&s->link[i]);
    pg_target_close(&s->target);
    pthread_cond_destroy(&s->freed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

const struct store_identity *postgres_raw_identity(const struct postgres_raw *s)
{
    return &s->ledger.identity;
}

/* A slot that was moved to another server left its rows behind. */
static enum err placed_here(const PGresult *r, uint32_t slot, struct store_why *why)
{
    struct bytes placed, place;
    TRY(pg_span(r, 0, 4, &placed));
    TRY(pg_span(r, 0, 5, &place));
    if (placed.size > 0 && (placed.data[0] == 'h' || placed.data[0] == 'l'))
        return ERR_OK;
    store_why_set(
        why, "slot %02x was moved from this database to %.*s; audit the hub over the web",
        (unsigned)slot, (int)place.size, (const char *)place.data);
    return ERR_CONFIG;
}

enum err postgres_raw_slot(struct postgres_raw *s, uint32_t slot, struct store_slot *out,
                           struct store_why *why)
{
    struct pg_step step = {.statement = PG_AUDIT_SLOT};
    pg_add_i32(&step.p, slot);
    enum err e = ask(s, &step, why);
    if (e == ERR_OK && PQntuples(step.result) == 0) {
        store_why_set(why, "table slot has no row for slot %u", (unsigned)slot);
        e = ERR_NOT_FOUND;
    } else if (e == ERR_OK) {
        e = placed_here(step.result, slot, why);
        if (e == ERR_OK)
            e = postgres_slot_row(step.result, out);
        if (e == ERR_CORRUPT)
            store_why_set(why, "the row of slot %u in table slot is damaged",
                          (unsigned)slot);
    }
    pg_clear(&step, 1);
    return e;
}

/* A sentence, unless the server's own stands there. */
static void damaged(struct store_why *why, const char *table, uint32_t slot, uint64_t at)
{
    if (why->text[0] == '\0')
        store_why_set(why, "table %s, slot %u, from %llu on: a row is damaged", table,
                      (unsigned)slot, (unsigned long long)at);
}

/* ---- records ---- */

static bool take_columns(const PGresult *p, int row, struct postgres_raw_record *x)
{
    return pg_u64(p, row, 1, STORE_INDEX_MAX, &x->r.position) == ERR_OK &&
           pg_u64(p, row, 2, INT64_MAX, &x->r.hub_lamport) == ERR_OK &&
           pg_u64(p, row, 3, INT64_MAX, &x->r.hub_time_ms) == ERR_OK &&
           pg_hash(p, row, 4, &x->account) == ERR_OK &&
           pg_hash(p, row, 5, &x->id) == ERR_OK &&
           pg_hash(p, row, 6, &x->r.account_head) == ERR_OK &&
           pg_hash(p, row, 7, &x->leaf_hash) == ERR_OK &&
           pg_span(p, row, 8, &x->r.envelope) == ERR_OK;
}

static enum err take_rows(const PGresult *p, uint32_t slot,
                          struct postgres_raw_record out[])
{
    for (int i = 0; i < PQntuples(p); i++) {
        struct postgres_raw_record *x = &out[i];
        memset(x, 0, sizeof *x);
        TRY(pg_u64(p, i, 0, INT64_MAX, &x->r.index));
        x->shape_ok = take_columns(p, i, x);
        x->r.slot = slot;
        if (!x->shape_ok)
            x->r.envelope = bytes_of(NULL, 0);
    }
    return ERR_OK;
}

enum err postgres_raw_records(struct postgres_raw *s, uint32_t slot, uint64_t from,
                              uint64_t below, struct postgres_raw_record out[],
                              size_t max, size_t *count, void **hold,
                              struct store_why *why)
{
    struct pg_step step = {.statement = PG_AUDIT_RECORDS};
    *count = 0;
    *hold = NULL;
    pg_add_i32(&step.p, slot);
    pg_add_i64(&step.p, from);
    pg_add_i64(&step.p, below);
    pg_add_i64(&step.p, max);
    enum err e = ask(s, &step, why);
    if (e == ERR_OK && (uint64_t)PQntuples(step.result) > max)
        e = ERR_CORRUPT;
    if (e == ERR_OK)
        e = take_rows(step.result, slot, out);
    if (e == ERR_CORRUPT)
        damaged(why, "record", slot, from);
    if (e == ERR_OK && PQntuples(step.result) > 0) {
        *count = (size_t)PQntuples(step.result);
        *hold = step.result;
        step.result = NULL;
    }
    pg_clear(&step, 1);
    return e;
}

void postgres_raw_release(void *hold)
{
    PQclear(hold);
}

enum err postgres_raw_tile(struct postgres_raw *s, uint32_t slot, unsigned level,
                           uint64_t n, struct hash out[TILE_HASHES], struct hash *root,
                           struct store_why *why)
{
    struct pg_step step = {.statement = PG_AUDIT_TILE};
    struct bytes hashes = bytes_of(NULL, 0);
    pg_add_i32(&step.p, slot);
    pg_add_i32(&step.p, level);
    pg_add_i64(&step.p, n);
    enum err e = ask(s, &step, why);
    if (e == ERR_OK && PQntuples(step.result) == 0)
        e = ERR_NOT_FOUND;
    if (e == ERR_OK)
        e = pg_hash(step.result, 0, 0, root);
    if (e == ERR_OK)
        e = pg_span(step.result, 0, 1, &hashes);
    if (e == ERR_OK && hashes.size != TILE_HASHES * HASH_BYTES)
        e = ERR_CORRUPT;
    if (e == ERR_OK)
        memcpy(out, hashes.data, hashes.size);
    if (e == ERR_CORRUPT)
        damaged(why, "tile", slot, n);
    pg_clear(&step, 1);
    return e;
}
