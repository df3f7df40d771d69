#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/keyfile.h"

/* close() that keeps the errno of what went wrong before. */
static void close_quietly(int fd)
{
    int kept = errno;
    close(fd);
    errno = kept;
}

static bool write_whole(int fd, const char *text, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, text + done, size - done);
        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0)
            done += (size_t)n;
    }
    return true;
}

/* The name is new or the call fails: no file is ever replaced. */
static bool rename_new(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return true;
    if (errno != EINVAL && errno != ENOSYS)
        return false;
    return link(from, to) == 0 && unlink(from) == 0;
}

static bool sync_directory_of(const char *path)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t size = slash != NULL ? (size_t)(slash - path) : 0;
    if (size >= sizeof dir) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(dir, path, size);
    dir[size] = 0;
    const char *name = slash == NULL ? "." : size == 0 ? "/" : dir;
    int fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool synced = fsync(fd) == 0;
    close_quietly(fd);
    return synced;
}

static enum keyfile_result save_text(const char *path, const char *text, size_t size)
{
    char temporary[PATH_MAX];
    int length = snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    if (length < 0 || (size_t)length >= sizeof temporary) {
        errno = ENAMETOOLONG;
        return KEYFILE_IO;
    }
    int fd = mkostemp(temporary, O_CLOEXEC); /* created 0600 */
    if (fd < 0)
        return KEYFILE_IO;
    bool written = write_whole(fd, text, size) && fsync(fd) == 0;
    close_quietly(fd);
    if (written && rename_new(temporary, path))
        return sync_directory_of(path) ? KEYFILE_OK : KEYFILE_IO;
    int kept = errno;
    unlink(temporary);
    errno = kept;
    return written && kept == EEXIST ? KEYFILE_EXISTS : KEYFILE_IO;
}

enum keyfile_result keyfile_save(const char *path, const struct key *k, const char *role,
                                 const char *passphrase, enum keyfile_cost cost)
{
    char text[KEYFILE_BYTES_MAX];
    enum keyfile_result result = keyfile_encode(text, k, role, passphrase, cost);
    if (result == KEYFILE_OK)
        result = save_text(path, text, strlen(text));
    secret_wipe(text, sizeof text);
    return result;
}

/* *size is set; a file longer than a key file may be is malformed. */
static enum keyfile_result load_text(const char *path, char text[KEYFILE_BYTES_MAX + 1],
                                     size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return KEYFILE_IO;
    size_t used = 0;
    ssize_t n = 0;
    while (used <= KEYFILE_BYTES_MAX) {
        n = read(fd, text + used, KEYFILE_BYTES_MAX + 1 - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    close_quietly(fd);
    *size = used;
    if (n < 0)
        return KEYFILE_IO;
    return used > KEYFILE_BYTES_MAX ? KEYFILE_MALFORMED : KEYFILE_OK;
}

enum keyfile_result keyfile_load(const char *path, struct key **out, char *role_out,
                                 const char *passphrase)
{
    char text[KEYFILE_BYTES_MAX + 1];
    size_t size;
    *out = NULL;
    enum keyfile_result result = load_text(path, text, &size);
    if (result == KEYFILE_OK)
        result = keyfile_decode(out, role_out, text, size, passphrase);
    secret_wipe(text, sizeof text);
    return result;
}

enum keyfile_result keyfile_load_public(const char *path, struct pubkey *pub,
                                        char *role_out, bool *encrypted)
{
    char text[KEYFILE_BYTES_MAX + 1];
    size_t size;
    enum keyfile_result result = load_text(path, text, &size);
    if (result == KEYFILE_OK)
        result = keyfile_peek(text, size, pub, role_out, encrypted);
    secret_wipe(text, sizeof text);
    return result;
}
