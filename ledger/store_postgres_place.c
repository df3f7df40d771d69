#include "ledger/store_postgres_place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/trace.h"

#define MOVE_POLL_MS 200u

/* ---- the way to a slot ---- */

enum placed { HERE, LEAVING, AWAY, COMING };
struct place_row {
    enum placed placed;
    uint64_t moves;
    char uri[POSTGRES_URI_MAX]; /* "": the hub's own database */
};

static enum err place_row(const PGresult *r, struct place_row *out)
{
    static const char *const words[] = {"here", "leaving", "away", "coming"};
    struct bytes placed, uri;
    if (PQntuples(r) != 1)
        return ERR_CORRUPT;
    TRY(pg_span(r, 0, 0, &placed));
    TRY(pg_u64(r, 0, 1, INT64_MAX, &out->moves));
    TRY(pg_span(r, 0, 2, &uri));
    if (uri.size >= sizeof out->uri)
        return ERR_CORRUPT;
    memcpy(out->uri, uri.data, uri.size);
    out->uri[uri.size] = '\0';
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (placed.size == strlen(words[i]) &&
            memcmp(placed.data, words[i], placed.size) == 0) {
            out->placed = (enum placed)i;
            return ERR_OK;
        }
    return ERR_CORRUPT;
}

static enum err look_at(struct postgres_store *p, uint32_t slot, struct place_row *out)
{
    struct pg_step step = {.statement = PG_PLACE};
    TRY(place_hears(p));
    pg_add_i32(&step.p, slot);
    pthread_mutex_lock(&p->lock);
    enum err e = postgres_ask_writer(p, &step);
    if (e == ERR_OK)
        e = place_row(step.result, out);
    pg_clear(&step, 1);
    pthread_mutex_unlock(&p->lock);
    return postgres_note(p, e);
}

static bool find_place(const struct pg_places *x, const char *uri, size_t *out)
{
    size_t count = atomic_load(&x->count);
    for (*out = 1; *out < count; (*out)++)
        if (strcmp(x->uri[*out], uri) == 0)
            return true;
    return false;
}

/* One that hangs would hold up whoever looks for a slot there, each time anew. */
static enum err open_place(struct postgres_store *s, const char *uri,
                           struct postgres_store **out, struct store_why *why)
{
    struct pg_places *x = s->places;
    if (strcmp(x->failed, uri) == 0 && pg_now_ms() < x->failed_until_ms)
        return ERR_STORE;
    uint64_t began = pg_now_ms();
    enum err e = postgres_place_open(s, uri, out, why);
    x->failed[0] = '\0';
    if (e != ERR_OK && pg_now_ms() - began >= POSTGRES_PLACE_MS) {
        snprintf(x->failed, sizeof x->failed, "%s", uri);
        x->failed_until_ms = pg_now_ms() + POSTGRES_PLACE_PAUSE_MS;
    }
    return e;
}

/* The place of this URI, opened when it is new. */
static enum err place_of(struct postgres_store *s, const char *uri, size_t *out,
                         struct store_why *why)
{
    struct pg_places *x = s->places;
    enum err e = ERR_OK;
    *out = 0;
    if (uri[0] == '\0' || find_place(x, uri, out))
        return ERR_OK;
    pthread_mutex_lock(&x->lock);
    unsigned count = atomic_load(&x->count);
    size_t i;
    if (find_place(x, uri, &i)) {
        /* somebody was faster */
    } else if (count == POSTGRES_PLACES_MAX) {
        store_why_set(why, "slots are placed on more than %u servers",
                      POSTGRES_PLACES_MAX - 1);
        e = ERR_CONFIG;
    } else {
        e = open_place(s, uri, &x->store[i], why);
        if (e == ERR_OK) {
            snprintf(x->uri[i], sizeof x->uri[i], "%s", uri);
            atomic_store(&x->count, count + 1);
        }
    }
    pthread_mutex_unlock(&x->lock);
    *out = i;
    return e;
}

/* A place that says less than the one before it knows: a copy from before the move. */
static enum err older(const struct postgres_store *p, uint32_t slot,
                      struct store_why *why)
{
    store_why_set(
        why,
        "slot %02x: %s is a copy from before the slot was moved there; bring back the "
        "newest one",
        (unsigned)slot, p->target.name);
    return ERR_BEHIND;
}

static enum err lost_way(uint32_t slot, struct store_why *why)
{
    store_why_set(
        why,
        "slot %02x: its place is not found from store.uri; that must name the hub's own "
        "database, not a place of single slots",
        (unsigned)slot);
    return ERR_CONFIG;
}

/* From the hub's own database to where the slot is. *moves: of the move that is known to
 * have brought it, when it did not arrive yet; else UINT64_MAX. */
static enum err follow(struct postgres_store *s, uint32_t slot, size_t *at,
                       uint64_t *moves, struct store_why *why)
{
    uint64_t brought = UINT64_MAX; /* by the place before, when that sent it here */
    struct place_row row;
    *at = 0;
    *moves = UINT64_MAX;
    for (unsigned hop = 0; hop < POSTGRES_HOPS_MAX; hop++) {
        struct postgres_store *p = s->places->store[*at];
        bool known = brought != UINT64_MAX;
        TRY(look_at(p, slot, &row));
        if (known && row.moves < brought)
            return older(p, slot, why);
        if (row.placed == HERE || row.placed == LEAVING)
            return ERR_OK;
        if (row.placed == COMING && known && row.moves == brought) {
            *moves = brought;
            return ERR_OK;
        }
        if (row.uri[0] == '\0' && *at == 0)
            return lost_way(slot, why);
        brought = row.placed == AWAY ? row.moves : UINT64_MAX;
        struct store_why of_place = {{0}};
        enum err e = place_of(s, row.uri, at, &of_place);
        if (of_place.text[0] != '\0')
            *why = of_place;
        if (e != ERR_OK)
            place_astray(s->places, slot, row.uri, &of_place);
        TRY(e);
    }
    return lost_way(slot, why);
}

static void arrive(struct postgres_store *s, uint32_t slot, size_t at)
{
    place_found(s->places, slot);
    if (atomic_exchange(&s->places->at[slot], (unsigned char)at) != at)
        trace(TRACE_INFO, "store.slot_placed", TRACE_U64("slot", slot),
              TRACE_STR("at", s->places->store[at]->target.name));
}

enum err place_look(struct postgres_store *s, uint32_t slot)
{
    struct store_why why = {{0}};
    uint64_t moves;
    size_t at = 0;
    enum err e = follow(s, slot, &at, &moves, &why);
    if (e == ERR_OK)
        arrive(s, slot, at);
    else
        trace(TRACE_WARN, "store.place", TRACE_U64("slot", slot), TRACE_ERR("error", e),
              TRACE_STR("why", why.text));
    return e == ERR_OK || e == ERR_IO || e == ERR_CORRUPT ? e : ERR_STORE;
}

/* Slots that were last found at place `i` and are there no more. */
static enum err look_again(struct postgres_store *s, size_t i, struct store_why *why)
{
    struct postgres_store *p = s->places->store[i];
    struct pg_step step = {.statement = PG_PLACES};
    TRY(place_hears(p));
    pthread_mutex_lock(&p->lock);
    enum err e = postgres_ask_writer(p, &step), first = ERR_OK;
    pthread_mutex_unlock(&p->lock);
    for (int row = 0; e == ERR_OK && row < PQntuples(step.result); row++) {
        uint64_t slot = 0, moves;
        size_t at = 0;
        e = pg_u64(step.result, row, 0, s->ledger.identity.slots - 1, &slot);
        if (e != ERR_OK || place_at(s, (uint32_t)slot) != i)
            continue;
        enum err of_slot = follow(s, (uint32_t)slot, &at, &moves, why);
        if (of_slot == ERR_OK)
            arrive(s, (uint32_t)slot, at);
        else if (first == ERR_OK)
            first = of_slot; /* the others' places may be there */
    }
    pg_clear(&step, 1);
    return e == ERR_OK ? first : e;
}

/* ---- the store ---- */

/* The leases are with the hub's own database. What is between this and the claim, the
 * epoch decides. */
static enum err place_leased(struct postgres_store *s, uint32_t slot)
{
    struct pg_step step = {.statement = PG_LEASE_HELD};
    pg_add_i32(&step.p, slot);
    pg_add_bytes(&step.p, s->self.instance, LEASE_INSTANCE_BYTES);
    pthread_mutex_lock(&s->lock);
    enum err e = postgres_ask_writer(s, &step);
    if (e == ERR_OK && PQntuples(step.result) == 0)
        e = ERR_LOCKED;
    pg_clear(&step, 1);
    pthread_mutex_unlock(&s->lock);
    return e;
}

/* What the last holder has open where the slot is: once for each time it was taken. */
static enum err end_orphan(struct postgres_store *s, uint32_t slot, size_t at)
{
    struct pg_places *x = s->places;
    struct lease_self was = {.ttl_ms = 0};
    pthread_mutex_lock(&x->orphan_lock);
    bool any = x->orphan[slot];
    if (any)
        was = x->orphan_of[slot];
    pthread_mutex_unlock(&x->orphan_lock);
    if (!any)
        return ERR_OK;
    if (at != 0)
        TRY(postgres_end_sessions(x->store[at], &was));
    pthread_mutex_lock(&x->orphan_lock);
    x->orphan[slot] = false;
    pthread_mutex_unlock(&x->orphan_lock);
    return ERR_OK;
}

static enum err place_claim(struct store *base, uint32_t slot, uint64_t *epoch)
{
    struct postgres_store *s = postgres_of(base);
    struct store_why why = {{0}};
    uint64_t until = pg_now_ms() + (s->places->claimed ? 0 : POSTGRES_MOVE_WAIT_MS);
    for (;;) {
        size_t at = 0;
        uint64_t moves = UINT64_MAX;
        enum err e = follow(s, slot, &at, &moves, &why);
        if (e == ERR_OK && at != 0 && s->shared)
            e = place_leased(s, slot);
        if (e == ERR_OK)
            e = end_orphan(s, slot, at);
        if (e == ERR_OK)
            e = postgres_claim_at(s->places->store[at], slot, moves, epoch);
        if (e == ERR_OK) {
            s->places->claimed = true;
            arrive(s, slot, at);
            return e;
        }
        if (why.text[0] != '\0')
            trace(TRACE_WARN, "store.place", TRACE_STR("why", why.text));
        bool again = e == ERR_LOST || (e == ERR_STORE && pg_now_ms() < until &&
                                       place_hears(s->places->store[at]) == ERR_OK);
        if (!again || pg_now_ms() >= until + POSTGRES_MOVE_WAIT_MS)
            return e == ERR_LOST ? ERR_STORE : e;
        pg_sleep_ms(MOVE_POLL_MS);
    }
}

static enum err place_of_slot(struct store *base, uint32_t slot, struct store **out)
{
    struct postgres_store *s = postgres_of(base), *p = s->places->store[place_at(s, slot)];
    *out = &p->base;
    return place_hears(p);
}

static enum err place_slot(struct store *base, uint32_t slot, struct store_slot *out)
{
    struct store *p;
    TRY(place_look(postgres_of(base), slot));
    TRY(place_of_slot(base, slot, &p));
    return postgres_slot(p, slot, out);
}

/* One place after the other: a slot's outcome is that of its place. One that hangs is waited
 * for once (POSTGRES_PLACE_MS), and not again before maintain has heard from it. */
static void place_append(struct store *base, const struct store_append appends[],
                         size_t count, enum store_outcome outcome[])
{
    struct postgres_store *s = postgres_of(base);
    struct pg_places *x = s->places;
    size_t places = atomic_load(&x->count);
    if (places == 1) {
        postgres_append(base, appends, count, outcome);
        return;
    }
    for (size_t k = 0; k < count; k++)
        x->to[k] = (unsigned char)place_at(s, appends[k].slot);
    for (size_t i = 0; i < places; i++) {
        size_t n = 0;
        for (size_t k = 0; k < count; k++)
            if (x->to[k] == i) {
                x->part[n] = appends[k];
                x->from[n++] = k;
            }
        if (n == 0)
            continue;
        enum err e = place_hears(x->store[i]);
        if (e == ERR_OK) {
            place_append_began(x, i);
            postgres_append(&x->store[i]->base, x->part, n, x->outcome);
            bool full = false;
            for (size_t k = 0; k < n; k++)
                full = full || x->outcome[k] == STORE_FULL;
            place_append_ended(x, i, full);
        }
        for (size_t k = 0; k < n; k++)
            outcome[x->from[k]] = e == ERR_OK ? x->outcome[k] : store_outcome_of(e);
    }
}

static enum err
place_outbox(struct store *base, uint32_t slot,
             bool (*visit)(void *context, const struct channel_item *item), void *context)
{
    struct store *p;
    TRY(place_of_slot(base, slot, &p));
    return postgres_outbox(p, slot, visit, context);
}

static enum err place_snapshot_save(struct store *base, uint32_t slot, tree_size size,
                                    const struct bytes parts[], size_t count)
{
    struct store *p;
    TRY(place_of_slot(base, slot, &p));
    return postgres_snapshot_save(p, slot, size, parts, count);
}

static enum err place_snapshot_load(struct store *base, uint32_t slot, tree_size *size,
                                    bool (*visit)(void *context, struct bytes part),
                                    void *context)
{
    struct store *p;
    TRY(place_of_slot(base, slot, &p));
    return postgres_snapshot_load(p, slot, size, visit, context);
}

static enum err place_snapshot_drop(struct store *base, uint32_t slot)
{
    struct store *p;
    TRY(place_of_slot(base, slot, &p));
    return postgres_snapshot_drop(p, slot);
}

/* ---- attachments: by entry, whose slot tells the place ---- */

/* The slot of an entry at place `i`; ERR_NOT_FOUND: it has none, or had it before it
 * moved. */
static enum err whose(struct postgres_store *s, size_t i, const struct hash *entry,
                      uint32_t *slot)
{
    struct postgres_store *p = s->places->store[i];
    struct pg_step step = {.statement = PG_WHOSE};
    uint64_t found = 0;
    TRY(place_hears(p));
    pg_add_bytes(&step.p, entry->b, HASH_BYTES);
    pthread_mutex_lock(&p->lock);
    enum err e = postgres_ask_writer(p, &step);
    pthread_mutex_unlock(&p->lock);
    if (e == ERR_OK && PQntuples(step.result) == 0)
        e = ERR_NOT_FOUND;
    if (e == ERR_OK)
        e = pg_u64(step.result, 0, 0, s->ledger.identity.slots - 1, &found);
    pg_clear(&step, 1);
    *slot = (uint32_t)found;
    return e == ERR_OK && place_at(s, *slot) != i ? ERR_NOT_FOUND : e;
}

/* An entry that is in no log stays with the hub's own. Where it may be at a place that is away,
 * that is not known. */
static enum err find_entry(struct postgres_store *s, const struct hash *entry, size_t *at,
                           uint32_t *slot, bool *any)
{
    size_t places = atomic_load(&s->places->count);
    enum err absent = ERR_OK;
    *any = false;
    for (*at = 0; *at < places; (*at)++) {
        enum err e = whose(s, *at, entry, slot);
        *any = e == ERR_OK;
        if (e == ERR_OK || e == ERR_IO || e == ERR_CORRUPT)
            return e;
        if (e != ERR_NOT_FOUND)
            absent = e;
    }
    *at = 0;
    return absent;
}

/* A slot that leaves takes its attachments along: one that came too late for that is not
 * said to be kept. */
static enum err still_here(struct postgres_store *s, size_t at, uint32_t slot)
{
    struct place_row row;
    TRY(look_at(s->places->store[at], slot, &row));
    return row.placed == HERE ? ERR_OK : ERR_STORE;
}

static enum err place_sealed_put(struct store *base, const struct hash *entry,
                                 struct bytes data)
{
    struct postgres_store *s = postgres_of(base);
    uint32_t slot = 0;
    size_t at = 0;
    bool any = false;
    TRY(find_entry(s, entry, &at, &slot, &any));
    enum err e = postgres_sealed_put(&s->places->store[at]->base, entry, data);
    if (e == ERR_OK || !any || (e == ERR_EXISTS && still_here(s, at, slot) == ERR_OK))
        return e;
    return e == ERR_EXISTS ? ERR_STORE : e;
}

/* Wherever it may be; where the slot was, too, should a move have broken off. */
static enum err place_sealed_erase(struct store *base, const struct hash *entry)
{
    struct postgres_store *s = postgres_of(base);
    struct store_why why = {{0}};
    uint32_t slot = 0;
    size_t at = 0;
    uint64_t moves;
    bool any = false;
    enum err found = ERR_NOT_FOUND;
    TRY(find_entry(s, entry, &at, &slot, &any));
    if (any) {
        TRY(follow(s, slot, &at, &moves, &why));
        arrive(s, slot, at);
    }
    for (size_t i = 0; i < atomic_load(&s->places->count); i++) {
        enum err e = place_hears(s->places->store[i]);
        if (e == ERR_OK)
            e = postgres_sealed_erase(&s->places->store[i]->base, entry);
        if (e == ERR_OK)
            found = ERR_OK;
        else if (e != ERR_NOT_FOUND)
            return e;
    }
    if (found == ERR_OK && any)
        TRY(still_here(s, at, slot)); /* it was just being copied: again */
    return found;
}

/* ---- looking after it ---- */

/* A server of single slots that is away is felt by these slots alone. */
static enum err place_maintain(struct store *base)
{
    struct postgres_store *s = postgres_of(base);
    struct pg_places *x = s->places;
    struct store_why why = {{0}};
    size_t places = atomic_load(&x->count);
    enum err e = postgres_ops.maintain(base);
    for (size_t i = 1; i < places; i++) {
        enum err of_place = postgres_ops.maintain(&x->store[i]->base);
        if (of_place == ERR_IO || of_place == ERR_CORRUPT)
            return of_place;
    }
    if (e != ERR_OK ||
        pg_now_ms() - atomic_load(&x->looked_ms) < POSTGRES_PLACES_EVERY_MS)
        return e;
    for (size_t i = 0; i < places; i++)
        if (!atomic_load(&x->store[i]->away) && look_again(s, i, &why) != ERR_OK)
            trace(TRACE_WARN, "store.place",
                  TRACE_STR("why", why.text[0] ? why.text : x->store[i]->link.why.text));
    atomic_store(&x->looked_ms, pg_now_ms());
    return e;
}

/* What a hub's own store does instead; what is missing is as for one database. */
static void ops_of(struct store_ops *out)
{
    *out = postgres_ops;
    out->claim = place_claim;
    out->slot = place_slot;
    out->append = place_append;
    out->outbox = place_outbox;
    out->snapshot_save = place_snapshot_save;
    out->snapshot_load = place_snapshot_load;
    out->snapshot_drop = place_snapshot_drop;
    out->sealed_put = place_sealed_put;
    out->sealed_erase = place_sealed_erase;
    out->maintain = place_maintain;
    out->reader_open = place_reader_open;
    out->share = place_share;
    out->places = place_list;
    out->probe = place_probe;
}

enum err postgres_places_open(struct postgres_store *s)
{
    struct pg_places *x = calloc(1, sizeof *x);
    struct store_why why = {{0}};
    if (x == NULL)
        return ERR_MEMORY;
    pthread_mutex_init(&x->lock, NULL);
    pthread_mutex_init(&x->orphan_lock, NULL);
    pthread_mutex_init(&x->astray_lock, NULL);
    x->store[0] = s;
    atomic_init(&x->count, 1);
    ops_of(&x->ops);
    s->places = x;
    enum err e = look_again(s, 0, &why);
    if (e == ERR_OK) {
        s->base.ops = &x->ops;
        return e;
    }
    if (why.text[0] != '\0')
        s->link.why = why;
    return e;
}

void postgres_places_close(struct postgres_store *s)
{
    if (s->places == NULL)
        return;
    for (size_t i = 1; i < atomic_load(&s->places->count); i++)
        s->places->store[i]->base.ops->close(&s->places->store[i]->base);
    pthread_mutex_destroy(&s->places->lock);
    pthread_mutex_destroy(&s->places->orphan_lock);
    pthread_mutex_destroy(&s->places->astray_lock);
    free(s->places);
    s->places = NULL;
}
