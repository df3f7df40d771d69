/* A log as files in a directory: the layout of source.h, written so that whoever reads it
 * finds a file whole or not at all. Threads: any, for different paths. */
#ifndef CLIENT_AUDIT_FETCH_DIR_H
#define CLIENT_AUDIT_FETCH_DIR_H

#include "client/audit/source.h"

#define FETCH_PATH_MAX 96
#define FETCH_FILE_MAX (32u << 20)

/* File names within a log. width 256: full. */
void fetch_path_tile(char out[FETCH_PATH_MAX], uint32_t slot, unsigned level, uint64_t n,
                     unsigned width);
void fetch_path_entries(char out[FETCH_PATH_MAX], uint32_t slot, uint64_t n, unsigned width);
void fetch_path_envelopes(char out[FETCH_PATH_MAX], uint32_t slot, uint64_t n,
                          unsigned width);

struct fetch_dir {
    int fd;
    uint64_t made; /* names of files on their way */
};

/* Made when it is not there; locked against a second fetch. ERR_FILE, ERR_LOCKED. */
MUST_CHECK enum err fetch_dir_open(struct fetch_dir *d, const char *path,
                                   char why[AUDIT_WHY_MAX]);
void fetch_dir_close(struct fetch_dir *d);
/* The whole file. ERR_NOT_FOUND (also for what is no plain file), ERR_FILE, ERR_MEMORY. */
MUST_CHECK enum err fetch_dir_read(const struct fetch_dir *d, const char *path,
                                   struct buf *out);
/* By a rename; folders are made. `durable`: on disk, name and bytes, when it returns. Others
 * are checked again by whoever goes on after a crash, so they need no fsync each. ERR_FILE,
 * ERR_STORE_FULL. */
MUST_CHECK enum err fetch_dir_write(struct fetch_dir *d, const char *path, struct bytes data,
                                    bool durable, char why[AUDIT_WHY_MAX]);
/* All that was written so far is on disk. ERR_FILE. */
MUST_CHECK enum err fetch_dir_sync(const struct fetch_dir *d, char why[AUDIT_WHY_MAX]);
/* Partial files of a tile other than of this width (0: any), which nobody needs any more;
 * `whole` is the path of the full one. */
void fetch_dir_drop_partial(const struct fetch_dir *d, const char *whole, unsigned keep);
/* When it is there. */
void fetch_dir_remove(const struct fetch_dir *d, const char *path);

#endif
