#include "support.h"

#include <pthread.h>
#include <string.h>

#include "crypto/context.h"

#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void assert_hash(struct hash found, struct hash wanted)
{
    assert_memory_equal(found.b, wanted.b, HASH_BYTES);
}

static void sha256_gives_the_published_digest(void **state)
{
    (void)state;
    assert_hash(hash_sha256("abc", 3), hex_hash(ABC));
    assert_hash(hash_sha256(NULL, 0), hash_empty());
}

static void parts_hash_as_if_back_to_back(void **state)
{
    (void)state;
    const struct hash_part parts[] = {{"a", 1}, {NULL, 0}, {"bc", 2}};
    assert_hash(hash_parts(parts, 3), hex_hash(ABC));
    assert_hash(hash_parts(NULL, 0), hash_empty());
}

static void context_is_parted_from_the_bytes_by_a_zero(void **state)
{
    (void)state;
    struct hash whole = hash_sha256("stoa/entry/v1\0bytes", 13 + 1 + 5);
    assert_hash(hash_context(CTX_ENTRY, "bytes", 5), whole);
    assert_hash(hash_context2(CTX_ENTRY, "by", 2, "tes", 3), whole);
    assert_hash(hash_context2(CTX_ENTRY, "bytes", 5, NULL, 0), whole);
}

static void contexts_keep_equal_bytes_apart(void **state)
{
    (void)state;
    struct hash a = hash_context(CTX_ENTRY, "x", 1);
    struct hash b = hash_context(CTX_DEVICE, "x", 1);
    assert_false(hash_equal(&a, &b));
}

static void leaves_of_every_length_hash_with_a_leading_zero(void **state)
{
    (void)state;
    uint8_t data[400] = {0};
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    data[0] = 0;
    for (size_t size = 0; size < sizeof data - 1; size++)
        assert_hash(hash_leaf(data + 1, size), hash_sha256(data, size + 1));
}

static void a_node_hashes_one_left_and_right(void **state)
{
    (void)state;
    struct hash left = hash_sha256("l", 1);
    struct hash right = hash_sha256("r", 1);
    uint8_t whole[65] = {1};
    memcpy(whole + 1, left.b, 32);
    memcpy(whole + 33, right.b, 32);
    assert_hash(hash_node(&left, &right), hash_sha256(whole, sizeof whole));
}

static void the_reference_tree_has_its_published_leaf_hashes(void **state)
{
    (void)state;
    FILE *f = own_vectors("rfc6962-tree.txt");
    struct record r;
    size_t leaves = 0;
    while (record_next(f, &r)) {
        if (strcmp(r.field[0], "leaf") != 0)
            continue;
        size_t size;
        uint8_t *data = hex_bytes(r.field[2], &size);
        assert_hash(hash_leaf(data, size), hex_hash(r.field[3]));
        free(data);
        leaves++;
    }
    fclose(f);
    assert_int_equal(leaves, 8);
}

static void equality_zero_and_order_are_those_of_the_bytes(void **state)
{
    (void)state;
    struct hash a = {{0}};
    struct hash b = {{0}};
    assert_true(hash_is_zero(&a));
    assert_true(hash_equal(&a, &b));
    assert_int_equal(hash_compare(&a, &b), 0);
    b.b[31] = 1;
    assert_false(hash_is_zero(&b));
    assert_false(hash_equal(&a, &b));
    assert_true(hash_compare(&a, &b) < 0);
    a.b[0] = 0x80;
    assert_true(hash_compare(&a, &b) > 0);
}

static void *chain(void *out)
{
    struct hash h = hash_empty();
    for (unsigned i = 0; i < 2000; i++)
        h = hash_node(&h, &h);
    *(struct hash *)out = h;
    return NULL;
}

static void threads_that_come_and_go_hash_alike(void **state)
{
    (void)state;
    struct hash wanted;
    chain(&wanted);
    for (unsigned round = 0; round < 8; round++) {
        pthread_t threads[4];
        struct hash found[4];
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, chain, &found[i]), 0);
        for (size_t i = 0; i < 4; i++) {
            pthread_join(threads[i], NULL);
            assert_hash(found[i], wanted);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_gives_the_published_digest),
        cmocka_unit_test(parts_hash_as_if_back_to_back),
        cmocka_unit_test(context_is_parted_from_the_bytes_by_a_zero),
        cmocka_unit_test(contexts_keep_equal_bytes_apart),
        cmocka_unit_test(leaves_of_every_length_hash_with_a_leading_zero),
        cmocka_unit_test(a_node_hashes_one_left_and_right),
        cmocka_unit_test(the_reference_tree_has_its_published_leaf_hashes),
        cmocka_unit_test(equality_zero_and_order_are_those_of_the_bytes),
        cmocka_unit_test(threads_that_come_and_go_hash_alike),
    };
    return cmocka_run_group_tests_name("hash", tests, start_crypto, NULL);
}
