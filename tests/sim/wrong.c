/* What nobody should write: an entry for every way to be refused. `never` says why it
 * must not be in a log; where it is NULL the entry might come to be allowed by the time
 * it arrives. */
#include <string.h>

#include "crypto/context.h"
#include "ledger/mp.h"
#include "town.h"

#define RAW_BYTES (1u << 17)

/* An entry written field by field, with no one to check it. */
struct probe {
    struct world *w;
    struct town *t;
    struct peer *p;
    const struct account *a;
    const struct hub_account *h;
    const struct member *m;
    const struct key *root;
    struct chain on;
    /* the fields */
    uint64_t version, kind, lamport, seq;
    const struct hash *account;
    struct hash some;
    const struct key *writer;
    struct hash prev;
    unsigned ref_count;
    struct hash refs[4];
    bool own_payload; /* `room` holds the payload, else t->payload is encoded */
    struct mp_writer payload;
    bool bad_signature;
    const char *never;
};

static uint8_t payload_room[RAW_BYTES], room[RAW_BYTES];

static uint32_t send_bytes(struct probe *x, const uint8_t *bytes, size_t size)
{
    uint32_t n = entry_keep(x->t, bytes, size);
    struct sim_entry *e = &x->t->entries[n];
    if (e->never == NULL && !e->acked)
        e->never = x->never;
    e->before = x->on;
    say(x->w, "%s tries #%u, a %s%s%s", x->p->actor.name, n, kind_word(x->kind),
        x->never == NULL ? "" : ": ", x->never == NULL ? "" : x->never);
    peer_submit(x->w, x->p, &n, 1);
    return n;
}

static void send_raw(struct probe *x)
{
    if (!x->own_payload) {
        x->payload = mp_writer_of(payload_room, sizeof payload_room);
        payload_encode(&x->payload, &x->t->payload);
        x->kind = x->t->payload.kind;
    }
    struct pubkey device = key_public(x->writer);
    struct mp_writer m = mp_writer_of(room, sizeof room);
    mp_array(&m, 11);
    mp_uint(&m, x->version);
    if (x->account == NULL)
        mp_nil(&m);
    else
        mp_bin(&m, x->account->b, sizeof x->account->b);
    mp_bin(&m, device.b, sizeof device.b);
    mp_uint(&m, x->seq);
    if (x->account == NULL)
        mp_nil(&m);
    else
        mp_bin(&m, x->prev.b, sizeof x->prev.b);
    mp_array(&m, x->ref_count);
    for (unsigned i = 0; i < x->ref_count; i++)
        mp_bin(&m, x->refs[i].b, sizeof x->refs[i].b);
    mp_uint(&m, x->lamport);
    mp_uint(&m, site_wall_ms(x->w, x->p->site));
    mp_uint(&m, x->kind);
    mp_raw(&m, payload_room, x->payload.size);
    mp_nil(&m);
    size_t body = m.size > SIG_MESSAGE_BYTES_MAX ? SIG_MESSAGE_BYTES_MAX : m.size;
    struct signature sig = key_sign(x->writer, CTX_ENTRY, room, body);
    if (x->bad_signature)
        sig.b[draw(x->w, sizeof sig.b)] ^= 1;
    mp_raw(&m, sig.b, sizeof sig.b);
    send_bytes(x, room, m.size);
}

static void own_payload(struct probe *x, uint64_t kind)
{
    x->own_payload = true;
    x->kind = kind;
    x->payload = mp_writer_of(payload_room, sizeof payload_room);
}

static void note(struct probe *x)
{
    kit_note(&x->t->payload, "wrong", 5);
}

/* ---- form ---- */

static void p_malformed(struct probe *x)
{
    note(x);
    kit_sign(&x->t->entry,
             &(struct entry_draft){.account = x->account,
                                   .prev = &x->prev,
                                   .seq = x->seq,
                                   .lamport = x->lamport},
             &x->t->payload, x->writer);
    x->never = "it is cut short";
    send_bytes(x, x->t->entry.bytes, 65 + draw(x->w, (uint32_t)x->t->entry.size - 65));
}

static void p_too_large(struct probe *x)
{
    memset(room, 0xc0, sizeof room);
    x->never = "it is too long";
    send_bytes(x, room, 65472 + draw(x->w, 1000));
}

static void p_version(struct probe *x)
{
    x->version = 2;
    x->never = "it is of another version";
    note(x);
    send_raw(x);
}

static void p_kind(struct probe *x)
{
    static const uint64_t kinds[] = {77, 64, 65, 66, 67, 68};
    own_payload(x, kinds[draw(x->w, 6)]);
    mp_array(&x->payload, 0);
    x->never = "there is no such kind";
    send_raw(x);
}

static void p_payload(struct probe *x)
{
    own_payload(x, 1 + draw(x->w, 15));
    mp_array(&x->payload, 1);
    mp_bool(&x->payload, true);
    if (x->kind == KIND_OPEN)
        x->account = NULL, x->seq = 0, x->lamport = 1;
    x->never = "its payload is of another kind";
    send_raw(x);
}

static void p_signature(struct probe *x)
{
    note(x);
    x->bad_signature = true;
    x->never = "its signature is false";
    send_raw(x);
}

static void p_refs_order(struct probe *x)
{
    note(x);
    x->ref_count = 2;
    x->refs[0] = x->refs[1] = x->some;
    x->never = "its refs are out of order";
    send_raw(x);
}

/* ---- chains ---- */

static void p_account_unknown(struct probe *x)
{
    note(x);
    x->account = &x->some;
    x->never = "there is no such account";
    send_raw(x);
}

static void p_device_unknown(struct probe *x)
{
    note(x);
    x->writer = key_at(fresh_key(x->t));
    x->seq = 0;
    x->never = "a stranger wrote it";
    send_raw(x);
}

static void p_gap(struct probe *x)
{
    note(x);
    x->seq += 3 + draw(x->w, 5);
    x->prev = x->some;
    x->never = "nothing comes before it";
    send_raw(x);
}

static void p_seq_taken(struct probe *x)
{
    note(x);
    x->seq = x->seq > 0 ? draw(x->w, (uint32_t)x->seq) : 0;
    x->prev = x->some;
    x->never = "its seq is taken";
    send_raw(x);
}

static void p_prev(struct probe *x)
{
    note(x);
    x->prev = x->some;
    x->never = "it follows nothing";
    send_raw(x);
}

static void p_lamport(struct probe *x)
{
    note(x);
    x->lamport += 1 + draw(x->w, 1000);
    x->never = "its clock is inflated";
    send_raw(x);
}

static void p_ref_unknown(struct probe *x)
{
    note(x);
    x->ref_count = 1;
    x->refs[0] = x->some;
    x->never = "it refers to nothing";
    send_raw(x);
}

static void p_authority(struct probe *x)
{
    struct payload *p = &x->t->payload;
    uint32_t dice = draw(x->w, 4);
    if (dice == 0)
        kit_accrue(p, &x->some, 1, 1000);
    else if (dice == 1)
        kit_adjust(p, 1000);
    else if (dice == 2)
        kit_recovery_begin(p);
    else
        p->kind = KIND_RULES, p->rules.version = 2;
    if (dice == 3)
        x->account = &x->h->id;
    x->never = "a device may not write that";
    send_raw(x);
}

/* A credit, a bounce, a log_open: only a relay writes those, and not over the wire. */
static void p_credit(struct probe *x)
{
    char origin[KIT_ORIGIN_ROOM];
    struct channel_item item = {.cause = x->some, .payee = *x->account, .amount = 5};
    kit_credit(&x->t->payload, &item, x->p->site->name, origin);
    x->never = "nobody but a relay writes credits";
    send_raw(x);
}

/* ---- opening ---- */

static void p_open(struct probe *x)
{
    static const uint8_t weak[32] = {1};
    struct kit_open o = {.federation = x->p->site->federation,
                         .hub = x->p->site->name,
                         .root = key_at(fresh_key(x->t)),
                         .device = key_at(fresh_key(x->t)),
                         .nonce = rng_next(&x->w->rng)};
    uint32_t dice = draw(x->w, 3);
    if (dice == 0)
        o.hub = "elsewhere.test";
    kit_open(&x->t->entry, &o);
    x->kind = KIND_OPEN;
    x->never = "an account of nobody";
    struct payload *p = &x->t->payload;
    if (payload_decode(p, KIND_OPEN, x->t->entry.e.payload) != ERR_OK)
        fail(x->w, "an open does not decode");
    if (dice == 1)
        p->open.root_sig.b[7] ^= 1;
    if (dice == 2)
        memcpy(p->open.root.b, weak, sizeof weak);
    x->account = NULL;
    x->seq = 0;
    x->lamport = 1;
    x->writer = o.device;
    send_raw(x);
}

/* ---- who belongs to it ---- */

static void p_device_add(struct probe *x)
{
    static const struct pubkey weak = {{1}};
    struct payload *p = &x->t->payload;
    struct pubkey fresh = pub_at(fresh_key(x->t)), key = fresh;
    uint32_t dice = draw(x->w, 6);
    uint64_t grant = x->m->grants;
    if (dice == 0)
        key = weak, x->never = "its key is weak";
    else if (dice == 1)
        key = x->m->root, x->never = "its key has a role";
    else if (dice == 2)
        key = key_public(x->writer), x->never = "its key is a device";
    else if (dice == 3)
        grant += 5;
    kit_device_add(p, x->account, x->root, &key, grant);
    if (dice == 4)
        p->device_add.root_sig.b[3] ^= 1, x->never = "the root did not sign";
    if (dice == 5)
        p->device_add.root = fresh, x->never = "there is no such member";
    send_raw(x);
}

static void p_device_revoke(struct probe *x)
{
    struct pubkey fresh = pub_at(fresh_key(x->t));
    bool stranger = draw(x->w, 2) == 0;
    if (!stranger && x->a->revoked_count > 0)
        kit_device_revoke(&x->t->payload, &x->a->revoked[0]);
    else
        kit_device_revoke(&x->t->payload, &fresh);
    x->never = "it revokes what is no device";
    send_raw(x);
}

static void p_invite(struct probe *x)
{
    static const struct pubkey weak = {{1}};
    uint64_t now = site_wall_ms(x->w, x->p->site);
    struct pubkey fresh = pub_at(fresh_key(x->t));
    uint32_t dice = draw(x->w, 4);
    uint64_t until = now + 100000;
    if (dice == 0)
        until = 1000;
    else if (dice == 1)
        until = now + 40 * UINT64_C(86400000) * 1000;
    kit_invite(&x->t->payload, x->account, dice == 3 ? x->writer : x->root,
               dice == 2 ? &weak : &fresh, until); /* 3: the device signs, no root */
    x->never = "an invite that cannot be";
    send_raw(x);
}

/* Joining: by a wrong invite, with a wrong signature, as somebody who is there. */
static void p_join(struct probe *x)
{
    struct payload *p = &x->t->payload;
    const struct key *device = key_at(fresh_key(x->t));
    struct pubkey pub = key_public(device);
    const struct key *root = key_at(fresh_key(x->t)), *invite_key = root;
    const struct invite *v = NULL;
    uint32_t dice = draw(x->w, 4);
    if (x->a->invite_count > 0) {
        v = &x->a->invites[draw(x->w, x->a->invite_count)];
        invite_key = key_of(&v->key);
    }
    struct hash id = v == NULL || invite_key == NULL ? x->some : v->id;
    if (invite_key == NULL)
        invite_key = root;
    if (dice == 0)
        root = x->root;
    kit_member_add(p, x->account, &id, invite_key, root, &pub);
    if (dice == 1)
        p->member_add.invite_sig.b[9] ^= 1;
    if (dice == 2)
        p->member_add.root_sig.b[9] ^= 1;
    if (dice == 1 || dice == 2) /* a member's root may be free by the time it comes */
        x->never = "somebody joins who may not";
    x->writer = device;
    x->seq = 0;
    x->prev = id;
    x->lamport = v == NULL ? 2 : v->lamport + 1;
    if (dice != 3 || v == NULL)
        send_raw(x);
}

static void p_member_remove(struct probe *x)
{
    struct pubkey fresh = pub_at(fresh_key(x->t));
    const struct pubkey *root = &fresh;
    bool self = draw(x->w, 2) == 0 && x->a->member_count == 1;
    if (self)
        root = &x->m->root;
    else
        x->never = "there is no such member";
    kit_member_remove(&x->t->payload, x->a, x->root, root);
    if (!self && draw(x->w, 2) == 0) { /* the device takes its own member away */
        kit_member_remove(&x->t->payload, x->a, x->writer, &x->m->root);
        x->never = "the root did not sign";
    }
    send_raw(x);
}

static void p_rotate(struct probe *x)
{
    struct payload *p = &x->t->payload;
    const struct key *fresh = key_at(fresh_key(x->t));
    if (draw(x->w, 2) == 0) {
        const struct key *one[] = {fresh};
        kit_rotate_by_members(p, x->a, &x->m->root, fresh, one, 1);
        x->never = "one stranger is not enough";
    } else {
        kit_rotate(p, x->a, x->root, fresh);
        p->root_rotate.new_sig.b[5] ^= 1;
        x->never = "the new root did not sign";
    }
    send_raw(x);
}

static void p_cancel(struct probe *x)
{
    kit_recovery_cancel(&x->t->payload, x->account, &x->some, x->root);
    x->never = "it cancels nothing";
    send_raw(x);
}

/* ---- money ---- */

static void p_transfer(struct probe *x)
{
    struct payload *p = &x->t->payload;
    uint32_t dice = draw(x->w, 5);
    kit_transfer(p);
    kit_pay(p, &x->some, 5);
    if (dice == 0)
        p->transfer.payees[0].amount = 0, x->never = "it pays nothing";
    else if (dice == 1)
        p->transfer.payees[0].account = *x->account, x->never = "it pays itself";
    else if (dice == 2)
        p->transfer.payees[0].hub = bytes_of("far.test", 8), x->never = "it pays afar";
    else if (dice == 3)
        p->transfer.payees[0].amount = INT64_MAX / 4, x->never = "nobody has so much";
    else {
        struct hash other = kit_hash(rng_next(&x->w->rng));
        p->transfer.payees[0].amount = INT64_MAX;
        kit_pay(p, &other, INT64_MAX);
        x->never = "its sum is too much";
    }
    send_raw(x);
}

static void p_split(struct probe *x)
{
    struct payload *p = &x->t->payload;
    struct split_terms *terms = &p->split.terms;
    struct pubkey fresh = pub_at(fresh_key(x->t));
    uint32_t dice = draw(x->w, 4);
    p->kind = KIND_SPLIT;
    kit_terms(terms, &x->m->root, 100);
    kit_share(terms, dice == 1 ? &fresh : &x->m->root, dice == 0 ? 99 : 100);
    x->never = dice == 0 ? "its shares do not sum up" : "a stranger has a share";
    if (dice == 2) {
        p->kind = KIND_SPLIT_VOID;
        p->split_change.split = x->some;
        kit_terms(&p->split_change.old_terms, &x->m->root, 10);
        kit_share(&p->split_change.old_terms, &x->m->root, 10);
        x->never = "there is no such split";
    } else if (dice == 3) {
        kit_terms(terms, &x->m->root, INT64_MAX);
        kit_share(terms, &x->m->root, INT64_MAX);
        x->never = NULL; /* allowed while his position is not positive */
    }
    if (dice != 3 || x->m->position > 0)
        send_raw(x);
}

static void p_bind(struct probe *x)
{
    own_payload(x, KIND_BIND);
    mp_array(&x->payload, 2);
    mp_uint(&x->payload, 11);
    mp_str(&x->payload, "nowhere", 7);
    x->never = "there is no such chain";
    send_raw(x);
}

static void (*const probes[])(struct probe *) = {
    p_malformed, p_too_large,     p_version,         p_kind,           p_payload,
    p_signature, p_refs_order,    p_account_unknown, p_device_unknown, p_gap,
    p_seq_taken, p_prev,          p_lamport,         p_ref_unknown,    p_authority,
    p_credit,    p_open,          p_device_add,      p_device_revoke,  p_invite,
    p_join,      p_member_remove, p_rotate,          p_cancel,         p_transfer,
    p_split,     p_bind};

void wrong_write(struct world *w, struct peer *p)
{
    struct town *t = town_of(w);
    const struct group *g = &t->groups[p->group];
    struct slotlog *log = log_now(p->site, &g->id);
    struct probe x = {.w = w, .t = t, .p = p, .account = &g->id, .version = 1};
    struct pubkey me = pub_at(p->key);
    x.a = account_now(p->site, &g->id);
    const struct chain *c = x.a == NULL ? NULL : account_chain(x.a, &log->hub, &me);
    x.m = x.a == NULL ? NULL : account_member_of(x.a, &me);
    x.root = x.m == NULL ? NULL : key_of(&x.m->root);
    if (c == NULL || x.root == NULL)
        return;
    x.h = &log->hub;
    x.on = *c;
    x.seq = c->next_seq;
    x.prev = c->tip;
    x.lamport = c->tip_lamport + 1;
    x.writer = key_at(p->key);
    x.some = kit_hash(rng_next(&w->rng));
    probes[draw(w, sizeof probes / sizeof probes[0])](&x);
}
