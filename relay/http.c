/* HTTP answers of the edge: one GET at a time on a connection, whole bodies. */
#include "relay/ws_internal.h"

#include <string.h>

#define HEADERS_MAX 1024
#define QUERY_MAX 256
#define ANSWER_SECONDS_MAX 30

int http_request(struct ws_conn *c, const char *path)
{
    char query[QUERY_MAX] = "";
    c->is_http = true;
    if (lws_hdr_total_length(c->wsi, WSI_TOKEN_GET_URI) <= 0) {
        (void)lws_return_http_status(c->wsi, HTTP_STATUS_METHOD_NOT_ALLOWED, NULL);
        return lws_http_transaction_completed(c->wsi);
    }
    (void)lws_hdr_copy_fragment(c->wsi, query, sizeof(query), WSI_TOKEN_HTTP_URI_ARGS, 0);
    lws_set_timeout(c->wsi, PENDING_TIMEOUT_HTTP_CONTENT, ANSWER_SECONDS_MAX);
    c->ws->on.heard(c->ws->on.context, c->user);
    c->ws->on.http(c->ws->on.context, c->user, path, query);
    return 0;
}

void ws_http_answer(struct ws_conn *c, unsigned status, const char *type,
                    struct frame *body)
{
    if (c->is_ws || !c->is_http || c->status) {
        frame_drop(body);
        return;
    }
    c->status = (uint16_t)status;
    c->type = type;
    c->body = body;
    lws_callback_on_writable(c->wsi);
}

int http_writable(struct ws_conn *c)
{
    uint8_t room[LWS_PRE + HEADERS_MAX];
    uint8_t *start = room + LWS_PRE, *at = start, *end = room + sizeof(room) - 1;
    static const char no_store[] = "no-store";
    struct frame *body = c->body;
    unsigned status = c->status;
    if (!status)
        return 0;
    c->status = 0;
    c->body = NULL;
    size_t size = body ? body->size : 0;
    int bad = lws_add_http_common_headers(c->wsi, status, c->type, size, &at, end) ||
              lws_add_http_header_by_name(
                  c->wsi, (const uint8_t *)"cache-control:", (const uint8_t *)no_store,
                  (int)strlen(no_store), &at, end) ||
              lws_finalize_write_http_header(c->wsi, start, &at, end);
    if (!bad && size > 0)
        bad = lws_write(c->wsi, frame_data(body), size, LWS_WRITE_HTTP_FINAL) < 0;
    frame_drop(body);
    if (bad)
        return -1;
    return lws_http_transaction_completed(c->wsi) ? -1 : 0;
}
