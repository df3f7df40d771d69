/* LD_PRELOAD: makes the n-th allocation, write to a file, sync or send of a process fail, when the page
 * that STOA_SHIM names says so. Allocations count when stoad or SQLite makes them; libraries
 * that end the process for want of memory by design are left alone. */
#include "tests/crash/shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define VISIBLE __attribute__((visibility("default")))
#define RANGES 16

static struct shim_page *page;
static struct {
    uintptr_t from, to;
} ranges[RANGES];
static size_t range_count;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);

static int add_ranges(struct dl_phdr_info *i, size_t size, void *context)
{
    (void)size;
    (void)context;
    bool ours = i->dlpi_name[0] == 0 || strstr(i->dlpi_name, "libsqlite3") != NULL;
    for (int n = 0; ours && n < i->dlpi_phnum && range_count < RANGES; n++) {
        const ElfW(Phdr) *h = &i->dlpi_phdr[n];
        if (h->p_type != PT_LOAD || (h->p_flags & PF_X) == 0)
            continue;
        ranges[range_count].from = i->dlpi_addr + h->p_vaddr;
        ranges[range_count++].to = i->dlpi_addr + h->p_vaddr + h->p_memsz;
    }
    return 0;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv(SHIM_ENV);
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    dl_iterate_phdr(add_ranges, NULL);
    void *at = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED)
        page = at;
}

static bool is_file(int fd)
{
    struct stat s;
    return fstat(fd, &s) == 0 && S_ISREG(s.st_mode);
}

static bool fails(enum shim_kind kind, int fd)
{
    if (page == NULL || atomic_load(&page->kind) != (int)kind)
        return false;
    if ((kind == SHIM_WRITE || kind == SHIM_SHORT) && !is_file(fd))
        return false;
    if (atomic_fetch_sub(&page->left, 1) != 1)
        return false;
    char name[64];
    ssize_t n = 0;
    if (fd >= 0) {
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        n = readlink(name, page->what, SHIM_WHAT - 1);
    }
    page->what[n > 0 ? n : 0] = 0;
    atomic_store(&page->hit, 1);
    return true;
}

static bool caller_counts(const void *caller)
{
    uintptr_t at = (uintptr_t)caller;
    for (size_t i = 0; i < range_count; i++)
        if (at >= ranges[i].from && at < ranges[i].to)
            return true;
    return false;
}

static bool no_memory(const void *caller)
{
    if (page == NULL || !caller_counts(caller) || !fails(SHIM_MALLOC, -1))
        return false;
    errno = ENOMEM;
    return true;
}

VISIBLE void *malloc(size_t size)
{
    return no_memory(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

VISIBLE void *calloc(size_t n, size_t size)
{
    return no_memory(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

VISIBLE void *realloc(void *p, size_t size)
{
    return size > 0 && no_memory(__builtin_return_address(0)) ? NULL
                                                              : __libc_realloc(p, size);
}

/* The next definition of a function; a union, since C has no cast for it. */
#define NEXT(name, type)                                                                   \
    static union {                                                                         \
        void *object;                                                                      \
        type *call;                                                                        \
    } next;                                                                                \
    if (next.object == NULL)                                                               \
        next.object = dlsym(RTLD_NEXT, name)

typedef ssize_t write_type(int, const void *, size_t);
typedef ssize_t pwrite_type(int, const void *, size_t, off_t);
typedef ssize_t writev_type(int, const struct iovec *, int);
typedef int sync_type(int);
typedef ssize_t send_type(int, const void *, size_t, int);
typedef ssize_t sendmsg_type(int, const struct msghdr *, int);

static ssize_t failed(int why)
{
    errno = why;
    return -1;
}

VISIBLE ssize_t write(int fd, const void *data, size_t size)
{
    NEXT("write", write_type);
    if (fails(SHIM_WRITE, fd))
        return failed(EIO);
    return next.call(fd, data, size > 1 && fails(SHIM_SHORT, fd) ? size / 2 : size);
}

VISIBLE ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    NEXT("pwrite", pwrite_type);
    if (fails(SHIM_WRITE, fd))
        return failed(EIO);
    return next.call(fd, data, size > 1 && fails(SHIM_SHORT, fd) ? size / 2 : size, at);
}

VISIBLE ssize_t pwrite64(int fd, const void *data, size_t size, off_t at)
{
    return pwrite(fd, data, size, at);
}

VISIBLE ssize_t writev(int fd, const struct iovec *v, int count)
{
    NEXT("writev", writev_type);
    return fails(SHIM_SEND, fd) ? failed(ECONNRESET) : next.call(fd, v, count);
}

VISIBLE int fsync(int fd)
{
    NEXT("fsync", sync_type);
    return fails(SHIM_FSYNC, fd) ? (int)failed(EIO) : next.call(fd);
}

VISIBLE int fdatasync(int fd)
{
    NEXT("fdatasync", sync_type);
    return fails(SHIM_FSYNC, fd) ? (int)failed(EIO) : next.call(fd);
}

VISIBLE ssize_t send(int fd, const void *data, size_t size, int flags)
{
    NEXT("send", send_type);
    return fails(SHIM_SEND, fd) ? failed(ECONNRESET) : next.call(fd, data, size, flags);
}

VISIBLE ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    NEXT("sendmsg", sendmsg_type);
    return fails(SHIM_SEND, fd) ? failed(ECONNRESET) : next.call(fd, m, flags);
}
