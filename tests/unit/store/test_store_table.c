#include <stdlib.h>
#include <string.h>

#include "tests/conformance/suite.h"
#include "ledger/store_table.h"

static size_t places(const struct table *t, uint64_t key, uint64_t *sum)
{
    struct table_walk w = table_find(t, key);
    uint64_t place = 0;
    size_t n = 0;
    *sum = 0;
    while (table_next(t, key, &w, &place)) {
        *sum += place;
        n += 1;
    }
    return n;
}

static void every_pair_is_found_once(void **state)
{
    (void)state;
    struct table t;
    uint64_t sum = 0;
    assert_true(table_init(&t, 99, 4));
    for (int again = 0; again < 2; again++)
        for (uint64_t i = 0; i < 20000; i++)
            assert_true(table_add(&t, i % 5000, i));
    assert_int_equal(t.count, 20000);
    for (uint64_t key = 0; key < 5000; key++) {
        assert_int_equal(places(&t, key, &sum), 4);
        assert_int_equal(sum, 4 * key + 5000 + 10000 + 15000);
    }
    assert_int_equal(places(&t, 5000, &sum), 0);
    table_close(&t);
}

static void place_zero_and_any_key_are_ordinary(void **state)
{
    (void)state;
    struct table t;
    uint64_t sum = 1;
    assert_true(table_init(&t, 0, 0));
    assert_int_equal(places(&t, 0, &sum), 0);
    assert_true(table_add(&t, 0, 0));
    assert_true(table_add(&t, UINT64_MAX, 7));
    assert_int_equal(places(&t, 0, &sum), 1);
    assert_int_equal(sum, 0);
    assert_int_equal(places(&t, UINT64_MAX, &sum), 1);
    assert_int_equal(sum, 7);
    table_close(&t);
}

static void positions_of_an_account_have_keys_of_their_own(void **state)
{
    (void)state;
    for (uint64_t i = 1; i < 1000; i++) {
        assert_true(table_account_key(5, i) != table_account_key(5, i - 1));
        assert_true(table_account_key(i, 5) != table_account_key(i - 1, 5));
        assert_true(table_account_key(i, i + 1) != table_account_key(i + 1, i));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_is_found_once),
        cmocka_unit_test(place_zero_and_any_key_are_ordinary),
        cmocka_unit_test(positions_of_an_account_have_keys_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
