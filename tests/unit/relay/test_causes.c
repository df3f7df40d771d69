#include "relay/causes.h"

#include "tests/unit/relay/test.h"

#define MANY 20000u

static struct hash id_of(uint32_t n)
{
    struct hash h = {{0}};
    memcpy(h.b, &n, sizeof(n));
    return h;
}

static void causes_are_found_until_they_are_settled(void **state)
{
    (void)state;
    struct causes c;
    assert_int_equal(causes_open(&c, 77), ERR_OK);
    for (uint32_t i = 0; i < MANY; i++) {
        struct hash id = id_of(i);
        causes_add(&c, &id)->left = i;
    }
    struct hash again = id_of(5);
    assert_int_equal(causes_add(&c, &again)->left, 5);
    assert_int_equal(c.count, MANY);
    for (uint32_t i = 0; i < MANY; i += 2) {
        struct hash id = id_of(i);
        causes_remove(&c, &id);
        causes_remove(&c, &id);
        assert_null(causes_find(&c, &id));
    }
    for (uint32_t i = 1; i < MANY; i += 2) {
        struct hash id = id_of(i);
        assert_int_equal(causes_find(&c, &id)->left, i);
    }
    assert_int_equal(c.count, MANY / 2);
    causes_close(&c);
}

static void a_few_connections_watch_a_cause(void **state)
{
    (void)state;
    struct causes c;
    struct hash id = id_of(3);
    assert_int_equal(causes_open(&c, 77), ERR_OK);
    struct cause *p = causes_add(&c, &id);
    for (uint64_t conn = 1; conn <= CAUSE_WATCHERS_MAX; conn++)
        for (int twice = 0; twice < 2; twice++)
            cause_watch(p, conn);
    assert_int_equal(p->watcher_count, CAUSE_WATCHERS_MAX);
    /* One more: whoever came first has the least to gain, his connection may be gone. */
    cause_watch(p, 100);
    assert_int_equal(p->watcher_count, CAUSE_WATCHERS_MAX);
    assert_int_equal(p->watchers[0], 2);
    assert_int_equal(p->watchers[CAUSE_WATCHERS_MAX - 1], 100);
    causes_remove(&c, &id);
    assert_int_equal(causes_add(&c, &id)->watcher_count, 0);
    causes_close(&c);
}

static void what_is_counted_anew_and_not_found_leaves(void **state)
{
    (void)state;
    struct causes c;
    assert_int_equal(causes_open(&c, 77), ERR_OK);
    for (unsigned i = 0; i < 10000; i++) {
        struct hash id = id_of(i);
        causes_add(&c, &id)->left = 2;
    }
    causes_zero(&c);
    for (unsigned i = 0; i < 10000; i += 3) {
        struct hash id = id_of(i);
        causes_find(&c, &id)->left++;
    }
    causes_sweep(&c);
    for (unsigned i = 0; i < 10000; i++) {
        struct hash id = id_of(i);
        struct cause *p = causes_find(&c, &id);
        assert_int_equal(p != NULL, i % 3 == 0);
        assert_true(p == NULL || p->left == 1);
    }
    assert_int_equal(c.count, 3334);
    causes_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(causes_are_found_until_they_are_settled),
        cmocka_unit_test(a_few_connections_watch_a_cause),
        cmocka_unit_test(what_is_counted_anew_and_not_found_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
