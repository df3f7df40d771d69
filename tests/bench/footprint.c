/* Bytes on disk of a record, at the hub and at a client that follows an account. */
#include <stdlib.h>
#include <string.h>

#include "client/stoa.h"
#include "tests/bench/ledgerfile.h"
#include "tests/bench/load.h"

#define RECORDS 300000u
#define ACCOUNTS 1000u
#define CLIENT_RECORDS 20000u
#define LEAF_AND_HEAD 80.0
#define SYNC_MS 120000u

static void must(stoa_result r, const stoa_error *e, const char *what)
{
    if (r != STOA_OK)
        die("%s: %s", what, e->message);
}

/* Bytes of the wallet's folder for each record of the one account it follows. */
static double client_bytes(struct bench_hub *h, const struct hash *account, uint64_t *records)
{
    char dir[512], url[64], address[STOA_ADDRESS_MAX];
    stoa_options options = {.size = sizeof options,
                            .flags = STOA_PLAINTEXT_KEYS | STOA_TRUST_FIRST_USE};
    stoa_error e = {.size = sizeof e};
    stoa_account a = {.size = sizeof a};
    stoa_wallet *w = NULL;
    stoa_id id;
    hubproc_path(&h->proc, "wallet", dir);
    snprintf(url, sizeof url, "ws://127.0.0.1:%u", (unsigned)h->proc.port);
    must(stoa_wallet_create(dir, &options, &e), &e, "make a wallet");
    must(stoa_wallet_open(&w, dir, &options, &e), &e, "open the wallet");
    uint64_t empty = folder_bytes(dir, "");
    must(stoa_connect(w, url, SYNC_MS, &e), &e, "connect");
    memcpy(id.b, account->b, sizeof id.b);
    stoa_address_format(address, &id, h->name);
    must(stoa_account_follow(w, address, "bench", &a, &e), &e, "follow an account");
    must(stoa_sync(w, &id, SYNC_MS, &e), &e, "sync");
    must(stoa_account_find(w, "bench", &a, &e), &e, "find the account");
    *records = a.position;
    stoa_wallet_close(w); /* SQLite copies its WAL at the last close */
    uint64_t full = folder_bytes(dir, "");
    return *records ? (double)(full - empty) / (double)*records : 0;
}

/* One account writes much, a wallet reads it. */
static double measure_client(struct bench_hub *h, const struct options *o, uint64_t *records)
{
    struct crowd crowd;
    struct sheet notes;
    hub_start(h);
    crowd_open(&crowd, &h->federation, h->name, 1);
    load_all(h, &crowd, &crowd.opens);
    crowd_notes(&crowd, &notes, o->quick ? 500 : CLIENT_RECORDS, BENCH_NOTE_BYTES);
    load_all(h, &crowd, &notes);
    double bytes = client_bytes(h, &crowd.people[0].id, records);
    if (*records != sheet_count(&notes) + 1)
        die("the wallet has %llu of %zu records", (unsigned long long)*records,
            sheet_count(&notes) + 1);
    sheet_close(&notes);
    crowd_close(&crowd);
    return bytes;
}

void bench_footprint(const struct options *o, struct report *r)
{
    struct bench_hub h;
    uint64_t of_client = 0, records = o->n ? o->n : o->quick ? 5000 : RECORDS;
    hub_init(&h, o);
    say("writing %llu records", (unsigned long long)records);
    uint64_t written = ledgerfile_fill(&h, records, o->quick ? 50 : ACCOUNTS);
    uint64_t envelopes, count;
    (void)ledgerfile_read(&h, &count, &envelopes);
    double hub = (double)folder_bytes(h.state, "ledger.db") / (double)count;
    double index = (double)folder_bytes(h.state, "ledger.db-index") / (double)count;
    double wal = (double)folder_bytes(h.state, "ledger.db-wal");
    say("a wallet follows");
    double client = measure_client(&h, o, &of_client);
    double limit = (double)envelopes / (double)count + LEAF_AND_HEAD;
    double worse = hub > client ? hub : client;
    report_open(r, "footprint", "bytes on disk a record, hub or client, the larger",
                BETTER_LOW);
    report_result(r, worse, limit, "mean envelope and the 80 bytes of its leaf");
    report_floor(r, o->quick ? 0 : 1024, false);
    report_number(r, "hub_records", (double)count);
    report_number(r, "hub_written", (double)written);
    report_number(r, "hub_bytes_per_record", hub);
    report_number(r, "hub_index_bytes_per_record", index);
    report_number(r, "hub_wal_bytes", wal);
    report_number(r, "mean_envelope_bytes", (double)envelopes / (double)count);
    report_number(r, "client_records", (double)of_client);
    report_number(r, "client_envelope_bytes", BENCH_NOTE_BYTES);
    report_number(r, "client_bytes_per_record", client);
    hub_close(&h);
}
