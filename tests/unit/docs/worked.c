/* The worked examples as a person reads them, and the same values one a line. */
#include <string.h>

#include "crypto/context.h"
#include "crypto/seal.h"
#include "ledger/address.h"
#include "ledger/mp.h"
#include "ledger/wire.h"
#include "vectors.h"

#define FRAME_MAX 4096

#define BODY(payload)                                                                    \
    "body(version,account,device,seq,prev,refs,lamport,time_ms,kind," payload ",sealed)"

static const struct {
    const char *title, *name, *spec;
    enum world_key key;
} parts[WORLD_RECORDS] = {
    [AT_LOG_OPEN] =
        {"log_open, written by the relay key", "log_open",
         BODY("payload(federation,hub,slot,slots,rules,issuer,relay,log_vkey)"),
         KEY_RELAY},
    [AT_OPEN_A] = {"open: account A", "open_a",
                   BODY("payload(federation,hub,root,root_sig,residency,recovery,nonce)"),
                   KEY_A_DEVICE},
    [AT_OPEN_B] = {"open: account B", "open_b",
                   BODY("payload(federation,hub,root,root_sig,residency,recovery,nonce)"),
                   KEY_B_DEVICE},
    [AT_ACCRUE] = {"accrue: 5.00 points to A for node-1, epoch 1, by the issuer key",
                   "accrue", BODY("payload(node,epoch,amount)"), KEY_ISSUER},
    [AT_NOTE] = {"note: \"hello\", by A's device", "note", BODY("payload(data)"),
                 KEY_A_DEVICE},
    [AT_TRANSFER] = {"transfer: 1.25 points from A to B", "transfer",
                     BODY("payload(payees[payee(account,hub,amount)])"), KEY_A_DEVICE},
    [AT_CREDIT] = {"credit: the transfer's item, settled in B by the relay key", "credit",
                   BODY("payload(cause,payee_index,amount,source,source_index,out_seq,"
                        "source_lamport,reason)"),
                   KEY_RELAY},
};

#define ACCOUNT_SPEC                                                                     \
    "account(version,id,position,head,balance,residency,recovery,bound,"                 \
    "hub_chain(next_seq,tip,tip_lamport),next_member,"                                   \
    "members[member(number,root,grants,rotations,position)],"                            \
    "devices[device(key,member,chain(next_seq,tip,tip_lamport))],revoked[key],"          \
    "invites[invite(id,key,expires_ms,lamport)],refs[ref(id,lamport)],"                  \
    "nodes[node(node,epoch)],splits[split(id,terms)])"
#define HUB_SPEC                                                                         \
    "hub_account(version,id,position,head,chain(next_seq,tip,tip_lamport),federation,"   \
    "hub,slot,slots,rules,issuer,relay,log_key,accrued,adjusted,sent,settled,"           \
    "channels[channel(origin,next_in,next_out)])"

static void hex(FILE *out, const void *data, size_t size)
{
    const uint8_t *b = data;
    for (size_t i = 0; i < size; i++)
        fprintf(out, "%02x", b[i]);
}

static void line(FILE *out, const char *name, const void *data, size_t size)
{
    fprintf(out, "%-24s", name);
    hex(out, data, size);
    fputc('\n', out);
}

static void fence(FILE *out, const char *title)
{
    fprintf(out, "**%s**\n\n```text\n", title);
}

static void fence_end(FILE *out)
{
    fputs("```\n\n", out);
}

/* ---- values made once for both forms ---- */

struct wire_examples {
    size_t message_size, hello_size, submit_size, results_size;
    uint8_t message[MESSAGE_BYTES_MAX], hello[FRAME_MAX], submit[FRAME_MAX],
        results[FRAME_MAX];
    struct hash hub_nonce, client_nonce;
    struct signature sig;
    struct wire_result accepted, refused;
    uint8_t refusal[MESSAGE_BYTES_MAX], head[MESSAGE_BYTES_MAX];
    size_t refusal_size, head_size;
    struct signature head_sig;
    struct hash path[MERKLE_PATH_MAX];
    struct hash refused_id;
};

static void make_results(struct world *w, struct wire_examples *x)
{
    char note[CHECKPOINT_BYTES_MAX];
    const struct world_entry *t = &w->entry[AT_TRANSFER];
    size_t count = world_inclusion(w, AT_TRANSFER, 6, x->path);
    size_t note_size = world_checkpoint(w, 6, note);
    x->accepted = (struct wire_result){.rid = 2,
                                       .index = t->r.index,
                                       .position = t->r.position,
                                       .account_head = t->r.account_head,
                                       .hub_lamport = t->r.hub_lamport,
                                       .hub_time_ms = t->r.hub_time_ms,
                                       .path = bytes_of(x->path, count * HASH_BYTES)};
    const struct account *a = slotlog_account(&w->log, &w->entry[AT_OPEN_A].e.id);
    x->refused_id = w->node; /* some entry; only its id is signed */
    x->refusal_size =
        refusal_message(x->refusal, &x->refused_id, ERR_BALANCE, WORLD_TIME_MS + 9000);
    x->refused = (struct wire_result){
        .rid = 2,
        .i = 1,
        .code = ERR_BALANCE,
        .has_head = true,
        .next_seq = a->devices[0].chain.next_seq,
        .tip = a->devices[0].chain.tip,
        .tip_lamport = a->devices[0].chain.tip_lamport,
        .balance = a->balance,
        .hub_time_ms = WORLD_TIME_MS + 9000,
        .has_sig = true,
        .sig = key_sign(w->key[KEY_RELAY], CTX_REFUSAL, x->refusal, x->refusal_size)};
    struct mp_writer m = mp_writer_of(x->results, sizeof x->results);
    wire_put(&m, &(struct wire_frame){.type = WIRE_RESULTS, .note_count = 1});
    wire_put_slot_note(&m, 0, bytes_of(note, note_size));
    wire_put_list(&m, 2);
    wire_put_result(&m, &x->accepted);
    wire_put_result(&m, &x->refused);
    must(!m.full, "RESULTS fits");
    x->results_size = m.size;
}

static void make_wire(struct world *w, struct wire_examples *x)
{
    struct pubkey device = world_pub(w, KEY_A_DEVICE);
    memset(x->hub_nonce.b, 0x10, sizeof x->hub_nonce.b);
    memset(x->client_nonce.b, 0x20, sizeof x->client_nonce.b);
    x->message_size = hello_message(x->message, &w->federation, WORLD_HUB, &x->hub_nonce,
                                    &x->client_nonce, &device);
    x->sig = key_sign(w->key[KEY_A_DEVICE], CTX_HELLO, x->message, x->message_size);
    struct mp_writer m = mp_writer_of(x->hello, sizeof x->hello);
    wire_put(&m, &(struct wire_frame){.type = WIRE_HELLO,
                                      .rid = 1,
                                      .nonce = x->client_nonce,
                                      .has_device = true,
                                      .device = device,
                                      .has_sig = true,
                                      .sig = x->sig});
    must(!m.full, "HELLO fits");
    x->hello_size = m.size;

    m = mp_writer_of(x->submit, sizeof x->submit);
    wire_put(
        &m, &(struct wire_frame){
                .type = WIRE_SUBMIT, .rid = 2, .flags = WIRE_SUBMIT_SETTLED, .count = 1});
    wire_put_envelope(&m, w->entry[AT_TRANSFER].e.envelope);
    must(!m.full, "SUBMIT fits");
    x->submit_size = m.size;
    make_results(w, x);

    const struct account *a = slotlog_account(&w->log, &w->entry[AT_OPEN_A].e.id);
    x->head_size =
        head_message(x->head, &a->id, a->position, &a->head, WORLD_ORIGIN, WORLD_RECORDS);
    x->head_sig = key_sign(w->key[KEY_RELAY], CTX_HEAD, x->head, x->head_size);
}

static size_t encode_account(struct world *w, unsigned open_at, uint8_t *out,
                             struct hash *digest)
{
    const struct account *a = slotlog_account(&w->log, &w->entry[open_at].e.id);
    struct mp_writer m = mp_writer_of(out, FRAME_MAX);
    account_encode(&m, a);
    must(!m.full, "account fits");
    uint8_t room[FRAME_MAX];
    *digest = account_digest(a, room, sizeof room);
    return m.size;
}

static size_t encode_hub(struct world *w, uint8_t *out, struct hash *digest)
{
    struct mp_writer m = mp_writer_of(out, FRAME_MAX);
    hub_account_encode(&m, &w->log.hub);
    must(!m.full, "hub account fits");
    uint8_t room[FRAME_MAX];
    *digest = hub_account_digest(&w->log.hub, room, sizeof room);
    return m.size;
}

/* ---- as a person reads it ---- */

static void print_record(FILE *out, const struct world *w, unsigned at)
{
    const struct world_entry *x = &w->entry[at];
    uint8_t leaf[LEAF_BYTES];
    struct hash envelope = hash_sha256(x->bytes, x->size);
    record_leaf(&x->r, leaf);
    fprintf(out, "**Record %u, %s.** Signed by `%s`.\n\n```text\n", at, parts[at].title,
            world_key_name(parts[at].key));
    annotate(out, parts[at].spec, x->e.body);
    line(out, "id", x->e.id.b, sizeof x->e.id.b);
    line(out, "signature", x->e.sig.b, sizeof x->e.sig.b);
    fprintf(out, "%-24s%zu\n", "envelope bytes", x->size);
    line(out, "H(envelope)", envelope.b, sizeof envelope.b);
    fprintf(out, "%-24sindex %llu, position %llu, hub_lamport %llu, hub_time_ms %llu\n",
            "record", (unsigned long long)x->r.index, (unsigned long long)x->r.position,
            (unsigned long long)x->r.hub_lamport, (unsigned long long)x->r.hub_time_ms);
    line(out, "account_head", x->r.account_head.b, sizeof x->r.account_head.b);
    line(out, "leaf (80 bytes)", leaf, sizeof leaf);
    line(out, "leaf hash", x->leaf.b, sizeof x->leaf.b);
    fence_end(out);
}

static void print_keys(FILE *out, const struct world *w)
{
    fence(out, "Keys. Each seed is 32 times the byte given");
    for (unsigned i = 0; i < WORLD_KEYS; i++) {
        struct pubkey pub = world_pub(w, (enum world_key)i);
        fprintf(out, "%-12sseed %02x..  public ", world_key_name((enum world_key)i),
                i + 1);
        hex(out, pub.b, sizeof pub.b);
        fputc('\n', out);
    }
    line(out, "federation", w->federation.b, sizeof w->federation.b);
    line(out, "node id of \"node-1\"", w->node.b, sizeof w->node.b);
    fence_end(out);
}

static void print_path(FILE *out, const char *name, const struct hash path[],
                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char label[64];
        snprintf(label, sizeof label, "%s, %zu", name, i);
        line(out, label, path[i].b, sizeof path[i].b);
    }
}

static void print_tree(FILE *out, const struct world *w)
{
    char note[CHECKPOINT_BYTES_MAX];
    struct hash path[MERKLE_PATH_MAX];
    fence(out, "Checkpoint of the tree of three leaves (records 0, 1, 2), a signed note");
    size_t size = world_checkpoint(w, 3, note);
    fwrite(note, 1, size, out);
    fence_end(out);
    struct frontier three = world_frontier(w, 3),
                    seven = world_frontier(w, WORLD_RECORDS);
    struct hash root3 = frontier_root(&three), root7 = frontier_root(&seven);
    fence(
        out,
        "Inclusion of record 1 in the tree of three; consistency of three within seven");
    line(out, "root of 3", root3.b, sizeof root3.b);
    print_path(out, "path 1 in 3", path, world_inclusion(w, 1, 3, path));
    line(out, "root of 7", root7.b, sizeof root7.b);
    print_path(out, "proof 3 to 7", path, world_consistency(w, 3, WORLD_RECORDS, path));
    fence_end(out);
}

static void print_states(FILE *out, struct world *w)
{
    uint8_t state[FRAME_MAX];
    struct hash digest;
    fence(out, "State of account A after record 6");
    size_t size = encode_account(w, AT_OPEN_A, state, &digest);
    annotate(out, ACCOUNT_SPEC, bytes_of(state, size));
    line(out, "digest", digest.b, sizeof digest.b);
    fence_end(out);
    fence(out, "State of the hub account after record 6, and the slot's digest");
    size = encode_hub(w, state, &digest);
    annotate(out, HUB_SPEC, bytes_of(state, size));
    line(out, "digest", digest.b, sizeof digest.b);
    must(slotlog_digest(&w->log, &digest) == ERR_OK, "slot digest");
    line(out, "slot digest", digest.b, sizeof digest.b);
    fence_end(out);
}

static void print_wire(FILE *out, struct world *w)
{
    struct wire_examples x;
    memset(&x, 0, sizeof x);
    make_wire(w, &x);
    fence(out, "HELLO as A's device: the signed message, and the frame");
    annotate(out, "message(federation,hub,hub_nonce,client_nonce,device)",
             bytes_of(x.message, x.message_size));
    line(out, "sig, stoa/hello/v1", x.sig.b, sizeof x.sig.b);
    annotate(out, "frame(type,rid,client_nonce,device,sig,notes)",
             bytes_of(x.hello, x.hello_size));
    fence_end(out);
    fence(out, "SUBMIT of the transfer, SETTLED wanted");
    annotate(out, "frame(type,rid,flags,envelopes[envelope])",
             bytes_of(x.submit, x.submit_size));
    fence_end(out);
    fence(out,
          "RESULTS: entry 0 accepted under the checkpoint of size 6, entry 1 refused "
          "`balance`");
    /* The two results have different shapes, so the list is named element by element. */
    annotate(
        out,
        "frame(type,notes[slot_note(slot,note)],results("
        "accepted(rid,i,code,slot,index,position,account_head,hub_lamport,hub_time_ms,"
        "path,flags),"
        "refused(rid,i,code,head(next_seq,tip,tip_lamport),balance,retry_after_ms,"
        "hub_time_ms,sig)))",
        bytes_of(x.results, x.results_size));
    annotate(out, "refusal message(id,code,hub_time_ms)",
             bytes_of(x.refusal, x.refusal_size));
    fence_end(out);
    fence(out, "What `sig` of HEAD_IS for A covers");
    annotate(out, "message(account,position,account_head,origin,size)",
             bytes_of(x.head, x.head_size));
    line(out, "sig, stoa/head/v1", x.head_sig.b, sizeof x.head_sig.b);
    fence_end(out);
}

static void print_names(FILE *out, const struct world *w)
{
    char text[ADDRESS_TEXT_MAX];
    static const char charset[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    fence(out, "Address of A");
    line(out, "id", w->entry[AT_OPEN_A].e.id.b, HASH_BYTES);
    address_format(text, &w->entry[AT_OPEN_A].e.id, WORLD_HUB);
    fprintf(out, "%-24s", "5-bit values");
    for (unsigned i = 0; i < 58; i++)
        fprintf(out, "%s%u", i ? " " : "",
                (unsigned)(strchr(charset, text[5 + i]) - charset));
    fprintf(out, "\n%-24s%s\n", "text", text);
    fence_end(out);
}

static void print_sealed(FILE *out, const struct world *w)
{
    struct sealed_example x;
    make_sealed(w, &x);
    const uint8_t *at = x.ciphertext;
    fence(out, "Sealed attachment \"" SEALED_TEXT "\" for A's and B's device");
    line(out, "content key", x.content_key, sizeof x.content_key);
    line(out, "ephemeral secret, A", x.ephemeral[0], sizeof x.ephemeral[0]);
    line(out, "ephemeral secret, B", x.ephemeral[1], sizeof x.ephemeral[1]);
    line(out, "magic, recipients", at, 15);
    at += 15;
    for (unsigned i = 0; i < SEALED_RECIPIENTS; i++, at += 88) {
        line(out, i ? "hint of B's device" : "hint of A's device", at, 8);
        line(out, "  ephemeral public", at + 8, 32);
        line(out, "  box", at + 40, 48);
    }
    line(out, "nonce", at, 24);
    line(out, "content and tag", at + 24, 256 + 16);
    fprintf(out, "%-24s%zu\n", "ciphertext bytes", sizeof x.ciphertext);
    line(out, "salt", x.salt, sizeof x.salt);
    line(out, "commitment", x.commitment.b, HASH_BYTES);
    fence_end(out);
}

void print_worked(FILE *out, struct world *w)
{
    print_keys(out, w);
    for (unsigned i = 0; i < WORLD_RECORDS; i++)
        print_record(out, w, i);
    print_tree(out, w);
    print_states(out, w);
    print_wire(out, w);
    print_names(out, w);
    print_sealed(out, w);
}

/* ---- one value a line ---- */

static void value(FILE *out, const char *name, const char *what, const void *data,
                  size_t size)
{
    fprintf(out, "%s%s%s ", name, what[0] ? "." : "", what);
    hex(out, data, size);
    fputc('\n', out);
}

static void values_of_record(FILE *out, const struct world *w, unsigned at)
{
    const struct world_entry *x = &w->entry[at];
    const char *name = parts[at].name;
    uint8_t leaf[LEAF_BYTES];
    record_leaf(&x->r, leaf);
    value(out, name, "envelope", x->bytes, x->size);
    value(out, name, "id", x->e.id.b, HASH_BYTES);
    value(out, name, "account_head", x->r.account_head.b, HASH_BYTES);
    value(out, name, "leaf", leaf, sizeof leaf);
    value(out, name, "leaf_hash", x->leaf.b, HASH_BYTES);
}

static void values_of_state(FILE *out, struct world *w)
{
    uint8_t state[FRAME_MAX];
    struct hash digest;
    size_t size = encode_account(w, AT_OPEN_A, state, &digest);
    value(out, "account_a", "state", state, size);
    value(out, "account_a", "digest", digest.b, HASH_BYTES);
    size = encode_account(w, AT_OPEN_B, state, &digest);
    value(out, "account_b", "state", state, size);
    value(out, "account_b", "digest", digest.b, HASH_BYTES);
    size = encode_hub(w, state, &digest);
    value(out, "hub_account", "state", state, size);
    value(out, "hub_account", "digest", digest.b, HASH_BYTES);
    must(slotlog_digest(&w->log, &digest) == ERR_OK, "slot digest");
    value(out, "slot", "digest", digest.b, HASH_BYTES);
}

static void values_of_tree(FILE *out, const struct world *w)
{
    char note[CHECKPOINT_BYTES_MAX], name[48];
    struct hash path[MERKLE_PATH_MAX];
    for (size_t size = 1; size <= WORLD_RECORDS; size++) {
        struct frontier f = world_frontier(w, size);
        struct hash root = frontier_root(&f);
        snprintf(name, sizeof name, "tree_%zu", size);
        value(out, name, "root", root.b, HASH_BYTES);
        value(out, name, "checkpoint", note, world_checkpoint(w, size, note));
        for (size_t i = 0; i < size; i++) {
            char what[32];
            snprintf(what, sizeof what, "inclusion_%zu", i);
            value(out, name, what, path, HASH_BYTES * world_inclusion(w, i, size, path));
        }
        for (size_t from = 1; from < size; from++) {
            char what[32];
            snprintf(what, sizeof what, "consistency_from_%zu", from);
            value(out, name, what, path,
                  HASH_BYTES * world_consistency(w, from, size, path));
        }
    }
}

static void values_of_wire(FILE *out, struct world *w)
{
    struct wire_examples x;
    memset(&x, 0, sizeof x);
    make_wire(w, &x);
    value(out, "hello", "message", x.message, x.message_size);
    value(out, "hello", "sig", x.sig.b, SIG_BYTES);
    value(out, "hello", "frame", x.hello, x.hello_size);
    value(out, "submit", "frame", x.submit, x.submit_size);
    value(out, "results", "frame", x.results, x.results_size);
    value(out, "refusal", "message", x.refusal, x.refusal_size);
    value(out, "refusal", "sig", x.refused.sig.b, SIG_BYTES);
    value(out, "head", "message", x.head, x.head_size);
    value(out, "head", "sig", x.head_sig.b, SIG_BYTES);
}

static void values_of_sealed(FILE *out, const struct world *w)
{
    struct sealed_example x;
    make_sealed(w, &x);
    value(out, "sealed", "plain", SEALED_TEXT, strlen(SEALED_TEXT));
    value(out, "sealed", "content_key", x.content_key, sizeof x.content_key);
    value(out, "sealed", "ephemeral_0", x.ephemeral[0], sizeof x.ephemeral[0]);
    value(out, "sealed", "ephemeral_1", x.ephemeral[1], sizeof x.ephemeral[1]);
    value(out, "sealed", "nonce", x.nonce, sizeof x.nonce);
    value(out, "sealed", "salt", x.salt, sizeof x.salt);
    value(out, "sealed", "ciphertext", x.ciphertext, sizeof x.ciphertext);
    value(out, "sealed", "commitment", x.commitment.b, HASH_BYTES);
}

void print_values(FILE *out, struct world *w)
{
    fputs("# name and value in hex: the worked examples of PROTOCOL.md\n", out);
    for (unsigned i = 0; i < WORLD_KEYS; i++) {
        uint8_t seed[SEED_BYTES];
        struct pubkey pub = world_pub(w, (enum world_key)i);
        memset(seed, (int)i + 1, sizeof seed);
        value(out, world_key_name((enum world_key)i), "seed", seed, sizeof seed);
        value(out, world_key_name((enum world_key)i), "public", pub.b, sizeof pub.b);
    }
    value(out, "federation", "", w->federation.b, HASH_BYTES);
    value(out, "node", "name", "node-1", 6);
    value(out, "node", "id", w->node.b, HASH_BYTES);
    for (unsigned i = 0; i < WORLD_RECORDS; i++)
        values_of_record(out, w, i);
    values_of_tree(out, w);
    values_of_state(out, w);
    values_of_wire(out, w);
    values_of_sealed(out, w);
    char text[ADDRESS_TEXT_MAX];
    size_t size = address_format(text, &w->entry[AT_OPEN_A].e.id, WORLD_HUB);
    value(out, "account_a", "address", text, size);
}
