/* Two hubs that witness each other, a quorum of one each: what is served carries the other's
 * line; with the other gone it goes on, below quorum, and says and counts so; it comes back. */
#include "tests/integration/witness/kit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "federation/lines.h"
#include "tests/lib/clock.h"

#define SLOTS 4u
#define MAX_AGE_MS 1500u
#define LONG_MS 20000u

struct side {
    struct hubproc hub;
    const char *name;
    struct vkey witness; /* as a witness of the other */
    struct wirekit k;
    struct person p;
    uint64_t slot;
};
static struct side a = {.name = "a.example"}, b = {.name = "b.example"};

static void make(struct side *s)
{
    static const char *const init[] = {"init", "--quick-keys", "--slots", "4", NULL};
    char err[2048];
    assert_true(hubproc_open(&s->hub, false));
    hubproc_set(&s->hub, "hub.name=%s", s->name);
    s->hub.port = kit_free_port();
    hubproc_set(&s->hub, "listen.client=127.0.0.1:%u", (unsigned)s->hub.port);
    hubproc_set(&s->hub, "cosign.every_ms=50");
    hubproc_set(&s->hub, "cosign.max_age_ms=%u", MAX_AGE_MS);
    if (hubproc_run(&s->hub, init, err, sizeof(err)) != 0)
        fail_msg("stoad init: %s", err);
    s->witness = kit_cosigner(&s->hub, s->name);
}

/* `s` witnesses the other's logs, and asks the other. */
static void introduce(struct side *s, const struct side *other)
{
    char logs[4096] = "", policy[4096] = "", vkey[VKEY_TEXT_MAX], path[512];
    kit_logs_of(&other->hub, other->name, SLOTS, logs, sizeof(logs));
    snprintf(logs + strlen(logs), sizeof(logs) - strlen(logs), "quorum none\n");
    kit_file(&s->hub, "logs", logs, path);
    hubproc_set(&s->hub, "witness.logs=%s", path);
    assert_true(vkey_format(&other->witness, vkey, sizeof(vkey)) > 0);
    kit_logs_of(&s->hub, s->name, SLOTS, policy, sizeof(policy));
    snprintf(policy + strlen(policy), sizeof(policy) - strlen(policy),
             "witness other %s http://127.0.0.1:%u/witness\nquorum other\n", vkey,
             (unsigned)other->hub.port);
    kit_file(&s->hub, "policy", policy, path);
    hubproc_set(&s->hub, "cosign.policy=%s", path);
}

static int setup(void **state)
{
    (void)state;
    assert_true(crypto_start());
    make(&a);
    make(&b);
    introduce(&a, &b);
    introduce(&b, &a);
    hub_start(&a.hub);
    hub_start(&b.hub);
    assert_true(wirekit_open(&a.k, a.hub.port, NULL));
    hub_trust(&a.hub, &a.k);
    open_account(&a.k, &a.p, 1);
    a.slot = slot_of(&a.p.account, SLOTS);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    person_free(&a.p);
    wirekit_close(&a.k);
    hubproc_close(&a.hub);
    hubproc_close(&b.hub);
    return 0;
}

static void write_one(void)
{
    struct wire_result r;
    person_note(&a.p, 10);
    assert_true(wirekit_submit_one(&a.k, person_bytes(&a.p), &r));
    assert_int_equal(r.code, 0);
}

/* What a's log serves: its size, and is b's line on it? */
static bool served(uint64_t slot, struct checkpoint *c)
{
    static char note[COSIGNED_BYTES_MAX];
    char path[64];
    struct note n;
    struct vkey keys[2] = {a.k.log[slot], b.witness};
    snprintf(path, sizeof(path), "/log/%02x/checkpoint", (unsigned)slot);
    assert_int_equal(kit_get(a.hub.port, path, note, sizeof(note)), 200);
    assert_int_equal(note_open(&n, note, strlen(note), keys, 2), NOTE_OK);
    assert_true(n.verified & 1);
    assert_true(checkpoint_parse(c, n.text, n.text_size));
    return n.verified == 3;
}

/* Waits until the newest checkpoint of a's slot is served with, or without, b's line. */
static void wait_served(bool with, uint64_t size)
{
    struct checkpoint c;
    uint64_t end = mono_ms() + LONG_MS;
    for (;;) {
        if (served(a.slot, &c) == with && c.size >= size)
            return;
        if (mono_ms() > end)
            fail_msg("%s line of the witness: size %llu served, %llu wanted",
                     with ? "no" : "still a", (unsigned long long)c.size,
                     (unsigned long long)size);
        kit_nap(20);
    }
}

static void wait_metric(const char *line, double value)
{
    uint64_t end = mono_ms() + LONG_MS;
    while (kit_metric(a.hub.port, line) != value) {
        if (mono_ms() > end)
            fail_msg("%s is %g, not %g", line, kit_metric(a.hub.port, line), value);
        kit_nap(50);
    }
}

static bool cosigned(uint64_t slot, uint64_t *size)
{
    struct checkpoint c;
    assert_true(wirekit_send(
        &a.k, &(struct wire_frame){.type = WIRE_COSIGNED, .rid = 7, .slot = slot}));
    assert_true(wirekit_receive(&a.k, WAIT_MS));
    if (a.k.f.type == WIRE_ERROR) {
        assert_int_equal(a.k.f.code, ERR_NOT_FOUND);
        return false;
    }
    assert_int_equal(a.k.f.type, WIRE_CHECKPOINT_IS);
    struct note n;
    struct vkey keys[2] = {a.k.log[slot], b.witness};
    assert_int_equal(note_open(&n, (const char *)a.k.f.note.data, a.k.f.note.size, keys, 2),
                     NOTE_OK);
    assert_int_equal(n.verified, 3);
    assert_true(checkpoint_parse(&c, n.text, n.text_size));
    *size = c.size;
    return true;
}

static void the_other_s_line_is_on_what_is_served(void **state)
{
    uint64_t size = 0;
    (void)state;
    for (int i = 0; i < 20; i++)
        write_one();
    wait_served(true, 22);
    assert_true(cosigned(a.slot, &size));
    assert_true(size >= 22);
    wait_metric("cosign_quorum_met", 1);
    wait_metric("cosign_logs_below_quorum", 0);
    assert_true(kit_metric(a.hub.port, "cosign_received_total{witness=\"other\"}") >= SLOTS);
    assert_true(kit_metric(a.hub.port, "cosign_last_timestamp_seconds{witness=\"other\"}") >
                1e9);
    /* b holds the same of a, and shows it */
    char path[200], page[8192], hex[2 * HASH_BYTES + 1];
    struct checkpoint c;
    struct hash h = hash_sha256(a.k.log[a.slot].name, strlen(a.k.log[a.slot].name));
    hex_encode(hex, h.b, HASH_BYTES);
    snprintf(path, sizeof(path), "/witness/%s/checkpoint", hex);
    assert_int_equal(kit_get(b.hub.port, path, page, sizeof(page)), 200);
    assert_true(checkpoint_open(&c, page, strlen(page), &a.k.log[a.slot]));
    assert_true(c.size >= size);
    /* a slot that does not exist */
    assert_true(wirekit_send(
        &a.k, &(struct wire_frame){.type = WIRE_COSIGNED, .rid = 8, .slot = SLOTS}));
    assert_true(wirekit_expect(&a.k, WIRE_ERROR, WAIT_MS));
    assert_int_equal(a.k.f.code, ERR_RANGE);
}

/* 0: all is well; 1: below quorum. */
static int witness_status(const char *word)
{
    char command[1024];
    snprintf(command, sizeof(command),
             STOA_STOACTL " witness status http://127.0.0.1:%u > %s/out; e=$?;"
                          " grep -q '%s' %s/out || e=99; exit $e",
             (unsigned)a.hub.port, a.hub.dir, word, a.hub.dir);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void an_operator_sees_both_sides(void **state)
{
    (void)state;
    assert_int_equal(witness_status("witness.vkey .*a.example/witness+"), 0);
    assert_int_equal(witness_status("witness.logs.0 .*origin=b.example/00"), 0);
    assert_int_equal(witness_status("cosign.witnesses.0 .*name=other asked=true"), 0);
    assert_int_equal(witness_status("cosign.quorum_met .*true"), 0);
}

static void alone_it_serves_below_quorum_and_counts(void **state)
{
    uint64_t size = 0, now = 0;
    struct checkpoint c;
    (void)state;
    hubproc_kill(&b.hub);
    assert_true(cosigned(a.slot, &size));
    uint64_t began = mono_ms();
    write_one();
    /* Not too old yet: the one with a quorum is served. */
    bool with = served(a.slot, &c);
    if (mono_ms() - began < MAX_AGE_MS / 2)
        assert_true(with && c.size == size);
    wait_served(false, size + 1);
    assert_true(mono_ms() - began >= MAX_AGE_MS / 2);
    assert_true(cosigned(a.slot, &now));
    assert_int_equal(now, size); /* who wants a quorum gets the older one */
    wait_metric("cosign_quorum_met", 0);
    wait_metric("cosign_logs_below_quorum", 1);
    assert_true(kit_metric(a.hub.port, "cosign_failures_total{witness=\"other\"}") >= 1);
    assert_int_equal(witness_status("cosign.quorum_met .*false"), 1);
    for (int i = 0; i < 5; i++)
        write_one(); /* commits do not care */
    wait_served(false, size + 6);
    assert_int_equal(kit_get(a.hub.port, "/readyz/write", (char[64]){0}, 64), 200);
}

static void it_comes_back(void **state)
{
    struct checkpoint c;
    (void)state;
    (void)served(a.slot, &c);
    hub_start(&b.hub);
    wait_served(true, c.size);
    wait_metric("cosign_quorum_met", 1);
    write_one();
    wait_served(true, c.size + 1);
}

static void after_a_restart_it_asks_from_where_the_witness_stands(void **state)
{
    struct checkpoint c;
    (void)state;
    (void)served(a.slot, &c);
    wirekit_close(&a.k);
    hubproc_signal(&a.hub, SIGTERM);
    assert_int_equal(hubproc_wait(&a.hub, 10000), 0);
    hub_start(&a.hub);
    assert_true(wirekit_open(&a.k, a.hub.port, NULL));
    hub_trust(&a.hub, &a.k);
    wait_served(true, c.size);
    write_one();
    wait_served(true, c.size + 1);
    wait_metric("cosign_quorum_met", 1);
}

static void a_quorum_that_cannot_be_is_refused(void **state)
{
    static const char *const run[] = {"run", NULL};
    char policy[4096] = "", vkey[VKEY_TEXT_MAX], path[512], err[2048];
    (void)state;
    hubproc_kill(&a.hub);
    assert_true(vkey_format(&b.witness, vkey, sizeof(vkey)) > 0);
    kit_logs_of(&a.hub, a.name, SLOTS, policy, sizeof(policy));
    size_t logs = strlen(policy);
    snprintf(policy + logs, sizeof(policy) - logs, "witness other %s\nquorum other\n", vkey);
    kit_file(&a.hub, "policy", policy, path);
    assert_int_equal(hubproc_run(&a.hub, run, err, sizeof(err)), 78);
    assert_non_null(strstr(err, "cannot make the quorum")); /* it has no URL */
    memset(policy, 0, sizeof(policy));
    kit_logs_of(&b.hub, b.name, SLOTS, policy, sizeof(policy));
    logs = strlen(policy);
    snprintf(policy + logs, sizeof(policy) - logs, "quorum none\n");
    kit_file(&a.hub, "policy", policy, path);
    assert_int_equal(hubproc_run(&a.hub, run, err, sizeof(err)), 78);
    assert_non_null(strstr(err, "a.example/00"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_other_s_line_is_on_what_is_served),
        cmocka_unit_test(an_operator_sees_both_sides),
        cmocka_unit_test(alone_it_serves_below_quorum_and_counts),
        cmocka_unit_test(it_comes_back),
        cmocka_unit_test(after_a_restart_it_asks_from_where_the_witness_stands),
        cmocka_unit_test(a_quorum_that_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
