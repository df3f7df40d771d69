/* crypto/tlog_proof.h */
#include "crypto/tlog_proof.h"

#include <string.h>

#include "tests/unit/crypto/support.h"

static const char note[] = "o\n3\nx\n\n\xe2\x80\x94 o AAAA\n";

static struct tlog_proof sample(size_t path)
{
    struct tlog_proof p = {.index = 5, .path_count = path, .extra = "YWJj", .extra_size = 4};
    for (size_t i = 0; i < path; i++)
        memset(p.path[i].b, (int)i + 1, HASH_BYTES);
    p.note = note;
    p.note_size = strlen(note);
    return p;
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    char text[TLOG_PROOF_BYTES_MAX];
    for (size_t path = 0; path <= MERKLE_PATH_MAX; path++) {
        struct tlog_proof p = sample(path), q;
        size_t n = tlog_proof_format(text, sizeof text, &p);
        assert_true(n == strlen(text) && n > 0);
        assert_true(tlog_proof_parse(&q, text, n));
        assert_true(q.index == 5 && q.path_count == path && q.extra_size == 4);
        assert_memory_equal(q.path, p.path, sizeof p.path);
        assert_int_equal(q.note_size, strlen(note));
        assert_memory_equal(q.note, note, strlen(note));
        for (size_t cap = 0; cap <= n && path < 3; cap++)
            assert_int_equal(tlog_proof_format(text, cap, &p), 0);
        assert_true(tlog_proof_format(text, n + 1, &p) == n);
    }
}

static void what_is_not_the_form_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "c2sp.org/tlog-proof@v2\nindex 1\n\nnote\n",
        "c2sp.org/tlog-proof@v1\n",
        "c2sp.org/tlog-proof@v1\nindex 1\n",
        "c2sp.org/tlog-proof@v1\nindex 1\n\n",
        "c2sp.org/tlog-proof@v1\nindex 01\n\nnote\n",
        "c2sp.org/tlog-proof@v1\nindex -1\n\nnote\n",
        "c2sp.org/tlog-proof@v1\nindex \n\nnote\n",
        "c2sp.org/tlog-proof@v1\nindex 9223372036854775808\n\nnote\n",
        "c2sp.org/tlog-proof@v1\nextra \nindex 1\n\nnote\n",
        "c2sp.org/tlog-proof@v1\nextra YWI\nindex 1\n\nnote\n",
        "c2sp.org/tlog-proof@v1\nindex 1\nextra YWI=\n\nnote\n",
        "c2sp.org/tlog-proof@v1\nindex 1\nAAAA\n\nnote\n",
        "c2sp.org/tlog-proof@v1\r\nindex 1\n\nnote\n",
    };
    struct tlog_proof p;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (tlog_proof_parse(&p, bad[i], strlen(bad[i])))
            fail_msg("accepted: %s", bad[i]);
    static const char good[] = "c2sp.org/tlog-proof@v1\nindex 1\n\nnote\n";
    assert_true(tlog_proof_parse(&p, good, strlen(good)));
    assert_null(p.extra);
}

static void holds_for_the_leaf_at_its_index_only(void **state)
{
    (void)state;
    struct hash leaf[2] = {hash_leaf("a", 1), hash_leaf("b", 1)};
    struct checkpoint c = {.size = 2, .root = hash_node(&leaf[0], &leaf[1])};
    struct tlog_proof p = {.index = 0, .path_count = 1, .path = {leaf[1]}};
    assert_true(tlog_proof_holds(&p, &c, &leaf[0]));
    assert_false(tlog_proof_holds(&p, &c, &leaf[1]));
    p.index = 1;
    assert_false(tlog_proof_holds(&p, &c, &leaf[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_is_not_the_form_is_refused),
        cmocka_unit_test(holds_for_the_leaf_at_its_index_only),
    };
    return cmocka_run_group_tests_name("tlog_proof", tests, start_crypto, NULL);
}
