/* Outbox, snapshots, sealed attachments. */
#include <stdlib.h>
#include <string.h>

#include "tests/conformance/suite.h"

struct items {
    const struct model_slot *m;
    size_t next;
    uint64_t low;
};

static bool item_visit(void *context, const struct channel_item *i)
{
    struct items *x = context;
    if (i->source_index < x->low)
        return true; /* settled, kept for a while: allowed */
    while (x->m->items[x->next].source_index < x->low)
        x->next += 1;
    const struct channel_item *want = &x->m->items[x->next++];
    assert_memory_equal(&i->cause, &want->cause, HASH_BYTES);
    assert_memory_equal(&i->payer, &want->payer, HASH_BYTES);
    assert_memory_equal(&i->payee, &want->payee, HASH_BYTES);
    assert_int_equal(i->payee_index, want->payee_index);
    assert_int_equal(i->amount, want->amount);
    assert_int_equal(i->source_slot, want->source_slot);
    assert_int_equal(i->destination_slot, want->destination_slot);
    assert_int_equal(i->source_index, want->source_index);
    assert_int_equal(i->source_lamport, want->source_lamport);
    assert_int_equal(i->out_seq, want->out_seq);
    assert_int_equal(i->is_return, want->is_return);
    return true;
}

static bool item_count(void *context, const struct channel_item *i)
{
    (void)i;
    *(size_t *)context += 1;
    return true;
}

static size_t check_outbox(struct suite *s, uint32_t slot, uint64_t low)
{
    struct items x = {&s->slot[slot], 0, low};
    size_t count = 0;
    assert_int_equal(s->store->ops->outbox(s->store, slot, item_visit, &x), ERR_OK);
    while (x.next < s->slot[slot].item_count &&
           s->slot[slot].items[x.next].source_index < low)
        x.next += 1;
    assert_int_equal(x.next, s->slot[slot].item_count);
    assert_int_equal(s->store->ops->outbox(s->store, slot, item_count, &count), ERR_OK);
    return count;
}

static void outbox_items_come_in_log_order_until_forgotten(void **state)
{
    struct suite *s = *state;
    for (int i = 0; i < 30; i++)
        for (uint32_t slot = 3; slot < 6; slot++)
            assert_int_equal(suite_append(s, slot, 17), STORE_COMMITTED);
    for (uint32_t slot = 3; slot < 6; slot++)
        assert_int_equal(check_outbox(s, slot, 0), s->slot[slot].item_count);
    assert_int_equal(suite_append_items(s, 4, 2, 200), STORE_COMMITTED);
    size_t left = check_outbox(s, 4, 200);
    assert_true(left <= s->slot[4].item_count - 2 * (200 - 17) / 3);
    assert_int_equal(check_outbox(s, 3, 0), s->slot[3].item_count);
    assert_int_equal(check_outbox(s, 5, 0), s->slot[5].item_count);
    suite_reopen(s);
    assert_int_equal(check_outbox(s, 4, 200), left);
    assert_int_equal(suite_append_items(s, 4, 1, suite_size(s, 4)), STORE_COMMITTED);
    assert_true(check_outbox(s, 4, suite_size(s, 4) - 1) <= 2);
    suite_reopen(s);
    assert_int_equal(check_outbox(s, 3, 0), s->slot[3].item_count);
}

/* The item at outbox_low itself is not settled, wherever in its append it stands. */
static void the_item_at_the_low_mark_is_kept(void **state)
{
    struct suite *s = *state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(suite_append(s, 2, 10), STORE_COMMITTED);
    for (uint64_t low = 0; low < 40; low += 3) {
        assert_int_equal(suite_append_items(s, 2, 1, low), STORE_COMMITTED);
        (void)check_outbox(s, 2, low);
    }
}

static void a_large_outbox_is_kept_and_goes_away(void **state)
{
    struct suite *s = *state;
    for (int i = 0; i < 100; i++)
        assert_int_equal(suite_append(s, 8, 3), STORE_COMMITTED);
    assert_int_equal(suite_append(s, 8, 6000), STORE_COMMITTED);
    assert_int_equal(check_outbox(s, 8, 0), s->slot[8].item_count);
    suite_reopen(s);
    assert_int_equal(check_outbox(s, 8, 0), s->slot[8].item_count);
    for (int i = 0; i < 6; i++)
        assert_int_equal(suite_append_items(s, 8, 1, suite_size(s, 8)), STORE_COMMITTED);
    assert_true(check_outbox(s, 8, suite_size(s, 8) - 1) <= 2);
}

static bool one_item(void *context, const struct channel_item *i)
{
    (void)i;
    *(int *)context += 1;
    return false;
}

static void an_outbox_visit_can_stop(void **state)
{
    struct suite *s = *state;
    int seen = 0;
    assert_int_equal(s->store->ops->outbox(s->store, 0, one_item, &seen), ERR_OK);
    assert_int_equal(seen, 0);
    assert_int_equal(suite_append(s, 0, 20), STORE_COMMITTED);
    assert_int_equal(s->store->ops->outbox(s->store, 0, one_item, &seen), ERR_OK);
    assert_int_equal(seen, 1);
}

struct parts {
    uint8_t seed;
    size_t next, bytes;
};

static bool part_visit(void *context, struct bytes part)
{
    struct parts *p = context;
    for (size_t i = 0; i < part.size; i += 1000)
        assert_int_equal(part.data[i], (uint8_t)(p->seed + p->next));
    p->next += 1;
    p->bytes += part.size;
    return true;
}

static void save(struct suite *s, uint32_t slot, tree_size size, uint8_t seed,
                 size_t count, size_t bytes)
{
    struct bytes parts[8];
    for (size_t i = 0; i < count; i++) {
        uint8_t *data = malloc(bytes);
        assert_non_null(data);
        memset(data, (uint8_t)(seed + i), bytes);
        parts[i] = bytes_of(data, bytes);
    }
    assert_int_equal(s->store->ops->snapshot_save(s->store, slot, size, parts, count),
                     ERR_OK);
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)parts[i].data);
}

static void check_snapshot(struct suite *s, uint32_t slot, tree_size size, uint8_t seed,
                           size_t count, size_t bytes)
{
    struct parts p = {seed, 0, 0};
    tree_size got = 0;
    assert_int_equal(s->store->ops->snapshot_load(s->store, slot, &got, part_visit, &p),
                     ERR_OK);
    assert_int_equal(got, size);
    assert_int_equal(p.next, count);
    assert_int_equal(p.bytes, count * bytes);
}

static void snapshots_are_replaced_whole(void **state)
{
    struct suite *s = *state;
    struct parts p = {0};
    tree_size size = 0;
    assert_int_equal(s->store->ops->snapshot_load(s->store, 1, &size, part_visit, &p),
                     ERR_NOT_FOUND);
    save(s, 1, 100, 10, 8, 1u << 20);
    save(s, 2, 7, 50, 1, 1);
    check_snapshot(s, 1, 100, 10, 8, 1u << 20);
    assert_int_equal(suite_append(s, 1, 1), STORE_COMMITTED);
    suite_reopen(s);
    check_snapshot(s, 1, 100, 10, 8, 1u << 20);
    save(s, 1, 200, 90, 2, 300);
    check_snapshot(s, 1, 200, 90, 2, 300);
    check_snapshot(s, 2, 7, 50, 1, 1);
    assert_int_equal(s->store->ops->snapshot_drop(s->store, 1), ERR_OK);
    assert_int_equal(s->store->ops->snapshot_drop(s->store, 1), ERR_OK);
    assert_int_equal(s->store->ops->snapshot_load(s->store, 1, &size, part_visit, &p),
                     ERR_NOT_FOUND);
    check_snapshot(s, 2, 7, 50, 1, 1);
}

static void sealed_attachments_are_put_once_and_erased(void **state)
{
    struct suite *s = *state;
    struct hash a = hash_sha256("a", 1), b = hash_sha256("b", 1);
    static uint8_t data[100000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    struct buf got = {0};
    assert_int_equal(s->reader->ops->sealed(s->reader, &a, &got), ERR_NOT_FOUND);
    assert_int_equal(s->store->ops->sealed_erase(s->store, &a), ERR_NOT_FOUND);
    assert_int_equal(s->store->ops->sealed_put(s->store, &a, bytes_of(data, sizeof data)),
                     ERR_OK);
    assert_int_equal(s->store->ops->sealed_put(s->store, &b, bytes_of(data, 0)), ERR_OK);
    assert_int_equal(s->store->ops->sealed_put(s->store, &a, bytes_of(data, 3)),
                     ERR_EXISTS);
    suite_reopen(s);
    assert_int_equal(s->reader->ops->sealed(s->reader, &a, &got), ERR_OK);
    assert_int_equal(got.size, sizeof data);
    assert_memory_equal(got.data, data, sizeof data);
    buf_clear(&got);
    assert_int_equal(s->reader->ops->sealed(s->reader, &b, &got), ERR_OK);
    assert_int_equal(got.size, 0);
    assert_int_equal(s->store->ops->sealed_erase(s->store, &a), ERR_OK);
    assert_int_equal(s->reader->ops->sealed(s->reader, &a, &got), ERR_NOT_FOUND);
    assert_int_equal(s->store->ops->sealed_erase(s->store, &a), ERR_NOT_FOUND);
    assert_int_equal(s->store->ops->sealed_put(s->store, &a, bytes_of(data, 5)), ERR_OK);
    assert_int_equal(s->reader->ops->sealed(s->reader, &a, &got), ERR_OK);
    assert_int_equal(got.size, 5);
    buf_close(&got);
}

int suite_side_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(outbox_items_come_in_log_order_until_forgotten,
                                        suite_setup, suite_teardown),
        cmocka_unit_test_setup_teardown(the_item_at_the_low_mark_is_kept, suite_setup,
                                        suite_teardown),
        cmocka_unit_test_setup_teardown(a_large_outbox_is_kept_and_goes_away, suite_setup,
                                        suite_teardown),
        cmocka_unit_test_setup_teardown(an_outbox_visit_can_stop, suite_setup,
                                        suite_teardown),
        cmocka_unit_test_setup_teardown(snapshots_are_replaced_whole, suite_setup,
                                        suite_teardown),
        cmocka_unit_test_setup_teardown(sealed_attachments_are_put_once_and_erased,
                                        suite_setup, suite_teardown),
    };
    return cmocka_run_group_tests_name("outbox, snapshots, sealed", tests, NULL, NULL);
}
