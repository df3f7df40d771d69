/* The model's rules of who belongs to an account, and its signed messages. */
#include <string.h>

#include "crypto/context.h"
#include "fuzz.h"
#include "other.h"
#include "state_model.h"

/* -- messages
 * ---------------------------------------------------------------------------- */

static void put(struct model_message *m, const void *data, size_t size)
{
    PROPERTY(m->size + size <= sizeof m->b);
    memcpy(m->b + m->size, data, size);
    m->size += size;
}

static void put_byte(struct model_message *m, unsigned v)
{
    uint8_t b = (uint8_t)v;
    put(m, &b, 1);
}

void model_put_array(struct model_message *m, unsigned count)
{
    put_byte(m, 0x90 | count);
}

void model_put_bin(struct model_message *m, const void *data, size_t size)
{
    put_byte(m, 0xc4);
    put_byte(m, (unsigned)size);
    put(m, data, size);
}

void model_put_uint(struct model_message *m, uint64_t v)
{
    unsigned width = v < 0x80 ? 0 : v < 0x100 ? 1 : v < 0x10000 ? 2 : v >> 32 ? 8 : 4;
    if (width > 0)
        put_byte(m, width == 1 ? 0xcc : width == 2 ? 0xcd : width == 4 ? 0xce : 0xcf);
    else
        width = 1;
    while (width-- > 0)
        put_byte(m, (unsigned)(v >> (8 * width)) & 0xff);
}

void model_put_str(struct model_message *m, const char *text, size_t size)
{
    if (size >= 32)
        put_byte(m, 0xd9);
    put_byte(m, size < 32 ? 0xa0 | (unsigned)size : (unsigned)size);
    put(m, text, size);
}

void model_put_nil(struct model_message *m)
{
    put_byte(m, 0xc0);
}

bool model_signed(const struct model_message *m, const char *context,
                  const struct pubkey *key, const struct signature *sig)
{
    return other_verify(sig, key, context, m->b, m->size);
}

static bool grant_is_signed(const struct model_account *a, const struct pubkey *root,
                            const struct pubkey *device, uint64_t grant,
                            const struct signature *sig)
{
    struct model_message m = {0};
    model_put_array(&m, 4);
    model_put_bin(&m, a->id.b, 32);
    model_put_bin(&m, root->b, 32);
    model_put_bin(&m, device->b, 32);
    model_put_uint(&m, grant);
    return model_signed(&m, CTX_DEVICE, root, sig);
}

/* -- keys
 * -------------------------------------------------------------------------------- */

const struct pubkey model_weak[MODEL_WEAK] = {
    {{0}},                                                              /* order 4 */
    {{1}},                                                              /* the identity */
    {{0xcd, 0xb2, 0x67, 0xce, 0x40, 0xc5, 0xcd, 0x45, 0x30, 0x6f, 0xa5, /* mixed order */
      0xd2, 0xf2, 0x97, 0x31, 0x45, 0x93, 0x87, 0xdb, 0xf9, 0xeb, 0x93,
      0x3b, 0x7b, 0xd5, 0xae, 0xd9, 0xa7, 0x65, 0xb8, 0x8d, 0x4d}}};

static bool same(const struct pubkey *a, const struct pubkey *b)
{
    return memcmp(a->b, b->b, 32) == 0;
}

bool model_is_weak(const struct pubkey *key)
{
    for (unsigned i = 0; i < MODEL_WEAK; i++)
        if (same(&model_weak[i], key))
            return true;
    return false;
}

struct model_member *model_member_of(struct model_account *a, const struct pubkey *root)
{
    for (unsigned i = 0; i < a->members; i++)
        if (same(&a->member[i].root, root))
            return &a->member[i];
    return NULL;
}

static bool is_member(const struct model_account *a, const struct pubkey *root)
{
    for (unsigned i = 0; i < a->members; i++)
        if (same(&a->member[i].root, root))
            return true;
    return false;
}

static bool is_device(const struct model_account *a, const struct pubkey *key)
{
    for (unsigned i = 0; i < a->devices; i++)
        if (same(&a->device[i].key, key))
            return true;
    return false;
}

static bool is_gone(const struct model_account *a, const struct pubkey *key)
{
    for (unsigned i = 0; i < a->revoked; i++)
        if (same(&a->gone[i], key))
            return true;
    return false;
}

bool model_is_known(const struct model_account *a, const struct model_hub *h,
                    const struct pubkey *key, uint64_t now_ms)
{
    for (unsigned i = 0; i < a->invites; i++)
        if (a->invite[i].expires >= now_ms && same(&a->invite[i].key, key))
            return true;
    return same(&h->issuer, key) || same(&h->relay, key) || same(&h->log, key) ||
           (a->has_recovery && same(&a->recovery, key)) || is_member(a, key) ||
           is_device(a, key) || is_gone(a, key);
}

enum err model_may_be_device(const struct model_account *a, const struct model_hub *h,
                             const struct pubkey *key, uint64_t now_ms)
{
    if (model_is_weak(key))
        return ERR_KEY_WEAK;
    if (is_device(a, key) || is_gone(a, key))
        return ERR_DEVICE_EXISTS;
    return model_is_known(a, h, key, now_ms) ? ERR_KEY_USED : ERR_OK;
}

unsigned model_devices_of(const struct model_account *a, uint32_t member)
{
    unsigned count = 0;
    for (unsigned i = 0; i < a->devices; i++)
        count += a->device[i].member == member;
    return count;
}

void model_enrol(struct model_account *a, const struct pubkey *key, uint32_t member,
                 const struct entry *e, uint64_t next)
{
    PROPERTY(a->devices < MODEL_LIST);
    a->device[a->devices++] = (struct model_device){
        .key = *key, .member = member, .chain = {next, e->id, e->lamport}};
}

static void revoke(struct model_account *a, unsigned i)
{
    PROPERTY(a->revoked < MODEL_LIST);
    a->gone[a->revoked++] = a->device[i].key;
    for (a->devices--; i < a->devices; i++)
        a->device[i] = a->device[i + 1];
    a->invites = 0;
}

void model_revoke_all(struct model_account *a, uint32_t member)
{
    for (unsigned i = 0; i < a->devices;)
        if (a->device[i].member == member)
            revoke(a, i);
        else
            i++;
}

/* -- rules
 * ------------------------------------------------------------------------------- */

static enum err device_add(struct model_account *a, const struct model_hub *h,
                           const struct entry *e, const struct p_device_add *p,
                           uint64_t now_ms, uint32_t writer)
{
    struct model_member *m = model_member_of(a, &p->root);
    if (!m)
        return ERR_MEMBER_UNKNOWN;
    if (m->number != writer)
        return ERR_AUTHORITY;
    if (p->grant != m->grants)
        return ERR_GRANT;
    TRY(model_may_be_device(a, h, &p->device, now_ms));
    if (a->devices >= 256 || a->devices + a->revoked >= 512 ||
        model_devices_of(a, writer) >= 32)
        return ERR_DEVICE_LIMIT;
    if (!grant_is_signed(a, &p->root, &p->device, p->grant, &p->root_sig))
        return ERR_ROOT_SIGNATURE;
    m->grants++;
    model_enrol(a, &p->device, writer, e, 0);
    return ERR_OK;
}

static enum err device_revoke(struct model_account *a, const struct pubkey *key,
                              uint32_t writer)
{
    unsigned i = 0;
    while (i < a->devices && !same(&a->device[i].key, key))
        i++;
    if (i == a->devices)
        return is_gone(a, key) ? ERR_DEVICE_REVOKED : ERR_DEVICE_UNKNOWN;
    if (a->device[i].member != writer)
        return ERR_AUTHORITY;
    if (model_devices_of(a, writer) == 1)
        return ERR_DEVICE_LAST;
    if (a->revoked >= 512)
        return ERR_DEVICE_LIMIT;
    revoke(a, i);
    return ERR_OK;
}

/* [account, key, number] by the root of the member who writes. */
static bool writer_signed(const struct model_account *a, uint32_t writer,
                          const char *context, const struct pubkey *key, uint64_t number,
                          const struct signature *sig)
{
    struct model_message m = {0};
    unsigned i = 0;
    while (i < a->members && a->member[i].number != writer)
        i++;
    PROPERTY(i < a->members);
    model_put_array(&m, 3);
    model_put_bin(&m, a->id.b, 32);
    model_put_bin(&m, key->b, 32);
    model_put_uint(&m, number);
    return model_signed(&m, context, &a->member[i].root, sig);
}

static enum err invite(struct model_account *a, const struct model_hub *h,
                       const struct entry *e, const struct p_invite *p, uint64_t now_ms,
                       uint32_t writer)
{
    unsigned open = 0;
    if (model_is_weak(&p->key))
        return ERR_KEY_WEAK;
    if (p->expires_ms <= now_ms ||
        p->expires_ms > now_ms + UINT64_C(30) * 24 * 3600 * 1000)
        return ERR_EXPIRY;
    if (model_is_known(a, h, &p->key, now_ms))
        return ERR_KEY_USED;
    for (unsigned i = 0; i < a->invites; i++)
        open += a->invite[i].expires >= now_ms;
    if (open >= 32)
        return ERR_INVITE_LIMIT;
    if (!writer_signed(a, writer, CTX_INVITE, &p->key, p->expires_ms, &p->root_sig))
        return ERR_ROOT_SIGNATURE;
    unsigned kept = 0;
    for (unsigned i = 0; i < a->invites; i++)
        if (a->invite[i].expires >= now_ms)
            a->invite[kept++] = a->invite[i];
    a->invite[kept] = (struct model_invite){e->id, p->key, p->expires_ms, e->lamport};
    a->invites = kept + 1;
    return ERR_OK;
}

static enum err member_add(struct model_account *a, const struct model_hub *h,
                           const struct entry *e, const struct p_member_add *p,
                           uint64_t now_ms)
{
    unsigned i = 0;
    while (!hash_equal(&a->invite[i].id, &e->prev))
        i++;
    if (now_ms > a->invite[i].expires)
        return ERR_INVITE_EXPIRED;
    if (a->members >= 100)
        return ERR_MEMBER_LIMIT;
    if (is_member(a, &p->root))
        return ERR_MEMBER_EXISTS;
    if (model_is_weak(&p->root))
        return ERR_KEY_WEAK;
    TRY(model_may_be_device(a, h, &e->device, now_ms));
    if (model_is_known(a, h, &p->root, now_ms) || same(&p->root, &e->device))
        return ERR_KEY_USED;
    if (a->devices >= 256 || a->devices + a->revoked >= 512)
        return ERR_DEVICE_LIMIT;
    struct model_message m = {0};
    model_put_array(&m, 4);
    model_put_bin(&m, a->id.b, 32);
    model_put_bin(&m, a->invite[i].id.b, 32);
    model_put_bin(&m, p->root.b, 32);
    model_put_bin(&m, e->device.b, 32);
    if (!model_signed(&m, CTX_INVITE, &a->invite[i].key, &p->invite_sig))
        return ERR_INVITE_SIGNATURE;
    if (!grant_is_signed(a, &p->root, &e->device, 0, &p->root_sig))
        return ERR_ROOT_SIGNATURE;
    for (a->invites--; i < a->invites; i++)
        a->invite[i] = a->invite[i + 1];
    model_enrol(a, &e->device, a->joined, e, 1);
    a->member[a->members++] =
        (struct model_member){.number = a->joined++, .root = p->root, .grants = 1};
    return ERR_OK;
}

static enum err member_remove(struct model_account *a, const struct p_member_remove *p,
                              uint32_t writer)
{
    struct model_member *m = model_member_of(a, &p->root);
    if (!m)
        return ERR_MEMBER_UNKNOWN;
    uint32_t number = m->number, steward = UINT32_MAX;
    for (unsigned i = 0; i < a->members; i++)
        steward = a->member[i].number < steward ? a->member[i].number : steward;
    if (writer != number && writer != steward)
        return ERR_AUTHORITY;
    if (a->members == 1)
        return ERR_MEMBER_LAST;
    if (m->position != 0)
        return ERR_POSITION_OPEN;
    if (a->revoked + model_devices_of(a, number) > 512)
        return ERR_DEVICE_LIMIT;
    if (!writer_signed(a, writer, CTX_REMOVE, &p->root, number, &p->root_sig))
        return ERR_ROOT_SIGNATURE;
    model_revoke_all(a, number);
    if (number == 0)
        a->pending = false;
    for (a->members--; m < a->member + a->members; m++)
        m[0] = m[1];
    return ERR_OK;
}

/* -- rotation, recovery
 * ------------------------------------------------------------------ */

static enum err rotate_right(const struct model_account *a, const struct model_member *m,
                             const struct p_root_rotate *p, uint64_t now_ms,
                             bool by_recovery, int writer)
{
    if ((p->how == 2) != by_recovery)
        return ERR_AUTHORITY;
    if (p->how == 0 && (uint32_t)writer != m->number)
        return ERR_AUTHORITY;
    if (p->how != 2)
        return ERR_OK;
    if (m->number != 0)
        return ERR_AUTHORITY;
    if (!a->pending)
        return ERR_RECOVERY_NONE;
    return now_ms >= a->begin_ms + UINT64_C(72) * 3600 * 1000 ? ERR_OK
                                                              : ERR_RECOVERY_EARLY;
}

static enum err rotate_proofs(const struct model_account *a,
                              const struct p_root_rotate *p,
                              const struct model_message *m)
{
    if (p->how == 0)
        return p->proof_count == 1 && same(&p->proofs[0].root, &p->old_root) &&
                       model_signed(m, CTX_ROTATE, &p->old_root, &p->proofs[0].sig)
                   ? ERR_OK
                   : ERR_ROOT_SIGNATURE;
    if (p->how == 2)
        return grant_is_signed(a, &p->new_root, &p->device, 0, &p->grant_sig)
                   ? ERR_OK
                   : ERR_ROOT_SIGNATURE;
    unsigned others = a->members - 1;
    if (p->proof_count < 2 || p->proof_count * 2 <= others)
        return ERR_COSIGNERS;
    for (size_t i = 0; i < p->proof_count; i++) {
        const struct pubkey *root = &p->proofs[i].root;
        if ((i > 0 && memcmp(p->proofs[i - 1].root.b, root->b, 32) >= 0) ||
            !is_member(a, root) || same(root, &p->old_root) ||
            !model_signed(m, CTX_ROTATE, root, &p->proofs[i].sig))
            return ERR_COSIGNERS;
    }
    return ERR_OK;
}

enum err model_root_rotate(struct model_account *a, const struct model_hub *h,
                           const struct entry *e, const struct p_root_rotate *p,
                           uint64_t now_ms, bool by_recovery, int writer)
{
    if (p->how > 2 || p->has_device != (p->how == 2))
        return ERR_PAYLOAD;
    struct model_member *m = model_member_of(a, &p->old_root);
    if (!m)
        return ERR_MEMBER_UNKNOWN;
    TRY(rotate_right(a, m, p, now_ms, by_recovery, writer));
    if (model_is_weak(&p->new_root))
        return ERR_KEY_WEAK;
    if (model_is_known(a, h, &p->new_root, now_ms))
        return ERR_KEY_USED;
    if (p->how == 2) {
        TRY(model_may_be_device(a, h, &p->device, now_ms));
        if (same(&p->device, &p->new_root))
            return ERR_KEY_USED;
        if (a->revoked + model_devices_of(a, m->number) > 512)
            return ERR_DEVICE_LIMIT;
    }
    struct model_message message = {0};
    model_put_array(&message, 5);
    model_put_bin(&message, a->id.b, 32);
    model_put_bin(&message, p->old_root.b, 32);
    model_put_bin(&message, p->new_root.b, 32);
    if (p->has_device)
        model_put_bin(&message, p->device.b, 32);
    else
        model_put_nil(&message);
    model_put_uint(&message, m->rotations);
    if (!model_signed(&message, CTX_ROTATE, &p->new_root, &p->new_sig))
        return ERR_ROOT_SIGNATURE;
    TRY(rotate_proofs(a, p, &message));
    m->root = p->new_root;
    m->rotations++;
    m->grants = p->how == 2;
    if (p->how == 2) {
        model_revoke_all(a, m->number);
        model_enrol(a, &p->device, m->number, e, 0);
    }
    if (p->how == 2 || (p->how == 0 && m->number == 0))
        a->pending = false;
    return ERR_OK;
}

static enum err recovery_begin(struct model_account *a, const struct entry *e,
                               uint64_t now_ms)
{
    if (a->members == 0 || a->member[0].number != 0)
        return ERR_MEMBER_UNKNOWN;
    if (a->pending)
        return ERR_RECOVERY_PENDING;
    a->pending = true;
    a->begin = e->id;
    a->begin_ms = now_ms;
    return ERR_OK;
}

static enum err recovery_cancel(struct model_account *a,
                                const struct p_recovery_cancel *p)
{
    if (!a->pending || !hash_equal(&a->begin, &p->begin))
        return ERR_RECOVERY_NONE;
    if (!is_member(a, &p->root))
        return ERR_MEMBER_UNKNOWN;
    struct model_message m = {0};
    model_put_array(&m, 3);
    model_put_bin(&m, a->id.b, 32);
    model_put_bin(&m, p->begin.b, 32);
    model_put_bin(&m, p->root.b, 32);
    if (!model_signed(&m, CTX_RECOVERY, &p->root, &p->root_sig))
        return ERR_ROOT_SIGNATURE;
    a->pending = false;
    return ERR_OK;
}

enum err model_members(struct model_account *a, const struct model_hub *h,
                       const struct entry *e, const struct payload *p, uint64_t now_ms,
                       bool by_recovery, int writer)
{
    switch (e->kind) {
    case KIND_DEVICE_ADD:
        return device_add(a, h, e, &p->device_add, now_ms, (uint32_t)writer);
    case KIND_DEVICE_REVOKE:
        return device_revoke(a, &p->device_revoke.device, (uint32_t)writer);
    case KIND_INVITE:
        return invite(a, h, e, &p->invite, now_ms, (uint32_t)writer);
    case KIND_MEMBER_ADD:
        return member_add(a, h, e, &p->member_add, now_ms);
    case KIND_MEMBER_REMOVE:
        return member_remove(a, &p->member_remove, (uint32_t)writer);
    case KIND_ROOT_ROTATE:
        return model_root_rotate(a, h, e, &p->root_rotate, now_ms, by_recovery, writer);
    case KIND_RECOVERY_BEGIN:
        return recovery_begin(a, e, now_ms);
    default:
        return recovery_cancel(a, &p->recovery_cancel);
    }
}
