#include "ledger/account.h"

#include <assert.h>
#include <string.h>

#include "ledger/apply.h"

void account_init(struct account *a, const struct alloc *mem)
{
    memset(a, 0, sizeof *a);
    a->mem = mem;
}

static void array_free(const struct alloc *mem, void *array, uint32_t cap, size_t size)
{
    if (array != NULL)
        mem->resize(mem->context, array, cap * size, 0);
}

void account_close(struct account *a)
{
    array_free(a->mem, a->members, a->member_cap, sizeof *a->members);
    array_free(a->mem, a->devices, a->device_cap, sizeof *a->devices);
    array_free(a->mem, a->revoked, a->revoked_cap, sizeof *a->revoked);
    array_free(a->mem, a->invites, a->invite_cap, sizeof *a->invites);
    array_free(a->mem, a->refs, a->ref_cap, sizeof *a->refs);
    array_free(a->mem, a->nodes, a->node_cap, sizeof *a->nodes);
    array_free(a->mem, a->splits, a->split_cap, sizeof *a->splits);
    account_init(a, a->mem);
}

void hub_account_init(struct hub_account *h, const struct alloc *mem)
{
    memset(h, 0, sizeof *h);
    h->mem = mem;
}

void hub_account_close(struct hub_account *h)
{
    array_free(h->mem, h->channels, h->channel_cap, sizeof *h->channels);
    hub_account_init(h, h->mem);
}

bool array_reserve(const struct alloc *mem, void **array, uint32_t *cap, uint32_t count,
                   uint32_t more, size_t size)
{
    assert(count <= *cap);
    if (more <= *cap - count)
        return true;
    /* Most accounts stay at one or two of everything: start exact, then double. */
    uint32_t grown = *cap * 2 > count + more ? *cap * 2 : count + more;
    void *moved = mem->resize(mem->context, *array, *cap * size, grown * size);
    if (moved == NULL)
        return false;
    *array = moved;
    *cap = grown;
    return true;
}

/* The first eight bytes differ for all but the key sought. */
static uint64_t first8(const uint8_t *b)
{
    uint64_t v;
    memcpy(&v, b, sizeof v);
    return v;
}

uint32_t find_device(const struct account *a, const struct pubkey *key)
{
    uint64_t first = first8(key->b);
    for (uint32_t i = 0; i < a->device_count; i++)
        if (first8(a->devices[i].key.b) == first && same32(&a->devices[i].key, key))
            return i;
    return NOT_FOUND;
}

bool is_revoked(const struct account *a, const struct pubkey *key)
{
    for (uint32_t i = 0; i < a->revoked_count; i++)
        if (same32(&a->revoked[i], key))
            return true;
    return false;
}

uint32_t find_member(const struct account *a, const struct pubkey *root)
{
    for (uint32_t i = 0; i < a->member_count; i++)
        if (same32(&a->members[i].root, root))
            return i;
    return NOT_FOUND;
}

uint32_t find_member_number(const struct account *a, uint32_t number)
{
    for (uint32_t i = 0; i < a->member_count; i++)
        if (a->members[i].number == number)
            return i;
    return NOT_FOUND;
}

uint32_t find_invite(const struct account *a, const struct hash *id)
{
    for (uint32_t i = 0; i < a->invite_count; i++)
        if (same32(&a->invites[i].id, id))
            return i;
    return NOT_FOUND;
}

uint32_t count_devices(const struct account *a, uint32_t member_number)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < a->device_count; i++)
        if (a->devices[i].member == member_number)
            count++;
    return count;
}

void add_device(struct account *a, const struct pubkey *key, uint32_t member_number,
                struct chain chain)
{
    assert(a->device_count < a->device_cap);
    a->devices[a->device_count++] =
        (struct device){.key = *key, .member = member_number, .chain = chain};
}

void revoke_device(struct account *a, uint32_t device)
{
    assert(device < a->device_count && a->revoked_count < a->revoked_cap);
    a->revoked[a->revoked_count++] = a->devices[device].key;
    memmove(&a->devices[device], &a->devices[device + 1],
            (a->device_count - device - 1) * sizeof *a->devices);
    a->device_count--;
    a->invite_count = 0; /* any of them may be the way back of whoever had the key */
}

void revoke_devices_of(struct account *a, uint32_t member_number)
{
    uint32_t i = 0;
    while (i < a->device_count)
        if (a->devices[i].member == member_number)
            revoke_device(a, i);
        else
            i++;
}

void drop_recovery(struct account *a)
{
    a->recovery_pending = false;
    memset(&a->recovery_begin, 0, sizeof a->recovery_begin);
    a->recovery_begin_ms = 0;
}

const struct chain *account_chain(const struct account *a, const struct hub_account *h,
                                  const struct pubkey *key)
{
    if (a->position == 0)
        return NULL;
    uint32_t device = find_device(a, key);
    if (device != NOT_FOUND)
        return &a->devices[device].chain;
    if (a->has_recovery && same32(&a->recovery, key))
        return &a->recovery_chain;
    if (h != NULL && h->open && (same32(&h->issuer, key) || same32(&h->relay, key)))
        return &a->hub;
    return NULL;
}

const struct member *account_member(const struct account *a, const struct pubkey *root)
{
    uint32_t i = find_member(a, root);
    return i == NOT_FOUND ? NULL : &a->members[i];
}

const struct member *account_member_of(const struct account *a,
                                       const struct pubkey *device)
{
    uint32_t i = find_device(a, device);
    if (i == NOT_FOUND)
        return NULL;
    uint32_t member = find_member_number(a, a->devices[i].member);
    assert(member != NOT_FOUND);
    return &a->members[member];
}
