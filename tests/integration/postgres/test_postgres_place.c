/* Slots on two servers, and moving them: what is asked of the store is what a model says,
 * wherever a slot is; a move that ends at any step leaves exactly one place that can be
 * written. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "ledger/projection.h"
#include "ledger/store_lease.h"
#include "ledger/store_postgres.h"
#include "ledger/store_postgres_move.h"
#include "ledger/store_postgres_schema.h"
#include "tests/integration/postgres/edge.h"
#include "tests/lib/clock.h"

#define SLOT 3u
#define OTHER 7u
#define QUICK_MS (POSTGRES_PLACE_MS - 1000u) /* on a crowded machine; nobody waited for a place */

static struct pgproc second;
static unsigned databases;
static char second_name[40], second_uri[400];

static void ignore_row(void *context, const struct postgres_schema_row *row)
{
    (void)context;
    (void)row;
}

static bool make_place(struct pgproc *p, const char *name, char uri[400])
{
    struct store_why why;
    int version;
    if (!pgproc_database(p, name))
        return false;
    pgproc_uri(p, name, 0, uri, 400);
    return postgres_schema_apply(uri, &version, ignore_row, NULL, &why) == ERR_OK;
}

/* An empty database on the second server for each test. */
static int setup(void **state)
{
    snprintf(second_name, sizeof second_name, "place%u", databases++);
    return make_place(&second, second_name, second_uri) ? suite_setup(state) : 1;
}

static void second_sql(const char *sql)
{
    if (!pgproc_sql(&second, second_name, sql, NULL, 0))
        fail_msg("%s", second.why);
}

/* Every session of the second server, by their process: it answers no more itself. */
static void second_cut(void)
{
    char pids[2000] = "", *at = pids;
    assert_true(pgproc_sql(&second, second_name,
                           "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                           " AND backend_type = 'client backend'",
                           pids, sizeof pids));
    assert_int_equal(kill(second.pid, SIGSTOP), 0);
    for (long pid; (pid = strtol(at, &at, 10)) > 0;)
        assert_int_equal(kill((pid_t)pid, SIGTERM), 0);
}

static enum err move(const struct suite *s, uint32_t slot, const char *to,
                     struct store_why *why)
{
    struct move_order o = {.store = s->uri, .to = to, .slot = slot};
    return postgres_move(&o, why);
}

static void must_move(const struct suite *s, uint32_t slot, const char *to)
{
    struct store_why why;
    enum err e = move(s, slot, to, &why);
    if (e != ERR_OK)
        fail_msg("%s: %s", err_word(e), why.text);
}

static void claim(struct suite *s, uint32_t slot)
{
    enum err e = s->store->ops->claim(s->store, slot, &s->slot[slot].feed.epoch);
    if (e != ERR_OK)
        fail_msg("claim of slot %u: %s", (unsigned)slot, err_word(e));
}

/* At how many places the slot says that it is there. */
static unsigned places(const struct suite *s, uint32_t slot)
{
    char sql[100], out[2][16];
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM stoa.slot WHERE slot = %u AND placed = 'here'",
             (unsigned)slot);
    assert_true(
        pgproc_sql(suite_server(), suite_database(s), sql, out[0], sizeof out[0]));
    assert_true(pgproc_sql(&second, second_name, sql, out[1], sizeof out[1]));
    return (unsigned)(atoi(out[0]) + atoi(out[1]));
}

static bool at_second(void)
{
    char sql[100], row[16];
    snprintf(sql, sizeof sql, "SELECT placed = 'here' FROM stoa.slot WHERE slot = %u",
             SLOT);
    assert_true(pgproc_sql(&second, second_name, sql, row, sizeof row));
    return row[0] == 't';
}

static void write_and_check(struct suite *s, uint32_t slot, size_t records)
{
    assert_int_equal(suite_append_items(s, slot, records, 0), STORE_COMMITTED);
    suite_check_all(s);
    suite_check_lookups(s, slot, 37);
}

static void a_slot_moves_while_the_store_is_open_and_back(void **state)
{
    struct suite *s = *state;
    struct store_why why;
    write_and_check(s, SLOT, 700);
    write_and_check(s, OTHER, 300);
    must_move(s, SLOT, second_uri);
    /* Who had it finds out; every other slot goes on. */
    assert_int_equal(suite_append(s, SLOT, 1), STORE_LOST);
    assert_int_equal(suite_append(s, OTHER, 1), STORE_COMMITTED);
    claim(s, SLOT);
    write_and_check(s, SLOT, 700);
    write_and_check(s, OTHER, 3);
    assert_int_equal(places(s, SLOT), 1);
    assert_int_equal(move(s, SLOT, second_uri, &why), ERR_OK); /* it is there */
    write_and_check(s, SLOT, 1);
    suite_reopen(s);
    suite_check_all(s);
    claim(s, SLOT);
    write_and_check(s, SLOT, 5);
    must_move(s, SLOT, s->uri);
    assert_int_equal(suite_append(s, SLOT, 1), STORE_LOST);
    claim(s, SLOT);
    write_and_check(s, SLOT, 600);
    assert_int_equal(places(s, SLOT), 1);
    must_move(s, SLOT, second_uri); /* onto what the first stay left there */
    suite_reopen(s);
    claim(s, SLOT);
    write_and_check(s, SLOT, 2);
}

/* One append over both servers: each slot is answered for itself. */
static void an_append_over_two_servers_is_answered_for_each_slot(void **state)
{
    struct suite *s = *state;
    struct feed_append f[3];
    struct store_append a[3];
    enum store_outcome out[3];
    uint32_t slots[] = {SLOT, OTHER, 9};
    must_move(s, SLOT, second_uri);
    claim(s, SLOT);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3; i++) {
            suite_make(s, &f[i], slots[i], 40);
            a[i] = f[i].a;
        }
        if (round == 1)
            a[1].epoch += 1;
        if (round == 2)
            pgproc_stop(&second, SIGQUIT);
        s->store->ops->append(s->store, a, 3, out);
        assert_int_equal(out[0], round == 2 ? STORE_UNKNOWN : STORE_COMMITTED);
        assert_int_equal(out[1], round == 1 ? STORE_LOST : STORE_COMMITTED);
        assert_int_equal(out[2], STORE_COMMITTED);
        for (int i = 0; i < 3; i++) {
            if (out[i] == STORE_COMMITTED)
                suite_commit(s, &f[i]);
            feed_close(&f[i]);
        }
    }
    assert_true(pgproc_start(&second));
    edge_nap(2500);
    claim(s, SLOT);
    suite_check_all(s);
    write_and_check(s, SLOT, 10);
}

static void attachments_go_along_and_are_erased_everywhere(void **state)
{
    struct suite *s = *state;
    struct buf got = {0};
    char out[16];
    assert_int_equal(suite_append(s, SLOT, 10), STORE_COMMITTED);
    const struct hash *early = &s->slot[SLOT].records[2].id,
                      *late = &s->slot[SLOT].records[3].id;
    assert_int_equal(s->store->ops->sealed_put(s->store, early, bytes_of("abc", 3)),
                     ERR_OK);
    must_move(s, SLOT, second_uri);
    assert_int_equal(s->store->ops->sealed_put(s->store, late, bytes_of("defg", 4)),
                     ERR_STORE);
    claim(s, SLOT);
    assert_int_equal(s->store->ops->sealed_put(s->store, late, bytes_of("defg", 4)),
                     ERR_OK);
    assert_int_equal(s->store->ops->sealed_put(s->store, late, bytes_of("x", 1)),
                     ERR_EXISTS);
    assert_int_equal(s->reader->ops->sealed(s->reader, early, &got), ERR_OK);
    assert_int_equal(got.size, 3);
    assert_true(pgproc_sql(suite_server(), suite_database(s),
                           "SELECT count(*) FROM stoa.sealed", out, sizeof out));
    assert_string_equal(out, "0");
    assert_int_equal(s->store->ops->sealed_erase(s->store, early), ERR_OK);
    assert_int_equal(s->store->ops->sealed_erase(s->store, early), ERR_NOT_FOUND);
    assert_int_equal(s->reader->ops->sealed(s->reader, early, &got), ERR_NOT_FOUND);
    buf_close(&got);
}

/* ---- a move that ends in its midst ---- */

struct ending {
    enum move_step at;
    bool killed; /* the process; else the caller walks away */
};

static bool end_there(void *context, const struct move_progress *p)
{
    const struct ending *x = context;
    if (p->step != x->at)
        return true;
    if (x->killed)
        kill(getpid(), SIGKILL);
    return false;
}

static void break_off(const struct suite *s, struct ending x, const char *to)
{
    struct store_why why;
    struct move_order o = {
        .store = s->uri, .to = to, .slot = SLOT, .progress = end_there, .context = &x};
    pid_t pid = fork();
    int status;
    if (pid == 0)
        _exit(postgres_move(&o, &why) == ERR_OK ? 1 : 0);
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    assert_true(x.killed ? WIFSIGNALED(status)
                         : WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void a_move_that_breaks_off_leaves_one_place(void **state)
{
    struct suite *s = *state;
    bool there = false; /* on the second server */
    assert_int_equal(suite_append_items(s, SLOT, 300, 0), STORE_COMMITTED);
    for (int step = MOVE_FOUND; step <= MOVE_TOLD; step++)
        for (int killed = step == MOVE_FROZEN || step == MOVE_AWAY ? 0 : 1; killed < 2;
             killed++) {
            const char *to = there ? s->uri : second_uri;
            break_off(s, (struct ending){(enum move_step)step, killed}, to);
            there = step >= MOVE_AWAY ? !there : there;
            assert_true(places(s, SLOT) <= 1);
            /* Whoever had it goes on, or loses it to a claim; nobody writes at two
             * places. */
            enum store_outcome out = suite_append(s, SLOT, 1);
            assert_int_equal(out, step < MOVE_FROZEN ? STORE_COMMITTED : STORE_LOST);
            if (out == STORE_LOST) {
                edge_nap(300); /* the server notices that who moved it is gone */
                claim(s, SLOT);
            }
            assert_int_equal(places(s, SLOT), 1);
            assert_int_equal(suite_append_items(s, SLOT, 20, 0), STORE_COMMITTED);
            suite_reopen(s);
            claim(s, SLOT);
            write_and_check(s, SLOT, 2);
            assert_int_equal(at_second(), there);
        }
    must_move(s, SLOT, there ? s->uri : second_uri);
    claim(s, SLOT);
    write_and_check(s, SLOT, 20);
}

/* ---- two at once ---- */

static void *hold_ledger(void *context)
{
    (void)context; /* ends when its session is */
    (void)!pgproc_sql(&second, second_name,
                      "BEGIN; LOCK TABLE stoa.ledger IN ACCESS EXCLUSIVE MODE;"
                      " SELECT pg_sleep(60)",
                      NULL, 0);
    return NULL;
}

/* Until a session on the second server waits (or sleeps) as said. */
static void until_there(const char *what)
{
    char text[300], out[16] = "";
    snprintf(text, sizeof text,
             "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = '%s' AND %s",
             second_name, what);
    for (int i = 0; i < 200 && out[0] != 't'; i++) {
        assert_true(pgproc_sql(&second, second_name, text, out, sizeof out));
        edge_nap(20);
    }
    assert_int_equal(out[0], 't');
}

/* One has looked where the slot is and sleeps; another one moves it meanwhile and dies when the
 * old place has given it up. The first must not clear what is the only copy by now. */
static void a_move_that_was_overtaken_clears_nothing(void **state)
{
    struct suite *s = *state;
    struct store_why why;
    struct buf got = {0};
    char items[2][16];
    pthread_t holder;
    int status;
    must_move(s, OTHER, second_uri); /* which makes the ledger there */
    assert_int_equal(suite_append_items(s, SLOT, 300, 0), STORE_COMMITTED);
    const struct hash *entry = &s->slot[SLOT].records[2].id;
    assert_int_equal(s->store->ops->sealed_put(s->store, entry, bytes_of("abc", 3)),
                     ERR_OK);
    static const char count[] = "SELECT count(*) FROM stoa.outbox WHERE slot = 3";
    assert_true(pgproc_sql(suite_server(), suite_database(s), count, items[0], 16));
    assert_int_equal(pthread_create(&holder, NULL, hold_ledger, NULL), 0);
    until_there("wait_event = 'PgSleep'");
    pid_t slow = fork();
    if (slow == 0)
        _exit((int)move(s, SLOT, second_uri, &why));
    until_there("wait_event_type = 'Lock'"); /* it has looked, and comes to the new place */
    assert_int_equal(kill(slow, SIGSTOP), 0);
    second_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
               " WHERE wait_event = 'PgSleep'");
    pthread_join(holder, NULL);
    break_off(s, (struct ending){MOVE_AWAY, true}, second_uri);
    edge_nap(300); /* the server notices */
    assert_int_equal(kill(slow, SIGCONT), 0);
    assert_int_equal(waitpid(slow, &status, 0), slow);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), ERR_LOCKED);
    claim(s, SLOT);
    claim(s, OTHER);
    assert_true(at_second());
    assert_true(pgproc_sql(&second, second_name, count, items[1], 16));
    assert_string_equal(items[1], items[0]);
    assert_int_equal(s->reader->ops->sealed(s->reader, entry, &got), ERR_OK);
    buf_close(&got);
    write_and_check(s, SLOT, 20);
}

/* While it is being moved a claim waits, and an owner of long ago stays out for ever. */
struct held {
    struct suite *s;
    enum err claimed;
};

static bool claim_while_frozen(void *context, const struct move_progress *p)
{
    struct held *h = context;
    uint64_t epoch;
    if (p->step == MOVE_FROZEN || p->step == MOVE_VERIFIED)
        h->claimed = h->s->store->ops->claim(h->s->store, SLOT, &epoch);
    return true;
}

static void nobody_takes_a_slot_that_is_being_moved(void **state)
{
    struct suite *s = *state;
    struct held h = {s, ERR_OK};
    struct store_why why;
    struct move_order o = {.store = s->uri,
                           .to = second_uri,
                           .slot = SLOT,
                           .progress = claim_while_frozen,
                           .context = &h};
    assert_int_equal(suite_append(s, SLOT, 30), STORE_COMMITTED);
    assert_int_equal(postgres_move(&o, &why), ERR_OK);
    assert_int_equal(h.claimed, ERR_STORE);
    claim(s, SLOT);
    write_and_check(s, SLOT, 3);
    /* The old place by itself: neither claim nor append. */
    edge_refuses(s,
                 "SELECT 1 / count(*) FROM stoa.slot WHERE slot = 3 AND placed = 'here'");
}

/* ---- places that are not what they should be ---- */

static void a_copy_that_is_not_what_was_signed_does_not_count(void **state)
{
    struct suite *s = *state;
    struct store_why why;
    assert_int_equal(suite_append(s, SLOT, 300), STORE_COMMITTED);
    second_sql(
        "CREATE FUNCTION public.hurt() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF new.idx = 123 THEN new.envelope = set_byte(new.envelope, 20, 1 +"
        " get_byte(new.envelope, 20) % 200); END IF; RETURN new; END $$;"
        "CREATE TRIGGER hurt BEFORE INSERT ON stoa.record FOR EACH ROW EXECUTE FUNCTION"
        " public.hurt()");
    assert_int_equal(move(s, SLOT, second_uri, &why), ERR_CORRUPT);
    assert_non_null(strstr(why.text, "not what was signed"));
    write_and_check(s, SLOT, 5);
    second_sql(
        "DROP TRIGGER hurt ON stoa.record;"
        "CREATE OR REPLACE FUNCTION public.hurt() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN IF new.n = 0 THEN RETURN NULL; END IF; RETURN new; END $$;"
        "CREATE TRIGGER hurt BEFORE INSERT ON stoa.tile FOR EACH ROW EXECUTE FUNCTION"
        " public.hurt()");
    assert_int_equal(move(s, SLOT, second_uri, &why), ERR_CORRUPT);
    write_and_check(s, SLOT, 5);
    second_sql("DROP TRIGGER hurt ON stoa.tile");
    must_move(s, SLOT, second_uri);
    claim(s, SLOT);
    write_and_check(s, SLOT, 5);
}

static void a_place_from_before_the_move_is_refused(void **state)
{
    struct suite *s = *state;
    uint64_t epoch;
    assert_int_equal(suite_append(s, SLOT, 30), STORE_COMMITTED);
    must_move(s, SLOT, second_uri);
    claim(s, SLOT);
    second_sql(
        "UPDATE stoa.slot SET placed = 'away', moves = 0, place = NULL WHERE slot = 3");
    assert_int_equal(s->store->ops->claim(s->store, SLOT, &epoch), ERR_BEHIND);
    second_sql("UPDATE stoa.slot SET placed = 'here', moves = 1 WHERE slot = 3");
    claim(s, SLOT);
}

static void a_place_is_no_hub(void **state)
{
    struct suite *s = *state;
    struct store *other = NULL;
    struct store_why why;
    assert_int_equal(suite_append(s, SLOT, 30), STORE_COMMITTED);
    must_move(s, SLOT, second_uri);
    assert_int_equal(store_open(second_uri, &other, &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "hub's own"));
    second_sql(
        "UPDATE stoa.ledger SET ledger_id = '\\x00000000000000000000000000000000'");
    assert_int_equal(move(s, OTHER, second_uri, &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "another one"));
}

/* A step of a broken-off move is not made up for where its words may mean something else. */
static void a_newer_schema_on_the_way_is_not_written_to(void **state)
{
    struct suite *s = *state;
    struct store_why why;
    char placed[20];
    assert_int_equal(suite_append(s, SLOT, 30), STORE_COMMITTED);
    must_move(s, SLOT, second_uri);
    second_sql("UPDATE stoa.slot SET placed = 'coming' WHERE slot = 3;"
               "INSERT INTO stoa.schema_migration VALUES (99, 'later', sha256('x'))");
    assert_int_equal(move(s, SLOT, s->uri, &why), ERR_SCHEMA);
    assert_non_null(strstr(why.text, "version 99"));
    assert_true(pgproc_sql(&second, second_name,
                           "SELECT placed FROM stoa.slot WHERE slot = 3", placed,
                           sizeof placed));
    assert_string_equal(placed, "coming");
    second_sql("DELETE FROM stoa.schema_migration WHERE version = 99");
    must_move(s, SLOT, s->uri);
    claim(s, SLOT);
    write_and_check(s, SLOT, 5);
}

/* ---- what a move leaves ---- */

static enum err forget(const struct suite *s, const char *at, struct store_why *why)
{
    struct move_order o = {.store = s->uri, .to = at, .slot = SLOT};
    return postgres_forget(&o, why);
}

static int rows_at(struct pgproc *p, const char *database, const char *table)
{
    char sql[200], out[16];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM stoa.%s", table);
    assert_true(pgproc_sql(p, database, sql, out, sizeof out));
    return atoi(out);
}

static bool forget_meanwhile(void *context, const struct move_progress *p)
{
    struct held *h = context;
    struct store_why why;
    if (p->step == MOVE_FROZEN)
        h->claimed = forget(h->s, second_uri, &why);
    return true;
}

static void what_was_left_is_removed_when_all_is_well_elsewhere(void **state)
{
    struct suite *s = *state;
    struct store_why why;
    struct held h = {s, ERR_OK};
    struct move_order o = {.store = s->uri,
                           .to = second_uri,
                           .slot = SLOT,
                           .progress = forget_meanwhile,
                           .context = &h};
    struct pgproc *first = suite_server();
    write_and_check(s, SLOT, 600);
    write_and_check(s, OTHER, 40);
    assert_int_equal(postgres_move(&o, &why), ERR_OK);
    assert_int_equal(h.claimed, ERR_LOCKED);
    claim(s, SLOT);
    write_and_check(s, SLOT, 30);
    assert_int_equal(forget(s, second_uri, &why), ERR_EXISTS);
    assert_non_null(strstr(why.text, "nothing was removed"));
    /* The only good copy is the old one, as far as anybody knows. */
    second_sql("CREATE TABLE public.kept AS SELECT envelope FROM stoa.record WHERE slot = 3"
               " AND idx = 5; UPDATE stoa.record SET envelope = set_byte(envelope, 20, 1 +"
               " get_byte(envelope, 20) % 200) WHERE slot = 3 AND idx = 5");
    assert_int_equal(forget(s, s->uri, &why), ERR_CORRUPT);
    assert_int_equal(rows_at(first, suite_database(s), "record WHERE slot = 3"), 600);
    second_sql("UPDATE stoa.record SET envelope = (SELECT envelope FROM public.kept)"
               " WHERE slot = 3 AND idx = 5");
    suite_check_slot(s, SLOT);

    assert_int_equal(forget(s, s->uri, &why), ERR_OK);
    assert_int_equal(rows_at(first, suite_database(s), "record WHERE slot = 3"), 0);
    assert_int_equal(rows_at(first, suite_database(s), "tile WHERE slot = 3"), 0);
    write_and_check(s, SLOT, 30);
    write_and_check(s, OTHER, 3);
    suite_reopen(s);
    claim(s, SLOT);
    write_and_check(s, SLOT, 3);
    assert_int_equal(forget(s, s->uri, &why), ERR_OK); /* nothing is left to do */
    must_move(s, SLOT, s->uri);
    claim(s, SLOT);
    write_and_check(s, SLOT, 3);
    assert_int_equal(forget(s, second_uri, &why), ERR_OK);
    suite_reopen(s);
    claim(s, SLOT);
    write_and_check(s, SLOT, 3);
}

/* The hub never learns of a place that a move broke off before; an erased attachment must not
 * live on there. */
static void an_attachment_does_not_outlive_a_move_that_broke_off(void **state)
{
    struct suite *s = *state;
    struct store_why why;
    assert_int_equal(suite_append(s, SLOT, 10), STORE_COMMITTED);
    const struct hash id = s->slot[SLOT].records[2].id, *entry = &id; /* they move */
    for (int again = 0; again < 2; again++) { /* forgotten; and by the next move */
        assert_int_equal(s->store->ops->sealed_put(s->store, entry, bytes_of("abc", 3)),
                         ERR_OK);
        edge_sql(s, "CREATE OR REPLACE FUNCTION public.stay() RETURNS trigger LANGUAGE plpgsql"
                    " AS $$ BEGIN IF new.placed = 'away' THEN RAISE EXCEPTION 'stay'; END IF;"
                    " RETURN new; END $$;"
                    "CREATE TRIGGER stay BEFORE UPDATE ON stoa.slot FOR EACH ROW"
                    " EXECUTE FUNCTION public.stay()");
        assert_int_not_equal(move(s, SLOT, second_uri, &why), ERR_OK);
        edge_sql(s, "DROP TRIGGER stay ON stoa.slot");
        assert_int_equal(rows_at(&second, second_name, "sealed"), 1);
        assert_int_equal(s->store->ops->sealed_erase(s->store, entry), ERR_OK);
        if (again == 0)
            assert_int_equal(forget(s, second_uri, &why), ERR_OK);
        else
            must_move(s, SLOT, second_uri);
        assert_int_equal(rows_at(&second, second_name, "sealed"), 0);
        claim(s, SLOT);
        write_and_check(s, SLOT, 3);
    }
}

/* ---- several relays ---- */

struct seen {
    size_t items, of_moved, channels;
};

static bool count_item(void *context, const struct channel_item *item)
{
    struct seen *n = context;
    n->items++;
    n->of_moved += item->source_slot == SLOT;
    return true;
}

static bool count_channel(void *context, const struct lease_channel *c)
{
    struct seen *n = context;
    assert_int_equal(c->next_in, c->slot == SLOT ? 41 : 17);
    n->channels++;
    return true;
}

static void take(struct suite *s, struct store_lease *l, uint32_t slot)
{
    uint64_t epoch;
    assert_int_equal(s->store->ops->claim(s->store, slot, &epoch), ERR_LOCKED);
    assert_int_equal(l->ops->take(l, slot, 0, false), ERR_OK);
    claim(s, slot);
}

static void relays_share_what_is_on_two_servers(void **state)
{
    struct suite *s = *state;
    struct lease_self self = {.relay = "a", .peer = "h:1", .ttl_ms = 60000}, peer = self;
    struct store_lease *l = NULL, *other_l = NULL;
    struct store *other = NULL;
    struct store_why why;
    uint64_t epoch;
    struct seen seen = {0, 0, 0};
    must_move(s, SLOT, second_uri);
    suite_reopen(s); /* nothing is claimed, and no lock had */
    memset(self.instance, 7, sizeof self.instance);
    memset(peer.instance, 8, sizeof peer.instance);
    snprintf(peer.relay, sizeof peer.relay, "b");
    assert_int_equal(s->store->ops->share(s->store, &self, &l, &why), ERR_OK);
    assert_int_equal(l->ops->beat(l, false), ERR_OK);
    take(s, l, SLOT);
    take(s, l, OTHER);
    assert_int_equal(suite_append_items(s, SLOT, 60, 0), STORE_COMMITTED);
    assert_int_equal(suite_append_items(s, OTHER, 60, 0), STORE_COMMITTED);

    /* Another relay: it has no lease, and reads what was sent from both servers. */
    assert_int_equal(store_open(s->uri, &other, &why), ERR_OK);
    assert_int_equal(other->ops->share(other, &peer, &other_l, &why), ERR_OK);
    assert_int_equal(other_l->ops->beat(other_l, false), ERR_OK);
    assert_int_equal(other->ops->claim(other, SLOT, &epoch), ERR_LOCKED);
    assert_int_equal(other_l->ops->take(other_l, SLOT, 1, false), ERR_LOST);
    struct lease_pair pairs[2 * SUITE_SLOTS];
    for (uint32_t i = 0; i < SUITE_SLOTS; i++) {
        pairs[2 * i] = (struct lease_pair){SLOT, i, 0};
        pairs[2 * i + 1] = (struct lease_pair){OTHER, i, 0};
    }
    assert_int_equal(
        other_l->ops->items(other_l, pairs, 2 * SUITE_SLOTS, 1000, count_item, &seen), ERR_OK);
    assert_int_equal(seen.items, s->slot[SLOT].item_count + s->slot[OTHER].item_count);
    assert_int_equal(seen.of_moved, s->slot[SLOT].item_count);
    assert_true(seen.of_moved > 0 && seen.of_moved < seen.items);

    struct lease_channel row = {SLOT, OTHER, 41, 5}, back = {OTHER, SLOT, 17, 5};
    assert_int_equal(l->ops->channels_put(l, &row, 1, s->slot[SLOT].feed.epoch + 1), ERR_LOST);
    assert_int_equal(l->ops->channels_put(l, &row, 1, s->slot[SLOT].feed.epoch), ERR_OK);
    assert_int_equal(l->ops->channels_put(l, &back, 1, s->slot[OTHER].feed.epoch), ERR_OK);
    struct lease_pair settled[] = {{OTHER, SLOT, 40}, {SLOT, OTHER, 16}, {OTHER, SLOT, 41}};
    assert_int_equal(other_l->ops->channels(other_l, settled, 3, count_channel, &seen), ERR_OK);
    assert_int_equal(seen.channels, 2);

    /* The first one gives it away; it moves back, and the other takes it where it is. */
    must_move(s, SLOT, s->uri);
    assert_int_equal(l->ops->release(l, SLOT), ERR_OK);
    assert_int_equal(other_l->ops->take(other_l, SLOT, 1, false), ERR_OK);
    assert_int_equal(other->ops->claim(other, SLOT, &epoch), ERR_OK);
    assert_int_equal(suite_append(s, SLOT, 1), STORE_LOST);
    s->slot[SLOT].feed.epoch = epoch;
    suite_check_all(s); /* the first one's readers find it too */
    l->ops->close(l);
    other_l->ops->close(other_l);
    other->ops->close(other);
}

/* SLOT at the second server, OTHER in a database of its own at the hub's, both claimed. */
static void stand_apart(struct suite *s, const char *database)
{
    char place[400];
    assert_true(make_place(suite_server(), database, place));
    must_move(s, SLOT, second_uri);
    must_move(s, OTHER, place);
    claim(s, SLOT);
    claim(s, OTHER);
}

/* Two places, and the first of them is away: what is at the other one is read. */
static void a_place_that_is_away_hides_no_other(void **state)
{
    struct suite *s = *state;
    struct lease_self self = {.relay = "a", .peer = "h:1", .ttl_ms = 60000};
    struct store_lease *l = NULL;
    struct store_why why;
    struct seen seen = {0, 0, 0};
    stand_apart(s, "third");
    assert_int_equal(suite_append_items(s, SLOT, 60, 0), STORE_COMMITTED);
    assert_int_equal(suite_append_items(s, OTHER, 60, 0), STORE_COMMITTED);
    suite_reopen(s);
    assert_int_equal(s->store->ops->share(s->store, &self, &l, &why), ERR_OK);
    struct lease_channel row = {OTHER, SLOT, 17, 5};
    assert_int_equal(l->ops->channels_put(l, &row, 1, s->slot[OTHER].feed.epoch), ERR_OK);
    struct lease_pair pairs[2 * SUITE_SLOTS];
    for (uint32_t i = 0; i < SUITE_SLOTS; i++) {
        pairs[i] = (struct lease_pair){SLOT, i, 0};
        pairs[SUITE_SLOTS + i] = (struct lease_pair){OTHER, i, 0};
    }
    struct lease_pair settled[] = {{OTHER, SLOT, 0}, {SLOT, OTHER, 0}};
    pgproc_stop(&second, SIGINT);
    assert_int_equal(l->ops->items(l, pairs, 2 * SUITE_SLOTS, 1000, count_item, &seen),
                     ERR_STORE);
    assert_int_equal(seen.items, s->slot[OTHER].item_count);
    assert_int_equal(seen.of_moved, 0);
    assert_int_equal(l->ops->channels(l, settled, 2, count_channel, &seen), ERR_STORE);
    assert_int_equal(seen.channels, 1);
    assert_non_null(strstr(l->ops->why(l), second_name));
    assert_true(pgproc_start(&second));
    l->ops->close(l);
}

/* The place in the middle, where SLOT is, does not answer. An entry is looked for at every place,
 * and projections are read from every one: what is at the others is found all the same. */
static void see_past_the_second(struct suite *s, uint64_t within_ms)
{
    const struct projection_ops *views = s->reader->ops->projection;
    static struct projection_slot slots[SLOTS_MAX];
    struct projection_account_row row;
    struct projection_earning_row days[PROJECTION_PAGE + 1];
    struct hash nobodys = {{0xee}};
    const struct model_record *there = &s->slot[OTHER].records[1];
    struct buf got = {0};
    size_t count = 0;
    uint64_t index = 0, began = mono_ms();
    uint32_t slot = 0;
    assert_int_equal(views->slots(s->reader, slots, &count), ERR_OK);
    assert_int_equal(count, SUITE_SLOTS);
    for (uint32_t i = 0; i < SUITE_SLOTS; i++) {
        assert_int_equal(slots[i].cursor.slot, i);
        assert_int_equal(slots[i].size, i == SLOT ? 0 : suite_size(s, i));
        assert_int_equal(slots[i].cursor.next, i == OTHER ? 2 : 0);
    }
    assert_int_equal(views->account(s->reader, &there->account, &row), ERR_OK);
    assert_int_equal(row.balance, 42);
    assert_int_equal(views->earnings(s->reader, &there->account, UINT32_MAX, days, &count), ERR_OK);
    assert_int_equal(views->account(s->reader, &s->slot[SLOT].records[1].account, &row), ERR_STORE);

    /* Attachments are the writer's to put. Of what is found nowhere nobody can tell. */
    enum err e = s->store->ops->sealed_put(s->store, &there->id, bytes_of("abc", 3));
    assert_true(e == ERR_OK || e == ERR_EXISTS);
    assert_int_equal(s->store->ops->sealed_put(s->store, &nobodys, bytes_of("abc", 3)), ERR_STORE);
    assert_int_equal(s->reader->ops->find(s->reader, &there->id, &slot, &index), ERR_OK);
    assert_int_equal(slot, OTHER);
    assert_int_equal(index, 1);
    assert_int_equal(s->reader->ops->find(s->reader, &nobodys, &slot, &index), ERR_STORE);
    assert_int_equal(s->reader->ops->sealed(s->reader, &there->id, &got), ERR_OK);
    assert_int_equal(got.size, 3);
    buf_close(&got);
    assert_in_range(mono_ms() - began, 0, within_ms);
}

static void a_place_that_does_not_answer_hides_no_entry_and_no_projection(void **state)
{
    struct suite *s = *state;
    stand_apart(s, "fourth");
    assert_int_equal(suite_append(s, SLOT, 5), STORE_COMMITTED);
    assert_int_equal(suite_append(s, OTHER, 7), STORE_COMMITTED);
    assert_int_equal(suite_append(s, 0, 3), STORE_COMMITTED);
    assert_true(pgproc_sql(suite_server(), "fourth",
                           "INSERT INTO stoa.projection(slot, next) VALUES (7, 2);"
                           "INSERT INTO stoa.account SELECT 7, account, 42, 1, 1, account_head,"
                           " false FROM stoa.record WHERE slot = 7 AND idx = 1",
                           NULL, 0));
    pgproc_stop(&second, SIGINT);
    see_past_the_second(s, QUICK_MS);
    assert_true(pgproc_start(&second));
    edge_nap(POSTGRES_BACKOFF_MAX_MS + 600);
    write_and_check(s, SLOT, 1);
    pgproc_pause(&second, true);
    see_past_the_second(s, POSTGRES_PLACE_MS + QUICK_MS); /* whoever comes first waits for it */
    see_past_the_second(s, QUICK_MS);
    pgproc_pause(&second, false);
}

/* A process that was stopped in the middle of a pipeline: it holds the slot's row at the place,
 * and no timeout of the server counts there. Named as its sessions are. */
static PGconn *stopped_in_a_pipeline(const struct lease_self *of)
{
    char app[PG_LEASE_APP_BYTES], name[200], sql[100];
    struct pg_params p = {.count = 0};
    postgres_lease_name(of, app, &p);
    PGconn *c = PQconnectdb(second_uri);
    snprintf(name, sizeof name, "SET application_name = '%s'", app);
    snprintf(sql, sizeof sql, "UPDATE stoa.slot SET epoch = epoch WHERE slot = %u", SLOT);
    PQclear(PQexec(c, name));
    assert_int_equal(PQenterPipelineMode(c), 1);
    assert_int_equal(PQsendQueryParams(c, "BEGIN", 0, NULL, NULL, NULL, NULL, 0), 1);
    assert_int_equal(PQsendQueryParams(c, sql, 0, NULL, NULL, NULL, NULL, 0), 1);
    assert_int_equal(PQsendFlushRequest(c), 1);
    assert_int_equal(PQflush(c), 0);
    edge_nap(300);
    return c;
}

static void a_stopped_owner_keeps_no_row_at_a_place(void **state)
{
    struct suite *s = *state;
    struct lease_self first = {.relay = "a", .peer = "h:1", .ttl_ms = 400}, next = first;
    struct store_lease *l = NULL;
    struct store *other = NULL;
    struct store_why why;
    uint64_t epoch, began;
    must_move(s, SLOT, second_uri);
    suite_reopen(s);
    memset(first.instance, 7, sizeof first.instance);
    memset(next.instance, 8, sizeof next.instance);
    snprintf(next.relay, sizeof next.relay, "b");
    assert_int_equal(s->store->ops->share(s->store, &first, &l, &why), ERR_OK);
    assert_int_equal(l->ops->beat(l, false), ERR_OK);
    take(s, l, SLOT);
    l->ops->close(l);
    PGconn *stopped = stopped_in_a_pipeline(&first);
    edge_nap(400);
    assert_int_equal(store_open(s->uri, &other, &why), ERR_OK);
    assert_int_equal(other->ops->share(other, &next, &l, &why), ERR_OK);
    assert_int_equal(l->ops->beat(l, false), ERR_OK);
    assert_int_equal(l->ops->take(l, SLOT, 1, true), ERR_OK);
    began = mono_ms();
    assert_int_equal(other->ops->claim(other, SLOT, &epoch), ERR_OK);
    assert_in_range(mono_ms() - began, 0, QUICK_MS);
    assert_int_equal(suite_append(s, SLOT, 1), STORE_LOST); /* the one that slept */
    PQfinish(stopped);
    l->ops->close(l);
    other->ops->close(other);
}

/* ---- a server that hangs ---- */

struct keeper {
    struct store *store;
    atomic_bool stop;
};

static void *keep(void *context) /* as a relay's maintain thread does */
{
    struct keeper *k = context;
    while (!atomic_load(&k->stop)) {
        (void)!k->store->ops->maintain(k->store);
        edge_nap(50);
    }
    return NULL;
}

/* One append over both servers; returns what became of the placed slot, the other's is good. */
static enum store_outcome append_both(struct suite *s)
{
    struct feed_append f[2];
    struct store_append a[2];
    enum store_outcome out[2];
    uint32_t slots[] = {SLOT, OTHER};
    for (int i = 0; i < 2; i++) {
        suite_make(s, &f[i], slots[i], 5);
        a[i] = f[i].a;
    }
    s->store->ops->append(s->store, a, 2, out);
    for (int i = 0; i < 2; i++) {
        if (out[i] == STORE_COMMITTED)
            suite_commit(s, &f[i]);
        feed_close(&f[i]);
    }
    assert_int_equal(out[1], STORE_COMMITTED);
    return out[0];
}

static void wait_for_claim(struct suite *s)
{
    enum err e = ERR_STORE;
    for (int i = 0; i < 200 && e == ERR_STORE; i++, edge_nap(50))
        e = s->store->ops->claim(s->store, SLOT, &s->slot[SLOT].feed.epoch);
    assert_int_equal(e, ERR_OK);
}

/* All there is to do for another slot, and to try for the one that hangs. */
static void one_round(struct suite *s, struct store_lease *l)
{
    struct lease_pair pairs[2] = {{SLOT, OTHER, 0}, {OTHER, SLOT, 0}};
    struct seen seen = {0, 0, 0};
    struct store_slot row;
    uint64_t epoch, index;
    uint32_t slot;
    assert_int_equal(s->store->ops->claim(s->store, SLOT, &epoch), ERR_STORE);
    assert_int_equal(append_both(s), STORE_UNKNOWN);
    assert_int_equal(s->reader->ops->slot(s->reader, OTHER, &row), ERR_OK);
    assert_int_equal(s->reader->ops->slot(s->reader, SLOT, &row), ERR_STORE);
    assert_int_equal(
        s->reader->ops->find(s->reader, &s->slot[OTHER].records[0].id, &slot, &index), ERR_OK);
    assert_int_equal(l->ops->items(l, pairs, 2, 100, count_item, &seen), ERR_STORE);
    const struct hash *entry = &s->slot[OTHER].records[1].id;
    enum err e = s->store->ops->sealed_put(s->store, entry, bytes_of("abc", 3));
    assert_true(e == ERR_OK || e == ERR_EXISTS);
}

static void hangs(struct suite *s, struct store_lease *l, bool sessions_too)
{
    struct keeper k = {.store = s->store};
    pthread_t keeper;
    assert_int_equal(append_both(s), STORE_COMMITTED);
    if (sessions_too)
        pgproc_pause(&second, true);
    else /* who connects is accepted, and that is all */
        second_cut();
    assert_int_equal(pthread_create(&keeper, NULL, keep, &k), 0);
    uint64_t began = mono_ms();
    assert_int_equal(append_both(s), STORE_UNKNOWN);
    uint64_t first = mono_ms() - began, longest = 0;
    while (mono_ms() - began < 3 * POSTGRES_PLACE_MS) {
        uint64_t round = mono_ms();
        one_round(s, l);
        round = mono_ms() - round;
        longest = round > longest ? round : longest;
        edge_nap(20);
    }
    printf("first commit after %llu ms, then none longer than %llu\n",
           (unsigned long long)first, (unsigned long long)longest);
    assert_in_range(first, 0, POSTGRES_PLACE_MS + QUICK_MS);
    assert_in_range(longest, 0, QUICK_MS);
    pgproc_pause(&second, false);
    wait_for_claim(s);
    atomic_store(&k.stop, true);
    pthread_join(keeper, NULL);
    write_and_check(s, SLOT, 10);
}

static void a_server_that_hangs_holds_up_the_others_once(void **state)
{
    struct suite *s = *state;
    struct lease_self self = {.relay = "a", .peer = "h:1", .ttl_ms = 60000};
    struct store_lease *l = NULL;
    struct store_why why;
    must_move(s, SLOT, second_uri);
    suite_reopen(s);
    memset(self.instance, 7, sizeof self.instance);
    assert_int_equal(s->store->ops->share(s->store, &self, &l, &why), ERR_OK);
    assert_int_equal(l->ops->beat(l, false), ERR_OK);
    take(s, l, SLOT);
    take(s, l, OTHER);
    hangs(s, l, true);
    hangs(s, l, false);
    l->ops->close(l);
}

static int all(void)
{
#define PLACE(test) cmocka_unit_test_setup_teardown(test, setup, suite_teardown)
    const struct CMUnitTest tests[] = {
        PLACE(a_slot_moves_while_the_store_is_open_and_back),
        PLACE(an_append_over_two_servers_is_answered_for_each_slot),
        PLACE(attachments_go_along_and_are_erased_everywhere),
        PLACE(a_move_that_breaks_off_leaves_one_place),
        PLACE(a_move_that_was_overtaken_clears_nothing),
        PLACE(nobody_takes_a_slot_that_is_being_moved),
        PLACE(a_copy_that_is_not_what_was_signed_does_not_count),
        PLACE(a_place_from_before_the_move_is_refused),
        PLACE(a_place_is_no_hub),
        PLACE(a_newer_schema_on_the_way_is_not_written_to),
        PLACE(what_was_left_is_removed_when_all_is_well_elsewhere),
        PLACE(an_attachment_does_not_outlive_a_move_that_broke_off),
        PLACE(relays_share_what_is_on_two_servers),
        PLACE(a_place_that_is_away_hides_no_other),
        PLACE(a_place_that_does_not_answer_hides_no_entry_and_no_projection),
        PLACE(a_stopped_owner_keeps_no_row_at_a_place),
        PLACE(a_server_that_hangs_holds_up_the_others_once),
    };
    int code = pgproc_there() && !pgproc_open(&second) ? 1 : 0;
    if (code == 0)
        code = cmocka_run_group_tests_name("place", tests, NULL, NULL);
    pgproc_close(&second);
    return code;
}

int main(void)
{
    return edge_main(all);
}
