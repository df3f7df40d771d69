/* What is under way to owners of other slots, without a clock or a socket. */
#include "federation/forward.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SLOTS 4
#define LATE 8000

struct table {
    struct forward *f;
    struct forward_item items[600];
    struct forward_item *batch[FORWARD_BATCH_ENTRIES];
    uint64_t rid;
};

static int set_up(void **state)
{
    struct table *t = calloc(1, sizeof(*t));
    t->f = calloc(1, sizeof(*t->f));
    forward_open(t->f, SLOTS);
    *state = t;
    return 0;
}

static int tear_down(void **state)
{
    struct table *t = *state;
    while (forward_next_any(t->f))
        ;
    assert_int_equal(t->f->load.items, 0);
    assert_int_equal(t->f->load.bytes, 0);
    for (int to = FORWARD_NOBODY; to < (int)FORWARD_PEERS_MAX; to++)
        assert_int_equal(forward_load_of(t->f, to)->bytes, 0);
    free(t->f);
    free(t);
    return 0;
}

static struct forward_item *add_sized(struct table *t, unsigned n, uint32_t slot,
                                      uint32_t size)
{
    t->items[n] =
        (struct forward_item){.slot = slot, .size = size, .deadline_ms = LATE};
    assert_int_equal(forward_add(t->f, &t->items[n]), ERR_OK);
    return &t->items[n];
}

static struct forward_item *add(struct table *t, unsigned n, uint32_t slot)
{
    return add_sized(t, n, slot, 100);
}

static size_t batch(struct table *t, unsigned peer, uint64_t now)
{
    return forward_batch(t->f, peer, now, t->batch, &t->rid);
}

static void owned_by(struct table *t, uint32_t slot, int to)
{
    forward_route(t->f, slot, to, 0);
    if (to >= 0)
        forward_link(t->f, (unsigned)to, true);
}

/* The i-th of the newest batch is answered. */
static bool answered(struct table *t, unsigned peer, uint64_t rid, uint64_t i, enum err code,
                     uint64_t now)
{
    struct forward_item *item = forward_find(t->f, peer, rid, i);
    assert_non_null(item);
    return forward_answered(t->f, peer, item, code, now);
}

static void entries_go_to_their_slots_owner_in_order(void **state)
{
    struct table *t = *state;
    owned_by(t, 0, 1);
    owned_by(t, 1, 2);
    owned_by(t, 2, 1);
    add(t, 0, 0);
    add(t, 1, 1);
    add(t, 2, 0);
    add(t, 3, 2);
    assert_int_equal(batch(t, 1, 0), 3);
    assert_ptr_equal(t->batch[0], &t->items[0]);
    assert_ptr_equal(t->batch[1], &t->items[2]);
    assert_ptr_equal(t->batch[2], &t->items[3]);
    assert_ptr_equal(forward_find(t->f, 1, t->rid, 1), &t->items[2]);
    assert_null(forward_find(t->f, 1, t->rid, 3));
    assert_null(forward_find(t->f, 2, t->rid, 0));
    assert_int_equal(batch(t, 1, 0), 0); /* once */
    assert_true(answered(t, 1, t->rid, 1, ERR_OK, 0));
    assert_null(forward_find(t->f, 1, t->rid, 1)); /* and answered once */
    assert_true(forward_waits(t->f, 0));
    assert_true(answered(t, 1, t->rid, 0, ERR_BALANCE, 0));
    assert_false(forward_waits(t->f, 0));
    assert_int_equal(batch(t, 2, 0), 1);
}

static void nothing_goes_without_an_owner_or_a_link(void **state)
{
    struct table *t = *state;
    add(t, 0, 0);
    forward_link(t->f, 1, true);
    assert_int_equal(batch(t, 1, 0), 0);
    forward_route(t->f, 0, 1, 0);
    forward_link(t->f, 1, false);
    assert_int_equal(batch(t, 1, 0), 0);
    assert_null(forward_next_own(t->f, 0));
    forward_link(t->f, 1, true);
    assert_int_equal(batch(t, 1, 0), 1);
}

static void a_lost_link_sends_everything_again_in_order(void **state)
{
    struct table *t = *state;
    owned_by(t, 0, 1);
    for (unsigned i = 0; i < 5; i++)
        add(t, i, 0);
    assert_int_equal(batch(t, 1, 0), 5);
    uint64_t first = t->rid;
    assert_true(answered(t, 1, first, 2, ERR_OK, 0));
    forward_link(t->f, 1, false);
    assert_null(forward_find(t->f, 1, first, 0)); /* an answer of the old link is nobody's */
    forward_link(t->f, 1, true);
    add(t, 5, 0);
    assert_int_equal(batch(t, 1, 0), 5);
    assert_ptr_equal(t->batch[0], &t->items[0]);
    assert_ptr_equal(t->batch[2], &t->items[3]);
    assert_ptr_equal(t->batch[4], &t->items[5]);
    assert_int_equal(t->f->resent, 4);
    assert_true(t->rid > first);
}

static void a_new_owner_gets_them_when_the_old_one_has_had_its_say(void **state)
{
    struct table *t = *state;
    owned_by(t, 0, 1);
    add(t, 0, 0);
    add(t, 1, 0);
    assert_int_equal(batch(t, 1, 0), 2);
    uint64_t rid = t->rid;
    forward_route(t->f, 0, 2, 100);
    forward_link(t->f, 2, true);
    add(t, 2, 0);
    assert_int_equal(batch(t, 2, 100), 0); /* not past those that are under way */
    assert_true(answered(t, 1, rid, 0, ERR_OK, 150)); /* committed before it let go */
    forward_tick(t->f, 100 + FORWARD_HANDOVER_MS - 1);
    assert_int_equal(batch(t, 2, 399), 0);
    forward_tick(t->f, 100 + FORWARD_HANDOVER_MS);
    assert_int_equal(batch(t, 2, 400), 2);
    assert_ptr_equal(t->batch[0], &t->items[1]);
    assert_ptr_equal(t->batch[1], &t->items[2]);
    assert_null(forward_find(t->f, 1, rid, 1)); /* the old one comes too late */
}

static void unavailable_brings_the_slot_back_in_order(void **state)
{
    struct table *t = *state;
    owned_by(t, 0, 1);
    owned_by(t, 1, 1);
    add(t, 0, 0);
    add(t, 1, 0);
    add(t, 2, 0);
    assert_int_equal(batch(t, 1, 0), 3);
    uint64_t rid = t->rid;
    assert_false(answered(t, 1, rid, 0, ERR_UNAVAILABLE, 10));
    add(t, 3, 0);
    add(t, 4, 1);
    assert_int_equal(batch(t, 1, 10), 1); /* of the other slot only */
    assert_ptr_equal(t->batch[0], &t->items[4]);
    assert_false(answered(t, 1, rid, 1, ERR_GAP, 20)); /* its predecessor is on its way */
    assert_true(answered(t, 1, rid, 2, ERR_BALANCE, 20));
    assert_int_equal(batch(t, 1, 20), 0);
    assert_int_equal(batch(t, 1, 20 + FORWARD_AGAIN_MS), 3);
    assert_ptr_equal(t->batch[0], &t->items[0]);
    assert_ptr_equal(t->batch[1], &t->items[1]);
    assert_ptr_equal(t->batch[2], &t->items[3]);
    /* Without anything coming back a gap is an answer. */
    assert_true(answered(t, 1, t->rid, 2, ERR_GAP, 100));
}

static void unavailable_goes_to_a_new_owner_at_once(void **state)
{
    struct table *t = *state;
    owned_by(t, 0, 1);
    add(t, 0, 0);
    assert_int_equal(batch(t, 1, 0), 1);
    forward_route(t->f, 0, 2, 5);
    forward_link(t->f, 2, true);
    assert_false(answered(t, 1, t->rid, 0, ERR_UNAVAILABLE, 6));
    assert_int_equal(batch(t, 2, 6), 1);
    /* and after the last moment it is the answer */
    assert_true(answered(t, 2, t->rid, 0, ERR_UNAVAILABLE, LATE));
}

static void a_slot_that_becomes_ours_is_handed_over_in_order(void **state)
{
    struct table *t = *state;
    owned_by(t, 0, 1);
    add(t, 0, 0);
    assert_int_equal(batch(t, 1, 0), 1);
    add(t, 1, 0);
    forward_route(t->f, 0, FORWARD_SELF, 0);
    assert_null(forward_next_own(t->f, 0));
    forward_link(t->f, 1, false);
    assert_ptr_equal(forward_next_own(t->f, 0), &t->items[0]);
    assert_ptr_equal(forward_next_own(t->f, 0), &t->items[1]);
    assert_null(forward_next_own(t->f, 0));
}

static void nothing_waits_for_ever(void **state)
{
    struct table *t = *state;
    owned_by(t, 0, 1);
    add(t, 0, 0);
    add(t, 1, 1); /* without an owner */
    assert_int_equal(batch(t, 1, 0), 1);
    uint64_t rid = t->rid;
    assert_null(forward_next_late(t->f, LATE - 1));
    assert_ptr_equal(forward_next_late(t->f, LATE), &t->items[0]);
    assert_ptr_equal(forward_next_late(t->f, LATE), &t->items[1]);
    assert_null(forward_next_late(t->f, LATE));
    assert_null(forward_find(t->f, 1, rid, 0));
}

static void a_question_goes_alone_and_groups_apart(void **state)
{
    struct table *t = *state;
    owned_by(t, 0, 1);
    add(t, 0, 0);
    add(t, 1, 0)->question = true;
    add(t, 2, 0);
    add(t, 3, 0)->group = 1;
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(batch(t, 1, 0), 1);
        assert_ptr_equal(t->batch[0], &t->items[i]);
    }
}

static void a_frame_and_a_window_have_an_end(void **state)
{
    struct table *t = *state;
    owned_by(t, 0, 1);
    for (unsigned i = 0; i < 300; i++)
        add(t, i, 0);
    assert_int_equal(batch(t, 1, 0), FORWARD_BATCH_ENTRIES);
    uint64_t first = t->rid;
    assert_int_equal(batch(t, 1, 0), 300 - FORWARD_BATCH_ENTRIES);
    add_sized(t, 300, 0, FORWARD_BATCH_BYTES - 50);
    add(t, 301, 0);
    assert_int_equal(batch(t, 1, 0), 1);
    /* One that is not answered holds its place of the window. */
    for (unsigned round = 0; round < FORWARD_WINDOW; round++) {
        if (round % 300 == 0)
            for (unsigned i = 1; i < 256; i++) {
                struct forward_item *item = forward_find(t->f, 1, first, i);
                if (item)
                    assert_true(forward_answered(t->f, 1, item, ERR_OK, 0));
            }
        struct forward_item *i = add(t, 310, 1);
        forward_route(t->f, 1, 1, 0);
        size_t n = batch(t, 1, 0);
        if (n == 0) {
            const struct forward_peer *p = &t->f->peer[1];
            assert_ptr_equal(p->window[p->next_serial % FORWARD_WINDOW], &t->items[0]);
            return;
        }
        for (size_t k = 0; k < n; k++)
            assert_true(forward_answered(t->f, 1, t->batch[k], ERR_OK, 0));
        assert_false(i->sent);
    }
    fail_msg("the window went round past an item that was not answered");
}

static void one_owner_fills_its_share_only(void **state)
{
    struct table *t = *state;
    owned_by(t, 0, 1);
    owned_by(t, 1, 2);
    struct forward_item *many = calloc(FORWARD_ITEMS_OWNER_MAX + 2, sizeof(*many));
    for (unsigned i = 0; i < FORWARD_ITEMS_OWNER_MAX; i++) {
        many[i] = (struct forward_item){.slot = 0, .size = 1, .deadline_ms = LATE};
        assert_int_equal(forward_add(t->f, &many[i]), ERR_OK);
    }
    struct forward_item *more = &many[FORWARD_ITEMS_OWNER_MAX];
    *more = (struct forward_item){.slot = 0, .size = 1, .deadline_ms = LATE};
    assert_int_equal(forward_add(t->f, more), ERR_BUSY);
    more->slot = 1;
    more->size = FORWARD_BYTES_OWNER_MAX + 1;
    assert_int_equal(forward_add(t->f, more), ERR_BUSY);
    more->size = 1;
    assert_int_equal(forward_add(t->f, more), ERR_OK);
    assert_int_equal(forward_load_of(t->f, 1)->items, FORWARD_ITEMS_OWNER_MAX);
    forward_route(t->f, 0, FORWARD_NOBODY, 0); /* the load moves with the slot */
    assert_int_equal(forward_load_of(t->f, 1)->items, 0);
    assert_int_equal(forward_load_of(t->f, FORWARD_NOBODY)->items,
                     FORWARD_ITEMS_OWNER_MAX);
    while (forward_next_any(t->f))
        ;
    free(many);
}

/* Two devices' chains through owners that come, go, answer late, twice, or not: whatever
 * happens each entry is given back once, and what an owner takes of one device it takes in
 * order. */
static uint32_t draw(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

static void any_weather(void **state)
{
    struct table *t = *state;
    for (uint64_t run = 1; run <= 200; run++) {
        uint64_t seed = run, now = 0, returned = 0;
        unsigned next = 0, taken[SLOTS] = {0}; /* per slot: entries the ledger has */
        uint32_t wave = 0;
        unsigned order[600];
        memset(t->f, 0, sizeof(*t->f));
        forward_open(t->f, SLOTS);
        unsigned in_slot[SLOTS] = {0};
        while (returned < 600) {
            now += draw(&seed) % 20;
            uint32_t slot = draw(&seed) % SLOTS;
            struct forward_item *item;
            switch (draw(&seed) % 10) {
            case 0:
                forward_route(t->f, slot, (int)(draw(&seed) % 4) - 2, now);
                break;
            case 1:
                forward_link(t->f, draw(&seed) % 2, draw(&seed) % 3 != 0);
                break;
            case 2:
            case 3:
            case 4:
                if (next < 600) {
                    order[next] = in_slot[slot]++;
                    t->items[next] = (struct forward_item){
                        .slot = slot, .size = 10, .deadline_ms = now + 500 * LATE};
                    assert_int_equal(forward_add(t->f, &t->items[next++]), ERR_OK);
                }
                break;
            case 5:
                while ((item = forward_next_own(t->f, now))) {
                    unsigned n = order[item - t->items];
                    assert_true(n <= taken[item->slot]);
                    if (n == taken[item->slot])
                        taken[item->slot]++;
                    returned++;
                }
                break;
            default: {
                unsigned peer = draw(&seed) % 2;
                size_t n = batch(t, peer, now);
                bool lost = false;
                for (size_t i = 0; i < n; i++) {
                    item = forward_find(t->f, peer, t->rid, i);
                    assert_ptr_equal(item, t->batch[i]);
                    enum err code = draw(&seed) % 4 ? ERR_OK : ERR_UNAVAILABLE;
                    unsigned number = order[item - t->items];
                    if (code == ERR_OK && number > taken[item->slot])
                        code = ERR_GAP;
                    if (code == ERR_OK && number == taken[item->slot])
                        taken[item->slot]++; /* else a duplicate */
                    lost = lost || draw(&seed) % 16 == 0;
                    if (lost)
                        continue; /* the rest of the answers is lost with the link */
                    bool done = forward_answered(t->f, peer, item, code, now);
                    assert_true(done == (code == ERR_OK));
                    returned += done;
                }
                if (lost)
                    forward_link(t->f, peer, false);
                forward_tick(t->f, now);
            }
            }
            if (++wave % 64 == 0)
                for (unsigned peer = 0; peer < 2; peer++)
                    forward_link(t->f, peer, wave % 128 == 0);
        }
        for (uint32_t slot = 0; slot < SLOTS; slot++)
            assert_int_equal(taken[slot], in_slot[slot]);
        assert_int_equal(t->f->load.items, 0);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(entries_go_to_their_slots_owner_in_order),
        TEST(nothing_goes_without_an_owner_or_a_link),
        TEST(a_lost_link_sends_everything_again_in_order),
        TEST(a_new_owner_gets_them_when_the_old_one_has_had_its_say),
        TEST(unavailable_brings_the_slot_back_in_order),
        TEST(unavailable_goes_to_a_new_owner_at_once),
        TEST(a_slot_that_becomes_ours_is_handed_over_in_order),
        TEST(nothing_waits_for_ever),
        TEST(a_question_goes_alone_and_groups_apart),
        TEST(a_frame_and_a_window_have_an_end),
        TEST(one_owner_fills_its_share_only),
        TEST(any_weather),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
