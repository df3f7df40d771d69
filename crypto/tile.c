#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "crypto/merkle.h"

#define TILE_LEVEL_MAX 63
#define TILE_PATH_ROOM 64 /* "tile/entries/" and seven groups and ".p/255" fit */

unsigned tile_width(tree_size size, unsigned level, uint64_t n)
{
    if (level >= 64 / TILE_HEIGHT)
        return 0;
    uint64_t hashes = size >> (level * TILE_HEIGHT);
    uint64_t full = hashes / TILE_HASHES;
    if (n < full)
        return TILE_HASHES;
    return n == full ? (unsigned)(hashes % TILE_HASHES) : 0;
}

/* n in groups of three digits, all but the last marked by 'x'. */
static size_t put_groups(char *out, size_t cap, uint64_t n)
{
    unsigned group[7]; /* 2^64 has 20 digits */
    size_t count = 0;
    do {
        group[count++] = (unsigned)(n % 1000);
        n /= 1000;
    } while (n != 0);

    size_t used = 0;
    while (count > 0 && used < cap) {
        count--;
        int n_put = snprintf(out + used, cap - used, count == 0 ? "%03u" : "x%03u/",
                             group[count]);
        used += (size_t)n_put;
    }
    return used;
}

size_t tile_path(char *out, size_t cap, int level, uint64_t n, unsigned width)
{
    if (level < -1 || level > TILE_LEVEL_MAX || width == 0 || width > TILE_HASHES)
        return 0;
    char text[TILE_PATH_ROOM];
    int head = level == -1 ? snprintf(text, sizeof text, "tile/entries/")
                           : snprintf(text, sizeof text, "tile/%d/", level);
    size_t used = (size_t)head;
    used += put_groups(text + used, sizeof text - used, n);
    if (width < TILE_HASHES)
        used += (size_t)snprintf(text + used, sizeof text - used, ".p/%u", width);
    assert(used < sizeof text);
    if (used >= cap)
        return 0;
    memcpy(out, text, used + 1);
    return used;
}

struct cursor {
    const char *at;
    const char *end;
};

static bool take(struct cursor *c, const char *text)
{
    size_t size = strlen(text);
    if ((size_t)(c->end - c->at) < size || memcmp(c->at, text, size) != 0)
        return false;
    c->at += size;
    return true;
}

static bool take_number(struct cursor *c, uint64_t *value)
{
    const char *start = c->at;
    uint64_t v = 0;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
        unsigned digit = (unsigned)(*c->at - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *value = v;
    return c->at > start;
}

static bool take_groups(struct cursor *c, uint64_t *n)
{
    uint64_t v = 0;
    for (;;) {
        bool more = take(c, "x");
        uint64_t group;
        if (!take_number(c, &group) || group > 999 || v > (UINT64_MAX - group) / 1000)
            return false;
        v = v * 1000 + group;
        if (!more)
            break;
        if (!take(c, "/"))
            return false;
    }
    *n = v;
    return true;
}

/* Reads loosely, then asks whether tile_path would have written just these bytes. */
bool tile_path_parse(const char *path, size_t size, int *level, uint64_t *n,
                     unsigned *width)
{
    struct cursor c = {path, path + size};
    uint64_t l = 0;
    uint64_t number;
    uint64_t w = TILE_HASHES;
    if (!take(&c, "tile/"))
        return false;
    bool entries = take(&c, "entries");
    if (!entries && (!take_number(&c, &l) || l > TILE_LEVEL_MAX))
        return false;
    if (!take(&c, "/") || !take_groups(&c, &number))
        return false;
    if (take(&c, ".p/") && (!take_number(&c, &w) || w >= TILE_HASHES))
        return false;

    int found = entries ? -1 : (int)l;
    char again[TILE_PATH_ROOM];
    size_t length = tile_path(again, sizeof again, found, number, (unsigned)w);
    if (length == 0 || length != size || memcmp(again, path, size) != 0)
        return false;
    *level = found;
    *n = number;
    *width = (unsigned)w;
    return true;
}

struct hash tile_root(const struct hash hashes[], size_t count)
{
    assert(count >= 1 && count <= TILE_HASHES);
    struct frontier f = {.size = 0};
    for (size_t i = 0; i < count; i++) {
        bool appended = frontier_append(&f, &hashes[i]);
        assert(appended);
        (void)appended;
    }
    return frontier_root(&f);
}
