#include "client/audit/items.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_BYTES (ITEMS_A_BLOCK * sizeof(struct hash))

enum err item_file_open(struct item_file *f)
{
    const char *dir = getenv("TMPDIR");
    char path[512];
    snprintf(path, sizeof(path), "%.480s/stoa-audit-XXXXXX", dir && *dir ? dir : "/tmp");
    f->blocks = 0;
    f->fd = mkostemp(path, 02000000 /* O_CLOEXEC */);
    if (f->fd < 0)
        return ERR_FILE;
    (void)unlink(path);
    pthread_mutex_init(&f->lock, NULL);
    return ERR_OK;
}

void item_file_close(struct item_file *f)
{
    if (f->fd < 0)
        return;
    close(f->fd);
    f->fd = -1;
    pthread_mutex_destroy(&f->lock);
}

static enum err spill(struct item_file *f, struct item_list *l, size_t full)
{
    if (full == l->block_cap) {
        size_t cap = l->block_cap ? l->block_cap * 2 : 8;
        uint64_t *block = realloc(l->block, cap * sizeof(*block));
        if (!block)
            return ERR_MEMORY;
        l->block = block;
        l->block_cap = cap;
    }
    pthread_mutex_lock(&f->lock);
    uint64_t number = f->blocks++;
    pthread_mutex_unlock(&f->lock);
    for (size_t done = 0; done < BLOCK_BYTES;) {
        ssize_t n = pwrite(f->fd, (const uint8_t *)l->tail + done, BLOCK_BYTES - done,
                           (off_t)(number * BLOCK_BYTES + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return errno == ENOSPC ? ERR_STORE_FULL : ERR_FILE;
        done += (size_t)n;
    }
    l->block[full] = number;
    return ERR_OK;
}

enum err item_add(struct item_file *f, struct item_list *l, const struct hash *item)
{
    uint64_t kept = l->count - l->base;
    size_t at = (size_t)(kept % ITEMS_A_BLOCK);
    if (!l->tail && !(l->tail = malloc(BLOCK_BYTES)))
        return ERR_MEMORY;
    l->tail[at] = *item;
    if (at + 1 == ITEMS_A_BLOCK)
        TRY(spill(f, l, (size_t)(kept / ITEMS_A_BLOCK)));
    l->count++;
    return ERR_OK;
}

/* Up to one block of items from `at` on. */
static enum err load(const struct item_file *f, const struct item_list *l, uint64_t at,
                     struct hash out[ITEMS_A_BLOCK])
{
    uint64_t kept = at - l->base, number = kept / ITEMS_A_BLOCK;
    if (number == (l->count - l->base) / ITEMS_A_BLOCK) {
        memcpy(out, l->tail, BLOCK_BYTES);
        return ERR_OK;
    }
    for (size_t done = 0; done < BLOCK_BYTES;) {
        ssize_t n = pread(f->fd, (uint8_t *)out + done, BLOCK_BYTES - done,
                          (off_t)(l->block[number] * BLOCK_BYTES + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ERR_FILE;
        done += (size_t)n;
    }
    return ERR_OK;
}

enum err item_at(const struct item_file *f, const struct item_list *l, uint64_t at,
                 struct hash *out)
{
    struct hash block[ITEMS_A_BLOCK];
    TRY(load(f, l, at, block));
    *out = block[(at - l->base) % ITEMS_A_BLOCK];
    return ERR_OK;
}

enum err items_compare(const struct item_file *f, const struct item_list *a,
                       const struct item_list *b, uint64_t *differ)
{
    uint64_t end = a->count < b->count ? a->count : b->count;
    struct hash x[ITEMS_A_BLOCK], y[ITEMS_A_BLOCK];
    *differ = UINT64_MAX;
    for (uint64_t at = a->base; at < end; at++) {
        size_t i = (size_t)((at - a->base) % ITEMS_A_BLOCK);
        if (i == 0) {
            TRY(load(f, a, at, x));
            TRY(load(f, b, at, y));
        }
        if (!hash_equal(&x[i], &y[i])) {
            *differ = at;
            return ERR_OK;
        }
    }
    return ERR_OK;
}

void item_list_close(struct item_list *l)
{
    free(l->block);
    free(l->tail);
    memset(l, 0, sizeof(*l));
}
