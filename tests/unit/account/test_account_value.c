/* Rules of what an account holds: transfer, accrue, adjust, credit, bind, note. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "world.h"

enum { KEY_A = 200, KEY_B = 210, KEY_C = 220 };

static struct world w;
static struct account a, b, c; /* slots 1, 2, 1 */
static struct payload p;
static char origin[KIT_ORIGIN_ROOM];

static int setup(void **state)
{
    (void)state;
    world_init(&w);
    world_open(&w, &a, 1, KEY_A, false);
    world_open(&w, &b, 2, KEY_B, false);
    world_open(&w, &c, 1, KEY_C, false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    account_close(&a);
    account_close(&b);
    account_close(&c);
    world_close(&w);
    return 0;
}

static enum err pay(struct account *to, int64_t amount)
{
    kit_transfer(&p);
    kit_pay(&p, &to->id, amount);
    return world_do(&w, &a, KEY_A + 1, &p);
}

static enum err accrue(uint64_t node, uint64_t epoch, int64_t amount)
{
    struct hash id = kit_hash(node);
    kit_accrue(&p, &id, epoch, amount);
    return world_do(&w, &a, KEY_ISSUER, &p);
}

static enum err adjust(struct account *at, int64_t delta)
{
    kit_adjust(&p, delta);
    return world_do(&w, at, KEY_ISSUER, &p);
}

static enum err credit(struct account *to, const struct channel_item *item)
{
    kit_credit(&p, item, WORLD_HUB, origin);
    return world_do(&w, to, KEY_RELAY, &p);
}

/* -- transfer
 * ---------------------------------------------------------------------------- */

static void a_transfer_debits_and_fills_channels_in_payee_order(void **state)
{
    (void)state;
    world_fund(&w, &a, 1000);
    kit_transfer(&p);
    kit_pay(&p, &b.id, 100);
    kit_pay(&p, &c.id, 50); /* its own slot has a channel to itself */
    struct hash far = b.id;
    far.b[31] ^= 1;
    kit_pay(&p, &far, 7);
    struct payload sent = p;
    OK(world_do(&w, &a, KEY_A + 1, &p));
    assert_int_equal(a.balance, 1000 - 157);
    assert_int_equal(w.fx.item_count, 3);
    uint64_t next[WORLD_SLOTS] = {0};
    for (uint32_t i = 0; i < 3; i++) {
        const struct channel_item *item = &w.fx.items[i];
        uint32_t to = slot_of(&sent.transfer.payees[i].account, WORLD_SLOTS);
        assert_int_equal(item->payee_index, i);
        assert_memory_equal(&item->payee, &sent.transfer.payees[i].account, 32);
        assert_memory_equal(&item->payer, &a.id, 32);
        assert_memory_equal(&item->cause, &a.devices[0].chain.tip, 32);
        assert_int_equal(item->amount, sent.transfer.payees[i].amount);
        assert_int_equal(item->source_slot, 1);
        assert_int_equal(item->destination_slot, to);
        assert_int_equal(item->out_seq, next[to]++);
        assert_int_equal(item->source_index, w.slots[1].index - 1);
        assert_int_equal(item->source_lamport, w.slots[1].lamport);
        assert_false(item->is_return);
    }
    assert_int_equal(w.slots[1].hub.sent, 157);
    assert_false(w.fx.settles);
}

static void a_transfer_needs_cover(void **state)
{
    (void)state;
    EXPECT(ERR_BALANCE, pay(&b, 1));
    world_fund(&w, &a, 10);
    EXPECT(ERR_BALANCE, pay(&b, 11));
    OK(pay(&b, 10));
    EXPECT(ERR_BALANCE, pay(&b, 1));
}

static void nobody_pays_himself(void **state)
{
    (void)state;
    world_fund(&w, &a, 10);
    EXPECT(ERR_PAYEES, pay(&a, 1));
}

static void another_hub_is_out_of_reach_yet(void **state)
{
    (void)state;
    world_fund(&w, &a, 10);
    kit_transfer(&p);
    kit_pay(&p, &b.id, 1);
    p.transfer.payees[0].hub = bytes_of("other.test", 10);
    EXPECT(ERR_HUB_UNKNOWN, world_do(&w, &a, KEY_A + 1, &p));
    p.transfer.payees[0].hub = bytes_of("hub.tesu", 8);
    EXPECT(ERR_HUB_UNKNOWN, world_do(&w, &a, KEY_A + 1, &p));
    p.transfer.payees[0].hub = bytes_of(WORLD_HUB, strlen(WORLD_HUB));
    OK(world_do(&w, &a, KEY_A + 1, &p));
}

static void a_sum_does_not_wrap(void **state)
{
    (void)state;
    world_fund(&w, &a, 10);
    kit_transfer(&p);
    kit_pay(&p, &b.id, INT64_MAX);
    kit_pay(&p, &c.id, INT64_MAX);
    EXPECT(ERR_OVERFLOW, world_do(&w, &a, KEY_A + 1, &p));
}

/* -- accrue, adjust
 * ---------------------------------------------------------------------- */

static void epochs_of_a_node_rise(void **state)
{
    (void)state;
    OK(accrue(1, 5, 10));
    EXPECT(ERR_EPOCH_OLD, accrue(1, 5, 10));
    EXPECT(ERR_EPOCH_OLD, accrue(1, 4, 10));
    OK(accrue(2, 0, 10));
    OK(accrue(1, 6, 10));
    assert_int_equal(a.balance, 30);
    assert_int_equal(a.node_count, 2);
    assert_int_equal(w.slots[1].hub.accrued, 30);
}

static void nodes_stay_sorted_up_to_their_limit(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < NODES_MAX; n++)
        OK(accrue(n, 1, 1));
    for (uint32_t i = 1; i < a.node_count; i++)
        assert_true(hash_compare(&a.nodes[i - 1].node, &a.nodes[i].node) < 0);
    EXPECT(ERR_NODE_LIMIT, accrue(NODES_MAX, 1, 1));
    OK(accrue(17, 2, 1));
}

static void a_slot_has_a_supply(void **state)
{
    (void)state;
    int64_t most = SLOT_SUPPLY_MAX(WORLD_SLOTS);
    OK(accrue(1, 1, most - 1));
    EXPECT(ERR_SUPPLY, accrue(1, 2, 2));
    EXPECT(ERR_SUPPLY, accrue(1, 2, INT64_MAX));
    EXPECT(ERR_SUPPLY, adjust(&c, 2));
    OK(adjust(&c, 1));
    EXPECT(ERR_SUPPLY, adjust(&c, 1));
    OK(adjust(&a, -10));
    OK(accrue(1, 2, 10));
    EXPECT(ERR_SUPPLY, accrue(1, 3, 1));
}

static void sums_of_a_slot_do_not_wrap(void **state)
{
    (void)state;
    struct hub_account *h = &w.slots[1].hub;
    h->accrued = INT64_MAX - 5;
    h->adjusted = -(INT64_MAX - 5);
    EXPECT(ERR_SUPPLY, accrue(1, 1, 6));
    OK(accrue(1, 1, 5));
    h->accrued = 0;
    h->adjusted = INT64_MIN + 2;
    EXPECT(ERR_SUPPLY, adjust(&a, -3));
    OK(adjust(&a, -2));
}

static void a_balance_has_a_largest_value(void **state)
{
    (void)state;
    a.balance = BALANCE_MAX - 1;
    EXPECT(ERR_OVERFLOW, accrue(1, 1, 2));
    EXPECT(ERR_OVERFLOW, adjust(&a, 2));
    struct channel_item item = {.source_slot = 3, .amount = 2};
    EXPECT(ERR_OVERFLOW, credit(&a, &item));
    OK(adjust(&a, 1));
    EXPECT(ERR_OVERFLOW, adjust(&a, INT64_MAX));
}

static void an_adjustment_never_leaves_less_than_nothing(void **state)
{
    (void)state;
    EXPECT(ERR_BALANCE, adjust(&a, -1));
    OK(adjust(&a, 10));
    EXPECT(ERR_BALANCE, adjust(&a, -11));
    EXPECT(ERR_BALANCE, adjust(&a, -INT64_MAX));
    OK(adjust(&a, -10));
    assert_int_equal(a.balance, 0);
    assert_int_equal(w.slots[1].hub.adjusted, 0);
}

/* An entry whose payload was swapped after decoding: the rules do not trust the codec. */
static void amounts_are_checked_here_too(void **state)
{
    (void)state;
    static struct kit_entry built;
    uint8_t room[64];
    struct mp_writer writer = mp_writer_of(room, sizeof room);
    kit_adjust(&p, 1);
    kit_build(&built, &a, &w.slots[1].hub, kit_key(KEY_ISSUER), &p);
    p.adjust.delta = 0;
    payload_encode(&writer, &p);
    built.e.payload = bytes_of(room, writer.size);
    EXPECT(ERR_AMOUNT, world_apply(&w, &a, &built.e));
    built.e.payload.size--;
    EXPECT(ERR_PAYLOAD, world_apply(&w, &a, &built.e));
}

/* -- credit
 * ------------------------------------------------------------------------------ */

static void a_credit_settles_the_next_item(void **state)
{
    (void)state;
    struct channel_item first, second;
    world_fund(&w, &a, 100);
    OK(pay(&b, 10));
    OK(pay(&b, 20));
    assert_true(world_take(&w, &first));
    assert_true(world_take(&w, &second));
    EXPECT(ERR_CHANNEL, credit(&b, &second));
    OK(credit(&b, &first));
    assert_true(w.fx.settles);
    assert_int_equal(w.fx.settle_source, 1);
    assert_int_equal(w.fx.settle_seq, 0);
    assert_false(w.fx.bounced);
    EXPECT(ERR_CHANNEL, credit(&b, &first));
    OK(credit(&b, &second));
    assert_int_equal(w.fx.settle_seq, 1);
    assert_int_equal(b.balance, 30);
    assert_int_equal(w.slots[2].hub.settled, 30);
    assert_int_equal(w.slots[1].hub.sent, 30);
}

static void origins_name_slots_in_two_hex_digits(void **state)
{
    (void)state;
    static const uint32_t slots[] = {0x00, 0x09, 0x0a, 0x0f, 0x90, 0xa0, 0xff};
    static struct kit_entry entry;
    struct hub_account big;
    struct account mine;
    struct record r = {0};
    hub_account_init(&big, &alloc_heap);
    account_init(&mine, &alloc_heap);
    kit_log_open(&entry, &(struct kit_log){.federation = w.federation,
                                           .hub = WORLD_HUB,
                                           .slot = 1,
                                           .slots = SLOTS_MAX,
                                           .issuer = kit_key(KEY_ISSUER),
                                           .relay = kit_key(KEY_RELAY),
                                           .log = kit_key(KEY_LOG)});
    OK(hub_account_apply(&big, &entry.e, &r, VIEW_SLOT, &w.fx));
    kit_open_in_slot(&entry,
                     &(struct kit_open){.federation = w.federation,
                                        .hub = WORLD_HUB,
                                        .root = kit_key(KEY_A),
                                        .device = kit_key(KEY_A + 1)},
                     1, SLOTS_MAX);
    OK(account_apply(&mine, &big, &entry.e, &r, VIEW_SLOT, &w.fx));
    for (size_t i = 0; i < sizeof slots / sizeof slots[0]; i++) {
        kit_credit(&p, &(struct channel_item){.source_slot = slots[i], .amount = 1},
                   WORLD_HUB, origin);
        kit_build(&entry, &mine, &big, kit_key(KEY_RELAY), &p);
        OK(account_apply(&mine, &big, &entry.e, &r, VIEW_SLOT, &w.fx));
        assert_int_equal(w.fx.settle_source, slots[i]);
        assert_int_equal(big.channels[slots[i]].next_in, 1);
    }
    account_close(&mine);
    hub_account_close(&big);
}

static void a_credit_comes_from_a_slot_of_this_hub(void **state)
{
    (void)state;
    struct channel_item item = {.source_slot = WORLD_SLOTS, .amount = 1};
    EXPECT(ERR_CHANNEL, credit(&b, &item));
    w.view = VIEW_ACCOUNT;
    EXPECT(ERR_CHANNEL, credit(&b, &item));
    w.view = VIEW_SLOT;
    item.source_slot = 1;
    kit_credit(&p, &item, "other.test", origin);
    EXPECT(ERR_CHANNEL, world_do(&w, &b, KEY_RELAY, &p));
    kit_credit(&p, &item, "hub.tesu", origin);
    EXPECT(ERR_CHANNEL, world_do(&w, &b, KEY_RELAY, &p));
    OK(credit(&b, &item));
}

/* -- bind, note, view
 * -------------------------------------------------------------------- */

static void a_binding_names_one_of_ten_chains(void **state)
{
    (void)state;
    static struct kit_entry built;
    uint8_t room[64];
    struct mp_writer writer = mp_writer_of(room, sizeof room);
    kit_bind(&p, 9, "4f2a");
    OK(world_do(&w, &a, KEY_A + 1, &p));
    assert_true(a.bound);
    assert_int_equal(a.bound_chain, 9);
    assert_int_equal(a.bound_size, 4);
    assert_memory_equal(a.bound_address, "4f2a", 4);
    kit_bind(&p, 3, "x");
    OK(world_do(&w, &a, KEY_A + 1, &p));
    assert_int_equal(a.bound_chain, 3);
    assert_int_equal(a.bound_address[1], 0);
    kit_build(&built, &a, &w.slots[1].hub, kit_key(KEY_A + 1), &p);
    p.bind.chain = CHAINS;
    payload_encode(&writer, &p);
    built.e.payload = bytes_of(room, writer.size);
    EXPECT(ERR_CHAIN, world_apply(&w, &a, &built.e));
}

static void a_client_keeps_no_channels(void **state)
{
    (void)state;
    struct hub_account seen;
    struct account mine;
    static struct kit_entry open, entry;
    hub_account_init(&seen, &alloc_heap);
    account_init(&mine, &alloc_heap);
    kit_log_open(&open, &(struct kit_log){.federation = w.federation,
                                          .hub = WORLD_HUB,
                                          .slot = 1,
                                          .slots = WORLD_SLOTS,
                                          .issuer = kit_key(KEY_ISSUER),
                                          .relay = kit_key(KEY_RELAY),
                                          .log = kit_key(KEY_LOG)});
    struct record r = {.slot = 1};
    OK(hub_account_apply(&seen, &open.e, &r, VIEW_ACCOUNT, NULL));
    kit_open_in_slot(&entry,
                     &(struct kit_open){.federation = w.federation,
                                        .hub = WORLD_HUB,
                                        .root = kit_key(KEY_A),
                                        .device = kit_key(KEY_A + 1)},
                     1, WORLD_SLOTS);
    OK(account_apply(&mine, &seen, &entry.e, &r, VIEW_ACCOUNT, NULL));
    kit_credit(&p, &(struct channel_item){.source_slot = 3, .amount = 50, .out_seq = 77},
               WORLD_HUB, origin);
    kit_build(&entry, &mine, &seen, kit_key(KEY_RELAY), &p);
    OK(account_apply(&mine, &seen, &entry.e, &r, VIEW_ACCOUNT, NULL));
    kit_transfer(&p);
    kit_pay(&p, &b.id, 20);
    kit_build(&entry, &mine, &seen, kit_key(KEY_A + 1), &p);
    OK(account_apply(&mine, &seen, &entry.e, &r, VIEW_ACCOUNT, &w.fx));
    assert_int_equal(mine.balance, 30);
    assert_int_equal(w.fx.item_count, 0);
    assert_int_equal(seen.sent + seen.settled, 0);
    assert_int_equal(seen.channel_count, 0);
    kit_adjust(&p, SLOT_SUPPLY_MAX(WORLD_SLOTS) + 1);
    kit_build(&entry, &mine, &seen, kit_key(KEY_ISSUER), &p);
    OK(account_apply(&mine, &seen, &entry.e, &r, VIEW_ACCOUNT, NULL));
    assert_int_equal(seen.adjusted, 0);
    account_close(&mine);
    hub_account_close(&seen);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static int close_keys(void **state)
{
    (void)state;
    kit_close();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_transfer_debits_and_fills_channels_in_payee_order),
        TEST(a_transfer_needs_cover),
        TEST(nobody_pays_himself),
        TEST(another_hub_is_out_of_reach_yet),
        TEST(a_sum_does_not_wrap),
        TEST(epochs_of_a_node_rise),
        TEST(nodes_stay_sorted_up_to_their_limit),
        TEST(a_slot_has_a_supply),
        TEST(sums_of_a_slot_do_not_wrap),
        TEST(a_balance_has_a_largest_value),
        TEST(an_adjustment_never_leaves_less_than_nothing),
        TEST(amounts_are_checked_here_too),
        TEST(a_credit_settles_the_next_item),
        TEST(origins_name_slots_in_two_hex_digits),
        TEST(a_credit_comes_from_a_slot_of_this_hub),
        TEST(a_binding_names_one_of_ten_chains),
        TEST(a_client_keeps_no_channels),
    };
    return cmocka_run_group_tests(tests, NULL, close_keys);
}
