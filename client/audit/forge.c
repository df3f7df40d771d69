#include "client/audit/forge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/scratch.h"
#include "crypto/be64.h"
#include "crypto/context.h"

#define SEED_RELAY 1
#define SEED_ISSUER 2
#define SEED_LOG 3
#define SEED_WITNESS 4
#define SEED_STRANGER 5
#define SEED_PEOPLE 16
#define NOTES_OF_FIRST 280 /* more than one tile in his slot */
#define FIRST_TIME_MS UINT64_C(1700000000000)
#define WITNESS_TIME_S UINT64_C(1700000100)
#define POINT INT64_C(1000000)

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "selftest: %s failed\n", what);
    abort();
}

static struct key *key_of(uint8_t n)
{
    uint8_t seed[SEED_BYTES];
    memset(seed, n, sizeof(seed));
    struct key *k = key_from_seed(seed);
    must(k != NULL, "key");
    return k;
}

/* ---- opening and closing ------------------------------------------------------------------
 */

static void make_keys(struct forge *f)
{
    f->relay = key_of(SEED_RELAY);
    f->issuer = key_of(SEED_ISSUER);
    f->log = key_of(SEED_LOG);
    f->witness = key_of(SEED_WITNESS);
    f->stranger = key_of(SEED_STRANGER);
    for (uint8_t i = 0; i < FORGE_PEOPLE; i++) {
        f->people[i].root = key_of((uint8_t)(SEED_PEOPLE + 3 * i));
        f->people[i].device = key_of((uint8_t)(SEED_PEOPLE + 3 * i + 1));
        f->people[i].spare = key_of((uint8_t)(SEED_PEOPLE + 3 * i + 2));
    }
    struct pubkey log = key_public(f->log), witness = key_public(f->witness);
    for (uint32_t i = 0; i < FORGE_SLOTS; i++) {
        char origin[64];
        snprintf(origin, sizeof(origin), FORGE_HUB "/%02x", (unsigned)i);
        must(vkey_make(&f->log_key[i], origin, NOTE_ED25519, &log), "log key");
    }
    must(vkey_make(&f->witness_key, "witness.selftest", NOTE_COSIGNATURE, &witness),
         "witness key");
}

struct forge *forge_open(void)
{
    struct forge *f = calloc(1, sizeof(*f));
    must(f != NULL, "memory");
    make_keys(f);
    memset(f->federation.b, 7, HASH_BYTES);
    memcpy(f->hub, FORGE_HUB, sizeof(FORGE_HUB));
    f->slots_named = FORGE_SLOTS;
    f->clock_ms = FIRST_TIME_MS;
    for (uint32_t i = 0; i < FORGE_SLOTS; i++)
        must(replay_open(&f->slot[i].p, i, false) == ERR_OK, "replay");
    return f;
}

void forge_close(struct forge *f)
{
    if (!f)
        return;
    for (uint32_t i = 0; i < FORGE_SLOTS; i++) {
        replay_close(&f->slot[i].p);
        free(f->slot[i].rows);
        free(f->slot[i].tiles[0]);
        free(f->slot[i].tiles[1]);
    }
    for (size_t i = 0; i < FORGE_PEOPLE; i++) {
        key_free(f->people[i].root);
        key_free(f->people[i].device);
        key_free(f->people[i].spare);
    }
    key_free(f->relay);
    key_free(f->issuer);
    key_free(f->log);
    key_free(f->witness);
    key_free(f->stranger);
    free(f);
}

/* ---- records --------------------------------------------------------------------------------
 */

static struct hash head_of(const struct forge_slot *s, const struct entry *e, bool known)
{
    if (!known)
        return (struct hash){{0}};
    if (e->kind == KIND_LOG_OPEN || e->kind == KIND_HUB_KEY || e->kind == KIND_RULES ||
        e->kind == KIND_BOUNCE)
        return s->p.hub.head;
    const struct replay_seat *seat =
        s->p.table_size ? replay_find(&s->p, entry_account(e)) : NULL;
    return seat ? seat->account.head : (struct hash){{0}};
}

static uint64_t position_of(const struct forge_slot *s, const struct entry *e, bool known)
{
    if (!known)
        return 0;
    if (e->kind == KIND_LOG_OPEN || e->kind == KIND_HUB_KEY || e->kind == KIND_RULES ||
        e->kind == KIND_BOUNCE)
        return s->p.hub.position;
    const struct replay_seat *seat =
        s->p.table_size ? replay_find(&s->p, entry_account(e)) : NULL;
    return seat ? seat->account.position : 0;
}

static uint64_t source_lamport(const struct entry *e, bool known)
{
    UNINITIALIZED struct payload p;
    if (!known || (e->kind != KIND_CREDIT && e->kind != KIND_BOUNCE) ||
        payload_decode(&p, e->kind, e->payload) != ERR_OK)
        return 0;
    return e->kind == KIND_CREDIT ? p.credit.source_lamport : p.bounce.item.source_lamport;
}

static struct row *row_new(struct forge_slot *s)
{
    if (s->count == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 64;
        s->rows = realloc(s->rows, s->cap * sizeof(s->rows[0]));
        must(s->rows != NULL, "memory");
    }
    struct row *r = &s->rows[s->count++];
    memset(r, 0, sizeof(*r));
    return r;
}

void forge_raw(struct forge *f, uint32_t slot, const uint8_t *envelope, size_t size,
               const struct twist *t)
{
    static const struct twist none;
    struct forge_slot *s = &f->slot[slot];
    UNINITIALIZED struct entry e;
    struct replay_fault fault;
    if (!t)
        t = &none;
    must(!s->loose && size <= FORGE_ENVELOPE_MAX, "order of forging");
    bool known = entry_decode(&e, envelope, size) == ERR_OK;
    uint64_t before = s->p.hub_lamport, source = source_lamport(&e, known);
    if (source > before)
        before = source;
    f->clock_ms += 10;
    struct hash old_head = head_of(s, &e, known);
    struct record r = {.slot = slot,
                       .index = s->count,
                       .position = position_of(s, &e, known),
                       .account_head = account_head_next(&old_head, bytes_of(envelope, size)),
                       .hub_lamport = before + 1 + (uint64_t)t->hub_lamport,
                       .hub_time_ms = f->clock_ms + (uint64_t)t->hub_time,
                       .envelope = bytes_of(envelope, size)};
    if (t->head)
        r.account_head.b[5] ^= 1;
    struct row *row = row_new(s);
    row->index = r.index;
    row->position = r.position;
    if (known) {
        row->account = *entry_account(&e);
        row->id = e.id;
    }
    record_leaf(&r, row->leaf);
    memcpy(row->envelope, envelope, size);
    row->size = size;
    if (!known || replay_apply(&s->p, &e, &r, &fault) != ERR_OK)
        s->loose = true;
}

static void chain_of(const struct forge *f, const struct forge_slot *s,
                     const struct hash *account, const struct key *key, struct chain *out)
{
    struct pubkey pub = key_public(key);
    (void)f;
    memset(out, 0, sizeof(*out));
    if (!account)
        return;
    if (hash_equal(account, &s->p.hub.id)) {
        *out = s->p.hub.chain;
        return;
    }
    struct replay_seat *seat = s->p.table_size ? replay_find(&s->p, account) : NULL;
    const struct chain *c =
        seat ? account_chain(&seat->account, &s->p.hub, &pub) : NULL;
    if (c)
        *out = *c;
}

size_t forge_build(struct forge *f, uint32_t slot, const struct hash *account,
                   const struct key *key, const struct payload *p, const struct twist *t,
                   uint8_t envelope[FORGE_ENVELOPE_MAX])
{
    static const struct twist none;
    uint8_t payload[1536];
    struct forge_slot *s = &f->slot[slot];
    struct chain c;
    struct hash ref;
    size_t size;
    if (!t)
        t = &none;
    struct mp_writer w = mp_writer_of(payload, sizeof(payload));
    payload_encode(&w, p);
    must(!w.full, "payload");
    chain_of(f, s, account, key, &c);
    memset(ref.b, 0x11, HASH_BYTES);
    struct hash prev = c.tip;
    if (t->prev)
        prev.b[0] ^= 1;
    struct entry_draft d = {.account = account,
                            .seq = c.next_seq + (uint64_t)t->seq,
                            .prev = account ? &prev : NULL,
                            .refs = &ref,
                            .ref_count = t->ref ? 1 : 0,
                            .lamport = account ? c.tip_lamport + 1 + (uint64_t)t->lamport : 1,
                            .time_ms = f->clock_ms,
                            .kind = p->kind,
                            .payload = bytes_of(payload, w.size)};
    must(entry_build(&d, key, envelope, FORGE_ENVELOPE_MAX, &size) == ERR_OK, "entry");
    if (t->signer) {
        struct signature sig =
            key_sign(t->signer, CTX_ENTRY, envelope, size - SIG_BYTES);
        memcpy(envelope + size - SIG_BYTES, sig.b, SIG_BYTES);
    }
    if (t->signature)
        envelope[size - SIG_BYTES] ^= 1;
    return size;
}

void forge_entry(struct forge *f, uint32_t slot, const struct hash *account,
                 const struct key *key, const struct payload *p, const struct twist *t)
{
    uint8_t envelope[FORGE_ENVELOPE_MAX];
    size_t size = forge_build(f, slot, account, key, p, t, envelope);
    forge_raw(f, slot, envelope, size, t);
}

/* ---- the good log ------------------------------------------------------------------------------
 */

static void write_log_open(struct forge *f, uint32_t slot)
{
    char vkey[VKEY_TEXT_MAX];
    size_t n = vkey_format(&f->log_key[slot], vkey, sizeof(vkey));
    struct payload p = {.kind = KIND_LOG_OPEN};
    p.log_open = (struct p_log_open){.federation = f->federation,
                                     .hub = bytes_of(FORGE_HUB, strlen(FORGE_HUB)),
                                     .slot = slot,
                                     .slots = FORGE_SLOTS,
                                     .rules = RULES_VERSION,
                                     .issuer = key_public(f->issuer),
                                     .relay = key_public(f->relay),
                                     .log_vkey = bytes_of(vkey, n)};
    forge_entry(f, slot, NULL, f->relay, &p, NULL);
}

/* An account of this person in a slot of its own choice: the nonce is tried until it fits. */
void forge_account(struct forge *f, struct person_made *x, uint32_t slot,
                   const struct hash *federation, enum residency residency)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    struct pubkey device = key_public(x->device);
    for (;;) {
        struct payload p = {.kind = KIND_OPEN};
        p.open = (struct p_open){.federation = *federation,
                                 .hub = bytes_of(FORGE_HUB, strlen(FORGE_HUB)),
                                 .root = key_public(x->root),
                                 .residency = residency};
        be64_put(p.open.nonce.b, ++f->nonce);
        size_t n = grant_open_message(message, &p.open, &device);
        p.open.root_sig = key_sign(x->root, CTX_DEVICE, message, n);
        struct mp_writer w;
        uint8_t payload[1024], envelope[FORGE_ENVELOPE_MAX];
        w = mp_writer_of(payload, sizeof(payload));
        payload_encode(&w, &p);
        struct entry_draft d = {.lamport = 1,
                                .time_ms = f->clock_ms,
                                .kind = KIND_OPEN,
                                .payload = bytes_of(payload, w.size)};
        size_t size;
        UNINITIALIZED struct entry e;
        must(entry_build(&d, x->device, envelope, sizeof(envelope), &size) == ERR_OK &&
                 entry_decode(&e, envelope, size) == ERR_OK,
             "open");
        if (slot_of(&e.id, FORGE_SLOTS) != slot)
            continue;
        x->account = e.id;
        x->slot = slot;
        forge_raw(f, slot, envelope, size, NULL);
        return;
    }
}

static void write_note(struct forge *f, const struct person_made *x, const struct key *by)
{
    struct payload p = {.kind = KIND_NOTE};
    p.note.data = bytes_of("some words", 10);
    forge_entry(f, x->slot, &x->account, by, &p, NULL);
}

static void write_accrue(struct forge *f, const struct person_made *x, uint64_t epoch,
                         int64_t amount)
{
    struct payload p = {.kind = KIND_ACCRUE};
    memset(p.accrue.node.b, 3, HASH_BYTES);
    p.accrue.epoch = epoch;
    p.accrue.amount = amount;
    forge_entry(f, x->slot, &x->account, f->issuer, &p, NULL);
}

static void write_spare(struct forge *f, const struct person_made *x)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    struct payload p = {.kind = KIND_DEVICE_ADD};
    p.device_add.root = key_public(x->root);
    p.device_add.device = key_public(x->spare);
    p.device_add.grant = 1;
    size_t n = grant_device_message(message, &x->account, &p.device_add.root,
                                    &p.device_add.device, 1);
    p.device_add.root_sig = key_sign(x->root, CTX_DEVICE, message, n);
    forge_entry(f, x->slot, &x->account, x->device, &p, NULL);
    write_note(f, x, x->spare);
    p = (struct payload){.kind = KIND_DEVICE_REVOKE};
    p.device_revoke.device = key_public(x->spare);
    forge_entry(f, x->slot, &x->account, x->device, &p, NULL);
}

void forge_send(struct forge *f, const struct person_made *from,
                const struct person_made *to, int64_t amount)
{
    struct payload p = {.kind = KIND_TRANSFER};
    p.transfer.payee_count = 1;
    p.transfer.payees[0].account = to->account;
    p.transfer.payees[0].amount = amount;
    forge_entry(f, from->slot, &from->account, from->device, &p, NULL);
}

void forge_credit(struct forge *f, const struct person_made *from,
                  const struct person_made *to, const struct key *by, int64_t more)
{
    const struct channel_item m = f->slot[from->slot].p.fx->items[0];
    struct payload c = {.kind = KIND_CREDIT};
    c.credit = (struct p_credit){
        .cause = m.cause,
        .payee_index = m.payee_index,
        .amount = m.amount + more,
        .source = bytes_of(f->log_key[from->slot].name, strlen(f->log_key[from->slot].name)),
        .source_index = m.source_index,
        .out_seq = m.out_seq,
        .source_lamport = m.source_lamport,
        .reason = CREDIT_PAYMENT};
    forge_entry(f, to->slot, &to->account, by, &c, NULL);
}

static void write_payment(struct forge *f, const struct person_made *from,
                          const struct person_made *to, int64_t amount)
{
    forge_send(f, from, to, amount);
    must(!f->slot[from->slot].loose && f->slot[from->slot].p.fx->item_count == 1, "payment");
    forge_credit(f, from, to, f->relay, 0);
    must(!f->slot[to->slot].loose, "credit");
}

void forge_fill(struct forge *f)
{
    for (uint32_t i = 0; i < FORGE_SLOTS; i++)
        write_log_open(f, i);
    for (uint32_t i = 0; i < FORGE_PEOPLE; i++)
        forge_account(f, &f->people[i], i % FORGE_SLOTS, &f->federation, RESIDENCY_GLOBAL);
    for (uint64_t i = 0; i < FORGE_PEOPLE; i++) {
        write_accrue(f, &f->people[i], 1, (int64_t)(100 + i) * POINT);
        write_spare(f, &f->people[i]);
    }
    for (size_t i = 0; i < FORGE_PEOPLE; i++)
        for (size_t k = 0; k < FORGE_PEOPLE; k++)
            if (i != k)
                write_payment(f, &f->people[i], &f->people[k], POINT + (int64_t)k);
    for (int i = 0; i < NOTES_OF_FIRST; i++)
        write_note(f, &f->people[0], f->people[0].device);
    for (uint32_t i = 0; i < FORGE_SLOTS; i++)
        must(!f->slot[i].loose, "a good log");
}

/* ---- signing -------------------------------------------------------------------------------------
 */

static void make_tiles(struct forge_slot *s)
{
    size_t full = s->count / TILE_HASHES;
    free(s->tiles[0]);
    free(s->tiles[1]);
    s->tiles[0] = calloc(s->count + 1, sizeof(struct hash));
    s->tiles[1] = calloc(full + 1, sizeof(struct hash));
    must(s->tiles[0] && s->tiles[1], "memory");
    for (size_t i = 0; i < s->count; i++)
        s->tiles[0][i] = hash_leaf(s->rows[i].leaf, LEAF_BYTES);
    for (size_t i = 0; i < full; i++)
        s->tiles[1][i] = tile_root(s->tiles[0] + i * TILE_HASHES, TILE_HASHES);
    s->tile_hashes[0] = s->count;
    s->tile_hashes[1] = full;
}

void forge_sign_slot(struct forge *f, uint32_t slot, bool cosigned)
{
    struct forge_slot *s = &f->slot[slot];
    struct frontier t = {0};
    for (size_t i = 0; i < s->count; i++) {
        struct hash leaf = hash_leaf(s->rows[i].leaf, LEAF_BYTES);
        must(frontier_append(&t, &leaf), "tree");
    }
    struct checkpoint c = {.size = s->count, .root = frontier_root(&t)};
    char text[512];
    memcpy(c.origin, f->log_key[slot].name, sizeof(c.origin));
    s->note_size =
        checkpoint_sign(s->note, sizeof(s->note), &c, &f->log_key[slot], f->log);
    size_t size = checkpoint_format(text, sizeof(text), &c);
    must(s->note_size > 0 && size > 0, "checkpoint");
    if (cosigned) {
        size_t n = note_cosign_line(s->note + s->note_size, sizeof(s->note) - s->note_size,
                                    text, size, WITNESS_TIME_S, &f->witness_key, f->witness);
        must(n > 0, "cosignature");
        s->note_size += n;
    }
    s->edge_count = frontier_edges(&t, s->edges);
    make_tiles(s);
}

void forge_sign(struct forge *f, bool cosigned)
{
    for (uint32_t i = 0; i < FORGE_SLOTS; i++)
        forge_sign_slot(f, i, cosigned);
}

size_t forge_policy(const struct forge *f, char *out, size_t cap, bool quorum)
{
    char vkey[VKEY_TEXT_MAX];
    size_t used = 0;
    for (uint32_t i = 0; i < FORGE_SLOTS; i++) {
        vkey_format(&f->log_key[i], vkey, sizeof(vkey));
        used += (size_t)snprintf(out + used, cap - used, "log %s\n", vkey);
    }
    vkey_format(&f->witness_key, vkey, sizeof(vkey));
    used += (size_t)snprintf(out + used, cap - used, "witness w %s\nquorum %s\n", vkey,
                             quorum ? "w" : "none");
    must(used < cap, "policy");
    return used;
}
