/* An input read as a row of small choices: what it lacks is zero, so every cut is an
 * input too. */
#ifndef TEST_FUZZ_INPUT_H
#define TEST_FUZZ_INPUT_H

#include <stdbool.h>
#include <string.h>

#include "ledger/bytes.h"

/* For sums that must not wrap. */
__extension__ typedef __int128 wide;
__extension__ typedef unsigned __int128 uwide;

struct input {
    const uint8_t *at;
    size_t left;
};

static inline struct input input_of(const uint8_t *data, size_t size)
{
    return (struct input){data, size};
}

/* The next `bytes` (1..8) bytes as a big-endian number. */
static inline uint64_t take(struct input *in, unsigned bytes)
{
    uint64_t v = 0;
    for (; bytes > 0; bytes--) {
        v = v << 8 | (in->left > 0 ? *in->at : 0);
        if (in->left > 0) {
            in->at++;
            in->left--;
        }
    }
    return v;
}

/* One byte, as a number below `bound` (1..256). */
static inline unsigned take_below(struct input *in, unsigned bound)
{
    return (unsigned)take(in, 1) % bound;
}

/* At most `max` bytes; borrowed. */
static inline struct bytes take_bytes(struct input *in, size_t max)
{
    struct bytes b = bytes_of(in->at, in->left < max ? in->left : max);
    in->at += b.size;
    in->left -= b.size;
    return b;
}

/* Up to `size` bytes into out, the rest zero. */
static inline void take_fill(struct input *in, void *out, size_t size)
{
    struct bytes b = take_bytes(in, size);
    memset(out, 0, size);
    if (b.size > 0)
        memcpy(out, b.data, b.size);
}

#endif
