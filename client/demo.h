/* stoa demo: a hub, three people and a crash on this machine, told step by step. What its
 * files share. Ends only processes it started, by their ids. */
#ifndef CLIENT_DEMO_H
#define CLIENT_DEMO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "client/cli.h"

#define DEMO_PEOPLE 3
#define DEMO_BURST 2000
#define DEMO_READY_MS 20000 /* for the hub to start */
#define DEMO_END_MS 15000   /* for the hub to end by itself */
#define DEMO_WATCH_MS 10000 /* for the lines of the live view */
#define DEMO_WATCHED 3
#define DEMO_ARGS_MAX 40

struct demo_person {
    const char *name;
    int64_t earned;
    int64_t expected;
    char dir[CLI_PATH_MAX];
    stoa_wallet *wallet;
    stoa_id account;
    char address[STOA_ADDRESS_MAX];
};

struct demo {
    struct cli *c;
    char dir[CLI_PATH_MAX];
    char bin[CLI_PATH_MAX];  /* folder of this program */
    char self[CLI_PATH_MAX]; /* this program */
    char stoad[CLI_PATH_MAX + 16], stoactl[CLI_PATH_MAX + 16];
    bool temporary; /* the folder goes at the end */
    bool made;
    pid_t hub, watcher; /* 0: not running */
    int hub_out, watch_out;
    unsigned port;
    char url[64], hub_name[STOA_HUB_NAME_MAX + 1];
    struct demo_person people[DEMO_PEOPLE];
    unsigned step, checks, failures;
    stoa_id acknowledged[DEMO_BURST];
    uint64_t acknowledged_index[DEMO_BURST];
    unsigned acknowledged_count;
    bool killed;
};

/* ---- demo_proc.c ---- */

/* Where stoad and stoactl are: beside this program. */
stoa_result demo_programs(struct demo *d);
stoa_result demo_folder(struct demo *d);
/* Run to the end; the exit code, -1 when it did not end by itself. Output goes to a file
 * of this name in the demo's folder. */
int demo_run(struct demo *d, const char *const argv[], const char *output);
/* Start with its standard output readable at *out; errors go to a file. 0: cannot. */
pid_t demo_spawn(struct demo *d, const char *const argv[], const char *errors, int *out);
stoa_result demo_hub_init(struct demo *d);
/* Start the hub and wait until it is ready; *ms: how long that took. */
stoa_result demo_hub_start(struct demo *d, uint64_t *ms);
void demo_hub_kill(struct demo *d); /* kill -9 */
void demo_hub_reap(struct demo *d);
/* A line within the time, without its end. */
bool demo_read_line(int fd, char *line, size_t cap, uint64_t timeout_ms);
/* End what was started, remove the folder. */
void demo_close(struct demo *d);

/* ---- demo.c ---- */

void demo_step(struct demo *d, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void demo_tell(struct demo *d, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A check of the step: told, counted. Returns `held`. */
bool demo_check(struct demo *d, bool held, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- demo_crash.c ---- */

stoa_result demo_crash(struct demo *d);
stoa_result demo_verify(struct demo *d);
stoa_result demo_open_wallet(struct demo *d, struct demo_person *p);

#endif
