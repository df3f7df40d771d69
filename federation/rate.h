/* How often each peer may ask: token buckets in a table of fixed size, one a peer by keyed
 * hash. Two peers that meet in a bucket share it; the seed keeps them from being chosen.
 * Sans-IO, no heap; one thread. */
#ifndef FEDERATION_RATE_H
#define FEDERATION_RATE_H

#include <stdbool.h>
#include <stdint.h>

#define RATE_BUCKETS 1024u
#define RATE_PEER_BYTES 16u

/* A plain value; all zero with a seed is ready. */
struct rate {
    uint64_t seed;
    struct rate_bucket {
        uint64_t tokens; /* thousandths */
        uint64_t at_ms;  /* when they were counted; 0: never */
    } buckets[RATE_BUCKETS];
};

/* May `peer` ask once now? a_second 0: always. `burst` at once, at least one. */
bool rate_take(struct rate *r, const uint8_t peer[RATE_PEER_BYTES], uint64_t a_second,
               uint64_t burst, uint64_t now_ms);

#endif
