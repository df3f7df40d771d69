/* Somebody who subscribes to every slot from its first record on: what he is told must be every
 * record once, in order, under a checkpoint of the log's key, and the same at every relay. He
 * stays at one relay and never leaves, or he wanders: from one to the next all the while, with
 * the newest checkpoints he was shown anywhere, and nobody may ever show him less. Tests only. */
#ifndef TESTS_INTEGRATION_BUS_WATCH_H
#define TESTS_INTEGRATION_BUS_WATCH_H

#include <pthread.h>
#include <stdatomic.h>

#include "tests/lib/regionproc.h"
#include "tests/lib/wirekit.h"

#define WATCH_LAGS 65536u

struct watch {
    struct regionproc *region;
    unsigned relay;
    bool wanders;
    atomic_ullong visits, put_off; /* wandering: relays that let him in, that said later */
    char notes[REGIONPROC_SLOTS][CHECKPOINT_BYTES_MAX]; /* wandering: newest he was shown */
    size_t note_size[REGIONPROC_SLOTS];
    uint64_t note_of[REGIONPROC_SLOTS];
    struct wirekit k;
    pthread_t thread;
    bool started;
    atomic_bool stop;
    pthread_mutex_t lock; /* of what is below */
    struct frontier tree[REGIONPROC_SLOTS];
    uint64_t checked[REGIONPROC_SLOTS]; /* size of the newest checkpoint that came with records */
    uint32_t lag_ms[WATCH_LAGS]; /* of records since watch_mark: from hub time to arrival */
    size_t lags;
    uint32_t worst_ms, worst_slot; /* of them */
    bool worst_live;               /* or in catch-up */
    char why[400]; /* the first thing that was wrong */
};

bool watch_open(struct watch *w, struct regionproc *r, unsigned relay);
bool watch_wander(struct watch *w, struct regionproc *r);
void watch_close(struct watch *w);
void watch_mark(struct watch *w);
struct watch_lag {
    size_t count;
    uint32_t p50, p99, max;
    uint32_t slot; /* of the last one */
    bool live;
};
struct watch_lag watch_lags(struct watch *w);
/* Until he has been told all of what the WELCOME of every relay shows, and everybody the same.
 * False: why of the first one. */
bool watches_even(struct watch *w, unsigned count, struct regionproc *r, unsigned timeout_ms);

#endif
