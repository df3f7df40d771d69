/* Subprotocol "stoa.v1": the frames between hub and client, as binary WebSocket messages, each
 * one canonical MessagePack array [type, ..]. Format: docs/PROTOCOL.md section "Wire".
 * Codec only: pure, no heap; decoded spans point into the frame. Lists are decoded lazily:
 * a `struct mp_reader` stands at the first element and wire_next_* reads one.
 *
 * Strict: every number is at most 2^63-1; slots, enums and flags must be ones this version
 * knows; a note is never empty (size 0 means nil); a path is whole hashes. */
#ifndef LEDGER_WIRE_H
#define LEDGER_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/key.h"
#include "crypto/merkle.h"
#include "ledger/entry.h"
#include "ledger/err.h"
#include "ledger/kinds.h"
#include "ledger/mp.h"

#define WIRE_SUBPROTOCOL "stoa.v1"
#define WIRE_VERSION 1
#define WIRE_FRAME_MAX (1u << 20)
#define WIRE_ENTRIES_MAX 1024 /* in one SUBMIT or RECORDS or PAGE frame, by protocol */
#define WIRE_TEXT_MAX 300

/* number, name; C = sent by the client, H = by the hub */
#define WIRE_LIST(X)                                                                       \
    X(WIRE_CHALLENGE, 0)     /* H [0, version, federation, hub, slots, nonce, limits] */   \
    X(WIRE_HELLO, 1)         /* C [1, rid, nonce, device|nil, sig|nil, [note..]] */        \
    X(WIRE_WELCOME, 2)       /* H [2, rid, relay key, sig, hub_time_ms, [note..]] */       \
    X(WIRE_SUBMIT, 3)        /* C [3, rid, flags, [envelope..]] */                         \
    X(WIRE_RESULTS, 4)       /* H [4, [[slot, note]..], [result..]] */                     \
    X(WIRE_SETTLED, 5)       /* H [5, [[cause, payee, bounced, slot, index, left]..]] */   \
    X(WIRE_SUBSCRIBE, 6)     /* C [6, rid, what, key, from] */                             \
    X(WIRE_RECORDS, 7)       /* H [7, what, key, mode, [record..], note|nil] */            \
    X(WIRE_UNSUBSCRIBE, 8)   /* C [8, rid, what, key] */                                   \
    X(WIRE_FETCH, 9)         /* C [9, rid, what, key, from, max] */                        \
    X(WIRE_PAGE, 10)         /* H [10, rid, [record..], next, end] */                      \
    X(WIRE_PROOF, 11)        /* C [11, rid, kind, slot, a, b] */                           \
    X(WIRE_PROOF_IS, 12)     /* H [12, rid, path] */                                       \
    X(WIRE_CHECKPOINT, 13)   /* C [13, rid, slot] */                                       \
    X(WIRE_CHECKPOINT_IS, 14) /* H [14, rid, note] */                                      \
    X(WIRE_HEAD, 15)         /* C [15, rid, account, key|nil] */                           \
    X(WIRE_HEAD_IS, 16)      /* H [16, rid, slot, position, head, balance, size, chain|nil, sig] */ \
    X(WIRE_LIMITS, 17)       /* C [17, rid] */                                             \
    X(WIRE_LIMITS_IS, 18)    /* H [18, rid, limits] */                                     \
    X(WIRE_OK, 19)           /* H [19, rid] */                                             \
    X(WIRE_ERROR, 20)        /* H [20, rid, code, text, retry_after_ms] */                 \
    X(WIRE_SETTLEMENT, 21)   /* C [21, rid, cause] */                                      \
    X(WIRE_SETTLEMENT_IS, 22) /* H [22, rid, state, left] */                               \
    X(WIRE_SEALED_PUT, 23)   /* C [23, rid, entry, salt, data] */                          \
    X(WIRE_SEALED_GET, 24)   /* C [24, rid, entry] */                                      \
    X(WIRE_SEALED_IS, 25)    /* H [25, rid, salt, data] */                                 \
    X(WIRE_BYE, 26)          /* H [26, code, text, retry_after_ms]; the socket closes next */ \
    X(WIRE_COSIGNED, 27)     /* C [27, rid, slot]; answered by CHECKPOINT_IS */          \
    X(WIRE_FORWARD, 28)      /* relay to relay [28, device|nil, mac, frame] */

#define WIRE_ENUM_(name, number) name = number,
enum wire_type { WIRE_LIST(WIRE_ENUM_) };
#undef WIRE_ENUM_

enum wire_what { WIRE_ACCOUNT = 0, WIRE_SLOT = 1, WIRE_ID = 2 /* FETCH only */ };
enum wire_mode { WIRE_CATCHUP = 0, WIRE_LIVE = 1 };
enum wire_proof { WIRE_INCLUSION = 0, WIRE_CONSISTENCY = 1 };
enum wire_settlement { WIRE_SETTLE_UNKNOWN = 0, WIRE_SETTLE_PENDING = 1, WIRE_SETTLE_DONE = 2 };
#define WIRE_SUBMIT_SETTLED 1u /* flag: also send SETTLED for these entries */
#define WIRE_RESULT_DUPLICATE 1u

/* [frame_bytes, entry_bytes, entries_a_frame, subscriptions, inflight_entries, page_records,
 *  entries_a_second, burst, idle_ms, unsent_bytes] */
struct wire_limits {
    uint64_t frame_bytes, entry_bytes, entries_a_frame, subscriptions, inflight_entries,
        page_records, entries_a_second, burst, idle_ms, unsent_bytes;
};

/* What a frame is about: account id, slot number or entry id, by `what`. */
struct wire_key {
    uint64_t what;
    struct hash id;
    uint64_t slot;
};

struct wire_result {
    uint64_t rid;   /* of the SUBMIT */
    uint64_t i;     /* which entry of it */
    uint64_t code;  /* 0 accepted, else a refusal's number */
    /* accepted: [rid, i, 0, slot, index, position, account_head, hub_lamport, hub_time_ms,
     *            path, flags] */
    uint64_t slot, index, position;
    struct hash account_head;
    uint64_t hub_lamport, hub_time_ms;
    struct bytes path; /* 32 bytes a hash */
    uint64_t flags;
    /* refused: [rid, i, code, head|nil, balance, retry_after_ms, hub_time_ms, sig|nil];
     * head: [next_seq, tip, tip_lamport]; sig: refusal_message, CTX_REFUSAL, relay key */
    bool has_head;
    uint64_t next_seq;
    struct hash tip;
    uint64_t tip_lamport;
    int64_t balance;
    uint64_t retry_after_ms;
    bool has_sig;
    struct signature sig;
};

struct wire_settled {
    struct hash cause;
    uint64_t payee_index;
    bool bounced;
    uint64_t slot, index;
    uint64_t left;
};

/* One decoded frame: the members that its type uses are filled. */
struct wire_frame {
    uint64_t type;
    uint64_t rid;
    uint64_t version;
    struct hash federation;
    struct bytes hub;
    uint64_t slots;
    struct hash nonce;
    struct wire_limits limits;
    bool has_device; /* HELLO (with has_sig, or neither), HEAD, FORWARD: key given;
                        WELCOME: true */
    struct pubkey device; /* WELCOME: the relay key */
    bool has_sig;
    struct signature sig;
    uint64_t hub_time_ms;
    uint64_t flags;
    struct wire_key key;
    uint64_t from, max; /* SUBSCRIBE, FETCH */
    uint64_t mode;
    uint64_t next, end; /* PAGE */
    uint64_t kind, slot, a, b; /* PROOF, CHECKPOINT, COSIGNED; slot also HEAD_IS */
    struct bytes path;
    struct bytes note; /* size 0: nil */
    struct hash id;    /* HEAD account, SETTLEMENT cause, SEALED_* entry, FORWARD mac */
    uint64_t position;
    struct hash head;
    int64_t balance;
    uint64_t size;
    bool has_chain;
    uint64_t next_seq;
    struct hash tip;
    uint64_t tip_lamport;
    uint64_t code;
    struct bytes text;
    uint64_t retry_after_ms;
    uint64_t state, left;
    struct hash salt;
    struct bytes data; /* SEALED_*; FORWARD: the frame, not decoded */
    /* lists: counts and readers standing at the first element; forms were checked */
    size_t note_count;
    struct mp_reader notes; /* HELLO, WELCOME: bin; RESULTS: [slot, bin] */
    size_t count;
    struct mp_reader list; /* SUBMIT envelopes, RESULTS results, RECORDS/PAGE records,
                              SETTLED items */
};

/* Decode one message. The whole frame is scanned for canonical form and shape, so that the
 * wire_next_* calls cannot fail on it (asserted; calling them more often than the count says
 * is a bug). Members that the type does not use are zero. An envelope in SUBMIT may be of any
 * length and content: what is wrong with it is the answer to that entry, not to the frame.
 * ERR_FRAME: `f` is not to be used. ERR_TOO_LARGE: over WIRE_FRAME_MAX, `f` untouched. */
MUST_CHECK enum err wire_decode(struct wire_frame *f, const void *data, size_t size);
void wire_next_envelope(struct mp_reader *list, struct bytes *envelope);
void wire_next_note(struct mp_reader *notes, struct bytes *note);
void wire_next_slot_note(struct mp_reader *notes, uint64_t *slot, struct bytes *note);
void wire_next_result(struct mp_reader *list, struct wire_result *r);
void wire_next_record(struct mp_reader *list, struct record *r);
void wire_next_settled(struct mp_reader *list, struct wire_settled *s);

/* Encode a frame. One with lists is written head first, with the counts in f->note_count and
 * f->count, and then by the element writers, in this order:
 *   HELLO, WELCOME: wire_put_note each      SUBMIT: wire_put_envelope each
 *   SETTLED: wire_put_settled each          RECORDS: wire_put_record each, one wire_put_note
 *   PAGE: wire_put_record each, wire_put_page_end
 *   RESULTS: wire_put_slot_note each, wire_put_list, wire_put_result each
 * What does not fit sets w->full; what decode would refuse is the caller's bug. */
void wire_put(struct mp_writer *w, const struct wire_frame *f);
void wire_put_envelope(struct mp_writer *w, struct bytes envelope);
void wire_put_note(struct mp_writer *w, struct bytes note); /* size 0: nil */
void wire_put_slot_note(struct mp_writer *w, uint64_t slot, struct bytes note);
void wire_put_list(struct mp_writer *w, size_t count); /* RESULTS: after the notes */
void wire_put_result(struct mp_writer *w, const struct wire_result *r);
void wire_put_record(struct mp_writer *w, const struct record *r);
void wire_put_settled(struct mp_writer *w, const struct wire_settled *s);
void wire_put_page_end(struct mp_writer *w, uint64_t next, uint64_t end); /* after records */
/* Upper bounds, for sizing buffers. */
#define WIRE_RECORD_OVERHEAD 128
#define WIRE_RESULT_BYTES_MAX (200 + MERKLE_PATH_MAX * HASH_BYTES)

/* Signed messages of the wire, written to out[MESSAGE_BYTES_MAX]; length returned. */
/* [federation, hub, hub nonce, client nonce, device|nil]: HELLO (CTX_HELLO, by the device) and
 * WELCOME (CTX_WELCOME, by the relay key) */
size_t hello_message(uint8_t *out, const struct hash *federation, const char *hub,
                     const struct hash *hub_nonce, const struct hash *client_nonce,
                     const struct pubkey *device);
/* FORWARD: what its mac covers, as pieces of `f`; the key is mac_key_shared of the relay key
 * under CTX_PEER_MAC over the hello_message of the connection. */
#define FORWARD_PARTS 3
void forward_parts(struct hash_part parts[FORWARD_PARTS], const struct wire_frame *f);
/* [entry id, code, hub_time_ms] */
size_t refusal_message(uint8_t *out, const struct hash *id, uint64_t code,
                       uint64_t hub_time_ms);
/* [account, position, head, origin, size] */
size_t head_message(uint8_t *out, const struct hash *account, uint64_t position,
                    const struct hash *head, const char *origin, tree_size size);

#endif
