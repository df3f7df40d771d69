/* Files under one folder that appear whole or not at all: written beside, renamed into place
 * (rename(2), fsync(2)). An edge, used by whoever writes logs, evidence or state as files.
 * Threads: read and put, any, for different paths; the rest by one. One process at a time. */
#ifndef LEDGER_FOLDER_H
#define LEDGER_FOLDER_H

#include "ledger/bytes.h"
#include "ledger/err.h"

#define FOLDER_PATH_MAX 96 /* of a file, from the folder */
#define FOLDER_WHY_MAX 400 /* a sentence: which path, and what the system said */

struct folder {
    int fd; /* -1: closed */
    _Atomic uint64_t made; /* names of files on their way */
};

/* Made when it is not there; locked until folder_close against a second process. What a killed
 * run left on its way is removed. ERR_FILE, ERR_STORE_FULL, ERR_LOCKED. */
MUST_CHECK enum err folder_open(struct folder *d, const char *path, char why[FOLDER_WHY_MAX]);
void folder_close(struct folder *d);
/* The whole file, into a cleared `out`. ERR_NOT_FOUND; ERR_TOO_LARGE: over `max` bytes, or no
 * plain file; ERR_FILE; ERR_MEMORY. */
MUST_CHECK enum err folder_read(const struct folder *d, const char *path, size_t max,
                                struct buf *out);
/* By a rename; folders are made. `durable`: bytes and names are on disk when it returns, else
 * after folder_sync. ERR_FILE, ERR_STORE_FULL. */
MUST_CHECK enum err folder_put(struct folder *d, const char *path, struct bytes data,
                               bool durable, char why[FOLDER_WHY_MAX]);
/* All that was put so far is on disk. ERR_FILE, ERR_STORE_FULL. */
MUST_CHECK enum err folder_sync(const struct folder *d, char why[FOLDER_WHY_MAX]);
/* Unlink the files right under `path` but the one named `keep` (NULL: none is kept), and then
 * the emptied folder. Links are not followed. Returns how many went. */
unsigned folder_drop(const struct folder *d, const char *path, const char *keep);
/* When it is there. */
void folder_remove(const struct folder *d, const char *path);

#endif
