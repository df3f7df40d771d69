/* The listening sockets: our own, or those a service manager holds, and who comes in there. */
#include "relay/ws_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ledger/trace.h"

#define ACCEPTS_A_TURN 64

static void address_of(const struct sockaddr_storage *from, struct ws_address *out)
{
    memset(out, 0, sizeof(*out));
    if (from->ss_family == AF_INET6) {
        memcpy(out->b, &((const struct sockaddr_in6 *)from)->sin6_addr, 16);
    } else if (from->ss_family == AF_INET) {
        out->b[10] = out->b[11] = 0xff;
        memcpy(out->b + 12, &((const struct sockaddr_in *)from)->sin_addr, 4);
    }
}

static void adopt(struct ws *w, int fd, const struct sockaddr_storage *from)
{
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    struct ws_conn *c = calloc(1, sizeof(*c));
    if (!c) {
        close(fd);
        return;
    }
    struct ws_address address;
    address_of(from, &address);
    c->ws = w;
    c->next = w->first;
    c->at = &w->first;
    if (c->next)
        c->next->at = &c->next;
    w->first = c;
    w->connections++;
    c->user = w->on.accepted(w->on.context, c, &address);
    if (!c->user) {
        close(fd);
        conn_gone(c);
        return;
    }
    lws_adopt_desc_t d = {.vh = w->vhost,
                          .type = w->vhost == w->secure
                                      ? LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP | LWS_ADOPT_ALLOW_SSL
                                      : LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP,
                          .fd = {.sockfd = fd},
                          .opaque = NULL};
    struct lws *wsi =
        lws_adopt_descriptor_vhost_via_info(&d); /* closes fd when it fails */
    if (!wsi) {
        conn_gone(c);
        return;
    }
    c->wsi = wsi;
    lws_set_opaque_user_data(wsi, c);
}

static void on_connection(uv_poll_t *h, int status, int events)
{
    struct ws_listener *l = h->data;
    struct ws *w = l->ws;
    (void)events;
    if (status < 0)
        return;
    for (int i = 0; i < ACCEPTS_A_TURN && w->accepting; i++) {
        struct sockaddr_storage from;
        socklen_t size = sizeof(from);
        int fd = accept4(l->fd, (struct sockaddr *)&from, &size,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE)
                trace(TRACE_WARN, "ws.no_descriptors", TRACE_U64("open", w->connections));
            return;
        }
        adopt(w, fd, &from);
    }
}

static int listen_on(const struct ws_settings *s, char *why)
{
    char port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *list = NULL;
    snprintf(port, sizeof(port), "%u", (unsigned)s->port);
    int bad = getaddrinfo(s->host, port, &hints, &list);
    if (bad != 0) {
        snprintf(why, WS_WHY_MAX, "cannot resolve %.100s: %s", s->host,
                 gai_strerror(bad));
        return -1;
    }
    int fd = -1;
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        int one = 1;
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
            continue;
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, s->backlog) < 0) {
            int kept = errno;
            close(fd);
            fd = -1;
            errno = kept;
        }
    }
    freeaddrinfo(list);
    if (fd < 0) {
        snprintf(why, WS_WHY_MAX, "cannot listen on %.100s:%s: %s", s->host, port,
                 strerror(errno));
        return -1;
    }
    return fd;
}

/* Where the first of them listens, as numbers. */
static void look_up_place(struct ws *w)
{
    struct sockaddr_storage own;
    socklen_t size = sizeof(own);
    char host[INET6_ADDRSTRLEN] = "?", port[8] = "0";
    if (getsockname(w->listener[0].fd, (struct sockaddr *)&own, &size) != 0)
        return;
    (void)getnameinfo((const struct sockaddr *)&own, size, host, sizeof(host), port, sizeof(port),
                      NI_NUMERICHOST | NI_NUMERICSERV);
    w->port = (uint16_t)strtoul(port, NULL, 10);
    snprintf(w->place, sizeof(w->place), strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

bool listeners_open(struct ws *w, const struct ws_settings *s, char *why)
{
    unsigned n = s->socket_count;
    for (unsigned i = 0; i < n; i++)
        w->listener[i].fd = s->sockets[i];
    if (n == 0) {
        w->listener[0].fd = listen_on(s, why);
        n = w->listener[0].fd >= 0;
    }
    w->listener_count = n;
    if (n > 0)
        look_up_place(w);
    return n > 0;
}

void listeners_start(struct ws *w)
{
    for (unsigned i = 0; i < w->listener_count; i++) {
        struct ws_listener *l = &w->listener[i];
        l->ws = w;
        l->poll.data = l;
        uv_poll_init(&w->loop, &l->poll, l->fd);
        uv_poll_start(&l->poll, UV_READABLE, on_connection);
        l->started = true;
    }
    w->accepting = true;
}

void ws_stop_accepting(struct ws *w)
{
    w->accepting = false;
    for (unsigned i = 0; i < w->listener_count; i++) {
        struct ws_listener *l = &w->listener[i];
        if (l->fd < 0)
            continue;
        if (l->started)
            uv_close((uv_handle_t *)&l->poll, NULL);
        close(l->fd);
        l->fd = -1;
    }
}
