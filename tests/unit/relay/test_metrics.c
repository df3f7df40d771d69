/* What /metrics shows is valid, exact and complete. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/trace.h"
#include "relay/metrics.h"

static struct metrics *m;
static struct buf text;

static int start(void **state)
{
    (void)state;
    m = metrics_open(1, 1);
    return m == NULL;
}

static int stop(void **state)
{
    (void)state;
    metrics_close(m);
    buf_close(&text);
    return 0;
}

static const char *written(void)
{
    buf_clear(&text);
    assert_true(metrics_write(m, &text));
    assert_true(buf_add(&text, "", 1));
    return (const char *)text.data;
}

static void assert_line(const char *line)
{
    char with_ends[512];
    snprintf(with_ends, sizeof with_ends, "\n%s\n", line);
    if (!strstr(written(), with_ends))
        fail_msg("no line: %s", line);
}

static void assert_no_line(const char *part)
{
    if (strstr(written(), part))
        fail_msg("there is: %s", part);
}

static void counters_gauges_and_labels_are_shown(void **state)
{
    (void)state;
    metrics_count(m, METRIC_COMMITTED, 0, 5);
    metrics_count(m, METRIC_COMMITTED, 0, 2);
    metrics_reject(m, ERR_BALANCE);
    metrics_reject(m, ERR_STORE); /* not a refusal: not counted as one */
    metrics_count(m, METRIC_VERIFY, M_VERDICT_BAD, 3);
    metrics_set(m, METRIC_READY, M_READY_WRITE, 1);
    metrics_change(m, METRIC_CONNECTIONS, M_TRANSPORT_WEBSOCKET, 4);
    metrics_change(m, METRIC_CONNECTIONS, M_TRANSPORT_WEBSOCKET, -1);
    assert_line("stoa_entries_committed_total 7");
    assert_line("stoa_entries_rejected_total{reason=\"balance\"} 1");
    assert_line("stoa_entries_rejected_total{reason=\"gap\"} 0");
    assert_no_line("reason=\"store\"");
    assert_line("stoa_signature_verify_total{result=\"bad\"} 3");
    assert_line("stoa_ready{kind=\"read\"} 0");
    assert_line("stoa_ready{kind=\"write\"} 1");
    assert_line("stoa_client_connections{transport=\"websocket\"} 3");
    assert_line("# TYPE stoa_entries_committed_total counter");
    assert_int_equal(metrics_value(m, METRIC_COMMITTED, 0), 7);
}

static void every_refusal_has_its_own_reason(void **state)
{
    (void)state;
    enum err e;
    for (unsigned i = 0; err_row(i, &e); i++)
        metrics_reject(m, e);
    for (unsigned i = 0; err_row(i, &e); i++) {
        char line[128];
        snprintf(line, sizeof line, "stoa_entries_rejected_total{reason=\"%s\"} 1",
                 err_word(e));
        if (e > 100 && e < 200)
            assert_line(line);
    }
}

static void one_state_is_on_at_a_time(void **state)
{
    (void)state;
    assert_line("stoa_hub_state{state=\"starting\"} 1");
    metrics_state(m, M_STATE_DRAINING);
    assert_line("stoa_hub_state{state=\"starting\"} 0");
    assert_line("stoa_hub_state{state=\"draining\"} 1");
}

static void times_are_exact_seconds(void **state)
{
    (void)state;
    metrics_set(m, METRIC_CHECKPOINT_TIME, 0, INT64_C(1767600000123));
    assert_line("stoa_checkpoint_timestamp_seconds 1767600000.123");
    metrics_set(m, METRIC_CHECKPOINT_TIME, 0, INT64_C(1767600000500));
    assert_line("stoa_checkpoint_timestamp_seconds 1767600000.5");
    metrics_set(m, METRIC_CHECKPOINT_TIME, 0, -250);
    assert_line("stoa_checkpoint_timestamp_seconds -0.25");
}

static void a_histogram_is_cumulative_and_sums(void **state)
{
    (void)state;
    metrics_observe(m, METRIC_COMMIT, 0, 100);      /* on a bound: in its bucket */
    metrics_observe(m, METRIC_COMMIT, 0, 101);      /* past it */
    metrics_observe(m, METRIC_COMMIT, 0, 99000000); /* past all */
    assert_line("stoa_commit_duration_seconds_bucket{le=\"0.0001\"} 1");
    assert_line("stoa_commit_duration_seconds_bucket{le=\"0.00025\"} 2");
    assert_line("stoa_commit_duration_seconds_bucket{le=\"10\"} 2");
    assert_line("stoa_commit_duration_seconds_bucket{le=\"+Inf\"} 3");
    assert_line("stoa_commit_duration_seconds_sum 99.000201");
    assert_line("stoa_commit_duration_seconds_count 3");
    metrics_observe(m, METRIC_BATCH, 0, 3);
    assert_line("stoa_commit_batch_entries_bucket{le=\"4\"} 1");
    assert_line("stoa_commit_batch_entries_bucket{le=\"2\"} 0");
}

static void a_labelled_histogram_appears_with_its_first_observation(void **state)
{
    (void)state;
    assert_no_line("route=\"submit\"");
    metrics_observe(m, METRIC_REQUEST, METRIC_PAIR(M_ROUTE_SUBMIT, M_CODE_REFUSED), 700);
    assert_line("stoa_request_duration_seconds_bucket{route=\"submit\",code=\"refused\","
                "le=\"0.001\"} 1");
    assert_line(
        "stoa_request_duration_seconds_count{route=\"submit\",code=\"refused\"} 1");
    assert_no_line("code=\"failed\"");
}

static void trace_lines_are_counted(void **state)
{
    (void)state;
    trace_init((struct trace_config){TRACE_INFO, TRACE_LOGFMT, -1, 0});
    uint64_t before = trace_count(TRACE_WARN);
    trace_event(TRACE_WARN, "test.line");
    char line[128];
    snprintf(line, sizeof line, "stoa_log_messages_total{level=\"warn\"} %llu",
             (unsigned long long)before + 1);
    assert_line(line);
}

static void the_process_is_shown(void **state)
{
    (void)state;
    const char *names[] = {"cpu_seconds_total", "resident_memory_bytes", "open_fds",
                           "max_fds",           "start_time_seconds",    "threads"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char line[64];
        snprintf(line, sizeof line, "\nprocess_%s ", names[i]);
        const char *at = strstr(written(), line);
        assert_non_null(at);
        assert_true(strtod(at + strlen(line), NULL) >= 0);
    }
    assert_true(strtod(strstr(written(), "\nprocess_start_time_seconds ") + 28, NULL) >
                1e9);
}

static bool is_name(const char *at, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!islower((unsigned char)at[i]) && !isdigit((unsigned char)at[i]) &&
            at[i] != '_')
            return false;
    return size > 0;
}

/* Name, optional {..}, blank, number; HELP and TYPE before, once a metric. */
static void every_line_has_the_form(void **state)
{
    (void)state;
    char type[128] = "";
    for (const char *at = written(); *at; at = strchr(at, '\n') + 1) {
        size_t size = strcspn(at, "\n");
        assert_int_equal(at[size], '\n');
        if (strncmp(at, "# TYPE ", 7) == 0) {
            snprintf(type, sizeof type, "%.*s", (int)strcspn(at + 7, " "), at + 7);
            continue;
        }
        if (at[0] == '#')
            continue;
        size_t name = strcspn(at, "{ ");
        assert_true(is_name(at, name));
        assert_memory_equal(at, type, strlen(type));
        const char *value = at + name;
        if (*value == '{')
            value = strstr(value, "} ") + 1;
        char *end;
        strtod(value + 1, &end);
        assert_ptr_equal(end, at + size);
    }
}

static void the_list_names_every_metric(void **state)
{
    (void)state;
    char *list = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&list, &size);
    assert_non_null(f);
    metrics_list(f);
    fclose(f);
#define NAMED(id, kind, name, a, b, unit, help)                                          \
    assert_non_null(strstr(list, "stoa_" name " "));
    METRIC_LIST(NAMED)
    free(list);
}

static void *count_many(void *unused)
{
    (void)unused;
    for (int i = 0; i < 10000; i++) {
        metrics_count(m, METRIC_FRAMES, M_DIRECTION_IN, 1);
        metrics_observe(m, METRIC_SETTLE, M_SCOPE_LOCAL, 5);
    }
    return NULL;
}

static void threads_lose_no_count(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_many, NULL), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(metrics_value(m, METRIC_FRAMES, M_DIRECTION_IN), 40000);
    assert_int_equal(metrics_value(m, METRIC_SETTLE, M_SCOPE_LOCAL), 40000);
}

static void without_a_registry_nothing_happens(void **state)
{
    (void)state;
    metrics_count(NULL, METRIC_COMMITTED, 0, 1);
    metrics_set(NULL, METRIC_READY, M_READY_READ, 1);
    metrics_observe(NULL, METRIC_COMMIT, 0, 1);
    metrics_state(NULL, M_STATE_SERVING);
    metrics_reject(NULL, ERR_GAP);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--print") == 0) { /* for promtool check metrics */
        m = metrics_open(1, 1);
        metrics_observe(m, METRIC_REQUEST, METRIC_PAIR(M_ROUTE_SUBMIT, M_CODE_OK), 700);
        fputs(written(), stdout);
        return stop(NULL);
    }
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(counters_gauges_and_labels_are_shown),
        TEST(every_refusal_has_its_own_reason),
        TEST(one_state_is_on_at_a_time),
        TEST(times_are_exact_seconds),
        TEST(a_histogram_is_cumulative_and_sums),
        TEST(a_labelled_histogram_appears_with_its_first_observation),
        TEST(trace_lines_are_counted),
        TEST(the_process_is_shown),
        TEST(every_line_has_the_form),
        TEST(the_list_names_every_metric),
        TEST(threads_lose_no_count),
        TEST(without_a_registry_nothing_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
