/* Who belongs to an account, as the book-keeper sees it: PROTOCOL.md "Kinds written by
 * members", once more and on its own. */
#include <string.h>

#include "crypto/context.h"
#include "model_books.h"

struct m_member *member_of_root(struct holder *h, const struct pubkey *root)
{
    for (size_t i = 0; i < h->members.count; i++)
        if (pubkey_equal(&AT(h->members, struct m_member, i)->root, root))
            return AT(h->members, struct m_member, i);
    return NULL;
}

struct m_device *device_of(struct holder *h, const struct pubkey *key)
{
    for (size_t i = 0; i < h->devices.count; i++)
        if (pubkey_equal(&AT(h->devices, struct m_device, i)->key, key))
            return AT(h->devices, struct m_device, i);
    return NULL;
}

static bool revoked(const struct holder *h, const struct pubkey *key)
{
    for (size_t i = 0; i < h->revoked.count; i++)
        if (pubkey_equal(AT(h->revoked, struct pubkey, i), key))
            return true;
    return false;
}

/* Has the key a role here? */
static bool used(struct taking *t, const struct pubkey *key)
{
    struct holder *h = t->h;
    const struct book *b = &t->m->books[h->slot];
    for (size_t i = 0; i < h->invites.count; i++) {
        const struct m_invite *v = AT(h->invites, struct m_invite, i);
        if (v->expires_ms >= t->r->r.hub_time_ms && pubkey_equal(&v->key, key))
            return true;
    }
    return pubkey_equal(&b->issuer, key) || pubkey_equal(&b->relay, key) ||
           pubkey_equal(&b->log, key) ||
           (h->has_recovery && pubkey_equal(&h->recovery, key)) ||
           member_of_root(h, key) != NULL || device_of(h, key) != NULL || revoked(h, key);
}

static size_t devices_of(const struct holder *h, uint32_t member)
{
    size_t n = 0;
    for (size_t i = 0; i < h->devices.count; i++)
        n += AT(h->devices, struct m_device, i)->member == member;
    return n;
}

static void enrol(struct holder *h, const struct pubkey *key, uint32_t member,
                  struct end end)
{
    *(struct m_device *)list_add(&h->devices, sizeof(struct m_device)) =
        (struct m_device){.key = *key, .member = member, .end = end};
}

static struct end end_at(const struct entry *e, uint64_t next_seq)
{
    return (struct end){.next_seq = next_seq, .tip = e->id, .lamport = e->lamport};
}

/* Ends all open invites as well. */
static void revoke_at(struct holder *h, size_t i)
{
    h->invites.count = 0;
    *(struct pubkey *)list_add(&h->revoked, sizeof(struct pubkey)) =
        AT(h->devices, struct m_device, i)->key;
    list_drop(&h->devices, sizeof(struct m_device), i);
}

static void revoke_all(struct holder *h, uint32_t member)
{
    for (size_t i = 0; i < h->devices.count;)
        if (AT(h->devices, struct m_device, i)->member == member)
            revoke_at(h, i);
        else
            i++;
}

static bool granted(struct taking *t, const struct pubkey *root,
                    const struct pubkey *device, uint64_t grant,
                    const struct signature *sig)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t size = grant_device_message(message, &t->h->id, root, device, grant);
    return sig_verify(sig, root, CTX_DEVICE, message, size);
}

const char *take_open(struct taking *t)
{
    const struct p_open *p = &t->p->open;
    const struct book *b = &t->m->books[t->r->r.slot];
    struct holder *h = t->h;
    uint8_t message[MESSAGE_BYTES_MAX];
    if (!hash_equal(&p->federation, &t->m->federation) ||
        p->hub.size != strlen(t->m->hub) || memcmp(p->hub.data, t->m->hub, p->hub.size))
        return wrong(t, "an account of another hub");
    if (pubkey_equal(&p->root, &t->e->device) || pubkey_equal(&p->root, &b->relay) ||
        (p->has_recovery && pubkey_equal(&p->recovery, &p->root)))
        return wrong(t, "one key in two roles");
    size_t size = grant_open_message(message, p, &t->e->device);
    if (!sig_verify(&p->root_sig, &p->root, CTX_DEVICE, message, size))
        return wrong(t, "the root did not sign");
    *(struct m_member *)list_add(&h->members, sizeof(struct m_member)) =
        (struct m_member){.number = 0, .root = p->root, .grants = 1};
    h->next_member = 1;
    h->hub = h->recovery_end = end_at(t->e, 0);
    h->has_recovery = p->has_recovery;
    h->pinned = p->residency == RESIDENCY_PINNED;
    if (p->has_recovery)
        h->recovery = p->recovery;
    enrol(h, &t->e->device, 0, end_at(t->e, 1));
    return NULL;
}

static const char *take_device_add(struct taking *t)
{
    const struct p_device_add *p = &t->p->device_add;
    if (!pubkey_equal(&t->member->root, &p->root))
        return wrong(t, "device of another member");
    if (p->grant != t->member->grants++)
        return wrong(t, "grant is not the next");
    if (used(t, &p->device))
        return wrong(t, "one key in two roles");
    if (devices_of(t->h, t->member->number) >= DEVICES_PER_MEMBER_MAX ||
        t->h->devices.count + t->h->revoked.count >= REVOKED_MAX)
        return wrong(t, "too many devices");
    if (!granted(t, &p->root, &p->device, p->grant, &p->root_sig))
        return wrong(t, "the root did not sign");
    enrol(t->h, &p->device, t->member->number, end_at(t->e, 0));
    return NULL;
}

static const char *take_device_revoke(struct taking *t)
{
    struct m_device *d = device_of(t->h, &t->p->device_revoke.device);
    if (d == NULL || d->member != t->member->number)
        return wrong(t, "revokes what is not its member's");
    if (devices_of(t->h, d->member) == 1)
        return wrong(t, "revokes the last device");
    revoke_at(t->h, (size_t)(d - AT(t->h->devices, struct m_device, 0)));
    return NULL;
}

static const char *take_invite(struct taking *t)
{
    const struct p_invite *p = &t->p->invite;
    struct holder *h = t->h;
    uint64_t now = t->r->r.hub_time_ms;
    if (p->expires_ms <= now || p->expires_ms - now > (uint64_t)INVITE_MS_MAX)
        return wrong(t, "invite for a wrong time");
    if (used(t, &p->key))
        return wrong(t, "one key in two roles");
    for (size_t i = 0; i < h->invites.count;)
        if (AT(h->invites, struct m_invite, i)->expires_ms < now)
            list_drop(&h->invites, sizeof(struct m_invite), i);
        else
            i++;
    if (h->invites.count >= INVITES_MAX)
        return wrong(t, "too many invites");
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t size = invite_grant_message(message, &h->id, &p->key, p->expires_ms);
    if (!sig_verify(&p->root_sig, &t->member->root, CTX_INVITE, message, size))
        return wrong(t, "the root did not sign");
    *(struct m_invite *)list_add(&h->invites, sizeof(struct m_invite)) =
        (struct m_invite){.id = t->e->id,
                          .key = p->key,
                          .expires_ms = p->expires_ms,
                          .lamport = t->e->lamport};
    return NULL;
}

static const char *take_member_add(struct taking *t)
{
    const struct p_member_add *p = &t->p->member_add;
    struct holder *h = t->h;
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t i = 0;
    while (i < h->invites.count &&
           !hash_equal(&AT(h->invites, struct m_invite, i)->id, &t->e->prev))
        i++;
    if (t->e->seq != 0 || i == h->invites.count)
        return wrong(t, "joins without an invite");
    struct m_invite v = *AT(h->invites, struct m_invite, i);
    if (v.expires_ms < t->r->r.hub_time_ms)
        return wrong(t, "joins too late");
    size_t size = invite_message(message, &h->id, &v.id, &p->root, &t->e->device);
    if (!sig_verify(&p->invite_sig, &v.key, CTX_INVITE, message, size))
        return wrong(t, "the invite did not sign");
    if (!granted(t, &p->root, &t->e->device, 0, &p->root_sig))
        return wrong(t, "the root did not sign");
    if (used(t, &p->root) || used(t, &t->e->device) || h->members.count >= MEMBERS_MAX)
        return wrong(t, "may not join");
    list_drop(&h->invites, sizeof(struct m_invite), i);
    uint32_t number = h->next_member++;
    *(struct m_member *)list_add(&h->members, sizeof(struct m_member)) =
        (struct m_member){.number = number, .root = p->root, .grants = 1};
    enrol(h, &t->e->device, number, end_at(t->e, 1));
    return NULL;
}

static const char *take_member_remove(struct taking *t)
{
    struct holder *h = t->h;
    struct m_member *m = member_of_root(h, &t->p->member_remove.root);
    if (m == NULL || h->members.count == 1 || m->position != 0)
        return wrong(t, "this member cannot go");
    uint32_t writer = t->member->number;
    if (writer != m->number && writer != AT(h->members, struct m_member, 0)->number)
        return wrong(t, "removes somebody else");
    const struct p_member_remove *p = &t->p->member_remove;
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t size = remove_message(message, &h->id, &p->root, m->number);
    if (!sig_verify(&p->root_sig, &t->member->root, CTX_REMOVE, message, size))
        return wrong(t, "the root did not sign");
    if (m->number == 0)
        h->pending = false;
    revoke_all(h, m->number);
    list_drop(&h->members, sizeof *m, (size_t)(m - AT(h->members, struct m_member, 0)));
    return NULL;
}

static const char *check_cosigners(struct taking *t, const uint8_t *message, size_t size)
{
    const struct p_root_rotate *p = &t->p->root_rotate;
    if (p->proof_count < 2 || 2 * p->proof_count <= t->h->members.count - 1)
        return wrong(t, "too few cosigners");
    for (size_t i = 0; i < p->proof_count; i++)
        if (pubkey_equal(&p->proofs[i].root, &p->old_root) ||
            member_of_root(t->h, &p->proofs[i].root) == NULL ||
            (i > 0 && pubkey_compare(&p->proofs[i - 1].root, &p->proofs[i].root) >= 0) ||
            !sig_verify(&p->proofs[i].sig, &p->proofs[i].root, CTX_ROTATE, message, size))
            return wrong(t, "a cosigner is none");
    return NULL;
}

static const char *check_rotation(struct taking *t, const struct m_member *m)
{
    const struct p_root_rotate *p = &t->p->root_rotate;
    const struct holder *h = t->h;
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t size =
        rotate_message(message, &h->id, &p->old_root, &p->new_root,
                       p->how == ROTATE_RECOVERY ? &p->device : NULL, m->rotations);
    if (!sig_verify(&p->new_sig, &p->new_root, CTX_ROTATE, message, size))
        return wrong(t, "the new root did not sign");
    if ((p->how == ROTATE_RECOVERY) != (t->device == NULL))
        return wrong(t, "rotated by the wrong key");
    if (p->how == ROTATE_MEMBERS)
        return check_cosigners(t, message, size);
    if (p->how == ROTATE_OLD_ROOT)
        return t->member != NULL && t->member->number == m->number &&
                       p->proof_count == 1 &&
                       pubkey_equal(&p->proofs[0].root, &p->old_root) &&
                       sig_verify(&p->proofs[0].sig, &p->old_root, CTX_ROTATE, message,
                                  size)
                   ? NULL
                   : wrong(t, "the old root did not sign");
    if (t->device != NULL || m->number != 0 || !h->pending ||
        t->r->r.hub_time_ms < h->begin_ms + (uint64_t)RECOVERY_WAIT_MS)
        return wrong(t, "recovery has not waited");
    if (used(t, &p->device) || pubkey_equal(&p->device, &p->new_root) ||
        !granted(t, &p->new_root, &p->device, 0, &p->grant_sig))
        return wrong(t, "recovery to a bad device");
    return NULL;
}

static const char *take_root_rotate(struct taking *t)
{
    const struct p_root_rotate *p = &t->p->root_rotate;
    struct holder *h = t->h;
    struct m_member *m = member_of_root(h, &p->old_root);
    if (m == NULL || used(t, &p->new_root))
        return wrong(t, "root that cannot be rotated");
    const char *why = check_rotation(t, m);
    if (why != NULL)
        return why;
    m->root = p->new_root;
    m->rotations++;
    m->grants = 0;
    if (p->how == ROTATE_RECOVERY) {
        revoke_all(h, m->number);
        enrol(h, &p->device, m->number, end_at(t->e, 0));
        m->grants = 1;
    }
    if (m->number == 0 && p->how != ROTATE_MEMBERS)
        h->pending = false;
    return NULL;
}

static const char *take_recovery(struct taking *t)
{
    struct holder *h = t->h;
    if (t->e->kind == KIND_RECOVERY_BEGIN) {
        if (t->device != NULL || h->pending || h->members.count == 0 ||
            AT(h->members, struct m_member, 0)->number != 0)
            return wrong(t, "recovery begins out of place");
        h->pending = true;
        h->begin = t->e->id;
        h->begin_ms = t->r->r.hub_time_ms;
        return NULL;
    }
    const struct p_recovery_cancel *p = &t->p->recovery_cancel;
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t size = recovery_message(message, &h->id, &p->begin, &p->root);
    if (!h->pending || !hash_equal(&h->begin, &p->begin) ||
        member_of_root(h, &p->root) == NULL ||
        !sig_verify(&p->root_sig, &p->root, CTX_RECOVERY, message, size))
        return wrong(t, "recovery is cancelled by nobody");
    h->pending = false;
    return NULL;
}

/* ---- splits ---- */

static const char *move(struct taking *t, const struct split_terms *terms, int64_t sign)
{
    struct m_member *payer = member_of_root(t->h, &terms->payer);
    if (payer == NULL)
        return wrong(t, "split of a stranger");
    payer->position += sign * terms->amount;
    for (size_t i = 0; i < terms->share_count; i++) {
        struct m_member *m = member_of_root(t->h, &terms->shares[i].root);
        if (m == NULL)
            return wrong(t, "split with a stranger");
        m->position -= sign * terms->shares[i].amount;
    }
    return NULL;
}

static const char *take_split(struct taking *t)
{
    struct holder *h = t->h;
    if (t->e->kind == KIND_SPLIT) {
        const struct split_terms *terms = &t->p->split.terms;
        if (h->splits.count == SPLIT_WINDOW)
            list_drop(&h->splits, sizeof(struct m_split), 0);
        *(struct m_split *)list_add(&h->splits, sizeof(struct m_split)) =
            (struct m_split){.id = t->e->id,
                             .terms = hash_sha256(terms->raw.data, terms->raw.size)};
        return move(t, terms, 1);
    }
    const struct p_split_change *p = &t->p->split_change;
    struct hash old = hash_sha256(p->old_terms.raw.data, p->old_terms.raw.size);
    size_t i = 0;
    while (i < h->splits.count &&
           !hash_equal(&AT(h->splits, struct m_split, i)->id, &p->split))
        i++;
    if (i == h->splits.count ||
        !hash_equal(&AT(h->splits, struct m_split, i)->terms, &old))
        return wrong(t, "changes a split that is not so");
    const char *why = move(t, &p->old_terms, -1);
    if (why == NULL && t->e->kind == KIND_SPLIT_CORRECT) {
        AT(h->splits, struct m_split, i)->terms =
            hash_sha256(p->new_terms.raw.data, p->new_terms.raw.size);
        return move(t, &p->new_terms, 1);
    }
    if (why == NULL)
        list_drop(&h->splits, sizeof(struct m_split), i);
    return why;
}

const char *take_member_kind(struct taking *t)
{
    switch (t->e->kind) {
    case KIND_DEVICE_ADD:
        return take_device_add(t);
    case KIND_DEVICE_REVOKE:
        return take_device_revoke(t);
    case KIND_INVITE:
        return take_invite(t);
    case KIND_MEMBER_ADD:
        return take_member_add(t);
    case KIND_MEMBER_REMOVE:
        return take_member_remove(t);
    case KIND_ROOT_ROTATE:
        return take_root_rotate(t);
    case KIND_RECOVERY_BEGIN:
    case KIND_RECOVERY_CANCEL:
        return take_recovery(t);
    case KIND_SPLIT:
    case KIND_SPLIT_CORRECT:
    case KIND_SPLIT_VOID:
        return take_split(t);
    case KIND_BIND:
    case KIND_NOTE:
        return NULL;
    default:
        return wrong(t, "a kind nobody may write");
    }
}
