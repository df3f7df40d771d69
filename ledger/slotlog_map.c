#include "ledger/slotlog_map.h"

#include <assert.h>
#include <string.h>

#define SLAB_ACCOUNTS 64
#define CELLS_MIN 256

struct slab {
    struct slab *older;
    size_t used;
    struct account accounts[SLAB_ACCOUNTS];
};

struct cell {
    uint64_t mix;
    struct account *account; /* NULL: empty */
};

struct account_map {
    const struct alloc *mem;
    uint64_t seed;
    size_t count;
    size_t cell_count; /* a power of two */
    struct cell *cells;
    struct slab *newest;
};

static uint64_t word(const struct hash *id, size_t at)
{
    uint64_t w;
    memcpy(&w, id->b + at, sizeof w);
    return w;
}

/* The finaliser of MurmurHash3: a bijection whose every output bit depends on every input
 * bit; keyed by what is mixed in before and between. */
static uint64_t scramble(uint64_t x)
{
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    x *= UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ x >> 33;
}

static uint64_t mix_of(const struct account_map *m, const struct hash *id)
{
    uint64_t x = scramble(word(id, 0) ^ m->seed);
    x = scramble((x ^ word(id, 8)) + m->seed);
    return scramble(x ^ word(id, 16) ^ word(id, 24));
}

struct account_map *account_map_open(const struct alloc *mem, uint64_t seed)
{
    struct account_map *m = mem->resize(mem->context, NULL, 0, sizeof *m);
    if (m == NULL)
        return NULL;
    *m = (struct account_map){.mem = mem, .seed = seed};
    return m;
}

void account_map_close(struct account_map *m)
{
    if (m == NULL)
        return;
    const struct alloc *mem = m->mem;
    while (m->newest != NULL) {
        struct slab *slab = m->newest;
        m->newest = slab->older;
        for (size_t i = 0; i < slab->used; i++)
            account_close(&slab->accounts[i]);
        mem->resize(mem->context, slab, sizeof *slab, 0);
    }
    if (m->cells != NULL)
        mem->resize(mem->context, m->cells, m->cell_count * sizeof *m->cells, 0);
    mem->resize(mem->context, m, sizeof *m, 0);
}

struct account *account_map_find(const struct account_map *m, const struct hash *id)
{
    if (m->cell_count == 0)
        return NULL;
    uint64_t mix = mix_of(m, id);
    size_t mask = m->cell_count - 1;
    for (size_t i = (size_t)mix & mask; m->cells[i].account != NULL; i = (i + 1) & mask)
        if (m->cells[i].mix == mix && hash_equal(&m->cells[i].account->id, id))
            return m->cells[i].account;
    return NULL;
}

static void put(struct cell cells[], size_t cell_count, struct cell c)
{
    size_t mask = cell_count - 1;
    size_t i = (size_t)c.mix & mask;
    while (cells[i].account != NULL)
        i = (i + 1) & mask;
    cells[i] = c;
}

/* At most half of the cells are taken, so that a search for what is not there is short.
 */
static bool make_cells(struct account_map *m)
{
    if ((m->count + 1) * 2 <= m->cell_count)
        return true;
    size_t cell_count = m->cell_count == 0 ? CELLS_MIN : m->cell_count * 2;
    size_t size = cell_count * sizeof(struct cell);
    struct cell *cells = m->mem->resize(m->mem->context, NULL, 0, size);
    if (cells == NULL)
        return false;
    memset(cells, 0, size);
    for (size_t i = 0; i < m->cell_count; i++)
        if (m->cells[i].account != NULL)
            put(cells, cell_count, m->cells[i]);
    if (m->cells != NULL)
        m->mem->resize(m->mem->context, m->cells, m->cell_count * sizeof *m->cells, 0);
    m->cells = cells;
    m->cell_count = cell_count;
    return true;
}

struct account *account_map_spare(struct account_map *m)
{
    if (!make_cells(m))
        return NULL;
    if (m->newest == NULL || m->newest->used == SLAB_ACCOUNTS) {
        struct slab *slab = m->mem->resize(m->mem->context, NULL, 0, sizeof *slab);
        if (slab == NULL)
            return NULL;
        slab->older = m->newest;
        slab->used = 0;
        m->newest = slab;
    }
    return &m->newest->accounts[m->newest->used];
}

void account_map_add(struct account_map *m)
{
    struct slab *slab = m->newest;
    assert(slab != NULL && slab->used < SLAB_ACCOUNTS);
    struct account *a = &slab->accounts[slab->used];
    slab->used++;
    m->count++;
    assert(m->count * 2 <= m->cell_count);
    put(m->cells, m->cell_count, (struct cell){.mix = mix_of(m, &a->id), .account = a});
}

struct account *account_map_newest(struct account_map *m)
{
    /* A slab is made for the account after a full one, so the newest may still be empty.
     */
    struct slab *slab = m->newest;
    if (slab != NULL && slab->used == 0)
        slab = slab->older;
    return slab == NULL ? NULL : &slab->accounts[slab->used - 1];
}

size_t account_map_count(const struct account_map *m)
{
    return m->count;
}

struct account_cursor account_map_begin(const struct account_map *m)
{
    return (struct account_cursor){.slab = m->newest};
}

struct account *account_map_next(struct account_cursor *c)
{
    /* The cursor only borrows; const is dropped for callers who may write. */
    struct slab *slab = (struct slab *)(uintptr_t)c->slab;
    while (slab != NULL && c->at == slab->used) {
        slab = slab->older;
        *c = (struct account_cursor){.slab = slab};
    }
    return slab == NULL ? NULL : &slab->accounts[c->at++];
}
