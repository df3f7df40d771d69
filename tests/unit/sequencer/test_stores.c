/* The sequencer and recovery on real stores: what they hand each other fits. */
#include "people.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLOTS 4
#define PEOPLE 12

static struct store *create(const char *uri)
{
    struct store_identity id = {
        .federation = kit_hash(1), .hub = HUB_NAME, .slots = SLOTS};
    struct store *store;
    struct store_why why = {""};
    enum err err = store_create(uri, &id, &store, &why);
    if (err != ERR_OK)
        fail_msg("%s: %s", uri, why.text);
    return store;
}

/* Enough for full tiles, with transfers, bounces and returns. */
static void work(struct hub *h, struct person people[], int rounds)
{
    struct hash nobody = kit_hash(99);
    for (int i = 0; i < rounds; i++) {
        struct person *p = &people[i % PEOPLE];
        if (i % 3 == 0)
            person_note(p, "text");
        else
            person_pay(p, i % 10 == 1 ? &nobody : &people[(i + 1) % PEOPLE].id, 1);
        person_send(p, h, 1);
        if (i % 50 == 0)
            OK(hub_commit(h));
    }
}

static void live_and_restart(struct hub *h, const char *uri, bool reopens)
{
    static struct person people[PEOPLE];
    people_open(people, PEOPLE, h, 100000);
    for (int life = 0; life < 5; life++) {
        work(h, people, 600);
        if (life % 2 == 0)
            hub_settle(h); /* otherwise items wait over the restart */
        else
            OK(hub_commit(h));
        if (life == 2)
            for (uint32_t i = 0; i < SLOTS; i++)
                hub_snapshot(h, i);
        struct hash before[SLOTS];
        for (uint32_t i = 0; i < SLOTS; i++)
            before[i] = hub_digest_of(h, i);
        hub_crash(h);
        if (reopens) {
            struct store_why why;
            h->store->ops->close(h->store);
            OK(store_open(uri, &h->store, &why));
        }
        OK(hub_start(h));
        if (life != 2) /* saved, but perhaps not durable yet */
            assert_int_equal(h->report.snapshot_size > 0, life > 2);
        for (uint32_t i = 0; i < SLOTS; i++) {
            struct hash after = hub_digest_of(h, i);
            assert_memory_equal(&before[i], &after, sizeof after);
        }
    }
    hub_settle(h);
    hub_check_supply(h);
    assert_true(sequencer_slotlog(h->q, 0)->frontier.size > 2 * TILE_HASHES);
}

static void a_ledger_in_memory(void **state)
{
    (void)state;
    static struct hub h;
    hub_create_on(&h, SLOTS, create("memory:"));
    live_and_restart(&h, "memory:", false);
    struct store *store = h.store;
    hub_close(&h);
    store->ops->close(store);
}

static void a_ledger_in_a_file(void **state)
{
    (void)state;
    static struct hub h;
    char folder[] = "/tmp/stoa-seq-XXXXXX";
    char uri[128];
    assert_non_null(mkdtemp(folder));
    snprintf(uri, sizeof uri, "sqlite:%s/ledger.db", folder);
    hub_create_on(&h, SLOTS, create(uri));
    live_and_restart(&h, uri, true);
    struct store *store = h.store;
    hub_close(&h);
    store->ops->close(store);
    char command[160];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ledger_in_memory),
        cmocka_unit_test(a_ledger_in_a_file),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kit_close();
    return failed;
}
