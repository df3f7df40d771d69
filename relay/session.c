#include "relay/session.h"

#include <assert.h>

void session_begin(struct session *s, const struct session_rules *r,
                   const struct hash *nonce, uint64_t now_ms)
{
    *s = (struct session){.phase = SESSION_GREETED, .nonce = *nonce};
    s->own = (struct bucket){
        .tokens = (int64_t)r->limits.burst * 1000, .at_ms = now_ms, .begun = true};
    s->began_ms = s->heard_ms = s->progress_ms = now_ms;
}

uint64_t session_frame_max(const struct session *s, const struct session_rules *r)
{
    if (s->phase == SESSION_OPEN && s->peer)
        return WIRE_FRAME_MAX;
    if (s->phase == SESSION_OPEN || r->limits.frame_bytes < SESSION_HELLO_BYTES_MAX)
        return r->limits.frame_bytes;
    return SESSION_HELLO_BYTES_MAX;
}

void session_end(struct session *s, uint64_t now_ms)
{
    if (s->phase == SESSION_ENDED)
        return;
    s->phase = SESSION_ENDED;
    s->progress_ms = now_ms;
}

static void end(struct session *s, struct session_step *step, enum err code,
                uint64_t now_ms)
{
    session_end(s, now_ms);
    step->act = SESSION_END;
    step->code = code;
}

static void refuse(struct session_step *step, enum err code, uint64_t retry_after_ms)
{
    step->act = SESSION_ERROR;
    step->code = code;
    step->retry_after_ms = retry_after_ms;
}

/* Another relay of this hub: it signs with the key that all of them hold, under a context
 * of its own, so that no device and no hub can be made to sign it by accident. Both sides
 * then derive the key that frames it forwards are authenticated with. */
static bool is_peer(struct session *s, const struct session_rules *r,
                    const struct wire_frame *f, const uint8_t *message, size_t size)
{
    if (!r->relay || !pubkey_equal(&f->device, &r->relay_public) ||
        !sig_verify(&f->sig, &f->device, CTX_PEER, message, size))
        return false;
    s->mac = mac_key_shared(r->relay, CTX_PEER_MAC, message, size);
    s->peer = s->mac != NULL;
    return s->peer;
}

static void on_hello(struct session *s, const struct session_rules *r,
                     const struct wire_frame *f, uint64_t now_ms,
                     struct session_step *step)
{
    if (f->has_device) {
        uint8_t message[MESSAGE_BYTES_MAX];
        size_t size = hello_message(message, &r->federation, r->hub, &s->nonce, &f->nonce,
                                    &f->device);
        if (!f->has_sig || !sig_key_enrollable(&f->device) ||
            (!is_peer(s, r, f, message, size) &&
             !sig_verify(&f->sig, &f->device, CTX_HELLO, message, size))) {
            end(s, step, ERR_HELLO, now_ms);
            return;
        }
        s->has_device = !s->peer;
        s->device = f->device;
    }
    s->client_nonce = f->nonce;
    s->hello_rid = f->rid;
    s->phase = SESSION_CHECKING;
    step->act = f->note_count > 0 ? SESSION_CHECK : SESSION_WELCOME;
}

void session_welcome(struct session *s)
{
    assert(s->phase == SESSION_CHECKING);
    s->phase = SESSION_OPEN;
}

/* Tokens for how many of `count` entries: its device's and its address's. */
static uint64_t take_tokens(struct session *s, const struct session_rules *r,
                            uint64_t count, uint64_t now_ms, struct session_step *step)
{
    const struct rate_limit device = {r->limits.entries_a_second, r->limits.burst};
    struct bucket *of_device = s->device_bucket ? s->device_bucket : &s->own;
    uint64_t wait_ms;
    uint64_t take = bucket_take(of_device, &device, count, now_ms, &step->retry_after_ms);
    if (!s->address_bucket)
        return take;
    uint64_t both = bucket_take(s->address_bucket, &r->address, take, now_ms, &wait_ms);
    if (both == take)
        return take;
    bucket_give(of_device, &device, take - both);
    step->address = true;
    if (wait_ms > step->retry_after_ms)
        step->retry_after_ms = wait_ms;
    return both;
}

static void on_submit(struct session *s, const struct session_rules *r,
                      const struct wire_frame *f, uint64_t now_ms,
                      struct session_step *step)
{
    if (f->count > r->limits.entries_a_frame) {
        refuse(step, ERR_LIMIT, 0);
        return;
    }
    step->act = SESSION_SUBMIT;
    if (r->draining) {
        step->code = ERR_DRAINING;
        step->retry_after_ms = r->stalled_ms;
        step->take = 0;
    } else {
        step->code = ERR_POLICY_RATE;
        step->take = take_tokens(s, r, f->count, now_ms, step);
    }
    s->inflight += (uint32_t)step->take;
}

static void on_subscribe(struct session *s, const struct session_rules *r,
                         const struct wire_frame *f, struct session_step *step)
{
    if (f->key.what == WIRE_SLOT ? f->key.slot >= r->slots : f->key.what != WIRE_ACCOUNT)
        refuse(step, ERR_RANGE, 0);
    else if (f->type == WIRE_SUBSCRIBE && s->subscribed >= r->limits.subscriptions)
        refuse(step, ERR_LIMIT, 0);
    else
        step->act = f->type == WIRE_SUBSCRIBE ? SESSION_SUBSCRIBE : SESSION_UNSUBSCRIBE;
}

/* A peer says nothing but FORWARD, numbered by their order on the connection. */
static void on_peer_frame(struct session *s, const struct wire_frame *f, uint64_t now_ms,
                          struct session_step *step)
{
    if (f->type == WIRE_FORWARD) {
        struct hash_part parts[FORWARD_PARTS];
        forward_parts(parts, f);
        if (mac_check(s->mac, s->forwards++, parts, FORWARD_PARTS, &f->id)) {
            step->act = SESSION_FORWARD;
            return;
        }
    }
    end(s, step, ERR_FRAME, now_ms);
}

void session_forwarded(struct session *s, const struct wire_frame *f, enum err e,
                       uint64_t now_ms, struct session_step *step)
{
    *step = (struct session_step){.act = SESSION_NOTHING, .rid = f->rid};
    assert(s->peer && s->phase == SESSION_OPEN);
    if (e == ERR_OK && f->type == WIRE_SUBMIT) {
        /* The door's limits were applied where the client stands; a relay that drains
         * takes what it still owns. */
        step->act = SESSION_SUBMIT;
        step->take = f->count;
        s->inflight += (uint32_t)f->count;
    } else if (e == ERR_OK && (f->type == WIRE_HEAD || f->type == WIRE_SETTLEMENT)) {
        step->act = SESSION_ASK;
        s->reads++;
    } else {
        end(s, step, ERR_FRAME, now_ms);
    }
}

void session_close(struct session *s)
{
    mac_key_free(s->mac);
    s->mac = NULL;
}

void session_frame(struct session *s, const struct session_rules *r,
                   const struct wire_frame *f, uint64_t now_ms, struct session_step *step)
{
    *step = (struct session_step){.act = SESSION_NOTHING, .rid = f->rid};
    if (s->phase == SESSION_ENDED)
        return;
    if (s->phase != SESSION_OPEN) {
        if (s->phase == SESSION_GREETED && f->type == WIRE_HELLO)
            on_hello(s, r, f, now_ms, step);
        else
            end(s, step, ERR_FRAME, now_ms);
        return;
    }
    if (s->peer) {
        on_peer_frame(s, f, now_ms, step);
        return;
    }
    switch (f->type) {
    case WIRE_SUBMIT:
        on_submit(s, r, f, now_ms, step);
        return;
    case WIRE_SUBSCRIBE:
    case WIRE_UNSUBSCRIBE:
        on_subscribe(s, r, f, step);
        return;
    case WIRE_FETCH:
    case WIRE_PROOF:
    case WIRE_CHECKPOINT:
    case WIRE_COSIGNED:
    case WIRE_SEALED_GET:
    case WIRE_SEALED_PUT:
        s->reads++;
        step->act = SESSION_READ;
        return;
    case WIRE_HEAD:
    case WIRE_SETTLEMENT:
        s->reads++;
        step->act = SESSION_ASK;
        return;
    case WIRE_LIMITS:
        step->act = SESSION_LIMITS;
        return;
    default: /* a hub's frame, or a second HELLO */
        end(s, step, ERR_FRAME, now_ms);
    }
}

bool session_wants_input(const struct session *s, const struct session_rules *r)
{
    uint64_t entries = s->peer ? SESSION_PEER_ENTRIES_MAX : r->limits.inflight_entries;
    unsigned reads = s->peer ? SESSION_PEER_READS_MAX : SESSION_READS_MAX;
    return s->inflight < entries && s->reads < reads && s->phase != SESSION_CHECKING;
}

void session_answered(struct session *s, uint32_t entries)
{
    assert(s->inflight >= entries);
    s->inflight -= entries;
}

void session_read_done(struct session *s)
{
    assert(s->reads > 0);
    s->reads--;
}

enum session_tick session_tick(struct session *s, const struct session_rules *r,
                               uint64_t unsent_bytes, uint64_t now_ms)
{
    if (s->phase != SESSION_OPEN) {
        uint64_t since = s->phase == SESSION_ENDED ? s->progress_ms : s->began_ms;
        return now_ms - since > r->handshake_ms ? SESSION_TICK_LATE
                                                : SESSION_TICK_NOTHING;
    }
    if (unsent_bytes == 0)
        s->progress_ms = now_ms;
    else if (now_ms - s->progress_ms > r->stalled_ms)
        return SESSION_TICK_SLOW;
    uint64_t silent = now_ms > s->heard_ms ? now_ms - s->heard_ms : 0;
    if (silent > r->limits.idle_ms)
        return SESSION_TICK_LATE;
    if (silent > r->ping_ms && !s->pinged) {
        s->pinged = true;
        return SESSION_TICK_PING;
    }
    return SESSION_TICK_NOTHING;
}

void session_heard(struct session *s, uint64_t now_ms)
{
    s->heard_ms = now_ms;
    s->pinged = false;
}

void session_progress(struct session *s, uint64_t now_ms)
{
    s->progress_ms = now_ms;
}
