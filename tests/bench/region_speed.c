/* A region's throughput, and how soon other relays' subscribers hear. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/region.h"

#define ACCOUNTS 1000u
#define LIMIT_SECONDS 2.0
#define SAMPLE 64u
#define SPEED_SECONDS 8.0
#define INFLIGHT 1000u
#define FRAME_ENTRIES 64u
#define CONNECTIONS_A_RELAY 4u
#define SUBSCRIPTIONS 50u /* of one connection */
#define HEAR_MS 100
#define LATE_SECONDS 20.0

void region_speed(struct bench_region *g, const struct options *o, uint64_t n,
                  struct region_speed *out)
{
    struct crowd crowd;
    struct sheet notes;
    double seconds = o->quick ? LIMIT_SECONDS / 40 : LIMIT_SECONDS;
    crowd_open(&crowd, &g->relay[0].federation, g->relay[0].name, o->quick ? 64 : ACCOUNTS);
    load_all(&g->relay[0], &crowd, &crowd.opens);
    crowd_notes(&crowd, &notes, (size_t)((n + crowd.count - 1) / crowd.count),
                BENCH_NOTE_BYTES);
    struct load l = {.hub = &g->relay[0],
                     .hubs = g->hubs,
                     .hub_count = g->relays,
                     .sheet = &notes,
                     .crowd = &crowd,
                     .connections = CONNECTIONS_A_RELAY * g->relays,
                     .inflight = o->inflight ? o->inflight : INFLIGHT,
                     .frame = o->frame ? o->frame : FRAME_ENTRIES,
                     /* All connections send all the time: at the end nobody is alone. */
                     .stop_seconds = SPEED_SECONDS,
                     .sample = SAMPLE};
    double before = limit_verify(seconds, 1);
    double relays = region_cpu(g), servers = region_cpu_servers(g);
    load_run(&l);
    out->relay_us = (region_cpu(g) - relays) * 1e6 / (double)l.accepted;
    out->server_us = (region_cpu_servers(g) - servers) * 1e6 / (double)l.accepted;
    out->limit = (before + limit_verify(seconds, 1)) / 2;
    if (l.refused > 0)
        die("%llu entries were refused: %s", (unsigned long long)l.refused,
            err_text(l.refusal));
    out->entries = (double)l.accepted;
    out->per_s = (double)l.accepted / l.seconds;
    out->p50_ms = percentile(l.latency_ns, l.latency_count, 0.50) / 1e6;
    out->p99_ms = percentile(l.latency_ns, l.latency_count, 0.99) / 1e6;
    out->check_us = limit_verify_us();
    load_close(&l);
    sheet_close(&notes);
    crowd_close(&crowd);
}

/* ---- delivery ---- */

/* Connections to all relays but the first, a live subscription for every account. */
struct listeners {
    struct bench_region *g;
    const struct crowd *crowd;
    const struct sheet *notes;
    struct rawws *ws;
    size_t count;
    struct rawws_set set;
    uint64_t *heard_ns; /* by row * accounts + account */
    atomic_ullong heard;
    atomic_bool stop;
    struct finder *finders; /* by id */
};

struct finder {
    struct hash id;
    size_t account;
};

static int by_id(const void *a, const void *b)
{
    return memcmp(a, b, HASH_BYTES);
}

static size_t account_of(const struct listeners *l, const struct hash *id)
{
    const struct finder *f =
        bsearch(id, l->finders, l->crowd->count, sizeof l->finders[0], by_id);
    if (!f)
        die("a record of an account that nobody asked for");
    return f->account;
}

static void heard_frame(void *context, struct rawws *c, const struct rawws_message *m)
{
    struct listeners *l = context;
    struct wire_frame f;
    uint64_t now = now_ns();
    (void)c;
    need(wire_decode(&f, m->data, m->size), "decode a frame of the hub");
    if (f.type != WIRE_RECORDS)
        die("frame %llu instead of records", (unsigned long long)f.type);
    size_t account = account_of(l, &f.key.id);
    for (size_t i = 0; i < f.count; i++) {
        struct record r;
        wire_next_record(&f.list, &r);
        size_t row = (size_t)r.position - 1; /* 0 is its open */
        if (r.position == 0 || row >= l->notes->rows)
            die("position %llu of an account", (unsigned long long)r.position);
        uint64_t *at = &l->heard_ns[row * l->notes->accounts + account];
        if (*at)
            die("position %llu of account %zu came twice", (unsigned long long)r.position,
                account);
        *at = now;
        atomic_fetch_add(&l->heard, 1u);
    }
}

static void ended(void *context, struct rawws *c)
{
    (void)context;
    die("a relay closed a subscriber (code %u)", c->close_code);
}

static void *listen_all(void *context)
{
    struct listeners *l = context;
    while (!atomic_load(&l->stop))
        if (rawws_set_poll(&l->set, HEAR_MS, heard_frame, ended, l) < 0)
            die("epoll failed");
    return NULL;
}

static void subscribe_all(struct listeners *l)
{
    struct wire_frame f;
    l->count = (l->crowd->count + SUBSCRIPTIONS - 1) / SUBSCRIPTIONS;
    l->ws = take(l->count * sizeof l->ws[0]);
    if (!rawws_set_open(&l->set))
        die("no epoll");
    for (size_t i = 0; i < l->count; i++) {
        unsigned relay = l->g->relays > 1 ? 1 + (unsigned)i % (l->g->relays - 1) : 0;
        hub_connect(l->g->hubs[relay], &l->ws[i], NULL);
        for (size_t a = i * SUBSCRIPTIONS; a < (i + 1) * SUBSCRIPTIONS && a < l->crowd->count;
             a++) {
            f = (struct wire_frame){
                .type = WIRE_SUBSCRIBE,
                .rid = 2,
                .from = 1,
                .key = {.what = WIRE_ACCOUNT, .id = l->crowd->people[a].id}};
            hub_send(&l->ws[i], &f);
            hub_answer(&l->ws[i], &f, WIRE_OK);
            hub_answer(&l->ws[i], &f, WIRE_RECORDS); /* empty: live from here on */
        }
        if (!rawws_set_add(&l->set, &l->ws[i]))
            die("cannot watch a connection");
    }
}

static void find_accounts(struct listeners *l)
{
    size_t n = l->crowd->count;
    l->finders = take(n * sizeof l->finders[0]);
    for (size_t i = 0; i < n; i++)
        l->finders[i] = (struct finder){l->crowd->people[i].id, i};
    qsort(l->finders, n, sizeof l->finders[0], by_id);
}

static void wait_for_all(struct listeners *l, uint64_t count)
{
    uint64_t began = now_ns();
    while (atomic_load(&l->heard) < count && seconds_since(began) < LATE_SECONDS)
        usleep(20000);
}

void region_delivery(struct bench_region *g, double rate, double seconds, size_t accounts,
                     struct region_delivery *out)
{
    struct crowd crowd;
    struct sheet notes;
    struct listeners s = {.g = g, .crowd = &crowd, .notes = &notes};
    pthread_t thread;
    uint64_t n = (uint64_t)(rate * seconds);
    crowd_open(&crowd, &g->relay[0].federation, g->relay[0].name, accounts);
    load_all(&g->relay[0], &crowd, &crowd.opens);
    crowd_notes(&crowd, &notes, (size_t)((n + accounts - 1) / accounts), BENCH_NOTE_BYTES);
    find_accounts(&s);
    subscribe_all(&s);
    s.heard_ns = take(sheet_count(&notes) * sizeof s.heard_ns[0]);
    struct load l = {.hub = &g->relay[0],
                     .hubs = g->hubs,
                     .hub_count = 1,
                     .sheet = &notes,
                     .crowd = &crowd,
                     .connections = CONNECTIONS_A_RELAY,
                     .frame = FRAME_ENTRIES,
                     .rate = rate,
                     .limit = n,
                     .sample = SAMPLE,
                     .ack_ns = take(sheet_count(&notes) * sizeof(uint64_t))};
    if (pthread_create(&thread, NULL, listen_all, &s) != 0)
        die("no thread");
    load_run(&l);
    if (l.refused > 0)
        die("%llu entries were refused: %s", (unsigned long long)l.refused,
            err_text(l.refusal));
    wait_for_all(&s, l.accepted);
    atomic_store(&s.stop, true);
    pthread_join(thread, NULL);
    if (atomic_load(&s.heard) != l.accepted)
        die("%llu entries accepted, %llu heard", (unsigned long long)l.accepted,
            (unsigned long long)atomic_load(&s.heard));
    uint64_t *late = take(sheet_count(&notes) * sizeof late[0]);
    size_t count = 0;
    for (size_t i = 0; i < sheet_count(&notes); i++)
        if (l.ack_ns[i])
            late[count++] = s.heard_ns[i] > l.ack_ns[i] ? s.heard_ns[i] - l.ack_ns[i] : 0;
    *out = (struct region_delivery){
        .rate = rate,
        .accepted_per_s = (double)l.accepted / l.seconds,
        .p50_ms = percentile(late, count, 0.50) / 1e6,
        .p99_ms = percentile(late, count, 0.99) / 1e6,
        .max_ms = percentile(late, count, 1.0) / 1e6,
        .accepted_p50_ms = percentile(l.latency_ns, l.latency_count, 0.50) / 1e6,
        .accepted_p99_ms = percentile(l.latency_ns, l.latency_count, 0.99) / 1e6,
        .deliveries = (double)count};
    free(late);
    free(l.ack_ns);
    load_close(&l);
    for (size_t i = 0; i < s.count; i++)
        rawws_close(&s.ws[i]);
    rawws_set_close(&s.set);
    free(s.ws);
    free(s.heard_ns);
    free(s.finders);
    sheet_close(&notes);
    crowd_close(&crowd);
}
