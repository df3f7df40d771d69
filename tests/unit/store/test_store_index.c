/* The index file is a cache: whatever becomes of it, lookups are right after an open. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/sig.h"
#include "tests/conformance/suite.h"

static void shut(struct suite *s)
{
    if (s->reader != NULL)
        s->reader->ops->close(s->reader);
    if (s->store != NULL)
        s->store->ops->close(s->store);
    s->reader = NULL;
    s->store = NULL;
}

static void reopen(struct suite *s)
{
    struct store_why why;
    if (store_open(s->uri, &s->store, &why) != ERR_OK)
        fail_msg("open: %s", why.text);
    assert_int_equal(s->store->ops->reader_open(s->store, &s->reader), ERR_OK);
}

static void file(const struct suite *s, const char *suffix, char *out, size_t cap)
{
    suite_path(s, out, cap);
    strncat(out, suffix, cap - strlen(out) - 1);
}

static void copy(const char *from, const char *to)
{
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(in >= 0 && out >= 0);
    char room[65536];
    ssize_t got = 0;
    while ((got = read(in, room, sizeof room)) > 0)
        assert_int_equal(write(out, room, (size_t)got), got);
    close(in);
    close(out);
}

static void grow(struct suite *s, size_t records)
{
    for (uint32_t slot = 0; slot < SUITE_SLOTS; slot++)
        assert_int_equal(suite_append(s, slot, records), STORE_COMMITTED);
}

static void check(struct suite *s)
{
    for (uint32_t slot = 0; slot < SUITE_SLOTS; slot++)
        suite_check_lookups(s, slot, 13);
}

static void a_deleted_index_is_built_again(void **state)
{
    struct suite *s = *state;
    char index[600];
    file(s, "-index", index, sizeof index);
    grow(s, 300);
    shut(s);
    assert_int_equal(unlink(index), 0);
    reopen(s);
    check(s);
    grow(s, 10);
    check(s);
}

static void a_large_index_is_built_in_batches(void **state)
{
    struct suite *s = *state;
    char index[600];
    file(s, "-index", index, sizeof index);
    for (int i = 0; i < 18; i++)
        assert_int_equal(suite_append(s, 1 + (uint32_t)i % 2, 8192), STORE_COMMITTED);
    assert_int_equal(s->store->ops->maintain(s->store), ERR_OK);
    suite_check_lookups(s, 1, 4999);
    shut(s);
    assert_int_equal(unlink(index), 0);
    reopen(s);
    suite_check_lookups(s, 1, 4999);
    suite_check_lookups(s, 2, 4999);
}

/* More than memory holds while nobody calls maintain: append writes the index itself. */
static void memory_is_bounded_without_maintain(void **state)
{
    struct suite *s = *state;
    for (int i = 0; i < 150; i++)
        assert_int_equal(suite_append(s, 3, 8192), STORE_COMMITTED);
    for (uint64_t i = 0; i < suite_size(s, 3); i += 60007) {
        uint32_t slot = 0;
        uint64_t at = 0;
        assert_int_equal(
            s->reader->ops->find(s->reader, &s->slot[3].records[i].id, &slot, &at),
            ERR_OK);
        assert_int_equal(at, i);
    }
    for (int i = 0; i < 100; i++)
        assert_int_equal(s->store->ops->maintain(s->store), ERR_OK);
    suite_reopen(s);
    for (uint64_t i = 0; i < suite_size(s, 3); i += 30011) {
        uint32_t slot = 0;
        uint64_t at = 0;
        assert_int_equal(
            s->reader->ops->find(s->reader, &s->slot[3].records[i].id, &slot, &at),
            ERR_OK);
        assert_int_equal(at, i);
    }
}

static void an_older_copy_of_the_index_is_completed(void **state)
{
    struct suite *s = *state;
    char index[600], old[600];
    file(s, "-index", index, sizeof index);
    file(s, ".old", old, sizeof old);
    grow(s, 100);
    shut(s);
    copy(index, old);
    reopen(s);
    grow(s, 200);
    shut(s);
    copy(old, index);
    reopen(s);
    check(s);
}

static void an_index_ahead_of_its_ledger_is_dropped(void **state)
{
    struct suite *s = *state;
    char path[600], old[600];
    static struct feed_slot before[SUITE_SLOTS];
    suite_path(s, path, sizeof path);
    file(s, ".old", old, sizeof old);
    grow(s, 50);
    shut(s);
    copy(path, old);
    for (uint32_t i = 0; i < SUITE_SLOTS; i++)
        before[i] = s->slot[i].feed;
    reopen(s);
    grow(s, 60);
    shut(s);
    copy(old, path); /* a restored backup, with the index of what was lost */
    for (uint32_t i = 0; i < SUITE_SLOTS; i++) {
        for (uint64_t k = before[i].frontier.size; k < suite_size(s, i); k++)
            free((void *)(uintptr_t)s->slot[i].records[k].r.envelope.data);
        s->slot[i].feed = before[i];
        s->slot[i].item_count = 0;
    }
    reopen(s);
    check(s);
    grow(s, 90); /* another history of the same length and more */
    check(s);
    shut(s);
    reopen(s);
    check(s);
}

/* Two histories of one ledger, as long as each other: the index of one beside the other.
 */
static void an_index_of_another_history_is_dropped(void **state)
{
    struct suite *s = *state;
    char path[600], old[600], index[600], other[600];
    static struct feed_slot before[SUITE_SLOTS];
    suite_path(s, path, sizeof path);
    file(s, ".old", old, sizeof old);
    file(s, "-index", index, sizeof index);
    file(s, ".other", other, sizeof other);
    grow(s, 50);
    shut(s);
    copy(path, old);
    for (uint32_t i = 0; i < SUITE_SLOTS; i++)
        before[i] = s->slot[i].feed;
    reopen(s);
    grow(s, 60);
    shut(s);
    copy(index, other);
    copy(old, path);
    for (uint32_t i = 0; i < SUITE_SLOTS; i++) {
        for (uint64_t k = before[i].frontier.size; k < suite_size(s, i); k++)
            free((void *)(uintptr_t)s->slot[i].records[k].r.envelope.data);
        s->slot[i].feed = before[i];
    }
    reopen(s);
    grow(s, 70);
    shut(s);
    copy(other, index);
    reopen(s);
    check(s);
}

static void the_index_of_another_ledger_is_dropped(void **state)
{
    struct suite *s = *state, *t = NULL;
    void *second = NULL;
    char ours[600], theirs[600];
    suite_setup(&second);
    t = second;
    grow(s, 30);
    grow(t, 30);
    shut(s);
    shut(t);
    file(s, "-index", ours, sizeof ours);
    file(t, "-index", theirs, sizeof theirs);
    copy(theirs, ours);
    reopen(s);
    check(s);
    suite_teardown(&second);
}

/* Present entries are found, or the answer is "try again later"; never "not there". */
static unsigned look(struct suite *s)
{
    unsigned later = 0;
    for (uint32_t slot = 0; slot < SUITE_SLOTS; slot++)
        for (uint64_t i = 0; i < suite_size(s, slot); i += 3) {
            uint32_t at_slot = 0;
            uint64_t at = 0;
            enum err e = s->reader->ops->find(s->reader, &s->slot[slot].records[i].id,
                                              &at_slot, &at);
            assert_true(e == ERR_OK || e == ERR_STORE);
            if (e == ERR_OK)
                assert_true(at_slot == slot && at == i);
            later += e != ERR_OK;
        }
    return later;
}

static void a_damaged_index_is_told_and_built_again(void **state)
{
    struct suite *s = *state;
    char index[600], whole[600];
    struct stat st;
    uint64_t random = 4;
    unsigned later = 0;
    file(s, "-index", index, sizeof index);
    file(s, ".whole", whole, sizeof whole);
    grow(s, 200);
    shut(s);
    copy(index, whole);
    assert_int_equal(stat(whole, &st), 0);
    for (int round = 0; round < 60; round++) {
        copy(whole, index);
        if (round % 10 == 0) {
            assert_int_equal(truncate(index, st.st_size * round / 60), 0);
        } else {
            int fd = open(index, O_RDWR);
            for (int k = 0; k < 200; k++) {
                uint8_t byte = (uint8_t)feed_random(&random);
                off_t at = (off_t)(feed_random(&random) % (uint64_t)st.st_size);
                assert_int_equal(pwrite(fd, &byte, 1, round < 30 ? at : at % 8192), 1);
            }
            close(fd);
        }
        reopen(s);
        later += look(s);
        shut(s);
        reopen(s);
        assert_int_equal(look(s), 0);
        if (round % 20 == 0)
            check(s);
        shut(s);
    }
    assert_true(later > 0); /* else nothing was tried */
    reopen(s);
}

static void many_openings_make_many_runs_and_merges(void **state)
{
    struct suite *s = *state;
    for (int i = 0; i < 40; i++) {
        grow(s, 5);
        suite_reopen(s);
        if (i % 10 == 9) {
            for (int k = 0; k < 20; k++)
                assert_int_equal(s->store->ops->maintain(s->store), ERR_OK);
            check(s);
        }
    }
    suite_reopen(s);
    check(s);
}

int main(void)
{
    suite_kind = "sqlite";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_deleted_index_is_built_again, suite_setup,
                                        suite_teardown),
        cmocka_unit_test_setup_teardown(a_large_index_is_built_in_batches, suite_setup,
                                        suite_teardown),
        cmocka_unit_test_setup_teardown(memory_is_bounded_without_maintain, suite_setup,
                                        suite_teardown),
        cmocka_unit_test_setup_teardown(an_older_copy_of_the_index_is_completed,
                                        suite_setup, suite_teardown),
        cmocka_unit_test_setup_teardown(an_index_ahead_of_its_ledger_is_dropped,
                                        suite_setup, suite_teardown),
        cmocka_unit_test_setup_teardown(an_index_of_another_history_is_dropped,
                                        suite_setup, suite_teardown),
        cmocka_unit_test_setup_teardown(the_index_of_another_ledger_is_dropped,
                                        suite_setup, suite_teardown),
        cmocka_unit_test_setup_teardown(a_damaged_index_is_told_and_built_again,
                                        suite_setup, suite_teardown),
        cmocka_unit_test_setup_teardown(many_openings_make_many_runs_and_merges,
                                        suite_setup, suite_teardown),
    };
    return crypto_start() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
