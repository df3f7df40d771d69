#include "ledger/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ledger/trace_text.h"

#define EVENT_NAME_MAX 48
#define TAIL_BYTES 96 /* kept free for suppressed, truncated and the line's end */

static const char *const level_words[TRACE_LEVELS] = {"error", "warn", "info", "debug"};

/* One event's lines in the present window. */
struct event_rate {
    char name[EVENT_NAME_MAX];
    uint64_t window_ms; /* when it began */
    uint64_t suppressed;
    unsigned lines;
    enum trace_level level;
};

/* Open addressing; entries are never removed. The last one is shared by those that find
 * the table full. `lock` guards all of it and the order of lines. */
static struct {
    pthread_mutex_t lock;
    struct trace_config config;
    size_t event_count;
    struct event_rate events[TRACE_EVENTS_MAX + 1];
} sink = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .config = {TRACE_INFO, TRACE_LOGFMT, STDERR_FILENO, TRACE_BURST_DEFAULT}};

static _Atomic int level_now = TRACE_INFO;
static _Atomic uint64_t counts[TRACE_LEVELS];

static uint64_t mono_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void trace_init(struct trace_config config)
{
    pthread_mutex_lock(&sink.lock);
    sink.config = config;
    atomic_store(&level_now, (int)config.level);
    pthread_mutex_unlock(&sink.lock);
}

bool trace_enabled(enum trace_level level)
{
    return (int)level <= atomic_load_explicit(&level_now, memory_order_relaxed);
}

uint64_t trace_count(enum trace_level level)
{
    return level < TRACE_LEVELS ? atomic_load(&counts[level]) : 0;
}

const char *trace_level_word(enum trace_level level)
{
    return level < TRACE_LEVELS ? level_words[level] : "?";
}

bool trace_level_from_word(const char *word, enum trace_level *out)
{
    for (unsigned i = 0; i < TRACE_LEVELS; i++)
        if (strcmp(word, level_words[i]) == 0) {
            *out = (enum trace_level)i;
            return true;
        }
    return false;
}

const char *trace_errno_word(int number)
{
    static const struct {
        int number;
        const char *word;
    } words[] = {
        {EACCES, "EACCES"},
        {EADDRINUSE, "EADDRINUSE"},
        {EAGAIN, "EAGAIN"},
        {EBADF, "EBADF"},
        {EBUSY, "EBUSY"},
        {ECONNREFUSED, "ECONNREFUSED"},
        {ECONNRESET, "ECONNRESET"},
        {EDQUOT, "EDQUOT"},
        {EEXIST, "EEXIST"},
        {EFBIG, "EFBIG"},
        {EINTR, "EINTR"},
        {EINVAL, "EINVAL"},
        {EIO, "EIO"},
        {EISDIR, "EISDIR"},
        {EMFILE, "EMFILE"},
        {ENFILE, "ENFILE"},
        {ENOENT, "ENOENT"},
        {ENOMEM, "ENOMEM"},
        {ENOSPC, "ENOSPC"},
        {ENOTDIR, "ENOTDIR"},
        {EPERM, "EPERM"},
        {EPIPE, "EPIPE"},
        {EROFS, "EROFS"},
        {ETIMEDOUT, "ETIMEDOUT"},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (words[i].number == number)
            return words[i].word;
    return "?";
}

static uint32_t name_hash(const char *name)
{
    uint32_t h = UINT32_C(2166136261); /* FNV-1a: names are ours, nobody chooses them */
    for (; *name; name++)
        h = (h ^ (uint8_t)*name) * UINT32_C(16777619);
    return h;
}

static struct event_rate *rate_of(const char *event, enum trace_level level)
{
    size_t at = name_hash(event) % TRACE_EVENTS_MAX;
    for (size_t i = 0; i < TRACE_EVENTS_MAX; i++) {
        struct event_rate *e = &sink.events[(at + i) % TRACE_EVENTS_MAX];
        if (e->name[0] == '\0') {
            snprintf(e->name, sizeof e->name, "%s", event);
            e->level = level;
            sink.event_count++;
            return e;
        }
        if (strncmp(e->name, event, sizeof e->name - 1) == 0)
            return e;
    }
    struct event_rate *shared = &sink.events[TRACE_EVENTS_MAX];
    snprintf(shared->name, sizeof shared->name, "trace.other");
    return shared;
}

/* May this line be written? If so, *suppressed is what it has to tell of. */
static bool rate_allows(const char *event, enum trace_level level, uint64_t *suppressed)
{
    *suppressed = 0;
    if (sink.config.burst == 0)
        return true;
    struct event_rate *e = rate_of(event, level);
    uint64_t now = mono_ms();
    if (e->lines == 0 || now - e->window_ms >= TRACE_WINDOW_MS) {
        e->window_ms = now;
        e->lines = 0;
    }
    if (e->lines >= sink.config.burst) {
        e->suppressed++;
        return false;
    }
    e->lines++;
    *suppressed = e->suppressed;
    e->suppressed = 0;
    return true;
}

/* "ts=.. level=.. event=.." or its JSON. */
static void put_head(struct trace_text *t, enum trace_level level, const char *event)
{
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    char date[32];
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
    char ts[48];
    snprintf(ts, sizeof ts, "%s.%03ldZ", date, now.tv_nsec / 1000000);

    if (t->json)
        trace_put_raw(t, "{");
    trace_put_text(t, "ts", bytes_of(ts, strlen(ts)));
    trace_put_text(t, "level", bytes_of(level_words[level], strlen(level_words[level])));
    trace_put_text(t, "event", bytes_of(event, strnlen(event, EVENT_NAME_MAX)));
}

static void write_line(enum trace_level level, const char *event,
                       const struct trace_field fields[], size_t count,
                       uint64_t suppressed)
{
    char line[TRACE_LINE_MAX];
    struct trace_text t = {.line = line,
                           .cap = sizeof line - TAIL_BYTES,
                           .json = sink.config.format == TRACE_JSON};
    put_head(&t, level, event);
    for (size_t i = 0; i < count; i++)
        trace_put_field(&t, &fields[i]);
    t.cap = sizeof line - 1;
    bool cut = t.cut;
    if (suppressed > 0)
        trace_put_field(&t, &TRACE_U64("suppressed", suppressed));
    if (cut)
        trace_put_field(&t, &TRACE_BOOL("truncated", true));
    if (t.json)
        trace_put_raw(&t, "}");
    line[t.size++] = '\n';

    size_t done = 0;
    while (done < t.size) {
        ssize_t n = write(sink.config.fd, line + done, t.size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* there is nobody left to tell */
        done += (size_t)n;
    }
}

void trace_fields(enum trace_level level, const char *event,
                  const struct trace_field fields[], size_t count)
{
    if (level >= TRACE_LEVELS || !trace_enabled(level))
        return;
    int kept_errno = errno;
    atomic_fetch_add_explicit(&counts[level], 1, memory_order_relaxed);
    pthread_mutex_lock(&sink.lock);
    uint64_t suppressed;
    if (sink.config.fd >= 0 && rate_allows(event, level, &suppressed))
        write_line(level, event, fields, count, suppressed);
    pthread_mutex_unlock(&sink.lock);
    errno = kept_errno;
}

void trace_flush(void)
{
    pthread_mutex_lock(&sink.lock);
    uint64_t now = mono_ms();
    for (size_t i = 0; sink.event_count > 0 && i <= TRACE_EVENTS_MAX; i++) {
        struct event_rate *e = &sink.events[i];
        if (e->suppressed == 0 || now - e->window_ms < TRACE_WINDOW_MS)
            continue;
        uint64_t suppressed = e->suppressed;
        e->suppressed = 0;
        if (sink.config.fd >= 0)
            write_line(e->level, e->name, NULL, 0, suppressed);
    }
    pthread_mutex_unlock(&sink.lock);
}
