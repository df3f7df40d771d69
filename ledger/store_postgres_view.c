/* Projections as relays read them: each question by an index, each answer as old as the
 * cursor says. */
#include "ledger/store_postgres.h"

#include <string.h>

#include "ledger/projection.h"

static enum err slot_row(const PGresult *r, int row, struct projection_slot *out)
{
    uint64_t slot = 0, begun = 0, size = 0;
    memset(out, 0, sizeof *out);
    TRY(pg_u64(r, row, 0, SLOTS_MAX - 1, &slot));
    TRY(pg_u64(r, row, 1, STORE_INDEX_MAX, &size));
    TRY(pg_u64(r, row, 2, 1, &begun));
    TRY(pg_u64(r, row, 3, STORE_INDEX_MAX, &out->cursor.next));
    TRY(pg_u64(r, row, 4, INT64_MAX, &out->cursor.time_ms));
    TRY(pg_u64(r, row, 5, INT64_MAX, &out->age_ms));
    out->cursor.slot = (uint32_t)slot;
    out->size = size;
    out->begun = begun != 0;
    return ERR_OK;
}

static enum err view_slots(struct store_reader *base,
                           struct projection_slot out[SLOTS_MAX], size_t *count)
{
    struct postgres_reader *r = postgres_reader_of(base);
    struct pg_step step = {.statement = PG_VIEW_SLOTS};
    *count = 0;
    enum err e = postgres_ask(r, &step);
    if (e == ERR_OK && PQntuples(step.result) > SLOTS_MAX)
        e = ERR_CORRUPT;
    for (int i = 0; e == ERR_OK && i < PQntuples(step.result); i++) {
        e = slot_row(step.result, i, &out[i]);
        *count += 1;
    }
    pg_clear(&step, 1);
    return e;
}

static enum err view_account(struct store_reader *base, const struct hash *account,
                             struct projection_account_row *out)
{
    struct postgres_reader *r = postgres_reader_of(base);
    struct pg_step step = {.statement = PG_VIEW_ACCOUNT};
    uint64_t balance = 0, pinned = 0;
    memset(out, 0, sizeof *out);
    out->account = *account;
    out->slot = slot_of(account, r->s->ledger.identity.slots);
    pg_add_i32(&step.p, out->slot);
    pg_add_bytes(&step.p, account->b, HASH_BYTES);
    enum err e = postgres_ask(r, &step);
    if (e == ERR_OK && PQntuples(step.result) == 0)
        e = ERR_NOT_FOUND;
    if (e == ERR_OK)
        e = pg_u64(step.result, 0, 0, BALANCE_MAX, &balance);
    if (e == ERR_OK)
        e = pg_u64(step.result, 0, 1, STORE_INDEX_MAX, &out->records);
    if (e == ERR_OK)
        e = pg_u64(step.result, 0, 2, STORE_INDEX_MAX, &out->index);
    if (e == ERR_OK)
        e = pg_hash(step.result, 0, 3, &out->head);
    if (e == ERR_OK)
        e = pg_u64(step.result, 0, 4, 1, &pinned);
    out->balance = (int64_t)balance;
    out->pinned = pinned != 0;
    pg_clear(&step, 1);
    return e;
}

static enum err view_earnings(struct store_reader *base, const struct hash *account,
                              uint32_t before,
                              struct projection_earning_row out[PROJECTION_PAGE + 1],
                              size_t *count)
{
    struct postgres_reader *r = postgres_reader_of(base);
    struct pg_step step = {.statement = PG_VIEW_EARNINGS};
    *count = 0;
    pg_add_i32(&step.p, slot_of(account, r->s->ledger.identity.slots));
    pg_add_bytes(&step.p, account->b, HASH_BYTES);
    pg_add_i32(&step.p, before > INT32_MAX ? INT32_MAX : before);
    pg_add_i64(&step.p, PROJECTION_PAGE + 1);
    enum err e = postgres_ask(r, &step);
    for (int i = 0; e == ERR_OK && i < PQntuples(step.result); i++) {
        struct projection_earning_row *x = &out[i];
        uint64_t day = 0, amount = 0;
        e = pg_u64(step.result, i, 0, INT32_MAX, &day);
        if (e == ERR_OK)
            e = pg_u64(step.result, i, 1, INT64_MAX, &amount);
        if (e == ERR_OK)
            e = pg_u64(step.result, i, 2, INT64_MAX, &x->accruals);
        if (e == ERR_OK)
            e = pg_u64(step.result, i, 3, STORE_INDEX_MAX, &x->index);
        x->day = (uint32_t)day;
        x->amount = (int64_t)amount;
        *count += 1;
    }
    pg_clear(&step, 1);
    return e;
}

typedef bool visit_rich(void *context, const struct projection_rich_row *row);

/* The lists of the slots in `slots`. */
static enum err rich_of(struct postgres_reader *r, struct pg_step *step,
                        struct pg_array *slots, visit_rich *visit, void *context,
                        bool *more)
{
    enum err e = slots->count == 0 ? ERR_NOT_FOUND : postgres_ask(r, step);
    for (int i = 0; e == ERR_OK && *more && i < PQntuples(step->result); i++) {
        struct projection_rich_row row;
        uint64_t slot = 0, balance = 0;
        e = pg_u64(step->result, i, 0, SLOTS_MAX - 1, &slot);
        if (e == ERR_OK)
            e = pg_hash(step->result, i, 1, &row.account);
        if (e == ERR_OK)
            e = pg_u64(step->result, i, 2, BALANCE_MAX, &balance);
        row.slot = (uint32_t)slot;
        row.balance = (int64_t)balance;
        if (e == ERR_OK)
            *more = visit(context, &row);
    }
    pg_clear(step, 1);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err view_rich(struct store_reader *base, uint64_t hour, visit_rich *visit,
                          void *context)
{
    struct postgres_reader *r = postgres_reader_of(base);
    struct projection_slot slots[SLOTS_MAX];
    size_t count = 0;
    bool more = true;
    TRY(view_slots(base, slots, &count));
    struct pg_array gone = {0}, listed = {0};
    pg_array_clear(&gone, PG_INT4);
    pg_array_clear(&listed, PG_INT4);
    for (size_t i = 0; i < count; i++)
        pg_array_i32(slots[i].cursor.time_ms / PROJECTION_HOUR_MS < hour ? &gone
                                                                         : &listed,
                     slots[i].cursor.slot);
    struct pg_step now = {.statement = PG_VIEW_RICHEST},
                   then = {.statement = PG_VIEW_LISTS};
    enum err e = pg_add_arrays(&now.p, &gone, 1);
    if (e == ERR_OK)
        e = rich_of(r, &now, &gone, visit, context, &more);
    if (e == ERR_OK)
        e = pg_add_arrays(&then.p, &listed, 1);
    if (e == ERR_OK) {
        pg_add_i64(&then.p, hour);
        e = rich_of(r, &then, &listed, visit, context, &more);
    }
    buf_close(&gone.b);
    buf_close(&listed.b);
    return e;
}

const struct projection_ops postgres_projection_ops = {.slots = view_slots,
                                                       .account = view_account,
                                                       .earnings = view_earnings,
                                                       .rich = view_rich};
