/* The directory a log is published into: what is there already is not written again. */
#include <stdio.h>
#include <string.h>

#include "relay/stoactl_log.h"

_Static_assert(LOG_WHY_MAX >= FOLDER_WHY_MAX, "a folder's reason fits");

enum err log_dir_open(struct log_dir *d, const char *path, char *why)
{
    d->files = d->bytes = d->removed = 0;
    return folder_open(&d->folder, path, why);
}

static bool holds(const struct log_dir *d, const char *path, struct bytes data)
{
    struct buf b = {0};
    bool same = folder_read(&d->folder, path, data.size, &b) == ERR_OK &&
                b.size == data.size &&
                (b.size == 0 || memcmp(b.data, data.data, b.size) == 0);
    buf_close(&b);
    return same;
}

enum err log_dir_put(struct log_dir *d, const char *path, struct bytes data, bool durable,
                     char *why)
{
    if (holds(d, path, data))
        return ERR_OK;
    TRY(folder_put(&d->folder, path, data, durable, why));
    d->files++;
    d->bytes += data.size;
    return ERR_OK;
}

void log_dir_drop_partial(struct log_dir *d, const char *whole)
{
    char path[LOG_PATH_MAX + 4];
    snprintf(path, sizeof(path), "%s.p", whole);
    d->removed += folder_drop(&d->folder, path, NULL);
}
