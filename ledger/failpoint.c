#include "ledger/failpoint.h"

#ifdef STOA_FAILPOINTS

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define I FAILPOINT_INIT
#define S FAILPOINT_START
#define W FAILPOINT_WORK
#define D FAILPOINT_DRAIN

#define AT_INIT "an init makes one ledger and ends"
#define AT_OPEN "a ledger is opened as the process starts"
#define AT_CLOSE "a ledger is closed as the process ends"
#define WHOLE_INDEX "the index is written as the ledger closes, or every 131072 records"

const struct failpoint failpoints[] = {
    /* init */
    {"init.keys", FAILPOINT_PASS, I, AT_INIT},
    {"create.link", FAILPOINT_STEP, I, AT_INIT},
    {"create.link.done", FAILPOINT_PASS, I, AT_INIT},
    {"create.folder", FAILPOINT_STEP, I, AT_INIT},
    {"create.folder.done", FAILPOINT_PASS, I, AT_INIT},
    {"init.genesis", FAILPOINT_PASS, I, AT_INIT},
    /* start: recovery, slot by slot */
    {"open.settle", FAILPOINT_PASS, S, AT_OPEN},
    {"open.settle.done", FAILPOINT_PASS, S, AT_OPEN},
    {"claim", FAILPOINT_EFFECT, S, NULL},
    {"claim.done", FAILPOINT_PASS, S, NULL},
    {"recover.claimed", FAILPOINT_PASS, S, NULL},
    {"recover.replayed", FAILPOINT_PASS, S, NULL},
    {"recover.ready", FAILPOINT_PASS, S, NULL},
    /* work: one batch */
    {"commit.submitted", FAILPOINT_PASS, W, NULL},
    {"commit.signed", FAILPOINT_PASS, W, NULL},
    {"append.begin", FAILPOINT_EFFECT, W, NULL},
    {"append.check", FAILPOINT_EFFECT, W, NULL},
    {"append.write", FAILPOINT_EFFECT, W, NULL},
    {"append.commit", FAILPOINT_EFFECT, W, NULL},
    {"append.commit.done", FAILPOINT_PASS, W, NULL},
    {"append.answer", FAILPOINT_EFFECT, W, NULL},
    {"commit.stored", FAILPOINT_PASS, W, NULL},
    {"commit.outcome", FAILPOINT_PASS, W, NULL},
    {"commit.published", FAILPOINT_PASS, W, NULL},
    {"sealed", FAILPOINT_EFFECT, W, NULL},
    {"sealed.done", FAILPOINT_PASS, W, NULL},
    /* beside the work */
    {"maintain.copy", FAILPOINT_PASS, S | W, NULL},
    {"maintain.copied", FAILPOINT_PASS, S | W, NULL},
    {"maintain.reset", FAILPOINT_PASS, S | W, NULL},
    {"maintain.reset.done", FAILPOINT_PASS, S | W, NULL},
    {"highwater.write", FAILPOINT_STEP, W | D, NULL},
    {"highwater.write.done", FAILPOINT_PASS, W | D, NULL},
    {"highwater.fsync", FAILPOINT_STEP, W | D, NULL},
    {"highwater.fsync.done", FAILPOINT_PASS, W | D, NULL},
    {"highwater.rename", FAILPOINT_STEP, W | D, NULL},
    {"highwater.rename.done", FAILPOINT_PASS, W | D, NULL},
    {"highwater.folder", FAILPOINT_STEP, W | D, NULL},
    {"highwater.folder.done", FAILPOINT_PASS, W | D, NULL},
    /* drain */
    {"snapshot", FAILPOINT_EFFECT, D, NULL},
    {"snapshot.done", FAILPOINT_PASS, D, NULL},
    {"index.commit", FAILPOINT_PASS, D, WHOLE_INDEX},
    {"index.commit.done", FAILPOINT_PASS, D, WHOLE_INDEX},
    {"close.ledger", FAILPOINT_PASS, D, AT_CLOSE},
    {"close.ledger.done", FAILPOINT_PASS, D, AT_CLOSE},
    /* beside the ledger */
    {"witness.stored", FAILPOINT_PASS, FAILPOINT_WITNESS, NULL},
    {NULL, FAILPOINT_PASS, 0, NULL},
};

enum mode { MODE_NONE, MODE_KILL, MODE_FAIL, MODE_HAPPENED, MODE_FULL, MODE_IO };

static struct {
    char name[64];
    unsigned long turn;
    enum mode mode;
} armed;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned long turns;

static void read_environment(void)
{
    static const char *const modes[] = {"", "kill", "fail", "happened", "full", "io"};
    const char *text = getenv("STOA_FAILPOINT");
    char mode[16];
    if (!text || sscanf(text, "%63[^:]:%lu:%15s", armed.name, &armed.turn, mode) != 3)
        return;
    for (size_t i = 1; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(mode, modes[i]) == 0)
            armed.mode = (enum mode)i;
    bool known = false;
    for (const struct failpoint *p = failpoints; p->name; p++)
        known = known || strcmp(p->name, armed.name) == 0;
    if (known && armed.mode != MODE_NONE)
        return;
    fprintf(stderr, "STOA_FAILPOINT: no such point or mode: %s\n", text);
    abort();
}

static void leave_mark(void)
{
    const char *path = getenv("STOA_FAILPOINT_MARK");
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return;
    if (write(fd, "x", 1) != 1)
        abort();
    close(fd);
}

static bool is_armed(const char *name, const char *suffix)
{
    size_t size = strlen(name);
    return strncmp(armed.name, name, size) == 0 &&
           strcmp(armed.name + size, suffix) == 0;
}

static enum mode turn_of(const char *name, const char *suffix)
{
    pthread_once(&once, read_environment);
    if (armed.mode == MODE_NONE || !is_armed(name, suffix))
        return MODE_NONE;
    pthread_mutex_lock(&lock);
    bool now = ++turns == armed.turn;
    pthread_mutex_unlock(&lock);
    if (!now)
        return MODE_NONE;
    leave_mark();
    if (armed.mode == MODE_KILL) {
        raise(SIGKILL);
        for (;;) /* not one instruction more in this thread */
            pause();
    }
    return armed.mode;
}

void failpoint_pass(const char *name, const char *suffix)
{
    (void)turn_of(name, suffix);
}

/* The step between its two halves: `happened` is remembered by its thread. */
static _Thread_local bool fails_after;

bool failpoint_before(const char *name)
{
    enum mode m = turn_of(name, "");
    fails_after = m == MODE_HAPPENED;
    return m == MODE_NONE || m == MODE_HAPPENED;
}

bool failpoint_after(const char *name, bool happened)
{
    bool fails = fails_after;
    fails_after = false;
    (void)turn_of(name, ".done");
    return happened && !fails;
}

enum store_fault_verdict failpoint_effect(const char *name)
{
    switch (turn_of(name, "")) {
    case MODE_FAIL:
        return FAULT_FAIL;
    case MODE_HAPPENED:
        return FAULT_FAIL_HAPPENED;
    case MODE_FULL:
        return FAULT_FULL;
    case MODE_IO:
        return FAULT_IO;
    case MODE_NONE:
    case MODE_KILL:
        break;
    }
    return FAULT_NONE;
}

#else

typedef int failpoint_is_not_compiled_in;

#endif
