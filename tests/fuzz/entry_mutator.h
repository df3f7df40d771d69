/* Inputs that are past the signatures: entries with fields, payloads and whole bodies
 * changed and then signed again by keys the fuzzer knows. libFuzzer calls it instead of
 * its own mutations; the replay program calls it too, so that it is tested with every
 * compiler. */
#ifndef TEST_FUZZ_ENTRY_MUTATOR_H
#define TEST_FUZZ_ENTRY_MUTATOR_H

#include <stddef.h>
#include <stdint.h>

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
                               unsigned seed);
/* libFuzzer's own, or the replay program's. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

#endif
