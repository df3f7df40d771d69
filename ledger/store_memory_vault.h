/* Memory for a ledger that must leave no trace: kept out of swap and core dumps as far as
 * the system allows, wiped when it is given back. */
#ifndef LEDGER_STORE_MEMORY_VAULT_H
#define LEDGER_STORE_MEMORY_VAULT_H

#include <stdbool.h>
#include <stddef.h>

#define VAULT_CHUNK_BYTES (1u << 20)

struct vault_chunk;

/* Grows by chunks; nothing is given back before vault_close. All zero is empty. */
struct vault {
    struct vault_chunk *newest;
};

/* NULL: no memory. Aligned for anything. */
void *vault_take(struct vault *v, size_t size);
void vault_close(struct vault *v);

/* A piece of its own, given back alone. size > 0. */
void *vault_page(size_t size);
void vault_page_free(void *data, size_t size);

#endif
