/* stoa-bench region: one relay on Postgres and Redis, then three of them. */
#include <stdlib.h>
#include <string.h>

#include "tests/bench/region.h"

#define RELAYS 3u
#define SPEED_ENTRIES 360000u /* more than go out in the time */
#define RATE 3000.0 /* entries a second, while subscribers listen */
#define DELIVERY_SECONDS 20.0
#define DELIVERY_ACCOUNTS 1000u
#define HOLD_EACH 10000u
#define HOLD_SECONDS 60.0
#define SKIP 77

/* What must come out, each of the whole. */
#define ONE_RELAY_FLOOR 0.55
#define THREE_RELAYS_FLOOR 1.0
#define DELIVERY_P99_MS 50.0
#define CONNECTION_BYTES 10240.0
#define TAKEOVER_SECONDS 5.0

static void want(struct report *r, bool met, const char *what)
{
    char text[64];
    snprintf(text, sizeof text, "%s", met ? "met" : "NOT MET");
    report_text(r, what, text);
}

static void put_speed(struct report *r, const char *name, const struct region_speed *s)
{
    char member[40];
    snprintf(member, sizeof member, "%s_per_s", name);
    report_number(r, member, s->per_s);
    snprintf(member, sizeof member, "%s_p50_ms", name);
    report_number(r, member, s->p50_ms);
    snprintf(member, sizeof member, "%s_p99_ms", name);
    report_number(r, member, s->p99_ms);
    snprintf(member, sizeof member, "%s_limit", name);
    report_number(r, member, s->limit);
    snprintf(member, sizeof member, "%s_relay_cpu_us", name);
    report_number(r, member, s->relay_us);
    snprintf(member, sizeof member, "%s_server_cpu_us", name);
    report_number(r, member, s->server_us);
    snprintf(member, sizeof member, "%s_check_cpu_us", name);
    report_number(r, member, s->check_us);
}

static void put_delivery(struct report *r, const struct region_delivery *d)
{
    report_number(r, "delivery_rate", d->rate);
    report_number(r, "delivery_accepted_p50_ms", d->accepted_p50_ms);
    report_number(r, "delivery_accepted_p99_ms", d->accepted_p99_ms);
    report_number(r, "delivery_p50_ms", d->p50_ms);
    report_number(r, "delivery_p99_ms", d->p99_ms);
    report_number(r, "delivery_max_ms", d->max_ms);
}

static void put_hold(struct report *r, const struct region_hold *h)
{
    report_number(r, "held_connections", h->connections);
    report_number(r, "held_client_processes", h->clients);
    report_number(r, "held_seconds", h->seconds);
    report_number(r, "held_rate", h->rate);
    report_number(r, "held_accepted_per_s", h->accepted_per_s);
    report_number(r, "held_accepted_p99_ms", h->accepted_p99_ms);
    report_number(r, "held_delivery_p50_ms", h->delivery_p50_ms);
    report_number(r, "held_delivery_p99_ms", h->delivery_p99_ms);
    report_number(r, "held_heard", h->heard);
    report_number(r, "held_missed", h->missed);
    report_number(r, "held_lost", h->lost);
    report_number(r, "connected_per_s", h->connected_per_s);
    report_number(r, "connection_bytes", h->bytes);
    report_number(r, "connection_bytes_worst", h->bytes_worst);
}

static bool wanted(const struct options *o, const char *part)
{
    return !o->part || strcmp(o->part, part) == 0;
}

/* What several relays are asked for. */
struct found {
    struct region_speed one, three;
    struct region_delivery delivery;
    struct region_crash crash;
    struct region_hold hold;
};

static void run_one_relay(struct bench_region *g, const struct options *o, uint64_t n,
                          struct found *f)
{
    say("one relay");
    region_open(g, 1, o);
    region_speed(g, o, n, &f->one);
    region_close(g);
}

static void run_relays(struct bench_region *g, const struct options *o, uint64_t n,
                       struct found *f)
{
    double rate = o->rate ? (double)o->rate : o->quick ? 300 : RATE;
    double seconds = o->seconds > 0 ? o->seconds : o->quick ? 1 : 0;
    size_t each = o->connections ? o->connections : o->quick ? 50 : HOLD_EACH;
    say("%u relays", RELAYS);
    region_open(g, RELAYS, o);
    if (wanted(o, "three"))
        region_speed(g, o, n, &f->three);
    if (wanted(o, "delivery")) {
        say("delivery at %.0f a second", rate);
        region_delivery(g, rate, seconds > 0 ? seconds : DELIVERY_SECONDS,
                        o->quick ? 100 : DELIVERY_ACCOUNTS, &f->delivery);
    }
    if (wanted(o, "crash")) {
        say("a crash");
        region_crash(g, &f->crash);
    }
    if (wanted(o, "hold"))
        region_hold(g, each, rate, seconds > 0 ? seconds : HOLD_SECONDS, &f->hold);
    region_close(g);
}

static void put_wanted(struct report *r, const struct options *o, const struct found *f,
                       double over)
{
    if (!o->part)
        want(r, over >= THREE_RELAYS_FLOOR, "want_three_over_one_1");
    if (wanted(o, "delivery"))
        want(r, f->delivery.p99_ms < DELIVERY_P99_MS, "want_delivery_p99_50_ms");
    if (wanted(o, "crash"))
        want(r, f->crash.last_s < TAKEOVER_SECONDS, "want_takeover_5_s");
    if (!wanted(o, "hold"))
        return;
    want(r, f->hold.bytes_worst <= CONNECTION_BYTES, "want_connection_10_kib");
    want(r, f->hold.lost == 0 && f->hold.missed == 0, "want_held_without_loss");
}

void bench_region(const struct options *o, struct report *r)
{
    static struct bench_region g;
    static struct found f;
    uint64_t n = o->n ? o->n : o->quick ? 2000 : SPEED_ENTRIES;
    if (!region_there()) {
        fprintf(stderr, "stoa-bench: region needs postgresql, redis-server and haproxy\n");
        exit(SKIP);
    }
    if (wanted(o, "one"))
        run_one_relay(&g, o, n, &f);
    if (!o->part || strcmp(o->part, "one") != 0)
        run_relays(&g, o, n, &f);
    double ratio = f.one.limit > 0 ? f.one.per_s / f.one.limit : 0;
    double over = ratio > 0 && f.three.limit > 0 ? f.three.per_s / f.three.limit / ratio : 0;
    report_open(r, "region", "accepted entries/s by one relay on Postgres and Redis",
                BETTER_HIGH);
    report_result(r, f.one.per_s, f.one.limit,
                  "signatures of 500 B entries one core verifies a second");
    report_floor(r, o->quick || !wanted(o, "one") ? 0 : ONE_RELAY_FLOOR, true);
    if (wanted(o, "one"))
        put_speed(r, "one", &f.one);
    if (wanted(o, "three"))
        put_speed(r, "three", &f.three);
    if (!o->part)
        report_number(r, "three_over_one", over);
    if (wanted(o, "delivery"))
        put_delivery(r, &f.delivery);
    if (wanted(o, "crash")) {
        report_number(r, "takeover_slots", f.crash.slots);
        report_number(r, "takeover_first_s", f.crash.first_s);
        report_number(r, "takeover_last_s", f.crash.last_s);
    }
    if (wanted(o, "hold"))
        put_hold(r, &f.hold);
    if (!o->quick)
        put_wanted(r, o, &f, over);
}
