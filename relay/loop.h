/* The main thread: connections, their sessions and subscriptions, and the traffic between
 * the transport edge (ws.h) and the threads (verify, commit, readers). Decisions about
 * one connection are relay/session.c's; this wires them. */
#ifndef RELAY_LOOP_H
#define RELAY_LOOP_H

#include "ledger/err.h"

struct relay;
struct loop;
struct tls;

/* `tls` (NULL: plain) is borrowed for the call. */
MUST_CHECK enum err loop_open(struct loop **out, struct relay *r, const struct tls *tls,
                              char *why);
/* Runs until drained or broken. */
void loop_run(struct loop *l);
void loop_close(struct loop *l);

#endif
