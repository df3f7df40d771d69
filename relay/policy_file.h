/* A tlog-policy file as the operator wrote it. An edge: reads the file. */
#ifndef RELAY_POLICY_FILE_H
#define RELAY_POLICY_FILE_H

#include <stddef.h>

#include "crypto/policy.h"
#include "ledger/err.h"

/* *out is released by free. ERR_CONFIG: cannot be read or does not parse, `why` (cap bytes)
 * says where and what; ERR_MEMORY. */
MUST_CHECK enum err policy_file_read(struct policy **out, const char *path, char *why,
                                     size_t cap);

#endif
