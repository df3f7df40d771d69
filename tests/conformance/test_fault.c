/* Every effect, failed or failed but happened: the answer, and what is there afterwards.
 */
#include <string.h>

#include "tests/conformance/suite.h"

struct plan {
    const char *effect;
    enum store_fault_verdict verdict;
    unsigned after; /* that many times it goes well first */
    unsigned hits;
};

static enum store_fault_verdict at(void *context, const char *effect)
{
    struct plan *p = context;
    if (strcmp(effect, p->effect) != 0)
        return FAULT_NONE;
    return p->hits++ == p->after ? p->verdict : FAULT_NONE;
}

static void plan(struct suite *s, struct plan *p)
{
    struct store_fault f = {at, p};
    store_set_fault(s->store, &f);
}

static enum store_outcome promised(const struct plan *p)
{
    if (p->verdict == FAULT_IO)
        return STORE_BROKEN;
    if (p->verdict == FAULT_FULL && strcmp(p->effect, "append.answer") != 0)
        return STORE_FULL;
    return STORE_UNKNOWN;
}

/* The contract says when an append that was not answered has happened all the same. */
static bool happened(const struct plan *p)
{
    if (strcmp(p->effect, "append.answer") == 0)
        return true;
    return strcmp(p->effect, "append.commit") == 0 && p->verdict == FAULT_FAIL_HAPPENED;
}

/* Two slots commit, one is lost; the fault concerns the two and never the third. */
static void try_append(struct plan p)
{
    void *state = NULL;
    suite_setup(&state);
    struct suite *s = state;
    static struct feed_append f[3];
    struct store_append a[3];
    enum store_outcome outcome[3];
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(suite_append(s, i, 20), STORE_COMMITTED);
    for (uint32_t i = 0; i < 3; i++)
        suite_make(s, &f[i], i, 30);
    f[0].a.epoch = 9;
    for (size_t i = 0; i < 3; i++)
        a[i] = f[i].a;
    plan(s, &p);
    s->store->ops->append(s->store, a, 3, outcome);
    assert_int_equal(outcome[1], promised(&p));
    assert_int_equal(outcome[2], promised(&p));
    assert_true(outcome[0] == STORE_LOST || outcome[0] == promised(&p));
    store_set_fault(s->store, NULL);
    if (happened(&p))
        for (size_t i = 1; i < 3; i++)
            suite_commit(s, &f[i]);
    if (p.verdict == FAULT_IO) {
        /* Broken: everything is refused from now on. */
        uint64_t epoch = 0;
        struct store_slot slot;
        assert_int_equal(suite_append(s, 5, 1), STORE_BROKEN);
        assert_int_equal(s->store->ops->claim(s->store, 5, &epoch), ERR_IO);
        assert_int_equal(s->store->ops->slot(s->store, 5, &slot), ERR_IO);
        assert_int_equal(s->reader->ops->slot(s->reader, 5, &slot), ERR_IO);
        assert_int_equal(s->store->ops->maintain(s->store), ERR_IO);
        if (s->durable)
            suite_reopen(s);
    } else if (p.verdict == FAULT_FULL && !happened(&p)) {
        /* The same append may be tried again. */
        s->store->ops->append(s->store, a + 1, 2, outcome);
        assert_int_equal(outcome[0], STORE_COMMITTED);
        assert_int_equal(outcome[1], STORE_COMMITTED);
        suite_commit(s, &f[1]);
        suite_commit(s, &f[2]);
    }
    if (p.verdict != FAULT_IO || s->durable) {
        for (int i = 0; i < 2; i++) {
            suite_check_all(s);
            suite_check_lookups(s, 1, 1);
            suite_check_lookups(s, 0, 1);
            assert_int_equal(suite_append(s, 1, 3), STORE_COMMITTED);
            suite_reopen(s);
        }
        suite_check_all(s);
        suite_check_lookups(s, 1, 1);
    }
    for (size_t i = 0; i < 3; i++)
        feed_close(&f[i]);
    suite_teardown(&state);
}

static void every_effect_of_an_append_fails_as_promised(void **state)
{
    (void)state;
    static const char *const effects[] = {"append.begin", "append.check", "append.write",
                                          "append.commit"};
    for (size_t i = 0; i < sizeof effects / sizeof *effects; i++)
        for (int v = FAULT_FAIL; v <= FAULT_IO; v++)
            try_append((struct plan){effects[i], (enum store_fault_verdict)v, 0, 0});
    try_append((struct plan){"append.check", FAULT_FAIL, 2, 0});
    try_append((struct plan){"append.write", FAULT_FULL, 1, 0});
    try_append((struct plan){"append.write", FAULT_IO, 1, 0});
    try_append((struct plan){"append.answer", FAULT_FAIL, 0, 0});
    try_append((struct plan){"append.answer", FAULT_FAIL_HAPPENED, 0, 0});
    try_append((struct plan){"append.answer", FAULT_FULL, 0, 0});
    try_append((struct plan){"append.answer", FAULT_IO, 0, 0});
}

static void a_full_disk_refuses_until_there_is_room(void **state)
{
    struct suite *s = *state;
    struct feed_append f;
    enum store_outcome outcome = STORE_COMMITTED;
    suite_make(s, &f, 4, 100);
    for (int i = 0; i < 50; i++) {
        struct plan p = {i % 2 ? "append.commit" : "append.write", FAULT_FULL, 0, 0};
        plan(s, &p);
        s->store->ops->append(s->store, &f.a, 1, &outcome);
        assert_int_equal(outcome, STORE_FULL);
        suite_check_slot(s, 4); /* reads go on */
    }
    store_set_fault(s->store, NULL);
    s->store->ops->append(s->store, &f.a, 1, &outcome);
    assert_int_equal(outcome, STORE_COMMITTED);
    suite_commit(s, &f);
    feed_close(&f);
    suite_check_slot(s, 4);
    suite_check_lookups(s, 4, 1);
}

static void claims_fail_as_promised(void **state)
{
    struct suite *s = *state;
    static const enum err want[] = {ERR_OK, ERR_STORE, ERR_UNKNOWN, ERR_STORE_FULL};
    uint64_t epoch = 0, expected = 1;
    for (int v = FAULT_FAIL; v <= FAULT_FULL; v++) {
        struct plan p = {"claim", (enum store_fault_verdict)v, 0, 0};
        plan(s, &p);
        assert_int_equal(s->store->ops->claim(s->store, 7, &epoch), want[v]);
        expected += v == FAULT_FAIL_HAPPENED;
        store_set_fault(s->store, NULL);
        suite_reopen(s);
        struct store_slot slot;
        assert_int_equal(s->store->ops->slot(s->store, 7, &slot), ERR_OK);
        assert_int_equal(slot.epoch, expected);
    }
}

static bool any_part(void *context, struct bytes part)
{
    *(size_t *)context += part.size;
    return true;
}

static void snapshots_and_attachments_fail_as_promised(void **state)
{
    struct suite *s = *state;
    static const enum err want[] = {ERR_OK, ERR_STORE, ERR_UNKNOWN, ERR_STORE_FULL};
    struct bytes part = bytes_of("snapshot", 8);
    for (int v = FAULT_FAIL; v <= FAULT_FULL; v++) {
        bool done = v == FAULT_FAIL_HAPPENED;
        struct hash id = hash_sha256(&v, sizeof v);
        struct buf got = {0};
        tree_size size = 0;
        size_t seen = 0;
        struct plan p = {"snapshot", (enum store_fault_verdict)v, 0, 0};
        plan(s, &p);
        assert_int_equal(s->store->ops->snapshot_save(s->store, (uint32_t)v, 5, &part, 1),
                         want[v]);
        struct plan q = {"sealed", (enum store_fault_verdict)v, 0, 0};
        plan(s, &q);
        assert_int_equal(s->store->ops->sealed_put(s->store, &id, part), want[v]);
        store_set_fault(s->store, NULL);
        suite_reopen(s);
        assert_int_equal(
            s->store->ops->snapshot_load(s->store, (uint32_t)v, &size, any_part, &seen),
            done ? ERR_OK : ERR_NOT_FOUND);
        assert_int_equal(s->reader->ops->sealed(s->reader, &id, &got),
                         done ? ERR_OK : ERR_NOT_FOUND);
        if (!done)
            assert_int_equal(s->store->ops->sealed_put(s->store, &id, part), ERR_OK);
        struct plan r = {"sealed", (enum store_fault_verdict)v, 0, 0};
        plan(s, &r);
        assert_int_equal(s->store->ops->sealed_erase(s->store, &id), want[v]);
        store_set_fault(s->store, NULL);
        assert_int_equal(s->reader->ops->sealed(s->reader, &id, &got),
                         done ? ERR_NOT_FOUND : ERR_OK);
        buf_close(&got);
    }
}

int suite_fault_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_effect_of_an_append_fails_as_promised),
        cmocka_unit_test_setup_teardown(a_full_disk_refuses_until_there_is_room,
                                        suite_setup, suite_teardown),
        cmocka_unit_test_setup_teardown(claims_fail_as_promised, suite_setup,
                                        suite_teardown),
        cmocka_unit_test_setup_teardown(snapshots_and_attachments_fail_as_promised,
                                        suite_setup, suite_teardown),
    };
    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
