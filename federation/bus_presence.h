/* Which relays this one hears on the bus. Each says once a second that it is there; who it is
 * and whether it lives is told by the leases in the store, never by this. It answers another
 * question: does what we publish arrive? Two relays with different Redis servers, or one that
 * nobody hears, look well from either side.
 *
 * Pure: no clock, no heap. One thread at a time. Bytes: docs/PROTOCOL.md, "The bus". */
#ifndef FEDERATION_BUS_PRESENCE_H
#define FEDERATION_BUS_PRESENCE_H

#include "federation/bus.h"

#define BUS_RELAYS_MAX 64u   /* remembered; past it the one heard of longest ago is forgotten */
#define BUS_PRESENCE_MAX 80u /* bytes of a message */
#define BUS_BEAT_MS 1000u
#define BUS_UNHEARD_MS 5000u /* of silence: something is wrong between us */

struct bus_relay {
    char name[BUS_SENDER_MAX + 1];
    uint64_t heard_ms;
};
struct bus_relays {
    size_t count;
    struct bus_relay relay[BUS_RELAYS_MAX];
};

/* [version, relay]. The size written. */
size_t bus_presence_put(uint8_t out[BUS_PRESENCE_MAX], const char *relay);
/* A message that came; false: it is none. */
bool bus_presence_hear(struct bus_relays *t, struct bytes data, uint64_t now_ms);
/* These relays live, so they should be heard: a new one is given time from now on, and who is
 * not among them is forgotten. */
void bus_presence_expect(struct bus_relays *t, const char *const relays[], size_t count,
                         uint64_t now_ms);
/* How long ago the relay was heard; UINT64_MAX: never, as far as we remember. */
uint64_t bus_presence_silent_ms(const struct bus_relays *t, const char *relay,
                                uint64_t now_ms);

#endif
