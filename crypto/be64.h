/* A 64-bit number as leaves, heads and refusals carry it: eight bytes, the highest first.
 * Pure; any thread. `at` has eight bytes. */
#ifndef CRYPTO_BE64_H
#define CRYPTO_BE64_H

#include <stdint.h>

static inline uint64_t be64(const uint8_t *at)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | at[i];
    return v;
}

static inline void be64_put(uint8_t *at, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(v >> (56 - 8 * i));
}

#endif
