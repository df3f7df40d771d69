#include "client/audit/image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/audit/image_sqlite.h"

#define PATH_ROOM 800

const char *const image_words[IMAGE_FORMATS] = {"directory", "sqlite", "export jsonl",
                                                 "export sqlite"};

static bool folders(char *path)
{
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        (void)mkdir(path, 0700);
        *p = '/';
    }
    return true;
}

static bool put(const char *dir, const char *name, const void *data, size_t size)
{
    char path[PATH_ROOM];
    snprintf(path, sizeof(path), "%.600s/%.180s", dir, name);
    folders(path);
    FILE *f = fopen(path, "wbe");
    bool ok = f && fwrite(data, 1, size, f) == size;
    if (f)
        ok = fclose(f) == 0 && ok;
    return ok;
}

/* One bundle: leaves, or envelopes. */
static bool put_bundle(const struct forge_slot *s, uint32_t slot, const char *dir, size_t n,
                       bool envelopes)
{
    char tile[64], name[128];
    uint8_t *room = malloc(TILE_HASHES * (2 + FORGE_ENVELOPE_MAX));
    size_t size = 0, first = n * TILE_HASHES;
    unsigned width = (unsigned)(s->count - first < TILE_HASHES ? s->count - first : TILE_HASHES);
    for (size_t i = first; room && i < first + width; i++) {
        const struct row *r = &s->rows[i];
        const uint8_t *data = envelopes ? r->envelope : r->leaf;
        size_t bytes = envelopes ? r->size : LEAF_BYTES;
        room[size++] = (uint8_t)(bytes >> 8);
        room[size++] = (uint8_t)bytes;
        memcpy(room + size, data, bytes);
        size += bytes;
    }
    (void)tile_path(tile, sizeof(tile), -1, n, width);
    snprintf(name, sizeof(name), "log/%02x/%s%s", (unsigned)slot,
             envelopes ? "envelopes/" : "", envelopes ? tile + strlen("tile/entries/") : tile);
    bool ok = room && put(dir, name, room, size);
    free(room);
    return ok;
}

static bool write_directory(const struct forge *f, const char *dir)
{
    char name[160], tile[64];
    bool ok = true;
    for (uint32_t slot = 0; slot < FORGE_SLOTS; slot++) {
        const struct forge_slot *s = &f->slot[slot];
        for (size_t n = 0; n * TILE_HASHES < s->count; n++)
            ok = ok && put_bundle(s, slot, dir, n, false) && put_bundle(s, slot, dir, n, true);
        for (int level = 0; level < 2; level++)
            for (size_t n = 0; n * TILE_HASHES < s->tile_hashes[level]; n++) {
                size_t left = s->tile_hashes[level] - n * TILE_HASHES;
                unsigned width = (unsigned)(left < TILE_HASHES ? left : TILE_HASHES);
                (void)tile_path(tile, sizeof(tile), level, n, width);
                snprintf(name, sizeof(name), "log/%02x/%s", (unsigned)slot, tile);
                ok = ok && put(dir, name, s->tiles[level] + n * TILE_HASHES,
                               width * sizeof(struct hash));
            }
        snprintf(name, sizeof(name), "log/%02x/checkpoint", (unsigned)slot);
        ok = ok && put(dir, name, s->note, s->note_size);
    }
    return ok;
}

bool image_write(const struct forge *f, enum image_format format, const char *path)
{
    switch (format) {
    case IMAGE_DIRECTORY:
        return write_directory(f, path);
    case IMAGE_SQLITE:
        return image_sqlite_write(f, path);
    default:
        return image_export_write(f, format == IMAGE_EXPORT, path);
    }
}

bool image_sql(const char *path, const char *sql)
{
    return image_sqlite_run(path, sql);
}

/* Read a file whole, let `size` and one byte change, write it again. */
static bool change(const char *path, const char *file, long offset, long cut, bool grow)
{
    char name[PATH_ROOM];
    static uint8_t room[1 << 20];
    snprintf(name, sizeof(name), "%.600s/%.180s", path, file);
    FILE *f = fopen(name, "rbe");
    if (!f)
        return false;
    size_t size = fread(room, 1, sizeof(room) - 8, f);
    fclose(f);
    if (size == 0 || (size_t)cut > size)
        return false;
    if (cut == 0 && !grow)
        room[offset < 0 ? size - (size_t)-offset : (size_t)offset] ^= 1;
    size -= (size_t)cut;
    if (grow)
        memcpy(room + size, "\0\3xyz", 5);
    size += grow ? 5 : 0;
    f = fopen(name, "wbe");
    bool ok = f && fwrite(room, 1, size, f) == size;
    return f && fclose(f) == 0 && ok;
}

bool image_turn(const char *path, const char *file, long offset)
{
    return change(path, file, offset, 0, false);
}
bool image_cut(const char *path, const char *file, long bytes)
{
    return change(path, file, 0, bytes, false);
}
bool image_grow(const char *path, const char *file)
{
    return change(path, file, 0, 0, true);
}
bool image_remove(const char *path, const char *file)
{
    char name[PATH_ROOM];
    snprintf(name, sizeof(name), "%.600s/%.180s", path, file);
    return unlink(name) == 0;
}
