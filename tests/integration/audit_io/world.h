/* A real hub with people who pay each other across slots, one of them pinned to his region, and
 * a policy that trusts its logs; and stoa-audit to run at it. */
#ifndef TESTS_INTEGRATION_AUDIT_IO_WORLD_H
#define TESTS_INTEGRATION_AUDIT_IO_WORLD_H

#include "tests/integration/audit_io/liar.h"
#include "tests/integration/hub.h"

#define WORLD_PEOPLE 8
#define WORLD_OUT (1u << 20)

struct world {
    struct hubproc hub;
    struct wirekit k;
    struct person people[WORLD_PEOPLE + 1]; /* the last one is pinned */
    char dir[512]; /* for the tests' files */
    char out[WORLD_OUT], err[WORLD_OUT]; /* of the newest run */
};

void world_open(struct world *w);
void world_close(struct world *w);
/* So many payments and notes more. */
void world_pay(struct world *w, unsigned count);
/* "stoa-audit <...>" with %s of arguments, in w->dir, policy file "policy" beside; its exit
 * code, output in w->out and w->err. */
__attribute__((format(printf, 2, 3))) int world_audit(struct world *w, const char *format, ...);
/* Any shell command in w->dir, likewise. */
__attribute__((format(printf, 2, 3))) int world_run(struct world *w, const char *format, ...);
/* The hub's signed note of a slot; and one that its own log key signs over a made-up tree. */
size_t world_note(struct world *w, uint32_t slot, char *out, size_t cap);
void world_forge(struct world *w, uint32_t slot, uint64_t size, char *out, size_t cap);
/* Copies folder `from` to `to`, with another last leaf in a slot (of less than 256 records),
 * signed by the hub's own log key. Returns the slot's size. */
uint64_t world_fork_copy(struct world *w, const char *from, const char *to, uint32_t slot);
/* Waits until nothing is in flight. */
void world_settle(struct world *w);

#endif
