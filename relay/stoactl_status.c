#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/stoactl.h"

#define URL_DEFAULT "http://127.0.0.1:7001"
#define STATUS_PATH "/v1/status"
#define NAME_BYTES_MAX 200
#define HTTP_OK 200

static json_t *loose(const json_t *v)
{
    return (json_t *)(uintptr_t)v; /* the library's iterators take no const */
}

static void print_text(const char *text)
{
    for (; *text; text++)
        putchar((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text);
}

static void print_plain(const json_t *v)
{
    char *text = json_is_string(v) ? NULL : json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
    print_text(json_is_string(v) ? json_string_value(v) : text ? text : "?");
    free(text);
}

/* "name=value name=value", for things of which there are many. */
static void print_line(const char *name, const json_t *object)
{
    printf("%-20s", name);
    for (void *at = json_object_iter(loose(object)); at;
         at = json_object_iter_next(loose(object), at)) {
        putchar(' ');
        print_text(json_object_iter_key(at));
        putchar('=');
        print_plain(json_object_iter_value(at));
    }
    putchar('\n');
}

/* Whatever the hub tells, one "name  value" a line; of a list of objects one a line. */
void ctl_print_value(const char *name, const json_t *v)
{
    char inner_name[NAME_BYTES_MAX];
    json_t *inner;
    size_t i;
    if (json_is_object(v)) {
        for (void *at = json_object_iter(loose(v)); at;
             at = json_object_iter_next(loose(v), at)) {
            const char *key = json_object_iter_key(at);
            snprintf(inner_name, sizeof inner_name, "%s%s%s", name, name[0] ? "." : "",
                     key);
            if (name[0] || strcmp(key, "schema") != 0)
                ctl_print_value(inner_name, json_object_iter_value(at));
        }
    } else if (json_is_array(v) && json_is_object(json_array_get(v, 0))) {
        json_array_foreach(loose(v), i, inner)
        {
            snprintf(inner_name, sizeof inner_name, "%s.%zu", name, i);
            print_line(inner_name, inner);
        }
    } else {
        printf("%-32s ", name);
        print_plain(v);
        putchar('\n');
    }
}

static const char *status_url(const struct ctl *c)
{
    return c->arg_count > 0    ? c->args[0]
           : c->value[OPT_HUB] ? c->value[OPT_HUB]
                               : URL_DEFAULT;
}

int ctl_fetch_status(struct ctl *c, json_t **answer, int *http_status)
{
    const char *url = status_url(c);
    char why[CTL_MESSAGE_MAX];
    char *body;
    struct ctl_http q = {.url = url,
                         .path = STATUS_PATH,
                         .ca_file = c->value[OPT_CA_FILE],
                         .timeout_ms = c->timeout_ms};
    enum err e = ctl_http_get(&q, http_status, &body, why);
    if (e != ERR_OK)
        return ctl_fail(c, ctl_exit_of(e), e,
                        e == ERR_NET ? "is stoad running? its address is listen.client"
                                     : NULL,
                        "%s", why);
    json_error_t error;
    *answer = json_loads(body, JSON_REJECT_DUPLICATES, &error);
    free(body);
    if (json_is_object(*answer))
        return EXIT_DONE;
    json_decref(*answer);
    return ctl_fail(c, EXIT_NO, ERR_NET, NULL,
                    "%s answered HTTP %d without a JSON object: not a Stoa hub?", url,
                    *http_status);
}

/* At the socket of this machine, unless a URL was given. False: nobody listens there and
 * none was named; *code is set otherwise. */
static bool local_status(struct ctl *c, int *code)
{
    json_t *answer;
    bool missing = false;
    if (c->arg_count > 0 || c->value[OPT_HUB])
        return false;
    *code = ctl_ask(c, "status", &answer, c->value[OPT_SOCKET] ? NULL : &missing);
    if (*code != EXIT_DONE)
        return !missing;
    if (c->json) {
        c->out = json_object();
        json_object_set(c->out, "status", answer);
    } else {
        ctl_print_value("", answer);
    }
    json_decref(answer);
    *code = ctl_finish(c, EXIT_DONE);
    return true;
}

int ctl_status(struct ctl *c)
{
    json_t *answer;
    int status, code;
    if (local_status(c, &code))
        return code;
    code = ctl_fetch_status(c, &answer, &status);
    if (code != EXIT_DONE)
        return code;
    if (c->json) {
        c->out = json_object();
        json_object_set_new(c->out, "url", json_string_nocheck(status_url(c)));
        json_object_set_new(c->out, "http_status", json_integer(status));
        json_object_set(c->out, "status", answer);
    } else {
        ctl_print_value("", answer);
    }
    json_decref(answer);
    return ctl_finish(c, status == HTTP_OK ? EXIT_DONE : EXIT_NO);
}
