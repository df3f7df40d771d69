/* Who listens to what: a table from stream key to its subscriptions. Pure data structure
 * of the loop thread; a subscription is owned by the table, listed under its key and
 * under its connection. */
#ifndef RELAY_TOPICS_H
#define RELAY_TOPICS_H

#include <stdbool.h>
#include <stdint.h>

#include "ledger/wire.h"

struct topic;

enum sub_state {
    SUB_CATCHUP, /* its next records come from a reader */
    SUB_LIVE     /* it stands at the live edge */
};

struct sub {
    struct topic *topic;
    struct sub *next_of_topic, **at_topic;
    struct sub *next_of_conn;
    uint64_t conn;   /* connection id */
    uint64_t rid;    /* of its SUBSCRIBE: what ends it later carries this back */
    uint64_t next;   /* position or index of the next record to send */
    uint8_t state;   /* enum sub_state */
    bool asked;      /* a reader is at work for it */
    bool told_end;   /* one catch-up frame with a note has been sent */
    uint32_t serial; /* tells an answer for an earlier subscription of the same key */
};

struct topic {
    struct topic *next_in_bucket;
    struct wire_key key;
    struct sub *subs;
    uint32_t count;
    /* Scratch of one fan-out: records of the commit under way that belong to it. */
    uint32_t picked, first_picked, last_picked;
    struct topic *next_picked;
};

struct topics {
    struct topic **buckets;
    size_t bucket_count; /* a power of two */
    size_t count;        /* topics */
    size_t subs;
    uint64_t seed;
    uint32_t serial;
};

/* `seed`: random, so that nobody outside can aim at a bucket. False: no memory. */
bool topics_open(struct topics *t, uint64_t seed);
void topics_close(struct topics *t); /* all subscriptions must be gone */

struct topic *topics_find(const struct topics *t,
                          const struct wire_key *key); /* NULL: none */
/* Add a subscription of connection `conn`, put in front of *list. NULL: no memory. */
struct sub *topics_add(struct topics *t, const struct wire_key *key, uint64_t conn,
                       uint64_t next, struct sub **list);
/* The subscription for `key` in a connection's list, or NULL. */
struct sub *topics_of(struct sub *list, const struct wire_key *key);
void topics_each(struct topics *t, void (*each)(void *context, struct topic *t),
                 void *context);
/* Take it out of its topic and the connection's list, and free it. */
void topics_remove(struct topics *t, struct sub *s, struct sub **list);

#endif
