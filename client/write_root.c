/* Root keys: rotation by the old key, by the other members, and recovery. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/scratch.h"
#include "client/token.h"
#include "crypto/context.h"
#include "crypto/keyfile.h"

#define PROPOSAL_PREFIX "stoa-rotate-1:"
#define PROOF_PREFIX "stoa-cosign-1:"

/* ---- by the old root -----------------------------------------------------------------
 */

static void sign_rotation(struct p_root_rotate *p, const struct hash *account,
                          uint64_t rotations, const struct key *new_root)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t n = rotate_message(message, account, &p->old_root, &p->new_root,
                              p->has_device ? &p->device : NULL, rotations);
    p->new_sig = key_sign(new_root, CTX_ROTATE, message, n);
}

static struct signature prove_rotation(const struct p_root_rotate *p,
                                       const struct hash *account, uint64_t rotations,
                                       const struct key *prover)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t n = rotate_message(message, account, &p->old_root, &p->new_root,
                              p->has_device ? &p->device : NULL, rotations);
    return key_sign(prover, CTX_ROTATE, message, n);
}

stoa_result stoa_root_rotate(stoa_wallet *w, const stoa_id *account, const stoa_how *how,
                             stoa_receipt *receipt, stoa_error *error)
{
    struct hash id = hash_of(account), entry;
    struct account_view *v;
    const struct member *m;
    const struct key *old_root, *new_root;
    UNINITIALIZED struct payload p;
    bool found;
    TRY_R(account_need(w, &id, &v, error));
    TRY_R(unresolved_kind(w, &id, KIND_ROOT_ROTATE, &entry, &found, error));
    if (found)
        return finish_entry(w, &id, &entry, how, receipt, error);
    if (!how || how->wait != STOA_SAVED)
        TRY_R(need_connection(w, error));
    TRY_R(own_member(w, v, &m, error));
    TRY_R(own_root(w, m, &old_root, error));
    struct p_root_rotate *r = &p.root_rotate;
    p.kind = KIND_ROOT_ROTATE;
    r->old_root = m->root;
    r->how = ROTATE_OLD_ROOT;
    r->has_device = false;
    TRY_R(keys_make(w, "root", NULL, &r->new_root, error));
    TRY_R(keys_unlock(w, &r->new_root, &new_root, error));
    sign_rotation(r, &id, m->rotations, new_root);
    r->proof_count = 1;
    r->proofs[0].root = m->root;
    r->proofs[0].sig = prove_rotation(r, &id, m->rotations, old_root);
    struct draft d = {.payload = &p};
    return write_entry(w, v, &d, how, receipt, error);
}

/* ---- by the other members -------------------------------------------------------------
 */

struct proposal {
    struct hash account;
    struct pubkey old_root, new_root;
    uint64_t rotations;
};

static bool proposal_get(const char *text, struct proposal *out)
{
    uint8_t room[STOA_TOKEN_MAX];
    size_t size, n = 0;
    if (!token_get(text, PROPOSAL_PREFIX, room, sizeof(room), &size))
        return false;
    struct mp_reader r = mp_reader_of(room, size);
    (void)mp_read_array(&r, &n, 4);
    (void)mp_read_bin_exact(&r, out->account.b, HASH_BYTES);
    (void)mp_read_bin_exact(&r, out->old_root.b, PUBKEY_BYTES);
    (void)mp_read_bin_exact(&r, out->new_root.b, PUBKEY_BYTES);
    (void)mp_read_uint(&r, &out->rotations);
    return mp_done(&r) && n == 4;
}

stoa_result stoa_rotate_propose(stoa_wallet *w, const stoa_id *account,
                                const stoa_id *old_root, char out[STOA_TOKEN_MAX],
                                stoa_error *error)
{
    struct hash id = hash_of(account);
    struct pubkey old = key_of_id(old_root), new_root;
    struct account_view *v;
    uint8_t room[STOA_TOKEN_MAX];
    TRY_R(account_need(w, &id, &v, error));
    const struct member *m = account_member(&v->f.account, &old);
    if (!m)
        return because_as(error, STOA_USAGE, ERR_MEMBER_UNKNOWN,
                          "no member has that root key");
    TRY_R(keys_make(w, "root", NULL, &new_root, error));
    struct mp_writer x = mp_writer_of(room, sizeof(room));
    mp_array(&x, 4);
    mp_bin(&x, id.b, HASH_BYTES);
    mp_bin(&x, old.b, PUBKEY_BYTES);
    mp_bin(&x, new_root.b, PUBKEY_BYTES);
    mp_uint(&x, m->rotations);
    return token_put(out, PROPOSAL_PREFIX, room, x.size)
               ? STOA_OK
               : because(error, ERR_ROOM, "token does not fit");
}

static void rotation_of(const struct proposal *in, struct p_root_rotate *p)
{
    p->old_root = in->old_root;
    p->new_root = in->new_root;
    p->how = ROTATE_MEMBERS;
    p->has_device = false;
    p->proof_count = 0;
}

stoa_result stoa_rotate_cosign(stoa_wallet *w, const char *proposal,
                               char out[STOA_TOKEN_MAX], stoa_error *error)
{
    struct proposal in;
    struct account_view *v;
    const struct member *m;
    const struct key *root;
    UNINITIALIZED struct payload p;
    uint8_t room[STOA_TOKEN_MAX];
    if (!proposal_get(proposal, &in))
        return because_as(error, STOA_DATA, ERR_MALFORMED, "that is not a proposal");
    TRY_R(account_need(w, &in.account, &v, error));
    TRY_R(own_member(w, v, &m, error));
    const struct member *whose = account_member(&v->f.account, &in.old_root);
    if (!whose || whose->rotations != in.rotations || whose == m)
        return because_as(error, STOA_REFUSED, ERR_MEMBER_UNKNOWN,
                          "the proposal is not about another member's present root key");
    TRY_R(own_root(w, m, &root, error));
    rotation_of(&in, &p.root_rotate);
    struct signature sig =
        prove_rotation(&p.root_rotate, &in.account, in.rotations, root);
    struct mp_writer x = mp_writer_of(room, sizeof(room));
    mp_array(&x, 2);
    mp_bin(&x, m->root.b, PUBKEY_BYTES);
    mp_bin(&x, sig.b, SIG_BYTES);
    return token_put(out, PROOF_PREFIX, room, x.size)
               ? STOA_OK
               : because(error, ERR_ROOM, "token does not fit");
}

static bool proof_get(const char *text, struct p_root_rotate *p)
{
    uint8_t room[STOA_TOKEN_MAX];
    size_t size, n = 0;
    if (!token_get(text, PROOF_PREFIX, room, sizeof(room), &size))
        return false;
    struct mp_reader r = mp_reader_of(room, size);
    (void)mp_read_array(&r, &n, 2);
    (void)mp_read_bin_exact(&r, p->proofs[p->proof_count].root.b, PUBKEY_BYTES);
    (void)mp_read_bin_exact(&r, p->proofs[p->proof_count].sig.b, SIG_BYTES);
    p->proof_count++;
    return mp_done(&r) && n == 2;
}

static int by_prover(const void *a, const void *b)
{
    return memcmp(a, b, PUBKEY_BYTES);
}

stoa_result stoa_rotate_finish(stoa_wallet *w, const char *proposal,
                               const char *const proofs[], size_t proof_count,
                               const stoa_how *how, stoa_receipt *receipt,
                               stoa_error *error)
{
    struct proposal in;
    struct account_view *v;
    const struct key *new_root;
    UNINITIALIZED struct payload p;
    struct p_root_rotate *r = &p.root_rotate;
    if (!proposal_get(proposal, &in))
        return because_as(error, STOA_DATA, ERR_MALFORMED, "that is not a proposal");
    if (proof_count > MEMBERS_MAX)
        return because(error, ERR_USAGE, "too many proofs");
    TRY_R(account_need(w, &in.account, &v, error));
    TRY_R(keys_unlock(w, &in.new_root, &new_root, error));
    p.kind = KIND_ROOT_ROTATE;
    rotation_of(&in, r);
    for (size_t i = 0; i < proof_count; i++)
        if (!proof_get(proofs[i], r))
            return because_as(error, STOA_DATA, ERR_MALFORMED, "proof %zu is not one",
                              i + 1);
    qsort(r->proofs, r->proof_count, sizeof(r->proofs[0]), by_prover);
    sign_rotation(r, &in.account, in.rotations, new_root);
    struct draft d = {.payload = &p};
    return write_entry(w, v, &d, how, receipt, error);
}

/* ---- recovery ------------------------------------------------------------------------
 */

/* Takes the recovery key into the open wallet for one call; its file stays where it is.
 */
static stoa_result borrow(stoa_wallet *w, const char *path, struct pubkey *pub,
                          stoa_error *error)
{
    char role[KEYFILE_ROLE_MAX];
    bool encrypted;
    if (w->key_count == WALLET_KEYS_MAX)
        return because(error, ERR_LIMIT, "this wallet has its largest number of keys");
    enum keyfile_result r = keyfile_load_public(path, pub, role, &encrypted);
    struct key *key = NULL;
    char *text = NULL;
    if (r == KEYFILE_OK && encrypted) {
        text = secret_alloc(STOA_PASSPHRASE_MAX);
        if (!text || !w->passphrase ||
            !w->passphrase(w->passphrase_context, role, false, text, STOA_PASSPHRASE_MAX))
            r = KEYFILE_NEEDED;
    }
    if (r == KEYFILE_OK)
        r = keyfile_load(path, &key, NULL, text);
    secret_free(text);
    if (r != KEYFILE_OK)
        return because_as(error, STOA_DENIED, ERR_NOT_ALLOWED, "%s: %s", path,
                          keyfile_result_text(r));
    struct wallet_key *k = &w->keys[w->key_count++];
    memset(k, 0, sizeof(*k));
    snprintf(k->role, sizeof(k->role), "recovery");
    k->pub = *pub;
    k->key = key;
    return STOA_OK;
}

static void give_back(stoa_wallet *w)
{
    struct wallet_key *k = &w->keys[--w->key_count];
    key_free(k->key);
    memset(k, 0, sizeof(*k));
}

static stoa_result recovery_chain(struct account_view *v, const struct pubkey *key,
                                  struct chain *out, stoa_error *error)
{
    const struct account *a = &v->f.account;
    if (!a->has_recovery || !pubkey_equal(&a->recovery, key))
        return because_as(error, STOA_REFUSED, ERR_AUTHORITY,
                          "that is not the account's recovery key");
    *out = a->recovery_chain;
    return STOA_OK;
}

static stoa_result
recovery_write(stoa_wallet *w, const stoa_id *account, const char *key_path,
               struct payload *p,
               stoa_result (*fill)(stoa_wallet *, struct account_view *, struct payload *,
                                   stoa_error *),
               const stoa_how *how, stoa_receipt *receipt, stoa_error *error)
{
    struct hash id = hash_of(account), entry;
    struct account_view *v;
    struct pubkey key;
    struct chain head;
    bool found;
    TRY_R(account_need(w, &id, &v, error));
    TRY_R(unresolved_kind(w, &id, p->kind, &entry, &found, error));
    if (found)
        return finish_entry(w, &id, &entry, how, receipt, error);
    TRY_R(borrow(w, key_path, &key, error));
    stoa_result r = recovery_chain(v, &key, &head, error);
    if (r == STOA_OK && fill)
        r = fill(w, v, p, error);
    struct draft d = {.payload = p, .signer = &key, .head = &head};
    if (r == STOA_OK)
        r = write_entry(w, v, &d, how, receipt, error);
    give_back(w);
    return r;
}

stoa_result stoa_recovery_begin(stoa_wallet *w, const stoa_id *account,
                                const char *key_path, const stoa_how *how,
                                stoa_receipt *receipt, stoa_error *error)
{
    UNINITIALIZED struct payload p;
    p.kind = KIND_RECOVERY_BEGIN;
    return recovery_write(w, account, key_path, &p, NULL, how, receipt, error);
}

/* This wallet's root key and device take the founder's place. */
static stoa_result fill_finish(stoa_wallet *w, struct account_view *v, struct payload *p,
                               stoa_error *error)
{
    const struct account *a = &v->f.account;
    const struct wallet_key *root = keys_first(w, "root");
    const struct key *key;
    struct p_root_rotate *r = &p->root_rotate;
    uint8_t message[MESSAGE_BYTES_MAX];
    const struct member *m = NULL;
    for (uint32_t i = 0; i < a->member_count; i++)
        if (a->members[i].number == a->recovery_member)
            m = &a->members[i];
    if (!m || !a->recovery_pending)
        return because_as(error, STOA_REFUSED, ERR_RECOVERY_NONE,
                          "no recovery is under way");
    if (!root)
        return because(error, ERR_MISSING, "this wallet has no root key");
    TRY_R(keys_unlock(w, &root->pub, &key, error));
    r->old_root = m->root;
    r->new_root = root->pub;
    r->how = ROTATE_RECOVERY;
    r->has_device = true;
    r->device = *device_key(w);
    r->proof_count = 0;
    sign_rotation(r, &v->row.id, m->rotations, key);
    size_t n = grant_device_message(message, &v->row.id, &root->pub, &r->device, 0);
    r->grant_sig = key_sign(key, CTX_DEVICE, message, n);
    return STOA_OK;
}

/* The hub's clock decides; from its record of the beginning the time left is known well
 * enough to say. */
static void tell_when(stoa_wallet *w, const stoa_id *account, stoa_error *why)
{
    struct hash id = hash_of(account);
    const struct account_view *v = account_of(w, &id);
    uint64_t now = w->now_ms(), ready = 0;
    if (v)
        ready = v->f.account.recovery_begin_ms + (uint64_t)RECOVERY_WAIT_MS;
    why->retry = STOA_RETRY_AGAIN;
    why->retry_after_ms = ready > now ? ready - now : 0;
    because_hint(why, "the same command when 72 h have passed since recovery began");
}

stoa_result stoa_recovery_finish(stoa_wallet *w, const stoa_id *account,
                                 const char *key_path, const stoa_how *how,
                                 stoa_receipt *receipt, stoa_error *error)
{
    UNINITIALIZED struct payload p;
    stoa_error why = {.size = sizeof(why)};
    p.kind = KIND_ROOT_ROTATE;
    stoa_result r =
        recovery_write(w, account, key_path, &p, fill_finish, how, receipt, &why);
    if (r == STOA_REFUSED && why.code == ERR_RECOVERY_EARLY)
        tell_when(w, account, &why);
    if (r != STOA_OK && error)
        give(error, &why, sizeof(why));
    return r;
}

stoa_result stoa_recovery_cancel(stoa_wallet *w, const stoa_id *account,
                                 const stoa_how *how, stoa_receipt *receipt,
                                 stoa_error *error)
{
    struct hash id = hash_of(account);
    struct account_view *v;
    const struct member *m;
    const struct key *root;
    UNINITIALIZED struct payload p;
    uint8_t message[MESSAGE_BYTES_MAX];
    TRY_R(account_need(w, &id, &v, error));
    if (!v->f.account.recovery_pending)
        return because_as(error, STOA_REFUSED, ERR_RECOVERY_NONE,
                          "no recovery is under way");
    TRY_R(own_member(w, v, &m, error));
    TRY_R(own_root(w, m, &root, error));
    p.kind = KIND_RECOVERY_CANCEL;
    p.recovery_cancel.begin = v->f.account.recovery_begin;
    p.recovery_cancel.root = m->root;
    size_t n = recovery_message(message, &id, &p.recovery_cancel.begin, &m->root);
    p.recovery_cancel.root_sig = key_sign(root, CTX_RECOVERY, message, n);
    struct draft d = {.payload = &p};
    return write_entry(w, v, &d, how, receipt, error);
}
