/* Two copies of the same logs: do their signed checkpoints go together, which is ahead, and
 * where is the first leaf that differs? Found by walking down the tiles of both, so that it
 * costs O(log size) reads where a source has tiles. */
#ifndef CLIENT_AUDIT_DIFF_H
#define CLIENT_AUDIT_DIFF_H

#include "client/audit/audit.h"
#include "client/audit/fetch_tree.h"

enum diff_state {
    DIFF_SAME,     /* one tree of one size */
    DIFF_AHEAD,    /* one is a beginning of the other */
    DIFF_FORK,     /* both signed, and they cannot both be true */
    DIFF_WRONG,    /* what a source shows is not what its checkpoint signs, or not signed */
    DIFF_UNKNOWN   /* not all of it could be read */
};

struct diff_slot {
    uint32_t slot;
    enum diff_state state;
    char origin[NOTE_NAME_MAX + 1];
    tree_size size[2];
    bool has_index;
    uint64_t index; /* first leaf that differs */
    struct hash leaf[2]; /* leaf hashes there */
    char why[AUDIT_WHY_MAX];
    char evidence[128]; /* file name; "" none */
};
struct diff_report {
    size_t slot_count;
    struct diff_slot slots[SLOTS_MAX];
};

/* A source's log as a tree under a checkpoint. Where a tile is not stored it is computed from
 * the leaves. `tree` is opened; errors of fetch_tree_open. */
struct diff_log {
    struct audit_source *source;
    uint32_t slot;
    struct fetch_tree tree;
};
MUST_CHECK enum err diff_log_open(struct diff_log *l, struct audit_source *s, uint32_t slot,
                                  tree_size size, const struct hash *root);
/* First leaf below both sizes that differs; ERR_NOT_FOUND: none does. */
MUST_CHECK enum err diff_first(struct diff_log *a, struct diff_log *b, uint64_t *index,
                               struct hash leaf[2]);

struct diff_options {
    const struct policy *policy;
    const char *evidence_dir; /* NULL: none is written */
    bool one_slot;
    uint32_t slot;
    const _Bool *cancel;
};
/* ERR_OK: there is a report. ERR_MEMORY; the errors of ops.slots. */
MUST_CHECK enum err diff_run(struct audit_source *a, struct audit_source *b,
                             const struct diff_options *o, struct diff_report *r,
                             char why[AUDIT_WHY_MAX]);
/* 1: fork or wrong; 2: not all could be read; 0: the same, or a beginning. */
int diff_exit(const struct diff_report *r);
const char *diff_state_word(enum diff_state s);

#endif
