/* From ids to places. New records stand in generations in memory; maintain writes full
 * ones to a second file in sorted runs. The file is a cache of the ledger: missing,
 * damaged, of another ledger or ahead of this one, it is dropped and built again. */
#include "ledger/store_sqlite.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/failpoint.h"
#include <unistd.h>

#include "crypto/key.h"

#define INDEX_POSITION_BYTES 5
#define INDEX_PLACE_BYTES 6

static uint64_t prefix(const struct hash *h)
{
    return be64(h->b);
}

static void put_low(uint8_t *out, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        out[i] = (uint8_t)(v >> (8 * (bytes - 1 - i)));
}

static void generation_free(struct generation *g)
{
    if (g == NULL)
        return;
    table_close(&g->entry);
    table_close(&g->account);
    free(g->row);
    free(g);
}

static struct generation *generation_new(uint64_t seed)
{
    struct generation *g = calloc(1, sizeof *g);
    if (g == NULL)
        return NULL;
    g->row = malloc(GENERATION_RECORDS * sizeof *g->row);
    bool ok = g->row != NULL && table_init(&g->entry, seed, GENERATION_RECORDS + 1) &&
              table_init(&g->account, seed, GENERATION_RECORDS + 1);
    if (!ok) {
        generation_free(g);
        return NULL;
    }
    return g;
}

static struct generation *newest(const struct sqlite_index *x)
{
    return x->generations == 0 ? NULL : x->generation[x->generations - 1];
}

enum err sqlite_index_room(struct sqlite_store *s, size_t records)
{
    struct sqlite_index *x = &s->index;
    assert(records <= GENERATION_RECORDS);
    /* Only this thread adds and only a flush removes, never the newest: safe to look. */
    pthread_rwlock_rdlock(&x->lock);
    struct generation *g = newest(x);
    bool full = x->generations == GENERATIONS_MAX;
    pthread_rwlock_unlock(&x->lock);
    if (g != NULL && g->count + records <= GENERATION_RECORDS)
        return ERR_OK;
    if (full)
        TRY(sqlite_index_flush(s, false));
    struct generation *fresh = generation_new(x->seed);
    if (fresh == NULL)
        return ERR_MEMORY;
    pthread_rwlock_wrlock(&x->lock);
    if (g != NULL)
        memcpy(g->end, s->size, sizeof g->end);
    x->generation[x->generations++] = fresh;
    pthread_rwlock_unlock(&x->lock);
    return ERR_OK;
}

void sqlite_index_add(struct sqlite_store *s, const struct store_append *a)
{
    struct sqlite_index *x = &s->index;
    pthread_rwlock_wrlock(&x->lock);
    struct generation *g = newest(x);
    for (size_t i = 0; i < a->record_count; i++) {
        const struct store_record *r = &a->records[i];
        struct generation_row row = {prefix(&r->id), prefix(&r->account), r->r.position,
                                     store_place(a->slot, r->r.index)};
        /* Tables are made with room for a whole generation. */
        bool ok =
            table_add(&g->entry, row.id_prefix, row.place) &&
            table_add(&g->account, table_account_key(row.account_prefix, row.position),
                      row.place);
        assert(ok && g->count < GENERATION_RECORDS);
        (void)ok;
        g->row[g->count++] = row;
    }
    pthread_rwlock_unlock(&x->lock);
}

static size_t places(struct sqlite_index *x, bool account, uint64_t key, uint64_t place[],
                     size_t cap)
{
    size_t found = 0;
    pthread_rwlock_rdlock(&x->lock);
    for (size_t i = x->generations; i-- > 0;) {
        const struct table *t =
            account ? &x->generation[i]->account : &x->generation[i]->entry;
        struct table_walk w = table_find(t, key);
        uint64_t at = 0;
        while (table_next(t, key, &w, &at)) {
            if (found < cap)
                place[found] = at;
            found += 1;
        }
    }
    pthread_rwlock_unlock(&x->lock);
    return found;
}

size_t sqlite_index_entry(struct sqlite_index *x, const struct hash *id, uint64_t place[],
                          size_t cap)
{
    return places(x, false, prefix(id), place, cap);
}

size_t sqlite_index_position(struct sqlite_index *x, const struct hash *account,
                             uint64_t position, uint64_t place[], size_t cap)
{
    return places(x, true, table_account_key(prefix(account), position), place, cap);
}

static int compare_entry(const void *a, const void *b)
{
    return memcmp(a, b, RUN_ENTRY_BYTES);
}

static int compare_account(const void *a, const void *b)
{
    return memcmp(a, b, RUN_ACCOUNT_BYTES);
}

/* One run of each kind from rows, inside the caller's transaction. */
static enum err write_runs(sqlite3 *db, const struct generation_row row[], size_t count)
{
    uint8_t *packed = malloc(count * RUN_ACCOUNT_BYTES + 1);
    if (packed == NULL)
        return ERR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        uint8_t *p = packed + i * RUN_ENTRY_BYTES;
        put_low(p, row[i].id_prefix, 8);
        put_low(p + 8, row[i].place, INDEX_PLACE_BYTES);
    }
    qsort(packed, count, RUN_ENTRY_BYTES, compare_entry);
    enum err e = run_write(db, RUN_ENTRY, packed, count);
    for (size_t i = 0; i < count; i++) {
        uint8_t *p = packed + i * RUN_ACCOUNT_BYTES;
        put_low(p, row[i].account_prefix, 8);
        put_low(p + 8, row[i].position, INDEX_POSITION_BYTES);
        put_low(p + 13, row[i].place, INDEX_PLACE_BYTES);
    }
    qsort(packed, count, RUN_ACCOUNT_BYTES, compare_account);
    if (e == ERR_OK)
        e = run_write(db, RUN_ACCOUNT, packed, count);
    free(packed);
    return e;
}

/* Leaf data of the last record under `size`: by it a cursor is bound to this ledger's
 * past, not to another that was as long. */
static enum err leaf_before(struct sqlite_store *s, uint32_t slot, uint64_t size,
                            uint8_t out[LEAF_BYTES])
{
    char sql[64];
    sqlite3_stmt *q = NULL;
    snprintf(sql, sizeof sql, "SELECT leaf FROM record_%u WHERE idx=?1", (unsigned)slot);
    TRY(sqlite_prepare(s->index.ledger, sql, &q));
    sqlite_bind_u64(q, 1, size - 1);
    enum err e = sqlite_row(s->index.ledger, q);
    const uint8_t *leaf = NULL;
    if (e == ERR_OK)
        e = sqlite_blob(q, 0, LEAF_BYTES, &leaf);
    if (e == ERR_OK)
        memcpy(out, leaf, LEAF_BYTES);
    sqlite3_finalize(q);
    return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
}

static enum err write_cursors(struct sqlite_store *s, const uint64_t end[])
{
    sqlite3_stmt *q = NULL;
    TRY(sqlite_prepare(s->index.db, "INSERT OR REPLACE INTO cursor VALUES(?1,?2,?3)",
                       &q));
    enum err e = ERR_OK;
    for (uint32_t i = 0; e == ERR_OK && i < s->identity.slots; i++) {
        uint8_t leaf[LEAF_BYTES];
        if (end[i] == s->index.covered[i])
            continue;
        e = leaf_before(s, i, end[i], leaf);
        sqlite_bind_u64(q, 1, i);
        sqlite_bind_u64(q, 2, end[i]);
        sqlite3_bind_blob(q, 3, leaf, LEAF_BYTES, SQLITE_STATIC);
        if (e == ERR_OK)
            e = sqlite_run(s->index.db, q);
    }
    sqlite3_finalize(q);
    return e;
}

/* Rows and cursors in one transaction. Under file. */
static enum err write_batch(struct sqlite_store *s, const struct generation_row row[],
                            size_t count, const uint64_t end[])
{
    struct sqlite_index *x = &s->index;
    TRY(sqlite_exec(x->db, "BEGIN IMMEDIATE"));
    enum err e = write_runs(x->db, row, count);
    if (e == ERR_OK)
        e = write_cursors(s, end);
    FP("index.commit");
    if (e == ERR_OK)
        e = sqlite_exec(x->db, "COMMIT");
    FP_DONE("index.commit");
    if (e == ERR_OK)
        memcpy(x->covered, end, sizeof x->covered);
    else if (!sqlite3_get_autocommit(x->db))
        (void)sqlite_exec(x->db, "ROLLBACK");
    return e;
}

/* Rows of the generations, without those an append added and then did not commit. */
static enum err flush_some(struct sqlite_store *s, struct generation *const g[],
                           size_t count)
{
    const uint64_t *end = g[count - 1]->end;
    size_t rows = 0, kept = 0;
    for (size_t i = 0; i < count; i++)
        rows += g[i]->count;
    struct generation_row *row = malloc((rows + 1) * sizeof *row);
    if (row == NULL)
        return ERR_MEMORY;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < g[i]->count; k++) {
            uint64_t place = g[i]->row[k].place;
            if (store_place_index(place) < end[store_place_slot(place)])
                row[kept++] = g[i]->row[k];
        }
    enum err e = write_batch(s, row, kept, end);
    free(row);
    return e;
}

enum err sqlite_index_flush(struct sqlite_store *s, bool all)
{
    struct sqlite_index *x = &s->index;
    struct generation *g[GENERATIONS_MAX];
    pthread_mutex_lock(&x->file);
    pthread_rwlock_rdlock(&x->lock);
    size_t count = x->generations;
    memcpy(g, x->generation, count * sizeof *g);
    pthread_rwlock_unlock(&x->lock);
    if (!all && count > 0)
        count -= 1; /* the newest still takes records */
    enum err e = count == 0 ? ERR_OK : flush_some(s, g, count);
    if (e == ERR_OK) {
        pthread_rwlock_wrlock(&x->lock);
        x->generations -= count;
        memmove(x->generation, x->generation + count, x->generations * sizeof *g);
        pthread_rwlock_unlock(&x->lock);
        for (size_t i = 0; i < count; i++)
            generation_free(g[i]);
    }
    pthread_mutex_unlock(&x->file);
    return e;
}

enum err sqlite_index_maintain(struct sqlite_store *s)
{
    struct sqlite_index *x = &s->index;
    pthread_rwlock_rdlock(&x->lock);
    bool due = x->generations > GENERATIONS_FLUSH;
    pthread_rwlock_unlock(&x->lock);
    if (due)
        TRY(sqlite_index_flush(s, false));
    bool more = false;
    pthread_mutex_lock(&x->file);
    enum err e =
        atomic_load(&x->damaged) ? ERR_OK : run_merge_step(x->db, &x->merge, &more);
    if (e == ERR_CORRUPT) {
        atomic_store(&x->damaged, true);
        e = ERR_OK;
    }
    if (e == ERR_OK && (due || more)) {
        int rc =
            sqlite3_wal_checkpoint_v2(x->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        e = rc == SQLITE_BUSY ? ERR_OK : sqlite_err(x->db, rc);
    }
    pthread_mutex_unlock(&x->file);
    return e;
}

/* The file of this ledger, of this schema, no further than the ledger is, and of its
 * past. */
static enum err check_file(struct sqlite_store *s)
{
    struct sqlite_index *x = &s->index;
    int64_t application = 0, version = 0, damaged = 0;
    TRY(sqlite_pragma(x->db, "PRAGMA application_id", &application));
    TRY(sqlite_pragma(x->db, "PRAGMA user_version", &version));
    if (application != STOA_INDEX_APPLICATION_ID || version != STORE_SCHEMA_VERSION)
        return ERR_CORRUPT;
    sqlite3_stmt *q = NULL;
    TRY(sqlite_prepare(x->db, "SELECT ledger, damaged FROM owner", &q));
    enum err e = sqlite_row(x->db, q);
    const uint8_t *id = NULL;
    if (e == ERR_OK)
        e = sqlite_blob(q, 0, LEDGER_ID_BYTES, &id);
    damaged = sqlite3_column_int64(q, 1);
    if (e == ERR_OK && (damaged != 0 || memcmp(id, s->ledger_id, LEDGER_ID_BYTES) != 0))
        e = ERR_CORRUPT;
    sqlite3_finalize(q);
    TRY(e);
    TRY(sqlite_prepare(x->db, "SELECT slot, size, leaf FROM cursor", &q));
    while ((e = sqlite_row(x->db, q)) == ERR_OK) {
        uint64_t slot = 0, size = 0;
        const uint8_t *leaf = NULL;
        uint8_t ours[LEAF_BYTES];
        if ((e = sqlite_u64(q, 0, s->identity.slots - 1, &slot)) != ERR_OK ||
            (e = sqlite_u64(q, 1, s->size[slot], &size)) != ERR_OK ||
            (e = sqlite_blob(q, 2, LEAF_BYTES, &leaf)) != ERR_OK)
            break;
        e = size == 0 ? ERR_CORRUPT : leaf_before(s, (uint32_t)slot, size, ours);
        if (e == ERR_OK && memcmp(leaf, ours, LEAF_BYTES) != 0)
            e = ERR_CORRUPT;
        if (e != ERR_OK)
            break;
        x->covered[slot] = size;
    }
    sqlite3_finalize(q);
    TRY(e == ERR_NOT_FOUND ? ERR_OK : e);
    return run_sweep(x->db);
}

static enum err drop_file(struct sqlite_store *s)
{
    static const char *const suffixes[] = {"-index", "-index-wal", "-index-shm"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char *path = sqlite_path(s->path, suffixes[i]);
        if (path == NULL)
            return ERR_MEMORY;
        (void)unlink(path);
        free(path);
    }
    memset(s->index.covered, 0, sizeof s->index.covered);
    return ERR_OK;
}

/* Nothing of it is needed to be durable, only whole: NORMAL loses at most the newest runs
 * together with their cursors. */
static enum err connect_file(struct sqlite_store *s, const char *path)
{
    struct sqlite_index *x = &s->index;
    TRY(sqlite_connect(path, SQLITE_MAINTAINER, &x->db));
    return sqlite_exec(x->db, "PRAGMA synchronous=NORMAL");
}

static enum err make_file(struct sqlite_store *s, const char *path)
{
    struct sqlite_index *x = &s->index;
    TRY(drop_file(s));
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return ERR_FILE;
    close(fd);
    TRY(connect_file(s, path));
    char sql[256];
    snprintf(sql, sizeof sql,
             "PRAGMA page_size=%d; PRAGMA journal_mode=WAL; BEGIN IMMEDIATE",
             RUN_PAGE_BYTES);
    TRY(sqlite_exec(x->db, sql));
    TRY(sqlite_exec(x->db, RUN_SCHEMA
                    "CREATE TABLE owner(one INTEGER PRIMARY KEY CHECK(one=1),"
                    " ledger BLOB NOT NULL, damaged INTEGER NOT NULL) STRICT;"
                    "CREATE TABLE cursor(slot INTEGER PRIMARY KEY, size INTEGER NOT NULL,"
                    " leaf BLOB NOT NULL) STRICT;"));
    snprintf(sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=%d",
             STOA_INDEX_APPLICATION_ID, STORE_SCHEMA_VERSION);
    TRY(sqlite_exec(x->db, sql));
    sqlite3_stmt *q = NULL;
    TRY(sqlite_prepare(x->db, "INSERT INTO owner VALUES(1,?1,0)", &q));
    sqlite3_bind_blob(q, 1, s->ledger_id, LEDGER_ID_BYTES, SQLITE_STATIC);
    enum err e = sqlite_run(x->db, q);
    sqlite3_finalize(q);
    TRY(e);
    return sqlite_exec(x->db, "COMMIT");
}

/* Rows of a slot from `from` on, at most `room`. */
static enum err read_rows(struct sqlite_store *s, uint32_t slot, uint64_t from,
                          uint64_t to, struct generation_row row[], size_t room,
                          size_t *got)
{
    char sql[128];
    sqlite3_stmt *q = NULL;
    snprintf(sql, sizeof sql,
             "SELECT " SQLITE_RECORD_COLUMNS " FROM record_%u WHERE idx>=?1 AND idx<?2"
             " ORDER BY idx LIMIT ?3",
             (unsigned)slot);
    TRY(sqlite_prepare(s->index.ledger, sql, &q));
    sqlite_bind_u64(q, 1, from);
    sqlite_bind_u64(q, 2, to);
    sqlite_bind_u64(q, 3, room);
    enum err e = ERR_OK;
    *got = 0;
    while (*got < room && (e = sqlite_row(s->index.ledger, q)) == ERR_OK) {
        struct record r;
        struct hash account, id;
        e = sqlite_record_row(q, slot, &r, &account);
        if (e == ERR_OK && (r.index != from + *got || !store_entry_id(r.envelope, &id)))
            e = ERR_CORRUPT;
        if (e != ERR_OK)
            break;
        row[(*got)++] = (struct generation_row){prefix(&id), prefix(&account), r.position,
                                                store_place(slot, r.index)};
    }
    sqlite3_finalize(q);
    if (e == ERR_NOT_FOUND)
        return *got == to - from ? ERR_OK : ERR_CORRUPT;
    return e;
}

/* Cover everything that is committed, run by run. */
static enum err catch_up(struct sqlite_store *s)
{
    struct generation_row *row = malloc(RUN_BUILD_RECORDS * sizeof *row);
    if (row == NULL)
        return ERR_MEMORY;
    uint64_t end[SLOTS_MAX];
    memcpy(end, s->index.covered, sizeof end);
    size_t rows = 0;
    enum err e = ERR_OK;
    for (uint32_t slot = 0; e == ERR_OK && slot < s->identity.slots; slot++)
        while (e == ERR_OK && end[slot] < s->size[slot]) {
            size_t got = 0;
            e = read_rows(s, slot, end[slot], s->size[slot], row + rows,
                          RUN_BUILD_RECORDS - rows, &got);
            rows += got;
            end[slot] += got;
            if (e == ERR_OK && rows == RUN_BUILD_RECORDS) {
                e = write_batch(s, row, rows, end);
                rows = 0;
            }
        }
    if (e == ERR_OK && rows > 0)
        e = write_batch(s, row, rows, end);
    free(row);
    return e;
}

static void disconnect_file(struct sqlite_index *x)
{
    sqlite_disconnect(x->db, NULL, 0);
    x->db = NULL;
}

enum err sqlite_index_open(struct sqlite_store *s, struct store_why *why)
{
    struct sqlite_index *x = &s->index;
    pthread_rwlockattr_t fair;
    pthread_rwlockattr_init(&fair);
    pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&x->lock, &fair);
    pthread_rwlockattr_destroy(&fair);
    pthread_mutex_init(&x->file, NULL);
    random_bytes(&x->seed, sizeof x->seed);
    s->index_ready = true;
    char *path = sqlite_path(s->path, "-index");
    if (path == NULL)
        return ERR_MEMORY;
    enum err e = sqlite_connect(s->path, SQLITE_READER, &x->ledger);
    bool usable =
        e == ERR_OK && connect_file(s, path) == ERR_OK && check_file(s) == ERR_OK;
    if (e == ERR_OK && !usable) {
        disconnect_file(x);
        e = make_file(s, path);
    }
    if (e == ERR_OK)
        e = catch_up(s);
    if (e != ERR_OK)
        store_why_set(why, "%s: cannot be built from %s: %s", path, s->path, err_text(e));
    free(path);
    return e;
}

void sqlite_index_close(struct sqlite_store *s)
{
    struct sqlite_index *x = &s->index;
    struct generation *g = newest(x);
    if (g != NULL && !atomic_load(&s->broken)) {
        memcpy(g->end, s->size, sizeof g->end);
        (void)sqlite_index_flush(s, true); /* else it is read again at the next open */
    }
    for (size_t i = 0; i < x->generations; i++)
        generation_free(x->generation[i]);
    x->generations = 0;
    run_merge_close(x->merge);
    if (x->db != NULL && atomic_load(&x->damaged))
        (void)sqlite_exec(x->db, "UPDATE owner SET damaged=1");
    disconnect_file(x);
    sqlite_disconnect(x->ledger, NULL, 0);
    pthread_mutex_destroy(&x->file);
    pthread_rwlock_destroy(&x->lock);
}
