#include "ledger/mp.h"

#include <string.h>

struct mp_writer mp_writer_of(void *data, size_t cap)
{
    return (struct mp_writer){(uint8_t *)data, 0, cap, false};
}

/* Room for `size` more bytes, already counted; NULL when they do not fit. */
static uint8_t *put(struct mp_writer *w, size_t size)
{
    if (w->full || size > w->cap - w->size) {
        w->full = true;
        return NULL;
    }
    uint8_t *at = w->data + w->size;
    w->size += size;
    return at;
}

/* A tag and a big-endian number of `width` bytes behind it. */
static void put_tag(struct mp_writer *w, unsigned tag, uint64_t v, unsigned width)
{
    uint8_t *at = put(w, 1 + (size_t)width);
    if (!at)
        return;
    at[0] = (uint8_t)tag;
    for (unsigned i = 0; i < width; i++)
        at[1 + i] = (uint8_t)(v >> (8 * (width - 1 - i)));
}

/* Header and bytes go together or not at all, so that a full writer holds whole values.
 */
static void put_span(struct mp_writer *w, unsigned tag, unsigned width, const void *data,
                     size_t size)
{
    if (w->full || 1 + (size_t)width > w->cap - w->size ||
        size > w->cap - w->size - 1 - width) {
        w->full = true;
        return;
    }
    put_tag(w, tag, size, width);
    uint8_t *at = put(w, size);
    if (at && size > 0)
        memcpy(at, data, size);
}

void mp_nil(struct mp_writer *w)
{
    put_tag(w, 0xc0, 0, 0);
}

void mp_bool(struct mp_writer *w, bool v)
{
    put_tag(w, v ? 0xc3 : 0xc2, 0, 0);
}

void mp_uint(struct mp_writer *w, uint64_t v)
{
    if (v <= 0x7f)
        put_tag(w, (unsigned)v, 0, 0);
    else if (v <= UINT8_MAX)
        put_tag(w, 0xcc, v, 1);
    else if (v <= UINT16_MAX)
        put_tag(w, 0xcd, v, 2);
    else if (v <= UINT32_MAX)
        put_tag(w, 0xce, v, 4);
    else
        put_tag(w, 0xcf, v, 8);
}

void mp_int(struct mp_writer *w, int64_t v)
{
    uint64_t bits = (uint64_t)v;
    if (v >= 0)
        mp_uint(w, bits);
    else if (v >= -32)
        put_tag(w, (unsigned)(bits & 0xff), 0, 0);
    else if (v >= INT8_MIN)
        put_tag(w, 0xd0, bits, 1);
    else if (v >= INT16_MIN)
        put_tag(w, 0xd1, bits, 2);
    else if (v >= INT32_MIN)
        put_tag(w, 0xd2, bits, 4);
    else
        put_tag(w, 0xd3, bits, 8);
}

void mp_bin(struct mp_writer *w, const void *data, size_t size)
{
    if (size <= UINT8_MAX)
        put_span(w, 0xc4, 1, data, size);
    else if (size <= UINT16_MAX)
        put_span(w, 0xc5, 2, data, size);
    else if (size <= UINT32_MAX)
        put_span(w, 0xc6, 4, data, size);
    else
        w->full = true;
}

void mp_str(struct mp_writer *w, const char *data, size_t size)
{
    if (size <= 31)
        put_span(w, 0xa0 | (unsigned)size, 0, data, size);
    else if (size <= UINT8_MAX)
        put_span(w, 0xd9, 1, data, size);
    else if (size <= UINT16_MAX)
        put_span(w, 0xda, 2, data, size);
    else if (size <= UINT32_MAX)
        put_span(w, 0xdb, 4, data, size);
    else
        w->full = true;
}

void mp_array(struct mp_writer *w, size_t count)
{
    if (count <= 15)
        put_tag(w, 0x90 | (unsigned)count, 0, 0);
    else if (count <= UINT16_MAX)
        put_tag(w, 0xdc, count, 2);
    else if (count <= UINT32_MAX)
        put_tag(w, 0xdd, count, 4);
    else
        w->full = true;
}

void mp_raw(struct mp_writer *w, const void *data, size_t size)
{
    uint8_t *at = put(w, size);
    if (at && size > 0)
        memcpy(at, data, size);
}
