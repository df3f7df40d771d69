/* An owner dies: how long until its slots take entries again, for a client of another relay. */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/region.h"

#define ACCOUNTS 400u /* enough to have one in each of the slots */
#define GIVE_UP_SECONDS 60.0
#define AGAIN_MS 20

struct waiting {
    size_t account;
    uint64_t accepted_ns, send_at_ns; /* send_at 0: under way */
};

static void send_one(struct rawws *c, const struct sheet *notes, uint32_t slot,
                     struct waiting *w)
{
    uint8_t room[2048];
    struct mp_writer out = mp_writer_of(room, sizeof room);
    wire_put(&out, &(struct wire_frame){.type = WIRE_SUBMIT, .rid = slot + 1, .count = 1});
    wire_put_envelope(&out, sheet_at(notes, 0, w->account));
    if (out.full || !rawws_send(c, room, out.size))
        die("the relay that lives does not take a frame");
    w->send_at_ns = 0;
}

static void take_answer(struct rawws *c, struct waiting waiting[], unsigned *left)
{
    struct rawws_message m;
    struct wire_frame f;
    int got = rawws_receive(c, &m, AGAIN_MS);
    if (got < 0)
        die("the relay that lives closed the connection (code %u)", c->close_code);
    if (got == 0)
        return;
    need(wire_decode(&f, m.data, m.size), "decode a frame of the hub");
    if (f.type != WIRE_RESULTS)
        return;
    for (size_t i = 0; i < f.count; i++) {
        struct wire_result r;
        wire_next_result(&f.list, &r);
        struct waiting *w = &waiting[r.rid - 1];
        if (r.code == ERR_OK) {
            w->accepted_ns = now_ns();
            (*left)--;
        } else if (r.code == ERR_UNAVAILABLE || r.code == ERR_BUSY) {
            w->send_at_ns = now_ns() + r.retry_after_ms * 1000000u; /* as a client does */
        } else {
            die("an entry is refused: %llu", (unsigned long long)r.code);
        }
    }
}

/* A region that has just come up is still sharing its slots out. */
static void wait_shared(struct bench_region *g)
{
    bool of[SLOTS_MAX];
    uint64_t began = now_ns();
    for (unsigned i = 0; i < g->relays; i++)
        while (region_slots_of(g, i, of) < g->relay[0].slots / g->relays) {
            if (seconds_since(began) > GIVE_UP_SECONDS)
                die("relay %u does not get its share of the slots", i + 1);
            usleep(AGAIN_MS * 1000);
        }
}

/* The relay with the most slots, but not the first: that one is asked. */
static unsigned victim_of(struct bench_region *g, bool of[SLOTS_MAX], unsigned *slots)
{
    unsigned best = 1;
    *slots = 0;
    for (unsigned i = 1; i < g->relays; i++) {
        bool mine[SLOTS_MAX];
        unsigned n = region_slots_of(g, i, mine);
        if (n <= *slots)
            continue;
        best = i;
        *slots = n;
        memcpy(of, mine, sizeof mine);
    }
    if (*slots == 0)
        die("no other relay owns a slot");
    return best;
}

void region_crash(struct bench_region *g, struct region_crash *out)
{
    struct crowd crowd;
    struct sheet notes;
    struct rawws c;
    struct waiting waiting[SLOTS_MAX] = {0};
    bool of[SLOTS_MAX] = {false}, placed[SLOTS_MAX] = {false};
    unsigned slots, left;
    struct bench_hub *h = g->hubs[0];
    crowd_open(&crowd, &h->federation, h->name, ACCOUNTS);
    load_all(h, &crowd, &crowd.opens);
    crowd_notes(&crowd, &notes, 1, BENCH_NOTE_BYTES);
    wait_shared(g);
    unsigned victim = victim_of(g, of, &slots);
    for (size_t i = 0; i < crowd.count; i++) {
        uint32_t slot = slot_of(&crowd.people[i].id, h->slots);
        waiting[slot].account = i;
        placed[slot] = true;
    }
    hub_connect(h, &c, NULL);
    uint64_t began = now_ns();
    if (kill(g->relay[victim].proc.pid, SIGKILL) != 0)
        die("relay %u cannot be killed", victim + 1);
    left = 0;
    for (uint32_t slot = 0; slot < h->slots; slot++)
        if (of[slot] && placed[slot]) {
            send_one(&c, &notes, slot, &waiting[slot]);
            left++;
        }
    out->slots = left;
    while (left > 0) {
        if (seconds_since(began) > GIVE_UP_SECONDS)
            die("%u slots take nothing %.0f s after their owner died", left, GIVE_UP_SECONDS);
        take_answer(&c, waiting, &left);
        for (uint32_t slot = 0; slot < h->slots; slot++)
            if (waiting[slot].send_at_ns && now_ns() >= waiting[slot].send_at_ns)
                send_one(&c, &notes, slot, &waiting[slot]);
    }
    out->first_s = GIVE_UP_SECONDS;
    for (uint32_t slot = 0; slot < h->slots; slot++) {
        double s = (double)(waiting[slot].accepted_ns - began) / 1e9;
        if (!waiting[slot].accepted_ns)
            continue;
        out->first_s = s < out->first_s ? s : out->first_s;
        out->last_s = s > out->last_s ? s : out->last_s;
    }
    rawws_close(&c);
    sheet_close(&notes);
    crowd_close(&crowd);
    region_up(g);
}
