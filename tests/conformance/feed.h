/* Makes appends for tests and measurements of stores: records with real ids, leaves and
 * trees, but envelopes that are only shaped like entries. Deterministic. */
#ifndef CONFORMANCE_FEED_H
#define CONFORMANCE_FEED_H

#include "ledger/store.h"

#define FEED_ACCOUNTS 32 /* of each slot */
#define FEED_LEVELS (MERKLE_LEVELS_MAX / TILE_HEIGHT)
#define FEED_ENVELOPE_MIN 128

/* Where a slot stands, for whoever writes to it. A plain value. */
struct feed_slot {
    uint32_t slot, slots;
    uint64_t epoch;
    struct frontier frontier;
    struct hash pending[FEED_LEVELS][TILE_HASHES]; /* hashes of the tiles not full yet */
    uint64_t position[FEED_ACCOUNTS];
};

/* An append and everything it points to. */
struct feed_append {
    struct store_append a;
    struct feed_slot after; /* the slot when it has committed */
    uint8_t *bytes;
    struct store_record *records;
    struct store_tile *tiles;
    struct hash *hashes;
    struct channel_item *items;
    struct hash edges[MERKLE_LEVELS_MAX];
    char checkpoint[CHECKPOINT_BYTES_MAX];
};

void feed_slot_init(struct feed_slot *s, uint32_t slot, uint32_t slots, uint64_t epoch);
/* `number` < FEED_ACCOUNTS; the account's id falls into the slot. */
struct hash feed_account(uint32_t slot, uint32_t slots, unsigned number);
/* `records` entries of `envelope_bytes` (>= FEED_ENVELOPE_MIN) on top of `before`; every
 * `items_every`-th (0: none) puts two items on channels. Different `salt`, different
 * bytes. */
void feed_make(struct feed_append *out, const struct feed_slot *before, size_t records,
               size_t envelope_bytes, size_t items_every, uint64_t salt);
void feed_close(struct feed_append *f);

uint64_t feed_random(uint64_t *state);

#endif
