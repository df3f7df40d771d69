/* How much is accepted for one account. Asked before an entry is sequenced and paid for when
 * it is committed, so that entries the rules refuse (anybody may sign one about anybody's
 * account) use up nothing of the account's. */
#include "relay/commit_internal.h"

#include "relay/clock.h"

static struct rate_limit limit_of(const struct commit *c)
{
    const struct relay_config *s = settings(c->r);
    return (struct rate_limit){s->limits.account_entries_a_second, s->limits.account_burst};
}

/* Issuing is not its holders' doing; an account begins with `open`. */
static bool counts(const struct entry *e)
{
    return e->has_account && e->kind != KIND_ACCRUE && e->kind != KIND_ADJUST;
}

bool account_due(struct commit *c, const struct entry *e, uint64_t *retry_ms)
{
    struct rate_limit l = limit_of(c);
    *retry_ms = 0;
    if (l.a_second == 0 || !counts(e))
        return true;
    struct quota *q = quotas_hold(&c->accounts, QUOTA_ACCOUNT, e->account.b, HASH_BYTES);
    bool due = !q || bucket_due(&q->bucket, &l, clock_mono_ms(), retry_ms);
    quotas_drop(&c->accounts, q);
    if (!due)
        metrics_count(c->r->metrics, METRIC_LIMITED, M_LIMIT_RATE_ACCOUNT, 1);
    return due;
}

void account_charge(struct commit *c, const struct entry *e)
{
    struct rate_limit l = limit_of(c);
    if (l.a_second == 0 || !counts(e))
        return;
    struct quota *q = quotas_hold(&c->accounts, QUOTA_ACCOUNT, e->account.b, HASH_BYTES);
    if (q)
        bucket_charge(&q->bucket, &l, 1, clock_mono_ms());
    quotas_drop(&c->accounts, q);
}
