#include "ledger/link.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <libwebsockets.h>

#include "ledger/wire.h"

#define LINK_RX_BUFFER 4096
#define LINK_WRITES_A_TURN 64 /* frames handed to the kernel in one writable callback */
#define LINK_FDS_MAX                                                                     \
    8 /* the connection, the library's wake-up, and room to change sockets */

/* One frame, on its way out or in. `data` starts LWS_PRE bytes in for outgoing ones,
 * where the library writes its header and masks in place: so every frame is a copy of
 * ours. */
struct frame {
    struct frame *next;
    size_t size;
    uint8_t data[];
};

struct frames {
    struct frame *head, *tail;
    size_t bytes;
};

enum link_state { LINK_CONNECTING, LINK_UP, LINK_DOWN };

/* The library's own loop (poll) is used, not its libuv one: that one closes the number of
 * its wake-up descriptor twice when a context ends (seen with 4.1), and between the two
 * another thread may have been given that number for a socket or a file of its own. */
struct link {
    lws_sorted_usec_list_t wait; /* ends link_poll */
    lws_sorted_usec_list_t ping; /* silence */
    atomic_bool woken;           /* link_wake */
    struct lws_context *context;
    struct lws_vhost *vhost;
    struct lws *wsi;
    struct lws_protocols protocols[2];
    enum link_state state;
    bool opened_told, stop, closing, throttled, sending;
    bool heard, ping_due, ping_sent, silent, close_sent;
    struct frames out, in;
    struct frame *lent; /* given to the caller by the last poll */
    struct buf partial; /* a message still arriving */
    size_t queue_bytes_max;
    uint32_t ping_ms;
    char host[LINK_URL_MAX], path[LINK_URL_MAX], ca_file[LINK_URL_MAX];
    int port;
    int wake_fd; /* the library's, where its number has to be known; else -1 */
    bool tls;
    char why[LINK_WHY_MAX];
};

static void frames_put(struct frames *q, struct frame *f)
{
    f->next = NULL;
    if (q->tail)
        q->tail->next = f;
    else
        q->head = f;
    q->tail = f;
    q->bytes += f->size;
}

static struct frame *frames_take(struct frames *q)
{
    struct frame *f = q->head;
    if (!f)
        return NULL;
    q->head = f->next;
    if (!q->head)
        q->tail = NULL;
    q->bytes -= f->size;
    return f;
}

static void frames_clear(struct frames *q)
{
    for (struct frame *f = frames_take(q); f; f = frames_take(q))
        free(f);
}

static void silent(int level, const char *line)
{
    (void)level;
    (void)line;
}

/* The library runs its timers first and then waits for the sockets, for as long as the
 * next timer allows: what a timer has to tell must end that wait too. */
static void leave(struct link *l)
{
    l->stop = true;
    lws_cancel_service(l->context);
}

static void down(struct link *l, const char *why)
{
    if (l->state == LINK_DOWN)
        return;
    l->state = LINK_DOWN;
    snprintf(l->why, sizeof(l->why), "%s", why);
    lws_sul_cancel(&l->ping);
    leave(l);
}

/* ---- incoming ---------------------------------------------------------------------- */

static void throttle(struct link *l)
{
    bool full = l->in.bytes >= l->queue_bytes_max;
    if (l->wsi && full != l->throttled) {
        lws_rx_flow_control(l->wsi, full ? 0 : 1);
        l->throttled = full;
    }
}

static bool deliver(struct link *l, const void *data, size_t size)
{
    struct frame *f = malloc(sizeof(*f) + (size ? size : 1));
    if (!f)
        return false;
    f->size = size;
    if (size)
        memcpy(f->data, data, size);
    frames_put(&l->in, f);
    l->stop = true;
    throttle(l);
    return true;
}

/* Joins fragments; the bound is checked before memory is taken. False: end the
 * connection. */
static bool received(struct link *l, struct lws *wsi, const void *data, size_t size)
{
    l->heard = true;
    size_t rest = lws_remaining_packet_payload(wsi);
    if (l->partial.size + size + rest > LINK_FRAME_MAX) {
        down(l, "hub sent a frame over 1 MiB");
        return false;
    }
    bool last = lws_is_final_fragment(wsi) && rest == 0;
    if (!lws_frame_is_binary(wsi)) {
        down(l, "hub sent text where only binary frames are spoken");
        return false;
    }
    if (last && l->partial.size == 0) {
        if (deliver(l, data, size))
            return true;
    } else if (buf_reserve(&l->partial, size + rest) &&
               buf_add(&l->partial, data, size)) {
        if (!last)
            return true;
        bool kept = deliver(l, l->partial.data, l->partial.size);
        buf_clear(&l->partial);
        if (kept)
            return true;
    }
    down(l, "out of memory for a frame");
    return false;
}

/* ---- outgoing ---------------------------------------------------------------------- */

/* Returning -1 from the callback closes without a close frame (4.1 and 4.3), so it is
 * written here; the hub's own close frame then ends the connection. A library that does
 * not take the value fails the write, and the connection ends without the frame. */
#define WRITE_CLOSE                                                                      \
    ((enum lws_write_protocol)4) /* the library keeps the name to itself */

static int say_goodbye(struct link *l, struct lws *wsi)
{
    uint8_t room[LWS_PRE + 2];
    if (lws_partial_buffered(wsi)) {
        lws_callback_on_writable(wsi);
        return 0;
    }
    room[LWS_PRE] = LWS_CLOSE_STATUS_NORMAL >> 8;
    room[LWS_PRE + 1] = LWS_CLOSE_STATUS_NORMAL & 0xff;
    l->close_sent = true;
    return lws_write(wsi, room + LWS_PRE, 2, WRITE_CLOSE) < 0 ? -1 : 0;
}

/* 0 to go on, -1 to close. */
static int writable(struct link *l, struct lws *wsi)
{
    l->sending = false;
    if (l->ping_due) {
        uint8_t room[LWS_PRE + 1];
        l->ping_due = false;
        l->ping_sent = true;
        if (lws_write(wsi, room + LWS_PRE, 0, LWS_WRITE_PING) < 0) {
            down(l, "connection was lost");
            return -1;
        }
    }
    for (int n = 0; n < LINK_WRITES_A_TURN && l->out.head; n++) {
        if (lws_send_pipe_choked(wsi) || lws_partial_buffered(wsi))
            break;
        struct frame *f = frames_take(&l->out);
        int sent = lws_write(wsi, f->data + LWS_PRE, f->size, LWS_WRITE_BINARY);
        free(f);
        if (sent < 0) {
            down(l, "connection was lost");
            return -1;
        }
    }
    if (l->out.head) {
        l->sending = true;
        lws_callback_on_writable(wsi);
    } else if (l->closing && !l->close_sent) {
        return say_goodbye(l, wsi);
    }
    return 0;
}

/* What libwebsockets says of a handshake that failed: numbers and OpenSSL's words, which
 * only part of the releases carry; 4.1 "SSL ..", 4.3 "tls: .." or "server's cert didn't
 * look good". */
static bool of_tls(const char *said)
{
    return strstr(said, "SSL") || strncmp(said, "tls: ", 5) == 0 ||
           strstr(said, "'s cert ");
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user,
                    void *in, size_t len)
{
    (void)user;
    struct lws_vhost *vhost = lws_get_vhost(wsi);
    struct link *l = vhost ? lws_vhost_user(vhost) : NULL;
    if (!l)
        return 0;
    switch (reason) {
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        l->state = LINK_UP;
        l->stop = true;
        if (l->out.head)
            lws_callback_on_writable(wsi);
        break;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR: {
        char why[LINK_WHY_MAX];
        const char *said = in ? (const char *)in : "no answer";
        if (l->tls && of_tls(said))
            snprintf(
                why, sizeof(why),
                "no TLS with %.60s:%d: its certificate is not trusted here, or not for "
                "that name, or it speaks none",
                l->host, l->port);
        else
            snprintf(why, sizeof(why), "cannot connect to %.60s:%d: %.60s", l->host,
                     l->port, said);
        l->wsi = NULL;
        down(l, why);
        break;
    }
    case LWS_CALLBACK_CLIENT_RECEIVE:
        return received(l, wsi, in, len) ? 0 : -1;
    case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
        l->heard = true;
        break;
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return writable(l, wsi);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE: {
        char why[LINK_WHY_MAX] = "hub closed the connection";
        if (len > 2)
            snprintf(why, sizeof(why), "hub closed the connection: %.*s",
                     (int)(len - 2 > 100 ? 100 : len - 2), (const char *)in + 2);
        down(l, why);
        return l->close_sent ? -1 : 0; /* ours is out already: nothing to echo */
    }
    case LWS_CALLBACK_CLIENT_CLOSED:
    case LWS_CALLBACK_WSI_DESTROY:
        if (wsi == l->wsi) {
            l->wsi = NULL;
            down(l, "connection was closed");
            l->stop = true;
        }
        break;
    default:
        break;
    }
    return 0;
}

/* ---- timers ------------------------------------------------------------------------ */

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void on_wait(lws_sorted_usec_list_t *t)
{
    leave(lws_container_of(t, struct link, wait));
}

void link_wake(struct link *l)
{
    atomic_store(&l->woken, true);
    lws_cancel_service(l->context);
}

/* Silence for ping_ms while somebody polls: ask; silence once more: give up. Timers run
 * before sockets are read: what came in while nobody polled must still count, so `turn`
 * judges, after the sockets. */
static void on_ping(lws_sorted_usec_list_t *t)
{
    struct link *l = lws_container_of(t, struct link, ping);
    if (l->heard || l->throttled) {
        l->heard = false;
        l->ping_sent = false;
    } else if (l->ping_sent) {
        l->silent = true;
        lws_cancel_service(l->context);
    } else if (l->wsi && l->state == LINK_UP) {
        l->ping_due = true;
        lws_callback_on_writable(l->wsi);
    }
    lws_sul_schedule(l->context, 0, t, on_ping, (lws_usec_t)l->ping_ms * LWS_US_PER_MS);
}

/* One turn of the library's loop: what is ready, after a wait for it or (`at_once`)
 * without. */
static void turn(struct link *l, bool at_once)
{
    if (lws_service(l->context, at_once ? -1 : 0) < 0) {
        down(l, "connection was lost");
        l->stop = true;
    }
    if (l->silent && !l->heard)
        down(l, "hub does not answer any more");
    l->silent = false;
}

/* Until something is to be told, link_wake was called (true) or the time is over. The
 * library waits in whole milliseconds, rounded down, and would turn in a circle for the
 * rest: so its timer is a little late, and time is looked at here. */
static bool run_for(struct link *l, uint32_t ms)
{
    bool woken;
    lws_usec_t until = lws_now_usecs() + (lws_usec_t)ms * LWS_US_PER_MS;
    l->stop = false;
    lws_sul_schedule(l->context, 0, &l->wait, on_wait,
                     ((lws_usec_t)ms + 1) * LWS_US_PER_MS);
    do {
        woken = atomic_exchange(&l->woken, false);
        turn(l, woken);
    } while (!l->stop && !woken && lws_now_usecs() < until);
    lws_sul_cancel(&l->wait);
    return woken;
}

/* ---- the library's wake-up descriptor ---------------------------------------------- */

/* From 4.3 to at least 4.5 libwebsockets over its poll loop never closes the descriptor
 * that lws_cancel_service writes to (its issue 2744; mended late in 2025). Its number is
 * told to whoever brings the loop's functions, so the same loop is brought here by hand.
 * When the context ends, something of ours stands under that number: if it still does
 * after the end, nobody closed it and we do; a library that does close it cannot make us
 * close another thread's. */
#if LWS_LIBRARY_VERSION_NUMBER >= 4003000
static _Thread_local int first_fd; /* while a context is made: its first descriptor */

static int on_descriptor(struct lws *wsi)
{
    if (first_fd < 0)
        first_fd = (int)lws_get_socket_fd(wsi);
    return 0;
}

static const struct lws_event_loop_ops POLL_OPS = {
    .name = "poll", .sock_accept = on_descriptor, .flags = LELOF_ISPOLL};
static const lws_plugin_evlib_t POLL = {
    .hdr = {"poll", "lws_evlib_plugin", "n/a", LWS_PLUGIN_API_MAGIC}, .ops = &POLL_OPS};

static void context_open(struct link *l, struct lws_context_creation_info *info)
{
    info->event_lib_custom = &POLL;
    first_fd = -1;
    l->context = lws_create_context(info);
    l->wake_fd = first_fd;
}

static void context_close(struct link *l)
{
    struct stat ours, there;
    int mark = l->wake_fd >= 0 ? memfd_create("stoa-link", MFD_CLOEXEC) : -1;
    bool marked =
        mark >= 0 && fstat(mark, &ours) == 0 && dup3(mark, l->wake_fd, O_CLOEXEC) >= 0;
    lws_context_destroy(l->context);
    if (marked && fstat(l->wake_fd, &there) == 0 && there.st_ino == ours.st_ino &&
        there.st_dev == ours.st_dev)
        close(l->wake_fd);
    if (mark >= 0)
        close(mark);
}
#else
static void context_open(struct link *l, struct lws_context_creation_info *info)
{
    l->wake_fd = -1;
    l->context = lws_create_context(info);
}

static void context_close(struct link *l)
{
    lws_context_destroy(l->context);
}
#endif

/* ---- open and close ---------------------------------------------------------------- */

static bool parse_url(struct link *l, const char *url)
{
    char text[LINK_URL_MAX];
    size_t size = strlen(url);
    if (size == 0 || size >= sizeof(text))
        return false;
    memcpy(text, url, size + 1);
    const char *scheme, *host, *path;
    if (lws_parse_uri(text, &scheme, &host, &l->port, &path) != 0 || !host[0])
        return false;
    if (strcmp(scheme, "ws") == 0)
        l->tls = false;
    else if (strcmp(scheme, "wss") == 0)
        l->tls = true;
    else
        return false;
    snprintf(l->host, sizeof(l->host), "%s", host);
    snprintf(l->path, sizeof(l->path), "/%s", path[0] == '/' ? path + 1 : path);
    return l->port > 0 && l->port < 65536;
}

static bool connect_now(struct link *l)
{
    struct lws_context_creation_info info;
    memset(&info, 0, sizeof(info));
    l->protocols[0] = (struct lws_protocols){
        .name = WIRE_SUBPROTOCOL, .callback = on_event, .rx_buffer_size = LINK_RX_BUFFER};
    info.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
    if (l->tls)
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    info.fd_limit_per_thread = LINK_FDS_MAX;
    info.port = CONTEXT_PORT_NO_LISTEN;
    memset(&info.uid, 0xff, sizeof(info.uid)); /* -1, signed or not: differs by version */
    memset(&info.gid, 0xff, sizeof(info.gid));
    info.pcontext = &l->context;
    info.protocols = l->protocols;
    info.client_ssl_ca_filepath = l->tls && l->ca_file[0] ? l->ca_file : NULL;
    info.user = l;
    context_open(l, &info);
    if (!l->context)
        return false;
    l->vhost = lws_create_vhost(l->context, &info);
    if (!l->vhost)
        return false;

    struct lws_client_connect_info ci;
    memset(&ci, 0, sizeof(ci));
    ci.context = l->context;
    ci.vhost = l->vhost;
    ci.address = l->host;
    ci.port = l->port;
    ci.path = l->path;
    ci.host = l->host;
    ci.origin = NULL; /* a program, not a web page: there is no origin to name */
    ci.protocol = WIRE_SUBPROTOCOL;
    ci.ssl_connection = l->tls ? LCCSCF_USE_SSL : 0;
    ci.pwsi = &l->wsi;
    if (!lws_client_connect_via_info(&ci))
        down(l, "cannot connect"); /* the error callback may have said more */
    return true;
}

enum err link_open(struct link **out, const struct link_options *o)
{
    *out = NULL;
    struct link *l = calloc(1, sizeof(*l));
    if (!l)
        return ERR_MEMORY;
    l->queue_bytes_max =
        o->queue_bytes_max ? o->queue_bytes_max : LINK_QUEUE_BYTES_DEFAULT;
    l->ping_ms = o->ping_ms ? o->ping_ms : LINK_PING_MS_DEFAULT;
    if (!o->url || !parse_url(l, o->url) ||
        (o->ca_file && strlen(o->ca_file) >= sizeof(l->ca_file))) {
        free(l);
        return ERR_USAGE;
    }
    if (o->ca_file)
        snprintf(l->ca_file, sizeof(l->ca_file), "%s", o->ca_file);
    if (!o->keep_log)
        lws_set_log_level(0, silent);
    if (!connect_now(l)) {
        link_close(l, 0);
        return ERR_MEMORY;
    }
    if (l->state != LINK_DOWN)
        lws_sul_schedule(l->context, 0, &l->ping, on_ping,
                         (lws_usec_t)l->ping_ms * LWS_US_PER_MS);
    *out = l;
    return ERR_OK;
}

void link_close(struct link *l, uint32_t linger_ms)
{
    if (!l)
        return;
    uint64_t now = now_ms(), until = now + linger_ms;
    if (l->wsi && l->state == LINK_UP) {
        l->closing = true;
        l->queue_bytes_max = SIZE_MAX; /* what still comes is dropped below */
        throttle(l);
        lws_callback_on_writable(l->wsi);
        for (; l->wsi && now < until; now = now_ms()) {
            (void)run_for(l, (uint32_t)(until - now));
            frames_clear(&l->in);
        }
    }
    l->state = LINK_DOWN;
    lws_sul_cancel(&l->ping);
    if (l->context)
        context_close(l);
    frames_clear(&l->in);
    frames_clear(&l->out);
    free(l->lent);
    buf_close(&l->partial);
    free(l);
}

/* ---- use --------------------------------------------------------------------------- */

enum err link_send(struct link *l, const void *frame, size_t size)
{
    if (size > LINK_FRAME_MAX)
        return ERR_TOO_LARGE;
    if (l->state == LINK_DOWN || l->closing)
        return ERR_NET;
    if (l->out.bytes + size > l->queue_bytes_max)
        return ERR_BUSY;
    struct frame *f = malloc(sizeof(*f) + LWS_PRE + size);
    if (!f)
        return ERR_MEMORY;
    f->size = size;
    memcpy(f->data + LWS_PRE, frame, size);
    frames_put(&l->out, f);
    if (l->state == LINK_UP && l->wsi && !l->sending) {
        l->sending = true;
        lws_callback_on_writable(l->wsi);
    }
    return ERR_OK;
}

/* What is there to tell, in the order it happened. */
static bool tell(struct link *l, struct link_event *out)
{
    if (l->state == LINK_UP && !l->opened_told) {
        l->opened_told = true;
        out->type = LINK_OPEN;
        return true;
    }
    struct frame *f = frames_take(&l->in);
    if (f) {
        l->lent = f;
        out->type = LINK_FRAME;
        out->frame = bytes_of(f->data, f->size);
        throttle(l);
        return true;
    }
    if (l->state == LINK_DOWN) {
        out->type = LINK_CLOSED;
        memcpy(out->why, l->why, sizeof(out->why));
        return true;
    }
    return false;
}

void link_poll(struct link *l, uint32_t timeout_ms, struct link_event *out)
{
    out->type = LINK_TIMEOUT;
    out->frame = (struct bytes){0};
    out->why[0] = '\0';
    free(l->lent);
    l->lent = NULL;
    if (tell(l, out))
        return;
    if (timeout_ms == 0) {
        turn(l, true);
        (void)tell(l, out);
        return;
    }
    uint64_t now = now_ms(), until = now + timeout_ms;
    do {
        if (run_for(l, (uint32_t)(until - now)) || tell(l, out))
            return;
        now = now_ms();
    } while (now < until);
}

size_t link_unsent(const struct link *l)
{
    return l->out.bytes;
}
