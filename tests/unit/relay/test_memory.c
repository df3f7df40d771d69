#include "relay/memory.h"

#include "tests/unit/relay/test.h"

#define MIB (UINT64_C(1) << 20)

static const struct memory_wishes usual = {
    .reserved = 256 * MIB, .connections = 20000, .queue_entries = 16384};

static void sum_is_what_there_is(const struct memory_plan *p)
{
    assert_int_equal(p->allocatable, p->physical - p->reserved - p->safety);
    assert_int_equal(p->connections_bytes, p->connections * p->connection);
    assert_int_equal(p->allocatable, p->connections_bytes + p->queue_bytes + p->messages);
}

static void a_machine_with_room(void **state)
{
    struct memory_plan p;
    (void)state;
    memory_plan(&p, &usual, &(struct memory_facts){.physical = 4096 * MIB});
    sum_is_what_there_is(&p);
    assert_int_equal(p.safety, 256 * MIB);
    assert_int_equal(p.allocatable, 3584 * MIB);
    assert_int_equal(p.connections, 20000);
    assert_int_equal(p.queue_bytes, 32 * MIB);
    assert_false(p.tight);
}

static void what_the_ledger_takes_already_is_reserved(void **state)
{
    struct memory_plan p, empty;
    (void)state;
    memory_plan(&empty, &usual, &(struct memory_facts){.physical = 4096 * MIB});
    memory_plan(&p, &usual,
                &(struct memory_facts){.physical = 4096 * MIB, .resident = 1000 * MIB});
    sum_is_what_there_is(&p);
    assert_int_equal(p.reserved, 1000 * MIB);
    assert_int_equal(empty.messages - p.messages, 744 * MIB);
}

static void what_is_set_goes_before_what_the_machine_has(void **state)
{
    struct memory_plan p;
    struct memory_wishes w = usual;
    (void)state;
    w.physical = 2048 * MIB;
    w.safety = 10 * MIB;
    memory_plan(&p, &w, &(struct memory_facts){.physical = 65536 * MIB});
    sum_is_what_there_is(&p);
    assert_int_equal(p.physical, 2048 * MIB);
    assert_int_equal(p.safety, 10 * MIB);
}

static void connections_with_tls_take_more(void **state)
{
    struct memory_plan plain, p;
    struct memory_wishes w = usual;
    (void)state;
    memory_plan(&plain, &w, &(struct memory_facts){.physical = 4096 * MIB});
    w.tls = true;
    memory_plan(&p, &w, &(struct memory_facts){.physical = 4096 * MIB});
    sum_is_what_there_is(&p);
    assert_int_equal(plain.connection, MEMORY_CONNECTION_BYTES);
    assert_int_equal(p.connection, MEMORY_CONNECTION_BYTES + MEMORY_TLS_BYTES);
    assert_int_equal(p.connections, 20000);
    assert_int_equal(plain.messages - p.messages, UINT64_C(20000) * MEMORY_TLS_BYTES);
}

static void connections_leave_a_quarter_to_messages(void **state)
{
    struct memory_plan p;
    (void)state;
    memory_plan(&p, &usual, &(struct memory_facts){.physical = 512 * MIB});
    sum_is_what_there_is(&p);
    assert_true(p.tight);
    assert_in_range(p.connections, 12000, 13000);
    assert_true(p.messages >= (p.allocatable - p.queue_bytes) / 4);
}

static void a_machine_without_room_gets_the_least(void **state)
{
    struct memory_plan p;
    (void)state;
    for (uint64_t mib = 0; mib < 340; mib += 17) {
        memory_plan(&p, &usual, &(struct memory_facts){.physical = mib * MIB});
        assert_true(p.tight);
        assert_true(p.messages >= MEMORY_MESSAGES_MIN);
        assert_true(p.connections >= MEMORY_CONNECTIONS_MIN);
    }
}

static void this_machine_has_some(void **state)
{
    struct memory_facts f;
    (void)state;
    memory_facts(&f);
    assert_true(f.physical > 16 * MIB);
    assert_true(f.resident > 0 && f.resident < f.physical);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_machine_with_room),
        cmocka_unit_test(what_the_ledger_takes_already_is_reserved),
        cmocka_unit_test(what_is_set_goes_before_what_the_machine_has),
        cmocka_unit_test(connections_with_tls_take_more),
        cmocka_unit_test(connections_leave_a_quarter_to_messages),
        cmocka_unit_test(a_machine_without_room_gets_the_least),
        cmocka_unit_test(this_machine_has_some),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
