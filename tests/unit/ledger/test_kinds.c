#include "ledger/kinds.h"

#include <string.h>

#include "ledger/entry.h"
#include "sample.h"
#include "test.h"

static void every_number_and_word_is_used_once(void **state)
{
    (void)state;
    enum kind a, b;
    for (unsigned i = 0; kind_row(i, &a); i++)
        for (unsigned j = 0; kind_row(j, &b); j++)
            if (i != j) {
                assert_int_not_equal(a, b);
                assert_string_not_equal(kind_word(a), kind_word(b));
            }
}

static void every_kind_is_found_by_its_word_and_number(void **state)
{
    (void)state;
    enum kind kind, found;
    enum writer writer;
    unsigned in_use = 0, rows = 0;
    for (; kind_row(rows, &kind); rows++) {
        assert_true(kind_from_word(kind_word(kind), &found));
        assert_int_equal(found, kind);
        assert_true(kind_writer(kind, &writer));
        in_use += writer != BY_NOBODY;
    }
    assert_int_equal(in_use, SAMPLE_KINDS);
    assert_int_equal(rows, 27);
}

static void numbers_that_are_no_kind_are_unknown(void **state)
{
    (void)state;
    static const uint64_t numbers[] = {0,  16, 31,   47,         53,
                                       63, 69, 1000, UINT64_MAX, (UINT64_C(1) << 32) + 1};
    enum writer writer = BY_NOBODY;
    enum kind kind = KIND_NOTE;
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        assert_string_equal(kind_word(numbers[i]), "?");
        assert_false(kind_writer(numbers[i], &writer));
    }
    assert_false(kind_from_word("?", &kind));
    assert_false(kind_from_word("", &kind));
    assert_false(kind_from_word("opened", &kind));
    assert_int_equal(kind, KIND_NOTE);
    assert_int_equal(writer, BY_NOBODY);
}

static void each_kind_has_its_writer(void **state)
{
    (void)state;
    enum writer writer;
    assert_true(kind_writer(KIND_TRANSFER, &writer) && writer == BY_MEMBER);
    assert_true(kind_writer(KIND_ACCRUE, &writer) && writer == BY_ISSUER);
    assert_true(kind_writer(KIND_CREDIT, &writer) && writer == BY_RELAY);
    assert_true(kind_writer(KIND_REMIT, &writer) && writer == BY_NOBODY);
}

static bool hub(const char *name)
{
    return hub_name_ok(name, strlen(name));
}

static void hub_names_are_plain_lower_case(void **state)
{
    (void)state;
    char longest[HUB_NAME_MAX + 2];
    memset(longest, 'a', sizeof longest);
    assert_true(hub("hub.example"));
    assert_true(hub("a"));
    assert_true(hub("eu-1_b.stoa.example"));
    assert_true(hub_name_ok(longest, HUB_NAME_MAX));
    assert_false(hub_name_ok(longest, HUB_NAME_MAX + 1));
    assert_false(hub(""));
    assert_false(hub("Hub"));
    assert_false(hub("hub example"));
    assert_false(hub("hub/00"));
    assert_false(hub("hub+key"));
    assert_false(hub("hub@x"));
    assert_false(hub("-hub"));
    assert_false(hub("hub."));
    assert_false(hub("_"));
    assert_false(hub("h\xc3\xbc"));
    assert_false(hub_name_ok("a\0b", 3));
}

static bool origin(const char *text)
{
    return origin_ok(text, strlen(text));
}

static void an_origin_is_a_hub_and_a_slot(void **state)
{
    (void)state;
    assert_true(origin("hub.example/00"));
    assert_true(origin("h/ff"));
    assert_false(origin("hub.example"));
    assert_false(origin("hub.example/0"));
    assert_false(origin("hub.example/000"));
    assert_false(origin("hub.example/FF"));
    assert_false(origin("hub.example/0g"));
    assert_false(origin("/00"));
    assert_false(origin("/0"));
    assert_false(origin(""));
    assert_false(origin("hub/x/00"));
}

static void every_payload_round_trips_and_check_agrees(void **state)
{
    (void)state;
    static struct sample s;
    static struct payload found;
    static uint8_t first[ENVELOPE_BYTES_MAX], second[ENVELOPE_BYTES_MAX];
    struct rng g = {31};
    for (unsigned i = 0; i < SAMPLE_KINDS; i++)
        for (unsigned n = 0; n < 200; n++) {
            uint64_t kind = sample_kind(i);
            sample_payload(&s, kind, &g);
            struct mp_writer a = mp_writer_of(first, sizeof first);
            payload_encode(&a, &s.payload);
            assert_false(a.full);
            struct bytes data = bytes_of(first, a.size);
            assert_int_equal(payload_check(kind, data), ERR_OK);
            assert_int_equal(payload_decode(&found, kind, data), ERR_OK);
            assert_true(found.kind == kind);
            struct mp_writer b = mp_writer_of(second, sizeof second);
            payload_encode(&b, &found);
            assert_int_equal(b.size, a.size);
            assert_memory_equal(first, second, a.size);
        }
}

static void every_cut_or_flipped_payload_has_one_verdict(void **state)
{
    (void)state;
    static struct sample s;
    static struct payload found;
    static uint8_t bytes[ENVELOPE_BYTES_MAX], again[ENVELOPE_BYTES_MAX];
    struct rng g = {32};
    for (unsigned i = 0; i < SAMPLE_KINDS; i++) {
        uint64_t kind = sample_kind(i);
        sample_payload(&s, kind, &g);
        struct mp_writer w = mp_writer_of(bytes, sizeof bytes);
        payload_encode(&w, &s.payload);
        for (size_t cut = 0; cut < w.size; cut++) {
            assert_int_equal(payload_check(kind, bytes_of(bytes, cut)), ERR_PAYLOAD);
            assert_int_equal(payload_decode(&found, kind, bytes_of(bytes, cut)),
                             ERR_PAYLOAD);
        }
        for (unsigned n = 0; n < 4000; n++) {
            size_t bit = rng_below(&g, w.size * 8);
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            struct bytes data = bytes_of(bytes, w.size);
            enum err verdict = payload_check(kind, data);
            assert_int_equal(payload_decode(&found, kind, data), verdict);
            if (verdict == ERR_OK) {
                struct mp_writer b = mp_writer_of(again, sizeof again);
                payload_encode(&b, &found);
                assert_int_equal(b.size, w.size);
                assert_memory_equal(again, bytes, w.size);
            }
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}

/* Read a message back: an array of `count` whose bins start with the bytes of `firsts`,
 * where 0xc0 stands for nil and 0 for a value that is not looked at. */
static void assert_message(const uint8_t *message, size_t size, const char *firsts)
{
    struct mp_reader r = mp_reader_of(message, size);
    size_t count;
    assert_true(mp_read_array(&r, &count, 8));
    assert_int_equal(count, strlen(firsts));
    for (size_t i = 0; i < count; i++) {
        struct hash h;
        if (firsts[i] == '.') {
            assert_true(mp_skip(&r));
        } else if (firsts[i] == '-') {
            assert_true(mp_read_nil(&r));
        } else {
            assert_true(mp_read_bin_exact(&r, h.b, sizeof h.b));
            assert_int_equal(h.b[0], firsts[i]);
        }
    }
    assert_true(mp_done(&r));
}

static void messages_name_what_they_sign_in_order(void **state)
{
    (void)state;
    uint8_t out[MESSAGE_BYTES_MAX];
    struct hash account = {{'a'}}, invite = {{'i'}};
    struct pubkey root = {{'r'}}, device = {{'d'}}, second = {{'s'}};
    char name[HUB_NAME_MAX];
    memset(name, 'h', sizeof name);
    struct p_open open = {.federation = {{'f'}},
                          .hub = bytes_of(name, sizeof name),
                          .root = {{'r'}},
                          .nonce = {{'n'}}};
    assert_message(out, grant_open_message(out, &open, &device), "f.nrd");
    assert_message(out, grant_device_message(out, &account, &root, &device, UINT64_MAX),
                   "ard.");
    assert_message(out, invite_grant_message(out, &account, &root, UINT64_MAX), "ar.");
    assert_message(out, remove_message(out, &account, &root, 3), "ar.");
    assert_message(out, invite_message(out, &account, &invite, &root, &device), "aird");
    assert_message(out, rotate_message(out, &account, &root, &second, &device, 1),
                   "arsd.");
    assert_message(out, rotate_message(out, &account, &root, &second, NULL, 1), "ars-.");
    assert_message(out, recovery_message(out, &account, &invite, &root), "air");
    assert_message(out, hub_key_message(out, &account, ROLE_RELAY, &root, &second),
                   "a.rs");

    size_t size = grant_device_message(out, &account, &root, &device, 200);
    assert_memory_equal(out + size - 2, "\xcc\xc8", 2);
    size = invite_grant_message(out, &account, &root, 200);
    assert_memory_equal(out + size - 2, "\xcc\xc8", 2);
    size = remove_message(out, &account, &root, 7);
    assert_int_equal(out[size - 1], 7);
    size = hub_key_message(out, &account, ROLE_LOG, &root, &second);
    assert_int_equal(out[35], ROLE_LOG);
    size = rotate_message(out, &account, &root, &second, NULL, 7);
    assert_int_equal(out[size - 1], 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_and_word_is_used_once),
        cmocka_unit_test(every_kind_is_found_by_its_word_and_number),
        cmocka_unit_test(numbers_that_are_no_kind_are_unknown),
        cmocka_unit_test(each_kind_has_its_writer),
        cmocka_unit_test(hub_names_are_plain_lower_case),
        cmocka_unit_test(an_origin_is_a_hub_and_a_slot),
        cmocka_unit_test(every_payload_round_trips_and_check_agrees),
        cmocka_unit_test(every_cut_or_flipped_payload_has_one_verdict),
        cmocka_unit_test(messages_name_what_they_sign_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
