/* What the tests of `why` about Postgres servers share: faults of a server, and a person whose
 * entries meet them. Tests only: failures end the test with a sentence. */
#ifndef TESTS_INTEGRATION_OPS_SERVER_H
#define TESTS_INTEGRATION_OPS_SERVER_H

#include <pthread.h>

#include "tests/integration/ops/kit.h"
#include "tests/lib/people.h"
#include "tests/lib/pgproc.h"

struct ops_writer {
    struct hubproc hub;
    struct wirekit k;
    struct person p; /* has an account */
};
/* A hub at this store is made and started, and the account opened; the end, which must be a
 * clean one: 0. */
void ops_writer_open(struct ops_writer *w, const char *store);
int ops_writer_close(struct ops_writer *w);
/* A note goes off; its answer is not waited for. */
void ops_submit_note(struct ops_writer *w);
/* It is answered, and is in, sent again if need be; nothing is wrong any more. */
void ops_well_again(struct ops_writer *w);

/* Somebody's psql locks stoa.slot in database "stoa" until it is told to stop. */
struct ops_lock {
    struct pgproc *server;
    pthread_t psql;
};
void ops_lock_begin(struct ops_lock *l, struct pgproc *server);
/* The finding names that lock, and the first command it says to type ends it. */
void ops_lock_ended_by(struct ops_lock *l, const json_t *finding);

/* From now on, or no more, a commit in database "stoa" takes more than a second. */
void ops_slow(struct pgproc *server, bool on);
/* From now on, or no more, it says there as if its disk were full. */
void ops_full(struct pgproc *server, bool on);

#endif
