#include "relay/highwater.h"

#include <stdio.h>
#include <unistd.h>

#include "tests/unit/relay/test.h"

static char dir[64];

static int setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/stoa-highwater-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    char path[128];
    (void)state;
    snprintf(path, sizeof(path), "%s/" HIGHWATER_FILE, dir);
    (void)unlink(path);
    return rmdir(dir);
}

static void marks_survive_a_restart(void **state)
{
    (void)state;
    struct highwater h;
    struct hash root = {{1, 2, 3}};
    highwater_open(&h, dir, 4);
    assert_int_equal(highwater_load(&h), ERR_OK);
    assert_int_equal(highwater_get(&h, 2).size, 0);
    highwater_set(&h, 2, 77, &root);
    assert_int_equal(highwater_save(&h), ERR_OK);
    highwater_close(&h);
    highwater_open(&h, dir, 4);
    assert_int_equal(highwater_load(&h), ERR_OK);
    struct recover_mark m = highwater_get(&h, 2);
    assert_int_equal(m.size, 77);
    assert_true(hash_equal(&m.root, &root));
    assert_int_equal(highwater_get(&h, 3).size, 0);
    highwater_close(&h);
}

/* Whatever byte is changed, cut or added, it is noticed. */
static void damage_is_found(void **state)
{
    (void)state;
    struct highwater h;
    struct hash root = {{5}};
    char path[128], text[1000];
    highwater_open(&h, dir, 2);
    highwater_set(&h, 0, 1234, &root);
    assert_int_equal(highwater_save(&h), ERR_OK);
    highwater_close(&h);
    snprintf(path, sizeof(path), "%s/" HIGHWATER_FILE, dir);
    FILE *f = fopen(path, "rb");
    size_t size = fread(text, 1, sizeof(text), f);
    fclose(f);
    for (size_t i = 0; i <= size; i++) {
        f = fopen(path, "wb");
        char kept = text[i];
        text[i] = (char)(i < size ? kept ^ 1 : 'x');
        fwrite(text, 1, i < size ? size : size + 1, f);
        text[i] = kept;
        fclose(f);
        highwater_open(&h, dir, 2);
        assert_int_equal(highwater_load(&h), ERR_CORRUPT);
        highwater_close(&h);
        f = fopen(path, "wb");
        fwrite(text, 1, i < size ? i : size, f);
        fclose(f);
        highwater_open(&h, dir, 2);
        assert_int_equal(highwater_load(&h), i < size ? ERR_CORRUPT : ERR_OK);
        highwater_close(&h);
    }
    highwater_open(&h, dir, 4); /* of another number of slots */
    assert_int_equal(highwater_load(&h), ERR_CORRUPT);
    highwater_close(&h);
}

/* A good checksum over something that nobody writes: a zero within, numbers in other words. */
static void only_what_is_written_is_taken(void **state)
{
    (void)state;
    static const char root[] = "0000000000000000000000000000000000000000000000000000000000000000";
    static const struct {
        const char *head, *tail;
        size_t tail_size;
    } lines[] = {{"0 7 ", "\0\n", 2}, {"0 +7 ", "\n", 1}, {"00 7 ", "\n", 1},
                 {" 0 7 ", "\n", 1},   {"0 -1 ", "\n", 1}, {"0 7 ", " \n", 2}};
    char path[128], text[1000], hex[2 * HASH_BYTES + 1];
    snprintf(path, sizeof(path), "%s/" HIGHWATER_FILE, dir);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct highwater h;
        struct hash mark = {{3}};
        int n = snprintf(text, sizeof(text), "stoa-highwater-1 1\n%s%s", lines[i].head, root);
        memcpy(text + n, lines[i].tail, lines[i].tail_size);
        n += (int)lines[i].tail_size;
        struct hash sum = hash_sha256(text, (size_t)n);
        hex_encode(hex, sum.b, HASH_BYTES);
        n += snprintf(text + n, sizeof(text) - (size_t)n, "sha256 %s\n", hex);
        FILE *f = fopen(path, "wb");
        fwrite(text, 1, (size_t)n, f);
        fclose(f);
        highwater_open(&h, dir, 1);
        highwater_set(&h, 0, 5, &mark);
        assert_int_equal(highwater_load(&h), ERR_CORRUPT);
        assert_int_equal(highwater_get(&h, 0).size, 5);
        highwater_close(&h);
    }
}

static void in_memory_nothing_is_written(void **state)
{
    (void)state;
    struct highwater h;
    struct hash root = {{5}};
    highwater_open(&h, NULL, 2);
    highwater_set(&h, 1, 9, &root);
    assert_int_equal(highwater_save(&h), ERR_OK);
    assert_int_equal(highwater_load(&h), ERR_OK);
    assert_int_equal(highwater_get(&h, 1).size, 9);
    highwater_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(marks_survive_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(only_what_is_written_is_taken, setup, teardown),
        cmocka_unit_test(in_memory_nothing_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
