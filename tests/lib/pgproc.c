#include "tests/lib/pgproc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/clock.h"
#include "tests/lib/freeport.h"

#define ARGS_MAX 32
#define START_MS 30000
#define STOP_MS 20000
#define STEP_MS 10
#define VERSIONS_FOLDER "/usr/lib/postgresql"

static void nap(void)
{
    struct timespec t = {0, STEP_MS * 1000000L};
    nanosleep(&t, NULL);
}

static bool find_bin(char *out, size_t cap)
{
    const char *given = getenv("STOA_PG_BIN");
    char path[400];
    int best = 0;
    if (given) {
        snprintf(out, cap, "%s", given);
        snprintf(path, sizeof(path), "%s/postgres", given);
        return access(path, X_OK) == 0;
    }
    DIR *d = opendir(VERSIONS_FOLDER);
    for (struct dirent *e; d && (e = readdir(d));) {
        int version = atoi(e->d_name);
        snprintf(path, sizeof(path), VERSIONS_FOLDER "/%d/bin/initdb", version);
        if (version > best && access(path, X_OK) == 0)
            best = version;
    }
    if (d)
        closedir(d);
    snprintf(out, cap, VERSIONS_FOLDER "/%d/bin", best);
    return best > 0;
}

bool pgproc_there(void)
{
    char bin[300];
    return find_bin(bin, sizeof(bin));
}

/* The child: another user when we are root, and not longer than we. */
static void become(const struct pgproc *p)
{
    if (p->uid != 0 &&
        (setgroups(0, NULL) != 0 || setgid(p->gid) != 0 || setuid(p->uid) != 0))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGQUIT);
    if (chdir(p->dir) != 0)
        _exit(126);
    for (size_t i = 0; i < sizeof p->env / sizeof *p->env; i++) {
        char *text = p->env[i] ? strdup(p->env[i]) : NULL; /* the environment keeps it */
        if (text)
            putenv(text);
    }
}

/* Start bin/argv[0]; standard output goes to out_fd, or with errors to the log. Postgres's
 * programs look for each other where argv[0] says that they are, so it is the whole path. */
static pid_t spawn(const struct pgproc *p, const char *const argv[], int out_fd)
{
    char program[400], log[300];
    const char *args[ARGS_MAX + 1];
    size_t count = 0;
    while (argv[count] && count < ARGS_MAX) {
        args[count] = argv[count];
        count++;
    }
    args[count] = NULL;
    snprintf(program, sizeof(program), "%s/%s", p->bin, argv[0]);
    args[0] = program;
    snprintf(log, sizeof(log), "%s/log", p->dir);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    become(p);
    int log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    int null = open("/dev/null", O_RDONLY);
    dup2(null, 0);
    dup2(out_fd >= 0 ? out_fd : log_fd, 1);
    dup2(log_fd, 2);
    execv(program, (char *const *)(uintptr_t)args);
    _exit(127);
}

static bool run(const struct pgproc *p, const char *const argv[])
{
    int status = 0;
    pid_t pid = spawn(p, argv, -1);
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

static bool write_settings(struct pgproc *p)
{
    char path[300];
    p->port = freeport();
    snprintf(path, sizeof(path), "%s/data/postgresql.conf", p->dir);
    FILE *f = fopen(path, "a");
    if (!f || p->port == 0)
        return false;
    fprintf(
        f,
        "listen_addresses = '127.0.0.1'\nport = %u\nunix_socket_directories = '%s'\n"
        "max_connections = 60\nshared_buffers = 64MB\nlog_min_messages = warning\n%s\n",
        (unsigned)p->port, p->dir, p->settings);
    return fclose(f) == 0;
}

static bool make_folder(struct pgproc *p)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(p->dir, sizeof(p->dir), "%s/stoa-pg-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(p->dir))
        return false;
    if (geteuid() != 0)
        return true;
    struct passwd *u = getpwnam("postgres");
    if (!u)
        u = getpwnam("nobody");
    if (!u || chown(p->dir, u->pw_uid, u->pw_gid) != 0)
        return false;
    p->uid = u->pw_uid;
    p->gid = u->pw_gid;
    return true;
}

static bool prepare(struct pgproc *p)
{
    p->pid = 0;
    p->uid = 0;
    p->why[0] = p->dir[0] = '\0';
    if (find_bin(p->bin, sizeof(p->bin)) && make_folder(p))
        return true;
    snprintf(p->why, sizeof(p->why), "no Postgres, or no folder: %s", strerror(errno));
    return false;
}

bool pgproc_open(struct pgproc *p)
{
    static const char *const initdb[] = {"initdb",    "-D",           "data",      "-U",
                                         PGPROC_USER, "--auth=trust", "--no-sync", "-E",
                                         "UTF8",      "--locale=C",   NULL};
    if (!prepare(p))
        return false;
    if (!run(p, initdb) || !write_settings(p)) {
        snprintf(p->why, sizeof(p->why), "initdb failed; see %s/log", p->dir);
        return false;
    }
    return pgproc_start(p);
}

bool pgproc_standby(struct pgproc *p, struct pgproc *primary)
{
    char port[8];
    snprintf(port, sizeof(port), "%u", (unsigned)primary->port);
    const char *const backup[] = {"pg_basebackup", "-D", "data",      "-R", "-X",
                                  "stream",        "-c", "fast",      "-N", "-h",
                                  "127.0.0.1",     "-p", port,        "-U", PGPROC_USER,
                                  NULL};
    if (!prepare(p))
        return false;
    if (!run(p, backup) || !write_settings(p)) {
        snprintf(p->why, sizeof(p->why), "pg_basebackup failed; see %s/log", p->dir);
        return false;
    }
    return pgproc_start(p);
}

bool pgproc_promote(struct pgproc *p)
{
    return pgproc_sql(p, "postgres", "SELECT pg_promote(true, 30)", NULL, 0);
}

/* The last line of postmaster.pid says when connections are taken. */
static bool is_ready(const struct pgproc *p)
{
    char path[300], line[200];
    bool ready = false;
    snprintf(path, sizeof(path), "%s/data/postmaster.pid", p->dir);
    FILE *f = fopen(path, "r");
    long pid = 0;
    for (int n = 0; f && fgets(line, sizeof(line), f); n++) {
        if (n == 0)
            pid = strtol(line, NULL, 10);
        ready = strncmp(line, "ready", 5) == 0 && pid == (long)p->pid;
    }
    if (f)
        fclose(f);
    return ready;
}

bool pgproc_start(struct pgproc *p)
{
    static const char *const postgres[] = {"postgres", "-D", "data", NULL};
    uint64_t end = mono_ms() + START_MS;
    p->pid = spawn(p, postgres, -1);
    while (p->pid > 0 && mono_ms() < end) {
        int status;
        if (is_ready(p))
            return true;
        if (waitpid(p->pid, &status, WNOHANG) == p->pid)
            p->pid = 0;
        nap();
    }
    snprintf(p->why, sizeof(p->why), "postgres did not start; see %s/log", p->dir);
    pgproc_stop(p, SIGQUIT);
    return false;
}

/* Each of its sessions is a child. */
static void signal_children(pid_t parent, int signal_number)
{
    DIR *d = opendir("/proc");
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[300], line[300] = "";
        int of = 0, pid = atoi(e->d_name);
        snprintf(path, sizeof(path), "/proc/%s/stat", e->d_name);
        FILE *f = pid > 0 ? fopen(path, "r") : NULL;
        if (f && fgets(line, sizeof(line), f)) {
            const char *after = strrchr(line, ')'); /* the name may hold anything */
            if (after && sscanf(after + 1, " %*c %d", &of) == 1 && of == (int)parent)
                kill(pid, signal_number);
        }
        if (f)
            fclose(f);
    }
    if (d)
        closedir(d);
}

void pgproc_pause(struct pgproc *p, bool stop)
{
    if (p->pid == 0)
        return;
    if (stop)
        kill(p->pid, SIGSTOP); /* it starts no more */
    signal_children(p->pid, stop ? SIGSTOP : SIGCONT);
    if (!stop)
        kill(p->pid, SIGCONT);
}

void pgproc_stop(struct pgproc *p, int signal_number)
{
    uint64_t end = mono_ms() + STOP_MS;
    int status;
    if (p->pid <= 0)
        return;
    pgproc_pause(p, false); /* a stopped one hears nothing else */
    kill(p->pid, signal_number);
    while (waitpid(p->pid, &status, WNOHANG) == 0) {
        if (mono_ms() >= end)
            kill(p->pid, SIGKILL);
        nap();
    }
    p->pid = 0;
}

void pgproc_close(struct pgproc *p)
{
    static const char *const rm = "rm";
    int status;
    pgproc_stop(p, SIGQUIT);
    if (strstr(p->dir, "stoa-pg-") == NULL)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        execlp(rm, rm, "-rf", p->dir, (char *)NULL);
        _exit(127);
    }
    if (pid > 0)
        waitpid(pid, &status, 0);
    p->dir[0] = '\0';
}

bool pgproc_sql(struct pgproc *p, const char *database, const char *sql, char *out,
                size_t cap)
{
    char port[8];
    snprintf(port, sizeof(port), "%u", (unsigned)p->port);
    const char *const argv[] = {
        "psql",   "-X",   "-q", "-A", "-t", "-v",        "ON_ERROR_STOP=1",
        "-h",     p->dir, "-p", port, "-U", PGPROC_USER, "-d",
        database, "-c",   sql,  NULL};
    int pipe_fd[2], status = 0;
    size_t size = 0;
    if (pipe2(pipe_fd, O_CLOEXEC) != 0)
        return false;
    pid_t pid = spawn(p, argv, pipe_fd[1]);
    close(pipe_fd[1]);
    for (;;) {
        char scrap[4096];
        bool keep = out && size + 1 < cap;
        ssize_t n = keep ? read(pipe_fd[0], out + size, cap - 1 - size)
                         : read(pipe_fd[0], scrap, sizeof(scrap));
        if (n <= 0)
            break;
        size += keep ? (size_t)n : 0;
    }
    close(pipe_fd[0]);
    if (out && cap > 0) {
        while (size > 0 && out[size - 1] == '\n')
            size--;
        out[size] = '\0';
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
        WEXITSTATUS(status) != 0) {
        snprintf(p->why, sizeof(p->why), "psql failed; see %s/log: %.200s", p->dir, sql);
        return false;
    }
    return true;
}

bool pgproc_database(struct pgproc *p, const char *name)
{
    char sql[200];
    snprintf(sql, sizeof(sql), "CREATE DATABASE %s TEMPLATE template0", name);
    return pgproc_sql(p, "postgres", sql, NULL, 0);
}

void pgproc_uri(const struct pgproc *p, const char *database, uint16_t port, char *out,
                size_t cap)
{
    snprintf(out, cap, "postgresql://" PGPROC_USER "@127.0.0.1:%u/%s",
             (unsigned)(port ? port : p->port), database);
}
