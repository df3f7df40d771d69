/* A slot from its store into the sequencer. */
#include "ledger/recover.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ledger/failpoint.h"
#include "ledger/recover_nodes.h"

#define REPLAY_PAGE 1024
#define PARTS_MIN 8
#define ITEMS_MIN 256

struct loading {
    const struct sequencer_config *c;
    struct store *store;
    struct store_reader *reader;
    struct recover_report *report;
    uint32_t slot;
    bool looks_only; /* the slot is another process's: nothing of it is changed */
    uint64_t epoch;
    struct store_slot at;
    struct slotlog *log;
    struct effects *fx;
    /* Snapshot parts, copied out of the store. */
    struct bytes *parts;
    size_t part_count, part_cap;
    /* Outbox items, copied out of the store. */
    struct channel_item *items;
    size_t item_count, item_cap;
    struct hash *tiles;
    enum err failed; /* inside a visit */
};

__attribute__((format(printf, 3, 4))) static enum err say(struct loading *l, enum err err,
                                                          const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(l->report->why, sizeof l->report->why, format, args);
    va_end(args);
    return err;
}

static void *take(struct loading *l, void *p, size_t old_size, size_t size)
{
    return l->c->mem->resize(l->c->mem->context, p, old_size, size);
}

static void give(struct loading *l, void *p, size_t size)
{
    if (p != NULL)
        l->c->mem->resize(l->c->mem->context, p, size, 0);
}

/* ---- snapshot ---- */

static bool keep_part(void *context, struct bytes part)
{
    struct loading *l = context;
    if (l->part_count == l->part_cap) {
        size_t cap = l->part_cap == 0 ? PARTS_MIN : l->part_cap * 2;
        struct bytes *parts =
            take(l, l->parts, l->part_cap * sizeof *parts, cap * sizeof *parts);
        if (parts == NULL) {
            l->failed = ERR_MEMORY;
            return false;
        }
        l->parts = parts;
        l->part_cap = cap;
    }
    /* An empty part is none that we wrote; it is kept as one byte that fails the check.
     */
    size_t size = part.size == 0 ? 1 : part.size;
    uint8_t *copy = take(l, NULL, 0, size);
    if (copy == NULL) {
        l->failed = ERR_MEMORY;
        return false;
    }
    copy[0] = 0;
    if (part.size > 0)
        memcpy(copy, part.data, part.size);
    l->parts[l->part_count++] = bytes_of(copy, size);
    return true;
}

static void drop_parts(struct loading *l)
{
    for (size_t i = 0; i < l->part_count; i++)
        give(l, (void *)(uintptr_t)l->parts[i].data, l->parts[i].size);
    give(l, l->parts, l->part_cap * sizeof *l->parts);
    l->parts = NULL;
    l->part_count = l->part_cap = 0;
}

static enum err fresh_log(struct loading *l)
{
    slotlog_close(l->log);
    return slotlog_init(l->log, l->c->mem, l->slot, l->c->map_seed);
}

/* The snapshot's own signature and digest, then its place in the tree the store holds. */
static enum err restore(struct loading *l)
{
    struct pubkey relay = key_public(l->c->relay);
    tree_size size;
    struct hash root;
    TRY(slotlog_restore(l->log, l->parts, l->part_count, &relay, &size, &root));
    if (size > l->at.size && l->looks_only) { /* its owner went on meanwhile */
        TRY(l->store->ops->slot(l->store, l->slot, &l->at));
        l->report->size = l->at.size;
    }
    if (size > l->at.size || l->log->hub.slots != l->c->slots)
        return ERR_CORRUPT;
    struct frontier f;
    TRY(nodes_frontier(l->reader, l->slot, size, &f));
    struct hash found = frontier_root(&f);
    if (!hash_equal(&found, &root))
        return ERR_CORRUPT;
    l->log->frontier = f;
    l->report->snapshot_size = size;
    return ERR_OK;
}

/* Else it is refused again. */
static void forget_snapshot(struct loading *l)
{
    l->report->snapshot_size = 0;
    l->report->snapshot_dropped = true;
    if (!l->looks_only) /* its owner may just be replacing it */
        (void)l->store->ops->snapshot_drop(l->store, l->slot);
}

/* A snapshot is a cache: whatever is wrong with it, the log alone is enough. */
static enum err try_snapshot(struct loading *l)
{
    tree_size size = 0;
    l->failed = ERR_OK;
    enum err err = l->store->ops->snapshot_load(l->store, l->slot, &size, keep_part, l);
    if (err == ERR_NOT_FOUND)
        return ERR_OK;
    if (err == ERR_OK)
        err = l->failed;
    if (err == ERR_OK)
        err = restore(l);
    drop_parts(l);
    if (err == ERR_OK)
        return ERR_OK;
    l->report->snapshot_size = 0;
    TRY(fresh_log(l));
    if (err != ERR_CORRUPT && err != ERR_RANGE)
        return ERR_OK; /* could not be read or held: the log is slower, not worse */
    forget_snapshot(l);
    return ERR_OK;
}

/* ---- replay ---- */

static bool replay_one(void *context, const struct record *r, const struct hash *account)
{
    struct loading *l = context;
    (void)account;
    l->failed = slotlog_replay(l->log, r, l->fx);
    l->report->replayed += l->failed == ERR_OK;
    return l->failed == ERR_OK;
}

static enum err replay(struct loading *l)
{
    while (l->log->frontier.size < l->at.size) {
        tree_size from = l->log->frontier.size;
        uint64_t max = l->at.size - from < REPLAY_PAGE ? l->at.size - from : REPLAY_PAGE;
        l->failed = ERR_OK;
        enum err err =
            l->reader->ops->records(l->reader, l->slot, from, max, replay_one, l);
        if (err == ERR_OK)
            err = l->failed;
        if (err == ERR_OK && l->log->frontier.size == from)
            err = ERR_CORRUPT;
        if (err != ERR_OK)
            return say(l, err,
                       "slot %02x: record %llu does not follow from those before it",
                       (unsigned)l->slot, (unsigned long long)l->log->frontier.size);
    }
    return ERR_OK;
}

/* ---- the right edge ---- */

/* The state reached must be the one that was signed. */
static enum err check_signed(struct loading *l)
{
    const struct slotlog *s = l->log;
    struct checkpoint c;
    if (!s->hub.open || s->hub.slots != l->c->slots || s->hub.slot != l->slot)
        return say(l, ERR_CORRUPT, "slot %02x: record 0 opens another log",
                   (unsigned)l->slot);
    if (!checkpoint_open(&c, l->at.checkpoint, l->at.checkpoint_size, &s->hub.log))
        return say(l, ERR_CORRUPT, "slot %02x: checkpoint is not signed by the log's key",
                   (unsigned)l->slot);
    struct hash root = frontier_root(&s->frontier);
    struct frontier kept;
    if (c.size != l->at.size || !hash_equal(&c.root, &root) ||
        !frontier_restore(&kept, c.size, &c.root, l->at.edges, l->at.edge_count))
        return say(
            l, ERR_CORRUPT,
            "slot %02x: records, edges and signed checkpoint of size %llu disagree",
            (unsigned)l->slot, (unsigned long long)c.size);
    return ERR_OK;
}

struct tail {
    struct frontier f;
    tree_size end;
};

static bool tail_one(void *context, const struct record *r, const struct hash *account)
{
    struct tail *t = context;
    (void)account;
    if (r->index != t->f.size)
        return false;
    struct hash leaf = record_leaf_hash(r);
    return frontier_append(&t->f, &leaf) && t->f.size < t->end;
}

/* The newest records as they stand on disk, on the nodes the store holds left of them. */
static enum err check_tail(struct loading *l)
{
    struct tail t = {.end = l->at.size};
    tree_size from = (l->at.size - 1) / TILE_HASHES * TILE_HASHES;
    enum err err = nodes_frontier(l->reader, l->slot, from, &t.f);
    if (err == ERR_OK)
        err =
            l->reader->ops->records(l->reader, l->slot, from, t.end - from, tail_one, &t);
    if (err == ERR_OK && t.f.size != t.end)
        err = ERR_CORRUPT;
    if (err == ERR_OK) {
        struct hash found = frontier_root(&t.f);
        struct hash root = frontier_root(&l->log->frontier);
        err = hash_equal(&found, &root) ? ERR_OK : ERR_CORRUPT;
    }
    return err == ERR_OK
               ? err
               : say(l, err, "slot %02x: last records on disk are not those signed",
                     (unsigned)l->slot);
}

static enum err load_tiles(struct loading *l)
{
    size_t room = (size_t)TILE_LEVELS_OF_TREE * TILE_HASHES;
    l->tiles = take(l, NULL, 0, room * sizeof *l->tiles);
    if (l->tiles == NULL)
        return ERR_MEMORY;
    enum err err = nodes_partial_tiles(l->reader, l->slot, &l->log->frontier, l->tiles);
    return err == ERR_OK ? err
                         : say(l, err, "slot %02x: a hash tile is not what was signed",
                               (unsigned)l->slot);
}

static enum err check_mark(struct loading *l, const struct recover_mark *mark)
{
    if (mark == NULL || mark->size == 0)
        return ERR_OK;
    if (mark->size > l->at.size)
        return say(
            l, ERR_BEHIND,
            "slot %02x: store holds %llu records, but %llu were signed: it is a backup",
            (unsigned)l->slot, (unsigned long long)l->at.size,
            (unsigned long long)mark->size);
    struct frontier f;
    TRY(nodes_frontier(l->reader, l->slot, mark->size, &f));
    struct hash root = frontier_root(&f);
    return hash_equal(&root, &mark->root)
               ? ERR_OK
               : say(l, ERR_BEHIND, "slot %02x: another tree of size %llu was signed",
                     (unsigned)l->slot, (unsigned long long)mark->size);
}

/* ---- outbox ---- */

static bool keep_item(void *context, const struct channel_item *item)
{
    struct loading *l = context;
    if (l->item_count == l->item_cap) {
        size_t cap = l->item_cap == 0 ? ITEMS_MIN : l->item_cap * 2;
        struct channel_item *items =
            take(l, l->items, l->item_cap * sizeof *items, cap * sizeof *items);
        if (items == NULL) {
            l->failed = ERR_MEMORY;
            return false;
        }
        l->items = items;
        l->item_cap = cap;
    }
    l->items[l->item_count++] = *item;
    return true;
}

static enum err load_outbox(struct loading *l)
{
    l->failed = ERR_OK;
    TRY(l->store->ops->outbox(l->store, l->slot, keep_item, l));
    return l->failed;
}

/* ---- all of it ---- */

/* The log's state at l->at. */
static enum err load_state(struct loading *l)
{
    TRY(try_snapshot(l));
    enum err err = replay(l);
    if (err == ERR_OK)
        err = check_signed(l);
    if (err == ERR_CORRUPT && l->report->snapshot_size > 0) {
        /* The snapshot was signed and stood in the tree, and still led astray. */
        forget_snapshot(l);
        l->report->replayed = 0;
        l->report->why[0] = 0;
        TRY(fresh_log(l));
        TRY(replay(l));
        TRY(check_signed(l));
    } else if (err != ERR_OK) {
        return err;
    }
    return check_tail(l);
}

static enum err load_log(struct loading *l, const struct recover_mark *mark)
{
    TRY(check_mark(l, mark));
    if (l->at.size == 0)
        return ERR_OK;
    TRY(load_state(l));
    TRY(load_tiles(l));
    return load_outbox(l);
}

/* Where the slot stands, and room for what is in it. */
static enum err begin(struct loading *l)
{
    TRY(l->store->ops->slot(l->store, l->slot, &l->at));
    TRY(l->store->ops->reader_open(l->store, &l->reader));
    l->report->size = l->at.size;
    l->log = take(l, NULL, 0, sizeof *l->log);
    if (l->log == NULL)
        return ERR_MEMORY;
    *l->log = (struct slotlog){.mem = NULL};
    l->fx = take(l, NULL, 0, sizeof *l->fx);
    if (l->fx == NULL)
        return ERR_MEMORY;
    return fresh_log(l);
}

static enum err load(struct loading *l, struct sequencer *q,
                     const struct recover_mark *mark)
{
    TRY(l->store->ops->claim(l->store, l->slot, &l->epoch));
    FP("recover.claimed");
    TRY(begin(l));
    if (l->at.epoch != l->epoch)
        return say(l, ERR_STORE, "slot %02x: someone else took it over just now",
                   (unsigned)l->slot);
    TRY(load_log(l, mark));
    FP("recover.replayed");
    enum err err = sequencer_slot_ready(q, l->log, l->epoch,
                                        bytes_of(l->at.checkpoint, l->at.checkpoint_size),
                                        l->tiles, l->items, l->item_count);
    FP("recover.ready");
    if (err == ERR_OK)
        l->log = NULL; /* the sequencer's now */
    else if (err != ERR_MEMORY)
        say(l, err,
            "slot %02x: what it sent and what others settled contradict each other",
            (unsigned)l->slot);
    return err;
}

static void unload(struct loading *l)
{
    if (l->reader != NULL)
        l->reader->ops->close(l->reader);
    if (l->log != NULL) {
        slotlog_close(l->log);
        give(l, l->log, sizeof *l->log);
    }
    give(l, l->fx, sizeof *l->fx);
    give(l, l->tiles, (size_t)TILE_LEVELS_OF_TREE * TILE_HASHES * sizeof *l->tiles);
    give(l, l->items, l->item_cap * sizeof *l->items);
    drop_parts(l);
}

enum err recover_slot(struct sequencer *q, const struct sequencer_config *c,
                      struct store *st, uint32_t slot, const struct recover_mark *mark,
                      struct recover_report *report)
{
    *report = (struct recover_report){.slot = slot};
    struct loading l = {.c = c, .store = st, .slot = slot, .report = report};
    enum err err = load(&l, q, mark);
    unload(&l);
    if (err == ERR_CORRUPT || err == ERR_BEHIND || err == ERR_RULES_AHEAD)
        sequencer_slot_stop(q, slot);
    if (err != ERR_OK && report->why[0] == 0)
        snprintf(report->why, sizeof report->why, "slot %02x: %s", (unsigned)slot,
                 err_text(err));
    return err;
}

static enum err look(struct loading *l, const struct recover_mark *mark)
{
    TRY(begin(l));
    TRY(check_mark(l, mark));
    return l->at.size == 0 ? ERR_NOT_FOUND : load_state(l);
}

enum err recover_view(struct slotlog **out, struct store_slot *at,
                      const struct sequencer_config *c, struct store *st, uint32_t slot,
                      const struct recover_mark *mark, struct recover_report *report)
{
    *report = (struct recover_report){.slot = slot};
    struct loading l = {
        .c = c, .store = st, .slot = slot, .report = report, .looks_only = true};
    enum err err = look(&l, mark);
    if (err == ERR_OK) {
        *out = l.log;
        *at = l.at;
        l.log = NULL;
    }
    unload(&l);
    if (err != ERR_OK && report->why[0] == 0)
        snprintf(report->why, sizeof report->why, "slot %02x: %s", (unsigned)slot,
                 err_text(err));
    return err;
}

void recover_view_close(const struct sequencer_config *c, struct slotlog *log)
{
    if (log == NULL)
        return;
    slotlog_close(log);
    c->mem->resize(c->mem->context, log, sizeof *log, 0);
}
