/* A multimap from a 64-bit key to the place of a record, by open addressing. Keys come
 * from hashes other people choose, so cells are picked through a secret seed. Entries are
 * never taken out. Heap; no lock: the owner's. */
#ifndef LEDGER_STORE_TABLE_H
#define LEDGER_STORE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_cell {
    uint64_t key;
    uint64_t place_plus_1; /* 0: free */
};

struct table {
    uint64_t seed;
    size_t count;
    size_t cells; /* a power of two */
    struct table_cell *cell;
};

/* Room for `entries` without growing. False: no memory. */
bool table_init(struct table *t, uint64_t seed, size_t entries);
void table_close(struct table *t);
/* Add (key, place) unless that pair is there; grows when half full. False: no memory, and
 * unchanged. */
bool table_add(struct table *t, uint64_t key, uint64_t place);

/* The places of a key, one after another. */
struct table_walk {
    size_t at;
};
struct table_walk table_find(const struct table *t, uint64_t key);
bool table_next(const struct table *t, uint64_t key, struct table_walk *w,
                uint64_t *place);

/* One key for (account, position). */
uint64_t table_account_key(uint64_t account_prefix, uint64_t position);

#endif
