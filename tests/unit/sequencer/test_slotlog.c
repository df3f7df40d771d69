/* One slot: replay is admission again, and refuses what admission would not have made. */
#include "people.h"

#include <string.h>

#define SLOTS 2

struct world {
    struct hub hub;
    struct person people[6];
    struct slotlog log;
    struct effects fx;
};

/* A history with every effect: opens, accruals, notes, transfers, credits, bounces,
 * returns. */
static void live(struct world *w)
{
    struct hash nobody = kit_hash(99);
    hub_create(&w->hub, SLOTS);
    people_open(w->people, 6, &w->hub, 1000);
    for (int i = 0; i < 60; i++) {
        struct person *p = &w->people[i % 6];
        if (i % 4 == 0)
            person_note(p, "text");
        else
            person_pay(p, i % 5 == 0 ? &nobody : &w->people[(i + 1) % 6].id, 3);
        person_send(p, &w->hub, 1);
        if (i % 7 == 0)
            OK(hub_commit(&w->hub));
    }
    hub_settle(&w->hub);
}

static int set_up(void **state)
{
    static struct world w;
    live(&w);
    OK(slotlog_init(&w.log, &alloc_heap, 0, 12345));
    *state = &w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    slotlog_close(&w->log);
    hub_check_supply(&w->hub);
    hub_close(&w->hub);
    return 0;
}

static const struct record *stored(struct world *w, uint64_t index)
{
    return &w->hub.disk->slot[0].records[index].r;
}

static void replay_gives_the_same_digest(void **state)
{
    struct world *w = *state;
    uint64_t size = w->hub.disk->slot[0].size;
    for (uint64_t i = 0; i < size; i++)
        OK(slotlog_replay(&w->log, stored(w, i), &w->fx));
    struct hash digest;
    OK(slotlog_digest(&w->log, &digest));
    struct hash wanted = hub_digest_of(&w->hub, 0);
    assert_memory_equal(&digest, &wanted, sizeof digest);
    const struct slotlog *live_log = sequencer_slotlog(w->hub.q, 0);
    struct hash root = frontier_root(&w->log.frontier);
    struct hash live_root = frontier_root(&live_log->frontier);
    assert_memory_equal(&root, &live_root, sizeof root);
    assert_int_equal(w->log.hub_lamport, live_log->hub_lamport);
    assert_int_equal(w->log.account_count, live_log->account_count);
}

static void what_the_caller_knows_is_not_computed_again_and_gives_the_same(void **state)
{
    struct world *w = *state;
    struct slotlog other;
    uint64_t size = w->hub.disk->slot[0].size;
    OK(slotlog_init(&other, &alloc_heap, 0, 54321));
    for (uint64_t i = 0; i < size; i++) {
        const struct record *r = stored(w, i);
        struct hash leaf = record_leaf_hash(r), root, known_root;
        struct entry e;
        OK(entry_decode(&e, r->envelope.data, r->envelope.size));
        OK(slotlog_replay(&w->log, r, &w->fx));
        OK(slotlog_replay_known(&other, r, &e, i % 3 ? &leaf : NULL, &w->fx));
        root = frontier_root(&w->log.frontier);
        known_root = frontier_root(&other.frontier);
        assert_memory_equal(&root, &known_root, sizeof root);
        assert_memory_equal(&other.leaf, &leaf, sizeof leaf);
    }
    struct hash digest, known_digest;
    OK(slotlog_digest(&w->log, &digest));
    OK(slotlog_digest(&other, &known_digest));
    assert_memory_equal(&digest, &known_digest, sizeof digest);
    struct record changed = *stored(w, size - 1);
    struct entry e;
    OK(entry_decode(&e, changed.envelope.data, changed.envelope.size));
    changed.index = size;
    EXPECT(ERR_CORRUPT, slotlog_replay_known(&other, &changed, &e, NULL, &w->fx));
    slotlog_close(&other);
}

/* Replay up to `index`, then a changed record. */
static enum err replay_changed(struct world *w, const struct record *changed)
{
    slotlog_close(&w->log);
    OK(slotlog_init(&w->log, &alloc_heap, 0, 12345));
    for (uint64_t i = 0; i < changed->index && w->log.frontier.size == i; i++)
        OK(slotlog_replay(&w->log, stored(w, i), &w->fx));
    return slotlog_replay(&w->log, changed, &w->fx);
}

static void replay_refuses_what_admission_would_not_derive(void **state)
{
    struct world *w = *state;
    uint64_t size = w->hub.disk->slot[0].size;
    for (uint64_t i = 1; i < size; i += 3) {
        struct record r = *stored(w, i);
        OK(replay_changed(w, &r));
        r.position++;
        EXPECT(ERR_CORRUPT, replay_changed(w, &r));
        r = *stored(w, i);
        r.hub_lamport++;
        EXPECT(ERR_CORRUPT, replay_changed(w, &r));
        r = *stored(w, i);
        r.account_head.b[31] ^= 1;
        EXPECT(ERR_CORRUPT, replay_changed(w, &r));
        r = *stored(w, i);
        r.hub_time_ms = stored(w, i - 1)->hub_time_ms - 1;
        EXPECT(ERR_CORRUPT, replay_changed(w, &r));
        r = *stored(w, i);
        r.slot = 1;
        EXPECT(ERR_CORRUPT, replay_changed(w, &r));
        r = *stored(w, i);
        r.envelope = stored(w, i == 1 ? 2 : 1)->envelope;
        EXPECT(ERR_CORRUPT, replay_changed(w, &r));
        r = *stored(w, i);
        r.envelope.size--;
        EXPECT(ERR_CORRUPT, replay_changed(w, &r));
    }
    struct record skipped = *stored(w, 3);
    skipped.index = 5;
    EXPECT(ERR_CORRUPT, replay_changed(w, &skipped));
}

static void replay_stops_at_a_kind_from_the_future(void **state)
{
    struct world *w = *state;
    struct record r = *stored(w, 4);
    uint8_t bytes[1024];
    assert_true(r.envelope.size < sizeof bytes);
    memcpy(bytes, r.envelope.data, r.envelope.size);
    bytes[1] = 2; /* version, after the array's head */
    r.envelope = bytes_of(bytes, r.envelope.size);
    EXPECT(ERR_RULES_AHEAD, replay_changed(w, &r));
}

static void only_a_log_open_of_this_slot_starts_a_log(void **state)
{
    struct world *w = *state;
    static struct kit_entry e;
    struct kit_log l = {.federation = kit_hash(1),
                        .hub = HUB_NAME,
                        .slot = 1,
                        .slots = SLOTS,
                        .issuer = kit_key(HUB_KEY_ISSUER),
                        .relay = kit_key(HUB_KEY_RELAY),
                        .log = kit_key(HUB_KEY_LOG)};
    struct record r;
    kit_log_open(&e, &l);
    EXPECT(ERR_PAYLOAD, slotlog_admit(&w->log, &e.e, 1, &r, &w->fx));
    static struct person p;
    person_init(&p, &w->hub, 0, 900);
    EXPECT(ERR_ACCOUNT_UNKNOWN, slotlog_admit(&w->log, &p.entry.e, 1, &r, &w->fx));
    l.slot = 0;
    kit_log_open(&e, &l);
    OK(slotlog_admit(&w->log, &e.e, 1, &r, &w->fx));
    assert_int_equal(r.index, 0);
    assert_int_equal(r.hub_lamport, 1);
    EXPECT(ERR_ACCOUNT_EXISTS, slotlog_admit(&w->log, &e.e, 1, &r, &w->fx));
    OK(slotlog_admit(&w->log, &p.entry.e, 1, &r, &w->fx));
    assert_int_equal(r.position, 0);
    assert_int_equal(r.hub_lamport, 2);
    EXPECT(ERR_ACCOUNT_EXISTS, slotlog_admit(&w->log, &p.entry.e, 1, &r, &w->fx));
}

static void a_refusal_changes_nothing(void **state)
{
    struct world *w = *state;
    struct slotlog *log = sequencer_slotlog(w->hub.q, 0);
    struct hash before = hub_digest_of(&w->hub, 0);
    struct frontier frontier = log->frontier;
    uint64_t lamport = log->hub_lamport, time_ms = log->hub_time_ms;
    static struct person stranger;
    struct record r;
    /* An open whose root signature is wrong fails late, with the spare account half used.
     */
    person_init(&stranger, &w->hub, 0, 800);
    struct kit_open o = {.federation = kit_hash(2), /* another federation */
                         .hub = HUB_NAME,
                         .root = kit_key(800),
                         .device = kit_key(801)};
    kit_open_in_slot(&stranger.entry, &o, 0, SLOTS);
    EXPECT(ERR_FEDERATION,
           slotlog_admit(log, &stranger.entry.e, time_ms + 9, &r, &w->fx));
    person_pay(&w->people[0], &w->people[1].id, 1000000);
    EXPECT(ERR_BALANCE,
           slotlog_admit(log, &w->people[0].entry.e, time_ms + 9, &r, &w->fx));
    struct hash after = hub_digest_of(&w->hub, 0);
    assert_memory_equal(&before, &after, sizeof before);
    assert_memory_equal(&frontier, &log->frontier, sizeof frontier);
    assert_int_equal(lamport, log->hub_lamport);
    assert_int_equal(time_ms, log->hub_time_ms);
    person_init(&stranger, &w->hub, 0, 800);
    OK(slotlog_admit(log, &stranger.entry.e, time_ms, &r, &w->fx));
}

/* Memory that gives out after so many calls. */
struct scarce {
    size_t left;
};

static void *scarce_resize(void *context, void *p, size_t old_size, size_t new_size)
{
    struct scarce *s = context;
    if (new_size > 0 && s->left == 0)
        return NULL;
    if (new_size > 0)
        s->left--;
    return alloc_heap.resize(alloc_heap.context, p, old_size, new_size);
}

static void running_out_of_memory_loses_nothing(void **state)
{
    struct world *w = *state;
    struct scarce scarce = {.left = SIZE_MAX};
    const struct alloc mem = {.resize = scarce_resize, .context = &scarce};
    struct slotlog log;
    uint64_t size = w->hub.disk->slot[0].size;
    struct hash wanted = hub_digest_of(&w->hub, 0);
    for (size_t n = 0; n < 3; n++) {
        scarce.left = n;
        enum err e = slotlog_init(&log, &mem, 0, 1);
        if (e != ERR_OK)
            continue;
        slotlog_close(&log);
    }
    scarce.left = SIZE_MAX;
    OK(slotlog_init(&log, &mem, 0, 1));
    struct entry e;
    struct record r;
    size_t refused = 0;
    for (uint64_t i = 0; i < size; i++) {
        OK(entry_decode(&e, stored(w, i)->envelope.data, stored(w, i)->envelope.size));
        for (scarce.left = 0;; scarce.left = ++refused) {
            size_t had = scarce.left;
            enum err err = slotlog_admit(&log, &e, stored(w, i)->hub_time_ms, &r, &w->fx);
            if (err == ERR_OK)
                break;
            EXPECT(ERR_MEMORY, err);
            assert_true(had < 50);
        }
        refused = 0;
    }
    struct hash digest;
    for (scarce.left = 0;; refused++, scarce.left = refused) {
        enum err err = slotlog_digest(&log, &digest);
        if (err == ERR_OK)
            break;
        EXPECT(ERR_MEMORY, err);
    }
    assert_true(refused > 0);
    assert_memory_equal(&digest, &wanted, sizeof digest);
    slotlog_close(&log);
}

static bool count_one(void *context, struct account *a)
{
    size_t *count = context;
    assert_true(a->position > 0);
    return ++*count < 2;
}

static void accounts_are_visited_until_told_to_stop(void **state)
{
    struct world *w = *state;
    size_t count = 0;
    slotlog_each(sequencer_slotlog(w->hub.q, 0), count_one, &count);
    assert_int_equal(count, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(replay_gives_the_same_digest),
        TEST(what_the_caller_knows_is_not_computed_again_and_gives_the_same),
        TEST(replay_refuses_what_admission_would_not_derive),
        TEST(replay_stops_at_a_kind_from_the_future),
        TEST(only_a_log_open_of_this_slot_starts_a_log),
        TEST(a_refusal_changes_nothing),
        TEST(running_out_of_memory_loses_nothing),
        TEST(accounts_are_visited_until_told_to_stop),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kit_close();
    return failed;
}
