/* A relay around relay/peer.c for tests: the test is the loop, the commit thread and
 * relay/region.c, which it links in their place; owners of slots are fakeowner.h's. */
#ifndef TESTS_UNIT_RELAY_PEERKIT_H
#define TESTS_UNIT_RELAY_PEERKIT_H

#include "relay/clock.h"
#include "relay/peer.h"
#include "relay/peer_internal.h"
#include "relay/region.h"
#include "tests/lib/people.h"
#include "tests/unit/relay/fakeowner.h"
#include "tests/unit/relay/test.h"

#define SLOTS 4u
#define OWNERS 2u
#define STOPPED_MAX 8u /* owners that a test has ended */
#define PEOPLE 24u
#define WAIT_MS 20000u
#define SELF FORWARD_SELF
#define NOBODY FORWARD_NOBODY
#define ASKED_MAX 4096u

/* An entry somebody waits for; its number is the rid, its connection the person's. */
struct asked {
    unsigned answers;
    uint64_t code;
    uint64_t retry_after_ms;
    uint64_t flags;
    struct hash id;
};

struct kit {
    struct relay r;
    struct relay_config config; /* all zero: links without TLS */
    struct fakeledger ledger;
    struct fakeowner owner[OWNERS];
    struct ws *stopped[STOPPED_MAX]; /* closed at the end: other threads are at work before */
    unsigned stopped_count;
    struct session_rules rules;
    struct hub_facts facts;
    struct person person[PEOPLE];
    struct asked asked[ASKED_MAX];
    uint64_t next_rid, answered, entries_back; /* entries_back: budgets given back */
    unsigned notes, settled, results_frames;
    struct wire_frame newest; /* answer to a question; without spans */
    unsigned question_answers;
    uint64_t deadline_in_ms; /* 0: FORWARD_PATIENCE_MS; else the patience left */
};

int kit_set_up(void **state);
int kit_tear_down(void **state);
void open_owner(struct kit *k, unsigned n, uint16_t port);
void stop_owner(struct kit *k, unsigned n);

/* Who owns a slot from now on: an owner's number, SELF or NOBODY. */
void owned_by(uint32_t slot, int who);
int owner_now(uint32_t slot);
void all_to(int who);

/* One turn of the loop; turns for some time. */
void turn(struct kit *k);
void turns(struct kit *k, uint64_t ms);
#define UNTIL(k, condition)                                                                \
    do {                                                                                   \
        uint64_t end_ = clock_mono_ms() + WAIT_MS;                                         \
        while (!(condition)) {                                                             \
            if (clock_mono_ms() > end_)                                                    \
                fail_msg("not in time: %s", #condition);                                   \
            turn(k);                                                                       \
        }                                                                                  \
    } while (0)

/* A job of one SUBMIT with `count` entries of one person, as the verify pool gives it back;
 * entry i has the number rid + i. */
struct job *job_of(struct kit *k, unsigned who, unsigned count, uint64_t flags);
/* All of it must be taken for other relays. The rid. */
uint64_t submit_flags(struct kit *k, unsigned who, unsigned count, uint64_t flags);
uint64_t submit(struct kit *k, unsigned who, unsigned count);
uint32_t slot_of_person(struct kit *k, unsigned who);
void all_accepted(struct kit *k, uint64_t rid, unsigned count);
/* Entries and questions under way. */
uint32_t table_items(struct kit *k);

#endif
