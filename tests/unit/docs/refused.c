/* Envelopes with the code each gets: one body taken apart into its eleven values, other
 * bytes in the place of some, put together and signed again. */
#include <stdlib.h>
#include <string.h>

#include "crypto/context.h"
#include "ledger/kinds.h"
#include "ledger/mp.h"
#include "vectors.h"

enum field {
    VERSION,
    ACCOUNT,
    DEVICE,
    SEQ,
    PREV,
    REFS,
    LAMPORT,
    TIME,
    KIND,
    PAYLOAD,
    SEALED,
    FIELDS
};
#define FIELD_MAX 4096
#define BODY_MAX 8192

struct parts {
    const struct key *writer;
    size_t size[FIELDS];
    uint8_t value[FIELDS][FIELD_MAX];
};

static struct {
    FILE *out;
    struct world *w;
    struct parts note, open, accrue;
} g;

/* ---- output ---- */

static void put_hex(const uint8_t *data, size_t size)
{
    if (size == 0)
        fputc('-', g.out);
    for (size_t i = 0; i < size;) {
        size_t run = 1;
        while (i + run < size && data[i + run] == data[i])
            run++;
        if (run >= 64) {
            fprintf(g.out, "(%02x*%zu)", data[i], run);
            i += run;
        } else {
            fprintf(g.out, "%02x", data[i++]);
        }
    }
}

static void put_envelope(const char *what, const void *data, size_t size)
{
    enum err e = judge_entry(g.w, bytes_of(data, size));
    fprintf(g.out, "%s ", err_word(e));
    put_hex(data, size);
    fprintf(g.out, " %s\n", what);
}

/* ---- bodies ---- */

static void set(struct parts *p, enum field f, const void *bytes, size_t size)
{
    must(size <= FIELD_MAX, "field fits");
    memcpy(p->value[f], bytes, size);
    p->size[f] = size;
}
#define SET(p, f, literal) set(p, f, literal, sizeof(literal) - 1)

static void set_uint(struct parts *p, enum field f, uint64_t v)
{
    struct mp_writer w = mp_writer_of(p->value[f], FIELD_MAX);
    mp_uint(&w, v);
    p->size[f] = w.size;
}

static void set_32(struct parts *p, enum field f, const void *b)
{
    struct mp_writer w = mp_writer_of(p->value[f], FIELD_MAX);
    mp_bin(&w, b, 32);
    p->size[f] = w.size;
}

static void set_payload(struct parts *p, const struct payload *payload)
{
    struct mp_writer w = mp_writer_of(p->value[PAYLOAD], FIELD_MAX);
    payload_encode(&w, payload);
    must(!w.full, "payload fits");
    p->size[PAYLOAD] = w.size;
    set_uint(p, KIND, payload->kind);
}

static void take_apart(struct parts *p, const struct world_entry *x,
                       enum world_key writer)
{
    struct mp_reader r = mp_reader_of(x->e.body.data, x->e.body.size);
    size_t count;
    must(mp_read_array(&r, &count, FIELDS), "body is an array");
    for (unsigned i = 0; i < FIELDS; i++) {
        struct bytes raw;
        must(mp_read_raw(&r, &raw), "body reads");
        set(p, (enum field)i, raw.data, raw.size);
    }
    p->writer = g.w->key[writer];
}

static size_t join(const struct parts *p, const char *head, size_t head_size,
                   uint8_t *out)
{
    size_t size = head_size;
    memcpy(out, head, head_size);
    for (unsigned i = 0; i < FIELDS; i++) {
        memcpy(out + size, p->value[i], p->size[i]);
        size += p->size[i];
    }
    return size;
}

static size_t envelope_of(const struct parts *p, uint8_t *out)
{
    uint8_t body[BODY_MAX];
    size_t size = join(p, "\x9b", 1, body);
    return world_sign(p->writer, bytes_of(body, size), out);
}

static void put(const char *what, const struct parts *p)
{
    uint8_t envelope[BODY_MAX + SIG_BYTES];
    put_envelope(what, envelope, envelope_of(p, envelope));
}

#define CHANGED(what, base, field, literal)                                              \
    do {                                                                                 \
        struct parts p_ = (base);                                                        \
        SET(&p_, field, literal);                                                        \
        put(what, &p_);                                                                  \
    } while (0)
#define CHANGED_UINT(what, base, field, v)                                               \
    do {                                                                                 \
        struct parts p_ = (base);                                                        \
        set_uint(&p_, field, v);                                                         \
        put(what, &p_);                                                                  \
    } while (0)

/* ---- good ---- */

static void good(void)
{
    static const char *const names[] = {"the worked note's successor",
                                        "an open of a third account",
                                        "the worked accrual's successor"};
    put(names[0], &g.note);
    put(names[1], &g.open);
    put(names[2], &g.accrue);
    struct parts p = g.note;
    SET(&p, SEALED,
        "\x92\xc4\x20"
        "abcdefghijklmnopqrstuvwxyz012345"
        "\xcd\x01\x00");
    put("a note with a sealed attachment of 256 bytes", &p);
    p = g.note;
    struct mp_writer w = mp_writer_of(p.value[REFS], FIELD_MAX);
    mp_array(&w, 1);
    mp_bin(&w, g.w->entry[AT_NOTE].e.id.b, HASH_BYTES);
    p.size[REFS] = w.size;
    put("a note with a ref to an earlier entry", &p);
}

/* ---- form ---- */

static void bad_shape(void)
{
    uint8_t body[BODY_MAX], envelope[BODY_MAX + SIG_BYTES];
    put_envelope("no bytes", "", 0);
    memset(body, 0x5a, SIG_BYTES);
    put_envelope("a signature without a body", body, SIG_BYTES);
    put_envelope("body is nil", envelope,
                 world_sign(g.note.writer, bytes_of("\xc0", 1), envelope));
    size_t size = join(&g.note, "\x9b", 1, body);
    body[0] = 0x9a;
    put_envelope("body of ten values, sealed left out", envelope,
                 world_sign(g.note.writer, bytes_of(body, size - 1), envelope));
    body[0] = 0x9c;
    body[size] = 0xc0;
    put_envelope("body of twelve values", envelope,
                 world_sign(g.note.writer, bytes_of(body, size + 1), envelope));
    body[0] = 0x9b;
    put_envelope("a byte after the body", envelope,
                 world_sign(g.note.writer, bytes_of(body, size + 1), envelope));
    size = join(&g.note, "\xdc\x00\x0b", 3, body);
    put_envelope("array header that is not shortest", envelope,
                 world_sign(g.note.writer, bytes_of(body, size), envelope));
    size_t large = ENVELOPE_BYTES_MAX + 1;
    uint8_t *zero = calloc(1, large);
    must(zero != NULL, "memory");
    put_envelope("one byte over the largest envelope", zero, large);
    put_envelope("as long as an envelope may be, all zero", zero, large - 1);
    free(zero);
}

static void bad_fields(void)
{
    const struct parts *n = &g.note;
    CHANGED("version 0", *n, VERSION, "\x00");
    CHANGED("version 2", *n, VERSION, "\x02");
    CHANGED("version is not shortest", *n, VERSION, "\xcc\x01");
    CHANGED("version is text", *n, VERSION,
            "\xa1"
            "1");
    CHANGED("account nil where the kind wants one", *n, ACCOUNT, "\xc0");
    CHANGED("account of 31 bytes", *n, ACCOUNT,
            "\xc4\x1f"
            "0123456789012345678901234567890");
    CHANGED("account is text", *n, ACCOUNT,
            "\xd9\x20"
            "01234567890123456789012345678901");
    CHANGED("length of account not shortest", *n, ACCOUNT,
            "\xc5\x00\x20"
            "01234567890123456789012345678901");
    CHANGED("device nil", *n, DEVICE, "\xc0");
    CHANGED("prev nil where the kind wants one", *n, PREV, "\xc0");
    CHANGED("seq negative", *n, SEQ, "\xff");
    CHANGED("seq not shortest", *n, SEQ, "\xcd\x00\x03");
    CHANGED("seq a non-negative number in signed form", *n, SEQ, "\xd0\x03");
    CHANGED("seq 2^63", *n, SEQ, "\xcf\x80\x00\x00\x00\x00\x00\x00\x00");
    CHANGED("lamport a float", *n, LAMPORT, "\xca\x40\x80\x00\x00");
    CHANGED("time_ms 2^63", *n, TIME, "\xcf\x80\x00\x00\x00\x00\x00\x00\x00");
    CHANGED("kind negative", *n, KIND, "\xff");
    CHANGED("payload nil", *n, PAYLOAD, "\xc0");
    CHANGED("payload a map", *n, PAYLOAD, "\x80");
    CHANGED("payload an extension type", *n, PAYLOAD, "\xd4\x01\x00");
    CHANGED("payload announces 2^32-1 values", *n, PAYLOAD, "\xdd\xff\xff\xff\xff");
    CHANGED("nine arrays inside each other", *n, PAYLOAD,
            "\x91\x91\x91\x91\x91\x91\x91\x90");
    CHANGED("eight arrays inside each other, which form allows", *n, PAYLOAD,
            "\x91\x91\x91\x91\x91\x91\x90");
    CHANGED("text that is not UTF-8", *n, PAYLOAD, "\x91\xa2\xc0\x80");
    CHANGED("text with a surrogate", *n, PAYLOAD, "\x91\xa3\xed\xa0\x80");
    CHANGED("sealed of one value", *n, SEALED,
            "\x91\xc4\x20"
            "01234567890123456789012345678901");
    CHANGED("sealed commitment of 31 bytes", *n, SEALED,
            "\x92\xc4\x1f"
            "0123456789012345678901234567890"
            "\x01");
    CHANGED("sealed a bool", *n, SEALED, "\xc3");
    CHANGED_UINT("open with seq 1", g.open, SEQ, 1);
    CHANGED_UINT("open with lamport 2", g.open, LAMPORT, 2);
    CHANGED("open with an account", g.open, ACCOUNT,
            "\xc4\x20"
            "01234567890123456789012345678901");
    CHANGED("open with a prev", g.open, PREV,
            "\xc4\x20"
            "01234567890123456789012345678901");
    CHANGED("open with a ref", g.open, REFS,
            "\x91\xc4\x20"
            "01234567890123456789012345678901");
    CHANGED("a hub-written entry with a ref", g.accrue, REFS,
            "\x91\xc4\x20"
            "01234567890123456789012345678901");
}

static void set_refs(struct parts *p, const struct hash refs[], size_t count)
{
    struct mp_writer w = mp_writer_of(p->value[REFS], FIELD_MAX);
    mp_array(&w, count);
    for (size_t i = 0; i < count; i++)
        mp_bin(&w, refs[i].b, HASH_BYTES);
    p->size[REFS] = w.size;
}

static void bad_refs_and_kinds(void)
{
    struct parts p = g.note;
    struct hash refs[9];
    for (size_t i = 0; i < 9; i++)
        memset(refs[i].b, (int)i + 1, HASH_BYTES);
    set_refs(&p, refs, 9);
    put("nine refs", &p);
    struct hash two[2] = {refs[1], refs[0]};
    set_refs(&p, two, 2);
    put("refs descending", &p);
    two[1] = two[0];
    set_refs(&p, two, 2);
    put("a ref twice", &p);
    p = g.note;
    set_refs(&p, &g.w->entry[AT_TRANSFER].e.id, 1);
    put("prev among the refs", &p);
    set_refs(&p, refs, 1);
    put("a ref nobody wrote", &p);
    CHANGED_UINT("kind 0", g.note, KIND, 0);
    CHANGED_UINT("kind 16", g.note, KIND, 16);
    CHANGED_UINT("kind 2^64-1", g.note, KIND, UINT64_MAX);
    CHANGED_UINT("kind 64, mint", g.note, KIND, KIND_MINT);
    CHANGED_UINT("kind 65, seal", g.note, KIND, KIND_SEAL);
    CHANGED_UINT("kind 66, adopt", g.note, KIND, KIND_ADOPT);
    CHANGED_UINT("kind 67, remit", g.note, KIND, KIND_REMIT);
    CHANGED_UINT("kind 68, compaction", g.note, KIND, KIND_COMPACTION);
}

/* ---- payloads ---- */

static void with_payload(const char *what, const struct parts *base,
                         const struct payload *p)
{
    struct parts x = *base;
    set_payload(&x, p);
    put(what, &x);
}

static void bad_small_payloads(void)
{
    struct payload p;
    CHANGED("note without data", g.note, PAYLOAD, "\x90");
    CHANGED("note of two values", g.note, PAYLOAD, "\x92\xc4\x00\xc4\x00");
    CHANGED("note of text", g.note, PAYLOAD,
            "\x91\xa1"
            "x");
    p.kind = KIND_BIND;
    p.bind = (struct p_bind){.chain = 10, .address = bytes_of("addr", 4)};
    with_payload("bind to chain 10", &g.note, &p);
    p.bind = (struct p_bind){.chain = 0, .address = bytes_of("", 0)};
    with_payload("bind to no address", &g.note, &p);
    p.bind.chain = 10;
    with_payload("bind to no address of chain 10", &g.note, &p);
    p.kind = KIND_ADJUST;
    p.adjust = (struct p_adjust){.delta = 0, .reason = bytes_of("why", 3)};
    with_payload("adjust by 0", &g.accrue, &p);
    p.adjust.delta = INT64_MIN;
    with_payload("adjust by -2^63", &g.accrue, &p);
    p.adjust = (struct p_adjust){.delta = 1, .reason = bytes_of("", 0)};
    with_payload("adjust without a reason", &g.accrue, &p);
    p.kind = KIND_ACCRUE;
    p.accrue = (struct p_accrue){.node = g.w->node, .epoch = 2, .amount = 0};
    with_payload("accrue of 0", &g.accrue, &p);
    p.kind = KIND_CREDIT;
    p.credit = (struct p_credit){.amount = 1, .source = bytes_of("hub.example", 11)};
    with_payload("credit from what is no origin", &g.accrue, &p);
    p.credit.source = bytes_of(WORLD_ORIGIN, strlen(WORLD_ORIGIN));
    p.credit.reason = 2;
    with_payload("credit for reason 2", &g.accrue, &p);
    p.credit.reason = 0;
    p.credit.payee_index = PAYEES_MAX;
    with_payload("credit of payee 64", &g.accrue, &p);
    world_payload_open(g.w, &p, KEY_RECOVERY, KEY_SPARE);
    p.open.residency = 2;
    with_payload("open with residency 2", &g.open, &p);
    p.open.residency = 0;
    p.open.hub = bytes_of("Hub.example", 11);
    with_payload("open at a hub with a capital letter", &g.open, &p);
    p.open.hub = bytes_of(".example", 8);
    with_payload("open at a hub whose name begins with a dot", &g.open, &p);
    memset(&p, 0, sizeof p);
    p.kind = KIND_ROOT_ROTATE;
    with_payload("root_rotate by the old root without its proof", &g.note, &p);
    p.root_rotate.how = ROTATE_RECOVERY;
    with_payload("root_rotate by recovery without a device", &g.note, &p);
    p.kind = KIND_LOG_OPEN;
    p.log_open = (struct p_log_open){.federation = g.w->federation,
                                     .hub = bytes_of(WORLD_HUB, strlen(WORLD_HUB)),
                                     .slots = 3,
                                     .rules = 1,
                                     .log_vkey = bytes_of("x", 1)};
    with_payload("log_open with 3 slots", &g.open, &p);
}

static void bad_transfers(void)
{
    static struct payload p;
    struct hash b = g.w->entry[AT_OPEN_B].e.id;
    p.kind = KIND_TRANSFER;
    p.transfer.payee_count = 0;
    with_payload("transfer to nobody", &g.note, &p);
    p.transfer.payee_count = 1;
    p.transfer.payees[0] = (struct payee){.account = b, .amount = 0};
    with_payload("transfer of 0", &g.note, &p);
    p.transfer.payees[0].amount = -1;
    with_payload("transfer of -1", &g.note, &p);
    p.transfer.payees[0] =
        (struct payee){.account = b, .hub = bytes_of("b b", 3), .amount = 1};
    with_payload("transfer to a hub with a space in its name", &g.note, &p);
    p.transfer.payee_count = 2;
    p.transfer.payees[0] = p.transfer.payees[1] =
        (struct payee){.account = b, .amount = 1};
    with_payload("transfer to one payee twice", &g.note, &p);
    p.transfer.payees[1].account = b;
    p.transfer.payees[1].account.b[0]--;
    with_payload("transfer to payees in descending order", &g.note, &p);
    p.transfer.payees[1].amount = 0;
    with_payload("transfer of 0 to a payee out of order", &g.note, &p);
    p.transfer.payees[1].amount = 1;
    p.transfer.payee_count = 3;
    p.transfer.payees[2] = (struct payee){.account = b, .amount = 0};
    with_payload("transfer to a payee out of order, then one of 0", &g.note, &p);
    p.transfer.payee_count = 2;
    p.transfer.payees[1].hub = bytes_of("b b", 3);
    with_payload("the same, and a bad hub name: form comes first", &g.note, &p);
    p.transfer.payee_count = 1;
    p.transfer.payees[0] = (struct payee){.account = b, .amount = 3750001};
    with_payload("transfer of more than there is", &g.note, &p);
    p.transfer.payees[0].amount = 1;
    p.transfer.payees[0].hub = bytes_of("other.example", 13);
    with_payload("transfer to another hub", &g.note, &p);
    p.transfer.payees[0].hub = bytes_of(NULL, 0);
    p.transfer.payees[0].account = g.w->entry[AT_OPEN_A].e.id;
    with_payload("transfer to the payer", &g.note, &p);
}

static void bad_splits(void)
{
    static struct payload p;
    p.kind = KIND_SPLIT;
    struct split_terms *t = &p.split.terms;
    t->payer = world_pub(g.w, KEY_A_ROOT);
    t->amount = 10;
    t->share_count = 1;
    t->shares[0].root = t->payer;
    t->shares[0].amount = 9;
    with_payload("split whose shares sum to less", &g.note, &p);
    t->shares[0].amount = 11;
    with_payload("split with a share over the amount", &g.note, &p);
    t->shares[0].amount = -1;
    with_payload("split with a negative share", &g.note, &p);
    t->amount = 0;
    t->shares[0].amount = 1;
    with_payload("split of 0 whose shares do not sum to it", &g.note, &p);
    t->amount = 10;
    t->share_count = 0;
    with_payload("split without shares", &g.note, &p);
    t->share_count = 2;
    t->shares[0].amount = 10;
    t->shares[1] = t->shares[0];
    t->shares[1].amount = 0;
    with_payload("split with a member twice", &g.note, &p);
    t->share_count = 1;
    t->shares[0].root = world_pub(g.w, KEY_B_ROOT);
    with_payload("split with a stranger", &g.note, &p);
}

/* Old terms before new ones. */
static void bad_corrections(void)
{
    static struct payload p;
    p.kind = KIND_SPLIT_CORRECT;
    struct split_terms *old = &p.split_change.old_terms, *new = &p.split_change.new_terms;
    p.split_change.split = g.w->node;
    old->payer = old->shares[0].root = world_pub(g.w, KEY_A_ROOT);
    old->amount = 10;
    old->share_count = 1;
    old->shares[0].amount = 10;
    *new = *old;
    with_payload("correction of a split that is not there", &g.note, &p);
    old->shares[0].amount = 9;
    new->amount = 0;
    with_payload("correction: old shares sum to less, new amount 0", &g.note, &p);
    *old = *new;
    *new = (struct split_terms){.payer = old->payer, .amount = 10, .share_count = 1};
    new->shares[0].root = old->payer;
    with_payload("correction: old amount 0, new shares sum to less", &g.note, &p);
}

/* ---- signatures ---- */

/* L of Ed25519, little-endian. */
static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
                                  0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                  0,    0,    0,    0,    0,    0,    0,    0,
                                  0,    0,    0,    0,    0,    0,    0,    0x10};

static void bad_signatures(void)
{
    uint8_t x[BODY_MAX + SIG_BYTES];
    size_t size = envelope_of(&g.note, x), body = size - SIG_BYTES;
    x[body] ^= 1;
    put_envelope("a bit of R turned", x, size);
    x[body] ^= 1;
    x[body + 32] ^= 1;
    put_envelope("a bit of S turned", x, size);
    x[body + 32] ^= 1;
    unsigned carry = 0;
    for (unsigned i = 0; i < 32; i++) {
        carry += (unsigned)x[body + 32 + i] + order[i];
        x[body + 32 + i] = (uint8_t)carry;
        carry >>= 8;
    }
    put_envelope("S + L in the place of S", x, size);
    memset(x + body, 0, SIG_BYTES);
    put_envelope("signature of zeros", x, size);
    x[body] = 1;
    put_envelope("R the identity, S zero", x, size);

    size = envelope_of(&g.note, x);
    struct signature s = key_sign(g.note.writer, CTX_HELLO, x, body);
    memcpy(x + body, s.b, SIG_BYTES);
    put_envelope("signed under stoa/hello/v1", x, size);
    s = key_sign_bare(g.note.writer, x, body);
    memcpy(x + body, s.b, SIG_BYTES);
    put_envelope("signed without a context", x, size);
    struct parts p = g.note;
    p.writer = g.w->key[KEY_B_DEVICE];
    put("signed by a key that is not `device`", &p);

    static const uint8_t identity[32] = {1};
    p = g.note;
    set_32(&p, DEVICE, identity);
    put("device a small-order point", &p);
    size = envelope_of(&p, x);
    memset(x + size - SIG_BYTES, 0, SIG_BYTES);
    x[size - SIG_BYTES] = 1;
    put_envelope("device and R the identity, S zero: the bare equation holds", x, size);
    uint8_t high[32];
    memset(high, 0xff, sizeof high);
    high[0] = 0xee;
    high[31] = 0x7f;
    set_32(&p, DEVICE, high);
    put("device a non-canonical encoding", &p);
}

static void bad_embedded(void)
{
    struct payload p;
    world_payload_open(g.w, &p, KEY_RECOVERY, KEY_SPARE);
    p.open.root_sig.b[0] ^= 1;
    with_payload("open whose root signature is false", &g.open, &p);
    world_payload_open(g.w, &p, KEY_RECOVERY, KEY_B_DEVICE);
    with_payload("open whose root signed another device", &g.open, &p);
    world_payload_open(g.w, &p, KEY_RECOVERY, KEY_SPARE);
    p.open.federation = g.w->node;
    with_payload("open in another federation", &g.open, &p);
    world_payload_open(g.w, &p, KEY_RECOVERY, KEY_SPARE);
    memset(p.open.root.b, 0, sizeof p.open.root.b);
    p.open.root.b[0] = 1;
    with_payload("open whose root is the identity", &g.open, &p);
    world_payload_open(g.w, &p, KEY_RECOVERY, KEY_SPARE);
    p.open.has_recovery = true;
    p.open.recovery = world_pub(g.w, KEY_ISSUER);
    with_payload("open whose recovery key is the hub's issuer key", &g.open, &p);
    p.kind = KIND_DEVICE_ADD;
    p.device_add = (struct p_device_add){.root = world_pub(g.w, KEY_A_ROOT),
                                         .device = world_pub(g.w, KEY_SPARE),
                                         .grant = 1};
    with_payload("device_add without the root's signature", &g.note, &p);
    p.device_add.grant = 0;
    with_payload("device_add with a grant used before", &g.note, &p);
}

/* ---- rules ---- */

static void bad_rules(void)
{
    struct payload p;
    CHANGED_UINT("a seq before the next", g.note, SEQ, 2);
    CHANGED_UINT("a seq after the next", g.note, SEQ, 4);
    CHANGED_UINT("lamport one too high", g.note, LAMPORT, 5);
    struct parts x = g.note;
    set_32(&x, PREV, g.w->entry[AT_NOTE].e.id.b);
    put("prev that is not the newest", &x);
    x = g.note;
    set_32(&x, ACCOUNT, g.w->node.b);
    put("an account nobody opened", &x);
    x = g.note;
    struct pubkey spare = world_pub(g.w, KEY_SPARE);
    set_32(&x, DEVICE, spare.b);
    x.writer = g.w->key[KEY_SPARE];
    put("a device that is not enrolled", &x);
    p.kind = KIND_ACCRUE;
    p.accrue = (struct p_accrue){.node = g.w->node, .epoch = 1, .amount = 1};
    with_payload("an epoch that is there already", &g.accrue, &p);
    p.accrue.epoch = 2;
    with_payload("an accrual by a member's device", &g.note, &p);
    put_envelope("the worked open again", g.w->entry[AT_OPEN_A].bytes,
                 g.w->entry[AT_OPEN_A].size);
    p.kind = KIND_INVITE;
    p.invite = (struct p_invite){.key = spare, .expires_ms = 1};
    with_payload("an invite that has expired", &g.note, &p);
    p.invite.expires_ms = 1700000200000;
    with_payload("an invite without the root's signature", &g.note, &p);
    p.kind = KIND_MEMBER_REMOVE;
    p.member_remove = (struct p_member_remove){.root = world_pub(g.w, KEY_A_ROOT)};
    with_payload("the last member removed", &g.note, &p);
    p.kind = KIND_DEVICE_REVOKE;
    p.device_revoke.device = world_pub(g.w, KEY_A_DEVICE);
    with_payload("the last device revoked", &g.note, &p);
}

/* The next entry of A's device, an open of a third account, the next of the issuer. */
static void bases(void)
{
    struct payload p;
    take_apart(&g.note, &g.w->entry[AT_NOTE], KEY_A_DEVICE);
    set_uint(&g.note, SEQ, 3);
    set_32(&g.note, PREV, g.w->entry[AT_TRANSFER].e.id.b);
    set_uint(&g.note, LAMPORT, 4);
    take_apart(&g.open, &g.w->entry[AT_OPEN_B], KEY_SPARE);
    struct pubkey spare = world_pub(g.w, KEY_SPARE);
    set_32(&g.open, DEVICE, spare.b);
    world_payload_open(g.w, &p, KEY_RECOVERY, KEY_SPARE);
    set_payload(&g.open, &p);
    take_apart(&g.accrue, &g.w->entry[AT_ACCRUE], KEY_ISSUER);
    set_uint(&g.accrue, SEQ, 1);
    set_32(&g.accrue, PREV, g.w->entry[AT_ACCRUE].e.id.b);
    set_uint(&g.accrue, LAMPORT, 3);
    p.kind = KIND_ACCRUE;
    p.accrue = (struct p_accrue){.node = g.w->node, .epoch = 2, .amount = 1};
    set_payload(&g.accrue, &p);
}

void print_entries(FILE *out, struct world *w)
{
    g.out = out;
    g.w = w;
    bases();
    fputs("# code, envelope in hex, what it is. Each is judged by the log of worked.txt "
          "after\n"
          "# record 6, at hub time 1700000100000: form, then signature, then the rules.\n"
          "# (hh*n) stands for n times the byte hh; - for no bytes.\n",
          out);
    good();
    bad_shape();
    bad_fields();
    bad_refs_and_kinds();
    bad_small_payloads();
    bad_transfers();
    bad_splits();
    bad_corrections();
    bad_signatures();
    bad_embedded();
    bad_rules();
}
