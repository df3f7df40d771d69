#include "fuzz.h"
#include "ledger/mp.h"
#include "other.h"

#ifdef STOA_HAVE_MSGPACK
#include <msgpack.h>
#include <string.h>

/* Does any header announce more elements than there are bytes after it? A walk over
 * headers alone: values of MessagePack follow each other whatever their nesting. */
static bool is_bomb(const uint8_t *data, size_t size)
{
    uint64_t announced = 1;
    for (size_t at = 0; at < size && announced > 0; announced--) {
        uint8_t h = data[at++];
        size_t width = 0, skip = 0, count = 0;
        bool is_count = false;
        if (h >= 0x80 && h <= 0x8f) {
            count = (size_t)(h & 15) * 2;
        } else if (h >= 0x90 && h <= 0x9f) {
            count = h & 15;
        } else if (h >= 0xa0 && h <= 0xbf) {
            skip = h & 31;
        } else if (h >= 0xc4 && h <= 0xc9) {
            static const uint8_t widths[] = {1, 2, 4, 1, 2, 4};
            width = widths[h - 0xc4];
        } else if (h >= 0xca && h <= 0xd3) {
            static const uint8_t sizes[] = {4, 8, 1, 2, 4, 8, 1, 2, 4, 8};
            skip = sizes[h - 0xca];
        } else if (h >= 0xd4 && h <= 0xd8) {
            skip = 1 + ((size_t)1 << (h - 0xd4));
        } else if (h >= 0xd9 && h <= 0xdb) {
            width = (size_t)1 << (h - 0xd9);
        } else if (h >= 0xdc && h <= 0xdf) {
            width = h & 1 ? 4 : 2;
            is_count = true;
        }
        if (width > size - at)
            return false;
        uint64_t n = 0;
        for (size_t i = 0; i < width; i++)
            n = n << 8 | data[at++];
        if (is_count)
            count = (size_t)(h >= 0xde ? 2 * n : n);
        else if (width > 0)
            skip = (size_t)n + (h >= 0xc7 && h <= 0xc9);
        announced += count;
        if (announced > size + 1)
            return true;
        if (skip > size - at)
            return false; /* msgpack-c runs out of bytes here */
        at += skip;
    }
    return false;
}

/* RFC 3629, as its table says it. */
static bool is_utf8(const uint8_t *s, size_t size)
{
    for (size_t i = 0; i < size;) {
        uint8_t c = s[i];
        size_t more = c < 0x80 ? 0 : c < 0xc2 ? 9 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        if (more > 3 || c > 0xf4 || more > size - i - 1)
            return false;
        uint8_t low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
        uint8_t high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
        for (size_t j = 1; j <= more; j++, low = 0x80, high = 0xbf)
            if (s[i + j] < low || s[i + j] > high)
                return false;
        i += more + 1;
    }
    return true;
}

static bool in_subset(const msgpack_object *o, unsigned depth)
{
    switch (o->type) {
    case MSGPACK_OBJECT_NIL:
    case MSGPACK_OBJECT_BOOLEAN:
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
    case MSGPACK_OBJECT_BIN:
        return true;
    case MSGPACK_OBJECT_STR:
        return is_utf8((const uint8_t *)o->via.str.ptr, o->via.str.size);
    case MSGPACK_OBJECT_ARRAY:
        if (depth == MP_DEPTH_MAX)
            return false;
        for (uint32_t i = 0; i < o->via.array.size; i++)
            if (!in_subset(&o->via.array.ptr[i], depth + 1))
                return false;
        return true;
    default:
        return false;
    }
}

static bool writes_same(const msgpack_object *o, const uint8_t *data, size_t size)
{
    msgpack_sbuffer out;
    msgpack_packer packer;
    msgpack_sbuffer_init(&out);
    msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
    bool same = msgpack_pack_object(&packer, *o) == 0 && out.size == size &&
                memcmp(out.data, data, size) == 0;
    msgpack_sbuffer_destroy(&out);
    return same;
}

enum other_mp other_mp_read(const uint8_t *data, size_t data_size, size_t *size)
{
    msgpack_unpacked found;
    size_t offset = 0;
    if (is_bomb(data, data_size))
        return OTHER_UNASKED;
    msgpack_unpacked_init(&found);
    enum other_mp verdict = OTHER_REFUSED;
    if (msgpack_unpack_next(&found, (const char *)data, data_size, &offset) ==
            MSGPACK_UNPACK_SUCCESS &&
        in_subset(&found.data, 0) && writes_same(&found.data, data, offset))
        verdict = OTHER_SAME;
    *size = offset;
    msgpack_unpacked_destroy(&found);
    return verdict;
}
#else
enum other_mp other_mp_read(const uint8_t *data, size_t data_size, size_t *size)
{
    (void)data;
    (void)data_size;
    *size = 0;
    return OTHER_UNASKED;
}
#endif
