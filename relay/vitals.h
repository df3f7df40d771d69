/* What the main loop leaves behind every second for whoever asks how the relay is: the last
 * minute of counters, and who sent the most. Readable while the loop hangs: the age of the
 * newest sample is itself an answer. One writer (the loop), any readers; a lock around
 * copies. */
#ifndef RELAY_VITALS_H
#define RELAY_VITALS_H

#include <pthread.h>
#include <stdbool.h>

#include "relay/talkers.h"

#define VITALS_SECONDS 60u
#define VITALS_TOP 10u
#define VITALS_WINDOW_MS 10000u /* over which rates are told */

/* Counters as they stood; differences of two samples are what happened between them. */
struct vital {
    uint64_t mono_ms, wall_ms;
    uint64_t boot_ms; /* as mono_ms, and it goes on while the machine is suspended */
    uint64_t committed, duplicate;
    uint64_t limited_rate, limited_queue; /* entries turned away */
    uint64_t verified, verified_bad;
    uint64_t verify_busy_us; /* of all verify threads */
    uint64_t verify_count, verify_us; /* jobs, and from their frame to their verdict */
    uint64_t commits, commit_us;
    uint64_t bytes_in, bytes_out;
    uint64_t slow_moved, slow_cut;
};
/* As things stand. */
struct vital_now {
    uint64_t inflight, inflight_max; /* entries taken and not answered; past it: paused */
    uint64_t verify_waiting;         /* jobs */
    uint64_t connections, subscriptions, unsent_bytes;
    uint64_t held; /* connections that are not read for a while: they offended */
    bool draining, tight; /* tight: messages were over the memory plan just now */
    uint64_t unowned, first_unowned, unowned_ms; /* slots without an owner in the region */
    uint64_t bus_silent_ms; /* the bus is not there; 0: it is, or none is set up */
    uint64_t all_entries; /* a second, of all addresses */
    size_t top_count;
    struct talker_row top[VITALS_TOP];
};

struct vitals {
    pthread_mutex_t lock;
    struct vital ring[VITALS_SECONDS];
    uint64_t count; /* samples ever */
    uint64_t commit_usual_us; /* of a transaction: moves by 1/64 of the difference a second */
    struct vital_now now;
};

void vitals_init(struct vitals *v);
void vitals_close(struct vitals *v);
/* The loop, about once a second. */
void vitals_put(struct vitals *v, const struct vital *sample,
                const struct vital_now *now);
/* Any thread. Two samples about `window_ms` apart, the newer one last; false: there are not
 * two yet. */
bool vitals_get(struct vitals *v, uint64_t window_ms, struct vital *older,
                struct vital *newest, struct vital_now *now);
/* How far the wall clock moved by itself between two samples. A sleep of the machine is no such
 * move: it stops nothing (ledger/sequencer.h). */
int64_t vitals_drift_ms(const struct vital *older, const struct vital *newest);
/* 0: not known yet. */
uint64_t vitals_commit_usual_us(struct vitals *v);

#endif
