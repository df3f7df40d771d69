#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "crypto/keyfile.h"

extern char **environ;

/* How much a command may say after its first line before we stop listening. */
#define COMMAND_REST_BYTES_MAX 65536

#define KEY_INTERRUPT 0x03
#define KEY_END 0x04
#define KEY_BACKSPACE 0x08
#define KEY_ERASE_LINE 0x15
#define KEY_DELETE 0x7f

static const char *const why_empty = "the passphrase is empty";
static const char *const why_long = "the passphrase is too long";
static const char *const why_zero = "the passphrase has a zero byte";
static const char *const why_unread = "the passphrase could not be read";

/* One byte; 0 at the end, -1 on error. */
static ssize_t read_byte(int fd, char *c)
{
    ssize_t n;
    do
        n = read(fd, c, 1);
    while (n < 0 && errno == EINTR);
    return n;
}

/* Up to the first LF or the end, byte by byte: what follows belongs to another reader.
 * `out` has PASSPHRASE_BYTES_MAX + 1 room. */
static const char *read_line(int fd, char *out)
{
    size_t used = 0;
    for (;;) {
        char c;
        ssize_t n = read_byte(fd, &c);
        if (n < 0)
            return why_unread;
        if (n == 0 || c == '\n')
            break;
        if (c == 0)
            return why_zero;
        if (used == PASSPHRASE_BYTES_MAX)
            return why_long;
        out[used++] = c;
    }
    out[used] = 0;
    return used > 0 ? NULL : why_empty;
}

static const char *from_fd(const char *number, char *out)
{
    char *end;
    errno = 0;
    long fd = strtol(number, &end, 10);
    if (number[0] < '0' || number[0] > '9' || *end != 0 || errno != 0 || fd > 1 << 20)
        return "fd: needs the number of an open descriptor";
    return read_line((int)fd, out);
}

static const char *from_file(const char *path, char *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return "the passphrase file could not be opened";
    const char *why = read_line(fd, out);
    close(fd);
    return why;
}

/* ---- a command ---- */

/* Runs it with its standard output on a pipe; the read end, or -1. */
static int command_start(const char *command, pid_t *pid)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    char *copy = strdup(command);
    char shell[] = "/bin/sh";
    char option[] = "-c";
    char *const argv[] = {shell, option, copy, NULL};
    posix_spawn_file_actions_t actions;
    bool started = copy != NULL && posix_spawn_file_actions_init(&actions) == 0;
    if (started) {
        started =
            posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO) == 0 &&
            posix_spawn(pid, shell, &actions, NULL, argv, environ) == 0;
        posix_spawn_file_actions_destroy(&actions);
    }
    free(copy);
    close(ends[1]);
    if (!started) {
        close(ends[0]);
        return -1;
    }
    return ends[0];
}

static bool exited_well(pid_t pid)
{
    int status;
    pid_t ended;
    do
        ended = waitpid(pid, &status, 0);
    while (ended < 0 && errno == EINTR);
    return ended == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static const char *from_command(const char *command, char *out)
{
    pid_t pid;
    int fd = command_start(command, &pid);
    if (fd < 0)
        return "the passphrase command could not be started";
    const char *why = read_line(fd, out);
    /* Let it finish what it has to say, or it would die of SIGPIPE and seem to have
     * failed. */
    char c;
    for (size_t rest = 0; rest < COMMAND_REST_BYTES_MAX; rest++)
        if (read_byte(fd, &c) <= 0)
            break;
    close(fd);
    if (!exited_well(pid))
        return "the passphrase command failed";
    return why;
}

/* ---- a terminal ---- */

static bool write_text(int fd, const char *text)
{
    size_t size = strlen(text);
    return write(fd, text, size) == (ssize_t)size;
}

/* Keys one by one, because signals are off: an interrupt must not leave the terminal
 * mute. */
static const char *tty_line(int tty, char *out)
{
    size_t used = 0;
    for (;;) {
        char c;
        if (read_byte(tty, &c) <= 0)
            return why_unread;
        if (c == '\n' || c == '\r')
            break;
        if (c == KEY_INTERRUPT || (c == KEY_END && used == 0))
            return "no passphrase was given";
        if (c == KEY_BACKSPACE || c == KEY_DELETE) {
            /* Take back a whole character of UTF-8. */
            while (used > 0 && ((unsigned char)out[used - 1] & 0xc0) == 0x80)
                used--;
            used -= used > 0;
        } else if (c == KEY_ERASE_LINE) {
            used = 0;
        } else if (c == 0) {
            return why_zero;
        } else if (used == PASSPHRASE_BYTES_MAX) {
            return why_long;
        } else {
            out[used++] = c;
        }
    }
    out[used] = 0;
    return used > 0 ? NULL : why_empty;
}

static const char *tty_ask(int tty, const char *prompt, const char *again, char *out)
{
    struct termios kept;
    if (tcgetattr(tty, &kept) != 0)
        return "the terminal does not answer";
    struct termios quiet = kept;
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
    quiet.c_cc[VMIN] = 1;
    quiet.c_cc[VTIME] = 0;
    if (tcsetattr(tty, TCSAFLUSH, &quiet) != 0)
        return "the terminal's echo cannot be turned off";
    bool asked =
        write_text(tty, again) && write_text(tty, prompt) && write_text(tty, ": ");
    const char *why = asked ? tty_line(tty, out) : why_unread;
    tcsetattr(tty, TCSAFLUSH, &kept);
    (void)write_text(tty, "\n");
    return why;
}

static const char *from_tty(const char *prompt, bool confirm, char *out)
{
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (tty < 0)
        return "there is no terminal to ask for the passphrase";
    const char *why = tty_ask(tty, prompt, "", out);
    if (why == NULL && confirm) {
        char *second = secret_alloc(PASSPHRASE_BYTES_MAX + 1);
        if (second == NULL)
            why = "there is not enough memory";
        else
            why = tty_ask(tty, prompt, "again, ", second);
        if (why == NULL && strcmp(out, second) != 0)
            why = "the two passphrases differ";
        secret_free(second);
    }
    close(tty);
    return why;
}

char *passphrase_read(const char *source, const char *prompt, bool confirm,
                      const char **why)
{
    char *out = secret_alloc(PASSPHRASE_BYTES_MAX + 1);
    if (out == NULL) {
        *why = "there is not enough memory";
        return NULL;
    }
    if (strcmp(source, "tty") == 0)
        *why = from_tty(prompt, confirm, out);
    else if (strncmp(source, "fd:", 3) == 0)
        *why = from_fd(source + 3, out);
    else if (strncmp(source, "cmd:", 4) == 0)
        *why = from_command(source + 4, out);
    else if (strncmp(source, "file:", 5) == 0)
        *why = from_file(source + 5, out);
    else
        *why = "a passphrase comes from tty, fd:N, cmd:COMMAND or file:PATH";
    if (*why == NULL)
        return out;
    secret_free(out);
    return NULL;
}
