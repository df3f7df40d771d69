#include "support.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "crypto/keyfile.h"

/* What passphrase_read makes of `data` on a pipe; NULL when refused. */
static char *from_pipe(const char *data, size_t size, char *rest, size_t rest_cap)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], data, size), (int)size);
    close(ends[1]);
    char source[32];
    snprintf(source, sizeof source, "fd:%d", ends[0]);
    const char *why = "unset";
    char *found = passphrase_read(source, "Passphrase", true, &why);
    assert_int_equal(found == NULL, why != NULL);
    if (rest != NULL) {
        ssize_t n = read(ends[0], rest, rest_cap - 1);
        rest[n > 0 ? n : 0] = 0;
    }
    close(ends[0]);
    return found;
}

static void check_pipe(const char *data, size_t size, const char *wanted)
{
    char *found = from_pipe(data, size, NULL, 0);
    if (wanted == NULL)
        assert_null(found);
    else
        assert_string_equal(found, wanted);
    secret_free(found);
}

static void a_descriptor_gives_its_first_line(void **state)
{
    (void)state;
    check_pipe("open sesame\n", 12, "open sesame");
    check_pipe("no line feed", 12, "no line feed");
    check_pipe(" spaces stay \nmore", 18, " spaces stay ");
    check_pipe("", 0, NULL);
    check_pipe("\n", 1, NULL);
    check_pipe("a\0b\n", 4, NULL);
    char rest[16];
    char *found = from_pipe("one\ntwo\n", 8, rest, sizeof rest);
    assert_string_equal(found, "one");
    assert_string_equal(rest, "two\n");
    secret_free(found);
}

static void a_passphrase_may_be_long_but_not_too_long(void **state)
{
    (void)state;
    static char data[PASSPHRASE_BYTES_MAX + 2];
    memset(data, 'p', PASSPHRASE_BYTES_MAX + 1);
    check_pipe(data, PASSPHRASE_BYTES_MAX + 1, NULL);
    data[PASSPHRASE_BYTES_MAX] = 0;
    check_pipe(data, PASSPHRASE_BYTES_MAX, data);
}

static void check_source(const char *source, const char *wanted)
{
    const char *why = "unset";
    char *found = passphrase_read(source, "Passphrase", false, &why);
    assert_int_equal(found == NULL, why != NULL);
    if (wanted == NULL)
        assert_null(found);
    else
        assert_string_equal(found, wanted);
    secret_free(found);
}

static void a_command_gives_the_first_line_of_its_output(void **state)
{
    (void)state;
    check_source("cmd:echo open sesame", "open sesame");
    check_source("cmd:printf 'a b'; exit 0", "a b");
    check_source("cmd:echo one; echo two; seq 1 2000", "one");
    check_source("cmd:echo right; exit 1", NULL);
    check_source("cmd:exit 0", NULL);
    check_source("cmd:/no/such/program 2>/dev/null", NULL);
    check_source("cmd:echo x; kill -9 $$", NULL);
    check_source("cmd:", NULL);
}

static void a_command_that_never_stops_talking_is_given_up(void **state)
{
    (void)state;
    check_source("cmd:yes 2>/dev/null", NULL);
}

static void a_file_gives_its_first_line(void **state)
{
    (void)state;
    char path[] = "passphrase-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "from file\nnot this\n", 19), 19);
    close(fd);
    char source[64];
    snprintf(source, sizeof source, "file:%s", path);
    check_source(source, "from file");
    unlink(path);
    check_source(source, NULL);
}

static void other_sources_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",      "secret", "env:PASS", "fd:", "fd:-1", "fd:x",
        "fd:1x", "fd: 1",  "fd:9999",  "TTY", "tty:",  "file:"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        check_source(bad[i], NULL);
}

/* ---- a terminal ---- */

enum told { TOLD_NOTHING, TOLD_PASSPHRASE, TOLD_MUTE };

/* There when coverage is counted, which _exit() would forget. */
void __gcov_dump(void) __attribute__((weak));

static void leave(int code)
{
    if (__gcov_dump)
        __gcov_dump();
    _exit(code);
}

/* A child whose terminal is `name` asks, and exits with what it found. */
static void ask_in_child(const char *name, bool confirm, const char *wanted)
{
    setsid();
    int tty = open(name, O_RDWR);
    if (tty < 0 || ioctl(tty, TIOCSCTTY, 0) != 0)
        _exit(99);
    const char *why;
    char *found = passphrase_read("tty", "Passphrase", confirm, &why);
    struct termios now;
    if (tcgetattr(tty, &now) != 0 || (now.c_lflag & ECHO) == 0 ||
        (now.c_lflag & ICANON) == 0)
        leave(TOLD_MUTE);
    leave(found != NULL && strcmp(found, wanted) == 0 ? TOLD_PASSPHRASE : TOLD_NOTHING);
}

static void read_until(int master, const char *sign, char *seen, size_t cap)
{
    size_t used = strlen(seen);
    size_t from = used;
    while (strstr(seen + from, sign) == NULL) {
        assert_true(used + 1 < cap);
        ssize_t n = read(master, seen + used, cap - 1 - used);
        assert_true(n > 0);
        used += (size_t)n;
        seen[used] = 0;
    }
}

/* Types the answers at the prompts; nothing typed may be seen on the terminal. */
static int ask(const char *first, const char *second, const char *wanted)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    char name[64];
    assert_int_equal(ptsname_r(master, name, sizeof name), 0);
    pid_t child = fork();
    if (child == 0)
        ask_in_child(name, second != NULL, wanted);
    char seen[512] = "";
    read_until(master, "Passphrase: ", seen, sizeof seen);
    assert_int_equal(write(master, first, strlen(first)), (int)strlen(first));
    if (second != NULL) {
        read_until(master, "again, Passphrase: ", seen, sizeof seen);
        assert_int_equal(write(master, second, strlen(second)), (int)strlen(second));
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    size_t used = strlen(seen);
    for (ssize_t n = 1; n > 0 && used + 1 < sizeof seen;) {
        n = read(master, seen + used, sizeof seen - 1 - used);
        used += n > 0 ? (size_t)n : 0;
    }
    seen[used] = 0;
    assert_null(strstr(seen, "sesam"));
    close(master);
    return WEXITSTATUS(status);
}

static void a_terminal_is_asked_without_echo(void **state)
{
    (void)state;
    assert_int_equal(ask("sesame\n", NULL, "sesame"), TOLD_PASSPHRASE);
    assert_int_equal(ask("sesame\n", "sesame\n", "sesame"), TOLD_PASSPHRASE);
    assert_int_equal(ask("sesame\n", "sesam\n", "sesame"), TOLD_NOTHING);
    assert_int_equal(ask("\n", NULL, ""), TOLD_NOTHING);
}

static void keys_that_edit_or_stop_are_obeyed(void **state)
{
    (void)state;
    assert_int_equal(ask("sesamx\x7f\x65\n", NULL, "sesame"), TOLD_PASSPHRASE);
    assert_int_equal(ask("\x7f\x7fsesame\xc3\xa9\x08\n", NULL, "sesame"),
                     TOLD_PASSPHRASE);
    assert_int_equal(ask("wrong\x15sesame\n", NULL, "sesame"), TOLD_PASSPHRASE);
    assert_int_equal(ask("sesame\x03", NULL, "sesame"), TOLD_NOTHING);
    assert_int_equal(ask("\x04", NULL, ""), TOLD_NOTHING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_descriptor_gives_its_first_line),
        cmocka_unit_test(a_passphrase_may_be_long_but_not_too_long),
        cmocka_unit_test(a_command_gives_the_first_line_of_its_output),
        cmocka_unit_test(a_command_that_never_stops_talking_is_given_up),
        cmocka_unit_test(a_file_gives_its_first_line),
        cmocka_unit_test(other_sources_are_refused),
        cmocka_unit_test(a_terminal_is_asked_without_echo),
        cmocka_unit_test(keys_that_edit_or_stop_are_obeyed),
    };
    return cmocka_run_group_tests_name("passphrase", tests, start_crypto, NULL);
}
