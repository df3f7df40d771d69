/* What a save that failed leaves: nothing on the disk, and nothing in memory that the disk does
 * not hold. */
#include "desk.h"

static unsigned accounts_of(struct desk *d, unsigned n)
{
    stoa_wallet_info info = {.size = sizeof(info)};
    stoa_wallet_get(d->w[n], &info);
    return info.accounts;
}

/* Every account is open in the ledger, and its own records are what the disk holds of it. */
static void accounts_replay(struct desk *d, unsigned n, unsigned count)
{
    assert_int_equal(accounts_of(d, n), count);
    GOOD(d, stoa_sync(d->w[n], NULL, 0, &d->error));
    desk_again(d, n, true);
    assert_int_equal(accounts_of(d, n), count);
    GOOD(d, stoa_sync(d->w[n], NULL, 0, &d->error));
    for (unsigned i = 0; i < count; i++) {
        stoa_account a = {.size = sizeof(a)};
        stoa_balance b = {.size = sizeof(b)};
        GOOD(d, stoa_account_at(d->w[n], i, &a, &d->error));
        GOOD(d, stoa_balance_get(d->w[n], &a.id, &b, &d->error));
        assert_true(a.position > 0);
    }
}

/* The row that the disk did not keep has its number taken by the next account. */
static void an_account_that_was_not_saved_is_forgotten(void **state)
{
    struct desk *d = *state;
    unsigned count = 0;
    int lost = 0;
    desk_wallet(d, 0);
    for (int n = 0;; n++) {
        struct desk_nth at = {.left = n};
        char name[2][16];
        stoa_id id;
        snprintf(name[0], sizeof(name[0]), "a%d", n);
        snprintf(name[1], sizeof(name[1]), "b%d", n);
        stoa_open_params a = {.size = sizeof(a), .name = name[0]},
                         b = {.size = sizeof(b), .name = name[1]};
        client_store_set_fault(d->w[0]->store, desk_fail_nth, &at);
        stoa_result r = stoa_account_open(d->w[0], &a, NULL, &id, NULL, &d->error);
        client_store_set_fault(d->w[0]->store, NULL, NULL);
        assert_int_equal(r == STOA_OK, !at.hit);
        GOOD(d, stoa_account_open(d->w[0], &b, NULL, &id, NULL, &d->error));
        GOOD(d, stoa_resume(d->w[0], NULL, NULL, STOA_ACCEPTED, 0, NULL, NULL, &d->error));
        bool kept = accounts_of(d, 0) == count + 2;
        lost += !kept;
        count += 1 + kept;
        accounts_replay(d, 0, count);
        if (!at.hit) {
            assert_true(kept);
            break;
        }
    }
    assert_in_range(lost, 2, count / 2); /* at its begin and at its commit, for two */
}

static void a_batch_given_up_takes_its_accounts_along(void **state)
{
    struct desk *d = *state;
    stoa_open_params p = {.size = sizeof(p), .name = "gone"}, q = {.size = sizeof(q)};
    stoa_how how = STOA_HOW_INIT;
    stoa_id id, gone;
    how.wait = STOA_SAVED;
    desk_funded(d, 0, 0);
    GOOD(d, stoa_batch_begin(d->w[0], &d->error));
    GOOD(d, stoa_account_open(d->w[0], &p, &how, &gone, NULL, &d->error));
    GOOD(d, stoa_batch_end(d->w[0], false, &d->error));
    assert_int_equal(accounts_of(d, 0), 1);
    GOOD(d, stoa_account_open(d->w[0], &q, NULL, &id, NULL, &d->error));
    accounts_replay(d, 0, 2);
    p.name = "kept";
    GOOD(d, stoa_batch_begin(d->w[0], &d->error));
    GOOD(d, stoa_account_open(d->w[0], &p, &how, &id, NULL, &d->error));
    GOOD(d, stoa_batch_end(d->w[0], true, &d->error));
    GOOD(d, stoa_resume(d->w[0], NULL, NULL, STOA_ACCEPTED, 0, NULL, NULL, &d->error));
    accounts_replay(d, 0, 3);
    /* A process that ends in the middle has given up too. */
    GOOD(d, stoa_batch_begin(d->w[0], &d->error));
    GOOD(d, stoa_account_open(d->w[0], &p, &how, &gone, NULL, &d->error));
    desk_again(d, 0, true);
    accounts_replay(d, 0, 3);
}

/* What left in the middle of a batch would be forgotten with it, and written a second time. */
static void nothing_is_sent_while_a_batch_is_open(void **state)
{
    struct desk *d = *state;
    stoa_open_params p = {.size = sizeof(p), .name = "b"};
    stoa_how how = STOA_HOW_INIT;
    char token[STOA_TOKEN_MAX];
    stoa_id id;
    how.wait = STOA_ACCEPTED;
    desk_funded(d, 0, 0);
    unsigned sent = d->hub.submits;
    GOOD(d, stoa_batch_begin(d->w[0], &d->error));
    assert_int_equal(stoa_account_open(d->w[0], &p, &how, &id, NULL, &d->error), STOA_USAGE);
    assert_int_equal(
        stoa_invite(d->w[0], &d->account[0], 1000, token, &how, NULL, &d->error), STOA_USAGE);
    assert_int_equal(stoa_sync(d->w[0], NULL, 0, &d->error), STOA_USAGE);
    GOOD(d, stoa_batch_end(d->w[0], true, &d->error));
    GOOD(d, stoa_resume(d->w[0], NULL, NULL, STOA_ACCEPTED, 0, NULL, NULL, &d->error));
    assert_int_equal(d->hub.submits, sent);
    accounts_replay(d, 0, 1);
}

static void a_batch_of_which_a_part_failed_is_not_said_to_be_saved(void **state)
{
    struct desk *d = *state;
    struct desk_nth at = {.left = 1};
    stoa_receipt r = {.size = sizeof(r)};
    stoa_how how = STOA_HOW_INIT;
    how.wait = STOA_SAVED;
    desk_funded(d, 0, 0);
    GOOD(d, stoa_batch_begin(d->w[0], &d->error));
    client_store_set_fault(d->w[0]->store, desk_fail_nth, &at);
    GOOD(d, stoa_note(d->w[0], &d->account[0], "1", 1, &how, &r, &d->error));
    assert_int_equal(stoa_note(d->w[0], &d->account[0], "2", 1, &how, NULL, &d->error),
                     STOA_CONFIG);
    GOOD(d, stoa_note(d->w[0], &d->account[0], "3", 1, &how, NULL, &d->error));
    assert_int_equal(stoa_batch_end(d->w[0], true, &d->error), STOA_CONFIG);
    assert_string_equal(d->error.word, "file");
    assert_int_equal(stoa_outgoing_find(d->w[0], &r.id, &r, &d->error), STOA_NO);
    GOOD(d, stoa_note(d->w[0], &d->account[0], "4", 1, NULL, NULL, &d->error));
    accounts_replay(d, 0, 1);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, desk_open, desk_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_account_that_was_not_saved_is_forgotten),
        CASE(a_batch_given_up_takes_its_accounts_along),
        CASE(nothing_is_sent_while_a_batch_is_open),
        CASE(a_batch_of_which_a_part_failed_is_not_said_to_be_saved),
    };
    return cmocka_run_group_tests_name("save", tests, NULL, NULL);
}
