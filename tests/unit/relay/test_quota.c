#include "relay/quota.h"

#include <string.h>

#include "tests/unit/relay/test.h"

static const struct rate_limit limit = {.a_second = 10, .burst = 20};

static uint64_t take(struct bucket *b, uint64_t count, uint64_t now, uint64_t *retry)
{
    return bucket_take(b, &limit, count, now, retry);
}

static void a_burst_then_the_rate(void **state)
{
    struct bucket b = {0};
    uint64_t retry;
    (void)state;
    assert_int_equal(take(&b, 30, 5000, &retry), 20);
    assert_int_equal(retry, 100);
    assert_int_equal(take(&b, 1, 5099, &retry), 0);
    assert_int_equal(retry, 1);
    assert_int_equal(take(&b, 1, 5100, &retry), 1);
    assert_int_equal(retry, 0);
    assert_int_equal(take(&b, 99, 6100, &retry), 10);
    assert_int_equal(take(&b, 99, 5000, &retry), 0); /* time does not go back */
    assert_int_equal(take(&b, 99, UINT64_MAX / 2, &retry), 20);
    const struct rate_limit none = {0};
    assert_int_equal(bucket_take(&b, &none, 99, 0, &retry), 99);
}

static void what_is_given_back_is_there_again_and_no_more(void **state)
{
    struct bucket b = {0};
    uint64_t retry;
    (void)state;
    assert_int_equal(take(&b, 20, 0, &retry), 20);
    bucket_give(&b, &limit, 15);
    assert_int_equal(take(&b, 20, 0, &retry), 15);
    bucket_give(&b, &limit, 1000);
    assert_int_equal(take(&b, 1000, 0, &retry), 20);
}

static void debt_is_paid_back_at_the_rate(void **state)
{
    struct bucket b = {0};
    uint64_t retry;
    (void)state;
    assert_true(bucket_due(&b, &limit, 0, &retry));
    bucket_charge(&b, &limit, 50, 0); /* a batch that was due as a whole */
    assert_false(bucket_due(&b, &limit, 0, &retry));
    assert_int_equal(retry, 3100);
    assert_false(bucket_due(&b, &limit, 3099, &retry));
    assert_int_equal(retry, 1);
    assert_true(bucket_due(&b, &limit, 3100, &retry));
    assert_int_equal(take(&b, 5, 3100, &retry), 1);
    for (int i = 0; i < 1000; i++)
        bucket_charge(&b, &limit, UINT64_MAX, 3100);
    assert_false(bucket_due(&b, &limit, 3100, &retry));
    assert_true(retry <= (uint64_t)(QUOTA_DEBT_MAX + 1) * 1000 / limit.a_second);
}

static void a_lower_burst_counts_at_once(void **state)
{
    struct bucket b = {0};
    const struct rate_limit less = {.a_second = 10, .burst = 5};
    uint64_t retry;
    (void)state;
    assert_int_equal(take(&b, 1, 0, &retry), 1);
    assert_int_equal(bucket_take(&b, &less, 99, 0, &retry), 5);
}

static void a_bucket_outlives_who_held_it(void **state)
{
    struct quotas t;
    uint64_t retry;
    (void)state;
    assert_true(quotas_open(&t, 7));
    struct quota *q = quotas_hold(&t, QUOTA_DEVICE, "abc", 3);
    assert_int_equal(take(&q->bucket, 99, 1, &retry), 20);
    assert_ptr_equal(quotas_hold(&t, QUOTA_DEVICE, "abc", 3), q);
    struct quota *other = quotas_hold(&t, QUOTA_ADDRESS, "abc", 3);
    assert_ptr_not_equal(other, q);
    quotas_drop(&t, q);
    quotas_drop(&t, q);
    quotas_drop(&t, other);
    quotas_drop(&t, NULL);
    assert_int_equal(t.idle, 2);
    assert_ptr_equal(quotas_hold(&t, QUOTA_DEVICE, "abc", 3), q);
    assert_int_equal(take(&q->bucket, 1, 1, &retry), 0);
    assert_int_equal(t.idle, 1);
    quotas_drop(&t, q);
    quotas_close(&t);
}

static void only_so_many_are_kept_and_the_oldest_leave(void **state)
{
    struct quotas t;
    uint64_t retry;
    (void)state;
    assert_true(quotas_open(&t, 9));
    struct quota *held = quotas_hold(&t, QUOTA_ACCOUNT, "held", 4);
    assert_int_equal(take(&held->bucket, 20, 1, &retry), 20);
    for (uint32_t i = 0; i < 3 * QUOTA_IDLE_MAX; i++) {
        struct quota *q = quotas_hold(&t, QUOTA_ACCOUNT, &i, sizeof(i));
        assert_int_equal(take(&q->bucket, 20, 1, &retry), 20);
        quotas_drop(&t, q);
        assert_true(t.idle <= QUOTA_IDLE_MAX && t.count <= QUOTA_IDLE_MAX + 1);
    }
    for (uint32_t i = 3 * QUOTA_IDLE_MAX; i-- > 2 * QUOTA_IDLE_MAX;) {
        struct quota *q = quotas_hold(&t, QUOTA_ACCOUNT, &i, sizeof(i));
        assert_int_equal(take(&q->bucket, 1, 1, &retry), 0); /* remembered */
        quotas_drop(&t, q);
    }
    assert_ptr_equal(quotas_hold(&t, QUOTA_ACCOUNT, "held", 4), held);
    quotas_close(&t);
}

static void offences_cost_more_each_time_and_are_forgotten(void **state)
{
    struct quota q = {.holders = 1};
    (void)state;
    for (unsigned i = 0; i < TARPIT_FREE; i++)
        assert_int_equal(quota_offend(&q, 10000, 50), 0);
    assert_int_equal(quota_offend(&q, 10000, 50), TARPIT_FIRST_MS);
    assert_int_equal(quota_offend(&q, 10000, 50), 2 * TARPIT_FIRST_MS);
    for (int i = 0; i < 100; i++)
        assert_true(quota_offend(&q, 10000, 50) <= 10000);
    assert_int_equal(quota_offend(&q, 10000, 50), 10000);
    assert_int_equal(quota_offend(&q, 0, 50), 0); /* no tarpit */
    assert_int_equal(quota_offend(&q, 10000, 50 + 60000), 0);
    for (unsigned i = 1; i < TARPIT_FREE; i++)
        assert_int_equal(quota_offend(&q, 10000, 50 + 60000), 0);
    /* Two a second are one a second too many. */
    uint64_t held = 0;
    for (unsigned i = 0; i < TARPIT_FREE; i++)
        held += quota_offend(&q, 10000, 70000 + 500 * i);
    assert_true(held == 0);
    for (unsigned i = 0; i < 8 * TARPIT_FREE; i++)
        held += quota_offend(&q, 10000, 80000 + 500 * i);
    assert_true(held > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_then_the_rate),
        cmocka_unit_test(what_is_given_back_is_there_again_and_no_more),
        cmocka_unit_test(debt_is_paid_back_at_the_rate),
        cmocka_unit_test(a_lower_burst_counts_at_once),
        cmocka_unit_test(a_bucket_outlives_who_held_it),
        cmocka_unit_test(only_so_many_are_kept_and_the_oldest_leave),
        cmocka_unit_test(offences_cost_more_each_time_and_are_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
