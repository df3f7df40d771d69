/* Keeping to the memory plan (relay/memory.h). When messages take most of what they may, no
 * more is read from who talks, new entries are refused busy and live subscriptions go back
 * to catch-up early; what is there is answered and sent meanwhile. When that does not help
 * soon, whoever makes us keep the most is sent away: answers he does not read, or a message
 * he does not finish. */
#include "relay/loop_internal.h"

#include "ledger/trace.h"
#include "relay/clock.h"

#define RESUME(n) ((n) / 4 * 3)
#define PATIENCE_MS 1000u       /* tight for so long, or over the plan: send away */
#define TIGHT_UNSENT_MAX 65536u /* in the place of limits.unsent_bytes */

static uint64_t messages(const struct loop *l)
{
    return l->r->plan.messages;
}

void memory_look(struct loop *l)
{
    uint64_t used = frames_bytes();
    if (l->tight || used < memory_high(&l->r->plan))
        return;
    l->tight = true;
    l->tight_ms = clock_mono_ms();
    trace(TRACE_WARN, "memory.tight", TRACE_U64("used", used),
          TRACE_U64("plan", messages(l)));
}

uint64_t memory_unsent_max(const struct loop *l)
{
    uint64_t most = l->rules.limits.unsent_bytes;
    return l->tight && most > TIGHT_UNSENT_MAX ? TIGHT_UNSENT_MAX : most;
}

static size_t kept_for(const struct conn *c)
{
    return ws_unsent(c->ws) + ws_partial(c->ws);
}

/* The MEMORY_AWAY_A_TICK who keep the most, in no order. */
static void find_one(struct loop *l, struct conn *c)
{
    size_t bytes = kept_for(c);
    if (bytes == 0 || c->session.peer)
        return;
    if (l->away_count < MEMORY_AWAY_A_TICK) {
        l->away[l->away_count++] = c;
        return;
    }
    struct conn **least = &l->away[0];
    for (size_t i = 1; i < l->away_count; i++)
        if (kept_for(l->away[i]) < kept_for(*least))
            least = &l->away[i];
    if (kept_for(*least) < bytes)
        *least = c;
}

static void send_away(struct loop *l)
{
    uint64_t used = frames_bytes(), most = messages(l);
    uint64_t over = used > RESUME(most) ? used - RESUME(most) : 0;
    l->away_count = 0;
    conn_walk(l, find_one);
    for (size_t i = 0; i < l->away_count && over > 0; i++) {
        struct conn *c = l->away[i];
        size_t bytes = kept_for(c);
        bool reads = ws_partial(c->ws) >= bytes / 2;
        over -= bytes < over ? bytes : over;
        metrics_count(l->r->metrics, METRIC_LIMITED, M_LIMIT_MEMORY, 1);
        if (c->is_ws)
            conn_send(l, c, frame_bye(reads ? ERR_BUSY : ERR_SLOW, PATIENCE_MS));
        ws_cut(c->ws);
    }
}

void memory_tick(struct loop *l)
{
    uint64_t used = frames_bytes(), now = clock_mono_ms();
    metrics_set(l->r->metrics, METRIC_MEMORY_USED, 0, (int64_t)used);
    memory_look(l);
    if (!l->tight)
        return;
    if (used < RESUME(messages(l))) {
        l->tight = false;
        trace(TRACE_INFO, "memory.well", TRACE_U64("used", used),
              TRACE_U64("after_ms", now - l->tight_ms));
        conn_walk(l, conn_input);
        return;
    }
    if (used >= messages(l) || now - l->tight_ms >= PATIENCE_MS)
        send_away(l);
}
