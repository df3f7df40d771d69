/* One well-formed entry, taken apart into its eleven values; each test puts other bytes
 * in the place of one of them and says which code the whole is refused with. */
#include "ledger/entry.h"

#include <string.h>

#include "ledger/kinds.h"
#include "ledger/mp.h"
#include "sample.h"
#include "test.h"

enum field {
    VERSION,
    ACCOUNT,
    DEVICE,
    SEQ,
    PREV,
    REFS,
    LAMPORT,
    TIME,
    KIND,
    PAYLOAD,
    SEALED
};
#define FIELDS 11
#define FIELD_BYTES_MAX 1024

struct parts {
    size_t size[FIELDS];
    uint8_t value[FIELDS][FIELD_BYTES_MAX];
};

static struct key *device;

static int start(void **state)
{
    (void)state;
    static const uint8_t seed[SEED_BYTES] = {4, 5, 6};
    if (!crypto_start())
        return -1;
    device = key_from_seed(seed);
    return device ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    key_free(device);
    return 0;
}

static void set(struct parts *p, enum field f, const void *bytes, size_t size)
{
    assert_true(size <= FIELD_BYTES_MAX);
    memcpy(p->value[f], bytes, size);
    p->size[f] = size;
}
#define SET(p, f, literal) set(p, f, literal, sizeof(literal) - 1)

static void set_uint(struct parts *p, enum field f, uint64_t v)
{
    struct mp_writer w = mp_writer_of(p->value[f], FIELD_BYTES_MAX);
    mp_uint(&w, v);
    p->size[f] = w.size;
}

/* Values of an entry with no refs and no attachment. */
static struct parts parts_of_kind(uint64_t kind)
{
    static uint8_t envelope[ENVELOPE_BYTES_MAX];
    struct parts p;
    struct rng g = {21};
    size_t size;
    do
        size = sample_entry(envelope, kind, &g, device);
    while (size > FIELD_BYTES_MAX);
    struct mp_reader r = mp_reader_of(envelope, size - SIG_BYTES);
    size_t count;
    assert_true(mp_read_array(&r, &count, FIELDS));
    for (unsigned i = 0; i < FIELDS; i++) {
        struct bytes raw;
        assert_true(mp_read_raw(&r, &raw));
        set(&p, (enum field)i, raw.data, raw.size);
    }
    SET(&p, REFS, "\x90");
    SET(&p, SEALED, "\xc0");
    return p;
}

static enum err decode_body(const uint8_t *body, size_t size)
{
    static uint8_t envelope[2 * ENVELOPE_BYTES_MAX];
    struct entry e;
    memcpy(envelope, body, size);
    memset(envelope + size, 0x5a, SIG_BYTES);
    return entry_decode(&e, envelope, size + SIG_BYTES);
}

static size_t assemble(uint8_t *body, const struct parts *p)
{
    size_t size = 0;
    body[size++] = 0x9b;
    for (unsigned i = 0; i < FIELDS; i++) {
        memcpy(body + size, p->value[i], p->size[i]);
        size += p->size[i];
    }
    return size;
}

static enum err decode(const struct parts *p)
{
    static uint8_t body[FIELDS * FIELD_BYTES_MAX + 1];
    return decode_body(body, assemble(body, p));
}

static void the_parts_decode_before_anything_is_changed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SAMPLE_KINDS; i++) {
        if (sample_kind(i) == KIND_ROOT_ROTATE || sample_kind(i) == KIND_SPLIT_CORRECT)
            continue;
        struct parts p = parts_of_kind(sample_kind(i));
        assert_int_equal(decode(&p), ERR_OK);
    }
}

static void another_version_is_refused_as_such(void **state)
{
    (void)state;
    struct parts p = parts_of_kind(KIND_NOTE);
    SET(&p, VERSION, "\x00");
    assert_int_equal(decode(&p), ERR_VERSION);
    SET(&p, VERSION, "\x02");
    assert_int_equal(decode(&p), ERR_VERSION);
    SET(&p, VERSION, "\xcd\x01\x00");
    assert_int_equal(decode(&p), ERR_VERSION);
    SET(&p, VERSION, "\xff");
    assert_int_equal(decode(&p), ERR_MALFORMED);
    SET(&p, VERSION, "\xc0");
    assert_int_equal(decode(&p), ERR_MALFORMED);
    assert_int_equal(decode_body((const uint8_t *)"\x92\x02\xc0", 3), ERR_VERSION);
    assert_int_equal(decode_body((const uint8_t *)"\x92\x01\xc0", 3), ERR_MALFORMED);
    assert_int_equal(decode_body((const uint8_t *)"\x90", 1), ERR_MALFORMED);
    assert_int_equal(decode_body((const uint8_t *)"\x01", 1), ERR_MALFORMED);
    assert_int_equal(decode_body((const uint8_t *)"\xc0", 1), ERR_MALFORMED);
}

static void an_envelope_over_the_limit_is_refused_unread(void **state)
{
    (void)state;
    static uint8_t envelope[ENVELOPE_BYTES_MAX + 1];
    struct entry e;
    assert_int_equal(entry_decode(&e, envelope, sizeof envelope), ERR_TOO_LARGE);
    assert_int_equal(entry_decode(&e, envelope, SIZE_MAX), ERR_TOO_LARGE);
    assert_int_equal(entry_decode(&e, envelope, ENVELOPE_BYTES_MAX), ERR_MALFORMED);
    assert_int_equal(entry_decode(&e, envelope, SIG_BYTES), ERR_MALFORMED);
    assert_int_equal(entry_decode(&e, NULL, 0), ERR_MALFORMED);
}

static void the_largest_envelope_is_taken(void **state)
{
    (void)state;
    static uint8_t payload[NOTE_DATA_MAX + 8], out[ENVELOPE_BYTES_MAX + 99],
        data[NOTE_DATA_MAX];
    struct hash account = {{1}}, prev = {{2}}, sealed = {{3}}, refs[8];
    memset(refs, 0, sizeof refs);
    for (unsigned i = 0; i < 8; i++)
        refs[i].b[0] = (uint8_t)(i + 10);
    struct mp_writer w = mp_writer_of(payload, sizeof payload);
    mp_array(&w, 1);
    mp_bin(&w, data, NOTE_DATA_MAX);
    struct entry_draft d = {&account,  INT64_MAX, &prev,
                            refs,      6,         INT64_MAX,
                            INT64_MAX, KIND_NOTE, bytes_of(payload, w.size),
                            &sealed,   INT64_MAX};
    size_t size;
    assert_int_equal(entry_build(&d, device, out, sizeof out, &size), ERR_OK);
    d.ref_count = 8;
    assert_int_equal(entry_build(&d, device, out, sizeof out, &size), ERR_TOO_LARGE);
}

static void unknown_and_reserved_kinds_are_told_apart(void **state)
{
    (void)state;
    struct parts p = parts_of_kind(KIND_NOTE);
    static const uint64_t unknown[] = {0,  16, 31,  34,    47,        53,
                                       63, 69, 255, 70000, UINT64_MAX};
    static const uint64_t reserved[] = {KIND_MINT, KIND_SEAL, KIND_ADOPT, KIND_REMIT,
                                        KIND_COMPACTION};
    for (size_t i = 0; i < COUNT_OF(unknown); i++) {
        set_uint(&p, KIND, unknown[i]);
        assert_int_equal(decode(&p), ERR_KIND_UNKNOWN);
    }
    for (size_t i = 0; i < COUNT_OF(reserved); i++) {
        set_uint(&p, KIND, reserved[i]);
        assert_int_equal(decode(&p), ERR_KIND_RESERVED);
    }
    SET(&p, KIND, "\xff");
    assert_int_equal(decode(&p), ERR_MALFORMED);
}

static void account_and_prev_are_nil_only_in_a_first_entry(void **state)
{
    (void)state;
    static const uint64_t firsts[] = {KIND_OPEN, KIND_LOG_OPEN};
    uint8_t some[34] = {0xc4, 32, 9};
    struct parts p = parts_of_kind(KIND_NOTE);
    SET(&p, ACCOUNT, "\xc0");
    assert_int_equal(decode(&p), ERR_MALFORMED);
    SET(&p, PREV, "\xc0");
    assert_int_equal(decode(&p), ERR_MALFORMED);
    p = parts_of_kind(KIND_NOTE);
    SET(&p, PREV, "\xc0");
    assert_int_equal(decode(&p), ERR_MALFORMED);
    for (size_t i = 0; i < COUNT_OF(firsts); i++) {
        p = parts_of_kind(firsts[i]);
        set(&p, ACCOUNT, some, sizeof some);
        assert_int_equal(decode(&p), ERR_MALFORMED);
        p = parts_of_kind(firsts[i]);
        set(&p, PREV, some, sizeof some);
        assert_int_equal(decode(&p), ERR_MALFORMED);
        p = parts_of_kind(firsts[i]);
        SET(&p, SEQ, "\x01");
        assert_int_equal(decode(&p), ERR_MALFORMED);
        p = parts_of_kind(firsts[i]);
        SET(&p, LAMPORT, "\x00");
        assert_int_equal(decode(&p), ERR_MALFORMED);
        SET(&p, LAMPORT, "\x02");
        assert_int_equal(decode(&p), ERR_MALFORMED);
    }
}

static void set_refs(struct parts *p, const uint8_t first[], size_t count)
{
    struct mp_writer w = mp_writer_of(p->value[REFS], FIELD_BYTES_MAX);
    mp_array(&w, count);
    for (size_t i = 0; i < count; i++) {
        struct hash h = {{first[i]}};
        mp_bin(&w, h.b, sizeof h.b);
    }
    p->size[REFS] = w.size;
}

static void refs_are_strictly_ascending_and_never_prev(void **state)
{
    (void)state;
    struct parts p = parts_of_kind(KIND_NOTE);
    uint8_t prev[34] = {0xc4, 32, 5};
    set(&p, PREV, prev, sizeof prev);
    set_refs(&p, (const uint8_t[]){1, 2, 3, 4, 6, 7, 8, 9}, 8);
    assert_int_equal(decode(&p), ERR_OK);
    set_refs(&p, (const uint8_t[]){1, 1}, 2);
    assert_int_equal(decode(&p), ERR_REFS_ORDER);
    set_refs(&p, (const uint8_t[]){1, 3, 2}, 3);
    assert_int_equal(decode(&p), ERR_REFS_ORDER);
    set_refs(&p, (const uint8_t[]){1, 5, 6}, 3);
    assert_int_equal(decode(&p), ERR_REFS_ORDER);
    set_refs(&p, (const uint8_t[]){5}, 1);
    assert_int_equal(decode(&p), ERR_REFS_ORDER);
    set_refs(&p, (const uint8_t[]){1, 2, 3, 4, 6, 7, 8, 9, 10}, 9);
    assert_int_equal(decode(&p), ERR_MALFORMED);
    SET(&p, REFS, "\xc0");
    assert_int_equal(decode(&p), ERR_MALFORMED);
    SET(&p, REFS, "\x91\xc4\x01x");
    assert_int_equal(decode(&p), ERR_MALFORMED);
}

static void hub_written_and_first_entries_carry_no_refs(void **state)
{
    (void)state;
    static const uint64_t kinds[] = {KIND_ACCRUE,  KIND_ADJUST, KIND_LOG_OPEN,
                                     KIND_HUB_KEY, KIND_RULES,  KIND_CREDIT,
                                     KIND_BOUNCE,  KIND_OPEN};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct parts p = parts_of_kind(kinds[i]);
        set_refs(&p, (const uint8_t[]){1}, 1);
        assert_int_equal(decode(&p), ERR_MALFORMED);
    }
}

static void numbers_over_63_bits_are_refused(void **state)
{
    (void)state;
    static const enum field fields[] = {SEQ, LAMPORT, TIME};
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        struct parts p = parts_of_kind(KIND_NOTE);
        set_uint(&p, fields[i], INT64_MAX);
        assert_int_equal(decode(&p), ERR_OK);
        set_uint(&p, fields[i], (uint64_t)INT64_MAX + 1);
        assert_int_equal(decode(&p), ERR_MALFORMED);
        SET(&p, fields[i], "\xff");
        assert_int_equal(decode(&p), ERR_MALFORMED);
    }
}

static void set_sealed(struct parts *p, size_t count, size_t commitment, uint64_t size)
{
    uint8_t zeros[64] = {0};
    struct mp_writer w = mp_writer_of(p->value[SEALED], FIELD_BYTES_MAX);
    mp_array(&w, count);
    mp_bin(&w, zeros, commitment);
    mp_uint(&w, size);
    if (count > 2)
        mp_nil(&w);
    p->size[SEALED] = w.size;
}

static void sealed_is_nil_or_a_commitment_and_a_size(void **state)
{
    (void)state;
    struct parts p = parts_of_kind(KIND_NOTE);
    set_sealed(&p, 2, 32, 1064);
    assert_int_equal(decode(&p), ERR_OK);
    set_sealed(&p, 3, 32, 1064);
    assert_int_equal(decode(&p), ERR_MALFORMED);
    set_sealed(&p, 2, 31, 1064);
    assert_int_equal(decode(&p), ERR_MALFORMED);
    set_sealed(&p, 2, 33, 1064);
    assert_int_equal(decode(&p), ERR_MALFORMED);
    set_sealed(&p, 2, 32, UINT64_MAX);
    assert_int_equal(decode(&p), ERR_MALFORMED);
    SET(&p, SEALED, "\x90");
    assert_int_equal(decode(&p), ERR_MALFORMED);
    SET(&p, SEALED, "\xc2");
    assert_int_equal(decode(&p), ERR_MALFORMED);
}

static void a_payload_is_an_array_that_fits_its_kind(void **state)
{
    (void)state;
    struct parts p = parts_of_kind(KIND_NOTE);
    SET(&p, PAYLOAD, "\xc0");
    assert_int_equal(decode(&p), ERR_MALFORMED);
    SET(&p, PAYLOAD, "\xc4\x00");
    assert_int_equal(decode(&p), ERR_MALFORMED);
    SET(&p, PAYLOAD, "\x90");
    assert_int_equal(decode(&p), ERR_PAYLOAD);
    SET(&p, PAYLOAD, "\x91\xc0");
    assert_int_equal(decode(&p), ERR_PAYLOAD);
}

static void keys_and_hashes_have_32_bytes(void **state)
{
    (void)state;
    static const enum field fields[] = {ACCOUNT, DEVICE, PREV};
    uint8_t bin[40] = {0xc4};
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        for (uint8_t size = 0; size < 38; size++) {
            struct parts p = parts_of_kind(KIND_NOTE);
            bin[1] = size;
            set(&p, fields[i], bin, 2 + (size_t)size);
            assert_int_equal(decode(&p), size == 32 ? ERR_OK : ERR_MALFORMED);
        }
    struct parts p = parts_of_kind(KIND_NOTE);
    SET(&p, DEVICE, "\xc0");
    assert_int_equal(decode(&p), ERR_MALFORMED);
}

/* Header of the value at `at`: its size, what it announces, and how many bytes follow it.
 */
struct header {
    size_t size;
    uint64_t number;
    size_t follows;
    enum { UINT, NEGATIVE, BIN, STR, ARRAY, OTHER } type;
};

static uint64_t be(const uint8_t *p, size_t width)
{
    uint64_t v = 0;
    for (size_t i = 0; i < width; i++)
        v = v << 8 | p[i];
    return v;
}

static struct header header_at(const uint8_t *at)
{
    uint8_t tag = *at;
    if (tag < 0x80)
        return (struct header){1, tag, 0, UINT};
    if (tag >= 0xe0)
        return (struct header){1, (uint64_t)((int64_t)tag - 256), 0, NEGATIVE};
    if (tag >= 0x90 && tag <= 0x9f)
        return (struct header){1, tag & 15u, 0, ARRAY};
    if (tag >= 0xa0 && tag <= 0xbf)
        return (struct header){1, tag & 31u, tag & 31u, STR};
    if (tag >= 0xcc && tag <= 0xcf)
        return (struct header){1 + ((size_t)1 << (tag - 0xcc)),
                               be(at + 1, (size_t)1 << (tag - 0xcc)), 0, UINT};
    if (tag >= 0xd0 && tag <= 0xd3) {
        size_t width = (size_t)1 << (tag - 0xd0);
        uint64_t high = width < 8 ? UINT64_MAX << (8 * width) : 0;
        return (struct header){1 + width, be(at + 1, width) | high, 0, NEGATIVE};
    }
    if (tag >= 0xc4 && tag <= 0xc6) {
        size_t width = (size_t)1 << (tag - 0xc4);
        return (struct header){1 + width, be(at + 1, width), be(at + 1, width), BIN};
    }
    if (tag >= 0xd9 && tag <= 0xdb) {
        size_t width = (size_t)1 << (tag - 0xd9);
        return (struct header){1 + width, be(at + 1, width), be(at + 1, width), STR};
    }
    if (tag == 0xdc)
        return (struct header){3, be(at + 1, 2), 0, ARRAY};
    return (struct header){1, 0, 0, OTHER};
}

/* All tags a value of a type may be written with, and the width of their number. */
static const struct form {
    int type;
    uint8_t tag;
    uint8_t width;
} forms[] = {
    {UINT, 0xcc, 1},     {UINT, 0xcd, 2},     {UINT, 0xce, 4}, {UINT, 0xcf, 8},
    {UINT, 0xd1, 2},     {UINT, 0xd2, 4},     {UINT, 0xd3, 8}, {NEGATIVE, 0xd1, 2},
    {NEGATIVE, 0xd2, 4}, {NEGATIVE, 0xd3, 8}, {BIN, 0xc4, 1},  {BIN, 0xc5, 2},
    {BIN, 0xc6, 4},      {STR, 0xd9, 1},      {STR, 0xda, 2},  {STR, 0xdb, 4},
    {ARRAY, 0xdc, 2},    {ARRAY, 0xdd, 4},
};

/* Put every other form of the value at `at` in its place. */
static unsigned refuse_other_forms(const uint8_t *body, size_t size, size_t at)
{
    static uint8_t other[ENVELOPE_BYTES_MAX];
    struct header h = header_at(body + at);
    unsigned tried = 0;
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        const struct form *f = &forms[i];
        bool is_int = f->tag >= 0xd0 && f->tag <= 0xd3;
        size_t bits = f->width * 8u - (is_int ? 1u : 0u);
        if ((int)h.type != f->type || (h.type == NEGATIVE && f->width < h.size) ||
            (h.type != NEGATIVE && bits < 64 && h.number >> bits))
            continue;
        memcpy(other, body, at);
        size_t end = at;
        other[end++] = f->tag;
        for (unsigned b = 0; b < f->width; b++)
            other[end++] = (uint8_t)(h.number >> (8 * (f->width - 1u - b)));
        if (end - at == h.size && memcmp(other + at, body + at, h.size) == 0)
            continue; /* the canonical one */
        memcpy(other + end, body + at + h.size, size - at - h.size);
        assert_int_equal(decode_body(other, end + size - at - h.size), ERR_MALFORMED);
        tried++;
    }
    return tried;
}

static void no_field_of_any_kind_has_a_second_form(void **state)
{
    (void)state;
    static uint8_t envelope[ENVELOPE_BYTES_MAX];
    struct rng g = {22};
    unsigned tried = 0;
    for (unsigned i = 0; i < SAMPLE_KINDS; i++)
        for (unsigned n = 0; n < 4; n++) {
            size_t size = sample_entry(envelope, sample_kind(i), &g, device) - SIG_BYTES;
            for (size_t at = 0; at < size;) {
                tried += refuse_other_forms(envelope, size, at);
                struct header h = header_at(envelope + at);
                at += h.size + h.follows;
            }
        }
    assert_true(tried > 5000);
}

static void no_value_may_be_a_map_a_float_or_an_extension(void **state)
{
    (void)state;
    static const uint8_t tags[] = {0x80, 0x8f, 0xc1, 0xc7, 0xc8, 0xc9, 0xca, 0xcb,
                                   0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xde, 0xdf};
    for (unsigned f = 0; f < FIELDS; f++)
        for (size_t i = 0; i < COUNT_OF(tags); i++) {
            struct parts p = parts_of_kind(KIND_NOTE);
            uint8_t value[20] = {tags[i]};
            for (size_t size = 1; size <= sizeof value; size++) {
                set(&p, (enum field)f, value, size);
                assert_int_equal(decode(&p), ERR_MALFORMED);
            }
        }
}

static void nested_arrays_and_bombs_are_refused(void **state)
{
    (void)state;
    struct parts p = parts_of_kind(KIND_NOTE);
    uint8_t bomb[155];
    for (size_t i = 0; i < sizeof bomb; i += 5)
        memcpy(bomb + i, "\xdd\x10\x00\x00\x00", 5);
    assert_int_equal(decode_body(bomb, sizeof bomb), ERR_MALFORMED);
    set(&p, PAYLOAD, bomb, sizeof bomb);
    assert_int_equal(decode(&p), ERR_MALFORMED);
    struct entry e;
    assert_int_equal(entry_decode(&e, bomb, sizeof bomb), ERR_MALFORMED);

    memset(bomb, 0x91, sizeof bomb);
    bomb[7] = 0x01; /* with the body's own array, eight */
    set(&p, PAYLOAD, bomb, 8);
    assert_int_equal(decode(&p), ERR_PAYLOAD);
    bomb[7] = 0x91;
    bomb[8] = 0x01;
    set(&p, PAYLOAD, bomb, 9);
    assert_int_equal(decode(&p), ERR_MALFORMED);
}

static void a_missing_or_extra_field_is_refused(void **state)
{
    (void)state;
    uint8_t body[FIELDS * FIELD_BYTES_MAX + 2];
    struct parts p = parts_of_kind(KIND_NOTE);
    size_t size = assemble(body, &p);
    body[0] = 0x9a;
    assert_int_equal(decode_body(body, size), ERR_MALFORMED);
    assert_int_equal(decode_body(body, size - p.size[SEALED]), ERR_MALFORMED);
    body[0] = 0x9c;
    body[size] = 0xc0;
    assert_int_equal(decode_body(body, size + 1), ERR_MALFORMED);
    body[0] = 0x9b;
    assert_int_equal(decode_body(body, size + 1), ERR_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_parts_decode_before_anything_is_changed),
        cmocka_unit_test(another_version_is_refused_as_such),
        cmocka_unit_test(an_envelope_over_the_limit_is_refused_unread),
        cmocka_unit_test(the_largest_envelope_is_taken),
        cmocka_unit_test(unknown_and_reserved_kinds_are_told_apart),
        cmocka_unit_test(account_and_prev_are_nil_only_in_a_first_entry),
        cmocka_unit_test(refs_are_strictly_ascending_and_never_prev),
        cmocka_unit_test(hub_written_and_first_entries_carry_no_refs),
        cmocka_unit_test(numbers_over_63_bits_are_refused),
        cmocka_unit_test(sealed_is_nil_or_a_commitment_and_a_size),
        cmocka_unit_test(a_payload_is_an_array_that_fits_its_kind),
        cmocka_unit_test(keys_and_hashes_have_32_bytes),
        cmocka_unit_test(no_field_of_any_kind_has_a_second_form),
        cmocka_unit_test(no_value_may_be_a_map_a_float_or_an_extension),
        cmocka_unit_test(nested_arrays_and_bombs_are_refused),
        cmocka_unit_test(a_missing_or_extra_field_is_refused),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
