/* Rows of an issuer's file: what is taken, and what is told about the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/context.h"
#include "ledger/address.h"
#include "relay/stoactl_rows.h"

#define A "1111111111111111111111111111111111111111111111111111111111111111"
#define B "2222222222222222222222222222222222222222222222222222222222222222"

static struct rows rows;

static bool parse(enum kind kind, const char *text)
{
    return rows_parse(&rows, kind, strdup(text), strlen(text));
}

static void expect_problem(enum kind kind, const char *text, size_t line,
                           const char *part)
{
    if (parse(kind, text))
        fail_msg("<%s> is taken", text);
    assert_true(rows.problem_count > 0);
    if (rows.problems[0].line != line || !strstr(rows.problems[0].text, part))
        fail_msg("line %zu: %s", rows.problems[0].line, rows.problems[0].text);
    rows_close(&rows);
}

static void columns_are_found_by_their_names(void **state)
{
    (void)state;
    assert_true(parse(KIND_ACCRUE, "\xef\xbb\xbfnote,amount,epoch,node,account\r\n"
                                   "\"a, \"\"b\"\"\",12.5,7,fra-7," A "\r\n"
                                   "\r\n"
                                   ",0.000001,8,fra-7," A));
    assert_int_equal(rows.count, 2);
    assert_int_equal(rows.row[0].amount, 12500000);
    assert_int_equal(rows.row[0].epoch, 7);
    assert_int_equal(rows.row[0].line, 2);
    assert_int_equal(rows.row[1].line, 4);
    assert_int_equal(rows.row[1].amount, 1);
    assert_int_equal(rows.row[0].account.b[0], 0x11);
    struct hash node = hash_context(CTX_NODE, "fra-7", 5);
    assert_true(hash_equal(&rows.row[0].node, &node));
    rows_close(&rows);
}

static void rows_of_an_account_are_linked_in_order(void **state)
{
    (void)state;
    assert_true(parse(KIND_ADJUST, "account,amount,reason\n" A ",1,x\n" B ",-2.5,y\n" A
                                   ",+3,\"two\nlines\"\n" B ",4,y\n"));
    assert_int_equal(rows.count, 4);
    assert_int_equal(rows.row[0].next, 2);
    assert_int_equal(rows.row[2].next, ROW_NONE);
    assert_int_equal(rows.row[1].next, 3);
    assert_int_equal(rows.row[1].amount, -2500000);
    assert_string_equal(rows.row[2].reason, "two\nlines");
    assert_int_equal(rows.row[3].line, 6);
    rows_close(&rows);
}

static void equal_rows_have_keys_of_their_own_that_last(void **state)
{
    (void)state;
    assert_true(
        parse(KIND_ADJUST, "account,amount,reason\n" A ",1,x\n" A ",1,x\n" A ",1,z\n"));
    assert_false(hash_equal(&rows.row[0].key, &rows.row[1].key));
    assert_false(hash_equal(&rows.row[0].key, &rows.row[2].key));
    struct hash first = rows.row[0].key, third = rows.row[2].key;
    rows_close(&rows);
    /* other rows around them change nothing */
    assert_true(
        parse(KIND_ADJUST, "account,amount,reason\n" B ",1,x\n" A ",1,z\n" A ",1,x\n"));
    assert_true(hash_equal(&rows.row[2].key, &first));
    assert_true(hash_equal(&rows.row[1].key, &third));
    rows_close(&rows);
}

static void an_address_is_an_account(void **state)
{
    (void)state;
    struct hash id;
    memset(id.b, 0x11, sizeof id.b);
    char address[ADDRESS_TEXT_MAX];
    address_format(address, &id, "eu.example");
    assert_true(rows_one(&rows, KIND_ADJUST, address, NULL, NULL, "-1.5", "why"));
    assert_true(hash_equal(&rows.row[0].account, &id));
    assert_int_equal(rows.row[0].amount, -1500000);
    rows_close(&rows);
}

static void what_is_wrong_is_told_with_its_line(void **state)
{
    (void)state;
    const char *head = "account,node,epoch,amount\n";
    char text[600];
#define LINE(line) (strcpy(text, head), strcat(text, line))
    expect_problem(KIND_ACCRUE, "", 1, "\"account\" is missing");
    expect_problem(KIND_ACCRUE, "account,node,epoch\n", 1, "\"amount\" is missing");
    expect_problem(KIND_ACCRUE, "account,account,node,epoch,amount\n", 1, "twice");
    expect_problem(KIND_ACCRUE, LINE("stoa1qwrong,n,1,1\n"), 2, "is no address");
    expect_problem(KIND_ACCRUE, LINE(A ",n,1,0\n"), 2, "amount \"0\"");
    expect_problem(KIND_ACCRUE, LINE(A ",n,1,-1\n"), 2, "amount \"-1\"");
    expect_problem(KIND_ACCRUE, LINE(A ",n,1,1.0000001\n"), 2, "amount");
    expect_problem(KIND_ACCRUE, LINE(A ",n,x,1\n"), 2, "epoch \"x\"");
    expect_problem(KIND_ACCRUE, LINE(A ",n,9223372036854775808,1\n"), 2, "epoch");
    expect_problem(KIND_ACCRUE, LINE(A ",,1,1\n"), 2, "node is empty");
    expect_problem(KIND_ACCRUE, LINE(A ",n,1\n"), 2, "another number of columns");
    expect_problem(KIND_ACCRUE, LINE(A ",\"n,1,1\n"), 2, "quotes");
    expect_problem(KIND_ACCRUE, LINE(A ",n,5,1\n" A ",n,5,1\n"), 3, "does not rise");
    expect_problem(KIND_ADJUST, "account,amount,reason\n" A ",1,\n", 2, "reason");
    assert_false(rows_parse(&rows, KIND_ACCRUE, memcpy(calloc(1, 4), "a\0b", 4), 3));
    rows_close(&rows);
}

static void many_problems_are_counted(void **state)
{
    (void)state;
    char text[4000] = "account,amount,reason\n";
    for (int i = 0; i < 50; i++)
        strcat(text, "x,1,y\n");
    assert_false(parse(KIND_ADJUST, text));
    assert_int_equal(rows.problem_count, 50);
    rows_close(&rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_found_by_their_names),
        cmocka_unit_test(rows_of_an_account_are_linked_in_order),
        cmocka_unit_test(equal_rows_have_keys_of_their_own_that_last),
        cmocka_unit_test(an_address_is_an_account),
        cmocka_unit_test(what_is_wrong_is_told_with_its_line),
        cmocka_unit_test(many_problems_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
