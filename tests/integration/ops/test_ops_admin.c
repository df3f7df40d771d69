/* The admin socket of a real relay: wrong requests get one coded answer each, and nobody
 * who connects keeps others from being answered for longer than a request may take. */
#include "tests/integration/hub.h"

#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "relay/admin_socket.h"

#define ANSWER_MS 8000u
#define TEXT_BYTES 9000u

static struct hubproc hub;
static char path[512];

static int setup(void **state)
{
    (void)state;
    assert_true(crypto_start());
    assert_true(hubproc_open(&hub, true));
    hubproc_path(&hub, "a.sock", path);
    hubproc_set(&hub, "listen.admin=%s", path);
    hub_start(&hub);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hubproc_signal(&hub, 15);
    int code = hubproc_wait(&hub, 15000);
    bool gone = access(path, F_OK) != 0;
    hubproc_close(&hub);
    return code == 0 && gone ? 0 : -1;
}

static int connected(void)
{
    char why[ADMIN_WHY_MAX];
    int fd;
    if (admin_connect(path, &fd, why) != ERR_OK)
        fail_msg("%s", why);
    return fd;
}

/* The object that comes back for these bytes; NULL: none. */
static json_t *ask(const char *text, size_t size)
{
    char *answer = NULL;
    int fd = connected();
    enum err e = admin_write(fd, text, size, ANSWER_MS);
    if (e == ERR_OK)
        e = admin_read_all(fd, &answer, ADMIN_ANSWER_MAX, ANSWER_MS);
    close(fd);
    json_t *j = e == ERR_OK ? json_loads(answer, 0, NULL) : NULL;
    free(answer);
    return j;
}

static void refused(const char *text, size_t size, const char *reason)
{
    json_t *j = ask(text, size);
    assert_non_null(j);
    const char *got = json_string_value(json_object_get(json_object_get(j, "error"),
                                                        "reason"));
    assert_non_null(got);
    assert_string_equal(got, reason);
    json_decref(j);
}

static void well(void)
{
    static const char line[] = "{\"do\":\"status\"}\n";
    json_t *j = ask(line, strlen(line));
    assert_non_null(j);
    assert_true(json_is_true(json_object_get(j, "ready_write")));
    assert_string_equal(json_string_value(json_object_get(j, "hub")), hub.hub);
    json_decref(j);
}

static void wrong_requests_are_refused_in_words(void **state)
{
    static const char *const wrong[] = {
        "\n",
        "status\n",
        "{}\n",
        "[\"status\"]\n",
        "{\"do\":\"statu\"}\n",
        "{\"do\":1}\n",
        "{\"do\":\"status\",\"do\":\"drain\"}\n",
        "{\"do\":\"status\",\"more\":1}\n",
        "{\"do\":\"drain\",\"why\":\"not\"}\n",
        "\xff\xfe\n",
    };
    static char nested[TEXT_BYTES], longest[TEXT_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        refused(wrong[i], strlen(wrong[i]), "usage");
    memset(nested, '[', ADMIN_LINE_MAX - 1);
    nested[ADMIN_LINE_MAX - 1] = '\n';
    refused(nested, ADMIN_LINE_MAX, "usage");
    memset(longest, ' ', ADMIN_LINE_MAX); /* without an end */
    refused(longest, ADMIN_LINE_MAX, "too_large");
    well();
}

static void a_silent_operator_delays_others_and_no_more(void **state)
{
    (void)state;
    int silent = connected(), half = connected();
    assert_int_equal(admin_write(half, "{\"do\":", 6, ANSWER_MS), ERR_OK);
    well(); /* after the patience with both */
    char *answer = NULL;
    assert_int_equal(admin_read_all(half, &answer, ADMIN_ANSWER_MAX, ANSWER_MS), ERR_OK);
    assert_non_null(strstr(answer, "timeout"));
    free(answer);
    close(silent);
    close(half);
    for (int i = 0; i < 50; i++) /* come and gone */
        close(connected());
    well();
}

static void a_question_leaves_no_connection_behind(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++)
        well();
    char body[1 << 16];
    size_t size;
    assert_int_equal(rawhttp_get(hub.port, "/metrics", body, sizeof(body), &size), 200);
    const char *at = strstr(body, "\nprocess_open_fds ");
    assert_non_null(at);
    assert_true(strtod(at + strlen("\nprocess_open_fds "), NULL) < 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_requests_are_refused_in_words),
        cmocka_unit_test(a_silent_operator_delays_others_and_no_more),
        cmocka_unit_test(a_question_leaves_no_connection_behind),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
