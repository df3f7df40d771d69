/* Who sends the most: a small table of client addresses with what each sent lately. Space-
 * saving (Metwally, Agrawal, El Abbadi, 2005): a newcomer to a full table takes the place
 * of the smallest and inherits its count as a possible error, so whoever sends more than
 * 1/TALKERS of everything is in it. Counts fade by an eighth a tick, so that the table
 * tells of the last ten seconds or so. Pure: no clock, no heap. One thread. */
#ifndef RELAY_TALKERS_H
#define RELAY_TALKERS_H

#include <stddef.h>
#include <stdint.h>

#include "relay/ws.h"

#define TALKERS 64u
#define TALKERS_FADE 8u /* 1/8 of a count goes at every tick */

struct talker {
    struct ws_address address;
    uint64_t sent;    /* entries, faded, in sixteenths */
    uint64_t refused; /* of those */
    uint64_t error;   /* `sent` may be too large by this */
};
struct talkers {
    struct talker one[TALKERS]; /* [0, count), in no order */
    size_t count;
    uint64_t all; /* as `sent`, of everybody */
};

/* `sent` entries came from here, `refused` of them were turned away. */
void talkers_add(struct talkers *t, const struct ws_address *a, uint64_t sent,
                 uint64_t refused);
/* Time passes: about once a second. */
void talkers_fade(struct talkers *t);
/* The largest, largest first; returns how many, at most `max`. Counts are entries a tick,
 * about. */
struct talker_row {
    struct ws_address address;
    uint64_t entries;
    uint64_t refused;
    unsigned permille; /* of what everybody sent */
};
size_t talkers_top(const struct talkers *t, struct talker_row out[], size_t max);
uint64_t talkers_all(const struct talkers *t);

#endif
