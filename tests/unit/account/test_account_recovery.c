/* Rules of giving a member another root: by the old one, by the others, by recovery. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "ledger/mp.h"
#include "world.h"

/* Roots; the device is the next key, the recovery key of Anna the one after. */
enum {
    ANNA = 200,
    BEN = 210,
    CARA = 220,
    DORA = 230,
    EMIL = 240,
    NEW = 300,
    THIEF = 400
};

static struct world w;
static struct account a;
static struct payload p;
static struct kit_entry built;
static uint8_t raw[16384];

static int setup(void **state)
{
    (void)state;
    world_init(&w);
    world_open(&w, &a, 1, ANNA, true);
    world_join(&w, &a, ANNA + 1, BEN);
    world_join(&w, &a, ANNA + 1, CARA);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    account_close(&a);
    world_close(&w);
    return 0;
}

/* -- by the old root
 * --------------------------------------------------------------------- */

static void the_old_root_hands_over(void **state)
{
    (void)state;
    struct pubkey root = kit_pub(NEW), device = kit_pub(NEW + 5);
    kit_rotate(&p, &a, kit_key(ANNA), kit_key(NEW));
    OK(world_do(&w, &a, ANNA + 1, &p));
    assert_memory_equal(&a.members[0].root, &root, sizeof root);
    assert_int_equal(a.members[0].rotations, 1);
    assert_int_equal(a.members[0].grants, 0);
    assert_int_equal(a.device_count, 3); /* devices stay */
    kit_device_add(&p, &a.id, kit_key(NEW), &device, 0);
    OK(world_do(&w, &a, ANNA + 1, &p));
    /* The old root is nobody now, and what it signed cannot be shown again. */
    kit_rotate(&p, &a, kit_key(ANNA), kit_key(NEW + 1));
    EXPECT(ERR_MEMBER_UNKNOWN, world_do(&w, &a, ANNA + 1, &p));
    kit_rotate(&p, &a, kit_key(NEW), kit_key(ANNA));
    OK(world_do(&w, &a, ANNA + 1, &p));
    struct payload *replay = &p;
    a.members[0].rotations = 0;
    kit_rotate(replay, &a, kit_key(ANNA), kit_key(NEW));
    a.members[0].rotations = 2;
    EXPECT(ERR_ROOT_SIGNATURE, world_do(&w, &a, ANNA + 1, replay));
}

static void the_old_root_signs_on_a_device_of_its_own(void **state)
{
    (void)state;
    kit_rotate(&p, &a, kit_key(ANNA), kit_key(NEW));
    EXPECT(ERR_AUTHORITY, world_do(&w, &a, BEN + 1, &p));
    EXPECT(ERR_AUTHORITY, world_do(&w, &a, ANNA + 2, &p));
    p.root_rotate.new_sig.b[0] ^= 1;
    EXPECT(ERR_ROOT_SIGNATURE, world_do(&w, &a, ANNA + 1, &p));
    p.root_rotate.new_sig.b[0] ^= 1;
    p.root_rotate.proofs[0].sig.b[0] ^= 1;
    EXPECT(ERR_ROOT_SIGNATURE, world_do(&w, &a, ANNA + 1, &p));
}

static void a_new_root_is_a_new_key(void **state)
{
    (void)state;
    static const uint32_t used[] = {KEY_ISSUER, KEY_LOG, ANNA,    ANNA + 1,
                                    ANNA + 2,   BEN,     BEN + 1, KEY_RELAY};
    for (size_t i = 0; i < sizeof used / sizeof used[0]; i++) {
        kit_rotate(&p, &a, kit_key(ANNA), kit_key(used[i]));
        EXPECT(ERR_KEY_USED, world_do(&w, &a, ANNA + 1, &p));
    }
    memset(&p.root_rotate.new_root, 0, sizeof p.root_rotate.new_root);
    EXPECT(ERR_KEY_WEAK, world_do(&w, &a, ANNA + 1, &p));
}

/* What the codec refuses, shown to the rules all the same. */
static enum err apply_raw(uint32_t writer)
{
    struct payload good;
    struct mp_writer out = mp_writer_of(raw, sizeof raw);
    kit_note(&good, "", 0);
    kit_build(&built, &a, &w.slots[1].hub, kit_key(writer), &good);
    payload_encode(&out, &p);
    built.e.kind = p.kind;
    built.e.payload = bytes_of(raw, out.size);
    return world_apply(&w, &a, &built.e);
}

static void a_rotation_has_one_of_three_shapes(void **state)
{
    (void)state;
    kit_rotate(&p, &a, kit_key(ANNA), kit_key(NEW));
    p.root_rotate.how = 3;
    EXPECT(ERR_PAYLOAD, apply_raw(ANNA + 1));
    p.root_rotate.how = ROTATE_OLD_ROOT;
    p.root_rotate.has_device = true;
    p.root_rotate.device = kit_pub(NEW + 1);
    EXPECT(ERR_PAYLOAD, apply_raw(ANNA + 1));
}

/* -- by the other members
 * ---------------------------------------------------------------- */

static enum err cosign(uint32_t writer, uint32_t one, uint32_t two, uint32_t three)
{
    const struct key *keys[] = {kit_key(one), kit_key(two),
                                kit_key(three == 0 ? 1 : three)};
    struct pubkey anna = kit_pub(ANNA);
    size_t count = three != 0 ? 3 : two != 0 ? 2 : 1;
    kit_rotate_by_members(&p, &a, &anna, kit_key(NEW), keys, count);
    return world_do(&w, &a, writer, &p);
}

static void more_than_half_of_the_others_can_hand_over(void **state)
{
    (void)state;
    EXPECT(ERR_COSIGNERS, cosign(BEN + 1, BEN, 0, 0));
    EXPECT(ERR_COSIGNERS, cosign(BEN + 1, BEN, ANNA, 0));
    EXPECT(ERR_COSIGNERS, cosign(BEN + 1, BEN, THIEF, 0));
    OK(cosign(CARA + 1, BEN, CARA, 0));
    assert_int_equal(a.members[0].rotations, 1);
    assert_int_equal(a.device_count, 3);
}

static void half_of_the_others_is_too_few(void **state)
{
    (void)state;
    world_join(&w, &a, ANNA + 1, DORA);
    world_join(&w, &a, ANNA + 1, EMIL);
    EXPECT(ERR_COSIGNERS, cosign(BEN + 1, BEN, CARA, 0));
    EXPECT(ERR_COSIGNERS, cosign(BEN + 1, BEN, CARA, ANNA));
    OK(cosign(BEN + 1, BEN, CARA, EMIL));
}

static void every_proof_has_to_verify(void **state)
{
    (void)state;
    const struct key *keys[] = {kit_key(BEN), kit_key(CARA)};
    struct pubkey anna = kit_pub(ANNA);
    kit_rotate_by_members(&p, &a, &anna, kit_key(NEW), keys, 2);
    p.root_rotate.proofs[1].sig.b[0] ^= 1;
    EXPECT(ERR_COSIGNERS, world_do(&w, &a, BEN + 1, &p));
    kit_rotate_by_members(&p, &a, &anna, kit_key(NEW), keys, 2);
    p.root_rotate.new_sig.b[0] ^= 1;
    EXPECT(ERR_ROOT_SIGNATURE, world_do(&w, &a, BEN + 1, &p));
    kit_rotate_by_members(&p, &a, &anna, kit_key(NEW), keys, 2);
    EXPECT(ERR_AUTHORITY, world_do(&w, &a, ANNA + 2, &p));
}

/* -- by the recovery key
 * ----------------------------------------------------------------- */

static enum err begin(void)
{
    kit_recovery_begin(&p);
    return world_do(&w, &a, ANNA + 2, &p);
}

static enum err finish(uint32_t old_root, uint32_t new_root, uint32_t device)
{
    struct pubkey old_pub = kit_pub(old_root), pub = kit_pub(device);
    kit_rotate_by_recovery(&p, &a, &old_pub, kit_key(new_root), &pub);
    return world_do(&w, &a, ANNA + 2, &p);
}

static void the_recovery_key_takes_over_after_72_hours(void **state)
{
    (void)state;
    struct pubkey device = kit_pub(ANNA + 5);
    kit_device_add(&p, &a.id, kit_key(ANNA), &device, 1);
    OK(world_do(&w, &a, ANNA + 1, &p));
    EXPECT(ERR_RECOVERY_NONE, finish(ANNA, NEW, NEW + 1));
    OK(begin());
    assert_true(a.recovery_pending);
    EXPECT(ERR_RECOVERY_PENDING, begin());
    EXPECT(ERR_RECOVERY_EARLY, finish(ANNA, NEW, NEW + 1));
    w.time_ms += RECOVERY_WAIT_MS - 1;
    EXPECT(ERR_RECOVERY_EARLY, finish(ANNA, NEW, NEW + 1));
    w.time_ms += 1;
    EXPECT(ERR_AUTHORITY, finish(BEN, NEW, NEW + 1));
    EXPECT(ERR_MEMBER_UNKNOWN, finish(THIEF, NEW, NEW + 1));
    OK(finish(ANNA, NEW, NEW + 1));
    assert_false(a.recovery_pending);
    assert_int_equal(a.members[0].grants, 1);
    assert_int_equal(a.members[0].rotations, 1);
    assert_int_equal(a.revoked_count, 2);
    assert_int_equal(a.device_count, 3);
    assert_int_equal(a.recovery_chain.next_seq, 2);
    kit_note(&p, "back", 4);
    OK(world_do(&w, &a, NEW + 1, &p));
    kit_build(&built, &a, &w.slots[1].hub, kit_key(NEW + 1), &p);
    built.e.device = kit_pub(ANNA + 1);
    EXPECT(ERR_DEVICE_REVOKED, world_apply(&w, &a, &built.e));
    device = kit_pub(NEW + 2);
    kit_device_add(&p, &a.id, kit_key(NEW), &device, 1);
    OK(world_do(&w, &a, NEW + 1, &p));
}

static void recovery_brings_new_keys_and_their_signatures(void **state)
{
    (void)state;
    OK(begin());
    w.time_ms += RECOVERY_WAIT_MS;
    EXPECT(ERR_DEVICE_EXISTS, finish(ANNA, NEW, ANNA + 1));
    EXPECT(ERR_KEY_USED, finish(ANNA, NEW, BEN));
    EXPECT(ERR_KEY_USED, finish(ANNA, NEW, NEW));
    EXPECT(ERR_KEY_USED, finish(ANNA, BEN, NEW));
    struct pubkey anna = kit_pub(ANNA), device = kit_pub(NEW + 1), weak = {{0}};
    kit_rotate_by_recovery(&p, &a, &anna, kit_key(NEW), &weak);
    EXPECT(ERR_KEY_WEAK, world_do(&w, &a, ANNA + 2, &p));
    kit_rotate_by_recovery(&p, &a, &anna, kit_key(NEW), &device);
    p.root_rotate.grant_sig.b[0] ^= 1;
    EXPECT(ERR_ROOT_SIGNATURE, world_do(&w, &a, ANNA + 2, &p));
    EXPECT(ERR_AUTHORITY, world_do(&w, &a, ANNA + 1, &p));
    kit_rotate_by_recovery(&p, &a, &anna, kit_key(NEW), &device);
    p.root_rotate.new_sig.b[0] ^= 1;
    EXPECT(ERR_ROOT_SIGNATURE, world_do(&w, &a, ANNA + 2, &p));
}

static void any_root_key_cancels_a_recovery(void **state)
{
    (void)state;
    struct hash nobody = kit_hash(3);
    kit_recovery_cancel(&p, &a.id, &nobody, kit_key(BEN));
    EXPECT(ERR_RECOVERY_NONE, world_do(&w, &a, BEN + 1, &p));
    OK(begin());
    struct hash id = a.recovery_begin;
    kit_recovery_cancel(&p, &a.id, &nobody, kit_key(BEN));
    EXPECT(ERR_RECOVERY_NONE, world_do(&w, &a, BEN + 1, &p));
    kit_recovery_cancel(&p, &a.id, &id, kit_key(THIEF));
    EXPECT(ERR_MEMBER_UNKNOWN, world_do(&w, &a, BEN + 1, &p));
    kit_recovery_cancel(&p, &a.id, &id, kit_key(BEN));
    p.recovery_cancel.root_sig.b[0] ^= 1;
    EXPECT(ERR_ROOT_SIGNATURE, world_do(&w, &a, BEN + 1, &p));
    kit_recovery_cancel(&p, &a.id, &id, kit_key(BEN));
    OK(world_do(&w, &a, CARA + 1, &p));
    assert_false(a.recovery_pending);
    w.time_ms += RECOVERY_WAIT_MS;
    EXPECT(ERR_RECOVERY_NONE, finish(ANNA, NEW, NEW + 1));
    OK(begin());
    kit_recovery_cancel(&p, &a.id, &id, kit_key(BEN)); /* of the first one */
    EXPECT(ERR_RECOVERY_NONE, world_do(&w, &a, BEN + 1, &p));
}

static void the_founders_root_stops_a_recovery_by_rotating(void **state)
{
    (void)state;
    OK(begin());
    kit_rotate(&p, &a, kit_key(BEN), kit_key(NEW));
    OK(world_do(&w, &a, BEN + 1, &p));
    assert_true(a.recovery_pending);
    const struct key *others[] = {kit_key(NEW), kit_key(CARA)};
    struct pubkey anna = kit_pub(ANNA);
    kit_rotate_by_members(&p, &a, &anna, kit_key(NEW + 1), others, 2);
    OK(world_do(&w, &a, CARA + 1, &p));
    assert_true(a.recovery_pending);
    kit_rotate(&p, &a, kit_key(NEW + 1), kit_key(NEW + 2));
    OK(world_do(&w, &a, ANNA + 1, &p));
    assert_false(a.recovery_pending);
}

static void recovery_ends_with_the_founder(void **state)
{
    (void)state;
    struct pubkey anna = kit_pub(ANNA);
    OK(begin());
    kit_member_remove(&p, &a, kit_key(ANNA), &anna);
    OK(world_do(&w, &a, ANNA + 1, &p));
    assert_false(a.recovery_pending);
    EXPECT(ERR_MEMBER_UNKNOWN, begin());
    EXPECT(ERR_AUTHORITY, finish(BEN, NEW, NEW + 1));
}

/* Anna's device was stolen, her root key was not: what the thief writes on it leaves the
 * recovery key its way. */
static void a_stolen_device_alone_cannot_disable_recovery(void **state)
{
    (void)state;
    struct pubkey anna = kit_pub(ANNA), stolen = kit_pub(ANNA + 1);
    struct pubkey puppet = kit_pub(THIEF + 1), invite_key = kit_pub(THIEF + 2);
    static const uint32_t at_hand[] = {ANNA + 1, THIEF, THIEF + 1, THIEF + 2};
    for (int begun = 0; begun < 2; begun++) {
        for (size_t i = 0; i < sizeof at_hand / sizeof at_hand[0]; i++) {
            const struct key *key = kit_key(at_hand[i]);
            /* The founder leaves, and the recovery with her. */
            kit_member_remove(&p, &a, key, &anna);
            EXPECT(ERR_ROOT_SIGNATURE, world_do(&w, &a, ANNA + 1, &p));
            /* A puppet joins, whose root could cancel and co-sign. */
            kit_invite(&p, &a.id, key, &invite_key, w.time_ms + 1000);
            kit_build(&built, &a, &w.slots[1].hub, kit_key(ANNA + 1), &p);
            EXPECT(ERR_ROOT_SIGNATURE, world_apply(&w, &a, &built.e));
            struct hash id = built.e.id;
            uint64_t lamport = built.e.lamport + 1;
            kit_member_add(&p, &a.id, &id, kit_key(THIEF + 2), kit_key(THIEF), &puppet);
            kit_build_first(&built, &a.id, &id, lamport, kit_key(THIEF + 1), &p);
            EXPECT(ERR_INVITE_UNKNOWN, world_apply(&w, &a, &built.e));
        }
        EXPECT(ERR_COSIGNERS, cosign(ANNA + 1, THIEF, THIEF + 3, 0));
        if (!begun)
            OK(begin());
        kit_recovery_cancel(&p, &a.id, &a.recovery_begin, kit_key(THIEF));
        EXPECT(ERR_MEMBER_UNKNOWN, world_do(&w, &a, ANNA + 1, &p));
    }
    assert_true(a.recovery_pending);
    w.time_ms += RECOVERY_WAIT_MS;
    OK(finish(ANNA, NEW, NEW + 1));
    assert_null(account_member_of(&a, &stolen));
}

static void without_a_recovery_key_there_is_no_recovery(void **state)
{
    (void)state;
    struct account b;
    world_open(&w, &b, 2, THIEF, false);
    kit_recovery_begin(&p);
    kit_build(&built, &b, &w.slots[2].hub, kit_key(THIEF + 1), &p);
    built.e.device = b.recovery; /* all zero */
    EXPECT(ERR_DEVICE_UNKNOWN, world_apply(&w, &b, &built.e));
    account_close(&b);
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
        TEST(the_old_root_hands_over),
        TEST(the_old_root_signs_on_a_device_of_its_own),
        TEST(a_new_root_is_a_new_key),
        TEST(a_rotation_has_one_of_three_shapes),
        TEST(more_than_half_of_the_others_can_hand_over),
        TEST(half_of_the_others_is_too_few),
        TEST(every_proof_has_to_verify),
        TEST(the_recovery_key_takes_over_after_72_hours),
        TEST(recovery_brings_new_keys_and_their_signatures),
        TEST(a_stolen_device_alone_cannot_disable_recovery),
        TEST(any_root_key_cancels_a_recovery),
        TEST(the_founders_root_stops_a_recovery_by_rotating),
        TEST(recovery_ends_with_the_founder),
        TEST(without_a_recovery_key_there_is_no_recovery),
    };
    return cmocka_run_group_tests(tests, NULL, close_keys);
}
