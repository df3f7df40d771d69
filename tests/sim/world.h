/* The world a seed makes: virtual time, actors, a network between them, what goes wrong,
 * and the story of it all. Nothing happens in it that the seed did not decide. It knows
 * nothing of hubs or clients: a new room is an actor with a handful of callbacks. */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/hash.h"
#include "rng.h"
#include "stats.h"

#define ACTORS_MAX 512
#define ACTOR_NAME_MAX 24

struct world;
struct actor;

/* A message on its way. Owned by the world until it is handed over, then freed. */
struct message {
    uint32_t from;
    uint32_t what; /* the receiver's business; below ACTOR_MESSAGES */
    uint64_t line; /* number of the connection it belongs to */
    size_t size;
    uint8_t bytes[];
};

/* Something an actor asked to be told at a time. */
struct timer {
    uint32_t what;
    uint64_t a;
};

struct actor_ops {
    void (*message)(struct world *w, struct actor *a, const struct message *m);
    void (*timer)(struct world *w, struct actor *a, const struct timer *t);
    /* Is nothing left to do? NULL: never anything. `why`: what, when not. */
    bool (*done)(struct world *w, struct actor *a, const char **why);
    void (*close)(struct actor *a);
};

struct actor {
    const struct actor_ops *ops;
    uint32_t id;
    char name[ACTOR_NAME_MAX];
    uint64_t paused_until;  /* its process stands still */
    uint64_t cut_off_until; /* no message reaches it or leaves it */
    uint64_t clogged_until; /* its messages wait */
};

struct happening {
    uint64_t at_ms;
    uint64_t order; /* of two at one time the older comes first */
    uint32_t actor;
    bool is_message;
    struct timer timer;
    struct message *message;
};

struct sim_options {
    uint64_t seed;
    uint64_t without; /* a bit for each fault */
    uint32_t groups;  /* accounts a hub starts with; 0: drawn */
    uint32_t entries; /* acknowledged before all is healed; 0: drawn */
    uint32_t plant;   /* a defect on purpose, enum plant */
};

/* Defects to try the checker on. */
enum plant {
    PLANT_NONE,
    PLANT_FORGET,
    PLANT_FORGERY,
    PLANT_RECEIPT,
    PLANT_SKIP,  /* a subscriber is not sent a record */
    PLANT_PAST,  /* records past the checkpoint they come with */
    PLANT_PROOF, /* a proof of another leaf */
    PLANT_COUNT
};
extern const char *const plant_words[PLANT_COUNT];

struct world {
    struct sim_options options;
    struct rng rng;
    uint64_t now_ms;
    bool calm;                /* nothing goes wrong any more */
    bool closing;             /* nobody begins anything new */
    uint32_t rate[BAD_COUNT]; /* per mille */
    uint32_t delay_ms;        /* of a message, at most, when nothing is wrong */
    uint32_t actor_count;
    struct actor *actors[ACTORS_MAX];
    size_t event_count, event_cap;
    struct happening *events; /* a heap */
    uint64_t order;
    struct stats stats;
    char *story;
    size_t story_size, story_cap;
    void *rooms; /* the actors' common ground: struct town */
};

void world_open(struct world *w, const struct sim_options *o);
void world_close(struct world *w);
/* The one that is open; there is one at a time. */
struct world *world_running(void);
/* Takes the actor in; it is closed with the world. */
void world_add(struct world *w, struct actor *a);
void world_at(struct world *w, const struct actor *a, uint64_t in_ms, uint32_t what,
              uint64_t arg);
/* Send; it may be lost, late, or come twice. `fragile`: never twice (a handshake). */
void world_send(struct world *w, uint32_t from, uint32_t to, uint32_t what, uint64_t line,
                const void *bytes, size_t size, bool fragile);
/* A connection that loses nothing and keeps its order, as TCP does: what goes wrong makes
 * it late. One for each direction; all zero is a new one. */
struct stream {
    uint64_t at_ms; /* when the newest message arrives */
};
void world_stream(struct world *w, struct stream *s, uint32_t from, uint32_t to,
                  uint32_t what, uint64_t line, const void *bytes, size_t size);
/* The next event; false when there is none. */
bool world_step(struct world *w);
/* Does this go wrong now? Counts it when it does. */
bool goes_wrong(struct world *w, enum fault f);
uint32_t draw(struct world *w, uint32_t limit);
static inline void saw(struct world *w, enum seen_what what)
{
    w->stats.seen[what]++;
}

/* One line of the story. */
__attribute__((format(printf, 2, 3))) void say(struct world *w, const char *format, ...);
/* What must not be: tells the story and ends the process. */
__attribute__((format(printf, 2, 3))) _Noreturn void fail(struct world *w,
                                                          const char *format, ...);
/* For whoever finds the program aborting: the story of the world that is running. */
void world_tell(void);
/* How many of the last lines world_tell prints; 0: all. */
extern size_t world_tell_lines;

#endif
