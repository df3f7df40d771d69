/* A device's connection: it dials, says who it is, and believes only what is signed. */
#include <string.h>

#include "crypto/context.h"
#include "town.h"

static uint8_t room[65536];

static void send_frame(struct world *w, struct peer *p, const struct mp_writer *m,
                       bool fragile)
{
    if (m->full)
        fail(w, "a frame of %s is too long", p->actor.name);
    world_send(w, p->actor.id, p->site->actor.id, MSG_FRAME, p->line, room, m->size,
               fragile);
}

void peer_dial(struct world *w, struct peer *p)
{
    p->line = ++town_of(w)->next_line;
    p->line_state = LINE_DIALED;
    p->line_since = p->heard_ms = w->now_ms;
    world_send(w, p->actor.id, p->site->actor.id, MSG_DIAL, p->line, NULL, 0, true);
}

void peer_hang_up(struct world *w, struct peer *p)
{
    if (p->line_state == LINE_DOWN)
        return;
    world_send(w, p->actor.id, p->site->actor.id, MSG_HANGUP, p->line, NULL, 0, true);
    p->line_state = LINE_DOWN;
    p->dial_at = w->now_ms + 50 + draw(w, 1500);
}

void peer_ask_head(struct world *w, struct peer *p)
{
    struct wire_frame f = {.type = WIRE_HEAD,
                           .rid = ++p->rid,
                           .id = town_of(w)->groups[p->group].id,
                           .has_device = true,
                           .device = pub_at(p->key)};
    struct mp_writer m = mp_writer_of(room, sizeof room);
    wire_put(&m, &f);
    send_frame(w, p, &m, false);
}

static void on_challenge(struct world *w, struct peer *p, const struct wire_frame *c)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    struct pubkey device = pub_at(p->key);
    if (p->line_state != LINE_DIALED)
        return;
    p->line_state = LINE_HELLO;
    p->nonce = kit_hash(rng_next(&w->rng));
    size_t size = hello_message(message, &c->federation, p->site->name, &c->nonce,
                                &p->nonce, &device);
    struct wire_frame f = {.type = WIRE_HELLO,
                           .rid = ++p->rid,
                           .nonce = p->nonce,
                           .has_device = true,
                           .device = device,
                           .has_sig = true,
                           .sig = key_sign(key_at(p->key), CTX_HELLO, message, size),
                           .note_count = p->note_size > 0};
    if (w->options.plant == PLANT_NONE && draw(w, 100) == 0 && !w->calm)
        f.sig.b[0] ^= 1; /* a bad answer to the challenge */
    struct mp_writer m = mp_writer_of(room, sizeof room);
    wire_put(&m, &f);
    if (p->note_size > 0)
        wire_put_note(&m, bytes_of(p->note, p->note_size));
    send_frame(w, p, &m, true);
}

static const struct checkpoint *see_note(struct world *w, struct peer *p, uint64_t slot,
                                         struct bytes note)
{
    p->note_size = note.size;
    memcpy(p->note, note.data, note.size);
    return site_note(w, p->site, p->actor.name, slot, note);
}

static void on_welcome(struct world *w, struct peer *p, struct wire_frame *f)
{
    if (p->line_state != LINE_HELLO)
        return;
    p->line_state = LINE_OPEN;
    p->resend_at = 0;
    p->asked_at = 0;
    if (!f->has_sig || !f->has_device)
        fail(w, "%s is welcomed without a signature", p->actor.name);
    for (size_t i = 0; i < f->note_count; i++) {
        struct bytes note;
        wire_next_note(&f->notes, &note);
        see_note(w, p, i, note);
    }
}

static void on_results(struct world *w, struct peer *p, struct wire_frame *f)
{
    static struct checkpoint at[SLOTS_MAX];
    bool has[SLOTS_MAX] = {false};
    for (size_t i = 0; i < f->note_count; i++) {
        uint64_t slot;
        struct bytes note;
        wire_next_slot_note(&f->notes, &slot, &note);
        at[slot] = *see_note(w, p, slot, note);
        has[slot] = true;
    }
    for (size_t i = 0; i < f->count; i++) {
        struct wire_result r;
        wire_next_result(&f->list, &r);
        if (r.code == 0 && !has[r.slot])
            fail(w, "%s gets a receipt without its checkpoint", p->actor.name);
        peer_result(w, p, &r, r.code == 0 ? &at[r.slot] : NULL);
    }
}

static void on_head(struct world *w, struct peer *p, const struct wire_frame *f)
{
    if (!p->must_ask)
        return;
    p->must_ask = false;
    p->now.window_count = 0; /* what it had sent is in the log under the head, or lost */
    if (!f->has_chain) {
        say(w, "%s hears that it may not write", p->actor.name);
        p->state = PEER_DEAD;
        return;
    }
    p->now.chain = (struct chain){
        .next_seq = f->next_seq, .tip = f->tip, .tip_lamport = f->tip_lamport};
    say(w, "%s goes on at seq %llu", p->actor.name, (unsigned long long)f->next_seq);
}

void peer_message(struct world *w, struct actor *a, const struct message *m)
{
    static struct wire_frame f;
    struct peer *p = (struct peer *)(void *)a;
    if (p->line_state == LINE_DOWN || m->line != p->line)
        return;
    if (m->what == MSG_HANGUP) {
        p->line_state = LINE_DOWN;
        p->dial_at = w->now_ms + 100 + draw(w, 2000);
        return;
    }
    if (wire_decode(&f, m->bytes, m->size) != ERR_OK)
        fail(w, "a hub sends a frame that does not decode");
    p->heard_ms = w->now_ms;
    if (f.type == WIRE_CHALLENGE)
        on_challenge(w, p, &f);
    else if (f.type == WIRE_WELCOME)
        on_welcome(w, p, &f);
    else if (f.type == WIRE_RESULTS)
        on_results(w, p, &f);
    else if (f.type == WIRE_HEAD_IS)
        on_head(w, p, &f);
}
