#include "federation/rate.h"

#include <string.h>

#include "crypto/hash.h"

#define ONE 1000u /* thousandths of a token */

/* A /64 is one peer: whoever has one IPv6 address there has them all. */
static unsigned bucket_of(const struct rate *r, const uint8_t peer[RATE_PEER_BYTES])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    uint8_t room[sizeof(r->seed) + RATE_PEER_BYTES] = {0};
    size_t size = memcmp(peer, mapped, sizeof(mapped)) == 0 ? RATE_PEER_BYTES : 8;
    memcpy(room, &r->seed, sizeof(r->seed));
    memcpy(room + sizeof(r->seed), peer, size);
    struct hash h = hash_sha256(room, sizeof(room));
    return ((unsigned)h.b[0] << 8 | h.b[1]) % RATE_BUCKETS;
}

bool rate_take(struct rate *r, const uint8_t peer[RATE_PEER_BYTES], uint64_t a_second,
               uint64_t burst, uint64_t now_ms)
{
    struct rate_bucket *b = &r->buckets[bucket_of(r, peer)];
    uint64_t full = (burst ? burst : 1) * ONE;
    uint64_t passed = now_ms > b->at_ms ? now_ms - b->at_ms : 0;
    if (a_second == 0)
        return true;
    /* a_second tokens a second are a_second thousandths a millisecond. */
    if (b->at_ms == 0 || passed >= full / a_second + 1)
        b->tokens = full;
    else
        b->tokens += passed * a_second;
    if (b->tokens > full)
        b->tokens = full;
    b->at_ms = now_ms ? now_ms : 1;
    if (b->tokens < ONE)
        return false;
    b->tokens -= ONE;
    return true;
}
