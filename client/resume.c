/* Entries written here: going on with them, looking at them, handing them on. */
#include <stdlib.h>
#include <string.h>

#include "client/token.h"

#define UNRESOLVED ((1u << CLIENT_SAVED) | (1u << CLIENT_SENT))
#define OPEN_STATES (UNRESOLVED | 1u << CLIENT_ACCEPTED)
#define ALL_STATES 31u

stoa_result unresolved_kind(stoa_wallet *w, const struct hash *account, uint64_t kind,
                            struct hash *id, bool *found, stoa_error *error)
{
    *found = false;
    for (int64_t after = 0; !*found;) {
        struct client_outgoing o;
        struct entry e;
        enum err err =
            client_store_outgoing_next(w->store, account, after, UNRESOLVED, false, &o);
        if (err == ERR_NOT_FOUND)
            return STOA_OK;
        TRY_S(err);
        after = o.number;
        if (entry_decode(&e, o.envelope.data, o.envelope.size) == ERR_OK &&
            e.kind == kind) {
            *id = o.id;
            *found = true;
        }
    }
    return STOA_OK;
}

/* ---- against the ledger --------------------------------------------------------------
 */

struct own_records {
    stoa_wallet *w;
    struct own {
        struct hash id;
        struct record r; /* without envelope */
    } *list;
    size_t count, cap;
    enum err err;
};

static bool grow_own(struct own_records *x)
{
    if (x->count < x->cap)
        return true;
    size_t cap = x->cap ? x->cap * 2 : 16;
    struct own *list = realloc(x->list, cap * sizeof(*list));
    if (!list)
        return false;
    x->list = list;
    x->cap = cap;
    return true;
}

static bool find_own(void *context, const struct record *r, int64_t balance)
{
    struct own_records *x = context;
    struct client_outgoing o;
    struct entry e;
    enum writer by;
    (void)balance;
    x->err = entry_decode(&e, r->envelope.data, r->envelope.size);
    if (x->err != ERR_OK)
        return false;
    if (!kind_writer(e.kind, &by) || by != BY_MEMBER)
        return true;
    x->err = client_store_outgoing_find(x->w->store, &e.id, &o);
    if (x->err == ERR_NOT_FOUND ||
        (x->err == ERR_OK && o.state >= CLIENT_ACCEPTED && o.state != CLIENT_DROPPED)) {
        x->err = ERR_OK;
        return true;
    }
    if (x->err == ERR_OK && !grow_own(x))
        x->err = ERR_MEMORY;
    if (x->err != ERR_OK)
        return false;
    x->list[x->count++] = (struct own){e.id, *r};
    return true;
}

static enum err note_one(stoa_wallet *w, const struct own *own)
{
    struct client_outgoing o;
    TRY(client_store_outgoing_find(w->store, &own->id, &o));
    o.state = o.payees > 0 ? CLIENT_ACCEPTED : CLIENT_CREDITED;
    o.code = 0;
    o.slot = own->r.slot;
    o.index = own->r.index;
    o.position = own->r.position;
    o.hub_lamport = own->r.hub_lamport;
    o.hub_time_ms = own->r.hub_time_ms;
    return client_store_outgoing_put(w->store, &o);
}

enum err note_own(stoa_wallet *w, const struct client_account *row)
{
    struct own_records x = {.w = w};
    if (row->proven >= row->position)
        return ERR_OK;
    enum err e = client_store_records(w->store, row, row->proven, row->position - row->proven,
                                      find_own, &x);
    if (e == ERR_OK)
        e = x.err;
    for (size_t i = 0; i < x.count && e == ERR_OK; i++)
        e = note_one(w, &x.list[i]);
    free(x.list);
    return e;
}

/* The account's records are known up to here: a saved entry whose seq is taken by
 * another, and whatever is chained to it, can never be accepted. */
stoa_result reconcile(stoa_wallet *w, struct account_view *v, stoa_error *error)
{
    for (int64_t after = 0;;) {
        struct client_outgoing o;
        struct entry e;
        enum err err = client_store_outgoing_next(w->store, &v->row.id, after, UNRESOLVED,
                                                  false, &o);
        if (err == ERR_NOT_FOUND)
            return STOA_OK;
        TRY_S(err);
        after = o.number;
        if (entry_decode(&e, o.envelope.data, o.envelope.size) != ERR_OK)
            return because_as(error, STOA_CONFIG, ERR_CORRUPT,
                              "a saved entry does not decode");
        const struct chain *c = account_chain(&v->f.account, &v->f.hub, &e.device);
        bool taken = c && e.seq < c->next_seq;
        if (!taken && !follows_dropped(w, &o))
            continue;
        struct hash id = o.id;
        TRY_S(client_store_outgoing_find(w->store, &id, &o));
        o.state = CLIENT_DROPPED;
        o.code = taken ? ERR_SEQ_TAKEN : ERR_PREV;
        v->head_known = false;
        TRY_S(client_store_outgoing_put(w->store, &o));
    }
}

/* ---- resume --------------------------------------------------------------------------
 */

struct worst {
    stoa_result result;
    stoa_error error;
};

static stoa_result collect(stoa_wallet *w, const struct hash *account, int64_t until,
                           stoa_state wait, struct worst *out, stoa_error *error)
{
    unsigned states = wait >= STOA_CREDITED ? OPEN_STATES : UNRESOLVED;
    out->result = STOA_OK;
    for (int64_t after = 0;;) {
        struct client_outgoing o;
        enum err e =
            client_store_outgoing_next(w->store, account, after, states, false, &o);
        if (e == ERR_NOT_FOUND || (e == ERR_OK && o.number > until))
            return STOA_OK;
        TRY_S(e);
        after = o.number;
        struct hash id = o.id;
        stoa_error why = {.size = sizeof(why)};
        stoa_result r = outcome(w, &id, wait, NULL, &why);
        /* Not knowing is worse than having to wait. */
        if (out->result == STOA_OK || r == STOA_UNKNOWN) {
            out->result = r;
            out->error = why;
        }
    }
}

struct counting {
    stoa_receipt_fn visit;
    void *context;
    bool dropped, stopped;
    int code;
};

static bool count_dropped(void *context, const stoa_receipt *r)
{
    struct counting *c = context;
    if (r->state == STOA_DROPPED && !c->dropped) {
        c->dropped = true;
        c->code = r->code;
    }
    c->stopped = c->visit && !c->visit(c->context, r);
    return !c->stopped;
}

stoa_result stoa_resume(stoa_wallet *w, const stoa_id *account, const stoa_id *id,
                        stoa_state wait, uint32_t timeout_ms, stoa_receipt_fn visit,
                        void *context, stoa_error *error)
{
    struct hash of_account, of_entry;
    struct counting c = {visit, context, false, false, 0};
    struct worst worst;
    stoa_error why = {.size = sizeof(why)};
    if (w->batch)
        return because(error, ERR_USAGE, "a batch is open");
    if (account)
        of_account = hash_of(account);
    if (id) {
        struct client_outgoing o;
        of_entry = hash_of(id);
        enum err e = client_store_outgoing_find(w->store, &of_entry, &o);
        if (e == ERR_NOT_FOUND)
            return because(error, e, "that entry was not written here");
        TRY_S(e);
        of_account = o.account;
        account = id;
    }
    stoa_result sent = deliver(w, account ? &of_account : NULL, id ? &of_entry : NULL,
                               wait, timeout_ms, count_dropped, &c, &why);
    if (id) {
        stoa_receipt r = {.size = sizeof(r)};
        return finish_outcome(w, &of_entry, wait, sent, &why, &r, error);
    }
    if (sent == STOA_NO || sent == STOA_CONFIG || sent == STOA_BUG) {
        if (error)
            give(error, &why, sizeof(why));
        return sent;
    }
    TRY_R(collect(w, account ? &of_account : NULL, INT64_MAX, wait, &worst, error));
    if (worst.result != STOA_OK) {
        if (error)
            give(error,
                 sent == STOA_UNREACHABLE && worst.result == STOA_UNREACHABLE
                     ? &why
                     : &worst.error,
                 sizeof(why));
        return worst.result;
    }
    if (c.stopped)
        return because_as(error, STOA_INTERRUPTED, ERR_TIMEOUT, "stopped");
    if (c.dropped)
        return because_as(error, STOA_REFUSED, (enum err)c.code,
                          "some entries were refused: %s", err_text((enum err)c.code));
    return STOA_OK;
}

/* ---- looking -------------------------------------------------------------------------
 */

stoa_result stoa_outgoing(stoa_wallet *w, const stoa_id *account, bool unresolved,
                          stoa_receipt_fn visit, void *context, stoa_error *error)
{
    struct hash id;
    unsigned states = unresolved ? OPEN_STATES : ALL_STATES;
    if (account)
        id = hash_of(account);
    for (int64_t after = 0;;) {
        struct client_outgoing o;
        stoa_receipt r;
        enum err e = client_store_outgoing_next(w->store, account ? &id : NULL, after,
                                                states, true, &o);
        if (e == ERR_NOT_FOUND)
            return STOA_OK;
        TRY_S(e);
        after = o.number;
        receipt_of(&o, &r);
        if (!visit(context, &r))
            return STOA_OK;
    }
}

stoa_result stoa_outgoing_find(stoa_wallet *w, const stoa_id *id, stoa_receipt *out,
                               stoa_error *error)
{
    struct hash h = hash_of(id);
    struct client_outgoing o;
    stoa_receipt r;
    enum err e = client_store_outgoing_find(w->store, &h, &o);
    if (e == ERR_NOT_FOUND)
        return because(error, e, "that entry was not written here");
    TRY_S(e);
    receipt_of(&o, &r);
    give(out, &r, sizeof(r));
    return STOA_OK;
}

struct copy {
    uint8_t *out;
    size_t *size;
};

static bool copy_envelope(void *context, const struct record *r, int64_t balance)
{
    struct copy *c = context;
    (void)balance;
    memcpy(c->out, r->envelope.data, r->envelope.size);
    *c->size = r->envelope.size;
    return false;
}

stoa_result stoa_entry_bytes(stoa_wallet *w, const stoa_id *id, uint8_t *out,
                             size_t *size, stoa_error *error)
{
    struct hash h = hash_of(id);
    struct client_outgoing o;
    struct client_account row;
    struct copy c = {out, size};
    uint64_t position;
    enum err e = client_store_outgoing_find(w->store, &h, &o);
    if (e == ERR_OK) {
        memcpy(out, o.envelope.data, o.envelope.size);
        *size = o.envelope.size;
        return STOA_OK;
    }
    if (e == ERR_NOT_FOUND)
        e = client_store_record_find(w->store, &h, &row, &position);
    if (e == ERR_NOT_FOUND)
        return because(error, e, "that entry is not known here");
    TRY_S(e);
    TRY_S(client_store_records(w->store, &row, position, 1, copy_envelope, &c));
    return STOA_OK;
}

/* ---- entries from elsewhere -----------------------------------------------------------
 */

stoa_result stoa_submit(stoa_wallet *w, const void *envelope, size_t size,
                        uint32_t timeout_ms, stoa_receipt *receipt, stoa_error *error)
{
    struct entry e;
    struct payload p;
    struct client_outgoing o;
    enum err err = entry_decode(&e, envelope, size);
    if (err == ERR_OK && !entry_verify(&e))
        err = ERR_SIGNATURE;
    if (err == ERR_OK)
        err = payload_decode(&p, e.kind, e.payload);
    if (err != ERR_OK)
        return because_as(error, STOA_DATA, err, "that is not a signed entry: %s",
                          err_text(err));
    TRY_R(need_connection(w, error));
    struct hash id = e.id, account = *entry_account(&e);
    err = client_store_outgoing_find(w->store, &id, &o);
    if (err == ERR_NOT_FOUND) {
        memset(&o, 0, sizeof(o));
        o.id = id;
        o.account = account;
        o.slot = slot_of(&account, w->slots);
        o.seq = e.seq;
        o.payees = o.left =
            e.kind == KIND_TRANSFER ? (uint32_t)p.transfer.payee_count : 0;
        o.saved_ms = w->now_ms();
        o.envelope = e.envelope;
        err = client_store_outgoing_add(w->store, &o);
    }
    TRY_S(err);
    stoa_how how = STOA_HOW_INIT;
    how.wait = STOA_ACCEPTED;
    how.timeout_ms = timeout_ms;
    return finish_entry(w, &account, &id, &how, receipt, error);
}

stoa_result stoa_drop(stoa_wallet *w, const stoa_id *id, stoa_error *error)
{
    struct hash h = hash_of(id);
    struct client_outgoing o, next;
    enum err e = client_store_outgoing_find(w->store, &h, &o);
    if (e == ERR_NOT_FOUND)
        return because(error, e, "that entry was not written here");
    TRY_S(e);
    if (o.state != CLIENT_SAVED || o.code != 0)
        return because_as(error, STOA_REFUSED, ERR_EXISTS,
                          "that entry may have left this disk: it cannot be taken back");
    struct hash account = o.account;
    int64_t number = o.number;
    if (client_store_outgoing_next(w->store, &account, number, UNRESOLVED, false,
                                   &next) == ERR_OK)
        return because_as(error, STOA_REFUSED, ERR_EXISTS,
                          "later entries are chained to it: give up the newest first");
    TRY_S(client_store_outgoing_drop(w->store, &h));
    struct account_view *v = account_of(w, &account);
    if (v)
        v->head_known = false;
    return STOA_OK;
}

/* ---- batches -------------------------------------------------------------------------
 */

stoa_result stoa_batch_begin(stoa_wallet *w, stoa_error *error)
{
    if (w->batch)
        return because(error, ERR_USAGE, "a batch is open already");
    TRY_S(client_store_begin(w->store));
    w->batch = 1;
    return STOA_OK;
}

stoa_result stoa_batch_end(stoa_wallet *w, bool keep, stoa_error *error)
{
    if (!w->batch)
        return because(error, ERR_USAGE, "no batch is open");
    w->batch = 0;
    bool card_due = w->card_due;
    w->card_due = false;
    enum err e = client_store_end(w->store, keep);
    if (keep && e == ERR_OK) {
        for (unsigned i = 0; i < w->account_count; i++)
            w->accounts[i]->head_known = false;
        return card_due ? wallet_save_card(w, error) : STOA_OK;
    }
    stoa_result r = e == ERR_OK ? STOA_OK : because_store(w, error, e);
    accounts_reread(w);
    return r;
}
