/* A witness's decision about one checkpoint of another's log: may it be cosigned after what
 * was cosigned before? Sans-IO and without state of its own: the request, the log's key and
 * what was last cosigned go in, an HTTP status comes out. What is kept, and that keeping
 * happens before the answer, is witness_store's. Sources: c2sp.org/tlog-witness,
 * c2sp.org/tlog-cosignature. */
#ifndef FEDERATION_WITNESS_H
#define FEDERATION_WITNESS_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/merkle.h"
#include "crypto/note.h"
#include "ledger/bytes.h"

#define WITNESS_PATH_MAX 63u /* hashes of a request's consistency proof */
/* "old" line, proof lines of 44 digits and LF, empty line, note. */
#define WITNESS_BODY_MAX (32u + WITNESS_PATH_MAX * 45u + NOTE_BYTES_MAX)

/* The body of add-checkpoint; `note` is borrowed from it. */
struct witness_request {
    tree_size old;
    size_t count;
    struct hash path[WITNESS_PATH_MAX];
    struct bytes note;
};
/* Strict; false: malformed. The note is not looked into. */
bool witness_request_parse(struct witness_request *q, struct bytes body);
/* The request as text, with a final zero that is not counted. 0: cap is too small. */
size_t witness_request_write(char *out, size_t cap, tree_size old,
                             const struct hash path[], size_t count, struct bytes note);
/* Decimal, no sign, no leading zero, at most 2^63-1. */
bool witness_size_parse(tree_size *out, struct bytes text);
/* First line of the note; false: it can be no origin. */
bool witness_request_origin(const struct witness_request *q,
                            char origin[NOTE_NAME_MAX + 1]);

/* What was last cosigned of one log; witness_never() when nothing was. */
struct witness_state {
    tree_size size;
    struct hash root;
};
struct witness_state witness_never(void);

/* Values are the HTTP statuses. */
enum witness_status {
    WITNESS_COSIGN = 200,
    WITNESS_MALFORMED = 400, /* request or checkpoint; or old > size */
    WITNESS_UNSIGNED = 403,  /* not signed by the log, or signed wrongly */
    WITNESS_UNKNOWN = 404,   /* no such log here */
    WITNESS_CONFLICT = 409,  /* old is not the size last cosigned */
    WITNESS_REFUSED = 422    /* not shown to be a continuation */
};
struct witness_verdict {
    enum witness_status status;
    const char *why;              /* static, for the answer's body */
    bool is_signed;               /* the log's key signed it; what follows is set */
    struct checkpoint checkpoint; /* also its text parsed */
    struct bytes text;            /* of the note, borrowed */
    bool fork; /* signed, the size last cosigned, another root: two trees of one log */
};
/* `log`: key of the note's origin; NULL: it is none of ours. */
void witness_judge(struct witness_verdict *v, const struct witness_request *q,
                   const struct vkey *log, const struct witness_state *at);

#endif
