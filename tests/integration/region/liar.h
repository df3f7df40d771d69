/* A stand-in for Redis that lies: it speaks enough of the protocol to be taken for one,
 * and then drops, doubles, delays, reorders, changes, invents and floods what goes
 * through it. One thread; ends with liar_close. Tests only. */
#ifndef TESTS_REGION_LIAR_H
#define TESTS_REGION_LIAR_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LIAR_CLIENTS 16
#define LIAR_KEPT 64
#define LIAR_CHANNELS 256

enum liar_way {
    LIAR_HONEST,  /* hands everything over */
    LIAR_DROP,    /* confirms, and hands nothing over */
    LIAR_DOUBLE,  /* everything twice */
    LIAR_REORDER, /* the newest first, two by two */
    LIAR_REPLAY,  /* with each message an old one */
    LIAR_CHANGE,  /* one byte is another */
    LIAR_MIX,     /* on another slot's channel */
    LIAR_INVENT,  /* doorbells for sizes that no log has */
    LIAR_FLOOD,   /* old messages, as fast as they go */
    LIAR_GARBAGE, /* bytes that are no RESP */
    LIAR_LIST,    /* headers of lists of 2^30 elements */
    LIAR_HUGE,    /* a bulk of 512 MB that never ends */
    LIAR_SILENT,  /* takes connections and says nothing */
    LIAR_WAYS
};

struct liar_client;
struct liar {
    uint16_t port;
    pthread_t thread;
    atomic_int way;
    atomic_bool stop;
    atomic_ullong handed, taken; /* messages to listeners, from publishers */
    int listener;
    uint64_t random;
    struct liar_client *clients[LIAR_CLIENTS];
    char channels[LIAR_CHANNELS][200];
    unsigned channel_count;
    struct liar_kept {
        unsigned channel;
        uint8_t *data;
        size_t size;
    } kept[LIAR_KEPT];
    unsigned kept_count;
};

bool liar_open(struct liar *l); /* honest */
void liar_be(struct liar *l, enum liar_way way);
void liar_close(struct liar *l);
const char *liar_word(enum liar_way way);

#endif
