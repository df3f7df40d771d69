/* Submitting: what is queued, refused, or may already be in the log. */
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
    hub_check_supply(&w->hub);
    hub_close(&w->hub);
    return 0;
}

static void an_entry_is_answered_after_its_commit(void **state)
{
    struct world *w = *state;
    person_note(&w->people[0], "hello");
    person_send(&w->people[0], &w->hub, 77);
    assert_int_equal(w->hub.seen.result_count, 0);
    assert_true(sequencer_pending(w->hub.q));
    OK(hub_commit(&w->hub));
    assert_int_equal(w->hub.seen.result_count, 1);
    const struct hub_result *r = &w->hub.seen.results[0];
    assert_int_equal(r->token, 77);
    assert_true(r->accepted);
    assert_false(r->duplicate);
    assert_true(hash_equal(&r->id, &w->people[0].entry.e.id));
    assert_int_equal(r->position, 2);
    assert_false(sequencer_pending(w->hub.q));
}

static void several_entries_of_one_device_share_a_batch(void **state)
{
    struct world *w = *state;
    for (uint64_t i = 0; i < 100; i++) {
        person_note(&w->people[1], "again");
        person_send(&w->people[1], &w->hub, i);
    }
    OK(hub_commit(&w->hub));
    assert_int_equal(w->hub.seen.result_count, 100);
    for (uint64_t i = 0; i < 100; i++) {
        assert_int_equal(w->hub.seen.results[i].token, i);
        assert_int_equal(w->hub.seen.results[i].position, 2 + i);
    }
    assert_int_equal(w->hub.seen.commits, 1);
}

static void a_duplicate_in_the_batch_gets_the_same_record(void **state)
{
    struct world *w = *state;
    static struct kit_entry twin;
    struct refusal r;
    person_note(&w->people[0], "once");
    person_send(&w->people[0], &w->hub, 1);
    other_signature(&twin, &w->people[0].entry);
    assert_int_equal(hub_submit(&w->hub, &w->people[0].entry.e, 2, &r), SEQ_QUEUED);
    assert_int_equal(hub_submit(&w->hub, &twin.e, 3, &r), SEQ_QUEUED);
    OK(hub_commit(&w->hub));
    const struct hub_result *seen = w->hub.seen.results;
    assert_int_equal(w->hub.seen.result_count, 3);
    for (int i = 0; i < 3; i++) {
        assert_true(seen[i].accepted);
        assert_int_equal(seen[i].index, seen[0].index);
        assert_int_equal(seen[i].duplicate, i > 0);
    }
    uint32_t slot = seen[0].slot;
    assert_memory_equal(w->hub.disk->slot[slot].records[seen[0].index].r.envelope.data,
                        w->people[0].entry.bytes, w->people[0].entry.size);
}

static void a_duplicate_after_the_commit_is_to_be_looked_up(void **state)
{
    struct world *w = *state;
    struct person *p = &w->people[0];
    struct refusal r;
    person_note(p, "once");
    person_send(p, &w->hub, 1);
    OK(hub_commit(&w->hub));
    static struct kit_entry twin;
    other_signature(&twin, &p->entry);
    assert_int_equal(hub_submit(&w->hub, &twin.e, 2, &r), SEQ_LOOKUP);
    EXPECT(ERR_SEQ_TAKEN, r.code);
    assert_true(r.has_head);
    assert_int_equal(r.next_seq, p->chain.next_seq);
    assert_true(hash_equal(&r.tip, &p->chain.tip));
    assert_int_equal(r.tip_lamport, p->chain.tip_lamport);
    assert_false(sequencer_pending(w->hub.q));
}

static void an_account_that_is_open_is_to_be_looked_up(void **state)
{
    struct world *w = *state;
    static struct person again;
    struct refusal r;
    person_init(&again, &w->hub, 0, w->people[0].key);
    assert_int_equal(hub_submit(&w->hub, &again.entry.e, 2, &r), SEQ_LOOKUP);
    EXPECT(ERR_ACCOUNT_EXISTS, r.code);
    assert_int_equal(r.next_seq, w->people[0].chain.next_seq);
}

static void another_entry_with_a_taken_seq_gets_the_head(void **state)
{
    struct world *w = *state;
    struct person *p = &w->people[2];
    struct chain before = p->chain;
    struct refusal r;
    person_note(p, "first");
    person_send(p, &w->hub, 1);
    struct chain after = p->chain;
    p->chain = before;
    person_note(p, "second");
    /* While the first is not committed, its seq is not taken for certain. */
    assert_int_equal(hub_submit(&w->hub, &p->entry.e, 2, &r), SEQ_LOOKUP);
    EXPECT(ERR_UNAVAILABLE, r.code);
    assert_false(r.has_head);
    OK(hub_commit(&w->hub));
    assert_int_equal(hub_submit(&w->hub, &p->entry.e, 2, &r), SEQ_LOOKUP);
    EXPECT(ERR_SEQ_TAKEN, r.code);
    assert_int_equal(r.next_seq, after.next_seq);
    assert_true(hash_equal(&r.tip, &after.tip));
    p->chain = after;
    person_note(p, "third");
    person_send(p, &w->hub, 3);
    OK(hub_commit(&w->hub));
}

/* People 0 spends all he has and tries to spend once more, in one batch. */
static void overdraw(struct world *w)
{
    struct refusal r;
    person_pay(&w->people[0], &w->people[5].id, 1000);
    person_send(&w->people[0], &w->hub, 1);
    person_pay(&w->people[0], &w->people[5].id, 1);
    assert_int_equal(hub_submit(&w->hub, &w->people[0].entry.e, 2, &r), SEQ_QUEUED);
    EXPECT(ERR_OK, r.code);
    assert_false(r.has_head);
}

static void a_refusal_that_rests_on_the_batch_comes_with_its_commit(void **state)
{
    struct world *w = *state;
    overdraw(w);
    /* Another account of the same slot is none of its business. */
    struct refusal r;
    person_pay(&w->people[4], &w->people[5].id, 1001);
    assert_int_equal(hub_submit(&w->hub, &w->people[4].entry.e, 3, &r), SEQ_REFUSED);
    EXPECT(ERR_BALANCE, r.code);
    OK(hub_commit(&w->hub));
    assert_int_equal(w->hub.seen.result_count, 2);
    assert_true(w->hub.seen.results[0].accepted);
    const struct hub_result *refused = &w->hub.seen.results[1];
    assert_int_equal(refused->token, 2);
    assert_false(refused->accepted);
    EXPECT(ERR_BALANCE, refused->refusal.code);
    assert_int_equal(refused->refusal.balance, 0);
    assert_true(refused->refusal.has_head);
    assert_int_equal(refused->refusal.next_seq, w->people[0].entry.e.seq);
    assert_true(hash_equal(&refused->refusal.tip, &w->people[0].entry.e.prev));
    hub_settle(&w->hub);
}

static void a_refusal_that_rests_on_nothing_is_not_given(void **state)
{
    struct world *w = *state;
    static const enum disk_verdict verdicts[] = {DISK_LOST, DISK_UNKNOWN, DISK_FULL};
    for (int i = 0; i < 3; i++) {
        struct chain before = w->people[0].chain;
        overdraw(w);
        w->hub.disk->verdict[0] = verdicts[i];
        hub_forget(&w->hub);
        OK(hub_commit(&w->hub));
        assert_int_equal(w->hub.seen.result_count, 2);
        for (int k = 0; k < 2; k++) {
            assert_false(w->hub.seen.results[k].accepted);
            EXPECT(ERR_UNAVAILABLE, w->hub.seen.results[k].refusal.code);
            assert_true(w->hub.seen.results[k].refusal.retry_after_ms > 0);
            assert_false(w->hub.seen.results[k].refusal.has_head);
        }
        OK(hub_start(&w->hub));
        w->people[0].chain = before;
    }
    hub_settle(&w->hub);
}

static void held_refusals_have_a_limit_of_their_own(void **state)
{
    struct world *w = *state;
    struct refusal r;
    overdraw(w);
    for (int i = 1; i < SEQ_BATCH_REFUSALS_MAX; i++)
        assert_int_equal(hub_submit(&w->hub, &w->people[0].entry.e, 2, &r), SEQ_QUEUED);
    assert_int_equal(hub_submit(&w->hub, &w->people[0].entry.e, 2, &r), SEQ_REFUSED);
    EXPECT(ERR_UNAVAILABLE, r.code);
    person_note(&w->people[1], "others have room");
    person_send(&w->people[1], &w->hub, 3);
    OK(hub_commit(&w->hub));
    assert_int_equal(w->hub.seen.result_count, SEQ_BATCH_REFUSALS_MAX + 2);
    hub_settle(&w->hub);
}

static void a_gap_is_refused_until_it_is_filled(void **state)
{
    struct world *w = *state;
    struct person *p = &w->people[3];
    static struct kit_entry first;
    struct refusal r;
    person_note(p, "first");
    memcpy(first.bytes, p->entry.bytes, p->entry.size);
    OK(entry_decode(&first.e, first.bytes, p->entry.size));
    uint64_t missing = p->entry.e.seq;
    person_note(p, "second");
    assert_int_equal(hub_submit(&w->hub, &p->entry.e, 1, &r), SEQ_REFUSED);
    EXPECT(ERR_GAP, r.code);
    assert_int_equal(r.next_seq, missing);
    assert_int_equal(hub_submit(&w->hub, &first.e, 2, &r), SEQ_QUEUED);
    person_send(p, &w->hub, 3);
    OK(hub_commit(&w->hub));
    assert_int_equal(w->hub.seen.result_count, 2);
}

static void an_overdraft_is_refused_with_the_balance(void **state)
{
    struct world *w = *state;
    struct person *p = &w->people[4];
    struct chain before = p->chain;
    struct refusal r;
    person_pay(p, &w->people[5].id, 1001);
    assert_int_equal(hub_submit(&w->hub, &p->entry.e, 1, &r), SEQ_REFUSED);
    EXPECT(ERR_BALANCE, r.code);
    assert_int_equal(r.balance, 1000);
    assert_int_equal(r.next_seq, before.next_seq);
    p->chain = before;
    person_pay(p, &w->people[5].id, 1000);
    person_send(p, &w->hub, 2);
    hub_settle(&w->hub);
}

static void nobody_may_write_for_the_relay(void **state)
{
    struct world *w = *state;
    static struct kit_entry e;
    static struct payload p;
    struct refusal r;
    struct slotlog *log = sequencer_slotlog(w->hub.q, 0);
    p.kind = KIND_RULES;
    p.rules.version = 2;
    kit_build_hub(&e, &log->hub, kit_key(HUB_KEY_RELAY), &p);
    assert_int_equal(hub_submit(&w->hub, &e.e, 1, &r), SEQ_REFUSED);
    EXPECT(ERR_AUTHORITY, r.code);
    /* The hub's operator may; but not credits, which only settlement writes. */
    assert_int_equal(sequencer_submit(w->hub.q, &e.e, 1, false, w->hub.now_ms, &r),
                     SEQ_REFUSED);
    EXPECT(ERR_RULES_AHEAD, r.code);
    struct channel_item item = {.amount = 5, .payee = w->people[0].id};
    char origin[KIT_ORIGIN_ROOM];
    kit_credit(&p, &item, HUB_NAME, origin);
    kit_build(&e, hub_account_at(&w->hub, &w->people[0].id), &log->hub,
              kit_key(HUB_KEY_RELAY), &p);
    assert_int_equal(sequencer_submit(w->hub.q, &e.e, 1, false, w->hub.now_ms, &r),
                     SEQ_REFUSED);
    EXPECT(ERR_AUTHORITY, r.code);
}

static void a_hub_key_takes_over_only_when_it_is_ours(void **state)
{
    struct world *w = *state;
    static struct kit_entry e;
    static struct payload p;
    struct refusal r;
    const struct hub_account *hub = &sequencer_slotlog(w->hub.q, 1)->hub;
    kit_hub_key(&p, hub, ROLE_LOG, kit_key(HUB_KEY_LOG), kit_key(50));
    kit_build_hub(&e, hub, kit_key(HUB_KEY_RELAY), &p);
    assert_int_equal(sequencer_submit(w->hub.q, &e.e, 1, false, w->hub.now_ms, &r),
                     SEQ_REFUSED);
    EXPECT(ERR_AUTHORITY, r.code);

    /* A process that holds the new key cannot write anything but the change of keys. */
    hub_crash(&w->hub);
    w->hub.config.log = kit_key(50);
    OK(hub_start(&w->hub));
    struct person *someone = &w->people[1];
    person_note(someone, "early");
    assert_int_equal(hub_submit(&w->hub, &someone->entry.e, 2, &r), SEQ_REFUSED);
    EXPECT(ERR_UNAVAILABLE, r.code);
    assert_int_equal(sequencer_submit(w->hub.q, &e.e, 3, false, w->hub.now_ms, &r),
                     SEQ_QUEUED);
    struct pubkey log = kit_pub(50);
    assert_true(vkey_make(&w->hub.log_keys[1], HUB_NAME "/01", NOTE_ED25519, &log));
    person_send(someone, &w->hub, 4);
    OK(hub_commit(&w->hub));
    assert_int_equal(w->hub.seen.result_count, 2);
    assert_true(w->hub.seen.results[1].accepted);
    hub_crash(&w->hub);
    OK(hub_start(&w->hub)); /* opens the checkpoint by the key the log itself names */
}

static void a_full_batch_says_busy(void **state)
{
    struct world *w = *state;
    static char text[12000];
    struct refusal r;
    memset(text, 'x', sizeof text - 1);
    size_t queued = 0;
    for (;;) {
        struct person *p = &w->people[queued % 8];
        person_note(p, text);
        if (hub_submit(&w->hub, &p->entry.e, queued, &r) != SEQ_QUEUED)
            break;
        queued++;
    }
    EXPECT(ERR_BUSY, r.code);
    assert_true(r.retry_after_ms > 0);
    assert_in_range(queued, 600, 700); /* 8 MiB */
    OK(hub_commit(&w->hub));
    assert_int_equal(w->hub.seen.result_count, queued);
    person_send(&w->people[queued % 8], &w->hub, 1);
    OK(hub_commit(&w->hub));
}

static void refused_entries_use_up_nothing(void **state)
{
    struct world *w = *state;
    struct refusal r;
    struct person *p = &w->people[6];
    person_pay(p, &w->people[5].id, 5000);
    for (int i = 0; i < 200000; i++)
        assert_int_equal(hub_submit(&w->hub, &p->entry.e, 1, &r), SEQ_REFUSED);
    EXPECT(ERR_BALANCE, r.code);
}

static void between_prepare_and_outcome_it_is_busy(void **state)
{
    struct world *w = *state;
    struct refusal r;
    const struct store_append *appends;
    size_t count;
    enum store_outcome outcome[SLOTS];
    const struct seq_output out = hub_output(&w->hub);
    person_note(&w->people[0], "one");
    person_send(&w->people[0], &w->hub, 1);
    OK(sequencer_prepare(w->hub.q, w->hub.now_ms, 0, &appends, &count));
    assert_int_equal(count, 1);
    person_note(&w->people[0], "two");
    assert_int_equal(hub_submit(&w->hub, &w->people[0].entry.e, 2, &r), SEQ_REFUSED);
    EXPECT(ERR_BUSY, r.code);
    struct store *st = disk_store(w->hub.disk);
    st->ops->append(st, appends, count, outcome);
    OK(sequencer_outcome(w->hub.q, outcome, &out));
    person_send(&w->people[0], &w->hub, 2);
    OK(hub_commit(&w->hub));
}

static void a_clock_that_jumps_stops_everything(void **state)
{
    struct world *w = *state;
    struct refusal r;
    OK(hub_commit(&w->hub));
    w->hub.now_ms += 100000;
    w->hub.mono_ms += 100000 - SEQ_CLOCK_JUMP_MS;
    OK(hub_commit(&w->hub)); /* just as far as is allowed */
    w->hub.now_ms -= SEQ_CLOCK_JUMP_MS + 1;
    EXPECT(ERR_CLOCK, hub_commit(&w->hub));
    person_note(&w->people[0], "late");
    assert_int_equal(hub_submit(&w->hub, &w->people[0].entry.e, 1, &r), SEQ_REFUSED);
    EXPECT(ERR_UNAVAILABLE, r.code);
    EXPECT(ERR_CLOCK, hub_commit(&w->hub));
    hub_crash(&w->hub);
    OK(hub_start(&w->hub));
    person_send(&w->people[0], &w->hub, 1);
    OK(hub_commit(&w->hub));
}

static void hub_time_never_falls(void **state)
{
    struct world *w = *state;
    person_note(&w->people[0], "now");
    person_send(&w->people[0], &w->hub, 1);
    OK(hub_commit(&w->hub));
    uint64_t then = sequencer_slotlog(w->hub.q, 0)->hub_time_ms;
    w->hub.now_ms -= 5000;
    person_note(&w->people[0], "earlier");
    person_send(&w->people[0], &w->hub, 1);
    OK(hub_commit(&w->hub));
    assert_int_equal(sequencer_slotlog(w->hub.q, 0)->hub_time_ms, then);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_entry_is_answered_after_its_commit),
        TEST(several_entries_of_one_device_share_a_batch),
        TEST(a_duplicate_in_the_batch_gets_the_same_record),
        TEST(a_duplicate_after_the_commit_is_to_be_looked_up),
        TEST(an_account_that_is_open_is_to_be_looked_up),
        TEST(another_entry_with_a_taken_seq_gets_the_head),
        TEST(a_refusal_that_rests_on_the_batch_comes_with_its_commit),
        TEST(a_refusal_that_rests_on_nothing_is_not_given),
        TEST(held_refusals_have_a_limit_of_their_own),
        TEST(a_gap_is_refused_until_it_is_filled),
        TEST(an_overdraft_is_refused_with_the_balance),
        TEST(nobody_may_write_for_the_relay),
        TEST(a_hub_key_takes_over_only_when_it_is_ours),
        TEST(a_full_batch_says_busy),
        TEST(refused_entries_use_up_nothing),
        TEST(between_prepare_and_outcome_it_is_busy),
        TEST(a_clock_that_jumps_stops_everything),
        TEST(hub_time_never_falls),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kit_close();
    return failed;
}
