#include "tests/unit/relay/fakeowner.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define RESULT_ROOM 512u

/* The ledger. */

void fakeledger_open(struct fakeledger *l)
{
    memset(l, 0, sizeof(*l));
    pthread_mutex_init(&l->lock, NULL);
}

void fakeledger_close(struct fakeledger *l)
{
    pthread_mutex_destroy(&l->lock);
}

/* Where the id is, or would be. */
static size_t cell_of(const struct fakeledger *l, const struct hash *id)
{
    size_t at = ((size_t)id->b[0] << 8 | id->b[1]) % FAKE_LEDGER_CELLS;
    while (l->taken[at] && !hash_equal(&l->id[at], id))
        at = (at + 1) % FAKE_LEDGER_CELLS;
    return at;
}

bool fakeledger_has(struct fakeledger *l, const struct hash *id)
{
    pthread_mutex_lock(&l->lock);
    bool there = l->taken[cell_of(l, id)];
    pthread_mutex_unlock(&l->lock);
    return there;
}

static enum err keep(struct fakeledger *l, const struct entry *e, bool *duplicate)
{
    enum err code = ERR_OK;
    pthread_mutex_lock(&l->lock);
    size_t at = cell_of(l, &e->id);
    *duplicate = l->taken[at];
    if (*duplicate) {
        l->duplicates++;
    } else if (e->has_prev && !l->taken[cell_of(l, &e->prev)]) {
        l->gaps++;
        code = ERR_GAP;
    } else {
        assert(l->count < FAKE_LEDGER_CELLS / 2);
        l->count++;
        l->taken[at] = true;
        l->id[at] = e->id;
    }
    pthread_mutex_unlock(&l->lock);
    return code;
}

/* A connection. */

struct client {
    struct session session;
    struct ws_conn *ws;
};

static void *accepted(void *context, struct ws_conn *ws, const struct ws_address *a)
{
    struct fakeowner *o = context;
    struct client *c = calloc(1, sizeof(*c));
    (void)a;
    if (c)
        c->ws = ws;
    atomic_fetch_add(&o->connections, 1u);
    return c;
}

static bool any_origin(void *context, const char *origin)
{
    (void)context;
    (void)origin;
    return true;
}

static void opened(void *context, void *user)
{
    struct fakeowner *o = context;
    struct client *c = user;
    struct hash nonce;
    random_bytes(nonce.b, sizeof(nonce.b));
    session_begin(&c->session, &o->rules, &nonce, 0);
    (void)ws_send(c->ws, frame_of(&(struct wire_frame){
                             .type = WIRE_CHALLENGE,
                             .version = WIRE_VERSION,
                             .federation = o->rules.federation,
                             .hub = bytes_of(o->rules.hub, strlen(o->rules.hub)),
                             .slots = o->rules.slots,
                             .nonce = nonce,
                             .limits = o->rules.limits}));
}

static uint64_t frame_max(void *context, void *user)
{
    struct fakeowner *o = context;
    return session_frame_max(&((struct client *)user)->session, &o->rules);
}

static void heard(void *context, void *user)
{
    (void)context;
    (void)user;
}

static void broken(void *context, void *user, enum err why)
{
    (void)context;
    (void)why;
    ws_cut(((struct client *)user)->ws);
}

static void on_http(void *context, void *user, const struct ws_request *q)
{
    (void)context;
    (void)q;
    ws_cut(((struct client *)user)->ws);
}

static void closed(void *context, void *user)
{
    struct client *c = user;
    (void)context;
    session_close(&c->session);
    free(c);
}

static void idle(void *context)
{
    (void)context;
}

static void on_wake(void *context)
{
    struct fakeowner *o = context;
    if (atomic_load(&o->ending))
        ws_stop(o->ws);
}

static void on_signal(void *context, int number)
{
    (void)context;
    (void)number;
}

/* Answers. */

static void welcome(struct fakeowner *o, struct client *c)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t n = hello_message(message, &o->rules.federation, o->rules.hub,
                             &c->session.nonce, &c->session.client_nonce,
                             &c->session.device);
    session_welcome(&c->session);
    (void)ws_send(c->ws,
                  frame_of(&(struct wire_frame){
                      .type = WIRE_WELCOME,
                      .rid = c->session.hello_rid,
                      .has_device = true,
                      .device = o->rules.relay_public,
                      .has_sig = true,
                      .sig = key_sign(o->rules.relay, CTX_WELCOME, message, n)}));
}

static enum err verdict(struct fakeowner *o)
{
    enum err code = (enum err)atomic_load(&o->code);
    int times = atomic_load(&o->code_times);
    if (code == ERR_OK || times == 0)
        return ERR_OK;
    if (times > 0)
        atomic_store(&o->code_times, times - 1);
    return code;
}

static struct frame *results_begin(struct mp_writer *w, size_t count)
{
    struct frame *f = frame_new(RESULT_ROOM * (count + 1));
    assert(f);
    *w = frame_writer(f);
    wire_put(w, &(struct wire_frame){.type = WIRE_RESULTS, .note_count = 1});
    wire_put_slot_note(w, 1, bytes_of(FAKE_NOTE, strlen(FAKE_NOTE)));
    wire_put_list(w, count);
    return f;
}

static void settled(struct client *c, const struct entry *e)
{
    struct frame *f = frame_new(RESULT_ROOM);
    assert(f);
    struct mp_writer w = frame_writer(f);
    wire_put(&w, &(struct wire_frame){.type = WIRE_SETTLED, .count = 1});
    wire_put_settled(&w, &(struct wire_settled){.cause = e->id, .slot = 1});
    f->size = (uint32_t)w.size;
    (void)ws_send(c->ws, f);
}

static void submit(struct fakeowner *o, struct client *c, const struct wire_frame *f)
{
    struct mp_reader list = f->list;
    struct mp_writer w;
    struct entry settle[4];
    size_t settles = 0;
    struct frame *out = results_begin(&w, f->count);
    bool silent = atomic_load(&o->silent);
    for (size_t i = 0; i < f->count; i++) {
        struct bytes envelope;
        struct entry e;
        bool duplicate = false;
        wire_next_envelope(&list, &envelope);
        enum err code = entry_decode(&e, envelope.data, envelope.size);
        if (code == ERR_OK)
            code = verdict(o);
        if (code == ERR_OK)
            code = keep(o->ledger, &e, &duplicate);
        if (code == ERR_OK && e.kind == KIND_TRANSFER && (f->flags & WIRE_SUBMIT_SETTLED) &&
            settles < 4)
            settle[settles++] = e;
        struct wire_result r = {.rid = f->rid,
                                .i = i,
                                .code = (uint64_t)code,
                                .slot = 1,
                                .flags = duplicate ? WIRE_RESULT_DUPLICATE : 0};
        atomic_fetch_add(&o->entries, 1u);
        wire_put_result(&w, &r);
    }
    out->size = (uint32_t)w.size;
    if (silent)
        frame_drop(out);
    else
        (void)ws_send(c->ws, out);
    for (size_t i = 0; i < settles && !silent; i++)
        settled(c, &settle[i]);
    session_answered(&c->session, (uint32_t)f->count);
}

static void question(struct fakeowner *o, struct client *c, const struct wire_frame *f,
                     const struct wire_frame *outer)
{
    atomic_fetch_add(&o->questions, 1u);
    atomic_store(&o->asker_given, outer->has_device);
    session_read_done(&c->session);
    if (atomic_load(&o->silent))
        return;
    enum err code = verdict(o);
    struct frame *out;
    if (code != ERR_OK)
        out = frame_error(f->rid, code, FAKE_RETRY_MS);
    else if (f->type == WIRE_HEAD)
        out = frame_of(&(struct wire_frame){
            .type = WIRE_HEAD_IS, .rid = f->rid, .position = FAKE_POSITION, .head = f->id});
    else
        out = frame_of(&(struct wire_frame){.type = WIRE_SETTLEMENT_IS,
                                            .rid = f->rid,
                                            .state = WIRE_SETTLE_PENDING,
                                            .left = 3});
    (void)ws_send(c->ws, out);
}

static void babble(struct fakeowner *o, struct client *c)
{
    struct mp_writer w;
    switch (atomic_exchange(&o->babble, BABBLE_NOT)) {
    case BABBLE_STRANGE:
        for (uint64_t rid = 1u << 30; rid < (1u << 30) + 2; rid++) {
            struct frame *f = results_begin(&w, 2);
            wire_put_result(&w, &(struct wire_result){.rid = rid / 2 * 2, .slot = 1});
            wire_put_result(&w, &(struct wire_result){
                                    .rid = INT64_MAX, .i = WIRE_ENTRIES_MAX - 1, .slot = 1});
            f->size = (uint32_t)w.size;
            (void)ws_send(c->ws, f);
            (void)ws_send(c->ws, frame_error(rid, ERR_BUSY, 1));
        }
        break;
    case BABBLE_MALFORMED: {
        struct frame *f = frame_new(3);
        assert(f);
        memset(frame_data(f), 0xc1, 3);
        f->size = 3;
        (void)ws_send(c->ws, f);
        break;
    }
    default:
        break;
    }
}

static void forwarded(struct fakeowner *o, struct client *c, const struct wire_frame *f,
                      struct session_step *step)
{
    struct wire_frame inner;
    int until_cut = atomic_load(&o->cut_after);
    atomic_fetch_add(&o->forwards, 1u);
    enum err e = wire_decode(&inner, f->data.data, f->data.size);
    session_forwarded(&c->session, &inner, e, 0, step);
    babble(o, c);
    bool was = atomic_load(&o->silent);
    if (until_cut > 0)
        atomic_store(&o->cut_after, until_cut - 1);
    if (until_cut == 1)
        atomic_store(&o->silent, true); /* kept, and the answer is lost with the link */
    if (step->act == SESSION_SUBMIT)
        submit(o, c, &inner);
    else if (step->act == SESSION_ASK)
        question(o, c, &inner, f);
    if (until_cut == 1) {
        atomic_store(&o->silent, was);
        ws_cut(c->ws);
    }
}

static void message(void *context, void *user, struct frame *frame)
{
    struct fakeowner *o = context;
    struct client *c = user;
    struct wire_frame f;
    struct session_step step = {.act = SESSION_END};
    if (wire_decode(&f, frame_data(frame), frame->size) == ERR_OK)
        session_frame(&c->session, &o->rules, &f, 0, &step);
    if (step.act == SESSION_WELCOME && atomic_load(&o->cut_hello))
        step.act = SESSION_END;
    if (step.act == SESSION_WELCOME)
        welcome(o, c);
    else if (step.act == SESSION_FORWARD)
        forwarded(o, c, &f, &step);
    if (step.act == SESSION_END)
        ws_cut(c->ws);
    frame_drop(frame);
}

/* Opening and closing. */

static void *run(void *context)
{
    struct fakeowner *o = context;
    ws_run(o->ws);
    return NULL;
}

bool fakeowner_open(struct fakeowner *o, const struct session_rules *rules,
                    struct fakeledger *l, uint16_t port)
{
    char why[WS_WHY_MAX];
    struct ws_settings s = {.host = "127.0.0.1",
                            .port = port,
                            .backlog = 16,
                            .handshake_seconds = 5,
                            .events = {.context = o,
                                       .accepted = accepted,
                                       .origin_ok = any_origin,
                                       .opened = opened,
                                       .frame_max = frame_max,
                                       .heard = heard,
                                       .message = message,
                                       .broken = broken,
                                       .sent = heard,
                                       .http = on_http,
                                       .closed = closed,
                                       .wake = on_wake,
                                       .round = idle,
                                       .tick = idle,
                                       .signal = on_signal}};
    memset(o, 0, sizeof(*o));
    o->rules = *rules;
    o->ledger = l;
    atomic_store(&o->code_times, -1);
    return ws_open(&o->ws, &s, why) == ERR_OK &&
           pthread_create(&o->thread, NULL, run, o) == 0;
}

uint16_t fakeowner_port(const struct fakeowner *o)
{
    return ws_port(o->ws);
}

struct ws *fakeowner_stop(struct fakeowner *o)
{
    struct ws *ws = o->ws;
    atomic_store(&o->ending, true);
    ws_wake(ws);
    pthread_join(o->thread, NULL);
    o->ws = NULL;
    return ws;
}
