/* Files for code that reads files: in memory where the system has that, never left
 * behind. */
#ifndef TEST_FUZZ_SCRATCH_H
#define TEST_FUZZ_SCRATCH_H

#include "ledger/bytes.h"

/* The one scratch file `n` (0..3), holding exactly `data`; its path. */
const char *scratch_file(unsigned n, struct bytes data);
/* A folder for code that makes files beside its own; emptied and removed at exit. */
const char *scratch_folder(void);

#endif
