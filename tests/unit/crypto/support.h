/* What the tests of crypto/ share: known answers from files, bytes from hex. Every
 * function fails the running test on trouble. Memory it returns is released by free(). */
#ifndef TESTS_UNIT_CRYPTO_SUPPORT_H
#define TESTS_UNIT_CRYPTO_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "crypto/hash.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

#define FIELDS_MAX 16
#define LINE_BYTES_MAX 8192

/* One record of a file of ours; fields point into text. */
struct record {
    char text[LINE_BYTES_MAX];
    char *field[FIELDS_MAX];
    size_t count;
};

/* A file under tests/vectors/crypto. */
FILE *own_vectors(const char *name);
bool record_next(FILE *f, struct record *r);

/* A file of the published vectors; NULL (and a line printed) when it is not there. */
char *shared_path(const char *name);
json_t *shared_json(const char *name);

char *file_read(const char *path, size_t *size);

/* Bytes of a hex string ("-" is none). */
uint8_t *hex_bytes(const char *hex, size_t *size);
void hex_exact(uint8_t *out, size_t size, const char *hex);
struct hash hex_hash(const char *hex);

/* cmocka group set-up that starts the library. */
int start_crypto(void **state);

#endif
