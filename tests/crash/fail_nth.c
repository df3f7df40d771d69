/* fail_nth [--limit N] [--only malloc|write|short|fsync|send] [--from N]
 *
 * The n-th allocation, write, short write, sync and send of a real stoad fails, n = 1, 2, 3.. until a
 * whole visit (hello, entries, transfers, an attachment) goes through without it. The hub must
 * answer or end with its own code, never crash; after a failed write or sync of the ledger it must
 * end; and what it acknowledged must stand. From N = --limit on only every tenth is tried. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/crash/recorder.h"
#include "tests/crash/shim.h"

#define EXIT_BROKEN 70
#define ANSWER_MS 400
#define MUST_END_MS 10000
#define MAY_END_MS 30
#define N_MAX 20000

static const char *const kinds[SHIM_KINDS] = {"none", "malloc", "write", "short", "fsync", "send"};

struct bench {
    struct hubproc hub;
    struct recorder r;
    struct shim_page *page;
    unsigned long hits, ended;
};

static bool wrong(struct bench *b, const char *what)
{
    if (b->r.why[0] == 0)
        snprintf(b->r.why, sizeof b->r.why, "%s", what);
    return false;
}

static bool map_page(struct bench *b)
{
    char path[512];
    hubproc_path(&b->hub, "page", path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *b->page) != 0)
        return false;
    void *at = mmap(NULL, sizeof *b->page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        return false;
    b->page = at;
    setenv(SHIM_ENV, path, 1);
    return true;
}

/* The shim is for stoad alone: put in front of it, not into this process. */
static bool start(struct bench *b)
{
    static char preload[600];
    snprintf(preload, sizeof preload, "LD_PRELOAD=%s", STOA_SHIM_LIBRARY);
    b->hub.wrap[0] = "env";
    b->hub.wrap[1] = preload;
    return hubproc_start(&b->hub) || wrong(b, b->hub.why);
}

static bool set_up(struct bench *b)
{
    static const char *const init[] = {"init", "--quick-keys", "--slots", "4", NULL};
    char err[1000];
    if (!hubproc_open(&b->hub, false) || !map_page(b))
        return wrong(b, "no folder");
    hubproc_set(&b->hub, "commit.snapshot_every_records=100");
    hubproc_set(&b->hub, "log.level=error");
    hubproc_set(&b->hub, "drain.grace_ms=6000");
    if (hubproc_run(&b->hub, init, err, sizeof err) != 0)
        return wrong(b, err);
    return start(b) && recorder_begin(&b->r, &b->hub) && recorder_verify(&b->r);
}

/* It ended: as it should? Then it is started again. */
static bool ended(struct bench *b, enum shim_kind kind, int code)
{
    b->ended++;
    if (code != EXIT_BROKEN) {
        snprintf(b->r.why, sizeof b->r.why, "it ended with %d", code);
        return false;
    }
    if (kind == SHIM_MALLOC || kind == SHIM_SEND || kind == SHIM_SHORT)
        return wrong(b, "it ended, though nothing was wrong with the disk");
    return start(b);
}

/* What has become of the hub: it serves, or it ended as it should. */
static bool look_after(struct bench *b, enum shim_kind kind)
{
    bool of_ledger = strstr(b->page->what, "ledger.db") != NULL &&
                     strstr(b->page->what, "-index") == NULL;
    bool must_end = (kind == SHIM_FSYNC || kind == SHIM_WRITE) && of_ledger;
    int code = hubproc_wait(&b->hub, must_end ? MUST_END_MS : MAY_END_MS);
    if (code < 0)
        return !must_end || wrong(b, "it goes on after the ledger could not be written");
    return ended(b, kind, code);
}

/* Everything is in the ledger and nothing else is. A hub that may end may have been on its way
 * out when it was looked after: then once more with the next one. */
static bool stands(struct bench *b, enum shim_kind kind)
{
    if (recorder_resolve(&b->r) && recorder_verify(&b->r))
        return true;
    int code = hubproc_wait(&b->hub, MAY_END_MS);
    if (code < 0)
        return false;
    b->r.why[0] = 0;
    return ended(b, kind, code) && recorder_resolve(&b->r) && recorder_verify(&b->r);
}

/* *hit: n was reached; else the visit went through without a failure. */
static bool visit(struct bench *b, enum shim_kind kind, long n, bool *hit)
{
    atomic_store(&b->page->hit, 0);
    b->page->what[0] = 0;
    atomic_store(&b->page->left, n);
    atomic_store(&b->page->kind, (int)kind);
    bool ok = recorder_work(&b->r, 1);
    atomic_store(&b->page->kind, SHIM_NONE);
    *hit = atomic_load(&b->page->hit) != 0;
    b->hits += *hit;
    return ok && look_after(b, kind) && stands(b, kind);
}

static bool run_kind(struct bench *b, enum shim_kind kind, long from, long limit)
{
    unsigned long hits = b->hits, ended = b->ended;
    long n = from, tried = 0;
    for (bool hit = true; hit && n < N_MAX; n += n < limit ? 1 : 10, tried++)
        if (!visit(b, kind, n, &hit)) {
            printf("FOUND %s:%ld (%s): %s\n", kinds[kind], n, b->page->what, b->r.why);
            return false;
        }
    printf("%-7s %5ld visits, %5lu failures, ended %3lu times\n", kinds[kind], tried,
           b->hits - hits, b->ended - ended);
    fflush(stdout);
    return true;
}

int main(int argc, char **argv)
{
    static struct bench b;
    long from = 1, limit = 1000;
    const char *only = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--limit") == 0)
            limit = strtol(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--from") == 0)
            from = strtol(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--only") == 0)
            only = argv[i + 1];
    }
    if (!crypto_start())
        return 1;
    signal(SIGPIPE, SIG_IGN);
    bool ok = set_up(&b);
    b.r.answer_ms = ANSWER_MS;
    for (int kind = SHIM_MALLOC; ok && kind < SHIM_KINDS; kind++)
        if (only == NULL || strcmp(only, kinds[kind]) == 0)
            ok = run_kind(&b, (enum shim_kind)kind, from, limit);
    if (!ok)
        printf("%s\n", b.r.why);
    hubproc_signal(&b.hub, SIGTERM);
    int code = hubproc_wait(&b.hub, 5000); /* less than the grace: nothing is under way */
    if (ok && code != 0) {
        printf("FOUND at the end: it ended with %d, -1: not yet\n", code);
        ok = false;
    }
    recorder_end(&b.r);
    hubproc_close(&b.hub);
    return ok ? 0 : 1;
}
