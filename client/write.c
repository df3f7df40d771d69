/* What members write about value: open, pay, split, bind, note. */
#include <stdlib.h>
#include <string.h>

#include "ledger/scratch.h"
#include "client/token.h"
#include "crypto/context.h"

#define UNRESOLVED ((1u << CLIENT_SAVED) | (1u << CLIENT_SENT))

/* ---- open ----------------------------------------------------------------------------
 */

static stoa_result fill_open(stoa_wallet *w, const stoa_open_params *p, struct p_open *o,
                             stoa_error *error)
{
    const struct wallet_key *root = keys_first(w, "root");
    const struct key *key;
    uint8_t message[MESSAGE_BYTES_MAX];
    if (!root)
        return because(error, ERR_MISSING,
                       "this wallet has no root key: it cannot open accounts");
    TRY_R(keys_unlock(w, &root->pub, &key, error));
    o->federation = w->federation;
    o->hub = bytes_of(w->hub, strlen(w->hub));
    o->root = root->pub;
    o->residency = p && p->pinned ? RESIDENCY_PINNED : RESIDENCY_GLOBAL;
    o->has_recovery = p && p->recovery;
    if (o->has_recovery)
        o->recovery = key_of_id(p->recovery);
    random_bytes(o->nonce.b, HASH_BYTES);
    size_t n = grant_open_message(message, o, device_key(w));
    o->root_sig = key_sign(key, CTX_DEVICE, message, n);
    return STOA_OK;
}

/* An open that was saved and not resolved is the one meant, as with payments. */
static stoa_result unresolved_open(stoa_wallet *w, const char *name, struct hash *account,
                                   struct hash *id, bool *found, stoa_error *error)
{
    *found = false;
    for (int64_t after = 0;;) {
        struct client_outgoing o;
        struct entry e;
        enum err err =
            client_store_outgoing_next(w->store, NULL, after, UNRESOLVED, false, &o);
        if (err == ERR_NOT_FOUND)
            return STOA_OK;
        TRY_S(err);
        after = o.number;
        const struct account_view *v = account_of(w, &o.account);
        if (entry_decode(&e, o.envelope.data, o.envelope.size) != ERR_OK ||
            e.kind != KIND_OPEN || (v && strcmp(v->row.name, name ? name : "") != 0))
            continue;
        *account = o.account;
        *id = o.id;
        *found = true;
        return STOA_OK;
    }
}

stoa_result finish_entry(stoa_wallet *w, const struct hash *account,
                         const struct hash *id, const stoa_how *how,
                         stoa_receipt *receipt, stoa_error *error)
{
    static const stoa_how defaults = STOA_HOW_INIT;
    stoa_receipt own = {.size = sizeof(own)};
    if (!how)
        how = &defaults;
    if (!receipt)
        receipt = &own;
    stoa_error first = {.size = sizeof(first)};
    stoa_result sent = STOA_OK;
    if (how->wait != STOA_SAVED)
        sent = deliver(w, account, id, how->wait, how->timeout_ms, NULL, NULL, &first);
    return finish_outcome(w, id, how->wait, sent, &first, receipt, error);
}

/* Saves the open and the account's row in one step: an accepted account is never lost. */
static stoa_result save_open(stoa_wallet *w, const stoa_open_params *p, const char *name,
                             const stoa_how *how, struct hash *account, struct hash *id,
                             stoa_error *error)
{
    UNINITIALIZED struct payload payload;
    struct draft d = {.payload = &payload, .first = true};
    struct client_outgoing o;
    struct account_view *v;
    payload.kind = KIND_OPEN;
    TRY_R(fill_open(w, p, &payload.open, error));
    if (!how || how->wait != STOA_SAVED)
        TRY_R(need_connection(w, error));
    TRY_S(client_store_begin(w->store));
    stoa_result r = compose(w, NULL, &d, how, &o, error);
    if (r == STOA_OK)
        r = account_add(w, &o.account, name, &v, error);
    enum err e = client_store_end(w->store, r == STOA_OK);
    if (r == STOA_OK && e != ERR_OK)
        r = because_store(w, error, e);
    if (r != STOA_OK)
        accounts_reread(w);
    *account = o.account;
    *id = o.id;
    return r;
}

stoa_result stoa_account_open(stoa_wallet *w, const stoa_open_params *p,
                              const stoa_how *how, stoa_id *id, stoa_receipt *receipt,
                              stoa_error *error)
{
    struct account_view *v;
    struct hash account, entry;
    bool found;
    const char *name = p && p->name ? p->name : "";
    stoa_receipt own = {.size = sizeof(own)};
    if (!receipt)
        receipt = &own;
    if (!w->has_hub)
        return because(error, ERR_NET, "connect to a hub first: the account names it");
    if (strlen(name) > CLIENT_NAME_MAX || strpbrk(name, "\r\n"))
        return because(error, ERR_USAGE, "a name has at most %d bytes, on one line",
                       CLIENT_NAME_MAX);
    TRY_R(unresolved_open(w, name, &account, &entry, &found, error));
    if (!found)
        TRY_R(save_open(w, p, name, how, &account, &entry, error));
    TRY_R(account_add(w, &account, name, &v, error));
    TRY_R(wallet_save_card(w, error));
    if (id)
        *id = id_of(&account);
    stoa_result r = finish_entry(w, &account, &entry, how, receipt, error);
    receipt->resumed = found;
    return r;
}

/* ---- pay -----------------------------------------------------------------------------
 */

static int by_account(const void *a, const void *b)
{
    const struct payee *x = a, *y = b;
    return hash_compare(&x->account, &y->account);
}

static stoa_result fill_transfer(const struct hash *from, const stoa_payee payees[],
                                 size_t count, const stoa_wallet *w, struct p_transfer *t,
                                 int64_t *total, stoa_error *error)
{
    *total = 0;
    if (count == 0 || count > PAYEES_MAX)
        return because(error, ERR_USAGE, "a payment has 1 to %d payees", PAYEES_MAX);
    t->payee_count = count;
    for (size_t i = 0; i < count; i++) {
        struct payee *p = &t->payees[i];
        const char *hub = payees[i].hub;
        if (hub && strcmp(hub, w->hub) == 0)
            hub = NULL;
        p->account = hash_of(&payees[i].account);
        p->hub = hub ? bytes_of(hub, strlen(hub)) : (struct bytes){0};
        p->amount = payees[i].amount;
        if (p->amount <= 0 || __builtin_add_overflow(*total, p->amount, total))
            return because_as(error, STOA_USAGE, ERR_AMOUNT, "amounts are above zero");
        if (hash_equal(&p->account, from))
            return because_as(error, STOA_USAGE, ERR_PAYEES,
                              "an account cannot pay itself");
    }
    qsort(t->payees, count, sizeof(t->payees[0]), by_account);
    for (size_t i = 1; i < count; i++)
        if (hash_equal(&t->payees[i].account, &t->payees[i - 1].account))
            return because_as(error, STOA_USAGE, ERR_PAYEES, "a payee is named twice");
    return STOA_OK;
}

/* A payment of the same amounts to the same payees that did not reach the wanted state.
 */
static stoa_result find_equal(stoa_wallet *w, const struct hash *account,
                              const struct payload *p, stoa_state wait, struct hash *id,
                              bool *found, stoa_error *error)
{
    unsigned states = UNRESOLVED;
    if (wait >= STOA_CREDITED)
        states |= 1u << CLIENT_ACCEPTED;
    struct buf room = {0};
    *found = false;
    if (!buf_reserve(&room, ENVELOPE_BYTES_MAX))
        return because(error, ERR_MEMORY, "out of memory");
    struct mp_writer m = mp_writer_of(room.data, room.cap);
    payload_encode(&m, p);
    enum err err = ERR_OK;
    for (int64_t after = 0; err == ERR_OK && !*found;) {
        struct client_outgoing o;
        struct entry e;
        err = client_store_outgoing_next(w->store, account, after, states, false, &o);
        if (err != ERR_OK)
            break;
        after = o.number;
        if (o.request.size == 0 &&
            entry_decode(&e, o.envelope.data, o.envelope.size) == ERR_OK &&
            e.kind == p->kind && e.payload.size == m.size &&
            memcmp(e.payload.data, m.data, m.size) == 0) {
            *id = o.id;
            *found = true;
        }
    }
    buf_close(&room);
    return err == ERR_OK || err == ERR_NOT_FOUND ? STOA_OK : because_store(w, error, err);
}

/* Payments under way that the account's records do not show yet. */
static int64_t pending_out(stoa_wallet *w, const struct account_view *v)
{
    const unsigned states = UNRESOLVED | 1u << CLIENT_ACCEPTED | 1u << CLIENT_CREDITED;
    int64_t sum = 0;
    for (int64_t after = 0;;) {
        struct client_outgoing o;
        stoa_receipt r;
        if (client_store_outgoing_next(w->store, &v->row.id, after, states, true, &o) !=
            ERR_OK)
            return sum;
        after = o.number;
        bool resolved = o.state >= CLIENT_ACCEPTED;
        if (resolved && o.position < v->row.position)
            return sum; /* this one and all before it are in the records */
        receipt_of(&o, &r);
        if (__builtin_add_overflow(sum, r.amount, &sum))
            return INT64_MAX;
    }
}

static stoa_result check_funds(stoa_wallet *w, const struct account_view *v,
                               int64_t total, stoa_error *error)
{
    if (v->f.account.position == 0)
        return STOA_OK; /* nothing known yet: the hub decides */
    int64_t pending = pending_out(w, v), left;
    char asked[32], has[32], way[32];
    if (__builtin_sub_overflow(v->f.account.balance, pending, &left) || left < total) {
        stoa_amount_format(asked, total);
        stoa_amount_format(has, v->f.account.balance);
        stoa_amount_format(way, pending);
        return because_as(
            error, STOA_REFUSED, ERR_BALANCE,
            "%s asked, %s settled, %s of it on its way out; nothing was sent", asked, has,
            way);
    }
    return STOA_OK;
}

stoa_result stoa_send(stoa_wallet *w, const stoa_id *account, const stoa_payee payees[],
                      size_t payee_count, const stoa_how *how, stoa_receipt *receipt,
                      stoa_error *error)
{
    struct hash from = hash_of(account), id;
    struct account_view *v;
    UNINITIALIZED struct payload p;
    int64_t total;
    bool found = false;
    p.kind = KIND_TRANSFER;
    TRY_R(account_need(w, &from, &v, error));
    TRY_R(fill_transfer(&from, payees, payee_count, w, &p.transfer, &total, error));
    bool named = how && how->request;
    if (!named && !(how && how->fresh) && !w->batch)
        TRY_R(find_equal(w, &from, &p, how ? how->wait : STOA_CREDITED, &id, &found,
                         error));
    if (found) {
        stoa_receipt own = {.size = sizeof(own)};
        if (!receipt)
            receipt = &own;
        stoa_result r = finish_entry(w, &from, &id, how, receipt, error);
        receipt->resumed = true;
        return r;
    }
    struct client_outgoing o;
    if (!w->batch &&
        (!named || client_store_outgoing_request(w->store, how->request, &o) != ERR_OK))
        TRY_R(check_funds(w, v, total, error));
    struct draft d = {.payload = &p, .payees = (uint32_t)payee_count};
    return write_entry(w, v, &d, how, receipt, error);
}

/* ---- the rest ------------------------------------------------------------------------
 */

stoa_result stoa_note(stoa_wallet *w, const stoa_id *account, const void *data,
                      size_t size, const stoa_how *how, stoa_receipt *receipt,
                      stoa_error *error)
{
    struct hash id = hash_of(account);
    struct account_view *v;
    UNINITIALIZED struct payload p;
    if (size > NOTE_DATA_MAX)
        return because_as(error, STOA_USAGE, ERR_TOO_LARGE, "a note has at most %d bytes",
                          NOTE_DATA_MAX);
    p.kind = KIND_NOTE;
    p.note.data = bytes_of(data, size);
    TRY_R(account_need(w, &id, &v, error));
    struct draft d = {.payload = &p};
    return write_entry(w, v, &d, how, receipt, error);
}

stoa_result stoa_bind(stoa_wallet *w, const stoa_id *account, unsigned chain,
                      const char *address, const stoa_how *how, stoa_receipt *receipt,
                      stoa_error *error)
{
    struct hash id = hash_of(account);
    struct account_view *v;
    UNINITIALIZED struct payload p;
    size_t size = address ? strlen(address) : 0;
    if (chain >= CHAINS || size == 0 || size > ADDRESS_BYTES_MAX)
        return because_as(error, STOA_USAGE, ERR_CHAIN,
                          "chain is 0 to %d, address 1 to %d bytes", CHAINS - 1,
                          ADDRESS_BYTES_MAX);
    p.kind = KIND_BIND;
    p.bind.chain = chain;
    p.bind.address = bytes_of(address, size);
    TRY_R(account_need(w, &id, &v, error));
    struct draft d = {.payload = &p};
    return write_entry(w, v, &d, how, receipt, error);
}

static int by_root(const void *a, const void *b)
{
    const stoa_share *x = a, *y = b;
    return memcmp(x->root.b, y->root.b, STOA_ID_BYTES);
}

static stoa_result fill_terms(const stoa_terms *in, struct split_terms *out,
                              stoa_error *error)
{
    stoa_share sorted[STOA_SHARES_MAX];
    int64_t sum = 0;
    if (in->share_count == 0 || in->share_count > STOA_SHARES_MAX)
        return because(error, ERR_USAGE, "a split has 1 to %d shares", STOA_SHARES_MAX);
    memcpy(sorted, in->shares, in->share_count * sizeof(sorted[0]));
    qsort(sorted, in->share_count, sizeof(sorted[0]), by_root);
    out->payer = key_of_id(&in->payer);
    out->amount = in->amount;
    out->share_count = in->share_count;
    for (size_t i = 0; i < in->share_count; i++) {
        out->shares[i].root = key_of_id(&sorted[i].root);
        out->shares[i].amount = sorted[i].amount;
        if (i > 0 && by_root(&sorted[i - 1], &sorted[i]) == 0)
            return because(error, ERR_USAGE, "a member has two shares");
        if (sorted[i].amount < 0 || __builtin_add_overflow(sum, sorted[i].amount, &sum))
            return because_as(error, STOA_USAGE, ERR_AMOUNT, "shares are not below zero");
    }
    if (in->amount <= 0 || sum != in->amount)
        return because_as(error, STOA_USAGE, ERR_SPLIT_SUM,
                          "shares do not sum to the amount");
    return STOA_OK;
}

stoa_result stoa_split(stoa_wallet *w, const stoa_id *account, const stoa_terms *terms,
                       const stoa_how *how, stoa_receipt *receipt, stoa_error *error)
{
    struct hash id = hash_of(account);
    struct account_view *v;
    UNINITIALIZED struct payload p;
    p.kind = KIND_SPLIT;
    TRY_R(account_need(w, &id, &v, error));
    TRY_R(fill_terms(terms, &p.split.terms, error));
    struct draft d = {.payload = &p};
    return write_entry(w, v, &d, how, receipt, error);
}

/* The terms in force are in the split itself, or in its newest correction. */
struct terms_search {
    struct hash split;
    struct buf envelope; /* of the newest entry that sets them */
    bool voided;
};

static bool search_terms(void *context, const struct record *r, int64_t balance)
{
    struct terms_search *x = context;
    UNINITIALIZED struct payload p;
    struct entry e;
    (void)balance;
    if (entry_decode(&e, r->envelope.data, r->envelope.size) != ERR_OK)
        return true;
    bool change = e.kind == KIND_SPLIT_CORRECT || e.kind == KIND_SPLIT_VOID;
    if (change && payload_decode(&p, e.kind, e.payload) != ERR_OK)
        return true;
    if (!(e.kind == KIND_SPLIT && hash_equal(&e.id, &x->split)) &&
        !(change && hash_equal(&p.split_change.split, &x->split)))
        return true;
    x->voided = e.kind == KIND_SPLIT_VOID;
    buf_clear(&x->envelope);
    return buf_add(&x->envelope, r->envelope.data, r->envelope.size);
}

static stoa_result old_terms(struct terms_search *x, struct split_terms *out,
                             stoa_error *error)
{
    UNINITIALIZED struct payload p;
    struct entry e;
    if (x->envelope.size == 0 || x->voided)
        return because_as(error, STOA_REFUSED, ERR_SPLIT_UNKNOWN, "%s",
                          x->voided ? "that split is void already"
                                    : "no such split is known here");
    if (entry_decode(&e, x->envelope.data, x->envelope.size) != ERR_OK ||
        payload_decode(&p, e.kind, e.payload) != ERR_OK)
        return because(error, ERR_BUG, "a stored split does not decode");
    *out = e.kind == KIND_SPLIT ? p.split.terms : p.split_change.new_terms;
    return STOA_OK;
}

stoa_result stoa_split_change(stoa_wallet *w, const stoa_id *account,
                              const stoa_id *split, const stoa_terms *terms,
                              const stoa_how *how, stoa_receipt *receipt,
                              stoa_error *error)
{
    struct hash id = hash_of(account);
    struct terms_search x = {.split = hash_of(split)};
    struct account_view *v;
    UNINITIALIZED struct payload p;
    TRY_R(account_need(w, &id, &v, error));
    TRY_S(client_store_records(w->store, &v->row, 0, 0, search_terms, &x));
    p.kind = terms ? KIND_SPLIT_CORRECT : KIND_SPLIT_VOID;
    p.split_change.split = x.split;
    stoa_result r = old_terms(&x, &p.split_change.old_terms, error);
    if (r == STOA_OK && terms)
        r = fill_terms(terms, &p.split_change.new_terms, error);
    struct draft d = {.payload = &p};
    if (r == STOA_OK)
        r = write_entry(w, v, &d, how, receipt, error);
    buf_close(&x.envelope);
    return r;
}
