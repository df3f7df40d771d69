#include "client/audit/diff.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/audit/fetch_evidence.h"

/* ---- one source's tree --------------------------------------------------------------- */

static enum err leaves(struct diff_log *l, uint64_t n, unsigned width,
                       struct hash out[TILE_HASHES])
{
    struct audit_record *records = calloc(AUDIT_READ_MAX, sizeof(*records));
    uint64_t from = n * TILE_HASHES, at = from;
    enum err e = records ? ERR_OK : ERR_MEMORY;
    while (e == ERR_OK && at < from + width) {
        size_t count = 0;
        void *hold = NULL;
        e = l->source->ops->read(l->source, l->slot, at, from + width, records,
                                 AUDIT_READ_MAX, &count, &hold);
        if (e != ERR_OK)
            break;
        if (count == 0)
            e = ERR_NOT_FOUND;
        for (size_t i = 0; i < count && e == ERR_OK; i++, at++) {
            if (!(records[i].has & AUDIT_HAS_LEAF) || records[i].r.index != at)
                e = ERR_NOT_FOUND;
            else
                out[at - from] = hash_leaf(records[i].leaf, LEAF_BYTES);
        }
        l->source->ops->release(l->source, hold);
    }
    free(records);
    return e;
}

/* As stored, else made of what is below. */
static enum err tile(void *context, unsigned level, uint64_t n, unsigned width,
                     struct hash out[TILE_HASHES])
{
    struct diff_log *l = context;
    const struct audit_source_ops *ops = l->source->ops;
    struct hash root;
    enum err e = ops->tile ? ops->tile(l->source, l->slot, level, n, width, out, &root)
                           : ERR_NOT_FOUND;
    if (e == ERR_OK && l->source->tile_roots) {
        struct hash computed = tile_root(out, width);
        if (!hash_equal(&computed, &root))
            return ERR_CORRUPT;
    }
    if (e != ERR_NOT_FOUND)
        return e;
    if (level == 0)
        return leaves(l, n, width, out);
    for (unsigned i = 0; i < width; i++) {
        struct hash below[TILE_HASHES];
        TRY(tile(context, level - 1, n * TILE_HASHES + i, TILE_HASHES, below));
        out[i] = tile_root(below, TILE_HASHES);
    }
    return ERR_OK;
}

enum err diff_log_open(struct diff_log *l, struct audit_source *s, uint32_t slot,
                       tree_size size, const struct hash *root)
{
    memset(l, 0, sizeof(*l));
    l->source = s;
    l->slot = slot;
    l->tree.size = size;
    l->tree.root = *root;
    l->tree.tile = tile;
    l->tree.context = l;
    return fetch_tree_open(&l->tree);
}

/* The first of nodes [from, to) of a level, all in one tile, that differs; `to`: none. */
static enum err compare(struct diff_log *a, struct diff_log *b, unsigned level, uint64_t from,
                        uint64_t to, uint64_t *found, struct hash leaf[2])
{
    struct hash of_a[TILE_HASHES], of_b[TILE_HASHES];
    unsigned width_a, width_b;
    *found = to;
    if (from == to)
        return ERR_OK;
    uint64_t n = from / TILE_HASHES;
    TRY(fetch_tree_tile(&a->tree, level, n, of_a, &width_a));
    TRY(fetch_tree_tile(&b->tree, level, n, of_b, &width_b));
    for (uint64_t i = from; i < to; i++) {
        size_t at = (size_t)(i % TILE_HASHES);
        if (hash_equal(&of_a[at], &of_b[at]))
            continue;
        *found = i;
        leaf[0] = of_a[at];
        leaf[1] = of_b[at];
        return ERR_OK;
    }
    return ERR_OK;
}

enum err diff_first(struct diff_log *a, struct diff_log *b, uint64_t *index,
                    struct hash leaf[2])
{
    tree_size size = a->tree.size < b->tree.size ? a->tree.size : b->tree.size;
    unsigned level = 0;
    if (size == 0)
        return ERR_NOT_FOUND;
    while (fetch_tree_nodes(size, level + 1) > 0)
        level++;
    uint64_t from = 0, to = fetch_tree_nodes(size, level), found;
    for (;; level--) {
        TRY(compare(a, b, level, from, to, &found, leaf));
        if (level == 0)
            break;
        from = found * TILE_HASHES;
        /* Below a node that differs; else the nodes right of the complete ones. */
        to = found < to ? from + TILE_HASHES : fetch_tree_nodes(size, level - 1);
    }
    *index = found;
    return found < to ? ERR_OK : ERR_NOT_FOUND;
}

/* ---- one slot ------------------------------------------------------------------------ */

struct side {
    struct audit_source *source;
    struct buf note;
    struct policy_verdict v;
    struct diff_log log;
};

static bool fail(struct diff_slot *d, enum diff_state state, const struct side *s,
                 const char *what)
{
    d->state = state;
    snprintf(d->why, sizeof(d->why), "%.150s: %.200s", s->source->name, what);
    return false;
}

static bool read_failed(struct diff_slot *d, const struct side *s, enum err e)
{
    const char *where = audit_source_where(s->source, d->slot);
    if (e == ERR_CORRUPT && !where[0])
        where = "its tiles do not lead to its signed root";
    return fail(d, e == ERR_CORRUPT ? DIFF_WRONG : DIFF_UNKNOWN, s,
                where[0] ? where : err_text(e));
}

static bool take_note(struct diff_slot *d, const struct diff_options *o, struct side *s)
{
    enum err e = s->source->ops->checkpoint(s->source, d->slot, &s->note);
    if (e == ERR_NOT_FOUND)
        return fail(d, DIFF_UNKNOWN, s, "shows no checkpoint of this slot");
    if (e != ERR_OK)
        return read_failed(d, s, e);
    policy_check(o->policy, (const char *)s->note.data, s->note.size, &s->v);
    if (s->v.note != NOTE_OK)
        return fail(d, DIFF_WRONG, s, "its checkpoint is not signed by a log of the policy");
    return true;
}

static bool open_side(struct diff_slot *d, struct side *s)
{
    const struct checkpoint *c = &s->v.checkpoint;
    enum err e = diff_log_open(&s->log, s->source, d->slot, c->size, &c->root);
    return e == ERR_OK || read_failed(d, s, e);
}

static enum err write_evidence(const struct diff_options *o, struct diff_slot *d,
                               struct side *small, struct side *large)
{
    struct folder dir;
    char why[AUDIT_WHY_MAX], name[FETCH_EVIDENCE_NAME_MAX];
    if (!o->evidence_dir)
        return ERR_OK;
    enum err e = folder_open(&dir, o->evidence_dir, why);
    if (e == ERR_OK) {
        const struct fetch_evidence_of pair = {
            .folder = "",
            .log = &o->policy->logs[small->v.log].key,
            .small = bytes_of(small->note.data, small->note.size),
            .large = bytes_of(large->note.data, large->note.size),
            .small_size = small->v.checkpoint.size,
            .tree = &large->log.tree};
        e = fetch_evidence_write(&dir, &pair, name);
        folder_close(&dir);
    }
    if (e == ERR_OK)
        snprintf(d->evidence, sizeof(d->evidence), "%s", name);
    return e;
}

static void compare_sides(const struct diff_options *o, struct diff_slot *d, struct side s[2])
{
    bool second = s[1].v.checkpoint.size > s[0].v.checkpoint.size;
    struct side *large = &s[second], *small = &s[!second];
    struct hash root;
    if (strcmp(s[0].v.checkpoint.origin, s[1].v.checkpoint.origin) != 0) {
        (void)fail(d, DIFF_WRONG, &s[1], "this slot is of another log there");
        return;
    }
    if (!open_side(d, &s[0]) || !open_side(d, &s[1]))
        return;
    enum err e = fetch_tree_root(&large->log.tree, small->v.checkpoint.size, &root);
    if (e != ERR_OK) {
        (void)read_failed(d, large, e);
        return;
    }
    if (hash_equal(&root, &small->v.checkpoint.root)) {
        d->state = d->size[0] == d->size[1] ? DIFF_SAME : DIFF_AHEAD;
        return;
    }
    d->state = DIFF_FORK;
    e = diff_first(&s[0].log, &s[1].log, &d->index, d->leaf);
    d->has_index = e == ERR_OK;
    snprintf(d->why, sizeof(d->why), "both trees are signed, and differ%s",
             d->has_index ? "" : "; where, could not be read");
    if (write_evidence(o, d, small, large) != ERR_OK)
        snprintf(d->why, sizeof(d->why),
                 "both trees are signed, and differ; evidence could not be written to %.200s",
                 o->evidence_dir);
}

static void one_slot(struct side s[2], const struct diff_options *o, struct diff_slot *d)
{
    for (int i = 0; i < 2; i++) {
        buf_clear(&s[i].note);
        if (!take_note(d, o, &s[i]))
            return;
        d->size[i] = s[i].v.checkpoint.size;
    }
    memcpy(d->origin, s[0].v.checkpoint.origin, sizeof(d->origin));
    compare_sides(o, d, s);
}

enum err diff_run(struct audit_source *a, struct audit_source *b,
                  const struct diff_options *o, struct diff_report *r, char why[AUDIT_WHY_MAX])
{
    uint32_t slots[SLOTS_MAX];
    size_t count;
    bool wanted[SLOTS_MAX] = {false};
    struct audit_source *both[2] = {a, b};
    struct side *s = calloc(2, sizeof(*s));
    memset(r, 0, sizeof(*r));
    why[0] = 0;
    enum err e = s ? ERR_OK : ERR_MEMORY;
    for (int i = 0; i < 2 && e == ERR_OK; i++) {
        s[i].source = both[i];
        e = both[i]->ops->slots(both[i], slots, &count);
        for (size_t k = 0; k < count && e == ERR_OK; k++)
            wanted[slots[k]] = !o->one_slot || slots[k] == o->slot;
        if (e != ERR_OK)
            snprintf(why, AUDIT_WHY_MAX, "%.150s: %.200s", both[i]->name, err_text(e));
    }
    for (uint32_t i = 0; i < SLOTS_MAX && e == ERR_OK; i++) {
        if (!wanted[i])
            continue;
        struct diff_slot *d = &r->slots[r->slot_count++];
        d->slot = i;
        if (o->cancel && __atomic_load_n(o->cancel, __ATOMIC_RELAXED)) {
            d->state = DIFF_UNKNOWN;
            snprintf(d->why, sizeof(d->why), "stopped before it was looked at");
        } else {
            one_slot(s, o, d);
        }
    }
    for (int i = 0; s && i < 2; i++)
        buf_close(&s[i].note);
    free(s);
    return e;
}

int diff_exit(const struct diff_report *r)
{
    int code = r->slot_count ? 0 : 2;
    for (size_t i = 0; i < r->slot_count; i++) {
        if (r->slots[i].state == DIFF_FORK || r->slots[i].state == DIFF_WRONG)
            return 1;
        if (r->slots[i].state == DIFF_UNKNOWN)
            code = 2;
    }
    return code;
}

const char *diff_state_word(enum diff_state s)
{
    static const char *const words[] = {"same", "ahead", "fork", "wrong", "unknown"};
    return (size_t)s < sizeof(words) / sizeof(words[0]) ? words[s] : "?";
}
