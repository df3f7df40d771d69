/* Exports as sources. */
#ifndef CLIENT_AUDIT_SOURCE_EXPORT_H
#define CLIENT_AUDIT_SOURCE_EXPORT_H

#include "client/audit/source_edges.h"

/* By the application id in its header; a hub's own ledger has another. */
bool audit_export_is_sqlite(const char *path);
/* ERR_MISSING, ERR_CORRUPT, ERR_SCHEMA, ERR_FILE, ERR_MEMORY. */
MUST_CHECK enum err audit_source_export_sqlite(struct audit_source **out, const char *path,
                                               char why[AUDIT_WHY_MAX]);

#endif
