#include "support.h"

#include <string.h>

#include "crypto/note.h"

#define EXAMPLE "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"

static bool parses(const char *text)
{
    struct vkey v;
    return vkey_parse(&v, text, strlen(text));
}

static void the_published_key_is_read_and_written_back(void **state)
{
    (void)state;
    struct vkey v;
    assert_true(vkey_parse(&v, EXAMPLE, strlen(EXAMPLE)));
    assert_string_equal(v.name, "example.com/foo");
    assert_true(v.id == 0x530d903a);
    assert_int_equal(v.alg, NOTE_ED25519);
    char text[VKEY_TEXT_MAX];
    assert_int_equal(vkey_format(&v, text, sizeof text), strlen(EXAMPLE));
    assert_string_equal(text, EXAMPLE);
    assert_int_equal(vkey_format(&v, text, strlen(EXAMPLE)), 0);

    struct vkey made;
    assert_true(vkey_make(&made, "example.com/foo", NOTE_ED25519, &v.key));
    assert_memory_equal(&made, &v, sizeof v);
}

static void the_algorithm_changes_the_id(void **state)
{
    (void)state;
    struct vkey v;
    assert_true(vkey_parse(&v, EXAMPLE, strlen(EXAMPLE)));
    struct vkey cosigner;
    assert_true(vkey_make(&cosigner, v.name, NOTE_COSIGNATURE, &v.key));
    assert_true(cosigner.id != v.id);
    char text[VKEY_TEXT_MAX];
    size_t size = vkey_format(&cosigner, text, sizeof text);
    struct vkey back;
    assert_true(vkey_parse(&back, text, size));
    assert_memory_equal(&back, &cosigner, sizeof back);
}

static void keys_that_deviate_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "+",
        "example.com/foo",
        "example.com/foo+530d903a",
        "example.com/foo+530d903a+",
        "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+0530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/bar+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2kAAAA",
        "example.com/foo+530d903a+AukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k\n",
        " example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
    };
    assert_true(parses(EXAMPLE));
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(parses(bad[i]));
}

static void names_follow_the_rules(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "example.com/log-1", "\xc3\xa9t\xc3\xa9",
                                       "\xf0\x9f\x8c\xb3"};
    static const char *const bad[] = {
        "",
        "a b",
        "a+b",
        "a\tb",
        "a\nb",
        "a\x7f",
        "a\x01",
        "\xc2\x85",     /* next line */
        "a\xc2\xa0",    /* no-break space */
        "\xe2\x80\x83", /* em space */
        "\xe3\x80\x80", /* ideographic space */
        "\xe2\x80\xa8", /* line separator */
        "\xc3",         /* cut short */
        "\xc0\xaf",     /* overlong */
        "\xe0\x80\xaf", /* overlong */
        "\xed\xa0\x80", /* surrogate */
        "\xf4\x90\x80\x80",
        "\xff",
        "a\x80",
    };
    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_true(note_name_ok(good[i], strlen(good[i])));
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(note_name_ok(bad[i], strlen(bad[i])));
    assert_false(note_name_ok("a\0b", 3));
}

static void the_longest_name_fits_and_one_more_does_not(void **state)
{
    (void)state;
    char name[NOTE_NAME_MAX + 2];
    memset(name, 'n', sizeof name);
    name[NOTE_NAME_MAX + 1] = 0;
    struct pubkey key = {{1}};
    struct vkey v;
    assert_false(vkey_make(&v, name, NOTE_ED25519, &key));
    name[NOTE_NAME_MAX] = 0;
    assert_true(vkey_make(&v, name, NOTE_ED25519, &key));
    char text[VKEY_TEXT_MAX];
    size_t size = vkey_format(&v, text, sizeof text);
    assert_true(size > 0);
    struct vkey back;
    assert_true(vkey_parse(&back, text, size));
    assert_string_equal(back.name, name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_key_is_read_and_written_back),
        cmocka_unit_test(the_algorithm_changes_the_id),
        cmocka_unit_test(keys_that_deviate_are_refused),
        cmocka_unit_test(names_follow_the_rules),
        cmocka_unit_test(the_longest_name_fits_and_one_more_does_not),
    };
    return cmocka_run_group_tests_name("vkey", tests, start_crypto, NULL);
}
