/* Programs the demo starts, and its folder. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/demo.h"

#define STEP_MS 10
#define REMOVE_FILES_OPEN 16

static void nap(void)
{
    struct timespec t = {0, STEP_MS * 1000000L};
    (void)nanosleep(&t, NULL);
}

stoa_result demo_programs(struct demo *d)
{
    ssize_t n = readlink("/proc/self/exe", d->self, sizeof d->self - 1);
    char *slash = n > 0 ? strrchr(d->self, '/') : NULL;
    if (!slash)
        return cli_fail(d->c, STOA_BUG, ERR_FILE, NULL,
                        "this program's own path cannot be read");
    (void)snprintf(d->bin, sizeof d->bin, "%.*s", (int)(slash - d->self), d->self);
    (void)snprintf(d->stoad, sizeof d->stoad, "%s/stoad", d->bin);
    (void)snprintf(d->stoactl, sizeof d->stoactl, "%s/stoactl", d->bin);
    if (access(d->stoad, X_OK) != 0 || access(d->stoactl, X_OK) != 0)
        return cli_fail(d->c, STOA_CONFIG, ERR_MISSING, "install the hub's programs too",
                        "stoad and stoactl are not beside this program in %s", d->bin);
    return STOA_OK;
}

stoa_result demo_folder(struct demo *d)
{
    const char *tmp = getenv("TMPDIR");
    if (cli_has(d->c, OPT_DIR)) {
        (void)snprintf(d->dir, sizeof d->dir, "%.900s", d->c->value[OPT_DIR]);
        if (mkdir(d->dir, 0700) != 0)
            return cli_fail(d->c, STOA_DATA, errno == EEXIST ? ERR_EXISTS : ERR_FILE,
                            "--dir a new folder", "%.200s: %s", d->dir, strerror(errno));
    } else {
        (void)snprintf(d->dir, sizeof d->dir, "%.900s/stoa-demo-XXXXXX",
                       tmp && *tmp ? tmp : "/tmp");
        if (!mkdtemp(d->dir))
            return cli_fail(d->c, STOA_DATA, ERR_FILE, "--dir DIR", "%.200s: %s", d->dir,
                            strerror(errno));
        d->temporary = true;
    }
    d->made = true;
    return STOA_OK;
}

pid_t demo_spawn(struct demo *d, const char *const argv[], const char *errors, int *out)
{
    char path[CLI_PATH_MAX + 64];
    int pipe_ends[2] = {-1, -1};
    (void)snprintf(path, sizeof path, "%s/%s", d->dir, errors);
    int err = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (err < 0 || null < 0 || (out && pipe2(pipe_ends, O_CLOEXEC) != 0)) {
        if (err >= 0)
            (void)close(err);
        if (null >= 0)
            (void)close(null);
        return 0;
    }
    pid_t parent = getpid();
    pid_t child = fork();
    if (child == 0) {
        /* Ctrl-C is for the demo, which then ends its programs; if it is killed, they
         * end. */
        (void)setpgid(0, 0);
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
            _exit(127);
        (void)dup2(null, STDIN_FILENO);
        (void)dup2(out ? pipe_ends[1] : err, STDOUT_FILENO);
        (void)dup2(err, STDERR_FILENO);
        (void)execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    (void)close(err);
    (void)close(null);
    if (out) {
        (void)close(pipe_ends[1]);
        *out = pipe_ends[0];
    }
    return child > 0 ? child : 0;
}

int demo_run(struct demo *d, const char *const argv[], const char *output)
{
    int status;
    pid_t child = demo_spawn(d, argv, output, NULL);
    if (child == 0)
        return -1;
    while (waitpid(child, &status, 0) != child)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool demo_read_line(int fd, char *line, size_t cap, uint64_t timeout_ms)
{
    uint64_t end = cli_now_ms() + timeout_ms;
    size_t size = 0;
    while (size + 1 < cap) {
        uint64_t now = cli_now_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (now >= end || cli_interrupted())
            break;
        if (poll(&p, 1, (int)(end - now < 200 ? end - now : 200)) <= 0)
            continue;
        if (read(fd, line + size, 1) <= 0)
            break;
        if (line[size] == '\n') {
            line[size] = 0;
            return true;
        }
        size++;
    }
    line[size] = 0;
    return false;
}

/* Settings both of init and of run; ended by NULL. */
static void hub_arguments(struct demo *d, const char *verb,
                          const char *argv[DEMO_ARGS_MAX],
                          char text[3][CLI_PATH_MAX + 64])
{
    unsigned n = 0;
    const char *const sets[] = {
        "hub.name=demo",  "listen.admin=", "store.min_free_bytes=0",
        "log.level=warn", "keys.passphrase=none", text[0], text[1]};
    (void)snprintf(text[0], sizeof text[0], "hub.state_dir=%s/hub", d->dir);
    (void)snprintf(text[1], sizeof text[1], "listen.client=127.0.0.1:%u", d->port);
    argv[n++] = d->stoad;
    argv[n++] = verb;
    for (unsigned i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        argv[n++] = "--set";
        argv[n++] = sets[i];
    }
    argv[n] = NULL;
}

stoa_result demo_hub_init(struct demo *d)
{
    const char *argv[DEMO_ARGS_MAX];
    char text[3][CLI_PATH_MAX + 64];
    hub_arguments(d, "init", argv, text);
    int code = demo_run(d, argv, "hub.log");
    if (code != 0)
        return cli_fail(d->c, STOA_NO, ERR_CORRUPT,
                        "see hub.log in the demo's folder (--dir DIR keeps it)",
                        "stoad init ended with %d", code);
    return STOA_OK;
}

stoa_result demo_hub_start(struct demo *d, uint64_t *ms)
{
    const char *argv[DEMO_ARGS_MAX];
    char text[3][CLI_PATH_MAX + 64], line[256];
    uint64_t began = cli_now_ms();
    hub_arguments(d, "run", argv, text);
    d->hub = demo_spawn(d, argv, "hub.log", &d->hub_out);
    if (d->hub == 0)
        return cli_fail(d->c, STOA_BUG, ERR_FILE, NULL, "the hub cannot be started");
    if (!demo_read_line(d->hub_out, line, sizeof line, DEMO_READY_MS) ||
        sscanf(line, "ready ws://127.0.0.1:%u hub %128s", &d->port, d->hub_name) != 2)
        return cli_fail(d->c, STOA_NO, ERR_CORRUPT,
                        "see hub.log in the demo's folder (--dir DIR keeps it)",
                        "the hub did not become ready: \"%.100s\"", line);
    *ms = cli_now_ms() - began;
    (void)snprintf(d->url, sizeof d->url, "ws://127.0.0.1:%u", d->port);
    return STOA_OK;
}

static bool reap(pid_t child, uint64_t timeout_ms)
{
    uint64_t end = cli_now_ms() + timeout_ms;
    int status;
    for (;;) {
        pid_t got = waitpid(child, &status, WNOHANG);
        if (got == child || (got < 0 && errno == ECHILD))
            return true;
        if (cli_now_ms() >= end)
            return false;
        nap();
    }
}

void demo_hub_kill(struct demo *d)
{
    if (d->hub > 0)
        (void)kill(d->hub, SIGKILL);
}

void demo_hub_reap(struct demo *d)
{
    if (d->hub > 0)
        (void)reap(d->hub, DEMO_END_MS);
    d->hub = 0;
    if (d->hub_out >= 0)
        (void)close(d->hub_out);
    d->hub_out = -1;
}

static void end_child(pid_t *child, int *out)
{
    if (*child > 0) {
        (void)kill(*child, SIGTERM);
        if (!reap(*child, DEMO_END_MS)) {
            (void)kill(*child, SIGKILL);
            (void)reap(*child, DEMO_END_MS);
        }
    }
    *child = 0;
    if (*out >= 0)
        (void)close(*out);
    *out = -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    (void)remove(path);
    return 0;
}

void demo_close(struct demo *d)
{
    end_child(&d->watcher, &d->watch_out);
    for (unsigned i = 0; i < DEMO_PEOPLE; i++) {
        stoa_wallet_close(d->people[i].wallet);
        d->people[i].wallet = NULL;
    }
    end_child(&d->hub, &d->hub_out);
    if (d->made && d->temporary)
        (void)nftw(d->dir, remove_one, REMOVE_FILES_OPEN, FTW_DEPTH | FTW_PHYS);
}
