/* Two holders of one key, and everybody else. */
#include "crypto/mac.h"

#include <string.h>

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

int main(void)
{
    if (!crypto_start())
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_holds_the_key_makes_the_same),
        cmocka_unit_test(another_key_conversation_number_or_text_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
