/* Everything that is not exactly a frame is refused, whatever it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "reencode.h"
#include "samples.h"

#define BIG_BYTES (WIRE_FRAME_MAX + 64)

/* Decode from a heap block of exactly this size, so that a read past it is found. */
static enum err decode_exact(const void *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, data, size);
    struct wire_frame f;
    enum err e = wire_decode(&f, copy, size);
    if (e == ERR_OK) {
        uint8_t *again = malloc(size);
        assert_non_null(again);
        struct mp_writer w = mp_writer_of(again, size);
        reencode(&w, &f);
        assert_false(w.full);
        assert_int_equal(w.size, size);
        assert_memory_equal(again, data, size);
        free(again);
    }
    free(copy);
    return e;
}

static void a_frame_cut_short_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[SAMPLE_BYTES_MAX];
    const char *name;
    size_t size;
    for (size_t i = 0; (size = sample(i, bytes, &name)) > 0; i++)
        for (size_t cut = 0; cut < size; cut++)
            if (decode_exact(bytes, cut) != ERR_FRAME)
                fail_msg("%s cut to %zu decodes", name, cut);
}

static void a_byte_too_many_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[SAMPLE_BYTES_MAX + 1];
    const char *name;
    size_t size;
    for (size_t i = 0; (size = sample(i, bytes, &name)) > 0; i++) {
        bytes[size] = 0;
        assert_int_equal(decode_exact(bytes, size + 1), ERR_FRAME);
    }
}

static void a_flipped_bit_is_refused_or_is_another_frame(void **state)
{
    (void)state;
    uint8_t bytes[SAMPLE_BYTES_MAX];
    const char *name;
    size_t size;
    for (size_t i = 0; (size = sample(i, bytes, &name)) > 0; i++)
        for (size_t bit = 0; bit < size * 8; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            enum err e = decode_exact(bytes, size);
            assert_true(e == ERR_OK || e == ERR_FRAME);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
}

static void expect(const char *bytes, size_t size, enum err want)
{
    assert_int_equal(decode_exact(bytes, size), want);
}
#define EXPECT(text, want) expect("" text, sizeof text - 1, want)

static void forms_that_are_not_shortest_are_refused(void **state)
{
    (void)state;
    EXPECT("\x92\x13\x05", ERR_OK);            /* [19, 5] */
    EXPECT("\x92\xcc\x13\x05", ERR_FRAME);     /* type as uint8 */
    EXPECT("\x92\x13\xcc\x05", ERR_FRAME);     /* rid as uint8 */
    EXPECT("\xdc\x00\x02\x13\x05", ERR_FRAME); /* array16 */
    EXPECT("\x92\x13\xd0\x05", ERR_FRAME);     /* rid as int8 */
    EXPECT("\x92\x13\xff", ERR_FRAME);         /* negative */
    EXPECT("\x92\x13\xc0", ERR_FRAME);         /* nil */
    EXPECT("\x82\x13\x05\x01\x01", ERR_FRAME); /* a map */
    EXPECT("\x92\x13\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", ERR_OK);
    EXPECT("\x92\x13\xcf\x80\x00\x00\x00\x00\x00\x00\x00", ERR_FRAME); /* 2^63 */
}

static void unknown_types_and_shapes_are_refused(void **state)
{
    (void)state;
    EXPECT("", ERR_FRAME);
    EXPECT("\x90", ERR_FRAME);
    EXPECT("\x91\x13", ERR_FRAME);         /* OK without a rid */
    EXPECT("\x93\x13\x05\x05", ERR_FRAME); /* OK with one more */
    EXPECT("\x92\x1b\x05", ERR_FRAME);     /* 27 */
    EXPECT("\x92\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x05", ERR_FRAME);
    EXPECT("\x13", ERR_FRAME);
}

/* Hand-written values that the encoder of a bug-free hub would never send. */
static enum err decode_put(void (*put)(struct mp_writer *w, uint64_t v), uint64_t v)
{
    uint8_t data[4096];
    struct mp_writer w = mp_writer_of(data, sizeof data);
    put(&w, v);
    assert_false(w.full);
    return decode_exact(data, w.size);
}

static void put_flags(struct mp_writer *w, uint64_t v)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_SUBMIT, .flags = v});
}

static void put_slot(struct mp_writer *w, uint64_t v)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_CHECKPOINT, .slot = v});
}

static void put_slots(struct mp_writer *w, uint64_t v)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_CHALLENGE,
                                     .hub = {(const uint8_t *)"eu", 2},
                                     .slots = v});
}

static void put_what(struct mp_writer *w, uint64_t v)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_SUBSCRIBE, .key = {.what = v}});
}

static void put_what_fetch(struct mp_writer *w, uint64_t v)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_FETCH, .key = {.what = v}});
}

static void put_mode(struct mp_writer *w, uint64_t v)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_RECORDS, .mode = v});
    wire_put_note(w, bytes_of(NULL, 0));
}

static void put_kind(struct mp_writer *w, uint64_t v)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_PROOF, .kind = v});
}

static void put_state(struct mp_writer *w, uint64_t v)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_SETTLEMENT_IS, .state = v});
}

static void put_path(struct mp_writer *w, uint64_t v)
{
    static const uint8_t zero[4096];
    wire_put(w, &(struct wire_frame){.type = WIRE_PROOF_IS, .path = {zero, (size_t)v}});
}

static void put_text_size(struct mp_writer *w, uint64_t v)
{
    static const uint8_t spaces[512];
    wire_put(w, &(struct wire_frame){.type = WIRE_BYE, .text = {spaces, (size_t)v}});
}

static void put_sig_without_device(struct mp_writer *w, uint64_t v)
{
    wire_put(w, &(struct wire_frame){
                    .type = WIRE_HELLO, .has_sig = v != 0, .has_device = v == 2});
}

static void numbers_outside_their_range_are_refused(void **state)
{
    (void)state;
    const struct {
        void (*put)(struct mp_writer *w, uint64_t v);
        uint64_t good, bad;
    } cases[] = {
        {put_flags, 1, 2},
        {put_slot, 255, 256},
        {put_slots, 256, 512},
        {put_slots, 1, 0},
        {put_slots, 2, 3},
        {put_what, WIRE_SLOT, WIRE_ID},
        {put_what_fetch, WIRE_ID, 3},
        {put_mode, 1, 2},
        {put_kind, 1, 2},
        {put_state, 2, 3},
        {put_path, 64 * 32, 65 * 32},
        {put_path, 0, 33},
        {put_text_size, WIRE_TEXT_MAX, WIRE_TEXT_MAX + 1},
        {put_sig_without_device, 0, 1},
        {put_sig_without_device, 2, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (decode_put(cases[i].put, cases[i].good) != ERR_OK)
            fail_msg("case %zu: the good value is refused", i);
        if (decode_put(cases[i].put, cases[i].bad) != ERR_FRAME)
            fail_msg("case %zu: the bad value is taken", i);
    }
}

/* Version 1 has no room for more of them: a reader does not pass over what it does not know
 * (docs/PROTOCOL.md, Limits and Versions). */
static void limits_are_ten_numbers(void **state)
{
    (void)state;
    for (unsigned challenge = 0; challenge < 2; challenge++)
        for (size_t count = 0; count < 15; count++) {
            uint8_t data[256];
            struct mp_writer w = mp_writer_of(data, sizeof data);
            mp_array(&w, challenge ? 7 : 3);
            mp_uint(&w, challenge ? WIRE_CHALLENGE : WIRE_LIMITS_IS);
            mp_uint(&w, 1); /* the version; a rid */
            if (challenge) {
                mp_bin(&w, (uint8_t[HASH_BYTES]){0}, HASH_BYTES);
                mp_str(&w, "eu", 2);
                mp_uint(&w, 1);
                mp_bin(&w, (uint8_t[HASH_BYTES]){0}, HASH_BYTES);
            }
            mp_array(&w, count);
            for (size_t i = 0; i < count; i++)
                mp_uint(&w, 1000 + i);
            assert_false(w.full);
            assert_int_equal(decode_exact(data, w.size), count == 10 ? ERR_OK : ERR_FRAME);
        }
}

static void an_empty_note_is_refused(void **state)
{
    (void)state;
    uint8_t data[128];
    struct mp_writer w = mp_writer_of(data, sizeof data);
    wire_put(&w, &(struct wire_frame){.type = WIRE_RECORDS});
    mp_bin(&w, "", 0);
    assert_int_equal(decode_exact(data, w.size), ERR_FRAME);

    w = mp_writer_of(data, sizeof data);
    wire_put(&w, &(struct wire_frame){.type = WIRE_HELLO, .note_count = 1});
    mp_bin(&w, "", 0);
    assert_int_equal(decode_exact(data, w.size), ERR_FRAME);

    w = mp_writer_of(data, sizeof data);
    wire_put(&w, &(struct wire_frame){.type = WIRE_HELLO, .note_count = 1});
    mp_nil(&w);
    assert_int_equal(decode_exact(data, w.size), ERR_FRAME);
}

static void lists_hold_as_much_as_the_protocol_says(void **state)
{
    (void)state;
    for (size_t over = 0; over < 2; over++) {
        static uint8_t data[BIG_BYTES];
        struct mp_writer w = mp_writer_of(data, sizeof data);
        size_t count = WIRE_ENTRIES_MAX + over;
        mp_array(&w, 4); /* SUBMIT by hand: the encoder asserts */
        mp_uint(&w, WIRE_SUBMIT);
        mp_uint(&w, 1);
        mp_uint(&w, 0);
        mp_array(&w, count);
        for (size_t i = 0; i < count; i++)
            wire_put_envelope(&w, bytes_of("e", 1));
        assert_int_equal(decode_exact(data, w.size), over ? ERR_FRAME : ERR_OK);

        w = mp_writer_of(data, sizeof data);
        count = SLOTS_MAX + over;
        mp_array(&w, 6);
        mp_uint(&w, WIRE_HELLO);
        mp_uint(&w, 1);
        mp_bin(&w, (uint8_t[HASH_BYTES]){0}, HASH_BYTES);
        mp_nil(&w);
        mp_nil(&w);
        mp_array(&w, count);
        for (size_t i = 0; i < count; i++)
            wire_put_note(&w, bytes_of("n", 1));
        assert_int_equal(decode_exact(data, w.size), over ? ERR_FRAME : ERR_OK);
    }
}

static void a_frame_over_the_largest_is_refused(void **state)
{
    (void)state;
    static uint8_t data[BIG_BYTES];
    static uint8_t fill[WIRE_FRAME_MAX];
    struct mp_writer w = mp_writer_of(data, sizeof data);
    wire_put(&w, &(struct wire_frame){.type = WIRE_SUBMIT, .count = 1});
    size_t head = w.size;
    wire_put_envelope(&w, bytes_of(fill, WIRE_FRAME_MAX - head - 5));
    assert_int_equal(w.size, WIRE_FRAME_MAX);
    assert_int_equal(decode_exact(data, w.size), ERR_OK);
    w = mp_writer_of(data, sizeof data);
    wire_put(&w, &(struct wire_frame){.type = WIRE_SUBMIT, .count = 1});
    wire_put_envelope(&w, bytes_of(fill, WIRE_FRAME_MAX - head - 4));
    assert_int_equal(decode_exact(data, w.size), ERR_TOO_LARGE);
}

static void an_array_bomb_ends_at_its_header(void **state)
{
    (void)state;
    EXPECT("\x94\x03\x01\x00\xdd\xff\xff\xff\xff", ERR_FRAME);
    EXPECT("\xdd\xff\xff\xff\xff\x03", ERR_FRAME);
    EXPECT("\x92\x05\x9f\x96", ERR_FRAME);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_cut_short_is_refused),
        cmocka_unit_test(a_byte_too_many_is_refused),
        cmocka_unit_test(a_flipped_bit_is_refused_or_is_another_frame),
        cmocka_unit_test(forms_that_are_not_shortest_are_refused),
        cmocka_unit_test(unknown_types_and_shapes_are_refused),
        cmocka_unit_test(numbers_outside_their_range_are_refused),
        cmocka_unit_test(limits_are_ten_numbers),
        cmocka_unit_test(an_empty_note_is_refused),
        cmocka_unit_test(lists_hold_as_much_as_the_protocol_says),
        cmocka_unit_test(a_frame_over_the_largest_is_refused),
        cmocka_unit_test(an_array_bomb_ends_at_its_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
