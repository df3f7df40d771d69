/* A disk that is really full: a small tmpfs, where one may be mounted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/sig.h"
#include "tests/conformance/suite.h"

struct mounted {
    char folder[64];
    struct suite *s;
};

static int setup(void **state)
{
    struct mounted *m = calloc(1, sizeof *m);
    strcpy(m->folder, "/tmp/stoa-full-XXXXXX");
    assert_non_null(mkdtemp(m->folder));
    *state = m;
    if (mount("tmpfs", m->folder, "tmpfs", 0, "size=12m") != 0)
        return 0;
    setenv("TMPDIR", m->folder, 1);
    void *inner = NULL;
    suite_setup(&inner);
    m->s = inner;
    return 0;
}

static int teardown(void **state)
{
    struct mounted *m = *state;
    void *inner = m->s;
    if (m->s != NULL) {
        suite_teardown(&inner);
        (void)umount2(m->folder, MNT_DETACH);
    }
    rmdir(m->folder);
    free(m);
    return 0;
}

static void hog(const struct suite *s, bool take)
{
    char path[400];
    snprintf(path, sizeof path, "%s/hog", s->folder);
    if (!take) {
        assert_int_equal(unlink(path), 0);
        return;
    }
    static const uint8_t zeros[65536];
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    while (write(fd, zeros, sizeof zeros) > 0)
        ;
    while (write(fd, zeros, 512) > 0)
        ;
    close(fd);
}

static void a_full_disk_is_a_clean_rollback(void **state)
{
    struct mounted *m = *state;
    if (m->s == NULL) {
        print_message("no tmpfs may be mounted here\n");
        skip();
    }
    struct suite *s = m->s;
    assert_int_equal(suite_append(s, 0, 100), STORE_COMMITTED);
    for (int round = 0; round < 3; round++) {
        hog(s, true);
        enum store_outcome outcome = STORE_COMMITTED;
        for (int i = 0; i < 200 && outcome == STORE_COMMITTED; i++)
            outcome = suite_append(s, (uint32_t)i % SUITE_SLOTS, 100);
        assert_int_equal(outcome, STORE_FULL);
        enum err e = s->store->ops->maintain(s->store);
        assert_true(e == ERR_OK || e == ERR_STORE_FULL);
        assert_int_equal(suite_append(s, 1, 100), STORE_FULL);
        suite_check_all(s); /* reads go on */
        hog(s, false);
        assert_int_equal(suite_append(s, 1, 10), STORE_COMMITTED);
        suite_check_all(s);
    }
    hog(s, true);
    /* Opening needs no room for the ledger's sake; the index is written when there is. */
    hog(s, false);
    suite_reopen(s);
    suite_check_all(s);
    for (uint32_t i = 0; i < 3; i++)
        suite_check_lookups(s, i, 7);
}

int main(void)
{
    suite_kind = "sqlite";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_full_disk_is_a_clean_rollback, setup, teardown),
    };
    return crypto_start() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
