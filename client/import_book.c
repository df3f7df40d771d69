/* Every record the hub sends, applied by the rules of the ledger, and ours held to the
 * bank's figures one by one. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/import.h"
#include "crypto/context.h"

#define TABLE_FIRST 8192

static enum err wrong(struct book *k, enum err e, const char *what,
                      const struct record *r)
{
    (void)snprintf(k->why, sizeof k->why, "slot %u index %" PRIu64 ": %s (%s)", r->slot,
                   r->index, what, err_word(e));
    return e;
}

static size_t place_of(const struct hash *id, size_t size)
{
    uint64_t word;
    memcpy(&word, id->b + 8, sizeof word);
    return (size_t)word & (size - 1);
}

static void table_put(uint32_t *table, size_t size, const struct hash *id, size_t account)
{
    size_t at = place_of(id, size);
    while (table[at])
        at = (at + 1) & (size - 1);
    table[at] = (uint32_t)account + 1;
}

enum err book_open(struct book *k, const struct bank *bank, struct hash *ids,
                   uint32_t slots)
{
    memset(k, 0, sizeof *k);
    k->bank = bank;
    k->ids = ids;
    k->slots = slots;
    k->node = hash_context(CTX_NODE, IMPORT_NODE, strlen(IMPORT_NODE));
    k->slot = calloc(slots, sizeof *k->slot);
    k->table = calloc(TABLE_FIRST, sizeof *k->table);
    k->table_size = TABLE_FIRST;
    k->party_table_size = TABLE_FIRST;
    while (k->party_table_size < 2 * (size_t)bank->party_count)
        k->party_table_size *= 2;
    k->party_table = calloc(k->party_table_size, sizeof *k->party_table);
    for (uint32_t i = 0; k->slot && i < slots; i++)
        hub_account_init(&k->slot[i].hub, &alloc_heap);
    if (!k->slot || !k->table || !k->party_table)
        return ERR_MEMORY;
    for (uint32_t i = 0; i < bank->party_count; i++)
        table_put(k->party_table, k->party_table_size, &ids[i], i);
    return ERR_OK;
}

void book_close(struct book *k)
{
    for (uint32_t i = 0; k->slot && i < k->slots; i++) {
        hub_account_close(&k->slot[i].hub);
        for (size_t j = 0; j < k->slot[i].count; j++)
            free(k->slot[i].records[j].envelope);
        free(k->slot[i].records);
    }
    for (size_t i = 0; i < k->account_count; i++)
        account_close(&k->accounts[i].account);
    free(k->slot);
    free(k->accounts);
    free(k->table);
    free(k->party_table);
    memset(k, 0, sizeof *k);
}

struct book_account *book_find(const struct book *k, const struct hash *id)
{
    for (size_t at = place_of(id, k->table_size); k->table[at];
         at = (at + 1) & (k->table_size - 1))
        if (hash_equal(&k->accounts[k->table[at] - 1].account.id, id))
            return &k->accounts[k->table[at] - 1];
    return NULL;
}

static bool reserve_account(struct book *k)
{
    if (k->account_count == k->account_cap) {
        size_t cap = k->account_cap ? 2 * k->account_cap : 1024;
        struct book_account *more = realloc(k->accounts, cap * sizeof *more);
        if (!more)
            return false;
        k->accounts = more;
        k->account_cap = cap;
    }
    if (2 * (k->account_count + 1) <= k->table_size)
        return true;
    uint32_t *table = calloc(2 * k->table_size, sizeof *table);
    if (!table)
        return false;
    for (size_t i = 0; i < k->account_count; i++)
        table_put(table, 2 * k->table_size, &k->accounts[i].account.id, i);
    free(k->table);
    k->table = table;
    k->table_size *= 2;
    return true;
}

/* Ours? Asked once for every account that opens. */
static uint32_t party_of(const struct book *k, const struct hash *id)
{
    for (size_t at = place_of(id, k->party_table_size); k->party_table[at];
         at = (at + 1) & (k->party_table_size - 1))
        if (hash_equal(&k->ids[k->party_table[at] - 1], id))
            return k->party_table[at] - 1;
    return NO_PARTY;
}

static enum err keep(struct book_slot *s, const struct record *r)
{
    if (s->count == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 1024;
        struct book_record *more = realloc(s->records, cap * sizeof *more);
        if (!more)
            return ERR_MEMORY;
        s->records = more;
        s->cap = cap;
    }
    uint8_t *copy = malloc(r->envelope.size);
    if (!copy)
        return ERR_MEMORY;
    memcpy(copy, r->envelope.data, r->envelope.size);
    s->records[s->count++] = (struct book_record){.head = r->account_head,
                                                  .position = r->position,
                                                  .hub_lamport = r->hub_lamport,
                                                  .hub_time_ms = r->hub_time_ms,
                                                  .envelope = copy,
                                                  .size = (uint32_t)r->envelope.size};
    return ERR_OK;
}

static enum err row_differs(struct book *k, uint32_t row, const char *what,
                            const struct book_account *a)
{
    char bank[40], ledger[40];
    cli_amount_text(bank, k->bank->rows[row].balance);
    cli_amount_text(ledger, a->account.balance);
    (void)snprintf(k->why, sizeof k->why,
                   "row %u, %s: %s (bank's balance %s, ledger's %s)", row + 1,
                   k->bank->parties[a->party].name, what, bank, ledger);
    return ERR_CORRUPT;
}

/* Record `position` >= 1 of a bank account is its next row, and the balance is the
 * bank's. */
static enum err check_row(struct book *k, struct book_account *a, const struct payload *p)
{
    uint32_t number = a->next_row;
    if (number == NO_ROW) {
        (void)snprintf(k->why, sizeof k->why, "%s holds a %s that is in no row",
                       k->bank->parties[a->party].name, kind_word(p->kind));
        return ERR_CORRUPT;
    }
    const struct bank_row *row = &k->bank->rows[number];
    bool same;
    if (row->payee == NO_PARTY)
        same = p->kind == KIND_ACCRUE && p->accrue.epoch == (uint64_t)number + 1 &&
               p->accrue.amount == row->amount && hash_equal(&p->accrue.node, &k->node);
    else
        same = p->kind == KIND_TRANSFER && p->transfer.payee_count == 1 &&
               p->transfer.payees[0].amount == row->amount &&
               hash_equal(&p->transfer.payees[0].account, &k->ids[row->payee]);
    if (!same)
        return row_differs(k, number, "the ledger holds another entry in its place", a);
    if (a->account.balance != row->balance)
        return row_differs(k, number, "the balance after it is not the bank's", a);
    a->next_row = row->next;
    k->rows_checked++;
    return ERR_OK;
}

static enum err check_credit(struct book *k, struct book_account *a,
                             const struct payload *p)
{
    if (p->kind != KIND_CREDIT) {
        (void)snprintf(k->why, sizeof k->why, "%s holds a %s that no row asked for",
                       k->bank->parties[a->party].name, kind_word(p->kind));
        return ERR_CORRUPT;
    }
    a->credits++;
    k->credits++;
    return ERR_OK;
}

static enum err apply_to_account(struct book *k, struct book_slot *s,
                                 const struct entry *e, const struct record *r)
{
    static struct effects effects;
    static struct payload payload;
    struct book_account *a = book_find(k, entry_account(e));
    struct account fresh;
    bool is_new = e->kind == KIND_OPEN;
    if (is_new == (a != NULL))
        return wrong(k, ERR_CORRUPT, "an account opens twice, or was never opened", r);
    if (is_new) {
        if (!reserve_account(k))
            return wrong(k, ERR_MEMORY, "out of memory", r);
        account_init(&fresh, &alloc_heap);
    }
    enum err result =
        account_apply(is_new ? &fresh : &a->account, &s->hub, e, r, VIEW_SLOT, &effects);
    if (result != ERR_OK) {
        if (is_new)
            account_close(&fresh);
        return wrong(k, result, "the rules refuse a record of the log", r);
    }
    if (is_new) {
        a = &k->accounts[k->account_count];
        *a = (struct book_account){
            .account = fresh, .party = party_of(k, &fresh.id), .next_row = NO_ROW};
        table_put(k->table, k->table_size, &fresh.id, k->account_count++);
        if (a->party != NO_PARTY) {
            a->next_row = k->bank->parties[a->party].first;
            k->opened++;
        }
    }
    if (!hash_equal(&a->account.head, &r->account_head))
        return wrong(k, ERR_CORRUPT, "the account head is not the one the records give",
                     r);
    if (a->party == NO_PARTY || is_new)
        return ERR_OK;
    result = payload_decode(&payload, e->kind, e->payload);
    if (result != ERR_OK)
        return wrong(k, result, "payload does not decode", r);
    payload.kind = e->kind;
    return k->bank->parties[a->party].is_payee ? check_credit(k, a, &payload)
                                               : check_row(k, a, &payload);
}

enum err book_apply(struct book *k, const struct record *r)
{
    static struct effects effects;
    struct entry e;
    if (r->slot >= k->slots || r->index != k->slot[r->slot].count)
        return wrong(k, ERR_CORRUPT, "records do not follow each other", r);
    struct book_slot *s = &k->slot[r->slot];
    enum err result = entry_decode(&e, r->envelope.data, r->envelope.size);
    if (result != ERR_OK)
        return wrong(k, result, "entry does not decode", r);
    bool of_hub = e.kind == KIND_LOG_OPEN ||
                  (s->hub.open && hash_equal(entry_account(&e), &s->hub.id));
    if (of_hub) {
        result = hub_account_apply(&s->hub, &e, r, VIEW_SLOT, &effects);
        if (result != ERR_OK)
            return wrong(k, result, "the rules refuse a record of the hub", r);
    } else {
        result = apply_to_account(k, s, &e, r);
        if (result != ERR_OK)
            return result;
    }
    result = keep(s, r);
    if (result != ERR_OK)
        return wrong(k, result, "out of memory", r);
    k->records++;
    return ERR_OK;
}

bool book_balances(struct book *k, int64_t *held)
{
    int64_t all = 0, created = 0;
    *held = 0;
    for (size_t i = 0; i < k->account_count; i++) {
        const struct book_account *a = &k->accounts[i];
        all += a->account.balance;
        if (a->party == NO_PARTY)
            continue;
        const struct bank_party *p = &k->bank->parties[a->party];
        *held += a->account.balance;
        if (a->account.balance != p->expected || a->credits != p->payments) {
            char want[40], got[40];
            cli_amount_text(want, p->expected);
            cli_amount_text(got, a->account.balance);
            (void)snprintf(k->why, sizeof k->why,
                           "%s holds %s in %u payments, the bank says %s in %u", p->name,
                           got, a->credits, want, p->payments);
            return false;
        }
    }
    for (uint32_t i = 0; i < k->slots; i++)
        created += k->slot[i].hub.accrued + k->slot[i].hub.adjusted;
    if (*held != k->bank->accrued || all != created) {
        char a[40], b[40];
        cli_amount_text(a, all);
        cli_amount_text(b, created);
        (void)snprintf(k->why, sizeof k->why,
                       "balances add up to %s, but %s were accrued", a, b);
        return false;
    }
    return true;
}
