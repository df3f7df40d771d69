#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/context.h"
#include "crypto/key.h"
#include "crypto/sig.h"

static void start_may_be_called_again(void **state)
{
    (void)state;
    assert_true(crypto_start());
    assert_true(crypto_start());
}

/* Verdict over hex; a signature of another length is refused by its type. */
static bool verdict(const char *key, const char *sig, const char *message)
{
    struct pubkey k;
    struct signature s;
    if (strlen(sig) != 2 * SIG_BYTES)
        return false;
    hex_exact(k.b, PUBKEY_BYTES, key);
    hex_exact(s.b, SIG_BYTES, sig);
    size_t size;
    uint8_t *m = hex_bytes(message, &size);
    bool accepted = sig_verify_bare(&s, &k, m, size);
    free(m);
    return accepted;
}

static void the_rfc_signatures_verify(void **state)
{
    (void)state;
    FILE *f = own_vectors("ed25519-rfc8032.txt");
    struct record r;
    size_t cases = 0;
    for (; record_next(f, &r); cases++)
        assert_true(verdict(r.field[1], r.field[2], r.field[3]));
    fclose(f);
    assert_int_equal(cases, 5);
}

static void only_case_three_of_speccheck_is_accepted(void **state)
{
    (void)state;
    FILE *f = own_vectors("ed25519-speccheck.txt");
    struct record r;
    size_t cases = 0;
    for (; record_next(f, &r); cases++) {
        bool wanted = strcmp(r.field[1], "accepted") == 0;
        assert_int_equal(wanted, cases == 3);
        assert_int_equal(verdict(r.field[2], r.field[3], r.field[4]), wanted);
    }
    fclose(f);
    assert_int_equal(cases, 12);
}

static void published_speccheck_cases_have_the_same_verdicts(void **state)
{
    (void)state;
    json_t *cases = shared_json("ed25519-speccheck.json");
    if (cases == NULL)
        skip();
    assert_int_equal(json_array_size(cases), 12);
    size_t i;
    json_t *c;
    json_array_foreach(cases, i, c)
    {
        bool accepted = verdict(json_string_value(json_object_get(c, "pub_key")),
                                json_string_value(json_object_get(c, "signature")),
                                json_string_value(json_object_get(c, "message")));
        assert_int_equal(accepted, i == 3);
    }
    json_decref(cases);
}

static void published_wycheproof_cases_have_their_verdicts(void **state)
{
    (void)state;
    json_t *file = shared_json("ed25519-wycheproof.json");
    if (file == NULL)
        skip();
    size_t i;
    size_t j;
    size_t cases = 0;
    size_t valid = 0;
    json_t *group;
    json_t *test;
    json_array_foreach(json_object_get(file, "testGroups"), i, group)
    {
        json_t *key = json_object_get(group, "publicKey");
        json_array_foreach(json_object_get(group, "tests"), j, test)
        {
            const char *result = json_string_value(json_object_get(test, "result"));
            bool accepted = verdict(json_string_value(json_object_get(key, "pk")),
                                    json_string_value(json_object_get(test, "sig")),
                                    json_string_value(json_object_get(test, "msg")));
            assert_int_equal(accepted, strcmp(result, "valid") == 0);
            cases++;
            valid += accepted;
        }
    }
    json_decref(file);
    assert_int_equal(cases, 151);
    assert_int_equal(valid, 88);
}

/* One line "seed:public:signature:message". */
static void check_sign_line(char *line)
{
    char *rest = NULL;
    const char *seed_hex = strtok_r(line, ":\n", &rest);
    const char *key_hex = strtok_r(NULL, ":\n", &rest);
    const char *sig_hex = strtok_r(NULL, ":\n", &rest);
    const char *message_hex = strtok_r(NULL, ":\n", &rest);
    uint8_t seed[SEED_BYTES];
    hex_exact(seed, sizeof seed, seed_hex);
    size_t size;
    uint8_t *message = hex_bytes(message_hex != NULL ? message_hex : "-", &size);

    struct key *k = key_from_seed(seed);
    struct pubkey pub = key_public(k);
    struct pubkey wanted_pub;
    struct signature wanted;
    hex_exact(wanted_pub.b, PUBKEY_BYTES, key_hex);
    hex_exact(wanted.b, SIG_BYTES, sig_hex);
    struct signature sig = key_sign_bare(k, message, size);
    assert_true(pubkey_equal(&pub, &wanted_pub));
    assert_memory_equal(sig.b, wanted.b, SIG_BYTES);
    assert_true(sig_verify_bare(&sig, &pub, message, size));
    sig.b[size % SIG_BYTES] ^= 1;
    assert_false(sig_verify_bare(&sig, &pub, message, size));
    assert_true(sig_key_enrollable(&pub));
    key_free(k);
    free(message);
}

static void published_sign_vectors_are_reproduced(void **state)
{
    (void)state;
    char *path = shared_path("ed25519-sign-1024.txt.gz");
    if (path == NULL)
        skip();
    char command[4096 + 16];
    snprintf(command, sizeof command, "gzip -dc '%s'", path);
    free(path);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    static char line[LINE_BYTES_MAX];
    size_t cases = 0;
    for (; fgets(line, sizeof line, f) != NULL; cases++)
        check_sign_line(line);
    assert_int_equal(pclose(f), 0);
    assert_int_equal(cases, 1024);
}

static void a_signature_holds_for_its_context_key_and_message_only(void **state)
{
    (void)state;
    struct key *k = key_generate();
    struct key *other = key_generate();
    struct pubkey pub = key_public(k);
    struct pubkey stranger = key_public(other);
    struct signature sig = key_sign(k, CTX_ENTRY, "body", 4);
    assert_true(sig_verify(&sig, &pub, CTX_ENTRY, "body", 4));
    assert_false(sig_verify(&sig, &pub, CTX_DEVICE, "body", 4));
    assert_false(sig_verify(&sig, &pub, CTX_ENTRY, "bodY", 4));
    assert_false(sig_verify(&sig, &pub, CTX_ENTRY, "body", 3));
    assert_false(sig_verify(&sig, &stranger, CTX_ENTRY, "body", 4));
    assert_false(sig_verify_bare(&sig, &pub, "body", 4));
    key_free(k);
    key_free(other);
}

static void messages_of_any_length_up_to_the_limit_verify(void **state)
{
    (void)state;
    const size_t sizes[] = {0, 1, 2047, 2048, 2049, 65535, SIG_MESSAGE_BYTES_MAX};
    static uint8_t message[SIG_MESSAGE_BYTES_MAX + 1];
    random_bytes(message, sizeof message);
    struct key *k = key_generate();
    struct pubkey pub = key_public(k);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct signature sig = key_sign(k, CTX_HEAD, message, sizes[i]);
        assert_true(sig_verify(&sig, &pub, CTX_HEAD, message, sizes[i]));
        assert_false(
            sig_verify(&sig, &pub, CTX_HEAD, message, SIG_MESSAGE_BYTES_MAX + 1));
        sig.b[40] ^= 4;
        assert_false(sig_verify(&sig, &pub, CTX_HEAD, message, sizes[i]));
    }
    key_free(k);
}

static void a_good_signature_of_too_long_a_message_is_refused(void **state)
{
    (void)state;
    static char whole[sizeof CTX_HEAD + SIG_MESSAGE_BYTES_MAX + 1] = CTX_HEAD;
    struct key *k = key_generate();
    struct pubkey pub = key_public(k);
    struct signature sig = key_sign_bare(k, whole, sizeof whole);
    const char *message = whole + sizeof CTX_HEAD;
    assert_true(sig_verify_bare(&sig, &pub, whole, sizeof whole));
    assert_false(sig_verify(&sig, &pub, CTX_HEAD, message, SIG_MESSAGE_BYTES_MAX + 1));
    sig = key_sign_bare(k, whole, sizeof whole - 1);
    assert_true(sig_verify(&sig, &pub, CTX_HEAD, message, SIG_MESSAGE_BYTES_MAX));
    key_free(k);
}

static void small_order_points_cannot_be_enrolled(void **state)
{
    (void)state;
    static const char *const points[] = {
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    };
    for (size_t i = 0; i < COUNT_OF(points); i++) {
        struct pubkey key;
        hex_exact(key.b, PUBKEY_BYTES, points[i]);
        assert_false(sig_key_enrollable(&key));
    }
}

static void encodings_that_are_not_canonical_cannot_be_enrolled(void **state)
{
    (void)state;
    static const char *const points[] = {
        "0100000000000000000000000000000000000000000000000000000000000080", /* -0 */
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* y = p */
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* y = p + 1
                                                                             */
        "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* y = p + 3
                                                                             */
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "0200000000000000000000000000000000000000000000000000000000000000", /* off curve
                                                                             */
    };
    for (size_t i = 0; i < COUNT_OF(points); i++) {
        struct pubkey key;
        hex_exact(key.b, PUBKEY_BYTES, points[i]);
        assert_false(sig_key_enrollable(&key));
    }
}

/* A + (0, -1): y becomes p - y, x changes sign. The very points of CVE-2025-69277. */
static struct pubkey plus_order_two(const struct pubkey *a)
{
    struct pubkey sum = *a;
    uint8_t sign = a->b[31] & 0x80;
    sum.b[31] &= 0x7f;
    int borrow = 0;
    for (size_t i = 0; i < PUBKEY_BYTES; i++) {
        int p = i == 0 ? 0xed : i == 31 ? 0x7f : 0xff;
        int digit = p - sum.b[i] - borrow;
        borrow = digit < 0;
        sum.b[i] = (uint8_t)(digit + 256 * borrow);
    }
    sum.b[31] |= sign ^ 0x80;
    return sum;
}

static void mixed_order_points_cannot_be_enrolled(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 32; i++) {
        struct key *k = key_generate();
        struct pubkey pub = key_public(k);
        struct pubkey mixed = plus_order_two(&pub);
        struct pubkey back = plus_order_two(&mixed);
        assert_true(pubkey_equal(&pub, &back));
        assert_true(sig_key_enrollable(&pub));
        assert_false(sig_key_enrollable(&mixed));
        key_free(k);
    }
}

/* Cases 0 to 5 and 8 to 11 have keys of small or mixed order, or not canonical. */
static void published_keys_are_enrolled_or_not(void **state)
{
    (void)state;
    FILE *f = own_vectors("ed25519-speccheck.txt");
    struct record r;
    for (size_t i = 0; record_next(f, &r); i++) {
        struct pubkey key;
        hex_exact(key.b, PUBKEY_BYTES, r.field[2]);
        assert_int_equal(sig_key_enrollable(&key), i == 6 || i == 7);
    }
    fclose(f);
    struct pubkey honest; /* RFC 8032, TEST 3 */
    hex_exact(honest.b, PUBKEY_BYTES,
              "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025");
    struct pubkey mixed = plus_order_two(&honest);
    assert_true(sig_key_enrollable(&honest));
    assert_false(sig_key_enrollable(&mixed));
}

static void keys_are_ordered_by_their_bytes(void **state)
{
    (void)state;
    struct pubkey a = {{1, 2}};
    struct pubkey b = {{1, 3}};
    assert_true(pubkey_compare(&a, &b) < 0);
    assert_true(pubkey_compare(&b, &a) > 0);
    assert_int_equal(pubkey_compare(&a, &a), 0);
    assert_false(pubkey_equal(&a, &b));
}

int main(void)
{
    /* Until crypto_start has looked at the library, our own multiplication decides. */
    const struct CMUnitTest before[] = {
        cmocka_unit_test(small_order_points_cannot_be_enrolled),
        cmocka_unit_test(encodings_that_are_not_canonical_cannot_be_enrolled),
        cmocka_unit_test(published_keys_are_enrolled_or_not),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(start_may_be_called_again),
        cmocka_unit_test(the_rfc_signatures_verify),
        cmocka_unit_test(only_case_three_of_speccheck_is_accepted),
        cmocka_unit_test(published_speccheck_cases_have_the_same_verdicts),
        cmocka_unit_test(published_wycheproof_cases_have_their_verdicts),
        cmocka_unit_test(published_sign_vectors_are_reproduced),
        cmocka_unit_test(a_signature_holds_for_its_context_key_and_message_only),
        cmocka_unit_test(messages_of_any_length_up_to_the_limit_verify),
        cmocka_unit_test(a_good_signature_of_too_long_a_message_is_refused),
        cmocka_unit_test(small_order_points_cannot_be_enrolled),
        cmocka_unit_test(encodings_that_are_not_canonical_cannot_be_enrolled),
        cmocka_unit_test(mixed_order_points_cannot_be_enrolled),
        cmocka_unit_test(published_keys_are_enrolled_or_not),
        cmocka_unit_test(keys_are_ordered_by_their_bytes),
    };
    int failed = cmocka_run_group_tests_name("sig before the start", before, NULL, NULL);
    return failed + cmocka_run_group_tests_name("sig", tests, start_crypto, NULL);
}
