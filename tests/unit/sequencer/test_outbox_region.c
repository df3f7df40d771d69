/* Three relays with an outbox each and one ledger between them, by seed: slots send,
 * settle, are let go, taken over from one that does not know yet, lost and loaded again,
 * in any order. Of every channel each item is settled once and in order, no item is
 * forgotten in the store that is not settled, and when all come to rest everything sent
 * has been settled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ledger/outbox.h"

#define SLOTS 4u
#define RELAYS 3u
#define SENT_MAX 400u /* items of a slot */
#define SEEDS 400u
#define STEPS 600u
#define HOUR 5000u

/* The ledger: what is durable. */
struct ledger {
    struct channel_item sent[SLOTS][SENT_MAX]; /* in log order */
    size_t count[SLOTS], first[SLOTS];         /* those before are deleted */
    uint64_t size[SLOTS];
    uint64_t next_out[SLOTS][SLOTS]; /* by source */
    uint64_t next_in[SLOTS][SLOTS];  /* by destination */
    int owner[SLOTS];
};
struct relay {
    struct outbox *o;
    bool has[SLOTS];   /* it believes so */
    bool ready[SLOTS]; /* loaded */
};
struct world {
    uint64_t seed;
    struct ledger l;
    struct relay r[RELAYS];
};

static uint32_t draw(struct world *w, uint32_t below)
{
    uint64_t z = w->seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ z >> 31) % below);
}

static bool owns(const struct world *w, uint32_t r, uint32_t slot)
{
    return w->l.owner[slot] == (int)r;
}

/* ---- what relays do ---- */

static enum err try_load(struct world *w, uint32_t r, uint32_t slot)
{
    struct ledger *l = &w->l;
    struct outbox *o = w->r[r].o;
    TRY(outbox_source_ready(o, slot, l->sent[slot] + l->first[slot],
                            l->count[slot] - l->first[slot], l->next_out[slot], HOUR));
    TRY(outbox_destination_ready(o, slot, l->next_in[slot]));
    w->r[r].ready[slot] = true;
    return ERR_OK;
}

/* What a slot of old, another's by now, contradicts goes when everything is claimed
 * again. */
static void load(struct world *w, uint32_t r, uint32_t slot)
{
    struct relay *me = &w->r[r];
    bool old = false;
    enum err e = try_load(w, r, slot);
    if (e == ERR_OK)
        return;
    assert_true(e == ERR_BEHIND || e == ERR_CORRUPT);
    for (uint32_t other = 0; other < SLOTS; other++) {
        old = old || (me->has[other] && !owns(w, r, other));
        if (me->has[other])
            outbox_slot_gone(me->o, other);
        me->ready[other] = false;
        me->has[other] = owns(w, r, other);
    }
    assert_true(old);
    for (uint32_t other = 0; other < SLOTS; other++)
        if (me->has[other])
            assert_int_equal(try_load(w, r, other), ERR_OK);
}

static void take_slot(struct world *w, uint32_t r, uint32_t slot)
{
    w->l.owner[slot] = (int)r;
    if (!w->r[r].has[slot]) {
        w->r[r].has[slot] = true;
        load(w, r, slot);
    }
}

static void drop_slot(struct world *w, uint32_t r, uint32_t slot)
{
    outbox_slot_gone(w->r[r].o, slot);
    w->r[r].has[slot] = w->r[r].ready[slot] = false;
    if (owns(w, r, slot))
        w->l.owner[slot] = -1;
}

/* An append that the epoch refused: down, and loaded again only by the owner. */
static void lost(struct world *w, uint32_t r, uint32_t slot)
{
    outbox_slot_down(w->r[r].o, slot);
    w->r[r].ready[slot] = false;
}

/* Items of settled records are deleted with an append of their source. */
static void forget(struct world *w, uint32_t r, uint32_t source)
{
    struct ledger *l = &w->l;
    uint64_t low = outbox_low(w->r[r].o, source, l->size[source]);
    for (; l->first[source] < l->count[source]; l->first[source]++) {
        const struct channel_item *i = &l->sent[source][l->first[source]];
        if (i->source_index >= low)
            break;
        assert_true(i->out_seq < l->next_in[i->destination_slot][source]);
    }
}

static void send(struct world *w, uint32_t r, uint32_t source)
{
    struct ledger *l = &w->l;
    uint32_t payees = 1 + draw(w, 3);
    if (!owns(w, r, source)) {
        lost(w, r, source);
        return;
    }
    if (l->count[source] + payees > SENT_MAX)
        return;
    struct channel_item *items = &l->sent[source][l->count[source]];
    for (uint32_t i = 0; i < payees; i++) {
        uint32_t to = draw(w, SLOTS);
        items[i] = (struct channel_item){.source_slot = source,
                                         .destination_slot = to,
                                         .payee_index = i,
                                         .source_index = l->size[source],
                                         .out_seq = l->next_out[source][to]++,
                                         .amount = 1};
    }
    l->count[source] += payees;
    l->size[source]++;
    assert_int_equal(outbox_put(w->r[r].o, items, payees, HOUR), ERR_OK);
    forget(w, r, source);
}

static void settle(struct world *w, uint32_t r, uint32_t slot, uint32_t source)
{
    struct outbox *o = w->r[r].o;
    struct channel_item item;
    uint32_t remaining;
    const struct channel_item *next = outbox_next(o, source, slot);
    if (next == NULL)
        return;
    uint64_t number = next->out_seq;
    outbox_take(o, source, slot);
    if (!owns(w, r, slot)) {
        lost(w, r, slot);
        return;
    }
    assert_int_equal(number, w->l.next_in[slot][source]); /* once, and in order */
    assert_true(number < w->l.next_out[source][slot]);
    w->l.next_in[slot][source]++;
    assert_true(outbox_settle(o, source, slot, &item, &remaining));
    assert_int_equal(item.out_seq, number);
    assert_int_equal(item.source_slot, source);
}

/* The channel thread: items from the store, in pieces. */
static void receive(struct world *w, uint32_t r, uint32_t slot, uint32_t source)
{
    struct ledger *l = &w->l;
    struct channel_item some[4];
    uint64_t settled, end;
    size_t count = 0, most = 1 + draw(w, 4);
    if (w->r[r].has[source] || !outbox_span(w->r[r].o, source, slot, &settled, &end))
        return;
    for (size_t i = l->first[source]; i < l->count[source] && count < most; i++)
        if (l->sent[source][i].destination_slot == slot &&
            l->sent[source][i].out_seq >= end)
            some[count++] = l->sent[source][i];
    /* A gap is what an owner of old sees when its items are settled and deleted. */
    enum err e = outbox_receive(w->r[r].o, some, count);
    assert_true(e == ERR_OK || (e == ERR_RANGE && !owns(w, r, slot)));
}

static void hear(struct world *w, uint32_t r, uint32_t source, uint32_t destination)
{
    uint64_t in = w->l.next_in[destination][source], settled, end;
    struct channel_item item;
    uint32_t remaining;
    if (w->r[r].has[destination] || !owns(w, r, source) ||
        !outbox_span(w->r[r].o, source, destination, &settled, &end))
        return;
    if (draw(w, 2))
        assert_int_equal(outbox_settle_sent_to(w->r[r].o, source, destination, in),
                         ERR_OK);
    else if (settled < in)
        assert_true(outbox_settle_sent(w->r[r].o, source, destination, settled, &item,
                                       &remaining));
}

/* ---- the walk ---- */

static void act(struct world *w, uint32_t r, uint32_t slot)
{
    uint32_t other = draw(w, SLOTS);
    switch (draw(w, 8)) {
    case 0:
        send(w, r, slot);
        break;
    case 1:
    case 2:
        settle(w, r, slot, other);
        break;
    case 3:
    case 4:
        receive(w, r, slot, other);
        break;
    case 5:
    case 6:
        hear(w, r, slot, other);
        break;
    case 7:
        if (draw(w, 4) == 0)
            lost(w, r, slot);
        break;
    }
}

static void step(struct world *w)
{
    uint32_t r = draw(w, RELAYS), slot = draw(w, SLOTS);
    struct relay *me = &w->r[r];
    if (me->has[slot] && me->ready[slot]) {
        if (draw(w, 20) == 0)
            drop_slot(w, r, slot);
        else
            act(w, r, slot);
    } else if (me->has[slot]) { /* down */
        if (owns(w, r, slot) && draw(w, 2))
            load(w, r, slot);
        else
            drop_slot(w, r, slot);
    } else if (w->l.owner[slot] < 0 || draw(w, 30) == 0) { /* free, or its owner sleeps */
        take_slot(w, r, slot);
    }
}

/* Sleepers wake, everybody has what is his, and nothing more is sent. */
static void come_to_rest(struct world *w)
{
    for (uint32_t r = 0; r < RELAYS; r++)
        for (uint32_t slot = 0; slot < SLOTS; slot++)
            if (w->r[r].has[slot] && !owns(w, r, slot))
                drop_slot(w, r, slot);
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        if (w->l.owner[slot] < 0)
            take_slot(w, draw(w, RELAYS), slot);
        if (!w->r[w->l.owner[slot]].ready[slot])
            load(w, (uint32_t)w->l.owner[slot], slot);
    }
    for (uint32_t n = 0; n < SENT_MAX; n++)
        for (uint32_t slot = 0; slot < SLOTS; slot++)
            for (uint32_t other = 0; other < SLOTS; other++) {
                uint32_t r = (uint32_t)w->l.owner[slot];
                receive(w, r, slot, other);
                settle(w, r, slot, other);
                hear(w, r, slot, other);
            }
}

static void everything_sent_is_settled_once(void **state)
{
    static struct world w;
    uint64_t oldest, sent = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        memset(&w, 0, sizeof w);
        w.seed = seed;
        for (uint32_t r = 0; r < RELAYS; r++)
            assert_int_equal(outbox_open(&w.r[r].o, &alloc_heap, SLOTS), ERR_OK);
        for (uint32_t slot = 0; slot < SLOTS; slot++)
            w.l.owner[slot] = -1;
        for (uint32_t i = 0; i < STEPS; i++)
            step(&w);
        come_to_rest(&w);
        for (uint32_t s = 0; s < SLOTS; s++)
            for (uint32_t d = 0; d < SLOTS; d++) {
                assert_int_equal(w.l.next_in[d][s], w.l.next_out[s][d]);
                sent += w.l.next_out[s][d];
            }
        for (uint32_t r = 0; r < RELAYS; r++) {
            assert_int_equal(outbox_waiting(w.r[r].o, &oldest), 0);
            outbox_close(w.r[r].o);
        }
    }
    assert_true(sent > SEEDS * 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_sent_is_settled_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
