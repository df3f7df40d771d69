/* A real stoad in a directory of its own: made, started on a free loopback port, killed,
 * started again. Tests only; failures are returned with a sentence in `why`. */
#ifndef TESTS_LIB_HUBPROC_H
#define TESTS_LIB_HUBPROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define HUBPROC_ARGS_MAX 40
#define HUBPROC_WHY_MAX 512
#define HUBPROC_WRAP_MAX 12

struct hubproc {
    char dir[256]; /* made by hubproc_init, removed by hubproc_close */
    char stoad[512];
    pid_t pid; /* 0: not running */
    int out;   /* its stdout */
    uint16_t port;
    char hub[160];
    bool memory;
    char config[512];                     /* a --config file; "": none */
    char settings[HUBPROC_ARGS_MAX][160]; /* "key=value" for --set, of every start */
    unsigned setting_count;
    const char *wrap[HUBPROC_WRAP_MAX]; /* put in front of stoad; NULL-terminated */
    char why[HUBPROC_WHY_MAX];
};

/* Make the directory and remember the program ($STOAD or the build's own). With `memory`
 * nothing is written. */
bool hubproc_open(struct hubproc *h, bool memory);
void hubproc_set(struct hubproc *h, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* `stoad init`. Not for memory:. */
bool hubproc_init(struct hubproc *h);
/* Start and wait for the ready line. */
bool hubproc_start(struct hubproc *h);
/* Run `stoad <args..>` to its end with the same settings; its exit code, -1 for a signal;
 * stderr goes to `err` (cap bytes) when not NULL. */
int hubproc_run(struct hubproc *h, const char *const args[], char *err, size_t cap);
/* Send a signal. */
void hubproc_signal(struct hubproc *h, int signal_number);
/* Wait for the end, at most timeout_ms: exit code, 128+n for a signal, -1 when it still
 * runs. */
int hubproc_wait(struct hubproc *h, unsigned timeout_ms);
/* kill -9 and reap. */
void hubproc_kill(struct hubproc *h);
/* Kill if running, remove the directory. */
void hubproc_close(struct hubproc *h);
/* A path inside the directory. */
void hubproc_path(const struct hubproc *h, const char *name, char out[512]);

#endif
