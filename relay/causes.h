/* Transfers whose payees are not all settled yet: by entry id, how many are left and who
 * wants to hear of it. The commit thread's own. State does not grow with the log: a cause
 * leaves when its last item settles. */
#ifndef RELAY_CAUSES_H
#define RELAY_CAUSES_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/hash.h"
#include "ledger/err.h"

#define CAUSE_WATCHERS_MAX                                                               \
    4u /* connections told of one cause; one more takes the place                        \
          of the one that came first */

struct cause {
    struct cause *next;
    struct hash id;
    uint32_t left;
    uint32_t watcher_count;
    uint64_t watchers[CAUSE_WATCHERS_MAX]; /* connection ids, in the order they came */
    uint64_t since_us; /* monotonic time of the commit; 0: before this process */
};
struct causes {
    struct cause **buckets;
    size_t bucket_count;
    size_t count;
    uint64_t seed;
    struct cause *spare;
};

MUST_CHECK enum err causes_open(struct causes *c, uint64_t seed);
void causes_close(struct causes *c);
/* NULL: nothing under way. */
struct cause *causes_find(struct causes *c, const struct hash *id);
/* The one there is, or a new one with left 0; NULL: no memory. */
struct cause *causes_add(struct causes *c, const struct hash *id);
/* Connection `watcher` wants to hear of it; once is enough. */
void cause_watch(struct cause *c, uint64_t watcher);
void causes_remove(struct causes *c, const struct hash *id);
/* Count anew: every `left` becomes 0; and, when it has been counted, those of which nothing
 * is left leave. Whoever watches one of them is not told: he asks again. */
void causes_zero(struct causes *c);
void causes_sweep(struct causes *c);

#endif
