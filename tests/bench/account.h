/* One account of mixed kinds, replayed. */
#ifndef TESTS_BENCH_ACCOUNT_H
#define TESTS_BENCH_ACCOUNT_H

#include "tests/bench/bench.h"

/* Adds members to the report: milliseconds with signatures and without. */
void account_measure(const struct options *o, struct report *r);

#endif
