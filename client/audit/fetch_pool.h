/* Units of work on several threads, while the caller's own thread reports progress. */
#ifndef CLIENT_AUDIT_FETCH_POOL_H
#define CLIENT_AUDIT_FETCH_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "ledger/err.h"

#define FETCH_JOBS_MAX 64

/* Runs fn(context, i) for i < count, each once, on `jobs` threads; `tick` (may be NULL) about
 * five times a second on the caller's. Once `stop` is set no new unit begins. ERR_MEMORY: no
 * thread could be made and nothing ran. */
MUST_CHECK enum err fetch_each(uint64_t count, unsigned jobs,
                               void (*fn)(void *context, uint64_t i),
                               void (*tick)(void *context), void *context,
                               const _Bool *stop);

#endif
