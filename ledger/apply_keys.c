/* Which role a key has already, and root signatures over new devices. */
#include "crypto/context.h"
#include "ledger/apply.h"

bool is_hub_key(const struct hub_account *h, const struct pubkey *key)
{
    return same32(&h->issuer, key) || same32(&h->relay, key) || same32(&h->log.key, key);
}

static bool is_open_invite_key(const struct apply *x, const struct pubkey *key)
{
    const struct account *a = x->a;
    for (uint32_t i = 0; i < a->invite_count; i++)
        if (a->invites[i].expires_ms >= x->r->hub_time_ms &&
            same32(&a->invites[i].key, key))
            return true;
    return false;
}

bool key_is_used(const struct apply *x, const struct pubkey *key)
{
    const struct account *a = x->a;
    return is_hub_key(x->h, key) || (a->has_recovery && same32(&a->recovery, key)) ||
           find_member(a, key) != NOT_FOUND || find_device(a, key) != NOT_FOUND ||
           is_revoked(a, key) || is_open_invite_key(x, key);
}

enum err check_new_device(const struct apply *x, const struct pubkey *key)
{
    if (!sig_key_enrollable(key))
        return ERR_KEY_WEAK;
    if (find_device(x->a, key) != NOT_FOUND || is_revoked(x->a, key))
        return ERR_DEVICE_EXISTS;
    return key_is_used(x, key) ? ERR_KEY_USED : ERR_OK;
}

bool grant_verify(const struct apply *x, const struct pubkey *root,
                  const struct pubkey *device, uint64_t grant,
                  const struct signature *sig)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t size = grant_device_message(message, &x->a->id, root, device, grant);
    return sig_verify(sig, root, CTX_DEVICE, message, size);
}
