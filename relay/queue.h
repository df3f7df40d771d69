/* Queues between threads: lists of linked things behind one lock, handed over whole, so
 * that a hop costs one lock for a batch and not one for each thing. Whoever fills a queue
 * keeps to its named limit by counting; the queue itself never refuses. */
#ifndef RELAY_QUEUE_H
#define RELAY_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* First member of everything that is queued. */
struct link {
    struct link *next;
};

/* A list under construction or taken; one thread's. All zero is empty. */
struct chain_of_links {
    struct link *first, *last;
    size_t count;
};

void links_add(struct chain_of_links *c, struct link *l);
void links_join(struct chain_of_links *c,
                struct chain_of_links *more);     /* empties `more` */
struct link *links_pop(struct chain_of_links *c); /* NULL: empty */

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct chain_of_links links;
    unsigned waiting; /* threads asleep in queue_take */
    bool closed;
};

void queue_init(struct queue *q);
void queue_close(
    struct queue *q); /* frees the lock; the queue must be empty and unused */
/* Add everything in `c` and wake takers. */
void queue_put(struct queue *q, struct chain_of_links *c);
void queue_put_one(struct queue *q, struct link *l);
/* Take at most `max` links, waiting up to `wait_ms` (0: not at all) for the first one.
 * False when the queue was ended and is empty. */
bool queue_take(struct queue *q, struct chain_of_links *out, size_t max,
                uint64_t wait_ms);
/* Wake every taker; what is still queued can be taken, then queue_take says false. */
void queue_end(struct queue *q);
/* Make a waiting queue_take return without anything. */
void queue_kick(struct queue *q);
size_t queue_count(struct queue *q);

#endif
