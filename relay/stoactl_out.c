#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "relay/stoactl.h"

static void name_schema(const struct ctl *c, char out[64])
{
    snprintf(out, 64, "stoactl.%s/1", c->command ? c->command->name : "error");
    for (char *at = out; *at; at++)
        if (*at == ' ')
            *at = '.';
}

static const char *retry_word(enum err e)
{
    switch (err_retry(e)) {
    case ERR_RETRY_SAME:
        return "same";
    case ERR_RETRY_AGAIN:
        return "again";
    case ERR_RETRY_NO:
        break;
    }
    return "no";
}

int ctl_fail(struct ctl *c, enum ctl_exit exit_code, enum err e, const char *hint,
             const char *format, ...)
{
    char message[CTL_MESSAGE_MAX];
    char code[24];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    snprintf(code, sizeof code, "T%d%03d", (int)exit_code, (int)e);
    if (c->json) {
        if (!c->out)
            c->out = json_object();
        json_t *error = json_object();
        json_object_set_new(error, "code", json_string(code));
        json_object_set_new(error, "reason", json_string(err_word(e)));
        json_object_set_new(error, "message", json_string_nocheck(message));
        json_object_set_new(error, "retry", json_string(retry_word(e)));
        json_object_set_new(error, "exit", json_integer(exit_code));
        if (hint)
            json_object_set_new(error, "try", json_string_nocheck(hint));
        json_object_set_new(c->out, "error", error);
        return ctl_finish(c, (int)exit_code);
    }
    const char *word = exit_code == EXIT_REFUSED   ? "refused"
                       : exit_code == EXIT_UNKNOWN ? "unknown"
                                                   : "error";
    fprintf(stderr, "%s[%s] %s\n", word, code, message);
    if (hint)
        fprintf(stderr, "  try: %s\n", hint);
    return (int)exit_code;
}

enum ctl_exit ctl_exit_of(enum err e)
{
    switch (e) {
    case ERR_OK:
        return EXIT_DONE;
    case ERR_NET:
    case ERR_UNAVAILABLE:
    case ERR_DRAINING:
    case ERR_TIMEOUT:
        return EXIT_UNREACHABLE;
    case ERR_BUSY:
    case ERR_POLICY_RATE:
        return EXIT_LATER;
    case ERR_HELLO:
    case ERR_NOT_ALLOWED:
        return EXIT_NOT_ALLOWED;
    case ERR_CONFIG:
    case ERR_SCHEMA:
        return EXIT_CONFIG;
    case ERR_USAGE:
        return EXIT_USAGE;
    case ERR_FILE:
    case ERR_MISSING:
    case ERR_EXISTS:
    case ERR_LOCKED:
        return EXIT_DATA;
    case ERR_MEMORY:
    case ERR_BUG:
        return EXIT_BUG;
    default:
        return (int)e < 200 ? EXIT_REFUSED : EXIT_NO;
    }
}

void ctl_say(const struct ctl *c, const char *format, ...)
{
    if (c->quiet || c->json)
        return;
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

int ctl_finish(struct ctl *c, int exit_code)
{
    if (!c->json || !c->out)
        return exit_code;
    char schema[64];
    name_schema(c, schema);
    json_t *whole = json_object();
    json_object_set_new(whole, "schema", json_string(schema));
    json_object_update(whole, c->out);
    json_dumpf(whole, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
    fputc('\n', stdout);
    json_decref(whole);
    json_decref(c->out);
    c->out = NULL;
    return exit_code;
}

void ctl_number(char out[32], uint64_t v)
{
    char plain[24];
    int size = snprintf(plain, sizeof plain, "%" PRIu64, v);
    size_t at = 0;
    for (int i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = plain[i];
    }
    out[at] = '\0';
}

bool ctl_is_terminal(int fd)
{
    return isatty(fd) == 1;
}
