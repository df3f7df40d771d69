/* Sorted runs: the index from ids to places, written in sequence only. A flush writes a
 * run; when one level has RUN_FANOUT of them they are merged into one of the next, a
 * bounded step at a time. A random insert into a B-tree of n pages writes a page; here an
 * entry is written once per level. A run is rows of one page each, with a checksum: a
 * damaged page is told from an absent entry. */
#include "ledger/store_sqlite.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SEEK_GUESSES 4 /* then halves */
#define RUN_SHIFT 32   /* block key = run << 32 | number */

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

/* How many entries all runs of a kind hold: a run that cannot be seen is missed by it. */
static enum err add_total(sqlite3 *db, enum run_kind kind, uint64_t entries)
{
    sqlite3_stmt *q = NULL;
    TRY(sqlite_prepare(db,
                       "INSERT INTO total(kind, entries) VALUES(?1,?2)"
                       " ON CONFLICT(kind) DO UPDATE SET entries=entries+?2",
                       &q));
    sqlite3_bind_int64(q, 1, (sqlite3_int64)kind);
    sqlite_bind_u64(q, 2, entries);
    enum err e = sqlite_run(db, q);
    sqlite3_finalize(q);
    return e;
}

enum err run_write(sqlite3 *db, enum run_kind kind, const uint8_t *entries, size_t count)
{
    size_t width = run_width(kind), per = RUN_BLOCK_BYTES / width;
    uint64_t no = 0;
    if (count == 0)
        return ERR_OK;
    TRY(add_total(db, kind, count));
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
                                "SELECT no, blocks, entries FROM run"
                                " WHERE ready=1 AND kind=?1 ORDER BY no DESC",
                                &r->runs);
    if (e == ERR_OK)
        e = sqlite_prepare(r->db, "SELECT entries FROM total WHERE kind=?1", &r->total);
    if (e == ERR_OK)
        e = sqlite_prepare(r->db, "SELECT substr(data,1,?2) FROM block WHERE key=?1",
                           &r->first);
    if (e == ERR_OK)
        e = sqlite_prepare(r->db, get_block_sql, &r->block);
    if (e != ERR_OK)
        run_reader_close(r);
    return e;
}

void run_reader_close(struct run_reader *r)
{
    sqlite3_stmt *all[] = {r->runs, r->total, r->first, r->block};
    sqlite_disconnect(r->db, all, sizeof all / sizeof *all);
    *r = (struct run_reader){0};
}

struct range {
    enum run_kind kind;
    const uint8_t *from, *to;
    size_t key;
    bool (*visit)(void *context, const uint8_t *entry);
    void *context;
};

/* The first `key` bytes of a block's first entry. */
static enum err first_of(struct run_reader *r, uint64_t key, size_t size, uint8_t *out)
{
    sqlite_bind_u64(r->first, 1, key);
    sqlite_bind_u64(r->first, 2, size);
    const uint8_t *data = NULL;
    enum err e = sqlite_row(r->db, r->first);
    if (e == ERR_OK)
        e = sqlite_blob(r->first, 0, size, &data);
    if (e == ERR_OK)
        memcpy(out, data, size);
    sqlite3_reset(r->first);
    return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
}

/* Where between two prefixes a third should be: they are hashes, so evenly spread. Always
 * inside (low, high). */
static uint64_t guess(uint64_t low, uint64_t high, uint64_t low_prefix,
                      uint64_t high_prefix, uint64_t prefix)
{
    if (high_prefix <= low_prefix || prefix <= low_prefix)
        return low + 1;
    double part = (double)(prefix - low_prefix) / (double)(high_prefix - low_prefix);
    uint64_t at = low + (uint64_t)(part * (double)(high - low));
    return at <= low ? low + 1 : at >= high ? high - 1 : at;
}

/* Number of the last block whose first entry is below x->from, or 0. By guesses, and by
 * halves where they do not help. Nothing read here is checked: the caller checks where it
 * led. */
static enum err seek(struct run_reader *r, uint64_t no, uint64_t blocks,
                     const struct range *x, uint64_t *out)
{
    uint64_t low = 0, high = blocks, low_prefix = 0, high_prefix = UINT64_MAX;
    uint64_t prefix = be64(x->from);
    for (unsigned step = 0; high - low > 1; step++) {
        uint8_t first[RUN_ACCOUNT_BYTES];
        uint64_t at = step < SEEK_GUESSES
                          ? guess(low, high, low_prefix, high_prefix, prefix)
                          : low + (high - low) / 2;
        TRY(first_of(r, block_key(no, at), x->key, first));
        if (memcmp(first, x->from, x->key) < 0) {
            low = at;
            low_prefix = be64(first);
        } else {
            high = at;
            high_prefix = be64(first);
        }
    }
    *out = low;
    return ERR_OK;
}

/* First entry of a block that is not below x->from. */
static size_t lower_bound(const struct range *x, const uint8_t *data, size_t count)
{
    size_t width = run_width(x->kind), low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(data + middle * width, x->from, x->key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Entries of one checked block. A run is sorted, so what is before its first block that
 * begins below `from`, and behind an entry past `to`, need not be looked at. */
static enum err range_block(struct run_reader *r, uint64_t key, const struct range *x,
                            bool begins_below, bool *past, bool *stopped)
{
    size_t width = run_width(x->kind), size = 0;
    const uint8_t *data = NULL;
    enum err e = get_block(r->db, r->block, key, width, &data, &size);
    if (e == ERR_OK && begins_below && memcmp(data, x->from, x->key) >= 0)
        e = ERR_CORRUPT; /* seek was led astray */
    size_t count = e == ERR_OK ? size / width : 0;
    for (size_t i = count == 0 ? 0 : lower_bound(x, data, count); i < count; i++) {
        *past = memcmp(data + i * width, x->to, x->key) > 0;
        if (*past || (*stopped = !x->visit(x->context, data + i * width)))
            break;
    }
    sqlite3_reset(r->block);
    return e;
}

static enum err range_run(struct run_reader *r, uint64_t no, uint64_t blocks,
                          const struct range *x, bool *stopped)
{
    uint64_t first = 0;
    bool past = false;
    TRY(seek(r, no, blocks, x, &first));
    for (uint64_t at = first; !past && !*stopped && at < blocks; at++)
        TRY(range_block(r, block_key(no, at), x, at == first && at > 0, &past, stopped));
    return ERR_OK;
}

static enum err check_total(struct run_reader *r, enum run_kind kind, uint64_t seen)
{
    uint64_t total = 0;
    sqlite3_bind_int64(r->total, 1, (sqlite3_int64)kind);
    enum err e = sqlite_row(r->db, r->total);
    if (e == ERR_OK)
        e = sqlite_u64(r->total, 0, INT64_MAX, &total);
    sqlite3_reset(r->total);
    TRY(e == ERR_NOT_FOUND ? ERR_OK : e);
    return total == seen ? ERR_OK : ERR_CORRUPT;
}

enum err run_range(struct run_reader *r, enum run_kind kind, const uint8_t *from,
                   const uint8_t *to, size_t key,
                   bool (*visit)(void *context, const uint8_t *entry), void *context)
{
    struct range x = {kind, from, to, key, visit, context};
    uint64_t seen = 0, per = RUN_BLOCK_BYTES / run_width(kind);
    bool stopped = false;
    assert(key >= RUN_PREFIX_BYTES && key <= run_width(kind));
    sqlite3_bind_int64(r->runs, 1, (sqlite3_int64)kind);
    enum err e = ERR_OK;
    /* The open statement holds the read transaction. */
    while (!stopped && (e = sqlite_row(r->db, r->runs)) == ERR_OK) {
        uint64_t no = 0, blocks = 0, entries = 0;
        if ((e = sqlite_u64(r->runs, 0, INT32_MAX, &no)) != ERR_OK ||
            (e = sqlite_u64(r->runs, 1, UINT32_MAX, &blocks)) != ERR_OK ||
            (e = sqlite_u64(r->runs, 2, INT64_MAX, &entries)) != ERR_OK)
            break;
        seen += entries;
        e = blocks == (entries + per - 1) / per ? range_run(r, no, blocks, &x, &stopped)
                                                : ERR_CORRUPT;
        if (e != ERR_OK)
            break;
    }
    if (e == ERR_NOT_FOUND)
        e = check_total(r, kind, seen); /* in the same read transaction */
    sqlite3_reset(r->runs);
    return e;
}
