/* Rules of who belongs to an account: members, their devices, invites. */
#include <assert.h>

#include "crypto/context.h"
#include "ledger/apply.h"

/* -- open
 * -------------------------------------------------------------------------------- */

static enum err check_open_keys(const struct apply *x, const struct p_open *p)
{
    const struct pubkey *device = &x->e->device;
    const struct pubkey *recovery = p->has_recovery ? &p->recovery : NULL;
    if (!sig_key_enrollable(device) || !sig_key_enrollable(&p->root) ||
        (recovery != NULL && !sig_key_enrollable(recovery)))
        return ERR_KEY_WEAK;
    if (same32(device, &p->root) || is_hub_key(x->h, device) ||
        is_hub_key(x->h, &p->root))
        return ERR_KEY_USED;
    if (recovery != NULL && (same32(recovery, device) || same32(recovery, &p->root) ||
                             is_hub_key(x->h, recovery)))
        return ERR_KEY_USED;
    return ERR_OK;
}

enum err check_open(struct apply *x)
{
    const struct p_open *p = &x->p->open;
    if (!same32(&p->federation, &x->h->federation) || !is_this_hub(x->h, p->hub))
        return ERR_FEDERATION;
    TRY(check_open_keys(x, p));
    if (p->residency > RESIDENCY_PINNED)
        return ERR_PAYLOAD;
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t size = grant_open_message(message, p, &x->e->device);
    if (!sig_verify(&p->root_sig, &p->root, CTX_DEVICE, message, size))
        return ERR_ROOT_SIGNATURE;
    x->need.members = 1;
    x->need.devices = 1;
    return ERR_OK;
}

void commit_open(struct apply *x)
{
    struct account *a = x->a;
    const struct p_open *p = &x->p->open;
    a->id = x->e->id;
    a->residency = (uint8_t)p->residency;
    a->has_recovery = p->has_recovery;
    if (p->has_recovery) {
        a->recovery = p->recovery;
        a->recovery_chain = chain_from(x->e, 0);
        a->recovery_member = 0;
    }
    a->hub = chain_from(x->e, 0);
    a->members[a->member_count++] =
        (struct member){.number = 0, .root = p->root, .grants = 1};
    a->next_member = 1;
    add_device(a, &x->e->device, 0, chain_from(x->e, 1));
}

/* -- devices
 * ----------------------------------------------------------------------------- */

static uint32_t writer_number(const struct apply *x)
{
    assert(x->capacity == AS_DEVICE);
    return x->a->devices[x->device].member;
}

/* What a device alone must not do: did the root of its member sign? */
static bool writer_root_signed(const struct apply *x, const struct signature *sig,
                               const char *context, const uint8_t *message, size_t size)
{
    uint32_t i = find_member_number(x->a, writer_number(x));
    assert(i != NOT_FOUND);
    return sig_verify(sig, &x->a->members[i].root, context, message, size);
}

/* Every key taken in can still be revoked: no member can use up the places that a stolen
 * device, his own removal or a recovery will need. */
static bool has_device_room(const struct account *a)
{
    return a->device_count < DEVICES_MAX &&
           a->revoked_count + a->device_count < REVOKED_MAX;
}

enum err check_device_add(struct apply *x)
{
    const struct account *a = x->a;
    const struct p_device_add *p = &x->p->device_add;
    x->member = find_member(a, &p->root);
    if (x->member == NOT_FOUND)
        return ERR_MEMBER_UNKNOWN;
    const struct member *m = &a->members[x->member];
    if (m->number != writer_number(x))
        return ERR_AUTHORITY;
    if (p->grant != m->grants)
        return ERR_GRANT;
    TRY(check_new_device(x, &p->device));
    if (!has_device_room(a) || count_devices(a, m->number) >= DEVICES_PER_MEMBER_MAX)
        return ERR_DEVICE_LIMIT;
    if (!grant_verify(x, &p->root, &p->device, p->grant, &p->root_sig))
        return ERR_ROOT_SIGNATURE;
    x->need.devices = 1;
    return ERR_OK;
}

void commit_device_add(struct apply *x)
{
    struct member *m = &x->a->members[x->member];
    m->grants++;
    add_device(x->a, &x->p->device_add.device, m->number, chain_from(x->e, 0));
}

enum err check_device_revoke(struct apply *x)
{
    const struct account *a = x->a;
    const struct pubkey *key = &x->p->device_revoke.device;
    x->target = find_device(a, key);
    if (x->target == NOT_FOUND)
        return is_revoked(a, key) ? ERR_DEVICE_REVOKED : ERR_DEVICE_UNKNOWN;
    if (a->devices[x->target].member != writer_number(x))
        return ERR_AUTHORITY;
    if (count_devices(a, writer_number(x)) == 1)
        return ERR_DEVICE_LAST;
    if (a->revoked_count >= REVOKED_MAX)
        return ERR_DEVICE_LIMIT;
    x->need.revoked = 1;
    return ERR_OK;
}

void commit_device_revoke(struct apply *x)
{
#ifdef STOA_BREAK_REVOKED_ACCEPTED
    return;
#endif
    revoke_device(x->a, x->target);
}

/* -- invites
 * ----------------------------------------------------------------------------- */

static uint32_t count_open_invites(const struct apply *x)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < x->a->invite_count; i++)
        if (x->a->invites[i].expires_ms >= x->r->hub_time_ms)
            count++;
    return count;
}

enum err check_invite(struct apply *x)
{
    const struct p_invite *p = &x->p->invite;
    uint64_t now_ms = x->r->hub_time_ms;
    if (!sig_key_enrollable(&p->key))
        return ERR_KEY_WEAK;
    if (p->expires_ms <= now_ms || p->expires_ms - now_ms > (uint64_t)INVITE_MS_MAX)
        return ERR_EXPIRY;
    if (key_is_used(x, &p->key))
        return ERR_KEY_USED;
    if (count_open_invites(x) >= INVITES_MAX)
        return ERR_INVITE_LIMIT;
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t size = invite_grant_message(message, &x->a->id, &p->key, p->expires_ms);
    if (!writer_root_signed(x, &p->root_sig, CTX_INVITE, message, size))
        return ERR_ROOT_SIGNATURE;
    x->need.invites = 1;
    return ERR_OK;
}

void commit_invite(struct apply *x)
{
    struct account *a = x->a;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < a->invite_count; i++)
        if (a->invites[i].expires_ms >= x->r->hub_time_ms)
            a->invites[kept++] = a->invites[i];
    a->invite_count = kept;
    a->invites[a->invite_count++] = (struct invite){.id = x->e->id,
                                                    .key = x->p->invite.key,
                                                    .expires_ms = x->p->invite.expires_ms,
                                                    .lamport = x->e->lamport};
}

/* -- members
 * ----------------------------------------------------------------------------- */

static enum err check_newcomer_keys(const struct apply *x, const struct pubkey *root)
{
    const struct pubkey *device = &x->e->device;
    if (find_member(x->a, root) != NOT_FOUND)
        return ERR_MEMBER_EXISTS;
    if (!sig_key_enrollable(root))
        return ERR_KEY_WEAK;
    TRY(check_new_device(x, device));
    return key_is_used(x, root) || same32(root, device) ? ERR_KEY_USED : ERR_OK;
}

enum err check_member_add(struct apply *x)
{
    const struct account *a = x->a;
    const struct p_member_add *p = &x->p->member_add;
    const struct invite *invite = &a->invites[x->invite];
    const struct pubkey *device = &x->e->device;
    if (x->r->hub_time_ms > invite->expires_ms)
        return ERR_INVITE_EXPIRED;
    if (a->member_count >= MEMBERS_MAX)
        return ERR_MEMBER_LIMIT;
    TRY(check_newcomer_keys(x, &p->root));
    if (!has_device_room(a))
        return ERR_DEVICE_LIMIT;
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t size = invite_message(message, &a->id, &invite->id, &p->root, device);
    if (!sig_verify(&p->invite_sig, &invite->key, CTX_INVITE, message, size))
        return ERR_INVITE_SIGNATURE;
    if (!grant_verify(x, &p->root, device, 0, &p->root_sig))
        return ERR_ROOT_SIGNATURE;
    x->need.members = 1;
    x->need.devices = 1;
    return ERR_OK;
}

void commit_member_add(struct apply *x)
{
    struct account *a = x->a;
    memmove(&a->invites[x->invite], &a->invites[x->invite + 1],
            (a->invite_count - x->invite - 1) * sizeof *a->invites);
    a->invite_count--;
    uint32_t number = a->next_member++;
    a->members[a->member_count++] =
        (struct member){.number = number, .root = x->p->member_add.root, .grants = 1};
    add_device(a, &x->e->device, number, chain_from(x->e, 1));
}

enum err check_member_remove(struct apply *x)
{
    const struct account *a = x->a;
    const struct p_member_remove *p = &x->p->member_remove;
    x->member = find_member(a, &p->root);
    if (x->member == NOT_FOUND)
        return ERR_MEMBER_UNKNOWN;
    const struct member *m = &a->members[x->member];
    uint32_t writer = writer_number(x);
    if (writer != m->number && writer != a->members[0].number)
        return ERR_AUTHORITY;
    if (a->member_count == 1)
        return ERR_MEMBER_LAST;
    if (m->position != 0)
        return ERR_POSITION_OPEN;
    x->need.revoked = count_devices(a, m->number);
    if (a->revoked_count + x->need.revoked > REVOKED_MAX)
        return ERR_DEVICE_LIMIT;
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t size = remove_message(message, &a->id, &p->root, m->number);
    return writer_root_signed(x, &p->root_sig, CTX_REMOVE, message, size)
               ? ERR_OK
               : ERR_ROOT_SIGNATURE;
}

void commit_member_remove(struct apply *x)
{
    struct account *a = x->a;
    uint32_t number = a->members[x->member].number;
    revoke_devices_of(a, number);
    if (a->has_recovery && a->recovery_member == number)
        drop_recovery(a);
    memmove(&a->members[x->member], &a->members[x->member + 1],
            (a->member_count - x->member - 1) * sizeof *a->members);
    a->member_count--;
}
