/* Edge: one HTTP request at a time over libcurl, connections kept. Whoever audits or asks for
 * cosignatures goes out through here; the only files that see curl.h. Blocking. A `struct web`
 * belongs to one thread; several may live side by side. Follows no redirects, takes http and
 * https only, verifies certificates. */
#ifndef LEDGER_WEB_H
#define LEDGER_WEB_H

#include <stdbool.h>
#include <stdint.h>

#include "ledger/bytes.h"
#include "ledger/err.h"

#define WEB_BODY_MAX (32u << 20) /* larger answers are refused */
#define WEB_WHY_MAX 256
#define WEB_TYPE_MAX 128

struct web;

struct web_request {
    const char *method; /* "GET", "HEAD" or "POST" */
    const char *url;
    struct bytes body;      /* POST */
    const char *type;       /* content type of body; NULL: application/octet-stream */
    uint64_t range_from;    /* with range_size > 0: Range header */
    uint64_t range_size;
    uint32_t timeout_ms;    /* whole request; 0: 30 s */
    size_t body_max;        /* 0: WEB_BODY_MAX */
    const _Bool *cancel;    /* polled about ten times a second; NULL: none */
};
struct web_answer {
    unsigned status; /* of HTTP */
    char type[WEB_TYPE_MAX];
    uint64_t retry_after_ms; /* 0: none given */
    struct buf body; /* closed by the caller */
};

/* ca_file NULL: the system's. ERR_MEMORY. */
MUST_CHECK enum err web_open(struct web **out, const char *ca_file);
void web_close(struct web *w);
/* ERR_OK: there is an answer, whatever its status. ERR_NET, ERR_TIMEOUT (also: cancelled),
 * ERR_TOO_LARGE, ERR_USAGE (url). `why` names host and cause. */
MUST_CHECK enum err web_ask(struct web *w, const struct web_request *q, struct web_answer *a,
                            char why[WEB_WHY_MAX]);

#endif
