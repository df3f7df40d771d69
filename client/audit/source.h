/* Where an audit reads bytes from: a hub's URL, a static directory, an export, a SQLite file, a
 * hub's Postgres.
 * A source hands over what is stored, as it is stored, and judges nothing: every check is the
 * engine's (audit.h). Whoever gets ERR_OK has bytes, not truth.
 *
 * Layout of URL and directory (docs/PROTOCOL.md section "HTTP"):
 *     log/<slot hex2>/checkpoint
 *     log/<slot hex2>/checkpoint.later      a copy's: the one shown after the copy was made
 *     log/<slot hex2>/tile/<L>/<N>[.p/<W>]             hash tiles
 *     log/<slot hex2>/tile/entries/<N>[.p/<W>]         80-byte leaves, u16be length before each
 *     log/<slot hex2>/envelopes/<N>[.p/<W>]            u16be length and envelope; length 0: withheld
 *
 * Threads: read and tile may be called for different slots at the same time, for one slot in
 * order; open, close and the rest by one thread. */
#ifndef CLIENT_AUDIT_SOURCE_H
#define CLIENT_AUDIT_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/merkle.h"
#include "ledger/bytes.h"
#include "ledger/entry.h"
#include "ledger/err.h"
#include "ledger/kinds.h"

#define AUDIT_WHY_MAX 400
#define AUDIT_READ_MAX 256 /* records in one read */

/* What a source has beside the envelope: each is a stored value that the engine compares with
 * the one it computes. */
enum audit_has {
    AUDIT_HAS_LEAF = 1,      /* leaf[80] */
    AUDIT_HAS_ENVELOPE = 2,  /* else withheld (pinned) */
    AUDIT_HAS_POSITION = 4,  /* r.position */
    AUDIT_HAS_HEAD = 8,      /* r.account_head */
    AUDIT_HAS_CLOCKS = 16,   /* r.hub_lamport, r.hub_time_ms */
    AUDIT_HAS_ID = 32,       /* id */
    AUDIT_HAS_ACCOUNT = 64,  /* account */
    AUDIT_HAS_LEAF_HASH = 128 /* leaf_hash */
};

struct audit_record {
    unsigned has;
    struct record r; /* slot and index as stored; others as far as `has` says */
    uint8_t leaf[LEAF_BYTES];
    struct hash id, account, leaf_hash;
    const char *damage; /* what is wrong with the row itself; NULL: nothing. Static */
    const char *file; /* name within the source, or its table; lives as long as hold */
    uint64_t offset;  /* of the envelope's first byte in it; row number for a database */
};

struct audit_source;
struct audit_source_ops {
    const char *(*where)(const struct audit_source *s, uint32_t slot);
    void (*close)(struct audit_source *s);
    /* Slots it holds, ascending; at most SLOTS_MAX. */
    enum err (*slots)(struct audit_source *s, uint32_t out[], size_t *count);
    /* The newest checkpoint, as stored. ERR_NOT_FOUND. */
    enum err (*checkpoint)(struct audit_source *s, uint32_t slot, struct buf *note);
    /* One that may be newer than what `checkpoint` gives, by which a log shows how far it has
     * grown. NULL: `checkpoint` asks anew each time. */
    enum err (*later)(struct audit_source *s, uint32_t slot, struct buf *note);
    /* Records from index `from` on, below `size` (of the checkpoint taken), in the order they
     * are stored: an index that is missing, repeated or swapped shows in r.index. *count 0: no
     * more. ERR_CORRUPT: the container itself cannot be read from here on (bad length, cut
     * short); `where` says. `hold` keeps all spans alive until release. */
    enum err (*read)(struct audit_source *s, uint32_t slot, uint64_t from, tree_size size,
                     struct audit_record out[], size_t max, size_t *count, void **hold);
    void (*release)(struct audit_source *s, void *hold);
    /* Stored hashes of tile (level, n), `width` of them, and the root stored beside them where
     * tile_roots says so, not held against each other; ERR_NOT_FOUND: not stored. NULL: a source without
     * tiles. */
    enum err (*tile)(struct audit_source *s, uint32_t slot, unsigned level, uint64_t n,
                     unsigned width, struct hash out[TILE_HASHES], struct hash *root);
    /* What else a hub's own file says of itself: the frontier it keeps beside a checkpoint
     * (lowest level first). NULL: a source without. */
    enum err (*edges)(struct audit_source *s, uint32_t slot, tree_size *size,
                      struct hash out[MERKLE_LEVELS_MAX], size_t *count);
    /* The hub's name and number of slots as the container names them. NULL: it does not. */
    enum err (*identity)(struct audit_source *s, struct hash *federation,
                         char hub[HUB_NAME_MAX + 1], uint32_t *slots);
};
struct audit_source {
    const struct audit_source_ops *ops;
    const char *kind; /* "url", "directory", "export", "sqlite", "postgres" */
    char name[256];   /* as the user gave it, without credentials */
    bool own;       /* the hub's own file: pinned accounts may stand in it whole */
    bool tile_roots; /* it keeps a root beside each tile */
};

/* Sentence of the last failure of a call for `slot`, "" when there was none. */
const char *audit_source_where(const struct audit_source *s, uint32_t slot);

/* The newest checkpoint there is to be had, by `later` or `checkpoint`. */
MUST_CHECK enum err audit_source_later(struct audit_source *s, uint32_t slot, struct buf *note);

/* By its form: http(s)://, postgresql://, a directory, a .jsonl file (or "-" for standard input), a SQLite
 * file (a hub's ledger or an export; told apart by its tables). ERR_USAGE, ERR_MISSING,
 * ERR_CORRUPT, ERR_SCHEMA, ERR_NET, ERR_FILE, ERR_STORE, ERR_CONFIG; `why` is one sentence. */
struct audit_source_options {
    unsigned jobs;    /* connections at a time; 0: 4 */
    unsigned qps;     /* requests a second at most; 0: no limit */
    const char *ca_file;
    const _Bool *cancel;
};
MUST_CHECK enum err audit_source_open(struct audit_source **out, const char *where,
                                      const struct audit_source_options *o,
                                      char why[AUDIT_WHY_MAX]);

#endif
