#include "client/audit/fetch_path.h"

#include <stdio.h>
#include <string.h>

void fetch_path_tile(char out[FETCH_PATH_MAX], uint32_t slot, unsigned level, uint64_t n,
                     unsigned width)
{
    char tile[64];
    (void)tile_path(tile, sizeof(tile), (int)level, n, width);
    snprintf(out, FETCH_PATH_MAX, "log/%02x/%s", (unsigned)slot, tile);
}

void fetch_path_entries(char out[FETCH_PATH_MAX], uint32_t slot, uint64_t n, unsigned width)
{
    char tile[64];
    (void)tile_path(tile, sizeof(tile), -1, n, width);
    snprintf(out, FETCH_PATH_MAX, "log/%02x/%s", (unsigned)slot, tile);
}

void fetch_path_envelopes(char out[FETCH_PATH_MAX], uint32_t slot, uint64_t n,
                          unsigned width)
{
    char tile[64];
    (void)tile_path(tile, sizeof(tile), -1, n, width);
    snprintf(out, FETCH_PATH_MAX, "log/%02x/envelopes/%s", (unsigned)slot,
             tile + strlen("tile/entries/"));
}

enum err fetch_read(const struct folder *d, const char *path, struct buf *out)
{
    enum err e = folder_read(d, path, FETCH_FILE_MAX, out);
    return e == ERR_TOO_LARGE ? ERR_NOT_FOUND : e;
}

void fetch_drop_partial(const struct folder *d, const char *whole, unsigned keep)
{
    char path[FETCH_PATH_MAX + 4], kept[16];
    snprintf(path, sizeof(path), "%s.p", whole);
    snprintf(kept, sizeof(kept), "%u", keep);
    (void)folder_drop(d, path, keep ? kept : NULL);
}
