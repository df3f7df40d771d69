/* What an append is made of, as arrays: one statement a table, for all its slots. Each is
 * sent when it is built, so the server works while the next one is; answers are read at
 * the end. */
#include "ledger/store_postgres.h"

#include <string.h>

#define TILES_A_STATEMENT 512 /* 8 KiB each */
#define ITEMS_A_STATEMENT 16384

static void clear(struct postgres_store *s, const enum pg_type types[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        pg_array_clear(&s->array[i], types[i]);
}

void postgres_batch(struct postgres_store *s)
{
    s->batch.count = s->batch.bytes = s->batch.moving = 0;
}

enum err postgres_add(struct postgres_store *s, enum pg_statement statement,
                      size_t arrays, uint64_t expect)
{
    struct pg_batch *b = &s->batch;
    if (b->count == PG_BATCH_STEPS || b->bytes > POSTGRES_INSERT_BYTES)
        TRY(postgres_flush(s));
    if (b->count == 0)
        pg_begin(&s->link);
    struct pg_step *step = &b->step[b->count];
    *step = (struct pg_step){.statement = statement};
    enum err e = pg_add_arrays(&step->p, s->array, arrays);
    if (e == ERR_OK)
        e = pg_send(&s->link, step);
    else
        pg_drop(&s->link); /* half a pipeline: no way back but this */
    for (size_t i = 0; i < arrays; i++)
        b->bytes += s->array[i].b.size;
    b->expect[b->count++] = expect;
    return e;
}

/* Which slots moved; ERR_LOST when not all did. */
static enum err take_moved(struct pg_batch *b, const PGresult *r)
{
    memset(b->moved, 0, sizeof b->moved);
    for (int i = 0; i < PQntuples(r); i++) {
        uint64_t slot = 0;
        TRY(pg_u64(r, i, 0, SLOTS_MAX - 1, &slot));
        b->moved[slot] = true;
    }
    return (size_t)PQntuples(r) == b->moving ? ERR_OK : ERR_LOST;
}

enum err postgres_flush(struct postgres_store *s)
{
    struct pg_batch *b = &s->batch;
    enum err e = ERR_OK;
    if (b->count > 0)
        e = pg_finish(&s->link, b->step, b->count);
    for (size_t i = 0; i < b->count && s->link.c != NULL; i++) {
        const PGresult *r = b->step[i].result;
        enum err moved =
            b->step[i].statement == PG_MOVE && r != NULL ? take_moved(b, r) : ERR_OK;
        if (moved != ERR_OK)
            e = moved; /* what followed was written for nothing, and may well clash */
        /* A row less would be a double that was passed over in silence. */
        else if (e == ERR_OK && b->expect[i] != UINT64_MAX &&
                 pg_changed(r) != b->expect[i])
            e = ERR_STORE;
        if (moved != ERR_OK)
            break;
    }
    pg_clear(b->step, b->count);
    b->count = b->bytes = 0;
    return e;
}

static enum err run(struct postgres_store *s, enum pg_statement statement, size_t arrays)
{
    return postgres_add(s, statement, arrays, s->array[0].count);
}

static const enum pg_type move_types[] = {PG_INT4, PG_INT8,  PG_INT8,
                                          PG_INT8, PG_BYTEA, PG_BYTEA};
#define MOVE_ARRAYS (sizeof move_types / sizeof *move_types)

enum err postgres_put_moves(struct postgres_store *s,
                            const struct store_append *const a[], size_t count)
{
    struct pg_array *x = s->array;
    clear(s, move_types, MOVE_ARRAYS);
    for (size_t i = 0; i < count; i++) {
        pg_array_i32(&x[0], a[i]->slot);
        pg_array_i64(&x[1], a[i]->epoch);
        pg_array_i64(&x[2], a[i]->old_size);
        pg_array_i64(&x[3], a[i]->old_size + a[i]->record_count);
        pg_array_bytes(&x[4], a[i]->edges, a[i]->edge_count * HASH_BYTES);
        pg_array_bytes(&x[5], a[i]->checkpoint.data, a[i]->checkpoint.size);
    }
    s->batch.moving = count;
    return postgres_add(s, PG_MOVE, MOVE_ARRAYS, UINT64_MAX);
}

static const enum pg_type record_types[] = {PG_INT4,  PG_INT8,  PG_INT8,  PG_INT8,
                                            PG_INT8,  PG_BYTEA, PG_BYTEA, PG_BYTEA,
                                            PG_BYTEA, PG_BYTEA};
#define RECORD_ARRAYS (sizeof record_types / sizeof *record_types)

static void add_record(struct pg_array x[], const struct store_record *in)
{
    pg_array_i32(&x[0], in->r.slot);
    pg_array_i64(&x[1], in->r.index);
    pg_array_i64(&x[2], in->r.position);
    pg_array_i64(&x[3], in->r.hub_lamport);
    pg_array_i64(&x[4], in->r.hub_time_ms);
    pg_array_bytes(&x[5], in->account.b, HASH_BYTES);
    pg_array_bytes(&x[6], in->id.b, HASH_BYTES);
    pg_array_bytes(&x[7], in->r.account_head.b, HASH_BYTES);
    pg_array_bytes(&x[8], in->leaf_hash.b, HASH_BYTES);
    pg_array_bytes(&x[9], in->r.envelope.data, in->r.envelope.size);
}

enum err postgres_put_records(struct postgres_store *s,
                              const struct store_append *const a[], size_t count)
{
    clear(s, record_types, RECORD_ARRAYS);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < a[i]->record_count; k++) {
            if (s->array[9].b.size > POSTGRES_INSERT_BYTES) {
                TRY(run(s, PG_RECORDS, RECORD_ARRAYS));
                clear(s, record_types, RECORD_ARRAYS);
            }
            add_record(s->array, &a[i]->records[k]);
        }
    return s->array[0].count == 0 ? ERR_OK : run(s, PG_RECORDS, RECORD_ARRAYS);
}

static const enum pg_type tile_types[] = {PG_INT4, PG_INT4, PG_INT8, PG_BYTEA, PG_BYTEA};
#define TILE_ARRAYS (sizeof tile_types / sizeof *tile_types)

enum err postgres_put_tiles(struct postgres_store *s,
                            const struct store_append *const a[], size_t count)
{
    struct pg_array *x = s->array;
    clear(s, tile_types, TILE_ARRAYS);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < a[i]->tile_count; k++) {
            const struct store_tile *t = &a[i]->tiles[k];
            struct hash root = tile_root(t->hashes, TILE_HASHES);
            if (x[0].count == TILES_A_STATEMENT) {
                TRY(run(s, PG_TILES, TILE_ARRAYS));
                clear(s, tile_types, TILE_ARRAYS);
            }
            pg_array_i32(&x[0], a[i]->slot);
            pg_array_i32(&x[1], t->level);
            pg_array_i64(&x[2], t->n);
            pg_array_bytes(&x[3], root.b, HASH_BYTES);
            pg_array_bytes(&x[4], t->hashes, TILE_HASHES * HASH_BYTES);
        }
    return x[0].count == 0 ? ERR_OK : run(s, PG_TILES, TILE_ARRAYS);
}

static const enum pg_type item_types[] = {PG_INT4,  PG_INT8,  PG_INT8, PG_INT4,
                                          PG_INT8,  PG_INT8,  PG_INT8, PG_INT4,
                                          PG_BYTEA, PG_BYTEA, PG_BYTEA};
#define ITEM_ARRAYS (sizeof item_types / sizeof *item_types)

static void add_item(struct pg_array x[], const struct channel_item *in)
{
    pg_array_i32(&x[0], in->source_slot);
    pg_array_i64(&x[1], in->source_index);
    pg_array_i64(&x[2], in->payee_index);
    pg_array_i32(&x[3], in->destination_slot);
    pg_array_i64(&x[4], in->out_seq);
    pg_array_i64(&x[5], in->source_lamport);
    pg_array_i64(&x[6], (uint64_t)in->amount);
    pg_array_i32(&x[7], in->is_return ? 1 : 0);
    pg_array_bytes(&x[8], in->cause.b, HASH_BYTES);
    pg_array_bytes(&x[9], in->payer.b, HASH_BYTES);
    pg_array_bytes(&x[10], in->payee.b, HASH_BYTES);
}

enum err postgres_put_items(struct postgres_store *s,
                            const struct store_append *const a[], size_t count)
{
    clear(s, item_types, ITEM_ARRAYS);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < a[i]->item_count; k++) {
            if (s->array[0].count == ITEMS_A_STATEMENT) {
                TRY(run(s, PG_ITEMS, ITEM_ARRAYS));
                clear(s, item_types, ITEM_ARRAYS);
            }
            add_item(s->array, &a[i]->items[k]);
        }
    return s->array[0].count == 0 ? ERR_OK : run(s, PG_ITEMS, ITEM_ARRAYS);
}

static const enum pg_type settled_types[] = {PG_INT4, PG_INT4, PG_INT8, PG_INT8};
#define SETTLED_ARRAYS (sizeof settled_types / sizeof *settled_types)

/* Only other relays ask for it. */
enum err postgres_put_settled(struct postgres_store *s,
                              const struct store_append *const a[], size_t count)
{
    struct pg_array *x = s->array;
    if (!s->shared)
        return ERR_OK;
    clear(s, settled_types, SETTLED_ARRAYS);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < a[i]->settled_count; k++) {
            pg_array_i32(&x[0], a[i]->slot);
            pg_array_i32(&x[1], a[i]->settled[k].source);
            pg_array_i64(&x[2], a[i]->settled[k].next_in);
            pg_array_i64(&x[3], a[i]->settled[k].index);
        }
    return x[0].count == 0 ? ERR_OK : run(s, PG_SETTLED, SETTLED_ARRAYS);
}

static const enum pg_type forget_types[] = {PG_INT4, PG_INT8, PG_INT8};
#define FORGET_ARRAYS (sizeof forget_types / sizeof *forget_types)

/* From where the last one ended: what was deleted before is not walked over again. */
enum err postgres_forget_items(struct postgres_store *s,
                               const struct store_append *const a[], size_t count)
{
    clear(s, forget_types, FORGET_ARRAYS);
    for (size_t i = 0; i < count; i++) {
        uint64_t from = s->forgot[a[i]->slot];
        if (a[i]->outbox_low <= from)
            continue;
        pg_array_i32(&s->array[0], a[i]->slot);
        pg_array_i64(&s->array[1], from);
        pg_array_i64(&s->array[2], a[i]->outbox_low);
    }
    return s->array[0].count == 0 ? ERR_OK
                                  : postgres_add(s, PG_FORGET, FORGET_ARRAYS, UINT64_MAX);
}
