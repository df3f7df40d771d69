/* Load on a hub: entries signed before, sent over a few connections with a window each, or
 * at fixed times. One thread. */
#ifndef TESTS_BENCH_LOAD_H
#define TESTS_BENCH_LOAD_H

#include "tests/bench/hub.h"

struct load {
    /* Asked. */
    struct bench_hub *hub;
    struct bench_hub *const *hubs; /* several relays of it: connections go round; or NULL */
    unsigned hub_count;
    const struct sheet *sheet; /* every entry is sent by the connection of its account */
    const struct crowd *crowd;
    unsigned connections, inflight, frame;
    bool settled;       /* an entry is done when its payment is credited */
    double rate;        /* entries a second, at fixed times; 0: as the windows allow */
    double stop_seconds; /* send nothing new after this; 0: until the sheet is sent */
    uint64_t limit;     /* send at most so many; 0: all */
    unsigned sample;    /* one receipt in so many is verified; 0: none */
    uint64_t *ack_ns;   /* when each entry was accepted, by row * accounts + account; or NULL */
    /* Found. */
    uint64_t sent, accepted, refused, duplicates, done, bounced, verified, result_frames;
    uint64_t pages; /* slots in RESULTS frames */
    enum err refusal; /* of the first one refused */
    double seconds;   /* from the first entry sent to the last one done */
    uint64_t *latency_ns; /* of accepted ones; free it */
    size_t latency_count;
    double cpu_hub, cpu_self; /* seconds; hub: of all relays */
};
void load_run(struct load *l);
void load_close(struct load *l);

/* Send a whole sheet and insist that everything is accepted: to prepare. */
void load_all(struct bench_hub *hub, const struct crowd *crowd, const struct sheet *sheet);

#endif
