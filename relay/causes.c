#include "relay/causes.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS_FIRST 4096u

enum err causes_open(struct causes *c, uint64_t seed)
{
    *c = (struct causes){.bucket_count = BUCKETS_FIRST, .seed = seed};
    c->buckets = calloc(c->bucket_count, sizeof(*c->buckets));
    return c->buckets ? ERR_OK : ERR_MEMORY;
}

static void free_list(struct cause *p)
{
    while (p) {
        struct cause *next = p->next;
        free(p);
        p = next;
    }
}

void causes_close(struct causes *c)
{
    for (size_t i = 0; c->buckets && i < c->bucket_count; i++)
        free_list(c->buckets[i]);
    free_list(c->spare);
    free(c->buckets);
    *c = (struct causes){0};
}

static struct cause **place_of(const struct causes *c, const struct hash *id)
{
    uint64_t w;
    memcpy(&w, id->b, sizeof(w));
    w = (w ^ c->seed) * UINT64_C(0x9e3779b97f4a7c15);
    struct cause **at = &c->buckets[(size_t)(w >> 20) & (c->bucket_count - 1)];
    while (*at && !hash_equal(&(*at)->id, id))
        at = &(*at)->next;
    return at;
}

/* Best effort: without memory the chains get longer. */
static void grow(struct causes *c)
{
    struct causes more = {.bucket_count = c->bucket_count * 2, .seed = c->seed};
    more.buckets = calloc(more.bucket_count, sizeof(*more.buckets));
    if (!more.buckets)
        return;
    for (size_t i = 0; i < c->bucket_count; i++)
        for (struct cause *p = c->buckets[i], *next; p; p = next) {
            next = p->next;
            p->next = NULL;
            *place_of(&more, &p->id) = p;
        }
    free(c->buckets);
    c->buckets = more.buckets;
    c->bucket_count = more.bucket_count;
}

struct cause *causes_find(struct causes *c, const struct hash *id)
{
    return *place_of(c, id);
}

struct cause *causes_add(struct causes *c, const struct hash *id)
{
    struct cause *p = *place_of(c, id);
    if (p)
        return p;
    if (c->count >= c->bucket_count)
        grow(c);
    p = c->spare;
    if (p)
        c->spare = p->next;
    else
        p = malloc(sizeof(*p));
    if (!p)
        return NULL;
    *p = (struct cause){.id = *id};
    *place_of(c, id) = p;
    c->count++;
    return p;
}

void cause_watch(struct cause *c, uint64_t watcher)
{
    for (uint32_t i = 0; i < c->watcher_count; i++)
        if (c->watchers[i] == watcher)
            return;
    if (c->watcher_count == CAUSE_WATCHERS_MAX)
        memmove(c->watchers, c->watchers + 1,
                --c->watcher_count * sizeof(c->watchers[0]));
    c->watchers[c->watcher_count++] = watcher;
}

void causes_remove(struct causes *c, const struct hash *id)
{
    struct cause **at = place_of(c, id);
    struct cause *p = *at;
    if (!p)
        return;
    *at = p->next;
    p->next = c->spare;
    c->spare = p;
    c->count--;
}

void causes_zero(struct causes *c)
{
    for (size_t i = 0; i < c->bucket_count; i++)
        for (struct cause *p = c->buckets[i]; p; p = p->next)
            p->left = 0;
}

void causes_sweep(struct causes *c)
{
    for (size_t i = 0; i < c->bucket_count; i++)
        for (struct cause *p = c->buckets[i], *next; p; p = next) {
            next = p->next;
            if (p->left == 0) {
                struct hash id = p->id; /* removing it reuses the place */
                causes_remove(c, &id);
            }
        }
}
