#include "relay/frame.h"

#include <assert.h>
#include <stdlib.h>

struct frame *frame_new(size_t cap)
{
    assert(cap <= UINT32_MAX / 2);
    struct frame *f = malloc(sizeof(*f) + FRAME_HEADROOM + cap);
    if (!f)
        return NULL;
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
    if (before == 1)
        free(f);
}

bool frame_grow(struct frame **f, size_t cap)
{
    assert(atomic_load_explicit(&(*f)->refs, memory_order_relaxed) == 1);
    if (cap <= (*f)->cap)
        return true;
    struct frame *more = realloc(*f, sizeof(**f) + FRAME_HEADROOM + cap);
    if (!more)
        return false;
    more->cap = (uint32_t)cap;
    *f = more;
    return true;
}
