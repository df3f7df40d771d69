/* A ledger that several relays share: presence, leases, and what the slots of one tell those
 * of another. Each handle has a connection of its own. */
#include "ledger/store_postgres.h"

#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/note.h"

#define IDLE_TXN_MIN_MS 300u
#define BEAT_STEPS 3

struct postgres_lease {
    struct store_lease base;
    struct postgres_store *store;
    struct lease_self self;
    struct pg_link link;
    uint32_t named_session; /* the session that was named */
    bool known;             /* others were told that we are there .. */
    bool known_draining;    /* .. and drain */
    struct pg_array array[4];
};

static struct postgres_lease *lease_of(struct store_lease *l)
{
    return (struct postgres_lease *)(void *)l;
}

/* Rows a transaction holds are waited for by whoever takes over; a process that was stopped
 * in the middle of one is cut off well before its lease ends. */
void postgres_lease_name(const struct lease_self *self, char *app, struct pg_params *p)
{
    uint32_t idle = self->ttl_ms / 2;
    idle = idle < IDLE_TXN_MIN_MS ? IDLE_TXN_MIN_MS : idle;
    memcpy(app, "stoa/", 5);
    hex_encode(app + 5, self->instance, LEASE_INSTANCE_BYTES);
    pg_add_bytes(p, app, strlen(app));
    pg_add_i32(p, idle < POSTGRES_IDLE_TXN_MS ? idle : POSTGRES_IDLE_TXN_MS);
}

static enum err ready(struct postgres_lease *l)
{
    TRY(pg_ready(&l->link));
    if (l->named_session == l->link.sessions)
        return ERR_OK;
    char app[PG_LEASE_APP_BYTES];
    struct pg_step steps[2] = {{.statement = PG_LEASE_NAME},
                               {.statement = PG_LEASE_LISTEN}};
    postgres_lease_name(&l->self, app, &steps[0].p);
    enum err e = pg_exchange(&l->link, steps, 2);
    pg_clear(steps, 2);
    if (e == ERR_OK)
        l->named_session = l->link.sessions;
    return e;
}

/* One pipeline, one transaction; again on a new session when this one had died unnoticed.
 * `results` of the steps are the caller's to clear. A row somebody holds: try later. */
static enum err run(struct postgres_lease *l, struct pg_step steps[], size_t count)
{
    enum err e = ERR_STORE;
    for (int i = 0; i < 2; i++) {
        e = ready(l);
        if (e == ERR_OK)
            e = pg_exchange(&l->link, steps, count);
        if (e != ERR_STORE || !l->link.lost)
            break;
    }
    return e == ERR_LOCKED || e == ERR_MISSING ? ERR_STORE : postgres_note(l->store, e);
}

static void add_text(struct pg_params *p, const char *text)
{
    pg_add_bytes(p, text, strlen(text));
}

static void add_instance(struct pg_params *p, const struct postgres_lease *l)
{
    pg_add_bytes(p, l->self.instance, LEASE_INSTANCE_BYTES);
}

static enum err beat(struct store_lease *base, bool draining)
{
    struct postgres_lease *l = lease_of(base);
    struct pg_step steps[BEAT_STEPS] = {{.statement = PG_LEASE_BEAT},
                                        {.statement = PG_LEASE_RENEW},
                                        {.statement = PG_LEASE_NOTIFY}};
    add_text(&steps[0].p, l->self.relay);
    add_instance(&steps[0].p, l);
    add_text(&steps[0].p, l->self.peer);
    pg_add_i32(&steps[0].p, draining);
    pg_add_i32(&steps[0].p, l->self.ttl_ms);
    add_instance(&steps[1].p, l);
    pg_add_i32(&steps[1].p, l->self.ttl_ms);
    bool news = !l->known || l->known_draining != draining;
    enum err e = run(l, steps, news ? BEAT_STEPS : BEAT_STEPS - 1);
    if (e == ERR_OK && pg_changed(steps[0].result) != 1)
        e = ERR_EXISTS;
    pg_clear(steps, BEAT_STEPS);
    l->known = e == ERR_OK;
    l->known_draining = draining;
    return e;
}

/* ---- looking ---- */

static enum err take_text(const PGresult *r, int row, int column, char *out, size_t max)
{
    struct bytes b;
    TRY(pg_span(r, row, column, &b));
    if (b.size > max)
        return ERR_CORRUPT;
    memcpy(out, b.data, b.size);
    out[b.size] = 0;
    return ERR_OK;
}

static enum err take_relay(const PGresult *r, int row, struct lease_relay *out)
{
    uint64_t self, draining;
    TRY(take_text(r, row, 0, out->relay, LEASE_NAME_MAX));
    TRY(take_text(r, row, 1, out->peer, LEASE_PEER_MAX));
    TRY(pg_u64(r, row, 2, 1, &self));
    TRY(pg_u64(r, row, 3, 1, &draining));
    TRY(pg_u64(r, row, 4, INT64_MAX, &out->silent_ms));
    out->self = self != 0;
    out->draining = draining != 0;
    return ERR_OK;
}

static enum err take_slot(const PGresult *r, int row, struct lease_look *out)
{
    static const enum lease_holder holder[] = {LEASE_FREE, LEASE_OTHER, LEASE_MINE,
                                               LEASE_FREE};
    uint64_t slot, state;
    TRY(pg_u64(r, row, 0, SLOTS_MAX - 1, &slot));
    struct lease_row *to = &out->slots[slot];
    TRY(pg_u64(r, row, 1, INT64_MAX, &to->epoch));
    TRY(take_text(r, row, 2, to->relay, LEASE_NAME_MAX));
    TRY(pg_u64(r, row, 3, 3, &state));
    TRY(pg_u64(r, row, 4, INT64_MAX, &to->left_ms));
    to->holder = holder[state];
    to->orphan = state == 3;
    return ERR_OK;
}

static enum err look(struct store_lease *base, struct lease_look *out)
{
    struct postgres_lease *l = lease_of(base);
    struct pg_step steps[2] = {{.statement = PG_LEASE_RELAYS},
                               {.statement = PG_LEASE_SLOTS}};
    memset(out, 0, sizeof *out);
    add_instance(&steps[0].p, l);
    pg_add_i64(&steps[0].p, LEASE_RELAYS_MAX);
    add_instance(&steps[1].p, l);
    enum err e = run(l, steps, 2);
    for (int i = 0; e == ERR_OK && i < PQntuples(steps[0].result); i++)
        e = take_relay(steps[0].result, i, &out->relays[out->relay_count++]);
    for (int i = 0; e == ERR_OK && i < PQntuples(steps[1].result); i++)
        e = take_slot(steps[1].result, i, out);
    pg_clear(steps, 2);
    return e;
}

/* ---- taking and giving back ---- */

/* The sessions of a holder that fell silent are ended first: one that was stopped in the
 * middle of a pipeline holds the slot's row, and no timeout of the server counts there.
 * Everybody may end sessions of his own role. */
static enum err take(struct store_lease *base, uint32_t slot, uint64_t epoch, bool orphan)
{
    struct postgres_lease *l = lease_of(base);
    struct pg_step end = {.statement = PG_LEASE_END};
    if (orphan) {
        pg_add_i32(&end.p, slot);
        pg_add_i64(&end.p, epoch);
        enum err e = run(l, &end, 1);
        pg_clear(&end, 1);
        TRY(e);
    }
    struct pg_step steps[2] = {{.statement = PG_LEASE_TAKE},
                               {.statement = PG_LEASE_NOTIFY}};
    pg_add_i32(&steps[0].p, slot);
    pg_add_i64(&steps[0].p, epoch);
    add_text(&steps[0].p, l->self.relay);
    add_instance(&steps[0].p, l);
    pg_add_i32(&steps[0].p, l->self.ttl_ms);
    enum err e = run(l, steps, 2);
    if (e == ERR_OK && pg_changed(steps[0].result) != 1)
        e = ERR_LOST;
    pg_clear(steps, 2);
    return e;
}

enum err postgres_lease_was(struct store_lease *base, uint32_t slot, uint64_t epoch,
                            struct lease_self *out)
{
    struct postgres_lease *l = lease_of(base);
    struct pg_step step = {.statement = PG_LEASE_WAS};
    struct bytes was = bytes_of(NULL, 0);
    pg_add_i32(&step.p, slot);
    pg_add_i64(&step.p, epoch);
    enum err e = run(l, &step, 1);
    if (e == ERR_OK && PQntuples(step.result) == 1)
        e = pg_span(step.result, 0, 0, &was);
    if (e == ERR_OK && was.size != LEASE_INSTANCE_BYTES)
        e = was.size == 0 ? ERR_NOT_FOUND : ERR_CORRUPT;
    *out = (struct lease_self){.ttl_ms = l->self.ttl_ms};
    if (e == ERR_OK)
        memcpy(out->instance, was.data, was.size);
    pg_clear(&step, 1);
    return e;
}

static enum err release(struct store_lease *base, uint32_t slot)
{
    struct postgres_lease *l = lease_of(base);
    struct pg_step steps[2] = {{.statement = PG_LEASE_FREE},
                               {.statement = PG_LEASE_NOTIFY}};
    pg_add_i32(&steps[0].p, slot);
    add_instance(&steps[0].p, l);
    enum err e = run(l, steps, 2);
    pg_clear(steps, 2);
    return e;
}

static enum err leave(struct store_lease *base)
{
    struct postgres_lease *l = lease_of(base);
    struct pg_step steps[3] = {{.statement = PG_LEASE_FREE_ALL},
                               {.statement = PG_LEASE_LEAVE},
                               {.statement = PG_LEASE_NOTIFY}};
    add_instance(&steps[0].p, l);
    add_instance(&steps[1].p, l);
    enum err e = run(l, steps, 3);
    pg_clear(steps, 3);
    l->known = false;
    return e;
}

/* ---- waiting ---- */

/* What the server says unasked. False: the connection is gone; the next call makes a new
 * one. */
static bool hear(struct postgres_lease *l, bool *news)
{
    PGnotify *n;
    if (PQconsumeInput(l->link.c) != 1)
        return false;
    while ((n = PQnotifies(l->link.c)) != NULL) {
        *news = true;
        PQfreemem(n);
    }
    return PQstatus(l->link.c) == CONNECTION_OK;
}

static void wait_for_news(struct store_lease *base, int fd, uint64_t ms)
{
    struct postgres_lease *l = lease_of(base);
    uint64_t end = pg_now_ms() + ms;
    bool news = false;
    if (l->link.c != NULL && !hear(l, &news))
        pg_drop(&l->link);
    for (uint64_t now; !news && (now = pg_now_ms()) < end;) {
        struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
        if (l->link.c != NULL)
            p[1].fd = PQsocket(l->link.c);
        int n = poll(p, 2, (int)(end - now < INT32_MAX ? end - now : INT32_MAX));
        if (n <= 0 || p[0].revents != 0)
            return;
        if (!hear(l, &news)) {
            pg_drop(&l->link);
            return;
        }
    }
}

/* ---- channels ---- */

static enum err add_pairs(struct postgres_lease *l, struct pg_step *step,
                          const struct lease_pair pairs[], size_t count)
{
    pg_array_clear(&l->array[0], PG_INT4);
    pg_array_clear(&l->array[1], PG_INT4);
    pg_array_clear(&l->array[2], PG_INT8);
    for (size_t i = 0; i < count; i++) {
        pg_array_i32(&l->array[0], pairs[i].source);
        pg_array_i32(&l->array[1], pairs[i].destination);
        pg_array_i64(&l->array[2], pairs[i].from);
    }
    return pg_add_arrays(&step->p, l->array, 3);
}

static enum err items(struct store_lease *base, const struct lease_pair pairs[],
                      size_t count, uint32_t max,
                      bool (*visit)(void *context, const struct channel_item *item),
                      void *context)
{
    struct postgres_lease *l = lease_of(base);
    struct pg_step step = {.statement = PG_LEASE_ITEMS};
    TRY(add_pairs(l, &step, pairs, count));
    pg_add_i64(&step.p, max);
    enum err e = run(l, &step, 1);
    for (int i = 0; e == ERR_OK && i < PQntuples(step.result); i++) {
        struct channel_item item;
        uint64_t source = 0;
        e = pg_u64(step.result, i, 10, SLOTS_MAX - 1, &source);
        if (e == ERR_OK)
            e = postgres_item_row(step.result, i, (uint32_t)source, &item);
        if (e == ERR_OK && !visit(context, &item))
            break;
    }
    pg_clear(&step, 1);
    return e;
}

static enum err channels(struct store_lease *base, const struct lease_pair pairs[],
                         size_t count,
                         bool (*visit)(void *context, const struct lease_channel *c),
                         void *context)
{
    struct postgres_lease *l = lease_of(base);
    struct pg_step step = {.statement = PG_LEASE_CHANNELS};
    TRY(add_pairs(l, &step, pairs, count));
    enum err e = run(l, &step, 1);
    for (int i = 0; e == ERR_OK && i < PQntuples(step.result); i++) {
        struct lease_channel c;
        uint64_t slot = 0, source = 0;
        e = pg_u64(step.result, i, 0, SLOTS_MAX - 1, &slot);
        if (e == ERR_OK)
            e = pg_u64(step.result, i, 1, SLOTS_MAX - 1, &source);
        if (e == ERR_OK)
            e = pg_u64(step.result, i, 2, INT64_MAX, &c.next_in);
        if (e == ERR_OK)
            e = pg_u64(step.result, i, 3, STORE_INDEX_MAX, &c.index);
        c.slot = (uint32_t)slot;
        c.source = (uint32_t)source;
        if (e == ERR_OK && !visit(context, &c))
            break;
    }
    pg_clear(&step, 1);
    return e;
}

static enum err channels_put(struct store_lease *base, const struct lease_channel rows[],
                             size_t count, uint64_t epoch)
{
    struct postgres_lease *l = lease_of(base);
    struct pg_step step = {.statement = PG_LEASE_CHANNELS_PUT};
    pg_array_clear(&l->array[0], PG_INT4);
    pg_array_clear(&l->array[1], PG_INT4);
    pg_array_clear(&l->array[2], PG_INT8);
    pg_array_clear(&l->array[3], PG_INT8);
    for (size_t i = 0; i < count; i++) {
        pg_array_i32(&l->array[0], rows[i].slot);
        pg_array_i32(&l->array[1], rows[i].source);
        pg_array_i64(&l->array[2], rows[i].next_in);
        pg_array_i64(&l->array[3], rows[i].index);
    }
    TRY(pg_add_arrays(&step.p, l->array, 4));
    pg_add_i64(&step.p, epoch);
    enum err e = run(l, &step, 1);
    if (e == ERR_OK && pg_changed(step.result) != count)
        e = ERR_LOST;
    pg_clear(&step, 1);
    return e;
}

/* ---- a handle ---- */

static const char *why_of(const struct store_lease *base)
{
    return ((const struct postgres_lease *)(const void *)base)->link.why.text;
}

static void close_lease(struct store_lease *base)
{
    struct postgres_lease *l = lease_of(base);
    pg_drop(&l->link);
    for (size_t i = 0; i < sizeof l->array / sizeof *l->array; i++)
        buf_close(&l->array[i].b);
    free(l);
}

static const struct store_lease_ops ops = {
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

enum err postgres_share(struct store *base, const struct lease_self *self,
                        struct store_lease **out, struct store_why *why)
{
    struct postgres_store *s = postgres_of(base);
    struct postgres_lease *l = calloc(1, sizeof *l);
    *out = NULL;
    if (l == NULL) {
        store_why_set(why, "out of memory");
        return ERR_MEMORY;
    }
    pthread_mutex_lock(&s->lock);
    if (!s->shared) {
        s->shared = true;
        s->self = *self;
        s->owned_session = 0; /* the session there is gets its name and its locks now */
    }
    pthread_mutex_unlock(&s->lock);
    l->base.ops = &ops;
    l->store = s;
    l->self = *self;
    l->link = postgres_link(s, PG_LEASE);
    *out = &l->base;
    return ERR_OK;
}
