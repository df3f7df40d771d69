/* Small things the edges of the store share. Nobody else includes this. */
#ifndef LEDGER_STORE_UTIL_H
#define LEDGER_STORE_UTIL_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/be64.h"
#include "ledger/store.h"

#define STORE_SLOT_SHIFT 40 /* a record's place in one word: slot << 40 | index */
#define STORE_INDEX_MAX ((UINT64_C(1) << STORE_SLOT_SHIFT) - 1)
#define STORE_SNAPSHOT_PART_MAX (1u << 20)

/* What the test hook wants of this effect. */
enum store_fault_verdict store_fault_at(const struct store *s, const char *effect);
/* The error a verdict stands for; ERR_OK for FAULT_NONE. */
enum err store_fault_err(enum store_fault_verdict v);
/* The same for an effect before the commit, where nothing can have happened, and for the
 * answer after it, where everything has. */
enum err store_fault_before(const struct store *s, const char *effect);
enum err store_fault_answer(const struct store *s, const char *effect);
/* The outcome an error of an append stands for. */
enum store_outcome store_outcome_of(enum err e);

__attribute__((format(printf, 2, 3))) void store_why_set(struct store_why *why,
                                                         const char *format, ...);

/* Id of the entry in an envelope; false when it is too short to be one. */
bool store_entry_id(struct bytes envelope, struct hash *id);
/* Asserts what the caller of append promises. Returns the records of the call. */
size_t store_append_check(const struct store_append appends[], size_t count,
                          uint32_t slots);
/* Is this who a ledger may be? */
bool store_identity_ok(const struct store_identity *id);

static inline uint64_t store_place(uint32_t slot, uint64_t index)
{
    return (uint64_t)slot << STORE_SLOT_SHIFT | index;
}
static inline uint32_t store_place_slot(uint64_t place)
{
    return (uint32_t)(place >> STORE_SLOT_SHIFT);
}
static inline uint64_t store_place_index(uint64_t place)
{
    return place & STORE_INDEX_MAX;
}

#endif
