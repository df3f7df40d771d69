#include "support.h"

#include <string.h>

#include "crypto/context.h"
#include "crypto/key.h"

static void a_seed_gives_the_same_key_again(void **state)
{
    (void)state;
    struct key *k = key_generate();
    uint8_t seed[SEED_BYTES];
    key_seed(k, seed);
    struct key *again = key_from_seed(seed);
    struct pubkey a = key_public(k);
    struct pubkey b = key_public(again);
    assert_true(pubkey_equal(&a, &b));
    struct signature s = key_sign(k, CTX_ENTRY, "x", 1);
    struct signature t = key_sign(again, CTX_ENTRY, "x", 1);
    assert_memory_equal(s.b, t.b, SIG_BYTES);
    key_free(k);
    key_free(again);
}

static void the_rfc_seeds_give_their_keys_and_signatures(void **state)
{
    (void)state;
    FILE *f = own_vectors("ed25519-rfc8032.txt");
    struct record r;
    size_t cases = 0;
    while (record_next(f, &r)) {
        uint8_t seed[SEED_BYTES];
        hex_exact(seed, sizeof seed, r.field[0]);
        struct key *k = key_from_seed(seed);
        struct pubkey pub;
        hex_exact(pub.b, PUBKEY_BYTES, r.field[1]);
        struct pubkey found = key_public(k);
        assert_true(pubkey_equal(&pub, &found));
        size_t size;
        uint8_t *message = hex_bytes(r.field[3], &size);
        uint8_t wanted[SIG_BYTES];
        hex_exact(wanted, sizeof wanted, r.field[2]);
        struct signature sig = key_sign_bare(k, message, size);
        assert_memory_equal(sig.b, wanted, SIG_BYTES);
        free(message);
        key_free(k);
        cases++;
    }
    fclose(f);
    assert_int_equal(cases, 5);
}

static void generated_keys_differ(void **state)
{
    (void)state;
    struct key *a = key_generate();
    struct key *b = key_generate();
    struct pubkey pa = key_public(a);
    struct pubkey pb = key_public(b);
    assert_false(pubkey_equal(&pa, &pb));
    assert_true(sig_key_enrollable(&pa));
    key_free(a);
    key_free(b);
    key_free(NULL);
}

static void a_signature_covers_context_zero_and_message(void **state)
{
    (void)state;
    struct key *k = key_generate();
    struct signature with = key_sign(k, CTX_HELLO, "abc", 3);
    struct signature bare = key_sign_bare(k, CTX_HELLO "\0abc", strlen(CTX_HELLO) + 4);
    assert_memory_equal(with.b, bare.b, SIG_BYTES);
    key_free(k);
}

static void secrets_are_wiped_and_random_bytes_differ(void **state)
{
    (void)state;
    uint8_t *a = secret_alloc(32);
    uint8_t b[32];
    assert_non_null(a);
    random_bytes(a, 32);
    random_bytes(b, 32);
    assert_memory_not_equal(a, b, 32);
    secret_wipe(a, 32);
    static const uint8_t zero[32];
    assert_memory_equal(a, zero, 32);
    secret_free(a);
    secret_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_gives_the_same_key_again),
        cmocka_unit_test(the_rfc_seeds_give_their_keys_and_signatures),
        cmocka_unit_test(generated_keys_differ),
        cmocka_unit_test(a_signature_covers_context_zero_and_message),
        cmocka_unit_test(secrets_are_wiped_and_random_bytes_differ),
    };
    return cmocka_run_group_tests_name("key", tests, start_crypto, NULL);
}
