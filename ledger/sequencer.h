/* The sequencer core: many slots, one joint commit at a time. Sans-IO: the driver hands in
 * checked entries and store outcomes with the time, and takes out an append to perform and
 * results to answer. Order of effects (docs/ARCHITECTURE.md): verify -> sequence -> one durable
 * append -> answer -> bus. Nothing it signs may leave the process before SEQ_COMMITTED.
 *
 * The driver's cycle (relay/commit.c, tests/sim):
 *     sequencer_submit() for what has arrived       (refusals come back at once)
 *     sequencer_prepare() -> appends                (also writes due credits and bounces)
 *     store append -> outcomes
 *     sequencer_outcome()                           -> results, settlements, commits
 * One append is in flight at most; submit between prepare and outcome is refused BUSY.
 * Not thread-safe: one thread owns it. */
#ifndef LEDGER_SEQUENCER_H
#define LEDGER_SEQUENCER_H

#include "crypto/key.h"
#include "ledger/slotlog.h"
#include "ledger/store.h"

#define SEQ_BATCH_ENTRIES_MAX 4096 /* records in one append, hub-written ones included */
#define SEQ_BATCH_BYTES_MAX (8u << 20)
#define SEQ_BATCH_ITEMS_MAX 65536 /* channel items in one append */
#define SEQ_BATCH_WAITERS_MAX (2 * SEQ_BATCH_ENTRIES_MAX) /* entries and their duplicates */
#define SEQ_BATCH_REFUSALS_MAX SEQ_BATCH_ENTRIES_MAX /* held back until the outcome */
#define SEQ_SETTLE_MIN (SEQ_BATCH_ENTRIES_MAX / 2) /* kept free for due items, if there are */
#define SEQ_RETRY_BUSY_MS 50
#define SEQ_RETRY_UNAVAILABLE_MS 1000
#define SEQ_CLOCK_JUMP_MS 60000

struct sequencer;

struct sequencer_config {
    const struct alloc *mem;
    const struct key *relay; /* borrowed for the sequencer's life */
    const struct key *log;
    uint64_t map_seed; /* random */
    uint32_t slots;
};

MUST_CHECK enum err sequencer_open(struct sequencer **out, const struct sequencer_config *c);
void sequencer_close(struct sequencer *q);

enum seq_slot_state {
    SEQ_SLOT_DOWN,    /* not loaded, or lost: needs recover_slot */
    SEQ_SLOT_READY,
    SEQ_SLOT_STOPPED  /* fork, restored backup, rules ahead: a person must look */
};
/* Hand over a recovered slot (ledger/recover.h), its slot down until now. `log` is a struct
 * slotlog allocated from the sequencer's struct alloc; the sequencer owns it then. `items` are
 * the outbox items the store still holds; settled ones are dropped here. `tiles`: the hashes of
 * the partial tiles of every level, lowest first, tile_width of them each. All but `log` is
 * copied. On error `log` stays the caller's and the slot down.
 * ERR_CORRUPT, ERR_BEHIND: the channels of this and other slots contradict each other (or the
 * slot was stopped); ERR_MEMORY. */
MUST_CHECK enum err sequencer_slot_ready(struct sequencer *q, struct slotlog *log,
                                         uint64_t epoch, struct bytes checkpoint,
                                         const struct hash tiles[],
                                         const struct channel_item items[], size_t count);
/* A person must look: nothing of this slot is committed or answered any more, and only a
 * restart loads it again. Allowed at any time. */
void sequencer_slot_stop(struct sequencer *q, uint32_t slot);
/* Another relay sequences the slot from now on. Allowed between batches, whatever the slot's
 * state; what is queued for it is refused ERR_UNAVAILABLE with the next outcome. */
void sequencer_slot_release(struct sequencer *q, uint32_t slot);
/* A slot that was stopped may be loaded again: what stopped it is looked at anew then. Allowed
 * between batches, whatever the slot's state. */
void sequencer_slot_retry(struct sequencer *q, uint32_t slot);
enum seq_slot_state sequencer_slot_state(const struct sequencer *q, uint32_t slot);
/* The slot's state, for reads by the owning thread (account heads, balances, digests). As of
 * the last submit, so with entries queued it is ahead of the store. NULL unless READY. */
struct slotlog *sequencer_slotlog(struct sequencer *q, uint32_t slot);
/* Newest committed checkpoint; borrowed until the next outcome. Empty: none, or down. */
struct bytes sequencer_checkpoint(const struct sequencer *q, uint32_t slot);

/* What comes back from submit. */
enum seq_disposition {
    SEQ_QUEUED,  /* a result with this token follows after the commit: accepted, or refused
                    because of what stands before it in the same batch */
    SEQ_REFUSED, /* refusal is filled */
    SEQ_LOOKUP   /* its seq is taken: look the id up in the store. Found: answer with that
                    record (a duplicate). Not found: refuse with `refusal` as filled */
};
/* A refusal and the head that a writer needs to build the next entry. */
struct refusal {
    enum err code;
    bool has_head;
    uint64_t next_seq;
    struct hash tip;
    uint64_t tip_lamport;
    int64_t balance; /* for ERR_BALANCE; else 0 */
    uint64_t retry_after_ms;
};
/* `e` was decoded and its signature verified; its envelope is copied, so the caller's memory
 * is free afterwards. from_wire: refuses kinds only the hub itself may write. Credits and
 * bounces are refused from anyone: the sequencer writes them itself. A refusal that rests on
 * records of this batch is not given before they are committed (SEQ_QUEUED, then a result that
 * is not accepted): nobody builds on a head that may never be. */
enum seq_disposition sequencer_submit(struct sequencer *q, const struct entry *e,
                                      uint64_t token, bool from_wire, uint64_t now_ms,
                                      struct refusal *refusal);
/* Is anything to do? Entries queued, channel items due, answers owed, or a batch that waits
 * for disk room (then: with sequencer_full, try again after a while). */
bool sequencer_pending(const struct sequencer *q);

/* Write due credits and bounces, sign checkpoints, fill the appends. Borrowed until outcome.
 * sequencer_outcome must follow, also when *count is 0: there may be answers owed.
 * `now_ms` is Unix time, `mono_ms` of a clock that never jumps and goes on while the machine is
 * suspended. ERR_MEMORY: nothing happened, try again. ERR_CLOCK: the wall clock jumped against the
 * monotonic one by more than SEQ_CLOCK_JUMP_MS since the last call: the sequencer refuses all
 * further entries and answers nothing that is queued (stop, tell a person). ERR_IO: broken. */
MUST_CHECK enum err sequencer_prepare(struct sequencer *q, uint64_t now_ms, uint64_t mono_ms,
                                      const struct store_append **appends, size_t *count);

struct seq_result {
    uint64_t token;
    bool accepted;
    struct refusal refusal; /* when not accepted: ERR_UNAVAILABLE (send the same bytes again),
                               or what submit would have said */
    bool duplicate;
    struct record record;
    size_t path_count;
    struct hash path[MERKLE_PATH_MAX];
};
/* One settled item, reported when its credit or bounce is durable. */
struct seq_settled {
    struct hash cause;
    uint32_t payee_index;
    bool bounced;
    uint32_t slot;   /* where the credit or bounce stands */
    uint64_t index;
    uint32_t remaining; /* items of this cause still under way */
};
/* A slot that advanced, with its records: what subscribers get. */
struct seq_commit {
    uint32_t slot;
    tree_size old_size, new_size;
    const struct store_record *records;
    struct bytes checkpoint;
};
struct seq_output {
    void *context;
    void (*result)(void *context, const struct seq_result *r);
    void (*settled)(void *context, const struct seq_settled *s);
    void (*commit)(void *context, const struct seq_commit *c);
};
/* What the store said, outcome[i] for appends[i] of the last prepare. Calls back in log order.
 * FULL: queued entries are answered ERR_UNAVAILABLE, the batch is kept and comes out of the
 * next prepare unchanged; new entries are refused ERR_UNAVAILABLE until it commits. LOST or
 * UNKNOWN: that slot goes SEQ_SLOT_DOWN and its entries are answered ERR_UNAVAILABLE, as are
 * those of stopped slots. BROKEN: everything stops, all is answered ERR_UNAVAILABLE, ERR_IO is
 * returned. Settlements that became durable under an UNKNOWN outcome are not reported.
 * A slot may be down afterwards though it committed (ERR_MEMORY inside): reload it. */
MUST_CHECK enum err sequencer_outcome(struct sequencer *q, const enum store_outcome outcome[],
                                      const struct seq_output *out);
/* Drop everything tentative: all slots with uncommitted records go DOWN, their entries are
 * answered ERR_UNAVAILABLE (drain, tests). Not between prepare and outcome. */
void sequencer_drop(struct sequencer *q, const struct seq_output *out);
bool sequencer_full(const struct sequencer *q); /* waiting for disk room */
/* Do slots' states hold records that the store does not have (yet): a batch that waits for
 * room, or one that could not be prepared? Then nothing read from them may be signed or told. */
bool sequencer_tentative(const struct sequencer *q);

/* Channels with one end at another relay (docs/architecture/region.md). Between batches.
 *
 * Items that slots of other relays sent to slots that are READY here, as their outboxes hold
 * them, in order; those that are known or not for us are passed over. ERR_RANGE: there is a
 * gap before one; ERR_MEMORY. What came before it is kept. */
MUST_CHECK enum err sequencer_receive(struct sequencer *q,
                                      const struct channel_item items[], size_t count);
/* A record of another relay's slot settled what a slot here sent it. False: it is not the
 * oldest open item of that channel, or both ends are here. */
struct seq_sent {
    uint32_t source, destination;
    uint64_t out_seq;
    uint64_t index; /* of the record */
    bool bounced;
};
bool sequencer_settle_sent(struct sequencer *q, const struct seq_sent *sent,
                           struct seq_settled *out);
/* Everything below next_in was, with nothing to report. ERR_BEHIND: the destination settled
 * more than this source ever sent: its log was set back. */
MUST_CHECK enum err sequencer_settle_sent_to(struct sequencer *q, uint32_t source,
                                             uint32_t destination, uint64_t next_in);
/* Of a channel, items [*settled, *end) are known here and open. False: nothing is known. */
bool sequencer_channel(const struct sequencer *q, uint32_t source, uint32_t destination,
                       uint64_t *settled, uint64_t *end);
/* The epoch the slot was claimed with; only while it is READY. */
uint64_t sequencer_epoch(const struct sequencer *q, uint32_t slot);

struct seq_stats {
    uint64_t records, batches, credits, bounces, duplicates;
    uint64_t items_waiting;        /* channel items not settled yet */
    uint64_t item_oldest_since_ms; /* hub time the oldest waiting item was committed, or its
                                      slot's hub time when it was loaded; 0 none */
};
void sequencer_stats(const struct sequencer *q, struct seq_stats *out);

#endif
