/* Runs and merges against one sorted array. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/conformance/suite.h"
#include "ledger/store_sqlite.h"

struct fixture {
    char folder[64], path[128];
    sqlite3 *db;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    strcpy(f->folder, "/tmp/stoa-runs-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof f->path, "%s/runs", f->folder);
    assert_int_equal(sqlite3_open(f->path, &f->db), SQLITE_OK);
    assert_int_equal(
        sqlite_exec(f->db, "PRAGMA page_size=8192; PRAGMA journal_mode=WAL;" RUN_SCHEMA),
        ERR_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sqlite3_close(f->db);
    unlink(f->path);
    rmdir(f->folder);
    free(f);
    return 0;
}

static size_t width = RUN_ACCOUNT_BYTES;

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, width);
}

/* Few distinct prefixes, so that one key spans blocks and runs. */
static void random_entry(uint8_t *e, uint64_t *random, unsigned prefixes)
{
    uint64_t prefix = (feed_random(random) % prefixes) * UINT64_C(0x0123456789abcdef);
    be64_put(e, prefix);
    for (size_t i = 8; i < width; i++)
        e[i] = (uint8_t)feed_random(random);
}

struct collected {
    uint8_t *data;
    size_t count, cap;
};

static bool collect(void *context, const uint8_t *e)
{
    struct collected *c = context;
    if (c->count == c->cap) {
        c->cap = 2 * c->cap + 64;
        c->data = realloc(c->data, c->cap * width);
        assert_non_null(c->data);
    }
    memcpy(c->data + c->count++ * width, e, width);
    return true;
}

static void check(struct fixture *f, enum run_kind kind, const uint8_t *all, size_t count)
{
    struct run_reader r;
    uint64_t random = count;
    assert_int_equal(run_reader_open(&r, f->path), ERR_OK);
    for (int i = 0; i < 60; i++) {
        uint8_t from[RUN_ACCOUNT_BYTES] = {0}, to[RUN_ACCOUNT_BYTES];
        memcpy(from, all + feed_random(&random) % count * width, width);
        size_t key = i % 3 == 0 ? 8 : i % 3 == 1 ? 13 : 9;
        if (i % 7 == 0)
            from[0] ^= 0x40;
        memcpy(to, from, width);
        if (i % 2 == 0)
            to[7] |= 0x0f;
        struct collected got = {0};
        assert_int_equal(run_range(&r, kind, from, to, key, collect, &got), ERR_OK);
        qsort(got.data == NULL ? to : got.data, got.count, width, compare);
        size_t n = 0;
        for (size_t k = 0; k < count; k++) {
            const uint8_t *e = all + k * width;
            if (memcmp(e, from, key) < 0 || memcmp(e, to, key) > 0)
                continue;
            assert_true(n < got.count);
            assert_memory_equal(e, got.data + n * width, width);
            n += 1;
        }
        assert_int_equal(n, got.count);
        free(got.data);
    }
    run_reader_close(&r);
}

static void runs_of(struct fixture *f, enum run_kind kind, unsigned prefixes)
{
    enum { RUNS = 70, EACH = 1200 };
    width = run_width(kind);
    uint8_t *all = malloc((size_t)RUNS * EACH * width);
    uint64_t random = 11;
    size_t count = 0;
    struct merge *m = NULL;
    assert_non_null(all);
    for (int run = 0; run < RUNS; run++) {
        size_t n = 1 + feed_random(&random) % EACH;
        uint8_t *own = all + count * width;
        for (size_t i = 0; i < n; i++)
            random_entry(own + i * width, &random, prefixes);
        qsort(own, n, width, compare);
        assert_int_equal(sqlite_exec(f->db, "BEGIN"), ERR_OK);
        assert_int_equal(run_write(f->db, kind, own, n), ERR_OK);
        assert_int_equal(sqlite_exec(f->db, "COMMIT"), ERR_OK);
        count += n;
        bool more = true;
        while (more && run % 3 == 0)
            assert_int_equal(run_merge_step(f->db, &m, &more), ERR_OK);
        if (run % 23 == 22) {
            qsort(all, count, width, compare);
            check(f, kind, all, count);
        }
    }
    int64_t runs = 0, spare = 0;
    assert_int_equal(sqlite_pragma(f->db, "SELECT count(*) FROM run", &runs), ERR_OK);
    assert_true(runs < 2 * RUN_FANOUT + 3);
    assert_int_equal(sqlite_pragma(f->db,
                                   "SELECT count(*) FROM block WHERE key>>32 NOT IN"
                                   " (SELECT no FROM run)",
                                   &spare),
                     ERR_OK);
    assert_int_equal(spare, 0);
    run_merge_close(m);
    free(all);
}

static void entries_are_found_in_any_number_of_runs(void **state)
{
    runs_of(*state, RUN_ENTRY, 100000);
}

static void a_prefix_shared_by_many_is_found_whole(void **state)
{
    runs_of(*state, RUN_ACCOUNT, 3);
}

static void a_merge_that_was_cut_is_swept(void **state)
{
    struct fixture *f = *state;
    struct merge *m = NULL;
    bool more = false;
    width = RUN_ENTRY_BYTES;
    enum { EACH = 60000 };
    uint8_t *own = malloc((size_t)EACH * width);
    uint64_t random = 3;
    int64_t left = 0;
    for (int run = 0; run < RUN_FANOUT; run++) {
        for (size_t i = 0; i < EACH; i++)
            random_entry(own + i * width, &random, 1000000);
        qsort(own, EACH, width, compare);
        assert_int_equal(run_write(f->db, RUN_ENTRY, own, EACH), ERR_OK);
    }
    assert_int_equal(run_merge_step(f->db, &m, &more), ERR_OK);
    assert_true(more);
    assert_non_null(m); /* more than one step of work */
    run_merge_close(m);
    m = NULL;
    assert_int_equal(run_sweep(f->db), ERR_OK);
    assert_int_equal(sqlite_pragma(f->db, "SELECT count(*) FROM run", &left), ERR_OK);
    assert_int_equal(left, RUN_FANOUT);
    do
        assert_int_equal(run_merge_step(f->db, &m, &more), ERR_OK);
    while (more);
    assert_int_equal(sqlite_pragma(f->db, "SELECT entries FROM run", &left), ERR_OK);
    assert_int_equal(left, RUN_FANOUT * EACH);
    free(own);
}

static void damage_is_told_from_absence(void **state)
{
    struct fixture *f = *state;
    struct run_reader r;
    struct collected got = {0};
    width = RUN_ENTRY_BYTES;
    uint8_t own[3 * RUN_ENTRY_BYTES];
    uint64_t random = 8;
    for (size_t i = 0; i < 3; i++)
        random_entry(own + i * width, &random, 1000);
    qsort(own, 3, width, compare);
    assert_int_equal(run_write(f->db, RUN_ENTRY, own, 3), ERR_OK);
    static const char *const damage[] = {
        "UPDATE run SET blocks=0",
        "UPDATE run SET blocks=0, entries=0",
        "UPDATE run SET ready=0",
        "UPDATE run SET kind=1",
        "UPDATE run SET ready=1, kind=0, blocks=1, entries=2",
        "UPDATE run SET entries=3; UPDATE block SET data=substr(data,1,length(data)-1)",
        "UPDATE block SET sum=sum+1",
        "UPDATE block SET data=x''",
        "UPDATE block SET key=key+1",
        "DELETE FROM block",
    };
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        assert_int_equal(sqlite_exec(f->db, damage[i]), ERR_OK);
        assert_int_equal(run_reader_open(&r, f->path), ERR_OK);
        assert_int_equal(run_range(&r, RUN_ENTRY, own, own, 8, collect, &got),
                         ERR_CORRUPT);
        run_reader_close(&r);
    }
    free(got.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(entries_are_found_in_any_number_of_runs, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_prefix_shared_by_many_is_found_whole, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_merge_that_was_cut_is_swept, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_told_from_absence, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
