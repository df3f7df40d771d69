/* Another relay of the hub, as far as those who forward to it can tell: a real socket, the
 * real session core, and answers that the test chooses. Several of them share a ledger, as
 * relays share a store: what one kept is a duplicate at all, and what would leave a gap in a
 * device's chain is refused by all. */
#ifndef TESTS_UNIT_RELAY_FAKEOWNER_H
#define TESTS_UNIT_RELAY_FAKEOWNER_H

#include <pthread.h>
#include <stdatomic.h>

#include "relay/session.h"
#include "relay/work.h"
#include "relay/ws.h"

#define FAKE_LEDGER_CELLS 8192u /* a power of two; it holds half as many */
#define FAKE_NOTE "a checkpoint"
#define FAKE_POSITION 4711u
#define FAKE_RETRY_MS 77u

struct fakeledger {
    pthread_mutex_t lock;
    size_t count, duplicates, gaps;
    bool taken[FAKE_LEDGER_CELLS];
    struct hash id[FAKE_LEDGER_CELLS];
};

struct fakeowner {
    struct ws *ws;
    pthread_t thread;
    struct session_rules rules;
    struct fakeledger *ledger;
    atomic_bool ending;
    /* What it does, for any thread to set. */
    atomic_int code;       /* enum err for entries and questions; ERR_OK: accept */
    atomic_int code_times; /* for so many of them; < 0: for good */
    atomic_bool silent;    /* takes, keeps, and does not answer */
    atomic_bool cut_hello; /* closes the connection at every HELLO */
    atomic_int cut_after;  /* at so many FORWARDs from now, before it answers; 0: never */
    atomic_int babble;     /* before its next answer: enum fake_babble */
    /* What it saw. */
    atomic_uint connections, entries, questions, forwards;
    atomic_bool asker_given; /* with the newest question */
};
enum fake_babble {
    BABBLE_NOT,
    BABBLE_STRANGE,  /* answers to what nobody sent, twice */
    BABBLE_MALFORMED /* bytes that are no frame */
};

void fakeledger_open(struct fakeledger *l);
void fakeledger_close(struct fakeledger *l);
bool fakeledger_has(struct fakeledger *l, const struct hash *id);

/* On loopback and `port` (0: any); `rules` is kept as it is. */
bool fakeowner_open(struct fakeowner *o, const struct session_rules *rules,
                    struct fakeledger *l, uint16_t port);
uint16_t fakeowner_port(const struct fakeowner *o);
/* Hangs up and ends its thread. What is given back goes to ws_close when no thread is left that
 * opens or closes descriptors. */
struct ws *fakeowner_stop(struct fakeowner *o);

#endif
