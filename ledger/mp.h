/* Canonical MessagePack, the subset the protocol uses: nil, bool, uint, int, str, bin, array;
 * shortest forms only. Maps, floats, extensions and non-shortest forms do not decode. Reader
 * and writer work on the caller's memory; no heap. (https://github.com/msgpack/msgpack)
 *
 * The reader is sticky: after the first failure every call fails and `bad` stays set, so a
 * decoder can read a whole message and test once: outputs of a failed call are zero or
 * empty, so a count read by it runs no loop. */
#ifndef LEDGER_MP_H
#define LEDGER_MP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "ledger/bytes.h"

#define MP_DEPTH_MAX 8

struct mp_reader {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};

static inline struct mp_reader mp_reader_of(const void *data, size_t size)
{
    static const uint8_t none[1];
    const uint8_t *at = data ? (const uint8_t *)data : none;
    return (struct mp_reader){at, at + (data ? size : 0), false};
}

/* Set `bad`; false. A failed reader stands at its end, so that every later read runs out of
 * bytes: being sticky costs no test. */
static inline bool mp_fail(struct mp_reader *r)
{
    r->bad = true;
    r->at = r->end;
    return false;
}

/* True when no failure happened and every byte was read. */
static inline bool mp_done(const struct mp_reader *r)
{
    return !r->bad && r->at == r->end;
}

static inline bool mp_peek_nil(const struct mp_reader *r)
{
    return r->at < r->end && *r->at == 0xc0;
}

static inline bool mp_read_nil(struct mp_reader *r)
{
    if (!mp_peek_nil(r))
        return mp_fail(r);
    r->at++;
    return true;
}

bool mp_read_bool(struct mp_reader *r, bool *out);
bool mp_read_uint_(struct mp_reader *r, uint64_t *out); /* any width */
static inline bool mp_read_uint(struct mp_reader *r, uint64_t *out)
{
    if (r->at == r->end || *r->at > 0x7f)
        return mp_read_uint_(r, out);
    *out = *r->at++;
    return true;
}
/* Any integer that fits; a non-negative one must be written as uint (canonical). */
bool mp_read_int(struct mp_reader *r, int64_t *out);
/* Borrowed from the input; size <= max. */
bool mp_read_bin(struct mp_reader *r, struct bytes *out, size_t max);
bool mp_read_str(struct mp_reader *r, struct bytes *out, size_t max); /* valid UTF-8 only */
/* A bin of exactly `size` bytes, copied out. Inline, because nearly every field is one of 32
 * or 64: with the size known this is a few moves. */
bool mp_read_bin_exact_(struct mp_reader *r, void *out, size_t size); /* any size */
static inline bool mp_read_bin_exact(struct mp_reader *r, void *out, size_t size)
{
    if (size <= UINT8_MAX && (size_t)(r->end - r->at) >= 2 + size && r->at[0] == 0xc4 &&
        r->at[1] == size) {
        memcpy(out, r->at + 2, size);
        r->at += 2 + size;
        return true;
    }
    return mp_read_bin_exact_(r, out, size);
}
/* Array header; count <= max and <= bytes left. */
bool mp_read_array_(struct mp_reader *r, size_t *count, size_t max); /* any count */
static inline bool mp_read_array(struct mp_reader *r, size_t *count, size_t max)
{
    if (r->at == r->end || (*r->at & 0xf0) != 0x90)
        return mp_read_array_(r, count, max);
    size_t n = *r->at++ & 0x0f;
    *count = 0;
    if (n > max || n > (size_t)(r->end - r->at))
        return mp_fail(r);
    *count = n;
    return true;
}
/* Skip one whole value (arrays in arrays, MP_DEPTH_MAX at most), checking its form. The sum of
 * all announced elements must fit the bytes left, so a bomb ends at its first header. */
bool mp_skip(struct mp_reader *r);
/* The same with another limit of nesting, for a value inside arrays already counted. */
bool mp_skip_nested(struct mp_reader *r, unsigned depth_max);
/* As mp_skip, and give its bytes. */
bool mp_read_raw(struct mp_reader *r, struct bytes *out);

struct mp_writer {
    uint8_t *data;
    size_t size;
    size_t cap;
    bool full; /* something did not fit; nothing after it was written */
};

struct mp_writer mp_writer_of(void *data, size_t cap);
void mp_nil(struct mp_writer *w);
void mp_bool(struct mp_writer *w, bool v);
void mp_uint(struct mp_writer *w, uint64_t v);
void mp_int(struct mp_writer *w, int64_t v);
void mp_bin(struct mp_writer *w, const void *data, size_t size);
void mp_str(struct mp_writer *w, const char *data, size_t size);
void mp_array(struct mp_writer *w, size_t count);
void mp_raw(struct mp_writer *w, const void *data, size_t size);

#endif
