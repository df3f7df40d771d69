/* The bus over a Redis (federation/bus.h says what is believed of it): a thread with two
 * connections, one that publishes and one that listens to the channel of every slot.
 * Redis may be dead, slow, new or lying: publishing never waits, what cannot be sent soon
 * is dropped and counted, a connection that does not answer a ping is made anew, with
 * growing pauses and jitter. Nothing secret is sent, nothing that matters is only there.
 *
 * Channels: "stoa:{<hub>/<16 hex digits of the federation id>}:<slot as two hex digits>", and
 * ":relays" in the place of a slot.
 * The braces keep all of a hub on one shard of a Redis Cluster; with `sharded` the
 * sharded commands are used and "MOVED" is followed. */
#ifndef RELAY_BUS_REDIS_H
#define RELAY_BUS_REDIS_H

#include "crypto/hash.h"
#include "ledger/bytes.h"
#include "ledger/err.h"
#include "relay/metrics.h"
#include "relay/queue.h"
#include "relay/redis_address.h"

#define BUS_OUT_MESSAGES_MAX 4096u /* waiting to be sent; past it the oldest is dropped  \
                                    */
#define BUS_OUT_BYTES_MAX (16u << 20) /* of them, likewise */
#define BUS_PING_MS 500u    /* a connection that says nothing for this long is asked */
#define BUS_SILENT_MS 2000u /* and after this long it is made anew */
#define BUS_RETRY_FIRST_MS 100u
#define BUS_RETRY_MAX_MS 5000u
#define BUS_REDIRECTS_MAX 5u /* in a row; then the configured address again */

#define BUS_RELAYS_CHANNEL UINT32_MAX /* as a slot: the channel of presence */

/* One message on its way out: `size` bytes follow. From bus_out_new; owned by whoever has
 * it. */
struct bus_out {
    struct link link;
    uint32_t slot;
    uint32_t size;
    uint8_t data[];
};
struct bus_out *bus_out_new(uint32_t slot, size_t cap); /* NULL: no memory */

struct bus_redis_config {
    struct redis_address address;
    const char *hub; /* borrowed */
    struct hash federation;
    uint32_t slots;
    struct metrics *metrics;
    void *context;
    /* On the bus thread. A message on a slot's channel, or on BUS_RELAYS_CHANNEL, borrowed
     * for the call. */
    void (*heard)(void *context, uint32_t slot, struct bytes message);
    /* Listening began, or ended: in between messages were missed. */
    void (*changed)(void *context, bool up);
};

struct bus_redis;

/* ERR_MEMORY. Nothing is connected before the start. */
MUST_CHECK enum err bus_redis_open(struct bus_redis **out,
                                   const struct bus_redis_config *c);
MUST_CHECK enum err bus_redis_start(struct bus_redis *b);
/* Ends the thread; what waits is dropped. */
void bus_redis_close(struct bus_redis *b); /* NULL is allowed */

/* Any thread; takes over the links, which are struct bus_out. Never waits. */
void bus_redis_publish(struct bus_redis *b, struct chain_of_links *messages);

/* For people and /readyz; any thread. */
struct bus_redis_state {
    bool up;           /* both connections work, and every channel is listened to */
    uint64_t since_ms; /* monotonic: when `up` became what it is */
    char where[300];
    char why[REDIS_WHY_MAX]; /* the last reason it was not; "" none */
};
void bus_redis_state(struct bus_redis *b, struct bus_redis_state *out);

#endif
