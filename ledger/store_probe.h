/* A look at the server of a store from outside: is it there, how fast does it answer, what
 * does its clock say, who holds a lock that the ledger waits for. On a connection of its own,
 * so that it says something while the store's own connections hang. Blocking, for as long as
 * the caller allows; for an operator's question, never for the write path. Embedded stores
 * have no server: STORE_PROBE_NONE.
 *
 * A ledger may stand at several servers (store_ops.places): each of them is looked at alone,
 * by store_ops.probe. */
#ifndef LEDGER_STORE_PROBE_H
#define LEDGER_STORE_PROBE_H

#include "ledger/store.h"

#define STORE_PROBE_TEXT_MAX 128
#define STORE_PLACES_MAX 33       /* the hub's own database, and a server that is not open */
#define STORE_PLACE_NAME_MAX 320
#define STORE_PLACE_FRESH_MS 10000u /* older appends say nothing about now */

enum store_probe_kind { STORE_PROBE_NONE, STORE_PROBE_SERVER };

struct store_probe {
    enum store_probe_kind kind;
    bool there;           /* it answered; else `why` of store_probe says why not */
    uint64_t connect_ms;  /* until a session was ready */
    uint64_t answer_us;   /* of one small question after that */
    uint64_t server_ms;   /* its wall clock, Unix time, */
    uint64_t asked_ms;    /* .. and ours in the midst of the question */
    bool standby;
    uint64_t waiting;     /* sessions of the ledger that wait for a lock */
    uint64_t waited_ms;   /* the longest of them */
    bool held;            /* a lock that appends wait for, or would, is held by: */
    uint64_t holder_pid;
    uint64_t held_ms;     /* age of its transaction */
    char holder_user[STORE_PROBE_TEXT_MAX];
    char holder_state[STORE_PROBE_TEXT_MAX]; /* "active", "idle in transaction", .. */
    char holder_query[STORE_PROBE_TEXT_MAX]; /* its first words; "" when not shown to us */
    char holder_lock[STORE_PROBE_TEXT_MAX];  /* "AccessExclusiveLock on stoa.record" */
};

/* One server of a ledger, and how appends go there. */
struct store_place {
    char name[STORE_PLACE_NAME_MAX]; /* user, host, database; never a secret or a file */
    /* " -h HOST -p PORT -d DATABASE" for psql and pg_isready, quoted for a shell; the user is
     * the operator's. "": not known here (a service), or longer than there is room for */
    char asked_by[STORE_PLACE_NAME_MAX];
    bool slot[SLOTS_MAX]; /* those that stand there */
    bool away;            /* the last look of the store found no server .. */
    bool deaf;            /* .. one that did not answer in time: its slots are refused */
    bool unopened;        /* this process has not had it open; `why` says why not */
    struct store_why why;
    uint64_t append_ms; /* an append there is under way for as long; 0: none is */
    uint64_t append_us; /* the last one took so long; 0: none in STORE_PLACE_FRESH_MS */
    bool full;          /* .. and its server had no room on its disk */
};

/* Does the store itself say that something is wrong there? */
static inline bool store_place_marked(const struct store_place *p)
{
    return p->away || p->deaf || p->unopened;
}

/* `uri` as store_open takes it. False: no server to look at, or it did not answer (out->kind
 * tells which); `why` (may be NULL) is a sentence then. It takes at most `limit_ms`, from the
 * first packet on: who resolves names has limits of his own (resolv.conf(5)). */
bool store_probe(const char *uri, unsigned limit_ms, struct store_probe *out,
                 struct store_why *why);

/* The Postgres edge's own, found by store_probe where it is linked. */
bool store_probe_postgres(const char *rest, unsigned limit_ms, struct store_probe *out,
                          struct store_why *why);

#endif
