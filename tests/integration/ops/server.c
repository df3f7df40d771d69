#include "tests/integration/hub.h"

#include <signal.h>
#include <stdio.h>

#include "tests/integration/ops/server.h"

void ops_writer_open(struct ops_writer *w, const char *store)
{
    assert_true(hubproc_open(&w->hub, false));
    hubproc_set(&w->hub, "store.uri=%s", store);
    ops_socket(&w->hub);
    if (!hubproc_init(&w->hub))
        fail_msg("stoad init: %s", w->hub.why);
    hub_start(&w->hub);
    assert_true(wirekit_open(&w->k, w->hub.port, NULL));
    open_account(&w->k, &w->p, 1);
}

int ops_writer_close(struct ops_writer *w)
{
    ops_close();
    wirekit_close(&w->k);
    person_free(&w->p);
    hubproc_signal(&w->hub, SIGTERM);
    int code = hubproc_wait(&w->hub, 30000);
    hubproc_close(&w->hub);
    return code;
}

void ops_submit_note(struct ops_writer *w)
{
    struct bytes b;
    person_note(&w->p, 30);
    b = person_bytes(&w->p);
    assert_true(wirekit_submit(&w->k, &b, 1, 0));
}

/* The same bytes again until they are in: 0 is accepted, with `duplicate` or without. */
static void submit_until_accepted(struct ops_writer *w)
{
    struct wire_result r = {.code = 1};
    for (int i = 0; i < 100 && r.code != 0; i++, ops_nap(100))
        assert_true(wirekit_submit_one(&w->k, person_bytes(&w->p), &r));
    assert_int_equal(r.code, 0);
}

void ops_well_again(struct ops_writer *w)
{
    assert_true(wirekit_expect(&w->k, WIRE_RESULTS, 30000));
    submit_until_accepted(w);
    (void)ops_expect(&w->hub, "");
}

/* Someone's psql, as long as it takes. */
static void *hold_lock(void *context)
{
    (void)!pgproc_sql(context, "stoa",
                      "BEGIN; LOCK TABLE stoa.slot IN ACCESS EXCLUSIVE MODE;"
                      " SELECT pg_sleep(60)",
                      NULL, 0);
    return NULL;
}

void ops_lock_begin(struct ops_lock *l, struct pgproc *server)
{
    char out[64] = "";
    l->server = server;
    assert_int_equal(pthread_create(&l->psql, NULL, hold_lock, server), 0);
    for (int i = 0; i < 100 && strcmp(out, "1") != 0; i++, ops_nap(50))
        assert_true(pgproc_sql(server, "stoa",
                               "SELECT count(*) FROM pg_locks WHERE granted AND mode ="
                               " 'AccessExclusiveLock' AND relation = 'stoa.slot'::regclass",
                               out, sizeof(out)));
    assert_string_equal(out, "1");
}

void ops_lock_ended_by(struct ops_lock *l, const json_t *finding)
{
    char sql[100];
    assert_non_null(strstr(ops_text(finding, "said"), PGPROC_USER));
    assert_non_null(strstr(ops_text(finding, "seen"), "LOCK TABLE stoa.slot"));
    /* psql -c 'SELECT pg_cancel_backend(N)': as it is told. */
    const char *said = strstr(ops_try(finding, 0), "SELECT pg_cancel_backend(");
    assert_non_null(said);
    snprintf(sql, sizeof(sql), "%.*s", (int)strcspn(said, "'"), said);
    assert_true(pgproc_sql(l->server, "stoa", sql, NULL, 0));
    pthread_join(l->psql, NULL);
}

void ops_slow(struct pgproc *server, bool on)
{
    static const char slow[] =
        "CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_sleep(1.5); RETURN NULL; END';"
        "CREATE TRIGGER dawdle AFTER INSERT ON stoa.record FOR EACH STATEMENT"
        " EXECUTE FUNCTION public.dawdle()";
    if (!pgproc_sql(server, "stoa", on ? slow : "DROP FUNCTION public.dawdle() CASCADE", NULL, 0))
        fail_msg("%s", server->why);
}

void ops_full(struct pgproc *server, bool on)
{
    static const char full[] =
        "CREATE FUNCTION public.no_room() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END$$;"
        "CREATE TRIGGER no_room AFTER INSERT ON stoa.record FOR EACH STATEMENT"
        " EXECUTE FUNCTION public.no_room()";
    if (!pgproc_sql(server, "stoa", on ? full : "DROP FUNCTION public.no_room() CASCADE", NULL, 0))
        fail_msg("%s", server->why);
}
