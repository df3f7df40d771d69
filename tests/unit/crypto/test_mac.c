/* Two holders of one key, and everybody else. */
#include "crypto/mac.h"

#include <string.h>

#include "crypto/internal.h"
#include "crypto/note.h"
#include "support.h"

#define CONTEXT "stoa/peer-mac/v1"

static const uint8_t seed[SEED_BYTES] = {1, 2, 3};

static struct hash_part part(const char *text)
{
    return (struct hash_part){text, strlen(text)};
}

static void whoever_holds_the_key_makes_the_same(void **state)
{
    (void)state;
    struct key *here = key_from_seed(seed), *there = key_from_seed(seed);
    struct mac_key *a = mac_key_shared(here, CONTEXT, "nonces", 6);
    struct mac_key *b = mac_key_shared(there, CONTEXT, "nonces", 6);
    struct hash_part text[2] = {part("pay "), part("Bo")}, joined[1] = {part("pay Bo")};
    struct hash mac = mac_make(a, 7, text, 2);
    assert_true(mac_check(b, 7, text, 2, &mac));
    assert_true(mac_check(b, 7, joined, 1, &mac)); /* pieces are back to back */
    mac_key_free(a);
    mac_key_free(b);
    key_free(here);
    key_free(there);
}

static void another_key_conversation_number_or_text_does_not(void **state)
{
    (void)state;
    struct key *k = key_from_seed(seed), *other = key_generate();
    struct mac_key *a = mac_key_shared(k, CONTEXT, "nonces", 6);
    struct mac_key *later = mac_key_shared(k, CONTEXT, "nonceS", 6);
    struct mac_key *elsewhere = mac_key_shared(k, "stoa/peer/v1", "nonces", 6);
    struct mac_key *stranger = mac_key_shared(other, CONTEXT, "nonces", 6);
    struct hash_part text[1] = {part("pay Bo")}, changed[1] = {part("pay Al")};
    struct hash mac = mac_make(a, 7, text, 1);
    assert_false(mac_check(later, 7, text, 1, &mac));
    assert_false(mac_check(elsewhere, 7, text, 1, &mac));
    assert_false(mac_check(stranger, 7, text, 1, &mac));
    assert_false(mac_check(a, 8, text, 1, &mac));
    assert_false(mac_check(a, 7, changed, 1, &mac));
    for (unsigned bit = 0; bit < 8 * HASH_BYTES; bit++) {
        struct hash flipped = mac;
        flipped.b[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(mac_check(a, 7, text, 1, &flipped));
    }
    mac_key_free(a);
    mac_key_free(later);
    mac_key_free(elsewhere);
    mac_key_free(stranger);
    key_free(k);
    key_free(other);
}

/* RFC 4231, test cases 1 to 4: keys of up to a hash's size. The first eight bytes of a text are
 * the message's number. */
static void it_is_the_hmac_of_rfc_4231(void **state)
{
    (void)state;
    static const struct {
        uint8_t key[HASH_BYTES];
        const char *text, *mac;
    } cases[] = {
        {{11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11},
         "Hi There",
         "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {{'J', 'e', 'f', 'e'},
         "what do ya want for nothing?",
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {{170, 170, 170, 170, 170, 170, 170, 170, 170, 170,
          170, 170, 170, 170, 170, 170, 170, 170, 170, 170},
         "\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd"
         "\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd"
         "\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd",
         "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
        {{1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13,
          14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25},
         "\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd"
         "\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd"
         "\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd",
         "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct mac_key *m = mac_key_from(cases[i].key);
        struct hash_part rest[1] = {part(cases[i].text + 8)};
        struct hash want;
        uint64_t number = 0;
        for (unsigned b = 0; b < 8; b++)
            number = number << 8 | (uint8_t)cases[i].text[b];
        assert_true(hex_decode(want.b, HASH_BYTES, cases[i].mac, 2 * HASH_BYTES));
        struct hash mac = mac_make(m, number, rest, 1);
        assert_memory_equal(mac.b, want.b, HASH_BYTES);
        mac_key_free(m);
    }
}

int main(void)
{
    if (!crypto_start())
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_holds_the_key_makes_the_same),
        cmocka_unit_test(it_is_the_hmac_of_rfc_4231),
        cmocka_unit_test(another_key_conversation_number_or_text_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
