/* A hub's connections: frames in, the session core's decisions, entries to the sequencer,
 * results out. Everything that goes out is held against the books first. */
#include <stdlib.h>
#include <string.h>

#include "crypto/context.h"
#include "town.h"

#define FRAME_ROOM (1u << 20)
#define RESULTS_IN_A_FRAME 32
#define BUSY_RETRY_MS 50

static uint8_t room[FRAME_ROOM];

/* An answer on its way, on a connection that is as it is. */
static void put_on_line(struct world *w, const struct site *s, uint32_t actor,
                        uint32_t what, const void *bytes, size_t size, bool fragile)
{
    struct line *l = &s->lines[actor];
    if (!l->is_stream) {
        world_send(w, s->actor.id, actor, what, l->number, bytes, size, fragile);
        return;
    }
    if (reads_slow(l) && l->out.at_ms < l->slow_until)
        l->out.at_ms = l->slow_until;
    world_stream(w, &l->out, s->actor.id, actor, what, l->number, bytes, size);
}

void door_send(struct world *w, struct site *s, struct line *l, const void *bytes,
               size_t size)
{
    put_on_line(w, s, (uint32_t)(l - s->lines), MSG_FRAME, bytes, size, false);
}

static void send_bytes(struct world *w, const struct site *s, uint32_t actor,
                       const struct mp_writer *m, bool fragile)
{
    if (m->full)
        fail(w, "a frame is too long");
    put_on_line(w, s, actor, MSG_FRAME, room, m->size, fragile);
}

static void send_frame(struct world *w, const struct site *s, uint32_t actor,
                       const struct wire_frame *f, bool fragile)
{
    struct mp_writer m = mp_writer_of(room, sizeof room);
    wire_put(&m, f);
    send_bytes(w, s, actor, &m, fragile);
}

static void hang_up(struct world *w, struct site *s, uint32_t actor)
{
    struct line *l = &s->lines[actor];
    reads_hung_up(s, l);
    l->up = false;
    put_on_line(w, s, actor, MSG_HANGUP, NULL, 0, true);
}

static void send_error(struct world *w, const struct site *s, uint32_t actor,
                       uint64_t rid, enum err code, uint64_t retry_after_ms)
{
    const char *text = err_text(code);
    send_frame(w, s, actor,
               &(struct wire_frame){.type = WIRE_ERROR,
                                    .rid = rid,
                                    .code = code,
                                    .text = bytes_of(text, strlen(text)),
                                    .retry_after_ms = retry_after_ms},
               false);
}

void door_close(struct world *w, struct site *s)
{
    for (uint32_t i = 0; i < w->actor_count; i++) {
        if (s->lines[i].up && (s->lines[i].is_stream || draw(w, 2) == 0))
            hang_up(w, s, i); /* else the others find out by themselves */
        if (s->lines[i].up)
            reads_hung_up(s, &s->lines[i]);
        s->lines[i].up = false;
        s->lines[i].head_asked = false;
    }
    reads_stop(s);
    for (size_t i = 0; i < s->door_count; i++)
        free(s->door[i].bytes);
    s->door_count = s->answer_count = 0;
    s->token_count = 0;
}

void door_tick(struct world *w, struct site *s)
{
    for (uint32_t i = 0; i < w->actor_count; i++) {
        struct line *l = &s->lines[i];
        size_t unsent = l->up ? reads_unsent(l) : 0;
        enum session_tick tick =
            l->up ? session_tick(l->session, &s->rules, unsent, w->now_ms)
                  : SESSION_TICK_NOTHING;
        if (tick == SESSION_TICK_LATE)
            hang_up(w, s, i);
        else if (tick == SESSION_TICK_SLOW)
            door_bye(w, s, l, ERR_SLOW);
        else if (l->up)
            reads_tick(s, l);
    }
}

void door_bye(struct world *w, struct site *s, struct line *l, enum err code)
{
    uint32_t actor = (uint32_t)(l - s->lines);
    const char *text = err_text(code);
    say(w, "%s says goodbye to %s: %s", s->actor.name, w->actors[actor]->name,
        err_word(code));
    send_frame(w, s, actor,
               &(struct wire_frame){
                   .type = WIRE_BYE, .code = code, .text = bytes_of(text, strlen(text))},
               false);
    hang_up(w, s, actor);
}

/* ---- answers ---- */

static struct due *add_answer(struct site *s, const struct token *t)
{
    if (s->answer_count == s->answer_cap) {
        s->answer_cap = s->answer_cap * 2 + 64;
        s->answers = realloc(s->answers, s->answer_cap * sizeof *s->answers);
        if (s->answers == NULL)
            abort();
    }
    struct due *a = &s->answers[s->answer_count++];
    *a =
        (struct due){.actor = t->actor, .line = t->line, .r = {.rid = t->rid, .i = t->i}};
    return a;
}

static void answered(struct site *s, const struct token *t)
{
    struct line *l = t->actor == NOBODY ? NULL : &s->lines[t->actor];
    if (l != NULL && l->up && t->counted && l->number == t->line)
        session_answered(l->session, 1);
}

static void accept(struct world *w, struct site *s, const struct token *t, uint32_t slot,
                   uint64_t index, bool duplicate)
{
    struct sim_entry *e = &town_of(w)->entries[t->entry];
    const char *why = model_check_ack(s->model, slot, index, &e->id);
    if (why != NULL)
        fail(w, "entry #%u: %s", t->entry, why);
    if (e->never != NULL)
        fail(w, "entry #%u is accepted: %s", t->entry, e->never);
    if (e->acked && (e->slot != slot || e->index != index))
        fail(w, "entry #%u is at two places", t->entry);
    w->stats.acked += !e->acked;
    w->stats.duplicates += duplicate;
    e->acked = true;
    e->slot = slot;
    e->index = index;
    answered(s, t);
    if (t->actor == NOBODY)
        return;
    const struct record *r = &s->hub.disk->slot[slot].records[index].r;
    reads_accepted(s, t->line << 32 | t->actor, t->wants_settled, t->entry, duplicate);
    struct due *a = add_answer(s, t);
    a->r.slot = slot;
    a->r.index = index;
    a->r.position = r->position;
    a->r.account_head = r->account_head;
    a->r.hub_lamport = r->hub_lamport;
    a->r.hub_time_ms = r->hub_time_ms;
    a->r.flags = duplicate ? WIRE_RESULT_DUPLICATE : 0;
}

/* A refusal is a promise too: the head it tells to build on is durable. */
static void check_head(struct world *w, const struct site *s, const struct refusal *r)
{
    for (uint32_t slot = 0; r->has_head && slot < s->hub.slots; slot++) {
        const struct disk_slot *d = &s->hub.disk->slot[slot];
        for (uint64_t i = d->size; i > 0; i--)
            if (hash_equal(&d->records[i - 1].id, &r->tip))
                return;
    }
    if (r->has_head)
        fail(w, "%s tells a head that is in no log", s->actor.name);
}

static void refuse(struct world *w, struct site *s, const struct token *t,
                   const struct refusal *r)
{
    check_head(w, s, r);
    unsigned code = (unsigned)r->code;
    if (code < 100 || code >= 100 + STATS_CODES)
        fail(w, "refused with %s, which is no refusal", err_word(r->code));
    w->stats.codes[code - 100]++;
    w->stats.refused++;
    if (t->actor != NOBODY || err_retry(r->code) != ERR_RETRY_SAME)
        say(w, "%s refuses #%d: %s", s->actor.name,
            t->entry == NOBODY ? -1 : (int)t->entry, err_word(r->code));
    answered(s, t);
    if (t->actor == NOBODY)
        return;
    struct due *a = add_answer(s, t);
    a->r.code = code;
    a->r.has_head = r->has_head;
    a->r.next_seq = r->next_seq;
    a->r.tip = r->tip;
    a->r.tip_lamport = r->tip_lamport;
    a->r.balance = r->balance;
    a->r.retry_after_ms = r->retry_after_ms;
    a->r.hub_time_ms = s->hub.now_ms;
    if (t->entry == NOBODY || code < 110 || code > 159)
        return;
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t size = refusal_message(message, &town_of(w)->entries[t->entry].id, code,
                                  a->r.hub_time_ms);
    a->r.has_sig = true;
    a->r.sig = key_sign(s->hub.config.relay, CTX_REFUSAL, message, size);
}

void door_result(struct world *w, struct site *s, const struct hub_result *r)
{
    const struct token t = s->tokens[r->token];
    if (r->accepted)
        accept(w, s, &t, r->slot, r->index, r->duplicate);
    else
        refuse(w, s, &t, &r->refusal);
}

static bool node_of(void *context, unsigned level, uint64_t n, struct hash *out)
{
    const struct disk_slot *d = context;
    *out = d->levels[level].nodes[n];
    return true;
}

static void put_result(struct world *w, struct site *s, struct mp_writer *m,
                       struct wire_result *r)
{
    struct hash path[MERKLE_PATH_MAX];
    size_t count = 0;
    if (r->code == 0) {
        struct disk_slot *d = &s->hub.disk->slot[r->slot];
        const struct merkle_source source = {node_of, d};
        if (!merkle_prove_inclusion(r->index, d->size, &source, path, &count))
            fail(w, "no path to an acknowledged entry");
        r->path = bytes_of(path, count * HASH_BYTES);
        if (w->options.plant == PLANT_RECEIPT && count > 2 && draw(w, 50) == 0)
            path[1].b[3] ^= 1;
    }
    wire_put_result(m, r);
}

/* Every note that leaves is one of the log's only history. */
static void put_note(struct world *w, struct site *s, struct mp_writer *m, uint32_t slot,
                     bool with_slot)
{
    const struct disk_slot *d = &s->hub.disk->slot[slot];
    struct bytes note = bytes_of(d->checkpoint, d->checkpoint_size);
    site_note(w, s, s->actor.name, slot, note);
    if (with_slot)
        wire_put_slot_note(m, slot, note);
    else
        wire_put_note(m, note);
}

/* The answers to one connection, in one frame. */
static void send_results(struct world *w, struct site *s, size_t first)
{
    struct wire_frame f = {.type = WIRE_RESULTS};
    bool slots[SLOTS_MAX] = {false};
    size_t mine[RESULTS_IN_A_FRAME], count = 0;
    const struct due key = s->answers[first];
    for (size_t i = first; i < s->answer_count && count < RESULTS_IN_A_FRAME; i++) {
        struct due *a = &s->answers[i];
        if (a->sent || a->actor != key.actor || a->line != key.line)
            continue;
        a->sent = true;
        mine[count++] = i;
        if (a->r.code == 0 && !slots[a->r.slot]) {
            slots[a->r.slot] = true;
            f.note_count++;
        }
    }
    const struct line *l = &s->lines[key.actor];
    if (!l->up || l->number != key.line || l->session->phase != SESSION_OPEN)
        return; /* nobody is there to hear it */
    struct mp_writer m = mp_writer_of(room, sizeof room);
    wire_put(&m, &f);
    for (uint32_t i = 0; i < s->hub.slots; i++)
        if (slots[i])
            put_note(w, s, &m, i, true);
    wire_put_list(&m, count);
    for (size_t i = 0; i < count; i++)
        put_result(w, s, &m, &s->answers[mine[i]].r);
    if (l->is_stream && s->reads != NULL && !m.full)
        reads_answer(s, l, room, m.size);
    else
        send_bytes(w, s, key.actor, &m, false);
}

static void answer_heads(struct world *w, struct site *s)
{
    for (uint32_t i = 0; i < w->actor_count; i++) {
        struct line *l = &s->lines[i];
        if (!l->head_asked || s->in_flight)
            continue;
        if (l->up) {
            struct slotlog *log = log_now(s, &l->head.id);
            struct account *a = account_now(s, &l->head.id);
            uint32_t slot = slot_of(&l->head.id, s->hub.slots);
            if (log != NULL && log->frontier.size != s->hub.disk->slot[slot].size)
                continue; /* wait for the commit */
            l->head_asked = false;
            session_read_done(l->session);
            if (a == NULL) {
                send_error(w, s, i, l->head.rid,
                           log == NULL ? ERR_UNAVAILABLE : ERR_ACCOUNT_UNKNOWN, 0);
                continue;
            }
            struct wire_frame f = {.type = WIRE_HEAD_IS,
                                   .rid = l->head.rid,
                                   .slot = slot,
                                   .position = a->position,
                                   .head = a->head,
                                   .balance = a->balance,
                                   .size = log->frontier.size,
                                   .has_sig = true};
            const struct chain *c = account_chain(a, &log->hub, &l->head.device);
            f.has_chain = c != NULL;
            if (c != NULL) {
                f.next_seq = c->next_seq;
                f.tip = c->tip;
                f.tip_lamport = c->tip_lamport;
            }
            w->stats.heads++;
            send_frame(w, s, i, &f, false);
        }
        l->head_asked = false;
    }
}

void door_flush(struct world *w, struct site *s)
{
    for (size_t i = 0; i < s->answer_count; i++)
        if (!s->answers[i].sent)
            send_results(w, s, i);
    s->answer_count = 0;
    answer_heads(w, s);
}

/* ---- entries ---- */

static uint64_t add_token(struct site *s, const struct waiting *v, uint32_t entry)
{
    if (s->token_count == s->token_cap) {
        s->token_cap = s->token_cap * 2 + 256;
        s->tokens = realloc(s->tokens, s->token_cap * sizeof *s->tokens);
        if (s->tokens == NULL)
            abort();
    }
    s->tokens[s->token_count] = (struct token){.actor = v->actor,
                                               .line = v->line,
                                               .rid = v->rid,
                                               .i = v->i,
                                               .entry = entry,
                                               .counted = true,
                                               .wants_settled = v->wants_settled};
    return s->token_count++;
}

static void look_up(struct world *w, struct site *s, const struct token *t,
                    const struct refusal *r)
{
    struct store_reader *reader;
    uint32_t slot;
    uint64_t index;
    if (s->hub.store->ops->reader_open(s->hub.store, &reader) != ERR_OK)
        fail(w, "no reader");
    enum err err =
        reader->ops->find(reader, &town_of(w)->entries[t->entry].id, &slot, &index);
    reader->ops->close(reader);
    if (err == ERR_OK)
        accept(w, s, t, slot, index, true);
    else
        refuse(w, s, t, r);
}

static void take_one(struct world *w, struct site *s, const struct waiting *v)
{
    static struct entry e;
    struct refusal r = {.code = ERR_OK};
    uint32_t n = NOBODY;
    if (v->from_wire && v->size > s->rules.limits.entry_bytes)
        r.code = ERR_POLICY_SIZE;
    else
        r.code = entry_decode(&e, v->bytes, v->size);
    if (r.code == ERR_OK && w->options.plant != PLANT_FORGERY && !entry_verify(&e))
        r.code = ERR_SIGNATURE;
    if (r.code == ERR_OK)
        n = entry_find(town_of(w), &e.id);
    uint64_t token = add_token(s, v, n);
    const struct token t = s->tokens[token];
    if (r.code != ERR_OK) {
        refuse(w, s, &t, &r);
        return;
    }
    if (n == NOBODY)
        fail(w, "an entry nobody wrote decodes and verifies");
    s->memory_short = true;
    enum seq_disposition d =
        sequencer_submit(s->hub.q, &e, token, v->from_wire, s->hub.now_ms, &r);
    s->memory_short = false;
    if (d == SEQ_LOOKUP)
        look_up(w, s, &t, &r);
    else if (d == SEQ_REFUSED)
        refuse(w, s, &t, &r);
}

void door_take(struct world *w, struct site *s)
{
    if (!s->up || s->hub.q == NULL)
        return;
    if (!s->in_flight) {
        for (size_t i = 0; i < s->door_count; i++) {
            struct waiting v = s->door[i];
            take_one(w, s, &v);
            free(v.bytes);
        }
        s->door_count = 0;
        if (sequencer_pending(s->hub.q))
            site_poke(w, s);
    }
    door_flush(w, s);
    reads_turn(w, s);
}

static void put_at_door(struct site *s, struct waiting v, struct bytes envelope)
{
    if (s->door_count == s->door_cap) {
        s->door_cap = s->door_cap * 2 + 64;
        s->door = realloc(s->door, s->door_cap * sizeof *s->door);
        if (s->door == NULL)
            abort();
    }
    v.size = envelope.size;
    v.bytes = malloc(envelope.size + 1);
    if (v.bytes == NULL)
        abort();
    if (envelope.size > 0)
        memcpy(v.bytes, envelope.data, envelope.size);
    s->door[s->door_count++] = v;
}

void door_local(struct world *w, struct site *s, const struct kit_entry *e,
                bool from_wire)
{
    if (!s->up || s->good != NULL)
        return;
    entry_keep(town_of(w), e->bytes, e->size);
    put_at_door(s, (struct waiting){.actor = NOBODY, .from_wire = from_wire},
                bytes_of(e->bytes, e->size));
    door_take(w, s);
}

static void on_submit(struct world *w, struct site *s, uint32_t actor,
                      struct wire_frame *f, const struct session_step *step)
{
    struct line *l = &s->lines[actor];
    for (size_t i = 0; i < f->count; i++) {
        struct bytes envelope;
        wire_next_envelope(&f->list, &envelope);
        struct waiting v = {.actor = actor,
                            .line = l->number,
                            .rid = f->rid,
                            .i = i,
                            .from_wire = true,
                            .wants_settled = (f->flags & WIRE_SUBMIT_SETTLED) != 0};
        bool busy = s->door_count >= s->door_max;
        if (i < step->take && !busy) {
            put_at_door(s, v, envelope);
            continue;
        }
        struct token t = {.actor = actor,
                          .line = l->number,
                          .rid = f->rid,
                          .i = i,
                          .entry = NOBODY,
                          .counted = i < step->take};
        struct refusal r = {.code = i < step->take ? ERR_BUSY : step->code,
                            .retry_after_ms =
                                i < step->take ? BUSY_RETRY_MS : step->retry_after_ms};
        refuse(w, s, &t, &r);
    }
}

/* ---- connections ---- */

static void greet(struct world *w, struct site *s, const struct message *m)
{
    struct line *l = &s->lines[m->from];
    struct hash nonce = kit_hash(rng_next(&w->rng));
    if (l->up)
        reads_hung_up(s, l);
    *l = (struct line){.up = true,
                       .is_stream = m->size > 0,
                       .number = m->line,
                       .site = s,
                       .conn = l->conn};
    reads_greeted(w, s, l);
    l->session = reads_session(l);
    session_begin(l->session, &s->rules, &nonce, w->now_ms);
    w->stats.sessions++;
    send_frame(w, s, m->from,
               &(struct wire_frame){.type = WIRE_CHALLENGE,
                                    .version = WIRE_VERSION,
                                    .federation = s->federation,
                                    .hub = bytes_of(s->name, strlen(s->name)),
                                    .slots = s->hub.slots,
                                    .nonce = nonce,
                                    .limits = s->rules.limits},
               true);
}

/* A client shows what it saw: the hub has to stand by it. */
static void check_notes(struct world *w, struct site *s, struct wire_frame *f)
{
    for (size_t i = 0; i < f->note_count; i++) {
        struct bytes note;
        wire_next_note(&f->notes, &note);
        for (uint32_t slot = 0; slot < s->hub.slots; slot++) {
            const char *name = s->hub.log_keys[slot].name;
            if (note.size > strlen(name) && note.data[strlen(name)] == '\n' &&
                memcmp(note.data, name, strlen(name)) == 0)
                site_note(w, s, s->actor.name, slot, note);
        }
    }
}

void door_welcome(struct world *w, struct site *s, struct line *l)
{
    uint32_t actor = (uint32_t)(l - s->lines);
    struct session *c = l->session;
    const struct key *relay = s->hub.config.relay;
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t size = hello_message(message, &s->federation, s->name, &c->nonce,
                                &c->client_nonce, c->has_device ? &c->device : NULL);
    struct wire_frame f = {.type = WIRE_WELCOME,
                           .rid = c->hello_rid,
                           .has_device = true,
                           .device = key_public(relay),
                           .has_sig = true,
                           .sig = key_sign(relay, CTX_WELCOME, message, size),
                           .hub_time_ms = s->hub.now_ms,
                           .note_count = s->hub.slots};
    session_welcome(c);
    reads_welcomed(s, l);
    struct mp_writer m = mp_writer_of(room, sizeof room);
    wire_put(&m, &f);
    for (uint32_t i = 0; i < s->hub.slots; i++)
        put_note(w, s, &m, i, false);
    send_bytes(w, s, actor, &m, true);
}

static void on_frame(struct world *w, struct site *s, const struct message *m)
{
    static struct wire_frame f;
    struct line *l = &s->lines[m->from];
    struct session_step step;
    if (wire_decode(&f, m->bytes, m->size) != ERR_OK) {
        send_error(w, s, m->from, 0, ERR_FRAME, 0);
        hang_up(w, s, m->from);
        return;
    }
    session_heard(l->session, w->now_ms);
    if (s->good != NULL && f.type != WIRE_HELLO)
        return;
    session_frame(l->session, &s->rules, &f, w->now_ms, &step);
    switch (step.act) {
    case SESSION_CHECK:
        check_notes(w, s, &f);
        reads_hello(w, s, l, m->bytes, m->size);
        break;
    case SESSION_WELCOME:
        door_welcome(w, s, l);
        break;
    case SESSION_SUBMIT:
        on_submit(w, s, m->from, &f, &step);
        break;
    case SESSION_READ:
        reads_ask(w, s, l, &f, false);
        break;
    case SESSION_SUBSCRIBE:
        reads_subscribe(s, l, &f);
        break;
    case SESSION_UNSUBSCRIBE:
        reads_unsubscribe(s, l, &f);
        break;
    case SESSION_LIMITS:
        send_frame(w, s, m->from,
                   &(struct wire_frame){.type = WIRE_LIMITS_IS,
                                        .rid = step.rid,
                                        .limits = s->rules.limits},
                   false);
        break;
    case SESSION_ASK:
        if (f.type == WIRE_SETTLEMENT || l->is_stream) {
            reads_ask(w, s, l, &f, true);
            break;
        }
        if (l->head_asked) /* the same question twice */
            session_read_done(l->session);
        l->head_asked = true;
        l->head = f;
        break;
    case SESSION_ERROR:
        send_error(w, s, m->from, step.rid, step.code, step.retry_after_ms);
        break;
    case SESSION_END:
        send_error(w, s, m->from, step.rid, step.code, 0);
        hang_up(w, s, m->from);
        break;
    default:
        break;
    }
}

void door_message(struct world *w, struct site *s, const struct message *m)
{
    struct line *l = &s->lines[m->from];
    if (!s->up) {
        if (m->what == MSG_DIAL && draw(w, 2) == 0)
            world_send(w, s->actor.id, m->from, MSG_HANGUP, m->line, NULL, 0, true);
        return;
    }
    if (m->what == MSG_DIAL) {
        if (!l->up || l->number < m->line)
            greet(w, s, m);
        return;
    }
    if (!l->up || l->number != m->line)
        return;
    if (m->what == MSG_HANGUP) {
        reads_hung_up(s, l);
        l->up = l->head_asked = false;
        return;
    }
    on_frame(w, s, m);
    door_take(w, s);
}
