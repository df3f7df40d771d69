#include "ledger/store_memory_vault.h"

#include <stdint.h>
#include <sys/mman.h>

#include "crypto/key.h"

#define VAULT_ALIGN 16u

struct vault_chunk {
    struct vault_chunk *older;
    size_t bytes, used;
};

void *vault_page(size_t size)
{
    void *p =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    /* Best effort: the limit on locked memory is often small. */
    (void)mlock(p, size);
    (void)madvise(p, size, MADV_DONTDUMP);
    return p;
}

void vault_page_free(void *data, size_t size)
{
    if (data == NULL)
        return;
    secret_wipe(data, size);
    (void)munmap(data, size);
}

static size_t header_bytes(void)
{
    return (sizeof(struct vault_chunk) + VAULT_ALIGN - 1) / VAULT_ALIGN * VAULT_ALIGN;
}

void *vault_take(struct vault *v, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + VAULT_ALIGN - 1) / VAULT_ALIGN * VAULT_ALIGN;
    if (v->newest == NULL || v->newest->bytes - v->newest->used < size) {
        size_t bytes = header_bytes() + size;
        if (bytes < VAULT_CHUNK_BYTES)
            bytes = VAULT_CHUNK_BYTES;
        struct vault_chunk *chunk = vault_page(bytes);
        if (chunk == NULL)
            return NULL;
        chunk->older = v->newest;
        chunk->bytes = bytes;
        chunk->used = header_bytes();
        v->newest = chunk;
    }
    void *out = (uint8_t *)v->newest + v->newest->used;
    v->newest->used += size;
    return out;
}

void vault_close(struct vault *v)
{
    while (v->newest != NULL) {
        struct vault_chunk *chunk = v->newest;
        v->newest = chunk->older;
        vault_page_free(chunk, chunk->bytes);
    }
}
