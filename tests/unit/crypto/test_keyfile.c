#include "support.h"

#include <string.h>

#include "crypto/keyfile.h"

static struct key *key;
static char sealed_text[KEYFILE_BYTES_MAX];
static char plain_text[KEYFILE_BYTES_MAX];

static int make_files(void **state)
{
    if (start_crypto(state) != 0)
        return -1;
    key = key_generate();
    return keyfile_encode(sealed_text, key, "device", "correct horse",
                          KEYFILE_COST_TEST) == KEYFILE_OK &&
                   keyfile_encode(plain_text, key, "log", NULL, KEYFILE_COST_TEST) ==
                       KEYFILE_OK
               ? 0
               : -1;
}

static int free_key(void **state)
{
    (void)state;
    key_free(key);
    return 0;
}

static bool same_key(const struct key *a)
{
    uint8_t x[SEED_BYTES];
    uint8_t y[SEED_BYTES];
    key_seed(a, x);
    key_seed(key, y);
    return memcmp(x, y, SEED_BYTES) == 0;
}

static enum keyfile_result decode(const char *text, const char *passphrase)
{
    struct key *k;
    char role[KEYFILE_ROLE_MAX];
    enum keyfile_result result = keyfile_decode(&k, role, text, strlen(text), passphrase);
    assert_int_equal(k != NULL, result == KEYFILE_OK);
    if (k != NULL)
        assert_true(same_key(k));
    key_free(k);
    return result;
}

static void a_key_comes_back_by_its_passphrase(void **state)
{
    (void)state;
    assert_int_equal(decode(sealed_text, "correct horse"), KEYFILE_OK);
    assert_int_equal(decode(sealed_text, "correct horsf"), KEYFILE_PASSPHRASE);
    assert_int_equal(decode(sealed_text, "correct horse "), KEYFILE_PASSPHRASE);
    assert_int_equal(decode(sealed_text, NULL), KEYFILE_NEEDED);
    assert_int_equal(decode(sealed_text, ""), KEYFILE_NEEDED);
    assert_null(strstr(sealed_text, "seed:"));
}

static void a_plain_file_needs_no_passphrase(void **state)
{
    (void)state;
    assert_int_equal(decode(plain_text, NULL), KEYFILE_OK);
    assert_int_equal(decode(plain_text, "not needed"), KEYFILE_OK);
}

static void role_and_public_key_can_be_read_without_the_passphrase(void **state)
{
    (void)state;
    struct pubkey wanted = key_public(key);
    struct pubkey pub;
    char role[KEYFILE_ROLE_MAX];
    bool encrypted;
    assert_int_equal(
        keyfile_peek(sealed_text, strlen(sealed_text), &pub, role, &encrypted),
        KEYFILE_OK);
    assert_true(pubkey_equal(&pub, &wanted) && encrypted);
    assert_string_equal(role, "device");
    assert_int_equal(keyfile_peek(plain_text, strlen(plain_text), &pub, role, &encrypted),
                     KEYFILE_OK);
    assert_true(pubkey_equal(&pub, &wanted) && !encrypted);
    assert_string_equal(role, "log");
}

static void a_flipped_byte_never_yields_a_key_from_a_sealed_file(void **state)
{
    (void)state;
    char text[KEYFILE_BYTES_MAX];
    size_t size = strlen(sealed_text);
    for (size_t i = 0; i < size; i++)
        for (int bit = 0; bit < 8; bit += 3) {
            memcpy(text, sealed_text, size + 1);
            text[i] = (char)(text[i] ^ 1 << bit);
            struct key *k;
            enum keyfile_result result =
                keyfile_decode(&k, NULL, text, size, "correct horse");
            assert_true(result == KEYFILE_MALFORMED || result == KEYFILE_PASSPHRASE ||
                        result == KEYFILE_LIMIT);
            assert_null(k);
        }
}

static void a_flipped_byte_never_yields_another_key_from_a_plain_file(void **state)
{
    (void)state;
    char text[KEYFILE_BYTES_MAX];
    size_t size = strlen(plain_text);
    for (size_t i = 0; i < size; i++)
        for (int bit = 0; bit < 8; bit++) {
            memcpy(text, plain_text, size + 1);
            text[i] = (char)(text[i] ^ 1 << bit);
            struct key *k;
            if (keyfile_decode(&k, NULL, text, size, NULL) == KEYFILE_OK)
                assert_true(same_key(k));
            key_free(k);
        }
}

static void a_file_that_is_cut_or_goes_on_is_malformed(void **state)
{
    (void)state;
    struct key *k;
    size_t size = strlen(sealed_text);
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(keyfile_decode(&k, NULL, sealed_text, cut, "correct horse"),
                         KEYFILE_MALFORMED);
    char text[KEYFILE_BYTES_MAX + 8];
    snprintf(text, sizeof text, "%s\n", sealed_text);
    assert_int_equal(decode(text, "correct horse"), KEYFILE_MALFORMED);
    snprintf(text, sizeof text, "%smore: 1\n", sealed_text);
    assert_int_equal(decode(text, "correct horse"), KEYFILE_MALFORMED);
}

/* The sealed file with other KDF words. */
static enum keyfile_result decode_kdf(const char *words)
{
    char text[KEYFILE_BYTES_MAX];
    const char *kdf = strstr(sealed_text, "kdf: ");
    const char *salt = strchr(strstr(kdf, "8388608"), ' ');
    snprintf(text, sizeof text, "%.*skdf: %s%s", (int)(kdf - sealed_text), sealed_text,
             words, salt);
    return decode(text, "correct horse");
}

static void a_file_that_asks_for_too_much_is_refused(void **state)
{
    (void)state;
    assert_int_equal(decode_kdf("argon2id 1 8388608"), KEYFILE_OK);
    assert_int_equal(decode_kdf("argon2id 11 8388608"), KEYFILE_LIMIT);
    assert_int_equal(decode_kdf("argon2id 1 1073741825"), KEYFILE_LIMIT);
    assert_int_equal(decode_kdf("argon2id 9223372036854775807 8388608"), KEYFILE_LIMIT);
    assert_int_equal(decode_kdf("argon2id 0 8388608"), KEYFILE_MALFORMED);
    assert_int_equal(decode_kdf("argon2id 1 8191"), KEYFILE_MALFORMED);
    assert_int_equal(decode_kdf("argon2id 01 8388608"), KEYFILE_MALFORMED);
    assert_int_equal(decode_kdf("argon2id 1 9223372036854775808"), KEYFILE_MALFORMED);
    assert_int_equal(decode_kdf("argon2id  1 8388608"), KEYFILE_MALFORMED);
    assert_int_equal(decode_kdf("argon2i 1 8388608"), KEYFILE_MALFORMED);
    assert_int_equal(decode_kdf("scrypt 1 8388608"), KEYFILE_MALFORMED);
    assert_int_equal(decode_kdf("none 1 8388608"), KEYFILE_MALFORMED);
    /* A cheaper derivation is another key, and the head is authenticated besides. */
    assert_int_equal(decode_kdf("argon2id 2 8388608"), KEYFILE_PASSPHRASE);
    assert_int_equal(decode_kdf("argon2id 1 8192"), KEYFILE_PASSPHRASE);
}

static void a_seed_that_is_not_the_public_key_s_is_malformed(void **state)
{
    (void)state;
    struct key *other = key_generate();
    char text[KEYFILE_BYTES_MAX];
    char others[KEYFILE_BYTES_MAX];
    assert_int_equal(keyfile_encode(others, other, "log", NULL, KEYFILE_COST_TEST),
                     KEYFILE_OK);
    const char *seed = strstr(plain_text, "seed: ");
    snprintf(text, sizeof text, "%.*s%s", (int)(seed - plain_text), plain_text,
             strstr(others, "seed: "));
    assert_int_equal(decode(text, NULL), KEYFILE_MALFORMED);
    key_free(other);
}

static void roles_and_passphrases_have_limits(void **state)
{
    (void)state;
    char text[KEYFILE_BYTES_MAX];
    static const char *const bad[] = {"",     "Device",           "a b",
                                      "a\nb", "sixteen-letters-", "x1"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(keyfile_encode(text, key, bad[i], NULL, KEYFILE_COST_TEST),
                         KEYFILE_MALFORMED);
        assert_string_equal(text, "");
    }
    static char passphrase[PASSPHRASE_BYTES_MAX + 2];
    memset(passphrase, 'p', PASSPHRASE_BYTES_MAX + 1);
    assert_int_equal(keyfile_encode(text, key, "root", passphrase, KEYFILE_COST_TEST),
                     KEYFILE_LIMIT);
    passphrase[PASSPHRASE_BYTES_MAX] = 0;
    assert_int_equal(keyfile_encode(text, key, "root", passphrase, KEYFILE_COST_TEST),
                     KEYFILE_OK);
    assert_int_equal(decode(text, passphrase), KEYFILE_OK);
    assert_int_equal(keyfile_encode(text, key, "root", "", KEYFILE_COST_TEST),
                     KEYFILE_NEEDED);
}

static void the_normal_cost_opens_too_and_fits_its_own_limits(void **state)
{
    (void)state;
    char text[KEYFILE_BYTES_MAX];
    assert_int_equal(keyfile_encode(text, key, "recovery", "p", KEYFILE_COST_NORMAL),
                     KEYFILE_OK);
    assert_non_null(strstr(text, "kdf: argon2id 3 67108864 "));
    assert_int_equal(decode(text, "p"), KEYFILE_OK);
}

static void every_result_has_a_sentence(void **state)
{
    (void)state;
    for (int r = KEYFILE_OK; r <= KEYFILE_MEMORY; r++)
        assert_string_not_equal(keyfile_result_text((enum keyfile_result)r),
                                "unknown result");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_comes_back_by_its_passphrase),
        cmocka_unit_test(a_plain_file_needs_no_passphrase),
        cmocka_unit_test(role_and_public_key_can_be_read_without_the_passphrase),
        cmocka_unit_test(a_flipped_byte_never_yields_a_key_from_a_sealed_file),
        cmocka_unit_test(a_flipped_byte_never_yields_another_key_from_a_plain_file),
        cmocka_unit_test(a_file_that_is_cut_or_goes_on_is_malformed),
        cmocka_unit_test(a_file_that_asks_for_too_much_is_refused),
        cmocka_unit_test(a_seed_that_is_not_the_public_key_s_is_malformed),
        cmocka_unit_test(roles_and_passphrases_have_limits),
        cmocka_unit_test(the_normal_cost_opens_too_and_fits_its_own_limits),
        cmocka_unit_test(every_result_has_a_sentence),
    };
    return cmocka_run_group_tests_name("keyfile", tests, make_files, free_key);
}
