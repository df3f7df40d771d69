/* Whom to ask what: one target at a time, answers of every kind, backoff, and what is served
 * when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "federation/cosign.h"
#include "tests/unit/federation/log.h"

#define WITNESSES 3
#define WALL 1700000000u

static struct test_log log_a;
static struct key *keys[WITNESSES];
static struct policy policy;
static void *room;
static struct cosign *core;
static const struct cosign_times times = {.every_ms = 100, .max_age_ms = 1000};

/* Two of three. */
static int setup(void **state)
{
    char text[4096] = "", vkey[VKEY_TEXT_MAX];
    struct policy_problem problem;
    (void)state;
    if (!crypto_start())
        return 1;
    test_log_make(&log_a, "log.example/a", 1);
    assert_true(vkey_format(&log_a.vkey, vkey, sizeof(vkey)) > 0);
    snprintf(text, sizeof(text), "log %s\n", vkey);
    for (unsigned i = 0; i < WITNESSES; i++) {
        uint8_t seed[SEED_BYTES] = {9, (uint8_t)i};
        struct vkey v;
        char name[32];
        keys[i] = key_from_seed(seed);
        struct pubkey pub = key_public(keys[i]);
        snprintf(name, sizeof(name), "w%u.example", i);
        assert_true(vkey_make(&v, name, NOTE_COSIGNATURE, &pub));
        assert_true(vkey_format(&v, vkey, sizeof(vkey)) > 0);
        size_t at = strlen(text);
        snprintf(text + at, sizeof(text) - at, "witness w%u %s http://w%u\n", i, vkey, i);
    }
    strcat(text, "group two 2 w0 w1 w2\nquorum two\n");
    if (!policy_parse(&policy, text, strlen(text), &problem))
        fail_msg("line %u: %s", problem.line, problem.why);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    key_free(log_a.key);
    for (unsigned i = 0; i < WITNESSES; i++)
        key_free(keys[i]);
    return 0;
}

static int fresh(void **state)
{
    (void)state;
    room = calloc(1, cosign_room(2, WITNESSES));
    assert_non_null(room);
    core = cosign_open(room, &policy, 2);
    return 0;
}

static int done(void **state)
{
    (void)state;
    free(room);
    return 0;
}

static void publish(size_t size, uint64_t now)
{
    char note[CHECKPOINT_BYTES_MAX];
    size_t n = test_log_note(&log_a, size, note);
    cosign_published(core, 0, size, bytes_of(note, n), now);
}

static bool next(unsigned witness, uint64_t now, struct cosign_ask *ask)
{
    uint64_t wait;
    bool any = cosign_next(core, &times, witness, now, ask, &wait);
    assert_true(wait >= 10 && wait <= 250);
    return any;
}

/* What an honest witness of a time says. */
static size_t cosign_body(const struct cosign_ask *ask, uint64_t time, char out[512])
{
    size_t text = (size_t)(strstr(ask->note, "\n\n") - ask->note) + 1;
    return note_cosign_line(out, 512, ask->note, text, time,
                            &policy.witnesses[ask->witness].key, keys[ask->witness]);
}

static enum cosign_result answer(const struct cosign_ask *ask, unsigned status,
                                 const void *body, size_t size, uint64_t now)
{
    struct signed_line line = {{0}, 0, {{0}}};
    tree_size at = 0;
    enum cosign_result r =
        cosign_read(&policy, ask, status, bytes_of(body, size), WALL, &line, &at);
    cosign_answered(core, ask, r, &line, at, 0, 0, WALL, now);
    return r;
}

static void yes(const struct cosign_ask *ask, uint64_t now)
{
    char body[512];
    assert_int_equal(answer(ask, 200, body, cosign_body(ask, WALL, body), now), COSIGN_TAKEN);
}

static struct cosign_state slot(uint64_t now)
{
    struct cosign_state s;
    cosign_slot(core, &times, 0, now, &s);
    return s;
}

/* Size and witnesses of a note. */
static uint64_t served(uint64_t now, uint64_t *mask)
{
    static char note[COSIGNED_BYTES_MAX];
    struct policy_verdict v;
    size_t n = cosign_served_note(core, &times, 0, now, note);
    assert_true(n > 0);
    policy_check(&policy, note, n, &v);
    assert_int_equal(v.note, NOTE_OK);
    *mask = v.witnesses;
    return v.checkpoint.size;
}

static void a_quorum_gathers_on_one_checkpoint(void **state)
{
    struct cosign_ask a, b, c;
    uint64_t mask;
    (void)state;
    assert_false(next(0, 1, &a));
    publish(5, 10);
    assert_true(next(0, 10, &a) && next(1, 10, &b) && next(2, 10, &c));
    assert_int_equal(a.old, 0);
    assert_int_equal(a.size, 5);
    assert_false(next(0, 10, &a)); /* one question about it at a time */
    publish(9, 20);
    yes(&b, 30);
    assert_false(slot(30).has_quorum);
    assert_int_equal(served(30, &mask), 9); /* nothing has a quorum: the newest */
    assert_int_equal(mask, 0);
    yes(&c, 40);
    assert_true(slot(40).has_quorum && slot(40).fresh);
    assert_int_equal(served(40, &mask), 5); /* fresh enough, and it has one */
    assert_int_equal(mask, 6);
    a.slot = 0;
    a.witness = 0;
    yes(&a, 45); /* late, and still of use */
    assert_int_equal(served(45, &mask), 5);
    assert_int_equal(mask, 7);
    assert_false(next(0, 50, &a)); /* not before every_ms */
    assert_true(next(0, 110, &a));
    assert_int_equal(a.old, 5);
    assert_int_equal(a.size, 9);
}

static void too_old_is_not_served(void **state)
{
    struct cosign_ask a, b;
    uint64_t mask;
    char note[COSIGNED_BYTES_MAX];
    (void)state;
    publish(5, 10);
    assert_int_equal(cosign_quorum_note(core, 0, note), 0);
    assert_true(next(0, 10, &a) && next(1, 10, &b));
    yes(&a, 11);
    yes(&b, 11);
    assert_true(slot(100000).fresh); /* nothing newer is there */
    publish(6, 2000);
    assert_int_equal(served(3000, &mask), 5);
    assert_false(slot(3001).fresh);
    assert_true(slot(3001).has_quorum);
    assert_int_equal(served(3001, &mask), 6);
    assert_int_equal(mask, 0);
    assert_true(next(0, 3001, &a));
    yes(&a, 3002);
    assert_int_equal(served(3003, &mask), 6);
    assert_int_equal(mask, 1); /* below quorum, with what it has */
    size_t n = cosign_quorum_note(core, 0, note);
    struct policy_verdict v;
    policy_check(&policy, note, n, &v);
    assert_true(v.quorum);
    assert_int_equal(v.checkpoint.size, 5); /* who wants one gets the older */
}

static void it_asks_from_where_the_witness_stands(void **state)
{
    struct cosign_ask a;
    (void)state;
    publish(20, 10);
    assert_true(next(0, 10, &a));
    assert_int_equal(answer(&a, 409, "7\n", 2, 11), COSIGN_MOVED);
    assert_true(next(0, 11, &a)); /* at once */
    assert_int_equal(a.old, 7);
    assert_int_equal(answer(&a, 409, "7\n", 2, 12), COSIGN_FAILED); /* it contradicts itself */
    assert_false(next(0, 12, &a));
    assert_true(next(0, 12 + COSIGN_BACKOFF_MS, &a));
    assert_int_equal(answer(&a, 409, "30\n", 3, 500), COSIGN_AHEAD);
    assert_false(next(0, 501, &a));
    assert_true(next(0, 500 + COSIGN_BACKOFF_MS, &a));
    assert_int_equal(a.old, 0);
    yes(&a, 900);
    static const char *const bad[] = {"", "\n", "x\n", "7", "07\n", "7\n\n", " 7\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct signed_line line;
        tree_size at;
        assert_int_equal(cosign_read(&policy, &a, 409, bytes_of(bad[i], strlen(bad[i])), WALL,
                                     &line, &at),
                         COSIGN_FAILED);
    }
}

static void only_its_own_line_of_now_counts(void **state)
{
    struct cosign_ask a, other;
    char body[512];
    struct signed_line line;
    tree_size at;
    (void)state;
    publish(5, 10);
    assert_true(next(0, 10, &a) && next(1, 10, &other));
#define READ(size) cosign_read(&policy, &a, 200, bytes_of(body, size), WALL, &line, &at)
    assert_int_equal(READ(cosign_body(&other, WALL, body)), COSIGN_FAILED);
    assert_int_equal(READ(cosign_body(&a, WALL + COSIGN_SKEW_SECONDS + 1, body)),
                     COSIGN_FAILED);
    assert_int_equal(READ(cosign_body(&a, WALL - COSIGN_SKEW_SECONDS - 1, body)),
                     COSIGN_FAILED);
    assert_int_equal(READ(cosign_body(&a, WALL + COSIGN_SKEW_SECONDS, body)), COSIGN_TAKEN);
    size_t n = cosign_body(&a, WALL, body);
    assert_int_equal(READ(n - 1), COSIGN_FAILED);
    body[n - 10] = body[n - 10] == 'A' ? 'B' : 'A';
    assert_int_equal(READ(n), COSIGN_FAILED);
    assert_int_equal(READ(0), COSIGN_FAILED);
#undef READ
    struct cosign_ask moved = a; /* over another checkpoint */
    publish(6, 11);
    n = cosign_body(&a, WALL, body);
    moved.note_size = test_log_note(&log_a, 6, moved.note);
    assert_int_equal(cosign_read(&policy, &moved, 200, bytes_of(body, n), WALL, &line, &at),
                     COSIGN_FAILED);
}

static void failures_wait_longer_each_time(void **state)
{
    struct cosign_ask a, b;
    uint64_t now = 10, waited = 0, before = 0;
    (void)state;
    publish(5, now);
    assert_true(next(0, now, &a));
    for (int i = 0; i < 12; i++) {
        assert_int_equal(answer(&a, i % 2 ? 503 : 0, "", 0, now), COSIGN_FAILED);
        for (waited = 0; !next(0, now + waited, &a); waited++)
            assert_true(waited <= COSIGN_BACKOFF_MAX_MS);
        assert_true(waited >= before);
        before = waited;
        now += waited;
    }
    assert_int_equal(waited, COSIGN_BACKOFF_MAX_MS / 2); /* random 0: the shortest */
    assert_true(next(1, now, &b)); /* nobody else waits for it */
    yes(&b, now);
    struct cosign_witness w;
    cosign_witness_state(core, 0, now, &w);
    assert_int_equal(w.failed, 12);
    assert_int_equal(w.cosigned, 0);
    /* one that refuses a log is still asked about another one */
    char note[CHECKPOINT_BYTES_MAX];
    size_t n = test_log_note(&log_a, 3, note);
    assert_true(next(2, now, &b));
    assert_int_equal(answer(&b, 404, "", 0, now), COSIGN_REFUSED);
    cosign_published(core, 1, 3, bytes_of(note, n), now);
    assert_true(next(2, now, &b));
    assert_int_equal(b.slot, 1);
}

static void a_witness_may_wish_to_be_left_alone(void **state)
{
    struct cosign_ask a;
    (void)state;
    publish(5, 10);
    assert_true(next(0, 10, &a));
    cosign_answered(core, &a, COSIGN_FAILED, NULL, 0, 5000, 0, WALL, 10);
    assert_false(next(0, 5009, &a));
    assert_true(next(0, 5010, &a));
    cosign_answered(core, &a, COSIGN_FAILED, NULL, 0, UINT64_MAX, 0, WALL, 6000);
    assert_false(next(0, 6000 + COSIGN_RETRY_AFTER_MAX_MS - 1, &a));
    assert_true(next(0, 6000 + COSIGN_RETRY_AFTER_MAX_MS, &a)); /* not for ever */
}

static void a_target_is_held_for_who_is_still_asked(void **state)
{
    struct cosign_ask a, b;
    (void)state;
    publish(5, 10);
    assert_true(next(0, 10, &a));
    yes(&a, 12);
    publish(6, 20);
    assert_true(next(1, 500, &b)); /* slow, but not too slow */
    assert_int_equal(b.size, 5);
    yes(&b, 900);
    assert_int_equal(slot(900).size, 5);
    /* nobody answers: after max_age_ms the newest is tried */
    assert_true(next(0, 901, &a));
    assert_int_equal(a.size, 6);
    publish(7, 902);
    assert_true(next(1, 1500, &b));
    assert_int_equal(b.size, 6);
    assert_true(next(2, 901 + 1000, &b));
    assert_int_equal(b.size, 7);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, done)
    const struct CMUnitTest tests[] = {
        TEST(a_quorum_gathers_on_one_checkpoint),
        TEST(too_old_is_not_served),
        TEST(it_asks_from_where_the_witness_stands),
        TEST(only_its_own_line_of_now_counts),
        TEST(failures_wait_longer_each_time),
        TEST(a_witness_may_wish_to_be_left_alone),
        TEST(a_target_is_held_for_who_is_still_asked),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
