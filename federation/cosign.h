/* Asking witnesses to cosign a hub's own checkpoints: what to ask whom next, when to try
 * again, and which checkpoint has a quorum. Sans-IO: time, randomness and answers are given;
 * no heap, no sockets; the caller locks. Published checkpoints come in at any rate; one at a
 * time, the slot's target, is put to the witnesses, so that their lines gather on one
 * checkpoint and not on one each. Sources: c2sp.org/tlog-witness, tlog-policy,
 * tlog-cosignature. */
#ifndef FEDERATION_COSIGN_H
#define FEDERATION_COSIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/merkle.h"
#include "crypto/policy.h"
#include "federation/lines.h"
#include "ledger/bytes.h"

#define COSIGN_BACKOFF_MS 250u
#define COSIGN_BACKOFF_MAX_MS 30000u
#define COSIGN_RETRY_AFTER_MAX_MS 600000u /* a witness may wish for no more */
#define COSIGN_SKEW_SECONDS 300u /* a cosignature's time may differ this much from ours */

struct cosign_times {
    uint64_t every_ms;   /* between two targets of a slot */
    uint64_t max_age_ms; /* how long a newer checkpoint may stay behind one with a quorum */
};

struct cosign; /* lies in the room the caller gave */

size_t cosign_room(uint32_t slots, size_t witnesses);
/* `room` is cosign_room bytes, zeroed, aligned as malloc does; `p` is borrowed. */
struct cosign *cosign_open(void *room, const struct policy *p, uint32_t slots);

/* The slot's newest checkpoint: a note with the log's line alone. */
void cosign_published(struct cosign *c, uint32_t slot, tree_size size, struct bytes note,
                      uint64_t now_ms);

/* One question to one witness. */
struct cosign_ask {
    uint32_t slot;
    unsigned witness;
    tree_size old, size;
    size_t note_size;
    char note[CHECKPOINT_BYTES_MAX];
};
/* The next question for this witness; false: none now, *wait_ms until there may be one. */
bool cosign_next(struct cosign *c, const struct cosign_times *t, unsigned witness,
                 uint64_t now_ms, struct cosign_ask *ask, uint64_t *wait_ms);

enum cosign_result {
    COSIGN_TAKEN,   /* its line is ours */
    COSIGN_MOVED,   /* 409: it stands elsewhere; the next question begins there */
    COSIGN_AHEAD,   /* 409 with a size that this log does not have yet, or never had */
    COSIGN_REFUSED, /* 400, 403, 404, 422: this log is not to its liking */
    COSIGN_FAILED   /* no answer, 429, 5xx, or nothing of use in it */
};
/* What came of it. Pure, may run without the lock: status 0 is no answer at all; `line` is
 * set with COSIGN_TAKEN, *size with MOVED and AHEAD. */
enum cosign_result cosign_read(const struct policy *p, const struct cosign_ask *ask,
                               unsigned status, struct bytes body, uint64_t wall_seconds,
                               struct signed_line *line, tree_size *size);
/* Take it in. `random` sets the jitter, retry_after_ms (0: none) is the witness's wish. */
void cosign_answered(struct cosign *c, const struct cosign_ask *ask, enum cosign_result r,
                     const struct signed_line *line, tree_size size,
                     uint64_t retry_after_ms, uint64_t random, uint64_t wall_seconds,
                     uint64_t now_ms);

/* Where a slot stands. */
struct cosign_state {
    bool has_quorum;     /* some checkpoint has */
    bool fresh;          /* and it is the newest, or not max_age_ms behind it */
    tree_size newest, size; /* of the newest checkpoint; of the one with a quorum */
    uint64_t witnesses;  /* bits: who cosigned that one */
};
void cosign_slot(const struct cosign *c, const struct cosign_times *t, uint32_t slot,
                 uint64_t now_ms, struct cosign_state *out);
/* The newest checkpoint with a quorum, its lines appended. Length; 0: none yet. */
size_t cosign_quorum_note(const struct cosign *c, uint32_t slot,
                          char out[COSIGNED_BYTES_MAX]);
/* What is to be served: that one while it is fresh, else the newest with whatever lines it
 * has. 0: nothing was published. */
size_t cosign_served_note(const struct cosign *c, const struct cosign_times *t,
                          uint32_t slot, uint64_t now_ms, char out[COSIGNED_BYTES_MAX]);

/* One witness, for people. */
struct cosign_witness {
    uint64_t cosigned, failed; /* answers since the start */
    uint64_t seen_seconds;     /* wall time of the newest line; 0: none */
    bool backing_off;
};
void cosign_witness_state(const struct cosign *c, unsigned witness, uint64_t now_ms,
                          struct cosign_witness *out);

#endif
