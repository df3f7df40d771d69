/* The hub's high-water mark: size and root of every slot's newest checkpoint, in a small
 * file beside (not in) the database. A database restored from an old backup stands below
 * it, and the hub then refuses to sequence. Text with a checksum, replaced whole
 * (temporary, fsync, rename, fsync of the folder). Any thread sets a mark; save is for the
 * maintenance thread. */
#ifndef RELAY_HIGHWATER_H
#define RELAY_HIGHWATER_H

#include <pthread.h>
#include <stdbool.h>

#include "ledger/recover.h"

#define HIGHWATER_FILE "highwater"
#define HIGHWATER_PATH_MAX 600

struct highwater {
    char path[HIGHWATER_PATH_MAX]; /* "": nothing is written */
    pthread_mutex_t lock;
    bool dirty;
    uint32_t slots;
    struct recover_mark marks[SLOTS_MAX];
};

/* dir NULL: marks are kept in memory only. */
void highwater_open(struct highwater *h, const char *dir, uint32_t slots);
void highwater_close(struct highwater *h);
/* ERR_OK also when there is no file yet. ERR_CORRUPT: damaged, or of another number of
 * slots; ERR_FILE, ERR_MEMORY. On an error the marks stay as they were. */
MUST_CHECK enum err highwater_load(struct highwater *h);
void highwater_set(struct highwater *h, uint32_t slot, tree_size size,
                   const struct hash *root);
struct recover_mark highwater_get(struct highwater *h, uint32_t slot);
/* Write the file if something changed. ERR_FILE. */
MUST_CHECK enum err highwater_save(struct highwater *h);

#endif
