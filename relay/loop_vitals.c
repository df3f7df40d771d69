/* Once a second: the counters as they stand, and who sent the most since the last time. */
#include "relay/loop_internal.h"

#include "relay/clock.h"
#include "relay/region.h"

static void count_one(struct loop *l, struct conn *c)
{
    if (c->sent_entries == 0)
        return;
    struct ws_address one = address_one(&c->address);
    talkers_add(&l->talkers, &one, c->sent_entries, c->refused_entries);
    c->sent_entries = c->refused_entries = 0;
}

/* Slots that no relay of the region owns, and for how long there have been any. */
static void count_unowned(struct loop *l, struct vital_now *now, uint64_t mono_ms)
{
    struct region_owner owner;
    for (uint32_t slot = l->r->slots; region_on(l->r) && slot-- > 0;)
        if (!region_owner(l->r, slot, &owner)) {
            now->unowned++;
            now->first_unowned = slot;
        }
    if (now->unowned == 0)
        l->unowned_since_ms = 0;
    else if (l->unowned_since_ms == 0)
        l->unowned_since_ms = mono_ms;
    now->unowned_ms = l->unowned_since_ms ? mono_ms - l->unowned_since_ms : 0;
}

static bool bus_wanted(const struct loop *l)
{
    return region_on(l->r) && settings(l->r)->region.bus[0] != 0;
}

static uint64_t bus_silent(struct loop *l, uint64_t mono_ms)
{
    if (!bus_wanted(l) || metrics_value(l->r->metrics, METRIC_BUS_UP, 0) != 0)
        l->bus_silent_since_ms = 0;
    else if (l->bus_silent_since_ms == 0)
        l->bus_silent_since_ms = mono_ms;
    return l->bus_silent_since_ms ? mono_ms - l->bus_silent_since_ms : 0;
}

static uint64_t counter(const struct loop *l, enum metric id, unsigned label)
{
    return (uint64_t)metrics_value(l->r->metrics, id, label);
}

static struct vital sample_of(struct loop *l, uint64_t mono_ms)
{
    return (struct vital){
        .mono_ms = mono_ms,
        .wall_ms = clock_wall_ms(),
        .boot_ms = clock_boot_ms(),
        .committed = counter(l, METRIC_COMMITTED, 0),
        .duplicate = counter(l, METRIC_DUPLICATE, 0),
        .limited_rate = counter(l, METRIC_LIMITED, M_LIMIT_RATE) +
                        counter(l, METRIC_LIMITED, M_LIMIT_RATE_ADDRESS) +
                        counter(l, METRIC_LIMITED, M_LIMIT_RATE_ACCOUNT),
        .limited_queue = counter(l, METRIC_LIMITED, M_LIMIT_QUEUE),
        .verified = counter(l, METRIC_VERIFY, M_VERDICT_OK),
        .verified_bad = counter(l, METRIC_VERIFY, M_VERDICT_BAD),
        .verify_busy_us = atomic_load(&l->r->verify.busy_us),
        .verify_count = counter(l, METRIC_VERDICT, 0),
        .verify_us = metrics_sum(l->r->metrics, METRIC_VERDICT, 0),
        .commits = counter(l, METRIC_COMMIT, 0),
        .commit_us = metrics_sum(l->r->metrics, METRIC_COMMIT, 0),
        .bytes_in = counter(l, METRIC_BYTES, M_DIRECTION_IN),
        .bytes_out = counter(l, METRIC_BYTES, M_DIRECTION_OUT),
        .slow_moved = counter(l, METRIC_SLOW_MOVED, 0),
        .slow_cut = counter(l, METRIC_SLOW_CUT, 0)};
}

void vitals_tick(struct loop *l)
{
    uint64_t mono_ms = clock_mono_ms();
    struct vital sample = sample_of(l, mono_ms);
    struct vital_now now = {.inflight = l->inflight,
                            .inflight_max = settings(l->r)->limits.queue_entries,
                            .verify_waiting = queue_count(&l->r->verify.in),
                            .connections = l->conn_count,
                            .subscriptions = l->topics.subs,
                            .unsent_bytes = l->unsent,
                            .held = l->held,
                            .tight = l->tight || (l->tight_ms && mono_ms - l->tight_ms <
                                                                     TIGHT_TOLD_MS),
                            .draining = l->draining};
    conn_walk(l, count_one);
    now.top_count = talkers_top(&l->talkers, now.top, VITALS_TOP);
    now.all_entries = talkers_all(&l->talkers);
    talkers_fade(&l->talkers);
    count_unowned(l, &now, mono_ms);
    now.bus_silent_ms = bus_silent(l, mono_ms);
    vitals_put(&l->r->vitals, &sample, &now);
}
