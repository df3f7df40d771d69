/* A log that is nothing but leaves and a key, and what it signs. */
#ifndef TESTS_FEDERATION_LOG_H
#define TESTS_FEDERATION_LOG_H

#include "crypto/merkle.h"
#include "crypto/note.h"

#define LOG_LEAVES 40

struct test_log {
    struct key *key;
    struct vkey vkey;
    struct hash leaves[LOG_LEAVES];
};
void test_log_make(struct test_log *l, const char *origin, uint8_t seed);
struct hash test_log_root(const struct test_log *l, size_t size);
size_t test_log_note(const struct test_log *l, size_t size, char out[CHECKPOINT_BYTES_MAX]);
size_t test_log_path(const struct test_log *l, size_t old, size_t size, struct hash path[]);

#endif
