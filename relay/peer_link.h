/* An outgoing connection to another relay: ledger/link under names of our own, since its
 * `struct link` and that of relay/queue.h are two things. One thread at a time, but for
 * peer_link_wake. */
#ifndef RELAY_PEER_LINK_H
#define RELAY_PEER_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "ledger/bytes.h"
#include "ledger/err.h"

#define PEER_LINK_WHY_MAX 160

enum peer_link_event {
    PEER_LINK_TIMEOUT, /* nothing in time, or somebody woke it */
    PEER_LINK_OPEN,    /* connected; once */
    PEER_LINK_FRAME,
    PEER_LINK_CLOSED /* for good; again and again */
};

struct peer_link;

struct peer_link_options {
    const char *address; /* "host:port" */
    bool tls;            /* its certificate has to be for that host */
    const char *ca_file; /* roots beside the system's; NULL: none */
    uint32_t ping_ms;    /* after this silence it asks, after as much again it is closed */
};

/* Start connecting; everything is borrowed for the call. */
MUST_CHECK enum err peer_link_open(struct peer_link **out, const struct peer_link_options *p);
MUST_CHECK enum err peer_link_send(struct peer_link *l, struct bytes frame);
/* `frame` is borrowed until the next poll; `why` (PEER_LINK_WHY_MAX) is filled when closed. */
enum peer_link_event peer_link_poll(struct peer_link *l, uint32_t timeout_ms,
                                    struct bytes *frame, char *why);
/* Any thread, while it is not being closed. */
void peer_link_wake(struct peer_link *l);
/* Bytes not yet given to the kernel. */
size_t peer_link_unsent(const struct peer_link *l);
/* NULL is allowed. */
void peer_link_close(struct peer_link *l);

#endif
