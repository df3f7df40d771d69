/* Entries into a real hub: notes, transfers, and a fixed rate. */
#include <string.h>

#include "tests/bench/load.h"

#define NOTE_ACCOUNTS 1000
#define PAYERS 10000
#define SAMPLE 64
#define LIMIT_SECONDS 2.0

static void report_load(struct report *r, const struct options *o, struct load *l)
{
    report_number(r, "entries", (double)l->accepted);
    report_number(r, "refused", (double)l->refused);
    report_number(r, "seconds", l->seconds);
    report_number(r, "connections", l->connections);
    report_number(r, "inflight", l->inflight);
    report_number(r, "frame_entries_max", l->frame);
    report_number(r, "accepted_p50_ms", percentile(l->latency_ns, l->latency_count, 0.50) / 1e6);
    report_number(r, "accepted_p99_ms", percentile(l->latency_ns, l->latency_count, 0.99) / 1e6);
    report_number(r, "accepted_p999_ms",
                  percentile(l->latency_ns, l->latency_count, 0.999) / 1e6);
    report_number(r, "accepted_max_ms", percentile(l->latency_ns, l->latency_count, 1) / 1e6);
    report_number(r, "receipts_verified", (double)l->verified);
    report_number(r, "result_frames", (double)l->result_frames);
    report_number(r, "hub_cpu_cores", l->seconds > 0 ? l->cpu_hub / l->seconds : 0);
    report_number(r, "load_cpu_cores", l->seconds > 0 ? l->cpu_self / l->seconds : 0);
    report_number(r, "hub_cpu_us_per_entry",
                  l->accepted ? l->cpu_hub / (double)l->accepted * 1e6 : 0);
    report_text(r, "store", "sqlite, durable before the answer");
    report_number(r, "cores", cores());
    (void)o;
}

static void load_for(struct load *l, struct bench_hub *h, const struct crowd *c,
                     const struct sheet *s, const struct options *o)
{
    *l = (struct load){.hub = h,
                       .crowd = c,
                       .sheet = s,
                       .connections = o->connections ? o->connections : 4,
                       .inflight = o->inflight ? o->inflight : 500,
                       .frame = o->frame ? o->frame : 50,
                       .stop_seconds = o->seconds,
                       .sample = SAMPLE};
}

static uint64_t count_for(const struct options *o, uint64_t usual)
{
    if (o->n)
        return o->n;
    if (o->quick)
        return 2000;
    return o->seconds > 0 ? (uint64_t)(o->seconds * 40000) : usual;
}

/* The limit is measured right before and right after, and the mean taken. */
static void run_beside_limit(struct load *l, const struct options *o, double *limit)
{
    double seconds = o->quick ? LIMIT_SECONDS / 40 : LIMIT_SECONDS;
    double before = limit_verify(seconds, 1);
    load_run(l);
    *limit = (before + limit_verify(seconds, 1)) / 2;
    if (l->refused > 0)
        die("%llu entries were refused: %s", (unsigned long long)l->refused,
            err_text(l->refusal));
}

static void submit_notes(const struct options *o, struct report *r)
{
    struct bench_hub h;
    struct crowd crowd;
    struct sheet notes;
    struct load l;
    double limit;
    hub_init(&h, o);
    hub_start(&h);
    crowd_open(&crowd, &h.federation, h.name, o->quick ? 64 : NOTE_ACCOUNTS);
    load_all(&h, &crowd, &crowd.opens);
    uint64_t n = count_for(o, 200000);
    say("signing %llu entries", (unsigned long long)n);
    crowd_notes(&crowd, &notes, (size_t)((n + crowd.count - 1) / crowd.count),
                BENCH_NOTE_BYTES);
    load_for(&l, &h, &crowd, &notes, o);
    say("sending");
    run_beside_limit(&l, o, &limit);
    report_open(r, "submit", "accepted entries/s", BETTER_HIGH);
    report_result(r, (double)l.accepted / l.seconds, limit,
                  "signatures of 500 B entries one core verifies a second");
    report_floor(r, o->quick ? 0 : 0.7, true);
    report_number(r, "entry_bytes", BENCH_NOTE_BYTES);
    report_number(r, "accounts", (double)crowd.count);
    report_load(r, o, &l);
    load_close(&l);
    sheet_close(&notes);
    crowd_close(&crowd);
    hub_close(&h);
}

static void submit_transfers(const struct options *o, struct report *r)
{
    struct bench_hub h;
    struct crowd crowd;
    struct sheet points, transfers;
    struct load l;
    double limit;
    hub_init(&h, o);
    hub_start(&h);
    crowd_open(&crowd, &h.federation, h.name, o->quick ? 64 : PAYERS);
    struct key *issuer = hub_issuer(&h);
    crowd_accruals(&crowd, &points, issuer, 1000000);
    key_free(issuer);
    say("opening %zu accounts", crowd.count);
    load_all(&h, &crowd, &crowd.opens);
    load_all(&h, &crowd, &points);
    uint64_t n = count_for(o, 120000);
    say("signing %llu transfers", (unsigned long long)n);
    crowd_transfers(&crowd, &transfers, (size_t)((n + crowd.count - 1) / crowd.count));
    load_for(&l, &h, &crowd, &transfers, o);
    l.settled = true;
    say("sending");
    run_beside_limit(&l, o, &limit);
    if (l.bounced > 0 || l.done != l.accepted)
        die("%llu payments came back, %llu of %llu are credited",
            (unsigned long long)l.bounced, (unsigned long long)l.done,
            (unsigned long long)l.accepted);
    report_open(r, "submit-transfers", "credited transfers/s", BETTER_HIGH);
    report_result(r, (double)l.done / l.seconds, limit,
                  "signatures of 500 B entries one core verifies a second");
    report_floor(r, o->quick ? 0 : 0.4, true);
    report_number(r, "entry_bytes", (double)sheet_at(&transfers, 0, 0).size);
    report_number(r, "accounts", (double)crowd.count);
    report_number(r, "records", (double)(l.accepted + l.done));
    report_load(r, o, &l);
    load_close(&l);
    sheet_close(&points);
    sheet_close(&transfers);
    crowd_close(&crowd);
    hub_close(&h);
}

static void submit_rate(const struct options *o, struct report *r)
{
    struct bench_hub h;
    struct crowd crowd;
    struct sheet notes;
    struct load l;
    double disk50, disk99, seconds = o->seconds > 0 ? o->seconds : o->quick ? 1 : 60;
    hub_init(&h, o);
    hub_start(&h);
    crowd_open(&crowd, &h.federation, h.name, o->quick ? 64 : NOTE_ACCOUNTS);
    load_all(&h, &crowd, &crowd.opens);
    uint64_t n = (uint64_t)((double)o->rate * seconds);
    say("signing %llu entries", (unsigned long long)n);
    crowd_notes(&crowd, &notes, (size_t)((n + crowd.count - 1) / crowd.count),
                BENCH_NOTE_BYTES);
    load_for(&l, &h, &crowd, &notes, o);
    l.rate = (double)o->rate;
    l.stop_seconds = 0;
    l.limit = n;
    say("sending %llu a second for %.0f s", (unsigned long long)o->rate, seconds);
    struct disk_probe *disk = disk_probe_start(h.state, 4096);
    load_run(&l);
    disk_probe_stop(disk, &disk50, &disk99);
    if (l.refused > 0)
        die("%llu entries were refused: %s", (unsigned long long)l.refused,
            err_text(l.refusal));
    report_open(r, "submit-rate", "ms from the intended time to accepted, p99", BETTER_LOW);
    report_result(r, percentile(l.latency_ns, l.latency_count, 0.99) / 1e6, disk99,
                  "ms of a bare 4 KiB append with fdatasync at the same time, p99");
    report_floor(r, o->quick ? 0 : 20, false);
    report_number(r, "rate", (double)o->rate);
    report_number(r, "accepted_per_s", (double)l.accepted / l.seconds);
    report_number(r, "wal_mb", (double)folder_bytes(h.state, "ledger.db-wal") / 1e6);
    report_number(r, "fdatasync_p50_ms", disk50);
    report_load(r, o, &l);
    load_close(&l);
    sheet_close(&notes);
    crowd_close(&crowd);
    hub_close(&h);
}

void bench_submit(const struct options *o, struct report *r)
{
    if (o->transfers)
        submit_transfers(o, r);
    else if (o->rate)
        submit_rate(o, r);
    else
        submit_notes(o, r);
}
