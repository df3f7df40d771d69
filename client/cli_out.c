#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/cli.h"

uint64_t cli_now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t cli_wall_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

bool cli_colour(FILE *out)
{
    const char *term = getenv("TERM");
    const char *no = getenv("NO_COLOR");
    return isatty(fileno(out)) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

stoa_result cli_fail(struct cli *c, stoa_result r, int code, const char *hint,
                     const char *format, ...)
{
    const char *word = "?";
    stoa_retry retry = STOA_RETRY_NO;
    int number;
    const char *row_word, *text;
    stoa_retry row_retry;
    for (unsigned i = 0; stoa_error_row(i, &number, &row_word, &text, &row_retry); i++)
        if (number == code) {
            word = row_word;
            retry = row_retry;
        }
    memset(&c->error, 0, sizeof c->error);
    c->error.size = sizeof c->error;
    c->error.code = code;
    c->error.retry = retry;
    (void)snprintf(c->error.word, sizeof c->error.word, "%s", word);
    (void)snprintf(c->error.hint, sizeof c->error.hint, "%s", hint ? hint : "");
    va_list args;
    va_start(args, format);
    (void)vsnprintf(c->error.message, sizeof c->error.message, format, args);
    va_end(args);
    c->failed = true;
    return r;
}

stoa_result cli_failed(struct cli *c, stoa_result r)
{
    c->failed = c->failed || r != STOA_OK;
    return r;
}

/* The exit code, then the number in the table of errors. */
void cli_code(char out[8], stoa_result r, int code)
{
    (void)snprintf(out, 8, "T%u%03u", (unsigned)r % 100, (unsigned)code % 1000);
}

static const char *class_word(stoa_result r)
{
    switch (r) {
    case STOA_NO:
        return "no";
    case STOA_INTERRUPTED:
        return "not finished";
    case STOA_UNKNOWN:
        return "outcome unknown";
    case STOA_REFUSED:
        return "refused";
    case STOA_USAGE:
        return "usage";
    case STOA_DATA:
        return "input";
    case STOA_UNREACHABLE:
        return "hub unreachable, safe to retry";
    case STOA_LIMITED:
        return "limited";
    case STOA_DENIED:
        return "not allowed";
    case STOA_CONFIG:
        return "wallet";
    default:
        return "bug";
    }
}

static const char *retry_word(stoa_retry r)
{
    return r == STOA_RETRY_SAME ? "same-id" : r == STOA_RETRY_AGAIN ? "after" : "no";
}

static void print_error(const struct cli *c, stoa_result r, const char *code)
{
    const char *head = r == STOA_UNKNOWN       ? "unknown"
                       : r == STOA_INTERRUPTED ? "open"
                                               : "error";
    bool colour = cli_colour(stderr);
    (void)fprintf(stderr, "%s%s[%s]%s %s: %s\n", colour ? "\033[1;31m" : "", head, code,
                  colour ? "\033[0m" : "", class_word(r), c->error.message);
    if (c->error.retry_after_ms)
        (void)fprintf(stderr, "  wait: %" PRIu64 " ms\n", c->error.retry_after_ms);
    (void)fprintf(stderr, "  try: %s     exit %d\n",
                  c->error.hint[0] ? c->error.hint : "stoa help", (int)r);
}

/* Text of others, or cut in the middle of a letter, need not be UTF-8: JSON must be. */
static json_t *json_text(const char *text)
{
    json_t *good = json_string(text), *one;
    size_t size = strlen(text), n = 0;
    char *copy = good ? NULL : malloc(size + 1);
    if (!copy)
        return good;
    for (size_t i = 0; i < size;) {
        unsigned char lead = (unsigned char)text[i];
        size_t len = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
        one = i + len <= size ? json_stringn(text + i, len) : NULL;
        if (one)
            memcpy(copy + n, text + i, len);
        else
            copy[n] = '?';
        n += one ? len : 1;
        i += one ? len : 1;
        json_decref(one);
    }
    good = json_stringn(copy, n);
    free(copy);
    return good;
}

static void put_error(struct cli *c, stoa_result r, const char *code)
{
    json_t *e = json_object();
    json_t *hints = json_array();
    if (!e || !hints)
        return;
    if (c->error.hint[0])
        (void)json_array_append_new(hints, json_text(c->error.hint));
    (void)json_object_set_new(e, "code", json_string(code));
    (void)json_object_set_new(e, "reason", json_string(c->error.word));
    (void)json_object_set_new(e, "message", json_text(c->error.message));
    (void)json_object_set_new(e, "retry", json_string(retry_word(c->error.retry)));
    (void)json_object_set_new(e, "retry_after_ms",
                              json_integer((json_int_t)c->error.retry_after_ms));
    (void)json_object_set_new(e, "try", hints);
    (void)json_object_set_new(c->out, "error", e);
    (void)r;
}

int cli_finish(struct cli *c, stoa_result r)
{
    char code[8];
    if (r != STOA_OK && !c->failed)
        (void)cli_fail(c, r, r == STOA_USAGE ? ERR_USAGE : ERR_BUG, NULL,
                       "no more is known");
    if (r == STOA_USAGE && !c->error.hint[0] && c->command)
        (void)snprintf(c->error.hint, sizeof c->error.hint, "stoa help %s",
                       c->command->name);
    if (r == STOA_UNKNOWN && strncmp(c->error.hint, "stoa ", 5) != 0)
        (void)snprintf(c->error.hint, sizeof c->error.hint, "stoa resume");
    cli_code(code, r, c->error.code);
    if (c->json && (!c->streamed || r != STOA_OK)) {
        (void)json_object_set_new(c->out, "schema", json_string(c->schema));
        (void)json_object_set_new(c->out, "exit", json_integer((json_int_t)r));
        if (r != STOA_OK)
            put_error(c, r, code);
        (void)json_dumpf(c->out, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
        (void)fputc('\n', stdout);
    } else if (!c->json && r != STOA_OK) {
        (void)fflush(stdout);
        print_error(c, r, code);
    }
    if (fflush(stdout) != 0 && errno != EPIPE && r == STOA_OK) {
        (void)fprintf(stderr,
                      "error[T65208] input: standard output cannot be written: %s\n",
                      strerror(errno));
        return STOA_DATA;
    }
    return (int)r;
}

void cli_say(const struct cli *c, const char *format, ...)
{
    if (c->quiet || c->json)
        return;
    va_list args;
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
}

stoa_result cli_confirm(struct cli *c, bool must, const char *format, ...)
{
    char question[400], answer[16];
    if (cli_has(c, OPT_YES))
        return STOA_OK;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(question, sizeof question, format, args);
    va_end(args);
    bool terminal = isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
    if (!terminal && !must && !cli_has(c, OPT_NO_INPUT))
        return STOA_OK;
    if (!terminal || cli_has(c, OPT_NO_INPUT) || c->json)
        return cli_fail(c, STOA_USAGE, ERR_USAGE, "--yes", "would ask: %s", question);
    (void)fprintf(stderr, "%s [y/N] ", question);
    (void)fflush(stderr);
    if (fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
        return STOA_OK;
    return cli_fail(c, STOA_NO, ERR_USAGE, "answer y, or give --yes",
                    "not confirmed; nothing was done");
}

static json_t *target(struct cli *c, json_t *to)
{
    return to ? to : c->out;
}

void cli_put_text(struct cli *c, json_t *to, const char *name, const char *value)
{
    if (c->json)
        (void)json_object_set_new(target(c, to), name, json_text(value));
}

void cli_put_number(struct cli *c, json_t *to, const char *name, uint64_t value)
{
    if (c->json)
        (void)json_object_set_new(target(c, to), name, json_integer((json_int_t)value));
}

void cli_put_bool(struct cli *c, json_t *to, const char *name, bool value)
{
    if (c->json)
        (void)json_object_set_new(target(c, to), name, json_boolean(value));
}

void cli_put_amount(struct cli *c, json_t *to, const char *name, int64_t micro)
{
    char text[40], member[64];
    cli_amount_text(text, micro);
    (void)snprintf(member, sizeof member, "%s_micro", name);
    cli_put_text(c, to, name, text);
    if (c->json)
        (void)json_object_set_new(target(c, to), member, json_integer((json_int_t)micro));
}

void cli_put_id(struct cli *c, json_t *to, const char *name, const stoa_id *id)
{
    char text[65];
    stoa_id_format(text, id);
    cli_put_text(c, to, name, text);
}

json_t *cli_array(struct cli *c, const char *name)
{
    json_t *array = json_object_get(c->out, name);
    if (!array) {
        (void)json_object_set_new(c->out, name, json_array());
        array = json_object_get(c->out, name);
    }
    return array;
}

void cli_stream(struct cli *c, const char *schema, json_t *line)
{
    if (!line)
        return;
    (void)json_object_set_new(line, "schema", json_string(schema));
    (void)json_dumpf(line, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
    (void)fputc('\n', stdout);
    json_decref(line);
    c->streamed = true;
}
