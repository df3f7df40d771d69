#include "relay/topics.h"

#include "tests/unit/relay/test.h"

#define MANY 3000u

static struct wire_key account(uint32_t n)
{
    struct wire_key k = {.what = WIRE_ACCOUNT};
    memcpy(k.id.b, &n, sizeof(n));
    return k;
}

static void subscriptions_come_and_go(void **state)
{
    (void)state;
    static struct sub *lists[MANY];
    struct topics t;
    assert_true(topics_open(&t, 42));
    for (uint32_t i = 0; i < MANY; i++) {
        struct wire_key k = account(i % 1000);
        assert_non_null(topics_add(&t, &k, i, 0, &lists[i]));
    }
    assert_int_equal(t.count, 1000);
    assert_int_equal(t.subs, MANY);
    for (uint32_t i = 0; i < 1000; i++) {
        struct wire_key k = account(i);
        struct topic *p = topics_find(&t, &k);
        assert_non_null(p);
        assert_int_equal(p->count, 3);
    }
    /* Out of the middle, the front and the end of each topic's list. */
    for (uint32_t i = 0; i < MANY; i++) {
        uint32_t at = (i * 1733u) % MANY;
        struct wire_key k = account(at % 1000);
        struct sub *s = topics_of(lists[at], &k);
        assert_non_null(s);
        topics_remove(&t, s, &lists[at]);
        assert_null(lists[at]);
    }
    assert_int_equal(t.count, 0);
    topics_close(&t);
}

static void slots_and_accounts_are_different_keys(void **state)
{
    (void)state;
    struct topics t;
    struct sub *list = NULL;
    struct wire_key slot = {.what = WIRE_SLOT, .slot = 3},
                    other = {.what = WIRE_SLOT, .slot = 4};
    struct wire_key id = account(3);
    assert_true(topics_open(&t, 1));
    assert_non_null(topics_add(&t, &slot, 1, 0, &list));
    assert_null(topics_find(&t, &other));
    assert_null(topics_find(&t, &id));
    assert_null(topics_of(list, &id));
    struct sub *first = topics_of(list, &slot);
    uint32_t serial = first->serial;
    topics_remove(&t, first, &list);
    assert_true(topics_add(&t, &slot, 1, 0, &list)->serial != serial);
    topics_remove(&t, list, &list);
    topics_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(subscriptions_come_and_go),
        cmocka_unit_test(slots_and_accounts_are_different_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
