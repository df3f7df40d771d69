/* What the files of the sequencer share and nobody outside includes. */
#ifndef LEDGER_SEQUENCER_STATE_H
#define LEDGER_SEQUENCER_STATE_H

#include "ledger/kinds.h"
#include "ledger/outbox.h"
#include "ledger/sequencer.h"

#define TILE_LEVELS (MERKLE_LEVELS_MAX / TILE_HEIGHT)
#define TILES_MAX(slots)                                                                 \
    (SEQ_BATCH_ENTRIES_MAX / TILE_HASHES + (size_t)TILE_LEVELS * (slots))
#define ARENA_BLOCK_BYTES ((size_t)512 << 10)
#define ARENA_BLOCKS_MAX 128
#define HUB_ENTRY_BYTES_MAX 1024 /* a credit or bounce */
#define ID_CELLS (4 * SEQ_BATCH_ENTRIES_MAX)
#define NONE UINT32_MAX

/* Memory that lives until the batch is over; blocks are kept for the next. */
struct arena {
    const struct alloc *mem;
    uint8_t *blocks[ARENA_BLOCKS_MAX];
    size_t block_count;
    size_t block; /* in use */
    size_t used;  /* of that block */
};
/* Aligned for anything; size <= ARENA_BLOCK_BYTES. NULL: no memory. */
void *arena_take(struct arena *a, size_t size);
/* Where the arena stands, to give back everything taken since. */
struct arena_mark {
    size_t block;
    size_t used;
};
struct arena_mark arena_mark(const struct arena *a);
void arena_rewind(struct arena *a, struct arena_mark m);
void arena_reset(struct arena *a);
void arena_close(struct arena *a);

/* A record of the batch, in order of arrival. */
struct pending {
    struct store_record stored;
    uint32_t next;         /* record of the same slot, NONE */
    uint32_t waiter_first; /* NONE: written by the sequencer itself, or answered */
    uint32_t waiter_last;
    uint32_t cell;         /* in the id table, NONE */
    uint32_t account_cell; /* in the account table, NONE: not the account's first */
    bool settles;
    bool bounced;
    uint32_t settle_source;
    uint64_t settle_seq;
};

/* Someone to answer. */
struct waiter {
    uint64_t token;
    uint32_t next; /* of the same record, NONE */
    bool duplicate;
    bool answered;
    uint32_t held; /* refusal held back, NONE */
};

/* A refusal that rests on records of the batch. */
struct held_refusal {
    struct refusal refusal;
    uint32_t slot;
};

struct seq_slot {
    enum seq_slot_state state;
    bool settle_blocked; /* an item could not be settled: none is, until the next load */
    struct slotlog *log; /* NULL: down */
    uint64_t epoch;
    struct frontier committed;
    char checkpoint[CHECKPOINT_BYTES_MAX]; /* committed */
    size_t checkpoint_size;
    struct hash tiles[TILE_LEVELS][TILE_HASHES]; /* committed partial tiles */
    /* This batch. */
    uint32_t first, last; /* pending, NONE */
    size_t record_count;
    size_t record_at; /* in sorted[] */
    struct channel_item *items;
    size_t item_count, item_cap;
    struct merkle_batch merkle;
    struct hash edges[MERKLE_LEVELS_MAX];
    char next_checkpoint[CHECKPOINT_BYTES_MAX];
    size_t next_checkpoint_size;
};

struct sequencer {
    const struct alloc *mem;
    const struct key *relay;
    const struct key *log;
    struct pubkey relay_public;
    struct pubkey log_public;
    uint32_t slots;
    bool in_flight; /* between prepare and outcome */
    bool full;      /* the batch waits for disk room */
    bool stopped;   /* clock or I/O: for good */
    bool broken;
    bool clock_known;
    uint64_t clock_wall_ms, clock_mono_ms;
    struct seq_slot *slot;
    struct outbox *outbox;
    uint64_t settle_turn; /* pair to start with */
    uint64_t settle_due;  /* items that can be settled now; kept by settle_refresh */
    /* The batch. */
    struct arena arena;
    size_t bytes;      /* of envelopes */
    size_t item_count; /* over all slots */
    uint32_t pending_count;
    struct pending *pending;     /* SEQ_BATCH_ENTRIES_MAX */
    struct store_record *sorted; /* the same, slot by slot */
    uint32_t *order;             /* sorted[i] came from pending[order[i]] */
    struct hash *leaves;         /* of sorted */
    struct hash *nodes;          /* for the merkle batches */
    uint32_t waiter_count;
    struct waiter *waiters; /* SEQ_BATCH_WAITERS_MAX */
    uint32_t *ids;          /* ID_CELLS: pending + 1, by entry id */
    uint32_t *accounts;     /* ID_CELLS: the same by account */
    uint32_t held_count;
    struct held_refusal *held; /* SEQ_BATCH_REFUSALS_MAX */
    uint64_t id_seed;
    struct store_append *appends; /* slots */
    size_t append_count;
    struct store_tile *tiles; /* TILES_MAX(slots) */
    /* Scratch that is too big or too often used for the stack. */
    struct effects effects;
    struct payload payload;
    struct entry entry;
    struct seq_result result;
    uint64_t *counts; /* slots */
    struct seq_stats stats;
};

/* Does the slot's log name the keys we hold? */
bool slot_may_sign(const struct sequencer *q, const struct seq_slot *s);
bool slot_may_settle(const struct sequencer *q, uint32_t slot);
/* Count again what can be settled: after slots, keys or the outbox changed. */
void settle_refresh(struct sequencer *q);
/* Write credits and bounces for what is due, as far as the batch has room. */
void settle_write(struct sequencer *q, uint64_t now_ms);

/* Admit an entry whose slot is READY as the next pending record; the batch has room for
 * it. */
MUST_CHECK enum err batch_admit(struct sequencer *q, struct seq_slot *s,
                                const struct entry *e, uint64_t now_ms,
                                struct pending **out);
/* Forget the batch; nobody waits any more. */
void batch_reset(struct sequencer *q);
/* Take the slot's records out of the batch, close its log. */
void slot_down(struct sequencer *q, uint32_t slot, enum seq_slot_state state);
/* Answer everybody who is still waiting: refused. */
void refuse_waiters(struct sequencer *q, const struct seq_output *out);

#endif
