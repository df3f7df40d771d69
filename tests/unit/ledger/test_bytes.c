#include "ledger/bytes.h"

#include <string.h>

#include "test.h"

static void buf_grows_and_keeps_its_bytes(void **state)
{
    (void)state;
    struct buf b = {0};
    for (unsigned i = 0; i < 10000; i++) {
        uint8_t byte = (uint8_t)(i * 7);
        assert_true(buf_add(&b, &byte, 1));
    }
    assert_int_equal(b.size, 10000);
    for (unsigned i = 0; i < 10000; i++)
        assert_int_equal(b.data[i], (uint8_t)(i * 7));
    buf_close(&b);
    assert_null(b.data);
    assert_int_equal(b.cap, 0);
}

static void buf_reserve_makes_room_without_changing_size(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_true(buf_reserve(&b, 0));
    assert_null(b.data);
    assert_true(buf_reserve(&b, 100000));
    assert_true(b.cap >= 100000);
    assert_int_equal(b.size, 0);
    uint8_t *before = b.data;
    assert_true(buf_reserve(&b, 100000));
    assert_ptr_equal(b.data, before);
    buf_close(&b);
}

static void buf_refuses_a_size_that_cannot_be(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_true(buf_add(&b, "abc", 3));
    struct buf before = b;
    assert_false(buf_reserve(&b, SIZE_MAX));
    assert_false(buf_reserve(&b, SIZE_MAX - 2));
    assert_false(buf_reserve(&b, SIZE_MAX / 2));
    assert_memory_equal(&b, &before, sizeof b);
    assert_memory_equal(b.data, "abc", 3);
    buf_close(&b);
}

static void buf_clear_keeps_the_memory(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_true(buf_add(&b, "abc", 3));
    size_t cap = b.cap;
    buf_clear(&b);
    assert_int_equal(b.size, 0);
    assert_int_equal(b.cap, cap);
    assert_true(buf_add(&b, NULL, 0));
    buf_close(&b);
    buf_close(&b);
}

static void alloc_heap_allocates_resizes_and_frees(void **state)
{
    (void)state;
    char *p = alloc_heap.resize(alloc_heap.context, NULL, 0, 4);
    assert_non_null(p);
    memcpy(p, "four", 4);
    p = alloc_heap.resize(alloc_heap.context, p, 4, 4096);
    assert_non_null(p);
    assert_memory_equal(p, "four", 4);
    assert_null(alloc_heap.resize(alloc_heap.context, p, 4096, 0));
    assert_null(alloc_heap.resize(alloc_heap.context, NULL, 0, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf_grows_and_keeps_its_bytes),
        cmocka_unit_test(buf_reserve_makes_room_without_changing_size),
        cmocka_unit_test(buf_refuses_a_size_that_cannot_be),
        cmocka_unit_test(buf_clear_keeps_the_memory),
        cmocka_unit_test(alloc_heap_allocates_resizes_and_frees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
