/* Which relays are heard on the bus. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "federation/bus_presence.h"

#define NOW 5000000u

static struct bus_relays t;

static bool hear(const char *name, uint64_t now_ms)
{
    uint8_t data[BUS_PRESENCE_MAX];
    return bus_presence_hear(&t, bytes_of(data, bus_presence_put(data, name)), now_ms);
}

static int fresh(void **state)
{
    (void)state;
    memset(&t, 0, sizeof(t));
    return 0;
}

static void who_is_heard_is_remembered_once(void **state)
{
    (void)state;
    assert_true(bus_presence_silent_ms(&t, "r1", NOW) == UINT64_MAX);
    assert_true(hear("r1", NOW));
    assert_true(hear("r2", NOW + 10));
    assert_true(hear("r1", NOW + 30));
    assert_int_equal(t.count, 2);
    assert_int_equal(bus_presence_silent_ms(&t, "r1", NOW + 100), 70);
    assert_int_equal(bus_presence_silent_ms(&t, "r2", NOW + 100), 90);
    assert_true(bus_presence_silent_ms(&t, "r", NOW + 100) == UINT64_MAX);
    assert_true(bus_presence_silent_ms(&t, "r11", NOW + 100) == UINT64_MAX);
}

static void invented_names_take_no_more_room_than_there_is(void **state)
{
    (void)state;
    char name[32];
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "liar-%u", i);
        assert_true(hear(name, NOW + i));
        assert_true(hear("r1", NOW + i)); /* who speaks on stays */
    }
    assert_int_equal(t.count, BUS_RELAYS_MAX);
    assert_int_equal(bus_presence_silent_ms(&t, "r1", NOW + 1000), 1);
    assert_true(bus_presence_silent_ms(&t, "liar-0", NOW + 1000) == UINT64_MAX);
}

static void who_lives_is_expected_and_others_are_forgotten(void **state)
{
    (void)state;
    const char *const three[] = {"r1", "r2", "r3"}, *const two[] = {"r1", "r2"};
    assert_true(hear("r1", NOW));
    assert_true(hear("stranger", NOW));
    bus_presence_expect(&t, three, 3, NOW + 100);
    assert_int_equal(t.count, 3);
    assert_int_equal(bus_presence_silent_ms(&t, "r1", NOW + 200), 200);
    assert_int_equal(bus_presence_silent_ms(&t, "r3", NOW + 200), 100); /* its time begins */
    bus_presence_expect(&t, three, 3, NOW + 300);
    assert_int_equal(bus_presence_silent_ms(&t, "r3", NOW + 400), 300);
    bus_presence_expect(&t, two, 2, NOW + 400); /* it left .. */
    bus_presence_expect(&t, three, 3, NOW + 900); /* .. and came back */
    assert_int_equal(bus_presence_silent_ms(&t, "r3", NOW + 950), 50);
}

static void names_of_every_allowed_length_go_through(void **state)
{
    (void)state;
    char name[BUS_SENDER_MAX + 1] = "";
    for (size_t i = 0; i < BUS_SENDER_MAX; i++) {
        name[i] = 'n';
        assert_true(hear(name, NOW));
        assert_int_equal(bus_presence_silent_ms(&t, name, NOW), 0);
    }
}

static void what_is_no_presence_is_refused(void **state)
{
    (void)state;
    uint8_t good[BUS_PRESENCE_MAX], bad[BUS_PRESENCE_MAX];
    size_t size = bus_presence_put(good, "r1");
    for (size_t n = 0; n < size; n++)
        assert_false(bus_presence_hear(&t, bytes_of(good, n), NOW));
    memcpy(bad, good, size);
    bad[size] = 0;
    assert_false(bus_presence_hear(&t, bytes_of(bad, size + 1), NOW));
    static const uint8_t others[][5] = {
        {0x92, 2, 0xa2, 'r', '1'},  /* another version */
        {0x93, 1, 0xa1, 'r', 1},    /* one field more */
        {0x92, 1, 0xc4, 1, 'r'},    /* bytes for text */
        {0x92, 1, 0xa2, 'r', 0},    /* a zero in a name */
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(bus_presence_hear(&t, bytes_of(others[i], 5), NOW));
    static const uint8_t nameless[] = {0x92, 1, 0xa0};
    assert_false(bus_presence_hear(&t, bytes_of(nameless, sizeof(nameless)), NOW));
    assert_int_equal(t.count, 0);
}

#define TEST(name) cmocka_unit_test_setup(name, fresh)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_is_heard_is_remembered_once),
        TEST(invented_names_take_no_more_room_than_there_is),
        TEST(who_lives_is_expected_and_others_are_forgotten),
        TEST(names_of_every_allowed_length_go_through),
        TEST(what_is_no_presence_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
