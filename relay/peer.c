#include "relay/peer_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/trace.h"
#include "relay/clock.h"
#include "relay/commit.h"

/* Items. */

static struct peer_item *item_new(uint32_t slot, struct bytes envelope)
{
    struct peer_item *i = calloc(1, sizeof(*i) + envelope.size);
    if (!i)
        return NULL;
    i->core.slot = slot;
    i->core.size = (uint32_t)(sizeof(*i) + envelope.size);
    i->size = (uint32_t)envelope.size;
    if (envelope.size)
        memcpy(i->envelope, envelope.data, envelope.size);
    return i;
}

static struct peer_item *entry_item(const struct job_item *from, uint32_t slot)
{
    const struct job *j = from->job;
    struct peer_item *i = item_new(slot, from->entry.envelope);
    if (!i)
        return NULL;
    bool wants_settled = (j->flags & WIRE_SUBMIT_SETTLED) != 0;
    i->conn = j->conn;
    i->rid = j->rid;
    i->i = from->i;
    i->since_us = j->since_us;
    i->core.group = wants_settled;
    i->core.deadline_ms = j->since_us / 1000u + FORWARD_PATIENCE_MS;
    i->transfer = wants_settled && from->entry.kind == KIND_TRANSFER;
    i->id = from->entry.id;
    return i;
}

/* Into the table; false: no room. The caller holds the lock. */
static bool add(struct peers *p, struct peer_item *i)
{
    if (!i || forward_add(p->core, &i->core) != ERR_OK) {
        free(i);
        return false;
    }
    atomic_fetch_add(&p->waits[i->core.slot], 1u);
    int to = p->core->slot[i->core.slot].route;
    if (to >= 0)
        p->peer[to].wake = true;
    return true;
}

void peer_left(struct peers *p, const struct peer_item *item)
{
    unsigned was = atomic_fetch_sub(&p->waits[item->core.slot], 1u);
    assert(was > 0);
    (void)was;
}

/* What is ours after all. */

static void own_entry(struct peers *p, struct peer_item *i)
{
    struct frame *f = frame_new(i->size);
    struct job *j = f ? job_new(1) : NULL;
    if (!j) {
        frame_drop(f);
        peer_answer_late(p, i);
        return;
    }
    memcpy(frame_data(f), i->envelope, i->size);
    f->size = i->size;
    j->frame = f;
    j->conn = i->conn;
    j->rid = i->rid;
    j->flags = i->core.group ? WIRE_SUBMIT_SETTLED : 0;
    j->since_us = i->since_us;
    j->items[0].i = i->i;
    j->items[0].verdict = entry_decode(&j->items[0].entry, frame_data(f), f->size);
    assert(j->items[0].verdict == ERR_OK); /* it was decoded, and its signature checked,
                                              before it came here */
    metrics_count(p->r->metrics, METRIC_FORWARDED, M_FORWARD_OWN, 1);
    atomic_fetch_add(&p->r->committing, j->count);
    queue_put_one(&p->r->commit, &j->work.link);
    free(i);
}

static void own_question(struct peers *p, struct peer_item *i)
{
    struct request *q = request_new(REQUEST_FRAME, i->conn);
    if (!q) {
        peer_answer_late(p, i);
        return;
    }
    q->has_device = i->has_device;
    q->device = i->device;
    q->since_us = i->since_us;
    q->f = (struct wire_frame){.type = i->type,
                               .rid = i->rid,
                               .id = i->id,
                               .has_device = i->has_key,
                               .device = i->key};
    atomic_fetch_add(&p->r->asks_waiting, 1u);
    queue_put_one(&p->r->commit, &q->work.link);
    free(i);
}

void peer_hand_own(struct peers *p, uint64_t now_ms)
{
    struct forward_item *f;
    while ((f = forward_next_own(p->core, now_ms))) {
        struct peer_item *i = (struct peer_item *)f;
        struct peer_item was = {.core.slot = f->slot};
        if (f->question)
            own_question(p, i);
        else
            own_entry(p, i);
        peer_left(p, &was); /* after: what comes next of the slot goes behind it */
    }
}

struct forward_item *peer_take_late(struct peers *p, uint64_t now_ms)
{
    struct forward_item *late = NULL, **end = &late, *f;
    while ((f = forward_next_late(p->core, now_ms))) {
        peer_left(p, (struct peer_item *)f);
        *end = f;
        end = &f->next;
    }
    return late;
}

void peer_say_late(struct peers *p, struct forward_item *late)
{
    while (late) {
        struct forward_item *next = late->next;
        peer_answer_late(p, (struct peer_item *)late);
        late = next;
    }
}

/* Owners. */

static bool start_peer(struct peer *w)
{
    w->finished = false;
    w->used = true;
    w->started = pthread_create(&w->thread, NULL, peer_thread, w) == 0;
    return w->started;
}

/* The number of the relay `o` at its address; FORWARD_NOBODY: no room for one more. */
static int peer_of(struct peers *p, const struct region_owner *o)
{
    struct peer *w = NULL;
    for (unsigned i = 0; i < p->count; i++)
        if (strcmp(p->peer[i].relay, o->relay) == 0 &&
            strcmp(p->peer[i].address, o->peer) == 0)
            w = &p->peer[i];
    for (unsigned i = 0; i < p->count && !w; i++)
        if (p->peer[i].finished || !p->peer[i].started)
            w = &p->peer[i];
    if (!w && p->count < FORWARD_PEERS_MAX) {
        w = &p->peer[p->count];
        w->all = p;
        w->number = p->count++;
    }
    if (!w)
        return FORWARD_NOBODY;
    if (w->started && w->finished) {
        pthread_join(w->thread, NULL); /* it has left the lock for good */
        w->started = false;
    }
    if (w->started)
        return (int)w->number;
    memcpy(w->relay, o->relay, sizeof(w->relay));
    memcpy(w->address, o->peer, sizeof(w->address));
    return start_peer(w) ? (int)w->number : FORWARD_NOBODY;
}

static int owner_of(struct peers *p, uint32_t slot)
{
    struct region_owner o;
    if (region_owns(p->r, slot))
        return FORWARD_SELF;
    if (!region_owner(p->r, slot, &o) || o.self)
        return FORWARD_NOBODY; /* nobody's, or on its way to or from us */
    return peer_of(p, &o);
}

static void wake_all(struct peers *p, bool whoever)
{
    for (unsigned i = 0; i < p->count; i++) {
        struct peer *w = &p->peer[i];
        if (w->link && (whoever || w->wake))
            peer_link_wake(w->link);
        w->wake = false;
    }
    if (whoever)
        pthread_cond_broadcast(&p->moved);
}

void peers_owners(struct peers *p)
{
    if (!p)
        return;
    uint64_t now = clock_mono_ms();
    bool used[FORWARD_PEERS_MAX] = {false};
    pthread_mutex_lock(&p->lock);
    p->generation = region_generation(p->r);
    for (uint32_t slot = 0; slot < p->r->slots; slot++) {
        int to = owner_of(p, slot);
        forward_route(p->core, slot, to, now);
        if (to >= 0)
            used[to] = true;
    }
    for (unsigned i = 0; i < p->count; i++) {
        if (p->peer[i].used && !used[i])
            p->peer[i].unused_ms = now;
        p->peer[i].used = used[i];
    }
    peer_hand_own(p, now);
    wake_all(p, true);
    pthread_mutex_unlock(&p->lock);
}

void peers_tick(struct peers *p)
{
    if (!p)
        return;
    if (region_generation(p->r) != p->generation)
        peers_owners(p);
    uint64_t now = clock_mono_ms();
    unsigned up = 0, down = 0;
    pthread_mutex_lock(&p->lock);
    forward_tick(p->core, now);
    peer_hand_own(p, now);
    struct forward_item *late = peer_take_late(p, now);
    for (unsigned i = 0; i < p->count; i++) {
        up += p->peer[i].used && p->core->peer[i].up;
        down += p->peer[i].used && !p->core->peer[i].up;
    }
    struct metrics *m = p->r->metrics;
    metrics_set(m, METRIC_PEER_LINKS, M_LINK_UP, up);
    metrics_set(m, METRIC_PEER_LINKS, M_LINK_DOWN, down);
    metrics_count(m, METRIC_FORWARD_AGAIN, 0, p->core->resent - p->resent_told);
    p->resent_told = p->core->resent;
    metrics_set(m, METRIC_FORWARDING, 0, p->core->load.items);
    metrics_set(m, METRIC_FORWARD_BYTES, 0, (int64_t)p->core->load.bytes);
    pthread_mutex_unlock(&p->lock);
    peer_say_late(p, late);
}

/* What comes in. */

static uint32_t slot_of_item(const struct peers *p, const struct job_item *item)
{
    return relay_slot_of(p->r, entry_account(&item->entry));
}

bool peers_others(const struct peers *p, uint32_t slot)
{
    return !region_owns(p->r, slot) || atomic_load(&p->waits[slot]) > 0;
}

static bool is_ours(const struct peers *p, const struct job_item *item)
{
    return item->verdict != ERR_OK || !peers_others(p, slot_of_item(p, item));
}

bool peers_take(struct peers *p, struct job *j)
{
    uint32_t kept = 0;
    while (kept < j->count && is_ours(p, &j->items[kept]))
        kept++;
    if (kept == j->count)
        return true;
    pthread_mutex_lock(&p->lock);
    for (uint32_t i = kept; i < j->count; i++) {
        struct job_item *item = &j->items[i];
        if (!is_ours(p, item)) {
            if (add(p, entry_item(item, slot_of_item(p, item))))
                continue;
            item->verdict = ERR_BUSY;
            metrics_count(p->r->metrics, METRIC_FORWARDED, M_FORWARD_BUSY, 1);
        }
        j->items[kept++] = *item;
    }
    pthread_mutex_unlock(&p->lock);
    j->count = kept;
    if (kept == 0)
        job_drop(j);
    return kept > 0;
}

void peers_flush(struct peers *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    wake_all(p, false);
    pthread_mutex_unlock(&p->lock);
}

bool peers_ask(struct peers *p, struct request *q, uint32_t slot)
{
    bool took = false;
    struct peer_item *i = q ? item_new(slot, (struct bytes){0}) : NULL;
    if (i) {
        i->core.question = true;
        i->core.deadline_ms = q->since_us / 1000u + FORWARD_PATIENCE_MS;
        i->conn = q->conn;
        i->rid = q->f.rid;
        i->since_us = q->since_us;
        i->type = (uint8_t)q->f.type;
        i->has_device = q->has_device;
        i->device = q->device;
        i->has_key = q->f.has_device;
        i->key = q->f.device;
        i->id = q->f.id;
        pthread_mutex_lock(&p->lock);
        took = add(p, i);
        peer_hand_own(p, clock_mono_ms());
        wake_all(p, false);
        pthread_mutex_unlock(&p->lock);
    }
    request_drop(q);
    return took;
}

bool peers_take_back(struct peers *p, const struct job_item *item)
{
    if (item->job->vouched ||
        clock_mono_us() >= item->job->since_us + FORWARD_PATIENCE_MS * 1000u)
        return false;
    uint32_t slot = slot_of_item(p, item);
    if (region_owns(p->r, slot))
        return false; /* ours: whatever was wrong is not that */
    pthread_mutex_lock(&p->lock);
    bool took = add(p, entry_item(item, slot));
    wake_all(p, false);
    pthread_mutex_unlock(&p->lock);
    return took;
}

void peers_status(struct peers *p, void (*each)(void *context, const struct peer_status *s),
                  void *context)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    for (unsigned i = 0; i < p->count; i++) {
        const struct peer *w = &p->peer[i];
        struct peer_status s = {.relay = w->relay,
                                .address = w->address,
                                .up = p->core->peer[i].up,
                                .waiting = forward_load_of(p->core, (int)i)->items};
        if (w->used || s.up || s.waiting)
            each(context, &s);
    }
    pthread_mutex_unlock(&p->lock);
}

/* Opening and closing. */

enum err peers_open(struct peers **out, struct relay *r)
{
    struct peers *p = calloc(1, sizeof(*p));
    if (!p)
        return ERR_MEMORY;
    p->r = r;
    p->core = calloc(1, sizeof(*p->core));
    p->watched = calloc(PEER_WATCH_BUCKETS * PEER_WATCH_WAYS, sizeof(*p->watched));
    if (!p->core || !p->watched) {
        free(p->core);
        free(p->watched);
        free(p);
        return ERR_MEMORY;
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_t a;
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_cond_init(&p->moved, &a);
    pthread_condattr_destroy(&a);
    forward_open(p->core, r->slots);
    *out = p;
    return ERR_OK;
}

void peers_stop(struct peers *p)
{
    if (!p)
        return;
    atomic_store(&p->stopping, true);
    pthread_mutex_lock(&p->lock);
    wake_all(p, true);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->count; i++)
        if (p->peer[i].started) {
            pthread_join(p->peer[i].thread, NULL);
            p->peer[i].started = false;
        }
}

void peers_close(struct peers *p)
{
    if (!p)
        return;
    peers_stop(p);
    for (struct forward_item *f; (f = forward_next_any(p->core));)
        free(f);
    pthread_cond_destroy(&p->moved);
    pthread_mutex_destroy(&p->lock);
    free(p->watched);
    free(p->core);
    free(p);
}
