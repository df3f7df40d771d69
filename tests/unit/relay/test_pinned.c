#include "relay/pinned.h"

#include "relay/addresses.h"
#include "tests/unit/relay/test.h"

static void only_devices_and_auditors_read_a_pinned_account(void **state)
{
    (void)state;
    struct pinned p;
    struct pubkey auditor = {{1}}, one = {{2}}, two = {{3}}, stranger = {{4}};
    struct device devices[2] = {{.key = one}, {.key = two}};
    struct account a = {.id = {{9}},
                        .residency = RESIDENCY_PINNED,
                        .device_count = 2,
                        .devices = devices};
    struct hash global = {{8}};
    assert_int_equal(pinned_open(&p, 5, &auditor, 1), ERR_OK);
    assert_true(pinned_may_read(&p, &a.id, NULL)); /* not known to be pinned */
    assert_int_equal(pinned_update(&p, &a), ERR_OK);
    assert_true(pinned_is(&p, &a.id));
    assert_false(pinned_is(&p, &global));
    assert_true(pinned_may_read(&p, &a.id, &one));
    assert_true(pinned_may_read(&p, &a.id, &two));
    assert_true(pinned_may_read(&p, &a.id, &auditor));
    assert_false(pinned_may_read(&p, &a.id, &stranger));
    assert_false(pinned_may_read(&p, &a.id, NULL));
    assert_true(pinned_may_read(&p, &global, NULL));
    a.device_count = 1; /* two was revoked */
    assert_int_equal(pinned_update(&p, &a), ERR_OK);
    assert_false(pinned_may_read(&p, &a.id, &two));
    assert_int_equal(atomic_load(&p.count), 1);
    a.id = global;
    a.residency = RESIDENCY_GLOBAL;
    assert_int_equal(pinned_update(&p, &a), ERR_OK);
    assert_false(pinned_is(&p, &global));
    pinned_close(&p);
}

static void addresses_are_counted_and_forgotten(void **state)
{
    (void)state;
    struct addresses t;
    struct ws_address a = {{1}}, b = {{2}};
    assert_true(addresses_open(&t, 3));
    assert_true(addresses_add(&t, &a, 2));
    assert_true(addresses_add(&t, &a, 2));
    assert_false(addresses_add(&t, &a, 2));
    assert_true(addresses_add(&t, &b, 2));
    assert_true(addresses_add(&t, &a, 0));
    for (int i = 0; i < 3; i++)
        addresses_remove(&t, &a);
    addresses_remove(&t, &a); /* unknown by now */
    assert_true(addresses_add(&t, &a, 1));
    addresses_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_devices_and_auditors_read_a_pinned_account),
        cmocka_unit_test(addresses_are_counted_and_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
