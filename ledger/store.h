/* What a ledger needs of a disk. One contract, several edges (store_memory, store_sqlite,
 * store_postgres), one conformance suite (tests/conformance).
 *
 * Promises every store keeps:
 *  - Only store_create makes a ledger. store_open on something missing, empty, truncated or
 *    damaged fails with a sentence that names it; it never creates, repairs or forgets.
 *  - append is atomic and durable: when a slot's outcome is STORE_COMMITTED, everything handed
 *    over for it survives power loss, and nothing else of that slot has changed since.
 *  - append is conditional: a slot commits only when its stored size and epoch are the ones
 *    given (compare-and-swap). Otherwise STORE_LOST for that slot alone.
 *  - Readers see only what is under the last committed checkpoint of each slot.
 *
 * Threads: one writer (append, claim, snapshot_save, sealed_put/erase: one thread at a time).
 * Readers are separate handles from store_reader_open, one per thread, concurrent with the
 * writer. `struct store_fault` lets tests fail an effect (see below). */
#ifndef LEDGER_STORE_H
#define LEDGER_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/hash.h"
#include "crypto/merkle.h"
#include "ledger/account.h"
#include "ledger/bytes.h"
#include "ledger/entry.h"
#include "ledger/err.h"

#define STORE_WHY_MAX 512
#define STORE_APPEND_RECORDS_MAX 8192 /* over all slots of one append */

struct store;
struct store_reader;
struct projection_ops;
struct store_lease;
struct lease_self;
struct store_place;
struct store_probe;

/* Who this ledger is; written once by store_create, checked by the caller after open. */
struct store_identity {
    struct hash federation;
    char hub[HUB_NAME_MAX + 1];
    uint32_t slots;
};

/* A sentence for a person: what failed, which file, what to do. */
struct store_why {
    char text[STORE_WHY_MAX];
};

/* Where a slot stands, as last committed. */
struct store_slot {
    uint64_t epoch;
    tree_size size;
    size_t edge_count;
    struct hash edges[MERKLE_LEVELS_MAX]; /* frontier, lowest level first */
    size_t checkpoint_size;               /* signed note; 0 only when size is 0 */
    char checkpoint[CHECKPOINT_BYTES_MAX];
};

/* One record to append. `account` is what it is about; spans are borrowed for the call. `id`
 * is hash_context(CTX_ENTRY) of the envelope without its last SIG_BYTES: a store may keep no
 * id and compute it again. An account's positions rise by one with its records, all of which
 * stand in one slot. */
struct store_record {
    struct record r;
    struct hash account;
    struct hash id;
    struct hash leaf_hash;
};

/* A hash tile that became full with this append: 256 hashes. */
struct store_tile {
    uint8_t level;
    uint64_t n;
    const struct hash *hashes;
};

/* How far a slot has settled what `source` sent it: below next_in, the last one by the record
 * at index. */
struct store_settled {
    uint32_t source;
    uint64_t next_in, index;
};

struct store_append {
    uint32_t slot;
    uint64_t epoch;     /* must be the stored one */
    tree_size old_size; /* must be the stored one */
    size_t record_count; /* indices old_size, old_size + 1, .. */
    const struct store_record *records;
    size_t tile_count;
    const struct store_tile *tiles;
    size_t item_count; /* outbox: items these records put on channels */
    const struct channel_item *items;
    size_t settled_count; /* sources some of whose items these records settle; what a shared
                             store tells their owners (ledger/store_lease.h) */
    const struct store_settled *settled;
    uint64_t outbox_low; /* items of this slot with source_index below this are settled and
                            may be forgotten */
    size_t edge_count;
    const struct hash *edges;
    struct bytes checkpoint; /* over old_size + record_count */
};

enum store_outcome {
    STORE_COMMITTED,
    STORE_LOST,    /* someone else moved this slot (size or epoch); it rolled back */
    STORE_UNKNOWN, /* may or may not be durable: reload before anything else */
    STORE_FULL,    /* disk full, cleanly rolled back: the same append may be tried again */
    STORE_BROKEN   /* I/O or fsync error: the whole database is suspect; stop */
};

/* Read records [from, from + max) of a slot in order. `visit` returns false to stop. Spans
 * live until it returns. */
typedef bool store_visit(void *context, const struct record *r, const struct hash *account);

/* Every operation of a store. ERR_STORE: try again later; ERR_IO: suspect, stop;
 * ERR_CORRUPT: what was read cannot be right; ERR_NOT_FOUND. `why` may be NULL. */
struct store_ops {
    void (*close)(struct store *s);
    const struct store_identity *(*identity)(struct store *s);

    /* Take over a slot: its epoch becomes one higher, durably. ERR_LOCKED: where several
     * processes share a ledger, another one that lives owns the slot. */
    enum err (*claim)(struct store *s, uint32_t slot, uint64_t *epoch);
    /* As last committed. */
    enum err (*slot)(struct store *s, uint32_t slot, struct store_slot *out);
    /* All slots in one durable transaction; outcome[i] for appends[i]. An outcome of FULL,
     * UNKNOWN or BROKEN concerns every append of the call that is not LOST. */
    void (*append)(struct store *s, const struct store_append appends[], size_t count,
                   enum store_outcome outcome[]);
    /* Outbox items of a slot that were not forgotten yet, in log order then payee order. */
    enum err (*outbox)(struct store *s, uint32_t slot,
                       bool (*visit)(void *context, const struct channel_item *item),
                       void *context);

    /* Snapshots: caches, replaced whole. `parts` are chunks of at most 1 MiB. Not durable
     * before the next append is; load gives the newest, ERR_NOT_FOUND when there is none. */
    enum err (*snapshot_save)(struct store *s, uint32_t slot, tree_size size,
                              const struct bytes parts[], size_t count);
    enum err (*snapshot_load)(struct store *s, uint32_t slot, tree_size *size,
                              bool (*visit)(void *context, struct bytes part),
                              void *context);
    enum err (*snapshot_drop)(struct store *s, uint32_t slot);

    /* Private attachments, by entry id: salt and ciphertext. put replaces nothing
     * (ERR_EXISTS). erase overwrites; ERR_NOT_FOUND. */
    enum err (*sealed_put)(struct store *s, const struct hash *entry, struct bytes data);
    enum err (*sealed_erase)(struct store *s, const struct hash *entry);

    /* Free bytes where the ledger lives; UINT64_MAX when that means nothing. */
    uint64_t (*free_bytes)(struct store *s);
    /* Housekeeping that must not delay commits (e.g. a WAL checkpoint, index upkeep); called
     * from a thread of its own, concurrently with the writer, every 50 ms or so: when nothing
     * is due it costs nothing. ERR_STORE_FULL and ERR_STORE: call again later. ERR_IO: as
     * STORE_BROKEN. */
    enum err (*maintain)(struct store *s);

    /* Readers are closed before their store. */
    enum err (*reader_open)(struct store *s, struct store_reader **out);

    /* Several processes write to this ledger, each its own slots (ledger/store_lease.h): from
     * the first call on, before any claim, a claim needs the slot's lease. Each call gives
     * one more handle, closed before the store. NULL: this store has one writer. */
    enum err (*share)(struct store *s, const struct lease_self *self,
                      struct store_lease **out, struct store_why *why);

    /* Of a ledger whose slots stand at several servers, for who wants to know which of them
     * keeps commits waiting (ledger/store_probe.h); NULL, both: it stands in one place. Any
     * thread, beside all other calls. `places` tells what is known here: it asks no server
     * and waits for none. `out` has room for STORE_PLACES_MAX; [0] is the hub's own database.
     * Returns how many there are; a number stays with its place. */
    size_t (*places)(struct store *s, struct store_place *out);
    /* store_probe of one of them, by its number. False also when there is no such place any
     * more. */
    bool (*probe)(struct store *s, size_t place, unsigned limit_ms,
                  struct store_probe *out, struct store_why *why);
};

/* A call holds one read transaction, its visits included: a visit that waits keeps the WAL
 * from being begun anew, so it copies what it needs and returns. Once the store is broken,
 * ERR_IO. */
struct store_reader_ops {
    void (*close)(struct store_reader *r);
    enum err (*slot)(struct store_reader *r, uint32_t slot, struct store_slot *out);
    enum err (*records)(struct store_reader *r, uint32_t slot, uint64_t from, uint64_t max,
                        store_visit *visit, void *context);
    /* Records of one account by position, in order. */
    enum err (*account)(struct store_reader *r, const struct hash *account, uint64_t from,
                        uint64_t max, store_visit *visit, void *context);
    /* Where the entry with this id stands; ERR_NOT_FOUND. Never wrong about absence: an index
     * that lags is completed from the log before it says so, a damaged one says ERR_STORE. */
    enum err (*find)(struct store_reader *r, const struct hash *id, uint32_t *slot,
                     uint64_t *index);
    /* Complete subtree root over leaves [n << level, (n+1) << level) of a slot, under its
     * committed size: from tiles and leaves. ERR_RANGE past it. */
    enum err (*node)(struct store_reader *r, uint32_t slot, unsigned level, uint64_t n,
                     struct hash *out);
    /* First `width` (1..256) hashes of tile (level, n), within the committed size. */
    enum err (*tile)(struct store_reader *r, uint32_t slot, unsigned level, uint64_t n,
                     unsigned width, struct hash out[TILE_HASHES]);
    enum err (*sealed)(struct store_reader *r, const struct hash *entry, struct buf *out);
    /* ledger/projection.h; NULL: this store keeps none. */
    const struct projection_ops *projection;
};

/* Tests: make the next effects of a store fail. Called with the name of each effect; returns
 * what shall happen. Set before use, NULL for none. Effects, in the order they occur:
 * "append.begin", then for each slot "append.check" and "append.write", "append.commit",
 * "append.answer"; "claim", "snapshot", "sealed" (their commits). In an append FAIL and
 * FAIL_HAPPENED give STORE_UNKNOWN, FULL gives STORE_FULL, IO gives STORE_BROKEN, all rolled
 * back but for FAIL_HAPPENED at the commit; at the answer the append is durable, and FULL too
 * gives STORE_UNKNOWN. Elsewhere ERR_STORE, ERR_UNKNOWN,
 * ERR_STORE_FULL, ERR_IO. Once broken, a store refuses everything. */
enum store_fault_verdict {
    FAULT_NONE,
    FAULT_FAIL,          /* it fails and did not happen */
    FAULT_FAIL_HAPPENED, /* it happens, and the answer is lost */
    FAULT_FULL,          /* disk full */
    FAULT_IO             /* I/O error */
};
struct store_fault {
    enum store_fault_verdict (*at)(void *context, const char *effect);
    void *context;
};

struct store {
    const struct store_ops *ops;
    struct store_fault fault; /* by store_set_fault */
};
struct store_reader {
    const struct store_reader_ops *ops;
};

void store_set_fault(struct store *s, const struct store_fault *f);

/* URI: "memory:", "sqlite:PATH" (PATH relative or absolute) or "postgresql://.." as libpq
 * takes it, without a password. store_create refuses when a ledger is already there
 * (ERR_EXISTS); memory: is created by store_create and lives until close. ERR_MISSING,
 * ERR_CORRUPT, ERR_SCHEMA, ERR_LOCKED (another process has it), ERR_FILE, ERR_STORE (no
 * server there), ERR_CONFIG (a server, a role or a schema that will not do), ERR_USAGE
 * (unknown scheme). */
MUST_CHECK enum err store_create(const char *uri, const struct store_identity *id,
                                 struct store **out, struct store_why *why);
MUST_CHECK enum err store_open(const char *uri, struct store **out, struct store_why *why);
/* A server that follows the store's own (a standby), or a role that may only read:
 * readers, and nothing else of the store may be used. What they show may be older than
 * what is committed. `patience_ms`: a question that is not answered by then is ERR_STORE;
 * 0: as of a store. ERR_USAGE: this kind of store has no replicas; else as store_open. */
MUST_CHECK enum err store_open_replica(const char *uri, unsigned patience_ms,
                                       struct store **out, struct store_why *why);

/* The edges' entry points. store.c picks by scheme among those that are linked: a program
 * that does not link ledger_store_sqlite has no "sqlite:" (ERR_USAGE), and one without
 * ledger_store_postgres no "postgresql:". */
struct store_edge {
    const char *scheme;
    enum err (*create)(const char *rest, const struct store_identity *id, struct store **out,
                       struct store_why *why);
    enum err (*open)(const char *rest, struct store **out, struct store_why *why);
};
extern const struct store_edge store_edge_memory;
extern const struct store_edge store_edge_sqlite;
extern const struct store_edge store_edge_postgresql;
extern const struct store_edge store_edge_postgres; /* the same, spelt "postgres:" */

#endif
