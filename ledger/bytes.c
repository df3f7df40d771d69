#include "ledger/bytes.h"

#include <stdlib.h>
#include <string.h>

#define BUF_BYTES_MIN 256

bool buf_reserve(struct buf *b, size_t more)
{
    if (more <= b->cap - b->size)
        return true;
    if (more > SIZE_MAX / 2 - b->size)
        return false;

    size_t need = b->size + more;
    size_t cap = b->cap < BUF_BYTES_MIN ? BUF_BYTES_MIN : b->cap;
    while (cap < need)
        cap *= 2;
    uint8_t *data = realloc(b->data, cap);
    if (!data)
        return false;
    b->data = data;
    b->cap = cap;
    return true;
}

bool buf_add(struct buf *b, const void *data, size_t size)
{
    if (size == 0)
        return true;
    if (!buf_reserve(b, size))
        return false;
    memcpy(b->data + b->size, data, size);
    b->size += size;
    return true;
}

void buf_clear(struct buf *b)
{
    b->size = 0;
}

void buf_close(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

static void *heap_resize(void *context, void *p, size_t old_size, size_t new_size)
{
    (void)context;
    (void)old_size;
    if (new_size == 0) {
        free(p);
        return NULL;
    }
    return realloc(p, new_size);
}

const struct alloc alloc_heap = {heap_resize, NULL};
