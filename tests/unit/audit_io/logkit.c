#include "tests/unit/audit_io/logkit.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/context.h"
#include "crypto/key.h"

static uint64_t record_seed(const struct logkit *k, uint64_t i)
{
    return k->seed * 1000003 + i * 7919 + (i >= k->fork_at ? 1 : 0);
}

static size_t bytes_of_record(const struct logkit *k, uint64_t i, uint8_t out[256])
{
    uint64_t s = record_seed(k, i);
    size_t size = 100 + s % 120;
    for (size_t at = 0; at < size; at++) {
        s = s * UINT64_C(6364136223846793005) + 1442695040888963407u;
        out[at] = (uint8_t)(s >> 56);
    }
    return size;
}

size_t logkit_envelope(const struct logkit *k, uint64_t i, uint8_t out[256])
{
    return i % 17 == 5 ? 0 : bytes_of_record(k, i, out);
}

void logkit_leaf(const struct logkit *k, uint64_t i, uint8_t leaf[LEAF_BYTES])
{
    uint8_t envelope[256];
    size_t size = bytes_of_record(k, i, envelope);
    struct hash h = hash_sha256(envelope, size);
    memset(leaf, 0, LEAF_BYTES);
    memcpy(leaf, h.b, HASH_BYTES);
    memcpy(leaf + 32, &i, sizeof(i));
    leaf[71] = (uint8_t)i;
}

void logkit_grow(struct logkit *k, uint64_t size, uint64_t fork_at)
{
    assert(size <= LOGKIT_MAX);
    k->fork_at = fork_at;
    k->size = k->shown = size;
    free(k->leaves);
    k->leaves = malloc((size + 1) * sizeof(*k->leaves));
    assert(k->leaves);
    for (uint64_t i = 0; i < size; i++) {
        uint8_t leaf[LEAF_BYTES];
        logkit_leaf(k, i, leaf);
        k->leaves[i] = hash_leaf(leaf, LEAF_BYTES);
    }
}

void logkit_make(struct logkit *k, const char *hub, uint32_t slot, uint64_t size,
                 uint64_t seed)
{
    char origin[64];
    uint8_t raw[32] = {7};
    memset(k, 0, sizeof(*k));
    snprintf(k->hub, sizeof(k->hub), "%s", hub);
    k->slot = slot;
    k->seed = seed;
    k->fail_after = -1;
    k->flips = -1;
    raw[1] = (uint8_t)slot;
    k->key = key_from_seed(raw);
    assert(k->key);
    snprintf(origin, sizeof(origin), "%s/%02x", hub, (unsigned)slot);
    struct pubkey pub = key_public(k->key);
    bool made = vkey_make(&k->vkey, origin, NOTE_ED25519, &pub);
    assert(made);
    logkit_grow(k, size, UINT64_MAX);
}

void logkit_free(struct logkit *k)
{
    free(k->leaves);
    key_free(k->key);
    memset(k, 0, sizeof(*k));
}

struct hash logkit_root(const struct logkit *k, uint64_t size)
{
    struct frontier f = {0};
    for (uint64_t i = 0; i < size; i++) {
        bool ok = frontier_append(&f, &k->leaves[i]);
        assert(ok);
    }
    return frontier_root(&f);
}

static bool add(struct buf *b, const void *data, size_t size)
{
    return buf_add(b, data, size);
}

static enum err checkpoint(const struct logkit *k, struct buf *out)
{
    char note[CHECKPOINT_BYTES_MAX];
    struct checkpoint c = {.size = k->shown, .root = logkit_root(k, k->shown)};
    memcpy(c.origin, k->vkey.name, sizeof(c.origin));
    size_t size = checkpoint_sign(note, sizeof(note), &c, &k->vkey, k->key);
    assert(size > 0);
    return add(out, note, size) ? ERR_OK : ERR_MEMORY;
}

static enum err hashes(const struct logkit *k, unsigned level, uint64_t n, unsigned width,
                       struct buf *out)
{
    uint64_t each = UINT64_C(1) << (8 * level);
    for (uint64_t i = n * 256; i < n * 256 + width; i++) {
        struct frontier f = {0};
        if ((i + 1) * each > k->size)
            return ERR_NOT_FOUND;
        for (uint64_t at = i * each; at < (i + 1) * each; at++)
            if (!frontier_append(&f, &k->leaves[at]))
                return ERR_BUG;
        struct hash h = frontier_root(&f);
        if (!add(out, h.b, HASH_BYTES))
            return ERR_MEMORY;
    }
    return ERR_OK;
}

static enum err bundle(const struct logkit *k, bool entries, uint64_t n, unsigned width,
                       struct buf *out)
{
    for (uint64_t i = n * 256; i < n * 256 + width; i++) {
        uint8_t data[256];
        size_t size = LEAF_BYTES;
        if (i >= k->size)
            return ERR_NOT_FOUND;
        if (entries)
            logkit_leaf(k, i, data);
        else
            size = logkit_envelope(k, i, data);
        uint8_t head[2] = {(uint8_t)(size >> 8), (uint8_t)size};
        if (!add(out, head, 2) || !add(out, data, size))
            return ERR_MEMORY;
    }
    return ERR_OK;
}

static enum err answer(const struct logkit *k, const char *path, struct buf *out)
{
    char start[16], tile[96];
    int level;
    uint64_t n;
    unsigned width;
    snprintf(start, sizeof(start), "log/%02x/", (unsigned)k->slot);
    if (strncmp(path, start, strlen(start)) != 0)
        return ERR_NOT_FOUND;
    path += strlen(start);
    if (strcmp(path, "checkpoint") == 0)
        return checkpoint(k, out);
    bool envelopes = strncmp(path, "envelopes/", 10) == 0;
    snprintf(tile, sizeof(tile), "%s%s", envelopes ? "tile/entries/" : "",
             envelopes ? path + 10 : path);
    if (!tile_path_parse(tile, strlen(tile), &level, &n, &width) ||
        (k->cut_partials && width < 256))
        return ERR_NOT_FOUND;
    return level < 0 ? bundle(k, !envelopes, n, width, out)
                     : hashes(k, (unsigned)level, n, width, out);
}

static enum err get(void *context, const char *path, struct buf *out,
                    char why[AUDIT_WHY_MAX])
{
    struct logkit *k = context;
    int64_t asked = (int64_t)__atomic_add_fetch(&k->asked, 1, __ATOMIC_RELAXED);
    snprintf(why, AUDIT_WHY_MAX, "%.200s: not had", path);
    if (!strstr(path, "checkpoint"))
        (void)__atomic_add_fetch(&k->asked_files, 1, __ATOMIC_RELAXED);
    if (k->fail_after >= 0 && asked > k->fail_after)
        return ERR_NET;
    if (strcmp(path, k->gone) == 0)
        return ERR_NOT_FOUND;
    size_t before = out->size;
    enum err e = answer(k, path, out);
    if (e != ERR_OK) {
        out->size = before;
        return e;
    }
    if (strcmp(path, k->flip) == 0 && k->flips != 0) {
        out->data[out->size - 1] ^= 1;
        if (k->flips > 0)
            k->flips--;
    }
    return ERR_OK;
}

static enum err slots(void *context, uint32_t out[], size_t *count)
{
    out[0] = ((struct logkit *)context)->slot;
    *count = 1;
    return ERR_OK;
}

static void nothing(void *context)
{
    (void)context;
}

struct audit_files logkit_files(struct logkit *k)
{
    return (struct audit_files){
        .context = k, .get = get, .slots = slots, .close = nothing};
}

void logkit_policy(struct policy *p, const struct logkit *k)
{
    char vkey[VKEY_TEXT_MAX], text[VKEY_TEXT_MAX + 64];
    size_t size = vkey_format(&k->vkey, vkey, sizeof(vkey));
    assert(size > 0);
    int n = snprintf(text, sizeof(text), "log %s\nquorum none\n", vkey);
    bool ok = policy_parse(p, text, (size_t)n, NULL);
    assert(ok);
}
