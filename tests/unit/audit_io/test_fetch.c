/* Copying a log: whole, resumed, and from sources that lie, forget or fall silent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/audit/fetch.h"
#include "client/audit/fetch_tree.h"
#include "crypto/context.h"
#include "ledger/evidence.h"
#include "tests/unit/audit_io/logkit.h"

static struct policy policy;
static struct fetch_report report;
static char dir[64], why[AUDIT_WHY_MAX];
static struct logkit k;

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/stoa-fetch-XXXXXX");
    assert_non_null(mkdtemp(dir));
    return 0;
}

static int teardown_files(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

static int teardown(void **state)
{
    (void)state;
    logkit_free(&k);
    return teardown_files();
}

static int fetch(void)
{
    struct audit_files files = logkit_files(&k);
    const struct fetch_options o = {.policy = &policy, .jobs = 4};
    k.asked = k.asked_files = 0;
    enum err e = fetch_run(&files, dir, &o, &report, why);
    if (e != ERR_OK)
        fail_msg("%s: %s", err_word(e), why);
    return fetch_exit(&report);
}

static void make(uint64_t size)
{
    logkit_make(&k, "hub.test", 3, size, 1);
    logkit_policy(&policy, &k);
}

static bool is_there(const char *name)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

static void damage(const char *name, long at)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    int c = fgetc(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    assert_int_not_equal(fputc(c ^ 1, f), EOF);
    assert_int_equal(fclose(f), 0);
}

/* The directory is a source that has every record. */
static void directory_is_whole(void)
{
    struct audit_source *s;
    static struct audit_record records[AUDIT_READ_MAX];
    uint64_t at = 0;
    assert_int_equal(audit_source_open(&s, dir, NULL, why), ERR_OK);
    while (at < k.shown) {
        size_t count;
        void *hold;
        assert_int_equal(s->ops->read(s, k.slot, at, k.shown, records, AUDIT_READ_MAX, &count,
                                      &hold),
                         ERR_OK);
        assert_true(count > 0);
        for (size_t i = 0; i < count; i++, at++) {
            uint8_t leaf[LEAF_BYTES], envelope[256];
            size_t size = logkit_envelope(&k, at, envelope);
            logkit_leaf(&k, at, leaf);
            assert_memory_equal(records[i].leaf, leaf, LEAF_BYTES);
            assert_int_equal(records[i].r.envelope.size, size);
            assert_memory_equal(records[i].r.envelope.data, envelope, size);
        }
        s->ops->release(s, hold);
    }
    s->ops->close(s);
}

static void a_whole_log_is_copied_and_nothing_twice(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, 1, 255, 256, 257, 700, 65536, 65800};
    make(0);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        logkit_grow(&k, sizes[i], UINT64_MAX);
        if (fetch() != 0)
            fail_msg("size %d: %s", (int)sizes[i], report.why);
        assert_int_equal(report.done, sizes[i]);
        assert_int_equal(report.slots[0].state, FETCH_DONE);
        directory_is_whole();
        assert_int_equal(fetch(), 0);
        assert_int_equal(k.asked_files, 0);
        assert_int_equal(report.done, sizes[i]);
    }
    assert_false(is_there("log/03/tile/0/000.p"));
    assert_false(is_there("log/03/envelopes/000.p"));
    assert_false(is_there("seen/03.note"));
    assert_false(is_there("tmp"));
}

static void a_run_that_was_cut_short_goes_on(void **state)
{
    (void)state;
    make(3000);
    k.fail_after = 17;
    assert_int_equal(fetch(), 2);
    assert_true(report.done > 0 && report.done < 3000);
    assert_true(report.unreachable);
    assert_false(is_there("log/03/checkpoint"));
    uint64_t had = report.files;
    k.fail_after = -1;
    assert_int_equal(fetch(), 0);
    directory_is_whole();
    /* 12 tiles, 12 bundles, 12 of envelopes, the edge of level 1: each once, but for those
     * that were on their way when the source fell silent. */
    assert_true(had + report.files >= 37 && had + report.files <= 37 + 8);
}

static void a_source_that_never_answers_is_unreachable(void **state)
{
    (void)state;
    make(10);
    k.fail_after = 0;
    assert_int_equal(fetch(), 69);
    assert_false(is_there("log"));
}

static void damage_on_the_disk_is_mended(void **state)
{
    (void)state;
    make(600);
    assert_int_equal(fetch(), 0);
    damage("log/03/envelopes/001", 300);
    damage("log/03/tile/entries/000", 5000);
    damage("log/03/tile/0/001", 40);
    damage("log/03/tile/0/002.p/88", 40);
    assert_int_equal(fetch(), 0);
    assert_true(k.asked_files >= 4 && k.asked_files <= 5);
    directory_is_whole();
}

static void a_wrong_byte_is_refused_and_named(void **state)
{
    (void)state;
    static const char *const files[] = {
        "log/03/tile/0/000",     "log/03/tile/0/002.p/88",  "log/03/tile/1/000.p/2",
        "log/03/tile/entries/001", "log/03/tile/entries/002.p/88", "log/03/envelopes/000",
        "log/03/envelopes/002.p/88", "log/03/checkpoint"};
    make(600);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        snprintf(k.flip, sizeof(k.flip), "%s", files[i]);
        if (fetch() != 1)
            fail_msg("%s: exit %d, %s", files[i], fetch_exit(&report), report.why);
        assert_int_equal(report.slots[0].state, FETCH_REFUSED);
        assert_false(is_there("log/03/checkpoint"));
        assert_int_equal(teardown_files(), 0);
    }
    k.flip[0] = 0;
    assert_int_equal(fetch(), 0);
    directory_is_whole();
}

static void one_bad_answer_is_asked_for_again(void **state)
{
    (void)state;
    make(600);
    snprintf(k.flip, sizeof(k.flip), "log/03/envelopes/001");
    k.flips = 1;
    assert_int_equal(fetch(), 0);
    assert_int_equal(k.flips, 0);
}

static void a_full_file_serves_for_a_partial_one(void **state)
{
    (void)state;
    make(900);
    k.shown = 600;
    k.cut_partials = true;
    assert_int_equal(fetch(), 2); /* level 1 has no full tile yet, so its edge is not there */
    k.cut_partials = false;
    snprintf(k.gone, sizeof(k.gone), "log/03/envelopes/002.p/88");
    assert_int_equal(fetch(), 0);
    assert_true(is_there("log/03/envelopes/002.p/88"));
    directory_is_whole();
}

static void a_missing_file_leaves_the_copy_unfinished(void **state)
{
    (void)state;
    make(600);
    snprintf(k.gone, sizeof(k.gone), "log/03/envelopes/001");
    assert_int_equal(fetch(), 2);
    assert_int_equal(report.done, 344);
    assert_false(is_there("log/03/checkpoint"));
}

static void an_older_checkpoint_does_not_replace_a_newer(void **state)
{
    (void)state;
    make(600);
    assert_int_equal(fetch(), 0);
    k.shown = 300;
    assert_int_equal(fetch(), 2);
    assert_int_equal(report.slots[0].state, FETCH_BEHIND);
    assert_int_equal(report.slots[0].size, 600);
    k.shown = 600;
    assert_int_equal(fetch(), 0);
}

/* The file proves it by itself, to whoever has the log's key. */
static void evidence_is_kept(void)
{
    static uint8_t data[65536];
    char path[256];
    struct evidence_result result;
    const struct evidence_trust trust = {.logs = &k.vkey, .log_count = 1};
    snprintf(path, sizeof(path), "%s/%s", dir, report.slots[0].evidence);
    assert_non_null(strstr(path, ".evidence"));
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t size = fread(data, 1, sizeof(data), f);
    fclose(f);
    evidence_check(data, size, &trust, &result);
    if (result.verdict != EVIDENCE_PROVEN)
        fail_msg("%s: %s", path, result.why);
}

static void a_fork_is_told_and_both_notes_kept(void **state)
{
    (void)state;
    static const struct {
        uint64_t size, fork_at;
    } cases[] = {{600, 599}, {900, 300}, {900, 599}, {400, 100}, {65800, 0}, {512, 511}};
    make(600);
    assert_int_equal(fetch(), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        logkit_grow(&k, cases[i].size, cases[i].fork_at);
        if (fetch() != 1)
            fail_msg("case %zu: %s", i, report.why);
        assert_int_equal(report.slots[0].state, FETCH_FORK);
        evidence_is_kept();
    }
    logkit_grow(&k, 600, UINT64_MAX);
    (void)fetch();
    assert_int_equal(report.slots[0].before, 600); /* the first one still stands */
}

static void another_key_is_refused(void **state)
{
    (void)state;
    make(20);
    struct logkit other;
    logkit_make(&other, "other.test", 3, 20, 1);
    logkit_policy(&policy, &other);
    logkit_free(&other);
    assert_int_equal(fetch(), 1);
    assert_non_null(strstr(report.why, "not signed by a log of the policy"));
    assert_false(is_there("log"));
    assert_int_equal(k.asked_files, 0);
}

static _Bool cancel;
static void cancel_when_half(void *context, const struct audit_progress *p)
{
    (void)context;
    if (p->done > 0)
        __atomic_store_n(&cancel, true, __ATOMIC_RELAXED);
}

static void a_cancelled_run_says_how_far_it_came(void **state)
{
    (void)state;
    make(20000);
    struct audit_files files = logkit_files(&k);
    const struct fetch_options o = {
        .policy = &policy, .jobs = 1, .cancel = &cancel, .progress = cancel_when_half};
    cancel = false;
    assert_int_equal(fetch_run(&files, dir, &o, &report, why), ERR_OK);
    if (fetch_exit(&report) == 0) /* faster than the first report of progress */
        return;
    assert_int_equal(fetch_exit(&report), 2);
    assert_true(report.interrupted);
    assert_int_equal(report.total, 20000);
    assert_int_equal(report.errors, 0);
    assert_int_equal(fetch(), 0);
}

static enum err tile_of_kit(void *context, unsigned level, uint64_t n, unsigned width,
                            struct hash out[TILE_HASHES])
{
    struct audit_files files = logkit_files(context);
    char path[96], tile[64];
    struct buf b = {0};
    (void)tile_path(tile, sizeof(tile), (int)level, n, width);
    snprintf(path, sizeof(path), "log/03/%s", tile);
    TRY(files.get(context, path, &b, why));
    memcpy(out, b.data, b.size);
    buf_close(&b);
    return ERR_OK;
}

static void a_tree_gives_roots_and_paths_of_every_beginning(void **state)
{
    (void)state;
    static struct fetch_tree t;
    static const uint64_t sizes[] = {0, 1, 2, 3, 255, 256, 257, 511, 512, 1000, 1023};
    make(1023);
    t = (struct fetch_tree){
        .size = 1023, .root = logkit_root(&k, 1023), .tile = tile_of_kit, .context = &k};
    assert_int_equal(fetch_tree_open(&t), ERR_OK);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct hash root, want = logkit_root(&k, sizes[i]), path[MERKLE_PATH_MAX];
        size_t count;
        assert_int_equal(fetch_tree_root(&t, sizes[i], &root), ERR_OK);
        assert_memory_equal(root.b, want.b, HASH_BYTES);
        if (sizes[i] == 0)
            continue;
        assert_int_equal(fetch_tree_consistency(&t, sizes[i], path, &count), ERR_OK);
        assert_true(
            merkle_verify_consistency(sizes[i], 1023, path, count, &want, &t.root));
    }
    snprintf(k.flip, sizeof(k.flip), "log/03/tile/0/001");
    t.kept[0].known = false;
    struct hash root;
    assert_int_equal(fetch_tree_root(&t, 300, &root), ERR_CORRUPT);
    assert_int_equal(t.bad_tile, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_tree_gives_roots_and_paths_of_every_beginning),
        TEST(a_whole_log_is_copied_and_nothing_twice),
        TEST(a_run_that_was_cut_short_goes_on),
        TEST(a_source_that_never_answers_is_unreachable),
        TEST(damage_on_the_disk_is_mended),
        TEST(a_wrong_byte_is_refused_and_named),
        TEST(one_bad_answer_is_asked_for_again),
        TEST(a_full_file_serves_for_a_partial_one),
        TEST(a_missing_file_leaves_the_copy_unfinished),
        TEST(an_older_checkpoint_does_not_replace_a_newer),
        TEST(a_fork_is_told_and_both_notes_kept),
        TEST(another_key_is_refused),
        TEST(a_cancelled_run_says_how_far_it_came),
    };
    if (!crypto_start())
        return 1;
    return cmocka_run_group_tests_name("fetch", tests, NULL, NULL);
}
