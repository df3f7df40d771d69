/* What is under way between the slots of a hub: one queue per (source, destination), in
 * out_seq order, holding items whose cause is durable and which are not durably settled.
 * The destination's next_in is the truth about what is settled; everything here is
 * rebuilt from it and from the stores' outboxes. Pure but for a struct alloc. */
#ifndef LEDGER_OUTBOX_H
#define LEDGER_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ledger/account.h"
#include "ledger/bytes.h"
#include "ledger/err.h"

struct outbox;

MUST_CHECK enum err outbox_open(struct outbox **out, const struct alloc *mem,
                                uint32_t slots);
void outbox_close(struct outbox *o);

/* A source slot was loaded: `items` are what its store still holds, in log order;
 * next_out[d] is where its own log stands towards slot d; since_ms is an hour no item is
 * older than. What was queued from it before is replaced. On error nothing is queued from
 * it. ERR_CORRUPT: items are missing or out of order; ERR_BEHIND: a destination has
 * settled more than this log put out; ERR_MEMORY. */
MUST_CHECK enum err outbox_source_ready(struct outbox *o, uint32_t source,
                                        const struct channel_item items[], size_t count,
                                        const uint64_t next_out[], uint64_t since_ms);
/* A destination slot was loaded: next_in[s] is where its log stands with slot s. Settled
 * items are dropped. On error nothing is changed. ERR_CORRUPT: items it waits for are
 * gone; ERR_BEHIND: it has settled more than a source put out, or less than before. */
MUST_CHECK enum err outbox_destination_ready(struct outbox *o, uint32_t destination,
                                             const uint64_t next_in[]);
/* The slot went down: what was taken for it and not settled is due again. */
void outbox_slot_down(struct outbox *o, uint32_t slot);

/* Several relays share the ledger: one end of a channel may be elsewhere.
 * The slot is another relay's from now on: what it sent is forgotten, what others sent it is
 * kept for those that are here. */
void outbox_slot_gone(struct outbox *o, uint32_t slot);
/* Items, in order, whose source is elsewhere and whose destination is here; others, and those
 * that are known, are passed over. ERR_RANGE: some before one of them are missing (look again
 * from outbox_span's end); ERR_MEMORY. Those before stay. */
MUST_CHECK enum err outbox_receive(struct outbox *o, const struct channel_item items[],
                                   size_t count);
/* Elsewhere the item was settled: as outbox_settle. False: it is not the oldest open one of
 * its channel, or that channel is not from here to elsewhere. */
bool outbox_settle_sent(struct outbox *o, uint32_t source, uint32_t destination,
                        uint64_t out_seq, struct channel_item *item, uint32_t *remaining);
/* Elsewhere everything below next_in was settled. ERR_BEHIND: more than was sent. */
MUST_CHECK enum err outbox_settle_sent_to(struct outbox *o, uint32_t source,
                                          uint32_t destination, uint64_t next_in);
/* Open are items [*settled, *end). False: nothing is known of this channel. */
bool outbox_span(const struct outbox *o, uint32_t source, uint32_t destination,
                 uint64_t *settled, uint64_t *end);

/* Queue the items of one record that became durable at since_ms: all or none. ERR_MEMORY: the
 * slot must be reloaded (outbox_slot_down, outbox_source_ready): its queues are not complete. */
MUST_CHECK enum err outbox_put(struct outbox *o, const struct channel_item items[],
                               size_t count, uint64_t since_ms);

/* Items for a destination that nobody took yet. */
uint64_t outbox_due(const struct outbox *o, uint32_t destination);
/* The next item of a pair to settle, NULL when there is none; outbox_take moves past it.
 */
const struct channel_item *outbox_next(const struct outbox *o, uint32_t source,
                                       uint32_t destination);
void outbox_take(struct outbox *o, uint32_t source, uint32_t destination);
/* The oldest taken item became durably settled. Copies it to *item and the number of
 * items of the same cause still under way to *remaining; false when the item is not known
 * here. */
bool outbox_settle(struct outbox *o, uint32_t source, uint32_t destination,
                   struct channel_item *item, uint32_t *remaining);

/* Records of `source` below this index have no unsettled item; `end` when none has. */
uint64_t outbox_low(const struct outbox *o, uint32_t source, uint64_t end);
/* Items of slots that are here not settled, and since when the oldest waits (0: none). */
uint64_t outbox_waiting(const struct outbox *o, uint64_t *oldest_since_ms);

#endif
