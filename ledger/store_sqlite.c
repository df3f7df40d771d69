/* Connections, result codes and columns of the SQLite edge; its table of operations is in
 * store_sqlite_create.c, where a store is made. */
#include "ledger/store_sqlite.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef STOA_BREAK_FSYNC_SKIPPED
#define SYNCHRONOUS "NORMAL"
#else
#define SYNCHRONOUS "FULL"
#endif

static enum err configure(sqlite3 *db, enum sqlite_role role)
{
    /* secure_delete is on in Debian's build and doubles page writes; the one table that
     * needs it turns it on for its own statements. Checkpoints are made in maintain only,
     * never by the commit that happens to cross a limit. */
    TRY(sqlite_exec(db, "PRAGMA trusted_schema=OFF;"
                        "PRAGMA foreign_keys=ON;"
                        "PRAGMA secure_delete=OFF;"
                        "PRAGMA synchronous=" SYNCHRONOUS ";"
                        "PRAGMA temp_store=MEMORY;"
                        "PRAGMA wal_autocheckpoint=0"));
    char cache[64];
    snprintf(cache, sizeof cache, "PRAGMA cache_size=-%d",
             role == SQLITE_WRITER ? STORE_WRITER_CACHE_KIB : STORE_READER_CACHE_KIB);
    TRY(sqlite_exec(db, cache));
    return role == SQLITE_READER ? sqlite_exec(db, "PRAGMA query_only=ON") : ERR_OK;
}

enum err sqlite_connect(const char *path, enum sqlite_role role, sqlite3 **db)
{
    int flags = SQLITE_OPEN_NOMUTEX |
                (role == SQLITE_READER ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE);
    *db = NULL;
    int rc = sqlite3_open_v2(path, db, flags, NULL);
    if (rc != SQLITE_OK) {
        enum err e = *db == NULL ? ERR_MEMORY : sqlite_err(*db, rc);
        sqlite3_close(*db);
        *db = NULL;
        return e;
    }
    sqlite3_extended_result_codes(*db, 1);
    sqlite3_busy_timeout(*db, STORE_BUSY_MS);
    enum err e = configure(*db, role);
    if (e != ERR_OK) {
        sqlite3_close(*db);
        *db = NULL;
    }
    return e;
}

void sqlite_disconnect(sqlite3 *db, sqlite3_stmt *statement[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sqlite3_finalize(statement[i]);
        statement[i] = NULL;
    }
    int rc = sqlite3_close(db);
    assert(rc == SQLITE_OK);
    (void)rc;
}

/* No room to write, said in another way than SQLITE_FULL. Not for fsync: what an fsync
 * that failed has kept is unknown, whatever its reason. */
static bool is_full(sqlite3 *db, int rc)
{
    if (rc != SQLITE_IOERR_WRITE && rc != SQLITE_IOERR_SHMSIZE &&
        rc != SQLITE_IOERR_SHMMAP && rc != SQLITE_IOERR_SHMOPEN)
        return false;
    int system = sqlite3_system_errno(db);
    return system == ENOSPC || system == EDQUOT;
}

enum err sqlite_err(sqlite3 *db, int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
        return ERR_OK;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_INTERRUPT:
    case SQLITE_PROTOCOL:
        return ERR_STORE;
    case SQLITE_FULL:
        return ERR_STORE_FULL;
    case SQLITE_NOMEM:
        return ERR_MEMORY;
    case SQLITE_IOERR:
        if (rc == SQLITE_IOERR_NOMEM)
            return ERR_MEMORY;
        return is_full(db, rc) ? ERR_STORE_FULL : ERR_IO;
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return ERR_IO;
    default: /* CORRUPT, NOTADB; ERROR: a table is missing; CONSTRAINT, MISMATCH: rows are
              */
        return ERR_CORRUPT;
    }
}

enum err sqlite_note(struct sqlite_store *s, enum err e)
{
    if (e == ERR_IO || e == ERR_CORRUPT)
        atomic_store(&s->broken, true);
    return e;
}

enum err sqlite_exec(sqlite3 *db, const char *sql)
{
    return sqlite_err(db, sqlite3_exec(db, sql, NULL, NULL, NULL));
}

enum err sqlite_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out)
{
    return sqlite_err(
        db, sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL));
}

enum err sqlite_run(sqlite3 *db, sqlite3_stmt *q)
{
    int rc = sqlite3_step(q);
    enum err e = rc == SQLITE_ROW ? ERR_BUG : sqlite_err(db, rc);
    sqlite3_reset(q);
    return e;
}

enum err sqlite_row(sqlite3 *db, sqlite3_stmt *q)
{
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW)
        return ERR_OK;
    return rc == SQLITE_DONE ? ERR_NOT_FOUND : sqlite_err(db, rc);
}

void sqlite_bind_u64(sqlite3_stmt *q, int at, uint64_t v)
{
    assert(v <= INT64_MAX);
    sqlite3_bind_int64(q, at, (sqlite3_int64)v);
}

enum err sqlite_u64(sqlite3_stmt *q, int at, uint64_t max, uint64_t *out)
{
    if (sqlite3_column_type(q, at) != SQLITE_INTEGER)
        return ERR_CORRUPT;
    sqlite3_int64 v = sqlite3_column_int64(q, at);
    if (v < 0 || (uint64_t)v > max)
        return ERR_CORRUPT;
    *out = (uint64_t)v;
    return ERR_OK;
}

enum err sqlite_blob(sqlite3_stmt *q, int at, size_t size, const uint8_t **out)
{
    if (sqlite3_column_type(q, at) != SQLITE_BLOB)
        return ERR_CORRUPT;
    *out = sqlite3_column_blob(q, at);
    return *out != NULL && (size_t)sqlite3_column_bytes(q, at) == size ? ERR_OK
                                                                       : ERR_CORRUPT;
}

enum err sqlite_pragma(sqlite3 *db, const char *sql, int64_t *out)
{
    sqlite3_stmt *q = NULL;
    TRY(sqlite_prepare(db, sql, &q));
    enum err e = sqlite_row(db, q);
    if (e == ERR_OK)
        *out = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
}

#define SUM_FACTOR UINT64_C(0x9e3779b97f4a7c15)

uint32_t sqlite_sum(uint64_t key, const void *data, size_t size)
{
    const uint8_t *p = data;
    uint64_t h = (key + size) * SUM_FACTOR;
    for (size_t at = 0; at < size; at += 8) {
        uint64_t word = 0;
        memcpy(&word, p + at, size - at < 8 ? size - at : 8);
        h = (h ^ word) * SUM_FACTOR;
        h ^= h >> 29;
    }
    return (uint32_t)(h >> 32);
}

uint32_t sqlite_record_sum(uint64_t place, uint64_t position, const uint8_t *account,
                           const uint8_t leaf[LEAF_BYTES])
{
    uint8_t row[8 + LEAF_BYTES + HASH_BYTES];
    be64_put(row, position);
    memcpy(row + 8, leaf, LEAF_BYTES);
    if (account != NULL)
        memcpy(row + 8 + LEAF_BYTES, account, HASH_BYTES);
    return sqlite_sum(place, row, account == NULL ? 8 + LEAF_BYTES : sizeof row);
}

enum err sqlite_leaf_row(sqlite3_stmt *q, uint32_t slot, uint64_t *index,
                         uint64_t *position, const uint8_t **account,
                         const uint8_t **leaf)
{
    uint64_t sum = 0;
    *account = NULL;
    TRY(sqlite_u64(q, 0, STORE_INDEX_MAX, index));
    TRY(sqlite_u64(q, 1, STORE_INDEX_MAX, position));
    TRY(sqlite_u64(q, 2, UINT32_MAX, &sum));
    if (sqlite3_column_type(q, 3) != SQLITE_NULL)
        TRY(sqlite_blob(q, 3, HASH_BYTES, account));
    TRY(sqlite_blob(q, 4, LEAF_BYTES, leaf));
    uint64_t place = store_place(slot, *index);
    return sqlite_record_sum(place, *position, *account, *leaf) == sum ? ERR_OK
                                                                       : ERR_CORRUPT;
}

uint64_t sqlite_tile_sum(uint64_t key, const struct hash *root, const uint8_t *hashes)
{
    uint64_t sum = 0;
    if (root != NULL) /* 31 bits, so that the whole is a positive integer */
        sum = (uint64_t)(sqlite_sum(key, root, sizeof *root) >> 1) << 32;
    if (hashes != NULL)
        sum |= sqlite_sum(key, hashes, TILE_HASHES * HASH_BYTES);
    return sum;
}

char *sqlite_path(const char *path, const char *suffix)
{
    size_t size = strlen(path) + strlen(suffix) + 1;
    char *out = malloc(size);
    if (out != NULL)
        snprintf(out, size, "%s%s", path, suffix);
    return out;
}

enum err sqlite_slot_row(sqlite3_stmt *q, int at, struct store_slot *out)
{
    memset(out, 0, sizeof *out);
    uint64_t size = 0;
    TRY(sqlite_u64(q, at, INT64_MAX, &out->epoch));
    TRY(sqlite_u64(q, at + 1, STORE_INDEX_MAX, &size));
    out->size = size;
    out->edge_count = frontier_edge_count(size);
    if (size == 0)
        return ERR_OK;
    const uint8_t *edges = NULL;
    TRY(sqlite_blob(q, at + 2, out->edge_count * sizeof *out->edges, &edges));
    memcpy(out->edges, edges, out->edge_count * sizeof *out->edges);
    if (sqlite3_column_type(q, at + 3) != SQLITE_BLOB)
        return ERR_CORRUPT;
    const void *checkpoint = sqlite3_column_blob(q, at + 3);
    size_t checkpoint_size = (size_t)sqlite3_column_bytes(q, at + 3);
    if (checkpoint == NULL || checkpoint_size > sizeof out->checkpoint)
        return ERR_CORRUPT;
    out->checkpoint_size = checkpoint_size;
    memcpy(out->checkpoint, checkpoint, checkpoint_size);
    return ERR_OK;
}
