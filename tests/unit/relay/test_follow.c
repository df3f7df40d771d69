/* A relay that shows slots which another one sequences, on a bus that tells it the truth, half
 * of it, or lies. The owner is the real sequencer on the disk of tests/sim; whatever the bus
 * does, the follower shows what the owner signed, every record once and in order. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "relay/bus_message.h"
#include "relay/clock.h"
#include "relay/event.h"
#include "relay/follow_internal.h"
#include "relay/region.h"
#include "rng.h"
#include "unit/sequencer/people.h"

#define SLOTS 2u
#define PEOPLE 4
#define POLL_MS 10u /* shortest the settings allow */
#define CHAOS_ROUNDS 300

struct world {
    struct hub hub;
    struct person people[PEOPLE];
    struct person pinned; /* in slot 0 */
    struct relay_config config;
    struct relay r;
};
static struct world w;

/* ---- what stands around the follower in a relay ---- */

static bool owned[SLOTS];
static unsigned region_rung, broken;
static struct chain_of_links mails;
static struct hash told_pinned; /* must be known as such before its records are told */

bool region_owns(const struct relay *r, uint32_t slot)
{
    (void)r;
    return owned[slot];
}

void region_ring(struct relay *r, uint32_t slot)
{
    (void)r;
    (void)slot;
    region_rung++;
}

size_t region_members(const struct relay *r, struct region_member out[REGION_RELAYS_MAX])
{
    (void)r;
    (void)out;
    return 0;
}

void relay_broken(struct relay *r, const char *what, enum err why)
{
    (void)r;
    (void)what;
    (void)why;
    broken++;
}

void relay_mail_one(struct relay *r, struct mail *m)
{
    assert_int_equal(m->kind, MAIL_EVENT);
    for (size_t i = 0; i < m->event->count; i++)
        if (hash_equal(&m->event->records[i].account, &told_pinned))
            assert_true(pinned_is(&r->pinned, &told_pinned));
    links_add(&mails, &m->link);
}

/* ---- kit ---- */

static struct follow *follower(void)
{
    return w.r.follow;
}

static int set_up(void **state)
{
    (void)state;
    memset(&w, 0, sizeof w);
    memset(owned, 0, sizeof owned);
    memset(&told_pinned, 0, sizeof told_pinned);
    region_rung = broken = 0;
    hub_create(&w.hub, SLOTS);
    people_open(w.people, PEOPLE, &w.hub, 1000000);
    config_defaults(&w.config);
    strcpy(w.config.region.relay, "listener");
    w.config.region.poll_ms = POLL_MS;
    atomic_init(&w.r.config, &w.config);
    w.r.hub = HUB_NAME;
    w.r.slots = SLOTS;
    w.r.keys.relay = (struct key *)(uintptr_t)w.hub.config.relay;
    w.r.keys.log = (struct key *)(uintptr_t)w.hub.config.log;
    w.r.log_vkeys = w.hub.log_keys;
    w.r.metrics = metrics_open(1, 1);
    assert_non_null(w.r.metrics);
    OK(pinned_open(&w.r.pinned, 7, NULL, 0));
    highwater_open(&w.r.highwater, NULL, SLOTS);
    atomic_store(&w.r.subscriptions, 1u);
    OK(follow_make(&w.r, w.hub.store));
    return 0;
}

static void drop_mails(void)
{
    for (struct link *l; (l = links_pop(&mails));)
        mail_drop((struct mail *)l);
}

static int tear_down(void **state)
{
    (void)state;
    follow_end(&w.r);
    drop_mails();
    pinned_close(&w.r.pinned);
    highwater_close(&w.r.highwater);
    metrics_close(w.r.metrics);
    hub_close(&w.hub);
    return 0;
}

static const struct disk_slot *disk_slot_of(uint32_t slot)
{
    return &w.hub.disk->slot[slot];
}

/* The owner commits `count` notes of one of its people. */
static void owner_writes(struct person *p, int count)
{
    for (int i = 0; i < count; i++) {
        person_note(p, "n");
        person_send(p, &w.hub, 1);
    }
    OK(hub_commit(&w.hub));
    hub_forget(&w.hub);
}

/* What its commit thread would put on the bus about [first, last); NULL: nothing. The caller
 * frees it. */
static struct bus_out *owner_says(uint32_t slot, tree_size first)
{
    const struct disk_slot *s = disk_slot_of(slot);
    static struct store_record records[4096];
    struct chain_of_links out = {0};
    struct seq_commit done = {.slot = slot,
                              .old_size = first,
                              .new_size = s->size,
                              .records = records,
                              .checkpoint = bytes_of(s->checkpoint, s->checkpoint_size)};
    for (tree_size i = first; i < s->size; i++)
        records[i - first] =
            (struct store_record){.r = s->records[i].r, .account = s->records[i].account};
    char name[CONFIG_TEXT_MAX];
    strcpy(name, w.config.region.relay);
    strcpy(w.config.region.relay, "owner");
    w.r.bus = (struct bus_redis *)&out; /* there is one; nothing is sent */
    bus_message_add(&w.r, &out, s->epoch, &done);
    w.r.bus = NULL;
    strcpy(w.config.region.relay, name);
    return (struct bus_out *)links_pop(&out);
}

static void hear(uint32_t slot, struct bus_out *m)
{
    assert_non_null(m);
    follow_heard(follower(), slot, bytes_of(m->data, m->size));
    free(m);
}

static void turn(void)
{
    (void)follow_turn(follower(), 0);
}

/* Until the follower shows all that the owner committed; a second is more than enough. */
static void turn_until_even(void)
{
    uint64_t end = clock_mono_ms() + 5000;
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        while (view_size(follower(), slot) != disk_slot_of(slot)->size) {
            assert_true(clock_mono_ms() < end);
            (void)follow_turn(follower(), 1);
        }
}

/* Events told so far run on from `*at`, without a gap, and end at the owner's size. Those that
 * bring no records send subscribers to the store. */
static size_t check_events(uint32_t slot, tree_size *at)
{
    size_t brought = 0;
    struct chain_of_links rest = {0};
    for (struct link *l; (l = links_pop(&mails));) {
        const struct event *e = ((struct mail *)l)->event;
        if (e->slot != slot) {
            links_add(&rest, l);
            continue;
        }
        struct checkpoint c;
        assert_true(checkpoint_open(&c, e->note, e->note_size, &w.hub.log_keys[slot]));
        assert_int_equal(c.size, e->new_size);
        assert_memory_equal(&c.root, &e->root, sizeof c.root);
        assert_true(e->new_size >= *at);
        assert_true(e->old_size == *at || (e->count == 0 && e->old_size == e->new_size));
        for (size_t i = 0; i < e->count; i++) {
            const struct disk_record *d =
                &disk_slot_of(slot)->records[e->old_size + i];
            assert_memory_equal(&e->records[i].account, &d->account, sizeof d->account);
            assert_int_equal(e->records[i].position, d->r.position);
        }
        brought += e->count;
        *at = e->new_size;
        mail_drop((struct mail *)l);
    }
    mails = rest;
    assert_int_equal(*at, disk_slot_of(slot)->size);
    struct store_slot shown;
    OK(follow_at(&w.r, slot, &shown));
    assert_int_equal(shown.size, *at);
    assert_int_equal(shown.checkpoint_size, disk_slot_of(slot)->checkpoint_size);
    return brought;
}

static void same_state(uint32_t slot)
{
    struct hash theirs = hub_digest_of(&w.hub, slot), ours;
    OK(slotlog_digest(follower()->slots[slot].log, &ours));
    assert_memory_equal(&ours, &theirs, sizeof ours);
}

static uint64_t count_of(enum metric id, unsigned label)
{
    return (uint64_t)metrics_value(w.r.metrics, id, label);
}

/* ---- tests ---- */

static void what_another_relay_commits_is_polled(void **state)
{
    (void)state;
    tree_size at[SLOTS] = {0};
    struct store_slot shown;
    assert_int_equal(follow_loading(&w.r), SLOTS);
    EXPECT(ERR_UNAVAILABLE, follow_at(&w.r, 0, &shown));
    turn();
    assert_int_equal(follow_loading(&w.r), 0);
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        assert_int_equal(check_events(slot, &at[slot]), 0);
        same_state(slot);
    }
    owner_writes(&w.people[0], 7);
    owner_writes(&w.people[2], 5);
    turn_until_even();
    assert_int_equal(check_events(0, &at[0]), 12);
    same_state(0);
    assert_int_equal(count_of(METRIC_FOLLOWED, M_SOURCE_STORE), 12);
    assert_true(region_rung > 0);
    struct recover_mark mark = highwater_get(&w.r.highwater, 0);
    assert_int_equal(mark.size, at[0]);
}

static void slots_are_loaded_beside_the_others(void **state)
{
    (void)state;
    tree_size at[SLOTS] = {0};
    OK(follow_start(&w.r));
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        assert_true(follow_wait(&w.r, slot, disk_slot_of(slot)->size, 5000));
    assert_true(follow_joined(&w.r) || follow_loading(&w.r) == 0);
    follow_stop(&w.r);
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        assert_int_equal(check_events(slot, &at[slot]), 0);
    owner_writes(&w.people[0], 2); /* the wheel goes on by hand */
    turn_until_even();
    assert_int_equal(check_events(0, &at[0]), 2);
}

static void a_carried_batch_needs_no_store(void **state)
{
    (void)state;
    tree_size at = 0;
    w.config.region.poll_ms = 60000;
    turn();
    (void)check_events(0, &at);
    uint64_t looks = count_of(METRIC_FOLLOW_LOOKS, 0);
    for (int i = 0; i < 20; i++) {
        tree_size first = disk_slot_of(0)->size;
        owner_writes(&w.people[0], 3);
        hear(0, owner_says(0, first));
        turn();
        assert_int_equal(check_events(0, &at), 3);
    }
    same_state(0);
    assert_int_equal(count_of(METRIC_FOLLOW_LOOKS, 0), looks);
    assert_int_equal(count_of(METRIC_FOLLOWED, M_SOURCE_BUS), 60);
    assert_int_equal(count_of(METRIC_BUS_HEARD, BUS_USED), 20);
}

static void a_lost_message_sends_to_the_store_at_once(void **state)
{
    (void)state;
    tree_size at = 0;
    w.config.region.poll_ms = 60000;
    turn();
    (void)check_events(0, &at);
    owner_writes(&w.people[0], 2); /* nobody is told */
    tree_size first = disk_slot_of(0)->size;
    owner_writes(&w.people[0], 2);
    hear(0, owner_says(0, first));
    turn();
    assert_int_equal(check_events(0, &at), 4);
    assert_int_equal(count_of(METRIC_BUS_HEARD, BUS_GAP), 1);
    owner_writes(&w.people[0], 2);
    follow_ring(&w.r, 0, disk_slot_of(0)->size); /* who else may know */
    turn();
    assert_int_equal(check_events(0, &at), 2);
}

static void a_batch_too_large_to_carry_rings(void **state)
{
    (void)state;
    tree_size at = 0;
    w.config.region.poll_ms = 60000;
    turn();
    (void)check_events(0, &at);
    tree_size first = disk_slot_of(0)->size;
    owner_writes(&w.people[0], BUS_RECORDS_MAX + 1);
    struct bus_out *m = owner_says(0, first);
    assert_true(m->size < 1024);
    hear(0, m);
    turn();
    assert_int_equal(count_of(METRIC_BUS_HEARD, BUS_RANG), 1);
    assert_int_equal(check_events(0, &at), BUS_RECORDS_MAX + 1);
}

static void more_than_an_event_holds_is_read_by_subscribers(void **state)
{
    (void)state;
    tree_size at = 0;
    turn();
    (void)check_events(0, &at);
    for (int i = 0; i < 3; i++)
        owner_writes(&w.people[0], FOLLOW_EVENT_RECORDS / 2);
    turn_until_even();
    struct event *e = ((struct mail *)mails.last)->event;
    assert_int_equal(e->new_size - e->old_size, FOLLOW_EVENT_RECORDS / 2 * 3);
    assert_int_equal(e->count, 0);
    (void)check_events(0, &at);
    same_state(0);
}

/* The same person, pinned to the region. */
static void open_pinned(void)
{
    struct kit_open o = {.federation = kit_hash(1),
                         .hub = HUB_NAME,
                         .root = kit_key(HUB_KEY_FREE + 50),
                         .device = kit_key(HUB_KEY_FREE + 51),
                         .residency = RESIDENCY_PINNED,
                         .nonce = 99};
    person_init(&w.pinned, &w.hub, 0, HUB_KEY_FREE + 50);
    kit_open_in_slot(&w.pinned.entry, &o, 0, SLOTS);
    w.pinned.id = w.pinned.entry.e.id;
    w.pinned.chain = (struct chain){.next_seq = 1, .tip = w.pinned.id, .tip_lamport = 1};
    told_pinned = w.pinned.id;
    person_send(&w.pinned, &w.hub, 1);
    OK(hub_commit(&w.hub));
    hub_forget(&w.hub);
}

static void pinned_records_are_never_carried_and_known_before_they_are_told(void **state)
{
    (void)state;
    tree_size at = 0;
    struct pubkey device = key_public(kit_key(HUB_KEY_FREE + 51));
    w.config.region.poll_ms = 60000;
    turn();
    (void)check_events(0, &at);
    tree_size first = disk_slot_of(0)->size;
    open_pinned();
    /* Its owner knows that it is pinned before it says anything of it. */
    struct account *a = hub_account_at(&w.hub, &w.pinned.id);
    struct pinned owners, listeners = w.r.pinned;
    OK(pinned_open(&owners, 9, NULL, 0));
    OK(pinned_update(&owners, a));
    w.r.pinned = owners;
    struct bus_out *m = owner_says(0, first);
    w.r.pinned = listeners;
    pinned_close(&owners);
    assert_null(memmem(m->data, m->size, w.pinned.entry.bytes, w.pinned.entry.size));
    assert_null(memmem(m->data, m->size, w.pinned.id.b, sizeof w.pinned.id.b));
    assert_false(pinned_is(&w.r.pinned, &w.pinned.id));
    hear(0, m);
    turn();
    const struct event *e = ((struct mail *)mails.last)->event;
    assert_true(e->any_pinned);
    assert_true(e->records[0].public_size < e->records[0].size);
    assert_int_equal(check_events(0, &at), 1);
    assert_true(pinned_is(&w.r.pinned, &w.pinned.id));
    assert_true(pinned_may_read(&w.r.pinned, &w.pinned.id, &device));
    assert_false(pinned_may_read(&w.r.pinned, &w.pinned.id, NULL));
}

static void a_slot_of_our_own_is_not_followed(void **state)
{
    (void)state;
    struct store_slot shown;
    turn();
    assert_non_null(follower()->slots[0].log);
    owned[0] = true;
    turn();
    assert_null(follower()->slots[0].log);
    owner_writes(&w.people[0], 3); /* as our commit thread */
    const struct disk_slot *s = disk_slot_of(0);
    hear(0, owner_says(0, s->size - 3));
    assert_int_equal(atomic_load(&follower()->news_count), 0);
    follow_own(&w.r, 0, s->size, bytes_of(s->checkpoint, s->checkpoint_size));
    OK(follow_at(&w.r, 0, &shown));
    assert_int_equal(shown.size, s->size);
    owned[0] = false; /* let go: another relay goes on */
    owner_writes(&w.people[0], 3);
    follow_owners(&w.r);
    turn();
    OK(follow_at(&w.r, 0, &shown));
    assert_int_equal(shown.size, s->size);
    same_state(0);
    assert_true(pinned_is(&w.r.pinned, &w.people[0].id) == false);
}

static void swap_slot(struct disk *a, struct disk *b)
{
    struct disk_slot kept = a->slot[0];
    a->slot[0] = b->slot[0];
    b->slot[0] = kept;
}

static void nothing_older_is_shown_when_the_store_is_set_back(void **state)
{
    (void)state;
    struct store_slot shown;
    turn();
    struct disk *backup = disk_copy(w.hub.disk);
    owner_writes(&w.people[0], 4);
    turn_until_even();
    swap_slot(w.hub.disk, backup);
    uint64_t end = clock_mono_ms() + 2000;
    while (follow_at(&w.r, 0, &shown) == ERR_OK && clock_mono_ms() < end)
        (void)follow_turn(follower(), 1);
    EXPECT(ERR_UNAVAILABLE, follow_at(&w.r, 0, &shown));
    assert_int_equal(follow_loading(&w.r), 1);
    OK(follow_at(&w.r, 1, &shown));
    swap_slot(w.hub.disk, backup);
    disk_close(backup);
    turn_until_even();
    end = clock_mono_ms() + 2000;
    while (follow_at(&w.r, 0, &shown) != ERR_OK && clock_mono_ms() < end)
        (void)follow_turn(follower(), 1);
    OK(follow_at(&w.r, 0, &shown));
    assert_int_equal(shown.size, disk_slot_of(0)->size);
}

static void a_reader_waits_for_what_an_owner_has_shown(void **state)
{
    (void)state;
    struct store_slot shown;
    turn();
    tree_size size = disk_slot_of(0)->size;
    follow_seen(&w.r, 0, size + 1);
    uint64_t began = clock_mono_ms();
    EXPECT(ERR_UNAVAILABLE, follow_at(&w.r, 0, &shown));
    assert_true(clock_mono_ms() - began >= FOLLOW_READ_WAIT_MS - 5);
    owner_writes(&w.people[0], 1);
    turn();
    OK(follow_at(&w.r, 0, &shown));
    assert_int_equal(shown.size, size + 1);
    assert_false(follow_wait(&w.r, 0, size + 2, 20));
    assert_true(follow_wait(&w.r, 0, size + 1, 20));
}

/* Its answer is quicker than the bus, which brings the records and costs the store nothing. */
static void what_an_owner_has_shown_is_left_to_the_bus_for_a_moment(void **state)
{
    (void)state;
    tree_size at = 0;
    bool held_up = false;
    w.config.region.poll_ms = 60000;
    turn();
    for (int i = 0; i < 3; i++) {
        tree_size first = disk_slot_of(0)->size;
        owner_writes(&w.people[0], 1);
        uint64_t looks = count_of(METRIC_FOLLOW_LOOKS, 0), began = clock_mono_ms();
        follow_seen(&w.r, 0, first + 1);
        turn();
        /* Until the bus has carried something, it is not waited for; then for as long as this
         * thread may have been held up. */
        held_up |= clock_mono_ms() - began >= BUS_EXPECT_MS;
        assert_true(held_up || count_of(METRIC_FOLLOW_LOOKS, 0) == looks + (i == 0));
        struct bus_out *said = owner_says(0, first);
        if (i == 0) {
            owner_writes(&w.people[0], 1);
            free(said);
            said = owner_says(0, first + 1);
        }
        hear(0, said);
        turn();
        (void)check_events(0, &at);
    }
    assert_true(held_up || count_of(METRIC_BUS_HEARD, BUS_USED) == 3);
    owner_writes(&w.people[0], 1); /* and when it stays away, the store has it */
    follow_seen(&w.r, 0, disk_slot_of(0)->size);
    uint64_t began = clock_mono_ms();
    turn_until_even();
    assert_true(clock_mono_ms() - began >= BUS_EXPECT_MS - 5);
    assert_int_equal(check_events(0, &at), 1);
}

/* The channels of this relay look at the store when there is something on them. */
static void only_payments_ring_for_the_channels(void **state)
{
    (void)state;
    w.config.region.poll_ms = 60000;
    turn();
    unsigned rung = region_rung;
    tree_size first = disk_slot_of(0)->size;
    owner_writes(&w.people[0], 3);
    hear(0, owner_says(0, first));
    turn();
    assert_int_equal(region_rung, rung);
    first = disk_slot_of(0)->size;
    person_pay(&w.people[0], &w.people[1].id, 5); /* who is in the other slot */
    person_send(&w.people[0], &w.hub, 1);
    OK(hub_commit(&w.hub));
    hub_forget(&w.hub);
    hear(0, owner_says(0, first));
    turn();
    assert_true(region_rung > rung);
    turn_until_even();
}

static void a_store_that_does_not_answer_is_asked_again(void **state)
{
    (void)state;
    tree_size at = 0;
    turn();
    (void)check_events(0, &at);
    owner_writes(&w.people[0], 2);
    w.hub.disk->read_fails = ERR_STORE;
    turn_until_even();
    assert_int_equal(check_events(0, &at), 2);
    assert_int_equal(broken, 0);
    owner_writes(&w.people[0], 2);
    w.hub.disk->read_fails = ERR_IO;
    usleep(POLL_MS * 2000);
    turn();
    assert_int_equal(broken, 1);
}

static void a_flood_is_dropped_and_looked_up(void **state)
{
    (void)state;
    tree_size at = 0;
    static uint8_t rubbish[100];
    w.config.region.poll_ms = 60000;
    turn();
    (void)check_events(0, &at);
    owner_writes(&w.people[0], 2);
    for (unsigned i = 0; i < 3 * FOLLOW_NEWS_MAX; i++)
        follow_heard(follower(), 0, bytes_of(rubbish, sizeof rubbish));
    assert_true(atomic_load(&follower()->news_count) <= FOLLOW_NEWS_MAX + 1);
    assert_int_equal(count_of(METRIC_BUS_HEARD, M_BUS_HEARD_LATE), 2 * FOLLOW_NEWS_MAX);
    for (int i = 0; i < 100; i++)
        turn();
    assert_int_equal(check_events(0, &at), 2);
    assert_int_equal(atomic_load(&follower()->news_count), 0);
    assert_int_equal(atomic_load(&follower()->news_bytes), 0);
    assert_int_equal(count_of(METRIC_BUS_HEARD, BUS_MALFORMED), FOLLOW_NEWS_MAX);
}

/* The log's key signed another tree of the size that is shown. */
static void a_fork_on_the_bus_is_kept_as_evidence(void **state)
{
    char dir[] = "/tmp/stoa-fork-XXXXXX", command[200], note[CHECKPOINT_BYTES_MAX];
    uint8_t data[BUS_HEAD_BYTES_MAX];
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(w.config.hub.state_dir, sizeof w.config.hub.state_dir, "%s", dir);
    turn();
    struct checkpoint c = {.size = disk_slot_of(0)->size, .root = kit_hash(77)};
    snprintf(c.origin, sizeof c.origin, "%s", w.hub.log_keys[0].name);
    size_t size = checkpoint_sign(note, sizeof note, &c, &w.hub.log_keys[0], w.r.keys.log);
    struct bus_message m = {.sender = bytes_of("owner", 5),
                            .epoch = 9,
                            .first = c.size - 1,
                            .last = c.size,
                            .note = bytes_of(note, size)};
    struct mp_writer out = mp_writer_of(data, sizeof data);
    bus_put(&out, &m);
    for (int i = 0; i < 3; i++)
        follow_heard(follower(), 0, bytes_of(data, out.size));
    turn();
    assert_int_equal(count_of(METRIC_BUS_HEARD, BUS_FORK), 3);
    same_state(0);
    snprintf(command, sizeof command, "test $(ls %s/evidence/fork-*.evidence | wc -l) = 1", dir);
    assert_int_equal(system(command), 0);
    snprintf(command, sizeof command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

/* A bus that does what it likes with what it is given. */
static void liar_passes(struct rng *rng, struct bus_out *m, uint32_t slot,
                        struct bus_out *kept[8])
{
    unsigned k = rng_below(rng, 8), times = rng_below(rng, 3);
    switch (rng_below(rng, 6)) {
    case 0: /* drops */
        free(m);
        return;
    case 1: /* mends */
        m->data[rng_below(rng, m->size)] ^= (uint8_t)(1u << rng_below(rng, 8));
        break;
    case 2: /* sends to the wrong door */
        slot = 1 - slot;
        break;
    default:
        break;
    }
    for (unsigned i = 0; i <= times; i++) /* doubles */
        follow_heard(follower(), slot, bytes_of(m->data, m->size));
    if (kept[k]) { /* replays, late and out of order */
        follow_heard(follower(), kept[k]->slot,
                     bytes_of(kept[k]->data, kept[k]->size));
        free(kept[k]);
    }
    kept[k] = m;
}

static void whatever_the_bus_does_every_record_is_told_once(void **state)
{
    (void)state;
    struct bus_out *kept[8] = {0};
    tree_size at[SLOTS] = {0};
    struct rng rng = {clock_mono_us()};
    print_message("seed %llu\n", (unsigned long long)rng.state);
    turn();
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        (void)check_events(slot, &at[slot]);
    for (int i = 0; i < CHAOS_ROUNDS; i++) {
        uint32_t slot = rng_below(&rng, SLOTS);
        tree_size first = disk_slot_of(slot)->size;
        owner_writes(&w.people[slot], 1 + (int)rng_below(&rng, 5));
        if (rng_below(&rng, 10) > 0)
            liar_passes(&rng, owner_says(slot, first), slot, kept);
        if (rng_below(&rng, 3) == 0)
            turn();
        if (rng_below(&rng, 20) == 0) { /* it was ours for a while */
            owned[slot] = !owned[slot];
            turn();
        }
    }
    owned[0] = owned[1] = false;
    for (int i = 0; i < 20; i++)
        turn();
    turn_until_even();
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        (void)check_events(slot, &at[slot]);
        same_state(slot);
    }
    assert_true(count_of(METRIC_FOLLOWED, M_SOURCE_BUS) > 0);
    assert_true(count_of(METRIC_FOLLOWED, M_SOURCE_STORE) > 0);
    assert_int_equal(broken, 0);
    for (size_t i = 0; i < 8; i++)
        free(kept[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_another_relay_commits_is_polled),
        TEST(slots_are_loaded_beside_the_others),
        TEST(a_carried_batch_needs_no_store),
        TEST(a_lost_message_sends_to_the_store_at_once),
        TEST(a_batch_too_large_to_carry_rings),
        TEST(more_than_an_event_holds_is_read_by_subscribers),
        TEST(pinned_records_are_never_carried_and_known_before_they_are_told),
        TEST(a_slot_of_our_own_is_not_followed),
        TEST(nothing_older_is_shown_when_the_store_is_set_back),
        TEST(a_reader_waits_for_what_an_owner_has_shown),
        TEST(what_an_owner_has_shown_is_left_to_the_bus_for_a_moment),
        TEST(only_payments_ring_for_the_channels),
        TEST(a_store_that_does_not_answer_is_asked_again),
        TEST(a_flood_is_dropped_and_looked_up),
        TEST(a_fork_on_the_bus_is_kept_as_evidence),
        TEST(whatever_the_bus_does_every_record_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
