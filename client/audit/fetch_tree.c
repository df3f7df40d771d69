#include "client/audit/fetch_tree.h"

#include <string.h>

static enum err bad(struct fetch_tree *t, unsigned level, uint64_t n)
{
    t->bad_level = level;
    t->bad_tile = n;
    return ERR_CORRUPT;
}

/* The complete subtrees in a tile that is not full, tallest (leftmost) first, as edges of a
 * frontier: bit b of `width` is a subtree of 2^b of its hashes. */
static size_t edges_of(const struct hash hashes[], unsigned width, struct hash out[])
{
    struct hash tall[TILE_HEIGHT];
    size_t count = 0, at = 0;
    for (unsigned b = TILE_HEIGHT; b-- > 0;)
        if (width >> b & 1) {
            tall[count++] = tile_root(hashes + at, (size_t)1 << b);
            at += (size_t)1 << b;
        }
    for (size_t i = 0; i < count; i++)
        out[i] = tall[count - 1 - i]; /* lowest first */
    return count;
}

enum err fetch_tree_open(struct fetch_tree *t)
{
    struct hash edges[MERKLE_LEVELS_MAX + TILE_HEIGHT];
    struct frontier f;
    size_t count = 0;
    if (t->size > MERKLE_SIZE_MAX)
        return ERR_TOO_LARGE;
    t->levels = 0;
    for (unsigned i = 0; i < FETCH_LEVELS_MAX; i++) {
        t->kept[i].known = false;
        if (fetch_tree_nodes(t->size, i) == 0)
            continue;
        t->levels = i + 1;
        uint64_t n = fetch_tree_nodes(t->size, i) / TILE_HASHES;
        unsigned width = tile_width(t->size, i, n);
        if (width == 0)
            continue;
        TRY(t->tile(t->context, i, n, width, t->edge[i]));
        count += edges_of(t->edge[i], width, edges + count);
    }
    if (!frontier_restore(&f, t->size, &t->root, edges, count))
        return bad(t, 0, t->size / TILE_HASHES);
    return ERR_OK;
}

/* The hash of node n of a tile level, checked. */
static enum err node_of(struct fetch_tree *t, unsigned level, uint64_t n, struct hash *out);

/* A full tile, into the level's place. */
static enum err keep(struct fetch_tree *t, unsigned level, uint64_t n)
{
    struct fetch_tile_kept *k = &t->kept[level];
    struct hash above;
    if (k->known && k->n == n)
        return ERR_OK;
    TRY(node_of(t, level + 1, n, &above));
    k->known = false;
    TRY(t->tile(t->context, level, n, TILE_HASHES, k->hashes));
    struct hash found = tile_root(k->hashes, TILE_HASHES);
    if (!hash_equal(&found, &above))
        return bad(t, level, n);
    k->known = true;
    k->n = n;
    return ERR_OK;
}

/* Recursion ends at the top level, whose only tile is the right edge. */
static enum err node_of(struct fetch_tree *t, unsigned level, uint64_t n, struct hash *out)
{
    if (level >= FETCH_LEVELS_MAX || n >= fetch_tree_nodes(t->size, level))
        return ERR_RANGE;
    uint64_t tile = n / TILE_HASHES;
    if (tile == fetch_tree_nodes(t->size, level) / TILE_HASHES) {
        *out = t->edge[level][n % TILE_HASHES];
        return ERR_OK;
    }
    TRY(keep(t, level, tile));
    *out = t->kept[level].hashes[n % TILE_HASHES];
    return ERR_OK;
}

enum err fetch_tree_tile(struct fetch_tree *t, unsigned level, uint64_t n,
                         struct hash out[TILE_HASHES], unsigned *width)
{
    *width = level < FETCH_LEVELS_MAX ? tile_width(t->size, level, n) : 0;
    if (*width == 0)
        return ERR_OK;
    const struct hash *from = t->edge[level];
    if (*width == TILE_HASHES) {
        TRY(keep(t, level, n));
        from = t->kept[level].hashes;
    }
    memcpy(out, from, *width * sizeof(*out));
    return ERR_OK;
}

struct asked {
    struct fetch_tree *t;
    enum err err;
};

static bool node(void *context, unsigned level, uint64_t n, struct hash *out)
{
    struct asked *a = context;
    unsigned tile_level = level / TILE_HEIGHT, bit = level % TILE_HEIGHT;
    uint64_t first = n << bit;
    struct hash hashes[TILE_HASHES];
    unsigned width;
    a->err = fetch_tree_tile(a->t, tile_level, first / TILE_HASHES, hashes, &width);
    size_t at = first % TILE_HASHES, want = (size_t)1 << bit;
    if (a->err == ERR_OK && at + want > width)
        a->err = ERR_RANGE;
    if (a->err == ERR_OK)
        *out = tile_root(hashes + at, want);
    return a->err == ERR_OK;
}

enum err fetch_tree_consistency(struct fetch_tree *t, tree_size old_size,
                                struct hash path[MERKLE_PATH_MAX], size_t *count)
{
    struct asked a = {.t = t, .err = ERR_RANGE};
    const struct merkle_source source = {.node = node, .context = &a};
    if (merkle_prove_consistency(old_size, t->size, &source, path, count))
        return ERR_OK;
    return a.err == ERR_OK ? ERR_RANGE : a.err;
}

enum err fetch_tree_root(struct fetch_tree *t, tree_size size, struct hash *root)
{
    struct asked a = {.t = t, .err = ERR_OK};
    struct hash edges[MERKLE_LEVELS_MAX], up;
    bool any = false;
    if (size > t->size)
        return ERR_RANGE;
    if (size == t->size) {
        *root = t->root;
        return ERR_OK;
    }
    *root = hash_empty();
    for (unsigned i = 0; i < MERKLE_LEVELS_MAX; i++) {
        if ((size >> i & 1) == 0)
            continue;
        /* The subtree of bit i stands right of all taller ones. */
        if (!node(&a, i, (size >> i) - 1, &edges[i]))
            return a.err;
        up = edges[i];
        *root = any ? hash_node(&up, root) : up;
        any = true;
    }
    return ERR_OK;
}
