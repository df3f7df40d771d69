/* HTTP answers of the edge: one request at a time on a connection, whole bodies. GET and HEAD
 * of anything, POST to whoever above takes it; a single byte range of what never changes
 * (RFC 9110 section 14). */
#include "relay/ws_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADERS_MAX 1024
#define QUERY_MAX 256
#define RANGE_MAX 128
#define TYPE_MAX 128
#define ANSWER_SECONDS_MAX 30

/* "bytes=a-b", "bytes=a-", "bytes=-n" with one range; anything else is not asked for. */
static void take_range(struct ws_conn *c)
{
    char text[RANGE_MAX];
    c->range = (struct http_range){.kind = RANGE_NONE};
    if (lws_hdr_copy(c->wsi, text, sizeof(text), WSI_TOKEN_HTTP_RANGE) > 0)
        c->range = http_range_parse(text);
}

static void hand_over(struct ws_conn *c)
{
    char query[QUERY_MAX] = "", type[TYPE_MAX] = "";
    struct ws_request q = {.method = c->method, .path = c->path, .query = query, .type = type};
    if (c->handed) /* a body of no bytes is told twice */
        return;
    c->handed = true;
    (void)lws_hdr_copy_fragment(c->wsi, query, sizeof(query), WSI_TOKEN_HTTP_URI_ARGS, 0);
    (void)lws_hdr_copy(c->wsi, type, sizeof(type), WSI_TOKEN_HTTP_CONTENT_TYPE);
    if (c->rx)
        q.body = frame_bytes(c->rx);
    lws_set_timeout(c->wsi, PENDING_TIMEOUT_HTTP_CONTENT, ANSWER_SECONDS_MAX);
    c->ws->on.heard(c->ws->on.context, c->user);
    c->ws->on.http(c->ws->on.context, c->user, &q);
    frame_drop(c->rx);
    c->rx = NULL;
}

static void not_allowed(struct ws_conn *c)
{
    ws_http_answer(c, 405, "text/plain; charset=utf-8", HTTP_NO_STORE, NULL);
}

int http_request(struct ws_conn *c, const char *path)
{
    c->is_http = true;
    c->handed = false;
    free(c->path);
    c->path = strdup(path);
    if (!c->path)
        return -1;
    take_range(c);
    if (lws_hdr_total_length(c->wsi, WSI_TOKEN_GET_URI) > 0)
        c->method = WS_GET;
    else if (lws_hdr_total_length(c->wsi, WSI_TOKEN_HEAD_URI) > 0)
        c->method = WS_HEAD;
    else if (lws_hdr_total_length(c->wsi, WSI_TOKEN_POST_URI) > 0)
        c->method = WS_POST;
    else {
        c->method = WS_GET;
        not_allowed(c);
        return 0;
    }
    if (c->method != WS_POST) {
        hand_over(c);
        return 0;
    }
    lws_set_timeout(c->wsi, PENDING_TIMEOUT_HTTP_CONTENT, ANSWER_SECONDS_MAX);
    char length[24] = "";
    if (lws_hdr_copy(c->wsi, length, sizeof(length), WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0 &&
        strcmp(length, "0") == 0)
        hand_over(c);
    return 0;
}

/* Bytes of a POST. One that is too long is answered at once and its rest is not read. */
int http_body(struct ws_conn *c, const void *data, size_t size)
{
    size_t have = c->rx ? c->rx->size : 0;
    if (c->method != WS_POST)
        return -1;
    if (c->status || size == 0) /* refused already; the rest is read past */
        return 0;
    if (size > WS_BODY_MAX - have) {
        ws_http_answer(c, 413, "text/plain; charset=utf-8", HTTP_NO_STORE, NULL);
        c->cut = true;
        return 0;
    }
    if (!c->rx)
        c->rx = frame_new(size);
    if (!c->rx || !frame_grow(&c->rx, have + size))
        return -1;
    memcpy(frame_data(c->rx) + have, data, size);
    c->rx->size = (uint32_t)(have + size);
    return 0;
}

void http_body_end(struct ws_conn *c)
{
    if (c->method == WS_POST && !c->status)
        hand_over(c);
}

void ws_http_answer(struct ws_conn *c, unsigned status, const char *type,
                    enum http_cache cache, struct frame *body)
{
    if (c->is_ws || !c->is_http || c->status || c->gone) {
        frame_drop(body);
        return;
    }
    c->status = (uint16_t)status;
    c->type = type;
    c->cache = cache;
    c->body = body;
    lws_callback_on_writable(c->wsi);
}

struct headers {
    struct lws *wsi;
    uint8_t *at, *end;
    bool bad;
};

static void add(struct headers *h, const char *name, const char *value)
{
    h->bad = h->bad || lws_add_http_header_by_name(h->wsi, (const uint8_t *)name,
                                                   (const uint8_t *)value,
                                                   (int)strlen(value), &h->at, h->end);
}

static const char *const caching[] = {
    [HTTP_NO_STORE] = "no-store",
    [HTTP_SECONDS] = "public, max-age=1",
    [HTTP_IMMUTABLE] = "public, max-age=31536000, immutable",
};

static void add_public(struct headers *h, const struct ws_conn *c, unsigned status,
                       size_t whole, size_t from, size_t size)
{
    char text[96];
    add(h, "cache-control:", status < 300 ? caching[c->cache] : "no-store");
    if (status == 405)
        add(h, "allow:", "GET, HEAD");
    if (status == 429 || status == 503)
        add(h, "retry-after:", "1"); /* seconds: buckets fill within one */
    if (c->cache == HTTP_NO_STORE)
        return;
    add(h, "access-control-allow-origin:", "*");
    if (c->cache == HTTP_IMMUTABLE)
        add(h, "accept-ranges:", "bytes");
    if (status == 206)
        snprintf(text, sizeof(text), "bytes %zu-%zu/%zu", from, from + size - 1, whole);
    else
        snprintf(text, sizeof(text), "bytes */%zu", whole);
    if (status == 206 || status == 416)
        add(h, "content-range:", text);
}

int http_writable(struct ws_conn *c)
{
    uint8_t room[LWS_PRE + HEADERS_MAX];
    uint8_t *start = room + LWS_PRE;
    struct frame *body = c->body;
    unsigned status = c->status;
    if (!status)
        return 0;
    c->status = 0;
    c->body = NULL;
    size_t whole = body ? body->size : 0, from = 0, size = whole;
    if (status == 200 && c->cache == HTTP_IMMUTABLE)
        status = http_range_apply(&c->range, whole, &from, &size);
    struct headers h = {.wsi = c->wsi, .at = start, .end = room + sizeof(room) - 1};
    h.bad = lws_add_http_common_headers(c->wsi, status, c->type, size, &h.at, h.end);
    add_public(&h, c, status, whole, from, size);
    h.bad = h.bad || lws_finalize_write_http_header(c->wsi, start, &h.at, h.end);
    if (!h.bad && size > 0 && c->method != WS_HEAD)
        h.bad = lws_write(c->wsi, frame_data(body) + from, size, LWS_WRITE_HTTP_FINAL) < 0;
    frame_drop(body);
    if (h.bad || c->cut)
        return -1;
    return lws_http_transaction_completed(c->wsi) ? -1 : 0;
}
