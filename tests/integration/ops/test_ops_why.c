/* Faults planted in a real relay, by real means, and what `why` says: a flood from one
 * address, many clients who send more than one thread can check. (A full disk:
 * test_stoad_full.c; a server's faults: test_ops_why_store.c.) */
#include "tests/integration/hub.h"

#include <stdio.h>

#include "tests/integration/ops/kit.h"

#define NOTES 64u
#define SENDERS 8u

static struct hubproc hub;

static void an_idle_relay_is_well_and_says_what_it_looked_at(void **state)
{
    (void)state;
    ops_start(&hub, 0, NULL);
    (void)ops_expect(&hub, "");
    json_t *lag = ops_ask(&hub, "lag"), *top = ops_ask(&hub, "top");
    assert_true(json_array_size(json_object_get(lag, "lag")) >= 4);
    assert_int_equal(json_array_size(json_object_get(top, "addresses")), 0);
    json_decref(lag);
    json_decref(top);
    ops_stop(&hub);
}

static void a_flood_is_named_with_its_address(void **state)
{
    static const char *const settings[] = {"limits.entries_a_second=20", "limits.burst=20",
                                           "limits.tarpit_ms=0"};
    static struct ops_flood flood;
    struct wirekit bad, good;
    (void)state;
    ops_start(&hub, 3, settings);
    assert_true(wirekit_open_from(&bad, hub.port, "127.0.0.66"));
    assert_true(wirekit_open(&good, hub.port, NULL));
    ops_make_flood(&flood, &bad, NOTES);
    struct person p;
    open_account(&good, &p, 1);
    const char *cause = "";
    for (int i = 0; i < 1500 && strcmp(cause, "flood") != 0; i++) {
        ops_pump(&bad, &flood);
        ops_nap(10);
        if (i % 50 == 49)
            cause = ops_why(&hub);
    }
    const json_t *f = ops_expect(&hub, "flood");
    assert_non_null(strstr(ops_text(f, "said"), "127.0.0.66"));
    assert_string_equal(ops_try(f, 0), "stoactl top");
    json_t *top = ops_ask(&hub, "top");
    const json_t *first = json_array_get(json_object_get(top, "addresses"), 0);
    assert_string_equal(json_string_value(json_object_get(first, "address")),
                        "127.0.0.66");
    assert_true(json_integer_value(json_object_get(first, "refused_a_second")) > 0);
    json_decref(top);
    wirekit_close(&bad);
    (void)ops_expect(&hub, ""); /* and it is forgotten */
    person_free(&p);
    wirekit_close(&good);
    ops_stop(&hub);
}

static void more_signatures_than_one_thread_can_check(void **state)
{
    static const char *const settings[] = {"verify.threads=1",
                                           "limits.queue_entries=100000",
                                           "limits.tarpit_ms=0"};
    static struct ops_flood flood;
    static struct wirekit k[SENDERS];
    const char *cause = "";
    (void)state;
    ops_start(&hub, 3, settings);
    for (unsigned i = 0; i < SENDERS; i++) {
        char source[32];
        snprintf(source, sizeof(source), "127.0.1.%u", i + 1);
        assert_true(wirekit_open_from(&k[i], hub.port, source));
    }
    ops_make_flood(&flood, &k[0], 256);
    for (int i = 0; i < 4000 && strcmp(cause, "verify_slow") != 0; i++) {
        for (unsigned n = 0; n < SENDERS; n++)
            ops_pump(&k[n], &flood);
        ops_nap(2);
        if (i % 100 == 99)
            cause = ops_why(&hub);
    }
    assert_string_equal(cause, "verify_slow");
    for (unsigned i = 0; i < SENDERS; i++)
        wirekit_close(&k[i]);
    (void)ops_expect(&hub, "");
    ops_stop(&hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_relay_is_well_and_says_what_it_looked_at),
        cmocka_unit_test(a_flood_is_named_with_its_address),
        cmocka_unit_test(more_signatures_than_one_thread_can_check),
    };
    if (!crypto_start())
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
