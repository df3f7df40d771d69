/* Pages of records: FETCH, and catch-up of subscriptions. */
#include "relay/reader_internal.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_HEAD_BYTES 128u

static bool add_record(struct page *p, const struct record *r, const struct hash *account)
{
    struct buf *b = &p->reader->records;
    struct record out = *r;
    if (r->index >= p->view)
        return false;
    struct pinned *pinned = &p->reader->r->pinned;
    if (p->withhold && !p->auditor &&
        (p->by_id ? !pinned_may_read(pinned, account, p->device)
                  : pinned_is(pinned, account))) {
        out.position = 0;
        out.envelope = bytes_of(NULL, 0);
    }
    size_t need = WIRE_RECORD_OVERHEAD + out.envelope.size;
    if (p->count == p->max || (p->count > 0 && b->size + need > ANSWER_BYTES_MAX)) {
        p->more = true;
        return false;
    }
    if (!buf_reserve(b, need)) {
        p->failed = true;
        return false;
    }
    struct mp_writer w = mp_writer_of(b->data + b->size, b->cap - b->size);
    wire_put_record(&w, &out);
    b->size += w.size;
    p->count++;
    return true;
}

static bool on_slot_record(void *context, const struct record *r,
                           const struct hash *account)
{
    struct page *p = context;
    if (!add_record(p, r, account))
        return false;
    p->next = r->index + 1;
    return true;
}

static bool on_account_record(void *context, const struct record *r,
                              const struct hash *account)
{
    struct page *p = context;
    if (!add_record(p, r, account))
        return false;
    p->next = r->position + 1;
    return true;
}

/* Into `p`, as it was begun; nothing of an attempt before is left. */
static enum err read_slot(struct page *p, struct store_reader *store)
{
    p->next = p->from;
    p->count = 0;
    p->more = p->failed = false;
    buf_clear(&p->reader->records);
    return store->ops->records(store, (uint32_t)p->slot, p->from, p->max + 1,
                               on_slot_record, p);
}

/* Records of a log never change: of those that a standby has, it is as good as the store.
 * Whatever it does not bring, the store does. */
static enum err read_settled(struct page *p)
{
    struct reader *rd = p->reader;
    uint64_t end = p->view - p->from > p->max ? p->from + p->max + 1 : p->view;
    struct store_reader *store = reader_settled(rd, (uint32_t)p->slot, end);
    if (store == rd->store)
        return read_slot(p, store);
    enum err e = read_slot(p, store);
    if (e == ERR_OK && (p->more || p->failed || p->next == end)) {
        metrics_count(rd->r->metrics, METRIC_REPLICA_READS, 0, 1);
        return e;
    }
    reader_replica_drop(rd, e == ERR_OK ? ERR_MISSING : e);
    return read_slot(p, rd->store);
}

/* Records from `from` on as far as one answer holds them, never past the size the slot
 * has now: that is read first, so everything under it is there. */
enum err page_read(struct page *p, struct reader *rd, const struct request *q,
                   const struct wire_key *key, uint64_t from, uint64_t max)
{
    const struct store_reader_ops *ops = rd->store->ops;
    struct relay *r = rd->r;
    *p = (struct page){.reader = rd,
                       .q = q,
                       .device = q->has_device ? &q->device : NULL,
                       .from = from,
                       .next = from,
                       .max = max};
    p->auditor = pinned_is_auditor(&r->pinned, p->device);
    p->slot = key->what == WIRE_SLOT ? key->slot : relay_slot_of(r, &key->id);
    buf_clear(&rd->records);
    if (key->what == WIRE_ACCOUNT && !pinned_may_read(&r->pinned, &key->id, p->device))
        return ERR_NOT_ALLOWED;
    TRY(reader_at(rd, (uint32_t)p->slot));
    p->view = rd->slot.size;
    enum err e = ERR_OK;
    if (key->what == WIRE_ACCOUNT) {
        e = ops->account(rd->store, &key->id, from, max + 1, on_account_record, p);
    } else if (from < p->view) {
        p->withhold = true;
        e = read_settled(p);
    } else if (from > p->view) {
        return ERR_RANGE;
    }
    if (e == ERR_NOT_FOUND)
        e = ERR_OK; /* an account that has no records yet: an empty page */
    return p->failed ? ERR_MEMORY : e;
}

static struct frame *page_frame(struct page *p, const struct wire_frame *head)
{
    struct buf *b = &p->reader->records;
    struct frame *f =
        frame_new(PAGE_HEAD_BYTES + b->size + p->reader->slot.checkpoint_size);
    if (!f)
        return NULL;
    struct mp_writer w = frame_writer(f);
    wire_put(&w, head);
    mp_raw(&w, b->data, b->size);
    if (head->type == WIRE_PAGE)
        wire_put_page_end(&w, head->next, head->end);
    else
        wire_put_note(&w, head->note);
    f->size = (uint32_t)w.size;
    return f;
}

static bool note_index(void *context, const struct record *r, const struct hash *account)
{
    uint64_t *index = context;
    (void)account;
    *index = r->index;
    return false;
}

/* Has the account a record at this position, under the view? */
static bool has_position(const struct page *p, const struct wire_key *key,
                         uint64_t position)
{
    uint64_t index = UINT64_MAX;
    struct store_reader *store = p->reader->store;
    return store->ops->account(store, &key->id, position, 1, note_index, &index) ==
               ERR_OK &&
           index < p->view;
}

/* Length of the account: where the page is not its end, by doubling and halving. */
static uint64_t account_length(const struct page *p, const struct wire_key *key)
{
    uint64_t low = p->more ? p->next : 0, step = 1; /* there is a record at `low` */
    if (!p->more && (p->count > 0 || p->from == 0))
        return p->next;
    if (!p->more && !has_position(p, key, 0))
        return 0;
    while (has_position(p, key, low + step)) {
        low += step;
        step *= 2;
    }
    while (step > 1) {
        step /= 2;
        if (has_position(p, key, low + step))
            low += step;
    }
    return low + 1;
}

static void fetch_id(struct reader *rd, const struct request *q)
{
    const struct store_reader_ops *ops = rd->store->ops;
    struct page p = {
        .reader = rd, .q = q, .device = q->has_device ? &q->device : NULL, .max = 1};
    uint32_t slot;
    uint64_t index;
    buf_clear(&rd->records);
    enum err e = reader_code(rd, ops->find(rd->store, &q->f.key.id, &slot, &index));
    if (e == ERR_OK)
        e = reader_code(rd, reader_shows(rd, slot, index));
    p.view = rd->slot.size;
    p.withhold = p.by_id = true;
    p.auditor = pinned_is_auditor(&rd->r->pinned, p.device);
    if (e == ERR_OK)
        e = reader_code(rd, ops->records(rd->store, slot, index, 1, on_slot_record, &p));
    if (e == ERR_OK && p.count == 0)
        e = p.failed ? ERR_UNAVAILABLE : ERR_NOT_FOUND;
    if (e != ERR_OK) {
        reader_error(rd, q, e);
        return;
    }
    struct wire_frame head = {.type = WIRE_PAGE,
                              .rid = q->f.rid,
                              .count = p.count,
                              .next = p.next,
                              .end = rd->slot.size};
    reader_reply(rd, q, page_frame(&p, &head));
}

void serve_fetch(struct reader *rd, const struct request *q)
{
    struct page p;
    uint64_t limit = settings(rd->r)->limits.page_records;
    uint64_t max = q->f.max < limit ? q->f.max : limit;
    if (q->f.key.what == WIRE_ID) {
        fetch_id(rd, q);
        return;
    }
    if (q->f.key.what == WIRE_SLOT && q->f.key.slot >= rd->r->slots) {
        reader_error(rd, q, ERR_RANGE);
        return;
    }
    enum err e = reader_code(rd, page_read(&p, rd, q, &q->f.key, q->f.from, max));
    if (e != ERR_OK) {
        reader_error(rd, q, e);
        return;
    }
    struct wire_frame head = {
        .type = WIRE_PAGE,
        .rid = q->f.rid,
        .count = p.count,
        .next = p.next,
        .end = q->f.key.what == WIRE_SLOT ? p.view : account_length(&p, &q->f.key)};
    reader_reply(rd, q, page_frame(&p, &head));
}

/* Catch-up: the loop decides from `view` whether the live edge was reached. */
void serve_page(struct reader *rd, const struct request *q)
{
    struct page p;
    struct mail *m = mail_new(MAIL_PAGE, q->conn);
    if (!m)
        return;
    uint64_t max = settings(rd->r)->limits.page_records;
    m->key = q->key;
    m->serial = q->serial;
    m->next = q->next;
    m->code = reader_code(rd, page_read(&p, rd, q, &q->key, q->next, max));
    if (m->code == ERR_OK) {
        struct wire_frame head = {
            .type = WIRE_RECORDS, .key = q->key, .mode = WIRE_CATCHUP, .count = p.count};
        if (!p.more)
            head.note = bytes_of(rd->slot.checkpoint, rd->slot.checkpoint_size);
        m->frame = page_frame(&p, &head);
        m->next = p.next;
        m->slot = (uint32_t)p.slot;
        m->view = p.view;
        m->at_end = !p.more;
        if (!m->frame)
            m->code = ERR_UNAVAILABLE;
    }
    relay_mail_one(rd->r, m);
}
