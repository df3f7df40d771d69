/* Relays that start, stop, wake, drain and die over one table of leases, in any order: a relay
 * takes only what is free and says rightly whether it is an orphan, gives back only what is its
 * own and no longer loaded, and while none was cut off no slot is ever loaded twice; once it is
 * quiet every slot is loaded by one relay that lives, in equal shares. Each step is an op byte
 * and its choices. */
#include <string.h>

#include "federation/lease.h"
#include "fuzz.h"
#include "input.h"

#define SLOTS 8u
#define RELAYS 4u
#define TTL 800u
#define STEP 40u
#define LOAD_MS 40u /* what a commit thread takes to load, or to finish */
#define STEPS_MAX 64u
#define NOBODY 0u

static struct row {
    unsigned holder; /* number of a process; 0: nobody */
    uint64_t epoch, until;
} rows[SLOTS];
static struct one {
    unsigned process; /* 0: never ran */
    bool runs, shows, draining;
    struct lease_core core;
    uint64_t until, beat_due;
    uint64_t load_at[SLOTS], gone_at[SLOTS];
    bool owns[SLOTS];
} relay[RELAYS];
static struct lease_look look;
static uint64_t now;
static unsigned processes;
static bool store_away, orderly;

static void start(struct one *r)
{
    orderly = orderly && r->process == 0;
    memset(r, 0, sizeof(*r));
    r->process = ++processes;
    r->runs = true;
    r->beat_due = now;
    lease_open(&r->core, SLOTS, TTL);
}

static void fill_look(const struct one *me)
{
    look.relay_count = 0;
    for (unsigned i = 0; i < RELAYS; i++) {
        struct lease_relay *r = &look.relays[look.relay_count];
        if (!relay[i].shows || relay[i].until < now)
            continue;
        memset(r, 0, sizeof(*r));
        snprintf(r->relay, sizeof(r->relay), "r%u", i);
        r->self = &relay[i] == me;
        r->draining = relay[i].draining;
        look.relay_count++;
    }
    for (unsigned s = 0; s < SLOTS; s++) {
        const struct row *w = &rows[s];
        bool over = w->until < now;
        look.slots[s] = (struct lease_row){
            .epoch = w->epoch,
            .holder = w->holder == me->process          ? LEASE_MINE
                      : w->holder == NOBODY || over ? LEASE_FREE
                                                        : LEASE_OTHER,
            .left_ms = over ? 0 : w->until - now};
        look.slots[s].orphan = look.slots[s].holder == LEASE_FREE && w->holder != NOBODY;
    }
}

static void do_step(struct one *r, const struct lease_step *s)
{
    struct row *w = &rows[s->slot];
    PROPERTY(s->slot < SLOTS);
    switch (s->what) {
    case LEASE_DO_TAKE:
        PROPERTY(s->epoch == w->epoch && (w->holder == NOBODY || w->until < now));
        PROPERTY(s->orphan == (w->holder != NOBODY) && !r->core.draining);
        *w = (struct row){.holder = r->process, .epoch = w->epoch + 1, .until = now + TTL};
        r->load_at[s->slot] = now + LOAD_MS;
        break;
    case LEASE_DO_LOAD:
        PROPERTY(w->holder == r->process);
        r->load_at[s->slot] = now + LOAD_MS;
        break;
    case LEASE_DO_LET_GO:
    case LEASE_DO_DROP:
        PROPERTY((s->what == LEASE_DO_LET_GO) == (w->holder == r->process));
        r->load_at[s->slot] = 0;
        r->gone_at[s->slot] = now + LOAD_MS;
        break;
    case LEASE_DO_RELEASE:
        PROPERTY(w->holder == r->process && !r->owns[s->slot]);
        w->holder = NOBODY;
        break;
    }
}

/* What the commit thread got done. */
static void work(struct one *r)
{
    for (unsigned s = 0; s < SLOTS; s++) {
        if (r->load_at[s] && now >= r->load_at[s]) {
            r->load_at[s] = 0;
            r->owns[s] = true;
            lease_loaded(&r->core, s);
        }
        if (r->gone_at[s] && now >= r->gone_at[s]) {
            r->gone_at[s] = 0;
            r->owns[s] = false;
            lease_gone(&r->core, s);
        }
    }
}

static void beat(struct one *r)
{
    lease_beat(&r->core, !store_away, now);
    r->beat_due = now + lease_beat_every_ms(&r->core);
    if (store_away)
        return;
    r->draining = r->core.draining;
    r->shows = true;
    r->until = now + TTL;
    for (unsigned s = 0; s < SLOTS; s++)
        if (rows[s].holder == r->process)
            rows[s].until = now + TTL;
}

static void run_one(struct one *r)
{
    struct lease_step steps[SLOTS];
    work(r);
    if (now >= r->beat_due)
        beat(r);
    if (store_away)
        return;
    fill_look(r);
    PROPERTY(lease_next_ms(&r->core, &look, 500) <= 500);
    size_t count = lease_look(&r->core, &look, now, steps);
    PROPERTY(count <= SLOTS);
    for (size_t i = 0; i < count; i++)
        do_step(r, &steps[i]);
}

static void pass(uint64_t ms)
{
    for (uint64_t end = now + ms; now < end; now += STEP) {
        for (unsigned i = 0; i < RELAYS; i++)
            if (relay[i].runs)
                run_one(&relay[i]);
        for (unsigned s = 0; s < SLOTS && orderly; s++) {
            unsigned owners = 0;
            for (unsigned i = 0; i < RELAYS; i++)
                owners += relay[i].owns[s];
            PROPERTY(owners <= 1);
        }
    }
}

static void step(struct input *in)
{
    unsigned op = take_below(in, 8);
    struct one *r = &relay[take_below(in, RELAYS)];
    switch (op) {
    case 0: /* a new process of that name, however the old one ended */
        start(r);
        break;
    case 1: /* SIGSTOP */
        r->runs = false;
        orderly = false;
        break;
    case 2:
        r->runs = r->process != 0;
        break;
    case 3:
        store_away = take_below(in, 2);
        orderly = orderly && !store_away;
        break;
    case 4:
        if (r->process)
            lease_drain(&r->core);
        break;
    case 5: /* its take failed, or so it was told */
        if (r->runs)
            for (unsigned s = 0; s < SLOTS; s++)
                if (r->load_at[s]) {
                    r->load_at[s] = 0;
                    lease_failed(&r->core, s);
                }
        break;
    default:
        pass(STEP * (1 + take_below(in, 32)));
    }
}

/* In quiet: equal shares, each slot with one that lives. */
static void come_to_rest(void)
{
    unsigned running = 0, least = SLOTS, most = 0;
    store_away = false;
    for (unsigned i = 0; i < RELAYS; i++)
        if (!relay[i].runs || relay[i].core.draining) {
            relay[i].runs = false; /* gone for good: its leases run out */
            relay[i].process = relay[i].process ? ++processes : 0;
        } else {
            running++;
        }
    if (running == 0) {
        start(&relay[0]);
        running = 1;
    }
    orderly = false;
    pass(8 * TTL);
    for (unsigned i = 0; i < RELAYS; i++) {
        unsigned share = 0;
        for (unsigned s = 0; s < SLOTS && relay[i].runs; s++) {
            PROPERTY(relay[i].owns[s] == (rows[s].holder == relay[i].process));
            share += relay[i].owns[s];
        }
        least = relay[i].runs && share < least ? share : least;
        most = relay[i].runs && share > most ? share : most;
    }
    for (unsigned s = 0; s < SLOTS; s++) {
        unsigned owners = 0;
        for (unsigned i = 0; i < RELAYS; i++)
            owners += relay[i].runs && relay[i].owns[s];
        PROPERTY(owners == 1);
    }
    PROPERTY(most - least <= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = input_of(data, size);
    memset(rows, 0, sizeof(rows));
    memset(relay, 0, sizeof(relay));
    now = 100000;
    processes = 0;
    store_away = false;
    orderly = true;
    start(&relay[0]);
    for (unsigned i = 0; i < STEPS_MAX && in.left > 0; i++)
        step(&in);
    come_to_rest();
    return 0;
}
