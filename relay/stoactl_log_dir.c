/* Files that appear whole or not at all: written beside, renamed into place. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "relay/stoactl_log.h"

#define TEMPORARY "tmp" /* outside log/: no reader asks there */
#define MODE_FILE 0644  /* what is published is public */
#define MODE_FOLDER 0755

static enum err failed(const char *path, char *why)
{
    enum err e = errno == ENOSPC || errno == EDQUOT ? ERR_STORE_FULL : ERR_FILE;
    snprintf(why, LOG_WHY_MAX, "%.300s: %s", path, strerror(errno));
    return e;
}

/* Unlink the files of a folder; returns how many. */
static unsigned empty_folder(int at, const char *folder)
{
    unsigned count = 0;
    int fd = openat(at, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return 0;
    }
    for (struct dirent *e = readdir(dir); e; e = readdir(dir))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            count += unlinkat(dirfd(dir), e->d_name, 0) == 0;
    closedir(dir);
    return count;
}

enum err log_dir_open(struct log_dir *d, const char *path, char *why)
{
    memset(d, 0, sizeof(*d));
    d->fd = -1;
    if (mkdir(path, MODE_FOLDER) != 0 && errno != EEXIST)
        return failed(path, why);
    d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->fd < 0)
        return failed(path, why);
    enum err e = ERR_OK;
    if (flock(d->fd, LOCK_EX | LOCK_NB) != 0) {
        snprintf(why, LOG_WHY_MAX, "%.300s: another process writes there", path);
        e = ERR_LOCKED;
    } else if (mkdirat(d->fd, TEMPORARY, MODE_FOLDER) != 0 && errno != EEXIST) {
        e = failed(path, why);
    }
    if (e != ERR_OK) {
        close(d->fd);
        d->fd = -1;
        return e;
    }
    (void)empty_folder(d->fd, TEMPORARY); /* of a run that was killed */
    return ERR_OK;
}

void log_dir_close(struct log_dir *d)
{
    if (d->fd < 0)
        return;
    (void)unlinkat(d->fd, TEMPORARY, AT_REMOVEDIR);
    close(d->fd);
    d->fd = -1;
}

static enum err read_open(int fd, size_t max, struct buf *out)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return ERR_FILE;
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > max)
        return ERR_TOO_LARGE;
    if (!buf_reserve(out, (size_t)st.st_size))
        return ERR_MEMORY;
    while (out->size < (size_t)st.st_size) {
        ssize_t n = read(fd, out->data + out->size, (size_t)st.st_size - out->size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ERR_FILE;
        if (n == 0)
            break;
        out->size += (size_t)n;
    }
    return ERR_OK;
}

enum err log_dir_read(const struct log_dir *d, const char *path, size_t max,
                      struct buf *out)
{
    buf_clear(out);
    int fd = openat(d->fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_FILE;
    enum err e = read_open(fd, max, out);
    close(fd);
    return e;
}

static bool holds(const struct log_dir *d, const char *path, struct bytes data)
{
    struct buf b = {0};
    bool same = log_dir_read(d, path, data.size, &b) == ERR_OK && b.size == data.size &&
                (b.size == 0 || memcmp(b.data, data.data, b.size) == 0);
    buf_close(&b);
    return same;
}

static bool write_all(int fd, struct bytes data)
{
    while (data.size > 0) {
        ssize_t n = write(fd, data.data, data.size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data.data += n;
        data.size -= (size_t)n;
    }
    return true;
}

static bool sync_folder_of(const struct log_dir *d, const char *path)
{
    char folder[LOG_PATH_MAX];
    const char *end = strrchr(path, '/');
    snprintf(folder, sizeof(folder), "%.*s", end ? (int)(end - path) : 1,
             end ? path : ".");
    int fd = openat(d->fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool make_folders(const struct log_dir *d, const char *path, bool durable)
{
    char part[LOG_PATH_MAX];
    for (const char *at = strchr(path, '/'); at; at = strchr(at + 1, '/')) {
        snprintf(part, sizeof(part), "%.*s", (int)(at - path), path);
        if (mkdirat(d->fd, part, MODE_FOLDER) == 0) {
            if (durable && !sync_folder_of(d, part))
                return false;
        } else if (errno != EEXIST) {
            return false;
        }
    }
    return true;
}

enum err log_dir_put(struct log_dir *d, const char *path, struct bytes data, bool durable,
                     char *why)
{
    char name[64];
    if (holds(d, path, data))
        return ERR_OK;
    snprintf(name, sizeof(name), TEMPORARY "/%llu", (unsigned long long)d->made++);
    int fd = openat(d->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, MODE_FILE);
    if (fd < 0)
        return failed(path, why);
    enum err e = ERR_OK;
    if (!write_all(fd, data) || (durable && fsync(fd) != 0))
        e = failed(path, why);
    if (close(fd) != 0 && e == ERR_OK)
        e = failed(path, why);
    if (e == ERR_OK &&
        (!make_folders(d, path, durable) || renameat(d->fd, name, d->fd, path) != 0 ||
         (durable && !sync_folder_of(d, path))))
        e = failed(path, why);
    if (e != ERR_OK) {
        (void)unlinkat(d->fd, name, 0);
        return e;
    }
    d->files++;
    d->bytes += data.size;
    return ERR_OK;
}

enum err log_dir_sync(const struct log_dir *d, char *why)
{
    return syncfs(d->fd) == 0 ? ERR_OK : failed("sync", why);
}

void log_dir_drop_partial(struct log_dir *d, const char *whole)
{
    char folder[LOG_PATH_MAX + 4];
    snprintf(folder, sizeof(folder), "%s.p", whole);
    d->removed += empty_folder(d->fd, folder);
    (void)unlinkat(d->fd, folder, AT_REMOVEDIR);
}
