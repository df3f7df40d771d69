/* A window is as long as asked, or as there are samples; the usual follows slowly. */
#include "tests/unit/relay/test.h"

#include "relay/vitals.h"

static void windows_go_back_as_far_as_asked(void **state)
{
    static struct vitals v;
    struct vital older, newest;
    struct vital_now now;
    (void)state;
    vitals_init(&v);
    assert_false(vitals_get(&v, 10000, &older, &newest, &now));
    for (uint64_t i = 1; i <= 200; i++) {
        struct vital sample = {.mono_ms = i * 1000, .committed = i * i};
        struct vital_now at = {.inflight = i};
        vitals_put(&v, &sample, &at);
        if (i == 1)
            assert_false(vitals_get(&v, 10000, &older, &newest, &now));
        if (i == 5) { /* fewer than asked for */
            assert_true(vitals_get(&v, 10000, &older, &newest, &now));
            assert_int_equal(older.mono_ms, 1000);
        }
    }
    assert_true(vitals_get(&v, 10000, &older, &newest, &now));
    assert_int_equal(newest.mono_ms, 200000);
    assert_int_equal(older.mono_ms, 190000);
    assert_int_equal(older.committed, 190 * 190);
    assert_int_equal(now.inflight, 200);
    assert_true(vitals_get(&v, 1000000, &older, &newest, &now)); /* as many as there are */
    assert_int_equal(older.mono_ms, (200 - VITALS_SECONDS + 1) * 1000);
    vitals_close(&v);
}

static void the_usual_time_of_a_commit_moves_slowly(void **state)
{
    static struct vitals v;
    struct vital sample = {0};
    struct vital_now now = {0};
    (void)state;
    vitals_init(&v);
    vitals_put(&v, &sample, &now);
    assert_int_equal(vitals_commit_usual_us(&v), 0);
    for (int i = 0; i < 10; i++) {
        sample.commits += 10;
        sample.commit_us += 10 * 8000;
        vitals_put(&v, &sample, &now);
    }
    assert_int_equal(vitals_commit_usual_us(&v), 8000);
    for (int i = 0; i < 10; i++)
        vitals_put(&v, &sample, &now); /* idle */
    assert_int_equal(vitals_commit_usual_us(&v), 8000);
    for (int i = 0; i < 5; i++) {
        sample.commits += 1;
        sample.commit_us += 1000000;
        vitals_put(&v, &sample, &now);
    }
    assert_in_range(vitals_commit_usual_us(&v), 8000, 100000);
    vitals_close(&v);
}

static void a_sleep_of_the_machine_is_no_drift(void **state)
{
    struct vital older = {.mono_ms = 5000, .boot_ms = 7000, .wall_ms = 1000000}, newest = older;
    (void)state;
    newest.mono_ms += 10000;
    newest.boot_ms += 3610000;
    newest.wall_ms += 3610002;
    assert_int_equal(vitals_drift_ms(&older, &newest), 2);
    newest.wall_ms -= 3700002;
    assert_int_equal(vitals_drift_ms(&older, &newest), -3700000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_go_back_as_far_as_asked),
        cmocka_unit_test(the_usual_time_of_a_commit_moves_slowly),
        cmocka_unit_test(a_sleep_of_the_machine_is_no_drift),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
