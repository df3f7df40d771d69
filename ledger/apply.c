#include "ledger/apply.h"

#include <assert.h>

struct rule {
    enum err (*check)(struct apply *x);
    void (*commit)(struct apply *x);
    bool of_hub; /* belongs to the hub account */
};

static const struct rule rules_by_kind[] = {
    [KIND_OPEN] = {check_open, commit_open, false},
    [KIND_DEVICE_ADD] = {check_device_add, commit_device_add, false},
    [KIND_DEVICE_REVOKE] = {check_device_revoke, commit_device_revoke, false},
    [KIND_INVITE] = {check_invite, commit_invite, false},
    [KIND_MEMBER_ADD] = {check_member_add, commit_member_add, false},
    [KIND_MEMBER_REMOVE] = {check_member_remove, commit_member_remove, false},
    [KIND_ROOT_ROTATE] = {check_root_rotate, commit_root_rotate, false},
    [KIND_RECOVERY_BEGIN] = {check_recovery_begin, commit_recovery_begin, false},
    [KIND_RECOVERY_CANCEL] = {check_recovery_cancel, commit_recovery_cancel, false},
    [KIND_TRANSFER] = {check_transfer, commit_transfer, false},
    [KIND_SPLIT] = {check_split, commit_split, false},
    [KIND_SPLIT_CORRECT] = {check_split_correct, commit_split_correct, false},
    [KIND_SPLIT_VOID] = {check_split_void, commit_split_void, false},
    [KIND_BIND] = {check_bind, commit_bind, false},
    [KIND_NOTE] = {check_note, commit_note, false},
    [KIND_ACCRUE] = {check_accrue, commit_accrue, false},
    [KIND_ADJUST] = {check_adjust, commit_adjust, false},
    [KIND_LOG_OPEN] = {check_log_open, commit_log_open, true},
    [KIND_HUB_KEY] = {check_hub_key, commit_hub_key, true},
    [KIND_RULES] = {check_rules, commit_rules, true},
    [KIND_CREDIT] = {check_credit, commit_credit, false},
    [KIND_BOUNCE] = {check_bounce, commit_bounce, true},
};

static const struct rule *rule_of(uint64_t kind)
{
    if (kind >= sizeof rules_by_kind / sizeof rules_by_kind[0])
        return NULL;
    return rules_by_kind[kind].check == NULL ? NULL : &rules_by_kind[kind];
}

/* -- chains
 * ------------------------------------------------------------------------------ */

static bool find_ref_lamport(const struct account *a, const struct hash *id,
                             uint64_t *lamport)
{
    /* The newest are the likeliest. */
    for (uint32_t i = a->ref_count; i > 0; i--)
        if (same32(&a->refs[i - 1].id, id)) {
            *lamport = a->refs[i - 1].lamport;
            return true;
        }
    return false;
}

/* `a` is NULL for writers that carry no refs. */
enum err lamport_check(const struct account *a, const struct entry *e,
                       uint64_t prev_lamport)
{
    uint64_t max = prev_lamport;
    if (e->ref_count > 0 && a == NULL)
        return ERR_REF_UNKNOWN;
    for (unsigned i = 0; i < e->ref_count; i++) {
        uint64_t lamport;
        if (!find_ref_lamport(a, &e->refs[i], &lamport))
            return ERR_REF_UNKNOWN;
        if (lamport > max)
            max = lamport;
    }
#ifdef STOA_BREAK_LAMPORT_UNCHECKED
    return ERR_OK;
#endif
    return max != UINT64_MAX && e->lamport == max + 1 ? ERR_OK : ERR_LAMPORT;
}

enum err chain_check(const struct account *a, const struct entry *e,
                     const struct chain *c)
{
#ifdef STOA_BREAK_DUPLICATE_ACCEPTED
    if (e->seq < c->next_seq)
        return ERR_OK;
#endif
    if (e->seq < c->next_seq)
        return ERR_SEQ_TAKEN;
    if (e->seq > c->next_seq)
        return ERR_GAP;
    if (!e->has_prev || !same32(&e->prev, &c->tip))
        return ERR_PREV;
    return lamport_check(a, e, c->tip_lamport);
}

/* The first entry of an account: nothing before it. */
static enum err chain_check_first(const struct entry *e)
{
    if (e->seq != 0)
        return ERR_GAP;
    if (e->has_prev)
        return ERR_PREV;
    return lamport_check(NULL, e, 0);
}

struct chain chain_from(const struct entry *e, uint64_t next_seq)
{
    return (struct chain){.next_seq = next_seq, .tip = e->id, .tip_lamport = e->lamport};
}

void chain_advance(struct chain *c, const struct entry *e)
{
    c->next_seq++;
    c->tip = e->id;
    c->tip_lamport = e->lamport;
}

/* -- who
 * --------------------------------------------------------------------------------- */

static enum err check_member_writer(struct apply *x)
{
    const struct account *a = x->a;
    const struct entry *e = x->e;
    if (a->has_recovery && same32(&a->recovery, &e->device)) {
        x->capacity = AS_RECOVERY;
        return e->kind == KIND_RECOVERY_BEGIN || e->kind == KIND_ROOT_ROTATE
                   ? ERR_OK
                   : ERR_AUTHORITY;
    }
    if (e->kind == KIND_MEMBER_ADD) {
        x->capacity = AS_NEWCOMER;
        return ERR_OK;
    }
    x->capacity = AS_DEVICE;
    x->device = find_device(a, &e->device);
    if (x->device == NOT_FOUND)
        return is_revoked(a, &e->device) ? ERR_DEVICE_REVOKED : ERR_DEVICE_UNKNOWN;
    return e->kind == KIND_RECOVERY_BEGIN ? ERR_AUTHORITY : ERR_OK;
}

static enum err check_writer(struct apply *x)
{
    enum writer writer = BY_NOBODY;
    if (!kind_writer(x->e->kind, &writer) || writer == BY_NOBODY)
        return ERR_RULES_AHEAD;
    if (writer == BY_MEMBER)
        return check_member_writer(x);
    x->capacity = AS_HUB;
    const struct pubkey *key = writer == BY_ISSUER ? &x->h->issuer : &x->h->relay;
    return same32(key, &x->e->device) ? ERR_OK : ERR_AUTHORITY;
}

static enum err check_chain(struct apply *x)
{
    const struct account *a = x->a;
    const struct entry *e = x->e;
    switch (x->capacity) {
    case AS_DEVICE:
        return chain_check(a, e, &a->devices[x->device].chain);
    case AS_RECOVERY:
        return chain_check(a, e, &a->recovery_chain);
    case AS_HUB:
        return chain_check(NULL, e, &a->hub);
    case AS_NEWCOMER:
        if (e->seq != 0)
            return ERR_GAP;
        x->invite = e->has_prev ? find_invite(a, &e->prev) : NOT_FOUND;
        if (x->invite == NOT_FOUND)
            return ERR_INVITE_UNKNOWN;
        return lamport_check(a, e, a->invites[x->invite].lamport);
    case AS_NOBODY:
        break;
    }
    return chain_check_first(e);
}

/* Everything that does not depend on the kind's payload. */
static enum err check_common(struct apply *x)
{
    const struct account *a = x->a;
    const struct entry *e = x->e;
    const struct hash *id = entry_account(e);
    if (same32(id, &x->h->id))
        return ERR_AUTHORITY;
    if (slot_of(id, x->h->slots) != x->h->slot)
        return ERR_ACCOUNT_UNKNOWN;
    if (e->kind == KIND_OPEN) {
        x->capacity = AS_NOBODY;
        return a->position != 0 ? ERR_ACCOUNT_EXISTS : check_chain(x);
    }
    if (a->position == 0 || !same32(&a->id, id))
        return ERR_ACCOUNT_UNKNOWN;
    TRY(check_writer(x));
    return check_chain(x);
}

/* -- commit
 * ------------------------------------------------------------------------------ */

static bool is_by_member(const struct apply *x)
{
    return x->capacity != AS_HUB;
}

static enum err reserve(struct apply *x)
{
    struct account *a = x->a;
    bool ok = true;
    uint32_t refs = is_by_member(x) && a->ref_count < REF_WINDOW ? 1 : 0;
    ARRAY_RESERVE(a, refs, ref, refs, ok);
    if (ok)
        ARRAY_RESERVE(a, members, member, x->need.members, ok);
    if (ok)
        ARRAY_RESERVE(a, devices, device, x->need.devices, ok);
    if (ok)
        ARRAY_RESERVE(a, revoked, revoked, x->need.revoked, ok);
    if (ok)
        ARRAY_RESERVE(a, invites, invite, x->need.invites, ok);
    if (ok)
        ARRAY_RESERVE(a, nodes, node, x->need.nodes, ok);
    if (ok)
        ARRAY_RESERVE(a, splits, split, x->need.splits, ok);
    return ok ? ERR_OK : ERR_MEMORY;
}

static void refs_append(struct account *a, const struct entry *e)
{
    if (a->ref_count == REF_WINDOW) {
        memmove(a->refs, a->refs + 1, (REF_WINDOW - 1) * sizeof *a->refs);
        a->ref_count--;
    }
    a->refs[a->ref_count++] = (struct reference){.id = e->id, .lamport = e->lamport};
}

/* The writer's chain moves before the rule's own change, which may take the device away.
 */
static void advance(struct apply *x)
{
    struct account *a = x->a;
    a->position++;
    a->head = account_head_next(&a->head, x->e->envelope);
    if (x->capacity == AS_DEVICE)
        chain_advance(&a->devices[x->device].chain, x->e);
    else if (x->capacity == AS_RECOVERY)
        chain_advance(&a->recovery_chain, x->e);
    else if (x->capacity == AS_HUB)
        chain_advance(&a->hub, x->e);
    if (is_by_member(x))
        refs_append(a, x->e);
}

static void effects_clear(struct effects *fx)
{
    if (fx == NULL)
        return;
    fx->item_count = 0; /* `items` beyond the count are not read */
    fx->settles = false;
    fx->settle_source = 0;
    fx->settle_seq = 0;
    fx->bounced = false;
}

enum err account_apply(struct account *a, struct hub_account *h, const struct entry *e,
                       const struct record *r, enum view view, struct effects *fx)
{
    struct apply x = {.a = a, .h = h, .e = e, .r = r, .view = view, .fx = fx};
    effects_clear(fx);
    if (!h->open)
        return ERR_BUG;
    const struct rule *rule = rule_of(e->kind);
    if (rule == NULL)
        return ERR_RULES_AHEAD;
    if (rule->of_hub)
        return ERR_AUTHORITY;
    TRY(check_common(&x));
    UNINITIALIZED struct payload p;
    TRY(payload_decode(&p, e->kind, e->payload));
    x.p = &p;
    TRY(rule->check(&x));
    TRY(reserve(&x));
    advance(&x);
    rule->commit(&x);
    return ERR_OK;
}

static enum err hub_check_common(struct apply *x)
{
    const struct hub_account *h = x->h;
    const struct entry *e = x->e;
    if (e->kind == KIND_LOG_OPEN) {
        x->capacity = AS_NOBODY;
        return h->open ? ERR_ACCOUNT_EXISTS : chain_check_first(e);
    }
    if (!h->open || !same32(&h->id, entry_account(e)))
        return ERR_ACCOUNT_UNKNOWN;
    x->capacity = AS_HUB;
    if (!same32(&h->relay, &e->device))
        return ERR_AUTHORITY;
    return chain_check(NULL, e, &h->chain);
}

enum err hub_account_apply(struct hub_account *h, const struct entry *e,
                           const struct record *r, enum view view, struct effects *fx)
{
    struct apply x = {.h = h, .e = e, .r = r, .view = view, .fx = fx};
    effects_clear(fx);
    const struct rule *rule = rule_of(e->kind);
    if (rule == NULL)
        return ERR_RULES_AHEAD;
    if (!rule->of_hub)
        return ERR_AUTHORITY;
    TRY(hub_check_common(&x));
    UNINITIALIZED struct payload p;
    TRY(payload_decode(&p, e->kind, e->payload));
    x.p = &p;
    TRY(rule->check(&x));
    if (e->kind == KIND_LOG_OPEN && view == VIEW_SLOT)
        TRY(channels_open(h, p.log_open.hub, (uint32_t)p.log_open.slots));
    h->position++;
    h->head = account_head_next(&h->head, e->envelope);
    chain_advance(&h->chain, e);
    rule->commit(&x);
    return ERR_OK;
}
