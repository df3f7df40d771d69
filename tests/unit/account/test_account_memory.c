/* Memory may run out at any allocation: the answer is ERR_MEMORY, nothing has changed,
 * and the same entry applies once there is memory again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ledger/mp.h"
#include "world.h"

enum { ANNA = 200, BEN = 210, NEW = 300, MANY = 1000 };

/* Lets `left` allocations pass, then fails; also counts what is held. */
static unsigned left;
static unsigned failures;
static size_t held;

static void *faulty_resize(void *context, void *old, size_t old_size, size_t new_size)
{
    (void)context;
    if (new_size > 0 && left == 0) {
        failures++;
        return NULL;
    }
    if (new_size > 0)
        left--;
    void *moved = alloc_heap.resize(alloc_heap.context, old, old_size, new_size);
    assert_true(moved != NULL || new_size == 0);
    held = held - old_size + new_size;
    return moved;
}

static const struct alloc faulty = {faulty_resize, NULL};

static struct world w;
static struct account a;
static struct payload p;

/* Fail at the first allocation, then at the second.. until it goes through. */
static void do_under_faults(uint32_t key, const struct payload *payload)
{
    for (unsigned n = 0;; n++) {
        assert_true(n < 20);
        left = n;
        enum err err = world_do(&w, &a, key, payload);
        left = UINT32_MAX;
        if (err == ERR_OK)
            return;
        EXPECT(ERR_MEMORY, err);
    }
}

static void apply_under_faults(const struct entry *e)
{
    for (unsigned n = 0;; n++) {
        assert_true(n < 20);
        left = n;
        enum err err = world_apply(&w, &a, e);
        left = UINT32_MAX;
        if (err == ERR_OK)
            return;
        EXPECT(ERR_MEMORY, err);
    }
}

static int setup(void **state)
{
    (void)state;
    static struct kit_entry open;
    world_init(&w);
    account_init(&a, &faulty);
    kit_open_in_slot(&open,
                     &(struct kit_open){.federation = w.federation,
                                        .hub = WORLD_HUB,
                                        .root = kit_key(ANNA),
                                        .device = kit_key(ANNA + 1),
                                        .recovery = kit_key(ANNA + 2)},
                     1, WORLD_SLOTS);
    failures = 0;
    held = 0;
    apply_under_faults(&open.e);
    assert_true(failures >= 2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    account_close(&a);
    assert_int_equal(held, 0);
    world_close(&w);
    return 0;
}

static void join_under_faults(uint32_t key)
{
    static struct kit_entry built;
    struct pubkey invite_key = kit_pub(key + 2), device = kit_pub(key + 1);
    kit_invite(&p, &a.id, kit_key(ANNA), &invite_key, w.time_ms + 1000);
    do_under_faults(ANNA + 1, &p);
    struct invite invite = a.invites[a.invite_count - 1];
    kit_member_add(&p, &a.id, &invite.id, kit_key(key + 2), kit_key(key), &device);
    kit_build_first(&built, &a.id, &invite.id, invite.lamport + 1, kit_key(key + 1), &p);
    apply_under_faults(&built.e);
}

/* Every array grows at least twice. */
static void populate(void)
{
    struct pubkey anna = kit_pub(ANNA), ben = kit_pub(BEN);
    for (uint32_t i = 0; i < 5; i++)
        join_under_faults(BEN + 10 * i);
    for (uint32_t i = 0; i < 5; i++) {
        struct pubkey device = kit_pub(MANY + i);
        kit_device_add(&p, &a.id, kit_key(ANNA), &device, i + 1);
        do_under_faults(ANNA + 1, &p);
        if (i < 4) {
            kit_device_revoke(&p, &device);
            do_under_faults(ANNA + 1, &p);
        }
        struct hash node = kit_hash(i);
        kit_accrue(&p, &node, i, 10);
        do_under_faults(KEY_ISSUER, &p);
        p.kind = KIND_SPLIT;
        kit_terms(&p.split.terms, &anna, 10);
        kit_share(&p.split.terms, &ben, 10);
        do_under_faults(ANNA + 1, &p);
    }
    for (uint32_t i = 0; i < 4; i++) {
        struct pubkey key = kit_pub(NEW + i);
        kit_invite(&p, &a.id, kit_key(ANNA), &key, w.time_ms + 5000);
        do_under_faults(ANNA + 1, &p);
    }
    kit_bind(&p, 3, "0xfeed");
    do_under_faults(ANNA + 1, &p);
}

static void every_kind_survives_a_failed_allocation(void **state)
{
    (void)state;
    populate();
    assert_true(failures > 20);
    struct pubkey gone = kit_pub(BEN + 40), anna = kit_pub(ANNA),
                  device = kit_pub(NEW + 9);
    kit_member_remove(&p, &a, kit_key(ANNA), &gone);
    do_under_faults(ANNA + 1, &p);
    kit_recovery_begin(&p);
    do_under_faults(ANNA + 2, &p);
    w.time_ms += RECOVERY_WAIT_MS;
    static struct payload rotate;
    kit_rotate_by_recovery(&rotate, &a, &anna, kit_key(NEW + 8), &device);
    do_under_faults(ANNA + 2, &rotate);
}

static void a_refusal_comes_before_the_want_of_memory(void **state)
{
    (void)state;
    struct pubkey device = kit_pub(NEW);
    kit_device_add(&p, &a.id, kit_key(ANNA), &device, 7);
    left = 0;
    EXPECT(ERR_GRANT, world_do(&w, &a, ANNA + 1, &p));
    left = UINT32_MAX;
}

static void a_log_opens_when_there_is_memory(void **state)
{
    (void)state;
    struct hub_account h;
    static struct kit_entry open;
    kit_log_open(&open, &(struct kit_log){.federation = w.federation,
                                          .hub = WORLD_HUB,
                                          .slots = WORLD_SLOTS,
                                          .issuer = kit_key(KEY_ISSUER),
                                          .relay = kit_key(KEY_RELAY),
                                          .log = kit_key(KEY_LOG)});
    hub_account_init(&h, &faulty);
    struct hash before = world_hub_digest(&h);
    left = 0;
    EXPECT(ERR_MEMORY,
           hub_account_apply(&h, &open.e, &(struct record){0}, VIEW_SLOT, NULL));
    struct hash after = world_hub_digest(&h);
    assert_memory_equal(&before, &after, sizeof before);
    left = UINT32_MAX;
    OK(hub_account_apply(&h, &open.e, &(struct record){0}, VIEW_SLOT, NULL));
    hub_account_close(&h);
}

static void decoding_survives_a_failed_allocation(void **state)
{
    (void)state;
    static uint8_t room[65536];
    populate();
    size_t before = held;
    struct mp_writer out = mp_writer_of(room, sizeof room);
    account_encode(&out, &a);
    struct account copy;
    for (unsigned n = 0; n < 7; n++) {
        left = n;
        EXPECT(ERR_MEMORY, account_decode(&copy, &faulty, bytes_of(room, out.size)));
        assert_int_equal(held, before);
    }
    left = 7;
    OK(account_decode(&copy, &faulty, bytes_of(room, out.size)));
    left = UINT32_MAX;
    account_close(&copy);
    out = mp_writer_of(room, sizeof room);
    hub_account_encode(&out, &w.slots[1].hub);
    struct hub_account h;
    left = 0;
    EXPECT(ERR_MEMORY, hub_account_decode(&h, &faulty, bytes_of(room, out.size)));
    left = UINT32_MAX;
    assert_int_equal(held, before);
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
        TEST(every_kind_survives_a_failed_allocation),
        TEST(a_refusal_comes_before_the_want_of_memory),
        TEST(a_log_opens_when_there_is_memory),
        TEST(decoding_survives_a_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, close_keys);
}
