#include "relay/addresses.h"

#include <string.h>

#include "tests/unit/relay/test.h"

static struct ws_address v4(uint8_t last)
{
    return (struct ws_address){.b = {[10] = 0xff, [11] = 0xff, 192, 0, 2, last}};
}

static struct ws_address v6(uint8_t network, uint8_t host)
{
    return (struct ws_address){.b = {0x20, 0x01, 0x0d, 0xb8, [7] = network, [15] = host}};
}

static void each_address_has_its_own_count(void **state)
{
    (void)state;
    struct addresses t;
    struct ws_address a = v4(1), b = v4(2);
    assert_true(addresses_open(&t, 5));
    assert_true(addresses_add(&t, &a, 2));
    assert_true(addresses_add(&t, &a, 2));
    assert_false(addresses_add(&t, &a, 2));
    assert_true(addresses_add(&t, &b, 2));
    addresses_remove(&t, &a);
    assert_true(addresses_add(&t, &a, 2));
    assert_true(addresses_add(&t, &a, 0));
    addresses_close(&t);
}

/* Whoever has one IPv6 address has 2^64 of them. */
static void a_network_of_64_bits_is_one_address(void **state)
{
    (void)state;
    struct addresses t;
    struct ws_address a = v6(1, 1), b = v6(1, 2), other = v6(2, 1);
    assert_true(addresses_open(&t, 5));
    assert_true(addresses_add(&t, &a, 2));
    assert_true(addresses_add(&t, &b, 2));
    assert_false(addresses_add(&t, &a, 2));
    assert_true(addresses_add(&t, &other, 2));
    addresses_remove(&t, &b);
    addresses_remove(&t, &a);
    assert_true(addresses_add(&t, &a, 1));
    addresses_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_address_has_its_own_count),
        cmocka_unit_test(a_network_of_64_bits_is_one_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
