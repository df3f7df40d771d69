/* Outcomes of appends and claims. */
#include <string.h>

#include "tests/conformance/suite.h"

static void appended_records_are_read_back(void **state)
{
    struct suite *s = *state;
    for (size_t i = 1; i < 40; i++)
        assert_int_equal(suite_append(s, (uint32_t)(i * 7 % SUITE_SLOTS), i),
                         STORE_COMMITTED);
    suite_check_all(s);
    suite_reopen(s);
    suite_check_all(s);
}

static void many_slots_commit_together(void **state)
{
    struct suite *s = *state;
    static struct feed_append f[SUITE_SLOTS];
    struct store_append a[SUITE_SLOTS];
    enum store_outcome outcome[SUITE_SLOTS];
    for (int round = 0; round < 5; round++) {
        for (uint32_t i = 0; i < SUITE_SLOTS; i++) {
            suite_make(s, &f[i], i, 32 + i);
            a[i] = f[i].a;
        }
        s->store->ops->append(s->store, a, SUITE_SLOTS, outcome);
        for (uint32_t i = 0; i < SUITE_SLOTS; i++) {
            assert_int_equal(outcome[i], STORE_COMMITTED);
            suite_commit(s, &f[i]);
            feed_close(&f[i]);
        }
    }
    suite_check_all(s);
}

/* Slots 0..3: wrong size below, wrong size above, wrong epoch, right. */
static void only_the_slot_that_was_moved_is_lost(void **state)
{
    struct suite *s = *state;
    static struct feed_append f[4], first;
    struct store_append a[4];
    enum store_outcome outcome[4];
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(suite_append(s, i, 5), STORE_COMMITTED);
    suite_make(s, &f[0], 0, 3);
    assert_int_equal(suite_append(s, 0, 1),
                     STORE_COMMITTED); /* someone else was faster */
    suite_make(s, &first, 1, 1);
    struct model_slot before = s->slot[1];
    s->slot[1].feed = first.after; /* believes in a commit that never was */
    suite_make(s, &f[1], 1, 3);
    s->slot[1] = before;
    suite_make(s, &f[2], 2, 3);
    f[2].a.epoch += 1;
    suite_make(s, &f[3], 3, 3);
    for (size_t i = 0; i < 4; i++)
        a[i] = f[i].a;
    s->store->ops->append(s->store, a, 4, outcome);
    assert_int_equal(outcome[0], STORE_LOST);
    assert_int_equal(outcome[1], STORE_LOST);
    assert_int_equal(outcome[2], STORE_LOST);
    assert_int_equal(outcome[3], STORE_COMMITTED);
    suite_commit(s, &f[3]);
    suite_check_all(s);
    s->store->ops->append(s->store, a, 3, outcome); /* all of them lost */
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(outcome[i], STORE_LOST);
    suite_reopen(s);
    suite_check_all(s);
    for (uint32_t i = 0; i < 4; i++)
        suite_check_lookups(s, i, 1);
    for (size_t i = 0; i < 4; i++)
        feed_close(&f[i]);
    feed_close(&first);
}

static void a_claim_fences_the_older_epoch(void **state)
{
    struct suite *s = *state;
    uint64_t epoch = 0;
    assert_int_equal(suite_append(s, 6, 4), STORE_COMMITTED);
    assert_int_equal(s->store->ops->claim(s->store, 6, &epoch), ERR_OK);
    assert_int_equal(epoch, 2);
    assert_int_equal(suite_append(s, 6, 4), STORE_LOST);
    assert_int_equal(suite_append(s, 7, 4), STORE_COMMITTED);
    s->slot[6].feed.epoch = epoch;
    assert_int_equal(suite_append(s, 6, 4), STORE_COMMITTED);
    suite_reopen(s);
    suite_check_all(s);
    assert_int_equal(s->store->ops->claim(s->store, 6, &epoch), ERR_OK);
    assert_int_equal(epoch, 3);
}

static void the_largest_and_smallest_envelopes_are_kept(void **state)
{
    struct suite *s = *state;
    static const size_t sizes[] = {FEED_ENVELOPE_MIN, 4000, 8100, 16384,
                                   ENVELOPE_BYTES_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct feed_append f;
        enum store_outcome outcome = STORE_UNKNOWN;
        feed_make(&f, &s->slot[9].feed, 3, sizes[i], 0, i);
        s->store->ops->append(s->store, &f.a, 1, &outcome);
        assert_int_equal(outcome, STORE_COMMITTED);
        suite_commit(s, &f);
        feed_close(&f);
    }
    suite_check_slot(s, 9);
    suite_reopen(s);
    suite_check_slot(s, 9);
    suite_check_lookups(s, 9, 1);
}

static void the_largest_append_commits(void **state)
{
    struct suite *s = *state;
    assert_int_equal(suite_append(s, 2, STORE_APPEND_RECORDS_MAX), STORE_COMMITTED);
    suite_check_slot(s, 2);
    suite_check_lookups(s, 2, 997);
}

int suite_append_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(appended_records_are_read_back, suite_setup,
                                        suite_teardown),
        cmocka_unit_test_setup_teardown(many_slots_commit_together, suite_setup,
                                        suite_teardown),
        cmocka_unit_test_setup_teardown(only_the_slot_that_was_moved_is_lost, suite_setup,
                                        suite_teardown),
        cmocka_unit_test_setup_teardown(a_claim_fences_the_older_epoch, suite_setup,
                                        suite_teardown),
        cmocka_unit_test_setup_teardown(the_largest_and_smallest_envelopes_are_kept,
                                        suite_setup, suite_teardown),
        cmocka_unit_test_setup_teardown(the_largest_append_commits, suite_setup,
                                        suite_teardown),
    };
    return cmocka_run_group_tests_name("append", tests, NULL, NULL);
}
