/* The faults of the selftest: each with the check, slot and index it must be named by. */
#include "client/audit/selftest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/audit/image.h"
#include "crypto/context.h"
#include "ledger/evidence.h"

#define AT 100 /* a record of slot 0, in its first tile */
#define BIG 0  /* the slot with more than one tile */
#define POINT INT64_C(1000000)

#define ALL ((1u << IMAGE_FORMATS) - 1)
#define BOTH (1u << IMAGE_DIRECTORY | 1u << IMAGE_SQLITE)
#define DIR (1u << IMAGE_DIRECTORY)
#define SQL (1u << IMAGE_SQLITE)

/* ---- a dishonest hub: the last record of slot 1 is what it must not be; all is signed ------
 */

static struct payload note_payload(void)
{
    struct payload p = {.kind = KIND_NOTE};
    p.note.data = bytes_of("fault", 5);
    return p;
}

static void note_with(struct forge *f, const struct twist *t)
{
    struct payload p = note_payload();
    forge_entry(f, 1, &f->people[1].account, f->people[1].device, &p, t);
}

static void f_garbage(struct forge *f)
{
    forge_raw(f, 1, (const uint8_t *)"this is no entry", 16, NULL);
}

/* A good note, changed by `change` and signed again. */
static void resigned(struct forge *f, void (*change)(uint8_t *body, size_t *size))
{
    uint8_t e[FORGE_ENVELOPE_MAX];
    struct payload p = note_payload();
    size_t size = forge_build(f, 1, &f->people[1].account, f->people[1].device, &p, NULL, e);
    size -= SIG_BYTES;
    change(e, &size);
    struct signature sig = key_sign(f->people[1].device, CTX_ENTRY, e, size);
    memcpy(e + size, sig.b, SIG_BYTES);
    forge_raw(f, 1, e, size + SIG_BYTES, NULL);
}
static void add_byte(uint8_t *body, size_t *size)
{
    body[(*size)++] = 0;
}
static void version_two(uint8_t *body, size_t *size)
{
    (void)size;
    body[1] = 2;
}
static void long_integer(uint8_t *body, size_t *size)
{
    memmove(body + 3, body + 2, *size - 2);
    body[1] = 0xcc; /* 1 in two bytes */
    body[2] = 1;
    (*size)++;
}
static void short_array(uint8_t *body, size_t *size)
{
    (void)size;
    body[0]--;
}
static void f_trailing(struct forge *f) { resigned(f, add_byte); }
static void f_version(struct forge *f) { resigned(f, version_two); }
static void f_noncanonical(struct forge *f) { resigned(f, long_integer); }
static void f_short_array(struct forge *f) { resigned(f, short_array); }

#define TWIST(name, ...)                                                                   \
    static void name(struct forge *f)                                                      \
    {                                                                                      \
        note_with(f, &(struct twist){__VA_ARGS__});                                        \
    }
TWIST(f_bad_signature, .signature = true)
TWIST(f_wrong_signer, .signer = f->stranger)
TWIST(f_seq_gap, .seq = 1)
TWIST(f_seq_taken, .seq = -1)
TWIST(f_prev, .prev = true)
TWIST(f_lamport_high, .lamport = 5)
TWIST(f_lamport_low, .lamport = -1)
TWIST(f_unknown_ref, .ref = true)
TWIST(f_hub_lamport, .hub_lamport = 1)
TWIST(f_hub_lamport_same, .hub_lamport = -1)
TWIST(f_hub_time, .hub_time = -1000000)
TWIST(f_head, .head = true)

static void f_unknown_device(struct forge *f)
{
    struct payload p = note_payload();
    forge_entry(f, 1, &f->people[1].account, f->stranger, &p, NULL);
}
static void f_revoked_device(struct forge *f)
{
    struct payload p = note_payload();
    forge_entry(f, 1, &f->people[1].account, f->people[1].spare, &p, NULL);
}
static void f_others_device(struct forge *f)
{
    struct payload p = note_payload();
    forge_entry(f, 1, &f->people[1].account, f->people[5].device, &p, NULL);
}
static void f_duplicate(struct forge *f)
{
    struct row r = f->slot[1].rows[f->slot[1].count - 1];
    forge_raw(f, 1, r.envelope, r.size, NULL);
}
static void f_duplicate_open(struct forge *f)
{
    struct row r = f->slot[1].rows[1];
    forge_raw(f, 1, r.envelope, r.size, NULL);
}
static void f_unknown_account(struct forge *f)
{
    struct payload p = note_payload();
    struct hash nobody = {{0x40, 1, 2}};
    forge_entry(f, 1, &nobody, f->people[1].device, &p, NULL);
}
static void f_overdraft(struct forge *f)
{
    const struct replay_seat *seat = replay_find(&f->slot[1].p, &f->people[1].account);
    forge_send(f, &f->people[1], &f->people[2], seat->account.balance + 1);
}
static void f_forged_credit(struct forge *f)
{
    /* Goes on where the channel stands, and was never sent. */
    struct forge_slot *from = &f->slot[2];
    struct payload c = {.kind = KIND_CREDIT};
    const struct channel *in = NULL;
    for (uint32_t i = 0; i < f->slot[1].p.hub.channel_count; i++)
        if (strcmp(f->slot[1].p.hub.channels[i].origin, f->log_key[2].name) == 0)
            in = &f->slot[1].p.hub.channels[i];
    memset(c.credit.cause.b, 9, HASH_BYTES);
    c.credit.amount = POINT;
    c.credit.source = bytes_of(f->log_key[2].name, strlen(f->log_key[2].name));
    c.credit.source_index = from->count - 1;
    c.credit.out_seq = in ? in->next_in : 0;
    c.credit.source_lamport = 1;
    forge_entry(f, 1, &f->people[1].account, f->relay, &c, NULL);
}
static void f_credit_twice(struct forge *f)
{
    forge_send(f, &f->people[2], &f->people[1], POINT);
    forge_credit(f, &f->people[2], &f->people[1], f->relay, 0);
    forge_credit(f, &f->people[2], &f->people[1], f->relay, 0);
}
static void f_credit_more(struct forge *f)
{
    forge_send(f, &f->people[2], &f->people[1], POINT);
    forge_credit(f, &f->people[2], &f->people[1], f->relay, 1);
}
static void f_credit_less(struct forge *f)
{
    forge_send(f, &f->people[2], &f->people[1], POINT);
    forge_credit(f, &f->people[2], &f->people[1], f->relay, -1);
}
static void f_credit_other_payee(struct forge *f)
{
    forge_send(f, &f->people[2], &f->people[1], POINT);
    forge_credit(f, &f->people[2], &f->people[5], f->relay, 0);
}
static void f_credit_by_issuer(struct forge *f)
{
    forge_send(f, &f->people[2], &f->people[1], POINT);
    forge_credit(f, &f->people[2], &f->people[1], f->issuer, 0);
}
static void f_credit_by_device(struct forge *f)
{
    forge_send(f, &f->people[2], &f->people[1], POINT);
    forge_credit(f, &f->people[2], &f->people[1], f->people[1].device, 0);
}

static void accrue_by(struct forge *f, const struct key *by, uint64_t epoch)
{
    struct payload p = {.kind = KIND_ACCRUE};
    memset(p.accrue.node.b, 3, HASH_BYTES);
    p.accrue.epoch = epoch;
    p.accrue.amount = POINT;
    forge_entry(f, 1, &f->people[1].account, by, &p, NULL);
}
static void f_accrue_by_device(struct forge *f) { accrue_by(f, f->people[1].device, 2); }
static void f_accrue_by_relay(struct forge *f) { accrue_by(f, f->relay, 2); }
static void f_accrue_again(struct forge *f) { accrue_by(f, f->issuer, 1); }

static void f_adjust_below_zero(struct forge *f)
{
    const struct replay_seat *seat = replay_find(&f->slot[1].p, &f->people[1].account);
    struct payload p = {.kind = KIND_ADJUST};
    p.adjust.delta = -seat->account.balance - 1;
    p.adjust.reason = bytes_of("fault", 5);
    forge_entry(f, 1, &f->people[1].account, f->issuer, &p, NULL);
}

static void add_device(struct forge *f, const struct key *root, const struct pubkey *device,
                       uint64_t grant)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    const struct person_made *x = &f->people[1];
    struct payload p = {.kind = KIND_DEVICE_ADD};
    p.device_add.root = key_public(x->root);
    p.device_add.device = *device;
    p.device_add.grant = grant;
    size_t n = grant_device_message(message, &x->account, &p.device_add.root, device, grant);
    p.device_add.root_sig = key_sign(root, CTX_DEVICE, message, n);
    forge_entry(f, 1, &x->account, x->device, &p, NULL);
}
static void f_device_unsigned(struct forge *f)
{
    struct pubkey d = key_public(f->people[3].device);
    add_device(f, f->stranger, &d, 2);
}
static void f_device_old_grant(struct forge *f)
{
    struct pubkey d = key_public(f->people[3].device);
    add_device(f, f->people[1].root, &d, 1);
}
static void f_device_weak(struct forge *f)
{
    struct pubkey weak = {{1}}; /* the neutral element */
    add_device(f, f->people[1].root, &weak, 2);
}
static void f_other_federation(struct forge *f)
{
    struct hash other = {{8}};
    forge_account(f, &f->people[1], 1, &other, RESIDENCY_GLOBAL);
}
static void f_pinned(struct forge *f)
{
    forge_account(f, &f->people[1], 1, &f->federation, RESIDENCY_PINNED);
}
static void f_second_log_open(struct forge *f)
{
    struct row r = f->slot[1].rows[0];
    forge_raw(f, 1, r.envelope, r.size, NULL);
}
/* A record left out of the middle, everything after it as it was, the tree signed anew. */
static void f_omitted(struct forge *f)
{
    struct forge_slot *s = &f->slot[BIG];
    memmove(&s->rows[AT], &s->rows[AT + 1], (s->count - AT - 1) * sizeof(s->rows[0]));
    s->count--;
    for (size_t i = AT; i < s->count; i++)
        s->rows[i].index = i;
}
static void f_order_changed(struct forge *f)
{
    struct row *r = f->slot[BIG].rows, t = r[AT];
    r[AT] = r[AT + 1];
    r[AT + 1] = t;
    r[AT].index = AT;
    r[AT + 1].index = AT + 1;
}

/* ---- damage: the log was good, what is stored is not ----------------------------------------
 */

static struct row *at(struct forge *f)
{
    return &f->slot[BIG].rows[AT];
}
static void d_envelope_first(struct forge *f) { at(f)->envelope[0] ^= 1; }
static void d_envelope_account(struct forge *f) { at(f)->envelope[20] ^= 0x80; }
static void d_envelope_payload(struct forge *f) { at(f)->envelope[at(f)->size - 68] ^= 1; }
static void d_envelope_signature(struct forge *f) { at(f)->envelope[at(f)->size - 1] ^= 1; }
static void d_envelope_shorter(struct forge *f) { at(f)->size--; }
static void d_leaf_hash(struct forge *f) { at(f)->leaf[3] ^= 1; }
static void d_leaf_head(struct forge *f) { at(f)->leaf[40] ^= 1; }
static void d_leaf_lamport(struct forge *f) { at(f)->leaf[71] ^= 1; }
static void d_leaf_time(struct forge *f) { memset(at(f)->leaf + 72, 0, 8); }
static void d_envelopes_swapped(struct forge *f)
{
    struct row *a = at(f), *b = a + 1, t = *a;
    memcpy(a->envelope, b->envelope, sizeof(a->envelope));
    a->size = b->size;
    memcpy(b->envelope, t.envelope, sizeof(b->envelope));
    b->size = t.size;
}
static void d_repeated(struct forge *f)
{
    struct forge_slot *s = &f->slot[BIG];
    for (size_t i = s->count - 1; i > AT; i--) {
        s->rows[i] = s->rows[i - 1];
        s->rows[i].index = i;
    }
}
static void d_tile(struct forge *f) { f->slot[BIG].tiles[0][AT].b[0] ^= 1; }
static void d_tile_first(struct forge *f) { f->slot[BIG].tiles[0][0].b[31] ^= 1; }
static void d_tile_partial(struct forge *f) { f->slot[BIG].tiles[0][256].b[0] ^= 1; }
static void d_tile_above(struct forge *f) { f->slot[BIG].tiles[1][0].b[0] ^= 1; }
static void d_position(struct forge *f) { at(f)->position++; }
static void d_account(struct forge *f) { at(f)->account.b[9] ^= 1; }
static void d_edges(struct forge *f) { f->slot[BIG].edges[0].b[0] ^= 1; }
static void d_note_text(struct forge *f)
{
    char *size = strchr(f->slot[BIG].note, '\n') + 1;
    *size = *size == '9' ? '8' : '9';
}
static void d_note_signature(struct forge *f)
{
    char *c = f->slot[BIG].note + f->slot[BIG].note_size - 12;
    *c = *c == 'A' ? 'B' : 'A';
}
static void d_note_junk(struct forge *f)
{
    f->slot[BIG].note_size =
        (size_t)snprintf(f->slot[BIG].note, sizeof(f->slot[BIG].note), "hello\n");
}
static void d_note_of_other(struct forge *f)
{
    memcpy(f->slot[BIG].note, f->slot[2].note, sizeof(f->slot[2].note));
    f->slot[BIG].note_size = f->slot[2].note_size;
}
static void sign_claim(struct forge *f, uint64_t size, bool other_root, const struct key *by)
{
    struct checkpoint c;
    struct forge_slot *s = &f->slot[BIG];
    struct vkey v = f->log_key[BIG];
    struct pubkey pub = key_public(by);
    if (!checkpoint_open(&c, s->note, s->note_size, &v))
        abort();
    c.size = size ? size : c.size;
    c.root.b[0] ^= other_root;
    (void)vkey_make(&v, f->log_key[BIG].name, NOTE_ED25519, &pub);
    s->note_size = checkpoint_sign(s->note, sizeof(s->note), &c, &v, by);
}
static void d_other_root(struct forge *f) { sign_claim(f, 0, true, f->log); }
static void d_more_records(struct forge *f)
{
    sign_claim(f, f->slot[BIG].count + 1, true, f->log);
}
static void d_other_key(struct forge *f) { sign_claim(f, 0, false, f->stranger); }
static void d_cosignature(struct forge *f)
{
    forge_sign_slot(f, BIG, true);
    d_note_signature(f);
}

/* ---- against what was seen before -----------------------------------------------------------
 */

static void f_stale(struct forge *f)
{
    f->slot[BIG].count -= 20;
}
static void f_fork(struct forge *f)
{
    struct payload p = note_payload();
    struct row *r = &f->slot[BIG].rows[f->slot[BIG].count - 1];
    f->slot[BIG].count--;
    (void)r;
    /* The last record is another one; its own chain is that of the log without it. */
    uint8_t e[FORGE_ENVELOPE_MAX];
    memcpy(e, r->envelope, r->size);
    size_t size = r->size;
    e[size - SIG_BYTES - 3] ^= 1; /* inside the note's words */
    struct signature sig =
        key_sign(f->people[0].device, CTX_ENTRY, e, size - SIG_BYTES);
    memcpy(e + size - SIG_BYTES, sig.b, SIG_BYTES);
    struct record x = {.envelope = bytes_of(e, size)};
    struct row before = f->slot[BIG].rows[f->slot[BIG].count - 1];
    struct hash head;
    memcpy(head.b, before.leaf + HASH_BYTES, HASH_BYTES);
    x.account_head = account_head_next(&head, x.envelope);
    uint8_t leaf[LEAF_BYTES];
    record_leaf(&x, leaf);
    memcpy(leaf + 64, r->leaf + 64, 16);
    memcpy(r->leaf, leaf, LEAF_BYTES);
    memcpy(r->envelope, e, size);
    f->slot[BIG].count++;
    (void)p;
}

/* .. and the log goes on from there. */
static void f_fork_grown(struct forge *f)
{
    struct forge_slot *s = &f->slot[BIG];
    for (size_t i = AT; i < s->count; i++)
        s->rows[i].leaf[40] ^= 1;
    for (int i = 0; i < 9; i++) {
        struct payload p = note_payload();
        forge_entry(f, BIG, &f->people[0].account, f->people[0].device, &p, NULL);
    }
}

/* ---- containers ---------------------------------------------------------------------------------
 */

#define SPOIL(name, call)                                                                  \
    static bool name(const char *path)                                                     \
    {                                                                                      \
        return call;                                                                       \
    }
SPOIL(c_no_checkpoint, image_remove(path, "log/00/checkpoint"))
SPOIL(c_no_bundle, image_remove(path, "log/00/tile/entries/000"))
SPOIL(c_no_envelopes, image_remove(path, "log/00/envelopes/000"))
SPOIL(c_no_tile, image_remove(path, "log/00/tile/0/000"))
SPOIL(c_bundle_turn, image_turn(path, "log/00/tile/entries/000", 2 + AT * (2 + LEAF_BYTES)))
SPOIL(c_bundle_length, image_turn(path, "log/00/tile/entries/000", AT * (2 + LEAF_BYTES) + 1))
SPOIL(c_bundle_cut, image_cut(path, "log/00/tile/entries/000", 1))
SPOIL(c_envelopes_cut, image_cut(path, "log/00/envelopes/000", 1))
SPOIL(c_bundle_grow, image_grow(path, "log/00/tile/entries/000"))
SPOIL(c_envelopes_grow, image_grow(path, "log/00/envelopes/000"))
SPOIL(c_tile_cut, image_cut(path, "log/00/tile/0/000", 32))
SPOIL(c_tile_turn, image_turn(path, "log/00/tile/0/000", 32 * AT))
SPOIL(c_checkpoint_turn, image_turn(path, "log/00/checkpoint", -9))
SPOIL(q_no_checkpoint, image_sql(path, "UPDATE slot SET checkpoint=x'' WHERE slot=0"))
SPOIL(q_no_tile, image_sql(path, "DELETE FROM tile WHERE key=0"))
SPOIL(q_tile_sum, image_sql(path, "UPDATE tile SET sum=sum+1 WHERE key=0"))
SPOIL(q_tile_root, image_sql(path, "UPDATE tile SET root=zeroblob(32) WHERE key=0"))
SPOIL(q_row_gone, image_sql(path, "DELETE FROM record_0 WHERE idx=100"))
SPOIL(q_row_last, image_sql(path, "DELETE FROM record_0 WHERE idx=(SELECT max(idx) FROM record_0)"))
SPOIL(q_row_moved, image_sql(path, "UPDATE record_0 SET idx=100000 WHERE idx=100"))
SPOIL(q_sum, image_sql(path, "UPDATE record_0 SET sum=sum+1 WHERE idx=100"))
SPOIL(q_position, image_sql(path, "UPDATE record_0 SET position=position+1 WHERE idx=100"))
SPOIL(q_account, image_sql(path, "UPDATE record_0 SET account=zeroblob(32) WHERE idx=100"))
SPOIL(q_leaf_short, image_sql(path, "UPDATE record_0 SET leaf=x'00' WHERE idx=100"))
SPOIL(q_envelope_empty, image_sql(path, "UPDATE record_0 SET envelope=x'' WHERE idx=100"))
SPOIL(q_edges, image_sql(path, "UPDATE slot SET edges=zeroblob(length(edges)) WHERE slot=0"))
SPOIL(q_size, image_sql(path, "UPDATE slot SET size=size-1 WHERE slot=0"))
SPOIL(q_hub, image_sql(path, "UPDATE ledger SET hub='other'"))
SPOIL(q_federation, image_sql(path, "UPDATE ledger SET federation=zeroblob(32)"))
SPOIL(q_slots, image_sql(path, "UPDATE ledger SET slots=2"))

/* ---- the table ----------------------------------------------------------------------------------
 */

#define LIE(name, formats, check, slot, index, fn)                                         \
    {name, formats, check, slot, index, fn, NULL, NULL, false, false, 0, NULL}
#define HURT(name, formats, check, slot, index, fn)                                        \
    {name, formats, check, slot, index, NULL, fn, NULL, false, false, 0, NULL}
#define FILE_(name, formats, check, slot, index, fn)                                       \
    {name, formats, check, slot, index, NULL, NULL, fn, false, false, 0, NULL}

const struct fault selftest_faults[] = {
    LIE("entry: garbage", ALL, AUDIT_ENCODING, 1, SELFTEST_LAST, f_garbage),
    LIE("entry: a byte after the body", ALL, AUDIT_ENCODING, 1, SELFTEST_LAST, f_trailing),
    LIE("entry: version 2", ALL, AUDIT_ENCODING, 1, SELFTEST_LAST, f_version),
    LIE("entry: integer not in its shortest form", ALL, AUDIT_ENCODING, 1, SELFTEST_LAST,
        f_noncanonical),
    LIE("entry: a field less", ALL, AUDIT_ENCODING, 1, SELFTEST_LAST, f_short_array),
    LIE("entry: bad signature", ALL, AUDIT_SIGNATURE, 1, SELFTEST_LAST, f_bad_signature),
    LIE("entry: signed by another", ALL, AUDIT_SIGNATURE, 1, SELFTEST_LAST, f_wrong_signer),
    LIE("device: never enrolled", ALL, AUDIT_KEY_VALID, 1, SELFTEST_LAST, f_unknown_device),
    LIE("device: revoked", ALL, AUDIT_KEY_VALID, 1, SELFTEST_LAST, f_revoked_device),
    LIE("device: of another account", ALL, AUDIT_KEY_VALID, 1, SELFTEST_LAST,
        f_others_device),
    LIE("device: weak key enrolled", ALL, AUDIT_KEY_VALID, 1, SELFTEST_LAST, f_device_weak),
    LIE("device: root did not sign", ALL, AUDIT_AUTHORITY, 1, SELFTEST_LAST,
        f_device_unsigned),
    LIE("device: grant used before", ALL, AUDIT_CHAIN, 1, SELFTEST_LAST, f_device_old_grant),
    LIE("chain: seq jumps", ALL, AUDIT_CHAIN, 1, SELFTEST_LAST, f_seq_gap),
    {"chain: seq taken by another entry", ALL, AUDIT_CHAIN, 1, SELFTEST_LAST, f_seq_taken, NULL,
     NULL, false, false, EVIDENCE_SEQ_REUSED, NULL},
    LIE("chain: prev is another", ALL, AUDIT_CHAIN, 1, SELFTEST_LAST, f_prev),
    LIE("chain: unknown ref", ALL, AUDIT_CHAIN, 1, SELFTEST_LAST, f_unknown_ref),
    LIE("clock: writer's Lamport pushed", ALL, AUDIT_LAMPORT, 1, SELFTEST_LAST,
        f_lamport_high),
    LIE("clock: writer's Lamport not raised", ALL, AUDIT_LAMPORT, 1, SELFTEST_LAST,
        f_lamport_low),
    LIE("clock: hub's Lamport jumps", ALL, AUDIT_LAMPORT, 1, SELFTEST_LAST, f_hub_lamport),
    LIE("clock: hub's Lamport stands", ALL, AUDIT_LAMPORT, 1, SELFTEST_LAST,
        f_hub_lamport_same),
    LIE("clock: hub's time runs backwards", ALL, AUDIT_LAMPORT, 1, SELFTEST_LAST,
        f_hub_time),
    LIE("account: head does not chain", ALL, AUDIT_ORDER, 1, SELFTEST_LAST, f_head),
    LIE("account: not open", ALL, AUDIT_ORDER, 1, SELFTEST_LAST, f_unknown_account),
    LIE("account: of another federation", ALL, AUDIT_AUTHORITY, 1, SELFTEST_LAST,
        f_other_federation),
    LIE("entry twice", ALL, AUDIT_DUPLICATE, 1, SELFTEST_LAST, f_duplicate),
    LIE("open twice", ALL, AUDIT_DUPLICATE, 1, SELFTEST_LAST, f_duplicate_open),
    LIE("log_open twice", ALL, AUDIT_ORDER, 1, SELFTEST_LAST, f_second_log_open),
    LIE("money: overdraft by one", ALL, AUDIT_BALANCE, 1, SELFTEST_LAST, f_overdraft),
    LIE("money: adjusted below zero", ALL, AUDIT_BALANCE, 1, SELFTEST_LAST,
        f_adjust_below_zero),
    LIE("money: credit never sent", ALL, AUDIT_CONSERVATION, 1, SELFTEST_NOWHERE,
        f_forged_credit),
    LIE("money: credit twice", ALL, AUDIT_CONSERVATION, 1, SELFTEST_LAST, f_credit_twice),
    LIE("money: credit of one more", ALL, AUDIT_CONSERVATION, 1, SELFTEST_NOWHERE,
        f_credit_more),
    LIE("money: credit of one less", ALL, AUDIT_CONSERVATION, 1, SELFTEST_NOWHERE,
        f_credit_less),
    LIE("money: credit to another", ALL, AUDIT_CONSERVATION, 1, SELFTEST_NOWHERE,
        f_credit_other_payee),
    LIE("money: credit by the issuer", ALL, AUDIT_AUTHORITY, 1, SELFTEST_LAST,
        f_credit_by_issuer),
    LIE("money: credit by a device", ALL, AUDIT_AUTHORITY, 1, SELFTEST_LAST,
        f_credit_by_device),
    LIE("money: accrued by a device", ALL, AUDIT_AUTHORITY, 1, SELFTEST_LAST,
        f_accrue_by_device),
    LIE("money: accrued by the relay key", ALL, AUDIT_AUTHORITY, 1, SELFTEST_LAST,
        f_accrue_by_relay),
    LIE("money: accrued for an old epoch", ALL, AUDIT_AUTHORITY, 1, SELFTEST_LAST,
        f_accrue_again),
    LIE("log: a record left out", ALL, AUDIT_LAMPORT, BIG, AT, f_omitted),
    LIE("log: two records changed places", ALL, AUDIT_LAMPORT, BIG, AT, f_order_changed),
    LIE("residency: pinned account published", DIR, AUDIT_RESIDENCY, 1, SELFTEST_LAST,
        f_pinned),
    HURT("flip: envelope, first byte", ALL, AUDIT_LEAF, BIG, AT, d_envelope_first),
    HURT("flip: envelope, account", ALL, AUDIT_LEAF, BIG, AT, d_envelope_account),
    HURT("flip: envelope, payload", ALL, AUDIT_LEAF, BIG, AT, d_envelope_payload),
    HURT("flip: envelope, signature", ALL, AUDIT_LEAF, BIG, AT, d_envelope_signature),
    HURT("cut: envelope", ALL, AUDIT_LEAF, BIG, AT, d_envelope_shorter),
    HURT("flip: leaf, envelope hash", ALL, AUDIT_LEAF, BIG, AT, d_leaf_hash),
    HURT("flip: leaf, account head", ALL, AUDIT_ORDER, BIG, AT, d_leaf_head),
    HURT("flip: leaf, Lamport", ALL, AUDIT_LAMPORT, BIG, AT, d_leaf_lamport),
    HURT("flip: leaf, time", ALL, AUDIT_LAMPORT, BIG, AT, d_leaf_time),
    HURT("swap: records", ALL, AUDIT_LAMPORT, BIG, AT, f_order_changed),
    HURT("swap: envelopes", ALL, AUDIT_LEAF, BIG, AT, d_envelopes_swapped),
    HURT("repeat: a record", ALL, AUDIT_LAMPORT, BIG, AT + 1, d_repeated),
    HURT("flip: tile", BOTH, AUDIT_INCLUSION, BIG, AT, d_tile),
    HURT("flip: tile, first hash", BOTH, AUDIT_INCLUSION, BIG, 0, d_tile_first),
    HURT("flip: partial tile", DIR, AUDIT_INCLUSION, BIG, 256, d_tile_partial),
    HURT("flip: tile of the second level", DIR, AUDIT_INCLUSION, BIG, 0, d_tile_above),
    HURT("flip: checkpoint, text", ALL, AUDIT_SIGNATURE, BIG, SELFTEST_NOWHERE, d_note_text),
    HURT("flip: checkpoint, signature", ALL, AUDIT_SIGNATURE, BIG, SELFTEST_NOWHERE,
         d_note_signature),
    HURT("checkpoint: not a note", ALL, AUDIT_SIGNATURE, BIG, SELFTEST_NOWHERE, d_note_junk),
    HURT("checkpoint: of another log", ALL, AUDIT_ORDER, BIG, SELFTEST_NOWHERE,
         d_note_of_other),
    HURT("checkpoint: another root signed", ALL, AUDIT_INCLUSION, BIG, SELFTEST_NOWHERE,
         d_other_root),
    HURT("checkpoint: signed by a stranger", ALL, AUDIT_SIGNATURE, BIG, SELFTEST_NOWHERE,
         d_other_key),
    HURT("checkpoint: more records than there are", SQL, AUDIT_SOURCE, BIG, SELFTEST_SIZE,
         d_more_records),
    HURT("checkpoint: more records than there are", DIR, AUDIT_SOURCE, BIG, 256,
         d_more_records),
    HURT("checkpoint: bad cosignature", ALL, AUDIT_SIGNATURE, BIG, SELFTEST_NOWHERE,
         d_cosignature),
    HURT("column: position", SQL, AUDIT_ORDER, BIG, AT, d_position),
    HURT("column: account", SQL, AUDIT_ORDER, BIG, AT, d_account),
    HURT("column: edges", SQL, AUDIT_INCLUSION, BIG, SELFTEST_NOWHERE, d_edges),
    {"cosignatures: fewer than the quorum", ALL, AUDIT_COSIGN, BIG, SELFTEST_NOWHERE, NULL,
     NULL, NULL, true, false, 0, NULL},
    {"seen before: an older checkpoint", ALL, AUDIT_CADENCE, BIG, SELFTEST_NOWHERE, f_stale,
     NULL, NULL, false, true, 0, NULL},
    {"seen before: another tree of that size", ALL, AUDIT_CONSISTENCY, BIG, SELFTEST_SIZE,
     f_fork, NULL, NULL, false, true, EVIDENCE_FORK, NULL},
    {"seen before: another tree, grown since", ALL, AUDIT_ORDER, BIG, AT, f_fork_grown, NULL,
     NULL, false, true, EVIDENCE_FORK, NULL},
    FILE_("file: checkpoint gone", DIR, AUDIT_SOURCE, BIG, SELFTEST_NOWHERE, c_no_checkpoint),
    FILE_("file: checkpoint flipped", DIR, AUDIT_SIGNATURE, BIG, SELFTEST_NOWHERE,
          c_checkpoint_turn),
    FILE_("file: bundle gone", DIR, AUDIT_SOURCE, BIG, 0, c_no_bundle),
    FILE_("file: envelopes gone", DIR, AUDIT_SOURCE, BIG, 0, c_no_envelopes),
    FILE_("file: tile gone", DIR, AUDIT_SOURCE, BIG, 0, c_no_tile),
    FILE_("file: bundle flipped", DIR, AUDIT_LEAF, BIG, AT, c_bundle_turn),
    FILE_("file: length in a bundle flipped", DIR, AUDIT_SOURCE, BIG, AT, c_bundle_length),
    FILE_("file: bundle cut", DIR, AUDIT_SOURCE, BIG, 255, c_bundle_cut),
    FILE_("file: envelopes cut", DIR, AUDIT_SOURCE, BIG, 255, c_envelopes_cut),
    FILE_("file: bundle has more", DIR, AUDIT_SOURCE, BIG, 0, c_bundle_grow),
    FILE_("file: envelopes have more", DIR, AUDIT_SOURCE, BIG, 0, c_envelopes_grow),
    FILE_("file: tile cut", DIR, AUDIT_INCLUSION, BIG, 0, c_tile_cut),
    FILE_("file: tile flipped", DIR, AUDIT_INCLUSION, BIG, AT, c_tile_turn),
    FILE_("row: checkpoint empty", SQL, AUDIT_SOURCE, BIG, SELFTEST_NOWHERE, q_no_checkpoint),
    FILE_("row: tile gone", SQL, AUDIT_SOURCE, BIG, 0, q_no_tile),
    FILE_("row: tile's checksum", SQL, AUDIT_INCLUSION, BIG, 0, q_tile_sum),
    FILE_("row: tile's root", SQL, AUDIT_INCLUSION, BIG, 0, q_tile_root),
    FILE_("row: record gone", SQL, AUDIT_ORDER, BIG, AT, q_row_gone),
    FILE_("row: last record gone", SQL, AUDIT_SOURCE, BIG, SELFTEST_LAST, q_row_last),
    FILE_("row: record moved", SQL, AUDIT_ORDER, BIG, AT, q_row_moved),
    FILE_("row: record's checksum", SQL, AUDIT_SOURCE, BIG, AT, q_sum),
    FILE_("row: position flipped", SQL, AUDIT_SOURCE, BIG, AT, q_position),
    FILE_("row: account flipped", SQL, AUDIT_SOURCE, BIG, AT, q_account),
    FILE_("row: leaf cut", SQL, AUDIT_SOURCE, BIG, AT, q_leaf_short),
    FILE_("row: envelope emptied", SQL, AUDIT_LEAF, BIG, AT, q_envelope_empty),
    FILE_("row: frontier zeroed", SQL, AUDIT_INCLUSION, BIG, SELFTEST_NOWHERE, q_edges),
    FILE_("row: size", SQL, AUDIT_SOURCE, BIG, SELFTEST_NOWHERE, q_size),
    FILE_("row: hub's name", SQL, AUDIT_SOURCE, BIG, SELFTEST_NOWHERE, q_hub),
    FILE_("row: federation", SQL, AUDIT_SOURCE, BIG, SELFTEST_NOWHERE, q_federation),
    FILE_("row: number of slots", SQL, AUDIT_SOURCE, 2, SELFTEST_NOWHERE, q_slots),
};
const size_t selftest_fault_count = sizeof selftest_faults / sizeof selftest_faults[0];
