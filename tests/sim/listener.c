/* Somebody who reads: subscribes to logs and accounts, asks for pages and proofs, and
 * holds every frame against the books. He keeps what he has seen over connections, and so
 * notices what comes twice, is left out or is not there yet. Some say who they are, some
 * do not, one is the hub's auditor. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/context.h"
#include "town.h"

#define TOPICS_MAX 6
#define HELLO_MS_MAX 8000
#define FETCH_MAX 120
#define KEPT_OUT_MAX 20

/* A stream he follows. */
struct topic_of {
    struct wire_key key;
    uint32_t slot;
    uint64_t next;   /* record he gets next */
    uint64_t rid;    /* of the question under way about it; 0: none */
    uint64_t on_rid; /* of the SUBSCRIBE that holds */
    uint32_t kept_out; /* times, while it was not sure */
    uint64_t left_rid; /* of an UNSUBSCRIBE that came too late */
    bool on;         /* the hub said OK on this connection */
    bool leaves;     /* the question is an UNSUBSCRIBE */
    bool was_caught; /* since OK a catch-up came */
    bool gone;       /* he may not read it any more */
};

/* A question under way. */
struct question {
    uint64_t rid; /* 0: none */
    uint64_t type;
    struct wire_key key;
    uint64_t from, max, kind, slot, a, b;
    uint64_t had; /* what there was to be seen when he asked */
    bool must_be_there;
};

struct listener {
    struct actor actor;
    struct site *site;
    struct onlooker who;
    uint32_t key;
    uint32_t group; /* the account of his device */
    uint32_t think_ms;
    uint64_t patience_ms; /* silence he bears */
    enum line_state line_state;
    uint64_t line, line_since, heard_ms, dial_at, rid;
    struct stream out;
    struct hash nonce;
    uint32_t topic_count;
    struct topic_of topics[TOPICS_MAX];
    struct question q;
    size_t note_size;
    char note[CHECKPOINT_BYTES_MAX];
};

static uint8_t room[65536];

/* ---- his connection ---- */

static void send_writer(struct world *w, struct listener *l, const struct mp_writer *m)
{
    if (m->full)
        fail(w, "a frame of %s is too long", l->actor.name);
    world_stream(w, &l->out, l->actor.id, l->site->actor.id, MSG_FRAME, l->line, room,
                 m->size);
}

static void send_plain(struct world *w, struct listener *l, struct wire_frame *f)
{
    struct mp_writer m = mp_writer_of(room, sizeof room);
    f->rid = ++l->rid;
    wire_put(&m, f);
    send_writer(w, l, &m);
}

static void dial(struct world *w, struct listener *l)
{
    static const uint8_t is_stream = 1;
    l->line = ++town_of(w)->next_line;
    l->line_state = LINE_DIALED;
    l->line_since = l->heard_ms = w->now_ms;
    l->out = (struct stream){0};
    world_stream(w, &l->out, l->actor.id, l->site->actor.id, MSG_DIAL, l->line,
                 &is_stream, 1);
}

static void line_is_down(struct world *w, struct listener *l)
{
    l->line_state = LINE_DOWN;
    l->dial_at = w->now_ms + 50 + draw(w, 1500);
    l->q.rid = 0;
    for (uint32_t i = 0; i < l->topic_count; i++) {
        l->topics[i].on = l->topics[i].leaves = l->topics[i].was_caught = false;
        l->topics[i].rid = 0;
    }
}

static void hang_up(struct world *w, struct listener *l)
{
    if (l->line_state == LINE_DOWN)
        return;
    world_stream(w, &l->out, l->actor.id, l->site->actor.id, MSG_HANGUP, l->line, NULL,
                 0);
    line_is_down(w, l);
}

static void on_challenge(struct world *w, struct listener *l, const struct wire_frame *c)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    if (l->line_state != LINE_DIALED)
        fail(w, "%s is challenged twice", l->actor.name);
    l->line_state = LINE_HELLO;
    l->nonce = kit_hash(rng_next(&w->rng));
    struct wire_frame f = {.type = WIRE_HELLO,
                           .rid = ++l->rid,
                           .nonce = l->nonce,
                           .note_count = l->note_size > 0};
    if (l->who.has_device) {
        size_t size = hello_message(message, &c->federation, l->site->name, &c->nonce,
                                    &l->nonce, &l->who.device);
        f.has_device = f.has_sig = true;
        f.device = l->who.device;
        f.sig = key_sign(key_at(l->key), CTX_HELLO, message, size);
    }
    struct mp_writer m = mp_writer_of(room, sizeof room);
    wire_put(&m, &f);
    if (l->note_size > 0)
        wire_put_note(&m, bytes_of(l->note, l->note_size));
    send_writer(w, l, &m);
}

static const struct checkpoint *see_note(struct world *w, struct listener *l,
                                         uint64_t slot, struct bytes note)
{
    const struct checkpoint *c = site_note(w, l->site, l->actor.name, slot, note);
    l->note_size = note.size;
    memcpy(l->note, note.data, note.size);
    return c;
}

static void on_welcome(struct world *w, struct listener *l, struct wire_frame *f)
{
    l->line_state = LINE_OPEN;
    for (size_t i = 0; i < f->note_count; i++) {
        struct bytes note;
        wire_next_note(&f->notes, &note);
        see_note(w, l, i, note);
    }
}

/* ---- what he is shown ---- */

static void check_record(struct world *w, struct listener *l, const struct record *r,
                         bool by_account)
{
    const char *why = model_check_record(l->site->model, r, by_account, &l->who);
    if (why != NULL)
        fail(w, "%s is shown slot %02x record %llu: %s", l->actor.name, (unsigned)r->slot,
             (unsigned long long)r->index, why);
    if (r->envelope.size == 0)
        saw(w, SEEN_WITHHELD);
    else if (by_account && l->who.has_device && !l->who.auditor)
        saw(w, SEEN_OWN_RECORD);
}

static struct topic_of *topic_with(struct listener *l, const struct wire_key *key)
{
    for (uint32_t i = 0; i < l->topic_count; i++) {
        struct topic_of *t = &l->topics[i];
        if (t->key.what == key->what &&
            (key->what == WIRE_SLOT ? t->key.slot == key->slot
                                    : hash_equal(&t->key.id, &key->id)))
            return t;
    }
    return NULL;
}

/* Each record once, in order, none left out. */
static void take_record(struct world *w, struct listener *l, struct topic_of *t,
                        const struct record *r)
{
    bool of_slot = t->key.what == WIRE_SLOT;
    uint64_t at = of_slot ? r->index : r->position;
    check_record(w, l, r, !of_slot);
    if (r->slot != t->slot)
        fail(w, "%s gets a record of another slot", l->actor.name);
    if (at != t->next)
        fail(w, "%s gets record %llu of slot %02x, and %llu %s", l->actor.name,
             (unsigned long long)at, (unsigned)t->slot, (unsigned long long)t->next,
             at < t->next ? "was to come: it came twice" : "was left out");
    const struct hash *whose = model_account_at(l->site->model, t->slot, r->index);
    if (!of_slot && !hash_equal(whose, &t->key.id))
        fail(w, "%s gets a record of another account", l->actor.name);
    t->next++;
    w->stats.streamed++;
}

/* With a note a catch-up says that this is all there is under it. */
static void check_end_of(struct world *w, struct listener *l, const struct topic_of *t,
                         const struct checkpoint *c)
{
    uint64_t index = t->next;
    if (t->key.what == WIRE_ACCOUNT)
        index = model_index_of(l->site->model, &t->key.id, t->next);
    if (index < c->size)
        fail(w,
             "%s is told that this is all of slot %02x under %llu, and %llu is left out",
             l->actor.name, (unsigned)t->slot, (unsigned long long)c->size,
             (unsigned long long)index);
}

static void on_records(struct world *w, struct listener *l, struct wire_frame *f)
{
    struct topic_of *t = topic_with(l, &f->key);
    struct record r = {.index = 0};
    if (t != NULL)
        say(w, "%s gets %zu records of %s slot %02x, %s, at %llu%s", l->actor.name,
            f->count, t->key.what == WIRE_SLOT ? "all of" : "one in", (unsigned)t->slot,
            f->mode == WIRE_LIVE ? "live" : "catching up", (unsigned long long)t->next,
            f->note.size > 0 ? ", with a checkpoint" : "");
    if (t == NULL || (!t->on && t->rid == 0))
        fail(w, "%s gets records he did not ask for", l->actor.name);
    if (f->mode == WIRE_LIVE && !t->was_caught)
        fail(w, "%s gets what is new before what was", l->actor.name);
    for (size_t i = 0; i < f->count; i++) {
        wire_next_record(&f->list, &r);
        take_record(w, l, t, &r);
    }
    saw(w, f->mode == WIRE_LIVE ? SEEN_LIVE : SEEN_CATCHUP);
    if (f->note.size == 0) {
        if (f->mode == WIRE_LIVE)
            fail(w, "%s gets live records without a checkpoint", l->actor.name);
        return;
    }
    const struct checkpoint *c = see_note(w, l, t->slot, f->note);
    if (f->count > 0 && r.index >= c->size)
        fail(w, "%s gets record %llu of slot %02x past the checkpoint of %llu",
             l->actor.name, (unsigned long long)r.index, (unsigned)t->slot,
             (unsigned long long)c->size);
    if (f->mode == WIRE_CATCHUP) {
        saw(w, t->was_caught ? SEEN_CAUGHT_AGAIN : SEEN_CAUGHT_UP);
        t->was_caught = true;
        check_end_of(w, l, t, c);
    }
}

static void on_page(struct world *w, struct listener *l, struct wire_frame *f)
{
    struct question *q = &l->q;
    struct model *m = l->site->model;
    uint64_t at = q->from;
    bool of_slot = q->key.what == WIRE_SLOT, of_id = q->key.what == WIRE_ID;
    if (q->type != WIRE_FETCH || (of_id && f->count != 1) || f->count > q->max)
        fail(w, "%s gets a page he did not ask for", l->actor.name);
    for (size_t i = 0; i < f->count; i++, at++) {
        struct record r;
        wire_next_record(&f->list, &r);
        check_record(w, l, &r, !of_slot);
        if (of_id) {
            const struct hash *id = model_entry_at(m, r.slot, r.index);
            if (!hash_equal(id, &q->key.id))
                fail(w, "%s asks for an entry and gets another", l->actor.name);
        } else if ((of_slot ? r.index : r.position) != at ||
                   (of_slot ? r.slot != q->key.slot
                            : !hash_equal(model_account_at(m, r.slot, r.index),
                                          &q->key.id))) {
            fail(w, "%s gets a page that is no beginning of what there is",
                 l->actor.name);
        }
    }
    saw(w, of_id ? SEEN_PAGE_ID : of_slot ? SEEN_PAGE_SLOT : SEEN_PAGE_ACCOUNT);
    if (of_id)
        return;
    uint64_t has =
        of_slot ? model_size(m, (uint32_t)q->key.slot) : model_length(m, &q->key.id);
    if (f->next != at || f->end > has || f->end < q->had ||
        (f->count == 0 && q->from < f->end))
        fail(w, "%s gets a page up to %llu of %llu, and there were %llu, now %llu",
             l->actor.name, (unsigned long long)f->next, (unsigned long long)f->end,
             (unsigned long long)q->had, (unsigned long long)has);
}

static void on_proof(struct world *w, struct listener *l, const struct wire_frame *f)
{
    const struct question *q = &l->q;
    struct hash path[MERKLE_PATH_MAX];
    size_t count = f->path.size / HASH_BYTES;
    if (q->type != WIRE_PROOF || count > MERKLE_PATH_MAX)
        fail(w, "%s gets a proof he did not ask for", l->actor.name);
    if (count > 0)
        memcpy(path, f->path.data, f->path.size);
    bool inclusion = q->kind == WIRE_INCLUSION;
    const char *why = inclusion
                          ? model_check_inclusion(l->site->model, (uint32_t)q->slot, q->a,
                                                  q->b, path, count)
                          : model_check_consistency(l->site->model, (uint32_t)q->slot,
                                                    q->a, q->b, path, count);
    if (why != NULL)
        fail(w, "%s gets for (%llu, %llu) of slot %02x %s", l->actor.name,
             (unsigned long long)q->a, (unsigned long long)q->b, (unsigned)q->slot, why);
    saw(w, inclusion ? SEEN_INCLUSION : SEEN_CONSISTENCY);
}

/* ---- what he is refused ---- */

static bool may_be_kept_out(const struct listener *l, const struct hash *account)
{
    const struct model *m = l->site->model;
    struct onlooker nobody = {.has_device = false};
    return !model_may_ever_read(m, account, &nobody) && !l->who.auditor &&
           !(l->who.has_device && model_is_device(m, account, &l->who.device));
}

static bool range_is_fair(const struct question *q)
{
    if (q->type == WIRE_PROOF)
        return q->b > q->had || (q->kind == WIRE_INCLUSION ? q->a >= q->b : q->a > q->b);
    return q->key.what == WIRE_SLOT && q->from > q->had;
}

static void on_question_refused(struct world *w, struct listener *l, uint64_t code)
{
    const struct question *q = &l->q;
    bool fair;
    switch (code) {
    case ERR_UNAVAILABLE:
        fair = true; /* that it ends shows in that everybody catches up */
        saw(w, SEEN_UNAVAILABLE);
        break;
    case ERR_RANGE:
        fair = range_is_fair(q);
        saw(w, SEEN_RANGE);
        break;
    case ERR_NOT_ALLOWED:
        fair = q->key.what == WIRE_ACCOUNT &&
               (may_be_kept_out(l, &q->key.id) ||
                l->site->unsure_ms[slot_of(&q->key.id, l->site->hub.slots)] >=
                    l->line_since);
        saw(w, SEEN_NOT_ALLOWED);
        break;
    case ERR_NOT_FOUND:
        fair = (q->key.what == WIRE_ID && !q->must_be_there) || q->type == WIRE_COSIGNED;
        saw(w, SEEN_NOT_FOUND);
        break;
    default:
        fair = false;
    }
    if (!fair)
        fail(w, "%s is refused an answer: %llu", l->actor.name, (unsigned long long)code);
}

static void on_error(struct world *w, struct listener *l, const struct wire_frame *f)
{
    if (f->rid == l->q.rid && f->rid != 0) {
        on_question_refused(w, l, f->code);
        l->q.rid = 0;
        return;
    }
    for (uint32_t i = 0; i < l->topic_count; i++) {
        struct topic_of *t = &l->topics[i];
        if (t->rid != f->rid && !(t->on && t->on_rid == f->rid))
            continue;
        if (f->code == ERR_NOT_ALLOWED && t->key.what == WIRE_ACCOUNT &&
            l->site->unsure_ms[t->slot] >= l->line_since && t->kept_out++ < KEPT_OUT_MAX) {
            t->left_rid = t->leaves ? t->rid : 0;
            t->on = t->leaves = t->was_caught = false; /* a revocation that may not stand */
            t->rid = 0;
            return;
        }
        if (f->code != ERR_NOT_ALLOWED || t->key.what != WIRE_ACCOUNT ||
            !may_be_kept_out(l, &t->key.id))
            fail(w, "%s may not listen to slot %02x from %llu on: %llu", l->actor.name,
                 (unsigned)t->slot, (unsigned long long)t->next,
                 (unsigned long long)f->code);
        saw(w, t->on ? SEEN_KEPT_OUT_LATER : SEEN_KEPT_OUT);
        t->left_rid = t->leaves ? t->rid : 0; /* he had left by himself meanwhile */
        t->gone = true;
        t->on = t->leaves = false;
        t->rid = 0;
        return;
    }
    for (uint32_t i = 0; i < l->topic_count; i++) {
        struct topic_of *t = &l->topics[i];
        if (f->rid == 0 || t->left_rid != f->rid || f->code != ERR_NOT_FOUND)
            continue;
        t->left_rid = 0;
        return;
    }
    if (l->line_state == LINE_OPEN)
        fail(w, "%s gets an error for nothing: %llu", l->actor.name,
             (unsigned long long)f->code);
}

static void on_ok(struct world *w, struct listener *l, const struct wire_frame *f)
{
    for (uint32_t i = 0; i < l->topic_count; i++) {
        struct topic_of *t = &l->topics[i];
        if (t->rid != f->rid || t->rid == 0)
            continue;
        t->on = !t->leaves;
        t->kept_out = 0;
        t->on_rid = f->rid;
        t->leaves = t->was_caught = false;
        t->rid = 0;
        if (!t->on)
            saw(w, SEEN_UNSUBSCRIBED);
        return;
    }
    fail(w, "%s gets an OK for nothing", l->actor.name);
}

/* ---- what he asks ---- */

static uint32_t any_slot(struct world *w, const struct listener *l)
{
    return draw(w, l->site->hub.slots);
}

/* An account of his hub; a hub account now and then. */
static bool any_account(struct world *w, const struct listener *l, struct hash *id,
                        uint32_t *slot)
{
    const struct town *t = town_of(w);
    bool own =
        l->who.has_device && !l->who.auditor && (l->topic_count == 0 || draw(w, 2) == 0);
    const struct group *g = &t->groups[own ? l->group : draw(w, t->group_count)];
    *slot = any_slot(w, l);
    if (!own && draw(w, 4) == 0) {
        *id = *model_hub_account(l->site->model, *slot);
        return true;
    }
    *id = g->id;
    *slot = slot_of(id, l->site->hub.slots);
    return g->site == l->site->number && g->open;
}

static void add_topic(struct world *w, struct listener *l)
{
    struct topic_of t = {.key = {.what = WIRE_SLOT}};
    if (l->topic_count == TOPICS_MAX)
        return;
    bool own = l->topic_count == 0 && l->who.has_device && !l->who.auditor;
    if (!own && draw(w, 2) == 0) {
        t.key.slot = t.slot = any_slot(w, l);
        t.next = draw(w, 3) == 0
                     ? draw(w, (uint32_t)model_size(l->site->model, t.slot) + 1)
                     : 0;
    } else {
        t.key.what = WIRE_ACCOUNT;
        if (!any_account(w, l, &t.key.id, &t.slot))
            return;
        t.next = draw(w, 3) == 0
                     ? draw(w, (uint32_t)model_length(l->site->model, &t.key.id) + 1)
                     : 0;
    }
    if (topic_with(l, &t.key) == NULL)
        l->topics[l->topic_count++] = t;
}

/* True: he asked to join, or to leave. */
static bool see_to_topics(struct world *w, struct listener *l)
{
    for (uint32_t i = 0; i < l->topic_count; i++) {
        struct topic_of *t = &l->topics[i];
        bool leave = t->on && !w->closing && draw(w, 60) == 0;
        if (t->gone || t->rid != 0 || (t->on && !leave))
            continue;
        struct wire_frame f = {.type = leave ? WIRE_UNSUBSCRIBE : WIRE_SUBSCRIBE,
                               .key = t->key,
                               .from = t->next};
        if (!leave)
            t->was_caught = false;
        t->leaves = leave;
        send_plain(w, l, &f);
        t->rid = l->rid;
        return true;
    }
    return false;
}

static void ask_page(struct world *w, struct listener *l)
{
    struct question *q = &l->q;
    const struct town *t = town_of(w);
    uint32_t slot, dice = draw(w, 3);
    *q = (struct question){.type = WIRE_FETCH, .max = 1 + draw(w, FETCH_MAX)};
    if (dice == 0) {
        q->key = (struct wire_key){.what = WIRE_SLOT, .slot = any_slot(w, l)};
        q->had = model_size(l->site->model, (uint32_t)q->key.slot);
        q->from = draw(w, (uint32_t)q->had + 3);
    } else if (dice == 1) {
        q->key.what = WIRE_ACCOUNT;
        if (!any_account(w, l, &q->key.id, &slot))
            return;
        q->had = model_length(l->site->model, &q->key.id);
        q->from = draw(w, (uint32_t)q->had + 3);
    } else {
        const struct sim_entry *e = &t->entries[draw(w, (uint32_t)t->entry_count)];
        q->key.what = WIRE_ID;
        q->key.id = e->known ? e->id : kit_hash(rng_next(&w->rng));
        q->max = 1;
        q->must_be_there =
            e->known && e->acked &&
            model_check_ack(l->site->model, e->slot, e->index, &e->id) == NULL;
    }
    struct wire_frame f = {
        .type = WIRE_FETCH, .key = q->key, .from = q->from, .max = q->max};
    send_plain(w, l, &f);
    q->rid = l->rid;
}

static void ask_proof(struct world *w, struct listener *l)
{
    struct question *q = &l->q;
    *q =
        (struct question){.type = WIRE_PROOF, .kind = draw(w, 2), .slot = any_slot(w, l)};
    q->had = model_size(l->site->model, (uint32_t)q->slot);
    q->b = draw(w, (uint32_t)q->had + 2);
    q->a = draw(w, (uint32_t)q->b + 1);
    struct wire_frame f = {
        .type = WIRE_PROOF, .kind = q->kind, .slot = q->slot, .a = q->a, .b = q->b};
    send_plain(w, l, &f);
    q->rid = l->rid;
}

static void ask_checkpoint(struct world *w, struct listener *l)
{
    struct question *q = &l->q;
    *q = (struct question){.type = draw(w, 8) == 0 ? WIRE_COSIGNED : WIRE_CHECKPOINT,
                           .slot = any_slot(w, l)};
    struct wire_frame f = {.type = q->type, .slot = q->slot};
    send_plain(w, l, &f);
    q->rid = l->rid;
}

static void use_line(struct world *w, struct listener *l)
{
    if (see_to_topics(w, l) || w->closing)
        return;
    if (l->topic_count < 2 || draw(w, 40) == 0)
        add_topic(w, l);
    if (l->q.rid != 0 || draw(w, 3) != 0)
        return;
    uint32_t dice = draw(w, 8);
    if (dice < 4)
        ask_page(w, l);
    else if (dice < 7)
        ask_proof(w, l);
    else
        ask_checkpoint(w, l);
}

/* ---- life ---- */

static bool waits(const struct listener *l)
{
    for (uint32_t i = 0; i < l->topic_count; i++)
        if (!l->topics[i].gone && (l->topics[i].rid != 0 || !l->topics[i].was_caught))
            return true;
    return l->q.rid != 0;
}

static void on_timer(struct world *w, struct actor *a, const struct timer *t)
{
    struct listener *l = (struct listener *)(void *)a;
    (void)t;
    world_at(w, a, 1 + draw(w, 2 * l->think_ms), 0, 0);
    if (l->line_state == LINE_DOWN) {
        if (w->now_ms >= l->dial_at)
            dial(w, l);
    } else if (l->line_state != LINE_OPEN) {
        if (w->now_ms - l->line_since > HELLO_MS_MAX)
            hang_up(w, l);
    } else if (goes_wrong(w, BAD_CUT) ||
               (w->now_ms - l->heard_ms > l->patience_ms && waits(l))) {
        say(w, "the line of %s breaks", a->name);
        hang_up(w, l);
    } else {
        use_line(w, l);
    }
}

static void on_message(struct world *w, struct actor *a, const struct message *m)
{
    static struct wire_frame f;
    struct listener *l = (struct listener *)(void *)a;
    if (l->line_state == LINE_DOWN || m->line != l->line)
        return;
    if (m->what == MSG_HANGUP) {
        line_is_down(w, l);
        return;
    }
    if (wire_decode(&f, m->bytes, m->size) != ERR_OK)
        fail(w, "a hub sends a frame that does not decode");
    l->heard_ms = w->now_ms;
    bool answers = l->q.rid != 0 && f.rid == l->q.rid;
    switch (f.type) {
    case WIRE_CHALLENGE:
        on_challenge(w, l, &f);
        return;
    case WIRE_WELCOME:
        on_welcome(w, l, &f);
        return;
    case WIRE_RECORDS:
        on_records(w, l, &f);
        return;
    case WIRE_OK:
        on_ok(w, l, &f);
        return;
    case WIRE_ERROR:
        on_error(w, l, &f);
        return;
    case WIRE_BYE:
        if (f.code == ERR_SLOW)
            saw(w, SEEN_BYE_SLOW);
        return;
    case WIRE_PAGE:
        if (answers)
            on_page(w, l, &f);
        break;
    case WIRE_PROOF_IS:
        if (answers)
            on_proof(w, l, &f);
        break;
    case WIRE_CHECKPOINT_IS:
        if (answers)
            see_note(w, l, l->q.slot, f.note);
        saw(w, SEEN_CHECKPOINT);
        break;
    default:
        fail(w, "%s gets a frame of type %llu", a->name, (unsigned long long)f.type);
    }
    if (!answers)
        fail(w, "%s gets an answer to nothing", a->name);
    l->q.rid = 0;
}

/* He has seen all there is. */
static bool done(struct world *w, struct actor *a, const char **why)
{
    const struct listener *l = (struct listener *)(void *)a;
    (void)w;
    *why = "a subscriber has not seen everything";
    for (uint32_t i = 0; i < l->topic_count; i++) {
        const struct topic_of *t = &l->topics[i];
        uint64_t has = t->key.what == WIRE_SLOT
                           ? model_size(l->site->model, t->slot)
                           : model_length(l->site->model, &t->key.id);
        if (!t->gone && t->next != has)
            return false;
    }
    return true;
}

static void close_listener(struct actor *a)
{
    free(a);
}

static const struct actor_ops listener_ops = {
    .message = on_message, .timer = on_timer, .done = done, .close = close_listener};

void listener_add(struct world *w, struct site *s, uint32_t key, bool auditor,
                  uint32_t group)
{
    struct listener *l = calloc(1, sizeof *l);
    if (l == NULL)
        abort();
    l->actor.ops = &listener_ops;
    l->site = s;
    l->key = key;
    l->who = (struct onlooker){.has_device = key != 0, .auditor = auditor};
    if (key != 0)
        l->who.device = pub_at(key);
    l->group = group;
    l->patience_ms = draw(w, 3) == 0 ? 200000 : 30000;
    l->think_ms = 200 + draw(w, 800);
    world_add(w, &l->actor);
    snprintf(l->actor.name, sizeof l->actor.name, "%s %u",
             auditor    ? "auditor"
             : key == 0 ? "listener"
                        : "reader",
             l->actor.id);
    world_at(w, &l->actor, 1 + draw(w, 2000), 0, 0);
}
