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

#include "ledger/bytes.h"

#define MP_DEPTH_MAX 8

struct mp_reader {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};

struct mp_reader mp_reader_of(const void *data, size_t size);
/* True when no failure happened and every byte was read. */
bool mp_done(const struct mp_reader *r);
bool mp_peek_nil(const struct mp_reader *r);
bool mp_read_nil(struct mp_reader *r);
bool mp_read_bool(struct mp_reader *r, bool *out);
bool mp_read_uint(struct mp_reader *r, uint64_t *out);
/* Any integer that fits; a non-negative one must be written as uint (canonical). */
bool mp_read_int(struct mp_reader *r, int64_t *out);
/* Borrowed from the input; size <= max. */
bool mp_read_bin(struct mp_reader *r, struct bytes *out, size_t max);
bool mp_read_str(struct mp_reader *r, struct bytes *out, size_t max); /* valid UTF-8 only */
/* A bin of exactly `size` bytes, copied out. */
bool mp_read_bin_exact(struct mp_reader *r, void *out, size_t size);
/* Array header; count <= max and <= bytes left. */
bool mp_read_array(struct mp_reader *r, size_t *count, size_t max);
/* Skip one whole value (arrays in arrays, MP_DEPTH_MAX at most), checking its form. The sum of
 * all announced elements must fit the bytes left, so a bomb ends at its first header. */
bool mp_skip(struct mp_reader *r);
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
