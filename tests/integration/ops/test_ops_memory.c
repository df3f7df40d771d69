/* A relay with a small memory plan keeps to it: against messages that are never finished and
 * answers that are never read. It says so, `why` names it, others are served again as soon
 * as the cause is sent away. */
#include "tests/integration/hub.h"

#include <stdio.h>

#include "tests/integration/ops/kit.h"

#define MIB (1u << 20)
#define BYTES_A_FRAME 900000u
#define HALF_FRAMES 60u
#define READERS 12u
#define FETCHES 60u
#define NOTES 400u
#define NOTE_BYTES 12000u

static struct hubproc hub;
static double limit;

/* 24 MiB of messages or so. */
static void start(void)
{
    static const char *const set[] = {
        "memory.physical_bytes=400MiB", "memory.reserved_bytes=320MiB",
        "memory.safety_bytes=52MiB",    "listen.max_connections=400",
        "limits.queue_entries=256",     "limits.frame_bytes=1MiB",
        "limits.unsent_bytes=64MiB",    "limits.idle_ms=60s",
        "limits.tarpit_ms=0",           "listen.connections_per_address=0"};
    assert_true(hubproc_open(&hub, true));
    ops_socket(&hub);
    for (unsigned i = 0; i < sizeof(set) / sizeof(set[0]); i++)
        hubproc_set(&hub, "%s", set[i]);
    hub_start(&hub);
    limit = ops_metric(&hub, "stoa_message_limit_bytes");
    assert_true(limit >= 8.0 * MIB && limit <= 28.0 * MIB);
}

static double used(void)
{
    json_t *top = ops_ask(&hub, "top");
    double v = (double)json_integer_value(json_object_get(top, "message_bytes"));
    json_decref(top);
    return v;
}

/* Was somebody sent away for his memory? */
static bool away(void)
{
    return ops_metric(&hub, "stoa_ratelimit_rejections_total{limit=\"memory\"}") > 0;
}

static void served_again(struct person *p)
{
    struct wirekit k;
    struct wire_result r = {.code = 1};
    for (int i = 0; i < 100 && r.code != 0; i++, ops_nap(100)) {
        if (!wirekit_open(&k, hub.port, NULL))
            continue;
        assert_true(wirekit_submit_one(&k, person_bytes(p), &r));
        assert_true(r.code == 0 || r.code == ERR_BUSY);
        if (r.code == ERR_BUSY)
            assert_true(r.retry_after_ms > 0);
        wirekit_close(&k);
    }
    assert_int_equal(r.code, 0);
}

static void messages_that_are_never_finished(void **state)
{
    static struct wirekit bad[HALF_FRAMES];
    static uint8_t frame[BYTES_A_FRAME];
    struct wirekit good;
    struct person p;
    double most = 0;
    bool named = false;
    (void)state;
    start();
    assert_true(wirekit_open(&good, hub.port, NULL));
    open_account(&good, &p, 1);
    for (unsigned i = 0; i < HALF_FRAMES; i++)
        assert_true(wirekit_open(&bad[i], hub.port, NULL));
    /* All but the last bytes. */
    for (unsigned i = 0; i < HALF_FRAMES; i++) {
        assert_true(rawws_queue(&bad[i].ws, frame, BYTES_A_FRAME));
        bad[i].ws.out_end -= 10;
    }
    for (int round = 0; round < 200 && !(named && away()); round++, ops_nap(50)) {
        for (unsigned i = 0; i < HALF_FRAMES; i++)
            (void)rawws_flush(&bad[i].ws); /* who was sent away is away */
        double now = used();
        most = now > most ? now : most;
        named = named || strcmp(ops_why(&hub), "memory") == 0;
    }
    assert_true(most > limit / 2); /* it was pressed */
    assert_true(most <= limit * 1.25); /* what was in the kernel's buffers */
    assert_true(named && away());
    person_note(&p, 20);
    served_again(&p);
    (void)ops_expect(&hub, "");
    for (unsigned i = 0; i < HALF_FRAMES; i++)
        wirekit_close(&bad[i]);
    wirekit_close(&good);
    person_free(&p);
    ops_stop(&hub);
}

static void answers_that_are_never_read(void **state)
{
    static struct wirekit readers[READERS];
    struct wirekit good;
    struct person p;
    double most = 0;
    (void)state;
    start();
    assert_true(wirekit_open(&good, hub.port, NULL));
    open_account(&good, &p, 1);
    for (unsigned i = 0; i < NOTES; i++) {
        struct wire_result r;
        person_note(&p, NOTE_BYTES);
        assert_true(wirekit_submit_one(&good, person_bytes(&p), &r));
        assert_int_equal(r.code, 0);
    }
    /* Each asks for all of it, again and again, and reads nothing. */
    struct wire_key key = {.what = WIRE_ACCOUNT, .id = p.account};
    for (unsigned i = 0; i < READERS; i++)
        assert_true(wirekit_open(&readers[i], hub.port, NULL));
    for (unsigned i = 0; i < READERS; i++)
        for (unsigned n = 0; n < FETCHES; n++)
            (void)wirekit_send(&readers[i], &(struct wire_frame){.type = WIRE_FETCH,
                                                                 .rid = n + 1,
                                                                 .key = key,
                                                                 .from = 1,
                                                                 .max = NOTES});
    for (int round = 0; round < 60; round++, ops_nap(50)) {
        double now = used();
        most = now > most ? now : most;
    }
    assert_true(most > limit / 2);
    assert_true(most <= limit);
    person_note(&p, 20);
    served_again(&p);
    for (unsigned i = 0; i < READERS; i++)
        wirekit_close(&readers[i]);
    wirekit_close(&good);
    person_free(&p);
    ops_stop(&hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_that_are_never_finished),
        cmocka_unit_test(answers_that_are_never_read),
    };
    if (!crypto_start())
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
