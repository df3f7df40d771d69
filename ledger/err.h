/* The one table of error codes: wire, metrics, command lines and docs all read it.
 *
 * Three classes by number: 1xx *refused* (the sender's doing: answer it), 2xx *failed* (the
 * world's: retry or drop), 3xx *broken* (our own state is not to be trusted: stop).
 * Columns: name, number, word (fixed, on the wire and in metrics), retry, text.
 * Retry: NO (the same bytes will be refused again), SAME (send the same bytes again later),
 * AGAIN (build and sign a new entry on the head that came with the refusal). */
#ifndef LEDGER_ERR_H
#define LEDGER_ERR_H

#include <stdint.h>

#define MUST_CHECK __attribute__((warn_unused_result))

#define ERR_LIST(X)                                                                        \
    X(ERR_OK, 0, "ok", NO, "done")                                                         \
    /* 10x: the bytes */                                                                   \
    X(ERR_MALFORMED, 101, "malformed", NO, "not canonical MessagePack of the expected shape") \
    X(ERR_TOO_LARGE, 102, "too_large", NO, "longer than the protocol allows")              \
    X(ERR_VERSION, 103, "version", NO, "entry version is not 1")                           \
    X(ERR_KIND_UNKNOWN, 104, "kind_unknown", NO, "no such kind of entry")                  \
    X(ERR_KIND_RESERVED, 105, "kind_reserved", NO, "kind is reserved and not in use yet")  \
    X(ERR_PAYLOAD, 106, "payload", NO, "payload does not fit its kind")                    \
    X(ERR_SIGNATURE, 107, "signature", NO, "signature does not verify")                    \
    X(ERR_KEY_WEAK, 108, "key_weak", NO, "key is not a canonical prime-order point")       \
    X(ERR_REFS_ORDER, 109, "refs_order", NO, "refs are not strictly ascending, or name prev") \
    /* 11x: who wrote it, and where in which chain */                                      \
    X(ERR_ACCOUNT_UNKNOWN, 110, "account_unknown", NO, "no such account here")             \
    X(ERR_ACCOUNT_EXISTS, 111, "account_exists", NO, "account is already open")            \
    X(ERR_DEVICE_UNKNOWN, 112, "device_unknown", NO, "device is not enrolled in this account") \
    X(ERR_DEVICE_REVOKED, 113, "device_revoked", NO, "device was revoked")                 \
    X(ERR_SEQ_TAKEN, 114, "seq_taken", AGAIN, "another entry of this device has this seq") \
    X(ERR_GAP, 115, "gap", SAME, "an earlier entry of this device is missing")             \
    X(ERR_PREV, 116, "prev_mismatch", AGAIN, "prev is not this device's newest entry")     \
    X(ERR_LAMPORT, 117, "lamport", AGAIN, "lamport is not 1 + max(prev, refs)")            \
    X(ERR_REF_UNKNOWN, 118, "ref_unknown", AGAIN, "a ref is not among the account's last 64") \
    X(ERR_AUTHORITY, 119, "authority", NO, "this key may not write this kind")             \
    X(ERR_FEDERATION, 120, "federation", NO, "entry names another federation or hub")      \
    X(ERR_ROOT_SIGNATURE, 121, "root_signature", NO, "root key's signature does not verify") \
    X(ERR_INVITE_SIGNATURE, 122, "invite_signature", NO, "invite key's signature does not verify") \
    X(ERR_COSIGNERS, 123, "cosigners", NO, "too few valid co-signing members")             \
    /* 13x: the rules of an account */                                                     \
    X(ERR_BALANCE, 130, "balance", AGAIN, "balance does not cover the amount")             \
    X(ERR_AMOUNT, 131, "amount", NO, "amount is zero, negative or too large")              \
    X(ERR_PAYEES, 132, "payees", NO, "payees are not strictly ascending, or name the payer") \
    X(ERR_HUB_UNKNOWN, 133, "hub_unknown", NO, "payee's hub is not reachable from here")   \
    X(ERR_SUPPLY, 134, "supply", NO, "slot's supply limit would be passed")                \
    X(ERR_EPOCH_OLD, 135, "epoch_old", NO, "epoch is not above the last one of this node") \
    X(ERR_NODE_LIMIT, 136, "node_limit", NO, "account has its largest number of nodes")    \
    X(ERR_MEMBER_UNKNOWN, 137, "member_unknown", NO, "no such member in this account")     \
    X(ERR_MEMBER_EXISTS, 138, "member_exists", NO, "key is already a member's root")       \
    X(ERR_MEMBER_LIMIT, 139, "member_limit", NO, "account has its largest number of members") \
    X(ERR_MEMBER_LAST, 140, "member_last", NO, "the last member cannot be removed")        \
    X(ERR_DEVICE_EXISTS, 141, "device_exists", NO, "key is or was a device of this account") \
    X(ERR_DEVICE_LIMIT, 142, "device_limit", NO, "largest number of devices is reached")   \
    X(ERR_DEVICE_LAST, 143, "device_last", NO, "a member's last device cannot be revoked") \
    X(ERR_INVITE_UNKNOWN, 144, "invite_unknown", NO, "invite is unknown or already used")  \
    X(ERR_INVITE_EXPIRED, 145, "invite_expired", NO, "invite has expired")                 \
    X(ERR_INVITE_LIMIT, 146, "invite_limit", NO, "account has its largest number of invites") \
    X(ERR_POSITION_OPEN, 147, "position_open", NO, "member's split position is not zero")  \
    X(ERR_RECOVERY_NONE, 148, "recovery_none", NO, "no recovery is under way")             \
    X(ERR_RECOVERY_EARLY, 149, "recovery_early", SAME, "72 h have not passed since recovery began") \
    X(ERR_RECOVERY_PENDING, 150, "recovery_pending", NO, "a recovery is already under way") \
    X(ERR_SPLIT_SUM, 151, "split_sum", NO, "shares do not sum to the amount")              \
    X(ERR_SPLIT_UNKNOWN, 152, "split_unknown", NO, "split is not among the account's last 64") \
    X(ERR_OVERFLOW, 153, "overflow", NO, "a sum would pass its largest value")             \
    X(ERR_GRANT, 154, "grant", AGAIN, "device grant is not the member's next one")         \
    X(ERR_CHAIN, 155, "chain", NO, "no such chain or address")                             \
    X(ERR_RULES, 156, "rules", NO, "rules version is unknown or not above the present one") \
    X(ERR_KEY_USED, 157, "key_used", NO, "key already has a role here")                    \
    X(ERR_EXPIRY, 158, "expiry", NO, "expiry is in the past or more than 30 days away")    \
    X(ERR_CHANNEL, 159, "channel", NO, "channel item is not the next one")                 \
    /* 16x: door policy and service; limits from config act here and nowhere else */       \
    X(ERR_POLICY_SIZE, 160, "policy_size", NO, "entry is over this hub's size limit")      \
    X(ERR_POLICY_RATE, 161, "policy_rate", SAME, "too many entries; wait and send again")  \
    X(ERR_POLICY_KIND, 162, "policy_kind", NO, "this hub does not take this kind at its door") \
    X(ERR_BUSY, 163, "busy", SAME, "queue is full; wait and send again")                   \
    X(ERR_UNAVAILABLE, 164, "unavailable", SAME, "not known to be in the log; send the same entry again") \
    X(ERR_DRAINING, 165, "draining", SAME, "hub is shutting down; send to it again later") \
    X(ERR_NOT_FOUND, 166, "not_found", NO, "nothing there")                                \
    X(ERR_NOT_ALLOWED, 167, "not_allowed", NO, "this key may not read that")               \
    X(ERR_LIMIT, 168, "limit", NO, "over a limit of this connection")                      \
    X(ERR_FRAME, 169, "frame", NO, "frame does not decode or is not expected now")         \
    X(ERR_HELLO, 170, "hello", NO, "challenge was not answered correctly")                 \
    X(ERR_BEHIND, 171, "behind", NO, "hub is behind or beside a checkpoint it signed; it has stopped") \
    X(ERR_SLOW, 172, "slow", SAME, "reader is too slow; fetch from your position")         \
    X(ERR_RANGE, 173, "range", NO, "position, index or size is past the published checkpoint") \
    /* 2xx: the world */                                                                   \
    X(ERR_MEMORY, 201, "memory", SAME, "out of memory")                                    \
    X(ERR_STORE, 202, "store", SAME, "store did not answer")                               \
    X(ERR_STORE_FULL, 203, "store_full", SAME, "disk is full; nothing was written")        \
    X(ERR_LOST, 204, "lost", SAME, "another writer moved the log")                         \
    X(ERR_UNKNOWN, 205, "unknown", SAME, "outcome of the commit is not known")             \
    X(ERR_NET, 206, "net", SAME, "connection failed")                                      \
    X(ERR_TIMEOUT, 207, "timeout", SAME, "no answer in time")                              \
    X(ERR_FILE, 208, "file", NO, "file cannot be read or written")                         \
    X(ERR_EXISTS, 209, "exists", NO, "already there; nothing was changed")                 \
    X(ERR_MISSING, 210, "missing", NO, "not there; create it explicitly first")            \
    X(ERR_LOCKED, 211, "locked", NO, "in use by another process")                          \
    X(ERR_CONFIG, 212, "config", NO, "configuration is wrong")                             \
    X(ERR_USAGE, 213, "usage", NO, "arguments are wrong")                                  \
    X(ERR_ROOM, 214, "room", NO, "caller's buffer is too small")                           \
    X(ERR_SCHEMA, 215, "schema", NO, "store was written by a newer version")               \
    /* 3xx: broken */                                                                      \
    X(ERR_CORRUPT, 301, "corrupt", NO, "stored data does not match its signed root")       \
    X(ERR_IO, 302, "io", NO, "input/output error; the database is suspect")                \
    X(ERR_CLOCK, 303, "clock", NO, "wall clock jumped against the monotonic one")          \
    X(ERR_FORK, 304, "fork", NO, "two signed trees of one log cannot both be true")        \
    X(ERR_RULES_AHEAD, 305, "rules_ahead", NO, "log uses a kind or rules version unknown here") \
    X(ERR_BUG, 306, "bug", NO, "an invariant does not hold")

#define ERR_ENUM_(name, number, word, retry, text) name = number,
enum err { ERR_LIST(ERR_ENUM_) };
#undef ERR_ENUM_

enum err_retry { ERR_RETRY_NO, ERR_RETRY_SAME, ERR_RETRY_AGAIN };

/* Static strings; "?" for a number that is not in the table. */
const char *err_word(enum err e);
const char *err_text(enum err e);
enum err_retry err_retry(enum err e);
/* The code with this number; false when there is none (a peer is newer than we are). */
_Bool err_from_number(uint64_t number, enum err *out);
/* The i-th row of the table, for listings; false past the end. */
_Bool err_row(unsigned i, enum err *out);

#define TRY(call)                                                                          \
    do {                                                                                   \
        enum err try_err_ = (call);                                                        \
        if (try_err_ != ERR_OK)                                                            \
            return try_err_;                                                               \
    } while (0)

#endif
