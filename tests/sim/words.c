/* What a device writes: any kind there is, made so that it fits its account as the hub
 * has it now, or nearly. */
#include <string.h>

#include "town.h"

#define NOTE_SIZE_MAX 9000
#define DAY_MS UINT64_C(86400000)

/* Someone about to write. */
struct writing {
    struct world *w;
    struct town *t;
    struct peer *p;
    struct group *g;
    const struct account *a; /* NULL: not known now */
    const struct hub_account *h;
    const struct member *m; /* whose device it is */
    const struct key *root;
    uint32_t adds;
};

static void keep(struct writing *x)
{
    struct peer *p = x->p;
    uint32_t n = peer_write(x->w, p, &p->now.chain);
    const struct entry *e = &x->t->entry.e;
    x->t->entries[n].adds = x->adds;
    p->now.window[p->now.window_count++] = n;
    p->now.chain =
        (struct chain){.next_seq = e->seq + 1, .tip = e->id, .tip_lamport = e->lamport};
    peer_submit(x->w, p, &n, 1);
}

static void fill_note(struct world *w, struct town *t, uint32_t size_max)
{
    static uint8_t data[NOTE_SIZE_MAX];
    uint32_t size = draw(w, size_max);
    memset(data, (int)draw(w, 256), size);
    kit_note(&t->payload, data, size);
}

void words_note(struct world *w, struct peer *p, uint32_t size_max)
{
    struct town *t = town_of(w);
    struct writing x = {.w = w, .t = t, .p = p};
    fill_note(w, t, size_max);
    keep(&x);
}

/* ---- money ---- */

static bool write_transfer(struct writing *x)
{
    struct world *w = x->w;
    struct town *t = x->t;
    struct payload *p = &t->payload;
    uint32_t payees = 1 + draw(w, draw(w, 20) == 0 ? 12 : 3);
    int64_t rich = x->a == NULL ? 100 : x->a->balance;
    kit_transfer(p);
    for (uint32_t i = 0; i < payees; i++) {
        const struct group *to = &t->groups[(x->p->group + 1 + i) % t->group_count];
        struct hash nobody = kit_hash(rng_next(&w->rng));
        bool known = i < t->group_count - 1 && draw(w, 10) > 0;
        int64_t amount = 1 + (int64_t)draw(w, 60);
        if (payees == 1 && draw(w, 6) == 0) /* all there is, or a little more */
            amount = rich + (int64_t)draw(w, 3) - (rich > 0 ? 1 : 0);
        kit_pay(p, known ? &to->id : &nobody, amount < 1 ? 1 : amount);
    }
    return true;
}

static bool write_bind(struct writing *x)
{
    kit_bind(&x->t->payload, draw(x->w, 10), "k:somewhere");
    return true;
}

/* ---- who belongs to it ---- */

static bool write_device_add(struct writing *x)
{
    if (x->root == NULL)
        return false;
    x->adds = fresh_key(x->t);
    struct pubkey device = pub_at(x->adds);
    kit_device_add(&x->t->payload, &x->g->id, x->root, &device, x->m->grants);
    return true;
}

static bool write_device_revoke(struct writing *x)
{
    if (x->a == NULL || x->a->device_count == 0 || x->g->plan == PLAN_DEVICES)
        return false;
    const struct device *d = &x->a->devices[draw(x->w, x->a->device_count)];
    kit_device_revoke(&x->t->payload, &d->key);
    return true;
}

static bool write_invite(struct writing *x)
{
    if (x->root == NULL)
        return false;
    struct pubkey key = pub_at(fresh_key(x->t));
    bool brief = x->g->plan == PLAN_NONE && draw(x->w, 3) == 0;
    uint64_t for_ms = brief ? 200 + draw(x->w, 8000) : DAY_MS * (1 + draw(x->w, 29));
    kit_invite(&x->t->payload, &x->g->id, x->root, &key,
               site_wall_ms(x->w, x->p->site) + for_ms);
    return true;
}

/* Somebody new joins by an open invite; he writes for himself. */
static bool join(struct writing *x)
{
    struct town *t = x->t;
    if (x->a == NULL || x->a->invite_count == 0 ||
        (t->peer_count >= t->peers_max && x->g->plan != PLAN_MEMBERS) ||
        x->w->actor_count + 8 >= ACTORS_MAX)
        return false;
    const struct invite *v = &x->a->invites[draw(x->w, x->a->invite_count)];
    const struct key *invite_key = key_of(&v->key);
    if (invite_key == NULL)
        return false;
    uint32_t root = fresh_key(t), device = fresh_key(t);
    struct pubkey pub = pub_at(device);
    struct hash id = v->id;
    uint64_t lamport = v->lamport;
    struct peer *p = peer_add(x->w, x->p->site, x->p->group, device);
    p->now.chain = (struct chain){.next_seq = 0, .tip = id, .tip_lamport = lamport};
    kit_member_add(&t->payload, &x->g->id, &id, invite_key, key_at(root), &pub);
    struct writing y = {.w = x->w, .t = t, .p = p, .g = x->g};
    keep(&y);
    if (x->g->plan == PLAN_MEMBERS)
        p->think_ms = 3000; /* there will be many of them */
    return true;
}

static bool write_member_remove(struct writing *x)
{
    if (x->root == NULL || x->g->plan == PLAN_MEMBERS)
        return false;
    const struct member *m = &x->a->members[draw(x->w, x->a->member_count)];
    kit_member_remove(&x->t->payload, x->a, x->root, &m->root);
    return true;
}

/* By the old root, or by the other members. */
static bool write_rotate(struct writing *x)
{
    struct payload *p = &x->t->payload;
    const struct account *a = x->a;
    if (x->root == NULL)
        return false;
    uint32_t key = fresh_key(x->t);
    if (a->member_count < 3 || a->member_count > 12 || draw(x->w, 2) == 0) {
        kit_rotate(p, a, x->root, key_at(key));
        return true;
    }
    const struct key *others[16];
    size_t count = 0;
    const struct member *of = &a->members[draw(x->w, a->member_count)];
    for (uint32_t i = 0; i < a->member_count; i++) {
        const struct key *k = key_of(&a->members[i].root);
        if (&a->members[i] != of && k != NULL && draw(x->w, 6) > 0)
            others[count++] = k;
    }
    kit_rotate_by_members(p, a, &of->root, key_at(key), others, count);
    return true;
}

static bool write_cancel(struct writing *x)
{
    if (x->root == NULL || (!x->a->recovery_pending && draw(x->w, 4) > 0))
        return false;
    struct hash begin =
        x->a->recovery_pending ? x->a->recovery_begin : kit_hash(draw(x->w, 100));
    kit_recovery_cancel(&x->t->payload, &x->g->id, &begin, x->root);
    return true;
}

/* The recovery key: begins, and later ends it with a new root and device. */
static bool write_recovery(struct writing *x)
{
    const struct account *a = x->a;
    if (a == NULL || draw(x->w, 3) == 0) {
        kit_recovery_begin(&x->t->payload);
        return true;
    }
    if (!a->recovery_pending && draw(x->w, 3) > 0) {
        kit_recovery_begin(&x->t->payload);
        return true;
    }
    uint32_t root = fresh_key(x->t);
    x->adds = fresh_key(x->t);
    struct pubkey device = pub_at(x->adds);
    kit_rotate_by_recovery(&x->t->payload, a, &a->members[0].root, key_at(root), &device);
    return true;
}

/* ---- splits ---- */

static void terms_of(struct split_terms *out, const struct split_made *s)
{
    kit_terms(out, &s->payer, s->amount);
    for (uint32_t i = 0; i < s->count; i++)
        kit_share(out, &s->roots[i], s->shares[i]);
}

static void draw_terms(struct writing *x, struct split_made *s)
{
    const struct account *a = x->a;
    *s = (struct split_made){.payer = a->members[draw(x->w, a->member_count)].root};
    for (uint32_t i = 0; i < a->member_count && s->count < SPLIT_SHARES; i++) {
        s->roots[s->count] = a->members[i].root;
        s->shares[s->count] = 1 + (int64_t)draw(x->w, 50);
        s->amount += s->shares[s->count++];
    }
}

static bool write_split(struct writing *x)
{
    struct group *g = x->g;
    if (x->a == NULL)
        return false;
    struct split_made *s = &g->splits[g->split_count++ % SPLITS_KEPT];
    draw_terms(x, s);
    x->t->payload.kind = KIND_SPLIT;
    terms_of(&x->t->payload.split.terms, s);
    keep(x);
    s->id = x->t->entry.e.id;
    return false; /* it is written */
}

static bool write_split_change(struct writing *x, bool correct)
{
    struct group *g = x->g;
    if (x->a == NULL || g->split_count == 0)
        return false;
    size_t have = g->split_count < SPLITS_KEPT ? g->split_count : SPLITS_KEPT;
    struct split_made *s = &g->splits[draw(x->w, (uint32_t)have)];
    struct p_split_change *p = &x->t->payload.split_change;
    p->split = s->id;
    terms_of(&p->old_terms, s);
    x->t->payload.kind = correct ? KIND_SPLIT_CORRECT : KIND_SPLIT_VOID;
    if (correct) {
        struct split_made now;
        draw_terms(x, &now);
        now.id = s->id;
        terms_of(&p->new_terms, &now);
        *s = now;
    }
    return true;
}

/* ---- choosing ---- */

static bool write_kind(struct writing *x, uint64_t kind)
{
    switch (kind) {
    case KIND_DEVICE_ADD:
        return write_device_add(x);
    case KIND_DEVICE_REVOKE:
        return write_device_revoke(x);
    case KIND_INVITE:
        return write_invite(x);
    case KIND_MEMBER_ADD:
        join(x);
        return false; /* the newcomer wrote it */
    case KIND_MEMBER_REMOVE:
        return write_member_remove(x);
    case KIND_ROOT_ROTATE:
        return write_rotate(x);
    case KIND_RECOVERY_CANCEL:
        return write_cancel(x);
    case KIND_TRANSFER:
        return write_transfer(x);
    case KIND_SPLIT:
        return write_split(x);
    case KIND_SPLIT_CORRECT:
    case KIND_SPLIT_VOID:
        return write_split_change(x, kind == KIND_SPLIT_CORRECT);
    case KIND_BIND:
        return write_bind(x);
    case KIND_NOTE:
        fill_note(x->w, x->t, draw(x->w, 30) == 0 ? NOTE_SIZE_MAX : 200);
        return true;
    default:
        return false;
    }
}

/* An account that is after a limit does little else. */
static uint64_t kind_of_plan(struct writing *x)
{
    uint32_t dice = draw(x->w, 4);
    if (dice == 0)
        return 0;
    switch (x->g->plan) {
    case PLAN_DEVICES:
        return KIND_DEVICE_ADD;
    case PLAN_INVITES:
        return KIND_INVITE;
    case PLAN_MEMBERS:
        return x->a != NULL && x->a->invite_count > draw(x->w, 12) ? KIND_MEMBER_ADD
                                                                   : KIND_INVITE;
    default:
        return 0;
    }
}

static uint64_t draw_kind(struct writing *x)
{
    const uint32_t *weights = x->t->weights;
    uint32_t sum = 0;
    for (unsigned k = 0; k < 16; k++)
        sum += weights[k];
    uint32_t dice = draw(x->w, sum);
    for (unsigned k = 0; k < 16; k++) {
        if (dice < weights[k])
            return k;
        dice -= weights[k];
    }
    return KIND_NOTE;
}

void words_write(struct world *w, struct peer *p)
{
    struct town *t = town_of(w);
    struct writing x = {.w = w, .t = t, .p = p, .g = &t->groups[p->group]};
    struct pubkey me = pub_at(p->key);
    struct slotlog *log = log_now(p->site, &x.g->id);
    x.a = account_now(p->site, &x.g->id);
    if (x.a != NULL) {
        x.h = &log->hub;
        x.m = account_member_of(x.a, &me);
        x.root = x.m == NULL ? NULL : key_of(&x.m->root);
    }
    bool ready;
    if (p->is_recovery) {
        ready = write_recovery(&x);
    } else {
        uint64_t kind = kind_of_plan(&x);
        ready = write_kind(&x, kind != 0 ? kind : draw_kind(&x));
    }
    if (ready)
        keep(&x);
}
