#include "ledger/outbox.h"

#include <assert.h>
#include <string.h>

#define QUEUE_ITEMS_MIN 16
#define TICKETS_MIN 64

struct queued {
    struct channel_item item;
    uint64_t ticket;
};

/* Numbers are out_seqs of the channel. settled <= taken; settled <= end. taken > end only
 * while the source is being reloaded. */
struct queue {
    bool placed;      /* the numbers below mean something */
    uint64_t settled; /* the oldest not durably settled; first in the ring */
    uint64_t taken;   /* the next to take */
    uint64_t end;     /* after the newest queued */
    size_t cap;       /* a power of two, or 0 */
    struct queued *ring;
};

/* One per record of a source that has unsettled items: how many, and since when. */
struct ticket {
    uint64_t source_index;
    uint64_t since_ms;
    uint32_t unsettled;
};

struct source {
    bool ready;
    bool here;        /* ready now or before: not only known by what others sent */
    uint64_t waiting; /* items of it in the queues */
    uint64_t first; /* ordinal of the oldest ticket */
    uint64_t end;
    size_t cap;
    struct ticket *ring;
};

struct outbox {
    const struct alloc *mem;
    uint32_t slots;
    uint64_t *due;    /* per destination */
    bool *settles;    /* is the destination here? */
    struct source *sources;
    struct queue *queues; /* by destination, then source */
};

static struct queue *queue_of(const struct outbox *o, uint32_t source,
                              uint32_t destination)
{
    assert(source < o->slots && destination < o->slots);
    return &o->queues[(size_t)destination * o->slots + source];
}

static struct queued *at(const struct queue *q, uint64_t out_seq)
{
    return &q->ring[(size_t)out_seq & (q->cap - 1)];
}

static struct ticket *ticket_at(const struct source *s, uint64_t ordinal)
{
    return &s->ring[(size_t)ordinal & (s->cap - 1)];
}

static void *zeroed(const struct alloc *mem, size_t count, size_t size)
{
    void *p = mem->resize(mem->context, NULL, 0, count * size);
    if (p != NULL)
        memset(p, 0, count * size);
    return p;
}

static void give_back(const struct alloc *mem, void *p, size_t size)
{
    if (p != NULL)
        mem->resize(mem->context, p, size, 0);
}

enum err outbox_open(struct outbox **out, const struct alloc *mem, uint32_t slots)
{
    assert(slots >= 1);
    size_t pairs = (size_t)slots * slots;
    struct outbox *o = zeroed(mem, 1, sizeof *o);
    if (o == NULL)
        return ERR_MEMORY;
    o->mem = mem;
    o->slots = slots;
    o->due = zeroed(mem, slots, sizeof *o->due);
    o->settles = zeroed(mem, slots, sizeof *o->settles);
    o->sources = zeroed(mem, slots, sizeof *o->sources);
    o->queues = zeroed(mem, pairs, sizeof *o->queues);
    if (o->due == NULL || o->settles == NULL || o->sources == NULL || o->queues == NULL) {
        outbox_close(o);
        return ERR_MEMORY;
    }
    *out = o;
    return ERR_OK;
}

void outbox_close(struct outbox *o)
{
    if (o == NULL)
        return;
    size_t pairs = (size_t)o->slots * o->slots;
    for (size_t i = 0; o->queues != NULL && i < pairs; i++)
        give_back(o->mem, o->queues[i].ring, o->queues[i].cap * sizeof(struct queued));
    for (size_t i = 0; o->sources != NULL && i < o->slots; i++)
        give_back(o->mem, o->sources[i].ring, o->sources[i].cap * sizeof(struct ticket));
    give_back(o->mem, o->queues, pairs * sizeof *o->queues);
    give_back(o->mem, o->sources, o->slots * sizeof *o->sources);
    give_back(o->mem, o->due, o->slots * sizeof *o->due);
    give_back(o->mem, o->settles, o->slots * sizeof *o->settles);
    o->mem->resize(o->mem->context, o, sizeof *o, 0);
}

/* ---- rings ---- */

static bool queue_grow(struct outbox *o, struct queue *q)
{
    size_t count = (size_t)(q->end - q->settled);
    if (count < q->cap)
        return true;
    size_t cap = q->cap == 0 ? QUEUE_ITEMS_MIN : q->cap * 2;
    struct queued *ring = o->mem->resize(o->mem->context, NULL, 0, cap * sizeof *ring);
    if (ring == NULL)
        return false;
    for (uint64_t n = q->settled; n != q->end; n++)
        ring[(size_t)n & (cap - 1)] = *at(q, n);
    give_back(o->mem, q->ring, q->cap * sizeof *ring);
    q->ring = ring;
    q->cap = cap;
    return true;
}

static bool tickets_grow(struct outbox *o, struct source *s)
{
    if ((size_t)(s->end - s->first) < s->cap)
        return true;
    size_t cap = s->cap == 0 ? TICKETS_MIN : s->cap * 2;
    struct ticket *ring = o->mem->resize(o->mem->context, NULL, 0, cap * sizeof *ring);
    if (ring == NULL)
        return false;
    for (uint64_t n = s->first; n != s->end; n++)
        ring[(size_t)n & (cap - 1)] = *ticket_at(s, n);
    give_back(o->mem, s->ring, s->cap * sizeof *ring);
    s->ring = ring;
    s->cap = cap;
    return true;
}

static uint64_t due_of(const struct queue *q)
{
    return q->end > q->taken ? q->end - q->taken : 0;
}

/* ---- putting in ---- */

/* ERR_CORRUPT: not the item after the newest one. */
static enum err put_one(struct outbox *o, const struct channel_item *item,
                        uint64_t since_ms)
{
    struct source *s = &o->sources[item->source_slot];
    struct queue *q = queue_of(o, item->source_slot, item->destination_slot);
    if (!q->placed) {
        q->placed = true;
        q->settled = q->taken = q->end = item->out_seq;
    }
    if (item->out_seq < q->settled)
        return ERR_OK; /* settled; the source's outbox has not forgotten it yet */
    if (item->out_seq != q->end)
        return ERR_CORRUPT;
    bool same = s->end != s->first &&
                ticket_at(s, s->end - 1)->source_index == item->source_index;
    if (!queue_grow(o, q) || (!same && !tickets_grow(o, s)))
        return ERR_MEMORY;
    if (!same)
        *ticket_at(s, s->end++) =
            (struct ticket){.source_index = item->source_index, .since_ms = since_ms};
    struct queued *slot = at(q, q->end);
    slot->item = *item;
    slot->ticket = s->end - 1;
    ticket_at(s, s->end - 1)->unsettled++;
    uint64_t due = due_of(q);
    q->end++;
    o->due[item->destination_slot] += due_of(q) - due;
    s->waiting++;
    return ERR_OK;
}

/* The newest item of its queue and source goes out again. */
static void take_back(struct outbox *o, const struct channel_item *item)
{
    struct source *s = &o->sources[item->source_slot];
    struct queue *q = queue_of(o, item->source_slot, item->destination_slot);
    if (item->out_seq < q->settled)
        return; /* was not put */
    uint64_t due = due_of(q);
    q->end--;
    o->due[item->destination_slot] -= due - due_of(q);
    s->waiting--;
    if (--ticket_at(s, s->end - 1)->unsettled == 0)
        s->end--;
}

enum err outbox_put(struct outbox *o, const struct channel_item items[], size_t count,
                    uint64_t since_ms)
{
    for (size_t i = 0; i < count; i++) {
        enum err err = put_one(o, &items[i], since_ms);
        if (err == ERR_OK)
            continue;
        while (i > 0) /* half of a cause would be settled before the other is known */
            take_back(o, &items[--i]);
        return err;
    }
    return ERR_OK;
}

/* ---- taking out ---- */

static uint32_t drop_first(struct outbox *o, uint32_t source, struct queue *q)
{
    struct source *s = &o->sources[source];
    struct ticket *t = ticket_at(s, at(q, q->settled)->ticket);
    assert(t->unsettled > 0);
    t->unsettled--;
    uint32_t remaining = t->unsettled;
    while (s->first != s->end && ticket_at(s, s->first)->unsettled == 0)
        s->first++;
    q->settled++;
    s->waiting--;
    return remaining;
}

uint64_t outbox_due(const struct outbox *o, uint32_t destination)
{
    assert(destination < o->slots);
    return o->due[destination];
}

const struct channel_item *outbox_next(const struct outbox *o, uint32_t source,
                                       uint32_t destination)
{
    const struct queue *q = queue_of(o, source, destination);
    return due_of(q) == 0 ? NULL : &at(q, q->taken)->item;
}

void outbox_take(struct outbox *o, uint32_t source, uint32_t destination)
{
    struct queue *q = queue_of(o, source, destination);
    assert(due_of(q) > 0);
    q->taken++;
    o->due[destination]--;
}

bool outbox_settle(struct outbox *o, uint32_t source, uint32_t destination,
                   struct channel_item *item, uint32_t *remaining)
{
    struct queue *q = queue_of(o, source, destination);
    assert(q->placed && q->settled < q->taken);
    if (q->settled == q->end) { /* its source could not be reloaded since it was taken */
        q->settled++;
        q->end = q->settled;
        return false;
    }
    *item = at(q, q->settled)->item;
    *remaining = drop_first(o, source, q);
    return true;
}

/* ---- slots come and go ---- */

static void source_clear(struct outbox *o, uint32_t source)
{
    struct source *s = &o->sources[source];
    s->ready = false;
    s->first = s->end = 0;
    for (uint32_t d = 0; d < o->slots; d++) {
        struct queue *q = queue_of(o, source, d);
        o->due[d] -= due_of(q);
        q->end = q->settled;
    }
    s->waiting = 0;
}

/* Where the destination is elsewhere, or not loaded yet, only the source's own log says how
 * much there is: the queue begins where its first open item does. */
static void unplace_elsewhere(struct outbox *o, uint32_t source)
{
    for (uint32_t d = 0; d < o->slots; d++)
        if (!o->settles[d])
            queue_of(o, source, d)->placed = false;
}

/* The log's own count and the queue must agree. */
static enum err check_end(struct queue *q, uint64_t next_out)
{
    if (!q->placed) {
        q->placed = true;
        q->settled = q->taken = q->end = next_out;
        return ERR_OK;
    }
    if (q->end == next_out)
        return ERR_OK;
    return q->settled > next_out ? ERR_BEHIND : ERR_CORRUPT;
}

enum err outbox_source_ready(struct outbox *o, uint32_t source,
                             const struct channel_item items[], size_t count,
                             const uint64_t next_out[], uint64_t since_ms)
{
    assert(source < o->slots);
    source_clear(o, source);
    unplace_elsewhere(o, source);
    enum err err = ERR_OK;
    for (size_t i = 0; err == ERR_OK && i < count; i++) {
        if (items[i].source_slot != source || items[i].destination_slot >= o->slots ||
            (i > 0 && items[i].source_index < items[i - 1].source_index))
            err = ERR_CORRUPT;
        else
            err = put_one(o, &items[i], since_ms);
    }
    for (uint32_t d = 0; err == ERR_OK && d < o->slots; d++)
        err = check_end(queue_of(o, source, d), next_out[d]);
    if (err != ERR_OK)
        source_clear(o, source);
    else
        o->sources[source].ready = o->sources[source].here = true;
    return err;
}

enum err outbox_destination_ready(struct outbox *o, uint32_t destination,
                                  const uint64_t next_in[])
{
    for (uint32_t s = 0; s < o->slots; s++) {
        const struct queue *q = queue_of(o, s, destination);
        if (!q->placed)
            continue;
        if (next_in[s] < q->settled)
            return o->sources[s].ready ? ERR_CORRUPT : ERR_BEHIND;
        if (next_in[s] > q->end && o->sources[s].ready)
            return ERR_BEHIND;
    }
    for (uint32_t s = 0; s < o->slots; s++) {
        struct queue *q = queue_of(o, s, destination);
        if (q->placed) {
            o->due[destination] -= due_of(q);
            while (q->settled != q->end && q->settled != next_in[s])
                drop_first(o, s, q);
        }
        q->settled = q->taken = next_in[s];
        if (!q->placed || q->end < next_in[s])
            q->end = next_in[s];
        q->placed = true;
        o->due[destination] += due_of(q);
    }
    o->settles[destination] = true;
    return ERR_OK;
}

void outbox_slot_down(struct outbox *o, uint32_t slot)
{
    o->sources[slot].ready = false;
    o->settles[slot] = false;
    for (uint32_t s = 0; s < o->slots; s++) {
        struct queue *q = queue_of(o, s, slot);
        o->due[slot] -= due_of(q);
        q->taken = q->settled;
        o->due[slot] += due_of(q);
    }
}

/* ---- one end elsewhere ---- */

void outbox_slot_gone(struct outbox *o, uint32_t slot)
{
    outbox_slot_down(o, slot);
    source_clear(o, slot);
    unplace_elsewhere(o, slot);
    o->sources[slot].here = false;
    for (uint32_t s = 0; s < o->slots; s++) {
        struct queue *q = queue_of(o, s, slot);
        if (o->sources[s].here)
            continue;
        o->due[slot] -= due_of(q);
        while (q->placed && q->settled < q->end)
            drop_first(o, s, q);
        q->placed = false;
    }
}

enum err outbox_receive(struct outbox *o, const struct channel_item items[], size_t count)
{
    enum err first = ERR_OK; /* a gap ends one channel's items, not the others' */
    for (size_t i = 0; i < count; i++) {
        const struct channel_item *item = &items[i];
        if (item->source_slot >= o->slots || item->destination_slot >= o->slots) {
            first = ERR_RANGE;
            continue;
        }
        const struct queue *q = queue_of(o, item->source_slot, item->destination_slot);
        if (o->sources[item->source_slot].here || !o->settles[item->destination_slot] ||
            item->out_seq < q->end)
            continue;
        if (item->out_seq != q->end) {
            first = ERR_RANGE;
            continue;
        }
        TRY(put_one(o, item, 0));
    }
    return first;
}

static bool sent_elsewhere(const struct outbox *o, uint32_t source, uint32_t destination)
{
    return source < o->slots && destination < o->slots && o->sources[source].ready &&
           !o->settles[destination] && queue_of(o, source, destination)->placed;
}

static uint32_t pass_first(struct outbox *o, uint32_t source, uint32_t destination)
{
    struct queue *q = queue_of(o, source, destination);
    if (q->taken == q->settled) {
        q->taken++;
        o->due[destination]--;
    }
    return drop_first(o, source, q);
}

bool outbox_settle_sent(struct outbox *o, uint32_t source, uint32_t destination,
                        uint64_t out_seq, struct channel_item *item, uint32_t *remaining)
{
    if (!sent_elsewhere(o, source, destination))
        return false;
    const struct queue *q = queue_of(o, source, destination);
    if (q->settled == q->end || q->settled != out_seq)
        return false;
    *item = at(q, out_seq)->item;
    *remaining = pass_first(o, source, destination);
    return true;
}

enum err outbox_settle_sent_to(struct outbox *o, uint32_t source, uint32_t destination,
                               uint64_t next_in)
{
    if (!sent_elsewhere(o, source, destination))
        return ERR_OK;
    const struct queue *q = queue_of(o, source, destination);
    if (next_in > q->end)
        return ERR_BEHIND;
    while (q->settled < next_in)
        (void)pass_first(o, source, destination);
    return ERR_OK;
}

bool outbox_span(const struct outbox *o, uint32_t source, uint32_t destination,
                 uint64_t *settled, uint64_t *end)
{
    const struct queue *q = queue_of(o, source, destination);
    *settled = q->settled;
    *end = q->end;
    return q->placed;
}

/* ---- what is open ---- */

uint64_t outbox_low(const struct outbox *o, uint32_t source, uint64_t end)
{
    const struct source *s = &o->sources[source];
    return s->first == s->end ? end : ticket_at(s, s->first)->source_index;
}

uint64_t outbox_waiting(const struct outbox *o, uint64_t *oldest_since_ms)
{
    uint64_t oldest = 0, waiting = 0;
    for (uint32_t i = 0; i < o->slots; i++) {
        const struct source *s = &o->sources[i];
        if (!s->here || s->first == s->end)
            continue;
        waiting += s->waiting;
        uint64_t since = ticket_at(s, s->first)->since_ms;
        if (oldest == 0 || since < oldest)
            oldest = since;
    }
    *oldest_since_ms = oldest;
    return waiting;
}
