#include "entry_mutator.h"

#include <string.h>

#include "crypto/context.h"
#include "fuzz.h"
#include "ledger/entry.h"
#include "ledger/kinds.h"
#include "other.h"
#include "sample.h"

#define WRITERS 4

struct draft {
    struct entry_draft d;
    struct hash account, prev, commitment;
    struct hash refs[ENTRY_REFS_MAX];
    uint8_t payload[ENVELOPE_BYTES_MAX];
};

/* Numbers where things change: ends of widths, of signs, and their neighbours. */
static uint64_t edge(struct rng *g)
{
    uint64_t bit = UINT64_C(1) << rng_below(g, 64);
    uint64_t v = rng_below(g, 4) == 0 ? rng_next(g) : bit;
    return v + rng_below(g, 3) - 1;
}

static void draft_of(struct draft *out, const struct entry *e)
{
    out->account = e->account;
    out->prev = e->prev;
    out->commitment = e->sealed_commitment;
    memcpy(out->refs, e->refs, sizeof out->refs);
    memcpy(out->payload, e->payload.data, e->payload.size);
    out->d =
        (struct entry_draft){.account = e->has_account ? &out->account : NULL,
                             .seq = e->seq,
                             .prev = e->has_prev ? &out->prev : NULL,
                             .refs = out->refs,
                             .ref_count = e->ref_count,
                             .lamport = e->lamport,
                             .time_ms = e->time_ms,
                             .kind = e->kind,
                             .payload = bytes_of(out->payload, e->payload.size),
                             .sealed_commitment = e->has_sealed ? &out->commitment : NULL,
                             .sealed_size = e->sealed_size};
}

static void sort_refs(struct draft *x)
{
    for (unsigned i = 1; i < x->d.ref_count; i++)
        for (unsigned j = i; j > 0 && hash_compare(&x->refs[j - 1], &x->refs[j]) > 0;
             j--) {
            struct hash h = x->refs[j];
            x->refs[j] = x->refs[j - 1];
            x->refs[j - 1] = h;
        }
}

static void change_refs(struct draft *x, struct rng *g)
{
    if (x->d.ref_count < ENTRY_REFS_MAX && rng_below(g, 2)) {
        rng_fill(g, x->refs[x->d.ref_count].b, HASH_BYTES);
        if (rng_below(g, 8) == 0)
            x->refs[x->d.ref_count] = x->prev;
        x->d.ref_count++;
    } else if (x->d.ref_count > 0) {
        x->d.ref_count--;
    }
    if (rng_below(g, 8) != 0)
        sort_refs(x);
}

static bool is_sampled(uint64_t kind)
{
    for (unsigned i = 0; i < SAMPLE_KINDS; i++)
        if (sample_kind(i) == kind)
            return true;
    return false;
}

/* Another payload of this kind or another, or the same one with bytes changed. */
static void change_payload(struct draft *x, struct rng *g)
{
    static struct sample s;
    size_t size = x->d.payload.size;
    if (rng_below(g, 2)) {
        size = LLVMFuzzerMutate(x->payload, size, sizeof x->payload - 1024);
    } else {
        if (rng_below(g, 4) == 0 || !is_sampled(x->d.kind))
            x->d.kind = sample_kind((unsigned)rng_below(g, SAMPLE_KINDS));
        sample_payload(&s, x->d.kind, g);
        struct mp_writer w = mp_writer_of(x->payload, sizeof x->payload);
        payload_encode(&w, &s.payload);
        size = w.size;
    }
    x->d.payload = bytes_of(x->payload, size);
}

static void change_field(struct draft *x, struct rng *g)
{
    switch (rng_below(g, 8)) {
    case 0:
        x->d.seq = edge(g);
        break;
    case 1:
        x->d.lamport = edge(g);
        break;
    case 2:
        x->d.time_ms = edge(g);
        break;
    case 3:
        change_refs(x, g);
        break;
    case 4:
        x->d.sealed_commitment = x->d.sealed_commitment ? NULL : &x->commitment;
        x->d.sealed_size = edge(g);
        break;
    case 5:
        x->d.account = x->d.account && rng_below(g, 2) ? NULL : &x->account;
        x->d.prev = x->d.account ? &x->prev : NULL;
        break;
    case 6:
        x->d.kind = rng_below(g, 2) ? edge(g) : rng_below(g, 80);
        break;
    default:
        change_payload(x, g);
    }
}

/* Any body at all, with a good signature of the key that it names where a key is named.
 */
static size_t sign_raw(uint8_t *data, size_t size, size_t max_size, unsigned n)
{
    if (size < SIG_BYTES || max_size < SIG_BYTES)
        return size;
    size_t body = LLVMFuzzerMutate(data, size - SIG_BYTES, max_size - SIG_BYTES);
    struct pubkey pub = known_pub(n);
    size_t device = body > 4 && data[2] == 0xc4 ? 38 : 5; /* account is bin32, or nil */
    if (body >= device + PUBKEY_BYTES)
        memcpy(data + device, pub.b, PUBKEY_BYTES);
    if (body > SIG_MESSAGE_BYTES_MAX)
        return size;
    struct signature sig = key_sign(known_key(n), CTX_ENTRY, data, body);
    memcpy(data + body, sig.b, SIG_BYTES);
    return body + SIG_BYTES;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static struct draft x;
    static uint8_t out[ENVELOPE_BYTES_MAX];
    struct rng g = {seed};
    struct entry e;
    size_t built = 0;
    unsigned n = (unsigned)rng_below(&g, WRITERS);
    uint64_t how = rng_below(&g, 8);
    if (how == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    if (how == 1)
        return sign_raw(data, size, max_size, n);
    if (how == 2 || entry_decode(&e, data, size) != ERR_OK) {
        built = sample_entry(out, sample_kind((unsigned)rng_below(&g, SAMPLE_KINDS)), &g,
                             known_key(n));
    } else {
        draft_of(&x, &e);
        for (uint64_t times = 1 + rng_below(&g, 3); times > 0; times--)
            change_field(&x, &g);
        if (entry_build(&x.d, known_key(n), out, sizeof out, &built) != ERR_OK)
            return sign_raw(data, size, max_size, n);
    }
    if (built > max_size)
        return LLVMFuzzerMutate(data, size, max_size);
    memcpy(data, out, built);
    return built;
}
