/* Which servers, schemas and roles will do; that nobody can write a double; that every
 * hot question goes by an index. */
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "ledger/store_postgres.h"
#include "ledger/store_postgres_move.h"
#include "ledger/store_postgres_schema.h"
#include "tests/integration/postgres/edge.h"

static void a_standby_is_refused(void **state)
{
    struct suite *s = *state;
    char path[400];
    assert_int_equal(suite_append(s, 1, 5), STORE_COMMITTED);
    pgproc_stop(suite_server(), SIGINT);
    snprintf(path, sizeof path, "%s/data/standby.signal", suite_server()->dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    (void)chmod(path, 0666);
    assert_true(pgproc_start(suite_server()));
    edge_nap(500);
    edge_open_fails(s, ERR_CONFIG, "standby");
    assert_int_equal(suite_append(s, 1, 5), STORE_UNKNOWN);
    pgproc_stop(suite_server(), SIGINT);
    assert_int_equal(unlink(path), 0);
    assert_true(pgproc_start(suite_server()));
    suite_reopen(s);
    suite_check_all(s);
    assert_int_equal(suite_append(s, 1, 5), STORE_COMMITTED);
}

static void a_read_only_server_is_refused(void **state)
{
    struct suite *s = *state;
    char sql[200];
    snprintf(sql, sizeof sql, "ALTER DATABASE %s SET default_transaction_read_only = on",
             suite_database(s));
    edge_sql(s, sql);
    edge_open_fails(s, ERR_CONFIG, "read-only");
}

static void a_server_without_fsync_is_refused(void **state)
{
    struct suite *s = *state;
    edge_sql(s, "ALTER SYSTEM SET fsync = off");
    edge_sql(s, "SELECT pg_reload_conf()");
    edge_nap(300);
    edge_open_fails(s, ERR_CONFIG, "fsync");
    edge_sql(s, "ALTER SYSTEM RESET fsync");
    edge_sql(s, "SELECT pg_reload_conf()");
    edge_nap(300);
    suite_reopen(s);
}

static void lazy_commits_are_made_durable(void **state)
{
    struct suite *s = *state;
    char sql[200], out[64];
    snprintf(sql, sizeof sql, "ALTER DATABASE %s SET synchronous_commit = off",
             suite_database(s));
    edge_sql(s, sql);
    edge_sql(s,
             "CREATE TABLE public.seen(v text);"
             "CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
             " INSERT INTO public.seen VALUES (current_setting('synchronous_commit'));"
             " RETURN NULL; END $$;"
             "CREATE TRIGGER see AFTER UPDATE ON stoa.slot FOR EACH STATEMENT"
             " EXECUTE FUNCTION public.see()");
    suite_reopen(s);
    assert_int_equal(suite_append(s, 1, 5), STORE_COMMITTED);
    assert_true(pgproc_sql(suite_server(), suite_database(s),
                           "SELECT string_agg(DISTINCT v, ',') FROM public.seen", out,
                           sizeof out));
    assert_string_equal(out, "on");
}

static void count_rows(void *context, const struct postgres_schema_row *row)
{
    unsigned *n = context;
    n[row->applied] += 1;
    n[2] += row->altered;
}

static void count_slot(void *context, uint32_t slot, const char *uri, bool moving)
{
    unsigned *slots = context;
    (void)slot;
    assert_string_equal(uri, "");
    assert_false(moving);
    *slots += 1;
}

static void a_newer_schema_is_refused_with_both_versions(void **state)
{
    struct suite *s = *state;
    struct store_why why;
    int version = 0;
    unsigned n[3] = {0, 0, 0};
    assert_int_equal(postgres_schema_read(s->uri, &version, count_rows, n, &why), ERR_OK);
    assert_int_equal(version, postgres_schema_version());
    assert_int_equal(n[0], 0);
    assert_int_equal(n[2], 0);
    edge_sql(s,
             "UPDATE stoa.schema_migration SET sha256 = sha256('x') WHERE version = 1");
    assert_int_equal(postgres_schema_read(s->uri, &version, count_rows, n, &why), ERR_OK);
    assert_int_equal(n[2], 1);
    assert_int_equal(postgres_schema_apply(s->uri, &version, count_rows, n, &why),
                     ERR_CORRUPT);
    assert_non_null(strstr(why.text, "0001_ledger"));
    edge_sql(s, "INSERT INTO stoa.schema_migration VALUES (99, 'future', sha256('x'))");
    char ours[40];
    snprintf(ours, sizeof ours, "knows %d", postgres_schema_version());
    edge_open_fails(s, ERR_SCHEMA, "version 99");
    edge_open_fails(s, ERR_SCHEMA, ours);
    assert_int_equal(postgres_schema_apply(s->uri, &version, count_rows, n, &why),
                     ERR_SCHEMA);
    assert_non_null(strstr(why.text, "99"));
    unsigned slots = 0;
    assert_int_equal(postgres_where(s->uri, NULL, count_slot, &slots, &why), ERR_SCHEMA);
    assert_non_null(strstr(why.text, "version 99"));
    assert_non_null(strstr(why.text, ours));
    assert_int_equal(slots, 0);
    edge_sql(s, "DELETE FROM stoa.schema_migration WHERE version > 1");
    assert_int_equal(postgres_where(s->uri, NULL, count_slot, &slots, &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "version 1,"));
    assert_int_equal(slots, 0);
}

static void a_schema_of_somebody_else_is_left_alone(void **state)
{
    struct suite *s = *state;
    struct store_identity id;
    struct store_why why;
    struct store *other = NULL;
    suite_identity(&id);
    edge_sql(
        s, "DROP SCHEMA stoa CASCADE; CREATE SCHEMA stoa; CREATE TABLE stoa.slot(x int);"
           "INSERT INTO stoa.slot VALUES (1)");
    edge_open_fails(s, ERR_MISSING, "no ledger");
    assert_int_equal(store_create(s->uri, &id, &other, &why), ERR_CONFIG);
    edge_sql(s, "SELECT 1 / (SELECT count(*) FROM stoa.slot)");
    edge_sql(s, "DROP SCHEMA stoa CASCADE");
    edge_open_fails(s, ERR_MISSING, "no ledger");
}

static void nobody_can_write_a_double_or_an_impossible_value(void **state)
{
    struct suite *s = *state;
    assert_int_equal(suite_append(s, 1, 300), STORE_COMMITTED);
    static const char *const wrong[] = {
        "INSERT INTO stoa.record SELECT * FROM stoa.record WHERE slot = 1 AND idx = 3",
        /* the same entry elsewhere in its slot; the same position of an account */
        ("INSERT INTO stoa.record SELECT slot, 999, 999, 1, 1, account, entry, "
         "account_head,"
         " leaf_hash, envelope FROM stoa.record WHERE slot = 1 AND idx = 3"),
        ("INSERT INTO stoa.record SELECT slot, 999, position, 1, 1, account, leaf_hash,"
         " account_head, leaf_hash, envelope FROM stoa.record WHERE slot = 1 AND idx = "
         "3"),
        "UPDATE stoa.record SET entry = '\\x00' WHERE slot = 1 AND idx = 3",
        "UPDATE stoa.record SET slot = 16 WHERE slot = 1 AND idx = 3", /* no such
                                                                          partition */
        "UPDATE stoa.record SET idx = -1 WHERE slot = 1 AND idx = 3",
        "UPDATE stoa.slot SET size = size + 1 WHERE slot = 1", /* edges say otherwise */
        "UPDATE stoa.slot SET checkpoint = '' WHERE slot = 1",
        "UPDATE stoa.slot SET epoch = -1 WHERE slot = 1",
        "UPDATE stoa.tile SET hashes = 'x' WHERE slot = 1",
        ("INSERT INTO stoa.outbox SELECT slot, source_index + 1, payee_index,"
         " destination_slot, out_seq, 1, 1, false, cause, payer, payee FROM stoa.outbox"
         " WHERE slot = 1 LIMIT 1"),
        "INSERT INTO stoa.ledger SELECT * FROM stoa.ledger",
        "UPDATE stoa.ledger SET slots = 12"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        edge_refuses(s, wrong[i]);
    suite_check_all(s);
}

static void run_file(const struct suite *s, const char *path)
{
    static char text[16384];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t size = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[size] = '\0';
    edge_sql(s, text);
}

static void as_user(struct suite *s, const char *user)
{
    char database[64];
    snprintf(database, sizeof database, "%s", suite_database(s));
    snprintf(s->uri, sizeof s->uri, "postgresql://%s@127.0.0.1:%u/%s", user,
             (unsigned)suite_server()->port, database);
}

static void the_relays_role_can_add_and_not_change(void **state)
{
    struct suite *s = *state;
    assert_int_equal(suite_append(s, 1, 30), STORE_COMMITTED);
    run_file(s, STOA_SCHEMA_FOLDER "/roles.sql");
    run_file(s, STOA_SCHEMA_FOLDER "/roles.sql");
    static const char *const relay_not[] = {"UPDATE stoa.record SET position = position",
                                            "DELETE FROM stoa.record",
                                            "TRUNCATE stoa.record",
                                            "UPDATE stoa.tile SET root = root",
                                            "DELETE FROM stoa.tile",
                                            "DROP TABLE stoa.outbox",
                                            "CREATE TABLE stoa.x(y int)",
                                            "DELETE FROM stoa.slot",
                                            "UPDATE stoa.ledger SET hub = 'x'",
                                            "UPDATE stoa.schema_migration SET name = 'x'",
                                            "ALTER TABLE stoa.record DISABLE TRIGGER ALL",
                                            "COPY stoa.slot TO '/tmp/x'"};
    static const char *const reader_not[] = {
        "SELECT envelope FROM stoa.record",
        "SELECT account FROM stoa.record",
        "SELECT * FROM stoa.outbox",
        "SELECT * FROM stoa.sealed",
        "SELECT * FROM stoa.snapshot",
        "UPDATE stoa.slot SET epoch = 9",
        "INSERT INTO stoa.tile SELECT * FROM stoa.tile"};
    char sql[300];
    for (size_t i = 0; i < sizeof relay_not / sizeof *relay_not; i++) {
        snprintf(sql, sizeof sql, "SET ROLE stoa_relay; %s", relay_not[i]);
        edge_refuses(s, sql);
    }
    for (size_t i = 0; i < sizeof reader_not / sizeof *reader_not; i++) {
        snprintf(sql, sizeof sql, "SET ROLE stoa_reader; %s", reader_not[i]);
        edge_refuses(s, sql);
    }
    edge_sql(s, "SET ROLE stoa_reader; SELECT slot, idx, leaf_hash FROM stoa.record;"
                "SELECT * FROM stoa.slot");
    as_user(s, "stoa_relay");
    suite_reopen(s);
    assert_int_equal(suite_append_items(s, 1, 300, 25), STORE_COMMITTED);
    struct bytes part = bytes_of("state", 5);
    assert_int_equal(s->store->ops->snapshot_save(s->store, 1, 5, &part, 1), ERR_OK);
    suite_check_all(s);
    suite_check_lookups(s, 1, 1);
}

static void the_relays_role_can_make_a_ledger_in_a_schema_it_does_not_own(void **state)
{
    struct suite *s = *state;
    struct store_identity id;
    struct store_why why;
    unsigned n[3] = {0, 0, 0};
    int version = 0;
    suite_identity(&id);
    s->reader->ops->close(s->reader);
    s->store->ops->close(s->store);
    s->store = NULL;
    s->reader = NULL;
    edge_sql(s, "DROP SCHEMA stoa CASCADE");
    run_file(s, STOA_SCHEMA_FOLDER "/roles.sql");
    assert_int_equal(postgres_schema_apply(s->uri, &version, count_rows, n, &why),
                     ERR_OK);
    assert_int_equal(n[1], postgres_migration_count);
    as_user(s, "stoa_relay");
    if (store_create(s->uri, &id, &s->store, &why) != ERR_OK)
        fail_msg("%s", why.text);
    assert_int_equal(store_create(s->uri, &id, &(struct store *){NULL}, &why),
                     ERR_EXISTS);
    as_user(s, "stoa_reader");
    struct store *other = NULL;
    enum err e = store_open(s->uri, &other, &why);
    if (e != ERR_CONFIG || strstr(why.text, "may not write") == NULL)
        fail_msg("%s: %s", err_word(e), why.text);
}

/* What is told to be typed in a shell goes to that server, whatever stands in the URI. */
static void the_way_to_a_server_is_quoted_and_has_no_secret(void **state)
{
    static const struct {
        const char *rest, *way;
    } cases[] = {
        {"//relay@db2.example:5433/stoa?passfile=/etc/stoa/secret",
         " -h 'db2.example' -p '5433' -d 'stoa'"},
        {"///stoa?host=/run/pg", " -h '/run/pg' -d 'stoa'"},
        {"//relay@/stoa?hostaddr=192.0.2.1", " -h '192.0.2.1' -d 'stoa'"},
        {"//a,b/it%27s%20$(x)", " -h 'a,b' -p ',' -d 'it'\\''s $(x)'"},
        {"///stoa?service=hub", ""}, /* its host is not known here */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pg_target t;
        struct store_why why;
        char way[100];
        assert_int_equal(pg_target_open(&t, cases[i].rest, &why), ERR_OK);
        pg_target_asked_by(&t, way, sizeof way);
        assert_string_equal(way, cases[i].way);
        size_t size = strlen(way);
        for (size_t cap = 1; cap <= size; cap++) { /* never half of it */
            pg_target_asked_by(&t, way, cap);
            assert_string_equal(way, "");
        }
        pg_target_close(&t);
    }
}

static void a_password_is_refused_and_not_repeated(void **state)
{
    (void)state;
    static const char *const uris[] = {"postgresql://stoa:hunter2@127.0.0.1:1/x",
                                       "postgresql://127.0.0.1:1/x?password=hunter2",
                                       "postgresql://stoa:hunter2@[::1/x",
                                       "postgres://stoa:hunter2@127.0.0.1:bad/x"};
    for (size_t i = 0; i < sizeof uris / sizeof *uris; i++) {
        struct store_why why;
        struct store *other = NULL;
        assert_int_equal(store_open(uris[i], &other, &why), ERR_USAGE);
        assert_null(strstr(why.text, "hunter2"));
        assert_true(strlen(why.text) > 20);
    }
}

static void put_text(const char *path, const char *how, const char *text)
{
    FILE *f = fopen(path, how);
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static enum err open_with(struct suite *s, const char *passfile, struct store_why *why)
{
    char uri[700];
    struct store *other = NULL;
    snprintf(uri, sizeof uri, "postgresql://secretive@127.0.0.1:%u/%s?passfile=%s",
             (unsigned)suite_server()->port, suite_database(s), passfile);
    enum err e = store_open(uri, &other, why);
    if (e == ERR_OK)
        other->ops->close(other);
    return e;
}

static void a_password_comes_from_a_file(void **state)
{
    struct suite *s = *state;
    struct store_why why;
    char hba[400], pass[400], wrong[400];
    snprintf(hba, sizeof hba, "%s/data/pg_hba.conf", suite_server()->dir);
    snprintf(pass, sizeof pass, "%s/pass", suite_server()->dir);
    snprintf(wrong, sizeof wrong, "%s/wrong", suite_server()->dir);
    edge_sql(s, "CREATE ROLE secretive LOGIN SUPERUSER PASSWORD 'hunter2'");
    put_text(hba, "w",
             "host all secretive 127.0.0.1/32 scram-sha-256\n"
             "local all all trust\nhost all all 127.0.0.1/32 trust\n");
    edge_sql(s, "SELECT pg_reload_conf()");
    edge_nap(300);
    put_text(pass, "w", "*:*:*:secretive:hunter2\n");
    put_text(wrong, "w", "*:*:*:secretive:hunter3\n");
    assert_int_equal(chmod(pass, 0600) | chmod(wrong, 0600), 0);
    if (open_with(s, pass, &why) != ERR_OK)
        fail_msg("%s", why.text);
    assert_int_equal(open_with(s, wrong, &why), ERR_CONFIG);
    assert_null(strstr(why.text, "hunter"));
    assert_int_equal(setenv("PGPASSWORD", "hunter2", 1), 0);
    assert_int_equal(open_with(s, pass, &why), ERR_USAGE);
    assert_null(strstr(why.text, "hunter"));
    unsetenv("PGPASSWORD");
}

/* What a statement does with a table, told by the server's own plan. */
static void explain(const struct suite *s, enum pg_statement which, const char *values)
{
    static char sql[4096], out[60000];
    snprintf(
        sql, sizeof sql,
        "SET enable_seqscan = off; SET enable_mergejoin = off; SET enable_hashjoin = off;"
        "SET plan_cache_mode = force_generic_plan;"
        "PREPARE q AS %s; EXPLAIN (COSTS off) EXECUTE q%s%s%s",
        pg_texts[which], *values ? "(" : "", values, *values ? ")" : "");
    if (!pgproc_sql(suite_server(), suite_database(s), sql, out, sizeof out))
        fail_msg("%s", suite_server()->why);
    assert_non_null(strstr(out, "Index"));
    if (strstr(out, "Seq Scan") != NULL || strstr(out, "Sort") != NULL)
        fail_msg("%s\n%s", pg_texts[which], out);
}

static void every_hot_question_goes_by_an_index(void **state)
{
    struct suite *s = *state;
    for (uint32_t i = 0; i < SUITE_SLOTS; i++)
        assert_int_equal(suite_append(s, i, 700), STORE_COMMITTED);
    edge_sql(s, "ANALYZE");
#define BYTES "'\\x00'"
    explain(s, PG_CLAIM, "1, -1, 5");
    explain(s, PG_CLAIM_LEASED, "1, -1, 5, " BYTES);
    explain(s, PG_PLACE, "1");
    explain(s, PG_PLACES, "");
    explain(s, PG_LEASE_HELD, "1, " BYTES);
    explain(s, PG_WHOSE, BYTES);
    explain(s, PG_MOVE, "'{1}', '{1}', '{1}', '{1}', '{}', '{}'");
    explain(s, PG_FORGET, "'{1}', '{1}', '{9}'");
    explain(s, PG_OUTBOX, "1, 5, 0, 100");
    explain(s, PG_SNAPSHOT, "1, 0");
    explain(s, PG_SNAPSHOT_DROP, "1");
    explain(s, PG_SEALED_ERASE, BYTES);
    explain(s, PG_SLOT, "1");
    explain(s, PG_SIZE, "1");
    explain(s, PG_RANGE, "1, 5, 50");
    explain(s, PG_ACCOUNT, BYTES ", 1, 0, 100");
    explain(s, PG_FIND, BYTES);
    explain(s, PG_LEAVES, "1, 5, 50");
    explain(s, PG_TILE, "1, 0, 1");
    explain(s, PG_ROOTS, "1, 0, 0, 2");
    explain(s, PG_SEALED, BYTES);
    explain(s, PG_VIEW_SLOTS, "");
    explain(s, PG_VIEW_ACCOUNT, "1, " BYTES);
    explain(s, PG_VIEW_EARNINGS, "1, " BYTES ", 100, 21");
    explain(s, PG_VIEW_LISTS, "'{1, 2}', 5");
    explain(s, PG_VIEW_RICHEST, "'{1, 2}'");
    explain(s, PG_PROJECT_WHERE, "");
    explain(s, PG_PROJECT_MOVE, "1, 5, 9, 1");
    explain(s, PG_PROJECT_SEEN, "'{1, 2}'");
    explain(s, PG_PROJECT_LIST, "1, 5, 9");
    explain(s, PG_PROJECT_FORGET, "1, 5");
    explain(s, PG_PROJECT_ADD, "'{1}', '{}', '{}', '{}', '{}', '{}'");
    explain(s, PG_PROJECT_DROP_LISTS, "1");
    explain(s, PG_PROJECT_DROP_EARNINGS, "1");
    explain(s, PG_PROJECT_DROP_ACCOUNTS, "1");
    explain(s, PG_PROJECT_RESET, "1");
    explain(s, PG_PROJECT_OLD, "1");
    explain(s, PG_PROJECT_DIGEST, "1");
}

static int all(void)
{
#define EDGE(test) cmocka_unit_test_setup_teardown(test, suite_setup, suite_teardown)
    const struct CMUnitTest tests[] = {
        EDGE(a_read_only_server_is_refused),
        EDGE(a_server_without_fsync_is_refused),
        EDGE(lazy_commits_are_made_durable),
        EDGE(a_newer_schema_is_refused_with_both_versions),
        EDGE(a_schema_of_somebody_else_is_left_alone),
        EDGE(nobody_can_write_a_double_or_an_impossible_value),
        EDGE(the_relays_role_can_add_and_not_change),
        EDGE(the_relays_role_can_make_a_ledger_in_a_schema_it_does_not_own),
        cmocka_unit_test(a_password_is_refused_and_not_repeated),
        cmocka_unit_test(the_way_to_a_server_is_quoted_and_has_no_secret),
        EDGE(a_password_comes_from_a_file),
        EDGE(every_hot_question_goes_by_an_index),
        EDGE(a_standby_is_refused),
    };
    return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}

int main(void)
{
    return edge_main(all);
}
