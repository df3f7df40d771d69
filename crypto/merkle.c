#include "crypto/merkle.h"

#include <assert.h>
#include <string.h>

static bool bit(uint64_t value, unsigned level)
{
    return (value >> level & 1) != 0;
}

/* ---- the right edge ---- */

bool frontier_append(struct frontier *f, const struct hash *leaf)
{
    assert(f->size <= MERKLE_SIZE_MAX);
    if (f->size == MERKLE_SIZE_MAX)
        return false;

    /* Binary addition: every full subtree at the right merges with the carry. */
    struct hash carry = *leaf;
    unsigned level = 0;
    for (; bit(f->size, level); level++)
        carry = hash_node(&f->edge[level], &carry);

    assert(level < MERKLE_LEVELS_MAX);
    f->edge[level] = carry;
    f->size += 1;
    return true;
}

struct hash frontier_root(const struct frontier *f)
{
    if (f->size == 0)
        return hash_empty();

    unsigned level = 0;
    while (!bit(f->size, level))
        level++;

    struct hash root = f->edge[level];
    for (level++; level < MERKLE_LEVELS_MAX; level++)
        if (bit(f->size, level))
            root = hash_node(&f->edge[level], &root);
    return root;
}

size_t frontier_edge_count(tree_size size)
{
    size_t count = 0;
    for (; size != 0; size &= size - 1)
        count++;
    return count;
}

size_t frontier_edges(const struct frontier *f, struct hash out[])
{
    size_t count = 0;
    for (unsigned level = 0; level < MERKLE_LEVELS_MAX; level++)
        if (bit(f->size, level))
            out[count++] = f->edge[level];
    return count;
}

bool frontier_restore(struct frontier *f, tree_size size, const struct hash *root,
                      const struct hash edges[], size_t count)
{
    if (size > MERKLE_SIZE_MAX || count != frontier_edge_count(size))
        return false;

    struct frontier restored = {.size = size};
    size_t used = 0;
    for (unsigned level = 0; level < MERKLE_LEVELS_MAX; level++)
        if (bit(size, level))
            restored.edge[level] = edges[used++];

    struct hash found = frontier_root(&restored);
    if (!hash_equal(&found, root))
        return false;
    *f = restored;
    return true;
}

/* ---- verifying ---- */

bool merkle_root_from_inclusion(uint64_t index, tree_size size, const struct hash *leaf,
                                const struct hash path[], size_t count, struct hash *root)
{
    if (index >= size || count > MERKLE_PATH_MAX)
        return false;

    uint64_t node = index;
    uint64_t last = size - 1;
    struct hash r = *leaf;
    for (size_t i = 0; i < count; i++) {
        if (last == 0)
            return false;
        if (bit(node, 0) || node == last) {
            r = hash_node(&path[i], &r);
            while (node != 0 && !bit(node, 0)) {
                node >>= 1;
                last >>= 1;
            }
        } else {
            r = hash_node(&r, &path[i]);
        }
        node >>= 1;
        last >>= 1;
    }
    if (last != 0)
        return false;
    *root = r;
    return true;
}

bool merkle_verify_inclusion(uint64_t index, tree_size size, const struct hash *leaf,
                             const struct hash path[], size_t count,
                             const struct hash *root)
{
    struct hash found;
    return merkle_root_from_inclusion(index, size, leaf, path, count, &found) &&
           hash_equal(&found, root);
}

/* 0 < old_size < new_size and count > 0. RFC 9162 section 2.1.4.2. */
static bool verify_growth(tree_size old_size, tree_size new_size,
                          const struct hash path[], size_t count,
                          const struct hash *old_root, const struct hash *new_root)
{
    uint64_t node = old_size - 1;
    uint64_t last = new_size - 1;
    while (bit(node, 0)) {
        node >>= 1;
        last >>= 1;
    }

    /* The old tree is itself a full subtree: its root stands in for the first hash. */
    size_t next = 0;
    struct hash seed = node == 0 ? *old_root : path[next++];
    struct hash from = seed;
    struct hash to = seed;
    for (; next < count; next++) {
        if (last == 0)
            return false;
        if (bit(node, 0) || node == last) {
            from = hash_node(&path[next], &from);
            to = hash_node(&path[next], &to);
            while (node != 0 && !bit(node, 0)) {
                node >>= 1;
                last >>= 1;
            }
        } else {
            to = hash_node(&to, &path[next]);
        }
        node >>= 1;
        last >>= 1;
    }
    return last == 0 && hash_equal(&from, old_root) && hash_equal(&to, new_root);
}

bool merkle_verify_consistency(tree_size old_size, tree_size new_size,
                               const struct hash path[], size_t count,
                               const struct hash *old_root, const struct hash *new_root)
{
    if (old_size > new_size || count > MERKLE_PATH_MAX)
        return false;
    if (old_size == 0) {
        struct hash empty = hash_empty();
        if (count != 0 || !hash_equal(old_root, &empty))
            return false;
        return new_size != 0 || hash_equal(new_root, &empty);
    }
    if (old_size == new_size)
        return count == 0 && hash_equal(old_root, new_root);
    if (count == 0)
        return false;
    return verify_growth(old_size, new_size, path, count, old_root, new_root);
}

/* ---- proving ---- */

/* Root over leaves [begin, end): not empty, and begin a multiple of a power of two that
 * is at least end - begin. */
static bool range_root(const struct merkle_source *source, uint64_t begin, uint64_t end,
                       struct hash *out)
{
    bool any = false;
    for (unsigned level = 0; level < MERKLE_LEVELS_MAX; level++) {
        if (!bit(end - begin, level))
            continue;
        struct hash left;
        if (!source->node(source->context, level, (end >> level) - 1, &left))
            return false;
        *out = any ? hash_node(&left, out) : left;
        any = true;
    }
    assert(any);
    return true;
}

bool merkle_prove_inclusion(uint64_t index, tree_size size,
                            const struct merkle_source *source, struct hash path[],
                            size_t *count)
{
    if (size > MERKLE_SIZE_MAX || index >= size)
        return false;

    size_t used = 0;
    uint64_t node = index;
    for (unsigned level = 0; ((size - 1) >> level) != 0; level++, node >>= 1) {
        uint64_t sibling = node ^ 1;
        uint64_t complete = size >> level;
        uint64_t begin = sibling << level;
        if (sibling < complete) {
            if (!source->node(source->context, level, sibling, &path[used]))
                return false;
        } else if (begin < size) {
            if (!range_root(source, begin, size, &path[used]))
                return false;
        } else {
            continue; /* the last node of an odd level goes up unpaired */
        }
        used++;
    }
    *count = used;
    return true;
}

static uint64_t power_below(uint64_t size)
{
    uint64_t power = 1;
    while (power << 1 < size)
        power <<= 1;
    return power;
}

static void reverse(struct hash path[], size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        struct hash kept = path[i];
        path[i] = path[count - 1 - i];
        path[count - 1 - i] = kept;
    }
}

bool merkle_prove_consistency(tree_size old_size, tree_size new_size,
                              const struct merkle_source *source, struct hash path[],
                              size_t *count)
{
    if (new_size > MERKLE_SIZE_MAX || old_size > new_size)
        return false;
    *count = 0;
    if (old_size == 0)
        return true;

    /* SUBPROOF of RFC 6962 section 2.1.2, walked down from the root: the deepest hash
     * comes first in a proof, so the path is turned round at the end. */
    size_t used = 0;
    uint64_t begin = 0;
    uint64_t end = new_size;
    while (end != old_size) {
        uint64_t middle = begin + power_below(end - begin);
        bool in_left = old_size <= middle;
        uint64_t from = in_left ? middle : begin;
        uint64_t to = in_left ? end : middle;
        if (!range_root(source, from, to, &path[used++]))
            return false;
        if (in_left)
            end = middle;
        else
            begin = middle;
    }
    if (begin != 0 && !range_root(source, begin, end, &path[used++]))
        return false;
    reverse(path, used);
    *count = used;
    return true;
}

/* ---- batches ---- */

size_t merkle_batch_room(size_t leaf_count)
{
    return 2 * leaf_count + MERKLE_LEVELS_MAX;
}

/* A complete node that touches the batch, or the frontier's edge just left of it. */
static const struct hash *batch_node(const struct merkle_batch *b, unsigned level,
                                     uint64_t n)
{
    uint64_t first = b->level_first[level];
    if (n >= first) {
        assert(n - first < b->level_count[level]);
        return &b->nodes[b->level_at[level] + (size_t)(n - first)];
    }
    assert(n + 1 == first && bit(b->before.size, level));
    return &b->before.edge[level];
}

static void batch_level(struct merkle_batch *b, unsigned level, tree_size size,
                        const struct hash leaves[])
{
    uint64_t first = b->before.size >> level;
    size_t count = (size_t)((size >> level) - first);
    size_t at = level == 0 ? 0 : b->level_at[level - 1] + b->level_count[level - 1];
    b->level_first[level] = first;
    b->level_count[level] = count;
    b->level_at[level] = at;
    if (level == 0) {
        if (count > 0)
            memcpy(b->nodes, leaves, count * sizeof *leaves);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t left = 2 * (first + i);
        b->nodes[at + i] =
            hash_node(batch_node(b, level - 1, left), batch_node(b, level - 1, left + 1));
    }
}

bool merkle_batch_build(struct merkle_batch *b, const struct frontier *before,
                        const struct hash leaves[], size_t leaf_count, struct hash *nodes)
{
    if (before->size > MERKLE_SIZE_MAX || leaf_count > MERKLE_SIZE_MAX - before->size)
        return false;

    tree_size size = before->size + leaf_count;
    *b =
        (struct merkle_batch){.before = *before, .after = {.size = size}, .nodes = nodes};
    for (unsigned level = 0; level < MERKLE_LEVELS_MAX; level++) {
        batch_level(b, level, size, leaves);
        const struct hash *edge = NULL;
        if (bit(size, level)) {
            edge = batch_node(b, level, (size >> level) - 1);
            b->after.edge[level] = *edge;
        }
        if (level + 1 == MERKLE_LEVELS_MAX)
            break;
        b->has_right[level + 1] = b->has_right[level] || edge != NULL;
        if (edge == NULL)
            b->right[level + 1] = b->right[level];
        else
            b->right[level + 1] =
                b->has_right[level] ? hash_node(edge, &b->right[level]) : *edge;
    }
    return true;
}

size_t merkle_batch_path(const struct merkle_batch *b, uint64_t index, struct hash path[])
{
    tree_size size = b->after.size;
    assert(index >= b->before.size && index < size);

    size_t used = 0;
    uint64_t node = index;
    for (unsigned level = 0; ((size - 1) >> level) != 0; level++, node >>= 1) {
        uint64_t sibling = node ^ 1;
        uint64_t complete = size >> level;
        if (sibling < complete)
            path[used++] = *batch_node(b, level, sibling);
        else if (sibling == complete && b->has_right[level])
            path[used++] = b->right[level];
    }
    return used;
}
