/* A big ledger on disk, written without a network with a hub's own keys. */
#ifndef TESTS_BENCH_LEDGERFILE_H
#define TESTS_BENCH_LEDGERFILE_H

#include "tests/bench/hub.h"

/* `records` more records in a hub that was made and is not running: notes of BENCH_NOTE_BYTES
 * and, of every five records, one transfer and its credit. Gives the number written. */
uint64_t ledgerfile_fill(struct bench_hub *h, uint64_t records, size_t accounts);
/* Seconds to read every record once; their number and the bytes of their envelopes. */
double ledgerfile_read(const struct bench_hub *h, uint64_t *records, uint64_t *envelopes);

#endif
