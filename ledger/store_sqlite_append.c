/* The commit path: claim and append. */
#include "ledger/store_sqlite.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "ledger/failpoint.h"

static const char *const texts[W_STATEMENTS] = {
    [W_BEGIN] = "BEGIN IMMEDIATE",
    [W_COMMIT] = "COMMIT",
    [W_ROLLBACK] = "ROLLBACK",
    [W_CLAIM] = "UPDATE slot SET epoch=epoch+1 WHERE slot=?1 RETURNING epoch",
    [W_SLOT] = "SELECT epoch, size, edges, checkpoint FROM slot WHERE slot=?1",
    [W_SLOT_CHECK] = "SELECT epoch, size FROM slot WHERE slot=?1",
    [W_SLOT_UPDATE] = "UPDATE slot SET size=?2, edges=?3, checkpoint=?4 WHERE slot=?1",
    [W_TILE] = "INSERT INTO tile(key, sum, root, hashes) VALUES(?1,?2,?3,?4)",
    [W_OUTBOX_PUT] = "INSERT INTO outbox(key, last, sum, items) VALUES(?1,?2,?3,?4)",
    [W_OUTBOX_BOUND] = "SELECT key, last FROM outbox WHERE key>=?1 AND key<?2"
                       " ORDER BY key LIMIT ?3",
    [W_OUTBOX_FORGET] = "DELETE FROM outbox WHERE key>=?1 AND key<=?2",
    [W_OUTBOX] =
        "SELECT key, sum, items FROM outbox WHERE key>=?1 AND key<?2 ORDER BY key",
    [W_SNAPSHOT_PUT] = "INSERT INTO snapshot(key, parts, size, data) VALUES(?1,?2,?3,?4)",
    [W_SNAPSHOT_DROP] = "DELETE FROM snapshot WHERE key>=?1 AND key<?2",
    [W_SNAPSHOT] = "SELECT key, parts, size, data FROM snapshot WHERE key>=?1 AND key<?2"
                   " ORDER BY key",
    [W_SEALED_PUT] = "INSERT INTO sealed(entry, data) VALUES(?1,?2)",
    [W_SEALED_BLANK] = "UPDATE sealed SET data=zeroblob(length(data)) WHERE entry=?1",
    [W_SEALED_ERASE] = "DELETE FROM sealed WHERE entry=?1",
};

enum err sqlite_writer_prepare(struct sqlite_store *s)
{
    for (size_t i = 0; i < W_STATEMENTS; i++)
        TRY(sqlite_prepare(s->db, texts[i], &s->statement[i]));
    for (uint32_t slot = 0; slot < s->identity.slots; slot++) {
        char sql[128];
        snprintf(sql, sizeof sql,
                 "INSERT INTO record_%u(" SQLITE_RECORD_COLUMNS
                 ") VALUES(?1,?2,?3,?4,?5,?6)",
                 (unsigned)slot);
        TRY(sqlite_prepare(s->db, sql, &s->insert[slot]));
    }
    return ERR_OK;
}

enum err sqlite_txn_begin(struct sqlite_store *s)
{
    if (atomic_load(&s->broken))
        return ERR_IO;
    return sqlite_note(s, sqlite_run(s->db, s->statement[W_BEGIN]));
}

static enum err rollback(struct sqlite_store *s, enum err why)
{
    if (!sqlite3_get_autocommit(s->db) &&
        sqlite_run(s->db, s->statement[W_ROLLBACK]) != ERR_OK)
        why = ERR_IO;
    return sqlite_note(s, why);
}

enum err sqlite_txn_end(struct sqlite_store *s, const char *effect, enum err e)
{
    if (e != ERR_OK)
        return rollback(s, e);
    enum store_fault_verdict v = store_fault_at(&s->base, effect);
    if (v != FAULT_NONE && v != FAULT_FAIL_HAPPENED)
        return rollback(s, store_fault_err(v));
    e = sqlite_run(s->db, s->statement[W_COMMIT]);
    if (e == ERR_OK) {
        FP_DONE(effect);
        return store_fault_err(v);
    }
    /* A full disk, or a lock held too long, leaves nothing behind. After anything else it
     * is unknown what reached the disk, and nothing may be tried again. */
    if (e != ERR_STORE_FULL && e != ERR_STORE)
        e = ERR_IO;
    return rollback(s, e);
}

enum err sqlite_claim(struct store *base, uint32_t slot, uint64_t *epoch)
{
    struct sqlite_store *s = sqlite_of(base);
    assert(slot < s->identity.slots);
    pthread_mutex_lock(&s->commit);
    enum err e = sqlite_txn_begin(s);
    if (e == ERR_OK) {
        sqlite3_stmt *q = s->statement[W_CLAIM];
        sqlite_bind_u64(q, 1, slot);
        e = sqlite_row(s->db, q);
        if (e == ERR_OK)
            e = sqlite_u64(q, 0, INT64_MAX, epoch);
        else if (e == ERR_NOT_FOUND)
            e = ERR_CORRUPT;
        sqlite3_reset(q);
        e = sqlite_txn_end(s, "claim", e);
    }
    pthread_mutex_unlock(&s->commit);
    return e;
}

enum err sqlite_slot(struct store *base, uint32_t slot, struct store_slot *out)
{
    struct sqlite_store *s = sqlite_of(base);
    assert(slot < s->identity.slots);
    if (atomic_load(&s->broken))
        return ERR_IO;
    pthread_mutex_lock(&s->commit);
    sqlite3_stmt *q = s->statement[W_SLOT];
    sqlite_bind_u64(q, 1, slot);
    enum err e = sqlite_row(s->db, q);
    if (e == ERR_OK)
        e = sqlite_slot_row(q, 0, out);
    else if (e == ERR_NOT_FOUND)
        e = ERR_CORRUPT;
    sqlite3_reset(q);
    pthread_mutex_unlock(&s->commit);
    return sqlite_note(s, e);
}

/* ERR_LOST: someone else moved this slot. */
static enum err check(struct sqlite_store *s, const struct store_append *a)
{
    sqlite3_stmt *q = s->statement[W_SLOT_CHECK];
    uint64_t epoch = 0, size = 0;
    sqlite_bind_u64(q, 1, a->slot);
    enum err e = sqlite_row(s->db, q);
    if (e == ERR_OK)
        e = sqlite_u64(q, 0, INT64_MAX, &epoch);
    if (e == ERR_OK)
        e = sqlite_u64(q, 1, STORE_INDEX_MAX, &size);
    sqlite3_reset(q);
    if (e == ERR_NOT_FOUND)
        return ERR_CORRUPT;
    TRY(e);
    bool same_epoch = epoch == a->epoch, same_size = size == a->old_size;
#ifdef STOA_BREAK_EPOCH_UNCHECKED
    same_epoch = true;
#endif
#ifdef STOA_BREAK_NO_CAS
    same_size = true;
#endif
    return same_epoch && same_size ? ERR_OK : ERR_LOST;
}

static enum err write_records(struct sqlite_store *s, const struct store_append *a)
{
    sqlite3_stmt *q = s->insert[a->slot];
    for (size_t i = 0; i < a->record_count; i++) {
        const struct store_record *x = &a->records[i];
        uint8_t leaf[LEAF_BYTES];
        record_leaf(&x->r, leaf);
        sqlite_bind_u64(q, 1, x->r.index);
        sqlite_bind_u64(q, 2, x->r.position);
        bool inside = x->r.envelope.size >= ENVELOPE_ACCOUNT_AT + HASH_BYTES &&
                      memcmp(x->r.envelope.data + ENVELOPE_ACCOUNT_AT, x->account.b,
                             HASH_BYTES) == 0;
        const uint8_t *account = inside ? NULL : x->account.b;
        uint64_t place = store_place(a->slot, x->r.index);
        sqlite_bind_u64(q, 3, sqlite_record_sum(place, x->r.position, account, leaf));
        if (account == NULL)
            sqlite3_bind_null(q, 4);
        else
            sqlite3_bind_blob(q, 4, account, HASH_BYTES, SQLITE_STATIC);
        sqlite3_bind_blob(q, 5, leaf, LEAF_BYTES, SQLITE_STATIC);
        sqlite3_bind_blob(q, 6, x->r.envelope.data, (int)x->r.envelope.size,
                          SQLITE_STATIC);
        TRY(sqlite_run(s->db, q));
    }
    return ERR_OK;
}

static enum err write_tiles(struct sqlite_store *s, const struct store_append *a)
{
    sqlite3_stmt *q = s->statement[W_TILE];
    for (size_t i = 0; i < a->tile_count; i++) {
        const struct store_tile *t = &a->tiles[i];
        struct hash root = tile_root(t->hashes, TILE_HASHES);
        uint64_t key = sqlite_tile_key(a->slot, t->level, t->n);
        sqlite_bind_u64(q, 1, key);
        sqlite_bind_u64(q, 2, sqlite_tile_sum(key, &root, t->hashes->b));
        sqlite3_bind_blob(q, 3, root.b, HASH_BYTES, SQLITE_STATIC);
        sqlite3_bind_blob(q, 4, t->hashes, TILE_HASHES * HASH_BYTES, SQLITE_STATIC);
        TRY(sqlite_run(s->db, q));
    }
    return ERR_OK;
}

static enum err write_slot(struct sqlite_store *s, const struct store_append *a)
{
    TRY(write_records(s, a));
    TRY(write_tiles(s, a));
    TRY(sqlite_outbox_put(s, a));
    TRY(sqlite_outbox_forget(s, a));
    sqlite3_stmt *q = s->statement[W_SLOT_UPDATE];
    sqlite_bind_u64(q, 1, a->slot);
    sqlite_bind_u64(q, 2, a->old_size + a->record_count);
    sqlite3_bind_blob(q, 3, a->edges, (int)(a->edge_count * HASH_BYTES), SQLITE_STATIC);
    sqlite3_bind_blob(q, 4, a->checkpoint.data, (int)a->checkpoint.size, SQLITE_STATIC);
    return sqlite_run(s->db, q);
}

/* Everything up to the commit. outcome[i] is COMMITTED or LOST; *any: one is not LOST. */
static enum err write_all(struct sqlite_store *s, const struct store_append appends[],
                          size_t count, enum store_outcome outcome[], bool *any)
{
    *any = false;
    for (size_t i = 0; i < count; i++) {
        enum err e = store_fault_before(&s->base, "append.check");
        if (e == ERR_OK)
            e = check(s, &appends[i]);
        outcome[i] = e == ERR_LOST ? STORE_LOST : STORE_COMMITTED;
        if (e == ERR_LOST)
            continue;
        TRY(e);
        *any = true;
        TRY(store_fault_before(&s->base, "append.write"));
        TRY(write_slot(s, &appends[i]));
        /* Before the commit: whoever sees the record finds it. If it is not committed,
         * the place leads to nothing, which a look at the record tells. */
        sqlite_index_add(s, &appends[i]);
    }
    return ERR_OK;
}

static enum err append_locked(struct sqlite_store *s, const struct store_append appends[],
                              size_t count, enum store_outcome outcome[])
{
    TRY(sqlite_index_room(s, store_append_check(appends, count, s->identity.slots)));
    TRY(store_fault_before(&s->base, "append.begin"));
    TRY(sqlite_txn_begin(s));
    bool any = false;
    enum err e = write_all(s, appends, count, outcome, &any);
    if (e == ERR_OK && !any)
        return rollback(s, ERR_OK);
    e = sqlite_txn_end(s, "append.commit", e);
    /* UNKNOWN: a fault took the answer of a commit that was made. */
    for (size_t i = 0; (e == ERR_OK || e == ERR_UNKNOWN) && i < count; i++)
        if (outcome[i] == STORE_COMMITTED)
            s->size[appends[i].slot] = appends[i].old_size + appends[i].record_count;
    return e;
}

void sqlite_append(struct store *base, const struct store_append appends[], size_t count,
                   enum store_outcome outcome[])
{
    struct sqlite_store *s = sqlite_of(base);
    for (size_t i = 0; i < count; i++)
        outcome[i] = STORE_COMMITTED;
    pthread_mutex_lock(&s->commit);
    enum err e = append_locked(s, appends, count, outcome);
    if (e == ERR_OK)
        e = store_fault_answer(base, "append.answer");
    e = sqlite_note(s, e);
    if (e != ERR_OK)
        memset(s->outbox_low, 0, sizeof s->outbox_low);
    pthread_mutex_unlock(&s->commit);
    for (size_t i = 0; e != ERR_OK && i < count; i++)
        if (outcome[i] != STORE_LOST)
            outcome[i] = store_outcome_of(e);
}
