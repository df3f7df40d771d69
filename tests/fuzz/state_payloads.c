/* Payloads for the state fuzzer: by the model's books mostly right, by choice a little
 * wrong. */
#include <string.h>

#include "fuzz.h"
#include "state_steps.h"

#define HOUR UINT64_C(3600000)

static char address[] = "mxp1qqqsyqcyq5rqwzqfpg9scrgwpugpzysn";
static char origin[KIT_ORIGIN_ROOM];

uint32_t state_number_of(const struct pubkey *key)
{
    for (uint32_t i = 0; i < STATE_KEYS; i++)
        if (pubkey_equal(&world.pubs[i], key))
            return i;
    return STATE_POOL;
}

/* A device of the account for small bytes, then a root, then any key. */
uint32_t state_any_key(struct input *in, uint32_t n)
{
    const struct model_account *a = &world.accounts[n];
    unsigned b = (unsigned)take(in, 1);
    if (b < 160)
        return state_number_of(&a->device[b % a->devices].key);
    if (b < 200)
        return state_number_of(&a->member[b % a->members].root);
    return b % STATE_KEYS;
}

static uint32_t any_root(struct input *in, uint32_t n)
{
    const struct model_account *a = &world.accounts[n];
    unsigned b = (unsigned)take(in, 1);
    if (b < 220)
        return state_number_of(&a->member[b % a->members].root);
    return b % STATE_KEYS;
}

/* A key without a role, if there is one left: byte 0 is the first such. */
static uint32_t fresh_key(struct input *in, uint32_t n)
{
    unsigned b = (unsigned)take(in, 1);
    if (b >= 200)
        return b % STATE_KEYS;
    for (uint32_t i = 0; i < STATE_KEYS - STATE_POOL; i++) {
        uint32_t k = STATE_POOL + (b + i) % (STATE_KEYS - STATE_POOL);
        if (!model_is_known(&world.accounts[n], &world.hubs[n % MODEL_SLOTS],
                            &world.pubs[k], world.time_ms))
            return k;
    }
    return STATE_POOL;
}

static struct pubkey fresh_pub(struct input *in, uint32_t n)
{
    if (take_below(in, 32) == 31)
        return model_weak[take_below(in, MODEL_WEAK)];
    return world.pubs[fresh_key(in, n)];
}

struct pubkey state_any_pub(struct input *in, uint32_t n)
{
    return world.pubs[state_any_key(in, n)];
}

/* Small, or near a limit. */
static int64_t any_amount(struct input *in)
{
    unsigned how = take_below(in, 16);
    int64_t small = 1 + (int64_t)take(in, 1);
    if (how == 0)
        return BALANCE_MAX / MODEL_SLOTS - (small - 1);
    if (how == 1)
        return INT64_MAX - (small - 1);
    if (how == 2)
        return BALANCE_MAX - (small - 1) / 2;
    return small;
}

static void transfer(struct input *in, uint32_t n, struct payload *p)
{
    unsigned count = 1 + take_below(in, 3);
    kit_transfer(p);
    for (unsigned i = 0; i < count; i++) {
        unsigned to = take_below(in, 2 * STATE_ACCOUNTS);
        struct hash payee = world.real[to % STATE_ACCOUNTS].id;
        bool twice = false;
        if (to >= STATE_ACCOUNTS)
            payee.b[9] ^= (uint8_t)(1 + i); /* nobody */
        for (unsigned j = 0; j < i && j < p->transfer.payee_count; j++)
            twice |= hash_equal(&p->transfer.payees[j].account, &payee);
        if (!twice)
            kit_pay(p, &payee, any_amount(in));
    }
    unsigned hub = take_below(in, 16);
    if (hub >= 14)
        p->transfer.payees[0].hub = hub == 15 ? bytes_of("other.test", 10)
                                              : bytes_of(STATE_HUB, strlen(STATE_HUB));
    (void)n;
}

static void terms(struct input *in, uint32_t n, struct split_terms *t)
{
    unsigned count = 1 + take_below(in, 3);
    struct pubkey payer = world.pubs[any_root(in, n)];
    int64_t sum = 0;
    kit_terms(t, &payer, 0);
    for (unsigned i = 0; i < count; i++) {
        struct pubkey root = world.pubs[any_root(in, n)];
        int64_t share = any_amount(in) - 1;
        int64_t next;
        bool twice = __builtin_add_overflow(sum, share, &next);
        for (size_t j = 0; j < t->share_count; j++)
            twice |= pubkey_equal(&t->shares[j].root, &root);
        if (twice)
            continue;
        kit_share(t, &root, share);
        sum = next;
    }
    t->amount = sum;
}

/* The terms as they were, out of the model's books. */
static void kept_terms(struct input *in, uint32_t n, struct payload *p)
{
    static struct payload old;
    const struct model_account *a = &world.accounts[n];
    if (a->splits == 0 || take_below(in, 8) == 7) {
        p->split_change.split = kit_hash(take(in, 1));
        terms(in, n, &p->split_change.old_terms);
        return;
    }
    const struct model_split *s = &a->split[take_below(in, 256) % a->splits];
    uint8_t room[MODEL_TERMS + 1];
    room[0] = 0x91; /* [terms] is the payload of a split */
    memcpy(room + 1, s->terms, s->size);
    PROPERTY(payload_decode(&old, KIND_SPLIT, bytes_of(room, s->size + 1)) == ERR_OK);
    p->split_change.split = s->id;
    p->split_change.old_terms = old.split.terms;
}

static void member_add(struct input *in, uint32_t n, struct payload *p, uint32_t *key)
{
    const struct model_account *a = &world.accounts[n];
    struct hash id = kit_hash(1);
    uint32_t invite_key = STATE_POOL;
    if (a->invites > 0) {
        const struct model_invite *i = &a->invite[take_below(in, 256) % a->invites];
        id = i->id;
        invite_key = state_number_of(&i->key);
    }
    if (take_below(in, 16) == 15)
        invite_key = state_any_key(in, n);
    uint32_t root = fresh_key(in, n);
    *key = fresh_key(in, n);
    kit_member_add(p, &a->id, &id, kit_key(invite_key), kit_key(root), &world.pubs[*key]);
}

static void rotate(struct input *in, uint32_t n, struct payload *p, uint32_t *key)
{
    const struct account *a = &world.real[n];
    uint32_t old = any_root(in, n), new_root = fresh_key(in, n);
    const struct key *by[8];
    unsigned how = take_below(in, 4), count = 0;
    if (how == 1) {
        for (uint32_t i = 0; i < a->member_count && count < 8; i++) {
            uint32_t root = state_number_of(&a->members[i].root);
            if (root != old && take_below(in, 8) != 7)
                by[count++] = kit_key(root);
        }
        kit_rotate_by_members(p, a, &world.pubs[old], kit_key(new_root), by, count);
    } else if (how == 2) {
        struct pubkey device = fresh_pub(in, n);
        kit_rotate_by_recovery(p, a, &world.pubs[old], kit_key(new_root), &device);
        if (a->has_recovery)
            *key = state_number_of(&a->recovery);
    } else {
        kit_rotate(p, a, kit_key(old), kit_key(new_root));
    }
}

static void credit(struct input *in, struct payload *p)
{
    struct channel_item item = {.amount = any_amount(in), .payee_index = 1};
    if (world.items > 0)
        item = world.item[(world.taken + take(in, 1)) % world.items];
    kit_credit(p, &item, take_below(in, 32) == 31 ? "hub.tost" : STATE_HUB, origin);
}

/* The root over the device `key`; without such a device, the first member's. */
static const struct key *root_over(uint32_t n, uint32_t key)
{
    const struct model_account *a = &world.accounts[n];
    const struct model_member *m = a->member;
    for (unsigned i = 0; i < a->devices; i++)
        for (unsigned j = 0; j < a->members; j++)
            if (pubkey_equal(&a->device[i].key, &world.pubs[key]) &&
                a->member[j].number == a->device[i].member)
                m = &a->member[j];
    return kit_key(state_number_of(&m->root));
}

static void of_members(struct input *in, uint32_t n, struct payload *p, uint32_t *key)
{
    const struct model_account *a = &world.accounts[n];
    struct pubkey pub;
    uint32_t root;
    switch (p->kind) {
    case KIND_DEVICE_ADD: {
        const struct model_device *d = &a->device[take(in, 1) % a->devices];
        const struct model_member *m = a->member;
        for (unsigned i = 0; i < a->members; i++)
            if (a->member[i].number == d->member)
                m = &a->member[i];
        unsigned how = take_below(in, 8);
        *key = state_number_of(&d->key);
        root = how == 7 ? any_root(in, n) : state_number_of(&m->root);
        pub = fresh_pub(in, n);
        kit_device_add(p, &a->id, kit_key(root), &pub, m->grants + (how == 6));
        break;
    }
    case KIND_DEVICE_REVOKE:
        pub = state_any_pub(in, n);
        kit_device_revoke(p, &pub);
        break;
    case KIND_INVITE: {
        static const uint64_t in_ms[] = {0, 1, HOUR, 30 * 24 * HOUR, 30 * 24 * HOUR + 1};
        pub = fresh_pub(in, n);
        kit_invite(p, &a->id, root_over(n, *key), &pub,
                   world.time_ms + in_ms[take_below(in, 5)]);
        break;
    }
    case KIND_MEMBER_ADD:
        member_add(in, n, p, key);
        break;
    case KIND_MEMBER_REMOVE:
        kit_member_remove(p, &world.real[n], root_over(n, *key),
                          &world.pubs[any_root(in, n)]);
        break;
    case KIND_ROOT_ROTATE:
        rotate(in, n, p, key);
        break;
    case KIND_RECOVERY_BEGIN:
        kit_recovery_begin(p);
        if (a->has_recovery && take_below(in, 8) != 7)
            *key = state_number_of(&a->recovery);
        break;
    default: {
        struct hash begin = take_below(in, 8) == 7 ? kit_hash(3) : a->begin;
        kit_recovery_cancel(p, &a->id, &begin, kit_key(any_root(in, n)));
    }
    }
}

static void of_value(struct input *in, uint32_t n, struct payload *p, uint32_t *key)
{
    const struct model_hub *h = &world.hubs[n % MODEL_SLOTS];
    struct hash node;
    switch (p->kind) {
    case KIND_TRANSFER:
        transfer(in, n, p);
        break;
    case KIND_SPLIT:
        terms(in, n, &p->split.terms);
        break;
    case KIND_SPLIT_CORRECT:
        kept_terms(in, n, p);
        terms(in, n, &p->split_change.new_terms);
        break;
    case KIND_SPLIT_VOID:
        kept_terms(in, n, p);
        break;
    case KIND_BIND:
        kit_bind(p, take_below(in, CHAINS), address + take_below(in, 20));
        break;
    case KIND_ACCRUE:
        node = kit_hash(take_below(in, 8));
        kit_accrue(p, &node, take_below(in, 16), any_amount(in));
        *key = state_number_of(&h->issuer);
        break;
    case KIND_ADJUST:
        kit_adjust(p, take_below(in, 2) ? any_amount(in) : -any_amount(in));
        *key = state_number_of(&h->issuer);
        break;
    case KIND_CREDIT:
        credit(in, p);
        *key = state_number_of(&h->relay);
        break;
    default:
        kit_note(p, "note", take_below(in, 5));
    }
}

void state_payload(struct input *in, uint32_t n, uint64_t kind, struct payload *p,
                   uint32_t *key)
{
    *key = state_any_key(in, n);
    p->kind = kind;
    if (kind >= KIND_DEVICE_ADD && kind <= KIND_RECOVERY_CANCEL)
        of_members(in, n, p, key);
    else
        of_value(in, n, p, key);
    p->kind = kind;
}
