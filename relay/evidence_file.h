/* Evidence where an operator finds it: <state_dir>/evidence/<what>-<hash>.evidence, named by
 * its own SHA-256 so that the same is kept once; written whole and durably. An edge. */
#ifndef RELAY_EVIDENCE_FILE_H
#define RELAY_EVIDENCE_FILE_H

#include "ledger/bytes.h"
#include "ledger/err.h"

#define EVIDENCE_FOLDER "evidence"
#define EVIDENCE_NAME_MAX 64

/* `name` (EVIDENCE_NAME_MAX room) is the file's. ERR_EXISTS: it is there; ERR_FILE. */
MUST_CHECK enum err evidence_file_keep(const char *state_dir, const char *what,
                                       struct bytes evidence, char *name);

#endif
