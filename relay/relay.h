/* What the threads of one relay share. Set up by relay/start.c before any thread runs and
 * read-only after that, but for the queues and the atomics. */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include <stdatomic.h>

#include "ledger/recover.h"
#include "relay/config.h"
#include "relay/highwater.h"
#include "relay/keys.h"
#include "relay/memory.h"
#include "relay/metrics.h"
#include "relay/pinned.h"
#include "relay/service.h"
#include "relay/tls.h"
#include "relay/verify.h"
#include "relay/vitals.h"
#include "relay/work.h"
#include "relay/ws.h"

#define RELAY_EXIT_BROKEN                                                                \
    70 /* I/O error or damage: a person must look before a restart */

/* Settings in force at some time. A reload makes the next and publishes it; a thread
 * reads the newest by settings() and does not keep it, and all are freed at the end. */
struct settings_made {
    struct settings_made *older;
    struct relay_config config;
};

struct relay {
    _Atomic(const struct relay_config *) config;
    struct settings_made *made;
    const struct config_sources *sources; /* for a reload; NULL: none */
    uint64_t generation;
    struct hash federation;
    const char *hub;
    uint32_t slots;
    bool memory; /* memory: store: no file is ever written */
    struct store *store;
    struct hub_keys keys;
    struct pubkey relay_public;
    struct vkey *log_vkeys;              /* one per slot */
    struct hash hub_accounts[SLOTS_MAX]; /* id of each slot's log_open */
    struct metrics *metrics;
    struct pinned pinned;
    struct highwater highwater;
    struct service service; /* loop thread */
    struct ws *ws;
    char certificate[TLS_TEXT_MAX]; /* at the client port; loop thread */
    struct cosigner *cosigner; /* NULL: no witness is asked */
    struct witness_door *witness; /* NULL: no log is witnessed here */
    struct admin *admin; /* NULL: no socket for the operator */
    struct region *region; /* NULL: this process is the whole hub */
    struct peers *peers;   /* NULL: as region */
    struct follow *follow; /* NULL: as region */
    struct bus_redis *bus; /* NULL: no bus; owned by follow */
    struct verify verify;
    struct queue commit;  /* struct work: jobs and requests for the commit thread */
    struct queue readers; /* struct request */
    struct queue mail;    /* struct mail: for the loop */
    struct memory_plan plan; /* fixed before any thread runs */
    atomic_bool pressed; /* entries wait for their connection's turn: more came than goes out */
    atomic_size_t committing; /* entries in `commit` and not answered */
    atomic_size_t reads_waiting;
    atomic_size_t asks_waiting, seals_waiting; /* requests for the commit thread */
    atomic_size_t subscriptions; /* when 0, commits are not encoded for anyone */
    atomic_bool low_room;        /* less than store.min_free_bytes on the disk */
    atomic_bool unsure[SLOTS_MAX]; /* a commit was not answered: what the store shows of
                                      the slot is not published yet */
    atomic_ullong append_since_ms; /* when the transaction under way began; 0: none is */
    struct vitals vitals;        /* what the loop leaves for whoever asks how it is */
    atomic_bool store_away;      /* the store has not answered for STORE_AWAY_MS */
    atomic_int write_state;      /* enum err: ERR_OK, or why nothing is sequenced */
    atomic_int exit_code;        /* not 0: stop at once with this code */
};

static inline const struct relay_config *settings(const struct relay *r)
{
    return atomic_load_explicit(&r->config, memory_order_acquire);
}
/* The slot whose log an account's records stand in: its id says so, but for the hub's own
 * account, of which every slot has one. */
uint32_t relay_slot_of(const struct relay *r, const struct hash *account);

/* Any thread: put mail and wake the loop. */
void relay_mail(struct relay *r, struct chain_of_links *mail);
void relay_mail_one(struct relay *r, struct mail *m);
/* Our state is not to be trusted any more: trace it and end the process. */
void relay_broken(struct relay *r, const char *what, enum err why);

#endif
