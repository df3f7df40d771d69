/* What the steps of a fetch share. */
#ifndef CLIENT_AUDIT_FETCH_INTERNAL_H
#define CLIENT_AUDIT_FETCH_INTERNAL_H

#include <pthread.h>

#include "client/audit/fetch.h"
#include "client/audit/fetch_path.h"
#include "client/audit/fetch_tree.h"

#define FETCH_SEEN "seen/%02x.note" /* largest checkpoint seen that is not copied yet */
#define BUNDLE_ENTRY (2 + LEAF_BYTES)

struct fetch_log {
    struct fetch_run *run;
    struct fetch_slot *out;
    struct buf note;         /* of the checkpoint that is copied */
    struct fetch_tree *tree; /* NULL: nothing to copy */
    bool anew;               /* tiles at the edge: from the source, not from the disk */
    bool behind;
    tree_size seen_size;     /* of the note in FETCH_SEEN; 0 none */
    struct hash *level[FETCH_LEVELS_MAX]; /* all hashes of a level, from 1 on */
    uint64_t units, units_done;
    bool dead; /* no more of it this time; atomic */
};

struct fetch_run {
    const struct audit_files *files;
    const struct fetch_options *o;
    struct folder dir;
    struct fetch_report *r;
    struct fetch_log *logs;
    size_t log_count;
    unsigned level;           /* of the units on their way */
    uint64_t first[SLOTS_MAX + 1]; /* number of each log's first unit */
    _Bool stop;
    pthread_mutex_t lock; /* of r and of states */
    uint64_t started_ms;
};

/* Something went wrong with a log: its state and a sentence. */
void fetch_tell(struct fetch_log *l, enum fetch_state state, enum err e, const char *why);
/* The same, and no more work on it. */
void fetch_fail(struct fetch_log *l, enum fetch_state state, enum err e, const char *why);

/* One file of `width` records or hashes of a log, checked by `good`, from the disk, else from
 * the source and then written. `good` may cut a longer one: it sets *size. */
enum fetch_kind { FETCH_TILE, FETCH_ENTRIES, FETCH_ENVELOPES };
struct fetch_want {
    enum fetch_kind kind;
    unsigned level;
    uint64_t n;
    unsigned width;
    bool (*good)(void *context, struct bytes data, size_t *size, char why[AUDIT_WHY_MAX]);
    void *context;
};
enum err fetch_file(struct fetch_log *l, const struct fetch_want *w, struct buf *out,
                    char why[AUDIT_WHY_MAX]);
/* From the source only and unchecked: cut to `width`, or the full file cut. */
enum err fetch_download(struct fetch_log *l, const struct fetch_want *w, struct buf *out,
                        char why[AUDIT_WHY_MAX]);

/* The steps, one log or one unit each. */
void fetch_lock_on(void *run, uint64_t i);
void fetch_unit_tile(void *run, uint64_t i);
void fetch_unit_bundle(void *run, uint64_t i);

#endif
