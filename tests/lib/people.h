/* People with accounts, for tests against a real hub: their keys, their chains, and the
 * entries they sign. Written from the ledger's own contracts; no checks of its own. */
#ifndef TESTS_LIB_PEOPLE_H
#define TESTS_LIB_PEOPLE_H

#include "ledger/wire.h"

#define PERSON_ENVELOPE_MAX 20000

/* What a hub says of itself, from its CHALLENGE and WELCOME. */
struct hub_facts {
    struct hash federation;
    char hub[HUB_NAME_MAX + 1];
    uint32_t slots;
    struct pubkey relay;
    struct wire_limits limits;
    struct hash nonce;
};

/* One device's chain in one account. */
struct person {
    struct key *root;
    struct key *device;
    struct hash account;
    uint64_t next_seq;
    struct hash tip;
    uint64_t lamport;
    uint8_t bytes[PERSON_ENVELOPE_MAX]; /* newest envelope */
    size_t size;
    struct hash id; /* its id */
};

/* `seed` makes the keys: the same seed, the same person. */
void person_make(struct person *p, uint64_t seed);
void person_free(struct person *p);
/* Build the next entry into p->bytes and move the chain on. */
void person_open(struct person *p, const struct hub_facts *h, enum residency residency);
void person_note(struct person *p, size_t data_size);
void person_transfer(struct person *p, const struct hash *payee, int64_t amount);
void person_entry(struct person *p, uint64_t kind, struct bytes payload);
struct bytes person_bytes(const struct person *p);

/* Chain as HEAD_IS gives it for the issuer's key. */
size_t issuer_accrue(const struct key *issuer, const struct hash *account,
                     uint64_t next_seq, const struct hash *tip, uint64_t tip_lamport,
                     uint64_t epoch, int64_t amount, uint8_t *out, size_t cap);

#endif
