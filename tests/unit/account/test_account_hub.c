/* Rules of the hub account: log_open, hub_key, rules, bounce. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ledger/mp.h"
#include "world.h"

enum { KEY_A = 200, KEY_B = 210, KEY_NEW = 300 };

static struct world w;
static struct account a; /* slot 1 */
static struct payload p;
static struct kit_entry built;
static char origin[KIT_ORIGIN_ROOM];
static uint8_t raw[1024];

static int setup(void **state)
{
    (void)state;
    world_init(&w);
    world_open(&w, &a, 1, KEY_A, false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    account_close(&a);
    world_close(&w);
    return 0;
}

/* -- log_open
 * ---------------------------------------------------------------------------- */

static char vkey_text[VKEY_TEXT_MAX];

static void log_open_payload(void)
{
    struct vkey v;
    struct pubkey log = kit_pub(KEY_LOG);
    assert_true(vkey_make(&v, WORLD_HUB "/01", NOTE_ED25519, &log));
    size_t size = vkey_format(&v, vkey_text, sizeof vkey_text);
    p.kind = KIND_LOG_OPEN;
    p.log_open = (struct p_log_open){.federation = w.federation,
                                     .hub = bytes_of(WORLD_HUB, strlen(WORLD_HUB)),
                                     .slot = 1,
                                     .slots = WORLD_SLOTS,
                                     .rules = RULES_VERSION,
                                     .issuer = kit_pub(KEY_ISSUER),
                                     .relay = kit_pub(KEY_RELAY),
                                     .log_vkey = bytes_of(vkey_text, size)};
}

/* Try to open a log with the payload as it stands; the codec is bypassed, so that the
 * rules see what it would refuse. */
static enum err open_log(uint32_t writer)
{
    struct hub_account h;
    struct mp_writer out = mp_writer_of(raw, sizeof raw);
    struct kit_log l = {.federation = w.federation,
                        .hub = WORLD_HUB,
                        .slots = 1,
                        .issuer = kit_key(KEY_ISSUER),
                        .relay = kit_key(writer),
                        .log = kit_key(KEY_LOG)};
    hub_account_init(&h, &alloc_heap);
    kit_log_open(&built, &l);
    payload_encode(&out, &p);
    built.e.payload = bytes_of(raw, out.size);
    struct hash before = world_hub_digest(&h);
    enum err err = hub_account_apply(&h, &built.e, &(struct record){0}, VIEW_SLOT, &w.fx);
    struct hash after = world_hub_digest(&h);
    assert_int_equal(hash_equal(&before, &after), err != ERR_OK);
    hub_account_close(&h);
    return err;
}

static void a_log_opens_with_what_governs_it(void **state)
{
    (void)state;
    const struct hub_account *h = &w.slots[1].hub;
    assert_true(h->open);
    assert_string_equal(h->hub, WORLD_HUB);
    assert_string_equal(h->origin, WORLD_HUB "/01");
    assert_string_equal(h->log.name, WORLD_HUB "/01");
    assert_int_equal(h->slot, 1);
    assert_int_equal(h->slots, WORLD_SLOTS);
    assert_int_equal(h->position, 1);
    assert_int_equal(h->chain.next_seq, 1);
    assert_memory_equal(&h->chain.tip, &h->id, sizeof h->id);
    log_open_payload();
    OK(open_log(KEY_RELAY));
}

static void a_log_opens_once(void **state)
{
    (void)state;
    kit_log_open(&built, &(struct kit_log){.federation = w.federation,
                                           .hub = WORLD_HUB,
                                           .slot = 1,
                                           .slots = WORLD_SLOTS,
                                           .issuer = kit_key(KEY_ISSUER),
                                           .relay = kit_key(KEY_RELAY),
                                           .log = kit_key(KEY_LOG)});
    EXPECT(ERR_ACCOUNT_EXISTS, world_apply_hub(&w, 1, &built.e));
    struct hub_account h;
    hub_account_init(&h, &alloc_heap);
    kit_hub_key(&p, &w.slots[1].hub, ROLE_LOG, kit_key(KEY_LOG), kit_key(KEY_NEW));
    kit_build_hub(&built, &w.slots[1].hub, kit_key(KEY_RELAY), &p);
    EXPECT(ERR_ACCOUNT_UNKNOWN,
           hub_account_apply(&h, &built.e, &(struct record){0}, VIEW_SLOT, &w.fx));
    EXPECT(ERR_ACCOUNT_UNKNOWN, world_apply_hub(&w, 2, &built.e));
}

static void a_log_of_other_rules_stops_the_reader(void **state)
{
    (void)state;
    log_open_payload();
    p.log_open.rules = RULES_VERSION + 1;
    EXPECT(ERR_RULES_AHEAD, open_log(KEY_RELAY));
    p.log_open.rules = 0;
    EXPECT(ERR_RULES_AHEAD, open_log(KEY_RELAY));
}

static void a_log_has_a_possible_shape(void **state)
{
    (void)state;
    static const uint64_t shapes[][2] = {{0, 0}, {1, 1}, {4, 4}, {1, 3}, {1, 512}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        log_open_payload();
        p.log_open.slot = shapes[i][0];
        p.log_open.slots = shapes[i][1];
        EXPECT(ERR_PAYLOAD, open_log(KEY_RELAY));
    }
    log_open_payload();
    p.log_open.hub = bytes_of("no spaces", 9);
    EXPECT(ERR_PAYLOAD, open_log(KEY_RELAY));
    log_open_payload();
    p.log_open.slot = 2; /* the key's name says 01 */
    EXPECT(ERR_PAYLOAD, open_log(KEY_RELAY));
    log_open_payload();
    p.log_open.log_vkey.size--;
    EXPECT(ERR_PAYLOAD, open_log(KEY_RELAY));
}

static void keys_of_a_log_are_three_good_ones(void **state)
{
    (void)state;
    log_open_payload();
    EXPECT(ERR_AUTHORITY, open_log(KEY_ISSUER));
    memset(&p.log_open.issuer, 0, sizeof p.log_open.issuer);
    EXPECT(ERR_KEY_WEAK, open_log(KEY_RELAY));
    log_open_payload();
    p.log_open.issuer = kit_pub(KEY_RELAY);
    EXPECT(ERR_KEY_USED, open_log(KEY_RELAY));
    p.log_open.issuer = kit_pub(KEY_LOG);
    EXPECT(ERR_KEY_USED, open_log(KEY_RELAY));
    log_open_payload();
    p.log_open.relay = kit_pub(KEY_LOG);
    EXPECT(ERR_KEY_USED, open_log(KEY_LOG));
}

/* -- chain
 * ------------------------------------------------------------------------------- */

static struct entry *next_key_entry(void)
{
    kit_hub_key(&p, &w.slots[1].hub, ROLE_LOG, kit_key(KEY_LOG), kit_key(KEY_NEW));
    kit_build_hub(&built, &w.slots[1].hub, kit_key(KEY_RELAY), &p);
    return &built.e;
}

static void the_relay_writes_one_chain(void **state)
{
    (void)state;
    struct entry *e = next_key_entry();
    e->device = kit_pub(KEY_ISSUER);
    EXPECT(ERR_AUTHORITY, world_apply_hub(&w, 1, e));
    e = next_key_entry();
    e->seq--;
    EXPECT(ERR_SEQ_TAKEN, world_apply_hub(&w, 1, e));
    e = next_key_entry();
    e->seq++;
    EXPECT(ERR_GAP, world_apply_hub(&w, 1, e));
    e = next_key_entry();
    e->prev.b[5] ^= 1;
    EXPECT(ERR_PREV, world_apply_hub(&w, 1, e));
    e = next_key_entry();
    e->lamport++;
    EXPECT(ERR_LAMPORT, world_apply_hub(&w, 1, e));
    e = next_key_entry();
    e->ref_count = 1;
    EXPECT(ERR_REF_UNKNOWN, world_apply_hub(&w, 1, e));
    struct hash head = w.slots[1].hub.head;
    e = next_key_entry();
    head = account_head_next(&head, e->envelope);
    OK(world_apply_hub(&w, 1, e));
    assert_memory_equal(&w.slots[1].hub.head, &head, sizeof head);
    assert_int_equal(w.slots[1].hub.position, 2);
}

/* -- hub_key, rules
 * ---------------------------------------------------------------------- */

static void keys_change_by_both_signatures(void **state)
{
    (void)state;
    struct hub_account *h = &w.slots[1].hub;
    kit_hub_key(&p, h, ROLE_ISSUER, kit_key(KEY_ISSUER), kit_key(KEY_NEW));
    p.hub_key.old_sig.b[0] ^= 1;
    EXPECT(ERR_SIGNATURE, world_do_hub(&w, 1, KEY_RELAY, &p));
    p.hub_key.old_sig.b[0] ^= 1;
    p.hub_key.new_sig.b[0] ^= 1;
    EXPECT(ERR_SIGNATURE, world_do_hub(&w, 1, KEY_RELAY, &p));
    kit_hub_key(&p, &w.slots[2].hub, ROLE_ISSUER, kit_key(KEY_ISSUER), kit_key(KEY_NEW));
    EXPECT(ERR_SIGNATURE, world_do_hub(&w, 1, KEY_RELAY, &p));
    kit_hub_key(&p, h, ROLE_ISSUER, kit_key(KEY_RELAY), kit_key(KEY_NEW));
    EXPECT(ERR_AUTHORITY, world_do_hub(&w, 1, KEY_RELAY, &p));
    for (uint32_t key = KEY_ISSUER; key <= KEY_LOG; key++) {
        kit_hub_key(&p, h, ROLE_ISSUER, kit_key(KEY_ISSUER), kit_key(key));
        EXPECT(ERR_KEY_USED, world_do_hub(&w, 1, KEY_RELAY, &p));
    }
    memset(&p.hub_key.new_key, 0, sizeof p.hub_key.new_key);
    EXPECT(ERR_KEY_WEAK, world_do_hub(&w, 1, KEY_RELAY, &p));
}

static void each_role_takes_its_new_key(void **state)
{
    (void)state;
    struct hub_account *h = &w.slots[1].hub;
    struct pubkey issuer = kit_pub(KEY_NEW), log = kit_pub(KEY_NEW + 1),
                  relay = kit_pub(KEY_NEW + 2);
    uint32_t old_id = h->log.id;
    kit_hub_key(&p, h, ROLE_ISSUER, kit_key(KEY_ISSUER), kit_key(KEY_NEW));
    OK(world_do_hub(&w, 1, KEY_RELAY, &p));
    kit_hub_key(&p, h, ROLE_LOG, kit_key(KEY_LOG), kit_key(KEY_NEW + 1));
    OK(world_do_hub(&w, 1, KEY_RELAY, &p));
    kit_hub_key(&p, h, ROLE_RELAY, kit_key(KEY_RELAY), kit_key(KEY_NEW + 2));
    OK(world_do_hub(&w, 1, KEY_RELAY, &p));
    assert_memory_equal(&h->issuer, &issuer, sizeof issuer);
    assert_memory_equal(&h->log.key, &log, sizeof log);
    assert_memory_equal(&h->relay, &relay, sizeof relay);
    assert_string_equal(h->log.name, WORLD_HUB "/01");
    assert_true(h->log.id != old_id);
    kit_hub_key(&p, h, ROLE_ISSUER, kit_key(KEY_NEW), kit_key(KEY_ISSUER));
    EXPECT(ERR_AUTHORITY, world_do_hub(&w, 1, KEY_RELAY, &p));
    OK(world_do_hub(&w, 1, KEY_NEW + 2, &p));
}

static void a_role_nobody_knows_is_refused(void **state)
{
    (void)state;
    struct mp_writer out = mp_writer_of(raw, sizeof raw);
    struct entry *e = next_key_entry();
    p.hub_key.role = ROLE_LOG + 1;
    payload_encode(&out, &p);
    e->payload = bytes_of(raw, out.size);
    EXPECT(ERR_PAYLOAD, world_apply_hub(&w, 1, e));
}

static void rules_only_go_up_and_only_to_known_ones(void **state)
{
    (void)state;
    p.kind = KIND_RULES;
    p.rules.version = RULES_VERSION;
    EXPECT(ERR_RULES, world_do_hub(&w, 1, KEY_RELAY, &p));
    p.rules.version = 0;
    EXPECT(ERR_RULES, world_do_hub(&w, 1, KEY_RELAY, &p));
    p.rules.version = RULES_VERSION + 1;
    EXPECT(ERR_RULES_AHEAD, world_do_hub(&w, 1, KEY_RELAY, &p));
    w.slots[1].hub.rules = 0;
    p.rules.version = RULES_VERSION;
    OK(world_do_hub(&w, 1, KEY_RELAY, &p));
    assert_int_equal(w.slots[1].hub.rules, RULES_VERSION);
}

/* -- bounce
 * ------------------------------------------------------------------------------ */

/* A pays 10 to an account of slot 2 that nobody opened. */
static struct channel_item pay_nobody(void)
{
    struct channel_item item;
    struct hash nobody = {{0x80, 0x01}};
    world_fund(&w, &a, 100);
    kit_transfer(&p);
    kit_pay(&p, &nobody, 10);
    OK(world_do(&w, &a, KEY_A + 1, &p));
    assert_true(world_take(&w, &item));
    assert_int_equal(item.destination_slot, 2);
    return item;
}

static void a_bounce_sends_the_money_back(void **state)
{
    (void)state;
    struct channel_item item = pay_nobody(), back;
    kit_bounce(&p, &item, WORLD_HUB, BOUNCE_UNKNOWN, origin);
    OK(world_do_hub(&w, 2, KEY_RELAY, &p));
    assert_true(w.fx.settles);
    assert_true(w.fx.bounced);
    assert_int_equal(w.fx.settle_source, 1);
    assert_int_equal(w.fx.settle_seq, 0);
    assert_true(world_take(&w, &back));
    assert_true(back.is_return);
    assert_memory_equal(&back.cause, &w.slots[2].hub.chain.tip, 32);
    assert_memory_equal(&back.payee, &a.id, 32);
    assert_int_equal(back.amount, 10);
    assert_int_equal(back.source_slot, 2);
    assert_int_equal(back.destination_slot, 1);
    assert_int_equal(back.out_seq, 0);
    assert_int_equal(w.slots[2].hub.sent, 10);
    assert_int_equal(w.slots[2].hub.settled, 10);
    kit_credit(&p, &back, WORLD_HUB, origin);
    assert_int_equal(p.credit.reason, CREDIT_RETURN);
    OK(world_do(&w, &a, KEY_RELAY, &p));
    assert_int_equal(a.balance, 100);
    assert_int_equal(w.slots[1].hub.settled, w.slots[1].hub.sent);
}

static void a_bounce_is_the_next_item_of_its_channel(void **state)
{
    (void)state;
    struct channel_item item = pay_nobody();
    item.out_seq = 1;
    kit_bounce(&p, &item, WORLD_HUB, BOUNCE_MOVED, origin);
    EXPECT(ERR_CHANNEL, world_do_hub(&w, 2, KEY_RELAY, &p));
    kit_bounce(&p, &item, "other.test", BOUNCE_MOVED, origin);
    EXPECT(ERR_CHANNEL, world_do_hub(&w, 2, KEY_RELAY, &p));
    item.out_seq = 0;
    kit_bounce(&p, &item, WORLD_HUB, BOUNCE_OVERFLOW, origin);
    OK(world_do_hub(&w, 2, KEY_RELAY, &p));
    EXPECT(ERR_CHANNEL, world_do_hub(&w, 2, KEY_RELAY, &p));
}

static void a_bounce_stands_where_the_payee_would(void **state)
{
    (void)state;
    struct channel_item item = pay_nobody();
    kit_bounce(&p, &item, WORLD_HUB, BOUNCE_UNKNOWN, origin);
    EXPECT(ERR_CHANNEL, world_do_hub(&w, 3, KEY_RELAY, &p));
    item.payer.b[0] ^= 0xc0;
    kit_bounce(&p, &item, WORLD_HUB, BOUNCE_UNKNOWN, origin);
    EXPECT(ERR_CHANNEL, world_do_hub(&w, 2, KEY_RELAY, &p));
}

static void a_client_skips_the_channel_of_a_bounce(void **state)
{
    (void)state;
    struct channel_item item = pay_nobody();
    item.out_seq = 9;
    kit_bounce(&p, &item, WORLD_HUB, BOUNCE_UNKNOWN, origin);
    w.view = VIEW_ACCOUNT;
    OK(world_do_hub(&w, 2, KEY_RELAY, &p));
    assert_int_equal(w.fx.item_count, 0);
    assert_int_equal(w.slots[2].hub.sent, 0);
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
        TEST(a_log_opens_with_what_governs_it),
        TEST(a_log_opens_once),
        TEST(a_log_of_other_rules_stops_the_reader),
        TEST(a_log_has_a_possible_shape),
        TEST(keys_of_a_log_are_three_good_ones),
        TEST(the_relay_writes_one_chain),
        TEST(keys_change_by_both_signatures),
        TEST(each_role_takes_its_new_key),
        TEST(a_role_nobody_knows_is_refused),
        TEST(rules_only_go_up_and_only_to_known_ones),
        TEST(a_bounce_sends_the_money_back),
        TEST(a_bounce_is_the_next_item_of_its_channel),
        TEST(a_bounce_stands_where_the_payee_would),
        TEST(a_client_skips_the_channel_of_a_bounce),
    };
    return cmocka_run_group_tests(tests, NULL, close_keys);
}
