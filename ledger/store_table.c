#include "ledger/store_table.h"

#include <stdlib.h>

static uint64_t mix(uint64_t v)
{
    v = (v ^ v >> 33) * UINT64_C(0xff51afd7ed558ccd);
    v = (v ^ v >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return v ^ v >> 33;
}

static size_t home(const struct table *t, uint64_t key)
{
    return (size_t)mix(key ^ t->seed) & (t->cells - 1);
}

bool table_init(struct table *t, uint64_t seed, size_t entries)
{
    size_t cells = 16;
    while (cells < 2 * entries)
        cells *= 2;
    *t = (struct table){seed, 0, cells, calloc(cells, sizeof(struct table_cell))};
    return t->cell != NULL;
}

void table_close(struct table *t)
{
    free(t->cell);
    *t = (struct table){0};
}

/* False when the pair was there already. */
static bool put(struct table *t, uint64_t key, uint64_t place)
{
    size_t at = home(t, key);
    for (; t->cell[at].place_plus_1 != 0; at = (at + 1) & (t->cells - 1))
        if (t->cell[at].key == key && t->cell[at].place_plus_1 == place + 1)
            return false;
    t->cell[at] = (struct table_cell){key, place + 1};
    return true;
}

bool table_add(struct table *t, uint64_t key, uint64_t place)
{
    if (2 * (t->count + 1) > t->cells) {
        struct table bigger;
        if (!table_init(&bigger, t->seed, t->cells))
            return false;
        for (size_t i = 0; i < t->cells; i++)
            if (t->cell[i].place_plus_1 != 0)
                (void)put(&bigger, t->cell[i].key, t->cell[i].place_plus_1 - 1);
        bigger.count = t->count;
        free(t->cell);
        *t = bigger;
    }
    if (put(t, key, place))
        t->count += 1;
    return true;
}

struct table_walk table_find(const struct table *t, uint64_t key)
{
    return (struct table_walk){home(t, key)};
}

bool table_next(const struct table *t, uint64_t key, struct table_walk *w,
                uint64_t *place)
{
    for (; t->cell[w->at].place_plus_1 != 0; w->at = (w->at + 1) & (t->cells - 1))
        if (t->cell[w->at].key == key) {
            *place = t->cell[w->at].place_plus_1 - 1;
            w->at = (w->at + 1) & (t->cells - 1);
            return true;
        }
    return false;
}

uint64_t table_account_key(uint64_t account_prefix, uint64_t position)
{
    return mix(account_prefix ^ mix(position + 1));
}
