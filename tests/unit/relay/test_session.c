#include "relay/session.h"

#include "tests/unit/relay/test.h"

static struct session_rules rules(void)
{
    return (struct session_rules){.hub = "local",
                                  .slots = 16,
                                  .limits = {.frame_bytes = 1 << 17,
                                             .entries_a_frame = 256,
                                             .subscriptions = 2,
                                             .inflight_entries = 100,
                                             .entries_a_second = 10,
                                             .burst = 20,
                                             .idle_ms = 1000},
                                  .handshake_ms = 500,
                                  .ping_ms = 400,
                                  .stalled_ms = 300};
}

static const struct hash nonce = {{7}};

static struct session opened(const struct session_rules *r, uint64_t now)
{
    struct session s;
    struct session_step step;
    struct wire_frame hello = {.type = WIRE_HELLO, .rid = 1};
    session_begin(&s, r, &nonce, now);
    session_frame(&s, r, &hello, now, &step);
    assert_int_equal(step.act, SESSION_WELCOME);
    session_welcome(&s);
    return s;
}

static struct session_step send(struct session *s, const struct session_rules *r,
                                const struct wire_frame *f, uint64_t now)
{
    struct session_step step;
    session_frame(s, r, f, now, &step);
    return step;
}

static void a_good_signature_over_the_challenge_opens_the_session(void **state)
{
    (void)state;
    struct session_rules r = rules();
    struct session s;
    struct key *device = key_generate();
    struct wire_frame f = {.type = WIRE_HELLO,
                           .rid = 3,
                           .nonce = {{9}},
                           .has_device = true,
                           .has_sig = true,
                           .device = key_public(device)};
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t n = hello_message(message, &r.federation, r.hub, &nonce, &f.nonce, &f.device);
    f.sig = key_sign(device, CTX_HELLO, message, n);
    session_begin(&s, &r, &nonce, 0);
    assert_int_equal(send(&s, &r, &f, 0).act, SESSION_WELCOME);
    assert_true(s.has_device);

    f.note_count = 1;
    session_begin(&s, &r, &nonce, 0);
    assert_int_equal(send(&s, &r, &f, 0).act, SESSION_CHECK);
    assert_false(session_wants_input(&s, &r));

    f.sig.b[3] ^= 1;
    session_begin(&s, &r, &nonce, 0);
    struct session_step step = send(&s, &r, &f, 0);
    assert_int_equal(step.act, SESSION_END);
    assert_int_equal(step.code, ERR_HELLO);
    key_free(device);
}

static void an_answer_to_another_challenge_is_refused(void **state)
{
    (void)state;
    struct session_rules r = rules();
    struct session s;
    struct key *device = key_generate();
    struct hash other = {{8}};
    struct wire_frame f = {.type = WIRE_HELLO,
                           .has_device = true,
                           .has_sig = true,
                           .device = key_public(device)};
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t n = hello_message(message, &r.federation, r.hub, &other, &f.nonce, &f.device);
    f.sig = key_sign(device, CTX_HELLO, message, n);
    session_begin(&s, &r, &nonce, 0);
    assert_int_equal(send(&s, &r, &f, 0).act, SESSION_END);
    key_free(device);
}

static void nothing_but_hello_comes_first_and_hello_only_once(void **state)
{
    (void)state;
    struct session_rules r = rules();
    for (uint64_t type = 0; type <= WIRE_BYE; type++) {
        struct session s;
        struct wire_frame f = {.type = type};
        if (type == WIRE_HELLO)
            continue;
        session_begin(&s, &r, &nonce, 0);
        struct session_step step = send(&s, &r, &f, 0);
        assert_int_equal(step.act, SESSION_END);
        assert_int_equal(step.code, ERR_FRAME);
        assert_int_equal(send(&s, &r, &f, 0).act, SESSION_NOTHING);
    }
    struct session s = opened(&r, 0);
    struct wire_frame again = {.type = WIRE_HELLO};
    assert_int_equal(send(&s, &r, &again, 0).act, SESSION_END);
}

static void frames_are_small_until_welcome(void **state)
{
    (void)state;
    struct session_rules r = rules();
    struct session s;
    session_begin(&s, &r, &nonce, 0);
    assert_int_equal(session_frame_max(&s, &r), SESSION_HELLO_BYTES_MAX);
    s = opened(&r, 0);
    assert_int_equal(session_frame_max(&s, &r), r.limits.frame_bytes);
}

static void tokens_limit_entries_over_time(void **state)
{
    (void)state;
    struct session_rules r = rules();
    struct session s = opened(&r, 0);
    struct wire_frame f = {.type = WIRE_SUBMIT, .count = 30};
    struct session_step step = send(&s, &r, &f, 0);
    assert_int_equal(step.act, SESSION_SUBMIT);
    assert_int_equal(step.take, 20);
    assert_int_equal(step.code, ERR_POLICY_RATE);
    assert_int_equal(step.retry_after_ms, 100);
    assert_int_equal(send(&s, &r, &f, 99).take, 0);
    assert_int_equal(send(&s, &r, &f, 100).take, 1);
    assert_int_equal(send(&s, &r, &f, 1100).take, 10);
    assert_int_equal(send(&s, &r, &f, UINT64_MAX / 2).take, 20);
    r.limits.entries_a_second = 0;
    assert_int_equal(send(&s, &r, &f, UINT64_MAX / 2).take, 30);
}

static void shared_buckets_count_for_all_their_sessions(void **state)
{
    (void)state;
    struct session_rules r = rules();
    r.address = (struct rate_limit){.a_second = 5, .burst = 30};
    struct bucket device = {0}, address = {0};
    struct session a = opened(&r, 0), b = opened(&r, 0), c = opened(&r, 0);
    a.device_bucket = b.device_bucket = &device;
    a.address_bucket = b.address_bucket = c.address_bucket = &address;
    struct wire_frame f = {.type = WIRE_SUBMIT, .count = 15};
    assert_int_equal(send(&a, &r, &f, 0).take, 15);
    struct session_step step = send(&b, &r, &f, 0);
    assert_int_equal(step.take, 5); /* of its device's 20 */
    assert_false(step.address);
    step = send(&c, &r, &f, 0);
    assert_int_equal(step.take, 10); /* of its address's 30 */
    assert_true(step.address);
    assert_int_equal(step.retry_after_ms, 200);
    /* What the address refused, the device did not spend. */
    assert_int_equal(send(&c, &r, &f, 1000).take, 5);
    assert_int_equal(send(&c, &r, &f, 3000).take, 10);
}

static void a_draining_hub_takes_nothing_new(void **state)
{
    (void)state;
    struct session_rules r = rules();
    struct session s = opened(&r, 0);
    r.draining = true;
    struct wire_frame f = {.type = WIRE_SUBMIT, .count = 5};
    struct session_step step = send(&s, &r, &f, 0);
    assert_int_equal(step.take, 0);
    assert_int_equal(step.code, ERR_DRAINING);
    assert_int_equal(s.inflight, 0);
}

static void unanswered_work_stops_the_reading(void **state)
{
    (void)state;
    struct session_rules r = rules();
    r.limits.entries_a_second = 0;
    struct session s = opened(&r, 0);
    struct wire_frame f = {.type = WIRE_SUBMIT, .count = 100};
    assert_true(session_wants_input(&s, &r));
    send(&s, &r, &f, 0);
    assert_false(session_wants_input(&s, &r));
    session_answered(&s, 1);
    assert_true(session_wants_input(&s, &r));
    struct wire_frame read = {.type = WIRE_FETCH};
    for (unsigned i = 0; i < SESSION_READS_MAX; i++) {
        assert_true(session_wants_input(&s, &r));
        assert_int_equal(send(&s, &r, &read, 0).act, SESSION_READ);
    }
    assert_false(session_wants_input(&s, &r));
    session_read_done(&s);
    assert_true(session_wants_input(&s, &r));
    f.count = 257;
    assert_int_equal(send(&s, &r, &f, 0).code, ERR_LIMIT);
}

static void streams_must_exist_and_be_few(void **state)
{
    (void)state;
    struct session_rules r = rules();
    struct session s = opened(&r, 0);
    struct wire_frame f = {.type = WIRE_SUBSCRIBE,
                           .key = {.what = WIRE_SLOT, .slot = 16}};
    assert_int_equal(send(&s, &r, &f, 0).code, ERR_RANGE);
    f.key.slot = 15;
    assert_int_equal(send(&s, &r, &f, 0).act, SESSION_SUBSCRIBE);
    f.key.what = WIRE_ID;
    assert_int_equal(send(&s, &r, &f, 0).code, ERR_RANGE);
    f.key.what = WIRE_ACCOUNT;
    s.subscribed = 2;
    assert_int_equal(send(&s, &r, &f, 0).code, ERR_LIMIT);
    f.type = WIRE_UNSUBSCRIBE;
    assert_int_equal(send(&s, &r, &f, 0).act, SESSION_UNSUBSCRIBE);
}

static void the_silent_and_the_stalled_are_found(void **state)
{
    (void)state;
    struct session_rules r = rules();
    struct session s;
    session_begin(&s, &r, &nonce, 0);
    assert_int_equal(session_tick(&s, &r, 0, 500), SESSION_TICK_NOTHING);
    assert_int_equal(session_tick(&s, &r, 0, 501), SESSION_TICK_LATE);

    s = opened(&r, 0);
    assert_int_equal(session_tick(&s, &r, 0, 400), SESSION_TICK_NOTHING);
    assert_int_equal(session_tick(&s, &r, 0, 401), SESSION_TICK_PING);
    assert_int_equal(session_tick(&s, &r, 0, 402), SESSION_TICK_NOTHING);
    session_heard(&s, 450);
    assert_int_equal(session_tick(&s, &r, 0, 900), SESSION_TICK_PING);
    assert_int_equal(session_tick(&s, &r, 0, 1451), SESSION_TICK_LATE);

    s = opened(&r, 0);
    assert_int_equal(session_tick(&s, &r, 10, 300), SESSION_TICK_NOTHING);
    assert_int_equal(session_tick(&s, &r, 10, 301), SESSION_TICK_SLOW);
    session_progress(&s, 301);
    assert_int_equal(session_tick(&s, &r, 10, 302), SESSION_TICK_NOTHING);
    session_heard(&s, 5000);
    assert_int_equal(session_tick(&s, &r, 0, 5000), SESSION_TICK_NOTHING);
    assert_int_equal(session_tick(&s, &r, 10, 5200), SESSION_TICK_NOTHING);
}

static void what_is_queued_at_the_end_still_goes_out(void **state)
{
    (void)state;
    struct session_rules r = rules();
    struct session s = opened(&r, 0);
    session_end(&s, 90000);
    assert_int_equal(session_tick(&s, &r, 5000, 90500), SESSION_TICK_NOTHING);
    session_progress(&s, 90400);
    session_end(&s, 90450);
    assert_int_equal(session_tick(&s, &r, 5000, 90900), SESSION_TICK_NOTHING);
    assert_int_equal(session_tick(&s, &r, 5000, 90901), SESSION_TICK_LATE);
}

/* Another relay of the hub: its HELLO, and the key both then have. */
static struct wire_frame peer_hello(const struct session_rules *r, const struct key *relay,
                                    const char *context, struct mac_key **mac)
{
    struct wire_frame f = {.type = WIRE_HELLO,
                           .rid = 1,
                           .nonce = {{9}},
                           .has_device = true,
                           .has_sig = true,
                           .device = key_public(relay)};
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t n = hello_message(message, &r->federation, r->hub, &nonce, &f.nonce, &f.device);
    f.sig = key_sign(relay, context, message, n);
    if (mac)
        *mac = mac_key_shared(relay, CTX_PEER_MAC, message, n);
    return f;
}

static struct wire_frame forward(const struct mac_key *mac, uint64_t number,
                                 const struct pubkey *device, struct bytes inner)
{
    struct wire_frame f = {.type = WIRE_FORWARD, .data = inner};
    struct hash_part parts[FORWARD_PARTS];
    f.has_device = device != NULL;
    if (device)
        f.device = *device;
    forward_parts(parts, &f);
    f.id = mac_make(mac, number, parts, FORWARD_PARTS);
    return f;
}

static void a_relay_of_the_hub_is_known_by_the_hubs_key(void **state)
{
    (void)state;
    struct session_rules r = rules();
    struct session s;
    struct key *relay = key_generate(), *other = key_generate();
    r.relay = relay;
    r.relay_public = key_public(relay);

    struct mac_key *mac;
    struct wire_frame hello = peer_hello(&r, relay, CTX_PEER, &mac);
    session_begin(&s, &r, &nonce, 0);
    assert_int_equal(send(&s, &r, &hello, 0).act, SESSION_WELCOME);
    assert_true(s.peer);
    assert_false(s.has_device);
    session_welcome(&s);
    assert_int_equal(session_frame_max(&s, &r), WIRE_FRAME_MAX);
    session_close(&s);

    hello = peer_hello(&r, other, CTX_PEER, NULL); /* any other key */
    session_begin(&s, &r, &nonce, 0);
    assert_int_equal(send(&s, &r, &hello, 0).code, ERR_HELLO);
    hello = peer_hello(&r, relay, CTX_HELLO, NULL); /* a device, by what was signed */
    session_begin(&s, &r, &nonce, 0);
    assert_int_equal(send(&s, &r, &hello, 0).act, SESSION_WELCOME);
    assert_false(s.peer);

    r.relay = NULL; /* a hub of one process has no peers */
    hello = peer_hello(&r, relay, CTX_PEER, NULL);
    session_begin(&s, &r, &nonce, 0);
    assert_int_equal(send(&s, &r, &hello, 0).code, ERR_HELLO);
    mac_key_free(mac);
    key_free(relay);
    key_free(other);
}

static void a_peer_forwards_and_nobody_else(void **state)
{
    (void)state;
    struct session_rules r = rules();
    struct session s;
    struct key *relay = key_generate();
    struct pubkey client = {{5}}, liar = {{6}};
    r.relay = relay;
    r.relay_public = key_public(relay);
    struct mac_key *mac;
    struct wire_frame hello = peer_hello(&r, relay, CTX_PEER, &mac);
    struct bytes inner = bytes_of("inner", 5), changed = bytes_of("Inner", 5);

    session_begin(&s, &r, &nonce, 0);
    assert_int_equal(send(&s, &r, &hello, 0).act, SESSION_WELCOME);
    session_welcome(&s);
    struct session open = s;
    struct wire_frame first = forward(mac, 0, &client, inner);
    assert_int_equal(send(&s, &r, &first, 0).act, SESSION_FORWARD);
    struct wire_frame second = forward(mac, 1, NULL, inner);
    assert_int_equal(send(&s, &r, &second, 0).act, SESSION_FORWARD);
    assert_int_equal(send(&s, &r, &second, 0).act, SESSION_END); /* a repeat */

    s = open;
    struct wire_frame f = first;
    f.data = changed;
    assert_int_equal(send(&s, &r, &f, 0).code, ERR_FRAME);
    s = open;
    f = first;
    f.device = liar;
    assert_int_equal(send(&s, &r, &f, 0).code, ERR_FRAME);
    s = open;
    f = first;
    f.has_device = false;
    assert_int_equal(send(&s, &r, &f, 0).code, ERR_FRAME);
    s = open;
    f = (struct wire_frame){.type = WIRE_SUBMIT, .rid = 4}; /* not even a client's frame */
    assert_int_equal(send(&s, &r, &f, 0).act, SESSION_END);
    session_close(&open);

    s = opened(&r, 0);
    assert_int_equal(send(&s, &r, &first, 0).act, SESSION_END);
    mac_key_free(mac);
    key_free(relay);
}

static void a_forwarded_frame_is_one_an_owner_answers(void **state)
{
    (void)state;
    struct session_rules r = rules();
    struct session_step step;
    struct session s = {.phase = SESSION_OPEN, .peer = true};
    struct wire_frame f = {.type = WIRE_SUBMIT, .rid = 3, .count = 1000};
    session_forwarded(&s, &f, ERR_OK, 0, &step); /* no tokens, no entries_a_frame */
    assert_int_equal(step.act, SESSION_SUBMIT);
    assert_int_equal(step.take, 1000);
    assert_int_equal(s.inflight, 1000);
    assert_true(session_wants_input(&s, &r));
    s.inflight = SESSION_PEER_ENTRIES_MAX;
    assert_false(session_wants_input(&s, &r));
    s.inflight = 0;
    f = (struct wire_frame){.type = WIRE_HEAD, .rid = 4};
    session_forwarded(&s, &f, ERR_OK, 0, &step);
    assert_int_equal(step.act, SESSION_ASK);
    f.type = WIRE_SETTLEMENT;
    session_forwarded(&s, &f, ERR_OK, 0, &step);
    assert_int_equal(step.act, SESSION_ASK);
    assert_int_equal(s.reads, 2);
    struct session open = s;
    f.type = WIRE_FORWARD; /* never twice */
    session_forwarded(&s, &f, ERR_OK, 0, &step);
    assert_int_equal(step.act, SESSION_END);
    s = open;
    f.type = WIRE_SUBMIT;
    session_forwarded(&s, &f, ERR_FRAME, 0, &step);
    assert_int_equal(step.act, SESSION_END);
}

int main(void)
{
    if (!crypto_start())
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_signature_over_the_challenge_opens_the_session),
        cmocka_unit_test(an_answer_to_another_challenge_is_refused),
        cmocka_unit_test(nothing_but_hello_comes_first_and_hello_only_once),
        cmocka_unit_test(frames_are_small_until_welcome),
        cmocka_unit_test(tokens_limit_entries_over_time),
        cmocka_unit_test(shared_buckets_count_for_all_their_sessions),
        cmocka_unit_test(a_draining_hub_takes_nothing_new),
        cmocka_unit_test(unanswered_work_stops_the_reading),
        cmocka_unit_test(streams_must_exist_and_be_few),
        cmocka_unit_test(the_silent_and_the_stalled_are_found),
        cmocka_unit_test(what_is_queued_at_the_end_still_goes_out),
        cmocka_unit_test(a_relay_of_the_hub_is_known_by_the_hubs_key),
        cmocka_unit_test(a_peer_forwards_and_nobody_else),
        cmocka_unit_test(a_forwarded_frame_is_one_an_owner_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
