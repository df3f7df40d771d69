/* Clients that keep everything: each entry sent, each answer, each checkpoint seen; and a
 * mirror of every log, filled from what the hub serves after it came back. Against these a
 * hub's word is held. What is wrong is returned as a sentence in `why`. */
#ifndef TESTS_CRASH_RECORDER_H
#define TESTS_CRASH_RECORDER_H

#include "tests/lib/hubproc.h"
#include "tests/lib/wirekit.h"

#define RECORDER_PEOPLE 6
#define RECORDER_SLOTS 4
#define RECORDER_WHY 512

/* An entry that was sent. `rid` and `i` are those of the newest SUBMIT it was in. */
struct sent {
    uint8_t *bytes;
    size_t size;
    struct hash id;
    uint64_t rid, i;
    bool acked;
    uint64_t slot, index;
    struct hash leaf; /* as the receipt had it */
    bool sealed;      /* an attachment belongs to it */
    bool kept;        /* and the hub said that it has it */
};

struct mirror {
    struct frontier f;
    struct hash *leaves;
    size_t cap;
};

struct seen_note {
    uint64_t slot;
    struct checkpoint c;
};

struct recorder {
    struct hubproc *hub;
    struct wirekit k;
    bool connected;
    struct person people[RECORDER_PEOPLE];
    int64_t balance[RECORDER_PEOPLE]; /* when everything sent is settled */
    int64_t supply;
    struct sent *sent;
    size_t sent_count, sent_cap;
    size_t settled; /* those before are acknowledged and were found in the log */
    struct mirror mirror[RECORDER_SLOTS];
    struct seen_note *notes; /* not compared yet */
    size_t note_count, note_cap;
    struct hash *ids; /* of all records, a hash table */
    size_t id_count, id_cap;
    uint64_t acks, checkpoints, records; /* for the report */
    unsigned answer_ms; /* how long to wait for answers; 0: long */
    char why[RECORDER_WHY];
};

/* Open the accounts and give them points. The hub is started. */
bool recorder_begin(struct recorder *r, struct hubproc *hub);
void recorder_end(struct recorder *r);
/* Everybody writes a note and pays his neighbour, some with an attachment; `rounds` times,
 * each after the answers to the one before, as long as the hub is there. False: a lie. */
bool recorder_work(struct recorder *r, unsigned rounds);
/* One round whose answers are not waited for. */
void recorder_blurt(struct recorder *r);
/* Connect again; send what has no answer until everything is accepted. */
bool recorder_resolve(struct recorder *r);
/* Every acknowledgement, checkpoint and balance against what the hub serves now. */
bool recorder_verify(struct recorder *r);
/* The whole logs once more from their beginning. */
bool recorder_verify_whole(struct recorder *r);
void recorder_disconnect(struct recorder *r);

#endif
