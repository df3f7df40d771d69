/* Items between slots: settled exactly once, whatever becomes of the slots meanwhile. */
#include "people.h"

#include <string.h>

#define SLOTS 16
#define PEOPLE 64

struct world {
    struct hub hub;
    struct person people[PEOPLE];
};

static int set_up(void **state)
{
    static struct world w;
    hub_create(&w.hub, SLOTS);
    people_open(w.people, PEOPLE, &w.hub, 100000);
    *state = &w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    hub_settle(&w->hub);
    hub_check_supply(&w->hub);
    hub_close(&w->hub);
    return 0;
}

static uint64_t waiting(struct world *w)
{
    struct seq_stats s;
    sequencer_stats(w->hub.q, &s);
    assert_int_equal(s.items_waiting == 0, s.item_oldest_since_ms == 0);
    return s.items_waiting;
}

/* Everybody pays 1 to each of `payees` others, in one transfer. */
static void pay_all(struct world *w, size_t payees)
{
    static struct payload p;
    for (size_t i = 0; i < PEOPLE; i++) {
        kit_transfer(&p);
        for (size_t k = 1; k <= payees; k++)
            kit_pay(&p, &w->people[(i + k) % PEOPLE].id, 1);
        person_write(&w->people[i], &p);
        person_send(&w->people[i], &w->hub, i);
    }
}

static void transfers_across_slots_settle_exactly_once(void **state)
{
    struct world *w = *state;
    for (int round = 0; round < 3; round++) {
        hub_forget(&w->hub);
        pay_all(w, 63);
        OK(hub_commit(&w->hub));
        assert_int_equal(w->hub.seen.result_count, PEOPLE);
        assert_int_equal(waiting(w), PEOPLE * 63);
        hub_settle(&w->hub);
        assert_int_equal(w->hub.seen.settled_count, PEOPLE * 63);
        assert_int_equal(waiting(w), 0);
        for (size_t i = 0; i < PEOPLE; i++)
            assert_int_equal(hub_account_at(&w->hub, &w->people[i].id)->balance, 100000);
    }
    struct seq_stats s;
    sequencer_stats(w->hub.q, &s);
    assert_int_equal(s.credits, 3 * PEOPLE * 63);
    assert_int_equal(s.bounces, 0);
}

static void each_settlement_is_reported_with_what_remains(void **state)
{
    struct world *w = *state;
    static struct payload p;
    kit_transfer(&p);
    for (size_t k = 1; k <= 5; k++)
        kit_pay(&p, &w->people[k].id, (int64_t)k);
    person_write(&w->people[0], &p);
    person_send(&w->people[0], &w->hub, 1);
    hub_settle(&w->hub);
    assert_int_equal(w->hub.seen.settled_count, 5);
    uint32_t payees = 0;
    for (uint32_t i = 0; i < 5; i++) {
        const struct seq_settled *s = &w->hub.seen.settled[i];
        assert_true(hash_equal(&s->cause, &w->people[0].entry.e.id));
        assert_int_equal(s->remaining, 4 - i);
        assert_false(s->bounced);
        payees |= 1u << s->payee_index;
    }
    assert_int_equal(payees, 31);
}

static void an_unknown_payee_bounces_and_the_money_returns(void **state)
{
    struct world *w = *state;
    struct hash nobody = kit_hash(4711);
    person_pay(&w->people[3], &nobody, 70000);
    person_send(&w->people[3], &w->hub, 1);
    OK(hub_commit(&w->hub));
    assert_int_equal(hub_account_at(&w->hub, &w->people[3].id)->balance, 30000);
    hub_forget(&w->hub);
    OK(hub_commit(&w->hub)); /* bounce */
    assert_int_equal(w->hub.seen.settled_count, 1);
    assert_true(w->hub.seen.settled[0].bounced);
    assert_int_equal(w->hub.seen.settled[0].remaining, 0);
    assert_true(hash_equal(&w->hub.seen.settled[0].cause, &w->people[3].entry.e.id));
    assert_int_equal(w->hub.seen.settled[0].slot, slot_of(&nobody, SLOTS));
    OK(hub_commit(&w->hub)); /* return */
    assert_int_equal(w->hub.seen.settled_count, 2);
    assert_false(w->hub.seen.settled[1].bounced);
    assert_int_equal(hub_account_at(&w->hub, &w->people[3].id)->balance, 100000);
    assert_int_equal(waiting(w), 0);
}

static void a_payee_who_opens_in_time_is_paid(void **state)
{
    struct world *w = *state;
    static struct person late;
    person_init(&late, &w->hub, 5, 5000);
    person_pay(&w->people[0], &late.id, 10);
    person_send(&w->people[0], &w->hub, 1);
    OK(hub_commit(&w->hub));
    person_send(&late, &w->hub, 2); /* the open is queued before the item is settled */
    hub_settle(&w->hub);
    assert_int_equal(hub_account_at(&w->hub, &late.id)->balance, 10);
}

static void a_balance_that_would_overflow_bounces(void **state)
{
    struct world *w = *state;
    struct account *a = hub_account_at(&w->hub, &w->people[1].id);
    int64_t kept = a->balance;
    a->balance = BALANCE_MAX - 9; /* no honest supply gets here */
    person_pay(&w->people[0], &w->people[1].id, 10);
    person_send(&w->people[0], &w->hub, 1);
    hub_settle(&w->hub);
    assert_int_equal(hub_account_at(&w->hub, &w->people[0].id)->balance, 100000);
    a->balance = kept;
    struct seq_stats s;
    sequencer_stats(w->hub.q, &s);
    assert_int_equal(s.bounces, 1);
    assert_int_equal(s.credits, 1);
}

static void money_to_the_same_slot_goes_the_same_way(void **state)
{
    struct world *w = *state;
    person_pay(&w->people[0], &w->people[SLOTS].id, 10);
    person_send(&w->people[0], &w->hub, 1);
    hub_settle(&w->hub);
    assert_int_equal(hub_account_at(&w->hub, &w->people[SLOTS].id)->balance, 100010);
}

static void items_for_a_slot_that_is_down_wait(void **state)
{
    struct world *w = *state;
    const struct seq_output out = hub_output(&w->hub);
    person_note(&w->people[7], "going down");
    person_send(&w->people[7], &w->hub, 1);
    sequencer_drop(w->hub.q, &out);
    w->people[7].chain = hub_account_at(&w->hub, &w->people[0].id)->devices[0].chain;
    person_pay(&w->people[0], &w->people[7].id, 10);
    person_send(&w->people[0], &w->hub, 2);
    hub_settle(&w->hub); /* comes to an end although an item waits */
    assert_int_equal(waiting(w), 1);
    OK(hub_recover(&w->hub, 7, NULL));
    assert_true(sequencer_pending(w->hub.q));
    hub_settle(&w->hub);
    assert_int_equal(hub_account_at(&w->hub, &w->people[7].id)->balance, 100010);
}

static void items_of_a_slot_that_is_down_are_settled_all_the_same(void **state)
{
    struct world *w = *state;
    const struct seq_output out = hub_output(&w->hub);
    person_pay(&w->people[0], &w->people[1].id, 10);
    person_send(&w->people[0], &w->hub, 1);
    OK(hub_commit(&w->hub));
    person_note(&w->people[SLOTS], "slot 0 goes down");
    person_send(&w->people[SLOTS], &w->hub, 2);
    sequencer_drop(w->hub.q, &out);
    assert_null(sequencer_slotlog(w->hub.q, 0));
    hub_settle(&w->hub);
    assert_int_equal(hub_account_at(&w->hub, &w->people[1].id)->balance, 100010);
    OK(hub_recover(&w->hub, 0, NULL)); /* its outbox still holds the item */
    hub_settle(&w->hub);
    assert_int_equal(hub_account_at(&w->hub, &w->people[1].id)->balance, 100010);
    assert_int_equal(waiting(w), 0);
}

static void the_outbox_is_forgotten_as_items_settle(void **state)
{
    struct world *w = *state;
    pay_all(w, 3);
    hub_settle(&w->hub);
    assert_true(w->hub.disk->slot[0].item_count > 0);
    for (size_t i = 0; i < SLOTS; i++) {
        person_note(&w->people[i], "the next append says so");
        person_send(&w->people[i], &w->hub, 1);
    }
    OK(hub_commit(&w->hub));
    for (size_t i = 0; i < SLOTS; i++)
        assert_int_equal(w->hub.disk->slot[i].item_count, 0);
}

static void waiting_items_survive_a_restart(void **state)
{
    struct world *w = *state;
    pay_all(w, 10);
    OK(hub_commit(&w->hub));
    for (uint32_t i = 0; i < SLOTS; i += 3)
        w->hub.disk->verdict[i] = i % 2 == 0 ? DISK_UNKNOWN_DONE : DISK_UNKNOWN;
    OK(hub_commit(&w->hub)); /* some of the credits happened */
    hub_crash(&w->hub);
    OK(hub_start(&w->hub));
    assert_true(waiting(w) > 0);
    hub_settle(&w->hub);
    for (size_t i = 0; i < PEOPLE; i++)
        assert_int_equal(hub_account_at(&w->hub, &w->people[i].id)->balance, 100000);
    assert_int_equal(waiting(w), 0);
}

static void settlement_gets_its_share_of_a_busy_batch(void **state)
{
    struct world *w = *state;
    struct refusal r;
    for (int i = 0; i < 2; i++) {
        pay_all(w, 63);
        OK(hub_commit(&w->hub));
    }
    uint64_t before = waiting(w);
    assert_true(before > SEQ_SETTLE_MIN);
    size_t queued = 0;
    for (;; queued++) {
        struct person *p = &w->people[queued % PEOPLE];
        person_note(p, "as many as there is room for");
        if (hub_submit(&w->hub, &p->entry.e, queued, &r) != SEQ_QUEUED)
            break;
    }
    EXPECT(ERR_BUSY, r.code);
    assert_int_equal(queued, SEQ_BATCH_ENTRIES_MAX - SEQ_SETTLE_MIN);
    OK(hub_commit(&w->hub));
    assert_int_equal(before - waiting(w), SEQ_SETTLE_MIN);
}

static void a_slot_that_was_set_back_is_found_out(void **state)
{
    struct world *w = *state;
    person_pay(&w->people[0], &w->people[1].id, 10);
    struct disk *old = disk_copy(w->hub.disk);
    person_send(&w->people[0], &w->hub, 1);
    hub_settle(&w->hub);
    hub_crash(&w->hub);
    /* Slot 0 from yesterday's backup, slot 1 of today: it settled what 0 never sent. */
    struct disk_slot today = w->hub.disk->slot[0];
    w->hub.disk->slot[0] = old->slot[0];
    enum err e = hub_start(&w->hub);
    EXPECT(ERR_BEHIND, e);
    hub_crash(&w->hub);
    old->slot[0] = w->hub.disk->slot[0];
    w->hub.disk->slot[0] = today;
    OK(hub_start(&w->hub));
    hub_crash(&w->hub);
    /* And the other way round: the item settled before is not in the outbox any more. */
    OK(hub_start(&w->hub));
    for (size_t i = 0; i < SLOTS; i++) {
        person_note(&w->people[i], "forget the item");
        person_send(&w->people[i], &w->hub, 1);
    }
    OK(hub_commit(&w->hub));
    hub_crash(&w->hub);
    today = w->hub.disk->slot[1];
    w->hub.disk->slot[1] = old->slot[1];
    assert_int_not_equal(hub_start(&w->hub), ERR_OK);
    hub_crash(&w->hub);
    old->slot[1] = w->hub.disk->slot[1];
    w->hub.disk->slot[1] = today;
    disk_close(old);
    OK(hub_start(&w->hub));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(transfers_across_slots_settle_exactly_once),
        TEST(each_settlement_is_reported_with_what_remains),
        TEST(an_unknown_payee_bounces_and_the_money_returns),
        TEST(a_payee_who_opens_in_time_is_paid),
        TEST(a_balance_that_would_overflow_bounces),
        TEST(money_to_the_same_slot_goes_the_same_way),
        TEST(items_for_a_slot_that_is_down_wait),
        TEST(items_of_a_slot_that_is_down_are_settled_all_the_same),
        TEST(the_outbox_is_forgotten_as_items_settle),
        TEST(waiting_items_survive_a_restart),
        TEST(settlement_gets_its_share_of_a_busy_batch),
        TEST(a_slot_that_was_set_back_is_found_out),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kit_close();
    return failed;
}
