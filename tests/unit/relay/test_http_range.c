/* relay/http_range.h: one byte range, as RFC 9110 section 14 counts it. */
#include "relay/http_range.h"

#include "tests/unit/relay/test.h"

static void check(const char *text, size_t whole, unsigned status, size_t from, size_t size)
{
    size_t at, n;
    struct http_range r = http_range_parse(text);
    unsigned got = http_range_apply(&r, whole, &at, &n);
    if (got != status || at != from || n != size)
        fail_msg("%s of %zu: %u, %zu from %zu", text, whole, got, n, at);
}

static void one_range_is_cut_out(void **state)
{
    (void)state;
    check("bytes=0-0", 10, 206, 0, 1);
    check("bytes=2-4", 10, 206, 2, 3);
    check("bytes=2-", 10, 206, 2, 8);
    check("bytes=-3", 10, 206, 7, 3);
    check("bytes=-30", 10, 206, 0, 10);
    check("bytes=9-900", 10, 206, 9, 1);
    check("bytes=0-18446744073709551615", 10, 206, 0, 10);
    check("bytes=0-99999999999999999999999", 10, 206, 0, 10);
}

static void what_lies_outside_is_told(void **state)
{
    (void)state;
    check("bytes=10-", 10, 416, 0, 0);
    check("bytes=10-12", 10, 416, 0, 0);
    check("bytes=99999999999999999999999-", 10, 416, 0, 0);
    check("bytes=-0", 10, 416, 0, 0);
    check("bytes=0-", 0, 416, 0, 0);
    check("bytes=-1", 0, 416, 0, 0);
}

static void what_is_not_one_range_is_the_whole(void **state)
{
    static const char *const odd[] = {"",           "bytes",      "bytes=",     "bytes=-",
                                      "bytes=4-2",  "bytes=a-b",  "bytes=1-2,4-5", "items=0-1",
                                      "bytes=0x1-2", "bytes= 1-2", "bytes=1-2 ", "bytes=+1-2"};
    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
        check(odd[i], 10, 200, 0, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_range_is_cut_out),
        cmocka_unit_test(what_lies_outside_is_told),
        cmocka_unit_test(what_is_not_one_range_is_the_whole),
    };
    return cmocka_run_group_tests_name("http_range", tests, NULL, NULL);
}
