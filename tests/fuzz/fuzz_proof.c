/* Inclusion and consistency proofs: prover, verifier and batch agree with the recursive
 * definitions of RFC 6962, on honest proofs, on damaged ones and on sizes up to 2^64-1.
 */
#include <string.h>

#include "fuzz.h"
#include "input.h"
#include "other.h"

#define LEAVES_MAX 300

static struct hash leaves[LEAVES_MAX];
static uint64_t leaf_count; /* of the tree in hand */

static void make_leaves(void)
{
    if (!hash_is_zero(&leaves[0]))
        return;
    (void)known_key(0);
    for (unsigned i = 0; i < LEAVES_MAX; i++)
        leaves[i] = hash_leaf(&i, sizeof i);
}

static bool node(void *context, unsigned level, uint64_t n, struct hash *out)
{
    (void)context;
    PROPERTY(level < 64 && ((n + 1) << level) <= leaf_count);
    *out = naive_root(leaves + (n << level), UINT64_C(1) << level);
    return true;
}

static const struct merkle_source source = {.node = node};

/* Turn an honest path into some other one. */
static size_t damage(struct input *in, struct hash path[], size_t count)
{
    unsigned times = take_below(in, 3);
    for (; times > 0; times--) {
        unsigned how = take_below(in, 6);
        size_t at = count ? take(in, 1) % count : 0;
        if (how == 0 && count < MERKLE_PATH_MAX)
            take_fill(in, path[count++].b, HASH_BYTES);
        else if (how == 1 && count > 0)
            count--;
        else if (how == 2 && count > 0)
            path[at].b[take(in, 1) % HASH_BYTES] ^= 1;
        else if (how == 3 && count > 1)
            path[at] = path[(at + 1) % count];
        else if (how == 4 && count > 0)
            memmove(&path[at], &path[at + 1], (--count - at) * sizeof *path);
        else if (how == 5 && count < MERKLE_PATH_MAX)
            path[count++] = leaves[take(in, 1)];
    }
    return count;
}

static void check_inclusion(struct input *in)
{
    struct hash path[MERKLE_PATH_MAX], again[MERKLE_PATH_MAX], root, found;
    size_t count = 0;
    leaf_count = 1 + take(in, 2) % LEAVES_MAX;
    uint64_t index = take(in, 2) % leaf_count, size = leaf_count;
    PROPERTY(merkle_prove_inclusion(index, size, &source, path, &count));
    PROPERTY(count == naive_path(index, leaves, size, again));
    PROPERTY(memcmp(path, again, count * sizeof *path) == 0);
    root = naive_root(leaves, size);
    PROPERTY(merkle_verify_inclusion(index, size, &leaves[index], path, count, &root));

    struct hash leaf = leaves[index];
    count = damage(in, path, count);
    unsigned twist = take_below(in, 6);
    if (twist == 1)
        index = take(in, 8);
    if (twist == 2)
        size = take(in, 8);
    if (twist == 3)
        leaf = leaves[take(in, 1)];
    if (twist == 4)
        root = naive_root(leaves, 1 + take(in, 2) % LEAVES_MAX);
    if (twist == 5) {
        index = take(in, 8);
        size = take(in, 8);
    }
    bool ours = merkle_verify_inclusion(index, size, &leaf, path, count, &root);
    bool fits = index < size && naive_walk_path(index, size, &leaf, path, count, &found);
    PROPERTY(ours == (fits && hash_equal(&found, &root)));
    struct hash led;
    PROPERTY(merkle_root_from_inclusion(index, size, &leaf, path, count, &led) == fits);
    PROPERTY(!fits || hash_equal(&led, &found));
}

static void check_consistency(struct input *in)
{
    struct hash path[MERKLE_PATH_MAX], again[MERKLE_PATH_MAX], was, is;
    size_t count = 0;
    leaf_count = 1 + take(in, 2) % LEAVES_MAX;
    uint64_t old_size = take(in, 2) % (leaf_count + 1), size = leaf_count;
    PROPERTY(merkle_prove_consistency(old_size, size, &source, path, &count));
    PROPERTY(count == naive_proof(old_size, leaves, size, again));
    PROPERTY(memcmp(path, again, count * sizeof *path) == 0);
    struct hash old_root = naive_root(leaves, old_size), root = naive_root(leaves, size);
    PROPERTY(merkle_verify_consistency(old_size, size, path, count, &old_root, &root));

    count = damage(in, path, count);
    unsigned twist = take_below(in, 6);
    if (twist == 1)
        old_size = take(in, 8);
    if (twist == 2)
        size = take(in, 8);
    if (twist == 3)
        old_root = leaves[take(in, 1)];
    if (twist == 4)
        root = naive_root(leaves, 1 + take(in, 2) % LEAVES_MAX);
    if (twist == 5) {
        size = take(in, 8);
        old_size = size - take(in, 2);
    }
    bool ours = merkle_verify_consistency(old_size, size, path, count, &old_root, &root);
    bool expected;
    struct hash none = naive_root(leaves, 0);
    if (old_size > size)
        expected = false;
    else if (old_size == size)
        expected = count == 0 && hash_equal(&old_root, &root) &&
                   (size > 0 || hash_equal(&root, &none));
    else if (old_size == 0)
        expected = count == 0 && hash_equal(&old_root, &none);
    else
        expected = naive_walk_proof(old_size, size, &old_root, path, count, &was, &is) &&
                   hash_equal(&was, &old_root) && hash_equal(&is, &root);
    PROPERTY(ours == expected);
}

/* The right edge and a batch on top of it give the roots and paths of the whole tree. */
static void check_batch(struct input *in)
{
    static struct hash nodes[4 * LEAVES_MAX];
    struct merkle_batch b;
    struct frontier f = {.size = 0}, restored = {.size = 0};
    struct hash edges[MERKLE_LEVELS_MAX], path[MERKLE_PATH_MAX], again[MERKLE_PATH_MAX];
    uint64_t before = take(in, 1), added = take_below(in, 40) + 1;
    for (uint64_t i = 0; i < before; i++)
        PROPERTY(frontier_append(&f, &leaves[i]));
    struct hash root = frontier_root(&f), naive = naive_root(leaves, before);
    PROPERTY(hash_equal(&root, &naive));
    size_t count = frontier_edges(&f, edges);
    PROPERTY(count == frontier_edge_count(before));
    PROPERTY(frontier_restore(&restored, before, &root, edges, count));
    if (count > 0) {
        edges[take(in, 1) % count].b[take(in, 1) % HASH_BYTES] ^= 0x10;
        PROPERTY(!frontier_restore(&restored, before, &root, edges, count));
    }
    PROPERTY(merkle_batch_room((size_t)added) <= sizeof nodes / sizeof *nodes);
    PROPERTY(merkle_batch_build(&b, &restored, leaves + before, (size_t)added, nodes));
    root = frontier_root(&b.after);
    naive = naive_root(leaves, before + added);
    PROPERTY(hash_equal(&root, &naive));
    uint64_t index = before + take(in, 1) % added;
    count = merkle_batch_path(&b, index, path);
    PROPERTY(count == naive_path(index, leaves, before + added, again));
    PROPERTY(memcmp(path, again, count * sizeof *path) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = input_of(data, size);
    make_leaves();
    unsigned what = take_below(&in, 3);
    if (what == 0)
        check_inclusion(&in);
    else if (what == 1)
        check_consistency(&in);
    else
        check_batch(&in);
    return 0;
}
