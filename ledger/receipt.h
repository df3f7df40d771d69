/* A receipt: one C2SP tlog-proof text with the whole record in its extra data, so that it can be
 * checked anywhere, offline, against a policy. Pure; the heap only through struct buf.
 *
 *     extra = base64 of canonical MessagePack
 *             [slot, position, account_head bin32, hub_lamport, hub_time_ms, envelope bin]
 *
 * What a receipt proves and what not: docs/PROTOCOL.md section "Receipts". */
#ifndef LEDGER_RECEIPT_H
#define LEDGER_RECEIPT_H

#include "crypto/tlog_proof.h"
#include "ledger/entry.h"
#include "ledger/bytes.h"
#include "ledger/err.h"

#define RECEIPT_BYTES_MAX TLOG_PROOF_BYTES_MAX

struct receipt {
    struct record r; /* the envelope's bytes are in `room` */
    struct tlog_proof proof; /* spans point into the text */
    struct buf room;
};

/* ERR_MALFORMED: not a receipt. Nothing is verified but the form, and that the extra data is one
 * record. Released by receipt_close whatever came out. */
MUST_CHECK enum err receipt_parse(struct receipt *out, const char *text, size_t size);
void receipt_close(struct receipt *r);
/* Append the text with a final zero that is not counted. ERR_MEMORY, ERR_TOO_LARGE. */
MUST_CHECK enum err receipt_format(struct buf *out, const struct record *r,
                                   const struct hash path[], size_t count,
                                   struct bytes note);

#endif
