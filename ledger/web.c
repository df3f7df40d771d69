#include "ledger/web.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>

#include <curl/curl.h>

#define TIMEOUT_MS 30000
#define CONNECT_MS 10000
#define HEADER_LINE_MAX 512

struct web {
    CURL *curl;
    char *ca_file;
};

/* One request on its way. */
struct run {
    struct web_answer *a;
    size_t body_max;
    bool too_large, no_memory;
    const _Bool *cancel;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool started;

static void start(void)
{
    started = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

enum err web_open(struct web **out, const char *ca_file)
{
    struct web *w = calloc(1, sizeof(*w));
    *out = NULL;
    (void)pthread_once(&once, start);
    if (!w || !started)
        goto fail;
    w->curl = curl_easy_init();
    if (ca_file)
        w->ca_file = strdup(ca_file);
    if (!w->curl || (ca_file && !w->ca_file))
        goto fail;
    *out = w;
    return ERR_OK;
fail:
    web_close(w);
    return ERR_MEMORY;
}

void web_close(struct web *w)
{
    if (!w)
        return;
    if (w->curl)
        curl_easy_cleanup(w->curl);
    free(w->ca_file);
    free(w);
}

static size_t on_body(char *data, size_t one, size_t size, void *context)
{
    struct run *r = context;
    size *= one;
    if (size > r->body_max - r->a->body.size) {
        r->too_large = true;
        return 0;
    }
    if (!buf_add(&r->a->body, data, size)) {
        r->no_memory = true;
        return 0;
    }
    return size;
}

static int on_progress(void *context, curl_off_t dt, curl_off_t dn, curl_off_t ut,
                       curl_off_t un)
{
    const struct run *r = context;
    (void)dt, (void)dn, (void)ut, (void)un;
    return r->cancel && __atomic_load_n(r->cancel, __ATOMIC_RELAXED);
}

static bool set_up(struct web *w, const struct web_request *q, struct run *r,
                   struct curl_slist *headers, char *why_curl)
{
    CURL *c = w->curl;
    bool ok = true;
#define SET(option, value) ok = ok && curl_easy_setopt(c, option, value) == CURLE_OK
    curl_easy_reset(c);
    why_curl[0] = 0;
    SET(CURLOPT_ERRORBUFFER, why_curl);
    SET(CURLOPT_URL, q->url);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_USERAGENT, "stoa");
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    SET(CURLOPT_TIMEOUT_MS, q->timeout_ms ? (long)q->timeout_ms : (long)TIMEOUT_MS);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, r);
    SET(CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(CURLOPT_XFERINFODATA, r);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_HTTPHEADER, headers);
    if (w->ca_file)
        SET(CURLOPT_CAINFO, w->ca_file);
    if (strcmp(q->method, "POST") == 0) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body.size);
        SET(CURLOPT_POSTFIELDS, q->body.size ? (const char *)q->body.data : "");
    } else if (strcmp(q->method, "HEAD") == 0) {
        SET(CURLOPT_NOBODY, 1L);
    } else {
        ok = ok && strcmp(q->method, "GET") == 0;
    }
#undef SET
    return ok;
}

static enum err verdict(const struct run *r, CURLcode code)
{
    if (r->too_large)
        return ERR_TOO_LARGE;
    if (r->no_memory || code == CURLE_OUT_OF_MEMORY)
        return ERR_MEMORY;
    switch (code) {
    case CURLE_OK:
        return ERR_OK;
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_ABORTED_BY_CALLBACK:
        return ERR_TIMEOUT;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return ERR_USAGE;
    default:
        return ERR_NET;
    }
}

static void explain(enum err e, CURLcode code, const char *url, const char *why_curl,
                    size_t body_max, char why[WEB_WHY_MAX])
{
    if (e == ERR_TOO_LARGE)
        snprintf(why, WEB_WHY_MAX, "%.120s: answer is longer than %zu bytes", url,
                 body_max);
    else
        snprintf(why, WEB_WHY_MAX, "%.120s: %.110s", url,
                 why_curl[0] ? why_curl : curl_easy_strerror(code));
}

static struct curl_slist *headers_of(const struct web_request *q)
{
    char line[HEADER_LINE_MAX];
    struct curl_slist *l = curl_slist_append(NULL, "Expect:");
    if (l && strcmp(q->method, "POST") == 0) {
        snprintf(line, sizeof(line), "Content-Type: %s",
                 q->type ? q->type : "application/octet-stream");
        struct curl_slist *more = curl_slist_append(l, line);
        if (!more)
            curl_slist_free_all(l);
        l = more;
    }
    return l;
}

static void take_answer(CURL *c, struct web_answer *a)
{
    long status = 0;
    const char *type = NULL;
    curl_off_t wait = 0;
    if (curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK)
        a->status = (unsigned)status;
    if (curl_easy_getinfo(c, CURLINFO_CONTENT_TYPE, &type) == CURLE_OK && type)
        snprintf(a->type, sizeof(a->type), "%s", type);
    if (curl_easy_getinfo(c, CURLINFO_RETRY_AFTER, &wait) == CURLE_OK && wait > 0)
        a->retry_after_ms = (uint64_t)wait * 1000;
}

enum err web_ask(struct web *w, const struct web_request *q, struct web_answer *a,
                 char why[WEB_WHY_MAX])
{
    char why_curl[CURL_ERROR_SIZE], range[64];
    struct run r = {
        .a = a, .body_max = q->body_max ? q->body_max : WEB_BODY_MAX, .cancel = q->cancel};
    memset(a, 0, sizeof(*a));
    why[0] = 0;
    struct curl_slist *headers = headers_of(q);
    if (!headers)
        return ERR_MEMORY;
    bool ok = set_up(w, q, &r, headers, why_curl);
    if (ok && q->range_size) {
        snprintf(range, sizeof(range), "%llu-%llu", (unsigned long long)q->range_from,
                 (unsigned long long)(q->range_from + q->range_size - 1));
        ok = curl_easy_setopt(w->curl, CURLOPT_RANGE, range) == CURLE_OK;
    }
    CURLcode code = ok ? curl_easy_perform(w->curl) : CURLE_URL_MALFORMAT;
    enum err e = verdict(&r, code);
    if (e == ERR_OK)
        take_answer(w->curl, a);
    else
        explain(e, code, q->url, why_curl, r.body_max, why);
    curl_slist_free_all(headers);
    if (e != ERR_OK)
        buf_close(&a->body);
    return e;
}
