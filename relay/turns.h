/* Whose jobs go next: deficit round robin (Shreedhar, Varghese, 1995) between connections,
 * counted in entries, so that who sends much waits for himself and not others for him. A
 * connection's own jobs stay in their order. Pure, no heap; one thread. */
#ifndef RELAY_TURNS_H
#define RELAY_TURNS_H

#include "relay/work.h"

#define TURN_ENTRIES JOB_ENTRIES_MAX /* of one connection in one round: a largest job */
#define TURN_PEER_ENTRIES (16u * TURN_ENTRIES) /* of another relay, who has many clients */

/* One connection's; all zero with a quantum is ready. It must not go away while jobs of it
 * wait. */
struct turn {
    struct turn *next;           /* in the round */
    struct chain_of_links jobs;  /* by work.link */
    uint32_t quantum;
    uint32_t credit; /* entries it may still give in this round */
};
/* All zero is ready. */
struct turns {
    struct turn *first, *last; /* those with jobs */
    uint64_t entries;          /* that wait */
};

void turns_add(struct turns *t, struct turn *of, struct job *j);
/* The next job; NULL: none waits. */
struct job *turns_next(struct turns *t);

#endif
