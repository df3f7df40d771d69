#include "relay/metrics.h"

#include <assert.h>
#include <stdlib.h>

#include "relay/metrics_table.h"

struct metrics *metrics_open(unsigned schema, unsigned wire)
{
    size_t cells = 0;
    for (unsigned id = 0; id < METRIC_COUNT; id++)
        cells +=
            metric_combinations(&metric_rows[id]) * metric_cells_each(&metric_rows[id]);
    struct metrics *m = calloc(1, sizeof *m + cells * sizeof m->cells[0]);
    if (!m)
        return NULL;
    m->schema = schema;
    m->wire = wire;
    size_t at = 0;
    for (unsigned id = 0; id < METRIC_COUNT; id++) {
        m->start[id] = at;
        at += metric_combinations(&metric_rows[id]) * metric_cells_each(&metric_rows[id]);
    }
    metrics_state(m, M_STATE_STARTING);
    metrics_set(m, METRIC_GENERATION, 0, 1);
    metrics_set(m, METRIC_RELOAD_OK, 0, 1);
    return m;
}

void metrics_close(struct metrics *m)
{
    free(m);
}

void metrics_name_witness(struct metrics *m, unsigned number, const char *name)
{
    assert(number < METRIC_WITNESSES_MAX);
    char *out = m->witness[number];
    size_t i = 0;
    for (; name[i] && i < METRIC_WITNESS_NAME_MAX; i++)
        out[i] = (char)(name[i] == '"' || name[i] == '\\' ? '_' : name[i]);
    out[i] = 0;
    if (number >= m->witnesses)
        m->witnesses = number + 1;
}

/* Index of the first cell of a label combination. */
static size_t cell_of(const struct metrics *m, enum metric id, unsigned label)
{
    assert(id < METRIC_COUNT);
    const struct metric_row *row = &metric_rows[id];
    unsigned a = label & 0xffff;
    unsigned b = label >> 16;
    assert(a < row->a->count && b < row->b->count);
    return m->start[id] + ((size_t)a * row->b->count + b) * metric_cells_each(row);
}

static void add(_Atomic uint64_t *cell, uint64_t n)
{
    atomic_fetch_add_explicit(cell, n, memory_order_relaxed);
}

void metrics_count(struct metrics *m, enum metric id, unsigned label, uint64_t n)
{
    if (!m)
        return;
    assert(metric_rows[id].kind == KIND_COUNTER);
    add(&m->cells[cell_of(m, id, label)], n);
}

void metrics_reject(struct metrics *m, enum err why)
{
    unsigned i = metric_reason_index(why);
    if (i < metric_rows[METRIC_REJECTED].a->count)
        metrics_count(m, METRIC_REJECTED, i, 1);
}

void metrics_set(struct metrics *m, enum metric id, unsigned label, int64_t v)
{
    if (!m)
        return;
    assert(metric_rows[id].kind == KIND_GAUGE);
    atomic_store_explicit(&m->cells[cell_of(m, id, label)], (uint64_t)v,
                          memory_order_relaxed);
}

void metrics_change(struct metrics *m, enum metric id, unsigned label, int64_t by)
{
    if (!m)
        return;
    assert(metric_rows[id].kind == KIND_GAUGE);
    add(&m->cells[cell_of(m, id, label)], (uint64_t)by);
}

void metrics_state(struct metrics *m, enum metric_state state)
{
    for (unsigned i = 0; i <= M_STATE_STOPPED; i++)
        metrics_set(m, METRIC_HUB_STATE, i, i == (unsigned)state);
}

/* Cells of a histogram: one a bucket (not cumulative), the endless one, the sum. */
void metrics_observe(struct metrics *m, enum metric id, unsigned label, uint64_t v)
{
    if (!m)
        return;
    const struct metric_row *row = &metric_rows[id];
    assert(row->kind == KIND_HISTOGRAM);
    size_t count;
    const uint64_t *bounds = metric_bounds(row->unit, &count);
    size_t bucket = 0;
    while (bucket < count && v > bounds[bucket])
        bucket++;
    size_t at = cell_of(m, id, label);
    add(&m->cells[at + bucket], 1);
    add(&m->cells[at + count + 1], v);
}

uint64_t metrics_sum(const struct metrics *m, enum metric id, unsigned label)
{
    const struct metric_row *row = &metric_rows[id];
    assert(row->kind == KIND_HISTOGRAM);
    return atomic_load_explicit(&m->cells[cell_of(m, id, label) + metric_cells_each(row) - 1],
                                memory_order_relaxed);
}

int64_t metrics_value(const struct metrics *m, enum metric id, unsigned label)
{
    const struct metric_row *row = &metric_rows[id];
    size_t at = cell_of(m, id, label);
    size_t cells = metric_cells_each(row);
    uint64_t sum = 0;
    for (size_t i = 0; i < (cells == 1 ? 1 : cells - 1); i++)
        sum += atomic_load_explicit(&m->cells[at + i], memory_order_relaxed);
    return (int64_t)sum;
}
