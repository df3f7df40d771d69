/* Signatures in the simulator: real ones, or a stand-in that is a hundred times faster
 * and still tells right from wrong (a hash over key, context and message). Put in the
 * place of crypto/sig.h and crypto/key.h at link time (--wrap), in the program `sim`
 * only. */
#ifndef TESTS_SIM_SIGNATURES_H
#define TESTS_SIM_SIGNATURES_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/key.h"

/* From here on signatures are real, or not. Keys stay good, signatures do not. */
void signatures_real(bool real);

/* The n-th key, and the number of a public key made here (0: none). */
const struct key *key_at(uint32_t n);
struct pubkey pub_at(uint32_t n);
uint32_t key_number(const struct pubkey *key);
/* The key of a public key made here; NULL otherwise. */
const struct key *key_of(const struct pubkey *key);

#endif
