#include "tests/lib/people.h"

#include <assert.h>
#include <string.h>

#include "crypto/context.h"

static struct key *make_key(uint64_t seed, uint8_t which)
{
    uint8_t bytes[SEED_BYTES] = {which};
    memcpy(bytes + 8, &seed, sizeof(seed));
    struct key *k = key_from_seed(bytes);
    assert(k);
    return k;
}

void person_make(struct person *p, uint64_t seed)
{
    memset(p, 0, sizeof(*p));
    p->root = make_key(seed, 1);
    p->device = make_key(seed, 2);
}

void person_free(struct person *p)
{
    key_free(p->root);
    key_free(p->device);
    p->root = p->device = NULL;
}

struct bytes person_bytes(const struct person *p)
{
    return bytes_of(p->bytes, p->size);
}

static void finish(struct person *p, const struct entry_draft *d)
{
    enum err e = entry_build(d, p->device, p->bytes, sizeof(p->bytes), &p->size);
    assert(e == ERR_OK);
    p->id = hash_context(CTX_ENTRY, p->bytes, p->size - SIG_BYTES);
    p->tip = p->id;
    p->next_seq++;
    p->lamport = d->lamport;
}

void person_open(struct person *p, const struct hub_facts *h, enum residency residency)
{
    uint8_t room[1024], message[MESSAGE_BYTES_MAX];
    struct payload payload = {.kind = KIND_OPEN};
    struct pubkey device = key_public(p->device);
    struct p_open *o = &payload.open;
    o->federation = h->federation;
    o->hub = bytes_of(h->hub, strlen(h->hub));
    o->root = key_public(p->root);
    o->residency = residency;
    memset(o->nonce.b, 7, sizeof(o->nonce.b));
    size_t n = grant_open_message(message, o, &device);
    o->root_sig = key_sign(p->root, CTX_DEVICE, message, n);
    struct mp_writer w = mp_writer_of(room, sizeof(room));
    payload_encode(&w, &payload);
    assert(!w.full);
    p->next_seq = 0;
    finish(p, &(struct entry_draft){.lamport = 1,
                                    .time_ms = 1,
                                    .kind = KIND_OPEN,
                                    .payload = bytes_of(room, w.size)});
    p->account = p->id;
}

void person_entry(struct person *p, uint64_t kind, struct bytes payload)
{
    struct hash prev = p->tip;
    finish(p, &(struct entry_draft){.account = &p->account,
                                    .seq = p->next_seq,
                                    .prev = &prev,
                                    .lamport = p->lamport + 1,
                                    .time_ms = 1,
                                    .kind = kind,
                                    .payload = payload});
}

static void encode_and_write(struct person *p, const struct payload *payload)
{
    uint8_t room[PERSON_ENVELOPE_MAX];
    struct mp_writer w = mp_writer_of(room, sizeof(room));
    payload_encode(&w, payload);
    assert(!w.full);
    person_entry(p, payload->kind, bytes_of(room, w.size));
}

void person_note(struct person *p, size_t data_size)
{
    static const uint8_t data[PERSON_ENVELOPE_MAX];
    struct payload payload = {.kind = KIND_NOTE,
                              .note = {.data = bytes_of(data, data_size)}};
    assert(data_size <= sizeof(data));
    encode_and_write(p, &payload);
}

void person_transfer(struct person *p, const struct hash *payee, int64_t amount)
{
    struct payload payload = {.kind = KIND_TRANSFER};
    payload.transfer.payee_count = 1;
    payload.transfer.payees[0].account = *payee;
    payload.transfer.payees[0].amount = amount;
    encode_and_write(p, &payload);
}

size_t issuer_accrue(const struct key *issuer, const struct hash *account,
                     uint64_t next_seq, const struct hash *tip, uint64_t tip_lamport,
                     uint64_t epoch, int64_t amount, uint8_t *out, size_t cap)
{
    uint8_t room[256];
    struct payload payload = {.kind = KIND_ACCRUE};
    payload.accrue.epoch = epoch;
    payload.accrue.amount = amount;
    memset(payload.accrue.node.b, 3, sizeof(payload.accrue.node.b));
    struct mp_writer w = mp_writer_of(room, sizeof(room));
    payload_encode(&w, &payload);
    struct entry_draft d = {.account = account,
                            .seq = next_seq,
                            .prev = tip,
                            .lamport = tip_lamport + 1,
                            .time_ms = 1,
                            .kind = KIND_ACCRUE,
                            .payload = bytes_of(room, w.size)};
    size_t size = 0;
    enum err e = entry_build(&d, issuer, out, cap, &size);
    assert(e == ERR_OK);
    return size;
}
