#include "support.h"

#include <inttypes.h>
#include <string.h>

#include "crypto/note.h"

#define EMPTY_ROOT "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
#define SOME_ROOT "Wqx3HImawpLnS/Gv4ubjAvi1WIOy0b8Ze0amvqbavKk="

static bool parses(const char *text)
{
    struct checkpoint c;
    return checkpoint_parse(&c, text, strlen(text));
}

static void a_checkpoint_is_written_and_read_back(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1, 3, 70000, INT64_MAX};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct checkpoint c = {.origin = "hub.example/log", .size = sizes[i]};
        c.root = hash_sha256("root", 4);
        char text[CHECKPOINT_BYTES_MAX];
        size_t size = checkpoint_format(text, sizeof text, &c);
        assert_true(size > 0 && strlen(text) == size);
        struct checkpoint back;
        assert_true(checkpoint_parse(&back, text, size));
        assert_string_equal(back.origin, c.origin);
        assert_true(back.size == c.size && hash_equal(&back.root, &c.root));
        assert_int_equal(checkpoint_format(text, size, &c), 0);
        assert_int_equal(checkpoint_format(text, size + 1, &c), size);
    }
}

static void the_empty_tree_needs_the_empty_root(void **state)
{
    (void)state;
    assert_true(parses("log\n0\n" EMPTY_ROOT "\n"));
    assert_false(parses("log\n0\n" SOME_ROOT "\n"));
    struct checkpoint c = {.origin = "log", .size = 0, .root = hash_sha256("x", 1)};
    char text[CHECKPOINT_BYTES_MAX];
    assert_int_equal(checkpoint_format(text, sizeof text, &c), 0);
    c.root = hash_empty();
    assert_true(checkpoint_format(text, sizeof text, &c) > 0);
}

static void texts_that_deviate_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "log\n3\n",
        "log\n3\n" SOME_ROOT,
        "log\n\n3\n" SOME_ROOT "\n",
        "\n3\n" SOME_ROOT "\n",
        "log\n3\n" SOME_ROOT "\nextension\n",
        "log\n3\n" SOME_ROOT "\n\n",
        "log\n03\n" SOME_ROOT "\n",
        "log\n+3\n" SOME_ROOT "\n",
        "log\n-3\n" SOME_ROOT "\n",
        "log\n 3\n" SOME_ROOT "\n",
        "log\n3 \n" SOME_ROOT "\n",
        "log\n0x3\n" SOME_ROOT "\n",
        "log\n\n" SOME_ROOT "\n",
        "log\n9223372036854775808\n" SOME_ROOT "\n",
        "log\n18446744073709551619\n" SOME_ROOT "\n",
        "log\r\n3\r\n" SOME_ROOT "\r\n",
        "log\n3\n" SOME_ROOT " \n",
        "log\n3\nWqx3HImawpLnS/Gv4ubjAvi1WIOy0b8Ze0amvqbavKl=\n", /* not canonical */
        "log\n3\nWqx3HImawpLnS/Gv4ubjAvi1WIOy0b8Ze0amvqbavKk\n",  /* no padding */
        "log\n3\nWqx3HImawpLnS/Gv4ubjAvi1WIOy0b8Ze0amvqbavA==\n", /* 31 bytes */
        "log\n3\nWqx3HImawpLnS/Gv4ubjAvi1WIOy0b8Ze0amvqbavKkA\n", /* 33 bytes */
        "log\n3\nWqx3HImawpLnS_Gv4ubjAvi1WIOy0b8Ze0amvqbavKk=\n", /* URL alphabet */
        "a log\n3\n" SOME_ROOT "\n",
        "log+1\n3\n" SOME_ROOT "\n",
    };
    assert_true(parses("log\n3\n" SOME_ROOT "\n"));
    assert_true(parses("log\n9223372036854775807\n" SOME_ROOT "\n"));
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (parses(bad[i]))
            fail_msg("accepted: %s", bad[i]);
    static const char zero[] = "lo\0g\n3\n" SOME_ROOT "\n";
    struct checkpoint c;
    assert_false(checkpoint_parse(&c, zero, sizeof zero - 1));
}

static void a_signed_checkpoint_opens_by_its_own_key_only(void **state)
{
    (void)state;
    struct key *k = key_generate();
    struct key *other = key_generate();
    struct pubkey pub = key_public(k);
    struct pubkey stranger = key_public(other);
    struct vkey v;
    struct vkey wrong_key;
    struct vkey wrong_name;
    struct vkey wrong_kind;
    assert_true(vkey_make(&v, "hub.example/log", NOTE_ED25519, &pub));
    assert_true(vkey_make(&wrong_key, "hub.example/log", NOTE_ED25519, &stranger));
    assert_true(vkey_make(&wrong_name, "hub.example/lag", NOTE_ED25519, &pub));
    assert_true(vkey_make(&wrong_kind, "hub.example/log", NOTE_COSIGNATURE, &pub));

    struct checkpoint c = {.origin = "hub.example/log", .size = 9};
    c.root = hash_sha256("root", 4);
    char data[CHECKPOINT_BYTES_MAX];
    size_t size = checkpoint_sign(data, sizeof data, &c, &v, k);
    assert_true(size > 0);
    struct checkpoint found;
    assert_true(checkpoint_open(&found, data, size, &v));
    assert_true(found.size == 9 && hash_equal(&found.root, &c.root));
    assert_false(checkpoint_open(&found, data, size, &wrong_key));
    assert_false(checkpoint_open(&found, data, size, &wrong_name));
    assert_false(checkpoint_open(&found, data, size, &wrong_kind));
    assert_int_equal(checkpoint_sign(data, sizeof data, &c, &wrong_name, k), 0);
    assert_int_equal(checkpoint_sign(data, sizeof data, &c, &v, other), 0);

    /* Signed by the right key, but it speaks of another log. */
    snprintf(c.origin, sizeof c.origin, "elsewhere");
    char text[CHECKPOINT_BYTES_MAX];
    size_t text_size = checkpoint_format(text, sizeof text, &c);
    size = note_sign(data, sizeof data, text, text_size, &v, k);
    assert_true(size > 0);
    assert_false(checkpoint_open(&found, data, size, &v));
    key_free(k);
    key_free(other);
}

static void any_changed_byte_of_a_checkpoint_is_found(void **state)
{
    (void)state;
    struct key *k = key_generate();
    struct pubkey pub = key_public(k);
    struct vkey v;
    assert_true(vkey_make(&v, "log", NOTE_ED25519, &pub));
    struct checkpoint c = {.origin = "log", .size = 123, .root = hash_sha256("r", 1)};
    char data[CHECKPOINT_BYTES_MAX];
    size_t size = checkpoint_sign(data, sizeof data, &c, &v, k);
    struct checkpoint found;
    for (size_t i = 0; i < size; i++)
        for (int bit = 0; bit < 8; bit++) {
            data[i] = (char)(data[i] ^ 1 << bit);
            assert_false(checkpoint_open(&found, data, size, &v));
            data[i] = (char)(data[i] ^ 1 << bit);
        }
    for (size_t cut = 0; cut < size; cut++)
        assert_false(checkpoint_open(&found, data, cut, &v));
    assert_true(checkpoint_open(&found, data, size, &v));
    key_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_checkpoint_is_written_and_read_back),
        cmocka_unit_test(the_empty_tree_needs_the_empty_root),
        cmocka_unit_test(texts_that_deviate_are_refused),
        cmocka_unit_test(a_signed_checkpoint_opens_by_its_own_key_only),
        cmocka_unit_test(any_changed_byte_of_a_checkpoint_is_found),
    };
    return cmocka_run_group_tests_name("checkpoint", tests, start_crypto, NULL);
}
