/* The verification engine: records in, verdict out, on all cores. Two modes:
 *
 *  full  every device signature is checked;
 *  tip   per account, the last entry signed by each distinct key is checked. A device's
 * chain of hashes lets one signature vouch for everything that key signed before it. The
 *        hub's chain is shared by issuer and relay key, so each key's own last entry is
 *        checked: the relay key never vouches for an accrual.
 *
 * Both check form, chains, rules (account_apply; embedded signatures always), account
 * heads, clocks, leaves and the tree's root. Threads are made inside and joined before
 * return. */
#ifndef CLIENT_VERIFY_H
#define CLIENT_VERIFY_H

#include "crypto/merkle.h"
#include "ledger/account.h"

#define VERIFY_THREADS_MAX 64
#define VERIFY_CHUNK 256 /* records prepared at a time */
#define VERIFY_WHY_MAX 200

enum verify_mode { VERIFY_TIP, VERIFY_FULL };

/* One ordered stream of records: a slot, or one account. Calls for one lane come one at a
 * time, but from any thread; different lanes are called at the same time. */
struct verify_lane {
    void *context;
    /* The next at most `max` records, in order. *count 0: no more. What `hold` stands for
     * keeps the envelopes alive until release (which may come from another thread). */
    enum err (*read)(void *context, struct record out[], size_t max, size_t *count,
                     void **hold);
    void (*release)(void *context, void *hold); /* may be NULL */
    /* Apply one record, in order. `leaf` is its leaf hash, computed from its fields. */
    enum err (*apply)(void *context, const struct entry *e, const struct record *r,
                      const struct hash *leaf);
    /* After the last record: final checks. May be NULL. */
    enum err (*finish)(void *context);
    /* A record that cannot be decoded or whose signature fails, in its turn; what it returns
     * goes on (ERR_OK) or ends the lane. NULL: `why` ends it. */
    enum err (*refuse)(void *context, const struct record *r, enum err why);
    bool no_leaf; /* leaf hashes are not wanted */
    bool withheld; /* an empty envelope is not there to be seen: apply gets no entry (NULL) and
                      no leaf (NULL) for it; else it is malformed */
    const uint8_t *leaf_data; /* during apply: the 80 bytes that `leaf` is the hash of */
    /* Results. */
    enum err err;
    uint64_t
        index; /* of the record that failed (as read, from 0), when err is not ERR_OK */
    uint64_t records;
};

/* done: records so far, all lanes. False stops: ERR_TIMEOUT is returned. Called on the
 * caller's thread only. */
typedef bool (*verify_progress)(void *context, uint64_t done);

struct verify_options {
    enum verify_mode mode;
    unsigned threads;   /* 0: as many as cores */
    bool no_signatures; /* replay only; for measuring */
    verify_progress progress;
    void *progress_context;
};

/* Run lanes to their ends. The first lane's error that is not ERR_OK is returned (all are
 * in the lanes); ERR_TIMEOUT: progress said stop. */
MUST_CHECK enum err verify_lanes(struct verify_lane lanes[], size_t count,
                                 const struct verify_options *o, uint64_t *signatures);

/* Run fn(context, i) for i < count on several threads; the error of the lowest i that
 * failed is returned. */
MUST_CHECK enum err verify_each(size_t count, unsigned threads,
                                enum err (*fn)(void *context, size_t i), void *context);

/* The keys an account was written with, and the last entry of each: for tip mode. */
struct tips {
    uint32_t count, cap;
    struct tip *items;
};
MUST_CHECK enum err tips_note(struct tips *t, const struct entry *e);
/* Verify all; adds their number to *checked. ERR_SIGNATURE. */
MUST_CHECK enum err tips_verify(const struct tips *t, uint64_t *checked);
void tips_close(struct tips *t);

/* ---- a whole log --------------------------------------------------------------------
 */

/* Where records of slots come from. `read` is called for several slots at a time from
 * several threads, for one slot in order. */
struct verify_source {
    void *context;
    enum err (*read)(void *context, uint32_t slot, uint64_t from, struct record out[],
                     size_t max, size_t *count, void **hold);
    void (*release)(void *context, void *hold); /* may be NULL */
};

struct verify_slot {
    uint32_t slot;
    struct bytes checkpoint;     /* signed note to hold the slot to; size 0: none */
    const struct hash *log_open; /* id to insist on for record 0; NULL: any */
    /* Results. */
    enum err err;
    uint64_t index; /* of the first bad record */
    char why[VERIFY_WHY_MAX];
    uint64_t records, accounts, signatures;
    struct hash root;
    struct hash digest; /* RFC 6962 root over account digests in id order */
    int64_t accrued, adjusted;
    int64_t balances; /* sum */
    uint64_t sent, settled;
};

struct verify_log_report {
    uint64_t records, signatures, elapsed_us;
    bool conserved; /* all slots of the hub given: balances + in flight = accrued +
                       adjusted */
    bool all_slots;
};

/* Replay slots from their first record. With all slots of a hub given, also: every
 * settled channel item is one that its source put there, and conservation. `slots[i]` get
 * their results; the first error is returned. */
MUST_CHECK enum err verify_log(const struct verify_source *source,
                               struct verify_slot slots[], size_t count,
                               const struct verify_options *o,
                               struct verify_log_report *report);

#endif
