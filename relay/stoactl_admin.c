/* What stoactl asks of the relay on this machine, at its unix socket. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "relay/admin_socket.h"
#include "relay/clock.h"
#include "relay/config.h"
#include "relay/stoactl.h"

#define WAIT_STEP_MS 100

extern char **environ;

static int settings_unread(struct ctl *c, const struct config *config)
{
    const char *text = "out of memory";
    unsigned number = 0;
    if (config)
        (void)config_problem(config, 0, &number, &text);
    if (config && !c->json)
        config_print_problems(config, stderr, "the relay was not asked");
    return ctl_fail(c, EXIT_CONFIG, ERR_CONFIG,
                    "stoad --check-config; --socket PATH asks the relay without settings",
                    "the settings cannot be read: %s", text);
}

/* --socket, or what the settings of this machine say. Settings with a problem are no reason
 * not to ask a relay that runs: it says itself what is wrong with them. Else the exit code
 * of what was told. */
static int find_socket(struct ctl *c, char out[CONFIG_TEXT_MAX])
{
    if (c->value[OPT_SOCKET]) {
        snprintf(out, CONFIG_TEXT_MAX, "%s", c->value[OPT_SOCKET]);
        return EXIT_DONE;
    }
    struct config *config = config_load(&(struct config_sources){
        .file = c->value[OPT_CONFIG], .environment = environ});
    if (!config || !config_was_read(config)) {
        int code = settings_unread(c, config);
        config_close(config);
        return code;
    }
    snprintf(out, CONFIG_TEXT_MAX, "%s", config_values(config)->listen.admin);
    config_close(config);
    if (!out[0])
        return ctl_fail(c, EXIT_UNREACHABLE, ERR_MISSING, NULL,
                        "listen.admin is \"\": this relay has no socket");
    return EXIT_DONE;
}

/* The relay's own refusal, told as ours. */
static int told_error(struct ctl *c, const json_t *error)
{
    enum err e;
    json_int_t number = json_integer_value(json_object_get(error, "number"));
    const char *message = json_string_value(json_object_get(error, "message"));
    if (number < 0 || !err_from_number((uint64_t)number, &e))
        e = ERR_BUG;
    return ctl_fail(c, ctl_exit_of(e), e, NULL, "%s", message ? message : err_text(e));
}

static int exchange(struct ctl *c, int fd, const char *path, const char *what,
                    json_t **answer)
{
    char line[ADMIN_LINE_MAX];
    char *text = NULL;
    int n = snprintf(line, sizeof line, "{\"do\":\"%s\"}\n", what);
    enum err e = admin_write(fd, line, (size_t)n, c->timeout_ms);
    if (e == ERR_OK)
        e = admin_read_all(fd, &text, ADMIN_ANSWER_MAX, c->timeout_ms);
    if (e != ERR_OK)
        return ctl_fail(c, ctl_exit_of(e), e, "stoactl why", "%s: %s", path, err_text(e));
    *answer = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    if (!json_is_object(*answer)) {
        json_decref(*answer);
        return ctl_fail(c, EXIT_NO, ERR_NET, NULL,
                        "%s: no JSON object came back: not a Stoa relay?", path);
    }
    const json_t *error = json_object_get(*answer, "error");
    if (!error)
        return EXIT_DONE;
    int code = told_error(c, error);
    json_decref(*answer);
    return code;
}

int ctl_ask(struct ctl *c, const char *what, json_t **answer, bool *missing)
{
    char path[CONFIG_TEXT_MAX], why[ADMIN_WHY_MAX];
    int fd;
    int code = find_socket(c, path);
    if (code != EXIT_DONE)
        return code;
    enum err e = admin_connect(path, &fd, why);
    if (e == ERR_MISSING && missing) {
        *missing = true;
        return EXIT_UNREACHABLE;
    }
    if (e == ERR_MISSING)
        return ctl_fail(c, EXIT_UNREACHABLE, e,
                        "is stoad running? its socket is listen.admin; --socket PATH",
                        "%s", why);
    if (e != ERR_OK)
        return ctl_fail(c, ctl_exit_of(e), e,
                        e == ERR_NOT_ALLOWED ? "run it as the relay's user, or as root"
                                             : NULL,
                        "%s", why);
    code = exchange(c, fd, path, what, answer);
    close(fd);
    return code;
}

/* reload */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "?";
}

static void print_keys(const char *title, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *k = json_array_get(list, i);
        printf("%-15s %s: %s -> %s\n", title, text_of(k, "key"), text_of(k, "old"),
               text_of(k, "new"));
    }
}

static void print_reload(const json_t *report)
{
    const json_t *waiting = json_object_get(report, "needs_restart");
    json_int_t before = json_integer_value(json_object_get(report, "generation_before"));
    json_int_t now = json_integer_value(json_object_get(report, "generation"));
    if (before == now)
        printf("generation      %lld, nothing to apply\n", (long long)now);
    else
        printf("generation      %lld -> %lld\n", (long long)before, (long long)now);
    print_keys("applied", json_object_get(report, "applied"));
    print_keys("needs restart", waiting);
    printf("unchanged       %lld\n",
           (long long)json_integer_value(json_object_get(report, "unchanged")));
}

int ctl_reload(struct ctl *c)
{
    json_t *report;
    int code = ctl_ask(c, "reload", &report, NULL);
    if (code != EXIT_DONE)
        return code;
    const json_t *problems = json_object_get(report, "problems");
    code = problems ? EXIT_CONFIG : EXIT_DONE;
    if (c->json) {
        c->out = json_object();
        json_object_update(c->out, report);
        json_object_del(c->out, "text");
    } else if (problems) {
        fputs(text_of(report, "text"), stderr);
    } else {
        print_reload(report);
    }
    json_decref(report);
    return ctl_finish(c, code);
}

/* drain */

static void nap(void)
{
    struct timespec t = {0, WAIT_STEP_MS * 1000000L};
    nanosleep(&t, NULL);
}

/* Until nobody listens at the socket any more. */
static bool wait_for_end(struct ctl *c)
{
    char path[CONFIG_TEXT_MAX], why[ADMIN_WHY_MAX];
    uint64_t end_ms = clock_mono_ms() + c->timeout_ms;
    if (find_socket(c, path) != EXIT_DONE)
        return false;
    while (clock_mono_ms() < end_ms) {
        int fd;
        enum err e = admin_connect(path, &fd, why);
        if (e == ERR_MISSING)
            return true;
        if (e == ERR_OK)
            close(fd);
        nap();
    }
    return false;
}

int ctl_drain(struct ctl *c)
{
    json_t *answer;
    int code = ctl_ask(c, "drain", &answer, NULL);
    if (code != EXIT_DONE)
        return code;
    if (c->json) {
        c->out = json_object();
        json_object_update(c->out, answer);
    } else {
        ctl_print_value("", answer);
    }
    json_decref(answer);
    if (c->value[OPT_WAIT]) {
        bool ended = wait_for_end(c);
        if (c->json)
            json_object_set_new(c->out, "ended", json_boolean(ended));
        else
            printf("%-32s %s\n", "ended", ended ? "true" : "false");
        code = ended ? EXIT_DONE : EXIT_UNFINISHED;
    }
    return ctl_finish(c, code);
}
