#include "tree.h"

#include <string.h>

#include "support.h"

struct hash tree_leaves[TREE_LEAVES_MAX];

/* Roots of complete subtrees, so that the slow tree is not too slow. */
static struct hash complete[11][TREE_LEAVES_MAX];

int tree_fill(void **state)
{
    for (uint64_t i = 0; i < TREE_LEAVES_MAX; i++) {
        uint8_t data[8];
        for (unsigned b = 0; b < 8; b++)
            data[b] = (uint8_t)(i >> (56 - 8 * b));
        tree_leaves[i] = hash_leaf(data, sizeof data);
        complete[0][i] = tree_leaves[i];
    }
    for (unsigned level = 1; level < 11; level++)
        for (size_t i = 0; i < (size_t)TREE_LEAVES_MAX >> level; i++)
            complete[level][i] =
                hash_node(&complete[level - 1][2 * i], &complete[level - 1][2 * i + 1]);
    return start_crypto(state);
}

static uint64_t split(uint64_t size)
{
    uint64_t k = 1;
    while (2 * k < size)
        k *= 2;
    return k;
}

struct hash tree_root(uint64_t begin, uint64_t end)
{
    uint64_t size = end - begin;
    if (size == 0)
        return hash_empty();
    for (unsigned level = 0; level < 11; level++)
        if (size == UINT64_C(1) << level && begin % size == 0)
            return complete[level][begin >> level];
    uint64_t k = split(size);
    struct hash left = tree_root(begin, begin + k);
    struct hash right = tree_root(begin + k, end);
    return hash_node(&left, &right);
}

static size_t path(uint64_t index, uint64_t begin, uint64_t end, struct hash out[])
{
    if (end - begin == 1)
        return 0;
    uint64_t middle = begin + split(end - begin);
    size_t count;
    if (index < middle) {
        count = path(index, begin, middle, out);
        out[count] = tree_root(middle, end);
    } else {
        count = path(index, middle, end, out);
        out[count] = tree_root(begin, middle);
    }
    return count + 1;
}

size_t tree_path(uint64_t index, uint64_t size, struct hash out[])
{
    return path(index, 0, size, out);
}

static size_t subproof(uint64_t old_size, uint64_t begin, uint64_t end, bool whole,
                       struct hash out[])
{
    if (old_size == end) {
        if (!whole)
            out[0] = tree_root(begin, end);
        return whole ? 0 : 1;
    }
    uint64_t middle = begin + split(end - begin);
    size_t count;
    if (old_size <= middle) {
        count = subproof(old_size, begin, middle, whole, out);
        out[count] = tree_root(middle, end);
    } else {
        count = subproof(old_size, middle, end, false, out);
        out[count] = tree_root(begin, middle);
    }
    return count + 1;
}

size_t tree_proof(uint64_t old_size, uint64_t size, struct hash out[])
{
    return old_size == 0 ? 0 : subproof(old_size, 0, size, true, out);
}

static bool source_node(void *context, unsigned level, uint64_t n, struct hash *out)
{
    const uint64_t *size = context;
    assert_true((n + 1) << level <= *size);
    *out = complete[level][n];
    return true;
}

struct merkle_source tree_source(uint64_t *size)
{
    return (struct merkle_source){.node = source_node, .context = size};
}

struct frontier tree_frontier(uint64_t size)
{
    struct frontier f = {.size = 0};
    for (uint64_t i = 0; i < size; i++)
        assert_true(frontier_append(&f, &tree_leaves[i]));
    return f;
}
