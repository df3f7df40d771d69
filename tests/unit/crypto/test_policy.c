/* crypto/policy.h: whom a reader trusts, and what a note shows under it. */
#include "crypto/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/crypto/support.h"

#define WITNESSES 3

struct world {
    struct policy *p;
    struct key *log, *w[WITNESSES];
    struct vkey log_key, w_key[WITNESSES];
    char log_text[VKEY_TEXT_MAX], w_text[WITNESSES][VKEY_TEXT_MAX];
    char note[8192];
    struct checkpoint c;
};

static struct key *key_of(uint8_t n)
{
    uint8_t seed[32];
    memset(seed, n, sizeof seed);
    struct key *k = key_from_seed(seed);
    assert_non_null(k);
    return k;
}

static void vkey_of(struct vkey *v, char *text, const char *name, enum note_alg alg,
                    const struct key *k)
{
    struct pubkey pub = key_public(k);
    assert_true(vkey_make(v, name, alg, &pub));
    assert_true(vkey_format(v, text, VKEY_TEXT_MAX) > 0);
}

static int begin(void **state)
{
    struct world *x = calloc(1, sizeof *x);
    x->p = malloc(sizeof *x->p);
    x->log = key_of(1);
    vkey_of(&x->log_key, x->log_text, "eu.example/00", NOTE_ED25519, x->log);
    for (unsigned i = 0; i < WITNESSES; i++) {
        char name[16];
        snprintf(name, sizeof name, "w%u.example", i);
        x->w[i] = key_of((uint8_t)(2 + i));
        vkey_of(&x->w_key[i], x->w_text[i], name, NOTE_COSIGNATURE, x->w[i]);
    }
    x->c = (struct checkpoint){.size = 7};
    snprintf(x->c.origin, sizeof x->c.origin, "eu.example/00");
    *state = x;
    return 0;
}

static int end(void **state)
{
    struct world *x = *state;
    key_free(x->log);
    for (unsigned i = 0; i < WITNESSES; i++)
        key_free(x->w[i]);
    free(x->p);
    free(x);
    return 0;
}

/* log, three witnesses, then `rest`. */
static bool parse(struct world *x, const char *rest, struct policy_problem *why)
{
    char text[4096];
    snprintf(text, sizeof text,
             "# ours\nlog %s https://eu.example/log/00\nwitness a %s\n\twitness  b %s "
             "http://b\nwitness c %s\n%s",
             x->log_text, x->w_text[0], x->w_text[1], x->w_text[2], rest);
    return policy_parse(x->p, text, strlen(text), why);
}

static void refused(struct world *x, const char *rest, unsigned line, const char *word)
{
    struct policy_problem why = {.line = 0};
    assert_false(parse(x, rest, &why));
    if (why.line != line || strstr(why.why, word) == NULL)
        fail_msg("line %u: %s", why.line, why.why);
}

/* A note of the log with cosignatures of `witnesses`. */
static size_t note_of(struct world *x, uint64_t witnesses)
{
    size_t n = checkpoint_sign(x->note, sizeof x->note, &x->c, &x->log_key, x->log);
    char text[512];
    size_t text_size = checkpoint_format(text, sizeof text, &x->c);
    assert_true(n > 0 && text_size > 0);
    for (unsigned i = 0; i < WITNESSES; i++)
        if (witnesses >> i & 1)
            n += note_cosign_line(x->note + n, sizeof x->note - n, text, text_size,
                                  1000 + i, &x->w_key[i], x->w[i]);
    return n;
}

static void reads_logs_witnesses_groups_and_urls(void **state)
{
    struct world *x = *state;
    assert_true(parse(x, "group g 2 a b c\nquorum g", NULL));
    assert_int_equal(x->p->log_count, 1);
    assert_string_equal(x->p->logs[0].url, "https://eu.example/log/00");
    assert_int_equal(x->p->witness_count, 3);
    assert_string_equal(x->p->witnesses[1].name, "b");
    assert_string_equal(x->p->witnesses[1].url, "http://b");
    assert_int_equal(x->p->groups[0].need, 2);
}

static void every_mistake_is_named_with_its_line(void **state)
{
    struct world *x = *state;
    char line[1024];
    refused(x, "", 0, "no quorum");
    refused(x, "quorum d\n", 6, "no witness or group");
    refused(x, "quorum a\nquorum a\n", 7, "second");
    refused(x, "quorum\n", 6, "quorum <name>");
    refused(x, "group g 4 a b c\nquorum g\n", 6, "number of members");
    refused(x, "group g 0 a b c\nquorum g\n", 6, "number of members");
    refused(x, "group g 01 a b c\nquorum g\n", 6, "number of members");
    refused(x, "group g some a b c\nquorum g\n", 6, "number of members");
    refused(x, "group g any a a\nquorum g\n", 6, "member of a group already");
    refused(x, "group g any a\ngroup h any a\nquorum g\n", 7, "member of a group already");
    refused(x, "group g any g\nquorum g\n", 6, "no witness or group");
    refused(x, "group a any b\nquorum a\n", 6, "taken by a witness");
    refused(x, "group g any b\ngroup g any c\nquorum a\n", 7, "taken by a group");
    refused(x, "group none any b\nquorum a\n", 6, "none");
    refused(x, "group g any\nquorum a\n", 6, "group <name>");
    refused(x, "Quorum a\n", 6, "a line begins with");
    refused(x, "quorum a\r\n", 6, "no witness or group");
    refused(x, "log nonsense\nquorum a\n", 6, "verifier key of a log");
    refused(x, "witness d nonsense\nquorum a\n", 6, "verifier key of a witness");
    snprintf(line, sizeof line, "log %s\nquorum a\n", x->log_text);
    refused(x, line, 6, "twice");
    snprintf(line, sizeof line, "log %s\nquorum a\n", x->w_text[0]);
    refused(x, line, 6, "verifier key of a log");
    snprintf(line, sizeof line, "witness d %s\nquorum a\n", x->log_text);
    refused(x, line, 6, "verifier key of a witness");
    snprintf(line, sizeof line, "witness d %s\nquorum a\n", x->w_text[2]);
    refused(x, line, 6, "another witness's");
    snprintf(line, sizeof line, "witness d\x1b[1m %s\nquorum a\n", x->w_text[2]);
    refused(x, line, 6, "plain text");
    struct policy_problem why;
    assert_false(policy_parse(x->p, "quorum none\n", 12, &why));
    assert_non_null(strstr(why.why, "no log line"));
}

static void quorum_counts_nested_groups(void **state)
{
    struct world *x = *state;
    assert_true(parse(x, "group g all a b\ngroup h any g c\nquorum h\n", NULL));
    static const bool want[8] = {false, false, false, true, true, true, true, true};
    for (uint64_t set = 0; set < 8; set++)
        assert_int_equal(policy_quorum(x->p, set), want[set]);
    assert_true(parse(x, "quorum b\n", NULL));
    for (uint64_t set = 0; set < 8; set++)
        assert_int_equal(policy_quorum(x->p, set), (set & 2) != 0);
    assert_true(parse(x, "quorum none\n", NULL));
    assert_true(policy_quorum(x->p, 0));
}

static void check_says_who_signed_and_whether_it_is_enough(void **state)
{
    struct world *x = *state;
    struct policy_verdict v;
    assert_true(parse(x, "group g 2 a b c\nquorum g\n", NULL));
    for (uint64_t set = 0; set < 8; set++) {
        size_t n = note_of(x, set);
        policy_check(x->p, x->note, n, &v);
        assert_int_equal(v.note, NOTE_OK);
        assert_true(v.witnesses == set && v.checkpoint.size == 7);
        assert_int_equal(v.quorum, __builtin_popcountll(set) >= 2);
        if (set & 4)
            assert_true(v.times[2] == 1002);
    }
}

static void witnesses_alone_vouch_for_nothing(void **state)
{
    struct world *x = *state;
    struct policy_verdict v;
    assert_true(parse(x, "group g 2 a b c\nquorum g\n", NULL));
    size_t n = note_of(x, 7);
    /* Cut the log's own line out: the cosignatures stay good. */
    char *sigs = strstr(x->note, "\n\n") + 2;
    char *second = strchr(sigs, '\n') + 1;
    size_t gone = (size_t)(second - sigs);
    memmove(sigs, second, n - (size_t)(second - x->note));
    policy_check(x->p, x->note, n - gone, &v);
    assert_int_equal(v.note, NOTE_UNKNOWN);
    assert_false(v.quorum);
}

static void a_flipped_bit_or_an_unknown_log_is_not_ok(void **state)
{
    struct world *x = *state;
    struct policy_verdict v;
    assert_true(parse(x, "quorum none\n", NULL));
    size_t n = note_of(x, 7);
    for (size_t i = 0; i < n; i++) {
        x->note[i] ^= 1;
        policy_check(x->p, x->note, n, &v);
        /* A changed name or id makes a line unknown; the rest then stands as it is. */
        if (v.note == NOTE_OK)
            assert_true(v.checkpoint.size == 7 && v.witnesses != 7);
        x->note[i] ^= 1;
    }
    x->c.size = 7;
    snprintf(x->c.origin, sizeof x->c.origin, "eu.example/01");
    vkey_of(&x->log_key, x->log_text, "eu.example/01", NOTE_ED25519, x->log);
    n = note_of(x, 0);
    policy_check(x->p, x->note, n, &v);
    assert_int_equal(v.note, NOTE_UNKNOWN);
    policy_check(x->p, "no note", 7, &v);
    assert_int_equal(v.note, NOTE_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_logs_witnesses_groups_and_urls, begin, end),
        cmocka_unit_test_setup_teardown(every_mistake_is_named_with_its_line, begin, end),
        cmocka_unit_test_setup_teardown(quorum_counts_nested_groups, begin, end),
        cmocka_unit_test_setup_teardown(check_says_who_signed_and_whether_it_is_enough,
                                        begin, end),
        cmocka_unit_test_setup_teardown(witnesses_alone_vouch_for_nothing, begin, end),
        cmocka_unit_test_setup_teardown(a_flipped_bit_or_an_unknown_log_is_not_ok, begin,
                                        end),
    };
    return cmocka_run_group_tests_name("policy", tests, start_crypto, NULL);
}
