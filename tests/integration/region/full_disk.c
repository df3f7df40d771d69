/* Preloaded into a Postgres: while the first byte of the file named by STOA_FULL_DISK is not 0
 * its disk is full: what would make a file longer fails with ENOSPC, and what overwrites goes
 * on. Tests only. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

typedef ssize_t (*pwrite_fn)(int, const void *, size_t, off_t);
typedef ssize_t (*pwritev_fn)(int, const struct iovec *, int, off_t);
typedef int (*fallocate_fn)(int, off_t, off_t);

static pwrite_fn real_pwrite;
static pwritev_fn real_pwritev;
static fallocate_fn real_fallocate;
static const volatile unsigned char *full;
static const unsigned char never = 0;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void find(void)
{
    union {
        void *object;
        pwrite_fn one;
        pwritev_fn many;
        fallocate_fn room;
    } symbol;
    const char *path = getenv("STOA_FULL_DISK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page = fd < 0 ? MAP_FAILED : mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    full = page == MAP_FAILED ? &never : page;
    symbol.object = dlsym(RTLD_NEXT, "pwrite");
    real_pwrite = symbol.one;
    symbol.object = dlsym(RTLD_NEXT, "pwritev");
    real_pwritev = symbol.many;
    symbol.object = dlsym(RTLD_NEXT, "posix_fallocate");
    real_fallocate = symbol.room;
}

static bool no_room(int fd, off_t end)
{
    struct stat st;
    pthread_once(&once, find);
    if (*full == 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || end <= st.st_size)
        return false;
    errno = ENOSPC;
    return true;
}

/* Servers are built with files of either width. */
#define EXPORT __attribute__((visibility("default")))
EXPORT ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    return no_room(fd, at + (off_t)size) ? -1 : real_pwrite(fd, data, size, at);
}

EXPORT ssize_t pwrite64(int fd, const void *data, size_t size, off_t at)
{
    return pwrite(fd, data, size, at);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    off_t size = 0;
    for (int i = 0; i < count; i++)
        size += (off_t)parts[i].iov_len;
    return no_room(fd, at + size) ? -1 : real_pwritev(fd, parts, count, at);
}

EXPORT ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t at)
{
    return pwritev(fd, parts, count, at);
}

EXPORT int posix_fallocate(int fd, off_t at, off_t size)
{
    return no_room(fd, at + size) ? ENOSPC : real_fallocate(fd, at, size);
}

EXPORT int posix_fallocate64(int fd, off_t at, off_t size)
{
    return posix_fallocate(fd, at, size);
}
