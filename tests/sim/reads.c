#include "reads.h"

#include <stdlib.h>
#include <string.h>

#include "relay/commit_internal.h"
#include "relay/cosigner.h"
#include "relay/loop_internal.h"
#include "relay/reader_internal.h"
#include "town.h"

#define UNSENT_OF_THE_SLOW (1u << 20)

struct reads {
    struct site *site;
    struct relay relay;
    struct relay_config config;
    struct loop loop;
    struct commit commit;
    struct reader reader;
    struct store_reader spoilt; /* a reader with a defect on purpose in front of ours */
    struct store_reader *good;
    struct store_slot first[SLOTS_MAX]; /* what it shows */
    bool mail_set;
};

static struct reads *of_relay(struct relay *r)
{
    return (struct reads *)(void *)((char *)r - offsetof(struct reads, relay));
}

static struct reads *of_loop(const struct loop *l)
{
    return (struct reads *)(void *)((char *)(uintptr_t)l - offsetof(struct reads, loop));
}

static struct line *line_of(const struct conn *c)
{
    return (struct line *)(void *)c->ws;
}

/* ---- what the relay's code calls ---- */

void relay_mail(struct relay *r, struct chain_of_links *mail)
{
    struct reads *d = of_relay(r);
    queue_put(&r->mail, mail);
    if (d->mail_set)
        return;
    d->mail_set = true;
    world_at(d->site->w, &d->site->actor, draw(d->site->w, 4), SITE_MAIL, d->site->boot);
}

void relay_mail_one(struct relay *r, struct mail *m)
{
    struct chain_of_links one = {0};
    links_add(&one, &m->link);
    relay_mail(r, &one);
}

void relay_broken(struct relay *r, const char *what, enum err why)
{
    struct reads *d = of_relay(r);
    fail(d->site->w, "%s gives up: %s: %s", d->site->actor.name, what, err_word(why));
}

uint32_t relay_slot_of(const struct relay *r, const struct hash *account)
{
    for (uint32_t i = 0; i < r->slots; i++)
        if (hash_equal(&r->hub_accounts[i], account))
            return i;
    return slot_of(account, r->slots);
}

struct conn *conn_of(struct loop *l, conn_id id)
{
    struct site *s = of_loop(l)->site;
    uint32_t actor = (uint32_t)id;
    if (actor >= ACTORS_MAX || !s->lines[actor].up || s->lines[actor].conn->id != id)
        return NULL;
    return s->lines[actor].conn;
}

void conn_walk(struct loop *l, void (*each)(struct loop *l, struct conn *c))
{
    struct site *s = of_loop(l)->site;
    for (uint32_t i = 0; i < s->w->actor_count; i++)
        if (s->lines[i].up)
            each(l, s->lines[i].conn);
}

void conn_send(struct loop *l, struct conn *c, struct frame *f)
{
    struct site *s = of_loop(l)->site;
    if (f == NULL)
        fail(s->w, "%s has no memory for an answer", s->actor.name);
    if (c->ws != NULL)
        door_send(s->w, s, line_of(c), frame_data(f), f->size);
    frame_drop(f);
}

bool reads_slow(const struct line *l)
{
    return l->slow_until > l->site->w->now_ms && !l->site->w->calm;
}

size_t reads_unsent(const struct line *l)
{
    return reads_slow(l) ? UNSENT_OF_THE_SLOW : 0;
}

size_t ws_unsent(const struct ws_conn *c)
{
    return reads_unsent((const struct line *)(const void *)c);
}

bool conn_is_slow(const struct loop *l, const struct conn *c, size_t more)
{
    (void)l;
    (void)more;
    return reads_slow(line_of(c));
}

bool ask_reader(struct loop *l, struct request *q)
{
    struct reads *d = of_loop(l);
    struct world *w = d->site->w;
    if (q == NULL)
        fail(w, "no memory for a question");
    queue_put_one(&d->relay.readers, &q->work.link);
    uint64_t in_ms = 1 + draw(w, 20) + (draw(w, 20) == 0 && !w->calm ? draw(w, 800) : 0);
    world_at(w, &d->site->actor, in_ms, SITE_READ, d->site->boot);
    return true;
}

/* No witness is asked. */
void cosigner_published(struct cosigner *c, uint32_t slot, tree_size size,
                        struct bytes note)
{
    (void)c;
    (void)slot;
    (void)size;
    (void)note;
}

/* ---- a store that lies, for trying the checker ---- */

static struct reads *of_spoilt(struct store_reader *r)
{
    return (struct reads *)(void *)((char *)r - offsetof(struct reads, spoilt));
}

/* The note stays behind the records. */
static enum err spoilt_slot(struct store_reader *r, uint32_t slot, struct store_slot *out)
{
    struct reads *d = of_spoilt(r);
    TRY(d->good->ops->slot(d->good, slot, out));
    if (d->first[slot].checkpoint_size == 0)
        d->first[slot] = *out;
    memcpy(out->checkpoint, d->first[slot].checkpoint, d->first[slot].checkpoint_size);
    out->checkpoint_size = d->first[slot].checkpoint_size;
    return ERR_OK;
}

static enum err spoilt_records(struct store_reader *r, uint32_t slot, uint64_t from,
                               uint64_t max, store_visit *visit, void *context)
{
    struct store_reader *good = of_spoilt(r)->good;
    return good->ops->records(good, slot, from, max, visit, context);
}

static enum err spoilt_account(struct store_reader *r, const struct hash *account,
                               uint64_t from, uint64_t max, store_visit *visit,
                               void *context)
{
    struct store_reader *good = of_spoilt(r)->good;
    return good->ops->account(good, account, from, max, visit, context);
}

static enum err spoilt_find(struct store_reader *r, const struct hash *id, uint32_t *slot,
                            uint64_t *index)
{
    struct store_reader *good = of_spoilt(r)->good;
    return good->ops->find(good, id, slot, index);
}

static enum err spoilt_node(struct store_reader *r, uint32_t slot, unsigned level,
                            uint64_t n, struct hash *out)
{
    struct store_reader *good = of_spoilt(r)->good;
    return good->ops->node(good, slot, level, n, out);
}

static const struct store_reader_ops spoilt_ops = {.slot = spoilt_slot,
                                                   .records = spoilt_records,
                                                   .account = spoilt_account,
                                                   .find = spoilt_find,
                                                   .node = spoilt_node};

/* ---- life ---- */

void reads_start(struct world *w, struct site *s)
{
    struct reads *d = calloc(1, sizeof *d);
    if (d == NULL)
        abort();
    struct relay *r = &d->relay;
    d->site = s;
    d->config.limits.page_records = s->rules.limits.page_records;
    atomic_init(&r->config, &d->config);
    r->federation = s->federation;
    r->hub = s->name;
    r->slots = s->hub.slots;
    r->store = s->hub.store;
    r->keys.relay = (struct key *)(uintptr_t)s->hub.config.relay;
    r->log_vkeys = s->hub.log_keys;
    queue_init(&r->mail);
    queue_init(&r->readers);
    queue_init(&r->commit);
    highwater_open(&r->highwater, NULL, r->slots);
    struct pubkey auditor = pub_at(s->auditor);
    d->loop.r = r;
    d->loop.rules = s->rules;
    d->commit.r = r;
    uint64_t seed = rng_next(&w->rng);
    if (pinned_open(&r->pinned, seed, &auditor, 1) != ERR_OK ||
        !topics_open(&d->loop.topics, seed) ||
        causes_open(&d->commit.causes, seed) != ERR_OK ||
        r->store->ops->reader_open(r->store, &d->commit.reader) != ERR_OK ||
        r->store->ops->reader_open(r->store, &d->reader.store) != ERR_OK)
        fail(w, "no memory");
    d->reader.r = r;
    d->good = d->reader.store;
    if (w->options.plant == PLANT_PAST) {
        d->spoilt.ops = &spoilt_ops;
        d->reader.store = &d->spoilt;
    }
    for (uint32_t i = 0; i < r->slots; i++) {
        const struct disk_slot *at = &s->hub.disk->slot[i];
        r->hub_accounts[i] = at->records[0].account;
        atomic_init(&r->unsure[i], true);    /* until it is loaded */
        d->commit.reload_ms[i] = UINT64_MAX; /* slots are loaded by site_boot.c */
        d->loop.published[i].size = at->size;
        d->loop.published[i].note_size = at->checkpoint_size;
        memcpy(d->loop.published[i].note, at->checkpoint, at->checkpoint_size);
    }
    s->reads = d;
}

static void drop_queue(struct queue *q, bool is_mail)
{
    struct chain_of_links got;
    (void)queue_take(q, &got, SIZE_MAX, 0);
    for (struct link *l; (l = links_pop(&got)) != NULL;)
        if (is_mail)
            mail_drop((struct mail *)(void *)l);
        else
            request_drop((struct request *)(void *)l);
    queue_close(q);
}

void reads_stop(struct site *s)
{
    struct reads *d = s->reads;
    if (d == NULL)
        return;
    struct commit *c = &d->commit;
    for (uint32_t i = 0; i < s->w->actor_count; i++)
        if (s->lines[i].up)
            reads_hung_up(s, &s->lines[i]);
    links_join(&c->mail, &c->events);
    for (struct link *l; (l = links_pop(&c->mail)) != NULL;)
        mail_drop((struct mail *)(void *)l);
    answers_close(c);
    causes_close(&c->causes);
    c->reader->ops->close(c->reader);
    d->good->ops->close(d->good);
    buf_close(&d->reader.records);
    drop_queue(&d->relay.mail, true);
    drop_queue(&d->relay.readers, false);
    drop_queue(&d->relay.commit, false);
    highwater_close(&d->relay.highwater);
    pinned_close(&d->relay.pinned);
    topics_close(&d->loop.topics);
    free(d);
    s->reads = NULL;
}

void reads_slot_loaded(struct world *w, struct site *s, uint32_t slot)
{
    struct commit *c = &s->reads->commit;
    c->q = s->hub.q;
    if (pinned_load(c, slot) != ERR_OK)
        fail(w, "no memory");
    event_reloaded(c, slot);
    c->recount = true;
}

/* ---- commits ---- */

void reads_before_append(struct world *w, struct site *s)
{
    s->reads->commit.q = s->hub.q;
    if (pinned_prepare(&s->reads->commit, s->appends, s->append_count) != ERR_OK)
        fail(w, "no memory");
}

void reads_after_append(struct site *s)
{
    for (size_t i = 0; i < s->append_count; i++) {
        uint32_t slot = s->appends[i].slot;
        if (s->outcome[i] != STORE_COMMITTED)
            atomic_store(&s->reads->relay.unsure[slot], s->outcome[i] == STORE_UNKNOWN);
    }
}

void reads_after_outcome(struct site *s)
{
    if (s->reads != NULL && sequencer_full(s->hub.q))
        s->reads->commit.recount = true;
}

void reads_committed(void *context, const struct seq_commit *c)
{
    struct site *s = context;
    if (s->reads == NULL)
        return; /* the ledger is being made */
    s->reads->commit.q = s->hub.q;
    event_committed(&s->reads->commit, c);
}

void reads_accepted(struct site *s, uint64_t conn, bool wants_settled, uint32_t entry,
                    bool duplicate)
{
    static struct payload p;
    struct entry e;
    const struct sim_entry *n = &town_of(s->w)->entries[entry];
    if (n->kind != KIND_TRANSFER || entry_decode(&e, n->bytes, n->size) != ERR_OK ||
        payload_decode(&p, e.kind, e.payload) != ERR_OK)
        return;
    struct causes *causes = &s->reads->commit.causes;
    struct cause *cause =
        duplicate ? causes_find(causes, &n->id) : causes_add(causes, &n->id);
    if (cause == NULL)
        return;
    if (!duplicate)
        cause->left = (uint32_t)p.transfer.payee_count;
    if (wants_settled)
        cause_watch(cause, conn);
}

void reads_settled(struct site *s, const struct seq_settled *t)
{
    struct commit *c = &s->reads->commit;
    struct cause *cause = causes_find(&c->causes, &t->cause);
    if (cause == NULL)
        return;
    for (uint32_t i = 0; i < cause->watcher_count; i++)
        answer_settled(c, cause->watchers[i], t);
    cause->left = t->remaining;
    if (t->remaining == 0)
        causes_remove(&c->causes, &t->cause);
}

/* Questions that the commit thread answers between two batches. */
static void ask_all(struct world *w, struct site *s)
{
    struct commit *c = &s->reads->commit;
    struct chain_of_links got;
    (void)queue_take(&s->reads->relay.commit, &got, SIZE_MAX, 0);
    for (struct link *l; (l = links_pop(&got)) != NULL;) {
        struct request *q = (struct request *)(void *)l;
        if (q->kind == REQUEST_STOP) {
            say(w, "%s is shown a tree of slot %02x beside its own, and stops it",
                s->actor.name, (unsigned)q->slot);
            saw(w, SEEN_STOPPED_BY_HELLO);
            if (s->good == NULL)
                fail(w, "%s stops a slot that has everything", s->actor.name);
        }
        ask(c, q);
    }
}

void reads_turn(struct world *w, struct site *s)
{
    if (!s->up || s->reads == NULL || s->in_flight || s->hub.q == NULL)
        return;
    struct commit *c = &s->reads->commit;
    c->q = s->hub.q;
    ask_all(w, s);
    if (c->recount)
        slots_reload(c, w->now_ms);
    answers_finish(c);
    links_join(&c->mail, &c->events);
    if (c->mail.first != NULL)
        relay_mail(c->r, &c->mail);
}

/* ---- questions ---- */

static struct request *request_of(struct site *s, struct line *l, enum request_kind kind)
{
    struct request *q = request_new(kind, l->conn->id);
    if (q == NULL)
        fail(s->w, "no memory for a question");
    q->has_device = l->conn->session.has_device;
    q->device = l->conn->session.device;
    return q;
}

void reads_hello(struct world *w, struct site *s, struct line *l, const void *bytes,
                 size_t size)
{
    struct request *q = request_of(s, l, REQUEST_HELLO);
    q->frame = frame_new(size);
    if (q->frame == NULL)
        fail(w, "no memory for a question");
    memcpy(frame_data(q->frame), bytes, size);
    q->frame->size = (uint32_t)size;
    if (wire_decode(&q->f, frame_data(q->frame), size) != ERR_OK)
        fail(w, "a frame decodes once and not again");
    (void)ask_reader(&s->reads->loop, q);
}

static void tell_checkpoint(struct site *s, struct line *l, const struct wire_frame *f)
{
    struct loop *loop = &s->reads->loop;
    session_read_done(&l->conn->session);
    if (f->type == WIRE_COSIGNED || f->slot >= s->hub.slots) {
        enum err e = f->slot >= s->hub.slots ? ERR_RANGE : ERR_NOT_FOUND;
        conn_send(loop, l->conn, frame_error(f->rid, e, 0));
        return;
    }
    const struct published *p = &loop->published[f->slot];
    conn_send(loop, l->conn,
              frame_of(&(struct wire_frame){.type = WIRE_CHECKPOINT_IS,
                                            .rid = f->rid,
                                            .note = bytes_of(p->note, p->note_size)}));
}

void reads_ask(struct world *w, struct site *s, struct line *l,
               const struct wire_frame *f, bool of_commit)
{
    if (f->type == WIRE_CHECKPOINT || f->type == WIRE_COSIGNED) {
        tell_checkpoint(s, l, f);
        return;
    }
    struct request *q = request_of(s, l, REQUEST_FRAME);
    q->f = *f;
    if (!of_commit) {
        (void)ask_reader(&s->reads->loop, q);
        return;
    }
    atomic_fetch_add(&s->reads->relay.asks_waiting, 1u);
    queue_put_one(&s->reads->relay.commit, &q->work.link);
    reads_turn(w, s);
}

void reads_answer(struct site *s, const struct line *l, const void *bytes, size_t size)
{
    struct mail *m = mail_new(MAIL_SEND, l->conn->id);
    if (m != NULL)
        m->frame = frame_new(size);
    if (m == NULL || m->frame == NULL)
        fail(s->w, "no memory for an answer");
    memcpy(frame_data(m->frame), bytes, size);
    m->frame->size = (uint32_t)size;
    links_add(&s->reads->commit.mail, &m->link);
}

void reads_subscribe(struct site *s, struct line *l, const struct wire_frame *f)
{
    s->w->stats.subscriptions += subscribe(&s->reads->loop, l->conn, f);
}

void reads_unsubscribe(struct site *s, struct line *l, const struct wire_frame *f)
{
    unsubscribe(&s->reads->loop, l->conn, f);
}

void reads_greeted(struct world *w, struct site *s, struct line *l)
{
    if (l->conn == NULL)
        l->conn = calloc(1, sizeof *l->conn);
    if (l->conn == NULL)
        fail(w, "no memory");
    *l->conn = (struct conn){.id = l->number << 32 | (uint32_t)(l - s->lines),
                             .ws = (struct ws_conn *)(void *)l,
                             .is_ws = true};
}

void reads_welcomed(struct site *s, struct line *l)
{
    const struct session *c = &l->conn->session;
    l->conn->auditor =
        c->has_device && pinned_is_auditor(&s->reads->relay.pinned, &c->device);
}

struct session *reads_session(struct line *l)
{
    return &l->conn->session;
}

void reads_hung_up(struct site *s, struct line *l)
{
    if (s->reads != NULL)
        unsubscribe_all(&s->reads->loop, l->conn);
    l->conn->ws = NULL;
    l->conn->pages = 0;
}

void reads_tick(struct site *s, struct line *l)
{
    if (l->conn->subs != NULL)
        catchup(&s->reads->loop, l->conn);
}

/* ---- timers ---- */

static void serve(struct world *w, struct site *s, struct request *q)
{
    struct reader *rd = &s->reads->reader;
    switch (q->kind) {
    case REQUEST_PAGE:
        serve_page(rd, q);
        break;
    case REQUEST_HELLO:
        serve_hello(rd, q);
        break;
    case REQUEST_FRAME:
        if (q->f.type == WIRE_FETCH) {
            serve_fetch(rd, q);
        } else if (q->f.type == WIRE_PROOF) {
            if (w->options.plant == PLANT_PROOF && q->f.kind == WIRE_INCLUSION &&
                (q->f.a ^ 1) < q->f.b)
                q->f.a ^= 1;
            serve_proof(rd, q);
        } else {
            reader_error(rd, q, ERR_NOT_FOUND);
        }
        break;
    default:
        fail(w, "a question for nobody");
    }
}

/* The first slot of which a HELLO shows more than there is; SLOTS_MAX: none. */
static uint32_t shown_behind(const struct site *s, const struct request *q)
{
    struct mp_reader notes = q->f.notes;
    struct bytes note;
    struct checkpoint c;
    for (size_t i = 0; q->kind == REQUEST_HELLO && i < q->f.note_count; i++) {
        wire_next_note(&notes, &note);
        for (uint32_t slot = 0; slot < s->hub.slots; slot++)
            if (checkpoint_open(&c, (const char *)note.data, note.size,
                                &s->hub.log_keys[slot]) &&
                c.size > s->hub.disk->slot[slot].size)
                return slot;
    }
    return SLOTS_MAX;
}

void reads_timer_read(struct world *w, struct site *s)
{
    struct chain_of_links got;
    if (!s->up || s->reads == NULL)
        return;
    (void)queue_take(&s->reads->relay.readers, &got, 1, 0);
    struct request *q = (struct request *)(void *)links_pop(&got);
    if (q == NULL)
        fail(w, "a reader is woken for nothing");
    if (goes_wrong(w, BAD_READ))
        s->hub.disk->read_fails = ERR_STORE;
    uint32_t behind = s->hub.disk->read_fails == ERR_OK ? shown_behind(s, q) : SLOTS_MAX;
    serve(w, s, q);
    s->hub.disk->read_fails = ERR_OK;
    request_drop(q);
    reads_turn(w, s); /* a slot may have to stop */
    if (behind < SLOTS_MAX && s->hub.q != NULL &&
        sequencer_slot_state(s->hub.q, behind) == SEQ_SLOT_READY)
        fail(w, "%s goes on with slot %02x, and was shown that it had more",
             s->actor.name, (unsigned)behind);
}

static void on_hello_checked(struct world *w, struct site *s, const struct mail *m)
{
    struct conn *c = conn_of(&s->reads->loop, m->conn);
    if (c == NULL || c->session.phase != SESSION_CHECKING)
        return;
    if (m->code == ERR_OK)
        door_welcome(w, s, line_of(c));
    else
        door_bye(w, s, line_of(c), m->code);
}

/* As loop.c: what a reader shows next is published first. */
static void on_seen(struct world *w, struct site *s, const struct mail *m)
{
    struct published *p = &s->reads->loop.published[m->slot];
    const char *note = (const char *)frame_data(m->frame);
    const char *end = memmem(note, m->frame->size, "\n\n", 2);
    struct checkpoint c;
    if (!m->own || end == NULL || !checkpoint_parse(&c, note, (size_t)(end + 1 - note)))
        fail(w, "%s tells its loop of no checkpoint", s->actor.name);
    if (c.size <= p->size)
        return;
    saw(w, SEEN_READ_FIRST);
    p->size = c.size;
    p->note_size = m->frame->size;
    memcpy(p->note, note, p->note_size);
}

/* The defect the checker is tried on: a record is left out between two pages. */
static void plant_skip(struct world *w, struct mail *m)
{
    if (w->options.plant == PLANT_SKIP && m->code == ERR_OK && m->next + 1 < m->view &&
        m->next > 1 && draw(w, 4) == 0)
        m->next++;
}

static void on_mail(struct world *w, struct site *s, struct mail *m)
{
    struct loop *l = &s->reads->loop;
    struct conn *c = conn_of(l, m->conn);
    switch (m->kind) {
    case MAIL_SEND:
        if (c == NULL)
            break;
        if (m->read)
            session_read_done(&c->session);
        conn_send(l, c, m->frame);
        m->frame = NULL;
        break;
    case MAIL_EVENT:
        on_event(l, m->event);
        break;
    case MAIL_PAGE:
        plant_skip(w, m);
        on_page(l, m);
        break;
    case MAIL_SEEN:
        on_seen(w, s, m);
        break;
    case MAIL_HELLO:
        on_hello_checked(w, s, m);
        break;
    default:
        fail(w, "mail for nobody");
    }
}

void reads_timer_mail(struct world *w, struct site *s)
{
    struct chain_of_links got;
    if (!s->up || s->reads == NULL)
        return;
    s->reads->mail_set = false;
    (void)queue_take(&s->reads->relay.mail, &got, SIZE_MAX, 0);
    for (struct link *l; (l = links_pop(&got)) != NULL;) {
        on_mail(w, s, (struct mail *)(void *)l);
        mail_drop((struct mail *)(void *)l);
    }
}
