#include "ledger/kinds.h"

#include <assert.h>

static void put_hash(struct mp_writer *w, const struct hash *h)
{
    mp_bin(w, h->b, sizeof h->b);
}

static void put_key(struct mp_writer *w, const struct pubkey *k)
{
    mp_bin(w, k->b, sizeof k->b);
}

static size_t finish(const struct mp_writer *w)
{
    assert(!w->full);
    return w->size;
}

size_t grant_open_message(uint8_t *out, const struct p_open *p,
                          const struct pubkey *device)
{
    struct mp_writer w = mp_writer_of(out, MESSAGE_BYTES_MAX);
    mp_array(&w, 5);
    put_hash(&w, &p->federation);
    mp_str(&w, (const char *)p->hub.data, p->hub.size);
    put_hash(&w, &p->nonce);
    put_key(&w, &p->root);
    put_key(&w, device);
    return finish(&w);
}

size_t grant_device_message(uint8_t *out, const struct hash *account,
                            const struct pubkey *root, const struct pubkey *device,
                            uint64_t grant)
{
    struct mp_writer w = mp_writer_of(out, MESSAGE_BYTES_MAX);
    mp_array(&w, 4);
    put_hash(&w, account);
    put_key(&w, root);
    put_key(&w, device);
    mp_uint(&w, grant);
    return finish(&w);
}

/* [account, key, number] */
static size_t key_and_number(uint8_t *out, const struct hash *account,
                             const struct pubkey *key, uint64_t number)
{
    struct mp_writer w = mp_writer_of(out, MESSAGE_BYTES_MAX);
    mp_array(&w, 3);
    put_hash(&w, account);
    put_key(&w, key);
    mp_uint(&w, number);
    return finish(&w);
}

size_t invite_grant_message(uint8_t *out, const struct hash *account,
                            const struct pubkey *key, uint64_t expires_ms)
{
    return key_and_number(out, account, key, expires_ms);
}

size_t remove_message(uint8_t *out, const struct hash *account, const struct pubkey *root,
                      uint64_t number)
{
    return key_and_number(out, account, root, number);
}

size_t invite_message(uint8_t *out, const struct hash *account, const struct hash *invite,
                      const struct pubkey *root, const struct pubkey *device)
{
    struct mp_writer w = mp_writer_of(out, MESSAGE_BYTES_MAX);
    mp_array(&w, 4);
    put_hash(&w, account);
    put_hash(&w, invite);
    put_key(&w, root);
    put_key(&w, device);
    return finish(&w);
}

size_t rotate_message(uint8_t *out, const struct hash *account,
                      const struct pubkey *old_root, const struct pubkey *new_root,
                      const struct pubkey *device, uint64_t rotations)
{
    struct mp_writer w = mp_writer_of(out, MESSAGE_BYTES_MAX);
    mp_array(&w, 5);
    put_hash(&w, account);
    put_key(&w, old_root);
    put_key(&w, new_root);
    if (device)
        put_key(&w, device);
    else
        mp_nil(&w);
    mp_uint(&w, rotations);
    return finish(&w);
}

size_t recovery_message(uint8_t *out, const struct hash *account,
                        const struct hash *begin, const struct pubkey *root)
{
    struct mp_writer w = mp_writer_of(out, MESSAGE_BYTES_MAX);
    mp_array(&w, 3);
    put_hash(&w, account);
    put_hash(&w, begin);
    put_key(&w, root);
    return finish(&w);
}

size_t hub_key_message(uint8_t *out, const struct hash *account, uint64_t role,
                       const struct pubkey *old_key, const struct pubkey *new_key)
{
    struct mp_writer w = mp_writer_of(out, MESSAGE_BYTES_MAX);
    mp_array(&w, 4);
    put_hash(&w, account);
    mp_uint(&w, role);
    put_key(&w, old_key);
    put_key(&w, new_key);
    return finish(&w);
}
