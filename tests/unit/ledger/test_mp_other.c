/* Differential test: what we write, msgpack-c reads as the same values and writes back as
 * the same bytes; what msgpack-c writes of random values, we read. */
#include <msgpack.h>
#include <string.h>

#include "ledger/entry.h"
#include "ledger/kinds.h"
#include "ledger/mp.h"
#include "sample.h"
#include "test.h"

static struct key *device;

static int start(void **state)
{
    (void)state;
    static const uint8_t seed[SEED_BYTES] = {7, 8, 9};
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

/* The same value by both readers, whole tree. */
static void assert_same(struct mp_reader *r, const msgpack_object *o)
{
    struct bytes b;
    uint64_t u;
    int64_t i;
    bool flag;
    size_t count;
    switch (o->type) {
    case MSGPACK_OBJECT_NIL:
        assert_true(mp_read_nil(r));
        break;
    case MSGPACK_OBJECT_BOOLEAN:
        assert_true(mp_read_bool(r, &flag) && flag == o->via.boolean);
        break;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        assert_true(mp_read_uint(r, &u) && u == o->via.u64);
        break;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        assert_true(mp_read_int(r, &i) && i == o->via.i64);
        break;
    case MSGPACK_OBJECT_BIN:
        assert_true(mp_read_bin(r, &b, SIZE_MAX) && b.size == o->via.bin.size);
        assert_true(b.size == 0 || memcmp(b.data, o->via.bin.ptr, b.size) == 0);
        break;
    case MSGPACK_OBJECT_STR:
        assert_true(mp_read_str(r, &b, SIZE_MAX) && b.size == o->via.str.size);
        assert_true(b.size == 0 || memcmp(b.data, o->via.str.ptr, b.size) == 0);
        break;
    case MSGPACK_OBJECT_ARRAY:
        assert_true(mp_read_array(r, &count, SIZE_MAX) && count == o->via.array.size);
        for (size_t n = 0; n < count; n++)
            assert_same(r, &o->via.array.ptr[n]);
        break;
    default:
        fail_msg("a type the protocol does not use: %d", (int)o->type);
    }
}

/* Both ways over one encoding. */
static void compare(const uint8_t *data, size_t size)
{
    msgpack_unpacked found;
    msgpack_unpacked_init(&found);
    size_t offset = 0;
    assert_int_equal(msgpack_unpack_next(&found, (const char *)data, size, &offset),
                     MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(offset, size);
    struct mp_reader r = mp_reader_of(data, size);
    assert_same(&r, &found.data);
    assert_true(mp_done(&r));

    msgpack_sbuffer again;
    msgpack_sbuffer_init(&again);
    msgpack_packer packer;
    msgpack_packer_init(&packer, &again, msgpack_sbuffer_write);
    assert_int_equal(msgpack_pack_object(&packer, found.data), 0);
    assert_int_equal(again.size, size);
    assert_memory_equal(again.data, data, size);
    msgpack_sbuffer_destroy(&again);
    msgpack_unpacked_destroy(&found);
}

static void random_entries_mean_the_same_to_msgpack_c(void **state)
{
    (void)state;
    static uint8_t envelope[ENVELOPE_BYTES_MAX];
    struct rng g = {51};
    for (unsigned i = 0; i < SAMPLE_KINDS; i++)
        for (unsigned n = 0; n < 30; n++) {
            size_t size = sample_entry(envelope, sample_kind(i), &g, device);
            compare(envelope, size - SIG_BYTES);
        }
}

static void pack_random(msgpack_packer *p, struct rng *g, unsigned depth)
{
    char text[400];
    size_t size = rng_below(g, rng_below(g, 2) ? 40 : sizeof text);
    memset(text, 'a' + (int)rng_below(g, 26), sizeof text);
    uint64_t any = rng_next(g) >> rng_below(g, 64);
    switch (rng_below(g, depth < MP_DEPTH_MAX ? 7 : 6)) {
    case 0:
        msgpack_pack_nil(p);
        break;
    case 1:
        if (any & 1)
            msgpack_pack_true(p);
        else
            msgpack_pack_false(p);
        break;
    case 2:
        msgpack_pack_uint64(p, any);
        break;
    case 3:
        msgpack_pack_int64(p, (int64_t)(any & INT64_MAX) * (rng_below(g, 2) ? 1 : -1));
        break;
    case 4:
        msgpack_pack_str(p, size);
        msgpack_pack_str_body(p, text, size);
        break;
    case 5:
        msgpack_pack_bin(p, size);
        msgpack_pack_bin_body(p, text, size);
        break;
    default: {
        size_t count = rng_below(g, depth < 3 ? 20 : 3);
        msgpack_pack_array(p, count);
        for (size_t i = 0; i < count; i++)
            pack_random(p, g, depth + 1);
    }
    }
}

static void random_values_of_msgpack_c_decode_here(void **state)
{
    (void)state;
    struct rng g = {52};
    for (unsigned n = 0; n < 3000; n++) {
        msgpack_sbuffer out;
        msgpack_sbuffer_init(&out);
        msgpack_packer packer;
        msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
        pack_random(&packer, &g, 0);
        compare((const uint8_t *)out.data, out.size);
        struct mp_reader r = mp_reader_of(out.data, out.size);
        assert_true(mp_skip(&r) && mp_done(&r));
        msgpack_sbuffer_destroy(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_entries_mean_the_same_to_msgpack_c),
        cmocka_unit_test(random_values_of_msgpack_c_decode_here),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
