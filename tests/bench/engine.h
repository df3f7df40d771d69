/* The sequencer and a store in this process, without a network: makes ledgers quickly and
 * shows what a hub could do at best. */
#ifndef TESTS_BENCH_ENGINE_H
#define TESTS_BENCH_ENGINE_H

#include "ledger/recover.h"

struct engine {
    struct store *store;
    bool to_store; /* else appends go nowhere but `each` */
    struct sequencer_config config;
    struct sequencer *q;
    struct key *issuer, *relay, *log; /* owned */
    struct hash federation;
    char hub[HUB_NAME_MAX + 1];
    uint64_t accepted, settled, bounced, records, batches;
    struct vkey log_keys[SLOTS_MAX];
    /* What was committed; may be NULL. */
    void (*each)(void *context, const struct store_append *a);
    void *context;
    void (*result)(void *context, const struct seq_result *r);
};

/* A fresh hub of `slots` slots named bench.test; uri "memory:" or "sqlite:PATH". */
void engine_create(struct engine *e, const char *uri, uint32_t slots, bool to_store);
/* One that is there, with its own keys: the folder of `stoad init`. */
void engine_open_hub(struct engine *e, const char *uri, const char *keys_dir);
void engine_close(struct engine *e);
/* A decoded entry; commits first when the batch is full. */
void engine_submit(struct engine *e, const struct entry *entry, uint64_t token);
void engine_submit_bytes(struct engine *e, struct bytes envelope);
void engine_commit(struct engine *e);
/* Commit until nothing is due. */
void engine_settle(struct engine *e);

#endif
