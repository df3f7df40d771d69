/* Evidence: one file that shows, by the original signatures alone and offline, that a key
 * signed what cannot all be true. It carries no word of whoever kept it. Text, format in
 * docs/PROTOCOL.md section "Evidence":
 *
 *     stoa-evidence/v1 LF
 *     kind <word> LF
 *     (<name> <value> LF)*        fixed names in fixed order, base64 for bytes
 *
 * The checker is told which keys are believed to be whose (vkeys from the user's policy) and
 * accuses nobody else. It can be wrong in one direction only: an innocent signer is never
 * accused, as long as his keys are his alone and SHA-256 stands. Pure; heap only through
 * struct buf of the maker. */
#ifndef LEDGER_EVIDENCE_H
#define LEDGER_EVIDENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/merkle.h"
#include "crypto/note.h"
#include "ledger/bytes.h"
#include "ledger/entry.h"
#include "ledger/err.h"

#define EVIDENCE_FIRST "stoa-evidence/v1\n"
#define EVIDENCE_BYTES_MAX (128u << 20)
#define EVIDENCE_CHAIN_MAX 65536 /* envelopes of one account */
#define EVIDENCE_LEAVES_MAX (1u << 20)
#define EVIDENCE_WHY_MAX 400

enum evidence_kind {
    /* Two checkpoints of one log key, same size with two roots; or different sizes and a
     * consistency path, taken from the larger tree, that leads to the larger root and to
     * another root for the smaller size than the one signed. */
    EVIDENCE_FORK = 1,
    /* Two inclusion proofs under one log key's checkpoints: another leaf at the same index. */
    EVIDENCE_RECEIPT,
    /* A head signed by the hub (CTX_HEAD) and the account's envelopes in the log, chained
     * from zero, each with its inclusion: the log has another head at that position, or the
     * position-th record stands at or past `size`. */
    EVIDENCE_HEAD,
    /* Two signed heads of one account and position that differ. */
    EVIDENCE_HEADS,
    /* A signed head that no leaf below `size` carries: all leaves up to `size`, which give a
     * signed root. */
    EVIDENCE_OMITTED,
    /* Two entries of one (account, device, seq). */
    EVIDENCE_SEQ_REUSED
};

/* A claim of a hub about an account at a tree size. */
struct signed_head {
    struct hash account;
    uint64_t position;
    struct hash head;
    tree_size size;
    struct signature sig; /* relay key, CTX_HEAD over head_message */
};

enum evidence_verdict {
    EVIDENCE_INVALID,   /* does not parse, does not verify, or does not contradict */
    EVIDENCE_UNTRUSTED, /* would hold, but the log key is none the caller knows */
    EVIDENCE_PROVEN,    /* the named key signed what cannot all be true */
    EVIDENCE_REUSED,    /* seq reused, one of the two in the log: stands unless a signed
                           refusal of the other one is shown */
    EVIDENCE_LABELLED,  /* seq reused, neither shown to be in a log: a fact, no accusation */
    EVIDENCE_CLEARED    /* seq reused after a signed refusal: as an honest client does */
};

struct evidence_result {
    enum evidence_verdict verdict;
    enum evidence_kind kind;
    char origin[NOTE_NAME_MAX + 1]; /* log, for a hub */
    struct pubkey accused;          /* log key, relay key or device */
    struct hash account;            /* where one is meant; else zero */
    uint64_t index;                 /* record, position or size that it is about */
    char why[EVIDENCE_WHY_MAX];     /* one sentence for a person, whatever the verdict */
};

/* `refusals`: signed refusals known to the caller, as RESULTS carried them. */
struct known_refusal {
    struct hash id;
    uint64_t code, hub_time_ms;
    struct signature sig;
};
struct evidence_trust {
    const struct vkey *logs;
    size_t log_count;
    const struct known_refusal *refusals;
    size_t refusal_count;
};
void evidence_check(const void *data, size_t size, const struct evidence_trust *trust,
                    struct evidence_result *out);

/* Makers: append the file to `out`. Each checks what it made with evidence_check against the
 * key in hand and answers ERR_NOT_FOUND when that does not hold: nothing is written that
 * does not stand alone. ERR_MEMORY, ERR_TOO_LARGE. */

/* a, b: whole notes of one log. The path is empty for equal sizes; else as RFC 9162 makes it for
 * the larger tree, its first node always given (where the smaller size is a power of two, that is
 * the root the larger tree has over it). */
MUST_CHECK enum err evidence_fork(struct buf *out, const struct vkey *log, struct bytes a,
                                  struct bytes b, const struct hash path[], size_t count);
/* a, b: tlog-proof texts; leaf data of each. */
MUST_CHECK enum err evidence_receipt(struct buf *out, const struct vkey *log,
                                     struct bytes proof_a, struct bytes leaf_a,
                                     struct bytes proof_b, struct bytes leaf_b);

/* One envelope with its place: what a checker needs of it. `proof` is a tlog-proof text whose
 * leaf is the record's. */
struct evidence_record {
    struct bytes envelope;
    uint64_t hub_lamport, hub_time_ms;
    struct hash account_head;
    struct bytes proof;
};
/* keys: the log's log_open and hub_key records, which name the relay key. */
MUST_CHECK enum err evidence_head(struct buf *out, const struct vkey *log,
                                  const struct signed_head *h,
                                  const struct evidence_record keys[], size_t key_count,
                                  const struct evidence_record chain[], size_t count);
MUST_CHECK enum err evidence_heads(struct buf *out, const struct vkey *log,
                                   const struct signed_head *a, const struct signed_head *b,
                                   const struct evidence_record keys[], size_t key_count);
MUST_CHECK enum err evidence_omitted(struct buf *out, const struct vkey *log,
                                     const struct signed_head *h,
                                     const struct evidence_record keys[], size_t key_count,
                                     struct bytes note, const uint8_t *leaves, size_t count);
/* The same, of a head file (below) as it is. */
MUST_CHECK enum err evidence_omitted_of(struct buf *out, const struct vkey *log,
                                        struct bytes head_file, struct bytes note,
                                        const uint8_t *leaves, size_t count);
/* `logged`: the one in the log, with its proof; a proof of size 0: neither is shown to be. */
MUST_CHECK enum err evidence_reused(struct buf *out, const struct vkey *log,
                                    const struct evidence_record *logged,
                                    const struct evidence_record keys[], size_t key_count,
                                    struct bytes other, const struct known_refusal *refusal);

/* A head as a file of its own: what a hub vouched for when it was asked (HEAD_IS), with what is
 * needed to tell by the log key alone that it did. Whoever holds it can hold the log to it later.
 *
 *     stoa-head/v1 LF
 *     log <vkey> LF, (key <envelope> <leaf> <proof> LF)*, head <base64> LF      as in evidence */
#define HEAD_FILE_FIRST "stoa-head/v1\n"
#define HEAD_FILE_BYTES_MAX (1u << 20)

struct head_file {
    struct vkey log;
    bool trusted; /* `log` is one that the caller knows */
    struct signed_head head;
    struct pubkey by; /* the relay key that signed */
    char why[EVIDENCE_WHY_MAX];
};
/* Checked as head_file_check does; ERR_SIGNATURE when it would not hold. ERR_MEMORY,
 * ERR_TOO_LARGE. */
MUST_CHECK enum err head_file_make(struct buf *out, const struct vkey *log,
                                   const struct signed_head *h,
                                   const struct evidence_record keys[], size_t key_count);
/* ERR_MALFORMED: no head file. ERR_SIGNATURE: something in it does not hold; `why` says what. */
MUST_CHECK enum err head_file_check(const void *data, size_t size,
                                    const struct evidence_trust *trust,
                                    struct head_file *out);

const char *evidence_kind_word(enum evidence_kind k);
const char *evidence_verdict_word(enum evidence_verdict v);

#endif
