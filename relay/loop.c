#include "relay/loop_internal.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ledger/trace.h"
#include "relay/clock.h"
#include "relay/cosigner.h"
#include "relay/follow.h"
#include "relay/peer.h"
#include "relay/reader.h"
#include "relay/region.h"
#include "relay/reload.h"

#define CONNS_FIRST 64u
#define SECOND_MS 1000u
#define SIGNAL_EXIT(n) (128 + (n))

/* Connections. */

struct conn *conn_of(struct loop *l, conn_id id)
{
    uint32_t index = (uint32_t)id;
    if (index >= l->conn_cap || !l->conns[index] || l->conns[index]->id != id)
        return NULL;
    return l->conns[index];
}

void conn_walk(struct loop *l, void (*each)(struct loop *l, struct conn *c))
{
    for (uint32_t i = 0; i < l->conn_cap; i++)
        if (l->conns[i] && l->conns[i]->ws)
            each(l, l->conns[i]);
}

static bool grow_table(struct loop *l)
{
    uint32_t cap = l->conn_cap ? l->conn_cap * 2 : CONNS_FIRST;
    struct conn **conns = realloc(l->conns, cap * sizeof(struct conn *));
    if (!conns)
        return false;
    l->conns = conns;
    uint32_t *generations = realloc(l->generations, cap * sizeof(*generations));
    if (!generations)
        return false;
    l->generations = generations;
    memset(conns + l->conn_cap, 0, (cap - l->conn_cap) * sizeof(struct conn *));
    memset(generations + l->conn_cap, 0, (cap - l->conn_cap) * sizeof(*generations));
    l->conn_cap = cap;
    return true;
}

static struct conn *conn_new(struct loop *l)
{
    uint32_t index = l->free_hint;
    while (index < l->conn_cap && l->conns[index])
        index++;
    if (index >= l->conn_cap) {
        index = l->conn_cap;
        if (!grow_table(l))
            return NULL;
    }
    struct conn *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->id = (conn_id)++l->generations[index] << 32 | index;
    l->conns[index] = c;
    l->free_hint = index + 1;
    return c;
}

/* The socket is gone and nothing of it is under way in the verify pool. */
void conn_release(struct loop *l, struct conn *c)
{
    uint32_t index = (uint32_t)c->id;
    if (c->ws || c->jobs_first)
        return;
    l->conns[index] = NULL;
    if (index < l->free_hint)
        l->free_hint = index;
    gate_closed(l, c);
    session_close(&c->session);
    free(c);
}

void conn_send(struct loop *l, struct conn *c, struct frame *f)
{
    if (!f)
        return;
    if (!c->ws) {
        frame_drop(f);
        return;
    }
    metrics_count(l->r->metrics, METRIC_FRAMES, M_DIRECTION_OUT, 1);
    metrics_count(l->r->metrics, METRIC_BYTES, M_DIRECTION_OUT, f->size);
    if (!ws_send(c->ws, f))
        ws_cut(c->ws);
}

void conn_end(struct loop *l, struct conn *c, uint64_t rid, enum err code, uint16_t close)
{
    if (!c->ws)
        return;
    session_end(&c->session, clock_mono_ms());
    conn_send(l, c, frame_error(rid, code, 0));
    ws_end(c->ws, close);
}

bool conn_is_slow(const struct loop *l, const struct conn *c, size_t more)
{
    return ws_unsent(c->ws) + more > memory_unsent_max(l) ||
           ws_waiting(c->ws) >= UNSENT_FRAMES_MAX;
}

void conn_input(struct loop *l, struct conn *c)
{
    if (!c->ws || !c->is_ws)
        return;
    bool want = session_wants_input(&c->session, &l->rules) && !c->waits_for_queue &&
                !c->leaving && c->held_ms == 0 && !l->tight && !conn_is_slow(l, c, 1);
    ws_pause(c->ws, !want);
}

static void resume_one(struct loop *l, struct conn *c)
{
    if (!c->waits_for_queue)
        return;
    c->waits_for_queue = false;
    conn_input(l, c);
}

void conn_answered(struct loop *l, struct conn *c, uint32_t entries)
{
    assert(l->inflight >= entries);
    l->inflight -= entries;
    l->answered += entries;
    if (l->queue_full &&
        l->inflight < QUEUE_RESUME_PART(settings(l->r)->limits.queue_entries)) {
        l->queue_full = false;
        conn_walk(l, resume_one);
    }
    if (!c)
        return;
    session_answered(&c->session, entries);
    gate_sender(l, c);
    conn_input(l, c);
}

bool ask_reader(struct loop *l, struct request *q)
{
    if (!q)
        return false;
    if (atomic_load(&l->r->reads_waiting) >= READS_WAITING_MAX) {
        metrics_count(l->r->metrics, METRIC_LIMITED, M_LIMIT_QUEUE, 1);
        request_drop(q);
        return false;
    }
    atomic_fetch_add(&l->r->reads_waiting, 1u);
    queue_put_one(&l->r->readers, &q->work.link);
    return true;
}

/* Transport events. */

static void *on_accepted(void *context, struct ws_conn *ws, const struct ws_address *a)
{
    struct loop *l = context;
    const struct relay_config *config = settings(l->r);
    if (l->door_shut)
        return NULL;
    uint64_t most = config->listen.max_connections;
    if (most > l->r->plan.connections)
        most = l->r->plan.connections;
    if (l->conn_count >= most) {
        metrics_count(l->r->metrics, METRIC_LIMITED, M_LIMIT_TOTAL, 1);
        return NULL;
    }
    if (!addresses_add(&l->addresses, a, config->listen.connections_per_address)) {
        metrics_count(l->r->metrics, METRIC_LIMITED, M_LIMIT_ADDRESS, 1);
        return NULL;
    }
    struct conn *c = conn_new(l);
    if (!c) {
        addresses_remove(&l->addresses, a);
        return NULL;
    }
    c->address = *a;
    if (!gate_opened(l, c)) {
        addresses_remove(&l->addresses, a);
        conn_release(l, c);
        return NULL;
    }
    c->ws = ws;
    l->conn_count++;
    metrics_change(l->r->metrics, METRIC_CONNECTIONS, M_TRANSPORT_HTTP, 1);
    return c;
}

static bool on_origin(void *context, const char *origin)
{
    struct loop *l = context;
    const struct config_texts *allowed = &settings(l->r)->access.origins;
    for (size_t i = 0; i < allowed->count; i++)
        if (strcmp(allowed->item[i], origin) == 0 || strcmp(allowed->item[i], "*") == 0)
            return true;
    metrics_count(l->r->metrics, METRIC_LIMITED, M_LIMIT_ORIGIN, 1);
    return false;
}

static void on_opened(void *context, void *user)
{
    struct loop *l = context;
    struct conn *c = user;
    c->is_ws = true;
    l->ws_count++;
    metrics_change(l->r->metrics, METRIC_CONNECTIONS, M_TRANSPORT_HTTP, -1);
    metrics_change(l->r->metrics, METRIC_CONNECTIONS, M_TRANSPORT_WEBSOCKET, 1);
    greet(l, c);
}

static uint64_t on_frame_max(void *context, void *user)
{
    struct loop *l = context;
    return session_frame_max(&((struct conn *)user)->session, &l->rules);
}

static void on_heard(void *context, void *user)
{
    struct loop *l = context;
    session_heard(&((struct conn *)user)->session, clock_mono_ms());
    if (l->tight)
        conn_input(l, user);
}

static void on_broken(void *context, void *user, enum err why)
{
    struct loop *l = context;
    struct conn *c = user;
    uint16_t code = why == ERR_TOO_LARGE ? CLOSE_TOO_LARGE
                    : why == ERR_FRAME   ? CLOSE_UNSUPPORTED
                                         : CLOSE_POLICY;
    conn_end(l, c, 0, why, code);
}

static void on_sent(void *context, void *user)
{
    struct loop *l = context;
    struct conn *c = user;
    session_progress(&c->session, clock_mono_ms());
    conn_input(l, c);
    if (c->subs)
        catchup(l, c);
}

static void on_closed(void *context, void *user)
{
    struct loop *l = context;
    struct conn *c = user;
    c->ws = NULL;
    gate_left(l, c);
    unsubscribe_all(l, c);
    addresses_remove(&l->addresses, &c->address);
    l->conn_count--;
    l->ws_count -= c->is_ws;
    metrics_change(l->r->metrics, METRIC_CONNECTIONS,
                   c->is_ws ? M_TRANSPORT_WEBSOCKET : M_TRANSPORT_HTTP, -1);
    conn_release(l, c);
}

/* Mail from the threads. */

static void on_mail_send(struct loop *l, struct mail *m)
{
    struct conn *c = conn_of(l, m->conn);
    if (m->entries)
        conn_answered(l, c, m->entries);
    if (m->read) {
        assert(l->reads > 0);
        l->reads--;
        if (c) {
            session_read_done(&c->session);
            conn_input(l, c);
        }
    }
    if (c) {
        conn_send(l, c, m->frame);
        m->frame = NULL;
    }
}

static void on_mail_hello(struct loop *l, struct mail *m)
{
    struct conn *c = conn_of(l, m->conn);
    assert(l->reads > 0);
    l->reads--;
    if (!c || c->session.phase != SESSION_CHECKING)
        return;
    if (m->code == ERR_OK) {
        welcome(l, c);
        conn_input(l, c);
        return;
    }
    conn_send(l, c,
              frame_bye(m->code,
                        m->code == ERR_UNAVAILABLE ? SEQ_RETRY_UNAVAILABLE_MS : 0));
    session_end(&c->session, clock_mono_ms());
    ws_end(c->ws, CLOSE_POLICY);
}

/* What our own store holds is signed; what another relay shows has yet to prove it. */
static bool seen_checkpoint(const struct loop *l, const struct mail *m, struct checkpoint *c)
{
    const char *note = (const char *)frame_data(m->frame);
    const char *end = memmem(note, m->frame->size, "\n\n", 2);
    return end && checkpoint_parse(c, note, (size_t)(end + 1 - note)) &&
           c->size > l->published[m->slot].size && /* news: only now is the signature dear */
           (m->own ||
            checkpoint_open(c, note, m->frame->size, &l->r->log_vkeys[m->slot]));
}

/* Whoever was shown a tree and then a smaller one has evidence against the hub: what an
 * answer shows is published here before the answer goes out. Its records follow. */
static void on_seen(struct loop *l, const struct mail *m)
{
    struct published *p = &l->published[m->slot];
    struct checkpoint c;
    const char *note = (const char *)frame_data(m->frame);
    if (!seen_checkpoint(l, m, &c))
        return;
    follow_seen(l->r, m->slot, c.size);
    p->size = c.size;
    p->root = c.root;
    p->time_ms = clock_wall_ms();
    p->note_size = m->frame->size;
    memcpy(p->note, note, m->frame->size);
}

static void on_mail(struct loop *l, struct mail *m)
{
    struct conn *c;
    switch (m->kind) {
    case MAIL_SEND:
        on_mail_send(l, m);
        break;
    case MAIL_EVENT:
        on_event(l, m->event);
        break;
    case MAIL_PAGE:
        on_page(l, m);
        break;
    case MAIL_HELLO:
        on_mail_hello(l, m);
        break;
    case MAIL_HTTP:
        c = conn_of(l, m->conn);
        assert(l->reads > 0);
        l->reads--;
        if (c && c->ws)
            on_tile(l, c, m);
        break;
    case MAIL_WITNESS:
        c = conn_of(l, m->conn);
        assert(l->reads > 0);
        l->reads--;
        if (c && c->ws) {
            ws_http_answer(c->ws, m->status, m->type, HTTP_NO_STORE, m->frame);
            m->frame = NULL;
        }
        break;
    case MAIL_OWNERS:
        peers_owners(l->r->peers);
        follow_owners(l->r);
        break;
    case MAIL_SEEN:
        on_seen(l, m);
        break;
    case MAIL_STATE:
        break; /* only the wake-up */
    }
}

static void on_wake(void *context)
{
    struct loop *l = context;
    struct chain_of_links got;
    on_admin(l);
    (void)queue_take(&l->r->verify.done, &got, SIZE_MAX, 0);
    jobs_verified(l, &got);
    peers_flush(l->r->peers);
    (void)queue_take(&l->r->mail, &got, SIZE_MAX, 0);
    for (struct link *k; (k = links_pop(&got));) {
        on_mail(l, (struct mail *)k);
        mail_drop((struct mail *)k);
    }
    if (atomic_load(&l->r->exit_code) != 0)
        ws_stop(l->r->ws);
}

static void on_round(void *context)
{
    struct loop *l = context;
    memory_look(l);
    gate_feed(l);
    if (l->to_verify.first)
        verify_put(&l->r->verify, &l->to_verify);
}

/* Time. */

static void tick_one(struct loop *l, struct conn *c)
{
    if (!c->is_ws)
        return; /* lws's own timeouts */
    size_t unsent = ws_unsent(c->ws);
    l->unsent += unsent;
    if (ws_paused(c->ws)) /* what he says waits in the kernel: he is not silent */
        session_heard(&c->session, clock_mono_ms());
    switch (session_tick(&c->session, &l->rules, unsent, clock_mono_ms())) {
    case SESSION_TICK_NOTHING:
        break;
    case SESSION_TICK_PING:
        ws_ping(c->ws);
        break;
    case SESSION_TICK_LATE:
        metrics_count(l->r->metrics, METRIC_LIMITED, M_LIMIT_HANDSHAKE, 1);
        ws_cut(c->ws);
        return;
    case SESSION_TICK_SLOW:
        metrics_count(l->r->metrics, METRIC_SLOW_CUT, 0, 1);
        conn_send(l, c, frame_bye(ERR_SLOW, 0)); /* he reads it if he ever reads again */
        ws_cut(c->ws);
        return;
    }
    if (c->subs)
        catchup(l, c);
}

static void on_tick(void *context)
{
    struct loop *l = context;
    uint64_t now = clock_mono_ms();
    if (l->draining)
        drain_step(l, now);
    service_alive(&l->r->service, now);
    peers_tick(l->r->peers);
    gate_tick(l);
    memory_tick(l);
    if (now - l->second_ms < SECOND_MS)
        return;
    l->second_ms = now;
    l->unsent = 0;
    conn_walk(l, tick_one);
    struct metrics *m = l->r->metrics;
    metrics_set(m, METRIC_UNSENT, 0, (int64_t)l->unsent);
    metrics_set(m, METRIC_INFLIGHT, 0, (int64_t)(l->inflight + l->reads));
    metrics_set(m, METRIC_QUEUE, M_QUEUE_VERIFY, (int64_t)queue_count(&l->r->verify.in));
    metrics_set(m, METRIC_SUBSCRIPTIONS, 0, (int64_t)l->topics.subs);
    bool write = !l->draining && atomic_load(&l->r->write_state) == ERR_OK;
    metrics_set(m, METRIC_READY, M_READY_WRITE, write);
    metrics_set(m, METRIC_READY, M_READY_READ,
                !l->draining && !atomic_load(&l->r->store_away) && follow_joined(l->r));
    gate_second(l);
    vitals_tick(l);
    cosigner_watch(l->r->cosigner);
    trace_flush();
}

static void fill_rules(struct loop *l)
{
    const struct relay_config *c = settings(l->r);
    l->rules =
        (struct session_rules){.federation = l->r->federation,
                               .hub = l->r->hub,
                               .slots = l->r->slots,
                               .limits = {.frame_bytes = c->limits.frame_bytes,
                                          .entry_bytes = c->limits.entry_bytes,
                                          .entries_a_frame = c->limits.entries_a_frame,
                                          .subscriptions = c->limits.subscriptions,
                                          .inflight_entries = c->limits.inflight_entries,
                                          .page_records = c->limits.page_records,
                                          .entries_a_second = c->limits.entries_a_second,
                                          .burst = c->limits.burst,
                                          .idle_ms = c->limits.idle_ms,
                                          .unsent_bytes = c->limits.unsent_bytes},
                               .address = {c->limits.address_entries_a_second,
                                           c->limits.address_burst},
                               .relay = region_on(l->r) ? l->r->keys.relay : NULL,
                               .relay_public = l->r->relay_public,
                               .handshake_ms = c->limits.handshake_ms,
                               .ping_ms = c->limits.ping_ms,
                               .stalled_ms = c->limits.stalled_ms,
                               .draining = l->rules.draining};
}

static void tell_limits(struct loop *l, struct conn *c)
{
    if (!c->is_ws || c->session.phase != SESSION_OPEN)
        return;
    c->auditor =
        c->session.has_device && pinned_is_auditor(&l->r->pinned, &c->session.device);
    conn_send(l, c,
              frame_of(&(struct wire_frame){.type = WIRE_LIMITS_IS,
                                            .limits = l->rules.limits}));
    conn_input(l, c);
}

void loop_reload(struct loop *l, struct json_t **report)
{
    uint64_t before = l->r->generation;
    bool stopping = l->draining; /* the manager is not told that it is ready again */
    if (!stopping)
        service_reloading(&l->r->service);
    bool good = relay_reload(l->r, report);
    if (!stopping)
        service_ready(&l->r->service, good
                                          ? "settings were read again"
                                          : "a reload was refused; the settings before it hold");
    if (!good || l->r->generation == before)
        return;
    fill_rules(l);
    conn_walk(l, tell_limits);
}

static void on_signal(void *context, int number)
{
    struct loop *l = context;
    if (number == SIGHUP) {
        loop_reload(l, NULL);
        return;
    }
    if (l->draining) {
        trace(TRACE_WARN, "loop.stopped_at_once", TRACE_U64("signal", (uint64_t)number));
        _exit(SIGNAL_EXIT(number));
    }
    loop_drain(l);
}

/* Opening and closing. */

/* What was published before this process began. */
static enum err load_published(struct loop *l)
{
    struct store *s = l->r->store;
    for (uint32_t slot = 0; slot < l->r->slots; slot++) {
        struct store_slot at;
        struct checkpoint c;
        struct published *p = &l->published[slot];
        TRY(s->ops->slot(s, slot, &at));
        if (!checkpoint_open(&c, at.checkpoint, at.checkpoint_size,
                             &l->r->log_vkeys[slot]))
            return ERR_CORRUPT;
        p->size = c.size;
        p->root = c.root;
        p->time_ms = clock_wall_ms();
        p->note_size = at.checkpoint_size;
        memcpy(p->note, at.checkpoint, at.checkpoint_size);
        cosigner_published(l->r->cosigner, slot, p->size,
                           bytes_of(p->note, p->note_size));
    }
    return ERR_OK;
}

static enum err listen_for(struct loop *l, const struct tls *tls, char *why)
{
    char host[CONFIG_TEXT_MAX];
    struct ws_settings s = {.host = host,
                            .backlog = (int)settings(l->r)->listen.backlog,
                            .handshake_seconds =
                                (unsigned)((l->rules.handshake_ms + 999) / 1000),
                            .sockets = l->r->service.socket,
                            .socket_count = l->r->service.socket_count,
                            .tls = tls,
                            .events = {.context = l,
                                       .accepted = on_accepted,
                                       .origin_ok = on_origin,
                                       .opened = on_opened,
                                       .frame_max = on_frame_max,
                                       .heard = on_heard,
                                       .message = on_message,
                                       .broken = on_broken,
                                       .sent = on_sent,
                                       .http = on_http,
                                       .closed = on_closed,
                                       .wake = on_wake,
                                       .round = on_round,
                                       .tick = on_tick,
                                       .signal = on_signal}};
    if (!config_address(settings(l->r)->listen.client, host, &s.port))
        return ERR_CONFIG;
    l->r->service.socket_count = 0; /* they are the transport's from here on */
    return ws_open(&l->r->ws, &s, why);
}

enum err loop_open(struct loop **out, struct relay *r, const struct tls *tls, char *why)
{
    uint64_t seed;
    struct loop *l = calloc(1, sizeof(*l));
    if (!l)
        return ERR_MEMORY;
    l->r = r;
    l->began_ms = l->second_ms = clock_mono_ms();
    random_bytes(&seed, sizeof(seed));
    fill_rules(l);
    gate_second(l);
    enum err e = ERR_MEMORY;
    if (topics_open(&l->topics, seed) && addresses_open(&l->addresses, seed) &&
        quotas_open(&l->quotas, seed))
        e = load_published(l);
    if (e == ERR_OK)
        e = listen_for(l, tls, why);
    if (e != ERR_OK) {
        loop_close(l);
        return e;
    }
    *out = l;
    return ERR_OK;
}

void loop_run(struct loop *l)
{
    ws_run(l->r->ws);
}

void loop_close(struct loop *l)
{
    struct link *k;
    while ((k = links_pop(&l->to_verify)))
        job_drop((struct job *)k);
    for (struct job *j; (j = turns_next(&l->turns));)
        job_drop(j);
    for (uint32_t i = 0; i < l->conn_cap; i++) {
        if (l->conns[i])
            session_close(&l->conns[i]->session);
        free(l->conns[i]); /* jobs of theirs are in the queues */
    }
    free(l->conns);
    free(l->generations);
    addresses_close(&l->addresses);
    quotas_close(&l->quotas);
    if (l->topics.buckets)
        topics_close(&l->topics);
    free(l);
}
