/* Slots on several servers (deploy/schema/0005_place.sql): the store of the hub's own
 * database passes each call on to where its slot is. Shared by store_postgres_place*.c
 * alone.
 *
 * `at` says for each slot which place it was last found at. It may be a second old: what
 * is asked at a place the slot has left sees the log as it was then, and an append there
 * is LOST, since the epoch rose when it left. A claim always looks anew. */
#ifndef LEDGER_STORE_POSTGRES_PLACE_H
#define LEDGER_STORE_POSTGRES_PLACE_H

#include "ledger/store_postgres.h"
#include "ledger/store_probe.h"

struct pg_places {
    pthread_mutex_t lock; /* of adding one, and of the two below */
    char failed[POSTGRES_URI_MAX]; /* could not be opened, and is not tried before .. */
    uint64_t failed_until_ms;
    atomic_uint count;
    struct postgres_store
        *store[POSTGRES_PLACES_MAX]; /* 0: the hub's own; only added to */
    char uri[POSTGRES_PLACES_MAX][POSTGRES_URI_MAX];
    atomic_uchar at[SLOTS_MAX];
    atomic_uint_fast64_t looked_ms;
    bool claimed; /* a slot was, by this process */
    /* Of slots that were taken as orphans: whose sessions at the place are to be ended, lest a
     * stopped process keeps the slot's row. The lease is taken by one thread, which never waits
     * for a place, and the slot claimed by another. */
    pthread_mutex_t orphan_lock;
    bool orphan[SLOTS_MAX];
    struct lease_self orphan_of[SLOTS_MAX];
    struct store_ops ops;
    /* How appends go at each place, for whoever asks (store_postgres_place_probe.c): since when
     * one is under way, 0: none; how long the last one took, and when it ended. */
    atomic_uint_fast64_t append_since_us[POSTGRES_PLACES_MAX];
    atomic_uint_fast64_t append_us[POSTGRES_PLACES_MAX];
    atomic_uint_fast64_t appended_us[POSTGRES_PLACES_MAX];
    atomic_bool full[POSTGRES_PLACES_MAX]; /* the last one found no room there */
    /* The newest place that slots are known to be at and that could not be opened. */
    pthread_mutex_t astray_lock;
    char astray_uri[POSTGRES_URI_MAX];
    struct store_why astray_why;
    bool astray[SLOTS_MAX];
    /* Scratch of the writer: the part of an append that goes to one place. */
    unsigned char to[SLOTS_MAX];
    struct store_append part[SLOTS_MAX];
    enum store_outcome outcome[SLOTS_MAX];
    size_t from[SLOTS_MAX];
};

/* Before its lock is waited for, which who asks it now may hold for POSTGRES_PLACE_MS. */
static inline enum err place_hears(const struct postgres_store *p)
{
    return p->is_place && atomic_load(&p->deaf) ? ERR_STORE : ERR_OK;
}
static inline size_t place_at(const struct postgres_store *s, uint32_t slot)
{
    return atomic_load(&s->places->at[slot]);
}
/* Where is the slot? ERR_STORE: that cannot be told now. */
enum err place_look(struct postgres_store *s, uint32_t slot);
/* store_postgres_place_probe.c: the writer's append to place `i` begins, and ends */
void place_append_began(struct pg_places *x, size_t i);
void place_append_ended(struct pg_places *x, size_t i, bool full);
/* .. a slot is where nothing could be opened; or it was found */
void place_astray(struct pg_places *x, uint32_t slot, const char *uri,
                  const struct store_why *why);
void place_found(struct pg_places *x, uint32_t slot);
size_t place_list(struct store *base, struct store_place *out);
bool place_probe(struct store *base, size_t place, unsigned limit_ms,
                 struct store_probe *out, struct store_why *why);
/* store_postgres_place_read.c, _lease.c */
enum err place_reader_open(struct store *base, struct store_reader **out);
enum err place_share(struct store *base, const struct lease_self *self,
                     struct store_lease **out, struct store_why *why);

#endif
