/* The audit: bytes in, findings out. Every check is made over bytes that are read again and
 * every value is computed anew; nothing a hub says about itself is believed. One function turns
 * the report into the exit code, so a damaged log cannot end with 0.
 *
 * Trust comes from a policy (crypto/policy.h) that the user gives. Threads are made inside. */
#ifndef CLIENT_AUDIT_AUDIT_H
#define CLIENT_AUDIT_AUDIT_H

#include "client/audit/source.h"
#include "crypto/policy.h"

/* number, word, what it holds the log to. Finding ids are A2100 + number; stable. */
#define AUDIT_CHECKS(X)                                                                      \
    X(ENCODING, 1, "encoding", "every envelope is one canonical entry of a known kind")      \
    X(SIGNATURE, 2, "signature", "every entry is signed by the key it names")                \
    X(KEY_VALID, 3, "key-valid", "that key was in force at the entry's own position")        \
    X(CHAIN, 4, "chain", "each device's entries form one chain: seq, prev, refs")            \
    X(ORDER, 5, "order", "indices and account positions count up by one, heads chain")       \
    X(LAMPORT, 6, "lamport", "writers' and hub's Lamport clocks and the hub's time are exact") \
    X(DUPLICATE, 7, "duplicate", "no entry stands twice")                                    \
    X(AUTHORITY, 8, "authority", "the writer may write this kind; embedded signatures hold") \
    X(BALANCE, 9, "balance", "no account is overdrawn; amounts follow the rules")            \
    X(CONSERVATION, 10, "conservation", "points: balances + in flight = accrued + adjusted")  \
    X(LEAF, 11, "leaf", "each stored leaf is the one computed from its envelope")            \
    X(INCLUSION, 12, "inclusion", "the leaves give the tiles and the signed root")           \
    X(CONSISTENCY, 13, "consistency", "every checkpoint ever seen is one tree")              \
    X(COSIGN, 14, "cosign", "the policy's quorum of witnesses has cosigned")                 \
    X(RESIDENCY, 15, "residency", "envelopes of pinned accounts are only where they may be") \
    X(CADENCE, 16, "cadence", "checkpoints are not older than the policy of the audit allows") \
    X(SOURCE, 17, "source", "the container is whole: nothing cut, missing or unreadable")    \
    X(PROMISE, 18, "promise", "the log keeps every receipt and account head given with it")

#define AUDIT_ENUM_(name, number, word, text) AUDIT_##name = number,
enum audit_check { AUDIT_CHECKS(AUDIT_ENUM_) AUDIT_CHECK_END };
#undef AUDIT_ENUM_
#define AUDIT_FINDING_FIRST 2100

enum audit_severity { AUDIT_WARNING, AUDIT_CRITICAL };

#define AUDIT_FINDINGS_MAX 4096 /* of one report; more are counted */
#define AUDIT_SLOT_FINDINGS_MAX 16 /* of one slot; more are counted */
#define AUDIT_SEEN_MAX 4096 /* checkpoints kept of one log */
#define AUDIT_TEXT_MAX 200
struct audit_finding {
    enum audit_check check;
    enum audit_severity severity;
    enum err code; /* the rule's own word, where a rule refused it */
    uint32_t slot;
    uint64_t index; /* UINT64_MAX: the log as a whole */
    char file[128];
    uint64_t offset;
    char expected[AUDIT_TEXT_MAX], found[AUDIT_TEXT_MAX];
    char text[AUDIT_TEXT_MAX]; /* one sentence */
    char evidence[128];        /* file name in the report's folder; "" none */
};

enum audit_mode { AUDIT_TIP, AUDIT_FULL };

struct audit_slot_result {
    uint32_t slot;
    char origin[NOTE_NAME_MAX + 1];
    tree_size size;  /* of the checkpoint audited */
    tree_size from;  /* where this run went on from a saved state */
    tree_size checked; /* records read and judged so far, from 0 */
    struct hash root, digest;
    uint64_t accounts, withheld, signatures;
    int64_t accrued, adjusted, balances, in_flight;
    uint64_t witnesses; /* bit i: policy's witness i cosigned */
    bool quorum;
    bool trusted; /* checkpoint verified under the policy */
};

struct audit_report {
    char hub[HUB_NAME_MAX + 1];
    struct hash policy; /* hash of the file */
    bool conserved; /* all slots there and points add up */
    bool first_use;     /* keys were taken from the source on the user's word */
    enum audit_mode mode;
    uint64_t ran, skipped; /* bit per check */
    char skipped_why[AUDIT_CHECK_END][AUDIT_TEXT_MAX];
    size_t slot_count;
    struct audit_slot_result slots[SLOTS_MAX];
    size_t finding_count, finding_more;
    struct audit_finding findings[AUDIT_FINDINGS_MAX];
    bool complete; /* every record of every checkpoint was judged */
    uint64_t records, checked;
};

/* The one place: 1 with any critical finding; else 2 when not complete; else 0. */
int audit_exit(const struct audit_report *r);

struct audit_progress {
    const char *operation; /* "fetch", "verify", "replay" */
    uint64_t done, total, errors;
    double rate; /* a second */
    uint64_t eta_ms;
};

struct audit_options {
    enum audit_mode mode;
    unsigned threads; /* 0: one a core */
    const char *state_dir; /* saved state and checkpoints seen; NULL: none kept */
    const char *evidence_dir; /* NULL: none written */
    const struct policy *policy;
    bool first_use; /* the policy was made from the source itself */
    const struct bytes *checkpoints; /* more notes that must fit (receipts, gossip) */
    size_t checkpoint_count;
    const struct bytes *promises; /* receipts and head files, each whole */
    size_t promise_count;
    uint64_t max_age_s; /* cadence; 0: not checked */
    uint64_t now_s;     /* for cadence only; stays outside the signed body */
    bool no_signatures; /* `replay` */
    /* Called at the end for each checkpoint that was audited. NULL: nobody asks. */
    void (*audited)(void *context, uint32_t slot, struct bytes note);
    void *audited_context;
    bool (*progress)(void *context, const struct audit_progress *p); /* false: stop */
    void *progress_context;
    uint64_t progress_us; /* between two calls; 0: five a second */
};

/* Audit every slot the policy names and the source has (a slot the policy names and the source
 * lacks is a finding). ERR_OK: there is a report, whatever it says; else nothing could be
 * judged and `why` says why. */
MUST_CHECK enum err audit_run(struct audit_source *s, const struct audit_options *o,
                              struct audit_report *r, char why[AUDIT_WHY_MAX]);

/* Canonical JSON (sorted members, no white space, big integers as strings) without host, wall
 * clock or duration: the same input gives the same bytes. */
MUST_CHECK enum err audit_report_json(const struct audit_report *r, struct buf *out);
MUST_CHECK enum err audit_report_text(const struct audit_report *r, struct buf *out);
MUST_CHECK enum err audit_report_html(const struct audit_report *r, struct buf *out);

const char *audit_check_word(enum audit_check c);
const char *audit_check_text(enum audit_check c);

#endif
