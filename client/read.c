/* Looking at accounts: from the local records, and live. */
#include <stdlib.h>
#include <string.h>

#include "ledger/scratch.h"
#include "client/wallet.h"
#include "ledger/address.h"

#define UNRESOLVED ((1u << CLIENT_SAVED) | (1u << CLIENT_SENT))

/* ---- records -------------------------------------------------------------------------
 */

static void fill_payload(stoa_record *out, const struct entry *e)
{
    UNINITIALIZED struct payload p;
    if (payload_decode(&p, e->kind, e->payload) != ERR_OK)
        return;
    switch (e->kind) {
    case KIND_TRANSFER:
        out->party_count = (unsigned)p.transfer.payee_count;
        break;
    case KIND_SPLIT:
        out->party_count = (unsigned)p.split.terms.share_count;
        break;
    case KIND_SPLIT_CORRECT:
        out->party_count = (unsigned)p.split_change.new_terms.share_count;
        out->cause = id_of(&p.split_change.split);
        break;
    case KIND_SPLIT_VOID:
        out->cause = id_of(&p.split_change.split);
        break;
    case KIND_CREDIT:
        out->party_count = 1;
        out->cause = id_of(&p.credit.cause);
        out->is_return = p.credit.reason == CREDIT_RETURN;
        break;
    case KIND_ACCRUE:
        out->cause = id_of(&p.accrue.node);
        out->epoch = p.accrue.epoch;
        break;
    default:
        break;
    }
}

void record_fill(stoa_record *out, const struct entry *e, const struct record *r,
                 int64_t balance, const stoa_wallet *w)
{
    enum writer by = BY_NOBODY;
    memset(out, 0, sizeof(*out));
    out->size = sizeof(*out);
    out->id = id_of(&e->id);
    out->account = id_of(entry_account(e));
    out->kind = (unsigned)e->kind;
    out->kind_word = kind_word(e->kind);
    out->device = id_of_key(&e->device);
    out->seq = e->seq;
    out->lamport = e->lamport;
    out->time_ms = e->time_ms;
    out->slot = r->slot;
    out->index = r->index;
    out->position = r->position;
    out->hub_lamport = r->hub_lamport;
    out->hub_time_ms = r->hub_time_ms;
    out->delta = entry_delta(e);
    out->balance = balance;
    out->by_hub = kind_writer(e->kind, &by) && by != BY_MEMBER;
    out->own = w && keys_have(w, &e->device, "device");
    out->has_memo = e->has_sealed;
    out->memo_size = e->sealed_size;
    out->payload = e->payload.data;
    out->payload_size = e->payload.size;
    out->envelope = r->envelope.data;
    out->envelope_size = r->envelope.size;
    fill_payload(out, e);
}

static void give_party(const struct split_terms *t, unsigned i, stoa_id *account,
                       int64_t *amount)
{
    *account = id_of_key(&t->shares[i].root);
    *amount = t->shares[i].amount;
}

bool stoa_record_party(const stoa_record *r, unsigned i, stoa_id *account,
                       int64_t *amount)
{
    UNINITIALIZED struct payload p;
    if (i >= r->party_count ||
        payload_decode(&p, r->kind, bytes_of(r->payload, r->payload_size)) != ERR_OK)
        return false;
    switch (r->kind) {
    case KIND_TRANSFER:
        *account = id_of(&p.transfer.payees[i].account);
        *amount = p.transfer.payees[i].amount;
        return true;
    case KIND_CREDIT:
        memset(account, 0, sizeof(*account));
        *amount = p.credit.amount;
        return true;
    case KIND_SPLIT:
        give_party(&p.split.terms, i, account, amount);
        return true;
    case KIND_SPLIT_CORRECT:
        give_party(&p.split_change.new_terms, i, account, amount);
        return true;
    default:
        return false;
    }
}

struct visiting {
    stoa_wallet *w;
    stoa_record_fn visit;
    void *context;
    bool stopped, bad;
};

static bool visit_one(void *context, const struct record *r, int64_t balance)
{
    struct visiting *x = context;
    struct entry e;
    stoa_record out;
    if (entry_decode(&e, r->envelope.data, r->envelope.size) != ERR_OK) {
        x->bad = true;
        return false;
    }
    record_fill(&out, &e, r, balance, x->w);
    x->stopped = !x->visit(x->context, &out);
    return !x->stopped;
}

static stoa_result visit_range(stoa_wallet *w, const struct client_account *row,
                               uint64_t from, uint64_t max, struct visiting *x,
                               stoa_error *error)
{
    if (from >= row->position)
        return STOA_OK;
    TRY_S(client_store_records(w->store, row, from, max, visit_one, x));
    if (x->bad)
        return because_as(
            error, STOA_CONFIG, ERR_CORRUPT,
            "%s/stoa.db: a stored record does not decode: rebuild the database", w->dir);
    return STOA_OK;
}

stoa_result stoa_history(stoa_wallet *w, const stoa_id *account, uint64_t from,
                         uint64_t max, stoa_record_fn visit, void *context,
                         stoa_error *error)
{
    struct hash id = hash_of(account);
    struct account_view *v = account_of(w, &id);
    struct visiting x = {w, visit, context, false, false};
    if (!v)
        return because_as(error, STOA_USAGE, ERR_ACCOUNT_UNKNOWN,
                          "this wallet does not follow that account");
    return visit_range(w, &v->row, from, max, &x, error);
}

stoa_result stoa_record_find(stoa_wallet *w, const stoa_id *id, stoa_record_fn visit,
                             void *context, stoa_error *error)
{
    struct hash h = hash_of(id);
    struct client_account row;
    uint64_t position;
    struct visiting x = {w, visit, context, false, false};
    enum err e = client_store_record_find(w->store, &h, &row, &position);
    if (e == ERR_NOT_FOUND)
        return because(error, e, "that entry is not known here");
    TRY_S(e);
    return visit_range(w, &row, position, 1, &x, error);
}

/* ---- accounts ------------------------------------------------------------------------
 */

static void fill_account(stoa_wallet *w, struct account_view *v, stoa_account *out)
{
    const struct account *a = &v->f.account;
    memset(out, 0, sizeof(*out));
    out->size = sizeof(*out);
    out->id = id_of(&v->row.id);
    memcpy(out->name, v->row.name, sizeof(out->name));
    stoa_address_format(out->address, &out->id, w->hub);
    out->slot = v->row.slot;
    out->position = v->row.position;
    out->synced = v->row.position > 0;
    if (!v->loaded || a->position == 0)
        return;
    out->pinned = a->residency == RESIDENCY_PINNED;
    out->can_write = account_member_of(a, device_key(w)) != NULL;
    out->index = v->f.account_index;
    out->members = a->member_count;
    out->devices = a->device_count;
    out->bound = a->bound;
    out->chain = a->bound_chain;
    memcpy(out->register_address, a->bound_address, a->bound_size);
    out->recovery_pending = a->recovery_pending;
    if (a->recovery_pending)
        out->recovery_ready_ms = a->recovery_begin_ms + (uint64_t)RECOVERY_WAIT_MS;
}

static stoa_result give_account(stoa_wallet *w, struct account_view *v, stoa_account *out,
                                stoa_error *error)
{
    stoa_account a;
    if (v->row.position > 0)
        TRY_R(account_need(w, &v->row.id, &v, error));
    fill_account(w, v, &a);
    give(out, &a, sizeof(a));
    return STOA_OK;
}

unsigned stoa_account_count(const stoa_wallet *w)
{
    return w->account_count;
}

stoa_result stoa_account_at(stoa_wallet *w, unsigned i, stoa_account *out,
                            stoa_error *error)
{
    if (i >= w->account_count)
        return because(error, ERR_USAGE, "there are %u accounts", w->account_count);
    return give_account(w, w->accounts[i], out, error);
}

static bool is_named(const struct account_view *v, const char *text)
{
    struct hash id;
    if (strcmp(v->row.name, text) == 0)
        return true;
    if (address_parse(text, &id, NULL) ||
        hex_decode(id.b, HASH_BYTES, text, strlen(text)))
        return hash_equal(&id, &v->row.id);
    return false;
}

stoa_result stoa_account_find(stoa_wallet *w, const char *text, stoa_account *out,
                              stoa_error *error)
{
    if (!text || !text[0]) {
        if (w->account_count == 1)
            return give_account(w, w->accounts[0], out, error);
        return because(error, ERR_USAGE, "this wallet has %u accounts: name one",
                       w->account_count);
    }
    for (unsigned i = 0; i < w->account_count; i++)
        if (is_named(w->accounts[i], text))
            return give_account(w, w->accounts[i], out, error);
    return because(error, ERR_NOT_FOUND, "no account here is called %.100s", text);
}

stoa_result stoa_account_follow(stoa_wallet *w, const char *address, const char *name,
                                stoa_account *out, stoa_error *error)
{
    char hub[HUB_NAME_MAX + 1];
    struct hash id;
    struct account_view *v;
    if (!address_parse(address, &id, hub))
        return because_as(error, STOA_USAGE, ERR_MALFORMED, "%.100s is not an address",
                          address);
    if (hub[0] && w->has_hub && strcmp(hub, w->hub) != 0)
        return because(error, ERR_HUB_UNKNOWN,
                       "that account lives at hub %s, this wallet at %s", hub, w->hub);
    if (name && (strlen(name) > CLIENT_NAME_MAX || strpbrk(name, "\r\n")))
        return because(error, ERR_USAGE, "a name has at most %d bytes, on one line",
                       CLIENT_NAME_MAX);
    TRY_R(need_connection(w, error));
    bool fresh = !account_of(w, &id);
    TRY_R(account_add(w, &id, name, &v, error));
    TRY_R(wallet_save_card(w, error));
    TRY_R(account_sync(w, v, deadline_of(w, 0), error));
    if (fresh && v->row.position == 0)
        return because(error, ERR_ACCOUNT_UNKNOWN,
                       "the hub shows no such account as yet");
    return out ? give_account(w, v, out, error) : STOA_OK;
}

stoa_result stoa_account_rename(stoa_wallet *w, const stoa_id *account, const char *name,
                                stoa_error *error)
{
    struct hash id = hash_of(account);
    struct account_view *v = account_of(w, &id);
    if (!v || !name || strlen(name) > CLIENT_NAME_MAX || strpbrk(name, "\r\n"))
        return because(error, ERR_USAGE, "a name has at most %d bytes, on one line",
                       CLIENT_NAME_MAX);
    memset(v->row.name, 0, sizeof(v->row.name));
    memcpy(v->row.name, name, strlen(name));
    TRY_S(client_store_account_put(w->store, &v->row));
    return wallet_save_card(w, error);
}

/* ---- balance -------------------------------------------------------------------------
 */

struct pending {
    stoa_wallet *w;
    const struct account_view *v;
    int64_t out, in;
};

/* An unresolved payment counts out of its own account, and into the others of this wallet
 * until their credit is in the records. */
static void add_pending(struct pending *x, const struct client_outgoing *o)
{
    UNINITIALIZED struct payload p;
    struct entry e;
    if (entry_decode(&e, o->envelope.data, o->envelope.size) != ERR_OK ||
        e.kind != KIND_TRANSFER || payload_decode(&p, e.kind, e.payload) != ERR_OK)
        return;
    bool from = hash_equal(&o->account, &x->v->row.id);
    const struct account_view *payer = account_of(x->w, &o->account);
    bool seen = o->state >= CLIENT_ACCEPTED && payer && o->position < payer->row.position;
    for (size_t i = 0; i < p.transfer.payee_count; i++) {
        const struct payee *to = &p.transfer.payees[i];
        int64_t *sum = from ? &x->out : &x->in;
        if (from ? seen : !hash_equal(&to->account, &x->v->row.id))
            continue;
        if (!from && o->state == CLIENT_CREDITED)
            continue;
        if (__builtin_add_overflow(*sum, to->amount, sum))
            *sum = INT64_MAX;
    }
}

static stoa_result sum_pending(struct pending *x, stoa_error *error)
{
    stoa_wallet *w = x->w;
    const unsigned states = UNRESOLVED | 1u << CLIENT_ACCEPTED | 1u << CLIENT_CREDITED;
    for (int64_t after = 0;;) {
        struct client_outgoing o;
        enum err e = client_store_outgoing_next(w->store, NULL, after, states, true, &o);
        if (e == ERR_NOT_FOUND)
            return STOA_OK;
        TRY_S(e);
        after = o.number;
        const struct account_view *payer = account_of(w, &o.account);
        if (o.state == CLIENT_CREDITED && payer && o.position < payer->row.position)
            return STOA_OK; /* all before it are in the records of their account */
        add_pending(x, &o);
    }
}

stoa_result stoa_balance_get(stoa_wallet *w, const stoa_id *account, stoa_balance *out,
                             stoa_error *error)
{
    struct hash id = hash_of(account);
    struct account_view *v;
    stoa_balance b = {.size = sizeof(b)};
    TRY_R(account_need(w, &id, &v, error));
    struct pending x = {w, v, 0, 0};
    TRY_R(sum_pending(&x, error));
    b.settled = v->f.account.balance;
    b.pending_out = x.out;
    b.pending_in = x.in;
    const struct member *m = account_member_of(&v->f.account, device_key(w));
    b.position = m ? m->position : 0;
    b.index = v->f.account_index;
    b.tree_size = v->row.proven_size;
    b.checked_ms = v->row.checked_ms;
    b.unproven = v->row.position - v->row.proven;
    uint64_t now = w->now_ms();
    b.age_ms = now > b.checked_ms ? now - b.checked_ms : 0;
    give(out, &b, sizeof(b));
    return STOA_OK;
}

static unsigned devices_of(const struct account *a, uint32_t member)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < a->device_count; i++)
        n += a->devices[i].member == member;
    return n;
}

bool stoa_member_at(stoa_wallet *w, const stoa_id *account, unsigned i, stoa_member *out)
{
    struct hash id = hash_of(account);
    struct account_view *v;
    if (account_need(w, &id, &v, NULL) != STOA_OK || i >= v->f.account.member_count)
        return false;
    const struct account *a = &v->f.account;
    const struct member *own = account_member_of(a, device_key(w)), *m = &a->members[i];
    stoa_member x = {.size = sizeof(x),
                     .number = m->number,
                     .root = id_of_key(&m->root),
                     .own = m == own,
                     .devices = devices_of(a, m->number),
                     .position = m->position};
    give(out, &x, sizeof(x));
    return true;
}

bool stoa_device_at(stoa_wallet *w, const stoa_id *account, unsigned i, stoa_device *out)
{
    struct hash id = hash_of(account);
    struct account_view *v;
    stoa_device x = {.size = sizeof(x)};
    if (account_need(w, &id, &v, NULL) != STOA_OK)
        return false;
    const struct account *a = &v->f.account;
    if (i < a->device_count) {
        x.key = id_of_key(&a->devices[i].key);
        x.member = a->devices[i].member;
        x.entries = a->devices[i].chain.next_seq;
    } else if (i - a->device_count < a->revoked_count) {
        x.key = id_of_key(&a->revoked[i - a->device_count]);
        x.revoked = true;
    } else {
        return false;
    }
    struct pubkey k = key_of_id(&x.key);
    x.own = pubkey_equal(&k, device_key(w));
    give(out, &x, sizeof(x));
    return true;
}

/* ---- live ----------------------------------------------------------------------------
 */

static stoa_result copy_live(struct wire_frame *f, uint64_t from, struct record **records,
                             size_t *count, stoa_error *error)
{
    *count = 0;
    *records = calloc(f->count ? f->count : 1, sizeof(**records));
    if (!*records)
        return because(error, ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < f->count; i++) {
        struct record r;
        wire_next_record(&f->list, &r);
        if (r.position >= from)
            (*records)[(*count)++] = r;
    }
    return STOA_OK;
}

static stoa_result take_live(stoa_wallet *w, struct account_view *v, struct wire_frame *f,
                             uint64_t deadline, stoa_error *error)
{
    struct slot_view *slot;
    struct record *records;
    size_t count;
    TRY_R(copy_live(f, v->row.position, &records, &count, error));
    stoa_result r = slot_need(w, v->row.slot, deadline, &slot, error);
    if (r == STOA_OK)
        r = slot_follow(w, slot, deadline, error);
    if (r == STOA_OK)
        r = account_take(w, v, records, count, NULL, NULL, NULL, error);
    if (r == STOA_OK && f->note.size)
        r = account_prove(w, v, deadline, error);
    free(records);
    return r;
}

/* Records that came before the hub said OK are of an earlier watch on this connection, which
 * may have ended between two of them: they do not follow on what is known. */
static void forget_records(stoa_wallet *w)
{
    struct kept *before = NULL;
    for (struct kept **at = &w->kept; *at;) {
        struct kept *k = *at;
        struct wire_frame f;
        if (wire_decode(&f, k->data, k->size) != ERR_OK || f.type != WIRE_RECORDS) {
            before = k;
            at = &k->next;
            continue;
        }
        *at = k->next;
        if (w->kept_last == k)
            w->kept_last = before;
        free(k);
    }
}

static stoa_result watch_loop(stoa_wallet *w, struct account_view *v, uint64_t told,
                              uint64_t until, struct visiting *x, stoa_error *error)
{
    while (!x->stopped) {
        struct kept *k = NULL;
        struct wire_frame f;
        stoa_error why = {.size = sizeof(why)};
        stoa_result r = rpc_next(w, WIRE_RECORDS, WIRE_RECORDS, until, &k, &f, &why);
        if (r != STOA_OK) {
            if (why.code == ERR_TIMEOUT)
                return STOA_OK;
            if (error)
                *error = why;
            return r;
        }
        bool ours = f.key.what == WIRE_ACCOUNT && hash_equal(&f.key.id, &v->row.id);
        if (ours)
            r = take_live(w, v, &f, deadline_of(w, 0), error);
        /* Told only once proven. */
        if (r == STOA_OK && ours && v->row.proven > told) {
            r = visit_range(w, &v->row, told, v->row.proven - told, x, error);
            told = v->row.proven;
        }
        free(k);
        TRY_R(r);
    }
    return STOA_OK;
}

stoa_result stoa_watch(stoa_wallet *w, const stoa_id *account, uint32_t for_ms,
                       stoa_record_fn visit, void *context, stoa_error *error)
{
    struct hash id = hash_of(account);
    struct account_view *v;
    struct visiting x = {w, visit, context, false, false};
    struct wire_frame f = {.type = WIRE_SUBSCRIBE}, answer;
    uint64_t until = for_ms ? mono_ms() + for_ms : UINT64_MAX;
    TRY_R(need_connection(w, error));
    TRY_R(account_need(w, &id, &v, error));
    uint64_t told = v->row.proven; /* what a watch cut short took in was not told */
    if (account_unproven(w, v)) {
        TRY_R(account_sync(w, v, deadline_of(w, 0), error));
        if (v->row.proven > told)
            TRY_R(visit_range(w, &v->row, told, v->row.proven - told, &x, error));
        told = v->row.position;
    }
    f.key.what = WIRE_ACCOUNT;
    f.key.id = id;
    f.from = v->row.position;
    TRY_R(rpc_call(w, &f, WIRE_OK, deadline_of(w, 0), &answer, error));
    forget_records(w);
    stoa_result r = watch_loop(w, v, told, until, &x, error);
    if (w->connected) {
        struct wire_frame end = {.type = WIRE_UNSUBSCRIBE};
        end.key = f.key;
        (void)rpc_call(w, &end, WIRE_OK, deadline_of(w, 0), &answer, NULL);
    }
    return r;
}
