/* Readers: connections of their own, one read transaction a call. */
#include "ledger/store_sqlite.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACCOUNT_PAGE 256 /* positions looked up at a time */

enum reader_statement {
    R_BEGIN,
    R_END,
    R_SLOT,
    R_SIZE,
    R_TILE,
    R_ROOTS,
    R_SEALED,
    R_STATEMENTS
};
static const char *const texts[R_STATEMENTS] = {
    [R_BEGIN] = "BEGIN",
    [R_END] = "ROLLBACK",
    [R_SLOT] = "SELECT epoch, size, edges, checkpoint FROM slot WHERE slot=?1",
    [R_SIZE] = "SELECT size FROM slot WHERE slot=?1",
    [R_TILE] = "SELECT sum, hashes FROM tile WHERE key=?1",
    [R_ROOTS] = "SELECT key, sum, root FROM tile WHERE key>=?1 AND key<?2 ORDER BY key",
    [R_SEALED] = "SELECT data FROM sealed WHERE entry=?1",
};

/* Statements over the table of one slot: the only thing ever put into SQL text is the
 * number of a slot. */
enum slot_statement { RS_RANGE, RS_LEAVES, RS_STATEMENTS };
static const char *const slot_columns[RS_STATEMENTS] = {
    [RS_RANGE] = SQLITE_RECORD_COLUMNS,
    [RS_LEAVES] = SQLITE_LEAF_COLUMNS,
};

struct sqlite_reader {
    struct store_reader base;
    struct sqlite_store *s;
    sqlite3 *db;
    sqlite3_stmt *statement[R_STATEMENTS];
    sqlite3_stmt *slot[SLOTS_MAX][RS_STATEMENTS];
    struct run_reader runs;
    bool has_size; /* of the slot looked at last in this transaction */
    uint32_t size_slot;
    uint64_t size;
};

static struct sqlite_reader *reader_of(struct store_reader *r)
{
    return (struct sqlite_reader *)(void *)r;
}

enum err sqlite_record_row(sqlite3_stmt *q, uint32_t slot, struct record *r,
                           struct hash *account)
{
    const uint8_t *leaf = NULL, *id = NULL;
    r->slot = slot;
    TRY(sqlite_leaf_row(q, slot, &r->index, &r->position, &id, &leaf));
    if (sqlite3_column_type(q, 5) != SQLITE_BLOB)
        return ERR_CORRUPT;
    r->envelope = bytes_of(sqlite3_column_blob(q, 5), (size_t)sqlite3_column_bytes(q, 5));
    if (r->envelope.data == NULL || r->envelope.size > ENVELOPE_BYTES_MAX)
        return ERR_CORRUPT;
    if (id == NULL && r->envelope.size < ENVELOPE_ACCOUNT_AT + HASH_BYTES)
        return ERR_CORRUPT;
    memcpy(account->b, id != NULL ? id : r->envelope.data + ENVELOPE_ACCOUNT_AT,
           HASH_BYTES);
    memcpy(r->account_head.b, leaf + HASH_BYTES, HASH_BYTES);
    r->hub_lamport = be64(leaf + 64);
    r->hub_time_ms = be64(leaf + 72);
    struct hash envelope = hash_sha256(r->envelope.data, r->envelope.size);
    return memcmp(leaf, envelope.b, HASH_BYTES) == 0 ? ERR_OK : ERR_CORRUPT;
}

static enum err prepare_slot(struct sqlite_reader *r, uint32_t slot,
                             enum slot_statement which, sqlite3_stmt **out)
{
    sqlite3_stmt **q = &r->slot[slot][which];
    if (*q == NULL) {
        char sql[160];
        snprintf(sql, sizeof sql,
                 "SELECT %s FROM record_%u WHERE idx>=?1 AND idx<?2 ORDER BY idx",
                 slot_columns[which], (unsigned)slot);
        TRY(sqlite_prepare(r->db, sql, q));
    }
    *out = *q;
    return ERR_OK;
}

static enum err begin(struct sqlite_reader *r)
{
    if (atomic_load(&r->s->broken))
        return ERR_IO;
    r->has_size = false;
    return sqlite_run(r->db, r->statement[R_BEGIN]);
}

/* The end of every call: the read transaction closes, so that the WAL can be emptied. */
static enum err end(struct sqlite_reader *r, enum err e)
{
    if (!sqlite3_get_autocommit(r->db))
        (void)sqlite_run(r->db, r->statement[R_END]);
    if (e == ERR_IO)
        atomic_store(&r->s->broken, true);
    return e;
}

static enum err slot_size(struct sqlite_reader *r, uint32_t slot, uint64_t *size)
{
    if (!r->has_size || r->size_slot != slot) {
        sqlite3_stmt *q = r->statement[R_SIZE];
        sqlite_bind_u64(q, 1, slot);
        enum err e = sqlite_row(r->db, q);
        if (e == ERR_OK)
            e = sqlite_u64(q, 0, STORE_INDEX_MAX, &r->size);
        sqlite3_reset(q);
        r->has_size = e == ERR_OK;
        r->size_slot = slot;
        TRY(e == ERR_NOT_FOUND ? ERR_CORRUPT : e);
    }
    *size = r->size;
    return ERR_OK;
}

static enum err read_slot(struct store_reader *base, uint32_t slot,
                          struct store_slot *out)
{
    struct sqlite_reader *r = reader_of(base);
    assert(slot < r->s->identity.slots);
    TRY(begin(r));
    sqlite3_stmt *q = r->statement[R_SLOT];
    sqlite_bind_u64(q, 1, slot);
    enum err e = sqlite_row(r->db, q);
    if (e == ERR_OK)
        e = sqlite_slot_row(q, 0, out);
    sqlite3_reset(q);
    return end(r, e == ERR_NOT_FOUND ? ERR_CORRUPT : e);
}

/* Records [from, to), all of which must be there. */
static enum err range(struct sqlite_reader *r, uint32_t slot, uint64_t from, uint64_t to,
                      store_visit *visit, void *context)
{
    sqlite3_stmt *q = NULL;
    TRY(prepare_slot(r, slot, RS_RANGE, &q));
    sqlite_bind_u64(q, 1, from);
    sqlite_bind_u64(q, 2, to);
    enum err e = ERR_OK;
    bool stopped = false;
    uint64_t next = from;
    while (!stopped && next < to && (e = sqlite_row(r->db, q)) == ERR_OK) {
        struct record record;
        struct hash account;
        e = sqlite_record_row(q, slot, &record, &account);
        if (e == ERR_OK && record.index != next)
            e = ERR_CORRUPT;
        if (e != ERR_OK)
            break;
        stopped = !visit(context, &record, &account);
        next += 1;
    }
    sqlite3_reset(q);
    return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
}

static enum err read_records(struct store_reader *base, uint32_t slot, uint64_t from,
                             uint64_t max, store_visit *visit, void *context)
{
    struct sqlite_reader *r = reader_of(base);
    assert(slot < r->s->identity.slots);
    TRY(begin(r));
    uint64_t size = 0;
    enum err e = slot_size(r, slot, &size);
    if (e == ERR_OK && from < size)
        e = range(r, slot, from, size - from < max ? size : from + max, visit, context);
    return end(r, e);
}

/* Places an index names for a key; each is to be checked against its record. */
struct candidates {
    size_t count, cap;
    struct candidate {
        uint64_t position; /* accounts only */
        uint64_t place;
    } * at;
    bool no_memory;
};

static bool candidates_add(struct candidates *c, uint64_t position, uint64_t place)
{
    if (c->count == c->cap) {
        size_t cap = c->cap == 0 ? 16 : 2 * c->cap;
        struct candidate *more = realloc(c->at, cap * sizeof *more);
        if (more == NULL) {
            c->no_memory = true;
            return false;
        }
        c->at = more;
        c->cap = cap;
    }
    c->at[c->count++] = (struct candidate){position, place};
    return true;
}

static uint64_t big(const uint8_t *p, unsigned bytes)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes; i++)
        v = v << 8 | p[i];
    return v;
}

static bool add_entry(void *context, const uint8_t *e)
{
    return candidates_add(context, 0, big(e + 8, 6));
}

static bool add_account(void *context, const uint8_t *e)
{
    return candidates_add(context, big(e + 8, 5), big(e + 13, 6));
}

/* A damaged index cannot tell absence: the caller hears "try again later", and the next
 * open builds it anew. */
static enum err indexed(struct sqlite_reader *r, enum err e, const struct candidates *c)
{
    if (c->no_memory)
        return ERR_MEMORY;
    if (e == ERR_CORRUPT || e == ERR_IO) {
        atomic_store(&r->s->index.damaged, true);
        return ERR_STORE;
    }
    return e;
}

/* From memory first, then from the file: what leaves memory is in the file before. */
static enum err add_from_memory(struct sqlite_reader *r, const struct hash *id,
                                const uint64_t *position, struct candidates *c)
{
    uint64_t few[8], *place = few, *more = NULL;
    size_t cap = sizeof few / sizeof *few, found = 0;
    for (;;) {
        found = position == NULL
                    ? sqlite_index_entry(&r->s->index, id, place, cap)
                    : sqlite_index_position(&r->s->index, id, *position, place, cap);
        if (found <= cap)
            break;
        cap = 2 * found;
        uint64_t *bigger = realloc(more, cap * sizeof *bigger);
        if (bigger == NULL) {
            free(more);
            return ERR_MEMORY;
        }
        place = more = bigger;
    }
    for (size_t i = 0; i < found; i++)
        (void)candidates_add(c, position == NULL ? 0 : *position, place[i]);
    free(more);
    return c->no_memory ? ERR_MEMORY : ERR_OK;
}

struct check {
    const struct hash *id, *account;
    uint64_t position;
    bool ok, stopped;
    store_visit *visit;
    void *context;
};

static bool check_entry(void *context, const struct record *record,
                        const struct hash *account)
{
    struct check *k = context;
    struct hash id;
    (void)account;
    k->ok = store_entry_id(record->envelope, &id) && hash_equal(&id, k->id);
    return true;
}

static bool check_account(void *context, const struct record *record,
                          const struct hash *account)
{
    struct check *k = context;
    k->ok = record->position == k->position && hash_equal(account, k->account);
    if (k->ok)
        k->stopped = !k->visit(k->context, record, account);
    return true;
}

/* Look at the record a place names; k->ok when it is the one. A place past the committed
 * size is one whose append has not committed. */
static enum err try_place(struct sqlite_reader *r, uint64_t place, store_visit *visit,
                          struct check *k)
{
    uint64_t size = 0, index = store_place_index(place);
    uint32_t slot = store_place_slot(place);
    k->ok = false;
    if (slot >= r->s->identity.slots)
        return ERR_OK;
    TRY(slot_size(r, slot, &size));
    return index < size ? range(r, slot, index, index + 1, visit, k) : ERR_OK;
}

static enum err find_among(struct sqlite_reader *r, const struct candidates *c,
                           const struct hash *id, uint32_t *slot, uint64_t *index)
{
    for (size_t i = 0; i < c->count; i++) {
        struct check k = {.id = id};
        TRY(try_place(r, c->at[i].place, check_entry, &k));
        if (k.ok) {
            *slot = store_place_slot(c->at[i].place);
            *index = store_place_index(c->at[i].place);
            return ERR_OK;
        }
    }
    return ERR_NOT_FOUND;
}

static enum err read_find(struct store_reader *base, const struct hash *id,
                          uint32_t *slot, uint64_t *index)
{
    struct sqlite_reader *r = reader_of(base);
    struct candidates c = {0};
    TRY(begin(r));
    enum err e = add_from_memory(r, id, NULL, &c);
    if (e == ERR_OK)
        e = find_among(r, &c, id, slot, index);
    if (e == ERR_NOT_FOUND) {
        c.count = 0;
        enum err damage = indexed(
            r,
            run_range(&r->runs, RUN_ENTRY, id->b, id->b, RUN_PREFIX_BYTES, add_entry, &c),
            &c);
        e = find_among(r, &c, id, slot, index);
        if (e == ERR_NOT_FOUND && damage != ERR_OK)
            e = damage;
        if (e == ERR_NOT_FOUND && atomic_load(&r->s->index.damaged))
            e = ERR_STORE;
    }
    free(c.at);
    return end(r, e);
}

static int by_position(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->position != y->position)
        return x->position < y->position ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* Visit positions [from, to) as far as they are there without a gap; *next is the first
 * that is not. */
static enum err visit_page(struct sqlite_reader *r, const struct candidates *c,
                           struct check *k, uint64_t from, uint64_t to, uint64_t *next)
{
    *next = from;
    for (size_t i = 0; i < c->count && *next < to && !k->stopped; i++) {
        if (c->at[i].position != *next)
            continue;
        k->position = *next;
        TRY(try_place(r, c->at[i].place, check_account, k));
        if (k->ok)
            *next += 1;
    }
    return ERR_OK;
}

static enum err account_page(struct sqlite_reader *r, struct check *k, uint64_t from,
                             uint64_t to, uint64_t *next)
{
    struct candidates c = {0};
    uint8_t low[RUN_PREFIX_BYTES + 5], high[RUN_PREFIX_BYTES + 5];
    memcpy(low, k->account->b, RUN_PREFIX_BYTES);
    memcpy(high, k->account->b, RUN_PREFIX_BYTES);
    for (unsigned i = 0; i < 5; i++) {
        low[RUN_PREFIX_BYTES + i] = (uint8_t)(from >> (8 * (4 - i)));
        high[RUN_PREFIX_BYTES + i] = (uint8_t)((to - 1) >> (8 * (4 - i)));
    }
    enum err damage = ERR_OK;
    enum err e = ERR_OK;
    for (uint64_t p = from; e == ERR_OK && p < to; p++)
        e = add_from_memory(r, k->account, &p, &c);
    if (e == ERR_OK) {
        damage = indexed(
            r, run_range(&r->runs, RUN_ACCOUNT, low, high, sizeof low, add_account, &c),
            &c);
        if (c.count > 0)
            qsort(c.at, c.count, sizeof *c.at, by_position);
        e = visit_page(r, &c, k, from, to, next);
        if (e == ERR_OK && !k->stopped && *next < to && atomic_load(&r->s->index.damaged))
            e = ERR_STORE;
        if (e == ERR_OK && damage != ERR_OK && *next < to && !k->stopped)
            e = damage;
    }
    free(c.at);
    return e;
}

static enum err read_account(struct store_reader *base, const struct hash *account,
                             uint64_t from, uint64_t max, store_visit *visit,
                             void *context)
{
    struct sqlite_reader *r = reader_of(base);
    struct check k = {.account = account, .visit = visit, .context = context};
    if (from > STORE_INDEX_MAX)
        return ERR_OK;
    uint64_t to = STORE_INDEX_MAX - from < max ? STORE_INDEX_MAX : from + max;
    TRY(begin(r));
    enum err e = ERR_OK;
    for (uint64_t at = from; e == ERR_OK && at < to && !k.stopped;) {
        uint64_t page = to - at < ACCOUNT_PAGE ? to : at + ACCOUNT_PAGE, next = at;
        e = account_page(r, &k, at, page, &next);
        if (next < page)
            break;
        at = next;
    }
    return end(r, e);
}

/* What tree_source reads through. */
struct tree_context {
    struct sqlite_reader *r;
    uint32_t slot;
};

static enum err source_tile(void *context, unsigned level, uint64_t n,
                            struct hash out[TILE_HASHES])
{
    struct tree_context *t = context;
    sqlite3_stmt *q = t->r->statement[R_TILE];
    uint64_t key = sqlite_tile_key(t->slot, level, n), sum = 0;
    sqlite_bind_u64(q, 1, key);
    const uint8_t *hashes = NULL;
    enum err e = sqlite_row(t->r->db, q);
    if (e == ERR_OK)
        e = sqlite_u64(q, 0, INT64_MAX, &sum);
    if (e == ERR_OK)
        e = sqlite_blob(q, 1, TILE_HASHES * HASH_BYTES, &hashes);
    if (e == ERR_OK && sqlite_tile_sum(key, NULL, hashes) != TILE_SUM_HASHES(sum))
        e = ERR_CORRUPT;
    if (e == ERR_OK)
        memcpy(out, hashes, TILE_HASHES * HASH_BYTES);
    sqlite3_reset(q);
    return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
}

static enum err source_roots(void *context, unsigned level, uint64_t first,
                             unsigned count, struct hash out[])
{
    struct tree_context *t = context;
    sqlite3_stmt *q = t->r->statement[R_ROOTS];
    uint64_t key = sqlite_tile_key(t->slot, level, first);
    sqlite_bind_u64(q, 1, key);
    sqlite_bind_u64(q, 2, key + count);
    enum err e = ERR_OK;
    for (unsigned i = 0; e == ERR_OK && i < count; i++) {
        uint64_t at = 0, sum = 0;
        const uint8_t *root = NULL;
        e = sqlite_row(t->r->db, q);
        if (e == ERR_OK)
            e = sqlite_u64(q, 0, INT64_MAX, &at);
        if (e == ERR_OK)
            e = sqlite_u64(q, 1, INT64_MAX, &sum);
        if (e == ERR_OK)
            e = sqlite_blob(q, 2, HASH_BYTES, &root);
        if (e == ERR_OK)
            memcpy(out[i].b, root, HASH_BYTES);
        if (e == ERR_OK &&
            (at != key + i ||
             TILE_SUM_ROOT(sqlite_tile_sum(at, &out[i], NULL)) != TILE_SUM_ROOT(sum)))
            e = ERR_CORRUPT;
    }
    sqlite3_reset(q);
    return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
}

static enum err source_leaves(void *context, uint64_t first, unsigned count,
                              struct hash out[])
{
    struct tree_context *t = context;
    sqlite3_stmt *q = NULL;
    TRY(prepare_slot(t->r, t->slot, RS_LEAVES, &q));
    sqlite_bind_u64(q, 1, first);
    sqlite_bind_u64(q, 2, first + count);
    enum err e = ERR_OK;
    for (unsigned i = 0; e == ERR_OK && i < count; i++) {
        uint64_t at = 0, position = 0;
        const uint8_t *leaf = NULL, *account = NULL;
        e = sqlite_row(t->r->db, q);
        if (e == ERR_OK)
            e = sqlite_leaf_row(q, t->slot, &at, &position, &account, &leaf);
        if (e == ERR_OK && at != first + i)
            e = ERR_CORRUPT;
        if (e == ERR_OK)
            out[i] = hash_leaf(leaf, LEAF_BYTES);
    }
    sqlite3_reset(q);
    return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
}

static enum err source_open(struct sqlite_reader *r, uint32_t slot,
                            struct tree_context *t, struct tree_source *source)
{
    uint64_t size = 0;
    assert(slot < r->s->identity.slots);
    *t = (struct tree_context){r, slot};
    enum err e = slot_size(r, slot, &size);
    *source = (struct tree_source){t, size, source_tile, source_roots, source_leaves};
    return e;
}

static enum err read_node(struct store_reader *base, uint32_t slot, unsigned level,
                          uint64_t n, struct hash *out)
{
    struct sqlite_reader *r = reader_of(base);
    struct tree_context t;
    struct tree_source source;
    TRY(begin(r));
    enum err e = source_open(r, slot, &t, &source);
    return end(r, e == ERR_OK ? tree_node(&source, level, n, out) : e);
}

static enum err read_tile(struct store_reader *base, uint32_t slot, unsigned level,
                          uint64_t n, unsigned width, struct hash out[TILE_HASHES])
{
    struct sqlite_reader *r = reader_of(base);
    struct tree_context t;
    struct tree_source source;
    TRY(begin(r));
    enum err e = source_open(r, slot, &t, &source);
    return end(r, e == ERR_OK ? tree_tile(&source, level, n, width, out) : e);
}

static enum err read_sealed(struct store_reader *base, const struct hash *entry,
                            struct buf *out)
{
    struct sqlite_reader *r = reader_of(base);
    TRY(begin(r));
    sqlite3_stmt *q = r->statement[R_SEALED];
    sqlite3_bind_blob(q, 1, entry->b, HASH_BYTES, SQLITE_STATIC);
    enum err e = sqlite_row(r->db, q);
    if (e == ERR_OK) {
        const void *data = sqlite3_column_blob(q, 0);
        size_t size = (size_t)sqlite3_column_bytes(q, 0);
        if (size > 0 && (data == NULL || !buf_add(out, data, size)))
            e = ERR_MEMORY;
    }
    sqlite3_reset(q);
    return end(r, e);
}

static void close_reader(struct store_reader *base)
{
    struct sqlite_reader *r = reader_of(base);
    for (size_t i = 0; i < SLOTS_MAX; i++)
        for (size_t k = 0; k < RS_STATEMENTS; k++)
            sqlite3_finalize(r->slot[i][k]);
    sqlite_disconnect(r->db, r->statement, R_STATEMENTS);
    run_reader_close(&r->runs);
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
};

enum err sqlite_reader_open(struct store *base, struct store_reader **out)
{
    struct sqlite_store *s = sqlite_of(base);
    *out = NULL;
    if (atomic_load(&s->broken))
        return ERR_IO;
    struct sqlite_reader *r = calloc(1, sizeof *r);
    char *index = sqlite_path(s->path, "-index");
    enum err e = r == NULL || index == NULL ? ERR_MEMORY : ERR_OK;
    if (e == ERR_OK) {
        r->base.ops = &reader_ops;
        r->s = s;
        e = sqlite_connect(s->path, SQLITE_READER, &r->db);
        for (size_t i = 0; e == ERR_OK && i < R_STATEMENTS; i++)
            e = sqlite_prepare(r->db, texts[i], &r->statement[i]);
        if (e == ERR_OK)
            e = run_reader_open(&r->runs, index);
    }
    free(index);
    if (e != ERR_OK) {
        if (r != NULL)
            close_reader(&r->base);
        return e;
    }
    *out = &r->base;
    return ERR_OK;
}
