/* sim --seeds N [--from S] [--minutes M] [--fresh N] [--json] [--require-coverage]
 *
 * Runs N seeds from S on in several processes, one world in each; --minutes stops after
 * that time, --fresh adds N seeds taken from the clock, which are printed. A seed that
 * fails tells its story and the command that runs it again. --trace prints the whole
 * story,
 * --twice runs each seed two times and compares, --shrink looks for less that still
 * fails.
 * --without a,b --groups N --entries N run less of a seed; --plant tries the checker. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ledger/trace.h"
#include "drawer.h"
#include "fiber.h"
#include "shrink.h"
#include "town.h"

#define WORKERS_MAX 64

struct run_options {
    struct sim_options sim;
    uint64_t seeds, from, fresh;
    double minutes;
    uint32_t workers;
    bool json, trace, twice, coverage, shrink;
};

/* What a worker tells: a seed begins, has ended well, or has failed. */
enum moment { SEED_BEGINS, SEED_ENDS, SEED_FAILS };
struct report {
    enum moment moment;
    uint64_t seed;
    uint32_t worker;
    struct stats stats;
};
_Static_assert(sizeof(struct report) <= 4096, "a report is written in one piece");

static struct report telling;
static int tell_to = -1;

/* The wallets' files are cleared away even so. */
static volatile sig_atomic_t stopped_by;

static void on_stop(int signal_number)
{
    stopped_by = signal_number;
}

static void tell(enum moment moment)
{
    telling.moment = moment;
    if (write(tell_to, &telling, sizeof telling) != (ssize_t)sizeof telling)
        _exit(2);
}

static void on_abort(int signal_number)
{
    (void)signal_number;
    world_tell();
    tell(SEED_FAILS);
    _exit(1);
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- a worker ---- */

static void run_seed(const struct run_options *o, uint64_t seed, struct stats *stats)
{
    struct sim_options sim = o->sim;
    sim.seed = seed;
    struct hash first = town_run(&sim, stats, o->trace);
    if (!o->twice)
        return;
    struct stats again = {0};
    struct hash second = town_run(&sim, &again, false);
    if (!hash_equal(&first, &second)) {
        fprintf(stderr, "sim: seed %llu ran two ways\n", (unsigned long long)seed);
        tell(SEED_FAILS);
        _exit(1);
    }
}

/* Seeds begun, by all workers together. */
static _Atomic uint64_t *next;

static void work(const struct run_options *o, uint32_t worker, int out, double until)
{
    tell_to = out;
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGABRT, on_abort);
    if (o->trace)
        world_tell_lines = 0;
    for (;;) {
        uint64_t i = atomic_fetch_add(next, 1); /* whoever is free takes the next */
        if (i >= o->seeds || (until > 0 && seconds_now() > until))
            break;
        struct stats stats = {0};
        telling = (struct report){.seed = o->from + i, .worker = worker};
        tell(SEED_BEGINS);
        run_seed(o, telling.seed, &stats);
        fflush(stdout);
        telling.stats = stats;
        tell(SEED_ENDS);
    }
    fiber_close();
    kit_close();
}

/* ---- all of them ---- */

struct workers {
    pid_t pid[WORKERS_MAX];
    uint64_t seed[WORKERS_MAX]; /* that it is at */
    bool stopped;               /* one failed: the others need not go on */
};

static void start_workers(const struct run_options *o, struct workers *w,
                          int pipe_ends[2])
{
    double until = o->minutes > 0 ? seconds_now() + o->minutes * 60 : 0;
    if (next == NULL)
        next = mmap(NULL, sizeof *next, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (next == MAP_FAILED || pipe(pipe_ends) != 0) {
        perror("sim: workers");
        exit(2);
    }
    atomic_store(next, 0);
    fflush(stdout);
    for (uint32_t i = 0; i < o->workers; i++) {
        w->pid[i] = fork();
        if (w->pid[i] < 0) {
            perror("sim: fork");
            exit(2);
        }
        if (w->pid[i] == 0) {
            close(pipe_ends[0]);
            work(o, i, pipe_ends[1], until);
            exit(0);
        }
    }
    close(pipe_ends[1]);
}

static bool read_report(int in, struct report *r)
{
    size_t have = 0;
    while (have < sizeof *r) {
        ssize_t n = read(in, (char *)r + have, sizeof *r - have);
        if (n < 0 && errno == EINTR && stopped_by == 0)
            continue;
        if (n <= 0)
            return false;
        have += (size_t)n;
    }
    return true;
}

static void print_command(const struct sim_options *o, uint64_t seed, const char *more)
{
    fprintf(stderr, "run again: tests/sim/run --seeds 1 --from %llu",
            (unsigned long long)seed);
    shrink_print_options(stderr, o);
    fprintf(stderr, "%s\n", more);
}

static void stop_others(const struct run_options *o, struct workers *w, uint32_t failed)
{
    w->stopped = true;
    for (uint32_t i = 0; i < o->workers; i++)
        if (i != failed)
            kill(w->pid[i], SIGTERM);
}

/* How many seeds failed. */
static unsigned run_all(const struct run_options *o, struct stats *total)
{
    static struct workers w;
    struct report r;
    int pipe_ends[2];
    unsigned failed = 0;
    memset(&w, 0, sizeof w);
    start_workers(o, &w, pipe_ends);
    while (read_report(pipe_ends[0], &r)) {
        w.seed[r.worker] = r.seed;
        if (r.moment == SEED_ENDS)
            stats_add(total, &r.stats);
        else if (r.moment == SEED_FAILS)
            stop_others(o, &w, r.worker);
    }
    close(pipe_ends[0]);
    if (stopped_by != 0)
        stop_others(o, &w, o->workers);
    for (uint32_t i = 0; i < o->workers; i++) {
        int status;
        if (waitpid(w.pid[i], &status, 0) != w.pid[i] || status == 0 ||
            (w.stopped && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM))
            continue;
        failed++;
        fprintf(stderr, "seed %llu failed\n", (unsigned long long)w.seed[i]);
        print_command(&o->sim, w.seed[i], " --trace");
        if (o->shrink) {
            struct sim_options least = o->sim;
            least.seed = w.seed[i];
            shrink(&least);
            fprintf(stderr, "less that fails as well:\n");
            print_command(&least, least.seed, " --trace");
        }
    }
    return failed;
}

/* ---- options ---- */

static const char usage[] =
    "usage: sim --seeds N [--from S] [--minutes M] [--fresh N] [--workers N] [--json]\n"
    "           [--require-coverage] [--trace] [--twice] [--shrink]\n"
    "           [--without fault,..] [--groups N] [--entries N] [--plant NAME]\n";

static uint64_t number(const char *text)
{
    char *end;
    unsigned long long n = strtoull(text, &end, 10);
    if (*text == 0 || *end != 0) {
        fprintf(stderr, "sim: not a number: %s\n", text);
        exit(2);
    }
    return n;
}

static uint64_t faults_named(char *words)
{
    uint64_t mask = 0;
    enum fault f;
    for (char *word = strtok(words, ","); word != NULL; word = strtok(NULL, ",")) {
        if (!fault_from_word(word, &f)) {
            fprintf(stderr, "sim: no such fault: %s\n", word);
            exit(2);
        }
        mask |= UINT64_C(1) << f;
    }
    return mask;
}

static uint32_t plant_named(const char *word)
{
    for (uint32_t i = 0; i < PLANT_COUNT; i++)
        if (strcmp(plant_words[i], word) == 0)
            return i;
    fprintf(stderr, "sim: no such defect: %s\n", word);
    exit(2);
}

/* An option that takes a value; false: there is no such. */
static bool take_value(struct run_options *o, const char *name, char *value)
{
    if (strcmp(name, "--seeds") == 0)
        o->seeds = number(value);
    else if (strcmp(name, "--from") == 0)
        o->from = number(value);
    else if (strcmp(name, "--fresh") == 0)
        o->fresh = number(value);
    else if (strcmp(name, "--minutes") == 0)
        o->minutes = strtod(value, NULL);
    else if (strcmp(name, "--workers") == 0)
        o->workers = (uint32_t)number(value);
    else if (strcmp(name, "--groups") == 0)
        o->sim.groups = (uint32_t)number(value);
    else if (strcmp(name, "--entries") == 0)
        o->sim.entries = (uint32_t)number(value);
    else if (strcmp(name, "--without") == 0)
        o->sim.without = faults_named(value);
    else if (strcmp(name, "--plant") == 0)
        o->sim.plant = plant_named(value);
    else
        return false;
    return true;
}

static bool take_flag(struct run_options *o, const char *name)
{
    bool *flag = strcmp(name, "--json") == 0               ? &o->json
                 : strcmp(name, "--trace") == 0            ? &o->trace
                 : strcmp(name, "--twice") == 0            ? &o->twice
                 : strcmp(name, "--shrink") == 0           ? &o->shrink
                 : strcmp(name, "--require-coverage") == 0 ? &o->coverage
                                                           : NULL;
    if (flag != NULL)
        *flag = true;
    return flag != NULL;
}

static void read_options(struct run_options *o, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (take_flag(o, argv[i]))
            continue;
        if (i + 1 == argc || !take_value(o, argv[i], argv[i + 1])) {
            fputs(usage, stderr);
            exit(2);
        }
        i++;
    }
    if (o->minutes > 0 && o->seeds == 0)
        o->seeds = UINT64_MAX / 2;
    if (o->workers == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        o->workers = cores > 0 ? (uint32_t)cores : 1;
    }
    if (o->workers > WORKERS_MAX)
        o->workers = WORKERS_MAX;
    if (o->trace)
        o->workers = 1;
}

int main(int argc, char **argv)
{
    static struct stats total;
    struct run_options o = {.from = 1};
    read_options(&o, argc, argv);
    trace_init((struct trace_config){.level = TRACE_ERROR, .fd = -1});
    struct sigaction stop = {.sa_handler = on_stop}; /* no SA_RESTART: reading ends */
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    drawer_open();
    double began = seconds_now();
    unsigned failed = run_all(&o, &total);
    if (o.fresh > 0 && failed == 0 && stopped_by == 0) {
        struct run_options more = o;
        more.seeds = o.fresh;
        more.from = (uint64_t)time(NULL) * 1000;
        fprintf(stderr, "fresh seeds: --seeds %llu --from %llu\n",
                (unsigned long long)more.seeds, (unsigned long long)more.from);
        failed = run_all(&more, &total);
    }
    double seconds = seconds_now() - began;
    drawer_close();
    if (stopped_by != 0)
        return 128 + stopped_by;
    if (o.json) /* also when one failed: what the others came to */
        stats_print_json(stdout, &total, o.from, seconds);
    if (failed > 0)
        return 1;
    if (!o.json && !o.trace) {
        printf("%llu seeds from %llu on in %.1f s, %.0f a minute\n",
               (unsigned long long)total.seeds, (unsigned long long)o.from, seconds,
               (double)total.seeds * 60 / (seconds > 0 ? seconds : 1));
        stats_print(stdout, &total);
    }
    return o.coverage && stats_missing(stderr, &total) > 0 ? 3 : 0;
}
