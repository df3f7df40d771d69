/* Readers beside a running writer and a running maintain: never a torn prefix. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tests/conformance/suite.h"

#define READERS 3
#define WRITER_ROUNDS 150
#define WRITER_SLOTS 4

struct shared {
    struct store *store;
    atomic_bool stop;
    atomic_uint_fast64_t answered[WRITER_SLOTS]; /* sizes the writer was told */
    atomic_uint failures, checks;
};

/* Leaves of [0, size) in one call, and what they hash to. */
struct prefix {
    struct frontier frontier;
    bool ok;
};

static bool add(void *context, const struct record *r, const struct hash *account)
{
    struct prefix *p = context;
    (void)account;
    struct hash leaf = record_leaf_hash(r);
    p->ok = p->ok && r->index == p->frontier.size && frontier_append(&p->frontier, &leaf);
    return p->ok;
}

static bool keep_index(void *context, const struct record *r, const struct hash *account)
{
    (void)account;
    *(uint64_t *)context = r->index;
    return true;
}

static bool check_prefix(struct shared *x, struct store_reader *r, uint32_t slot)
{
    uint64_t known = atomic_load(&x->answered[slot]);
    struct store_slot row, again;
    if (r->ops->slot(r, slot, &row) != ERR_OK || row.size < known)
        return false;
    struct prefix p = {.ok = true};
    if (r->ops->records(r, slot, 0, row.size, add, &p) != ERR_OK || !p.ok ||
        p.frontier.size != row.size)
        return false;
    struct hash edges[MERKLE_LEVELS_MAX];
    size_t count = frontier_edges(&p.frontier, edges);
    if (count != row.edge_count || memcmp(edges, row.edges, count * sizeof *edges) != 0)
        return false;
    return r->ops->slot(r, slot, &again) == ERR_OK && again.size >= row.size;
}

/* What a reader has seen committed it can read in every way. */
static bool check_lookup(struct store_reader *r, uint32_t slot, uint64_t *random)
{
    struct store_slot row;
    if (r->ops->slot(r, slot, &row) != ERR_OK)
        return false;
    if (row.size == 0)
        return true;
    struct hash out[TILE_HASHES];
    uint64_t n = (row.size - 1) / TILE_HASHES;
    if (r->ops->tile(r, slot, 0, n, tile_width(row.size, 0, n), out) != ERR_OK)
        return false;
    uint64_t index = feed_random(random) % row.size, found = UINT64_MAX;
    if (r->ops->records(r, slot, index, 1, keep_index, &found) != ERR_OK ||
        found != index)
        return false;
    struct hash account =
        feed_account(slot, SUITE_SLOTS, (unsigned)(feed_random(random) % FEED_ACCOUNTS));
    return r->ops->account(r, &account, 0, 10, keep_index, &found) == ERR_OK;
}

static void *reader(void *context)
{
    struct shared *x = context;
    struct store_reader *r = NULL;
    uint64_t random = (uint64_t)(uintptr_t)&r;
    if (x->store->ops->reader_open(x->store, &r) != ERR_OK) {
        atomic_fetch_add(&x->failures, 1);
        return NULL;
    }
    while (!atomic_load(&x->stop)) {
        uint32_t slot = (uint32_t)(feed_random(&random) % WRITER_SLOTS);
        if (!check_prefix(x, r, slot) || !check_lookup(r, slot, &random))
            atomic_fetch_add(&x->failures, 1);
        atomic_fetch_add(&x->checks, 1);
    }
    r->ops->close(r);
    return NULL;
}

static void *maintainer(void *context)
{
    struct shared *x = context;
    while (!atomic_load(&x->stop))
        if (x->store->ops->maintain(x->store) != ERR_OK)
            atomic_fetch_add(&x->failures, 1);
    return NULL;
}

/* What is committed is found at once through another handle. */
static void write_round(struct suite *s, struct shared *x, uint64_t *random)
{
    static struct feed_append f[WRITER_SLOTS];
    struct store_append a[WRITER_SLOTS];
    enum store_outcome outcome[WRITER_SLOTS];
    for (uint32_t i = 0; i < WRITER_SLOTS; i++) {
        suite_make(s, &f[i], i, 1 + feed_random(random) % 40);
        a[i] = f[i].a;
    }
    s->store->ops->append(s->store, a, WRITER_SLOTS, outcome);
    for (uint32_t i = 0; i < WRITER_SLOTS; i++) {
        assert_int_equal(outcome[i], STORE_COMMITTED);
        suite_commit(s, &f[i]);
        atomic_store(&x->answered[i], suite_size(s, i));
        uint32_t slot = 0;
        uint64_t index = 0;
        assert_int_equal(
            s->reader->ops->find(s->reader, &f[i].records[0].id, &slot, &index), ERR_OK);
        assert_int_equal(index, f[i].records[0].r.index);
        feed_close(&f[i]);
    }
}

static void readers_see_exactly_committed_prefixes(void **state)
{
    struct suite *s = *state;
    static struct shared x;
    memset(&x, 0, sizeof x);
    x.store = s->store;
    pthread_t threads[READERS + 1];
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader, &x), 0);
    assert_int_equal(pthread_create(&threads[READERS], NULL, maintainer, &x), 0);
    uint64_t random = 5;
    for (int i = 0; i < WRITER_ROUNDS; i++)
        write_round(s, &x, &random);
    while (atomic_load(&x.checks) < 50)
        ;
    atomic_store(&x.stop, true);
    for (size_t i = 0; i < READERS + 1; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&x.failures), 0);
    suite_check_all(s);
    for (uint32_t i = 0; i < WRITER_SLOTS; i++)
        suite_check_lookups(s, i, 11);
}

int suite_thread_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(readers_see_exactly_committed_prefixes,
                                        suite_setup, suite_teardown),
    };
    return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
