/* How many connections each client address has open: a small table that forgets an
 * address with its last connection. One thread. */
#ifndef RELAY_ADDRESSES_H
#define RELAY_ADDRESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/ws.h"

struct address_count;
struct addresses {
    struct address_count **buckets;
    size_t bucket_count;
    uint64_t seed;
};

/* What counts as one client: an IPv4 address, or the network of 64 bits that an IPv6 address
 * is in. */
struct ws_address address_one(const struct ws_address *a);

bool addresses_open(struct addresses *t, uint64_t seed);
void addresses_close(struct addresses *t);
/* One more from here (IPv6: from this network of 64 bits); false when there are `max`
 * already (0: no limit) or memory is out.
 */
bool addresses_add(struct addresses *t, const struct ws_address *a, uint64_t max);
void addresses_remove(struct addresses *t, const struct ws_address *a);

#endif
