/* A hub in the same process: the real sequencer on the disk of tests/sim, and just enough
 * of the wire for a client, spoken to through a `struct transport`. It can be told to
 * misbehave. */
#ifndef TESTS_CLIENT_FAKEHUB_H
#define TESTS_CLIENT_FAKEHUB_H

#include "client/wallet.h"
#include "hub.h"

#define FAKE_FRAMES_MAX 65536

enum fake_fault {
    FAKE_NONE,
    FAKE_CUT_BEFORE, /* SUBMIT is lost on its way, the connection too */
    FAKE_CUT_AFTER,  /* SUBMIT is taken, the answer is lost */
    FAKE_SILENT,     /* SUBMIT is taken, nothing is answered, the connection stays */
    FAKE_BUSY,       /* SUBMIT is refused for now */
    FAKE_DOOR,       /* SUBMIT is refused for good by the door's policy, unsigned */
    FAKE_UNSIGNED,   /* refusals by the rules come without their signature */
    FAKE_BAD_PATH,   /* receipts carry a wrong path */
    FAKE_BAD_NOTE    /* receipts carry a checkpoint signed by another key */
};

struct fakehub {
    struct hub h;
    struct store_reader *rd;
    bool up; /* a connection is there */
    bool told_open;
    bool cut; /* the connection is lost */
    bool cut_at_proof; /* .. at the next PROOF */
    struct hash nonce;
    struct kept *head, *tail; /* frames to the client */
    struct kept *lent;
    enum fake_fault fault; /* at the next SUBMIT, then NONE */
    unsigned submits, entries_taken;
    bool settle_early; /* say of the first payee that it was the last, and nothing more */
    bool hold_credits; /* do not settle what goes between slots */
    /* May change a record before it is shown; false drops it. */
    bool (*show)(void *context, struct record *r, struct buf *envelope);
    void *show_context;
    const struct disk *disk_shown; /* notes come from here when set: a restored backup */
    bool wrong_head; /* heads are signed over another history */
    bool forked; /* notes say another root, signed by the log's own key */
    bool subscribed;
    struct hash subscribed_to;
    uint64_t subscribed_next;
    struct {
        struct hash entry, salt;
        struct buf data;
    } sealed[16];
    size_t sealed_count;
    size_t settled_told;
    struct wire_limits limits;
};

void fakehub_open(struct fakehub *f, uint32_t slots);
void fakehub_close(struct fakehub *f);
enum err fakehub_dial(void *context, const char *url, const char *ca_file,
                      struct transport *out);
/* Points for an account, by the issuer. */
void fakehub_fund(struct fakehub *f, const stoa_id *account, int64_t points);
int64_t fakehub_balance(struct fakehub *f, const stoa_id *account);
/* Go on with what was held or queued. */
void fakehub_settle(struct fakehub *f);

#endif
