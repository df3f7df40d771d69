/* A big ledger on disk, written without a network with a hub's own keys. */
#ifndef TESTS_BENCH_LEDGERFILE_H
#define TESTS_BENCH_LEDGERFILE_H

#include "tests/bench/engine.h"
#include "tests/bench/hub.h"
#include "tests/bench/people.h"

/* The same people write all of it: notes of BENCH_NOTE_BYTES and, of every five records, one
 * transfer and its credit. */
struct ledgerfile {
    struct engine e;
    struct crowd crowd;
};
/* `accounts` opened, each with an accrual, in a hub that was made and is not running. */
void ledgerfile_open(struct ledgerfile *l, const struct bench_hub *h, size_t accounts);
/* Until there are `records` of this ledgerfile. Gives the number there are. */
uint64_t ledgerfile_grow(struct ledgerfile *l, uint64_t records);
void ledgerfile_close(struct ledgerfile *l);
/* All three: `records` more records of new people. Gives the number written. */
uint64_t ledgerfile_fill(const struct bench_hub *h, uint64_t records, size_t accounts);
/* Seconds to read every record once; their number and the bytes of their envelopes. */
double ledgerfile_read(const struct bench_hub *h, uint64_t *records, uint64_t *envelopes);

#endif
