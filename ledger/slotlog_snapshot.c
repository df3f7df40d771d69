/* Snapshots of a slot: items `tag u8, size u32be, bytes`, never split over two parts.
 *     H  header, once, first
 *     G  canonical state of the hub account
 *     A  canonical state of an account, ascending id
 *     E  end: slot digest, chain over all bytes before it, signature over both
 * chain(0) = 32 zero bytes; chain(n+1) = H(CTX_SNAPSHOT, chain(n) || part n), the last
 * part counting without its end item. */
#include <assert.h>
#include <string.h>

#include "crypto/context.h"
#include "ledger/mp.h"
#include "ledger/slotlog.h"
#include "ledger/slotlog_map.h"
#include "ledger/slotlog_order.h"

#define SNAPSHOT_VERSION 1
#define SNAPSHOT_HEADER_FIELDS 9
#define SNAPSHOT_HEADER_MAX 256
#define ITEM_HEAD 5
#define END_BYTES (ITEM_HEAD + 2 * HASH_BYTES + SIG_BYTES)

enum tag { TAG_HEADER = 'H', TAG_HUB = 'G', TAG_ACCOUNT = 'A', TAG_END = 'E' };

struct header {
    uint64_t slot;
    tree_size size;
    struct hash root;
    uint64_t rules;
    uint64_t hub_lamport;
    uint64_t hub_time_ms;
    struct pubkey relay;
    uint64_t account_count;
};

static struct hash chain_next(const struct hash *chain, const void *data, size_t size)
{
    return hash_context2(CTX_SNAPSHOT, chain->b, sizeof chain->b, data, size);
}

/* ---- writing ---- */

struct snapshot_writer {
    const struct alloc *mem;
    bool (*emit)(void *context, struct bytes part);
    void *context;
    uint8_t *part;
    size_t size;
    struct hash chain;
};

static enum err flush(struct snapshot_writer *w)
{
    if (w->size == 0)
        return ERR_OK;
    bool taken = w->emit(w->context, bytes_of(w->part, w->size));
    w->size = 0;
    return taken ? ERR_OK : ERR_STORE;
}

static void put_item(struct snapshot_writer *w, enum tag tag, const void *data,
                     size_t size)
{
    uint8_t *at = w->part + w->size;
    at[0] = (uint8_t)tag;
    for (unsigned i = 0; i < 4; i++)
        at[1 + i] = (uint8_t)(size >> (24 - 8 * i));
    memcpy(at + ITEM_HEAD, data, size);
    w->size += ITEM_HEAD + size;
}

/* Room for the end is kept free in every part, since any may turn out to be the last. */
static enum err item(struct snapshot_writer *w, enum tag tag, struct bytes data)
{
    size_t size = ITEM_HEAD + data.size + END_BYTES;
    if (size > SNAPSHOT_PART_MAX)
        return ERR_TOO_LARGE;
    if (w->size + size > SNAPSHOT_PART_MAX) {
        w->chain = chain_next(&w->chain, w->part, w->size);
        TRY(flush(w));
    }
    put_item(w, tag, data.data, data.size);
    return ERR_OK;
}

static enum err put_header(struct snapshot_writer *w, const struct slotlog *s,
                           const struct key *relay)
{
    uint8_t data[SNAPSHOT_HEADER_MAX];
    struct mp_writer m = mp_writer_of(data, sizeof data);
    struct hash root = frontier_root(&s->frontier);
    struct pubkey key = key_public(relay);
    mp_array(&m, SNAPSHOT_HEADER_FIELDS);
    mp_uint(&m, SNAPSHOT_VERSION);
    mp_uint(&m, s->slot);
    mp_uint(&m, s->frontier.size);
    mp_bin(&m, root.b, sizeof root.b);
    mp_uint(&m, s->hub.rules);
    mp_uint(&m, s->hub_lamport);
    mp_uint(&m, s->hub_time_ms);
    mp_bin(&m, key.b, sizeof key.b);
    mp_uint(&m, s->account_count);
    assert(!m.full);
    return item(w, TAG_HEADER, bytes_of(data, m.size));
}

static struct signature sign(const struct key *relay, const struct hash *digest,
                             const struct hash *chain)
{
    uint8_t message[2 * HASH_BYTES];
    memcpy(message, digest->b, HASH_BYTES);
    memcpy(message + HASH_BYTES, chain->b, HASH_BYTES);
    return key_sign(relay, CTX_SNAPSHOT, message, sizeof message);
}

static enum err put_end(struct snapshot_writer *w, const struct key *relay,
                        const struct hash *digest)
{
    uint8_t data[END_BYTES - ITEM_HEAD];
    struct hash chain = chain_next(&w->chain, w->part, w->size);
    struct signature sig = sign(relay, digest, &chain);
    memcpy(data, digest->b, HASH_BYTES);
    memcpy(data + HASH_BYTES, chain.b, HASH_BYTES);
    memcpy(data + 2 * HASH_BYTES, sig.b, SIG_BYTES);
    put_item(w, TAG_END, data, sizeof data);
    return flush(w);
}

static enum err put_states(struct snapshot_writer *w, struct slotlog *s,
                           struct slotlog_order *o, struct hash *digest)
{
    struct bytes state;
    TRY(slotlog_order_hub(o, &s->hub, &state));
    TRY(item(w, TAG_HUB, state));
    struct slot_digest d;
    struct hash hub_digest = hash_context(CTX_ACCOUNT_STATE, state.data, state.size);
    slot_digest_begin(&d, &s->hub.id, &hub_digest);
    for (size_t i = 0; i < o->count; i++) {
        TRY(slotlog_order_account(o, o->accounts[i], &state));
        TRY(item(w, TAG_ACCOUNT, state));
        slot_digest_add(&d, &o->accounts[i]->id, state);
    }
    *digest = slot_digest_end(&d);
    return ERR_OK;
}

enum err slotlog_snapshot(struct slotlog *s, const struct key *relay,
                          bool (*emit)(void *context, struct bytes part), void *context)
{
    assert(s->hub.open);
    struct snapshot_writer w = {.mem = s->mem, .emit = emit, .context = context};
    w.part = s->mem->resize(s->mem->context, NULL, 0, SNAPSHOT_PART_MAX);
    if (w.part == NULL)
        return ERR_MEMORY;
    struct slotlog_order o;
    struct hash digest;
    enum err err = slotlog_order_open(&o, s);
    if (err == ERR_OK)
        err = put_header(&w, s, relay);
    if (err == ERR_OK)
        err = put_states(&w, s, &o, &digest);
    if (err == ERR_OK)
        err = put_end(&w, relay, &digest);
    slotlog_order_close(&o);
    s->mem->resize(s->mem->context, w.part, SNAPSHOT_PART_MAX, 0);
    return err;
}

/* ---- reading ---- */

/* The relay's signature covers every byte, so after this only a writer with other ideas
 * than ours can surprise us. `digest` is the signed slot digest. */
static bool verify(const struct bytes parts[], size_t count, const struct pubkey *relay,
                   struct hash *digest)
{
    struct hash chain = {{0}};
    for (size_t i = 0; i < count; i++) {
        size_t size = parts[i].size;
        if (size > SNAPSHOT_PART_MAX || (i + 1 == count && size < END_BYTES))
            return false;
        chain =
            chain_next(&chain, parts[i].data, i + 1 == count ? size - END_BYTES : size);
    }
    const uint8_t *end = parts[count - 1].data + parts[count - 1].size - END_BYTES;
    static const uint8_t head[ITEM_HEAD] = {TAG_END, 0, 0, 0, END_BYTES - ITEM_HEAD};
    struct signature sig;
    memcpy(digest->b, end + ITEM_HEAD, HASH_BYTES);
    memcpy(sig.b, end + ITEM_HEAD + 2 * HASH_BYTES, SIG_BYTES);
    return memcmp(end, head, sizeof head) == 0 &&
           memcmp(end + ITEM_HEAD + HASH_BYTES, chain.b, HASH_BYTES) == 0 &&
           sig_verify(&sig, relay, CTX_SNAPSHOT, end + ITEM_HEAD, 2 * HASH_BYTES);
}

struct snapshot_reader {
    const struct bytes *parts;
    size_t count;
    size_t part;
    size_t at;
};

/* False: no item left, or its head does not fit. */
static bool next_item(struct snapshot_reader *r, uint8_t *tag, struct bytes *data)
{
    while (r->part < r->count && r->at == r->parts[r->part].size) {
        r->part++;
        r->at = 0;
    }
    if (r->part == r->count || r->parts[r->part].size - r->at < ITEM_HEAD)
        return false;
    const uint8_t *at = r->parts[r->part].data + r->at;
    size_t size = (size_t)at[1] << 24 | (size_t)at[2] << 16 | (size_t)at[3] << 8 | at[4];
    r->at += ITEM_HEAD;
    if (r->parts[r->part].size - r->at < size)
        return false;
    r->at += size;
    *tag = at[0];
    *data = bytes_of(at + ITEM_HEAD, size);
    return true;
}

static bool get_header(struct snapshot_reader *r, struct header *h)
{
    uint8_t tag;
    struct bytes data;
    if (!next_item(r, &tag, &data) || tag != TAG_HEADER)
        return false;
    struct mp_reader m = mp_reader_of(data.data, data.size);
    size_t fields = 0;
    uint64_t version = 0;
    mp_read_array(&m, &fields, SNAPSHOT_HEADER_FIELDS);
    mp_read_uint(&m, &version);
    mp_read_uint(&m, &h->slot);
    mp_read_uint(&m, &h->size);
    mp_read_bin_exact(&m, h->root.b, sizeof h->root.b);
    mp_read_uint(&m, &h->rules);
    mp_read_uint(&m, &h->hub_lamport);
    mp_read_uint(&m, &h->hub_time_ms);
    mp_read_bin_exact(&m, h->relay.b, sizeof h->relay.b);
    mp_read_uint(&m, &h->account_count);
    return mp_done(&m) && fields == SNAPSHOT_HEADER_FIELDS && version == SNAPSHOT_VERSION;
}

static enum err get_account(struct slotlog *s, struct bytes data)
{
    struct account *a = account_map_spare(s->accounts);
    if (a == NULL)
        return ERR_MEMORY;
    TRY(account_decode(a, s->mem, data));
    if (account_map_find(s->accounts, &a->id) != NULL) {
        account_close(a);
        return ERR_CORRUPT;
    }
    account_map_add(s->accounts);
    s->account_count++;
    return ERR_OK;
}

static enum err get_accounts(struct slotlog *s, struct snapshot_reader *r,
                             const struct hash *hub_digest, struct hash *digest)
{
    struct slot_digest d;
    struct hash last = {{0}};
    slot_digest_begin(&d, &s->hub.id, hub_digest);
    uint8_t tag;
    struct bytes data;
    while (next_item(r, &tag, &data)) {
        if (tag == TAG_END) {
            *digest = slot_digest_end(&d);
            return ERR_OK;
        }
        if (tag != TAG_ACCOUNT)
            return ERR_CORRUPT;
        TRY(get_account(s, data));
        const struct account *a = account_map_newest(s->accounts);
        if (s->account_count > 1 && hash_compare(&last, &a->id) >= 0)
            return ERR_CORRUPT;
        last = a->id;
        slot_digest_add(&d, &a->id, data);
    }
    return ERR_CORRUPT;
}

enum err slotlog_restore(struct slotlog *s, const struct bytes parts[], size_t count,
                         const struct pubkey *relay, tree_size *size, struct hash *root)
{
    assert(s->frontier.size == 0 && s->account_count == 0 && !s->hub.open);
    struct hash signed_digest;
    if (count == 0 || !verify(parts, count, relay, &signed_digest))
        return ERR_CORRUPT;

    struct snapshot_reader r = {.parts = parts, .count = count};
    struct header h;
    uint8_t tag;
    struct bytes data;
    if (!get_header(&r, &h) || h.slot != s->slot || h.size == 0 ||
        !pubkey_equal(&h.relay, relay) || !next_item(&r, &tag, &data) || tag != TAG_HUB)
        return ERR_CORRUPT;
    TRY(hub_account_decode(&s->hub, s->mem, data));
    if (s->hub.slot != s->slot || s->hub.rules != h.rules || h.rules > RULES_VERSION)
        return ERR_CORRUPT;

    struct hash hub_digest = hash_context(CTX_ACCOUNT_STATE, data.data, data.size);
    struct hash digest;
    TRY(get_accounts(s, &r, &hub_digest, &digest));
    if (!hash_equal(&digest, &signed_digest) || s->account_count != h.account_count)
        return ERR_CORRUPT;
    s->hub_lamport = h.hub_lamport;
    s->hub_time_ms = h.hub_time_ms;
    *size = h.size;
    *root = h.root;
    return ERR_OK;
}
