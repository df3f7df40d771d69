/* ledger/folder.c on a folder of its own. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger/folder.h"
#include "tests/unit/ledger/test.h"

static char root[] = "/tmp/stoa-folder-XXXXXX";
static char where[64];

static int make_root(void **state)
{
    (void)state;
    if (!mkdtemp(root))
        return -1;
    snprintf(where, sizeof(where), "%s/logs", root);
    return 0;
}

static int remove_root(void **state)
{
    (void)state;
    (void)rmdir(where);
    return rmdir(root);
}

static void put(struct folder *d, const char *path, const char *text, bool durable)
{
    char why[FOLDER_WHY_MAX] = "";
    assert_int_equal(folder_put(d, path, bytes_of(text, strlen(text)), durable, why), ERR_OK);
}

static void holds(const struct folder *d, const char *path, const char *text)
{
    struct buf b = {0};
    assert_int_equal(folder_read(d, path, 100, &b), ERR_OK);
    assert_int_equal(b.size, strlen(text));
    assert_memory_equal(b.data, text, b.size);
    buf_close(&b);
}

static bool is_there(const char *name)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/%s", where, name);
    return access(path, F_OK) == 0;
}

static void a_file_is_replaced_whole(void **state)
{
    (void)state;
    struct folder d;
    char why[FOLDER_WHY_MAX] = "";
    assert_int_equal(folder_open(&d, where, why), ERR_OK);
    put(&d, "log/00/checkpoint", "one", true);
    put(&d, "log/00/checkpoint", "the second", false);
    assert_int_equal(folder_sync(&d, why), ERR_OK);
    holds(&d, "log/00/checkpoint", "the second");
    put(&d, "plain", "", true);
    holds(&d, "plain", "");
    folder_remove(&d, "plain");
    folder_remove(&d, "plain");
    assert_false(is_there("plain"));
    assert_int_equal(folder_drop(&d, "log/00", NULL), 1);
    assert_int_equal(folder_drop(&d, "log", NULL), 0);
    folder_close(&d);
    assert_false(is_there("tmp"));
}

static void what_cannot_be_read_or_written_is_told(void **state)
{
    (void)state;
    struct folder d, other;
    struct buf b = {0};
    char why[FOLDER_WHY_MAX] = "", none[200];
    assert_int_equal(folder_open(&d, where, why), ERR_OK);
    assert_int_equal(folder_open(&other, where, why), ERR_LOCKED);
    assert_non_null(strstr(why, "another process writes there"));
    put(&d, "a/b", "12345", false);
    assert_int_equal(folder_read(&d, "a/none", 100, &b), ERR_NOT_FOUND);
    assert_int_equal(folder_read(&d, "a/b/c", 100, &b), ERR_NOT_FOUND);
    assert_int_equal(folder_read(&d, "a/b", 5, &b), ERR_OK);
    assert_int_equal(folder_read(&d, "a/b", 4, &b), ERR_TOO_LARGE);
    assert_int_equal(b.size, 0);
    assert_int_equal(folder_read(&d, "a", 100, &b), ERR_TOO_LARGE);
    /* A file where a folder should be, a folder where a file should be. */
    assert_int_equal(folder_put(&d, "a/b/c", bytes_of("x", 1), false, why), ERR_FILE);
    assert_non_null(strstr(why, "a/b/c: "));
    assert_int_equal(folder_put(&d, "a", bytes_of("x", 1), false, why), ERR_FILE);
    holds(&d, "a/b", "12345");
    assert_int_equal(folder_drop(&d, "tmp", NULL), 0); /* nothing stayed on its way */
    assert_int_equal(folder_drop(&d, "a", NULL), 1);
    buf_close(&b);
    folder_close(&d);
    folder_close(&d);
    snprintf(none, sizeof(none), "%s/none/logs", root);
    assert_int_equal(folder_open(&d, none, why), ERR_FILE);
    assert_non_null(strstr(why, "No such file"));
}

static void one_file_is_kept_and_links_are_not_followed(void **state)
{
    (void)state;
    struct folder d;
    char why[FOLDER_WHY_MAX] = "", link[200];
    assert_int_equal(folder_open(&d, where, why), ERR_OK);
    put(&d, "000.p/3", "three", false);
    put(&d, "000.p/7", "seven", false);
    put(&d, "000.p/9", "nine", false);
    assert_int_equal(folder_drop(&d, "000.p", "7"), 2);
    holds(&d, "000.p/7", "seven");
    snprintf(link, sizeof(link), "%s/link.p", where);
    assert_int_equal(symlink("000.p", link), 0);
    assert_int_equal(folder_drop(&d, "link.p", NULL), 0);
    holds(&d, "000.p/7", "seven");
    assert_int_equal(unlink(link), 0);
    assert_int_equal(folder_drop(&d, "000.p", NULL), 1);
    assert_false(is_there("000.p"));
    folder_close(&d);
}

static void what_a_killed_run_left_is_removed(void **state)
{
    (void)state;
    struct folder d;
    char why[FOLDER_WHY_MAX] = "", path[200];
    snprintf(path, sizeof(path), "%s/tmp", where);
    assert_true(mkdir(where, 0755) == 0 || errno == EEXIST);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(path, sizeof(path), "%s/tmp/12", where);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(folder_open(&d, where, why), ERR_OK);
    assert_false(is_there("tmp/12"));
    folder_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_replaced_whole),
        cmocka_unit_test(what_cannot_be_read_or_written_is_told),
        cmocka_unit_test(one_file_is_kept_and_links_are_not_followed),
        cmocka_unit_test(what_a_killed_run_left_is_removed),
    };
    return cmocka_run_group_tests_name("folder", tests, make_root, remove_root);
}
