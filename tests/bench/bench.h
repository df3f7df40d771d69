/* stoa-bench: what the hub and the checks cost, each beside a limit measured in the same run.
 * Everything here is for measuring: what cannot go on ends the program with a sentence. */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "ledger/err.h"

#define BENCH_MEMBERS_MAX 48
#define BENCH_NOTE_BYTES 500 /* of an envelope, signature included */

struct options {
    const char *what;
    bool json;
    bool quick;     /* small: does it work? */
    bool transfers; /* submit */
    double seconds; /* 0: the benchmark's own */
    uint64_t n;
    uint64_t rate; /* submit: entries a second, open loop; 0: closed loop */
    unsigned connections, inflight;
    unsigned frame; /* entries in one SUBMIT at most */
    unsigned threads;
    const char *part; /* region: one of its parts; NULL: all */
    const char *hub_settings[16]; /* key=value for stoad */
    unsigned hub_setting_count;
};

/* What came out: the figure, the limit of this machine in this run, and details. */
enum better { BETTER_HIGH, BETTER_LOW };
struct figure {
    char name[40];
    double number;
    char text[64]; /* instead of the number when not empty */
};
struct report {
    char what[32];
    const char *unit;
    const char *limit_is; /* in words */
    enum better better;
    double value, limit, ratio;
    double floor;        /* of the ratio or of the value */
    bool floor_of_ratio;
    size_t count;
    struct figure members[BENCH_MEMBERS_MAX];
};
void report_open(struct report *r, const char *what, const char *unit, enum better better);
void report_result(struct report *r, double value, double limit, const char *limit_is);
void report_floor(struct report *r, double floor, bool of_ratio);
void report_number(struct report *r, const char *name, double number);
void report_text(struct report *r, const char *name, const char *text);
bool report_met(const struct report *r);
void report_print(const struct report *r, bool json);

/* Ends the program: 1, with a sentence on standard error. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
void need(enum err e, const char *what);
/* On standard error, unless --json. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void say_nothing(void);
/* Called by die before it ends the program: end the child, remove its folder. */
void on_die(void (*fn)(void));

/* On a signal, or when the time is over, do as die does. */
void end_in_time(unsigned seconds);

uint64_t now_ns(void);
uint64_t wall_ms(void);
double seconds_since(uint64_t ns);
void *take(size_t size); /* zeroed, or die */
/* Run fn(context, i) for i < count on `threads` threads (0: one a core), in any order. */
void in_parallel(size_t count, unsigned threads, void (*fn)(void *context, size_t i),
                 void *context);
unsigned cores(void);
double cpu_seconds_of(int pid); /* user and system so far; 0: own process */

/* Percentiles of samples; sorts them. p in 0..1. */
double percentile(uint64_t samples[], size_t count, double p);

struct tempdir {
    char path[256];
};
void tempdir_make(struct tempdir *t);
void tempdir_remove(struct tempdir *t);
uint64_t folder_bytes(const char *path, const char *prefix); /* of files whose name starts so */

/* One core's rate of checking signatures of BENCH_NOTE_BYTES entries, for `seconds`. */
double limit_verify(double seconds, unsigned threads);
double limit_verify_us(void); /* processor time of one check in the last such measurement */
/* Sequential appends of `bytes` each with fdatasync: milliseconds at p50 and p99. */
void limit_fdatasync(const char *folder, size_t bytes, double seconds, double *p50, double *p99);
/* The same now and then beside something else, in a thread, until told to stop. */
struct disk_probe;
struct disk_probe *disk_probe_start(const char *folder, size_t bytes);
void disk_probe_stop(struct disk_probe *p, double *p50, double *p99);

typedef void bench_fn(const struct options *o, struct report *r);
bench_fn bench_submit, bench_submit_core, bench_verify, bench_fanout, bench_connections,
    bench_recover, bench_audit, bench_footprint, bench_store, bench_region, bench_overload;

#endif
