/* What relay/region.c, relay/region_channel.c and relay/commit_region.c share.
 *
 * Three threads: the region thread owns the leases; the commit thread loads slots and
 * lets them go; the channel thread reads what other relays' slots sent to ours, and how
 * they settled what ours sent. Orders go down by `order`, news come up by `news`, both
 * one word a slot; the tables below are atomics or stand behind `lock`. */
#ifndef RELAY_REGION_INTERNAL_H
#define RELAY_REGION_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "federation/lease.h"
#include "ledger/sequencer.h"
#include "relay/region.h"
#include "relay/relay.h"

#define REGION_ITEMS_A_PAIR 512u /* outbox items of one channel read at a time */
#define REGION_ITEMS_MAX 8192u   /* .. of all, handed to the commit thread at once */
#define REGION_SENT_MAX 8192u    /* settlements handed over at once */
/* Records of one destination read for settlements in one look. A channel that was quiet has all
 * records since its last payment behind it; the settlement is among the last of them. */
#define REGION_LOOK_RECORDS 16384u
#define REGION_PAIRS_MAX 8192u /* channels asked for at once; the rest in the next turn  \
                                */
#define REGION_LEAVE_MS 5000u  /* at the end: wait so long for slots to be let go */
_Static_assert(REGION_PAIRS_MAX <= REGION_ITEMS_MAX, "one item of each at least");

enum region_order {
    REGION_NO_ORDER,
    REGION_LOAD,
    REGION_LET_GO, /* what is queued first */
    REGION_DROP    /* at once */
};
enum region_news {
    REGION_NO_NEWS,
    REGION_LOADED,
    REGION_LEFT, /* let go or dropped */
    REGION_DOUBT /* the store says the slot may be somebody else's: look */
};

/* A channel with one end here, as the commit thread left it. */
enum region_end { REGION_NEITHER, REGION_SENDS, REGION_RECEIVES };
struct region_cell {
    atomic_int end;
    atomic_ullong
        from;         /* SENDS: first open out_seq; RECEIVES: first one not known here */
    atomic_ullong to; /* SENDS: after the last open one */
    atomic_ullong
        index; /* SENDS: the destination's records up to this settle nothing open */
};
#define REGION_INDEX_UNKNOWN UINT64_MAX

struct region {
    struct relay *r;
    struct lease_self self;
    struct store_lease *leases;   /* region thread */
    struct store_lease *channels; /* channel thread */
    struct store_lease *commits;  /* commit thread */
    struct store_reader *reader;  /* channel thread */
    struct lease_core core;       /* region thread */
    struct lease_look look;       /* .. what it saw last */
    struct lease_step steps[SLOTS_MAX];
    uint64_t since_ms[SLOTS_MAX]; /* .. when a slot was taken, for the trace */
    pthread_t thread, channel_thread;
    bool started, channel_started;
    int wake, bell; /* eventfds of the two threads */
    atomic_bool stop, drain, drained;
    atomic_bool joined;
    atomic_ullong fresh_until_ms; /* our leases hold so long at least (clock_boot_ms) */
    atomic_bool waits_name;       /* another process of our name is alive */
    atomic_ullong generation;
    atomic_bool owns[SLOTS_MAX];
    atomic_ullong epochs[SLOTS_MAX]; /* commit thread: of the slots it loaded */
    atomic_int order[SLOTS_MAX], news[SLOTS_MAX];
    struct region_cell *cells; /* slots * slots, by source then destination */
    atomic_bool batch_out;     /* a batch is with the commit thread */
    pthread_mutex_t lock;
    uint64_t looked_ms; /* when the store was asked for the members (clock_boot_ms) */
    size_t member_count;
    struct region_member members[REGION_RELAYS_MAX];
    bool owned[SLOTS_MAX];
    struct region_owner owners[SLOTS_MAX];
};

static inline struct region_cell *region_cell_of(const struct region *g, uint32_t source,
                                                 uint32_t destination)
{
    return &g->cells[(size_t)source * g->r->slots + destination];
}

/* region.c. Any thread. */
void region_wake(struct region *g);
void region_tell(struct region *g, uint32_t slot, enum region_news news);
/* region_channel.c */
void region_bell(struct region *g);
void *region_channel_thread(void *region);

/* Bringing up and down (relay/start.c). region_open before the commit thread is opened,
 * with the store open; region_start when the listener stands, since its port may be ours.
 */
MUST_CHECK enum err region_open(struct region **out, struct relay *r, char *why);
MUST_CHECK enum err region_start(struct region *g, uint16_t port);
/* Give the leases back (the commit thread still runs) and end the threads. */
void region_stop(struct region *g);
void region_close(struct region *g);

#endif
