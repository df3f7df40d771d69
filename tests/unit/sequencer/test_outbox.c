/* Channels with one end at another relay of the hub: what is received is taken once and in
 * order, what was settled elsewhere goes, and who comes or goes leaves no item behind. Slots 0
 * and 1 are here, 2 and 3 elsewhere. The rest of outbox.h is tested with the sequencer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ledger/outbox.h"

#define SLOTS 4
#define HOUR 5000

static const uint64_t nothing[SLOTS];
static struct channel_item items[64];

/* Item `n` of a channel; two of them are of one record. */
static struct channel_item item(uint32_t source, uint32_t destination, uint64_t n)
{
    struct channel_item i = {.source_slot = source,
                             .destination_slot = destination,
                             .out_seq = n,
                             .source_index = 10 + n / 2,
                             .amount = 1 + (int64_t)n};
    i.cause.b[0] = (uint8_t)n;
    return i;
}

static const struct channel_item *many(uint32_t source, uint32_t destination, uint64_t from,
                                       size_t count)
{
    for (size_t i = 0; i < count; i++)
        items[i] = item(source, destination, from + i);
    return items;
}

static int set_up(void **state)
{
    struct outbox *o;
    if (outbox_open(&o, &alloc_heap, SLOTS) != ERR_OK)
        return 1;
    for (uint32_t here = 0; here < 2; here++)
        if (outbox_source_ready(o, here, NULL, 0, nothing, HOUR) != ERR_OK ||
            outbox_destination_ready(o, here, nothing) != ERR_OK)
            return 1;
    *state = o;
    return 0;
}

static int tear_down(void **state)
{
    outbox_close(*state);
    return 0;
}

static void spans(struct outbox *o, uint32_t source, uint32_t destination, uint64_t from,
                  uint64_t to)
{
    uint64_t settled, end;
    assert_true(outbox_span(o, source, destination, &settled, &end));
    assert_int_equal(settled, from);
    assert_int_equal(end, to);
}

/* The next one is taken and settled; it is number n. */
static void settles(struct outbox *o, uint32_t source, uint32_t destination, uint64_t n)
{
    struct channel_item got;
    uint32_t left;
    const struct channel_item *next = outbox_next(o, source, destination);
    assert_non_null(next);
    assert_int_equal(next->out_seq, n);
    outbox_take(o, source, destination);
    assert_true(outbox_settle(o, source, destination, &got, &left));
    assert_int_equal(got.out_seq, n);
    assert_int_equal(got.amount, 1 + n);
}

static void what_others_sent_is_taken_once_and_in_order(void **state)
{
    struct outbox *o = *state;
    assert_int_equal(outbox_receive(o, many(2, 1, 0, 3), 3), ERR_OK);
    assert_int_equal(outbox_due(o, 1), 3);
    assert_int_equal(outbox_receive(o, many(2, 1, 0, 5), 5), ERR_OK); /* three are known */
    assert_int_equal(outbox_due(o, 1), 5);
    assert_int_equal(outbox_receive(o, many(2, 1, 7, 1), 1), ERR_RANGE); /* 5, 6 are not */
    spans(o, 2, 1, 0, 5);
    for (uint64_t n = 0; n < 3; n++)
        settles(o, 2, 1, n);
    spans(o, 2, 1, 3, 5);
    assert_int_equal(outbox_receive(o, many(2, 1, 0, 9), 9), ERR_OK);
    for (uint64_t n = 3; n < 9; n++)
        settles(o, 2, 1, n);
    assert_int_equal(outbox_due(o, 1), 0);
    assert_null(outbox_next(o, 2, 1));
    uint64_t oldest;
    assert_int_equal(outbox_waiting(o, &oldest), 0); /* of ours */
}

/* Items come by channel, one channel after the other: a gap in one, or an item of no slot,
 * says nothing of those behind it. */
static void a_gap_ends_one_channels_items_only(void **state)
{
    struct outbox *o = *state;
    struct channel_item all[] = {item(2, 1, 0), item(2, 1, 2), item(2, 1, 3),
                                 item(SLOTS, 1, 0), item(3, 1, 0), item(3, 1, 1)};
    assert_int_equal(outbox_receive(o, all, 6), ERR_RANGE);
    spans(o, 2, 1, 0, 1);
    spans(o, 3, 1, 0, 2);
    assert_int_equal(outbox_receive(o, many(2, 1, 1, 3), 3), ERR_OK);
    spans(o, 2, 1, 0, 4);
}

static void what_is_nothing_to_us_is_passed_over(void **state)
{
    struct outbox *o = *state;
    uint64_t settled, end;
    assert_int_equal(outbox_receive(o, many(2, 3, 0, 2), 2), ERR_OK); /* not for us */
    assert_false(outbox_span(o, 2, 3, &settled, &end));
    assert_int_equal(outbox_receive(o, many(0, 1, 5, 2), 2), ERR_OK); /* our own log says it */
    assert_int_equal(outbox_due(o, 1), 0);
    assert_int_equal(outbox_receive(o, many(SLOTS, 1, 0, 1), 1), ERR_RANGE);
    assert_int_equal(outbox_receive(o, many(2, SLOTS, 0, 1), 1), ERR_RANGE);
}

static void what_was_taken_is_due_again_when_the_slot_comes_back(void **state)
{
    struct outbox *o = *state;
    uint64_t next_in[SLOTS] = {0, 0, 2, 0};
    assert_int_equal(outbox_receive(o, many(2, 1, 0, 4), 4), ERR_OK);
    outbox_take(o, 2, 1);
    outbox_take(o, 2, 1);
    outbox_take(o, 2, 1);
    assert_int_equal(outbox_due(o, 1), 1);
    outbox_slot_down(o, 1); /* two of the three were durable, as it turns out */
    assert_int_equal(outbox_destination_ready(o, 1, next_in), ERR_OK);
    assert_int_equal(outbox_due(o, 1), 2);
    settles(o, 2, 1, 2);
    settles(o, 2, 1, 3);
}

static void a_slot_that_left_leaves_nothing_of_others(void **state)
{
    struct outbox *o = *state;
    uint64_t settled, end;
    assert_int_equal(outbox_receive(o, many(2, 1, 0, 4), 4), ERR_OK);
    settles(o, 2, 1, 0);
    outbox_slot_gone(o, 1);
    assert_false(outbox_span(o, 2, 1, &settled, &end));
    assert_int_equal(outbox_due(o, 1), 0);
    assert_int_equal(outbox_receive(o, many(2, 1, 1, 2), 2), ERR_OK); /* passed over */
    assert_int_equal(outbox_due(o, 1), 0);
    /* It comes back, further on: its own log says where. */
    uint64_t next_in[SLOTS] = {0, 0, 6, 0};
    assert_int_equal(outbox_source_ready(o, 1, NULL, 0, nothing, HOUR), ERR_OK);
    assert_int_equal(outbox_destination_ready(o, 1, next_in), ERR_OK);
    assert_int_equal(outbox_receive(o, many(2, 1, 6, 2), 2), ERR_OK);
    settles(o, 2, 1, 6);
    settles(o, 2, 1, 7);
}

/* It comes back, and of what had been received here nobody has settled all: what was known of
 * it went with the slot. */
static void a_slot_that_comes_back_is_sent_again_what_was_received(void **state)
{
    struct outbox *o = *state;
    uint64_t settled, end, next_in[SLOTS] = {0, 0, 2, 0};
    assert_int_equal(outbox_receive(o, many(2, 1, 0, 4), 4), ERR_OK);
    outbox_slot_gone(o, 1);
    assert_int_equal(outbox_source_ready(o, 1, NULL, 0, nothing, HOUR), ERR_OK);
    assert_int_equal(outbox_destination_ready(o, 1, next_in), ERR_OK);
    assert_true(outbox_span(o, 2, 1, &settled, &end));
    assert_int_equal(settled, 2);
    assert_int_equal(end, 2);
    assert_int_equal(outbox_due(o, 1), 0);
    assert_int_equal(outbox_receive(o, many(2, 1, 2, 2), 2), ERR_OK);
    settles(o, 2, 1, 2);
    settles(o, 2, 1, 3);
}

static void what_was_settled_elsewhere_goes(void **state)
{
    struct outbox *o = *state;
    struct channel_item got;
    uint32_t left = 9;
    uint64_t oldest = 0;
    assert_int_equal(outbox_put(o, many(0, 2, 0, 6), 6, HOUR), ERR_OK);
    assert_int_equal(outbox_waiting(o, &oldest), 6);
    assert_int_equal(oldest, HOUR);
    assert_int_equal(outbox_low(o, 0, 99), 10);
    assert_false(outbox_settle_sent(o, 0, 2, 1, &got, &left)); /* not the oldest */
    assert_true(outbox_settle_sent(o, 0, 2, 0, &got, &left));
    assert_int_equal(got.cause.b[0], 0);
    assert_int_equal(left, 1); /* the other of its record */
    assert_int_equal(outbox_low(o, 0, 99), 10);
    assert_false(outbox_settle_sent(o, 0, 2, 0, &got, &left)); /* once */
    assert_true(outbox_settle_sent(o, 0, 2, 1, &got, &left));
    assert_int_equal(left, 0);
    assert_int_equal(outbox_low(o, 0, 99), 11);
    assert_int_equal(outbox_settle_sent_to(o, 0, 2, 7), ERR_BEHIND);
    spans(o, 0, 2, 2, 6);
    assert_int_equal(outbox_settle_sent_to(o, 0, 2, 5), ERR_OK);
    assert_int_equal(outbox_settle_sent_to(o, 0, 2, 3), ERR_OK); /* heard late */
    spans(o, 0, 2, 5, 6);
    assert_true(outbox_settle_sent(o, 0, 2, 5, &got, &left));
    assert_int_equal(outbox_low(o, 0, 99), 99);
    assert_int_equal(outbox_waiting(o, &oldest), 0);
    assert_int_equal(oldest, 0);
}

static void only_from_here_to_elsewhere(void **state)
{
    struct outbox *o = *state;
    struct channel_item got;
    uint32_t left;
    assert_int_equal(outbox_put(o, many(0, 1, 0, 1), 1, HOUR), ERR_OK);
    assert_false(outbox_settle_sent(o, 0, 1, 0, &got, &left)); /* slot 1 is here */
    assert_false(outbox_settle_sent(o, 2, 1, 0, &got, &left));
    assert_false(outbox_settle_sent(o, SLOTS, 2, 0, &got, &left));
    assert_false(outbox_settle_sent(o, 0, SLOTS, 0, &got, &left));
    assert_int_equal(outbox_settle_sent_to(o, 0, 1, 1), ERR_OK); /* nor so */
    assert_int_equal(outbox_settle_sent_to(o, 3, 2, 1), ERR_OK);
    settles(o, 0, 1, 0);
}

/* A source that left and is loaded again knows of its items what its store still holds. */
static void a_source_comes_back_with_what_is_open(void **state)
{
    struct outbox *o = *state;
    uint64_t settled, end, oldest, next_out[SLOTS] = {0, 0, 6, 0};
    struct channel_item got;
    uint32_t left;
    assert_int_equal(outbox_put(o, many(0, 2, 0, 6), 6, HOUR), ERR_OK);
    outbox_slot_gone(o, 0);
    assert_false(outbox_span(o, 0, 2, &settled, &end));
    assert_int_equal(outbox_waiting(o, &oldest), 0);
    assert_int_equal(outbox_source_ready(o, 0, many(0, 2, 4, 2), 2, next_out, HOUR), ERR_OK);
    assert_int_equal(outbox_destination_ready(o, 0, nothing), ERR_OK);
    spans(o, 0, 2, 4, 6);
    assert_true(outbox_settle_sent(o, 0, 2, 4, &got, &left));
    assert_int_equal(outbox_waiting(o, &oldest), 1);
    next_out[2] = 9; /* three are missing in the store */
    assert_int_equal(outbox_source_ready(o, 0, many(0, 2, 4, 2), 2, next_out, HOUR), ERR_CORRUPT);
}

/* Others' logs are read in pieces that overlap, at any moment. */
static void pieces_in_any_order_give_each_item_once(void **state)
{
    struct outbox *o = *state;
    uint32_t seed = 5;
    uint64_t sent = 0, next = 0, from, end;
    while (next < 2000) {
        seed = seed * 1664525u + 1013904223u;
        sent += seed >> 28;
        from = outbox_span(o, 3, 0, &from, &end) ? end : 0;
        from -= from < 5 ? from : seed >> 8 & 3; /* a little of what is known */
        uint64_t count = sent - from < 40 ? sent - from : 40;
        assert_int_equal(outbox_receive(o, many(3, 0, from, (size_t)count), (size_t)count), ERR_OK);
        for (unsigned n = seed >> 16 & 15; n > 0 && outbox_due(o, 0) > 0; n--)
            settles(o, 3, 0, next++);
    }
}

/* ---- no memory ---- */

static size_t allocations_left;

static void *scarce(void *context, void *p, size_t old_size, size_t new_size)
{
    (void)context;
    if (new_size > old_size && allocations_left-- == 0) {
        allocations_left = 0;
        return NULL;
    }
    return alloc_heap.resize(alloc_heap.context, p, old_size, new_size);
}

/* Were half a record under way, its first item would be settled as if it were the last. */
static void a_record_comes_under_way_whole_or_not_at_all(void **state)
{
    const struct alloc mem = {.resize = scarce};
    struct channel_item pair[2] = {item(0, 1, 0), item(0, 0, 0)}, settled;
    uint32_t remaining;
    bool came_through = false;
    (void)state;
    for (size_t n = 0; !came_through; n++) {
        struct outbox *o;
        allocations_left = SIZE_MAX;
        assert_int_equal(outbox_open(&o, &mem, SLOTS), ERR_OK);
        for (uint32_t here = 0; here < 2; here++) {
            assert_int_equal(outbox_source_ready(o, here, NULL, 0, nothing, HOUR), ERR_OK);
            assert_int_equal(outbox_destination_ready(o, here, nothing), ERR_OK);
        }
        allocations_left = n;
        came_through = outbox_put(o, pair, 2, HOUR) == ERR_OK;
        allocations_left = SIZE_MAX;
        if (!came_through) {
            uint64_t since;
            assert_int_equal(outbox_waiting(o, &since), 0);
            assert_null(outbox_next(o, 0, 1));
            assert_int_equal(outbox_due(o, 1), 0);
            assert_int_equal(outbox_put(o, pair, 2, HOUR), ERR_OK);
        }
        outbox_take(o, 0, 1);
        assert_true(outbox_settle(o, 0, 1, &settled, &remaining));
        assert_int_equal(remaining, 1);
        assert_int_equal(outbox_due(o, 0), 1);
        outbox_close(o);
        assert_true(n < 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        TEST(what_others_sent_is_taken_once_and_in_order),
        TEST(a_gap_ends_one_channels_items_only),
        TEST(what_is_nothing_to_us_is_passed_over),
        TEST(what_was_taken_is_due_again_when_the_slot_comes_back),
        TEST(a_slot_that_left_leaves_nothing_of_others),
        TEST(a_slot_that_comes_back_is_sent_again_what_was_received),
        TEST(what_was_settled_elsewhere_goes),
        TEST(only_from_here_to_elsewhere),
        TEST(a_source_comes_back_with_what_is_open),
        TEST(pieces_in_any_order_give_each_item_once),
        TEST(a_record_comes_under_way_whole_or_not_at_all),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
