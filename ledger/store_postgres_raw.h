/* A hub's Postgres ledger as an auditor reads it: the stored columns, as they are stored, in
 * sessions that cannot write (default_transaction_read_only), from a primary or a standby, as
 * role stoa_auditor. Judges nothing, repairs nothing; a hub may run on it meanwhile. Knows no
 * libpq. The same of a SQLite file: store_raw.h.
 *
 * Threads: any number may call at a time; POSTGRES_RAW_LINKS of them are answered at a time. */
#ifndef LEDGER_STORE_POSTGRES_RAW_H
#define LEDGER_STORE_POSTGRES_RAW_H

#include "ledger/store.h"

#define POSTGRES_RAW_LINKS 4
#define POSTGRES_RAW_PATIENCE_MS 10000u /* a lost server is asked again for so long */

struct postgres_raw;

/* `uri` as store_open takes it. ERR_USAGE, ERR_MISSING (no ledger there), ERR_SCHEMA (newer
 * than this program), ERR_CONFIG (a role that may not read it), ERR_STORE (no server),
 * ERR_CORRUPT. */
MUST_CHECK enum err postgres_raw_open(struct postgres_raw **out, const char *uri,
                                      struct store_why *why);
void postgres_raw_close(struct postgres_raw *s);
/* As the table ledger names it. */
const struct store_identity *postgres_raw_identity(const struct postgres_raw *s);

/* Each below: ERR_STORE (no answer in time), ERR_CONFIG (this role may not), ERR_CORRUPT (a
 * column has another type or size than the schema says); `why`, never NULL, is a sentence. */

/* A slot's row; ERR_NOT_FOUND. */
MUST_CHECK enum err postgres_raw_slot(struct postgres_raw *s, uint32_t slot,
                                      struct store_slot *out, struct store_why *why);

struct postgres_raw_record {
    struct record r; /* slot as asked for, index as stored; envelope until the release */
    struct hash account, id, leaf_hash;
    bool shape_ok; /* every column is of its size and in its range; else only r.index counts */
};
/* The first `max` rows of a slot with from <= idx < below, in order of idx, so that a gap
 * shows. *hold (NULL when *count is 0) keeps the envelopes until postgres_raw_release. */
MUST_CHECK enum err postgres_raw_records(struct postgres_raw *s, uint32_t slot,
                                         uint64_t from, uint64_t below,
                                         struct postgres_raw_record out[], size_t max,
                                         size_t *count, void **hold,
                                         struct store_why *why);
void postgres_raw_release(void *hold);
/* A full tile and the root kept beside it; ERR_NOT_FOUND. */
MUST_CHECK enum err postgres_raw_tile(struct postgres_raw *s, uint32_t slot,
                                      unsigned level, uint64_t n,
                                      struct hash out[TILE_HASHES], struct hash *root,
                                      struct store_why *why);

#endif
