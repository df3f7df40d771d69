/* Tokens: a burst at once, then the rate; each peer its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "federation/rate.h"

static unsigned taken(struct rate *r, uint8_t who, uint64_t from_ms, uint64_t to_ms)
{
    uint8_t peer[RATE_PEER_BYTES] = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = who};
    unsigned n = 0;
    for (uint64_t now = from_ms; now < to_ms; now++)
        n += rate_take(r, peer, 10, 5, now);
    return n;
}

static void a_burst_then_the_rate(void **state)
{
    static struct rate r = {.seed = 7};
    (void)state;
    assert_int_equal(taken(&r, 1, 1000, 1001), 1);
    assert_int_equal(taken(&r, 2, 1000, 2000), 5 + 9);
    assert_int_equal(taken(&r, 1, 1001, 2001), 4 + 10);
    assert_int_equal(taken(&r, 1, 60000, 60001), 1);
    for (int i = 0; i < 4; i++)
        assert_int_equal(taken(&r, 1, 60001, 60002), 1);
    assert_int_equal(taken(&r, 1, 60002, 60003), 0); /* no more than a burst was saved */
}

static void a_network_is_one_peer(void **state)
{
    static struct rate r = {.seed = 8};
    uint8_t a[RATE_PEER_BYTES] = {0x20, 1, [15] = 1}, b[RATE_PEER_BYTES] = {0x20, 1, [15] = 2};
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_true(rate_take(&r, i % 2 ? a : b, 1, 3, 500));
    assert_false(rate_take(&r, a, 1, 3, 500));
    assert_false(rate_take(&r, b, 1, 3, 500));
    for (int i = 0; i < 1000; i++)
        assert_true(rate_take(&r, b, 0, 3, 500)); /* 0: no limit */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_then_the_rate),
        cmocka_unit_test(a_network_is_one_peer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
