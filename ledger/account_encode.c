/* The canonical state of an account and of a hub account. Layout: docs/PROTOCOL.md
 * section "State encoding"; account_decode.c reads it. */
#include <assert.h>
#include <string.h>

#include "crypto/context.h"
#include "ledger/account_state.h"
#include "ledger/apply.h"
#include "ledger/mp.h"

/* Writes through `w`, or only counts when it is NULL: one walk gives bytes and size. */
struct out {
    struct mp_writer *w;
    size_t size;
};

static size_t uint_size(uint64_t v)
{
    if (v < 0x80)
        return 1;
    if (v <= UINT8_MAX)
        return 2;
    if (v <= UINT16_MAX)
        return 3;
    return v <= UINT32_MAX ? 5 : 9;
}

static size_t int_size(int64_t v)
{
    if (v >= 0)
        return uint_size((uint64_t)v);
    if (v >= -32)
        return 1;
    if (v >= INT8_MIN)
        return 2;
    if (v >= INT16_MIN)
        return 3;
    return v >= INT32_MIN ? 5 : 9;
}

static void put_uint(struct out *o, uint64_t v)
{
    o->size += uint_size(v);
    if (o->w != NULL)
        mp_uint(o->w, v);
}

static void put_int(struct out *o, int64_t v)
{
    o->size += int_size(v);
    if (o->w != NULL)
        mp_int(o->w, v);
}

static void put_32(struct out *o, const void *bytes)
{
    o->size += 2 + 32;
    if (o->w != NULL)
        mp_bin(o->w, bytes, 32);
}

static void put_nil(struct out *o)
{
    o->size += 1;
    if (o->w != NULL)
        mp_nil(o->w);
}

static void put_str(struct out *o, const char *data, size_t size)
{
    assert(size <= UINT8_MAX);
    o->size += (size < 32 ? 1 : 2) + size;
    if (o->w != NULL)
        mp_str(o->w, data, size);
}

static void put_array(struct out *o, size_t count)
{
    assert(count <= UINT16_MAX);
    o->size += count < 16 ? 1 : 3;
    if (o->w != NULL)
        mp_array(o->w, count);
}

static void put_chain(struct out *o, const struct chain *c)
{
    put_array(o, CHAIN_FIELDS);
    put_uint(o, c->next_seq);
    put_32(o, &c->tip);
    put_uint(o, c->tip_lamport);
}

/* -- account
 * ----------------------------------------------------------------------------- */

static void put_recovery(struct out *o, const struct account *a)
{
    if (!a->has_recovery) {
        put_nil(o);
        return;
    }
    put_array(o, RECOVERY_FIELDS);
    put_32(o, &a->recovery);
    put_uint(o, a->recovery_member);
    put_chain(o, &a->recovery_chain);
    if (!a->recovery_pending) {
        put_nil(o);
        return;
    }
    put_array(o, PENDING_FIELDS);
    put_32(o, &a->recovery_begin);
    put_uint(o, a->recovery_begin_ms);
}

static void put_bound(struct out *o, const struct account *a)
{
    if (!a->bound) {
        put_nil(o);
        return;
    }
    put_array(o, BOUND_FIELDS);
    put_uint(o, a->bound_chain);
    put_str(o, a->bound_address, a->bound_size);
}

static void put_members(struct out *o, const struct account *a)
{
    put_array(o, a->member_count);
    for (uint32_t i = 0; i < a->member_count; i++) {
        const struct member *m = &a->members[i];
        put_array(o, MEMBER_FIELDS);
        put_uint(o, m->number);
        put_32(o, &m->root);
        put_uint(o, m->grants);
        put_uint(o, m->rotations);
        put_int(o, m->position);
    }
}

static void put_devices(struct out *o, const struct account *a)
{
    put_array(o, a->device_count);
    for (uint32_t i = 0; i < a->device_count; i++) {
        put_array(o, DEVICE_FIELDS);
        put_32(o, &a->devices[i].key);
        put_uint(o, a->devices[i].member);
        put_chain(o, &a->devices[i].chain);
    }
    put_array(o, a->revoked_count);
    for (uint32_t i = 0; i < a->revoked_count; i++)
        put_32(o, &a->revoked[i]);
}

static void put_invites(struct out *o, const struct account *a)
{
    put_array(o, a->invite_count);
    for (uint32_t i = 0; i < a->invite_count; i++) {
        put_array(o, INVITE_FIELDS);
        put_32(o, &a->invites[i].id);
        put_32(o, &a->invites[i].key);
        put_uint(o, a->invites[i].expires_ms);
        put_uint(o, a->invites[i].lamport);
    }
}

static void put_windows(struct out *o, const struct account *a)
{
    put_array(o, a->ref_count);
    for (uint32_t i = 0; i < a->ref_count; i++) {
        put_array(o, REF_FIELDS);
        put_32(o, &a->refs[i].id);
        put_uint(o, a->refs[i].lamport);
    }
    put_array(o, a->node_count);
    for (uint32_t i = 0; i < a->node_count; i++) {
        put_array(o, NODE_FIELDS);
        put_32(o, &a->nodes[i].node);
        put_uint(o, a->nodes[i].epoch);
    }
    put_array(o, a->split_count);
    for (uint32_t i = 0; i < a->split_count; i++) {
        put_array(o, SPLIT_FIELDS);
        put_32(o, &a->splits[i].id);
        put_32(o, &a->splits[i].terms);
    }
}

static void put_account(struct out *o, const struct account *a)
{
    put_array(o, ACCOUNT_FIELDS);
    put_uint(o, STATE_VERSION);
    put_32(o, &a->id);
    put_uint(o, a->position);
    put_32(o, &a->head);
    put_uint(o, (uint64_t)a->balance);
    put_uint(o, a->residency);
    put_recovery(o, a);
    put_bound(o, a);
    put_chain(o, &a->hub);
    put_uint(o, a->next_member);
    put_members(o, a);
    put_devices(o, a);
    put_invites(o, a);
    put_windows(o, a);
}

size_t account_encode_size(const struct account *a)
{
    struct out o = {.w = NULL};
    put_account(&o, a);
    return o.size;
}

void account_encode(struct mp_writer *w, const struct account *a)
{
    struct out o = {.w = w};
    put_account(&o, a);
}

struct hash account_digest(const struct account *a, uint8_t *room, size_t cap)
{
    struct mp_writer w = mp_writer_of(room, cap);
    account_encode(&w, a);
    assert(!w.full);
    return hash_context(CTX_ACCOUNT_STATE, room, w.size);
}

/* -- hub account
 * ------------------------------------------------------------------------- */

static bool is_idle(const struct channel *c)
{
    return c->next_in == 0 && c->next_out == 0;
}

/* Channels nothing has gone through yet are the same as none. */
static void put_channels(struct out *o, const struct hub_account *h)
{
    size_t count = 0;
    for (uint32_t i = 0; i < h->channel_count; i++)
        count += is_idle(&h->channels[i]) ? 0 : 1;
    put_array(o, count);
    for (uint32_t i = 0; i < h->channel_count; i++) {
        const struct channel *c = &h->channels[i];
        if (is_idle(c))
            continue;
        put_array(o, CHANNEL_FIELDS);
        put_str(o, c->origin, strlen(c->origin));
        put_uint(o, c->next_in);
        put_uint(o, c->next_out);
    }
}

static void put_hub(struct out *o, const struct hub_account *h)
{
    put_array(o, HUB_FIELDS);
    put_uint(o, STATE_VERSION);
    put_32(o, &h->id);
    put_uint(o, h->position);
    put_32(o, &h->head);
    put_chain(o, &h->chain);
    put_32(o, &h->federation);
    put_str(o, h->hub, strlen(h->hub));
    put_uint(o, h->slot);
    put_uint(o, h->slots);
    put_uint(o, h->rules);
    put_32(o, &h->issuer);
    put_32(o, &h->relay);
    put_32(o, &h->log.key);
    put_int(o, h->accrued);
    put_int(o, h->adjusted);
    put_uint(o, h->sent);
    put_uint(o, h->settled);
    put_channels(o, h);
}

size_t hub_account_encode_size(const struct hub_account *h)
{
    struct out o = {.w = NULL};
    put_hub(&o, h);
    return o.size;
}

void hub_account_encode(struct mp_writer *w, const struct hub_account *h)
{
    struct out o = {.w = w};
    put_hub(&o, h);
}

struct hash hub_account_digest(const struct hub_account *h, uint8_t *room, size_t cap)
{
    struct mp_writer w = mp_writer_of(room, cap);
    hub_account_encode(&w, h);
    assert(!w.full);
    return hash_context(CTX_ACCOUNT_STATE, room, w.size);
}
