/* From a store into the sequencer: what is verified, and what it says when it is not. */
#include "people.h"

#include <string.h>

#define SLOTS 2

struct world {
    struct hub hub;
    struct person people[4];
};

static int set_up(void **state)
{
    static struct world w;
    hub_create(&w.hub, SLOTS);
    people_open(w.people, 4, &w.hub, 1000);
    *state = &w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    hub_close(&w->hub);
    return 0;
}

/* Records in slot 0 until it holds `size`. */
static void fill(struct world *w, uint64_t size)
{
    struct slotlog *log = sequencer_slotlog(w->hub.q, 0);
    while (log->frontier.size < size) {
        for (int i = 0; i < 3000 && log->frontier.size < size; i++) {
            person_note(&w->people[0], "n");
            person_send(&w->people[0], &w->hub, 1);
        }
        OK(hub_commit(&w->hub));
    }
}

static enum err restart(struct world *w)
{
    hub_crash(&w->hub);
    return hub_start(&w->hub);
}

static void every_size_around_a_tile_recovers(void **state)
{
    struct world *w = *state;
    static const uint64_t sizes[] = {10, 255, 256, 257, 511, 512, 513, 1000, 1024};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        fill(w, sizes[i]);
        struct hash before = hub_digest_of(&w->hub, 0);
        OK(restart(w));
        struct hash after = hub_digest_of(&w->hub, 0);
        assert_memory_equal(&before, &after, sizeof before);
        assert_int_equal(sequencer_slotlog(w->hub.q, 0)->frontier.size, sizes[i]);
    }
}

static void tiles_of_two_levels_are_written_once(void **state)
{
    struct world *w = *state;
    fill(w, 40000);
    OK(restart(w));
    fill(w, 65535);
    OK(restart(w));
    fill(w, 66000);
    /* The disk checked each against the tree; these are all there have to be. */
    assert_int_equal(w->hub.disk->tiles_checked, 66000 / 256 + 1);
    OK(restart(w));
    fill(w, 66100);
}

static void a_changed_record_is_corruption(void **state)
{
    struct world *w = *state;
    fill(w, 300);
    for (uint64_t i = 0; i < 300; i += 23) {
        struct record *r = &w->hub.disk->slot[0].records[i].r;
        uint8_t *byte = (uint8_t *)(uintptr_t)r->envelope.data + r->envelope.size - 1;
        *byte ^= 1; /* only the signature: every rule still holds */
        EXPECT(ERR_CORRUPT, restart(w));
        assert_true(w->hub.report.why[0] != 0);
        assert_int_equal(sequencer_slot_state(w->hub.q, 0), SEQ_SLOT_STOPPED);
        *byte ^= 1;
    }
    OK(restart(w));
}

static void a_record_lost_at_the_end_is_corruption(void **state)
{
    struct world *w = *state;
    fill(w, 300);
    w->hub.disk->slot[0].size = 299; /* records, but not checkpoint and edges */
    EXPECT(ERR_CORRUPT, restart(w));
    w->hub.disk->slot[0].size = 300;
    OK(restart(w));
}

static void a_checkpoint_of_another_key_is_corruption(void **state)
{
    struct world *w = *state;
    struct disk_slot *s = &w->hub.disk->slot[0];
    char kept[CHECKPOINT_BYTES_MAX];
    memcpy(kept, s->checkpoint, sizeof kept);
    for (size_t i = 0; i < s->checkpoint_size; i += 7) {
        s->checkpoint[i] ^= 1;
        EXPECT(ERR_CORRUPT, restart(w));
        memcpy(s->checkpoint, kept, sizeof kept);
    }
    OK(restart(w));
}

static void a_changed_node_is_corruption(void **state)
{
    struct world *w = *state;
    fill(w, 600);
    struct disk_slot *s = &w->hub.disk->slot[0];
    struct {
        unsigned level;
        size_t n;
    } nodes[] = {{0, 599}, {0, 512}, {9, 0}, {8, 1}};
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++) {
        struct hash *node = &s->levels[nodes[i].level].nodes[nodes[i].n];
        node->b[0] ^= 1;
        EXPECT(ERR_CORRUPT, restart(w));
        node->b[0] ^= 1;
    }
    OK(restart(w));
}

static void a_store_below_the_mark_is_a_backup(void **state)
{
    struct world *w = *state;
    fill(w, 100);
    struct recover_mark mark;
    struct slotlog *log = sequencer_slotlog(w->hub.q, 0);
    mark.size = log->frontier.size;
    mark.root = frontier_root(&log->frontier);
    fill(w, 150);
    hub_crash(&w->hub);
    OK(sequencer_open(&w->hub.q, &w->hub.config));
    OK(hub_recover(&w->hub, 0, &mark)); /* more than the mark is fine */
    hub_crash(&w->hub);

    OK(sequencer_open(&w->hub.q, &w->hub.config));
    mark.root.b[3] ^= 1;
    EXPECT(ERR_BEHIND, hub_recover(&w->hub, 0, &mark));
    assert_non_null(strstr(w->hub.report.why, "another tree"));
    assert_int_equal(sequencer_slot_state(w->hub.q, 0), SEQ_SLOT_STOPPED);
    mark.size = 151;
    hub_crash(&w->hub);
    OK(sequencer_open(&w->hub.q, &w->hub.config));
    EXPECT(ERR_BEHIND, hub_recover(&w->hub, 0, &mark));
    assert_non_null(strstr(w->hub.report.why, "151"));
}

static void errors_of_the_store_can_be_tried_again(void **state)
{
    struct world *w = *state;
    hub_crash(&w->hub);
    w->hub.disk->claim_fails = ERR_STORE;
    EXPECT(ERR_STORE, hub_start(&w->hub));
    assert_int_equal(sequencer_slot_state(w->hub.q, 0), SEQ_SLOT_DOWN);
    w->hub.disk->read_fails = ERR_IO;
    EXPECT(ERR_IO, hub_start(&w->hub));
    assert_int_equal(sequencer_slot_state(w->hub.q, 0), SEQ_SLOT_DOWN);
    OK(hub_start(&w->hub));
}

static void a_log_of_another_hub_is_refused(void **state)
{
    struct world *w = *state;
    hub_crash(&w->hub);
    w->hub.config.slots = 4; /* the ledger was made with two */
    struct disk *d = w->hub.disk;
    OK(sequencer_open(&w->hub.q, &w->hub.config));
    EXPECT(ERR_CORRUPT, hub_recover(&w->hub, 0, NULL));
    assert_ptr_equal(d, w->hub.disk);
    hub_crash(&w->hub);
    w->hub.config.slots = 2;
}

static void genesis_can_be_run_again(void **state)
{
    struct world *w = *state;
    struct recover_genesis g = {.federation = kit_hash(1),
                                .hub = "another.name",
                                .issuer = kit_pub(HUB_KEY_ISSUER),
                                .relay = kit_key(HUB_KEY_RELAY),
                                .log = kit_pub(HUB_KEY_LOG)};
    uint64_t size = w->hub.disk->slot[0].size;
    hub_crash(&w->hub);
    OK(recover_genesis(disk_store(w->hub.disk), &w->hub.config, &g, 1));
    assert_int_equal(w->hub.disk->slot[0].size, size);
    struct disk *fresh = disk_open(2);
    g.hub = "not a name";
    assert_int_not_equal(recover_genesis(disk_store(fresh), &w->hub.config, &g, 1),
                         ERR_OK);
    g.hub = "a.name";
    fresh->verdict[1] = DISK_FULL;
    EXPECT(ERR_STORE_FULL, recover_genesis(disk_store(fresh), &w->hub.config, &g, 1));
    fresh->verdict[1] = DISK_UNKNOWN;
    EXPECT(ERR_LOST, recover_genesis(disk_store(fresh), &w->hub.config, &g, 1));
    OK(recover_genesis(disk_store(fresh), &w->hub.config, &g, 1));
    assert_int_equal(fresh->slot[0].size, 1);
    assert_int_equal(fresh->slot[1].size, 1);
    disk_close(fresh);
    OK(hub_start(&w->hub));
}

/* Another process looks at a slot that this one sequences. */
static void a_view_is_the_same_state_and_changes_nothing(void **state)
{
    struct world *w = *state;
    struct store_slot at;
    struct slotlog *view;
    struct recover_report report;
    struct recover_mark mark = {0};
    fill(w, 300);
    hub_snapshot(&w->hub, 0);
    fill(w, 310);
    uint64_t epoch = w->hub.disk->slot[0].epoch;
    for (int damaged = 0; damaged < 2; damaged++) {
        OK(recover_view(&view, &at, &w->hub.config, w->hub.store, 0, NULL, &report));
        struct hash digest, own = hub_digest_of(&w->hub, 0);
        OK(slotlog_digest(view, &digest));
        assert_memory_equal(&digest, &own, sizeof own);
        assert_int_equal(at.size, 310);
        assert_int_equal(view->frontier.size, 310);
        assert_int_equal(report.replayed, damaged ? 310 : 10);
        assert_int_equal(report.snapshot_dropped, damaged);
        recover_view_close(&w->hub.config, view);
        assert_int_equal(w->hub.disk->slot[0].epoch, epoch);
        assert_int_equal(sequencer_slot_state(w->hub.q, 0), SEQ_SLOT_READY);
        assert_true(disk_flip_snapshot(w->hub.disk, 0, 100, 3));
    }
    assert_true(disk_snapshot_bytes(w->hub.disk, 0) > 0); /* it is the owner's */
    mark.size = 311;
    EXPECT(ERR_BEHIND,
           recover_view(&view, &at, &w->hub.config, w->hub.store, 0, &mark, &report));
    person_note(&w->people[0], "the owner goes on");
    person_send(&w->people[0], &w->hub, 1);
    OK(hub_commit(&w->hub));
}

/* Memory that gives out after so many calls. */
static size_t memory_left;

static void *scarce_resize(void *context, void *p, size_t old_size, size_t new_size)
{
    (void)context;
    if (new_size > 0 && memory_left == 0)
        return NULL;
    if (new_size > 0)
        memory_left--;
    return alloc_heap.resize(alloc_heap.context, p, old_size, new_size);
}

static void running_out_of_memory_leaves_the_slot_down(void **state)
{
    struct world *w = *state;
    static const struct alloc scarce = {.resize = scarce_resize};
    person_pay(&w->people[0], &w->people[1].id, 5);
    person_send(&w->people[0], &w->hub, 1);
    OK(hub_commit(&w->hub));
    hub_snapshot(&w->hub, 0);
    person_note(&w->people[0], "so that the snapshot is durable");
    person_send(&w->people[0], &w->hub, 1);
    OK(hub_commit(&w->hub));
    hub_crash(&w->hub);
    w->hub.config.mem = &scarce;
    size_t tries = 0;
    for (;; tries++) {
        memory_left = tries;
        enum err e = hub_start(&w->hub);
        if (e == ERR_OK)
            break;
        EXPECT(ERR_MEMORY, e);
        hub_crash(&w->hub);
        assert_true(tries < 500);
    }
    assert_true(tries > 20);
    assert_false(w->hub.report.snapshot_dropped);
    assert_true(disk_snapshot_bytes(w->hub.disk, 0) > 0);
    /* The same for a commit: refused or put off, never half done. */
    for (tries = 0;; tries++) {
        struct refusal r;
        memory_left = tries;
        person_pay(&w->people[1], &w->people[0].id, 1);
        enum seq_disposition d = hub_submit(&w->hub, &w->people[1].entry.e, 1, &r);
        enum err e = hub_commit(&w->hub);
        memory_left = SIZE_MAX;
        /* Put off: the state is ahead of the store, and whoever asks has to be told so. */
        assert_int_equal(sequencer_tentative(w->hub.q), d == SEQ_QUEUED && e == ERR_MEMORY);
        OK(hub_start(&w->hub)); /* reloads what went down */
        hub_settle(&w->hub);
        hub_check_supply(&w->hub);
        struct person *p = &w->people[1];
        p->chain = hub_account_at(&w->hub, &p->id)->devices[0].chain;
        if (d == SEQ_QUEUED && e == ERR_OK)
            break;
    }
    hub_crash(&w->hub);
    w->hub.config.mem = &alloc_heap;
    OK(hub_start(&w->hub));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_size_around_a_tile_recovers),
        TEST(tiles_of_two_levels_are_written_once),
        TEST(a_changed_record_is_corruption),
        TEST(a_record_lost_at_the_end_is_corruption),
        TEST(a_checkpoint_of_another_key_is_corruption),
        TEST(a_changed_node_is_corruption),
        TEST(a_store_below_the_mark_is_a_backup),
        TEST(errors_of_the_store_can_be_tried_again),
        TEST(a_log_of_another_hub_is_refused),
        TEST(genesis_can_be_run_again),
        TEST(a_view_is_the_same_state_and_changes_nothing),
        TEST(running_out_of_memory_leaves_the_slot_down),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kit_close();
    return failed;
}
