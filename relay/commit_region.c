/* The commit thread's part of a region (relay/region.h): slots that come and go, and
 * channels with one end at another relay. */
#include "relay/region_internal.h"

#include <stdlib.h>

#include "ledger/trace.h"
#include "relay/clock.h"
#include "relay/commit_internal.h"

/* A slot that is handed over is read from the newest snapshot on; one this old is renewed
 * before, in the time the new owner saves. */
#define LEAVE_SNAPSHOT_RECORDS 1024u
#define INTRODUCE_RETRY_MS 200u

bool slot_held(const struct commit *c, uint32_t slot)
{
    return c->r->region == NULL || c->held[slot];
}

bool slot_shown(const struct commit *c, uint32_t slot)
{
    return c->r->region == NULL || (c->held[slot] && c->introduced[slot]);
}

static bool is_here(const struct commit *c, uint32_t slot)
{
    return c->held[slot] && sequencer_slot_state(c->q, slot) == SEQ_SLOT_READY;
}

/* ---- channels as the channel thread sees them ---- */

static void cell_refresh(struct commit *c, uint32_t source, uint32_t destination)
{
    struct region_cell *cell = region_cell_of(c->r->region, source, destination);
    enum region_end end = REGION_NEITHER;
    uint64_t settled, to;
    if (is_here(c, source) && !c->held[destination])
        end = REGION_SENDS;
    else if (is_here(c, destination) && !c->held[source])
        end = REGION_RECEIVES;
    if (end != REGION_NEITHER &&
        !sequencer_channel(c->q, source, destination, &settled, &to))
        end = REGION_NEITHER;
    if (end != REGION_NEITHER) {
        atomic_store(&cell->from, end == REGION_SENDS ? settled : to);
        atomic_store(&cell->to, to);
    }
    atomic_store(&cell->end, (int)end);
}

static void cells_refresh(struct commit *c, uint32_t slot)
{
    for (uint32_t other = 0; other < c->r->slots; other++) {
        cell_refresh(c, slot, other);
        cell_refresh(c, other, slot);
    }
}

/* How far the slot's log was read for settlements of what slots here sent it. */
static void cells_place(struct commit *c, uint32_t slot, uint64_t index)
{
    for (uint32_t source = 0; source < c->r->slots; source++)
        atomic_store(&region_cell_of(c->r->region, source, slot)->index, index);
}

void region_committed(struct commit *c, uint32_t slot)
{
    if (c->r->region != NULL)
        c->sent[slot] = true;
}

/* ---- what other relays' slots sent and settled ---- */

/* Our own log is shorter than what another one cites. If another relay owns it by now,
 * the lease tells; else it comes back under a new epoch, and cited again it stays down.
 */
static void contradicted(struct commit *c, uint32_t slot)
{
    trace(TRACE_ERROR, "region.contradicted", TRACE_U64("slot", slot),
          TRACE_BOOL("again", c->doubted[slot]));
    if (c->doubted[slot]) {
        sequencer_slot_stop(c->q, slot);
        return;
    }
    c->doubted[slot] = true;
    c->introduced[slot] = false;
    sequencer_slot_release(c->q, slot);
    c->reload_ms[slot] = 0;
    region_tell(c->r->region, slot, REGION_DOUBT);
}

bool region_doubts(struct commit *c, uint32_t slot)
{
    if (c->r->region == NULL || c->doubted[slot])
        return false;
    c->doubted[slot] = true;
    for (uint32_t other = 0; other < c->r->slots; other++) {
        if (!c->held[other])
            continue;
        c->introduced[other] = false;
        c->reload_ms[other] = 0;
        sequencer_slot_release(c->q, other); /* each is claimed again, or refused */
    }
    sequencer_slot_retry(c->q, slot); /* its load had stopped it */
    region_tell(c->r->region, slot, REGION_DOUBT);
    return true;
}

static void settled_elsewhere(struct commit *c, const struct seq_sent *sent)
{
    struct region_cell *cell =
        region_cell_of(c->r->region, sent->source, sent->destination);
    struct seq_settled settled;
    uint64_t first, end;
    if (sequencer_settle_sent(c->q, sent, &settled)) {
        tell_settled(c, &settled);
        atomic_store(&cell->index, sent->index);
    } else if (sequencer_channel(c->q, sent->source, sent->destination, &first, &end) &&
               sent->out_seq > first) {
        atomic_store(&cell->index, REGION_INDEX_UNKNOWN); /* one was missed: jump */
    }
}

static void settled_up_to(struct commit *c, const struct lease_channel *row)
{
    uint64_t first = 0, after = 0, end;
    if (!is_here(c, row->source) || c->held[row->slot])
        return;
    (void)sequencer_channel(c->q, row->source, row->slot, &first, &end);
    if (sequencer_settle_sent_to(c->q, row->source, row->slot, row->next_in) != ERR_OK) {
        contradicted(c, row->source);
        return;
    }
    (void)sequencer_channel(c->q, row->source, row->slot, &after, &end);
    c->recount = c->recount || after != first;
    atomic_store(&region_cell_of(c->r->region, row->source, row->slot)->index,
                 row->index);
}

void region_channels(struct commit *c, const struct region_batch *b)
{
    struct region *g = c->r->region;
    enum err e = sequencer_receive(c->q, b->items, b->item_count);
    if (e != ERR_OK && e != ERR_RANGE) /* a gap closes with the next look */
        trace(TRACE_WARN, "region.items", TRACE_ERR("why", e));
    for (size_t i = 0; i < b->sent_count; i++)
        settled_elsewhere(c, &b->sent[i]);
    for (size_t i = 0; i < b->jump_count; i++)
        settled_up_to(c, &b->jumps[i]);
    for (uint32_t slot = 0; slot < c->r->slots; slot++)
        cells_refresh(c, slot);
    atomic_store(&g->batch_out, false);
    region_bell(g);
}

/* ---- slots that come ---- */

static enum err channels_put(struct commit *c, uint32_t slot, const struct slotlog *log)
{
    const struct hub_account *h = &log->hub;
    struct store_lease *l = c->r->region->commits;
    struct lease_channel rows[SLOTS_MAX];
    size_t count = 0;
    for (uint32_t i = 0; i < h->channel_count && count < SLOTS_MAX; i++)
        for (uint32_t source = 0; source < c->r->slots; source++)
            if (strcmp(h->channels[i].origin, c->r->log_vkeys[source].name) == 0)
                rows[count++] = (struct lease_channel){.slot = slot,
                                                       .source = source,
                                                       .next_in = h->channels[i].next_in,
                                                       .index = log->frontier.size - 1};
    return l->ops->channels_put(l, rows, count, sequencer_epoch(c->q, slot));
}

/* Loaded; when the others can see how far it has settled, it is ours to serve. */
static void introduce(struct commit *c, uint32_t slot, uint64_t now_mono_ms)
{
    struct region *g = c->r->region;
    const struct slotlog *log = sequencer_slotlog(c->q, slot);
    if (log == NULL || sequencer_tentative(c->q) || now_mono_ms < c->introduce_ms[slot])
        return;
    enum err e = channels_put(c, slot, log);
    if (e != ERR_OK) {
        trace(TRACE_WARN, "region.channels_put", TRACE_U64("slot", slot),
              TRACE_ERR("why", e));
        c->introduce_ms[slot] = now_mono_ms + INTRODUCE_RETRY_MS;
        if (e == ERR_LOST)
            region_tell(g, slot, REGION_DOUBT);
        else if (e == ERR_IO || e == ERR_CORRUPT)
            relay_broken(c->r, "region.channels", e);
        return;
    }
    cells_place(c, slot, REGION_INDEX_UNKNOWN);
    for (uint32_t d = 0; d < c->r->slots; d++)
        atomic_store(&region_cell_of(g, slot, d)->index, REGION_INDEX_UNKNOWN);
    cells_refresh(c, slot);
    c->introduced[slot] = true;
    atomic_store(&g->epochs[slot], sequencer_epoch(c->q, slot));
    if (atomic_load(&g->order[slot]) == REGION_NO_ORDER)
        atomic_store_explicit(&g->owns[slot], true, memory_order_release);
    region_tell(g, slot, REGION_LOADED);
    region_bell(g);
}

/* ---- slots that go ---- */

static void leave(struct commit *c, uint32_t slot, enum region_order how)
{
    struct region *g = c->r->region;
    struct slotlog *log = sequencer_slotlog(c->q, slot);
    bool clean = log != NULL && how == REGION_LET_GO && !sequencer_tentative(c->q);
    uint64_t index = clean ? log->frontier.size - 1 : REGION_INDEX_UNKNOWN;
    atomic_store(&g->owns[slot], false);
    if (clean && log->frontier.size - c->snapshot_size[slot] >= LEAVE_SNAPSHOT_RECORDS)
        snapshot(c, slot, log);
    if (c->held[slot])
        sequencer_slot_release(c->q, slot);
    sequencer_slot_retry(c->q, slot); /* when it comes back, all of it is checked again */
    c->held[slot] = c->introduced[slot] = c->doubted[slot] = false;
    cells_place(c, slot, index);
    cells_refresh(c, slot);
    atomic_store(&c->r->unsure[slot], false); /* it is the follower's to show now */
    c->recount = true;
    region_tell(g, slot, REGION_LEFT);
    region_bell(g);
}

void region_cycle(struct commit *c, uint64_t now_mono_ms)
{
    struct region *g = c->r->region;
    if (g == NULL)
        return;
    for (uint32_t slot = 0; slot < c->r->slots; slot++) {
        enum region_order what =
            (enum region_order)atomic_exchange(&g->order[slot], REGION_NO_ORDER);
        if (what == REGION_LOAD) {
            c->held[slot] = true;
            c->reload_ms[slot] = c->introduce_ms[slot] = 0;
        } else if (what != REGION_NO_ORDER) {
            leave(c, slot, what);
        }
    }
    slots_reload(c, now_mono_ms);
    for (uint32_t slot = 0; slot < c->r->slots; slot++) {
        if (c->held[slot] && !c->introduced[slot])
            introduce(c, slot, now_mono_ms);
        if (c->sent[slot])
            cells_refresh(c, slot);
        c->sent[slot] = false;
    }
}

bool region_loads(const struct commit *c)
{
    for (uint32_t slot = 0; slot < c->r->slots && c->r->region != NULL; slot++)
        if (c->held[slot] && !c->introduced[slot])
            return true;
    return false;
}
