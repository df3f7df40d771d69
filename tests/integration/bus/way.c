#include "tests/integration/bus/way.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURN_MS 20

/* One direction: from `in` to the other end. */
struct way_flow {
    uint8_t *data;
    size_t size;
};
struct way_pair {
    int fd[2]; /* the relay's end, the bus's */
    struct way_flow flow[2]; /* what came from fd[i] */
};

static void drop(struct way *w, unsigned i)
{
    struct way_pair *p = w->pairs[i];
    close(p->fd[0]);
    close(p->fd[1]);
    free(p->flow[0].data);
    free(p->flow[1].data);
    free(p);
    w->pairs[i] = NULL;
}

static int dial(uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void let_in(struct way *w)
{
    struct way_pair *p = NULL;
    unsigned i = 0;
    int fd = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    while (i < WAY_PAIRS && w->pairs[i])
        i++;
    int other = atomic_load(&w->mode) == WAY_CUT || i == WAY_PAIRS
                    ? -1
                    : dial((uint16_t)atomic_load(&w->to));
    if (other >= 0 && (p = calloc(1, sizeof *p)) != NULL) {
        p->fd[0] = fd;
        p->fd[1] = other;
        p->flow[0].data = malloc(WAY_BYTES);
        p->flow[1].data = malloc(WAY_BYTES);
        w->pairs[i] = p;
        return;
    }
    if (other >= 0)
        close(other);
    close(fd);
}

/* False: one end is gone. */
static bool carry(struct way_pair *p)
{
    for (int i = 0; i < 2; i++) {
        struct way_flow *f = &p->flow[i];
        if (f->size < WAY_BYTES) {
            ssize_t n = recv(p->fd[i], f->data + f->size, WAY_BYTES - f->size, MSG_DONTWAIT);
            if (n == 0 || (n < 0 && errno != EAGAIN))
                return false;
            f->size += n > 0 ? (size_t)n : 0;
        }
        if (f->size > 0) {
            ssize_t n = send(p->fd[1 - i], f->data, f->size, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n < 0 && errno != EAGAIN)
                return false;
            if (n > 0) {
                f->size -= (size_t)n;
                memmove(f->data, f->data + n, f->size);
            }
        }
    }
    return true;
}

static nfds_t listen_to(struct ways *w, struct pollfd *at)
{
    nfds_t n = 0;
    for (unsigned k = 0; k < w->count; k++) {
        struct way *one = &w->way[k];
        at[n++] = (struct pollfd){.fd = one->listener, .events = POLLIN};
        for (unsigned i = 0; i < WAY_PAIRS; i++)
            for (int e = 0; one->pairs[i] && e < 2; e++)
                if (atomic_load(&one->mode) == WAY_OPEN)
                    at[n++] = (struct pollfd){
                        .fd = one->pairs[i]->fd[e],
                        .events = (short)((one->pairs[i]->flow[e].size < WAY_BYTES ? POLLIN
                                                                                   : 0) |
                                          (one->pairs[i]->flow[1 - e].size ? POLLOUT : 0))};
    }
    return n;
}

static void serve(struct way *w)
{
    uint16_t to = (uint16_t)atomic_load(&w->to);
    int mode = atomic_load(&w->mode);
    for (unsigned i = 0; i < WAY_PAIRS; i++)
        if (w->pairs[i] && (mode == WAY_CUT || to != w->led ||
                            (mode == WAY_OPEN && !carry(w->pairs[i]))))
            drop(w, i);
    w->led = to;
    let_in(w);
}

static void *ways_thread(void *context)
{
    struct ways *w = context;
    static struct pollfd at[WAYS_MAX * (1 + 2 * WAY_PAIRS)];
    while (!atomic_load(&w->stop)) {
        (void)poll(at, listen_to(w, at), TURN_MS);
        for (unsigned k = 0; k < w->count; k++)
            serve(&w->way[k]);
    }
    return NULL;
}

static bool make(struct way *w)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t size = sizeof a;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    w->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (w->listener < 0 || bind(w->listener, (struct sockaddr *)&a, sizeof a) != 0 ||
        listen(w->listener, 16) != 0 ||
        getsockname(w->listener, (struct sockaddr *)&a, &size) != 0)
        return false;
    w->port = ntohs(a.sin_port);
    return true;
}

bool ways_open(struct ways *w, unsigned count)
{
    memset(w, 0, sizeof *w);
    for (; w->count < count; w->count++)
        if (!make(&w->way[w->count]))
            return false;
    return pthread_create(&w->thread, NULL, ways_thread, w) == 0;
}

void ways_lead(struct ways *w, uint16_t to)
{
    for (unsigned i = 0; i < w->count; i++)
        atomic_store(&w->way[i].to, to);
}

void ways_lead_one(struct ways *w, unsigned number, uint16_t to)
{
    atomic_store(&w->way[number].to, to);
}

void way_be(struct ways *w, unsigned number, enum way_mode mode)
{
    atomic_store(&w->way[number].mode, (int)mode);
}

void ways_close(struct ways *w)
{
    atomic_store(&w->stop, true);
    pthread_join(w->thread, NULL);
    for (unsigned k = 0; k < w->count; k++) {
        for (unsigned i = 0; i < WAY_PAIRS; i++)
            if (w->way[k].pairs[i])
                drop(&w->way[k], i);
        close(w->way[k].listener);
    }
}
