/* Projections: what is asked often and follows from the log, kept beside it, never on the
 * way of a commit. For each slot a cursor says how many records they hold; all of a
 * slot's rows and its cursor move in one transaction, so that no record counts twice and
 * none is left out, whoever applies it how often.
 *
 *     account    balance, head and position of every account (the slots' own excepted)
 *     earning    what an account earned (accrue) on a day of the hub's clock, UTC
 *     rich_list  the highest balances of a slot when an hour of the hub's clock began;
 * pinned accounts are in none
 *
 * This file is the core: records in, row changes out; what they add up to depends on the
 * log alone. Pure: no I/O, no clock, no heap. Edge: store_postgres_projection.h. */
#ifndef LEDGER_PROJECTION_H
#define LEDGER_PROJECTION_H

#include <stdbool.h>

#include "ledger/store.h"

#define PROJECTION_RECORDS_MAX 1024u /* of one transaction */
#define PROJECTION_TABLE 2048u       /* a power of two, above RECORDS_MAX */
#define PROJECTION_HOUR_MS UINT64_C(3600000)
#define PROJECTION_DAY_MS UINT64_C(86400000)
#define PROJECTION_RICH 100u /* accounts on a list */
#define PROJECTION_RICH_HOURS                                                            \
    168u                    /* lists older than a week before the newest are dropped */
#define PROJECTION_PAGE 20u /* earnings on a page */

/* Where a slot's projections stand. */
struct projection_cursor {
    uint32_t slot;
    uint64_t next;    /* index of the first record they do not hold */
    uint64_t time_ms; /* hub time of the last one they do; 0: none */
};

struct projection_account {
    struct hash account;
    bool opened; /* here: there is no row yet */
    bool pinned; /* when opened */
    int64_t delta;
    uint64_t records; /* of the account so far */
    uint64_t index;   /* of its newest record */
    struct hash head;
};
struct projection_earning {
    struct hash account;
    uint32_t day; /* since 1970-01-01 */
    int64_t amount;
    uint32_t accruals;
    uint64_t index; /* of the newest */
};

/* What one transaction does to a slot's rows. About 300 KiB; keep it off small stacks. */
struct projection_batch {
    struct projection_cursor from, to;
    /* The hour in which these records begin is not the one of the record before: first
     * keep the list of what the balances were when `hour` began. */
    bool closes;
    uint64_t hour;
    uint32_t account_count, earning_count;
    struct projection_account accounts[PROJECTION_RECORDS_MAX];
    struct projection_earning earnings[PROJECTION_RECORDS_MAX];
    uint16_t account_at[PROJECTION_TABLE], earning_at[PROJECTION_TABLE]; /* place + 1 */
};

void projection_begin(struct projection_batch *b, const struct projection_cursor *from);
/* The next record of the slot, `account` as the store names it. ERR_ROOM: not taken,
 * apply the batch and begin anew at `to`. ERR_CORRUPT: it is not the next one, does not
 * decode, or its amounts cannot be; the batch is not to be applied. */
MUST_CHECK enum err projection_add(struct projection_batch *b, const struct record *r,
                                   const struct hash *account);

/* ---- what is kept, as it is read ---- */

/* A slot's cursor, and how far behind it is. */
struct projection_slot {
    struct projection_cursor cursor;
    bool begun;      /* false: nobody has projected this slot yet */
    tree_size size;  /* of the log: size - cursor.next records behind */
    uint64_t age_ms; /* since somebody last looked for more to project */
};
struct projection_account_row {
    struct hash account, head;
    uint32_t slot;
    int64_t balance;
    uint64_t records, index;
    bool pinned;
};
struct projection_earning_row {
    uint32_t day;
    int64_t amount;
    uint64_t accruals, index;
};
struct projection_rich_row {
    struct hash account;
    uint32_t slot;
    int64_t balance;
};
/* A store_reader of a store that keeps projections; as threads and errors go, the
 * reader's other operations. Answers hold what the cursor says, which may be less than
 * the log. */
struct projection_ops {
    /* Slots in ascending order; all of them, but of a replica of one of several servers those
     * that are placed there. */
    enum err (*slots)(struct store_reader *r, struct projection_slot out[SLOTS_MAX],
                      size_t *count);
    /* ERR_NOT_FOUND. */
    enum err (*account)(struct store_reader *r, const struct hash *account,
                        struct projection_account_row *out);
    /* Days below `before`, newest first, at most PROJECTION_PAGE + 1 of them: one more
     * than a page tells that there is a next one. */
    enum err (*earnings)(struct store_reader *r, const struct hash *account,
                         uint32_t before,
                         struct projection_earning_row out[PROJECTION_PAGE + 1],
                         size_t *count);
    /* The lists of when `hour` began of all slots, unordered: visit returns false to
     * stop. A slot whose newest record is older than that hour gives what its balances
     * are. */
    enum err (*rich)(struct store_reader *r, uint64_t hour,
                     bool (*visit)(void *context, const struct projection_rich_row *row),
                     void *context);
};

/* The newest hour that has begun in any slot: that of the list to show. */
uint64_t projection_hour(const struct projection_slot slots[], size_t count);
/* Keeps the PROJECTION_RICH richest of what it is given, highest first, equals by id. */
struct projection_top {
    size_t count;
    struct projection_rich_row rows[PROJECTION_RICH];
};
void projection_top_add(struct projection_top *t, const struct projection_rich_row *row);

#endif
