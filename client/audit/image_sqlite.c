#include "client/audit/image_sqlite.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "ledger/store_raw.h"

#define ACCOUNT_AT 4 /* where an envelope names its account, when it does */

static bool run(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

static bool done(sqlite3_stmt *q)
{
    return sqlite3_step(q) == SQLITE_DONE && sqlite3_reset(q) == SQLITE_OK;
}

static bool write_rows(sqlite3 *db, const struct forge_slot *s, uint32_t slot)
{
    char sql[160];
    sqlite3_stmt *q = NULL;
    snprintf(sql, sizeof(sql),
             "INSERT INTO record_%u(idx, position, sum, account, leaf, envelope)"
             " VALUES(?1,?2,?3,?4,?5,?6)",
             (unsigned)slot);
    bool ok = sqlite3_prepare_v2(db, sql, -1, &q, NULL) == SQLITE_OK;
    for (size_t i = 0; ok && i < s->count; i++) {
        const struct row *r = &s->rows[i];
        bool named = r->size >= ACCOUNT_AT + HASH_BYTES &&
                     memcmp(r->envelope + ACCOUNT_AT, r->account.b, HASH_BYTES) == 0;
        const uint8_t *account = named ? NULL : r->account.b;
        sqlite3_bind_int64(q, 1, (sqlite3_int64)r->index);
        sqlite3_bind_int64(q, 2, (sqlite3_int64)r->position);
        sqlite3_bind_int64(q, 3,
                           (sqlite3_int64)store_raw_record_sum(slot, r->index, r->position,
                                                               account, r->leaf));
        if (account)
            sqlite3_bind_blob(q, 4, account, HASH_BYTES, SQLITE_STATIC);
        else
            sqlite3_bind_null(q, 4);
        sqlite3_bind_blob(q, 5, r->leaf, LEAF_BYTES, SQLITE_STATIC);
        sqlite3_bind_blob(q, 6, r->envelope, (int)r->size, SQLITE_STATIC);
        ok = done(q);
    }
    sqlite3_finalize(q);
    return ok;
}

static bool write_slot(sqlite3 *db, const struct forge_slot *s, uint32_t slot)
{
    sqlite3_stmt *q = NULL;
    bool ok = sqlite3_prepare_v2(db,
                                 "UPDATE slot SET size=?2, edges=?3, checkpoint=?4"
                                 " WHERE slot=?1",
                                 -1, &q, NULL) == SQLITE_OK;
    if (ok) {
        sqlite3_bind_int64(q, 1, slot);
        sqlite3_bind_int64(q, 2, (sqlite3_int64)s->count);
        sqlite3_bind_blob(q, 3, s->edges, (int)(s->edge_count * HASH_BYTES), SQLITE_STATIC);
        sqlite3_bind_blob(q, 4, s->note, (int)s->note_size, SQLITE_STATIC);
        ok = done(q);
    }
    sqlite3_finalize(q);
    q = NULL;
    ok = ok && sqlite3_prepare_v2(db,
                                  "INSERT INTO tile(key, sum, root, hashes)"
                                  " VALUES(?1,?2,?3,?4)",
                                  -1, &q, NULL) == SQLITE_OK;
    for (unsigned level = 0; ok && level < 2; level++)
        for (size_t n = 0; ok && (n + 1) * TILE_HASHES <= s->tile_hashes[level]; n++) {
            const struct hash *hashes = s->tiles[level] + n * TILE_HASHES;
            struct hash root = tile_root(hashes, TILE_HASHES);
            uint64_t key, sum = store_raw_tile_sum(slot, level, n, &root, hashes, &key);
            sqlite3_bind_int64(q, 1, (sqlite3_int64)key);
            sqlite3_bind_int64(q, 2, (sqlite3_int64)sum);
            sqlite3_bind_blob(q, 3, &root, HASH_BYTES, SQLITE_STATIC);
            sqlite3_bind_blob(q, 4, hashes, TILE_HASHES * HASH_BYTES, SQLITE_STATIC);
            ok = done(q);
        }
    sqlite3_finalize(q);
    return ok && write_rows(db, s, slot);
}

bool image_sqlite_write(const struct forge *f, const char *path)
{
    char uri[700];
    struct store *store = NULL;
    struct store_why why;
    sqlite3 *db = NULL;
    struct store_identity id = {.federation = f->federation, .slots = FORGE_SLOTS};
    memcpy(id.hub, FORGE_HUB, sizeof(FORGE_HUB));
    snprintf(uri, sizeof(uri), "sqlite:%.680s", path);
    if (store_create(uri, &id, &store, &why) != ERR_OK)
        return false;
    store->ops->close(store);
    bool ok = sqlite3_open(path, &db) == SQLITE_OK && run(db, "BEGIN");
    for (uint32_t i = 0; i < FORGE_SLOTS && ok; i++)
        ok = write_slot(db, &f->slot[i], i);
    ok = ok && run(db, "COMMIT");
    sqlite3_close(db);
    return ok;
}

bool image_sqlite_run(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    bool ok = sqlite3_open(path, &db) == SQLITE_OK && run(db, sql) &&
              sqlite3_changes(db) > 0;
    sqlite3_close(db);
    return ok;
}
