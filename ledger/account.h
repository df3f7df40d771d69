/* The account rules: a pure state machine.
 *
 *     account_apply(account, hub, record) -> account'
 *
 * Integer-only, overflow-checked, total: every record is either applied or refused with one
 * code, and a refused one leaves the state as it was. Same records in, same digest out, on
 * relay, mirror, client and auditor. No clock, no I/O; memory comes from a struct alloc.
 * Rules in the order they are checked: docs/PROTOCOL.md section "Rules of apply". */
#ifndef LEDGER_ACCOUNT_H
#define LEDGER_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/hash.h"
#include "crypto/sig.h"
#include "ledger/bytes.h"
#include "ledger/entry.h"
#include "ledger/err.h"
#include "ledger/kinds.h"

/* No balance passes this; with SLOT_SUPPLY_MAX a hub's own points never can. */
#define BALANCE_MAX (INT64_C(1) << 62)
#define SLOT_SUPPLY_MAX(slots) ((INT64_C(1) << 62) / (int64_t)(slots))

/* One writer's chain in one account. */
struct chain {
    uint64_t next_seq;
    struct hash tip; /* id of its newest entry, or of the entry that enrolled it */
    uint64_t tip_lamport;
};

struct device {
    struct pubkey key;
    uint32_t member; /* member.number */
    struct chain chain;
};

struct member {
    uint32_t number; /* 0, 1, 2.. in order of joining; never reused */
    struct pubkey root;
    uint64_t grants;    /* devices granted by this root so far: the next grant number */
    uint64_t rotations; /* of this member's root */
    int64_t position;   /* micro-points; positions of all members sum to zero */
};

struct invite {
    struct hash id;
    struct pubkey key;
    uint64_t expires_ms;
    uint64_t lamport;
};

struct reference {
    struct hash id;
    uint64_t lamport;
};

struct node_epoch {
    struct hash node;
    uint64_t epoch;
};

struct split_kept {
    struct hash id;
    struct hash terms; /* hash_context(CTX_TERMS, terms in force) */
};

/* Variable parts are allocated through `mem` and owned by the account. */
struct account {
    const struct alloc *mem;
    struct hash id;
    uint64_t position; /* records applied */
    struct hash head;  /* account_head of the newest */
    int64_t balance;   /* micro-points, 0..BALANCE_MAX */
    uint8_t residency;
    bool has_recovery;
    struct pubkey recovery;
    struct chain recovery_chain;
    uint32_t recovery_member; /* whom the recovery key speaks for: the founder */
    bool recovery_pending;
    struct hash recovery_begin;
    uint64_t recovery_begin_ms;
    bool bound;
    uint8_t bound_chain;
    uint8_t bound_size;
    char bound_address[ADDRESS_BYTES_MAX];
    struct chain hub; /* the hub as one logical device */
    uint32_t next_member;
    uint32_t member_count, member_cap;
    struct member *members; /* ascending number */
    uint32_t device_count, device_cap;
    struct device *devices; /* order of enrolment */
    uint32_t revoked_count, revoked_cap;
    struct pubkey *revoked; /* order of revocation */
    uint32_t invite_count, invite_cap;
    struct invite *invites; /* order of writing */
    uint32_t ref_count, ref_cap;
    struct reference *refs; /* oldest first, at most REF_WINDOW */
    uint32_t node_count, node_cap;
    struct node_epoch *nodes; /* ascending node */
    uint32_t split_count, split_cap;
    struct split_kept *splits; /* oldest first, at most SPLIT_WINDOW */
};

/* What apply reads of the hub: the keys and rules in force at the record's own index, all
 * taken from log_open, hub_key and rules records of that slot. Also the state that belongs to
 * the hub account itself. */
struct channel {
    char origin[NOTE_NAME_MAX + 1]; /* the other log */
    uint64_t next_in;               /* next out_seq to settle from it */
    uint64_t next_out;              /* next out_seq to give to it */
};
#define CHANNELS_MAX 4096

struct hub_account {
    const struct alloc *mem;
    bool open;
    struct hash id; /* id of log_open */
    uint64_t position;
    struct hash head;
    struct chain chain;
    struct hash federation;
    char hub[HUB_NAME_MAX + 1];
    char origin[NOTE_NAME_MAX + 1]; /* "<hub>/<slot hex2>" */
    uint32_t slot;
    uint32_t slots;
    uint64_t rules;
    struct pubkey issuer;
    struct pubkey relay;
    struct vkey log;
    /* Sums of this slot. The u64 ones count modulo 2^64: conservation holds there too. */
    int64_t accrued;   /* by accrue, micro-points */
    int64_t adjusted;  /* by adjust, signed */
    uint64_t sent;     /* put on channels by transfers and by bounces */
    uint64_t settled;  /* taken from channels by credits and by bounces */
    uint32_t channel_count, channel_cap;
    struct channel *channels; /* ascending origin, bytewise; one for every slot of this hub from
                                 log_open on (none under VIEW_ACCOUNT) */
};

/* One item a transfer or bounce puts on a channel. */
struct channel_item {
    struct hash cause; /* id of the transfer or bounce */
    uint32_t payee_index;
    struct hash payer; /* whose money it is: where a bounce returns to */
    struct hash payee;
    int64_t amount;
    uint32_t source_slot, destination_slot; /* of this hub */
    uint64_t source_index;
    uint64_t source_lamport; /* hub lamport of the source record */
    uint64_t out_seq;
    bool is_return; /* never bounces */
};

/* What a record did beside changing the two states. All zero after a refusal, but for `items`,
 * of which only the first item_count are ever written. */
struct effects {
    size_t item_count; /* none under VIEW_ACCOUNT */
    struct channel_item items[PAYEES_MAX];
    bool settles;            /* credit or bounce: one item of `settle_source` is settled */
    uint32_t settle_source;  /* slot */
    uint64_t settle_seq;     /* its out_seq */
    bool bounced;
};

void account_init(struct account *a, const struct alloc *mem);
void account_close(struct account *a);
void hub_account_init(struct hub_account *h, const struct alloc *mem);
void hub_account_close(struct hub_account *h);

/* How much of the slot the caller follows. A client sees some accounts and the hub account's
 * own records, so channel counters and sums are not his to check. */
enum view { VIEW_SLOT, VIEW_ACCOUNT };

/* Apply one decoded entry, standing at (index, hub_lamport, hub_time_ms) of its log, to the
 * account it is about; of `r` only these three are read, so a sequencer may fill in position
 * and head afterwards, and a replay has to compare them itself. `a` is all-init'ed for an
 * `open`. The device's signature has been checked by the caller (or is vouched for by a later
 * one of the same key); signatures inside the payload are checked here. `fx` may be NULL with
 * VIEW_ACCOUNT. An account of another slot is ERR_ACCOUNT_UNKNOWN.
 * On any error but ERR_OK both states are as they were.
 * Refused codes as documented; ERR_MEMORY; ERR_RULES_AHEAD (stop reading this log). */
MUST_CHECK enum err account_apply(struct account *a, struct hub_account *h,
                                  const struct entry *e, const struct record *r,
                                  enum view view, struct effects *fx);

/* The same for entries in the hub account itself: log_open, hub_key, rules, bounce. */
MUST_CHECK enum err hub_account_apply(struct hub_account *h, const struct entry *e,
                                      const struct record *r, enum view view,
                                      struct effects *fx);

/* Chain a key writes on in this account at this moment, NULL when it may not write. */
const struct chain *account_chain(const struct account *a, const struct hub_account *h,
                                  const struct pubkey *key);
const struct member *account_member(const struct account *a, const struct pubkey *root);
const struct member *account_member_of(const struct account *a, const struct pubkey *device);

/* Canonical state (MessagePack) and its digest, CTX_ACCOUNT_STATE. Encoded size is returned
 * by *_size. decode allocates through `mem`; strict; ERR_CORRUPT. */
size_t account_encode_size(const struct account *a);
void account_encode(struct mp_writer *w, const struct account *a);
MUST_CHECK enum err account_decode(struct account *a, const struct alloc *mem,
                                   struct bytes data);
size_t hub_account_encode_size(const struct hub_account *h);
void hub_account_encode(struct mp_writer *w, const struct hub_account *h);
MUST_CHECK enum err hub_account_decode(struct hub_account *h, const struct alloc *mem,
                                       struct bytes data);
/* `room` is scratch of at least *_encode_size bytes. */
struct hash account_digest(const struct account *a, uint8_t *room, size_t cap);
struct hash hub_account_digest(const struct hub_account *h, uint8_t *room, size_t cap);

#endif
