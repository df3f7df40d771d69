/* Leases of a hub whose slots are on several servers: presence and leases are with the
 * hub's own database; outboxes and channels stand beside their slot's records. */
#include "ledger/store_postgres_place.h"

#include <stdlib.h>
#include <string.h>

#define PAIRS_MAX 8192u /* of one question; relays ask for no more */

struct place_lease {
    struct store_lease base;
    struct postgres_store *s;
    struct lease_self self;
    struct store_lease *at[POSTGRES_PLACES_MAX]; /* 0: of the hub's own */
    struct store_lease *last;                    /* whose error is told */
    struct lease_pair pairs[PAIRS_MAX];
};

static struct place_lease *lease_of(struct store_lease *l)
{
    return (struct place_lease *)(void *)l;
}

static struct store_lease *own(struct store_lease *l)
{
    lease_of(l)->last = lease_of(l)->at[0];
    return lease_of(l)->at[0];
}

static enum err lease_at(struct place_lease *l, size_t i)
{
    struct store_why why;
    if (l->at[i] == NULL)
        TRY(postgres_share(&l->s->places->store[i]->base, &l->self, &l->at[i], &why));
    l->last = l->at[i];
    return ERR_OK;
}

static enum err beat(struct store_lease *l, bool draining)
{
    return own(l)->ops->beat(lease_of(l)->at[0], draining);
}

static enum err look(struct store_lease *l, struct lease_look *out)
{
    return own(l)->ops->look(lease_of(l)->at[0], out);
}

/* The old holder's sessions at the hub's own database are ended with this; those at the slot's
 * place by the claim. */
static enum err take(struct store_lease *l, uint32_t slot, uint64_t epoch, bool orphan)
{
    struct pg_places *x = lease_of(l)->s->places;
    struct lease_self was;
    enum err e = orphan ? postgres_lease_was(own(l), slot, epoch, &was) : ERR_NOT_FOUND;
    if (e != ERR_OK && e != ERR_NOT_FOUND)
        return e;
    bool any = e == ERR_OK;
    e = own(l)->ops->take(lease_of(l)->at[0], slot, epoch, orphan);
    if (e != ERR_OK)
        return e;
    pthread_mutex_lock(&x->orphan_lock);
    x->orphan[slot] = any;
    if (any)
        x->orphan_of[slot] = was;
    pthread_mutex_unlock(&x->orphan_lock);
    return ERR_OK;
}

static enum err release(struct store_lease *l, uint32_t slot)
{
    return own(l)->ops->release(lease_of(l)->at[0], slot);
}

static enum err leave(struct store_lease *l)
{
    return own(l)->ops->leave(lease_of(l)->at[0]);
}

static void wait_for_news(struct store_lease *l, int fd, uint64_t ms)
{
    own(l)->ops->wait(lease_of(l)->at[0], fd, ms);
}

/* Those of `pairs` whose source (or destination) is at place `i`, into l->pairs. */
static size_t part(struct place_lease *l, const struct lease_pair pairs[], size_t count,
                   size_t i, bool by_source)
{
    size_t n = 0;
    for (size_t k = 0; k < count && n < PAIRS_MAX; k++)
        if (place_at(l->s, by_source ? pairs[k].source : pairs[k].destination) == i)
            l->pairs[n++] = pairs[k];
    return n;
}

struct items_visit {
    bool (*visit)(void *context, const struct channel_item *item);
    void *context;
    bool stopped;
};

static bool visit_item(void *context, const struct channel_item *item)
{
    struct items_visit *v = context;
    v->stopped = !v->visit(v->context, item);
    return !v->stopped;
}

/* A place that is away keeps nobody from what is at the others. What is told is the first
 * error, or the first that breaks the store. */
struct told {
    enum err e;
    size_t place;
};

static void note(struct told *t, enum err e, size_t place)
{
    bool breaks = e == ERR_IO || e == ERR_CORRUPT, broke = t->e == ERR_IO || t->e == ERR_CORRUPT;
    if (e != ERR_OK && (t->e == ERR_OK || (breaks && !broke)))
        *t = (struct told){e, place};
}

static enum err tell(struct place_lease *l, const struct told *t)
{
    if (t->e != ERR_OK && l->at[t->place] != NULL)
        l->last = l->at[t->place];
    return t->e;
}

static enum err items(struct store_lease *base, const struct lease_pair pairs[],
                      size_t count, uint32_t max,
                      bool (*visit)(void *context, const struct channel_item *item),
                      void *context)
{
    struct place_lease *l = lease_of(base);
    struct items_visit v = {visit, context, false};
    size_t places = atomic_load(&l->s->places->count);
    struct told t = {ERR_OK, 0};
    for (size_t i = 0; i < places && !v.stopped; i++) {
        size_t n = part(l, pairs, count, i, true);
        if (n == 0)
            continue;
        enum err e = lease_at(l, i);
        if (e == ERR_OK)
            e = l->at[i]->ops->items(l->at[i], l->pairs, n, max, visit_item, &v);
        note(&t, e, i);
    }
    return tell(l, &t);
}

struct channels_visit {
    bool (*visit)(void *context, const struct lease_channel *c);
    void *context;
    bool stopped;
};

static bool visit_channel(void *context, const struct lease_channel *c)
{
    struct channels_visit *v = context;
    v->stopped = !v->visit(v->context, c);
    return !v->stopped;
}

static enum err channels(struct store_lease *base, const struct lease_pair pairs[],
                         size_t count,
                         bool (*visit)(void *context, const struct lease_channel *c),
                         void *context)
{
    struct place_lease *l = lease_of(base);
    struct channels_visit v = {visit, context, false};
    size_t places = atomic_load(&l->s->places->count);
    struct told t = {ERR_OK, 0};
    for (size_t i = 0; i < places && !v.stopped; i++) {
        size_t n = part(l, pairs, count, i, false);
        if (n == 0)
            continue;
        enum err e = lease_at(l, i);
        if (e == ERR_OK)
            e = l->at[i]->ops->channels(l->at[i], l->pairs, n, visit_channel, &v);
        note(&t, e, i);
    }
    return tell(l, &t);
}

/* All rows are of one slot. */
static enum err channels_put(struct store_lease *base, const struct lease_channel rows[],
                             size_t count, uint64_t epoch)
{
    struct place_lease *l = lease_of(base);
    size_t i = count == 0 ? 0 : place_at(l->s, rows[0].slot);
    TRY(lease_at(l, i));
    return l->at[i]->ops->channels_put(l->at[i], rows, count, epoch);
}

static const char *why_of(const struct store_lease *base)
{
    const struct place_lease *l = (const struct place_lease *)(const void *)base;
    return l->last->ops->why(l->last);
}

static void close_lease(struct store_lease *base)
{
    struct place_lease *l = lease_of(base);
    for (size_t i = 0; i < POSTGRES_PLACES_MAX; i++)
        if (l->at[i] != NULL)
            l->at[i]->ops->close(l->at[i]);
    free(l);
}

static const struct store_lease_ops lease_ops = {
    .close = close_lease,
    .beat = beat,
    .look = look,
    .take = take,
    .release = release,
    .leave = leave,
    .wait = wait_for_news,
    .items = items,
    .channels = channels,
    .channels_put = channels_put,
    .why = why_of,
};

/* The places that are open share from now on; those opened later begin so. */
static enum err share_places(struct place_lease *l, struct store_why *why)
{
    size_t places = atomic_load(&l->s->places->count);
    for (size_t i = 0; i < places; i++)
        if (l->at[i] == NULL)
            TRY(postgres_share(&l->s->places->store[i]->base, &l->self, &l->at[i], why));
    return ERR_OK;
}

enum err place_share(struct store *base, const struct lease_self *self,
                     struct store_lease **out, struct store_why *why)
{
    struct place_lease *l = calloc(1, sizeof *l);
    *out = NULL;
    if (l == NULL) {
        store_why_set(why, "out of memory");
        return ERR_MEMORY;
    }
    l->base.ops = &lease_ops;
    l->s = postgres_of(base);
    l->self = *self;
    enum err e = share_places(l, why);
    if (e != ERR_OK) {
        close_lease(&l->base);
        return e;
    }
    l->last = l->at[0];
    *out = &l->base;
    return ERR_OK;
}
