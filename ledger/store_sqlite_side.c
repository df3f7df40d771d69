/* What stands beside the records: outbox, snapshots, sealed attachments. */
#include "ledger/store_sqlite.h"

#include <assert.h>
#include <string.h>

/* An item in an outbox row: cause, payer, payee, then big-endian integers. */
#define ITEM_BYTES (3 * HASH_BYTES + 7 * 8 + 1)
#define SNAPSHOT_SHIFT 32 /* key = slot << 32 | part */

static void item_encode(const struct channel_item *i, uint8_t out[ITEM_BYTES])
{
    memcpy(out, i->cause.b, HASH_BYTES);
    memcpy(out + 32, i->payer.b, HASH_BYTES);
    memcpy(out + 64, i->payee.b, HASH_BYTES);
    be64_put(out + 96, i->payee_index);
    be64_put(out + 104, (uint64_t)i->amount);
    be64_put(out + 112, i->source_slot);
    be64_put(out + 120, i->destination_slot);
    be64_put(out + 128, i->source_index);
    be64_put(out + 136, i->source_lamport);
    be64_put(out + 144, i->out_seq);
    out[152] = i->is_return ? 1 : 0;
}

static enum err item_decode(struct channel_item *i, const uint8_t in[ITEM_BYTES])
{
    uint64_t payee_index = be64(in + 96);
    uint64_t source = be64(in + 112), destination = be64(in + 120);
    if (payee_index > UINT32_MAX || source >= SLOTS_MAX || destination >= SLOTS_MAX ||
        in[152] > 1)
        return ERR_CORRUPT;
    memcpy(i->cause.b, in, HASH_BYTES);
    memcpy(i->payer.b, in + 32, HASH_BYTES);
    memcpy(i->payee.b, in + 64, HASH_BYTES);
    i->payee_index = (uint32_t)payee_index;
    i->amount = (int64_t)be64(in + 104);
    i->source_slot = (uint32_t)source;
    i->destination_slot = (uint32_t)destination;
    i->source_index = be64(in + 128);
    i->source_lamport = be64(in + 136);
    i->out_seq = be64(in + 144);
    i->is_return = in[152] != 0;
    return ERR_OK;
}

/* One row for items [first, end). */
static enum err outbox_row(struct sqlite_store *s, const struct store_append *a,
                           size_t first, size_t end)
{
    buf_clear(&s->room);
    if (!buf_reserve(&s->room, (end - first) * ITEM_BYTES))
        return ERR_MEMORY;
    for (size_t i = first; i < end; i++) {
        uint8_t packed[ITEM_BYTES];
        item_encode(&a->items[i], packed);
        if (!buf_add(&s->room, packed, sizeof packed))
            return ERR_MEMORY;
    }
    sqlite3_stmt *q = s->statement[W_OUTBOX_PUT];
    uint64_t key = store_place(a->slot, a->items[first].source_index);
    sqlite_bind_u64(q, 1, key);
    sqlite_bind_u64(q, 2, a->items[end - 1].source_index);
    sqlite_bind_u64(q, 3, sqlite_sum(key, s->room.data, s->room.size));
    sqlite3_bind_blob64(q, 4, s->room.data, s->room.size, SQLITE_STATIC);
    return sqlite_run(s->db, q);
}

enum err sqlite_outbox_put(struct sqlite_store *s, const struct store_append *a)
{
#ifdef STOA_BREAK_CHANNEL_NOT_PERSISTED
    return ERR_OK;
#endif
    for (size_t first = 0, end = 0; first < a->item_count; first = end) {
        end = first + 1;
        while (end < a->item_count &&
               (end - first < OUTBOX_ROW_ITEMS ||
                a->items[end].source_index == a->items[end - 1].source_index))
            end++;
        TRY(outbox_row(s, a, first, end));
    }
    return ERR_OK;
}

/* Rows stand in log order and do not overlap, so those to forget are a first part of
 * them. A long backlog goes away over several appends. */
enum err sqlite_outbox_forget(struct sqlite_store *s, const struct store_append *a)
{
    if (a->outbox_low <= s->outbox_low[a->slot])
        return ERR_OK;
    sqlite3_stmt *q = s->statement[W_OUTBOX_BOUND];
    sqlite_bind_u64(q, 1, store_place(a->slot, 0));
    sqlite_bind_u64(q, 2, store_place(a->slot, a->outbox_low));
    sqlite3_bind_int(q, 3, OUTBOX_FORGET_ROWS_MAX);
    uint64_t bound = 0;
    unsigned rows = 0;
    enum err e = ERR_OK;
    while ((e = sqlite_row(s->db, q)) == ERR_OK) {
        uint64_t key = 0, last = 0;
        if ((e = sqlite_u64(q, 0, INT64_MAX, &key)) != ERR_OK ||
            (e = sqlite_u64(q, 1, STORE_INDEX_MAX, &last)) != ERR_OK)
            break;
        if (last >= a->outbox_low)
            break;
        bound = key;
        rows += 1;
    }
    sqlite3_reset(q);
    if (e != ERR_OK && e != ERR_NOT_FOUND)
        return e;
    if (rows < OUTBOX_FORGET_ROWS_MAX)
        s->outbox_low[a->slot] = a->outbox_low;
    if (rows == 0)
        return ERR_OK;
    q = s->statement[W_OUTBOX_FORGET];
    sqlite_bind_u64(q, 1, store_place(a->slot, 0));
    sqlite_bind_u64(q, 2, bound);
    return sqlite_run(s->db, q);
}

static enum err outbox_visit(sqlite3_stmt *q,
                             bool (*visit)(void *context,
                                           const struct channel_item *item),
                             void *context, bool *stopped)
{
    uint64_t key = 0, sum = 0;
    TRY(sqlite_u64(q, 0, INT64_MAX, &key));
    TRY(sqlite_u64(q, 1, UINT32_MAX, &sum));
    const uint8_t *data = sqlite3_column_blob(q, 2);
    size_t size = (size_t)sqlite3_column_bytes(q, 2);
    if (data == NULL || size % ITEM_BYTES != 0 || sqlite_sum(key, data, size) != sum)
        return ERR_CORRUPT;
    for (size_t at = 0; at < size && !*stopped; at += ITEM_BYTES) {
        struct channel_item item;
        TRY(item_decode(&item, data + at));
        *stopped = !visit(context, &item);
    }
    return ERR_OK;
}

enum err sqlite_outbox(struct store *base, uint32_t slot,
                       bool (*visit)(void *context, const struct channel_item *item),
                       void *context)
{
    struct sqlite_store *s = sqlite_of(base);
    assert(slot < s->identity.slots);
    if (atomic_load(&s->broken))
        return ERR_IO;
    pthread_mutex_lock(&s->commit);
    sqlite3_stmt *q = s->statement[W_OUTBOX];
    sqlite_bind_u64(q, 1, store_place(slot, 0));
    sqlite_bind_u64(q, 2, store_place(slot + 1, 0));
    enum err e = ERR_OK;
    bool stopped = false;
    while (e == ERR_OK && !stopped && (e = sqlite_row(s->db, q)) == ERR_OK)
        e = outbox_visit(q, visit, context, &stopped);
    sqlite3_reset(q);
    pthread_mutex_unlock(&s->commit);
    return e == ERR_NOT_FOUND ? ERR_OK : sqlite_note(s, e);
}

static enum err snapshot_forget(struct sqlite_store *s, uint32_t slot)
{
    sqlite3_stmt *q = s->statement[W_SNAPSHOT_DROP];
    sqlite_bind_u64(q, 1, (uint64_t)slot << SNAPSHOT_SHIFT);
    sqlite_bind_u64(q, 2, (uint64_t)(slot + 1) << SNAPSHOT_SHIFT);
    return sqlite_run(s->db, q);
}

enum err sqlite_snapshot_save(struct store *base, uint32_t slot, tree_size size,
                              const struct bytes parts[], size_t count)
{
    struct sqlite_store *s = sqlite_of(base);
    assert(slot < s->identity.slots && count <= UINT32_MAX);
    pthread_mutex_lock(&s->commit);
    enum err e = sqlite_txn_begin(s);
    if (e == ERR_OK) {
        e = snapshot_forget(s, slot);
        sqlite3_stmt *q = s->statement[W_SNAPSHOT_PUT];
        for (size_t i = 0; e == ERR_OK && i < count; i++) {
            assert(parts[i].size > 0 && parts[i].size <= STORE_SNAPSHOT_PART_MAX);
            sqlite_bind_u64(q, 1, (uint64_t)slot << SNAPSHOT_SHIFT | i);
            sqlite_bind_u64(q, 2, count);
            sqlite_bind_u64(q, 3, size);
            sqlite3_bind_blob(q, 4, parts[i].data, (int)parts[i].size, SQLITE_STATIC);
            e = sqlite_run(s->db, q);
        }
        e = sqlite_txn_end(s, "snapshot", e);
    }
    pthread_mutex_unlock(&s->commit);
    return e;
}

static enum err snapshot_part(sqlite3_stmt *q, uint64_t want_key, uint64_t *parts,
                              tree_size *size, struct bytes *out)
{
    uint64_t key = 0;
    TRY(sqlite_u64(q, 0, INT64_MAX, &key));
    TRY(sqlite_u64(q, 1, UINT32_MAX, parts));
    TRY(sqlite_u64(q, 2, STORE_INDEX_MAX, size));
    *out = bytes_of(sqlite3_column_blob(q, 3), (size_t)sqlite3_column_bytes(q, 3));
    return key == want_key && out->data != NULL && out->size <= STORE_SNAPSHOT_PART_MAX
               ? ERR_OK
               : ERR_CORRUPT;
}

/* A damaged snapshot does not break the store: it is a cache and the caller drops it. */
enum err sqlite_snapshot_load(struct store *base, uint32_t slot, tree_size *size,
                              bool (*visit)(void *context, struct bytes part),
                              void *context)
{
    struct sqlite_store *s = sqlite_of(base);
    assert(slot < s->identity.slots);
    if (atomic_load(&s->broken))
        return ERR_IO;
    pthread_mutex_lock(&s->commit);
    sqlite3_stmt *q = s->statement[W_SNAPSHOT];
    uint64_t first = (uint64_t)slot << SNAPSHOT_SHIFT, seen = 0, parts = 0;
    sqlite_bind_u64(q, 1, first);
    sqlite_bind_u64(q, 2, (uint64_t)(slot + 1) << SNAPSHOT_SHIFT);
    enum err e = ERR_OK;
    bool stopped = false;
    while (e == ERR_OK && !stopped && (e = sqlite_row(s->db, q)) == ERR_OK) {
        struct bytes part;
        e = snapshot_part(q, first + seen, &parts, size, &part);
        if (e == ERR_OK)
            stopped = !visit(context, part);
        seen += 1;
    }
    sqlite3_reset(q);
    pthread_mutex_unlock(&s->commit);
    if (e == ERR_NOT_FOUND)
        return seen == 0 ? ERR_NOT_FOUND : seen == parts ? ERR_OK : ERR_CORRUPT;
    return e;
}

enum err sqlite_snapshot_drop(struct store *base, uint32_t slot)
{
    return sqlite_snapshot_save(base, slot, 0, NULL, 0);
}

/* For statements that touch sealed bytes, SQLite wipes what it frees, also when it moves
 * a row to another page. */
static enum err wipe_freed(struct sqlite_store *s, bool on)
{
    return sqlite_exec(s->db,
                       on ? "PRAGMA secure_delete=ON" : "PRAGMA secure_delete=OFF");
}

enum err sqlite_sealed_put(struct store *base, const struct hash *entry,
                           struct bytes data)
{
    struct sqlite_store *s = sqlite_of(base);
    if (data.size > INT32_MAX)
        return ERR_TOO_LARGE;
    pthread_mutex_lock(&s->commit);
    enum err e = sqlite_txn_begin(s);
    if (e == ERR_OK) {
        sqlite3_stmt *q = s->statement[W_SEALED_PUT];
        sqlite3_bind_blob(q, 1, entry->b, HASH_BYTES, SQLITE_STATIC);
        sqlite3_bind_blob64(q, 2, data.size == 0 ? (const void *)"" : data.data,
                            data.size, SQLITE_STATIC);
        e = wipe_freed(s, true);
        bool taken = false;
        if (e == ERR_OK) {
            int rc = sqlite3_step(q);
            taken = rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY;
            e = taken ? ERR_EXISTS : sqlite_err(s->db, rc);
            sqlite3_reset(q);
        }
        e = sqlite_txn_end(s, "sealed", e);
        (void)wipe_freed(s, false);
    }
    pthread_mutex_unlock(&s->commit);
    return e;
}

enum err sqlite_sealed_erase(struct store *base, const struct hash *entry)
{
    struct sqlite_store *s = sqlite_of(base);
    pthread_mutex_lock(&s->commit);
    enum err e = sqlite_txn_begin(s);
    if (e == ERR_OK) {
        sqlite3_stmt *blank = s->statement[W_SEALED_BLANK];
        sqlite3_stmt *q = s->statement[W_SEALED_ERASE];
        sqlite3_bind_blob(blank, 1, entry->b, HASH_BYTES, SQLITE_STATIC);
        sqlite3_bind_blob(q, 1, entry->b, HASH_BYTES, SQLITE_STATIC);
        e = wipe_freed(s, true);
        if (e == ERR_OK)
            e = sqlite_run(s->db, blank);
        if (e == ERR_OK && sqlite3_changes(s->db) == 0)
            e = ERR_NOT_FOUND;
        if (e == ERR_OK)
            e = sqlite_run(s->db, q);
        e = sqlite_txn_end(s, "sealed", e);
        (void)wipe_freed(s, false);
        if (e == ERR_OK || e == ERR_UNKNOWN)
            atomic_store(&s->erased, true); /* the next maintain empties the WAL */
    }
    pthread_mutex_unlock(&s->commit);
    return e;
}
