/* The end in order. A hub of one process takes no more entries, answers what is under way
 * and sends everybody away at once. A relay among several first gives its slots to the
 * others and goes on serving, then sends its clients to them a few at a time, each when it
 * is owed nothing; none of them is refused anything. The links of the other relays go last:
 * what is still ours comes from there. Bounded by drain.grace_ms. */
#include "relay/loop_internal.h"

#include "crypto/key.h"
#include "ledger/trace.h"
#include "relay/clock.h"
#include "relay/region.h"

#define LEASES_PART 2u       /* slots are given away within 1/2 of the grace .. */
#define SPREAD_PART 4u       /* .. and clients within 1/4 after that */
#define LAST_PART 8u         /* 1/8 before its end nobody is waited for any more */
#define ELSEWHERE_MS 1000u   /* a region's clients come to the others within this time */

/* When a client that was sent away should try again: another moment for each, so that
 * they do not come back all at once. */
static uint64_t come_back_ms(const struct loop *l)
{
    uint64_t grace = settings(l->r)->drain.grace_ms;
    uint64_t chance;
    random_bytes(&chance, sizeof(chance));
    return region_on(l->r) ? chance % ELSEWHERE_MS : grace + chance % (grace + 1);
}

static void bye_one(struct loop *l, struct conn *c)
{
    if (!c->is_ws) {
        ws_cut(c->ws);
        return;
    }
    if (c->session.phase == SESSION_ENDED)
        return;
    conn_send(l, c, frame_bye(ERR_DRAINING, come_back_ms(l)));
    session_end(&c->session, clock_mono_ms());
    ws_end(c->ws, CLOSE_GOING_AWAY);
}

static void shut_door(struct loop *l)
{
    l->door_shut = true;
    ws_stop_accepting(l->r->ws);
}

/* Nothing more is read from it; it goes when it is owed nothing. */
static void leave_one(struct loop *l, struct conn *c)
{
    if (c->session.peer)
        return;
    l->clients_left++;
    if (!c->leaving && l->may_leave > 0) {
        l->may_leave--;
        c->leaving = true;
        conn_input(l, c);
    }
    if (c->leaving && c->session.inflight == 0 && c->session.reads == 0)
        bye_one(l, c);
}

static void step_alone(struct loop *l, bool over)
{
    if (l->said_bye || ((l->inflight > 0 || l->reads > 0) && !over))
        return;
    l->said_bye = true;
    conn_walk(l, bye_one);
}

static void step_in_region(struct loop *l, uint64_t now)
{
    uint64_t grace = settings(l->r)->drain.grace_ms, spread = grace / SPREAD_PART + 1;
    if (l->leave_ms == 0) {
        if (!region_drained(l->r) && now - l->drain_ms < grace / LEASES_PART)
            return;
        shut_door(l);
        l->leave_ms = now;
        l->leaving_all = l->conn_count;
        l->may_leave = 0;
    }
    uint64_t passed = now - l->leave_ms + WS_TICK_MS;
    size_t told = l->leaving_all * (passed < spread ? passed : spread) / spread;
    l->may_leave += told - l->leaving_told;
    l->leaving_told = told;
    l->clients_left = 0;
    conn_walk(l, leave_one);
    if ((l->clients_left == 0 && region_drained(l->r)) ||
        now - l->drain_ms >= grace - grace / LAST_PART)
        conn_walk(l, bye_one);
}

void drain_step(struct loop *l, uint64_t now)
{
    bool over = now - l->drain_ms >= settings(l->r)->drain.grace_ms;
    if (region_on(l->r))
        step_in_region(l, now);
    else
        step_alone(l, over);
    bool empty = l->conn_count == 0 && l->inflight == 0 && l->reads == 0;
    if ((empty && (l->said_bye || l->leave_ms > 0)) || over)
        ws_stop(l->r->ws);
}

void loop_drain(struct loop *l)
{
    if (l->draining)
        return;
    trace(TRACE_INFO, "loop.draining", TRACE_U64("connections", l->conn_count),
          TRACE_U64("inflight", l->inflight));
    l->draining = true;
    service_stopping(&l->r->service, "what is under way is finished, clients are sent away");
    l->drain_ms = clock_mono_ms();
    metrics_state(l->r->metrics, M_STATE_DRAINING);
    if (region_on(l->r)) {
        region_drain(l->r);
        return;
    }
    l->rules.draining = true;
    shut_door(l);
}
