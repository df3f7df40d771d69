/* Another relay of the hub, as a session: it is known only by the relay key under the peers'
 * context and only where there are peers; of what it says just the frames are taken that carry
 * the mac of their place in the conversation, once each, and of those just what an owner alone
 * can answer; anything else ends it. First byte: how it says HELLO; then steps, an op byte and
 * its choices. */
#include <string.h>

#include "crypto/context.h"
#include "crypto/mac.h"
#include "fuzz.h"
#include "input.h"
#include "other.h"
#include "relay/session.h"

#define RELAY_KEY 9u
#define FRAME_ROOM 8192u
#define STEPS_MAX 200u

static struct talk {
    struct session s;
    struct session_rules r;
    struct mac_key *mac;
    uint64_t said; /* frames with a mac so far */
    uint64_t now, entries, reads;
    bool over;
} t;
static uint8_t inner[FRAME_ROOM], outer[FRAME_ROOM];

/* Frames as a client may have sent them, and others. */
static size_t make_inner(struct input *in)
{
    static const uint64_t types[] = {WIRE_SUBMIT,  WIRE_SUBMIT,    WIRE_HEAD,
                                     WIRE_SETTLEMENT, WIRE_FETCH,  WIRE_SUBSCRIBE,
                                     WIRE_SEALED_PUT, WIRE_LIMITS, WIRE_OK};
    unsigned what = take_below(in, 10);
    struct mp_writer w = mp_writer_of(inner, sizeof(inner) / 2);
    if (what == 9) {
        struct bytes raw = take_bytes(in, take(in, 1));
        if (raw.size > 0)
            memcpy(inner, raw.data, raw.size);
        return raw.size;
    }
    struct wire_frame f = {.type = types[what], .rid = take(in, 1)};
    f.key.slot = take_below(in, 4);
    f.count = f.type == WIRE_SUBMIT ? take_below(in, 64) : 0;
    wire_put(&w, &f);
    for (size_t i = 0; i < f.count; i++)
        wire_put_envelope(&w, bytes_of("entry", i % 6));
    PROPERTY(!w.full);
    return w.size;
}

/* What it carried: only what an owner alone can answer. */
static void forwarded(const struct wire_frame *outside)
{
    struct wire_frame f = {0};
    struct session_step step;
    enum err e = wire_decode(&f, outside->data.data, outside->data.size);
    bool ask = f.type == WIRE_HEAD || f.type == WIRE_SETTLEMENT;
    session_forwarded(&t.s, &f, e, t.now, &step);
    if (e == ERR_OK && f.type == WIRE_SUBMIT) {
        PROPERTY(step.act == SESSION_SUBMIT && step.take == f.count && step.rid == f.rid);
        t.entries += f.count;
    } else if (e == ERR_OK && ask) {
        PROPERTY(step.act == SESSION_ASK && step.rid == f.rid);
        t.reads++;
    } else {
        PROPERTY(step.act == SESSION_END && step.code == ERR_FRAME);
        t.over = true;
    }
}

static void say(size_t size, bool right)
{
    struct wire_frame f;
    struct session_step step;
    if (!session_wants_input(&t.s, &t.r) || size > session_frame_max(&t.s, &t.r))
        return;
    uint8_t *exact = malloc(size ? size : 1);
    PROPERTY(exact != NULL);
    memcpy(exact, outer, size);
    if (wire_decode(&f, exact, size) == ERR_OK) {
        bool was_over = t.over;
        session_frame(&t.s, &t.r, &f, t.now, &step);
        PROPERTY((step.act == SESSION_FORWARD) == (right && !was_over));
        PROPERTY(right || step.act == (was_over ? SESSION_NOTHING : SESSION_END));
        t.over |= step.act == SESSION_END;
        if (step.act == SESSION_FORWARD) {
            t.said++;
            forwarded(&f);
        }
    } else {
        PROPERTY(!right);
    }
    free(exact);
}

/* FORWARD with the mac of some place, changed or not. */
static void say_forward(struct input *in)
{
    size_t size = make_inner(in);
    unsigned flags = take_below(in, 64);
    struct wire_frame f = {.type = WIRE_FORWARD, .data = bytes_of(inner, size)};
    struct hash_part parts[FORWARD_PARTS];
    struct mp_writer w = mp_writer_of(outer, sizeof(outer));
    f.has_device = flags & 1;
    if (f.has_device)
        f.device = known_pub(take_below(in, 4));
    uint64_t number = (flags & 6) == 2 ? take(in, 1) : t.said;
    forward_parts(parts, &f);
    f.id = mac_make(t.mac, number, parts, FORWARD_PARTS);
    wire_put(&w, &f);
    PROPERTY(!w.full);
    bool changed = (flags & 24) == 8;
    if (changed)
        outer[take(in, 2) % w.size] ^= (uint8_t)(1u << take_below(in, 8));
    say(w.size, number == t.said && !changed);
}

static void step(struct input *in)
{
    struct mp_writer w = mp_writer_of(outer, sizeof(outer));
    uint64_t n;
    switch (take_below(in, 8)) {
    case 0: { /* a client's or an owner's frame, or bytes */
        size_t size = make_inner(in);
        memcpy(outer, inner, size);
        say(size, false);
        break;
    }
    case 1: /* HELLO once more */
        wire_put(&w, &(struct wire_frame){.type = WIRE_HELLO, .rid = 1});
        say(w.size, false);
        break;
    case 2:
        n = t.entries ? take(in, 2) % (t.entries + 1) : 0;
        session_answered(&t.s, (uint32_t)n);
        t.entries -= n;
        break;
    case 3:
        if (t.reads > 0) {
            session_read_done(&t.s);
            t.reads--;
        }
        break;
    case 4:
        t.now += take(in, 1);
        session_heard(&t.s, t.now);
        break;
    default:
        say_forward(in);
    }
    PROPERTY(t.s.inflight == t.entries && t.s.reads == t.reads && !t.s.has_device);
}

/* True: it is a peer now. */
static bool greet(struct input *in)
{
    unsigned how = take_below(in, 8), key = how == 1 ? 3 : RELAY_KEY;
    const char *context = how == 2 ? CTX_HELLO : how == 3 ? CTX_PEER_MAC : CTX_PEER;
    struct hash nonce = {{7}}, asked = nonce;
    struct wire_frame f = {.type = WIRE_HELLO, .rid = 1, .has_device = true, .has_sig = true};
    uint8_t message[MESSAGE_BYTES_MAX];
    struct session_step step;
    asked.b[3] ^= how == 4;
    take_fill(in, f.nonce.b, 4);
    f.device = known_pub(how == 5 ? 3 : RELAY_KEY); /* 5: another's name under it */
    size_t size = hello_message(message, &t.r.federation, how == 6 ? "other" : t.r.hub, &asked,
                                &f.nonce, &f.device);
    f.sig = key_sign(known_key(key), context, message, size);
    t.r.relay = how == 7 ? NULL : known_key(RELAY_KEY);
    t.r.relay_public = known_pub(RELAY_KEY);
    session_begin(&t.s, &t.r, &nonce, t.now);
    session_frame(&t.s, &t.r, &f, t.now, &step);
    PROPERTY(t.s.peer == (how == 0));
    PROPERTY(step.act == (how == 0 || how == 2 ? SESSION_WELCOME : SESSION_END));
    PROPERTY(t.s.has_device == (how == 2)); /* the same key may be a device's, as any */
    if (how == 0) {
        t.mac = mac_key_shared(known_key(RELAY_KEY), CTX_PEER_MAC, message, size);
        PROPERTY(t.mac != NULL);
        session_welcome(&t.s);
    }
    return how == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = input_of(data, size);
    memset(&t, 0, sizeof(t));
    t.now = 1000;
    t.r = (struct session_rules){.hub = "local", .slots = 4, .handshake_ms = 100};
    t.r.limits = (struct wire_limits){.frame_bytes = FRAME_ROOM,
                                      .entries_a_frame = 8, /* not a peer's limit */
                                      .inflight_entries = 8,
                                      .idle_ms = 1000};
    if (greet(&in))
        for (unsigned i = 0; i < STEPS_MAX && in.left > 0; i++)
            step(&in);
    session_close(&t.s);
    mac_key_free(t.mac);
    return 0;
}
