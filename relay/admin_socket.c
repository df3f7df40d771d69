#include "relay/admin_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "relay/clock.h"

#define MODE 0600
#define READ_FIRST 8192u

static enum err failed(char *why, enum err e, const char *what, const char *path)
{
    snprintf(why, ADMIN_WHY_MAX, "%s %.400s: %s", what, path, strerror(errno));
    return e;
}

/* An address holds 107 bytes. A longer path is named by its open folder, which the caller
 * closes when it is not -1. */
static enum err address_of(const char *path, struct sockaddr_un *a, int *folder,
                           char *why)
{
    memset(a, 0, sizeof(*a));
    a->sun_family = AF_UNIX;
    *folder = -1;
    size_t size = strlen(path);
    if (size < sizeof(a->sun_path)) {
        memcpy(a->sun_path, path, size + 1);
        return ERR_OK;
    }
    char dir[PATH_MAX];
    const char *name = strrchr(path, '/');
    int n = -1;
    if (name && (size_t)(name - path) < sizeof(dir)) {
        memcpy(dir, path, (size_t)(name - path));
        dir[name - path] = 0;
        *folder = open(dir[0] ? dir : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        n = snprintf(a->sun_path, sizeof(a->sun_path), "/proc/self/fd/%d/%s", *folder,
                     name + 1);
    }
    if (*folder >= 0 && n > 0 && (size_t)n < sizeof(a->sun_path))
        return ERR_OK;
    if (*folder < 0)
        return failed(why, ERR_FILE, "cannot open the folder of", path);
    close(*folder);
    *folder = -1;
    snprintf(why, ADMIN_WHY_MAX, "the name of the socket is too long: %.400s", path);
    return ERR_FILE;
}

static int connect_to(const struct sockaddr_un *a)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0)
        return fd;
    int kept = errno;
    close(fd);
    errno = kept;
    return -1;
}

/* What a process that was killed left behind goes; what is anybody else's stays. */
static enum err make_way(const char *path, const struct sockaddr_un *a, char *why)
{
    struct stat s;
    if (lstat(path, &s) != 0)
        return errno == ENOENT ? ERR_OK : failed(why, ERR_FILE, "cannot look at", path);
    if (!S_ISSOCK(s.st_mode)) {
        snprintf(why, ADMIN_WHY_MAX, "%.400s is there and is no socket", path);
        return ERR_EXISTS;
    }
    int fd = connect_to(a);
    if (fd >= 0) {
        close(fd);
        snprintf(why, ADMIN_WHY_MAX, "another process listens at %.400s", path);
        return ERR_LOCKED;
    }
    if (errno != ECONNREFUSED)
        return failed(why, ERR_FILE, "cannot connect to", path);
    return unlink(path) == 0 || errno == ENOENT
               ? ERR_OK
               : failed(why, ERR_FILE, "cannot remove the old", path);
}

enum err admin_listen(const char *path, int *fd, char *why)
{
    struct sockaddr_un a;
    int folder;
    TRY(address_of(path, &a, &folder, why));
    enum err e = make_way(path, &a, why);
    int s = e == ERR_OK ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
                        : -1;
    /* On Linux the socket's own mode becomes the file's: it is never wider for a moment. */
    if (e == ERR_OK &&
        (s < 0 || fchmod(s, MODE) != 0 ||
         bind(s, (const struct sockaddr *)&a, sizeof(a)) != 0 ||
         fchmodat(AT_FDCWD, path, MODE, 0) != 0 || listen(s, ADMIN_BACKLOG) != 0))
        e = failed(why, ERR_FILE, "cannot listen at", path);
    if (folder >= 0)
        close(folder);
    if (e != ERR_OK) {
        if (s >= 0)
            close(s);
        return e;
    }
    *fd = s;
    return ERR_OK;
}

enum err admin_connect(const char *path, int *fd, char *why)
{
    struct sockaddr_un a;
    int folder;
    TRY(address_of(path, &a, &folder, why));
    *fd = connect_to(&a);
    int kept = errno;
    if (folder >= 0)
        close(folder);
    errno = kept;
    if (*fd >= 0)
        return ERR_OK;
    if (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR)
        return failed(why, ERR_MISSING, "nobody listens at", path);
    return failed(why,
                  errno == EACCES || errno == EPERM ? ERR_NOT_ALLOWED : ERR_FILE,
                  "cannot connect to", path);
}

bool admin_peer_ok(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
        size != sizeof(peer))
        return false;
    return peer.uid == 0 || peer.uid == geteuid();
}

/* Until `fd` is ready for `events` or the deadline. */
static enum err wait_for(int fd, short events, uint64_t end_ms)
{
    for (;;) {
        uint64_t now = clock_mono_ms();
        struct pollfd p = {.fd = fd, .events = events};
        if (now >= end_ms)
            return ERR_TIMEOUT;
        uint64_t left = end_ms - now;
        int n = poll(&p, 1, left > INT_MAX ? INT_MAX : (int)left);
        if (n > 0)
            return ERR_OK;
        if (n < 0 && errno != EINTR)
            return ERR_NET;
    }
}

/* Up to `room` bytes; 0 at the end. */
static enum err read_some(int fd, char *out, size_t room, size_t *got, uint64_t end_ms)
{
    for (;;) {
        TRY(wait_for(fd, POLLIN, end_ms));
        ssize_t n = recv(fd, out, room, MSG_DONTWAIT);
        if (n >= 0 || errno == ECONNRESET) { /* reset: it left some of ours unread */
            *got = n > 0 ? (size_t)n : 0;
            return ERR_OK;
        }
        if (errno != EAGAIN && errno != EINTR)
            return ERR_NET;
    }
}

enum err admin_read_line(int fd, char *out, size_t cap, size_t *size, uint64_t timeout_ms)
{
    uint64_t end_ms = clock_mono_ms() + timeout_ms;
    size_t have = 0, got;
    while (have < cap) {
        TRY(read_some(fd, out + have, cap - have, &got, end_ms));
        if (got == 0)
            return ERR_NET;
        char *line_end = memchr(out + have, '\n', got);
        have += got;
        if (line_end) {
            *line_end = 0;
            *size = (size_t)(line_end - out);
            return ERR_OK;
        }
    }
    return ERR_TOO_LARGE;
}

enum err admin_read_all(int fd, char **out, size_t max, uint64_t timeout_ms)
{
    uint64_t end_ms = clock_mono_ms() + timeout_ms;
    size_t have = 0, cap = 0, got = 1;
    char *all = NULL;
    enum err e = ERR_OK;
    while (e == ERR_OK && got > 0) {
        if (have + 1 >= cap) {
            size_t more = cap ? cap * 2 : READ_FIRST;
            char *grown = have > max ? NULL : realloc(all, more);
            if (!grown) {
                e = have > max ? ERR_TOO_LARGE : ERR_MEMORY;
                break;
            }
            all = grown;
            cap = more;
        }
        e = read_some(fd, all + have, cap - 1 - have, &got, end_ms);
        if (e == ERR_OK)
            have += got;
    }
    if (e != ERR_OK || have > max) {
        free(all);
        return e != ERR_OK ? e : ERR_TOO_LARGE;
    }
    all[have] = 0;
    *out = all;
    return ERR_OK;
}

enum err admin_write(int fd, const void *data, size_t size, uint64_t timeout_ms)
{
    uint64_t end_ms = clock_mono_ms() + timeout_ms;
    const char *at = data;
    while (size > 0) {
        TRY(wait_for(fd, POLLOUT, end_ms));
        ssize_t n = send(fd, at, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n < 0)
            return ERR_NET;
        at += n;
        size -= (size_t)n;
    }
    return ERR_OK;
}
