/* A reader of slots on several servers: one reader a place, opened when it is first
 * needed. */
#include "ledger/store_postgres_place.h"

#include <stdlib.h>

#include "ledger/projection.h"

struct place_reader {
    struct store_reader base;
    struct postgres_store *s;
    struct store_reader *at[POSTGRES_PLACES_MAX];
};

static struct place_reader *reader_of(struct store_reader *r)
{
    return (struct place_reader *)(void *)r;
}

static enum err reader_at(struct place_reader *r, size_t i, struct store_reader **out)
{
    struct store *place = &r->s->places->store[i]->base;
    if (r->at[i] == NULL)
        TRY(postgres_reader_open(place, &r->at[i]));
    *out = r->at[i];
    return ERR_OK;
}

static enum err reader_for(struct store_reader *base, uint32_t slot,
                           struct store_reader **out)
{
    struct place_reader *r = reader_of(base);
    return reader_at(r, place_at(r->s, slot), out);
}

static size_t places_of(const struct place_reader *r)
{
    return atomic_load(&r->s->places->count);
}

/* ---- by slot ---- */

static enum err read_slot(struct store_reader *base, uint32_t slot,
                          struct store_slot *out)
{
    struct postgres_store *s = reader_of(base)->s;
    for (;;) {
        struct store_reader *r;
        size_t was = place_at(s, slot);
        TRY(reader_at(reader_of(base), was, &r));
        TRY(r->ops->slot(r, slot, out));
        if (!postgres_reader_of(r)->away)
            return ERR_OK;
        TRY(place_look(s, slot)); /* it has moved since this process last looked */
        if (place_at(s, slot) == was)
            return ERR_OK;
    }
}

static enum err read_records(struct store_reader *base, uint32_t slot, uint64_t from,
                             uint64_t max, store_visit *visit, void *context)
{
    struct store_reader *r;
    TRY(reader_for(base, slot, &r));
    return r->ops->records(r, slot, from, max, visit, context);
}

static enum err read_node(struct store_reader *base, uint32_t slot, unsigned level,
                          uint64_t n, struct hash *out)
{
    struct store_reader *r;
    TRY(reader_for(base, slot, &r));
    return r->ops->node(r, slot, level, n, out);
}

static enum err read_tile(struct store_reader *base, uint32_t slot, unsigned level,
                          uint64_t n, unsigned width, struct hash out[TILE_HASHES])
{
    struct store_reader *r;
    TRY(reader_for(base, slot, &r));
    return r->ops->tile(r, slot, level, n, width, out);
}

/* ---- by id: a slot that has moved leaves its rows behind, and they do not count ---- */

struct visited {
    struct place_reader *r;
    size_t place;
    store_visit *visit;
    void *context;
    bool any;
};

static bool visit_here(void *context, const struct record *rec,
                       const struct hash *account)
{
    struct visited *v = context;
    if (place_at(v->r->s, rec->slot) != v->place)
        return false;
    v->any = true;
    return v->visit(v->context, rec, account);
}

/* The account's own slot tells; a slot's own account may be anywhere. */
static enum err read_account(struct store_reader *base, const struct hash *account,
                             uint64_t from, uint64_t max, store_visit *visit,
                             void *context)
{
    struct place_reader *r = reader_of(base);
    size_t first = place_at(r->s, slot_of(account, r->s->ledger.identity.slots));
    size_t places = places_of(r);
    struct visited v = {.r = r, .visit = visit, .context = context};
    for (size_t n = 0; n < places && !v.any; n++) {
        struct store_reader *at;
        v.place = (first + n) % places;
        TRY(reader_at(r, v.place, &at));
        TRY(at->ops->account(at, account, from, max, visit_here, &v));
    }
    return ERR_OK;
}

static enum err read_find(struct store_reader *base, const struct hash *id,
                          uint32_t *slot, uint64_t *index)
{
    struct place_reader *r = reader_of(base);
    enum err absent = ERR_NOT_FOUND;
    for (size_t i = 0; i < places_of(r); i++) {
        struct store_reader *at = NULL;
        enum err e = reader_at(r, i, &at);
        if (e == ERR_OK)
            e = at->ops->find(at, id, slot, index);
        if (e == ERR_OK && place_at(r->s, *slot) == i)
            return ERR_OK;
        if (e == ERR_IO || e == ERR_CORRUPT)
            return e;
        if (e != ERR_OK && e != ERR_NOT_FOUND)
            absent = e; /* it may be there */
    }
    return absent;
}

static enum err read_sealed(struct store_reader *base, const struct hash *entry,
                            struct buf *out)
{
    struct place_reader *r = reader_of(base);
    enum err absent = ERR_NOT_FOUND;
    for (size_t i = 0; i < places_of(r); i++) {
        struct store_reader *at = NULL;
        enum err e = reader_at(r, i, &at);
        if (e == ERR_OK)
            e = at->ops->sealed(at, entry, out);
        if (e == ERR_OK || e == ERR_IO || e == ERR_CORRUPT)
            return e;
        if (e != ERR_NOT_FOUND)
            absent = e;
    }
    return absent;
}

/* ---- projections stand beside their slot's records ---- */

static enum err view_slots(struct store_reader *base,
                           struct projection_slot out[SLOTS_MAX], size_t *count)
{
    struct place_reader *r = reader_of(base);
    struct projection_slot *of_place = calloc(SLOTS_MAX, sizeof *of_place);
    enum err e = of_place == NULL ? ERR_MEMORY : ERR_OK;
    *count = r->s->ledger.identity.slots;
    for (uint32_t slot = 0; slot < *count;
         slot++) /* one that just moves may be nowhere */
        out[slot] = (struct projection_slot){.cursor.slot = slot};
    for (size_t i = 0; e == ERR_OK && i < places_of(r); i++) {
        struct store_reader *at = NULL;
        size_t n = 0;
        e = reader_at(r, i, &at);
        if (e == ERR_OK)
            e = at->ops->projection->slots(at, of_place, &n);
        for (size_t k = 0; e == ERR_OK && k < n; k++)
            if (place_at(r->s, of_place[k].cursor.slot) == i)
                out[of_place[k].cursor.slot] = of_place[k];
        if (e == ERR_STORE && i > 0) /* nothing is known of its slots */
            e = ERR_OK;
    }
    free(of_place);
    return e;
}

static enum err view_account(struct store_reader *base, const struct hash *account,
                             struct projection_account_row *out)
{
    struct store_reader *r;
    TRY(reader_for(base, slot_of(account, reader_of(base)->s->ledger.identity.slots),
                   &r));
    return r->ops->projection->account(r, account, out);
}

static enum err view_earnings(struct store_reader *base, const struct hash *account,
                              uint32_t before,
                              struct projection_earning_row out[PROJECTION_PAGE + 1],
                              size_t *count)
{
    struct store_reader *r;
    TRY(reader_for(base, slot_of(account, reader_of(base)->s->ledger.identity.slots),
                   &r));
    return r->ops->projection->earnings(r, account, before, out, count);
}

struct rich_visited {
    struct place_reader *r;
    size_t place;
    bool (*visit)(void *context, const struct projection_rich_row *row);
    void *context;
    bool stopped;
};

static bool rich_here(void *context, const struct projection_rich_row *row)
{
    struct rich_visited *v = context;
    if (place_at(v->r->s, row->slot) != v->place)
        return true;
    v->stopped = !v->visit(v->context, row);
    return !v->stopped;
}

static enum err view_rich(struct store_reader *base, uint64_t hour,
                          bool (*visit)(void *context,
                                        const struct projection_rich_row *row),
                          void *context)
{
    struct place_reader *r = reader_of(base);
    struct rich_visited v = {.r = r, .visit = visit, .context = context};
    for (v.place = 0; v.place < places_of(r) && !v.stopped; v.place++) {
        struct store_reader *at;
        TRY(reader_at(r, v.place, &at));
        TRY(at->ops->projection->rich(at, hour, rich_here, &v));
    }
    return ERR_OK;
}

static const struct projection_ops projection_ops = {.slots = view_slots,
                                                     .account = view_account,
                                                     .earnings = view_earnings,
                                                     .rich = view_rich};

/* ---- a handle ---- */

static void close_reader(struct store_reader *base)
{
    struct place_reader *r = reader_of(base);
    for (size_t i = 0; i < POSTGRES_PLACES_MAX; i++)
        if (r->at[i] != NULL)
            r->at[i]->ops->close(r->at[i]);
    free(r);
}

static const struct store_reader_ops reader_ops = {
    .close = close_reader,
    .slot = read_slot,
    .records = read_records,
    .account = read_account,
    .find = read_find,
    .node = read_node,
    .tile = read_tile,
    .sealed = read_sealed,
    .projection = &projection_ops,
};

enum err place_reader_open(struct store *base, struct store_reader **out)
{
    struct place_reader *r = calloc(1, sizeof *r);
    *out = NULL;
    if (r == NULL)
        return ERR_MEMORY;
    r->base.ops = &reader_ops;
    r->s = postgres_of(base);
    *out = &r->base;
    return ERR_OK;
}
