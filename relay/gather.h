/* How long a batch waits for company. In a region a commit costs the database, and each relay
 * that follows, about as much for a few entries of a slot as for dozens; and entries that stand
 * in line for the verify pool are certain to come. So a batch waits for them, for a moment; where
 * nobody stands in line, as on an idle relay, it goes at once. Where even more came than may
 * stand in line, entries wait for longer than that anyhow, and fewer batches let all of them
 * go sooner: then it waits longer.
 *
 * The commit thread's; it sleeps in here. */
#ifndef RELAY_GATHER_H
#define RELAY_GATHER_H

#include "relay/work.h"

#define GATHER_MS 40u       /* longest wait of the first entry .. */
#define GATHER_PRESSED_MS 150u /* .. and when more came than goes out */
#define GATHER_STEP_MS 2u   /* between two looks */
#define GATHER_JOBS 2u      /* fewer in line are not waited for */
#define GATHER_TAKE_MAX 4096u /* taken from the queue at one look */

static inline uint64_t gather_ms(bool pressed)
{
    return pressed ? GATHER_PRESSED_MS : GATHER_MS;
}

/* `got` was taken from `commit` and holds work of any kind. Adds to it what comes within
 * `for_ms` while at least GATHER_JOBS jobs are in `in_line` and `got` has some entries, but
 * fewer than `most`. */
void gather(struct queue *commit, struct queue *in_line, uint64_t most, uint64_t for_ms,
            struct chain_of_links *got);

#endif
