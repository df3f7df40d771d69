/* Creating, opening, and refusing to. */
#include <stdlib.h>
#include <string.h>

#include "tests/conformance/suite.h"

static void a_ledger_keeps_its_identity(void **state)
{
    struct suite *s = *state;
    struct store_identity want;
    suite_identity(&want);
    for (int i = 0; i < 2; i++) {
        const struct store_identity *got = s->store->ops->identity(s->store);
        assert_memory_equal(&got->federation, &want.federation, HASH_BYTES);
        assert_string_equal(got->hub, want.hub);
        assert_int_equal(got->slots, want.slots);
        suite_reopen(s);
    }
}

static void a_new_ledger_is_empty(void **state)
{
    struct suite *s = *state;
    suite_check_all(s);
    suite_reopen(s);
    suite_check_all(s);
    struct hash any = hash_empty(), out[TILE_HASHES];
    uint32_t slot = 0;
    uint64_t index = 0;
    assert_int_equal(s->reader->ops->find(s->reader, &any, &slot, &index), ERR_NOT_FOUND);
    assert_int_equal(s->reader->ops->node(s->reader, 0, 0, 0, out), ERR_RANGE);
    assert_int_equal(s->reader->ops->tile(s->reader, 0, 0, 0, 1, out), ERR_RANGE);
}

static void creating_again_is_refused_and_changes_nothing(void **state)
{
    struct suite *s = *state;
    if (!s->durable)
        skip();
    assert_int_equal(suite_append(s, 3, 10), STORE_COMMITTED);
    struct store_identity id;
    struct store_why why;
    struct store *other = NULL;
    suite_identity(&id);
    strcpy(id.hub, "other");
    assert_int_equal(store_create(s->uri, &id, &other, &why), ERR_EXISTS);
    assert_null(other);
    assert_true(strlen(why.text) > 10);
    suite_reopen(s);
    suite_check_all(s);
}

static void opening_what_is_missing_creates_nothing(void **state)
{
    struct suite *s = *state;
    struct store_why why;
    struct store *other = NULL;
    char uri[600];
    strcpy(uri, s->uri);
    if (s->durable)
        strcat(uri, ".absent");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(store_open(uri, &other, &why), ERR_MISSING);
        assert_null(other);
        assert_true(strlen(why.text) > 10);
    }
}

static void an_unknown_scheme_is_refused(void **state)
{
    (void)state;
    struct store_identity id;
    struct store_why why;
    struct store *other = NULL;
    suite_identity(&id);
    static const char *const uris[] = {"",       "nothing",  "redis:x", "memory",
                                       "sqlite", "memory:x", "sqlite:", ":memory:"};
    for (size_t i = 0; i < sizeof uris / sizeof *uris; i++) {
        assert_int_equal(store_create(uris[i], &id, &other, &why), ERR_USAGE);
        assert_null(other);
        assert_true(strlen(why.text) > 0);
        assert_true(store_open(uris[i], &other, NULL) != ERR_OK);
    }
}

static void an_identity_that_cannot_be_is_refused(void **state)
{
    (void)state;
    struct store_identity id;
    struct store *other = NULL;
    suite_identity(&id);
    id.slots = 3;
    assert_int_equal(store_create("memory:", &id, &other, NULL), ERR_USAGE);
    id.slots = 512;
    assert_int_equal(store_create("memory:", &id, &other, NULL), ERR_USAGE);
    id.slots = 0;
    assert_int_equal(store_create("memory:", &id, &other, NULL), ERR_USAGE);
    id.slots = 16;
    id.hub[0] = '\0';
    assert_int_equal(store_create("memory:", &id, &other, NULL), ERR_USAGE);
}

static void free_space_is_told(void **state)
{
    struct suite *s = *state;
    assert_true(s->store->ops->free_bytes(s->store) > 0);
}

int suite_open_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_ledger_keeps_its_identity, suite_setup,
                                        suite_teardown),
        cmocka_unit_test_setup_teardown(a_new_ledger_is_empty, suite_setup,
                                        suite_teardown),
        cmocka_unit_test_setup_teardown(creating_again_is_refused_and_changes_nothing,
                                        suite_setup, suite_teardown),
        cmocka_unit_test_setup_teardown(opening_what_is_missing_creates_nothing,
                                        suite_setup, suite_teardown),
        cmocka_unit_test_setup_teardown(free_space_is_told, suite_setup, suite_teardown),
        cmocka_unit_test(an_unknown_scheme_is_refused),
        cmocka_unit_test(an_identity_that_cannot_be_is_refused),
    };
    return cmocka_run_group_tests_name("open", tests, NULL, NULL);
}
