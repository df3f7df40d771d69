#include "tests/integration/postgres/cutter.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAIRS_MAX 64
#define PIECE 16384
#define TICK_MS 20

struct pair {
    int fd[2]; /* client, server; -1: free */
};

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons(port),
                                .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

static void close_pair(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        if (p->fd[i] >= 0)
            close(p->fd[i]);
        p->fd[i] = -1;
    }
}

static bool send_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        data += n;
        size -= (size_t)n;
    }
    return true;
}

/* What of `size` bytes may pass; sets *cut when that is where it ends. */
static size_t allow(struct cutter *c, int way, size_t size, bool *cut)
{
    long long left = atomic_load(&c->left[way]);
    *cut = left >= 0 && (unsigned long long)left < size;
    if (left < 0)
        return size;
    if (!*cut) {
        atomic_store(&c->left[way], left - (long long)size);
        return size;
    }
    atomic_store(&c->left[way], -1);
    atomic_fetch_add(&c->cuts, 1);
    return (size_t)left;
}

/* `from` 0: the client has something for the server. */
static void pass(struct cutter *c, struct pair *p, int from)
{
    char data[PIECE];
    bool cut = false;
    ssize_t n = recv(p->fd[from], data, sizeof(data), 0);
    if (n <= 0) {
        close_pair(p);
        return;
    }
    size_t size = allow(c, from, (size_t)n, &cut);
    atomic_fetch_add(&c->passed[from], size);
    if (!send_all(p->fd[1 - from], data, size) || cut)
        close_pair(p);
}

static void take(struct cutter *c, struct pair pairs[])
{
    struct sockaddr_in to = loopback(c->server_port);
    int client = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC), yes = 1;
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    for (int i = 0; client >= 0 && i < PAIRS_MAX; i++) {
        if (pairs[i].fd[0] >= 0)
            continue;
        if (connect(server, (struct sockaddr *)&to, sizeof(to)) != 0)
            break;
        (void)setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
        (void)setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
        pairs[i] = (struct pair){{client, server}};
        return;
    }
    if (client >= 0)
        close(client);
    close(server);
}

static void *run(void *context)
{
    struct cutter *c = context;
    struct pair pairs[PAIRS_MAX];
    for (int i = 0; i < PAIRS_MAX; i++)
        pairs[i] = (struct pair){{-1, -1}};
    while (!atomic_load(&c->stop)) {
        if (atomic_load(&c->held)) {
            (void)poll(NULL, 0, TICK_MS);
            continue;
        }
        struct pollfd p[1 + 2 * PAIRS_MAX] = {{.fd = c->listener, .events = POLLIN}};
        for (int i = 0; i < PAIRS_MAX; i++)
            for (int k = 0; k < 2; k++)
                p[1 + 2 * i + k] =
                    (struct pollfd){.fd = pairs[i].fd[k], .events = POLLIN};
        if (poll(p, 1 + 2 * PAIRS_MAX, TICK_MS) <= 0)
            continue;
        for (int i = 0; i < PAIRS_MAX; i++)
            for (int k = 0; k < 2; k++)
                if (pairs[i].fd[k] >= 0 && p[1 + 2 * i + k].fd == pairs[i].fd[k] &&
                    p[1 + 2 * i + k].revents != 0)
                    pass(c, &pairs[i], k);
        if (p[0].revents != 0)
            take(c, pairs);
    }
    for (int i = 0; i < PAIRS_MAX; i++)
        close_pair(&pairs[i]);
    return NULL;
}

bool cutter_open(struct cutter *c, uint16_t server_port)
{
    struct sockaddr_in a = loopback(0);
    socklen_t size = sizeof(a);
    memset(c, 0, sizeof(*c));
    c->server_port = server_port;
    cutter_disarm(c);
    c->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->listener < 0 || bind(c->listener, (struct sockaddr *)&a, size) != 0 ||
        listen(c->listener, 16) != 0 ||
        getsockname(c->listener, (struct sockaddr *)&a, &size) != 0)
        return false;
    c->port = ntohs(a.sin_port);
    return pthread_create(&c->thread, NULL, run, c) == 0;
}

void cutter_close(struct cutter *c)
{
    atomic_store(&c->stop, true);
    pthread_join(c->thread, NULL);
    close(c->listener);
}

void cutter_arm(struct cutter *c, enum cutter_way way, uint64_t n)
{
    atomic_store(&c->left[way], (long long)n);
}

void cutter_disarm(struct cutter *c)
{
    atomic_store(&c->left[CUTTER_TO_SERVER], -1);
    atomic_store(&c->left[CUTTER_TO_CLIENT], -1);
}
