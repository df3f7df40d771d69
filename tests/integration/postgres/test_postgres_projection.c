/* Projections of a real Postgres ledger: made bit by bit, by two at once, with sessions
 * cut in between, they equal a rebuild and a replay of the log; the answers relays give;
 * roles. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ledger/store_postgres.h"
#include "ledger/store_postgres_projection.h"
#include "tests/integration/postgres/forged.h"

#define DATABASE "projected"
#define DAYS 45

static struct pgproc server;
static char uri[400];

/* An account that earned on many days; the hub's clock is set forward for it. */
static struct forge *good(void)
{
    struct forge *f = forge_open();
    forge_fill(f);
    for (uint64_t day = 0; day < DAYS; day++) {
        struct payload p = {.kind = KIND_ACCRUE};
        memset(p.accrue.node.b, 3, HASH_BYTES);
        p.accrue.epoch = 100 + day;
        p.accrue.amount = (int64_t)(1000000 + day);
        f->clock_ms += PROJECTION_DAY_MS;
        forge_entry(f, 0, &f->people[0].account, f->issuer, &p, NULL);
        p.accrue.epoch += 1000;
        f->clock_ms += PROJECTION_HOUR_MS;
        if (day % 2)
            forge_entry(f, 1, &f->people[1].account, f->issuer, &p, NULL);
    }
    forge_sign(f, false);
    return f;
}

static struct projector *projector(const char *where)
{
    struct projector *p = NULL;
    struct store_why why = {{0}};
    if (projector_open(&p, where, &why) != ERR_OK)
        fail_msg("%s", why.text);
    return p;
}

/* Until nothing is left, with a cut session in between when `cut`. */
static uint64_t catch_up(struct projector *p, bool cut)
{
    struct store_why why = {{0}};
    uint64_t records = 1, all = 0;
    for (int tries = 0; records > 0;) {
        if (cut && tries % 2 == 0)
            forged_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                       " WHERE application_name = 'stoa'");
        enum err e = projector_round(p, &records, &why);
        if (e == ERR_STORE && ++tries < 40) {
            records = 1;
            pg_sleep_ms(50);
            continue;
        }
        if (e != ERR_OK)
            fail_msg("%s: %s", err_word(e), why.text);
        all += records;
        cut = cut && tries < 6;
    }
    return all;
}

/* The log as it was when it was `percent` of what it is. */
static void show(const struct forge *f, size_t percent)
{
    for (uint32_t slot = 0; slot < FORGE_SLOTS; slot++) {
        char text[100];
        snprintf(text, sizeof text, "UPDATE stoa.slot SET size = %zu WHERE slot = %u",
                 f->slot[slot].count * percent / 100, (unsigned)slot);
        forged_sql(text);
    }
}

static char *all_rows(void)
{
    return forged_ask(
        "SELECT 'a', slot, account, balance, position, idx, head, pinned FROM "
        "stoa.account"
        " UNION ALL SELECT 'e', slot, account, day, amount, accruals, idx::text::bytea, "
        "true"
        " FROM stoa.earning UNION ALL SELECT 'r', slot, account, hour, rank, balance,"
        " idx::text::bytea, true FROM stoa.rich_list ORDER BY 1, 2, 3, 4, 5");
}

static void forget_all(void)
{
    forged_sql("TRUNCATE stoa.projection, stoa.account, stoa.earning, stoa.rich_list");
}

static void equals_replay(struct forge *f)
{
    for (uint32_t slot = 0; slot < FORGE_SLOTS; slot++)
        for (size_t i = 0; i < f->slot[slot].p.seat_count; i++) {
            const struct account *a = &f->slot[slot].p.seats[i]->account;
            char hex[2][2 * HASH_BYTES + 1], text[400];
            hex_encode(hex[0], a->id.b, HASH_BYTES);
            hex_encode(hex[1], a->head.b, HASH_BYTES);
            snprintf(
                text, sizeof text,
                "SELECT count(*) FROM stoa.account WHERE slot = %u AND account = '\\x%s'"
                " AND head = '\\x%s' AND balance = %lld AND position = %llu",
                (unsigned)slot, hex[0], hex[1], (long long)a->balance,
                (unsigned long long)a->position);
            char *found = forged_ask(text);
            assert_string_equal(found, "1\n");
            free(found);
        }
}

static void bit_by_bit_it_is_what_a_rebuild_and_a_replay_give(void **state)
{
    static const size_t steps[] = {1, 13, 14, 50, 51, 90, 100};
    struct store_why why = {{0}};
    (void)state;
    struct forge *f = good();
    forged_write(f);
    forget_all();
    struct projector *p = projector(uri), *other = projector(uri);
    uint64_t records = 0, all = 0;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        show(f, steps[i]);
        records += catch_up(i % 2 ? p : other, i == 3);
    }
    for (uint32_t slot = 0; slot < FORGE_SLOTS; slot++)
        all += f->slot[slot].count;
    assert_true(records <= all); /* an answer that was lost is not counted */
    equals_replay(f);
    char *bits = all_rows();
    assert_non_null(strstr(bits, "r|0|"));
    for (uint32_t slot = 0; slot < FORGE_SLOTS; slot++) {
        struct projector_rebuilt done;
        assert_int_equal(projector_rebuild(p, slot, true, &done, &why), ERR_OK);
        assert_true(done.equal);
        assert_int_equal(done.records, f->slot[slot].count);
    }
    char *anew = all_rows();
    assert_string_equal(bits, anew);
    free(anew);
    forget_all();
    assert_int_equal(catch_up(p, false), all);
    anew = all_rows();
    assert_string_equal(bits, anew);
    free(anew);
    free(bits);
    projector_close(other);
    projector_close(p);
    forge_close(f);
}

static void a_rebuild_tells_and_mends_what_was_changed(void **state)
{
    static const char *const damage[] = {
        "UPDATE stoa.account SET balance = balance + 1 WHERE slot = 0",
        ("DELETE FROM stoa.earning WHERE slot = 0 AND day = (SELECT min(day) FROM"
         " stoa.earning WHERE slot = 0)"),
        "UPDATE stoa.rich_list SET rank = 99 WHERE slot = 0 AND rank = 1",
        ("INSERT INTO stoa.account SELECT slot, sha256(account), 5, 1, 1, head, false FROM"
         " stoa.account WHERE slot = 0")};
    struct store_why why = {{0}};
    struct projector_rebuilt done;
    (void)state;
    struct forge *f = good();
    forged_write(f);
    forget_all();
    struct projector *p = projector(uri);
    catch_up(p, false);
    char *before = all_rows();
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        forged_sql(damage[i]);
        char *hurt = all_rows();
        assert_string_not_equal(before, hurt);
        assert_int_equal(projector_rebuild(p, 0, false, &done, &why), ERR_OK);
        assert_false(done.equal);
        char *after = all_rows();
        assert_string_equal(after, hurt); /* only looked */
        free(after);
        free(hurt);
        assert_int_equal(projector_rebuild(p, 0, true, &done, &why), ERR_OK);
        assert_false(done.equal);
        after = all_rows();
        assert_string_equal(after, before);
        free(after);
        assert_int_equal(projector_rebuild(p, 0, false, &done, &why), ERR_OK);
        assert_true(done.equal);
    }
    free(before);
    projector_close(p);
    forge_close(f);
}

static void a_damaged_record_stops_its_slot_only_there(void **state)
{
    struct store_why why = {{0}};
    uint64_t records = 0;
    (void)state;
    struct forge *f = good();
    forged_write(f);
    forget_all();
    forged_sql(
        "UPDATE stoa.record SET envelope = set_bit(envelope, 9, 1 - get_bit(envelope, 9))"
        " WHERE slot = 0 AND idx = 100");
    struct projector *p = projector(uri);
    assert_int_equal(projector_round(p, &records, &why), ERR_CORRUPT);
    assert_non_null(strstr(why.text, "slot 0"));
    assert_non_null(strstr(why.text, "stoa-audit verify"));
    char *rows = forged_ask("SELECT count(*) FROM stoa.account WHERE slot = 0");
    assert_string_equal(rows, "0\n");
    free(rows);
    projector_close(p);
    forge_close(f);
}

/* ---- what relays are told ---- */

static bool keep_rich(void *context, const struct projection_rich_row *row)
{
    projection_top_add(context, row);
    return true;
}

static void answers_say_how_old_they_are(void **state)
{
    struct store *store = NULL;
    struct store_reader *r = NULL;
    struct store_why why = {{0}};
    static struct projection_slot slots[SLOTS_MAX];
    struct projection_account_row row;
    size_t count = 0;
    (void)state;
    struct forge *f = good();
    forged_write(f);
    forget_all();
    assert_int_equal(store_open(uri, &store, &why), ERR_OK);
    assert_int_equal(store->ops->reader_open(store, &r), ERR_OK);
    const struct projection_ops *ops = r->ops->projection;
    assert_non_null(ops);
    assert_int_equal(ops->slots(r, slots, &count), ERR_OK);
    assert_int_equal(count, FORGE_SLOTS);
    assert_false(slots[0].begun);
    assert_int_equal(slots[0].size, f->slot[0].count);
    assert_int_equal(ops->account(r, &f->people[0].account, &row), ERR_NOT_FOUND);
    show(f, 60);
    struct projector *p = projector(uri);
    catch_up(p, false);
    show(f, 100);
    forged_sql(
        "UPDATE stoa.projection SET seen_at = now() - interval '5 s' WHERE slot = 0");
    assert_int_equal(ops->slots(r, slots, &count), ERR_OK);
    assert_true(slots[0].begun);
    assert_int_equal(slots[0].cursor.next, f->slot[0].count * 60 / 100);
    assert_int_equal(slots[0].size, f->slot[0].count);
    assert_in_range(slots[0].age_ms, 5000, 15000);
    catch_up(p, false);
    assert_int_equal(ops->slots(r, slots, &count), ERR_OK);
    assert_int_equal(slots[0].cursor.next, slots[0].size);
    assert_in_range(slots[0].age_ms, 0, 4000);
    assert_int_equal(ops->account(r, &f->people[0].account, &row), ERR_OK);
    assert_int_equal(row.balance,
                     replay_find(&f->slot[0].p, &row.account)->account.balance);
    projector_close(p);
    r->ops->close(r);
    store->ops->close(store);
    forge_close(f);
}

static void earnings_are_paged_and_lists_are_of_an_hour(void **state)
{
    struct store *store = NULL;
    struct store_reader *r = NULL;
    struct store_why why = {{0}};
    static struct projection_slot slots[SLOTS_MAX];
    struct projection_earning_row page[PROJECTION_PAGE + 1];
    size_t count = 0, days = 0;
    int64_t sum = 0;
    (void)state;
    struct forge *f = good();
    forged_write(f);
    forget_all();
    struct projector *p = projector(uri);
    catch_up(p, false);
    projector_close(p);
    assert_int_equal(store_replica_postgres(strchr(uri, ':') + 1, 0, &store, &why), ERR_OK);
    assert_int_equal(store->ops->reader_open(store, &r), ERR_OK);
    const struct projection_ops *ops = r->ops->projection;
    for (uint32_t before = UINT32_MAX; before > 0;) {
        assert_int_equal(ops->earnings(r, &f->people[0].account, before, page, &count),
                         ERR_OK);
        size_t shown = count > PROJECTION_PAGE ? PROJECTION_PAGE : count;
        for (size_t i = 0; i < shown; i++) {
            assert_true(page[i].day < before);
            before = page[i].day;
            sum += page[i].amount;
            days += 1;
        }
        if (count <= PROJECTION_PAGE)
            before = 0;
    }
    assert_true(days > DAYS);
    int64_t earned = 0;
    for (uint32_t slot = 0; slot < FORGE_SLOTS; slot++)
        earned += f->slot[slot].p.hub.accrued;
    assert_true(sum > DAYS * INT64_C(1000000) && sum <= earned);

    assert_int_equal(ops->slots(r, slots, &count), ERR_OK);
    struct projection_top *t = calloc(1, sizeof *t);
    assert_non_null(t);
    uint64_t hour = projection_hour(slots, count);
    assert_int_equal(ops->rich(r, hour, keep_rich, t), ERR_OK);
    /* The newest hour began with the last accrual of slot 0 or 1: it is not on that list.
     */
    assert_true(t->count >= FORGE_SLOTS);
    for (size_t i = 0; i < t->count; i++) {
        uint32_t slot = slot_of(&t->rows[i].account, FORGE_SLOTS);
        int64_t balance =
            replay_find(&f->slot[slot].p, &t->rows[i].account)->account.balance;
        bool newest = slots[slot].cursor.time_ms / PROJECTION_HOUR_MS == hour;
        assert_int_equal(slot, t->rows[i].slot);
        if (newest && t->rows[i].balance != balance)
            assert_int_equal(balance - t->rows[i].balance, 1000000 + DAYS - 1);
        else
            assert_int_equal(t->rows[i].balance, balance);
        assert_true(i == 0 || t->rows[i].balance <= t->rows[i - 1].balance);
    }
    char *kept =
        forged_ask("SELECT max(hour) - min(hour) <= 168, count(DISTINCT hour) > 3 FROM"
                   " stoa.rich_list WHERE slot = 0");
    assert_string_equal(kept, "t|t\n");
    free(kept);
    free(t);
    r->ops->close(r);
    store->ops->close(store);
    forge_close(f);
}

static void the_projectors_role_writes_projections_alone(void **state)
{
    static char text[16384];
    static const char *const not_these[] = {
        "UPDATE stoa.slot SET epoch = 9", "DELETE FROM stoa.record",
        "SELECT * FROM stoa.outbox",      "SELECT * FROM stoa.sealed",
        "SELECT * FROM stoa.snapshot",    "INSERT INTO stoa.tile SELECT * FROM stoa.tile",
        "CREATE TABLE stoa.x(y int)"};
    char who[400];
    (void)state;
    FILE *file = fopen(STOA_SCHEMA_FOLDER "/roles.sql", "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    forged_sql(text);
    struct forge *f = good();
    forged_write(f);
    forget_all();
    snprintf(who, sizeof who, "postgresql://stoa_projector@127.0.0.1:%u/" DATABASE,
             (unsigned)server.port);
    struct projector *p = projector(who);
    catch_up(p, false);
    equals_replay(f);
    struct projector_rebuilt done;
    struct store_why why = {{0}};
    assert_int_equal(projector_rebuild(p, 0, true, &done, &why), ERR_OK);
    assert_true(done.equal);
    projector_close(p);
    for (size_t i = 0; i < sizeof not_these / sizeof *not_these; i++) {
        forged_sql("SET ROLE stoa_projector");
        PGresult *r = PQexec(forged_db, not_these[i]);
        const char *code = PQresultErrorField(r, PG_DIAG_SQLSTATE);
        if (code == NULL || strcmp(code, "42501") != 0)
            fail_msg("was allowed, or failed otherwise: %s", not_these[i]);
        PQclear(r);
        forged_sql("RESET ROLE");
    }
    forge_close(f);
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
        cmocka_unit_test(bit_by_bit_it_is_what_a_rebuild_and_a_replay_give),
        cmocka_unit_test(a_rebuild_tells_and_mends_what_was_changed),
        cmocka_unit_test(a_damaged_record_stops_its_slot_only_there),
        cmocka_unit_test(answers_say_how_old_they_are),
        cmocka_unit_test(earnings_are_paged_and_lists_are_of_an_hour),
        cmocka_unit_test(the_projectors_role_writes_projections_alone),
    };
    if (!crypto_start())
        return 1;
    if (!pgproc_there()) {
        fprintf(stderr, "skipped: no postgres is installed (deploy/packages.sh test)\n");
        return 77;
    }
    int code = pgproc_open(&server)
                   ? cmocka_run_group_tests_name("projection", tests, make, unmake)
                   : 1;
    if (server.why[0])
        fprintf(stderr, "%s\n", server.why);
    pgproc_close(&server);
    return code == 0 ? 0 : 1;
}
