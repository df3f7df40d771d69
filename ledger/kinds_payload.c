/* Payload arrays, read and written side by side. A reader for a kind whose struct is
 * large takes NULL for "check only", so that checking clears and fills nothing. */
#include "ledger/kinds.h"

#include <assert.h>
#include "ledger/entry.h"

/* The form of the payload so far, and the first fault of meaning in it. Form wins. */
struct fault {
    struct mp_reader r;
    enum err first;
};

static void note_fault(struct fault *f, enum err e)
{
    if (f->first == ERR_OK)
        f->first = e;
}

static void bad_form(struct fault *f)
{
    f->r.bad = true;
    f->r.at = f->r.end;
}

/* ---- pieces ---- */

static void read_count(struct fault *f, size_t wanted)
{
    size_t count;
    if (mp_read_array(&f->r, &count, wanted) && count != wanted)
        bad_form(f);
}

static void read_hash(struct fault *f, struct hash *out)
{
    mp_read_bin_exact(&f->r, out->b, sizeof out->b);
}

static void read_key(struct fault *f, struct pubkey *out)
{
    mp_read_bin_exact(&f->r, out->b, sizeof out->b);
}

static void read_sig(struct fault *f, struct signature *out)
{
    mp_read_bin_exact(&f->r, out->b, sizeof out->b);
}

/* A number of at most `max`. */
static void read_uint(struct fault *f, uint64_t *out, uint64_t max)
{
    if (mp_read_uint(&f->r, out) && *out > max)
        bad_form(f);
}

static void read_amount(struct fault *f, int64_t *out)
{
    if (mp_read_int(&f->r, out) && *out <= 0)
        note_fault(f, ERR_AMOUNT);
}

static void read_text(struct fault *f, struct bytes *out, size_t max)
{
    if (mp_read_str(&f->r, out, max) && out->size == 0)
        bad_form(f);
}

static void read_hub(struct fault *f, struct bytes *out)
{
    if (mp_read_str(&f->r, out, HUB_NAME_MAX) &&
        !hub_name_ok((const char *)out->data, out->size))
        bad_form(f);
}

static void read_origin(struct fault *f, struct bytes *out)
{
    if (mp_read_str(&f->r, out, NOTE_NAME_MAX) &&
        !origin_ok((const char *)out->data, out->size))
        bad_form(f);
}

static bool read_optional(struct fault *f)
{
    if (!mp_peek_nil(&f->r))
        return true;
    mp_read_nil(&f->r);
    return false;
}

static void put_hash(struct mp_writer *w, const struct hash *h)
{
    mp_bin(w, h->b, sizeof h->b);
}

static void put_key(struct mp_writer *w, const struct pubkey *k)
{
    mp_bin(w, k->b, sizeof k->b);
}

static void put_sig(struct mp_writer *w, const struct signature *s)
{
    mp_bin(w, s->b, sizeof s->b);
}

static void put_text(struct mp_writer *w, struct bytes b)
{
    mp_str(w, (const char *)b.data, b.size);
}

/* ---- account, devices, members ---- */

static void read_open(struct fault *f, struct p_open *p)
{
    read_count(f, 7);
    read_hash(f, &p->federation);
    read_hub(f, &p->hub);
    read_key(f, &p->root);
    read_sig(f, &p->root_sig);
    read_uint(f, &p->residency, RESIDENCY_PINNED);
    p->has_recovery = read_optional(f);
    if (p->has_recovery)
        read_key(f, &p->recovery);
    else
        p->recovery = (struct pubkey){0};
    read_hash(f, &p->nonce);
}

static void put_open(struct mp_writer *w, const struct p_open *p)
{
    mp_array(w, 7);
    put_hash(w, &p->federation);
    put_text(w, p->hub);
    put_key(w, &p->root);
    put_sig(w, &p->root_sig);
    mp_uint(w, p->residency);
    if (p->has_recovery)
        put_key(w, &p->recovery);
    else
        mp_nil(w);
    put_hash(w, &p->nonce);
}

static void read_device_add(struct fault *f, struct p_device_add *p)
{
    read_count(f, 4);
    read_key(f, &p->root);
    read_key(f, &p->device);
    read_uint(f, &p->grant, INT64_MAX);
    read_sig(f, &p->root_sig);
}

static void put_device_add(struct mp_writer *w, const struct p_device_add *p)
{
    mp_array(w, 4);
    put_key(w, &p->root);
    put_key(w, &p->device);
    mp_uint(w, p->grant);
    put_sig(w, &p->root_sig);
}

static void read_invite(struct fault *f, struct p_invite *p)
{
    read_count(f, 3);
    read_key(f, &p->key);
    read_uint(f, &p->expires_ms, INT64_MAX);
    read_sig(f, &p->root_sig);
}

static void put_invite(struct mp_writer *w, const struct p_invite *p)
{
    mp_array(w, 3);
    put_key(w, &p->key);
    mp_uint(w, p->expires_ms);
    put_sig(w, &p->root_sig);
}

static void read_member_add(struct fault *f, struct p_member_add *p)
{
    read_count(f, 3);
    read_key(f, &p->root);
    read_sig(f, &p->root_sig);
    read_sig(f, &p->invite_sig);
}

static void put_member_add(struct mp_writer *w, const struct p_member_add *p)
{
    mp_array(w, 3);
    put_key(w, &p->root);
    put_sig(w, &p->root_sig);
    put_sig(w, &p->invite_sig);
}

/* Proofs: how 0: one, by the old root; 1: strictly ascending roots; 2: none. */
static void read_proofs(struct fault *f, struct p_root_rotate *p, uint64_t how,
                        const struct pubkey *old_root)
{
    size_t count;
    mp_read_array(&f->r, &count, MEMBERS_MAX);
    if ((how == ROTATE_OLD_ROOT && count != 1) || (how == ROTATE_RECOVERY && count != 0))
        bad_form(f);
    struct pubkey last = {{0}};
    for (size_t i = 0; i < count && !f->r.bad; i++) {
        struct pubkey root;
        struct signature sig;
        read_count(f, 2);
        read_key(f, &root);
        read_sig(f, &sig);
        if ((how == ROTATE_OLD_ROOT && !pubkey_equal(&root, old_root)) ||
            (i > 0 && pubkey_compare(&last, &root) >= 0))
            bad_form(f);
        last = root;
        if (p) {
            p->proofs[i].root = root;
            p->proofs[i].sig = sig;
        }
    }
    if (p)
        p->proof_count = f->r.bad ? 0 : count;
}

static void read_root_rotate(struct fault *f, struct p_root_rotate *p)
{
    struct pubkey old_root, new_root, device = {{0}};
    struct signature new_sig, grant_sig = {{0}};
    uint64_t how;
    read_count(f, 7);
    read_key(f, &old_root);
    read_key(f, &new_root);
    read_uint(f, &how, ROTATE_RECOVERY);
    bool has_device = read_optional(f);
    if (has_device)
        read_key(f, &device);
    bool has_grant = read_optional(f);
    if (has_grant)
        read_sig(f, &grant_sig);
    if (has_device != (how == ROTATE_RECOVERY) || has_grant != has_device)
        bad_form(f);
    read_sig(f, &new_sig);
    if (p) {
        p->old_root = old_root;
        p->new_root = new_root;
        p->how = how;
        p->has_device = has_device;
        p->device = device;
        p->grant_sig = grant_sig;
        p->new_sig = new_sig;
    }
    read_proofs(f, p, how, &old_root);
}

static void put_root_rotate(struct mp_writer *w, const struct p_root_rotate *p)
{
    assert(p->proof_count <= MEMBERS_MAX);
    mp_array(w, 7);
    put_key(w, &p->old_root);
    put_key(w, &p->new_root);
    mp_uint(w, p->how);
    if (p->has_device) {
        put_key(w, &p->device);
        put_sig(w, &p->grant_sig);
    } else {
        mp_nil(w);
        mp_nil(w);
    }
    put_sig(w, &p->new_sig);
    mp_array(w, p->proof_count);
    for (size_t i = 0; i < p->proof_count; i++) {
        mp_array(w, 2);
        put_key(w, &p->proofs[i].root);
        put_sig(w, &p->proofs[i].sig);
    }
}

static void read_recovery_cancel(struct fault *f, struct p_recovery_cancel *p)
{
    read_count(f, 3);
    read_hash(f, &p->begin);
    read_key(f, &p->root);
    read_sig(f, &p->root_sig);
}

static void put_recovery_cancel(struct mp_writer *w, const struct p_recovery_cancel *p)
{
    mp_array(w, 3);
    put_hash(w, &p->begin);
    put_key(w, &p->root);
    put_sig(w, &p->root_sig);
}

/* ---- money of members ---- */

static void read_transfer(struct fault *f, struct p_transfer *p)
{
    size_t count;
    struct hash last = {{0}};
    read_count(f, 1);
    if (mp_read_array(&f->r, &count, PAYEES_MAX) && count == 0)
        bad_form(f);
    for (size_t i = 0; i < count && !f->r.bad; i++) {
        struct payee payee;
        read_count(f, 3);
        read_hash(f, &payee.account);
        payee.hub = (struct bytes){NULL, 0};
        if (read_optional(f))
            read_hub(f, &payee.hub);
        read_amount(f, &payee.amount);
        if (i > 0 && hash_compare(&last, &payee.account) >= 0)
            note_fault(f, ERR_PAYEES);
        last = payee.account;
        if (p)
            p->payees[i] = payee;
    }
    if (p)
        p->payee_count = f->r.bad ? 0 : count;
}

static void put_transfer(struct mp_writer *w, const struct p_transfer *p)
{
    assert(p->payee_count <= PAYEES_MAX);
    mp_array(w, 1);
    mp_array(w, p->payee_count);
    for (size_t i = 0; i < p->payee_count; i++) {
        const struct payee *payee = &p->payees[i];
        mp_array(w, 3);
        put_hash(w, &payee->account);
        if (payee->hub.size > 0)
            put_text(w, payee->hub);
        else
            mp_nil(w);
        mp_int(w, payee->amount);
    }
}

static void read_terms(struct fault *f, struct split_terms *t)
{
    const uint8_t *start = f->r.at;
    struct pubkey payer, last = {{0}};
    int64_t amount;
    int64_t left;
    size_t count;
    bool sum_ok = true;
    read_count(f, 3);
    read_key(f, &payer);
    read_amount(f, &amount);
    left = amount;
    if (mp_read_array(&f->r, &count, MEMBERS_MAX) && count == 0)
        bad_form(f);
    for (size_t i = 0; i < count && !f->r.bad; i++) {
        struct pubkey root;
        int64_t share;
        read_count(f, 2);
        read_key(f, &root);
        if (mp_read_int(&f->r, &share) && share < 0)
            note_fault(f, ERR_AMOUNT);
        if (i > 0 && pubkey_compare(&last, &root) >= 0)
            bad_form(f);
        last = root;
        if (share > left)
            sum_ok = false; /* never below zero, so never an overflow either */
        else if (share > 0)
            left -= share;
        if (t) {
            t->shares[i].root = root;
            t->shares[i].amount = share;
        }
    }
    if (!sum_ok || left != 0)
        note_fault(f, ERR_SPLIT_SUM);
    if (t) {
        t->payer = payer;
        t->amount = amount;
        t->share_count = f->r.bad ? 0 : count;
        t->raw = (struct bytes){start, (size_t)(f->r.at - start)};
    }
}

static void put_terms(struct mp_writer *w, const struct split_terms *t)
{
    assert(t->share_count <= MEMBERS_MAX);
    mp_array(w, 3);
    put_key(w, &t->payer);
    mp_int(w, t->amount);
    mp_array(w, t->share_count);
    for (size_t i = 0; i < t->share_count; i++) {
        mp_array(w, 2);
        put_key(w, &t->shares[i].root);
        mp_int(w, t->shares[i].amount);
    }
}

static void read_split(struct fault *f, struct p_split *p)
{
    read_count(f, 1);
    read_terms(f, p ? &p->terms : NULL);
}

/* split_correct and split_void: the latter names no new terms. */
static void read_split_change(struct fault *f, struct p_split_change *p, bool has_new)
{
    struct hash split;
    read_count(f, has_new ? 3 : 2);
    read_hash(f, &split);
    if (p)
        p->split = split;
    read_terms(f, p ? &p->old_terms : NULL);
    if (has_new)
        read_terms(f, p ? &p->new_terms : NULL);
}

static void put_split_change(struct mp_writer *w, const struct p_split_change *p,
                             bool has_new)
{
    mp_array(w, has_new ? 3 : 2);
    put_hash(w, &p->split);
    put_terms(w, &p->old_terms);
    if (has_new)
        put_terms(w, &p->new_terms);
}

static void read_bind(struct fault *f, struct p_bind *p)
{
    read_count(f, 2);
    read_uint(f, &p->chain, INT64_MAX);
    if (p->chain >= CHAINS)
        note_fault(f, ERR_CHAIN);
    read_text(f, &p->address, ADDRESS_BYTES_MAX);
}

static void put_bind(struct mp_writer *w, const struct p_bind *p)
{
    mp_array(w, 2);
    mp_uint(w, p->chain);
    put_text(w, p->address);
}

static void read_note(struct fault *f, struct p_note *p)
{
    read_count(f, 1);
    mp_read_bin(&f->r, &p->data, NOTE_DATA_MAX);
}

static void put_note(struct mp_writer *w, const struct p_note *p)
{
    mp_array(w, 1);
    mp_bin(w, p->data.data, p->data.size);
}

/* ---- the hub ---- */

static void read_accrue(struct fault *f, struct p_accrue *p)
{
    read_count(f, 3);
    read_hash(f, &p->node);
    read_uint(f, &p->epoch, INT64_MAX);
    read_amount(f, &p->amount);
}

static void put_accrue(struct mp_writer *w, const struct p_accrue *p)
{
    mp_array(w, 3);
    put_hash(w, &p->node);
    mp_uint(w, p->epoch);
    mp_int(w, p->amount);
}

static void read_adjust(struct fault *f, struct p_adjust *p)
{
    read_count(f, 2);
    if (mp_read_int(&f->r, &p->delta) && (p->delta == 0 || p->delta == INT64_MIN))
        note_fault(f, ERR_AMOUNT);
    read_text(f, &p->reason, REASON_BYTES_MAX);
}

static void put_adjust(struct mp_writer *w, const struct p_adjust *p)
{
    mp_array(w, 2);
    mp_int(w, p->delta);
    put_text(w, p->reason);
}

static void read_log_open(struct fault *f, struct p_log_open *p)
{
    read_count(f, 8);
    read_hash(f, &p->federation);
    read_hub(f, &p->hub);
    read_uint(f, &p->slot, INT64_MAX);
    read_uint(f, &p->slots, SLOTS_MAX);
    if (p->slots == 0 || (p->slots & (p->slots - 1)) != 0 || p->slot >= p->slots)
        bad_form(f);
    read_uint(f, &p->rules, INT64_MAX);
    read_key(f, &p->issuer);
    read_key(f, &p->relay);
    read_text(f, &p->log_vkey, VKEY_TEXT_MAX);
}

static void put_log_open(struct mp_writer *w, const struct p_log_open *p)
{
    mp_array(w, 8);
    put_hash(w, &p->federation);
    put_text(w, p->hub);
    mp_uint(w, p->slot);
    mp_uint(w, p->slots);
    mp_uint(w, p->rules);
    put_key(w, &p->issuer);
    put_key(w, &p->relay);
    put_text(w, p->log_vkey);
}

static void read_hub_key(struct fault *f, struct p_hub_key *p)
{
    read_count(f, 5);
    read_uint(f, &p->role, ROLE_LOG);
    read_key(f, &p->old_key);
    read_key(f, &p->new_key);
    read_sig(f, &p->old_sig);
    read_sig(f, &p->new_sig);
}

static void put_hub_key(struct mp_writer *w, const struct p_hub_key *p)
{
    mp_array(w, 5);
    mp_uint(w, p->role);
    put_key(w, &p->old_key);
    put_key(w, &p->new_key);
    put_sig(w, &p->old_sig);
    put_sig(w, &p->new_sig);
}

/* From the amount on, credit and bounce are the same. */
static void read_item_rest(struct fault *f, struct p_credit *p, uint64_t reason_max)
{
    read_amount(f, &p->amount);
    read_origin(f, &p->source);
    read_uint(f, &p->source_index, INT64_MAX);
    read_uint(f, &p->out_seq, INT64_MAX);
    read_uint(f, &p->source_lamport, INT64_MAX);
    read_uint(f, &p->reason, reason_max);
}

static void put_item_rest(struct mp_writer *w, const struct p_credit *p)
{
    mp_int(w, p->amount);
    put_text(w, p->source);
    mp_uint(w, p->source_index);
    mp_uint(w, p->out_seq);
    mp_uint(w, p->source_lamport);
    mp_uint(w, p->reason);
}

static void read_credit(struct fault *f, struct p_credit *p)
{
    read_count(f, 8);
    read_hash(f, &p->cause);
    read_uint(f, &p->payee_index, PAYEES_MAX - 1);
    read_item_rest(f, p, CREDIT_RETURN);
}

static void put_credit(struct mp_writer *w, const struct p_credit *p)
{
    mp_array(w, 8);
    put_hash(w, &p->cause);
    mp_uint(w, p->payee_index);
    put_item_rest(w, p);
}

static void read_bounce(struct fault *f, struct p_bounce *p)
{
    read_count(f, 10);
    read_hash(f, &p->item.cause);
    read_uint(f, &p->item.payee_index, PAYEES_MAX - 1);
    read_hash(f, &p->payer);
    read_hash(f, &p->payee);
    read_item_rest(f, &p->item, BOUNCE_OVERFLOW);
}

static void put_bounce(struct mp_writer *w, const struct p_bounce *p)
{
    mp_array(w, 10);
    put_hash(w, &p->item.cause);
    mp_uint(w, p->item.payee_index);
    put_hash(w, &p->payer);
    put_hash(w, &p->payee);
    put_item_rest(w, &p->item);
}

/* ---- all kinds ---- */

/* Payloads of a size that costs nothing to keep on the stack. */
union small {
    struct p_open open;
    struct p_device_add device_add;
    struct pubkey key;
    struct signature sig;
    struct p_invite invite;
    struct p_member_add member_add;
    struct p_recovery_cancel recovery_cancel;
    struct p_bind bind;
    struct p_note note;
    struct p_accrue accrue;
    struct p_adjust adjust;
    struct p_log_open log_open;
    struct p_hub_key hub_key;
    struct p_rules rules;
    struct p_credit credit;
    struct p_bounce bounce;
};

/* Reads into `p`; or, when that is NULL, into nothing that stays. */
static void read_payload(struct fault *f, enum kind kind, struct payload *p)
{
    union small s;
    switch (kind) {
    case KIND_OPEN:
        read_open(f, p ? &p->open : &s.open);
        break;
    case KIND_DEVICE_ADD:
        read_device_add(f, p ? &p->device_add : &s.device_add);
        break;
    case KIND_DEVICE_REVOKE:
        read_count(f, 1);
        read_key(f, p ? &p->device_revoke.device : &s.key);
        break;
    case KIND_INVITE:
        read_invite(f, p ? &p->invite : &s.invite);
        break;
    case KIND_MEMBER_ADD:
        read_member_add(f, p ? &p->member_add : &s.member_add);
        break;
    case KIND_MEMBER_REMOVE:
        read_count(f, 2);
        read_key(f, p ? &p->member_remove.root : &s.key);
        read_sig(f, p ? &p->member_remove.root_sig : &s.sig);
        break;
    case KIND_ROOT_ROTATE:
        read_root_rotate(f, p ? &p->root_rotate : NULL);
        break;
    case KIND_RECOVERY_BEGIN:
        read_count(f, 0);
        break;
    case KIND_RECOVERY_CANCEL:
        read_recovery_cancel(f, p ? &p->recovery_cancel : &s.recovery_cancel);
        break;
    case KIND_TRANSFER:
        read_transfer(f, p ? &p->transfer : NULL);
        break;
    case KIND_SPLIT:
        read_split(f, p ? &p->split : NULL);
        break;
    case KIND_SPLIT_CORRECT:
    case KIND_SPLIT_VOID:
        read_split_change(f, p ? &p->split_change : NULL, kind == KIND_SPLIT_CORRECT);
        break;
    case KIND_BIND:
        read_bind(f, p ? &p->bind : &s.bind);
        break;
    case KIND_NOTE:
        read_note(f, p ? &p->note : &s.note);
        break;
    case KIND_ACCRUE:
        read_accrue(f, p ? &p->accrue : &s.accrue);
        break;
    case KIND_ADJUST:
        read_adjust(f, p ? &p->adjust : &s.adjust);
        break;
    case KIND_LOG_OPEN:
        read_log_open(f, p ? &p->log_open : &s.log_open);
        break;
    case KIND_HUB_KEY:
        read_hub_key(f, p ? &p->hub_key : &s.hub_key);
        break;
    case KIND_RULES:
        read_count(f, 1);
        read_uint(f, p ? &p->rules.version : &s.rules.version, INT64_MAX);
        break;
    case KIND_CREDIT:
        read_credit(f, p ? &p->credit : &s.credit);
        break;
    case KIND_BOUNCE:
        read_bounce(f, p ? &p->bounce : &s.bounce);
        break;
    case KIND_MINT:
    case KIND_SEAL:
    case KIND_ADOPT:
    case KIND_REMIT:
    case KIND_COMPACTION:
        break; /* refused before */
    }
}

static enum err read_all(struct payload *p, uint64_t kind, struct bytes data)
{
    enum writer writer;
    if (!kind_writer(kind, &writer))
        return ERR_KIND_UNKNOWN;
    if (writer == BY_NOBODY)
        return ERR_KIND_RESERVED;
    struct fault f = {mp_reader_of(data.data, data.size), ERR_OK};
    if (p)
        p->kind = kind;
    read_payload(&f, (enum kind)kind, p);
    return mp_done(&f.r) ? f.first : ERR_PAYLOAD;
}

enum err payload_decode(struct payload *p, uint64_t kind, struct bytes data)
{
    return read_all(p, kind, data);
}

enum err payload_check(uint64_t kind, struct bytes data)
{
    return read_all(NULL, kind, data);
}

void payload_encode(struct mp_writer *w, const struct payload *p)
{
    switch ((enum kind)p->kind) {
    case KIND_OPEN:
        put_open(w, &p->open);
        break;
    case KIND_DEVICE_ADD:
        put_device_add(w, &p->device_add);
        break;
    case KIND_DEVICE_REVOKE:
        mp_array(w, 1);
        put_key(w, &p->device_revoke.device);
        break;
    case KIND_INVITE:
        put_invite(w, &p->invite);
        break;
    case KIND_MEMBER_ADD:
        put_member_add(w, &p->member_add);
        break;
    case KIND_MEMBER_REMOVE:
        mp_array(w, 2);
        put_key(w, &p->member_remove.root);
        put_sig(w, &p->member_remove.root_sig);
        break;
    case KIND_ROOT_ROTATE:
        put_root_rotate(w, &p->root_rotate);
        break;
    case KIND_RECOVERY_BEGIN:
        mp_array(w, 0);
        break;
    case KIND_RECOVERY_CANCEL:
        put_recovery_cancel(w, &p->recovery_cancel);
        break;
    case KIND_TRANSFER:
        put_transfer(w, &p->transfer);
        break;
    case KIND_SPLIT:
        mp_array(w, 1);
        put_terms(w, &p->split.terms);
        break;
    case KIND_SPLIT_CORRECT:
    case KIND_SPLIT_VOID:
        put_split_change(w, &p->split_change, p->kind == KIND_SPLIT_CORRECT);
        break;
    case KIND_BIND:
        put_bind(w, &p->bind);
        break;
    case KIND_NOTE:
        put_note(w, &p->note);
        break;
    case KIND_ACCRUE:
        put_accrue(w, &p->accrue);
        break;
    case KIND_ADJUST:
        put_adjust(w, &p->adjust);
        break;
    case KIND_LOG_OPEN:
        put_log_open(w, &p->log_open);
        break;
    case KIND_HUB_KEY:
        put_hub_key(w, &p->hub_key);
        break;
    case KIND_RULES:
        mp_array(w, 1);
        mp_uint(w, p->rules.version);
        break;
    case KIND_CREDIT:
        put_credit(w, &p->credit);
        break;
    case KIND_BOUNCE:
        put_bounce(w, &p->bounce);
        break;
    case KIND_MINT:
    case KIND_SEAL:
    case KIND_ADOPT:
    case KIND_REMIT:
    case KIND_COMPACTION:
        break;
    }
}
