#include "client/audit/fetch_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMPORARY "tmp"
#define MODE_FILE 0644
#define MODE_FOLDER 0755

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

static enum err file_error(const char *path, char why[AUDIT_WHY_MAX])
{
    snprintf(why, AUDIT_WHY_MAX, "%.200s: %s", path, strerror(errno));
    return errno == ENOSPC || errno == EDQUOT ? ERR_STORE_FULL : ERR_FILE;
}

/* Unlink the files of a folder but `keep`; was that one there? */
static bool empty_folder(int at, const char *folder, const char *keep)
{
    bool kept = false;
    int fd = openat(at, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (keep && strcmp(e->d_name, keep) == 0)
            kept = true;
        else
            (void)unlinkat(dirfd(dir), e->d_name, 0);
    }
    closedir(dir);
    return kept;
}

enum err fetch_dir_open(struct fetch_dir *d, const char *path, char why[AUDIT_WHY_MAX])
{
    memset(d, 0, sizeof(*d));
    if (mkdir(path, MODE_FOLDER) != 0 && errno != EEXIST) {
        d->fd = -1;
        return file_error(path, why);
    }
    d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->fd < 0)
        return file_error(path, why);
    enum err e = ERR_OK;
    if (flock(d->fd, LOCK_EX | LOCK_NB) != 0) {
        snprintf(why, AUDIT_WHY_MAX, "%.200s: another fetch writes there", path);
        e = ERR_LOCKED;
    } else if (mkdirat(d->fd, TEMPORARY, MODE_FOLDER) != 0 && errno != EEXIST) {
        e = file_error(path, why);
    }
    if (e != ERR_OK) {
        close(d->fd);
        d->fd = -1;
        return e;
    }
    empty_folder(d->fd, TEMPORARY, NULL); /* a run that was killed left them */
    return ERR_OK;
}

void fetch_dir_close(struct fetch_dir *d)
{
    if (d->fd < 0)
        return;
    (void)unlinkat(d->fd, TEMPORARY, AT_REMOVEDIR);
    close(d->fd);
    d->fd = -1;
}

enum err fetch_dir_read(const struct fetch_dir *d, const char *path, struct buf *out)
{
    struct stat st;
    enum err e = ERR_OK;
    buf_clear(out);
    int fd = openat(d->fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_FILE;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > FETCH_FILE_MAX)
        e = ERR_NOT_FOUND;
    else if (!buf_reserve(out, (size_t)st.st_size))
        e = ERR_MEMORY;
    while (e == ERR_OK && out->size < (size_t)st.st_size) {
        ssize_t n = read(fd, out->data + out->size, (size_t)st.st_size - out->size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            e = ERR_FILE;
        if (n <= 0)
            break;
        out->size += (size_t)n;
    }
    close(fd);
    return e;
}

static bool make_folders(const struct fetch_dir *d, const char *path)
{
    char part[FETCH_PATH_MAX];
    for (const char *at = strchr(path, '/'); at; at = strchr(at + 1, '/')) {
        snprintf(part, sizeof(part), "%.*s", (int)(at - path), path);
        if (mkdirat(d->fd, part, MODE_FOLDER) != 0 && errno != EEXIST)
            return false;
    }
    return true;
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

static bool sync_folder_of(const struct fetch_dir *d, const char *path)
{
    char folder[FETCH_PATH_MAX];
    const char *end = strrchr(path, '/');
    snprintf(folder, sizeof(folder), "%.*s", end ? (int)(end - path) : 1, end ? path : ".");
    int fd = openat(d->fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

enum err fetch_dir_write(struct fetch_dir *d, const char *path, struct bytes data,
                         bool durable, char why[AUDIT_WHY_MAX])
{
    char name[64];
    uint64_t number = __atomic_add_fetch(&d->made, 1, __ATOMIC_RELAXED);
    snprintf(name, sizeof(name), TEMPORARY "/%ld-%llu", (long)getpid(),
             (unsigned long long)number);
    int fd = openat(d->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, MODE_FILE);
    if (fd < 0)
        return file_error(name, why);
    enum err e = ERR_OK;
    if (!write_all(fd, data) || (durable && fsync(fd) != 0))
        e = file_error(path, why);
    if (close(fd) != 0 && e == ERR_OK)
        e = file_error(path, why);
    if (e == ERR_OK && (!make_folders(d, path) || renameat(d->fd, name, d->fd, path) != 0))
        e = file_error(path, why);
    if (e != ERR_OK) {
        (void)unlinkat(d->fd, name, 0);
        return e;
    }
    return durable && !sync_folder_of(d, path) ? file_error(path, why) : ERR_OK;
}

enum err fetch_dir_sync(const struct fetch_dir *d, char why[AUDIT_WHY_MAX])
{
    return syncfs(d->fd) == 0 ? ERR_OK : file_error("sync", why);
}

void fetch_dir_drop_partial(const struct fetch_dir *d, const char *whole, unsigned keep)
{
    char folder[FETCH_PATH_MAX + 4], kept[16];
    snprintf(folder, sizeof(folder), "%s.p", whole);
    snprintf(kept, sizeof(kept), "%u", keep);
    if (!empty_folder(d->fd, folder, keep ? kept : NULL))
        (void)unlinkat(d->fd, folder, AT_REMOVEDIR);
}

void fetch_dir_remove(const struct fetch_dir *d, const char *path)
{
    (void)unlinkat(d->fd, path, 0);
}
