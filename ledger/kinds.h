/* The kinds table: number, name, writer and payload of every kind of entry, in one place for
 * codec, rules and docs. Payload arrays: docs/PROTOCOL.md section "Kinds". Pure, no heap. */
#ifndef LEDGER_KINDS_H
#define LEDGER_KINDS_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/hash.h"
#include "crypto/note.h"
#include "crypto/sig.h"
#include "ledger/bytes.h"
#include "ledger/err.h"
#include "ledger/mp.h"

#define MEMBERS_MAX 100
#define DEVICES_PER_MEMBER_MAX 32
#define DEVICES_MAX 256 /* of all members of an account, at one time */
#define REVOKED_MAX 512 /* keys an account can revoke in its life */
#define INVITES_MAX 32  /* open at one time */
#define PAYEES_MAX 64
#define NODES_MAX 256
#define REF_WINDOW 64
#define SPLIT_WINDOW 64
#define HUB_NAME_MAX 128
#define REASON_BYTES_MAX 256
#define ADDRESS_BYTES_MAX 128
#define NOTE_DATA_MAX 65000
#define CHAINS 10
#define INVITE_MS_MAX (INT64_C(30) * 24 * 3600 * 1000)
#define RECOVERY_WAIT_MS (INT64_C(72) * 3600 * 1000)
#define RULES_VERSION 1

/* Who may write a kind. */
enum writer { BY_MEMBER, BY_ISSUER, BY_RELAY, BY_NOBODY /* reserved */ };

/* name, number, writer */
#define KIND_LIST(X)                                                                       \
    X(KIND_OPEN, 1, "open", BY_MEMBER)                                                     \
    X(KIND_DEVICE_ADD, 2, "device_add", BY_MEMBER)                                         \
    X(KIND_DEVICE_REVOKE, 3, "device_revoke", BY_MEMBER)                                   \
    X(KIND_INVITE, 4, "invite", BY_MEMBER)                                                 \
    X(KIND_MEMBER_ADD, 5, "member_add", BY_MEMBER)                                         \
    X(KIND_MEMBER_REMOVE, 6, "member_remove", BY_MEMBER)                                   \
    X(KIND_ROOT_ROTATE, 7, "root_rotate", BY_MEMBER)                                       \
    X(KIND_RECOVERY_BEGIN, 8, "recovery_begin", BY_MEMBER)                                 \
    X(KIND_RECOVERY_CANCEL, 9, "recovery_cancel", BY_MEMBER)                               \
    X(KIND_TRANSFER, 10, "transfer", BY_MEMBER)                                            \
    X(KIND_SPLIT, 11, "split", BY_MEMBER)                                                  \
    X(KIND_SPLIT_CORRECT, 12, "split_correct", BY_MEMBER)                                  \
    X(KIND_SPLIT_VOID, 13, "split_void", BY_MEMBER)                                        \
    X(KIND_BIND, 14, "bind", BY_MEMBER)                                                    \
    X(KIND_NOTE, 15, "note", BY_MEMBER)                                                    \
    X(KIND_ACCRUE, 32, "accrue", BY_ISSUER)                                                \
    X(KIND_ADJUST, 33, "adjust", BY_ISSUER)                                                \
    X(KIND_LOG_OPEN, 48, "log_open", BY_RELAY)                                             \
    X(KIND_HUB_KEY, 49, "hub_key", BY_RELAY)                                               \
    X(KIND_RULES, 50, "rules", BY_RELAY)                                                   \
    X(KIND_CREDIT, 51, "credit", BY_RELAY)                                                 \
    X(KIND_BOUNCE, 52, "bounce", BY_RELAY)                                                 \
    X(KIND_MINT, 64, "mint", BY_NOBODY)                                                    \
    X(KIND_SEAL, 65, "seal", BY_NOBODY)                                                    \
    X(KIND_ADOPT, 66, "adopt", BY_NOBODY)                                                  \
    X(KIND_REMIT, 67, "remit", BY_NOBODY)                                                  \
    X(KIND_COMPACTION, 68, "compaction", BY_NOBODY)

#define KIND_ENUM_(name, number, word, writer) name = number,
enum kind { KIND_LIST(KIND_ENUM_) };
#undef KIND_ENUM_

const char *kind_word(uint64_t kind); /* "?" when unknown */
/* False when unknown. */
bool kind_writer(uint64_t kind, enum writer *out);
bool kind_from_word(const char *word, enum kind *out);
/* The i-th row; false past the end. */
bool kind_row(unsigned i, enum kind *out);

/* A hub's name: 1..HUB_NAME_MAX of a-z 0-9 . - _, a letter or digit at both ends. */
bool hub_name_ok(const char *name, size_t size);
/* The origin of a slot's log: "<hub>/<slot as two lower-case hex digits>". */
bool origin_ok(const char *origin, size_t size);

enum residency { RESIDENCY_GLOBAL = 0, RESIDENCY_PINNED = 1 };
enum hub_role { ROLE_ISSUER = 0, ROLE_RELAY = 1, ROLE_LOG = 2 };
enum credit_reason { CREDIT_PAYMENT = 0, CREDIT_RETURN = 1 };
enum bounce_reason { BOUNCE_UNKNOWN = 0, BOUNCE_MOVED = 1, BOUNCE_OVERFLOW = 2 };
enum rotate_how { ROTATE_OLD_ROOT = 0, ROTATE_MEMBERS = 1, ROTATE_RECOVERY = 2 };

/* [federation bin32, hub str, root bin32, root_sig bin64, residency uint, recovery bin32|nil,
 *  nonce bin32]            root_sig: grant_open_message, CTX_DEVICE */
struct p_open {
    struct hash federation;
    struct bytes hub;
    struct pubkey root;
    struct signature root_sig;
    uint64_t residency;
    bool has_recovery;
    struct pubkey recovery;
    struct hash nonce;
};
/* [root bin32, device bin32, grant uint, root_sig bin64]   grant_device_message, CTX_DEVICE */
struct p_device_add {
    struct pubkey root;
    struct pubkey device;
    uint64_t grant;
    struct signature root_sig;
};
/* [device bin32] */
struct p_device_revoke {
    struct pubkey device;
};
/* [invite key bin32, expires_ms uint, root_sig bin64]
 * root_sig: invite_grant_message, CTX_INVITE, by the root of the writer's member */
struct p_invite {
    struct pubkey key;
    uint64_t expires_ms;
    struct signature root_sig;
};
/* [root bin32, root_sig bin64, invite_sig bin64]
 * root_sig: grant_device_message with grant 0; invite_sig: invite_message, CTX_INVITE */
struct p_member_add {
    struct pubkey root;
    struct signature root_sig;
    struct signature invite_sig;
};
/* [root bin32, root_sig bin64]
 * root_sig: remove_message, CTX_REMOVE, by the root of the writer's member */
struct p_member_remove {
    struct pubkey root;
    struct signature root_sig;
};
/* [old bin32, new bin32, how uint, device bin32|nil, grant_sig bin64|nil, new_sig bin64,
 *  proofs [[root bin32, sig bin64]]]
 * new_sig and proofs: rotate_message, CTX_ROTATE. device: first device of the new root,
 * granted by it (grant_device_message with grant 0): required when how = 2, else nil.
 * proofs: how 0: one, by the old root; 1: by co-signing members, roots strictly ascending;
 * 2: none */
struct p_root_rotate {
    struct pubkey old_root;
    struct pubkey new_root;
    uint64_t how;
    bool has_device;
    struct pubkey device;
    struct signature grant_sig;
    struct signature new_sig;
    size_t proof_count;
    struct {
        struct pubkey root;
        struct signature sig;
    } proofs[MEMBERS_MAX];
};
/* [] written by the recovery key */
/* [begin id bin32, root bin32, root_sig bin64]     recovery_message, CTX_RECOVERY */
struct p_recovery_cancel {
    struct hash begin;
    struct pubkey root;
    struct signature root_sig;
};
/* [[[account bin32, hub str|nil, amount int > 0], ..]]  1..64, accounts strictly ascending */
struct p_transfer {
    size_t payee_count;
    struct payee {
        struct hash account;
        struct bytes hub; /* size 0: this hub */
        int64_t amount;
    } payees[PAYEES_MAX];
};
/* Terms: [payer root bin32, amount int > 0, [[root bin32, share int >= 0], ..]], roots
 * strictly ascending, shares sum to amount. split: [terms]. */
struct split_terms {
    struct pubkey payer;
    int64_t amount;
    size_t share_count;
    struct {
        struct pubkey root;
        int64_t amount;
    } shares[MEMBERS_MAX];
    struct bytes raw; /* the encoded terms: what the state keeps the hash of */
};
struct p_split {
    struct split_terms terms;
};
/* split_correct: [split id bin32, old terms, new terms]; split_void: [split id, old terms] */
struct p_split_change {
    struct hash split;
    struct split_terms old_terms;
    struct split_terms new_terms; /* split_correct only */
};
/* [chain uint 0..9, address str 1..128] */
struct p_bind {
    uint64_t chain;
    struct bytes address;
};
/* [data bin] */
struct p_note {
    struct bytes data;
};
/* [node bin32, epoch uint, amount int > 0] */
struct p_accrue {
    struct hash node;
    uint64_t epoch;
    int64_t amount;
};
/* [delta int != 0, reason str 1..256] */
struct p_adjust {
    int64_t delta;
    struct bytes reason;
};
/* [federation bin32, hub str, slot uint, slots uint, rules uint, issuer bin32, relay bin32,
 *  log vkey str] */
struct p_log_open {
    struct hash federation;
    struct bytes hub;
    uint64_t slot;
    uint64_t slots;
    uint64_t rules;
    struct pubkey issuer;
    struct pubkey relay;
    struct bytes log_vkey;
};
/* [role uint, old bin32, new bin32, old_sig bin64, new_sig bin64]  hub_key_message,
 * CTX_HUB_KEY, by the old and by the new key of the role */
struct p_hub_key {
    uint64_t role;
    struct pubkey old_key;
    struct pubkey new_key;
    struct signature old_sig;
    struct signature new_sig;
};
/* [version uint] */
struct p_rules {
    uint64_t version;
};
/* [cause bin32, payee index uint, amount int > 0, source origin str, source index uint,
 *  out_seq uint, source hub lamport uint, reason uint] */
struct p_credit {
    struct hash cause;
    uint64_t payee_index;
    int64_t amount;
    struct bytes source; /* origin of the source log */
    uint64_t source_index;
    uint64_t out_seq;
    uint64_t source_lamport;
    uint64_t reason;
};
/* [cause bin32, payee index uint, payer bin32, payee bin32, amount int > 0, source origin str,
 *  source index uint, out_seq uint, source hub lamport uint, reason uint]; in the hub account
 * of the destination slot */
struct p_bounce {
    struct p_credit item; /* reason is a bounce_reason */
    struct hash payer;
    struct hash payee;
};

struct payload {
    uint64_t kind;
    union {
        struct p_open open;
        struct p_device_add device_add;
        struct p_device_revoke device_revoke;
        struct p_invite invite;
        struct p_member_add member_add;
        struct p_member_remove member_remove;
        struct p_root_rotate root_rotate;
        struct p_recovery_cancel recovery_cancel;
        struct p_transfer transfer;
        struct p_split split;
        struct p_split_change split_change;
        struct p_bind bind;
        struct p_note note;
        struct p_accrue accrue;
        struct p_adjust adjust;
        struct p_log_open log_open;
        struct p_hub_key hub_key;
        struct p_rules rules;
        struct p_credit credit;
        struct p_bounce bounce;
    };
};

/* Decode a payload; spans point into `data`. Strict: what payload_encode would not write is
 * ERR_PAYLOAD, and so is a number over 2^63-1, a hub name or origin of the wrong form, and an
 * enum, slot or payee index outside its range; ERR_KIND_UNKNOWN, ERR_KIND_RESERVED. Keys are
 * not checked for enrolment here. Only when the form of the whole payload is right:
 * ERR_PAYEES for a payee list out of order; ERR_AMOUNT for amounts <= 0, shares < 0, an adjust
 * of 0 or of -2^63; ERR_SPLIT_SUM; ERR_CHAIN for a chain over 9.
 * Array elements past their count are left as they were: `*p` is never cleared. */
MUST_CHECK enum err payload_decode(struct payload *p, uint64_t kind, struct bytes data);
/* The same verdict without filling anything in: for entries that are only passed on. */
MUST_CHECK enum err payload_check(uint64_t kind, struct bytes data);
/* Writes p->kind's array; nothing for a kind that has no payload here. Counts must be within
 * their limits; split_terms.raw is not read. */
void payload_encode(struct mp_writer *w, const struct payload *p);

/* The messages that embedded signatures cover: canonical MessagePack arrays written to
 * out[MESSAGE_BYTES_MAX]; the length is returned. */
#define MESSAGE_BYTES_MAX 512
/* [federation, hub, nonce, root, device] */
size_t grant_open_message(uint8_t *out, const struct p_open *p, const struct pubkey *device);
/* [account, root, device, grant] */
size_t grant_device_message(uint8_t *out, const struct hash *account,
                            const struct pubkey *root, const struct pubkey *device,
                            uint64_t grant);
/* [account, invite key, expires_ms]: three items, where invite_message has four */
size_t invite_grant_message(uint8_t *out, const struct hash *account,
                            const struct pubkey *key, uint64_t expires_ms);
/* [account, root, number]: the member who goes, and his number in the account */
size_t remove_message(uint8_t *out, const struct hash *account, const struct pubkey *root,
                      uint64_t number);
/* [account, invite id, root, device] */
size_t invite_message(uint8_t *out, const struct hash *account, const struct hash *invite,
                      const struct pubkey *root, const struct pubkey *device);
/* [account, old, new, device|nil, rotations] */
size_t rotate_message(uint8_t *out, const struct hash *account, const struct pubkey *old_root,
                      const struct pubkey *new_root, const struct pubkey *device,
                      uint64_t rotations);
/* [account, begin id, root] */
size_t recovery_message(uint8_t *out, const struct hash *account, const struct hash *begin,
                        const struct pubkey *root);
/* [hub account, role, old, new] */
size_t hub_key_message(uint8_t *out, const struct hash *account, uint64_t role,
                       const struct pubkey *old_key, const struct pubkey *new_key);

#endif
