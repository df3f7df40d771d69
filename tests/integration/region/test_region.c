/* Several relays of one hub on a real Postgres: who owns which slot, and that nobody who
 * writes meanwhile loses or gains anything by it. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "crypto/sig.h"
#include "tests/integration/region/town.h"

#define RELAYS 3
#define ALL 7u
#define SETTLE_MS 30000
#define PATIENT_MS                                                                       \
    12000 /* longer than a relay keeps an entry: whoever leaves was sent away */
#define TAKEOVER_MS 5000      /* what is promised; printed when it takes longer .. */
#define TAKEOVER_MS_MAX 20000 /* .. and what a crowded machine gets */

static struct regionproc region;
static struct town town;
static bool went_well = true; /* each test goes on from where the one before ended */

static void begin(void)
{
    if (!went_well)
        skip();
    went_well = false;
}

static void sleep_ms(unsigned ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000L};
    nanosleep(&t, NULL);
}

static void settled(unsigned relays)
{
    if (!regionproc_settled(&region, relays, SETTLE_MS))
        fail_msg("%s", region.why);
    town_ports(&town);
}

static void start(unsigned relay)
{
    if (!regionproc_start(&region, relay))
        fail_msg("%s", region.why);
}

static void good(bool ok)
{
    if (!ok)
        fail_msg("%s", town.why);
}

/* Writing stops; everything that was said is true. */
static void verdict(const char *what)
{
    good(town_stop(&town));
    good(town_settled(&town, SETTLE_MS));
    good(town_verify(&town));
    printf("%s: %llu receipts, %llu times \"later\", %llu reconnects\n", what,
           (unsigned long long)town_receipts(&town),
           (unsigned long long)town_refused(&town),
           (unsigned long long)town_reconnects(&town));
}

static void go_on(void)
{
    town_ports(&town);
    good(town_start(&town));
    sleep_ms(500);
}

/* How long people in these slots had to wait since town_mark. */
static void taken_over(uint32_t slots, const char *what)
{
    uint64_t waited = town_waited(&town, slots, TAKEOVER_MS_MAX);
    if (waited == UINT64_MAX)
        fail_msg("nobody took over: %s",
                 town.why[0] ? town.why : town_waiting(&town, slots));
    printf("takeover: %llu ms from %s to the last first entry%s\n",
           (unsigned long long)waited, what,
           waited > TAKEOVER_MS ? ", more than promised" : "");
}

static uint32_t slots_of(unsigned relay)
{
    int owner[REGIONPROC_SLOTS];
    uint32_t slots = 0;
    if (!regionproc_owners(&region, owner))
        fail_msg("%s", region.why);
    for (int i = 0; i < REGIONPROC_SLOTS; i++)
        if (owner[i] == (int)relay)
            slots |= UINT32_C(1) << i;
    return slots;
}

/* ---- */

static void a_relay_that_joins_gets_its_share_and_no_client_an_error(void **state)
{
    (void)state;
    begin();
    start(0);
    settled(1);
    if (!town_open(&town, &region, TOWN_PEOPLE, 5000))
        fail_msg("%s", town.why);
    unsigned usual = atomic_exchange(&town.answer_ms, PATIENT_MS);
    go_on();
    start(1);
    settled(3);
    start(2);
    settled(ALL);
    sleep_ms(500);
    verdict("join");
    atomic_store(&town.answer_ms, usual);
    assert_int_equal(town_reconnects(&town), 0);
    assert_int_equal(town_refused(&town), 0);
    went_well = true;
}

static void a_killed_owner_is_replaced_in_seconds(void **state)
{
    (void)state;
    begin();
    go_on();
    uint32_t slots = slots_of(1);
    assert_int_not_equal(slots, 0);
    town_gone(&town, 1);
    hubproc_kill(&region.relay[1]);
    town_mark(&town);
    taken_over(slots, "kill -9");
    settled(5);
    start(1);
    settled(ALL);
    verdict("kill");
    went_well = true;
}

static void an_owner_that_slept_past_its_lease_cannot_write(void **state)
{
    (void)state;
    begin();
    go_on();
    uint32_t slots = slots_of(2);
    double lost =
        regionproc_metric(&region, 2, "stoa_region_slots_left_total{how=\"lost\"}");
    hubproc_signal(&region.relay[2], SIGSTOP);
    town_gone(&town, 2);
    town_mark(&town);
    taken_over(slots, "SIGSTOP");
    assert_int_equal(slots_of(2), 0);
    hubproc_signal(&region.relay[2], SIGCONT);
    settled(ALL);
    assert_true(regionproc_metric(&region, 2,
                                  "stoa_region_slots_left_total{how=\"lost\"}") > lost);
    verdict("sleep");
    went_well = true;
}

static void relays_are_restarted_one_by_one_under_load(void **state)
{
    (void)state;
    begin();
    go_on();
    for (unsigned i = 0; i < RELAYS; i++) {
        hubproc_signal(&region.relay[i], SIGTERM);
        int code = hubproc_wait(&region.relay[i], 20000);
        town_gone(&town, i);
        assert_int_equal(code, 0);
        assert_int_equal(slots_of(i), 0);
        start(i);
        settled(ALL);
    }
    verdict("rolling restart");
    went_well = true;
}

/* The payer's slot and the payee's are different relays'. */
static void a_payment_between_relays_settles_and_says_so(void **state)
{
    int owner[REGIONPROC_SLOTS];
    struct citizen *from = NULL, *to = NULL;
    (void)state;
    begin();
    if (!regionproc_owners(&region, owner))
        fail_msg("%s", region.why);
    for (unsigned i = 0; i < town.people && to == NULL; i++)
        for (unsigned k = 0; k < town.people && to == NULL; k++)
            if (owner[town.one[i].slot] != owner[town.one[k].slot]) {
                from = &town.one[i];
                to = &town.one[k];
            }
    assert_non_null(to);
    for (unsigned relay = 0; relay < RELAYS; relay++) {
        struct wirekit k;
        struct wire_settled s;
        assert_true(wirekit_open(&k, region.relay[relay].port, from->p.device));
        person_transfer(&from->p, &to->p.account, 1);
        town.balance[from->number] -= 1;
        town.balance[to->number] += 1;
        struct bytes one = person_bytes(&from->p);
        assert_true(wirekit_submit(&k, &one, 1, WIRE_SUBMIT_SETTLED));
        assert_true(wirekit_expect(&k, WIRE_RESULTS, 8000));
        assert_int_equal(wirekit_result(&k).code, 0);
        assert_true(wirekit_expect(&k, WIRE_SETTLED, 8000));
        struct mp_reader list = k.f.list;
        wire_next_settled(&list, &s);
        assert_true(hash_equal(&s.cause, &from->p.id));
        assert_false(s.bounced);
        assert_int_equal(s.left, 0);
        assert_int_equal(s.slot, to->slot);
        wirekit_close(&k);
    }
    good(town_settled(&town, SETTLE_MS));
    good(town_verify(&town));
    went_well = true;
}

/* Two processes of one name: the one that came second has nothing, until the first is
 * gone. */
static void a_name_is_one_relays(void **state)
{
    struct hubproc *twin;
    (void)state;
    begin();
    if (!regionproc_add(&region))
        fail_msg("%s", region.why);
    twin = &region.relay[RELAYS];
    hubproc_set(twin, "region.relay=r0");
    start(RELAYS);
    sleep_ms(2000);
    assert_true(regionproc_metric(&region, RELAYS, "stoa_region_slots_owned") == 0);
    settled(ALL); /* nobody lost anything by it */
    hubproc_kill(&region.relay[0]);
    int owner[REGIONPROC_SLOTS];
    for (int tries = 0;
         regionproc_metric(&region, RELAYS, "stoa_region_slots_owned") <= 0; tries++) {
        if (tries == SETTLE_MS / 100)
            fail_msg("the second of a name does not take over");
        sleep_ms(100);
    }
    assert_true(regionproc_owners(&region, owner));
    hubproc_signal(twin, SIGTERM);
    assert_int_equal(hubproc_wait(twin, 20000), 0);
    region.count--;
    hubproc_close(twin);
    start(0);
    settled(ALL);
    went_well = true;
}

static void an_auditor_finds_nothing(void **state)
{
    (void)state;
    begin();
    good(town_audit(&town));
    went_well = true;
}

static int open_all(void **state)
{
    (void)state;
    region.lease_ms = 3000; /* as it is when nothing is set */
    if (!regionproc_open(&region, RELAYS)) {
        print_error("%s\n", region.why);
        return -1;
    }
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    town_close(&town);
    regionproc_close(&region);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_relay_that_joins_gets_its_share_and_no_client_an_error),
        cmocka_unit_test(a_killed_owner_is_replaced_in_seconds),
        cmocka_unit_test(an_owner_that_slept_past_its_lease_cannot_write),
        cmocka_unit_test(relays_are_restarted_one_by_one_under_load),
        cmocka_unit_test(a_payment_between_relays_settles_and_says_so),
        cmocka_unit_test(a_name_is_one_relays),
        cmocka_unit_test(an_auditor_finds_nothing),
    };
    if (!regionproc_there(&region)) {
        puts("skipped: no postgres");
        return 77;
    }
    if (!crypto_start())
        return 1;
    return cmocka_run_group_tests(tests, open_all, close_all);
}
