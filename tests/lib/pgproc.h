/* A real Postgres of a test's own: initdb in a temporary folder, started on a unix socket
 * and a free loopback port, stopped by pid, removed. As root it runs as user "postgres"
 * (or "nobody"), since initdb refuses root. Trusts whoever connects from this machine.
 * Tests only; failures are returned with a sentence in `why`.
 *
 * The programs are those of $STOA_PG_BIN, or the newest in /usr/lib/postgresql. Without
 * any a test skips: pgproc_there. Ends with the process that started it, whatever happens
 * to it. */
#ifndef TESTS_LIB_PGPROC_H
#define TESTS_LIB_PGPROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PGPROC_WHY_MAX 512
#define PGPROC_USER "stoa_owner" /* superuser of this server */

struct pgproc {
    char bin[300];
    char dir[256]; /* holds data/, the socket and the log */
    uid_t uid;     /* 0: as ourselves */
    gid_t gid;
    pid_t pid; /* 0: not running */
    uint16_t port;
    char settings[1024]; /* more lines for postgresql.conf; before pgproc_open */
    const char *env[2]; /* more of its environment, "NAME=value"; NULL: none */
    char why[PGPROC_WHY_MAX];
};

/* Are there programs to run? */
bool pgproc_there(void);
/* initdb and start. `settings` is kept, all else is filled in. */
bool pgproc_open(struct pgproc *p);
bool pgproc_start(struct pgproc *p);
/* A server that follows `primary` over a stream, from a base backup of it; `settings` as above.
 * Reads while it follows; pgproc_promote makes it a primary of its own. */
bool pgproc_standby(struct pgproc *p, struct pgproc *primary);
bool pgproc_promote(struct pgproc *p);
/* SIGQUIT: at once, as after a crash. SIGINT: cut sessions and shut down. Waits for the
 * end. */
void pgproc_stop(struct pgproc *p, int signal_number);
/* SIGSTOP, or SIGCONT, to the server and all its sessions: it accepts and never answers. */
void pgproc_pause(struct pgproc *p, bool stop);
/* Stop if running; remove the folder. */
void pgproc_close(struct pgproc *p);

/* Run SQL with psql as the superuser; output, unaligned and without headers, into out
 * (NULL: none). False when psql fails. */
bool pgproc_sql(struct pgproc *p, const char *database, const char *sql, char *out,
                size_t cap);
/* Make an empty database. */
bool pgproc_database(struct pgproc *p, const char *name);
/* URI of a database as the superuser; `port` 0: the server's own. */
void pgproc_uri(const struct pgproc *p, const char *database, uint16_t port, char *out,
                size_t cap);

#endif
