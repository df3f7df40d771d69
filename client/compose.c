/* Building entries. An entry is on this disk before any other byte of it leaves: that,
 * and its seq, is why repeating a command cannot pay twice. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/scratch.h"
#include "client/wallet.h"
#include "crypto/seal.h"

#define SAME_MS_MAX 1000 /* entries alike within one millisecond */
#define LIVE_STATES                                                                      \
    ((1u << CLIENT_SAVED) | (1u << CLIENT_SENT) | (1u << CLIENT_ACCEPTED) |              \
     (1u << CLIENT_CREDITED))

/* ---- where this device writes next ----------------------------------------------------
 */

/* The newest live entry saved here, when it is past what the account's records show. */
static stoa_result newest_saved(stoa_wallet *w, const struct hash *account,
                                const struct pubkey *signer, struct chain *head,
                                bool *found, stoa_error *error)
{
    int64_t after = 0;
    *found = false;
    for (;;) {
        struct client_outgoing o;
        struct entry e;
        enum err err =
            client_store_outgoing_next(w->store, account, after, LIVE_STATES, true, &o);
        if (err == ERR_NOT_FOUND)
            return STOA_OK;
        TRY_S(err);
        after = o.number;
        err = entry_decode(&e, o.envelope.data, o.envelope.size);
        if (err != ERR_OK)
            return because_as(error, STOA_CONFIG, ERR_CORRUPT,
                              "a saved entry does not decode");
        if (!pubkey_equal(&e.device, signer))
            continue;
        *head = (struct chain){e.seq + 1, e.id, e.lamport};
        *found = true;
        return STOA_OK;
    }
}

stoa_result local_head(stoa_wallet *w, struct account_view *v, struct chain *out,
                       stoa_error *error)
{
    if (v->head_known) {
        *out = v->head;
        return STOA_OK;
    }
    const struct chain *known =
        v->f.account.position ? account_chain(&v->f.account, &v->f.hub, device_key(w))
                              : NULL;
    struct chain saved;
    bool found;
    TRY_R(newest_saved(w, &v->row.id, device_key(w), &saved, &found, error));
    if (!known && !found)
        return because_as(error, STOA_REFUSED, ERR_DEVICE_UNKNOWN,
                          v->f.account.position
                              ? "this wallet's device is not enrolled in the account"
                              : "nothing is known of the account yet: sync first");
    *out = !known || (found && saved.next_seq > known->next_seq) ? saved : *known;
    v->head = *out;
    v->head_known = true;
    v->refs_done = false;
    return STOA_OK;
}

/* ---- memos ---------------------------------------------------------------------------
 */

static size_t readers_of(const stoa_wallet *w, const struct account_view *v,
                         const stoa_how *how, struct pubkey out[SEAL_RECIPIENTS_MAX + 1])
{
    size_t n = 0;
    const struct account *a = v ? &v->f.account : NULL;
    for (uint32_t i = 0; a && i < a->device_count && n <= SEAL_RECIPIENTS_MAX; i++)
        out[n++] = a->devices[i].key;
    if (n == 0)
        out[n++] = *device_key(w);
    for (size_t i = 0; i < how->memo_key_count && n <= SEAL_RECIPIENTS_MAX; i++)
        out[n++] = key_of_id(&how->memo_keys[i]);
    return n;
}

/* salt || ciphertext into *sealed; the commitment goes into the entry. */
static stoa_result seal_memo(stoa_wallet *w, const struct account_view *v,
                             const stoa_how *how, struct buf *sealed,
                             struct hash *commitment, stoa_error *error)
{
    struct pubkey readers[SEAL_RECIPIENTS_MAX + 1];
    if (how->memo_size > STOA_MEMO_MAX)
        return because(error, ERR_TOO_LARGE, "memo is longer than %d bytes",
                       STOA_MEMO_MAX);
    size_t count = readers_of(w, v, how, readers), size = 0;
    if (count > SEAL_RECIPIENTS_MAX)
        return because(error, ERR_LIMIT, "a memo can be read by at most %d devices",
                       SEAL_RECIPIENTS_MAX);
    size_t cap = seal_size(how->memo_size, count);
    if (cap == 0 || !buf_reserve(sealed, SEAL_SALT_BYTES + cap))
        return because(error, ERR_MEMORY, "memo cannot be sealed");
    if (!seal_make(sealed->data + SEAL_SALT_BYTES, cap, &size, sealed->data, how->memo,
                   how->memo_size, readers, count))
        return because(error, ERR_KEY_WEAK, "a device's key cannot receive sealed memos");
    sealed->size = SEAL_SALT_BYTES + size;
    *commitment = seal_commitment(sealed->data, sealed->data + SEAL_SALT_BYTES, size);
    return STOA_OK;
}

/* ---- building ------------------------------------------------------------------------
 */

static enum err encode_payload(const struct payload *p, struct buf *room,
                               struct bytes *payload)
{
    if (!buf_reserve(room, ENVELOPE_BYTES_MAX))
        return ERR_MEMORY;
    struct mp_writer m = mp_writer_of(room->data, ENVELOPE_BYTES_MAX);
    payload_encode(&m, p);
    *payload = bytes_of(m.data, m.size);
    return m.full ? ERR_TOO_LARGE : ERR_OK;
}

/* May one request name both? Payloads that carry a fresh key, or that change with the
 * account's state, are not compared. */
static bool same_request(const struct client_outgoing *o, const struct account_view *v,
                         const struct payload *p)
{
    struct buf room = {0};
    struct bytes payload;
    struct entry e;
    if (entry_decode(&e, o->envelope.data, o->envelope.size) != ERR_OK ||
        e.kind != p->kind || (v && !hash_equal(&v->row.id, &o->account)))
        return false;
    if (p->kind != KIND_TRANSFER && p->kind != KIND_SPLIT && p->kind != KIND_NOTE &&
        p->kind != KIND_BIND)
        return true;
    bool same = encode_payload(p, &room, &payload) == ERR_OK &&
                payload.size == e.payload.size &&
                memcmp(payload.data, e.payload.data, payload.size) == 0;
    buf_close(&room);
    return same;
}

/* The caller's own request id names an entry made before. */
static stoa_result find_request(stoa_wallet *w, const struct account_view *v,
                                const struct draft *d, const stoa_how *how,
                                struct client_outgoing *out, bool *found,
                                stoa_error *error)
{
    *found = false;
    if (!how->request)
        return STOA_OK;
    size_t n = strlen(how->request);
    if (n == 0 || n > STOA_REQUEST_MAX)
        return because(error, ERR_USAGE, "a request id has 1 to %d bytes",
                       STOA_REQUEST_MAX);
    enum err e = client_store_outgoing_request(w->store, how->request, out);
    if (e == ERR_NOT_FOUND)
        return STOA_OK;
    TRY_S(e);
    if (!same_request(out, v, d->payload)) {
        stoa_result r = because_as(error, STOA_USAGE, ERR_EXISTS,
                                   "request %s names another entry already; nothing was "
                                   "sent",
                                   how->request);
        because_hint(error, "a new name for a new request");
        return r;
    }
    *found = true;
    return STOA_OK;
}

static stoa_result place_of(stoa_wallet *w, struct account_view *v, const struct draft *d,
                            struct chain *head, stoa_error *error)
{
    memset(head, 0, sizeof(*head));
    if (d->first)
        return STOA_OK;
    if (d->head) {
        *head = *d->head;
        return STOA_OK;
    }
    return local_head(w, v, head, error);
}

static stoa_result save(stoa_wallet *w, struct client_outgoing *o, stoa_error *error)
{
    enum err e = client_store_begin(w->store);
    TRY_S(e);
    e = client_store_outgoing_add(w->store, o);
    enum err end = client_store_end(w->store, e == ERR_OK);
    if (e == ERR_EXISTS)
        return because_as(error, STOA_USAGE, ERR_EXISTS,
                          "that entry or request is saved already");
    if (e != ERR_OK || end != ERR_OK)
        return because_store(w, error, e != ERR_OK ? e : end);
    return STOA_OK;
}

/* Two entries with one body are one entry. One like a dropped one, written in the same
 * millisecond on the same head, would take its id: it is a millisecond later then. */
static enum err sign_anew(stoa_wallet *w, struct entry_draft *x, const struct key *key,
                          uint8_t *room, size_t *size, struct entry *e)
{
    struct client_outgoing old;
    for (int i = 0; i < SAME_MS_MAX; i++, x->time_ms++) {
        TRY(entry_build(x, key, room, ENVELOPE_BYTES_MAX, size));
        TRY(entry_decode(e, room, *size));
        enum err err = client_store_outgoing_find(w->store, &e->id, &old);
        if (err == ERR_NOT_FOUND)
            return ERR_OK;
        if (err != ERR_OK)
            return err;
    }
    return ERR_EXISTS;
}

static stoa_result build(stoa_wallet *w, struct account_view *v, const struct draft *d,
                         const stoa_how *how, const struct key *key, struct buf room[3],
                         struct client_outgoing *out, stoa_error *error)
{
    struct chain head;
    struct bytes payload;
    struct hash commitment;
    struct entry e;
    struct refs refs = {.count = 0};
    size_t size = 0;
    TRY_R(place_of(w, v, d, &head, error));
    if (!d->first && !d->head && !v->refs_done)
        TRY_R(refs_choose(w, v, &head, &refs, error));
    enum err err = encode_payload(d->payload, &room[0], &payload);
    if (err == ERR_OK && !buf_reserve(&room[1], ENVELOPE_BYTES_MAX))
        err = ERR_MEMORY;
    if (err != ERR_OK)
        return because(error, err, "entry cannot be built: %s", err_text(err));
    if (how->memo_size)
        TRY_R(seal_memo(w, v, how, &room[2], &commitment, error));
    struct entry_draft x = {
        .account = d->first ? NULL : &v->row.id,
        .seq = head.next_seq,
        .prev = d->first ? NULL : &head.tip,
        .refs = refs.ids,
        .ref_count = refs.count,
        .lamport =
            1 + (refs.lamport > head.tip_lamport ? refs.lamport : head.tip_lamport),
        .time_ms = w->now_ms(),
        .kind = d->payload->kind,
        .payload = payload,
        .sealed_commitment = how->memo_size ? &commitment : NULL,
        .sealed_size = room[2].size ? room[2].size - SEAL_SALT_BYTES : 0};
    err = sign_anew(w, &x, key, room[1].data, &size, &e);
    if (err != ERR_OK)
        return because_as(error, STOA_USAGE, err, "entry cannot be built: %s",
                          err_text(err));
    memset(out, 0, sizeof(*out));
    out->id = e.id;
    out->account = *entry_account(&e);
    out->slot = w->slots ? slot_of(&out->account, w->slots) : 0;
    out->seq = e.seq;
    out->payees = out->left = d->payees;
    out->saved_ms = w->now_ms();
    out->envelope = e.envelope;
    out->sealed = bytes_of(room[2].data, room[2].size);
    if (how->request)
        out->request = bytes_of(how->request, strlen(how->request));
    TRY_R(save(w, out, error));
    if (v && !d->signer) {
        v->head = (struct chain){e.seq + 1, e.id, e.lamport};
        v->head_known = true;
        v->refs_done = refs.count < ENTRY_REFS_MAX;
    }
    return STOA_OK;
}

stoa_result compose(stoa_wallet *w, struct account_view *v, const struct draft *d,
                    const stoa_how *how, struct client_outgoing *out, stoa_error *error)
{
    static const stoa_how defaults = STOA_HOW_INIT;
    const struct key *key;
    bool found;
    if (!how)
        how = &defaults;
    TRY_R(find_request(w, v, d, how, out, &found, error));
    if (found)
        return STOA_OK;
    TRY_R(keys_unlock(w, d->signer ? d->signer : device_key(w), &key, error));
    struct buf room[3] = {{0}};
    stoa_result r = build(w, v, d, how, key, room, out, error);
    out->envelope = out->sealed = out->request = (struct bytes){0};
    for (int i = 0; i < 3; i++)
        buf_close(&room[i]);
    return r;
}

/* ---- the whole road ------------------------------------------------------------------
 */

void receipt_of(const struct client_outgoing *o, stoa_receipt *out)
{
    UNINITIALIZED struct payload p;
    struct entry e;
    memset(out, 0, sizeof(*out));
    out->size = sizeof(*out);
    out->id = id_of(&o->id);
    out->account = id_of(&o->account);
    out->state = (stoa_state)o->state;
    out->code = (int)o->code;
    out->hubs_word = o->hubs_word;
    out->bounced = o->bounced;
    out->payees = o->payees;
    out->payees_left = o->left;
    out->slot = o->slot;
    out->index = o->index;
    out->position = o->position;
    out->hub_lamport = o->hub_lamport;
    out->hub_time_ms = o->hub_time_ms;
    out->tree_size = o->tree_size;
    out->saved_ms = o->saved_ms;
    out->seq = o->seq;
    if (o->envelope.size == 0 ||
        entry_decode(&e, o->envelope.data, o->envelope.size) != ERR_OK)
        return;
    out->kind = (unsigned)e.kind;
    if (e.kind == KIND_TRANSFER && payload_decode(&p, e.kind, e.payload) == ERR_OK)
        for (size_t i = 0; i < p.transfer.payee_count; i++)
            out->amount += p.transfer.payees[i].amount;
}

static stoa_result not_yet(const struct client_outgoing *o, stoa_error *error)
{
    enum err code;
    if (!err_from_number(o->code, &code))
        code = ERR_UNKNOWN;
    switch (o->state) {
    case CLIENT_DROPPED:
        return because_as(error, STOA_REFUSED, code, "%s", err_text(code));
    case CLIENT_SENT:
        return because(
            error, ERR_UNKNOWN,
            "the entry was sent and no answer is known; it may be in the ledger");
    case CLIENT_SAVED:
        if (o->code)
            return because_as(error, STOA_LIMITED, code, "not taken yet: %s",
                              err_text(code));
        return because(error, ERR_NET, "the entry is saved and was not sent");
    default:
        if (o->payees == 1)
            return because_as(error, STOA_INTERRUPTED, ERR_TIMEOUT,
                              "accepted, and the payee is not credited yet");
        return because_as(error, STOA_INTERRUPTED, ERR_TIMEOUT,
                          "accepted, and %u of %u payees are not credited yet", o->left,
                          o->payees);
    }
}

stoa_result outcome(stoa_wallet *w, const struct hash *id, stoa_state wait,
                    stoa_receipt *receipt, stoa_error *error)
{
    struct client_outgoing o;
    stoa_receipt v;
    TRY_S(client_store_outgoing_find(w->store, id, &o));
    receipt_of(&o, &v);
    if (receipt) {
        v.resumed = receipt->resumed;
        give(receipt, &v, sizeof(v));
    }
    if (o.state == CLIENT_DROPPED || (unsigned)o.state < (unsigned)wait) {
        stoa_result r = not_yet(&o, error);
        if (r == STOA_UNKNOWN || r == STOA_INTERRUPTED || o.state == CLIENT_SAVED)
            because_hint(error, "resume: it sends the same bytes and cannot pay twice");
        return r;
    }
    return STOA_OK;
}

/* A hub that contradicts itself weighs more than what became of the entry; and why the
 * connection ended says more than that there was no answer. */
stoa_result finish_outcome(stoa_wallet *w, const struct hash *id, stoa_state wait,
                           stoa_result sent, const stoa_error *why, stoa_receipt *receipt,
                           stoa_error *error)
{
    stoa_result r = outcome(w, id, wait, receipt, error);
    if (sent == STOA_NO || sent == STOA_CONFIG || sent == STOA_BUG) {
        if (error)
            give(error, why, sizeof(*why));
        return sent;
    }
    if (sent != STOA_OK && r != STOA_OK && error) {
        size_t n = strlen(error->message);
        error->retry_after_ms = why->retry_after_ms;
        if (r == STOA_UNKNOWN)
            snprintf(error->message + n, sizeof(error->message) - n, " (%.200s)",
                     why->message);
    }
    return r;
}

stoa_result write_entry(stoa_wallet *w, struct account_view *v, const struct draft *d,
                        const stoa_how *how, stoa_receipt *receipt, stoa_error *error)
{
    static const stoa_how defaults = STOA_HOW_INIT;
    struct client_outgoing o;
    stoa_receipt own = {.size = sizeof(own)};
    if (!how)
        how = &defaults;
    if (!receipt)
        receipt = &own;
    if (how->wait != STOA_SAVED) {
        if (w->batch)
            return because(error, ERR_USAGE, "inside a batch entries are only saved");
        TRY_R(need_connection(w, error));
    }
    uint64_t before = w->now_ms();
    memset(&o, 0, sizeof(o));
    TRY_R(compose(w, v, d, how, &o, error));
    struct hash id = o.id, account = o.account;
    bool resumed = o.saved_ms < before || o.state != CLIENT_SAVED;
    stoa_error first = {.size = sizeof(first)};
    stoa_result sent = STOA_OK;
    if (how->wait != STOA_SAVED)
        sent = deliver(w, &account, &id, how->wait, how->timeout_ms, NULL, NULL, &first);
    stoa_result r = finish_outcome(w, &id, how->wait, sent, &first, receipt, error);
    receipt->resumed = resumed;
    return r;
}
