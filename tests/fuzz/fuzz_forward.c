/* Whatever owners, links and clocks do, an item that was added comes back exactly once; entries
 * of a slot go out in the order they came, nothing of it past something that is on its way back;
 * an answer finds only what flies; frames, loads and limits are those of a second book; and
 * once all is healed nothing is left. Each step is an op byte and its choices. */
#include <string.h>

#include "federation/forward.h"
#include "fuzz.h"
#include "input.h"

#define SLOTS 4u
#define PEERS 3u
#define ITEMS 96u
#define STEPS_MAX 500u

static struct forward table;
static struct forward_item items[ITEMS];

/* What the second book knows of an item and a slot. */
static struct seen {
    bool in;
    int flies; /* with this peer; -1: with none */
    uint64_t serial;
} seen[ITEMS];
static struct line {
    unsigned count, item[ITEMS]; /* in the order they were added */
    int route;
    uint64_t give_up_at;
} lines[SLOTS];
static bool up[PEERS];
static uint64_t now, last_rid[PEERS];

static unsigned flying(const struct line *l)
{
    unsigned n = 0;
    for (unsigned i = 0; i < l->count; i++)
        n += seen[l->item[i]].flies >= 0;
    return n;
}

static void check_loads(void)
{
    for (int route = FORWARD_NOBODY; route < (int)PEERS; route++) {
        struct forward_load sum = {0};
        for (unsigned s = 0; s < SLOTS; s++)
            for (unsigned i = 0; i < lines[s].count && lines[s].route == route; i++) {
                sum.items++;
                sum.bytes += items[lines[s].item[i]].size;
            }
        const struct forward_load *l = forward_load_of(&table, route);
        PROPERTY(l->items == sum.items && l->bytes == sum.bytes);
    }
    for (unsigned s = 0; s < SLOTS; s++)
        PROPERTY(forward_waits(&table, s) == (lines[s].count > 0));
}

/* It came back: out of the book. */
static void came_back(const struct forward_item *item)
{
    unsigned n = (unsigned)(item - items), at = 0;
    struct line *l = &lines[item->slot];
    PROPERTY(n < ITEMS && seen[n].in && !item->sent);
    while (at < l->count && l->item[at] != n)
        at++;
    PROPERTY(at < l->count);
    memmove(&l->item[at], &l->item[at + 1], (l->count - at - 1) * sizeof(l->item[0]));
    l->count--;
    seen[n] = (struct seen){.flies = -1};
    if (flying(l) == 0)
        l->give_up_at = 0;
}

static void land_all(struct line *l)
{
    for (unsigned i = 0; i < l->count; i++)
        seen[l->item[i]].flies = -1;
    l->give_up_at = 0;
}

static void add(struct input *in)
{
    unsigned n = 0;
    while (n < ITEMS && seen[n].in)
        n++;
    if (n == ITEMS)
        return;
    static const uint32_t sizes[] = {100, 100, 1000, 40000, FORWARD_BATCH_BYTES + 1, 7u << 20};
    items[n] = (struct forward_item){.slot = take_below(in, SLOTS),
                                     .size = sizes[take_below(in, 6)],
                                     .question = take_below(in, 8) == 1,
                                     .group = (uint8_t)take_below(in, 2),
                                     .deadline_ms = now + FORWARD_PATIENCE_MS};
    struct line *l = &lines[items[n].slot];
    uint64_t all = 0;
    for (int route = FORWARD_NOBODY; route < (int)PEERS; route++)
        all += forward_load_of(&table, route)->bytes;
    bool room = all + items[n].size <= FORWARD_BYTES_MAX &&
                forward_load_of(&table, l->route)->bytes + items[n].size <=
                    FORWARD_BYTES_OWNER_MAX;
    PROPERTY(forward_add(&table, &items[n]) == (room ? ERR_OK : ERR_BUSY));
    if (!room)
        return;
    seen[n] = (struct seen){.in = true, .flies = -1};
    l->item[l->count++] = n;
}

static void route(struct input *in)
{
    struct line *l = &lines[take_below(in, SLOTS)];
    int to = (int)take_below(in, PEERS + 2) + FORWARD_NOBODY;
    forward_route(&table, (uint32_t)(l - lines), to, now);
    if (to != l->route)
        l->give_up_at = flying(l) > 0 ? now + FORWARD_HANDOVER_MS : 0;
    l->route = to;
}

static void set_link(unsigned peer, bool is_up)
{
    forward_link(&table, peer, is_up);
    up[peer] = is_up;
    for (unsigned s = 0; s < SLOTS && !is_up; s++) {
        bool hit = false;
        for (unsigned i = 0; i < lines[s].count; i++)
            hit |= seen[lines[s].item[i]].flies == (int)peer;
        if (hit)
            land_all(&lines[s]);
    }
}

/* One that goes out: the first of its slot that does not fly, all before it with this peer. */
static void check_sent(const struct forward_item *item, unsigned peer)
{
    unsigned n = (unsigned)(item - items);
    const struct line *l = &lines[item->slot];
    PROPERTY(n < ITEMS && seen[n].in && seen[n].flies < 0 && l->route == (int)peer);
    for (unsigned i = 0; i < l->count && l->item[i] != n; i++)
        PROPERTY(seen[l->item[i]].flies == (int)peer);
    for (unsigned i = l->count; i > 0 && l->item[i - 1] != n; i--)
        PROPERTY(seen[l->item[i - 1]].flies < 0);
    seen[n].flies = (int)peer;
    seen[n].serial = item->serial;
}

static size_t batch(unsigned peer, struct forward_item *out[FORWARD_BATCH_ENTRIES], uint64_t *rid)
{
    uint64_t bytes = 0;
    size_t count = forward_batch(&table, peer, now, out, rid);
    PROPERTY(count <= FORWARD_BATCH_ENTRIES && (count == 0 || up[peer]));
    PROPERTY(count == 0 || *rid > last_rid[peer]);
    for (size_t i = 0; i < count; i++) {
        check_sent(out[i], peer);
        bytes += out[i]->size;
        PROPERTY(out[i]->serial == *rid + i && out[i]->group == out[0]->group);
        PROPERTY(count == 1 || (!out[i]->question && bytes <= FORWARD_BATCH_BYTES));
        last_rid[peer] = out[i]->serial;
    }
    return count;
}

static void answer(unsigned peer, uint64_t rid, uint64_t i, enum err code)
{
    struct forward_item *item = forward_find(&table, peer, rid, i);
    if (!item) {
        for (unsigned n = 0; n < ITEMS && i < FORWARD_BATCH_ENTRIES && rid > 0; n++)
            PROPERTY(!seen[n].in || seen[n].flies != (int)peer || seen[n].serial != rid + i);
        return;
    }
    unsigned n = (unsigned)(item - items);
    PROPERTY(seen[n].in && seen[n].flies == (int)peer && seen[n].serial == rid + i);
    bool mine = forward_answered(&table, peer, item, code, now);
    PROPERTY(mine || ((code == ERR_UNAVAILABLE || code == ERR_GAP) && now < item->deadline_ms));
    PROPERTY(!mine || code != ERR_UNAVAILABLE || now >= item->deadline_ms);
    seen[n].flies = -1;
    if (mine)
        came_back(item);
    else if (flying(&lines[item->slot]) == 0)
        lines[item->slot].give_up_at = 0;
}

static void take_back(unsigned how)
{
    struct forward_item *item =
        how ? forward_next_late(&table, now) : forward_next_own(&table, now);
    if (!item)
        return;
    const struct line *l = &lines[item->slot];
    unsigned n = (unsigned)(item - items);
    PROPERTY(l->count > 0 && l->item[0] == n);
    if (how)
        PROPERTY(now >= item->deadline_ms);
    else
        PROPERTY(l->route == FORWARD_SELF && flying(l) == 0);
    seen[n].flies = -1;
    came_back(item);
}

static void pass(uint64_t ms)
{
    now += ms;
    forward_tick(&table, now);
    for (unsigned s = 0; s < SLOTS; s++)
        if (lines[s].give_up_at && now >= lines[s].give_up_at && flying(&lines[s]) > 0)
            land_all(&lines[s]);
}

static void step(struct input *in)
{
    static const enum err codes[] = {ERR_OK, ERR_OK, ERR_BALANCE, ERR_UNAVAILABLE, ERR_GAP};
    struct forward_item *out[FORWARD_BATCH_ENTRIES];
    unsigned op = take_below(in, 16), peer = take_below(in, PEERS);
    uint64_t rid = last_rid[peer], back = 0;
    switch (op) {
    case 0:
        route(in);
        break;
    case 1:
        set_link(peer, take_below(in, 2));
        break;
    case 2:
    case 3:
    case 4:
        (void)batch(peer, out, &rid);
        break;
    case 5:
    case 6:
    case 7:
    case 8:
        back = take_below(in, 32);
        if (back <= rid)
            answer(peer, rid - back, take_below(in, 3), codes[take_below(in, 5)]);
        break;
    case 9:
        answer(peer, take(in, 8), take(in, 8), ERR_OK); /* of nothing that was asked */
        break;
    case 10:
    case 11:
        take_back(op - 10);
        break;
    case 12:
        pass(take(in, 2) >> take_below(in, 16));
        break;
    default:
        add(in);
    }
}

/* Owners that answer: nothing may be left. */
static void heal(void)
{
    struct forward_item *out[FORWARD_BATCH_ENTRIES];
    uint64_t rid;
    for (unsigned s = 0; s < SLOTS; s++) {
        forward_route(&table, s, (int)(s % PEERS), now);
        lines[s].give_up_at =
            lines[s].route == (int)(s % PEERS) ? lines[s].give_up_at
            : flying(&lines[s]) > 0            ? now + FORWARD_HANDOVER_MS
                                               : 0;
        lines[s].route = (int)(s % PEERS);
    }
    for (unsigned p = 0; p < PEERS; p++) {
        set_link(p, false);
        set_link(p, true);
    }
    pass(FORWARD_HANDOVER_MS + FORWARD_AGAIN_MS);
    for (unsigned round = 0; round < 2 * ITEMS; round++)
        for (unsigned p = 0; p < PEERS; p++)
            for (size_t n = batch(p, out, &rid), i = 0; i < n; i++)
                answer(p, rid, i, ERR_OK);
    for (unsigned s = 0; s < SLOTS; s++)
        PROPERTY(lines[s].count == 0);
    PROPERTY(table.load.items == 0 && table.load.bytes == 0 && !forward_next_any(&table));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = input_of(data, size);
    for (unsigned p = 0; p < PEERS; p++)
        memset(&table.peer[p], 0, sizeof(table.peer[p]));
    memset(table.slot, 0, SLOTS * sizeof(table.slot[0]));
    memset(table.of_route, 0, sizeof(table.of_route));
    table.load = (struct forward_load){0};
    table.resent = 0;
    forward_open(&table, SLOTS);
    memset(seen, 0, sizeof(seen));
    memset(lines, 0, sizeof(lines));
    memset(up, 0, sizeof(up));
    memset(last_rid, 0, sizeof(last_rid));
    now = 1000;
    for (unsigned s = 0; s < SLOTS; s++)
        lines[s].route = FORWARD_NOBODY;
    for (unsigned i = 0; i < STEPS_MAX && in.left > 0; i++) {
        step(&in);
        check_loads();
    }
    heal();
    return 0;
}
