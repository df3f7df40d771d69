/* Projections against the account rules: what the row changes add up to is what a replay
 * of the same log comes to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "client/audit/forge.h"
#include "ledger/projection.h"

#define ROWS_MAX 64
#define NOTES 1100

/* Rows as a database would keep them. */
struct table {
    struct projection_cursor at;
    size_t count, lists, batches;
    struct projection_account_row rows[ROWS_MAX];
    uint64_t hours[ROWS_MAX], list_next[ROWS_MAX];
    int64_t earned;
    uint64_t accruals;
};

static void apply(struct table *t, const struct projection_batch *b)
{
    assert_int_equal(b->from.next, t->at.next);
    assert_int_equal(b->from.time_ms, t->at.time_ms);
    if (b->closes) {
        t->hours[t->lists] = b->hour;
        t->list_next[t->lists++] = b->from.next;
    }
    for (uint32_t i = 0; i < b->account_count; i++) {
        const struct projection_account *x = &b->accounts[i];
        size_t at = 0;
        while (at < t->count && !hash_equal(&t->rows[at].account, &x->account))
            at++;
        assert_int_equal(at == t->count, x->opened);
        t->count += at == t->count;
        t->rows[at].account = x->account;
        t->rows[at].balance += x->delta;
        t->rows[at].records = x->records;
        t->rows[at].index = x->index;
        t->rows[at].head = x->head;
        t->rows[at].pinned = x->opened ? x->pinned : t->rows[at].pinned;
    }
    for (uint32_t i = 0; i < b->earning_count; i++) {
        t->earned += b->earnings[i].amount;
        t->accruals += b->earnings[i].accruals;
    }
    t->at = b->to;
    t->batches++;
}

static struct record record_of(const struct row *x, uint32_t slot, uint64_t later_ms)
{
    struct record r = {.slot = slot,
                       .index = x->index,
                       .position = x->position,
                       .envelope = bytes_of(x->envelope, x->size)};
    memcpy(r.account_head.b, x->leaf + HASH_BYTES, HASH_BYTES);
    for (int i = 0; i < 8; i++)
        r.hub_time_ms = r.hub_time_ms << 8 | x->leaf[72 + i];
    r.hub_time_ms += later_ms;
    return r;
}

/* Every `most` records a transaction, and an hour more after each `each` records. */
static void project(const struct forge_slot *s, uint32_t slot, struct table *t,
                    size_t most, size_t each)
{
    static struct projection_batch b;
    t->at.slot = slot;
    projection_begin(&b, &t->at);
    for (size_t i = 0; i < s->count; i++) {
        struct record r = record_of(&s->rows[i], slot, i / each * PROJECTION_HOUR_MS);
        enum err e = b.to.next - b.from.next == most
                         ? ERR_ROOM
                         : projection_add(&b, &r, &s->rows[i].account);
        if (e == ERR_ROOM) {
            apply(t, &b);
            projection_begin(&b, &t->at);
            e = projection_add(&b, &r, &s->rows[i].account);
        }
        assert_int_equal(e, ERR_OK);
    }
    apply(t, &b);
}

static void equals_replay(struct table *t, struct forge_slot *s)
{
    struct hash digest;
    int64_t balances = 0, sum = 0;
    assert_int_equal(t->at.next, s->count);
    assert_int_equal(t->count, s->p.seat_count);
    for (size_t i = 0; i < t->count; i++) {
        const struct projection_account_row *x = &t->rows[i];
        const struct replay_seat *seat = replay_find(&s->p, &x->account);
        assert_non_null(seat);
        assert_int_equal(x->balance, seat->account.balance);
        assert_int_equal(x->records, seat->account.position);
        assert_true(hash_equal(&x->head, &seat->account.head));
        assert_int_equal(x->pinned, seat->account.residency == RESIDENCY_PINNED);
        sum += x->balance;
    }
    assert_int_equal(replay_digest(&s->p, &digest, &balances), ERR_OK);
    assert_int_equal(sum, balances);
    assert_int_equal(t->earned, s->p.hub.accrued);
}

static void rows_add_up_to_the_replayed_state(void **state)
{
    static const size_t most[] = {1, 7, PROJECTION_RECORDS_MAX};
    (void)state;
    int64_t all = 0;
    for (size_t k = 0; k < sizeof most / sizeof *most; k++) {
        struct forge *f = forge_open();
        forge_fill(f);
        forge_account(f, &f->people[1], 1, &f->federation, RESIDENCY_PINNED);
        for (uint32_t slot = 0; slot < FORGE_SLOTS; slot++) {
            struct table *t = calloc(1, sizeof *t);
            assert_non_null(t);
            project(&f->slot[slot], slot, t, most[k], SIZE_MAX);
            equals_replay(t, &f->slot[slot]);
            assert_int_equal(t->lists, 0);
            all += t->earned;
            free(t);
        }
        forge_close(f);
    }
    assert_true(all > 0);
}

static void a_list_is_kept_when_an_hour_begins(void **state)
{
    (void)state;
    struct forge *f = forge_open();
    forge_fill(f);
    struct table *t = calloc(1, sizeof *t);
    assert_non_null(t);
    project(&f->slot[0], 0, t, 7, 50);
    equals_replay(t, &f->slot[0]);
    assert_int_equal(t->lists, (f->slot[0].count - 1) / 50);
    for (size_t i = 0; i < t->lists; i++) {
        assert_int_equal(t->list_next[i],
                         (i + 1) * 50); /* nothing of the new hour is in it */
        assert_true(i == 0 || t->hours[i] == t->hours[i - 1] + 1);
    }
    free(t);
    forge_close(f);
}

static void a_batch_has_a_limit(void **state)
{
    (void)state;
    struct forge *f = forge_open();
    forge_fill(f);
    struct payload p = {.kind = KIND_NOTE};
    p.note.data = bytes_of("more", 4);
    for (int i = 0; i < NOTES; i++)
        forge_entry(f, 0, &f->people[0].account, f->people[0].device, &p, NULL);
    struct table *t = calloc(1, sizeof *t);
    assert_non_null(t);
    project(&f->slot[0], 0, t, SIZE_MAX, SIZE_MAX);
    equals_replay(t, &f->slot[0]);
    assert_int_equal(t->batches, 1 + (f->slot[0].count - 1) / PROJECTION_RECORDS_MAX);
    free(t);
    forge_close(f);
}

static void what_does_not_follow_is_refused(void **state)
{
    static struct projection_batch b;
    struct projection_cursor at = {.slot = 0};
    (void)state;
    struct forge *f = forge_open();
    forge_fill(f);
    const struct row *rows = f->slot[0].rows;
    struct record first = record_of(&rows[0], 0, 0), second = record_of(&rows[1], 0, 0);
    projection_begin(&b, &at);
    assert_int_equal(projection_add(&b, &second, &rows[1].account), ERR_CORRUPT);
    assert_int_equal(projection_add(&b, &first, &rows[0].account), ERR_OK);
    assert_int_equal(projection_add(&b, &first, &rows[0].account), ERR_CORRUPT);
    struct record other = second;
    other.slot = 1;
    assert_int_equal(projection_add(&b, &other, &rows[1].account), ERR_CORRUPT);
    other = second;
    other.hub_time_ms = 0;
    assert_int_equal(projection_add(&b, &other, &rows[1].account), ERR_CORRUPT);
    other = second;
    other.hub_time_ms = UINT64_MAX;
    assert_int_equal(projection_add(&b, &other, &rows[1].account), ERR_CORRUPT);
    other = second;
    other.envelope.size--;
    assert_int_equal(projection_add(&b, &other, &rows[1].account), ERR_CORRUPT);
    projection_begin(&b, &b.from);
    assert_int_equal(projection_add(&b, &first, &rows[0].account), ERR_OK);
    assert_int_equal(projection_add(&b, &second, &rows[1].account), ERR_OK);
    forge_close(f);
}

static void the_richest_of_many_are_kept_in_order(void **state)
{
    (void)state;
    struct projection_top *t = calloc(1, sizeof *t);
    assert_non_null(t);
    for (uint32_t i = 0; i < 1000; i++) {
        struct projection_rich_row row = {.balance = (int64_t)(i * 7919 % 500)};
        row.account.b[0] = (uint8_t)(i >> 8);
        row.account.b[1] = (uint8_t)i;
        projection_top_add(t, &row);
    }
    assert_int_equal(t->count, PROJECTION_RICH);
    for (size_t i = 0; i < t->count; i++) {
        assert_int_equal(t->rows[i].balance, 499 - i / 2);
        if (i % 2)
            assert_true(hash_compare(&t->rows[i - 1].account, &t->rows[i].account) < 0);
    }
    free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_add_up_to_the_replayed_state),
        cmocka_unit_test(a_list_is_kept_when_an_hour_begins),
        cmocka_unit_test(a_batch_has_a_limit),
        cmocka_unit_test(what_does_not_follow_is_refused),
        cmocka_unit_test(the_richest_of_many_are_kept_in_order),
    };
    if (!crypto_start())
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
