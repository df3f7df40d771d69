#include "tests/lib/rawws.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/clock.h"

#define HEADER_MAX 4096
#define READ_BYTES 65536
#define FRAME_HEAD_MAX 14
#define EVENTS_A_ROUND 256
#define DEFAULT_TIMEOUT_MS 5000

static bool wait_for(int fd, short events, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = events};
    for (;;) {
        int n = poll(&p, 1, timeout_ms);
        if (n > 0)
            return true;
        if (n == 0 || errno != EINTR)
            return false;
    }
}

bool rawws_open(struct rawws *c, const struct rawws_options *o)
{
    memset(c, 0, sizeof(*c));
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0)
        return false;
    int one = 1;
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (o->receive_buffer > 0)
        (void)setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &o->receive_buffer,
                         sizeof(o->receive_buffer));
    struct sockaddr_in own = {.sin_family = AF_INET};
    if (o->source && (inet_pton(AF_INET, o->source, &own.sin_addr) != 1 ||
                      bind(c->fd, (const struct sockaddr *)&own, sizeof(own)) != 0))
        goto failed;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(o->port)};
    if (inet_pton(AF_INET, o->host ? o->host : "127.0.0.1", &a.sin_addr) != 1)
        goto failed;
    if (connect(c->fd, (const struct sockaddr *)&a, sizeof(a)) < 0) {
        int error = 0;
        socklen_t size = sizeof(error);
        int timeout = o->timeout_ms ? (int)o->timeout_ms : DEFAULT_TIMEOUT_MS;
        if (errno != EINPROGRESS || !wait_for(c->fd, POLLOUT, timeout) ||
            getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error)
            goto failed;
    }
    return true;

failed:
    close(c->fd);
    c->fd = -1;
    return false;
}

static bool reserve(uint8_t **data, size_t *at, size_t *end, size_t *cap, size_t more)
{
    if (*cap - *end >= more)
        return true;
    if (*at > 0) {
        memmove(*data, *data + *at, *end - *at);
        *end -= *at;
        *at = 0;
        if (*cap - *end >= more)
            return true;
    }
    size_t room = *cap ? *cap : 1024;
    while (room - *end < more)
        room *= 2;
    uint8_t *p = realloc(*data, room);
    if (!p)
        return false;
    *data = p;
    *cap = room;
    return true;
}

bool rawws_fill(struct rawws *c)
{
    for (;;) {
        if (c->closed || !reserve(&c->in, &c->in_at, &c->in_end, &c->in_cap, READ_BYTES))
            return false;
        size_t room = c->in_cap - c->in_end;
        ssize_t n = recv(c->fd, c->in + c->in_end, room, MSG_DONTWAIT);
        if (n > 0) {
            c->in_end += (size_t)n;
            c->bytes_in += (uint64_t)n;
            if ((size_t)n < room)
                return true;
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return true;
        c->closed = true;
        return false;
    }
}

bool rawws_upgrade(struct rawws *c, const struct rawws_options *o)
{
    char request[HEADER_MAX];
    const char *sub = o->subprotocol ? o->subprotocol : "stoa.v1";
    int n =
        snprintf(request, sizeof(request),
                 "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUpgrade: websocket\r\n"
                 "Connection: Upgrade\r\nSec-WebSocket-Key: c3RvYS10ZXN0LWtleS0wMQ==\r\n"
                 "Sec-WebSocket-Version: 13\r\n%s%s%s%s%s%s%s\r\n",
                 o->path ? o->path : "/", (unsigned)o->port,
                 *sub ? "Sec-WebSocket-Protocol: " : "", sub, *sub ? "\r\n" : "",
                 o->origin ? "Origin: " : "", o->origin ? o->origin : "",
                 o->origin ? "\r\n" : "", o->extra ? o->extra : "");
    if (n < 0 || (size_t)n >= sizeof(request) || !rawws_send_raw(c, request, (size_t)n))
        return false;
    uint64_t end = mono_ms() + (o->timeout_ms ? o->timeout_ms : DEFAULT_TIMEOUT_MS);
    for (;;) {
        uint8_t *head = c->in + c->in_at;
        size_t size = c->in_end - c->in_at;
        uint8_t *stop = size ? memmem(head, size, "\r\n\r\n", 4) : NULL;
        if (stop) {
            if (size > 12 && memcmp(head, "HTTP/1.", 7) == 0)
                c->http_status = (int)strtol((const char *)head + 9, NULL, 10);
            c->in_at += (size_t)(stop - head) + 4;
            return c->http_status == 101;
        }
        uint64_t now = mono_ms();
        if (c->closed || now >= end || !wait_for(c->fd, POLLIN, (int)(end - now)))
            return false;
        (void)rawws_fill(c);
    }
}

bool rawws_connect(struct rawws *c, const struct rawws_options *o)
{
    return rawws_open(c, o) && rawws_upgrade(c, o);
}

void rawws_close(struct rawws *c)
{
    if (c->fd >= 0)
        close(c->fd);
    free(c->in);
    free(c->out);
    memset(c, 0, sizeof(*c));
    c->fd = -1;
    c->closed = true;
}

void rawws_abort(struct rawws *c)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    if (c->fd >= 0)
        (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    rawws_close(c);
}

bool rawws_flush(struct rawws *c)
{
    while (c->out_at < c->out_end) {
        ssize_t n = send(c->fd, c->out + c->out_at, c->out_end - c->out_at,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return true;
        if (n <= 0) { /* what it said before it closed can still be read */
            c->out_at = c->out_end = 0;
            return false;
        }
        c->out_at += (size_t)n;
        c->bytes_out += (uint64_t)n;
    }
    c->out_at = c->out_end = 0;
    return true;
}

size_t rawws_unsent(const struct rawws *c)
{
    return c->out_end - c->out_at;
}

static bool queue_raw(struct rawws *c, const void *data, size_t size)
{
    if (c->fd < 0 || !reserve(&c->out, &c->out_at, &c->out_end, &c->out_cap, size))
        return false;
    if (size)
        memcpy(c->out + c->out_end, data, size);
    c->out_end += size;
    return true;
}

static size_t frame_head(uint8_t head[FRAME_HEAD_MAX], uint8_t opcode, bool final,
                         const uint8_t *mask, size_t size)
{
    size_t n = 2;
    head[0] = (uint8_t)((final ? 0x80u : 0u) | opcode);
    head[1] = mask ? 0x80u : 0u;
    if (size < 126) {
        head[1] |= (uint8_t)size;
    } else if (size < 65536) {
        head[1] |= 126;
        head[n++] = (uint8_t)(size >> 8);
        head[n++] = (uint8_t)size;
    } else {
        head[1] |= 127;
        for (int shift = 56; shift >= 0; shift -= 8)
            head[n++] = (uint8_t)((uint64_t)size >> shift);
    }
    if (mask) {
        memcpy(head + n, mask, 4);
        n += 4;
    }
    return n;
}

bool rawws_queue(struct rawws *c, const void *data, size_t size)
{
    static const uint8_t no_mask[4];
    uint8_t head[FRAME_HEAD_MAX];
    size_t n = frame_head(head, RAWWS_BINARY, true, no_mask, size);
    return queue_raw(c, head, n) && queue_raw(c, data, size);
}

static bool flush_all(struct rawws *c)
{
    uint64_t end = mono_ms() + 30000u;
    bool alive;
    while ((alive = rawws_flush(c)) && rawws_unsent(c) > 0) {
        uint64_t now = mono_ms();
        if (now >= end || !wait_for(c->fd, POLLOUT, (int)(end - now)))
            return false;
    }
    return alive;
}

bool rawws_send_raw(struct rawws *c, const void *data, size_t size)
{
    return queue_raw(c, data, size) && flush_all(c);
}

bool rawws_send_frame(struct rawws *c, uint8_t opcode, bool final, bool masked,
                      const void *data, size_t size)
{
    static const uint8_t mask[4] = {0x5a, 0x17, 0xc3, 0x08};
    uint8_t head[FRAME_HEAD_MAX];
    size_t n = frame_head(head, opcode, final, masked ? mask : NULL, size);
    if (!queue_raw(c, head, n))
        return false;
    size_t start = c->out_end - c->out_at;
    if (!queue_raw(c, data, size))
        return false;
    if (masked)
        for (size_t i = 0; i < size; i++)
            c->out[c->out_at + start + i] ^= mask[i & 3];
    return flush_all(c);
}

bool rawws_send(struct rawws *c, const void *data, size_t size)
{
    return rawws_send_frame(c, RAWWS_BINARY, true, true, data, size);
}

bool rawws_next(struct rawws *c, struct rawws_message *m)
{
    const uint8_t *p = c->in + c->in_at;
    size_t have = c->in_end - c->in_at, head = 2;
    if (have < head)
        return false;
    uint64_t size = p[1] & 0x7fu;
    if (size == 126) {
        head = 4;
        if (have < head)
            return false;
        size = (uint64_t)p[2] << 8 | p[3];
    } else if (size == 127) {
        head = 10;
        if (have < head)
            return false;
        size = 0;
        for (size_t i = 2; i < 10; i++)
            size = size << 8 | p[i];
    }
    if ((p[1] & 0x80u) || size > (UINT64_C(1) << 30)) { /* servers never mask */
        c->closed = true;
        return false;
    }
    if (have - head < size)
        return false;
    m->opcode = p[0] & 0x0fu;
    m->final = (p[0] & 0x80u) != 0;
    m->data = p + head;
    m->size = (size_t)size;
    c->in_at += head + (size_t)size;
    if (m->opcode == RAWWS_CLOSE) {
        c->close_code = 1005;
        if (size >= 2)
            c->close_code = (uint16_t)(m->data[0] << 8 | m->data[1]);
        c->closed = true;
    }
    return true;
}

int rawws_receive(struct rawws *c, struct rawws_message *m, int timeout_ms)
{
    uint64_t end = mono_ms() + (uint64_t)(timeout_ms < 0 ? 0 : timeout_ms);
    for (;;) {
        while (rawws_next(c, m)) {
            if (m->opcode == RAWWS_PING) {
                (void)rawws_send_frame(c, RAWWS_PONG, true, true, m->data, m->size);
                continue;
            }
            if (m->opcode == RAWWS_PONG)
                continue;
            return m->opcode == RAWWS_CLOSE ? -1 : 1;
        }
        uint64_t now = mono_ms();
        if (c->closed)
            return -1;
        if (!wait_for(c->fd, POLLIN, now < end ? (int)(end - now) : 0))
            return 0;
        (void)rawws_fill(c);
    }
}

bool rawws_set_open(struct rawws_set *s)
{
    s->count = 0;
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    return s->epoll >= 0;
}

void rawws_set_close(struct rawws_set *s)
{
    if (s->epoll >= 0)
        close(s->epoll);
    s->epoll = -1;
}

bool rawws_set_add(struct rawws_set *s, struct rawws *c)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, c->fd, &e) < 0)
        return false;
    s->count++;
    return true;
}

void rawws_set_remove(struct rawws_set *s, struct rawws *c)
{
    if (c->fd >= 0 && epoll_ctl(s->epoll, EPOLL_CTL_DEL, c->fd, NULL) == 0)
        s->count--;
}

void rawws_set_want_write(struct rawws_set *s, struct rawws *c)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    (void)epoll_ctl(s->epoll, EPOLL_CTL_MOD, c->fd, &e);
}

static void set_serve(struct rawws_set *s, struct rawws *c, uint32_t events,
                      rawws_on_message *on_message, rawws_on_end *on_end, void *context)
{
    struct rawws_message m;
    if (events & EPOLLOUT) {
        (void)rawws_flush(c);
        if (rawws_unsent(c) == 0) {
            struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
            (void)epoll_ctl(s->epoll, EPOLL_CTL_MOD, c->fd, &e);
        }
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        (void)rawws_fill(c);
    while (c->fd >= 0 && rawws_next(c, &m)) {
        if (m.opcode == RAWWS_PING)
            (void)rawws_send_frame(c, RAWWS_PONG, true, true, m.data, m.size);
        else if (m.opcode != RAWWS_PONG && m.opcode != RAWWS_CLOSE)
            on_message(context, c, &m);
    }
    if (c->fd >= 0 && c->closed) {
        rawws_set_remove(s, c);
        on_end(context, c);
    }
}

int rawws_set_poll(struct rawws_set *s, int timeout_ms, rawws_on_message *on_message,
                   rawws_on_end *on_end, void *context)
{
    struct epoll_event events[EVENTS_A_ROUND];
    int n = epoll_wait(s->epoll, events, EVENTS_A_ROUND, timeout_ms);
    if (n < 0)
        return errno == EINTR ? 0 : -1;
    for (int i = 0; i < n; i++)
        set_serve(s, events[i].data.ptr, events[i].events, on_message, on_end, context);
    return n;
}

int rawhttp_get(uint16_t port, const char *path, char *body, size_t cap, size_t *size)
{
    struct rawws c;
    struct rawws_options o = {.port = port};
    char request[HEADER_MAX];
    int status = 0;
    *size = 0;
    body[0] = 0;
    if (!rawws_open(&c, &o))
        return 0;
    int n =
        snprintf(request, sizeof(request),
                 "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", path);
    if (n < 0 || (size_t)n >= sizeof(request) || !rawws_send_raw(&c, request, (size_t)n))
        goto out;
    uint64_t end = mono_ms() + DEFAULT_TIMEOUT_MS;
    while (!c.closed && mono_ms() < end) {
        if (wait_for(c.fd, POLLIN, 100))
            (void)rawws_fill(&c);
        /* Content-Length says when it is whole; else the close does. */
        uint8_t *stop = c.in_end ? memmem(c.in, c.in_end, "\r\n\r\n", 4) : NULL;
        if (!stop)
            continue;
        uint8_t *length = memmem(c.in, (size_t)(stop - c.in), "ontent-", 7);
        const char *digits = NULL;
        while (length && !digits) {
            if (strncasecmp((const char *)length, "ontent-length:", 14) == 0)
                digits = (const char *)length + 14;
            else
                length = memmem(length + 7, (size_t)(stop - length - 7), "ontent-", 7);
        }
        size_t have = c.in_end - (size_t)(stop + 4 - c.in);
        if (digits && have >= strtoul(digits, NULL, 10))
            break;
    }
    uint8_t *stop = c.in_end ? memmem(c.in, c.in_end, "\r\n\r\n", 4) : NULL;
    if (stop && memcmp(c.in, "HTTP/1.", 7) == 0) {
        status = (int)strtol((const char *)c.in + 9, NULL, 10);
        size_t have = c.in_end - (size_t)(stop + 4 - c.in);
        *size = have < cap - 1 ? have : cap - 1;
        memcpy(body, stop + 4, *size);
        body[*size] = 0;
    }
out:
    rawws_close(&c);
    return status;
}

int rawhttp_exchange(uint16_t port, const void *request, size_t request_size, char *out,
                     size_t cap, size_t *size)
{
    struct rawws c;
    struct rawws_options o = {.port = port};
    *size = 0;
    out[0] = 0;
    if (!rawws_open(&c, &o))
        return 0;
    uint64_t end = mono_ms() + DEFAULT_TIMEOUT_MS;
    bool sent = rawws_send_raw(&c, request, request_size);
    /* An answer may come before all of a refused request went out. */
    while ((sent || c.in_end == 0) && !c.closed && mono_ms() < end)
        if (wait_for(c.fd, POLLIN, 100))
            (void)rawws_fill(&c);
    *size = c.in_end < cap - 1 ? c.in_end : cap - 1;
    if (*size)
        memcpy(out, c.in, *size);
    out[*size] = 0;
    rawws_close(&c);
    return strncmp(out, "HTTP/1.", 7) == 0 ? (int)strtol(out + 9, NULL, 10) : 0;
}
