/* How much each device, account and address may send: a token bucket for each, by key, and
 * how often an address would not be told. Buckets outlive their connections, so that coming
 * again is no way round; the oldest of those that nobody holds leave when there are
 * QUOTA_IDLE_MAX. Pure: the time comes in. One thread. */
#ifndef RELAY_QUOTA_H
#define RELAY_QUOTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUOTA_KEY_BYTES 32u
#define QUOTA_IDLE_MAX 16384u
#define QUOTA_DEBT_MAX 65536u /* entries a bucket may owe */
#define TARPIT_FREE 8u        /* offences that cost nothing */
#define TARPIT_FIRST_MS 100u  /* for the next; twice as long for each after it */
#define TARPIT_FORGET_MS 1000u /* one offence is forgotten in this time */

/* Thousandths of an entry. All zero is full at its first use. */
struct bucket {
    int64_t tokens; /* below 0: owed */
    uint64_t at_ms; /* when they were counted */
    bool begun;
};
struct rate_limit {
    uint64_t a_second; /* 0: no limit */
    uint64_t burst;    /* at once; 0 counts as 1 */
};

/* Tokens for how many of `count`; the rest wait *retry_ms (0 when there is none). */
uint64_t bucket_take(struct bucket *b, const struct rate_limit *l, uint64_t count,
                     uint64_t now_ms, uint64_t *retry_ms);
/* Tokens that were taken and not used. */
void bucket_give(struct bucket *b, const struct rate_limit *l, uint64_t count);
/* Is one entry due, and if not, when? Takes nothing: bucket_charge does when it is known
 * who has to pay, and may go into debt for it. */
bool bucket_due(struct bucket *b, const struct rate_limit *l, uint64_t now_ms,
                uint64_t *retry_ms);
void bucket_charge(struct bucket *b, const struct rate_limit *l, uint64_t count,
                   uint64_t now_ms);

enum quota_kind { QUOTA_DEVICE, QUOTA_ADDRESS, QUOTA_ACCOUNT };

struct quota {
    struct bucket bucket;
    /* the table's own */
    struct quota *next;           /* in its chain */
    struct quota *older, *newer;  /* among those that nobody holds */
    uint32_t holders;
    uint32_t offences;
    uint64_t offended_ms; /* up to when offences were forgotten */
    uint8_t kind;
    uint8_t key[QUOTA_KEY_BYTES];
};
struct quotas {
    struct quota **chains;
    size_t chain_count;
    uint64_t seed;
    struct quota *oldest, *newest; /* that nobody holds */
    size_t idle, count;
};

bool quotas_open(struct quotas *t, uint64_t seed);
void quotas_close(struct quotas *t);
/* The one of this key, new or remembered; `size` bytes of key, at most QUOTA_KEY_BYTES. To be
 * given back with quotas_drop. NULL: no memory. */
struct quota *quotas_hold(struct quotas *t, enum quota_kind kind, const void *key,
                          size_t size);
void quotas_drop(struct quotas *t, struct quota *q); /* NULL is allowed */

/* One more offence: how long nothing is read from who did it, at most max_ms. */
uint64_t quota_offend(struct quota *q, uint64_t max_ms, uint64_t now_ms);

#endif
