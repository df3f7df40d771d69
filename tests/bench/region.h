/* A region for measuring: deploy/region.sh with the programs that stand beside this one, and a
 * way to each of its relays. */
#ifndef TESTS_BENCH_REGION_H
#define TESTS_BENCH_REGION_H

#include "tests/bench/load.h"

#define BENCH_RELAYS_MAX 9

struct bench_region {
    unsigned relays;
    struct bench_hub relay[BENCH_RELAYS_MAX]; /* proc: port and pid only, not ours to end */
    struct bench_hub *hubs[BENCH_RELAYS_MAX]; /* the same, for struct load */
    char dir[256];
    char issuer_key[400];
};

/* Are Postgres, Redis and haproxy installed? */
bool region_there(void);
/* Start it; it ends with this program. `settings` for every relay, may be NULL. Ends the
 * program when that fails. */
void region_open(struct bench_region *g, unsigned relays, const struct options *o);
void region_close(struct bench_region *g);
/* kill -9 relay n (from 0); start what does not run, learn their pids again, and wait until
 * each relay has its share of the slots. */
void region_kill(struct bench_region *g, unsigned n);
void region_up(struct bench_region *g);
/* Everything down and up again, with the same ledger. */
void region_again(struct bench_region *g);
/* Processor seconds of all relays, and of the servers, so far. */
double region_cpu(const struct bench_region *g);
double region_cpu_servers(const struct bench_region *g);
/* How many slots relay n has by the lease table. */
unsigned region_slots_of(struct bench_region *g, unsigned n, bool of[SLOTS_MAX]);

/* The parts. */
struct region_speed {
    double per_s, limit, p50_ms, p99_ms, entries;
    double relay_us, server_us, check_us; /* processor time of an entry, of a raw check */
};
/* Notes as fast as windows allow, over all relays, beside the rate of raw checks. */
void region_speed(struct bench_region *g, const struct options *o, uint64_t n,
                  struct region_speed *out);

struct region_delivery {
    double rate, accepted_per_s, p50_ms, p99_ms, max_ms, accepted_p50_ms, accepted_p99_ms;
    double deliveries;
};
/* Sent to one relay at a fixed rate, heard at the others: from acknowledgement to delivery. */
void region_delivery(struct bench_region *g, double rate, double seconds, size_t accounts,
                     struct region_delivery *out);

struct region_crash {
    double slots, first_s, last_s; /* of the dead relay's slots */
};
/* kill -9 the owner of most slots: until an entry of each is accepted elsewhere. */
void region_crash(struct bench_region *g, struct region_crash *out);

struct region_hold {
    double connections, clients, bytes, bytes_worst, connected_per_s, seconds, rate,
        accepted_per_s, accepted_p99_ms, heard, missed, delivery_p50_ms, delivery_p99_ms,
        lost;
};
/* `each` connections a relay, each with one live subscription, from one client process a
 * relay; then entries at `rate` for `seconds`, which every subscriber must hear. */
void region_hold(struct bench_region *g, size_t each, double rate, double seconds,
                 struct region_hold *out);

#endif
