/* The transport edge: one listener for WebSocket and HTTP, the event loop of the main
 * thread, and the sockets. It moves whole messages and knows nothing of what they say.
 * Only this file's .c, ws_accept.c and http.c see libwebsockets and libuv. Everything but ws_wake is
 * for the loop's thread; callbacks run there and may call anything here except ws_open,
 * ws_run, ws_close. */
#ifndef RELAY_WS_H
#define RELAY_WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ledger/err.h"
#include "relay/frame.h"

#define WS_TICK_MS 250u
#define WS_WRITES_A_TURN 64u /* frames written to one socket before others get a turn */
#define WS_TURN_BYTES_MAX (1u << 20) /* and bytes */
#define WS_FRAGMENTS_MAX 64u         /* frames that one message may come in */
#define WS_RX_BYTES 2048u            /* lws's buffer of a connection, and what it reads at once */
#define WS_QUEUE_FRAMES_MAX 65536u   /* frames waiting for one socket */
#define WS_LISTENERS_MAX 8u

struct ws;
struct ws_conn;
struct tls;
struct ws_address {
    uint8_t b[16]; /* IPv6, or IPv4 mapped */
};

enum ws_method { WS_GET, WS_HEAD, WS_POST };
#define WS_BODY_MAX (256u << 10) /* of a POST; longer is answered 413 */
/* An HTTP request; everything borrowed for the call. HEAD is answered as GET; the edge leaves
 * the body out. */
struct ws_request {
    enum ws_method method;
    const char *path, *query, *type;
    struct bytes body;
};
enum http_cache {
    HTTP_NO_STORE,
    HTTP_SECONDS,  /* public, changes within seconds */
    HTTP_IMMUTABLE /* public, never changes; byte ranges are served */
};

struct ws_events {
    void *context;
    /* A socket was accepted; what is returned is `user` below. NULL turns it away. */
    void *(*accepted)(void *context, struct ws_conn *c, const struct ws_address *a);
    bool (*origin_ok)(void *context, const char *origin);
    void (*opened)(void *context, void *user); /* it is a WebSocket now */
    uint64_t (*frame_max)(void *context, void *user);
    void (*heard)(void *context, void *user); /* bytes came in */
    void (*message)(void *context, void *user,
                    struct frame *f);                        /* f: owned by the callee */
    void (*broken)(void *context, void *user, enum err why); /* wrong kind of message */
    void (*sent)(void *context, void *user); /* the socket took something */
    void (*http)(void *context, void *user, const struct ws_request *q);
    void (*closed)(void *context, void *user); /* last call; `c` is gone */
    void (*wake)(void *context);               /* after ws_wake */
    void (*round)(void *context); /* all input of one turn of the loop was delivered */
    void (*tick)(void *context);  /* every WS_TICK_MS */
    void (*signal)(void *context, int number); /* SIGTERM, SIGINT, SIGHUP */
};

struct ws_settings {
    const char *host; /* numeric, or a name */
    uint16_t port;    /* 0: any */
    int backlog;
    const int *sockets; /* that listen already, taken over: host, port and backlog do not */
    unsigned socket_count; /* matter then. At most WS_LISTENERS_MAX; 0: none */
    unsigned handshake_seconds;
    const struct tls *tls; /* NULL: plain; borrowed for the call */
    struct ws_events events;
};

/* Listens at once. `why` (WS_WHY_MAX room) is a sentence for people.
 * ERR_NET: cannot listen there; ERR_MEMORY. */
#define WS_WHY_MAX 256
MUST_CHECK enum err ws_open(struct ws **out, const struct ws_settings *s, char *why);
uint16_t ws_port(const struct ws *w);
/* "host:port" it listens at, as numbers. */
const char *ws_place(const struct ws *w);
/* What connections to come speak: TLS with this certificate (copied), or plain (NULL). Those
 * that are open stay as they are. False: no memory; it is as it was. */
bool ws_use_tls(struct ws *w, const struct tls *t);
/* Runs until ws_stop. */
void ws_run(struct ws *w);
/* No new connections from now on. */
void ws_stop_accepting(struct ws *w);
/* Hang up on everybody and leave ws_run; what is queued is dropped. Its own thread. */
void ws_stop(struct ws *w);
/* Close every connection and release all. After ws_stop, and when every other thread that opens
 * or closes descriptors has ended: libwebsockets closes one number twice here. */
void ws_close(struct ws *w);
/* Any thread: call events.wake soon. */
void ws_wake(struct ws *w);

/* Queue a message; takes over one hold of `f`, always. False: too many are waiting. */
bool ws_send(struct ws_conn *c, struct frame *f);
size_t ws_unsent(const struct ws_conn *c);    /* bytes queued or buffered */
size_t ws_partial(const struct ws_conn *c);   /* bytes kept of a message not complete */
uint32_t ws_waiting(const struct ws_conn *c); /* frames queued */
/* Read no more from it, or again. */
void ws_pause(struct ws_conn *c, bool paused);
bool ws_paused(const struct ws_conn *c);
void ws_ping(struct ws_conn *c);
/* Send what is queued, then close with this WebSocket code. */
void ws_end(struct ws_conn *c, uint16_t code);
/* Close now, whatever is queued. */
void ws_cut(struct ws_conn *c);
bool ws_is_http(const struct ws_conn *c);
/* Answer the HTTP request; once each. `type` is static. Takes over `body` (may be NULL). */
void ws_http_answer(struct ws_conn *c, unsigned status, const char *type,
                    enum http_cache cache, struct frame *body);

#endif
