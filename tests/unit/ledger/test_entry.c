#include "ledger/entry.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/context.h"
#include "crypto/note.h"
#include "ledger/mp.h"
#include "sample.h"
#include "test.h"

/* Computed by a program that shares no code with this one. */
#define GOLDEN_ID "dc4a1031af9bd8c15a05209aa8f6ff112391f2e8a95c1fafd29415f835b9a93e"
#define GOLDEN_SIG                                                                       \
    "77457557710125ae9c6e1f9b3602c2d54e31a013ebae96df463f9d70b164318a"                   \
    "463108f2fd0217203bd2e53cbe86d0bf9e014238aebdc8e8c9e5983e0c242505"
#define GOLDEN_HEAD "432ef1b50d53c6f832745864913fea52374acfd6c15171f65c21e911e0d40012"
#define GOLDEN_LEAF "7dcc74c5266843625d06c873a0d3b6d58450b1466609c2899a6d1657a03e0462"

static struct key *device;

static int start(void **state)
{
    (void)state;
    static const uint8_t seed[SEED_BYTES] = {1, 2, 3};
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

static void every_kind_round_trips_to_the_same_bytes(void **state)
{
    (void)state;
    static uint8_t envelope[ENVELOPE_BYTES_MAX], again[ENVELOPE_BYTES_MAX];
    struct rng g = {7};
    for (unsigned i = 0; i < SAMPLE_KINDS; i++)
        for (unsigned n = 0; n < 40; n++) {
            uint64_t kind = sample_kind(i);
            size_t size = sample_entry(envelope, kind, &g, device);
            struct entry e;
            assert_int_equal(entry_decode(&e, envelope, size), ERR_OK);
            assert_true(e.kind == kind);
            assert_ptr_equal(e.envelope.data, envelope);
            assert_int_equal(e.body.size + SIG_BYTES, size);
            assert_true(entry_verify(&e));
            assert_int_equal(reencode(again, &e), size);
            assert_memory_equal(again, envelope, size);
        }
}

/* In a block of exactly the cut size, so that a read past it is seen. */
static void every_truncation_is_refused(void **state)
{
    (void)state;
    static uint8_t envelope[ENVELOPE_BYTES_MAX];
    struct rng g = {8};
    for (unsigned i = 0; i < SAMPLE_KINDS; i++) {
        size_t size = sample_entry(envelope, sample_kind(i), &g, device);
        for (size_t cut = 1; cut < size; cut++) {
            struct entry e;
            uint8_t *exact = malloc(cut);
            assert_non_null(exact);
            memcpy(exact, envelope, cut);
            assert_int_equal(entry_decode(&e, exact, cut), ERR_MALFORMED);
            free(exact);
        }
    }
}

static void a_longer_envelope_is_refused(void **state)
{
    (void)state;
    static uint8_t envelope[ENVELOPE_BYTES_MAX + 1];
    struct rng g = {9};
    size_t size = sample_entry(envelope, KIND_TRANSFER, &g, device);
    struct entry e;
    for (size_t more = 1; more < 100; more++) {
        memset(envelope + size, 0, more);
        assert_int_equal(entry_decode(&e, envelope, size + more), ERR_MALFORMED);
    }
}

/* A flip is refused, or it is another entry: other fields, which encode to the flipped
 * bytes, another id unless only the signature changed, and never the device's signature.
 */
static void every_flipped_bit_is_refused_or_means_something_else(void **state)
{
    (void)state;
    static uint8_t envelope[ENVELOPE_BYTES_MAX], again[ENVELOPE_BYTES_MAX];
    static const uint64_t kinds[] = {KIND_ACCRUE, KIND_INVITE, KIND_RECOVERY_BEGIN,
                                     KIND_OPEN,   KIND_BIND,   KIND_CREDIT};
    struct rng g = {10};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        size_t size = sample_entry(envelope, kinds[i], &g, device);
        struct entry original, e;
        assert_int_equal(entry_decode(&original, envelope, size), ERR_OK);
        for (size_t bit = 0; bit < size * 8; bit++) {
            envelope[bit / 8] ^= (uint8_t)(1 << bit % 8);
            if (entry_decode(&e, envelope, size) == ERR_OK) {
                assert_int_equal(reencode(again, &e), size);
                assert_memory_equal(again, envelope, size);
                bool in_body = bit / 8 < size - SIG_BYTES;
                assert_int_equal(hash_equal(&e.id, &original.id), !in_body);
                if (bit % 11 == 0)
                    assert_false(entry_verify(&e));
            }
            envelope[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}

static void the_id_covers_the_body_without_the_signature(void **state)
{
    (void)state;
    static uint8_t envelope[ENVELOPE_BYTES_MAX], message[ENVELOPE_BYTES_MAX + 64];
    struct rng g = {11};
    size_t size = sample_entry(envelope, KIND_NOTE, &g, device);
    struct entry e, second;
    assert_int_equal(entry_decode(&e, envelope, size), ERR_OK);
    memcpy(message, "stoa/entry/v1", 14); /* with its zero byte */
    memcpy(message + 14, envelope, size - SIG_BYTES);
    struct hash id = hash_sha256(message, 14 + size - SIG_BYTES);
    assert_memory_equal(&id, &e.id, sizeof id);

    envelope[size - 1] ^= 1;
    assert_int_equal(entry_decode(&second, envelope, size), ERR_OK);
    assert_memory_equal(&second.id, &e.id, sizeof id);
    assert_false(entry_verify(&second));
}

/* Bytes, id, signature and head of one transfer, computed by another program. */
static void a_known_entry_has_its_known_bytes(void **state)
{
    (void)state;
    struct hash account, prev, refs[2], sealed;
    memset(account.b, 0xa1, HASH_BYTES);
    memset(prev.b, 0xb2, HASH_BYTES);
    memset(refs[0].b, 0x01, HASH_BYTES);
    memset(refs[1].b, 0xc3, HASH_BYTES);
    memset(sealed.b, 0xd4, HASH_BYTES);
    static struct payload p;
    p.kind = KIND_TRANSFER;
    p.transfer.payee_count = 2;
    memset(p.transfer.payees[0].account.b, 0x11, HASH_BYTES);
    p.transfer.payees[0].hub = (struct bytes){NULL, 0};
    p.transfer.payees[0].amount = 12500000;
    memset(p.transfer.payees[1].account.b, 0x22, HASH_BYTES);
    p.transfer.payees[1].hub = bytes_of("hub.example", 11);
    p.transfer.payees[1].amount = 1;
    uint8_t payload[256], envelope[1024];
    struct mp_writer w = mp_writer_of(payload, sizeof payload);
    payload_encode(&w, &p);
    struct entry_draft d = {&account,
                            300,
                            &prev,
                            refs,
                            2,
                            70000,
                            UINT64_C(1700000000000),
                            KIND_TRANSFER,
                            bytes_of(payload, w.size),
                            &sealed,
                            1064};
    size_t size;
    assert_int_equal(entry_build(&d, device, envelope, sizeof envelope, &size), ERR_OK);

    struct entry e;
    assert_int_equal(entry_decode(&e, envelope, size), ERR_OK);
    char text[2 * SIG_BYTES + 1];
    hex_encode(text, e.id.b, sizeof e.id.b);
    assert_string_equal(text, GOLDEN_ID);
    hex_encode(text, e.sig.b, sizeof e.sig.b);
    assert_string_equal(text, GOLDEN_SIG);
    struct hash zero = {{0}};
    struct hash head = account_head_next(&zero, e.envelope);
    hex_encode(text, head.b, sizeof head.b);
    assert_string_equal(text, GOLDEN_HEAD);
    struct record r = {.account_head = head,
                       .hub_lamport = 0x0102030405060708,
                       .hub_time_ms = 9,
                       .envelope = e.envelope};
    struct hash leaf = record_leaf_hash(&r);
    hex_encode(text, leaf.b, sizeof leaf.b);
    assert_string_equal(text, GOLDEN_LEAF);
}

static void a_leaf_is_envelope_hash_head_lamport_and_time(void **state)
{
    (void)state;
    struct record r = {.hub_lamport = 0x0102030405060708,
                       .hub_time_ms = 0x1112131415161718};
    memset(r.account_head.b, 0x77, HASH_BYTES);
    r.envelope = bytes_of("abc", 3);
    uint8_t leaf[LEAF_BYTES];
    record_leaf(&r, leaf);
    struct hash abc = hash_sha256("abc", 3);
    assert_memory_equal(leaf, abc.b, 32);
    assert_memory_equal(leaf + 32, r.account_head.b, 32);
    assert_memory_equal(leaf + 64, "\x01\x02\x03\x04\x05\x06\x07\x08", 8);
    assert_memory_equal(leaf + 72, "\x11\x12\x13\x14\x15\x16\x17\x18", 8);
    struct hash direct = hash_leaf(leaf, sizeof leaf), helped = record_leaf_hash(&r);
    assert_memory_equal(&direct, &helped, sizeof direct);
}

static void slots_split_the_ids_evenly(void **state)
{
    (void)state;
    struct hash h = {{0}};
    assert_int_equal(slot_of(&h, 16), 0);
    h.b[0] = 0x0f;
    h.b[1] = 0xff;
    assert_int_equal(slot_of(&h, 16), 0);
    h.b[0] = 0x10;
    h.b[1] = 0x00;
    assert_int_equal(slot_of(&h, 16), 1);
    memset(h.b, 0xff, sizeof h.b);
    assert_int_equal(slot_of(&h, 1), 0);
    assert_int_equal(slot_of(&h, 2), 1);
    assert_int_equal(slot_of(&h, 16), 15);
    assert_int_equal(slot_of(&h, SLOTS_MAX), 255);
}

static void the_account_of_an_open_is_its_own_id(void **state)
{
    (void)state;
    static uint8_t envelope[ENVELOPE_BYTES_MAX];
    struct rng g = {12};
    struct entry e;
    size_t size = sample_entry(envelope, KIND_OPEN, &g, device);
    assert_int_equal(entry_decode(&e, envelope, size), ERR_OK);
    assert_ptr_equal(entry_account(&e), &e.id);
    size = sample_entry(envelope, KIND_NOTE, &g, device);
    assert_int_equal(entry_decode(&e, envelope, size), ERR_OK);
    assert_ptr_equal(entry_account(&e), &e.account);
}

static void build_says_when_there_is_no_room(void **state)
{
    (void)state;
    static uint8_t out[ENVELOPE_BYTES_MAX + 4096], data[NOTE_DATA_MAX + 400];
    struct hash account = {{1}}, prev = {{2}};
    uint8_t payload[] = {0x91, 0xc4, 0x00};
    struct entry_draft d = {.account = &account,
                            .prev = &prev,
                            .lamport = 2,
                            .kind = KIND_NOTE,
                            .payload = bytes_of(payload, sizeof payload)};
    size_t size, cut = 0;
    assert_int_equal(entry_build(&d, device, out, sizeof out, &size), ERR_OK);
    for (size_t cap = 0; cap < size; cap++)
        assert_int_equal(entry_build(&d, device, out, cap, &cut), ERR_ROOM);
    assert_int_equal(cut, 0);
    assert_int_equal(entry_build(&d, device, out, size, &cut), ERR_OK);
    assert_int_equal(cut, size);

    struct mp_writer w = mp_writer_of(data, sizeof data);
    mp_array(&w, 1);
    mp_bin(&w, out, NOTE_DATA_MAX + 1);
    d.payload = bytes_of(data, w.size);
    assert_false(w.full);
    assert_int_equal(entry_build(&d, device, out, sizeof out, &size), ERR_PAYLOAD);
    w = mp_writer_of(out, sizeof out);
    mp_array(&w, 1);
    mp_bin(&w, data, NOTE_DATA_MAX + 400);
    static uint8_t large[NOTE_DATA_MAX + 500];
    memcpy(large, out, w.size);
    d.payload = bytes_of(large, w.size);
    assert_int_equal(entry_build(&d, device, out, sizeof out, &size), ERR_TOO_LARGE);
}

static void build_refuses_what_decode_refuses(void **state)
{
    (void)state;
    uint8_t out[1024], payload[] = {0x91, 0xc4, 0x00};
    struct hash account = {{1}}, prev = {{2}}, refs[9];
    struct entry_draft d = {.account = &account,
                            .prev = &prev,
                            .refs = refs,
                            .lamport = 2,
                            .kind = KIND_NOTE,
                            .payload = bytes_of(payload, sizeof payload)};
    memset(refs, 0, sizeof refs);
    size_t size;
    d.ref_count = 2;
    assert_int_equal(entry_build(&d, device, out, sizeof out, &size), ERR_REFS_ORDER);
    d.ref_count = 9;
    assert_int_equal(entry_build(&d, device, out, sizeof out, &size), ERR_MALFORMED);
    d.ref_count = 0;
    d.account = NULL;
    assert_int_equal(entry_build(&d, device, out, sizeof out, &size), ERR_MALFORMED);
    d.account = &account;
    d.seq = UINT64_MAX;
    assert_int_equal(entry_build(&d, device, out, sizeof out, &size), ERR_MALFORMED);
    d.seq = 0;
    d.kind = KIND_MINT;
    assert_int_equal(entry_build(&d, device, out, sizeof out, &size), ERR_KIND_RESERVED);
    d.kind = 9999;
    assert_int_equal(entry_build(&d, device, out, sizeof out, &size), ERR_KIND_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_round_trips_to_the_same_bytes),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(a_longer_envelope_is_refused),
        cmocka_unit_test(every_flipped_bit_is_refused_or_means_something_else),
        cmocka_unit_test(the_id_covers_the_body_without_the_signature),
        cmocka_unit_test(a_known_entry_has_its_known_bytes),
        cmocka_unit_test(a_leaf_is_envelope_hash_head_lamport_and_time),
        cmocka_unit_test(slots_split_the_ids_evenly),
        cmocka_unit_test(the_account_of_an_open_is_its_own_id),
        cmocka_unit_test(build_says_when_there_is_no_room),
        cmocka_unit_test(build_refuses_what_decode_refuses),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
