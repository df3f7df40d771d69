/* The standby of store.replica, as a reader thread uses it. It may be away, promoted,
 * restored or another ledger's: whatever is wrong with it, the store itself is asked
 * instead. */
#include "relay/reader_internal.h"

#include <stdio.h>
#include <string.h>

#include "ledger/trace.h"
#include "relay/clock.h"

#define REPLICA_RETRY_MS 5000u

static bool same_ledger(const struct reader *rd, const struct store_identity *id)
{
    return strcmp(id->hub, rd->r->hub) == 0 && id->slots == rd->r->slots &&
           hash_equal(&id->federation, &rd->r->federation);
}

static enum err replica_open(struct reader *rd, struct store_why *why)
{
    TRY(store_open_replica(settings(rd->r)->store.replica, &rd->replica_store, why));
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
}

static void leave(struct reader *rd, enum err e, const char *why)
{
    trace(TRACE_WARN, "reader.replica_away", TRACE_ERR("error", e),
          TRACE_STR("why", why));
    reader_replica_close(rd);
    rd->replica_retry_ms = clock_mono_ms() + REPLICA_RETRY_MS;
}

void reader_replica_drop(struct reader *rd, enum err why)
{
    leave(rd, why, "it did not answer");
}

struct store_reader *reader_replica(struct reader *rd)
{
    struct store_why why = {{0}};
    if (rd->replica || !settings(rd->r)->store.replica[0] ||
        clock_mono_ms() < rd->replica_retry_ms)
        return rd->replica;
    enum err e = replica_open(rd, &why);
    if (e != ERR_OK)
        leave(rd, e, why.text);
    else
        trace_event(TRACE_INFO, "reader.replica");
    return rd->replica;
}
