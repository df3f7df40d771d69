/* One WebSocket message in memory, counted by its holders: received once and kept until
 * its entries are committed, or encoded once and sent to many. Room for the transport's
 * header stands in front of the data, so nothing is copied on the way out. The count is
 * atomic; the bytes belong to one thread until the frame is handed on, and are not
 * changed after that (the loop thread alone may use the headroom). */
#ifndef RELAY_FRAME_H
#define RELAY_FRAME_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "ledger/bytes.h"
#include "ledger/mp.h"

#define FRAME_HEADROOM 32

struct frame {
    atomic_uint refs;
    uint32_t cap;
    uint32_t size;
    uint32_t pad;
    uint8_t room[]; /* FRAME_HEADROOM bytes, then the data */
};

/* Bytes of all frames there are in this process. Any thread. */
uint64_t frames_bytes(void);

/* An empty frame with one holder; NULL when memory is out. */
struct frame *frame_new(size_t cap);
struct frame *frame_keep(struct frame *f);
/* NULL is allowed. The last holder frees. */
void frame_drop(struct frame *f);
/* Room for `cap` bytes of data in a frame with one holder; false: *f is as it was. */
bool frame_grow(struct frame **f, size_t cap);

static inline uint8_t *frame_data(struct frame *f)
{
    return f->room + FRAME_HEADROOM;
}

static inline struct bytes frame_bytes(struct frame *f)
{
    return bytes_of(frame_data(f), f->size);
}

static inline struct mp_writer frame_writer(struct frame *f)
{
    return mp_writer_of(frame_data(f), f->cap);
}

#endif
