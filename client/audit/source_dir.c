/* A published log in a directory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/audit/source_edges.h"

#define FILE_BYTES_MAX (32u << 20)

struct dir {
    int fd;
};

static void close_dir(void *context)
{
    struct dir *d = context;
    if (d->fd >= 0)
        close(d->fd);
    free(d);
}

static enum err read_all(int fd, const char *path, struct buf *out, char *why)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_BYTES_MAX) {
        snprintf(why, AUDIT_WHY_MAX, "%s is not a file of at most 32 MiB", path);
        return ERR_CORRUPT;
    }
    if (!buf_reserve(out, (size_t)st.st_size + 1))
        return ERR_MEMORY;
    for (;;) {
        size_t room = out->cap - out->size;
        ssize_t n = read(fd, out->data + out->size, room);
        if (n == 0)
            return ERR_OK;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            snprintf(why, AUDIT_WHY_MAX, "%s: %s", path, strerror(errno));
            return ERR_FILE;
        }
        out->size += (size_t)n;
        if (out->size > FILE_BYTES_MAX || !buf_reserve(out, 1))
            return ERR_MEMORY;
    }
}

static enum err get(void *context, const char *path, struct buf *out,
                    char why[AUDIT_WHY_MAX])
{
    const struct dir *d = context;
    int fd = openat(d->fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        snprintf(why, AUDIT_WHY_MAX, "%s: %s", path, strerror(errno));
        return errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_FILE;
    }
    enum err e = read_all(fd, path, out, why);
    close(fd);
    return e;
}

static enum err slots(void *context, uint32_t out[], size_t *count)
{
    const struct dir *d = context;
    char path[32];
    *count = 0;
    for (unsigned i = 0; i < SLOTS_MAX; i++) {
        snprintf(path, sizeof(path), "log/%02x", i);
        if (faccessat(d->fd, path, F_OK, 0) == 0)
            out[(*count)++] = i;
    }
    return ERR_OK;
}

enum err audit_source_directory(struct audit_source **out, const char *path,
                                char why[AUDIT_WHY_MAX])
{
    struct dir *d = calloc(1, sizeof(*d));
    struct stat st;
    if (!d)
        return ERR_MEMORY;
    d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->fd < 0 || fstatat(d->fd, "log", &st, 0) != 0 || !S_ISDIR(st.st_mode)) {
        snprintf(why, AUDIT_WHY_MAX,
                 "%.200s holds no folder \"log\": not a published log; try: stoactl log "
                 "publish DIR, or stoa-audit fetch URL DIR",
                 path);
        close_dir(d);
        return ERR_MISSING;
    }
    const struct audit_files files = {
        .context = d, .get = get, .slots = slots, .close = close_dir};
    return audit_source_files(out, "directory", &files);
}
