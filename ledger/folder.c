#include "ledger/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMPORARY "tmp"
#define MODE_FILE 0644 /* what is kept here is public */
#define MODE_FOLDER 0755

static enum err failed(const char *path, char why[FOLDER_WHY_MAX])
{
    enum err e = errno == ENOSPC || errno == EDQUOT ? ERR_STORE_FULL : ERR_FILE;
    snprintf(why, FOLDER_WHY_MAX, "%.200s: %s", path, strerror(errno));
    return e;
}

static unsigned unlink_all(int at, const char *path, const char *keep)
{
    unsigned count = 0;
    int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return 0;
    }
    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        const char *name = e->d_name;
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
            (!keep || strcmp(name, keep) != 0))
            count += unlinkat(dirfd(dir), name, 0) == 0;
    }
    closedir(dir);
    return count;
}

enum err folder_open(struct folder *d, const char *path, char why[FOLDER_WHY_MAX])
{
    d->fd = -1;
    atomic_init(&d->made, 0);
    if (mkdir(path, MODE_FOLDER) != 0 && errno != EEXIST)
        return failed(path, why);
    d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->fd < 0)
        return failed(path, why);
    enum err e = ERR_OK;
    if (flock(d->fd, LOCK_EX | LOCK_NB) != 0) {
        snprintf(why, FOLDER_WHY_MAX, "%.200s: another process writes there", path);
        e = ERR_LOCKED;
    } else if (mkdirat(d->fd, TEMPORARY, MODE_FOLDER) != 0 && errno != EEXIST) {
        e = failed(path, why);
    }
    if (e != ERR_OK) {
        close(d->fd);
        d->fd = -1;
        return e;
    }
    (void)unlink_all(d->fd, TEMPORARY, NULL);
    return ERR_OK;
}

void folder_close(struct folder *d)
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

enum err folder_read(const struct folder *d, const char *path, size_t max, struct buf *out)
{
    buf_clear(out);
    int fd = openat(d->fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_FILE;
    enum err e = read_open(fd, max, out);
    close(fd);
    return e;
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

static bool sync_parent(const struct folder *d, const char *path)
{
    char parent[FOLDER_PATH_MAX];
    const char *end = strrchr(path, '/');
    snprintf(parent, sizeof(parent), "%.*s", end ? (int)(end - path) : 1, end ? path : ".");
    int fd = openat(d->fd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool make_parents(const struct folder *d, const char *path, bool durable)
{
    char part[FOLDER_PATH_MAX];
    for (const char *at = strchr(path, '/'); at; at = strchr(at + 1, '/')) {
        snprintf(part, sizeof(part), "%.*s", (int)(at - path), path);
        if (mkdirat(d->fd, part, MODE_FOLDER) != 0 && errno != EEXIST)
            return false;
        /* One that is there already may be another put's, and not on disk yet. */
        if (durable && !sync_parent(d, part))
            return false;
    }
    return true;
}

enum err folder_put(struct folder *d, const char *path, struct bytes data, bool durable,
                    char why[FOLDER_WHY_MAX])
{
    char name[64];
    snprintf(name, sizeof(name), TEMPORARY "/%llu",
             (unsigned long long)atomic_fetch_add(&d->made, 1));
    int fd = openat(d->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, MODE_FILE);
    if (fd < 0)
        return failed(path, why);
    enum err e = ERR_OK;
    if (!write_all(fd, data) || (durable && fsync(fd) != 0))
        e = failed(path, why);
    if (close(fd) != 0 && e == ERR_OK)
        e = failed(path, why);
    if (e == ERR_OK &&
        (!make_parents(d, path, durable) || renameat(d->fd, name, d->fd, path) != 0 ||
         (durable && !sync_parent(d, path))))
        e = failed(path, why);
    if (e != ERR_OK)
        (void)unlinkat(d->fd, name, 0);
    return e;
}

enum err folder_sync(const struct folder *d, char why[FOLDER_WHY_MAX])
{
    return syncfs(d->fd) == 0 ? ERR_OK : failed("sync", why);
}

unsigned folder_drop(const struct folder *d, const char *path, const char *keep)
{
    unsigned count = unlink_all(d->fd, path, keep);
    (void)unlinkat(d->fd, path, AT_REMOVEDIR); /* stays when something is kept in it */
    return count;
}

void folder_remove(const struct folder *d, const char *path)
{
    (void)unlinkat(d->fd, path, 0);
}
