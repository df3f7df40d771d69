/* One HTTP request to a hub, whatever scheme names it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/web.h"
#include "relay/config.h"
#include "relay/stoactl.h"

#define ANSWER_BYTES_MAX (4u << 20)
#define PORT_DEFAULT "7001"

/* Scheme, host and port of `url`, and `path`. A WebSocket's URL means the same port. */
static enum err make_url(char out[2 * CONFIG_TEXT_MAX], const char *url, const char *path,
                         char *why)
{
    static const struct {
        const char *is, *means;
    } schemes[] = {{"http://", "http"}, {"ws://", "http"}, {"https://", "https"}, {"wss://", "https"}};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t n = strlen(schemes[i].is);
        if (strncmp(url, schemes[i].is, n) != 0)
            continue;
        const char *at = url + n;
        int size = (int)strcspn(at, "/?#");
        const char *bracket = memchr(at, ']', (size_t)size);
        bool port = memchr(bracket ? bracket : at, ':', (size_t)(at + size - (bracket ? bracket : at)));
        bool plain = strcmp(schemes[i].means, "http") == 0;
        int made = snprintf(out, 2 * CONFIG_TEXT_MAX, "%s://%.*s%s%s", schemes[i].means, size, at,
                            plain && !port ? ":" PORT_DEFAULT : "", path);
        if (size > 0 && made > 0 && made < 2 * CONFIG_TEXT_MAX)
            return ERR_OK;
        snprintf(why, CTL_MESSAGE_MAX, "\"%s\" names no host", url);
        return ERR_USAGE;
    }
    snprintf(why, CTL_MESSAGE_MAX, "\"%s\" is not a URL like http://127.0.0.1:7001", url);
    return ERR_USAGE;
}

enum err ctl_http_get(const struct ctl_http *q, int *status, char **body, char *why)
{
    char url[2 * CONFIG_TEXT_MAX], why_web[WEB_WHY_MAX];
    struct web *web = NULL;
    struct web_answer a;
    *status = 0;
    *body = NULL;
    why[0] = '\0';
    TRY(make_url(url, q->url, q->path, why));
    TRY(web_open(&web, q->ca_file));
    struct web_request r = {.method = "GET",
                            .url = url,
                            .timeout_ms = (uint32_t)q->timeout_ms,
                            .body_max = ANSWER_BYTES_MAX};
    enum err e = web_ask(web, &r, &a, why_web);
    web_close(web);
    if (e != ERR_OK) {
        snprintf(why, CTL_MESSAGE_MAX, "%s", why_web[0] ? why_web : err_text(e));
        return e;
    }
    *body = malloc(a.body.size + 1);
    if (*body) {
        if (a.body.size)
            memcpy(*body, a.body.data, a.body.size);
        (*body)[a.body.size] = '\0';
        *status = (int)a.status;
    }
    buf_close(&a.body);
    return *body ? ERR_OK : ERR_MEMORY;
}
