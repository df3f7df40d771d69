#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_books.h"

#define CELLS 4096

/* ---- lists ---- */

void *list_add(struct list *l, size_t size)
{
    if (l->count == l->cap) {
        l->cap = l->cap == 0 ? 8 : l->cap * 2;
        l->items = realloc(l->items, l->cap * size);
        if (l->items == NULL)
            abort();
    }
    void *at = (char *)l->items + l->count++ * size;
    memset(at, 0, size);
    return at;
}

void list_drop(struct list *l, size_t size, size_t i)
{
    char *at = (char *)l->items + i * size;
    memmove(at, at + size, (--l->count - i) * size);
}

/* ---- life ---- */

struct model *model_open(uint32_t slots, const char *hub, const struct hash *federation)
{
    struct model *m = calloc(1, sizeof *m);
    if (m == NULL)
        abort();
    m->slots = slots;
    m->hub = hub;
    m->federation = *federation;
    m->books = calloc(slots, sizeof *m->books);
    m->lanes = calloc((size_t)slots * slots, sizeof *m->lanes);
    m->cells = calloc(CELLS, sizeof *m->cells);
    if (m->books == NULL || m->lanes == NULL || m->cells == NULL)
        abort();
    return m;
}

static void holder_free(struct holder *h)
{
    free(h->devices.items);
    free(h->members.items);
    free(h->revoked.items);
    free(h->invites.items);
    free(h->nodes.items);
    free(h->splits.items);
    free(h->written.items);
    free(h->places.items);
    free(h);
}

void model_close(struct model *m)
{
    if (m == NULL)
        return;
    for (uint32_t i = 0; i < m->slots; i++) {
        free(m->books[i].kept.items);
        free(m->books[i].places.items);
        free(m->books[i].touched.items);
    }
    for (size_t i = 0; i < (size_t)m->slots * m->slots; i++)
        free(m->lanes[i].items.items);
    for (size_t i = 0; i < m->holders.count; i++)
        holder_free(*AT(m->holders, struct holder *, i));
    free(m->holders.items);
    free(m->books);
    free(m->lanes);
    free(m->cells);
    free(m);
}

/* The cell where the account's number stands, or would. */
static uint32_t *cell_of(const struct model *m, const struct hash *id)
{
    uint32_t x;
    memcpy(&x, id->b + 8, sizeof x);
    size_t i = x % CELLS;
    while (m->cells[i] != 0 &&
           !hash_equal(&(*AT(m->holders, struct holder *, m->cells[i] - 1))->id, id))
        i = (i + 1) % CELLS;
    return &m->cells[i];
}

struct holder *holder_of(const struct model *m, const struct hash *id)
{
    uint32_t n = *cell_of(m, id);
    return n == 0 ? NULL : *AT(m->holders, struct holder *, n - 1);
}

static struct holder *holder_add(struct model *m, const struct hash *id, uint32_t slot)
{
    if (m->holders.count >= CELLS / 2)
        abort();
    struct holder *h = calloc(1, sizeof *h);
    if (h == NULL)
        abort();
    h->id = *id;
    h->slot = slot;
    uint32_t *cell = cell_of(m, id);
    *(struct holder **)list_add(&m->holders, sizeof h) = h;
    *cell = (uint32_t)m->holders.count;
    return h;
}

static void touch(struct model *m, struct holder *h)
{
    if (h->touched)
        return;
    h->touched = true;
    *(struct holder **)list_add(&m->books[h->slot].touched, sizeof h) = h;
}

const char *wrong(struct taking *t, const char *what)
{
    snprintf(t->m->why, sizeof t->m->why, "slot %02x record %llu, a %s: %s",
             (unsigned)t->r->r.slot, (unsigned long long)t->r->r.index,
             kind_word(t->e->kind), what);
    return t->m->why;
}

/* A credit whose cause this model has not read yet is looked at again later. */
static const char not_yet[] = "";

/* ---- chains ---- */

static const char *follow(struct taking *t, struct end *end, uint64_t ref_lamport)
{
    const struct entry *e = t->e;
    uint64_t lamport = end->lamport > ref_lamport ? end->lamport : ref_lamport;
    if (e->seq != end->next_seq)
        return wrong(t, "seq is not the writer's next");
    if (!e->has_prev || !hash_equal(&e->prev, &end->tip))
        return wrong(t, "prev is not the writer's newest");
    if (e->lamport != lamport + 1)
        return wrong(t, "lamport is not one above what it follows");
    *end = (struct end){.next_seq = e->seq + 1, .tip = e->id, .lamport = e->lamport};
    return NULL;
}

/* The highest lamport among the refs; all of them are in the window. */
static const char *read_refs(struct taking *t, uint64_t *lamport)
{
    const struct list *l = &t->h->written;
    *lamport = 0;
    for (unsigned i = 0; i < t->e->ref_count; i++) {
        size_t k = l->count, last = l->count > REF_WINDOW ? l->count - REF_WINDOW : 0;
        while (k > last &&
               !hash_equal(&AT(*l, struct written, k - 1)->id, &t->e->refs[i]))
            k--;
        if (k == last)
            return wrong(t, "ref is not among the last");
        if (AT(*l, struct written, k - 1)->lamport > *lamport)
            *lamport = AT(*l, struct written, k - 1)->lamport;
    }
    return NULL;
}

static void remember(struct taking *t)
{
    *(struct written *)list_add(&t->h->written, sizeof(struct written)) =
        (struct written){.id = t->e->id, .lamport = t->e->lamport};
}

/* Who writes, and is it on his chain? */
static const char *follow_member(struct taking *t)
{
    struct holder *h = t->h;
    uint64_t lamport;
    const char *why = read_refs(t, &lamport);
    if (why != NULL)
        return why;
    if (t->e->kind == KIND_MEMBER_ADD)
        return NULL; /* starts at its invite */
    if (h->has_recovery && pubkey_equal(&h->recovery, &t->e->device)) {
        if (t->e->kind != KIND_RECOVERY_BEGIN && t->e->kind != KIND_ROOT_ROTATE)
            return wrong(t, "the recovery key does something else");
        return follow(t, &h->recovery_end, lamport);
    }
    t->device = device_of(h, &t->e->device);
    if (t->device == NULL)
        return wrong(t, "a stranger's entry");
    for (size_t i = 0; i < h->members.count; i++)
        if (AT(h->members, struct m_member, i)->number == t->device->member)
            t->member = AT(h->members, struct m_member, i);
    if (t->member == NULL)
        return wrong(t, "a device of nobody");
    return follow(t, &t->device->end, lamport);
}

/* ---- channels ---- */

static struct lane *lane_of(const struct model *m, uint32_t source, uint32_t destination)
{
    return &m->lanes[(size_t)source * m->slots + destination];
}

static void put(struct model *m, uint32_t source, uint32_t destination, struct item item)
{
    struct lane *l = lane_of(m, source, destination);
    *(struct item *)list_add(&l->items, sizeof item) = item;
    m->under_way += item.amount;
    m->items++;
}

static bool source_of(const struct model *m, struct bytes origin, uint32_t *slot)
{
    char text[NOTE_NAME_MAX + 1] = {0};
    size_t hub = strlen(m->hub);
    unsigned n = 0;
    if (origin.size != hub + 3 || memcmp(origin.data, m->hub, hub) != 0)
        return false;
    memcpy(text, origin.data + hub, 3);
    if (sscanf(text, "/%2x", &n) != 1 || n >= m->slots)
        return false;
    *slot = n;
    return true;
}

/* Take the next item off its channel; it must be the one described. */
static const char *settle(struct taking *t, const struct p_credit *p, bool bounced,
                          struct item *out)
{
    struct model *m = t->m;
    uint32_t source;
    if (!source_of(m, p->source, &source))
        return wrong(t, "from a log that is not there");
    struct lane *l = lane_of(m, source, t->r->r.slot);
    if (p->out_seq >= l->items.count)
        return not_yet;
    if (p->out_seq != l->settled)
        return wrong(t, p->out_seq < l->settled ? "item is settled twice"
                                                : "an item is left out");
    const struct item *i = AT(l->items, struct item, l->settled);
    if (!hash_equal(&i->cause, &p->cause) || i->payee_index != p->payee_index ||
        i->amount != p->amount || i->source_index != p->source_index ||
        i->source_lamport != p->source_lamport)
        return wrong(t, "item is not what was sent");
    struct kept *k = AT(m->books[t->r->r.slot].kept, struct kept, t->r->r.index);
    k->settles = true;
    k->bounced = bounced;
    k->cause = p->cause;
    k->payee_index = i->payee_index;
    l->settled++;
    m->under_way -= i->amount;
    m->items--;
    *out = *i;
    return NULL;
}

/* ---- money ---- */

static const char *take_transfer(struct taking *t)
{
    const struct p_transfer *p = &t->p->transfer;
    struct holder *h = t->h;
    for (size_t i = 0; i < p->payee_count; i++) {
        const struct hash *payee = &p->payees[i].account;
        if (hash_equal(payee, &h->id))
            return wrong(t, "pays itself");
        if (p->payees[i].amount <= 0 || p->payees[i].amount > h->balance)
            return wrong(t, "overdraft");
        if (p->payees[i].hub.size > 0 &&
            (p->payees[i].hub.size != strlen(t->m->hub) ||
             memcmp(p->payees[i].hub.data, t->m->hub, p->payees[i].hub.size) != 0))
            return wrong(t, "pays to another hub");
        h->balance -= p->payees[i].amount;
        t->m->held -= p->payees[i].amount;
        put(t->m, h->slot, slot_of(payee, t->m->slots),
            (struct item){.cause = t->e->id,
                          .payee_index = (uint32_t)i,
                          .payer = h->id,
                          .payee = *payee,
                          .amount = p->payees[i].amount,
                          .source_index = t->r->r.index,
                          .source_lamport = t->r->r.hub_lamport});
    }
    return NULL;
}

static const char *take_accrue(struct taking *t)
{
    const struct p_accrue *p = &t->p->accrue;
    struct holder *h = t->h;
    size_t i = 0;
    while (i < h->nodes.count &&
           !hash_equal(&AT(h->nodes, struct m_node, i)->node, &p->node))
        i++;
    if (i < h->nodes.count && AT(h->nodes, struct m_node, i)->epoch >= p->epoch)
        return wrong(t, "accrued twice");
    if (i == h->nodes.count)
        *(struct m_node *)list_add(&h->nodes, sizeof(struct m_node)) =
            (struct m_node){.node = p->node};
    AT(h->nodes, struct m_node, i)->epoch = p->epoch;
    h->balance += p->amount;
    t->m->held += p->amount;
    t->m->made += p->amount;
    return NULL;
}

static const char *take_adjust(struct taking *t)
{
    int64_t delta = t->p->adjust.delta;
    if (t->h->balance + delta < 0)
        return wrong(t, "adjusted below nothing");
    t->h->balance += delta;
    t->m->held += delta;
    t->m->made += delta;
    return NULL;
}

static const char *take_credit(struct taking *t)
{
    struct item item;
    const char *why = settle(t, &t->p->credit, false, &item);
    if (why != NULL)
        return why;
    if (!hash_equal(&item.payee, &t->h->id))
        return wrong(t, "credit to somebody else");
    if ((t->p->credit.reason == CREDIT_RETURN) != item.is_return)
        return wrong(t, "credit for another reason");
    t->h->balance += item.amount;
    t->m->held += item.amount;
    t->m->credits++;
    t->m->returns += item.is_return;
    return NULL;
}

static const char *take_bounce(struct taking *t)
{
    const struct p_bounce *p = &t->p->bounce;
    struct item item;
    const char *why = settle(t, &p->item, true, &item);
    if (why != NULL)
        return why;
    if (item.is_return)
        return wrong(t, "a return bounces");
    if (!hash_equal(&item.payer, &p->payer) || !hash_equal(&item.payee, &p->payee))
        return wrong(t, "bounce of somebody else's item");
    if (holder_of(t->m, &item.payee) != NULL && p->item.reason == BOUNCE_UNKNOWN)
        return wrong(t, "payee is known");
    put(t->m, t->r->r.slot, slot_of(&item.payer, t->m->slots),
        (struct item){.cause = t->e->id,
                      .payer = item.payer,
                      .payee = item.payer,
                      .amount = item.amount,
                      .source_index = t->r->r.index,
                      .source_lamport = t->r->r.hub_lamport,
                      .is_return = true});
    t->m->bounces++;
    return NULL;
}

/* ---- the hub account ---- */

static void add_relay(struct model *m, const struct pubkey *key)
{
    if (m->relay_count < RELAY_KEYS_MAX && !model_was_relay(m, key))
        m->relays[m->relay_count++] = *key;
}

static const char *take_hub_key(struct taking *t)
{
    const struct p_hub_key *p = &t->p->hub_key;
    struct book *b = &t->m->books[t->r->r.slot];
    struct pubkey *role = p->role == ROLE_ISSUER  ? &b->issuer
                          : p->role == ROLE_RELAY ? &b->relay
                                                  : &b->log;
    if (!pubkey_equal(role, &p->old_key))
        return wrong(t, "gives away a key that is not in force");
    *role = p->new_key;
    if (p->role == ROLE_RELAY)
        add_relay(t->m, role);
    return NULL;
}

static const char *take_log_open(struct taking *t)
{
    const struct p_log_open *p = &t->p->log_open;
    struct book *b = &t->m->books[t->r->r.slot];
    struct vkey log;
    if (t->r->r.index != 0 || p->slot != t->r->r.slot || p->slots != t->m->slots ||
        !vkey_parse(&log, (const char *)p->log_vkey.data, p->log_vkey.size))
        return wrong(t, "log is opened wrongly");
    b->id = t->e->id;
    b->issuer = p->issuer;
    b->relay = p->relay;
    b->log = log.key;
    b->end = (struct end){.next_seq = 1, .tip = t->e->id, .lamport = 1};
    add_relay(t->m, &p->relay);
    return NULL;
}

static const char *take_of_hub(struct taking *t)
{
    struct book *b = &t->m->books[t->r->r.slot];
    if (t->e->kind == KIND_LOG_OPEN)
        return take_log_open(t);
    if (!hash_equal(&t->e->account, &b->id) || !pubkey_equal(&t->e->device, &b->relay))
        return wrong(t, "not the relay of this log");
    const char *why = t->e->kind == KIND_BOUNCE    ? take_bounce(t)
                      : t->e->kind == KIND_HUB_KEY ? take_hub_key(t)
                                                   : wrong(t, "no such rules");
    return why != NULL ? why : follow(t, &b->end, 0);
}

/* ---- records ---- */

static const char *take_of_account(struct taking *t)
{
    const struct book *b = &t->m->books[t->r->r.slot];
    struct holder *h = t->h;
    bool by_hub = true;
    const struct pubkey *key = &b->relay;
    const char *why;
    switch (t->e->kind) {
    case KIND_ACCRUE:
        key = &b->issuer;
        why = take_accrue(t);
        break;
    case KIND_ADJUST:
        key = &b->issuer;
        why = take_adjust(t);
        break;
    case KIND_CREDIT:
        why = take_credit(t);
        break;
    default:
        by_hub = false;
        why = follow_member(t);
        if (why == NULL)
            why = t->e->kind == KIND_TRANSFER ? take_transfer(t) : take_member_kind(t);
        if (why == NULL)
            remember(t);
    }
    if (why != NULL || !by_hub)
        return why;
    if (!pubkey_equal(key, &t->e->device))
        return wrong(t, "not the hub's key");
    return follow(t, &h->hub, 0);
}

static const char *check_place(struct taking *t, uint64_t position,
                               const struct hash *before)
{
    const struct record *r = &t->r->r;
    struct book *b = &t->m->books[r->slot];
    uint64_t lamport = b->lamport, source = 0;
    if (t->e->kind == KIND_CREDIT)
        source = t->p->credit.source_lamport;
    if (t->e->kind == KIND_BOUNCE)
        source = t->p->bounce.item.source_lamport;
    if (r->hub_lamport != (source > lamport ? source : lamport) + 1)
        return wrong(t, "hub lamport");
    if (r->hub_time_ms < b->time_ms)
        return wrong(t, "hub time falls");
    const char context[] = "stoa/account-head/v1";
    const struct hash_part parts[] = {{context, sizeof context},
                                      {before->b, sizeof before->b},
                                      {r->envelope.data, r->envelope.size}};
    struct hash head = hash_parts(parts, 3);
    if (r->position != position || !hash_equal(&head, &r->account_head))
        return wrong(t, "position or head in the account");
    return NULL;
}

/* The root of the log with this record; PROTOCOL.md "Slot, log, record". */
static struct hash root_with(struct book *b, const struct record *r, uint64_t index,
                             struct kept *k)
{
    uint8_t leaf[80];
    struct hash content = hash_sha256(r->envelope.data, r->envelope.size);
    memcpy(leaf, content.b, 32);
    memcpy(leaf + 32, r->account_head.b, 32);
    for (int i = 0; i < 8; i++) {
        leaf[64 + i] = (uint8_t)(r->hub_lamport >> (56 - 8 * i));
        leaf[72 + i] = (uint8_t)(r->hub_time_ms >> (56 - 8 * i));
    }
    struct hash node = hash_leaf(leaf, sizeof leaf);
    k->leaf = node;
    k->content = content;
    k->head = r->account_head;
    k->lamport = r->hub_lamport;
    k->time_ms = r->hub_time_ms;
    k->position = r->position;
    unsigned level = 0;
    for (; (index >> level & 1) != 0; level++)
        node = hash_node(&b->edge[level], &node);
    b->edge[level] = node;
    struct hash root = node;
    for (uint64_t size = index + 1; ++level < MERKLE_LEVELS_MAX;)
        if ((size >> level & 1) != 0)
            root = hash_node(&b->edge[level], &root);
    return root;
}

static const char *take(struct model *m, const struct disk_record *r)
{
    struct entry e;
    struct taking t = {.m = m, .r = r, .e = &e, .p = &m->payload};
    struct book *b = &m->books[r->r.slot];
    if (entry_decode(&e, r->r.envelope.data, r->r.envelope.size) != ERR_OK ||
        payload_decode(&m->payload, e.kind, e.payload) != ERR_OK)
        return "a record does not decode";
    if (r->r.index != b->kept.count)
        return wrong(&t, "index");
    bool of_hub = e.kind == KIND_LOG_OPEN || e.kind == KIND_HUB_KEY ||
                  e.kind == KIND_RULES || e.kind == KIND_BOUNCE;
    static const struct hash zero;
    t.h = of_hub || e.kind == KIND_OPEN ? NULL : holder_of(m, &e.account);
    if (e.kind == KIND_OPEN && holder_of(m, &e.id) != NULL)
        return wrong(&t, "account is opened twice");
    if (!of_hub && e.kind != KIND_OPEN && t.h == NULL)
        return wrong(&t, "no such account");
    const char *why = of_hub        ? check_place(&t, b->position, &b->head)
                      : t.h == NULL ? check_place(&t, 0, &zero)
                                    : check_place(&t, t.h->position, &t.h->head);
    if (why != NULL)
        return why;
    struct kept *k = list_add(&b->kept, sizeof *k);
    k->id = e.id;
    if (e.kind == KIND_OPEN)
        t.h = holder_add(m, &e.id, r->r.slot);
    why = of_hub                ? take_of_hub(&t)
          : e.kind == KIND_OPEN ? take_open(&t)
                                : take_of_account(&t);
    if (why != NULL) {
        b->kept.count--;
        return why;
    }
    if (e.kind == KIND_OPEN)
        remember(&t);
    k->root = root_with(b, &r->r, r->r.index, k);
    k->holder = t.h;
    struct list *places = of_hub ? &b->places : &t.h->places;
    *(struct place *)list_add(places, sizeof(struct place)) =
        (struct place){.index = r->r.index, .balance = of_hub ? 0 : t.h->balance};
    b->lamport = r->r.hub_lamport;
    b->time_ms = r->r.hub_time_ms;
    *(of_hub ? &b->position : &t.h->position) += 1;
    *(of_hub ? &b->head : &t.h->head) = r->r.account_head;
    if (!of_hub)
        touch(m, t.h);
    m->records++;
    m->kinds[e.kind]++;
    return NULL;
}

const char *model_advance(struct model *m, const struct disk *d)
{
    bool moved = true, behind = false;
    while (moved) {
        moved = behind = false;
        for (uint32_t i = 0; i < m->slots; i++) {
            const struct disk_slot *s = &d->slot[i];
            struct book *b = &m->books[i];
            const char *why = NULL;
            if (s->size < b->kept.count)
                return "records are gone";
            while (why == NULL && b->kept.count < s->size) {
                why = take(m, &s->records[b->kept.count]);
                moved = moved || why == NULL;
            }
            if (why != NULL && why != not_yet)
                return why;
            behind = behind || why == not_yet;
        }
    }
    if (behind)
        return "an item was settled that nobody sent";
    return m->held + m->under_way == m->made ? NULL : "supply is not conserved";
}

/* ---- questions ---- */

const char *model_check_ack(struct model *m, uint32_t slot, uint64_t index,
                            const struct hash *id)
{
    if (slot >= m->slots || index >= m->books[slot].kept.count)
        return "an acknowledged entry is not at its place, which is past the end";
    return hash_equal(&AT(m->books[slot].kept, struct kept, index)->id, id)
               ? NULL
               : "an acknowledged entry is not at its place, where another is";
}

const char *model_check_checkpoint(struct model *m, uint32_t slot, tree_size size,
                                   const struct hash *root)
{
    if (slot >= m->slots || size > m->books[slot].kept.count)
        return "checkpoint beyond the end of the log";
    struct hash empty = hash_empty();
    const struct hash *wanted =
        size == 0 ? &empty : &AT(m->books[slot].kept, struct kept, size - 1)->root;
    return hash_equal(wanted, root) ? NULL : "two trees of one size";
}

bool model_settles(const struct model *m, uint32_t slot, uint64_t index,
                   const struct hash *cause, uint32_t payee_index, bool bounced)
{
    if (index >= m->books[slot].kept.count)
        return false;
    const struct kept *k = AT(m->books[slot].kept, struct kept, index);
    return k->settles && k->bounced == bounced && k->payee_index == payee_index &&
           hash_equal(&k->cause, cause);
}

static bool same_chain(const struct end *end, const struct chain *c)
{
    return end->next_seq == c->next_seq && end->lamport == c->tip_lamport &&
           hash_equal(&end->tip, &c->tip);
}

static bool same_people(struct holder *h, const struct account *a)
{
    for (uint32_t i = 0; i < a->member_count; i++) {
        const struct m_member *m = AT(h->members, struct m_member, i);
        const struct member *b = &a->members[i];
        if (m->number != b->number || m->grants != b->grants ||
            m->rotations != b->rotations || m->position != b->position ||
            !pubkey_equal(&m->root, &b->root))
            return false;
    }
    for (uint32_t i = 0; i < a->device_count; i++) {
        const struct m_device *d = AT(h->devices, struct m_device, i);
        if (d->member != a->devices[i].member ||
            !pubkey_equal(&d->key, &a->devices[i].key) ||
            !same_chain(&d->end, &a->devices[i].chain))
            return false;
    }
    return true;
}

const char *model_check_account(struct model *m, const struct account *a)
{
    struct holder *h = holder_of(m, &a->id);
    if (h == NULL)
        return "an account nobody opened";
    if (h->balance != a->balance)
        return "balance is not the book-keeper's";
    if (h->position != a->position || !hash_equal(&h->head, &a->head) ||
        !same_chain(&h->hub, &a->hub))
        return "head is not the book-keeper's";
    if (h->members.count != a->member_count || h->devices.count != a->device_count ||
        h->revoked.count != a->revoked_count || h->invites.count != a->invite_count ||
        h->nodes.count != a->node_count || h->splits.count != a->split_count ||
        h->pending != a->recovery_pending) {
        snprintf(m->why, sizeof m->why,
                 "members %u/%zu, devices %u/%zu, revoked %u/%zu, invites %u/%zu, "
                 "nodes %u/%zu, splits %u/%zu, recovery %d/%d: the hub's, the "
                 "book-keeper's",
                 (unsigned)a->member_count, h->members.count, (unsigned)a->device_count,
                 h->devices.count, (unsigned)a->revoked_count, h->revoked.count,
                 (unsigned)a->invite_count, h->invites.count, (unsigned)a->node_count,
                 h->nodes.count, (unsigned)a->split_count, h->splits.count,
                 a->recovery_pending, h->pending);
        return m->why;
    }
    return same_people(h, a) ? NULL : "members or devices are not the book-keeper's";
}

size_t model_touched(const struct model *m, uint32_t slot)
{
    return m->books[slot].touched.count;
}

const struct hash *model_touched_at(const struct model *m, uint32_t slot, size_t i)
{
    return &(*AT(m->books[slot].touched, struct holder *, i))->id;
}

void model_looked_at(struct model *m, uint32_t slot)
{
    struct list *l = &m->books[slot].touched;
    for (size_t i = 0; i < l->count; i++)
        (*AT(*l, struct holder *, i))->touched = false;
    l->count = 0;
}

void model_touch_all(struct model *m, uint32_t slot)
{
    for (size_t i = 0; i < m->holders.count; i++) {
        struct holder *h = *AT(m->holders, struct holder *, i);
        if (h->slot == slot)
            touch(m, h);
    }
}

tree_size model_size(const struct model *m, uint32_t slot)
{
    return m->books[slot].kept.count;
}

size_t model_accounts(const struct model *m)
{
    return m->holders.count;
}

bool model_is_device(const struct model *m, const struct hash *account,
                     const struct pubkey *key)
{
    struct holder *h = holder_of(m, account);
    return h != NULL && device_of(h, key) != NULL;
}

uint64_t model_items(const struct model *m)
{
    return m->items;
}

const struct pubkey *model_relay(const struct model *m, uint32_t slot)
{
    return &m->books[slot].relay;
}

bool model_was_relay(const struct model *m, const struct pubkey *key)
{
    for (size_t i = 0; i < m->relay_count; i++)
        if (pubkey_equal(&m->relays[i], key))
            return true;
    return false;
}

void model_count(const struct model *m, struct stats *s)
{
    s->records += m->records;
    s->credits += m->credits;
    s->bounces += m->bounces;
    s->returns += m->returns;
    for (unsigned i = 0; i < STATS_KINDS; i++)
        s->kinds[i] += m->kinds[i];
}
