/* A relay on a real Postgres whose server is locked, slow to commit, and away: `why` names
 * it, and the command it says to type mends it. */
#include "tests/integration/hub.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "tests/integration/ops/kit.h"
#include "tests/lib/pgproc.h"

static struct hubproc hub;
static struct pgproc server;
static struct wirekit k;
static struct person p;

static int setup(void **state)
{
    char uri[256];
    (void)state;
    assert_true(crypto_start());
    if (!pgproc_open(&server) || !pgproc_database(&server, "stoa"))
        fail_msg("%s", server.why);
    assert_true(hubproc_open(&hub, false));
    pgproc_uri(&server, "stoa", 0, uri, sizeof(uri));
    hubproc_set(&hub, "store.uri=%s", uri);
    ops_socket(&hub);
    if (!hubproc_init(&hub))
        fail_msg("stoad init: %s", hub.why);
    hub_start(&hub);
    assert_true(wirekit_open(&k, hub.port, NULL));
    open_account(&k, &p, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ops_close();
    wirekit_close(&k);
    person_free(&p);
    hubproc_signal(&hub, SIGTERM);
    int code = hubproc_wait(&hub, 30000);
    hubproc_close(&hub);
    pgproc_close(&server);
    return code == 0 ? 0 : -1;
}

/* Someone's psql, as long as it takes. */
static void *hold_lock(void *context)
{
    (void)context;
    (void)!pgproc_sql(&server, "stoa",
                      "BEGIN; LOCK TABLE stoa.slot IN ACCESS EXCLUSIVE MODE;"
                      " SELECT pg_sleep(60)",
                      NULL, 0);
    return NULL;
}

static void submit_note(void)
{
    struct bytes b;
    person_note(&p, 30);
    b = person_bytes(&p);
    assert_true(wirekit_submit(&k, &b, 1, 0));
}

/* The same bytes again until they are in: 0 is accepted, with `duplicate` or without. */
static void submit_until_accepted(void)
{
    struct wire_result r = {.code = 1};
    for (int i = 0; i < 100 && r.code != 0; i++, ops_nap(100))
        assert_true(wirekit_submit_one(&k, person_bytes(&p), &r));
    assert_int_equal(r.code, 0);
}

static void a_lock_is_named_and_the_command_ends_it(void **state)
{
    pthread_t psql;
    char sql[100];
    (void)state;
    (void)ops_expect(&hub, "");
    assert_int_equal(pthread_create(&psql, NULL, hold_lock, NULL), 0);
    for (int i = 0; i < 100; i++, ops_nap(50)) {
        char out[64] = "";
        if (pgproc_sql(&server, "stoa",
                       "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock'"
                       " AND granted AND relation = 'stoa.slot'::regclass",
                       out, sizeof(out)) &&
            strcmp(out, "1") == 0)
            break;
    }
    submit_note();
    const json_t *f = ops_expect(&hub, "store_lock");
    assert_non_null(strstr(ops_text(f, "said"), PGPROC_USER));
    assert_non_null(strstr(ops_text(f, "seen"), "LOCK TABLE stoa.slot"));
    /* psql -c 'SELECT pg_cancel_backend(N)': as it is told. */
    const char *said = strstr(ops_try(f, 0), "SELECT pg_cancel_backend(");
    assert_non_null(said);
    snprintf(sql, sizeof(sql), "%.*s", (int)strcspn(said, "'"), said);
    assert_true(pgproc_sql(&server, "stoa", sql, NULL, 0));
    pthread_join(psql, NULL);
    assert_true(wirekit_expect(&k, WIRE_RESULTS, 30000));
    submit_until_accepted();
    (void)ops_expect(&hub, "");
}

/* The server is there and answers; only what commits need is slow. */
static void a_slow_server_is_named(void **state)
{
    static const char slow[] =
        "CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_sleep(1.5); RETURN NULL; END';"
        "CREATE TRIGGER dawdle AFTER INSERT ON stoa.record FOR EACH STATEMENT"
        " EXECUTE FUNCTION public.dawdle()";
    (void)state;
    (void)ops_expect(&hub, "");
    if (!pgproc_sql(&server, "stoa", slow, NULL, 0))
        fail_msg("%s", server.why);
    submit_note();
    const json_t *f = ops_expect(&hub, "store_slow");
    assert_non_null(strstr(ops_text(f, "said"), "Postgres"));
    assert_non_null(strstr(ops_try(f, 0), "pg_stat_activity"));
    assert_true(pgproc_sql(&server, "stoa", "DROP FUNCTION public.dawdle() CASCADE", NULL,
                           0));
    assert_true(wirekit_expect(&k, WIRE_RESULTS, 30000));
    submit_until_accepted();
    (void)ops_expect(&hub, "");
}

static void a_server_that_is_away_is_named_and_its_return_seen(void **state)
{
    (void)state;
    pgproc_stop(&server, SIGQUIT);
    submit_note();
    const json_t *f = ops_expect(&hub, "store_away");
    assert_non_null(strstr(ops_try(f, 0), "pg_isready"));
    json_t *lag = ops_ask(&hub, "lag");
    json_decref(lag);
    if (!pgproc_start(&server))
        fail_msg("%s", server.why);
    assert_true(wirekit_expect(&k, WIRE_RESULTS, 30000));
    submit_until_accepted();
    (void)ops_expect(&hub, "");
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
