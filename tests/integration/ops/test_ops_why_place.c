/* A relay one of whose slots stands at a second Postgres, and that one is locked, slow, hangs,
 * is away: `why` names it and the slot, within its time, and the command it says to type is one
 * for that server. */
#include "tests/integration/hub.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "ledger/store_postgres_move.h"
#include "ledger/store_postgres_schema.h"
#include "relay/why.h"
#include "tests/integration/ops/server.h"
#include "tests/lib/clock.h"

#define SECRET "a-file-with-a-password"
/* The hub's own server answers at once; the rest is for a crowded machine. */
#define ANSWER_MS (WHY_PLACES_MS + 2000u)

static struct ops_writer w;
static struct pgproc first, second;
static char slot[16], name[200], way[100];

static void ignore_row(void *context, const struct postgres_schema_row *row)
{
    (void)context;
    (void)row;
}

static void open_servers(char own[256])
{
    struct pgproc *const servers[] = {&first, &second};
    for (unsigned i = 0; i < 2; i++)
        if (!pgproc_open(servers[i]) || !pgproc_database(servers[i], "stoa"))
            fail_msg("%s", servers[i]->why);
    pgproc_uri(&first, "stoa", 0, own, 256);
    snprintf(way, sizeof(way), " -h '127.0.0.1' -p '%u' -d 'stoa'", second.port);
}

/* To a database of the second server. */
static void move_slot(uint32_t number, const char *database)
{
    struct store_why why;
    char own[256], place[200], to[400];
    int version;
    pgproc_uri(&first, "stoa", 0, own, sizeof(own));
    pgproc_uri(&second, database, 0, place, sizeof(place));
    if (postgres_schema_apply(place, &version, ignore_row, NULL, &why) != ERR_OK)
        fail_msg("%s", why.text);
    snprintf(to, sizeof(to), "%s?passfile=/nowhere/" SECRET, place);
    struct move_order o = {.store = own, .to = to, .slot = number};
    if (postgres_move(&o, &why) != ERR_OK)
        fail_msg("%s", why.text);
}

static uint32_t slots(void)
{
    char out[16];
    assert_true(pgproc_sql(&first, "stoa", "SELECT count(*) FROM stoa.slot", out,
                           sizeof(out)));
    return (uint32_t)atoi(out);
}

/* That of the person's account. */
static void move_person(void)
{
    uint32_t number = slot_of(&w.p.account, slots());
    move_slot(number, "stoa");
    pgproc_uri(&second, "stoa", 0, name, sizeof(name));
    snprintf(slot, sizeof(slot), "slot %02x", (unsigned)number);
}

static int setup(void **state)
{
    char own[256];
    (void)state;
    assert_true(crypto_start());
    open_servers(own);
    ops_writer_open(&w, own);
    move_person();
    ops_submit_note(&w);
    ops_well_again(&w);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    int code = ops_writer_close(&w);
    pgproc_close(&first);
    pgproc_close(&second);
    return code == 0 ? 0 : -1;
}

/* What `why` says, in time and nothing of files; to be released, and so is `text`. */
static json_t *asked(char **text)
{
    uint64_t began = mono_ms();
    json_t *answer = ops_ask(&w.hub, "why");
    uint64_t took = mono_ms() - began;
    if (took > ANSWER_MS)
        fail_msg("why took %llu ms", (unsigned long long)took);
    *text = json_dumps(answer, 0);
    assert_non_null(*text);
    assert_null(strstr(*text, SECRET));
    return answer;
}

/* The row of the second server among what was looked at. */
static void look(char state[16], char seen[WHY_TEXT_MAX])
{
    char *text;
    json_t *answer = asked(&text), *row;
    size_t i;
    state[0] = seen[0] = 0;
    free(text);
    json_array_foreach(json_object_get(answer, "looked"), i, row)
        if (strcmp(ops_text(row, "what"), "place") == 0) {
            assert_int_equal(state[0], 0); /* one row */
            snprintf(state, 16, "%s", ops_text(row, "state"));
            snprintf(seen, WHY_TEXT_MAX, "%s", ops_text(row, "seen"));
        }
    json_decref(answer);
}

/* `why` names this cause first, the second server, and its slot. */
static const json_t *named(const char *cause)
{
    const json_t *f = ops_expect(&w.hub, cause);
    const char *said = ops_text(f, "said");
    if (!strstr(said, slot) || !strstr(said, name))
        fail_msg("no %s, or no %s in: %s", slot, name, said);
    if (!strstr(ops_try(f, 0), way))
        fail_msg("no%s in: %s", way, ops_try(f, 0));
    return f;
}

static void a_second_server_is_looked_at(void **state)
{
    char is[16], seen[WHY_TEXT_MAX];
    (void)state;
    look(is, seen);
    assert_string_equal(is, "ok");
    assert_non_null(strstr(seen, name));
    assert_non_null(strstr(seen, slot));
}

static void a_lock_there_is_named_and_the_command_ends_it(void **state)
{
    struct ops_lock lock;
    (void)state;
    ops_lock_begin(&lock, &second);
    ops_submit_note(&w);
    ops_lock_ended_by(&lock, named("place_lock"));
    ops_well_again(&w);
}

static void a_slow_one_is_named(void **state)
{
    (void)state;
    ops_slow(&second, true);
    ops_submit_note(&w);
    (void)named("place_slow");
    ops_slow(&second, false);
    ops_well_again(&w);
}

static void one_whose_disk_is_full_is_named(void **state)
{
    char is[16], seen[WHY_TEXT_MAX];
    (void)state;
    ops_full(&second, true);
    ops_submit_note(&w);
    (void)named("disk_full");
    look(is, seen);
    assert_string_equal(is, "bad");
    ops_full(&second, false);
    ops_well_again(&w);
}

static void one_that_hangs_is_named_in_time(void **state)
{
    char is[16], seen[WHY_TEXT_MAX] = "";
    (void)state;
    pgproc_pause(&second, true);
    ops_submit_note(&w);
    const json_t *f = named("place_away");
    assert_non_null(strstr(ops_text(f, "seen"), "no answer in 1500 ms"));
    for (int i = 0; i < 40 && !strstr(seen, "hangs"); i++, ops_nap(200))
        look(is, seen);
    assert_string_equal(is, "bad");
    assert_non_null(strstr(seen, "hangs, no session, no answer"));
    f = named("place_away");
    assert_non_null(strstr(ops_text(f, "said"), "hangs"));
    pgproc_pause(&second, false);
    ops_well_again(&w);
}

static void one_that_is_away_is_named_and_its_return_seen(void **state)
{
    (void)state;
    pgproc_stop(&second, SIGQUIT);
    ops_submit_note(&w);
    const json_t *f = named("place_away");
    assert_non_null(strstr(ops_try(f, 0), "pg_isready"));
    assert_non_null(strstr(ops_text(f, "seen"), "refused"));
    if (!pgproc_start(&second))
        fail_msg("%s", second.why);
    ops_well_again(&w);
}

/* Moved while the relay slept, to where it may not connect: it has never had that one open. */
static void one_that_cannot_be_opened_is_named(void **state)
{
    char said[64];
    uint32_t number = (slot_of(&w.p.account, slots()) + 1) % slots();
    const json_t *f;
    (void)state;
    assert_true(pgproc_database(&second, "other"));
    hubproc_signal(&w.hub, SIGSTOP);
    move_slot(number, "other");
    assert_true(pgproc_sql(&second, "stoa",
                           "ALTER DATABASE other ALLOW_CONNECTIONS false", NULL, 0));
    hubproc_signal(&w.hub, SIGCONT);
    f = ops_expect(&w.hub, "place_away");
    snprintf(said, sizeof(said), "slot %02x is away: ", (unsigned)number);
    assert_non_null(strstr(ops_text(f, "said"), said));
    assert_non_null(strstr(ops_text(f, "said"), "/other"));
    assert_non_null(strstr(ops_text(f, "seen"), "not currently accepting connections"));
    assert_non_null(strstr(ops_try(f, 0), "-d 'other'"));
    assert_true(pgproc_sql(&second, "stoa", "ALTER DATABASE other ALLOW_CONNECTIONS true",
                           NULL, 0));
    (void)ops_expect(&w.hub, "");
}

/* Until so many servers are open: one that hangs while it is opened is left alone for long. */
static void wait_for_places(unsigned count)
{
    unsigned open = 0;
    for (int i = 0; i < 100 && open != count; i++, ops_nap(100)) {
        json_t *answer = ops_ask(&w.hub, "why");
        size_t at;
        json_t *row;
        open = 0;
        json_array_foreach(json_object_get(answer, "looked"), at, row)
            open += strcmp(ops_text(row, "what"), "place") == 0 &&
                    strcmp(ops_text(row, "state"), "ok") == 0;
        json_decref(answer);
    }
    assert_int_equal(open, count);
}

/* Five places, all of which hang: no answer waits for each of them. */
static void when_many_hang_the_rest_is_said_to_be_not_looked_at(void **state)
{
    static const char *const databases[] = {"more1", "more2", "more3"};
    uint32_t number = slot_of(&w.p.account, slots()) + 2;
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        assert_true(pgproc_database(&second, databases[i]));
        move_slot((number + i) % slots(), databases[i]);
    }
    wait_for_places(5);
    (void)ops_expect(&w.hub, "");
    pgproc_pause(&second, true);
    ops_submit_note(&w);
    (void)named("place_away");
    char *text;
    json_decref(asked(&text));
    pgproc_pause(&second, false);
    assert_non_null(strstr(text, "2 were not looked at, the time was up"));
    assert_non_null(strstr(text, "not looked at: the time was up"));
    free(text);
    ops_well_again(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_server_is_looked_at),
        cmocka_unit_test(a_lock_there_is_named_and_the_command_ends_it),
        cmocka_unit_test(a_slow_one_is_named),
        cmocka_unit_test(one_whose_disk_is_full_is_named),
        cmocka_unit_test(one_that_hangs_is_named_in_time),
        cmocka_unit_test(one_that_is_away_is_named_and_its_return_seen),
        cmocka_unit_test(one_that_cannot_be_opened_is_named),
        cmocka_unit_test(when_many_hang_the_rest_is_said_to_be_not_looked_at),
    };
    if (!pgproc_there()) {
        printf("skipped: no postgres\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, setup, teardown);
}
