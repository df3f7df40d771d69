#include "ledger/store_raw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/store_sqlite.h"

struct store_raw {
    sqlite3 *db;
    sqlite3_stmt *records[SLOTS_MAX];
    uint64_t expected[SLOTS_MAX]; /* where the statement stands */
    bool stepping[SLOTS_MAX];
    sqlite3_stmt *slot, *tile, *identity;
    char problem[200];
};

static enum err failed(struct store_raw *s, int rc)
{
    snprintf(s->problem, sizeof(s->problem), "%s", sqlite3_errmsg(s->db));
    switch (rc & 0xff) {
    case SQLITE_NOMEM:
        return ERR_MEMORY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR: /* a table is missing */
        return ERR_CORRUPT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_STORE;
    default:
        return ERR_IO;
    }
}

static enum err prepared(struct store_raw *s, const char *sql, sqlite3_stmt **q)
{
    if (*q)
        return ERR_OK;
    int rc = sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, q, NULL);
    return rc == SQLITE_OK ? ERR_OK : failed(s, rc);
}

static enum err stepped(struct store_raw *s, sqlite3_stmt *q)
{
    int rc = sqlite3_step(q);
    return rc == SQLITE_ROW ? ERR_OK : rc == SQLITE_DONE ? ERR_NOT_FOUND : failed(s, rc);
}

enum err store_raw_open(struct store_raw **out, const char *path, struct store_why *why)
{
    struct store_raw *s = calloc(1, sizeof(*s));
    *out = NULL;
    if (!s)
        return ERR_MEMORY;
    enum err e = sqlite_inspect(path, why);
    if (e == ERR_OK) {
        int rc = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX,
                                 NULL);
        int off = 1;
        if (rc == SQLITE_OK) /* what is looked at stays as it is */
            (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, &off);
        (void)sqlite3_busy_timeout(s->db, STORE_BUSY_MS);
        if (rc != SQLITE_OK) {
            store_why_set(why, "%s: %s", path, sqlite3_errmsg(s->db));
            e = ERR_FILE;
        }
    }
    if (e != ERR_OK) {
        store_raw_close(s);
        return e;
    }
    *out = s;
    return ERR_OK;
}

void store_raw_close(struct store_raw *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < SLOTS_MAX; i++)
        sqlite3_finalize(s->records[i]);
    sqlite3_finalize(s->slot);
    sqlite3_finalize(s->tile);
    sqlite3_finalize(s->identity);
    sqlite3_close(s->db);
    free(s);
}

const char *store_raw_problem(const struct store_raw *s)
{
    return s->problem;
}

static bool blob_of(sqlite3_stmt *q, int at, size_t size, void *out)
{
    if (sqlite3_column_type(q, at) != SQLITE_BLOB ||
        (size_t)sqlite3_column_bytes(q, at) != size)
        return false;
    memcpy(out, sqlite3_column_blob(q, at), size);
    return true;
}

enum err store_raw_identity(struct store_raw *s, struct store_identity *out)
{
    memset(out, 0, sizeof(*out));
    TRY(prepared(s, "SELECT federation, hub, slots FROM ledger WHERE one=1", &s->identity));
    enum err e = stepped(s, s->identity);
    if (e == ERR_OK) {
        const unsigned char *hub = sqlite3_column_text(s->identity, 1);
        int64_t slots = sqlite3_column_int64(s->identity, 2);
        if (!blob_of(s->identity, 0, HASH_BYTES, out->federation.b) || !hub ||
            strlen((const char *)hub) > HUB_NAME_MAX || slots < 1 || slots > SLOTS_MAX) {
            snprintf(s->problem, sizeof(s->problem), "the row of table ledger is damaged");
            e = ERR_CORRUPT;
        } else {
            memcpy(out->hub, hub, strlen((const char *)hub) + 1);
            out->slots = (uint32_t)slots;
        }
    }
    sqlite3_reset(s->identity);
    return e;
}

enum err store_raw_slot(struct store_raw *s, uint32_t slot, struct store_slot *out)
{
    TRY(prepared(s, "SELECT epoch, size, edges, checkpoint FROM slot WHERE slot=?1",
                 &s->slot));
    sqlite_bind_u64(s->slot, 1, slot);
    enum err e = stepped(s, s->slot);
    if (e == ERR_OK)
        e = sqlite_slot_row(s->slot, 0, out);
    if (e == ERR_CORRUPT)
        snprintf(s->problem, sizeof(s->problem), "the row of slot %u in table slot is damaged",
                 (unsigned)slot);
    sqlite3_reset(s->slot);
    return e;
}

static void take_row(sqlite3_stmt *q, uint32_t slot, struct store_raw_record *r)
{
    memset(r, 0, sizeof(*r));
    r->row = (uint64_t)sqlite3_column_int64(q, 0);
    int64_t position = sqlite3_column_int64(q, 1), sum = sqlite3_column_int64(q, 2);
    r->position = (uint64_t)position;
    r->shape_ok = position >= 0 && sum >= 0 && blob_of(q, 4, LEAF_BYTES, r->leaf) &&
                  sqlite3_column_type(q, 5) == SQLITE_BLOB;
    if (sqlite3_column_type(q, 3) != SQLITE_NULL) {
        r->has_account = blob_of(q, 3, HASH_BYTES, r->account.b);
        r->shape_ok = r->shape_ok && r->has_account;
    }
    if (!r->shape_ok)
        return;
    r->envelope =
        bytes_of(sqlite3_column_blob(q, 5), (size_t)sqlite3_column_bytes(q, 5));
    r->sum_ok = sqlite_record_sum(store_place(slot, r->row), r->position,
                                  r->has_account ? r->account.b : NULL,
                                  r->leaf) == (uint64_t)sum;
}

static enum err prepare_records(struct store_raw *s, uint32_t slot)
{
    char sql[160];
    snprintf(sql, sizeof(sql),
             "SELECT idx, position, sum, account, leaf, envelope FROM record_%u"
             " WHERE idx>=?1 ORDER BY idx",
             (unsigned)slot);
    return prepared(s, sql, &s->records[slot]);
}

enum err store_raw_record(struct store_raw *s, uint32_t slot, uint64_t from,
                          struct store_raw_record *out)
{
    if (!s->records[slot])
        TRY(prepare_records(s, slot));
    sqlite3_stmt *q = s->records[slot];
    if (!s->stepping[slot] || s->expected[slot] != from) {
        sqlite3_reset(q);
        sqlite_bind_u64(q, 1, from);
    }
    enum err e = stepped(s, q);
    s->stepping[slot] = e == ERR_OK;
    if (e != ERR_OK) {
        sqlite3_reset(q);
        return e;
    }
    take_row(q, slot, out);
    s->expected[slot] = out->row + 1;
    return ERR_OK;
}

enum err store_raw_tile(struct store_raw *s, uint32_t slot, unsigned level, uint64_t n,
                        struct hash out[TILE_HASHES], struct hash *root, bool *sum_ok)
{
    uint64_t key = sqlite_tile_key(slot, level, n);
    TRY(prepared(s, "SELECT sum, root, hashes FROM tile WHERE key=?1", &s->tile));
    sqlite_bind_u64(s->tile, 1, key);
    enum err e = stepped(s, s->tile);
    if (e == ERR_OK) {
        uint64_t sum = (uint64_t)sqlite3_column_int64(s->tile, 0);
        if (!blob_of(s->tile, 1, HASH_BYTES, root) ||
            !blob_of(s->tile, 2, sizeof(struct hash) * TILE_HASHES, out)) {
            snprintf(s->problem, sizeof(s->problem), "a row of table tile is damaged");
            e = ERR_CORRUPT;
        } else {
            *sum_ok = sqlite_tile_sum(key, root, out->b) == sum;
        }
    }
    sqlite3_reset(s->tile);
    return e;
}

uint64_t store_raw_record_sum(uint32_t slot, uint64_t row, uint64_t position,
                              const uint8_t *account, const uint8_t leaf[LEAF_BYTES])
{
    return sqlite_record_sum(store_place(slot, row), position, account, leaf);
}

uint64_t store_raw_tile_sum(uint32_t slot, unsigned level, uint64_t n,
                            const struct hash *root, const struct hash hashes[TILE_HASHES],
                            uint64_t *key)
{
    *key = sqlite_tile_key(slot, level, n);
    return sqlite_tile_sum(*key, root, hashes->b);
}
