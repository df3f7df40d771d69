#include "relay/admin.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ledger/trace.h"
#include "relay/admin_answer.h"
#include "relay/admin_socket.h"
#include "relay/relay.h"

#define ANSWER_PATIENCE_MS 100u /* between two looks whether the thread shall end */

struct admin {
    struct relay *r;
    char *path;
    int listen_fd;
    int stop_fd;         /* an eventfd: readable when the thread shall end */
    struct queue asks;   /* struct admin_ask, for the loop */
    struct queue answers; /* .. back from it */
    uint64_t asked;      /* number of the newest ask */
    unsigned outstanding;
    pthread_t thread;
    bool started;
};

/* Answers. */

static json_t *error_answer(enum err e, const char *message)
{
    return json_pack("{s:s, s:{s:i, s:s, s:s}}", "schema", "stoa.admin/1", "error",
                     "number", (int)e, "reason", err_word(e), "message", message);
}

static const struct {
    const char *word;
    json_t *(*answer)(struct relay *r);
} verbs[ADMIN_VERB_COUNT] = {
#define VERB_(verb, word, answer) [ADMIN_##verb] = {word, answer},
    ADMIN_VERBS(VERB_)
#undef VERB_
};

/* {"do": "status"}, and nothing else that we do not know. */
static bool parse_request(const char *line, enum admin_verb *verb)
{
    json_t *q = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    const char *word = json_string_value(json_object_get(q, "do"));
    bool found = false;
    for (unsigned i = 0; word && json_object_size(q) == 1 && i < ADMIN_VERB_COUNT; i++)
        if (strcmp(word, verbs[i].word) == 0) {
            *verb = (enum admin_verb)i;
            found = true;
        }
    json_decref(q);
    return found;
}

static void ask_drop(struct admin_ask *ask)
{
    json_decref(ask->answer);
    free(ask);
}

static bool stop_wanted(const struct admin *a)
{
    struct pollfd p = {.fd = a->stop_fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

/* The answer to ask `number`; late ones to earlier questions are dropped. */
static json_t *await(struct admin *a, uint64_t number)
{
    for (unsigned waited = 0; waited < ADMIN_LOOP_MS && !stop_wanted(a);
         waited += ANSWER_PATIENCE_MS) {
        struct chain_of_links got;
        json_t *answer = NULL;
        (void)queue_take(&a->answers, &got, SIZE_MAX, ANSWER_PATIENCE_MS);
        for (struct link *l; (l = links_pop(&got));) {
            struct admin_ask *ask = (struct admin_ask *)l;
            a->outstanding--;
            if (ask->number == number)
                answer = json_incref(ask->answer);
            ask_drop(ask);
        }
        if (answer)
            return answer;
    }
    return error_answer(ERR_TIMEOUT, "the relay's main loop does not answer: stoactl why");
}

static json_t *ask_loop(struct admin *a, enum admin_verb verb)
{
    if (a->outstanding >= ADMIN_ASKS_MAX)
        return error_answer(ERR_BUSY, "the relay's main loop hangs: stoactl why");
    struct admin_ask *ask = calloc(1, sizeof(*ask));
    if (!ask)
        return NULL;
    ask->verb = verb;
    uint64_t number = ask->number = ++a->asked;
    a->outstanding++;
    queue_put_one(&a->asks, &ask->link);
    ws_wake(a->r->ws);
    return await(a, number);
}

static json_t *answer_to(struct admin *a, int fd)
{
    char line[ADMIN_LINE_MAX];
    size_t size;
    enum admin_verb verb = ADMIN_STATUS; /* gcc does not see that it is set */
    enum err e = admin_read_line(fd, line, sizeof(line), &size, ADMIN_PATIENCE_MS);
    if (e == ERR_NET)
        return NULL; /* nobody is there any more */
    if (!admin_peer_ok(fd)) {
        trace_event(TRACE_WARN, "admin.stranger");
        return error_answer(ERR_NOT_ALLOWED, "only the relay's own user and root may ask");
    }
    if (e != ERR_OK)
        return error_answer(e, "a request is one line of JSON of at most 4096 bytes");
    if (!parse_request(line, &verb))
        return error_answer(ERR_USAGE, "no such request: {\"do\":\"status\"}");
    trace(verb == ADMIN_DRAIN || verb == ADMIN_RELOAD ? TRACE_INFO : TRACE_DEBUG,
          "admin.asked", TRACE_STR("for", verbs[verb].word));
    return verbs[verb].answer ? verbs[verb].answer(a->r) : ask_loop(a, verb);
}

static void serve(struct admin *a, int fd)
{
    json_t *answer = answer_to(a, fd);
    char *text = answer ? json_dumps(answer, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    json_decref(answer);
    if (text && (admin_write(fd, text, strlen(text), ADMIN_PATIENCE_MS) != ERR_OK ||
                 admin_write(fd, "\n", 1, ADMIN_PATIENCE_MS) != ERR_OK))
        trace_event(TRACE_DEBUG, "admin.gone");
    free(text);
}

static void *admin_thread(void *context)
{
    struct admin *a = context;
    for (;;) {
        struct pollfd p[2] = {{.fd = a->stop_fd, .events = POLLIN},
                              {.fd = a->listen_fd, .events = POLLIN}};
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            return NULL;
        if (p[0].revents)
            return NULL;
        if (!p[1].revents)
            continue;
        int fd = accept4(a->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        serve(a, fd);
        close(fd);
    }
}

/* For the loop. */

struct admin_ask *admin_take(struct admin *a)
{
    struct chain_of_links got;
    if (!a)
        return NULL;
    (void)queue_take(&a->asks, &got, 1, 0);
    return (struct admin_ask *)links_pop(&got);
}

void admin_give(struct admin *a, struct admin_ask *ask)
{
    queue_put_one(&a->answers, &ask->link);
}

/* Opening and closing. */

/* A hub that lives in RAM writes no file, and a socket is one, unless it was asked for. */
static bool wanted(const struct relay *r)
{
    const struct relay_config *c = settings(r);
    char usual[CONFIG_TEXT_MAX + 16];
    snprintf(usual, sizeof(usual), "%s/admin.sock", c->hub.state_dir);
    return c->listen.admin[0] && !(r->memory && strcmp(c->listen.admin, usual) == 0);
}

enum err admin_open(struct admin **out, struct relay *r, char *why)
{
    why[0] = 0;
    if (!wanted(r))
        return ERR_OK;
    struct admin *a = calloc(1, sizeof(*a));
    if (!a)
        return ERR_MEMORY;
    a->r = r;
    a->listen_fd = -1;
    queue_init(&a->asks);
    queue_init(&a->answers);
    a->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    a->path = strdup(settings(r)->listen.admin);
    enum err e = a->path && a->stop_fd >= 0
                     ? admin_listen(a->path, &a->listen_fd, why)
                     : ERR_MEMORY;
    if (e == ERR_OK && pthread_create(&a->thread, NULL, admin_thread, a) == 0)
        a->started = true;
    else if (e == ERR_OK)
        e = ERR_MEMORY;
    if (e != ERR_OK) {
        admin_close(a);
        return e;
    }
    *out = a;
    return ERR_OK;
}

static void drop_all(struct queue *q)
{
    struct chain_of_links got;
    (void)queue_take(q, &got, SIZE_MAX, 0);
    for (struct link *l; (l = links_pop(&got));)
        ask_drop((struct admin_ask *)l);
    queue_close(q);
}

void admin_close(struct admin *a)
{
    if (!a)
        return;
    if (a->started) {
        uint64_t one = 1;
        ssize_t n = write(a->stop_fd, &one, sizeof(one));
        (void)n; /* a counter of 0 always takes it */
        pthread_join(a->thread, NULL);
    }
    if (a->listen_fd >= 0) {
        close(a->listen_fd);
        (void)unlink(a->path);
    }
    if (a->stop_fd >= 0)
        close(a->stop_fd);
    drop_all(&a->asks);
    drop_all(&a->answers);
    free(a->path);
    free(a);
}
