/* The messages that signatures of the wire cover. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "ledger/wire.h"

static const struct hash a = {{0xaa}}, b = {{0xbb}}, c = {{0xcc}};
static const struct pubkey device = {{0xdd}};

static void hello_covers_both_nonces_and_the_device(void **state)
{
    (void)state;
    uint8_t out[MESSAGE_BYTES_MAX];
    size_t size = hello_message(out, &a, "eu", &b, &c, &device);
    assert_int_equal(size, 1 + 34 + 3 + 34 + 34 + 34);
    struct mp_reader r = mp_reader_of(out, size);
    size_t count;
    uint8_t hash[HASH_BYTES];
    struct bytes hub;
    mp_read_array(&r, &count, 5);
    assert_int_equal(count, 5);
    mp_read_bin_exact(&r, hash, sizeof hash);
    assert_int_equal(hash[0], 0xaa);
    mp_read_str(&r, &hub, 10);
    assert_memory_equal(hub.data, "eu", 2);
    mp_read_bin_exact(&r, hash, sizeof hash);
    assert_int_equal(hash[0], 0xbb);
    mp_read_bin_exact(&r, hash, sizeof hash);
    assert_int_equal(hash[0], 0xcc);
    mp_read_bin_exact(&r, hash, sizeof hash);
    assert_int_equal(hash[0], 0xdd);
    assert_true(mp_done(&r));
}

static void hello_of_nobody_says_nil(void **state)
{
    (void)state;
    uint8_t out[MESSAGE_BYTES_MAX];
    size_t size = hello_message(out, &a, "eu", &b, &c, NULL);
    assert_int_equal(size, 1 + 34 + 3 + 34 + 34 + 1);
    assert_int_equal(out[size - 1], 0xc0);
}

static void the_longest_names_fit(void **state)
{
    (void)state;
    uint8_t out[MESSAGE_BYTES_MAX];
    char name[HUB_NAME_MAX + 4];
    memset(name, 'x', sizeof name);
    name[HUB_NAME_MAX] = '\0';
    assert_true(hello_message(out, &a, name, &b, &c, &device) <= MESSAGE_BYTES_MAX);
    name[HUB_NAME_MAX] = '/';
    name[HUB_NAME_MAX + 3] = '\0';
    assert_true(head_message(out, &a, UINT64_MAX, &b, name, UINT64_MAX) <=
                MESSAGE_BYTES_MAX);
}

static void refusal_and_head_are_told_apart_by_every_member(void **state)
{
    (void)state;
    uint8_t one[MESSAGE_BYTES_MAX], two[MESSAGE_BYTES_MAX];
    size_t size = refusal_message(one, &a, 130, 5);
    assert_int_equal(size, 1 + 34 + 2 + 1);
    assert_int_equal(refusal_message(two, &a, 131, 5), size);
    assert_memory_not_equal(one, two, size);
    refusal_message(two, &b, 130, 5);
    assert_memory_not_equal(one, two, size);
    refusal_message(two, &a, 130, 6);
    assert_memory_not_equal(one, two, size);

    size = head_message(one, &a, 1, &b, "eu/00", 2);
    assert_int_equal(size, 1 + 34 + 1 + 34 + 6 + 1);
    head_message(two, &a, 1, &b, "eu/01", 2);
    assert_memory_not_equal(one, two, size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_covers_both_nonces_and_the_device),
        cmocka_unit_test(hello_of_nobody_says_nil),
        cmocka_unit_test(the_longest_names_fit),
        cmocka_unit_test(refusal_and_head_are_told_apart_by_every_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
