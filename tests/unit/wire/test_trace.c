/* What trace lines look like, and that nothing can make them look like two. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ledger/trace.h"

#define OUTPUT_MAX 65536

static int file = -1;
static char output[OUTPUT_MAX];

static int start(void **state)
{
    (void)state;
    char path[] = "/tmp/stoa-trace-XXXXXX";
    file = mkstemp(path);
    unlink(path);
    trace_init((struct trace_config){TRACE_DEBUG, TRACE_LOGFMT, file, 0});
    return file < 0;
}

static int stop(void **state)
{
    (void)state;
    trace_init(TRACE_CONFIG_DEFAULT);
    close(file);
    return 0;
}

/* All that was written since the last call. */
static const char *lines(void)
{
    static off_t at;
    if (lseek(file, 0, SEEK_END) < at)
        at = 0;
    ssize_t n = pread(file, output, sizeof output - 1, at);
    assert_true(n >= 0);
    at += n;
    output[n] = '\0';
    return output;
}

/* The line after ts=...Z, without its LF. */
static const char *line(void)
{
    char *text = output;
    lines();
    assert_memory_equal(text, "ts=20", 5);
    char *end = strchr(text, '\n');
    assert_non_null(end);
    assert_int_equal(end[1], '\0');
    *end = '\0';
    return strchr(text, ' ') + 1;
}

static void a_line_is_logfmt_with_typed_fields(void **state)
{
    (void)state;
    lines();
    const uint8_t id[3] = {0xde, 0xad, 0x01};
    trace(TRACE_INFO, "hub.started", TRACE_U64("n", UINT64_MAX), TRACE_I64("d", -5),
          TRACE_BOOL("ok", true), TRACE_STR("name", "eu"), TRACE_HEX("id", id, sizeof id),
          TRACE_MS("took", 12), TRACE_ERR("why", ERR_STORE_FULL),
          TRACE_ERRNO("errno", ENOSPC), TRACE_STR("none", NULL));
    assert_string_equal(line(),
                        "level=info event=hub.started n=18446744073709551615 d=-5 "
                        "ok=true name=eu id=dead01 took=12ms why=store_full "
                        "errno=ENOSPC none=\"\"");
    trace_event(TRACE_WARN, "hub.alone");
    assert_string_equal(line(), "level=warn event=hub.alone");
}

static void text_cannot_forge_a_field_or_a_line(void **state)
{
    (void)state;
    lines();
    trace(TRACE_INFO, "x", TRACE_STR("a", "b c=d"), TRACE_STR("q", "say \"hi\"\\"),
          TRACE_STR("n", "one\nts=2020 level=error"), TRACE_STR("e", "\x1b[31m\x7f"));
    assert_string_equal(line(),
                        "level=info event=x a=\"b c=d\" q=\"say \\\"hi\\\"\\\\\" "
                        "n=\"one\\nts=2020 level=error\" e=\"\\u001b[31m\\u007f\"");
    /* invalid, overlong, right-to-left override, C1; a good one stays */
    trace(TRACE_INFO, "x", TRACE_STR("u", "\xff\xc0\xaf"),
          TRACE_STR("r", "a\xe2\x80\xae"
                         "b\xc2\x85"),
          TRACE_STR("g", "\xc3\xa9"));
    assert_string_equal(line(), "level=info event=x u=\"\\ufffd\\ufffd\\ufffd\" "
                                "r=\"a\\u202eb\\u0085\" g=\"\xc3\xa9\"");
}

static void a_long_line_is_cut_and_says_so(void **state)
{
    (void)state;
    lines();
    char text[2000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    trace(TRACE_INFO, "long", TRACE_STR("a", text));
    const char *got = line();
    assert_int_equal(strlen(strstr(got, "a=")), 2 + TRACE_TEXT_MAX + 1);
    assert_int_equal(got[strlen(got) - 1], '~');

    trace(TRACE_INFO, "long", TRACE_STR("a", text), TRACE_STR("b", text),
          TRACE_STR("c", text), TRACE_STR("d", text), TRACE_U64("after", 7));
    got = line();
    assert_null(strstr(got, "d=x"));
    assert_non_null(strstr(got, "after=7"));
    assert_non_null(strstr(got, " truncated=true"));
    assert_true(strlen(output) < TRACE_LINE_MAX);
}

static void json_lines_are_objects(void **state)
{
    (void)state;
    trace_init((struct trace_config){TRACE_DEBUG, TRACE_JSON, file, 0});
    lines();
    trace(TRACE_ERROR, "store.failed", TRACE_U64("n", 5), TRACE_STR("s", "a\"\n"),
          TRACE_MS("took", 9));
    const char *got = lines();
    assert_memory_equal(got, "{\"ts\":\"20", 9);
    assert_non_null(strstr(got,
                           "\",\"level\":\"error\",\"event\":\"store.failed\",\"n\":5,"
                           "\"s\":\"a\\\"\\n\",\"took\":9}\n"));
}

static void levels_above_the_set_one_are_not_written(void **state)
{
    (void)state;
    trace_init((struct trace_config){TRACE_WARN, TRACE_LOGFMT, file, 0});
    lines();
    uint64_t info = trace_count(TRACE_INFO), warn = trace_count(TRACE_WARN);
    trace_event(TRACE_INFO, "quiet");
    assert_string_equal(lines(), "");
    trace_event(TRACE_WARN, "loud");
    assert_non_null(strstr(lines(), "event=loud"));
    assert_int_equal(trace_count(TRACE_INFO), info);
    assert_int_equal(trace_count(TRACE_WARN), warn + 1);
}

static void a_flood_is_counted_instead(void **state)
{
    (void)state;
    trace_init((struct trace_config){TRACE_INFO, TRACE_LOGFMT, file, 3});
    lines();
    uint64_t before = trace_count(TRACE_INFO);
    for (int i = 0; i < 10; i++)
        trace(TRACE_INFO, "flood", TRACE_I64("i", i));
    trace_event(TRACE_INFO, "other");
    const char *got = lines();
    assert_non_null(strstr(got, "i=2"));
    assert_null(strstr(got, "i=3"));
    assert_non_null(strstr(got, "event=other"));
    assert_int_equal(trace_count(TRACE_INFO), before + 11);
    trace_flush();
    assert_string_equal(lines(), ""); /* the window is still open */
    usleep((TRACE_WINDOW_MS + 50) * 1000);
    trace_flush();
    assert_non_null(strstr(lines(), "event=flood suppressed=7"));
    trace_event(TRACE_INFO, "flood");
    assert_null(strstr(lines(), "suppressed"));
}

static void *write_many(void *unused)
{
    (void)unused;
    for (int i = 0; i < 200; i++)
        trace(TRACE_INFO, "thread.line", TRACE_STR("s", "some words here"));
    return NULL;
}

static void lines_of_threads_do_not_mix(void **state)
{
    (void)state;
    lines();
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, NULL), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    size_t count = 0;
    for (const char *at = lines(); *at; count++) {
        assert_memory_equal(at, "ts=20", 5);
        const char *end = strchr(at, '\n');
        if (!end)
            break; /* the buffer's end */
        assert_non_null(strstr(at, "event=thread.line s=\"some words here\"\n"));
        at = end + 1;
    }
    assert_true(count >= 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_is_logfmt_with_typed_fields, start, stop),
        cmocka_unit_test_setup_teardown(text_cannot_forge_a_field_or_a_line, start, stop),
        cmocka_unit_test_setup_teardown(a_long_line_is_cut_and_says_so, start, stop),
        cmocka_unit_test_setup_teardown(json_lines_are_objects, start, stop),
        cmocka_unit_test_setup_teardown(levels_above_the_set_one_are_not_written, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_flood_is_counted_instead, start, stop),
        cmocka_unit_test_setup_teardown(lines_of_threads_do_not_mix, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
