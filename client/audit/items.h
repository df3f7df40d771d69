/* What channels carried, as their sources put it and as their destinations settled it: lists of
 * hashes that are compared at the shorter length. Full blocks go to one unlinked temporary file,
 * so memory does not grow with the log. Lists of different slots may be used at the same time. */
#ifndef CLIENT_AUDIT_ITEMS_H
#define CLIENT_AUDIT_ITEMS_H

#include <pthread.h>

#include "crypto/hash.h"
#include "ledger/err.h"

#define ITEMS_A_BLOCK 32

struct item_file {
    int fd;
    pthread_mutex_t lock;
    uint64_t blocks;
};
struct item_list {
    uint64_t base;  /* items before the first one kept: compared in an earlier run */
    uint64_t count; /* base included */
    uint64_t *block; /* numbers of full blocks in the file */
    size_t block_cap;
    struct hash *tail; /* room for one block */
};

MUST_CHECK enum err item_file_open(struct item_file *f);
void item_file_close(struct item_file *f);
MUST_CHECK enum err item_add(struct item_file *f, struct item_list *l,
                             const struct hash *item);
/* The item numbered `at` (base <= at < count). */
MUST_CHECK enum err item_at(const struct item_file *f, const struct item_list *l,
                            uint64_t at, struct hash *out);
/* First number below both counts where the two differ; UINT64_MAX: none. Bases are equal. */
MUST_CHECK enum err items_compare(const struct item_file *f, const struct item_list *a,
                                  const struct item_list *b, uint64_t *differ);
void item_list_close(struct item_list *l);

#endif
