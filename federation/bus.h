/* The bus between the relays of one hub: a doorbell that may carry the batch. After a commit
 * the owner of a slot tells the others "this log grew from `first` to `last`", with the new
 * checkpoint and, when it is small, the records. Nothing that is heard is believed: a carried
 * batch is used only when its leaves, appended to the listener's own right edge, give the root
 * that the log's key signed for exactly that size. In all other cases the listener reads the
 * store, or does nothing. So a bus that drops, invents, reorders, replays or floods costs
 * time, never a record.
 *
 * Sans-IO: messages and the time go in, a verdict comes out; what to look for in the store,
 * and when, is kept here too. No heap, no clock. One thread at a time. Bytes of a message:
 * docs/architecture/region.md, "The bus". Trees: RFC 6962; checkpoints: c2sp.org/tlog-checkpoint. */
#ifndef FEDERATION_BUS_H
#define FEDERATION_BUS_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/merkle.h"
#include "crypto/note.h"
#include "ledger/bytes.h"
#include "ledger/entry.h"
#include "ledger/mp.h"

#define BUS_VERSION 1
#define BUS_SENDER_MAX 64u           /* bytes of a relay's name */
#define BUS_RECORDS_MAX 1024u        /* carried in one message */
#define BUS_CARRY_BYTES_MAX (256u << 10) /* of their envelopes; a larger batch only rings */
#define BUS_RECORD_OVERHEAD 64u      /* bytes of a carried record beside its envelope */
#define BUS_HEAD_BYTES_MAX (256u + CHECKPOINT_BYTES_MAX)
#define BUS_MESSAGE_MAX                                                                  \
    (BUS_HEAD_BYTES_MAX + BUS_CARRY_BYTES_MAX + BUS_RECORDS_MAX * BUS_RECORD_OVERHEAD)
/* Carried batches that do not verify, in one second, before none is looked into any more
 * until the second is over: each may cost a signature check. */
#define BUS_BAD_A_SECOND 64u
/* After a ring for which the store had nothing new, the next is obeyed only this much later,
 * twice as long after each one more, at most as long as between two polls. */
#define BUS_VAIN_MS 5u
/* What an answer of a slot's owner has shown comes on the bus too, with the records, a moment
 * later. Where it does as a rule, the store is asked only when it stays away for so long. */
#define BUS_EXPECT_MS 50u

/* [version, sender, slot, epoch, first, last, note, [record..]], one canonical MessagePack
 * array; record: [account_head, hub_lamport, hub_time_ms, envelope]. `records` stands at the
 * first one; there are none, or as many as `last - first`. Spans point into the message. */
struct bus_message {
    struct bytes sender;
    uint32_t slot;
    uint64_t epoch;
    tree_size first, last; /* sizes of the log before and after */
    struct bytes note;     /* the checkpoint of size `last` */
    size_t count;
    struct mp_reader records;
};

/* Strict; the whole message is scanned, so that bus_next_record cannot fail on it. False:
 * `m` is not to be used. */
bool bus_decode(struct bus_message *m, struct bytes data);
/* What a leaf needs (slot and index too, from `m` and `at`); position stays 0. */
void bus_next_record(struct mp_reader *records, struct record *r);
/* The head, then each record with bus_put_record, m->count in all. */
void bus_put(struct mp_writer *w, const struct bus_message *m);
void bus_put_record(struct mp_writer *w, const struct record *r);

enum bus_verdict {
    BUS_IGNORE, /* nothing in it for this listener */
    BUS_READ,   /* the log has grown, or so it says: look into the store */
    BUS_USE     /* the records are what the log's key signed, and the next ones */
};
/* Why; also the values of a metric's label, in this order. */
#define BUS_WHY_LIST(X)                                                                  \
    X(USED, USE, "used")           /* the batch verified */                              \
    X(RANG, READ, "rang")          /* no batch was carried */                            \
    X(GAP, READ, "gap")            /* an earlier message was missed */                   \
    X(OVERLAP, READ, "overlap")    /* part of it is known already */                     \
    X(MISMATCH, READ, "mismatch")  /* the leaves do not give the root of its note */     \
    X(UNSIGNED, READ, "unsigned")  /* its note is not the log key's, or of another size */ \
    X(FLOOD, READ, "flood")        /* too many were bad in this second to look into it */ \
    X(OLD, IGNORE, "old")          /* known already: doubled, late, or a replay */       \
    X(STALE, IGNORE, "stale")      /* from an owner the slot has no more */              \
    X(OWN, IGNORE, "own")          /* sent by this relay */                              \
    X(IDLE, IGNORE, "idle")        /* a slot that is not followed now */                 \
    X(MALFORMED, IGNORE, "malformed") /* does not decode, or came on another slot's channel */ \
    X(FORK, READ, "fork") /* signed by the log's key, the listener's size, another root */
#define BUS_WHY_ENUM_(why, verdict, word) BUS_##why,
enum bus_why { BUS_WHY_LIST(BUS_WHY_ENUM_) BUS_WHYS };
#undef BUS_WHY_ENUM_
const char *bus_why_word(enum bus_why why);
enum bus_verdict bus_verdict_of(enum bus_why why);

/* One slot as its listener knows it. */
struct bus_slot {
    bool followed;
    uint64_t epoch;     /* as the store said; no message moves it */
    struct frontier at; /* what the listener holds */
    struct hash root;
    /* Looking into the store. */
    bool rung;         /* somebody said that there is more */
    uint64_t rung_size; /* that much; 0: not told */
    uint64_t ask_ms;    /* with `rung`: the bus may bring it until then */
    bool carried;       /* a batch of this slot was used .. */
    uint64_t carried_ms; /* .. at this time */
    uint64_t looked_ms, heard_ms; /* last look; last look or used batch */
    unsigned vain;     /* looks in a row, after a ring, that found nothing */
};
struct bus {
    uint32_t slots;
    const struct vkey *keys; /* of each slot's log; borrowed */
    char self[BUS_SENDER_MAX + 1];
    uint64_t second; /* in which `bad` counts */
    unsigned bad;
    struct bus_slot slot[SLOTS_MAX];
};

/* Nothing is followed yet. `self` is this relay's name. */
void bus_init(struct bus *b, const char *self, const struct vkey keys[], uint32_t slots);
/* From now on the listener holds this much of the slot: after it was loaded, after records
 * were read from the store, after a batch was used. */
void bus_follow(struct bus *b, uint32_t slot, const struct frontier *at, uint64_t now_ms);
void bus_unfollow(struct bus *b, uint32_t slot);

struct bus_heard {
    enum bus_why why;
    struct frontier after; /* USED: what the listener holds when it has taken the records .. */
    struct hash leaves[BUS_RECORDS_MAX]; /* .. and the leaf hash of each */
};
/* One message that came on `channel`'s channel. USED changes nothing here: bus_follow does,
 * once the records were taken. What says READ has rung. */
void bus_hear(struct bus *b, uint32_t channel, const struct bus_message *m, uint64_t now_ms,
              struct bus_heard *out);
/* Somebody who may know says that the slot's log has `size` records (0: more than before). */
void bus_ring(struct bus *b, uint32_t slot, tree_size size);
/* The same from somebody who is quicker than the bus: where that has carried a batch of the slot
 * within the last poll_ms, it has BUS_EXPECT_MS to bring this one too. */
void bus_expect(struct bus *b, uint32_t slot, tree_size size, uint64_t poll_ms,
                uint64_t now_ms);

/* Milliseconds until the store has to be asked about this slot: 0 now, UINT64_MAX never. It is
 * asked after a ring, and when nothing was heard for poll_ms: a silent bus is no bus. */
uint64_t bus_wait_ms(const struct bus *b, uint32_t slot, uint64_t poll_ms, uint64_t now_ms);
/* The store was asked and says this; `size` is what the slot's log has there. True when that
 * is more than the listener holds. */
bool bus_looked(struct bus *b, uint32_t slot, uint64_t epoch, tree_size size,
                uint64_t now_ms);

#endif
