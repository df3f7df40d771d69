/* The book-keeper's answers about what readers, subscribers and wallets are shown. */
#include <string.h>

#include "model_books.h"

static const struct kept *kept_at(const struct model *m, uint32_t slot, uint64_t index)
{
    if (slot >= m->slots || index >= m->books[slot].kept.count)
        return NULL;
    return AT(m->books[slot].kept, struct kept, index);
}

static bool knows(const struct holder *h, const struct pubkey *key)
{
    for (size_t i = 0; i < h->devices.count; i++)
        if (pubkey_equal(&AT(h->devices, struct m_device, i)->key, key))
            return true;
    for (size_t i = 0; i < h->revoked.count; i++)
        if (pubkey_equal(AT(h->revoked, struct pubkey, i), key))
            return true;
    return false;
}

bool model_may_ever_read(const struct model *m, const struct hash *account,
                         const struct onlooker *who)
{
    const struct holder *h = holder_of(m, account);
    return h == NULL || !h->pinned || who->auditor ||
           (who->has_device && knows(h, &who->device));
}

const char *model_check_record(struct model *m, const struct record *r, bool by_account,
                               const struct onlooker *who)
{
    const struct kept *k = kept_at(m, r->slot, r->index);
    if (k == NULL)
        return "a record past the end of its log";
    if (!hash_equal(&k->head, &r->account_head) || k->lamport != r->hub_lamport ||
        k->time_ms != r->hub_time_ms)
        return "a record that is not the one at its place";
    bool pinned = k->holder != NULL && k->holder->pinned;
    if (r->envelope.size == 0) {
        if (!pinned || who->auditor || r->position != 0)
            return "a record without its envelope that is nobody's secret";
        return NULL;
    }
    struct hash content = hash_sha256(r->envelope.data, r->envelope.size);
    if (!hash_equal(&k->content, &content) || k->position != r->position)
        return "a record with something else in it";
    if (pinned && !who->auditor &&
        !(by_account && who->has_device && knows(k->holder, &who->device)))
        return "a record that he may not read";
    return NULL;
}

const char *model_check_inclusion(struct model *m, uint32_t slot, uint64_t index,
                                  tree_size size, const struct hash path[], size_t count)
{
    const struct kept *k = kept_at(m, slot, index), *last = kept_at(m, slot, size - 1);
    if (k == NULL || last == NULL)
        return "a proof past the end of the log";
    return merkle_verify_inclusion(index, size, &k->leaf, path, count, &last->root)
               ? NULL
               : "a proof that does not prove its leaf";
}

const char *model_check_consistency(struct model *m, uint32_t slot, tree_size from,
                                    tree_size to, const struct hash path[], size_t count)
{
    struct hash empty = hash_empty();
    const struct kept *a = from > 0 ? kept_at(m, slot, from - 1) : NULL;
    const struct kept *b = to > 0 ? kept_at(m, slot, to - 1) : NULL;
    if ((from > 0 && a == NULL) || (to > 0 && b == NULL))
        return "a proof past the end of the log";
    return merkle_verify_consistency(from, to, path, count, a == NULL ? &empty : &a->root,
                                     b == NULL ? &empty : &b->root)
               ? NULL
               : "a proof that does not lead from one tree to the other";
}

static const struct list *places_of(const struct model *m, const struct hash *account)
{
    static const struct list none;
    const struct holder *h = holder_of(m, account);
    if (h != NULL)
        return &h->places;
    for (uint32_t i = 0; i < m->slots; i++)
        if (hash_equal(&m->books[i].id, account))
            return &m->books[i].places;
    return &none;
}

uint64_t model_length(const struct model *m, const struct hash *account)
{
    return places_of(m, account)->count;
}

uint64_t model_index_of(const struct model *m, const struct hash *account,
                        uint64_t position)
{
    const struct list *l = places_of(m, account);
    return position < l->count ? AT(*l, struct place, position)->index : UINT64_MAX;
}

const struct hash *model_account_at(const struct model *m, uint32_t slot, uint64_t index)
{
    const struct kept *k = kept_at(m, slot, index);
    if (k == NULL)
        return NULL;
    return k->holder == NULL ? &m->books[slot].id : &k->holder->id;
}

const struct hash *model_entry_at(const struct model *m, uint32_t slot, uint64_t index)
{
    const struct kept *k = kept_at(m, slot, index);
    return k == NULL ? NULL : &k->id;
}

const struct hash *model_hub_account(const struct model *m, uint32_t slot)
{
    return &m->books[slot].id;
}

/* ---- wallets ---- */

const char *model_check_receipt(const struct model *m, uint32_t slot, uint64_t index,
                                const struct hash *id, uint64_t position,
                                uint64_t lamport, uint64_t time_ms)
{
    const struct kept *k = kept_at(m, slot, index);
    if (k == NULL)
        return "its place is past the end";
    if (!hash_equal(&k->id, id))
        return "another entry is at its place";
    if (k->position != position || k->lamport != lamport || k->time_ms != time_ms)
        return "it has another position or time";
    return NULL;
}

int64_t model_balance_at(const struct model *m, const struct hash *account,
                         uint64_t position)
{
    const struct list *l = places_of(m, account);
    return position < l->count ? AT(*l, struct place, position)->balance : INT64_MIN;
}

uint64_t model_open_items(const struct model *m, const struct hash *cause)
{
    uint64_t count = 0;
    for (size_t i = 0; i < (size_t)m->slots * m->slots; i++) {
        const struct lane *l = &m->lanes[i];
        for (size_t k = l->settled; k < l->items.count; k++)
            count += hash_equal(&AT(l->items, struct item, k)->cause, cause);
    }
    return count;
}

bool model_has(const struct model *m, const struct hash *id)
{
    for (uint32_t slot = 0; slot < m->slots; slot++)
        for (size_t i = 0; i < m->books[slot].kept.count; i++)
            if (hash_equal(&AT(m->books[slot].kept, struct kept, i)->id, id))
                return true;
    return false;
}
