/* Readers: connections of their own, made at the first question and again after a loss.
 *
 * No read transaction is held: a record, a leaf or a full tile under a committed size
 * never changes, so it is enough to read the size first. Visits run while nothing waits
 * for them. */
#include "ledger/store_postgres.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ASK_TRIES 2 /* the second on a new session, when the first had died unnoticed */

/* Each question stands for itself (above), so one may be asked again in the midst of a read. */
enum err postgres_ask(struct postgres_reader *r, struct pg_step *step)
{
    enum err e = ERR_STORE;
    if (atomic_load(&r->s->broken))
        return ERR_IO;
    for (int i = 0; i < ASK_TRIES; i++) {
        e = pg_ready(&r->link);
        if (e == ERR_OK)
            e = pg_exchange(&r->link, step, 1);
        if (e != ERR_STORE || !pg_died(&r->link))
            break;
    }
    if (e == ERR_IO)
        atomic_store(&r->s->broken, true);
    return e;
}

static enum err read_slot(struct store_reader *base, uint32_t slot,
                          struct store_slot *out)
{
    struct postgres_reader *r = postgres_reader_of(base);
    struct pg_step step = {.statement = PG_SLOT};
    uint64_t away = 0;
    assert(slot < r->s->ledger.identity.slots);
    pg_add_i32(&step.p, slot);
    enum err e = postgres_ask(r, &step);
    if (e == ERR_OK)
        e = postgres_slot_row(step.result, out);
    if (e == ERR_OK)
        e = pg_u64(step.result, 0, 4, 1, &away);
    r->away = away != 0;
    pg_clear(&step, 1);
    return e;
}

static enum err slot_size(struct postgres_reader *r, uint32_t slot, uint64_t *size)
{
    struct pg_step step = {.statement = PG_SIZE};
    pg_add_i32(&step.p, slot);
    enum err e = postgres_ask(r, &step);
    if (e == ERR_OK)
        e = PQntuples(step.result) == 1 ? pg_u64(step.result, 0, 0, STORE_INDEX_MAX, size)
                                        : ERR_CORRUPT;
    pg_clear(&step, 1);
    return e;
}

/* ---- records ---- */

/* The columns after `slot`. What is stored must hash to the leaf that is stored. */
static enum err record_row(const PGresult *p, int row, struct record *r,
                           struct hash *account)
{
    uint64_t slot = 0;
    struct hash leaf;
    TRY(pg_u64(p, row, 0, SLOTS_MAX - 1, &slot));
    r->slot = (uint32_t)slot;
    TRY(pg_u64(p, row, 1, STORE_INDEX_MAX, &r->index));
    TRY(pg_u64(p, row, 2, STORE_INDEX_MAX, &r->position));
    TRY(pg_u64(p, row, 3, INT64_MAX, &r->hub_lamport));
    TRY(pg_u64(p, row, 4, INT64_MAX, &r->hub_time_ms));
    TRY(pg_hash(p, row, 5, account));
    TRY(pg_hash(p, row, 6, &r->account_head));
    TRY(pg_hash(p, row, 7, &leaf));
    TRY(pg_span(p, row, 8, &r->envelope));
    if (r->envelope.size <= SIG_BYTES || r->envelope.size > ENVELOPE_BYTES_MAX)
        return ERR_CORRUPT;
    struct hash found = record_leaf_hash(r);
    return hash_equal(&found, &leaf) ? ERR_OK : ERR_CORRUPT;
}

struct walk {
    store_visit *visit;
    void *context;
    uint64_t next; /* index, or position, that the next row must have */
    bool by_position;
    bool stopped;
};

/* Rows stand without a gap: one that is missing is damage, not the end. */
static enum err visit_rows(struct walk *w, const PGresult *p)
{
    for (int i = 0; i < PQntuples(p) && !w->stopped; i++) {
        struct record r;
        struct hash account;
        TRY(record_row(p, i, &r, &account));
        if ((w->by_position ? r.position : r.index) != w->next)
            return ERR_CORRUPT;
        w->next += 1;
        w->stopped = !w->visit(w->context, &r, &account);
    }
    return ERR_OK;
}

static uint64_t page_end(uint64_t from, uint64_t end)
{
    return end - from > POSTGRES_PAGE_RECORDS ? from + POSTGRES_PAGE_RECORDS : end;
}

static enum err read_records(struct store_reader *base, uint32_t slot, uint64_t from,
                             uint64_t max, store_visit *visit, void *context)
{
    struct postgres_reader *r = postgres_reader_of(base);
    struct walk w = {visit, context, from, false, false};
    uint64_t size = 0;
    assert(slot < r->s->ledger.identity.slots);
    TRY(slot_size(r, slot, &size));
    if (from >= size)
        return ERR_OK;
    uint64_t end = size - from < max ? size : from + max;
    enum err e = ERR_OK;
    while (e == ERR_OK && !w.stopped && w.next < end) {
        struct pg_step step = {.statement = PG_RANGE};
        uint64_t until = page_end(w.next, end);
        pg_add_i32(&step.p, slot);
        pg_add_i64(&step.p, w.next);
        pg_add_i64(&step.p, until);
        e = postgres_ask(r, &step);
        if (e == ERR_OK)
            e = visit_rows(&w, step.result);
        if (e == ERR_OK && !w.stopped && w.next != until)
            e = ERR_CORRUPT;
        pg_clear(&step, 1);
    }
    return e;
}

/* One page of an account. `slot` SLOTS_MAX: wherever it stands. */
static enum err account_page(struct postgres_reader *r, const struct hash *account,
                             uint32_t slot, uint64_t until, struct walk *w, int *rows)
{
    bool any = slot == SLOTS_MAX;
    struct pg_step step = {.statement = any ? PG_ANY_ACCOUNT : PG_ACCOUNT};
    pg_add_bytes(&step.p, account->b, HASH_BYTES);
    if (!any)
        pg_add_i32(&step.p, slot);
    pg_add_i64(&step.p, w->next);
    pg_add_i64(&step.p, until);
    enum err e = postgres_ask(r, &step);
    if (e == ERR_OK) {
        *rows = PQntuples(step.result);
        e = visit_rows(w, step.result);
    }
    pg_clear(&step, 1);
    return e;
}

/* By its id an account tells its slot, but for the slots' own accounts. */
static enum err read_account(struct store_reader *base, const struct hash *account,
                             uint64_t from, uint64_t max, store_visit *visit,
                             void *context)
{
    struct postgres_reader *r = postgres_reader_of(base);
    struct walk w = {visit, context, from, true, false};
    uint32_t slot = slot_of(account, r->s->ledger.identity.slots);
    if (from > STORE_INDEX_MAX)
        return ERR_OK;
    uint64_t end = STORE_INDEX_MAX + 1 - from < max ? STORE_INDEX_MAX + 1 : from + max;
    bool first = true;
    while (!w.stopped && w.next < end) {
        uint64_t begun = w.next, until = page_end(begun, end);
        int rows = 0;
        TRY(account_page(r, account, slot, until, &w, &rows));
        if (rows == 0 && first && slot != SLOTS_MAX) {
            slot = SLOTS_MAX;
            continue;
        }
        first = false;
        if (w.next != until)
            break;
    }
    return ERR_OK;
}

static enum err read_find(struct store_reader *base, const struct hash *id,
                          uint32_t *slot, uint64_t *index)
{
    struct postgres_reader *r = postgres_reader_of(base);
    struct pg_step step = {.statement = PG_FIND};
    uint64_t at = 0;
    pg_add_bytes(&step.p, id->b, HASH_BYTES);
    enum err e = postgres_ask(r, &step);
    if (e == ERR_OK && PQntuples(step.result) == 0)
        e = ERR_NOT_FOUND;
    if (e == ERR_OK)
        e = pg_u64(step.result, 0, 0, SLOTS_MAX - 1, &at);
    if (e == ERR_OK)
        e = pg_u64(step.result, 0, 1, STORE_INDEX_MAX, index);
    *slot = e == ERR_OK ? (uint32_t)at : *slot;
    pg_clear(&step, 1);
    return e;
}

/* ---- the tree ---- */

/* One column of hashes, all of `count` rows. */
static enum err take_hashes(struct postgres_reader *r, struct pg_step *step,
                            unsigned count, struct hash out[])
{
    enum err e = postgres_ask(r, step);
    if (e == ERR_OK && (unsigned)PQntuples(step->result) != count)
        e = ERR_CORRUPT;
    for (unsigned i = 0; e == ERR_OK && i < count; i++)
        e = pg_hash(step->result, (int)i, 0, &out[i]);
    pg_clear(step, 1);
    return e;
}

static enum err source_tile(void *context, unsigned level, uint64_t n,
                            struct hash out[TILE_HASHES])
{
    struct postgres_reader *r = context;
    struct pg_step step = {.statement = PG_TILE};
    struct hash root;
    struct bytes hashes = bytes_of(NULL, 0);
    pg_add_i32(&step.p, r->slot);
    pg_add_i32(&step.p, level);
    pg_add_i64(&step.p, n);
    enum err e = postgres_ask(r, &step);
    if (e == ERR_OK && PQntuples(step.result) != 1)
        e = ERR_CORRUPT;
    if (e == ERR_OK)
        e = pg_hash(step.result, 0, 0, &root);
    if (e == ERR_OK)
        e = pg_span(step.result, 0, 1, &hashes);
    if (e == ERR_OK && hashes.size != TILE_HASHES * HASH_BYTES)
        e = ERR_CORRUPT;
    if (e == ERR_OK) {
        memcpy(out, hashes.data, hashes.size);
        struct hash found = tile_root(out, TILE_HASHES);
        e = hash_equal(&found, &root) ? ERR_OK : ERR_CORRUPT;
    }
    pg_clear(&step, 1);
    return e;
}

static enum err source_roots(void *context, unsigned level, uint64_t first,
                             unsigned count, struct hash out[])
{
    struct postgres_reader *r = context;
    struct pg_step step = {.statement = PG_ROOTS};
    pg_add_i32(&step.p, r->slot);
    pg_add_i32(&step.p, level);
    pg_add_i64(&step.p, first);
    pg_add_i64(&step.p, first + count);
    return take_hashes(r, &step, count, out);
}

static enum err source_leaves(void *context, uint64_t first, unsigned count,
                              struct hash out[])
{
    struct postgres_reader *r = context;
    struct pg_step step = {.statement = PG_LEAVES};
    pg_add_i32(&step.p, r->slot);
    pg_add_i64(&step.p, first);
    pg_add_i64(&step.p, first + count);
    return take_hashes(r, &step, count, out);
}

static enum err source(struct postgres_reader *r, uint32_t slot, struct tree_source *out)
{
    uint64_t size = 0;
    assert(slot < r->s->ledger.identity.slots);
    TRY(slot_size(r, slot, &size));
    r->slot = slot;
    *out = (struct tree_source){r, size, source_tile, source_roots, source_leaves};
    return ERR_OK;
}

static enum err read_node(struct store_reader *base, uint32_t slot, unsigned level,
                          uint64_t n, struct hash *out)
{
    struct tree_source t;
    TRY(source(postgres_reader_of(base), slot, &t));
    return tree_node(&t, level, n, out);
}

static enum err read_tile(struct store_reader *base, uint32_t slot, unsigned level,
                          uint64_t n, unsigned width, struct hash out[TILE_HASHES])
{
    struct tree_source t;
    TRY(source(postgres_reader_of(base), slot, &t));
    return tree_tile(&t, level, n, width, out);
}

/* ---- attachments; the handle ---- */

static enum err read_sealed(struct store_reader *base, const struct hash *entry,
                            struct buf *out)
{
    struct postgres_reader *r = postgres_reader_of(base);
    struct pg_step step = {.statement = PG_SEALED};
    struct bytes data = bytes_of(NULL, 0);
    pg_add_bytes(&step.p, entry->b, HASH_BYTES);
    enum err e = postgres_ask(r, &step);
    if (e == ERR_OK && PQntuples(step.result) == 0)
        e = ERR_NOT_FOUND;
    if (e == ERR_OK)
        e = pg_span(step.result, 0, 0, &data);
    if (e == ERR_OK && data.size > 0 && !buf_add(out, data.data, data.size))
        e = ERR_MEMORY;
    pg_clear(&step, 1);
    return e;
}

static void close_reader(struct store_reader *base)
{
    struct postgres_reader *r = postgres_reader_of(base);
    pg_drop(&r->link);
    free(r);
}

static const struct store_reader_ops reader_ops = {
    .close = close_reader,
    .slot = read_slot,
    .records = read_records,
    .account = read_account,
    .find = read_find,
    .node = read_node,
    .tile = read_tile,
    .sealed = read_sealed,
    .projection = &postgres_projection_ops,
};

enum err postgres_reader_open(struct store *base, struct store_reader **out)
{
    struct postgres_store *s = postgres_of(base);
    struct postgres_reader *r = calloc(1, sizeof *r);
    *out = NULL;
    if (r == NULL)
        return ERR_MEMORY;
    r->base.ops = &reader_ops;
    r->s = s;
    r->link = postgres_link(s, PG_READER);
    *out = &r->base;
    return ERR_OK;
}
