/* Two relays on one ledger; sessions, servers and statements that fail. After each the
 * ledger is compared with the model: never a double, never a loss. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "ledger/store_postgres.h"
#include "tests/integration/postgres/edge.h"
#include "tests/lib/clock.h"

#define SLOT 3u

/* In another process: take the slot, append `records` to what the model knows. The exit
 * code is 0, or the error of the claim. */
static int other_process(struct suite *s, size_t records)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        struct store *mine = NULL;
        struct feed_append f;
        enum store_outcome outcome = STORE_UNKNOWN;
        uint64_t epoch = 0;
        if (store_open(s->uri, &mine, NULL) != ERR_OK)
            _exit(100);
        enum err e = mine->ops->claim(mine, SLOT, &epoch);
        if (e != ERR_OK)
            _exit(e == ERR_LOCKED ? 1 : 2);
        s->slot[SLOT].feed.epoch = epoch;
        suite_make(s, &f, SLOT, records);
        mine->ops->append(mine, &f.a, 1, &outcome);
        mine->ops->close(mine);
        _exit(outcome == STORE_COMMITTED ? 0 : 3);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_slot_has_one_owner_and_a_new_one_fences_it_alone(void **state)
{
    struct suite *s = *state;
    static struct feed_append f[3];
    struct store_append a[3];
    enum store_outcome outcome[3];
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(suite_append(s, SLOT - 1 + i, 7), STORE_COMMITTED);
    assert_int_equal(other_process(s, 5), 1); /* we live: the slot is ours */
    for (uint32_t i = 0; i < 3; i++) {
        suite_make(s, &f[i], SLOT - 1 + i, 4);
        a[i] = f[i].a;
    }
    uint64_t salt = s->salt;
    edge_cut_all(s); /* as if we had been paused for long: what we owned is free */
    assert_int_equal(other_process(s, 5), 0);
    s->store->ops->append(s->store, a, 3, outcome); /* a zombie, on a new session */
    assert_int_equal(outcome[0], STORE_COMMITTED);
    assert_int_equal(outcome[1], STORE_LOST);
    assert_int_equal(outcome[2], STORE_COMMITTED);
    suite_commit(s, &f[0]);
    suite_commit(s, &f[2]);
    for (size_t i = 0; i < 3; i++)
        feed_close(&f[i]);
    s->salt = salt; /* the same bytes the other process wrote */
    s->slot[SLOT].feed.epoch = 2;
    suite_make(s, &f[1], SLOT, 5);
    suite_commit(s, &f[1]);
    feed_close(&f[1]);
    suite_check_all(s);
    suite_check_lookups(s, SLOT, 1);
    uint64_t epoch = 0;
    assert_int_equal(s->store->ops->claim(s->store, SLOT, &epoch), ERR_OK);
    assert_int_equal(epoch, 3);
}

static void sessions_that_were_cut_are_made_anew(void **state)
{
    struct suite *s = *state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(suite_append(s, 1, 9), STORE_COMMITTED);
        edge_cut_all(s);
        /* Before COMMIT nothing counts, so the append is said again by itself. */
        assert_int_equal(suite_append(s, 1, 9), STORE_COMMITTED);
        suite_check_slot(s, 1);
        assert_int_equal(other_process(s, 5), 1); /* the new session owns them again */
        edge_cut_all(s);
        suite_check_lookups(s, 1, 1);
    }
    suite_check_all(s);
}

static struct postgres_reader *open_reader(struct suite *s)
{
    struct store_reader *r = NULL;
    assert_int_equal(postgres_reader_open(s->store, &r), ERR_OK);
    return postgres_reader_of(r);
}

/* Between two reads, and between two questions of one. */
static bool cut_at_300(void *context, const struct record *r, const struct hash *account)
{
    struct suite *s = context;
    (void)account;
    if (r->index == 300)
        edge_cut_all(s);
    return true;
}

static void a_read_is_asked_again_when_its_session_has_died(void **state)
{
    struct suite *s = *state;
    struct postgres_reader *r = open_reader(s);
    struct store_slot slot;
    assert_int_equal(suite_append(s, 1, 900), STORE_COMMITTED);
    assert_int_equal(r->base.ops->slot(&r->base, 1, &slot), ERR_OK);
    for (uint32_t i = 2; i < 5; i++) {
        edge_cut_all(s);
        assert_int_equal(r->base.ops->slot(&r->base, 1, &slot), ERR_OK);
        assert_int_equal(slot.size, 900);
        assert_int_equal(r->link.sessions, i);
    }
    assert_int_equal(r->base.ops->records(&r->base, 1, 0, 900, cut_at_300, s), ERR_OK);
    assert_int_equal(r->link.sessions, 5);
    r->base.ops->close(&r->base);
}

/* A reader that was refused often enough to be patient for longer than it takes here. */
static void a_reader_is_not_patient_with_a_server_that_is_back(void **state)
{
    struct suite *s = *state;
    struct postgres_reader *r = open_reader(s);
    struct store_slot slot;
    assert_int_equal(suite_append(s, 1, 9), STORE_COMMITTED);
    assert_int_equal(r->base.ops->slot(&r->base, 1, &slot), ERR_OK);
    pgproc_stop(suite_server(), SIGINT);
    assert_int_equal(r->base.ops->slot(&r->base, 1, &slot), ERR_STORE);
    assert_true(r->link.retry_at_ms > 0);
    r->link.retry_at_ms += 60000;
    assert_true(pgproc_start(suite_server()));
    uint32_t failures = r->link.failures;
    assert_int_equal(r->base.ops->slot(&r->base, 1, &slot), ERR_STORE); /* nobody has heard it */
    assert_int_equal(r->link.failures, failures);
    for (int i = 0; i < 200 && suite_append(s, 1, 9) != STORE_COMMITTED; i++)
        edge_nap(50);
    assert_int_equal(r->base.ops->slot(&r->base, 1, &slot), ERR_OK);
    assert_true(slot.size >= 18);
    r->base.ops->close(&r->base);
}

static pid_t backend_that_said(const struct suite *s, const char *words)
{
    char sql[200], out[40];
    snprintf(sql, sizeof sql,
             "SELECT pid FROM pg_stat_activity WHERE application_name = 'stoa'"
             " AND query LIKE '%%%s%%' LIMIT 1",
             words);
    assert_true(pgproc_sql(suite_server(), suite_database(s), sql, out, sizeof out));
    pid_t backend = (pid_t)atoi(out);
    assert_true(backend > 1);
    return backend;
}

struct asked {
    struct postgres_reader *r;
    enum err e;
    uint64_t took_ms;
};

static void *ask_slot(void *context)
{
    struct asked *a = context;
    struct store_slot slot;
    uint64_t began = mono_ms();
    a->e = a->r->base.ops->slot(&a->r->base, 1, &slot);
    a->took_ms = mono_ms() - began;
    return NULL;
}

/* A session that is there and says nothing is waited for with a deadline, and replaced. A reader's
 * question is not asked again then: who asked has waited long enough. */
static void a_session_that_hangs_is_given_up(void **state)
{
    struct suite *s = *state;
    struct store_slot slot;
    struct asked asked = {.r = open_reader(s)};
    struct postgres_reader *r = asked.r;
    pthread_t asker;
    assert_int_equal(suite_append(s, 1, 9), STORE_COMMITTED);
    assert_int_equal(r->base.ops->slot(&r->base, 1, &slot), ERR_OK);
    pid_t backend = backend_that_said(s, "COMMIT"), of_reader = backend_that_said(s, "edges");
    assert_int_equal(kill(backend, SIGSTOP), 0);
    assert_int_equal(kill(of_reader, SIGSTOP), 0);
    assert_int_equal(pthread_create(&asker, NULL, ask_slot, &asked), 0);
    uint64_t began = mono_ms();
    enum store_outcome outcome = suite_append(s, 1, 9);
    uint64_t took = mono_ms() - began;
    assert_int_equal(pthread_join(asker, NULL), 0);
    assert_int_equal(kill(backend, SIGCONT), 0);
    assert_int_equal(kill(of_reader, SIGCONT), 0);
    assert_int_equal(asked.e, ERR_STORE);
    assert_in_range(asked.took_ms, POSTGRES_ANSWER_MS, POSTGRES_ANSWER_MS + 4000);
    assert_int_equal(r->base.ops->slot(&r->base, 1, &slot), ERR_OK);
    r->base.ops->close(&r->base);
    assert_int_equal(outcome, STORE_COMMITTED); /* COMMIT had not been sent to it */
    assert_true(took >= POSTGRES_ANSWER_MS && took < POSTGRES_ANSWER_MS + 4000);
    edge_nap(200);
    suite_check_all(s);
    suite_check_lookups(s, 1, 1);
}

/* The whole server goes down as in a crash and comes back: no restart of ours. */
static void a_server_that_was_away_is_used_again(void **state)
{
    struct suite *s = *state;
    struct store_slot slot;
    uint64_t epoch = 0;
    struct feed_append f;
    enum store_outcome outcome = STORE_COMMITTED;
    assert_int_equal(suite_append(s, 5, 300), STORE_COMMITTED);
    pgproc_stop(suite_server(), SIGQUIT);
    suite_make(s, &f, 5, 20);
    s->store->ops->append(s->store, &f.a, 1, &outcome);
    assert_int_equal(outcome, STORE_UNKNOWN);
    assert_int_equal(s->store->ops->claim(s->store, 5, &epoch), ERR_STORE);
    assert_int_equal(s->store->ops->slot(s->store, 5, &slot), ERR_STORE);
    assert_int_equal(s->reader->ops->slot(s->reader, 5, &slot), ERR_STORE);
    edge_nap(1100);
    assert_int_equal(s->store->ops->maintain(s->store), ERR_STORE);
    assert_true(pgproc_start(suite_server()));
    for (int i = 0; i < 100 && s->store->ops->maintain(s->store) != ERR_OK; i++)
        edge_nap(50);
    assert_int_equal(s->store->ops->maintain(s->store), ERR_OK);
    s->store->ops->append(s->store, &f.a, 1, &outcome); /* nothing of it was written */
    assert_int_equal(outcome, STORE_COMMITTED);
    suite_commit(s, &f);
    feed_close(&f);
    suite_check_all(s);
    suite_check_lookups(s, 5, 3);
}

/* The next `turns` appends' first statement ends with this SQLSTATE. */
static void arm(const struct suite *s, const char *sqlstate, int turns)
{
    char sql[900];
    snprintf(
        sql, sizeof sql,
        "DROP TRIGGER IF EXISTS trip ON stoa.slot; DROP SEQUENCE IF EXISTS public.turn;"
        "CREATE SEQUENCE public.turn;"
        "CREATE OR REPLACE FUNCTION public.trip() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF nextval('public.turn') <= %d THEN RAISE EXCEPTION 'trip'"
        " USING ERRCODE = '%s'; END IF; RETURN NULL; END $$;"
        "CREATE TRIGGER trip AFTER UPDATE ON stoa.slot FOR EACH STATEMENT"
        " EXECUTE FUNCTION public.trip()",
        turns, sqlstate);
    edge_sql(s, sql);
}

static int turns_taken(const struct suite *s)
{
    char out[40];
    assert_true(pgproc_sql(suite_server(), suite_database(s),
                           "SELECT last_value FROM public.turn", out, sizeof out));
    return atoi(out);
}

static void conflicts_are_tried_again_a_few_times(void **state)
{
    struct suite *s = *state;
    static const char *const states[] = {"40001", "40P01", "55P03"};
    for (size_t i = 0; i < 3; i++) {
        arm(s, states[i], 2);
        assert_int_equal(suite_append(s, 2, 5), STORE_COMMITTED);
        assert_int_equal(turns_taken(s), 3);
        arm(s, states[i], 1000);
        assert_int_equal(suite_append(s, 2, 5), STORE_UNKNOWN);
        assert_true(turns_taken(s) <= 6);
        edge_sql(s, "DROP TRIGGER trip ON stoa.slot");
        suite_check_slot(s, 2);
    }
    suite_reopen(s);
    suite_check_all(s);
}

/* Real locks and a statement that takes too long, not their SQLSTATE alone. */
static void a_lock_is_waited_for_and_a_slow_statement_given_up(void **state)
{
    struct suite *s = *state;
    pid_t holder = fork();
    if (holder == 0) {
        bool held = pgproc_sql(suite_server(), suite_database(s),
                               "BEGIN; SELECT FROM stoa.slot WHERE slot = 2 FOR UPDATE;"
                               " SELECT pg_sleep(4); COMMIT",
                               NULL, 0);
        _exit(held ? 0 : 1);
    }
    char holds[16] = "";
    for (int i = 0; i < 400 && holds[0] != '1'; i++, edge_nap(20))
        assert_true(pgproc_sql(suite_server(), suite_database(s),
                               "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'"
                               " AND query LIKE '%pg_sleep(4); COMMIT' AND wait_event = 'PgSleep'",
                               holds, sizeof holds));
    assert_int_equal(holds[0], '1');
    uint64_t began = pg_now_ms();
    assert_int_equal(suite_append(s, 2, 5), STORE_COMMITTED);
    assert_in_range(pg_now_ms() - began, 1000, 9000); /* it stood in line, more than once */
    int status;
    assert_int_equal(waitpid(holder, &status, 0), holder);
    assert_int_equal(status, 0);
    edge_sql(s, "CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$;"
                "CREATE TRIGGER dawdle AFTER INSERT ON stoa.record FOR EACH STATEMENT"
                " EXECUTE FUNCTION public.dawdle()");
    began = pg_now_ms();
    assert_int_equal(suite_append(s, 2, 5), STORE_UNKNOWN); /* and never sent again */
    assert_in_range(pg_now_ms() - began, POSTGRES_STATEMENT_MS - 500, POSTGRES_ANSWER_MS + 8000);
    edge_sql(s, "DROP TRIGGER dawdle ON stoa.record");
    suite_check_slot(s, 2);
    assert_int_equal(suite_append(s, 2, 5), STORE_COMMITTED);
    suite_check_all(s);
}

static void a_full_disk_there_is_a_full_store_here(void **state)
{
    struct suite *s = *state;
    struct feed_append f;
    enum store_outcome outcome = STORE_COMMITTED;
    uint64_t epoch = 0;
    suite_make(s, &f, 4, 30);
    arm(s, "53100", 1000);
    for (int i = 0; i < 3; i++) {
        s->store->ops->append(s->store, &f.a, 1, &outcome);
        assert_int_equal(outcome, STORE_FULL);
        suite_check_slot(s, 4);
    }
    assert_int_equal(s->store->ops->claim(s->store, 4, &epoch), ERR_STORE_FULL);
    edge_sql(s, "DROP TRIGGER trip ON stoa.slot");
    s->store->ops->append(s->store, &f.a, 1, &outcome);
    assert_int_equal(outcome, STORE_COMMITTED);
    suite_commit(s, &f);
    feed_close(&f);
    suite_check_all(s);
}

static void an_io_error_there_breaks_the_store_here(void **state)
{
    struct suite *s = *state;
    struct store_slot slot;
    arm(s, "58030", 1);
    assert_int_equal(suite_append(s, 4, 3), STORE_BROKEN);
    assert_int_equal(s->store->ops->slot(s->store, 4, &slot), ERR_IO);
    assert_int_equal(s->reader->ops->slot(s->reader, 4, &slot), ERR_IO);
    suite_reopen(s);
    suite_check_all(s);
}

/* A server that writes less than it was given, or has what it should not have. */
static void fewer_rows_than_sent_commit_nothing(void **state)
{
    struct suite *s = *state;
    assert_int_equal(suite_append(s, 6, 10), STORE_COMMITTED);
    edge_sql(s, "CREATE FUNCTION public.swallow() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN IF NEW.idx = 13 THEN RETURN NULL; END IF; RETURN NEW; END $$;"
                "CREATE TRIGGER swallow BEFORE INSERT ON stoa.record FOR EACH ROW"
                " EXECUTE FUNCTION public.swallow()");
    assert_int_equal(suite_append(s, 6, 10), STORE_UNKNOWN);
    suite_check_slot(s, 6);
    edge_sql(s, "DROP TRIGGER swallow ON stoa.record;"
                "INSERT INTO stoa.record SELECT slot, 14, 77, 1, 1, account,"
                " account, account_head, leaf_hash, envelope FROM stoa.record"
                " WHERE slot = 6 AND idx = 0");
    assert_int_equal(suite_append(s, 6, 10), STORE_UNKNOWN); /* index 14 is taken */
    suite_check_slot(s, 6);
    edge_sql(s, "DELETE FROM stoa.record WHERE slot = 6 AND idx = 14");
    assert_int_equal(suite_append(s, 6, 10), STORE_COMMITTED);
    suite_check_all(s);
    suite_check_lookups(s, 6, 1);
}

static bool any(void *context, const struct record *r, const struct hash *account)
{
    (void)context;
    (void)r;
    (void)account;
    return true;
}

static void damage_is_an_error_and_not_an_answer(void **state)
{
    struct suite *s = *state;
    static const char *const harm[] = {
        "UPDATE stoa.record SET hub_lamport = hub_lamport + 1 WHERE slot = 2 AND idx = "
        "40",
        "UPDATE stoa.record SET hub_time_ms = hub_time_ms + 1 WHERE slot = 2 AND idx = "
        "40",
        "UPDATE stoa.record SET account_head = leaf_hash WHERE slot = 2 AND idx = 40",
        "UPDATE stoa.record SET leaf_hash = account_head WHERE slot = 2 AND idx = 40",
        ("UPDATE stoa.record SET envelope = set_byte(envelope, 70, get_byte(envelope, "
         "70) # 1)"
         " WHERE slot = 2 AND idx = 40"),
        "DELETE FROM stoa.record WHERE slot = 2 AND idx = 40"};
    assert_int_equal(suite_append(s, 2, 600), STORE_COMMITTED);
    edge_sql(s, "CREATE TABLE public.kept AS SELECT * FROM stoa.record WHERE slot = 2"
                " AND idx = 40");
    for (size_t i = 0; i < sizeof harm / sizeof *harm; i++) {
        edge_sql(s, harm[i]);
        assert_int_equal(s->reader->ops->records(s->reader, 2, 0, 600, any, NULL),
                         ERR_CORRUPT);
        assert_int_equal(s->reader->ops->records(s->reader, 2, 41, 600, any, NULL),
                         ERR_OK);
        edge_sql(s, "DELETE FROM stoa.record WHERE slot = 2 AND idx = 40;"
                    "INSERT INTO stoa.record SELECT * FROM public.kept");
    }
    suite_check_slot(s, 2);
    struct hash out[TILE_HASHES];
    edge_sql(s, "UPDATE stoa.tile SET hashes = set_byte(hashes, 99, 255 -"
                " get_byte(hashes, 99)) WHERE slot = 2 AND n = 1");
    assert_int_equal(s->reader->ops->tile(s->reader, 2, 0, 1, 256, out), ERR_CORRUPT);
    assert_int_equal(s->reader->ops->tile(s->reader, 2, 0, 0, 256, out), ERR_OK);
}

static int all(void)
{
#define EDGE(test) cmocka_unit_test_setup_teardown(test, suite_setup, suite_teardown)
    const struct CMUnitTest tests[] = {
        EDGE(a_slot_has_one_owner_and_a_new_one_fences_it_alone),
        EDGE(sessions_that_were_cut_are_made_anew),
        EDGE(a_read_is_asked_again_when_its_session_has_died),
        EDGE(a_reader_is_not_patient_with_a_server_that_is_back),
        EDGE(a_session_that_hangs_is_given_up),
        EDGE(a_server_that_was_away_is_used_again),
        EDGE(conflicts_are_tried_again_a_few_times),
        EDGE(a_lock_is_waited_for_and_a_slow_statement_given_up),
        EDGE(a_full_disk_there_is_a_full_store_here),
        EDGE(an_io_error_there_breaks_the_store_here),
        EDGE(fewer_rows_than_sent_commit_nothing),
        EDGE(damage_is_an_error_and_not_an_answer),
    };
    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}

int main(void)
{
    return edge_main(all);
}
