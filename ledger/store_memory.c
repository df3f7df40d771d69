/* The store that lives in memory only: for amnesia hubs and for tests. Never touches a
 * file. One lock: readers share it for a call, the writer has it alone for a commit. */
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/key.h"
#include "ledger/store.h"
#include "ledger/store_memory_vault.h"
#include "ledger/store_table.h"
#include "ledger/store_tree.h"
#include "ledger/store_util.h"

#define TILE_LEVELS (MERKLE_LEVELS_MAX / TILE_HEIGHT)

struct memory_record {
    struct record r; /* envelope in the vault */
    struct hash account;
    struct hash leaf_hash;
};

struct memory_tile {
    struct hash root;
    struct hash hashes[TILE_HASHES];
};

/* A growing array of `width` bytes an element. */
struct list {
    void *data;
    size_t count, cap;
};

struct memory_snapshot {
    tree_size size;
    size_t count;
    struct bytes *parts; /* vault pages */
};

struct memory_slot {
    struct store_slot at;
    struct list records;            /* struct memory_record */
    struct list tiles[TILE_LEVELS]; /* struct memory_tile *, in the vault */
    struct list items;              /* struct channel_item */
    size_t items_first;             /* forgotten below */
    struct memory_snapshot snapshot;
};

struct memory_sealed {
    struct hash entry;
    uint8_t *data; /* a vault page; NULL: erased */
    size_t size;
};

struct memory_store {
    struct store base;
    struct store_identity identity;
    pthread_rwlock_t lock;
    bool broken;
    struct vault vault;
    struct table entry;
    struct table account;
    struct list sealed; /* struct memory_sealed */
    struct memory_slot slot[];
};

struct memory_reader {
    struct store_reader base;
    struct memory_store *s;
};

static struct memory_store *memory_of(struct store *s)
{
    return (struct memory_store *)(void *)s;
}

static bool list_reserve(struct list *l, size_t more, size_t width)
{
    if (l->cap - l->count >= more)
        return true;
    size_t cap = 2 * l->cap > l->count + more ? 2 * l->cap : l->count + more;
    void *data = realloc(l->data, cap * width);
    if (data == NULL)
        return false;
    l->data = data;
    l->cap = cap;
    return true;
}

static struct memory_record *records_of(struct memory_slot *s)
{
    return s->records.data;
}

static const struct store_identity *identity(struct store *base)
{
    return &memory_of(base)->identity;
}

static void snapshot_free(struct memory_snapshot *p)
{
    for (size_t i = 0; i < p->count; i++) {
        union {
            const uint8_t *in;
            void *out;
        } data = {p->parts[i].data};
        vault_page_free(data.out, p->parts[i].size);
    }
    free(p->parts);
    *p = (struct memory_snapshot){0};
}

static void list_free(struct list *l, size_t width)
{
    if (l->data != NULL)
        secret_wipe(l->data, l->count * width);
    free(l->data);
}

static void close_store(struct store *base)
{
    struct memory_store *s = memory_of(base);
    for (uint32_t i = 0; i < s->identity.slots; i++) {
        struct memory_slot *slot = &s->slot[i];
        list_free(&slot->records, sizeof(struct memory_record));
        for (unsigned k = 0; k < TILE_LEVELS; k++)
            list_free(&slot->tiles[k], sizeof(struct memory_tile *));
        list_free(&slot->items, sizeof(struct channel_item));
        snapshot_free(&slot->snapshot);
    }
    struct memory_sealed *sealed = s->sealed.data;
    for (size_t i = 0; i < s->sealed.count; i++)
        vault_page_free(sealed[i].data, sealed[i].size + 1);
    list_free(&s->sealed, sizeof *sealed);
    table_close(&s->entry);
    table_close(&s->account);
    vault_close(&s->vault);
    pthread_rwlock_destroy(&s->lock);
    free(s);
}

/* The writer's effects other than append: what the fault hook makes of them. *happens: do
 * it (and answer what is returned). */
static enum err effect(struct memory_store *s, const char *name, bool *happens)
{
    *happens = false;
    if (s->broken)
        return ERR_IO;
    enum store_fault_verdict v = store_fault_at(&s->base, name);
    *happens = v == FAULT_NONE || v == FAULT_FAIL_HAPPENED;
    if (v == FAULT_IO)
        s->broken = true;
    return store_fault_err(v);
}

static enum err claim(struct store *base, uint32_t slot, uint64_t *epoch)
{
    struct memory_store *s = memory_of(base);
    assert(slot < s->identity.slots);
    pthread_rwlock_wrlock(&s->lock);
    bool happens = false;
    enum err e = effect(s, "claim", &happens);
    if (happens)
        *epoch = ++s->slot[slot].at.epoch;
    pthread_rwlock_unlock(&s->lock);
    return e;
}

static enum err slot_at(struct memory_store *s, uint32_t slot, struct store_slot *out)
{
    assert(slot < s->identity.slots);
    pthread_rwlock_rdlock(&s->lock);
    enum err e = s->broken ? ERR_IO : ERR_OK;
    *out = s->slot[slot].at;
    pthread_rwlock_unlock(&s->lock);
    return e;
}

static enum err store_slot_at(struct store *base, uint32_t slot, struct store_slot *out)
{
    return slot_at(memory_of(base), slot, out);
}

/* Everything that can fail for want of memory, before anything is changed. */
static bool reserve(struct memory_store *s, const struct store_append *a)
{
    struct memory_slot *slot = &s->slot[a->slot];
    if (!list_reserve(&slot->records, a->record_count, sizeof(struct memory_record)) ||
        !list_reserve(&slot->items, a->item_count, sizeof(struct channel_item)))
        return false;
    for (size_t i = 0; i < a->tile_count; i++)
        if (!list_reserve(&slot->tiles[a->tiles[i].level], a->tile_count,
                          sizeof(struct memory_tile *)))
            return false;
    return true;
}

/* Records and tiles past the committed size do no harm: the next append overwrites them.
 */
static bool write_records(struct memory_store *s, const struct store_append *a)
{
    struct memory_slot *slot = &s->slot[a->slot];
    for (size_t i = 0; i < a->record_count; i++) {
        const struct store_record *in = &a->records[i];
        struct memory_record *out = &records_of(slot)[a->old_size + i];
        uint8_t *envelope = vault_take(&s->vault, in->r.envelope.size);
        uint64_t place = store_place(a->slot, in->r.index);
        if (envelope == NULL || !table_add(&s->entry, be64(in->id.b), place) ||
            !table_add(&s->account,
                       table_account_key(be64(in->account.b), in->r.position),
                       place))
            return false;
        memcpy(envelope, in->r.envelope.data, in->r.envelope.size);
        *out = (struct memory_record){in->r, in->account, in->leaf_hash};
        out->r.envelope.data = envelope;
    }
    return true;
}

static bool write_tiles(struct memory_store *s, const struct store_append *a)
{
    struct memory_slot *slot = &s->slot[a->slot];
    for (size_t i = 0; i < a->tile_count; i++) {
        const struct store_tile *in = &a->tiles[i];
        struct list *l = &slot->tiles[in->level];
        struct memory_tile *t = vault_take(&s->vault, sizeof *t);
        if (t == NULL || in->n > l->count || in->n >= l->cap)
            return false;
        memcpy(t->hashes, in->hashes, sizeof t->hashes);
        t->root = tile_root(in->hashes, TILE_HASHES);
        ((struct memory_tile **)l->data)[in->n] = t;
        if (in->n == l->count)
            l->count += 1;
    }
    return true;
}

static void commit(struct memory_store *s, const struct store_append *a)
{
    struct memory_slot *slot = &s->slot[a->slot];
    struct channel_item *items = slot->items.data;
    slot->at.size = a->old_size + a->record_count;
    slot->records.count = slot->at.size;
    slot->at.edge_count = a->edge_count;
    if (a->edge_count > 0)
        memcpy(slot->at.edges, a->edges, a->edge_count * sizeof *a->edges);
    slot->at.checkpoint_size = a->checkpoint.size;
    memcpy(slot->at.checkpoint, a->checkpoint.data, a->checkpoint.size);
    while (slot->items_first < slot->items.count &&
           items[slot->items_first].source_index < a->outbox_low)
        slot->items_first += 1;
    if (slot->items_first > slot->items.count / 2) {
        slot->items.count -= slot->items_first;
        memmove(items, items + slot->items_first, slot->items.count * sizeof *items);
        slot->items_first = 0;
    }
    if (a->item_count > 0)
        memcpy(items + slot->items.count, a->items, a->item_count * sizeof *items);
    slot->items.count += a->item_count;
}

static enum err write_all(struct memory_store *s, const struct store_append appends[],
                          size_t count, enum store_outcome outcome[])
{
    for (size_t i = 0; i < count; i++) {
        const struct store_append *a = &appends[i];
        const struct store_slot *at = &s->slot[a->slot].at;
        TRY(store_fault_before(&s->base, "append.check"));
        outcome[i] = a->epoch == at->epoch && a->old_size == at->size ? STORE_COMMITTED
                                                                      : STORE_LOST;
        if (outcome[i] == STORE_LOST)
            continue;
        TRY(store_fault_before(&s->base, "append.write"));
        if (!reserve(s, a) || !write_records(s, a) || !write_tiles(s, a))
            return ERR_MEMORY;
    }
    return ERR_OK;
}

static enum err append_locked(struct memory_store *s, const struct store_append appends[],
                              size_t count, enum store_outcome outcome[])
{
    (void)store_append_check(appends, count, s->identity.slots);
    TRY(s->broken ? ERR_IO : store_fault_before(&s->base, "append.begin"));
    TRY(write_all(s, appends, count, outcome));
    enum store_fault_verdict v = store_fault_at(&s->base, "append.commit");
    if (v == FAULT_NONE || v == FAULT_FAIL_HAPPENED)
        for (size_t i = 0; i < count; i++)
            if (outcome[i] == STORE_COMMITTED)
                commit(s, &appends[i]);
    TRY(store_fault_err(v));
    return store_fault_answer(&s->base, "append.answer");
}

static void append(struct store *base, const struct store_append appends[], size_t count,
                   enum store_outcome outcome[])
{
    struct memory_store *s = memory_of(base);
    for (size_t i = 0; i < count; i++)
        outcome[i] = STORE_COMMITTED;
    pthread_rwlock_wrlock(&s->lock);
    enum err e = append_locked(s, appends, count, outcome);
    if (e == ERR_IO)
        s->broken = true;
    pthread_rwlock_unlock(&s->lock);
    for (size_t i = 0; e != ERR_OK && i < count; i++)
        if (outcome[i] != STORE_LOST)
            outcome[i] = store_outcome_of(e);
}

static enum err outbox(struct store *base, uint32_t slot,
                       bool (*visit)(void *context, const struct channel_item *item),
                       void *context)
{
    struct memory_store *s = memory_of(base);
    assert(slot < s->identity.slots);
    struct memory_slot *m = &s->slot[slot]; /* items change in append only: same thread */
    if (s->broken)
        return ERR_IO;
    const struct channel_item *items = m->items.data;
    for (size_t i = m->items_first; i < m->items.count; i++)
        if (!visit(context, &items[i]))
            break;
    return ERR_OK;
}

static bool snapshot_copy(struct memory_snapshot *out, tree_size size,
                          const struct bytes parts[], size_t count)
{
    *out = (struct memory_snapshot){size, 0, calloc(count + 1, sizeof *out->parts)};
    for (size_t i = 0; out->parts != NULL && i < count; i++) {
        assert(parts[i].size > 0 && parts[i].size <= STORE_SNAPSHOT_PART_MAX);
        uint8_t *data = vault_page(parts[i].size);
        if (data == NULL) {
            snapshot_free(out);
            return false;
        }
        memcpy(data, parts[i].data, parts[i].size);
        out->parts[out->count++] = bytes_of(data, parts[i].size);
    }
    return out->parts != NULL;
}

static enum err snapshot_save(struct store *base, uint32_t slot, tree_size size,
                              const struct bytes parts[], size_t count)
{
    struct memory_store *s = memory_of(base);
    struct memory_snapshot fresh;
    assert(slot < s->identity.slots);
    if (!snapshot_copy(&fresh, size, parts, count))
        return ERR_MEMORY;
    pthread_rwlock_wrlock(&s->lock);
    bool happens = false;
    enum err e = effect(s, "snapshot", &happens);
    if (happens) {
        struct memory_snapshot old = s->slot[slot].snapshot;
        s->slot[slot].snapshot = fresh;
        fresh = old;
    }
    pthread_rwlock_unlock(&s->lock);
    snapshot_free(&fresh);
    return e;
}

static enum err snapshot_load(struct store *base, uint32_t slot, tree_size *size,
                              bool (*visit)(void *context, struct bytes part),
                              void *context)
{
    struct memory_store *s = memory_of(base);
    assert(slot < s->identity.slots);
    const struct memory_snapshot *p = &s->slot[slot].snapshot;
    if (s->broken)
        return ERR_IO;
    if (p->count == 0)
        return ERR_NOT_FOUND;
    *size = p->size;
    for (size_t i = 0; i < p->count; i++)
        if (!visit(context, p->parts[i]))
            break;
    return ERR_OK;
}

static enum err snapshot_drop(struct store *base, uint32_t slot)
{
    return snapshot_save(base, slot, 0, NULL, 0);
}

static struct memory_sealed *sealed_of(struct memory_store *s, const struct hash *entry)
{
    struct memory_sealed *all = s->sealed.data;
    for (size_t i = 0; i < s->sealed.count; i++)
        if (all[i].data != NULL && hash_equal(&all[i].entry, entry))
            return &all[i];
    return NULL;
}

static enum err sealed_put(struct store *base, const struct hash *entry,
                           struct bytes data)
{
    struct memory_store *s = memory_of(base);
    pthread_rwlock_wrlock(&s->lock);
    bool happens = false;
    enum err e = s->broken ? ERR_IO : sealed_of(s, entry) != NULL ? ERR_EXISTS : ERR_OK;
    uint8_t *copy = NULL;
    if (e == ERR_OK) {
        copy = vault_page(data.size + 1);
        if (copy == NULL || !list_reserve(&s->sealed, 1, sizeof(struct memory_sealed)))
            e = ERR_MEMORY;
    }
    if (e == ERR_OK)
        e = effect(s, "sealed", &happens);
    if (happens) {
        if (data.size > 0)
            memcpy(copy, data.data, data.size);
        ((struct memory_sealed *)s->sealed.data)[s->sealed.count++] =
            (struct memory_sealed){*entry, copy, data.size};
    } else {
        vault_page_free(copy, data.size + 1);
    }
    pthread_rwlock_unlock(&s->lock);
    return e;
}

static enum err sealed_erase(struct store *base, const struct hash *entry)
{
    struct memory_store *s = memory_of(base);
    pthread_rwlock_wrlock(&s->lock);
    struct memory_sealed *found = sealed_of(s, entry);
    bool happens = false;
    enum err e = s->broken       ? ERR_IO
                 : found == NULL ? ERR_NOT_FOUND
                                 : effect(s, "sealed", &happens);
    if (happens) {
        vault_page_free(found->data, found->size + 1);
        *found = ((struct memory_sealed *)s->sealed.data)[--s->sealed.count];
    }
    pthread_rwlock_unlock(&s->lock);
    return e;
}

static uint64_t free_bytes(struct store *base)
{
    (void)base;
    return UINT64_MAX;
}

static enum err maintain(struct store *base)
{
    struct memory_store *s = memory_of(base);
    pthread_rwlock_rdlock(&s->lock);
    enum err e = s->broken ? ERR_IO : ERR_OK;
    pthread_rwlock_unlock(&s->lock);
    return e;
}

/* Readers. The lock is held over a call, the visits included. */
static struct memory_store *enter(struct store_reader *base, enum err *e)
{
    struct memory_store *s = ((struct memory_reader *)(void *)base)->s;
    pthread_rwlock_rdlock(&s->lock);
    *e = s->broken ? ERR_IO : ERR_OK;
    return s;
}

static enum err leave(struct memory_store *s, enum err e)
{
    pthread_rwlock_unlock(&s->lock);
    return e;
}

static enum err read_slot(struct store_reader *base, uint32_t slot,
                          struct store_slot *out)
{
    return slot_at(((struct memory_reader *)(void *)base)->s, slot, out);
}

static enum err read_records(struct store_reader *base, uint32_t slot, uint64_t from,
                             uint64_t max, store_visit *visit, void *context)
{
    enum err e = ERR_OK;
    struct memory_store *s = enter(base, &e);
    assert(slot < s->identity.slots);
    struct memory_slot *m = &s->slot[slot];
    for (uint64_t i = from; e == ERR_OK && i < m->at.size && i - from < max; i++)
        if (!visit(context, &records_of(m)[i].r, &records_of(m)[i].account))
            break;
    return leave(s, e);
}

/* The committed record at a place; NULL when there is none. */
static const struct memory_record *record_at(struct memory_store *s, uint64_t place)
{
    struct memory_slot *m = &s->slot[store_place_slot(place)];
    uint64_t index = store_place_index(place);
    return index < m->at.size ? &records_of(m)[index] : NULL;
}

static const struct memory_record *
position_of(struct memory_store *s, const struct hash *account, uint64_t position)
{
    uint64_t key = table_account_key(be64(account->b), position), place = 0;
    struct table_walk w = table_find(&s->account, key);
    while (table_next(&s->account, key, &w, &place)) {
        const struct memory_record *m = record_at(s, place);
        if (m != NULL && m->r.position == position && hash_equal(&m->account, account))
            return m;
    }
    return NULL;
}

static enum err read_account(struct store_reader *base, const struct hash *account,
                             uint64_t from, uint64_t max, store_visit *visit,
                             void *context)
{
    enum err e = ERR_OK;
    struct memory_store *s = enter(base, &e);
    for (uint64_t i = 0; e == ERR_OK && i < max; i++) {
        const struct memory_record *m = position_of(s, account, from + i);
        if (m == NULL || !visit(context, &m->r, &m->account))
            break;
    }
    return leave(s, e);
}

static enum err read_find(struct store_reader *base, const struct hash *id,
                          uint32_t *slot, uint64_t *index)
{
    enum err e = ERR_OK;
    struct memory_store *s = enter(base, &e);
    uint64_t key = be64(id->b), place = 0;
    struct table_walk w = table_find(&s->entry, key);
    bool found = false;
    while (e == ERR_OK && !found && table_next(&s->entry, key, &w, &place)) {
        const struct memory_record *m = record_at(s, place);
        struct hash ours;
        if (m != NULL && store_entry_id(m->r.envelope, &ours) && hash_equal(&ours, id)) {
            *slot = m->r.slot;
            *index = m->r.index;
            found = true;
        }
    }
    return leave(s, e == ERR_OK && !found ? ERR_NOT_FOUND : e);
}

static struct memory_tile *tile_of(struct memory_slot *m, unsigned level, uint64_t n)
{
    struct list *l = &m->tiles[level];
    return n < l->count ? ((struct memory_tile **)l->data)[n] : NULL;
}

static enum err source_tile(void *context, unsigned level, uint64_t n,
                            struct hash out[TILE_HASHES])
{
    const struct memory_tile *t = tile_of(context, level, n);
    if (t == NULL)
        return ERR_CORRUPT;
    memcpy(out, t->hashes, sizeof t->hashes);
    return ERR_OK;
}

static enum err source_roots(void *context, unsigned level, uint64_t first,
                             unsigned count, struct hash out[])
{
    for (unsigned i = 0; i < count; i++) {
        const struct memory_tile *t = tile_of(context, level, first + i);
        if (t == NULL)
            return ERR_CORRUPT;
        out[i] = t->root;
    }
    return ERR_OK;
}

static enum err source_leaves(void *context, uint64_t first, unsigned count,
                              struct hash out[])
{
    for (unsigned i = 0; i < count; i++)
        out[i] = records_of(context)[first + i].leaf_hash;
    return ERR_OK;
}

static struct tree_source source_of(struct memory_store *s, uint32_t slot)
{
    assert(slot < s->identity.slots);
    return (struct tree_source){&s->slot[slot], s->slot[slot].at.size, source_tile,
                                source_roots, source_leaves};
}

static enum err read_node(struct store_reader *base, uint32_t slot, unsigned level,
                          uint64_t n, struct hash *out)
{
    enum err e = ERR_OK;
    struct memory_store *s = enter(base, &e);
    struct tree_source source = source_of(s, slot);
    return leave(s, e == ERR_OK ? tree_node(&source, level, n, out) : e);
}

static enum err read_tile(struct store_reader *base, uint32_t slot, unsigned level,
                          uint64_t n, unsigned width, struct hash out[TILE_HASHES])
{
    enum err e = ERR_OK;
    struct memory_store *s = enter(base, &e);
    struct tree_source source = source_of(s, slot);
    return leave(s, e == ERR_OK ? tree_tile(&source, level, n, width, out) : e);
}

static enum err read_sealed(struct store_reader *base, const struct hash *entry,
                            struct buf *out)
{
    enum err e = ERR_OK;
    struct memory_store *s = enter(base, &e);
    const struct memory_sealed *found = sealed_of(s, entry);
    if (e == ERR_OK && found == NULL)
        e = ERR_NOT_FOUND;
    if (e == ERR_OK && found->size > 0 && !buf_add(out, found->data, found->size))
        e = ERR_MEMORY;
    return leave(s, e);
}

static void close_reader(struct store_reader *base)
{
    free(base);
}

static const struct store_reader_ops reader_ops = {
    .close = close_reader,
    .slot = read_slot,
    .records = read_records,
    .account = read_account,
    .find = read_find,
    .node = read_node,
    .tile = read_tile,
    .sealed = read_sealed,
};

static enum err reader_open(struct store *base, struct store_reader **out)
{
    struct memory_reader *r = calloc(1, sizeof *r);
    *out = NULL;
    if (r == NULL)
        return ERR_MEMORY;
    r->base.ops = &reader_ops;
    r->s = memory_of(base);
    *out = &r->base;
    return ERR_OK;
}

static const struct store_ops ops = {
    .close = close_store,
    .identity = identity,
    .claim = claim,
    .slot = store_slot_at,
    .append = append,
    .outbox = outbox,
    .snapshot_save = snapshot_save,
    .snapshot_load = snapshot_load,
    .snapshot_drop = snapshot_drop,
    .sealed_put = sealed_put,
    .sealed_erase = sealed_erase,
    .free_bytes = free_bytes,
    .maintain = maintain,
    .reader_open = reader_open,
};

static enum err memory_create(const char *rest, const struct store_identity *id,
                              struct store **out, struct store_why *why)
{
    if (rest[0] != '\0') {
        store_why_set(why, "memory: takes nothing after the colon");
        return ERR_USAGE;
    }
    struct memory_store *s = calloc(1, sizeof *s + id->slots * sizeof *s->slot);
    uint64_t seed = 0;
    random_bytes(&seed, sizeof seed);
    if (s == NULL || !table_init(&s->entry, seed, 1024) ||
        !table_init(&s->account, seed, 1024)) {
        if (s != NULL)
            table_close(&s->entry);
        free(s);
        store_why_set(why, "out of memory");
        return ERR_MEMORY;
    }
    s->base.ops = &ops;
    s->identity = *id;
    pthread_rwlockattr_t fair;
    pthread_rwlockattr_init(&fair);
    pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&s->lock, &fair);
    pthread_rwlockattr_destroy(&fair);
    *out = &s->base;
    return ERR_OK;
}

static enum err memory_open(const char *rest, struct store **out, struct store_why *why)
{
    (void)rest;
    *out = NULL;
    store_why_set(why, "memory: holds no ledger; it begins empty each time and must be "
                       "created");
    return ERR_MISSING;
}

const struct store_edge store_edge_memory = {"memory", memory_create, memory_open};
