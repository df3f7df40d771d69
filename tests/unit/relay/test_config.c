/* Settings: what wins, what is refused, and how that is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger/trace.h"
#include "relay/config.h"

static char top[64];
static char file[96];
static char conf[96];

static int start(void **state)
{
    (void)state;
    snprintf(top, sizeof top, "/tmp/stoa-config-XXXXXX");
    if (!mkdtemp(top))
        return 1;
    snprintf(file, sizeof file, "%s/stoa.toml", top);
    snprintf(conf, sizeof conf, "%s/conf.d", top);
    return mkdir(conf, 0700);
}

static int stop(void **state)
{
    (void)state;
    DIR *d = opendir(conf);
    for (const struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        char path[400];
        snprintf(path, sizeof path, "%s/%s", conf, e->d_name);
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlink(path);
    }
    if (d)
        closedir(d);
    rmdir(conf);
    unlink(file);
    return rmdir(top);
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void write_conf(const char *name, const char *text)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", conf, name);
    write_text(path, text);
}

static struct config *load(const char *text, const char *const *sets, size_t set_count,
                           char *const *environment)
{
    write_text(file, text);
    struct config_sources s = {file, sets, set_count, environment};
    struct config *c = config_load(&s);
    assert_non_null(c);
    return c;
}

/* Text of the problems; freed by the caller. */
static char *problems(const struct config *c)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    config_print_problems(c, f, "nothing was applied");
    fclose(f);
    return text;
}

static void expect_problem(const char *text, const char *part)
{
    struct config *c = load(text, NULL, 0, NULL);
    char *told = problems(c);
    if (config_problem_count(c) == 0 || !strstr(told, part))
        fail_msg("for <%s> it says <%s>, not <%s>", text, told, part);
    free(told);
    config_close(c);
}

static void expect_fine(const struct config *c)
{
    if (config_problem_count(c) == 0)
        return;
    char *told = problems(c);
    fail_msg("%s", told);
}

static void nothing_at_all_is_a_working_hub(void **state)
{
    (void)state;
    struct config *c = load("", NULL, 0, NULL);
    expect_fine(c);
    const struct relay_config *v = config_values(c);
    assert_string_equal(v->hub.name, "local");
    assert_string_equal(v->listen.client, "127.0.0.1:7001");
    assert_string_equal(v->store.uri, "sqlite:./stoa-data/ledger.db");
    assert_string_equal(v->hub.keys_dir, "./stoa-data/keys");
    assert_string_equal(v->listen.admin, "./stoa-data/admin.sock");
    assert_int_equal(v->limits.entry_bytes, 16384);
    assert_int_equal(v->limits.subscriptions, 50);
    assert_int_equal(v->limits.unsent_bytes, 4 << 20);
    assert_int_equal(v->limits.idle_ms, 120000);
    assert_int_equal(v->limits.entries_a_second, 0);
    assert_int_equal(v->log.level, TRACE_INFO);
    assert_int_equal(v->access.auditors.count, 0);
    static struct relay_config defaults;
    config_defaults(&defaults);
    assert_int_equal(config_diff(&defaults, v, NULL, NULL), 0);
    config_close(c);
}

static void every_type_is_read(void **state)
{
    (void)state;
    struct config *c =
        load("[hub]\nname = \"eu.example\"\nstate_dir = \"/var/lib/stoa\"\n"
             "[listen]\nclient = \"[::1]:0\"\n"
             "[store]\nuri = \"memory:\"\nmin_free_bytes = \"1GiB\"\n"
             "[limits]\nidle_ms = \"1m30s\"\nping_ms = 1000\nframe_bytes = 1_048_576\n"
             "[access]\norigins = [\"https://a.example\", \"https://b.example\"]\n"
             "auditors = "
             "[\"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\"]\n"
             "[log]\nlevel = \"debug\"\nformat = \"json\"\n",
             NULL, 0, NULL);
    expect_fine(c);
    const struct relay_config *v = config_values(c);
    assert_string_equal(v->hub.name, "eu.example");
    assert_string_equal(v->hub.keys_dir, "/var/lib/stoa/keys");
    assert_string_equal(v->store.uri, "memory:");
    assert_int_equal(v->store.min_free_bytes, 1 << 30);
    assert_int_equal(v->limits.idle_ms, 90000);
    assert_int_equal(v->limits.frame_bytes, 1 << 20);
    assert_int_equal(v->access.origins.count, 2);
    assert_string_equal(v->access.origins.item[1], "https://b.example");
    assert_int_equal(v->access.auditors.count, 1);
    assert_int_equal(v->access.auditors.item[0].b[0], 0xd7);
    assert_int_equal(v->log.level, TRACE_DEBUG);
    assert_int_equal(v->log.format, TRACE_JSON);
    config_close(c);
}

static void later_sources_win(void **state)
{
    (void)state;
    write_conf("20-b.toml",
               "[limits]\nsubscriptions = 3\nburst = 30\npage_records = 30\n");
    write_conf("10-a.toml", "[limits]\nsubscriptions = 2\nentries_a_frame = 2\n");
    write_conf("ignored.txt", "not toml at all [");
    write_conf(".hidden.toml", "not toml at all [");
    char *const environment[] = {
        (char[]){"HOME=/nowhere"}, (char[]){"STOAD__LIMITS__BURST=40"},
        (char[]){"STOAD__LIMITS__PAGE_RECORDS=40"},
        (char[]){"STOAD__ACCESS__ORIGINS=https://a,https://b"}, NULL};
    const char *const sets[] = {"limits.page_records=50", "limits.idle_ms=2m"};
    struct config *c =
        load("[limits]\nsubscriptions = 1\nqueue_entries = 1000\n", sets, 2, environment);
    expect_fine(c);
    const struct relay_config *v = config_values(c);
    assert_int_equal(v->limits.queue_entries, 1000); /* file */
    assert_int_equal(v->limits.entries_a_frame, 2);  /* conf.d, first */
    assert_int_equal(v->limits.subscriptions, 3);    /* conf.d, second */
    assert_int_equal(v->limits.burst, 40);           /* environment */
    assert_int_equal(v->limits.page_records, 50);    /* flag */
    assert_int_equal(v->limits.idle_ms, 120000);
    assert_int_equal(v->access.origins.count, 2);

    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    config_show_origin(c, f);
    fclose(f);
    assert_non_null(strstr(text, "stoa.toml:3\n"));
    assert_non_null(strstr(text, "conf.d/20-b.toml:2\n"));
    assert_non_null(strstr(text, "# environment STOAD__LIMITS__BURST\n"));
    assert_non_null(strstr(text, "# --set limits.page_records\n"));
    assert_non_null(strstr(text, "# default\n"));
    assert_non_null(strstr(text, "[\"https://a\", \"https://b\"]"));
    free(text);
    config_close(c);
}

static void an_unknown_key_is_told_with_its_place(void **state)
{
    (void)state;
    struct config *c = load("[limits]\nburst = 5\nsubscritpions = 7\n", NULL, 0, NULL);
    char *told = problems(c);
    char want[600];
    snprintf(
        want, sizeof want,
        "error[T7801] config: unknown key \"subscritpions\" at %s:3:1 \xe2\x80\x94 did "
        "you mean \"subscriptions\"?\n"
        "   3 | subscritpions = 7\n"
        "     | ^^^^^^^^^^^^^\n"
        "1 problem; nothing was applied\n",
        file);
    assert_string_equal(told, want);
    unsigned code;
    const char *text;
    assert_true(config_problem(c, 0, &code, &text));
    assert_int_equal(code, 7801);
    assert_false(config_problem(c, 1, &code, &text));
    free(told);
    config_close(c);
}

static void all_problems_are_told_at_once_in_order(void **state)
{
    (void)state;
    write_conf("a.toml", "[limits\n");
    const char *const sets[] = {"limits.brst=1", "nonsense", "limits.burst=many"};
    char *const environment[] = {(char[]){"STOAD__LIMIT__BURST=1"},
                                 (char[]){"STOAD__ONLY=1"}, NULL};
    struct config *c =
        load("[limits]\nsubscriptions = \"many\"\nburst = 0\n[hub]\nnme = 1\n", sets, 3,
             environment);
    assert_int_equal(config_problem_count(c), 9);
    const unsigned want[] = {7802, 7802, 7801, 7804, 7801, 7806, 7801, 7806, 7802};
    for (size_t i = 0; i < 9; i++) {
        unsigned code;
        const char *text;
        assert_true(config_problem(c, i, &code, &text));
        if (code != want[i])
            fail_msg("problem %zu is T%u: %s", i, code, text);
    }
    char *told = problems(c);
    assert_non_null(strstr(told, "did you mean [limits]?"));
    assert_non_null(strstr(told, "did you mean \"name\"?"));
    assert_non_null(strstr(told, "did you mean \"burst\"?"));
    assert_non_null(strstr(told, "     | limits.burst=many\n     |              ^^^^\n"));
    assert_non_null(strstr(told, "at --set limits.burst"));
    assert_non_null(strstr(told, "9 problems; nothing was applied"));
    free(told);
    config_close(c);
}

static void wrong_values_say_what_is_right(void **state)
{
    (void)state;
    expect_problem("[limits]\nburst = \"5\"\n",
                   "limits.burst must be a number, not text");
    expect_problem("[limits]\nburst = -1\n", "must not be negative");
    expect_problem("[limits]\nburst = 2.5\n", "not a number with a fraction");
    expect_problem("[limits]\nburst = true\n", "not true or false");
    expect_problem("[limits]\nburst = 0\n", "must be 1 to 1000000");
    expect_problem("[limits]\nframe_bytes = \"64KB\"\n", "KiB MiB GiB TiB");
    expect_problem("[limits]\nframe_bytes = \"2MiB\"\n", "must be 4KiB to 1MiB");
    expect_problem("[limits]\nidle_ms = \"5 s\"\n", "\"1m30s\"");
    expect_problem("[limits]\nidle_ms = \"30s1m\"\n", "\"1m30s\"");
    expect_problem("[limits]\nidle_ms = \"2s\"\nping_ms = \"3s\"\n",
                   "limits.ping_ms must be below limits.idle_ms");
    expect_problem("[hub]\nname = \"EU\"\n", "must be of a-z");
    expect_problem("[hub]\nname = 5\n", "must be text, not a number");
    expect_problem("[hub]\nregion = \"a\\u0001b\"\n", "control characters");
    expect_problem("[hub]\nregion = \"a\\u0000b\"\n", "control characters");
    expect_problem("[listen]\nclient = \"7001\"\n", "127.0.0.1:7001");
    expect_problem("[listen]\nclient = \"::1:7001\"\n", "[::1]:7001");
    expect_problem("[listen]\nclient = \"host:70000\"\n", "127.0.0.1:7001");
    expect_problem("[store]\nuri = \"mysql://x\"\n", "must be memory:, sqlite:PATH or postgresql://");
    expect_problem("[keys]\npassphrase = \"hunter2\"\n", "a source, not the passphrase");
    expect_problem("[log]\nlevel = \"loud\"\n", "error, warn, info or debug");
    expect_problem("[log]\nformat = 1\n", "logfmt or json");
    expect_problem("[access]\nauditors = [\"00\"]\n", "element 1 must be a public key");
    expect_problem(
        "[access]\nauditors = "
        "[\"0000000000000000000000000000000000000000000000000000000000000000\"]\n",
        "not a usable");
    expect_problem("[access]\norigins = [1]\n", "element 1 must be text");
    expect_problem("[access]\norigins = \"https://a\"\n", "must be a list");
    expect_problem("hub = 5\n", "\"hub\" is a section: write [hub]");
    expect_problem("burst = 5\n", "did you mean \"burst\" under [limits]?");
    expect_problem("[hub]\nburst = 5\n", "did you mean \"burst\" under [limits]?");
    expect_problem("[zzzzzz]\na = 1\nb = 2\n", "unknown section \"zzzzzz\" at");
    expect_problem("# \u00e9\n[hub]\nname = \"\u00e9\" \u00e9\n", "stoa.toml:3:12");
    expect_problem("\u037f\u037f",
                   "letters beyond ASCII belong inside quotes or comments");
    expect_problem("[=]\n", "error[T7804] config: not TOML");
    expect_problem("[[\005\n", "error[T7804] config: not TOML");
    expect_problem("[hub]\nname = \"a\"\nname = \"b\"\n",
                   "error[T7804] config: not TOML");
    expect_problem("a = [\n", "   1 | a = [\n     |       ^\n");
}

static void a_password_is_never_shown(void **state)
{
    (void)state;
    struct config *c =
        load("[store]\nuri = \"postgresql://stoa:s3cret@db/stoa\"\n", NULL, 0, NULL);
    char *told = problems(c);
    assert_non_null(strstr(told, "store.uri must not hold a password"));
    assert_null(strstr(told, "s3cret"));
    free(told);
    config_close(c);
}

static void a_named_file_must_be_there(void **state)
{
    (void)state;
    struct config_sources s = {.file = "/nowhere/stoa.toml"};
    struct config *c = config_load(&s);
    assert_non_null(c);
    unsigned code;
    const char *text;
    assert_true(config_problem(c, 0, &code, &text));
    assert_int_equal(code, 7805);
    config_close(c);
    s.file = top; /* a folder */
    c = config_load(&s);
    assert_non_null(c);
    assert_true(config_problem(c, 0, &code, &text));
    assert_int_equal(code, 7805);
    config_close(c);
}

static void more_problems_than_are_kept_are_counted(void **state)
{
    (void)state;
    char text[8192] = "[hub]\n";
    for (int i = 0; i < 100; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "wrong_%d = 1\n", i);
    struct config *c = load(text, NULL, 0, NULL);
    assert_int_equal(config_problem_count(c), 100);
    char *told = problems(c);
    assert_non_null(strstr(told, "100 problems, the first 64 shown"));
    free(told);
    config_close(c);
}

static void the_printed_default_loads_to_the_defaults(void **state)
{
    (void)state;
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    config_print_default(f);
    fclose(f);
    struct config_sources s = {.file = file};
    struct config *c = config_load(&s);
    assert_non_null(c);
    expect_fine(c);
    static struct relay_config defaults;
    config_defaults(&defaults);
    assert_int_equal(config_diff(&defaults, config_values(c), NULL, NULL), 0);
    config_close(c);
}

static void collect(void *context, const char *section, const char *key, bool restart)
{
    char *text = context;
    snprintf(text + strlen(text), 256 - strlen(text), "%s.%s%s ", section, key,
             restart ? "!" : "");
}

static void a_reload_takes_over_what_it_may(void **state)
{
    (void)state;
    static struct relay_config running;
    config_defaults(&running);
    struct config *c = load("[hub]\nregion = \"eu\"\n[limits]\nburst = 7\n[access]\n"
                            "origins = [\"https://a\"]\n",
                            NULL, 0, NULL);
    expect_fine(c);
    char changed[256] = "";
    assert_int_equal(config_diff(&running, config_values(c), collect, changed), 3);
    assert_string_equal(changed, "hub.region! limits.burst access.origins ");
    config_apply_reload(&running, config_values(c));
    assert_int_equal(running.limits.burst, 7);
    assert_string_equal(running.access.origins.item[0], "https://a");
    assert_string_equal(running.hub.region, "local");
    config_close(c);
}

static void addresses_are_taken_apart(void **state)
{
    (void)state;
    char host[CONFIG_TEXT_MAX];
    uint16_t port;
    assert_true(config_address("[::1]:65535", host, &port));
    assert_string_equal(host, "::1");
    assert_int_equal(port, 65535);
    assert_true(config_address("hub.example:0", host, &port));
    assert_string_equal(host, "hub.example");
    assert_false(config_address("hub.example", host, &port));
    assert_false(config_address(":7001", host, &port));
    assert_false(config_address("a b:7001", host, &port));
    assert_false(config_address("[]:7001", host, &port));
    assert_false(config_address("host:-1", host, &port));
    assert_false(config_address("host:", host, &port));
}

int main(void)
{
    if (!crypto_start())
        return 1;
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(nothing_at_all_is_a_working_hub),
        TEST(every_type_is_read),
        TEST(later_sources_win),
        TEST(an_unknown_key_is_told_with_its_place),
        TEST(all_problems_are_told_at_once_in_order),
        TEST(wrong_values_say_what_is_right),
        TEST(a_password_is_never_shown),
        TEST(a_named_file_must_be_there),
        TEST(more_problems_than_are_kept_are_counted),
        TEST(the_printed_default_loads_to_the_defaults),
        TEST(a_reload_takes_over_what_it_may),
        TEST(addresses_are_taken_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
