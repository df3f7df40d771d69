/* The way from a relay to its bus: a port of its own that leads to another one, until it is
 * cut, or things just get lost on it. One thread for all ways. Tests only. */
#ifndef TESTS_INTEGRATION_BUS_WAY_H
#define TESTS_INTEGRATION_BUS_WAY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define WAYS_MAX 4
#define WAY_PAIRS 8          /* connections of one way */
#define WAY_BYTES (256u << 10) /* under way in one direction; the sender waits for room */

enum way_mode {
    WAY_OPEN,
    WAY_LOST, /* connections stay, and nothing comes through */
    WAY_CUT   /* connections end, new ones are closed at once */
};

struct way_pair;
struct way {
    uint16_t port;
    int listener;
    atomic_uint to; /* a port; when it changes, connections end */
    atomic_int mode;
    uint16_t led;
    struct way_pair *pairs[WAY_PAIRS];
};
struct ways {
    unsigned count;
    struct way way[WAYS_MAX];
    pthread_t thread;
    atomic_bool stop;
};

bool ways_open(struct ways *w, unsigned count);
void ways_lead(struct ways *w, uint16_t to); /* all of them */
void ways_lead_one(struct ways *w, unsigned number, uint16_t to);
void way_be(struct ways *w, unsigned number, enum way_mode mode);
void ways_close(struct ways *w);

#endif
