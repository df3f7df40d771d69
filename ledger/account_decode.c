/* Strict inverse of account_encode.c: a state no rules could have made is ERR_CORRUPT. */
#include <assert.h>
#include <string.h>

#include "ledger/account_state.h"
#include "ledger/apply.h"
#include "ledger/mp.h"

/* Decoding fails for want of sense or of memory; the reader tells the first. */
struct in {
    struct mp_reader r;
    bool no_memory;
};

static bool fail(struct in *in)
{
    in->r.bad = true;
    return false;
}

static bool expect(struct in *in, bool holds)
{
    return holds ? true : fail(in);
}

static bool get_array(struct in *in, size_t count)
{
    size_t found = 0;
    return mp_read_array(&in->r, &found, count) && expect(in, found == count);
}

static bool get_count(struct in *in, uint32_t *count, size_t max)
{
    size_t found = 0;
    if (!mp_read_array(&in->r, &found, max))
        return false;
    *count = (uint32_t)found;
    return true;
}

static bool get_32(struct in *in, void *out)
{
    return mp_read_bin_exact(&in->r, out, 32);
}

static bool get_uint(struct in *in, uint64_t *out)
{
    return mp_read_uint(&in->r, out);
}

static bool get_uint_max(struct in *in, uint64_t *out, uint64_t max)
{
    return mp_read_uint(&in->r, out) && expect(in, *out <= max);
}

static bool get_u32(struct in *in, uint32_t *out, uint64_t max)
{
    uint64_t v = 0;
    assert(max <= UINT32_MAX);
    if (!get_uint_max(in, &v, max))
        return false;
    *out = (uint32_t)v;
    return true;
}

static bool get_chain(struct in *in, struct chain *c)
{
    return get_array(in, CHAIN_FIELDS) && get_uint(in, &c->next_seq) &&
           get_32(in, &c->tip) && get_uint(in, &c->tip_lamport) &&
           expect(in, c->tip_lamport > 0);
}

/* Take room for the counted items of one array. */
#define GET_ROOM(in, a, array, name, max)                                                \
    do {                                                                                 \
        uint32_t count_ = 0;                                                             \
        bool ok_;                                                                        \
        if (!get_count((in), &count_, (max)))                                            \
            return false;                                                                \
        ARRAY_RESERVE(a, array, name, count_, ok_);                                      \
        if (!ok_) {                                                                      \
            (in)->no_memory = true;                                                      \
            return false;                                                                \
        }                                                                                \
        (a)->name##_count = count_;                                                      \
        if (count_ > 0)                                                                  \
            memset((a)->array, 0, count_ * sizeof *(a)->array);                          \
    } while (0)

/* -- account
 * ----------------------------------------------------------------------------- */

static bool get_recovery(struct in *in, struct account *a)
{
    if (mp_peek_nil(&in->r))
        return mp_read_nil(&in->r);
    a->has_recovery = true;
    if (!get_array(in, RECOVERY_FIELDS) || !get_32(in, &a->recovery) ||
        !get_u32(in, &a->recovery_member, UINT32_MAX) ||
        !get_chain(in, &a->recovery_chain))
        return false;
    if (mp_peek_nil(&in->r))
        return mp_read_nil(&in->r);
    a->recovery_pending = true;
    return get_array(in, PENDING_FIELDS) && get_32(in, &a->recovery_begin) &&
           get_uint(in, &a->recovery_begin_ms);
}

static bool get_bound(struct in *in, struct account *a)
{
    struct bytes address;
    uint64_t chain = 0;
    if (mp_peek_nil(&in->r))
        return mp_read_nil(&in->r);
    a->bound = true;
    if (!get_array(in, BOUND_FIELDS) || !get_uint_max(in, &chain, CHAINS - 1) ||
        !mp_read_str(&in->r, &address, ADDRESS_BYTES_MAX) ||
        !expect(in, address.size > 0))
        return false;
    a->bound_chain = (uint8_t)chain;
    a->bound_size = (uint8_t)address.size;
    memcpy(a->bound_address, address.data, address.size);
    return true;
}

static bool get_members(struct in *in, struct account *a)
{
    GET_ROOM(in, a, members, member, MEMBERS_MAX);
    for (uint32_t i = 0; i < a->member_count; i++) {
        struct member *m = &a->members[i];
        if (!get_array(in, MEMBER_FIELDS) || !get_u32(in, &m->number, UINT32_MAX) ||
            !get_32(in, &m->root) || !get_uint(in, &m->grants) ||
            !get_uint(in, &m->rotations) || !mp_read_int(&in->r, &m->position))
            return false;
        if (!expect(in, m->number < a->next_member) ||
            !expect(in, i == 0 || a->members[i - 1].number < m->number))
            return false;
    }
    return true;
}

static bool get_devices(struct in *in, struct account *a)
{
    GET_ROOM(in, a, devices, device, DEVICES_MAX);
    for (uint32_t i = 0; i < a->device_count; i++) {
        struct device *d = &a->devices[i];
        if (!get_array(in, DEVICE_FIELDS) || !get_32(in, &d->key) ||
            !get_u32(in, &d->member, UINT32_MAX) || !get_chain(in, &d->chain) ||
            !expect(in, find_member_number(a, d->member) != NOT_FOUND))
            return false;
    }
    GET_ROOM(in, a, revoked, revoked, REVOKED_MAX);
    for (uint32_t i = 0; i < a->revoked_count; i++)
        if (!get_32(in, &a->revoked[i]))
            return false;
    return true;
}

static bool get_invites(struct in *in, struct account *a)
{
    GET_ROOM(in, a, invites, invite, INVITES_MAX);
    for (uint32_t i = 0; i < a->invite_count; i++) {
        struct invite *v = &a->invites[i];
        if (!get_array(in, INVITE_FIELDS) || !get_32(in, &v->id) ||
            !get_32(in, &v->key) || !get_uint(in, &v->expires_ms) ||
            !get_uint(in, &v->lamport))
            return false;
    }
    return true;
}

static bool get_refs(struct in *in, struct account *a)
{
    GET_ROOM(in, a, refs, ref, REF_WINDOW);
    for (uint32_t i = 0; i < a->ref_count; i++)
        if (!get_array(in, REF_FIELDS) || !get_32(in, &a->refs[i].id) ||
            !get_uint(in, &a->refs[i].lamport))
            return false;
    return true;
}

static bool get_nodes(struct in *in, struct account *a)
{
    GET_ROOM(in, a, nodes, node, NODES_MAX);
    for (uint32_t i = 0; i < a->node_count; i++) {
        struct node_epoch *n = &a->nodes[i];
        if (!get_array(in, NODE_FIELDS) || !get_32(in, &n->node) ||
            !get_uint(in, &n->epoch) ||
            !expect(in, i == 0 || hash_compare(&n[-1].node, &n->node) < 0))
            return false;
    }
    return true;
}

static bool get_splits(struct in *in, struct account *a)
{
    GET_ROOM(in, a, splits, split, SPLIT_WINDOW);
    for (uint32_t i = 0; i < a->split_count; i++)
        if (!get_array(in, SPLIT_FIELDS) || !get_32(in, &a->splits[i].id) ||
            !get_32(in, &a->splits[i].terms))
            return false;
    return true;
}

/* What holds between the parts of every account the rules can make. */
static bool account_holds_together(const struct account *a)
{
    uint64_t sum = 0;
    if (a->position == 0 || a->ref_count == 0 || a->member_count == 0 ||
        a->device_count == 0)
        return false;
    if (a->has_recovery && a->recovery_member >= a->next_member)
        return false;
    for (uint32_t i = 0; i < a->member_count; i++) {
        uint32_t devices = count_devices(a, a->members[i].number);
        if (devices == 0 || devices > DEVICES_PER_MEMBER_MAX)
            return false;
        sum += (uint64_t)a->members[i].position;
    }
    return sum == 0;
}

static bool get_account(struct in *in, struct account *a)
{
    uint64_t version = 0, balance = 0, residency = 0;
    if (!get_array(in, ACCOUNT_FIELDS) || !get_uint(in, &version) ||
        !expect(in, version == STATE_VERSION) || !get_32(in, &a->id) ||
        !get_uint(in, &a->position) || !get_32(in, &a->head) ||
        !get_uint_max(in, &balance, (uint64_t)BALANCE_MAX) ||
        !get_uint_max(in, &residency, RESIDENCY_PINNED))
        return false;
    a->balance = (int64_t)balance;
    a->residency = (uint8_t)residency;
    return get_recovery(in, a) && get_bound(in, a) && get_chain(in, &a->hub) &&
           get_u32(in, &a->next_member, UINT32_MAX) && get_members(in, a) &&
           get_devices(in, a) && get_invites(in, a) && get_refs(in, a) &&
           get_nodes(in, a) && get_splits(in, a) &&
           expect(in, mp_done(&in->r) && account_holds_together(a));
}

enum err account_decode(struct account *a, const struct alloc *mem, struct bytes data)
{
    struct in in = {.r = mp_reader_of(data.data, data.size)};
    account_init(a, mem);
    if (get_account(&in, a))
        return ERR_OK;
    account_close(a);
    return in.no_memory ? ERR_MEMORY : ERR_CORRUPT;
}

/* -- hub account
 * ------------------------------------------------------------------------- */

static bool get_log_shape(struct in *in, struct hub_account *h)
{
    struct bytes hub;
    if (!mp_read_str(&in->r, &hub, HUB_NAME_MAX) ||
        !expect(in, hub_name_ok((const char *)hub.data, hub.size)))
        return false;
    memcpy(h->hub, hub.data, hub.size);
    if (!get_u32(in, &h->slot, SLOTS_MAX - 1) || !get_u32(in, &h->slots, SLOTS_MAX) ||
        !expect(in, h->slot < h->slots && (h->slots & (h->slots - 1)) == 0))
        return false;
    slot_origin(h->origin, hub, h->slot);
    if (channels_open(h, hub, h->slots) != ERR_OK) {
        in->no_memory = true;
        return false;
    }
    return get_uint_max(in, &h->rules, RULES_VERSION) && expect(in, h->rules > 0);
}

static bool get_log_keys(struct in *in, struct hub_account *h)
{
    struct pubkey log;
    return get_32(in, &h->issuer) && get_32(in, &h->relay) && get_32(in, &log) &&
           expect(in, vkey_make(&h->log, h->origin, NOTE_ED25519, &log));
}

static bool get_channels(struct in *in, struct hub_account *h)
{
    uint32_t count = 0, slot = 0, before = 0;
    if (!get_count(in, &count, h->slots))
        return false;
    for (uint32_t i = 0; i < count; i++, before = slot) {
        struct bytes origin;
        if (!get_array(in, CHANNEL_FIELDS) ||
            !mp_read_str(&in->r, &origin, NOTE_NAME_MAX) ||
            !expect(in, slot_from_origin(h, origin, &slot)) ||
            !expect(in, i == 0 || before < slot))
            return false;
        struct channel *c = &h->channels[slot];
        if (!get_uint(in, &c->next_in) || !get_uint(in, &c->next_out) ||
            !expect(in, c->next_in > 0 || c->next_out > 0))
            return false;
    }
    return true;
}

static bool get_hub(struct in *in, struct hub_account *h)
{
    uint64_t version = 0;
    h->open = true;
    return get_array(in, HUB_FIELDS) && get_uint(in, &version) &&
           expect(in, version == STATE_VERSION) && get_32(in, &h->id) &&
           get_uint(in, &h->position) && expect(in, h->position > 0) &&
           get_32(in, &h->head) && get_chain(in, &h->chain) &&
           get_32(in, &h->federation) && get_log_shape(in, h) && get_log_keys(in, h) &&
           mp_read_int(&in->r, &h->accrued) && expect(in, h->accrued >= 0) &&
           mp_read_int(&in->r, &h->adjusted) && get_uint(in, &h->sent) &&
           get_uint(in, &h->settled) && get_channels(in, h) &&
           expect(in, mp_done(&in->r));
}

enum err hub_account_decode(struct hub_account *h, const struct alloc *mem,
                            struct bytes data)
{
    struct in in = {.r = mp_reader_of(data.data, data.size)};
    hub_account_init(h, mem);
    if (get_hub(&in, h))
        return ERR_OK;
    hub_account_close(h);
    return in.no_memory ? ERR_MEMORY : ERR_CORRUPT;
}
