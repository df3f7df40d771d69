/* stoa-bench <what> [--json] [options]. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "crypto/sig.h"
#include "tests/bench/region.h"

#define RUN_SECONDS_MAX 3600u

struct benchmark {
    const char *name;
    bench_fn *run;
    const char *help;
};

static const struct benchmark benchmarks[] = {
    {"submit", bench_submit,
     "notes of 500 bytes into a real hub; --transfers: payments, counted when credited; "
     "--rate N: at fixed times"},
    {"verify", bench_verify, "a whole ledger checked: full, tip, and one account"},
    {"audit", bench_audit, "stoa-audit on a hub's file: full, by tips, only what is new"},
    {"fanout", bench_fanout, "one publisher to 100 subscribers"},
    {"connections", bench_connections, "memory of a connection with a live subscription"},
    {"recover", bench_recover, "start after kill -9, with a snapshot and without"},
    {"footprint", bench_footprint, "bytes on disk of a record, hub and client"},
    {"store", bench_store, "appends to SQLite alone"},
    {"overload", bench_overload,
     "ten times the clients: what is still accepted, what the rest is told, the way back"},
    {"region", bench_region,
     "relays on Postgres and Redis: one, three, delivery, a crash, 30,000 connections"},
    {"submit-core", bench_submit_core, "checks, sequencer and SQLite without a network"},
};

static void usage(FILE *f)
{
    fprintf(f, "usage: stoa-bench <what> [--json] [--quick] [--seconds S] [--n N]\n"
               "       [--connections N] [--inflight N] [--frame N] [--threads N]\n"
               "       [--transfers] [--rate N] [--part NAME] [--hub section.key=value]..\n\n");
    for (size_t i = 0; i < sizeof benchmarks / sizeof benchmarks[0]; i++)
        fprintf(f, "  %-12s %s\n", benchmarks[i].name, benchmarks[i].help);
    fprintf(f, "  %-12s %s\n", "all", "everything, with a table at the end");
}

static const char *value_of(int argc, char **argv, int *i)
{
    if (*i + 1 >= argc) {
        fprintf(stderr, "stoa-bench: %s needs a value\n", argv[*i]);
        exit(64);
    }
    return argv[++*i];
}

static bool take_flag(struct options *o, const char *arg)
{
    if (strcmp(arg, "--json") == 0)
        o->json = true;
    else if (strcmp(arg, "--quick") == 0)
        o->quick = true;
    else if (strcmp(arg, "--transfers") == 0)
        o->transfers = true;
    else
        return false;
    return true;
}

static bool take_option(struct options *o, int argc, char **argv, int *i)
{
    const char *arg = argv[*i];
    if (strcmp(arg, "--seconds") == 0)
        o->seconds = atof(value_of(argc, argv, i));
    else if (strcmp(arg, "--n") == 0)
        o->n = strtoull(value_of(argc, argv, i), NULL, 10);
    else if (strcmp(arg, "--rate") == 0)
        o->rate = strtoull(value_of(argc, argv, i), NULL, 10);
    else if (strcmp(arg, "--connections") == 0)
        o->connections = (unsigned)strtoul(value_of(argc, argv, i), NULL, 10);
    else if (strcmp(arg, "--inflight") == 0)
        o->inflight = (unsigned)strtoul(value_of(argc, argv, i), NULL, 10);
    else if (strcmp(arg, "--frame") == 0)
        o->frame = (unsigned)strtoul(value_of(argc, argv, i), NULL, 10);
    else if (strcmp(arg, "--threads") == 0)
        o->threads = (unsigned)strtoul(value_of(argc, argv, i), NULL, 10);
    else if (strcmp(arg, "--part") == 0)
        o->part = value_of(argc, argv, i);
    else if (strcmp(arg, "--hub") == 0 && o->hub_setting_count < 16)
        o->hub_settings[o->hub_setting_count++] = value_of(argc, argv, i);
    else
        return false;
    return true;
}

static void run_one(const struct options *o, const struct benchmark *b, struct report *out)
{
    say("%s", b->name);
    b->run(o, out);
    report_print(out, o->json);
}

/* Submit three ways, then the rest; a table at the end. */
static int run_all(const struct options *o)
{
    static struct report reports[16];
    size_t count = 0;
    struct options way = *o;
    bool met = true;
    for (size_t i = 0; i < sizeof benchmarks / sizeof benchmarks[0]; i++) {
        way = *o;
        if (benchmarks[i].run == bench_region && !region_there()) {
            say("region left out: no postgresql, redis-server or haproxy");
            continue;
        }
        run_one(&way, &benchmarks[i], &reports[count++]);
        if (benchmarks[i].run != bench_submit)
            continue;
        way.transfers = true;
        run_one(&way, &benchmarks[i], &reports[count++]);
        way.transfers = false;
        way.rate = o->quick ? 500 : 5000;
        run_one(&way, &benchmarks[i], &reports[count++]);
    }
    if (!o->json)
        printf("\n%-18s %14s %14s %8s %8s  %s\n", "what", "value", "limit", "ratio", "floor",
               "unit");
    for (size_t i = 0; i < count; i++) {
        const struct report *r = &reports[i];
        met = met && report_met(r);
        if (!o->json)
            printf("%-18s %14.2f %14.2f %8.3f %8.2f  %s%s\n", r->what, r->value, r->limit,
                   r->ratio, r->floor, r->unit, report_met(r) ? "" : "  NOT MET");
    }
    return met ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct options o = {0};
    struct rlimit files;
    for (int i = 1; i < argc; i++) {
        if (take_flag(&o, argv[i]) || take_option(&o, argc, argv, &i))
            continue;
        if (argv[i][0] == '-' || o.what) {
            usage(strcmp(argv[i], "--help") == 0 ? stdout : stderr);
            return strcmp(argv[i], "--help") == 0 ? 0 : 64;
        }
        o.what = argv[i];
    }
    if (!o.what) {
        usage(stderr);
        return 64;
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    if (o.json)
        say_nothing();
    end_in_time(RUN_SECONDS_MAX + (unsigned)o.seconds);
    if (!crypto_start())
        die("crypto does not start");
    if (strcmp(o.what, "all") == 0)
        return run_all(&o);
    for (size_t i = 0; i < sizeof benchmarks / sizeof benchmarks[0]; i++)
        if (strcmp(o.what, benchmarks[i].name) == 0) {
            static struct report r;
            run_one(&o, &benchmarks[i], &r);
            return 0;
        }
    fprintf(stderr, "stoa-bench: there is no benchmark \"%s\"\n", o.what);
    usage(stderr);
    return 64;
}
