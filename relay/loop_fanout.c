/* Subscriptions: catch-up by readers, live from commits, and the handover between them by
 * position or index. A subscription's `next` is the record it gets next, whoever sends
 * it: what is below was sent, what is above waits; so nothing is sent twice or left out.
 */
#include "relay/loop_internal.h"

#include "relay/cosigner.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/trace.h"

#define LIVE_HEAD_BYTES 128u
#define NO_RECORD UINT32_MAX

static const struct pubkey *device_of(const struct conn *c)
{
    return c->session.has_device ? &c->session.device : NULL;
}

static uint32_t slot_of_key(const struct loop *l, const struct wire_key *key)
{
    return key->what == WIRE_SLOT ? (uint32_t)key->slot : relay_slot_of(l->r, &key->id);
}

/* Catch-up. */

static void ask_page(struct loop *l, struct conn *c, struct sub *s)
{
    struct request *q = request_new(REQUEST_PAGE, c->id);
    if (!q)
        return; /* the next tick tries again */
    q->has_device = c->session.has_device;
    q->device = c->session.device;
    q->key = s->topic->key;
    q->next = s->next;
    q->serial = s->serial;
    if (!ask_reader(l, q))
        return;
    s->asked = true;
    c->pages++;
}

void catchup(struct loop *l, struct conn *c)
{
    if (!c->ws || l->said_bye)
        return;
    for (struct sub *s = c->subs; s; s = s->next_of_conn) {
        if (c->pages >= CATCHUP_PAGES_MAX || ws_unsent(c->ws) > CATCHUP_UNSENT_MAX)
            return;
        if (s->state == SUB_CATCHUP && !s->asked)
            ask_page(l, c, s);
    }
}

static void drop_sub(struct loop *l, struct conn *c, struct sub *s)
{
    topics_remove(&l->topics, s, &c->subs);
    c->session.subscribed--;
    atomic_store(&l->r->subscriptions, l->topics.subs);
}

void on_page(struct loop *l, struct mail *m)
{
    struct conn *c = conn_of(l, m->conn);
    if (!c || !c->ws)
        return;
    assert(c->pages > 0);
    c->pages--;
    struct sub *s = topics_of(c->subs, &m->key);
    if (!s || s->serial != m->serial)
        return;
    s->asked = false;
    if (m->code == ERR_NOT_ALLOWED || m->code == ERR_RANGE) {
        conn_send(l, c, frame_error(s->rid, m->code, 0));
        drop_sub(l, c, s);
        return;
    }
    if (m->code != ERR_OK)
        return; /* the store did not answer; the next tick asks again */
    bool moved = m->next != s->next;
    s->next = m->next;
    if (m->at_end && l->published[m->slot].size <= m->view)
        s->state = SUB_LIVE;
    /* An empty page says nothing, unless it is the first word that the end was reached.
     */
    if (moved || (s->state == SUB_LIVE && !s->told_end)) {
        conn_send(l, c, m->frame);
        m->frame = NULL;
        s->told_end = s->told_end || m->at_end;
    }
    catchup(l, c);
}

bool subscribe(struct loop *l, struct conn *c, const struct wire_frame *f)
{
    enum err e = ERR_OK;
    if (topics_of(c->subs, &f->key))
        e = ERR_LIMIT;
    else if (f->key.what == WIRE_ACCOUNT &&
             !pinned_may_read(&l->r->pinned, &f->key.id, device_of(c)))
        e = ERR_NOT_ALLOWED;
    else if (f->key.what == WIRE_SLOT && f->from > l->published[f->key.slot].size)
        e = ERR_RANGE;
    struct sub *s = NULL;
    if (e == ERR_OK) {
        s = topics_add(&l->topics, &f->key, c->id, f->from, &c->subs);
        e = s ? ERR_OK : ERR_BUSY;
    }
    if (e != ERR_OK) {
        conn_send(l, c, frame_error(f->rid, e, 0));
        return false;
    }
    s->rid = f->rid;
    c->session.subscribed++;
    atomic_store(&l->r->subscriptions, l->topics.subs);
    conn_send(l, c, frame_of(&(struct wire_frame){.type = WIRE_OK, .rid = f->rid}));
    catchup(l, c);
    return true;
}

void unsubscribe(struct loop *l, struct conn *c, const struct wire_frame *f)
{
    struct sub *s = topics_of(c->subs, &f->key);
    if (s)
        drop_sub(l, c, s);
    conn_send(l, c,
              s ? frame_of(&(struct wire_frame){.type = WIRE_OK, .rid = f->rid})
                : frame_error(f->rid, ERR_NOT_FOUND, 0));
}

void unsubscribe_all(struct loop *l, struct conn *c)
{
    while (c->subs)
        drop_sub(l, c, c->subs);
}

/* Live. */

/* Frames for one stream, each with where it begins and ends. */
struct live {
    struct frame *frame;
    uint64_t first, after;
    bool pinned;
};

static bool to_catchup(struct loop *l, struct conn *c, struct sub *s)
{
    s->state = SUB_CATCHUP;
    if (!s->asked)
        catchup(l, c);
    return false;
}

/* One frame for one subscriber. */
static void deliver(struct loop *l, struct sub *s, const struct live *live)
{
    struct conn *c = conn_of(l, s->conn);
    if (!c || !c->ws || s->state != SUB_LIVE || live->after <= s->next)
        return;
    if (live->first != s->next) {
        to_catchup(l, c, s);
        return;
    }
    if (conn_is_slow(l, c, live->frame->size)) {
        metrics_count(l->r->metrics, METRIC_SLOW_MOVED, 0, 1);
        s->state = SUB_CATCHUP; /* goes on when its socket has taken what waits */
        return;
    }
    if (live->pinned && !c->auditor &&
        !pinned_may_read(&l->r->pinned, &s->topic->key.id, device_of(c))) {
        s->state = SUB_CATCHUP; /* the reader says no, and the subscription ends */
        catchup(l, c);
        return;
    }
    s->next = live->after;
    conn_send(l, c, frame_keep(live->frame));
}

static struct frame *live_frame(const struct wire_key *key, const struct event *e,
                                size_t count, size_t bytes, struct mp_writer *w)
{
    struct frame *f = frame_new(LIVE_HEAD_BYTES + bytes + e->note_size);
    if (!f)
        return NULL;
    *w = frame_writer(f);
    wire_put(w,
             &(struct wire_frame){
                 .type = WIRE_RECORDS, .key = *key, .mode = WIRE_LIVE, .count = count});
    return f;
}

static void finish_frame(struct frame *f, struct mp_writer *w, const struct event *e)
{
    wire_put_note(w, bytes_of(e->note, e->note_size));
    assert(!w->full);
    f->size = (uint32_t)w->size;
}

/* A slot's stream: runs of records [from, to) that fit a frame; `open` with all
 * envelopes. */
static void slot_run(struct loop *l, struct topic *t, const struct event *e, size_t from,
                     size_t to, size_t bytes, bool open)
{
    struct mp_writer w;
    struct live live = {.first = e->old_size + from, .after = e->old_size + to};
    live.frame = live_frame(&t->key, e, to - from, bytes, &w);
    if (!live.frame)
        return; /* subscribers find the gap at the next commit and catch up */
    for (size_t i = from; i < to; i++) {
        const struct event_record *r = &e->records[i];
        if (open)
            mp_raw(&w, e->block + r->at, r->size);
        else
            mp_raw(&w, e->block + r->public_at, r->public_size);
    }
    finish_frame(live.frame, &w, e);
    for (struct sub *s = t->subs, *next; s; s = next) {
        next = s->next_of_topic;
        const struct conn *c = conn_of(l, s->conn);
        if (!e->any_pinned || !c || c->auditor == open)
            deliver(l, s, &live);
    }
    frame_drop(live.frame);
}

static void slot_live(struct loop *l, struct topic *t, const struct event *e, bool open)
{
    size_t from = 0, bytes = 0;
    for (size_t i = 0; i < e->count; i++) {
        size_t size = open ? e->records[i].size : e->records[i].public_size;
        if (i > from &&
            (bytes + size > ANSWER_BYTES_MAX || i - from == WIRE_ENTRIES_MAX)) {
            slot_run(l, t, e, from, i, bytes, open);
            from = i;
            bytes = 0;
        }
        bytes += size;
    }
    if (e->count > from)
        slot_run(l, t, e, from, e->count, bytes, open);
}

/* An account's stream: the chain of its records in this event. */
static void account_run(struct loop *l, struct topic *t, const struct event *e,
                        uint32_t first, size_t count, size_t bytes)
{
    struct mp_writer w;
    struct live live = {.first = e->records[first].position,
                        .after = e->records[first].position + count,
                        .pinned = e->records[first].pinned};
    live.frame = live_frame(&t->key, e, count, bytes, &w);
    if (!live.frame)
        return;
    for (uint32_t i = first; count-- > 0; i = e->records[i].next_of_account)
        mp_raw(&w, e->block + e->records[i].at, e->records[i].size);
    finish_frame(live.frame, &w, e);
    for (struct sub *s = t->subs, *next; s; s = next) {
        next = s->next_of_topic;
        deliver(l, s, &live);
    }
    frame_drop(live.frame);
}

static void account_live(struct loop *l, struct topic *t, const struct event *e)
{
    size_t bytes = 0, count = 0;
    uint32_t first = t->first_picked;
    for (uint32_t i = first; i != NO_RECORD; i = e->records[i].next_of_account) {
        if (count > 0 && (bytes + e->records[i].size > ANSWER_BYTES_MAX ||
                          count == WIRE_ENTRIES_MAX)) {
            account_run(l, t, e, first, count, bytes);
            first = i;
            bytes = count = 0;
        }
        bytes += e->records[i].size;
        count++;
    }
    account_run(l, t, e, first, count, bytes);
}

/* Topics with records in this event, each with the chain of them. */
static struct topic *pick_accounts(struct loop *l, struct event *e)
{
    struct topic *picked = NULL;
    for (uint32_t i = 0; i < e->count; i++) {
        struct wire_key key = {.what = WIRE_ACCOUNT, .id = e->records[i].account};
        e->records[i].next_of_account = NO_RECORD;
        struct topic *t = topics_find(&l->topics, &key);
        if (!t)
            continue;
        if (t->picked++ == 0) {
            t->first_picked = i;
            t->next_picked = picked;
            picked = t;
        } else {
            e->records[t->last_picked].next_of_account = i;
        }
        t->last_picked = i;
    }
    return picked;
}

/* A commit nobody was known to listen to when it was made: whoever does by now and has
 * not seen it reads it from the store. */
static void unseen(void *context, struct topic *t)
{
    struct loop *l = context;
    for (struct sub *s = t->subs; s; s = s->next_of_topic)
        if (s->state == SUB_LIVE && slot_of_key(l, &t->key) == l->unseen_slot)
            s->state = SUB_CATCHUP;
}

static void ask_again(struct loop *l, struct conn *c)
{
    if (c->subs)
        catchup(l, c);
}

void on_event(struct loop *l, struct event *e)
{
    struct published *p = &l->published[e->slot];
    if (e->new_size >= p->size) { /* else an answer of its owner showed more (MAIL_SEEN) */
        p->size = e->new_size;
        p->root = e->root;
        p->time_ms = e->time_ms;
        p->note_size = e->note_size;
        memcpy(p->note, e->note, e->note_size);
    }
    cosigner_published(l->r->cosigner, e->slot, p->size, bytes_of(p->note, p->note_size));
    metrics_set(l->r->metrics, METRIC_CHECKPOINT_TIME, 0, (int64_t)e->time_ms);
    if (l->topics.count == 0)
        return;
    if (!e->records) {
        l->unseen_slot = e->slot;
        topics_each(&l->topics, unseen, l);
        conn_walk(l, ask_again);
        return;
    }
    struct wire_key key = {.what = WIRE_SLOT, .slot = e->slot};
    struct topic *t = topics_find(&l->topics, &key);
    if (t) {
        slot_live(l, t, e, true);
        if (e->any_pinned)
            slot_live(l, t, e, false);
    }
    struct topic *next;
    for (t = pick_accounts(l, e); t; t = next) {
        next = t->next_picked;
        account_live(l, t, e);
        t->picked = 0;
        t->next_picked = NULL;
    }
}
