/* The HTTP side of a witness: other logs bring checkpoints, a thread of its own judges and
 * cosigns them, one after the other, and answers only what is on disk. Beside the ledger:
 * it shares no lock with commits. Formats: docs/PROTOCOL.md "Witness and cosignatures". */
#ifndef RELAY_WITNESS_DOOR_H
#define RELAY_WITNESS_DOOR_H

#include "relay/work.h"
#include "relay/ws.h"

#define WITNESS_PREFIX "/witness/" /* submission and monitoring prefix of every hub */
#define WITNESS_WAITING_MAX 256u   /* requests in the queue; past it: 503 */
#define WITNESS_DOOR_WHY_MAX 600

struct relay;
struct witness_door;

/* *out stays NULL when witness.logs is "". ERR_CONFIG: policy, key or store will not do,
 * `why` (WITNESS_DOOR_WHY_MAX) says what to do; ERR_MEMORY, and those of
 * witness_store_open. */
MUST_CHECK enum err witness_door_open(struct witness_door **out, struct relay *r, char *why);
/* Answers what is queued, then ends. NULL is fine. */
void witness_door_close(struct witness_door *d);

/* Loop thread: a POST to add-checkpoint. 0: taken, its answer comes as MAIL_WITNESS; else
 * the status to answer at once. `d` NULL: 404. */
unsigned witness_door_post(struct witness_door *d, conn_id conn, const struct ws_address *a,
                           struct bytes body);
/* Any thread: what was last cosigned of the log whose origin has this hash, in lower-case
 * hex. Length in out[WITNESS_NOTE_MAX]; 0: nothing. */
#define WITNESS_NOTE_MAX (2u * CHECKPOINT_BYTES_MAX)
size_t witness_door_checkpoint(struct witness_door *d, const char *hex,
                               char out[WITNESS_NOTE_MAX]);
/* Any thread, for people: the i-th witnessed log; false past the end. time 0: never
 * cosigned. */
struct witness_door_log {
    const char *origin;
    uint64_t size, time;
};
bool witness_door_log(struct witness_door *d, size_t i, struct witness_door_log *out);
const struct vkey *witness_door_vkey(const struct witness_door *d);

#endif
