#include "ledger/store_postgres_projection.h"

#include <stdlib.h>
#include <string.h>

#include "ledger/store_postgres.h"

#define STEPS_MAX 8
#define LOCK_TRIES 3

struct projector {
    struct store *store; /* readers only */
    struct store_reader *reader;
    struct postgres_store *s;
    struct pg_link link;
    struct pg_array array[PG_PARAMS_MAX];
    size_t count;
    struct projection_cursor at[SLOTS_MAX];
    uint64_t size[SLOTS_MAX];
    struct projection_batch batch;
    enum err taking; /* of the visit under way */
};

/* ---- the handle ---- */

enum err projector_open(struct projector **out, const char *uri, struct store_why *why)
{
    struct projector *p = calloc(1, sizeof *p);
    const char *rest = strchr(uri, ':');
    *out = NULL;
    if (p == NULL)
        return ERR_MEMORY;
    enum err e = rest == NULL || strncmp(uri, "postgres", 8) != 0 ? ERR_USAGE : ERR_OK;
    if (e != ERR_OK)
        store_why_set(why, "only a postgresql:// store keeps projections");
    if (e == ERR_OK)
        e = store_replica_postgres(rest + 1, 0, &p->store, why);
    if (e == ERR_OK)
        e = p->store->ops->reader_open(p->store, &p->reader);
    if (e == ERR_OK) {
        p->s = postgres_of(p->store);
        p->link = (struct pg_link){
            .target = &p->s->target, .role = PG_PROJECTOR, .bound = &p->s->ledger};
        *out = p;
    } else {
        projector_close(p);
    }
    return e;
}

void projector_close(struct projector *p)
{
    if (p == NULL)
        return;
    pg_drop(&p->link);
    for (size_t i = 0; i < PG_PARAMS_MAX; i++)
        buf_close(&p->array[i].b);
    if (p->reader != NULL)
        p->reader->ops->close(p->reader);
    if (p->store != NULL)
        p->store->ops->close(p->store);
    free(p);
}

const struct store_identity *projector_identity(const struct projector *p)
{
    return p->store->ops->identity(p->store);
}

static enum err told(struct projector *p, enum err e, struct store_why *why)
{
    if (e != ERR_OK)
        *why = p->link.why;
    if (e != ERR_OK && why->text[0] == '\0')
        store_why_set(why, "%s: %s", p->s->target.name, err_text(e));
    return e;
}

/* ---- statements ---- */

static enum err run(struct projector *p, struct pg_step steps[], size_t count)
{
    enum err e = pg_ready(&p->link);
    return e == ERR_OK ? pg_exchange(&p->link, steps, count) : e;
}

/* One statement with up to three numbers; rows changed into *changed when not NULL. */
static enum err simple(struct projector *p, enum pg_statement statement, uint32_t slot,
                       uint64_t a, uint64_t b, int params, uint64_t *changed)
{
    struct pg_step step = {.statement = statement};
    if (params > 0)
        pg_add_i32(&step.p, slot);
    if (params > 1)
        pg_add_i64(&step.p, a);
    if (params > 2)
        pg_add_i64(&step.p, b);
    enum err e = run(p, &step, 1);
    if (e == ERR_OK && changed != NULL)
        *changed = pg_changed(step.result);
    pg_clear(&step, 1);
    return e;
}

static enum err begin(struct projector *p)
{
    return simple(p, PG_PROJECT_BEGIN, 0, 0, 0, 0, NULL);
}

/* Commit, or roll back and return `e`. A commit without an answer needs no more than the
 * next look at the cursor. */
static enum err end(struct projector *p, enum err e)
{
    if (p->link.c == NULL)
        return e == ERR_OK ? ERR_STORE : e;
    struct store_why why = p->link.why;
    bool again = p->link.again;
    enum err closed = simple(p, e == ERR_OK ? PG_PROJECT_COMMIT : PG_PROJECT_ROLLBACK, 0,
                             0, 0, 0, NULL);
    if (e == ERR_OK)
        return closed;
    if (closed != ERR_OK)
        pg_drop(&p->link);
    p->link.why = why;
    p->link.again = again;
    return e;
}

/* Within a transaction the link must not be made anew. */
static enum err within(struct projector *p, struct pg_step *step, uint64_t expect)
{
    if (p->link.c == NULL)
        return ERR_STORE;
    enum err e = pg_exchange(&p->link, step, 1);
    if (e == ERR_OK && expect != UINT64_MAX && pg_changed(step->result) != expect) {
        store_why_set(&p->link.why,
                      "%s: the projections are not what the cursor says; run: stoactl "
                      "projection rebuild",
                      p->s->target.name);
        e = ERR_CORRUPT;
    }
    pg_clear(step, 1);
    return e;
}

/* ---- a batch ---- */

static enum err put_opened(struct projector *p, const struct projection_batch *b)
{
    static const enum pg_type types[] = {PG_INT4, PG_BYTEA, PG_INT8, PG_INT8,
                                         PG_INT8, PG_BYTEA, PG_INT4};
    struct pg_step step = {.statement = PG_PROJECT_OPEN};
    struct pg_array *a = p->array;
    for (size_t i = 0; i < 7; i++)
        pg_array_clear(&a[i], types[i]);
    for (uint32_t i = 0; i < b->account_count; i++) {
        const struct projection_account *x = &b->accounts[i];
        if (!x->opened)
            continue;
        if (x->delta < 0)
            return ERR_CORRUPT;
        pg_array_i32(&a[0], b->to.slot);
        pg_array_bytes(&a[1], x->account.b, HASH_BYTES);
        pg_array_i64(&a[2], (uint64_t)x->delta);
        pg_array_i64(&a[3], x->records);
        pg_array_i64(&a[4], x->index);
        pg_array_bytes(&a[5], x->head.b, HASH_BYTES);
        pg_array_i32(&a[6], x->pinned);
    }
    if (a[0].count == 0)
        return ERR_OK;
    uint64_t rows = a[0].count;
    TRY(pg_add_arrays(&step.p, a, 7));
    return within(p, &step, rows);
}

static enum err put_added(struct projector *p, const struct projection_batch *b)
{
    static const enum pg_type types[] = {PG_INT4, PG_BYTEA, PG_INT8,
                                         PG_INT8, PG_INT8,  PG_BYTEA};
    struct pg_step step = {.statement = PG_PROJECT_ADD};
    struct pg_array *a = p->array;
    for (size_t i = 0; i < 6; i++)
        pg_array_clear(&a[i], types[i]);
    for (uint32_t i = 0; i < b->account_count; i++) {
        const struct projection_account *x = &b->accounts[i];
        if (x->opened)
            continue;
        pg_array_i32(&a[0], b->to.slot);
        pg_array_bytes(&a[1], x->account.b, HASH_BYTES);
        pg_array_i64(&a[2], (uint64_t)x->delta); /* two's complement, as the server's */
        pg_array_i64(&a[3], x->records);
        pg_array_i64(&a[4], x->index);
        pg_array_bytes(&a[5], x->head.b, HASH_BYTES);
    }
    if (a[0].count == 0)
        return ERR_OK;
    uint64_t rows = a[0].count;
    TRY(pg_add_arrays(&step.p, a, 6));
    return within(p, &step, rows);
}

static enum err put_earnings(struct projector *p, const struct projection_batch *b)
{
    static const enum pg_type types[] = {PG_INT4, PG_BYTEA, PG_INT4,
                                         PG_INT8, PG_INT8,  PG_INT8};
    struct pg_step step = {.statement = PG_PROJECT_EARN};
    struct pg_array *a = p->array;
    if (b->earning_count == 0)
        return ERR_OK;
    for (size_t i = 0; i < 6; i++)
        pg_array_clear(&a[i], types[i]);
    for (uint32_t i = 0; i < b->earning_count; i++) {
        const struct projection_earning *x = &b->earnings[i];
        pg_array_i32(&a[0], b->to.slot);
        pg_array_bytes(&a[1], x->account.b, HASH_BYTES);
        pg_array_i32(&a[2], x->day);
        pg_array_i64(&a[3], (uint64_t)x->amount);
        pg_array_i64(&a[4], x->accruals);
        pg_array_i64(&a[5], x->index);
    }
    TRY(pg_add_arrays(&step.p, a, 6));
    return within(p, &step, b->earning_count);
}

/* The list of when b->hour began, before anything of that hour is applied. */
static enum err put_list(struct projector *p, const struct projection_batch *b)
{
    uint64_t keep = b->hour > PROJECTION_RICH_HOURS ? b->hour - PROJECTION_RICH_HOURS : 0;
    struct pg_step list = {.statement = PG_PROJECT_LIST};
    struct pg_step forget = {.statement = PG_PROJECT_FORGET};
    pg_add_i32(&list.p, b->to.slot);
    pg_add_i64(&list.p, b->hour);
    pg_add_i64(&list.p, b->from.next);
    TRY(within(p, &list, UINT64_MAX));
    pg_add_i32(&forget.p, b->to.slot);
    pg_add_i64(&forget.p, keep);
    return within(p, &forget, UINT64_MAX);
}

/* ERR_LOST: the cursor is not where this batch begins. */
static enum err put_batch(struct projector *p, const struct projection_batch *b)
{
    struct pg_step move = {.statement = PG_PROJECT_MOVE};
    pg_add_i32(&move.p, b->to.slot);
    pg_add_i64(&move.p, b->from.next);
    pg_add_i64(&move.p, b->to.next);
    pg_add_i64(&move.p, b->to.time_ms);
    enum err e = pg_exchange(&p->link, &move, 1);
    bool moved = e == ERR_OK && pg_changed(move.result) == 1;
    pg_clear(&move, 1);
    TRY(e);
    if (!moved)
        return ERR_LOST;
    if (b->closes)
        TRY(put_list(p, b));
    TRY(put_opened(p, b));
    TRY(put_added(p, b));
    return put_earnings(p, b);
}

/* ---- records into a batch ---- */

static bool take_record(void *context, const struct record *r, const struct hash *account)
{
    struct projector *p = context;
    p->taking = projection_add(&p->batch, r, account);
    return p->taking == ERR_OK;
}

static enum err fill(struct projector *p, const struct projection_cursor *from,
                     uint64_t below)
{
    projection_begin(&p->batch, from);
    p->taking = ERR_OK;
    uint64_t max = below - from->next;
    enum err e = p->reader->ops->records(
        p->reader, from->slot, from->next,
        max > PROJECTION_RECORDS_MAX ? PROJECTION_RECORDS_MAX : max, take_record, p);
    if (e == ERR_OK && p->taking != ERR_ROOM)
        e = p->taking;
    if (e == ERR_CORRUPT)
        store_why_set(
            &p->link.why,
            "%s: slot %u, from index %llu on: a record does not decode, or does "
            "not follow the one before it; run: stoa-audit verify",
            p->s->target.name, (unsigned)from->slot,
            (unsigned long long)p->batch.to.next);
    return e;
}

/* ---- a round ---- */

static enum err look(struct projector *p)
{
    struct pg_step steps[2] = {{.statement = PG_PROJECT_MAKE},
                               {.statement = PG_PROJECT_WHERE}};
    enum err e = run(p, steps, 2);
    p->count = 0;
    if (e == ERR_OK && PQntuples(steps[1].result) > SLOTS_MAX)
        e = ERR_CORRUPT;
    for (int i = 0; e == ERR_OK && i < PQntuples(steps[1].result); i++) {
        const PGresult *r = steps[1].result;
        struct projection_cursor *c = &p->at[i];
        uint64_t slot = 0;
        e = pg_u64(r, i, 0, SLOTS_MAX - 1, &slot);
        c->slot = (uint32_t)slot;
        if (e == ERR_OK)
            e = pg_u64(r, i, 1, STORE_INDEX_MAX, &c->next);
        if (e == ERR_OK)
            e = pg_u64(r, i, 2, INT64_MAX, &c->time_ms);
        if (e == ERR_OK)
            e = pg_u64(r, i, 3, STORE_INDEX_MAX, &p->size[i]);
        p->count += 1;
    }
    pg_clear(steps, 2);
    return e;
}

static enum err seen(struct projector *p)
{
    struct pg_step step = {.statement = PG_PROJECT_SEEN};
    pg_array_clear(&p->array[0], PG_INT4);
    for (size_t i = 0; i < p->count; i++)
        if (p->at[i].next == p->size[i])
            pg_array_i32(&p->array[0], p->at[i].slot);
    if (p->array[0].count == 0)
        return ERR_OK;
    enum err e = pg_add_arrays(&step.p, p->array, 1);
    if (e == ERR_OK)
        e = run(p, &step, 1);
    pg_clear(&step, 1);
    return e;
}

static enum err project(struct projector *p, size_t i, uint64_t *records)
{
    TRY(fill(p, &p->at[i], p->size[i]));
    TRY(begin(p));
    enum err e = end(p, put_batch(p, &p->batch));
    if (e == ERR_LOST || e == ERR_LOCKED || (e != ERR_OK && p->link.again))
        return ERR_OK; /* somebody else is at it: the next round looks again */
    if (e == ERR_OK)
        *records += p->batch.to.next - p->batch.from.next;
    return e;
}

enum err projector_round(struct projector *p, uint64_t *records, struct store_why *why)
{
    *records = 0;
    p->link.why.text[0] = '\0';
    enum err e = look(p);
    bool behind = false;
    for (size_t i = 0; e == ERR_OK && i < p->count; i++) {
        if (p->at[i].next >= p->size[i])
            continue;
        behind = true;
        e = project(p, i, records);
    }
    if (e == ERR_OK && !behind)
        e = seen(p);
    return told(p, e, why);
}

enum err projector_slots(struct projector *p, struct projection_slot out[SLOTS_MAX],
                         size_t *count, struct store_why *why)
{
    return told(p, p->reader->ops->projection->slots(p->reader, out, count), why);
}

/* ---- a rebuild ---- */

#define DIGEST_MAX 300

static enum err digest(struct projector *p, uint32_t slot, char out[DIGEST_MAX])
{
    struct pg_step step = {.statement = PG_PROJECT_DIGEST};
    struct bytes text = bytes_of(NULL, 0);
    if (p->link.c == NULL)
        return ERR_STORE;
    pg_add_i32(&step.p, slot);
    enum err e = pg_exchange(&p->link, &step, 1);
    if (e == ERR_OK)
        e = PQntuples(step.result) == 1 ? pg_span(step.result, 0, 0, &text) : ERR_CORRUPT;
    if (e == ERR_OK && text.size >= DIGEST_MAX)
        e = ERR_CORRUPT;
    if (e == ERR_OK) {
        memcpy(out, text.data, text.size);
        out[text.size] = '\0';
    }
    pg_clear(&step, 1);
    return e;
}

/* Holds the row: no projector moves this slot meanwhile. */
static enum err hold(struct projector *p, uint32_t slot, uint64_t *next)
{
    struct pg_step step = {.statement = PG_PROJECT_OLD};
    if (p->link.c == NULL)
        return ERR_STORE;
    pg_add_i32(&step.p, slot);
    enum err e = pg_exchange(&p->link, &step, 1);
    if (e == ERR_OK)
        e = PQntuples(step.result) == 1 ? pg_u64(step.result, 0, 0, STORE_INDEX_MAX, next)
                                        : ERR_RANGE;
    pg_clear(&step, 1);
    return e;
}

static enum err make_anew(struct projector *p, uint32_t slot, uint64_t next)
{
    static const enum pg_statement drops[] = {PG_PROJECT_DROP_LISTS,
                                              PG_PROJECT_DROP_EARNINGS,
                                              PG_PROJECT_DROP_ACCOUNTS, PG_PROJECT_RESET};
    for (size_t i = 0; i < sizeof drops / sizeof *drops; i++) {
        struct pg_step step = {.statement = drops[i]};
        pg_add_i32(&step.p, slot);
        TRY(within(p, &step, UINT64_MAX));
    }
    struct projection_cursor at = {.slot = slot};
    while (at.next < next) {
        TRY(fill(p, &at, next));
        if (p->batch.to.next == at.next)
            return ERR_CORRUPT; /* the log is shorter than it was */
        TRY(put_batch(p, &p->batch));
        at = p->batch.to;
    }
    return ERR_OK;
}

static enum err rebuild(struct projector *p, uint32_t slot, bool keep,
                        struct projector_rebuilt *out)
{
    char before[DIGEST_MAX] = "", after[DIGEST_MAX] = "";
    TRY(look(p)); /* there is a row */
    TRY(begin(p));
    enum err e = hold(p, slot, &out->records);
    if (e == ERR_OK)
        e = digest(p, slot, before);
    if (e == ERR_OK)
        e = make_anew(p, slot, out->records);
    if (e == ERR_OK)
        e = digest(p, slot, after);
    out->equal = e == ERR_OK && strcmp(before, after) == 0;
    if (e != ERR_OK || keep)
        return end(p, e);
    e = end(p, ERR_LOST); /* undone on purpose */
    return e == ERR_LOST ? ERR_OK : e;
}

enum err projector_rebuild(struct projector *p, uint32_t slot, bool keep,
                           struct projector_rebuilt *out, struct store_why *why)
{
    enum err e = ERR_STORE;
    for (int i = 0; i < LOCK_TRIES; i++) {
        p->link.why.text[0] = '\0';
        e = rebuild(p, slot, keep, out);
        if (e != ERR_LOCKED && !(e == ERR_STORE && p->link.again))
            break;
    }
    return told(p, e, why);
}
