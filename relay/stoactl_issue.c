#include "relay/stoactl_issue.h"

#include <stdlib.h>
#include <string.h>

#include "ledger/entry.h"

#define PAYLOAD_BYTES_MAX (REASON_BYTES_MAX + 64)
#define ATTEMPT_BITS 24 /* of a rid; the account's number is above them */

enum phase { PHASE_READY, PHASE_ASKED, PHASE_SENT, PHASE_WAITING, PHASE_DONE };

/* One account: its rows in turn. */
struct lane {
    struct hash account;
    size_t row; /* the present one, ROW_NONE when done */
    enum phase phase;
    uint32_t attempt; /* of the newest frame, so that a late answer is known */
    unsigned rebuilds;
    unsigned retries;
    uint64_t wake_ms;
    bool has_chain;
    uint64_t next_seq;
    struct hash tip;
    uint64_t tip_lamport;
};

struct issue {
    struct rows *rows;
    const struct key *issuer;
    struct pubkey issuer_public;
    struct issue_hooks hooks;
    struct lane *lanes;
    size_t lane_count;
    size_t *ready; /* ring of lane numbers; every lane is in it once at most */
    size_t ready_at, ready_count;
    size_t *waiting; /* lanes in PHASE_WAITING, in no order */
    size_t waiting_count;
    size_t active; /* asked or sent */
    size_t done;
    size_t window;
    bool broken;
};

static void push_ready(struct issue *s, struct lane *l)
{
    l->phase = PHASE_READY;
    s->ready[(s->ready_at + s->ready_count) % s->lane_count] = (size_t)(l - s->lanes);
    s->ready_count++;
}

static void push_waiting(struct issue *s, struct lane *l, uint64_t wake_ms)
{
    l->phase = PHASE_WAITING;
    l->wake_ms = wake_ms;
    s->waiting[s->waiting_count++] = (size_t)(l - s->lanes);
}

/* The lane's first row from `row` on that is still to be written. */
static void take_row(struct issue *s, struct lane *l, size_t row)
{
    while (row != ROW_NONE && s->rows->row[row].state != ROW_OPEN)
        row = s->rows->row[row].next;
    l->row = row;
    l->rebuilds = 0;
    l->retries = 0;
    if (row != ROW_NONE) {
        push_ready(s, l);
    } else {
        l->phase = PHASE_DONE;
        s->done++;
    }
}

/* Rows that begin an account are those no other row leads to. */
static bool make_lanes(struct issue *s)
{
    struct rows *rows = s->rows;
    bool *led_to = calloc(rows->count ? rows->count : 1, sizeof *led_to);
    if (!led_to)
        return false;
    for (size_t i = 0; i < rows->count; i++)
        if (rows->row[i].next != ROW_NONE)
            led_to[rows->row[i].next] = true;
    for (size_t i = 0; i < rows->count; i++)
        s->lane_count += !led_to[i];
    size_t room = s->lane_count ? s->lane_count : 1;
    s->lanes = calloc(room, sizeof *s->lanes);
    s->ready = calloc(room, sizeof *s->ready);
    s->waiting = calloc(room, sizeof *s->waiting);
    bool ok = s->lanes && s->ready && s->waiting;
    size_t n = 0;
    for (size_t i = 0; ok && i < rows->count; i++) {
        if (led_to[i])
            continue;
        struct lane *l = &s->lanes[n++];
        l->account = rows->row[i].account;
        take_row(s, l, i);
    }
    free(led_to);
    return ok;
}

struct issue *issue_open(struct rows *rows, const struct key *issuer,
                         const struct issue_hooks *hooks)
{
    struct issue *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->rows = rows;
    s->issuer = issuer;
    s->issuer_public = key_public(issuer);
    s->hooks = *hooks;
    s->window = ISSUE_WINDOW_MAX;
    if (!make_lanes(s)) {
        issue_close(s);
        return NULL;
    }
    return s;
}

void issue_close(struct issue *s)
{
    if (!s)
        return;
    free(s->lanes);
    free(s->ready);
    free(s->waiting);
    free(s);
}

void issue_connected(struct issue *s, size_t window)
{
    s->window = window == 0 || window > ISSUE_WINDOW_MAX ? ISSUE_WINDOW_MAX : window;
    for (size_t i = 0; i < s->lane_count; i++)
        if (s->lanes[i].phase == PHASE_ASKED || s->lanes[i].phase == PHASE_SENT)
            push_ready(s, &s->lanes[i]);
    s->active = 0;
}

bool issue_done(const struct issue *s)
{
    return s->done == s->lane_count;
}

bool issue_broken(const struct issue *s)
{
    return s->broken;
}

size_t issue_abandon(struct issue *s)
{
    size_t count = 0;
    for (size_t i = 0; i < s->lane_count; i++) {
        const struct lane *l = &s->lanes[i];
        if (l->row == ROW_NONE || !s->rows->row[l->row].envelope)
            continue;
        s->rows->row[l->row].state = ROW_UNKNOWN;
        count++;
    }
    return count;
}

uint64_t issue_wake_ms(const struct issue *s)
{
    uint64_t wake = UINT64_MAX;
    for (size_t i = 0; i < s->waiting_count; i++)
        if (s->lanes[s->waiting[i]].wake_ms < wake)
            wake = s->lanes[s->waiting[i]].wake_ms;
    return wake;
}

static void finish_row(struct issue *s, struct lane *l, enum row_state state,
                       uint64_t code)
{
    struct row *row = &s->rows->row[l->row];
    row->state = state;
    row->code = code;
    free(row->envelope);
    row->envelope = NULL;
    row->envelope_size = 0;
    s->hooks.finished(s->hooks.context, row);
    take_row(s, l, row->next);
}

static uint64_t next_rid(const struct issue *s, struct lane *l)
{
    l->attempt = (l->attempt + 1) & ((1u << ATTEMPT_BITS) - 1);
    return (uint64_t)(l - s->lanes) << ATTEMPT_BITS | l->attempt;
}

static size_t put_head_question(struct issue *s, struct lane *l, uint8_t *out)
{
    struct mp_writer w = mp_writer_of(out, ISSUE_FRAME_BYTES_MAX);
    wire_put(&w, &(struct wire_frame){.type = WIRE_HEAD,
                                      .rid = next_rid(s, l),
                                      .id = l->account,
                                      .has_device = true,
                                      .device = s->issuer_public});
    l->phase = PHASE_ASKED;
    s->active++;
    return w.size;
}

static size_t put_submit(struct issue *s, struct lane *l, uint8_t *out)
{
    const struct row *row = &s->rows->row[l->row];
    struct mp_writer w = mp_writer_of(out, ISSUE_FRAME_BYTES_MAX);
    wire_put(
        &w, &(struct wire_frame){.type = WIRE_SUBMIT, .rid = next_rid(s, l), .count = 1});
    wire_put_envelope(&w, bytes_of(row->envelope, row->envelope_size));
    l->phase = PHASE_SENT;
    s->active++;
    return w.size;
}

static size_t encode_payload(const struct row *row, enum kind kind, uint8_t *out)
{
    struct payload p = {.kind = (uint64_t)kind};
    if (kind == KIND_ACCRUE)
        p.accrue = (struct p_accrue){row->node, row->epoch, row->amount};
    else
        p.adjust =
            (struct p_adjust){row->amount, bytes_of(row->reason, strlen(row->reason))};
    struct mp_writer w = mp_writer_of(out, PAYLOAD_BYTES_MAX);
    payload_encode(&w, &p);
    return w.size;
}

/* The row's entry on the lane's chain, kept in the row. ERR_STORE: it could not be saved.
 */
static enum err build(struct issue *s, const struct lane *l, uint64_t unix_ms)
{
    struct row *row = &s->rows->row[l->row];
    uint8_t payload[PAYLOAD_BYTES_MAX];
    uint8_t envelope[ISSUE_FRAME_BYTES_MAX / 2];
    size_t size = 0;
    struct entry_draft draft = {
        .account = &l->account,
        .seq = l->next_seq,
        .prev = &l->tip,
        .lamport = l->tip_lamport + 1,
        .time_ms = unix_ms,
        .kind = (uint64_t)s->rows->kind,
        .payload = bytes_of(payload, encode_payload(row, s->rows->kind, payload)),
    };
    TRY(entry_build(&draft, s->issuer, envelope, sizeof envelope, &size));
    if (s->hooks.save && !s->hooks.save(s->hooks.context, row, bytes_of(envelope, size)))
        return ERR_STORE;
    row->envelope = malloc(size);
    if (!row->envelope)
        return ERR_MEMORY;
    memcpy(row->envelope, envelope, size);
    row->envelope_size = size;
    return ERR_OK;
}

static void wake_waiting(struct issue *s, uint64_t mono_ms)
{
    for (size_t i = 0; i < s->waiting_count;) {
        struct lane *l = &s->lanes[s->waiting[i]];
        if (l->wake_ms > mono_ms) {
            i++;
            continue;
        }
        s->waiting[i] = s->waiting[--s->waiting_count];
        push_ready(s, l);
    }
}

size_t issue_next(struct issue *s, uint64_t mono_ms, uint64_t unix_ms, uint8_t *out)
{
    wake_waiting(s, mono_ms);
    while (s->ready_count > 0 && s->active < s->window && !s->broken) {
        struct lane *l = &s->lanes[s->ready[s->ready_at]];
        s->ready_at = (s->ready_at + 1) % s->lane_count;
        s->ready_count--;
        if (s->rows->row[l->row].envelope)
            return put_submit(s, l, out);
        if (!l->has_chain)
            return put_head_question(s, l, out);
        enum err e = build(s, l, unix_ms);
        if (e == ERR_OK)
            return put_submit(s, l, out);
        if (e == ERR_STORE || e == ERR_MEMORY)
            s->broken = true;
        else
            finish_row(s, l, ROW_REFUSED, (uint64_t)e); /* the hub would say the same */
    }
    return 0;
}

/* The lane that asked, when this is the answer to its newest frame. */
static struct lane *lane_of(struct issue *s, uint64_t rid, enum phase phase)
{
    uint64_t n = rid >> ATTEMPT_BITS;
    if (n >= s->lane_count)
        return NULL;
    struct lane *l = &s->lanes[n];
    uint32_t attempt = (uint32_t)(rid & ((1u << ATTEMPT_BITS) - 1));
    return l->phase == phase && l->attempt == attempt ? l : NULL;
}

static void set_chain(struct lane *l, uint64_t next_seq, const struct hash *tip,
                      uint64_t lamport)
{
    l->has_chain = true;
    l->next_seq = next_seq;
    l->tip = *tip;
    l->tip_lamport = lamport;
}

static void retry_later(struct issue *s, struct lane *l, uint64_t code, uint64_t after_ms,
                        uint64_t mono_ms)
{
    if (++l->retries > ISSUE_RETRIES_MAX) {
        finish_row(s, l, ROW_REFUSED, code);
        return;
    }
    uint64_t own = (uint64_t)ISSUE_BACKOFF_MS << (l->retries < 6 ? l->retries - 1 : 5);
    uint64_t wait = after_ms > own ? after_ms : own;
    if (wait > ISSUE_BACKOFF_MS_MAX)
        wait = ISSUE_BACKOFF_MS_MAX;
    push_waiting(s, l, mono_ms + wait);
}

/* The place was taken: build again. The refused bytes can never be accepted any more, or
 * they would be now, so the row cannot count twice. */
static void rebuild(struct issue *s, struct lane *l, const struct wire_result *r)
{
    struct row *row = &s->rows->row[l->row];
    if (++l->rebuilds > ISSUE_REBUILDS_MAX) {
        finish_row(s, l, ROW_REFUSED, r->code);
        return;
    }
    free(row->envelope);
    row->envelope = NULL;
    row->envelope_size = 0;
    l->has_chain = false;
    if (r->has_head)
        set_chain(l, r->next_seq, &r->tip, r->tip_lamport);
    push_ready(s, l);
}

static void accepted(struct issue *s, struct lane *l, const struct wire_result *r)
{
    struct row *row = &s->rows->row[l->row];
    struct entry e;
    if (entry_decode(&e, row->envelope, row->envelope_size) == ERR_OK)
        set_chain(l, e.seq + 1, &e.id, e.lamport);
    else
        l->has_chain = false;
    row->index = r->index;
    finish_row(s, l, ROW_ACCEPTED, 0);
}

static void on_result(struct issue *s, const struct wire_result *r, uint64_t mono_ms)
{
    struct lane *l = lane_of(s, r->rid, PHASE_SENT);
    enum err e;
    if (!l || r->i != 0)
        return;
    s->active--;
    if (r->code == 0)
        accepted(s, l, r);
    else if (r->code == ERR_EPOCH_OLD)
        finish_row(s, l, ROW_ALREADY, r->code);
    else if (r->code == ERR_SEQ_TAKEN || r->code == ERR_PREV || r->code == ERR_LAMPORT ||
             r->code == ERR_GAP)
        rebuild(s, l, r);
    else if (err_from_number(r->code, &e) && err_retry(e) == ERR_RETRY_SAME)
        retry_later(s, l, r->code, r->retry_after_ms, mono_ms);
    else
        finish_row(s, l, ROW_REFUSED, r->code);
}

static void on_head(struct issue *s, const struct wire_frame *f)
{
    struct lane *l = lane_of(s, f->rid, PHASE_ASKED);
    if (!l)
        return;
    s->active--;
    if (!f->has_chain) {
        finish_row(s, l, ROW_REFUSED, ERR_AUTHORITY); /* not this hub's issuer key */
        return;
    }
    set_chain(l, f->next_seq, &f->tip, f->tip_lamport);
    push_ready(s, l);
}

static void on_error(struct issue *s, const struct wire_frame *f, uint64_t mono_ms)
{
    enum err e;
    struct lane *l = lane_of(s, f->rid, PHASE_ASKED);
    if (!l)
        l = lane_of(s, f->rid, PHASE_SENT);
    if (!l)
        return;
    s->active--;
    if (err_from_number(f->code, &e) && err_retry(e) == ERR_RETRY_SAME)
        retry_later(s, l, f->code, f->retry_after_ms, mono_ms);
    else
        finish_row(s, l, ROW_REFUSED, f->code);
}

void issue_receive(struct issue *s, const struct wire_frame *f, uint64_t mono_ms)
{
    if (f->type == WIRE_HEAD_IS) {
        on_head(s, f);
    } else if (f->type == WIRE_ERROR) {
        on_error(s, f, mono_ms);
    } else if (f->type == WIRE_RESULTS) {
        struct mp_reader list = f->list;
        for (size_t i = 0; i < f->count; i++) {
            struct wire_result r;
            wire_next_result(&list, &r);
            on_result(s, &r, mono_ms);
        }
    }
}
