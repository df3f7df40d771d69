/* One plain HTTP request; TLS is what a proxy or curl is for. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "relay/clock.h"
#include "relay/config.h"
#include "relay/stoactl.h"

#define ANSWER_BYTES_MAX (4u << 20)
#define PORT_DEFAULT "7001"

struct address {
    char host[CONFIG_TEXT_MAX];
    char port[8];
};

static enum err parse_url(struct address *out, const char *url, char *why)
{
    const char *scheme_end = strstr(url, "://");
    size_t scheme = scheme_end ? (size_t)(scheme_end - url) : 0;
    if ((scheme == 5 && memcmp(url, "https", 5) == 0) ||
        (scheme == 3 && memcmp(url, "wss", 3) == 0)) {
        snprintf(
            why, CTL_MESSAGE_MAX,
            "status speaks plain HTTP only; ask the hub on its own machine, or: curl "
            "https://%s/v1/status",
            scheme_end + 3);
        return ERR_USAGE;
    }
    if ((scheme != 4 || memcmp(url, "http", 4) != 0) &&
        (scheme != 2 || memcmp(url, "ws", 2) != 0)) {
        snprintf(why, CTL_MESSAGE_MAX, "\"%s\" is not a URL like http://127.0.0.1:7001",
                 url);
        return ERR_USAGE;
    }
    char text[CONFIG_TEXT_MAX];
    uint16_t port;
    const char *at = scheme_end + 3;
    int n = snprintf(text, sizeof text, "%.*s", (int)strcspn(at, "/?#"), at);
    if (n > 0 && (size_t)n < sizeof text && config_address(text, out->host, &port)) {
        snprintf(out->port, sizeof out->port, "%u", port);
        return ERR_OK;
    }
    if (n > 0 && (size_t)n < sizeof text && !strchr(text, ':')) {
        snprintf(out->host, sizeof out->host, "%s", text);
        snprintf(out->port, sizeof out->port, PORT_DEFAULT);
        return ERR_OK;
    }
    snprintf(why, CTL_MESSAGE_MAX, "\"%s\" names no host and port", url);
    return ERR_USAGE;
}

static bool wait_for(int fd, short events, uint64_t deadline)
{
    uint64_t now = clock_mono_ms();
    struct pollfd p = {.fd = fd, .events = events};
    while (now < deadline) {
        int n = poll(&p, 1, (int)(deadline - now));
        if (n > 0)
            return true;
        if (n < 0 && errno != EINTR)
            return false;
        now = clock_mono_ms();
    }
    errno = ETIMEDOUT;
    return false;
}

static int connect_one(const struct addrinfo *a, uint64_t deadline)
{
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
                    a->ai_protocol);
    int error = 0;
    socklen_t size = sizeof error;
    if (fd < 0)
        return -1;
    if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
        return fd;
    if (errno == EINPROGRESS && wait_for(fd, POLLOUT, deadline) &&
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0)
        return fd;
    int kept = error ? error : errno;
    close(fd);
    errno = kept;
    return -1;
}

static int connect_to(const struct address *to, uint64_t deadline, char *why)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int failed = getaddrinfo(to->host, to->port, &hints, &list);
    if (failed) {
        snprintf(why, CTL_MESSAGE_MAX, "%s: %s", to->host, gai_strerror(failed));
        return -1;
    }
    int fd = -1;
    for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next)
        fd = connect_one(a, deadline);
    if (fd < 0)
        snprintf(why, CTL_MESSAGE_MAX, "%s port %s: %s", to->host, to->port,
                 strerror(errno));
    freeaddrinfo(list);
    return fd;
}

static bool send_all(int fd, const char *data, size_t size, uint64_t deadline)
{
    while (size > 0) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n > 0) {
            data += n;
            size -= (size_t)n;
        } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            if (!wait_for(fd, POLLOUT, deadline))
                return false;
        } else {
            return false;
        }
    }
    return true;
}

/* Until the other side closes; `buf` has ANSWER_BYTES_MAX + 1 room. */
static enum err receive_all(int fd, char *buf, size_t *size, uint64_t deadline)
{
    *size = 0;
    for (;;) {
        ssize_t n = recv(fd, buf + *size, ANSWER_BYTES_MAX + 1 - *size, 0);
        if (n == 0)
            return ERR_OK;
        if (n > 0) {
            *size += (size_t)n;
            if (*size > ANSWER_BYTES_MAX)
                return ERR_TOO_LARGE;
        } else if (errno == EAGAIN || errno == EINTR) {
            if (!wait_for(fd, POLLIN, deadline))
                return ERR_TIMEOUT;
        } else {
            return ERR_NET;
        }
    }
}

static enum err exchange(int fd, const struct address *to, const char *path, char *buf,
                         size_t *size, uint64_t deadline)
{
    char request[2 * CONFIG_TEXT_MAX];
    int n = snprintf(request, sizeof request,
                     "GET %s HTTP/1.1\r\nHost: %s:%s\r\nAccept: application/json\r\n"
                     "Connection: close\r\n\r\n",
                     path, to->host, to->port);
    if (n < 0 || (size_t)n >= sizeof request)
        return ERR_USAGE;
    if (!send_all(fd, request, (size_t)n, deadline))
        return errno == ETIMEDOUT ? ERR_TIMEOUT : ERR_NET;
    return receive_all(fd, buf, size, deadline);
}

/* Status and body of an answer that is there whole; moves the body to the front. */
static enum err split_answer(char *buf, size_t size, int *status)
{
    buf[size] = '\0';
    char *end = strstr(buf, "\r\n\r\n");
    if (!end || sscanf(buf, "HTTP/1.%*d %3d", status) != 1)
        return ERR_NET;
    end += 4;
    memmove(buf, end, size - (size_t)(end - buf) + 1);
    return ERR_OK;
}

enum err ctl_http_get(const char *url, const char *path, uint64_t timeout_ms, int *status,
                      char **body, char *why)
{
    struct address to;
    size_t size = 0;
    uint64_t deadline = clock_mono_ms() + timeout_ms;
    *status = 0;
    *body = NULL;
    why[0] = '\0';
    TRY(parse_url(&to, url, why));
    int fd = connect_to(&to, deadline, why);
    if (fd < 0)
        return ERR_NET;
    char *buf = malloc(ANSWER_BYTES_MAX + 2);
    enum err e = buf ? exchange(fd, &to, path, buf, &size, deadline) : ERR_MEMORY;
    close(fd);
    if (e == ERR_OK)
        e = split_answer(buf, size, status);
    if (e != ERR_OK) {
        free(buf);
        snprintf(why, CTL_MESSAGE_MAX, "%s port %s: %s", to.host, to.port, err_text(e));
        return e;
    }
    *body = buf;
    return ERR_OK;
}
