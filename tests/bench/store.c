/* Appends to SQLite alone: what is left when nothing is checked, sequenced or sent. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/bench/bench.h"
#include "tests/conformance/feed.h"

#define SLOTS 16u
#define RECORDS_AN_APPEND 512u
#define MAINTAIN_MS 50
#define SAMPLES_MAX 200000

struct upkeep {
    struct store *store;
    atomic_bool stop;
};

static void *maintain(void *context)
{
    struct upkeep *u = context;
    while (!atomic_load(&u->stop)) {
        need(u->store->ops->maintain(u->store), "maintain");
        struct timespec t = {0, MAINTAIN_MS * 1000000};
        nanosleep(&t, NULL);
    }
    return NULL;
}

static uint64_t append_once(struct store *st, struct feed_slot feed[SLOTS], uint64_t *busy)
{
    static struct feed_append f[SLOTS];
    struct store_append a[SLOTS];
    enum store_outcome outcome[SLOTS];
    for (uint32_t i = 0; i < SLOTS; i++) {
        feed_make(&f[i], &feed[i], RECORDS_AN_APPEND / SLOTS, BENCH_NOTE_BYTES, 0, 1);
        a[i] = f[i].a;
    }
    uint64_t at = now_ns();
    st->ops->append(st, a, SLOTS, outcome);
    uint64_t took = now_ns() - at;
    *busy += took;
    for (uint32_t i = 0; i < SLOTS; i++) {
        if (outcome[i] != STORE_COMMITTED)
            die("slot %u was not committed: outcome %d", i, (int)outcome[i]);
        feed[i] = f[i].after;
        feed_close(&f[i]);
    }
    return took;
}

void bench_store(const struct options *o, struct report *r)
{
    static uint64_t took[SAMPLES_MAX];
    struct tempdir dir;
    struct store_identity id = {.hub = "bench.test", .slots = SLOTS};
    struct store_why why = {{0}};
    struct upkeep u = {0};
    struct feed_slot *feed = take(SLOTS * sizeof *feed);
    char uri[400];
    double seconds = o->seconds > 0 ? o->seconds : o->quick ? 0.3 : 10, disk50, disk99;
    tempdir_make(&dir);
    size_t bytes = RECORDS_AN_APPEND * (BENCH_NOTE_BYTES + 80);
    limit_fdatasync(dir.path, bytes, o->quick ? 0.1 : 2, &disk50, &disk99);
    snprintf(uri, sizeof uri, "sqlite:%s/ledger.db", dir.path);
    if (store_create(uri, &id, &u.store, &why) != ERR_OK)
        die("%s", why.text);
    for (uint32_t i = 0; i < SLOTS; i++) {
        uint64_t epoch = 0;
        need(u.store->ops->claim(u.store, i, &epoch), "claim");
        feed_slot_init(&feed[i], i, SLOTS, epoch);
    }
    pthread_t thread;
    pthread_create(&thread, NULL, maintain, &u);
    uint64_t began = now_ns(), busy = 0;
    size_t appends = 0;
    while (seconds_since(began) < seconds && appends < SAMPLES_MAX)
        took[appends++] = append_once(u.store, feed, &busy);
    double wall = seconds_since(began), records = (double)(appends * RECORDS_AN_APPEND);
    atomic_store(&u.stop, true);
    pthread_join(thread, NULL);
    u.store->ops->close(u.store);
    report_open(r, "store", "durable records/s in append", BETTER_HIGH);
    report_result(r, records / ((double)busy / 1e9), RECORDS_AN_APPEND / (disk50 / 1e3),
                  "records/s when the same bytes are appended to one file with fdatasync");
    report_number(r, "records", records);
    report_number(r, "records_an_append", RECORDS_AN_APPEND);
    report_number(r, "records_per_s_overall", records / wall);
    report_number(r, "append_p50_ms", percentile(took, appends, 0.50) / 1e6);
    report_number(r, "append_p99_ms", percentile(took, appends, 0.99) / 1e6);
    report_number(r, "append_max_ms", percentile(took, appends, 1) / 1e6);
    report_number(r, "bytes_per_record",
                  (double)folder_bytes(dir.path, "ledger.db") / records);
    tempdir_remove(&dir);
    free(feed);
}
