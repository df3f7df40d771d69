/* A whole conversation with the session core: frames in any order, answers, silence and
 * time; it never crashes, gives nothing before a good HELLO, takes no more entries than
 * its rate, its budgets come back, and after the end it takes nothing. Each step is an op
 * byte and its choices; frames are bytes as they are, or made here and sometimes changed
 * by a bit. */
#include <string.h>

#include "crypto/context.h"
#include "fuzz.h"
#include "input.h"
#include "other.h"
#include "relay/session.h"

#define STEPS_MAX 400
#define FRAME_ROOM 8192

struct conversation {
    struct session s;
    struct session_rules r;
    struct hash nonce;
    uint64_t now_ms, began_ms;
    /* What an observer knows. */
    bool welcomed, ended, hello_good;
    uint64_t inflight, reads;
    uint64_t taken; /* entries with tokens since the beginning */
    uint64_t subscribed;
};

static uint8_t room[FRAME_ROOM];

static void make_rules(struct conversation *c, struct input *in)
{
    static const uint64_t rates[] = {0, 1, 7, 20, 1000, 1000000};
    c->r = (struct session_rules){.hub = "local", .slots = 1u << take_below(in, 9)};
    c->r.limits = (struct wire_limits){.frame_bytes = 4096,
                                       .entry_bytes = 1024,
                                       .entries_a_frame = 1 + take_below(in, 40),
                                       .subscriptions = take_below(in, 5),
                                       .inflight_entries = 40 + take_below(in, 200),
                                       .page_records = 10,
                                       .entries_a_second = rates[take_below(in, 6)],
                                       .burst = 1 + take(in, 1),
                                       .idle_ms = 1000 + take(in, 2),
                                       .unsent_bytes = 65536};
    c->r.handshake_ms = 100 + take(in, 1);
    c->r.ping_ms = c->r.limits.idle_ms / 2;
    c->r.stalled_ms = 1000;
    c->r.draining = take_below(in, 16) == 1;
}

static size_t make_hello(struct conversation *c, struct input *in, struct mp_writer *w)
{
    struct wire_frame f = {.type = WIRE_HELLO, .rid = take(in, 1)};
    unsigned how = take_below(in, 8);
    unsigned key = take_below(in, 4);
    take_fill(in, f.nonce.b, 4);
    f.has_device = f.has_sig = how != 0;
    if (f.has_device) {
        uint8_t message[MESSAGE_BYTES_MAX];
        struct hash nonce = c->nonce;
        f.device = known_pub(key);
        nonce.b[5] ^= how == 1; /* an answer to another challenge */
        size_t size =
            hello_message(message, &c->r.federation, how == 2 ? "other" : c->r.hub,
                          &nonce, &f.nonce, &f.device);
        f.sig = key_sign(known_key(how == 3 ? key + 1 : key),
                         how == 4 ? CTX_WELCOME : CTX_HELLO, message, size);
    }
    f.note_count = take_below(in, 3);
    wire_put(w, &f);
    for (size_t i = 0; i < f.note_count; i++)
        wire_put_note(w, bytes_of("note", 4));
    return w->size;
}

/* A frame a client may send when open, with fields from the input. */
static void make_frame(struct input *in, struct mp_writer *w)
{
    static const uint64_t types[] = {WIRE_SUBMIT,     WIRE_SUBSCRIBE,  WIRE_UNSUBSCRIBE,
                                     WIRE_FETCH,      WIRE_PROOF,      WIRE_CHECKPOINT,
                                     WIRE_HEAD,       WIRE_LIMITS,     WIRE_SETTLEMENT,
                                     WIRE_SEALED_PUT, WIRE_SEALED_GET, WIRE_COSIGNED,
                                     WIRE_OK};
    struct wire_frame f = {.type = types[take_below(in, 13)], .rid = take(in, 2)};
    f.key.what = f.type == WIRE_FETCH ? take_below(in, 3) : take_below(in, 2);
    f.key.slot = f.slot = take(in, 1);
    f.from = take(in, 1);
    f.max = take(in, 1);
    f.kind = take_below(in, 2);
    f.salt.b[0] = f.id.b[0] = f.key.id.b[0] = (uint8_t)take(in, 1);
    f.data = take_bytes(in, take_below(in, 8));
    if (f.type == WIRE_SUBMIT)
        f.count = take_below(in, 64);
    wire_put(w, &f);
    for (size_t i = 0; i < f.count && f.type == WIRE_SUBMIT; i++)
        wire_put_envelope(w, bytes_of("entry", i % 6));
}

static bool is_good_hello(const struct conversation *c, const struct wire_frame *f)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    if (f->type != WIRE_HELLO)
        return false;
    if (!f->has_device)
        return true;
    size_t size = hello_message(message, &c->r.federation, c->r.hub, &c->nonce, &f->nonce,
                                &f->device);
    return known_secret(&f->device) != NULL &&
           other_verify(&f->sig, &f->device, CTX_HELLO, message, size);
}

/* All that ever had tokens is at most the burst and what time gave since. */
static void check_rate(const struct conversation *c)
{
    uint64_t rate = c->r.limits.entries_a_second;
    if (rate == 0)
        return;
    uwide given = (uwide)rate * (c->now_ms - c->began_ms);
    PROPERTY((uwide)c->taken * 1000 <= given + c->r.limits.burst * 1000);
}

static void check_submit(struct conversation *c, const struct wire_frame *f,
                         const struct session_step *step)
{
    PROPERTY(f->type == WIRE_SUBMIT && step->take <= f->count);
    PROPERTY(f->count <= c->r.limits.entries_a_frame);
    PROPERTY(!c->r.draining || (step->take == 0 && step->code == ERR_DRAINING));
    PROPERTY(c->r.draining || c->r.limits.entries_a_second > 0 || step->take == f->count);
    PROPERTY(step->take == f->count || step->retry_after_ms > 0);
    c->inflight += step->take;
    c->taken += step->take;
    check_rate(c);
}

static void check_step(struct conversation *c, const struct wire_frame *f,
                       const struct session_step *step)
{
    bool was_open = c->welcomed && !c->ended;
    PROPERTY(step->rid == f->rid);
    if (c->ended) {
        PROPERTY(step->act == SESSION_NOTHING);
        return;
    }
    if (!was_open) {
        bool good = !c->hello_good && is_good_hello(c, f);
        PROPERTY((step->act == SESSION_CHECK || step->act == SESSION_WELCOME) == good);
        PROPERTY(good || step->act == SESSION_END);
        PROPERTY(!good || (step->act == SESSION_CHECK) == (f->note_count > 0));
        c->hello_good |= good;
        if (step->act == SESSION_WELCOME) {
            session_welcome(&c->s);
            c->welcomed = true;
        }
    } else {
        PROPERTY(step->act != SESSION_CHECK && step->act != SESSION_WELCOME);
        PROPERTY(step->act != SESSION_NOTHING);
    }
    if (step->act == SESSION_END) {
        PROPERTY(step->code == ERR_FRAME || step->code == ERR_HELLO);
        c->ended = true;
    }
    if (step->act == SESSION_SUBMIT)
        check_submit(c, f, step);
    if (step->act == SESSION_READ || step->act == SESSION_ASK)
        c->reads++;
    if (step->act == SESSION_SUBSCRIBE) {
        PROPERTY(c->subscribed < c->r.limits.subscriptions);
        c->s.subscribed++; /* the driver counts them */
        c->subscribed++;
    }
    if (step->act == SESSION_ERROR)
        PROPERTY(step->code == ERR_LIMIT || step->code == ERR_RANGE);
}

static void frame(struct conversation *c, struct input *in, unsigned op)
{
    struct mp_writer w = mp_writer_of(room, sizeof room);
    size_t size;
    struct wire_frame f;
    struct session_step step;
    if (op == 0) {
        struct bytes raw = take_bytes(in, take(in, 1));
        memcpy(room, raw.data ? raw.data : room, raw.size);
        size = raw.size;
    } else if (op == 1) {
        size = make_hello(c, in, &w);
    } else {
        make_frame(in, &w);
        size = w.size;
    }
    PROPERTY(!w.full);
    if (size > 0 && take_below(in, 16) == 15)
        room[take(in, 2) % size] ^= (uint8_t)(1u << take_below(in, 8));
    PROPERTY(session_frame_max(&c->s, &c->r) <= WIRE_FRAME_MAX);
    if (!session_wants_input(&c->s, &c->r) || size > session_frame_max(&c->s, &c->r))
        return; /* the driver does not read now */
    session_heard(&c->s, c->now_ms);
    if (wire_decode(&f, room, size) != ERR_OK)
        return;
    session_frame(&c->s, &c->r, &f, c->now_ms, &step);
    check_step(c, &f, &step);
}

static void tick(struct conversation *c, struct input *in)
{
    c->now_ms += take(in, 2) >> take_below(in, 16);
    uint64_t unsent = take_below(in, 3);
    uint64_t silent = c->now_ms - c->s.heard_ms;
    enum session_tick t = session_tick(&c->s, &c->r, unsent, c->now_ms);
    if (!c->welcomed || c->ended) {
        /* one who was told to end has that long again since he last took something */
        uint64_t since = c->s.phase == SESSION_ENDED ? c->s.progress_ms : c->began_ms;
        PROPERTY(since >= c->began_ms);
        PROPERTY((t == SESSION_TICK_LATE) == (c->now_ms - since > c->r.handshake_ms));
        return;
    }
    PROPERTY(t != SESSION_TICK_SLOW || unsent > 0);
    PROPERTY(t != SESSION_TICK_LATE || silent > c->r.limits.idle_ms);
    PROPERTY(t != SESSION_TICK_PING || silent > c->r.ping_ms);
    PROPERTY(silent <= c->r.limits.idle_ms || t != SESSION_TICK_NOTHING);
}

static void step(struct conversation *c, struct input *in)
{
    unsigned op = take_below(in, 9);
    switch (op) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
        frame(c, in, op);
        break;
    case 5:
        tick(c, in);
        break;
    case 6: {
        uint64_t n = c->inflight ? take(in, 1) % (c->inflight + 1) : 0;
        session_answered(&c->s, (uint32_t)n);
        c->inflight -= n;
        break;
    }
    case 7:
        if (c->reads > 0) {
            session_read_done(&c->s);
            c->reads--;
        }
        break;
    default:
        session_progress(&c->s, c->now_ms);
        if (c->hello_good && !c->welcomed && !c->ended) {
            session_welcome(&c->s);
            c->welcomed = true;
        }
    }
    PROPERTY(c->s.inflight == c->inflight && c->s.reads == c->reads);
    PROPERTY(c->inflight < c->r.limits.inflight_entries + c->r.limits.entries_a_frame);
    PROPERTY(c->reads <= SESSION_READS_MAX);
    PROPERTY(!c->s.has_device || known_secret(&c->s.device) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct conversation c;
    struct input in = input_of(data, size);
    memset(&c, 0, sizeof c);
    for (unsigned i = 0; i < 5; i++)
        (void)known_key(i);
    make_rules(&c, &in);
    take_fill(&in, c.nonce.b, 2);
    c.began_ms = c.now_ms = 1000;
    session_begin(&c.s, &c.r, &c.nonce, c.now_ms);
    for (unsigned i = 0; i < STEPS_MAX && in.left > 0; i++)
        step(&c, &in);
    return 0;
}
