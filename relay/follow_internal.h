/* Shared by the follow*.c files. */
#ifndef RELAY_FOLLOW_INTERNAL_H
#define RELAY_FOLLOW_INTERNAL_H

#include "federation/bus_presence.h"
#include "relay/bus_redis.h"
#include "relay/follow.h"

/* What the thread is told. */
enum news_kind {
    NEWS_MESSAGE, /* from the bus */
    NEWS_RING,    /* the sizes are in follow->rung, ->expected; or owners changed */
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
    bool loading; /* with the loader, or in what it has done */
    uint64_t retry_ms, pause_ms; /* when it is loaded again, and the pause before that */
    uint64_t heard_ms;           /* when the store or the bus last told of it */
    tree_size forked_at;         /* a fork of this size was kept */
    bool behind;                 /* the store shows less than was shown: said once */
};

struct follow {
    struct relay *r;
    struct sequencer_config config; /* for replay: keys are only compared */
    struct store *store; /* own handle, the loader's. Closed here when `opened` */
    bool opened;
    struct store_reader *reader;
    struct bus bus;
    struct bus_heard judged; /* the message that is looked at */
    struct bus_redis *redis; /* NULL: none configured */
    struct effects fx;
    struct store_record *records; /* room for a batch or a page: FOLLOW_EVENT_RECORDS */
    struct buf envelopes;         /* of a page */
    pthread_t thread, loader;
    bool started, loader_started;
    atomic_bool stopping;
    struct queue news;
    struct queue to_load, loaded; /* struct follow_loaded */
    atomic_size_t news_count, news_bytes;
    atomic_bool ringing;              /* a NEWS_RING is in the queue */
    _Atomic uint64_t rung[SLOTS_MAX]; /* 0 none; else size + 1 */
    _Atomic uint64_t expected[SLOTS_MAX]; /* the same of what the bus may bring */
    atomic_uint loading;              /* slots that cannot be read yet */
    atomic_bool joined;               /* there were none, or it took too long */
    uint64_t began_ms;
    struct followed slots[SLOTS_MAX]; /* the thread's */
    pthread_mutex_t lock;             /* of what is below */
    pthread_cond_t grown;
    struct bus_relays heard; /* on the bus */
    uint64_t beat_ms;        /* when we said last that we are there; the thread's */
    struct follow_view views[SLOTS_MAX];
};

/* Records on their way in: the first `count` of follow->records, spans living until the call
 * is over. Account, id and position are filled by follow_replay. */
struct arrivals {
    uint32_t slot;
    tree_size first;
    size_t count;
    enum metric_source source;
    const struct hash *leaves; /* of each, when they are known; else NULL */
};

/* follow.c: for tests, which turn the wheel themselves. `store` is borrowed and used by the
 * follower alone. ERR_MEMORY; errors of reader_open. */
MUST_CHECK enum err follow_make(struct relay *r, struct store *store);
/* As follow_ring, where the bus may be about to bring it. */
void follow_expect(struct follow *f, uint32_t slot, tree_size size);
/* Handle what is in the queue, then whatever is due. Milliseconds until it is due again. */
uint64_t follow_turn(struct follow *f, uint64_t wait_ms);
void follow_heard(void *follow, uint32_t slot, struct bytes message);

/* follow_take.c: everything a slot has in the store and we have not. An error other than
 * ERR_STORE: the slot is to be forgotten and loaded again. */
MUST_CHECK enum err follow_look(struct follow *f, uint32_t slot);
/* One message that came on the slot's channel, with the same errors. */
MUST_CHECK enum err follow_hear(struct follow *f, uint32_t slot, struct bytes message);
/* The log is at its new size under `note`. With `all`, f->records are what is new since
 * old_size; else subscribers read the store. */
void follow_show(struct follow *f, uint32_t slot, tree_size old_size, struct bytes note,
                 bool all);
/* The store has `size` records, and `shown` were shown. */
void follow_see_behind(struct follow *f, uint32_t slot, tree_size size, tree_size shown);

/* follow_load.c: all of a slot, as the store has it now. On the loader's thread. */
struct follow_loaded {
    struct link link;
    uint32_t slot;
    uint64_t began_ms;
    tree_size shown; /* when it began */
    struct recover_mark mark;
    enum err err;
    struct slotlog *log; /* ERR_OK, or not adopted */
    struct store_slot at;
    struct recover_report report;
};
void follow_read_slot(struct follow *f, struct follow_loaded *l);
void *follow_loader_thread(void *follow);
/* On the follower's: it is followed from here on. An error: it is not. */
MUST_CHECK enum err follow_adopt(struct follow *f, struct follow_loaded *l);
void follow_loaded_drop(struct follow *f, struct follow_loaded *l);
void follow_forget(struct follow *f, uint32_t slot);

/* follow_view.c. Grow the view to `size` under `note`, which was verified, and tell the loop
 * by `m` (NULL: no memory; subscribers catch up later): in one step, so that nobody can learn
 * of one and miss the other. */
void view_grow(struct follow *f, uint32_t slot, tree_size size, struct bytes note,
               struct mail *m);
/* The store has less than was shown. */
void view_hide(struct follow *f, uint32_t slot);
tree_size view_size(struct follow *f, uint32_t slot);
size_t view_note(struct follow *f, uint32_t slot, char note[CHECKPOINT_BYTES_MAX]);

#endif
