/* Account holders and what they signed before the clock starts. Entries of one account stand
 * on each other; those of different accounts do not. */
#ifndef TESTS_BENCH_PEOPLE_H
#define TESTS_BENCH_PEOPLE_H

#include "ledger/entry.h"
#include "ledger/kinds.h"
#include "crypto/key.h"

#define ENTRY_STRIDE 768

/* Rows of entries: row k holds the k-th entry of every account. */
struct sheet {
    size_t accounts, rows;
    uint8_t *bytes; /* ENTRY_STRIDE apart */
    uint16_t *size;
};
static inline struct bytes sheet_at(const struct sheet *s, size_t row, size_t account)
{
    size_t i = row * s->accounts + account;
    return bytes_of(s->bytes + i * ENTRY_STRIDE, s->size[i]);
}
static inline size_t sheet_count(const struct sheet *s)
{
    return s->rows * s->accounts;
}
void sheet_close(struct sheet *s);

struct person {
    struct key *device;
    struct pubkey pub;
    struct hash id; /* of the account */
    uint64_t next_seq;
    struct hash tip;
    uint64_t tip_lamport;
};
struct crowd {
    struct hash federation;
    char hub[HUB_NAME_MAX + 1];
    struct key *root;
    size_t count;
    struct person *people;
    struct sheet opens; /* one row */
};
/* Keys and signed opens. */
void crowd_open(struct crowd *c, const struct hash *federation, const char *hub, size_t count);
void crowd_close(struct crowd *c);

/* The next `rows` entries of everyone, signed on all cores. */
void crowd_notes(struct crowd *c, struct sheet *out, size_t rows, size_t envelope_bytes);
/* Each pays one micro-point to another person at every entry. */
void crowd_transfers(struct crowd *c, struct sheet *out, size_t rows);
/* A mixture: every `transfer_every`-th entry is a transfer. */
void crowd_mixed(struct crowd *c, struct sheet *out, size_t rows, size_t envelope_bytes,
                 size_t transfer_every);
/* One accrue for everyone: the issuer's first entry in each account. */
void crowd_accruals(const struct crowd *c, struct sheet *out, const struct key *issuer,
                    int64_t amount);

#endif
