#include "relay/ws_internal.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/trace.h"
#include "ledger/wire.h"
#include "relay/tls.h"

#define OUT_FIRST 4u
#define RX_FIRST_BYTES 1024u
#define RX_STEP_BYTES 65536u /* a message's memory doubles up to this, then grows by it */
#define TX_PACKET_BYTES (4u << 20) /* lws splits writes at this: never */
#define SERVICE_BYTES 16384u
#define HTTP_HEADER_BYTES 2048u
#define HTTP_HEADER_POOL 4096u /* handshakes under way at one time */
#define ORIGIN_BYTES_MAX 512

_Static_assert(FRAME_HEADROOM >= LWS_PRE, "lws writes its header in front of the data");

/* Sending. */

static void drop_queue(struct ws_conn *c)
{
    while (c->out_count > 0) {
        frame_drop(c->out[c->out_first]);
        c->out_first = (c->out_first + 1) % c->out_cap;
        c->out_count--;
    }
    free(c->out);
    c->out = NULL;
    c->out_cap = c->out_first = 0;
    c->unsent = 0;
}

static bool grow_ring(struct ws_conn *c)
{
    uint32_t cap = c->out_cap ? c->out_cap * 2 : OUT_FIRST;
    if (cap > WS_QUEUE_FRAMES_MAX)
        return false;
    struct frame **ring = malloc(cap * sizeof(struct frame *));
    if (!ring)
        return false;
    for (uint32_t i = 0; i < c->out_count; i++)
        ring[i] = c->out[(c->out_first + i) % c->out_cap];
    free(c->out);
    c->out = ring;
    c->out_first = 0;
    c->out_cap = cap;
    return true;
}

static void set_dirty(struct ws_conn *c)
{
    if (c->at_dirty)
        return;
    c->next_dirty = NULL;
    c->at_dirty = c->ws->dirty_end;
    *c->at_dirty = c;
    c->ws->dirty_end = &c->next_dirty;
}

static void clear_dirty(struct ws_conn *c)
{
    if (!c->at_dirty)
        return;
    *c->at_dirty = c->next_dirty;
    if (c->next_dirty)
        c->next_dirty->at_dirty = c->at_dirty;
    else
        c->ws->dirty_end = c->at_dirty;
    c->at_dirty = NULL;
    c->next_dirty = NULL;
}

bool ws_send(struct ws_conn *c, struct frame *f)
{
    if (c->close_code || c->cut || c->gone || !c->is_ws ||
        (c->out_count == c->out_cap && !grow_ring(c))) {
        frame_drop(f);
        return false;
    }
    c->out[(c->out_first + c->out_count) % c->out_cap] = f;
    c->out_count++;
    c->unsent += f->size;
    if (c->out_count == 1)
        set_dirty(c);
    return true;
}

size_t ws_unsent(const struct ws_conn *c)
{
    if (c->cut)
        return 0;
    return (size_t)c->unsent + (lws_partial_buffered(c->wsi) ? c->buffered : 0);
}

size_t ws_partial(const struct ws_conn *c)
{
    return c->rx ? c->rx->cap : 0;
}

uint32_t ws_waiting(const struct ws_conn *c)
{
    return c->out_count;
}

bool ws_paused(const struct ws_conn *c)
{
    return c->paused;
}

void ws_pause(struct ws_conn *c, bool paused)
{
    if (c->paused == paused || c->gone || !c->is_ws)
        return;
    c->paused = paused;
    (void)lws_rx_flow_control(c->wsi, paused ? 0 : 1);
}

void ws_ping(struct ws_conn *c)
{
    if (c->gone)
        return;
    c->ping = true;
    lws_callback_on_writable(c->wsi);
}

void ws_end(struct ws_conn *c, uint16_t code)
{
    if (c->close_code || c->gone)
        return;
    c->close_code = code;
    lws_callback_on_writable(c->wsi);
}

void ws_cut(struct ws_conn *c)
{
    if (c->cut || c->gone)
        return;
    c->cut = true;
    set_dirty(c); /* closed at the end of the turn: now its callbacks may be running */
}

bool ws_is_http(const struct ws_conn *c)
{
    return !c->is_ws;
}

static int write_ping(struct ws_conn *c)
{
    uint8_t room[LWS_PRE + 1];
    c->ping = false;
    return lws_write(c->wsi, room + LWS_PRE, 0, LWS_WRITE_PING) < 0 ? -1 : 0;
}

/* Each frame is one message; lws keeps what the kernel does not take, and calls
 * on_writable when that is out. */
static int write_frames(struct ws_conn *c)
{
    size_t turn = 0;
    for (unsigned n = 0; c->out_count > 0 && n < WS_WRITES_A_TURN &&
                         turn < WS_TURN_BYTES_MAX && !lws_partial_buffered(c->wsi);
         n++) {
        struct frame *f = c->out[c->out_first];
        c->out_first = (c->out_first + 1) % c->out_cap;
        c->out_count--;
        c->unsent -= f->size;
        c->buffered = f->size;
        turn += f->size;
        int wrote = lws_write(c->wsi, frame_data(f), f->size, LWS_WRITE_BINARY);
        frame_drop(f);
        if (wrote < 0)
            return -1;
    }
    if (c->out_count == 0 && c->out_cap > OUT_FIRST)
        drop_queue(c);
    if (turn > 0)
        c->ws->on.sent(c->ws->on.context, c->user);
    return 0;
}

/* What was queued in this turn of the loop goes out at its end, straight into the
 * sockets: to wait for "writable" first would cost three system calls a message. */
static void flush_dirty(struct ws *w)
{
    if (atomic_load(&w->stopping))
        return; /* lws is closing everything itself */
    for (struct ws_conn *c; (c = w->dirty);) {
        clear_dirty(c);
        if (c->cut) {
            /* lws may wait some seconds for what the kernel has not taken. */
            drop_queue(c);
            frame_drop(c->rx);
            c->rx = NULL;
            lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
            continue;
        }
        if (!lws_partial_buffered(c->wsi) && write_frames(c) < 0) {
            ws_cut(c);
            continue;
        }
        if (c->out_count > 0 || c->close_code || c->ping)
            lws_callback_on_writable(c->wsi);
    }
}

static int on_writable(struct ws_conn *c)
{
    if (lws_partial_buffered(c->wsi))
        return 0;
    if (c->ping && write_ping(c) < 0)
        return -1;
    if (write_frames(c) < 0)
        return -1;
    if (c->out_count > 0 || c->ping) {
        lws_callback_on_writable(c->wsi);
        return 0;
    }
    if (!c->close_code) {
        c->ws->on.sent(c->ws->on.context, c->user);
        return 0;
    }
    if (lws_partial_buffered(c->wsi)) {
        lws_callback_on_writable(c->wsi);
        return 0;
    }
    lws_close_reason(c->wsi, (enum lws_close_status)c->close_code, NULL, 0);
    return -1;
}

/* Receiving. */

/* Memory follows what has arrived, not what a header announces. */
static enum err rx_add(struct ws_conn *c, const void *data, size_t size)
{
    uint64_t max = c->ws->on.frame_max(c->ws->on.context, c->user);
    size_t have = c->rx ? c->rx->size : 0;
    size_t left = lws_remaining_packet_payload(c->wsi);
    if (have + size + left > max || have + size + left < left)
        return ERR_TOO_LARGE;
    if (!c->rx) {
        size_t first = size + left < RX_FIRST_BYTES ? size + left : RX_FIRST_BYTES;
        c->rx = frame_new(first < size ? size : first);
        if (!c->rx)
            return ERR_MEMORY;
    }
    if (have + size > c->rx->cap) {
        size_t cap = c->rx->cap;
        cap += cap < RX_STEP_BYTES ? cap : RX_STEP_BYTES;
        if (cap > have + size + left && lws_is_final_fragment(c->wsi))
            cap = have + size + left;
        if (!frame_grow(&c->rx, cap < have + size ? have + size : cap))
            return ERR_MEMORY;
    }
    if (size)
        memcpy(frame_data(c->rx) + have, data, size);
    c->rx->size += (uint32_t)size;
    return ERR_OK;
}

static void rx_drop(struct ws_conn *c)
{
    frame_drop(c->rx);
    c->rx = NULL;
}

static int on_receive(struct ws_conn *c, const void *data, size_t size)
{
    struct ws_events *on = &c->ws->on;
    enum err why = ERR_OK;
    if (c->close_code || c->cut)
        return 0;
    if (lws_is_first_fragment(c->wsi)) {
        rx_drop(c);
        c->fragments = 0;
    }
    on->heard(on->context, c->user);
    if (!lws_frame_is_binary(c->wsi))
        why = ERR_FRAME;
    else
        why = rx_add(c, data, size);
    if (why == ERR_OK && lws_remaining_packet_payload(c->wsi) == 0) {
        if (lws_is_final_fragment(c->wsi)) {
            struct frame *f = c->rx;
            c->rx = NULL;
            c->fragments = 0;
            on->message(on->context, c->user, f);
            return 0;
        }
        if (++c->fragments > WS_FRAGMENTS_MAX)
            why = ERR_LIMIT;
    }
    if (why != ERR_OK) {
        rx_drop(c);
        on->broken(on->context, c->user, why);
    }
    return 0;
}

/* Who may become a WebSocket. */
static int filter_upgrade(struct ws_conn *c)
{
    char text[ORIGIN_BYTES_MAX];
    int n = lws_hdr_copy(c->wsi, text, sizeof(text), WSI_TOKEN_PROTOCOL);
    if (n <= 0 || strcmp(lws_get_protocol(c->wsi)->name, WIRE_SUBPROTOCOL) != 0) {
        (void)lws_return_http_status(c->wsi, HTTP_STATUS_BAD_REQUEST, NULL);
        return -1;
    }
    if (lws_hdr_total_length(c->wsi, WSI_TOKEN_ORIGIN) > 0) {
        n = lws_hdr_copy(c->wsi, text, sizeof(text), WSI_TOKEN_ORIGIN);
        if (n <= 0 || !c->ws->on.origin_ok(c->ws->on.context, text)) {
            (void)lws_return_http_status(c->wsi, HTTP_STATUS_FORBIDDEN, NULL);
            return -1;
        }
    }
    return 0;
}

void conn_gone(struct ws_conn *c)
{
    c->wsi = NULL;
    clear_dirty(c);
    *c->at = c->next;
    if (c->next)
        c->next->at = c->at;
    if (c->user)
        c->ws->on.closed(c->ws->on.context, c->user);
    rx_drop(c);
    drop_queue(c);
    frame_drop(c->body);
    free(c->path);
    c->ws->connections--;
    free(c);
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user,
                    void *in, size_t len)
{
    if (wsi && reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS) {
        struct ws *w = lws_context_user(lws_get_context(wsi));
        w->ssl_context = user; /* of the virtual host that is being made */
        return 0;
    }
    struct ws_conn *c = wsi ? lws_get_opaque_user_data(wsi) : NULL;
    if (!c)
        return 0;
    c->wsi = wsi;
    switch (reason) {
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
        return filter_upgrade(c);
    case LWS_CALLBACK_ESTABLISHED:
        c->is_ws = true;
        c->ws->on.opened(c->ws->on.context, c->user);
        return 0;
    case LWS_CALLBACK_RECEIVE:
        return on_receive(c, in, len);
    case LWS_CALLBACK_RECEIVE_PONG:
        c->ws->on.heard(c->ws->on.context, c->user);
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return on_writable(c);
    case LWS_CALLBACK_HTTP:
        return http_request(c, in);
    case LWS_CALLBACK_HTTP_BODY:
        return http_body(c, in, len);
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        http_body_end(c);
        return 0;
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return http_writable(c);
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_CLOSED_HTTP:
        /* Its handle is closing: to ask libuv for anything more would end the process. */
        c->gone = true;
        clear_dirty(c);
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        lws_set_opaque_user_data(wsi, NULL);
        conn_gone(c);
        return 0;
    default:
        return 0;
    }
}

/* The loop. */

static void on_async(uv_async_t *h)
{
    struct ws *w = h->data;
    w->on.wake(w->on.context);
    flush_dirty(w);
}

static void on_check(uv_check_t *h)
{
    struct ws *w = h->data;
    w->on.round(w->on.context);
    flush_dirty(w);
}

static void on_timer(uv_timer_t *h)
{
    struct ws *w = h->data;
    w->on.tick(w->on.context);
    flush_dirty(w);
}

static void on_signal(uv_signal_t *h, int number)
{
    struct ws *w = h->data;
    w->on.signal(w->on.context, number);
}

static void lws_line(int level, const char *line)
{
    trace(level & LLL_ERR ? TRACE_WARN : TRACE_DEBUG, "ws.library",
          TRACE_STR("text", line));
}

static const struct lws_protocols protocols[] = {
    {"http", callback, 0, WS_RX_BYTES, 0, NULL, TX_PACKET_BYTES},
    {WIRE_SUBPROTOCOL, callback, 0, WS_RX_BYTES, 1, NULL, TX_PACKET_BYTES},
    {NULL, NULL, 0, 0, 0, NULL, 0}};

/* lws would ask every silent connection by itself, and keeps the times for that in one sorted
 * list: with 10,000 connections each frame of one of them walks through all others. The
 * session asks (session_tick). */
static const lws_retry_bo_t no_validity = {.secs_since_valid_ping = 0};

/* The context and every virtual host of it are made of this. */
static void fill_info(struct ws *w, struct lws_context_creation_info *info)
{
    memset(info, 0, sizeof(*info));
    info->port = CONTEXT_PORT_NO_LISTEN_SERVER;
    info->protocols = protocols;
    info->options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
    info->user = w;
    info->timeout_secs = w->handshake_seconds;
    info->timeout_secs_ah_idle = w->handshake_seconds;
    info->keepalive_timeout = (int)w->handshake_seconds;
    info->server_string = "stoad";
    info->retry_and_idle_policy = &no_validity;
}

static bool open_context(struct ws *w)
{
    void *loops[1] = {&w->loop};
    struct lws_context_creation_info info;
    fill_info(w, &info);
    /* TLS may be turned on at a reload, and this is done here or never. */
    info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    info.foreign_loops = loops;
    /* "Do not change user": -1, signed in one version of lws and unsigned in the next. */
    memset(&info.gid, 0xff, sizeof(info.gid));
    memset(&info.uid, 0xff, sizeof(info.uid));
    info.pcontext = &w->context;
    info.max_http_header_data = HTTP_HEADER_BYTES;
    info.max_http_header_data2 = HTTP_HEADER_BYTES;
    info.max_http_header_pool = HTTP_HEADER_POOL;
    info.max_http_header_pool2 = HTTP_HEADER_POOL;
    info.pt_serv_buf_size = SERVICE_BYTES;
    lws_set_log_level(LLL_ERR | LLL_WARN, lws_line);
    w->context = lws_create_context(&info);
    if (!w->context)
        return false;
    fill_info(w, &info);
    w->vhost = w->plain = lws_create_vhost(w->context, &info);
    return w->vhost != NULL;
}

/* lws makes the SSL_CTX and shows it to the callback; what is in it is relay/tls.c's. Not
 * HTTP/2: a WebSocket over it (RFC 8441) is another protocol. */
static bool make_secure(struct ws *w)
{
    struct lws_context_creation_info info;
    if (!w->no_client)
        w->no_client = tls_nothing();
    if (!w->no_client)
        return false;
    fill_info(w, &info);
    info.provided_client_ssl_ctx = w->no_client;
    info.vhost_name = "tls";
    info.alpn = "http/1.1";
    info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX;
    w->secure = lws_create_vhost(w->context, &info);
    return w->secure && w->ssl_context;
}

bool ws_use_tls(struct ws *w, const struct tls *t)
{
    if (t && ((!w->secure && !make_secure(w)) || !tls_use(t, w->ssl_context)))
        return false;
    w->vhost = t ? w->secure : w->plain;
    return true;
}

enum err ws_open(struct ws **out, const struct ws_settings *s, char *why)
{
    static const int numbers[3] = {SIGTERM, SIGINT, SIGHUP};
    struct ws *w = calloc(1, sizeof(*w));
    if (!w)
        return ERR_MEMORY;
    w->on = s->events;
    w->handshake_seconds = s->handshake_seconds;
    w->dirty_end = &w->dirty;
    if (!listeners_open(w, s, why)) {
        free(w);
        return ERR_NET;
    }
    if (uv_loop_init(&w->loop) != 0) {
        ws_stop_accepting(w);
        free(w);
        return ERR_MEMORY;
    }
    signal(SIGPIPE, SIG_IGN);
    uv_async_init(&w->loop, &w->async, on_async);
    uv_check_init(&w->loop, &w->check);
    uv_timer_init(&w->loop, &w->timer);
    w->async.data = w->check.data = w->timer.data = w;
    for (int i = 0; i < 3; i++) {
        uv_signal_init(&w->loop, &w->signals[i]);
        w->signals[i].data = w;
        uv_signal_start(&w->signals[i], on_signal, numbers[i]);
    }
    bool good = open_context(w);
    if (!good || (s->tls && !ws_use_tls(w, s->tls))) {
        snprintf(why, WS_WHY_MAX, "libwebsockets did not start (is its %s?)",
                 good ? "TLS compiled in" : "libuv plugin installed");
        ws_stop(w);
        ws_close(w);
        return ERR_NET;
    }
    uv_check_start(&w->check, on_check);
    uv_timer_start(&w->timer, on_timer, WS_TICK_MS, WS_TICK_MS);
    listeners_start(w);
    *out = w;
    return ERR_OK;
}

uint16_t ws_port(const struct ws *w)
{
    return w->port;
}

const char *ws_place(const struct ws *w)
{
    return w->place;
}

void ws_run(struct ws *w)
{
    uv_run(&w->loop, UV_RUN_DEFAULT);
}

static void close_handle(uv_handle_t *h)
{
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

/* The other end learns at once, though the socket itself is closed in ws_close only. */
static void hang_up(struct ws_conn *c)
{
    c->cut = true;
    drop_queue(c);
    if (c->wsi && !c->gone)
        (void)shutdown(lws_get_socket_fd(c->wsi), SHUT_RDWR);
}

void ws_stop(struct ws *w)
{
    if (atomic_exchange(&w->stopping, true))
        return;
    ws_stop_accepting(w);
    for (struct ws_conn *c = w->first; c; c = c->next)
        hang_up(c);
    close_handle((uv_handle_t *)&w->async);
    close_handle((uv_handle_t *)&w->check);
    close_handle((uv_handle_t *)&w->timer);
    for (int i = 0; i < 3; i++)
        close_handle((uv_handle_t *)&w->signals[i]);
    uv_stop(&w->loop);
}

/* libwebsockets (4.1, over libuv) closes the number of its wake-up descriptor twice:
 * when the context's end begins, and when libuv has let go of it. In between another thread
 * could have been given that number, and would lose a socket or a file: so the context ends
 * here, where there is none, and not in ws_stop. */
void ws_close(struct ws *w)
{
    if (w->context)
        lws_context_destroy(w->context); /* starts the closes; nothing more is read or sent */
    for (int i = 0; i < 2; i++) /* the first may only meet the end that ws_stop asked for */
        uv_run(&w->loop, UV_RUN_DEFAULT);
    if (w->context)
        lws_context_destroy(w->context);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&w->loop) != 0)
        trace_event(TRACE_WARN, "ws.handles_left");
    tls_nothing_free(w->no_client);
    free(w);
}

void ws_wake(struct ws *w)
{
    if (!atomic_load(&w->stopping))
        uv_async_send(&w->async);
}
