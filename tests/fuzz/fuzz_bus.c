/* Whatever a bus says (dropped, invented, reordered, replayed, changed, flooded), the
 * listener takes the log's own records, each once and in order, and only what the log's
 * key signed; and once it is quiet for as long as a poll, the listener has all that the
 * store has. */
#include <string.h>

#include "federation/bus_presence.h"
#include "fuzz.h"
#include "input.h"
#include "tests/unit/federation/buskit.h"

#define SLOTS 4u
#define SLOT 1u
#define POLL 100u
#define STEPS_MAX 400u

static struct bus_kit log_kit, fork_kit;
static struct vkey keys[SLOTS];
static struct bus bus;
static struct bus_relays relays;
static struct kit_message x;

/* The listener and the store it can read. */
struct world {
    uint64_t now;
    size_t store; /* records of the log that are committed */
    uint64_t epoch;
    size_t taken; /* records the listener delivered */
};

static void make_logs(void)
{
    if (keys[SLOT].name[0])
        return;
    PROPERTY(crypto_start());
    bus_kit_make(&log_kit, SLOT, 1);
    bus_kit_make(&fork_kit, SLOT, 2);
    keys[SLOT] = log_kit.vkey;
}

/* Deliver what was used: exactly the log's next records. */
static void take_batch(struct world *w, const struct bus_message *m,
                       const struct bus_heard *heard)
{
    struct mp_reader records = m->records;
    PROPERTY(m->first == w->taken && m->count == m->last - m->first && m->count > 0);
    PROPERTY(m->last <= KIT_RECORDS && heard->after.size == m->last);
    for (size_t i = 0; i < m->count; i++) {
        const struct record *own = &log_kit.records[w->taken];
        struct record r;
        bus_next_record(&records, &r);
        PROPERTY(r.envelope.size == own->envelope.size &&
                 memcmp(r.envelope.data, own->envelope.data, r.envelope.size) == 0);
        PROPERTY(hash_equal(&r.account_head, &own->account_head));
        PROPERTY(r.hub_lamport == own->hub_lamport && r.hub_time_ms == own->hub_time_ms);
        w->taken++;
    }
    bus_follow(&bus, SLOT, &heard->after, w->now);
}

static void hear(struct world *w, uint32_t channel, struct bytes data)
{
    struct bus_message m;
    struct bus_heard heard;
    if (!bus_decode(&m, data))
        return;
    bus_hear(&bus, channel, &m, w->now, &heard);
    if (heard.why == BUS_USED)
        take_batch(w, &m, &heard);
    PROPERTY(heard.why != BUS_FORK || m.last == w->taken);
}

/* Ask the store when the core says so. */
static void look(struct world *w)
{
    if (bus_wait_ms(&bus, SLOT, POLL, w->now) > 0)
        return;
    bool more = bus_looked(&bus, SLOT, w->epoch, w->store, w->now);
    PROPERTY(more == (w->store > w->taken));
    if (!more)
        return;
    struct frontier at = bus_kit_at(&log_kit, w->store);
    w->taken = w->store;
    bus_follow(&bus, SLOT, &at, w->now);
}

/* One message as a bus may hand it over: of this log or of a fork of it, any range, any
 * epoch, cut and changed as the input says. */
static void say_something(struct world *w, struct input *in)
{
    unsigned flags = take_below(in, 256);
    const struct bus_kit *kit = flags & 1 ? &fork_kit : &log_kit;
    size_t last = 1 + take_below(in, KIT_RECORDS), first = take_below(in, (unsigned)last);
    if (!(flags & 2) && last > w->store) /* the log's own key signs nothing uncommitted */
        last = w->store;
    if (flags & 64)
        first = w->taken;
    if (first >= last || (kit == &log_kit && last > w->store))
        return;
    x.sender = flags & 4 ? "here" : "there";
    x.epoch = flags & 8 ? take(in, 1) : w->epoch;
    x.first = first;
    x.last = last;
    x.carry = (flags & 16) != 0;
    bus_kit_message(kit, &x);
    for (unsigned n = flags >> 7 ? 1 + take_below(in, 4) : 0; n > 0; n--)
        x.bytes[take(in, 2) % x.size] ^= (uint8_t)take(in, 1);
    size_t size = flags & 32 ? take(in, 2) % (x.size + 1) : x.size;
    hear(w, SLOT, bytes_of(x.bytes, size));
}

/* What is taken for a presence is one name, in its only form. */
static void hear_presence(struct bytes data, uint64_t now)
{
    uint8_t again[BUS_PRESENCE_MAX];
    if (!bus_presence_hear(&relays, data, now))
        return;
    size_t heard = 0;
    for (size_t i = 0; i < relays.count; i++) {
        size_t size = bus_presence_put(again, relays.relay[i].name);
        heard += size == data.size && memcmp(again, data.data, size) == 0;
        PROPERTY(bus_presence_silent_ms(&relays, relays.relay[i].name, now) != UINT64_MAX);
    }
    PROPERTY(heard == 1 && relays.count <= BUS_RELAYS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = input_of(data, size);
    struct world w = {.now = 1000, .store = 1, .epoch = 3, .taken = 1};
    struct frontier at;
    struct bytes said;
    make_logs();
    bus_init(&bus, "here", keys, SLOTS);
    memset(&relays, 0, sizeof(relays));
    at = bus_kit_at(&log_kit, w.taken);
    bus_follow(&bus, SLOT, &at, w.now);
    for (unsigned step = 0; in.left > 0 && step < STEPS_MAX; step++) {
        switch (take_below(&in, 6)) {
        case 0:
            w.store += w.store < KIT_RECORDS ? 1 + take_below(&in, 3) : 0;
            w.store = w.store < KIT_RECORDS ? w.store : KIT_RECORDS;
            break;
        case 1:
            w.now += take_below(&in, 64);
            break;
        case 2:
            w.epoch++;
            break;
        case 3:
            said = take_bytes(&in, 64);
            hear_presence(said, w.now);
            hear(&w, take_below(&in, SLOTS), said);
            break;
        default:
            say_something(&w, &in);
            break;
        }
        look(&w);
        PROPERTY(w.taken <= w.store);
        PROPERTY(bus.bad <= BUS_BAD_A_SECOND);
    }
    w.now += POLL; /* quiet now */
    look(&w);
    PROPERTY(w.taken == w.store);
    return 0;
}
