#include "relay/stoactl_log.h"

bool log_tree_add(struct log_tree *t, const struct hash *leaf, log_full_tile *full,
                  void *context)
{
    struct hash up = *leaf;
    if (t->size == MERKLE_SIZE_MAX)
        return false;
    uint64_t n = t->size / TILE_HASHES;
    t->size++;
    for (unsigned level = 0; level < LOG_TILE_LEVELS; level++) {
        t->hashes[level][t->count[level]++] = up;
        if (t->count[level] < TILE_HASHES)
            break;
        if (full && !full(context, level, n, t->hashes[level]))
            return false;
        up = tile_root(t->hashes[level], TILE_HASHES);
        t->count[level] = 0;
        n /= TILE_HASHES;
    }
    return true;
}

/* What stands right of a level's full nodes is one more, incomplete, node of that level:
 * a tree splits at the largest power of two below its size, so the shape is the same. */
struct hash log_tree_root(const struct log_tree *t)
{
    struct hash nodes[TILE_HASHES], rest = hash_empty();
    bool has_rest = false;
    for (unsigned level = 0; level < LOG_TILE_LEVELS; level++) {
        unsigned count = t->count[level];
        if (count == 0)
            continue;
        for (unsigned i = 0; i < count; i++)
            nodes[i] = t->hashes[level][i];
        if (has_rest)
            nodes[count++] = rest;
        rest = tile_root(nodes, count);
        has_rest = true;
    }
    return rest;
}
