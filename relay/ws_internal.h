/* Shared by ws.c, ws_accept.c and http.c: the edge's own structs. */
#ifndef RELAY_WS_INTERNAL_H
#define RELAY_WS_INTERNAL_H

#include <libwebsockets.h>
#include <uv.h>

#include "relay/http_range.h"
#include "relay/ws.h"

struct ws_conn {
    struct lws *wsi;
    struct ws *ws;
    void *user;
    struct ws_conn *next, **at; /* all of them */
    struct frame *rx;   /* message under assembly */
    struct frame **out; /* ring of frames to send */
    struct ws_conn *next_dirty, **at_dirty; /* has frames that were not tried yet */
    uint32_t out_first, out_count, out_cap;
    uint32_t unsent;     /* bytes in the ring */
    uint32_t buffered;   /* bytes of the last write that lws still holds, at most */
    uint16_t close_code; /* 0: not closing */
    uint8_t fragments;
    bool is_ws, is_http, paused, ping, cut, text;
    bool gone;   /* lws has closed it; only its end is still to come */
    bool handed; /* HTTP: the request went up */
    /* HTTP: what is asked (a POST's body gathers in rx), and the answer waiting for the
     * socket. */
    enum ws_method method;
    char *path; /* owned */
    struct http_range range;
    uint16_t status;
    const char *type;
    enum http_cache cache;
    struct frame *body;
};

struct ws_listener {
    uv_poll_t poll;
    struct ws *ws;
    int fd; /* -1: closed */
    bool started;
};

struct ws {
    struct ws_events on;
    uv_loop_t loop;
    uv_async_t async;
    uv_check_t check;
    uv_timer_t timer;
    uv_signal_t signals[3];
    struct ws_listener listener[WS_LISTENERS_MAX];
    unsigned listener_count;
    char place[64]; /* "host:port" of the first */
    unsigned handshake_seconds;
    uint16_t port;
    bool accepting;
    atomic_bool stopping;
    struct lws_context *context;
    struct lws_vhost *plain, *secure; /* secure: made when it is first wanted */
    struct lws_vhost *vhost;          /* of the two, what the next connection gets */
    void *ssl_context;                /* the SSL_CTX of `secure` */
    void *no_client;                  /* what it has for connections it never makes */
    struct ws_conn *dirty, **dirty_end; /* in the order they became so */
    struct ws_conn *first;
    unsigned connections;
};

/* ws.c: the last of a connection. */
void conn_gone(struct ws_conn *c);

/* ws_accept.c: sockets first, without the loop; then accept at them. */
bool listeners_open(struct ws *w, const struct ws_settings *s, char *why);
void listeners_start(struct ws *w);

/* http.c */
int http_request(struct ws_conn *c, const char *path);
int http_body(struct ws_conn *c, const void *data, size_t size);
void http_body_end(struct ws_conn *c);
int http_writable(struct ws_conn *c);

#endif
