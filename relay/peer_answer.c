/* Answers of an owner as frames for the clients that wait: every connection gets one RESULTS
 * frame for what one frame of the owner brought it, under its own rid. */
#include <stdlib.h>
#include <string.h>

#include "relay/clock.h"
#include "relay/commit_internal.h"
#include "relay/follow.h"
#include "relay/peer_internal.h"

#define FRAME_HEAD_BYTES 64u
#define SLOT_NOTE_OVERHEAD 16u
#define RESULT_OVERHEAD 256u
#define SETTLED_ITEM_BYTES 96u

static void post(struct chain_of_links *out, conn_id conn, struct frame *f,
                 uint32_t entries, bool read)
{
    struct mail *m = mail_new(MAIL_SEND, conn);
    if (!m) {
        frame_drop(f);
        return;
    }
    m->frame = f;
    m->entries = entries;
    m->read = read;
    links_add(out, &m->link);
}

/* Results. */

static int by_conn(const void *a, const void *b)
{
    const struct peer_got *x = a, *y = b;
    if (x->item->conn != y->item->conn)
        return x->item->conn < y->item->conn ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* Ids are hashes: any two bytes of one choose a bucket. */
static struct peer_watch *bucket(struct peers *p, const struct hash *cause)
{
    uint32_t n = (uint32_t)cause->b[0] << 8 | cause->b[1];
    return &p->watched[n % PEER_WATCH_BUCKETS * PEER_WATCH_WAYS];
}

static void watch(struct peers *p, const struct peer_item *i)
{
    pthread_mutex_lock(&p->lock);
    struct peer_watch *w = bucket(p, &i->id), *place = NULL;
    for (uint32_t k = 0; k < PEER_WATCH_WAYS && !place; k++)
        if (w[k].conn == 0)
            place = &w[k];
    if (!place)
        place = &w[p->watch_next++ % PEER_WATCH_WAYS];
    *place = (struct peer_watch){.cause = i->id, .conn = i->conn};
    pthread_mutex_unlock(&p->lock);
}

struct notes {
    size_t count;
    uint64_t slot[SLOTS_MAX];
    struct bytes note[SLOTS_MAX];
};

static void read_notes(const struct wire_frame *f, struct notes *n)
{
    struct mp_reader r = f->notes;
    n->count = f->note_count;
    for (size_t i = 0; i < n->count; i++)
        wire_next_slot_note(&r, &n->slot[i], &n->note[i]);
}

/* The checkpoints that the accepted ones among these results lead to. */
static size_t mark_notes(const struct notes *n, const struct peer_got *got, size_t count,
                         bool needed[SLOTS_MAX], size_t *bytes)
{
    size_t used = 0;
    for (size_t i = 0; i < n->count; i++) {
        needed[i] = false;
        for (size_t k = 0; k < count && !needed[i]; k++)
            needed[i] = got[k].result.code == 0 && got[k].result.slot == n->slot[i];
        if (needed[i]) {
            used++;
            *bytes += n->note[i].size + SLOT_NOTE_OVERHEAD;
        }
    }
    return used;
}

static struct frame *results_frame(const struct notes *n, const struct peer_got *got,
                                   size_t count)
{
    bool needed[SLOTS_MAX];
    size_t bytes = FRAME_HEAD_BYTES;
    size_t notes = mark_notes(n, got, count, needed, &bytes);
    for (size_t k = 0; k < count; k++)
        bytes += got[k].result.path.size + RESULT_OVERHEAD;
    struct frame *f = frame_new(bytes);
    if (!f)
        return NULL;
    struct mp_writer w = frame_writer(f);
    wire_put(&w, &(struct wire_frame){.type = WIRE_RESULTS, .note_count = notes});
    for (size_t i = 0; i < n->count; i++)
        if (needed[i])
            wire_put_slot_note(&w, n->slot[i], n->note[i]);
    wire_put_list(&w, count);
    for (size_t k = 0; k < count; k++) {
        struct wire_result r = got[k].result;
        r.rid = got[k].item->rid;
        r.i = got[k].item->i;
        wire_put_result(&w, &r);
    }
    if (w.full) {
        frame_drop(f);
        return NULL;
    }
    f->size = (uint32_t)w.size;
    return f;
}

static void time_item(struct peers *p, const struct peer_item *i, enum metric_route route,
                      enum metric_code code)
{
    uint64_t took = clock_mono_us() - i->since_us;
    metrics_observe(p->r->metrics, METRIC_REQUEST, METRIC_PAIR(route, code), took);
    metrics_observe(p->r->metrics, METRIC_FORWARD, 0, took);
}

/* What an answer proves to a client holds for whoever it asks next: the checkpoint is known
 * here before the answer is out. */
static void post_seen(struct peers *p, const struct notes *n, struct chain_of_links *out)
{
    for (size_t i = 0; i < n->count; i++) {
        struct mail *m = n->note[i].size <= CHECKPOINT_BYTES_MAX ? mail_new(MAIL_SEEN, 0)
                                                                 : NULL;
        if (!m || n->slot[i] >= p->r->slots) {
            mail_drop(m);
            continue;
        }
        m->slot = (uint32_t)n->slot[i];
        m->frame = frame_new(n->note[i].size);
        if (!m->frame) {
            mail_drop(m);
            continue;
        }
        memcpy(frame_data(m->frame), n->note[i].data, n->note[i].size);
        m->frame->size = (uint32_t)n->note[i].size;
        links_add(out, &m->link);
    }
}

void peer_answer_results(struct peers *p, const struct wire_frame *f, struct peer_got *got,
                         size_t count)
{
    struct chain_of_links out = {0};
    struct notes n;
    if (count == 0)
        return;
    read_notes(f, &n);
    post_seen(p, &n, &out);
    qsort(got, count, sizeof(*got), by_conn);
    for (size_t from = 0, to; from < count; from = to) {
        for (to = from; to < count && got[to].item->conn == got[from].item->conn; to++) {
            const struct peer_got *g = &got[to];
            if (g->result.code == 0 && g->item->transfer)
                watch(p, g->item);
            time_item(p, g->item, M_ROUTE_SUBMIT,
                      g->result.code == 0 ? M_CODE_OK : M_CODE_REFUSED);
        }
        post(&out, got[from].item->conn, results_frame(&n, got + from, to - from),
             (uint32_t)(to - from), false);
    }
    for (size_t i = 0; i < count; i++)
        free(got[i].item);
    relay_mail(p->r, &out);
}

/* Settlements: hints for whoever waits here for the transfer. */

struct told {
    conn_id conn;
    struct wire_settled s;
};

static struct frame *settled_frame(const struct wire_settled *s)
{
    struct frame *f = frame_new(FRAME_HEAD_BYTES + SETTLED_ITEM_BYTES);
    if (!f)
        return NULL;
    struct mp_writer w = frame_writer(f);
    wire_put(&w, &(struct wire_frame){.type = WIRE_SETTLED, .count = 1});
    wire_put_settled(&w, s);
    f->size = (uint32_t)w.size;
    return f;
}

void peer_answer_settled(struct peers *p, const struct wire_frame *f)
{
    struct chain_of_links out = {0};
    struct mp_reader list = f->list;
    pthread_mutex_lock(&p->lock);
    for (size_t k = 0; k < f->count; k++) {
        struct wire_settled s;
        wire_next_settled(&list, &s);
        struct peer_watch *w = bucket(p, &s.cause);
        for (uint32_t i = 0; i < PEER_WATCH_WAYS; i++, w++) {
            if (w->conn == 0 || !hash_equal(&w->cause, &s.cause))
                continue;
            post(&out, w->conn, settled_frame(&s), 0, false);
            if (s.left == 0)
                w->conn = 0;
        }
    }
    pthread_mutex_unlock(&p->lock);
    relay_mail(p->r, &out);
}

/* Questions. */

void peer_answer_question(struct peers *p, struct peer_item *item, struct wire_frame *f)
{
    struct chain_of_links out = {0};
    f->rid = item->rid;
    if (f->type == WIRE_HEAD_IS && f->slot < p->r->slots)
        follow_seen(p->r, (uint32_t)f->slot, f->size);
    post(&out, item->conn, frame_of(f), 0, true);
    time_item(p, item, item->type == WIRE_HEAD ? M_ROUTE_HEAD : M_ROUTE_SETTLEMENT,
              f->type == WIRE_ERROR ? M_CODE_REFUSED : M_CODE_OK);
    relay_mail(p->r, &out);
    free(item);
}

/* Nobody. */

static struct frame *refused_frame(const struct peers *p, const struct peer_item *item)
{
    struct refusal refusal = {.code = ERR_UNAVAILABLE,
                              .retry_after_ms = PEER_LATE_RETRY_MS};
    struct wire_result r;
    struct frame *f = frame_new(FRAME_HEAD_BYTES + RESULT_OVERHEAD);
    if (!f)
        return NULL;
    result_refused(&r, p->r, item->rid, item->i, NULL, &refusal, clock_wall_ms());
    struct mp_writer w = frame_writer(f);
    wire_put(&w, &(struct wire_frame){.type = WIRE_RESULTS});
    wire_put_list(&w, 1);
    wire_put_result(&w, &r);
    f->size = (uint32_t)w.size;
    return f;
}

void peer_answer_late(struct peers *p, struct peer_item *item)
{
    struct chain_of_links out = {0};
    if (item->core.question) {
        post(&out, item->conn, frame_error(item->rid, ERR_UNAVAILABLE, PEER_LATE_RETRY_MS),
             0, true);
    } else {
        metrics_count(p->r->metrics, METRIC_FORWARDED, M_FORWARD_UNAVAILABLE, 1);
        post(&out, item->conn, refused_frame(p, item), 1, false);
    }
    relay_mail(p->r, &out);
    free(item);
}
