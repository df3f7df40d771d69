/* msgpack-test-suite.json: every case lists all encodings of a value, the canonical one
 * first. Ours is the reader that takes the first and refuses all others. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/mp.h"
#include "test.h"

static json_t *suite;

static int start(void **state)
{
    (void)state;
    suite = json_load_file(STOA_SHARED_VECTORS "/msgpack-test-suite.json",
                           JSON_DECODE_ANY, NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    json_decref(suite);
    return 0;
}

/* "cd-01-00" to bytes. */
static size_t parse_bytes(uint8_t *out, size_t cap, const char *text)
{
    size_t size = 0;
    while (*text) {
        unsigned byte;
        assert_true(size < cap);
        assert_int_equal(sscanf(text, "%2x", &byte), 1);
        out[size++] = (uint8_t)byte;
        text += 2;
        if (*text == '-')
            text++;
    }
    return size;
}

static bool decodes(const uint8_t *bytes, size_t size)
{
    struct mp_reader r = mp_reader_of(bytes, size);
    return mp_skip(&r) && mp_done(&r);
}

/* Types the protocol does not use: no encoding of them may decode. */
static bool is_used(const char *group, json_t *row)
{
    if (json_object_get(row, "map") || json_object_get(row, "timestamp") ||
        json_object_get(row, "ext") || strstr(group, "float"))
        return false;
    json_t *array = json_object_get(row, "array");
    return !array || !json_is_object(json_array_get(array, 0));
}

/* The first form, but for 2^63-1: there the suite puts the signed one first, and ours
 * writes every non-negative integer as a uint. */
static size_t canonical_of(json_t *row)
{
    const char *big = json_string_value(json_object_get(row, "bignum"));
    return big && strcmp(big, "9223372036854775807") == 0 ? 1 : 0;
}

static void check_row(const char *group, json_t *row, unsigned *taken, unsigned *refused)
{
    static uint8_t bytes[70000];
    json_t *forms = json_object_get(row, "msgpack");
    bool used = is_used(group, row);
    for (size_t i = 0; i < json_array_size(forms); i++) {
        size_t size =
            parse_bytes(bytes, sizeof bytes, json_string_value(json_array_get(forms, i)));
        bool wanted = used && i == canonical_of(row);
        if (decodes(bytes, size) != wanted)
            fail_msg("%s: %s", group, json_string_value(json_array_get(forms, i)));
        *(wanted ? taken : refused) += 1;
    }
}

static void only_the_canonical_form_of_each_case_decodes(void **state)
{
    (void)state;
    if (!suite)
        skip();
    unsigned taken = 0, refused = 0;
    const char *group;
    json_t *rows, *row;
    size_t i;
    json_object_foreach(suite, group, rows) json_array_foreach(rows, i, row)
        check_row(group, row, &taken, &refused);
    assert_true(taken > 50);
    assert_true(refused > 150);
}

static void check_number(json_t *row)
{
    uint8_t wanted[16], out[16];
    json_t *number = json_object_get(row, "number");
    const char *big = json_string_value(json_object_get(row, "bignum"));
    if ((!number || !json_is_integer(number)) && !big)
        return;
    size_t size = parse_bytes(wanted, sizeof wanted,
                              json_string_value(json_array_get(
                                  json_object_get(row, "msgpack"), canonical_of(row))));
    struct mp_writer w = mp_writer_of(out, sizeof out);
    if (big && big[0] != '-')
        mp_uint(&w, strtoull(big, NULL, 10));
    else
        mp_int(&w, big ? strtoll(big, NULL, 10) : json_integer_value(number));
    assert_int_equal(w.size, size);
    assert_memory_equal(out, wanted, size);
}

static void every_integer_is_written_in_its_canonical_form(void **state)
{
    (void)state;
    if (!suite)
        skip();
    const char *group;
    json_t *rows, *row;
    size_t i;
    json_object_foreach(suite, group, rows) json_array_foreach(rows, i, row)
        check_number(row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_canonical_form_of_each_case_decodes),
        cmocka_unit_test(every_integer_is_written_in_its_canonical_form),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
