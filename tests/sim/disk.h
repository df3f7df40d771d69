/* A disk for tests: keeps what a hub appended, knows what is durable, fails on request,
 * and checks every append on its own: hashes, tiles, edges and checkpoint must be what
 * the records give. What a store must never be handed aborts with a sentence. */
#ifndef TESTS_SIM_DISK_H
#define TESTS_SIM_DISK_H

#include "crypto/note.h"
#include "ledger/store.h"

/* What happens to one slot's part of the next append. */
enum disk_verdict {
    DISK_OK,
    DISK_LOST,         /* someone else took the slot over just before */
    DISK_UNKNOWN,      /* did not happen, the answer is lost */
    DISK_UNKNOWN_DONE, /* happened, the answer is lost */
    DISK_FULL,
    DISK_BROKEN,
    DISK_BROKEN_DONE
};

struct disk_record {
    struct record r; /* envelope owned */
    struct hash account;
    struct hash id;
};

struct disk_level {
    struct hash *nodes; /* complete nodes, from number 0 */
    size_t count, cap;
};

struct disk_parts {
    bool there;
    tree_size size;
    size_t count;
    struct bytes *parts; /* owned */
};

struct disk_slot {
    uint64_t epoch;
    tree_size size; /* committed; records beyond it are torn writes */
    struct disk_record *records;
    size_t record_count, record_cap;
    struct disk_level levels[MERKLE_LEVELS_MAX];
    struct channel_item *items; /* of committed records, not forgotten */
    size_t item_count, item_cap;
    uint64_t outbox_low;
    size_t checkpoint_size;
    char checkpoint[CHECKPOINT_BYTES_MAX];
    struct disk_parts snapshot; /* durable */
    struct disk_parts unsynced; /* becomes durable with the next append */
};

struct disk {
    struct store store;
    struct store_identity identity;
    uint32_t slots;
    struct disk_slot *slot;
    struct vkey
        *log_keys; /* per slot, NULL: checkpoints are not opened; follows hub_key */
    enum disk_verdict verdict[SLOTS_MAX]; /* for the next append, then all OK */
    bool torn;                            /* a part that does not happen leaves rubbish */
    enum err claim_fails;                 /* once */
    enum err read_fails;                  /* once, in records() */
    uint64_t appends, tiles_checked;
};

struct disk *disk_open(uint32_t slots);
void disk_close(struct disk *d);
struct store *disk_store(struct disk *d);
/* Power is lost: what was not durable is gone. */
void disk_crash(struct disk *d);
/* Somebody else's claim. */
void disk_steal(struct disk *d, uint32_t slot);
/* Copy of everything durable, as a backup would hold it. */
struct disk *disk_copy(const struct disk *d);
/* Flip one bit of a durable snapshot; false when there is no such byte. */
bool disk_flip_snapshot(struct disk *d, uint32_t slot, size_t byte, unsigned bit);
size_t disk_snapshot_bytes(const struct disk *d, uint32_t slot);

#endif
