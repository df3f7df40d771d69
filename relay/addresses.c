#include "relay/addresses.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096u

struct address_count {
    struct address_count *next;
    struct ws_address address;
    uint64_t count;
};

bool addresses_open(struct addresses *t, uint64_t seed)
{
    t->buckets = calloc(BUCKETS, sizeof(*t->buckets));
    t->bucket_count = BUCKETS;
    t->seed = seed;
    return t->buckets != NULL;
}

void addresses_close(struct addresses *t)
{
    for (size_t i = 0; t->buckets && i < t->bucket_count; i++)
        for (struct address_count *a = t->buckets[i], *next; a; a = next) {
            next = a->next;
            free(a);
        }
    free(t->buckets);
    t->buckets = NULL;
}

struct ws_address address_one(const struct ws_address *a)
{
    static const uint8_t v4[12] = {[10] = 0xff, [11] = 0xff};
    struct ws_address one = *a;
    if (memcmp(a->b, v4, sizeof(v4)) != 0)
        memset(one.b + 8, 0, sizeof(one.b) - 8);
    return one;
}

static struct address_count **place_of(struct addresses *t, const struct ws_address *a)
{
    uint64_t w[2];
    memcpy(w, a->b, sizeof(w));
    uint64_t x = (w[0] ^ t->seed) * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 29) ^ w[1]) * UINT64_C(0xbf58476d1ce4e5b9);
    struct address_count **at = &t->buckets[(size_t)(x >> 32) % t->bucket_count];
    while (*at && memcmp(&(*at)->address, a, sizeof(*a)) != 0)
        at = &(*at)->next;
    return at;
}

bool addresses_add(struct addresses *t, const struct ws_address *a, uint64_t max)
{
    struct ws_address one = address_one(a);
    struct address_count **at = place_of(t, &one);
    if (!*at) {
        *at = calloc(1, sizeof(**at));
        if (!*at)
            return false;
        (*at)->address = one;
    }
    if (max && (*at)->count >= max)
        return false;
    (*at)->count++;
    return true;
}

void addresses_remove(struct addresses *t, const struct ws_address *a)
{
    struct ws_address one = address_one(a);
    struct address_count **at = place_of(t, &one), *p = *at;
    if (!p || --p->count > 0)
        return;
    *at = p->next;
    free(p);
}
