/* Two signed checkpoints that cannot both be true, kept as files: both notes as they were
 * signed, and one file of evidence (ledger/evidence.h) that shows it alone and offline. */
#ifndef CLIENT_AUDIT_FETCH_EVIDENCE_H
#define CLIENT_AUDIT_FETCH_EVIDENCE_H

#include "client/audit/fetch.h"
#include "client/audit/fetch_path.h"
#include "client/audit/fetch_tree.h"

struct fetch_evidence_of {
    const char *folder; /* "evidence/", or "" */
    const struct vkey *log;
    struct bytes small, large; /* notes; equal sizes: either */
    tree_size small_size;
    struct fetch_tree *tree; /* opened under the large one; NULL: for equal sizes */
};
/* Writes <folder>fork-<hash of both notes>-a.note, -b.note and .evidence; `name` becomes that of
 * the last, or of the first where tiles for a path could not be had. ERR_FILE, ERR_STORE_FULL,
 * ERR_MEMORY. */
MUST_CHECK enum err fetch_evidence_write(struct folder *d,
                                         const struct fetch_evidence_of *pair,
                                         char name[FETCH_EVIDENCE_NAME_MAX]);

#endif
