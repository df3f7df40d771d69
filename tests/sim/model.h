/* The ledger as a book-keeper would keep it, written without a look at the account rules:
 * it reads what is durable on the disk, record by record, and says the first thing that
 * cannot be right. Chains, heads, clocks, balances, and every item on every channel. */
#ifndef TESTS_SIM_MODEL_H
#define TESTS_SIM_MODEL_H

#include "disk.h"

struct model;

struct model *model_open(uint32_t slots);
void model_close(struct model *m);
/* Take in what is new on the disk. NULL, or what is wrong with it. */
const char *model_advance(struct model *m, const struct disk *d);
/* NULL when `balance` is what the account holds. */
const char *model_check_balance(const struct model *m, const struct hash *account,
                                int64_t balance);
/* Money under way, and items. */
int64_t model_under_way(const struct model *m, uint64_t *items);
size_t model_accounts(const struct model *m);
/* Does the record settle the item (cause, payee)? */
bool model_settles(const struct model *m, uint32_t slot, uint64_t index,
                   const struct hash *cause, uint32_t payee_index, bool bounced);

struct model_counts {
    uint64_t records, transfers, credits, bounces, returns;
};
struct model_counts model_counts(const struct model *m);

#endif
