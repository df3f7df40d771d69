/* fetch, export, diff and watch at a real hub: payments across slots, bounces, a pinned
 * account; and at a server that lies about it. */
#include "tests/integration/audit_io/world.h"

#include <stdio.h>
#include <unistd.h>

static struct world *w;
static struct liar liar;

static int setup(void **state)
{
    (void)state;
    w = malloc(sizeof(*w));
    assert_non_null(w);
    world_open(w);
    world_pay(w, 400);
    world_settle(w);
    assert_true(liar_open(&liar, w->hub.port));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    liar_close(&liar);
    world_close(w);
    free(w);
    return 0;
}

static void honest(void)
{
    pthread_mutex_lock(&liar.lock);
    liar.flip[0] = liar.shorten[0] = liar.checkpoint_path[0] = 0;
    liar.silent = false;
    liar.busy = 0;
    pthread_mutex_unlock(&liar.lock);
}

static void expect(int code, int want)
{
    if (code != want)
        fail_msg("exit %d, not %d\nout: %.2000s\nerr: %.2000s", code, want, w->out, w->err);
}

static void has(const char *text, const char *what)
{
    if (!strstr(text, what))
        fail_msg("no \"%s\" in:\n%.3000s", what, text);
}

static void a_hub_is_fetched_and_the_copy_verifies(void **state)
{
    (void)state;
    honest();
    expect(world_audit(w, "fetch http://127.0.0.1:%u copy --policy policy --json", w->hub.port),
           0);
    has(w->out, "\"state\":\"done\"");
    expect(world_audit(w, "verify copy --policy policy --report from-copy"), 0);
    expect(world_audit(w, "verify http://127.0.0.1:%u --policy policy --report from-url",
                       w->hub.port),
           0);
    expect(world_run(w, "cmp from-copy/report.json from-url/report.json"), 0);
    pthread_mutex_lock(&liar.lock);
    liar.asked = 0;
    pthread_mutex_unlock(&liar.lock);
    expect(world_audit(w, "fetch http://127.0.0.1:%u copy --policy policy", liar.port), 0);
    pthread_mutex_lock(&liar.lock);
    assert_int_equal(liar.asked, 16); /* checkpoints only */
    pthread_mutex_unlock(&liar.lock);
}

static void a_lying_server_is_found_out(void **state)
{
    static const char *const parts[] = {"/tile/0/", "/tile/entries/", "/envelopes/",
                                        "/checkpoint"};
    (void)state;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        honest();
        pthread_mutex_lock(&liar.lock);
        snprintf(liar.flip, sizeof(liar.flip), "%s", parts[i]);
        pthread_mutex_unlock(&liar.lock);
        expect(world_audit(w, "fetch http://127.0.0.1:%u lied-%zu --policy policy", liar.port,
                           i),
               1);
        honest();
        if (i < 3) {
            pthread_mutex_lock(&liar.lock);
            snprintf(liar.shorten, sizeof(liar.shorten), "%s", parts[i]);
            pthread_mutex_unlock(&liar.lock);
            expect(world_audit(w, "fetch http://127.0.0.1:%u cut-%zu --policy policy",
                               liar.port, i),
                   1);
        }
        expect(world_run(w, "! ls lied-%zu/log/*/checkpoint 2>/dev/null", i), 0);
        honest();
        expect(world_audit(w, "fetch http://127.0.0.1:%u lied-%zu --policy policy", liar.port,
                           i),
               0);
        expect(world_audit(w, "verify lied-%zu --policy policy", i), 0);
    }
}

static void a_busy_server_is_waited_for_and_a_silent_one_left(void **state)
{
    (void)state;
    honest();
    pthread_mutex_lock(&liar.lock);
    liar.busy = 2;
    pthread_mutex_unlock(&liar.lock);
    expect(world_audit(w, "fetch http://127.0.0.1:%u busy --slot 3 --policy policy",
                       liar.port),
           0);
    honest();
    pthread_mutex_lock(&liar.lock);
    liar.silent = true;
    pthread_mutex_unlock(&liar.lock);
    expect(world_audit(w, "fetch http://127.0.0.1:%u silent --slot 3 --policy policy",
                       liar.port),
           69);
    honest();
}

static void an_interrupted_fetch_goes_on(void **state)
{
    (void)state;
    honest();
    expect(world_run(w, "timeout --foreground --preserve-status -s INT 1 " STOA_AUDIT
                        " fetch http://127.0.0.1:%u slow --qps 30 --policy policy",
                     liar.port),
           2);
    has(w->out, "fetched ");
    has(w->err, "not finished");
    expect(world_run(w, "find slow/log -type f | sort > before; test -s before"), 0);
    expect(world_run(w, "find slow/log -type f -printf '%%p %%i\\n' | sort > before"), 0);
    expect(world_audit(w, "fetch http://127.0.0.1:%u slow --policy policy", liar.port), 0);
    /* What was there is the very file that was there. */
    expect(world_run(w, "find slow/log -type f -printf '%%p %%i\\n' | sort > after; "
                        "test -z \"$(comm -23 before after)\""),
           0);
    expect(world_audit(w, "verify slow --policy policy"), 0);
}

static void every_export_says_the_same(void **state)
{
    (void)state;
    honest();
    expect(world_audit(w, "fetch http://127.0.0.1:%u ex --policy policy", w->hub.port), 0);
    expect(world_audit(w, "verify ex --policy policy --report r-dir"), 0);
    expect(world_audit(w, "export ex -O jsonl --out e.jsonl --policy policy"), 0);
    expect(world_audit(w, "export ex -O sqlite --out e.db --policy policy"), 0);
    expect(world_audit(w, "export ex -O csv --out e.csv --policy policy"), 0);
    expect(world_audit(w, "export ex -O hledger --out e.journal --policy policy"), 0);
    expect(world_audit(w, "verify e.jsonl --policy policy --report r-jsonl"), 0);
    expect(world_audit(w, "verify e.db --policy policy --report r-sqlite"), 0);
    expect(world_run(w, "cmp r-dir/report.json r-jsonl/report.json && "
                        "cmp r-dir/report.json r-sqlite/report.json"),
           0);
    /* And again through an export of an export, and through standard input. */
    expect(world_audit(w, "export e.db -O jsonl --policy policy > again.jsonl"), 0);
    expect(world_run(w, "cmp e.jsonl again.jsonl"), 0);
    expect(world_run(w, "cat e.jsonl | " STOA_AUDIT " verify - --policy policy"), 0);
}

static void a_damaged_export_is_refused(void **state)
{
    static const struct {
        const char *how;
    } cases[] = {
        {"head -n -1 e.jsonl"},
        {"head -c 20000 e.jsonl"},
        {"sed '3d' e.jsonl"},
        {"sed '3p' e.jsonl"},
        {"sed '5s/\"hub_lamport\":\"/&1/' e.jsonl"},
        {"sed '5s/\"index\":[0-9]*/\"index\":-1/' e.jsonl"},
        {"sed '5s/\"index\":[0-9]*/\"index\":99999999999999999999/' e.jsonl"},
        {"sed 's/\"amount\":\"1/\"amount\":\"2/' e.jsonl"},
        {"sed '1s/\"verified\":true/\"verified\":true,\"verified\":true/' e.jsonl"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        expect(world_run(w, "%s > bad.jsonl && ! cmp -s bad.jsonl e.jsonl", cases[i].how), 0);
        int code = world_audit(w, "verify bad.jsonl --policy policy");
        if (code != 1 && code != 65)
            fail_msg("%s: exit %d\n%s%s", cases[i].how, code, w->out, w->err);
    }
    expect(world_audit(w, "export bad.jsonl -O csv --out bad.csv --policy policy"), 65);
    assert_int_not_equal(world_run(w, "ls bad.csv*"), 0);
}

/* hledger adds up the journal on its own; CSV summed by awk; both against the audit's sums. */
static void hledger_comes_to_the_same_balances(void **state)
{
    (void)state;
    if (world_run(w, "hledger --version") != 0) {
        print_message("hledger is not installed\n");
        skip();
    }
    expect(world_run(w, "hledger -f e.journal check"), 0);
    expect(world_run(w, "hledger -f e.journal bal -N --flat -O csv accounts equity in-flight |"
                        " tr -d '\"' | tail -n +2 | sed 's/ POINT//' | sort > by-hledger"),
           0);
    /* From the CSV: from loses, to gains, in integers. */
    expect(world_run(w, "tr -d '\\r' < e.csv | awk -F, 'NR > 1 { s[$7] -= $9; s[$8] += $9 } END {"
                        " for (a in s) if (s[a] != 0) { v = s[a] < 0 ? -s[a] : s[a];"
                        " printf \"%%s,%%s%%d.%%06d\\n\", a, s[a] < 0 ? \"-\" : \"\","
                        " int(v / 1000000), v %% 1000000 } }' | sort > by-csv"),
           0);
    expect(world_run(w, "test -s by-csv && diff by-hledger by-csv"), 0);
    /* And what the auditor's own rules come to. */
    expect(world_run(w, "awk -F, '/^accounts/ { s += $2 } END { printf \"%%d\\n\", s * 1000000 + 0.5 }'"
                        " by-hledger > sum-hledger; grep -o '\"balances\":\"[0-9]*\"'"
                        " r-dir/report.json | tr -dc '0-9\\n' | awk '{ s += $1 } END {"
                        " printf \"%%d\\n\", s }' > sum-audit; cat sum-hledger sum-audit; "
                        "test -s sum-audit && cmp sum-hledger sum-audit"),
           0);
}

/* A slot with some records, all in one bundle. */
static uint32_t small_slot(void)
{
    char note[2048];
    struct checkpoint c;
    for (uint32_t i = 0; i < w->k.hub.slots; i++) {
        size_t size = world_note(w, i, note, sizeof(note));
        assert_true(checkpoint_open(&c, note, size, &w->k.log[i]));
        if (c.size > 20 && c.size < TILE_HASHES)
            return i;
    }
    fail_msg("no slot is small");
    return 0;
}

static void copies_are_compared(void **state)
{
    char first[64];
    (void)state;
    honest();
    expect(world_audit(w, "fetch http://127.0.0.1:%u d --policy policy", w->hub.port), 0);
    expect(world_audit(w, "diff d http://127.0.0.1:%u --policy policy", w->hub.port), 0);
    has(w->out, "slot 0f  same");
    expect(world_audit(w, "export d -O jsonl --out d.jsonl --policy policy"), 0);
    expect(world_audit(w, "diff d d.jsonl --policy policy"), 0);
    world_pay(w, 30);
    world_settle(w);
    expect(world_audit(w, "diff d http://127.0.0.1:%u --policy policy", w->hub.port), 0);
    has(w->out, "prefix   second is ");
    uint32_t slot = small_slot();
    uint64_t size = world_fork_copy(w, "d", "forked", slot);
    expect(world_audit(w, "diff d forked --policy policy --evidence ev --slot %u", slot), 1);
    snprintf(first, sizeof(first), "index %u  first", (unsigned)size - 1);
    has(w->out, first);
    expect(world_run(w, "ls ev/fork-*-a.note ev/fork-*-b.note && ! cmp -s ev/*-a.note ev/*-b.note"),
           0);
    (void)world_audit(w, "evidence check ev/fork-*.evidence --policy policy");
    has(w->out, "proven");
    /* The same fork beside a hub that has gone on. */
    expect(world_audit(w, "diff http://127.0.0.1:%u forked --policy policy --json", w->hub.port),
           1);
    has(w->out, "\"state\":\"fork\"");
    /* Another signature, or none at all, is no fork. */
    expect(world_run(w, "sed -i '$ s/.$/A/' forked/log/%02x/checkpoint", slot), 0);
    expect(world_audit(w, "diff d forked --policy policy --slot %u", slot), 1);
    has(w->out, "not signed by a log of the policy");
    expect(world_run(w, "rm forked/log/%02x/checkpoint", slot), 0);
    expect(world_audit(w, "diff d forked --policy policy --slot %u", slot), 2);
}

#define WATCH(more)                                                                         \
    "watch http://127.0.0.1:%u --policy policy --state st --hooks hooks --once"              \
    " --prometheus st.prom " more

static void events(const char *want)
{
    expect(world_run(w, "cut -d'|' -f1 heard 2>/dev/null | tr '\\n' ' '; rm -f heard"), 0);
    if (strcmp(w->out, want) != 0)
        fail_msg("heard \"%s\", not \"%s\"", w->out, want);
}

static void a_watch_tells_of_forks_and_silence(void **state)
{
    struct checkpoint c;
    (void)state;
    honest();
    expect(world_run(w, "mkdir hooks && printf '#!/bin/sh\\necho \"$EVENT|$SUMMARY|$JSON_FILENAME\""
                        " >> %s/heard\\n' > hooks/tell && chmod +x hooks/tell &&"
                        " echo not run > hooks/README",
                     w->dir),
           0);
    expect(world_audit(w, WATCH(""), liar.port), 0);
    has(w->err, "16 logs");
    events("heartbeat ");
    expect(world_run(w, "grep -q 'stoa_audit_alarm{.*event=\"fork\"} 0' st.prom && "
                        "test $(grep -c '^stoa_audit_last_good_timestamp_seconds{' st.prom) = 16"),
           0);
    world_pay(w, 10);
    world_settle(w);
    expect(world_audit(w, WATCH(""), liar.port), 0);
    events("");
    /* Silence. */
    pthread_mutex_lock(&liar.lock);
    liar.silent = true;
    pthread_mutex_unlock(&liar.lock);
    expect(world_audit(w, WATCH("--max-silence 1h"), liar.port), 69);
    events("");
    expect(world_audit(w, WATCH("--max-silence 1s"), liar.port), 1);
    events("stale ");
    expect(world_audit(w, WATCH("--max-silence 1s"), liar.port), 1);
    events(""); /* told once */
    honest();
    expect(world_audit(w, WATCH(""), liar.port), 0);
    events("recovered ");
    /* A fork: another tree of the same size, signed by the hub's own key. */
    pthread_mutex_lock(&liar.lock);
    size_t size = world_note(w, 5, liar.checkpoint, sizeof(liar.checkpoint));
    assert_true(checkpoint_open(&c, liar.checkpoint, size, &w->k.log[5]));
    world_forge(w, 5, c.size, liar.checkpoint, sizeof(liar.checkpoint));
    snprintf(liar.checkpoint_path, sizeof(liar.checkpoint_path), "/log/05/checkpoint");
    pthread_mutex_unlock(&liar.lock);
    expect(world_audit(w, WATCH(""), liar.port), 1);
    expect(world_run(w, "cat \"$(tail -1 heard | cut -d'|' -f3)\""), 0);
    has(w->out, "\"event\":\"fork\"");
    has(w->out, "\"evidence\":\"evidence/fork-");
    expect(world_run(w, "test -s st/*/evidence/fork-*-a.note && test -s st/*/evidence/fork-*-b.note"),
           0);
    events("fork ");
    honest();
    expect(world_audit(w, WATCH(""), liar.port), 1); /* a fork does not go away */
    events("");
    expect(world_run(w, "grep -q 'event=\"fork\"} 1' st.prom"), 0);
}

static void a_watch_tells_of_what_an_audit_finds(void **state)
{
    (void)state;
    honest();
    pthread_mutex_lock(&liar.lock);
    snprintf(liar.flip, sizeof(liar.flip), "/envelopes/");
    pthread_mutex_unlock(&liar.lock);
    expect(world_audit(w, WATCH("--state st4"), liar.port), 1);
    expect(world_run(w, "cat \"$(head -1 heard | cut -d'|' -f3)\""), 0);
    has(w->out, "\"event\":\"finding\"");
    has(w->out, "\"id\":\"A2");
    expect(world_run(w, "rm heard"), 0);
    expect(world_audit(w, WATCH("--state st4"), liar.port), 1);
    events(""); /* told already, in another life */
    /* A checkpoint that does not verify comes and goes. */
    honest();
    expect(world_audit(w, WATCH("--state st5"), liar.port), 0);
    events("heartbeat ");
    pthread_mutex_lock(&liar.lock);
    snprintf(liar.flip, sizeof(liar.flip), "/03/checkpoint");
    pthread_mutex_unlock(&liar.lock);
    expect(world_audit(w, WATCH("--state st5"), liar.port), 1);
    events("finding ");
    expect(world_audit(w, WATCH("--state st5"), liar.port), 1);
    events("");
    honest();
    expect(world_audit(w, WATCH("--state st5"), liar.port), 0);
    events("");
}

/* The hub's own file has envelopes of the pinned account; an export of it does not. */
static void an_export_withholds_what_the_hub_withholds(void **state)
{
    (void)state;
    honest();
    world_settle(w);
    expect(world_run(w, "ls ../state/*.db | head -1"), 0);
    expect(world_audit(w, "export $(ls ../state/*.db | head -1) -O jsonl --out own.jsonl"
                          " --policy policy"),
           0);
    expect(world_audit(w, "export http://127.0.0.1:%u -O jsonl --out public.jsonl"
                          " --policy policy",
                       w->hub.port),
           0);
    expect(world_run(w, "cmp own.jsonl public.jsonl && grep -c '\"kind\":\"withheld\"' own.jsonl"),
           0);
    has(w->out, "2");
}

static void a_watch_ends_when_asked_to(void **state)
{
    (void)state;
    honest();
    expect(world_run(w, "timeout --foreground --preserve-status -s INT 2 " STOA_AUDIT
                        " watch http://127.0.0.1:%u --policy policy --state st2 --every 300ms",
                     liar.port),
           2);
    has(w->err, "heartbeat");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hub_is_fetched_and_the_copy_verifies),
        cmocka_unit_test(a_lying_server_is_found_out),
        cmocka_unit_test(a_busy_server_is_waited_for_and_a_silent_one_left),
        cmocka_unit_test(an_interrupted_fetch_goes_on),
        cmocka_unit_test(every_export_says_the_same),
        cmocka_unit_test(a_damaged_export_is_refused),
        cmocka_unit_test(hledger_comes_to_the_same_balances),
        cmocka_unit_test(copies_are_compared),
        cmocka_unit_test(a_watch_tells_of_forks_and_silence),
        cmocka_unit_test(a_watch_tells_of_what_an_audit_finds),
        cmocka_unit_test(an_export_withholds_what_the_hub_withholds),
        cmocka_unit_test(a_watch_ends_when_asked_to),
    };
    return cmocka_run_group_tests_name("audit_io", tests, setup, teardown);
}
