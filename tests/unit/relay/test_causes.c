#include "relay/causes.h"

#include "tests/unit/relay/test.h"

#define MANY 20000u

static struct hash id_of(uint32_t n)
{
    struct hash h = {{0}};
    memcpy(h.b, &n, sizeof(n));
    return h;
}

static void causes_are_found_until_they_are_settled(void **state)
{
    (void)state;
    struct causes c;
    assert_int_equal(causes_open(&c, 77), ERR_OK);
    for (uint32_t i = 0; i < MANY; i++) {
        struct hash id = id_of(i);
        causes_add(&c, &id)->left = i;
    }
    struct hash again = id_of(5);
    assert_int_equal(causes_add(&c, &again)->left, 5);
    assert_int_equal(c.count, MANY);
    for (uint32_t i = 0; i < MANY; i += 2) {
        struct hash id = id_of(i);
        causes_remove(&c, &id);
        causes_remove(&c, &id);
        assert_null(causes_find(&c, &id));
    }
    for (uint32_t i = 1; i < MANY; i += 2) {
        struct hash id = id_of(i);
        assert_int_equal(causes_find(&c, &id)->left, i);
    }
    assert_int_equal(c.count, MANY / 2);
    causes_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(causes_are_found_until_they_are_settled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
