/* Shared by the follow*.c files. */
#ifndef RELAY_FOLLOW_INTERNAL_H
#define RELAY_FOLLOW_INTERNAL_H

#include "federation/bus.h"
#include "relay/bus_redis.h"
#include "relay/follow.h"

/* What the thread is told. */
enum news_kind {
    NEWS_MESSAGE, /* from the bus */
    NEWS_RING,    /* the sizes are in follow->rung; or owners changed */
    NEWS_BUS_UP   /* messages were missed until now */
};
struct news {
    struct link link;
    enum news_kind kind;
    uint32_t slot;
    uint32_t size;
    uint8_t data[];
};

/* How much of a slot is shown. */
struct follow_view {
    bool shown;
    tree_size size;
    tree_size seen; /* an owner's answer has shown this much */
    size_t note_size;
    char note[CHECKPOINT_BYTES_MAX];
};

/* A slot as the thread holds it; `log` NULL: it is ours, or not loaded. */
struct followed {
    struct slotlog *log;
    uint64_t retry_ms, pause_ms; /* when it is loaded again, and the pause before that */
    uint64_t heard_ms;           /* when the store or the bus last told of it */
    bool behind;                 /* the store shows less than was shown: said once */
};

struct follow {
    struct relay *r;
    struct sequencer_config config; /* for replay: keys are only compared */
    struct store *store;            /* own handle: snapshots. Closed here when `opened` */
    bool opened;
    struct store_reader *reader;
    struct bus bus;
    struct bus_redis *redis; /* NULL: none configured */
    struct effects fx;
    struct store_record *records; /* room for a batch or a page: FOLLOW_EVENT_RECORDS */
    struct buf envelopes;         /* of a page */
    pthread_t thread;
    bool started;
    struct queue news;
    atomic_size_t news_count, news_bytes;
    atomic_bool ringing;              /* a NEWS_RING is in the queue */
    _Atomic uint64_t rung[SLOTS_MAX]; /* 0 none; else size + 1 */
    atomic_uint loading;              /* slots that cannot be read yet */
    atomic_bool joined;               /* there were none, or it took too long */
    uint64_t began_ms;
    struct followed slots[SLOTS_MAX]; /* the thread's */
    pthread_mutex_t lock;             /* of what is below */
    pthread_cond_t grown;
    struct follow_view views[SLOTS_MAX];
};

/* Records on their way in: the first `count` of follow->records, spans living until the call
 * is over. Account, id and position are filled by follow_replay. */
struct arrivals {
    uint32_t slot;
    tree_size first;
    size_t count;
    enum metric_source source;
};

/* follow.c: for tests, which turn the wheel themselves. `store` is borrowed and used by the
 * follower alone. ERR_MEMORY; errors of reader_open. */
MUST_CHECK enum err follow_make(struct relay *r, struct store *store);
/* Handle what is in the queue, then whatever is due. Milliseconds until it is due again. */
uint64_t follow_turn(struct follow *f, uint64_t wait_ms);
void follow_heard(void *follow, uint32_t slot, struct bytes message);

/* follow_take.c: everything a slot has in the store and we have not. An error other than
 * ERR_STORE: the slot is to be forgotten and loaded again. */
MUST_CHECK enum err follow_look(struct follow *f, uint32_t slot);
/* One message that came on the slot's channel, with the same errors. */
MUST_CHECK enum err follow_hear(struct follow *f, uint32_t slot, struct bytes message);
/* All of a slot, as the store has it now. */
MUST_CHECK enum err follow_load(struct follow *f, uint32_t slot);
void follow_forget(struct follow *f, uint32_t slot);

/* follow_view.c. Grow the view to `size` under `note`, which was verified, and tell the loop
 * by `m` (NULL: no memory; subscribers catch up later): in one step, so that nobody can learn
 * of one and miss the other. */
void view_grow(struct follow *f, uint32_t slot, tree_size size, struct bytes note,
               struct mail *m);
/* The store has less than was shown. */
void view_hide(struct follow *f, uint32_t slot);
tree_size view_size(struct follow *f, uint32_t slot);

#endif
