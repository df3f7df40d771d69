#include "other.h"

static uint64_t split(uint64_t size)
{
    uint64_t k = 1;
    while (size - k > k)
        k *= 2;
    return k;
}

struct hash naive_root(const struct hash leaves[], uint64_t count)
{
    if (count == 0)
        return hash_sha256("", 0);
    if (count == 1)
        return leaves[0];
    uint64_t k = split(count);
    struct hash left = naive_root(leaves, k), right = naive_root(leaves + k, count - k);
    return hash_node(&left, &right);
}

size_t naive_path(uint64_t index, const struct hash leaves[], uint64_t count,
                  struct hash out[])
{
    if (count == 1)
        return 0;
    uint64_t k = split(count);
    size_t n;
    if (index < k) {
        n = naive_path(index, leaves, k, out);
        out[n] = naive_root(leaves + k, count - k);
    } else {
        n = naive_path(index - k, leaves + k, count - k, out);
        out[n] = naive_root(leaves, k);
    }
    return n + 1;
}

static size_t subproof(uint64_t m, const struct hash leaves[], uint64_t count, bool whole,
                       struct hash out[])
{
    if (m == count) {
        if (!whole)
            out[0] = naive_root(leaves, count);
        return whole ? 0 : 1;
    }
    uint64_t k = split(count);
    size_t n;
    if (m <= k) {
        n = subproof(m, leaves, k, whole, out);
        out[n] = naive_root(leaves + k, count - k);
    } else {
        n = subproof(m - k, leaves + k, count - k, false, out);
        out[n] = naive_root(leaves, k);
    }
    return n + 1;
}

size_t naive_proof(uint64_t old_size, const struct hash leaves[], uint64_t count,
                   struct hash out[])
{
    return old_size == 0 ? 0 : subproof(old_size, leaves, count, true, out);
}

bool naive_walk_path(uint64_t index, uint64_t size, const struct hash *leaf,
                     const struct hash path[], size_t count, struct hash *root)
{
    if (size == 1) {
        *root = *leaf;
        return count == 0;
    }
    if (count == 0)
        return false;
    uint64_t k = split(size);
    struct hash below;
    const struct hash *sibling = &path[count - 1];
    if (index < k) {
        if (!naive_walk_path(index, k, leaf, path, count - 1, &below))
            return false;
        *root = hash_node(&below, sibling);
    } else {
        if (!naive_walk_path(index - k, size - k, leaf, path, count - 1, &below))
            return false;
        *root = hash_node(sibling, &below);
    }
    return true;
}

static bool walk(uint64_t m, uint64_t size, bool whole, const struct hash *old_root,
                 const struct hash path[], size_t count, struct hash *old_found,
                 struct hash *new_found)
{
    if (m == size) {
        if (count != (whole ? 0 : 1))
            return false;
        *old_found = *new_found = whole ? *old_root : path[0];
        return true;
    }
    if (count == 0)
        return false;
    uint64_t k = split(size);
    const struct hash *other = &path[count - 1];
    struct hash was, is;
    if (m <= k) {
        if (!walk(m, k, whole, old_root, path, count - 1, &was, &is))
            return false;
        *old_found = was;
        *new_found = hash_node(&is, other);
    } else {
        if (!walk(m - k, size - k, false, old_root, path, count - 1, &was, &is))
            return false;
        *old_found = hash_node(other, &was);
        *new_found = hash_node(other, &is);
    }
    return true;
}

bool naive_walk_proof(uint64_t old_size, uint64_t size, const struct hash *old_root,
                      const struct hash path[], size_t count, struct hash *old_found,
                      struct hash *new_found)
{
    return walk(old_size, size, true, old_root, path, count, old_found, new_found);
}
