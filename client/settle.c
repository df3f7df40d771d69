/* From accepted to credited: the payees' credits, fetched and verified where they can be
 * read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/scratch.h"
#include "client/wallet.h"

#define ASK_EVERY_MS 500 /* silence after which the hub is asked */
#define PROVEN_PLACES 64
#define WAITING (1u << CLIENT_ACCEPTED)

struct settling {
    stoa_wallet *w;
    uint64_t deadline;
    stoa_receipt_fn visit;
    void *context;
    bool stopped;
    /* Payees whose credits were proven here, a bit each. Where two payments share a place
     * one is forgotten, and the hub's word is all there is for it. */
    struct proven {
        struct hash cause;
        uint64_t payees;
    } proven[PROVEN_PLACES];
};
_Static_assert(PAYEES_MAX <= 64, "a bit for each payee");

static void tell(struct settling *x, const struct client_outgoing *o)
{
    stoa_receipt r;
    if (!x->visit || x->stopped)
        return;
    receipt_of(o, &r);
    x->stopped = !x->visit(x->context, &r);
}

/* ---- is the credit there? ------------------------------------------------------------
 */

/* Does the record settle payee `i` of the transfer, as a credit or (bounced) a bounce? */
static bool settles(const struct entry *e, const struct wire_settled *s,
                    const struct payee *payee)
{
    UNINITIALIZED struct payload p;
    const struct p_credit *c;
    if (payload_decode(&p, e->kind, e->payload) != ERR_OK)
        return false;
    if (e->kind == KIND_CREDIT && !s->bounced) {
        c = &p.credit;
        if (!hash_equal(entry_account(e), &payee->account) || c->reason != CREDIT_PAYMENT)
            return false;
    } else if (e->kind == KIND_BOUNCE && s->bounced) {
        c = &p.bounce.item;
        if (!hash_equal(&p.bounce.payee, &payee->account))
            return false;
    } else {
        return false;
    }
    return hash_equal(&c->cause, &s->cause) && c->payee_index == s->payee_index &&
           c->amount == payee->amount;
}

/* STOA_OK with *shown false: the hub does not show the record to us. */
static stoa_result fetch_one(struct settling *x, const struct wire_settled *s,
                             struct buf *room, struct record *r, bool *shown,
                             stoa_error *error)
{
    struct wire_frame f = {.type = WIRE_FETCH,
                           .key = {.what = WIRE_SLOT, .slot = s->slot},
                           .from = s->index,
                           .max = 1};
    struct wire_frame page;
    stoa_error why = {.size = sizeof(why)};
    stoa_result got = rpc_call(x->w, &f, WIRE_PAGE, x->deadline, &page, &why);
    *shown = false;
    if (got != STOA_OK) {
        if (why.code == ERR_NOT_ALLOWED || why.code == ERR_NOT_FOUND ||
            why.code == ERR_LIMIT || why.code == ERR_RANGE)
            return STOA_OK;
        if (error)
            *error = why;
        return got;
    }
    if (page.count == 0)
        return STOA_OK;
    wire_next_record(&page.list, r);
    buf_clear(room);
    if (!buf_add(room, r->envelope.data, r->envelope.size))
        return because(error, ERR_MEMORY, "out of memory");
    r->envelope = bytes_of(room->data, room->size);
    *shown = r->envelope.size > 0 && r->index == s->index && r->slot == s->slot;
    return STOA_OK;
}

/* The credit must be signed by the slot's relay key and stand in its tree. */
static stoa_result check_credit(struct settling *x, const struct wire_settled *s,
                                const struct payee *payee, bool *proven,
                                stoa_error *error)
{
    struct buf room = {0};
    struct record r;
    struct entry e;
    struct slot_view *v;
    bool shown;
    *proven = false;
    if (s->slot >= x->w->slots)
        return because(error, ERR_FRAME, "hub names a slot it does not have");
    stoa_result got = fetch_one(x, s, &room, &r, &shown, error);
    if (got == STOA_OK && shown) {
        if (entry_decode(&e, r.envelope.data, r.envelope.size) != ERR_OK ||
            !settles(&e, s, payee) || !entry_verify(&e))
            got = because(
                error, ERR_CORRUPT,
                "hub says a payee is credited and shows a record that does not say so");
        if (got == STOA_OK)
            got = slot_need(x->w, r.slot, x->deadline, &v, error);
        if (got == STOA_OK && (!v->has_note || v->known.size <= r.index))
            got = slot_refresh(x->w, v, x->deadline, error);
        if (got == STOA_OK && !pubkey_equal(&e.device, &v->f.hub.relay))
            got = slot_follow(x->w, v, x->deadline, error);
        if (got == STOA_OK) {
            struct hash leaf = record_leaf_hash(&r);
            got = slot_includes(x->w, v, r.index, &leaf, x->deadline, error);
            *proven = got == STOA_OK && pubkey_equal(&e.device, &v->f.hub.relay);
        }
    }
    buf_close(&room);
    return got;
}

/* ---- items ---------------------------------------------------------------------------
 */

/* All payees of that payment that were proven here. */
static uint64_t note_proven(struct settling *x, const struct wire_settled *s, bool proven)
{
    struct proven *p = &x->proven[s->cause.b[0] % PROVEN_PLACES];
    if (!hash_equal(&p->cause, &s->cause))
        *p = (struct proven){.cause = s->cause};
    if (proven)
        p->payees |= UINT64_C(1) << s->payee_index;
    return p->payees;
}

static stoa_result take_item(struct settling *x, const struct wire_settled *s,
                             stoa_error *error)
{
    stoa_wallet *w = x->w;
    UNINITIALIZED struct payload p;
    struct client_outgoing o;
    struct entry e;
    enum err err = client_store_outgoing_find(w->store, &s->cause, &o);
    if (err == ERR_NOT_FOUND)
        return STOA_OK; /* somebody else's, or asked for by an earlier wallet */
    TRY_R(err == ERR_OK ? STOA_OK : because_store(w, error, err));
    if (o.state != CLIENT_ACCEPTED && o.state != CLIENT_SENT)
        return STOA_OK;
    if (entry_decode(&e, o.envelope.data, o.envelope.size) != ERR_OK ||
        payload_decode(&p, e.kind, e.payload) != ERR_OK || e.kind != KIND_TRANSFER ||
        s->payee_index >= p.transfer.payee_count)
        return because(error, ERR_FRAME, "hub settles what was not sent");
    struct payee payee = p.transfer.payees[s->payee_index];
    bool proven;
    TRY_R(check_credit(x, s, &payee, &proven, error));
    err = client_store_outgoing_find(w->store, &s->cause, &o);
    TRY_R(err == ERR_OK ? STOA_OK : because_store(w, error, err));
    uint64_t payees = note_proven(x, s, proven);
    o.bounced |= s->bounced;
    if (s->left < o.left)
        o.left = (uint32_t)s->left;
    if (o.left == 0 && o.state == CLIENT_ACCEPTED) {
        o.state = CLIENT_CREDITED;
        o.hubs_word = (unsigned)__builtin_popcountll(payees) < o.payees;
    }
    TRY_S(client_store_outgoing_put(w->store, &o));
    if (o.left == 0)
        tell(x, &o);
    return STOA_OK;
}

static stoa_result take_frame(struct settling *x, const struct wire_frame *f,
                              stoa_error *error)
{
    struct mp_reader list = f->list;
    for (size_t i = 0; i < f->count; i++) {
        struct wire_settled s;
        wire_next_settled(&list, &s);
        TRY_R(take_item(x, &s, error));
    }
    return STOA_OK;
}

/* The hub's word, for what was settled while nobody listened. */
static stoa_result ask(struct settling *x, const struct hash *id, stoa_error *error)
{
    stoa_wallet *w = x->w;
    struct wire_frame f = {.type = WIRE_SETTLEMENT, .id = *id}, answer;
    struct client_outgoing o;
    stoa_error why = {.size = sizeof(why)};
    stoa_result got = rpc_call(w, &f, WIRE_SETTLEMENT_IS, x->deadline, &answer, &why);
    if (got != STOA_OK && why.code == ERR_UNAVAILABLE)
        return STOA_OK; /* it cannot tell just now: asked again in a while */
    if (got != STOA_OK && error)
        *error = why;
    TRY_R(got);
    uint64_t state = answer.state, left = answer.left;
    TRY_S(client_store_outgoing_find(w->store, id, &o));
    if (o.state != CLIENT_ACCEPTED || state == WIRE_SETTLE_UNKNOWN)
        return STOA_OK;
    if (state == WIRE_SETTLE_DONE) {
        o.left = 0;
        o.hubs_word = true;
        o.state = CLIENT_CREDITED;
    } else if (left < o.left) {
        o.left = (uint32_t)left;
    } else {
        return STOA_OK;
    }
    TRY_S(client_store_outgoing_put(w->store, &o));
    tell(x, &o);
    return STOA_OK;
}

static stoa_result ask_all(struct settling *x, const struct hash *account,
                           const struct hash *only, stoa_error *error)
{
    if (only)
        return ask(x, only, error);
    for (int64_t after = 0; !x->stopped;) {
        struct client_outgoing o;
        enum err e =
            client_store_outgoing_next(x->w->store, account, after, WAITING, false, &o);
        if (e == ERR_NOT_FOUND)
            break;
        if (e != ERR_OK)
            return because_store(x->w, error, e);
        after = o.number;
        struct hash id = o.id;
        TRY_R(ask(x, &id, error));
    }
    return STOA_OK;
}

static stoa_result all_settled(struct settling *x, const struct hash *account,
                               const struct hash *only, bool *done, stoa_error *error)
{
    struct client_outgoing o;
    enum err e =
        only ? client_store_outgoing_find(x->w->store, only, &o)
             : client_store_outgoing_next(x->w->store, account, 0, WAITING, false, &o);
    *done = e == ERR_NOT_FOUND || (e == ERR_OK && only && o.state != CLIENT_ACCEPTED);
    return e == ERR_OK || e == ERR_NOT_FOUND ? STOA_OK : because_store(x->w, error, e);
}

stoa_result settle(stoa_wallet *w, const struct hash *account, const struct hash *id,
                   uint64_t deadline, stoa_receipt_fn visit, void *context,
                   stoa_error *error)
{
    struct settling x = {
        .w = w, .deadline = deadline, .visit = visit, .context = context};
    uint64_t patience = mono_ms() + ASK_EVERY_MS;
    for (;;) {
        bool done;
        TRY_R(all_settled(&x, account, id, &done, error));
        if (done || x.stopped)
            return STOA_OK;
        uint64_t now = mono_ms();
        if (now >= deadline)
            return because_as(error, STOA_INTERRUPTED, ERR_TIMEOUT,
                              "accepted; not every payee was credited in time");
        struct kept *k = NULL;
        struct wire_frame f;
        stoa_error why = {.size = sizeof(why)};
        stoa_result r = rpc_next(w, WIRE_SETTLED, WIRE_SETTLED,
                                 patience < deadline ? patience : deadline, &k, &f, &why);
        if (r == STOA_OK) {
            r = take_frame(&x, &f, error);
            free(k);
            TRY_R(r);
        } else if (why.code == ERR_TIMEOUT) {
            TRY_R(ask_all(&x, account, id, error));
            patience = mono_ms() + ASK_EVERY_MS;
        } else {
            if (error)
                *error = why;
            return r;
        }
    }
}
