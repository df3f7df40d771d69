/* Shares are equal, the same for everyone, and move little. */
#include <stdio.h>
#include <string.h>

#include "federation/rendezvous.h"
#include "tests/unit/ledger/test.h"

#define RELAYS 64

static char names[RELAYS][16];
static const char *list[RELAYS];

static void make_names(void)
{
    for (int i = 0; i < RELAYS; i++) {
        snprintf(names[i], sizeof names[i], "relay-%d", i);
        list[i] = names[i];
    }
}

static void test_shares_are_equal(void **state)
{
    (void)state;
    uint32_t owner[256];
    for (uint32_t slots = 1; slots <= 256; slots *= 2)
        for (size_t n = 1; n <= 20; n++) {
            uint32_t has[RELAYS] = {0};
            rendezvous(list, n, slots, owner);
            for (uint32_t i = 0; i < slots; i++) {
                assert_in_range(owner[i], 0, n - 1);
                has[owner[i]]++;
            }
            for (size_t r = 0; r < n; r++)
                assert_in_range(has[r], slots / n, (slots + n - 1) / n);
        }
    rendezvous(list, 0, 16, owner);
    assert_int_equal(owner[15], RENDEZVOUS_NONE);
    rendezvous(list, RELAYS, 256, owner);
    assert_in_range(owner[255], 0, RELAYS - 1);
}

static void test_order_of_names_does_not_matter(void **state)
{
    (void)state;
    const char *turned[5];
    uint32_t a[64], b[64];
    for (int i = 0; i < 5; i++)
        turned[i] = names[4 - i];
    rendezvous(list, 5, 64, a);
    rendezvous(turned, 5, 64, b);
    for (int i = 0; i < 64; i++)
        assert_string_equal(list[a[i]], turned[b[i]]);
}

/* What moves beside the share of the one that came: measured over many fleets, bounded. */
static void test_few_slots_move(void **state)
{
    (void)state;
    uint32_t before[256], after[256];
    uint32_t moved = 0, least = 0;
    for (size_t n = 1; n < 20; n++) {
        uint32_t here = 0;
        rendezvous(list, n, 256, before);
        rendezvous(list, n + 1, 256, after);
        for (int i = 0; i < 256; i++)
            here += before[i] != after[i];
        uint32_t share = (uint32_t)(256 / (n + 1));
        assert_true(here >= share);
        assert_true(here <= share * 2 + 8);
        moved += here;
        least += share;
    }
    assert_true(moved < least * 3 / 2 + 16);
}

/* A relay of another version must come to the same answer. */
static void test_weight_is_fixed(void **state)
{
    (void)state;
    assert_true(rendezvous_weight("relay-0", 0) != rendezvous_weight("relay-0", 1));
    assert_true(rendezvous_weight("relay-0", 0) != rendezvous_weight("relay-1", 0));
    assert_true(rendezvous_weight("a", 7) == UINT64_C(0x6ca7fff17944ca8d));
}

int main(void)
{
    make_names();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares_are_equal),
        cmocka_unit_test(test_order_of_names_does_not_matter),
        cmocka_unit_test(test_few_slots_move),
        cmocka_unit_test(test_weight_is_fixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
