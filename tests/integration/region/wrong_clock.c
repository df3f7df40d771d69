/* Preloaded into a relay: its wall clock is off by as many milliseconds as the file named
 * by STOA_WRONG_CLOCK says (eight bytes, this machine's order), from one reading to the
 * next. The monotonic clock is left alone. Tests only. */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

typedef int (*clock_fn)(clockid_t, struct timespec *);

static clock_fn real_clock;
static volatile const int64_t *off_ms;
static const int64_t none = 0;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void find(void)
{
    union {
        void *object;
        clock_fn function;
    } symbol = {dlsym(RTLD_NEXT, "clock_gettime")};
    const char *path = getenv("STOA_WRONG_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page =
        fd < 0 ? MAP_FAILED : mmap(NULL, sizeof none, PROT_READ, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    off_ms = page == MAP_FAILED ? &none : page;
    real_clock = symbol.function;
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t id, struct timespec *t)
{
    pthread_once(&once, find);
    int e = real_clock(id, t);
    if (e == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        t->tv_sec += *off_ms / 1000;
        t->tv_nsec += *off_ms % 1000 * 1000000;
        if (t->tv_nsec < 0 || t->tv_nsec >= 1000000000) {
            int step = t->tv_nsec < 0 ? -1 : 1;
            t->tv_sec += step;
            t->tv_nsec -= step * 1000000000L;
        }
    }
    return e;
}

__attribute__((visibility("default"))) time_t time(time_t *out)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_REALTIME, &t);
    if (out)
        *out = t.tv_sec;
    return t.tv_sec;
}
