/* Why is it slow, or why does it not take entries? One pure function over one snapshot of
 * measurements: the same numbers, the same answer. It names causes, the most basic one
 * first, each with what was seen, what it does to clients, and the next command to type; or
 * it says that nothing is wrong and what it looked at. To add a cause: a member of the
 * snapshot, a row in WHY_CAUSES, a judge of that name in why.c, a case in the table of its
 * test. No heap, no clock, no I/O. */
#ifndef RELAY_WHY_H
#define RELAY_WHY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ledger/err.h"
#include "ledger/store_probe.h"

#define WHY_TEXT_MAX 480 /* a server's name, or how to reach it, and a sentence */
#define WHY_TRY_MAX 3
#define WHY_COMMIT_SLOW_US 250000u /* one durable transaction, on average */
#define WHY_COMMIT_HANGS_MS 1000u  /* one under way for longer */
#define WHY_SERVER_MS 5000u        /* for a look at the hub's own database server, .. */
#define WHY_PLACE_MS 1500u         /* .. at one more, .. */
#define WHY_PLACES_MS 4000u        /* .. and at all of those together */
#define WHY_PLACE_LEAST_MS 400u    /* with less left none is looked at: it proves nothing */
#define WHY_LOOP_SILENT_MS 3000u
#define WHY_SKEW_MS 5000u          /* ours against the database server's */
#define WHY_DRIFT_MS 60000u        /* the wall clock against the monotonic one */
#define WHY_VERIFY_BUSY 850u       /* permille of the verify threads' time */
#define WHY_VERIFY_WAIT_US 50000u  /* .. and entries wait this long for a verdict */
#define WHY_FLOOD_SHARE 500u       /* permille of all entries from one address */
#define WHY_FLOOD_ENTRIES 50u      /* a second, refused or paused: below it nobody is flooded */
#define WHY_UNOWNED_MS 5000u       /* a slot may change hands for as long as this */
#define WHY_BUS_SILENT_MS 2000u

/* word, first the causes of others */
#define WHY_CAUSES(X)                                                                    \
    X(DAMAGE, "damage")                                                                  \
    X(BEHIND, "behind")                                                                  \
    X(CLOCK_JUMPED, "clock_jumped")                                                      \
    X(STORE_AWAY, "store_away")                                                          \
    X(PLACE_AWAY, "place_away")                                                          \
    X(DISK_FULL, "disk_full")                                                            \
    X(STORE_LOCK, "store_lock")                                                          \
    X(PLACE_LOCK, "place_lock")                                                          \
    X(STORE_SLOW, "store_slow")                                                          \
    X(PLACE_SLOW, "place_slow")                                                          \
    X(CLOCK_SKEW, "clock_skew")                                                          \
    X(SLOT_UNOWNED, "slot_unowned")                                                      \
    X(LOOP_HANGS, "loop_hangs")                                                          \
    X(MEMORY, "memory")                                                                  \
    X(FLOOD, "flood")                                                                    \
    X(VERIFY_SLOW, "verify_slow")                                                        \
    X(BUS_GONE, "bus_gone")                                                              \
    X(DRAINING, "draining")                                                              \
    X(QUORUM, "quorum")                                                                  \
    X(WRITES_STOPPED, "writes_stopped")

#define WHY_ENUM_(name, word) WHY_##name,
enum why_cause { WHY_CAUSES(WHY_ENUM_) WHY_CAUSE_COUNT };
#undef WHY_ENUM_

enum why_store { WHY_MEMORY_STORE, WHY_SQLITE, WHY_POSTGRES };

/* A server that slots stand at. */
struct why_place {
    struct store_place is;
    bool looked;              /* there was time for a look; else nothing is known of `probe` */
    struct store_probe probe;
    char probe_why[WHY_TEXT_MAX]; /* when it was looked at and is not there */
};

/* One moment, and the window before it. All zero is a relay in which nothing goes on. */
struct why_snapshot {
    uint64_t window_ms; /* of the rates below; 0: not known yet */
    uint64_t loop_silent_ms;
    enum err write_state; /* ERR_OK, or why nothing is sequenced */
    bool draining;
    uint64_t grace_ms;
    /* entries, in the window */
    uint64_t committed, refused_rate, refused_queue;
    uint64_t inflight, inflight_max;
    /* stages */
    uint64_t verify_wait_us, verify_busy, verify_threads, verify_jobs_waiting;
    uint64_t commits, commit_us, commit_usual_us;
    uint64_t append_ms; /* a transaction is under way for as long; 0: none is */
    /* store */
    enum why_store store;
    bool store_away, low_room;
    bool room_known;
    uint64_t free_bytes, min_free_bytes;
    const char *store_place;       /* folder or server, for people; "" */
    struct store_probe probe;
    char probe_why[WHY_TEXT_MAX];  /* when it is a server and is not there */
    /* Slots at several servers: [0] is the hub's own database, of which `probe` tells, all
     * others have slots. 0 or 1: there are no others. */
    size_t place_count;
    struct why_place place[STORE_PLACES_MAX];
    /* clocks */
    int64_t drift_ms; /* vitals_drift_ms, over the window */
    /* region and bus */
    bool region, bus;
    bool leases_lapsed; /* not renewed for their whole life: the store has not answered */
    uint64_t slots, unowned, first_unowned, unowned_ms;
    uint64_t bus_silent_ms; /* 0: it is there */
    char bus_asked_by[WHY_TEXT_MAX]; /* the redis-cli that reaches it; "" */
    /* clients */
    uint64_t connections, held; /* held: not read for a while, since they offended */
    uint64_t top_entries, top_refused; /* a second, of the address that sends the most */
    unsigned top_share;                /* permille */
    char top_address[48];
    /* memory; 0: not measured */
    uint64_t memory_used, memory_max;
    bool memory_tight;
    /* witnesses */
    bool cosign;
    uint64_t logs_below_quorum;
};

struct why_finding {
    enum why_cause cause;
    char said[WHY_TEXT_MAX];   /* the cause, in a sentence */
    char seen[WHY_TEXT_MAX];   /* the evidence */
    char effect[WHY_TEXT_MAX]; /* for clients */
    unsigned try_count;
    char try_this[WHY_TRY_MAX][WHY_TEXT_MAX]; /* commands, or what to do */
};

struct why_look {
    const char *what;
    char seen[WHY_TEXT_MAX];
    bool ok, known;
};
#define WHY_LOOKS_MAX (16 + STORE_PLACES_MAX)

struct why_report {
    size_t count;
    struct why_finding found[WHY_CAUSE_COUNT]; /* the first is the cause to mend first */
    size_t look_count;
    struct why_look looks[WHY_LOOKS_MAX]; /* everything that was looked at */
};

void why_judge(const struct why_snapshot *s, struct why_report *out);
const char *why_word(enum why_cause cause);

#endif
