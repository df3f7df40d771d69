/* What an audit keeps for others: a fork as one file that stands alone. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/audit/engine.h"
#include "ledger/evidence.h"

#define LEAVES_MAX (UINT64_C(1) << 22) /* of a tree a path is made from: 128 MiB of hashes */

/* All leaf hashes of the tree audited, read once more: forks are rare. */
static enum err read_leaves(struct slot_audit *s, struct hash **out)
{
    struct audit_source *source = s->a->source;
    uint64_t size = s->checkpoint.size;
    *out = NULL;
    if (size == 0 || size > LEAVES_MAX)
        return ERR_TOO_LARGE;
    struct hash *list = malloc((size_t)size * sizeof(*list));
    struct block *b = malloc(sizeof(*b));
    enum err e = list && b ? ERR_OK : ERR_MEMORY;
    for (uint64_t at = 0; at < size && e == ERR_OK;) {
        void *hold = NULL;
        b->count = 0;
        e = source->ops->read(source, s->slot, at, size, b->records, AUDIT_READ_MAX,
                              &b->count, &hold);
        if (e == ERR_OK && b->count == 0)
            e = ERR_CORRUPT;
        for (size_t i = 0; i < b->count && e == ERR_OK; i++, at++) {
            if (b->records[i].r.index != at || !(b->records[i].has & AUDIT_HAS_LEAF))
                e = ERR_CORRUPT;
            else
                list[at] = hash_leaf(b->records[i].leaf, LEAF_BYTES);
        }
        if (hold)
            source->ops->release(source, hold);
    }
    free(b);
    if (e != ERR_OK)
        free(list);
    else
        *out = list;
    return e;
}

struct leaves {
    const struct hash *list;
    uint64_t size;
};

static struct hash subtree(const struct hash *list, uint64_t count)
{
    struct frontier f = {0};
    for (uint64_t i = 0; i < count; i++)
        (void)frontier_append(&f, &list[i]);
    return frontier_root(&f);
}

static bool node(void *context, unsigned level, uint64_t n, struct hash *out)
{
    const struct leaves *l = context;
    uint64_t first = n << level, count = UINT64_C(1) << level;
    if (first + count > l->size)
        return false;
    *out = subtree(l->list + first, count);
    return true;
}

/* The path of the audited tree from a smaller size, its first node always given. */
static bool path_of(const struct leaves *l, tree_size small,
                    struct hash out[MERKLE_PATH_MAX], size_t *count)
{
    const struct merkle_source source = {node, (void *)(uintptr_t)l};
    struct hash path[MERKLE_PATH_MAX];
    size_t n, first = 0;
    if (!merkle_prove_consistency(small, l->size, &source, path, &n) ||
        n + 1 >= MERKLE_PATH_MAX)
        return false;
    if ((small & (small - 1)) == 0) {
        out[0] = subtree(l->list, small);
        first = 1;
    }
    memcpy(out + first, path, n * sizeof(path[0]));
    *count = n + first;
    return true;
}

bool evidence_path(const struct hash *leaves, uint64_t size, uint64_t index,
                   struct hash out[MERKLE_PATH_MAX], size_t *count)
{
    struct leaves l = {leaves, size};
    const struct merkle_source source = {node, &l};
    return merkle_prove_inclusion(index, size, &source, out, count);
}

static enum err keep_fork(struct slot_audit *s, const struct seen *old,
                          struct audit_finding *f, char why[AUDIT_WHY_MAX])
{
    struct hash path[MERKLE_PATH_MAX], *list = NULL;
    struct buf out = {0};
    size_t count = 0;
    char hex[2 * HASH_BYTES + 1];
    enum err e = ERR_OK;
    if (old->size != s->checkpoint.size) {
        e = read_leaves(s, &list);
        struct leaves l = {list, s->checkpoint.size};
        if (e == ERR_OK && !path_of(&l, old->size, path, &count))
            e = ERR_RANGE;
    }
    if (e == ERR_OK)
        e = evidence_fork(&out, &s->log->key, bytes_of(old->note, old->note_size),
                          bytes_of(s->note.data, s->note.size), path, count);
    free(list);
    if (e == ERR_OK) {
        hex_encode(hex, s->checkpoint.root.b, 8);
        snprintf(f->evidence, sizeof(f->evidence), "fork-%02x-%" PRIu64 "-%s.evidence",
                 (unsigned)s->slot, old->size, hex);
        e = audit_folder(s->a->o->evidence_dir, why);
        if (e == ERR_OK)
            e = audit_write(s->a->o->evidence_dir, f->evidence, out.data, out.size, why);
    } else if (e != ERR_MEMORY) {
        e = ERR_OK; /* the finding stands; a file that stands alone cannot be made of it */
    }
    buf_close(&out);
    return e;
}

enum err evidence_keep(struct audit *a, char why[AUDIT_WHY_MAX])
{
    if (!a->o->evidence_dir)
        return ERR_OK;
    for (size_t i = 0; i < a->count; i++) {
        struct slot_audit *s = &a->slots[i];
        if (s->forked == 0)
            continue;
        for (size_t k = 0; k < s->finding_count; k++)
            if (s->findings[k].check == AUDIT_CONSISTENCY) {
                TRY(keep_fork(s, &s->seen[s->forked - 1], &s->findings[k], why));
                break;
            }
    }
    return promises_keep(a, why);
}
