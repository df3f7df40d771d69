/* The standby of store.replica, as a reader thread uses it. It may be away, promoted,
 * restored or another ledger's: whatever is wrong with it, the store itself is asked
 * instead. */
#include "relay/reader_internal.h"

#include <stdio.h>
#include <string.h>

#include "ledger/trace.h"
#include "relay/clock.h"

#define REPLICA_RETRY_MS 5000u /* after it failed, doubled up to .. */
#define REPLICA_RETRY_MAX_MS 60000u
/* Everybody who reads waits as long for one that hangs, once in a while. */
#define REPLICA_PATIENCE_MS 2000u
#define PROOF_LIVES_MS 10000u
#define PROOF_EVERY_MS 5000u /* some dozen small questions to both */

static bool same_ledger(const struct reader *rd, const struct store_identity *id)
{
    return strcmp(id->hub, rd->r->hub) == 0 && id->slots == rd->r->slots &&
           hash_equal(&id->federation, &rd->r->federation);
}

static enum err replica_open(struct reader *rd, struct store_why *why)
{
    TRY(store_open_replica(settings(rd->r)->store.replica, REPLICA_PATIENCE_MS,
                           &rd->replica_store, why));
    if (!same_ledger(rd, rd->replica_store->ops->identity(rd->replica_store))) {
        snprintf(why->text, sizeof(why->text), "store.replica holds another ledger");
        return ERR_CONFIG;
    }
    return rd->replica_store->ops->reader_open(rd->replica_store, &rd->replica);
}

void reader_replica_close(struct reader *rd)
{
    if (rd->replica)
        rd->replica->ops->close(rd->replica);
    if (rd->replica_store)
        rd->replica_store->ops->close(rd->replica_store);
    rd->replica = NULL;
    rd->replica_store = NULL;
    memset(rd->proven, 0, sizeof(rd->proven));
}

static void leave(struct reader *rd, enum err e, const char *why)
{
    trace(TRACE_WARN, "reader.replica_away", TRACE_ERR("error", e),
          TRACE_STR("why", why));
    reader_replica_close(rd);
    rd->replica_pause_ms = rd->replica_pause_ms == 0 ? REPLICA_RETRY_MS
                           : rd->replica_pause_ms < REPLICA_RETRY_MAX_MS / 2
                               ? 2 * rd->replica_pause_ms
                               : REPLICA_RETRY_MAX_MS;
    rd->replica_retry_ms = clock_mono_ms() + rd->replica_pause_ms;
}

void reader_replica_drop(struct reader *rd, enum err why)
{
    leave(rd, why, "it did not answer");
}

/* Of the slot in rd->slot, up to the last full tile. */
static tree_size settled_size(const struct reader *rd)
{
    return rd->slot.size - rd->slot.size % TILE_HASHES;
}

/* How much of the replica's log is the beginning of ours: its tree is compared with the
 * store's at the smaller of both, up to a full tile. A promoted standby that went
 * another way is left. */
static void prove(struct reader *rd, uint32_t slot)
{
    struct replica_proof *p = &rd->proven[slot];
    struct store_slot at;
    struct hash theirs, ours;
    enum err e = rd->replica->ops->slot(rd->replica, slot, &at);
    tree_size size = settled_size(rd);
    if (e == ERR_OK && at.size < size)
        size = at.size - at.size % TILE_HASHES;
    if (e == ERR_OK)
        e = reader_root(rd->replica, slot, size, &theirs);
    if (e != ERR_OK) {
        reader_replica_drop(rd, e);
        return;
    }
    *p = (struct replica_proof){.next_ms = clock_mono_ms() + PROOF_EVERY_MS};
    if (reader_root(rd->store, slot, size, &ours) != ERR_OK)
        return;
    if (!hash_equal(&theirs, &ours)) {
        leave(rd, ERR_CORRUPT, "its log is not the beginning of the store's");
        rd->replica_retry_ms = clock_mono_ms() + REPLICA_RETRY_MAX_MS;
        return;
    }
    p->size = size;
    p->until_ms = clock_mono_ms() + PROOF_LIVES_MS;
}

struct store_reader *reader_settled(struct reader *rd, uint32_t slot, uint64_t end)
{
    struct replica_proof *p = &rd->proven[slot];
    uint64_t now = clock_mono_ms();
    if (end > settled_size(rd))
        return rd->store; /* the edge: not even a standby that is level proves it */
    if (!reader_replica(rd))
        return rd->store;
    if ((end > p->size || now >= p->until_ms) && now >= p->next_ms)
        prove(rd, slot);
    return rd->replica && end <= p->size && now < p->until_ms ? rd->replica : rd->store;
}

struct store_reader *reader_replica(struct reader *rd)
{
    struct store_why why = {{0}};
    if (rd->replica || !settings(rd->r)->store.replica[0] ||
        clock_mono_ms() < rd->replica_retry_ms)
        return rd->replica;
    enum err e = replica_open(rd, &why);
    if (e != ERR_OK) {
        leave(rd, e, why.text);
        return NULL;
    }
    rd->replica_pause_ms = 0;
    trace_event(TRACE_INFO, "reader.replica");
    return rd->replica;
}
