/* A region of three relays, a Postgres behind cutting proxies and a Redis, and people who
 * write all the while. One fault after another, chosen by a seed; after each everything
 * is put right again, and what the people hold is compared with the ledger: region_chaos
 * [--seconds N | --minutes N] [--seed N] [--fault NAME] Exit 0: nothing was lost, doubled
 * or invented; 1: something was, or did not come back. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crypto/sig.h"
#include "tests/integration/postgres/cutter.h"
#include "tests/integration/region/town.h"
#include "tests/lib/clock.h"

#define RELAYS 3u
#define ALL 7u
#define EVERY_SLOT 0xffffu
#define LEASE_MS 1500u
#define HEAL_MS 60000u
#define CUT_BYTES 20000u

struct chaos {
    struct regionproc region;
    struct cutter cut[RELAYS];
    struct town town;
    bool redis;
    bool wrong_clocks;                          /* the library for them is there */
    volatile int64_t *clock_ms[RELAYS];         /* how wrong each is */
    char preload[600], clock_file[RELAYS][620]; /* of their environments */
    volatile unsigned char *full; /* Postgres's disk is; NULL: cannot be made so */
    char full_folder[40], full_preload[120], full_file[120];
    uint64_t seed;
};
static struct chaos all; /* the proxies' threads outlive a failure */

static void nap_ms(uint64_t ms)
{
    struct timespec t = {(time_t)(ms / 1000u), (long)(ms % 1000u) * 1000000L};
    nanosleep(&t, NULL);
}

/* splitmix64 */
static uint64_t draw(struct chaos *c, uint64_t below)
{
    uint64_t z = c->seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (z ^ z >> 31) % below;
}

static struct hubproc *some_relay(struct chaos *c, unsigned *which)
{
    *which = (unsigned)draw(c, RELAYS);
    return &c->region.relay[*which];
}

/* ---- faults ---- */

static void kill_relay(struct chaos *c)
{
    unsigned i;
    struct hubproc *h = some_relay(c, &i);
    hubproc_kill(h);
    town_gone(&c->town, i);
    nap_ms(draw(c, 2 * LEASE_MS));
}

static void kill_two_relays(struct chaos *c)
{
    unsigned i, k = (unsigned)draw(c, RELAYS);
    for (i = 0; i < RELAYS; i++)
        if (i != k) {
            hubproc_kill(&c->region.relay[i]);
            town_gone(&c->town, i);
        }
    nap_ms(draw(c, 2 * LEASE_MS));
}

static void restart_relay(struct chaos *c)
{
    unsigned i;
    struct hubproc *h = some_relay(c, &i);
    hubproc_signal(h, SIGTERM);
    if (hubproc_wait(h, 20000) != 0) {
        printf("  relay %u did not drain\n", i);
        hubproc_kill(h);
    }
    town_gone(&c->town, i);
}

static void stop_relay(struct chaos *c)
{
    unsigned i;
    struct hubproc *h = some_relay(c, &i);
    hubproc_signal(h, SIGSTOP);
    nap_ms(LEASE_MS + draw(c, LEASE_MS));
    hubproc_signal(h, SIGCONT);
}

/* Shorter than its lease: it goes on where it was. */
static void pause_relay(struct chaos *c)
{
    unsigned i;
    struct hubproc *h = some_relay(c, &i);
    hubproc_signal(h, SIGSTOP);
    nap_ms(draw(c, LEASE_MS));
    hubproc_signal(h, SIGCONT);
}

static void crash_postgres(struct chaos *c)
{
    pgproc_stop(&c->region.pg, SIGQUIT);
    nap_ms(draw(c, 2 * LEASE_MS));
}

static void kill_backends(struct chaos *c)
{
    for (int i = 0; i < 5; i++) {
        (void)pgproc_sql(&c->region.pg, REGIONPROC_DATABASE,
                         "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE"
                         " pid <> pg_backend_pid() AND usename IS NOT NULL"
                         " AND random() < 0.5",
                         NULL, 0);
        nap_ms(draw(c, 200));
    }
}

/* Slots locked by somebody else for a while. */
static void lock_slots(struct chaos *c)
{
    (void)pgproc_sql(&c->region.pg, REGIONPROC_DATABASE,
                     "BEGIN; SELECT FROM stoa.slot WHERE slot % 3 = 1 FOR UPDATE;"
                     " SELECT pg_sleep(2); COMMIT",
                     NULL, 0);
}

static void cut_links(struct chaos *c)
{
    struct cutter *x = &c->cut[draw(c, RELAYS)];
    for (int i = 0; i < 12; i++) {
        cutter_arm(x, draw(c, 2) ? CUTTER_TO_SERVER : CUTTER_TO_CLIENT,
                   draw(c, CUT_BYTES));
        nap_ms(draw(c, 200));
    }
}

/* The relay is alone, and does not know: longer than its lease. */
static void part_relay(struct chaos *c)
{
    struct cutter *x = &c->cut[draw(c, RELAYS)];
    atomic_store(&x->held, true);
    nap_ms(LEASE_MS + draw(c, 2 * LEASE_MS));
    atomic_store(&x->held, false);
}

static void kill_redis(struct chaos *c)
{
    redisproc_kill(&c->region.redis);
    nap_ms(draw(c, 2 * LEASE_MS));
}

static void pause_redis(struct chaos *c)
{
    redisproc_pause(&c->region.redis, true);
    nap_ms(draw(c, 3 * LEASE_MS));
    redisproc_pause(&c->region.redis, false);
}

static void flush_redis(struct chaos *c)
{
    for (int i = 0; i < 5; i++) {
        (void)redisproc_command(&c->region.redis, "FLUSHALL", NULL, 0);
        (void)redisproc_command(&c->region.redis, "CLIENT KILL TYPE pubsub", NULL, 0);
        (void)redisproc_command(&c->region.redis, "CLIENT KILL TYPE normal", NULL, 0);
        nap_ms(draw(c, 200));
    }
}

/* Hours, from one moment to the next: it must stop sequencing, and let others. */
static void jump_clock(struct chaos *c)
{
    unsigned i = (unsigned)draw(c, RELAYS);
    *c->clock_ms[i] += (draw(c, 2) ? 1 : -1) * (int64_t)(3600000 + draw(c, 7200000));
    nap_ms(500 + draw(c, LEASE_MS));
    hubproc_signal(&c->region.relay[i], SIGTERM);
    if (hubproc_wait(&c->region.relay[i], 20000) != 0) {
        printf("  relay %u did not drain\n", i);
        hubproc_kill(&c->region.relay[i]);
    }
    town_gone(&c->town, i);
    *c->clock_ms[i] = (int64_t)draw(c, 100000) - 50000; /* wrong, but steadily */
}

/* A commit that finds no room is rolled back by the server, and waits; what finds none for its
 * write-ahead log ends the server, and it does not come up before there is some. */
static void fill_disk(struct chaos *c)
{
    struct pgproc *pg = &c->region.pg;
    int status;
    *c->full = 1;
    if (pgproc_sql(pg, REGIONPROC_DATABASE,
                   "CREATE TABLE public.room AS SELECT repeat('x', 100) FROM"
                   " generate_series(1, 1000); DROP TABLE public.room",
                   NULL, 0))
        printf("  there is room on the disk all the same\n");
    nap_ms(2000 + draw(c, 4 * LEASE_MS));
    *c->full = 0;
    if (waitpid(pg->pid, &status, WNOHANG) == pg->pid) {
        printf("  the server ended for want of room\n");
        pg->pid = 0;
    }
}

static void everything_at_once(struct chaos *c)
{
    unsigned i;
    if (c->redis)
        redisproc_kill(&c->region.redis);
    atomic_store(&c->cut[draw(c, RELAYS)].held, true);
    struct hubproc *h = some_relay(c, &i);
    hubproc_kill(h);
    town_gone(&c->town, i);
    nap_ms(draw(c, LEASE_MS));
    pgproc_stop(&c->region.pg, SIGQUIT);
    nap_ms(draw(c, LEASE_MS));
}

static const struct fault {
    const char *name;
    void (*strike)(struct chaos *c);
    bool redis; /* needs one */
    bool clock; /* needs the library */
    bool disk;  /* needs another one */
} faults[] = {
    {"kill-relay", kill_relay, false, false, false},
    {"stop-relay", stop_relay, false, false, false},
    {"crash-postgres", crash_postgres, false, false, false},
    {"cut-links", cut_links, false, false, false},
    {"kill-redis", kill_redis, true, false, false},
    {"part-relay", part_relay, false, false, false},
    {"restart-relay", restart_relay, false, false, false},
    {"kill-two-relays", kill_two_relays, false, false, false},
    {"kill-backends", kill_backends, false, false, false},
    {"pause-relay", pause_relay, false, false, false},
    {"pause-redis", pause_redis, true, false, false},
    {"flush-redis", flush_redis, true, false, false},
    {"lock-slots", lock_slots, false, false, false},
    {"jump-clock", jump_clock, false, true, false},
    {"fill-disk", fill_disk, false, false, true},
    {"everything", everything_at_once, false, false, false},
};
#define FAULTS (sizeof faults / sizeof *faults)

/* ---- after each ---- */

static bool failed(struct chaos *c, const char *what)
{
    for (unsigned i = 0; i < RELAYS; i++) {
        int code = c->region.relay[i].pid ? hubproc_wait(&c->region.relay[i], 0) : -1;
        if (code >= 0)
            printf("  relay %u has ended by itself: %d\n", i, code);
    }
    printf("FAILED: %s: %s%s%s\n", what, c->town.why, c->town.why[0] ? "; " : "",
           c->region.why[0] ? c->region.why : c->region.pg.why);
    return false;
}

static bool heal(struct chaos *c)
{
    struct regionproc *r = &c->region;
    if (r->pg.pid == 0 && !pgproc_start(&r->pg))
        return failed(c, "postgres does not start");
    if (c->redis && r->redis.pid == 0 && !redisproc_start(&r->redis))
        return failed(c, "redis does not start");
    for (unsigned i = 0; i < RELAYS; i++) {
        cutter_disarm(&c->cut[i]);
        atomic_store(&c->cut[i].held, false);
        int code = r->relay[i].pid ? hubproc_wait(&r->relay[i], 0) : -1;
        if (code >= 0) {
            printf("  relay %u has ended by itself: %d\n", i, code);
            return failed(c, "a relay gave up");
        }
    }
    if (!regionproc_start_all(r))
        return failed(c, "a relay does not start");
    town_ports(&c->town);
    return true;
}

/* Everybody writes again, the shares are fair, and all that was said is true. */
static bool verdict(struct chaos *c, const char *fault, uint64_t began)
{
    uint64_t healed = mono_ms();
    if (!heal(c))
        return false;
    town_mark(&c->town);
    if (town_waited(&c->town, EVERY_SLOT, HEAL_MS) == UINT64_MAX)
        return failed(c, town_waiting(&c->town, EVERY_SLOT));
    uint64_t writing = mono_ms();
    if (!regionproc_settled(&c->region, ALL, HEAL_MS))
        return failed(c, "shares");
    uint64_t fair = mono_ms();
    if (!town_stop(&c->town) || !town_settled(&c->town, HEAL_MS) ||
        !town_verify(&c->town) || !town_audit(&c->town))
        return failed(c, "verdict");
    printf("%-16s %5llu ms of it, writing after %5llu ms, fair after %5llu ms, true after"
           " %5llu ms; %llu receipts\n",
           fault, (unsigned long long)(healed - began),
           (unsigned long long)(writing - healed), (unsigned long long)(fair - healed),
           (unsigned long long)(mono_ms() - fair),
           (unsigned long long)town_receipts(&c->town));
    fflush(stdout);
    return true;
}

static bool strike(struct chaos *c, const struct fault *f)
{
    town_ports(&c->town);
    if (!town_start(&c->town))
        return failed(c, "start");
    nap_ms(300 + draw(c, 500));
    uint64_t began = mono_ms();
    f->strike(c);
    return verdict(c, f->name, began);
}

/* Each relay has a clock that can be put wrong, where such a library can be preloaded. */
#ifdef STOA_WRONG_CLOCK
static bool give_clocks(struct chaos *c)
{
    static const char program[] = "env";
    for (unsigned i = 0; i < RELAYS; i++) {
        struct hubproc *h = &c->region.relay[i];
        char path[600];
        int64_t zero = 0;
        snprintf(path, sizeof path, "%s/clock", h->dir);
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0 || write(fd, &zero, sizeof zero) != (ssize_t)sizeof zero)
            return failed(c, "no clock file");
        void *page = mmap(NULL, sizeof zero, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
        if (page == MAP_FAILED)
            return failed(c, "no clock page");
        c->clock_ms[i] = page;
        snprintf(c->preload, sizeof c->preload, "LD_PRELOAD=" STOA_WRONG_CLOCK);
        snprintf(c->clock_file[i], sizeof c->clock_file[i], "STOA_WRONG_CLOCK=%s", path);
        h->wrap[0] = program;
        h->wrap[1] = c->preload;
        h->wrap[2] = c->clock_file[i];
    }
    c->wrong_clocks = true;
    return true;
}
#else
static bool give_clocks(struct chaos *c)
{
    c->wrong_clocks = false;
    return true;
}
#endif

/* Postgres has a disk that can be full: a library beside a page, where its user can read both. */
#ifdef STOA_FULL_DISK
static bool copy_file(const char *from, const char *to)
{
    char piece[65536];
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    ssize_t n = in < 0 || out < 0 ? -1 : 1;
    while (n > 0 && (n = read(in, piece, sizeof piece)) > 0)
        n = write(out, piece, (size_t)n) == n ? n : -1;
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return n == 0;
}

static bool give_disk(struct chaos *c)
{
    char library[80], page[80];
    snprintf(c->full_folder, sizeof c->full_folder, "/tmp/stoa-full-XXXXXX");
    if (mkdtemp(c->full_folder) == NULL || chmod(c->full_folder, 0755) != 0)
        return failed(c, "no folder for the disk");
    snprintf(library, sizeof library, "%s/library.so", c->full_folder);
    snprintf(page, sizeof page, "%s/page", c->full_folder);
    int fd = open(page, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (!copy_file(STOA_FULL_DISK, library) || fd < 0 || write(fd, "", 1) != 1 ||
        fchmod(fd, 0644) != 0)
        return failed(c, "no page for the disk");
    void *at = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        return failed(c, "no page for the disk");
    c->full = at;
    snprintf(c->full_preload, sizeof c->full_preload, "LD_PRELOAD=%s", library);
    snprintf(c->full_file, sizeof c->full_file, "STOA_FULL_DISK=%s", page);
    c->region.pg.env[0] = c->full_preload;
    c->region.pg.env[1] = c->full_file;
    return true;
}

static void take_disk(struct chaos *c)
{
    char path[80];
    snprintf(path, sizeof path, "%s/library.so", c->full_folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/page", c->full_folder);
    unlink(path);
    rmdir(c->full_folder);
}
#else
static bool give_disk(struct chaos *c)
{
    c->full = NULL;
    return true;
}

static void take_disk(struct chaos *c)
{
    (void)c;
}
#endif

static bool begin(struct chaos *c)
{
    struct regionproc *r = &c->region;
    c->redis = r->with_redis = redisproc_there();
    r->lease_ms = LEASE_MS;
    if (!give_disk(c))
        return false;
    if (!regionproc_open(r, RELAYS))
        return failed(c, "the region does not open");
    for (unsigned i = 0; i < RELAYS; i++) {
        if (!cutter_open(&c->cut[i], r->pg.port))
            return failed(c, "no proxy");
        regionproc_through(r, i, c->cut[i].port);
    }
    if (!give_clocks(c) || !regionproc_start_all(r) ||
        !regionproc_settled(r, ALL, HEAL_MS) ||
        !town_open(&c->town, r, TOWN_PEOPLE, c->seed & 0xffff))
        return failed(c, "the region does not start");
    return true;
}

static int run(struct chaos *c, uint64_t ms, const char *only)
{
    uint64_t end = mono_ms() + ms;
    unsigned rounds = 0;
    size_t turn = (size_t)draw(c, FAULTS);
    bool ok = begin(c);
    for (; ok && (rounds == 0 || mono_ms() < end); turn++) {
        const struct fault *f = &faults[turn % FAULTS];
        if ((f->redis && !c->redis) || (f->clock && !c->wrong_clocks) ||
            (f->disk && c->full == NULL) ||
            (only != NULL && strcmp(only, f->name) != 0))
            continue;
        ok = strike(c, f);
        rounds++;
    }
    printf("%s: %u faults, %llu receipts, %llu reconnects, %llu times \"later\"\n",
           ok ? "GOOD" : "FAILED", rounds, (unsigned long long)town_receipts(&c->town),
           (unsigned long long)town_reconnects(&c->town),
           (unsigned long long)town_refused(&c->town));
    town_close(&c->town);
    regionproc_close(&c->region);
    for (unsigned i = 0; i < RELAYS && c->cut[i].port; i++)
        cutter_close(&c->cut[i]);
    take_disk(c);
    return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct chaos *c = &all;
    uint64_t ms = 30000;
    const char *only = NULL;
    c->seed = 1;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--minutes") == 0)
            ms = strtoull(argv[i + 1], NULL, 10) * 60000u;
        else if (strcmp(argv[i], "--seconds") == 0)
            ms = strtoull(argv[i + 1], NULL, 10) * 1000u;
        else if (strcmp(argv[i], "--seed") == 0)
            c->seed = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--fault") == 0)
            only = argv[i + 1];
    }
    if (!pgproc_there()) {
        puts("skipped: no postgres");
        return 77;
    }
    signal(SIGPIPE, SIG_IGN);
    printf("seed %llu\n", (unsigned long long)c->seed);
    return crypto_start() ? run(c, ms, only) : 1;
}
