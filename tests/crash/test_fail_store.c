/* The n-th allocation (ours and SQLite's), write and sync fail while a store is opened, appends
 * and is housekept, n = 1, 2, 3.. until all goes through. Nothing crashes or leaks; an append
 * that says anything but COMMITTED left the slot as it was or, when it does not know, whole; after
 * a failed sync the store is broken and stays so. */
#include "tests/conformance/suite.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/sig.h"
#include "tests/crash/fail_alloc.h"
#include "tests/crash/power.h"

#define RECORDS 20
#define ALL_UP_TO 150 /* from there on one in STRIDE */
#define STRIDE 61
#define ROUNDS_MAX 100000

/* ---- allocations ---- */

static sqlite3_mem_methods usual;

static void *sqlite_malloc(int size)
{
    return fail_alloc_now() ? NULL : usual.xMalloc(size);
}

static void *sqlite_realloc(void *p, int size)
{
    return fail_alloc_now() ? NULL : usual.xRealloc(p, size);
}

static bool take_allocations(void)
{
    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &usual) != SQLITE_OK)
        return false;
    sqlite3_mem_methods ours = usual;
    ours.xMalloc = sqlite_malloc;
    ours.xRealloc = sqlite_realloc;
    return sqlite3_config(SQLITE_CONFIG_MALLOC, &ours) == SQLITE_OK;
}

/* ---- one failure at a time ---- */

enum what { WHAT_MEMORY, WHAT_WRITE, WHAT_SYNC };

static void arm(enum what what, long n)
{
    fail_alloc_arm(what == WHAT_MEMORY ? n : 0);
    power_fail_nth(what == WHAT_WRITE  ? POWER_FAULT_WRITE
                   : what == WHAT_SYNC ? POWER_FAULT_SYNC
                                       : POWER_FAULT_NONE,
                   (uint64_t)n);
}

static bool disarm(void)
{
    bool was = fail_alloc_disarm() || power_failed();
    power_fail_nth(POWER_FAULT_NONE, 0);
    return was;
}

static void shut(struct suite *s)
{
    if (s->reader != NULL)
        s->reader->ops->close(s->reader);
    if (s->store != NULL)
        s->store->ops->close(s->store);
    s->reader = NULL;
    s->store = NULL;
}

static void open_again(struct suite *s)
{
    struct store_why why = {""};
    shut(s);
    if (store_open(s->uri, &s->store, &why) != ERR_OK)
        fail_msg("does not open: %s", why.text);
    assert_int_equal(s->store->ops->reader_open(s->store, &s->reader), ERR_OK);
}

static void opening(struct suite *s, enum what what)
{
    for (long n = 1; n < ROUNDS_MAX; n += n < ALL_UP_TO ? 1 : STRIDE) {
        struct store_why why = {""};
        shut(s);
        arm(what, n);
        enum err e = store_open(s->uri, &s->store, &why);
        if (e == ERR_OK)
            e = s->store->ops->reader_open(s->store, &s->reader);
        bool failed = disarm();
        if (e != ERR_OK)
            assert_true(failed);
        if (!failed) {
            print_message("          open: %ld failures\n", n - 1);
            break;
        }
    }
    open_again(s);
    suite_check_all(s);
}

/* The slot is as it was, or has all of `f`; which it is, the store says itself. */
static void follow(struct suite *s, const struct feed_append *f, enum store_outcome said)
{
    struct store_slot at;
    if (said == STORE_BROKEN || s->store->ops->slot(s->store, f->a.slot, &at) != ERR_OK) {
        open_again(s);
        assert_int_equal(s->store->ops->slot(s->store, f->a.slot, &at), ERR_OK);
    }
    bool whole = at.size == f->a.old_size + f->a.record_count;
    assert_true(whole || at.size == f->a.old_size);
    if (said == STORE_COMMITTED)
        assert_true(whole);
    if (said == STORE_FULL || said == STORE_LOST)
        assert_false(whole);
    if (whole)
        suite_commit(s, f);
}

static void appending(struct suite *s, enum what what)
{
    for (long n = 1; n < ROUNDS_MAX; n += n < ALL_UP_TO ? 1 : STRIDE) {
        struct feed_append f;
        enum store_outcome said = STORE_UNKNOWN;
        uint32_t slot = (uint32_t)n % SUITE_SLOTS;
        suite_make(s, &f, slot, RECORDS);
        arm(what, n);
        s->store->ops->append(s->store, &f.a, 1, &said);
        bool failed = disarm();
        if (what == WHAT_SYNC && failed) {
            assert_int_equal(said, STORE_BROKEN);
            struct feed_append again = f;
            s->store->ops->append(s->store, &again.a, 1, &said);
            assert_int_equal(said, STORE_BROKEN);
        }
        follow(s, &f, said);
        feed_close(&f);
        if (n % 16 == 0)
            suite_check_slot(s, slot);
        if (failed)
            continue;
        assert_int_equal(said, STORE_COMMITTED);
        print_message("          append: %ld failures\n", n - 1);
        break;
    }
    open_again(s);
    suite_check_all(s);
}

static void housekeeping(struct suite *s, enum what what)
{
    struct hash id = hash_sha256("attachment", 10);
    for (long n = 1; n < ROUNDS_MAX; n += n < ALL_UP_TO ? 1 : STRIDE) {
        assert_int_equal(suite_append(s, 1, RECORDS), STORE_COMMITTED);
        struct store_ops const *ops = s->store->ops;
        /* So that the WAL is emptied. */
        assert_int_equal(ops->sealed_put(s->store, &id, bytes_of(id.b, 32)), ERR_OK);
        assert_int_equal(ops->sealed_erase(s->store, &id), ERR_OK);
        arm(what, n);
        enum err e = ops->maintain(s->store);
        bool failed = disarm();
        if (failed && what == WHAT_SYNC)
            assert_int_equal(e, ERR_IO);
        if (e != ERR_OK) {
            assert_true(failed);
            open_again(s);
        }
        if (!failed) {
            print_message("          maintain: %ld failures\n", n - 1);
            break;
        }
    }
    open_again(s);
    suite_check_all(s);
}

static void all_of(void **state, enum what what)
{
    struct suite *s = *state;
    for (uint32_t slot = 0; slot < SUITE_SLOTS; slot++)
        assert_int_equal(suite_append(s, slot, 3), STORE_COMMITTED);
    opening(s, what);
    appending(s, what);
    housekeeping(s, what);
}

static void each_allocation_fails_once(void **state)
{
    all_of(state, WHAT_MEMORY);
}

static void each_write_fails_once(void **state)
{
    all_of(state, WHAT_WRITE);
}

static void each_sync_fails_once(void **state)
{
    all_of(state, WHAT_SYNC);
}

static int put_away(void **state)
{
    int code = suite_teardown(state);
    power_forget();
    return code;
}

int main(void)
{
    suite_kind = "sqlite";
    if (!take_allocations() || !crypto_start() || !power_install())
        return 1;
#define TEST(name) cmocka_unit_test_setup_teardown(name, suite_setup, put_away)
    const struct CMUnitTest tests[] = {
        TEST(each_allocation_fails_once),
        TEST(each_write_fails_once),
        TEST(each_sync_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
