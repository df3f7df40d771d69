/* What a relay holds for the owners of slots that are not its own: entries and questions
 * under way, in the order they came in each slot, with whom they are, and when to stop
 * waiting. One table for all owners.
 *
 * Core, sans-IO: no clock, no heap (items are the caller's; lists run through them), no
 * thread of its own; calls are made one at a time. An item belongs to the table from
 * forward_add until a call gives it back.
 *
 * Order. Items of a slot are sent in the order they were added, which is the order of each
 * device. What comes back undone (link lost, owner changed, `unavailable`) goes again, all
 * of it and in that order, and nothing of the slot is sent before the rest was answered or
 * given up: a later entry of a device would be refused `gap` while an earlier one is on its
 * way back. To send twice is safe, the same id is a duplicate at the owner.
 *
 * Bounds. So many items and bytes in all, so many for one owner (slots without one count
 * together): a slow owner fills its share and no other. FORWARD_WINDOW of them are on the
 * wire to it. Nothing waits longer than FORWARD_PATIENCE_MS. */
#ifndef FEDERATION_FORWARD_H
#define FEDERATION_FORWARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ledger/err.h"

#define FORWARD_SLOTS_MAX 256u
#define FORWARD_PEERS_MAX 64u
#define FORWARD_WINDOW 4096u /* sent to one peer and not answered; a power of two */
#define FORWARD_ITEMS_MAX 16384u
#define FORWARD_ITEMS_OWNER_MAX 8192u
#define FORWARD_BYTES_MAX (64u << 20)
#define FORWARD_BYTES_OWNER_MAX (24u << 20)
#define FORWARD_BATCH_ENTRIES 256u         /* in one frame */
#define FORWARD_BATCH_BYTES (128u << 10)   /* an entry that is longer goes alone */
#define FORWARD_PATIENCE_MS 8000u /* from the client's frame; a takeover is done in 5 s */
#define FORWARD_HANDOVER_MS 300u  /* an old owner's last answers are waited for */
#define FORWARD_AGAIN_MS 50u      /* after `unavailable` from the same owner */

/* Who a slot's items go to: the number of a peer, or: */
enum { FORWARD_SELF = -1, FORWARD_NOBODY = -2 };

/* First member of what the caller adds. `slot`, `size`, `question`, `group`, `deadline_ms`
 * are the caller's to fill; the rest is the table's. */
struct forward_item {
    struct forward_item *next, *prev;
    uint64_t serial; /* when sent: SUBMIT rid + i, or the question's rid */
    uint64_t deadline_ms;
    uint32_t slot;
    uint32_t size;  /* what it costs in memory, and more than it takes in a frame */
    uint8_t group;  /* only entries of one group share a frame (flags of SUBMIT) */
    bool question;  /* goes alone */
    bool sent;
};

struct forward_load {
    uint32_t items;
    uint64_t bytes;
};

struct forward_slot {
    struct forward_item *head, *tail;
    struct forward_item *unsent; /* first that was not sent; NULL: all were */
    struct forward_load load;
    uint32_t flying;      /* sent and not answered, all to `sent_to` */
    int route, sent_to;
    bool again;           /* something comes back: send nothing until none is flying */
    uint64_t pause_until; /* 0: send now */
    uint64_t give_up_at;  /* with `again`: what still flies then is sent anew; 0: wait */
};

struct forward_peer {
    struct forward_item *window[FORWARD_WINDOW]; /* by serial; NULL: free */
    uint64_t next_serial;                        /* never goes back */
    uint32_t flying;
    uint32_t turn; /* slot that comes first in the next batch */
    bool up;
};

/* Large, and mostly untouched: take it from calloc. All zero but for forward_open. */
struct forward {
    uint32_t slots;
    uint64_t resent; /* items that were sent again, so far */
    struct forward_load load;
    struct forward_load of_route[FORWARD_PEERS_MAX + 2];
    struct forward_slot slot[FORWARD_SLOTS_MAX];
    struct forward_peer peer[FORWARD_PEERS_MAX];
};

/* `f` is all zero. Every slot begins with FORWARD_NOBODY. */
void forward_open(struct forward *f, uint32_t slots);

/* ERR_BUSY: no room, here or for its owner; the item stays the caller's. */
MUST_CHECK enum err forward_add(struct forward *f, struct forward_item *item);
/* Anything of the slot in the table? Then what comes next has to go there too. */
bool forward_waits(const struct forward *f, uint32_t slot);
const struct forward_load *forward_load_of(const struct forward *f, int route);

/* The slot's owner is another one now. */
void forward_route(struct forward *f, uint32_t slot, int to, uint64_t now_ms);
/* The link to a peer is open, or was lost: what was sent on it goes again. */
void forward_link(struct forward *f, unsigned peer, bool up);

/* The next items for one frame to `peer`, at most FORWARD_BATCH_ENTRIES: entries of one
 * group under serials *rid, *rid + 1, .., or one question under *rid. 0: nothing to send
 * now, *rid as it was. They count as sent. */
size_t forward_batch(struct forward *f, unsigned peer, uint64_t now_ms,
                     struct forward_item *out[FORWARD_BATCH_ENTRIES], uint64_t *rid);
/* Who an answer of `peer` is for; NULL: nobody any more. */
struct forward_item *forward_find(const struct forward *f, unsigned peer, uint64_t rid,
                                  uint64_t i);
/* What the owner said of it. True: that is the answer, and the item the caller's again.
 * False: it will be sent again (`unavailable`, or `gap` behind something that comes back). */
MUST_CHECK bool forward_answered(struct forward *f, unsigned peer,
                                 struct forward_item *item, enum err code,
                                 uint64_t now_ms);

/* An item of a slot that is ours by now: the caller's again, in order. NULL: none. */
struct forward_item *forward_next_own(struct forward *f, uint64_t now_ms);
/* An item that has waited long enough: the caller's again. NULL: none. */
struct forward_item *forward_next_late(struct forward *f, uint64_t now_ms);
/* Any item at all, for closing. NULL: the table is empty. */
struct forward_item *forward_next_any(struct forward *f);
/* Time passes: every FORWARD_AGAIN_MS or so while anything is in the table. */
void forward_tick(struct forward *f, uint64_t now_ms);

#endif
