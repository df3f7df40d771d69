/* Keeps the projections of a Postgres ledger (ledger/projection.h): reads records as a relay's
 * reader does, each checked against its leaf, and moves rows and cursor in one transaction that
 * compares the cursor first. So any number of these may run, be killed, lose their answers or
 * start over: no record counts twice, none is left out. Nothing waits for it. Role:
 * stoa_projector. Knows no libpq; blocking; one thread at a time per handle.
 *
 * ERR_STORE: no server, or it did not answer: call again later. ERR_CORRUPT: a record is not
 * what its leaf says, or does not follow. ERR_CONFIG: the role may not. `why`, never NULL, is a
 * sentence. */
#ifndef LEDGER_STORE_POSTGRES_PROJECTION_H
#define LEDGER_STORE_POSTGRES_PROJECTION_H

#include "ledger/projection.h"

struct projector;

/* As store_open. */
MUST_CHECK enum err projector_open(struct projector **out, const char *uri,
                                   struct store_why *why);
void projector_close(struct projector *p);
const struct store_identity *projector_identity(const struct projector *p);

/* At most one transaction for each slot that is behind; *records 0: none is. A slot that
 * another projector moved meanwhile is left to the next round. */
MUST_CHECK enum err projector_round(struct projector *p, uint64_t *records,
                                    struct store_why *why);
/* Where every slot stands. */
MUST_CHECK enum err projector_slots(struct projector *p,
                                    struct projection_slot out[SLOTS_MAX], size_t *count,
                                    struct store_why *why);

/* A slot made anew from its log, in one transaction: until it is committed everybody reads what
 * was there. It holds the same records as before, then; `equal` says whether it is the same
 * result. keep false: it is only compared. */
struct projector_rebuilt {
    uint64_t records;
    bool equal;
};
MUST_CHECK enum err projector_rebuild(struct projector *p, uint32_t slot, bool keep,
                                      struct projector_rebuilt *out, struct store_why *why);

#endif
