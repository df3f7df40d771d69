/* Edge: what a witness must not forget, in one SQLite file of its own. What was last cosigned
 * of each log moves by compare-and-swap in one durable transaction (WAL, synchronous=FULL);
 * what a log signed and was refused for is kept beside it. One process has the file at a time;
 * one thread at a time has the handle. Blocking. */
#ifndef FEDERATION_WITNESS_STORE_H
#define FEDERATION_WITNESS_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/hash.h"
#include "ledger/bytes.h"
#include "ledger/err.h"

#define WITNESS_FILE "witness.db"
#define WITNESS_STORE_WHY_MAX 300
#define WITNESS_REFUSED_MAX 256 /* kept of one log: forks, and of other kinds, each */

struct witness_store;

/* One log. Spans of a visit live until it returns. */
struct witness_row {
    const char *origin;
    uint64_t size;
    struct hash root;
    uint64_t time;     /* unix seconds of the cosignature; never 0 */
    struct bytes note; /* with the log's line and our own */
};
/* A signed checkpoint that was not cosigned. */
struct witness_refusal {
    const char *origin;
    uint64_t size;
    struct hash root;
    uint64_t time_ms;   /* when it came */
    bool fork;          /* contradicts what was cosigned by the two signatures alone */
    struct bytes ours;  /* what had been cosigned then; size 0: nothing */
    struct bytes theirs;
};

/* Opens, or makes it when it is not there. ERR_LOCKED: another process has it; ERR_CORRUPT,
 * ERR_SCHEMA, ERR_STORE_FULL, ERR_FILE, ERR_MEMORY; `why` (WITNESS_STORE_WHY_MAX) is a
 * sentence. */
MUST_CHECK enum err witness_store_open(struct witness_store **out, const char *path,
                                       char *why);
void witness_store_close(struct witness_store *s);
/* Every log that was ever cosigned. */
MUST_CHECK enum err witness_store_each(struct witness_store *s,
                                       void (*visit)(void *context,
                                                     const struct witness_row *row),
                                       void *context);
/* Compare and swap: where the log stands at (old_size, old_root), or was never cosigned and
 * old_size is 0, it stands at `row` now, durably. ERR_LOST: it stands elsewhere, nothing
 * happened. ERR_STORE_FULL: no room, nothing happened. ERR_IO: may have happened; the handle
 * answers nothing else from then on. */
MUST_CHECK enum err witness_store_swap(struct witness_store *s, uint64_t old_size,
                                       const struct hash *old_root,
                                       const struct witness_row *row);
/* Keep what was refused, durably; one (size, root) once. ERR_EXISTS: it is there;
 * ERR_LIMIT: WITNESS_REFUSED_MAX are kept. Others as swap. */
MUST_CHECK enum err witness_store_refuse(struct witness_store *s,
                                         const struct witness_refusal *r);
MUST_CHECK enum err witness_store_refused(struct witness_store *s, const char *origin,
                                          bool fork, uint64_t *count);

#endif
