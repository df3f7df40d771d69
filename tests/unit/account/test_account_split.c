/* Rules of splits: positions move, the balance never does, and all sums to zero. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "world.h"

/* Roots; the device is the next key. */
enum { ANNA = 200, BEN = 210, CARA = 220, STRANGER = 300 };

static struct world w;
static struct account a;
static struct payload p;
static uint8_t raw[8192];

static int setup(void **state)
{
    (void)state;
    world_init(&w);
    world_open(&w, &a, 1, ANNA, false);
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

/* Payer's amount in equal shares between two. */
static void halves(struct split_terms *t, uint32_t payer, int64_t amount, uint32_t one,
                   uint32_t other)
{
    struct pubkey root = kit_pub(payer), first = kit_pub(one), second = kit_pub(other);
    kit_terms(t, &root, amount);
    kit_share(t, &first, amount / 2);
    kit_share(t, &second, amount - amount / 2);
}

static enum err split(uint32_t payer, int64_t amount, uint32_t one, uint32_t other)
{
    p.kind = KIND_SPLIT;
    halves(&p.split.terms, payer, amount, one, other);
    return world_do(&w, &a, ANNA + 1, &p);
}

static void assert_positions(int64_t anna, int64_t ben, int64_t cara)
{
    assert_int_equal(a.members[0].position, anna);
    assert_int_equal(a.members[1].position, ben);
    assert_int_equal(a.members[2].position, cara);
    assert_int_equal(a.balance, 0);
}

static void a_split_moves_positions(void **state)
{
    (void)state;
    OK(split(ANNA, 100, ANNA, BEN));
    assert_positions(50, -50, 0);
    OK(split(CARA, 31, ANNA, BEN));
    assert_positions(50 - 15, -50 - 16 + 0, 31);
}

static void a_split_is_among_members(void **state)
{
    (void)state;
    EXPECT(ERR_MEMBER_UNKNOWN, split(STRANGER, 100, ANNA, BEN));
    EXPECT(ERR_MEMBER_UNKNOWN, split(ANNA, 100, STRANGER, BEN));
}

static void positions_do_not_wrap(void **state)
{
    (void)state;
    OK(split(ANNA, INT64_MAX - 1, BEN, CARA));
    EXPECT(ERR_OVERFLOW, split(ANNA, INT64_MAX, ANNA, BEN));
    OK(split(BEN, 10, ANNA, CARA));
    EXPECT(ERR_OVERFLOW, split(ANNA, 9, BEN, CARA));
}

static void correct(const struct hash *id, int64_t old_amount, uint32_t payer,
                    int64_t amount)
{
    p.kind = KIND_SPLIT_CORRECT;
    p.split_change.split = *id;
    halves(&p.split_change.old_terms, ANNA, old_amount, ANNA, BEN);
    halves(&p.split_change.new_terms, payer, amount, BEN, CARA);
}

static void a_correction_takes_the_old_terms_back(void **state)
{
    (void)state;
    OK(split(ANNA, 100, ANNA, BEN));
    struct hash id = a.splits[0].id;
    correct(&id, 102, CARA, 60);
    EXPECT(ERR_SPLIT_UNKNOWN, world_do(&w, &a, BEN + 1, &p));
    struct hash nobody = kit_hash(3);
    correct(&nobody, 100, CARA, 60);
    EXPECT(ERR_SPLIT_UNKNOWN, world_do(&w, &a, BEN + 1, &p));
    correct(&id, 100, STRANGER, 60);
    EXPECT(ERR_MEMBER_UNKNOWN, world_do(&w, &a, BEN + 1, &p));
    assert_positions(50, -50, 0);
    correct(&id, 100, CARA, 60);
    OK(world_do(&w, &a, BEN + 1, &p));
    assert_positions(0, -30, 30);
    assert_int_equal(a.split_count, 1);
    assert_memory_equal(&a.splits[0].id, &id, sizeof id);
    /* Corrected once, the first terms are no longer its terms. */
    correct(&id, 100, CARA, 60);
    EXPECT(ERR_SPLIT_UNKNOWN, world_do(&w, &a, BEN + 1, &p));
}

static void void_split(const struct hash *id, int64_t amount)
{
    p.kind = KIND_SPLIT_VOID;
    p.split_change.split = *id;
    halves(&p.split_change.old_terms, ANNA, amount, ANNA, BEN);
}

static void a_void_split_is_gone(void **state)
{
    (void)state;
    OK(split(ANNA, 100, ANNA, BEN));
    OK(split(ANNA, 40, ANNA, BEN));
    struct hash id = a.splits[0].id, other = a.splits[1].id;
    void_split(&id, 40);
    EXPECT(ERR_SPLIT_UNKNOWN, world_do(&w, &a, BEN + 1, &p));
    void_split(&id, 100);
    OK(world_do(&w, &a, BEN + 1, &p));
    assert_positions(20, -20, 0);
    assert_int_equal(a.split_count, 1);
    assert_memory_equal(&a.splits[0].id, &other, sizeof other);
    EXPECT(ERR_SPLIT_UNKNOWN, world_do(&w, &a, BEN + 1, &p));
}

static void the_last_64_splits_can_change(void **state)
{
    (void)state;
    OK(split(ANNA, 2, ANNA, BEN));
    struct hash first = a.splits[0].id;
    OK(split(ANNA, 4, ANNA, BEN));
    struct hash second = a.splits[1].id;
    for (int i = 0; i < SPLIT_WINDOW - 1; i++)
        OK(split(ANNA, 2, ANNA, BEN));
    assert_int_equal(a.split_count, SPLIT_WINDOW);
    void_split(&first, 2);
    EXPECT(ERR_SPLIT_UNKNOWN, world_do(&w, &a, ANNA + 1, &p));
    void_split(&second, 4);
    OK(world_do(&w, &a, ANNA + 1, &p));
}

static void terms_that_name_a_root_that_went_cannot_be_undone(void **state)
{
    (void)state;
    OK(split(ANNA, 100, ANNA, BEN));
    struct hash id = a.splits[0].id;
    static struct payload rotate;
    kit_rotate(&rotate, &a, kit_key(BEN), kit_key(STRANGER));
    OK(world_do(&w, &a, BEN + 1, &rotate));
    void_split(&id, 100);
    EXPECT(ERR_MEMBER_UNKNOWN, world_do(&w, &a, ANNA + 1, &p));
    /* The debt itself stays with the member. */
    assert_positions(50, -50, 0);
}

static void shares_that_do_not_sum_are_refused(void **state)
{
    (void)state;
    static struct kit_entry built;
    struct mp_writer writer = mp_writer_of(raw, sizeof raw);
    p.kind = KIND_SPLIT;
    halves(&p.split.terms, ANNA, 100, ANNA, BEN);
    kit_build(&built, &a, &w.slots[1].hub, kit_key(ANNA + 1), &p);
    p.split.terms.amount++;
    payload_encode(&writer, &p);
    built.e.payload = bytes_of(raw, writer.size);
    EXPECT(ERR_SPLIT_SUM, world_apply(&w, &a, &built.e));
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
        TEST(a_split_moves_positions),
        TEST(a_split_is_among_members),
        TEST(positions_do_not_wrap),
        TEST(a_correction_takes_the_old_terms_back),
        TEST(a_void_split_is_gone),
        TEST(the_last_64_splits_can_change),
        TEST(terms_that_name_a_root_that_went_cannot_be_undone),
        TEST(shares_that_do_not_sum_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, close_keys);
}
