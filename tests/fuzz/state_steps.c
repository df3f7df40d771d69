/* Steps of the state fuzzer: build an entry on the model's idea of the writer's chain,
 * twist it by choice, sign it, and have both worlds apply it. */
#include "state_steps.h"

#include <string.h>

#include "fuzz.h"

static struct kit_entry built;
static struct payload payload;
static uint8_t room[8192];

/* Sign, decode, remember. False: the codec refuses it, which other fuzzers look at. */
static bool build(struct entry_draft *d, const struct payload *p, uint32_t key,
                  uint32_t n)
{
    struct mp_writer w = mp_writer_of(room, sizeof room);
    payload_encode(&w, p);
    d->kind = p->kind;
    d->payload = bytes_of(room, w.size);
    if (w.full || entry_build(d, kit_key(key), built.bytes, sizeof built.bytes,
                              &built.size) != ERR_OK)
        return false;
    PROPERTY(entry_decode(&built.e, built.bytes, built.size) == ERR_OK);
    if (built.size <= sizeof world.entry[0].bytes) {
        unsigned at = world.kept++ % STATE_KEPT;
        world.entry[at].account = n;
        world.entry[at].size = built.size;
        memcpy(world.entry[at].bytes, built.bytes, built.size);
    }
    return true;
}

static const struct model_chain *chain_of(uint32_t n, uint64_t kind, uint32_t key)
{
    struct model_account *a = &world.accounts[n];
    const struct pubkey *pub = &world.pubs[key];
    if (kind == KIND_ACCRUE || kind == KIND_ADJUST || kind == KIND_CREDIT)
        return &a->hub_chain;
    if (a->has_recovery && pubkey_equal(&a->recovery, pub))
        return &a->recovery_chain;
    for (unsigned i = 0; i < a->devices; i++)
        if (pubkey_equal(&a->device[i].key, pub))
            return &a->device[i].chain;
    return NULL;
}

/* Up to three of the newest 70 entries; the Lamport number follows them. */
static void add_refs(struct input *in, uint32_t n, struct entry_draft *d,
                     struct hash refs[3], uint64_t *newest)
{
    const struct model_account *a = &world.accounts[n];
    unsigned count = take_below(in, 4);
    for (unsigned i = 0; i < count; i++) {
        const struct reference *r = &a->ref[a->refs - 1 - take_below(in, 70) % a->refs];
        unsigned at = d->ref_count;
        bool twice = hash_equal(&r->id, d->prev);
        for (unsigned j = 0; j < d->ref_count; j++)
            twice |= hash_equal(&refs[j], &r->id);
        if (twice)
            continue;
        for (d->ref_count++; at > 0 && hash_compare(&refs[at - 1], &r->id) > 0; at--)
            refs[at] = refs[at - 1];
        refs[at] = r->id;
        *newest = r->lamport > *newest ? r->lamport : *newest;
    }
}

static void twist(struct input *in, struct entry_draft *d, struct hash *account,
                  struct hash *prev, struct hash refs[3])
{
    switch (take_below(in, 64)) {
    case 1:
        d->seq++;
        break;
    case 2:
        d->seq -= d->seq > 0;
        break;
    case 3:
        prev->b[take_below(in, 32)] ^= 1;
        break;
    case 4:
        d->lamport++;
        break;
    case 5:
        d->lamport -= d->lamport > 1;
        break;
    case 6:
        account->b[31] ^= 1; /* an account of this slot that nobody opened */
        break;
    case 7:
        account->b[0] ^= 0x80; /* of the other slot */
        break;
    case 8:
        *account = world.hubs[take_below(in, MODEL_SLOTS)].id;
        break;
    case 9:
        if (d->ref_count > 0)
            refs[d->ref_count - 1].b[31] ^= 1;
        break;
    default:
        break;
    }
}

/* A signature inside the payload with a bit flipped. */
static void spoil(struct input *in, struct payload *p)
{
    if (take_below(in, 32) != 31)
        return;
    unsigned at = take_below(in, SIG_BYTES);
    if (p->kind == KIND_DEVICE_ADD)
        p->device_add.root_sig.b[at] ^= 1;
    else if (p->kind == KIND_INVITE)
        p->invite.root_sig.b[at] ^= 1;
    else if (p->kind == KIND_MEMBER_REMOVE)
        p->member_remove.root_sig.b[at] ^= 1;
    else if (p->kind == KIND_MEMBER_ADD && at & 1)
        p->member_add.root_sig.b[at] ^= 1;
    else if (p->kind == KIND_MEMBER_ADD)
        p->member_add.invite_sig.b[at] ^= 1;
    else if (p->kind == KIND_ROOT_ROTATE && p->root_rotate.proof_count > 0 && at & 1)
        p->root_rotate.proofs[p->root_rotate.proof_count - 1].sig.b[at] ^= 1;
    else if (p->kind == KIND_ROOT_ROTATE && p->root_rotate.has_device && at & 2)
        p->root_rotate.grant_sig.b[at] ^= 1;
    else if (p->kind == KIND_ROOT_ROTATE)
        p->root_rotate.new_sig.b[at] ^= 1;
    else if (p->kind == KIND_RECOVERY_CANCEL)
        p->recovery_cancel.root_sig.b[at] ^= 1;
    else if (p->kind == KIND_HUB_KEY && at & 1)
        p->hub_key.old_sig.b[at] ^= 1;
    else if (p->kind == KIND_HUB_KEY)
        p->hub_key.new_sig.b[at] ^= 1;
}

static void write_entry(struct input *in, uint64_t kind)
{
    uint32_t n = take_below(in, STATE_ACCOUNTS), key;
    const struct model_account *a = &world.accounts[n];
    struct hash account = a->id, prev = a->id, refs[3];
    uint64_t newest = 1;
    state_payload(in, n, kind, &payload, &key);
    spoil(in, &payload);
    struct entry_draft d = {.account = &account, .prev = &prev, .refs = refs};
    const struct model_chain *c = chain_of(n, kind, key);
    if (kind == KIND_MEMBER_ADD && a->invites > 0) {
        const struct model_invite *i = &a->invite[take(in, 1) % a->invites];
        prev = i->id;
        newest = i->lamport;
    } else if (c) {
        d.seq = c->next;
        prev = c->tip;
        newest = c->lamport;
    }
    if (kind != KIND_ACCRUE && kind != KIND_ADJUST && kind != KIND_CREDIT)
        add_refs(in, n, &d, refs, &newest);
    d.lamport = newest + 1;
    twist(in, &d, &account, &prev, refs);
    if (!build(&d, &payload, key, n))
        return;
    if (take_below(in, 64) == 63)
        (void)state_apply_hub(n % MODEL_SLOTS, &built.e); /* the wrong door */
    else if (state_apply(n, &built.e) == ERR_OK && kind == KIND_CREDIT)
        world.taken++;
}

/* Open an account that is open, or one whose payload is wrong, from any key. */
static void write_open(struct input *in)
{
    uint32_t n = take_below(in, STATE_ACCOUNTS);
    struct kit_open o = {.federation = kit_hash(take_below(in, 8) == 7 ? 8 : 7),
                         .hub = take_below(in, 8) == 7 ? "hub.tost" : STATE_HUB,
                         .root = kit_key(take_below(in, STATE_KEYS)),
                         .device = kit_key(take_below(in, STATE_KEYS)),
                         .residency = take_below(in, 2),
                         .nonce = take_below(in, 4)};
    if (take_below(in, 2))
        o.recovery = kit_key(take_below(in, STATE_KEYS));
    kit_open(&built, &o);
    struct account real;
    static struct model_account model;
    struct effects *fx = calloc(1, sizeof *fx);
    static struct model_effects model_fx;
    PROPERTY(fx != NULL);
    uint32_t slot = n % MODEL_SLOTS;
    struct record r = {.slot = slot, .hub_time_ms = world.time_ms};
    account_init(&real, &alloc_heap);
    model = (struct model_account){0};
    enum err ours =
        account_apply(&real, &world.real_hubs[slot], &built.e, &r, VIEW_SLOT, fx);
    enum err expected =
        model_apply(&model, &world.hubs[slot], &built.e, world.time_ms, &model_fx);
    PROPERTY(ours == expected);
    model_compare(&model, &real);
    account_close(&real);
    free(fx);
    (void)state_apply(n, &built.e); /* and into one that is open */
}

/* A record of the hub account: keys, rules, a bounce. */
static void write_hub_entry(struct input *in)
{
    uint32_t slot = take_below(in, MODEL_SLOTS);
    const struct model_hub *h = &world.hubs[slot];
    struct hash account = h->id, prev = h->chain.tip, refs[3];
    static char origin[KIT_ORIGIN_ROOM];
    unsigned what = take_below(in, 4), role = take_below(in, 3);
    uint32_t key = state_number_of(&h->relay);
    if (what == 0) {
        const struct pubkey *old[3] = {&h->issuer, &h->relay, &h->log};
        uint32_t old_key = state_number_of(old[take_below(in, 16) == 15 ? 0 : role]);
        kit_hub_key(&payload, &world.real_hubs[slot], (enum hub_role)role,
                    kit_key(old_key), kit_key(1 + take_below(in, STATE_POOL + 4)));
    } else if (what == 1) {
        payload.kind = KIND_RULES;
        payload.rules.version = take_below(in, 4);
    } else {
        struct channel_item item = {.amount = 5};
        if (world.items > 0)
            item = world.item[(world.taken + take(in, 1)) % world.items];
        kit_bounce(&payload, &item, STATE_HUB, (enum bounce_reason)take_below(in, 3),
                   origin);
    }
    spoil(in, &payload);
    if (take_below(in, 16) == 15)
        key = take_below(in, STATE_KEYS);
    struct entry_draft d = {.account = &account,
                            .prev = &prev,
                            .refs = refs,
                            .seq = h->chain.next,
                            .lamport = h->chain.lamport + 1};
    twist(in, &d, &account, &prev, refs);
    if (!build(&d, &payload, key, slot))
        return;
    if (state_apply_hub(slot, &built.e) == ERR_OK && payload.kind == KIND_BOUNCE)
        world.taken++;
    if (take_below(in, 16) == 15)
        (void)state_apply(slot, &built.e); /* the wrong door */
}

/* An entry seen before, byte for byte. */
static void show_again(struct input *in)
{
    struct entry e;
    if (world.kept == 0)
        return;
    unsigned at =
        take_below(in, STATE_KEPT) % (world.kept < STATE_KEPT ? world.kept : STATE_KEPT);
    PROPERTY(entry_decode(&e, world.entry[at].bytes, world.entry[at].size) == ERR_OK);
    (void)state_apply(world.entry[at].account, &e);
}

bool state_step(struct input *in)
{
    static const uint8_t kinds[] = {
        KIND_DEVICE_ADD,    KIND_DEVICE_REVOKE, KIND_INVITE,         KIND_MEMBER_ADD,
        KIND_MEMBER_REMOVE, KIND_ROOT_ROTATE,   KIND_RECOVERY_BEGIN, KIND_RECOVERY_CANCEL,
        KIND_TRANSFER,      KIND_SPLIT,         KIND_SPLIT_CORRECT,  KIND_SPLIT_VOID,
        KIND_BIND,          KIND_NOTE,          KIND_ACCRUE,         KIND_ADJUST,
        KIND_CREDIT};
    static const uint64_t waits[] = {
        0, 1, 1000, 3600000, 86400000, 259199999, 259200000, UINT64_C(2592000000)};
    unsigned op = take_below(in, 32);
    if (op < sizeof kinds) {
        write_entry(in, kinds[op]);
        return true;
    }
    switch (op) {
    case 17:
        world.time_ms += waits[take_below(in, 8)];
        return true;
    case 18:
        write_open(in);
        return true;
    case 19:
    case 20:
        write_hub_entry(in);
        return true;
    case 21:
        show_again(in);
        return true;
    case 22:
        return false;
    case 23:
    case 24:
    case 25:
        write_entry(in, KIND_CREDIT);
        return true;
    case 26:
        world.taken = world.items ? (world.taken + 1) % world.items : 0;
        return true;
    default:
        write_entry(in, kinds[op % 10]);
        return true;
    }
}
