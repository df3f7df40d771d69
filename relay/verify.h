/* The verify pool: threads that decode entries and check their signatures, a job at a
 * time. Results come back in any order through `done`; the loop restores each
 * connection's order. The pool refuses nothing: whoever fills it keeps to
 * limits.queue_entries. */
#ifndef RELAY_VERIFY_H
#define RELAY_VERIFY_H

#include <stdatomic.h>

#include "ledger/err.h"
#include "relay/work.h"

#define VERIFY_THREADS_MAX 256

struct metrics;

struct verify {
    struct queue in;             /* jobs */
    struct queue done;           /* jobs, verified */
    void (*wake)(void *context); /* any thread: `done` has something */
    void *context;
    struct metrics *metrics;
    atomic_ullong busy_us; /* of all threads, since the start */
    unsigned thread_count; /* stays when they ended: others read it */
    bool stopped;
    pthread_t threads[VERIFY_THREADS_MAX];
};

/* threads 0: one a core. ERR_MEMORY when no thread can be started. */
MUST_CHECK enum err verify_open(struct verify *v, unsigned threads, struct metrics *m,
                                void (*wake)(void *context), void *context);
/* Hand over jobs; empties `jobs`. */
void verify_put(struct verify *v, struct chain_of_links *jobs);
/* Ends the threads after the jobs that are queued. */
void verify_stop(struct verify *v);
void verify_close(struct verify *v);

#endif
