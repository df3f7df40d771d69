/* crash_table [--turns N] [--only NAME] [--list]
 *
 * Every failpoint x every way to fail there x its 1st .. N-th turn, on a real stoad with
 * SQLite: the hub dies or fails, is started again (and, part of the time, killed while it
 * recovers), and recording clients hold it to every word it gave before. One ledger goes
 * through all of it. Every turn has to come, but for points that say why a process passes
 * them once, and those must not come again. Ends with 1 at the first thing that is wrong. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ledger/failpoint.h"
#include "tests/crash/recorder.h"
#include "tests/lib/clock.h"

#define ROUNDS 3
#define ROUNDS_MORE 60 /* as long as the turn did not come */
#define ROUND_MS 50
#define RESTART_MS 5000
#define ENDS_MS 10000
#define EXIT_BROKEN 70
#define EXIT_CONFIG 78

struct table {
    struct hubproc hub;
    struct recorder r;
    char mark[512];
    unsigned long turns, cases, reached, once, ended, deaths_in_recovery;
    const char *only;
    uint64_t slowest_ms;
};

static const char *const modes[] = {"kill", "fail", "happened", "full", "io"};

static size_t mode_count(enum failpoint_kind k)
{
    return k == FAILPOINT_PASS ? 1 : k == FAILPOINT_STEP ? 3 : 5;
}

static void arm(struct table *t, const char *name, unsigned long turn, const char *mode)
{
    char text[128];
    snprintf(text, sizeof text, "%s:%lu:%s", name, turn, mode);
    (void)unlink(t->mark);
    setenv("STOA_FAILPOINT", text, 1);
    setenv("STOA_FAILPOINT_MARK", t->mark, 1);
}

static bool came(const struct table *t)
{
    struct stat s;
    return stat(t->mark, &s) == 0 && s.st_size > 0;
}

static bool disarm(struct table *t)
{
    unsetenv("STOA_FAILPOINT");
    return came(t);
}

static bool start_clean(struct table *t)
{
    uint64_t began = mono_ms();
    if (!hubproc_start(&t->hub)) {
        snprintf(t->r.why, sizeof t->r.why, "does not start again: %.300s", t->hub.why);
        return false;
    }
    uint64_t took = mono_ms() - began;
    t->slowest_ms = took > t->slowest_ms ? took : t->slowest_ms;
    if (took <= RESTART_MS)
        return true;
    snprintf(t->r.why, sizeof t->r.why, "took %llu ms to start again",
             (unsigned long long)took);
    return false;
}

/* An I/O error in the middle of the work makes the whole database suspect: the hub ends, by
 * itself, and says so. */
static bool ends_by_itself(struct table *t)
{
    int code = hubproc_wait(&t->hub, ENDS_MS);
    t->ended += code == EXIT_BROKEN;
    if (code == EXIT_BROKEN)
        return true;
    snprintf(t->r.why, sizeof t->r.why,
             code < 0 ? "goes on after an I/O error" : "ended with %d after an I/O error",
             code);
    return false;
}

/* Told to stop, or already ending by itself, when a second signal ends it at once: any end
 * but a crash of its own will do. */
static bool end_armed(struct table *t)
{
    if (t->hub.pid <= 0)
        return true;
    hubproc_signal(&t->hub, SIGTERM);
    int code = hubproc_wait(&t->hub, 20000);
    if (code == 0 || code == EXIT_BROKEN || code == 128 + SIGKILL || code == 128 + SIGTERM)
        return true;
    snprintf(t->r.why, sizeof t->r.why, "ended with %d", code);
    return false;
}

/* Killed once more on its way up, now that there is something to recover. */
static bool die_recovering(struct table *t)
{
    static const char *const points[] = {"open.settle.done", "claim.done",
                                         "recover.claimed",  "recover.replayed",
                                         "recover.ready",    "maintain.reset.done"};
    unsigned long n = t->cases;
    arm(t, points[n % (sizeof points / sizeof *points)], 1 + n / 7 % 3, "kill");
    if (hubproc_start(&t->hub) && hubproc_wait(&t->hub, 300) < 0)
        hubproc_kill(&t->hub);
    t->deaths_in_recovery += disarm(t);
    return true;
}

/* A few rounds, and more of them until the hub has come there. */
static bool work(struct table *t, const struct failpoint *p)
{
    static const struct timespec nap = {0, ROUND_MS * 1000000L};
    bool ok = recorder_work(&t->r, ROUNDS);
    for (unsigned i = 0; ok && i < ROUNDS_MORE && !p->once && !came(t); i++) {
        nanosleep(&nap, NULL); /* housekeeping has a clock of its own */
        ok = recorder_work(&t->r, 1);
    }
    return ok;
}

static bool run_case(struct table *t, const struct failpoint *p, const char *mode,
                     unsigned long turn, bool *hit)
{
    recorder_blurt(&t->r); /* something to recover */
    hubproc_kill(&t->hub);
    arm(t, p->name, turn, mode);
    bool ok = true;
    if (hubproc_start(&t->hub)) {
        if ((p->phases & (FAILPOINT_WORK | FAILPOINT_DRAIN)) != 0)
            ok = work(t, p);
        if (ok && p->phases == FAILPOINT_WORK && strcmp(mode, "io") == 0 && came(t))
            ok = ends_by_itself(t);
        ok = end_armed(t) && ok;
    }
    *hit = disarm(t);
    if (ok && *hit && strcmp(mode, "kill") == 0)
        ok = die_recovering(t);
    return ok && start_clean(t) && recorder_resolve(&t->r) && recorder_verify(&t->r);
}

static int finding(const struct table *t, const char *name, const char *mode,
                   unsigned long turn)
{
    printf("FOUND %s:%lu:%s: %s\n", name, turn, mode, t->r.why);
    return 1;
}

/* What is listed as coming once must not come again: else the list hides cases. */
static int run_once_more(struct table *t, const struct failpoint *p)
{
    bool hit = false;
    t->once++;
    bool ok = run_case(t, p, modes[0], 2, &hit);
    if (ok && !hit)
        return 0;
    if (ok)
        snprintf(t->r.why, sizeof t->r.why, "came again, though %s", p->once);
    return finding(t, p->name, modes[0], 2);
}

static int run_point(struct table *t, const struct failpoint *p)
{
    for (size_t m = 0; m < mode_count(p->kind); m++) {
        for (unsigned long turn = 1; turn <= (p->once ? 1 : t->turns); turn++) {
            bool hit = false;
            t->cases++;
            if (!run_case(t, p, modes[m], turn, &hit))
                return finding(t, p->name, modes[m], turn);
            t->reached += hit;
            if (hit)
                continue;
            snprintf(t->r.why, sizeof t->r.why, "the hub never came there");
            return finding(t, p->name, modes[m], turn);
        }
    }
    return p->once && t->turns > 1 ? run_once_more(t, p) : 0;
}

/* ---- init ---- */

/* Whatever an init that was cut short leaves: what runs is whole, what is not is refused
 * with a word, and after it is cleared away a new one works. */
static int run_init(struct table *t, const struct failpoint *p, const char *mode)
{
    static const char *const init[] = {"init", "--quick-keys", "--slots", "4", NULL};
    struct hubproc h;
    char err[2000];
    t->cases++;
    if (!hubproc_open(&h, false))
        return 1;
    arm(t, p->name, 1, mode);
    (void)hubproc_run(&h, init, err, sizeof err);
    bool hit = disarm(t), ok = hit;
    t->reached += hit;
    snprintf(t->r.why, sizeof t->r.why, "the hub never came there");
    if (hit && hubproc_start(&h)) {
        struct wirekit k; /* it was complete: every log has its first record */
        ok = wirekit_open(&k, h.port, NULL);
        for (uint32_t slot = 0; ok && slot < k.hub.slots; slot++)
            ok = k.note_size[slot] > 0;
        snprintf(t->r.why, sizeof t->r.why, "half a hub runs");
        wirekit_close(&k);
    } else if (hit) {
        static const char *const run[] = {"run", NULL};
        int code = hubproc_run(&h, run, err, sizeof err);
        ok = (code == EXIT_CONFIG || code == EXIT_BROKEN) && strstr(err, "error[T") != NULL;
        snprintf(t->r.why, sizeof t->r.why, "run after it: %d %.200s", code, err);
    }
    hubproc_close(&h);
    if (!ok)
        return finding(t, p->name, mode, 1);
    t->r.why[0] = 0;
    return 0;
}

/* ---- all ---- */

static bool set_up(struct table *t)
{
    static const char *const init[] = {"init", "--quick-keys", "--slots", "4", NULL};
    char err[1000];
    if (!hubproc_open(&t->hub, false))
        return false;
    hubproc_set(&t->hub, "commit.snapshot_every_records=100");
    hubproc_set(&t->hub, "log.level=error");
    hubproc_path(&t->hub, "mark", t->mark);
    if (hubproc_run(&t->hub, init, err, sizeof err) != 0 || !hubproc_start(&t->hub)) {
        printf("no hub: %s %s\n", err, t->hub.why);
        return false;
    }
    return recorder_begin(&t->r, &t->hub) && recorder_verify(&t->r);
}

static int run_all(struct table *t)
{
    for (const struct failpoint *p = failpoints; p->name; p++) {
        uint64_t began = mono_ms();
        unsigned long before = t->cases;
        if ((t->only && strcmp(t->only, p->name) != 0) ||
            p->phases == FAILPOINT_WITNESS) /* tests/integration/witness */
            continue;
        if (p->phases == FAILPOINT_INIT) {
            for (size_t m = 0; m < mode_count(p->kind); m++)
                if (run_init(t, p, modes[m]) != 0)
                    return 1;
        } else if (run_point(t, p) != 0) {
            return 1;
        }
        printf("%-24s %3lu cases %6llu ms\n", p->name, t->cases - before,
               (unsigned long long)(mono_ms() - began));
        fflush(stdout);
    }
    if (!recorder_verify_whole(&t->r))
        return finding(t, "the whole log", "end", 0);
    return 0;
}

static int list_points(void)
{
    for (const struct failpoint *p = failpoints; p->name; p++)
        printf("%s%s%s\n", p->name, p->once ? ": once, " : "", p->once ? p->once : "");
    return 0;
}

int main(int argc, char **argv)
{
    static struct table t = {.turns = 3};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--list") == 0)
            return list_points();
        if (i + 1 < argc && strcmp(argv[i], "--turns") == 0)
            t.turns = strtoul(argv[++i], NULL, 10);
        else if (i + 1 < argc && strcmp(argv[i], "--only") == 0)
            t.only = argv[++i];
        else {
            fprintf(stderr, "usage: crash_table [--turns N] [--only NAME] [--list]\n");
            return 2;
        }
    }
    if (!crypto_start())
        return 1;
    signal(SIGPIPE, SIG_IGN);
    int code = set_up(&t) ? run_all(&t) : 1;
    if (code != 0 && t.r.why[0])
        printf("%s\n", t.r.why);
    printf("cases %lu, reached %lu, not come again %lu, ended by themselves %lu, "
           "killed while recovering %lu, slowest start %llu ms\n",
           t.cases, t.reached, t.once, t.ended, t.deaths_in_recovery,
           (unsigned long long)t.slowest_ms);
    printf("acknowledgements %llu, checkpoints %llu, records read back %llu\n",
           (unsigned long long)t.r.acks, (unsigned long long)t.r.checkpoints,
           (unsigned long long)t.r.records);
    recorder_end(&t.r);
    hubproc_close(&t.hub);
    return code;
}
