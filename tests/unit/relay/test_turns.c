#include "relay/turns.h"

#include <stdlib.h>

#include "tests/unit/relay/test.h"

#define MANY 8u

static struct turn turns_of[MANY];

static void add(struct turns *t, unsigned who, uint32_t count, uint64_t rid)
{
    struct job *j = job_new(count);
    assert_non_null(j);
    j->conn = who;
    j->rid = rid;
    turns_of[who].quantum = turns_of[who].quantum ? turns_of[who].quantum : TURN_ENTRIES;
    turns_add(t, &turns_of[who], j);
}

static int setup(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MANY; i++)
        turns_of[i] = (struct turn){0};
    return 0;
}

static void one_entry_goes_before_a_floods_second_turn(void **state)
{
    struct turns t = {0};
    unsigned before = 0;
    (void)state;
    for (uint64_t i = 0; i < 100; i++)
        for (unsigned who = 1; who < 4; who++)
            add(&t, who, TURN_ENTRIES, i);
    add(&t, 0, 1, 0);
    assert_int_equal(t.entries, 300 * TURN_ENTRIES + 1);
    struct job *j = turns_next(&t);
    for (; j->conn != 0; j = turns_next(&t), before += TURN_ENTRIES)
        job_drop(j);
    job_drop(j);
    assert_true(before <= 2 * 3 * TURN_ENTRIES);
    while ((j = turns_next(&t)))
        job_drop(j);
    assert_int_equal(t.entries, 0);
}

/* Jobs of any size: over time everybody gave the same number of entries, within a turn. */
static void everybody_gives_the_same_whatever_his_jobs_are(void **state)
{
    struct turns t = {0};
    uint64_t given[MANY] = {0}, waiting[MANY] = {0};
    (void)state;
    srand(5);
    for (unsigned round = 0; round < 4000; round++) {
        for (unsigned who = 0; who < MANY; who++)
            while (waiting[who] < 4 * TURN_ENTRIES) {
                uint32_t n = who == 0   ? 1
                             : who == 1 ? TURN_ENTRIES
                                        : 1 + (uint32_t)rand() % TURN_ENTRIES;
                add(&t, who, n, 0);
                waiting[who] += n;
            }
        struct job *j = turns_next(&t);
        given[j->conn] += j->count;
        waiting[j->conn] -= j->count;
        job_drop(j);
        for (unsigned a = 0; a < MANY; a++)
            for (unsigned b = 0; b < MANY; b++)
                assert_true(given[a] <= given[b] + 2 * TURN_ENTRIES);
    }
    for (struct job *j; (j = turns_next(&t));)
        job_drop(j);
}

static void a_relay_with_many_clients_has_a_larger_turn(void **state)
{
    struct turns t = {0};
    uint64_t given[2] = {0};
    (void)state;
    turns_of[1].quantum = TURN_PEER_ENTRIES;
    for (unsigned i = 0; i < 2000; i++)
        for (unsigned who = 0; who < 2; who++)
            add(&t, who, 8, i);
    for (unsigned i = 0; i < 1000; i++) {
        struct job *j = turns_next(&t);
        given[j->conn] += j->count;
        job_drop(j);
    }
    assert_in_range(given[1] / given[0], 14, 18);
    for (struct job *j; (j = turns_next(&t));)
        job_drop(j);
}

static void a_connections_jobs_keep_their_order(void **state)
{
    struct turns t = {0};
    uint64_t next[MANY] = {0};
    (void)state;
    srand(6);
    for (uint64_t i = 0; i < 500; i++)
        for (unsigned who = 0; who < MANY; who++)
            add(&t, who, 1 + (uint32_t)rand() % TURN_ENTRIES, i);
    for (struct job *j; (j = turns_next(&t));) {
        assert_int_equal(j->rid, next[j->conn]++);
        job_drop(j);
    }
    for (unsigned who = 0; who < MANY; who++)
        assert_int_equal(next[who], 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(one_entry_goes_before_a_floods_second_turn, setup),
        cmocka_unit_test_setup(everybody_gives_the_same_whatever_his_jobs_are, setup),
        cmocka_unit_test_setup(a_relay_with_many_clients_has_a_larger_turn, setup),
        cmocka_unit_test_setup(a_connections_jobs_keep_their_order, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
