/* The ledger as a book-keeper would keep it, written from the protocol's text without a
 * look at the account rules: it reads what is durable on the disk, record by record, and
 * says the first thing that cannot be right. Chains, authority, clocks, balances,
 * positions, every item on every channel, and the root of every prefix of every log. It
 * costs time only for what is new. */
#ifndef TESTS_SIM_MODEL_H
#define TESTS_SIM_MODEL_H

#include "disk.h"
#include "stats.h"

struct model;

struct model *model_open(uint32_t slots, const char *hub, const struct hash *federation);
void model_close(struct model *m);
/* Take in what is new on the disk. NULL, or what is wrong with it. */
const char *model_advance(struct model *m, const struct disk *d);

/* Does this entry stand at this place? NULL, or what is wrong. */
const char *model_check_ack(struct model *m, uint32_t slot, uint64_t index,
                            const struct hash *id);
/* Has the log had this root at this size? One sequence of records has one root a size, so
 * any two checkpoints that pass are consistent. */
const char *model_check_checkpoint(struct model *m, uint32_t slot, tree_size size,
                                   const struct hash *root);
/* Does the record settle the item (cause, payee)? */
bool model_settles(const struct model *m, uint32_t slot, uint64_t index,
                   const struct hash *cause, uint32_t payee_index, bool bounced);
/* Is the account as the hub has it the one in the books? */
const char *model_check_account(struct model *m, const struct account *a);

/* ---- what readers are shown (model_read.c) ---- */

/* Who looks: a device, an auditor, or nobody in particular. */
struct onlooker {
    bool has_device, auditor;
    struct pubkey device;
};
/* Is this the record that stands at its place, and may he see what he is shown of it?
 * `by_account`: it came in answer to a question about the account, or about the entry;
 * otherwise what is pinned comes without its envelope. NULL, or what is wrong. */
const char *model_check_record(struct model *m, const struct record *r, bool by_account,
                               const struct onlooker *who);
/* Does the path prove the leaf at `index` in the tree of `size` leaves? */
const char *model_check_inclusion(struct model *m, uint32_t slot, uint64_t index,
                                  tree_size size, const struct hash path[], size_t count);
const char *model_check_consistency(struct model *m, uint32_t slot, tree_size from,
                                    tree_size to, const struct hash path[], size_t count);
/* Records of an account, or of a hub account; 0: there is none such. */
uint64_t model_length(const struct model *m, const struct hash *account);
/* Where its record at a position stands; UINT64_MAX: nowhere yet. */
uint64_t model_index_of(const struct model *m, const struct hash *account,
                        uint64_t position);
/* May he read the account, now or at some time before? */
bool model_may_ever_read(const struct model *m, const struct hash *account,
                         const struct onlooker *who);
/* Whose record this is (the hub account's id for the hub's own), NULL past the end. */
const struct hash *model_account_at(const struct model *m, uint32_t slot, uint64_t index);
const struct hash *model_entry_at(const struct model *m, uint32_t slot, uint64_t index);
/* ---- what wallets believe (model_read.c) ---- */

/* Is the entry at this place, with these fields? NULL, or what is wrong. */
const char *model_check_receipt(const struct model *m, uint32_t slot, uint64_t index,
                                const struct hash *id, uint64_t position,
                                uint64_t lamport, uint64_t time_ms);
/* The account's balance after its record at a position that is there. */
int64_t model_balance_at(const struct model *m, const struct hash *account,
                         uint64_t position);
/* Items that the entry put on channels and nobody has settled yet. */
uint64_t model_open_items(const struct model *m, const struct hash *cause);
/* Is the entry in a log? Looks through all of them. */
bool model_has(const struct model *m, const struct hash *id);
/* Id of the hub account of a slot. */
const struct hash *model_hub_account(const struct model *m, uint32_t slot);

/* Accounts of a slot that changed since they were looked at. */
size_t model_touched(const struct model *m, uint32_t slot);
const struct hash *model_touched_at(const struct model *m, uint32_t slot, size_t i);
void model_looked_at(struct model *m, uint32_t slot);
void model_touch_all(struct model *m, uint32_t slot);

tree_size model_size(const struct model *m, uint32_t slot);
size_t model_accounts(const struct model *m);
/* Is the key a device of the account, as of the newest record? */
bool model_is_device(const struct model *m, const struct hash *account,
                     const struct pubkey *key);
/* Items under way. */
uint64_t model_items(const struct model *m);
void model_count(const struct model *m, struct stats *s);
/* The relay key that the newest record of a slot leaves in force. */
const struct pubkey *model_relay(const struct model *m, uint32_t slot);
/* Was this key the relay's, in any slot, at any time? */
bool model_was_relay(const struct model *m, const struct pubkey *key);

#endif
