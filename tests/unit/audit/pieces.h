/* Everything an honest hub and an honest device ever sign, small enough to recombine: for showing
 * that no evidence can be made of it, and what evidence of a lie looks like. */
#ifndef TESTS_UNIT_AUDIT_PIECES_H
#define TESTS_UNIT_AUDIT_PIECES_H

#include "client/audit/forge.h"
#include "ledger/evidence.h"
#include "ledger/evidence_text.h"

#define PIECES_SIZES 4
#define PIECES_PROOF_MAX 4096

struct pieces {
    struct forge *f;
    uint32_t slot;
    tree_size size[PIECES_SIZES]; /* ascending; two are powers of two */
    char note[PIECES_SIZES][CHECKPOINT_BYTES_MAX];
    size_t note_size[PIECES_SIZES];
};

struct pieces *pieces_open(void);
void pieces_close(struct pieces *p);
/* tlog-proof of record `index` under the i-th checkpoint; its length. */
size_t pieces_proof(const struct pieces *p, uint64_t index, unsigned i,
                    char out[PIECES_PROOF_MAX]);
/* The record with its proof; spans live in `room`. */
struct evidence_record pieces_record(const struct pieces *p, uint64_t index, unsigned i,
                                     char room[PIECES_PROOF_MAX]);
/* What the hub said of people[0] when the log had `size` records: the truth. */
struct signed_head pieces_head(const struct pieces *p, tree_size size);
void pieces_sign_head(const struct pieces *p, struct signed_head *h);
/* Explicit consistency path between two sizes (its first node always given). */
size_t pieces_path(const struct pieces *p, tree_size small, tree_size large,
                   struct hash out[MERKLE_PATH_MAX]);

/* The same log up to record 100, and another history from there on, signed by the same keys. */
struct pieces *pieces_liar(void);

/* A heap of pieces, as somebody would make it who wants to accuse: the first lines of a kind, then
 * one line, or some that belong together, a piece. Numbers are taken modulo what there is. */
#define PIECE_KINDS 9
struct piece {
    uint64_t what, a, b, index;
};
void pieces_begin(const struct pieces *p, struct buf *out, enum evidence_kind kind);
void pieces_put(const struct pieces *p, struct buf *out, const struct piece *piece);

#endif
