/* Two made-up logs compared: the first leaf that differs, in few reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/audit/diff.h"
#include "crypto/context.h"
#include "tests/unit/audit_io/logkit.h"

static struct policy policy;
static struct diff_report report;
static struct logkit a, b;
static char why[AUDIT_WHY_MAX];

static int teardown(void **state)
{
    (void)state;
    logkit_free(&a);
    logkit_free(&b);
    return 0;
}

static void make(uint64_t size)
{
    logkit_make(&a, "hub.test", 3, size, 1);
    logkit_make(&b, "hub.test", 3, size, 1);
    logkit_policy(&policy, &a);
}

static int diff(void)
{
    struct audit_source *s[2];
    struct logkit *k[2] = {&a, &b};
    const struct diff_options o = {.policy = &policy};
    for (int i = 0; i < 2; i++) {
        struct audit_files f = logkit_files(k[i]);
        k[i]->asked = 0;
        assert_int_equal(audit_source_files(&s[i], "test", &f), ERR_OK);
    }
    assert_int_equal(diff_run(s[0], s[1], &o, &report, why), ERR_OK);
    s[0]->ops->close(s[0]);
    s[1]->ops->close(s[1]);
    return diff_exit(&report);
}

static void the_first_leaf_that_differs_is_found_in_few_reads(void **state)
{
    (void)state;
    static const struct {
        uint64_t size_a, size_b, fork_at;
    } cases[] = {{1, 1, 0},         {256, 256, 255},       {257, 257, 256},
                 {600, 900, 0},     {600, 900, 511},       {600, 900, 512},
                 {900, 600, 599},   {66000, 66000, 65535}, {66000, 66000, 65999},
                 {66000, 65536, 3}, {65536, 66000, 65535}, {700, 66000, 698}};
    make(1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        logkit_grow(&a, cases[i].size_a, UINT64_MAX);
        logkit_grow(&b, cases[i].size_b, cases[i].fork_at);
        assert_int_equal(diff(), 1);
        const struct diff_slot *d = &report.slots[0];
        if (d->state != DIFF_FORK || !d->has_index || d->index != cases[i].fork_at)
            fail_msg("case %zu: %s, index %llu: %s", i, diff_state_word(d->state),
                     (unsigned long long)d->index, d->why);
        assert_memory_equal(d->leaf[0].b, a.leaves[d->index].b, HASH_BYTES);
        assert_memory_equal(d->leaf[1].b, b.leaves[d->index].b, HASH_BYTES);
        assert_true(a.asked <= 10 && b.asked <= 10);
    }
}

static void a_beginning_is_no_fork(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, 1, 255, 256, 300, 65536, 65537, 66000};
    make(66000);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        b.shown = sizes[i];
        assert_int_equal(diff(), 0);
        assert_int_equal(report.slots[0].state, sizes[i] == 66000 ? DIFF_SAME : DIFF_AHEAD);
    }
    /* A fork past what both have is none of this comparison's. */
    logkit_grow(&b, 66000, 500);
    a.shown = 500;
    assert_int_equal(diff(), 0);
    a.shown = 501;
    assert_int_equal(diff(), 1);
    assert_int_equal(report.slots[0].index, 500);
}

static void what_is_not_signed_is_no_fork(void **state)
{
    (void)state;
    make(600);
    snprintf(b.flip, sizeof(b.flip), "log/03/tile/0/002.p/88");
    assert_int_equal(diff(), 1);
    assert_int_equal(report.slots[0].state, DIFF_WRONG);
    snprintf(b.flip, sizeof(b.flip), "log/03/checkpoint");
    assert_int_equal(diff(), 1);
    assert_int_equal(report.slots[0].state, DIFF_WRONG);
    b.flip[0] = 0;
    snprintf(b.gone, sizeof(b.gone), "log/03/checkpoint");
    assert_int_equal(diff(), 2);
    assert_int_equal(report.slots[0].state, DIFF_UNKNOWN);
}

/* Leaves alone are enough: tiles that are not stored are made of them. */
static void a_source_without_tiles_is_compared_by_its_leaves(void **state)
{
    (void)state;
    make(600);
    snprintf(b.gone, sizeof(b.gone), "log/03/tile/1/000.p/2");
    assert_int_equal(diff(), 0);
    assert_int_equal(report.slots[0].state, DIFF_SAME);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_first_leaf_that_differs_is_found_in_few_reads, teardown),
        cmocka_unit_test_teardown(a_beginning_is_no_fork, teardown),
        cmocka_unit_test_teardown(what_is_not_signed_is_no_fork, teardown),
        cmocka_unit_test_teardown(a_source_without_tiles_is_compared_by_its_leaves, teardown),
    };
    if (!crypto_start())
        return 1;
    return cmocka_run_group_tests_name("diff", tests, NULL, NULL);
}
