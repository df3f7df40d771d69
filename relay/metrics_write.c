#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ledger/trace.h"
#include "relay/metrics.h"
#include "relay/metrics_table.h"

#define LINE_BYTES_MAX 512
#define LABELS_BYTES_MAX 160
#define NUMBER_BYTES_MAX 40

static const char *const kind_words[] = {"counter", "gauge", "histogram"};

bool metrics_put(struct buf *out, const char *format, ...)
{
    char line[LINE_BYTES_MAX];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    return n >= 0 && (size_t)n < sizeof line && buf_add(out, line, (size_t)n);
}

/* An integer in its unit as a decimal number of seconds or things; exact. */
static void format_value(char *out, enum metric_unit unit, int64_t v)
{
    const int64_t one = unit == UNIT_US ? 1000000 : unit == UNIT_MS ? 1000 : 1;
    const int digits = unit == UNIT_US ? 6 : unit == UNIT_MS ? 3 : 0;
    if (digits == 0 || v % one == 0) {
        snprintf(out, NUMBER_BYTES_MAX, "%" PRId64, v / one);
        return;
    }
    int64_t rest = v % one < 0 ? -(v % one) : v % one;
    int n = snprintf(out, NUMBER_BYTES_MAX, "%s%" PRId64 ".%0*" PRId64,
                     v < 0 && v / one == 0 ? "-" : "", v / one, digits, rest);
    while (n > 0 && out[n - 1] == '0')
        out[--n] = '\0';
}

/* `a="x",b="y"` of a combination, "" when the metric has no labels. */
static void format_labels(char *out, const struct metrics *m,
                          const struct metric_row *row, unsigned a, unsigned b)
{
    out[0] = '\0';
    if (row->a->name)
        snprintf(out, LABELS_BYTES_MAX, "%s=\"%s\"", row->a->name,
                 row->a->word ? row->a->word(a) : m->witness[a]);
    if (row->b->name) {
        size_t n = strlen(out);
        snprintf(out + n, LABELS_BYTES_MAX - n, ",%s=\"%s\"", row->b->name,
                 row->b->word(b));
    }
}

static uint64_t load(const struct metrics *m, size_t at)
{
    return atomic_load_explicit(&m->cells[at], memory_order_relaxed);
}

static bool put_histogram(struct buf *out, const struct metrics *m,
                          const struct metric_row *row, size_t at, const char *labels)
{
    size_t count;
    const uint64_t *bounds = metric_bounds(row->unit, &count);
    const char *comma = labels[0] ? "," : "";
    char number[NUMBER_BYTES_MAX];
    uint64_t seen = 0;
    for (size_t i = 0; i < count; i++) {
        seen += load(m, at + i);
        format_value(number, row->unit, (int64_t)bounds[i]);
        if (!metrics_put(out, METRIC_PREFIX "%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n",
                         row->name, labels, comma, number, seen))
            return false;
    }
    seen += load(m, at + count);
    format_value(number, row->unit, (int64_t)load(m, at + count + 1));
    const char *open = labels[0] ? "{" : "";
    const char *close = labels[0] ? "}" : "";
    return metrics_put(out, METRIC_PREFIX "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n",
                       row->name, labels, comma, seen) &&
           metrics_put(out, METRIC_PREFIX "%s_sum%s%s%s %s\n", row->name, open, labels,
                       close, number) &&
           metrics_put(out, METRIC_PREFIX "%s_count%s%s%s %" PRIu64 "\n", row->name, open,
                       labels, close, seen);
}

static bool put_scalar(struct buf *out, const struct metric_row *row, uint64_t v,
                       const char *labels)
{
    char number[NUMBER_BYTES_MAX];
    if (row->kind == KIND_COUNTER)
        snprintf(number, sizeof number, "%" PRIu64, v);
    else
        format_value(number, row->unit, (int64_t)v);
    return metrics_put(out, METRIC_PREFIX "%s%s%s%s %s\n", row->name,
                       labels[0] ? "{" : "", labels, labels[0] ? "}" : "", number);
}

/* A histogram that has labels is shown from its first observation on: fourteen routes
 * times three codes would be mostly zeros. */
static bool put_combination(struct buf *out, const struct metrics *m, enum metric id,
                            unsigned a, unsigned b)
{
    const struct metric_row *row = &metric_rows[id];
    size_t at = m->start[id] + ((size_t)a * row->b->count + b) * metric_cells_each(row);
    char labels[LABELS_BYTES_MAX];
    if (!row->a->word && row->a->name && a >= m->witnesses)
        return true;
    format_labels(labels, m, row, a, b);
    if (row->kind == KIND_HISTOGRAM) {
        if (labels[0] && metrics_value(m, id, METRIC_PAIR(a, b)) == 0)
            return true;
        return put_histogram(out, m, row, at, labels);
    }
    uint64_t v = id == METRIC_TRACE ? trace_count((enum trace_level)a) : load(m, at);
    return put_scalar(out, row, v, labels);
}

static bool put_metric(struct buf *out, const struct metrics *m, enum metric id)
{
    const struct metric_row *row = &metric_rows[id];
    if (!metrics_put(out,
                     "# HELP " METRIC_PREFIX "%s %s\n# TYPE " METRIC_PREFIX "%s %s\n",
                     row->name, row->help, row->name, kind_words[row->kind]))
        return false;
    for (unsigned a = 0; a < row->a->count; a++)
        for (unsigned b = 0; b < row->b->count; b++)
            if (!put_combination(out, m, id, a, b))
                return false;
    return true;
}

bool metrics_write(const struct metrics *m, struct buf *out)
{
    if (!metrics_put(out,
                     "# HELP " METRIC_PREFIX "build_info always 1\n"
                     "# TYPE " METRIC_PREFIX "build_info gauge\n" METRIC_PREFIX
                     "build_info{version=\"%s\",schema=\"%u\",wire=\"%u\"} 1\n",
                     STOA_VERSION, m->schema, m->wire))
        return false;
    for (unsigned id = 0; id < METRIC_COUNT; id++)
        if (!put_metric(out, m, (enum metric)id))
            return false;
    return metrics_put_process(out);
}

void metrics_list(FILE *out)
{
    fprintf(out, "%-52s %-10s %-14s %s\n", METRIC_PREFIX "build_info", "gauge",
            "version,schema,wire", "always 1");
    for (unsigned id = 0; id < METRIC_COUNT; id++) {
        const struct metric_row *row = &metric_rows[id];
        char labels[LABELS_BYTES_MAX];
        snprintf(labels, sizeof labels, "%s%s%s", row->a->name ? row->a->name : "-",
                 row->b->name ? "," : "", row->b->name ? row->b->name : "");
        char name[LABELS_BYTES_MAX];
        snprintf(name, sizeof name, METRIC_PREFIX "%s", row->name);
        fprintf(out, "%-52s %-10s %-14s %s\n", name, kind_words[row->kind], labels,
                row->help);
    }
    fprintf(out, "%-52s %-10s %-14s %s\n", "process_*", "-", "-",
            "the standard set: cpu, memory, descriptors, start time, threads");
}
