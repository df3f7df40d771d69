/* Checking: a whole ledger in full and by tips, and one account of mixed kinds. */
#include <stdlib.h>
#include <string.h>

#include "client/verify.h"
#include "tests/bench/account.h"
#include "tests/bench/engine.h"
#include "tests/bench/bench.h"
#include "tests/bench/people.h"

#define SLOTS 16u
#define RECORDS 1000000u
#define ACCOUNTS 2000u
#define TRANSFER_EVERY 4u /* of what people write; each makes the hub write one credit */
#define BLOCK_BYTES (8u << 20)

/* All records of a hub in memory, as a reader would get them. */
struct block {
    struct block *next;
    size_t used;
    uint8_t bytes[BLOCK_BYTES];
};
struct slot_records {
    size_t count, cap;
    struct record *records;
    size_t note_size;
    char note[CHECKPOINT_BYTES_MAX];
};
struct ledger {
    struct engine engine;
    struct slot_records slot[SLOTS];
    struct block *blocks;
    uint64_t count, by_hub, bytes;
};

static struct bytes keep_bytes(struct ledger *l, struct bytes b)
{
    if (!l->blocks || l->blocks->used + b.size > BLOCK_BYTES) {
        struct block *fresh = malloc(sizeof *fresh);
        if (!fresh)
            die("out of memory");
        fresh->used = 0;
        fresh->next = l->blocks;
        l->blocks = fresh;
    }
    uint8_t *at = l->blocks->bytes + l->blocks->used;
    memcpy(at, b.data, b.size);
    l->blocks->used += b.size;
    return bytes_of(at, b.size);
}

static void keep_record(struct ledger *l, const struct record *r)
{
    struct slot_records *s = &l->slot[r->slot];
    if (s->count == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 1024;
        s->records = realloc(s->records, s->cap * sizeof s->records[0]);
        if (!s->records)
            die("out of memory");
    }
    s->records[s->count] = *r;
    s->records[s->count++].envelope = keep_bytes(l, r->envelope);
    l->count++;
    l->bytes += r->envelope.size;
}

static bool keep_first(void *context, const struct record *r, const struct hash *account)
{
    (void)account;
    keep_record(context, r);
    return true;
}

static void keep_append(void *context, const struct store_append *a)
{
    struct ledger *l = context;
    struct slot_records *s = &l->slot[a->slot];
    for (size_t i = 0; i < a->record_count; i++)
        keep_record(l, &a->records[i].r);
    memcpy(s->note, a->checkpoint.data, a->checkpoint.size);
    s->note_size = a->checkpoint.size;
}

/* What people write, then what the hub adds, until everything is settled. */
static void ledger_make(struct ledger *l, size_t records, size_t accounts)
{
    struct engine *e = &l->engine;
    struct crowd crowd;
    struct sheet points, written;
    struct store_reader *reader = NULL;
    engine_create(e, "memory:", SLOTS, false);
    need(e->store->ops->reader_open(e->store, &reader), "open a reader");
    for (uint32_t i = 0; i < SLOTS; i++)
        need(reader->ops->records(reader, i, 0, 1, keep_first, l), "read a log_open");
    reader->ops->close(reader);
    e->each = keep_append;
    e->context = l;
    crowd_open(&crowd, &e->federation, e->hub, accounts);
    crowd_accruals(&crowd, &points, e->issuer, 1000000);
    /* Every entry of TRANSFER_EVERY brings a credit: rows * (1 + 1/TRANSFER_EVERY) records. */
    size_t rows = records * TRANSFER_EVERY / (TRANSFER_EVERY + 1) / accounts;
    say("signing %zu entries", rows * accounts);
    crowd_mixed(&crowd, &written, rows ? rows : 1, BENCH_NOTE_BYTES, TRANSFER_EVERY);
    say("sequencing");
    for (size_t i = 0; i < accounts; i++)
        engine_submit_bytes(e, sheet_at(&crowd.opens, 0, i));
    for (size_t i = 0; i < accounts; i++)
        engine_submit_bytes(e, sheet_at(&points, 0, i));
    for (size_t i = 0; i < sheet_count(&written); i++)
        engine_submit_bytes(e, sheet_at(&written, i / accounts, i % accounts));
    engine_settle(e);
    l->by_hub = SLOTS + accounts + e->settled;
    sheet_close(&points);
    sheet_close(&written);
    crowd_close(&crowd);
}

static void ledger_close(struct ledger *l)
{
    for (uint32_t i = 0; i < SLOTS; i++)
        free(l->slot[i].records);
    while (l->blocks) {
        struct block *next = l->blocks->next;
        free(l->blocks);
        l->blocks = next;
    }
    engine_close(&l->engine);
    free(l);
}

static enum err ledger_read(void *context, uint32_t slot, uint64_t from, struct record out[],
                            size_t max, size_t *count, void **hold)
{
    const struct ledger *l = context;
    const struct slot_records *s = &l->slot[slot];
    size_t left = from < s->count ? s->count - (size_t)from : 0;
    *count = left < max ? left : max;
    *hold = NULL;
    memcpy(out, s->records + from, *count * sizeof out[0]);
    return ERR_OK;
}

struct checking {
    double per_s;   /* records */
    double cpu_us;  /* processor time a record */
    uint64_t signatures;
};

static struct checking check(struct ledger *l, enum verify_mode mode, unsigned threads)
{
    static struct verify_slot slots[SLOTS];
    struct verify_source source = {.context = l, .read = ledger_read};
    struct verify_options o = {.mode = mode, .threads = threads};
    struct verify_log_report report = {0};
    memset(slots, 0, sizeof slots);
    for (uint32_t i = 0; i < SLOTS; i++) {
        slots[i].slot = i;
        slots[i].checkpoint = bytes_of(l->slot[i].note, l->slot[i].note_size);
    }
    double cpu = cpu_seconds_of(0);
    uint64_t began = now_ns();
    enum err e = verify_log(&source, slots, SLOTS, &o, &report);
    double took = seconds_since(began), records = (double)report.records;
    for (uint32_t i = 0; i < SLOTS && e != ERR_OK; i++)
        if (slots[i].err != ERR_OK)
            die("slot %u, record %llu: %s %s", i, (unsigned long long)slots[i].index,
                err_text(slots[i].err), slots[i].why);
    need(e, "verify the ledger");
    if (report.records != l->count || !report.all_slots || !report.conserved)
        die("%llu of %llu records checked, conserved %d", (unsigned long long)report.records,
            (unsigned long long)l->count, report.conserved);
    return (struct checking){.per_s = records / took,
                             .cpu_us = (cpu_seconds_of(0) - cpu) / records * 1e6,
                             .signatures = report.signatures};
}

void bench_verify(const struct options *o, struct report *r)
{
    struct ledger *l = take(sizeof *l);
    unsigned threads = o->threads ? o->threads : cores();
    size_t records = o->n ? o->n : o->quick ? 4000 : RECORDS;
    double slice = o->quick ? 0.05 : 4;
    ledger_make(l, records, o->quick ? 50 : ACCOUNTS);
    say("checking %llu records in full", (unsigned long long)l->count);
    double before = limit_verify(slice, threads);
    struct checking full = check(l, VERIFY_FULL, threads);
    double limit = (before + limit_verify(slice, threads)) / 2, limit_us = limit_verify_us();
    say("and by tips");
    struct checking tip = check(l, VERIFY_TIP, threads);
    report_open(r, "verify", "records/s, every signature", BETTER_HIGH);
    report_result(r, full.per_s, limit,
                  "signatures of 500 B entries the same threads verify a second");
    report_floor(r, o->quick ? 0 : 0.9, true);
    report_number(r, "threads", threads);
    report_number(r, "records", (double)l->count);
    report_number(r, "written_by_hub_or_issuer", (double)l->by_hub);
    report_number(r, "mean_envelope_bytes", (double)l->bytes / (double)l->count);
    report_number(r, "accounts", o->quick ? 50 : ACCOUNTS);
    report_number(r, "full_signatures", (double)full.signatures);
    report_number(r, "full_cpu_us_per_record", full.cpu_us);
    report_number(r, "limit_cpu_us_per_signature", limit_us);
    report_number(r, "ratio_of_cpu", limit_us / full.cpu_us);
    report_number(r, "tip_records_per_s", tip.per_s);
    report_number(r, "tip_cpu_us_per_record", tip.cpu_us);
    report_number(r, "tip_signatures", (double)tip.signatures);
    report_number(r, "tip_times_faster", tip.per_s / full.per_s);
    report_number(r, "tip_times_faster_of_cpu", full.cpu_us / tip.cpu_us);
    ledger_close(l);
    account_measure(o, r);
}
