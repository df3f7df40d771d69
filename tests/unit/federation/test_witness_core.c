/* What a witness reads and decides: requests to the letter, one status a case. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "federation/lines.h"
#include "federation/witness.h"
#include "tests/unit/federation/log.h"

static struct test_log log_a, log_b;

static int setup(void **state)
{
    (void)state;
    if (!crypto_start())
        return 1;
    test_log_make(&log_a, "log.example/a", 1);
    test_log_make(&log_b, "log.example/a", 2); /* same origin, another key and tree */
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    key_free(log_a.key);
    key_free(log_b.key);
    return 0;
}

static bool parses(const char *text, size_t size)
{
    struct witness_request q;
    char *exact = malloc(size ? size : 1); /* a sanitizer sees one byte too far */
    assert_non_null(exact);
    memcpy(exact, text, size);
    bool ok = witness_request_parse(&q, bytes_of(exact, size));
    free(exact);
    return ok;
}

static bool parses_text(const char *text)
{
    return parses(text, strlen(text));
}

#define HASH_LINE "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"

static void a_request_is_read_to_the_letter(void **state)
{
    (void)state;
    assert_true(parses_text("old 0\n\nx"));
    assert_true(parses_text("old 9223372036854775807\n" HASH_LINE HASH_LINE "\nnote\n"));
    static const char *const bad[] = {
        "", "\n", "old", "old \n\nx", "old 0", "old 0\n", "old 0\n\n", "old 0\nx",
        "Old 0\n\nx", "old  0\n\nx", "old 0 \n\nx", "old 00\n\nx", "old 01\n\nx",
        "old +1\n\nx", "old -1\n\nx", "old 1a\n\nx", "old 9223372036854775808\n\nx",
        "old 18446744073709551616\n\nx", "old 0\r\n\r\nx", "old 0\n" HASH_LINE "x",
        "old 0\nAAAA\n\nx", "old 0\n AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\nx",
        "old 0\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=\n\nx", /* trailing bits */
        "old 0\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n\nx"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (parses_text(bad[i]))
            fail_msg("taken: \"%s\"", bad[i]);
    assert_false(parses("old 0\n\0\n\nx", 10));
}

static void sixty_three_hashes_and_no_more(void **state)
{
    char text[8192] = "old 5\n";
    (void)state;
    for (int i = 0; i < 63; i++)
        strcat(text, HASH_LINE);
    size_t at = strlen(text);
    strcat(text, "\nnote\n");
    assert_true(parses_text(text));
    strcpy(text + at, HASH_LINE "\nnote\n");
    assert_false(parses_text(text));
}

static void what_is_written_is_what_is_read(void **state)
{
    struct hash path[MERKLE_PATH_MAX];
    struct witness_request q;
    char text[4096], origin[NOTE_NAME_MAX + 1];
    (void)state;
    size_t count = test_log_path(&log_a, 13, 37, path);
    assert_true(count > 3);
    size_t size = witness_request_write(text, sizeof(text), 13, path, count,
                                        bytes_of("log.example/a\nrest\n", 19));
    assert_true(size > 0);
    assert_true(witness_request_parse(&q, bytes_of(text, size)));
    assert_int_equal(q.old, 13);
    assert_int_equal(q.count, count);
    assert_memory_equal(q.path, path, count * HASH_BYTES);
    assert_int_equal(q.note.size, 19);
    assert_true(witness_request_origin(&q, origin));
    assert_string_equal(origin, "log.example/a");
    for (size_t cap = 0; cap <= size; cap++)
        assert_int_equal(witness_request_write(text, cap, 13, path, count,
                                               bytes_of("log.example/a\nrest\n", 19)),
                         0);
    assert_int_equal(witness_request_write(text, size + 1, 13, path, count,
                                           bytes_of("log.example/a\nrest\n", 19)),
                     size);
}

/* The status for a log's checkpoint at `size`, with a proof from `proof_from`. */
static unsigned judged(const struct test_log *l, size_t old, size_t proof_from, size_t size,
                       size_t at, bool *fork)
{
    struct witness_request q = {.old = old};
    struct witness_verdict v;
    struct witness_state s = {.size = at, .root = test_log_root(&log_a, at)};
    char note[CHECKPOINT_BYTES_MAX];
    struct hash path[MERKLE_PATH_MAX];
    size_t n = test_log_note(l, size, note);
    q.count = test_log_path(l, proof_from, size, path);
    memcpy(q.path, path, q.count * sizeof(path[0]));
    q.note = bytes_of(note, n);
    witness_judge(&v, &q, &l->vkey, &s);
    if (fork)
        *fork = v.fork;
    assert_true(v.is_signed);
    return v.status;
}

static void every_pair_of_sizes_has_its_status(void **state)
{
    (void)state;
    for (size_t at = 0; at < 20; at++)
        for (size_t old = 0; old < 20; old++)
            for (size_t size = 0; size < 20; size++) {
                bool fork;
                unsigned want = old > size ? 400 : old != at ? 409 : 200;
                assert_int_equal(judged(&log_a, old, old, size, at, &fork), want);
                assert_false(fork);
            }
}

static void another_tree_is_never_cosigned(void **state)
{
    (void)state;
    for (size_t at = 1; at < 20; at++)
        for (size_t size = at; size < 20; size++) {
            bool fork;
            assert_int_equal(judged(&log_b, at, at, size, at, &fork), 422);
            assert_int_equal(fork, size == at);
        }
    /* a wrong proof of the right tree, and none at all */
    assert_int_equal(judged(&log_a, 5, 6, 12, 5, NULL), 422);
    assert_int_equal(judged(&log_a, 5, 0, 12, 5, NULL), 422);
    assert_int_equal(judged(&log_a, 0, 5, 12, 0, NULL), 422);
    /* a fork is one whatever `old` says */
    bool fork;
    assert_int_equal(judged(&log_b, 3, 3, 9, 9, &fork), 409);
    assert_true(fork);
}

static void who_signed_comes_first(void **state)
{
    struct witness_request q = {.old = 99};
    struct witness_verdict v;
    struct witness_state never = witness_never();
    char note[CHECKPOINT_BYTES_MAX];
    (void)state;
    size_t n = test_log_note(&log_a, 5, note);
    q.note = bytes_of(note, n);
    witness_judge(&v, &q, NULL, &never);
    assert_int_equal(v.status, 404);
    witness_judge(&v, &q, &log_b.vkey, &never);
    assert_int_equal(v.status, 403);
    witness_judge(&v, &q, &log_a.vkey, &never);
    assert_int_equal(v.status, 400); /* old > size */
    q.note = bytes_of(note, n - 1);
    witness_judge(&v, &q, &log_a.vkey, &never);
    assert_int_equal(v.status, 400);
    /* a fourth line, signed */
    char text[512];
    struct hash root = test_log_root(&log_a, 5);
    char b64[64];
    base64_encode(b64, sizeof(b64), root.b, HASH_BYTES);
    int t = snprintf(text, sizeof(text), "log.example/a\n5\n%s\nextra\n", b64);
    n = note_sign(note, sizeof(note), text, (size_t)t, &log_a.vkey, log_a.key);
    q = (struct witness_request){.note = bytes_of(note, n)};
    witness_judge(&v, &q, &log_a.vkey, &never);
    assert_int_equal(v.status, 400);
    /* size 0 with a root of something */
    t = snprintf(text, sizeof(text), "log.example/a\n0\n%s\n", b64);
    n = note_sign(note, sizeof(note), text, (size_t)t, &log_a.vkey, log_a.key);
    q.note = bytes_of(note, n);
    witness_judge(&v, &q, &log_a.vkey, &never);
    assert_int_equal(v.status, 422);
}

static void a_line_is_found_among_others(void **state)
{
    struct vkey cosigner;
    struct pubkey pub = key_public(log_b.key);
    struct signed_line line;
    char note[CHECKPOINT_BYTES_MAX], lines[2048] = "", one[512], again[512];
    (void)state;
    assert_true(vkey_make(&cosigner, "w.example", NOTE_COSIGNATURE, &pub));
    size_t n = test_log_note(&log_a, 5, note);
    size_t text = (size_t)(strstr(note, "\n\n") - note) + 1;
    size_t size = note_cosign_line(one, sizeof(one), note, text, 1700000000, &cosigner,
                                   log_b.key);
    assert_true(size > 0);
    snprintf(lines, sizeof(lines), "%.*s\xe2\x80\x94 other AAAAAAAA\n%s", (int)(n - text - 1),
             note + text + 1, one);
    struct bytes t = bytes_of(note, text), l = bytes_of(lines, strlen(lines));
    assert_true(line_find(&line, t, l, &cosigner));
    assert_int_equal(line.time, 1700000000);
    assert_int_equal(line.text.size, size);
    assert_int_equal(line_write(again, sizeof(again), &cosigner, line.time, &line.sig), size);
    assert_string_equal(again, one);
    assert_true(line_find(&line, t, l, &log_a.vkey));
    assert_int_equal(line.time, 0);
    /* over another text, or without its LF, it is none */
    assert_false(line_find(&line, bytes_of(note, text - 1), l, &cosigner));
    assert_false(line_find(&line, t, bytes_of(lines, strlen(lines) - 1), &cosigner));
    assert_false(line_find(&line, t, bytes_of("", 0), &cosigner));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_read_to_the_letter),
        cmocka_unit_test(sixty_three_hashes_and_no_more),
        cmocka_unit_test(what_is_written_is_what_is_read),
        cmocka_unit_test(every_pair_of_sizes_has_its_status),
        cmocka_unit_test(another_tree_is_never_cosigned),
        cmocka_unit_test(who_signed_comes_first),
        cmocka_unit_test(a_line_is_found_among_others),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
