/* Shared by the commit_*.c files. */
#ifndef RELAY_COMMIT_INTERNAL_H
#define RELAY_COMMIT_INTERNAL_H

#include "crypto/context.h"
#include "relay/causes.h"
#include "relay/commit.h"
#include "relay/quota.h"
#include "relay/relay.h"

#define ANSWER_RESULTS_MAX WIRE_ENTRIES_MAX

/* What one connection gets from one batch, under construction. */
struct answer {
    struct answer *next; /* in `touched`, or spare */
    conn_id conn;
    struct buf results;
    uint32_t result_count;
    uint32_t entries; /* submitted entries answered: the connection's budget */
    uint64_t slots[SLOTS_MAX / 64]; /* whose checkpoint the results need */
    struct buf settled;
    uint32_t settled_count;
};

struct commit {
    struct relay *r;
    struct sequencer_config config;
    struct sequencer *q;
    struct store_reader *reader; /* for questions about the past */
    struct causes causes;
    struct quotas accounts;
    bool recount; /* an answer of the store was lost: what is under way may be other */
    pthread_t thread;
    bool started;
    struct chain_of_links waiting;     /* jobs taken from the queue, not handled yet */
    struct chain_of_links asks, seals; /* requests taken from it */
    struct job *resume; /* its items from resume_at on wait for the next batch */
    uint32_t resume_at;
    struct answer **by_conn; /* by index of connection */
    size_t by_conn_cap;
    struct answer *touched;
    struct answer *spare;
    struct chain_of_links mail;   /* for the loop, sent at the end of a cycle */
    struct chain_of_links events; /* commits; after the answers: who waits comes first */
    struct chain_of_links bus_out; /* the same for other relays; last of all */
    struct request *lookups;      /* duplicates found in this cycle, under construction */
    struct chain_of_links lookup_requests;
    uint64_t full_ms; /* when a batch that waits for disk room was last tried */
    uint64_t snapshot_size[SLOTS_MAX];
    uint64_t reload_ms[SLOTS_MAX]; /* when a down slot is tried again */
    enum store_outcome outcomes[SLOTS_MAX];
    uint64_t ledger_size;
    /* Of a region (commit_region.c): slots to be sequenced here; of those, shown to others;
     * sent something in this cycle; contradicted by another log. */
    bool held[SLOTS_MAX], introduced[SLOTS_MAX], sent[SLOTS_MAX], doubted[SLOTS_MAX];
    uint64_t introduce_ms[SLOTS_MAX]; /* when that is tried again */
    bool reloads; /* a slot was loaded in this cycle: there may be more */
};

/* commit_answer.c: results and settlements into frames, one connection one frame. */
void answer_accepted(struct commit *c, struct job_item *item, const struct seq_result *r);
void answer_refused(struct commit *c, struct job_item *item, const struct refusal *r,
                    uint64_t now_ms);
void answer_settled(struct commit *c, conn_id conn, const struct seq_settled *s);
/* Frames of everything under construction, as mail. */
void answers_finish(struct commit *c);
void answers_close(struct commit *c);
/* The encoded form of a refused result, signed when the rules refused an entry that
 * decoded and whose signature holds; `id` is that entry's, NULL for any other. */
void result_refused(struct wire_result *out, const struct relay *r, uint64_t rid,
                    uint32_t i, const struct hash *id, const struct refusal *refusal,
                    uint64_t now_ms);

/* commit_event.c: what subscribers get; the set of pinned accounts. */
void event_committed(struct commit *c, const struct seq_commit *done);
/* A slot was loaded anew: what the store holds of it is what is published from now on. */
void event_reloaded(struct commit *c, uint32_t slot);
MUST_CHECK enum err pinned_prepare(struct commit *c, const struct store_append appends[],
                                   size_t count);
MUST_CHECK enum err pinned_load(struct commit *c, uint32_t slot);

/* commit_quota.c: may one more entry of its account be sequenced now, and if not, when? Its
 * account pays when it is committed. */
bool account_due(struct commit *c, const struct entry *e, uint64_t *retry_ms);
void account_charge(struct commit *c, const struct entry *e);

/* commit_ask.c: questions between batches, snapshots, slots that come back. */
void ask(struct commit *c, struct request *q);
MUST_CHECK enum err causes_load(struct commit *c, uint32_t slot);
void snapshots(struct commit *c, bool all);
void snapshot(struct commit *c, uint32_t slot, struct slotlog *log);
void slots_reload(struct commit *c, uint64_t now_mono_ms);
void write_state_refresh(struct commit *c);

/* commit.c: whoever waits for the cause is told. */
void tell_settled(struct commit *c, const struct seq_settled *s);
/* sequencer_prepare by the clocks of this machine. */
MUST_CHECK enum err commit_prepare(struct commit *c, const struct store_append **appends,
                                   size_t *count);

/* commit_region.c; in a hub of one process every slot is held and the rest does nothing. */
bool slot_held(const struct commit *c, uint32_t slot);
/* .. and shown to others: one that is still being loaded keeps nobody from writing. */
bool slot_shown(const struct commit *c, uint32_t slot);
/* Between batches: do what the region thread ordered. */
void region_cycle(struct commit *c, uint64_t now_mono_ms);
/* A slot contradicts others that are here; they may be ours no more, so all are claimed and
 * loaded again. False: it was so before. */
bool region_doubts(struct commit *c, uint32_t slot);
/* A slot that is held waits to be loaded or shown. */
bool region_loads(const struct commit *c);
/* The slot has put out items, maybe. */
void region_committed(struct commit *c, uint32_t slot);
/* Between batches. */
void region_channels(struct commit *c, const struct region_batch *b);

#endif
