/* A region of a test's own: one Postgres (tests/lib/pgproc.h), a Redis when asked for, and
 * several stoad that share one hub's keys and ledger. Started, killed, stopped by number.
 * Tests only; failures are returned with a sentence in `why`. */
#ifndef TESTS_LIB_REGIONPROC_H
#define TESTS_LIB_REGIONPROC_H

#include "tests/lib/hubproc.h"
#include "tests/lib/pgproc.h"
#include "tests/lib/redisproc.h"

#define REGIONPROC_RELAYS_MAX 4
#define REGIONPROC_DATABASE "region"
#define REGIONPROC_SLOTS 16

struct regionproc {
    struct pgproc pg;
    struct redisproc redis;
    bool with_redis;      /* before regionproc_open */
    unsigned lease_ms;    /* before regionproc_open; 0: 1000 */
    unsigned poll_ms;     /* before regionproc_open; 0: 100 */
    unsigned count;
    struct hubproc relay[REGIONPROC_RELAYS_MAX];
    char why[600];
};

/* Is there a Postgres, and a Redis if one is needed? Else the test skips. */
bool regionproc_there(const struct regionproc *r);
/* Start the servers, make the ledger, and prepare `relays`; none is started. */
bool regionproc_open(struct regionproc *r, unsigned relays);
/* One more, not started; its number is the old count. */
bool regionproc_add(struct regionproc *r);
/* From its next start on the relay reaches Postgres through this port. */
void regionproc_through(struct regionproc *r, unsigned relay, uint16_t port);
bool regionproc_start(struct regionproc *r, unsigned relay);
/* Start all that do not run. */
bool regionproc_start_all(struct regionproc *r);
/* Kill what runs, remove everything. */
void regionproc_close(struct regionproc *r);
/* Of the keys every relay has. */
void regionproc_keys(const struct regionproc *r, char out[512]);
/* Where the ledger is. */
void regionproc_uri(const struct regionproc *r, char *out, size_t cap);

/* What the lease table says: who holds each slot; -1: nobody who is alive. */
bool regionproc_owners(struct regionproc *r, int owner[REGIONPROC_SLOTS]);
/* Until exactly these relays (a bit each) hold all slots, no two shares differing by more
 * than one, and every one of them says of itself that it serves its share. */
bool regionproc_settled(struct regionproc *r, unsigned relays, unsigned timeout_ms);
/* A metric's line of one relay, as /metrics shows it; -1: not there. */
double regionproc_metric(struct regionproc *r, unsigned relay, const char *line);

#endif
