/* What a client's message does: decode, let the session decide, act. */
#include "relay/loop_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/context.h"
#include "ledger/trace.h"
#include "relay/clock.h"
#include "relay/commit_internal.h"
#include "relay/cosigner.h"
#include "relay/peer.h"
#include "relay/reader.h"

#define NOTE_ROOM 16u

void greet(struct loop *l, struct conn *c)
{
    struct hash nonce;
    random_bytes(nonce.b, sizeof(nonce.b));
    session_begin(&c->session, &l->rules, &nonce, clock_mono_ms());
    conn_send(l, c,
              frame_of(&(struct wire_frame){.type = WIRE_CHALLENGE,
                                            .version = WIRE_VERSION,
                                            .federation = l->r->federation,
                                            .hub = bytes_of(l->r->hub, strlen(l->r->hub)),
                                            .slots = l->r->slots,
                                            .nonce = nonce,
                                            .limits = l->rules.limits}));
}

static struct frame *welcome_frame(struct loop *l, const struct conn *c)
{
    const struct session *s = &c->session;
    uint8_t message[MESSAGE_BYTES_MAX];
    uint32_t slots = s->peer ? 0 : l->r->slots; /* a relay has them from the store */
    size_t notes = 0;
    for (uint32_t slot = 0; slot < slots; slot++)
        notes += l->published[slot].note_size + NOTE_ROOM;
    struct frame *f = frame_new(notes + 256u);
    if (!f)
        return NULL;
    size_t size =
        hello_message(message, &l->r->federation, l->r->hub, &s->nonce, &s->client_nonce,
                      s->has_device || s->peer ? &s->device : NULL);
    struct wire_frame out = {.type = WIRE_WELCOME,
                             .rid = s->hello_rid,
                             .has_device = true,
                             .device = l->r->relay_public,
                             .has_sig = true,
                             .sig =
                                 key_sign(l->r->keys.relay, CTX_WELCOME, message, size),
                             .hub_time_ms = clock_wall_ms(),
                             .note_count = slots};
    struct mp_writer w = frame_writer(f);
    wire_put(&w, &out);
    for (uint32_t slot = 0; slot < slots; slot++)
        wire_put_note(&w,
                      bytes_of(l->published[slot].note, l->published[slot].note_size));
    assert(!w.full);
    f->size = (uint32_t)w.size;
    return f;
}

/* A question that is answered here took this long. */
static void time_frame(struct loop *l, enum metric_route route, enum metric_code code,
                       uint64_t since_us)
{
    metrics_observe(l->r->metrics, METRIC_REQUEST, METRIC_PAIR(route, code),
                    clock_mono_us() - since_us);
}

void welcome(struct loop *l, struct conn *c)
{
    struct frame *f = welcome_frame(l, c);
    session_welcome(&c->session);
    gate_welcomed(l, c);
    c->auditor =
        c->session.has_device && pinned_is_auditor(&l->r->pinned, &c->session.device);
    conn_send(l, c, f);
    time_frame(l, M_ROUTE_HELLO, M_CODE_OK, c->hello_us);
}

static struct request *request_from(struct conn *c, enum request_kind kind,
                                    const struct wire_frame *f, struct frame *frame)
{
    struct request *q = request_new(kind, c->id);
    if (!q)
        return NULL;
    q->has_device = c->session.has_device;
    q->device = c->session.device;
    q->since_us = clock_mono_us();
    q->f = *f;
    q->frame = frame_keep(frame);
    return q;
}

static void check_hello(struct loop *l, struct conn *c, const struct wire_frame *f,
                        struct frame *frame)
{
    if (!ask_reader(l, request_from(c, REQUEST_HELLO, f, frame))) {
        conn_end(l, c, f->rid, ERR_BUSY, CLOSE_POLICY);
        return;
    }
    l->reads++;
    conn_input(l, c);
}

/* What is published is known here. */
static void tell_checkpoint(struct loop *l, struct conn *c, const struct wire_frame *f)
{
    uint64_t since_us = clock_mono_us();
    if (f->slot >= l->r->slots) {
        conn_send(l, c, frame_error(f->rid, ERR_RANGE, 0));
        time_frame(l, M_ROUTE_CHECKPOINT, M_CODE_REFUSED, since_us);
        return;
    }
    const struct published *p = &l->published[f->slot];
    struct bytes note = bytes_of(p->note, p->note_size);
    char room[COSIGNED_BYTES_MAX];
    if (f->type == WIRE_COSIGNED)
        note = bytes_of(room, cosigner_quorum(l->r->cosigner, (uint32_t)f->slot, room));
    conn_send(l, c,
              note.size == 0
                  ? frame_error(f->rid, ERR_NOT_FOUND, 0)
                  : frame_of(&(struct wire_frame){
                        .type = WIRE_CHECKPOINT_IS, .rid = f->rid, .note = note}));
    time_frame(l, M_ROUTE_CHECKPOINT, M_CODE_OK, since_us);
}

/* To the commit thread; false: too many wait, `q` was dropped. */
static bool ask_commit(struct loop *l, struct request *q)
{
    if (!q)
        return false;
    if (atomic_load(&l->r->asks_waiting) >= ASKS_WAITING_MAX) {
        metrics_count(l->r->metrics, METRIC_LIMITED, M_LIMIT_QUEUE, 1);
        request_drop(q);
        return false;
    }
    atomic_fetch_add(&l->r->asks_waiting, 1u);
    queue_put_one(&l->r->commit, &q->work.link);
    return true;
}

/* A question was taken, or too many wait. */
static void asked(struct loop *l, struct conn *c, bool took, uint64_t rid)
{
    if (!took) {
        session_read_done(&c->session);
        conn_send(l, c, frame_error(rid, ERR_BUSY, READS_RETRY_MS));
        return;
    }
    l->reads++;
    conn_input(l, c);
}

static void read_or_ask(struct loop *l, struct conn *c, const struct session_step *step,
                        const struct wire_frame *f, struct frame *frame)
{
    struct request *q = NULL;
    bool took = false;
    if (f->type == WIRE_CHECKPOINT || f->type == WIRE_COSIGNED) {
        session_read_done(&c->session);
        tell_checkpoint(l, c, f);
        return;
    }
    q = request_from(c, REQUEST_FRAME, f, frame);
    if (step->act == SESSION_READ || (l->r->peers && f->type == WIRE_SETTLEMENT))
        took = ask_reader(l, q); /* whose a cause is, only its entry tells */
    else if (l->r->peers && peers_others(l->r->peers, relay_slot_of(l->r, &f->id)))
        took = peers_ask(l->r->peers, q, relay_slot_of(l->r, &f->id));
    else
        took = ask_commit(l, q);
    asked(l, c, took, f->rid);
}

/* Submit. */

/* Entries that are refused at the door, in one frame. */
static void refuse_rest(struct loop *l, struct conn *c, uint64_t rid, size_t from,
                        size_t count, enum err code, uint64_t retry_after_ms)
{
    if (from >= count)
        return;
    struct refusal refusal = {.code = code, .retry_after_ms = retry_after_ms};
    uint64_t now = clock_wall_ms();
    struct frame *f = frame_new(64u + (count - from) * 64u);
    if (!f)
        return;
    struct mp_writer w = frame_writer(f);
    wire_put(&w, &(struct wire_frame){.type = WIRE_RESULTS});
    wire_put_list(&w, count - from);
    for (size_t i = from; i < count; i++) {
        struct wire_result r;
        result_refused(&r, l->r, rid, (uint32_t)i, NULL, &refusal, now);
        wire_put_result(&w, &r);
    }
    assert(!w.full);
    f->size = (uint32_t)w.size;
    c->refused_entries += count - from;
    conn_send(l, c, f);
    if (retry_after_ms > 0 && code != ERR_DRAINING)
        gate_told(l, c, retry_after_ms);
}

/* .. because the queue is full. */
static void refuse_busy(struct loop *l, struct conn *c, const struct wire_frame *f,
                        size_t from)
{
    metrics_count(l->r->metrics, METRIC_LIMITED, M_LIMIT_QUEUE, f->count - from);
    refuse_rest(l, c, f->rid, from, f->count, ERR_BUSY, gate_busy_ms(l, c));
}

static struct job *take_job(struct loop *l, struct conn *c, const struct wire_frame *f,
                            struct frame *frame, struct mp_reader *list, uint32_t first,
                            uint32_t count, uint64_t now_us)
{
    struct job *j = job_new(count);
    if (!j)
        return NULL;
    j->conn = c->id;
    j->rid = f->rid;
    j->flags = f->flags;
    j->vouched = c->session.peer;
    j->since_us = now_us;
    j->frame = frame_keep(frame);
    for (uint32_t i = 0; i < count; i++) {
        struct job_item *item = &j->items[i];
        struct bytes envelope;
        wire_next_envelope(list, &envelope);
        item->i = first + i;
        item->verdict = !j->vouched && envelope.size > l->rules.limits.entry_bytes
                            ? ERR_POLICY_SIZE
                            : ERR_OK;
        item->entry.envelope = envelope;
    }
    return j;
}

static void submit(struct loop *l, struct conn *c, const struct session_step *step,
                   const struct wire_frame *f, struct frame *frame)
{
    struct mp_reader list = f->list;
    uint64_t now_us = clock_mono_us(), limit = settings(l->r)->limits.queue_entries;
    uint32_t take = (uint32_t)step->take, at = 0;
    c->sent_entries += f->count;
    if (take > 0 && !gate_has_room(l, c)) {
        session_answered(&c->session, take);
        refuse_busy(l, c, f, 0);
        return;
    }
    while (at < take) {
        uint32_t n = take - at < JOB_ENTRIES_MAX ? take - at : JOB_ENTRIES_MAX;
        struct job *j = take_job(l, c, f, frame, &list, at, n, now_us);
        if (!j)
            break;
        if (c->jobs_last)
            c->jobs_last->next_of_conn = j;
        else
            c->jobs_first = j;
        c->jobs_last = j;
        turns_add(&l->turns, &c->turn, j);
        l->inflight += n;
        at += n;
    }
    if (at < take) { /* out of memory */
        session_answered(&c->session, take - at);
        refuse_busy(l, c, f, at);
    } else if (at < f->count) {
        if (step->code == ERR_POLICY_RATE)
            metrics_count(l->r->metrics, METRIC_LIMITED,
                          step->address ? M_LIMIT_RATE_ADDRESS : M_LIMIT_RATE,
                          f->count - at);
        refuse_rest(l, c, f->rid, at, f->count, step->code, step->retry_after_ms);
    }
    gate_sender(l, c);
    if (l->inflight >= limit) {
        l->queue_full = true;
        c->waits_for_queue = true;
    }
    conn_input(l, c);
}

/* What no client of ours would send: it does not decode, or nobody signed it. */
static bool is_offence(const struct job *j)
{
    for (uint32_t i = 0; !j->vouched && i < j->count; i++) {
        enum err verdict = j->items[i].verdict;
        if (verdict == ERR_SIGNATURE || verdict == ERR_MALFORMED)
            return true;
    }
    return false;
}

static void to_commit(struct loop *l, struct chain_of_links *on, struct job *j)
{
    atomic_fetch_add(&l->r->committing, j->count);
    links_add(on, &j->work.link);
}

/* Jobs come back in any order and go on in the order their connection sent them. */
void jobs_verified(struct loop *l, struct chain_of_links *done)
{
    struct chain_of_links on = {0};
    for (struct link *k; (k = links_pop(done));) {
        struct job *j = (struct job *)k;
        struct conn *c = conn_of(l, j->conn);
        assert(c); /* a connection stays while jobs of it are out */
        j->verified = true;
        l->verifying -= j->count;
        if (is_offence(j))
            gate_offended(l, c);
        metrics_observe(l->r->metrics, METRIC_VERDICT, 0, clock_mono_us() - j->since_us);
        while (c->jobs_first && c->jobs_first->verified) {
            struct job *first = c->jobs_first;
            c->jobs_first = first->next_of_conn;
            if (!c->jobs_first)
                c->jobs_last = NULL;
            if (!l->r->peers || first->vouched || peers_take(l->r->peers, first))
                to_commit(l, &on, first);
        }
        if (!c->ws)
            conn_release(l, c);
    }
    queue_put(&l->r->commit, &on);
}

/* What another relay asks or submits for a client of its own. Its answer goes to that
 * relay, which knows whose it is. It is never handed on again (jobs_verified): what is not
 * ours any more is answered `unavailable`. */
static void on_forward(struct loop *l, struct conn *c, const struct wire_frame *outer,
                       struct frame *frame)
{
    struct wire_frame f;
    struct session_step step;
    enum err e = wire_decode(&f, outer->data.data, outer->data.size);
    session_forwarded(&c->session, &f, e, clock_mono_ms(), &step);
    if (step.act == SESSION_SUBMIT) {
        submit(l, c, &step, &f, frame);
    } else if (step.act == SESSION_ASK) {
        struct request *q = request_from(c, REQUEST_FRAME, &f, frame);
        if (q) {
            q->has_device = outer->has_device;
            q->device = outer->device;
        }
        asked(l, c, ask_commit(l, q), f.rid);
    } else {
        conn_end(l, c, step.rid, step.code, CLOSE_PROTOCOL);
    }
}

/* One message. */

static void act(struct loop *l, struct conn *c, const struct session_step *step,
                const struct wire_frame *f, struct frame *frame)
{
    enum metric_code code;
    uint64_t since_us;
    switch (step->act) {
    case SESSION_NOTHING:
        break;
    case SESSION_CHECK:
        check_hello(l, c, f, frame);
        break;
    case SESSION_WELCOME:
        welcome(l, c);
        break;
    case SESSION_SUBMIT:
        submit(l, c, step, f, frame);
        break;
    case SESSION_SUBSCRIBE:
        since_us = clock_mono_us();
        code = subscribe(l, c, f) ? M_CODE_OK : M_CODE_REFUSED;
        time_frame(l, M_ROUTE_SUBSCRIBE, code, since_us);
        break;
    case SESSION_UNSUBSCRIBE:
        unsubscribe(l, c, f);
        break;
    case SESSION_READ:
    case SESSION_ASK:
        read_or_ask(l, c, step, f, frame);
        break;
    case SESSION_FORWARD:
        on_forward(l, c, f, frame);
        break;
    case SESSION_LIMITS:
        conn_send(l, c,
                  frame_of(&(struct wire_frame){.type = WIRE_LIMITS_IS,
                                                .rid = step->rid,
                                                .limits = l->rules.limits}));
        break;
    case SESSION_ERROR:
        metrics_count(l->r->metrics, METRIC_LIMITED, M_LIMIT_SUBSCRIPTIONS,
                      step->code == ERR_LIMIT);
        conn_send(l, c, frame_error(step->rid, step->code, step->retry_after_ms));
        break;
    case SESSION_END:
        conn_end(l, c, step->rid, step->code,
                 step->code == ERR_FRAME ? CLOSE_PROTOCOL : CLOSE_POLICY);
        break;
    }
}

void on_message(void *context, void *user, struct frame *frame)
{
    struct loop *l = context;
    struct conn *c = user;
    struct wire_frame f;
    struct session_step step;
    metrics_count(l->r->metrics, METRIC_FRAMES, M_DIRECTION_IN, 1);
    metrics_count(l->r->metrics, METRIC_BYTES, M_DIRECTION_IN, frame->size);
    if (c->session.phase == SESSION_ENDED) {
        frame_drop(frame);
        return;
    }
    if (c->session.phase == SESSION_GREETED)
        c->hello_us = clock_mono_us();
    enum err e = wire_decode(&f, frame_data(frame), frame->size);
    if (e != ERR_OK) {
        conn_end(l, c, 0, e, CLOSE_PROTOCOL);
    } else {
        session_frame(&c->session, &l->rules, &f, clock_mono_ms(), &step);
        act(l, c, &step, &f, frame);
        conn_input(l, c); /* some answers are made here and cost their asker nothing */
    }
    frame_drop(frame);
}
