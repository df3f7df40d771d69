/* The only types that carry bytes between functions, and the allocator a core is given. */
#ifndef LEDGER_BYTES_H
#define LEDGER_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A borrowed span. */
struct bytes {
    const uint8_t *data;
    size_t size;
};

static inline struct bytes bytes_of(const void *data, size_t size)
{
    return (struct bytes){(const uint8_t *)data, size};
}

/* Growable bytes for edges: owned, released by buf_close. All zero is empty. */
struct buf {
    uint8_t *data;
    size_t size;
    size_t cap;
};
/* Make room for `more` bytes; false (unchanged) when memory is out. */
bool buf_reserve(struct buf *b, size_t more);
bool buf_add(struct buf *b, const void *data, size_t size);
void buf_clear(struct buf *b); /* size 0, memory kept */
void buf_close(struct buf *b);

/* What a core that keeps variable state is given instead of the heap. resize(NULL, 0, n)
 * allocates, resize(p, n, 0) frees and returns NULL; NULL for n > 0 means no memory and
 * leaves p as it was. */
struct alloc {
    void *(*resize)(void *context, void *p, size_t old_size, size_t new_size);
    void *context;
};
extern const struct alloc alloc_heap;

#endif
