#include "relay/topics.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS_FIRST 256u

static bool same_key(const struct wire_key *a, const struct wire_key *b)
{
    if (a->what != b->what)
        return false;
    return a->what == WIRE_SLOT ? a->slot == b->slot : hash_equal(&a->id, &b->id);
}

/* Ids are hashes already, but chosen by clients: a random word is mixed in (a 64-bit
 * finaliser; murmur3's). */
static size_t bucket_of(const struct topics *t, const struct wire_key *key)
{
    uint64_t x = key->slot;
    if (key->what != WIRE_SLOT) {
        uint64_t w[4];
        memcpy(w, key->id.b, sizeof(w));
        x = w[0] ^ (w[1] * UINT64_C(0x9e3779b97f4a7c15)) ^ (w[2] + t->seed) ^ (w[3] << 1);
    }
    x ^= t->seed;
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    x *= UINT64_C(0xc4ceb9fe1a85ec53);
    x ^= x >> 33;
    return (size_t)(x & (t->bucket_count - 1));
}

bool topics_open(struct topics *t, uint64_t seed)
{
    *t = (struct topics){.bucket_count = BUCKETS_FIRST, .seed = seed};
    t->buckets = calloc(t->bucket_count, sizeof(*t->buckets));
    return t->buckets != NULL;
}

void topics_close(struct topics *t)
{
    assert(t->subs == 0 && t->count == 0);
    free(t->buckets);
    *t = (struct topics){0};
}

struct topic *topics_find(const struct topics *t, const struct wire_key *key)
{
    if (t->count == 0)
        return NULL;
    struct topic *p = t->buckets[bucket_of(t, key)];
    while (p && !same_key(&p->key, key))
        p = p->next_in_bucket;
    return p;
}

/* Best effort: with no memory the table stays as it is, only slower. */
static void grow(struct topics *t)
{
    size_t old = t->bucket_count;
    struct topic **from = t->buckets;
    struct topic **to = calloc(old * 2, sizeof(struct topic *));
    if (!to)
        return;
    t->buckets = to;
    t->bucket_count = old * 2;
    for (size_t i = 0; i < old; i++)
        for (struct topic *p = from[i], *next; p; p = next) {
            next = p->next_in_bucket;
            size_t b = bucket_of(t, &p->key);
            p->next_in_bucket = to[b];
            to[b] = p;
        }
    free(from);
}

struct sub *topics_add(struct topics *t, const struct wire_key *key, uint64_t conn,
                       uint64_t next, struct sub **list)
{
    struct topic *topic = topics_find(t, key);
    struct sub *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    if (!topic) {
        topic = calloc(1, sizeof(*topic));
        if (!topic) {
            free(s);
            return NULL;
        }
        if (t->count >= t->bucket_count)
            grow(t);
        topic->key = *key;
        size_t b = bucket_of(t, key);
        topic->next_in_bucket = t->buckets[b];
        t->buckets[b] = topic;
        t->count++;
    }
    s->topic = topic;
    s->conn = conn;
    s->next = next;
    s->state = SUB_CATCHUP;
    s->serial = ++t->serial;
    s->next_of_topic = topic->subs;
    s->at_topic = &topic->subs;
    if (topic->subs)
        topic->subs->at_topic = &s->next_of_topic;
    topic->subs = s;
    topic->count++;
    s->next_of_conn = *list;
    *list = s;
    t->subs++;
    return s;
}

struct sub *topics_of(struct sub *list, const struct wire_key *key)
{
    while (list && !same_key(&list->topic->key, key))
        list = list->next_of_conn;
    return list;
}

void topics_remove(struct topics *t, struct sub *s, struct sub **list)
{
    struct topic *topic = s->topic;
    *s->at_topic = s->next_of_topic;
    if (s->next_of_topic)
        s->next_of_topic->at_topic = s->at_topic;
    while (*list != s)
        list = &(*list)->next_of_conn;
    *list = s->next_of_conn;
    free(s);
    t->subs--;
    if (--topic->count > 0)
        return;
    struct topic **at = &t->buckets[bucket_of(t, &topic->key)];
    while (*at != topic)
        at = &(*at)->next_in_bucket;
    *at = topic->next_in_bucket;
    free(topic);
    t->count--;
}

void topics_each(struct topics *t, void (*each)(void *context, struct topic *t),
                 void *context)
{
    for (size_t i = 0; i < t->bucket_count; i++)
        for (struct topic *p = t->buckets[i]; p; p = p->next_in_bucket)
            each(context, p);
}
