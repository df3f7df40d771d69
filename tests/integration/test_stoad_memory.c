/* A hub in memory writes no file: every system call that opens or makes one is watched.
 * Skipped where strace is not there. */
#include "tests/integration/hub.h"

#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* A sanitizer opens files of its own, and does not work under strace. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

static bool have_strace(void)
{
    return access("/usr/bin/strace", X_OK) == 0;
}

static void check_line(const char *line)
{
    bool opens = strstr(line, "open") != NULL || strstr(line, "creat(") != NULL;
    bool writes = strstr(line, "O_WRONLY") || strstr(line, "O_RDWR") ||
                  strstr(line, "O_CREAT") || strstr(line, "O_TRUNC") ||
                  strstr(line, "creat(");
    bool harmless = strstr(line, "\"/dev/") != NULL || strstr(line, " ENOENT ") != NULL;
    if (opens && writes && !harmless)
        fail_msg("a hub in memory opened a file for writing: %s", line);
    if (strstr(line, "mkdir") || strstr(line, "rename") || strstr(line, "ftruncate") ||
        strstr(line, "memfd_create"))
        fail_msg("a hub in memory changed the disk: %s", line);
}

static void no_file_is_ever_written(void **state)
{
    static struct hubproc hub;
    static struct wirekit k;
    static char out[512], state_dir[512], line[4096];
    struct person p;
    struct wire_result r;
    struct stat s;
    (void)state;
    if (!have_strace() || SANITIZED)
        skip();
    assert_true(hubproc_open(&hub, true));
    hubproc_path(&hub, "strace.txt", out);
    hubproc_path(&hub, "state", state_dir);
    const char *const wrap[] = {"/usr/bin/strace",
                                "-D",
                                "-f",
                                "-qq",
                                "-o",
                                out,
                                "-e", /* -D: the hub is our child */
                                "trace=open,openat,creat,mkdir,mkdirat,rename,renameat,"
                                "renameat2,ftruncate,memfd_create",
                                NULL};
    memcpy(hub.wrap, wrap, sizeof(wrap));
    hub_start(&hub);
    assert_true(wirekit_open(&k, hub.port, NULL));
    open_account(&k, &p, 1);
    for (int i = 0; i < 50; i++) {
        person_note(&p, 500);
        assert_true(wirekit_submit_one(&k, person_bytes(&p), &r));
        assert_int_equal(r.code, 0);
    }
    usleep(1500000); /* past the second in which a mark would be written */
    person_free(&p);
    wirekit_close(&k);
    hubproc_signal(&hub, SIGTERM);
    assert_int_equal(hubproc_wait(&hub, 15000), 0);
    usleep(200000); /* strace ends after it */
    FILE *f = fopen(out, "r");
    assert_non_null(f);
    unsigned lines = 0;
    while (fgets(line, sizeof(line), f)) {
        check_line(line);
        lines++;
    }
    fclose(f);
    assert_true(lines > 10); /* it did watch */
    assert_int_equal(stat(state_dir, &s), -1);
    hubproc_close(&hub);
}

int main(void)
{
    if (!crypto_start())
        return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_file_is_ever_written)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
