#include "relay/queue.h"

#include <assert.h>
#include <time.h>

void links_add(struct chain_of_links *c, struct link *l)
{
    l->next = NULL;
    if (c->last)
        c->last->next = l;
    else
        c->first = l;
    c->last = l;
    c->count++;
}

void links_join(struct chain_of_links *c, struct chain_of_links *more)
{
    if (!more->first)
        return;
    if (c->last)
        c->last->next = more->first;
    else
        c->first = more->first;
    c->last = more->last;
    c->count += more->count;
    *more = (struct chain_of_links){0};
}

struct link *links_pop(struct chain_of_links *c)
{
    struct link *l = c->first;
    if (!l)
        return NULL;
    c->first = l->next;
    if (!c->first)
        c->last = NULL;
    c->count--;
    l->next = NULL;
    return l;
}

void queue_init(struct queue *q)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->more, &attr);
    pthread_condattr_destroy(&attr);
    q->links = (struct chain_of_links){0};
    q->waiting = 0;
    q->closed = false;
}

void queue_close(struct queue *q)
{
    assert(q->links.count == 0 && q->waiting == 0);
    pthread_cond_destroy(&q->more);
    pthread_mutex_destroy(&q->lock);
}

void queue_put(struct queue *q, struct chain_of_links *c)
{
    if (!c->first)
        return;
    pthread_mutex_lock(&q->lock);
    size_t count = c->count;
    links_join(&q->links, c);
    unsigned waiting = q->waiting;
    pthread_mutex_unlock(&q->lock);
    if (waiting == 0)
        return;
    if (count > 1 && waiting > 1)
        pthread_cond_broadcast(&q->more);
    else
        pthread_cond_signal(&q->more);
}

void queue_put_one(struct queue *q, struct link *l)
{
    struct chain_of_links c = {0};
    links_add(&c, l);
    queue_put(q, &c);
}

static struct timespec after_ms(uint64_t ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += (time_t)(ms / 1000u);
    t.tv_nsec += (long)(ms % 1000u) * 1000000L;
    if (t.tv_nsec >= 1000000000L) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000L;
    }
    return t;
}

bool queue_take(struct queue *q, struct chain_of_links *out, size_t max, uint64_t wait_ms)
{
    *out = (struct chain_of_links){0};
    pthread_mutex_lock(&q->lock);
    if (!q->links.first && !q->closed && wait_ms > 0) {
        struct timespec until = after_ms(wait_ms);
        q->waiting++;
        (void)pthread_cond_timedwait(&q->more, &q->lock, &until);
        q->waiting--;
    }
    bool alive = !q->closed || q->links.first;
    if (q->links.count <= max)
        links_join(out, &q->links);
    else
        while (out->count < max)
            links_add(out, links_pop(&q->links));
    pthread_mutex_unlock(&q->lock);
    return alive;
}

void queue_end(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_mutex_unlock(&q->lock);
    pthread_cond_broadcast(&q->more);
}

void queue_kick(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    pthread_mutex_unlock(&q->lock);
    pthread_cond_broadcast(&q->more);
}

size_t queue_count(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t n = q->links.count;
    pthread_mutex_unlock(&q->lock);
    return n;
}
