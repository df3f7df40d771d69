/* C2SP tlog-proof v1: a checkpoint, an index and an inclusion path in one text. Pure.
 *
 *     c2sp.org/tlog-proof@v1 LF
 *     ["extra " base64 LF]            not authenticated
 *     "index " decimal LF
 *     *(base64(hash) LF)              inclusion path, the leaf's sibling first
 *     LF
 *     checkpoint, verbatim, with all its signatures
 */
#ifndef CRYPTO_TLOG_PROOF_H
#define CRYPTO_TLOG_PROOF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/merkle.h"
#include "crypto/note.h"

#define TLOG_PROOF_FIRST "c2sp.org/tlog-proof@v1\n"
#define TLOG_PROOF_EXTRA_MAX 90000 /* bytes of its base64 text */
#define TLOG_PROOF_BYTES_MAX (NOTE_BYTES_MAX + TLOG_PROOF_EXTRA_MAX + 8192)

struct tlog_proof {
    const char *extra; /* base64 text, borrowed; NULL: none */
    size_t extra_size;
    uint64_t index;
    size_t path_count;
    struct hash path[MERKLE_PATH_MAX];
    const char *note; /* borrowed from the text */
    size_t note_size;
};

/* Strict; the note itself is not opened. */
bool tlog_proof_parse(struct tlog_proof *p, const char *text, size_t size);
/* Length without the final zero, which is written; 0 when cap is too small. */
size_t tlog_proof_format(char *out, size_t cap, const struct tlog_proof *p);
/* The leaf hash stands at p->index in the tree of this opened checkpoint. */
bool tlog_proof_holds(const struct tlog_proof *p, const struct checkpoint *c,
                      const struct hash *leaf);

#endif
