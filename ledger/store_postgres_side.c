/* What stands beside the records: slots, outbox, snapshots, sealed attachments. */
#include "ledger/store_postgres.h"

#include <assert.h>
#include <string.h>

#define ITEMS_A_PAGE 1024
#define READ_TRIES 2 /* the second on a new session, when the first had died unnoticed   \
                      */

/* ---- slot ---- */

enum err postgres_slot_row(const PGresult *r, struct store_slot *out)
{
    struct bytes edges, checkpoint;
    uint64_t size = 0;
    memset(out, 0, sizeof *out);
    if (PQntuples(r) != 1)
        return ERR_CORRUPT;
    TRY(pg_u64(r, 0, 0, INT64_MAX, &out->epoch));
    TRY(pg_u64(r, 0, 1, STORE_INDEX_MAX, &size));
    TRY(pg_span(r, 0, 2, &edges));
    TRY(pg_span(r, 0, 3, &checkpoint));
    out->size = size;
    out->edge_count = frontier_edge_count(size);
    if (edges.size != out->edge_count * HASH_BYTES ||
        checkpoint.size > sizeof out->checkpoint || (size == 0) != (checkpoint.size == 0))
        return ERR_CORRUPT;
    if (size == 0)
        return ERR_OK;
    memcpy(out->edges, edges.data, edges.size);
    memcpy(out->checkpoint, checkpoint.data, checkpoint.size);
    out->checkpoint_size = checkpoint.size;
    return ERR_OK;
}

/* One question outside a transaction. */
enum err postgres_ask_writer(struct postgres_store *s, struct pg_step *step)
{
    enum err e = ERR_STORE;
    if (atomic_load(&s->broken))
        return ERR_IO;
    for (int i = 0; i < READ_TRIES; i++) {
        e = postgres_ready(s);
        if (e == ERR_OK)
            e = pg_exchange(&s->link, step, 1);
        if (e != ERR_STORE || !pg_died(&s->link))
            break;
    }
    return e;
}

enum err postgres_slot(struct store *base, uint32_t slot, struct store_slot *out)
{
    struct postgres_store *s = postgres_of(base);
    assert(slot < s->ledger.identity.slots);
    pthread_mutex_lock(&s->lock);
    struct pg_step step = {.statement = PG_WRITER_SLOT};
    pg_add_i32(&step.p, slot);
    enum err e = postgres_ask_writer(s, &step);
    if (e == ERR_OK)
        e = postgres_slot_row(step.result, out);
    pg_clear(&step, 1);
    pthread_mutex_unlock(&s->lock);
    return postgres_note(s, e);
}

/* ---- outbox ---- */

enum err postgres_item_row(const PGresult *r, int row, uint32_t slot,
                           struct channel_item *i)
{
    uint64_t index, payee, destination, seq, lamport, is_return;
    TRY(pg_u64(r, row, 0, STORE_INDEX_MAX, &index));
    TRY(pg_u64(r, row, 1, UINT32_MAX, &payee));
    TRY(pg_u64(r, row, 2, SLOTS_MAX - 1, &destination));
    TRY(pg_u64(r, row, 3, INT64_MAX, &seq));
    TRY(pg_u64(r, row, 4, INT64_MAX, &lamport));
    struct bytes amount;
    TRY(pg_span(r, row, 5, &amount));
    TRY(pg_u64(r, row, 6, 1, &is_return));
    TRY(pg_hash(r, row, 7, &i->cause));
    TRY(pg_hash(r, row, 8, &i->payer));
    TRY(pg_hash(r, row, 9, &i->payee));
    if (amount.size != 8)
        return ERR_CORRUPT;
    i->amount = (int64_t)be64(amount.data);
    i->payee_index = (uint32_t)payee;
    i->source_slot = slot;
    i->destination_slot = (uint32_t)destination;
    i->source_index = index;
    i->source_lamport = lamport;
    i->out_seq = seq;
    i->is_return = is_return != 0;
    return ERR_OK;
}

struct item_walk {
    bool (*visit)(void *context, const struct channel_item *item);
    void *context;
    uint64_t index, payee; /* of the last one */
    bool any, done;
};

static enum err visit_items(struct item_walk *w, const PGresult *r, uint32_t slot)
{
    int rows = PQntuples(r);
    for (int i = 0; i < rows && !w->done; i++) {
        struct channel_item item;
        TRY(postgres_item_row(r, i, slot, &item));
        w->any = true;
        w->index = item.source_index;
        w->payee = item.payee_index;
        w->done = !w->visit(w->context, &item);
    }
    w->done = w->done || rows < ITEMS_A_PAGE;
    return ERR_OK;
}

/* What comes after the last one seen; before the first page that is a place below all. */
static void outbox_step(struct pg_step *step, const struct item_walk *w, uint32_t slot)
{
    static const uint8_t minus_one[8] = {255, 255, 255, 255, 255, 255, 255, 255};
    pg_add_i32(&step->p, slot);
    if (w->any) {
        pg_add_i64(&step->p, w->index);
        pg_add_i64(&step->p, w->payee);
    } else {
        pg_add_bytes(&step->p, minus_one, sizeof minus_one);
        pg_add_bytes(&step->p, minus_one, sizeof minus_one);
    }
    pg_add_i64(&step->p, ITEMS_A_PAGE);
}

enum err postgres_outbox(struct store *base, uint32_t slot,
                         bool (*visit)(void *context, const struct channel_item *item),
                         void *context)
{
    struct postgres_store *s = postgres_of(base);
    struct item_walk w = {.visit = visit, .context = context};
    enum err e = ERR_OK;
    assert(slot < s->ledger.identity.slots);
    pthread_mutex_lock(&s->lock);
    while (e == ERR_OK && !w.done) {
        struct pg_step step = {.statement = PG_OUTBOX};
        outbox_step(&step, &w, slot);
        e = postgres_ask_writer(s, &step);
        if (e == ERR_OK)
            e = visit_items(&w, step.result, slot);
        pg_clear(&step, 1);
    }
    pthread_mutex_unlock(&s->lock);
    return postgres_note(s, e);
}

/* ---- snapshots ---- */

static enum err drop_parts(struct postgres_store *s, uint32_t slot)
{
    struct pg_step step = {.statement = PG_SNAPSHOT_DROP};
    pg_add_i32(&step.p, slot);
    enum err e = pg_exchange(&s->link, &step, 1);
    pg_clear(&step, 1);
    return e;
}

static enum err put_part(struct postgres_store *s, uint32_t slot, size_t part,
                         size_t parts, tree_size size, struct bytes data)
{
    struct pg_step step = {.statement = PG_SNAPSHOT_PUT};
    assert(data.size > 0 && data.size <= STORE_SNAPSHOT_PART_MAX);
    pg_add_i32(&step.p, slot);
    pg_add_i32(&step.p, (uint32_t)part);
    pg_add_i32(&step.p, (uint32_t)parts);
    pg_add_i64(&step.p, size);
    pg_add_bytes(&step.p, data.data, data.size);
    enum err e = pg_exchange(&s->link, &step, 1);
    pg_clear(&step, 1);
    return e;
}

/* Its commit is not waited for: the next append's is, and flushes it too. */
enum err postgres_snapshot_save(struct store *base, uint32_t slot, tree_size size,
                                const struct bytes parts[], size_t count)
{
    struct postgres_store *s = postgres_of(base);
    assert(slot < s->ledger.identity.slots && count <= INT32_MAX);
    pthread_mutex_lock(&s->lock);
    enum err e = postgres_begin(s, true);
    if (e == ERR_OK) {
        e = drop_parts(s, slot);
        for (size_t i = 0; e == ERR_OK && i < count; i++)
            e = put_part(s, slot, i, count, size, parts[i]);
        e = postgres_end(s, "snapshot", e);
    }
    pthread_mutex_unlock(&s->lock);
    return postgres_note(s, e);
}

enum err postgres_snapshot_drop(struct store *base, uint32_t slot)
{
    return postgres_snapshot_save(base, slot, 0, NULL, 0);
}

/* Part `part`; ERR_NOT_FOUND when there is none. */
static enum err load_part(struct postgres_store *s, struct pg_step *step, uint32_t slot,
                          uint32_t part, uint64_t *parts, tree_size *size,
                          struct bytes *out)
{
    step->statement = PG_SNAPSHOT;
    pg_add_i32(&step->p, slot);
    pg_add_i32(&step->p, part);
    TRY(postgres_ask_writer(s, step));
    if (PQntuples(step->result) == 0)
        return ERR_NOT_FOUND;
    uint64_t at = 0;
    TRY(pg_u64(step->result, 0, 0, INT32_MAX, parts));
    TRY(pg_u64(step->result, 0, 1, STORE_INDEX_MAX, &at));
    *size = at;
    return pg_span(step->result, 0, 2, out);
}

/* A damaged snapshot does not break the store: it is a cache and the caller drops it. */
enum err postgres_snapshot_load(struct store *base, uint32_t slot, tree_size *size,
                                bool (*visit)(void *context, struct bytes part),
                                void *context)
{
    struct postgres_store *s = postgres_of(base);
    uint64_t parts = 1;
    enum err e = ERR_OK;
    assert(slot < s->ledger.identity.slots);
    pthread_mutex_lock(&s->lock);
    for (uint32_t i = 0; e == ERR_OK && i < parts; i++) {
        struct pg_step step = {.p = {.count = 0}};
        struct bytes part;
        e = load_part(s, &step, slot, i, &parts, size, &part);
        if (e == ERR_NOT_FOUND && i > 0)
            e = ERR_CORRUPT;
        bool stopped = e == ERR_OK && !visit(context, part);
        pg_clear(&step, 1);
        if (stopped)
            break;
    }
    pthread_mutex_unlock(&s->lock);
    return e;
}

/* ---- sealed attachments ---- */

/* `statement` changes one row; `none`: what it means when it changed nothing. */
static enum err sealed_change(struct postgres_store *s, struct pg_step *step,
                              enum err none)
{
    pthread_mutex_lock(&s->lock);
    enum err e = postgres_begin(s, false);
    if (e == ERR_OK) {
        e = pg_exchange(&s->link, step, 1);
        if (e == ERR_OK && pg_changed(step->result) != 1)
            e = none;
        e = postgres_end(s, "sealed", e);
    }
    pg_clear(step, 1);
    pthread_mutex_unlock(&s->lock);
    return postgres_note(s, e);
}

enum err postgres_sealed_put(struct store *base, const struct hash *entry,
                             struct bytes data)
{
    struct pg_step step = {.statement = PG_SEALED_PUT};
    if (data.size > INT32_MAX)
        return ERR_TOO_LARGE;
    pg_add_bytes(&step.p, entry->b, HASH_BYTES);
    pg_add_bytes(&step.p, data.data, data.size);
    return sealed_change(postgres_of(base), &step, ERR_EXISTS);
}

enum err postgres_sealed_erase(struct store *base, const struct hash *entry)
{
    struct pg_step step = {.statement = PG_SEALED_ERASE};
    pg_add_bytes(&step.p, entry->b, HASH_BYTES);
    return sealed_change(postgres_of(base), &step, ERR_NOT_FOUND);
}
