#include "support.h"

#include <string.h>

#include "crypto/note.h"

static void the_rfc_4648_examples_encode_and_decode(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        char text[16];
        uint8_t data[8];
        size_t size = 99;
        size_t length =
            base64_encode(text, sizeof text, pairs[i][0], strlen(pairs[i][0]));
        assert_int_equal(length, strlen(pairs[i][1]));
        assert_string_equal(text, pairs[i][1]);
        assert_true(base64_decode(data, sizeof data, &size, text, length));
        assert_int_equal(size, strlen(pairs[i][0]));
        assert_memory_equal(data, pairs[i][0], size);
    }
}

static void text_that_is_not_canonical_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "Z",    "Zg",     "Zg=",  "Zh==", "Zm9=", "Zg==Zg==", "Zm8=Zm9v", "====",
        "Z===", "Zm9v\n", "Zm 9", "Zm9-", "Zm9_", "=Zg=",     "Zg=a",     "Zm9vY===",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        uint8_t data[16];
        size_t size;
        assert_false(base64_decode(data, sizeof data, &size, bad[i], strlen(bad[i])));
    }
}

static void any_single_changed_character_is_refused_or_means_other_bytes(void **state)
{
    (void)state;
    const char *text = "AP+Ab/8=";
    uint8_t data[8];
    size_t size;
    assert_true(base64_decode(data, sizeof data, &size, text, 8));
    for (size_t at = 0; at < 8; at++)
        for (int c = 0; c < 256; c++) {
            char changed[8];
            memcpy(changed, text, 8);
            if (changed[at] == (char)c)
                continue;
            changed[at] = (char)c;
            uint8_t other[8];
            size_t other_size;
            if (base64_decode(other, sizeof other, &other_size, changed, 8))
                assert_true(other_size != size || memcmp(other, data, size) != 0);
        }
}

static void room_is_never_overrun(void **state)
{
    (void)state;
    char text[8] = "xxxxxxx";
    assert_int_equal(base64_encode(text, 4, "abc", 3), 0);
    assert_string_equal(text, "xxxxxxx");
    assert_int_equal(base64_encode(text, 5, "abc", 3), 4);
    assert_int_equal(base64_encode(text, 0, "", 0), 0);
    uint8_t data[2];
    size_t size;
    assert_false(base64_decode(data, sizeof data, &size, "YWJj", 4));
}

static void hex_goes_there_and_back_in_lower_case(void **state)
{
    (void)state;
    const uint8_t data[] = {0x00, 0x9f, 0xab, 0xff};
    char text[2 * sizeof data + 1];
    uint8_t back[sizeof data];
    hex_encode(text, data, sizeof data);
    assert_string_equal(text, "009fabff");
    assert_true(hex_decode(back, sizeof back, text, 8));
    assert_memory_equal(back, data, sizeof data);
    assert_false(hex_decode(back, sizeof back, "009FABFF", 8));
    assert_false(hex_decode(back, sizeof back, "009fabf", 7));
    assert_false(hex_decode(back, sizeof back, "009fabffaa", 10));
    assert_false(hex_decode(back, sizeof back, "009fabfg", 8));
    assert_true(hex_decode(NULL, 0, "", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rfc_4648_examples_encode_and_decode),
        cmocka_unit_test(text_that_is_not_canonical_is_refused),
        cmocka_unit_test(any_single_changed_character_is_refused_or_means_other_bytes),
        cmocka_unit_test(room_is_never_overrun),
        cmocka_unit_test(hex_goes_there_and_back_in_lower_case),
    };
    return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}
