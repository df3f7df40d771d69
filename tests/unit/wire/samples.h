/* One frame of every type, and of every shape a type can have, as bytes. */
#ifndef TESTS_UNIT_WIRE_SAMPLES_H
#define TESTS_UNIT_WIRE_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

#define SAMPLE_BYTES_MAX 4096

/* The i-th sample into out[SAMPLE_BYTES_MAX]; its size, or 0 past the last. */
size_t sample(size_t i, uint8_t *out, const char **name);

#endif
