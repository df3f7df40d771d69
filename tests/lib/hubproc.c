#include "tests/lib/hubproc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/clock.h"

#ifndef STOA_STOAD
#define STOA_STOAD "stoad"
#endif
#define READY_MS 20000
#define STEP_MS 5
#define LINE_BYTES 512
#define ARGV_MAX (HUBPROC_WRAP_MAX + 2 * HUBPROC_ARGS_MAX + 16)

static void nap(void)
{
    struct timespec t = {0, STEP_MS * 1000000L};
    nanosleep(&t, NULL);
}

void hubproc_set(struct hubproc *h, const char *format, ...)
{
    va_list args;
    if (h->setting_count == HUBPROC_ARGS_MAX)
        return;
    va_start(args, format);
    vsnprintf(h->settings[h->setting_count++], sizeof(h->settings[0]), format, args);
    va_end(args);
}

void hubproc_path(const struct hubproc *h, const char *name, char out[512])
{
    snprintf(out, 512, "%s/%s", h->dir, name);
}

bool hubproc_open(struct hubproc *h, bool memory)
{
    const char *given = getenv("STOAD"), *tmp = getenv("TMPDIR");
    memset(h, 0, sizeof(*h));
    h->out = -1;
    h->memory = memory;
    snprintf(h->stoad, sizeof(h->stoad), "%s", given ? given : STOA_STOAD);
    snprintf(h->dir, sizeof(h->dir), "%s/stoa-test-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(h->dir)) {
        snprintf(h->why, sizeof(h->why), "mkdtemp: %s", strerror(errno));
        return false;
    }
    hubproc_set(h, "hub.state_dir=%s/state", h->dir);
    hubproc_set(h, "listen.client=127.0.0.1:0");
    hubproc_set(h, "listen.admin=");
    hubproc_set(h, "listen.connections_per_address=0");
    hubproc_set(h, "listen.max_connections=12000");
    hubproc_set(h, "store.min_free_bytes=0");
    hubproc_set(h, "log.level=warn");
    hubproc_set(h, "keys.passphrase=none");
    if (memory)
        hubproc_set(h, "store.uri=memory:");
    return true;
}

/* argv: [wrap..] stoad args.. --set s..; pointers into `h` and `args`. */
static void build_argv(struct hubproc *h, const char *const args[],
                       const char *argv[ARGV_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < HUBPROC_WRAP_MAX && h->wrap[i]; i++)
        argv[n++] = h->wrap[i];
    argv[n++] = h->stoad;
    for (size_t i = 0; args[i] && n < ARGV_MAX - 5; i++)
        argv[n++] = args[i];
    if (h->config[0]) {
        argv[n++] = "--config";
        argv[n++] = h->config;
    }
    for (unsigned i = 0; i < h->setting_count && n < ARGV_MAX - 3; i++) {
        argv[n++] = "--set";
        argv[n++] = h->settings[i];
    }
    argv[n] = NULL;
}

/* stderr goes to `err_fd` when it is not -1. */
static pid_t spawn(struct hubproc *h, const char *const args[], int out_fd, int err_fd)
{
    const char *argv[ARGV_MAX];
    build_argv(h, args, argv);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    if (out_fd >= 0)
        dup2(out_fd, 1);
    if (err_fd >= 0)
        dup2(err_fd, 2);
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

int hubproc_run(struct hubproc *h, const char *const args[], char *err, size_t cap)
{
    int pipe_fd[2] = {-1, -1}, status = 0;
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (err && pipe2(pipe_fd, O_CLOEXEC) != 0)
        return -1;
    pid_t pid = spawn(h, args, null, pipe_fd[1]);
    close(null);
    if (err) {
        size_t size = 0;
        close(pipe_fd[1]);
        for (;;) {
            ssize_t n = read(pipe_fd[0], err + size, cap - 1 - size);
            if (n <= 0 || size + (size_t)n == cap - 1)
                break;
            size += (size_t)n;
        }
        err[size] = 0;
        close(pipe_fd[0]);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

bool hubproc_init(struct hubproc *h)
{
    static const char *const args[] = {"init", NULL};
    int code = hubproc_run(h, args, h->why, sizeof(h->why));
    return code == 0;
}

static bool wait_ready(struct hubproc *h)
{
    char line[LINE_BYTES];
    size_t size = 0;
    unsigned port = 0;
    uint64_t end = mono_ms() + READY_MS;
    while (size < sizeof(line) - 1) {
        uint64_t now = mono_ms();
        struct pollfd p = {.fd = h->out, .events = POLLIN};
        if (now >= end || poll(&p, 1, (int)(end - now)) <= 0)
            break;
        ssize_t n = read(h->out, line + size, 1);
        if (n <= 0)
            break;
        if (line[size++] == '\n')
            break;
    }
    line[size] = 0;
    if (sscanf(line, "ready ws://%*[^:]:%u hub %159s", &port, h->hub) == 2) {
        h->port = (uint16_t)port;
        return true;
    }
    snprintf(h->why, sizeof(h->why), "no ready line, but \"%.200s\"", line);
    return false;
}

bool hubproc_start(struct hubproc *h)
{
    static const char *const args[] = {"run", NULL};
    int pipe_fd[2];
    if (pipe2(pipe_fd, O_CLOEXEC) != 0)
        return false;
    h->pid = spawn(h, args, pipe_fd[1], -1);
    close(pipe_fd[1]);
    h->out = pipe_fd[0];
    if (h->pid > 0 && wait_ready(h))
        return true;
    hubproc_kill(h);
    return false;
}

void hubproc_signal(struct hubproc *h, int signal_number)
{
    if (h->pid > 0)
        kill(h->pid, signal_number);
}

static void gone(struct hubproc *h)
{
    h->pid = 0;
    if (h->out >= 0)
        close(h->out);
    h->out = -1;
}

int hubproc_wait(struct hubproc *h, unsigned timeout_ms)
{
    uint64_t end = mono_ms() + timeout_ms;
    int status = 0;
    if (h->pid <= 0)
        return -1;
    for (;;) {
        pid_t got = waitpid(h->pid, &status, WNOHANG);
        if (got == h->pid)
            break;
        if (got < 0 || mono_ms() >= end)
            return -1;
        nap();
    }
    gone(h);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void hubproc_kill(struct hubproc *h)
{
    int status;
    if (h->pid <= 0) {
        gone(h);
        return;
    }
    kill(h->pid, SIGKILL);
    waitpid(h->pid, &status, 0);
    gone(h);
}

void hubproc_close(struct hubproc *h)
{
    static const char *const rm = "rm";
    int status;
    hubproc_kill(h);
    if (strstr(h->dir, "stoa-test-") == NULL)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        execlp(rm, rm, "-rf", h->dir, (char *)NULL);
        _exit(127);
    }
    if (pid > 0)
        waitpid(pid, &status, 0);
}
