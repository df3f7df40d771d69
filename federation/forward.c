#include "federation/forward.h"

#include <assert.h>

_Static_assert((FORWARD_WINDOW & (FORWARD_WINDOW - 1)) == 0, "serials wrap");
_Static_assert(FORWARD_BATCH_ENTRIES <= FORWARD_WINDOW, "a frame fits its window");

static unsigned route_index(int route)
{
    assert(route >= FORWARD_NOBODY && route < (int)FORWARD_PEERS_MAX);
    return (unsigned)(route - FORWARD_NOBODY);
}

static void load_add(struct forward_load *l, struct forward_load more)
{
    l->items += more.items;
    l->bytes += more.bytes;
}

static void load_sub(struct forward_load *l, struct forward_load less)
{
    assert(l->items >= less.items && l->bytes >= less.bytes);
    l->items -= less.items;
    l->bytes -= less.bytes;
}

void forward_open(struct forward *f, uint32_t slots)
{
    assert(slots <= FORWARD_SLOTS_MAX);
    f->slots = slots;
    for (uint32_t i = 0; i < slots; i++)
        f->slot[i].route = f->slot[i].sent_to = FORWARD_NOBODY;
}

/* Lists. */

enum err forward_add(struct forward *f, struct forward_item *item)
{
    assert(item->slot < f->slots);
    struct forward_slot *s = &f->slot[item->slot];
    struct forward_load one = {1, item->size};
    const struct forward_load *owner = &f->of_route[route_index(s->route)];
    if (f->load.items >= FORWARD_ITEMS_MAX || owner->items >= FORWARD_ITEMS_OWNER_MAX ||
        f->load.bytes + item->size > FORWARD_BYTES_MAX ||
        owner->bytes + item->size > FORWARD_BYTES_OWNER_MAX)
        return ERR_BUSY;
    item->sent = false;
    item->next = NULL;
    item->prev = s->tail;
    if (s->tail)
        s->tail->next = item;
    else
        s->head = item;
    s->tail = item;
    if (!s->unsent)
        s->unsent = item;
    load_add(&s->load, one);
    load_add(&f->load, one);
    load_add(&f->of_route[route_index(s->route)], one);
    return ERR_OK;
}

/* All that came back is in line again. */
static void rewind_slot(struct forward_slot *s)
{
    if (s->flying > 0)
        return;
    s->unsent = s->head;
    s->again = false;
    s->give_up_at = 0;
}

static void remove_item(struct forward *f, struct forward_slot *s,
                        struct forward_item *item)
{
    struct forward_load one = {1, item->size};
    assert(!item->sent);
    if (s->unsent == item)
        s->unsent = item->next;
    if (item->prev)
        item->prev->next = item->next;
    else
        s->head = item->next;
    if (item->next)
        item->next->prev = item->prev;
    else
        s->tail = item->prev;
    item->next = item->prev = NULL;
    load_sub(&s->load, one);
    load_sub(&f->load, one);
    load_sub(&f->of_route[route_index(s->route)], one);
    rewind_slot(s);
}

/* It does not fly any more: an answer to it is nobody's from now on. */
static void land(struct forward *f, struct forward_slot *s, struct forward_item *item)
{
    assert(item->sent && s->sent_to >= 0 && s->flying > 0);
    struct forward_peer *p = &f->peer[s->sent_to];
    struct forward_item **cell = &p->window[item->serial % FORWARD_WINDOW];
    assert(*cell == item);
    *cell = NULL;
    p->flying--;
    s->flying--;
    item->sent = false;
}

static void call_back(struct forward *f, struct forward_slot *s)
{
    for (struct forward_item *i = s->head; i && s->flying > 0; i = i->next)
        if (i->sent)
            land(f, s, i);
    rewind_slot(s);
}

bool forward_waits(const struct forward *f, uint32_t slot)
{
    return f->slot[slot].head != NULL;
}

const struct forward_load *forward_load_of(const struct forward *f, int route)
{
    return &f->of_route[route_index(route)];
}

/* What happens to owners and links. */

void forward_route(struct forward *f, uint32_t slot, int to, uint64_t now_ms)
{
    struct forward_slot *s = &f->slot[slot];
    if (s->route == to)
        return;
    load_sub(&f->of_route[route_index(s->route)], s->load);
    load_add(&f->of_route[route_index(to)], s->load);
    s->route = to;
    s->pause_until = 0;
    if (s->flying == 0) {
        rewind_slot(s);
        return;
    }
    s->again = true;
    s->give_up_at = now_ms + FORWARD_HANDOVER_MS;
}

void forward_link(struct forward *f, unsigned peer, bool up)
{
    assert(peer < FORWARD_PEERS_MAX);
    f->peer[peer].up = up;
    for (uint32_t i = 0; i < f->slots && !up; i++)
        if (f->slot[i].flying > 0 && f->slot[i].sent_to == (int)peer)
            call_back(f, &f->slot[i]);
}

void forward_tick(struct forward *f, uint64_t now_ms)
{
    for (uint32_t i = 0; i < f->slots; i++) {
        struct forward_slot *s = &f->slot[i];
        if (s->flying > 0 && s->give_up_at && now_ms >= s->give_up_at)
            call_back(f, s);
    }
}

/* Sending. */

static bool may_send(const struct forward_slot *s, uint64_t now_ms)
{
    return s->unsent && !s->again && now_ms >= s->pause_until;
}

struct batch {
    struct forward_item **out;
    size_t count, bytes;
};

static bool fits(const struct batch *b, const struct forward_item *i)
{
    const struct forward_item *first = b->count ? b->out[0] : NULL;
    return !first || (!first->question && !i->question && i->group == first->group &&
                      b->bytes + i->size <= FORWARD_BATCH_BYTES);
}

/* Items of one slot; false: the frame is full. */
static bool take_from(struct forward *f, unsigned peer, struct forward_slot *s,
                      struct batch *b)
{
    struct forward_peer *p = &f->peer[peer];
    while (s->unsent) {
        struct forward_item *i = s->unsent;
        struct forward_item **cell = &p->window[p->next_serial % FORWARD_WINDOW];
        if (b->count == FORWARD_BATCH_ENTRIES || *cell)
            return false;
        if (!fits(b, i))
            return !b->out[0]->question; /* another slot may have something that does */
        f->resent += i->serial != 0;
        i->serial = p->next_serial++;
        i->sent = true;
        *cell = i;
        p->flying++;
        s->flying++;
        s->sent_to = (int)peer;
        s->unsent = i->next;
        b->out[b->count++] = i;
        b->bytes += i->size;
    }
    return true;
}

size_t forward_batch(struct forward *f, unsigned peer, uint64_t now_ms,
                     struct forward_item *out[FORWARD_BATCH_ENTRIES], uint64_t *rid)
{
    struct forward_peer *p = &f->peer[peer];
    struct batch b = {.out = out};
    if (!p->up || f->of_route[route_index((int)peer)].items == 0)
        return 0;
    if (p->next_serial == 0)
        p->next_serial = 1; /* 0 says: never sent */
    uint32_t first = p->turn, i = 0;
    for (; i < f->slots; i++) {
        struct forward_slot *s = &f->slot[(first + i) % f->slots];
        if (s->route != (int)peer || !may_send(s, now_ms))
            continue;
        p->turn = (first + i + 1) % f->slots;
        if (!take_from(f, peer, s, &b))
            break;
    }
    if (b.count > 0)
        *rid = out[0]->serial;
    return b.count;
}

/* Answers. */

struct forward_item *forward_find(const struct forward *f, unsigned peer, uint64_t rid,
                                  uint64_t i)
{
    assert(peer < FORWARD_PEERS_MAX);
    if (i >= FORWARD_BATCH_ENTRIES || rid == 0 || rid > INT64_MAX)
        return NULL;
    struct forward_item *item = f->peer[peer].window[(rid + i) % FORWARD_WINDOW];
    return item && item->serial == rid + i ? item : NULL;
}

bool forward_answered(struct forward *f, unsigned peer, struct forward_item *item,
                      enum err code, uint64_t now_ms)
{
    struct forward_slot *s = &f->slot[item->slot];
    assert(s->sent_to == (int)peer);
    (void)peer;
    bool later = code == ERR_UNAVAILABLE || (code == ERR_GAP && s->again);
    land(f, s, item);
    if (later && now_ms < item->deadline_ms) {
        if (s->route == s->sent_to) /* else the new owner has it at once */
            s->pause_until = now_ms + FORWARD_AGAIN_MS;
        s->again = true;
        rewind_slot(s);
        return false;
    }
    remove_item(f, s, item);
    return true;
}

struct forward_item *forward_next_own(struct forward *f, uint64_t now_ms)
{
    if (f->of_route[route_index(FORWARD_SELF)].items == 0)
        return NULL;
    for (uint32_t i = 0; i < f->slots; i++) {
        struct forward_slot *s = &f->slot[i];
        if (s->route != FORWARD_SELF || s->flying > 0 || !may_send(s, now_ms))
            continue;
        struct forward_item *item = s->unsent;
        assert(item == s->head);
        remove_item(f, s, item);
        return item;
    }
    return NULL;
}

/* Items of a slot stand in the order of their deadlines, but for those that came back from
 * this relay's own sequencer: the head tells all but these, and they come soon after. */
struct forward_item *forward_next_late(struct forward *f, uint64_t now_ms)
{
    for (uint32_t i = 0; i < f->slots && f->load.items > 0; i++) {
        struct forward_slot *s = &f->slot[i];
        struct forward_item *item = s->head;
        if (!item || now_ms < item->deadline_ms)
            continue;
        if (item->sent)
            land(f, s, item);
        remove_item(f, s, item);
        return item;
    }
    return NULL;
}

struct forward_item *forward_next_any(struct forward *f)
{
    return forward_next_late(f, UINT64_MAX);
}
