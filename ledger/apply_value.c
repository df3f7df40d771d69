/* Rules of what an account holds: transfer, accrue, adjust, credit; and the two kinds
 * that move nothing, bind and note. */
#include <assert.h>

#include "ledger/apply.h"

static bool balance_fits(int64_t balance, int64_t amount)
{
    return amount <= BALANCE_MAX - balance;
}

/* -- transfer
 * ---------------------------------------------------------------------------- */

enum err check_transfer(struct apply *x)
{
    const struct p_transfer *p = &x->p->transfer;
    for (size_t i = 0; i < p->payee_count; i++)
        if (same32(&p->payees[i].account, &x->a->id))
            return ERR_PAYEES;
    for (size_t i = 0; i < p->payee_count; i++)
        if (p->payees[i].hub.size > 0 && !is_this_hub(x->h, p->payees[i].hub))
            return ERR_HUB_UNKNOWN;
    for (size_t i = 0; i < p->payee_count; i++)
        if (__builtin_add_overflow(x->amount, p->payees[i].amount, &x->amount))
            return ERR_OVERFLOW;
#ifdef STOA_BREAK_OVERDRAFT_OFF_BY_ONE
    return x->a->balance + 1 >= x->amount ? ERR_OK : ERR_BALANCE;
#endif
    return x->a->balance >= x->amount ? ERR_OK : ERR_BALANCE;
}

void commit_transfer(struct apply *x)
{
    const struct p_transfer *p = &x->p->transfer;
    x->a->balance -= x->amount;
    if (x->view != VIEW_SLOT)
        return;
    for (size_t i = 0; i < p->payee_count; i++)
        channel_put(x,
                    &(struct channel_item){
                        .cause = x->e->id,
                        .payee_index = (uint32_t)i,
                        .payer = x->a->id,
                        .payee = p->payees[i].account,
                        .amount = p->payees[i].amount,
                        .destination_slot = slot_of(&p->payees[i].account, x->h->slots),
                    });
}

/* -- accrue, adjust
 * ---------------------------------------------------------------------- */

/* Would the slot's supply, or one of the sums it is made of, pass its limit? */
static enum err check_supply(const struct apply *x, int64_t accrue, int64_t adjust)
{
    const struct hub_account *h = x->h;
    int64_t accrued, adjusted, supply;
    if (x->view != VIEW_SLOT)
        return ERR_OK;
    if (__builtin_add_overflow(h->accrued, accrue, &accrued) ||
        __builtin_add_overflow(h->adjusted, adjust, &adjusted) ||
        __builtin_add_overflow(accrued, adjusted, &supply))
        return ERR_SUPPLY;
    return supply <= SLOT_SUPPLY_MAX(h->slots) ? ERR_OK : ERR_SUPPLY;
}

/* Nodes are sorted: sets target to the node's place, found or not. */
static void find_node(struct apply *x, const struct hash *node)
{
    const struct account *a = x->a;
    uint32_t low = 0, high = a->node_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (memcmp(&a->nodes[middle].node, node, sizeof *node) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    x->target = low;
    x->target_found = low < a->node_count && same32(&a->nodes[low].node, node);
}

enum err check_accrue(struct apply *x)
{
    const struct account *a = x->a;
    const struct p_accrue *p = &x->p->accrue;
    find_node(x, &p->node);
    if (x->target_found && p->epoch <= a->nodes[x->target].epoch)
        return ERR_EPOCH_OLD;
    if (!x->target_found && a->node_count >= NODES_MAX)
        return ERR_NODE_LIMIT;
    if (p->amount <= 0)
        return ERR_AMOUNT;
    TRY(check_supply(x, p->amount, 0));
    if (!balance_fits(a->balance, p->amount))
        return ERR_OVERFLOW;
    x->need.nodes = x->target_found ? 0 : 1;
    return ERR_OK;
}

void commit_accrue(struct apply *x)
{
    struct account *a = x->a;
    const struct p_accrue *p = &x->p->accrue;
    struct node_epoch *at = &a->nodes[x->target];
    if (!x->target_found) {
        memmove(at + 1, at, (a->node_count - x->target) * sizeof *at);
        a->node_count++;
        at->node = p->node;
    }
    at->epoch = p->epoch;
    a->balance += p->amount;
    if (x->view == VIEW_SLOT)
        x->h->accrued += p->amount;
}

enum err check_adjust(struct apply *x)
{
    int64_t delta = x->p->adjust.delta;
    if (delta == 0)
        return ERR_AMOUNT;
    if (delta < 0 && x->a->balance + delta < 0)
        return ERR_BALANCE;
    if (delta > 0 && !balance_fits(x->a->balance, delta))
        return ERR_OVERFLOW;
    return check_supply(x, 0, delta);
}

void commit_adjust(struct apply *x)
{
    x->a->balance += x->p->adjust.delta;
    if (x->view == VIEW_SLOT)
        x->h->adjusted += x->p->adjust.delta;
}

/* -- credit
 * ------------------------------------------------------------------------------ */

enum err check_credit(struct apply *x)
{
    const struct p_credit *p = &x->p->credit;
    if (p->reason > CREDIT_RETURN || p->payee_index >= PAYEES_MAX)
        return ERR_PAYLOAD;
    TRY(check_settles(x, p));
    if (p->amount <= 0)
        return ERR_AMOUNT;
    return balance_fits(x->a->balance, p->amount) ? ERR_OK : ERR_OVERFLOW;
}

void commit_credit(struct apply *x)
{
    x->a->balance += x->p->credit.amount;
    commit_settles(x, &x->p->credit);
}

/* -- bind, note
 * -------------------------------------------------------------------------- */

enum err check_bind(struct apply *x)
{
    const struct p_bind *p = &x->p->bind;
    return p->chain < CHAINS && p->address.size >= 1 &&
                   p->address.size <= ADDRESS_BYTES_MAX
               ? ERR_OK
               : ERR_CHAIN;
}

void commit_bind(struct apply *x)
{
    struct account *a = x->a;
    const struct p_bind *p = &x->p->bind;
    a->bound = true;
    a->bound_chain = (uint8_t)p->chain;
    a->bound_size = (uint8_t)p->address.size;
    memset(a->bound_address, 0, sizeof a->bound_address);
    memcpy(a->bound_address, p->address.data, p->address.size);
}

enum err check_note(struct apply *x)
{
    (void)x;
    return ERR_OK;
}

void commit_note(struct apply *x)
{
    (void)x;
}
