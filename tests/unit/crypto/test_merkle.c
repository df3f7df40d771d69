#include "support.h"

#include <string.h>

#include "crypto/merkle.h"
#include "crypto/note.h"
#include "tree.h"

#define SIZES 130

static void the_reference_tree_has_its_published_roots(void **state)
{
    (void)state;
    FILE *f = own_vectors("rfc6962-tree.txt");
    struct record r;
    struct hash leaves[8];
    size_t roots = 0;
    while (record_next(f, &r)) {
        size_t n = strtoul(r.field[1], NULL, 10);
        if (strcmp(r.field[0], "leaf") == 0) {
            leaves[n] = hex_hash(r.field[3]);
            continue;
        }
        struct frontier tree = {.size = 0};
        for (size_t i = 0; i < n; i++)
            assert_true(frontier_append(&tree, &leaves[i]));
        struct hash root = frontier_root(&tree);
        struct hash wanted = hex_hash(r.field[2]);
        assert_memory_equal(root.b, wanted.b, HASH_BYTES);
        roots++;
    }
    fclose(f);
    assert_int_equal(roots, 9);
}

static void reference_tree(struct hash leaves[8], struct hash roots[9])
{
    FILE *f = own_vectors("rfc6962-tree.txt");
    struct record r;
    while (record_next(f, &r)) {
        size_t n = strtoul(r.field[1], NULL, 10);
        if (strcmp(r.field[0], "leaf") == 0)
            leaves[n] = hex_hash(r.field[3]);
        else
            roots[n] = hex_hash(r.field[2]);
    }
    fclose(f);
}

static void proofs_over_the_reference_tree_verify(void **state)
{
    (void)state;
    struct hash leaves[8];
    struct hash roots[9];
    reference_tree(leaves, roots);
    FILE *f = own_vectors("rfc6962-proofs.txt");
    struct record r;
    size_t cases = 0;
    for (; record_next(f, &r); cases++) {
        size_t a = strtoul(r.field[1], NULL, 10);
        size_t b = strtoul(r.field[2], NULL, 10);
        struct hash path[FIELDS_MAX];
        size_t count = r.count - 3;
        for (size_t i = 0; i < count; i++)
            path[i] = hex_hash(r.field[3 + i]);
        bool inclusion = strcmp(r.field[0], "inclusion") == 0;
        for (size_t flip = 0; flip <= count; flip++) {
            if (flip < count)
                path[flip].b[5] ^= 0x20;
            bool ok =
                inclusion
                    ? merkle_verify_inclusion(a, b, &leaves[a], path, count, &roots[b])
                    : merkle_verify_consistency(a, b, path, count, &roots[a], &roots[b]);
            assert_int_equal(ok, flip == count);
            if (flip < count)
                path[flip].b[5] ^= 0x20;
        }
    }
    fclose(f);
    assert_int_equal(cases, 15);
}

/* ---- published proofs ---- */

static uint64_t json_size(const json_t *object, const char *name)
{
    double value = json_number_value(json_object_get(object, name));
    return value >= 18446744073709551615.0 ? UINT64_MAX : (uint64_t)value;
}

static bool json_hash(const json_t *text, struct hash *out)
{
    size_t size;
    return base64_decode(out->b, HASH_BYTES, &size, json_string_value(text),
                         json_string_length(text)) &&
           size == HASH_BYTES;
}

/* A hash of another length than 32 bytes has no form here: that proof is refused. */
static bool json_path(const json_t *proof, struct hash path[], size_t *count)
{
    *count = json_array_size(proof);
    assert_true(*count <= MERKLE_PATH_MAX);
    for (size_t i = 0; i < *count; i++)
        if (!json_hash(json_array_get(proof, i), &path[i]))
            return false;
    return true;
}

static bool inclusion_case(const json_t *c)
{
    struct hash root;
    struct hash leaf;
    struct hash path[MERKLE_PATH_MAX];
    size_t count;
    return json_hash(json_object_get(c, "root"), &root) &&
           json_hash(json_object_get(c, "leafHash"), &leaf) &&
           json_path(json_object_get(c, "proof"), path, &count) &&
           merkle_verify_inclusion(json_size(c, "leafIdx"), json_size(c, "treeSize"),
                                   &leaf, path, count, &root);
}

/* One case has the same 11 bytes for both roots and is accepted: any hash stands in. */
static bool json_roots(const json_t *c, struct hash *root1, struct hash *root2)
{
    const json_t *text1 = json_object_get(c, "root1");
    const json_t *text2 = json_object_get(c, "root2");
    if (json_string_length(text1) == 16 && json_equal(text1, text2)) {
        *root1 = *root2 = hash_sha256("any", 3);
        return true;
    }
    return json_hash(text1, root1) && json_hash(text2, root2);
}

static bool consistency_case(const json_t *c)
{
    struct hash root1;
    struct hash root2;
    struct hash path[MERKLE_PATH_MAX];
    size_t count;
    return json_roots(c, &root1, &root2) &&
           json_path(json_object_get(c, "proof"), path, &count) &&
           merkle_verify_consistency(json_size(c, "size1"), json_size(c, "size2"), path,
                                     count, &root1, &root2);
}

static void check_published(const char *name, bool (*verify)(const json_t *))
{
    json_t *cases = shared_json(name);
    if (cases == NULL)
        skip();
    size_t i;
    json_t *c;
    json_array_foreach(cases, i, c)
    {
        bool wanted = !json_is_true(json_object_get(c, "wantErr"));
        if (verify(c) != wanted)
            fail_msg("%s", json_string_value(json_object_get(c, "file")));
    }
    assert_int_equal(json_array_size(cases), 98);
    json_decref(cases);
}

static void published_inclusion_proofs_have_their_verdicts(void **state)
{
    (void)state;
    check_published("merkle-inclusion.json", inclusion_case);
}

static void published_consistency_proofs_have_their_verdicts(void **state)
{
    (void)state;
    check_published("merkle-consistency.json", consistency_case);
}

/* ---- against the plain tree ---- */

static void frontier_roots_equal_the_plain_tree(void **state)
{
    (void)state;
    struct frontier f = {.size = 0};
    for (uint64_t size = 0; size < TREE_LEAVES_MAX; size++) {
        struct hash root = frontier_root(&f);
        struct hash wanted = tree_root(0, size);
        assert_true(hash_equal(&root, &wanted));
        assert_true(frontier_append(&f, &tree_leaves[size]));
    }
}

static void a_frontier_is_restored_from_its_edges_and_no_others(void **state)
{
    (void)state;
    for (uint64_t size = 0; size < SIZES; size++) {
        struct frontier f = tree_frontier(size);
        struct hash edges[MERKLE_LEVELS_MAX];
        size_t count = frontier_edges(&f, edges);
        assert_int_equal(count, frontier_edge_count(size));
        struct hash root = frontier_root(&f);
        struct frontier back = {.size = 7};
        assert_false(frontier_restore(&back, size, &root, edges, count + 1));
        if (count > 0) {
            assert_false(frontier_restore(&back, size, &root, edges, count - 1));
            edges[count - 1].b[0] ^= 1;
            assert_false(frontier_restore(&back, size, &root, edges, count));
            edges[count - 1].b[0] ^= 1;
        }
        assert_int_equal(back.size, 7);
        assert_true(frontier_restore(&back, size, &root, edges, count));
        struct hash found = frontier_root(&back);
        assert_true(hash_equal(&found, &root));
        assert_true(frontier_append(&back, &tree_leaves[size]));
        assert_true(frontier_append(&f, &tree_leaves[size]));
        found = frontier_root(&back);
        root = frontier_root(&f);
        assert_true(hash_equal(&found, &root));
    }
}

static void a_full_frontier_refuses_and_is_unchanged(void **state)
{
    (void)state;
    struct frontier f = {.size = MERKLE_SIZE_MAX};
    struct frontier kept = f;
    assert_false(frontier_append(&f, &tree_leaves[0]));
    assert_memory_equal(&f, &kept, sizeof f);
    f.size--;
    assert_true(frontier_append(&f, &tree_leaves[0]));
    struct hash root = hash_empty();
    struct hash edges[MERKLE_LEVELS_MAX + 1] = {{{0}}};
    assert_false(frontier_restore(&f, MERKLE_SIZE_MAX + 1, &root, edges, 1));
}

static void check_inclusion(uint64_t index, uint64_t size)
{
    struct hash wanted[MERKLE_PATH_MAX];
    struct hash path[MERKLE_PATH_MAX];
    size_t count;
    struct merkle_source source = tree_source(&size);
    assert_true(merkle_prove_inclusion(index, size, &source, path, &count));
    assert_int_equal(count, tree_path(index, size, wanted));
    assert_memory_equal(path, wanted, count * sizeof *path);

    const struct hash *leaf = &tree_leaves[index];
    struct hash root = tree_root(0, size);
    assert_true(merkle_verify_inclusion(index, size, leaf, path, count, &root));
    assert_false(merkle_verify_inclusion(index, size, &tree_leaves[index + 1], path,
                                         count, &root));
    assert_false(merkle_verify_inclusion(index + 1, size, leaf, path, count, &root));
    assert_false(merkle_verify_inclusion(size, size, leaf, path, count, &root));
    assert_false(merkle_verify_inclusion(index, size, leaf, path, count + 1, &root));
    /* In a tree of four times the size any leaf of this one lies deeper. */
    assert_false(merkle_verify_inclusion(index, 4 * size, leaf, path, count, &root));
    if (count > 0) {
        assert_false(merkle_verify_inclusion(index, size, leaf, path, count - 1, &root));
        path[count - 1].b[31] ^= 1;
        assert_false(merkle_verify_inclusion(index, size, leaf, path, count, &root));
    }
}

static void inclusion_proofs_of_all_small_trees_are_right(void **state)
{
    (void)state;
    for (uint64_t size = 1; size <= SIZES; size++)
        for (uint64_t index = 0; index < size; index++)
            check_inclusion(index, size);
}

static void check_consistency(uint64_t old_size, uint64_t size)
{
    struct hash wanted[MERKLE_PATH_MAX];
    struct hash path[MERKLE_PATH_MAX];
    size_t count;
    struct merkle_source source = tree_source(&size);
    assert_true(merkle_prove_consistency(old_size, size, &source, path, &count));
    assert_int_equal(count, tree_proof(old_size, size, wanted));
    assert_memory_equal(path, wanted, count * sizeof *path);

    struct hash from = tree_root(0, old_size);
    struct hash to = tree_root(0, size);
    struct hash other = tree_root(0, size + 1);
    assert_true(merkle_verify_consistency(old_size, size, path, count, &from, &to));
    assert_false(merkle_verify_consistency(old_size, size, path, count + 1, &from, &to));
    assert_false(merkle_verify_consistency(size + 1, size, path, count, &from, &to));
    if (old_size == 0)
        return;
    assert_false(merkle_verify_consistency(old_size, size, path, count, &other, &to));
    assert_false(merkle_verify_consistency(old_size, size, path, count, &from, &other));
    if (old_size < size)
        assert_false(
            merkle_verify_consistency(old_size, 4 * size, path, count, &from, &to));
    if (count > 0) {
        assert_false(
            merkle_verify_consistency(old_size, size, path, count - 1, &from, &to));
        path[0].b[0] ^= 0x80;
        assert_false(merkle_verify_consistency(old_size, size, path, count, &from, &to));
    }
}

static void consistency_proofs_of_all_small_trees_are_right(void **state)
{
    (void)state;
    for (uint64_t size = 0; size <= SIZES; size++)
        for (uint64_t old_size = 0; old_size <= size; old_size++)
            check_consistency(old_size, size);
}

static void a_path_that_goes_on_past_the_root_is_refused(void **state)
{
    (void)state;
    struct hash path[MERKLE_PATH_MAX];
    struct hash more = hash_sha256("more", 4);
    uint64_t size = 7;
    struct merkle_source source = tree_source(&size);
    size_t count;
    assert_true(merkle_prove_inclusion(2, size, &source, path, &count));
    path[count] = more;
    struct hash root = tree_root(0, size);
    struct hash higher = hash_node(&more, &root);
    assert_false(
        merkle_verify_inclusion(2, size, &tree_leaves[2], path, count + 1, &higher));

    assert_true(merkle_prove_consistency(3, size, &source, path, &count));
    path[count] = more;
    struct hash from = tree_root(0, 3);
    struct hash higher_from = hash_node(&more, &from);
    assert_false(
        merkle_verify_consistency(3, size, path, count + 1, &higher_from, &higher));
}

static void the_empty_tree_is_consistent_by_its_own_root_only(void **state)
{
    (void)state;
    struct hash empty = hash_empty();
    struct hash root = tree_root(0, 5);
    assert_true(merkle_verify_consistency(0, 0, NULL, 0, &empty, &empty));
    assert_true(merkle_verify_consistency(0, 5, NULL, 0, &empty, &root));
    assert_false(merkle_verify_consistency(0, 5, NULL, 0, &root, &root));
    assert_false(merkle_verify_consistency(0, 0, NULL, 0, &empty, &root));
    assert_false(merkle_verify_consistency(0, 5, &root, 1, &empty, &root));
    assert_false(merkle_verify_consistency(5, 5, &root, 1, &root, &root));
    assert_true(merkle_verify_consistency(5, 5, NULL, 0, &root, &root));
}

static bool failing_node(void *context, unsigned level, uint64_t n, struct hash *out)
{
    (void)level;
    (void)n;
    unsigned *left = context;
    memset(out, 0, sizeof *out);
    return (*left)-- > 0;
}

static void a_source_that_fails_fails_the_proof(void **state)
{
    (void)state;
    struct hash path[MERKLE_PATH_MAX];
    size_t count;
    for (unsigned after = 0; after < 3; after++) {
        unsigned left = after;
        struct merkle_source source = {.node = failing_node, .context = &left};
        assert_false(merkle_prove_inclusion(3, 100, &source, path, &count));
        left = after;
        assert_false(merkle_prove_consistency(37, 100, &source, path, &count));
    }
}

static void proofs_outside_the_tree_are_refused(void **state)
{
    (void)state;
    struct hash path[MERKLE_PATH_MAX];
    size_t count;
    uint64_t size = 4;
    struct merkle_source source = tree_source(&size);
    assert_false(merkle_prove_inclusion(4, 4, &source, path, &count));
    assert_false(merkle_prove_inclusion(0, 0, &source, path, &count));
    assert_false(merkle_prove_inclusion(0, MERKLE_SIZE_MAX + 1, &source, path, &count));
    assert_false(merkle_prove_consistency(5, 4, &source, path, &count));
    assert_false(merkle_prove_consistency(1, MERKLE_SIZE_MAX + 1, &source, path, &count));
}

/* Every node a fixed function of its place: only the shape of huge trees is tested. */
static bool any_node(void *context, unsigned level, uint64_t n, struct hash *out)
{
    const uint64_t *size = context;
    assert_true(level < MERKLE_LEVELS_MAX && n < *size >> level);
    memset(out, 0, sizeof *out);
    out->b[0] = (uint8_t)level;
    memcpy(out->b + 8, &n, sizeof n);
    return true;
}

static void the_largest_trees_have_proofs_of_the_right_length(void **state)
{
    (void)state;
    struct hash path[MERKLE_PATH_MAX];
    size_t count;
    uint64_t size = MERKLE_SIZE_MAX;
    struct merkle_source source = {.node = any_node, .context = &size};
    assert_true(merkle_prove_inclusion(0, size, &source, path, &count));
    assert_int_equal(count, 48);
    assert_true(merkle_prove_inclusion(size - 1, size, &source, path, &count));
    assert_int_equal(count, 47);
    assert_true(merkle_prove_consistency(1, size, &source, path, &count));
    assert_int_equal(count, 48);
    assert_true(merkle_prove_consistency(size - 1, size, &source, path, &count));
    assert_true(count <= MERKLE_PATH_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_tree_has_its_published_roots),
        cmocka_unit_test(proofs_over_the_reference_tree_verify),
        cmocka_unit_test(published_inclusion_proofs_have_their_verdicts),
        cmocka_unit_test(published_consistency_proofs_have_their_verdicts),
        cmocka_unit_test(frontier_roots_equal_the_plain_tree),
        cmocka_unit_test(a_frontier_is_restored_from_its_edges_and_no_others),
        cmocka_unit_test(a_full_frontier_refuses_and_is_unchanged),
        cmocka_unit_test(inclusion_proofs_of_all_small_trees_are_right),
        cmocka_unit_test(consistency_proofs_of_all_small_trees_are_right),
        cmocka_unit_test(a_path_that_goes_on_past_the_root_is_refused),
        cmocka_unit_test(the_empty_tree_is_consistent_by_its_own_root_only),
        cmocka_unit_test(a_source_that_fails_fails_the_proof),
        cmocka_unit_test(proofs_outside_the_tree_are_refused),
        cmocka_unit_test(the_largest_trees_have_proofs_of_the_right_length),
    };
    return cmocka_run_group_tests_name("merkle", tests, tree_fill, NULL);
}
