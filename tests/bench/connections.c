/* What a connection with one live subscription costs the relay in memory. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/load.h"

#define CONNECTIONS 10000u
#define AT_ONCE 64u
#define PROBES 200u
#define SETTLE_MS 1500
#define ANSWER_MS 20000

/* Kernel memory of TCP sockets, in bytes, of the whole machine. */
static double tcp_bytes(void)
{
    char line[256];
    unsigned long pages = 0;
    FILE *f = fopen("/proc/net/sockstat", "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "TCP: inuse %*u orphan %*u tw %*u alloc %*u mem %lu", &pages) == 1)
            break;
    if (f)
        fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* Several under way, as they would come. */
static void connect_all(struct bench_hub *h, const struct crowd *crowd, struct rawws ws[],
                        size_t count)
{
    for (size_t at = 0; at < count; at += AT_ONCE) {
        size_t end = at + AT_ONCE < count ? at + AT_ONCE : count;
        struct wire_frame f;
        for (size_t i = at; i < end; i++)
            hub_greet(h, &ws[i], NULL);
        for (size_t i = at; i < end; i++) {
            hub_welcomed(&ws[i]);
            f = (struct wire_frame){.type = WIRE_SUBSCRIBE, .rid = 2, .from = 1,
                                    .key = {.what = WIRE_ACCOUNT,
                                            .id = crowd->people[i % crowd->count].id}};
            hub_send(&ws[i], &f);
        }
        for (size_t i = at; i < end; i++) {
            hub_answer(&ws[i], &f, WIRE_OK);
            hub_answer(&ws[i], &f, WIRE_RECORDS); /* empty: the end is reached, live now */
        }
    }
}

/* Are they live? Some accounts write, and whoever listens hears exactly that. */
static void probe(struct bench_hub *h, struct crowd *crowd, struct rawws ws[], size_t count)
{
    struct sheet notes;
    size_t probes = crowd->count < PROBES ? crowd->count : PROBES, all = crowd->count;
    crowd->count = probes;
    crowd_notes(crowd, &notes, 1, BENCH_NOTE_BYTES);
    load_all(h, crowd, &notes);
    crowd->count = all;
    for (size_t i = 0; i < count; i++) {
        struct wire_frame f;
        struct record r;
        if (i % all >= probes)
            continue;
        hub_answer(&ws[i], &f, WIRE_RECORDS);
        struct bytes sent = sheet_at(&notes, 0, i % all);
        if (f.count != 1 || f.mode != WIRE_LIVE)
            die("subscription %zu is not live", i);
        wire_next_record(&f.list, &r);
        if (r.position != 1 || r.envelope.size != sent.size ||
            memcmp(r.envelope.data, sent.data, sent.size) != 0)
            die("subscription %zu got something else", i);
    }
    sheet_close(&notes);
}

static void tidy(struct rawws ws[], size_t count)
{
    for (size_t i = 0; i < count; i++) { /* our own memory, not the relay's */
        free(ws[i].in);
        free(ws[i].out);
        ws[i].in = ws[i].out = NULL;
        ws[i].in_at = ws[i].in_end = ws[i].in_cap = 0;
        ws[i].out_at = ws[i].out_end = ws[i].out_cap = 0;
    }
}

void bench_connections(const struct options *o, struct report *r)
{
    struct bench_hub h;
    struct crowd crowd;
    size_t count = o->n ? o->n : o->quick ? 50 : CONNECTIONS;
    struct rawws *ws = take(count * sizeof *ws);
    hub_init(&h, o);
    hub_start(&h);
    crowd_open(&crowd, &h.federation, h.name, count);
    load_all(&h, &crowd, &crowd.opens);
    hub_stop(&h); /* what opening left in the heap would hide what connections need */
    hub_start(&h);
    usleep(SETTLE_MS * 1000);
    double kernel = tcp_bytes();
    struct memory before = hub_memory(&h);
    uint64_t began = now_ns();
    say("connecting %zu", count);
    connect_all(&h, &crowd, ws, count);
    double took = seconds_since(began);
    tidy(ws, count);
    usleep(SETTLE_MS * 1000);
    struct memory after = hub_memory(&h);
    kernel = tcp_bytes() - kernel;
    probe(&h, &crowd, ws, count);
    struct memory probed = hub_memory(&h);
    double n = (double)count;
    report_open(r, "connections", "bytes of relay memory a connection", BETTER_LOW);
    report_result(r, ((double)after.rss - (double)before.rss) / n, 10240,
                  "10 KiB, the budget: a bare TCP connection costs a process nothing");
    report_floor(r, o->quick ? 0 : 10240, false);
    report_number(r, "connections", n);
    report_number(r, "rss_before_mb", (double)before.rss / 1e6);
    report_number(r, "rss_after_mb", (double)after.rss / 1e6);
    report_number(r, "pss_bytes_per_connection", ((double)after.pss - (double)before.pss) / n);
    report_number(r, "rss_bytes_after_probe", ((double)probed.rss - (double)before.rss) / n);
    report_number(r, "kernel_tcp_bytes", kernel / n);
    report_number(r, "connected_per_s", n / took);
    report_number(r, "probed_live", (double)(crowd.count < PROBES ? crowd.count : PROBES));
    for (size_t i = 0; i < count; i++)
        rawws_close(&ws[i]);
    free(ws);
    crowd_close(&crowd);
    hub_close(&h);
}
