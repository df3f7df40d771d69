/* People who write to a region all the while, each on a connection of his own, and keep every
 * receipt and every checkpoint they are shown. When a relay goes away they go to the next one
 * and send the same bytes again. Afterwards the ledger is held against what they kept. */
#ifndef TESTS_INTEGRATION_REGION_TOWN_H
#define TESTS_INTEGRATION_REGION_TOWN_H

#include <pthread.h>
#include <stdatomic.h>

#include "tests/lib/regionproc.h"
#include "tests/lib/wirekit.h"

#define TOWN_PEOPLE 16
#define TOWN_POINTS 1000000
#define TOWN_WHY 400

/* An entry that was accepted. */
struct deed {
    struct hash id, leaf;
    uint32_t slot;
    uint64_t index;
};
/* A checkpoint that was shown. */
struct shown {
    uint32_t slot;
    uint64_t size;
    struct hash root;
};

struct town;
struct citizen {
    struct town *town;
    unsigned number;
    pthread_t thread;
    struct person p;
    uint32_t slot;
    struct wirekit k;
    bool connected;
    unsigned at; /* the relay he talks to */
    char notes[REGIONPROC_SLOTS][CHECKPOINT_BYTES_MAX]; /* newest seen, over all relays */
    size_t note_size[REGIONPROC_SLOTS];
    uint64_t note_of[REGIONPROC_SLOTS];
    struct deed *deeds;
    size_t deed_count, deed_cap;
    struct shown *shown;
    size_t shown_count, shown_cap;
    uint64_t turn;
    uint64_t refused[8]; /* answers that say: the same again; see town_refused */
    uint64_t reconnects;
    uint64_t after_ms; /* from town_mark to the first receipt for what was sent after it */
    uint64_t marked;
};

struct town {
    struct regionproc *region;
    unsigned people;
    struct citizen one[TOWN_PEOPLE];
    atomic_uint port[REGIONPROC_RELAYS_MAX]; /* 0: not there */
    int64_t balance[TOWN_PEOPLE];            /* when everything is settled; under `lock` */
    atomic_uint answer_ms; /* an answer is waited for so long, then he goes elsewhere */
    atomic_bool stop;
    bool started;
    atomic_ullong mark_ms;
    pthread_mutex_t lock;
    char who[TOWN_WHY]; /* town_waiting's */
    char why[TOWN_WHY]; /* the first lie or error */
};

/* Open the accounts and give them points; some relays run. False: why. */
bool town_open(struct town *t, struct regionproc *r, unsigned people, uint64_t seed);
/* Everybody writes until town_stop, which waits until each has the answer to his last entry.
 * False: an entry was refused for good, or something was a lie (why). */
bool town_start(struct town *t);
bool town_stop(struct town *t);
/* Which relays there are now: after every start, before every end of one. */
void town_ports(struct town *t);
void town_gone(struct town *t, unsigned relay);
/* From now until everybody has a receipt again; the longest time anybody in one of these
 * slots (a bit each) had to wait, in milliseconds; UINT64_MAX: not all within the time. */
void town_mark(struct town *t);
uint64_t town_waited(struct town *t, uint32_t slots, unsigned timeout_ms);
/* Who still waits, in words; for a failure. */
const char *town_waiting(struct town *t, uint32_t slots);
uint64_t town_receipts(const struct town *t);
uint64_t town_refused(const struct town *t);
uint64_t town_reconnects(const struct town *t);
/* Everybody's balance is what it must be when all is settled, asked at every relay. */
bool town_settled(struct town *t, unsigned timeout_ms);
/* The ledger holds every receipt at its place once, and extends every checkpoint shown. */
bool town_verify(struct town *t);
void town_close(struct town *t);
/* `stoa-audit verify` over the store's address says GOOD. */
bool town_audit(struct town *t);

#endif
