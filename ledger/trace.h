/* Diagnostics: one structured line an event, on standard error or another descriptor, as
 * logfmt or JSON. (The signed thing is the log; this is the trace.)
 *
 *     trace(TRACE_WARN, "store.slow", TRACE_U64("slot", 5), TRACE_MS("took", 340));
 *     ts=2026-01-05T10:20:30.456Z level=warn event=store.slow slot=5 took=340ms
 *
 * A line is at most TRACE_LINE_MAX bytes; what does not fit is left out and the line says
 * truncated=true. An event that comes too often is counted instead, and its next line
 * says suppressed=N. Control characters, invalid UTF-8 and characters that reorder text
 * are escaped. Never give it payloads, passphrases, keys or anything about a person: ids,
 * counts, sizes, times and fixed words only.
 *
 * An edge: reads the wall clock, writes a descriptor. Any thread; no heap. Before
 * trace_init it writes logfmt of level info to standard error. */
#ifndef LEDGER_TRACE_H
#define LEDGER_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ledger/bytes.h"
#include "ledger/err.h"

#define TRACE_LINE_MAX 1024
#define TRACE_TEXT_MAX 240   /* bytes of one text shown; more is cut and marked by "~" */
#define TRACE_HEX_MAX 32     /* bytes of one TRACE_HEX shown */
#define TRACE_EVENTS_MAX 512 /* events told apart by the rate limit; others share one */
#define TRACE_BURST_DEFAULT 20
#define TRACE_WINDOW_MS 1000

enum trace_level { TRACE_ERROR, TRACE_WARN, TRACE_INFO, TRACE_DEBUG };
#define TRACE_LEVELS 4
enum trace_format { TRACE_LOGFMT, TRACE_JSON };

struct trace_config {
    enum trace_level level; /* lines above it are counted by nobody and cost nothing */
    enum trace_format format;
    int fd;         /* borrowed; -1: lines are counted and not written */
    unsigned burst; /* lines of one event in TRACE_WINDOW_MS; 0: no limit */
};
#define TRACE_CONFIG_DEFAULT                                                             \
    ((struct trace_config){TRACE_INFO, TRACE_LOGFMT, 2, TRACE_BURST_DEFAULT})

/* May be called again (reload); counters go on. */
void trace_init(struct trace_config config);
/* Lines for events still suppressed; call about once a second, and at the end. */
void trace_flush(void);
/* Lines of a level since the process began, suppressed ones too. */
uint64_t trace_count(enum trace_level level);
bool trace_enabled(enum trace_level level);
const char *trace_level_word(enum trace_level level);
bool trace_level_from_word(const char *word, enum trace_level *out);

/* One key and value; borrowed for the call. Made by the macros below only. */
struct trace_field {
    const char *key;
    enum {
        TRACE_IS_U64,
        TRACE_IS_I64,
        TRACE_IS_BOOL,
        TRACE_IS_TEXT,
        TRACE_IS_HEX,
        TRACE_IS_MS
    } is;
    union {
        uint64_t u64;
        int64_t i64;
        bool boolean;
        struct bytes bytes;
    };
};

static inline struct trace_field trace_field_text(const char *key, const char *text)
{
    size_t size = 0;
    while (text && text[size])
        size++;
    return (struct trace_field){
        .key = key, .is = TRACE_IS_TEXT, .bytes = {(const uint8_t *)text, size}};
}

#define TRACE_U64(k, v) ((struct trace_field){.key = (k), .is = TRACE_IS_U64, .u64 = (v)})
#define TRACE_I64(k, v) ((struct trace_field){.key = (k), .is = TRACE_IS_I64, .i64 = (v)})
#define TRACE_BOOL(k, v)                                                                 \
    ((struct trace_field){.key = (k), .is = TRACE_IS_BOOL, .boolean = (v)})
#define TRACE_STR(k, v) trace_field_text((k), (v)) /* NULL is "" */
#define TRACE_BYTES_STR(k, v)                                                            \
    ((struct trace_field){.key = (k), .is = TRACE_IS_TEXT, .bytes = (v)})
#define TRACE_HEX(k, p, n)                                                               \
    ((struct trace_field){                                                               \
        .key = (k), .is = TRACE_IS_HEX, .bytes = {(const uint8_t *)(p), (n)}})
#define TRACE_HASH(k, h) TRACE_HEX(k, (h)->b, sizeof(h)->b)
#define TRACE_MS(k, v) ((struct trace_field){.key = (k), .is = TRACE_IS_MS, .u64 = (v)})
#define TRACE_ERR(k, e) trace_field_text((k), err_word(e))
#define TRACE_ERRNO(k, number) trace_field_text((k), trace_errno_word(number))

/* Name of an errno ("ENOSPC"); "?" when unknown. Static text. */
const char *trace_errno_word(int number);

/* An event with at least one field; without one, trace_event. `level`, then a dotted
 * lower-case name that is a string literal (the rate limit knows it by its text). */
#define trace(level, event, ...)                                                         \
    do {                                                                                 \
        if (trace_enabled(level))                                                        \
            trace_fields((level), (event), (const struct trace_field[]){__VA_ARGS__},    \
                         sizeof((const struct trace_field[]){__VA_ARGS__}) /             \
                             sizeof(struct trace_field));                                \
    } while (0)
#define trace_event(level, event) trace_fields((level), (event), NULL, 0)

void trace_fields(enum trace_level level, const char *event,
                  const struct trace_field fields[], size_t count);

#endif
