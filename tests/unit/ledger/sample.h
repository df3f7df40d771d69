/* Random but valid payloads and entries, from a seed; and an encoder of decoded entries
 * that knows nothing of the received bytes, for round trips. */
#ifndef TEST_LEDGER_SAMPLE_H
#define TEST_LEDGER_SAMPLE_H

#include "ledger/entry.h"
#include "ledger/kinds.h"

struct rng {
    uint64_t state;
};
uint64_t rng_next(struct rng *g);
uint64_t rng_below(struct rng *g, uint64_t bound);
void rng_fill(struct rng *g, void *out, size_t size);

/* A payload with the text its spans point into: keep it where it is. */
struct sample {
    struct payload payload;
    char text[2][512];
    uint8_t data[2048];
};
/* All kinds that are in use. */
#define SAMPLE_KINDS 22
uint64_t sample_kind(unsigned i);
void sample_payload(struct sample *s, uint64_t kind, struct rng *g);

/* A whole signed entry of that kind; its size. Aborts when the codec refuses it. */
size_t sample_entry(uint8_t out[ENVELOPE_BYTES_MAX], uint64_t kind, struct rng *g,
                    const struct key *device);

/* Encode what entry_decode and payload_decode found, body and signature, into out; its
 * size. Aborts when the payload does not decode. */
size_t reencode(uint8_t out[ENVELOPE_BYTES_MAX], const struct entry *e);

#endif
