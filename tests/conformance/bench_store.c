/* Measures appends to a store, with maintain in its own thread and optional readers;
 * prints one line of JSON. bench_store URI [seconds [records-per-append [slots
 * [envelope-bytes [readers [rate]]]]]] rate 0: append after append; else records a
 * second, on a fixed schedule (late_ms is counted from it). */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "crypto/context.h"
#include "tests/conformance/feed.h"

#define MAINTAIN_MS 50
#define APPENDS_MAX 4000000
#define SCAN_RECORDS 20000 /* of each slot */
#define LOOKUPS 5000

struct bench {
    struct store *store;
    atomic_bool stop;
    atomic_ullong reads;
    uint32_t slots;
    struct feed_slot *feed;
    size_t per_slot, envelope;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *maintainer(void *context)
{
    struct bench *b = context;
    while (!atomic_load(&b->stop)) {
        enum err e = b->store->ops->maintain(b->store);
        if (e != ERR_OK)
            fprintf(stderr, "maintain: %s\n", err_text(e));
        struct timespec t = {0, MAINTAIN_MS * 1000000};
        nanosleep(&t, NULL);
    }
    return NULL;
}

static bool count(void *context, const struct record *r, const struct hash *account)
{
    (void)r;
    (void)account;
    *(uint64_t *)context += 1;
    return true;
}

static void *reader(void *context)
{
    struct bench *b = context;
    struct store_reader *r = NULL;
    if (b->store->ops->reader_open(b->store, &r) != ERR_OK)
        return NULL;
    uint64_t state = (uint64_t)(uintptr_t)&r, seen = 0;
    while (!atomic_load(&b->stop)) {
        uint32_t slot = (uint32_t)(feed_random(&state) % b->slots);
        struct hash account =
            feed_account(slot, b->slots, (unsigned)(feed_random(&state) % FEED_ACCOUNTS));
        if (r->ops->account(r, &account, 0, 64, count, &seen) != ERR_OK)
            fprintf(stderr, "read failed\n");
        atomic_store(&b->reads, seen);
    }
    r->ops->close(r);
    return NULL;
}

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static off_t file_bytes(const char *path, const char *suffix)
{
    char name[4096];
    struct stat st;
    snprintf(name, sizeof name, "%s%s", path, suffix);
    return stat(name, &st) == 0 ? st.st_size : 0;
}

/* ns: of the call; late: from the scheduled time to the answer. */
static size_t cycle(struct bench *b, struct feed_append *f, uint64_t due, uint64_t *ns,
                    uint64_t *late)
{
    struct store_append a[SLOTS_MAX];
    enum store_outcome outcome[SLOTS_MAX];
    for (uint32_t i = 0; i < b->slots; i++) {
        feed_make(&f[i], &b->feed[i], b->per_slot, b->envelope, 0, 1);
        a[i] = f[i].a;
    }
    uint64_t start = now_ns();
    if (due > start) {
        struct timespec t = {(time_t)(due / 1000000000u), (long)(due % 1000000000u)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
        start = now_ns();
    }
    b->store->ops->append(b->store, a, b->slots, outcome);
    *ns = now_ns() - start;
    *late = now_ns() - (due == 0 ? start : due);
    for (uint32_t i = 0; i < b->slots; i++) {
        if (outcome[i] != STORE_COMMITTED) {
            fprintf(stderr, "slot %u: outcome %d\n", i, (int)outcome[i]);
            exit(1);
        }
        b->feed[i] = f[i].after;
        feed_close(&f[i]);
    }
    return b->slots * b->per_slot;
}

static bool keep_id(void *context, const struct record *r, const struct hash *account)
{
    (void)account;
    *(struct hash *)context =
        hash_context(CTX_ENTRY, r->envelope.data, r->envelope.size - SIG_BYTES);
    return true;
}

/* Reads of what was written: records in order, single ones, by id, by account. */
static void print_reads(struct bench *b)
{
    struct store_reader *r = NULL;
    if (b->store->ops->reader_open(b->store, &r) != ERR_OK)
        exit(1);
    uint64_t seen = 0, random = 1, find = 0, single = 0, account = 0, start = now_ns();
    for (uint32_t i = 0; i < b->slots; i++)
        if (r->ops->records(r, i, 0, SCAN_RECORDS, count, &seen) != ERR_OK)
            exit(1);
    double scan = (double)(now_ns() - start) / 1e9;
    for (unsigned i = 0; i < LOOKUPS; i++) {
        uint32_t slot = (uint32_t)(feed_random(&random) % b->slots), at_slot = 0;
        uint64_t index = feed_random(&random) % b->feed[slot].frontier.size, at = 0,
                 n = 0;
        struct hash id, who = feed_account(slot, b->slots, i % FEED_ACCOUNTS);
        start = now_ns();
        if (r->ops->records(r, slot, index, 1, keep_id, &id) != ERR_OK)
            exit(1);
        single += now_ns() - start;
        start = now_ns();
        if (r->ops->find(r, &id, &at_slot, &at) != ERR_OK || at != index)
            exit(1);
        find += now_ns() - start;
        start = now_ns();
        if (r->ops->account(r, &who, index / FEED_ACCOUNTS / 2, 32, count, &n) != ERR_OK)
            exit(1);
        account += now_ns() - start;
    }
    r->ops->close(r);
    printf(",\"scan_records_per_s\":%.0f,\"single_us\":%.1f,\"find_us\":%.1f,"
           "\"account_32_us\":%.1f",
           (double)seen / scan, (double)single / LOOKUPS / 1e3,
           (double)find / LOOKUPS / 1e3, (double)account / LOOKUPS / 1e3);
}

/* Opening with the index there, and with none. */
static void print_opens(struct bench *b, const char *uri, const char *path,
                        uint64_t records)
{
    char index[4096];
    uint64_t start = now_ns();
    snprintf(index, sizeof index, "%s-index", path);
    if (store_open(uri, &b->store, NULL) != ERR_OK)
        return; /* memory: */
    printf(",\"open_ms\":%.1f", (double)(now_ns() - start) / 1e6);
    print_reads(b);
    b->store->ops->close(b->store);
    if (remove(index) != 0)
        return;
    start = now_ns();
    if (store_open(uri, &b->store, NULL) != ERR_OK)
        exit(1);
    printf(",\"index_rebuild_records_per_s\":%.0f",
           (double)records / ((double)(now_ns() - start) / 1e9));
    b->store->ops->close(b->store);
}

static void print_quantiles(const char *name, uint64_t *ns, size_t count)
{
    static const struct {
        const char *name;
        double at;
    } q[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"max", 1}};
    qsort(ns, count, sizeof *ns, compare);
    printf(",\"%s\":{", name);
    for (size_t i = 0; i < sizeof q / sizeof *q; i++)
        printf("%s\"%s\":%.2f", i == 0 ? "" : ",", q[i].name,
               (double)ns[(size_t)((double)(count - 1) * q[i].at)] / 1e6);
    printf("}");
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    double seconds = argc > 2 ? atof(argv[2]) : 10;
    size_t records = argc > 3 ? strtoul(argv[3], NULL, 10) : 512;
    uint32_t slots = argc > 4 ? (uint32_t)atoi(argv[4]) : 16;
    size_t envelope = argc > 5 ? strtoul(argv[5], NULL, 10) : 500;
    unsigned readers = argc > 6 ? (unsigned)atoi(argv[6]) : 0;
    double rate = argc > 7 ? atof(argv[7]) : 0;
    struct store_identity id = {.hub = "bench", .slots = slots};
    struct store_why why;
    struct bench b = {.slots = slots, .per_slot = records / slots, .envelope = envelope};
    if (store_create(argv[1], &id, &b.store, &why) != ERR_OK) {
        fprintf(stderr, "%s\n", why.text);
        return 1;
    }
    b.feed = calloc(slots, sizeof *b.feed);
    struct feed_append *f = calloc(slots, sizeof *f);
    uint64_t *took = malloc(APPENDS_MAX * sizeof *took);
    uint64_t *late = malloc(APPENDS_MAX * sizeof *late);
    for (uint32_t i = 0; i < slots; i++) {
        uint64_t epoch = 0;
        if (b.store->ops->claim(b.store, i, &epoch) != ERR_OK)
            return 1;
        feed_slot_init(&b.feed[i], i, slots, epoch);
    }
    pthread_t thread, reading[16];
    pthread_create(&thread, NULL, maintainer, &b);
    for (unsigned i = 0; i < readers && i < 16; i++)
        pthread_create(&reading[i], NULL, reader, &b);
    uint64_t begin = now_ns(), busy = 0, total = 0, appends = 0;
    while ((double)(now_ns() - begin) < seconds * 1e9 && appends < APPENDS_MAX) {
        uint64_t due = rate > 0 ? begin + (uint64_t)((double)total / rate * 1e9) : 0;
        total += cycle(&b, f, due, &took[appends], &late[appends]);
        busy += took[appends++];
    }
    double wall = (double)(now_ns() - begin) / 1e9;
    const char *path = strchr(argv[1], ':') + 1;
    off_t wal = file_bytes(path, "-wal");
    atomic_store(&b.stop, true);
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < readers && i < 16; i++)
        pthread_join(reading[i], NULL);
    b.store->ops->close(b.store);
    off_t main_bytes = file_bytes(path, ""), index_bytes = file_bytes(path, "-index");
    printf("{\"records\":%llu,\"seconds\":%.1f,\"records_per_s\":%.0f,"
           "\"records_per_s_in_append\":%.0f,\"bytes_per_record\":%.0f,"
           "\"index_bytes_per_record\":%.0f,\"wal_mb\":%.1f,\"read\":%llu",
           (unsigned long long)total, wall, (double)total / wall,
           (double)total / ((double)busy / 1e9), (double)main_bytes / (double)total,
           (double)index_bytes / (double)total, (double)wal / 1e6,
           (unsigned long long)atomic_load(&b.reads));
    print_quantiles("append_ms", took, appends);
    print_quantiles("late_ms", late, appends);
    print_opens(&b, argv[1], path, total);
    printf("}\n");
    free(late);
    free(took);
    free(f);
    free(b.feed);
    return 0;
}
