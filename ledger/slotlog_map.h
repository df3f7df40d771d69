/* The accounts of a slot: stable addresses, found by id in constant time. Private to
 * slotlog*.c. Ids are hashes, but an attacker may grind them, so where an account stands
 * in the table depends on a random seed too. Memory comes from a struct alloc. */
#ifndef LEDGER_SLOTLOG_MAP_H
#define LEDGER_SLOTLOG_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ledger/account.h"
#include "ledger/bytes.h"

struct account_map;
struct account_cursor {
    const void *slab;
    size_t at;
};

/* NULL when memory is out. */
struct account_map *account_map_open(const struct alloc *mem, uint64_t seed);
/* Closes every account. NULL is allowed. */
void account_map_close(struct account_map *m);

struct account *account_map_find(const struct account_map *m, const struct hash *id);
/* An unused account, not yet init'ed, with room in the table for it; NULL when memory is
 * out. The next call gives the same one until account_map_add takes it in. */
struct account *account_map_spare(struct account_map *m);
/* Take in the spare account under its id, which must not be in the table yet. */
void account_map_add(struct account_map *m);
/* The one added last. */
struct account *account_map_newest(struct account_map *m);
size_t account_map_count(const struct account_map *m);
/* Every account once, in no particular order; NULL at the end. */
struct account_cursor account_map_begin(const struct account_map *m);
struct account *account_map_next(struct account_cursor *c);

#endif
