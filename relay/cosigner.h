/* Gathering cosignatures of this hub's checkpoints: one thread a witness of the operator's
 * policy, each with a reader of the store and a connection of its own, so that one that is
 * slow or gone holds up nobody. What is decided is federation/cosign; here are the lock, the
 * threads and the trace. Never on the way of a commit or an answer: whoever publishes or
 * reads takes a lock under which no I/O happens. */
#ifndef RELAY_COSIGNER_H
#define RELAY_COSIGNER_H

#include "federation/cosign.h"
#include "ledger/err.h"

#define COSIGNER_WHY_MAX 600
#define COSIGNER_ANSWER_MAX (64u << 10) /* of a witness; longer is a failure */

struct relay;
struct cosigner;

/* *out stays NULL when cosign.policy is "". ERR_CONFIG: the policy will not do, `why`
 * (COSIGNER_WHY_MAX) says what; ERR_MEMORY. No thread runs yet. */
MUST_CHECK enum err cosigner_open(struct cosigner **out, struct relay *r, char *why);
/* After the first cosigner_published of every slot. ERR_MEMORY. */
MUST_CHECK enum err cosigner_start(struct cosigner *c);
/* Ends the threads: at once but for a name being looked up. */
void cosigner_stop(struct cosigner *c);
void cosigner_close(struct cosigner *c);

/* Below: any thread; `c` NULL does nothing, or says there is none. */
void cosigner_published(struct cosigner *c, uint32_t slot, tree_size size, struct bytes note);
/* What is to be served, and the newest with a quorum: length of the note in
 * out[COSIGNED_BYTES_MAX]; 0: none. */
size_t cosigner_served(struct cosigner *c, uint32_t slot, char out[COSIGNED_BYTES_MAX]);
size_t cosigner_quorum(struct cosigner *c, uint32_t slot, char out[COSIGNED_BYTES_MAX]);
/* Loop thread, about once a second: metrics, and one trace event a change. */
void cosigner_watch(struct cosigner *c);

/* For people. */
const struct policy *cosigner_policy(const struct cosigner *c);
void cosigner_slot(struct cosigner *c, uint32_t slot, struct cosign_state *out);
void cosigner_witness(struct cosigner *c, unsigned witness, struct cosign_witness *out);

#endif
