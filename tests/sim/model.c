#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/kinds.h"

#define WRITERS_MAX 8

struct end {
    uint64_t next_seq;
    struct hash tip;
    uint64_t lamport;
};

struct writer_end {
    struct pubkey key;
    struct end end;
};

struct written {
    struct hash id;
    uint64_t lamport;
};

struct holder {
    struct hash id;
    uint64_t position;
    struct hash head;
    int64_t balance;
    size_t writer_count;
    struct writer_end writers[WRITERS_MAX];
    struct end hub;
    struct written *written; /* by members */
    size_t written_count, written_cap;
};

struct item {
    struct hash cause;
    uint32_t payee_index;
    struct hash payer, payee;
    int64_t amount;
    uint64_t source_index, source_lamport;
    bool is_return;
};

struct lane {
    struct item *items; /* from out_seq 0 on */
    size_t count, cap;
    size_t settled;
};

struct settlement {
    bool is;
    bool bounced;
    struct hash cause;
    uint32_t payee_index;
};

struct book {
    uint64_t cursor;
    uint64_t lamport, time_ms;
    struct holder hub;
    struct settlement *settlements; /* by index */
    size_t settlement_cap;
};

struct model {
    uint32_t slots;
    struct book *books;
    struct lane *lanes; /* source, then destination */
    struct holder *holders;
    size_t holder_count, holder_cap;
    int64_t made;
    struct model_counts counts;
    struct payload payload;
    char why[256];
};

static void *grow(void *p, size_t *cap, size_t count, size_t size)
{
    if (count < *cap)
        return p;
    size_t wanted = *cap == 0 ? 32 : *cap * 2;
    while (wanted <= count)
        wanted *= 2;
    p = realloc(p, wanted * size);
    if (p == NULL)
        abort();
    memset((char *)p + *cap * size, 0, (wanted - *cap) * size);
    *cap = wanted;
    return p;
}

struct model *model_open(uint32_t slots)
{
    struct model *m = calloc(1, sizeof *m);
    if (m == NULL)
        abort();
    m->slots = slots;
    m->books = calloc(slots, sizeof *m->books);
    m->lanes = calloc((size_t)slots * slots, sizeof *m->lanes);
    if (m->books == NULL || m->lanes == NULL)
        abort();
    return m;
}

void model_close(struct model *m)
{
    for (uint32_t i = 0; i < m->slots; i++)
        free(m->books[i].settlements);
    for (size_t i = 0; i < (size_t)m->slots * m->slots; i++)
        free(m->lanes[i].items);
    for (size_t i = 0; i < m->holder_count; i++)
        free(m->holders[i].written);
    free(m->holders);
    free(m->books);
    free(m->lanes);
    free(m);
}

static struct holder *holder_of(const struct model *m, const struct hash *id)
{
    for (size_t i = 0; i < m->holder_count; i++)
        if (hash_equal(&m->holders[i].id, id))
            return &m->holders[i];
    return NULL;
}

static struct lane *lane_of(const struct model *m, uint32_t source, uint32_t destination)
{
    return &m->lanes[(size_t)source * m->slots + destination];
}

/* ---- what is wrong ---- */

static const char *wrong(struct model *m, const struct disk_record *r, const char *what)
{
    snprintf(m->why, sizeof m->why, "slot %02x record %llu: %s", (unsigned)r->r.slot,
             (unsigned long long)r->r.index, what);
    return m->why;
}

/* A credit whose cause this model has not read yet is looked at again later. */
static const char not_yet[] = "";

/* ---- chains ---- */

static const char *follow(struct model *m, const struct disk_record *r,
                          const struct entry *e, struct end *end, uint64_t ref_lamport)
{
    uint64_t lamport = end->lamport > ref_lamport ? end->lamport : ref_lamport;
    if (e->seq != end->next_seq)
        return wrong(m, r, "seq is not the writer's next");
    if (!e->has_prev || !hash_equal(&e->prev, &end->tip))
        return wrong(m, r, "prev is not the writer's newest");
    if (e->lamport != lamport + 1)
        return wrong(m, r, "lamport is not one above what it follows");
    *end = (struct end){.next_seq = e->seq + 1, .tip = e->id, .lamport = e->lamport};
    return NULL;
}

static struct end *end_of(struct holder *h, const struct pubkey *key)
{
    for (size_t i = 0; i < h->writer_count; i++)
        if (pubkey_equal(&h->writers[i].key, key))
            return &h->writers[i].end;
    return NULL;
}

static void add_writer(struct holder *h, const struct pubkey *key, struct end end)
{
    if (h->writer_count == WRITERS_MAX)
        abort();
    h->writers[h->writer_count++] = (struct writer_end){.key = *key, .end = end};
}

static const char *follow_member(struct model *m, const struct disk_record *r,
                                 const struct entry *e, struct holder *h)
{
    struct end *end = end_of(h, &e->device);
    if (end == NULL)
        return wrong(m, r, "a stranger's entry");
    uint64_t ref_lamport = 0;
    for (unsigned i = 0; i < e->ref_count; i++) {
        bool found = false;
        size_t first = h->written_count > REF_WINDOW ? h->written_count - REF_WINDOW : 0;
        for (size_t k = first; k < h->written_count; k++)
            if (hash_equal(&h->written[k].id, &e->refs[i])) {
                found = true;
                if (h->written[k].lamport > ref_lamport)
                    ref_lamport = h->written[k].lamport;
            }
        if (!found)
            return wrong(m, r, "ref is not among the last");
    }
    return follow(m, r, e, end, ref_lamport);
}

static void remember(struct holder *h, const struct entry *e)
{
    h->written = grow(h->written, &h->written_cap, h->written_count, sizeof *h->written);
    h->written[h->written_count++] = (struct written){.id = e->id, .lamport = e->lamport};
}

/* ---- channels ---- */

static void put(struct model *m, uint32_t source, uint32_t destination, struct item item)
{
    struct lane *l = lane_of(m, source, destination);
    l->items = grow(l->items, &l->cap, l->count, sizeof *l->items);
    l->items[l->count++] = item;
}

static uint32_t source_of(const struct model *m, struct bytes origin)
{
    char text[NOTE_NAME_MAX + 1] = {0};
    unsigned slot = 0;
    if (origin.size >= sizeof text)
        abort();
    memcpy(text, origin.data, origin.size);
    const char *slash = strrchr(text, '/');
    if (slash == NULL || sscanf(slash + 1, "%2x", &slot) != 1 || slot >= m->slots)
        abort();
    return slot;
}

/* Take the next item off its channel; it must be the one described. */
static const char *settle(struct model *m, const struct disk_record *r,
                          const struct p_credit *p, bool bounced, struct item *out)
{
    uint32_t source = source_of(m, p->source);
    struct lane *l = lane_of(m, source, r->r.slot);
    if (p->out_seq >= l->count)
        return not_yet;
    if (p->out_seq != l->settled)
        return wrong(m, r,
                     p->out_seq < l->settled ? "item is settled twice"
                                             : "an item is left out");
    const struct item *i = &l->items[l->settled];
    if (!hash_equal(&i->cause, &p->cause) || i->payee_index != p->payee_index ||
        i->amount != p->amount || i->source_index != p->source_index ||
        i->source_lamport != p->source_lamport)
        return wrong(m, r, "item is not what was sent");
    l->settled++;
    *out = *i;
    struct book *b = &m->books[r->r.slot];
    b->settlements = grow(b->settlements, &b->settlement_cap, (size_t)r->r.index,
                          sizeof *b->settlements);
    b->settlements[r->r.index] = (struct settlement){
        .is = true, .bounced = bounced, .cause = p->cause, .payee_index = i->payee_index};
    return NULL;
}

/* ---- kinds ---- */

static const char *do_open(struct model *m, const struct disk_record *r,
                           const struct entry *e)
{
    if (holder_of(m, &e->id) != NULL)
        return wrong(m, r, "account is opened twice");
    m->holders = grow(m->holders, &m->holder_cap, m->holder_count, sizeof *m->holders);
    struct holder *h = &m->holders[m->holder_count++];
    *h = (struct holder){.id = e->id};
    struct end end = {.next_seq = 1, .tip = e->id, .lamport = 1};
    add_writer(h, &e->device, end);
    end.next_seq = 0;
    h->hub = end;
    remember(h, e);
    return NULL;
}

static const char *do_transfer(struct model *m, const struct disk_record *r,
                               const struct entry *e, struct holder *h)
{
    const struct p_transfer *p = &m->payload.transfer;
    for (size_t i = 0; i < p->payee_count; i++) {
        const struct hash *payee = &p->payees[i].account;
        if (p->payees[i].amount <= 0 || p->payees[i].amount > h->balance)
            return wrong(m, r, "overdraft");
        h->balance -= p->payees[i].amount;
        put(m, r->r.slot, slot_of(payee, m->slots),
            (struct item){.cause = e->id,
                          .payee_index = (uint32_t)i,
                          .payer = h->id,
                          .payee = *payee,
                          .amount = p->payees[i].amount,
                          .source_index = r->r.index,
                          .source_lamport = r->r.hub_lamport});
    }
    m->counts.transfers++;
    return NULL;
}

static const char *do_credit(struct model *m, const struct disk_record *r,
                             struct holder *h)
{
    struct item item;
    const char *why = settle(m, r, &m->payload.credit, false, &item);
    if (why != NULL)
        return why;
    if (!hash_equal(&item.payee, &h->id))
        return wrong(m, r, "credit to somebody else");
    if ((m->payload.credit.reason == CREDIT_RETURN) != item.is_return)
        return wrong(m, r, "credit for another reason");
    h->balance += item.amount;
    m->counts.credits++;
    m->counts.returns += item.is_return;
    return NULL;
}

static const char *do_bounce(struct model *m, const struct disk_record *r,
                             const struct entry *e)
{
    const struct p_bounce *p = &m->payload.bounce;
    struct item item;
    const char *why = settle(m, r, &p->item, true, &item);
    if (why != NULL)
        return why;
    if (item.is_return)
        return wrong(m, r, "a return bounces");
    if (!hash_equal(&item.payer, &p->payer) || !hash_equal(&item.payee, &p->payee))
        return wrong(m, r, "bounce of somebody else's item");
    if (holder_of(m, &item.payee) != NULL && p->item.reason == BOUNCE_UNKNOWN)
        return wrong(m, r, "payee is known");
    put(m, r->r.slot, slot_of(&item.payer, m->slots),
        (struct item){.cause = e->id,
                      .payer = item.payer,
                      .payee = item.payer,
                      .amount = item.amount,
                      .source_index = r->r.index,
                      .source_lamport = r->r.hub_lamport,
                      .is_return = true});
    m->counts.bounces++;
    return NULL;
}

static const char *do_account(struct model *m, const struct disk_record *r,
                              const struct entry *e, struct holder *h)
{
    struct end end = {.next_seq = 0, .tip = e->id, .lamport = e->lamport};
    switch (e->kind) {
    case KIND_NOTE:
        return NULL;
    case KIND_DEVICE_ADD:
        add_writer(h, &m->payload.device_add.device, end);
        return NULL;
    case KIND_TRANSFER:
        return do_transfer(m, r, e, h);
    case KIND_ACCRUE:
        h->balance += m->payload.accrue.amount;
        m->made += m->payload.accrue.amount;
        return NULL;
    case KIND_CREDIT:
        return do_credit(m, r, h);
    default:
        return wrong(m, r, "a kind nobody wrote");
    }
}

/* ---- records ---- */

static const char *check_place(struct model *m, const struct disk_record *r,
                               const struct entry *e, const struct holder *h)
{
    struct book *b = &m->books[r->r.slot];
    uint64_t lamport = b->lamport;
    if (e->kind == KIND_CREDIT && m->payload.credit.source_lamport > lamport)
        lamport = m->payload.credit.source_lamport;
    if (e->kind == KIND_BOUNCE && m->payload.bounce.item.source_lamport > lamport)
        lamport = m->payload.bounce.item.source_lamport;
    struct hash head = account_head_next(&h->head, e->envelope);
    if (r->r.hub_lamport != lamport + 1)
        return wrong(m, r, "hub lamport");
    if (r->r.hub_time_ms < b->time_ms)
        return wrong(m, r, "hub time falls");
    if (r->r.position != h->position || !hash_equal(&head, &r->r.account_head))
        return wrong(m, r, "position or head in the account");
    return NULL;
}

static void move_on(struct model *m, const struct disk_record *r, struct holder *h)
{
    struct book *b = &m->books[r->r.slot];
    b->lamport = r->r.hub_lamport;
    b->time_ms = r->r.hub_time_ms;
    b->cursor++;
    h->position++;
    h->head = r->r.account_head;
    m->counts.records++;
}

static const char *take_hub(struct model *m, const struct disk_record *r,
                            const struct entry *e)
{
    struct holder *h = &m->books[r->r.slot].hub;
    const char *why = check_place(m, r, e, h);
    if (why != NULL)
        return why;
    if (e->kind == KIND_LOG_OPEN) {
        if (r->r.index != 0)
            return wrong(m, r, "log is opened twice");
        h->hub = (struct end){.next_seq = 1, .tip = e->id, .lamport = 1};
    } else {
        why = do_bounce(m, r, e);
        if (why == NULL)
            why = follow(m, r, e, &h->hub, 0);
    }
    if (why == NULL)
        move_on(m, r, h);
    return why;
}

static const char *take(struct model *m, const struct disk_record *r)
{
    struct entry e;
    if (entry_decode(&e, r->r.envelope.data, r->r.envelope.size) != ERR_OK ||
        payload_decode(&m->payload, e.kind, e.payload) != ERR_OK)
        return wrong(m, r, "does not decode");
    if (r->r.index != m->books[r->r.slot].cursor)
        return wrong(m, r, "index");
    if (e.kind == KIND_LOG_OPEN || e.kind == KIND_BOUNCE)
        return take_hub(m, r, &e);
    const char *why = NULL;
    static const struct holder nobody;
    struct holder *h = e.kind == KIND_OPEN ? NULL : holder_of(m, &e.account);
    if (e.kind != KIND_OPEN && h == NULL)
        return wrong(m, r, "no such account");
    why = check_place(m, r, &e, h == NULL ? &nobody : h);
    if (why != NULL)
        return why;
    if (e.kind == KIND_OPEN) {
        why = do_open(m, r, &e);
        h = &m->holders[m->holder_count - 1];
    } else {
        bool by_hub = e.kind == KIND_ACCRUE || e.kind == KIND_CREDIT;
        why = do_account(m, r, &e, h);
        if (why == NULL)
            why = by_hub ? follow(m, r, &e, &h->hub, 0) : follow_member(m, r, &e, h);
        if (why == NULL && !by_hub)
            remember(h, &e);
    }
    if (why == NULL)
        move_on(m, r, h);
    return why;
}

static const char *check_supply(struct model *m)
{
    int64_t held = 0;
    for (size_t i = 0; i < m->holder_count; i++)
        held += m->holders[i].balance;
    uint64_t items;
    if (held + model_under_way(m, &items) == m->made)
        return NULL;
    snprintf(m->why, sizeof m->why, "supply is not conserved");
    return m->why;
}

const char *model_advance(struct model *m, const struct disk *d)
{
    bool moved = true;
    bool behind = true;
    while (moved) {
        moved = false;
        behind = false;
        for (uint32_t i = 0; i < m->slots; i++) {
            const struct disk_slot *s = &d->slot[i];
            const char *why = NULL;
            while (m->books[i].cursor < s->size) {
                why = take(m, &s->records[m->books[i].cursor]);
                if (why != NULL)
                    break;
                moved = true;
            }
            if (why != NULL && why != not_yet)
                return why;
            behind = behind || why == not_yet;
        }
    }
    if (behind)
        return "an item was settled that nobody sent";
    return check_supply(m);
}

/* ---- questions ---- */

const char *model_check_balance(const struct model *m, const struct hash *account,
                                int64_t balance)
{
    const struct holder *h = holder_of(m, account);
    if (h == NULL)
        return "an account nobody opened";
    return h->balance == balance ? NULL : "balance is not the book-keeper's";
}

int64_t model_under_way(const struct model *m, uint64_t *items)
{
    int64_t sum = 0;
    *items = 0;
    for (size_t i = 0; i < (size_t)m->slots * m->slots; i++) {
        const struct lane *l = &m->lanes[i];
        *items += l->count - l->settled;
        for (size_t k = l->settled; k < l->count; k++)
            sum += l->items[k].amount;
    }
    return sum;
}

size_t model_accounts(const struct model *m)
{
    return m->holder_count;
}

bool model_settles(const struct model *m, uint32_t slot, uint64_t index,
                   const struct hash *cause, uint32_t payee_index, bool bounced)
{
    const struct book *b = &m->books[slot];
    if (index >= b->cursor || index >= b->settlement_cap)
        return false;
    const struct settlement *s = &b->settlements[index];
    return s->is && s->bounced == bounced && s->payee_index == payee_index &&
           hash_equal(&s->cause, cause);
}

struct model_counts model_counts(const struct model *m)
{
    return m->counts;
}
