#include "tests/unit/federation/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void test_log_make(struct test_log *l, const char *origin, uint8_t seed)
{
    uint8_t bytes[SEED_BYTES] = {seed, 7};
    memset(l, 0, sizeof(*l));
    l->key = key_from_seed(bytes);
    struct pubkey pub = key_public(l->key);
    if (!vkey_make(&l->vkey, origin, NOTE_ED25519, &pub))
        abort();
    for (size_t i = 0; i < LOG_LEAVES; i++) {
        uint8_t leaf[2] = {seed, (uint8_t)i};
        l->leaves[i] = hash_leaf(leaf, sizeof(leaf));
    }
}

static struct hash root_of(const struct hash *leaves, size_t n)
{
    struct frontier f = {0};
    for (size_t i = 0; i < n; i++)
        if (!frontier_append(&f, &leaves[i]))
            abort();
    return n ? frontier_root(&f) : hash_empty();
}

struct hash test_log_root(const struct test_log *l, size_t size)
{
    return root_of(l->leaves, size);
}

static bool node(void *context, unsigned level, uint64_t n, struct hash *out)
{
    const struct test_log *l = context;
    *out = root_of(l->leaves + (n << level), (size_t)1 << level);
    return true;
}

size_t test_log_note(const struct test_log *l, size_t size, char out[CHECKPOINT_BYTES_MAX])
{
    struct checkpoint c = {.size = size, .root = test_log_root(l, size)};
    snprintf(c.origin, sizeof(c.origin), "%s", l->vkey.name);
    return checkpoint_sign(out, CHECKPOINT_BYTES_MAX, &c, &l->vkey, l->key);
}

size_t test_log_path(const struct test_log *l, size_t old, size_t size, struct hash path[])
{
    struct test_log copy = *l;
    struct merkle_source s = {.node = node, .context = &copy};
    size_t count = 0;
    if (old > 0 && old < size && !merkle_prove_consistency(old, size, &s, path, &count))
        abort();
    return count;
}
