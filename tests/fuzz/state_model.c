/* The model's common checks, value, splits, settlement and hub account; and the
 * comparison. */
#include "state_model.h"

#include <string.h>

#include "crypto/context.h"
#include "fuzz.h"
#include "other.h"

#define LIMIT ((wide)1 << 62)

static bool same(const struct pubkey *a, const struct pubkey *b)
{
    return memcmp(a->b, b->b, 32) == 0;
}

static bool fits64(wide v)
{
    return v >= INT64_MIN && v <= INT64_MAX;
}

/* -- chains
 * ------------------------------------------------------------------------------ */

static enum err clock_of(const struct model_account *a, const struct entry *e,
                         uint64_t prev)
{
    uwide newest = prev;
    for (unsigned i = 0; i < e->ref_count; i++) {
        bool found = false;
        for (unsigned j = 0; a && j < a->refs; j++)
            if (j + 64 >= a->refs && hash_equal(&a->ref[j].id, &e->refs[i])) {
                found = true;
                if (a->ref[j].lamport > newest)
                    newest = a->ref[j].lamport;
            }
        if (!found)
            return ERR_REF_UNKNOWN;
    }
    return (uwide)e->lamport == newest + 1 ? ERR_OK : ERR_LAMPORT;
}

static enum err follows(const struct model_account *a, const struct model_chain *c,
                        const struct entry *e)
{
    if (e->seq != c->next)
        return e->seq < c->next ? ERR_SEQ_TAKEN : ERR_GAP;
    if (!hash_equal(&e->prev, &c->tip))
        return ERR_PREV;
    return clock_of(a, e, c->lamport);
}

static void go_on(struct model_chain *c, const struct entry *e)
{
    *c = (struct model_chain){c->next + 1, e->id, e->lamport};
}

/* -- open
 * -------------------------------------------------------------------------------- */

static enum err open_account(struct model_account *a, const struct model_hub *h,
                             const struct entry *e, const struct p_open *p)
{
    if (!hash_equal(&p->federation, &h->federation) || p->hub.size != strlen(h->name) ||
        memcmp(p->hub.data, h->name, p->hub.size) != 0)
        return ERR_FEDERATION;
    const struct pubkey *keys[3] = {&e->device, &p->root, &p->recovery};
    unsigned count = p->has_recovery ? 3 : 2;
    for (unsigned i = 0; i < count; i++)
        if (model_is_weak(keys[i]))
            return ERR_KEY_WEAK;
    for (unsigned i = 0; i < count; i++) {
        if (same(keys[i], &h->issuer) || same(keys[i], &h->relay) ||
            same(keys[i], &h->log))
            return ERR_KEY_USED;
        for (unsigned j = 0; j < i; j++)
            if (same(keys[i], keys[j]))
                return ERR_KEY_USED;
    }
    if (p->residency > 1)
        return ERR_PAYLOAD;
    struct model_message m = {0};
    model_put_array(&m, 5);
    model_put_bin(&m, p->federation.b, 32);
    model_put_str(&m, (const char *)p->hub.data, p->hub.size);
    model_put_bin(&m, p->nonce.b, 32);
    model_put_bin(&m, p->root.b, 32);
    model_put_bin(&m, e->device.b, 32);
    if (!model_signed(&m, CTX_DEVICE, &p->root, &p->root_sig))
        return ERR_ROOT_SIGNATURE;
    *a = (struct model_account){.open = true,
                                .id = e->id,
                                .residency = p->residency,
                                .has_recovery = p->has_recovery,
                                .hub_chain = {0, e->id, e->lamport},
                                .joined = 1,
                                .members = 1};
    if (p->has_recovery) {
        a->recovery = p->recovery;
        a->recovery_chain = (struct model_chain){0, e->id, e->lamport};
    }
    a->member[0] = (struct model_member){.root = p->root, .grants = 1};
    model_enrol(a, &e->device, 0, e, 1);
    return ERR_OK;
}

/* -- value
 * ------------------------------------------------------------------------------- */

static void send_item(struct model_hub *h, struct model_effects *fx,
                      struct model_item item)
{
    uint32_t to =
        (uint32_t)((((uint64_t)item.payee.b[0] << 8 | item.payee.b[1]) * MODEL_SLOTS) >>
                   16);
    fx->items[fx->count] = item;
    fx->to[fx->count] = to;
    fx->seq[fx->count++] = h->next_out[to]++;
    h->sent += item.amount;
}

static enum err transfer(struct model_account *a, struct model_hub *h,
                         const struct p_transfer *p, struct model_effects *fx)
{
    wide sum = 0;
    for (size_t i = 0; i < p->payee_count; i++)
        if (hash_equal(&p->payees[i].account, &a->id))
            return ERR_PAYEES;
    for (size_t i = 0; i < p->payee_count; i++)
        if (p->payees[i].hub.size > 0 &&
            (p->payees[i].hub.size != strlen(h->name) ||
             memcmp(p->payees[i].hub.data, h->name, strlen(h->name)) != 0))
            return ERR_HUB_UNKNOWN;
    for (size_t i = 0; i < p->payee_count; i++)
        sum += p->payees[i].amount;
    if (!fits64(sum))
        return ERR_OVERFLOW;
    if (sum > a->balance)
        return ERR_BALANCE;
    a->balance -= sum;
    for (size_t i = 0; i < p->payee_count; i++)
        send_item(
            h, fx,
            (struct model_item){a->id, p->payees[i].account, p->payees[i].amount, false});
    return ERR_OK;
}

static enum err accrue(struct model_account *a, struct model_hub *h,
                       const struct p_accrue *p)
{
    unsigned i = 0;
    while (i < a->nodes && hash_compare(&a->node[i].node, &p->node) < 0)
        i++;
    bool known = i < a->nodes && hash_equal(&a->node[i].node, &p->node);
    if (known && p->epoch <= a->node[i].epoch)
        return ERR_EPOCH_OLD;
    if (!known && a->nodes >= 256)
        return ERR_NODE_LIMIT;
    if (!fits64(h->accrued + p->amount) ||
        h->accrued + h->adjusted + p->amount > LIMIT / MODEL_SLOTS)
        return ERR_SUPPLY;
    if (a->balance + p->amount > LIMIT)
        return ERR_OVERFLOW;
    if (!known) {
        for (unsigned j = a->nodes++; j > i; j--)
            a->node[j] = a->node[j - 1];
        a->node[i].node = p->node;
    }
    a->node[i].epoch = p->epoch;
    a->balance += p->amount;
    h->accrued += p->amount;
    return ERR_OK;
}

static enum err adjust(struct model_account *a, struct model_hub *h, int64_t delta)
{
    if (a->balance + delta < 0)
        return ERR_BALANCE;
    if (a->balance + delta > LIMIT)
        return ERR_OVERFLOW;
    if (!fits64(h->adjusted + delta) ||
        h->accrued + h->adjusted + delta > LIMIT / MODEL_SLOTS)
        return ERR_SUPPLY;
    a->balance += delta;
    h->adjusted += delta;
    return ERR_OK;
}

/* Is it the next item from its source? */
static enum err settle(struct model_hub *h, const struct p_credit *p,
                       struct model_effects *fx)
{
    size_t name = strlen(h->name);
    const char *s = (const char *)p->source.data;
    if (p->source.size != name + 3 || memcmp(s, h->name, name) != 0 || s[name] != '/' ||
        s[name + 1] != '0' || s[name + 2] < '0' || s[name + 2] >= '0' + MODEL_SLOTS)
        return ERR_CHANNEL;
    uint32_t from = (uint32_t)(s[name + 2] - '0');
    if (p->out_seq != h->next_in[from])
        return ERR_CHANNEL;
    fx->from = from;
    fx->settled_seq = p->out_seq;
    return ERR_OK;
}

static void settled(struct model_hub *h, int64_t amount, struct model_effects *fx)
{
    h->next_in[fx->from]++;
    h->settled += amount;
    fx->settles = true;
}

static enum err credit(struct model_account *a, struct model_hub *h,
                       const struct p_credit *p, struct model_effects *fx)
{
    TRY(settle(h, p, fx));
    if (a->balance + p->amount > LIMIT)
        return ERR_OVERFLOW;
    a->balance += p->amount;
    settled(h, p->amount, fx);
    return ERR_OK;
}

/* -- splits
 * ------------------------------------------------------------------------------ */

static enum err move(struct model_account *a, const struct split_terms *t, int sign)
{
    struct model_member *m = model_member_of(a, &t->payer);
    if (!m)
        return ERR_MEMBER_UNKNOWN;
    m->position += (wide)sign * t->amount;
    if (!fits64(m->position))
        return ERR_OVERFLOW;
    for (size_t i = 0; i < t->share_count; i++) {
        m = model_member_of(a, &t->shares[i].root);
        if (!m)
            return ERR_MEMBER_UNKNOWN;
        m->position -= (wide)sign * t->shares[i].amount;
        if (!fits64(m->position))
            return ERR_OVERFLOW;
    }
    return ERR_OK;
}

static void keep_terms(struct model_split *s, const struct split_terms *t)
{
    PROPERTY(t->raw.size <= MODEL_TERMS);
    memcpy(s->terms, t->raw.data, t->raw.size);
    s->size = t->raw.size;
}

static enum err split(struct model_account *a, const struct entry *e,
                      const struct split_terms *t)
{
    TRY(move(a, t, 1));
    PROPERTY(a->splits < MODEL_LIST);
    a->split[a->splits].id = e->id;
    keep_terms(&a->split[a->splits++], t);
    return ERR_OK;
}

/* Only the last 64 that were not voided are in the window; once out, always out, which
 * the model does by forgetting. */
static enum err split_change(struct model_account *a, const struct p_split_change *p,
                             bool correct)
{
    unsigned i = 0;
    while (i < a->splits && !hash_equal(&a->split[i].id, &p->split))
        i++;
    if (i == a->splits || a->split[i].size != p->old_terms.raw.size ||
        memcmp(a->split[i].terms, p->old_terms.raw.data, a->split[i].size) != 0)
        return ERR_SPLIT_UNKNOWN;
    TRY(move(a, &p->old_terms, -1));
    if (correct) {
        TRY(move(a, &p->new_terms, 1));
        keep_terms(&a->split[i], &p->new_terms);
        return ERR_OK;
    }
    for (a->splits--; i < a->splits; i++)
        a->split[i] = a->split[i + 1];
    return ERR_OK;
}

static void forget_old_splits(struct model_account *a)
{
    for (; a->splits > 64; a->splits--)
        memmove(&a->split[0], &a->split[1], (a->splits - 1) * sizeof a->split[0]);
}

/* -- an entry
 * ---------------------------------------------------------------------------- */

struct writing {
    int member; /* number of the device's member, -1 */
    bool by_recovery, by_hub;
    struct model_chain *chain; /* NULL: open, member_add */
};

static enum err who(struct model_account *a, const struct model_hub *h,
                    const struct entry *e, struct writing *w)
{
    if (e->kind == KIND_ACCRUE || e->kind == KIND_ADJUST || e->kind == KIND_CREDIT) {
        w->by_hub = true;
        w->chain = &a->hub_chain;
        const struct pubkey *key = e->kind == KIND_CREDIT ? &h->relay : &h->issuer;
        return same(key, &e->device) ? ERR_OK : ERR_AUTHORITY;
    }
    if (a->has_recovery && same(&a->recovery, &e->device)) {
        w->by_recovery = true;
        w->chain = &a->recovery_chain;
        return e->kind == KIND_RECOVERY_BEGIN || e->kind == KIND_ROOT_ROTATE
                   ? ERR_OK
                   : ERR_AUTHORITY;
    }
    if (e->kind == KIND_MEMBER_ADD)
        return ERR_OK;
    for (unsigned i = 0; i < a->devices; i++)
        if (same(&a->device[i].key, &e->device)) {
            w->member = (int)a->device[i].member;
            w->chain = &a->device[i].chain;
            return e->kind == KIND_RECOVERY_BEGIN ? ERR_AUTHORITY : ERR_OK;
        }
    for (unsigned i = 0; i < a->revoked; i++)
        if (same(&a->gone[i], &e->device))
            return ERR_DEVICE_REVOKED;
    return ERR_DEVICE_UNKNOWN;
}

static enum err in_chain(const struct model_account *a, const struct entry *e,
                         const struct writing *w)
{
    if (w->chain)
        return follows(w->by_hub ? NULL : a, w->chain, e);
    if (e->seq != 0)
        return ERR_GAP;
    for (unsigned i = 0; i < a->invites; i++)
        if (hash_equal(&a->invite[i].id, &e->prev))
            return clock_of(a, e, a->invite[i].lamport);
    return ERR_INVITE_UNKNOWN;
}

static enum err rules_of_kind(struct model_account *a, struct model_hub *h,
                              const struct entry *e, const struct payload *p,
                              uint64_t now_ms, const struct writing *w,
                              struct model_effects *fx)
{
    switch (e->kind) {
    case KIND_OPEN:
        return open_account(a, h, e, &p->open);
    case KIND_TRANSFER:
        return transfer(a, h, &p->transfer, fx);
    case KIND_SPLIT:
        return split(a, e, &p->split.terms);
    case KIND_SPLIT_CORRECT:
    case KIND_SPLIT_VOID:
        return split_change(a, &p->split_change, e->kind == KIND_SPLIT_CORRECT);
    case KIND_BIND:
        a->bound = true;
        a->bound_chain = p->bind.chain;
        a->bound_size = p->bind.address.size;
        memcpy(a->bound_address, p->bind.address.data, a->bound_size);
        return ERR_OK;
    case KIND_NOTE:
        return ERR_OK;
    case KIND_ACCRUE:
        return accrue(a, h, &p->accrue);
    case KIND_ADJUST:
        return adjust(a, h, p->adjust.delta);
    case KIND_CREDIT:
        return credit(a, h, &p->credit, fx);
    default:
        return model_members(a, h, e, p, now_ms, w->by_recovery, w->member);
    }
}

static enum err apply(struct model_account *a, struct model_hub *h, const struct entry *e,
                      uint64_t now_ms, struct model_effects *fx)
{
    static struct payload p;
    struct writing w = {.member = -1};
    const struct hash *id = entry_account(e);
    uint32_t slot =
        (uint32_t)((((uint64_t)id->b[0] << 8 | id->b[1]) * MODEL_SLOTS) >> 16);
    if (e->kind == KIND_LOG_OPEN || e->kind == KIND_HUB_KEY || e->kind == KIND_RULES ||
        e->kind == KIND_BOUNCE || hash_equal(id, &h->id))
        return ERR_AUTHORITY;
    if (slot != h->slot)
        return ERR_ACCOUNT_UNKNOWN;
    if (e->kind == KIND_OPEN && a->open)
        return ERR_ACCOUNT_EXISTS;
    if (e->kind != KIND_OPEN && (!a->open || !hash_equal(id, &a->id)))
        return ERR_ACCOUNT_UNKNOWN;
    if (e->kind != KIND_OPEN) {
        TRY(who(a, h, e, &w));
        TRY(in_chain(a, e, &w));
    } else if (e->seq != 0 || e->ref_count > 0 || e->lamport != 1) {
        return e->seq != 0 ? ERR_GAP : e->ref_count > 0 ? ERR_REF_UNKNOWN : ERR_LAMPORT;
    }
    PROPERTY(payload_decode(&p, e->kind, e->payload) == ERR_OK);
    /* The chain first: a device may take itself away. */
    if (w.chain)
        go_on(w.chain, e);
    TRY(rules_of_kind(a, h, e, &p, now_ms, &w, fx));
    a->written++;
    if (!w.by_hub) {
        PROPERTY(a->refs < MODEL_LIST);
        a->ref[a->refs++] = (struct reference){e->id, e->lamport};
    }
    forget_old_splits(a);
    return ERR_OK;
}

enum err model_apply(struct model_account *a, struct model_hub *h, const struct entry *e,
                     uint64_t now_ms, struct model_effects *fx)
{
    static struct model_account before;
    struct model_hub hub_before = *h;
    before = *a;
    memset(fx, 0, sizeof *fx);
    enum err err = apply(a, h, e, now_ms, fx);
    if (err != ERR_OK) {
        *a = before;
        *h = hub_before;
        memset(fx, 0, sizeof *fx);
    }
    return err;
}
