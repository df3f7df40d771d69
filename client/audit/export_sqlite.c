/* An export as one SQLite file: tables export, slot, record, movement. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "client/audit/export.h"

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

static const char schema[] =
    "PRAGMA application_id = " TEXT(EXPORT_APPLICATION_ID) ";"
    "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN;"
    "CREATE TABLE export(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE slot(slot INTEGER PRIMARY KEY, origin TEXT NOT NULL, size INTEGER NOT NULL,"
    " root BLOB NOT NULL, checkpoint TEXT NOT NULL, withheld INTEGER NOT NULL DEFAULT 0);"
    "CREATE TABLE record(slot INTEGER NOT NULL, idx INTEGER NOT NULL, position INTEGER,"
    " account BLOB, id BLOB, head BLOB NOT NULL, hub_lamport INTEGER NOT NULL,"
    " hub_time_ms INTEGER NOT NULL, leaf BLOB NOT NULL, envelope BLOB, kind TEXT NOT NULL,"
    " PRIMARY KEY(slot, idx)) WITHOUT ROWID;"
    "CREATE TABLE movement(slot INTEGER NOT NULL, idx INTEGER NOT NULL, n INTEGER NOT NULL,"
    " source TEXT NOT NULL, destination TEXT NOT NULL, amount INTEGER NOT NULL,"
    " PRIMARY KEY(slot, idx, n)) WITHOUT ROWID;";

struct sqlite {
    sqlite3 *db;
    sqlite3_stmt *record, *movement;
};

static enum err told(int rc)
{
    if (rc == SQLITE_OK || rc == SQLITE_DONE)
        return ERR_OK;
    if (rc == SQLITE_NOMEM)
        return ERR_MEMORY;
    return rc == SQLITE_FULL ? ERR_STORE_FULL : ERR_FILE;
}

static enum err run(sqlite3_stmt *q)
{
    int rc = sqlite3_step(q);
    (void)sqlite3_reset(q);
    (void)sqlite3_clear_bindings(q);
    return told(rc);
}

static enum err set(struct sqlite *s, const char *key, const char *value)
{
    sqlite3_stmt *q = NULL;
    TRY(told(sqlite3_prepare_v2(s->db, "INSERT INTO export VALUES(?, ?)", -1, &q, NULL)));
    (void)sqlite3_bind_text(q, 1, key, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(q, 2, value, -1, SQLITE_STATIC);
    enum err e = run(q);
    (void)sqlite3_finalize(q);
    return e;
}

static enum err put_slots(struct sqlite *s, const struct export_head *h)
{
    sqlite3_stmt *q = NULL;
    enum err e = told(sqlite3_prepare_v2(
        s->db, "INSERT INTO slot(slot, origin, size, root, checkpoint) VALUES(?, ?, ?, ?, ?)",
        -1, &q, NULL));
    for (size_t i = 0; i < h->slot_count && e == ERR_OK; i++) {
        const struct export_slot *t = &h->slot[i];
        (void)sqlite3_bind_int64(q, 1, t->slot);
        (void)sqlite3_bind_text(q, 2, t->origin, -1, SQLITE_STATIC);
        (void)sqlite3_bind_int64(q, 3, (sqlite3_int64)t->checkpoint.size);
        (void)sqlite3_bind_blob(q, 4, t->checkpoint.root.b, HASH_BYTES, SQLITE_STATIC);
        (void)sqlite3_bind_text(q, 5, (const char *)t->note.data, (int)t->note.size,
                                SQLITE_STATIC);
        e = run(q);
    }
    (void)sqlite3_finalize(q);
    return e;
}

static enum err begin(void *context, const struct export_head *h)
{
    struct sqlite *s = context;
    char policy[2 * HASH_BYTES + 1], scale[12];
    hex_encode(policy, h->policy.b, HASH_BYTES);
    snprintf(scale, sizeof(scale), "%d", EXPORT_SCALE);
    TRY(set(s, "schema", EXPORT_SCHEMA));
    TRY(set(s, "verified", h->verified ? "true" : "false"));
    TRY(set(s, "policy", policy));
    TRY(set(s, "scale", scale));
    TRY(set(s, "unit", EXPORT_UNIT));
    return put_slots(s, h);
}

static enum err put_moves(struct sqlite *s, const struct export_record *r)
{
    for (size_t i = 0; i < r->move_count; i++) {
        char from[EXPORT_PLACE_MAX], to[EXPORT_PLACE_MAX];
        export_place_text(&r->moves[i].from, from);
        export_place_text(&r->moves[i].to, to);
        (void)sqlite3_bind_int64(s->movement, 1, r->slot);
        (void)sqlite3_bind_int64(s->movement, 2, (sqlite3_int64)r->index);
        (void)sqlite3_bind_int64(s->movement, 3, (sqlite3_int64)i);
        (void)sqlite3_bind_text(s->movement, 4, from, -1, SQLITE_STATIC);
        (void)sqlite3_bind_text(s->movement, 5, to, -1, SQLITE_STATIC);
        (void)sqlite3_bind_int64(s->movement, 6, r->moves[i].amount);
        TRY(run(s->movement));
    }
    return ERR_OK;
}

static enum err record(void *context, const struct export_record *r)
{
    struct sqlite *s = context;
    sqlite3_stmt *q = s->record;
    struct hash head = export_head(r);
    (void)sqlite3_bind_int64(q, 1, r->slot);
    (void)sqlite3_bind_int64(q, 2, (sqlite3_int64)r->index);
    if (r->has_position)
        (void)sqlite3_bind_int64(q, 3, (sqlite3_int64)r->position);
    if (r->readable) {
        (void)sqlite3_bind_blob(q, 4, r->account.b, HASH_BYTES, SQLITE_STATIC);
        (void)sqlite3_bind_blob(q, 5, r->id.b, HASH_BYTES, SQLITE_STATIC);
    }
    (void)sqlite3_bind_blob(q, 6, head.b, HASH_BYTES, SQLITE_STATIC);
    (void)sqlite3_bind_int64(q, 7, (sqlite3_int64)export_lamport(r));
    (void)sqlite3_bind_int64(q, 8, (sqlite3_int64)export_time_ms(r));
    (void)sqlite3_bind_blob(q, 9, r->leaf, LEAF_BYTES, SQLITE_STATIC);
    if (r->envelope.size)
        (void)sqlite3_bind_blob(q, 10, r->envelope.data, (int)r->envelope.size,
                                SQLITE_STATIC);
    (void)sqlite3_bind_text(q, 11, r->kind, -1, SQLITE_STATIC);
    TRY(run(q));
    return put_moves(s, r);
}

static enum err end(void *context, const struct export_head *h)
{
    struct sqlite *s = context;
    sqlite3_stmt *q = NULL;
    enum err e = told(sqlite3_prepare_v2(
        s->db, "UPDATE slot SET withheld = ? WHERE slot = ?", -1, &q, NULL));
    for (size_t i = 0; i < h->slot_count && e == ERR_OK; i++) {
        (void)sqlite3_bind_int64(q, 1, (sqlite3_int64)h->slot[i].withheld);
        (void)sqlite3_bind_int64(q, 2, h->slot[i].slot);
        e = run(q);
    }
    (void)sqlite3_finalize(q);
    /* The manifest of this format: a file without it was cut short. */
    TRY(e);
    TRY(set(s, "complete", "true"));
    return told(sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL));
}

enum err export_sqlite_open(struct export_writer *w, const char *path,
                            char why[AUDIT_WHY_MAX])
{
    struct sqlite *s = calloc(1, sizeof(*s));
    memset(w, 0, sizeof(*w));
    if (!s)
        return ERR_MEMORY;
    *w = (struct export_writer){s, begin, record, end};
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) {
        snprintf(why, AUDIT_WHY_MAX, "%.200s: %s", path, strerror(errno));
        return errno == EEXIST ? ERR_EXISTS : ERR_FILE;
    }
    close(fd);
    int rc = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(s->db, schema, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(
            s->db, "INSERT INTO record VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", -1,
            &s->record, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(s->db, "INSERT INTO movement VALUES(?, ?, ?, ?, ?, ?)", -1,
                                &s->movement, NULL);
    if (rc != SQLITE_OK)
        snprintf(why, AUDIT_WHY_MAX, "%.200s: %.150s", path,
                 s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc));
    return told(rc);
}

void export_sqlite_close(struct export_writer *w)
{
    struct sqlite *s = w->context;
    if (!s)
        return;
    (void)sqlite3_finalize(s->record);
    (void)sqlite3_finalize(s->movement);
    (void)sqlite3_close(s->db);
    free(s);
    memset(w, 0, sizeof(*w));
}
