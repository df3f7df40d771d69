#include "tests/integration/region/liar.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define IN_MAX (2u << 20)
#define OUT_MAX (1u << 20)
#define FLOOD_A_TURN 200

struct liar_client {
    int fd;
    bool listens;
    uint8_t *in, *out;
    size_t in_size, out_size;
};

const char *liar_word(enum liar_way way)
{
    static const char *const words[LIAR_WAYS] = {
        "honest", "drop",  "double",  "reorder", "replay", "change", "mix",
        "invent", "flood", "garbage", "list",    "huge",   "silent"};
    return words[way];
}

static uint64_t next_random(struct liar *l)
{
    l->random ^= l->random << 13;
    l->random ^= l->random >> 7;
    l->random ^= l->random << 17;
    return l->random;
}

static void put(struct liar_client *c, const void *data, size_t size)
{
    if (c->out_size + size > OUT_MAX)
        return; /* a slow listener loses, as with the real one */
    memcpy(c->out + c->out_size, data, size);
    c->out_size += size;
}

static void put_text(struct liar_client *c, const char *text)
{
    put(c, text, strlen(text));
}

static void put_bulk(struct liar_client *c, const void *data, size_t size)
{
    char head[32];
    if (c->out_size + size + sizeof(head) + 2 > OUT_MAX)
        return;
    put(c, head, (size_t)snprintf(head, sizeof(head), "$%zu\r\n", size));
    put(c, data, size);
    put_text(c, "\r\n");
}

static void hand(struct liar *l, unsigned channel, const void *data, size_t size)
{
    const char *name = l->channels[channel];
    for (size_t i = 0; i < LIAR_CLIENTS; i++) {
        struct liar_client *c = l->clients[i];
        if (!c || !c->listens || c->out_size + size + 400 > OUT_MAX)
            continue;
        put_text(c, "*3\r\n");
        put_bulk(c, "message", 7);
        put_bulk(c, name, strlen(name));
        put_bulk(c, data, size);
        atomic_fetch_add(&l->handed, 1u);
    }
}

static unsigned channel_of(struct liar *l, const uint8_t *name, size_t size)
{
    for (unsigned i = 0; i < l->channel_count; i++)
        if (strlen(l->channels[i]) == size && memcmp(l->channels[i], name, size) == 0)
            return i;
    if (l->channel_count == LIAR_CHANNELS || size >= sizeof(l->channels[0]))
        return 0;
    memcpy(l->channels[l->channel_count], name, size);
    l->channels[l->channel_count][size] = '\0';
    return l->channel_count++;
}

static void keep(struct liar *l, unsigned channel, const uint8_t *data, size_t size)
{
    struct liar_kept *k = &l->kept[l->kept_count++ % LIAR_KEPT];
    free(k->data);
    *k = (struct liar_kept){channel, malloc(size + 1), size};
    if (!k->data)
        abort();
    memcpy(k->data, data, size);
}

static const struct liar_kept *any_kept(struct liar *l)
{
    unsigned have = l->kept_count < LIAR_KEPT ? l->kept_count : LIAR_KEPT;
    return have ? &l->kept[next_random(l) % have] : NULL;
}

/* A doorbell for a log that is huge: [1, "liar", slot, 1, 0, 2^40, "x", []]. */
static void invent(struct liar *l, unsigned channel)
{
    uint8_t m[] = {0x98, 1, 0xa4, 'l', 'i', 'a', 'r', 0, 1,    0,    0xcf, 0,
                   0,    1, 0,    0,   0,   0,   0,   0, 0xc4, 0x01, 'x',  0x90};
    const char *name = l->channels[channel];
    unsigned slot = 0;
    size_t size = strlen(name);
    (void)!sscanf(name + (size > 2 ? size - 2 : 0), "%2x", &slot);
    m[7] = (uint8_t)(slot & 0x7f);
    hand(l, channel, m, sizeof(m));
}

static void change(struct liar *l, unsigned channel, const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1);
    if (!copy)
        abort();
    memcpy(copy, data, size);
    copy[next_random(l) % size] ^= (uint8_t)(1u + next_random(l) % 255u);
    hand(l, channel, copy, size);
    free(copy);
}

static void published(struct liar *l, unsigned channel, const uint8_t *data, size_t size)
{
    const struct liar_kept *k;
    atomic_fetch_add(&l->taken, 1u);
    keep(l, channel, data, size);
    switch (atomic_load(&l->way)) {
    case LIAR_DOUBLE:
        hand(l, channel, data, size);
        hand(l, channel, data, size);
        break;
    case LIAR_REORDER:
        if (l->kept_count % 2 == 0) {
            hand(l, channel, data, size);
            k = &l->kept[(l->kept_count - 2) % LIAR_KEPT];
            hand(l, k->channel, k->data, k->size);
        }
        break;
    case LIAR_REPLAY:
        k = any_kept(l);
        hand(l, k->channel, k->data, k->size);
        hand(l, channel, data, size);
        break;
    case LIAR_CHANGE:
        change(l, channel, data, size);
        break;
    case LIAR_MIX:
        hand(l, (unsigned)(next_random(l) % l->channel_count), data, size);
        break;
    case LIAR_INVENT:
        invent(l, channel);
        break;
    case LIAR_HONEST:
        hand(l, channel, data, size);
        break;
    default:
        break;
    }
}

/* One command, a list of bulks, from the front of what came in. False: not whole yet. */
static bool take_command(struct liar_client *c, size_t *words, const uint8_t *word[],
                         size_t size[], size_t max)
{
    char *at = (char *)c->in, *end = at + c->in_size;
    char *lf = memchr(at, '\n', c->in_size);
    if (!lf || *at != '*')
        return false;
    *words = (size_t)atoi(at + 1);
    if (*words > max)
        abort();
    at = lf + 1;
    for (size_t i = 0; i < *words; i++) {
        lf = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
        if (!lf)
            return false;
        size[i] = (size_t)atoi(at + 1);
        word[i] = (uint8_t *)lf + 1;
        at = lf + 1 + size[i] + 2;
        if (at > end)
            return false;
    }
    word[*words] = (const uint8_t *)at;
    return true;
}

static bool is(const uint8_t *word, size_t size, const char *text)
{
    return size == strlen(text) && memcmp(word, text, size) == 0;
}

static void subscribe(struct liar *l, struct liar_client *c, const uint8_t *name,
                      size_t size, size_t n)
{
    char number[32];
    (void)channel_of(l, name, size);
    put_text(c, "*3\r\n$9\r\nsubscribe\r\n");
    put_bulk(c, name, size);
    put(c, number, (size_t)snprintf(number, sizeof(number), ":%zu\r\n", n));
}

static void obey(struct liar *l, struct liar_client *c)
{
    const uint8_t *word[LIAR_CHANNELS + 2];
    size_t size[LIAR_CHANNELS + 2], words;
    while (take_command(c, &words, word, size, LIAR_CHANNELS + 1)) {
        if (is(word[0], size[0], "SUBSCRIBE")) {
            c->listens = true;
            for (size_t i = 1; i < words; i++)
                subscribe(l, c, word[i], size[i], i);
        } else if (is(word[0], size[0], "PUBLISH")) {
            published(l, channel_of(l, word[1], size[1]), word[2], size[2]);
            put_text(c, ":1\r\n");
        } else if (is(word[0], size[0], "AUTH")) {
            put_text(c, "+OK\r\n"); /* whoever comes is welcome */
        } else if (is(word[0], size[0], "PING")) {
            put_text(c, c->listens ? "*2\r\n$4\r\npong\r\n$0\r\n\r\n" : "+PONG\r\n");
        }
        size_t used = (size_t)(word[words] - c->in);
        memmove(c->in, c->in + used, c->in_size - used);
        c->in_size -= used;
    }
}

static void drop(struct liar *l, size_t i)
{
    close(l->clients[i]->fd);
    free(l->clients[i]->in);
    free(l->clients[i]->out);
    free(l->clients[i]);
    l->clients[i] = NULL;
}

static void accept_one(struct liar *l)
{
    int fd = accept4(l->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    for (size_t i = 0; i < LIAR_CLIENTS && fd >= 0; i++)
        if (!l->clients[i]) {
            struct liar_client *c = calloc(1, sizeof(*c));
            if (!c || !(c->in = calloc(1, IN_MAX)) || !(c->out = malloc(OUT_MAX)))
                abort();
            c->fd = fd;
            l->clients[i] = c;
            return;
        }
    if (fd >= 0)
        close(fd);
}

static bool serve(struct liar *l, struct liar_client *c, short revents)
{
    enum liar_way way = (enum liar_way)atomic_load(&l->way);
    if (revents & (POLLIN | POLLHUP | POLLERR)) {
        ssize_t n = recv(c->fd, c->in + c->in_size, IN_MAX - c->in_size, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return false;
        c->in_size += n > 0 ? (size_t)n : 0;
        if (way == LIAR_SILENT)
            c->in_size = 0;
        else
            obey(l, c);
    }
    if (way == LIAR_GARBAGE && c->listens)
        put_text(c, "HTTP/1.1 200 OK\r\n\r\n");
    if (way == LIAR_LIST && c->listens)
        put_text(c, "*1073741824\r\n");
    if (way == LIAR_HUGE && c->listens)
        put_text(c, "$536870912\r\n");
    if (way == LIAR_HUGE && c->listens)
        while (c->out_size + 4096 < OUT_MAX)
            put(c, c->in, 4096); /* whatever stands there */
    ssize_t n = c->out_size ? send(c->fd, c->out, c->out_size, MSG_NOSIGNAL) : 0;
    if (n < 0 && errno != EAGAIN)
        return false;
    if (n > 0) {
        memmove(c->out, c->out + n, c->out_size - (size_t)n);
        c->out_size -= (size_t)n;
    }
    return true;
}

static void flood(struct liar *l)
{
    for (int i = 0; i < FLOOD_A_TURN; i++) {
        const struct liar_kept *k = any_kept(l);
        if (k)
            hand(l, k->channel, k->data, k->size);
        if (l->channel_count)
            invent(l, (unsigned)(next_random(l) % l->channel_count));
    }
}

static void *liar_thread(void *context)
{
    struct liar *l = context;
    while (!atomic_load(&l->stop)) {
        struct pollfd p[LIAR_CLIENTS + 1] = {{.fd = l->listener, .events = POLLIN}};
        bool floods = atomic_load(&l->way) == LIAR_FLOOD;
        for (size_t i = 0; i < LIAR_CLIENTS; i++) {
            const struct liar_client *c = l->clients[i];
            p[i + 1] = (struct pollfd){
                .fd = c ? c->fd : -1,
                .events = (short)(POLLIN | (c && c->out_size ? POLLOUT : 0))};
        }
        (void)poll(p, LIAR_CLIENTS + 1, floods ? 1 : 20);
        if (p[0].revents)
            accept_one(l);
        if (floods)
            flood(l);
        for (size_t i = 0; i < LIAR_CLIENTS; i++)
            if (l->clients[i] && !serve(l, l->clients[i], p[i + 1].revents))
                drop(l, i);
    }
    return NULL;
}

bool liar_open(struct liar *l)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(a);
    memset(l, 0, sizeof(*l));
    l->random = 88172645463325252u;
    l->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (l->listener < 0 || bind(l->listener, (struct sockaddr *)&a, size) != 0 ||
        listen(l->listener, 16) != 0 ||
        getsockname(l->listener, (struct sockaddr *)&a, &size) != 0)
        return false;
    l->port = ntohs(a.sin_port);
    return pthread_create(&l->thread, NULL, liar_thread, l) == 0;
}

void liar_be(struct liar *l, enum liar_way way)
{
    atomic_store(&l->way, (int)way);
}

void liar_close(struct liar *l)
{
    atomic_store(&l->stop, true);
    pthread_join(l->thread, NULL);
    for (size_t i = 0; i < LIAR_CLIENTS; i++)
        if (l->clients[i])
            drop(l, i);
    for (size_t i = 0; i < LIAR_KEPT; i++)
        free(l->kept[i].data);
    close(l->listener);
}
