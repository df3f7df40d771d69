/* Several relays of one hub: which of them sequences which slot. Each slot has a lease row in
 * the store (ledger/store_postgres_lease.c) with an epoch; federation/lease.h decides who
 * should hold it, this edge holds it: it keeps the relay's presence and its leases alive and
 * asks the commit thread to take a slot or to let it go. Design: docs/architecture/region.md.
 *
 * Leases only decide who tries. What makes it safe is the compare-and-swap of epoch and size
 * in the append transaction (ledger/store.h), whoever believes to own what.
 *
 * A hub of one process has none of this: relay->region is NULL, it owns every slot, and every
 * function here may be called and says so. */
#ifndef RELAY_REGION_H
#define RELAY_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ledger/err.h"

#define REGION_NAME_MAX 64  /* bytes of region.relay */
#define REGION_PEER_MAX 300 /* bytes of region.peer: "host:port" */
#define REGION_RELAYS_MAX 64 /* live relays of one hub */

struct relay;
struct region;

/* Is this hub one of several relays? Any thread. */
bool region_on(const struct relay *r);

/* Does this relay sequence the slot: loaded, and not being let go? Any thread; as cheap as an
 * atomic load. What was put into relay->commit while it said true is still handled here;
 * after that the commit thread turns entries of the slot away. */
bool region_owns(const struct relay *r, uint32_t slot);

struct region_owner {
    bool self;                       /* this relay */
    char relay[REGION_NAME_MAX + 1]; /* "" in a hub of one process */
    char peer[REGION_PEER_MAX + 1];  /* where other relays reach it: "host:port" */
    /* Of the lease; rises with every change of owner. With `self`: the slot's own, that this
     * relay claimed it with. */
    uint64_t epoch;
};
/* Whoever holds the slot's lease by what the store said last, this relay included. False:
 * nobody does (its relay died, or it is on its way to another one): ask again at the next
 * MAIL_OWNERS, which comes to the loop whenever an answer of this or of region_owns changed.
 * Any thread; takes a lock for the copy. */
bool region_owner(const struct relay *r, uint32_t slot, struct region_owner *out);
/* Rises with every change of owners. Any thread. */
uint64_t region_generation(const struct relay *r);

/* Relays that are alive, this one included, in ascending order of their names. Any thread. */
struct region_member {
    bool self;
    bool draining; /* takes no slot any more */
    char relay[REGION_NAME_MAX + 1];
    char peer[REGION_PEER_MAX + 1];
    uint64_t silent_ms; /* since its last heartbeat known here: by the store's clock when it
                           was asked, and the time since then by ours */
    uint32_t slots;     /* leases it holds */
};
size_t region_members(const struct relay *r, struct region_member out[REGION_RELAYS_MAX]);

/* A doorbell: the log of `slot`, owned by another relay, has grown. What it sends to slots
 * owned here is looked for at once instead of at the next region.poll_ms. Any thread, at any
 * rate: rings are merged. */
void region_ring(struct relay *r, uint32_t slot);

/* Is this relay one of those that are alive, by what the store said? Until then it cannot know
 * who owns what. Any thread. */
bool region_joined(const struct relay *r);
/* Were the leases renewed so lately that nobody else can have taken a slot of ours? What is
 * answered from memory is answered only then: an owner that slept may be one no more. It is
 * no guard of what is written. Any thread. */
bool region_fresh(const struct relay *r);
/* The store has just said that a slot may be another's: look now. Any thread. */
void region_doubt(struct relay *r, uint32_t slot);
/* What a relay that owns no slot waits for, or that cannot own one, in words; NULL: nothing.
 * Any thread. */
const char *region_waits(const struct relay *r);

/* Give every lease away in order and take none any more. Any thread; returns at once. */
void region_drain(struct relay *r);
/* Are they all given away? True without a region. */
bool region_drained(const struct relay *r);

#endif
