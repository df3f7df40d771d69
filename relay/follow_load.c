/* A slot from its store, as it stands: on a thread of its own, since a large one takes seconds,
 * in which the other slots go on. */
#include <stdlib.h>

#include "ledger/trace.h"
#include "relay/clock.h"
#include "relay/follow_internal.h"
#include "relay/region.h"

#define TAKE_WAIT_MS 1000u

struct walk {
    struct follow *f;
    uint32_t slot;
    enum err err;
};

static bool take_reader(void *context, struct account *a)
{
    struct walk *w = context;
    if (region_owns(w->f->r, w->slot))
        w->err = ERR_LOST; /* the commit thread's state counts by now */
    else
        w->err = pinned_update(&w->f->r->pinned, a);
    return w->err == ERR_OK;
}

void follow_read_slot(struct follow *f, struct follow_loaded *l)
{
    struct walk w = {.f = f, .slot = l->slot};
    l->began_ms = clock_mono_ms();
    l->mark = highwater_get(&f->r->highwater, l->slot);
    l->shown = view_size(f, l->slot); /* first: what was ours may still grow */
    l->err = recover_view(&l->log, &l->at, &f->config, f->store, l->slot, &l->mark,
                          &l->report);
    if (l->err != ERR_OK)
        return;
    slotlog_each(l->log, take_reader, &w);
    l->err = w.err;
}

void *follow_loader_thread(void *context)
{
    struct follow *f = context;
    struct chain_of_links got;
    while (queue_take(&f->to_load, &got, 1, TAKE_WAIT_MS)) {
        struct link *k = links_pop(&got);
        if (!k)
            continue;
        if (!atomic_load(&f->stopping))
            follow_read_slot(f, (struct follow_loaded *)k);
        queue_put_one(&f->loaded, k);
        follow_owners(f->r); /* only the wake-up */
    }
    return NULL;
}

void follow_loaded_drop(struct follow *f, struct follow_loaded *l)
{
    recover_view_close(&f->config, l->log);
    free(l);
}

enum err follow_adopt(struct follow *f, struct follow_loaded *l)
{
    uint32_t slot = l->slot;
    if (l->err == ERR_OK && region_owns(f->r, slot))
        l->err = ERR_LOST;
    if (l->err == ERR_BEHIND)
        follow_see_behind(f, slot, l->report.size, l->mark.size);
    if (l->err == ERR_OK) {
        follow_see_behind(f, slot, l->at.size, l->shown);
        l->err = f->slots[slot].behind ? ERR_BEHIND : ERR_OK;
    }
    if (l->err != ERR_OK) {
        if (l->err != ERR_LOST)
            trace(TRACE_WARN, "follow.not_loaded", TRACE_U64("slot", slot),
                  TRACE_ERR("why", l->err), TRACE_STR("what", l->report.why));
        return l->err;
    }
    f->slots[slot].log = l->log;
    f->slots[slot].heard_ms = l->began_ms;
    l->log = NULL;
    bus_follow(&f->bus, slot, &f->slots[slot].log->frontier, l->began_ms);
    (void)bus_looked(&f->bus, slot, l->at.epoch, l->at.size, l->began_ms);
    follow_show(f, slot, l->at.size, bytes_of(l->at.checkpoint, l->at.checkpoint_size),
                false);
    region_ring(f->r, slot);
    if (view_size(f, slot) > l->at.size) /* by our own last commits */
        bus_ring(&f->bus, slot, 0);
    trace(TRACE_INFO, "follow.loaded", TRACE_U64("slot", slot),
          TRACE_U64("size", l->at.size), TRACE_U64("replayed", l->report.replayed),
          TRACE_MS("took", clock_mono_ms() - l->began_ms));
    return ERR_OK;
}

void follow_forget(struct follow *f, uint32_t slot)
{
    bus_unfollow(&f->bus, slot);
    recover_view_close(&f->config, f->slots[slot].log);
    f->slots[slot].log = NULL;
}
