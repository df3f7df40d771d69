/* A hub's SQLite ledger as an auditor reads it: the stored columns, as they are stored, from a
 * file that nobody locks and that is never written. Judges nothing, repairs nothing; a hub may
 * run on it meanwhile. One thread at a time per handle. */
#ifndef LEDGER_STORE_RAW_H
#define LEDGER_STORE_RAW_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/merkle.h"
#include "ledger/store.h"

struct store_raw;

/* ERR_MISSING, ERR_CORRUPT (not SQLite, or not a ledger of ours), ERR_SCHEMA, ERR_FILE. */
MUST_CHECK enum err store_raw_open(struct store_raw **out, const char *path,
                                   struct store_why *why);
void store_raw_close(struct store_raw *s);

/* The row that names the ledger. */
MUST_CHECK enum err store_raw_identity(struct store_raw *s, struct store_identity *out);
/* A slot's row; ERR_NOT_FOUND, ERR_CORRUPT. */
MUST_CHECK enum err store_raw_slot(struct store_raw *s, uint32_t slot,
                                   struct store_slot *out);

struct store_raw_record {
    uint64_t row; /* idx as stored */
    uint64_t position;
    bool has_account; /* a column of its own */
    struct hash account;
    uint8_t leaf[LEAF_BYTES];
    bool shape_ok; /* every column is of its type and size; else only `row` counts */
    bool sum_ok;   /* the row's checksum */
    struct bytes envelope; /* until the next call */
};
/* The first row of a slot with idx >= from; ERR_NOT_FOUND at the end. Rows come in order of
 * idx, so that a gap shows. ERR_IO. */
MUST_CHECK enum err store_raw_record(struct store_raw *s, uint32_t slot, uint64_t from,
                                     struct store_raw_record *out);
/* A full tile as stored; *sum_ok and *root as its row has them. ERR_NOT_FOUND. */
MUST_CHECK enum err store_raw_tile(struct store_raw *s, uint32_t slot, unsigned level,
                                   uint64_t n, struct hash out[TILE_HASHES],
                                   struct hash *root, bool *sum_ok);
/* Checksums as the rows of these tables carry them; `account` NULL where the row has none. For
 * whoever plants faults behind them. */
uint64_t store_raw_record_sum(uint32_t slot, uint64_t row, uint64_t position,
                              const uint8_t *account, const uint8_t leaf[LEAF_BYTES]);
uint64_t store_raw_tile_sum(uint32_t slot, unsigned level, uint64_t n,
                            const struct hash *root, const struct hash hashes[TILE_HASHES],
                            uint64_t *key);
const char *store_raw_problem(const struct store_raw *s); /* of the last error */

#endif
