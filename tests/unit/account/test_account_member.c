/* Rules of who belongs to an account: open, devices, invites, members. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "world.h"

/* Roots; the device is the next key, recovery or invite key the one after. */
enum { ANNA = 200, BEN = 210, CARA = 220, NEW = 300, MANY = 1000 };

static const struct pubkey weak; /* all zero: a point of small order */
static struct world w;
static struct account a;
static struct payload p;
static struct kit_entry built;

static int setup(void **state)
{
    (void)state;
    world_init(&w);
    world_open(&w, &a, 1, ANNA, true);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    account_close(&a);
    world_close(&w);
    return 0;
}

/* -- open
 * -------------------------------------------------------------------------------- */

static enum err open_with(uint32_t root, uint32_t device, uint32_t recovery)
{
    struct account b;
    account_init(&b, &alloc_heap);
    kit_open(&built, &(struct kit_open){.federation = w.federation,
                                        .hub = WORLD_HUB,
                                        .root = kit_key(root),
                                        .device = kit_key(device),
                                        .recovery = recovery ? kit_key(recovery) : NULL,
                                        .residency = RESIDENCY_PINNED});
    enum err err = world_apply(&w, &b, &built.e);
    if (err == ERR_OK) {
        assert_int_equal(b.residency, RESIDENCY_PINNED);
        assert_int_equal(b.has_recovery, recovery != 0);
        assert_int_equal(b.member_count, 1);
        assert_int_equal(b.members[0].grants, 1);
        assert_int_equal(b.devices[0].chain.next_seq, 1);
    }
    account_close(&b);
    return err;
}

static void an_account_opens_with_three_different_keys(void **state)
{
    (void)state;
    OK(open_with(NEW, NEW + 1, 0));
    OK(open_with(NEW, NEW + 1, NEW + 2));
    EXPECT(ERR_KEY_USED, open_with(NEW, NEW, 0));
    EXPECT(ERR_KEY_USED, open_with(NEW, NEW + 1, NEW));
    EXPECT(ERR_KEY_USED, open_with(NEW, NEW + 1, NEW + 1));
    for (uint32_t key = KEY_ISSUER; key <= KEY_LOG; key++) {
        EXPECT(ERR_KEY_USED, open_with(key, NEW + 1, 0));
        EXPECT(ERR_KEY_USED, open_with(NEW, key, 0));
        EXPECT(ERR_KEY_USED, open_with(NEW, NEW + 1, key));
    }
}

static void an_open_names_federation_and_hub(void **state)
{
    (void)state;
    struct account b;
    struct kit_open o = {.federation = kit_hash(99),
                         .hub = WORLD_HUB,
                         .root = kit_key(NEW),
                         .device = kit_key(NEW + 1)};
    account_init(&b, &alloc_heap);
    kit_open(&built, &o);
    EXPECT(ERR_FEDERATION, world_apply(&w, &b, &built.e));
    o.federation = w.federation;
    o.hub = "hub.tes";
    kit_open(&built, &o);
    EXPECT(ERR_FEDERATION, world_apply(&w, &b, &built.e));
    o.hub = "hub.tesu";
    kit_open(&built, &o);
    EXPECT(ERR_FEDERATION, world_apply(&w, &b, &built.e));
}

static void an_open_needs_good_keys_and_the_root_signature(void **state)
{
    (void)state;
    struct account b;
    struct kit_open o = {.federation = w.federation,
                         .hub = WORLD_HUB,
                         .root = kit_key(NEW),
                         .device = kit_key(NEW + 1)};
    account_init(&b, &alloc_heap);
    kit_open(&built, &o);
    built.e.device = weak;
    EXPECT(ERR_KEY_WEAK, world_apply(&w, &b, &built.e));
    kit_open(&built, &o);
    built.e.device = kit_pub(NEW + 2); /* not the device the root granted */
    EXPECT(ERR_ROOT_SIGNATURE, world_apply(&w, &b, &built.e));
}

/* -- devices
 * ----------------------------------------------------------------------------- */

static enum err add_device(uint32_t writer, uint32_t root, uint32_t device,
                           uint64_t grant)
{
    struct pubkey pub = kit_pub(device);
    kit_device_add(&p, &a.id, kit_key(root), &pub, grant);
    return world_do(&w, &a, writer, &p);
}

static enum err revoke(uint32_t writer, uint32_t device)
{
    struct pubkey pub = kit_pub(device);
    kit_device_revoke(&p, &pub);
    return world_do(&w, &a, writer, &p);
}

/* An invite by `writer`, and an entry that joins with it later. */
static void prepare_join(struct kit_entry *out, uint32_t writer, uint32_t key)
{
    struct pubkey invite_key = kit_pub(key + 2), device = kit_pub(key + 1);
    kit_invite(&p, &a.id, kit_root_of(&a, writer), &invite_key,
               w.time_ms + INVITE_MS_MAX);
    OK(world_do(&w, &a, writer, &p));
    const struct invite *i = &a.invites[a.invite_count - 1];
    kit_member_add(&p, &a.id, &i->id, kit_key(key + 2), kit_key(key), &device);
    kit_build_first(out, &a.id, &i->id, i->lamport + 1, kit_key(key + 1), &p);
}

static void a_device_comes_by_grant_of_its_root(void **state)
{
    (void)state;
    OK(add_device(ANNA + 1, ANNA, NEW, 1));
    assert_int_equal(a.device_count, 2);
    assert_int_equal(a.members[0].grants, 2);
    assert_int_equal(a.devices[1].chain.next_seq, 0);
    assert_memory_equal(&a.devices[1].chain.tip, &a.devices[0].chain.tip, 32);
    OK(add_device(NEW, ANNA, NEW + 1, 2));
    EXPECT(ERR_GRANT, add_device(NEW, ANNA, NEW + 2, 2));
    EXPECT(ERR_GRANT, add_device(NEW, ANNA, NEW + 2, 4));
}

static void a_grant_is_for_the_writers_own_member(void **state)
{
    (void)state;
    world_join(&w, &a, ANNA + 1, BEN);
    EXPECT(ERR_AUTHORITY, add_device(ANNA + 1, BEN, NEW, 1));
    EXPECT(ERR_MEMBER_UNKNOWN, add_device(ANNA + 1, NEW, NEW + 1, 1));
    OK(add_device(BEN + 1, BEN, NEW, 1));
    assert_int_equal(a.devices[2].member, 1);
}

static void a_new_device_is_a_new_key(void **state)
{
    (void)state;
    world_join(&w, &a, ANNA + 1, BEN);
    EXPECT(ERR_DEVICE_EXISTS, add_device(ANNA + 1, ANNA, ANNA + 1, 1));
    EXPECT(ERR_DEVICE_EXISTS, add_device(ANNA + 1, ANNA, BEN + 1, 1));
    OK(add_device(ANNA + 1, ANNA, NEW, 1));
    OK(revoke(ANNA + 1, NEW));
    EXPECT(ERR_DEVICE_EXISTS, add_device(ANNA + 1, ANNA, NEW, 2));
    static const uint32_t used[] = {KEY_ISSUER, KEY_RELAY, KEY_LOG, ANNA, ANNA + 2, BEN};
    for (size_t i = 0; i < sizeof used / sizeof used[0]; i++)
        EXPECT(ERR_KEY_USED, add_device(ANNA + 1, ANNA, used[i], 2));
    kit_device_add(&p, &a.id, kit_key(ANNA), &weak, 2);
    EXPECT(ERR_KEY_WEAK, world_do(&w, &a, ANNA + 1, &p));
}

static void a_grant_bears_the_roots_signature(void **state)
{
    (void)state;
    struct pubkey pub = kit_pub(NEW);
    struct hash other = kit_hash(5);
    kit_device_add(&p, &a.id, kit_key(ANNA), &pub, 1);
    p.device_add.root_sig.b[1] ^= 1;
    EXPECT(ERR_ROOT_SIGNATURE, world_do(&w, &a, ANNA + 1, &p));
    kit_device_add(&p, &other, kit_key(ANNA), &pub, 1);
    EXPECT(ERR_ROOT_SIGNATURE, world_do(&w, &a, ANNA + 1, &p));
    kit_device_add(&p, &a.id, kit_key(ANNA), &pub, 2);
    p.device_add.grant = 1;
    EXPECT(ERR_ROOT_SIGNATURE, world_do(&w, &a, ANNA + 1, &p));
}

static void a_member_has_32_devices(void **state)
{
    (void)state;
    for (uint32_t i = 1; i < DEVICES_PER_MEMBER_MAX; i++)
        OK(add_device(ANNA + 1, ANNA, MANY + i, i));
    EXPECT(ERR_DEVICE_LIMIT, add_device(ANNA + 1, ANNA, NEW, DEVICES_PER_MEMBER_MAX));
    OK(revoke(ANNA + 1, MANY + 1));
    OK(add_device(ANNA + 1, ANNA, NEW, DEVICES_PER_MEMBER_MAX));
}

static void an_account_has_256_devices(void **state)
{
    (void)state;
    for (uint32_t m = 0; m < 8; m++) {
        uint32_t root = m == 0 ? ANNA : BEN + 10 * m;
        if (m > 0)
            world_join(&w, &a, ANNA + 1, root);
        for (uint32_t i = 1; i < DEVICES_PER_MEMBER_MAX; i++)
            OK(add_device(root + 1, root, MANY + 100 * m + i, i));
    }
    assert_int_equal(a.device_count, DEVICES_MAX);
    prepare_join(&built, ANNA + 1, NEW);
    EXPECT(ERR_DEVICE_LIMIT, world_apply(&w, &a, &built.e));
    OK(revoke(ANNA + 1, MANY + 1));
    prepare_join(&built, ANNA + 1, NEW);
    OK(world_apply(&w, &a, &built.e));
    EXPECT(ERR_DEVICE_LIMIT, add_device(ANNA + 1, ANNA, NEW + 3, DEVICES_PER_MEMBER_MAX));
}

static void a_member_revokes_his_own_devices_but_the_last(void **state)
{
    (void)state;
    world_join(&w, &a, ANNA + 1, BEN);
    EXPECT(ERR_DEVICE_LAST, revoke(ANNA + 1, ANNA + 1));
    EXPECT(ERR_AUTHORITY, revoke(ANNA + 1, BEN + 1));
    EXPECT(ERR_DEVICE_UNKNOWN, revoke(ANNA + 1, NEW));
    OK(add_device(ANNA + 1, ANNA, NEW, 1));
    OK(revoke(NEW, ANNA + 1));
    EXPECT(ERR_DEVICE_REVOKED, revoke(NEW, ANNA + 1));
    assert_int_equal(a.revoked_count, 1);
    assert_int_equal(a.device_count, 2);
    OK(add_device(NEW, ANNA, NEW + 1, 2));
    OK(revoke(NEW, NEW)); /* itself */
    assert_int_equal(a.device_count, 2);
}

/* Recovery by Anna's recovery key, the times-th. */
static enum err recover(uint32_t times)
{
    static struct payload rotate;
    struct pubkey root = a.members[0].root, device = kit_pub(NEW + 2 * times);
    kit_recovery_begin(&p);
    OK(world_do(&w, &a, ANNA + 2, &p));
    w.time_ms += RECOVERY_WAIT_MS;
    kit_rotate_by_recovery(&rotate, &a, &root, kit_key(NEW + 2 * times + 1), &device);
    return world_do(&w, &a, ANNA + 2, &rotate);
}

static enum err remove_member(uint32_t writer, uint32_t root)
{
    struct pubkey pub = kit_pub(root);
    kit_member_remove(&p, &a, kit_root_of(&a, writer), &pub);
    return world_do(&w, &a, writer, &p);
}

/* Ben enrols `kept` devices, then enrols and revokes as often as he may. */
static void use_up_the_keys(uint32_t kept)
{
    uint32_t grant = 1;
    for (; grant <= kept; grant++)
        OK(add_device(BEN + 1, BEN, MANY + grant, grant));
    for (; a.revoked_count + a.device_count < REVOKED_MAX; grant++) {
        OK(add_device(BEN + 1, BEN, MANY + grant, grant));
        OK(revoke(BEN + 1, MANY + grant));
    }
    EXPECT(ERR_DEVICE_LIMIT, add_device(BEN + 1, BEN, MANY + grant, grant));
}

static void every_device_can_still_be_revoked(void **state)
{
    (void)state;
    world_join(&w, &a, ANNA + 1, BEN);
    world_join(&w, &a, ANNA + 1, CARA);
    use_up_the_keys(3);
    prepare_join(&built, ANNA + 1, NEW);
    EXPECT(ERR_DEVICE_LIMIT, world_apply(&w, &a, &built.e));
    OK(remove_member(ANNA + 1, BEN));
    OK(remove_member(ANNA + 1, CARA));
    OK(recover(1));
    assert_int_equal(a.revoked_count, REVOKED_MAX);
    assert_int_equal(a.device_count, 1);
}

/* Recovery alone goes on past that, and each takes a place that it does not give back. */
static void an_account_revokes_512_keys(void **state)
{
    (void)state;
    world_join(&w, &a, ANNA + 1, BEN);
    use_up_the_keys(1);
    OK(recover(1));
    OK(recover(2));
    assert_int_equal(a.revoked_count + a.device_count, REVOKED_MAX + 2);
    OK(revoke(BEN + 1, MANY + 1));
    assert_int_equal(a.revoked_count, REVOKED_MAX);
    EXPECT(ERR_DEVICE_LIMIT, remove_member(NEW + 4, BEN));
    EXPECT(ERR_DEVICE_LIMIT, recover(3));
}

/* -- invites
 * ----------------------------------------------------------------------------- */

static enum err invite(uint32_t key, uint64_t lasts_ms)
{
    struct pubkey pub = kit_pub(key);
    kit_invite(&p, &a.id, kit_root_of(&a, ANNA + 1), &pub, w.time_ms + lasts_ms);
    return world_do(&w, &a, ANNA + 1, &p);
}

static void an_invite_lasts_30_days_at_most(void **state)
{
    (void)state;
    EXPECT(ERR_EXPIRY, invite(NEW, 0));
    EXPECT(ERR_EXPIRY, invite(NEW, (uint64_t)INVITE_MS_MAX + 1));
    struct pubkey pub = kit_pub(NEW);
    kit_invite(&p, &a.id, kit_key(ANNA), &pub, 0);
    EXPECT(ERR_EXPIRY, world_do(&w, &a, ANNA + 1, &p));
    OK(invite(NEW, (uint64_t)INVITE_MS_MAX));
    OK(invite(NEW + 1, 1));
    kit_invite(&p, &a.id, kit_key(ANNA), &weak, w.time_ms + 1);
    EXPECT(ERR_KEY_WEAK, world_do(&w, &a, ANNA + 1, &p));
}

static void an_invite_key_has_no_other_role(void **state)
{
    (void)state;
    static const uint32_t used[] = {KEY_ISSUER, KEY_RELAY, KEY_LOG,
                                    ANNA,       ANNA + 1,  ANNA + 2};
    for (size_t i = 0; i < sizeof used / sizeof used[0]; i++)
        EXPECT(ERR_KEY_USED, invite(used[i], 1000));
    OK(invite(NEW, 1000));
    EXPECT(ERR_KEY_USED, invite(NEW, 1000));
    EXPECT(ERR_KEY_USED, add_device(ANNA + 1, ANNA, NEW, 1));
    w.time_ms += 1000;
    EXPECT(ERR_KEY_USED, add_device(ANNA + 1, ANNA, NEW, 1));
    w.time_ms += 1; /* expired: as if it had never been */
    OK(invite(NEW, 1000));
    assert_int_equal(a.invite_count, 1);
    OK(add_device(ANNA + 1, ANNA, NEW + 1, 1));
    OK(revoke(ANNA + 1, NEW + 1));
    EXPECT(ERR_KEY_USED, invite(NEW + 1, 1000));
}

static void thirty_two_invites_are_open_at_a_time(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < INVITES_MAX; i++)
        OK(invite(MANY + i, 1000 + i));
    EXPECT(ERR_INVITE_LIMIT, invite(NEW, 1000));
    w.time_ms += 1000; /* to its last millisecond an invite is open */
    EXPECT(ERR_INVITE_LIMIT, invite(NEW, 1000));
    w.time_ms += 1;
    OK(invite(NEW, 1000));
    assert_int_equal(a.invite_count, INVITES_MAX);
    w.time_ms += 10000;
    OK(invite(NEW + 1, 1000));
    assert_int_equal(a.invite_count, 1);
}

/* Sign an invite by `by`, let `writer` write it. */
static enum err invite_by(uint32_t writer, uint32_t by)
{
    struct pubkey pub = kit_pub(NEW);
    kit_invite(&p, &a.id, kit_key(by), &pub, w.time_ms + 1000);
    return world_do(&w, &a, writer, &p);
}

static void an_invite_bears_the_roots_signature(void **state)
{
    (void)state;
    struct pubkey pub = kit_pub(NEW);
    struct hash other = kit_hash(5);
    world_join(&w, &a, ANNA + 1, BEN);
    EXPECT(ERR_ROOT_SIGNATURE, invite_by(ANNA + 1, ANNA + 1)); /* the device itself */
    EXPECT(ERR_ROOT_SIGNATURE, invite_by(ANNA + 1, ANNA + 2)); /* the recovery key */
    EXPECT(ERR_ROOT_SIGNATURE, invite_by(ANNA + 1, NEW));      /* the invite key */
    EXPECT(ERR_ROOT_SIGNATURE, invite_by(ANNA + 1, BEN));      /* another member */
    p.invite.root_sig = (struct signature){{0}};
    EXPECT(ERR_ROOT_SIGNATURE, world_do(&w, &a, ANNA + 1, &p));
    kit_invite(&p, &a.id, kit_key(ANNA), &pub, w.time_ms + 1000);
    p.invite.root_sig.b[1] ^= 1;
    EXPECT(ERR_ROOT_SIGNATURE, world_do(&w, &a, ANNA + 1, &p));
    kit_invite(&p, &a.id, kit_key(ANNA), &pub, w.time_ms + 1000);
    p.invite.expires_ms++;
    EXPECT(ERR_ROOT_SIGNATURE, world_do(&w, &a, ANNA + 1, &p));
    kit_invite(&p, &a.id, kit_key(ANNA), &pub, w.time_ms + 1000);
    p.invite.key = kit_pub(NEW + 1);
    EXPECT(ERR_ROOT_SIGNATURE, world_do(&w, &a, ANNA + 1, &p));
    kit_invite(&p, &other, kit_key(ANNA), &pub, w.time_ms + 1000);
    EXPECT(ERR_ROOT_SIGNATURE, world_do(&w, &a, ANNA + 1, &p));
    assert_int_equal(a.invite_count, 0);
    OK(invite_by(BEN + 1, BEN)); /* any member's root, for his own devices */
    assert_int_equal(a.invite_count, 1);
}

static void the_signature_of_an_invite_is_looked_at_last(void **state)
{
    (void)state;
    struct pubkey pub = kit_pub(ANNA);
    kit_invite(&p, &a.id, kit_key(NEW), &pub, w.time_ms + 1000);
    EXPECT(ERR_KEY_USED, world_do(&w, &a, ANNA + 1, &p));
    for (uint32_t i = 0; i < INVITES_MAX; i++)
        OK(invite(MANY + i, 1000));
    EXPECT(ERR_INVITE_LIMIT, invite_by(ANNA + 1, BEN));
}

/* -- member_add
 * -------------------------------------------------------------------------- */

/* Built on the newest invite, whose key is `invite_key`. */
static struct entry *join(uint32_t invite_key, uint32_t root, uint32_t device)
{
    struct pubkey pub = kit_pub(device);
    const struct invite *i = &a.invites[a.invite_count - 1];
    kit_member_add(&p, &a.id, &i->id, kit_key(invite_key), kit_key(root), &pub);
    kit_build_first(&built, &a.id, &i->id, i->lamport + 1, kit_key(device), &p);
    return &built.e;
}

static void an_invite_admits_one_member(void **state)
{
    (void)state;
    OK(invite(BEN + 2, 1000));
    OK(world_apply(&w, &a, join(BEN + 2, BEN, BEN + 1)));
    assert_int_equal(a.invite_count, 0);
    assert_int_equal(a.member_count, 2);
    assert_int_equal(a.members[1].number, 1);
    assert_int_equal(a.members[1].grants, 1);
    assert_int_equal(a.devices[1].chain.next_seq, 1);
    assert_memory_equal(&a.devices[1].chain.tip, &built.e.id, 32);
    assert_memory_equal(&a.refs[a.ref_count - 1].id, &built.e.id, 32);
    EXPECT(ERR_INVITE_UNKNOWN, world_apply(&w, &a, &built.e));
}

static void a_newcomer_stands_on_an_open_invite(void **state)
{
    (void)state;
    OK(invite(BEN + 2, 1000));
    struct entry *e = join(BEN + 2, BEN, BEN + 1);
    e->seq = 1;
    EXPECT(ERR_GAP, world_apply(&w, &a, e));
    e = join(BEN + 2, BEN, BEN + 1);
    e->prev.b[0] ^= 1;
    EXPECT(ERR_INVITE_UNKNOWN, world_apply(&w, &a, e));
    e = join(BEN + 2, BEN, BEN + 1);
    e->has_prev = false;
    EXPECT(ERR_INVITE_UNKNOWN, world_apply(&w, &a, e));
    e = join(BEN + 2, BEN, BEN + 1);
    e->lamport++;
    EXPECT(ERR_LAMPORT, world_apply(&w, &a, e));
    e = join(BEN + 2, BEN, BEN + 1);
    e->ref_count = 1;
    EXPECT(ERR_REF_UNKNOWN, world_apply(&w, &a, e));
    w.time_ms += 1001;
    EXPECT(ERR_INVITE_EXPIRED, world_apply(&w, &a, join(BEN + 2, BEN, BEN + 1)));
    w.time_ms -= 1;
    OK(world_apply(&w, &a, join(BEN + 2, BEN, BEN + 1)));
}

static void a_newcomer_brings_new_keys(void **state)
{
    (void)state;
    OK(invite(BEN + 2, 1000));
    EXPECT(ERR_MEMBER_EXISTS, world_apply(&w, &a, join(BEN + 2, ANNA, BEN + 1)));
    EXPECT(ERR_DEVICE_EXISTS, world_apply(&w, &a, join(BEN + 2, BEN, ANNA + 1)));
    EXPECT(ERR_KEY_USED, world_apply(&w, &a, join(BEN + 2, BEN, ANNA)));
    EXPECT(ERR_KEY_USED, world_apply(&w, &a, join(BEN + 2, BEN, KEY_RELAY)));
    EXPECT(ERR_KEY_USED, world_apply(&w, &a, join(BEN + 2, BEN, BEN + 2)));
    EXPECT(ERR_KEY_USED, world_apply(&w, &a, join(BEN + 2, BEN, BEN)));
    EXPECT(ERR_KEY_USED, world_apply(&w, &a, join(BEN + 2, ANNA + 1, BEN + 1)));
    EXPECT(ERR_KEY_USED, world_apply(&w, &a, join(BEN + 2, ANNA + 2, BEN + 1)));
    EXPECT(ERR_KEY_USED, world_apply(&w, &a, join(BEN + 2, KEY_LOG, BEN + 1)));
    struct entry *e = join(BEN + 2, BEN, BEN + 1);
    e->device = weak;
    EXPECT(ERR_KEY_WEAK, world_apply(&w, &a, e));
    p.member_add.root = weak;
    kit_build_first(&built, &a.id, &a.invites[0].id, a.invites[0].lamport + 1,
                    kit_key(BEN + 1), &p);
    EXPECT(ERR_KEY_WEAK, world_apply(&w, &a, &built.e));
}

static void a_newcomer_brings_both_signatures(void **state)
{
    (void)state;
    OK(invite(BEN + 2, 1000));
    EXPECT(ERR_INVITE_SIGNATURE, world_apply(&w, &a, join(NEW, BEN, BEN + 1)));
    struct pubkey device = kit_pub(BEN + 1);
    kit_member_add(&p, &a.id, &a.invites[0].id, kit_key(BEN + 2), kit_key(BEN), &device);
    p.member_add.root_sig.b[3] ^= 1;
    kit_build_first(&built, &a.id, &a.invites[0].id, a.invites[0].lamport + 1,
                    kit_key(BEN + 1), &p);
    EXPECT(ERR_ROOT_SIGNATURE, world_apply(&w, &a, &built.e));
}

static void an_account_has_100_members(void **state)
{
    (void)state;
    for (uint32_t i = 1; i < MEMBERS_MAX; i++)
        world_join(&w, &a, ANNA + 1, MANY + 10 * i);
    OK(invite(NEW + 2, 1000));
    EXPECT(ERR_MEMBER_LIMIT, world_apply(&w, &a, join(NEW + 2, NEW, NEW + 1)));
}

/* -- member_remove
 * ----------------------------------------------------------------------- */

static void members_leave_or_the_steward_removes_them(void **state)
{
    (void)state;
    world_join(&w, &a, ANNA + 1, BEN);
    world_join(&w, &a, ANNA + 1, CARA);
    EXPECT(ERR_AUTHORITY, remove_member(BEN + 1, CARA));
    EXPECT(ERR_AUTHORITY, remove_member(BEN + 1, ANNA));
    EXPECT(ERR_MEMBER_UNKNOWN, remove_member(BEN + 1, NEW));
    OK(remove_member(ANNA + 1, ANNA));
    assert_int_equal(a.member_count, 2);
    assert_int_equal(a.revoked_count, 1);
    assert_int_equal(a.members[0].number, 1);
    EXPECT(ERR_AUTHORITY, remove_member(CARA + 1, BEN));
    OK(remove_member(BEN + 1, CARA)); /* Ben is steward now */
    EXPECT(ERR_MEMBER_LAST, remove_member(BEN + 1, BEN));
}

static void a_removal_bears_the_writers_roots_signature(void **state)
{
    (void)state;
    struct pubkey anna = kit_pub(ANNA), ben = kit_pub(BEN);
    world_join(&w, &a, ANNA + 1, BEN);
    world_join(&w, &a, ANNA + 1, CARA);
    static const uint32_t wrong[] = {ANNA + 1, ANNA + 2, BEN, CARA, NEW};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        kit_member_remove(&p, &a, kit_key(wrong[i]), &ben);
        EXPECT(ERR_ROOT_SIGNATURE, world_do(&w, &a, ANNA + 1, &p));
        kit_member_remove(&p, &a, kit_key(wrong[i]), &anna);
        EXPECT(ERR_ROOT_SIGNATURE, world_do(&w, &a, ANNA + 1, &p));
    }
    p.member_remove.root_sig = (struct signature){{0}};
    EXPECT(ERR_ROOT_SIGNATURE, world_do(&w, &a, ANNA + 1, &p));
    kit_member_remove(&p, &a, kit_key(ANNA), &ben);
    p.member_remove.root_sig.b[1] ^= 1;
    EXPECT(ERR_ROOT_SIGNATURE, world_do(&w, &a, ANNA + 1, &p));
    kit_member_remove(&p, &a, kit_key(ANNA), &ben);
    p.member_remove.root = kit_pub(CARA); /* signed for another */
    EXPECT(ERR_ROOT_SIGNATURE, world_do(&w, &a, ANNA + 1, &p));
    assert_int_equal(a.member_count, 3);
    OK(remove_member(ANNA + 1, BEN));
}

/* Who comes back has another number, so what removed him before does not again. */
static void a_removal_is_not_shown_twice(void **state)
{
    (void)state;
    static struct payload kept;
    world_join(&w, &a, ANNA + 1, BEN);
    OK(remove_member(ANNA + 1, BEN));
    kept = p;
    OK(invite(BEN + 2, 1000));
    OK(world_apply(&w, &a, join(BEN + 2, BEN, NEW)));
    EXPECT(ERR_ROOT_SIGNATURE, world_do(&w, &a, ANNA + 1, &kept));
    OK(remove_member(ANNA + 1, BEN));
}

static void a_member_with_an_open_position_stays(void **state)
{
    (void)state;
    struct pubkey anna = kit_pub(ANNA), ben = kit_pub(BEN);
    world_join(&w, &a, ANNA + 1, BEN);
    p.kind = KIND_SPLIT;
    kit_terms(&p.split.terms, &anna, 10);
    kit_share(&p.split.terms, &ben, 10);
    OK(world_do(&w, &a, ANNA + 1, &p));
    EXPECT(ERR_POSITION_OPEN, remove_member(ANNA + 1, BEN));
    EXPECT(ERR_POSITION_OPEN, remove_member(ANNA + 1, ANNA));
}

static void a_member_who_comes_back_is_a_new_member(void **state)
{
    (void)state;
    world_join(&w, &a, ANNA + 1, BEN);
    OK(remove_member(BEN + 1, BEN));
    assert_int_equal(a.device_count, 1);
    OK(invite(BEN + 2, 1000));
    EXPECT(ERR_DEVICE_EXISTS, world_apply(&w, &a, join(BEN + 2, BEN, BEN + 1)));
    OK(world_apply(&w, &a, join(BEN + 2, BEN, NEW)));
    assert_int_equal(a.members[1].number, 2);
}

/* Whoever lost his device or his place does not walk in again by what he left behind. */
static void a_revocation_ends_the_open_invites(void **state)
{
    (void)state;
    static struct kit_entry guest;
    OK(add_device(ANNA + 1, ANNA, NEW, 1));
    prepare_join(&guest, NEW, MANY);
    OK(revoke(ANNA + 1, NEW));
    assert_int_equal(a.invite_count, 0);
    EXPECT(ERR_INVITE_UNKNOWN, world_apply(&w, &a, &guest.e));

    world_join(&w, &a, ANNA + 1, BEN);
    prepare_join(&guest, BEN + 1, MANY);
    OK(remove_member(ANNA + 1, BEN));
    EXPECT(ERR_INVITE_UNKNOWN, world_apply(&w, &a, &guest.e));

    prepare_join(&guest, ANNA + 1, MANY);
    OK(recover(1));
    EXPECT(ERR_INVITE_UNKNOWN, world_apply(&w, &a, &guest.e));
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
        TEST(an_account_opens_with_three_different_keys),
        TEST(an_open_names_federation_and_hub),
        TEST(an_open_needs_good_keys_and_the_root_signature),
        TEST(a_device_comes_by_grant_of_its_root),
        TEST(a_grant_is_for_the_writers_own_member),
        TEST(a_new_device_is_a_new_key),
        TEST(a_grant_bears_the_roots_signature),
        TEST(a_member_has_32_devices),
        TEST(an_account_has_256_devices),
        TEST(a_member_revokes_his_own_devices_but_the_last),
        TEST(every_device_can_still_be_revoked),
        TEST(an_account_revokes_512_keys),
        TEST(an_invite_lasts_30_days_at_most),
        TEST(an_invite_key_has_no_other_role),
        TEST(thirty_two_invites_are_open_at_a_time),
        TEST(an_invite_bears_the_roots_signature),
        TEST(the_signature_of_an_invite_is_looked_at_last),
        TEST(an_invite_admits_one_member),
        TEST(a_newcomer_stands_on_an_open_invite),
        TEST(a_newcomer_brings_new_keys),
        TEST(a_newcomer_brings_both_signatures),
        TEST(an_account_has_100_members),
        TEST(members_leave_or_the_steward_removes_them),
        TEST(a_removal_bears_the_writers_roots_signature),
        TEST(a_removal_is_not_shown_twice),
        TEST(a_member_with_an_open_position_stays),
        TEST(a_member_who_comes_back_is_a_new_member),
        TEST(a_revocation_ends_the_open_invites),
    };
    return cmocka_run_group_tests(tests, NULL, close_keys);
}
