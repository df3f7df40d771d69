#include "disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/context.h"
#include "ledger/kinds.h"

struct disk_reader {
    struct store_reader reader;
    struct disk *disk;
};

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "disk: %s\n", what);
    abort();
}

static void *grow(void *p, size_t *cap, size_t count, size_t size)
{
    if (count <= *cap)
        return p;
    size_t cap_new = *cap * 2 > count ? *cap * 2 : count + 16;
    p = realloc(p, cap_new * size);
    must(p != NULL, "no memory");
    *cap = cap_new;
    return p;
}

static struct disk *of(struct store *s)
{
    return (struct disk *)(void *)s;
}

static struct disk *of_reader(struct store_reader *r)
{
    return ((struct disk_reader *)(void *)r)->disk;
}

/* ---- the tree, node by node ---- */

static void add_node(struct disk_slot *s, unsigned level, const struct hash *node)
{
    struct disk_level *l = &s->levels[level];
    l->nodes = grow(l->nodes, &l->cap, l->count + 1, sizeof *l->nodes);
    l->nodes[l->count++] = *node;
    if (l->count % 2 == 0) {
        struct hash parent = hash_node(&l->nodes[l->count - 2], &l->nodes[l->count - 1]);
        add_node(s, level + 1, &parent);
    }
}

static struct hash root_of(const struct disk_slot *s, tree_size size)
{
    struct frontier f = {.size = size};
    for (unsigned level = 0; level < MERKLE_LEVELS_MAX; level++)
        if ((size >> level & 1) != 0)
            f.edge[level] = s->levels[level].nodes[(size >> level) - 1];
    return frontier_root(&f);
}

/* ---- append ---- */

static void drop_rubbish(struct disk_slot *s)
{
    while (s->record_count > s->size)
        free((void *)(uintptr_t)s->records[--s->record_count].r.envelope.data);
}

static void add_record(struct disk_slot *s, const struct store_record *r)
{
    s->records =
        grow(s->records, &s->record_cap, s->record_count + 1, sizeof *s->records);
    struct disk_record *kept = &s->records[s->record_count++];
    *kept = (struct disk_record){.r = r->r, .account = r->account, .id = r->id};
    uint8_t *envelope = malloc(r->r.envelope.size);
    must(envelope != NULL, "no memory");
    memcpy(envelope, r->r.envelope.data, r->r.envelope.size);
    kept->r.envelope = bytes_of(envelope, r->r.envelope.size);
}

static void check_record(const struct store_append *a, size_t i)
{
    const struct store_record *r = &a->records[i];
    struct entry e;
    must(r->r.slot == a->slot && r->r.index == a->old_size + i, "record out of place");
    must(entry_decode(&e, r->r.envelope.data, r->r.envelope.size) == ERR_OK,
         "record does not decode");
    must(hash_equal(&e.id, &r->id) && hash_equal(entry_account(&e), &r->account),
         "record's id or account is not its envelope's");
    struct hash leaf = record_leaf_hash(&r->r);
    must(hash_equal(&leaf, &r->leaf_hash), "leaf hash is not the record's");
}

static void check_tiles(struct disk *d, const struct disk_slot *s,
                        const struct store_append *a)
{
    size_t wanted = 0;
    tree_size size = a->old_size + a->record_count;
    for (unsigned level = 0; level * TILE_HEIGHT < MERKLE_LEVELS_MAX; level++) {
        unsigned shift = (level + 1) * TILE_HEIGHT;
        wanted += shift >= 64 ? 0 : (size >> shift) - (a->old_size >> shift);
    }
    must(a->tile_count == wanted, "not every tile that became full was handed over");
    for (size_t i = 0; i < a->tile_count; i++) {
        const struct store_tile *t = &a->tiles[i];
        const struct disk_level *l = &s->levels[t->level * TILE_HEIGHT];
        must((t->n + 1) * TILE_HASHES <= l->count, "tile past the tree");
        must(memcmp(t->hashes, &l->nodes[t->n * TILE_HASHES],
                    TILE_HASHES * sizeof *t->hashes) == 0,
             "tile is not made of the tree's nodes");
        d->tiles_checked++;
    }
}

static void check_edge(struct disk *d, const struct disk_slot *s,
                       const struct store_append *a)
{
    tree_size size = a->old_size + a->record_count;
    struct hash root = root_of(s, size);
    struct frontier f;
    must(frontier_restore(&f, size, &root, a->edges, a->edge_count),
         "edges are not the tree's");
    if (d->log_keys != NULL) {
        struct checkpoint c;
        must(checkpoint_open(&c, (const char *)a->checkpoint.data, a->checkpoint.size,
                             &d->log_keys[a->slot]),
             "checkpoint is not signed");
        must(c.size == size && hash_equal(&c.root, &root),
             "checkpoint is of another tree");
    }
}

static void check_outbox(const struct disk_slot *s, const struct store_append *a)
{
    must(a->outbox_low >= s->outbox_low && a->outbox_low <= a->old_size,
         "outbox watermark fell back or ran ahead");
    for (size_t i = 0; i < a->item_count; i++) {
        const struct channel_item *item = &a->items[i];
        must(item->source_slot == a->slot && item->source_index >= a->old_size &&
                 item->source_index < a->old_size + a->record_count,
             "item of another record");
        must(i == 0 || item->source_index >= a->items[i - 1].source_index,
             "items out of log order");
    }
}

static void free_parts(struct disk_parts *p)
{
    for (size_t i = 0; i < p->count; i++)
        free((void *)(uintptr_t)p->parts[i].data);
    free(p->parts);
    *p = (struct disk_parts){.there = false};
}

/* A tree that holds a change of the log key is signed by the new one. */
static void follow_log_key(struct disk *d, const struct store_record *r)
{
    static struct payload p;
    struct entry e;
    if (d->log_keys == NULL ||
        entry_decode(&e, r->r.envelope.data, r->r.envelope.size) != ERR_OK ||
        e.kind != KIND_HUB_KEY || payload_decode(&p, e.kind, e.payload) != ERR_OK ||
        p.hub_key.role != ROLE_LOG)
        return;
    char name[NOTE_NAME_MAX + 1];
    memcpy(name, d->log_keys[r->r.slot].name, sizeof name);
    must(vkey_make(&d->log_keys[r->r.slot], name, NOTE_ED25519, &p.hub_key.new_key),
         "log key");
}

static void happen(struct disk *d, const struct store_append *a)
{
    struct disk_slot *s = &d->slot[a->slot];
    drop_rubbish(s);
    for (size_t i = 0; i < a->record_count; i++) {
        check_record(a, i);
        follow_log_key(d, &a->records[i]);
        add_record(s, &a->records[i]);
        add_node(s, 0, &a->records[i].leaf_hash);
    }
    check_tiles(d, s, a);
    check_edge(d, s, a);
    check_outbox(s, a);
    s->size = a->old_size + a->record_count;
    memcpy(s->checkpoint, a->checkpoint.data, a->checkpoint.size);
    s->checkpoint_size = a->checkpoint.size;
    size_t kept = 0;
    for (size_t i = 0; i < s->item_count; i++)
        if (s->items[i].source_index >= a->outbox_low)
            s->items[kept++] = s->items[i];
    s->items = grow(s->items, &s->item_cap, kept + a->item_count, sizeof *s->items);
    if (a->item_count > 0)
        memcpy(&s->items[kept], a->items, a->item_count * sizeof *s->items);
    s->item_count = kept + a->item_count;
    s->outbox_low = a->outbox_low;
    d->appends++;
}

/* A transaction that was cut: part of it is on the platters, under no checkpoint. */
static void tear(struct disk *d, const struct store_append *a)
{
    struct disk_slot *s = &d->slot[a->slot];
    drop_rubbish(s);
    for (size_t i = 0; i < (a->record_count + 1) / 2; i++)
        add_record(s, &a->records[i]);
}

static enum store_outcome append_one(struct disk *d, const struct store_append *a)
{
    struct disk_slot *s = &d->slot[a->slot];
    must(a->slot < d->slots && a->record_count > 0, "append of nothing");
    enum disk_verdict verdict = d->verdict[a->slot];
    if (verdict == DISK_LOST)
        s->epoch++;
    if (a->epoch != s->epoch || a->old_size != s->size)
        return STORE_LOST;
    switch (verdict) {
    case DISK_OK:
        happen(d, a);
        return STORE_COMMITTED;
    case DISK_UNKNOWN_DONE:
        happen(d, a);
        return STORE_UNKNOWN;
    case DISK_BROKEN_DONE:
        happen(d, a);
        return STORE_BROKEN;
    case DISK_UNKNOWN:
        if (d->torn)
            tear(d, a);
        return STORE_UNKNOWN;
    case DISK_FULL:
        return STORE_FULL;
    case DISK_BROKEN:
        if (d->torn)
            tear(d, a);
        return STORE_BROKEN;
    case DISK_LOST:
        break;
    }
    return STORE_LOST;
}

static void disk_append(struct store *st, const struct store_append appends[],
                        size_t count, enum store_outcome outcome[])
{
    struct disk *d = of(st);
    size_t records = 0;
    for (size_t i = 0; i < count; i++) {
        records += appends[i].record_count;
        must(i == 0 || appends[i].slot > appends[i - 1].slot, "slots out of order");
        outcome[i] = append_one(d, &appends[i]);
    }
    must(records <= STORE_APPEND_RECORDS_MAX, "append is too big");
    for (size_t i = 0; i < count; i++) {
        struct disk_slot *s = &d->slot[appends[i].slot];
        if (outcome[i] != STORE_COMMITTED || !s->unsynced.there)
            continue;
        free_parts(&s->snapshot);
        s->snapshot = s->unsynced;
        s->unsynced = (struct disk_parts){.there = false};
    }
    memset(d->verdict, 0, sizeof d->verdict);
}

/* ---- the other writes ---- */

static enum err disk_claim(struct store *st, uint32_t slot, uint64_t *epoch)
{
    struct disk *d = of(st);
    if (d->claim_fails != ERR_OK) {
        enum err e = d->claim_fails;
        d->claim_fails = ERR_OK;
        return e;
    }
    *epoch = ++d->slot[slot].epoch;
    return ERR_OK;
}

static enum err slot_at(const struct disk *d, uint32_t slot, struct store_slot *out)
{
    const struct disk_slot *s = &d->slot[slot];
    *out = (struct store_slot){
        .epoch = s->epoch, .size = s->size, .checkpoint_size = s->checkpoint_size};
    memcpy(out->checkpoint, s->checkpoint, s->checkpoint_size);
    for (unsigned level = 0; level < MERKLE_LEVELS_MAX; level++)
        if ((s->size >> level & 1) != 0)
            out->edges[out->edge_count++] =
                s->levels[level].nodes[(s->size >> level) - 1];
    return ERR_OK;
}

static enum err disk_slot_at(struct store *st, uint32_t slot, struct store_slot *out)
{
    return slot_at(of(st), slot, out);
}

static enum err disk_outbox(struct store *st, uint32_t slot,
                            bool (*visit)(void *context, const struct channel_item *item),
                            void *context)
{
    const struct disk_slot *s = &of(st)->slot[slot];
    for (size_t i = 0; i < s->item_count; i++)
        if (!visit(context, &s->items[i]))
            break;
    return ERR_OK;
}

static enum err disk_snapshot_save(struct store *st, uint32_t slot, tree_size size,
                                   const struct bytes parts[], size_t count)
{
    struct disk_parts *p = &of(st)->slot[slot].unsynced;
    free_parts(p);
    *p = (struct disk_parts){.there = true, .size = size, .count = count};
    p->parts = calloc(count, sizeof *p->parts);
    must(p->parts != NULL, "no memory");
    for (size_t i = 0; i < count; i++) {
        uint8_t *copy = malloc(parts[i].size);
        must(copy != NULL && parts[i].size <= (1u << 20), "snapshot part too big");
        memcpy(copy, parts[i].data, parts[i].size);
        p->parts[i] = bytes_of(copy, parts[i].size);
    }
    return ERR_OK;
}

static enum err disk_snapshot_load(struct store *st, uint32_t slot, tree_size *size,
                                   bool (*visit)(void *context, struct bytes part),
                                   void *context)
{
    const struct disk_slot *s = &of(st)->slot[slot];
    const struct disk_parts *p = s->unsynced.there ? &s->unsynced : &s->snapshot;
    if (!p->there)
        return ERR_NOT_FOUND;
    *size = p->size;
    for (size_t i = 0; i < p->count; i++)
        if (!visit(context, p->parts[i]))
            break;
    return ERR_OK;
}

static enum err disk_snapshot_drop(struct store *st, uint32_t slot)
{
    free_parts(&of(st)->slot[slot].snapshot);
    free_parts(&of(st)->slot[slot].unsynced);
    return ERR_OK;
}

/* ---- reads ---- */

static enum err reader_slot(struct store_reader *r, uint32_t slot, struct store_slot *out)
{
    return slot_at(of_reader(r), slot, out);
}

static enum err reader_records(struct store_reader *r, uint32_t slot, uint64_t from,
                               uint64_t max, store_visit *visit, void *context)
{
    struct disk *d = of_reader(r);
    const struct disk_slot *s = &d->slot[slot];
    if (d->read_fails != ERR_OK) {
        enum err e = d->read_fails;
        d->read_fails = ERR_OK;
        return e;
    }
    for (uint64_t i = from; i < s->size && i - from < max; i++)
        if (!visit(context, &s->records[i].r, &s->records[i].account))
            break;
    return ERR_OK;
}

static enum err reader_account(struct store_reader *r, const struct hash *account,
                               uint64_t from, uint64_t max, store_visit *visit,
                               void *context)
{
    const struct disk *d = of_reader(r);
    uint64_t seen = 0;
    for (uint32_t n = 0; n < d->slots; n++) {
        const struct disk_slot *s = &d->slot[n];
        bool of_hub = s->size > 0 && hash_equal(&s->records[0].account, account);
        for (uint64_t i = 0; (of_hub || n == slot_of(account, d->slots)) && i < s->size;
             i++) {
            const struct disk_record *k = &s->records[i];
            if (!hash_equal(&k->account, account) || seen++ < from)
                continue;
            if (seen - from > max || !visit(context, &k->r, &k->account))
                return ERR_OK;
        }
    }
    return seen == 0 ? ERR_NOT_FOUND : ERR_OK;
}

static enum err reader_find(struct store_reader *r, const struct hash *id, uint32_t *slot,
                            uint64_t *index)
{
    const struct disk *d = of_reader(r);
    for (uint32_t n = 0; n < d->slots; n++)
        for (uint64_t i = 0; i < d->slot[n].size; i++)
            if (hash_equal(&d->slot[n].records[i].id, id)) {
                *slot = n;
                *index = i;
                return ERR_OK;
            }
    return ERR_NOT_FOUND;
}

static enum err reader_node(struct store_reader *r, uint32_t slot, unsigned level,
                            uint64_t n, struct hash *out)
{
    const struct disk_slot *s = &of_reader(r)->slot[slot];
    if (level >= MERKLE_LEVELS_MAX || n >= s->size >> level)
        return ERR_RANGE;
    *out = s->levels[level].nodes[n];
    return ERR_OK;
}

static enum err reader_tile(struct store_reader *r, uint32_t slot, unsigned level,
                            uint64_t n, unsigned width, struct hash out[TILE_HASHES])
{
    const struct disk_slot *s = &of_reader(r)->slot[slot];
    if (level * TILE_HEIGHT >= MERKLE_LEVELS_MAX || width > TILE_HASHES ||
        n * TILE_HASHES + width > s->size >> (level * TILE_HEIGHT))
        return ERR_RANGE;
    memcpy(out, &s->levels[level * TILE_HEIGHT].nodes[n * TILE_HASHES],
           width * sizeof *out);
    return ERR_OK;
}

static void reader_close(struct store_reader *r)
{
    free(r);
}

static const struct store_reader_ops reader_ops = {.close = reader_close,
                                                   .slot = reader_slot,
                                                   .records = reader_records,
                                                   .account = reader_account,
                                                   .find = reader_find,
                                                   .node = reader_node,
                                                   .tile = reader_tile};

static enum err disk_reader_open(struct store *st, struct store_reader **out)
{
    struct disk_reader *r = malloc(sizeof *r);
    must(r != NULL, "no memory");
    *r = (struct disk_reader){.reader = {.ops = &reader_ops}, .disk = of(st)};
    *out = &r->reader;
    return ERR_OK;
}

static const struct store_identity *disk_identity(struct store *st)
{
    return &of(st)->identity;
}

static const struct store_ops disk_ops = {.identity = disk_identity,
                                          .claim = disk_claim,
                                          .slot = disk_slot_at,
                                          .append = disk_append,
                                          .outbox = disk_outbox,
                                          .snapshot_save = disk_snapshot_save,
                                          .snapshot_load = disk_snapshot_load,
                                          .snapshot_drop = disk_snapshot_drop,
                                          .reader_open = disk_reader_open};

/* ---- the disk itself ---- */

struct disk *disk_open(uint32_t slots)
{
    struct disk *d = calloc(1, sizeof *d);
    must(d != NULL, "no memory");
    d->store.ops = &disk_ops;
    d->slots = d->identity.slots = slots;
    d->slot = calloc(slots, sizeof *d->slot);
    must(d->slot != NULL, "no memory");
    return d;
}

void disk_close(struct disk *d)
{
    if (d == NULL)
        return;
    for (uint32_t i = 0; i < d->slots; i++) {
        struct disk_slot *s = &d->slot[i];
        s->size = 0;
        drop_rubbish(s);
        free(s->records);
        free(s->items);
        for (unsigned level = 0; level < MERKLE_LEVELS_MAX; level++)
            free(s->levels[level].nodes);
        free_parts(&s->snapshot);
        free_parts(&s->unsynced);
    }
    free(d->slot);
    free(d);
}

struct store *disk_store(struct disk *d)
{
    return &d->store;
}

void disk_crash(struct disk *d)
{
    for (uint32_t i = 0; i < d->slots; i++)
        free_parts(&d->slot[i].unsynced);
    memset(d->verdict, 0, sizeof d->verdict);
}

void disk_steal(struct disk *d, uint32_t slot)
{
    d->slot[slot].epoch++;
}

struct disk *disk_copy(const struct disk *d)
{
    struct disk *copy = disk_open(d->slots);
    copy->log_keys = d->log_keys;
    for (uint32_t n = 0; n < d->slots; n++) {
        const struct disk_slot *from = &d->slot[n];
        struct disk_slot *to = &copy->slot[n];
        for (uint64_t i = 0; i < from->size; i++) {
            struct store_record r = {.r = from->records[i].r,
                                     .account = from->records[i].account,
                                     .id = from->records[i].id};
            add_record(to, &r);
            add_node(to, 0, &from->levels[0].nodes[i]);
        }
        to->epoch = from->epoch;
        to->size = from->size;
        to->outbox_low = from->outbox_low;
        to->items = grow(NULL, &to->item_cap, from->item_count, sizeof *to->items);
        if (from->item_count > 0)
            memcpy(to->items, from->items, from->item_count * sizeof *to->items);
        to->item_count = from->item_count;
        to->checkpoint_size = from->checkpoint_size;
        memcpy(to->checkpoint, from->checkpoint, from->checkpoint_size);
    }
    return copy;
}

size_t disk_snapshot_bytes(const struct disk *d, uint32_t slot)
{
    const struct disk_parts *p = &d->slot[slot].snapshot;
    size_t size = 0;
    for (size_t i = 0; i < p->count; i++)
        size += p->parts[i].size;
    return size;
}

bool disk_flip_snapshot(struct disk *d, uint32_t slot, size_t byte, unsigned bit)
{
    struct disk_parts *p = &d->slot[slot].snapshot;
    for (size_t i = 0; i < p->count; i++) {
        if (byte < p->parts[i].size) {
            ((uint8_t *)(uintptr_t)p->parts[i].data)[byte] ^= (uint8_t)(1u << bit);
            return true;
        }
        byte -= p->parts[i].size;
    }
    return false;
}
