/* Paying through a hub that loses, delays and lies: once and only once. */
#include "desk.h"

static void a_payment_is_credited_and_proven(void **state)
{
    struct desk *d = *state;
    stoa_receipt r = {.size = sizeof(r)};
    desk_funded(d, 1, 0);
    desk_funded(d, 0, 100 * POINT);
    assert_int_equal(desk_settled(d, 0), 100 * POINT);
    GOOD(d, desk_pay(d, 0, 1, 25 * POINT, NULL, &r));
    assert_int_equal(r.state, STOA_CREDITED);
    assert_false(r.hubs_word);
    assert_false(r.resumed);
    assert_int_equal(r.amount, 25 * POINT);
    assert_int_equal(fakehub_balance(&d->hub, &d->account[1]), 25 * POINT);
    desk_sync(d, 0);
    assert_int_equal(desk_settled(d, 0), 75 * POINT);
}

static void what_is_under_way_shows_as_pending(void **state)
{
    struct desk *d = *state;
    stoa_receipt r = {.size = sizeof(r)};
    stoa_balance b = {.size = sizeof(b)};
    stoa_how how = STOA_HOW_INIT;
    desk_funded(d, 1, 0);
    desk_funded(d, 0, 100 * POINT);
    how.wait = STOA_SAVED;
    GOOD(d, desk_pay(d, 0, 1, 10 * POINT, &how, &r));
    assert_int_equal(r.state, STOA_SAVED);
    assert_int_equal(d->hub.submits, 2); /* the two opens */
    GOOD(d, stoa_balance_get(d->w[0], &d->account[0], &b, &d->error));
    assert_int_equal(b.settled, 100 * POINT);
    assert_int_equal(b.pending_out, 10 * POINT);
    GOOD(d, stoa_resume(d->w[0], NULL, NULL, STOA_CREDITED, 0, NULL, NULL, &d->error));
    GOOD(d, stoa_outgoing_find(d->w[0], &r.id, &r, &d->error));
    assert_int_equal(r.state, STOA_CREDITED);
    desk_sync(d, 0);
    GOOD(d, stoa_balance_get(d->w[0], &d->account[0], &b, &d->error));
    assert_int_equal(b.settled, 90 * POINT);
    assert_int_equal(b.pending_out, 0);
}

static void too_much_is_refused_before_anything_is_signed(void **state)
{
    struct desk *d = *state;
    desk_funded(d, 1, 0);
    desk_funded(d, 0, 10 * POINT);
    unsigned submits = d->hub.submits;
    assert_int_equal(desk_pay(d, 0, 1, 11 * POINT, NULL, NULL), STOA_REFUSED);
    assert_string_equal(d->error.word, "balance");
    assert_int_equal(d->hub.submits, submits);
    GOOD(d, desk_pay(d, 0, 1, 10 * POINT, NULL, NULL));
}

static void a_lost_answer_is_unknown_and_resume_finds_out(void **state)
{
    struct desk *d = *state;
    stoa_receipt r = {.size = sizeof(r)};
    desk_funded(d, 1, 0);
    desk_funded(d, 0, 100 * POINT);
    d->hub.fault = FAKE_CUT_AFTER;
    assert_int_equal(desk_pay(d, 0, 1, 25 * POINT, NULL, &r), STOA_UNKNOWN);
    assert_int_equal(r.state, STOA_SENT);
    stoa_id first = r.id;
    desk_connect(d, 0);
    GOOD(d, stoa_resume(d->w[0], NULL, &first, STOA_CREDITED, 0, NULL, NULL, &d->error));
    GOOD(d, stoa_outgoing_find(d->w[0], &first, &r, &d->error));
    assert_int_equal(r.state, STOA_CREDITED);
    assert_int_equal(fakehub_balance(&d->hub, &d->account[1]), 25 * POINT);
}

static void paying_again_after_a_lost_answer_does_not_pay_twice(void **state)
{
    static const enum fake_fault faults[] = {FAKE_CUT_BEFORE, FAKE_CUT_AFTER,
                                             FAKE_SILENT};
    struct desk *d = *state;
    desk_funded(d, 1, 0);
    desk_funded(d, 0, 100 * POINT);
    for (int i = 0; i < 3; i++) {
        stoa_receipt r = {.size = sizeof(r)};
        stoa_how how = STOA_HOW_INIT;
        how.timeout_ms = 100;
        d->hub.fault = faults[i];
        assert_int_equal(desk_pay(d, 0, 1, 5 * POINT, &how, &r), STOA_UNKNOWN);
        stoa_id first = r.id;
        desk_again(d, 0, true);
        GOOD(d, desk_pay(d, 0, 1, 5 * POINT, NULL, &r));
        assert_memory_equal(&first, &r.id, sizeof(first));
        assert_true(r.resumed);
        assert_int_equal(fakehub_balance(&d->hub, &d->account[1]), (i + 1) * 5 * POINT);
        desk_sync(d, 0);
        assert_int_equal(desk_settled(d, 0), (100 - (i + 1) * 5) * POINT);
    }
}

/* The disk fails at its n-th step during a payment; the process ends; the command is
 * given again. For every n, the payee got it exactly once. */
static void a_crash_at_any_save_pays_once(void **state)
{
    struct desk *d = *state;
    int64_t paid = 0;
    desk_funded(d, 1, 0);
    desk_funded(d, 0, 1000 * POINT);
    for (int n = 0; n < 40; n++) {
        struct desk_nth at = {.left = n, .lasting = true};
        stoa_receipt r = {.size = sizeof(r)};
        client_store_set_fault(d->w[0]->store, desk_fail_nth, &at);
        stoa_result first = desk_pay(d, 0, 1, POINT, NULL, &r);
        client_store_set_fault(d->w[0]->store, NULL, NULL);
        bool done = first == STOA_OK;
        desk_again(d, 0, true);
        if (!done)
            GOOD(d, desk_pay(d, 0, 1, POINT, NULL, &r));
        paid += POINT;
        fakehub_settle(&d->hub);
        int64_t got = fakehub_balance(&d->hub, &d->account[1]);
        assert_int_equal(got, paid);
        desk_sync(d, 0);
        if (!at.hit) {
            assert_true(n > 3);
            return;
        }
    }
    fail_msg("never ran through");
}

static void a_request_id_names_one_payment_for_ever(void **state)
{
    struct desk *d = *state;
    stoa_receipt a = {.size = sizeof(a)}, b = {.size = sizeof(b)};
    stoa_how how = STOA_HOW_INIT;
    how.request = "invoice-17";
    desk_funded(d, 1, 0);
    desk_funded(d, 0, 100 * POINT);
    GOOD(d, desk_pay(d, 0, 1, POINT, &how, &a));
    GOOD(d, desk_pay(d, 0, 1, POINT, &how, &b));
    assert_memory_equal(&a.id, &b.id, sizeof(a.id));
    assert_true(b.resumed);
    assert_int_equal(fakehub_balance(&d->hub, &d->account[1]), POINT);
    how.request = "invoice-18";
    GOOD(d, desk_pay(d, 0, 1, POINT, &how, &b));
    assert_int_equal(fakehub_balance(&d->hub, &d->account[1]), 2 * POINT);
}

static void a_request_id_does_not_cover_another_payment(void **state)
{
    struct desk *d = *state;
    stoa_how how = STOA_HOW_INIT;
    how.request = "invoice-17";
    desk_funded(d, 1, 0);
    desk_funded(d, 0, 100 * POINT);
    GOOD(d, desk_pay(d, 0, 1, POINT, &how, NULL));
    assert_int_equal(desk_pay(d, 0, 1, 2 * POINT, &how, NULL), STOA_USAGE);
    assert_string_equal(d->error.word, "exists");
    assert_int_equal(stoa_note(d->w[0], &d->account[0], "x", 1, &how, NULL, &d->error),
                     STOA_USAGE);
    assert_int_equal(fakehub_balance(&d->hub, &d->account[1]), POINT);
    GOOD(d, desk_pay(d, 0, 1, POINT, &how, NULL));
    assert_int_equal(fakehub_balance(&d->hub, &d->account[1]), POINT);
}

static void a_busy_hub_is_asked_again(void **state)
{
    struct desk *d = *state;
    desk_funded(d, 1, 0);
    desk_funded(d, 0, 100 * POINT);
    d->hub.fault = FAKE_BUSY;
    GOOD(d, desk_pay(d, 0, 1, POINT, NULL, NULL));
    assert_int_equal(fakehub_balance(&d->hub, &d->account[1]), POINT);
}

static void a_receipt_that_does_not_verify_is_not_accepted(void **state)
{
    struct desk *d = *state;
    stoa_receipt r = {.size = sizeof(r)};
    desk_funded(d, 1, 0);
    desk_funded(d, 0, 100 * POINT);
    d->hub.fault = FAKE_BAD_PATH;
    assert_int_equal(desk_pay(d, 0, 1, POINT, NULL, &r), STOA_NO);
    assert_int_equal(r.state, STOA_SENT);
    desk_again(d, 0, true);
    GOOD(d, stoa_resume(d->w[0], NULL, NULL, STOA_CREDITED, 0, NULL, NULL, &d->error));
    d->hub.fault = FAKE_BAD_NOTE;
    assert_int_equal(desk_pay(d, 0, 1, POINT, NULL, &r), STOA_NO);
    assert_int_equal(r.state, STOA_SENT);
    stoa_evidence x = {.size = sizeof(x)};
    assert_true(stoa_evidence_get(d->w[0], 0, &x));
}

static void credits_that_come_late_interrupt_and_resume_waits(void **state)
{
    struct desk *d = *state;
    stoa_receipt r = {.size = sizeof(r)};
    stoa_how how = STOA_HOW_INIT;
    how.timeout_ms = 60;
    desk_funded(d, 1, 0);
    desk_funded(d, 0, 100 * POINT);
    d->hub.hold_credits = true;
    assert_int_equal(desk_pay(d, 0, 1, POINT, &how, &r), STOA_INTERRUPTED);
    assert_int_equal(r.state, STOA_ACCEPTED);
    assert_int_equal(r.payees_left, 1);
    fakehub_settle(&d->hub);
    GOOD(d, stoa_resume(d->w[0], NULL, NULL, STOA_CREDITED, 0, NULL, NULL, &d->error));
    GOOD(d, stoa_outgoing_find(d->w[0], &r.id, &r, &d->error));
    assert_int_equal(r.state, STOA_CREDITED);
}

static void every_payee_is_proven_or_it_is_the_hubs_word(void **state)
{
    struct desk *d = *state;
    stoa_receipt r = {.size = sizeof(r)};
    desk_funded(d, 1, 0);
    desk_funded(d, 2, 0);
    desk_funded(d, 0, 100 * POINT);
    stoa_payee to[2] = {{.account = d->account[1], .amount = POINT},
                        {.account = d->account[2], .amount = POINT}};
    GOOD(d, stoa_send(d->w[0], &d->account[0], to, 2, NULL, &r, &d->error));
    assert_int_equal(r.state, STOA_CREDITED);
    assert_false(r.hubs_word);
    d->hub.settle_early = true;
    GOOD(d, stoa_send(d->w[0], &d->account[0], to, 2, NULL, &r, &d->error));
    assert_int_equal(r.state, STOA_CREDITED);
    assert_true(r.hubs_word);
}

static void a_payment_to_nobody_bounces(void **state)
{
    struct desk *d = *state;
    stoa_receipt r = {.size = sizeof(r)};
    desk_funded(d, 0, 100 * POINT);
    memset(&d->account[1], 0x5a, sizeof(d->account[1]));
    GOOD(d, desk_pay(d, 0, 1, POINT, NULL, &r));
    assert_true(r.bounced);
    desk_sync(d, 0);
    assert_int_equal(desk_settled(d, 0), 100 * POINT);
}

static void a_batch_is_one_save_and_goes_out_pipelined(void **state)
{
    enum { COUNT = 1500 };
    struct desk *d = *state;
    stoa_how how = STOA_HOW_INIT;
    how.wait = STOA_SAVED;
    desk_funded(d, 0, 0);
    GOOD(d, stoa_batch_begin(d->w[0], &d->error));
    for (int i = 0; i < COUNT; i++)
        GOOD(d, stoa_note(d->w[0], &d->account[0], &i, sizeof(i), &how, NULL, &d->error));
    GOOD(d, stoa_batch_end(d->w[0], true, &d->error));
    GOOD(d,
         stoa_resume(d->w[0], NULL, NULL, STOA_ACCEPTED, 20000, NULL, NULL, &d->error));
    desk_sync(d, 0);
    stoa_account a = {.size = sizeof(a)};
    GOOD(d, stoa_account_at(d->w[0], 0, &a, &d->error));
    assert_int_equal(a.position, COUNT + 1);
}

static void a_refused_entry_takes_those_chained_to_it_along(void **state)
{
    struct desk *d = *state;
    stoa_receipt r = {.size = sizeof(r)};
    stoa_how how = STOA_HOW_INIT;
    how.wait = STOA_SAVED;
    desk_funded(d, 1, 0);
    desk_funded(d, 0, 10 * POINT);
    GOOD(d, stoa_batch_begin(d->w[0], &d->error)); /* a batch is not checked for funds */
    GOOD(d, desk_pay(d, 0, 1, 20 * POINT, &how, NULL));
    GOOD(d, stoa_note(d->w[0], &d->account[0], "x", 1, &how, &r, &d->error));
    GOOD(d, stoa_batch_end(d->w[0], true, &d->error));
    d->error.size = sizeof(d->error);
    assert_int_equal(
        stoa_resume(d->w[0], NULL, NULL, STOA_ACCEPTED, 0, NULL, NULL, &d->error),
        STOA_REFUSED);
    assert_string_equal(d->error.word, "balance");
    GOOD(d, stoa_outgoing_find(d->w[0], &r.id, &r, &d->error));
    assert_int_equal(r.state, STOA_DROPPED);
    GOOD(d, desk_pay(d, 0, 1, 5 * POINT, NULL, NULL));
    assert_int_equal(fakehub_balance(&d->hub, &d->account[1]), 5 * POINT);
}

static void a_refusal_by_the_rules_counts_only_when_signed(void **state)
{
    struct desk *d = *state;
    stoa_receipt r = {.size = sizeof(r)};
    stoa_how how = STOA_HOW_INIT;
    how.wait = STOA_SAVED;
    desk_funded(d, 1, 0);
    desk_funded(d, 0, 10 * POINT);
    GOOD(d, stoa_batch_begin(d->w[0], &d->error)); /* a batch is not checked for funds */
    GOOD(d, desk_pay(d, 0, 1, 20 * POINT, &how, &r));
    GOOD(d, stoa_batch_end(d->w[0], true, &d->error));
    d->hub.fault = FAKE_UNSIGNED;
    assert_int_equal(
        stoa_resume(d->w[0], NULL, NULL, STOA_ACCEPTED, 0, NULL, NULL, &d->error),
        STOA_NO);
    GOOD(d, stoa_outgoing_find(d->w[0], &r.id, &r, &d->error));
    assert_int_equal(r.state, STOA_SENT);
    assert_int_equal(
        stoa_resume(d->w[0], NULL, NULL, STOA_ACCEPTED, 0, NULL, NULL, &d->error),
        STOA_REFUSED);
    GOOD(d, stoa_outgoing_find(d->w[0], &r.id, &r, &d->error));
    assert_int_equal(r.state, STOA_DROPPED);
}

static uint64_t stopped_clock(void)
{
    return UINT64_C(1700000000000);
}

static void the_door_cannot_refuse_what_was_sent_before(void **state)
{
    struct desk *d = *state;
    stoa_receipt r = {.size = sizeof(r)};
    desk_funded(d, 1, 0);
    desk_funded(d, 0, 100 * POINT);
    d->w[0]->now_ms = stopped_clock; /* entries alike, in one millisecond */
    d->hub.fault = FAKE_CUT_AFTER;
    assert_int_equal(desk_pay(d, 0, 1, POINT, NULL, &r), STOA_UNKNOWN);
    stoa_id first = r.id;
    desk_connect(d, 0);
    d->hub.fault = FAKE_DOOR;
    assert_int_equal(
        stoa_resume(d->w[0], NULL, NULL, STOA_ACCEPTED, 0, NULL, NULL, &d->error),
        STOA_UNKNOWN);
    GOOD(d, desk_pay(d, 0, 1, POINT, NULL, &r));
    assert_memory_equal(&first, &r.id, sizeof(first));
    assert_int_equal(fakehub_balance(&d->hub, &d->account[1]), POINT);
    d->hub.fault = FAKE_DOOR; /* the first time it is an answer */
    assert_int_equal(desk_pay(d, 0, 1, 2 * POINT, NULL, &r), STOA_REFUSED);
    assert_string_equal(d->error.word, "policy_kind");
    GOOD(d, desk_pay(d, 0, 1, 2 * POINT, NULL, &r));
    assert_int_equal(fakehub_balance(&d->hub, &d->account[1]), 3 * POINT);
}

static void a_refused_entry_leaves_other_devices_entries_alone(void **state)
{
    static uint8_t bytes[STOA_ENVELOPE_MAX];
    struct desk *d = *state;
    char request[STOA_TOKEN_MAX];
    size_t size;
    stoa_id device;
    stoa_account a = {.size = sizeof(a)};
    stoa_receipt r = {.size = sizeof(r)};
    stoa_how how = STOA_HOW_INIT;
    how.wait = STOA_SAVED;
    desk_funded(d, 2, 0);
    desk_wallet(d, 1);
    GOOD(d, stoa_device_request(d->w[1], request, &d->error));
    assert_true(stoa_device_request_parse(request, &device));
    desk_funded(d, 0, 10 * POINT);
    GOOD(d, stoa_device_add(d->w[0], &d->account[0], &device, NULL, NULL, &d->error));
    GOOD(d, stoa_account_at(d->w[0], 0, &a, &d->error));
    desk_connect(d, 1);
    GOOD(d, stoa_account_follow(d->w[1], a.address, "shared", &a, &d->error));
    GOOD(d, stoa_note(d->w[1], &d->account[0], "x", 1, &how, &r, &d->error));
    GOOD(d, stoa_entry_bytes(d->w[1], &r.id, bytes, &size, &d->error));
    desk_connect(d, 0);
    GOOD(d, stoa_batch_begin(d->w[0], &d->error)); /* a batch is not checked for funds */
    GOOD(d, desk_pay(d, 0, 2, 20 * POINT, &how, NULL));
    GOOD(d, stoa_batch_end(d->w[0], true, &d->error));
    GOOD(d, stoa_submit(d->w[0], bytes, size, 0, &r, &d->error));
    assert_true(r.state >= STOA_ACCEPTED && r.state != STOA_DROPPED);
}

static void bytes_signed_offline_can_be_handed_in_by_another(void **state)
{
    static uint8_t bytes[STOA_ENVELOPE_MAX];
    struct desk *d = *state;
    size_t size;
    stoa_receipt r = {.size = sizeof(r)};
    stoa_how how = STOA_HOW_INIT;
    how.wait = STOA_SAVED;
    desk_funded(d, 0, 10 * POINT);
    desk_funded(d, 1, 0);
    desk_again(d, 0, false);
    GOOD(d, desk_pay(d, 0, 1, POINT, &how, &r));
    GOOD(d, stoa_entry_bytes(d->w[0], &r.id, bytes, &size, &d->error));
    desk_connect(d, 1);
    GOOD(d, stoa_submit(d->w[1], bytes, size, 0, &r, &d->error));
    assert_int_equal(r.state, STOA_ACCEPTED);
    desk_connect(d, 0);
    desk_sync(d, 0);
    GOOD(d, stoa_outgoing_find(d->w[0], &r.id, &r, &d->error));
    assert_true(r.state >= STOA_ACCEPTED);
    assert_int_equal(desk_settled(d, 0), 9 * POINT);
}

static void two_copies_of_a_device_cannot_both_spend(void **state)
{
    struct desk *d = *state;
    char cmd[256];
    stoa_how how = STOA_HOW_INIT;
    desk_funded(d, 1, 0);
    desk_funded(d, 0, 10 * POINT);
    stoa_wallet_close(d->w[0]);
    d->w[0] = NULL;
    snprintf(d->path[2], sizeof(d->path[2]), "%s/copy", d->dir);
    snprintf(cmd, sizeof(cmd), "cp -r %s %s", d->path[0], d->path[2]);
    assert_int_equal(system(cmd), 0);
    d->account[2] = d->account[0];
    desk_again(d, 2, true);
    GOOD(d, desk_pay(d, 2, 1, 2 * POINT, NULL, NULL));
    desk_again(d, 0, true);
    how.timeout_ms = 500;
    assert_int_equal(desk_pay(d, 0, 1, 3 * POINT, &how, NULL), STOA_REFUSED);
    assert_string_equal(d->error.word, "seq_taken");
    desk_sync(d, 0);
    GOOD(d, desk_pay(d, 0, 1, 3 * POINT, NULL, NULL));
    assert_int_equal(fakehub_balance(&d->hub, &d->account[1]), 5 * POINT);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, desk_open, desk_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_payment_is_credited_and_proven),
        CASE(what_is_under_way_shows_as_pending),
        CASE(too_much_is_refused_before_anything_is_signed),
        CASE(a_lost_answer_is_unknown_and_resume_finds_out),
        CASE(paying_again_after_a_lost_answer_does_not_pay_twice),
        CASE(a_crash_at_any_save_pays_once),
        CASE(a_request_id_names_one_payment_for_ever),
        CASE(a_request_id_does_not_cover_another_payment),
        CASE(a_busy_hub_is_asked_again),
        CASE(a_receipt_that_does_not_verify_is_not_accepted),
        CASE(credits_that_come_late_interrupt_and_resume_waits),
        CASE(every_payee_is_proven_or_it_is_the_hubs_word),
        CASE(a_payment_to_nobody_bounces),
        CASE(a_batch_is_one_save_and_goes_out_pipelined),
        CASE(a_refused_entry_takes_those_chained_to_it_along),
        CASE(a_refusal_by_the_rules_counts_only_when_signed),
        CASE(the_door_cannot_refuse_what_was_sent_before),
        CASE(a_refused_entry_leaves_other_devices_entries_alone),
        CASE(bytes_signed_offline_can_be_handed_in_by_another),
        CASE(two_copies_of_a_device_cannot_both_spend),
    };
    return cmocka_run_group_tests_name("pay", tests, NULL, NULL);
}
