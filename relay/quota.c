#include "relay/quota.h"

#include <stdlib.h>
#include <string.h>

#define CHAINS 4096u
#define ONE 1000 /* thousandths of an entry */
#define DOUBLED_MAX 20u

static int64_t full(const struct rate_limit *l)
{
    return (int64_t)(l->burst ? l->burst : 1u) * ONE;
}

/* a_second entries a second are a_second thousandths a millisecond. */
static void refill(struct bucket *b, const struct rate_limit *l, uint64_t now_ms)
{
    int64_t most = full(l), rate = (int64_t)l->a_second;
    uint64_t passed = now_ms > b->at_ms ? now_ms - b->at_ms : 0;
    if (!b->begun || passed > (uint64_t)((most - b->tokens) / rate))
        b->tokens = most;
    else
        b->tokens += (int64_t)passed * rate;
    if (b->tokens > most) /* the burst was lowered */
        b->tokens = most;
    b->at_ms = now_ms;
    b->begun = true;
}

static uint64_t until_one(const struct bucket *b, const struct rate_limit *l)
{
    return (uint64_t)(ONE - b->tokens + (int64_t)l->a_second - 1) / l->a_second;
}

uint64_t bucket_take(struct bucket *b, const struct rate_limit *l, uint64_t count,
                     uint64_t now_ms, uint64_t *retry_ms)
{
    *retry_ms = 0;
    if (l->a_second == 0)
        return count;
    refill(b, l, now_ms);
    uint64_t have = b->tokens > 0 ? (uint64_t)b->tokens / ONE : 0;
    uint64_t take = count < have ? count : have;
    b->tokens -= (int64_t)take * ONE;
    if (take < count)
        *retry_ms = until_one(b, l);
    return take;
}

void bucket_give(struct bucket *b, const struct rate_limit *l, uint64_t count)
{
    if (l->a_second == 0 || !b->begun)
        return;
    b->tokens += (int64_t)count * ONE;
    if (b->tokens > full(l))
        b->tokens = full(l);
}

bool bucket_due(struct bucket *b, const struct rate_limit *l, uint64_t now_ms,
                uint64_t *retry_ms)
{
    *retry_ms = 0;
    if (l->a_second == 0)
        return true;
    refill(b, l, now_ms);
    if (b->tokens >= ONE)
        return true;
    *retry_ms = until_one(b, l);
    return false;
}

void bucket_charge(struct bucket *b, const struct rate_limit *l, uint64_t count,
                   uint64_t now_ms)
{
    static const int64_t most = (int64_t)QUOTA_DEBT_MAX * ONE;
    if (l->a_second == 0)
        return;
    refill(b, l, now_ms);
    b->tokens -= (int64_t)(count < QUOTA_DEBT_MAX ? count : QUOTA_DEBT_MAX) * ONE;
    if (b->tokens < -most)
        b->tokens = -most;
}

/* The table. */

bool quotas_open(struct quotas *t, uint64_t seed)
{
    *t = (struct quotas){.chain_count = CHAINS, .seed = seed};
    t->chains = calloc(CHAINS, sizeof(struct quota *));
    return t->chains != NULL;
}

void quotas_close(struct quotas *t)
{
    for (size_t i = 0; t->chains && i < t->chain_count; i++)
        for (struct quota *q = t->chains[i], *next; q; q = next) {
            next = q->next;
            free(q);
        }
    free(t->chains);
    *t = (struct quotas){0};
}

static struct quota **place_of(const struct quotas *t, uint8_t kind,
                               const uint8_t key[QUOTA_KEY_BYTES])
{
    uint64_t w[QUOTA_KEY_BYTES / 8];
    uint64_t x = t->seed ^ kind;
    memcpy(w, key, sizeof(w));
    for (size_t i = 0; i < sizeof(w) / sizeof(w[0]); i++) {
        x = (x ^ w[i]) * UINT64_C(0x9e3779b97f4a7c15);
        x ^= x >> 29;
    }
    struct quota **at = &t->chains[(size_t)(x >> 20) % t->chain_count];
    while (*at && ((*at)->kind != kind || memcmp((*at)->key, key, QUOTA_KEY_BYTES) != 0))
        at = &(*at)->next;
    return at;
}

/* Best effort: without memory the chains get longer. */
static void grow(struct quotas *t)
{
    struct quotas more = {.chain_count = t->chain_count * 2, .seed = t->seed};
    more.chains = calloc(more.chain_count, sizeof(struct quota *));
    if (!more.chains)
        return;
    for (size_t i = 0; i < t->chain_count; i++)
        for (struct quota *q = t->chains[i], *next; q; q = next) {
            next = q->next;
            q->next = NULL;
            *place_of(&more, q->kind, q->key) = q;
        }
    free(t->chains);
    t->chains = more.chains;
    t->chain_count = more.chain_count;
}

static void leave_idle(struct quotas *t, struct quota *q)
{
    *(q->older ? &q->older->newer : &t->oldest) = q->newer;
    *(q->newer ? &q->newer->older : &t->newest) = q->older;
    q->older = q->newer = NULL;
    t->idle--;
}

struct quota *quotas_hold(struct quotas *t, enum quota_kind kind, const void *key,
                          size_t size)
{
    uint8_t whole[QUOTA_KEY_BYTES] = {0};
    memcpy(whole, key, size < QUOTA_KEY_BYTES ? size : QUOTA_KEY_BYTES);
    struct quota **at = place_of(t, (uint8_t)kind, whole);
    struct quota *q = *at;
    if (q) {
        if (q->holders++ == 0)
            leave_idle(t, q);
        return q;
    }
    q = calloc(1, sizeof(*q));
    if (!q)
        return NULL;
    q->kind = (uint8_t)kind;
    q->holders = 1;
    memcpy(q->key, whole, QUOTA_KEY_BYTES);
    *at = q;
    if (++t->count > 2 * t->chain_count)
        grow(t);
    return q;
}

static void forget(struct quotas *t, struct quota *q)
{
    leave_idle(t, q);
    *place_of(t, q->kind, q->key) = q->next;
    t->count--;
    free(q);
}

void quotas_drop(struct quotas *t, struct quota *q)
{
    if (!q || --q->holders > 0)
        return;
    q->older = t->newest;
    *(t->newest ? &t->newest->newer : &t->oldest) = q;
    t->newest = q;
    if (++t->idle > QUOTA_IDLE_MAX)
        forget(t, t->oldest);
}

/* Who would not be told. */

uint64_t quota_offend(struct quota *q, uint64_t max_ms, uint64_t now_ms)
{
    uint64_t passed = now_ms > q->offended_ms ? now_ms - q->offended_ms : 0;
    uint64_t forgotten = passed / TARPIT_FORGET_MS;
    if (forgotten >= q->offences) {
        q->offences = 0;
        q->offended_ms = now_ms;
    } else {
        q->offences -= (uint32_t)forgotten;
        q->offended_ms += forgotten * TARPIT_FORGET_MS;
    }
    if (q->offences < TARPIT_FREE + DOUBLED_MAX)
        q->offences++;
    if (q->offences <= TARPIT_FREE)
        return 0;
    uint64_t ms = (uint64_t)TARPIT_FIRST_MS << (q->offences - TARPIT_FREE - 1);
    return ms < max_ms ? ms : max_ms;
}
