#include "relay/metrics_table.h"

#include <assert.h>

#include "federation/bus.h"
#include "ledger/trace.h"

#define WORDS(name, ...)                                                                 \
    static const char *const name##_words[] = {__VA_ARGS__};                             \
    static const char *name##_word(unsigned i)                                           \
    {                                                                                    \
        return name##_words[i];                                                          \
    }
#define WORD_COUNT(name) (sizeof name##_words / sizeof name##_words[0])

/* In the order of the enums in metrics.h. */
WORDS(kind, "read", "write")
WORDS(state, "starting", "serving", "draining", "stopped")
WORDS(verdict, "ok", "bad")
WORDS(op, "open", "append", "read", "snapshot", "sealed")
WORDS(queue, "verify", "sequence", "commit", "outbox")
WORDS(settle, "credit", "bounce")
WORDS(limit, "total", "address", "origin", "handshake", "rate", "inflight",
      "subscriptions", "queue", "rate_address", "rate_account", "tarpit", "memory")
WORDS(direction, "in", "out")
WORDS(scope, "local")
WORDS(transport, "websocket", "http")
WORDS(route, "hello", "submit", "subscribe", "fetch", "proof", "checkpoint", "head",
      "settlement", "sealed", "other", "http_log", "http_status", "http_metrics",
      "http_other", "http_witness")
WORDS(code, "ok", "refused", "failed")
WORDS(forward, "accepted", "refused", "busy", "unavailable", "own")
WORDS(link, "up", "down")
WORDS(taken, "orphan", "free")
WORDS(left, "lost", "given")
WORDS(witnessed, "cosigned", "malformed", "unsigned", "unknown", "conflict", "refused",
      "limited", "failed")
WORDS(busdrop, "down", "full")
#define HEARD_(why, verdict, word) word,
WORDS(busheard, BUS_WHY_LIST(HEARD_) "late")
#undef HEARD_
WORDS(source, "bus", "store")

_Static_assert(WORD_COUNT(state) == M_STATE_STOPPED + 1, "state");
_Static_assert(WORD_COUNT(op) == M_OP_SEALED + 1, "op");
_Static_assert(WORD_COUNT(queue) == M_QUEUE_OUTBOX + 1, "queue");
_Static_assert(WORD_COUNT(limit) == M_LIMIT_MEMORY + 1, "limit");
_Static_assert(WORD_COUNT(route) == M_ROUTE_HTTP_WITNESS + 1, "route");
_Static_assert(WORD_COUNT(witnessed) == M_WITNESSED_FAILED + 1, "witnessed");
_Static_assert(WORD_COUNT(busheard) == M_BUS_HEARD_LATE + 1, "busheard");
_Static_assert(WORD_COUNT(forward) == M_FORWARD_OWN + 1, "forward");
_Static_assert(WORD_COUNT(link) == M_LINK_DOWN + 1, "link");
_Static_assert(WORD_COUNT(taken) == M_TAKEN_FREE + 1, "taken");
_Static_assert(WORD_COUNT(left) == M_LEFT_GIVEN + 1, "left");
_Static_assert(WORD_COUNT(code) == M_CODE_FAILED + 1, "code");

/* Refusals, in table order: the words of the error table are the values of "reason". */
#define REFUSED_FIRST 101
#define REFUSED_LAST 199
#define IS_REFUSED_(name, number, word, retry, text)                                     \
    +((number) >= REFUSED_FIRST && (number) <= REFUSED_LAST)
enum { REASON_COUNT = 0 ERR_LIST(IS_REFUSED_) };
#undef IS_REFUSED_

static enum err reason_at(unsigned i)
{
    enum err e = ERR_OK;
    for (unsigned row = 0; err_row(row, &e); row++)
        if (e >= REFUSED_FIRST && e <= REFUSED_LAST && i-- == 0)
            break;
    return e;
}

static const char *reason_word(unsigned i)
{
    return err_word(reason_at(i));
}

unsigned metric_reason_index(enum err why)
{
    unsigned i = 0;
    enum err e;
    for (unsigned row = 0; err_row(row, &e); row++) {
        if (e == why)
            return e >= REFUSED_FIRST && e <= REFUSED_LAST ? i : REASON_COUNT;
        i += e >= REFUSED_FIRST && e <= REFUSED_LAST;
    }
    return REASON_COUNT;
}

static const char *level_word(unsigned i)
{
    return trace_level_word((enum trace_level)i);
}

static const struct metric_label label_NONE = {NULL, 1, NULL};
static const struct metric_label label_REASON = {"reason", REASON_COUNT, reason_word};
static const struct metric_label label_WITNESS = {"witness", METRIC_WITNESSES_MAX,
                                                  NULL};
static const struct metric_label label_LEVEL = {"level", TRACE_LEVELS, level_word};
#define LABEL(LABEL_ID, text, name)                                                      \
    static const struct metric_label label_##LABEL_ID = {text, WORD_COUNT(name),         \
                                                         name##_word};
LABEL(KIND, "kind", kind)
LABEL(STATE, "state", state)
LABEL(VERDICT, "result", verdict)
LABEL(OP, "op", op)
LABEL(QUEUE, "queue", queue)
LABEL(SETTLE, "how", settle)
LABEL(LIMIT, "limit", limit)
LABEL(DIRECTION, "direction", direction)
LABEL(SCOPE, "scope", scope)
LABEL(TRANSPORT, "transport", transport)
LABEL(ROUTE, "route", route)
LABEL(CODE, "code", code)
LABEL(WITNESSED, "result", witnessed)
LABEL(FORWARD, "result", forward)
LABEL(LINK, "state", link)
LABEL(TAKEN, "found", taken)
LABEL(LEFT, "how", left)
LABEL(BUSDROP, "reason", busdrop)
LABEL(BUSHEARD, "result", busheard)
LABEL(SOURCE, "source", source)

#define ROW(id, kind, name, a, b, unit, help)                                            \
    [id] = {KIND_##kind, UNIT_##unit, name, help, &label_##a, &label_##b},
const struct metric_row metric_rows[METRIC_COUNT] = {METRIC_LIST(ROW)};
#undef ROW

/* 100 us .. 10 s, and 1 .. 4096 things. */
static const uint64_t bounds_us[] = {100,     250,     500,     1000,    2500,   5000,
                                     10000,   25000,   50000,   100000,  250000, 500000,
                                     1000000, 2500000, 5000000, 10000000};
static const uint64_t bounds_one[] = {1,   2,   4,   8,    16,   32,  64,
                                      128, 256, 512, 1024, 2048, 4096};

const uint64_t *metric_bounds(enum metric_unit unit, size_t *count)
{
    if (unit == UNIT_US) {
        *count = sizeof bounds_us / sizeof bounds_us[0];
        return bounds_us;
    }
    assert(unit == UNIT_ONE);
    *count = sizeof bounds_one / sizeof bounds_one[0];
    return bounds_one;
}

size_t metric_cells_each(const struct metric_row *row)
{
    size_t bounds = 0;
    if (row->kind != KIND_HISTOGRAM)
        return 1;
    metric_bounds(row->unit, &bounds);
    return bounds + 2;
}

size_t metric_combinations(const struct metric_row *row)
{
    return (size_t)row->a->count * row->b->count;
}
