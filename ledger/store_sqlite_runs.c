/* Sorted runs: the index from ids to places, written in sequence only. A flush writes a
 * run; when one level has RUN_FANOUT of them they are merged into one of the next, a
 * bounded step at a time. A random insert into a B-tree of n pages writes a page; here an
 * entry is written once per level. A run is rows of one page each, with a checksum: a
 * damaged page is told from an absent entry. */
#include "ledger/store_sqlite.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define RUN_SHIFT 32 /* block key = run << 32 | number */

static uint64_t block_key(uint64_t run, uint64_t block)
{
    return run << RUN_SHIFT | block;
}

static enum err put_block(sqlite3 *db, sqlite3_stmt *q, uint64_t key, const uint8_t *data,
                          size_t size)
{
    sqlite_bind_u64(q, 1, key);
    sqlite3_bind_int64(q, 2, sqlite_sum(key, data, size));
    sqlite3_bind_blob(q, 3, data, (int)size, SQLITE_STATIC);
    return sqlite_run(db, q);
}
static const char put_block_sql[] = "INSERT INTO block(key, sum, data) VALUES(?1,?2,?3)";
static const char get_block_sql[] = "SELECT sum, data FROM block WHERE key=?1";

/* The data stays until `q` is reset. */
static enum err get_block(sqlite3 *db, sqlite3_stmt *q, uint64_t key, size_t width,
                          const uint8_t **data, size_t *size)
{
    sqlite_bind_u64(q, 1, key);
    enum err e = sqlite_row(db, q);
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
    *data = sqlite3_column_blob(q, 1);
    *size = (size_t)sqlite3_column_bytes(q, 1);
    return *data != NULL && *size > 0 && *size <= RUN_BLOCK_BYTES && *size % width == 0 &&
                   sqlite3_column_int64(q, 0) == sqlite_sum(key, *data, *size)
               ? ERR_OK
               : ERR_CORRUPT;
}

static enum err put_run(sqlite3 *db, enum run_kind kind, int64_t level, uint64_t entries,
                        uint64_t blocks, bool ready, uint64_t *no)
{
    sqlite3_stmt *q = NULL;
    TRY(sqlite_prepare(db,
                       "INSERT INTO run(no, kind, level, entries, blocks, ready)"
                       " VALUES((SELECT coalesce(max(no),0)+1 FROM run),?1,?2,?3,?4,?5)",
                       &q));
    sqlite3_bind_int64(q, 1, (sqlite3_int64)kind);
    sqlite3_bind_int64(q, 2, level);
    sqlite_bind_u64(q, 3, entries);
    sqlite_bind_u64(q, 4, blocks);
    sqlite3_bind_int(q, 5, ready);
    enum err e = sqlite_run(db, q);
    sqlite3_finalize(q);
    *no = (uint64_t)sqlite3_last_insert_rowid(db);
    return e;
}

enum err run_write(sqlite3 *db, enum run_kind kind, const uint8_t *entries, size_t count)
{
    size_t width = run_width(kind), per = RUN_BLOCK_BYTES / width;
    uint64_t no = 0;
    if (count == 0)
        return ERR_OK;
    TRY(put_run(db, kind, 0, count, (count + per - 1) / per, true, &no));
    sqlite3_stmt *q = NULL;
    enum err e = sqlite_prepare(db, put_block_sql, &q);
    for (size_t at = 0; e == ERR_OK && at < count; at += per) {
        size_t n = count - at < per ? count - at : per;
        e = put_block(db, q, block_key(no, at / per), entries + at * width, n * width);
    }
    sqlite3_finalize(q);
    return e;
}

static enum err drop_blocks(sqlite3 *db, uint64_t no)
{
    sqlite3_stmt *q = NULL;
    TRY(sqlite_prepare(db, "DELETE FROM block WHERE key>=?1 AND key<?2", &q));
    sqlite_bind_u64(q, 1, block_key(no, 0));
    sqlite_bind_u64(q, 2, block_key(no + 1, 0));
    enum err e = sqlite_run(db, q);
    sqlite3_finalize(q);
    return e;
}

static enum err drop_run(sqlite3 *db, uint64_t no)
{
    TRY(drop_blocks(db, no));
    sqlite3_stmt *q = NULL;
    TRY(sqlite_prepare(db, "DELETE FROM run WHERE no=?1", &q));
    sqlite_bind_u64(q, 1, no);
    enum err e = sqlite_run(db, q);
    sqlite3_finalize(q);
    return e;
}

enum err run_sweep(sqlite3 *db)
{
    for (;;) {
        int64_t no = 0;
        TRY(sqlite_pragma(db, "SELECT coalesce(min(no),0) FROM run WHERE ready=0", &no));
        if (no == 0)
            return ERR_OK;
        TRY(drop_run(db, (uint64_t)no));
    }
}

/* A merge under way. */
struct merge_input {
    uint64_t no, blocks, next;
    size_t at, size;
    uint8_t data[RUN_BLOCK_BYTES];
};
struct merge {
    enum run_kind kind;
    uint64_t no, blocks, entries;
    unsigned inputs;
    struct merge_input input[RUN_FANOUT];
    size_t size;
    uint8_t data[RUN_BLOCK_BYTES];
};

void run_merge_close(struct merge *m)
{
    free(m);
}

/* The lowest level with enough runs; ERR_NOT_FOUND when there is none. */
static enum err merge_due(sqlite3 *db, enum run_kind *kind, int64_t *level)
{
    sqlite3_stmt *q = NULL;
    TRY(sqlite_prepare(db,
                       "SELECT kind, level FROM run WHERE ready=1 GROUP BY kind, level"
                       " HAVING count(*)>=?1 ORDER BY level, kind LIMIT 1",
                       &q));
    sqlite3_bind_int(q, 1, RUN_FANOUT);
    enum err e = sqlite_row(db, q);
    uint64_t k = 0, l = 0;
    if (e == ERR_OK)
        e = sqlite_u64(q, 0, RUN_KINDS - 1, &k);
    if (e == ERR_OK)
        e = sqlite_u64(q, 1, RUN_LEVELS_MAX, &l);
    sqlite3_finalize(q);
    *kind = (enum run_kind)k;
    *level = (int64_t)l;
    return e;
}

static enum err merge_inputs(sqlite3 *db, struct merge *m, int64_t level)
{
    sqlite3_stmt *q = NULL;
    TRY(sqlite_prepare(db,
                       "SELECT no, blocks FROM run WHERE ready=1 AND kind=?1 AND level=?2"
                       " ORDER BY no LIMIT ?3",
                       &q));
    sqlite3_bind_int64(q, 1, (sqlite3_int64)m->kind);
    sqlite3_bind_int64(q, 2, level);
    sqlite3_bind_int(q, 3, RUN_FANOUT);
    enum err e = ERR_OK;
    while (m->inputs < RUN_FANOUT && (e = sqlite_row(db, q)) == ERR_OK) {
        struct merge_input *in = &m->input[m->inputs++];
        if ((e = sqlite_u64(q, 0, INT32_MAX, &in->no)) != ERR_OK ||
            (e = sqlite_u64(q, 1, UINT32_MAX, &in->blocks)) != ERR_OK)
            break;
    }
    sqlite3_finalize(q);
    return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
}

static enum err merge_begin(sqlite3 *db, struct merge **out)
{
    enum run_kind kind = RUN_ENTRY;
    int64_t level = 0;
    *out = NULL;
    enum err e = merge_due(db, &kind, &level);
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    struct merge *m = calloc(1, sizeof *m);
    if (m == NULL)
        return ERR_MEMORY;
    m->kind = kind;
    e = merge_inputs(db, m, level);
    if (e == ERR_OK)
        e = put_run(db, kind, level < RUN_LEVELS_MAX ? level + 1 : level, 0, 0, false,
                    &m->no);
    if (e == ERR_OK)
        *out = m;
    else
        free(m);
    return e;
}

/* The input with the smallest next entry; NULL when all are used up. */
static enum err merge_next(sqlite3 *db, sqlite3_stmt *get, struct merge *m,
                           struct merge_input **least)
{
    size_t width = run_width(m->kind);
    *least = NULL;
    for (unsigned i = 0; i < m->inputs; i++) {
        struct merge_input *in = &m->input[i];
        if (in->at == in->size && in->next < in->blocks) {
            const uint8_t *data = NULL;
            enum err e =
                get_block(db, get, block_key(in->no, in->next), width, &data, &in->size);
            if (e == ERR_OK)
                memcpy(in->data, data, in->size);
            sqlite3_reset(get);
            TRY(e);
            in->at = 0;
            in->next += 1;
        }
        if (in->at < in->size &&
            (*least == NULL ||
             memcmp(in->data + in->at, (*least)->data + (*least)->at, width) < 0))
            *least = in;
    }
    return ERR_OK;
}

static enum err merge_finish(sqlite3 *db, struct merge *m)
{
    sqlite3_stmt *q = NULL;
    TRY(sqlite_prepare(db, "UPDATE run SET ready=1, entries=?2, blocks=?3 WHERE no=?1",
                       &q));
    sqlite_bind_u64(q, 1, m->no);
    sqlite_bind_u64(q, 2, m->entries);
    sqlite_bind_u64(q, 3, m->blocks);
    enum err e = sqlite_run(db, q);
    sqlite3_finalize(q);
    for (unsigned i = 0; e == ERR_OK && i < m->inputs; i++)
        e = drop_run(db, m->input[i].no);
    return e;
}

static enum err merge_some(sqlite3 *db, struct merge *m, sqlite3_stmt *get,
                           sqlite3_stmt *put, bool *done)
{
    size_t width = run_width(m->kind), full = RUN_BLOCK_BYTES / width * width;
    uint64_t end = m->blocks + RUN_STEP_BLOCKS;
    *done = false;
    while (!*done && m->blocks < end) {
        struct merge_input *in = NULL;
        TRY(merge_next(db, get, m, &in));
        if (in != NULL) {
            memcpy(m->data + m->size, in->data + in->at, width);
            m->size += width;
            in->at += width;
            m->entries += 1;
        }
        *done = in == NULL;
        if (m->size == full || (*done && m->size > 0)) {
            TRY(put_block(db, put, block_key(m->no, m->blocks), m->data, m->size));
            m->blocks += 1;
            m->size = 0;
        }
    }
    return *done ? merge_finish(db, m) : ERR_OK;
}

static enum err merge_step_in(sqlite3 *db, struct merge **m, bool *more)
{
    bool done = true;
    if (*m == NULL)
        TRY(merge_begin(db, m));
    if (*m != NULL) {
        sqlite3_stmt *get = NULL, *put = NULL;
        enum err e = sqlite_prepare(db, get_block_sql, &get);
        if (e == ERR_OK)
            e = sqlite_prepare(db, put_block_sql, &put);
        if (e == ERR_OK)
            e = merge_some(db, *m, get, put, &done);
        sqlite3_finalize(get);
        sqlite3_finalize(put);
        TRY(e);
        *more = true;
    }
    TRY(sqlite_exec(db, "COMMIT"));
    if (*m != NULL && done) {
        free(*m);
        *m = NULL;
    }
    return ERR_OK;
}

enum err run_merge_step(sqlite3 *db, struct merge **m, bool *more)
{
    *more = false;
    TRY(sqlite_exec(db, "BEGIN IMMEDIATE"));
    enum err e = merge_step_in(db, m, more);
    if (e == ERR_OK)
        return ERR_OK;
    /* What this merge wrote so far is left over: swept, and begun again. */
    if (!sqlite3_get_autocommit(db))
        (void)sqlite_exec(db, "ROLLBACK");
    free(*m);
    *m = NULL;
    enum err swept = run_sweep(db);
    return e == ERR_STORE_FULL || e == ERR_STORE || e == ERR_MEMORY ? e
           : swept == ERR_OK                                        ? e
                                                                    : swept;
}

enum err run_reader_open(struct run_reader *r, const char *path)
{
    *r = (struct run_reader){0};
    TRY(sqlite_connect(path, SQLITE_READER, &r->db));
    enum err e = sqlite_prepare(r->db,
                                "SELECT no, blocks FROM run WHERE ready=1 AND kind=?1"
                                " ORDER BY no DESC",
                                &r->runs);
    if (e == ERR_OK)
        e = sqlite_prepare(r->db, get_block_sql, &r->block);
    if (e != ERR_OK)
        run_reader_close(r);
    return e;
}

void run_reader_close(struct run_reader *r)
{
    sqlite3_stmt *all[] = {r->runs, r->block};
    sqlite_disconnect(r->db, all, 2);
    *r = (struct run_reader){0};
}

/* Number of the last block whose first entry is below from[key], or 0. */
static enum err seek(struct run_reader *r, uint64_t no, uint64_t blocks, size_t width,
                     const uint8_t *from, size_t key, uint64_t *out)
{
    uint64_t low = 0,
             high = blocks; /* first(low) < from or low == 0; first(high) >= from */
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        const uint8_t *data = NULL;
        size_t size = 0;
        enum err e =
            get_block(r->db, r->block, block_key(no, middle), width, &data, &size);
        bool below = e == ERR_OK && memcmp(data, from, key) < 0;
        sqlite3_reset(r->block);
        TRY(e);
        if (below)
            low = middle;
        else
            high = middle;
    }
    *out = low;
    return ERR_OK;
}

struct range {
    enum run_kind kind;
    const uint8_t *from, *to;
    size_t key;
    bool (*visit)(void *context, const uint8_t *entry);
    void *context;
};

static enum err range_run(struct run_reader *r, uint64_t no, uint64_t blocks,
                          const struct range *x, bool *stopped)
{
    size_t width = run_width(x->kind);
    uint64_t block = 0;
    bool past = false;
    TRY(seek(r, no, blocks, width, x->from, x->key, &block));
    for (; !past && !*stopped && block < blocks; block++) {
        const uint8_t *data = NULL;
        size_t size = 0;
        enum err e =
            get_block(r->db, r->block, block_key(no, block), width, &data, &size);
        for (size_t at = 0; e == ERR_OK && !past && !*stopped && at < size; at += width) {
            past = memcmp(data + at, x->to, x->key) > 0;
            if (!past && memcmp(data + at, x->from, x->key) >= 0)
                *stopped = !x->visit(x->context, data + at);
        }
        sqlite3_reset(r->block);
        TRY(e);
    }
    return ERR_OK;
}

enum err run_range(struct run_reader *r, enum run_kind kind, const uint8_t *from,
                   const uint8_t *to, size_t key,
                   bool (*visit)(void *context, const uint8_t *entry), void *context)
{
    struct range x = {kind, from, to, key, visit, context};
    bool stopped = false;
    sqlite3_bind_int64(r->runs, 1, (sqlite3_int64)kind);
    enum err e = ERR_OK;
    /* The open statement holds the read transaction. */
    while (!stopped && (e = sqlite_row(r->db, r->runs)) == ERR_OK) {
        uint64_t no = 0, blocks = 0;
        if ((e = sqlite_u64(r->runs, 0, INT32_MAX, &no)) != ERR_OK ||
            (e = sqlite_u64(r->runs, 1, UINT32_MAX, &blocks)) != ERR_OK ||
            (e = range_run(r, no, blocks, &x, &stopped)) != ERR_OK)
            break;
    }
    sqlite3_reset(r->runs);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}
