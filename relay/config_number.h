/* Counts, durations and sizes as people write them. Pure. */
#ifndef RELAY_CONFIG_NUMBER_H
#define RELAY_CONFIG_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#define CONFIG_NUMBER_MAX 32

/* Digits only. False also when over 2^63-1, like those below. */
bool config_count_parse(const char *text, uint64_t *out);
/* "250" (ms), "250ms", "5s", "1m30s", "2h", "7d": units descending, each once. */
bool config_ms_parse(const char *text, uint64_t *ms);
/* "65536", "512B", "64KiB", "4MiB", "1GiB", "2TiB". */
bool config_bytes_parse(const char *text, uint64_t *bytes);
/* The largest unit that divides it; out has CONFIG_NUMBER_MAX room. Neither: plain
 * digits. */
void config_number_format(char *out, bool is_bytes, bool is_ms, uint64_t v);

#endif
