/* One signature line out of a note: what a witness keeps of the log's, and what a log takes
 * of a witness's answer. Pure. Source: c2sp.org/signed-note, c2sp.org/tlog-cosignature. */
#ifndef FEDERATION_LINES_H
#define FEDERATION_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/note.h"
#include "ledger/bytes.h"

#define LINE_BYTES_MAX 512 /* of one line that is kept, with its LF */
/* A checkpoint with its log's line and those of as many cosigners as a policy may name. */
#define COSIGNED_BYTES_MAX (CHECKPOINT_BYTES_MAX + 63u * LINE_BYTES_MAX)

/* A line that verifies. */
struct signed_line {
    struct bytes text;     /* with its LF; borrowed from the lines */
    uint64_t time;         /* unix seconds of a cosignature, else 0 */
    struct signature sig;  /* the last 64 bytes of its value */
};

/* The first of `lines` (whole lines, each ended by LF) that is `v`'s and verifies over
 * `text`. False: there is none. Lines of other keys are skipped, whatever they are. */
bool line_find(struct signed_line *out, struct bytes text, struct bytes lines,
               const struct vkey *v);
/* The line of a cosignature that line_find gave. Its length; 0 when cap is too small. */
size_t line_write(char *out, size_t cap, const struct vkey *v, uint64_t time,
                  const struct signature *sig);

#endif
