/* The entry: one signed statement by one device about one account. Decoding is strict and
 * allocates nothing; what is hashed, checked, stored and sent on are the bytes as received.
 * Format: docs/PROTOCOL.md section "Entry". Pure. */
#ifndef LEDGER_ENTRY_H
#define LEDGER_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/hash.h"
#include "crypto/key.h"
#include "crypto/sig.h"
#include "ledger/bytes.h"
#include "ledger/err.h"

#define ENTRY_VERSION 1
#define ENVELOPE_BYTES_MAX 65471
#define ENTRY_REFS_MAX 8
#define LEAF_BYTES 80

/* A decoded entry. Spans and pointers point into the envelope, which must outlive it. */
struct entry {
    struct bytes envelope;
    struct bytes body;
    struct signature sig;
    struct hash id;
    bool has_account; /* false only in open and log_open */
    struct hash account;
    struct pubkey device;
    uint64_t seq;
    bool has_prev;
    struct hash prev;
    unsigned ref_count;
    struct hash refs[ENTRY_REFS_MAX];
    uint64_t lamport;
    uint64_t time_ms;
    uint64_t kind;
    struct bytes payload; /* one MessagePack array; payload_check said ERR_OK */
    bool has_sealed;
    struct hash sealed_commitment;
    uint64_t sealed_size;
};

/* Decode an envelope: canonical form, field order and limits, refs order, account/prev nil
 * only where the kind allows it, payload of the kind's shape (payload_check). Computes the id.
 * Does not check the signature. On error `e` is not to be used. Form comes first: another
 * error means that the bytes are one well-formed body and a signature.
 * ERR_MALFORMED, ERR_TOO_LARGE, ERR_VERSION, ERR_KIND_UNKNOWN, ERR_KIND_RESERVED,
 * ERR_REFS_ORDER, and the codes of payload_check: ERR_PAYLOAD, ERR_AMOUNT, ERR_PAYEES,
 * ERR_SPLIT_SUM, ERR_CHAIN. */
MUST_CHECK enum err entry_decode(struct entry *e, const void *envelope, size_t size);

/* The device's signature over CTX_ENTRY. */
bool entry_verify(const struct entry *e);

/* The account this entry is about: `account`, or its own id for open and log_open. */
const struct hash *entry_account(const struct entry *e);

/* What a writer says; the rest is derived. */
struct entry_draft {
    const struct hash *account; /* NULL for open, log_open */
    uint64_t seq;
    const struct hash *prev; /* NULL for open, log_open */
    const struct hash *refs; /* strictly ascending */
    unsigned ref_count;
    uint64_t lamport;
    uint64_t time_ms;
    uint64_t kind;
    struct bytes payload; /* encoded by kinds.h */
    const struct hash *sealed_commitment; /* NULL: none */
    uint64_t sealed_size;
};

/* Encode and sign into out[cap]; *size is set. The result is decoded again (one door), so
 * the errors are those of entry_decode, and ERR_ROOM. */
MUST_CHECK enum err entry_build(const struct entry_draft *d, const struct key *device,
                                uint8_t *out, size_t cap, size_t *size);

/* account_head(n) from account_head(n-1); CTX_ACCOUNT_HEAD. */
struct hash account_head_next(const struct hash *head, struct bytes envelope);

/* What the sequencer adds to an entry. `envelope` is borrowed. */
struct record {
    uint32_t slot;
    uint64_t index;    /* in the slot's log */
    uint64_t position; /* in the account: 0 is its open */
    struct hash account_head;
    uint64_t hub_lamport;
    uint64_t hub_time_ms;
    struct bytes envelope;
};

/* The 80 bytes in the tree, and their RFC 6962 leaf hash. */
void record_leaf(const struct record *r, uint8_t leaf[LEAF_BYTES]);
struct hash record_leaf_hash(const struct record *r);

/* Slot of an account: (first two bytes, big-endian) * slots >> 16. */
uint32_t slot_of(const struct hash *account, uint32_t slots);
#define SLOTS_MAX 256
#define SLOTS_DEFAULT 16

#endif
