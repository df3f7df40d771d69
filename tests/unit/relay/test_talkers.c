/* Who sends the most is in the table, however many others there are; old news fade. */
#include "tests/unit/relay/test.h"

#include "relay/talkers.h"

static struct ws_address address(uint32_t n)
{
    struct ws_address a = {{[10] = 0xff, [11] = 0xff}};
    memcpy(a.b + 12, &n, sizeof(n));
    return a;
}

static void a_steady_sender_stands_at_his_rate(void **state)
{
    static struct talkers t;
    struct talker_row row[4];
    struct ws_address one = address(1), two = address(2);
    (void)state;
    memset(&t, 0, sizeof(t));
    assert_int_equal(talkers_top(&t, row, 4), 0);
    for (int second = 0; second < 100; second++) {
        if (second)
            talkers_fade(&t);
        talkers_add(&t, &one, 900, 300);
        talkers_add(&t, &two, 100, 0);
        talkers_add(&t, &two, 0, 0);
    }
    assert_int_equal(talkers_top(&t, row, 4), 2);
    assert_memory_equal(&row[0].address, &one, sizeof(one));
    assert_in_range(row[0].entries, 890, 901);
    assert_in_range(row[0].refused, 295, 301);
    assert_in_range(row[0].permille, 895, 901);
    assert_in_range(row[1].entries, 97, 101);
    assert_in_range(talkers_all(&t), 985, 1001);
    for (int second = 0; second < 100; second++)
        talkers_fade(&t);
    assert_int_equal(talkers_top(&t, row, 4), 0);
    assert_int_equal(t.all, 0);
}

static void one_flood_is_seen_among_ten_thousand(void **state)
{
    static struct talkers t;
    struct talker_row row[3];
    struct ws_address flood = address(77777);
    (void)state;
    memset(&t, 0, sizeof(t));
    for (int second = 0; second < 10; second++) {
        talkers_fade(&t);
        for (uint32_t n = 0; n < 10000; n++) {
            struct ws_address a = address(n);
            talkers_add(&t, &a, 1, 0);
            if (n % 10 == 0)
                talkers_add(&t, &flood, 10, 10);
        }
    }
    assert_true(t.count <= TALKERS);
    assert_int_equal(talkers_top(&t, row, 3), 3);
    assert_memory_equal(&row[0].address, &flood, sizeof(flood));
    assert_in_range(row[0].permille, 450, 501); /* half, and never told to be more */
    assert_true(row[1].permille < 20); /* what it may have inherited does not count */
}

static void the_list_is_in_order_and_no_longer_than_asked(void **state)
{
    static struct talkers t;
    struct talker_row row[5];
    (void)state;
    memset(&t, 0, sizeof(t));
    for (uint32_t n = 0; n < 20; n++) {
        struct ws_address a = address(n);
        talkers_add(&t, &a, 10 + n * 7 % 20 * 10, 0);
    }
    assert_int_equal(talkers_top(&t, row, 5), 5);
    for (int i = 1; i < 5; i++)
        assert_true(row[i - 1].permille >= row[i].permille);
    assert_int_equal(row[0].entries, 200 / TALKERS_FADE);
    assert_int_equal(talkers_top(&t, row, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_steady_sender_stands_at_his_rate),
        cmocka_unit_test(one_flood_is_seen_among_ten_thousand),
        cmocka_unit_test(the_list_is_in_order_and_no_longer_than_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
