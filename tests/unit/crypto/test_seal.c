#include "support.h"

#include <string.h>

#include "crypto/context.h"
#include "crypto/seal.h"

static uint8_t cipher[SEAL_CIPHER_MAX + 1];
static uint8_t plain[SEAL_PLAIN_MAX];
static uint8_t salt[SEAL_SALT_BYTES];

static void every_recipient_opens_and_others_do_not(void **state)
{
    (void)state;
    struct key *keys[6];
    struct pubkey pubs[5];
    for (size_t i = 0; i < 6; i++)
        keys[i] = key_generate();
    for (size_t i = 0; i < 5; i++)
        pubs[i] = key_public(keys[i]);
    for (size_t count = 1; count <= 5; count++) {
        size_t size;
        assert_true(
            seal_make(cipher, sizeof cipher, &size, salt, "for five", 8, pubs, count));
        for (size_t i = 0; i < 6; i++) {
            size_t plain_size = 99;
            memset(plain, 0xee, 16);
            bool opened = seal_open(plain, &plain_size, cipher, size, keys[i]);
            assert_int_equal(opened, i < count);
            assert_int_equal(plain_size, opened ? 8 : 99);
            assert_memory_equal(
                plain, opened ? "for five" : "\xee\xee\xee\xee\xee\xee\xee\xee", 8);
        }
    }
    for (size_t i = 0; i < 6; i++)
        key_free(keys[i]);
}

static void sizes_come_in_buckets(void **state)
{
    (void)state;
    const size_t head = 14 + 1 + 88 + 24 + 16;
    assert_int_equal(seal_size(0, 1), head + 256);
    assert_int_equal(seal_size(252, 1), head + 256);
    assert_int_equal(seal_size(253, 1), head + 1024);
    assert_int_equal(seal_size(1020, 1), head + 1024);
    assert_int_equal(seal_size(1021, 1), head + 4096);
    assert_int_equal(seal_size(4093, 1), head + 16384);
    assert_int_equal(seal_size(16381, 1), SEAL_CIPHER_MAX);
    assert_int_equal(seal_size(SEAL_PLAIN_MAX, 1), SEAL_CIPHER_MAX);
    assert_int_equal(seal_size(SEAL_PLAIN_MAX, 64), SEAL_CIPHER_MAX);
    assert_int_equal(seal_size(0, 3), head + 2 * 88 + 256);
    assert_int_equal(seal_size(SEAL_PLAIN_MAX + 1, 1), 0);
    assert_int_equal(seal_size(1, 0), 0);
    assert_int_equal(seal_size(1, 65), 0);
}

static void plain_texts_of_every_bucket_come_back(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,    1,     252,   253,           1020,
                                   1021, 16380, 16381, SEAL_PLAIN_MAX};
    static uint8_t data[SEAL_PLAIN_MAX];
    random_bytes(data, sizeof data);
    struct key *k = key_generate();
    struct pubkey pub = key_public(k);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        size_t size;
        size_t back;
        assert_true(
            seal_make(cipher, sizeof cipher, &size, salt, data, sizes[i], &pub, 1));
        assert_int_equal(size, seal_size(sizes[i], 1));
        assert_true(seal_open(plain, &back, cipher, size, k));
        assert_int_equal(back, sizes[i]);
        assert_memory_equal(plain, data, back);
    }
    key_free(k);
}

static void any_flipped_byte_is_refused(void **state)
{
    (void)state;
    struct key *a = key_generate();
    struct key *b = key_generate();
    const struct pubkey pubs[] = {key_public(a), key_public(b)};
    size_t size;
    size_t back;
    assert_true(seal_make(cipher, sizeof cipher, &size, salt, "secret", 6, pubs, 2));
    struct hash commitment = seal_commitment(salt, cipher, size);
    for (size_t i = 0; i < size; i++) {
        cipher[i] ^= 0x10;
        assert_false(seal_open(plain, &back, cipher, size, a));
        assert_false(seal_open(plain, &back, cipher, size, b));
        struct hash changed = seal_commitment(salt, cipher, size);
        assert_false(hash_equal(&changed, &commitment));
        cipher[i] ^= 0x10;
    }
    for (size_t cut = 0; cut <= size + 1; cut++)
        assert_int_equal(seal_open(plain, &back, cipher, cut, a), cut == size);
    key_free(a);
    key_free(b);
}

static void limits_and_unusable_recipients_are_refused(void **state)
{
    (void)state;
    struct key *k = key_generate();
    static struct pubkey pubs[SEAL_RECIPIENTS_MAX + 1];
    for (size_t i = 0; i < COUNT_OF(pubs); i++)
        pubs[i] = key_public(k);
    size_t size;
    size_t cap = seal_size(5, 1);
    assert_false(seal_make(cipher, cap - 1, &size, salt, "hello", 5, pubs, 1));
    assert_true(seal_make(cipher, cap, &size, salt, "hello", 5, pubs, 1));
    assert_false(seal_make(cipher, sizeof cipher, &size, salt, "hello", 5, pubs, 0));
    assert_false(seal_make(cipher, sizeof cipher, &size, salt, "hello", 5, pubs, 65));
    assert_true(seal_make(cipher, sizeof cipher, &size, salt, "hello", 5, pubs, 64));
    size_t back;
    assert_true(seal_open(plain, &back, cipher, size, k));
    assert_false(seal_make(cipher, sizeof cipher, &size, salt, plain, SEAL_PLAIN_MAX + 1,
                           pubs, 1));
    pubs[1] = (struct pubkey){{1}}; /* the identity */
    assert_false(seal_make(cipher, sizeof cipher, &size, salt, "hello", 5, pubs, 2));
    key_free(k);
}

static void the_layout_is_the_documented_one(void **state)
{
    (void)state;
    struct key *k = key_generate();
    struct pubkey pub = key_public(k);
    size_t size;
    assert_true(seal_make(cipher, sizeof cipher, &size, salt, "x", 1, &pub, 1));
    assert_memory_equal(cipher, "stoa-sealed-1\n\x01", 15);
    struct hash hint = hash_sha256(pub.b, PUBKEY_BYTES);
    assert_memory_equal(cipher + 15, hint.b, 8);
    struct hash commitment = seal_commitment(salt, cipher, size);
    struct hash wanted = hash_context2(CTX_SEALED, salt, sizeof salt, cipher, size);
    assert_true(hash_equal(&commitment, &wanted));
    key_free(k);
}

static void two_seals_of_one_text_share_nothing(void **state)
{
    (void)state;
    struct key *k = key_generate();
    struct pubkey pub = key_public(k);
    static uint8_t other[SEAL_CIPHER_MAX];
    uint8_t other_salt[SEAL_SALT_BYTES];
    size_t size;
    assert_true(seal_make(cipher, sizeof cipher, &size, salt, "x", 1, &pub, 1));
    assert_true(seal_make(other, sizeof other, &size, other_salt, "x", 1, &pub, 1));
    assert_memory_not_equal(salt, other_salt, sizeof salt);
    assert_memory_not_equal(cipher + 23, other + 23, 80);
    assert_memory_not_equal(cipher + 103, other + 103, 24);
    assert_memory_not_equal(cipher + 127, other + 127, 256);
    key_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_recipient_opens_and_others_do_not),
        cmocka_unit_test(sizes_come_in_buckets),
        cmocka_unit_test(plain_texts_of_every_bucket_come_back),
        cmocka_unit_test(any_flipped_byte_is_refused),
        cmocka_unit_test(limits_and_unusable_recipients_are_refused),
        cmocka_unit_test(the_layout_is_the_documented_one),
        cmocka_unit_test(two_seals_of_one_text_share_nothing),
    };
    return cmocka_run_group_tests_name("seal", tests, start_crypto, NULL);
}
