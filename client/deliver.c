/* Sending saved entries, pipelined and in order, and believing the answers only as far as
 * they prove themselves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/wallet.h"
#include "crypto/context.h"
#include "crypto/seal.h"

#define UNRESOLVED ((1u << CLIENT_SAVED) | (1u << CLIENT_SENT))
#define FLIGHTS_MAX 2048 /* entries under way at one time */
#define FRAMES_AT_ONCE 64
#define RETRY_MS 100 /* when the hub does not say how long to wait */
#define RESULT_FRAME_OVERHEAD 64

struct flight {
    struct hash id, account;
    uint32_t slot;
    uint64_t rid, i;
    bool answered;
    bool retry;   /* refused for now: the same bytes go again */
    bool earlier; /* was sent before, and what became of that is not known */
    uint64_t retry_after_ms;
};

struct run {
    stoa_wallet *w;
    struct flight *flights;
    size_t count;
    size_t answered;
    bool want_settled;
    uint64_t deadline;
    stoa_receipt_fn visit;
    void *context;
    bool stopped;
};

static void tell(struct run *x, const struct hash *id)
{
    struct client_outgoing o;
    stoa_receipt r;
    if (!x->visit || x->stopped ||
        client_store_outgoing_find(x->w->store, id, &o) != ERR_OK)
        return;
    receipt_of(&o, &r);
    x->stopped = !x->visit(x->context, &r);
}

/* ---- sending -------------------------------------------------------------------------
 */

static stoa_result mark_sent(stoa_wallet *w, struct client_outgoing *o, stoa_error *error)
{
    if (o->state == CLIENT_SENT)
        return STOA_OK;
    o->state = CLIENT_SENT;
    TRY_S(client_store_outgoing_put(w->store, o));
    return STOA_OK;
}

/* Gather the next entries to send and mark them sent, all in one durable step: an entry
 * that may have left is never taken for one that did not. */
static stoa_result gather(struct run *x, const struct hash *account, int64_t *after,
                          int64_t last, struct buf *bytes, stoa_error *error)
{
    stoa_wallet *w = x->w;
    uint64_t window = w->limits.inflight_entries;
    if (window == 0 || window > FLIGHTS_MAX)
        window = FLIGHTS_MAX;
    x->count = x->answered = 0;
    buf_clear(bytes);
    while (x->count < window) {
        struct client_outgoing o;
        enum err e =
            client_store_outgoing_next(w->store, account, *after, UNRESOLVED, false, &o);
        if (e == ERR_NOT_FOUND || (e == ERR_OK && o.number > last))
            break;
        TRY_S(e);
        uint32_t size = (uint32_t)o.envelope.size;
        if (!buf_add(bytes, &size, sizeof(size)) ||
            !buf_add(bytes, o.envelope.data, o.envelope.size))
            return because(error, ERR_MEMORY, "out of memory");
        bool earlier = o.state == CLIENT_SENT;
        TRY_R(mark_sent(w, &o, error));
        x->flights[x->count++] = (struct flight){
            .id = o.id, .account = o.account, .slot = o.slot, .earlier = earlier};
        *after = o.number;
    }
    return STOA_OK;
}

/* As many entries from `at` on as one frame may hold. */
static size_t frame_share(const struct run *x, const uint8_t *at, size_t left,
                          size_t *bytes)
{
    const struct wire_limits *l = &x->w->limits;
    size_t most = l->entries_a_frame && l->entries_a_frame < SUBMIT_ENTRIES_MAX
                      ? (size_t)l->entries_a_frame
                      : SUBMIT_ENTRIES_MAX;
    size_t room = l->frame_bytes && l->frame_bytes < SUBMIT_BYTES_MAX
                      ? (size_t)l->frame_bytes
                      : SUBMIT_BYTES_MAX;
    size_t n = 0;
    *bytes = RESULT_FRAME_OVERHEAD;
    while (n < left && n < most) {
        uint32_t size;
        memcpy(&size, at, sizeof(size));
        if (n > 0 && *bytes + size + 8 > room)
            break;
        *bytes += size + 8;
        at += sizeof(size) + size;
        n++;
    }
    return n;
}

static stoa_result send_all(struct run *x, const struct buf *bytes, stoa_error *error)
{
    stoa_wallet *w = x->w;
    const uint8_t *at = bytes->data;
    for (size_t from = 0; from < x->count;) {
        size_t room, n = frame_share(x, at, x->count - from, &room);
        struct wire_frame f = {.type = WIRE_SUBMIT,
                               .rid = ++w->rid,
                               .flags = x->want_settled ? WIRE_SUBMIT_SETTLED : 0,
                               .count = n};
        struct mp_writer m = frame_begin(w, room);
        wire_put(&m, &f);
        for (size_t i = 0; i < n; i++) {
            uint32_t size;
            memcpy(&size, at, sizeof(size));
            wire_put_envelope(&m, bytes_of(at + sizeof(size), size));
            at += sizeof(size) + size;
            x->flights[from + i].rid = f.rid;
            x->flights[from + i].i = i;
        }
        TRY_R(frame_send(w, &m, x->deadline, error));
        from += n;
    }
    return STOA_OK;
}

/* ---- answers -------------------------------------------------------------------------
 */

static struct flight *flight_of(struct run *x, const struct wire_result *r)
{
    for (size_t i = 0; i < x->count; i++)
        if (x->flights[i].rid == r->rid && x->flights[i].i == r->i)
            return &x->flights[i];
    return NULL;
}

/* Is the entry where the answer says, in the tree that the answer's checkpoint signs? */
static bool receipt_holds(const struct wire_result *r, const struct client_outgoing *o,
                          const struct checkpoint *c)
{
    struct hash path[MERKLE_PATH_MAX];
    size_t count = r->path.size / HASH_BYTES;
#ifdef STOA_BREAK_RECEIPT_UNPROVEN
    if (count <= MERKLE_PATH_MAX)
        return true;
#endif
    struct record rec = {.slot = o->slot,
                         .index = r->index,
                         .position = r->position,
                         .account_head = r->account_head,
                         .hub_lamport = r->hub_lamport,
                         .hub_time_ms = r->hub_time_ms,
                         .envelope = o->envelope};
    if (r->path.size % HASH_BYTES || count > MERKLE_PATH_MAX || r->slot != o->slot)
        return false;
    if (count)
        memcpy(path, r->path.data, r->path.size);
    struct hash leaf = record_leaf_hash(&rec);
    return merkle_verify_inclusion(r->index, c->size, &leaf, path, count, &c->root);
}

static stoa_result take_accepted(struct run *x, struct flight *f,
                                 const struct wire_result *r, const struct checkpoint *c,
                                 stoa_error *error)
{
    stoa_wallet *w = x->w;
    struct client_outgoing o;
    TRY_S(client_store_outgoing_find(w->store, &f->id, &o));
    if (!receipt_holds(r, &o, c)) {
        char hex[65];
        hex_encode(hex, f->id.b, HASH_BYTES);
        return because(
            error, ERR_CORRUPT,
            "hub's receipt for entry %s does not verify: it is not in the tree that "
            "the hub signed",
            hex);
    }
    f->answered = true;
    x->answered++;
    if (o.state >= CLIENT_ACCEPTED && o.state != CLIENT_DROPPED)
        return STOA_OK;
    o.state = o.payees ? CLIENT_ACCEPTED : CLIENT_CREDITED;
    o.code = 0;
    o.index = r->index;
    o.position = r->position;
    o.hub_lamport = r->hub_lamport;
    o.hub_time_ms = r->hub_time_ms;
    o.tree_size = c->size;
    TRY_S(client_store_outgoing_put(w->store, &o));
    tell(x, &f->id);
    return STOA_OK;
}

bool follows_dropped(stoa_wallet *w, const struct client_outgoing *o)
{
    struct client_outgoing before;
    struct entry e;
    if (entry_decode(&e, o->envelope.data, o->envelope.size) != ERR_OK || !e.has_prev)
        return false;
    struct hash prev = e.prev;
    return client_store_outgoing_find(w->store, &prev, &before) == ERR_OK &&
           before.state == CLIENT_DROPPED;
}

/* Refused for good: this entry, and with it all that this wallet chained to it. */
static stoa_result drop_from(struct run *x, const struct flight *f, enum err code,
                             stoa_error *error)
{
    stoa_wallet *w = x->w;
    struct client_outgoing o;
    TRY_S(client_store_outgoing_find(w->store, &f->id, &o));
    int64_t after = o.number - 1;
    struct account_view *v = account_of(w, &f->account);
    if (v)
        v->head_known = false;
    for (bool first = true;; first = false) {
        enum err e = client_store_outgoing_next(w->store, &f->account, after, UNRESOLVED,
                                                false, &o);
        if (e == ERR_NOT_FOUND)
            return STOA_OK;
        TRY_S(e);
        after = o.number;
        struct hash id = o.id;
        if (!first && !follows_dropped(w, &o))
            continue; /* another device's, handed in here */
        TRY_S(client_store_outgoing_find(w->store, &id, &o));
        o.state = CLIENT_DROPPED;
        o.code = first ? (uint32_t)code : (uint32_t)ERR_PREV;
        TRY_S(client_store_outgoing_put(w->store, &o));
        for (size_t i = 0; i < x->count; i++)
            if (hash_equal(&x->flights[i].id, &id) && !x->flights[i].answered) {
                x->flights[i].answered = true;
                x->answered++;
            }
        tell(x, &id);
    }
}

/* The rules of the ledger refuse under the relay key. The door does not sign: it has not
 * looked at the ledger, and says nothing of the same bytes sent before. */
static bool by_rules(const struct wire_result *r)
{
    return r->code >= ERR_ACCOUNT_UNKNOWN && r->code <= ERR_CHANNEL;
}

static bool refusal_signed(const stoa_wallet *w, const struct flight *f,
                           const struct wire_result *r)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    if (!r->has_sig)
        return !by_rules(r);
    size_t n = refusal_message(message, &f->id, r->code, r->hub_time_ms);
    return sig_verify(&r->sig, &w->relay, CTX_REFUSAL, message, n);
}

/* Is something before this entry in its chain still to be answered? */
static bool waits_for_another(const struct run *x, const struct flight *f)
{
    for (const struct flight *g = x->flights; g < f; g++)
        if (hash_equal(&g->account, &f->account) && (!g->answered || g->retry))
            return true;
    return false;
}

static stoa_result take_refused(struct run *x, struct flight *f,
                                const struct wire_result *r, stoa_error *error)
{
    stoa_wallet *w = x->w;
    enum err code;
    if (!err_from_number(r->code, &code))
        code = ERR_UNAVAILABLE;
    if (!refusal_signed(w, f, r))
        return because_as(error, STOA_NO, ERR_SIGNATURE,
                          "hub's refusal is not signed by its relay key");
    /* What takes days is not waited for, nor kept: it is built again when it is time. */
    bool later = err_retry(code) == ERR_RETRY_SAME && code != ERR_RECOVERY_EARLY &&
                 (code != ERR_GAP || waits_for_another(x, f));
    bool open = f->earlier && !by_rules(r);
    if (!later && !open)
        return drop_from(x, f, code, error);
    struct client_outgoing o;
    TRY_S(client_store_outgoing_find(w->store, &f->id, &o));
    /* Only a hub that says it took nothing lets the entry count as not sent, and only
     * when it was not sent before. */
    o.state = !open && (code == ERR_POLICY_RATE || code == ERR_BUSY ||
                        code == ERR_DRAINING || code == ERR_GAP)
                  ? CLIENT_SAVED
                  : CLIENT_SENT;
    o.code = (uint32_t)code;
    TRY_S(client_store_outgoing_put(w->store, &o));
    f->answered = true;
    x->answered++;
    f->retry = later;
    f->retry_after_ms = r->retry_after_ms;
    return STOA_OK;
}

/* ---- a handful of RESULTS frames ------------------------------------------------------
 */

struct handful {
    size_t count;
    struct kept *kept[FRAMES_AT_ONCE];
    struct wire_frame frames[FRAMES_AT_ONCE];
    size_t note_count, note_cap;
    struct noted {
        size_t frame;
        uint64_t slot;
        struct bytes note;
        struct checkpoint c;
        bool believed;
    } * notes;
};

static void handful_close(struct handful *h)
{
    for (size_t i = 0; i < h->count; i++)
        free(h->kept[i]);
    free(h->notes);
}

static stoa_result gather_notes(struct handful *h, stoa_error *error)
{
    for (size_t i = 0; i < h->count; i++) {
        struct wire_frame *f = &h->frames[i];
        if (f->type != WIRE_RESULTS)
            continue;
        struct noted *more =
            realloc(h->notes, (h->note_count + f->note_count + 1) * sizeof(*more));
        if (!more)
            return because(error, ERR_MEMORY, "out of memory");
        h->notes = more;
        for (size_t k = 0; k < f->note_count; k++) {
            struct noted *n = &h->notes[h->note_count++];
            memset(n, 0, sizeof(*n));
            n->frame = i;
            wire_next_slot_note(&f->notes, &n->slot, &n->note);
        }
    }
    return STOA_OK;
}

static stoa_result believe_slot(struct run *x, struct handful *h, uint64_t slot,
                                stoa_error *error)
{
    struct slot_view *v;
    struct bytes *notes = calloc(h->note_count, sizeof(*notes));
    struct checkpoint *out = calloc(h->note_count, sizeof(*out));
    size_t n = 0;
    stoa_result r = notes && out ? STOA_OK : because(error, ERR_MEMORY, "out of memory");
    for (size_t i = 0; r == STOA_OK && i < h->note_count; i++)
        if (h->notes[i].slot == slot)
            notes[n++] = h->notes[i].note;
    if (r == STOA_OK)
        r = slot_need(x->w, (uint32_t)slot, x->deadline, &v, error);
    if (r == STOA_OK)
        r = slot_believe(x->w, v, notes, n, out, x->deadline, error);
    n = 0;
    for (size_t i = 0; r == STOA_OK && i < h->note_count; i++)
        if (h->notes[i].slot == slot) {
            h->notes[i].c = out[n++];
            h->notes[i].believed = true;
        }
    free(notes);
    free(out);
    return r;
}

static const struct checkpoint *note_for(const struct handful *h, size_t frame,
                                         uint64_t slot)
{
    for (size_t i = 0; i < h->note_count; i++)
        if (h->notes[i].frame == frame && h->notes[i].slot == slot &&
            h->notes[i].believed)
            return &h->notes[i].c;
    return NULL;
}

static stoa_result take_results(struct run *x, struct handful *h, stoa_error *error)
{
    for (size_t i = 0; i < h->count; i++) {
        struct wire_frame *f = &h->frames[i];
        for (size_t k = 0; f->type == WIRE_RESULTS && k < f->count; k++) {
            struct wire_result r;
            wire_next_result(&f->list, &r);
            struct flight *flight = flight_of(x, &r);
            if (!flight || flight->answered)
                continue;
            const struct checkpoint *c = r.code == 0 ? note_for(h, i, r.slot) : NULL;
            if (r.code != 0)
                TRY_R(take_refused(x, flight, &r, error));
            else if (!c)
                return because(error, ERR_FRAME,
                               "hub's receipt comes without a checkpoint");
            else
                TRY_R(take_accepted(x, flight, &r, c, error));
        }
    }
    return STOA_OK;
}

/* An ERROR that names one of our SUBMITs answers for all its entries. */
static stoa_result take_errors(struct run *x, struct handful *h, stoa_error *error)
{
    for (size_t i = 0; i < h->count; i++) {
        const struct wire_frame *f = &h->frames[i];
        for (size_t k = 0; f->type == WIRE_ERROR && k < x->count; k++) {
            if (x->flights[k].rid != f->rid || x->flights[k].answered)
                continue;
            struct wire_result r = {.code = f->code, .retry_after_ms = f->retry_after_ms};
            TRY_R(take_refused(x, &x->flights[k], &r, error));
        }
    }
    return STOA_OK;
}

static stoa_result take_handful(struct run *x, struct handful *h, stoa_error *error)
{
    TRY_R(gather_notes(h, error));
    for (size_t i = 0; i < h->note_count; i++)
        if (!h->notes[i].believed)
            TRY_R(believe_slot(x, h, h->notes[i].slot, error));
    enum err e = client_store_begin(x->w->store);
    if (e != ERR_OK)
        return because_store(x->w, error, e);
    stoa_result r = take_results(x, h, error);
    if (r == STOA_OK)
        r = take_errors(x, h, error);
    e = client_store_end(x->w->store, true); /* what was proven before a failure stays */
    return r != STOA_OK || e == ERR_OK ? r : because_store(x->w, error, e);
}

static stoa_result await_answers(struct run *x, stoa_error *error)
{
    struct handful *h = calloc(1, sizeof(*h));
    if (!h)
        return because(error, ERR_MEMORY, "out of memory");
    stoa_result r = STOA_OK;
    while (r == STOA_OK && x->answered < x->count && !x->stopped) {
        memset(h, 0, sizeof(*h));
        r = rpc_next(x->w, WIRE_RESULTS, WIRE_ERROR, x->deadline, &h->kept[0],
                     &h->frames[0], error);
        if (r != STOA_OK)
            break;
        h->count = 1;
        /* Whatever else is there already comes along: one round of proofs for all. */
        while (h->count < FRAMES_AT_ONCE &&
               rpc_next(x->w, WIRE_RESULTS, WIRE_ERROR, 0, &h->kept[h->count],
                        &h->frames[h->count], NULL) == STOA_OK)
            h->count++;
        r = take_handful(x, h, error);
        handful_close(h);
    }
    free(h);
    return r;
}

/* ---- rounds --------------------------------------------------------------------------
 */

static stoa_result one_round(struct run *x, const struct hash *account, int64_t *after,
                             int64_t last, struct buf *bytes, stoa_error *error)
{
    stoa_wallet *w = x->w;
    enum err e = client_store_begin(w->store);
    TRY_S(e);
    stoa_result r = gather(x, account, after, last, bytes, error);
    e = client_store_end(w->store, r == STOA_OK);
    if (r == STOA_OK && e != ERR_OK)
        r = because_store(w, error, e);
    if (r == STOA_OK && x->count > 0)
        r = send_all(x, bytes, error);
    if (r == STOA_OK && x->count > 0)
        r = await_answers(x, error);
    return r;
}

/* How long to wait before the refused-for-now go again; 0: none of them. */
static uint64_t retry_wait(const struct run *x, bool *any)
{
    uint64_t wait = 0;
    *any = false;
    for (size_t i = 0; i < x->count; i++)
        if (x->flights[i].retry) {
            uint64_t ms =
                x->flights[i].retry_after_ms ? x->flights[i].retry_after_ms : RETRY_MS;
            *any = true;
            if (ms > wait)
                wait = ms;
        }
    return wait;
}

static stoa_result pause(struct run *x, uint64_t ms, stoa_error *error)
{
    uint64_t until = mono_ms() + ms;
    struct kept *k;
    struct wire_frame f;
    stoa_error none = {.size = sizeof(none)};
    if (until >= x->deadline) {
        stoa_result r =
            because(error, ERR_BUSY, "hub asks to wait longer than the time given");
        if (error)
            error->retry_after_ms = ms;
        return r;
    }
    /* Nothing else is awaited: late answers to what was refused do not come. */
    stoa_result r = rpc_next(x->w, UINT64_MAX - 1, UINT64_MAX - 1, until, &k, &f, &none);
    if (none.code == ERR_TIMEOUT)
        return STOA_OK;
    if (error)
        *error = none;
    return r;
}

static stoa_result rounds(struct run *x, const struct hash *account, int64_t last,
                          stoa_error *error)
{
    struct buf bytes = {0};
    stoa_result r = STOA_OK;
    int64_t after = 0;
    while (r == STOA_OK && !x->stopped) {
        bool again;
        int64_t from = after;
        r = one_round(x, account, &after, last, &bytes, error);
        if (r != STOA_OK || x->count == 0)
            break;
        uint64_t wait = retry_wait(x, &again);
        if (again) {
            after = from;
            r = pause(x, wait, error);
        }
    }
    buf_close(&bytes);
    return r;
}

static stoa_result hand_in_memos(struct run *x, const struct hash *account,
                                 stoa_error *error)
{
    for (int64_t after = 0;;) {
        struct client_outgoing o;
        enum err e = client_store_outgoing_sealed(x->w->store, account, after, &o);
        if (e == ERR_NOT_FOUND)
            return STOA_OK;
        if (e != ERR_OK)
            return because_store(x->w, error, e);
        after = o.number;
        TRY_R(sealed_hand_in(x->w, &o, x->deadline, error));
    }
}

stoa_result deliver(stoa_wallet *w, const struct hash *account, const struct hash *id,
                    stoa_state wait, uint32_t timeout_ms, stoa_receipt_fn visit,
                    void *context, stoa_error *error)
{
    struct run x = {.w = w,
                    .want_settled = wait >= STOA_CREDITED,
                    .deadline = deadline_of(w, timeout_ms),
                    .visit = visit,
                    .context = context};
    int64_t last = INT64_MAX;
    if (id) {
        struct client_outgoing o;
        TRY_S(client_store_outgoing_find(w->store, id, &o));
        last = o.number;
    }
    TRY_R(need_connection(w, error));
    x.flights = calloc(FLIGHTS_MAX, sizeof(*x.flights));
    if (!x.flights)
        return because(error, ERR_MEMORY, "out of memory");
    stoa_result r = rounds(&x, account, last, error);
    free(x.flights);
    x.flights = NULL;
    x.count = 0;
    if (r == STOA_OK)
        r = hand_in_memos(&x, account, error);
    if (r == STOA_OK && wait >= STOA_CREDITED && !x.stopped)
        r = settle(w, account, id, x.deadline, visit, context, error);
    return r;
}
