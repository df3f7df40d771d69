/* What is believed of the bus. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/federation/buskit.h"

#define SLOTS 4
#define SLOT 2
#define POLL 500
#define NOW 1000000

static struct bus_kit kit;
static struct vkey keys[SLOTS];
static struct bus bus;
static struct kit_message x;
static struct bus_heard heard;

static int make(void **state)
{
    (void)state;
    if (!crypto_start())
        return -1;
    bus_kit_make(&kit, SLOT, 1);
    keys[SLOT] = kit.vkey;
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    bus_kit_close(&kit);
    return 0;
}

static int fresh(void **state)
{
    (void)state;
    struct frontier at = bus_kit_at(&kit, 10);
    bus_init(&bus, "here", keys, SLOTS);
    bus_follow(&bus, SLOT, &at, NOW);
    bus.slot[SLOT].epoch = 7;
    return 0;
}

static void say(size_t first, size_t last, bool carry)
{
    x.sender = "there";
    x.epoch = 7;
    x.first = first;
    x.last = last;
    x.carry = carry;
    bus_kit_message(&kit, &x);
}

static enum bus_why hear(void)
{
    bus_hear(&bus, SLOT, &x.m, NOW, &heard);
    return heard.why;
}

static void a_carried_batch_that_follows_is_used(void **state)
{
    (void)state;
    say(10, 13, true);
    assert_int_equal(hear(), BUS_USED);
    struct frontier want = bus_kit_at(&kit, 13);
    assert_int_equal(heard.after.size, 13);
    struct hash a = frontier_root(&heard.after), b = frontier_root(&want);
    assert_true(hash_equal(&a, &b));
    struct frontier again = bus_kit_at(&kit, 10);
    for (size_t i = 0; i < 3; i++)
        assert_true(frontier_append(&again, &heard.leaves[i]));
    a = frontier_root(&again);
    assert_true(hash_equal(&a, &b));
    assert_int_equal(bus_wait_ms(&bus, SLOT, POLL, NOW), POLL); /* no need to look */
    assert_int_equal(bus.slot[SLOT].at.size, 10); /* not before it was taken */
    bus_follow(&bus, SLOT, &heard.after, NOW + 1);
    assert_int_equal(hear(), BUS_OLD); /* the same again */
}

static void a_doorbell_sends_to_the_store(void **state)
{
    (void)state;
    say(10, 13, false);
    assert_int_equal(hear(), BUS_RANG);
    assert_int_equal(bus_wait_ms(&bus, SLOT, POLL, NOW), 0);
    assert_true(bus_looked(&bus, SLOT, 7, 13, NOW));
    struct frontier at = bus_kit_at(&kit, 13);
    bus_follow(&bus, SLOT, &at, NOW);
    assert_int_equal(bus_wait_ms(&bus, SLOT, POLL, NOW), POLL);
}

static void a_gap_and_an_overlap_send_to_the_store(void **state)
{
    (void)state;
    say(12, 13, true);
    assert_int_equal(hear(), BUS_GAP);
    assert_int_equal(bus_wait_ms(&bus, SLOT, POLL, NOW), 0);
    say(9, 13, true);
    assert_int_equal(hear(), BUS_OVERLAP);
}

static void what_is_known_is_ignored(void **state)
{
    (void)state;
    say(8, 10, true);
    assert_int_equal(hear(), BUS_OLD);
    say(3, 5, true);
    assert_int_equal(hear(), BUS_OLD);
    assert_int_equal(bus_wait_ms(&bus, SLOT, POLL, NOW), POLL);
}

static void an_owner_that_was_replaced_is_ignored_and_a_new_one_heard(void **state)
{
    (void)state;
    say(10, 13, true);
    x.m.epoch = 6;
    assert_int_equal(hear(), BUS_STALE);
    x.m.epoch = INT64_MAX; /* a lie about the epoch blinds nobody */
    assert_int_equal(hear(), BUS_USED);
    x.m.epoch = 7;
    assert_int_equal(hear(), BUS_USED);
    assert_true(bus_looked(&bus, SLOT, 8, 11, NOW)); /* the store says who the owner is */
    assert_int_equal(hear(), BUS_STALE);
}

static void our_own_words_and_what_is_not_followed_are_ignored(void **state)
{
    (void)state;
    say(10, 13, true);
    x.m.sender = bytes_of("here", 4);
    assert_int_equal(hear(), BUS_OWN);
    x.m.sender = bytes_of("her", 3);
    assert_int_equal(hear(), BUS_USED);
    bus_unfollow(&bus, SLOT);
    assert_int_equal(hear(), BUS_IDLE);
    assert_true(bus_wait_ms(&bus, SLOT, POLL, NOW) == UINT64_MAX);
}

static void another_slots_channel_is_no_place_for_it(void **state)
{
    (void)state;
    say(10, 13, true);
    bus_hear(&bus, SLOT + 1, &x.m, NOW, &heard);
    assert_int_equal(heard.why, BUS_MALFORMED);
    x.m.slot = SLOTS;
    bus_hear(&bus, SLOTS, &x.m, NOW, &heard);
    assert_int_equal(heard.why, BUS_MALFORMED);
}

/* Every byte of a carried batch counts: with any one of them changed it is never used,
 * but for those of sender and epoch, which say nothing about the log. */
static void a_changed_byte_is_never_used(void **state)
{
    (void)state;
    static uint8_t copy[BUS_MESSAGE_MAX];
    say(10, 13, true);
    size_t size = x.size, used = 0;
    memcpy(copy, x.bytes, size);
    for (size_t i = 0; i < size; i++) {
        struct bus_message m;
        fresh(NULL);
        copy[i] ^= 0x01;
        if (bus_decode(&m, bytes_of(copy, size))) {
            bus_hear(&bus, SLOT, &m, NOW, &heard);
            if (heard.why == BUS_USED) {
                struct frontier want = bus_kit_at(&kit, 13);
                struct hash a = frontier_root(&heard.after), b = frontier_root(&want);
                assert_true(hash_equal(&a, &b));
                assert_true(i < 10);
                used++;
            }
        }
        copy[i] ^= 0x01;
    }
    assert_true(used >= 5 && used <= 7); /* five letters of "there", the epoch */
}

static void leaves_that_do_not_give_the_root_are_not_used(void **state)
{
    (void)state;
    struct bus_kit other;
    static struct kit_message y;
    bus_kit_make(&other, SLOT, 2); /* other envelopes, same keys: a fork */
    y = (struct kit_message){
        .sender = "there", .epoch = 7, .first = 10, .last = 13, .carry = true};
    bus_kit_message(&other, &y);
    bus_hear(&bus, SLOT, &y.m, NOW, &heard);
    assert_int_equal(heard.why, BUS_MISMATCH);
    say(10, 13, true);
    x.m.records = y.m.records; /* the right note over other records */
    assert_int_equal(hear(), BUS_MISMATCH);
    bus_kit_close(&other);
}

static void a_note_by_another_key_is_not_used(void **state)
{
    (void)state;
    struct bus_kit other;
    bus_kit_make(&other, SLOT + 1, 1);
    say(10, 13, true);
    keys[SLOT].key.b[0] ^= 1; /* as if another key had signed */
    assert_int_equal(hear(), BUS_UNSIGNED);
    keys[SLOT] = kit.vkey;
    assert_int_equal(hear(), BUS_USED);
    bus_kit_close(&other);
}

static void a_second_tree_of_one_size_is_told(void **state)
{
    (void)state;
    struct bus_kit other;
    static struct kit_message y;
    bus_kit_make(&other, SLOT, 2);
    y = (struct kit_message){
        .sender = "there", .epoch = 7, .first = 9, .last = 10, .carry = true};
    bus_kit_message(&other, &y);
    bus_hear(&bus, SLOT, &y.m, NOW, &heard);
    assert_int_equal(heard.why, BUS_FORK);
    keys[SLOT].key.b[0] ^= 1; /* unsigned: means nothing */
    bus_hear(&bus, SLOT, &y.m, NOW, &heard);
    assert_int_equal(heard.why, BUS_OLD);
    keys[SLOT] = kit.vkey;
    bus_kit_close(&other);
}

static void a_flood_of_bad_batches_is_not_looked_into(void **state)
{
    (void)state;
    say(10, 13, true);
    keys[SLOT].key.b[0] ^= 1;
    for (unsigned i = 0; i < BUS_BAD_A_SECOND; i++)
        assert_int_equal(hear(), BUS_UNSIGNED);
    assert_int_equal(hear(), BUS_FLOOD);
    keys[SLOT] = kit.vkey;
    assert_int_equal(hear(), BUS_FLOOD); /* a good one waits, too: the store has it */
    assert_int_equal(bus_verdict_of(BUS_FLOOD), BUS_READ);
    bus_hear(&bus, SLOT, &x.m, NOW + 1000, &heard);
    assert_int_equal(heard.why, BUS_USED);
}

static void rings_for_nothing_are_obeyed_ever_later(void **state)
{
    (void)state;
    uint64_t now = NOW, before = 0;
    unsigned looks = 0;
    say(10, 40, false); /* a lie: the store has ten */
    for (; now < NOW + 20 * POLL; now++) {
        bus_hear(&bus, SLOT, &x.m, now, &heard);
        if (bus_wait_ms(&bus, SLOT, POLL, now) > 0)
            continue;
        assert_true(now - before <= POLL || looks == 0); /* never later than a poll */
        assert_false(bus_looked(&bus, SLOT, 7, 10, now));
        before = now;
        looks++;
    }
    assert_in_range(looks, 20, 30);
    assert_true(bus_looked(&bus, SLOT, 7, 12, now)); /* a true one ends it */
    struct frontier at = bus_kit_at(&kit, 12);
    bus_follow(&bus, SLOT, &at, now);
    bus_hear(&bus, SLOT, &x.m, now, &heard);
    assert_int_equal(bus_wait_ms(&bus, SLOT, POLL, now), 0);
}

static void silence_sends_to_the_store(void **state)
{
    (void)state;
    assert_int_equal(bus_wait_ms(&bus, SLOT, POLL, NOW), POLL);
    assert_int_equal(bus_wait_ms(&bus, SLOT, POLL, NOW + 499), 1);
    assert_int_equal(bus_wait_ms(&bus, SLOT, POLL, NOW + 500), 0);
    assert_false(bus_looked(&bus, SLOT, 7, 10, NOW + 500));
    assert_int_equal(bus_wait_ms(&bus, SLOT, POLL, NOW + 501), POLL - 1);
}

static void what_the_bus_carries_as_a_rule_is_left_to_it_for_a_moment(void **state)
{
    (void)state;
    bus_expect(&bus, SLOT, 11, POLL, NOW); /* nothing was ever carried */
    assert_int_equal(bus_wait_ms(&bus, SLOT, POLL, NOW), 0);
    say(10, 13, true);
    assert_int_equal(hear(), BUS_USED);
    bus_follow(&bus, SLOT, &heard.after, NOW);
    assert_int_equal(bus_wait_ms(&bus, SLOT, POLL, NOW), POLL);
    bus_expect(&bus, SLOT, 13, POLL, NOW + 10); /* known */
    assert_int_equal(bus_wait_ms(&bus, SLOT, POLL, NOW + 10), POLL - 10);
    bus_expect(&bus, SLOT, 14, POLL, NOW + 10);
    bus_expect(&bus, SLOT, 15, POLL, NOW + 20); /* who comes later waits no longer */
    assert_int_equal(bus_wait_ms(&bus, SLOT, POLL, NOW + 20), BUS_EXPECT_MS - 10);
    assert_int_equal(bus_wait_ms(&bus, SLOT, POLL, NOW + 10 + BUS_EXPECT_MS), 0);
    bus_ring(&bus, SLOT, 14); /* who knows that the bus does not bring it */
    assert_int_equal(bus_wait_ms(&bus, SLOT, POLL, NOW + 20), 0);
    struct frontier at = bus_kit_at(&kit, 15);
    bus_follow(&bus, SLOT, &at, NOW + 30);
    assert_int_equal(bus_wait_ms(&bus, SLOT, POLL, NOW + 30), POLL);
    bus_expect(&bus, SLOT, 16, POLL, NOW + POLL); /* it has been silent since */
    assert_int_equal(bus_wait_ms(&bus, SLOT, POLL, NOW + POLL), 0);
}

static void malformed_messages_do_not_decode(void **state)
{
    (void)state;
    struct bus_message m;
    say(10, 13, true);
    for (size_t i = 0; i < x.size; i++) /* every cut */
        assert_false(bus_decode(&m, bytes_of(x.bytes, i)));
    x.bytes[x.size] = 0; /* something behind it */
    assert_false(bus_decode(&m, bytes_of(x.bytes, x.size + 1)));
    uint8_t bomb[] = {0x98, 1, 0xa1, 'x',  2,    7, 10, 13,
                      0xc4, 1, 'n',  0xdd, 0x7f, 0, 0,  0};
    assert_false(bus_decode(&m, bytes_of(bomb, sizeof(bomb))));
}

static void counts_and_sizes_must_agree(void **state)
{
    (void)state;
    static uint8_t out[4096];
    struct bus_message m = {.sender = bytes_of("a", 1),
                            .slot = 1,
                            .first = 3,
                            .last = 3,
                            .note = bytes_of("n", 1)};
    struct mp_writer w = mp_writer_of(out, sizeof(out));
    bus_put(&w, &m);
    assert_false(bus_decode(&m, bytes_of(out, w.size))); /* nothing happened */
    m = (struct bus_message){.sender = bytes_of("a", 1),
                             .slot = 1,
                             .first = 3,
                             .last = 5,
                             .note = bytes_of("n", 1),
                             .count = 1};
    w = mp_writer_of(out, sizeof(out));
    bus_put(&w, &m);
    bus_put_record(&w, &kit.records[0]);
    assert_false(bus_decode(&m, bytes_of(out, w.size))); /* one of two */
    m = (struct bus_message){.sender = bytes_of("a", 1),
                             .slot = SLOTS_MAX,
                             .first = 3,
                             .last = 5,
                             .note = bytes_of("n", 1)};
    w = mp_writer_of(out, sizeof(out));
    bus_put(&w, &m);
    assert_false(bus_decode(&m, bytes_of(out, w.size))); /* no slot has this number */
}

static void the_largest_batch_fits_a_message(void **state)
{
    (void)state;
    static uint8_t out[BUS_MESSAGE_MAX], envelope[BUS_CARRY_BYTES_MAX / BUS_RECORDS_MAX];
    char sender[BUS_SENDER_MAX], note[CHECKPOINT_BYTES_MAX];
    memset(sender, 'r', sizeof(sender));
    memset(note, 'n', sizeof(note));
    struct bus_message m = {.sender = bytes_of(sender, sizeof(sender)),
                            .slot = SLOTS_MAX - 1,
                            .epoch = INT64_MAX,
                            .first = MERKLE_SIZE_MAX - BUS_RECORDS_MAX,
                            .last = MERKLE_SIZE_MAX,
                            .note = bytes_of(note, sizeof(note)),
                            .count = BUS_RECORDS_MAX};
    struct record r = {.hub_lamport = INT64_MAX,
                       .hub_time_ms = INT64_MAX,
                       .envelope = bytes_of(envelope, sizeof(envelope))};
    struct mp_writer w = mp_writer_of(out, sizeof(out));
    bus_put(&w, &m);
    for (size_t i = 0; i < m.count; i++)
        bus_put_record(&w, &r);
    assert_false(w.full);
    assert_true(bus_decode(&m, bytes_of(out, w.size)));
    assert_string_equal(bus_why_word(BUS_USED), "used");
    assert_string_equal(bus_why_word(BUS_FORK), "fork");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_carried_batch_that_follows_is_used, fresh),
        cmocka_unit_test_setup(a_doorbell_sends_to_the_store, fresh),
        cmocka_unit_test_setup(a_gap_and_an_overlap_send_to_the_store, fresh),
        cmocka_unit_test_setup(what_is_known_is_ignored, fresh),
        cmocka_unit_test_setup(an_owner_that_was_replaced_is_ignored_and_a_new_one_heard,
                               fresh),
        cmocka_unit_test_setup(our_own_words_and_what_is_not_followed_are_ignored, fresh),
        cmocka_unit_test_setup(another_slots_channel_is_no_place_for_it, fresh),
        cmocka_unit_test_setup(a_changed_byte_is_never_used, fresh),
        cmocka_unit_test_setup(leaves_that_do_not_give_the_root_are_not_used, fresh),
        cmocka_unit_test_setup(a_note_by_another_key_is_not_used, fresh),
        cmocka_unit_test_setup(a_second_tree_of_one_size_is_told, fresh),
        cmocka_unit_test_setup(a_flood_of_bad_batches_is_not_looked_into, fresh),
        cmocka_unit_test_setup(rings_for_nothing_are_obeyed_ever_later, fresh),
        cmocka_unit_test_setup(silence_sends_to_the_store, fresh),
        cmocka_unit_test_setup(what_the_bus_carries_as_a_rule_is_left_to_it_for_a_moment,
                               fresh),
        cmocka_unit_test_setup(malformed_messages_do_not_decode, fresh),
        cmocka_unit_test_setup(counts_and_sizes_must_agree, fresh),
        cmocka_unit_test_setup(the_largest_batch_fits_a_message, fresh),
    };
    return cmocka_run_group_tests(tests, make, unmake);
}
