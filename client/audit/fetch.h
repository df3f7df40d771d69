/* Copies logs into a directory (layout: source.h). Every byte is held to a checkpoint that was
 * verified under the policy before the first of them was asked for: tiles to the signed root,
 * leaves to the tiles, envelopes to the leaves. What is already there and good is not asked
 * for again, so a run that was cut short goes on where it stood. A log's checkpoint is
 * written last: where there is one, all that it promises is there.
 *
 * A checkpoint once seen is never forgotten: the largest one seen is what a run copies, and
 * every other one must be a beginning of it; else both are kept as evidence. */
#ifndef CLIENT_AUDIT_FETCH_H
#define CLIENT_AUDIT_FETCH_H

#include "client/audit/audit.h"
#include "client/audit/source_edges.h"

#define FETCH_SIZE_MAX (UINT64_C(1) << 32) /* records of a log: 1/8 byte of memory each */
#define FETCH_EVIDENCE "evidence" /* folder in the directory */
#define FETCH_EVIDENCE_NAME_MAX 64

struct fetch_options {
    const struct policy *policy;
    unsigned jobs; /* 0: 4 */
    bool one_slot;
    uint32_t slot;
    const _Bool *cancel;
    void (*progress)(void *context, const struct audit_progress *p);
    void *progress_context;
};

enum fetch_state {
    FETCH_OPEN,    /* not all of it is here */
    FETCH_DONE,    /* here, whole, checkpoint written */
    FETCH_BEHIND,  /* here, whole; but the source shows an older checkpoint than before */
    FETCH_MISSING, /* the policy names it, the source does not have it */
    FETCH_REFUSED, /* what the source shows is not what was signed, or is not signed */
    FETCH_FORK     /* two signed trees that cannot both be true */
};

struct fetch_slot {
    uint32_t slot;
    enum fetch_state state;
    char origin[NOTE_NAME_MAX + 1]; /* "" until verified */
    tree_size before;               /* of the checkpoint kept from an earlier run */
    tree_size size;                 /* of the one that is copied */
    uint64_t withheld;
    char why[AUDIT_WHY_MAX];     /* when not FETCH_DONE */
    char evidence[FETCH_EVIDENCE_NAME_MAX]; /* within the directory; "" none */
};

struct fetch_report {
    size_t slot_count;
    struct fetch_slot slots[SLOTS_MAX];
    uint64_t total, done; /* records */
    uint64_t files, bytes; /* that were asked for and good */
    uint64_t errors;
    bool interrupted;
    bool unreachable; /* the source did not answer (any more) */
    char why[AUDIT_WHY_MAX]; /* the first of what went wrong */
};

/* ERR_OK: there is a report. ERR_FILE, ERR_LOCKED, ERR_STORE_FULL, ERR_MEMORY, ERR_USAGE (no
 * such slot in the policy). `files` stays the caller's. */
MUST_CHECK enum err fetch_run(const struct audit_files *files, const char *dir,
                              const struct fetch_options *o, struct fetch_report *r,
                              char why[AUDIT_WHY_MAX]);
/* 1: the source is wrong; 69: it never answered; 2: not finished; 0. */
int fetch_exit(const struct fetch_report *r);
const char *fetch_state_word(enum fetch_state s);

#endif
