/* Who may write: devices, members, invites. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/scratch.h"
#include "client/wallet.h"
#include "client/token.h"
#include "crypto/context.h"

#define DEVICE_PREFIX "stoa-device-1:"
#define INVITE_PREFIX "stoa-invite-1:"

stoa_result own_member(stoa_wallet *w, struct account_view *v, const struct member **out,
                       stoa_error *error)
{
    *out = account_member_of(&v->f.account, device_key(w));
    if (*out)
        return STOA_OK;
    return because_as(error, STOA_REFUSED, ERR_DEVICE_UNKNOWN,
                      "this wallet's device is not enrolled in the account");
}

stoa_result own_root(stoa_wallet *w, const struct member *m, const struct key **root,
                     stoa_error *error)
{
    if (!keys_have(w, &m->root, "root"))
        return because_as(error, STOA_DENIED, ERR_NOT_ALLOWED,
                          "this wallet does not hold the member's root key");
    return keys_unlock(w, &m->root, root, error);
}

/* ---- devices -------------------------------------------------------------------------
 */

stoa_result stoa_device_request(stoa_wallet *w, char out[STOA_TOKEN_MAX],
                                stoa_error *error)
{
    uint8_t room[64];
    struct mp_writer m = mp_writer_of(room, sizeof(room));
    mp_bin(&m, device_key(w)->b, PUBKEY_BYTES);
    return token_put(out, DEVICE_PREFIX, room, m.size)
               ? STOA_OK
               : because(error, ERR_ROOM, "token does not fit");
}

bool stoa_device_request_parse(const char *text, stoa_id *device)
{
    uint8_t room[STOA_TOKEN_MAX];
    size_t size;
    struct pubkey k;
    if (!token_get(text, DEVICE_PREFIX, room, sizeof(room), &size))
        return false;
    struct mp_reader r = mp_reader_of(room, size);
    (void)mp_read_bin_exact(&r, k.b, PUBKEY_BYTES);
    if (!mp_done(&r) || !sig_key_enrollable(&k))
        return false;
    *device = id_of_key(&k);
    return true;
}

stoa_result stoa_device_add(stoa_wallet *w, const stoa_id *account, const stoa_id *device,
                            const stoa_how *how, stoa_receipt *receipt, stoa_error *error)
{
    struct hash id = hash_of(account);
    struct account_view *v;
    const struct member *m;
    const struct key *root;
    UNINITIALIZED struct payload p;
    uint8_t message[MESSAGE_BYTES_MAX];
    TRY_R(account_need(w, &id, &v, error));
    TRY_R(own_member(w, v, &m, error));
    TRY_R(own_root(w, m, &root, error));
    p.kind = KIND_DEVICE_ADD;
    p.device_add.root = m->root;
    p.device_add.device = key_of_id(device);
    p.device_add.grant = m->grants;
    if (!sig_key_enrollable(&p.device_add.device))
        return because_as(error, STOA_USAGE, ERR_KEY_WEAK, "that is not a device key");
    size_t n =
        grant_device_message(message, &id, &m->root, &p.device_add.device, m->grants);
    p.device_add.root_sig = key_sign(root, CTX_DEVICE, message, n);
    struct draft d = {.payload = &p};
    return write_entry(w, v, &d, how, receipt, error);
}

stoa_result stoa_device_revoke(stoa_wallet *w, const stoa_id *account,
                               const stoa_id *device, const stoa_how *how,
                               stoa_receipt *receipt, stoa_error *error)
{
    struct hash id = hash_of(account);
    struct account_view *v;
    UNINITIALIZED struct payload p;
    p.kind = KIND_DEVICE_REVOKE;
    p.device_revoke.device = key_of_id(device);
    TRY_R(account_need(w, &id, &v, error));
    struct draft d = {.payload = &p};
    return write_entry(w, v, &d, how, receipt, error);
}

/* ---- members -------------------------------------------------------------------------
 */

/* What an invite token holds: all a newcomer needs, who may not read the account yet. */
struct invitation {
    struct hash account;
    char hub[HUB_NAME_MAX + 1];
    struct hash invite;
    uint64_t lamport, expires_ms;
    uint8_t seed[SEED_BYTES];
};

static bool invitation_put(char out[STOA_TOKEN_MAX], const struct invitation *in)
{
    uint8_t room[STOA_TOKEN_MAX];
    struct mp_writer m = mp_writer_of(room, sizeof(room));
    mp_array(&m, 6);
    mp_bin(&m, in->account.b, HASH_BYTES);
    mp_str(&m, in->hub, strlen(in->hub));
    mp_bin(&m, in->invite.b, HASH_BYTES);
    mp_uint(&m, in->lamport);
    mp_uint(&m, in->expires_ms);
    mp_bin(&m, in->seed, SEED_BYTES);
    bool ok = !m.full && token_put(out, INVITE_PREFIX, room, m.size);
    secret_wipe(room, sizeof(room));
    return ok;
}

static bool invitation_get(const char *text, struct invitation *out)
{
    uint8_t room[STOA_TOKEN_MAX];
    size_t size, n = 0;
    struct bytes hub = {0};
    memset(out, 0, sizeof(*out));
    if (!token_get(text, INVITE_PREFIX, room, sizeof(room), &size))
        return false;
    struct mp_reader r = mp_reader_of(room, size);
    (void)mp_read_array(&r, &n, 6);
    (void)mp_read_bin_exact(&r, out->account.b, HASH_BYTES);
    (void)mp_read_str(&r, &hub, HUB_NAME_MAX);
    (void)mp_read_bin_exact(&r, out->invite.b, HASH_BYTES);
    (void)mp_read_uint(&r, &out->lamport);
    (void)mp_read_uint(&r, &out->expires_ms);
    (void)mp_read_bin_exact(&r, out->seed, SEED_BYTES);
    bool ok = mp_done(&r) && n == 6;
    if (ok && hub.size)
        memcpy(out->hub, hub.data, hub.size);
    secret_wipe(room, sizeof(room));
    return ok;
}

/* The token holds the only copy of the invite's secret, so it is written before the entry
 * is sent; an invite nobody has the token of expires by itself. */
stoa_result stoa_invite(stoa_wallet *w, const stoa_id *account, uint64_t ttl_ms,
                        char token[STOA_TOKEN_MAX], const stoa_how *how,
                        stoa_receipt *receipt, stoa_error *error)
{
    static const stoa_how defaults = STOA_HOW_INIT;
    struct invitation in = {.account = hash_of(account)};
    struct account_view *v;
    const struct member *m;
    const struct key *root;
    uint8_t message[MESSAGE_BYTES_MAX];
    stoa_receipt own = {.size = sizeof(own)};
    UNINITIALIZED struct payload p;
    if (ttl_ms == 0 || ttl_ms > (uint64_t)INVITE_MS_MAX)
        return because_as(error, STOA_USAGE, ERR_EXPIRY,
                          "an invite lives at most 30 days");
    if (how && how->request)
        return because(error, ERR_USAGE, "an invite cannot be repeated by request id");
    if (!receipt)
        receipt = &own;
    TRY_R(account_need(w, &in.account, &v, error));
    TRY_R(own_member(w, v, &m, error));
    TRY_R(own_root(w, m, &root, error));
    random_bytes(in.seed, SEED_BYTES);
    struct key *key = key_from_seed(in.seed);
    if (!key)
        return because(error, ERR_MEMORY, "no locked memory for a key");
    p.kind = KIND_INVITE;
    p.invite.key = key_public(key);
    p.invite.expires_ms = in.expires_ms = w->now_ms() + ttl_ms;
    key_free(key);
    size_t n =
        invite_grant_message(message, &in.account, &p.invite.key, p.invite.expires_ms);
    p.invite.root_sig = key_sign(root, CTX_INVITE, message, n);
    struct draft d = {.payload = &p};
    struct client_outgoing o;
    stoa_how saved = how ? *how : defaults;
    saved.wait = STOA_SAVED;
    stoa_result r = !how || how->wait != STOA_SAVED ? need_connection(w, error) : STOA_OK;
    if (r == STOA_OK)
        r = compose(w, v, &d, &saved, &o, error);
    if (r != STOA_OK) {
        secret_wipe(&in.seed, sizeof(in.seed));
        return r;
    }
    in.invite = o.id;
    in.lamport = v->head.tip_lamport; /* of the invite, its refs counted */
    snprintf(in.hub, sizeof(in.hub), "%s", w->hub);
    bool ok = invitation_put(token, &in);
    secret_wipe(&in.seed, sizeof(in.seed));
    if (!ok)
        return because(error, ERR_ROOM, "token does not fit");
    return finish_entry(w, &in.account, &o.id, how, receipt, error);
}

static stoa_result fill_join(stoa_wallet *w, const struct invitation *in,
                             struct p_member_add *p, stoa_error *error)
{
    const struct wallet_key *root = keys_first(w, "root");
    const struct key *key;
    uint8_t message[MESSAGE_BYTES_MAX];
    if (!root)
        return because(error, ERR_MISSING, "this wallet has no root key: it cannot join");
    TRY_R(keys_unlock(w, &root->pub, &key, error));
    p->root = root->pub;
    size_t n = grant_device_message(message, &in->account, &p->root, device_key(w), 0);
    p->root_sig = key_sign(key, CTX_DEVICE, message, n);
    struct key *invite = key_from_seed(in->seed);
    if (!invite)
        return because(error, ERR_MEMORY, "no locked memory for a key");
    n = invite_message(message, &in->account, &in->invite, &p->root, device_key(w));
    p->invite_sig = key_sign(invite, CTX_INVITE, message, n);
    key_free(invite);
    return STOA_OK;
}

stoa_result stoa_join(stoa_wallet *w, const char *token, const char *name,
                      const stoa_how *how, stoa_id *account, stoa_receipt *receipt,
                      stoa_error *error)
{
    struct invitation in;
    struct account_view *v;
    UNINITIALIZED struct payload p;
    struct hash id;
    bool found;
    if (!invitation_get(token, &in))
        return because_as(error, STOA_DATA, ERR_MALFORMED, "that is not an invite token");
    if (!w->has_hub || strcmp(in.hub, w->hub) != 0)
        return because(error, ERR_NET, "the invite is for hub %s: connect to it first",
                       in.hub);
    p.kind = KIND_MEMBER_ADD;
    struct chain head = {.next_seq = 0, .tip = in.invite, .tip_lamport = in.lamport};
    stoa_result r = unresolved_kind(w, &in.account, KIND_MEMBER_ADD, &id, &found, error);
    if (r == STOA_OK && !found)
        r = fill_join(w, &in, &p.member_add, error);
    secret_wipe(in.seed, sizeof(in.seed));
    if (r == STOA_OK)
        r = account_add(w, &in.account, name, &v, error);
    if (r == STOA_OK)
        r = wallet_save_card(w, error);
    TRY_R(r);
    if (account)
        *account = id_of(&in.account);
    if (found)
        return finish_entry(w, &in.account, &id, how, receipt, error);
    struct draft d = {.payload = &p, .head = &head};
    return write_entry(w, v, &d, how, receipt, error);
}

static stoa_result fill_removal(stoa_wallet *w, struct account_view *v,
                                struct p_member_remove *p, stoa_error *error)
{
    const struct member *m, *gone = account_member(&v->f.account, &p->root);
    const struct key *key;
    uint8_t message[MESSAGE_BYTES_MAX];
    if (!gone)
        return because_as(error, STOA_REFUSED, ERR_MEMBER_UNKNOWN,
                          "that is not a member's root key");
    TRY_R(own_member(w, v, &m, error));
    TRY_R(own_root(w, m, &key, error));
    size_t n = remove_message(message, &v->row.id, &p->root, gone->number);
    p->root_sig = key_sign(key, CTX_REMOVE, message, n);
    return STOA_OK;
}

stoa_result stoa_member_remove(stoa_wallet *w, const stoa_id *account,
                               const stoa_id *root, const stoa_how *how,
                               stoa_receipt *receipt, stoa_error *error)
{
    struct hash id = hash_of(account);
    struct account_view *v;
    struct client_outgoing o;
    UNINITIALIZED struct payload p;
    p.kind = KIND_MEMBER_REMOVE;
    p.member_remove.root = key_of_id(root);
    TRY_R(account_need(w, &id, &v, error));
    /* A request made before is only finished: by now the member may be gone. */
    if (!how || !how->request ||
        client_store_outgoing_request(w->store, how->request, &o) != ERR_OK)
        TRY_R(fill_removal(w, v, &p.member_remove, error));
    struct draft d = {.payload = &p};
    return write_entry(w, v, &d, how, receipt, error);
}
