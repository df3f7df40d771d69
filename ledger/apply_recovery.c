/* Rules of giving a member another root key: by the old one, by the other members, or by
 * the recovery key after 72 hours in which no root key objected. */
#include "crypto/context.h"
#include "ledger/apply.h"

/* -- root_rotate
 * ------------------------------------------------------------------------- */

/* May this writer rotate that member's root in this way, at this time? */
static enum err check_rotate_writer(const struct apply *x, const struct member *m)
{
    const struct account *a = x->a;
    const struct p_root_rotate *p = &x->p->root_rotate;
    if ((p->how == ROTATE_RECOVERY) != (x->capacity == AS_RECOVERY))
        return ERR_AUTHORITY;
    if (p->how == ROTATE_MEMBERS)
        return ERR_OK;
    if (p->how == ROTATE_OLD_ROOT)
        return a->devices[x->device].member == m->number ? ERR_OK : ERR_AUTHORITY;
    if (m->number != a->recovery_member)
        return ERR_AUTHORITY;
    if (!a->recovery_pending)
        return ERR_RECOVERY_NONE;
    uint64_t now_ms = x->r->hub_time_ms;
    return now_ms >= a->recovery_begin_ms &&
                   now_ms - a->recovery_begin_ms >= (uint64_t)RECOVERY_WAIT_MS
               ? ERR_OK
               : ERR_RECOVERY_EARLY;
}

/* The device that comes with the new root, and room to revoke the old ones. */
static enum err check_rotate_device(struct apply *x, const struct member *m)
{
    const struct p_root_rotate *p = &x->p->root_rotate;
    TRY(check_new_device(x, &p->device));
    if (same32(&p->device, &p->new_root))
        return ERR_KEY_USED;
    x->need.devices = 1;
    x->need.revoked = count_devices(x->a, m->number);
    return x->a->revoked_count + x->need.revoked > REVOKED_MAX ? ERR_DEVICE_LIMIT
                                                               : ERR_OK;
}

static bool all_proofs_verify(const struct p_root_rotate *p, const uint8_t *message,
                              size_t size)
{
    for (size_t i = 0; i < p->proof_count; i++)
        if (!sig_verify(&p->proofs[i].sig, &p->proofs[i].root, CTX_ROTATE, message, size))
            return false;
    return true;
}

/* At least two other members, more than half of the others, each once, all valid. */
static enum err check_cosigners(const struct apply *x, const uint8_t *message,
                                size_t size)
{
    const struct account *a = x->a;
    const struct p_root_rotate *p = &x->p->root_rotate;
    if (p->proof_count < 2 || p->proof_count * 2 <= a->member_count - 1)
        return ERR_COSIGNERS;
    for (size_t i = 0; i < p->proof_count; i++) {
        const struct pubkey *root = &p->proofs[i].root;
        if (i > 0 && pubkey_compare(&p->proofs[i - 1].root, root) >= 0)
            return ERR_COSIGNERS;
        if (same32(root, &p->old_root) || find_member(a, root) == NOT_FOUND)
            return ERR_COSIGNERS;
    }
    return all_proofs_verify(p, message, size) ? ERR_OK : ERR_COSIGNERS;
}

static enum err check_rotate_signatures(const struct apply *x, const struct member *m)
{
    const struct p_root_rotate *p = &x->p->root_rotate;
    const struct pubkey *device = p->has_device ? &p->device : NULL;
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t size = rotate_message(message, &x->a->id, &p->old_root, &p->new_root, device,
                                 m->rotations);
    if (!sig_verify(&p->new_sig, &p->new_root, CTX_ROTATE, message, size))
        return ERR_ROOT_SIGNATURE;
    if (p->how == ROTATE_MEMBERS)
        return check_cosigners(x, message, size);
    if (p->how == ROTATE_OLD_ROOT)
        return p->proof_count == 1 && same32(&p->proofs[0].root, &p->old_root) &&
                       all_proofs_verify(p, message, size)
                   ? ERR_OK
                   : ERR_ROOT_SIGNATURE;
    return grant_verify(x, &p->new_root, &p->device, 0, &p->grant_sig)
               ? ERR_OK
               : ERR_ROOT_SIGNATURE;
}

enum err check_root_rotate(struct apply *x)
{
    const struct p_root_rotate *p = &x->p->root_rotate;
    if (p->how > ROTATE_RECOVERY || p->has_device != (p->how == ROTATE_RECOVERY))
        return ERR_PAYLOAD;
    x->member = find_member(x->a, &p->old_root);
    if (x->member == NOT_FOUND)
        return ERR_MEMBER_UNKNOWN;
    const struct member *m = &x->a->members[x->member];
    TRY(check_rotate_writer(x, m));
    if (!sig_key_enrollable(&p->new_root))
        return ERR_KEY_WEAK;
    if (key_is_used(x, &p->new_root))
        return ERR_KEY_USED;
    if (p->how == ROTATE_RECOVERY)
        TRY(check_rotate_device(x, m));
    return check_rotate_signatures(x, m);
}

void commit_root_rotate(struct apply *x)
{
    struct account *a = x->a;
    const struct p_root_rotate *p = &x->p->root_rotate;
    struct member *m = &a->members[x->member];
    m->root = p->new_root;
    m->rotations++;
    m->grants = 0;
    if (p->how == ROTATE_RECOVERY) {
        revoke_devices_of(a, m->number);
        add_device(a, &p->device, m->number, chain_from(x->e, 0));
        m->grants = 1;
        drop_recovery(a);
    } else if (p->how == ROTATE_OLD_ROOT && a->has_recovery &&
               m->number == a->recovery_member) {
        drop_recovery(a); /* the root key is alive: it spoke */
    }
}

/* -- recovery_begin, recovery_cancel
 * ----------------------------------------------------- */

enum err check_recovery_begin(struct apply *x)
{
    const struct account *a = x->a;
    if (find_member_number(a, a->recovery_member) == NOT_FOUND)
        return ERR_MEMBER_UNKNOWN;
    return a->recovery_pending ? ERR_RECOVERY_PENDING : ERR_OK;
}

void commit_recovery_begin(struct apply *x)
{
    struct account *a = x->a;
    a->recovery_pending = true;
    a->recovery_begin = x->e->id;
    a->recovery_begin_ms = x->r->hub_time_ms;
}

enum err check_recovery_cancel(struct apply *x)
{
    const struct account *a = x->a;
    const struct p_recovery_cancel *p = &x->p->recovery_cancel;
    if (!a->recovery_pending || !same32(&a->recovery_begin, &p->begin))
        return ERR_RECOVERY_NONE;
    if (find_member(a, &p->root) == NOT_FOUND)
        return ERR_MEMBER_UNKNOWN;
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t size = recovery_message(message, &a->id, &p->begin, &p->root);
    return sig_verify(&p->root_sig, &p->root, CTX_RECOVERY, message, size)
               ? ERR_OK
               : ERR_ROOT_SIGNATURE;
}

void commit_recovery_cancel(struct apply *x)
{
    drop_recovery(x->a);
}
