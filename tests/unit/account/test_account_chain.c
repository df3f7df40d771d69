/* Common checks: whose account, who writes, where in which chain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "world.h"

enum { KEY_ROOT = 200, KEY_DEVICE, KEY_RECOVERY, KEY_SECOND = 210, KEY_STRANGER = 300 };

static struct world w;
static struct account a;
static struct kit_entry built;

static int setup(void **state)
{
    (void)state;
    world_init(&w);
    world_open(&w, &a, 1, KEY_ROOT, true);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    account_close(&a);
    world_close(&w);
    return 0;
}

static struct hub_account *hub(void)
{
    return &w.slots[1].hub;
}

/* A note of the first device, to be twisted by the caller. */
static struct entry *note(void)
{
    struct payload p;
    kit_note(&p, "hello", 5);
    kit_build(&built, &a, hub(), kit_key(KEY_DEVICE), &p);
    return &built.e;
}

static void add_device(uint32_t key)
{
    struct payload p;
    struct pubkey pub = kit_pub(key);
    kit_device_add(&p, &a.id, kit_key(KEY_ROOT), &pub, a.members[0].grants);
    OK(world_do(&w, &a, KEY_DEVICE, &p));
}

static void a_closed_hub_account_is_a_bug_of_the_caller(void **state)
{
    (void)state;
    struct hub_account closed;
    struct effects fx;
    hub_account_init(&closed, &alloc_heap);
    EXPECT(ERR_BUG,
           account_apply(&a, &closed, note(), &(struct record){0}, VIEW_SLOT, &fx));
}

static void kinds_nobody_knows_stop_the_reader(void **state)
{
    (void)state;
    static const uint64_t kinds[] = {0,  16,        31, KIND_MINT, KIND_COMPACTION,
                                     69, UINT64_MAX};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct entry *e = note();
        e->kind = kinds[i];
        EXPECT(ERR_RULES_AHEAD, world_apply(&w, &a, e));
        EXPECT(ERR_RULES_AHEAD, world_apply_hub(&w, 1, e));
    }
}

static void kinds_of_the_hub_account_stay_there(void **state)
{
    (void)state;
    static const uint64_t kinds[] = {KIND_LOG_OPEN, KIND_HUB_KEY, KIND_RULES,
                                     KIND_BOUNCE};
    for (size_t i = 0; i < 4; i++) {
        struct entry *e = note();
        e->kind = kinds[i];
        e->device = kit_pub(KEY_RELAY);
        e->prev = a.hub.tip;
        e->seq = a.hub.next_seq;
        EXPECT(ERR_AUTHORITY, world_apply(&w, &a, e));
    }
    EXPECT(ERR_AUTHORITY, world_apply_hub(&w, 1, note()));
    struct entry *e = note();
    e->account = hub()->id;
    EXPECT(ERR_AUTHORITY, world_apply(&w, &a, e));
}

static void an_account_lives_in_its_own_slot(void **state)
{
    (void)state;
    struct effects fx;
    EXPECT(ERR_ACCOUNT_UNKNOWN, account_apply(&a, &w.slots[2].hub, note(),
                                              &(struct record){0}, VIEW_SLOT, &fx));
    struct account b;
    account_init(&b, &alloc_heap);
    kit_open_in_slot(&built,
                     &(struct kit_open){.federation = w.federation,
                                        .hub = WORLD_HUB,
                                        .root = kit_key(1),
                                        .device = kit_key(2)},
                     3, WORLD_SLOTS);
    EXPECT(ERR_ACCOUNT_UNKNOWN, account_apply(&b, &w.slots[2].hub, &built.e,
                                              &(struct record){0}, VIEW_SLOT, &fx));
}

static void an_account_opens_once_and_before_all_else(void **state)
{
    (void)state;
    struct account b;
    account_init(&b, &alloc_heap);
    EXPECT(ERR_ACCOUNT_UNKNOWN, world_apply(&w, &b, note()));
    struct entry *e = note();
    e->has_account = false;
    e->id = a.id;
    e->kind = KIND_OPEN;
    EXPECT(ERR_ACCOUNT_EXISTS, world_apply(&w, &a, e));
    e = note();
    e->account.b[31] ^= 1;
    EXPECT(ERR_ACCOUNT_UNKNOWN, world_apply(&w, &a, e));
}

static void an_open_stands_on_nothing(void **state)
{
    (void)state;
    struct account b;
    struct kit_open o = {.federation = w.federation,
                         .hub = WORLD_HUB,
                         .root = kit_key(KEY_STRANGER),
                         .device = kit_key(KEY_STRANGER + 1)};
    account_init(&b, &alloc_heap);
    kit_open(&built, &o);
    built.e.seq = 1;
    EXPECT(ERR_GAP, world_apply(&w, &b, &built.e));
    kit_open(&built, &o);
    built.e.has_prev = true;
    EXPECT(ERR_PREV, world_apply(&w, &b, &built.e));
    kit_open(&built, &o);
    built.e.ref_count = 1;
    EXPECT(ERR_REF_UNKNOWN, world_apply(&w, &b, &built.e));
    kit_open(&built, &o);
    built.e.lamport = 2;
    EXPECT(ERR_LAMPORT, world_apply(&w, &b, &built.e));
}

static void only_enrolled_devices_write(void **state)
{
    (void)state;
    struct payload p;
    struct pubkey second = kit_pub(KEY_SECOND);
    struct entry *e = note();
    e->device = kit_pub(KEY_STRANGER);
    EXPECT(ERR_DEVICE_UNKNOWN, world_apply(&w, &a, e));
    e = note();
    e->device = kit_pub(KEY_ROOT);
    EXPECT(ERR_DEVICE_UNKNOWN, world_apply(&w, &a, e));
    e = note();
    e->device = kit_pub(KEY_RELAY);
    EXPECT(ERR_DEVICE_UNKNOWN, world_apply(&w, &a, e));
    add_device(KEY_SECOND);
    kit_device_revoke(&p, &second);
    OK(world_do(&w, &a, KEY_DEVICE, &p));
    e = note();
    e->device = second;
    EXPECT(ERR_DEVICE_REVOKED, world_apply(&w, &a, e));
}

static void each_hub_kind_has_its_key(void **state)
{
    (void)state;
    struct payload p;
    struct hash node = kit_hash(1);
    kit_accrue(&p, &node, 1, 10);
    kit_build(&built, &a, hub(), kit_key(KEY_RELAY), &p);
    EXPECT(ERR_AUTHORITY, world_apply(&w, &a, &built.e));
    kit_build(&built, &a, hub(), kit_key(KEY_DEVICE), &p);
    EXPECT(ERR_AUTHORITY, world_apply(&w, &a, &built.e));
    kit_adjust(&p, 10);
    kit_build(&built, &a, hub(), kit_key(KEY_RELAY), &p);
    EXPECT(ERR_AUTHORITY, world_apply(&w, &a, &built.e));
    char origin[KIT_ORIGIN_ROOM];
    kit_credit(&p, &(struct channel_item){.amount = 5}, WORLD_HUB, origin);
    kit_build(&built, &a, hub(), kit_key(KEY_ISSUER), &p);
    EXPECT(ERR_AUTHORITY, world_apply(&w, &a, &built.e));
}

static void the_recovery_key_does_nothing_but_recover(void **state)
{
    (void)state;
    struct payload p;
    kit_note(&p, "x", 1);
    EXPECT(ERR_AUTHORITY, world_do(&w, &a, KEY_RECOVERY, &p));
    struct entry *e = note();
    e->device = kit_pub(KEY_RECOVERY);
    e->kind = KIND_MEMBER_ADD;
    EXPECT(ERR_AUTHORITY, world_apply(&w, &a, e));
    kit_recovery_begin(&p);
    EXPECT(ERR_AUTHORITY, world_do(&w, &a, KEY_DEVICE, &p));
    kit_build(&built, &a, hub(), kit_key(KEY_DEVICE), &p);
    built.e.device = kit_pub(KEY_STRANGER);
    EXPECT(ERR_DEVICE_UNKNOWN, world_apply(&w, &a, &built.e));
}

static void a_chain_has_no_gap_and_no_fork(void **state)
{
    (void)state;
    OK(world_apply(&w, &a, note()));
    struct entry *e = note();
    e->seq--;
    EXPECT(ERR_SEQ_TAKEN, world_apply(&w, &a, e));
    e = note();
    e->seq++;
    EXPECT(ERR_GAP, world_apply(&w, &a, e));
    e = note();
    e->prev.b[0] ^= 1;
    EXPECT(ERR_PREV, world_apply(&w, &a, e));
    e = note();
    e->has_prev = false;
    EXPECT(ERR_PREV, world_apply(&w, &a, e));
    OK(world_apply(&w, &a, note()));
    assert_int_equal(a.devices[0].chain.next_seq, 3);
}

static void lamport_is_exact(void **state)
{
    (void)state;
    struct entry *e = note();
    e->lamport++;
    EXPECT(ERR_LAMPORT, world_apply(&w, &a, e));
    e = note();
    e->lamport--;
    EXPECT(ERR_LAMPORT, world_apply(&w, &a, e));
    e = note();
    a.devices[0].chain.tip_lamport = UINT64_MAX;
    e->lamport = 0;
    EXPECT(ERR_LAMPORT, world_apply(&w, &a, e));
}

static void refs_raise_lamport_across_devices(void **state)
{
    (void)state;
    add_device(KEY_SECOND);
    for (int i = 0; i < 5; i++)
        OK(world_apply(&w, &a, note()));
    struct payload p;
    kit_note(&p, "after", 5);
    kit_build(&built, &a, hub(), kit_key(KEY_SECOND), &p);
    built.e.ref_count = 1;
    built.e.refs[0] = a.devices[0].chain.tip;
    EXPECT(ERR_LAMPORT, world_apply(&w, &a, &built.e));
    built.e.lamport = a.devices[0].chain.tip_lamport + 1;
    OK(world_apply(&w, &a, &built.e));
    assert_int_equal(a.devices[1].chain.tip_lamport, built.e.lamport);
}

static void refs_reach_back_64_member_entries(void **state)
{
    (void)state;
    struct hash node = kit_hash(1);
    struct payload p;
    struct hash first = a.devices[0].chain.tip;
    add_device(KEY_SECOND);
    for (uint32_t i = a.ref_count; i < REF_WINDOW; i++)
        OK(world_apply(&w, &a, note()));
    struct entry *e = note();
    e->device = kit_pub(KEY_SECOND);
    e->seq = 0;
    e->prev = a.devices[1].chain.tip;
    e->ref_count = 1;
    e->refs[0] = first;
    e->lamport = a.devices[1].chain.tip_lamport + 1;
    struct entry kept = *e;
    /* What the hub writes takes no place in the window and is no ref itself. */
    kit_accrue(&p, &node, 1, 10);
    static struct kit_entry accrued;
    kit_build(&accrued, &a, hub(), kit_key(KEY_ISSUER), &p);
    OK(world_apply(&w, &a, &accrued.e));
    kept.refs[0] = accrued.e.id;
    EXPECT(ERR_REF_UNKNOWN, world_apply(&w, &a, &kept));
    kept.refs[0] = first;
    OK(world_apply(&w, &a, &kept));
    assert_int_equal(a.ref_count, REF_WINDOW);
    e = note();
    e->ref_count = 1;
    e->refs[0] = first;
    EXPECT(ERR_REF_UNKNOWN, world_apply(&w, &a, e));
}

static void what_the_hub_writes_has_no_refs(void **state)
{
    (void)state;
    struct payload p;
    kit_adjust(&p, 10);
    kit_build(&built, &a, hub(), kit_key(KEY_ISSUER), &p);
    built.e.ref_count = 1;
    built.e.refs[0] = a.devices[0].chain.tip;
    EXPECT(ERR_REF_UNKNOWN, world_apply(&w, &a, &built.e));
}

static void issuer_and_relay_share_one_chain_over_rotation(void **state)
{
    (void)state;
    struct payload p;
    kit_adjust(&p, 1000);
    OK(world_do(&w, &a, KEY_ISSUER, &p));
    assert_int_equal(a.hub.next_seq, 1);
    struct hash payee = a.id;
    payee.b[31] ^= 1; /* same slot, nobody there */
    struct channel_item item;
    kit_transfer(&p);
    kit_pay(&p, &payee, 10);
    OK(world_do(&w, &a, KEY_DEVICE, &p));
    assert_true(world_take(&w, &item));
    char origin[KIT_ORIGIN_ROOM];
    kit_credit(&p, &item, WORLD_HUB, origin); /* the rules do not know whose item it is */
    OK(world_do(&w, &a, KEY_RELAY, &p));
    assert_int_equal(a.hub.next_seq, 2);
    kit_hub_key(&p, hub(), ROLE_ISSUER, kit_key(KEY_ISSUER), kit_key(KEY_STRANGER));
    OK(world_do_hub(&w, 1, KEY_RELAY, &p));
    kit_adjust(&p, 5);
    kit_build(&built, &a, hub(), kit_key(KEY_RELAY), &p);
    built.e.device = kit_pub(KEY_ISSUER);
    EXPECT(ERR_AUTHORITY, world_apply(&w, &a, &built.e));
    OK(world_do(&w, &a, KEY_STRANGER, &p));
    assert_int_equal(a.hub.next_seq, 3);
}

static void the_hub_chain_starts_at_the_open(void **state)
{
    (void)state;
    struct hash open = a.devices[0].chain.tip;
    assert_int_equal(a.hub.next_seq, 0);
    assert_memory_equal(&a.hub.tip, &open, sizeof open);
    assert_memory_equal(&a.id, &open, sizeof open);
    assert_int_equal(a.hub.tip_lamport, 1);
    assert_memory_equal(&a.recovery_chain.tip, &open, sizeof open);
    assert_int_equal(a.recovery_chain.next_seq, 0);
}

static void writers_find_their_chain(void **state)
{
    (void)state;
    struct pubkey device = kit_pub(KEY_DEVICE), recovery = kit_pub(KEY_RECOVERY),
                  issuer = kit_pub(KEY_ISSUER), relay = kit_pub(KEY_RELAY),
                  stranger = kit_pub(KEY_STRANGER), root = kit_pub(KEY_ROOT);
    struct account unopened;
    account_init(&unopened, &alloc_heap);
    assert_ptr_equal(account_chain(&a, hub(), &device), &a.devices[0].chain);
    assert_ptr_equal(account_chain(&a, hub(), &recovery), &a.recovery_chain);
    assert_ptr_equal(account_chain(&a, hub(), &issuer), &a.hub);
    assert_ptr_equal(account_chain(&a, hub(), &relay), &a.hub);
    assert_null(account_chain(&a, hub(), &stranger));
    assert_null(account_chain(&unopened, hub(), &issuer));
    assert_ptr_equal(account_member_of(&a, &device), &a.members[0]);
    assert_ptr_equal(account_member(&a, &root), &a.members[0]);
    assert_null(account_member_of(&a, &root));
    assert_null(account_member(&a, &device));
}

static void position_and_head_follow_every_entry(void **state)
{
    (void)state;
    struct hash head = a.head;
    struct entry *e = note();
    OK(world_apply(&w, &a, e));
    struct hash next = account_head_next(&head, e->envelope);
    assert_memory_equal(&a.head, &next, sizeof next);
    assert_int_equal(a.position, 2);
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
        TEST(a_closed_hub_account_is_a_bug_of_the_caller),
        TEST(kinds_nobody_knows_stop_the_reader),
        TEST(kinds_of_the_hub_account_stay_there),
        TEST(an_account_lives_in_its_own_slot),
        TEST(an_account_opens_once_and_before_all_else),
        TEST(an_open_stands_on_nothing),
        TEST(only_enrolled_devices_write),
        TEST(each_hub_kind_has_its_key),
        TEST(the_recovery_key_does_nothing_but_recover),
        TEST(a_chain_has_no_gap_and_no_fork),
        TEST(lamport_is_exact),
        TEST(refs_raise_lamport_across_devices),
        TEST(refs_reach_back_64_member_entries),
        TEST(what_the_hub_writes_has_no_refs),
        TEST(issuer_and_relay_share_one_chain_over_rotation),
        TEST(the_hub_chain_starts_at_the_open),
        TEST(writers_find_their_chain),
        TEST(position_and_head_follow_every_entry),
    };
    return cmocka_run_group_tests(tests, NULL, close_keys);
}
