/* An export's SQLite file. One handle a slot, so that slots are read at the same time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "client/audit/export.h"
#include "client/audit/source_export.h"

#define VALUE_BYTES_MAX (1 << 20)
#define READ                                                                               \
    "SELECT idx, position, account, id, head, hub_lamport, hub_time_ms, leaf, envelope,"    \
    " kind FROM record WHERE slot = ? AND idx >= ? ORDER BY idx"

struct sqlite {
    struct audit_source base;
    char *path;
    sqlite3 *db; /* for slots and checkpoints */
    struct one {
        sqlite3 *db;
        sqlite3_stmt *read;
    } slot[SLOTS_MAX];
    char where[SLOTS_MAX][AUDIT_WHY_MAX];
};

static struct sqlite *sqlite_of(struct audit_source *s)
{
    return (struct sqlite *)(void *)s;
}

static const char *where_of(const struct audit_source *s, uint32_t slot)
{
    return ((const struct sqlite *)(const void *)s)->where[slot];
}

static void close_sqlite(struct audit_source *base)
{
    struct sqlite *s = sqlite_of(base);
    for (size_t i = 0; i < SLOTS_MAX; i++) {
        (void)sqlite3_finalize(s->slot[i].read);
        (void)sqlite3_close(s->slot[i].db);
    }
    (void)sqlite3_close(s->db);
    free(s->path);
    free(s);
}

static enum err told(const struct sqlite *s, sqlite3 *db, int rc, char why[AUDIT_WHY_MAX])
{
    snprintf(why, AUDIT_WHY_MAX, "%.200s: %.150s", s->path,
             db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
    switch (rc & 0xff) {
    case SQLITE_NOMEM:
        return ERR_MEMORY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR:
        return ERR_CORRUPT;
    default:
        return ERR_FILE;
    }
}

static enum err slots_of(struct audit_source *base, uint32_t out[], size_t *count)
{
    struct sqlite *s = sqlite_of(base);
    sqlite3_stmt *q = NULL;
    *count = 0;
    int rc = sqlite3_prepare_v2(s->db, "SELECT slot FROM slot ORDER BY slot", -1, &q, NULL);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(q);
        sqlite3_int64 v = rc == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
        if (rc == SQLITE_ROW && v >= 0 && v < SLOTS_MAX && *count < SLOTS_MAX)
            out[(*count)++] = (uint32_t)v;
    }
    (void)sqlite3_finalize(q);
    return rc == SQLITE_DONE ? ERR_OK : told(s, s->db, rc, s->where[0]);
}

static enum err checkpoint_of(struct audit_source *base, uint32_t slot, struct buf *note)
{
    struct sqlite *s = sqlite_of(base);
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(s->db, "SELECT checkpoint FROM slot WHERE slot = ?", -1, &q,
                                NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(q, 1, slot);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    enum err e = ERR_NOT_FOUND;
    if (rc == SQLITE_ROW) {
        const void *text = sqlite3_column_blob(q, 0);
        int size = sqlite3_column_bytes(q, 0);
        e = text && size <= NOTE_BYTES_MAX ? ERR_OK : ERR_CORRUPT;
        if (e == ERR_OK && !buf_add(note, text, (size_t)size))
            e = ERR_MEMORY;
    } else if (rc != SQLITE_DONE) {
        e = told(s, s->db, rc, s->where[slot]);
    }
    (void)sqlite3_finalize(q);
    return e;
}

/* The file is somebody else's: nothing in its schema is to run, and no value is longer than ours
 * can be. */
static int open_file(const char *path, sqlite3 **db)
{
    int rc = sqlite3_open_v2(path, db, SQLITE_OPEN_READONLY, NULL);
    if (rc != SQLITE_OK)
        return rc;
    (void)sqlite3_db_config(*db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(*db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void)sqlite3_db_config(*db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    (void)sqlite3_limit(*db, SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX);
    return SQLITE_OK;
}

static enum err statement(struct sqlite *s, uint32_t slot)
{
    struct one *o = &s->slot[slot];
    int rc = SQLITE_OK;
    if (!o->db)
        rc = open_file(s->path, &o->db);
    if (rc == SQLITE_OK && !o->read)
        rc = sqlite3_prepare_v2(o->db, READ, -1, &o->read, NULL);
    return rc == SQLITE_OK ? ERR_OK : told(s, o->db, rc, s->where[slot]);
}

static bool blob(sqlite3_stmt *q, int column, void *out, size_t size)
{
    if (sqlite3_column_type(q, column) != SQLITE_BLOB ||
        sqlite3_column_bytes(q, column) != (int)size)
        return false;
    memcpy(out, sqlite3_column_blob(q, column), size);
    return true;
}

static bool number(sqlite3_stmt *q, int column, uint64_t *out)
{
    sqlite3_int64 v = sqlite3_column_int64(q, column);
    *out = (uint64_t)v;
    return sqlite3_column_type(q, column) == SQLITE_INTEGER && v >= 0;
}

static bool envelope(sqlite3_stmt *q, struct audit_record *out, struct buf *room)
{
    if (sqlite3_column_type(q, 8) == SQLITE_NULL)
        return true;
    int size = sqlite3_column_bytes(q, 8);
    if (sqlite3_column_type(q, 8) != SQLITE_BLOB || size <= 0 || size > ENVELOPE_BYTES_MAX ||
        !buf_add(room, sqlite3_column_blob(q, 8), (size_t)size))
        return false;
    out->has |= AUDIT_HAS_ENVELOPE;
    out->r.envelope.size = (size_t)size;
    return true;
}

/* Columns as they are stored; what is of a wrong form is damage. */
static void take(sqlite3_stmt *q, uint32_t slot, struct audit_record *out, struct buf *room)
{
    memset(out, 0, sizeof(*out));
    out->r.slot = slot;
    out->r.index = (uint64_t)sqlite3_column_int64(q, 0);
    out->file = "table record";
    out->offset = out->r.index;
    bool ok = number(q, 0, &out->r.index) && blob(q, 7, out->leaf, LEAF_BYTES) &&
              blob(q, 4, out->r.account_head.b, HASH_BYTES) &&
              number(q, 5, &out->r.hub_lamport) && number(q, 6, &out->r.hub_time_ms);
    if (ok)
        out->has |= AUDIT_HAS_LEAF | AUDIT_HAS_HEAD | AUDIT_HAS_CLOCKS;
    if (sqlite3_column_type(q, 1) != SQLITE_NULL) {
        ok = number(q, 1, &out->r.position) && ok;
        out->has |= AUDIT_HAS_POSITION;
    }
    if (sqlite3_column_type(q, 2) != SQLITE_NULL) {
        ok = blob(q, 2, out->account.b, HASH_BYTES) && blob(q, 3, out->id.b, HASH_BYTES) && ok;
        out->has |= AUDIT_HAS_ACCOUNT | AUDIT_HAS_ID;
    }
    ok = envelope(q, out, room) && ok;
    if (!ok)
        out->damage = "a column has a wrong type or size";
}

static enum err read_records(struct audit_source *base, uint32_t slot, uint64_t from,
                             tree_size size, struct audit_record out[], size_t max,
                             size_t *count, void **hold)
{
    struct sqlite *s = sqlite_of(base);
    *count = 0;
    *hold = NULL;
    if (from >= size)
        return ERR_OK;
    TRY(statement(s, slot));
    struct buf *room = calloc(1, sizeof(*room));
    if (!room)
        return ERR_MEMORY;
    sqlite3_stmt *q = s->slot[slot].read;
    (void)sqlite3_bind_int64(q, 1, slot);
    (void)sqlite3_bind_int64(q, 2, (sqlite3_int64)from);
    int rc = SQLITE_ROW;
    while (*count < max && (rc = sqlite3_step(q)) == SQLITE_ROW &&
           (uint64_t)sqlite3_column_int64(q, 0) < size)
        take(q, slot, &out[(*count)++], room);
    enum err e = ERR_OK;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE && *count == 0)
        e = told(s, s->slot[slot].db, rc, s->where[slot]);
    (void)sqlite3_reset(q);
    if (e != ERR_OK || *count == 0) {
        buf_close(room);
        free(room);
        return e;
    }
    size_t at = 0;
    for (size_t i = 0; i < *count; i++) {
        out[i].r.envelope.data = out[i].r.envelope.size ? room->data + at : NULL;
        at += out[i].r.envelope.size;
    }
    *hold = room;
    return ERR_OK;
}

static void release(struct audit_source *s, void *hold)
{
    struct buf *room = hold;
    (void)s;
    if (room)
        buf_close(room);
    free(room);
}

static const struct audit_source_ops ops = {.where = where_of,
                                            .close = close_sqlite,
                                            .slots = slots_of,
                                            .checkpoint = checkpoint_of,
                                            .read = read_records,
                                            .release = release};

/* Whole, and of this version? */
static enum err check_form(struct sqlite *s, char why[AUDIT_WHY_MAX])
{
    sqlite3_stmt *q = NULL;
    bool known = false, complete = false;
    int rc = sqlite3_prepare_v2(s->db, "SELECT key, value FROM export", -1, &q, NULL);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(q);
        if (rc != SQLITE_ROW)
            break;
        const char *key = (const char *)sqlite3_column_text(q, 0);
        const char *value = (const char *)sqlite3_column_text(q, 1);
        if (!key || !value)
            continue;
        known = known || (strcmp(key, "schema") == 0 && strcmp(value, EXPORT_SCHEMA) == 0);
        complete = complete || strcmp(key, "complete") == 0;
    }
    (void)sqlite3_finalize(q);
    if (rc != SQLITE_DONE)
        return told(s, s->db, rc, why);
    if (!known) {
        snprintf(why, AUDIT_WHY_MAX, "%.200s: not an export of schema %s", s->path,
                 EXPORT_SCHEMA);
        return ERR_SCHEMA;
    }
    if (!complete) {
        snprintf(why, AUDIT_WHY_MAX, "%.200s: the export was cut before its end", s->path);
        return ERR_CORRUPT;
    }
    return ERR_OK;
}

enum err audit_source_export_sqlite(struct audit_source **out, const char *path,
                                    char why[AUDIT_WHY_MAX])
{
    struct sqlite *s = calloc(1, sizeof(*s));
    *out = NULL;
    if (!s)
        return ERR_MEMORY;
    s->base.ops = &ops;
    s->base.kind = "export";
    s->path = strdup(path);
    enum err e = s->path ? ERR_OK : ERR_MEMORY;
    if (e == ERR_OK) {
        int rc = open_file(path, &s->db);
        e = rc == SQLITE_OK ? check_form(s, why) : told(s, s->db, rc, why);
    }
    if (e != ERR_OK) {
        close_sqlite(&s->base);
        return e;
    }
    *out = &s->base;
    return ERR_OK;
}
