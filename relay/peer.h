/* Entries and questions for slots that other relays of this hub own: handed to the owner,
 * answers brought back to the client that waits, under its own rid. What waits for whom is
 * federation/forward.h's; a link to another relay is relay/peer_link.c's, a thread each.
 * Format between relays: docs/PROTOCOL.md, "Between relays". A hub of one process has none
 * of this: relay->peers is NULL.
 *
 * Who owns a slot is asked of relay/region.h. An entry of a slot that is ours goes the short
 * way, unless entries of that slot are still under way: then behind them. */
#ifndef RELAY_PEER_H
#define RELAY_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "ledger/err.h"

struct relay;
struct peers;
struct job;
struct job_item;
struct request;

/* ERR_MEMORY. Needs relay->region; peers_close also after this failed. NULL is allowed in
 * peers_stop and peers_close. */
MUST_CHECK enum err peers_open(struct peers **out, struct relay *r);
/* Ends the links. What is under way stays unanswered: before it, drain. */
void peers_stop(struct peers *p);
void peers_close(struct peers *p);

/* Loop: owners changed, and time passes (every WS_TICK_MS). */
void peers_owners(struct peers *p);
void peers_tick(struct peers *p);

/* Loop: takes the items of a verified job whose slots are others'; what stays is ours, and
 * in order. False: nothing stays, the job is gone. What there is no room for stays with the
 * verdict ERR_BUSY. peers_flush after a turn's jobs. */
bool peers_take(struct peers *p, struct job *j);
void peers_flush(struct peers *p);
/* Any thread: a question (HEAD, SETTLEMENT) about something in `slot`. False: no room; `q`
 * was dropped in any case. */
bool peers_ask(struct peers *p, struct request *q, uint32_t slot);
/* Is a question about `slot` another's to answer? Any thread. */
bool peers_others(const struct peers *p, uint32_t slot);
/* Commit thread: an item that was put there as ours and is not any more. False: no room, or
 * it was forwarded to us in the first place and is not forwarded twice. */
bool peers_take_back(struct peers *p, const struct job_item *item);

/* For /v1/status, loop thread: `each` link that there is. */
struct peer_status {
    const char *relay, *address;
    bool up;
    uint32_t waiting; /* entries and questions for it under way */
};
void peers_status(struct peers *p, void (*each)(void *context, const struct peer_status *s),
                  void *context);

#endif
