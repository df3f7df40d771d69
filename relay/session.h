/* One connection's protocol state: who it is, what it may do now, its budgets, and the
 * order of its submits. Sans-IO: a decoded frame and the time in, one step out; no heap,
 * no clock, no sockets. Format and order: docs/PROTOCOL.md section "Wire". One thread. */
#ifndef RELAY_SESSION_H
#define RELAY_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/context.h"
#include "crypto/mac.h"
#include "ledger/wire.h"
#include "relay/quota.h"

#define SESSION_HELLO_BYTES_MAX 65536u /* longest frame before WELCOME */
#define SESSION_READS_MAX 16u          /* reads of one connection under way */
#define SESSION_PEER_ENTRIES_MAX 8192u /* entries of another relay under way */
#define SESSION_PEER_READS_MAX 1024u
#define SESSION_SENDERS_PAUSE_PART                                                       \
    2u /* reading resumes below 1/2 of the in-flight limit */

/* The same for every connection of a hub; borrowed. */
struct session_rules {
    struct hash federation;
    const char *hub;
    uint32_t slots;
    struct wire_limits limits;
    struct rate_limit address; /* of everybody at one address together */
    const struct key *relay; /* the hub's relay key: other relays of the hub are known by
                                it; NULL: there are none */
    struct pubkey relay_public;
    uint64_t handshake_ms;
    uint64_t ping_ms;
    uint64_t stalled_ms;
    bool draining;
};

enum session_phase {
    SESSION_GREETED,  /* CHALLENGE sent, HELLO awaited */
    SESSION_CHECKING, /* HELLO was good; its checkpoints are being compared */
    SESSION_OPEN,
    SESSION_ENDED /* nothing more is taken */
};

/* A plain value; all zero before session_begin. session_close gives back a peer's secret. */
struct session {
    uint8_t phase;
    bool has_device;
    bool pinged;
    bool peer;      /* another relay of this hub */
    uint16_t reads; /* FETCH, PROOF, .. under way */
    uint32_t subscribed;
    uint32_t inflight; /* entries submitted and not answered */
    struct pubkey device;
    struct hash nonce;        /* ours, until WELCOME */
    struct hash client_nonce; /* theirs, until WELCOME */
    uint64_t hello_rid;
    struct mac_key *mac; /* peer: over what it forwards; owned */
    uint64_t forwards;   /* peer: frames it forwarded so far */
    struct bucket own; /* of entries, when nobody keeps one by device */
    struct bucket *device_bucket, *address_bucket; /* shared, borrowed; NULL: none */
    uint64_t began_ms;
    uint64_t heard_ms; /* newest byte from the client */
    uint64_t
        progress_ms; /* newest time its socket took something, or nothing was unsent */
};

enum session_act {
    SESSION_NOTHING,
    SESSION_CHECK, /* HELLO is good and carries checkpoints: compare, then session_welcome
                    */
    SESSION_WELCOME, /* HELLO is good: answer WELCOME */
    SESSION_SUBMIT,  /* take frame->list; `take` entries of it have tokens; `address`: the
                        rest is refused for its address, not for its device */
    SESSION_SUBSCRIBE,
    SESSION_UNSUBSCRIBE,
    SESSION_READ,   /* FETCH, PROOF, CHECKPOINT, COSIGNED, SEALED_*: to a reader */
    SESSION_ASK,    /* HEAD, SETTLEMENT: to the commit thread */
    SESSION_FORWARD, /* a peer's: decode frame->data, then session_forwarded */
    SESSION_LIMITS, /* answer LIMITS_IS */
    SESSION_ERROR,  /* answer ERROR with `code`, go on */
    SESSION_END     /* answer ERROR with `code`, then close */
};

struct session_step {
    enum session_act act;
    enum err code;
    uint64_t rid;
    uint64_t retry_after_ms;
    uint64_t take;
    bool address;
};

/* Start; `nonce` is fresh randomness. The driver sends CHALLENGE with it. */
void session_begin(struct session *s, const struct session_rules *r,
                   const struct hash *nonce, uint64_t now_ms);
/* Longest frame it may send now. */
uint64_t session_frame_max(const struct session *s, const struct session_rules *r);
/* What to do with a decoded frame. */
void session_frame(struct session *s, const struct session_rules *r,
                   const struct wire_frame *f, uint64_t now_ms,
                   struct session_step *step);
/* What to do with the frame that a peer's FORWARD carried; `e` is what wire_decode said of
 * it. Only what an owner alone can answer is taken: SUBMIT, HEAD, SETTLEMENT. */
void session_forwarded(struct session *s, const struct wire_frame *f, enum err e,
                       uint64_t now_ms, struct session_step *step);
/* The checkpoints of HELLO are fine (or there were none): the session is open. */
void session_welcome(struct session *s);

/* Wipes what a peer's session holds. */
void session_close(struct session *s);

/* Nothing more is taken; what is queued for it may still go out, for handshake_ms after
 * the newest that did. */
void session_end(struct session *s, uint64_t now_ms);

/* May more be read from it now? False while its budgets of unanswered work are used up.
 */
bool session_wants_input(const struct session *s, const struct session_rules *r);
void session_answered(struct session *s, uint32_t entries);
void session_read_done(struct session *s);

/* Time passes: called about once a second. */
enum session_tick {
    SESSION_TICK_NOTHING,
    SESSION_TICK_PING,
    SESSION_TICK_LATE, /* no HELLO in time, or nothing heard for idle_ms: close */
    SESSION_TICK_SLOW  /* takes nothing for stalled_ms: BYE slow, close */
};
enum session_tick session_tick(struct session *s, const struct session_rules *r,
                               uint64_t unsent_bytes, uint64_t now_ms);
/* A byte came in; something went out (or nothing is left to send). */
void session_heard(struct session *s, uint64_t now_ms);
void session_progress(struct session *s, uint64_t now_ms);

#endif
