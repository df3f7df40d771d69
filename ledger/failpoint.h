/* Named points on each side of every durable step, where a test ends the process or makes the
 * step fail. Without STOA_FAILPOINTS, as in every program that is installed, the words below
 * leave no code behind; only tests/crash defines it, for a stoad of its own.
 *
 * STOA_FAILPOINT=name:n:mode arms one point: at its n-th turn (1 is the first)
 *     kill      the process gets SIGKILL
 *     fail      the step is left out and says that it failed
 *     happened  the step is done and says that it failed
 *     full, io  as fail, for want of room or by an I/O error (effects of a store only)
 * STOA_FAILPOINT_MARK=path: the file gets a byte when that happens. */
#ifndef LEDGER_FAILPOINT_H
#define LEDGER_FAILPOINT_H

#include <stdbool.h>

#ifdef STOA_FAILPOINTS

#include "ledger/store.h"

/* Only kill. */
#define FP(name) failpoint_pass(name, "")
/* After a step whose point is `name`: only kill, at "name.done". */
#define FP_DONE(name) failpoint_pass(name, ".done")
/* A step that answers with a bool: kill before and after (".done"), fail, happened. */
#define FP_STEP(name, step)                                                                \
    (failpoint_before(name) ? failpoint_after(name, (step)) : false)
/* An effect of a store. */
#define FP_EFFECT(name) failpoint_effect(name)

void failpoint_pass(const char *name, const char *suffix);
bool failpoint_before(const char *name);
bool failpoint_after(const char *name, bool happened);
enum store_fault_verdict failpoint_effect(const char *name);

/* When a hub comes to a point, and what can be made of it. */
enum failpoint_phase { FAILPOINT_INIT = 1, FAILPOINT_START = 2, FAILPOINT_WORK = 4,
                       FAILPOINT_DRAIN = 8,
                       FAILPOINT_WITNESS = 16 /* where another log is witnessed */ };
enum failpoint_kind { FAILPOINT_PASS, FAILPOINT_STEP, FAILPOINT_EFFECT };
struct failpoint {
    const char *name;
    enum failpoint_kind kind;
    unsigned phases;
    const char *once; /* why a process comes there one time only; NULL: it comes again */
};
/* All of them; the last has no name. */
extern const struct failpoint failpoints[];

#else

#define FP(name) ((void)0)
#define FP_DONE(name) ((void)0)
#define FP_STEP(name, step) (step)
#define FP_EFFECT(name) FAULT_NONE

#endif
#endif
