#include "tests/integration/audit_io/liar.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/rawws.h"

#define BODY_MAX (8u << 20)

static void put(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        data += n;
        size -= (size_t)n;
    }
}

static void reply(int fd, int status, const char *more, const char *body, size_t size)
{
    char head[256];
    int n = snprintf(head, sizeof(head),
                     "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nConnection: close\r\n%s\r\n",
                     status, size, more);
    put(fd, head, (size_t)n);
    put(fd, body, size);
}

static void answer(struct liar *l, int fd, const char *path, char *body)
{
    size_t size = 0;
    l->asked++;
    if (l->silent) {
        reply(fd, 503, "", "", 0);
        return;
    }
    if (l->busy > 0) {
        l->busy--;
        reply(fd, 503, "Retry-After: 1\r\n", "", 0);
        return;
    }
    if (l->checkpoint_path[0] && strcmp(path, l->checkpoint_path) == 0) {
        reply(fd, 200, "", l->checkpoint, strlen(l->checkpoint));
        return;
    }
    int status = rawhttp_get(l->hub_port, path, body, BODY_MAX, &size);
    if (status == 200 && size > 0 && l->flip[0] && strstr(path, l->flip))
        body[size - 1] ^= 1;
    if (status == 200 && l->shorten[0] && strstr(path, l->shorten))
        size /= 2;
    reply(fd, status ? status : 502, "", body, size);
}

static void *serve(void *context)
{
    struct liar *l = context;
    char *body = malloc(BODY_MAX);
    while (!l->stop && body) {
        struct pollfd p = {.fd = l->fd, .events = POLLIN};
        if (poll(&p, 1, 50) != 1)
            continue;
        int fd = accept(l->fd, NULL, NULL);
        if (fd < 0)
            continue;
        char request[4096], path[1024];
        size_t have = 0;
        ssize_t n;
        do {
            n = recv(fd, request + have, sizeof(request) - 1 - have, 0);
            have += n > 0 ? (size_t)n : 0;
            request[have] = 0;
        } while (n > 0 && !strstr(request, "\r\n\r\n") && have < sizeof(request) - 1);
        if (sscanf(request, "GET %1000s ", path) == 1) {
            pthread_mutex_lock(&l->lock);
            answer(l, fd, path, body);
            pthread_mutex_unlock(&l->lock);
        }
        close(fd);
    }
    free(body);
    return NULL;
}

bool liar_open(struct liar *l, uint16_t hub_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t size = sizeof(a);
    memset(l, 0, sizeof(*l));
    l->hub_port = hub_port;
    if (pthread_mutex_init(&l->lock, NULL) != 0)
        return false;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (l->fd < 0 || bind(l->fd, (struct sockaddr *)&a, sizeof(a)) != 0 ||
        listen(l->fd, 64) != 0 || getsockname(l->fd, (struct sockaddr *)&a, &size) != 0)
        return false;
    l->port = ntohs(a.sin_port);
    return pthread_create(&l->thread, NULL, serve, l) == 0;
}

void liar_close(struct liar *l)
{
    l->stop = true;
    pthread_join(l->thread, NULL);
    pthread_mutex_destroy(&l->lock);
    close(l->fd);
}
