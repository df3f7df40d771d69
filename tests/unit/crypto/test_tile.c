#include "support.h"

#include <string.h>

#include "crypto/merkle.h"
#include "crypto/note.h"
#include "tree.h"

static void tiles_of_256_leaves_are_one_full_and_one_above(void **state)
{
    (void)state;
    assert_int_equal(tile_width(256, 0, 0), 256);
    assert_int_equal(tile_width(256, 0, 1), 0);
    assert_int_equal(tile_width(256, 1, 0), 1);
    assert_int_equal(tile_width(256, 2, 0), 0);
    assert_int_equal(tile_width(0, 0, 0), 0);
    assert_int_equal(tile_width(255, 0, 0), 255);
    assert_int_equal(tile_width(255, 1, 0), 0);
}

static void tiles_of_70000_leaves_are_those_of_the_check_values(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 273; n++)
        assert_int_equal(tile_width(70000, 0, n), 256);
    assert_int_equal(tile_width(70000, 0, 273), 112);
    assert_int_equal(tile_width(70000, 0, 274), 0);
    assert_int_equal(tile_width(70000, 1, 0), 256);
    assert_int_equal(tile_width(70000, 1, 1), 17);
    assert_int_equal(tile_width(70000, 2, 0), 1);
    assert_int_equal(tile_width(70000, 3, 0), 0);
    assert_int_equal(tile_width(UINT64_MAX, 7, 0), 255);
    assert_int_equal(tile_width(UINT64_MAX, 8, 0), 0);
    assert_int_equal(tile_width(UINT64_MAX, 63, 0), 0);
}

static const struct {
    int level;
    uint64_t n;
    unsigned width;
    const char *path;
} paths[] = {
    {0, 5, 256, "tile/0/005"},
    {0, 1234067, 256, "tile/0/x001/x234/067"},
    {0, 273, 112, "tile/0/273.p/112"},
    {1, 1, 17, "tile/1/001.p/17"},
    {2, 0, 1, "tile/2/000.p/1"},
    {63, 1000, 255, "tile/63/x001/000.p/255"},
    {-1, 0, 256, "tile/entries/000"},
    {-1, 999999, 3, "tile/entries/x999/999.p/3"},
    {-1, UINT64_MAX, 255, "tile/entries/x018/x446/x744/x073/x709/x551/615.p/255"},
};

static void paths_are_written_and_read_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        char text[80];
        size_t length =
            tile_path(text, sizeof text, paths[i].level, paths[i].n, paths[i].width);
        assert_int_equal(length, strlen(paths[i].path));
        assert_string_equal(text, paths[i].path);
        assert_int_equal(
            tile_path(text, length, paths[i].level, paths[i].n, paths[i].width), 0);
        assert_int_equal(
            tile_path(text, length + 1, paths[i].level, paths[i].n, paths[i].width),
            length);
        int level;
        uint64_t n;
        unsigned width;
        assert_true(tile_path_parse(paths[i].path, length, &level, &n, &width));
        assert_int_equal(level, paths[i].level);
        assert_true(n == paths[i].n);
        assert_int_equal(width, paths[i].width);
    }
}

static void paths_that_would_not_be_written_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile/0/5",
        "tile/0/05",
        "tile/0/0005",
        "tile/00/005",
        "tile/64/005",
        "tile/-1/005",
        "tile/0/x000/005",
        "tile/0/001/234",
        "tile/0/x001",
        "tile/0/x1/234",
        "tile/0/x001/x234",
        "tile/0/x0001/234",
        "tile/0/005.p/0",
        "tile/0/005.p/256",
        "tile/0/005.p/01",
        "tile/0/005.p/",
        "tile/0/005.p",
        "tile/0/005/",
        "tile/0/005.p/1/",
        "tile/entries/5",
        "tile/entries",
        "tile/data/000",
        "/tile/0/005",
        "tile/0/ 05",
        "tile/0/+05",
        "tile/0/005.p/+1",
        "tile//005",
        "tile/0//005",
        "tile/entries/x018/x446/x744/x073/x709/x551/616",
        "tile/entries/x999/x999/x999/x999/x999/x999/999",
        "tile/18446744073709551616/000",
        "tile/0/000.p/18446744073709551617",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        int level;
        uint64_t n;
        unsigned width;
        assert_false(tile_path_parse(bad[i], strlen(bad[i]), &level, &n, &width));
    }
    char text[80];
    assert_int_equal(tile_path(text, sizeof text, -2, 0, 256), 0);
    assert_int_equal(tile_path(text, sizeof text, 64, 0, 256), 0);
    assert_int_equal(tile_path(text, sizeof text, 0, 0, 0), 0);
    assert_int_equal(tile_path(text, sizeof text, 0, 0, 257), 0);
}

static void a_tile_has_the_root_of_the_tree_of_its_hashes(void **state)
{
    (void)state;
    for (uint64_t count = 1; count <= TILE_HASHES; count++) {
        struct hash root = tile_root(tree_leaves, count);
        struct hash wanted = tree_root(0, count);
        assert_true(hash_equal(&root, &wanted));
    }
}

/* A checkpoint of the published log and the tile it implies. */
static void check_published(unsigned size, const struct vkey *v)
{
    char name[64];
    snprintf(name, sizeof name, "tessera-log/checkpoint.%u", size);
    char *path = shared_path(name);
    assert_non_null(path);
    size_t length;
    char *data = file_read(path, &length);
    free(path);
    struct checkpoint c;
    assert_true(checkpoint_open(&c, data, length, v));
    assert_int_equal(c.size, size);
    free(data);
    if (size == 0)
        return;

    char tile[64];
    size_t used = (size_t)snprintf(tile, sizeof tile, "tessera-log/");
    assert_true(tile_path(tile + used, sizeof tile - used, 0, 0, tile_width(size, 0, 0)) >
                0);
    path = shared_path(tile);
    assert_non_null(path);
    data = file_read(path, &length);
    free(path);
    assert_int_equal(length, size * HASH_BYTES);
    struct hash hashes[TILE_HASHES];
    memcpy(hashes, data, length);
    free(data);
    struct hash root = tile_root(hashes, size);
    assert_true(hash_equal(&root, &c.root));
}

static void published_tiles_hash_to_their_signed_roots(void **state)
{
    (void)state;
    static const char key[] =
        "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx";
    char *there = shared_path("tessera-log/checkpoint");
    if (there == NULL)
        skip();
    free(there);
    struct vkey v;
    assert_true(vkey_parse(&v, key, strlen(key)));
    for (unsigned size = 0; size <= 15; size++)
        check_published(size, &v);
}

static void published_entries_hash_to_their_tile(void **state)
{
    (void)state;
    char *path = shared_path("tessera-log/tile/entries/000.p/15");
    if (path == NULL)
        skip();
    size_t bundle_size;
    char *bundle = file_read(path, &bundle_size);
    free(path);
    path = shared_path("tessera-log/tile/0/000.p/15");
    size_t tile_size;
    char *tile = file_read(path, &tile_size);
    free(path);
    size_t at = 0;
    for (size_t i = 0; i < 15; i++) {
        size_t length = (size_t)(uint8_t)bundle[at] << 8 | (uint8_t)bundle[at + 1];
        struct hash leaf = hash_leaf(bundle + at + 2, length);
        assert_memory_equal(leaf.b, tile + i * HASH_BYTES, HASH_BYTES);
        at += 2 + length;
    }
    assert_int_equal(at, bundle_size);
    free(bundle);
    free(tile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiles_of_256_leaves_are_one_full_and_one_above),
        cmocka_unit_test(tiles_of_70000_leaves_are_those_of_the_check_values),
        cmocka_unit_test(paths_are_written_and_read_back),
        cmocka_unit_test(paths_that_would_not_be_written_are_refused),
        cmocka_unit_test(a_tile_has_the_root_of_the_tree_of_its_hashes),
        cmocka_unit_test(published_tiles_hash_to_their_signed_roots),
        cmocka_unit_test(published_entries_hash_to_their_tile),
    };
    return cmocka_run_group_tests_name("tile", tests, tree_fill, NULL);
}
