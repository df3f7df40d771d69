#include "tests/bench/ledgerfile.h"

#define ROUND 200000u /* entries signed at a time */
#define TRANSFER_EVERY 4u
#define MAINTAIN_EVERY 32u /* commits */

static void submit_sheet(struct engine *e, const struct sheet *s)
{
    for (size_t i = 0; i < sheet_count(s); i++) {
        uint64_t batches = e->batches;
        engine_submit_bytes(e, sheet_at(s, i / s->accounts, i % s->accounts));
        if (e->batches != batches && e->batches % MAINTAIN_EVERY == 0)
            need(e->store->ops->maintain(e->store), "maintain");
    }
    engine_settle(e);
}

void ledgerfile_open(struct ledgerfile *l, const struct bench_hub *h, size_t accounts)
{
    struct sheet s;
    engine_open_hub(&l->e, h->uri, h->keys);
    crowd_open(&l->crowd, &l->e.federation, l->e.hub, accounts);
    submit_sheet(&l->e, &l->crowd.opens);
    crowd_accruals(&l->crowd, &s, l->e.issuer, 1000000);
    submit_sheet(&l->e, &s);
    sheet_close(&s);
}

uint64_t ledgerfile_grow(struct ledgerfile *l, uint64_t records)
{
    struct sheet s;
    size_t accounts = l->crowd.count;
    while (l->e.records < records) {
        uint64_t left = (records - l->e.records) * TRANSFER_EVERY / (TRANSFER_EVERY + 1);
        uint64_t n = left < ROUND ? left : ROUND;
        crowd_mixed(&l->crowd, &s, (size_t)(n / accounts) + 1, BENCH_NOTE_BYTES,
                    TRANSFER_EVERY);
        submit_sheet(&l->e, &s);
        sheet_close(&s);
    }
    need(l->e.store->ops->maintain(l->e.store), "maintain");
    return l->e.records;
}

void ledgerfile_close(struct ledgerfile *l)
{
    crowd_close(&l->crowd);
    engine_close(&l->e);
}

uint64_t ledgerfile_fill(const struct bench_hub *h, uint64_t records, size_t accounts)
{
    struct ledgerfile l;
    ledgerfile_open(&l, h, accounts);
    uint64_t written = ledgerfile_grow(&l, records);
    ledgerfile_close(&l);
    return written;
}

struct counted {
    uint64_t records, envelopes;
};

static bool count(void *context, const struct record *r, const struct hash *account)
{
    struct counted *n = context;
    (void)account;
    n->records++;
    n->envelopes += r->envelope.size;
    return true;
}

double ledgerfile_read(const struct bench_hub *h, uint64_t *records, uint64_t *envelopes)
{
    struct counted n = {0};
    struct store *st;
    struct store_reader *reader;
    struct store_why why = {{0}};
    if (store_open(h->uri, &st, &why) != ERR_OK)
        die("%s", why.text);
    need(st->ops->reader_open(st, &reader), "open a reader");
    uint32_t slots = st->ops->identity(st)->slots;
    uint64_t began = now_ns();
    for (uint32_t i = 0; i < slots; i++)
        need(reader->ops->records(reader, i, 0, UINT64_MAX, count, &n), "read records");
    double took = seconds_since(began);
    *records = n.records;
    *envelopes = n.envelopes;
    reader->ops->close(reader);
    st->ops->close(st);
    return took;
}
