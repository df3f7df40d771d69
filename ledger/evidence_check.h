/* What the checks of evidence*.c and head_file.c share: statements read in order, each held to the
 * keys that stand before it. Nobody else includes it. */
#ifndef LEDGER_EVIDENCE_CHECK_H
#define LEDGER_EVIDENCE_CHECK_H

#include "ledger/evidence_text.h"

#define EVIDENCE_KEYS_MAX 64 /* relay keys a log has had */
#define EVIDENCE_HEAD_BYTES (HASH_BYTES + 8 + HASH_BYTES + 8 + SIG_BYTES)

struct evidence_check {
    struct evidence_lines in;
    const struct evidence_trust *trust;
    struct evidence_result *out;
    struct vkey log;
    bool trusted;
    size_t relay_count;
    struct pubkey relay[EVIDENCE_KEYS_MAX]; /* all the log has named, oldest first */
};

/* "log <vkey>". False, and out->why says why: as all of these. */
bool evidence_take_log(struct evidence_check *x);
/* "key <envelope> <leaf> <proof>": log_open at index 0, then changes of the relay key in order. */
bool evidence_take_keys(struct evidence_check *x);
/* "head <base64>", signed by one of the log's relay keys. */
bool evidence_take_head(struct evidence_check *x, struct signed_head *h, struct pubkey *by);

#endif
