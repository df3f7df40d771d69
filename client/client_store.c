#include "client/client_store.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <sqlite3.h>

#define STORE_APPLICATION_ID 0x53746f61 /* "Stoa" */
#define POSITION_BITS 40
#define POSITION_MAX ((UINT64_C(1) << POSITION_BITS) - 1)
#define BUSY_MS 2000

static const char schema[] =
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE account(number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE,"
    " slot INTEGER NOT NULL, of_hub INTEGER NOT NULL, name TEXT NOT NULL,"
    " position INTEGER NOT NULL, proven INTEGER NOT NULL, proven_size INTEGER NOT NULL,"
    " checked_ms INTEGER NOT NULL);"
    /* place = account number << 40 | position */
    "CREATE TABLE record(place INTEGER PRIMARY KEY, idx INTEGER NOT NULL,"
    " lamport INTEGER NOT NULL, time_ms INTEGER NOT NULL, balance INTEGER NOT NULL,"
    " id8 INTEGER NOT NULL, envelope BLOB NOT NULL);"
    "CREATE INDEX record_id ON record(id8);"
    "CREATE TABLE state(number INTEGER PRIMARY KEY, value BLOB NOT NULL);"
    "CREATE TABLE note(slot INTEGER PRIMARY KEY, size INTEGER NOT NULL,"
    " note BLOB NOT NULL, seen_ms INTEGER NOT NULL);"
    "CREATE TABLE evidence(number INTEGER PRIMARY KEY, slot INTEGER NOT NULL,"
    " at_ms INTEGER NOT NULL, known BLOB NOT NULL, shown BLOB NOT NULL,"
    " what BLOB NOT NULL);"
    "CREATE TABLE outgoing(number INTEGER PRIMARY KEY AUTOINCREMENT,"
    " id BLOB NOT NULL UNIQUE, account BLOB NOT NULL, slot INTEGER NOT NULL,"
    " state INTEGER NOT NULL, code INTEGER NOT NULL, seq INTEGER NOT NULL,"
    " idx INTEGER NOT NULL, position INTEGER NOT NULL, lamport INTEGER NOT NULL,"
    " time_ms INTEGER NOT NULL, tree_size INTEGER NOT NULL, payees INTEGER NOT NULL,"
    " left INTEGER NOT NULL, flags INTEGER NOT NULL, saved_ms INTEGER NOT NULL,"
    " request TEXT UNIQUE, envelope BLOB NOT NULL, sealed BLOB);"
    "CREATE INDEX outgoing_open ON outgoing(number) WHERE state < 3;"
    "CREATE INDEX outgoing_sealed ON outgoing(number) WHERE sealed IS NOT NULL;";

/* Statements, prepared when first used. */
enum statement {
    Q_BEGIN,
    Q_COMMIT,
    Q_ROLLBACK,
    Q_META_SET,
    Q_META_GET,
    Q_ACCOUNT_ADD,
    Q_ACCOUNT_PUT,
    Q_ACCOUNT_AT,
    Q_ACCOUNT_GET,
    Q_ACCOUNT_NUMBER,
    Q_RECORD_ADD,
    Q_RECORD_CUT,
    Q_RECORD_FIND,
    Q_STATE_SAVE,
    Q_STATE_LOAD,
    Q_STATE_DROP,
    Q_NOTE_SAVE,
    Q_NOTE_LOAD,
    Q_EVIDENCE_SAVE,
    Q_EVIDENCE_AT,
    Q_OUT_ADD,
    Q_OUT_PUT,
    Q_OUT_FIND,
    Q_OUT_REQUEST,
    Q_OUT_NEXT,
    Q_OUT_OPEN,
    Q_OUT_SEALED,
    Q_OUT_COUNT_OPEN,
    Q_OUT_LAST,
    Q_OUT_COUNT,
    Q_OUT_DROP,
    Q_COUNT
};

#define OUT_COLUMNS                                                                      \
    "number,id,account,slot,state,code,seq,idx,position,lamport,time_ms,tree_size,"      \
    "payees,left,flags,saved_ms,request,envelope,sealed"
#define ACCOUNT_COLUMNS                                                                  \
    "number,id,slot,of_hub,name,position,proven,proven_size,checked_ms"

static const char *const sql[Q_COUNT] = {
    [Q_BEGIN] = "BEGIN IMMEDIATE",
    [Q_COMMIT] = "COMMIT",
    [Q_ROLLBACK] = "ROLLBACK",
    [Q_META_SET] = "INSERT OR REPLACE INTO meta VALUES(?1,?2)",
    [Q_META_GET] = "SELECT value FROM meta WHERE name=?1",
    [Q_ACCOUNT_ADD] =
        "INSERT INTO account(id,slot,of_hub,name,position,proven,proven_size,"
        "checked_ms) VALUES(?1,?2,?3,?4,?5,?6,?7,?8)",
    [Q_ACCOUNT_PUT] = "UPDATE account SET name=?2,position=?3,proven=?4,proven_size=?5,"
                      "checked_ms=?6 WHERE number=?1 AND id=?7",
    [Q_ACCOUNT_AT] = "SELECT " ACCOUNT_COLUMNS " FROM account WHERE of_hub=?1 ORDER BY"
                     " number LIMIT 1 OFFSET ?2",
    [Q_ACCOUNT_GET] = "SELECT " ACCOUNT_COLUMNS " FROM account WHERE id=?1",
    [Q_ACCOUNT_NUMBER] = "SELECT " ACCOUNT_COLUMNS " FROM account WHERE number=?1",
    [Q_RECORD_ADD] = "INSERT INTO record VALUES(?1,?2,?3,?4,?5,?6,?7)",
    [Q_RECORD_CUT] = "DELETE FROM record WHERE place>=?1 AND place<=?2",
    [Q_RECORD_FIND] = "SELECT place,envelope FROM record WHERE id8=?1",
    [Q_STATE_SAVE] = "INSERT OR REPLACE INTO state VALUES(?1,?2)",
    [Q_STATE_LOAD] = "SELECT value FROM state WHERE number=?1",
    [Q_STATE_DROP] = "DELETE FROM state WHERE number=?1",
    [Q_NOTE_SAVE] = "INSERT OR REPLACE INTO note VALUES(?1,?2,?3,?4)",
    [Q_NOTE_LOAD] = "SELECT note,seen_ms FROM note WHERE slot=?1",
    [Q_EVIDENCE_SAVE] =
        "INSERT INTO evidence(slot,at_ms,known,shown,what) VALUES(?1,?2,?3,?4,?5)",
    [Q_EVIDENCE_AT] = "SELECT slot,at_ms,known,shown,what FROM evidence ORDER BY number"
                      " LIMIT 1 OFFSET ?1",
    [Q_OUT_ADD] =
        "INSERT INTO outgoing(id,account,slot,state,code,seq,idx,position,lamport,"
        "time_ms,tree_size,payees,left,flags,saved_ms,request,envelope,sealed)"
        " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18)",
    [Q_OUT_PUT] = "UPDATE outgoing SET state=?2,code=?3,idx=?4,position=?5,lamport=?6,"
                  "time_ms=?7,tree_size=?8,payees=?9,left=?10,flags=?11,sealed=?12"
                  " WHERE id=?1",
    [Q_OUT_FIND] = "SELECT " OUT_COLUMNS " FROM outgoing WHERE id=?1",
    [Q_OUT_REQUEST] = "SELECT " OUT_COLUMNS " FROM outgoing WHERE request=?1",
    [Q_OUT_NEXT] =
        "SELECT " OUT_COLUMNS " FROM outgoing WHERE number>?1 AND (1<<state)&?2"
        " AND (?3 IS NULL OR account=?3) ORDER BY number LIMIT 1",
    [Q_OUT_SEALED] = "SELECT " OUT_COLUMNS " FROM outgoing WHERE sealed IS NOT NULL AND"
                     " state IN (2,3) AND number>?1 AND (?2 IS NULL OR account=?2)"
                     " ORDER BY number LIMIT 1",
    [Q_OUT_OPEN] =
        "SELECT " OUT_COLUMNS " FROM outgoing WHERE state<3 AND number>?1 AND"
        " (1<<state)&?2 AND (?3 IS NULL OR account=?3) ORDER BY number LIMIT 1",
    [Q_OUT_COUNT_OPEN] = "SELECT count(*) FROM outgoing WHERE state<3 AND (1<<state)&?1",
    [Q_OUT_LAST] =
        "SELECT " OUT_COLUMNS " FROM outgoing WHERE number<?1 AND (1<<state)&?2"
        " AND (?3 IS NULL OR account=?3) ORDER BY number DESC LIMIT 1",
    [Q_OUT_COUNT] = "SELECT count(*) FROM outgoing WHERE (1<<state)&?1",
    [Q_OUT_DROP] = "DELETE FROM outgoing WHERE id=?1",
};

struct client_store {
    sqlite3 *db;
    sqlite3_stmt *q[Q_COUNT];
    unsigned depth;
    bool doomed;        /* an inner level asked to give up the transaction */
    struct buf held[3]; /* what the last get gave out */
    bool (*fault)(void *context, const char *step);
    void *fault_context;
    char path[256];
    char why[CLIENT_WHY_MAX];
};

/* ---- errors --------------------------------------------------------------------------
 */

__attribute__((format(printf, 2, 3))) static void say(char *why, const char *form, ...)
{
    va_list args;
    va_start(args, form);
    vsnprintf(why, CLIENT_WHY_MAX, form, args);
    va_end(args);
}

static enum err damaged(const char *path, char *why, const char *what)
{
    say(why,
        "%s is damaged (%s). Keys are not in it. Rebuild it from the hub; entries saved "
        "but not sent are lost with it",
        path, what);
    return ERR_CORRUPT;
}

static enum err failed(struct client_store *s, int rc)
{
    const char *what = s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc);
    switch (rc & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return damaged(s->path, s->why, what);
    case SQLITE_FULL:
        say(s->why, "%s: disk is full; nothing was written", s->path);
        return ERR_STORE_FULL;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        say(s->why, "%s is in use by another process", s->path);
        return ERR_LOCKED;
    case SQLITE_NOMEM:
        return ERR_MEMORY;
    case SQLITE_CONSTRAINT:
        say(s->why, "%s: %s", s->path, what);
        return ERR_EXISTS;
    default:
        say(s->why, "%s: %s", s->path, what);
        return ERR_FILE;
    }
}

const char *client_store_why(const struct client_store *s)
{
    return s->why;
}

static bool faulty(struct client_store *s, const char *step)
{
    if (!s->fault || s->fault(s->fault_context, step))
        return false;
    say(s->why, "%s: failed at %s", s->path, step);
    return true;
}

void client_store_set_fault(struct client_store *s,
                            bool (*at)(void *context, const char *step), void *context)
{
    s->fault = at;
    s->fault_context = context;
}

/* ---- statements ----------------------------------------------------------------------
 */

static enum err query(struct client_store *s, enum statement n, sqlite3_stmt **out)
{
    *out = NULL;
    if (!s->q[n]) {
        int rc = sqlite3_prepare_v3(s->db, sql[n], -1, SQLITE_PREPARE_PERSISTENT,
                                    &s->q[n], NULL);
        if (rc != SQLITE_OK)
            return failed(s, rc);
    }
    *out = s->q[n];
    sqlite3_reset(*out);
    sqlite3_clear_bindings(*out);
    return ERR_OK;
}

static void bind_blob(sqlite3_stmt *q, int at, const void *data, size_t size)
{
    sqlite3_bind_blob64(q, at, size ? data : "", size, SQLITE_STATIC);
}

static void bind_u64(sqlite3_stmt *q, int at, uint64_t v)
{
    sqlite3_bind_int64(q, at, (sqlite3_int64)v);
}

static uint64_t column_u64(sqlite3_stmt *q, int at)
{
    return (uint64_t)sqlite3_column_int64(q, at);
}

static enum err run(struct client_store *s, sqlite3_stmt *q)
{
    int rc = sqlite3_step(q);
    sqlite3_reset(q);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? ERR_OK : failed(s, rc);
}

/* ERR_OK: a row stands ready; the caller resets. */
static enum err row(struct client_store *s, sqlite3_stmt *q)
{
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW)
        return ERR_OK;
    sqlite3_reset(q);
    return rc == SQLITE_DONE ? ERR_NOT_FOUND : failed(s, rc);
}

static enum err hold(struct client_store *s, unsigned i, sqlite3_stmt *q, int at,
                     struct bytes *out)
{
    const void *data = sqlite3_column_blob(q, at);
    size_t size = (size_t)sqlite3_column_bytes(q, at);
    buf_clear(&s->held[i]);
    if (!buf_reserve(&s->held[i], size + 1) || !buf_add(&s->held[i], data, size))
        return ERR_MEMORY;
    s->held[i].data[size] = '\0';
    *out = bytes_of(s->held[i].data, size);
    return ERR_OK;
}

static bool column_hash(sqlite3_stmt *q, int at, struct hash *out)
{
    if (sqlite3_column_bytes(q, at) != HASH_BYTES)
        return false;
    memcpy(out->b, sqlite3_column_blob(q, at), HASH_BYTES);
    return true;
}

/* ---- open ----------------------------------------------------------------------------
 */

static enum err pragma(struct client_store *s, const char *text)
{
    int rc = sqlite3_exec(s->db, text, NULL, NULL, NULL);
    return rc == SQLITE_OK ? ERR_OK : failed(s, rc);
}

static enum err number_of(struct client_store *s, const char *text, int64_t *out)
{
    sqlite3_stmt *q;
    int rc = sqlite3_prepare_v2(s->db, text, -1, &q, NULL);
    if (rc != SQLITE_OK)
        return failed(s, rc);
    rc = sqlite3_step(q);
    *out = rc == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
    enum err e = rc == SQLITE_ROW ? ERR_OK : failed(s, rc);
    sqlite3_finalize(q);
    return e;
}

static enum err set_up(struct client_store *s, bool fresh)
{
    sqlite3_busy_timeout(s->db, BUSY_MS);
    TRY(pragma(s, "PRAGMA locking_mode=EXCLUSIVE"));
    TRY(pragma(s, "PRAGMA journal_mode=WAL"));
    TRY(pragma(s, "PRAGMA synchronous=FULL"));
    TRY(pragma(s, "PRAGMA cache_size=-8192"));
    if (fresh) {
        char text[128];
        snprintf(text, sizeof(text), "PRAGMA application_id=%d; PRAGMA user_version=%d",
                 STORE_APPLICATION_ID, CLIENT_SCHEMA);
        TRY(pragma(s, text));
        TRY(pragma(s, "BEGIN IMMEDIATE"));
        TRY(pragma(s, schema));
        return pragma(s, "COMMIT");
    }
    int64_t application = 0, version = 0, tables = 0;
    TRY(number_of(s, "PRAGMA application_id", &application));
    TRY(number_of(s, "PRAGMA user_version", &version));
    if (application != STORE_APPLICATION_ID)
        return damaged(s->path, s->why, "not a wallet database");
    if (version > CLIENT_SCHEMA) {
        say(s->why, "%s has schema %lld, this program knows %d: use a newer one", s->path,
            (long long)version, CLIENT_SCHEMA);
        return ERR_SCHEMA;
    }
    TRY(number_of(s, "SELECT count(*) FROM sqlite_master WHERE type='table'", &tables));
    if (tables < 7)
        return damaged(s->path, s->why, "tables are missing");
    sqlite3_stmt *q;
    for (int n = 0; n < Q_COUNT; n++)
        TRY(query(s, (enum statement)n, &q));
    return ERR_OK;
}

/* A crash between creating the file and its first commit leaves a file without tables,
 * which is the same as none. */
static bool is_blank(const char *path)
{
    struct stat st;
    return stat(path, &st) != 0 ? errno == ENOENT : st.st_size == 0;
}

enum err client_store_open(struct client_store **out, const char *path, bool create,
                           char why[CLIENT_WHY_MAX])
{
    *out = NULL;
    why[0] = '\0';
    bool fresh = is_blank(path);
    if (fresh && !create) {
        say(why, "%s is missing", path);
        return ERR_MISSING;
    }
    struct client_store *s = calloc(1, sizeof(*s));
    if (!s)
        return ERR_MEMORY;
    snprintf(s->path, sizeof(s->path), "%s", path);
    int rc = sqlite3_open_v2(path, &s->db,
                             SQLITE_OPEN_READWRITE | (fresh ? SQLITE_OPEN_CREATE : 0) |
                                 SQLITE_OPEN_NOMUTEX,
                             NULL);
    enum err e = rc == SQLITE_OK ? set_up(s, fresh) : failed(s, rc);
    if (e != ERR_OK) {
        snprintf(why, CLIENT_WHY_MAX, "%s", s->why);
        client_store_close(s);
        return e;
    }
    *out = s;
    return ERR_OK;
}

void client_store_close(struct client_store *s)
{
    if (!s)
        return;
    for (int i = 0; i < Q_COUNT; i++)
        sqlite3_finalize(s->q[i]);
    sqlite3_close(s->db);
    for (int i = 0; i < 3; i++)
        buf_close(&s->held[i]);
    free(s);
}

/* ---- transactions, meta --------------------------------------------------------------
 */

enum err client_store_begin(struct client_store *s)
{
    sqlite3_stmt *q;
    if (s->depth == 0) {
        if (faulty(s, "begin"))
            return ERR_FILE;
        TRY(query(s, Q_BEGIN, &q));
        TRY(run(s, q));
        s->doomed = false;
    }
    s->depth++;
    return ERR_OK;
}

enum err client_store_end(struct client_store *s, bool keep)
{
    sqlite3_stmt *q;
    if (s->depth == 0)
        return ERR_BUG;
    s->doomed |= !keep;
    if (--s->depth > 0)
        return ERR_OK;
    enum err e = ERR_OK;
    if (keep && s->doomed) {
        say(s->why, "%s: a part of it failed; nothing was written", s->path);
        e = ERR_FILE;
    }
    if (!s->doomed) {
        e = faulty(s, "commit") ? ERR_FILE : query(s, Q_COMMIT, &q);
        if (e == ERR_OK)
            e = run(s, q);
        if (e == ERR_OK)
            return ERR_OK;
    }
    if (query(s, Q_ROLLBACK, &q) == ERR_OK)
        (void)sqlite3_step(q), sqlite3_reset(q);
    return e;
}

enum err client_store_set(struct client_store *s, const char *name, struct bytes value)
{
    sqlite3_stmt *q;
    TRY(query(s, Q_META_SET, &q));
    sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    bind_blob(q, 2, value.data, value.size);
    return run(s, q);
}

enum err client_store_get(struct client_store *s, const char *name, struct bytes *value)
{
    sqlite3_stmt *q;
    TRY(query(s, Q_META_GET, &q));
    sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    TRY(row(s, q));
    enum err e = hold(s, 0, q, 0, value);
    sqlite3_reset(q);
    return e;
}

/* ---- accounts ------------------------------------------------------------------------
 */

static enum err read_account(struct client_store *s, sqlite3_stmt *q,
                             struct client_account *a)
{
    TRY(row(s, q));
    memset(a, 0, sizeof(*a));
    a->number = sqlite3_column_int64(q, 0);
    bool ok = column_hash(q, 1, &a->id);
    a->slot = (uint32_t)sqlite3_column_int64(q, 2);
    a->of_hub = sqlite3_column_int(q, 3) != 0;
    const unsigned char *name = sqlite3_column_text(q, 4);
    snprintf(a->name, sizeof(a->name), "%s", name ? (const char *)name : "");
    a->position = column_u64(q, 5);
    a->proven = column_u64(q, 6);
    a->proven_size = column_u64(q, 7);
    a->checked_ms = column_u64(q, 8);
    sqlite3_reset(q);
    return ok ? ERR_OK : damaged(s->path, s->why, "account row");
}

enum err client_store_account_add(struct client_store *s, struct client_account *a)
{
    sqlite3_stmt *q;
    TRY(query(s, Q_ACCOUNT_ADD, &q));
    bind_blob(q, 1, a->id.b, HASH_BYTES);
    sqlite3_bind_int64(q, 2, a->slot);
    sqlite3_bind_int(q, 3, a->of_hub);
    sqlite3_bind_text(q, 4, a->name, -1, SQLITE_STATIC);
    bind_u64(q, 5, a->position);
    bind_u64(q, 6, a->proven);
    bind_u64(q, 7, a->proven_size);
    bind_u64(q, 8, a->checked_ms);
    TRY(run(s, q));
    a->number = sqlite3_last_insert_rowid(s->db);
    return ERR_OK;
}

enum err client_store_account_put(struct client_store *s, const struct client_account *a)
{
    sqlite3_stmt *q;
    TRY(query(s, Q_ACCOUNT_PUT, &q));
    sqlite3_bind_int64(q, 1, a->number);
    sqlite3_bind_text(q, 2, a->name, -1, SQLITE_STATIC);
    bind_u64(q, 3, a->position);
    bind_u64(q, 4, a->proven);
    bind_u64(q, 5, a->proven_size);
    bind_u64(q, 6, a->checked_ms);
    bind_blob(q, 7, a->id.b, HASH_BYTES);
    TRY(run(s, q));
    return sqlite3_changes(s->db) == 1 ? ERR_OK
                                       : damaged(s->path, s->why, "account row");
}

enum err client_store_account_at(struct client_store *s, bool of_hub, unsigned i,
                                 struct client_account *out)
{
    sqlite3_stmt *q;
    TRY(query(s, Q_ACCOUNT_AT, &q));
    sqlite3_bind_int(q, 1, of_hub);
    sqlite3_bind_int64(q, 2, i);
    return read_account(s, q, out);
}

enum err client_store_account(struct client_store *s, const struct hash *id,
                              struct client_account *out)
{
    sqlite3_stmt *q;
    TRY(query(s, Q_ACCOUNT_GET, &q));
    bind_blob(q, 1, id->b, HASH_BYTES);
    return read_account(s, q, out);
}

/* ---- records -------------------------------------------------------------------------
 */

static int64_t place(const struct client_account *a, uint64_t position)
{
    return (int64_t)((uint64_t)a->number << POSITION_BITS | position);
}

static int64_t first8(const struct hash *id)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | id->b[i];
    return (int64_t)v;
}

enum err client_store_record_add(struct client_store *s, const struct client_account *a,
                                 const struct record *r, const struct hash *id,
                                 int64_t balance)
{
    sqlite3_stmt *q;
    if (r->position > POSITION_MAX)
        return ERR_RANGE;
    TRY(query(s, Q_RECORD_ADD, &q));
    sqlite3_bind_int64(q, 1, place(a, r->position));
    bind_u64(q, 2, r->index);
    bind_u64(q, 3, r->hub_lamport);
    bind_u64(q, 4, r->hub_time_ms);
    sqlite3_bind_int64(q, 5, balance);
    sqlite3_bind_int64(q, 6, first8(id));
    bind_blob(q, 7, r->envelope.data, r->envelope.size);
    return run(s, q);
}

enum err client_store_records_cut(struct client_store *s, const struct client_account *a,
                                  uint64_t position)
{
    sqlite3_stmt *q;
    TRY(query(s, Q_RECORD_CUT, &q));
    sqlite3_bind_int64(q, 1, place(a, position));
    sqlite3_bind_int64(q, 2, place(a, POSITION_MAX));
    TRY(run(s, q));
    TRY(query(s, Q_STATE_DROP, &q));
    sqlite3_bind_int64(q, 1, a->number);
    return run(s, q);
}

enum err client_store_records(struct client_store *s, const struct client_account *a,
                              uint64_t from, uint64_t max, client_record_fn *visit,
                              void *context)
{
    sqlite3_stmt *q;
    int rc = sqlite3_prepare_v2(s->db,
                                "SELECT place,idx,lamport,time_ms,balance,envelope FROM "
                                "record WHERE place>=?1 AND"
                                " place<=?2 ORDER BY place LIMIT ?3",
                                -1, &q, NULL);
    if (rc != SQLITE_OK)
        return failed(s, rc);
    sqlite3_bind_int64(q, 1, place(a, from));
    sqlite3_bind_int64(q, 2, place(a, POSITION_MAX));
    sqlite3_bind_int64(q, 3, max ? (int64_t)max : -1);
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        struct record r = {.slot = a->slot};
        r.position = column_u64(q, 0) & POSITION_MAX;
        r.index = column_u64(q, 1);
        r.hub_lamport = column_u64(q, 2);
        r.hub_time_ms = column_u64(q, 3);
        r.envelope =
            bytes_of(sqlite3_column_blob(q, 5), (size_t)sqlite3_column_bytes(q, 5));
        if (!visit(context, &r, sqlite3_column_int64(q, 4)))
            break;
    }
    sqlite3_finalize(q);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? ERR_OK : failed(s, rc);
}

enum err client_store_record_find(struct client_store *s, const struct hash *id,
                                  struct client_account *a, uint64_t *position)
{
    sqlite3_stmt *q;
    TRY(query(s, Q_RECORD_FIND, &q));
    sqlite3_bind_int64(q, 1, first8(id));
    int rc;
    int64_t found = -1;
    while (found < 0 && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        struct entry e;
        if (entry_decode(&e, sqlite3_column_blob(q, 1),
                         (size_t)sqlite3_column_bytes(q, 1)) == ERR_OK &&
            hash_equal(&e.id, id))
            found = sqlite3_column_int64(q, 0);
    }
    sqlite3_reset(q);
    if (found < 0)
        return ERR_NOT_FOUND;
    *position = (uint64_t)found & POSITION_MAX;
    TRY(query(s, Q_ACCOUNT_NUMBER, &q));
    sqlite3_bind_int64(q, 1, (int64_t)((uint64_t)found >> POSITION_BITS));
    return read_account(s, q, a);
}

/* ---- states, notes, evidence ---------------------------------------------------------
 */

enum err client_store_state_save(struct client_store *s, const struct client_account *a,
                                 struct bytes state)
{
    sqlite3_stmt *q;
    if (faulty(s, "state"))
        return ERR_FILE;
    TRY(query(s, Q_STATE_SAVE, &q));
    sqlite3_bind_int64(q, 1, a->number);
    bind_blob(q, 2, state.data, state.size);
    return run(s, q);
}

enum err client_store_state_load(struct client_store *s, const struct client_account *a,
                                 struct bytes *state)
{
    sqlite3_stmt *q;
    TRY(query(s, Q_STATE_LOAD, &q));
    sqlite3_bind_int64(q, 1, a->number);
    TRY(row(s, q));
    enum err e = hold(s, 0, q, 0, state);
    sqlite3_reset(q);
    return e;
}

enum err client_store_note_save(struct client_store *s, uint32_t slot, uint64_t size,
                                struct bytes note, uint64_t now_ms)
{
    sqlite3_stmt *q;
    TRY(query(s, Q_NOTE_SAVE, &q));
    sqlite3_bind_int64(q, 1, slot);
    bind_u64(q, 2, size);
    bind_blob(q, 3, note.data, note.size);
    bind_u64(q, 4, now_ms);
    return run(s, q);
}

enum err client_store_note_load(struct client_store *s, uint32_t slot, struct bytes *note,
                                uint64_t *seen_ms)
{
    sqlite3_stmt *q;
    TRY(query(s, Q_NOTE_LOAD, &q));
    sqlite3_bind_int64(q, 1, slot);
    TRY(row(s, q));
    *seen_ms = column_u64(q, 1);
    enum err e = hold(s, 0, q, 0, note);
    sqlite3_reset(q);
    return e;
}

enum err client_store_evidence_save(struct client_store *s,
                                    const struct client_evidence *e)
{
    sqlite3_stmt *q;
    TRY(query(s, Q_EVIDENCE_SAVE, &q));
    sqlite3_bind_int64(q, 1, e->slot);
    bind_u64(q, 2, e->at_ms);
    bind_blob(q, 3, e->known.data, e->known.size);
    bind_blob(q, 4, e->shown.data, e->shown.size);
    bind_blob(q, 5, e->what.data, e->what.size);
    return run(s, q);
}

enum err client_store_evidence_at(struct client_store *s, unsigned i,
                                  struct client_evidence *out)
{
    sqlite3_stmt *q;
    TRY(query(s, Q_EVIDENCE_AT, &q));
    sqlite3_bind_int64(q, 1, i);
    TRY(row(s, q));
    out->slot = (uint32_t)sqlite3_column_int64(q, 0);
    out->at_ms = column_u64(q, 1);
    enum err e = hold(s, 0, q, 2, &out->known);
    if (e == ERR_OK)
        e = hold(s, 1, q, 3, &out->shown);
    if (e == ERR_OK)
        e = hold(s, 2, q, 4, &out->what);
    sqlite3_reset(q);
    return e;
}

/* ---- outgoing ------------------------------------------------------------------------
 */

#define FLAG_HUBS_WORD 1
#define FLAG_BOUNCED 2
#define STATES_OPEN 7u /* states below 3: what the partial index covers */

static int flags_of(const struct client_outgoing *o)
{
    return (o->hubs_word ? FLAG_HUBS_WORD : 0) | (o->bounced ? FLAG_BOUNCED : 0);
}

enum err client_store_outgoing_add(struct client_store *s, struct client_outgoing *o)
{
    sqlite3_stmt *q;
    if (faulty(s, "save"))
        return ERR_FILE;
    TRY(query(s, Q_OUT_ADD, &q));
    bind_blob(q, 1, o->id.b, HASH_BYTES);
    bind_blob(q, 2, o->account.b, HASH_BYTES);
    sqlite3_bind_int64(q, 3, o->slot);
    sqlite3_bind_int(q, 4, (int)o->state);
    sqlite3_bind_int64(q, 5, o->code);
    bind_u64(q, 6, o->seq);
    bind_u64(q, 7, o->index);
    bind_u64(q, 8, o->position);
    bind_u64(q, 9, o->hub_lamport);
    bind_u64(q, 10, o->hub_time_ms);
    bind_u64(q, 11, o->tree_size);
    sqlite3_bind_int64(q, 12, o->payees);
    sqlite3_bind_int64(q, 13, o->left);
    sqlite3_bind_int(q, 14, flags_of(o));
    bind_u64(q, 15, o->saved_ms);
    if (o->request.size)
        sqlite3_bind_text(q, 16, (const char *)o->request.data, (int)o->request.size,
                          SQLITE_STATIC);
    bind_blob(q, 17, o->envelope.data, o->envelope.size);
    if (o->sealed.size)
        bind_blob(q, 18, o->sealed.data, o->sealed.size);
    TRY(run(s, q));
    o->number = sqlite3_last_insert_rowid(s->db);
    return ERR_OK;
}

enum err client_store_outgoing_put(struct client_store *s,
                                   const struct client_outgoing *o)
{
    sqlite3_stmt *q;
    if (faulty(s, "update"))
        return ERR_FILE;
    TRY(query(s, Q_OUT_PUT, &q));
    bind_blob(q, 1, o->id.b, HASH_BYTES);
    sqlite3_bind_int(q, 2, (int)o->state);
    sqlite3_bind_int64(q, 3, o->code);
    bind_u64(q, 4, o->index);
    bind_u64(q, 5, o->position);
    bind_u64(q, 6, o->hub_lamport);
    bind_u64(q, 7, o->hub_time_ms);
    bind_u64(q, 8, o->tree_size);
    sqlite3_bind_int64(q, 9, o->payees);
    sqlite3_bind_int64(q, 10, o->left);
    sqlite3_bind_int(q, 11, flags_of(o));
    if (o->sealed.size)
        bind_blob(q, 12, o->sealed.data, o->sealed.size);
    return run(s, q);
}

static enum err read_outgoing(struct client_store *s, sqlite3_stmt *q,
                              struct client_outgoing *o)
{
    TRY(row(s, q));
    memset(o, 0, sizeof(*o));
    o->number = sqlite3_column_int64(q, 0);
    bool ok = column_hash(q, 1, &o->id) && column_hash(q, 2, &o->account);
    o->slot = (uint32_t)sqlite3_column_int64(q, 3);
    o->state = (enum client_state)sqlite3_column_int(q, 4);
    o->code = (uint32_t)sqlite3_column_int64(q, 5);
    o->seq = column_u64(q, 6);
    o->index = column_u64(q, 7);
    o->position = column_u64(q, 8);
    o->hub_lamport = column_u64(q, 9);
    o->hub_time_ms = column_u64(q, 10);
    o->tree_size = column_u64(q, 11);
    o->payees = (uint32_t)sqlite3_column_int64(q, 12);
    o->left = (uint32_t)sqlite3_column_int64(q, 13);
    int flags = sqlite3_column_int(q, 14);
    o->hubs_word = (flags & FLAG_HUBS_WORD) != 0;
    o->bounced = (flags & FLAG_BOUNCED) != 0;
    o->saved_ms = column_u64(q, 15);
    enum err e = hold(s, 0, q, 16, &o->request);
    if (e == ERR_OK)
        e = hold(s, 1, q, 17, &o->envelope);
    if (e == ERR_OK)
        e = hold(s, 2, q, 18, &o->sealed);
    sqlite3_reset(q);
    if (e == ERR_OK && (!ok || o->state > CLIENT_DROPPED))
        return damaged(s->path, s->why, "row of a saved entry");
    return e;
}

enum err client_store_outgoing_find(struct client_store *s, const struct hash *id,
                                    struct client_outgoing *out)
{
    sqlite3_stmt *q;
    TRY(query(s, Q_OUT_FIND, &q));
    bind_blob(q, 1, id->b, HASH_BYTES);
    return read_outgoing(s, q, out);
}

enum err client_store_outgoing_request(struct client_store *s, const char *request,
                                       struct client_outgoing *out)
{
    sqlite3_stmt *q;
    TRY(query(s, Q_OUT_REQUEST, &q));
    sqlite3_bind_text(q, 1, request, -1, SQLITE_STATIC);
    return read_outgoing(s, q, out);
}

enum err client_store_outgoing_next(struct client_store *s, const struct hash *account,
                                    int64_t after, unsigned states, bool newest,
                                    struct client_outgoing *out)
{
    sqlite3_stmt *q;
    bool open = (states & ~STATES_OPEN) == 0;
    TRY(query(s, newest ? Q_OUT_LAST : open ? Q_OUT_OPEN : Q_OUT_NEXT, &q));
    sqlite3_bind_int64(q, 1, newest && after == 0 ? INT64_MAX : after);
    sqlite3_bind_int64(q, 2, states);
    if (account)
        bind_blob(q, 3, account->b, HASH_BYTES);
    return read_outgoing(s, q, out);
}

enum err client_store_outgoing_sealed(struct client_store *s, const struct hash *account,
                                      int64_t after, struct client_outgoing *out)
{
    sqlite3_stmt *q;
    TRY(query(s, Q_OUT_SEALED, &q));
    sqlite3_bind_int64(q, 1, after);
    if (account)
        bind_blob(q, 2, account->b, HASH_BYTES);
    return read_outgoing(s, q, out);
}

enum err client_store_outgoing_count(struct client_store *s, unsigned states,
                                     uint64_t *count)
{
    sqlite3_stmt *q;
    TRY(query(s, (states & ~STATES_OPEN) == 0 ? Q_OUT_COUNT_OPEN : Q_OUT_COUNT, &q));
    sqlite3_bind_int64(q, 1, states);
    TRY(row(s, q));
    *count = column_u64(q, 0);
    sqlite3_reset(q);
    return ERR_OK;
}

enum err client_store_outgoing_drop(struct client_store *s, const struct hash *id)
{
    sqlite3_stmt *q;
    TRY(query(s, Q_OUT_DROP, &q));
    bind_blob(q, 1, id->b, HASH_BYTES);
    return run(s, q);
}
