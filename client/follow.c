#include "client/follow.h"

#include <stdlib.h>
#include <string.h>

#include "ledger/scratch.h"
#include "crypto/context.h"

#define FOLLOW_FIELDS 22
#define FOLLOW_OVERHEAD 640 /* fields and heads beside the two states */
#define FOLLOW_STATE_MAX (64u << 20)

void follow_init(struct follow *f, const struct alloc *mem, const struct hash *id,
                 const struct hash *hub_id, uint32_t slot)
{
    memset(f, 0, sizeof(*f));
    f->mem = mem;
    if (id)
        f->id = *id;
    f->hub_id = *hub_id;
    f->slot = slot;
    hub_account_init(&f->hub, mem);
    account_init(&f->account, mem);
}

void follow_close(struct follow *f)
{
    if (!f->mem)
        return;
    hub_account_close(&f->hub);
    account_close(&f->account);
    buf_close(&f->account_newest.envelope);
    buf_close(&f->hub_newest.envelope);
    memset(f, 0, sizeof(*f));
}

static enum err set_newest(struct newest *n, const struct record *r,
                           const struct hash *head)
{
    buf_clear(&n->envelope);
    if (!buf_add(&n->envelope, r->envelope.data, r->envelope.size))
        return ERR_MEMORY;
    n->r = *r;
    n->r.account_head = *head;
    n->known = false;
    return ERR_OK;
}

const struct hash *follow_leaf(struct newest *n)
{
    if (!n->known) {
        n->r.envelope = bytes_of(n->envelope.data, n->envelope.size);
        n->leaf = record_leaf_hash(&n->r);
        n->known = true;
    }
    return &n->leaf;
}

static bool head_fits(const struct hash *head, const struct record *r)
{
    return hash_equal(head, &r->account_head) || hash_is_zero(&r->account_head);
}

static bool goes_on(const struct follow *f, const struct record *r)
{
    if (r->slot != f->slot)
        return false;
    if (!f->any)
        return true;
    return r->index > f->index && r->hub_lamport > f->hub_lamport &&
           r->hub_time_ms >= f->hub_time_ms;
}

static enum err apply_hub(struct follow *f, const struct entry *e, const struct record *r)
{
    if (r->position != f->hub.position)
        return ERR_CORRUPT;
    if (r->position == 0 && (r->index != 0 || !hash_equal(&e->id, &f->hub_id)))
        return ERR_CORRUPT;
    TRY(hub_account_apply(&f->hub, e, r, VIEW_ACCOUNT, NULL));
    f->broken = true;
    if (!head_fits(&f->hub.head, r) || f->hub.slot != f->slot)
        return ERR_CORRUPT;
    TRY(set_newest(&f->hub_newest, r, &f->hub.head));
    f->broken = false;
    f->hub_index = r->index;
    return ERR_OK;
}

static enum err apply_account(struct follow *f, const struct entry *e,
                              const struct record *r)
{
    if (r->position != f->account.position)
        return ERR_CORRUPT;
    TRY(account_apply(&f->account, &f->hub, e, r, VIEW_ACCOUNT, NULL));
    f->broken = true;
    if (!head_fits(&f->account.head, r))
        return ERR_CORRUPT;
    TRY(set_newest(&f->account_newest, r, &f->account.head));
    f->broken = false;
    f->account_index = r->index;
    f->account_entry = e->id;
    f->account_lamport = e->lamport;
    return ERR_OK;
}

enum err follow_apply(struct follow *f, const struct entry *e, const struct record *r)
{
    if (f->broken)
        return ERR_BUG;
    if (!goes_on(f, r))
        return ERR_CORRUPT;
    const struct hash *about = entry_account(e);
    if (hash_equal(about, &f->hub_id))
        TRY(apply_hub(f, e, r));
    else if (hash_equal(about, &f->id))
        TRY(apply_account(f, e, r));
    else
        return ERR_CORRUPT;
    f->any = true;
    f->index = r->index;
    f->hub_lamport = r->hub_lamport;
    f->hub_time_ms = r->hub_time_ms;
    return ERR_OK;
}

/* ---- checkpoint -------------------------------------------------------------------- */

size_t follow_encode_size(const struct follow *f)
{
    return FOLLOW_OVERHEAD + hub_account_encode_size(&f->hub) +
           account_encode_size(&f->account);
}

static void put_hash(struct mp_writer *w, const struct hash *h)
{
    mp_bin(w, h->b, HASH_BYTES);
}

static bool put_state(struct mp_writer *w, const struct follow *f, bool hub)
{
    size_t cap =
        hub ? hub_account_encode_size(&f->hub) : account_encode_size(&f->account);
    uint8_t *room = malloc(cap ? cap : 1);
    if (!room)
        return false;
    struct mp_writer in = mp_writer_of(room, cap);
    if (hub)
        hub_account_encode(&in, &f->hub);
    else
        account_encode(&in, &f->account);
    mp_bin(w, room, in.size);
    bool ok = !in.full;
    free(room);
    return ok;
}

size_t follow_encode(struct follow *f, const struct follow_proof *p, uint8_t *out,
                     size_t cap)
{
    struct mp_writer w = mp_writer_of(out, cap);
    bool opened = f->account.position > 0;
    mp_array(&w, FOLLOW_FIELDS);
    mp_uint(&w, FOLLOW_FORMAT);
    put_hash(&w, &f->id);
    put_hash(&w, &f->hub_id);
    mp_uint(&w, f->slot);
    mp_uint(&w, f->account.position);
    put_hash(&w, &f->account.head);
    put_hash(&w, &f->account_entry);
    mp_uint(&w, f->account_lamport);
    mp_uint(&w, f->account_index);
    put_hash(&w, follow_leaf(&f->account_newest));
    mp_uint(&w, f->hub_index);
    put_hash(&w, follow_leaf(&f->hub_newest));
    mp_bool(&w, f->any);
    mp_uint(&w, f->index);
    mp_uint(&w, f->hub_lamport);
    mp_uint(&w, f->hub_time_ms);
    mp_uint(&w, p->position);
    mp_uint(&w, p->size);
    put_hash(&w, &p->root);
    if (!put_state(&w, f, true))
        return 0;
    if (!opened)
        mp_nil(&w);
    else if (!put_state(&w, f, false))
        return 0;
    if (w.full)
        return 0;
    struct hash digest = hash_context(CTX_CHECKPOINT, w.data, w.size);
    put_hash(&w, &digest);
    return w.full ? 0 : w.size;
}

static void get_hash(struct mp_reader *r, struct hash *h)
{
    (void)mp_read_bin_exact(r, h->b, HASH_BYTES);
}

/* The two states must be what the fields before them say. */
static enum err read_states(struct follow *f, uint64_t position, const struct hash *head,
                            struct bytes hub, struct bytes account)
{
    hub_account_close(&f->hub);
    TRY(hub_account_decode(&f->hub, f->mem, hub));
    if (f->hub.open && (!hash_equal(&f->hub.id, &f->hub_id) || f->hub.slot != f->slot))
        return ERR_CORRUPT;
    if (account.size > 0) {
        account_close(&f->account);
        TRY(account_decode(&f->account, f->mem, account));
        if (!hash_equal(&f->account.id, &f->id))
            return ERR_CORRUPT;
    }
    if (f->account.position != position || !hash_equal(&f->account.head, head))
        return ERR_CORRUPT;
    return ERR_OK;
}

enum err follow_decode(struct follow *f, const struct alloc *mem, struct follow_proof *p,
                       struct bytes data)
{
    memset(f, 0, sizeof(*f));
    if (data.size < HASH_BYTES + 2)
        return ERR_CORRUPT;
    struct mp_reader r = mp_reader_of(data.data, data.size);
    size_t count = 0;
    uint64_t format = 0, slot = 0, position = 0;
    struct hash id, hub_id, head, digest;
    struct bytes hub = {0}, account = {0};
    (void)mp_read_array(&r, &count, FOLLOW_FIELDS);
    (void)mp_read_uint(&r, &format);
    if (r.bad || count != FOLLOW_FIELDS || format != FOLLOW_FORMAT)
        return ERR_CORRUPT;
    get_hash(&r, &id);
    get_hash(&r, &hub_id);
    (void)mp_read_uint(&r, &slot);
    follow_init(f, mem, &id, &hub_id, (uint32_t)slot);
    (void)mp_read_uint(&r, &position);
    get_hash(&r, &head);
    get_hash(&r, &f->account_entry);
    (void)mp_read_uint(&r, &f->account_lamport);
    (void)mp_read_uint(&r, &f->account_index);
    get_hash(&r, &f->account_newest.leaf);
    f->account_newest.known = true;
    (void)mp_read_uint(&r, &f->hub_index);
    get_hash(&r, &f->hub_newest.leaf);
    f->hub_newest.known = true;
    (void)mp_read_bool(&r, &f->any);
    (void)mp_read_uint(&r, &f->index);
    (void)mp_read_uint(&r, &f->hub_lamport);
    (void)mp_read_uint(&r, &f->hub_time_ms);
    (void)mp_read_uint(&r, &p->position);
    (void)mp_read_uint(&r, &p->size);
    get_hash(&r, &p->root);
    (void)mp_read_bin(&r, &hub, FOLLOW_STATE_MAX);
    if (mp_peek_nil(&r))
        (void)mp_read_nil(&r);
    else
        (void)mp_read_bin(&r, &account, FOLLOW_STATE_MAX);
    const uint8_t *end = r.at;
    get_hash(&r, &digest);
    enum err e = ERR_CORRUPT;
    if (mp_done(&r) && slot < SLOTS_MAX) {
        struct hash want =
            hash_context(CTX_CHECKPOINT, data.data, (size_t)(end - data.data));
        if (hash_equal(&want, &digest))
            e = read_states(f, position, &head, hub, account);
    }
    if (e != ERR_OK)
        follow_close(f);
    return e == ERR_OK || e == ERR_MEMORY ? e : ERR_CORRUPT;
}

/* ---- deltas ------------------------------------------------------------------------ */

static int64_t transfer_total(const struct p_transfer *t)
{
    int64_t sum = 0;
    for (size_t i = 0; i < t->payee_count; i++)
        if (__builtin_add_overflow(sum, t->payees[i].amount, &sum))
            return INT64_MAX;
    return sum;
}

int64_t entry_delta(const struct entry *e)
{
    if (e->kind != KIND_TRANSFER && e->kind != KIND_CREDIT && e->kind != KIND_ACCRUE &&
        e->kind != KIND_ADJUST)
        return 0;
    UNINITIALIZED struct payload p;
    if (payload_decode(&p, e->kind, e->payload) != ERR_OK)
        return 0;
    switch (e->kind) {
    case KIND_TRANSFER:
        return -transfer_total(&p.transfer);
    case KIND_CREDIT:
        return p.credit.amount;
    case KIND_ACCRUE:
        return p.accrue.amount;
    case KIND_ADJUST:
        return p.adjust.delta;
    default:
        return 0;
    }
}
