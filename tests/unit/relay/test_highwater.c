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
        cmocka_unit_test(in_memory_nothing_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
