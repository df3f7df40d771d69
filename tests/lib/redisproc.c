#include "tests/lib/redisproc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/freeport.h"

#define START_STEPS 1000
#define STEP_MS 10
#define ARGS_MAX 40
#define HASH_SLOTS 16384
#define CLUSTER_PORT_END 22700u /* its bus takes the port 10000 above */

static void nap(void)
{
    struct timespec t = {0, STEP_MS * 1000000L};
    nanosleep(&t, NULL);
}

static const char *program(void)
{
    const char *given = getenv("STOA_REDIS");
    return given ? given : "redis-server";
}

bool redisproc_there(void)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 1);
        dup2(null, 2);
        execlp(program(), program(), "--version", (char *)NULL);
        _exit(127);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

void redisproc_socket(const struct redisproc *p, char *out, size_t cap)
{
    snprintf(out, cap, "%s/redis.sock", p->dir);
}

static int dial(const struct redisproc *p)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = 10};
    redisproc_socket(p, to.sun_path, sizeof(to.sun_path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool say(int fd, const char *command, char *out, size_t cap)
{
    size_t size = 0;
    char c = 0;
    if (send(fd, command, strlen(command), MSG_NOSIGNAL) < 0 ||
        send(fd, "\r\n", 2, MSG_NOSIGNAL) != 2)
        return false;
    while (recv(fd, &c, 1, 0) == 1 && c != '\n')
        if (c != '\r' && size + 1 < cap)
            out[size++] = c;
    out[size] = '\0';
    return c == '\n';
}

bool redisproc_command(struct redisproc *p, const char *command, char *out, size_t cap)
{
    char line[256] = "", auth[100];
    int fd = dial(p);
    bool ok = fd >= 0;
    if (ok && p->password[0]) {
        snprintf(auth, sizeof(auth), "AUTH %s", p->password);
        ok = say(fd, auth, line, sizeof(line));
    }
    ok = ok && say(fd, command, line, sizeof(line)) && line[0] != '-';
    if (fd >= 0)
        close(fd);
    if (out)
        snprintf(out, cap, "%s", line);
    if (!ok)
        snprintf(p->why, sizeof(p->why), "redis: %.40s: %.200s", command, line);
    return ok;
}

static pid_t spawn(const struct redisproc *p)
{
    char port[8], path[300];
    const char *argv[ARGS_MAX] = {
        program(), "--port",           port, "--bind",       "127.0.0.1", "--unixsocket",
        path,      "--save",           "",   "--appendonly", "no",        "--daemonize",
        "no",      "--protected-mode", "no", "--logfile",    "log"};
    size_t n = 17;
    if (p->cluster) {
        argv[n++] = "--cluster-enabled";
        argv[n++] = "yes";
    }
    if (p->password[0]) {
        argv[n++] = "--requirepass";
        argv[n++] = p->password;
    }
    snprintf(port, sizeof(port), "%u", (unsigned)p->port);
    redisproc_socket(p, path, sizeof(path));
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    int null = open("/dev/null", O_RDWR);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(null, 0);
    dup2(null, 1);
    dup2(null, 2);
    if (chdir(p->dir) != 0)
        _exit(126);
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

/* A node that has all hash slots answers for them a moment later. */
static bool cluster_ready(struct redisproc *p)
{
    char out[64];
    snprintf(out, sizeof(out), "CLUSTER ADDSLOTSRANGE 0 %d", HASH_SLOTS - 1);
    (void)redisproc_command(p, out, NULL, 0); /* they are kept over a restart */
    for (int i = 0; i < START_STEPS; i++, nap())
        if (redisproc_command(p, "SPUBLISH probe x", out, sizeof(out)) && out[0] == ':')
            return true;
    return false;
}

bool redisproc_start(struct redisproc *p)
{
    char out[64];
    p->pid = spawn(p);
    for (int i = 0; i < START_STEPS && p->pid > 0; i++, nap()) {
        int status;
        if (redisproc_command(p, "PING", out, sizeof(out)) && strcmp(out, "+PONG") == 0)
            return !p->cluster || cluster_ready(p);
        if (waitpid(p->pid, &status, WNOHANG) == p->pid)
            p->pid = 0;
    }
    snprintf(p->why, sizeof(p->why), "redis-server did not start; see %s/log", p->dir);
    redisproc_kill(p);
    return false;
}

bool redisproc_open(struct redisproc *p)
{
    const char *tmp = getenv("TMPDIR");
    p->pid = 0;
    p->why[0] = '\0';
    snprintf(p->dir, sizeof(p->dir), "%.60s/stoa-redis-XXXXXX", tmp ? tmp : "/tmp");
    p->port = p->cluster ? freeport_below(CLUSTER_PORT_END) : freeport();
    if (!mkdtemp(p->dir) || p->port == 0) {
        snprintf(p->why, sizeof(p->why), "no folder or no port: %s", strerror(errno));
        return false;
    }
    return redisproc_start(p);
}

void redisproc_kill(struct redisproc *p)
{
    int status;
    if (p->pid <= 0)
        return;
    kill(p->pid, SIGKILL);
    waitpid(p->pid, &status, 0);
    p->pid = 0;
}

void redisproc_pause(struct redisproc *p, bool paused)
{
    if (p->pid > 0)
        kill(p->pid, paused ? SIGSTOP : SIGCONT);
}

void redisproc_close(struct redisproc *p)
{
    static const char *const names[] = {"redis.sock", "log", "nodes.conf", "dump.rdb"};
    char path[300];
    redisproc_kill(p);
    if (!strstr(p->dir, "stoa-redis-"))
        return;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", p->dir, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(p->dir);
    p->dir[0] = '\0';
}
