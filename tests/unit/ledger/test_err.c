#include "ledger/err.h"

#include <string.h>

#include "test.h"

static void every_number_and_word_is_used_once(void **state)
{
    (void)state;
    enum err a, b;
    for (unsigned i = 0; err_row(i, &a); i++)
        for (unsigned j = 0; err_row(j, &b); j++)
            if (i != j) {
                assert_int_not_equal(a, b);
                assert_string_not_equal(err_word(a), err_word(b));
            }
}

static void words_fit_the_wire_and_metrics(void **state)
{
    (void)state;
    enum err e;
    for (unsigned i = 0; err_row(i, &e); i++) {
        const char *word = err_word(e);
        assert_in_range(strlen(word), 1, 24);
        assert_int_equal(strspn(word, "abcdefghijklmnopqrstuvwxyz_"), strlen(word));
        assert_true(strlen(err_text(e)) > 0);
    }
}

static void every_number_is_found_again(void **state)
{
    (void)state;
    enum err e, found;
    unsigned rows = 0;
    for (; err_row(rows, &e); rows++) {
        assert_true(err_from_number((uint64_t)e, &found));
        assert_int_equal(found, e);
        assert_true(e == ERR_OK || (e > 100 && e < 400));
    }
    assert_true(rows > 80);
}

static void unknown_numbers_are_said_to_be_unknown(void **state)
{
    (void)state;
    enum err e = ERR_BUG;
    assert_false(err_from_number(100, &e));
    assert_false(err_from_number(999, &e));
    assert_false(err_from_number(UINT64_MAX, &e));
    assert_false(err_from_number((UINT64_C(1) << 32) + 101, &e));
    assert_int_equal(e, ERR_BUG);
    assert_string_equal(err_word((enum err)100), "?");
    assert_string_equal(err_text((enum err)100), "?");
    assert_int_equal(err_retry((enum err)100), ERR_RETRY_NO);
}

static void retry_says_what_the_table_says(void **state)
{
    (void)state;
    assert_int_equal(err_retry(ERR_MALFORMED), ERR_RETRY_NO);
    assert_int_equal(err_retry(ERR_BUSY), ERR_RETRY_SAME);
    assert_int_equal(err_retry(ERR_SEQ_TAKEN), ERR_RETRY_AGAIN);
    assert_string_equal(err_word(ERR_SEQ_TAKEN), "seq_taken");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_and_word_is_used_once),
        cmocka_unit_test(words_fit_the_wire_and_metrics),
        cmocka_unit_test(every_number_is_found_again),
        cmocka_unit_test(unknown_numbers_are_said_to_be_unknown),
        cmocka_unit_test(retry_says_what_the_table_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
