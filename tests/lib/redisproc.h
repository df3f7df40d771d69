/* A real Redis of a test's own: in a temporary folder, on a unix socket and a free
 * loopback port, nothing on disk, stopped by pid, removed. Ends with the process that
 * started it, whatever happens to it. The program is $STOA_REDIS or redis-server of the
 * path; without one a test skips: redisproc_there. Tests only; failures are returned with
 * a sentence in `why`. */
#ifndef TESTS_LIB_REDISPROC_H
#define TESTS_LIB_REDISPROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define REDISPROC_WHY_MAX 512

struct redisproc {
    char dir[90]; /* short: an address of a unix socket holds 107 bytes */
    pid_t pid;    /* 0: not running */
    uint16_t port;
    bool cluster;      /* before redisproc_open: one node with all hash slots */
    char password[64]; /* before redisproc_open: "" none */
    char why[REDISPROC_WHY_MAX];
};

bool redisproc_there(void);
bool redisproc_open(struct redisproc *p);
bool redisproc_start(struct redisproc *p); /* again, on the same socket and port */
void redisproc_kill(struct redisproc *p);  /* kill -9 and reap */
void redisproc_pause(struct redisproc *p, bool paused); /* SIGSTOP, SIGCONT */
void redisproc_close(struct redisproc *p);
/* One inline command; the first line of the answer into out (NULL: none). */
bool redisproc_command(struct redisproc *p, const char *command, char *out, size_t cap);
void redisproc_socket(const struct redisproc *p, char *out, size_t cap);

#endif
