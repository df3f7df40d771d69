/* Files of a hub, or of any web server with a hub's files, over HTTP: several connections, a
 * limit of requests a second, retries with backoff and Retry-After. */
#ifndef CLIENT_AUDIT_SOURCE_URL_H
#define CLIENT_AUDIT_SOURCE_URL_H

#include "client/audit/source_edges.h"

/* `get` may be called by any number of threads; o->jobs of them go out at a time.
 * ERR_USAGE, ERR_MEMORY. */
MUST_CHECK enum err audit_url_files(struct audit_files *out, const char *url,
                                    const struct audit_source_options *o,
                                    char why[AUDIT_WHY_MAX]);

#endif
