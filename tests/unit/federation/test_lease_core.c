/* Several lease cores against one table of leases, in virtual time: relays come, die, stop,
 * wake and drain, and the commit threads take their time. At every moment a slot is loaded by
 * at most one relay whose lease counts; in the end every slot is, in equal shares. */
#include <stdio.h>
#include <string.h>

#include "federation/lease.h"
#include "tests/unit/ledger/test.h"

#define SLOTS 16
#define TTL 3000
#define RELAYS 5
#define STEP 50
#define LOAD_MS 100 /* what a commit thread needs to load, or to finish */

struct row {
    int holder; /* -1: nobody */
    uint64_t epoch, until;
};
struct one {
    bool runs, known, draining;
    struct lease_core core;
    uint64_t until;    /* of its presence */
    uint64_t beat_due; /* next heartbeat */
    uint64_t load_at[SLOTS], gone_at[SLOTS];
    bool owns[SLOTS];
};
static struct row rows[SLOTS];
static struct one relay[RELAYS];
static uint64_t now;
static bool store_away;
static unsigned takes;

static void start(int i)
{
    memset(&relay[i], 0, sizeof relay[i]);
    relay[i].runs = true;
    lease_open(&relay[i].core, SLOTS, TTL);
}

static void reset(void)
{
    now = 1000000;
    takes = 0;
    store_away = false;
    memset(relay, 0, sizeof relay);
    for (int i = 0; i < SLOTS; i++)
        rows[i] = (struct row){.holder = -1};
}

static void fill_look(int me, struct lease_look *out)
{
    memset(out, 0, sizeof *out);
    for (int i = 0; i < RELAYS; i++) {
        if (!relay[i].known || relay[i].until < now)
            continue;
        struct lease_relay *r = &out->relays[out->relay_count++];
        snprintf(r->relay, sizeof r->relay, "r%d", i);
        r->self = i == me;
        r->draining = relay[i].draining;
    }
    for (int i = 0; i < SLOTS; i++) {
        struct lease_row *w = &out->slots[i];
        bool over = rows[i].until < now;
        w->epoch = rows[i].epoch;
        w->holder = rows[i].holder == me                ? LEASE_MINE
                    : rows[i].holder < 0 || over ? LEASE_FREE
                                                        : LEASE_OTHER;
        w->orphan = w->holder == LEASE_FREE && rows[i].holder >= 0;
        w->left_ms = over ? 0 : rows[i].until - now;
    }
}

static void do_step(int me, const struct lease_step *s)
{
    struct one *r = &relay[me];
    struct row *w = &rows[s->slot];
    switch (s->what) {
    case LEASE_DO_TAKE:
        if (w->epoch != s->epoch || (w->holder >= 0 && w->until >= now)) {
            lease_failed(&r->core, s->slot);
            return;
        }
        assert_true(s->orphan == (w->holder >= 0));
        *w = (struct row){.holder = me, .epoch = w->epoch + 1, .until = now + TTL};
        takes++;
        r->load_at[s->slot] = now + LOAD_MS;
        break;
    case LEASE_DO_LOAD:
        r->load_at[s->slot] = now + LOAD_MS;
        break;
    case LEASE_DO_LET_GO:
    case LEASE_DO_DROP:
        r->load_at[s->slot] = 0;
        r->gone_at[s->slot] = now + LOAD_MS;
        break;
    case LEASE_DO_RELEASE:
        assert_int_equal(w->holder, me);
        assert_false(r->owns[s->slot]);
        w->holder = -1;
        break;
    }
}

static void run_one(int me)
{
    struct one *r = &relay[me];
    struct lease_look look;
    struct lease_step steps[SLOTS];
    for (uint32_t i = 0; i < SLOTS; i++) {
        if (r->load_at[i] && now >= r->load_at[i]) {
            r->load_at[i] = 0;
            r->owns[i] = true;
            lease_loaded(&r->core, i);
        }
        if (r->gone_at[i] && now >= r->gone_at[i]) {
            r->gone_at[i] = 0;
            r->owns[i] = false;
            lease_gone(&r->core, i);
        }
    }
    if (now >= r->beat_due) {
        lease_beat(&r->core, !store_away, now);
        r->beat_due = now + lease_beat_every_ms(&r->core);
        r->draining = r->core.draining;
        if (!store_away) {
            r->known = true;
            r->until = now + TTL;
            for (int i = 0; i < SLOTS; i++)
                if (rows[i].holder == me)
                    rows[i].until = now + TTL;
        }
    }
    if (store_away)
        return;
    fill_look(me, &look);
    size_t count = lease_look(&r->core, &look, now, steps);
    assert_true(count <= SLOTS);
    for (size_t i = 0; i < count; i++)
        do_step(me, &steps[i]);
}

/* The table lets one relay hold a slot; a second that still believes to own it has lost it,
 * and an orderly hand-over never has two. */
static void check(bool orderly)
{
    for (int s = 0; s < SLOTS; s++) {
        int owners = 0;
        for (int i = 0; i < RELAYS; i++)
            if (relay[i].owns[s] && relay[i].runs) {
                owners += rows[s].holder == i;
                assert_true(!orderly || rows[s].holder == i);
            }
        assert_true(owners <= 1);
    }
}

static void pass(uint64_t ms, bool orderly)
{
    for (uint64_t end = now + ms; now < end; now += STEP) {
        for (int i = 0; i < RELAYS; i++)
            if (relay[i].runs)
                run_one(i);
        check(orderly);
    }
}

static void shares(int expect, unsigned least, unsigned most)
{
    unsigned total = 0;
    int live = 0;
    for (int i = 0; i < RELAYS; i++) {
        unsigned has = 0;
        for (int s = 0; s < SLOTS && relay[i].runs; s++)
            has += relay[i].owns[s] && rows[s].holder == i;
        total += has;
        if (has == 0)
            continue;
        live++;
        assert_in_range(has, least, most);
    }
    assert_int_equal(total, SLOTS);
    assert_int_equal(live, expect);
}

static void test_one_takes_all(void **state)
{
    (void)state;
    reset();
    start(0);
    pass(300, true); /* free slots are taken at once */
    shares(1, 16, 16);
}

static void test_who_joins_gets_a_share(void **state)
{
    (void)state;
    reset();
    start(0);
    pass(1000, true);
    start(1);
    pass(3000, true);
    shares(2, 8, 8);
    start(2);
    pass(3000, true);
    shares(3, 5, 6);
    unsigned had = takes;
    pass(20000, true); /* and then it rests */
    assert_int_equal(takes, had);
}

static void test_dead_one_is_replaced(void **state)
{
    (void)state;
    reset();
    for (int i = 0; i < 3; i++)
        start(i);
    pass(8000, true);
    shares(3, 5, 6);
    relay[1].runs = false;
    pass(TTL - 1000, false);
    unsigned held = 0;
    for (int s = 0; s < SLOTS; s++)
        held += rows[s].holder == 1;
    assert_true(held >= 5); /* not before its time */
    pass(2000, false);
    shares(2, 8, 8);
}

static void test_stopped_one_steps_down(void **state)
{
    (void)state;
    reset();
    for (int i = 0; i < 3; i++)
        start(i);
    pass(8000, true);
    relay[2].runs = false; /* SIGSTOP: it still believes to own its slots */
    pass(TTL + 2000, false);
    relay[2].runs = true;
    unsigned had = takes;
    pass(2 * STEP + LOAD_MS, false);
    for (int s = 0; s < SLOTS; s++)
        if (rows[s].holder != 2)
            assert_false(relay[2].owns[s]);
    pass(8000, false);
    shares(3, 5, 6); /* and it has its share again, handed over */
    assert_true(takes > had);
}

/* When the store was away everybody's lease has run out; nobody takes what its holder comes
 * back for. */
static void test_store_away_moves_nothing(void **state)
{
    (void)state;
    reset();
    for (int i = 0; i < 3; i++)
        start(i);
    pass(8000, true);
    unsigned had = takes;
    store_away = true;
    pass(10000, true);
    store_away = false;
    for (int i = 0; i < RELAYS; i++)
        relay[i].beat_due = now + (uint64_t)i * 600; /* one comes back before the others */
    pass(10000, true);
    assert_int_equal(takes, had);
    shares(3, 5, 6);
}

static void test_drain_gives_all_away(void **state)
{
    (void)state;
    reset();
    for (int i = 0; i < 3; i++)
        start(i);
    pass(8000, true);
    lease_drain(&relay[0].core);
    pass(3000, true);
    assert_true(lease_empty(&relay[0].core));
    relay[0].runs = relay[0].known = false;
    pass(1000, true);
    shares(2, 8, 8);
    lease_drain(&relay[1].core);
    lease_drain(&relay[2].core);
    pass(3000, true);
    for (int s = 0; s < SLOTS; s++)
        assert_int_equal(rows[s].holder, -1);
}

/* Relays come and go at random; in quiet everything is in place again. */
static void test_any_order_ends_well(void **state)
{
    (void)state;
    uint32_t seed = 7;
    reset();
    start(0);
    for (int round = 0; round < 300; round++) {
        seed = seed * 1664525u + 1013904223u;
        int i = (int)(seed >> 16) % RELAYS;
        if (seed >> 30 == 0 || !relay[i].core.slots)
            start(i); /* a new process under that name: what it owned is an orphan */
        else
            relay[i].runs = !relay[i].runs;
        if (seed >> 30 == 0)
            for (int s = 0; s < SLOTS; s++)
                if (rows[s].holder == i)
                    rows[s].holder = RELAYS; /* nobody who ever comes back */
        pass(100 + (seed >> 8) % 4000, false);
    }
    relay[3].runs = relay[4].runs = true;
    for (int i = 0; i < 3; i++)
        relay[i].runs = false;
    if (!relay[3].core.slots)
        start(3);
    if (!relay[4].core.slots)
        start(4);
    pass(4 * TTL, false);
    shares(2, 8, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_takes_all),
        cmocka_unit_test(test_who_joins_gets_a_share),
        cmocka_unit_test(test_dead_one_is_replaced),
        cmocka_unit_test(test_stopped_one_steps_down),
        cmocka_unit_test(test_store_away_moves_nothing),
        cmocka_unit_test(test_drain_gives_all_away),
        cmocka_unit_test(test_any_order_ends_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
