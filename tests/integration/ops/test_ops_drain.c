/* A hub that is drained at its admin socket: entries are refused with a word that says when to
 * come back, everybody gets a goodbye with a moment of his own, and it ends with 0. */
#include "tests/integration/hub.h"

#include "tests/integration/ops/kit.h"

#define CLIENTS 12u
#define GRACE_MS 4000u

static void everybody_is_sent_away_to_another_moment(void **state)
{
    static struct hubproc hub;
    static struct wirekit k[CLIENTS];
    uint64_t sum = 0, first = 0;
    unsigned same = 0;
    (void)state;
    assert_true(hubproc_open(&hub, true));
    ops_socket(&hub);
    hubproc_set(&hub, "drain.grace_ms=%u", GRACE_MS);
    hub_start(&hub);
    for (unsigned i = 0; i < CLIENTS; i++)
        assert_true(wirekit_open(&k[i], hub.port, NULL));
    json_t *j = ops_ask(&hub, "drain");
    assert_false(json_is_true(json_object_get(j, "already")));
    assert_int_equal(json_integer_value(json_object_get(j, "connections")), CLIENTS);
    json_decref(j);
    for (unsigned i = 0; i < CLIENTS; i++) {
        assert_true(wirekit_expect(&k[i], WIRE_BYE, WAIT_MS));
        assert_int_equal(k[i].f.code, ERR_DRAINING);
        assert_in_range(k[i].f.retry_after_ms, GRACE_MS, 2 * GRACE_MS);
        sum += k[i].f.retry_after_ms;
        if (i == 0)
            first = k[i].f.retry_after_ms;
        same += k[i].f.retry_after_ms == first;
        wirekit_close(&k[i]);
    }
    assert_true(same < CLIENTS && sum > CLIENTS * GRACE_MS);
    assert_int_equal(hubproc_wait(&hub, 10000), 0);
    hubproc_close(&hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everybody_is_sent_away_to_another_moment),
    };
    if (!crypto_start())
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
