/* Results of a batch into frames: every connection gets one RESULTS (and one SETTLED)
 * frame a batch, however many entries it had in it. */
#include "relay/commit_internal.h"

#include <stdlib.h>
#include <string.h>

#include "relay/clock.h"

#define SETTLED_BYTES_MAX 96u
#define SLOT_NOTE_OVERHEAD 16u
#define HEAD_BYTES_MAX 64u
#define BODY_KEPT_MAX (64u << 10) /* a spare answer keeps at most this */
#define REFUSED_BY_RULES(code) ((code) >= 110 && (code) <= 159)

static void mark_slot(struct answer *a, uint32_t slot)
{
    a->slots[slot / 64] |= UINT64_C(1) << (slot % 64);
}

static bool has_slot(const struct answer *a, uint32_t slot)
{
    return (a->slots[slot / 64] >> (slot % 64) & 1) != 0;
}

static struct answer *answer_new(struct commit *c, conn_id conn)
{
    struct answer *a = c->spare;
    if (a)
        c->spare = a->next;
    else
        a = calloc(1, sizeof(*a));
    if (!a)
        return NULL;
    a->conn = conn;
    a->next = c->touched;
    c->touched = a;
    return a;
}

/* The answer of a connection in this batch; NULL: no memory. */
static struct answer *answer_of(struct commit *c, conn_id conn)
{
    size_t index = (size_t)(conn & UINT32_MAX);
    if (index >= c->by_conn_cap) {
        size_t cap = index < 64 ? 128 : index * 2;
        struct answer **more = realloc(c->by_conn, cap * sizeof(struct answer *));
        if (!more)
            return NULL;
        memset(more + c->by_conn_cap, 0,
               (cap - c->by_conn_cap) * sizeof(struct answer *));
        c->by_conn = more;
        c->by_conn_cap = cap;
    }
    struct answer *a = c->by_conn[index];
    if (a && a->conn == conn)
        return a;
    a = answer_new(c, conn);
    c->by_conn[index] = a;
    return a;
}

static struct frame *results_frame(struct commit *c, const struct answer *a)
{
    size_t notes = 0, note_bytes = 0;
    for (uint32_t slot = 0; slot < c->r->slots; slot++)
        if (has_slot(a, slot)) {
            notes++;
            note_bytes += sequencer_checkpoint(c->q, slot).size + SLOT_NOTE_OVERHEAD;
        }
    struct frame *f = frame_new(HEAD_BYTES_MAX + note_bytes + a->results.size);
    if (!f)
        return NULL;
    struct mp_writer w = frame_writer(f);
    wire_put(&w, &(struct wire_frame){.type = WIRE_RESULTS, .note_count = notes});
    for (uint32_t slot = 0; slot < c->r->slots; slot++)
        if (has_slot(a, slot))
            wire_put_slot_note(&w, slot, sequencer_checkpoint(c->q, slot));
    wire_put_list(&w, a->result_count);
    mp_raw(&w, a->results.data, a->results.size);
    f->size = (uint32_t)w.size;
    return f;
}

static struct frame *settled_frame(const struct answer *a)
{
    struct frame *f = frame_new(HEAD_BYTES_MAX + a->settled.size);
    if (!f)
        return NULL;
    struct mp_writer w = frame_writer(f);
    wire_put(&w, &(struct wire_frame){.type = WIRE_SETTLED, .count = a->settled_count});
    mp_raw(&w, a->settled.data, a->settled.size);
    f->size = (uint32_t)w.size;
    return f;
}

static void post(struct commit *c, conn_id conn, struct frame *f, uint32_t entries)
{
    struct mail *m = mail_new(MAIL_SEND, conn);
    if (!m) {
        frame_drop(f);
        return;
    }
    m->frame = f;
    m->entries = entries;
    links_add(&c->mail, &m->link);
}

/* A batch that was not committed leaves no checkpoint to point to, so results that are
 * accepted go out only with their slot's. */
static void finish_results(struct commit *c, struct answer *a)
{
    if (a->result_count > 0 || a->entries > 0)
        post(c, a->conn, a->result_count ? results_frame(c, a) : NULL, a->entries);
    buf_clear(&a->results);
    a->result_count = a->entries = 0;
    memset(a->slots, 0, sizeof(a->slots));
}

static void finish_settled(struct commit *c, struct answer *a)
{
    if (a->settled_count > 0)
        post(c, a->conn, settled_frame(a), 0);
    buf_clear(&a->settled);
    a->settled_count = 0;
}

static void add_result(struct commit *c, conn_id conn, const struct wire_result *r)
{
    struct answer *a = answer_of(c, conn);
    if (!a) { /* no answer, but no longer under way either */
        post(c, conn, NULL, 1);
        return;
    }
    if (a->result_count == ANSWER_RESULTS_MAX ||
        a->results.size + WIRE_RESULT_BYTES_MAX > ANSWER_BYTES_MAX)
        finish_results(c, a);
    a->entries++;
    if (!buf_reserve(&a->results, WIRE_RESULT_BYTES_MAX))
        return;
    struct mp_writer w =
        mp_writer_of(a->results.data + a->results.size, a->results.cap - a->results.size);
    wire_put_result(&w, r);
    if (w.full)
        return;
    a->results.size += w.size;
    a->result_count++;
    if (r->code == 0)
        mark_slot(a, (uint32_t)r->slot);
}

static void time_request(struct commit *c, const struct job *j, enum metric_code code)
{
    metrics_observe(c->r->metrics, METRIC_REQUEST, METRIC_PAIR(M_ROUTE_SUBMIT, code),
                    clock_mono_us() - j->since_us);
}

void answer_accepted(struct commit *c, struct job_item *item, const struct seq_result *r)
{
    struct wire_result out = {.rid = item->job->rid,
                              .i = item->i,
                              .slot = r->record.slot,
                              .index = r->record.index,
                              .position = r->record.position,
                              .account_head = r->record.account_head,
                              .hub_lamport = r->record.hub_lamport,
                              .hub_time_ms = r->record.hub_time_ms,
                              .path = bytes_of(r->path, r->path_count * HASH_BYTES),
                              .flags = r->duplicate ? WIRE_RESULT_DUPLICATE : 0};
    if (r->duplicate)
        metrics_count(c->r->metrics, METRIC_DUPLICATE, 0, 1);
    add_result(c, item->job->conn, &out);
    time_request(c, item->job, M_CODE_OK);
}

void result_refused(struct wire_result *out, const struct relay *r, uint64_t rid,
                    uint32_t i, const struct hash *id, const struct refusal *refusal,
                    uint64_t now_ms)
{
    *out = (struct wire_result){.rid = rid,
                                .i = i,
                                .code = (uint64_t)refusal->code,
                                .has_head = refusal->has_head,
                                .next_seq = refusal->next_seq,
                                .tip = refusal->tip,
                                .tip_lamport = refusal->tip_lamport,
                                .balance = refusal->balance,
                                .retry_after_ms = refusal->retry_after_ms,
                                .hub_time_ms = now_ms};
    metrics_reject(r->metrics, refusal->code);
    if (!id || !REFUSED_BY_RULES(refusal->code))
        return; /* decoding speaks of amounts and payees too: the rules saw none of it */
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t size = refusal_message(message, id, out->code, now_ms);
    out->has_sig = true;
    out->sig = key_sign(r->keys.relay, CTX_REFUSAL, message, size);
}

void answer_refused(struct commit *c, struct job_item *item, const struct refusal *r,
                    uint64_t now_ms)
{
    struct wire_result out;
    result_refused(&out, c->r, item->job->rid, item->i,
                   item->verdict == ERR_OK ? &item->entry.id : NULL, r, now_ms);
    add_result(c, item->job->conn, &out);
    time_request(c, item->job, M_CODE_REFUSED);
}

void answer_settled(struct commit *c, conn_id conn, const struct seq_settled *s)
{
    struct answer *a = answer_of(c, conn);
    if (!a)
        return;
    if (a->settled_count == ANSWER_RESULTS_MAX)
        finish_settled(c, a);
    if (!buf_reserve(&a->settled, SETTLED_BYTES_MAX))
        return;
    struct mp_writer w =
        mp_writer_of(a->settled.data + a->settled.size, a->settled.cap - a->settled.size);
    wire_put_settled(&w, &(struct wire_settled){.cause = s->cause,
                                                .payee_index = s->payee_index,
                                                .bounced = s->bounced,
                                                .slot = s->slot,
                                                .index = s->index,
                                                .left = s->remaining});
    if (w.full)
        return;
    a->settled.size += w.size;
    a->settled_count++;
}

static void trim(struct buf *b)
{
    if (b->cap > BODY_KEPT_MAX)
        buf_close(b);
}

void answers_finish(struct commit *c)
{
    for (struct answer *a; (a = c->touched);) {
        c->touched = a->next;
        finish_results(c, a);
        finish_settled(c, a);
        c->by_conn[a->conn & UINT32_MAX] = NULL;
        trim(&a->results);
        trim(&a->settled);
        a->next = c->spare;
        c->spare = a;
    }
}

void answers_close(struct commit *c)
{
    struct answer *lists[2] = {c->touched, c->spare};
    for (int i = 0; i < 2; i++)
        for (struct answer *a = lists[i], *next; a; a = next) {
            next = a->next;
            buf_close(&a->results);
            buf_close(&a->settled);
            free(a);
        }
    free(c->by_conn);
}
