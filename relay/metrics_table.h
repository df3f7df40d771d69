/* The rows of METRIC_LIST as data: words, labels, units, and where a metric's cells are.
 * Used by metrics*.c only. */
#ifndef RELAY_METRICS_TABLE_H
#define RELAY_METRICS_TABLE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/metrics.h"

#define METRIC_BUCKETS_MAX 20
#define METRIC_PREFIX "stoa_"

enum metric_kind { KIND_COUNTER, KIND_GAUGE, KIND_HISTOGRAM };
enum metric_unit { UNIT_ONE, UNIT_US, UNIT_MS };

/* The values of one label. NONE has one value and no name. `word` NULL: values are named at
 * the start, by metrics_name_witness. */
struct metric_label {
    const char *name;
    unsigned count;
    const char *(*word)(unsigned i);
};

struct metric_row {
    enum metric_kind kind;
    enum metric_unit unit;
    const char *name; /* without prefix */
    const char *help;
    const struct metric_label *a;
    const struct metric_label *b;
};

extern const struct metric_row metric_rows[METRIC_COUNT];
/* Index of a refusal among the values of the label "reason"; its count when it has none.
 */
unsigned metric_reason_index(enum err why);

/* Upper bounds of the buckets of a unit, ascending; the last, endless one is not in it.
 */
const uint64_t *metric_bounds(enum metric_unit unit, size_t *count);
/* 64-bit cells of one label combination: 1, or the buckets, the endless one, and the sum.
 */
size_t metric_cells_each(const struct metric_row *row);
size_t metric_combinations(const struct metric_row *row);

struct metrics {
    unsigned schema;
    unsigned wire;
    unsigned witnesses; /* how many have a name */
    char witness[METRIC_WITNESSES_MAX][METRIC_WITNESS_NAME_MAX + 1];
    size_t start[METRIC_COUNT]; /* first cell of a metric */
    _Atomic uint64_t cells[];
};

/* The standard process_* set, read from the system now; false when memory is out. */
bool metrics_put_process(struct buf *out);
/* Append formatted text; false when memory is out. */
bool metrics_put(struct buf *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
