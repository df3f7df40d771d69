/* One outgoing WebSocket connection (subprotocol stoa.v1) with a loop of its own: what
 * client and operator tools talk to a hub through. An edge: the only file with
 * libwebsockets on this side. Knows frames, not their meaning. No globals, no threads, no
 * output. Threads: one thread at a time per link, but for link_wake; all work happens inside
 * link_* calls.
 */
#ifndef LEDGER_LINK_H
#define LEDGER_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "ledger/bytes.h"
#include "ledger/err.h"

#define LINK_URL_MAX 512
#define LINK_FRAME_MAX (1u << 20)
#define LINK_QUEUE_BYTES_DEFAULT (16u << 20)
#define LINK_PING_MS_DEFAULT 20000
#define LINK_WHY_MAX 160

struct link;

struct link_options {
    const char *url;     /* ws:// or wss://host[:port][/path] */
    const char *ca_file; /* wss: PEM roots to trust beside the system's; NULL: none */
    uint32_t ping_ms;    /* silence after which a ping goes out; twice that closes; 0:
                            default */
    size_t
        queue_bytes_max; /* unsent frames; 0: default. The same bound for frames received
                            and not yet polled: the socket is throttled there */
    bool keep_log; /* the process has its own sink for what the library says */
};

enum link_event_type {
    LINK_TIMEOUT, /* nothing within the time given */
    LINK_OPEN,    /* connected; comes first, once */
    LINK_FRAME,   /* one binary message */
    LINK_CLOSED   /* over, for good; `why` is filled; comes last, then again and again */
};

struct link_event {
    enum link_event_type type;
    struct bytes frame;     /* borrowed until the next link_poll or link_close */
    char why[LINK_WHY_MAX]; /* a sentence */
};

/* Start connecting; LINK_OPEN or LINK_CLOSED follows from link_poll. ERR_USAGE: not such
 * a URL; ERR_MEMORY. */
MUST_CHECK enum err link_open(struct link **out, const struct link_options *o);

/* Queue a frame (copied). ERR_BUSY: the queue is full, nothing was queued: poll, then
 * send again; ERR_NET: closed; ERR_TOO_LARGE; ERR_MEMORY. Frames go out inside link_poll.
 */
MUST_CHECK enum err link_send(struct link *l, const void *frame, size_t size);

/* Run the connection until something is to be told or `timeout_ms` is over. 0: whatever
 * is there already, without waiting. Always gives an event. */
void link_poll(struct link *l, uint32_t timeout_ms, struct link_event *out);

/* Any thread, as long as the link is not closed meanwhile: a link_poll that waits, or else
 * the next one that would, comes back with LINK_TIMEOUT. */
void link_wake(struct link *l);

/* Bytes queued and not yet given to the kernel. */
size_t link_unsent(const struct link *l);

/* Close cleanly: what is queued is flushed for at most `linger_ms`, a close frame is
 * sent, everything is released. NULL is allowed. */
void link_close(struct link *l, uint32_t linger_ms);

#endif
