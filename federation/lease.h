/* Who should hold which slot, and what a relay does about it: takes what is free and falls to
 * it, lets go what falls to another, steps down from what was taken. Sans-IO: the edge
 * (relay/region.c) hands in what the store says and what its commit thread has done, with the
 * time, and does the steps that come out. Several of these against one table of leases come to
 * rest with every slot held by exactly one live relay, in equal shares.
 *
 * A slot here goes AWAY -> TAKING -> HELD -> LETTING_GO -> GONE -> AWAY. All times are
 * milliseconds of a clock of this machine that never jumps and goes on while it is suspended;
 * the store judges whose lease has run out. */
#ifndef FEDERATION_LEASE_H
#define FEDERATION_LEASE_H

#include "federation/rendezvous.h"
#include "ledger/store_lease.h"

#define LEASE_MOVES_MAX 4u /* slots on their way to other relays at one time */
#define LEASE_BEATS_A_TTL 4u

enum lease_phase {
    LEASE_AWAY,       /* none of ours */
    LEASE_TAKING,     /* the lease is ours; the commit thread loads the slot */
    LEASE_HELD,       /* .. has loaded it */
    LEASE_LETTING_GO, /* .. finishes what is queued for it */
    LEASE_GONE        /* .. has, and the lease may be given back */
};

enum lease_do {
    LEASE_DO_TAKE,    /* take the row; when that worked lease_taken, and load the slot */
    LEASE_DO_LOAD,    /* the row is ours already: load the slot */
    LEASE_DO_LET_GO,  /* stop taking entries, finish, then lease_gone */
    LEASE_DO_DROP,    /* the lease is lost: the same, but nothing can be finished */
    LEASE_DO_RELEASE  /* give the row back */
};
struct lease_step {
    enum lease_do what;
    uint32_t slot;
    uint64_t epoch; /* TAKE */
    bool orphan;    /* TAKE: its holder fell silent */
};

struct lease_core {
    uint32_t slots, ttl_ms;
    bool draining;
    bool steady;              /* the last beat worked */
    uint64_t beat_ms;         /* .. and when */
    uint64_t steady_since_ms; /* beats have worked without a gap since */
    enum lease_phase phase[SLOTS_MAX];
    uint32_t member_count; /* alive and not draining, at the last look */
    char members[LEASE_RELAYS_MAX][LEASE_NAME_MAX + 1];
    uint32_t me;                /* our place among them, or RENDEZVOUS_NONE */
    uint32_t owner[SLOTS_MAX];  /* who should have it */
};

void lease_open(struct lease_core *c, uint32_t slots, uint32_t ttl_ms);

/* A heartbeat was written, begun at `now_ms`, or was not. After a silence longer than the
 * leases' life everybody's may have run out, ours and those of relays that live: for another
 * such time nothing is taken that was not given back, and nothing is handed over. */
void lease_beat(struct lease_core *c, bool ok, uint64_t now_ms);
/* Beats are due this often. */
uint64_t lease_beat_every_ms(const struct lease_core *c);

/* What the store says; fills out[] (room for `slots`) and returns how many steps. Phases are
 * changed as if they will be done: a TAKE that failed is lease_failed. */
size_t lease_look(struct lease_core *c, const struct lease_look *look, uint64_t now_ms,
                  struct lease_step out[]);
/* How long until a lease of another relay may run out, at most `most`. */
uint64_t lease_next_ms(const struct lease_core *c, const struct lease_look *look,
                       uint64_t most);

void lease_failed(struct lease_core *c, uint32_t slot); /* it could not be taken */
void lease_loaded(struct lease_core *c, uint32_t slot);
void lease_gone(struct lease_core *c, uint32_t slot);
/* Take none, let all go. */
void lease_drain(struct lease_core *c);
/* Nothing here and nothing on its way. */
bool lease_empty(const struct lease_core *c);

#endif
