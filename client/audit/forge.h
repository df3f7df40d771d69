/* A small hub in memory that writes a good log, and then whatever it is told to: the selftest's
 * workshop. Deterministic: keys from seeds, clocks by counting. Aborts on its own mistakes. */
#ifndef CLIENT_AUDIT_FORGE_H
#define CLIENT_AUDIT_FORGE_H

#include "client/replay.h"
#include "crypto/key.h"

#define FORGE_SLOTS 4
#define FORGE_PEOPLE 6
#define FORGE_ENVELOPE_MAX 2048
#define FORGE_HUB "selftest"

/* One stored record: what containers hold. A fault changes these after the log was written. */
struct row {
    uint64_t index, position;
    struct hash account, id;
    uint8_t leaf[LEAF_BYTES];
    uint8_t envelope[FORGE_ENVELOPE_MAX];
    size_t size;
};
struct person_made {
    struct key *root, *device, *spare; /* spare: enrolled second, later revoked */
    struct hash account;
    uint32_t slot;
};
struct forge_slot {
    struct row *rows;
    size_t count, cap;
    struct replay p;
    bool loose; /* the last record was refused by the rules: nothing follows it */
    char note[CHECKPOINT_BYTES_MAX * 2];
    size_t note_size;
    struct hash *tiles[2]; /* levels 0 and 1, whole and partial ones back to back */
    size_t tile_hashes[2];
    /* SQLite's own columns */
    struct hash edges[MERKLE_LEVELS_MAX];
    size_t edge_count;
};
struct forge {
    struct key *issuer, *relay, *log, *witness, *stranger;
    struct vkey log_key[FORGE_SLOTS], witness_key;
    struct hash federation;
    char hub[32];
    uint32_t slots_named; /* in the container */
    struct forge_slot slot[FORGE_SLOTS];
    struct person_made people[FORGE_PEOPLE];
    uint64_t clock_ms, nonce;
    uint64_t in_next[FORGE_SLOTS][FORGE_SLOTS]; /* [to][from] */
};

/* What an entry says beside what its chain gives; zero: as it has to be. */
struct twist {
    int64_t seq, lamport; /* added */
    bool prev, ref;       /* another hash */
    const struct key *signer; /* signs instead */
    bool signature;       /* one bit of it turned */
    int64_t hub_lamport, hub_time; /* added to the record */
    bool head;            /* the account head turned */
};

struct forge *forge_open(void);
void forge_close(struct forge *f);
/* Write the good log: accounts in every slot, more than one tile, all of the money's kinds. */
void forge_fill(struct forge *f);

/* Write an entry about `account` (NULL: the kind has none yet) in its slot, by `key`. */
void forge_entry(struct forge *f, uint32_t slot, const struct hash *account,
                 const struct key *key, const struct payload *p, const struct twist *t);
/* The same without logging it; its size. */
size_t forge_build(struct forge *f, uint32_t slot, const struct hash *account,
                   const struct key *key, const struct payload *p, const struct twist *t,
                   uint8_t out[FORGE_ENVELOPE_MAX]);
/* A transfer from one person to another, without its credit. */
void forge_send(struct forge *f, const struct person_made *from,
                const struct person_made *to, int64_t amount);
/* The credit for what `from` sent last; `more` is added to the amount. */
void forge_credit(struct forge *f, const struct person_made *from,
                  const struct person_made *to, const struct key *by, int64_t more);
/* An account in this slot, of this federation, with this residency. */
void forge_account(struct forge *f, struct person_made *x, uint32_t slot,
                   const struct hash *federation, enum residency residency);
/* Log these bytes as they are. */
void forge_raw(struct forge *f, uint32_t slot, const uint8_t *envelope, size_t size,
               const struct twist *t);
/* Checkpoints, tiles and frontiers of what the rows say now, cosigned when `cosigned`. */
void forge_sign(struct forge *f, bool cosigned);
void forge_sign_slot(struct forge *f, uint32_t slot, bool cosigned);
/* The policy that trusts this hub. */
size_t forge_policy(const struct forge *f, char *out, size_t cap, bool quorum);

#endif
