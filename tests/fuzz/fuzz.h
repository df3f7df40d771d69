/* What libFuzzer calls, and what a broken property does. */
#ifndef TEST_FUZZ_FUZZ_H
#define TEST_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Always compiled in, unlike assert: a fuzzer without its property finds nothing. */
#define PROPERTY(holds)                                                                  \
    do {                                                                                 \
        if (!(holds)) {                                                                  \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #holds);   \
            abort();                                                                     \
        }                                                                                \
    } while (0)

#endif
