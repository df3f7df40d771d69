/* A machine that was suspended does not believe its leases (relay/region.c), and does not take its
 * sleep for a clock that jumped (relay/commit.c). */
#include <time.h>

#include "hub.h"
#include "relay/clock.h"
#include "relay/commit_internal.h"
#include "relay/region_internal.h"
#include "tests/unit/relay/test.h"
#include "unit/account/kit.h"

#define UNIX_MS UINT64_C(1767225600000)
#define MINUTES UINT64_C(60000)

static uint64_t awake_ms, asleep_ms; /* as the kernel counts them */
static uint64_t set_ms;              /* .. and the wall clock was set by hand */

/* Linked in the place of the C library's (--wrap). */
int __wrap_clock_gettime(clockid_t id, struct timespec *t);

int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
    uint64_t ms = awake_ms + (id == CLOCK_MONOTONIC ? 0 : asleep_ms) +
                  (id == CLOCK_REALTIME ? UNIX_MS + set_ms : 0);
    t->tv_sec = (time_t)(ms / 1000);
    t->tv_nsec = (long)(ms % 1000) * 1000000L;
    return 0;
}

static void a_lease_ends_while_the_machine_is_suspended(void **state)
{
    static struct region g;
    static struct relay r = {.region = &g};
    (void)state;
    awake_ms = 50000;
    atomic_store(&g.fresh_until_ms, clock_boot_ms() + 3000);
    assert_true(region_fresh(&r));
    asleep_ms = 2900;
    assert_true(region_fresh(&r));
    asleep_ms = 3000;
    assert_false(region_fresh(&r));
    assert_int_equal(clock_mono_ms(), 50000);
    asleep_ms = 0;
    awake_ms += 3000;
    assert_false(region_fresh(&r));
}

static enum err empty_batch(struct commit *c)
{
    const struct store_append *appends;
    struct seq_output out = {.context = c};
    size_t count = 0;
    enum err e = commit_prepare(c, &appends, &count);
    if (e != ERR_OK)
        return e;
    assert_int_equal(count, 0);
    return sequencer_outcome(c->q, c->outcomes, &out);
}

static void a_sleep_is_not_taken_for_a_jump_of_the_clock(void **state)
{
    static struct hub hub;
    static struct commit c;
    (void)state;
    hub_create(&hub, 1);
    hub_crash(&hub); /* it knows no clock yet */
    assert_int_equal(hub_start(&hub), ERR_OK);
    c.q = hub.q;
    assert_int_equal(empty_batch(&c), ERR_OK);
    asleep_ms += 600 * MINUTES;
    assert_int_equal(empty_batch(&c), ERR_OK);
    awake_ms += 600 * MINUTES;
    assert_int_equal(empty_batch(&c), ERR_OK);
    set_ms += 2 * MINUTES;
    assert_int_equal(empty_batch(&c), ERR_CLOCK);
    hub_close(&hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_ends_while_the_machine_is_suspended),
        cmocka_unit_test(a_sleep_is_not_taken_for_a_jump_of_the_clock),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kit_close();
    return failed;
}
