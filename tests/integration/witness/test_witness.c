/* A hub as the witness of another's log, asked by hand: every row of the status table, races,
 * a fork that is refused and kept, restarts, limits, and what a hub needs to be a witness. */
#include "tests/integration/witness/kit.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "federation/lines.h"
#include "federation/witness.h"
#include "ledger/evidence.h"

#define RACERS 8
#define ASK "/witness/add-checkpoint"

static struct hubproc hub;
static struct kit_log one, two, unknown;
static struct vkey self;

static int setup(void **state)
{
    char policy[2048], path[512], a[VKEY_TEXT_MAX], b[VKEY_TEXT_MAX];
    (void)state;
    assert_true(crypto_start());
    kit_log_make(&one, "log.example/one", 1);
    kit_log_make(&two, "log.example/two", 2);
    kit_log_make(&unknown, "log.example/unknown", 3);
    assert_true(vkey_format(&one.vkey, a, sizeof(a)) && vkey_format(&two.vkey, b, sizeof(b)));
    snprintf(policy, sizeof(policy), "log %s\nlog %s\nquorum none\n", a, b);
    assert_true(hubproc_open(&hub, false));
    if (!hubproc_init(&hub))
        fail_msg("stoad init: %s", hub.why);
    kit_file(&hub, "logs", policy, path);
    hubproc_set(&hub, "witness.logs=%s", path);
    hubproc_set(&hub, "witness.requests_a_second=0");
    hub_start(&hub);
    self = kit_cosigner(&hub, "local");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hubproc_close(&hub);
    kit_log_free(&one);
    kit_log_free(&two);
    kit_log_free(&unknown);
    return 0;
}

static int ask(const struct kit_log *l, size_t old, size_t size)
{
    struct kit_answer a;
    kit_ask(hub.port, l, old, size, &a);
    return a.status;
}

static int post(const char *text)
{
    struct kit_answer a;
    kit_post(hub.port, ASK, text, strlen(text), &a);
    if (a.status == 429 || a.status == 503)
        assert_non_null(strstr(a.head, "retry-after: 1\r\n"));
    return a.status;
}

/* 409, with the size alone in the body and its own type. */
static void conflicts(const struct kit_log *l, size_t old, size_t size, const char *stands)
{
    struct kit_answer a;
    kit_ask(hub.port, l, old, size, &a);
    assert_int_equal(a.status, 409);
    assert_string_equal(a.body, stands);
    assert_non_null(strstr(a.head, "text/x.tlog.size\r\n"));
}

static void what_witnesses_of(const struct kit_log *l, char path[200])
{
    struct hash h = hash_sha256(l->vkey.name, strlen(l->vkey.name));
    char hex[2 * HASH_BYTES + 1];
    hex_encode(hex, h.b, HASH_BYTES);
    snprintf(path, 200, "/witness/%s/checkpoint", hex);
}

static void every_row_of_the_table(void **state)
{
    static char body[KIT_BODY_MAX];
    struct kit_answer a;
    struct signed_line line;
    struct kit_log fork;
    (void)state;
    /* 404 */
    assert_int_equal(ask(&unknown, 0, 5), 404);
    /* 403: unsigned, signed by another, signed wrongly */
    struct kit_log forged = unknown;
    forged.vkey = one.vkey;
    struct pubkey other = key_public(unknown.key);
    assert_true(vkey_make(&forged.vkey, one.vkey.name, NOTE_ED25519, &other));
    assert_int_equal(ask(&forged, 0, 5), 403);
    size_t n = kit_request(&one, 0, 5, body);
    body[n - 5] = body[n - 5] == 'A' ? 'B' : 'A';
    kit_post(hub.port, ASK, body, n, &a);
    assert_true(a.status == 403 || a.status == 400); /* 400: no base64 any more */
    n = kit_request(&one, 0, 5, body);
    body[n - 20] = body[n - 20] == 'A' ? 'B' : 'A';
    kit_post(hub.port, ASK, body, n, &a);
    assert_int_equal(a.status, 403);
    /* 400 */
    assert_int_equal(post(""), 400);
    assert_int_equal(post("old 0\n"), 400);
    assert_int_equal(post("old 01\n\nlog.example/one\n"), 400);
    assert_int_equal(post("old -1\n\nlog.example/one\n"), 400);
    assert_int_equal(post("old 0\nnothash\n\nlog.example/one\n"), 400);
    assert_int_equal(post("old 0\n\nlog.example/one\n5\n"), 400);
    assert_int_equal(ask(&one, 6, 5), 400);
    /* 409 before anything was cosigned */
    conflicts(&one, 3, 5, "0\n");
    /* 422: size 0 with another root, signed */
    char text[256], note[CHECKPOINT_BYTES_MAX], root[64];
    base64_encode(root, sizeof(root), one.leaves[0].b, HASH_BYTES);
    int t = snprintf(text, sizeof(text), "log.example/one\n0\n%s\n", root);
    assert_true(note_sign(note, sizeof(note), text, (size_t)t, &one.vkey, one.key) > 0);
    snprintf(body, sizeof(body), "old 0\n\n%s", note);
    assert_int_equal(post(body), 422);
    /* 422: a proof from 0 */
    kit_note(&one, 5, note);
    snprintf(body, sizeof(body), "old 0\n%s\n\n%s", root, note);
    assert_int_equal(post(body), 422);
    /* 200 */
    kit_ask(hub.port, &one, 0, 5, &a);
    assert_int_equal(a.status, 200);
    size_t size = kit_note(&one, 5, note);
    const char *end = strstr(note, "\n\n");
    assert_true(line_find(&line, bytes_of(note, (size_t)(end - note) + 1),
                          bytes_of(a.body, a.body_size), &self));
    assert_true(line.time > 0);
    (void)size;
    /* the same again, and on: 409, then 200 with an empty and a real proof */
    conflicts(&one, 0, 5, "5\n");
    assert_int_equal(ask(&one, 5, 5), 200);
    assert_int_equal(ask(&one, 5, 9), 200);
    conflicts(&one, 5, 9, "9\n");
    /* 422: a proof that leads elsewhere */
    kit_log_fork(&fork, &one, 3);
    assert_int_equal(ask(&fork, 9, 12), 422);
    /* 422: old = size, another root */
    assert_int_equal(ask(&fork, 9, 9), 422);
    assert_int_equal(ask(&one, 9, 12), 200);
    /* not POST */
    assert_int_equal(kit_get(hub.port, ASK, body, sizeof(body)), 404);
    kit_post(hub.port, "/witness/other", "x", 1, &a);
    assert_int_equal(a.status, 405);
    assert_true(kit_metric(hub.port, "witness_requests_total{result=\"cosigned\"}") >= 4);
    assert_true(kit_metric(hub.port, "witness_requests_total{result=\"conflict\"}") >= 3);
}

static void what_was_cosigned_is_shown_to_anyone(void **state)
{
    char path[200], page[8192];
    struct checkpoint c;
    struct note n;
    (void)state;
    what_witnesses_of(&one, path);
    assert_int_equal(kit_get(hub.port, path, page, sizeof(page)), 200);
    struct vkey keys[2] = {one.vkey, self};
    assert_int_equal(note_open(&n, page, strlen(page), keys, 2), NOTE_OK);
    assert_int_equal(n.verified, 3);
    assert_int_equal(n.signature_count, 2);
    assert_true(checkpoint_parse(&c, n.text, n.text_size));
    assert_int_equal(c.size, 12);
    what_witnesses_of(&two, path); /* configured, never cosigned */
    assert_int_equal(kit_get(hub.port, path, page, sizeof(page)), 404);
    what_witnesses_of(&unknown, path);
    assert_int_equal(kit_get(hub.port, path, page, sizeof(page)), 404);
    assert_int_equal(kit_get(hub.port, "/witness/00/checkpoint", page, sizeof(page)), 404);
}

/* One file of the folder proves, to who knows the log's key, a fork at this size. */
static void its_evidence_stands_alone(uint64_t size)
{
    static char text[1u << 16];
    struct evidence_trust trust = {.logs = &one.vkey, .log_count = 1};
    struct evidence_result r;
    char folder[512], path[800];
    struct dirent *entry;
    unsigned proven = 0;
    hubproc_path(&hub, "state/evidence", folder);
    DIR *d = opendir(folder);
    assert_non_null(d);
    while ((entry = readdir(d)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        FILE *f = fopen(path, "r");
        assert_non_null(f);
        size_t n = fread(text, 1, sizeof(text), f);
        fclose(f);
        evidence_check(text, n, &trust, &r);
        assert_int_equal(r.verdict, EVIDENCE_PROVEN);
        assert_int_equal(r.kind, EVIDENCE_FORK);
        proven += r.index == size;
    }
    closedir(d);
    assert_int_equal(proven, 1);
}

static void a_fork_is_refused_and_kept(void **state)
{
    struct kit_log fork;
    char path[512], sql[900];
    (void)state;
    kit_log_fork(&fork, &one, 4);
    double before = kit_metric(hub.port, "witness_forks_total");
    assert_int_equal(ask(&fork, 12, 12), 422);
    conflicts(&fork, 3, 12, "12\n"); /* whatever old says, it is one */
    assert_true(kit_metric(hub.port, "witness_forks_total") == before + 1);
    /* and it is on disk, both sides whole */
    hubproc_signal(&hub, SIGTERM);
    assert_int_equal(hubproc_wait(&hub, 10000), 0);
    hubproc_path(&hub, "state/witness.db", path);
    snprintf(sql, sizeof(sql),
             "sqlite3 '%s' \"SELECT count(*) FROM refused WHERE origin='log.example/one' AND "
             "size=12 AND fork=1 AND length(ours)>200 AND length(theirs)>150\" | grep -qx 1",
             path);
    assert_int_equal(system(sql), 0);
    its_evidence_stands_alone(12);
    hub_start(&hub);
}

static void a_restart_forgets_nothing(void **state)
{
    (void)state;
    conflicts(&one, 0, 13, "12\n");
    hubproc_kill(&hub);
    hub_start(&hub);
    conflicts(&one, 0, 13, "12\n");
    assert_int_equal(ask(&one, 12, 13), 200);
    hubproc_kill(&hub);
    hub_start(&hub);
    conflicts(&one, 12, 14, "13\n");
}

struct racer {
    pthread_t thread;
    const struct kit_log *log;
    size_t size;
    int status;
};

static void *race(void *context)
{
    struct racer *r = context;
    struct kit_answer a;
    kit_ask(hub.port, r->log, 0, r->size, &a);
    r->status = a.status;
    return NULL;
}

/* All say "old 0"; half of them are of a fork. One wins, and where it stands is its. */
static void racing_requests_have_one_winner(void **state)
{
    struct racer r[RACERS];
    struct kit_log fork;
    char path[200], page[8192];
    struct checkpoint c;
    unsigned won = 0, who = 0;
    (void)state;
    kit_log_fork(&fork, &two, 0);
    for (unsigned i = 0; i < RACERS; i++) {
        r[i] = (struct racer){.log = i % 2 ? &two : &fork, .size = 3 + i};
        assert_int_equal(pthread_create(&r[i].thread, NULL, race, &r[i]), 0);
    }
    for (unsigned i = 0; i < RACERS; i++) {
        pthread_join(r[i].thread, NULL);
        assert_true(r[i].status == 200 || r[i].status == 409);
        won += r[i].status == 200;
        who = r[i].status == 200 ? i : who;
    }
    assert_int_equal(won, 1);
    what_witnesses_of(&two, path);
    assert_int_equal(kit_get(hub.port, path, page, sizeof(page)), 200);
    assert_true(checkpoint_open(&c, page, strlen(page), &two.vkey));
    assert_int_equal(c.size, r[who].size);
}

static void too_long_is_told_before_it_is_read(void **state)
{
    struct kit_answer a;
    size_t size = WITNESS_BODY_MAX + 1;
    char *body = malloc(size);
    (void)state;
    assert_non_null(body);
    memset(body, 'x', size);
    kit_post(hub.port, ASK, body, size, &a);
    assert_int_equal(a.status, 413);
    kit_post(hub.port, ASK, body, size - 1, &a);
    assert_int_equal(a.status, 400);
    free(body);
}

static void one_address_may_ask_so_often(void **state)
{
    int limited = 0;
    (void)state;
    hubproc_kill(&hub);
    unsigned settings = hub.setting_count;
    hubproc_set(&hub, "witness.requests_a_second=1");
    hubproc_set(&hub, "witness.burst=5");
    hub_start(&hub);
    for (int i = 0; i < 10; i++)
        limited += post("x") == 429;
    assert_true(limited >= 4 && limited <= 5);
    hubproc_kill(&hub);
    hub.setting_count = settings;
    hub_start(&hub);
}

/* Says why it does not start. */
static void refuses(const char *word)
{
    static const char *const run[] = {"run", NULL};
    char err[2048];
    assert_int_equal(hubproc_run(&hub, run, err, sizeof(err)), 78);
    if (!strstr(err, word))
        fail_msg("no \"%s\" in: %s", word, err);
}

static void what_a_witness_needs(void **state)
{
    char path[512], away[512];
    (void)state;
    hubproc_kill(&hub);
    hubproc_path(&hub, "state/keys/cosigner.key", path);
    hubproc_path(&hub, "state/keys/away", away);
    assert_int_equal(rename(path, away), 0);
    refuses("stoactl key new cosigner");
    /* what the message says is what helps */
    char command[1200];
    snprintf(command, sizeof(command),
             STOA_STOACTL " key new cosigner '%s' --passphrase none --quiet >/dev/null", path);
    assert_int_equal(system(command), 0);
    hub_start(&hub);
    assert_int_equal(ask(&one, 13, 14), 200);
    hubproc_kill(&hub);
    assert_int_not_equal(system(command), 0); /* nothing is overwritten */
    assert_int_equal(rename(away, path), 0);
    kit_file(&hub, "logs", "log nonsense\nquorum none\n", path);
    refuses("line 1");
    assert_int_equal(unlink(path), 0);
    refuses("cannot read");
    /* Without witness.logs nothing is witnessed, and nothing is missing. */
    hubproc_set(&hub, "witness.logs=");
    hub_start(&hub);
    assert_int_equal(ask(&one, 0, 5), 404);
    struct hubproc ram;
    struct hubproc keep = hub;
    assert_true(hubproc_open(&ram, true));
    hubproc_set(&ram, "witness.logs=/nowhere");
    hub = ram;
    refuses("in memory");
    ram = hub;
    hub = keep;
    hubproc_close(&ram);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_of_the_table),
        cmocka_unit_test(what_was_cosigned_is_shown_to_anyone),
        cmocka_unit_test(a_fork_is_refused_and_kept),
        cmocka_unit_test(a_restart_forgets_nothing),
        cmocka_unit_test(racing_requests_have_one_winner),
        cmocka_unit_test(too_long_is_told_before_it_is_read),
        cmocka_unit_test(one_address_may_ask_so_often),
        cmocka_unit_test(what_a_witness_needs),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
