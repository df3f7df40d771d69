/* A slot that advanced, as the loop tells it to subscribers: made by the commit thread from
 * what it committed, and by the follower from what another relay committed. Any thread. */
#ifndef RELAY_EVENT_H
#define RELAY_EVENT_H

#include "relay/relay.h"

/* What the slot's log is now, without records: whoever listens reads them from the store.
 * NULL: no memory. */
struct event *event_new(uint32_t slot, tree_size old_size, tree_size new_size,
                        const struct hash *root, struct bytes note);
/* Encode each record once; one of a pinned account also without its envelope and place. The
 * set of pinned accounts knows them by now. Without memory the event stays as it was. */
void event_fill(struct event *e, struct relay *r, const struct store_record records[]);
/* Does anybody listen at all? */
bool event_wanted(const struct relay *r);

#endif
