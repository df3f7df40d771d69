/* An audit of a hub's own ledger in Postgres: the selftest's faults, written into a
 * database, and every column of the log's tables changed by itself; each must be named by
 * its check, slot and index. Who may read it, and from where. */
#include <libpq-fe.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "client/audit/image.h"
#include "client/audit/selftest.h"
#include "ledger/store.h"
#include "ledger/store_postgres_raw.h"
#include "tests/integration/postgres/forged.h"

#define DATABASE "audited"
#define AT 100

static struct pgproc server;
static char uri[400];
static struct audit_report report;
static struct policy policy;

/* ---- audits
 * ---------------------------------------------------------------------------------- */

static int audit(const char *where, enum audit_mode mode, const char *state)
{
    char why[AUDIT_WHY_MAX];
    struct audit_source *s = NULL;
    struct audit_options o = {
        .mode = mode, .threads = 1, .policy = &policy, .state_dir = state};
    if (audit_source_open(&s, where, NULL, why) != ERR_OK)
        fail_msg("%s", why);
    assert_string_equal(s->kind, "postgres");
    enum err e = audit_run(s, &o, &report, why);
    s->ops->close(s);
    if (e != ERR_OK)
        fail_msg("%s: %s", err_word(e), why);
    return audit_exit(&report);
}

static void trust(const struct forge *f, bool quorum)
{
    char text[4096];
    struct policy_problem why;
    size_t n = forge_policy(f, text, sizeof text, quorum);
    assert_true(policy_parse(&policy, text, n, &why));
}

/* The first finding of the slot must be this one. */
static void named(const char *name, enum audit_check check, uint32_t slot, uint64_t index)
{
    for (size_t i = 0; i < report.finding_count; i++) {
        const struct audit_finding *f = &report.findings[i];
        if (f->slot != slot)
            continue;
        if (f->check == check && f->index == index && f->severity == AUDIT_CRITICAL)
            return;
        fail_msg("%s: expected %s at slot %u index %llu, found %s at index %llu: %s",
                 name, audit_check_word(check), (unsigned)slot, (unsigned long long)index,
                 audit_check_word(f->check), (unsigned long long)f->index, f->text);
    }
    fail_msg("%s: nothing was found in slot %u", name, (unsigned)slot);
}

static struct forge *good(void)
{
    struct forge *f = forge_open();
    forge_fill(f);
    return f;
}

static void put_good(void)
{
    struct forge *f = good();
    forge_sign(f, false);
    trust(f, false);
    forged_write(f);
    forge_close(f);
}

static void a_good_ledger_passes(void **state)
{
    (void)state;
    put_good();
    assert_int_equal(audit(uri, AUDIT_FULL, NULL), 0);
    assert_int_equal(report.finding_count, 0);
    assert_true(report.complete && report.conserved);
    assert_true(report.records > 300);
    assert_int_equal(audit(uri, AUDIT_TIP, NULL), 0);
}

static void run_fault(const struct fault *x, enum audit_mode mode)
{
    char folder[] = "/tmp/stoa-audit-XXXXXX", remove[64];
    assert_non_null(mkdtemp(folder));
    if (x->seen) {
        put_good();
        assert_int_equal(audit(uri, AUDIT_FULL, folder), 0);
    }
    struct forge *f = good();
    if (x->lie)
        x->lie(f);
    forge_sign(f, false);
    uint64_t count = f->slot[x->slot].count;
    uint64_t index = x->index == SELFTEST_LAST   ? count - 1
                     : x->index == SELFTEST_SIZE ? count
                                                 : x->index;
    if (x->hurt)
        x->hurt(f);
    trust(f, x->quorum);
    forged_write(f);
    assert_int_equal(audit(uri, mode, x->seen ? folder : NULL), 1);
    named(x->name, x->check, x->slot, index);
    forge_close(f);
    snprintf(remove, sizeof remove, "rm -r %s", folder);
    assert_int_equal(system(remove), 0);
}

static void the_selftests_faults_are_named(void **state)
{
    unsigned ran = 0;
    (void)state;
    for (size_t i = 0; i < selftest_fault_count; i++) {
        const struct fault *x = &selftest_faults[i];
        if (x->spoil || !(x->formats >> IMAGE_SQLITE & 1))
            continue; /* another container's own */
        run_fault(x, ran % 2 ? AUDIT_TIP : AUDIT_FULL);
        ran++;
    }
    assert_true(ran > 60);
}

static void every_column_is_held_to_the_log(void **state)
{
    (void)state;
    static const struct {
        const char *change;
        enum audit_check check;
        uint64_t index;
    } faults[] = {
#define ROW(set, check)                                                                  \
    {"UPDATE stoa.record SET " set " WHERE slot=0 AND idx=100", check, AT}
        ROW("position=position+1", AUDIT_ORDER),
        ROW("hub_lamport=hub_lamport+1", AUDIT_LEAF),
        ROW("hub_time_ms=hub_time_ms+1", AUDIT_LEAF),
        ROW("account=sha256(account)", AUDIT_ORDER),
        ROW("entry=sha256(entry)", AUDIT_LEAF),
        ROW("account_head=sha256(account_head)", AUDIT_LEAF),
        ROW("leaf_hash=sha256(leaf_hash)", AUDIT_LEAF),
        ROW("envelope=set_bit(envelope,1,1-get_bit(envelope,1))", AUDIT_LEAF),
        ROW("envelope=envelope||'x'", AUDIT_LEAF),
        ROW("envelope=''", AUDIT_LEAF),
        ROW("account='short'", AUDIT_SOURCE),
        ROW("hub_time_ms=-1", AUDIT_SOURCE),
        ROW("idx=100000", AUDIT_ORDER),
#undef ROW
        {"DELETE FROM stoa.record WHERE slot=0 AND idx=100", AUDIT_ORDER, AT},
        {"DELETE FROM stoa.record WHERE slot=0 AND idx=(SELECT size-1 FROM stoa.slot "
         "WHERE"
         " slot=0)",
         AUDIT_SOURCE, SELFTEST_LAST},
        {"UPDATE stoa.tile SET root=sha256(root) WHERE slot=0 AND level=0 AND n=0",
         AUDIT_INCLUSION, 0},
        {"UPDATE stoa.tile SET hashes=set_byte(hashes,9,1+get_byte(hashes,9)%255) WHERE "
         "slot=0",
         AUDIT_INCLUSION, 0},
        {"UPDATE stoa.tile SET hashes='short' WHERE slot=0", AUDIT_INCLUSION, 0},
        {"UPDATE stoa.tile SET n=7 WHERE slot=0 AND n=0", AUDIT_SOURCE, 0},
        {"DELETE FROM stoa.tile WHERE slot=0", AUDIT_SOURCE, 0},
        {"UPDATE stoa.slot SET size=size-1 WHERE slot=0", AUDIT_SOURCE, SELFTEST_NOWHERE},
        {"UPDATE stoa.slot SET edges=decode(repeat('00',octet_length(edges)),'hex') "
         "WHERE slot=0",
         AUDIT_INCLUSION, SELFTEST_NOWHERE},
        {"UPDATE stoa.slot SET "
         "checkpoint=set_byte(checkpoint,octet_length(checkpoint)-12,"
         "get_byte(checkpoint,octet_length(checkpoint)-12)#1) WHERE slot=0",
         AUDIT_SIGNATURE, SELFTEST_NOWHERE},
        {"UPDATE stoa.slot SET checkpoint='' WHERE slot=0", AUDIT_SOURCE,
         SELFTEST_NOWHERE},
        {"DELETE FROM stoa.slot WHERE slot=0", AUDIT_SOURCE, SELFTEST_NOWHERE},
        {"UPDATE stoa.ledger SET hub='other'", AUDIT_SOURCE, SELFTEST_NOWHERE},
        {"UPDATE stoa.ledger SET federation=sha256(federation)", AUDIT_SOURCE,
         SELFTEST_NOWHERE}};
    struct forge *f = good();
    forge_sign(f, false);
    uint64_t last = f->slot[0].count - 1;
    forge_close(f);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        put_good();
        forged_sql(faults[i].change);
        if (audit(uri, AUDIT_FULL, NULL) != 1)
            fail_msg("passed: %s", faults[i].change);
        named(faults[i].change, faults[i].check, 0,
              faults[i].index == SELFTEST_LAST ? last : faults[i].index);
        forged_sql(
            "INSERT INTO stoa.slot VALUES (0, 0, 0, '', '') ON CONFLICT DO NOTHING");
    }
    put_good();
    forged_sql("UPDATE stoa.ledger SET slots=2");
    assert_int_equal(audit(uri, AUDIT_FULL, NULL), 1);
    named("fewer slots", AUDIT_SOURCE, 2, SELFTEST_NOWHERE);
}

/* ---- who, and from where
 * --------------------------------------------------------------------- */

static void roles(void)
{
    static char text[16384];
    FILE *f = fopen(STOA_SCHEMA_FOLDER "/roles.sql", "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    forged_sql(text);
}

static void as(const char *user, char out[400])
{
    snprintf(out, 400, "postgresql://%s@127.0.0.1:%u/" DATABASE, user,
             (unsigned)server.port);
}

static const char *state_of(const PGresult *r)
{
    const char *s = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    return s ? s : "";
}

static void the_auditors_role_reads_the_log_and_no_more(void **state)
{
    static const char *const not_these[] = {
        "SELECT * FROM stoa.outbox",
        "SELECT * FROM stoa.snapshot",
        "SELECT * FROM stoa.sealed",
        "UPDATE stoa.slot SET epoch = 9",
        "DELETE FROM stoa.record",
        "INSERT INTO stoa.tile SELECT * FROM stoa.tile",
        "SELECT stoa.grant_roles()",
        "CREATE TABLE stoa.x(y int)",
        "SELECT stoa.create_ledger('','','',1)"};
    char who[400];
    (void)state;
    roles();
    put_good();
    as("stoa_auditor", who);
    assert_int_equal(audit(who, AUDIT_FULL, NULL), 0);
    for (size_t i = 0; i < sizeof not_these / sizeof *not_these; i++) {
        forged_sql("SET ROLE stoa_auditor");
        PGresult *r = PQexec(forged_db, not_these[i]);
        if (strcmp(state_of(r), "42501") != 0)
            fail_msg("was allowed, or failed otherwise: %s: %s", not_these[i],
                     PQresultErrorMessage(r));
        PQclear(r);
        forged_sql("RESET ROLE");
    }
    as("stoa_reader", who);
    assert_int_equal(audit(who, AUDIT_FULL, NULL), 1);
    assert_non_null(strstr(report.findings[0].text, "permission denied"));
}

/* A column that writes when it is read: the owner's audit is refused by the server. */
static void an_auditors_session_cannot_write_even_as_the_owner(void **state)
{
    struct postgres_raw *raw = NULL;
    struct store_why why = {{0}};
    struct store_slot row;
    (void)state;
    put_good();
    forged_sql(
        "CREATE SEQUENCE public.touched; ALTER TABLE stoa.slot RENAME TO slot_kept;"
        "CREATE VIEW stoa.slot AS SELECT slot, nextval('public.touched') AS epoch, size, "
        "edges,"
        " checkpoint FROM stoa.slot_kept");
    assert_int_equal(postgres_raw_open(&raw, uri, &why), ERR_OK);
    assert_int_not_equal(postgres_raw_slot(raw, 0, &row, &why), ERR_OK);
    assert_non_null(strstr(why.text, "read-only transaction"));
    postgres_raw_close(raw);
    forged_sql("DROP VIEW stoa.slot; ALTER TABLE stoa.slot_kept RENAME TO slot;"
               "DROP SEQUENCE public.touched");
}

static void a_standby_can_be_audited(void **state)
{
    char path[400];
    (void)state;
    put_good();
    PQfinish(forged_db);
    forged_db = NULL;
    pgproc_stop(&server, SIGINT);
    snprintf(path, sizeof path, "%s/data/standby.signal", server.dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    (void)chmod(path, 0666);
    assert_true(pgproc_start(&server));
    assert_int_equal(audit(uri, AUDIT_FULL, NULL), 0);
}

static void what_is_no_ledger_is_said(void **state)
{
    static const struct {
        const char *where, *words;
        enum err e;
    } wrong[] = {{"postgresql://stoa:hunter2@127.0.0.1/x", "passfile", ERR_USAGE},
                 {"postgresql:nonsense", "postgresql://USER@HOST", ERR_USAGE},
                 {"postgres://127.0.0.1:1/x", "127.0.0.1:1", ERR_STORE}};
    char why[AUDIT_WHY_MAX], empty[400];
    struct audit_source *s = NULL;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(audit_source_open(&s, wrong[i].where, NULL, why), wrong[i].e);
        if (strstr(why, wrong[i].words) == NULL || strstr(why, "hunter2") != NULL)
            fail_msg("%s", why);
    }
    pgproc_uri(&server, "postgres", 0, empty, sizeof empty);
    assert_int_equal(audit_source_open(&s, empty, NULL, why), ERR_MISSING);
    pgproc_uri(&server, "nowhere", 0, empty, sizeof empty);
    assert_int_equal(audit_source_open(&s, empty, NULL, why), ERR_MISSING);
}

static int make(void **state)
{
    (void)state;
    return forged_make(&server, DATABASE, uri);
}

static int unmake(void **state)
{
    (void)state;
    PQfinish(forged_db);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_ledger_passes),
        cmocka_unit_test(the_selftests_faults_are_named),
        cmocka_unit_test(every_column_is_held_to_the_log),
        cmocka_unit_test(the_auditors_role_reads_the_log_and_no_more),
        cmocka_unit_test(an_auditors_session_cannot_write_even_as_the_owner),
        cmocka_unit_test(what_is_no_ledger_is_said),
        cmocka_unit_test(a_standby_can_be_audited), /* the last: it stays one */
    };
    if (!crypto_start())
        return 1;
    if (!pgproc_there()) {
        fprintf(stderr, "skipped: no postgres is installed (deploy/packages.sh test)\n");
        return 77;
    }
    int code = pgproc_open(&server)
                   ? cmocka_run_group_tests_name("audit", tests, make, unmake)
                   : 1;
    if (server.why[0])
        fprintf(stderr, "%s\n", server.why);
    pgproc_close(&server);
    return code == 0 ? 0 : 1;
}
