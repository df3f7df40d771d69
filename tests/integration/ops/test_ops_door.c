/* Quotas of devices, addresses and accounts, turns between connections, and the tarpit, at a
 * real relay. */
#include "tests/integration/hub.h"

#include <stdio.h>

#include "tests/integration/ops/kit.h"
#include "tests/lib/clock.h"

#define RATE "stoa_ratelimit_rejections_total{limit=\"rate\"}"
#define RATE_ADDRESS "stoa_ratelimit_rejections_total{limit=\"rate_address\"}"
#define RATE_ACCOUNT "stoa_ratelimit_rejections_total{limit=\"rate_account\"}"
#define TARPIT "stoa_ratelimit_rejections_total{limit=\"tarpit\"}"
#define FLOODERS 24u
#define FLOOD_MS 60000u /* at most; on an idle machine two seconds will do */

static struct hubproc hub;

/* The code of the next note of `p`; *retry_ms is when a refused one may come again. */
static uint64_t note(struct wirekit *k, struct person *p, uint64_t *retry_ms)
{
    struct wire_result r;
    struct person before = *p;
    person_note(p, 20);
    assert_true(wirekit_submit_one(k, person_bytes(p), &r));
    if (r.code != 0) { /* it is not in the chain: the next one takes its place */
        p->next_seq = before.next_seq;
        p->tip = before.tip;
        p->lamport = before.lamport;
    }
    *retry_ms = r.code ? r.retry_after_ms : 0;
    return r.code;
}

/* How many notes go before one is refused for the rate, of at most 50. */
static unsigned notes_taken(struct wirekit *k, struct person *p, uint64_t *retry_ms)
{
    unsigned n = 0;
    uint64_t code = 0;
    while (n < 50 && (code = note(k, p, retry_ms)) == 0)
        n++;
    assert_int_equal(code, ERR_POLICY_RATE);
    assert_true(*retry_ms > 0);
    return n;
}

/* What a bucket that was full at `began_ms` has given by now, at most. */
static unsigned given(unsigned burst, unsigned a_second, uint64_t began_ms)
{
    return burst + 1 + (unsigned)((mono_ms() - began_ms) * a_second / 1000);
}

static void a_device_has_one_bucket_over_all_its_connections(void **state)
{
    static const char *const set[] = {"limits.entries_a_second=2", "limits.burst=10"};
    struct wirekit anybody, k[2], other;
    struct person p, q;
    uint64_t retry;
    (void)state;
    ops_start(&hub, 2, set);
    assert_true(wirekit_open(&anybody, hub.port, NULL));
    open_account(&anybody, &p, 1);
    open_account(&anybody, &q, 2);
    assert_true(wirekit_open(&k[0], hub.port, p.device));
    assert_true(wirekit_open(&k[1], hub.port, p.device));
    assert_true(wirekit_open(&other, hub.port, q.device));
    uint64_t began = mono_ms();
    for (int i = 0; i < 5; i++) {
        assert_int_equal(note(&k[0], &p, &retry), 0);
        assert_int_equal(note(&k[1], &p, &retry), 0);
    }
    unsigned n = 10 + notes_taken(&k[0], &p, &retry) + notes_taken(&k[1], &p, &retry);
    assert_in_range(retry, 1, 500);
    /* Coming again is no way round; others are not concerned. */
    for (int i = 0; i < 3; i++) {
        wirekit_close(&k[1]);
        assert_true(wirekit_open(&k[1], hub.port, p.device));
        n += notes_taken(&k[1], &p, &retry);
    }
    assert_in_range(n, 10, given(10, 2, began));
    assert_int_equal(note(&other, &q, &retry), 0);
    assert_true(ops_metric(&hub, RATE) >= 3);
    ops_nap(600);
    assert_int_equal(note(&k[1], &p, &retry), 0); /* when it said */
    wirekit_close(&anybody);
    wirekit_close(&k[0]);
    wirekit_close(&k[1]);
    wirekit_close(&other);
    person_free(&p);
    person_free(&q);
    ops_stop(&hub);
}

static void an_address_has_one_for_all_its_clients(void **state)
{
    static const char *const set[] = {"limits.address_entries_a_second=1",
                                      "limits.address_burst=8"};
    struct wirekit here[2], there;
    struct person p, q;
    uint64_t retry;
    (void)state;
    ops_start(&hub, 2, set);
    assert_true(wirekit_open_from(&here[0], hub.port, "127.0.0.61"));
    assert_true(wirekit_open_from(&here[1], hub.port, "127.0.0.61"));
    assert_true(wirekit_open_from(&there, hub.port, "127.0.0.62"));
    uint64_t began = mono_ms();
    open_account(&here[0], &p, 1);
    open_account(&there, &q, 2);
    unsigned n = notes_taken(&here[0], &p, &retry) + notes_taken(&here[1], &p, &retry);
    assert_in_range(n, 7, given(7, 1, began));
    assert_in_range(retry, 1, 1000);
    assert_int_equal(note(&there, &q, &retry), 0);
    assert_true(ops_metric(&hub, RATE_ADDRESS) >= 2);
    assert_int_equal((int)ops_metric(&hub, RATE), 0);
    for (int i = 0; i < 2; i++)
        wirekit_close(&here[i]);
    wirekit_close(&there);
    person_free(&p);
    person_free(&q);
    ops_stop(&hub);
}

static void an_account_pays_for_what_is_accepted_and_nothing_else(void **state)
{
    static const char *const set[] = {"limits.account_entries_a_second=1",
                                      "limits.account_burst=5"};
    struct wirekit k;
    struct person p, q, stranger;
    uint64_t retry;
    (void)state;
    ops_start(&hub, 2, set);
    assert_true(wirekit_open(&k, hub.port, NULL));
    open_account(&k, &p, 1);
    open_account(&k, &q, 2);
    open_account(&k, &stranger, 3);
    stranger.account = p.account;
    for (int i = 0; i < 30; i++) { /* signed, about an account that is not his */
        uint64_t code = note(&k, &stranger, &retry);
        assert_true(code != 0 && code != ERR_POLICY_RATE);
    }
    uint64_t began = mono_ms();
    unsigned n = notes_taken(&k, &p, &retry);
    assert_in_range(n, 5, given(5, 1, began));
    assert_in_range(retry, 1, 1000);
    assert_int_equal(note(&k, &q, &retry), 0);
    assert_true(ops_metric(&hub, RATE_ACCOUNT) >= 1);
    ops_nap(1100);
    assert_int_equal(note(&k, &p, &retry), 0);
    wirekit_close(&k);
    person_free(&p);
    person_free(&q);
    person_free(&stranger);
    ops_stop(&hub);
}

/* Two dozen connections fill the queue with all they may; one that sends an entry now and
 * then is served, never refused. */
static void one_entry_goes_between_floods(void **state)
{
    static const char *const set[] = {"verify.threads=1", "limits.queue_entries=1024",
                                      "limits.tarpit_ms=0"};
    static struct ops_flood flood;
    static struct wirekit bad[FLOODERS];
    struct wirekit good;
    struct person p;
    unsigned served = 0;
    (void)state;
    ops_start(&hub, 3, set);
    assert_true(wirekit_open(&good, hub.port, NULL));
    open_account(&good, &p, 1);
    for (unsigned i = 0; i < FLOODERS; i++)
        assert_true(wirekit_open(&bad[i], hub.port, NULL));
    ops_make_flood(&flood, &good, 200);
    uint64_t fullest = 0;
    /* The relay looks at itself once a second: on a quick machine 15 are served before. */
    uint64_t end = mono_ms() + FLOOD_MS;
    for (; (served < 15 || fullest < 512) && mono_ms() < end; served++) {
        bool answered = false;
        person_note(&p, 20);
        struct bytes b = person_bytes(&p);
        assert_true(wirekit_submit(&good, &b, 1, 0));
        while (!answered && mono_ms() < end) {
            for (unsigned n = 0; n < FLOODERS; n++)
                (void)ops_pump(&bad[n], &flood);
            if (!wirekit_expect(&good, WIRE_RESULTS, 2))
                continue;
            assert_int_equal(wirekit_result(&good).code, 0);
            answered = true;
        }
        json_t *top = ops_ask(&hub, "top");
        uint64_t full =
            (uint64_t)json_integer_value(json_object_get(top, "inflight_entries"));
        fullest = full > fullest ? full : fullest;
        json_decref(top);
    }
    assert_true(served >= 15);
    assert_true(fullest >= 512); /* it was a flood */
    assert_true(fullest <= 2 * 1024 + FLOODERS * 256);
    for (unsigned i = 0; i < FLOODERS; i++)
        wirekit_close(&bad[i]);
    person_free(&p);
    wirekit_close(&good);
    ops_stop(&hub);
}

static void who_would_not_be_told_is_not_read(void **state)
{
    static const char *const set[] = {"limits.tarpit_ms=5s"};
    static struct ops_flood flood;
    struct wirekit bad, good;
    struct person p;
    uint64_t retry;
    (void)state;
    ops_start(&hub, 1, set);
    assert_true(wirekit_open_from(&bad, hub.port, "127.0.0.71"));
    assert_true(wirekit_open_from(&good, hub.port, "127.0.0.71")); /* the same house */
    open_account(&good, &p, 1);
    ops_make_flood(&flood, &bad, 32);
    unsigned read = 0;
    for (int i = 0; i < 300; i++, ops_nap(10))
        read += ops_pump(&bad, &flood);
    /* Of some 300 frames a few were read before the pauses grew long. */
    assert_in_range(read, 8, 60);
    assert_true(ops_metric(&hub, TARPIT) >= 4);
    for (int i = 0; i < 5; i++)
        assert_int_equal(note(&good, &p, &retry), 0);
    json_t *top = ops_ask(&hub, "top");
    assert_int_equal(json_integer_value(json_object_get(top, "held_connections")), 1);
    json_decref(top);
    wirekit_close(&bad);
    wirekit_close(&good);
    person_free(&p);
    ops_stop(&hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_has_one_bucket_over_all_its_connections),
        cmocka_unit_test(an_address_has_one_for_all_its_clients),
        cmocka_unit_test(an_account_pays_for_what_is_accepted_and_nothing_else),
        cmocka_unit_test(one_entry_goes_between_floods),
        cmocka_unit_test(who_would_not_be_told_is_not_read),
    };
    if (!crypto_start())
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
