/* Slots that come, go and are contradicted (relay/commit_region.c), and who looks at what other
 * relays' slots sent and settled (relay/region_channel.c): the real sequencer and the real channel
 * thread, with a store of leases that says what the test wants. */
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hub.h"
#include "ledger/store_lease.h"
#include "relay/clock.h"
#include "relay/commit_internal.h"
#include "relay/region_internal.h"
#include "tests/unit/relay/test.h"
#include "unit/account/kit.h"

#define SLOTS 4u
#define OURS 1u
#define THEIRS 2u
#define BATCH_WAIT_MS 10000u
#define QUIET_MS 300u
#define MANY 256u /* slots: more channels than are asked for at once */
#define LONG_AGO 7u /* record of THEIRS that settled something last */

struct world {
    struct hub hub;
    struct relay relay;
    struct relay_config config;
    struct region g;
    struct commit c;
    pthread_t thread;
    /* What the store says; set while the channel thread does not look. */
    struct store_lease leases;
    struct lease_channel row; /* how far THEIRS has settled OURS */
    struct lease_channel other_row; /* .. and slot 0; next_in 0: no such row */
    struct channel_item item; /* sent by THEIRS to OURS; index 0: none */
    struct store_reader reader;
    uint64_t read_from, read_count; /* of THEIRS, at the last look into its records */
    enum err items_say, channels_say;
    atomic_uint puts, items_asked, channels_asked;
    bool asked[2][MANY * MANY]; /* pairs of items, of channels; the channel thread's .. */
    atomic_uint asked_count[2];
};
static struct world *w;

/* Linked in the place of commit_event.c's (--wrap). */
enum err __wrap_pinned_load(struct commit *c, uint32_t slot);
void __wrap_event_reloaded(struct commit *c, uint32_t slot);

enum err __wrap_pinned_load(struct commit *c, uint32_t slot)
{
    (void)c;
    (void)slot;
    return ERR_OK;
}

void __wrap_event_reloaded(struct commit *c, uint32_t slot)
{
    (void)c;
    (void)slot;
}

static void note_pairs(unsigned which, const struct lease_pair pairs[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool *asked = &w->asked[which][pairs[i].source * MANY + pairs[i].destination];
        atomic_fetch_add(&w->asked_count[which], *asked ? 0u : 1u);
        *asked = true;
    }
}

static enum err say_items(struct store_lease *l, const struct lease_pair pairs[], size_t count,
                          uint32_t max,
                          bool (*visit)(void *context, const struct channel_item *item),
                          void *context)
{
    (void)l;
    atomic_fetch_add(&w->items_asked, 1u);
    note_pairs(0, pairs, count);
    for (size_t i = 0; i < count && max > 0; i++)
        if (w->items_say == ERR_OK && w->item.source_index > 0 && pairs[i].source == THEIRS &&
            pairs[i].destination == OURS)
            (void)visit(context, &w->item);
    return w->items_say;
}

static enum err say_channels(struct store_lease *l, const struct lease_pair pairs[], size_t count,
                             bool (*visit)(void *context, const struct lease_channel *c),
                             void *context)
{
    (void)l;
    atomic_fetch_add(&w->channels_asked, 1u);
    note_pairs(1, pairs, count);
    for (size_t i = 0; i < count; i++)
        if (w->channels_say == ERR_OK && pairs[i].source == OURS &&
            pairs[i].destination == THEIRS)
            (void)visit(context, &w->row);
    for (size_t i = 0; i < count; i++)
        if (w->other_row.next_in > 0 && pairs[i].source == 0 && pairs[i].destination == THEIRS)
            (void)visit(context, &w->other_row);
    return w->channels_say;
}

static enum err put_channels(struct store_lease *l, const struct lease_channel rows[],
                             size_t count, uint64_t epoch)
{
    (void)l;
    (void)rows;
    (void)count;
    assert_true(epoch > 0);
    atomic_fetch_add(&w->puts, 1u);
    return ERR_OK;
}

/* No record of these settled anything of ours. */
static enum err say_records(struct store_reader *r, uint32_t slot, uint64_t from, uint64_t max,
                            store_visit *visit, void *context)
{
    (void)r;
    (void)visit;
    (void)context;
    assert_int_equal(slot, THEIRS);
    w->read_from = from;
    w->read_count = max;
    return ERR_OK;
}

static const struct store_reader_ops reader_ops = {.records = say_records};
static const struct store_lease_ops lease_ops = {
    .items = say_items, .channels = say_channels, .channels_put = put_channels};

/* One relay of two: THEIRS is the other's, all else is here. */
static int setup(void **state)
{
    (void)state;
    w = calloc(1, sizeof *w);
    hub_create(&w->hub, SLOTS);
    w->config.region.poll_ms = 5;
    w->leases.ops = &lease_ops;
    w->relay = (struct relay){.slots = SLOTS,
                              .store = w->hub.store,
                              .log_vkeys = w->hub.log_keys,
                              .region = &w->g};
    atomic_init(&w->relay.config, &w->config);
    queue_init(&w->relay.commit);
    highwater_open(&w->relay.highwater, NULL, SLOTS);
    w->g.r = &w->relay;
    w->g.channels = w->g.commits = &w->leases;
    w->reader.ops = &reader_ops;
    w->g.reader = &w->reader;
    w->g.wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    w->g.bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    w->g.cells = calloc(SLOTS * SLOTS, sizeof *w->g.cells);
    w->c = (struct commit){.r = &w->relay, .config = w->hub.config, .q = w->hub.q};
    assert_int_equal(causes_open(&w->c.causes, 7), ERR_OK);
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        for (uint32_t other = 0; other < SLOTS; other++)
            atomic_store(&region_cell_of(&w->g, slot, other)->index, REGION_INDEX_UNKNOWN);
        w->c.held[slot] = w->c.introduced[slot] = slot != THEIRS;
    }
    sequencer_slot_release(w->c.q, THEIRS);
    region_channels(&w->c, &(struct region_batch){.item_count = 0}); /* what it sees is shown */
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    causes_close(&w->c.causes);
    highwater_close(&w->relay.highwater);
    queue_end(&w->relay.commit);
    struct chain_of_links left;
    while (queue_take(&w->relay.commit, &left, 100, 0))
        for (struct link *l; (l = links_pop(&left));)
            request_drop((struct request *)l);
    queue_close(&w->relay.commit);
    close(w->g.wake);
    close(w->g.bell);
    free(w->g.cells);
    hub_close(&w->hub);
    free(w);
    return 0;
}

static enum seq_slot_state state_of(uint32_t slot)
{
    return sequencer_slot_state(w->c.q, slot);
}

static enum region_news news_of(uint32_t slot)
{
    return (enum region_news)atomic_exchange(&w->g.news[slot], REGION_NO_NEWS);
}

static void order(uint32_t slot, enum region_order what)
{
    atomic_store(&w->g.order[slot], what);
    region_cycle(&w->c, clock_mono_ms());
}

/* ---- a slot goes, and comes back ---- */

static void a_slot_that_was_stopped_leaves_and_is_served_when_it_comes_back(void **state)
{
    (void)state;
    sequencer_slot_stop(w->c.q, OURS);
    w->c.doubted[OURS] = true;
    region_cycle(&w->c, clock_mono_ms() + 60000);
    assert_int_equal(state_of(OURS), SEQ_SLOT_STOPPED); /* nobody starts it here .. */
    order(OURS, REGION_LET_GO);
    assert_int_equal(news_of(OURS), REGION_LEFT);
    assert_false(w->c.held[OURS] || w->c.doubted[OURS]);
    order(OURS, REGION_LOAD); /* .. but it was mended elsewhere */
    assert_int_equal(state_of(OURS), SEQ_SLOT_READY);
    assert_int_equal(news_of(OURS), REGION_LOADED);
    assert_true(atomic_load(&w->g.owns[OURS]));
    assert_int_equal(atomic_load(&w->puts), 1);
}

/* ---- looking ---- */

static void start_looking(void)
{
    assert_int_equal(pthread_create(&w->thread, NULL, region_channel_thread, &w->g), 0);
}

static void stop_looking(void)
{
    atomic_store(&w->g.stop, true);
    region_bell(&w->g);
    pthread_join(w->thread, NULL);
}

/* The next batch that the channel thread hands over; NULL: none in that time. */
static struct request *next_batch(uint64_t wait_ms)
{
    struct chain_of_links got;
    uint64_t until = clock_mono_ms() + wait_ms;
    do {
        assert_true(queue_take(&w->relay.commit, &got, 1, wait_ms));
        if (got.first != NULL) {
            struct request *q = (struct request *)got.first;
            assert_int_equal(q->kind, REQUEST_CHANNEL);
            return q;
        }
    } while (clock_mono_ms() < until);
    return NULL;
}

/* A batch with what THEIRS has settled, as the commit thread takes it. */
static void take_jump(void)
{
    struct request *q = next_batch(BATCH_WAIT_MS);
    assert_non_null(q);
    assert_int_equal(q->channel->jump_count, 1);
    region_channels(&w->c, q->channel);
    request_drop(q);
}

static struct lease_channel settled_past_the_end(uint64_t past)
{
    uint64_t first, end;
    assert_true(sequencer_channel(w->c.q, OURS, THEIRS, &first, &end));
    return (struct lease_channel){
        .slot = THEIRS, .source = OURS, .next_in = end + past, .index = 9};
}

/* THEIRS has settled more than OURS ever sent: OURS is down. */
static void contradict(void)
{
    w->row = settled_past_the_end(1);
    start_looking();
    take_jump();
    assert_int_equal(state_of(OURS), SEQ_SLOT_DOWN);
}

static void who_is_contradicted_is_loaded_again_and_only_then_stops(void **state)
{
    (void)state;
    contradict();
    assert_int_equal(news_of(OURS), REGION_DOUBT); /* the lease may be another's by now */
    assert_false(slot_shown(&w->c, OURS));
    assert_null(next_batch(QUIET_MS)); /* who is not there is not asked about */
    region_cycle(&w->c, clock_mono_ms());
    assert_int_equal(state_of(OURS), SEQ_SLOT_READY);
    assert_int_equal(news_of(OURS), REGION_LOADED);
    take_jump();
    assert_int_equal(state_of(OURS), SEQ_SLOT_STOPPED);
    for (int i = 0; i < 3; i++)
        region_cycle(&w->c, clock_mono_ms() + 60000);
    assert_int_equal(state_of(OURS), SEQ_SLOT_STOPPED);
    assert_null(next_batch(QUIET_MS));
    assert_int_equal(state_of(0), SEQ_SLOT_READY);
    stop_looking();
}

static void who_is_borne_out_when_loaded_again_goes_on(void **state)
{
    (void)state;
    contradict();
    assert_null(next_batch(QUIET_MS));
    w->row.next_in -= 1; /* what it was told was of a copy that is gone */
    region_cycle(&w->c, clock_mono_ms());
    take_jump();
    assert_int_equal(state_of(OURS), SEQ_SLOT_READY);
    assert_true(slot_shown(&w->c, OURS));
    stop_looking();
}

/* Where a look failed, the other one is made, and what it saw is used. */
static void one_look_that_fails_does_not_hide_the_other(void **state)
{
    (void)state;
    w->row = settled_past_the_end(0);
    w->items_say = ERR_STORE;
    start_looking();
    take_jump();
    assert_true(atomic_load(&w->items_asked) > 0);
    assert_int_equal(atomic_load(&w->relay.exit_code), 0);
    stop_looking();
    atomic_store(&w->g.stop, false);
    atomic_store(&region_cell_of(&w->g, OURS, THEIRS)->index, REGION_INDEX_UNKNOWN);
    w->items_say = ERR_OK;
    w->channels_say = ERR_STORE;
    w->item = (struct channel_item){
        .source_slot = THEIRS, .destination_slot = OURS, .source_index = 7};
    start_looking();
    struct request *q = next_batch(BATCH_WAIT_MS);
    assert_non_null(q);
    assert_int_equal(q->channel->item_count, 1);
    assert_int_equal(q->channel->items[0].source_index, 7);
    assert_int_equal(q->channel->jump_count, 0);
    assert_true(atomic_load(&w->channels_asked) > 1);
    request_drop(q);
    stop_looking();
}

/* Damage that the first look finds is not forgotten over what the second one says. */
static void damage_is_not_forgotten_over_a_server_that_is_away(void **state)
{
    (void)state;
    w->items_say = ERR_CORRUPT;
    w->channels_say = ERR_STORE;
    start_looking();
    assert_null(next_batch(QUIET_MS)); /* nothing of that is handed on */
    stop_looking();
    assert_int_equal(atomic_load(&w->relay.exit_code), RELAY_EXIT_BROKEN);
    assert_int_equal(atomic_load(&w->relay.write_state), ERR_CORRUPT);
    assert_int_equal(atomic_load(&w->channels_asked), 1);
}

/* Items of this slot are open at THEIRS, and its last settlement there was LONG_AGO. */
static void open_items(uint32_t source, uint64_t from, uint64_t to)
{
    struct region_cell *cell = region_cell_of(&w->g, source, THEIRS);
    atomic_store(&cell->end, REGION_SENDS);
    atomic_store(&cell->from, from);
    atomic_store(&cell->to, to);
    atomic_store(&cell->index, LONG_AGO);
}

/* Not all that was written since the last payment is read for the next one; what is not found in
 * what is read, and what lies before it, is jumped to. */
static void a_channel_that_was_quiet_costs_a_bounded_look(void **state)
{
    const uint64_t now = 50000000;
    (void)state;
    open_items(OURS, 1, 3);
    open_items(0, 4, 6);
    w->row = (struct lease_channel){
        .slot = THEIRS, .source = OURS, .next_in = 2, .index = now};
    w->other_row = (struct lease_channel){
        .slot = THEIRS, .source = 0, .next_in = 5, .index = LONG_AGO + 20};
    start_looking();
    struct request *q = next_batch(BATCH_WAIT_MS);
    assert_non_null(q);
    assert_int_equal(w->read_count, REGION_LOOK_RECORDS);
    assert_int_equal(w->read_from, now + 1 - REGION_LOOK_RECORDS);
    assert_int_equal(q->channel->sent_count, 0);
    assert_int_equal(q->channel->jump_count, 2);
    assert_int_equal(q->channel->jumps[0].source, 0);
    assert_int_equal(q->channel->jumps[1].source, OURS);
    assert_int_equal(q->channel->jumps[1].next_in, 2);
    stop_looking();
    request_drop(q);
}

/* With more channels than are asked for at once, each of them has its turn, at both ends. */
static void of_many_channels_none_is_left_out(void **state)
{
    struct region_cell *few = w->g.cells;
    uint64_t until = clock_mono_ms() + BATCH_WAIT_MS;
    (void)state;
    w->g.cells = calloc(MANY * MANY, sizeof *w->g.cells);
    w->relay.slots = MANY;
    for (size_t i = 0; i < MANY * MANY; i++) {
        atomic_store(&w->g.cells[i].end, i % 2 == 0 ? REGION_RECEIVES : REGION_SENDS);
        atomic_store(&w->g.cells[i].index, REGION_INDEX_UNKNOWN);
    }
    start_looking();
    while ((atomic_load(&w->asked_count[0]) < MANY * MANY / 2 ||
            atomic_load(&w->asked_count[1]) < MANY * MANY / 2) &&
           clock_mono_ms() < until)
        assert_null(next_batch(5));
    stop_looking();
    assert_int_equal(atomic_load(&w->asked_count[0]), MANY * MANY / 2);
    assert_int_equal(atomic_load(&w->asked_count[1]), MANY * MANY / 2);
    free(w->g.cells);
    w->g.cells = few;
    w->relay.slots = SLOTS;
}

int main(void)
{
#define WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WORLD(a_slot_that_was_stopped_leaves_and_is_served_when_it_comes_back),
        WORLD(who_is_contradicted_is_loaded_again_and_only_then_stops),
        WORLD(who_is_borne_out_when_loaded_again_goes_on),
        WORLD(one_look_that_fails_does_not_hide_the_other),
        WORLD(damage_is_not_forgotten_over_a_server_that_is_away),
        WORLD(a_channel_that_was_quiet_costs_a_bounded_look),
        WORLD(of_many_channels_none_is_left_out),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kit_close();
    return failed;
}
