/* Quotas: whoever takes, gives back, is charged, comes and goes in any order never has more than
 * the burst and what time gave since; when one is told to come again in so many milliseconds, one
 * is due then and not before; a key that is held is one and the same, and those that nobody holds
 * are forgotten oldest first, and never too many. First bytes: the limit; then steps, an op byte
 * and its choices. */
#include <string.h>

#include "fuzz.h"
#include "input.h"
#include "relay/quota.h"

#define KEYS 6u
#define HOLDERS_MAX 3u
#define STEPS_MAX 300u

/* What an observer knows of one key. */
static struct seen {
    struct quota *q; /* while held */
    unsigned holders;
    bool known;
    uint64_t since_ms;
    wide used; /* entries taken and charged, less what was given back */
    uint64_t owed_most;
} seen[3][KEYS];
static struct quotas table;
static struct rate_limit limit;
static uint64_t now;

static void hold(unsigned kind, unsigned k)
{
    struct seen *s = &seen[kind][k];
    uint32_t key = k * 0x01010101u;
    if (s->holders == HOLDERS_MAX)
        return;
    struct quota *q = quotas_hold(&table, kind, &key, sizeof(key));
    PROPERTY(q != NULL && (s->holders == 0 || q == s->q));
    for (unsigned i = 0; i < 3; i++)
        for (unsigned j = 0; j < KEYS; j++)
            PROPERTY((i == kind && j == k) || seen[i][j].holders == 0 || seen[i][j].q != q);
    s->q = q;
    s->holders++;
}

static void drop(unsigned kind, unsigned k)
{
    struct seen *s = &seen[kind][k];
    if (s->holders == 0)
        return;
    quotas_drop(&table, s->q);
    s->holders--;
}

/* No more than the burst at once, and what time brings; a charge may go into debt. */
static void check_use(struct seen *s)
{
    if (!s->known) {
        s->known = true;
        s->since_ms = now;
    }
    wide most = (wide)(limit.burst ? limit.burst : 1) * 1000 +
                (wide)limit.a_second * (wide)(now - s->since_ms);
    PROPERTY(limit.a_second == 0 || s->used * 1000 <= most);
}

static void take_some(struct input *in, struct seen *s)
{
    uint64_t wait, count = take_below(in, 64);
    uint64_t n = bucket_take(&s->q->bucket, &limit, count, now, &wait);
    PROPERTY(n <= count && (wait > 0) == (n < count));
    PROPERTY(limit.a_second > 0 || n == count);
    s->used += (wide)n;
    check_use(s);
    uint64_t back = take_below(in, 4) ? 0 : take_below(in, 64);
    back = back < n ? back : n;
    bucket_give(&s->q->bucket, &limit, back);
    s->used -= (wide)back;
    check_use(s);
}

/* Told to come again: not one millisecond sooner, and then it is. */
static void come_again(struct seen *s)
{
    uint64_t wait, none;
    if (!bucket_due(&s->q->bucket, &limit, now, &wait)) {
        struct bucket then = s->q->bucket;
        PROPERTY(wait > 0 && limit.a_second > 0);
        PROPERTY(!bucket_due(&then, &limit, now + wait - 1, &none) && none == 1);
        PROPERTY(bucket_due(&then, &limit, now + wait, &none) && none == 0);
    } else {
        PROPERTY(wait == 0);
        bucket_charge(&s->q->bucket, &limit, 1, now);
        s->used++;
        check_use(s);
    }
}

static void offend(struct input *in, struct seen *s)
{
    uint64_t most = take(in, 2), last = 0;
    for (unsigned n = 1 + take_below(in, 40); n > 0; n--) {
        uint64_t ms = quota_offend(s->q, most, now);
        PROPERTY(ms <= most && ms >= last);
        last = ms;
    }
}

static void step(struct input *in)
{
    unsigned op = take_below(in, 12), kind = take_below(in, 3), k = take_below(in, KEYS);
    struct seen *s = &seen[kind][k];
    if (op < 3) {
        hold(kind, k);
    } else if (op < 5) {
        drop(kind, k);
    } else if (op == 5) {
        now += take(in, 2) >> take_below(in, 12);
    } else if (s->holders == 0) {
        return;
    } else if (op < 8) {
        take_some(in, s);
    } else if (op < 10) {
        come_again(s);
    } else {
        offend(in, s);
    }
    size_t held = 0;
    for (unsigned i = 0; i < 3; i++)
        for (unsigned j = 0; j < KEYS; j++)
            held += seen[i][j].holders > 0;
    PROPERTY(table.count == table.idle + held && table.idle <= QUOTA_IDLE_MAX);
}

/* More strangers than are remembered: who is held stays. */
static void flood(void)
{
    for (uint32_t i = 0; i < QUOTA_IDLE_MAX + 100; i++) {
        uint64_t key = UINT64_C(1) << 40 | i;
        struct quota *q = quotas_hold(&table, QUOTA_ADDRESS, &key, sizeof(key));
        PROPERTY(q != NULL);
        quotas_drop(&table, q);
    }
    PROPERTY(table.idle == QUOTA_IDLE_MAX);
    for (unsigned i = 0; i < 3; i++)
        for (unsigned j = 0; j < KEYS; j++) {
            if (seen[i][j].holders == 0)
                memset(&seen[i][j], 0, sizeof(seen[i][j]));
            else if (seen[i][j].holders < HOLDERS_MAX)
                hold(i, j);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t rates[] = {0, 1, 3, 7, 1000, 999, 1001, 1000000};
    struct input in = input_of(data, size);
    memset(seen, 0, sizeof(seen));
    now = 1000;
    limit.a_second = rates[take_below(&in, 8)];
    limit.burst = take(&in, 1);
    bool floods = take_below(&in, 256) == 7;
    PROPERTY(quotas_open(&table, take(&in, 2)));
    for (unsigned i = 0; i < STEPS_MAX && in.left > 0; i++)
        step(&in);
    if (floods)
        flood();
    for (unsigned i = 0; i < 3; i++)
        for (unsigned j = 0; j < KEYS; j++)
            while (seen[i][j].holders > 0)
                drop(i, j);
    PROPERTY(table.count == table.idle);
    quotas_close(&table);
    return 0;
}
