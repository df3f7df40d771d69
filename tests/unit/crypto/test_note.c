#include "support.h"

#include <inttypes.h>
#include <string.h>

#include "crypto/note.h"

#define EXAMPLE_KEY                                                                      \
    "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
#define DASH "\xe2\x80\x94 "
#define STRANGER_LINE DASH "stranger.example AAAAAAE=\n"

/* A signer with its key; `text` is what the tests sign. */
static struct key *signer;
static struct vkey known;
static struct vkey cosigner;
static const char text[] = "first\n\nthird line\n";

static int make_signer(void **state)
{
    static const uint8_t seed[SEED_BYTES] = {7};
    if (start_crypto(state) != 0)
        return -1;
    signer = key_from_seed(seed);
    struct pubkey pub = key_public(signer);
    return vkey_make(&known, "hub.example/log", NOTE_ED25519, &pub) &&
                   vkey_make(&cosigner, "hub.example/cosigner", NOTE_COSIGNATURE, &pub)
               ? 0
               : -1;
}

static int free_signer(void **state)
{
    (void)state;
    key_free(signer);
    return 0;
}

static enum note_verdict open_text(const char *data, size_t size)
{
    static const struct note zero;
    struct note n;
    memset(&n, 0xff, sizeof n);
    enum note_verdict verdict = note_open(&n, data, size, &known, 1);
    if (verdict == NOTE_OK)
        assert_true(n.text == data && n.verified == 1);
    else
        assert_memory_equal(&n, &zero, sizeof n);
    return verdict;
}

/* The signed text followed by `more` lines; its size. */
static size_t signed_with(char *out, size_t cap, const char *more)
{
    size_t size = note_sign(out, cap, text, strlen(text), &known, signer);
    assert_true(size > 0 && size + strlen(more) < cap);
    memcpy(out + size, more, strlen(more) + 1);
    return size + strlen(more);
}

static void the_published_note_opens(void **state)
{
    (void)state;
    FILE *f = own_vectors("signed-note.txt");
    char data[1024];
    size_t size = fread(data, 1, sizeof data, f);
    fclose(f);
    struct vkey v;
    assert_true(vkey_parse(&v, EXAMPLE_KEY, strlen(EXAMPLE_KEY)));
    struct note n;
    assert_int_equal(note_open(&n, data, size, &v, 1), NOTE_OK);
    assert_int_equal(n.text_size, strlen("This is an example message.\n"));
    assert_int_equal(n.signature_count, 1);
    assert_true(n.verified == 1);
    for (size_t i = 0; i < size; i++) {
        data[i] ^= 1;
        assert_true(note_open(&n, data, size, &v, 1) != NOTE_OK);
        data[i] ^= 1;
    }
}

static void a_note_is_signed_and_opened(void **state)
{
    (void)state;
    char data[1024];
    size_t size = signed_with(data, sizeof data, "");
    assert_int_equal(open_text(data, size), NOTE_OK);
    struct note n;
    assert_int_equal(note_open(&n, data, size, &known, 1), NOTE_OK);
    assert_int_equal(n.text_size, strlen(text));
    assert_memory_equal(n.text, text, n.text_size);
    char small[1024];
    for (size_t cap = 0; cap <= size; cap++)
        assert_int_equal(note_sign(small, cap, text, strlen(text), &known, signer), 0);
    assert_int_equal(note_sign(small, size + 1, text, strlen(text), &known, signer),
                     size);
}

static void signatures_begin_at_the_last_empty_line(void **state)
{
    (void)state;
    static const char tricky[] = "a\n\n" DASH "hub.example/log AAAAAAE=\n\nb\n\n";
    char data[1024];
    size_t size = note_sign(data, sizeof data, tricky, strlen(tricky), &known, signer);
    assert_true(size > 0);
    struct note n;
    assert_int_equal(note_open(&n, data, size, &known, 1), NOTE_OK);
    assert_int_equal(n.text_size, strlen(tricky));
    assert_int_equal(n.signature_count, 1);
}

static void unknown_lines_are_skipped(void **state)
{
    (void)state;
    char data[8192];
    struct note n;
    size_t size = signed_with(data, sizeof data, STRANGER_LINE);
    assert_int_equal(note_open(&n, data, size, &known, 1), NOTE_OK);
    assert_int_equal(n.signature_count, 2);

    /* Same name with another id, same id with another name: still unknown. */
    size = signed_with(data, sizeof data, DASH "hub.example/log AAAAAAE=\n");
    assert_int_equal(open_text(data, size), NOTE_OK);
    char line[256];
    uint8_t value[5] = {(uint8_t)(known.id >> 24), (uint8_t)(known.id >> 16),
                        (uint8_t)(known.id >> 8), (uint8_t)known.id, 1};
    size_t head = (size_t)snprintf(line, sizeof line, DASH "other.example ");
    size_t put = base64_encode(line + head, sizeof line - head, value, sizeof value);
    snprintf(line + head + put, sizeof line - head - put, "\n");
    size = signed_with(data, sizeof data, line);
    assert_int_equal(open_text(data, size), NOTE_OK);

    /* A long signature of an algorithm we do not know, under a name longer than ours. */
    char big[4096];
    size_t used = (size_t)snprintf(big, sizeof big, DASH);
    memset(big + used, 'n', 300);
    used += 300;
    big[used++] = ' ';
    memset(big + used, 'A', 3244);
    used += 3244;
    big[used++] = '\n';
    big[used] = 0;
    size = signed_with(data, sizeof data, big);
    assert_int_equal(open_text(data, size), NOTE_OK);
}

static void a_note_signed_by_strangers_only_is_unknown(void **state)
{
    (void)state;
    static const char note[] = "text\n\n" STRANGER_LINE;
    assert_int_equal(open_text(note, strlen(note)), NOTE_UNKNOWN);
    struct note n;
    char data[1024];
    size_t size = signed_with(data, sizeof data, "");
    assert_int_equal(note_open(&n, data, size, NULL, 0), NOTE_UNKNOWN);
}

static void a_known_line_that_fails_spoils_the_note(void **state)
{
    (void)state;
    char good[1024];
    size_t size = signed_with(good, sizeof good, "");
    const char *line = strstr(good, DASH);
    char changed[512];
    snprintf(changed, sizeof changed, "%s", line);
    changed[strlen(changed) - 10] ^=
        1; /* a letter stays in the alphabet or is malformed */
    char data[2048];
    size = signed_with(data, sizeof data, changed);
    enum note_verdict verdict = open_text(data, size);
    assert_true(verdict == NOTE_BAD || verdict == NOTE_MALFORMED);

    /* A known pair with a signature of the wrong length. */
    uint8_t value[5] = {(uint8_t)(known.id >> 24), (uint8_t)(known.id >> 16),
                        (uint8_t)(known.id >> 8), (uint8_t)known.id, 1};
    char base[16];
    base64_encode(base, sizeof base, value, sizeof value);
    snprintf(changed, sizeof changed, DASH "hub.example/log %s\n", base);
    size = signed_with(data, sizeof data, changed);
    assert_int_equal(open_text(data, size), NOTE_BAD);

    /* Another text under a good line. */
    size = signed_with(data, sizeof data, "");
    data[0] ^= 1;
    assert_int_equal(open_text(data, size), NOTE_BAD);
}

static void what_is_not_a_note_is_malformed(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "\n",
        "\n\n",
        "text\n",
        "text\n\n",
        "text\n\n\n",
        "text\n" STRANGER_LINE,
        "text\n\n" DASH "stranger.example AAAAAAE=",
        "text\n\n- stranger.example AAAAAAE=\n",
        "text\n\n" DASH "stranger.exampleAAAAAAE=\n",
        "text\n\n" DASH " AAAAAAE=\n",
        "text\n\n" DASH "stranger.example  AAAAAAE=\n",
        "text\n\n" DASH "stranger.example AAAAAAE= \n",
        "text\n\n" DASH "stranger.example \n",
        "text\n\n" DASH "stranger.example AAAA\n",
        "text\n\n" DASH "stranger.example AAAAAA==\n",
        "text\n\n" DASH "stranger.example AAAAAAF=\n",
        "text\n\n" DASH "stranger.example AAAAAAE\n",
        "text\n\n" DASH "stran+ger AAAAAAE=\n",
        "text\n\n" DASH "stran\xc2\xa0ger AAAAAAE=\n",
        "text\r\n\n" STRANGER_LINE,
        "te\txt\n\n" STRANGER_LINE,
        "te\xffxt\n\n" STRANGER_LINE,
        "te\xc3\n\n" STRANGER_LINE,
        "text\n\n" STRANGER_LINE "rest\n",
        "text\n\n" DASH "stranger.example AAAAAAE=\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (open_text(bad[i], strlen(bad[i])) != NOTE_MALFORMED)
            fail_msg("accepted: %s", bad[i]);
    static const char zero[] = "te\0xt\n\n" STRANGER_LINE;
    assert_int_equal(open_text(zero, sizeof zero - 1), NOTE_MALFORMED);
}

static void at_most_64_signatures_are_read(void **state)
{
    (void)state;
    char data[8192];
    size_t size = signed_with(data, sizeof data, "");
    for (unsigned lines = 2; lines <= NOTE_SIGNATURES_MAX + 1; lines++) {
        size += (size_t)snprintf(data + size, sizeof data - size, STRANGER_LINE);
        enum note_verdict wanted =
            lines <= NOTE_SIGNATURES_MAX ? NOTE_OK : NOTE_MALFORMED;
        assert_int_equal(open_text(data, size), wanted);
    }
}

static void notes_over_the_size_limit_are_malformed(void **state)
{
    (void)state;
    static char long_text[NOTE_BYTES_MAX];
    static char data[NOTE_BYTES_MAX + 1024];
    memset(long_text, 'x', sizeof long_text);
    long_text[sizeof long_text - 1] = '\n';
    assert_int_equal(
        note_sign(data, sizeof data, long_text, sizeof long_text, &known, signer), 0);
    size_t rest = 256;
    long_text[sizeof long_text - rest - 1] = '\n';
    size_t size =
        note_sign(data, sizeof data, long_text, sizeof long_text - rest, &known, signer);
    assert_true(size > 0 && size <= NOTE_BYTES_MAX);
    assert_int_equal(open_text(data, size), NOTE_OK);
    while (size <= NOTE_BYTES_MAX)
        size += (size_t)snprintf(data + size, sizeof data - size, STRANGER_LINE);
    assert_int_equal(open_text(data, size), NOTE_MALFORMED);
}

static void texts_that_cannot_be_a_note_are_not_signed(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "no line feed", "tab\t\n", "cr\r\n", "\xff\n"};
    char data[1024];
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(
            note_sign(data, sizeof data, bad[i], strlen(bad[i]), &known, signer), 0);
    struct key *other = key_generate();
    assert_int_equal(note_sign(data, sizeof data, "a\n", 2, &known, other), 0);
    assert_int_equal(note_sign(data, sizeof data, "a\n", 2, &cosigner, signer), 0);
    key_free(other);
}

static void a_cosignature_verifies_and_tells_its_time(void **state)
{
    (void)state;
    const uint64_t time = 1700000000;
    char line[512];
    size_t length =
        note_cosign_line(line, sizeof line, text, strlen(text), time, &cosigner, signer);
    assert_true(length > 0 && strlen(line) == length);
    char data[2048];
    size_t size = signed_with(data, sizeof data, line);
    const struct vkey keys[] = {known, cosigner};
    struct note n;
    assert_int_equal(note_open(&n, data, size, keys, 2), NOTE_OK);
    assert_true(n.verified == 3);
    assert_true(n.cosign_time[0] == 0 && n.cosign_time[1] == time);
    assert_int_equal(note_open(&n, data, size, &cosigner, 1), NOTE_OK);
    assert_int_equal(note_open(&n, data, size, &known, 1), NOTE_OK);

    for (size_t cap = 0; cap <= length; cap++)
        assert_int_equal(
            note_cosign_line(line, cap, text, strlen(text), time, &cosigner, signer), 0);
}

static void a_cosignature_is_over_the_bytes_of_its_specification(void **state)
{
    (void)state;
    char line[512];
    note_cosign_line(line, sizeof line, "origin\n1\nroot\n", 14, 42, &cosigner, signer);
    static const char message[] = "cosignature/v1\ntime 42\norigin\n1\nroot\n";
    struct signature sig = key_sign_bare(signer, message, strlen(message));
    uint8_t value[76];
    size_t size;
    const char *base = strrchr(line, ' ') + 1;
    assert_true(base64_decode(value, sizeof value, &size, base, strlen(base) - 1));
    assert_int_equal(size, sizeof value);
    static const uint8_t time[8] = {0, 0, 0, 0, 0, 0, 0, 42};
    assert_memory_equal(value + 4, time, 8);
    assert_memory_equal(value + 12, sig.b, SIG_BYTES);
}

static void a_cosignature_with_another_time_or_text_is_bad(void **state)
{
    (void)state;
    char line[512];
    note_cosign_line(line, sizeof line, text, strlen(text), 1700000000, &cosigner,
                     signer);
    uint8_t value[76];
    size_t size;
    char *base = strrchr(line, ' ') + 1;
    assert_true(base64_decode(value, sizeof value, &size, base, strlen(base) - 1));
    for (size_t at = 4; at < sizeof value; at += 7) {
        value[at] ^= 0x80;
        size_t put =
            base64_encode(base, sizeof line - (size_t)(base - line), value, sizeof value);
        base[put] = '\n';
        base[put + 1] = 0;
        char data[2048];
        size_t note_size = signed_with(data, sizeof data, line);
        struct note n;
        assert_int_equal(note_open(&n, data, note_size, &cosigner, 1), NOTE_BAD);
        value[at] ^= 0x80;
    }
    assert_int_equal(
        note_cosign_line(line, sizeof line, text, strlen(text), 0, &cosigner, signer), 0);
    assert_int_equal(note_cosign_line(line, sizeof line, text, strlen(text),
                                      (uint64_t)INT64_MAX + 1, &cosigner, signer),
                     0);
    assert_int_equal(
        note_cosign_line(line, sizeof line, text, strlen(text), 1, &known, signer), 0);
}

static void sixty_four_keys_are_told_apart(void **state)
{
    (void)state;
    static struct vkey keys[64];
    for (unsigned i = 0; i < 64; i++) {
        char name[32];
        snprintf(name, sizeof name, "key-%u", i);
        struct pubkey pub = key_public(signer);
        assert_true(vkey_make(&keys[i], name, NOTE_ED25519, &pub));
    }
    char data[1024];
    size_t size = note_sign(data, sizeof data, "a\n", 2, &keys[63], signer);
    struct note n;
    assert_int_equal(note_open(&n, data, size, keys, 64), NOTE_OK);
    assert_true(n.verified == UINT64_C(1) << 63);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_note_opens),
        cmocka_unit_test(a_note_is_signed_and_opened),
        cmocka_unit_test(signatures_begin_at_the_last_empty_line),
        cmocka_unit_test(unknown_lines_are_skipped),
        cmocka_unit_test(a_note_signed_by_strangers_only_is_unknown),
        cmocka_unit_test(a_known_line_that_fails_spoils_the_note),
        cmocka_unit_test(what_is_not_a_note_is_malformed),
        cmocka_unit_test(at_most_64_signatures_are_read),
        cmocka_unit_test(notes_over_the_size_limit_are_malformed),
        cmocka_unit_test(texts_that_cannot_be_a_note_are_not_signed),
        cmocka_unit_test(a_cosignature_verifies_and_tells_its_time),
        cmocka_unit_test(a_cosignature_is_over_the_bytes_of_its_specification),
        cmocka_unit_test(a_cosignature_with_another_time_or_text_is_bad),
        cmocka_unit_test(sixty_four_keys_are_told_apart),
    };
    return cmocka_run_group_tests_name("note", tests, make_signer, free_signer);
}
