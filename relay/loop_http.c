/* HTTP beside the WebSocket: health, metrics, status, and the public log. */
#include "relay/loop_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/bus_redis.h"
#include "relay/clock.h"
#include "relay/cosigner.h"
#include "relay/follow.h"
#include "relay/witness_door.h"

#define TEXT "text/plain; charset=utf-8"
#define JSON "application/json"
#define BINARY "application/octet-stream"
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define TEXT_MAX 512
#define ENVELOPES "envelopes/"
#define TILE_PATH_MAX 64

static void answer(struct loop *l, struct conn *c, unsigned status, const char *type,
                   struct frame *body)
{
    (void)l;
    ws_http_answer(c->ws, body ? status : 500, type, HTTP_NO_STORE, body);
}

static struct frame *frame_from(const void *data, size_t size)
{
    struct frame *f = frame_new(size);
    if (f && size)
        memcpy(frame_data(f), data, size);
    if (f)
        f->size = (uint32_t)size;
    return f;
}

static void answer_text(struct loop *l, struct conn *c, unsigned status, const char *text)
{
    answer(l, c, status, TEXT, frame_from(text, strlen(text)));
}

/* Without the bus everything goes on, later: no reason to be taken out of service. */
static void answer_ready(struct loop *l, struct conn *c)
{
    struct bus_redis_state bus;
    char text[TEXT_MAX] = "ok\n", unheard[TEXT_MAX / 2];
    if (follow_bus(l->r, &bus) && !bus.up)
        snprintf(text, sizeof(text),
                 "ok\ndegraded: bus %.80s: %.120s; records of other relays come by "
                 "polling\n",
                 bus.where, bus.why[0] ? bus.why : "connecting");
    else if (follow_unheard(l->r, unheard, sizeof(unheard)) > 0)
        snprintf(text, sizeof(text),
                 "ok\ndegraded: bus: not heard from %s; is region.bus the same there?\n",
                 unheard);
    answer_text(l, c, 200, text);
}

static enum err writes(const struct loop *l)
{
    return l->draining ? ERR_DRAINING : (enum err)atomic_load(&l->r->write_state);
}

/* NULL: reads are served; else why not. */
static const char *unread(const struct loop *l)
{
    return l->draining                       ? "draining"
           : atomic_load(&l->r->store_away)  ? "store: store did not answer"
           : !follow_joined(l->r)            ? "slots of other relays are being loaded"
                                             : NULL;
}

static void ready_write(struct loop *l, struct conn *c)
{
    enum err e = writes(l);
    char text[TEXT_MAX];
    snprintf(text, sizeof(text), "%s: %s\n", err_word(e), err_text(e));
    if (e == ERR_OK)
        answer_ready(l, c);
    else
        answer_text(l, c, 503, text);
}

static void ready_read(struct loop *l, struct conn *c)
{
    const char *why = unread(l);
    char text[TEXT_MAX];
    snprintf(text, sizeof(text), "%s\n", why ? why : "");
    if (!why)
        answer_ready(l, c);
    else
        answer_text(l, c, 503, text);
}

/* Both, for who asks for no particular one: 503 only when there is nothing to come here for,
 * so that reads go on where writes do not. */
static void ready_any(struct loop *l, struct conn *c)
{
    const char *why = unread(l);
    char text[TEXT_MAX];
    snprintf(text, sizeof(text), "read: %s\nwrite: %s\n", why ? why : "ok",
             err_word(writes(l)));
    answer_text(l, c, why ? 503 : 200, text);
}

/* "/readyz", and "/read" or "/write" behind it; ?verbose gives the status. */
static void ready_page(struct loop *l, struct conn *c, const char *part, bool verbose)
{
    bool write = strcmp(part, "/write") == 0, read = strcmp(part, "/read") == 0;
    if (!write && !read && part[0])
        answer_text(l, c, 404, "not found\n");
    else if (verbose)
        answer(l, c, (write ? writes(l) == ERR_OK : !unread(l)) ? 200 : 503, JSON,
               status_json(l));
    else if (write)
        ready_write(l, c);
    else if (read)
        ready_read(l, c);
    else
        ready_any(l, c);
}

static void metrics_page(struct loop *l, struct conn *c)
{
    struct buf b = {0};
    bool ok = metrics_write(l->r->metrics, &b);
    answer(l, c, 200, METRICS_TYPE, ok ? frame_from(b.data, b.size) : NULL);
    buf_close(&b);
}

void on_tile(struct loop *l, struct conn *c, struct mail *m)
{
    if (m->code != ERR_OK) {
        answer_text(l, c, m->code == ERR_UNAVAILABLE ? 503 : 404, "not there\n");
        return;
    }
    ws_http_answer(c->ws, 200, BINARY, HTTP_IMMUTABLE, m->frame);
    m->frame = NULL;
}

/* "envelopes/<N>[.p/<W>]": named as the entry bundle of the same records. */
static bool envelopes_path_parse(const char *rest, int *level, uint64_t *n,
                                 unsigned *width)
{
    char path[TILE_PATH_MAX];
    if (strncmp(rest, ENVELOPES, strlen(ENVELOPES)) != 0)
        return false;
    int size = snprintf(path, sizeof(path), "tile/entries/%s", rest + strlen(ENVELOPES));
    if (size < 0 || (size_t)size >= sizeof(path) ||
        !tile_path_parse(path, (size_t)size, level, n, width))
        return false;
    *level = LEVEL_ENVELOPES;
    return true;
}

/* "<slot as two hex digits>/checkpoint", "<slot>/tile/.." or "<slot>/envelopes/.." */
static void log_page(struct loop *l, struct conn *c, const char *rest)
{
    uint8_t slot;
    struct request *q = NULL;
    if (strlen(rest) < 4 || rest[2] != '/' || !hex_decode(&slot, 1, rest, 2) ||
        slot >= l->r->slots) {
        answer_text(l, c, 404, "no such log\n");
        return;
    }
    rest += 3;
    if (strcmp(rest, "checkpoint") == 0) {
        const struct published *p = &l->published[slot];
        char room[COSIGNED_BYTES_MAX];
        size_t size = cosigner_served(l->r->cosigner, slot, room);
        struct frame *note =
            size > 0 ? frame_from(room, size) : frame_from(p->note, p->note_size);
        ws_http_answer(c->ws, note ? 200 : 500, TEXT, HTTP_SECONDS, note);
        return;
    }
    int level;
    uint64_t n;
    unsigned width;
    if (!tile_path_parse(rest, strlen(rest), &level, &n, &width) &&
        !envelopes_path_parse(rest, &level, &n, &width)) {
        answer_text(l, c, 404, "no such tile\n");
        return;
    }
    q = request_new(REQUEST_TILE, c->id);
    if (q) {
        q->slot = slot;
        q->level = level;
        q->tile = n;
        q->width = width;
    }
    if (!ask_reader(l, q)) {
        answer_text(l, c, 503, "busy\n");
        return;
    }
    l->reads++;
}

/* A projection: the reader takes path and query apart. */
static void view_page(struct loop *l, struct conn *c, const struct ws_request *asked)
{
    char text[VIEW_PATH_MAX];
    int size = snprintf(text, sizeof(text), "%s%s%s", asked->path,
                        asked->query[0] ? "?" : "", asked->query);
    struct request *q = request_new(REQUEST_VIEW, c->id);
    if (size < 0 || (size_t)size >= sizeof(text)) {
        request_drop(q);
        answer_text(l, c, 404, "not found\n");
        return;
    }
    if (q && !(q->frame = frame_from(text, (size_t)size))) {
        request_drop(q);
        q = NULL;
    }
    if (!ask_reader(l, q)) {
        answer_text(l, c, 503, "busy\n");
        return;
    }
    l->reads++;
}

/* "<SHA-256 of the origin, hex>/checkpoint": what this witness last cosigned of a log. */
static void witnessed_page(struct loop *l, struct conn *c, const char *rest)
{
    char hex[2 * HASH_BYTES + 1] = "", note[WITNESS_NOTE_MAX];
    size_t size = 0;
    if (strlen(rest) > 2 * HASH_BYTES && strcmp(rest + 2 * HASH_BYTES, "/checkpoint") == 0) {
        memcpy(hex, rest, 2 * HASH_BYTES);
        size = witness_door_checkpoint(l->r->witness, hex, note);
    }
    if (size == 0) {
        answer_text(l, c, 404, "nothing was cosigned of such a log\n");
        return;
    }
    struct frame *f = frame_from(note, size);
    ws_http_answer(c->ws, f ? 200 : 500, TEXT, HTTP_SECONDS, f);
}

static const char *refused_text(unsigned status)
{
    return status == 404   ? "no log is witnessed here\n"
           : status == 413 ? "longer than an add-checkpoint request can be\n"
           : status == 429 ? "too many requests from this address\n"
                           : "busy\n";
}

static void post_page(struct loop *l, struct conn *c, const struct ws_request *asked)
{
    if (strcmp(asked->path, WITNESS_PREFIX "add-checkpoint") != 0) {
        ws_http_answer(c->ws, 405, TEXT, HTTP_NO_STORE, NULL);
        return;
    }
    unsigned status =
        l->draining ? 503 : witness_door_post(l->r->witness, c->id, &c->address, asked->body);
    if (status)
        answer_text(l, c, status, refused_text(status));
    else
        l->reads++;
}

static void front_page(struct loop *l, struct conn *c)
{
    char text[TEXT_MAX];
    snprintf(text, sizeof(text),
             "stoad %s, hub %s\nWebSocket " WIRE_SUBPROTOCOL
             " at /\n/v1/status /metrics /livez /readyz/read /readyz/write "
             "/log/<slot>/checkpoint\n",
             STOA_VERSION, l->r->hub);
    answer_text(l, c, 200, text);
}

void on_http(void *context, void *user, const struct ws_request *asked)
{
    struct loop *l = context;
    struct conn *c = user;
    const char *path = asked->path;
    bool verbose = strstr(asked->query, "verbose") != NULL;
    uint64_t began = clock_mono_us();
    enum metric_route route = M_ROUTE_HTTP_OTHER;
    if (asked->method == WS_POST) {
        route = M_ROUTE_HTTP_WITNESS;
        post_page(l, c, asked);
    } else if (strcmp(path, "/") == 0) {
        front_page(l, c);
    } else if (strcmp(path, "/livez") == 0) {
        answer_text(l, c, 200, "ok\n");
    } else if (strncmp(path, "/readyz", 7) == 0) {
        ready_page(l, c, path + 7, verbose);
    } else if (strcmp(path, "/metrics") == 0) {
        route = M_ROUTE_HTTP_METRICS;
        metrics_page(l, c);
    } else if (strcmp(path, "/v1/status") == 0) {
        route = M_ROUTE_HTTP_STATUS;
        answer(l, c, 200, JSON, status_json(l));
    } else if (strncmp(path, "/v1/account/", 12) == 0 || strcmp(path, "/v1/rich-list") == 0 ||
               strcmp(path, "/v1/projections") == 0) {
        view_page(l, c, asked);
    } else if (strncmp(path, "/log/", 5) == 0) {
        route = M_ROUTE_HTTP_LOG;
        log_page(l, c, path + 5);
    } else if (strncmp(path, WITNESS_PREFIX, strlen(WITNESS_PREFIX)) == 0) {
        route = M_ROUTE_HTTP_WITNESS;
        witnessed_page(l, c, path + strlen(WITNESS_PREFIX));
    } else {
        answer_text(l, c, 404, "not found\n");
    }
    metrics_observe(l->r->metrics, METRIC_REQUEST, METRIC_PAIR(route, M_CODE_OK),
                    clock_mono_us() - began);
}
