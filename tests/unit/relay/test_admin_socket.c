/* The operator's socket: who may listen and ask there, and how much is read for how long. */
#include "tests/unit/relay/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "relay/admin_socket.h"
#include "relay/clock.h"

#define SOON_MS 60u
#define LONG_MS 5000u

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/stoa-admin-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    return rmdir(dir);
}

static void path_of(char out[200], const char *name)
{
    snprintf(out, 200, "%s/%s", dir, name);
}

static void who_listens_is_alone_and_only_his_user_may_connect(void **state)
{
    char path[200], why[ADMIN_WHY_MAX];
    int fd, again, client;
    struct stat s;
    (void)state;
    path_of(path, "a.sock");
    umask(0);
    assert_int_equal(admin_listen(path, &fd, why), ERR_OK);
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(s.st_mode & 07777, 0600);
    assert_int_equal(admin_listen(path, &again, why), ERR_LOCKED);
    assert_non_null(strstr(why, path));
    assert_int_equal(admin_connect(path, &client, why), ERR_OK);
    assert_true(admin_peer_ok(client));
    close(client);
    close(fd); /* killed: the name stays behind */
    assert_int_equal(admin_connect(path, &client, why), ERR_MISSING);
    assert_int_equal(admin_listen(path, &fd, why), ERR_OK);
    close(fd);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(admin_connect(path, &client, why), ERR_MISSING);
}

static void what_is_no_socket_stays(void **state)
{
    char path[200], why[ADMIN_WHY_MAX];
    int fd;
    (void)state;
    path_of(path, "file");
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
    assert_int_equal(admin_listen(path, &fd, why), ERR_EXISTS);
    assert_int_equal(unlink(path), 0);
    path_of(path, "no/such/folder.sock");
    assert_int_equal(admin_listen(path, &fd, why), ERR_FILE);
}

static void a_path_longer_than_an_address_works_too(void **state)
{
    char folder[200], path[400], why[ADMIN_WHY_MAX];
    int fd, client;
    (void)state;
    path_of(folder, "a-folder-with-a-name-that-is-so-long-that-the-whole-path-does-not-fit-"
                    "into-the-address-of-a-unix-socket");
    assert_int_equal(mkdir(folder, 0700), 0);
    snprintf(path, sizeof(path), "%s/admin.sock", folder);
    assert_true(strlen(path) > sizeof(((struct sockaddr_un *)0)->sun_path));
    assert_int_equal(admin_listen(path, &fd, why), ERR_OK);
    assert_int_equal(admin_connect(path, &client, why), ERR_OK);
    close(client);
    close(fd);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void lines_are_bounded_in_size_and_time(void **state)
{
    char line[16];
    size_t size;
    int p[2];
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, p), 0);
    assert_int_equal(admin_write(p[0], "{}\nmore", 7, LONG_MS), ERR_OK);
    assert_int_equal(admin_read_line(p[1], line, sizeof(line), &size, LONG_MS), ERR_OK);
    assert_int_equal(size, 2);
    assert_string_equal(line, "{}");
    uint64_t began = clock_mono_ms();
    assert_int_equal(admin_write(p[0], "half", 4, LONG_MS), ERR_OK);
    assert_int_equal(admin_read_line(p[1], line, sizeof(line), &size, SOON_MS),
                     ERR_TIMEOUT);
    assert_true(clock_mono_ms() - began >= SOON_MS);
    assert_int_equal(admin_write(p[0], "0123456789abcdef\n", 17, LONG_MS), ERR_OK);
    assert_int_equal(admin_read_line(p[1], line, sizeof(line), &size, LONG_MS),
                     ERR_TOO_LARGE);
    close(p[0]);
    while (admin_read_line(p[1], line, sizeof(line), &size, LONG_MS) == ERR_OK)
        ;
    assert_int_equal(admin_read_line(p[1], line, sizeof(line), &size, LONG_MS), ERR_NET);
    close(p[1]);
}

static void answers_are_bounded_too(void **state)
{
    static char room[40000];
    char *all = NULL;
    int p[2];
    (void)state;
    memset(room, 'x', sizeof(room));
    for (size_t max = sizeof(room) - 1; max <= sizeof(room); max++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, p), 0);
        assert_int_equal(admin_write(p[0], room, sizeof(room), LONG_MS), ERR_OK);
        close(p[0]);
        enum err e = admin_read_all(p[1], &all, max, LONG_MS);
        assert_int_equal(e, max < sizeof(room) ? ERR_TOO_LARGE : ERR_OK);
        if (e == ERR_OK)
            assert_int_equal(strlen(all), sizeof(room));
        close(p[1]);
    }
    free(all);
    /* Nobody reads: the writer does not wait for ever. */
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, p), 0);
    enum err e = ERR_OK;
    for (int i = 0; i < 1000 && e == ERR_OK; i++)
        e = admin_write(p[0], room, sizeof(room), SOON_MS);
    assert_int_equal(e, ERR_TIMEOUT);
    close(p[1]);
    assert_int_equal(admin_write(p[0], room, sizeof(room), SOON_MS), ERR_NET);
    close(p[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_listens_is_alone_and_only_his_user_may_connect),
        cmocka_unit_test(what_is_no_socket_stays),
        cmocka_unit_test(a_path_longer_than_an_address_works_too),
        cmocka_unit_test(lines_are_bounded_in_size_and_time),
        cmocka_unit_test(answers_are_bounded_too),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
