#include "federation/witness_store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define APPLICATION_ID 0x53746f77 /* "Stow" */
#define SCHEMA_VERSION 1
#define BUSY_MS 1000

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS cosigned("
    " origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL,"
    " time INTEGER NOT NULL, note BLOB NOT NULL) WITHOUT ROWID, STRICT;"
    "CREATE TABLE IF NOT EXISTS refused("
    " origin TEXT, size INTEGER, root BLOB, fork INTEGER NOT NULL,"
    " time_ms INTEGER NOT NULL, ours BLOB NOT NULL, theirs BLOB NOT NULL,"
    " PRIMARY KEY(origin, size, root)) WITHOUT ROWID, STRICT;";

enum statement { SELECT_ONE, SELECT_ALL, PUT, REFUSE, COUNT, STATEMENTS };
static const char *const statements[STATEMENTS] = {
    [SELECT_ONE] = "SELECT size, root FROM cosigned WHERE origin = ?1",
    [SELECT_ALL] = "SELECT origin, size, root, time, note FROM cosigned ORDER BY origin",
    [PUT] = "INSERT INTO cosigned VALUES(?1, ?2, ?3, ?4, ?5) ON CONFLICT(origin) DO UPDATE "
            "SET size = ?2, root = ?3, time = ?4, note = ?5",
    [REFUSE] = "INSERT INTO refused VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) "
               "ON CONFLICT DO NOTHING",
    [COUNT] = "SELECT count(*) FROM refused WHERE origin = ?1 AND fork = ?2",
};

struct witness_store {
    sqlite3 *db;
    sqlite3_stmt *made[STATEMENTS];
    bool broken;
};

static enum err err_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
        return ERR_OK;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_LOCKED;
    case SQLITE_FULL:
        return ERR_STORE_FULL;
    case SQLITE_NOMEM:
        return ERR_MEMORY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return ERR_CORRUPT;
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
        return ERR_FILE;
    default:
        return ERR_IO;
    }
}

static enum err run(struct witness_store *s, const char *sql)
{
    return err_of(sqlite3_exec(s->db, sql, NULL, NULL, NULL));
}

static enum err number(struct witness_store *s, const char *sql, int *out)
{
    sqlite3_stmt *q;
    int rc = sqlite3_prepare_v2(s->db, sql, -1, &q, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int(q, 0);
    sqlite3_finalize(q);
    return err_of(rc);
}

/* EXCLUSIVE: the file stays ours until it is closed, and a second process finds it busy. */
static enum err set_up(struct witness_store *s)
{
    char sql[128];
    int application = 0, version = 0;
    sqlite3_busy_timeout(s->db, BUSY_MS);
    sqlite3_extended_result_codes(s->db, 1);
    TRY(run(s, "PRAGMA trusted_schema=OFF; PRAGMA locking_mode=EXCLUSIVE;"
               "PRAGMA temp_store=MEMORY"));
    TRY(number(s, "PRAGMA application_id", &application));
    TRY(number(s, "PRAGMA user_version", &version));
    if (application != 0 && application != APPLICATION_ID)
        return ERR_CORRUPT;
    if (version > SCHEMA_VERSION)
        return ERR_SCHEMA;
    TRY(run(s, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; BEGIN IMMEDIATE"));
    TRY(run(s, schema));
    snprintf(sql, sizeof(sql), "PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT",
             APPLICATION_ID, SCHEMA_VERSION);
    TRY(run(s, sql));
    for (unsigned i = 0; i < STATEMENTS; i++)
        TRY(err_of(sqlite3_prepare_v3(s->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT,
                                      &s->made[i], NULL)));
    return ERR_OK;
}

/* The name of a file that was just made is durable only with its folder. */
static void sync_folder(const char *path)
{
    char folder[1024];
    const char *slash = strrchr(path, '/');
    int n = snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) : 1,
                     slash ? path : ".");
    int fd = n > 0 && (size_t)n < sizeof(folder)
                 ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                 : -1;
    if (fd < 0)
        return;
    (void)!fsync(fd);
    close(fd);
}

enum err witness_store_open(struct witness_store **out, const char *path, char *why)
{
    struct witness_store *s = calloc(1, sizeof(*s));
    *out = NULL;
    why[0] = 0;
    if (!s)
        return ERR_MEMORY;
    int rc = sqlite3_open_v2(path, &s->db,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
                                 SQLITE_OPEN_NOMUTEX,
                             NULL);
    enum err e = rc == SQLITE_OK ? set_up(s) : err_of(rc);
    if (e != ERR_OK) {
        snprintf(why, WITNESS_STORE_WHY_MAX, "%.180s: %s", path,
                 e == ERR_LOCKED    ? "another process has it"
                 : e == ERR_CORRUPT ? "it is no witness's file, or damaged"
                 : s->db            ? sqlite3_errmsg(s->db)
                                    : err_text(e));
        witness_store_close(s);
        return e;
    }
    sync_folder(path);
    *out = s;
    return ERR_OK;
}

void witness_store_close(struct witness_store *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(s->made[i]);
    sqlite3_close(s->db);
    free(s);
}

static bool hash_column(sqlite3_stmt *q, int column, struct hash *out)
{
    if (sqlite3_column_bytes(q, column) != HASH_BYTES)
        return false;
    memcpy(out->b, sqlite3_column_blob(q, column), HASH_BYTES);
    return true;
}

enum err witness_store_each(struct witness_store *s,
                            void (*visit)(void *context, const struct witness_row *row),
                            void *context)
{
    sqlite3_stmt *q = s->made[SELECT_ALL];
    int rc;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        struct witness_row row = {.origin = (const char *)sqlite3_column_text(q, 0),
                                  .size = (uint64_t)sqlite3_column_int64(q, 1),
                                  .time = (uint64_t)sqlite3_column_int64(q, 3)};
        row.note = bytes_of(sqlite3_column_blob(q, 4), (size_t)sqlite3_column_bytes(q, 4));
        if (!row.origin || !hash_column(q, 2, &row.root)) {
            sqlite3_reset(q);
            return ERR_CORRUPT;
        }
        visit(context, &row);
    }
    sqlite3_reset(q);
    return err_of(rc);
}

static void bind_text(sqlite3_stmt *q, int at, const char *text)
{
    sqlite3_bind_text(q, at, text, -1, SQLITE_STATIC);
}

static void bind_bytes(sqlite3_stmt *q, int at, struct bytes b)
{
    sqlite3_bind_blob(q, at, b.size ? (const void *)b.data : "", (int)b.size,
                      SQLITE_STATIC);
}

/* One step of a statement that gives no rows, then ready again. */
static enum err step(sqlite3_stmt *q)
{
    enum err e = err_of(sqlite3_step(q));
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
    return e;
}

/* Ends a transaction: by COMMIT when all went well. A failure that is not known to have
 * changed nothing breaks the handle. */
static enum err end(struct witness_store *s, enum err e)
{
    if (e == ERR_OK)
        e = run(s, "COMMIT");
    if (e == ERR_OK)
        return ERR_OK;
    bool undone = sqlite3_get_autocommit(s->db) || run(s, "ROLLBACK") == ERR_OK;
    bool clean = e == ERR_LOST || e == ERR_EXISTS || e == ERR_LIMIT ||
                 e == ERR_STORE_FULL || e == ERR_MEMORY;
    if (undone && clean)
        return e;
    s->broken = true;
    return ERR_IO;
}

static enum err compare(struct witness_store *s, uint64_t old_size,
                        const struct hash *old_root, const char *origin)
{
    sqlite3_stmt *q = s->made[SELECT_ONE];
    struct hash root;
    bind_text(q, 1, origin);
    int rc = sqlite3_step(q);
    enum err e = err_of(rc);
    if (rc == SQLITE_DONE)
        e = old_size == 0 ? ERR_OK : ERR_LOST;
    else if (rc == SQLITE_ROW)
        e = (uint64_t)sqlite3_column_int64(q, 0) == old_size &&
                    hash_column(q, 1, &root) && hash_equal(&root, old_root)
                ? ERR_OK
                : ERR_LOST;
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
    return e;
}

enum err witness_store_swap(struct witness_store *s, uint64_t old_size,
                            const struct hash *old_root, const struct witness_row *row)
{
    if (s->broken)
        return ERR_IO;
    enum err e = run(s, "BEGIN IMMEDIATE");
    if (e == ERR_OK)
        e = compare(s, old_size, old_root, row->origin);
    if (e == ERR_OK) {
        sqlite3_stmt *q = s->made[PUT];
        bind_text(q, 1, row->origin);
        sqlite3_bind_int64(q, 2, (int64_t)row->size);
        bind_bytes(q, 3, bytes_of(row->root.b, HASH_BYTES));
        sqlite3_bind_int64(q, 4, (int64_t)row->time);
        bind_bytes(q, 5, row->note);
        e = step(q);
    }
    return end(s, e);
}

enum err witness_store_refused(struct witness_store *s, const char *origin, bool fork,
                               uint64_t *count)
{
    sqlite3_stmt *q = s->made[COUNT];
    bind_text(q, 1, origin);
    sqlite3_bind_int(q, 2, fork);
    int rc = sqlite3_step(q);
    *count = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(q, 0) : 0;
    sqlite3_reset(q);
    return rc == SQLITE_ROW ? ERR_OK : err_of(rc);
}

enum err witness_store_refuse(struct witness_store *s, const struct witness_refusal *r)
{
    uint64_t count = 0;
    if (s->broken)
        return ERR_IO;
    enum err e = run(s, "BEGIN IMMEDIATE");
    if (e == ERR_OK)
        e = witness_store_refused(s, r->origin, r->fork, &count);
    if (e == ERR_OK && count >= WITNESS_REFUSED_MAX)
        e = ERR_LIMIT;
    if (e == ERR_OK) {
        sqlite3_stmt *q = s->made[REFUSE];
        bind_text(q, 1, r->origin);
        sqlite3_bind_int64(q, 2, (int64_t)r->size);
        bind_bytes(q, 3, bytes_of(r->root.b, HASH_BYTES));
        sqlite3_bind_int(q, 4, r->fork);
        sqlite3_bind_int64(q, 5, (int64_t)r->time_ms);
        bind_bytes(q, 6, r->ours);
        bind_bytes(q, 7, r->theirs);
        e = step(q);
        if (e == ERR_OK && sqlite3_changes(s->db) == 0)
            e = ERR_EXISTS;
    }
    return end(s, e);
}
