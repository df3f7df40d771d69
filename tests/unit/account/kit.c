#include "kit.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/context.h"
#include "ledger/mp.h"

/* Sorted inserts and kept keys are small; linear is fine for tests. */
struct kept_key {
    uint32_t n;
    struct key *key;
};
static struct kept_key *kept;
static size_t kept_count;

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "kit: %s\n", what);
    abort();
}

const struct key *kit_key(uint32_t n)
{
    for (size_t i = 0; i < kept_count; i++)
        if (kept[i].n == n)
            return kept[i].key;
    must(crypto_start(), "crypto does not start");
    uint8_t seed[SEED_BYTES] = "kit key";
    memcpy(seed + 16, &n, sizeof n);
    kept = realloc(kept, (kept_count + 1) * sizeof *kept);
    must(kept != NULL, "no memory");
    kept[kept_count] = (struct kept_key){n, key_from_seed(seed)};
    must(kept[kept_count].key != NULL, "no locked memory");
    return kept[kept_count++].key;
}

struct pubkey kit_pub(uint32_t n)
{
    return key_public(kit_key(n));
}

const struct key *kit_key_of(const struct pubkey *pub)
{
    for (size_t i = 0; i < kept_count; i++) {
        struct pubkey k = key_public(kept[i].key);
        if (pubkey_equal(&k, pub))
            return kept[i].key;
    }
    return NULL;
}

const struct key *kit_root_of(const struct account *a, uint32_t n)
{
    struct pubkey device = kit_pub(n);
    const struct member *m = account_member_of(a, &device);
    const struct key *root = m == NULL ? NULL : kit_key_of(&m->root);
    must(root != NULL, "no root key for that device");
    return root;
}

void kit_close(void)
{
    for (size_t i = 0; i < kept_count; i++)
        key_free(kept[i].key);
    free(kept);
    kept = NULL;
    kept_count = 0;
}

struct hash kit_hash(uint64_t n)
{
    uint8_t b[8];
    for (int i = 0; i < 8; i++)
        b[i] = (uint8_t)(n >> (8 * i));
    return hash_sha256(b, sizeof b);
}

/* -- entries
 * ----------------------------------------------------------------------------- */

void kit_sign(struct kit_entry *out, const struct entry_draft *draft,
              const struct payload *p, const struct key *writer)
{
    static uint8_t room[KIT_ENTRY_BYTES];
    struct mp_writer w = mp_writer_of(room, sizeof room);
    payload_encode(&w, p);
    must(!w.full, "payload too big for the kit");
    struct entry_draft d = *draft;
    d.kind = p->kind;
    d.payload = bytes_of(room, w.size);
    enum err e = entry_build(&d, writer, out->bytes, sizeof out->bytes, &out->size);
    if (e == ERR_OK)
        e = entry_decode(&out->e, out->bytes, out->size);
    if (e != ERR_OK)
        fprintf(stderr, "kit: %s: %s\n", kind_word(p->kind), err_word(e));
    must(e == ERR_OK, "entry does not build");
}

void kit_build_first(struct kit_entry *out, const struct hash *account,
                     const struct hash *prev, uint64_t lamport, const struct key *writer,
                     const struct payload *p)
{
    kit_sign(out,
             &(struct entry_draft){.account = account, .prev = prev, .lamport = lamport},
             p, writer);
}

static void build_on(struct kit_entry *out, const struct hash *account,
                     const struct chain *c, const struct key *writer,
                     const struct payload *p)
{
    must(c != NULL, "writer has no chain");
    kit_sign(out,
             &(struct entry_draft){.account = account,
                                   .seq = c->next_seq,
                                   .prev = &c->tip,
                                   .lamport = c->tip_lamport + 1},
             p, writer);
}

void kit_build(struct kit_entry *out, const struct account *a,
               const struct hub_account *h, const struct key *writer,
               const struct payload *p)
{
    struct pubkey pub = key_public(writer);
    build_on(out, &a->id, account_chain(a, h, &pub), writer, p);
}

void kit_build_hub(struct kit_entry *out, const struct hub_account *h,
                   const struct key *relay, const struct payload *p)
{
    build_on(out, &h->id, &h->chain, relay, p);
}

/* -- open
 * -------------------------------------------------------------------------------- */

static size_t print_origin(char origin[KIT_ORIGIN_ROOM], const char *hub, uint32_t slot)
{
    int n = snprintf(origin, KIT_ORIGIN_ROOM, "%s/%02x", hub, slot);
    must(n > 0 && n < KIT_ORIGIN_ROOM, "origin does not fit");
    return (size_t)n;
}

void kit_log_open(struct kit_entry *out, const struct kit_log *l)
{
    char origin[KIT_ORIGIN_ROOM], text[VKEY_TEXT_MAX];
    struct vkey v;
    struct pubkey log = key_public(l->log);
    print_origin(origin, l->hub, l->slot);
    must(vkey_make(&v, origin, NOTE_ED25519, &log), "hub name is not allowed");
    size_t size = vkey_format(&v, text, sizeof text);
    struct payload p;
    p.kind = KIND_LOG_OPEN;
    p.log_open = (struct p_log_open){.federation = l->federation,
                                     .hub = bytes_of(l->hub, strlen(l->hub)),
                                     .slot = l->slot,
                                     .slots = l->slots,
                                     .rules = RULES_VERSION,
                                     .issuer = key_public(l->issuer),
                                     .relay = key_public(l->relay),
                                     .log_vkey = bytes_of(text, size)};
    kit_build_first(out, NULL, NULL, 1, l->relay, &p);
}

void kit_open(struct kit_entry *out, const struct kit_open *o)
{
    struct payload p;
    struct pubkey device = key_public(o->device);
    uint8_t message[MESSAGE_BYTES_MAX];
    p.kind = KIND_OPEN;
    p.open = (struct p_open){.federation = o->federation,
                             .hub = bytes_of(o->hub, strlen(o->hub)),
                             .root = key_public(o->root),
                             .residency = o->residency,
                             .has_recovery = o->recovery != NULL,
                             .nonce = kit_hash(o->nonce)};
    if (o->recovery != NULL)
        p.open.recovery = key_public(o->recovery);
    size_t size = grant_open_message(message, &p.open, &device);
    p.open.root_sig = key_sign(o->root, CTX_DEVICE, message, size);
    kit_build_first(out, NULL, NULL, 1, o->device, &p);
}

void kit_open_in_slot(struct kit_entry *out, const struct kit_open *o, uint32_t slot,
                      uint32_t slots)
{
    struct kit_open tried = *o;
    kit_open(out, &tried);
    while (slot_of(&out->e.id, slots) != slot) {
        tried.nonce++;
        kit_open(out, &tried);
    }
}

/* -- members
 * ----------------------------------------------------------------------------- */

static struct signature sign_grant(const struct hash *account, const struct key *root,
                                   const struct pubkey *device, uint64_t grant)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    struct pubkey pub = key_public(root);
    size_t size = grant_device_message(message, account, &pub, device, grant);
    return key_sign(root, CTX_DEVICE, message, size);
}

void kit_device_add(struct payload *p, const struct hash *account, const struct key *root,
                    const struct pubkey *device, uint64_t grant)
{
    p->kind = KIND_DEVICE_ADD;
    p->device_add =
        (struct p_device_add){.root = key_public(root),
                              .device = *device,
                              .grant = grant,
                              .root_sig = sign_grant(account, root, device, grant)};
}

void kit_device_revoke(struct payload *p, const struct pubkey *device)
{
    p->kind = KIND_DEVICE_REVOKE;
    p->device_revoke.device = *device;
}

void kit_invite(struct payload *p, const struct hash *account, const struct key *by,
                const struct pubkey *key, uint64_t expires_ms)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t size = invite_grant_message(message, account, key, expires_ms);
    p->kind = KIND_INVITE;
    p->invite = (struct p_invite){.key = *key,
                                  .expires_ms = expires_ms,
                                  .root_sig = key_sign(by, CTX_INVITE, message, size)};
}

void kit_member_add(struct payload *p, const struct hash *account,
                    const struct hash *invite, const struct key *invite_key,
                    const struct key *root, const struct pubkey *device)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    struct pubkey pub = key_public(root);
    size_t size = invite_message(message, account, invite, &pub, device);
    p->kind = KIND_MEMBER_ADD;
    p->member_add = (struct p_member_add){
        .root = pub,
        .root_sig = sign_grant(account, root, device, 0),
        .invite_sig = key_sign(invite_key, CTX_INVITE, message, size)};
}

void kit_member_remove(struct payload *p, const struct account *a, const struct key *by,
                       const struct pubkey *root)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    const struct member *m = account_member(a, root);
    size_t size = remove_message(message, &a->id, root, m == NULL ? 0 : m->number);
    p->kind = KIND_MEMBER_REMOVE;
    p->member_remove = (struct p_member_remove){
        .root = *root, .root_sig = key_sign(by, CTX_REMOVE, message, size)};
}

static size_t start_rotation(struct payload *p, const struct account *a,
                             const struct pubkey *old_root, const struct key *new_root,
                             const struct pubkey *device, uint8_t *message)
{
    struct pubkey pub = key_public(new_root);
    const struct member *m = account_member(a, old_root);
    size_t size = rotate_message(message, &a->id, old_root, &pub, device,
                                 m == NULL ? 0 : m->rotations);
    p->kind = KIND_ROOT_ROTATE;
    p->root_rotate.old_root = *old_root;
    p->root_rotate.new_root = pub;
    p->root_rotate.has_device = device != NULL;
    p->root_rotate.new_sig = key_sign(new_root, CTX_ROTATE, message, size);
    p->root_rotate.proof_count = 0;
    return size;
}

void kit_rotate(struct payload *p, const struct account *a, const struct key *old_root,
                const struct key *new_root)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    struct pubkey pub = key_public(old_root);
    size_t size = start_rotation(p, a, &pub, new_root, NULL, message);
    p->root_rotate.how = ROTATE_OLD_ROOT;
    p->root_rotate.proof_count = 1;
    p->root_rotate.proofs[0].root = pub;
    p->root_rotate.proofs[0].sig = key_sign(old_root, CTX_ROTATE, message, size);
}

void kit_rotate_by_members(struct payload *p, const struct account *a,
                           const struct pubkey *old_root, const struct key *new_root,
                           const struct key *const cosigners[], size_t count)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t size = start_rotation(p, a, old_root, new_root, NULL, message);
    struct p_root_rotate *r = &p->root_rotate;
    r->how = ROTATE_MEMBERS;
    for (size_t i = 0; i < count; i++) {
        struct pubkey pub = key_public(cosigners[i]);
        size_t at = r->proof_count++;
        for (; at > 0 && pubkey_compare(&r->proofs[at - 1].root, &pub) > 0; at--)
            r->proofs[at] = r->proofs[at - 1];
        r->proofs[at].root = pub;
        r->proofs[at].sig = key_sign(cosigners[i], CTX_ROTATE, message, size);
    }
}

void kit_rotate_by_recovery(struct payload *p, const struct account *a,
                            const struct pubkey *old_root, const struct key *new_root,
                            const struct pubkey *device)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    start_rotation(p, a, old_root, new_root, device, message);
    p->root_rotate.how = ROTATE_RECOVERY;
    p->root_rotate.device = *device;
    p->root_rotate.grant_sig = sign_grant(&a->id, new_root, device, 0);
}

void kit_recovery_begin(struct payload *p)
{
    p->kind = KIND_RECOVERY_BEGIN;
}

void kit_recovery_cancel(struct payload *p, const struct hash *account,
                         const struct hash *begin, const struct key *root)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    struct pubkey pub = key_public(root);
    size_t size = recovery_message(message, account, begin, &pub);
    p->kind = KIND_RECOVERY_CANCEL;
    p->recovery_cancel = (struct p_recovery_cancel){
        .begin = *begin,
        .root = pub,
        .root_sig = key_sign(root, CTX_RECOVERY, message, size)};
}

/* -- value
 * ------------------------------------------------------------------------------- */

void kit_transfer(struct payload *p)
{
    p->kind = KIND_TRANSFER;
    p->transfer.payee_count = 0;
}

void kit_pay(struct payload *p, const struct hash *payee, int64_t amount)
{
    struct p_transfer *t = &p->transfer;
    must(t->payee_count < PAYEES_MAX, "too many payees");
    size_t at = t->payee_count++;
    for (; at > 0 && hash_compare(&t->payees[at - 1].account, payee) > 0; at--)
        t->payees[at] = t->payees[at - 1];
    t->payees[at] = (struct payee){.account = *payee, .amount = amount};
}

void kit_terms(struct split_terms *t, const struct pubkey *payer, int64_t amount)
{
    t->payer = *payer;
    t->amount = amount;
    t->share_count = 0;
}

void kit_share(struct split_terms *t, const struct pubkey *root, int64_t share)
{
    must(t->share_count < MEMBERS_MAX, "too many shares");
    size_t at = t->share_count++;
    for (; at > 0 && pubkey_compare(&t->shares[at - 1].root, root) > 0; at--)
        t->shares[at] = t->shares[at - 1];
    t->shares[at].root = *root;
    t->shares[at].amount = share;
}

void kit_note(struct payload *p, const void *data, size_t size)
{
    p->kind = KIND_NOTE;
    p->note.data = bytes_of(data, size);
}

void kit_bind(struct payload *p, uint64_t chain, const char *address)
{
    p->kind = KIND_BIND;
    p->bind =
        (struct p_bind){.chain = chain, .address = bytes_of(address, strlen(address))};
}

void kit_accrue(struct payload *p, const struct hash *node, uint64_t epoch,
                int64_t amount)
{
    p->kind = KIND_ACCRUE;
    p->accrue = (struct p_accrue){.node = *node, .epoch = epoch, .amount = amount};
}

void kit_adjust(struct payload *p, int64_t delta)
{
    p->kind = KIND_ADJUST;
    p->adjust = (struct p_adjust){.delta = delta, .reason = bytes_of("counted anew", 12)};
}

void kit_hub_key(struct payload *p, const struct hub_account *h, enum hub_role role,
                 const struct key *old_key, const struct key *new_key)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    struct pubkey old_pub = key_public(old_key), new_pub = key_public(new_key);
    size_t size = hub_key_message(message, &h->id, role, &old_pub, &new_pub);
    p->kind = KIND_HUB_KEY;
    p->hub_key =
        (struct p_hub_key){.role = role,
                           .old_key = old_pub,
                           .new_key = new_pub,
                           .old_sig = key_sign(old_key, CTX_HUB_KEY, message, size),
                           .new_sig = key_sign(new_key, CTX_HUB_KEY, message, size)};
}

static struct p_credit settle(const struct channel_item *item, const char *hub,
                              char origin[KIT_ORIGIN_ROOM])
{
    size_t size = print_origin(origin, hub, item->source_slot);
    return (struct p_credit){.cause = item->cause,
                             .payee_index = item->payee_index,
                             .amount = item->amount,
                             .source = bytes_of(origin, size),
                             .source_index = item->source_index,
                             .out_seq = item->out_seq,
                             .source_lamport = item->source_lamport};
}

void kit_credit(struct payload *p, const struct channel_item *item, const char *hub,
                char origin[KIT_ORIGIN_ROOM])
{
    p->kind = KIND_CREDIT;
    p->credit = settle(item, hub, origin);
    p->credit.reason = item->is_return ? CREDIT_RETURN : CREDIT_PAYMENT;
}

void kit_bounce(struct payload *p, const struct channel_item *item, const char *hub,
                enum bounce_reason reason, char origin[KIT_ORIGIN_ROOM])
{
    p->kind = KIND_BOUNCE;
    p->bounce.item = settle(item, hub, origin);
    p->bounce.item.reason = reason;
    p->bounce.payer = item->payer;
    p->bounce.payee = item->payee;
}
