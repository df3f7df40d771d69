/* The real stoad in a folder of its own, and connections to it. */
#ifndef TESTS_BENCH_HUB_H
#define TESTS_BENCH_HUB_H

#include "ledger/wire.h"
#include "tests/bench/bench.h"
#include "tests/bench/people.h"
#include "tests/lib/hubproc.h"
#include "tests/lib/rawws.h"

struct bench_hub {
    struct hubproc proc;
    struct hash federation;
    char name[HUB_NAME_MAX + 1];
    uint32_t slots;
    struct wire_limits limits;
    struct vkey log_keys[SLOTS_MAX];
    char state[400], keys[420], uri[420];
};

/* `stoad init`, and start unless told not to. Ends the program when that fails; the child is
 * ended and its folder removed whenever the program ends. `settings` may be NULL. */
void hub_init(struct bench_hub *h, const struct options *o);
void hub_start(struct bench_hub *h); /* and learn who it is */
/* From record 0 of every log; one that others started needs its port only. */
void hub_learn(struct bench_hub *h);
/* $STOAD, or the stoad beside this program, is what hubproc starts. The folder. */
void hub_programs(char out[4096]);
/* kill -9; the folder stays. */
void hub_kill(struct bench_hub *h);
/* SIGTERM and wait. */
void hub_stop(struct bench_hub *h);
void hub_close(struct bench_hub *h);
/* The issuer's key, from the folder. */
struct key *hub_issuer(const struct bench_hub *h);

/* Connect, greet; device NULL: anonymous. */
void hub_connect(struct bench_hub *h, struct rawws *c, const struct key *device);
/* The first half: connected, challenge read, hello sent. Then hub_welcomed. */
void hub_greet(struct bench_hub *h, struct rawws *c, const struct key *device);
void hub_welcomed(struct rawws *c);
/* Send one frame without lists; wait for its answer of `type`. */
void hub_send(struct rawws *c, const struct wire_frame *f);
void hub_answer(struct rawws *c, struct wire_frame *f, uint64_t type);

/* Does the receipt prove that this envelope is under that signed checkpoint? */
bool receipt_holds(const struct bench_hub *h, const struct wire_result *r, struct bytes note,
                   struct bytes envelope);

struct memory {
    uint64_t rss, pss, anonymous; /* bytes; pss 0: not to be read */
};
struct memory hub_memory(const struct bench_hub *h);

#endif
