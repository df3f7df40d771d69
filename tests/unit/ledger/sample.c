#include "sample.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/mp.h"

uint64_t rng_next(struct rng *g)
{
    g->state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    uint64_t z = g->state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t rng_below(struct rng *g, uint64_t bound)
{
    return rng_next(g) % bound;
}

void rng_fill(struct rng *g, void *out, size_t size)
{
    uint8_t *at = out;
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)rng_next(g);
}

/* Any width equally likely, so that every form of integer is met. 0..2^63-1. */
static uint64_t any_uint(struct rng *g)
{
    return rng_next(g) >> (1 + rng_below(g, 63));
}

static int64_t any_amount(struct rng *g)
{
    return (int64_t)(any_uint(g) >> 1) + 1;
}

static struct hash any_hash(struct rng *g)
{
    struct hash h;
    rng_fill(g, h.b, sizeof h.b);
    return h;
}

static struct pubkey any_key(struct rng *g)
{
    struct pubkey k;
    rng_fill(g, k.b, sizeof k.b);
    return k;
}

static struct signature any_sig(struct rng *g)
{
    struct signature s;
    rng_fill(g, s.b, sizeof s.b);
    return s;
}

static struct bytes any_hub(char *room, struct rng *g)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789.-_";
    size_t size = 1 + rng_below(g, rng_below(g, 4) ? 20 : HUB_NAME_MAX);
    for (size_t i = 0; i < size; i++) {
        bool edge = i == 0 || i == size - 1;
        room[i] = letters[rng_below(g, edge ? 36 : sizeof letters - 1)];
    }
    return bytes_of(room, size);
}

static struct bytes any_origin(char *room, struct rng *g)
{
    struct bytes hub = any_hub(room, g);
    snprintf(room + hub.size, 4, "/%02x", (unsigned)rng_below(g, 256));
    return bytes_of(room, hub.size + 3);
}

/* 1..max bytes, some of them more than one to a character. */
static struct bytes any_text(char *room, struct rng *g, size_t max)
{
    size_t size = 1 + rng_below(g, max);
    for (size_t i = 0; i < size; i++) {
        room[i] = (char)(' ' + rng_below(g, 90));
        if (i > 0 && rng_below(g, 8) == 0 && (room[i - 1] & 0x80) == 0) {
            room[i - 1] = (char)0xc3;
            room[i] = (char)(0x80 + rng_below(g, 64));
        }
    }
    return bytes_of(room, size);
}

/* The i-th of a strictly ascending list. */
static void ascend(uint8_t first[2], size_t i)
{
    first[0] = (uint8_t)i;
    first[1] = (uint8_t)(i * 3);
}

static void any_terms(struct split_terms *t, struct rng *g)
{
    t->payer = any_key(g);
    t->share_count = 1 + rng_below(g, rng_below(g, 4) ? 4 : MEMBERS_MAX);
    t->amount = 1;
    for (size_t i = 0; i < t->share_count; i++) {
        t->shares[i].root = any_key(g);
        ascend(t->shares[i].root.b, i);
        t->shares[i].amount = (int64_t)(any_uint(g) >> 8);
        t->amount += t->shares[i].amount;
    }
    t->shares[0].amount += 1;
}

static void any_transfer(struct p_transfer *p, struct sample *s, struct rng *g)
{
    p->payee_count = 1 + rng_below(g, rng_below(g, 4) ? 3 : PAYEES_MAX);
    struct bytes hub = any_hub(s->text[0], g);
    for (size_t i = 0; i < p->payee_count; i++) {
        p->payees[i].account = any_hash(g);
        ascend(p->payees[i].account.b, i);
        p->payees[i].hub = rng_below(g, 2) ? hub : (struct bytes){NULL, 0};
        p->payees[i].amount = any_amount(g);
    }
}

static void any_rotate(struct p_root_rotate *p, struct rng *g)
{
    p->old_root = any_key(g);
    p->new_root = any_key(g);
    p->how = rng_below(g, 3);
    p->has_device = p->how == ROTATE_RECOVERY;
    p->device = any_key(g);
    p->grant_sig = any_sig(g);
    p->new_sig = any_sig(g);
    p->proof_count = p->how == ROTATE_OLD_ROOT  ? 1
                     : p->how == ROTATE_MEMBERS ? rng_below(g, MEMBERS_MAX + 1)
                                                : 0;
    for (size_t i = 0; i < p->proof_count; i++) {
        p->proofs[i].root = p->how == ROTATE_OLD_ROOT ? p->old_root : any_key(g);
        if (p->how == ROTATE_MEMBERS)
            ascend(p->proofs[i].root.b, i);
        p->proofs[i].sig = any_sig(g);
    }
}

static void any_item(struct p_credit *p, struct sample *s, struct rng *g,
                     uint64_t reasons)
{
    p->cause = any_hash(g);
    p->payee_index = rng_below(g, PAYEES_MAX);
    p->amount = any_amount(g);
    p->source = any_origin(s->text[0], g);
    p->source_index = any_uint(g);
    p->out_seq = any_uint(g);
    p->source_lamport = any_uint(g);
    p->reason = rng_below(g, reasons);
}

static void sample_member(struct sample *s, enum kind kind, struct rng *g)
{
    struct payload *p = &s->payload;
    switch (kind) {
    case KIND_OPEN:
        p->open = (struct p_open){.federation = any_hash(g),
                                  .hub = any_hub(s->text[0], g),
                                  .root = any_key(g),
                                  .root_sig = any_sig(g),
                                  .residency = rng_below(g, 2),
                                  .has_recovery = rng_below(g, 2) == 0,
                                  .nonce = any_hash(g)};
        if (p->open.has_recovery)
            p->open.recovery = any_key(g);
        break;
    case KIND_DEVICE_ADD:
        p->device_add =
            (struct p_device_add){any_key(g), any_key(g), any_uint(g), any_sig(g)};
        break;
    case KIND_DEVICE_REVOKE:
        p->device_revoke.device = any_key(g);
        break;
    case KIND_INVITE:
        p->invite = (struct p_invite){any_key(g), any_uint(g), any_sig(g)};
        break;
    case KIND_MEMBER_ADD:
        p->member_add = (struct p_member_add){any_key(g), any_sig(g), any_sig(g)};
        break;
    case KIND_MEMBER_REMOVE:
        p->member_remove = (struct p_member_remove){any_key(g), any_sig(g)};
        break;
    case KIND_ROOT_ROTATE:
        any_rotate(&p->root_rotate, g);
        break;
    case KIND_RECOVERY_CANCEL:
        p->recovery_cancel =
            (struct p_recovery_cancel){any_hash(g), any_key(g), any_sig(g)};
        break;
    case KIND_TRANSFER:
        any_transfer(&p->transfer, s, g);
        break;
    case KIND_SPLIT:
        any_terms(&p->split.terms, g);
        break;
    case KIND_SPLIT_CORRECT:
        any_terms(&p->split_change.new_terms, g);
        p->split_change.split = any_hash(g);
        any_terms(&p->split_change.old_terms, g);
        break;
    case KIND_SPLIT_VOID:
        p->split_change.split = any_hash(g);
        any_terms(&p->split_change.old_terms, g);
        break;
    case KIND_BIND:
        p->bind = (struct p_bind){rng_below(g, CHAINS),
                                  any_text(s->text[0], g, ADDRESS_BYTES_MAX)};
        break;
    case KIND_NOTE:
        rng_fill(g, s->data, sizeof s->data);
        p->note.data =
            bytes_of(s->data, rng_below(g, rng_below(g, 2) ? 40 : sizeof s->data));
        break;
    default:
        break; /* recovery_begin has nothing to say */
    }
}

static void sample_hub(struct sample *s, enum kind kind, struct rng *g)
{
    struct payload *p = &s->payload;
    switch (kind) {
    case KIND_ACCRUE:
        p->accrue = (struct p_accrue){any_hash(g), any_uint(g), any_amount(g)};
        break;
    case KIND_ADJUST:
        p->adjust = (struct p_adjust){rng_below(g, 2) ? any_amount(g) : -any_amount(g),
                                      any_text(s->text[0], g, REASON_BYTES_MAX)};
        break;
    case KIND_LOG_OPEN: {
        uint64_t slots = UINT64_C(1) << rng_below(g, 9);
        p->log_open = (struct p_log_open){
            any_hash(g),         any_hub(s->text[0], g),
            rng_below(g, slots), slots,
            any_uint(g),         any_key(g),
            any_key(g),          any_text(s->text[1], g, VKEY_TEXT_MAX)};
        break;
    }
    case KIND_HUB_KEY:
        p->hub_key = (struct p_hub_key){rng_below(g, 3), any_key(g), any_key(g),
                                        any_sig(g), any_sig(g)};
        break;
    case KIND_RULES:
        p->rules.version = any_uint(g);
        break;
    case KIND_CREDIT:
        any_item(&p->credit, s, g, 2);
        break;
    case KIND_BOUNCE:
        any_item(&p->bounce.item, s, g, 3);
        p->bounce.payer = any_hash(g);
        p->bounce.payee = any_hash(g);
        break;
    default:
        break;
    }
}

void sample_payload(struct sample *s, uint64_t kind, struct rng *g)
{
    s->payload.kind = kind;
    if (kind < KIND_ACCRUE)
        sample_member(s, (enum kind)kind, g);
    else
        sample_hub(s, (enum kind)kind, g);
}

uint64_t sample_kind(unsigned i)
{
    enum kind kind;
    enum writer writer;
    if (!kind_row(i, &kind) || !kind_writer(kind, &writer) || writer == BY_NOBODY)
        abort();
    return kind;
}

size_t sample_entry(uint8_t out[ENVELOPE_BYTES_MAX], uint64_t kind, struct rng *g,
                    const struct key *device)
{
    static _Thread_local struct sample s;
    static _Thread_local uint8_t payload[ENVELOPE_BYTES_MAX];
    sample_payload(&s, kind, g);
    struct mp_writer w = mp_writer_of(payload, sizeof payload);
    payload_encode(&w, &s.payload);

    struct hash account = any_hash(g), prev = any_hash(g), sealed = any_hash(g);
    struct hash refs[ENTRY_REFS_MAX];
    enum writer writer;
    bool first = kind == KIND_OPEN || kind == KIND_LOG_OPEN;
    struct entry_draft d = {.account = first ? NULL : &account,
                            .seq = first ? 0 : any_uint(g),
                            .prev = first ? NULL : &prev,
                            .refs = refs,
                            .lamport = first ? 1 : any_uint(g),
                            .time_ms = any_uint(g),
                            .kind = kind,
                            .payload = bytes_of(payload, w.size),
                            .sealed_commitment = rng_below(g, 2) ? &sealed : NULL,
                            .sealed_size = any_uint(g)};
    if (!first && kind_writer(kind, &writer) && writer == BY_MEMBER)
        d.ref_count = (unsigned)rng_below(g, ENTRY_REFS_MAX + 1);
    for (unsigned i = 0; i < d.ref_count; i++) {
        refs[i] = any_hash(g);
        ascend(refs[i].b, i);
    }
    size_t size;
    if (w.full || entry_build(&d, device, out, ENVELOPE_BYTES_MAX, &size) != ERR_OK)
        abort();
    return size;
}

static void put_optional_hash(struct mp_writer *w, bool has, const struct hash *h)
{
    if (has)
        mp_bin(w, h->b, sizeof h->b);
    else
        mp_nil(w);
}

size_t reencode(uint8_t out[ENVELOPE_BYTES_MAX], const struct entry *e)
{
    static _Thread_local struct payload p;
    if (payload_decode(&p, e->kind, e->payload) != ERR_OK)
        abort();
    struct mp_writer w = mp_writer_of(out, ENVELOPE_BYTES_MAX);
    mp_array(&w, 11);
    mp_uint(&w, ENTRY_VERSION);
    put_optional_hash(&w, e->has_account, &e->account);
    mp_bin(&w, e->device.b, sizeof e->device.b);
    mp_uint(&w, e->seq);
    put_optional_hash(&w, e->has_prev, &e->prev);
    mp_array(&w, e->ref_count);
    for (unsigned i = 0; i < e->ref_count; i++)
        mp_bin(&w, e->refs[i].b, sizeof e->refs[i].b);
    mp_uint(&w, e->lamport);
    mp_uint(&w, e->time_ms);
    mp_uint(&w, e->kind);
    payload_encode(&w, &p);
    if (e->has_sealed) {
        mp_array(&w, 2);
        mp_bin(&w, e->sealed_commitment.b, sizeof e->sealed_commitment.b);
        mp_uint(&w, e->sealed_size);
    } else {
        mp_nil(&w);
    }
    mp_raw(&w, e->sig.b, sizeof e->sig.b);
    if (w.full)
        abort();
    return w.size;
}
