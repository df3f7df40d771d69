/* Snapshots: a good one is used, any other is dropped, and the digest is the same always.
 */
#include "people.h"

#include <string.h>

#define SLOTS 2
#define PEOPLE 20

struct world {
    struct hub hub;
    struct person people[PEOPLE];
};

static int set_up(void **state)
{
    static struct world w;
    hub_create(&w.hub, SLOTS);
    people_open(w.people, PEOPLE, &w.hub, 1000);
    *state = &w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    hub_close(&w->hub);
    return 0;
}

static void work(struct world *w, int rounds)
{
    for (int i = 0; i < rounds; i++) {
        struct person *p = &w->people[i % PEOPLE];
        if (i % 3 == 0)
            person_note(p, "text");
        else
            person_pay(
                p,
                &w->people[(i * 7 + 1) % PEOPLE == i % PEOPLE ? (i + 1) % PEOPLE
                                                              : (i * 7 + 1) % PEOPLE]
                     .id,
                2);
        person_send(p, &w->hub, 1);
    }
    hub_settle(&w->hub);
}

/* A durable snapshot of slot 0, with records after it. */
static uint64_t snapshot_and_go_on(struct world *w)
{
    work(w, 200);
    uint64_t size = sequencer_slotlog(w->hub.q, 0)->frontier.size;
    hub_snapshot(&w->hub, 0);
    work(w, 50);
    return size;
}

static void a_good_snapshot_saves_the_replay(void **state)
{
    struct world *w = *state;
    uint64_t size = snapshot_and_go_on(w);
    struct hash wanted = hub_digest_of(&w->hub, 0);
    hub_crash(&w->hub);
    OK(sequencer_open(&w->hub.q, &w->hub.config));
    OK(hub_recover(&w->hub, 0, NULL));
    assert_int_equal(w->hub.report.snapshot_size, size);
    assert_int_equal(w->hub.report.replayed, w->hub.report.size - size);
    assert_false(w->hub.report.snapshot_dropped);
    struct hash digest = hub_digest_of(&w->hub, 0);
    assert_memory_equal(&digest, &wanted, sizeof digest);
    OK(hub_start(&w->hub));
    work(w, 20);
    hub_check_supply(&w->hub);
}

static void no_flipped_byte_changes_the_state(void **state)
{
    struct world *w = *state;
    snapshot_and_go_on(w);
    struct hash wanted = hub_digest_of(&w->hub, 0);
    struct disk_parts kept = w->hub.disk->slot[0].snapshot;
    size_t bytes = disk_snapshot_bytes(w->hub.disk, 0);
    /* Every byte of the start and of the end, and a sample between. */
    for (size_t i = 0; i < bytes; i += i < 200 || i + 300 > bytes ? 1 : 37) {
        struct gathered {
            struct bytes parts[4];
        } copies;
        assert_in_range(kept.count, 1, 4);
        memcpy(copies.parts, kept.parts, kept.count * sizeof kept.parts[0]);
        static uint8_t room[1 << 20];
        assert_int_equal(kept.count, 1);
        memcpy(room, kept.parts[0].data, kept.parts[0].size);
        disk_flip_snapshot(w->hub.disk, 0, i, (unsigned)(i % 8));
        /* recovery drops it, so the disk is handed a fresh copy for each byte */
        hub_crash(&w->hub);
        OK(sequencer_open(&w->hub.q, &w->hub.config));
        OK(hub_recover(&w->hub, 0, NULL));
        assert_true(w->hub.report.snapshot_dropped);
        assert_int_equal(w->hub.report.snapshot_size, 0);
        struct hash digest = hub_digest_of(&w->hub, 0);
        assert_memory_equal(&digest, &wanted, sizeof digest);
        assert_int_equal(disk_snapshot_bytes(w->hub.disk, 0), 0);
        struct store *st = disk_store(w->hub.disk);
        struct bytes part = bytes_of(room, copies.parts[0].size);
        OK(st->ops->snapshot_save(st, 0, 1, &part, 1));
        w->hub.disk->slot[0].snapshot = w->hub.disk->slot[0].unsynced;
        w->hub.disk->slot[0].unsynced = (struct disk_parts){.there = false};
        kept = w->hub.disk->slot[0].snapshot;
    }
}

static void a_cut_snapshot_is_dropped(void **state)
{
    struct world *w = *state;
    snapshot_and_go_on(w);
    struct hash wanted = hub_digest_of(&w->hub, 0);
    struct bytes *part = &w->hub.disk->slot[0].snapshot.parts[0];
    for (size_t cut = 0; cut < 4; cut++) {
        if (cut == 3)
            part->size = 0;
        else
            part->size -= 1 + cut * 150;
        hub_crash(&w->hub);
        OK(hub_start(&w->hub));
        struct hash digest = hub_digest_of(&w->hub, 0);
        assert_memory_equal(&digest, &wanted, sizeof digest);
        assert_int_equal(disk_snapshot_bytes(w->hub.disk, 0), 0);
        hub_snapshot(&w->hub, 0);
        w->hub.disk->slot[0].snapshot = w->hub.disk->slot[0].unsynced;
        w->hub.disk->slot[0].unsynced = (struct disk_parts){.there = false};
        part = &w->hub.disk->slot[0].snapshot.parts[0];
    }
}

static void a_snapshot_of_another_slot_or_key_is_dropped(void **state)
{
    struct world *w = *state;
    snapshot_and_go_on(w);
    hub_snapshot(&w->hub, 1);
    struct hash wanted = hub_digest_of(&w->hub, 0);
    struct disk_parts own = w->hub.disk->slot[0].snapshot;
    w->hub.disk->slot[0].snapshot = w->hub.disk->slot[1].unsynced;
    w->hub.disk->slot[1].unsynced = own;
    hub_crash(&w->hub);
    OK(sequencer_open(&w->hub.q, &w->hub.config));
    OK(hub_recover(&w->hub, 0, NULL));
    assert_true(w->hub.report.snapshot_dropped);
    struct hash digest = hub_digest_of(&w->hub, 0);
    assert_memory_equal(&digest, &wanted, sizeof digest);

    OK(hub_start(&w->hub));
    w->hub.config.relay = kit_key(60);
    hub_snapshot(&w->hub, 0);
    w->hub.config.relay = kit_key(HUB_KEY_RELAY);
    work(w, 5);
    hub_crash(&w->hub);
    OK(sequencer_open(&w->hub.q, &w->hub.config));
    OK(hub_recover(&w->hub, 0, NULL));
    assert_true(w->hub.report.snapshot_dropped);
}

static void a_snapshot_ahead_of_the_log_is_dropped(void **state)
{
    struct world *w = *state;
    work(w, 30);
    struct disk *old = disk_copy(w->hub.disk);
    struct hash wanted = hub_digest_of(&w->hub, 0);
    snapshot_and_go_on(w);
    hub_crash(&w->hub);
    struct disk *newer = w->hub.disk;
    old->slot[0].snapshot = newer->slot[0].snapshot;
    newer->slot[0].snapshot = (struct disk_parts){.there = false};
    w->hub.disk = old;
    w->hub.store = disk_store(old);
    OK(sequencer_open(&w->hub.q, &w->hub.config));
    OK(hub_recover(&w->hub, 0, NULL));
    assert_true(w->hub.report.snapshot_dropped);
    struct hash digest = hub_digest_of(&w->hub, 0);
    assert_memory_equal(&digest, &wanted, sizeof digest);
    disk_close(newer);
}

struct parts {
    size_t count;
    size_t sizes[64];
    struct hash sums[64];
};

static bool sum_part(void *context, struct bytes part)
{
    struct parts *p = context;
    assert_true(part.size <= SNAPSHOT_PART_MAX);
    p->sums[p->count] = hash_sha256(part.data, part.size);
    p->sizes[p->count++] = part.size;
    return true;
}

static bool refuse_part(void *context, struct bytes part)
{
    (void)context;
    (void)part;
    return false;
}

static void big_slots_make_several_parts(void **state)
{
    struct world *w = *state;
    static struct person crowd;
    for (uint32_t i = 0; i < 12000; i++) {
        struct kit_open o = {.federation = kit_hash(1),
                             .hub = HUB_NAME,
                             .root = kit_key(300),
                             .device = kit_key(301),
                             .nonce = 1000000 + i};
        kit_open(&crowd.entry, &o);
        person_send(&crowd, &w->hub, 1);
        if (i % 2000 == 0)
            OK(hub_commit(&w->hub));
    }
    hub_settle(&w->hub);
    static struct parts once, again;
    struct slotlog *log = sequencer_slotlog(w->hub.q, 0);
    OK(slotlog_snapshot(log, w->hub.config.relay, sum_part, &once));
    OK(slotlog_snapshot(log, w->hub.config.relay, sum_part, &again));
    assert_true(once.count >= 2);
    assert_memory_equal(&once, &again, sizeof once);
    EXPECT(ERR_STORE, slotlog_snapshot(log, w->hub.config.relay, refuse_part, NULL));

    struct hash wanted = hub_digest_of(&w->hub, 0);
    hub_snapshot(&w->hub, 0);
    work(w, 10);
    hub_crash(&w->hub);
    OK(sequencer_open(&w->hub.q, &w->hub.config));
    OK(hub_recover(&w->hub, 0, NULL));
    assert_true(w->hub.report.snapshot_size > 2000);
    assert_int_equal(w->hub.disk->slot[0].snapshot.count, once.count);
    (void)wanted;
    OK(hub_start(&w->hub));
    hub_check_supply(&w->hub);
    /* Two parts in the wrong order. */
    struct disk_parts *p = &w->hub.disk->slot[0].snapshot;
    struct bytes first = p->parts[0];
    p->parts[0] = p->parts[1];
    p->parts[1] = first;
    wanted = hub_digest_of(&w->hub, 0);
    hub_crash(&w->hub);
    OK(hub_start(&w->hub));
    assert_int_equal(disk_snapshot_bytes(w->hub.disk, 0), 0);
    struct hash digest = hub_digest_of(&w->hub, 0);
    assert_memory_equal(&digest, &wanted, sizeof digest);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_good_snapshot_saves_the_replay),
        TEST(no_flipped_byte_changes_the_state),
        TEST(a_cut_snapshot_is_dropped),
        TEST(a_snapshot_of_another_slot_or_key_is_dropped),
        TEST(a_snapshot_ahead_of_the_log_is_dropped),
        TEST(big_slots_make_several_parts),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kit_close();
    return failed;
}
