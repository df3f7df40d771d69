/* How long a batch waits for company. In a region a commit costs the database, and each relay
 * that follows, about as much for a few entries of a slot as for dozens; and entries that stand
 * in line for the verify pool are certain to come. So a batch waits for them, for a moment; where
 * nobody stands in line, as on an idle relay, it goes at once.
 *
 * The commit thread's; it sleeps in here. */
#ifndef RELAY_GATHER_H
#define RELAY_GATHER_H

#include "relay/work.h"

#define GATHER_MS 40u       /* longest wait of the first entry */
#define GATHER_STEP_MS 2u   /* between two looks */
#define GATHER_JOBS 2u      /* fewer in line are not waited for */
#define GATHER_TAKE_MAX 4096u /* taken from the queue at one look */

/* `got` was taken from `commit` and holds work of any kind. Adds to it what comes while at least
 * GATHER_JOBS jobs are in `in_line` and `got` has some entries, but fewer than `most`. */
void gather(struct queue *commit, struct queue *in_line, uint64_t most,
            struct chain_of_links *got);

#endif
