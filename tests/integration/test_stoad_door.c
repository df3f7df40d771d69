/* Everything malformed or too much at the door: each is refused in words or cut, and the
 * hub goes on serving others. */
#include "tests/integration/hub.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/clock.h"

/* Long enough for our own greetings on a crowded machine. */
#define HANDSHAKE_MS 2000u

static struct hubproc hub;

static int setup(void **state)
{
    (void)state;
    assert_true(crypto_start());
    assert_true(hubproc_open(&hub, true));
    hubproc_set(&hub, "limits.handshake_ms=%u", HANDSHAKE_MS);
    hubproc_set(&hub, "limits.subscriptions=3");
    hubproc_set(&hub, "limits.entry_bytes=2048");
    hubproc_set(&hub, "limits.frame_bytes=65536");
    hubproc_set(&hub, "access.origins=https://good.example");
    hub_start(&hub);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hubproc_signal(&hub, 15);
    int code = hubproc_wait(&hub, 15000);
    hubproc_close(&hub);
    return code == 0 ? 0 : -1;
}

/* The hub still takes an entry from a stranger. */
static void still_serves(void)
{
    static uint64_t seed = 1000;
    struct wirekit k;
    struct person p;
    assert_true(wirekit_open(&k, hub.port, NULL));
    open_account(&k, &p, seed++);
    person_free(&p);
    wirekit_close(&k);
}

static void expect_error_and_end(struct wirekit *k, enum err code)
{
    assert_true(wirekit_expect(k, WIRE_ERROR, WAIT_MS));
    assert_int_equal(k->f.code, code);
    while (wirekit_receive(k, WAIT_MS))
        ;
    assert_true(k->ws.closed);
    wirekit_close(k);
    still_serves();
}

static int upgrade_status(const struct rawws_options *o)
{
    struct rawws c;
    bool ok = rawws_connect(&c, o);
    int status = c.http_status;
    assert_int_equal(ok, status == 101);
    rawws_close(&c);
    return status;
}

static void only_our_subprotocol_is_taken(void **state)
{
    (void)state;
    struct rawws_options o = {.port = hub.port, .subprotocol = "chat"};
    assert_int_not_equal(upgrade_status(&o), 101);
    o.subprotocol = "";
    assert_int_equal(upgrade_status(&o), 400);
    o.subprotocol = "chat, stoa.v1";
    assert_int_equal(upgrade_status(&o), 101);
    still_serves();
}

static void only_listed_origins_are_taken(void **state)
{
    (void)state;
    struct rawws_options o = {.port = hub.port, .origin = "https://evil.example"};
    assert_int_equal(upgrade_status(&o), 403);
    o.origin = "https://good.example";
    assert_int_equal(upgrade_status(&o), 101);
    o.origin = NULL;
    assert_int_equal(upgrade_status(&o), 101);
}

static void text_frames_are_refused(void **state)
{
    struct wirekit k;
    (void)state;
    assert_true(wirekit_open(&k, hub.port, NULL));
    assert_true(rawws_send_frame(&k.ws, RAWWS_TEXT, true, true, "hello", 5));
    expect_error_and_end(&k, ERR_FRAME);
}

static void garbage_is_refused(void **state)
{
    struct wirekit k;
    uint8_t junk[512];
    (void)state;
    memset(junk, 0xc1, sizeof(junk));
    for (int i = 0; i < 4; i++) {
        assert_true(wirekit_open(&k, hub.port, NULL));
        if (i == 1)
            memcpy(junk, "\xdd\xff\xff\xff\xff", 5); /* an array of 4 billion */
        if (i == 2)
            memset(junk, 0x91, sizeof(junk)); /* arrays in arrays */
        size_t size = i == 3 ? 0 : sizeof(junk);
        assert_true(rawws_send(&k.ws, junk, size));
        expect_error_and_end(&k, ERR_FRAME);
    }
}

static void a_frame_of_the_hub_is_not_for_clients(void **state)
{
    struct wirekit k;
    (void)state;
    assert_true(wirekit_open(&k, hub.port, NULL));
    assert_true(wirekit_send(&k, &(struct wire_frame){.type = WIRE_OK, .rid = 1}));
    expect_error_and_end(&k, ERR_FRAME);
}

static void nothing_is_taken_before_hello(void **state)
{
    struct wirekit k;
    (void)state;
    assert_true(wirekit_challenged(&k, hub.port));
    assert_true(wirekit_send(&k, &(struct wire_frame){.type = WIRE_LIMITS, .rid = 1}));
    expect_error_and_end(&k, ERR_FRAME);
}

static void whoever_says_no_hello_is_cut(void **state)
{
    struct wirekit k;
    struct rawws half;
    struct rawws_message m;
    struct rawws_options o = {.port = hub.port};
    (void)state;
    assert_true(wirekit_challenged(&k, hub.port));
    assert_true(rawws_open(&half, &o));
    assert_true(rawws_send_raw(&half, "GET / HTTP/1.1\r\nHost: x\r\n", 25));
    assert_false(wirekit_receive(&k, WAIT_MS));
    assert_true(k.ws.closed);
    wirekit_close(&k);
    assert_int_equal(rawws_receive(&half, &m, WAIT_MS), -1);
    rawws_close(&half);
    still_serves();
}

/* One byte now and then, or none at all: a connection is not had for that. */
static void a_request_that_never_ends_is_cut(void **state)
{
    enum { LIVES_MS = 6000, STEP_MS = 100 };
    static const char head[] = "GET /v1/status HTTP/1.1\r\nHost: x\r\nX-Slow: ";
    struct rawws silent, slow;
    struct rawws_message m;
    struct rawws_options o = {.port = hub.port};
    unsigned ms = 0;
    (void)state;
    assert_true(rawws_open(&silent, &o));
    assert_true(rawws_open(&slow, &o));
    assert_true(rawws_send_raw(&slow, head, sizeof(head) - 1));
    for (int ended = 0; ended == 0 && ms < LIVES_MS; ms += STEP_MS) {
        (void)rawws_send_raw(&slow, "x", 1);
        ended = rawws_receive(&slow, &m, STEP_MS);
    }
    assert_true(ms < LIVES_MS);
    assert_int_equal(rawws_receive(&silent, &m, LIVES_MS), -1);
    rawws_close(&silent);
    rawws_close(&slow);
    still_serves();
}

static void a_frame_over_the_limit_is_refused_before_it_is_read(void **state)
{
    struct wirekit k;
    uint8_t head[14] = {0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4}; /* 1 GiB */
    uint8_t some[64] = {0};
    (void)state;
    assert_true(wirekit_open(&k, hub.port, NULL));
    assert_true(rawws_send_raw(&k.ws, head, sizeof(head)));
    assert_true(rawws_send_raw(&k.ws, some, sizeof(some)));
    expect_error_and_end(&k, ERR_TOO_LARGE);
}

static void fragments_are_joined_and_a_flood_of_them_is_cut(void **state)
{
    struct wirekit k;
    uint8_t room[64];
    (void)state;
    assert_true(wirekit_open(&k, hub.port, NULL));
    struct mp_writer w = mp_writer_of(room, sizeof(room));
    wire_put(&w, &(struct wire_frame){.type = WIRE_LIMITS, .rid = 77});
    for (size_t i = 0; i < w.size; i++)
        assert_true(rawws_send_frame(&k.ws, i ? RAWWS_CONTINUATION : RAWWS_BINARY,
                                     i + 1 == w.size, true, room + i, 1));
    assert_true(wirekit_expect(&k, WIRE_LIMITS_IS, WAIT_MS));
    assert_int_equal(k.f.rid, 77);
    assert_int_equal(k.f.limits.entry_bytes, 2048);

    for (int i = 0; i < 200; i++)
        if (!rawws_send_frame(&k.ws, i ? RAWWS_CONTINUATION : RAWWS_BINARY, false, true,
                              room, i % 2 ? 1 : 0))
            break;
    expect_error_and_end(&k, ERR_LIMIT);
}

static void limits_of_a_connection_are_told_and_kept(void **state)
{
    struct wirekit k;
    struct person p;
    struct wire_result r;
    (void)state;
    assert_true(wirekit_open(&k, hub.port, NULL));
    open_account(&k, &p, 1);
    person_note(&p, 3000);
    assert_true(wirekit_submit_one(&k, person_bytes(&p), &r));
    assert_int_equal(r.code, ERR_POLICY_SIZE);
    for (uint64_t slot = 0; slot < 4; slot++) {
        struct wire_key key = {.what = WIRE_SLOT, .slot = slot};
        assert_true(wirekit_subscribe(&k, &key, 0));
        do
            assert_true(wirekit_receive(&k, WAIT_MS));
        while (k.f.type == WIRE_RECORDS);
        assert_int_equal(k.f.type, slot < 3 ? WIRE_OK : WIRE_ERROR);
    }
    assert_int_equal(k.f.code, ERR_LIMIT);
    person_free(&p);
    wirekit_close(&k);
}

static void connections_over_the_limit_are_turned_away_and_come_back_later(void **state)
{
    enum { MANY = 60 };
    static struct rawws many[MANY];
    static struct hubproc few;
    struct wirekit k;
    struct person p;
    struct timespec t = {0, 50000000};
    int open_count = 0;
    (void)state;
    assert_true(hubproc_open(&few, true)); /* where who says nothing stays meanwhile */
    hubproc_set(&few, "listen.max_connections=40");
    hubproc_set(&few, "limits.handshake_ms=60s");
    hub_start(&few);
    struct rawws_options o = {.port = few.port};
    for (int i = 0; i < MANY; i++)
        open_count += rawws_connect(&many[i], &o);
    assert_in_range(open_count, 30, 40);
    for (int i = 0; i < MANY; i++)
        rawws_abort(&many[i]);
    bool again = false;
    for (uint64_t end = mono_ms() + WAIT_MS; !again && mono_ms() < end;) {
        nanosleep(&t, NULL);
        again = rawws_connect(&many[0], &o);
        rawws_close(&many[0]);
    }
    assert_true(again);
    assert_true(wirekit_open(&k, few.port, NULL));
    open_account(&k, &p, 1);
    person_free(&p);
    wirekit_close(&k);
    hubproc_close(&few);
}

static void a_wrong_mask_or_opcode_ends_the_connection(void **state)
{
    struct wirekit k;
    (void)state;
    assert_true(wirekit_open(&k, hub.port, NULL));
    (void)rawws_send_frame(&k.ws, 0xb, true, true, "x", 1);
    while (wirekit_receive(&k, 3000))
        ;
    assert_true(k.ws.closed);
    wirekit_close(&k);
    still_serves();
}

static void frames_behind_a_full_budget_wait_and_are_not_forgotten(void **state)
{
    enum { FRAMES = 10, EACH = 4 };
    static struct hubproc small;
    static uint8_t room[FRAMES * EACH * 400];
    struct wirekit k;
    struct person p;
    unsigned got = 0;
    (void)state;
    assert_true(hubproc_open(&small, true));
    hubproc_set(&small, "limits.entries_a_frame=4");
    hubproc_set(&small, "limits.inflight_entries=4");
    hub_start(&small);
    assert_true(wirekit_open(&k, small.port, NULL));
    open_account(&k, &p, 1);
    /* All in one write, so that the hub reads more than it may take. */
    for (uint64_t f = 0; f < FRAMES; f++) {
        struct mp_writer w = mp_writer_of(room, sizeof(room));
        wire_put(&w, &(struct wire_frame){.type = WIRE_SUBMIT, .rid = f, .count = EACH});
        for (int i = 0; i < EACH; i++) {
            person_note(&p, 5);
            wire_put_envelope(&w, person_bytes(&p));
        }
        assert_false(w.full);
        assert_true(rawws_queue(&k.ws, room, w.size));
    }
    assert_true(rawws_flush(&k.ws));
    while (got < FRAMES * EACH) {
        assert_true(wirekit_expect(&k, WIRE_RESULTS, WAIT_MS));
        struct mp_reader list = k.f.list;
        for (size_t i = 0; i < k.f.count; i++, got++) {
            struct wire_result r;
            wire_next_result(&list, &r);
            assert_int_equal(r.code, 0);
        }
    }
    person_free(&p);
    wirekit_close(&k);
    hubproc_close(&small);
}

static void write_config(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void settings_are_read_again_at_sighup_and_wrong_ones_change_nothing(void **state)
{
    static struct hubproc other;
    struct wirekit k;
    (void)state;
    assert_true(hubproc_open(&other, true));
    hubproc_path(&other, "stoa.toml", other.config);
    write_config(other.config, "[limits]\nsubscriptions = 7\n");
    hub_start(&other);
    assert_true(wirekit_open(&k, other.port, NULL));
    assert_int_equal(k.hub.limits.subscriptions, 7);
    write_config(other.config, "[limits]\nsubscriptions = 9\nidle_ms = \"90s\"\n");
    hubproc_signal(&other, SIGHUP);
    assert_true(wirekit_expect(&k, WIRE_LIMITS_IS, WAIT_MS));
    assert_int_equal(k.f.rid, 0);
    assert_int_equal(k.f.limits.subscriptions, 9);
    assert_int_equal(k.f.limits.idle_ms, 90000);
    write_config(other.config, "[limits]\nsubscription = 11\n");
    hubproc_signal(&other, SIGHUP);
    assert_false(wirekit_expect(&k, WIRE_LIMITS_IS, 400));
    assert_true(wirekit_send(&k, &(struct wire_frame){.type = WIRE_LIMITS, .rid = 3}));
    assert_true(wirekit_expect(&k, WIRE_LIMITS_IS, WAIT_MS));
    assert_int_equal(k.f.limits.subscriptions, 9);
    wirekit_close(&k);
    hubproc_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_our_subprotocol_is_taken),
        cmocka_unit_test(only_listed_origins_are_taken),
        cmocka_unit_test(text_frames_are_refused),
        cmocka_unit_test(garbage_is_refused),
        cmocka_unit_test(a_frame_of_the_hub_is_not_for_clients),
        cmocka_unit_test(nothing_is_taken_before_hello),
        cmocka_unit_test(whoever_says_no_hello_is_cut),
        cmocka_unit_test(a_request_that_never_ends_is_cut),
        cmocka_unit_test(a_frame_over_the_limit_is_refused_before_it_is_read),
        cmocka_unit_test(fragments_are_joined_and_a_flood_of_them_is_cut),
        cmocka_unit_test(limits_of_a_connection_are_told_and_kept),
        cmocka_unit_test(a_wrong_mask_or_opcode_ends_the_connection),
        cmocka_unit_test(frames_behind_a_full_budget_wait_and_are_not_forgotten),
        cmocka_unit_test(settings_are_read_again_at_sighup_and_wrong_ones_change_nothing),
        cmocka_unit_test(connections_over_the_limit_are_turned_away_and_come_back_later),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
