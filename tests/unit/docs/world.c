#include "vectors.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/context.h"
#include "ledger/kinds.h"
#include "ledger/mp.h"

void must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "vectors: not so: %s\n", what);
    abort();
}

static const char *const names[WORLD_KEYS] = {"issuer",   "relay",    "log",
                                              "a_root",   "a_device", "b_root",
                                              "b_device", "recovery", "spare"};

const char *world_key_name(enum world_key k)
{
    return names[k];
}

struct pubkey world_pub(const struct world *w, enum world_key k)
{
    return key_public(w->key[k]);
}

size_t world_sign(const struct key *writer, struct bytes body, uint8_t *out)
{
    memcpy(out, body.data, body.size);
    struct signature s = key_sign(writer, CTX_ENTRY, out, body.size);
    memcpy(out + body.size, s.b, sizeof s.b);
    return body.size + sizeof s.b;
}

/* Where the writer's chain stands; all NULL and 0 for the first entry of an account. */
struct place {
    const struct hash *account, *prev;
    uint64_t seq, lamport;
};

static void write_record(struct world *w, unsigned at, const struct payload *p,
                         enum world_key writer, const struct place *on)
{
    uint8_t room[WORLD_ENTRY_MAX];
    struct world_entry *x = &w->entry[at];
    struct mp_writer m = mp_writer_of(room, sizeof room);
    payload_encode(&m, p);
    must(!m.full, "payload fits");
    struct entry_draft d = {.account = on->account,
                            .seq = on->seq,
                            .prev = on->prev,
                            .lamport = on->lamport,
                            .time_ms = WORLD_TIME_MS + at,
                            .kind = p->kind,
                            .payload = bytes_of(room, m.size)};
    must(entry_build(&d, w->key[writer], x->bytes, sizeof x->bytes, &x->size) == ERR_OK,
         "entry builds");
    must(entry_decode(&x->e, x->bytes, x->size) == ERR_OK, "entry decodes");
    must(slotlog_admit(&w->log, &x->e, WORLD_TIME_MS + 1000 * at, &x->r, &w->fx) ==
             ERR_OK,
         "entry is admitted");
    x->leaf = record_leaf_hash(&x->r);
    must(hash_equal(&x->leaf, &w->log.leaf), "leaf hash");
}

static void write_log_open(struct world *w)
{
    struct vkey v;
    char text[VKEY_TEXT_MAX];
    struct pubkey log = world_pub(w, KEY_LOG);
    must(vkey_make(&v, WORLD_ORIGIN, NOTE_ED25519, &log), "log key");
    size_t size = vkey_format(&v, text, sizeof text);
    struct payload p = {.kind = KIND_LOG_OPEN};
    p.log_open = (struct p_log_open){.federation = w->federation,
                                     .hub = bytes_of(WORLD_HUB, strlen(WORLD_HUB)),
                                     .slot = 0,
                                     .slots = 1,
                                     .rules = RULES_VERSION,
                                     .issuer = world_pub(w, KEY_ISSUER),
                                     .relay = world_pub(w, KEY_RELAY),
                                     .log_vkey = bytes_of(text, size)};
    write_record(w, AT_LOG_OPEN, &p, KEY_RELAY, &(struct place){.lamport = 1});
}

void world_payload_open(const struct world *w, struct payload *p, enum world_key root,
                        enum world_key device)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    struct pubkey pub = world_pub(w, device);
    p->kind = KIND_OPEN;
    p->open = (struct p_open){.federation = w->federation,
                              .hub = bytes_of(WORLD_HUB, strlen(WORLD_HUB)),
                              .root = world_pub(w, root),
                              .residency = RESIDENCY_GLOBAL};
    memset(p->open.nonce.b, (int)root, sizeof p->open.nonce.b);
    size_t size = grant_open_message(message, &p->open, &pub);
    p->open.root_sig = key_sign(w->key[root], CTX_DEVICE, message, size);
}

static void write_records(struct world *w)
{
    struct payload p;
    write_log_open(w);
    world_payload_open(w, &p, KEY_A_ROOT, KEY_A_DEVICE);
    write_record(w, AT_OPEN_A, &p, KEY_A_DEVICE, &(struct place){.lamport = 1});
    world_payload_open(w, &p, KEY_B_ROOT, KEY_B_DEVICE);
    write_record(w, AT_OPEN_B, &p, KEY_B_DEVICE, &(struct place){.lamport = 1});

    const struct hash *a = &w->entry[AT_OPEN_A].e.id, *b = &w->entry[AT_OPEN_B].e.id;
    p.kind = KIND_ACCRUE;
    p.accrue = (struct p_accrue){.node = w->node, .epoch = 1, .amount = 5000000};
    write_record(w, AT_ACCRUE, &p, KEY_ISSUER,
                 &(struct place){.account = a, .prev = a, .lamport = 2});
    p.kind = KIND_NOTE;
    p.note = (struct p_note){.data = bytes_of("hello", 5)};
    write_record(w, AT_NOTE, &p, KEY_A_DEVICE,
                 &(struct place){.account = a, .prev = a, .seq = 1, .lamport = 2});
    p.kind = KIND_TRANSFER;
    p.transfer.payee_count = 1;
    p.transfer.payees[0] = (struct payee){.account = *b, .amount = 1250000};
    write_record(
        w, AT_TRANSFER, &p, KEY_A_DEVICE,
        &(struct place){
            .account = a, .prev = &w->entry[AT_NOTE].e.id, .seq = 2, .lamport = 3});
    must(w->fx.item_count == 1, "one channel item");
    const struct channel_item *item = &w->fx.items[0];
    p.kind = KIND_CREDIT;
    p.credit = (struct p_credit){.cause = item->cause,
                                 .payee_index = item->payee_index,
                                 .amount = item->amount,
                                 .source = bytes_of(WORLD_ORIGIN, strlen(WORLD_ORIGIN)),
                                 .source_index = item->source_index,
                                 .out_seq = item->out_seq,
                                 .source_lamport = item->source_lamport,
                                 .reason = CREDIT_PAYMENT};
    write_record(w, AT_CREDIT, &p, KEY_RELAY,
                 &(struct place){.account = b, .prev = b, .lamport = 2});
}

struct world *world_open(void)
{
    must(crypto_start(), "crypto starts");
    struct world *w = calloc(1, sizeof *w);
    must(w != NULL, "memory");
    for (unsigned i = 0; i < WORLD_KEYS; i++) {
        uint8_t seed[SEED_BYTES];
        memset(seed, (int)i + 1, sizeof seed);
        w->key[i] = key_from_seed(seed);
        must(w->key[i] != NULL, "locked memory");
    }
    w->federation = hash_sha256("example federation", 18);
    w->node = hash_context(CTX_NODE, "node-1", 6);
    must(slotlog_init(&w->log, &alloc_heap, 0, 1) == ERR_OK, "memory");
    write_records(w);
    return w;
}

void world_close(struct world *w)
{
    slotlog_close(&w->log);
    for (unsigned i = 0; i < WORLD_KEYS; i++)
        key_free(w->key[i]);
    free(w);
}

/* ---- the tree ---- */

struct frontier world_frontier(const struct world *w, size_t size)
{
    struct frontier f = {.size = 0};
    for (size_t i = 0; i < size; i++)
        must(frontier_append(&f, &w->entry[i].leaf), "leaf is appended");
    return f;
}

size_t world_checkpoint(const struct world *w, size_t size,
                        char out[CHECKPOINT_BYTES_MAX])
{
    struct vkey v;
    struct pubkey log = world_pub(w, KEY_LOG);
    struct frontier f = world_frontier(w, size);
    struct checkpoint c = {
        .origin = WORLD_ORIGIN, .size = size, .root = frontier_root(&f)};
    must(vkey_make(&v, WORLD_ORIGIN, NOTE_ED25519, &log), "log key");
    size_t n = checkpoint_sign(out, CHECKPOINT_BYTES_MAX, &c, &v, w->key[KEY_LOG]);
    must(n > 0, "checkpoint is signed");
    return n;
}

static bool tree_node(void *context, unsigned level, uint64_t n, struct hash *out)
{
    const struct world *w = context;
    struct frontier f = {.size = 0};
    uint64_t width = UINT64_C(1) << level;
    for (uint64_t i = n * width; i < (n + 1) * width; i++)
        if (i >= WORLD_RECORDS || !frontier_append(&f, &w->entry[i].leaf))
            return false;
    *out = frontier_root(&f);
    return true;
}

static struct merkle_source source_of(const struct world *w)
{
    return (struct merkle_source){.node = tree_node, .context = (void *)(uintptr_t)w};
}

size_t world_inclusion(const struct world *w, uint64_t index, size_t size,
                       struct hash path[MERKLE_PATH_MAX])
{
    struct merkle_source s = source_of(w);
    size_t count = 0;
    must(merkle_prove_inclusion(index, size, &s, path, &count), "inclusion path");
    return count;
}

size_t world_consistency(const struct world *w, size_t from, size_t to,
                         struct hash path[MERKLE_PATH_MAX])
{
    struct merkle_source s = source_of(w);
    size_t count = 0;
    must(merkle_prove_consistency(from, to, &s, path, &count), "consistency path");
    return count;
}

/* ---- judging ---- */

enum err judge_entry(struct world *w, struct bytes envelope)
{
    struct entry e;
    struct record r;
    struct payload p;
    TRY(entry_decode(&e, envelope.data, envelope.size));
    if (!entry_verify(&e))
        return ERR_SIGNATURE;
    /* A copy of the log by replay: refusals change nothing, acceptance would. */
    static struct effects fx;
    struct slotlog copy;
    must(slotlog_init(&copy, &alloc_heap, 0, 1) == ERR_OK, "memory");
    for (unsigned i = 0; i < WORLD_RECORDS; i++)
        must(slotlog_replay(&copy, &w->entry[i].r, &fx) == ERR_OK, "world replays");
    enum err err = payload_decode(&p, e.kind, e.payload);
    if (err == ERR_OK)
        err = slotlog_admit(&copy, &e, WORLD_TIME_MS + 100000, &r, &fx);
    slotlog_close(&copy);
    return err;
}
