#include "federation/lease.h"

#include <assert.h>
#include <string.h>

void lease_open(struct lease_core *c, uint32_t slots, uint32_t ttl_ms)
{
    assert(slots >= 1 && slots <= SLOTS_MAX && ttl_ms > 0);
    memset(c, 0, sizeof *c);
    c->slots = slots;
    c->ttl_ms = ttl_ms;
    c->me = RENDEZVOUS_NONE;
    for (uint32_t i = 0; i < slots; i++)
        c->owner[i] = RENDEZVOUS_NONE;
}

uint64_t lease_beat_every_ms(const struct lease_core *c)
{
    return c->ttl_ms / LEASE_BEATS_A_TTL;
}

void lease_beat(struct lease_core *c, bool ok, uint64_t now_ms)
{
    if (ok && (!c->steady || now_ms - c->beat_ms > c->ttl_ms))
        c->steady_since_ms = now_ms;
    c->steady = ok;
    if (ok)
        c->beat_ms = now_ms;
}

/* Shares are worked out again only when the relays are others. */
static void take_members(struct lease_core *c, const struct lease_look *look)
{
    const char *names[LEASE_RELAYS_MAX];
    uint32_t count = 0;
    bool same = true;
    c->me = RENDEZVOUS_NONE;
    for (size_t i = 0; i < look->relay_count; i++) {
        const struct lease_relay *r = &look->relays[i];
        if (r->draining)
            continue;
        if (r->self)
            c->me = count;
        same = same && count < c->member_count && strcmp(c->members[count], r->relay) == 0;
        memcpy(c->members[count], r->relay, sizeof c->members[count]);
        names[count] = c->members[count];
        count++;
    }
    if (same && count == c->member_count)
        return;
    c->member_count = count;
    rendezvous(names, count, c->slots, c->owner);
}

static bool ours_to_have(const struct lease_core *c, uint32_t slot)
{
    return !c->draining && c->me != RENDEZVOUS_NONE && c->owner[slot] == c->me;
}

/* After a gap in our own beats others may live that do not show yet. */
static bool sees_everyone(const struct lease_core *c, uint64_t now_ms)
{
    return c->steady && now_ms - c->steady_since_ms >= c->ttl_ms;
}

/* Does somebody else wait for it? With nobody else alive it stays, but for a drain. */
static bool ours_to_give(const struct lease_core *c, uint32_t slot, uint64_t now_ms)
{
    return c->draining || (c->owner[slot] != RENDEZVOUS_NONE && c->owner[slot] != c->me &&
                           sees_everyone(c, now_ms));
}

static bool may_take(const struct lease_core *c, const struct lease_row *row, uint64_t now_ms)
{
    return row->holder == LEASE_FREE && c->steady &&
           (!row->orphan || sees_everyone(c, now_ms));
}

static void add(struct lease_step out[], size_t *count, enum lease_do what, uint32_t slot,
                const struct lease_row *row)
{
    out[(*count)++] = (struct lease_step){
        .what = what, .slot = slot, .epoch = row->epoch, .orphan = row->orphan};
}

static void look_away(struct lease_core *c, uint32_t slot, const struct lease_row *row,
                      uint64_t now_ms, struct lease_step out[], size_t *count)
{
    if (row->holder == LEASE_MINE) { /* an answer was lost on the way */
        bool keep = ours_to_have(c, slot);
        c->phase[slot] = keep ? LEASE_TAKING : LEASE_AWAY;
        add(out, count, keep ? LEASE_DO_LOAD : LEASE_DO_RELEASE, slot, row);
    } else if (ours_to_have(c, slot) && may_take(c, row, now_ms)) {
        c->phase[slot] = LEASE_TAKING;
        add(out, count, LEASE_DO_TAKE, slot, row);
    }
}

static uint32_t moves(const struct lease_core *c)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->slots; i++)
        n += c->phase[i] == LEASE_LETTING_GO || c->phase[i] == LEASE_GONE;
    return n;
}

size_t lease_look(struct lease_core *c, const struct lease_look *look, uint64_t now_ms,
                  struct lease_step out[])
{
    size_t count = 0;
    take_members(c, look);
    uint32_t moving = moves(c);
    for (uint32_t slot = 0; slot < c->slots; slot++) {
        const struct lease_row *row = &look->slots[slot];
        bool mine = row->holder == LEASE_MINE;
        switch (c->phase[slot]) {
        case LEASE_AWAY:
            look_away(c, slot, row, now_ms, out, &count);
            break;
        case LEASE_TAKING:
        case LEASE_HELD:
            if (mine && !(ours_to_give(c, slot, now_ms) && moving < LEASE_MOVES_MAX))
                break;
            c->phase[slot] = LEASE_LETTING_GO;
            moving += mine;
            add(out, &count, mine ? LEASE_DO_LET_GO : LEASE_DO_DROP, slot, row);
            break;
        case LEASE_LETTING_GO:
            break;
        case LEASE_GONE:
            c->phase[slot] = LEASE_AWAY;
            if (mine)
                add(out, &count, LEASE_DO_RELEASE, slot, row);
            break;
        }
    }
    return count;
}

uint64_t lease_next_ms(const struct lease_core *c, const struct lease_look *look,
                       uint64_t most)
{
    for (uint32_t slot = 0; slot < c->slots; slot++)
        if (look->slots[slot].holder == LEASE_OTHER && look->slots[slot].left_ms + 1 < most)
            most = look->slots[slot].left_ms + 1;
    return most;
}

void lease_failed(struct lease_core *c, uint32_t slot)
{
    if (c->phase[slot] == LEASE_TAKING)
        c->phase[slot] = LEASE_AWAY;
}

void lease_loaded(struct lease_core *c, uint32_t slot)
{
    if (c->phase[slot] == LEASE_TAKING)
        c->phase[slot] = LEASE_HELD;
}

void lease_gone(struct lease_core *c, uint32_t slot)
{
    if (c->phase[slot] == LEASE_LETTING_GO)
        c->phase[slot] = LEASE_GONE;
}

void lease_drain(struct lease_core *c)
{
    c->draining = true;
}

bool lease_empty(const struct lease_core *c)
{
    for (uint32_t i = 0; i < c->slots; i++)
        if (c->phase[i] != LEASE_AWAY)
            return false;
    return true;
}
