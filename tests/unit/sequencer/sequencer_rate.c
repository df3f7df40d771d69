/* What sequencing costs a record, in microseconds: submit, prepare, outcome, replay.
 * Signing and verifying of members' entries are not in it. Numbers go to
 * docs/architecture/sequencing.md. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "people.h"

#define SLOTS 16
#define PEOPLE 64
#define ROUNDS 40
#define PER_ROUND 2048
#define ACCOUNTS 50000

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

struct written {
    struct entry e;
    uint8_t bytes[512];
};

struct costs {
    double submit, prepare, outcome;
    size_t entries, records;
};

static void nothing(void *context, struct seq_result const *r)
{
    (void)context;
    (void)r;
}

static void nothing_settled(void *context, const struct seq_settled *s)
{
    (void)context;
    (void)s;
}

static void nothing_committed(void *context, const struct seq_commit *c)
{
    (void)context;
    (void)c;
}

static void commit(struct hub *h, struct costs *c)
{
    static const struct seq_output out = {
        .result = nothing, .settled = nothing_settled, .commit = nothing_committed};
    const struct store_append *appends;
    size_t count;
    enum store_outcome outcome[SLOTS_MAX];
    double t = now_us();
    OK(sequencer_prepare(h->q, h->now_ms, h->mono_ms, &appends, &count));
    c->prepare += now_us() - t;
    for (size_t i = 0; i < count; i++)
        c->records += appends[i].record_count;
    struct store *st = h->store;
    st->ops->append(st, appends, count, outcome);
    t = now_us();
    OK(sequencer_outcome(h->q, outcome, &out));
    c->outcome += now_us() - t;
}

static void round_of(struct hub *h, struct person people[], struct written written[],
                     bool transfers, struct costs *c)
{
    for (size_t i = 0; i < PER_ROUND; i++) {
        struct person *p = &people[i % PEOPLE];
        if (transfers)
            person_pay(p,
                       &people[(i * 7 + 1) % PEOPLE == i % PEOPLE ? (i + 1) % PEOPLE
                                                                  : (i * 7 + 1) % PEOPLE]
                            .id,
                       1);
        else
            person_note(p, "a note of some twenty-odd bytes");
        memcpy(written[i].bytes, p->entry.bytes, p->entry.size);
        OK(entry_decode(&written[i].e, written[i].bytes, p->entry.size));
    }
    struct refusal r;
    double t = now_us();
    for (size_t i = 0; i < PER_ROUND; i++)
        if (hub_submit(h, &written[i].e, i, &r) != SEQ_QUEUED)
            OK(r.code);
    c->submit += now_us() - t;
    c->entries += PER_ROUND;
    commit(h, c);
}

static void print(const char *what, const struct costs *c)
{
    printf("%-24s submit %5.2f/entry  prepare %5.2f/record  outcome %5.2f/record\n", what,
           c->submit / (double)(c->entries ? c->entries : 1),
           c->prepare / (double)c->records, c->outcome / (double)c->records);
}

static bool count_bytes(void *context, struct bytes part)
{
    *(size_t *)context += part.size;
    return true;
}

/* A slot of many accounts: what it takes to write its snapshot and to start from it. */
static void snapshots(struct hub *h)
{
    static struct kit_entry e;
    struct refusal r;
    for (uint32_t i = 0; i < ACCOUNTS; i++) {
        struct kit_open o = {.federation = kit_hash(1),
                             .hub = HUB_NAME,
                             .root = kit_key(300),
                             .device = kit_key(301),
                             .nonce = UINT64_C(1) << 40 | i};
        kit_open(&e, &o);
        if (hub_submit(h, &e.e, i, &r) != SEQ_QUEUED)
            OK(r.code);
        if (i % PER_ROUND == 0)
            OK(hub_commit(h));
    }
    OK(hub_commit(h));
    uint64_t accounts = 0;
    size_t bytes = 0;
    double write = 0, start = 0;
    for (uint32_t i = 0; i < SLOTS; i++) {
        struct slotlog *log = sequencer_slotlog(h->q, i);
        double t = now_us();
        OK(slotlog_snapshot(log, h->config.relay, count_bytes, &bytes));
        write += now_us() - t;
        accounts += log->account_count;
        hub_snapshot(h, i);
    }
    sequencer_close(h->q);
    h->q = NULL;
    OK(sequencer_open(&h->q, &h->config));
    for (uint32_t i = 0; i < SLOTS; i++) {
        double t = now_us();
        OK(hub_recover(h, i, NULL));
        start += now_us() - t;
        assert_int_equal(h->report.replayed, 0);
    }
    printf("%-24s write %5.2f  start %5.2f us/account, %zu bytes/account\n", "snapshot",
           write / (double)accounts, start / (double)accounts, bytes / (size_t)accounts);
}

int main(void)
{
    static struct hub h;
    static struct person people[PEOPLE];
    struct written *written = malloc(PER_ROUND * sizeof *written);
    struct costs notes = {0}, transfers = {0}, credits = {0};
    hub_create(&h, SLOTS);
    people_open(people, PEOPLE, &h, 1000000);
    for (int i = 0; i < ROUNDS; i++)
        round_of(&h, people, written, false, &notes);
    for (int i = 0; i < ROUNDS; i++) {
        round_of(&h, people, written, true, &transfers);
        commit(&h, &credits);
    }
    print("notes", &notes);
    print("transfers", &transfers);
    print("credits (signed here)", &credits);

    uint64_t records = 0;
    hub_crash(&h);
    double t = now_us();
    OK(sequencer_open(&h.q, &h.config));
    for (uint32_t i = 0; i < SLOTS; i++) {
        OK(hub_recover(&h, i, NULL));
        records += h.report.replayed;
    }
    printf("%-24s %5.2f/record over %llu records\n", "replay",
           (now_us() - t) / (double)records, (unsigned long long)records);
    snapshots(&h);
    hub_close(&h);
    free(written);
    kit_close();
    return 0;
}
