/* Several processes over one ledger: what a store that can be shared adds to ledger/store.h.
 * Rows say which relay is alive, which one holds which slot, and how far each slot has settled
 * what others sent it; all times are by the store's own clock. Only "postgresql:" has it
 * (struct store_ops, `share`).
 *
 * A lease decides who tries to write. What makes a write safe is the slot's epoch, compared in
 * the append. In a shared store `claim` needs the slot's lease (else ERR_LOCKED), and an append
 * also writes how far its slot's channels have come.
 *
 * Each handle is one connection of one thread. Errors: ERR_STORE: not now, try again; ERR_IO,
 * ERR_CORRUPT as in store.h; `why` of the last one by `why`. */
#ifndef LEDGER_STORE_LEASE_H
#define LEDGER_STORE_LEASE_H

#include "ledger/store.h"

#define LEASE_NAME_MAX 64     /* of a relay */
#define LEASE_PEER_MAX 300    /* "host:port" */
#define LEASE_INSTANCE_BYTES 16
#define LEASE_RELAYS_MAX 64   /* alive at one time; more are not looked at */

/* Who shares: a relay's name, and this very process. */
struct lease_self {
    char relay[LEASE_NAME_MAX + 1];
    char peer[LEASE_PEER_MAX + 1];
    uint8_t instance[LEASE_INSTANCE_BYTES]; /* random */
    uint32_t ttl_ms;                        /* silent for longer: dead */
};

struct lease_relay {
    char relay[LEASE_NAME_MAX + 1];
    char peer[LEASE_PEER_MAX + 1];
    bool self;
    bool draining;
    uint64_t silent_ms; /* since it was last seen */
};
enum lease_holder {
    LEASE_FREE, /* nobody, or somebody who died: it may be taken */
    LEASE_OTHER,
    LEASE_MINE
};
struct lease_row {
    enum lease_holder holder;
    bool orphan;    /* FREE, but never given back: its holder fell silent */
    uint64_t epoch; /* 0: never held */
    uint64_t left_ms; /* OTHER: how long it still counts */
    char relay[LEASE_NAME_MAX + 1]; /* OTHER: who */
};
struct lease_look {
    size_t relay_count; /* alive, ascending by name */
    struct lease_relay relays[LEASE_RELAYS_MAX];
    struct lease_row slots[SLOTS_MAX];
};

/* Settled by `slot` of what `source` sent: below next_in, by records up to index. */
struct lease_channel {
    uint32_t slot, source;
    uint64_t next_in, index;
};
struct lease_pair {
    uint32_t source, destination;
    uint64_t from; /* out_seq */
};

struct store_lease;
struct store_lease_ops {
    void (*close)(struct store_lease *l);
    /* I am alive, and so are the leases I hold. ERR_EXISTS: another process of this name is
     * alive; nothing was written. */
    enum err (*beat)(struct store_lease *l, bool draining);
    enum err (*look)(struct store_lease *l, struct lease_look *out);
    /* Take a slot that is FREE at `epoch`. ERR_LOST: it is not any more. `orphan`: what its
     * last holder has open on the server is ended first, lest a stopped process keeps the
     * slot's row locked; rights to one's own sessions are enough. */
    enum err (*take)(struct store_lease *l, uint32_t slot, uint64_t epoch, bool orphan);
    /* Give back; one that is not held any more is left alone. */
    enum err (*release)(struct store_lease *l, uint32_t slot);
    /* At the end: no more alive. Leases still held are given back. */
    enum err (*leave)(struct store_lease *l);
    /* Until leases or relays changed, `fd` is readable, or `ms` have gone. */
    void (*wait)(struct store_lease *l, int fd, uint64_t ms);

    /* Items sent from pair->source to pair->destination from out_seq `from` on, in order, at
     * most `max` of a pair; pairs in the order given. visit returns false to stop. */
    enum err (*items)(struct store_lease *l, const struct lease_pair pairs[], size_t count,
                      uint32_t max,
                      bool (*visit)(void *context, const struct channel_item *item),
                      void *context);
    /* Rows of those pairs that have settled past `from`. */
    enum err (*channels)(struct store_lease *l, const struct lease_pair pairs[],
                         size_t count,
                         bool (*visit)(void *context, const struct lease_channel *c),
                         void *context);
    /* Where a slot stands with every source, written whole; only while the slot's epoch is
     * `epoch`, else ERR_LOST. */
    enum err (*channels_put)(struct store_lease *l, const struct lease_channel rows[],
                             size_t count, uint64_t epoch);
    const char *(*why)(const struct store_lease *l);
};
struct store_lease {
    const struct store_lease_ops *ops;
};

#endif
