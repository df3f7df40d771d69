/* What a witness stored is what it finds; a swap that does not stand where it should, and a
 * second process, change nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "federation/witness_store.h"

static char dir[64], path[128], why[WITNESS_STORE_WHY_MAX];

static int start(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/stoa-witness-XXXXXX");
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof(path), "%s/" WITNESS_FILE, dir);
    return 0;
}

static int stop(void **state)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    char name[160];
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        snprintf(name, sizeof(name), "%s%s", path, ends[i]);
        unlink(name);
    }
    return rmdir(dir);
}

static struct hash h(uint8_t v)
{
    return (struct hash){{v}};
}

static struct witness_store *opened(void)
{
    struct witness_store *s;
    enum err e = witness_store_open(&s, path, why);
    if (e != ERR_OK)
        fail_msg("%s", why);
    return s;
}

static enum err swap(struct witness_store *s, const char *origin, uint64_t old, uint8_t root,
                     uint64_t size, uint8_t next)
{
    struct hash was = h(root);
    struct witness_row row = {.origin = origin,
                              .size = size,
                              .root = h(next),
                              .time = 1700000000 + size,
                              .note = bytes_of("note", 4)};
    return witness_store_swap(s, old, &was, &row);
}

struct seen {
    unsigned count;
    uint64_t size;
    uint8_t root;
};

static void look(void *context, const struct witness_row *row)
{
    struct seen *x = context;
    assert_string_equal(row->origin, "a");
    assert_int_equal(row->time, 1700000000 + row->size);
    assert_int_equal(row->note.size, 4);
    x->count++;
    x->size = row->size;
    x->root = row->root.b[0];
}

static struct seen stands(struct witness_store *s)
{
    struct seen x = {0, 0, 0};
    assert_int_equal(witness_store_each(s, look, &x), ERR_OK);
    return x;
}

static void only_from_where_it_stands(void **state)
{
    (void)state;
    struct witness_store *s = opened();
    assert_int_equal(stands(s).count, 0);
    assert_int_equal(swap(s, "a", 3, 0, 5, 5), ERR_LOST);
    assert_int_equal(swap(s, "a", 0, 0, 5, 5), ERR_OK);
    assert_int_equal(swap(s, "a", 0, 0, 6, 6), ERR_LOST);
    assert_int_equal(swap(s, "a", 5, 4, 6, 6), ERR_LOST); /* same size, another root */
    assert_int_equal(swap(s, "a", 5, 5, 9, 9), ERR_OK);
    assert_int_equal(stands(s).size, 9);
    witness_store_close(s);
    s = opened();
    struct seen x = stands(s);
    assert_int_equal(x.count, 1);
    assert_int_equal(x.size, 9);
    assert_int_equal(x.root, 9);
    assert_int_equal(swap(s, "a", 5, 5, 10, 10), ERR_LOST);
    witness_store_close(s);
}

static void a_second_process_waits_in_vain(void **state)
{
    struct witness_store *other;
    (void)state;
    struct witness_store *s = opened();
    assert_int_equal(witness_store_open(&other, path, why), ERR_LOCKED);
    assert_null(other);
    assert_non_null(strstr(why, "another process"));
    witness_store_close(s);
    s = opened();
    witness_store_close(s);
}

/* A child that is killed right after the swap said yes. */
static void a_yes_survives_kill(void **state)
{
    int status;
    (void)state;
    for (uint64_t size = 0; size < 40; size += 10) {
        pid_t pid = fork();
        if (pid == 0) {
            struct witness_store *s;
            if (witness_store_open(&s, path, why) == ERR_OK &&
                swap(s, "a", size, (uint8_t)size, size + 10, (uint8_t)(size + 10)) == ERR_OK)
                kill(getpid(), SIGKILL);
            _exit(1);
        }
        assert_true(pid > 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        struct witness_store *s = opened();
        assert_int_equal(stands(s).size, size + 10);
        witness_store_close(s);
    }
}

static enum err refuse(struct witness_store *s, uint64_t size, bool fork)
{
    struct witness_refusal r = {.origin = "a",
                                .size = size,
                                .root = h((uint8_t)size),
                                .time_ms = 5,
                                .fork = fork,
                                .ours = bytes_of("ours", 4),
                                .theirs = bytes_of("theirs", 6)};
    return witness_store_refuse(s, &r);
}

static void what_was_refused_is_kept_once_and_bounded(void **state)
{
    uint64_t count;
    (void)state;
    struct witness_store *s = opened();
    assert_int_equal(refuse(s, 1, true), ERR_OK);
    assert_int_equal(refuse(s, 1, true), ERR_EXISTS);
    for (uint64_t i = 2; i < 2 + WITNESS_REFUSED_MAX; i++)
        assert_int_equal(refuse(s, 1000 + i, false), ERR_OK);
    assert_int_equal(refuse(s, 999999, false), ERR_LIMIT);
    assert_int_equal(refuse(s, 2, true), ERR_OK); /* the room of forks is their own */
    assert_int_equal(witness_store_refused(s, "a", true, &count), ERR_OK);
    assert_int_equal(count, 2);
    assert_int_equal(swap(s, "a", 0, 0, 5, 5), ERR_OK);
    witness_store_close(s);
}

static void what_is_no_witness_file_is_refused(void **state)
{
    struct witness_store *s;
    (void)state;
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 100; i++)
        fputs("this is not a database at all\n", f);
    fclose(f);
    assert_int_equal(witness_store_open(&s, path, why), ERR_CORRUPT);
    assert_non_null(strstr(why, path));
    char nowhere[200];
    snprintf(nowhere, sizeof(nowhere), "%s/none/w.db", dir);
    assert_int_equal(witness_store_open(&s, nowhere, why), ERR_FILE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_from_where_it_stands, start, stop),
        cmocka_unit_test_setup_teardown(a_second_process_waits_in_vain, start, stop),
        cmocka_unit_test_setup_teardown(a_yes_survives_kill, start, stop),
        cmocka_unit_test_setup_teardown(what_was_refused_is_kept_once_and_bounded, start,
                                        stop),
        cmocka_unit_test_setup_teardown(what_is_no_witness_file_is_refused, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
