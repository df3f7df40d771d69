#include "ledger/entry.h"

#include <string.h>

#include "crypto/be64.h"
#include "crypto/context.h"
#include "ledger/kinds.h"
#include "ledger/mp.h"

#define BODY_FIELDS 11
#define PAYLOAD_FIELD 9

/* Nesting, counts and lengths of the whole body, before any of it is read: nothing after
 * this can be led past its bytes or into a loop longer than them. Finds the payload on
 * the way. */
static bool scan_body(struct bytes body, struct bytes *payload)
{
    struct mp_reader r = mp_reader_of(body.data, body.size);
    size_t count;
    mp_read_array(&r, &count, SIZE_MAX);
    for (size_t i = 0; i < count; i++) {
        const uint8_t *start = r.at;
        if (!mp_skip_nested(&r, MP_DEPTH_MAX - 1))
            return false;
        if (i == PAYLOAD_FIELD)
            *payload = bytes_of(start, (size_t)(r.at - start));
    }
    return mp_done(&r);
}

/* The first value decides how the rest is to be read. */
static enum err read_version(struct mp_reader *r)
{
    size_t count;
    uint64_t version;
    if (!mp_read_array(r, &count, SIZE_MAX) || count == 0 || !mp_read_uint(r, &version))
        return ERR_MALFORMED;
    if (version != ENTRY_VERSION)
        return ERR_VERSION;
    return count == BODY_FIELDS ? ERR_OK : ERR_MALFORMED;
}

static bool is_array(struct bytes value)
{
    struct mp_reader r = mp_reader_of(value.data, value.size);
    size_t count;
    return mp_read_array(&r, &count, SIZE_MAX);
}

static bool read_optional_hash(struct mp_reader *r, struct hash *out)
{
    if (mp_peek_nil(r)) {
        mp_read_nil(r);
        *out = (struct hash){{0}};
        return false;
    }
    mp_read_bin_exact(r, out->b, sizeof out->b);
    return true;
}

/* At most 2^63-1, so that every store and every reader can hold it. */
static void read_number(struct mp_reader *r, uint64_t *out)
{
    if (mp_read_uint(r, out) && *out > INT64_MAX)
        r->bad = true;
}

static void read_sealed(struct mp_reader *r, struct entry *e)
{
    e->has_sealed = !mp_peek_nil(r);
    if (!e->has_sealed) {
        mp_read_nil(r);
        e->sealed_commitment = (struct hash){{0}};
        e->sealed_size = 0;
        return;
    }
    size_t count;
    if (mp_read_array(r, &count, 2) && count != 2)
        r->bad = true;
    mp_read_bin_exact(r, e->sealed_commitment.b, sizeof e->sealed_commitment.b);
    read_number(r, &e->sealed_size);
}

/* Every field behind the version; form only. The payload has been scanned. */
static enum err read_fields(struct entry *e, struct mp_reader r)
{
    size_t count;
    e->has_account = read_optional_hash(&r, &e->account);
    mp_read_bin_exact(&r, e->device.b, sizeof e->device.b);
    read_number(&r, &e->seq);
    e->has_prev = read_optional_hash(&r, &e->prev);
    mp_read_array(&r, &count, ENTRY_REFS_MAX);
    e->ref_count = (unsigned)count;
    for (size_t i = 0; i < count; i++)
        mp_read_bin_exact(&r, e->refs[i].b, sizeof e->refs[i].b);
    read_number(&r, &e->lamport);
    read_number(&r, &e->time_ms);
    mp_read_uint(&r, &e->kind);
    if (r.bad || !is_array(e->payload))
        return ERR_MALFORMED;
    r.at = e->payload.data + e->payload.size;
    read_sealed(&r, e);
    return mp_done(&r) ? ERR_OK : ERR_MALFORMED;
}

/* What a kind says about the fields around it. */
static enum err check_kind(const struct entry *e)
{
    enum writer writer;
    if (!kind_writer(e->kind, &writer))
        return ERR_KIND_UNKNOWN;
    if (writer == BY_NOBODY)
        return ERR_KIND_RESERVED;
    bool first = e->kind == KIND_OPEN || e->kind == KIND_LOG_OPEN;
    if (e->has_account == first || e->has_prev == first)
        return ERR_MALFORMED;
    if (first && (e->seq != 0 || e->lamport != 1))
        return ERR_MALFORMED;
    if ((first || writer != BY_MEMBER) && e->ref_count != 0)
        return ERR_MALFORMED;
    return ERR_OK;
}

static enum err check_refs(const struct entry *e)
{
    for (unsigned i = 0; i < e->ref_count; i++) {
        if (i > 0 && hash_compare(&e->refs[i - 1], &e->refs[i]) >= 0)
            return ERR_REFS_ORDER;
        if (hash_equal(&e->refs[i], &e->prev))
            return ERR_REFS_ORDER;
    }
    return ERR_OK;
}

enum err entry_decode(struct entry *e, const void *envelope, size_t size)
{
    if (size > ENVELOPE_BYTES_MAX)
        return ERR_TOO_LARGE;
    if (size <= SIG_BYTES)
        return ERR_MALFORMED;
    e->envelope = bytes_of(envelope, size);
    e->body = bytes_of(envelope, size - SIG_BYTES);

    struct mp_reader r = mp_reader_of(e->body.data, e->body.size);
    if (!scan_body(e->body, &e->payload))
        return ERR_MALFORMED;
    TRY(read_version(&r));
    TRY(read_fields(e, r));
    TRY(check_kind(e));
    TRY(check_refs(e));
    TRY(payload_check(e->kind, e->payload));
    memcpy(e->sig.b, e->body.data + e->body.size, sizeof e->sig.b);
    e->id = hash_context(CTX_ENTRY, e->body.data, e->body.size);
    return ERR_OK;
}

bool entry_verify(const struct entry *e)
{
    return sig_verify(&e->sig, &e->device, CTX_ENTRY, e->body.data, e->body.size);
}

const struct hash *entry_account(const struct entry *e)
{
    return e->has_account ? &e->account : &e->id;
}

static void put_optional_hash(struct mp_writer *w, const struct hash *h)
{
    if (h)
        mp_bin(w, h->b, sizeof h->b);
    else
        mp_nil(w);
}

static void put_body(struct mp_writer *w, const struct entry_draft *d,
                     const struct pubkey *device)
{
    mp_array(w, BODY_FIELDS);
    mp_uint(w, ENTRY_VERSION);
    put_optional_hash(w, d->account);
    mp_bin(w, device->b, sizeof device->b);
    mp_uint(w, d->seq);
    put_optional_hash(w, d->prev);
    mp_array(w, d->ref_count);
    for (unsigned i = 0; i < d->ref_count; i++)
        mp_bin(w, d->refs[i].b, sizeof d->refs[i].b);
    mp_uint(w, d->lamport);
    mp_uint(w, d->time_ms);
    mp_uint(w, d->kind);
    mp_raw(w, d->payload.data, d->payload.size);
    if (d->sealed_commitment) {
        mp_array(w, 2);
        mp_bin(w, d->sealed_commitment->b, sizeof d->sealed_commitment->b);
        mp_uint(w, d->sealed_size);
    } else {
        mp_nil(w);
    }
}

enum err entry_build(const struct entry_draft *d, const struct key *device, uint8_t *out,
                     size_t cap, size_t *size)
{
    struct mp_writer w = mp_writer_of(out, cap);
    struct pubkey pub = key_public(device);
    put_body(&w, d, &pub);
    if (w.full || cap - w.size < SIG_BYTES)
        return ERR_ROOM;
    if (w.size > ENVELOPE_BYTES_MAX - SIG_BYTES)
        return ERR_TOO_LARGE;
    struct signature sig = key_sign(device, CTX_ENTRY, out, w.size);
    memcpy(out + w.size, sig.b, sizeof sig.b);

    struct entry built;
    TRY(entry_decode(&built, out, w.size + SIG_BYTES));
    *size = w.size + SIG_BYTES;
    return ERR_OK;
}

struct hash account_head_next(const struct hash *head, struct bytes envelope)
{
    return hash_context2(CTX_ACCOUNT_HEAD, head->b, sizeof head->b, envelope.data,
                         envelope.size);
}

void record_leaf(const struct record *r, uint8_t leaf[LEAF_BYTES])
{
    struct hash envelope = hash_sha256(r->envelope.data, r->envelope.size);
    memcpy(leaf, envelope.b, HASH_BYTES);
    memcpy(leaf + HASH_BYTES, r->account_head.b, HASH_BYTES);
    be64_put(leaf + 64, r->hub_lamport);
    be64_put(leaf + 72, r->hub_time_ms);
}

struct hash record_leaf_hash(const struct record *r)
{
    uint8_t leaf[LEAF_BYTES];
    record_leaf(r, leaf);
    return hash_leaf(leaf, sizeof leaf);
}

uint32_t slot_of(const struct hash *account, uint32_t slots)
{
    uint32_t first = (uint32_t)account->b[0] << 8 | account->b[1];
    return (uint32_t)((uint64_t)first * slots >> 16);
}
