/* Shared by the peer*.c files. */
#ifndef RELAY_PEER_INTERNAL_H
#define RELAY_PEER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "crypto/mac.h"
#include "federation/forward.h"
#include "relay/peer.h"
#include "relay/peer_link.h"
#include "relay/region.h"
#include "relay/relay.h"

#define PEER_POLL_MS 1000u       /* of a link with nothing under way */
#define PEER_PING_MS 1000u       /* silence of this and as much again ends a link */
#define PEER_HELLO_MS 3000u      /* from connecting to WELCOME */
#define PEER_BACKOFF_MS 50u      /* before connecting again; doubles */
#define PEER_BACKOFF_MAX_MS 1000u
#define PEER_RETIRE_MS 60000u    /* a relay that has owned nothing for so long is let go */
#define PEER_UNSENT_MAX (1u << 20) /* bytes waiting for the socket: then no more frames */
#define PEER_LATE_RETRY_MS 500u  /* what a client is told that waited in vain */
#define PEER_ENTRY_BYTES_MAX ENVELOPE_BYTES_MAX
#define PEER_INNER_BYTES (FORWARD_BATCH_BYTES + PEER_ENTRY_BYTES_MAX + 1024u)
#define PEER_WATCH_BUCKETS 1024u /* transfers whose SETTLED somebody here waits for: */
#define PEER_WATCH_WAYS 8u       /* so many a bucket */

/* One entry or question under way. */
struct peer_item {
    struct forward_item core; /* first */
    conn_id conn;
    uint64_t rid;
    uint64_t since_us;
    uint32_t i;
    bool transfer;     /* and SETTLED is wanted */
    bool has_device;   /* question: who asks */
    uint8_t type;      /* question: WIRE_HEAD or WIRE_SETTLEMENT */
    bool has_key;      /* HEAD */
    struct pubkey device, key;
    struct hash id;    /* the entry's; HEAD: account; SETTLEMENT: cause */
    uint32_t size;
    uint8_t envelope[];
};

/* Who waits for SETTLED of a transfer that was forwarded: hints, the oldest go first. */
struct peer_watch {
    struct hash cause;
    conn_id conn; /* 0: free */
};

struct peer {
    struct peers *all;
    unsigned number;
    char relay[REGION_NAME_MAX + 1];
    char address[REGION_PEER_MAX + 1];
    pthread_t thread;
    /* Under the lock. */
    struct peer_link *link; /* to wake it; NULL: none now */
    bool started, finished, used, wake;
    uint64_t unused_ms; /* since when no slot is its */
    /* The thread's own. */
    struct mac_key *mac;
    uint64_t forwards;
    uint8_t *inner, *outer;
    struct peer_got *got;
};

struct peers {
    struct relay *r;
    pthread_mutex_t lock; /* over everything below but `waits` and `stopping` */
    pthread_cond_t moved; /* a thread that waits to connect again looks around */
    struct forward *core;
    struct peer peer[FORWARD_PEERS_MAX];
    unsigned count;
    struct peer_watch *watched; /* by cause: PEER_WATCH_BUCKETS times PEER_WATCH_WAYS */
    uint32_t watch_next;
    uint64_t generation;
    uint64_t resent_told;
    atomic_uint waits[SLOTS_MAX]; /* items of the slot in the table */
    atomic_bool stopping;
};

/* An answer from the owner, to be brought to the client. */
struct peer_got {
    struct peer_item *item;
    struct wire_result result; /* spans into the owner's frame */
    uint32_t order;
};

/* peer_talk.c */
void *peer_thread(void *context);

/* peer_answer.c: frames for the clients. The items are freed. */
void peer_answer_results(struct peers *p, const struct wire_frame *f, struct peer_got *got,
                         size_t count);
void peer_answer_settled(struct peers *p, const struct wire_frame *f);
/* The owner's answer to a question; `f` gets the client's rid. */
void peer_answer_question(struct peers *p, struct peer_item *item, struct wire_frame *f);
/* No owner answered in time. */
void peer_answer_late(struct peers *p, struct peer_item *item);

/* peer.c, under the lock: the item leaves the table. */
void peer_left(struct peers *p, const struct peer_item *item);
/* Under the lock: what is ours by now goes to the commit thread; what is late comes out as
 * a list through core.next. */
void peer_hand_own(struct peers *p, uint64_t now_ms);
struct forward_item *peer_take_late(struct peers *p, uint64_t now_ms);
void peer_say_late(struct peers *p, struct forward_item *late);

#endif
