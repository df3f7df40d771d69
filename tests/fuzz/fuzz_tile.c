/* A tile path that parses is the one that is written for what it names; widths and tile
 * roots are those of the naive tree. First byte: path text, or numbers. */
#include <string.h>

#include "fuzz.h"
#include "input.h"
#include "other.h"

#define PATH_ROOM 128

static void check_text(struct input *in)
{
    int level;
    uint64_t n;
    unsigned width;
    char again[PATH_ROOM];
    struct bytes text = take_bytes(in, 4096);
    if (!tile_path_parse((const char *)text.data, text.size, &level, &n, &width))
        return;
    PROPERTY(level >= -1 && width >= 1 && width <= TILE_HASHES);
    PROPERTY(tile_path(again, sizeof again, level, n, width) == text.size);
    PROPERTY(memcmp(again, text.data, text.size) == 0);
}

/* As many hashes as the tree has complete nodes of that level in the tile's range. */
static unsigned naive_width(uint64_t size, unsigned level, uint64_t n)
{
    uint64_t nodes = 8 * level < 64 ? size >> (8 * level) : 0;
    uint64_t full = nodes / TILE_HASHES;
    return n < full ? TILE_HASHES : n == full ? (unsigned)(nodes % TILE_HASHES) : 0;
}

static void check_numbers(struct input *in)
{
    char text[PATH_ROOM];
    int found_level;
    uint64_t found_n;
    unsigned found_width;
    unsigned level = take_below(in, 64);
    uint64_t size = take(in, 8) >> take_below(in, 64),
             n = take(in, 8) >> take_below(in, 64);
    unsigned width = tile_width(size, level, n);
    PROPERTY(width == naive_width(size, level, n));
    unsigned w = 1 + take_below(in, TILE_HASHES);
    size_t length = tile_path(text, sizeof text, (int)level - 1, n, w);
    size_t room = take_below(in, PATH_ROOM);
    if (length > 0 && tile_path_parse(text, length, &found_level, &found_n, &found_width))
        PROPERTY(found_level == (int)level - 1 && found_n == n && found_width == w);
    PROPERTY(tile_path(text, room, (int)level - 1, n, w) <= room);
}

static void check_root(struct input *in)
{
    static struct hash hashes[TILE_HASHES];
    size_t count = 1 + take_below(in, TILE_HASHES);
    for (size_t i = 0; i < count; i++)
        take_fill(in, hashes[i].b, HASH_BYTES);
    struct hash ours = tile_root(hashes, count), naive = naive_root(hashes, count);
    PROPERTY(hash_equal(&ours, &naive));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = input_of(data, size);
    (void)known_key(0);
    switch (take(&in, 1)) {
    case 0:
        check_numbers(&in);
        break;
    case 1:
        check_root(&in);
        break;
    default:
        in = input_of(data, size); /* text is text from its first byte on */
        check_text(&in);
    }
    return 0;
}
