/* Making a ledger file, and opening one that must be there and whole. */
#include "ledger/store_sqlite.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/key.h"
#include "ledger/failpoint.h"

#define HEADER_BYTES                                                                     \
    100 /* of an SQLite file; https://www.sqlite.org/fileformat.html 1.3 */
#define FILE_MODE 0600

static const char schema[] =
    "CREATE TABLE ledger(one INTEGER PRIMARY KEY CHECK(one=1), id BLOB NOT NULL,"
    " federation BLOB NOT NULL, hub TEXT NOT NULL, slots INTEGER NOT NULL) STRICT;"
    "CREATE TABLE slot(slot INTEGER PRIMARY KEY, epoch INTEGER NOT NULL,"
    " size INTEGER NOT NULL, edges BLOB NOT NULL, checkpoint BLOB NOT NULL) STRICT;"
    "CREATE TABLE tile(key INTEGER PRIMARY KEY, sum INTEGER NOT NULL, root BLOB NOT NULL,"
    " hashes BLOB NOT NULL) STRICT;"
    "CREATE TABLE outbox(key INTEGER PRIMARY KEY, last INTEGER NOT NULL,"
    " sum INTEGER NOT NULL, items BLOB NOT NULL) STRICT;"
    "CREATE TABLE snapshot(key INTEGER PRIMARY KEY, parts INTEGER NOT NULL,"
    " size INTEGER NOT NULL, data BLOB NOT NULL) STRICT;"
    "CREATE TABLE sealed(entry BLOB PRIMARY KEY, data BLOB NOT NULL) STRICT;";

static const struct store_identity *identity(struct store *base)
{
    return &sqlite_of(base)->identity;
}

static void close_store(struct store *base)
{
    struct sqlite_store *s = sqlite_of(base);
    if (s->index_ready)
        sqlite_index_close(s);
    for (size_t i = 0; i < SLOTS_MAX; i++)
        sqlite3_finalize(s->insert[i]);
    /* A suspect file is left as it is: recovery reads it, nothing is written to it. */
    if (s->db != NULL && atomic_load(&s->broken))
        (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    FP("close.ledger");
    sqlite_disconnect(s->checkpointer, NULL, 0);
    sqlite_disconnect(s->db, s->statement, W_STATEMENTS);
    FP_DONE("close.ledger");
    if (s->locks_ready) {
        pthread_mutex_destroy(&s->commit);
        pthread_mutex_destroy(&s->upkeep);
    }
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    buf_close(&s->room);
    free(s->path);
    free(s);
}

static const struct store_ops ops = {
    .close = close_store,
    .identity = identity,
    .claim = sqlite_claim,
    .slot = sqlite_slot,
    .append = sqlite_append,
    .outbox = sqlite_outbox,
    .snapshot_save = sqlite_snapshot_save,
    .snapshot_load = sqlite_snapshot_load,
    .snapshot_drop = sqlite_snapshot_drop,
    .sealed_put = sqlite_sealed_put,
    .sealed_erase = sqlite_sealed_erase,
    .free_bytes = sqlite_free_bytes,
    .maintain = sqlite_maintain,
    .reader_open = sqlite_reader_open,
};

/* A path SQLite cannot take for a name of its own (":memory:"). */
static char *plain_path(const char *rest)
{
    if (rest[0] == '/' || rest[0] == '.')
        return sqlite_path(rest, "");
    return sqlite_path("./", rest);
}

static enum err file_error(struct store_why *why, const char *path, const char *what)
{
    enum err e = errno == ENOSPC || errno == EDQUOT ? ERR_STORE_FULL : ERR_FILE;
    store_why_set(why, "%s: %s: %s", path, what, strerror(errno));
    return e;
}

static enum err sync_folder(const char *path)
{
    char *folder = sqlite_path(path, "");
    if (folder == NULL)
        return ERR_MEMORY;
    char *slash = strrchr(folder, '/');
    assert(slash != NULL); /* plain_path */
    slash[slash == folder ? 1 : 0] = '\0';
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    bool ok = fd >= 0 && FP_STEP("create.folder", fsync(fd) == 0);
    if (fd >= 0)
        close(fd);
    return ok ? ERR_OK : ERR_FILE;
}

/* One process at a time. The lock file stays for ever: removing it would let two in. */
static enum err lock(const char *path, int *fd, struct store_why *why)
{
    char *name = sqlite_path(path, ".lock");
    if (name == NULL)
        return ERR_MEMORY;
    enum err e = ERR_OK;
    *fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    if (*fd < 0) {
        e = file_error(why, name, "cannot be opened");
    } else if (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        e = ERR_LOCKED;
        store_why_set(why, "%s: another process has this ledger open", path);
        close(*fd);
        *fd = -1;
    }
    free(name);
    return e;
}

static enum err write_identity(sqlite3 *db, const struct store_identity *id)
{
    sqlite3_stmt *q = NULL;
    uint8_t ledger_id[LEDGER_ID_BYTES];
    random_bytes(ledger_id, sizeof ledger_id);
    TRY(sqlite_prepare(db, "INSERT INTO ledger VALUES(1,?1,?2,?3,?4)", &q));
    sqlite3_bind_blob(q, 1, ledger_id, sizeof ledger_id, SQLITE_STATIC);
    sqlite3_bind_blob(q, 2, id->federation.b, HASH_BYTES, SQLITE_STATIC);
    sqlite3_bind_text(q, 3, id->hub, -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 4, id->slots);
    enum err e = sqlite_run(db, q);
    sqlite3_finalize(q);
    return e;
}

/* Records of a slot have a table of their own, so that every table grows at its end only
 * and its pages are filled. */
static enum err write_slots(sqlite3 *db, uint32_t slots)
{
    for (uint32_t i = 0; i < slots; i++) {
        char sql[320];
        snprintf(
            sql, sizeof sql,
            "INSERT INTO slot VALUES(%u,0,0,x'',x'');"
            "CREATE TABLE record_%u(idx INTEGER PRIMARY KEY, position INTEGER NOT NULL,"
            " sum INTEGER NOT NULL, account BLOB, leaf BLOB NOT NULL,"
            " envelope BLOB NOT NULL) STRICT",
            (unsigned)i, (unsigned)i);
        TRY(sqlite_exec(db, sql));
    }
    return ERR_OK;
}

static enum err fill(sqlite3 *db, const struct store_identity *id)
{
    char sql[200];
    snprintf(sql, sizeof sql,
             "PRAGMA page_size=%d;PRAGMA application_id=%d;PRAGMA user_version=%d",
             STORE_PAGE_BYTES, STOA_APPLICATION_ID, STORE_SCHEMA_VERSION);
    TRY(sqlite_exec(db, sql));
    TRY(sqlite_exec(db, "BEGIN IMMEDIATE"));
    TRY(sqlite_exec(db, schema));
    TRY(write_slots(db, id->slots));
    TRY(write_identity(db, id));
    TRY(sqlite_exec(db, "COMMIT"));
    return sqlite_exec(db, "PRAGMA journal_mode=WAL");
}

/* Made whole under another name and then linked: there is no moment with half a ledger.
 */
static enum err build(const char *path, const char *fresh,
                      const struct store_identity *id, struct store_why *why)
{
    (void)unlink(fresh);
    int fd = open(fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
    if (fd < 0)
        return file_error(why, fresh, "cannot be created");
    close(fd);
    sqlite3 *db = NULL;
    enum err e = sqlite_connect(fresh, SQLITE_MAINTAINER, &db);
    if (e == ERR_OK)
        e = fill(db, id);
    if (db != NULL && sqlite3_close(db) != SQLITE_OK)
        e = ERR_BUG;
    if (e != ERR_OK) {
        store_why_set(why, "%s: cannot be written: %s", fresh, err_text(e));
    } else if (!FP_STEP("create.link", link(fresh, path) == 0)) {
        e = errno == EEXIST ? ERR_EXISTS : ERR_FILE;
        store_why_set(why, "%s: cannot be created: %s", path, strerror(errno));
    } else if ((e = sync_folder(path)) != ERR_OK) {
        store_why_set(why, "%s: its folder cannot be synced", path);
    }
    (void)unlink(fresh);
    return e;
}

static enum err refuse_existing(const char *path, struct store_why *why)
{
    struct stat st;
    if (lstat(path, &st) == 0) {
        store_why_set(why, "%s: there is already a file; nothing was changed", path);
        return ERR_EXISTS;
    }
    char *wal = sqlite_path(path, "-wal");
    if (wal == NULL)
        return ERR_MEMORY;
    bool orphan = lstat(wal, &st) == 0;
    free(wal);
    if (!orphan)
        return ERR_OK;
    store_why_set(why,
                  "%s-wal is there without %s: the ledger was moved or deleted by hand; "
                  "bring it back, or remove %s-wal to start a new one",
                  path, path, path);
    return ERR_EXISTS;
}

enum err sqlite_create(const char *rest, const struct store_identity *id,
                       struct store **out, struct store_why *why)
{
    if (rest[0] == '\0') {
        store_why_set(why, "sqlite: needs a path, as in sqlite:ledger.db");
        return ERR_USAGE;
    }
    char *path = plain_path(rest);
    char *fresh = path == NULL ? NULL : sqlite_path(path, ".new");
    char *index = path == NULL ? NULL : sqlite_path(path, "-index");
    int fd = -1;
    enum err e = fresh == NULL || index == NULL ? ERR_MEMORY : refuse_existing(path, why);
    if (e == ERR_OK)
        e = lock(path, &fd, why);
    if (e == ERR_OK)
        e = refuse_existing(path, why);
    if (e == ERR_OK) {
        (void)unlink(index); /* a cache of a ledger that is gone */
        e = build(path, fresh, id, why);
    }
    if (fd >= 0)
        close(fd);
    free(index);
    free(fresh);
    free(path);
    return e == ERR_OK ? sqlite_open(rest, out, why) : e;
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static enum err corrupt(struct store_why *why, const char *path, const char *what)
{
    store_why_set(why,
                  "%s: %s; it was left as it is, restore it from a backup or a mirror",
                  path, what);
    return ERR_CORRUPT;
}

/* With a write-ahead log beside it the file may lag behind its own header; without one it
 * must have exactly the pages its header counts. */
static enum err inspect_header(const char *path, const uint8_t h[HEADER_BYTES],
                               uint64_t size, bool has_wal, struct store_why *why)
{
    /* A power cut can leave rubbish where page 1 was being copied from the WAL; SQLite then
     * reads it from there. Checked again when the WAL is folded in. */
    if (memcmp(h, "SQLite format 3", 16) != 0 && has_wal)
        return ERR_OK;
    if (memcmp(h, "SQLite format 3", 16) != 0)
        return corrupt(why, path, "is not a ledger (no SQLite header)");
    if (be32(h + 68) != STOA_APPLICATION_ID)
        return corrupt(why, path, "is a database of another program");
    uint32_t version = be32(h + 60);
    if (version > STORE_SCHEMA_VERSION) {
        store_why_set(why,
                      "%s: was written by a newer version (schema %u, this program knows "
                      "%d); nothing was changed",
                      path, (unsigned)version, STORE_SCHEMA_VERSION);
        return ERR_SCHEMA;
    }
    if (version != STORE_SCHEMA_VERSION)
        return corrupt(why, path, "has no schema version");
    if ((uint32_t)(h[16] << 8 | h[17]) != STORE_PAGE_BYTES || h[18] != 2 || h[19] != 2 ||
        h[20] != 0)
        return corrupt(why, path, "has a damaged header");
    uint64_t pages = be32(h + 28);
    if (!has_wal && pages * STORE_PAGE_BYTES != size)
        return corrupt(why, path,
                       size < pages * STORE_PAGE_BYTES
                           ? "is truncated (shorter than its header says)"
                           : "is longer than its header says");
    return ERR_OK;
}

enum err sqlite_inspect(const char *path, struct store_why *why)
{
    char *wal = sqlite_path(path, "-wal");
    if (wal == NULL)
        return ERR_MEMORY;
    struct stat st, wal_st;
    bool has_wal = stat(wal, &wal_st) == 0 && wal_st.st_size > 0;
    free(wal);
    int fd = open(path, O_RDWR | O_CLOEXEC); /* not to write: to learn that one may */
    if (fd < 0 && errno == ENOENT) {
        store_why_set(why, "%s: no ledger there; nothing was created%s", path,
                      has_wal ? " (its -wal file is there: the ledger itself was lost)"
                              : "");
        return ERR_MISSING;
    }
    if (fd < 0 && errno == EISDIR)
        return corrupt(why, path, "is not a file");
    if (fd < 0)
        return file_error(why, path, "cannot be opened");
    uint8_t header[HEADER_BYTES];
    ssize_t got = -1;
    enum err e = ERR_OK;
    if (fstat(fd, &st) != 0 ||
        (S_ISREG(st.st_mode) && (got = pread(fd, header, sizeof header, 0)) < 0))
        e = file_error(why, path, "cannot be read");
    else if (!S_ISREG(st.st_mode))
        e = corrupt(why, path, "is not a file");
    else if (got == 0)
        e = corrupt(why, path, "is empty");
    else if (got < HEADER_BYTES)
        e = corrupt(why, path, "is truncated (no header)");
    else
        e = inspect_header(path, header, (uint64_t)st.st_size, has_wal, why);
    close(fd);
    return e;
}

static enum err load_identity(struct sqlite_store *s)
{
    sqlite3_stmt *q = NULL;
    TRY(sqlite_prepare(s->db, "SELECT id, federation, hub, slots FROM ledger", &q));
    enum err e = sqlite_row(s->db, q);
    const uint8_t *id = NULL, *federation = NULL;
    uint64_t slots = 0;
    if (e == ERR_OK)
        e = sqlite_blob(q, 0, LEDGER_ID_BYTES, &id);
    if (e == ERR_OK)
        e = sqlite_blob(q, 1, HASH_BYTES, &federation);
    if (e == ERR_OK)
        e = sqlite_u64(q, 3, SLOTS_MAX, &slots);
    if (e == ERR_OK) {
        const unsigned char *hub = sqlite3_column_text(q, 2);
        size_t size = (size_t)sqlite3_column_bytes(q, 2);
        if (hub == NULL || size > HUB_NAME_MAX) {
            e = ERR_CORRUPT;
        } else {
            memcpy(s->ledger_id, id, LEDGER_ID_BYTES);
            memcpy(s->identity.federation.b, federation, HASH_BYTES);
            memcpy(s->identity.hub, hub, size);
            s->identity.slots = (uint32_t)slots;
            e = store_identity_ok(&s->identity) ? ERR_OK : ERR_CORRUPT;
        }
    }
    sqlite3_finalize(q);
    return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
}

/* Every slot has its row, and its records end where the row says. */
static enum err check_slots(struct sqlite_store *s)
{
    int64_t rows = 0;
    TRY(sqlite_pragma(s->db, "SELECT count(*) FROM slot", &rows));
    if (rows != (int64_t)s->identity.slots)
        return ERR_CORRUPT;
    for (uint32_t i = 0; i < s->identity.slots; i++) {
        struct store_slot slot;
        int64_t last = 0;
        char sql[80];
        TRY(sqlite_slot(&s->base, i, &slot));
        snprintf(sql, sizeof sql, "SELECT coalesce(max(idx),-1) FROM record_%u",
                 (unsigned)i);
        TRY(sqlite_pragma(s->db, sql, &last));
        if (last + 1 != (int64_t)slot.size)
            return ERR_CORRUPT;
        s->size[i] = slot.size;
    }
    return ERR_OK;
}

/* Fold a WAL that a crash left into the file, so that the file can be measured. A full
 * disk does not keep a ledger from being read. */
static enum err settle(struct sqlite_store *s)
{
    FP("open.settle");
    int rc =
        sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    FP_DONE("open.settle");
    enum err e = sqlite_err(s->db, rc);
    if (e == ERR_STORE_FULL)
        return ERR_OK;
    TRY(e);
    int64_t pages = 0;
    struct stat st;
    TRY(sqlite_pragma(s->db, "PRAGMA page_count", &pages));
    if (stat(s->path, &st) != 0)
        return ERR_IO;
    return st.st_size == pages * STORE_PAGE_BYTES ? ERR_OK : ERR_CORRUPT;
}

/* As SQLite sees it, WAL included; before anything is written to it. */
static enum err check_ours(struct sqlite_store *s)
{
    int64_t id = 0;
    TRY(sqlite_pragma(s->db, "PRAGMA application_id", &id));
    return id == STOA_APPLICATION_ID ? ERR_OK : ERR_CORRUPT;
}

static int on_commit(void *context, sqlite3 *db, const char *name, int pages)
{
    struct sqlite_store *s = context;
    (void)db;
    (void)name;
    atomic_store(&s->wal_pages, (uint_fast64_t)pages);
    return SQLITE_OK;
}

static enum err start(struct sqlite_store *s, struct store_why *why)
{
    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&s->commit, &recursive); /* cannot fail here: glibc's never do */
    pthread_mutex_init(&s->upkeep, NULL);
    pthread_mutexattr_destroy(&recursive);
    s->locks_ready = true;
    TRY(lock(s->path, &s->lock_fd, why));
    TRY(sqlite_inspect(s->path, why));
    enum err e = sqlite_connect(s->path, SQLITE_WRITER, &s->db);
    if (e == ERR_OK)
        e = check_ours(s);
    if (e == ERR_OK)
        e = settle(s);
    if (e == ERR_OK)
        TRY(sqlite_inspect(s->path, why));
    if (e == ERR_OK)
        e = load_identity(s);
    if (e == ERR_OK)
        e = sqlite_writer_prepare(s);
    if (e == ERR_OK)
        e = check_slots(s);
    if (e == ERR_OK)
        e = sqlite_connect(s->path, SQLITE_MAINTAINER, &s->checkpointer);
    if (e == ERR_CORRUPT)
        return corrupt(why, s->path, "is damaged");
    if (e != ERR_OK) {
        store_why_set(why, "%s: cannot be opened: %s", s->path, err_text(e));
        return e;
    }
    sqlite3_wal_hook(s->db, on_commit, s);
    return sqlite_index_open(s, why);
}

enum err sqlite_open(const char *rest, struct store **out, struct store_why *why)
{
    if (rest[0] == '\0') {
        store_why_set(why, "sqlite: needs a path, as in sqlite:ledger.db");
        return ERR_USAGE;
    }
    struct sqlite_store *s = calloc(1, sizeof *s);
    if (s == NULL)
        return ERR_MEMORY;
    s->base.ops = &ops;
    s->lock_fd = -1;
    atomic_init(&s->erased, true); /* a WAL from before a crash may hold erased bytes */
    s->path = plain_path(rest);
    /* Missing is told before a lock file is made beside nothing. */
    struct stat st;
    enum err e = s->path == NULL ? ERR_MEMORY : ERR_OK;
    if (e == ERR_OK && stat(s->path, &st) != 0)
        e = sqlite_inspect(s->path, why);
    if (e == ERR_OK)
        e = start(s, why);
    if (e != ERR_OK) {
        if (why != NULL && why->text[0] == '\0')
            store_why_set(why, "%s: %s", rest, err_text(e));
        atomic_store(&s->broken, true); /* touch nothing on the way out */
        close_store(&s->base);
        return e;
    }
    *out = &s->base;
    return ERR_OK;
}

const struct store_edge store_edge_sqlite = {"sqlite", sqlite_create, sqlite_open};
