/* The commit thread: owns the sequencer and the store's writer. Whatever waits is the
 * next batch; an idle relay commits at once. Order of effects: sequence, one durable
 * append, then answers and subscribers. Between batches it answers questions about
 * committed state (HEAD, SETTLEMENT), puts checked attachments into the store and saves
 * snapshots. */
#ifndef RELAY_COMMIT_H
#define RELAY_COMMIT_H

#include "ledger/err.h"

struct relay;
struct commit;

#define COMMIT_IDLE_MS 1000u   /* longest sleep; also the retry of a full disk */
#define COMMIT_LOAD_MS 100u   /* .. while a slot that was taken is not loaded */
#define COMMIT_TAKE_MAX 4096u  /* jobs and requests taken from the queue at once */
#define ASKS_WAITING_MAX 8192u /* HEAD and SETTLEMENT in the queue; past it: busy */
#define ASKS_A_CYCLE 256u      /* answered before a batch; a HEAD costs a signature */
#define SEALS_WAITING_MAX 512u /* checked attachments in the queue; past it: busy */
#define SEALS_A_CYCLE 4u       /* written after a batch; each is a transaction */

/* Recovers every slot (ledger/recover.h) on the calling thread; in a region none yet. `why` has STORE_WHY_MAX
 * room. Errors of recover_slot, named with the slot; ERR_MEMORY. */
MUST_CHECK enum err committer_open(struct commit **out, struct relay *r, char *why);
/* Start the thread. */
MUST_CHECK enum err committer_start(struct commit *c);
/* Finish what is queued (relay->commit was ended), save snapshots, end the thread. */
void committer_stop(struct commit *c);
void committer_close(struct commit *c);

#endif
