/* The auditor's program on a hub's own file: everything checked, by tips, and what is new. It is
 * run as a user runs it, so start, reading and the report count too. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crypto/keyfile.h"
#include "tests/bench/ledgerfile.h"

#define RECORDS 1000000u
#define ACCOUNTS 2000u
#define SUFFIX 20000u
#define LOOK_NS 2000000
#define TIP_RUNS 3

extern char **environ;

struct run {
    double seconds, cpu_s;
    double peak_mib;
};

static void program(char out[1024])
{
    ssize_t n = readlink("/proc/self/exe", out, 900);
    char *slash = n > 0 ? memrchr(out, '/', (size_t)n) : NULL;
    if (!slash)
        die("where is this program?");
    strcpy(slash + 1, "stoa-audit");
    if (access(out, X_OK) != 0)
        die("%s is not built: cmake --build build --target stoa_audit", out);
}

/* The largest it has been, as far as it is still there to be asked. (What wait4 tells includes
 * this program's own size, from before the exec.) */
static double peak_of(pid_t pid, double before)
{
    char path[64], line[256];
    unsigned long kib;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %lu kB", &kib) == 1 && (double)kib / 1024 > before)
            before = (double)kib / 1024;
    if (f)
        fclose(f);
    return before;
}

static double cpu_of(const struct timeval *t)
{
    return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

/* stoa-audit verify DB ..: must end with 0. */
static struct run audit(const char *db, const char *policy, const char *more, const char *value)
{
    char path[1024];
    program(path);
    char *argv[] = {path,           (char *)"verify",       (char *)(uintptr_t)db,
                    (char *)"--policy", (char *)(uintptr_t)policy, (char *)"--quiet",
                    (char *)(uintptr_t)more, (char *)(uintptr_t)value, NULL};
    posix_spawn_file_actions_t files;
    pid_t pid;
    int status;
    double peak = 0;
    struct rusage used;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    uint64_t began = now_ns();
    if (posix_spawn(&pid, path, &files, NULL, argv, environ) != 0)
        die("stoa-audit cannot be started");
    for (pid_t over = 0; over == 0;) {
        const struct timespec pause = {.tv_nsec = LOOK_NS};
        over = wait4(pid, &status, WNOHANG, &used);
        if (over < 0 && errno != EINTR)
            die("stoa-audit cannot be waited for");
        if (over <= 0)
            peak = peak_of(pid, peak);
        if (over == 0)
            (void)nanosleep(&pause, NULL);
    }
    posix_spawn_file_actions_destroy(&files);
    struct run r = {.seconds = seconds_since(began),
                    .cpu_s = cpu_of(&used.ru_utime) + cpu_of(&used.ru_stime),
                    .peak_mib = peak};
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        die("stoa-audit %s ended with %d", more, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    return r;
}

static int by_seconds(const void *a, const void *b)
{
    const struct run *x = a, *y = b;
    return (x->seconds > y->seconds) - (x->seconds < y->seconds);
}

/* One by tips is short beside what else a machine does: the one in the middle of three. */
static struct run audit_tips(const char *db, const char *policy)
{
    struct run r[TIP_RUNS];
    for (size_t i = 0; i < TIP_RUNS; i++)
        r[i] = audit(db, policy, "--tip", NULL);
    qsort(r, TIP_RUNS, sizeof r[0], by_seconds);
    return r[TIP_RUNS / 2];
}

/* The policy that the hub's own keys make. */
static void write_policy(const struct bench_hub *h, const char *path)
{
    char key[512], text[VKEY_TEXT_MAX], origin[160];
    struct pubkey pub;
    struct vkey v;
    bool encrypted;
    snprintf(key, sizeof key, "%s/log.key", h->keys);
    FILE *f = fopen(path, "we");
    if (!f || keyfile_load_public(key, &pub, NULL, &encrypted) != KEYFILE_OK)
        die("no policy from %s", key);
    for (unsigned i = 0; i < 16; i++) {
        snprintf(origin, sizeof origin, "%s/%02x", h->name[0] ? h->name : "local", i);
        if (!vkey_make(&v, origin, NOTE_ED25519, &pub) ||
            !vkey_format(&v, text, sizeof text))
            die("no log key for %s", origin);
        fprintf(f, "log %s\n", text);
    }
    fprintf(f, "quorum none\n");
    if (fclose(f) != 0)
        die("%s cannot be written", path);
}

void bench_audit(const struct options *o, struct report *r)
{
    struct bench_hub h;
    struct ledgerfile ledger;
    struct tempdir t;
    char db[500], policy[300], state[300];
    uint64_t records = o->n ? o->n : o->quick ? 5000 : RECORDS;
    size_t accounts = o->quick ? 50 : ACCOUNTS;
    double slice = o->quick ? 0.2 : 3;
    hub_init(&h, o);
    tempdir_make(&t);
    snprintf(policy, sizeof policy, "%s/policy", t.path);
    snprintf(state, sizeof state, "%s/state", t.path);
    snprintf(db, sizeof db, "%s", h.uri + strlen("sqlite:"));
    say("writing a tenth of %llu records", (unsigned long long)records);
    ledgerfile_open(&ledger, &h, accounts);
    (void)ledgerfile_grow(&ledger, records / 10);
    write_policy(&h, policy);
    struct run small = audit(db, policy, "--threads", "0");
    say("writing %llu records", (unsigned long long)records);
    uint64_t written = ledgerfile_grow(&ledger, records);
    double before = limit_verify(slice, cores());
    struct run full = audit(db, policy, "--state", state);
    double limit = (before + limit_verify(slice, cores())) / 2;
    struct run tip = audit_tips(db, policy);
    struct run again = audit(db, policy, "--state", state);
    uint64_t suffix = ledgerfile_grow(&ledger, written + (o->quick ? 500 : SUFFIX)) - written;
    struct run news = audit(db, policy, "--state", state);
    report_open(r, "audit", "records/s, everything checked", BETTER_HIGH);
    report_result(r, (double)written / full.seconds, limit,
                  "signatures/s on all cores, same run");
    report_number(r, "records", (double)written);
    report_number(r, "full_s", full.seconds);
    report_number(r, "tip_s", tip.seconds);
    report_number(r, "tip_times_faster", full.seconds / tip.seconds);
    report_number(r, "full_cpu_s", full.cpu_s);
    report_number(r, "tip_cpu_s", tip.cpu_s);
    report_number(r, "full_peak_mib", full.peak_mib);
    report_number(r, "tip_peak_mib", tip.peak_mib);
    report_number(r, "tenth_peak_mib", small.peak_mib);
    report_number(r, "nothing_new_s", again.seconds);
    report_number(r, "suffix_records", (double)suffix);
    report_number(r, "suffix_s", news.seconds);
    report_number(r, "accounts", (double)accounts);
    ledgerfile_close(&ledger);
    tempdir_remove(&t);
    hub_close(&h);
}
