#include "ledger/mp.h"

#include <assert.h>
#include <string.h>

/* Tags of the format that are used here; everything else does not decode. */
enum tag {
    TAG_UINT_MAX = 0x7f,
    TAG_ARRAY = 0x90,
    TAG_ARRAY_MAX = 0x9f,
    TAG_STR = 0xa0,
    TAG_STR_MAX = 0xbf,
    TAG_NIL = 0xc0,
    TAG_FALSE = 0xc2,
    TAG_TRUE = 0xc3,
    TAG_BIN8 = 0xc4,
    TAG_BIN32 = 0xc6,
    TAG_UINT8 = 0xcc,
    TAG_UINT64 = 0xcf,
    TAG_INT8 = 0xd0,
    TAG_INT64 = 0xd3,
    TAG_STR8 = 0xd9,
    TAG_STR32 = 0xdb,
    TAG_ARRAY16 = 0xdc,
    TAG_ARRAY32 = 0xdd,
    TAG_NEGATIVE = 0xe0
};

/* Smallest value that needs a header of this width (1 << i bytes). */
static const uint64_t uint_least[4] = {0x80, 0x100, 0x10000, UINT64_C(0x100000000)};
static const int64_t int_most[4] = {-33, -129, -32769, INT64_C(-2147483649)};
static const size_t bin_least[3] = {0, 0x100, 0x10000};
static const size_t str_least[3] = {32, 0x100, 0x10000};
static const size_t array_least[2] = {16, 0x10000};

static const uint8_t no_bytes[1];

static inline size_t left_of(const struct mp_reader *r)
{
    return (size_t)(r->end - r->at);
}

static inline uint64_t load_be(const uint8_t *p, unsigned width)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < width; i++)
        v = v << 8 | p[i];
    return v;
}

static inline uint64_t load_be64(const uint8_t *p)
{
    return (uint64_t)p[0] << 56 | (uint64_t)p[1] << 48 | (uint64_t)p[2] << 40 |
           (uint64_t)p[3] << 32 | (uint64_t)p[4] << 24 | (uint64_t)p[5] << 16 |
           (uint64_t)p[6] << 8 | p[7];
}

bool mp_read_bool(struct mp_reader *r, bool *out)
{
    *out = false;
    if (r->at == r->end || (*r->at != TAG_FALSE && *r->at != TAG_TRUE))
        return mp_fail(r);
    *out = *r->at++ == TAG_TRUE;
    return true;
}

bool mp_read_uint_(struct mp_reader *r, uint64_t *out)
{
    *out = 0;
    size_t left = left_of(r);
    if (left == 0)
        return mp_fail(r);

    uint8_t tag = *r->at;
    if (tag <= TAG_UINT_MAX) {
        *out = tag;
        r->at++;
        return true;
    }
    if (tag < TAG_UINT8 || tag > TAG_UINT64)
        return mp_fail(r);
    unsigned size_class = (unsigned)(tag - TAG_UINT8);
    unsigned width = 1u << size_class;
    if (left - 1 < width)
        return mp_fail(r);
    /* Eight bytes at once where there are eight, which is nearly always. */
    uint64_t v =
        left > 8 ? load_be64(r->at + 1) >> (64 - 8 * width) : load_be(r->at + 1, width);
    if (v < uint_least[size_class])
        return mp_fail(r);
    *out = v;
    r->at += 1 + width;
    return true;
}

/* A negative integer in its shortest form; the tag is already known to be one. */
static bool read_negative(struct mp_reader *r, int64_t *out)
{
    uint8_t tag = *r->at;
    if (tag >= TAG_NEGATIVE) {
        *out = (int64_t)tag - 256;
        r->at++;
        return true;
    }
    unsigned size_class = (unsigned)(tag - TAG_INT8);
    unsigned width = 1u << size_class;
    if (left_of(r) - 1 < width)
        return mp_fail(r);
    uint64_t bits = load_be(r->at + 1, width);
    if (width < 8)
        bits |=
            UINT64_MAX << (8 * width); /* right only for a negative one: tested next */
    bool negative = (r->at[1] & 0x80) != 0;
    int64_t v = negative ? -(int64_t)~bits - 1 : 0;
    if (!negative || v > int_most[size_class])
        return mp_fail(r);
    *out = v;
    r->at += 1 + width;
    return true;
}

static inline bool is_negative_tag(uint8_t tag)
{
    return tag >= TAG_NEGATIVE || (tag >= TAG_INT8 && tag <= TAG_INT64);
}

bool mp_read_int(struct mp_reader *r, int64_t *out)
{
    *out = 0;
    if (r->at != r->end && is_negative_tag(*r->at))
        return read_negative(r, out);
    uint64_t v;
    if (!mp_read_uint(r, &v))
        return false;
    if (v > INT64_MAX)
        return mp_fail(r);
    *out = (int64_t)v;
    return true;
}

/* Length behind a tag whose header is 1 << size_class bytes; the reader is moved past it.
 */
static bool read_length(struct mp_reader *r, unsigned size_class, size_t least,
                        size_t *out)
{
    unsigned width = 1u << size_class;
    if (left_of(r) - 1 < width)
        return mp_fail(r);
    size_t length = (size_t)load_be(r->at + 1, width);
    if (length < least)
        return mp_fail(r);
    r->at += 1 + width;
    *out = length;
    return true;
}

/* Bytes that follow a header. */
static bool take(struct mp_reader *r, struct bytes *out, size_t size, size_t max)
{
    if (size > max || size > left_of(r))
        return mp_fail(r);
    *out = (struct bytes){r->at, size};
    r->at += size;
    return true;
}

bool mp_read_bin(struct mp_reader *r, struct bytes *out, size_t max)
{
    *out = (struct bytes){no_bytes, 0};
    if (r->at == r->end || *r->at < TAG_BIN8 || *r->at > TAG_BIN32)
        return mp_fail(r);
    unsigned size_class = (unsigned)(*r->at - TAG_BIN8);
    size_t size;
    return read_length(r, size_class, bin_least[size_class], &size) &&
           take(r, out, size, max);
}

bool mp_read_bin_exact_(struct mp_reader *r, void *out, size_t size)
{
    struct bytes b;
    if (!mp_read_bin(r, &b, size) || b.size != size) {
        memset(out, 0, size);
        return mp_fail(r);
    }
    memcpy(out, b.data, size);
    return true;
}

/* One multi-byte UTF-8 sequence at p, whose first byte is >= 80; its length, or 0 when it
 * is overlong, a surrogate, past U+10FFFF or cut short (Unicode 15, table 3-7). */
static size_t utf8_sequence(const uint8_t *p, size_t left)
{
    uint8_t first = p[0];
    size_t size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first < 0xc2 || first > 0xf4 || size > left)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((first == 0xe0 && p[1] < 0xa0) || (first == 0xed && p[1] > 0x9f) ||
        (first == 0xf0 && p[1] < 0x90) || (first == 0xf4 && p[1] > 0x8f))
        return 0;
    return size;
}

static bool utf8_ok(struct bytes b)
{
    size_t i = 0;
    while (i < b.size) {
        uint64_t eight;
        if (b.size - i >= sizeof eight) {
            memcpy(&eight, b.data + i, sizeof eight);
            if ((eight & UINT64_C(0x8080808080808080)) == 0) {
                i += sizeof eight;
                continue;
            }
        }
        size_t step = b.data[i] < 0x80 ? 1 : utf8_sequence(b.data + i, b.size - i);
        if (step == 0)
            return false;
        i += step;
    }
    return true;
}

bool mp_read_str(struct mp_reader *r, struct bytes *out, size_t max)
{
    *out = (struct bytes){no_bytes, 0};
    if (r->at == r->end)
        return mp_fail(r);
    uint8_t tag = *r->at;
    size_t size;
    if (tag >= TAG_STR && tag <= TAG_STR_MAX) {
        size = (size_t)(tag - TAG_STR);
        r->at++;
    } else if (tag >= TAG_STR8 && tag <= TAG_STR32) {
        unsigned size_class = (unsigned)(tag - TAG_STR8);
        if (!read_length(r, size_class, str_least[size_class], &size))
            return false;
    } else {
        return mp_fail(r);
    }
    if (!take(r, out, size, max))
        return false;
    if (!utf8_ok(*out)) {
        *out = (struct bytes){no_bytes, 0};
        return mp_fail(r);
    }
    return true;
}

bool mp_read_array_(struct mp_reader *r, size_t *count, size_t max)
{
    *count = 0;
    if (r->at == r->end)
        return mp_fail(r);
    uint8_t tag = *r->at;
    size_t n;
    if (tag >= TAG_ARRAY && tag <= TAG_ARRAY_MAX) {
        n = (size_t)(tag - TAG_ARRAY);
        r->at++;
    } else if (tag == TAG_ARRAY16 || tag == TAG_ARRAY32) {
        unsigned size_class = (unsigned)(tag - TAG_ARRAY16);
        if (!read_length(r, size_class + 1, array_least[size_class], &n))
            return false;
    } else {
        return mp_fail(r);
    }
    if (n > max || n > left_of(r))
        return mp_fail(r);
    *count = n;
    return true;
}

/* One value that is not an array. */
static bool skip_scalar(struct mp_reader *r)
{
    uint8_t tag = *r->at;
    struct bytes span;
    uint64_t number;
    int64_t negative;
    if (tag <= TAG_UINT_MAX || tag == TAG_NIL || tag == TAG_FALSE || tag == TAG_TRUE) {
        r->at++;
        return true;
    }
    if (tag >= TAG_BIN8 && tag <= TAG_BIN32)
        return mp_read_bin(r, &span, SIZE_MAX);
    if ((tag >= TAG_STR && tag <= TAG_STR_MAX) || (tag >= TAG_STR8 && tag <= TAG_STR32))
        return mp_read_str(r, &span, SIZE_MAX);
    if (tag >= TAG_UINT8 && tag <= TAG_UINT64)
        return mp_read_uint(r, &number);
    if (is_negative_tag(tag))
        return read_negative(r, &negative);
    return mp_fail(r);
}

static inline bool is_array_tag(uint8_t tag)
{
    return (tag >= TAG_ARRAY && tag <= TAG_ARRAY_MAX) || tag == TAG_ARRAY16 ||
           tag == TAG_ARRAY32;
}

/* As skip_scalar, for the forms that most values have. */
static inline bool skip_common(struct mp_reader *r)
{
    uint8_t tag = *r->at;
    if (tag <= TAG_UINT_MAX || tag == TAG_NIL) {
        r->at++;
        return true;
    }
    if (tag == TAG_BIN8 && left_of(r) >= 2 && left_of(r) - 2 >= r->at[1]) {
        r->at += 2 + r->at[1];
        return true;
    }
    if (tag >= TAG_UINT8 && tag <= TAG_UINT64) {
        uint64_t number;
        return mp_read_uint_(r, &number);
    }
    return skip_scalar(r);
}

bool mp_skip_nested(struct mp_reader *r, unsigned depth_max)
{
    assert(depth_max <= MP_DEPTH_MAX);
    size_t after[MP_DEPTH_MAX]; /* what `pending` is when an open array ends */
    unsigned depth = 0;
    size_t pending = 1; /* values still to come, in all: each takes a byte at least */

    do {
        if (pending > left_of(r))
            return mp_fail(r);
        pending--;
        if (is_array_tag(*r->at)) {
            size_t count;
            if (depth == depth_max || !mp_read_array(r, &count, SIZE_MAX))
                return mp_fail(r);
            after[depth++] = pending;
            pending += count; /* both are at most the bytes there are: no overflow */
        } else if (!skip_common(r)) {
            return false;
        }
        while (depth > 0 && pending == after[depth - 1])
            depth--;
    } while (depth > 0);
    return true;
}

bool mp_skip(struct mp_reader *r)
{
    return mp_skip_nested(r, MP_DEPTH_MAX);
}

bool mp_read_raw(struct mp_reader *r, struct bytes *out)
{
    const uint8_t *start = r->at;
    *out = (struct bytes){no_bytes, 0};
    if (!mp_skip(r))
        return false;
    *out = (struct bytes){start, (size_t)(r->at - start)};
    return true;
}
