#include "ledger/projection.h"

#include <string.h>

#include "ledger/account.h"
#include "ledger/kinds.h"
#include "ledger/scratch.h"
#include "ledger/slotlog.h"

void projection_begin(struct projection_batch *b, const struct projection_cursor *from)
{
    b->from = b->to = *from;
    b->closes = false;
    b->hour = 0;
    b->account_count = b->earning_count = 0;
    memset(b->account_at, 0, sizeof b->account_at);
    memset(b->earning_at, 0, sizeof b->earning_at);
}

/* ---- tables by account ---- */

static size_t spot_of(const struct hash *account, uint32_t mix)
{
    return ((size_t)(account->b[30] << 8 | account->b[31]) + mix) &
           (PROJECTION_TABLE - 1);
}

static struct projection_account *account_of(struct projection_batch *b,
                                             const struct hash *account)
{
    size_t at = spot_of(account, 0);
    for (; b->account_at[at] != 0; at = (at + 1) & (PROJECTION_TABLE - 1)) {
        struct projection_account *a = &b->accounts[b->account_at[at] - 1];
        if (hash_equal(&a->account, account))
            return a;
    }
    struct projection_account *a = &b->accounts[b->account_count++];
    b->account_at[at] = (uint16_t)b->account_count;
    *a = (struct projection_account){.account = *account};
    return a;
}

static struct projection_earning *earning_of(struct projection_batch *b,
                                             const struct hash *account, uint32_t day)
{
    size_t at = spot_of(account, day);
    for (; b->earning_at[at] != 0; at = (at + 1) & (PROJECTION_TABLE - 1)) {
        struct projection_earning *e = &b->earnings[b->earning_at[at] - 1];
        if (e->day == day && hash_equal(&e->account, account))
            return e;
    }
    struct projection_earning *e = &b->earnings[b->earning_count++];
    b->earning_at[at] = (uint16_t)b->earning_count;
    *e = (struct projection_earning){.account = *account, .day = day};
    return e;
}

/* ---- one record ---- */

/* What it adds to the balance of the account it is about. */
static enum err delta_of(const struct entry *e, const struct payload *p, int64_t *delta)
{
    int64_t sum = 0;
    *delta = 0;
    switch (e->kind) {
    case KIND_ACCRUE:
        *delta = p->accrue.amount;
        return ERR_OK;
    case KIND_ADJUST:
        *delta = p->adjust.delta;
        return ERR_OK;
    case KIND_CREDIT:
        *delta = p->credit.amount;
        return ERR_OK;
    case KIND_TRANSFER:
        for (size_t i = 0; i < p->transfer.payee_count; i++)
            if (__builtin_add_overflow(sum, p->transfer.payees[i].amount, &sum))
                return ERR_CORRUPT;
        *delta = -sum;
        return ERR_OK;
    default:
        return ERR_OK;
    }
}

/* An hour of the hub's clock begins with this record: the records before are another
 * batch. */
static bool ends_before(struct projection_batch *b, uint64_t time_ms)
{
    uint64_t hour = time_ms / PROJECTION_HOUR_MS;
    if (b->to.time_ms == 0 || b->to.time_ms / PROJECTION_HOUR_MS == hour)
        return false;
    if (b->to.next != b->from.next)
        return true;
    b->closes = true;
    b->hour = hour;
    return false;
}

static enum err take(struct projection_batch *b, const struct entry *e,
                     const struct record *r, const struct hash *account)
{
    UNINITIALIZED struct payload p;
    int64_t delta = 0;
    if (payload_decode(&p, e->kind, e->payload) != ERR_OK)
        return ERR_CORRUPT;
    TRY(delta_of(e, &p, &delta));
    struct projection_account *a = account_of(b, account);
    if (a->records != 0 && r->position != a->records)
        return ERR_CORRUPT;
    if (__builtin_add_overflow(a->delta, delta, &a->delta))
        return ERR_CORRUPT;
    if (r->position == 0) {
        if (e->kind != KIND_OPEN)
            return ERR_CORRUPT;
        a->opened = true;
        a->pinned = p.open.residency == RESIDENCY_PINNED;
    }
    a->records = r->position + 1;
    a->index = r->index;
    a->head = r->account_head;
    if (e->kind != KIND_ACCRUE)
        return ERR_OK;
    struct projection_earning *day =
        earning_of(b, account, (uint32_t)(r->hub_time_ms / PROJECTION_DAY_MS));
    if (__builtin_add_overflow(day->amount, delta, &day->amount))
        return ERR_CORRUPT;
    day->accruals += 1;
    day->index = r->index;
    return ERR_OK;
}

enum err projection_add(struct projection_batch *b, const struct record *r,
                        const struct hash *account)
{
    UNINITIALIZED struct entry e;
    if (r->slot != b->to.slot || r->index != b->to.next ||
        r->hub_time_ms < b->to.time_ms || r->hub_time_ms / PROJECTION_DAY_MS > INT32_MAX)
        return ERR_CORRUPT;
    if (b->to.next - b->from.next == PROJECTION_RECORDS_MAX ||
        ends_before(b, r->hub_time_ms))
        return ERR_ROOM;
    if (entry_decode(&e, r->envelope.data, r->envelope.size) != ERR_OK)
        return ERR_CORRUPT;
    if (!slotlog_kind_of_hub(e.kind))
        TRY(take(b, &e, r, account));
    b->to.next += 1;
    b->to.time_ms = r->hub_time_ms;
    return ERR_OK;
}

/* ---- the richest of all slots ---- */

uint64_t projection_hour(const struct projection_slot slots[], size_t count)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < count; i++)
        if (slots[i].cursor.time_ms > newest)
            newest = slots[i].cursor.time_ms;
    return newest / PROJECTION_HOUR_MS;
}

static bool richer(const struct projection_rich_row *a,
                   const struct projection_rich_row *b)
{
    return a->balance != b->balance ? a->balance > b->balance
                                    : hash_compare(&a->account, &b->account) < 0;
}

void projection_top_add(struct projection_top *t, const struct projection_rich_row *row)
{
    size_t at = t->count;
    while (at > 0 && richer(row, &t->rows[at - 1]))
        at--;
    if (at == PROJECTION_RICH)
        return;
    if (t->count < PROJECTION_RICH)
        t->count++;
    memmove(&t->rows[at + 1], &t->rows[at], (t->count - at - 1) * sizeof t->rows[0]);
    t->rows[at] = *row;
}
