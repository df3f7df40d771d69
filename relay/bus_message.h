/* What the commit thread tells the other relays of this hub after a commit: never before it is
 * durable, never waiting for anybody. The other end is relay/follow.h. */
#ifndef RELAY_BUS_MESSAGE_H
#define RELAY_BUS_MESSAGE_H

#include "relay/relay.h"

/* Add the message about one commit to `out`. It carries the batch when that is small and no
 * record is of a pinned account; else it only rings. Nothing without a bus. */
void bus_message_add(struct relay *r, struct chain_of_links *out, uint64_t epoch,
                     const struct seq_commit *done);
/* Hand them over, and be done: the bus drops what it cannot send. */
void bus_message_send(struct relay *r, struct chain_of_links *out);
void bus_message_drop(struct chain_of_links *out);

#endif
