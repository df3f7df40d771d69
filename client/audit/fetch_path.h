/* A log as files in a folder (ledger/folder.h): the layout of source.h. */
#ifndef CLIENT_AUDIT_FETCH_PATH_H
#define CLIENT_AUDIT_FETCH_PATH_H

#include "client/audit/source.h"
#include "ledger/folder.h"

#define FETCH_PATH_MAX FOLDER_PATH_MAX
#define FETCH_FILE_MAX (32u << 20)

/* File names within a log. width 256: full. */
void fetch_path_tile(char out[FETCH_PATH_MAX], uint32_t slot, unsigned level, uint64_t n,
                     unsigned width);
void fetch_path_entries(char out[FETCH_PATH_MAX], uint32_t slot, uint64_t n, unsigned width);
void fetch_path_envelopes(char out[FETCH_PATH_MAX], uint32_t slot, uint64_t n,
                          unsigned width);

/* The whole file. ERR_NOT_FOUND (also for what is too large or no plain file, which is fetched
 * again), ERR_FILE, ERR_MEMORY. */
MUST_CHECK enum err fetch_read(const struct folder *d, const char *path, struct buf *out);
/* Partial files of a tile other than of this width (0: any), which nobody needs any more;
 * `whole` is the path of the full one. */
void fetch_drop_partial(const struct folder *d, const char *whole, unsigned keep);

#endif
