#include "support.h"

#include <string.h>

#include "crypto/merkle.h"
#include "tree.h"

#define SIZES 600

/* Guard hashes behind the room show whether a batch writes past it. */
static struct hash nodes[2 * TREE_LEAVES_MAX + 2 * MERKLE_LEVELS_MAX];

static void build(struct merkle_batch *b, const struct frontier *before, uint64_t size)
{
    size_t count = (size_t)(size - before->size);
    size_t room = merkle_batch_room(count);
    assert_true(room < COUNT_OF(nodes));
    memset(&nodes[room], 0xa5, sizeof nodes[room]);
    assert_true(merkle_batch_build(b, before, tree_leaves + before->size, count, nodes));
    struct hash guard;
    memset(&guard, 0xa5, sizeof guard);
    assert_true(hash_equal(&nodes[room], &guard));
}

static void check_after(const struct merkle_batch *b, const struct frontier *wanted)
{
    assert_int_equal(b->after.size, wanted->size);
    struct hash ours[MERKLE_LEVELS_MAX];
    struct hash theirs[MERKLE_LEVELS_MAX];
    size_t count = frontier_edges(&b->after, ours);
    assert_int_equal(count, frontier_edges(wanted, theirs));
    assert_memory_equal(ours, theirs, count * sizeof *ours);
}

static void check_path(const struct merkle_batch *b, uint64_t index)
{
    struct hash wanted[MERKLE_PATH_MAX];
    struct hash path[MERKLE_PATH_MAX];
    size_t count = merkle_batch_path(b, index, path);
    assert_int_equal(count, tree_path(index, b->after.size, wanted));
    assert_memory_equal(path, wanted, count * sizeof *path);
}

static void paths_of_every_batch_equal_the_plain_proof(void **state)
{
    (void)state;
    static struct frontier frontiers[SIZES + 1];
    for (uint64_t size = 0; size <= SIZES; size++)
        frontiers[size] = tree_frontier(size);
    static struct merkle_batch b;
    for (uint64_t size = 0; size <= SIZES; size++)
        for (uint64_t before = 0; before <= size; before += before < 70 ? 1 : 13) {
            build(&b, &frontiers[before], size);
            check_after(&b, &frontiers[size]);
            /* All leaves of small trees; the ends and a stride of large ones. */
            uint64_t stride = size <= 80 ? 1 : 37;
            for (uint64_t index = before; index < size; index += stride)
                check_path(&b, index);
            if (size > before)
                check_path(&b, size - 1);
        }
}

static void every_leaf_of_every_whole_tree_has_its_plain_proof(void **state)
{
    (void)state;
    static struct merkle_batch b;
    const struct frontier empty = {.size = 0};
    for (uint64_t size = 1; size <= SIZES; size++) {
        build(&b, &empty, size);
        for (uint64_t index = 0; index < size; index++)
            check_path(&b, index);
    }
}

static void batches_in_a_row_end_at_the_same_root(void **state)
{
    (void)state;
    static struct merkle_batch b;
    for (uint64_t step = 1; step < 40; step += 3) {
        struct frontier f = {.size = 0};
        while (f.size + step <= TREE_LEAVES_MAX) {
            uint64_t size = f.size + step;
            build(&b, &f, size);
            f = b.after;
        }
        struct hash root = frontier_root(&f);
        struct hash wanted = tree_root(0, f.size);
        assert_true(hash_equal(&root, &wanted));
    }
}

static void an_empty_batch_changes_nothing(void **state)
{
    (void)state;
    static struct merkle_batch b;
    struct frontier f = tree_frontier(77);
    assert_true(merkle_batch_build(&b, &f, NULL, 0, nodes));
    check_after(&b, &f);
}

static void a_batch_past_the_largest_size_is_refused(void **state)
{
    (void)state;
    static struct merkle_batch b;
    struct frontier f = {.size = MERKLE_SIZE_MAX - 2};
    assert_false(merkle_batch_build(&b, &f, tree_leaves, 3, nodes));
    assert_true(merkle_batch_build(&b, &f, tree_leaves, 2, nodes));
    struct hash path[MERKLE_PATH_MAX];
    size_t count = merkle_batch_path(&b, f.size + 1, path);
    struct hash root = frontier_root(&b.after);
    assert_true(merkle_verify_inclusion(f.size + 1, MERKLE_SIZE_MAX, &tree_leaves[1],
                                        path, count, &root));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_of_every_batch_equal_the_plain_proof),
        cmocka_unit_test(every_leaf_of_every_whole_tree_has_its_plain_proof),
        cmocka_unit_test(batches_in_a_row_end_at_the_same_root),
        cmocka_unit_test(an_empty_batch_changes_nothing),
        cmocka_unit_test(a_batch_past_the_largest_size_is_refused),
    };
    return cmocka_run_group_tests_name("merkle_batch", tests, tree_fill, NULL);
}
