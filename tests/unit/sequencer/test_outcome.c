/* What the store says, for every slot and in every combination. */
#include "people.h"

#include <string.h>

#define SLOTS 4

struct world {
    struct hub hub;
    struct person people[8];
};

static int set_up(void **state)
{
    static struct world w;
    hub_create(&w.hub, SLOTS);
    people_open(w.people, 8, &w.hub, 1000);
    *state = &w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    if (w->hub.q != NULL) {
        hub_settle(&w->hub);
        hub_check_supply(&w->hub);
    }
    hub_close(&w->hub);
    return 0;
}

static const struct hub_result *result_of(const struct hub *h, uint64_t token)
{
    for (size_t i = 0; i < h->seen.result_count; i++)
        if (h->seen.results[i].token == token)
            return &h->seen.results[i];
    return NULL;
}

/* One entry per slot, by people 0..3; each pays someone in the next slot. */
static void one_each(struct world *w)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        person_pay(&w->people[i], &w->people[(i + 1) % SLOTS + 4].id, 10);
        person_send(&w->people[i], &w->hub, i);
    }
}

static bool happened(enum disk_verdict v)
{
    return v == DISK_OK || v == DISK_UNKNOWN_DONE;
}

/* After `verdicts`, once everything is healed: each payment happened exactly once. */
static void heal_and_check(struct world *w)
{
    OK(hub_start(&w->hub));
    hub_settle(&w->hub);
    for (uint32_t i = 0; i < SLOTS; i++) {
        struct refusal r;
        enum seq_disposition d = hub_submit(&w->hub, &w->people[i].entry.e, 100 + i, &r);
        assert_true(d == SEQ_QUEUED || d == SEQ_LOOKUP);
    }
    hub_settle(&w->hub);
    for (uint32_t i = 0; i < SLOTS; i++) {
        assert_int_equal(hub_account_at(&w->hub, &w->people[i].id)->balance, 990);
        assert_int_equal(hub_account_at(&w->hub, &w->people[i + 4].id)->balance, 1010);
    }
    hub_check_supply(&w->hub);
}

static void try_combination(struct world *w, const enum disk_verdict verdicts[])
{
    one_each(w);
    uint64_t sizes[SLOTS];
    bool full = false;
    for (uint32_t i = 0; i < SLOTS; i++) {
        sizes[i] = w->hub.disk->slot[i].size;
        w->hub.disk->verdict[i] = verdicts[i];
        full = full || verdicts[i] == DISK_FULL;
    }
    OK(hub_commit(&w->hub));
    assert_int_equal(w->hub.seen.result_count, SLOTS);
    for (uint32_t i = 0; i < SLOTS; i++) {
        enum disk_verdict v = verdicts[i];
        assert_int_equal(result_of(&w->hub, i)->accepted, v == DISK_OK);
        assert_int_equal(w->hub.disk->slot[i].size - sizes[i], happened(v));
        bool ready = v == DISK_OK || v == DISK_FULL;
        assert_int_equal(sequencer_slot_state(w->hub.q, i),
                         ready ? SEQ_SLOT_READY : SEQ_SLOT_DOWN);
    }
    assert_int_equal(sequencer_full(w->hub.q), full);
    heal_and_check(w);
}

static void every_outcome_in_every_combination(void **state)
{
    static const enum disk_verdict all[] = {DISK_OK, DISK_LOST, DISK_UNKNOWN,
                                            DISK_UNKNOWN_DONE, DISK_FULL};
    const int n = sizeof all / sizeof all[0];
    struct world *w = *state;
    for (int i = 0; i < n * n * n * n; i++) {
        enum disk_verdict v[SLOTS] = {all[i % n], all[i / n % n], all[i / n / n % n],
                                      all[i / n / n / n]};
        w->hub.disk->torn = i % 2 == 0;
        try_combination(w, v);
        tear_down(state);
        set_up(state);
    }
}

static void a_full_disk_keeps_the_batch(void **state)
{
    struct world *w = *state;
    struct refusal r;
    one_each(w);
    for (uint32_t i = 0; i < SLOTS; i++)
        w->hub.disk->verdict[i] = DISK_FULL;
    OK(hub_commit(&w->hub));
    assert_true(sequencer_full(w->hub.q));
    assert_true(sequencer_pending(w->hub.q));
    assert_true(sequencer_tentative(w->hub.q));
    hub_forget(&w->hub);

    /* Nobody is told anything that may turn out otherwise. */
    person_note(&w->people[5], "new");
    assert_int_equal(hub_submit(&w->hub, &w->people[5].entry.e, 1, &r), SEQ_REFUSED);
    EXPECT(ERR_UNAVAILABLE, r.code);
    assert_int_equal(hub_submit(&w->hub, &w->people[0].entry.e, 1, &r), SEQ_LOOKUP);
    EXPECT(ERR_UNAVAILABLE, r.code);
    assert_false(r.has_head);

    for (uint32_t i = 0; i < SLOTS; i++)
        w->hub.disk->verdict[i] = DISK_FULL;
    OK(hub_commit(&w->hub));
    assert_true(sequencer_full(w->hub.q));
    assert_int_equal(w->hub.seen.result_count, 0);

    OK(hub_commit(&w->hub)); /* there is room again: the same batch */
    assert_false(sequencer_full(w->hub.q));
    assert_false(sequencer_tentative(w->hub.q));
    assert_int_equal(w->hub.seen.result_count, 0);
    assert_int_equal(w->hub.seen.commits, SLOTS);
    assert_int_equal(hub_submit(&w->hub, &w->people[0].entry.e, 1, &r), SEQ_LOOKUP);
    EXPECT(ERR_SEQ_TAKEN, r.code);
    person_send(&w->people[5], &w->hub, 9);
    hub_settle(&w->hub);
    assert_int_equal(w->hub.seen.settled_count, SLOTS);
}

static void credits_survive_a_full_disk_and_a_lost_source(void **state)
{
    struct world *w = *state;
    one_each(w);
    OK(hub_commit(&w->hub)); /* four items are due */
    /* The credits meet a full disk; one slot, source and destination at once, is lost. */
    for (uint32_t i = 0; i < SLOTS; i++)
        w->hub.disk->verdict[i] = i == 1 ? DISK_LOST : DISK_FULL;
    OK(hub_commit(&w->hub));
    assert_true(sequencer_full(w->hub.q));
    OK(hub_recover(&w->hub, 1, NULL)); /* while the batch waits */
    hub_forget(&w->hub);
    hub_settle(&w->hub);
    assert_int_equal(w->hub.seen.settled_count, SLOTS);
    for (uint32_t i = 0; i < SLOTS; i++)
        assert_int_equal(hub_account_at(&w->hub, &w->people[i + 4].id)->balance, 1010);
}

static void a_source_that_is_lost_with_its_credit_waiting_settles_it_once(void **state)
{
    struct world *w = *state;
    person_pay(&w->people[0], &w->people[5].id, 10); /* slot 0 to slot 1 */
    person_send(&w->people[0], &w->hub, 1);
    OK(hub_commit(&w->hub));
    person_note(&w->people[4], "in slot 0");
    person_send(&w->people[4], &w->hub, 2);
    w->hub.disk->verdict[0] = DISK_LOST;
    w->hub.disk->verdict[1] = DISK_FULL;
    OK(hub_commit(&w->hub));
    /* The source cannot be reloaded yet; the kept credit commits all the same. */
    hub_forget(&w->hub);
    hub_settle(&w->hub);
    assert_int_equal(w->hub.seen.settled_count, 1);
    OK(hub_recover(&w->hub, 0, NULL));
    hub_settle(&w->hub);
    assert_int_equal(w->hub.seen.settled_count, 1);
    assert_int_equal(hub_account_at(&w->hub, &w->people[5].id)->balance, 1010);
}

static void a_lost_slot_answers_and_can_be_reloaded(void **state)
{
    struct world *w = *state;
    struct refusal r;
    struct hash before = hub_digest_of(&w->hub, 2);
    person_note(&w->people[2], "lost");
    person_send(&w->people[2], &w->hub, 1);
    disk_steal(w->hub.disk, 2);
    OK(hub_commit(&w->hub));
    assert_false(w->hub.seen.results[0].accepted);
    assert_int_equal(hub_submit(&w->hub, &w->people[2].entry.e, 2, &r), SEQ_REFUSED);
    EXPECT(ERR_UNAVAILABLE, r.code);
    assert_null(sequencer_slotlog(w->hub.q, 2));
    assert_int_equal(sequencer_checkpoint(w->hub.q, 2).size, 0);
    OK(hub_recover(&w->hub, 2, NULL));
    struct hash after = hub_digest_of(&w->hub, 2);
    assert_memory_equal(&before, &after, sizeof before);
    person_send(&w->people[2], &w->hub, 3);
    OK(hub_commit(&w->hub));
    assert_true(result_of(&w->hub, 3)->accepted);
}

static void a_slot_whose_epoch_was_taken_never_commits(void **state)
{
    struct world *w = *state;
    uint64_t size = w->hub.disk->slot[0].size;
    disk_steal(w->hub.disk, 0);
    for (int i = 0; i < 3; i++) {
        person_note(&w->people[0], "zombie");
        struct refusal r;
        hub_submit(&w->hub, &w->people[0].entry.e, 1, &r);
        OK(hub_commit(&w->hub));
    }
    assert_int_equal(w->hub.disk->slot[0].size, size);
    OK(hub_start(&w->hub));
}

static void a_broken_store_stops_everything(void **state)
{
    struct world *w = *state;
    struct refusal r;
    one_each(w);
    w->hub.disk->verdict[1] = DISK_BROKEN_DONE;
    w->hub.disk->verdict[2] = DISK_BROKEN;
    EXPECT(ERR_IO, hub_commit(&w->hub));
    assert_int_equal(w->hub.seen.result_count, SLOTS);
    for (uint32_t i = 0; i < SLOTS; i++) {
        assert_false(result_of(&w->hub, i)->accepted);
        assert_int_equal(sequencer_slot_state(w->hub.q, i), SEQ_SLOT_STOPPED);
    }
    assert_int_equal(w->hub.seen.commits, 0);
    assert_int_equal(hub_submit(&w->hub, &w->people[5].entry.e, 9, &r), SEQ_REFUSED);
    EXPECT(ERR_IO, hub_commit(&w->hub));
    assert_false(sequencer_pending(w->hub.q));
    hub_crash(&w->hub);
    heal_and_check(w);
}

static void a_stopped_slot_answers_and_stays_stopped(void **state)
{
    struct world *w = *state;
    struct refusal r;
    one_each(w);
    sequencer_slot_stop(w->hub.q, 3);
    OK(hub_commit(&w->hub));
    assert_int_equal(w->hub.seen.result_count, SLOTS);
    assert_false(result_of(&w->hub, 3)->accepted);
    assert_true(result_of(&w->hub, 0)->accepted);
    assert_int_equal(hub_submit(&w->hub, &w->people[3].entry.e, 9, &r), SEQ_REFUSED);
    EXPECT(ERR_UNAVAILABLE, r.code);
    EXPECT(ERR_BEHIND, hub_recover(&w->hub, 3, NULL));
    hub_crash(&w->hub);
    heal_and_check(w);
}

/* Whoever looked at what stopped it may have it loaded again; leaving alone does not do. */
static void a_stopped_slot_that_is_tried_again_is_loaded(void **state)
{
    struct world *w = *state;
    sequencer_slot_stop(w->hub.q, 3);
    sequencer_slot_release(w->hub.q, 3);
    assert_int_equal(sequencer_slot_state(w->hub.q, 3), SEQ_SLOT_STOPPED);
    EXPECT(ERR_BEHIND, hub_recover(&w->hub, 3, NULL));
    for (uint32_t i = 0; i < SLOTS; i++)
        sequencer_slot_retry(w->hub.q, i); /* of one that was not stopped: nothing */
    assert_int_equal(sequencer_slot_state(w->hub.q, 0), SEQ_SLOT_READY);
    assert_int_equal(sequencer_slot_state(w->hub.q, 3), SEQ_SLOT_DOWN);
    OK(hub_recover(&w->hub, 3, NULL));
    one_each(w);
    OK(hub_commit(&w->hub));
    for (uint32_t i = 0; i < SLOTS; i++)
        assert_true(result_of(&w->hub, i)->accepted);
}

static void a_slot_stopped_under_way_publishes_nothing(void **state)
{
    struct world *w = *state;
    const struct store_append *appends;
    size_t count;
    enum store_outcome outcome[SLOTS];
    const struct seq_output out = hub_output(&w->hub);
    one_each(w);
    OK(sequencer_prepare(w->hub.q, w->hub.now_ms, 0, &appends, &count));
    assert_int_equal(count, SLOTS);
    struct store *st = disk_store(w->hub.disk);
    st->ops->append(st, appends, count, outcome);
    sequencer_slot_stop(w->hub.q, 1);
    assert_null(sequencer_slotlog(w->hub.q, 1));
    OK(sequencer_outcome(w->hub.q, outcome, &out));
    assert_false(result_of(&w->hub, 1)->accepted);
    assert_int_equal(w->hub.seen.commits, SLOTS - 1);
    hub_crash(&w->hub);
    heal_and_check(w);
}

static void stopping_the_only_slot_of_a_kept_batch_frees_the_others(void **state)
{
    struct world *w = *state;
    person_note(&w->people[0], "kept");
    person_send(&w->people[0], &w->hub, 1);
    w->hub.disk->verdict[0] = DISK_FULL;
    OK(hub_commit(&w->hub));
    sequencer_slot_stop(w->hub.q, 0);
    OK(hub_commit(&w->hub));
    assert_false(sequencer_full(w->hub.q));
    person_note(&w->people[1], "goes on");
    person_send(&w->people[1], &w->hub, 2);
    OK(hub_commit(&w->hub));
    assert_true(result_of(&w->hub, 2)->accepted);
    hub_crash(&w->hub);
    OK(hub_start(&w->hub));
}

static void dropping_answers_and_takes_the_slots_down(void **state)
{
    struct world *w = *state;
    const struct seq_output out = hub_output(&w->hub);
    person_note(&w->people[0], "dropped");
    person_send(&w->people[0], &w->hub, 1);
    sequencer_drop(w->hub.q, &out);
    assert_false(result_of(&w->hub, 1)->accepted);
    assert_int_equal(sequencer_slot_state(w->hub.q, 0), SEQ_SLOT_DOWN);
    assert_int_equal(sequencer_slot_state(w->hub.q, 1), SEQ_SLOT_READY);
    assert_false(sequencer_pending(w->hub.q));
    OK(hub_start(&w->hub));
    person_send(&w->people[0], &w->hub, 2);
    OK(hub_commit(&w->hub));
    assert_true(result_of(&w->hub, 2)->accepted);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_outcome_in_every_combination),
        TEST(a_full_disk_keeps_the_batch),
        TEST(credits_survive_a_full_disk_and_a_lost_source),
        TEST(a_source_that_is_lost_with_its_credit_waiting_settles_it_once),
        TEST(a_lost_slot_answers_and_can_be_reloaded),
        TEST(a_slot_whose_epoch_was_taken_never_commits),
        TEST(a_broken_store_stops_everything),
        TEST(a_stopped_slot_answers_and_stays_stopped),
        TEST(a_stopped_slot_that_is_tried_again_is_loaded),
        TEST(a_slot_stopped_under_way_publishes_nothing),
        TEST(stopping_the_only_slot_of_a_kept_batch_frees_the_others),
        TEST(dropping_answers_and_takes_the_slots_down),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kit_close();
    return failed;
}
