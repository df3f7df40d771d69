/* A machine that was suspended does not believe its leases (relay/region.c). */
#include <time.h>

#include "relay/clock.h"
#include "relay/region_internal.h"
#include "tests/unit/relay/test.h"

static uint64_t awake_ms, asleep_ms; /* as the kernel counts them */

/* Linked in the place of the C library's (--wrap). */
int __wrap_clock_gettime(clockid_t id, struct timespec *t);

int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
    uint64_t ms = awake_ms + (id == CLOCK_MONOTONIC ? 0 : asleep_ms);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_ends_while_the_machine_is_suspended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
