#include "tests/bench/ledgerfile.h"

#include "tests/bench/engine.h"

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

uint64_t ledgerfile_fill(struct bench_hub *h, uint64_t records, size_t accounts)
{
    struct engine e;
    struct crowd crowd;
    struct sheet s;
    engine_open_hub(&e, h->uri, h->keys);
    crowd_open(&crowd, &e.federation, e.hub, accounts);
    submit_sheet(&e, &crowd.opens);
    crowd_accruals(&crowd, &s, e.issuer, 1000000);
    submit_sheet(&e, &s);
    sheet_close(&s);
    while (e.records < records) {
        uint64_t left = (records - e.records) * TRANSFER_EVERY / (TRANSFER_EVERY + 1);
        uint64_t n = left < ROUND ? left : ROUND;
        crowd_mixed(&crowd, &s, (size_t)(n / accounts) + 1, BENCH_NOTE_BYTES, TRANSFER_EVERY);
        submit_sheet(&e, &s);
        sheet_close(&s);
    }
    uint64_t written = e.records;
    need(e.store->ops->maintain(e.store), "maintain");
    crowd_close(&crowd);
    engine_close(&e);
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
