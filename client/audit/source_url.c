/* A hub, or any web server with its files, over HTTP. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/audit/source_edges.h"
#include "client/audit/source_url.h"
#include "ledger/web.h"

#define JOBS_DEFAULT 4
#define JOBS_MAX 64
#define TRIES_MAX 5
#define WAIT_FIRST_MS 200
#define WAIT_MAX_MS 60000 /* also of what Retry-After asks */
#define URL_MAX 1024

struct url {
    char base[URL_MAX];
    pthread_mutex_t lock;
    pthread_cond_t free_one;
    struct web *web[JOBS_MAX]; /* those not in use, first `idle` */
    unsigned jobs, idle;
    unsigned qps;
    uint64_t next_us; /* when the next request may go out */
    const _Bool *cancel;
};

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static bool cancelled(const struct url *u)
{
    return u->cancel && __atomic_load_n(u->cancel, __ATOMIC_RELAXED);
}

/* In slices, so that a cancel is heard. */
static void wait_us(const struct url *u, uint64_t us)
{
    uint64_t end = now_us() + us;
    for (uint64_t now = now_us(); now < end && !cancelled(u); now = now_us()) {
        uint64_t slice = end - now < 100000 ? end - now : 100000;
        struct timespec t = {.tv_nsec = (long)(slice * 1000)};
        (void)nanosleep(&t, NULL);
    }
}

static struct web *take(struct url *u)
{
    pthread_mutex_lock(&u->lock);
    while (u->idle == 0)
        pthread_cond_wait(&u->free_one, &u->lock);
    struct web *w = u->web[--u->idle];
    uint64_t now = now_us(), at = u->next_us > now ? u->next_us : now;
    if (u->qps)
        u->next_us = at + 1000000 / u->qps;
    pthread_mutex_unlock(&u->lock);
    if (u->qps && at > now)
        wait_us(u, at - now);
    return w;
}

static void give(struct url *u, struct web *w)
{
    pthread_mutex_lock(&u->lock);
    u->web[u->idle++] = w;
    pthread_cond_signal(&u->free_one);
    pthread_mutex_unlock(&u->lock);
}

/* One try. ERR_NET and ERR_TIMEOUT are worth another. */
static enum err ask(struct url *u, const char *url, struct buf *out, uint64_t *wait_ms,
                    char why[AUDIT_WHY_MAX])
{
    struct web_request q = {.method = "GET", .url = url, .cancel = u->cancel};
    struct web_answer a;
    char cause[WEB_WHY_MAX];
    struct web *w = take(u);
    enum err e = web_ask(w, &q, &a, cause);
    give(u, w);
    if (e != ERR_OK) {
        snprintf(why, AUDIT_WHY_MAX, "%s", cause);
        return e;
    }
    if (a.status == 200) {
        buf_close(out);
        *out = a.body;
        return ERR_OK;
    }
    buf_close(&a.body);
    snprintf(why, AUDIT_WHY_MAX, "%.200s: HTTP status %u", url, a.status);
    if (a.retry_after_ms > *wait_ms)
        *wait_ms = a.retry_after_ms;
    if (a.status == 404 || a.status == 410)
        return ERR_NOT_FOUND;
    return a.status == 429 || a.status >= 500 ? ERR_NET : ERR_CORRUPT;
}

static enum err get(void *context, const char *path, struct buf *out,
                    char why[AUDIT_WHY_MAX])
{
    struct url *u = context;
    char url[URL_MAX + 128];
    enum err e = ERR_NET;
    snprintf(url, sizeof(url), "%s/%s", u->base, path);
    for (unsigned i = 0; i < TRIES_MAX && !cancelled(u); i++) {
        uint64_t wait_ms = (uint64_t)WAIT_FIRST_MS << i;
        e = ask(u, url, out, &wait_ms, why);
        if (e != ERR_NET && e != ERR_TIMEOUT)
            return e;
        if (i + 1 < TRIES_MAX)
            wait_us(u, (wait_ms < WAIT_MAX_MS ? wait_ms : WAIT_MAX_MS) * 1000);
    }
    return cancelled(u) ? ERR_TIMEOUT : e;
}

/* A hub's slots are a power of two, counted up from 0: as many as have a checkpoint. */
static enum err slots(void *context, uint32_t out[], size_t *count)
{
    char path[32], why[AUDIT_WHY_MAX];
    *count = 0;
    for (unsigned i = 0; i < SLOTS_MAX; i++) {
        struct buf b = {0};
        snprintf(path, sizeof(path), "log/%02x/checkpoint", i);
        enum err e = get(context, path, &b, why);
        buf_close(&b);
        if (e == ERR_NOT_FOUND)
            break;
        if (e != ERR_OK)
            return e;
        out[(*count)++] = i;
    }
    return ERR_OK;
}

static void close_url(void *context)
{
    struct url *u = context;
    for (unsigned i = 0; i < u->idle; i++)
        web_close(u->web[i]);
    pthread_cond_destroy(&u->free_one);
    pthread_mutex_destroy(&u->lock);
    free(u);
}

enum err audit_url_files(struct audit_files *out, const char *url,
                         const struct audit_source_options *o, char why[AUDIT_WHY_MAX])
{
    struct url *u = calloc(1, sizeof(*u));
    size_t n = strlen(url);
    memset(out, 0, sizeof(*out));
    if (!u)
        return ERR_MEMORY;
    pthread_mutex_init(&u->lock, NULL);
    pthread_cond_init(&u->free_one, NULL);
    while (n > 0 && url[n - 1] == '/')
        n--;
    if (n >= 4 && memcmp(url + n - 4, "/log", 4) == 0)
        n -= 4;
    if (n >= sizeof(u->base)) {
        snprintf(why, AUDIT_WHY_MAX, "URL is longer than %d bytes", URL_MAX - 1);
        close_url(u);
        return ERR_USAGE;
    }
    memcpy(u->base, url, n);
    u->jobs = o->jobs ? o->jobs : JOBS_DEFAULT;
    if (u->jobs > JOBS_MAX)
        u->jobs = JOBS_MAX;
    u->qps = o->qps;
    u->cancel = o->cancel;
    while (u->idle < u->jobs) {
        if (web_open(&u->web[u->idle], o->ca_file) != ERR_OK) {
            close_url(u);
            return ERR_MEMORY;
        }
        u->idle++;
    }
    *out = (struct audit_files){
        .context = u, .get = get, .slots = slots, .close = close_url};
    return ERR_OK;
}

enum err audit_source_url(struct audit_source **out, const char *url,
                          const struct audit_source_options *o, char why[AUDIT_WHY_MAX])
{
    struct audit_files files;
    *out = NULL;
    TRY(audit_url_files(&files, url, o, why));
    return audit_source_files(out, "url", &files);
}
