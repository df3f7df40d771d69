#include "ledger/mp.h"

#include <string.h>

#include "test.h"

static struct mp_reader reader(const char *hex_bytes, size_t size)
{
    return mp_reader_of(hex_bytes, size);
}
#define READER(literal) reader(literal, sizeof(literal) - 1)

static void assert_written(const struct mp_writer *w, const void *bytes, size_t size)
{
    assert_false(w->full);
    assert_int_equal(w->size, size);
    assert_memory_equal(w->data, bytes, size);
}

static void uints_are_written_in_their_shortest_form(void **state)
{
    (void)state;
    static const struct {
        uint64_t value;
        size_t size;
        const char *bytes;
    } rows[] = {
        {0, 1, "\x00"},
        {127, 1, "\x7f"},
        {128, 2, "\xcc\x80"},
        {255, 2, "\xcc\xff"},
        {256, 3, "\xcd\x01\x00"},
        {65535, 3, "\xcd\xff\xff"},
        {65536, 5, "\xce\x00\x01\x00\x00"},
        {UINT32_MAX, 5, "\xce\xff\xff\xff\xff"},
        {UINT64_C(1) << 32, 9, "\xcf\x00\x00\x00\x01\x00\x00\x00\x00"},
        {UINT64_MAX, 9, "\xcf\xff\xff\xff\xff\xff\xff\xff\xff"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint8_t out[16];
        struct mp_writer w = mp_writer_of(out, sizeof out);
        mp_uint(&w, rows[i].value);
        assert_written(&w, rows[i].bytes, rows[i].size);
        struct mp_reader r = mp_reader_of(out, w.size);
        uint64_t v;
        assert_true(mp_read_uint(&r, &v));
        assert_true(v == rows[i].value);
        assert_true(mp_done(&r));
    }
}

static void ints_are_written_in_their_shortest_form(void **state)
{
    (void)state;
    static const struct {
        int64_t value;
        size_t size;
        const char *bytes;
    } rows[] = {
        {5, 1, "\x05"},
        {200, 2, "\xcc\xc8"},
        {-1, 1, "\xff"},
        {-32, 1, "\xe0"},
        {-33, 2, "\xd0\xdf"},
        {-128, 2, "\xd0\x80"},
        {-129, 3, "\xd1\xff\x7f"},
        {INT16_MIN, 3, "\xd1\x80\x00"},
        {-32769, 5, "\xd2\xff\xff\x7f\xff"},
        {INT32_MIN, 5, "\xd2\x80\x00\x00\x00"},
        {INT64_C(-2147483649), 9, "\xd3\xff\xff\xff\xff\x7f\xff\xff\xff"},
        {INT64_MIN, 9, "\xd3\x80\x00\x00\x00\x00\x00\x00\x00"},
        {INT64_MAX, 9, "\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint8_t out[16];
        struct mp_writer w = mp_writer_of(out, sizeof out);
        mp_int(&w, rows[i].value);
        assert_written(&w, rows[i].bytes, rows[i].size);
        struct mp_reader r = mp_reader_of(out, w.size);
        int64_t v;
        assert_true(mp_read_int(&r, &v));
        assert_true(v == rows[i].value);
        assert_true(mp_done(&r));
    }
}

static void longer_forms_of_integers_are_refused(void **state)
{
    (void)state;
    static const struct {
        size_t size;
        const char *bytes;
    } rows[] = {
        {2, "\xcc\x00"},
        {2, "\xcc\x7f"},
        {3, "\xcd\x00\xff"},
        {5, "\xce\x00\x00\xff\xff"},
        {9, "\xcf\x00\x00\x00\x00\xff\xff\xff\xff"},
        {2, "\xd0\x05"},     /* not negative: must be a uint */
        {2, "\xd0\xe0"},     /* -32 fits one byte */
        {3, "\xd1\xff\x80"}, /* -128 */
        {3, "\xd1\x7f\xff"},
        {5, "\xd2\xff\xff\x80\x00"}, /* -32768 */
        {9, "\xd3\xff\xff\xff\xff\x80\x00\x00\x00"},
        {9, "\xd3\x00\x00\x00\x01\x00\x00\x00\x00"},
        {5, "\xca\x3f\x80\x00\x00"}, /* floats */
        {9, "\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct mp_reader r = mp_reader_of(rows[i].bytes, rows[i].size);
        int64_t v = 99;
        assert_false(mp_read_int(&r, &v));
        assert_true(v == 0);
        r = mp_reader_of(rows[i].bytes, rows[i].size);
        assert_false(mp_skip(&r));
        assert_true(r.bad);
    }
}

static void an_int_larger_than_int64_is_refused(void **state)
{
    (void)state;
    struct mp_reader r = READER("\xcf\x80\x00\x00\x00\x00\x00\x00\x00");
    int64_t v;
    assert_false(mp_read_int(&r, &v));
    uint64_t u;
    r = READER("\xff");
    assert_false(mp_read_uint(&r, &u));
}

static void bins_and_strs_have_shortest_headers_at_every_boundary(void **state)
{
    (void)state;
    static const struct {
        size_t size;
        size_t bin_header;
        size_t str_header;
    } rows[] = {{0, 2, 1},   {31, 2, 1},    {32, 2, 2},    {255, 2, 2},
                {256, 3, 3}, {65535, 3, 3}, {65536, 5, 5}, {70000, 5, 5}};
    static uint8_t in[70000], out[70010];
    memset(in, 'x', sizeof in);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct bytes b;
        struct mp_writer w = mp_writer_of(out, sizeof out);
        mp_bin(&w, in, rows[i].size);
        assert_int_equal(w.size, rows[i].size + rows[i].bin_header);
        struct mp_reader r = mp_reader_of(out, w.size);
        assert_true(mp_read_bin(&r, &b, rows[i].size));
        assert_true(mp_done(&r));
        assert_int_equal(b.size, rows[i].size);
        assert_ptr_equal(b.data, out + rows[i].bin_header);
        if (rows[i].size > 0) {
            r = mp_reader_of(out, w.size);
            assert_false(mp_read_bin(&r, &b, rows[i].size - 1));
            assert_int_equal(b.size, 0);
        }

        w = mp_writer_of(out, sizeof out);
        mp_str(&w, (const char *)in, rows[i].size);
        assert_int_equal(w.size, rows[i].size + rows[i].str_header);
        r = mp_reader_of(out, w.size);
        assert_true(mp_read_str(&r, &b, rows[i].size));
        assert_true(mp_done(&r));
        assert_int_equal(b.size, rows[i].size);
    }
}

static void longer_headers_of_bins_strs_and_arrays_are_refused(void **state)
{
    (void)state;
    static const struct {
        size_t size;
        const char *bytes;
    } rows[] = {
        {4, "\xc5\x00\x01x"},
        {6, "\xc6\x00\x00\x00\x01x"},
        {3, "\xd9\x01x"},
        {4, "\xda\x00\x01x"},
        {6, "\xdb\x00\x00\x00\x01x"},
        {4, "\xdc\x00\x01\x00"},
        {6, "\xdd\x00\x00\x00\x01\x00"},
        {2, "\x81\x00"},
        {2, "\xc1\x00"},
        {3, "\xd4\x01\x00"},
        {3, "\xc7\x00\x01"},
        {3, "\xde\x00\x00"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct mp_reader r = mp_reader_of(rows[i].bytes, rows[i].size);
        assert_false(mp_skip(&r));
        struct bytes b;
        size_t count;
        r = mp_reader_of(rows[i].bytes, rows[i].size);
        assert_false(mp_read_bin(&r, &b, 100));
        r = mp_reader_of(rows[i].bytes, rows[i].size);
        assert_false(mp_read_str(&r, &b, 100));
        r = mp_reader_of(rows[i].bytes, rows[i].size);
        assert_false(mp_read_array(&r, &count, 100));
        assert_int_equal(count, 0);
    }
}

static void arrays_may_not_announce_more_than_the_bytes_left(void **state)
{
    (void)state;
    size_t count;
    struct mp_reader r = READER("\x93\x01\x02");
    assert_false(mp_read_array(&r, &count, 16));
    r = READER("\x93\x01\x02\x03");
    assert_true(mp_read_array(&r, &count, 16));
    assert_int_equal(count, 3);
    r = READER("\x93\x01\x02\x03");
    assert_false(mp_read_array(&r, &count, 2));
    r = READER("\xdd\xff\xff\xff\xff");
    assert_false(mp_read_array(&r, &count, SIZE_MAX));
}

static void a_failed_reader_stays_failed_and_gives_nothing(void **state)
{
    (void)state;
    struct mp_reader r = READER("\x01\xc1\x02\x03");
    uint64_t u;
    int64_t i;
    bool b = true;
    struct bytes span;
    size_t count = 9;
    uint8_t exact[2] = {1, 1};
    assert_true(mp_read_uint(&r, &u));
    assert_false(mp_read_uint(&r, &u));
    assert_false(mp_read_uint(&r, &u));
    assert_true(u == 0);
    assert_false(mp_read_int(&r, &i));
    assert_false(mp_read_bool(&r, &b));
    assert_false(b);
    assert_false(mp_read_nil(&r));
    assert_false(mp_peek_nil(&r));
    assert_false(mp_read_bin(&r, &span, 9));
    assert_false(mp_read_str(&r, &span, 9));
    assert_false(mp_read_raw(&r, &span));
    assert_int_equal(span.size, 0);
    assert_false(mp_read_array(&r, &count, 9));
    assert_int_equal(count, 0);
    assert_false(mp_read_bin_exact(&r, exact, 2));
    assert_int_equal(exact[0] | exact[1], 0);
    assert_false(mp_skip(&r));
    assert_true(r.bad);
    assert_false(mp_done(&r));
}

static void an_empty_input_has_no_value(void **state)
{
    (void)state;
    struct mp_reader r = mp_reader_of(NULL, 0);
    assert_true(mp_done(&r));
    assert_false(mp_skip(&r));
    assert_false(mp_done(&r));
}

static void nil_and_bools_are_read_back(void **state)
{
    (void)state;
    uint8_t out[3];
    struct mp_writer w = mp_writer_of(out, sizeof out);
    mp_nil(&w);
    mp_bool(&w, true);
    mp_bool(&w, false);
    assert_written(&w, "\xc0\xc3\xc2", 3);
    struct mp_reader r = mp_reader_of(out, 3);
    bool b = false;
    assert_true(mp_peek_nil(&r));
    assert_true(mp_read_nil(&r));
    assert_false(mp_peek_nil(&r));
    assert_true(mp_read_bool(&r, &b));
    assert_true(b);
    assert_true(mp_read_bool(&r, &b));
    assert_false(b);
    assert_true(mp_done(&r));
}

static bool is_text(const char *text, size_t size)
{
    uint8_t out[64];
    struct mp_writer w = mp_writer_of(out, sizeof out);
    mp_str(&w, text, size);
    struct mp_reader r = mp_reader_of(out, w.size);
    struct bytes b;
    bool read = mp_read_str(&r, &b, 64);
    r = mp_reader_of(out, w.size);
    assert_int_equal(read, mp_skip(&r));
    return read;
}
#define IS_TEXT(literal) is_text(literal, sizeof(literal) - 1)

static void strs_are_strict_utf8(void **state)
{
    (void)state;
    assert_true(IS_TEXT(""));
    assert_true(IS_TEXT("plain ascii text"));
    assert_true(
        IS_TEXT("\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf"));
    assert_true(IS_TEXT("\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf"));
    assert_true(IS_TEXT("seven..\xe3\x81\x82seven.."));
    assert_false(IS_TEXT("\x80"));
    assert_false(IS_TEXT("abcdefgh\xff"));
    assert_false(IS_TEXT("\xc0\x80")); /* overlong */
    assert_false(IS_TEXT("\xc1\xbf"));
    assert_false(IS_TEXT("\xe0\x9f\xbf"));
    assert_false(IS_TEXT("\xf0\x8f\xbf\xbf"));
    assert_false(IS_TEXT("\xed\xa0\x80"));     /* surrogate */
    assert_false(IS_TEXT("\xf4\x90\x80\x80")); /* past U+10FFFF */
    assert_false(IS_TEXT("\xf5\x80\x80\x80"));
    assert_false(IS_TEXT("\xc3")); /* cut short */
    assert_false(IS_TEXT("\xe3\x81"));
    assert_false(IS_TEXT("\xf0\x90\x80"));
    assert_false(IS_TEXT("\xe3\x81"
                         "a"));
}

static void skip_takes_eight_arrays_in_each_other_but_not_nine(void **state)
{
    (void)state;
    uint8_t in[10];
    memset(in, 0x91, sizeof in);
    in[8] = 0x01;
    struct mp_reader r = mp_reader_of(in, 9);
    assert_true(mp_skip(&r));
    assert_true(mp_done(&r));
    in[8] = 0x91;
    in[9] = 0x01;
    r = mp_reader_of(in, 10);
    assert_false(mp_skip(&r));
    in[8] = 0x90; /* an empty one counts as well */
    r = mp_reader_of(in, 9);
    assert_false(mp_skip(&r));
}

static void a_bomb_of_nested_array_headers_is_refused(void **state)
{
    (void)state;
    uint8_t bomb[155];
    for (size_t i = 0; i < 31; i++)
        memcpy(bomb + i * 5, "\xdd\x10\x00\x00\x00", 5);
    struct mp_reader r = mp_reader_of(bomb, sizeof bomb);
    assert_false(mp_skip(&r));

    /* Each header alone fits the bytes left, their sum does not. */
    uint8_t sum[40];
    memset(sum, 0x9f, sizeof sum);
    r = mp_reader_of(sum, sizeof sum);
    assert_false(mp_skip(&r));
    memset(sum + 2, 0x00, sizeof sum - 2);
    r = mp_reader_of(sum, 2 + 15 + 13);
    assert_false(mp_skip(&r));
    r = mp_reader_of(sum, 2 + 15 + 14);
    assert_true(mp_skip(&r));
    assert_true(mp_done(&r));
}

static void skip_stops_behind_one_value(void **state)
{
    (void)state;
    struct mp_reader r = READER("\x93\x01\x92\xa1x\xc0\xc4\x01y\x05");
    struct bytes raw;
    uint64_t v;
    assert_true(mp_read_raw(&r, &raw));
    assert_int_equal(raw.size, 9);
    assert_true(mp_read_uint(&r, &v));
    assert_true(v == 5 && mp_done(&r));
}

static void a_full_writer_writes_nothing_more(void **state)
{
    (void)state;
    uint8_t out[8];
    memset(out, 0xee, sizeof out);
    struct mp_writer w = mp_writer_of(out, 7);
    mp_uint(&w, 1);
    mp_bin(&w, "12345", 5); /* 7 bytes into 6 */
    assert_true(w.full);
    assert_int_equal(w.size, 1);
    mp_uint(&w, 1);
    mp_raw(&w, "x", 1);
    mp_nil(&w);
    assert_int_equal(w.size, 1);
    assert_int_equal(out[1], 0xee);

    w = mp_writer_of(out, 7);
    mp_bin(&w, "12345", 5);
    assert_false(w.full);
    mp_raw(&w, NULL, 0);
    mp_array(&w, 0);
    assert_true(w.full);
    assert_int_equal(out[7], 0xee);

    w = mp_writer_of(NULL, 0);
    mp_str(&w, "", 0);
    assert_true(w.full);
}

static void array_headers_are_shortest_at_every_boundary(void **state)
{
    (void)state;
    static const struct {
        size_t count;
        size_t size;
        const char *bytes;
    } rows[] = {{0, 1, "\x90"},
                {15, 1, "\x9f"},
                {16, 3, "\xdc\x00\x10"},
                {65535, 3, "\xdc\xff\xff"},
                {65536, 5, "\xdd\x00\x01\x00\x00"}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        static uint8_t out[70000];
        struct mp_writer w = mp_writer_of(out, sizeof out);
        mp_array(&w, rows[i].count);
        assert_written(&w, rows[i].bytes, rows[i].size);
        struct mp_reader r = mp_reader_of(out, sizeof out);
        size_t count;
        assert_true(mp_read_array(&r, &count, 65536));
        assert_int_equal(count, rows[i].count);
    }
}

static void every_truncation_of_every_type_is_refused(void **state)
{
    (void)state;
    static const struct {
        size_t size;
        const char *bytes;
    } rows[] = {
        {2, "\xcc\x80"},
        {3, "\xcd\x01\x00"},
        {5, "\xce\x00\x01\x00\x00"},
        {9, "\xcf\x00\x00\x00\x01\x00\x00\x00\x00"},
        {2, "\xd0\x80"},
        {3, "\xd1\x80\x00"},
        {5, "\xd2\x80\x00\x00\x00"},
        {9, "\xd3\x80\x00\x00\x00\x00\x00\x00\x00"},
        {4, "\xc4\x02xy"},
        {3, "\xa2xy"},
        {6, "\x93\x01\x91\xc4\x01x"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        for (size_t size = 0; size < rows[i].size; size++) {
            struct mp_reader r = mp_reader_of(rows[i].bytes, size);
            assert_false(mp_skip(&r));
            assert_false(mp_done(&r));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uints_are_written_in_their_shortest_form),
        cmocka_unit_test(ints_are_written_in_their_shortest_form),
        cmocka_unit_test(longer_forms_of_integers_are_refused),
        cmocka_unit_test(an_int_larger_than_int64_is_refused),
        cmocka_unit_test(bins_and_strs_have_shortest_headers_at_every_boundary),
        cmocka_unit_test(longer_headers_of_bins_strs_and_arrays_are_refused),
        cmocka_unit_test(arrays_may_not_announce_more_than_the_bytes_left),
        cmocka_unit_test(a_failed_reader_stays_failed_and_gives_nothing),
        cmocka_unit_test(an_empty_input_has_no_value),
        cmocka_unit_test(nil_and_bools_are_read_back),
        cmocka_unit_test(strs_are_strict_utf8),
        cmocka_unit_test(skip_takes_eight_arrays_in_each_other_but_not_nine),
        cmocka_unit_test(a_bomb_of_nested_array_headers_is_refused),
        cmocka_unit_test(skip_stops_behind_one_value),
        cmocka_unit_test(a_full_writer_writes_nothing_more),
        cmocka_unit_test(array_headers_are_shortest_at_every_boundary),
        cmocka_unit_test(every_truncation_of_every_type_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
