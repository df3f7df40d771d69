/* The channel thread: payments between slots that different relays own. It reads what
 * other relays' slots sent to ours from their outboxes, and from their records how they
 * settled what ours sent, and hands both to the commit thread, one batch at a time. What
 * it reads is committed; that each item is settled once is enforced by the destination's
 * own log. */
#include "relay/region_internal.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ledger/kinds.h"
#include "ledger/trace.h"
#include "relay/clock.h"

struct looking {
    struct region *g;
    struct region_batch *batch;
    struct lease_pair pairs[REGION_PAIRS_MAX];
    size_t pair_count;
    size_t turn[REGION_RECEIVES + 1]; /* where the next one of that end begins to collect pairs */
    bool more;                        /* a limit was met: there is more to read */
    /* Settlements of one destination. */
    uint32_t destination;
    uint64_t low[SLOTS_MAX], high[SLOTS_MAX]; /* out_seqs wanted of each source */
    bool found[SLOTS_MAX];                    /* .. of which a record was read */
    struct payload payload;
    enum err failed;
};

static struct region_batch *batch_new(void)
{
    struct region_batch *b = calloc(1, sizeof *b);
    if (b == NULL)
        return NULL;
    b->items = malloc(REGION_ITEMS_MAX * sizeof *b->items);
    b->sent = malloc(REGION_SENT_MAX * sizeof *b->sent);
    b->jumps = malloc(REGION_PAIRS_MAX * sizeof *b->jumps);
    if (b->items && b->sent && b->jumps)
        return b;
    region_batch_drop(b);
    return NULL;
}

/* Each look is made whatever became of the one before: slots may be on several servers, and
 * one that is away concerns its own. An error that breaks the store is not forgotten. */
static enum err worse(enum err a, enum err b)
{
    return a == ERR_OK || (a != ERR_IO && b == ERR_CORRUPT) || b == ERR_IO ? b : a;
}

/* ---- which channels ---- */

static bool wants(const struct region_cell *c, enum region_end end, uint64_t *from)
{
    if (atomic_load(&c->end) != (int)end)
        return false;
    *from = atomic_load(&c->from);
    if (end == REGION_RECEIVES)
        return true;
    if (atomic_load(&c->index) == REGION_INDEX_UNKNOWN)
        *from = UINT64_MAX; /* as a signed number below 0: any row will do */
    else if (atomic_load(&c->to) <= *from)
        return false; /* nothing of ours is open there */
    return true;
}

/* All of them, or as many as fit, going round. */
static void collect(struct looking *x, enum region_end end)
{
    struct region *g = x->g;
    size_t slots = g->r->slots, all = slots * slots, n = 0;
    x->pair_count = 0;
    for (; n < all && x->pair_count < REGION_PAIRS_MAX; n++) {
        size_t i = (x->turn[end] + n) % all;
        uint64_t from;
        if (wants(&g->cells[i], end, &from))
            x->pairs[x->pair_count++] =
                (struct lease_pair){.source = (uint32_t)(i / slots),
                                    .destination = (uint32_t)(i % slots),
                                    .from = from};
    }
    if (n < all) {
        x->turn[end] = (x->turn[end] + n) % all;
        x->more = true;
    }
}

/* ---- items for us ---- */

static bool keep_item(void *context, const struct channel_item *item)
{
    struct looking *x = context;
    if (x->batch->item_count == REGION_ITEMS_MAX) {
        x->more = true;
        return false;
    }
    x->batch->items[x->batch->item_count++] = *item;
    return true;
}

static enum err look_for_items(struct looking *x)
{
    struct store_lease *l = x->g->channels;
    collect(x, REGION_RECEIVES);
    if (x->pair_count == 0)
        return ERR_OK;
    /* An answer is held in memory whole, so it is no longer than what may be kept. */
    uint32_t most = (uint32_t)(REGION_ITEMS_MAX / x->pair_count);
    most = most < REGION_ITEMS_A_PAIR ? most : REGION_ITEMS_A_PAIR;
    enum err e = l->ops->items(l, x->pairs, x->pair_count, most, keep_item, x);
    x->more = x->more || x->batch->item_count >= most;
    return e;
}

/* ---- what became of ours ---- */

struct advanced {
    struct looking *x;
    size_t count;
    struct lease_channel rows[REGION_PAIRS_MAX];
};

static bool keep_row(void *context, const struct lease_channel *row)
{
    struct advanced *a = context;
    if (a->count < REGION_PAIRS_MAX)
        a->rows[a->count++] = *row;
    return a->count < REGION_PAIRS_MAX;
}

/* Which slot of this hub a channel's origin names; false: none. */
static bool slot_of_origin(const struct relay *r, struct bytes origin, uint32_t *slot)
{
    for (uint32_t i = 0; i < r->slots; i++)
        if (strlen(r->log_vkeys[i].name) == origin.size &&
            memcmp(r->log_vkeys[i].name, origin.data, origin.size) == 0) {
            *slot = i;
            return true;
        }
    return false;
}

static bool take_record(void *context, const struct record *rec,
                        const struct hash *account)
{
    struct looking *x = context;
    struct entry e;
    (void)account;
    x->failed = entry_decode(&e, rec->envelope.data, rec->envelope.size);
    if (x->failed != ERR_OK)
        return false;
    if (e.kind != KIND_CREDIT && e.kind != KIND_BOUNCE)
        return true;
    x->failed = payload_decode(&x->payload, e.kind, e.payload);
    if (x->failed != ERR_OK)
        return false;
    bool bounced = e.kind == KIND_BOUNCE;
    const struct p_credit *p = bounced ? &x->payload.bounce.item : &x->payload.credit;
    uint32_t source;
    if (!slot_of_origin(x->g->r, p->source, &source) || p->out_seq < x->low[source] ||
        p->out_seq >= x->high[source])
        return true;
    struct region_batch *b = x->batch;
    x->found[source] = true;
    if (b->sent_count == REGION_SENT_MAX) {
        x->more = true;
        return false;
    }
    b->sent[b->sent_count++] = (struct seq_sent){.source = source,
                                                 .destination = x->destination,
                                                 .out_seq = p->out_seq,
                                                 .index = rec->index,
                                                 .bounced = bounced};
    return true;
}

/* Is there anything to read about for this row? `unknown`: only how far it has come. */
static bool has_news(const struct region *g, const struct lease_channel *row, bool *unknown)
{
    const struct region_cell *cell = region_cell_of(g, row->source, row->slot);
    uint64_t index = atomic_load(&cell->index);
    *unknown = index == REGION_INDEX_UNKNOWN;
    return *unknown || (row->next_in > atomic_load(&cell->from) && row->index > index);
}

/* The numbers are set right by the row; nobody is told of the single items. */
static void jump(struct looking *x, const struct lease_channel *row)
{
    x->batch->jumps[x->batch->jump_count++] = *row;
}

/* The records of one destination that settled something of ours since we looked, but no more
 * than the last REGION_LOOK_RECORDS: what lies before is jumped over. An item that follows on
 * one that was not read is found out by the commit thread, and jumped to with the next look. */
static enum err look_into(struct looking *x, const struct advanced *a,
                          uint32_t destination)
{
    struct region *g = x->g;
    uint64_t first = UINT64_MAX, last = 0;
    bool cut[SLOTS_MAX] = {false}, unknown;
    memset(x->low, 0, sizeof x->low);
    memset(x->high, 0, sizeof x->high);
    memset(x->found, 0, sizeof x->found);
    for (size_t i = 0; i < a->count; i++)
        if (a->rows[i].slot == destination && has_news(g, &a->rows[i], &unknown) &&
            !unknown && a->rows[i].index > last)
            last = a->rows[i].index;
    uint64_t least = last < REGION_LOOK_RECORDS ? 0 : last + 1 - REGION_LOOK_RECORDS;
    for (size_t i = 0; i < a->count; i++) {
        const struct lease_channel *row = &a->rows[i];
        if (row->slot != destination || !has_news(g, row, &unknown))
            continue;
        if (unknown || row->index < least) {
            jump(x, row);
            continue;
        }
        const struct region_cell *cell = region_cell_of(g, row->source, row->slot);
        uint64_t from = atomic_load(&cell->index) + 1;
        x->low[row->source] = atomic_load(&cell->from);
        x->high[row->source] = row->next_in;
        cut[row->source] = from < least;
        from = from < least ? least : from;
        first = from < first ? from : first;
    }
    if (first > last)
        return ERR_OK;
    x->destination = destination;
    x->failed = ERR_OK;
    TRY(g->reader->ops->records(g->reader, destination, first, last - first + 1,
                                take_record, x));
    /* Where a slot has moved, the row says its size then, which may be long after the item. */
    for (size_t i = 0; i < a->count && x->failed == ERR_OK; i++)
        if (a->rows[i].slot == destination && cut[a->rows[i].source] &&
            !x->found[a->rows[i].source] && x->batch->sent_count < REGION_SENT_MAX)
            jump(x, &a->rows[i]);
    return x->failed;
}

static enum err look_for_settlements(struct looking *x)
{
    struct store_lease *l = x->g->channels;
    collect(x, REGION_SENDS);
    if (x->pair_count == 0)
        return ERR_OK;
    struct advanced *a = calloc(1, sizeof *a);
    if (a == NULL)
        return ERR_MEMORY;
    a->x = x;
    enum err e = l->ops->channels(l, x->pairs, x->pair_count, keep_row, a);
    for (uint32_t d = 0; d < x->g->r->slots && a->count > 0; d++)
        e = worse(e, look_into(x, a, d));
    free(a);
    return e;
}

/* ---- the thread ---- */

/* True: the commit thread has something to do, and rings when it has done it. */
static bool hand_over(struct region *g, struct region_batch *b)
{
    struct request *q = b->item_count + b->sent_count + b->jump_count > 0
                            ? request_new(REQUEST_CHANNEL, 0)
                            : NULL;
    if (q == NULL) {
        region_batch_drop(b);
        return false;
    }
    q->channel = b;
    atomic_store(&g->batch_out, true);
    queue_put_one(&g->r->commit, &q->work.link);
    return true;
}

static bool look(struct looking *x)
{
    struct region *g = x->g;
    x->more = false;
    x->batch = batch_new();
    if (x->batch == NULL)
        return false;
    enum err e = look_for_items(x);
    e = worse(e, look_for_settlements(x));
    if (e == ERR_IO || e == ERR_CORRUPT) {
        relay_broken(g->r, "region.channels", e);
        region_batch_drop(x->batch);
        return false;
    }
    return hand_over(g, x->batch); /* what was read before a failure is good */
}

void *region_channel_thread(void *context)
{
    struct region *g = context;
    struct looking *x = calloc(1, sizeof *x);
    uint64_t looked = 0;
    if (x == NULL)
        return NULL;
    x->g = g;
    while (!atomic_load(&g->stop) && atomic_load(&g->r->exit_code) == 0) {
        uint64_t now = clock_mono_ms(), every = settings(g->r)->region.poll_ms;
        uint64_t wait = now - looked >= every ? 0 : every - (now - looked);
        bool out = atomic_load(&g->batch_out);
        struct pollfd p = {.fd = g->bell, .events = POLLIN};
        if (out || !x->more)
            (void)poll(&p, 1, (int)(out ? every : wait));
        uint64_t count;
        ssize_t n = read(g->bell, &count, sizeof count);
        (void)n;
        if (atomic_load(&g->batch_out) || atomic_load(&g->stop))
            continue;
        looked = clock_mono_ms();
        if (!look(x) && x->more)
            x->more = false; /* not at once again when it did not work */
    }
    free(x);
    return NULL;
}
