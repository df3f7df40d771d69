/* A TCP proxy on loopback that cuts a connection at a byte: after `n` bytes of one
 * direction both sides are closed at once, unsent bytes and all. Tests only. */
#ifndef TESTS_INTEGRATION_POSTGRES_CUTTER_H
#define TESTS_INTEGRATION_POSTGRES_CUTTER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum cutter_way { CUTTER_TO_SERVER, CUTTER_TO_CLIENT };

struct cutter {
    uint16_t port, server_port;
    int listener;
    pthread_t thread;
    atomic_bool stop;
    atomic_llong left[2]; /* bytes until the cut, of all connections; < 0: never */
    atomic_ullong passed[2];
    atomic_uint cuts;
    atomic_bool held; /* nothing passes either way, and nobody is told */
};

bool cutter_open(struct cutter *c, uint16_t server_port);
void cutter_close(struct cutter *c);
/* Cut once, after `n` more bytes that way. */
void cutter_arm(struct cutter *c, enum cutter_way way, uint64_t n);
void cutter_disarm(struct cutter *c);

#endif
