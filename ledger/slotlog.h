/* One slot: its accounts, its clocks, the right edge of its tree. Admitting an entry and
 * replaying a record are the same code: replay only compares what admission derives.
 * Pure but for a struct alloc; no I/O, no clock (time is an argument). */
#ifndef LEDGER_SLOTLOG_H
#define LEDGER_SLOTLOG_H

#include "crypto/merkle.h"
#include "ledger/account.h"
#include "ledger/entry.h"
#include "ledger/err.h"

struct slotlog {
    const struct alloc *mem;
    uint32_t slot;
    struct frontier frontier;
    struct hash leaf;     /* leaf hash of the newest record */
    uint64_t hub_lamport; /* of the newest record */
    uint64_t hub_time_ms; /* of the newest record */
    struct hub_account hub;
    uint64_t account_count;
    struct account_map *accounts; /* open addressing by id, mixed with a random word */
};

MUST_CHECK enum err slotlog_init(struct slotlog *s, const struct alloc *mem, uint32_t slot,
                                 uint64_t map_seed);
void slotlog_close(struct slotlog *s);

struct account *slotlog_account(struct slotlog *s, const struct hash *id);
/* Is an entry of this kind about the hub account itself? */
bool slotlog_kind_of_hub(uint64_t kind);
/* The slot a log_open names. */
uint64_t slotlog_slot_of_log_open(const struct entry *e);

/* Apply an entry whose signature was checked as the next record. Fills `out` (its envelope
 * points into `e`) and `fx`. now_ms is the hub's wall clock. Refused codes and ERR_MEMORY
 * leave everything as it was. */
MUST_CHECK enum err slotlog_admit(struct slotlog *s, const struct entry *e, uint64_t now_ms,
                                  struct record *out, struct effects *fx);
/* Apply a stored record: index, position, head, clocks must be what admission would have
 * derived (hub time only monotone). ERR_CORRUPT otherwise, also where admission would have
 * refused; ERR_RULES_AHEAD. The device signature is not checked here. After an error only
 * slotlog_close is allowed. */
MUST_CHECK enum err slotlog_replay(struct slotlog *s, const struct record *r,
                                   struct effects *fx);
/* The same, not computing again what the caller has computed from these very bytes: `e` is the
 * record's envelope decoded, `leaf` its record_leaf_hash or NULL. */
MUST_CHECK enum err slotlog_replay_known(struct slotlog *s, const struct record *r,
                                         const struct entry *e, const struct hash *leaf,
                                         struct effects *fx);

/* RFC 6962 root over account digests (hub account included) in ascending id order. */
MUST_CHECK enum err slotlog_digest(struct slotlog *s, struct hash *out);

/* Snapshot: chunks of at most 1 MiB given to `emit` (borrowed for the call; false stops:
 * ERR_STORE); the last chunk ends with the slot digest and the relay key's signature,
 * CTX_SNAPSHOT. To be taken while every record of the slot is committed. Format:
 * docs/architecture/sequencing.md. */
#define SNAPSHOT_PART_MAX ((size_t)1 << 20)
MUST_CHECK enum err slotlog_snapshot(struct slotlog *s, const struct key *relay,
                                     bool (*emit)(void *context, struct bytes part),
                                     void *context);
/* Rebuild from chunks; `s` is freshly initialised. Any mismatch (format, digest, signature by
 * the relay key the snapshot itself names and `relay`, rules version): ERR_CORRUPT, and `s`
 * is to be closed and built by replay; ERR_MEMORY. The frontier is set by the caller, from
 * the store, and must give `root` at `size`. */
MUST_CHECK enum err slotlog_restore(struct slotlog *s, const struct bytes parts[],
                                    size_t count, const struct pubkey *relay,
                                    tree_size *size, struct hash *root);

/* Every account in ascending id order is costly; this visits in table order. */
void slotlog_each(struct slotlog *s, bool (*visit)(void *context, struct account *a),
                  void *context);

#endif
