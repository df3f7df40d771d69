/* Two relays of one hub on a real Postgres and Redis, from their operator's side: `why` names
 * a Redis that is gone and a clock that is off, and a relay that drains refuses nobody. */
#include "tests/integration/hub.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/integration/ops/kit.h"
#include "tests/lib/regionproc.h"

#define SETTLE_MS 20000u
#define GRACE_MS 8000u
#define OFF_MS 61000

static struct regionproc region = {.with_redis = true};

static void settled(unsigned relays)
{
    if (!regionproc_settled(&region, relays, SETTLE_MS))
        fail_msg("%s", region.why);
}

#ifdef STOA_WRONG_CLOCK
/* The relay's wall clock is off from its start on. */
static void put_clock_wrong(struct hubproc *h)
{
    static char preload[600], file[600];
    char path[512];
    int64_t off = OFF_MS;
    hubproc_path(h, "clock", path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && write(fd, &off, sizeof(off)) == (ssize_t)sizeof(off));
    close(fd);
    snprintf(preload, sizeof(preload), "LD_PRELOAD=" STOA_WRONG_CLOCK);
    snprintf(file, sizeof(file), "STOA_WRONG_CLOCK=%s", path);
    h->wrap[0] = "env";
    h->wrap[1] = preload;
    h->wrap[2] = file;
}
#endif

static int setup(void **state)
{
    (void)state;
    if (!regionproc_open(&region, 3))
        fail_msg("%s", region.why);
    for (unsigned i = 0; i < 3; i++) {
        ops_socket(&region.relay[i]);
        hubproc_set(&region.relay[i], "drain.grace_ms=%u", GRACE_MS);
    }
    for (unsigned i = 0; i < 2; i++)
        if (!regionproc_start(&region, i))
            fail_msg("%s", region.why);
    settled(3);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ops_close();
    regionproc_close(&region);
    return 0;
}

static void a_redis_that_is_gone_is_named_and_its_return_seen(void **state)
{
    (void)state;
    (void)ops_expect(&region.relay[0], "");
    redisproc_kill(&region.redis);
    const json_t *f = ops_expect(&region.relay[0], "bus_gone");
    assert_non_null(strstr(ops_text(f, "effect"), "none is lost"));
    assert_non_null(strstr(ops_try(f, 0), "redis-cli -"));
    assert_null(strstr(ops_try(f, 0), "REGION"));
    if (!redisproc_start(&region.redis))
        fail_msg("%s", region.redis.why);
    (void)ops_expect(&region.relay[0], "");
    (void)ops_expect(&region.relay[1], "");
}

static void lag_tells_of_the_other_relays(void **state)
{
    (void)state;
    json_t *lag = ops_ask(&region.relay[1], "lag");
    char *text = json_dumps(lag, 0);
    assert_non_null(text);
    assert_non_null(strstr(text, "relay r0"));
    assert_non_null(strstr(text, "relay r1 (this)"));
    free(text);
    json_decref(lag);
}

static void ledger_sql(const char *sql)
{
    if (!pgproc_sql(&region.pg, REGIONPROC_DATABASE, sql, NULL, 0))
        fail_msg("%s", region.pg.why);
}

/* How long ago the relay heard of r1, as it says. */
static uint64_t age_of_r1(void)
{
    uint64_t age = 0;
    size_t i;
    json_t *row, *lag = ops_ask(&region.relay[0], "lag");
    json_array_foreach(json_object_get(lag, "lag"), i, row)
    {
        const char *what = json_string_value(json_object_get(row, "what"));
        if (what && strcmp(what, "relay r1") == 0)
            age = (uint64_t)json_integer_value(json_object_get(row, "age_ms"));
    }
    json_decref(lag);
    return age;
}

/* Nobody writes, and the server takes connections and says nothing: it is named all the same,
 * and what was heard of the others last grows old. */
static void a_server_that_hangs_is_named_when_nobody_writes(void **state)
{
    bool late = false;
    (void)state;
    (void)ops_expect(&region.relay[0], "");
    pgproc_pause(&region.pg, true);
    const json_t *f = ops_expect(&region.relay[0], "store_away");
    assert_non_null(strstr(ops_try(f, 0), "pg_isready"));
    for (int tries = 0; tries < 100 && !late; tries++, ops_nap(100))
        late = age_of_r1() >= 3000;
    pgproc_pause(&region.pg, false);
    assert_true(late);
    (void)ops_expect(&region.relay[0], "");
    settled(3);
}

/* Somebody's psql that holds the slots' rows, as long as it takes. */
static void *hold_rows(void *context)
{
    (void)context;
    (void)!pgproc_sql(&region.pg, REGIONPROC_DATABASE,
                      "BEGIN; SELECT slot FROM stoa.slot ORDER BY slot FOR UPDATE;"
                      " SELECT pg_sleep(40)",
                      NULL, 0);
    return NULL;
}

/* Relays write under names of their own: who waits for a row is told from who holds it, at
 * every relay, and the command that is told ends the right session. */
static void a_row_that_is_held_is_named_and_not_the_relay_that_waits(void **state)
{
    struct wirekit k;
    struct person p;
    struct wire_result r = {.code = 1};
    pthread_t psql;
    char holder[64] = "", said[300], sql[100];
    (void)state;
    assert_true(wirekit_open(&k, region.relay[0].port, NULL));
    open_account(&k, &p, 7);
    (void)ops_expect(&region.relay[0], "");
    assert_int_equal(pthread_create(&psql, NULL, hold_rows, NULL), 0);
    for (int i = 0; i < 100 && !holder[0]; i++, ops_nap(50))
        assert_true(pgproc_sql(&region.pg, REGIONPROC_DATABASE,
                               "SELECT pid FROM pg_stat_activity WHERE application_name ="
                               " 'psql' AND state = 'active' AND query LIKE '%pg_sleep(40)'"
                               " AND pid <> pg_backend_pid()",
                               holder, sizeof(holder)));
    person_note(&p, 20);
    struct bytes b = person_bytes(&p);
    assert_true(wirekit_submit(&k, &b, 1, 0));
    snprintf(said, sizeof(said), "pid %.*s, ", (int)strcspn(holder, "\n"), holder);
    for (unsigned i = 0; i < 2; i++) {
        const json_t *f = ops_expect(&region.relay[i], "store_lock");
        if (!strstr(ops_text(f, "said"), said))
            fail_msg("not %s: %s", said, ops_text(f, "said"));
        assert_null(strstr(ops_text(f, "seen"), " 0 sessions of ours"));
        const char *command = strstr(ops_try(f, 0), "SELECT pg_cancel_backend(");
        assert_non_null(command);
        snprintf(sql, sizeof(sql), "%.*s", (int)strcspn(command, "'"), command);
    }
    ledger_sql(sql);
    pthread_join(psql, NULL);
    assert_true(wirekit_expect(&k, WIRE_RESULTS, 30000));
    for (int i = 0; i < 100 && r.code != 0; i++, ops_nap(100))
        assert_true(wirekit_submit_one(&k, person_bytes(&p), &r));
    assert_int_equal(r.code, 0);
    wirekit_close(&k);
    person_free(&p);
    (void)ops_expect(&region.relay[0], "");
    (void)ops_expect(&region.relay[1], "");
}

/* Its owner is killed, and the rows of the leases let nobody take them over. */
static void a_slot_without_an_owner_is_named_and_its_next_one_seen(void **state)
{
    int owner[REGIONPROC_SLOTS];
    char slot[32], said[64];
    int first = 0, lost = 0;
    (void)state;
    (void)ops_expect(&region.relay[0], "");
    assert_true(regionproc_owners(&region, owner));
    for (int i = REGIONPROC_SLOTS; i-- > 0;)
        if (owner[i] == 1) {
            first = i;
            lost++;
        }
    assert_true(lost > 0);
    ledger_sql("CREATE FUNCTION public.keep() RETURNS trigger LANGUAGE plpgsql AS"
               " 'BEGIN IF new.epoch <> old.epoch THEN RAISE EXCEPTION ''kept''; END IF;"
               " RETURN new; END';"
               "CREATE TRIGGER keep BEFORE UPDATE ON stoa.lease FOR EACH ROW"
               " EXECUTE FUNCTION public.keep()");
    hubproc_kill(&region.relay[1]);
    const json_t *f = ops_expect(&region.relay[0], "slot_unowned");
    snprintf(said, sizeof(said), "%d of %d slots have no owner", lost, REGIONPROC_SLOTS);
    assert_non_null(strstr(ops_text(f, "said"), said));
    snprintf(slot, sizeof(slot), "slot %02x first", (unsigned)first);
    assert_non_null(strstr(ops_text(f, "said"), slot));
    assert_non_null(strstr(ops_text(f, "effect"), "unavailable"));
    assert_non_null(strstr(ops_try(f, 0), "stoactl lag"));
    /* As it is told: one relay is left. */
    json_t *lag = ops_ask(&region.relay[0], "lag");
    char *text = json_dumps(lag, 0);
    assert_non_null(text);
    assert_non_null(strstr(text, "relay r0 (this)"));
    assert_null(strstr(text, "relay r1"));
    free(text);
    json_decref(lag);
    ledger_sql("DROP TRIGGER keep ON stoa.lease");
    (void)ops_expect(&region.relay[0], "");
    settled(1);
    if (!regionproc_start(&region, 1))
        fail_msg("%s", region.why);
    settled(3);
}

static void a_clock_that_is_off_is_named(void **state)
{
    (void)state;
#ifdef STOA_WRONG_CLOCK
    put_clock_wrong(&region.relay[2]);
    if (!regionproc_start(&region, 2))
        fail_msg("%s", region.why);
    settled(7);
    const json_t *f = ops_expect(&region.relay[2], "clock_skew");
    assert_non_null(strstr(ops_text(f, "seen"), "-6"));
    assert_non_null(strstr(ops_try(f, 0), "timedatectl"));
    (void)ops_expect(&region.relay[0], "");
    hubproc_kill(&region.relay[2]);
    settled(3);
#else
    skip();
#endif
}

/* A client of the relay that drains: every entry is accepted until it is sent away, and what
 * was not answered then is taken at the other relay. */
static void a_relay_that_drains_refuses_nobody(void **state)
{
    struct wirekit k, other;
    struct person p;
    struct wire_result r;
    unsigned accepted = 0;
    bool answered = true;
    (void)state;
    assert_true(wirekit_open(&k, region.relay[0].port, NULL));
    open_account(&k, &p, 1);
    json_t *drain = ops_ask(&region.relay[0], "drain");
    assert_false(json_is_true(json_object_get(drain, "already")));
    json_decref(drain);
    while (answered) {
        person_note(&p, 20);
        answered = wirekit_submit_one(&k, person_bytes(&p), &r);
        if (answered) {
            assert_int_equal(r.code, 0);
            accepted++;
        }
    }
    assert_true(accepted > 0);
    assert_int_equal(k.f.type, WIRE_BYE);
    assert_int_equal(k.f.code, ERR_DRAINING);
    assert_in_range(k.f.retry_after_ms, 0, 1000);
    assert_int_equal(hubproc_wait(&region.relay[0], GRACE_MS + 5000), 0);
    settled(2);
    assert_true(wirekit_open(&other, region.relay[1].port, NULL));
    assert_true(wirekit_submit_one(&other, person_bytes(&p), &r));
    assert_int_equal(r.code, 0);
    wirekit_close(&k);
    wirekit_close(&other);
    person_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_redis_that_is_gone_is_named_and_its_return_seen),
        cmocka_unit_test(lag_tells_of_the_other_relays),
        cmocka_unit_test(a_server_that_hangs_is_named_when_nobody_writes),
        cmocka_unit_test(a_row_that_is_held_is_named_and_not_the_relay_that_waits),
        cmocka_unit_test(a_slot_without_an_owner_is_named_and_its_next_one_seen),
        cmocka_unit_test(a_clock_that_is_off_is_named),
        cmocka_unit_test(a_relay_that_drains_refuses_nobody),
    };
    if (!regionproc_there(&region)) {
        printf("skipped: no postgres or no redis\n");
        return 77;
    }
    if (!crypto_start())
        return 1;
    return cmocka_run_group_tests(tests, setup, teardown);
}
