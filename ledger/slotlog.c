#include "ledger/slotlog.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/context.h"
#include "ledger/kinds.h"
#include "ledger/mp.h"
#include "ledger/slotlog_map.h"
#include "ledger/slotlog_order.h"
#include "ledger/scratch.h"

/* Where the source's hub Lamport stands in the payload arrays (docs/PROTOCOL.md). */
#define CREDIT_FIELDS 8
#define CREDIT_LAMPORT_AT 6
#define BOUNCE_FIELDS 10
#define BOUNCE_LAMPORT_AT 8
#define LOG_OPEN_FIELDS 8

enum err slotlog_init(struct slotlog *s, const struct alloc *mem, uint32_t slot,
                      uint64_t map_seed)
{
    *s = (struct slotlog){.mem = mem, .slot = slot};
    s->accounts = account_map_open(mem, map_seed);
    if (s->accounts == NULL)
        return ERR_MEMORY;
    hub_account_init(&s->hub, mem);
    return ERR_OK;
}

void slotlog_close(struct slotlog *s)
{
    if (s->accounts == NULL)
        return;
    account_map_close(s->accounts);
    hub_account_close(&s->hub);
    *s = (struct slotlog){.mem = NULL};
}

struct account *slotlog_account(struct slotlog *s, const struct hash *id)
{
    return account_map_find(s->accounts, id);
}

void slotlog_each(struct slotlog *s, bool (*visit)(void *context, struct account *a),
                  void *context)
{
    struct account_cursor c = account_map_begin(s->accounts);
    for (struct account *a = account_map_next(&c); a != NULL; a = account_map_next(&c))
        if (!visit(context, a))
            return;
}

/* ---- one record ---- */

/* What an entry is about. */
struct place {
    bool hub;
    bool fresh; /* `account` is the map's spare one, to be added when the open is applied
                 */
    struct account *account;
};

bool slotlog_kind_of_hub(uint64_t kind)
{
    return kind == KIND_LOG_OPEN || kind == KIND_HUB_KEY || kind == KIND_RULES ||
           kind == KIND_BOUNCE;
}

/* [federation, hub, slot, ..]; the form was checked when the entry was decoded. */
uint64_t slotlog_slot_of_log_open(const struct entry *e)
{
    struct mp_reader r = mp_reader_of(e->payload.data, e->payload.size);
    size_t count = 0;
    uint64_t slot = 0;
    mp_read_array(&r, &count, LOG_OPEN_FIELDS);
    mp_skip(&r);
    mp_skip(&r);
    mp_read_uint(&r, &slot);
    assert(!r.bad);
    return slot;
}

static enum err find_place(struct slotlog *s, const struct entry *e, struct place *p)
{
    *p = (struct place){.hub = slotlog_kind_of_hub(e->kind)};
    if (s->frontier.size == MERKLE_SIZE_MAX)
        return ERR_LIMIT;
    if (!s->hub.open && e->kind != KIND_LOG_OPEN)
        return ERR_ACCOUNT_UNKNOWN;
    if (p->hub) {
        if (e->kind == KIND_LOG_OPEN && s->frontier.size != 0)
            return ERR_ACCOUNT_EXISTS;
        if (e->kind == KIND_LOG_OPEN)
            return slotlog_slot_of_log_open(e) == s->slot ? ERR_OK : ERR_PAYLOAD;
        return hash_equal(&e->account, &s->hub.id) ? ERR_OK : ERR_ACCOUNT_UNKNOWN;
    }
    if (e->kind != KIND_OPEN) {
        p->account = account_map_find(s->accounts, &e->account);
        return p->account == NULL ? ERR_ACCOUNT_UNKNOWN : ERR_OK;
    }
    if (account_map_find(s->accounts, &e->id) != NULL)
        return ERR_ACCOUNT_EXISTS;
    p->fresh = true;
    p->account = account_map_spare(s->accounts);
    if (p->account == NULL)
        return ERR_MEMORY;
    account_init(p->account, s->mem);
    return ERR_OK;
}

/* The hub Lamport of the record a credit or bounce settles; 0 for other kinds. The form
 * of the payload was checked when the entry was decoded. */
static uint64_t source_lamport(const struct entry *e)
{
    size_t skip;
    size_t fields;
    if (e->kind == KIND_CREDIT) {
        skip = CREDIT_LAMPORT_AT;
        fields = CREDIT_FIELDS;
    } else if (e->kind == KIND_BOUNCE) {
        skip = BOUNCE_LAMPORT_AT;
        fields = BOUNCE_FIELDS;
    } else {
        return 0;
    }
    struct mp_reader r = mp_reader_of(e->payload.data, e->payload.size);
    size_t count = 0;
    uint64_t lamport = 0;
    mp_read_array(&r, &count, fields);
    while (skip-- > 0)
        mp_skip(&r);
    mp_read_uint(&r, &lamport);
    assert(!r.bad && count == fields);
    return lamport;
}

/* What the log makes of the entry: everything but the time, and the account head, which
 * applying works out. */
static enum err derive(const struct slotlog *s, const struct place *p,
                       const struct entry *e, struct record *out)
{
    uint64_t lamport = source_lamport(e);
    if (lamport < s->hub_lamport)
        lamport = s->hub_lamport;
    if (lamport == UINT64_MAX)
        return ERR_OVERFLOW;
    out->slot = s->slot;
    out->index = s->frontier.size;
    out->position = p->hub ? s->hub.position : p->account->position;
    out->hub_lamport = lamport + 1;
    out->envelope = e->envelope;
    return ERR_OK;
}

static enum err apply(struct slotlog *s, const struct place *p, const struct entry *e,
                      const struct record *r, struct effects *fx)
{
    if (p->hub)
        return hub_account_apply(&s->hub, e, r, VIEW_SLOT, fx);
    TRY(account_apply(p->account, &s->hub, e, r, VIEW_SLOT, fx));
    if (p->fresh) {
        account_map_add(s->accounts);
        s->account_count++;
    }
    return ERR_OK;
}

static const struct hash *head_of(const struct slotlog *s, const struct place *p)
{
    return p->hub ? &s->hub.head : &p->account->head;
}

/* The tree and the clocks follow. */
static void advance(struct slotlog *s, const struct record *r, const struct hash *leaf)
{
    s->leaf = leaf != NULL ? *leaf : record_leaf_hash(r);
    bool appended = frontier_append(&s->frontier, &s->leaf);
    assert(appended); /* find_place saw that there is room */
    s->hub_lamport = r->hub_lamport;
    s->hub_time_ms = r->hub_time_ms;
}

/* The spare account of a refused open holds nothing the next open may see. */
static enum err leave(struct place *p, enum err e)
{
    if (e != ERR_OK && p->fresh)
        account_close(p->account);
    return e;
}

enum err slotlog_admit(struct slotlog *s, const struct entry *e, uint64_t now_ms,
                       struct record *out, struct effects *fx)
{
    struct place p;
    TRY(find_place(s, e, &p));
    enum err err = derive(s, &p, e, out);
    out->hub_time_ms = now_ms > s->hub_time_ms ? now_ms : s->hub_time_ms;
    if (err == ERR_OK)
        err = apply(s, &p, e, out, fx);
    if (err != ERR_OK)
        return leave(&p, err);
    out->account_head = *head_of(s, &p);
    advance(s, out, NULL);
    return ERR_OK;
}

/* A reader that knows fewer kinds or versions than the writer stops; anything else that
 * would not have been admitted means the bytes are not what was written. */
static enum err as_replay(enum err e)
{
    switch (e) {
    case ERR_OK:
    case ERR_MEMORY:
    case ERR_RULES_AHEAD:
        return e;
    case ERR_VERSION:
    case ERR_KIND_UNKNOWN:
    case ERR_KIND_RESERVED:
        return ERR_RULES_AHEAD;
    default:
        return ERR_CORRUPT;
    }
}

enum err slotlog_replay(struct slotlog *s, const struct record *r, struct effects *fx)
{
    UNINITIALIZED struct entry e;
    enum err err = entry_decode(&e, r->envelope.data, r->envelope.size);
    return err == ERR_OK ? slotlog_replay_known(s, r, &e, NULL, fx) : as_replay(err);
}

enum err slotlog_replay_known(struct slotlog *s, const struct record *r,
                              const struct entry *e, const struct hash *leaf,
                              struct effects *fx)
{
    struct place p;
    enum err err = find_place(s, e, &p);
    if (err != ERR_OK)
        return as_replay(err);
    UNINITIALIZED struct record derived;
    err = derive(s, &p, e, &derived);
    if (err == ERR_OK &&
        (r->slot != derived.slot || r->index != derived.index ||
         r->position != derived.position || r->hub_lamport != derived.hub_lamport ||
         r->hub_time_ms < s->hub_time_ms))
        err = ERR_CORRUPT;
    if (err == ERR_OK)
        err = apply(s, &p, e, r, fx);
    if (err != ERR_OK)
        return leave(&p, as_replay(err));
    if (!hash_equal(&r->account_head, head_of(s, &p)))
        return ERR_CORRUPT;
    advance(s, r, leaf);
    return ERR_OK;
}

/* ---- all accounts in ascending id order ---- */

static int by_id(const void *a, const void *b)
{
    const struct account *const *x = a;
    const struct account *const *y = b;
    return hash_compare(&(*x)->id, &(*y)->id);
}

enum err slotlog_order_open(struct slotlog_order *o, struct slotlog *s)
{
    *o = (struct slotlog_order){.mem = s->mem, .count = account_map_count(s->accounts)};
    if (o->count == 0)
        return ERR_OK;
    o->accounts =
        s->mem->resize(s->mem->context, NULL, 0, o->count * sizeof *o->accounts);
    if (o->accounts == NULL)
        return ERR_MEMORY;
    struct account_cursor c = account_map_begin(s->accounts);
    for (size_t i = 0; i < o->count; i++)
        o->accounts[i] = account_map_next(&c);
    qsort(o->accounts, o->count, sizeof *o->accounts, by_id);
    return ERR_OK;
}

static bool room(struct slotlog_order *o, size_t size)
{
    if (size <= o->room_size)
        return true;
    size_t wanted = size < SLOTLOG_ROOM_MIN ? SLOTLOG_ROOM_MIN : size * 2;
    uint8_t *grown = o->mem->resize(o->mem->context, o->room, o->room_size, wanted);
    if (grown == NULL)
        return false;
    o->room = grown;
    o->room_size = wanted;
    return true;
}

enum err slotlog_order_account(struct slotlog_order *o, const struct account *a,
                               struct bytes *state)
{
    if (!room(o, account_encode_size(a)))
        return ERR_MEMORY;
    struct mp_writer w = mp_writer_of(o->room, o->room_size);
    account_encode(&w, a);
    assert(!w.full);
    *state = bytes_of(o->room, w.size);
    return ERR_OK;
}

enum err slotlog_order_hub(struct slotlog_order *o, const struct hub_account *h,
                           struct bytes *state)
{
    if (!room(o, hub_account_encode_size(h)))
        return ERR_MEMORY;
    struct mp_writer w = mp_writer_of(o->room, o->room_size);
    hub_account_encode(&w, h);
    assert(!w.full);
    *state = bytes_of(o->room, w.size);
    return ERR_OK;
}

void slotlog_order_close(struct slotlog_order *o)
{
    if (o->accounts != NULL)
        o->mem->resize(o->mem->context, o->accounts, o->count * sizeof *o->accounts, 0);
    if (o->room != NULL)
        o->mem->resize(o->mem->context, o->room, o->room_size, 0);
    *o = (struct slotlog_order){.mem = NULL};
}

/* ---- the slot's digest ---- */

void slot_digest_begin(struct slot_digest *d, const struct hash *hub_id,
                       const struct hash *hub_digest)
{
    *d = (struct slot_digest){.hub_due = hub_id != NULL};
    if (hub_id != NULL) {
        d->hub_id = *hub_id;
        d->hub_digest = *hub_digest;
    }
}

static void digest_leaf(struct slot_digest *d, const struct hash *digest)
{
    struct hash leaf = hash_leaf(digest->b, sizeof digest->b);
    bool appended = frontier_append(&d->tree, &leaf);
    assert(appended);
}

void slot_digest_add(struct slot_digest *d, const struct hash *id, struct bytes state)
{
    if (d->hub_due && hash_compare(&d->hub_id, id) < 0) {
        digest_leaf(d, &d->hub_digest);
        d->hub_due = false;
    }
    struct hash digest = hash_context(CTX_ACCOUNT_STATE, state.data, state.size);
    digest_leaf(d, &digest);
}

struct hash slot_digest_end(struct slot_digest *d)
{
    if (d->hub_due)
        digest_leaf(d, &d->hub_digest);
    d->hub_due = false;
    return frontier_root(&d->tree);
}

enum err slotlog_digest(struct slotlog *s, struct hash *out)
{
    struct slotlog_order o;
    enum err err = slotlog_order_open(&o, s);
    struct slot_digest d;
    struct bytes state = {0};
    slot_digest_begin(&d, NULL, NULL);
    if (err == ERR_OK && s->hub.open) {
        err = slotlog_order_hub(&o, &s->hub, &state);
        if (err == ERR_OK) {
            struct hash digest = hash_context(CTX_ACCOUNT_STATE, state.data, state.size);
            slot_digest_begin(&d, &s->hub.id, &digest);
        }
    }
    for (size_t i = 0; err == ERR_OK && i < o.count; i++) {
        err = slotlog_order_account(&o, o.accounts[i], &state);
        if (err == ERR_OK)
            slot_digest_add(&d, &o.accounts[i]->id, state);
    }
    if (err == ERR_OK)
        *out = slot_digest_end(&d);
    slotlog_order_close(&o);
    return err;
}
