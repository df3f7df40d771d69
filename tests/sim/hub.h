/* A hub for tests: the real sequencer and recovery on a disk of tests/sim/disk.h. Every
 * receipt is checked against the checkpoint that comes with it: leaf, path, root,
 * signature. What must never happen aborts with a sentence. */
#ifndef TESTS_SIM_HUB_H
#define TESTS_SIM_HUB_H

#include "disk.h"
#include "ledger/recover.h"

#define HUB_NAME "hub.test"
#define HUB_SEED UINT64_C(0x5eed)

enum { HUB_KEY_ISSUER = 1, HUB_KEY_RELAY, HUB_KEY_LOG, HUB_KEY_FREE = 100 };

struct hub_result {
    uint64_t token;
    bool accepted;
    bool duplicate;
    struct refusal refusal;
    uint32_t slot;
    uint64_t index;
    uint64_t position;
    struct hash id;
};

struct hub_seen {
    size_t result_count, result_cap;
    struct hub_result *results;
    size_t settled_count, settled_cap;
    struct seq_settled *settled;
    uint64_t commits;
};

/* Who a hub is: keys by number of the kit. */
struct hub_birth {
    const char *name;
    struct hash federation;
    uint32_t issuer, relay, log;
    uint32_t slots;
};

struct hub {
    uint32_t slots;
    struct store *store;
    struct disk *disk; /* the same, NULL: a real store */
    struct sequencer_config config;
    struct sequencer *q; /* NULL: not running */
    struct vkey log_keys[SLOTS_MAX];
    uint64_t now_ms, mono_ms;
    struct hub_seen seen; /* since hub_forget */
    size_t unverified;    /* results of the slot whose commit comes next */
    size_t path_count[SEQ_BATCH_WAITERS_MAX];
    struct hash leaves[SEQ_BATCH_WAITERS_MAX];
    struct hash (*paths)[MERKLE_PATH_MAX];
    /* Called with each checkpoint as it is published; may be NULL. */
    void (*published)(void *context, uint32_t slot, const struct checkpoint *c);
    void *published_context;
    /* Called with each slot that advanced, inside sequencer_outcome; may be NULL. */
    void (*committed)(void *context, const struct seq_commit *c);
    void *committed_context;
    struct recover_report report; /* of the newest hub_recover */
};

/* A fresh ledger of `slots` logs, all open, running. */
void hub_create(struct hub *h, uint32_t slots);
void hub_create_as(struct hub *h, const struct hub_birth *b, uint64_t now_ms);
/* The same on a store of the caller's, just created; crashes then only end the process.
 */
void hub_create_on(struct hub *h, uint32_t slots, struct store *store);
void hub_close(struct hub *h);
/* The process dies; the disk keeps what is durable. */
void hub_crash(struct hub *h);
/* A new process: every slot recovered. */
enum err hub_start(struct hub *h);
/* One slot, with a mark or NULL. */
enum err hub_recover(struct hub *h, uint32_t slot, const struct recover_mark *mark);

enum seq_disposition hub_submit(struct hub *h, const struct entry *e, uint64_t token,
                                struct refusal *r);
/* prepare, append, outcome; verdicts for the append are set on the disk before. */
enum err hub_commit(struct hub *h);
/* hub_commit until nothing is pending. */
void hub_settle(struct hub *h);
/* Answers of the sequencer go here. */
struct seq_output hub_output(struct hub *h);
void hub_forget(struct hub *h);

struct account *hub_account_at(struct hub *h, const struct hash *id);
struct hash hub_digest_of(struct hub *h, uint32_t slot);
/* Save a snapshot of the slot; nothing may be queued. */
void hub_snapshot(struct hub *h, uint32_t slot);
/* Supply = balances + under way, over slots that are all up: aborts when it is not. */
void hub_check_supply(struct hub *h);

#endif
