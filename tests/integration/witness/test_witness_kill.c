/* A witness killed between what it stored and its answer: whoever asks again is told where it
 * stands, gets the cosignature for what was stored, and a fork of it nowhere. */
#include "tests/integration/witness/kit.h"

#include <stdio.h>
#include <stdlib.h>

static void it_stands_where_it_stored(void **state)
{
    struct hubproc hub;
    struct kit_log log, fork;
    struct kit_answer a;
    char policy[VKEY_TEXT_MAX + 64], vkey[VKEY_TEXT_MAX], path[512];
    (void)state;
    kit_log_make(&log, "log.example/one", 1);
    kit_log_fork(&fork, &log, 2);
    assert_true(vkey_format(&log.vkey, vkey, sizeof(vkey)) > 0);
    snprintf(policy, sizeof(policy), "log %s\nquorum none\n", vkey);
    assert_true(hubproc_open(&hub, false));
    if (!hubproc_init(&hub))
        fail_msg("stoad init: %s", hub.why);
    kit_file(&hub, "logs", policy, path);
    hubproc_set(&hub, "witness.logs=%s", path);
    size_t at = 0;
    for (unsigned turn = 1; turn <= 3; turn++) {
        char point[64], stands[32];
        snprintf(point, sizeof(point), "witness.stored:%u:kill", turn);
        setenv("STOA_FAILPOINT", point, 1);
        hub_start(&hub);
        unsetenv("STOA_FAILPOINT");
        for (unsigned i = 1; i < turn; i++, at += 3) {
            kit_ask(hub.port, &log, at, at + 3, &a);
            assert_int_equal(a.status, 200);
        }
        kit_ask(hub.port, &log, at, at + 3, &a);
        assert_int_equal(a.status, 0); /* it died without a word */
        assert_int_equal(hubproc_wait(&hub, 5000), 128 + 9);
        hub_start(&hub);
        kit_ask(hub.port, &log, at, at + 3, &a);
        snprintf(stands, sizeof(stands), "%zu\n", at + 3);
        assert_int_equal(a.status, 409);
        assert_string_equal(a.body, stands);
        kit_ask(hub.port, &fork, at + 3, at + 3, &a);
        assert_int_equal(a.status, 422);
        kit_ask(hub.port, &log, at + 3, at + 3, &a);
        assert_int_equal(a.status, 200);
        at += 3;
        hubproc_kill(&hub);
    }
    hubproc_close(&hub);
    kit_log_free(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_stands_where_it_stored)};
    return crypto_start() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
