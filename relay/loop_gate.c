/* The gate: how much each device and address may send, whose entries go next, and what
 * becomes of those who would not be told. */
#include "relay/loop_internal.h"

#include "relay/clock.h"
#include "relay/gather.h"
#include "relay/reader.h"
#include "relay/region.h"

#define BUSY_MS_MAX 10000u /* longest time that `busy` asks to wait */

/* Buckets. */

bool gate_opened(struct loop *l, struct conn *c)
{
    struct ws_address one = address_one(&c->address);
    c->turn.quantum = TURN_ENTRIES;
    c->of_address = quotas_hold(&l->quotas, QUOTA_ADDRESS, one.b, sizeof(one.b));
    if (c->of_address)
        c->session.address_bucket = &c->of_address->bucket;
    return c->of_address != NULL;
}

/* Who it is, is known: its device, or for the lack of one its address, has one bucket
 * over all of its connections. Without memory the connection keeps its own. */
void gate_welcomed(struct loop *l, struct conn *c)
{
    struct ws_address one = address_one(&c->address);
    const struct session *s = &c->session;
    if (s->peer) {
        c->turn.quantum = TURN_PEER_ENTRIES;
        return;
    }
    c->of_device = s->has_device
                       ? quotas_hold(&l->quotas, QUOTA_DEVICE, s->device.b, PUBKEY_BYTES)
                       : quotas_hold(&l->quotas, QUOTA_DEVICE, one.b, sizeof(one.b));
    c->session.address_bucket = &c->of_address->bucket;
    if (c->of_device)
        c->session.device_bucket = &c->of_device->bucket;
}

void gate_left(struct loop *l, struct conn *c)
{
    l->held -= c->held_ms > 0;
    l->senders -= c->sends;
    c->held_ms = 0;
    c->sends = false;
}

void gate_closed(struct loop *l, struct conn *c)
{
    quotas_drop(&l->quotas, c->of_device);
    quotas_drop(&l->quotas, c->of_address);
    c->of_device = c->of_address = NULL;
}

/* Turns. */

/* Entries in the verify pool and at the commit thread together: what they get through while
 * one transaction ends and the next one runs. More would only wait there, behind nobody's
 * turn. Before there is a rate: the most. */
static uint64_t window_of(const struct loop *l)
{
    uint64_t most = settings(l->r)->commit.batch_entries * WINDOW_BATCHES;
    uint64_t commit_us = vitals_commit_usual_us(&l->r->vitals);
    uint64_t slack_ms =
        WINDOW_SLACK_MS + (region_on(l->r) ? gather_ms(atomic_load(&l->r->pressed)) : 0);
    uint64_t window = l->answer_rate * (2 * commit_us / 1000u + slack_ms) / 1000u;
    if (l->answer_rate == 0 || window > most)
        window = most;
    return window > WINDOW_ENTRIES_MIN ? window : WINDOW_ENTRIES_MIN;
}

void gate_feed(struct loop *l)
{
    uint64_t window = l->window;
    uint64_t out = l->verifying + atomic_load(&l->r->committing);
    struct job *j;
    while (out < window && (j = turns_next(&l->turns))) {
        links_add(&l->to_verify, &j->work.link);
        l->verifying += j->count;
        out += j->count;
    }
    bool pressed = l->turns.entries > 0;
    if (atomic_load(&l->r->pressed) != pressed)
        atomic_store(&l->r->pressed, pressed);
}

void gate_sender(struct loop *l, struct conn *c)
{
    bool sends = c->session.inflight > 0;
    if (sends == c->sends || !c->ws)
        return;
    c->sends = sends;
    if (sends)
        l->senders++;
    else
        l->senders--;
}

bool gate_has_room(const struct loop *l, const struct conn *c)
{
    uint64_t limit = settings(l->r)->limits.queue_entries;
    uint64_t share = limit / (l->senders ? l->senders : 1u);
    if (l->tight)
        return false;
    if (l->inflight < limit)
        return true;
    if (l->inflight >= limit * QUEUE_REFUSE_FACTOR)
        return false;
    return c->session.peer ||
           c->session.inflight <= (share > TURN_ENTRIES ? share : TURN_ENTRIES);
}

uint64_t gate_busy_ms(const struct loop *l, const struct conn *c)
{
    uint64_t resume = QUEUE_RESUME_PART(settings(l->r)->limits.queue_entries);
    uint64_t over = l->inflight > resume ? l->inflight - resume : 0;
    uint64_t ms = l->answer_rate ? over * 1000u / l->answer_rate : READS_RETRY_MS;
    if (ms < READS_RETRY_MS)
        ms = READS_RETRY_MS;
    if (ms > BUSY_MS_MAX)
        ms = BUSY_MS_MAX;
    return ms + (uint64_t)(uint32_t)c->id * 97u % (ms / 4 + 1); /* not all at once */
}

void gate_second(struct loop *l)
{
    /* Up at once: what was done in a second can be done. */
    l->answer_rate = l->answered >= l->answer_rate
                         ? l->answered
                         : (3 * l->answer_rate + l->answered) / 4;
    l->answered = 0;
    l->window = window_of(l);
}

/* Who would not be told. */

void gate_offended(struct loop *l, struct conn *c)
{
    uint64_t now = clock_mono_ms();
    uint64_t ms = 0;
    if (c->session.peer || !c->of_address)
        return;
    ms = quota_offend(c->of_address, settings(l->r)->limits.tarpit_ms, now);
    if (ms == 0)
        return;
    metrics_count(l->r->metrics, METRIC_LIMITED, M_LIMIT_TARPIT, 1);
    if (c->held_ms == 0)
        l->held++;
    if (c->held_ms < now + ms)
        c->held_ms = now + ms;
    conn_input(l, c);
}

/* It was asked to wait. Whoever has been sending on all the same for longer than an answer
 * can be on its way offends. */
void gate_told(struct loop *l, struct conn *c, uint64_t retry_ms)
{
    uint64_t now = clock_mono_ms();
    if (now >= c->told_ms)
        c->ignored_ms = 0;
    else if (c->ignored_ms == 0)
        c->ignored_ms = now;
    else if (now - c->ignored_ms >= TARPIT_PATIENCE_MS)
        gate_offended(l, c);
    c->told_ms = now + retry_ms;
}

static void release_one(struct loop *l, struct conn *c)
{
    if (c->held_ms == 0 || c->held_ms > clock_mono_ms())
        return;
    c->held_ms = 0;
    l->held--;
    conn_input(l, c);
}

void gate_tick(struct loop *l)
{
    if (l->held > 0)
        conn_walk(l, release_one);
}
