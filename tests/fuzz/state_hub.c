/* The model's hub account, and the comparison of both kinds of state with the real ones.
 */
#include <string.h>

#include "crypto/context.h"
#include "fuzz.h"
#include "state_model.h"

static bool same(const struct pubkey *a, const struct pubkey *b)
{
    return memcmp(a->b, b->b, 32) == 0;
}

/* -- the hub account
 * --------------------------------------------------------------------- */

static enum err hub_key(struct model_hub *h, const struct p_hub_key *p)
{
    struct pubkey *key[3] = {&h->issuer, &h->relay, &h->log};
    if (p->role > 2)
        return ERR_PAYLOAD;
    if (!same(key[p->role], &p->old_key))
        return ERR_AUTHORITY;
    if (model_is_weak(&p->new_key))
        return ERR_KEY_WEAK;
    for (unsigned i = 0; i < 3; i++)
        if (same(key[i], &p->new_key))
            return ERR_KEY_USED;
    struct model_message m = {0};
    model_put_array(&m, 4);
    model_put_bin(&m, h->id.b, 32);
    model_put_uint(&m, p->role);
    model_put_bin(&m, p->old_key.b, 32);
    model_put_bin(&m, p->new_key.b, 32);
    if (!model_signed(&m, CTX_HUB_KEY, &p->old_key, &p->old_sig) ||
        !model_signed(&m, CTX_HUB_KEY, &p->new_key, &p->new_sig))
        return ERR_SIGNATURE;
    *key[p->role] = p->new_key;
    return ERR_OK;
}

static uint32_t slot_by_id(const struct hash *id)
{
    return id->b[0] / (256 / MODEL_SLOTS);
}

static enum err bounce(struct model_hub *h, const struct p_bounce *p,
                       struct model_effects *fx)
{
    size_t name = strlen(h->name);
    const char *s = (const char *)p->item.source.data;
    uint32_t from = slot_by_id(&p->payer);
    if (p->item.source.size != name + 3 || memcmp(s, h->name, name) != 0 ||
        s[name] != '/' || s[name + 1] != '0' || (uint32_t)(s[name + 2] - '0') != from ||
        slot_by_id(&p->payee) != h->slot || p->item.out_seq != h->next_in[from])
        return ERR_CHANNEL;
    h->next_in[from]++;
    h->settled += p->item.amount;
    h->sent += p->item.amount;
    fx->settles = fx->bounced = true;
    fx->from = from;
    fx->settled_seq = p->item.out_seq;
    fx->count = 1;
    fx->items[0] = (struct model_item){p->payer, p->payer, p->item.amount, true};
    fx->to[0] = from;
    fx->seq[0] = h->next_out[from]++;
    return ERR_OK;
}

static enum err chained(const struct model_hub *h, const struct entry *e)
{
    if (e->seq != h->chain.next)
        return e->seq < h->chain.next ? ERR_SEQ_TAKEN : ERR_GAP;
    if (!hash_equal(&e->prev, &h->chain.tip))
        return ERR_PREV;
    if (e->ref_count > 0)
        return ERR_REF_UNKNOWN;
    return e->lamport == h->chain.lamport + 1 ? ERR_OK : ERR_LAMPORT;
}

static enum err hub_apply(struct model_hub *h, const struct entry *e,
                          struct model_effects *fx)
{
    static struct payload p;
    if (e->kind != KIND_LOG_OPEN && e->kind != KIND_HUB_KEY && e->kind != KIND_RULES &&
        e->kind != KIND_BOUNCE)
        return ERR_AUTHORITY;
    if (e->kind == KIND_LOG_OPEN)
        return ERR_ACCOUNT_EXISTS;
    if (!hash_equal(&e->account, &h->id))
        return ERR_ACCOUNT_UNKNOWN;
    if (!same(&h->relay, &e->device))
        return ERR_AUTHORITY;
    TRY(chained(h, e));
    PROPERTY(payload_decode(&p, e->kind, e->payload) == ERR_OK);
    if (e->kind == KIND_RULES)
        return p.rules.version <= 1 ? ERR_RULES : ERR_RULES_AHEAD;
    TRY(e->kind == KIND_BOUNCE ? bounce(h, &p.bounce, fx) : hub_key(h, &p.hub_key));
    h->written++;
    h->chain = (struct model_chain){e->seq + 1, e->id, e->lamport};
    return ERR_OK;
}

enum err model_hub_apply(struct model_hub *h, const struct entry *e,
                         struct model_effects *fx)
{
    struct model_hub before = *h;
    memset(fx, 0, sizeof *fx);
    enum err err = hub_apply(h, e, fx);
    if (err != ERR_OK) {
        *h = before;
        memset(fx, 0, sizeof *fx);
    }
    return err;
}

/* -- comparison
 * -------------------------------------------------------------------------- */

static bool same_chain(const struct model_chain *m, const struct chain *c)
{
    return m->next == c->next_seq && hash_equal(&m->tip, &c->tip) &&
           m->lamport == c->tip_lamport;
}

static void compare_people(const struct model_account *a, const struct account *real)
{
    PROPERTY(real->member_count == a->members && real->next_member == a->joined);
    for (unsigned i = 0; i < a->members; i++) {
        const struct model_member *m = &a->member[i];
        const struct member *r = &real->members[i];
        PROPERTY(m->number == r->number && same(&m->root, &r->root));
        PROPERTY(m->grants == r->grants && m->rotations == r->rotations);
        PROPERTY(m->position == r->position);
    }
    PROPERTY(real->device_count == a->devices && real->revoked_count == a->revoked);
    for (unsigned i = 0; i < a->devices; i++) {
        PROPERTY(same(&a->device[i].key, &real->devices[i].key));
        PROPERTY(a->device[i].member == real->devices[i].member);
        PROPERTY(same_chain(&a->device[i].chain, &real->devices[i].chain));
    }
    for (unsigned i = 0; i < a->revoked; i++)
        PROPERTY(same(&a->gone[i], &real->revoked[i]));
    PROPERTY(real->invite_count == a->invites);
    for (unsigned i = 0; i < a->invites; i++)
        PROPERTY(hash_equal(&a->invite[i].id, &real->invites[i].id) &&
                 same(&a->invite[i].key, &real->invites[i].key) &&
                 a->invite[i].expires == real->invites[i].expires_ms &&
                 a->invite[i].lamport == real->invites[i].lamport);
}

static void compare_lists(const struct model_account *a, const struct account *real)
{
    unsigned first = a->refs > 64 ? a->refs - 64 : 0;
    PROPERTY(real->ref_count == a->refs - first);
    for (unsigned i = first; i < a->refs; i++)
        PROPERTY(hash_equal(&a->ref[i].id, &real->refs[i - first].id) &&
                 a->ref[i].lamport == real->refs[i - first].lamport);
    PROPERTY(real->node_count == a->nodes && real->split_count == a->splits);
    for (unsigned i = 0; i < a->nodes; i++)
        PROPERTY(hash_equal(&a->node[i].node, &real->nodes[i].node) &&
                 a->node[i].epoch == real->nodes[i].epoch);
    for (unsigned i = 0; i < a->splits; i++) {
        struct hash terms = hash_context(CTX_TERMS, a->split[i].terms, a->split[i].size);
        PROPERTY(hash_equal(&a->split[i].id, &real->splits[i].id) &&
                 hash_equal(&terms, &real->splits[i].terms));
    }
}

void model_compare(const struct model_account *a, const struct account *real)
{
    PROPERTY(real->position == a->written);
    if (!a->open)
        return;
    PROPERTY(hash_equal(&a->id, &real->id) && a->balance == real->balance);
    PROPERTY(a->residency == real->residency && a->has_recovery == real->has_recovery);
    PROPERTY(same_chain(&a->hub_chain, &real->hub));
    if (a->has_recovery)
        PROPERTY(same(&a->recovery, &real->recovery) &&
                 same_chain(&a->recovery_chain, &real->recovery_chain));
    PROPERTY(a->pending == real->recovery_pending);
    if (a->pending)
        PROPERTY(hash_equal(&a->begin, &real->recovery_begin) &&
                 a->begin_ms == real->recovery_begin_ms);
    PROPERTY(a->bound == real->bound);
    if (a->bound)
        PROPERTY(a->bound_chain == real->bound_chain &&
                 a->bound_size == real->bound_size &&
                 memcmp(a->bound_address, real->bound_address, a->bound_size) == 0);
    compare_people(a, real);
    compare_lists(a, real);
}

void model_compare_hub(const struct model_hub *h, const struct hub_account *real)
{
    PROPERTY(real->open && real->position == h->written && hash_equal(&h->id, &real->id));
    PROPERTY(same_chain(&h->chain, &real->chain) && real->slot == h->slot);
    PROPERTY(same(&h->issuer, &real->issuer) && same(&h->relay, &real->relay));
    PROPERTY(same(&h->log, &real->log.key));
    PROPERTY(h->accrued == real->accrued && h->adjusted == real->adjusted);
    PROPERTY((uint64_t)h->sent == real->sent && (uint64_t)h->settled == real->settled);
    PROPERTY(real->channel_count == MODEL_SLOTS);
    for (uint32_t i = 0; i < MODEL_SLOTS; i++)
        PROPERTY(real->channels[i].next_in == h->next_in[i] &&
                 real->channels[i].next_out == h->next_out[i]);
}
