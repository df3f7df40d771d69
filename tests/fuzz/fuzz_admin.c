/* The operator's socket: whatever is written to it gets one JSON object and the end, or just the
 * end when no line came; a verb is carried out only when the line is the one object that asks
 * for it, by whom it belongs to. The real thread answers; the loop's part is played here. First
 * byte: bytes as they are, or a request made from the rest. */
#include <jansson.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "input.h"
#include "relay/admin.h"
#include "relay/admin_answer.h"
#include "relay/admin_socket.h"
#include "relay/relay.h"
#include "scratch.h"

#define PATIENCE_MS 8000u

static struct relay hub;
static struct admin *door;
static char path[300];
static atomic_uint carried_out; /* verbs, as bits */

static const char *const words[ADMIN_VERB_COUNT] = {
#define WORD_(verb, word, answer) [ADMIN_##verb] = word,
    ADMIN_VERBS(WORD_)
#undef WORD_
};

/* ---- the rest of the relay ------------------------------------------------------------- */

static struct json_t *done(enum admin_verb verb)
{
    atomic_fetch_or(&carried_out, 1u << verb);
    return json_pack("{s:s}", "did", words[verb]);
}

struct json_t *answer_lag(struct relay *r)
{
    (void)r;
    return done(ADMIN_LAG);
}

struct json_t *answer_top(struct relay *r)
{
    (void)r;
    return done(ADMIN_TOP);
}

struct json_t *answer_why(struct relay *r)
{
    (void)r;
    return done(ADMIN_WHY);
}

void ws_wake(struct ws *w)
{
    (void)w;
    for (struct admin_ask *ask; (ask = admin_take(door));) {
        ask->answer = done(ask->verb);
        admin_give(door, ask);
    }
}

static void close_door(void)
{
    admin_close(door);
}

static void open_door(void)
{
    static struct relay_config config;
    char why[ADMIN_WHY_MAX];
    if (door)
        return;
    snprintf(path, sizeof(path), "%s/admin", scratch_folder());
    snprintf(config.listen.admin, sizeof(config.listen.admin), "%s", path);
    atomic_store(&hub.config, &config);
    PROPERTY(admin_open(&door, &hub, why) == ERR_OK && door);
    (void)atexit(close_door);
}

/* ---- what a request may ask --------------------------------------------------------------- */

static const char *skip(const char *s)
{
    return s + strspn(s, " \t\r");
}

/* {"do":"<word>"} with blanks anywhere between: which verb; -1: none. */
static int verb_of(const char *s)
{
    static const char *const parts[] = {"{", "\"do\"", ":"};
    for (unsigned i = 0; i < 3; i++) {
        s = skip(s);
        if (strncmp(s, parts[i], strlen(parts[i])) != 0)
            return -1;
        s += strlen(parts[i]);
    }
    s = skip(s);
    for (int v = 0; v < (int)ADMIN_VERB_COUNT; v++) {
        size_t n = strlen(words[v]);
        if (s[0] != '"' || strncmp(s + 1, words[v], n) != 0 || s[n + 1] != '"')
            continue;
        const char *end = skip(s + n + 2);
        return *end == '}' && *skip(end + 1) == 0 ? v : -1;
    }
    return -1;
}

static void check_answer(const char *text, const char *line, size_t line_size, bool whole)
{
    json_error_t problem;
    if (!whole) { /* the end came before a line did */
        PROPERTY(text[0] == 0 && atomic_load(&carried_out) == 0);
        return;
    }
    size_t n = strlen(text);
    PROPERTY(n > 1 && text[n - 1] == '\n' && !memchr(text, '\n', n - 1));
    json_t *j = json_loads(text, JSON_REJECT_DUPLICATES, &problem);
    PROPERTY(json_is_object(j));
    const char *did = json_string_value(json_object_get(j, "did"));
    unsigned bits = atomic_load(&carried_out);
    PROPERTY((did != NULL) != (json_object_get(j, "error") != NULL) && (bits == 0) == !did);
    for (int v = 0; did && v < (int)ADMIN_VERB_COUNT; v++)
        PROPERTY((strcmp(did, words[v]) == 0) == (bits == 1u << v));
    int wanted = line_size < ADMIN_LINE_MAX ? verb_of(line) : -1;
    if (!strchr(line, '\\')) /* a letter may also be written as an escape */
        PROPERTY(wanted < 0 ? !did : did && strcmp(did, words[wanted]) == 0);
    json_decref(j);
}

static void ask(const char *bytes, size_t size)
{
    int fd;
    char why[ADMIN_WHY_MAX], *answer = NULL, *line = malloc(size + 1);
    const char *lf = memchr(bytes, '\n', size);
    size_t line_size = lf ? (size_t)(lf - bytes) : size;
    PROPERTY(line && admin_connect(path, &fd, why) == ERR_OK);
    memcpy(line, bytes, line_size);
    line[line_size] = 0;
    atomic_store(&carried_out, 0);
    /* It may answer and go before all was written. */
    (void)!admin_write(fd, bytes, size, PATIENCE_MS);
    (void)shutdown(fd, SHUT_WR);
    PROPERTY(admin_read_all(fd, &answer, ADMIN_ANSWER_MAX, PATIENCE_MS) == ERR_OK);
    check_answer(answer, line, line_size, lf || size >= ADMIN_LINE_MAX);
    free(answer);
    free(line);
    close(fd);
}

/* Nearly right ones. */
static size_t make_request(struct input *in, char out[256])
{
    static const char *const shapes[] = {"{\"do\":\"%s\"}\n",
                                         " {\t\"do\" : \"%s\" }\r\n",
                                         "{\"do\":\"%s\"}",
                                         "{\"do\":\"%s\",\"do\":\"lag\"}\n",
                                         "{\"do\":\"%s\",\"now\":1}\n",
                                         "{\"do\":[\"%s\"]}\n",
                                         "{\"d\\u006f\":\"%s\"}\n",
                                         "{\"do\":\"%s\"}x\n",
                                         "[\"%s\"]\n",
                                         "\"%s\"\n"};
    unsigned shape = take_below(in, 10), verb = take_below(in, ADMIN_VERB_COUNT);
    char *format = strdup(shapes[shape]), *at = strstr(format, "%s");
    *at = 0;
    size_t n = (size_t)snprintf(out, 200, "%s%s%s", format, words[verb], at + 2);
    free(format);
    for (unsigned edits = take_below(in, 3); edits > 0; edits--)
        out[take(in, 1) % n] = (char)take(in, 1);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = input_of(data, size);
    char request[256];
    open_door();
    if (take_below(&in, 4) > 0) {
        size_t n = make_request(&in, request);
        ask(request, n);
    } else {
        struct bytes raw = take_bytes(&in, 2 * ADMIN_LINE_MAX);
        ask(raw.data ? (const char *)raw.data : "", raw.size);
    }
    return 0;
}
