/* The connection under an issuer's run: handshake, frames in both directions, connecting
 * again when the link breaks. An edge. */
#ifndef RELAY_STOACTL_RUN_H
#define RELAY_STOACTL_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/key.h"
#include "ledger/err.h"
#include "ledger/kinds.h"
#include "relay/stoactl_issue.h"
#include "relay/stoactl_journal.h"

#define RUN_WHY_MAX 400
#define RUN_CONNECTS_MAX 6 /* in a row without an answer to anything */

struct run_options {
    const char *url;
    const char *ca_file; /* may be NULL */
    const struct key *issuer;
    uint64_t timeout_ms;             /* without any answer, on one connection */
    struct journal *journal;         /* may be NULL */
    void (*progress)(void *context); /* several times a second */
    void *context;
};

/* Run `s` to its end. ERR_OK: every row has its state. ERR_NET, ERR_TIMEOUT: no
 * connection that answers; ERR_HELLO or another refusal: the hub does not want this key;
 * ERR_FILE: the journal cannot be written; ERR_MEMORY; ERR_LIMIT: interrupted by SIGINT
 * or SIGTERM. `why` has RUN_WHY_MAX room; `hub` (HUB_NAME_MAX + 1 room) is the hub's name
 * once it told it. */
MUST_CHECK enum err run_issue(struct issue *s, const struct run_options *o, char *hub,
                              char *why);

#endif
