/* Records that were shown, taken in and never proven, because they are a liar's or the process
 * ended first: they are no reason to refuse what an honest hub shows afterwards. */
#include "desk.h"
#include "unit/account/kit.h"

#define LATER 3600000u /* no signature covers a record's place and clocks, only the tree does */
#define ROUNDS_MAX 30

struct lie {
    struct hash account;
    uint64_t position;
    enum { LIE_TIME, LIE_LAMPORT, LIE_INDEX, LIES } how;
};

static bool show_later(void *context, struct record *r, struct buf *envelope)
{
    const struct lie *x = context;
    struct entry e;
    if (entry_decode(&e, envelope->data, envelope->size) == ERR_OK &&
        hash_equal(entry_account(&e), &x->account) && r->position == x->position) {
        r->hub_time_ms += x->how == LIE_TIME ? LATER : 0;
        r->hub_lamport += x->how == LIE_LAMPORT ? LATER : 0;
        r->index += x->how == LIE_INDEX ? LATER : 0;
    }
    return true;
}

static uint32_t slot_of_first(struct desk *d)
{
    struct hash id = hash_of(&d->account[0]);
    return slot_of(&id, d->hub.h.slots);
}

static void write_note(struct desk *d)
{
    desk_connect(d, 0);
    GOOD(d, stoa_note(d->w[0], &d->account[0], "x", 1, NULL, NULL, &d->error));
}

/* Wallet 1 only reads; what it synced before is proven. */
static void reader(struct desk *d)
{
    stoa_account a = {.size = sizeof(a)};
    desk_funded(d, 0, 10 * POINT);
    desk_wallet(d, 1);
    d->account[1] = d->account[0];
    GOOD(d, stoa_account_at(d->w[0], 0, &a, &d->error));
    GOOD(d, stoa_account_follow(d->w[1], a.address, "", NULL, &d->error));
}

/* A sync at the liar, the disk failing at its n-th step. False: it has no such step. */
static bool lied_to(struct desk *d, const struct lie *x, int n)
{
    struct desk_nth at = {.left = n};
    d->hub.show = show_later;
    d->hub.show_context = (void *)(uintptr_t)x;
    desk_connect(d, 1);
    client_store_set_fault(d->w[1]->store, desk_fail_nth, &at);
    d->error.size = sizeof(d->error);
    stoa_result r = stoa_sync(d->w[1], &d->account[1], 0, &d->error);
    client_store_set_fault(d->w[1]->store, NULL, NULL);
    d->hub.show = NULL;
    assert_true(r == STOA_NO || (at.hit && r == STOA_CONFIG));
    if (n % 2)
        desk_again(d, 1, false);
    return at.hit;
}

static void honest_again(struct desk *d)
{
    stoa_balance b = {.size = sizeof(b)};
    stoa_account a = {.size = sizeof(a)}, own = {.size = sizeof(own)};
    desk_connect(d, 1);
    desk_sync(d, 1);
    GOOD(d, stoa_balance_get(d->w[1], &d->account[1], &b, &d->error));
    assert_int_equal(b.unproven, 0);
    GOOD(d, stoa_account_at(d->w[1], 0, &a, &d->error));
    desk_connect(d, 0);
    desk_sync(d, 0);
    GOOD(d, stoa_account_at(d->w[0], 0, &own, &d->error));
    assert_int_equal(a.position, own.position);
}

static void a_record_of_a_liar_is_replaced_by_the_true_one(void **state)
{
    struct desk *d = *state;
    reader(d);
    struct lie x = {.account = hash_of(&d->account[0])};
    for (x.how = 0; x.how < LIES; x.how++) {
        int n = 0;
        for (bool more = true; more; n++) {
            assert_in_range(n, 0, ROUNDS_MAX);
            write_note(d);
            x.position = d->w[1]->accounts[0]->row.position;
            more = lied_to(d, &x, n);
            if (n % 3)
                write_note(d); /* the true one does not follow on the liar's */
            honest_again(d);
        }
        assert_true(n > 4);
    }
}

static void log_key_changes(struct desk *d, uint32_t slot, uint32_t n)
{
    static struct kit_entry e;
    static struct payload p;
    struct hub *h = &d->hub.h;
    struct refusal r;
    const struct hub_account *hub = &sequencer_slotlog(h->q, slot)->hub;
    kit_hub_key(&p, hub, ROLE_LOG, h->config.log, kit_key(50 + n));
    kit_build_hub(&e, hub, kit_key(HUB_KEY_RELAY), &p);
    hub_crash(h);
    h->config.log = kit_key(50 + n);
    assert_int_equal(hub_start(h), ERR_OK);
    assert_int_equal(sequencer_submit(h->q, &e.e, 1, false, h->now_ms, &r), SEQ_QUEUED);
    assert_int_equal(hub_commit(h), ERR_OK);
}

/* The hub's own records are what others are read by: with a wrong one nothing goes on. */
static void a_record_of_the_hub_is_replaced_likewise(void **state)
{
    struct desk *d = *state;
    reader(d);
    uint32_t slot = slot_of_first(d);
    struct lie x = {.account = d->w[1]->log_open[slot]};
    int n = 0;
    for (bool more = true; more; n++) {
        assert_in_range(n, 0, ROUNDS_MAX);
        x.position = sequencer_slotlog(d->hub.h.q, slot)->hub.position;
        log_key_changes(d, slot, 2 * (uint32_t)n);
        more = lied_to(d, &x, n);
        if (n % 3)
            log_key_changes(d, slot, 2 * (uint32_t)n + 1);
        if (n % 4 > 1)
            write_note(d);
        honest_again(d);
    }
    assert_true(n > 4);
}

/* The liar's record stays, and one of the hub comes that stands before it in the log: on the disk
 * the two do not fit. */
static void what_does_not_replay_is_cut_when_nothing_proved_it(void **state)
{
    struct desk *d = *state;
    reader(d);
    struct lie x = {.account = hash_of(&d->account[0])};
    uint32_t key = 0;
    for (x.how = 0; x.how < LIES; x.how++) {
        int n = 0;
        for (bool more = true; more; n++) {
            stoa_balance b = {.size = sizeof(b)};
            assert_in_range(n, 0, ROUNDS_MAX);
            write_note(d);
            x.position = d->w[1]->accounts[0]->row.position;
            more = lied_to(d, &x, n);
            log_key_changes(d, slot_of_first(d), key++);
            desk_connect(d, 1); /* and takes it in */
            desk_again(d, 1, false);
            GOOD(d, stoa_balance_get(d->w[1], &d->account[1], &b, &d->error));
            assert_int_equal(b.settled, 10 * POINT);
            honest_again(d);
        }
        assert_true(n > 4);
    }
}

static void what_a_liar_shows_of_an_entry_of_ours_is_not_its_acceptance(void **state)
{
    struct desk *d = *state;
    stoa_receipt r = {.size = sizeof(r)};
    desk_funded(d, 0, 0);
    d->account[1] = d->account[0];
    struct lie x = {.account = hash_of(&d->account[0])};
    for (x.how = 0; x.how < LIES; x.how++) {
        desk_connect(d, 0);
        x.position = d->w[0]->accounts[0]->row.position;
        d->hub.fault = FAKE_CUT_AFTER;
        assert_int_equal(stoa_note(d->w[0], &d->account[0], "x", 1, NULL, &r, &d->error),
                         STOA_UNKNOWN);
        d->hub.show = show_later;
        d->hub.show_context = &x;
        desk_connect(d, 0);
        assert_int_equal(stoa_sync(d->w[0], NULL, 0, &d->error), STOA_NO);
        d->hub.show = NULL;
        GOOD(d, stoa_outgoing_find(d->w[0], &r.id, &r, &d->error));
        assert_int_equal(r.state, STOA_SENT);
        desk_connect(d, 0);
        desk_sync(d, 0);
        GOOD(d, stoa_outgoing_find(d->w[0], &r.id, &r, &d->error));
        assert_int_equal(r.state, STOA_CREDITED);
        assert_true(r.index < LATER && r.hub_lamport < LATER);
    }
}

/* At the first meeting the hub's records are known by their ids, which say nothing of a clock. */
static void a_head_is_made_though_the_first_meeting_was_with_a_liar(void **state)
{
    static char text[STOA_HEAD_MAX];
    struct desk *d = *state;
    stoa_head head = {.size = sizeof(head)};
    desk_funded(d, 0, 0);
    struct lie x = {.account = d->w[0]->log_open[slot_of_first(d)]};
    d->hub.show = show_later;
    d->hub.show_context = &x;
    desk_wallet(d, 1);
    d->hub.show = NULL;
    desk_connect(d, 1);
    GOOD(d, stoa_head_get(d->w[1], &d->account[0], text, &head, &d->error));
    assert_int_equal(head.position, 1);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, desk_open, desk_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_record_of_a_liar_is_replaced_by_the_true_one),
        CASE(a_record_of_the_hub_is_replaced_likewise),
        CASE(what_does_not_replay_is_cut_when_nothing_proved_it),
        CASE(what_a_liar_shows_of_an_entry_of_ours_is_not_its_acceptance),
        CASE(a_head_is_made_though_the_first_meeting_was_with_a_liar),
    };
    return cmocka_run_group_tests_name("unproven", tests, NULL, NULL);
}
