/* Every frame comes out as it went in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "reencode.h"
#include "samples.h"

static void every_type_has_a_sample(void **state)
{
    (void)state;
    bool seen[WIRE_FORWARD + 1] = {false};
    uint8_t bytes[SAMPLE_BYTES_MAX];
    const char *name;
    size_t size;
    for (size_t i = 0; (size = sample(i, bytes, &name)) > 0; i++) {
        struct wire_frame f;
        assert_int_equal(wire_decode(&f, bytes, size), ERR_OK);
        seen[f.type] = true;
    }
    for (size_t type = 0; type <= WIRE_FORWARD; type++)
        assert_true(seen[type]);
}

static void decode_then_encode_gives_the_same_bytes(void **state)
{
    (void)state;
    uint8_t bytes[SAMPLE_BYTES_MAX];
    uint8_t again[SAMPLE_BYTES_MAX];
    const char *name;
    size_t size;
    for (size_t i = 0; (size = sample(i, bytes, &name)) > 0; i++) {
        struct wire_frame f;
        if (wire_decode(&f, bytes, size) != ERR_OK)
            fail_msg("%s does not decode", name);
        struct mp_writer w = mp_writer_of(again, sizeof again);
        reencode(&w, &f);
        assert_false(w.full);
        assert_int_equal(w.size, size);
        assert_memory_equal(again, bytes, size);
    }
}

static void members_of_a_submit_are_where_the_header_says(void **state)
{
    (void)state;
    uint8_t data[256];
    struct mp_writer w = mp_writer_of(data, sizeof data);
    wire_put(
        &w, &(struct wire_frame){.type = WIRE_SUBMIT, .rid = 42, .flags = 1, .count = 2});
    wire_put_envelope(&w, bytes_of("abc", 3));
    wire_put_envelope(&w, bytes_of("defg", 4));

    struct wire_frame f;
    assert_int_equal(wire_decode(&f, data, w.size), ERR_OK);
    assert_int_equal(f.type, WIRE_SUBMIT);
    assert_int_equal(f.rid, 42);
    assert_int_equal(f.flags, WIRE_SUBMIT_SETTLED);
    assert_int_equal(f.count, 2);
    struct bytes e;
    wire_next_envelope(&f.list, &e);
    assert_int_equal(e.size, 3);
    assert_memory_equal(e.data, "abc", 3);
    assert_true(e.data > data && e.data < data + w.size); /* borrowed, not copied */
    wire_next_envelope(&f.list, &e);
    assert_memory_equal(e.data, "defg", 4);
}

static void members_of_results_are_where_the_header_says(void **state)
{
    (void)state;
    uint8_t data[SAMPLE_BYTES_MAX];
    const char *name = "";
    size_t size = 0;
    for (size_t i = 0; strcmp(name, "results") != 0; i++)
        assert_true((size = sample(i, data, &name)) > 0);

    struct wire_frame f;
    assert_int_equal(wire_decode(&f, data, size), ERR_OK);
    assert_int_equal(f.note_count, 1);
    assert_int_equal(f.count, 4);
    uint64_t slot;
    struct bytes note;
    wire_next_slot_note(&f.notes, &slot, &note);
    assert_int_equal(slot, 255);
    struct wire_result r;
    wire_next_result(&f.list, &r);
    assert_int_equal(r.code, 0);
    assert_int_equal(r.index, 70000);
    assert_int_equal(r.path.size, 32);
    assert_int_equal(r.flags, WIRE_RESULT_DUPLICATE);
    wire_next_result(&f.list, &r);
    assert_int_equal(r.path.size, 0);
    wire_next_result(&f.list, &r);
    assert_int_equal(r.code, ERR_SEQ_TAKEN);
    assert_true(r.has_head);
    assert_int_equal(r.next_seq, 9);
    assert_int_equal(r.tip_lamport, 400);
    assert_int_equal(r.balance, -1);
    assert_true(r.has_sig);
    wire_next_result(&f.list, &r);
    assert_false(r.has_head);
    assert_false(r.has_sig);
    assert_true(r.balance == INT64_MIN);
    assert_int_equal(r.retry_after_ms, 250);
}

static void members_a_type_does_not_use_are_zero(void **state)
{
    (void)state;
    uint8_t data[16];
    struct mp_writer w = mp_writer_of(data, sizeof data);
    wire_put(&w, &(struct wire_frame){.type = WIRE_OK, .rid = 3});
    struct wire_frame f;
    memset(&f, 0xa5, sizeof f);
    assert_int_equal(wire_decode(&f, data, w.size), ERR_OK);
    assert_int_equal(f.count, 0);
    assert_int_equal(f.note.size, 0);
    assert_false(f.has_sig);
    assert_true(hash_is_zero(&f.id));
}

static void the_largest_result_and_record_fit_their_bounds(void **state)
{
    (void)state;
    static uint8_t path[MERKLE_PATH_MAX * HASH_BYTES];
    static uint8_t data[WIRE_RESULT_BYTES_MAX];
    struct mp_writer w = mp_writer_of(data, sizeof data);
    wire_put_result(&w, &(struct wire_result){.rid = INT64_MAX,
                                              .i = 1023,
                                              .slot = 255,
                                              .index = INT64_MAX,
                                              .position = INT64_MAX,
                                              .hub_lamport = INT64_MAX,
                                              .hub_time_ms = INT64_MAX,
                                              .path = {path, sizeof path},
                                              .flags = 1});
    assert_false(w.full);
    w = mp_writer_of(data, 200);
    wire_put_result(&w, &(struct wire_result){.rid = INT64_MAX,
                                              .i = 1023,
                                              .code = INT64_MAX,
                                              .has_head = true,
                                              .next_seq = INT64_MAX,
                                              .tip_lamport = INT64_MAX,
                                              .balance = INT64_MIN,
                                              .retry_after_ms = INT64_MAX,
                                              .hub_time_ms = INT64_MAX,
                                              .has_sig = true});
    assert_false(w.full);
    w = mp_writer_of(data, WIRE_RECORD_OVERHEAD);
    wire_put_record(&w, &(struct record){.slot = 255,
                                         .index = INT64_MAX,
                                         .position = INT64_MAX,
                                         .hub_lamport = INT64_MAX,
                                         .hub_time_ms = INT64_MAX});
    assert_false(w.full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_has_a_sample),
        cmocka_unit_test(decode_then_encode_gives_the_same_bytes),
        cmocka_unit_test(members_of_a_submit_are_where_the_header_says),
        cmocka_unit_test(members_of_results_are_where_the_header_says),
        cmocka_unit_test(members_a_type_does_not_use_are_zero),
        cmocka_unit_test(the_largest_result_and_record_fit_their_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
