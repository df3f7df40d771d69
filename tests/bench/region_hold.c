/* Many connections over all relays, from a client process a relay, each with a live
 * subscription to an account of its own, while entries flow. */
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/region.h"

#define AT_ONCE 64u
#define SETTLE_MS 3000u
#define STEP_MS 20u
#define CONNECT_SECONDS 300.0
#define LATE_SECONDS 60.0
#define SENDERS 6u
#define FRAME_ENTRIES 64u
#define POLL_MS 200
#define ACCOUNTS_MAX 15000u /* a key takes four mappings, and a process has 65,530 */

/* Between this process and its clients. */
struct shared {
    atomic_uint ready;  /* clients that have connected everything */
    atomic_bool stop;
    atomic_ullong heard, lost, wrong;
};

struct client {
    struct bench_region *g;
    const struct crowd *crowd;
    unsigned number; /* of its relay */
    size_t each, rows;
    struct shared *shared;
    uint64_t *heard_ns; /* shared; by row * connections + connection */
    struct rawws *ws;
};

static void *shared_memory(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        die("no shared memory of %zu bytes", size);
    return p;
}

/* ---- a client process ---- */

/* Among those of all clients. */
static size_t number_of(const struct client *c, const struct rawws *ws)
{
    return c->number * c->each + (size_t)(ws - c->ws);
}

static const struct hash *account_of(const struct client *c, const struct rawws *ws)
{
    return &c->crowd->people[number_of(c, ws) % c->crowd->count].id;
}

static void heard_frame(void *context, struct rawws *ws, const struct rawws_message *m)
{
    struct client *c = context;
    struct wire_frame f;
    uint64_t now = now_ns();
    if (wire_decode(&f, m->data, m->size) != ERR_OK || f.type != WIRE_RECORDS ||
        !hash_equal(&f.key.id, account_of(c, ws))) {
        atomic_fetch_add(&c->shared->wrong, 1u);
        return;
    }
    for (size_t i = 0; i < f.count; i++) {
        struct record r;
        wire_next_record(&f.list, &r);
        uint64_t *at = NULL;
        if (r.position > 0 && r.position <= c->rows)
            at = &c->heard_ns[((size_t)r.position - 1) * c->each * c->g->relays +
                              number_of(c, ws)];
        if (!at || *at) {
            atomic_fetch_add(&c->shared->wrong, 1u);
            continue;
        }
        *at = now;
        atomic_fetch_add(&c->shared->heard, 1u);
    }
}

static void ended(void *context, struct rawws *ws)
{
    struct client *c = context;
    (void)ws;
    atomic_fetch_add(&c->shared->lost, 1u);
}

static void connect_all(struct client *c)
{
    struct bench_hub *h = c->g->hubs[c->number];
    for (size_t at = 0; at < c->each; at += AT_ONCE) {
        size_t end = at + AT_ONCE < c->each ? at + AT_ONCE : c->each;
        struct wire_frame f;
        for (size_t i = at; i < end; i++)
            hub_greet(h, &c->ws[i], NULL);
        for (size_t i = at; i < end; i++) {
            hub_welcomed(&c->ws[i]);
            f = (struct wire_frame){
                .type = WIRE_SUBSCRIBE,
                .rid = 2,
                .from = 1,
                .key = {.what = WIRE_ACCOUNT, .id = *account_of(c, &c->ws[i])}};
            hub_send(&c->ws[i], &f);
        }
        for (size_t i = at; i < end; i++) {
            hub_answer(&c->ws[i], &f, WIRE_OK);
            hub_answer(&c->ws[i], &f, WIRE_RECORDS); /* empty: live from here on */
        }
    }
}

static _Noreturn void client_run(struct client *c)
{
    struct rawws_set set;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    on_die(NULL); /* the region is its parent's */
    c->ws = take(c->each * sizeof c->ws[0]);
    if (!rawws_set_open(&set))
        die("no epoll");
    connect_all(c);
    for (size_t i = 0; i < c->each; i++)
        if (!rawws_set_add(&set, &c->ws[i]))
            die("cannot watch a connection");
    atomic_fetch_add(&c->shared->ready, 1u);
    while (!atomic_load(&c->shared->stop))
        if (rawws_set_poll(&set, POLL_MS, heard_frame, ended, c) < 0)
            die("epoll failed");
    _exit(0);
}

/* ---- the other side ---- */

static void wait_ready(const struct shared *s, const pid_t pids[], unsigned count)
{
    uint64_t began = now_ns();
    while (atomic_load(&s->ready) < count) {
        usleep(STEP_MS * 1000u);
        for (unsigned i = 0; i < count; i++)
            if (waitpid(pids[i], NULL, WNOHANG) != 0)
                die("client process %u ended", i);
        if (seconds_since(began) > CONNECT_SECONDS)
            die("clients do not get connected in %.0f s", CONNECT_SECONDS);
    }
}

static void end_clients(struct shared *s, const pid_t pids[], unsigned count)
{
    atomic_store(&s->stop, true);
    for (unsigned i = 0; i < count; i++)
        (void)waitpid(pids[i], NULL, 0);
}

static void send_flow(struct bench_region *g, const struct crowd *crowd,
                      const struct sheet *notes, double rate, double seconds, uint64_t *ack_ns,
                      struct region_hold *out)
{
    struct load l = {.hub = &g->relay[0],
                     .hubs = g->hubs,
                     .hub_count = g->relays,
                     .sheet = notes,
                     .crowd = crowd,
                     .connections = SENDERS,
                     .frame = FRAME_ENTRIES,
                     .rate = rate,
                     .limit = (uint64_t)(rate * seconds),
                     .ack_ns = ack_ns};
    load_run(&l);
    if (l.refused > 0)
        die("%llu entries were refused: %s", (unsigned long long)l.refused,
            err_text(l.refusal));
    out->seconds = l.seconds;
    out->accepted_per_s = (double)l.accepted / l.seconds;
    out->accepted_p99_ms = percentile(l.latency_ns, l.latency_count, 0.99) / 1e6;
    load_close(&l);
}

static void weigh(struct bench_region *g, struct memory m[])
{
    usleep(SETTLE_MS * 1000u);
    for (unsigned i = 0; i < g->relays; i++)
        m[i] = hub_memory(g->hubs[i]);
}

static void weighed(const struct bench_region *g, const struct memory before[],
                    const struct memory after[], size_t each, struct region_hold *out)
{
    for (unsigned i = 0; i < g->relays; i++) {
        double b = ((double)after[i].rss - (double)before[i].rss) / (double)each;
        out->bytes += b / g->relays;
        out->bytes_worst = b > out->bytes_worst ? b : out->bytes_worst;
    }
}

/* How many were to be heard: an entry by everyone who listens to its account. */
static double delivered(const struct sheet *notes, const uint64_t *ack_ns,
                        const uint64_t *heard_ns, size_t connections, struct region_hold *out)
{
    uint64_t *late = take(notes->rows * connections * sizeof late[0]);
    size_t n = 0;
    double wanted = 0;
    for (size_t row = 0; row < notes->rows; row++)
        for (size_t i = 0; i < connections; i++) {
            uint64_t ack = ack_ns[row * notes->accounts + i % notes->accounts];
            uint64_t heard = heard_ns[row * connections + i];
            wanted += ack != 0;
            if (ack && heard)
                late[n++] = heard > ack ? heard - ack : 0;
        }
    out->heard = (double)n;
    out->missed = wanted - (double)n;
    out->delivery_p50_ms = percentile(late, n, 0.50) / 1e6;
    out->delivery_p99_ms = percentile(late, n, 0.99) / 1e6;
    free(late);
    return wanted;
}

void region_hold(struct bench_region *g, size_t each, double rate, double seconds,
                 struct region_hold *out)
{
    struct crowd crowd;
    struct sheet notes;
    pid_t pids[BENCH_RELAYS_MAX];
    struct memory before[BENCH_RELAYS_MAX], after[BENCH_RELAYS_MAX];
    size_t connections = each * g->relays;
    size_t accounts = connections < ACCOUNTS_MAX ? connections : ACCOUNTS_MAX;
    size_t rows = (size_t)(rate * seconds / (double)accounts) + 1;
    size_t heard_size = rows * connections * sizeof(uint64_t);
    struct shared *s = shared_memory(sizeof *s);
    memset(out, 0, sizeof *out);
    say("opening %zu accounts", accounts);
    crowd_open(&crowd, &g->relay[0].federation, g->relay[0].name, accounts);
    load_all(&g->relay[0], &crowd, &crowd.opens);
    crowd_notes(&crowd, &notes, rows, BENCH_NOTE_BYTES);
    uint64_t *ack_ns = take(sheet_count(&notes) * sizeof ack_ns[0]);
    uint64_t *heard_ns = shared_memory(heard_size);
    region_again(g); /* what opening left in the heaps would hide what connections need */
    weigh(g, before);
    say("connecting %zu", connections);
    uint64_t began = now_ns();
    for (unsigned i = 0; i < g->relays; i++) {
        struct client c = {.g = g, .crowd = &crowd, .number = i, .each = each, .rows = rows,
                           .shared = s, .heard_ns = heard_ns};
        pids[i] = fork();
        if (pids[i] < 0)
            die("cannot fork");
        if (pids[i] == 0)
            client_run(&c);
    }
    wait_ready(s, pids, g->relays);
    out->connected_per_s = (double)connections / seconds_since(began);
    weigh(g, after);
    weighed(g, before, after, each, out);
    say("sending %.0f a second for %.0f s", rate, seconds);
    send_flow(g, &crowd, &notes, rate, seconds, ack_ns, out);
    double wanted = delivered(&notes, ack_ns, heard_ns, connections, out);
    for (began = now_ns(); (double)atomic_load(&s->heard) < wanted &&
                           seconds_since(began) < LATE_SECONDS;)
        usleep(STEP_MS * 1000u);
    (void)delivered(&notes, ack_ns, heard_ns, connections, out);
    out->connections = (double)connections;
    out->clients = g->relays;
    out->rate = rate;
    out->lost = (double)atomic_load(&s->lost);
    end_clients(s, pids, g->relays);
    if (atomic_load(&s->wrong) > 0)
        die("%llu records that were not to come", (unsigned long long)atomic_load(&s->wrong));
    (void)munmap(heard_ns, heard_size);
    (void)munmap(s, sizeof *s);
    free(ack_ns);
    sheet_close(&notes);
    crowd_close(&crowd);
}
