/* Start after kill -9: everything replayed, and from a snapshot. */
#include "tests/bench/ledgerfile.h"
#include "tests/bench/load.h"

#define RECORDS 1000000u
#define ACCOUNTS 2000u
#define LAST_WORDS 2000u /* entries accepted shortly before the kill */

/* Fresh accounts write, the hub is killed, and after the timed start each of these entries
 * has the place it was promised. */
static double kill_and_start(struct bench_hub *h, size_t accounts)
{
    struct crowd crowd;
    struct sheet notes;
    hub_start(h);
    crowd_open(&crowd, &h->federation, h->name, accounts);
    load_all(h, &crowd, &crowd.opens);
    crowd_notes(&crowd, &notes, LAST_WORDS / accounts, BENCH_NOTE_BYTES);
    load_all(h, &crowd, &notes);
    hub_kill(h);
    uint64_t began = now_ns();
    hub_start(h);
    double took = seconds_since(began);
    struct load again = {.hub = h, .sheet = &notes, .crowd = &crowd,
                         .connections = 2, .inflight = 200, .frame = 20, .sample = 16};
    load_run(&again);
    if (again.accepted != sheet_count(&notes) || again.duplicates != again.accepted)
        die("%llu of %zu accepted entries are there after the kill",
            (unsigned long long)again.duplicates, sheet_count(&notes));
    load_close(&again);
    sheet_close(&notes);
    crowd_close(&crowd);
    return took;
}

void bench_recover(const struct options *o, struct report *r)
{
    struct bench_hub h;
    uint64_t records = o->n ? o->n : o->quick ? 5000 : RECORDS, there = 0, envelopes;
    size_t accounts = o->quick ? 50 : ACCOUNTS, writers = o->quick ? 20 : 100;
    hub_init(&h, o);
    /* Only a proper end saves a snapshot here. */
    hubproc_set(&h.proc, "commit.snapshot_every_records=%llu", 1ull << 40);
    say("writing %llu records", (unsigned long long)records);
    records = ledgerfile_fill(&h, records, accounts);
    double read = ledgerfile_read(&h, &there, &envelopes);
    if (there < records)
        die("%llu of %llu records are there", (unsigned long long)there,
            (unsigned long long)records);
    say("starting without a snapshot, twice");
    double replayed = kill_and_start(&h, writers);
    say("starting with a snapshot");
    hub_stop(&h);
    double snapshot = kill_and_start(&h, writers);
    double millions = (double)there / 1e6;
    report_open(r, "recover", "s per million records, no snapshot", BETTER_LOW);
    report_result(r, replayed / millions, read / millions,
                  "s per million records only read from the store");
    report_number(r, "records", (double)there);
    report_number(r, "no_snapshot_s", replayed);
    report_number(r, "snapshot_s", snapshot);
    report_number(r, "snapshot_s_per_million", snapshot / millions);
    report_number(r, "replayed_records_per_s", (double)there / replayed);
    report_number(r, "accounts", (double)accounts);
    hub_close(&h);
}
