/* The worked examples of docs/PROTOCOL.md: fixed keys, one log of seven records, and what
 * follows from them; and the vectors of docs/vectors. Everything is deterministic. What
 * cannot be built is a bug and aborts. */
#ifndef TESTS_DOCS_VECTORS_H
#define TESTS_DOCS_VECTORS_H

#include <stdio.h>

#include "crypto/key.h"
#include "crypto/merkle.h"
#include "crypto/note.h"
#include "crypto/seal.h"
#include "ledger/slotlog.h"

#define WORLD_HUB "hub.example"
#define WORLD_ORIGIN "hub.example/00"
#define WORLD_TIME_MS UINT64_C(1700000000000)
#define WORLD_RECORDS 7
#define WORLD_ENTRY_MAX 2048

enum world_key {
    KEY_ISSUER,
    KEY_RELAY,
    KEY_LOG,
    KEY_A_ROOT,
    KEY_A_DEVICE,
    KEY_B_ROOT,
    KEY_B_DEVICE,
    KEY_RECOVERY,
    KEY_SPARE,
    WORLD_KEYS
};
enum { AT_LOG_OPEN, AT_OPEN_A, AT_OPEN_B, AT_ACCRUE, AT_NOTE, AT_TRANSFER, AT_CREDIT };

struct world_entry {
    struct entry e;
    struct record r;
    struct hash leaf; /* its leaf hash */
    size_t size;
    uint8_t bytes[WORLD_ENTRY_MAX];
};

/* Do not copy: entries point into themselves. */
struct world {
    struct key *key[WORLD_KEYS];
    struct hash federation, node;
    struct slotlog log;
    struct effects fx;
    struct world_entry entry[WORLD_RECORDS];
};

void must(bool holds, const char *what);
struct world *world_open(void);
void world_close(struct world *w);
struct pubkey world_pub(const struct world *w, enum world_key k);
const char *world_key_name(enum world_key k);
/* Sign with `writer` a body made of raw values; `body` is copied. Returns the size. */
size_t world_sign(const struct key *writer, struct bytes body, uint8_t *out);
/* An open of root and device at this hub, with its fields as given. */
void world_payload_open(const struct world *w, struct payload *p, enum world_key root,
                        enum world_key device);
struct frontier world_frontier(const struct world *w, size_t size);
size_t world_checkpoint(const struct world *w, size_t size,
                        char out[CHECKPOINT_BYTES_MAX]);
size_t world_inclusion(const struct world *w, uint64_t index, size_t size,
                       struct hash path[MERKLE_PATH_MAX]);
size_t world_consistency(const struct world *w, size_t from, size_t to,
                         struct hash path[MERKLE_PATH_MAX]);

#define SEALED_TEXT "thanks for lunch"
#define SEALED_RECIPIENTS 2
#define SEALED_BYTES (15 + 88 * SEALED_RECIPIENTS + 40 + 256)

/* An attachment for A's and B's device; what is random elsewhere is fixed here. */
struct sealed_example {
    uint8_t content_key[32], ephemeral[SEALED_RECIPIENTS][32], nonce[24],
        salt[SEAL_SALT_BYTES];
    uint8_t ciphertext[SEALED_BYTES];
    struct hash commitment;
};
void make_sealed(const struct world *w, struct sealed_example *x);

/* One value a line, named: `spec` is "a,b(c,d),list[x]". */
void annotate(FILE *out, const char *spec, struct bytes value);

/* docs/PROTOCOL.md, between its marks. */
void print_worked(FILE *out, struct world *w);
/* docs/vectors/worked.txt: "name hex" lines. */
void print_values(FILE *out, struct world *w);
/* docs/vectors/entries.txt and frames.txt: "code hex what" lines. */
void print_entries(FILE *out, struct world *w);
void print_frames(FILE *out, struct world *w);

/* The code an envelope gets from a hub whose log is the world's: form, signature, rules.
 * Nothing changes, because what would be accepted is not applied. */
enum err judge_entry(struct world *w, struct bytes envelope);

#endif
