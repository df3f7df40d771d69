/* Reads against the naive model. */
#include <string.h>

#include "tests/conformance/suite.h"

static void lookups_equal_the_model(void **state)
{
    struct suite *s = *state;
    uint64_t random = 42;
    for (int round = 0; round < 60; round++) {
        uint32_t slot = (uint32_t)(feed_random(&random) % SUITE_SLOTS);
        assert_int_equal(suite_append(s, slot, 1 + feed_random(&random) % 200),
                         STORE_COMMITTED);
        if (round % 20 == 19) {
            assert_int_equal(s->store->ops->maintain(s->store), ERR_OK);
            suite_check_lookups(s, slot, 1);
        }
    }
    for (uint32_t i = 0; i < SUITE_SLOTS; i++)
        suite_check_lookups(s, i, 7);
    suite_reopen(s);
    suite_check_all(s);
    for (uint32_t i = 0; i < SUITE_SLOTS; i++)
        suite_check_lookups(s, i, 7);
}

/* Past 256 * 256 leaves, in steps that end before, at and after every kind of boundary.
 */
static void trees_of_three_tile_levels_are_right(void **state)
{
    struct suite *s = *state;
    static const uint64_t stops[] = {1,    255,   256,   257,   511,   512,   4096,
                                     4097, 65535, 65536, 65537, 65792, 66000, 70000};
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        while (suite_size(s, 5) < stops[i]) {
            uint64_t more = stops[i] - suite_size(s, 5);
            assert_int_equal(suite_append(s, 5, more < 4000 ? more : 4000),
                             STORE_COMMITTED);
            assert_int_equal(s->store->ops->maintain(s->store), ERR_OK);
        }
        if (stops[i] < 5000 || stops[i] >= 65535)
            suite_check_lookups(s, 5, stops[i] < 5000 ? 37 : 4999);
    }
    suite_check_slot(s, 5);
    suite_reopen(s);
    suite_check_lookups(s, 5, 1009);
}

static bool stop_at_third(void *context, const struct record *r,
                          const struct hash *account)
{
    (void)r;
    (void)account;
    return ++*(int *)context < 3;
}

static bool indexes(void *context, const struct record *r, const struct hash *account)
{
    (void)account;
    uint64_t *range = context;
    if (range[0] == 0)
        range[1] = r->index;
    range[0] += 1;
    return true;
}

static void ranges_are_bounded(void **state)
{
    struct suite *s = *state;
    assert_int_equal(suite_append(s, 1, 50), STORE_COMMITTED);
    int seen = 0;
    assert_int_equal(s->reader->ops->records(s->reader, 1, 10, 20, stop_at_third, &seen),
                     ERR_OK);
    assert_int_equal(seen, 3);
    static const struct {
        uint64_t from, max, want;
    } cases[] = {{0, 50, 50},        {0, 51, 50},         {49, 5, 1},
                 {50, 5, 0},         {0, 0, 0},           {10, UINT64_MAX, 40},
                 {UINT64_MAX, 1, 0}, {1, UINT64_MAX, 49}, {1000, 10, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t range[2] = {0, 0};
        assert_int_equal(s->reader->ops->records(s->reader, 1, cases[i].from,
                                                 cases[i].max, indexes, range),
                         ERR_OK);
        assert_int_equal(range[0], cases[i].want);
        if (range[0] > 0)
            assert_int_equal(range[1], cases[i].from);
    }
    seen = 0;
    struct hash account = s->slot[1].records[0].account;
    assert_int_equal(
        s->reader->ops->account(s->reader, &account, 0, UINT64_MAX, stop_at_third, &seen),
        ERR_OK);
    assert_true(seen <= 3);
    uint64_t range[2] = {0, 0};
    assert_int_equal(
        s->reader->ops->account(s->reader, &account, UINT64_MAX, 5, indexes, range),
        ERR_OK);
    assert_int_equal(range[0], 0);
}

static void nothing_past_the_checkpoint_is_answered(void **state)
{
    struct suite *s = *state;
    struct hash out[TILE_HASHES];
    assert_int_equal(suite_append(s, 0, 300), STORE_COMMITTED);
    static const struct {
        unsigned level, width;
        uint64_t n;
    } tiles[] = {{0, 45, 1},         {0, 256, 1}, {0, 1, 2},         {1, 2, 0},
                 {2, 1, 0},          {0, 0, 0},   {0, 257, 0},       {6, 1, 0},
                 {0, 1, UINT64_MAX}, {200, 1, 0}, {1, 1, UINT64_MAX}};
    for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++)
        assert_int_equal(s->reader->ops->tile(s->reader, 0, tiles[i].level, tiles[i].n,
                                              tiles[i].width, out),
                         ERR_RANGE);
    assert_int_equal(s->reader->ops->tile(s->reader, 0, 0, 1, 44, out), ERR_OK);
    assert_int_equal(s->reader->ops->node(s->reader, 0, 64, 0, out), ERR_RANGE);
    assert_int_equal(s->reader->ops->node(s->reader, 0, 0, UINT64_MAX, out), ERR_RANGE);
    assert_int_equal(s->reader->ops->node(s->reader, 0, 8, 1, out), ERR_RANGE);
}

int suite_read_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lookups_equal_the_model, suite_setup,
                                        suite_teardown),
        cmocka_unit_test_setup_teardown(trees_of_three_tile_levels_are_right, suite_setup,
                                        suite_teardown),
        cmocka_unit_test_setup_teardown(ranges_are_bounded, suite_setup, suite_teardown),
        cmocka_unit_test_setup_teardown(nothing_past_the_checkpoint_is_answered,
                                        suite_setup, suite_teardown),
    };
    return cmocka_run_group_tests_name("read", tests, NULL, NULL);
}
