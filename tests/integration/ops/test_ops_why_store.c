/* A relay on a real Postgres whose server is locked, slow to commit, and away: `why` names
 * it, and the command it says to type mends it. */
#include "tests/integration/hub.h"

#include <signal.h>
#include <stdio.h>

#include "tests/integration/ops/server.h"

static struct ops_writer w;
static struct pgproc server;

static int setup(void **state)
{
    char uri[256];
    (void)state;
    assert_true(crypto_start());
    if (!pgproc_open(&server) || !pgproc_database(&server, "stoa"))
        fail_msg("%s", server.why);
    pgproc_uri(&server, "stoa", 0, uri, sizeof(uri));
    ops_writer_open(&w, uri);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    int code = ops_writer_close(&w);
    pgproc_close(&server);
    return code == 0 ? 0 : -1;
}

static void a_lock_is_named_and_the_command_ends_it(void **state)
{
    struct ops_lock lock;
    (void)state;
    (void)ops_expect(&w.hub, "");
    ops_lock_begin(&lock, &server);
    ops_submit_note(&w);
    ops_lock_ended_by(&lock, ops_expect(&w.hub, "store_lock"));
    ops_well_again(&w);
}

/* The server is there and answers; only what commits need is slow. */
static void a_slow_server_is_named(void **state)
{
    (void)state;
    (void)ops_expect(&w.hub, "");
    ops_slow(&server, true);
    ops_submit_note(&w);
    const json_t *f = ops_expect(&w.hub, "store_slow");
    assert_non_null(strstr(ops_text(f, "said"), "Postgres"));
    assert_non_null(strstr(ops_try(f, 0), "pg_stat_activity"));
    ops_slow(&server, false);
    ops_well_again(&w);
}

static void a_server_that_is_away_is_named_and_its_return_seen(void **state)
{
    (void)state;
    pgproc_stop(&server, SIGQUIT);
    ops_submit_note(&w);
    const json_t *f = ops_expect(&w.hub, "store_away");
    assert_non_null(strstr(ops_try(f, 0), "pg_isready"));
    json_t *lag = ops_ask(&w.hub, "lag");
    json_decref(lag);
    if (!pgproc_start(&server))
        fail_msg("%s", server.why);
    ops_well_again(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lock_is_named_and_the_command_ends_it),
        cmocka_unit_test(a_slow_server_is_named),
        cmocka_unit_test(a_server_that_is_away_is_named_and_its_return_seen),
    };
    if (!pgproc_there()) {
        printf("skipped: no postgres\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, setup, teardown);
}
