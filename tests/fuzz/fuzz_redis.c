/* What a Redis may answer: replies that are made here arrive as they were made, bytes of any
 * kind end in replies within their limits or in one reason, and where the stream is cut makes no
 * difference; nothing is handed over before the server took our password. Addresses that parse
 * are within their limits, hold no password, and "moved" ones parse as the host they name. First
 * byte: bytes as they are, replies, bytes after AUTH, an address, a moved address. */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "crypto/key.h"
#include "fuzz.h"
#include "input.h"
#include "relay/redis_link.h"
#include "scratch.h"

#define REPLIES_MAX 40u
#define STREAM_ROOM 16384u

static int listener = -1;
static struct redis_address address, with_password;

static void make_server(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char passfile[200];
    if (listener >= 0)
        return;
    PROPERTY(crypto_start());
    snprintf(a.sun_path, sizeof(a.sun_path), "%s/redis", scratch_folder());
    snprintf(address.path, sizeof(address.path), "%s", a.sun_path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    PROPERTY(bind(listener, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(listener, 4) == 0);
    snprintf(passfile, sizeof(passfile), "%s/pass", scratch_folder());
    FILE *f = fopen(passfile, "w");
    PROPERTY(f && fputs("secret\n", f) >= 0 && fclose(f) == 0 && chmod(passfile, 0600) == 0);
    with_password = address;
    snprintf(with_password.passfile, sizeof(with_password.passfile), "%s", passfile);
}

/* What arrived, written down. */
struct heard {
    struct buf all;
    unsigned count;
    bool ended;
};

static void write_down(struct heard *h, const void *data, size_t size)
{
    PROPERTY(buf_add(&h->all, &size, sizeof(size)) && (size == 0 || buf_add(&h->all, data, size)));
}

static void each(void *context, const struct redis_reply *r)
{
    struct heard *h = context;
    int64_t head[3] = {r->kind, r->number, (int64_t)r->count};
    PROPERTY(r->kind <= REDIS_FAILED && r->count <= REDIS_LIST_MAX);
    PROPERTY(r->count == 1 || (r->kind != REDIS_TEXT && r->kind != REDIS_FAILED));
    PROPERTY(r->count == 0 || (r->kind != REDIS_NUMBER && r->kind != REDIS_NOTHING));
    write_down(h, head, sizeof(head));
    for (size_t i = 0; i < r->count; i++) {
        PROPERTY(r->item[i].size <= REDIS_REPLY_MAX);
        write_down(h, r->item[i].data, r->item[i].size);
        write_down(h, &r->item_number[i], sizeof(r->item_number[i]));
    }
    h->count++;
}

/* The stream in pieces of at most `piece` bytes. */
static struct heard listen_to(const struct redis_address *a, struct bytes stream, size_t piece)
{
    struct heard h = {{0}, 0, false};
    struct redis_link *l;
    char why[REDIS_WHY_MAX];
    PROPERTY(redis_link_open(&l, a, 0, why) == ERR_OK);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    PROPERTY(fd >= 0 && redis_link_serve(l, POLLOUT, each, &h) == ERR_OK);
    PROPERTY(redis_link_ready(l) == !a->passfile[0]);
    for (size_t at = 0; at < stream.size && !h.ended; at += piece) {
        size_t n = stream.size - at < piece ? stream.size - at : piece;
        PROPERTY(send(fd, stream.data + at, n, MSG_NOSIGNAL) == (ssize_t)n);
        h.ended = redis_link_serve(l, POLLIN, each, &h) != ERR_OK;
        PROPERTY(!h.ended || redis_link_why(l)[0] != 0);
        PROPERTY(h.ended || h.count == 0 || redis_link_ready(l));
    }
    redis_link_close(l);
    close(fd);
    return h;
}

static void check_cuts(const struct redis_address *a, struct bytes stream, size_t piece)
{
    struct heard whole = listen_to(a, stream, stream.size ? stream.size : 1);
    struct heard cut = listen_to(a, stream, piece);
    PROPERTY(whole.count == cut.count && whole.ended == cut.ended);
    PROPERTY(whole.all.size == cut.all.size &&
             (cut.all.size == 0 || memcmp(whole.all.data, cut.all.data, cut.all.size) == 0));
    buf_close(&whole.all);
    buf_close(&cut.all);
}

/* Replies made here: encoded into `out`, and what has to arrive into `want`. */
static void make_scalar(struct input *in, struct buf *out, struct redis_reply *r, size_t at,
                        bool top)
{
    char head[40];
    unsigned kind = take_below(in, top ? 4 : 3);
    struct bytes text = take_bytes(in, take(in, 1));
    switch (kind) {
    case 0: { /* a number */
        int64_t v = (int64_t)take(in, 8);
        int n = snprintf(head, sizeof(head), ":%lld\r\n", (long long)v);
        PROPERTY(buf_add(out, head, (size_t)n));
        r->kind = top ? REDIS_NUMBER : REDIS_LIST;
        *(top ? &r->number : &r->item_number[at]) = v;
        r->count += !top;
        return;
    }
    case 1: { /* text, of any bytes */
        int n = snprintf(head, sizeof(head), "$%zu\r\n", text.size);
        PROPERTY(buf_add(out, head, (size_t)n) && (!text.size || buf_add(out, text.data, text.size)) &&
                 buf_add(out, "\r\n", 2));
        r->kind = top ? REDIS_TEXT : REDIS_LIST;
        r->item[at] = text;
        r->count++;
        return;
    }
    case 2: /* nothing */
        PROPERTY(buf_add(out, "$-1\r\n", 5));
        r->kind = top ? REDIS_NOTHING : REDIS_LIST;
        r->count += !top;
        return;
    default:
        PROPERTY(buf_add(out, "-ERR no\r\n", 9));
        r->kind = REDIS_FAILED;
        r->item[0] = bytes_of("ERR no", 6);
        r->count = 1;
    }
}

static void check_made(struct input *in)
{
    struct buf stream = {0};
    struct heard want = {{0}, 0, false};
    size_t piece = 1 + take(in, 1);
    while (in->left > 0 && want.count < REPLIES_MAX && stream.size < STREAM_ROOM) {
        struct redis_reply r = {0};
        if (take_below(in, 3) == 0) {
            make_scalar(in, &stream, &r, 0, true);
        } else {
            char head[24];
            unsigned n = take_below(in, REDIS_LIST_MAX + 2);
            int size = snprintf(head, sizeof(head), "*%u\r\n", n);
            PROPERTY(buf_add(&stream, head, (size_t)size));
            want.ended = n > REDIS_LIST_MAX;
            if (want.ended)
                break;
            r.kind = REDIS_LIST;
            for (unsigned i = 0; i < n; i++)
                make_scalar(in, &stream, &r, i, false);
        }
        each(&want, &r);
    }
    struct heard got = listen_to(&address, bytes_of(stream.data, stream.size), piece);
    PROPERTY(got.count == want.count && got.ended == want.ended);
    PROPERTY(got.all.size == want.all.size &&
             (got.all.size == 0 || memcmp(got.all.data, want.all.data, got.all.size) == 0));
    buf_close(&stream);
    buf_close(&want.all);
    buf_close(&got.all);
}

static void check_address(struct bytes text, bool moved)
{
    struct redis_address a = {.port = "1"}, again;
    char why[REDIS_WHY_MAX] = "", name[400], *uri = malloc(text.size + 1);
    PROPERTY(uri != NULL);
    if (text.size > 0)
        memcpy(uri, text.data, text.size);
    uri[text.size] = 0;
    if (moved) {
        snprintf(a.host, sizeof(a.host), "there");
        struct redis_address was = a;
        bool ok = redis_address_moved(&a, uri, text.size);
        PROPERTY(ok || memcmp(&a, &was, sizeof(a)) == 0);
        if (!ok)
            goto out;
    } else if (!redis_address_parse(&a, uri, why)) {
        PROPERTY(why[0] != 0);
        goto out;
    }
    PROPERTY((a.host[0] != 0) != (a.path[0] != 0));
    PROPERTY(atoi(a.port) > 0 && atoi(a.port) <= 65535 && !strchr(a.user, ':'));
    redis_address_name(&a, name, sizeof(name));
    PROPERTY(redis_address_parse(&again, name, why));
    PROPERTY(strcmp(again.host, a.host) == 0 && strcmp(again.port, a.port) == 0 &&
             strcmp(again.path, a.path) == 0);
    PROPERTY(!a.user[0] || !again.user[0]);
out:
    free(uri);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = input_of(data, size);
    make_server();
    unsigned way = take_below(&in, 5);
    size_t piece = way == 0 || way == 2 ? 1 + take(&in, 1) : 1;
    if (way == 1)
        check_made(&in);
    else if (way > 2)
        check_address(bytes_of(in.at, in.left), way == 4);
    else if (in.left <= STREAM_ROOM)
        check_cuts(way == 2 ? &with_password : &address, bytes_of(in.at, in.left), piece);
    return 0;
}
