#include "relay/frame.h"

#include <assert.h>
#include <stdlib.h>

static _Atomic uint64_t all_bytes;

uint64_t frames_bytes(void)
{
    return atomic_load_explicit(&all_bytes, memory_order_relaxed);
}

static uint64_t bytes_of_frame(size_t cap)
{
    return sizeof(struct frame) + FRAME_HEADROOM + cap;
}

struct frame *frame_new(size_t cap)
{
    assert(cap <= UINT32_MAX / 2);
    struct frame *f = malloc(bytes_of_frame(cap));
    if (!f)
        return NULL;
    atomic_fetch_add_explicit(&all_bytes, bytes_of_frame(cap), memory_order_relaxed);
    atomic_init(&f->refs, 1u);
    f->cap = (uint32_t)cap;
    f->size = 0;
    f->pad = 0;
    return f;
}

struct frame *frame_keep(struct frame *f)
{
    atomic_fetch_add_explicit(&f->refs, 1u, memory_order_relaxed);
    return f;
}

void frame_drop(struct frame *f)
{
    if (!f)
        return;
    unsigned before = atomic_fetch_sub_explicit(&f->refs, 1u, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1)
        return;
    atomic_fetch_sub_explicit(&all_bytes, bytes_of_frame(f->cap), memory_order_relaxed);
    free(f);
}

bool frame_grow(struct frame **f, size_t cap)
{
    assert(atomic_load_explicit(&(*f)->refs, memory_order_relaxed) == 1);
    if (cap <= (*f)->cap)
        return true;
    struct frame *more = realloc(*f, bytes_of_frame(cap));
    if (!more)
        return false;
    atomic_fetch_add_explicit(&all_bytes, cap - more->cap, memory_order_relaxed);
    more->cap = (uint32_t)cap;
    *f = more;
    return true;
}
