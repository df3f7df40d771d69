#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/bench.h"

static void (*cleanup)(void);
static struct tempdir *made; /* a folder to be removed however the program ends */
static bool quiet;

static void clean_up(void)
{
    void (*fn)(void) = cleanup;
    cleanup = NULL;
    if (fn)
        fn();
    if (made)
        tempdir_remove(made);
}

/* Ended from outside, or by the alarm: the child and the folders go too. What is called from
 * here takes no lock and no memory but the folder's listing. */
static void on_signal(int number)
{
    clean_up();
    _exit(128 + number);
}

void end_in_time(unsigned seconds)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGALRM};
    struct sigaction a = {.sa_handler = on_signal};
    sigfillset(&a.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        (void)sigaction(numbers[i], &a, NULL);
    alarm(seconds);
}

void on_die(void (*fn)(void))
{
    cleanup = fn;
}

void die(const char *format, ...)
{
    va_list args;
    fprintf(stderr, "stoa-bench: ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n");
    clean_up();
    exit(1);
}

void need(enum err e, const char *what)
{
    if (e != ERR_OK)
        die("%s: %s (%s)", what, err_text(e), err_word(e));
}

void say_nothing(void)
{
    quiet = true;
}

void say(const char *format, ...)
{
    if (quiet)
        return;
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n");
}

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

double seconds_since(uint64_t ns)
{
    return (double)(now_ns() - ns) / 1e9;
}

void *take(size_t size)
{
    void *p = calloc(1, size ? size : 1);
    if (!p)
        die("out of memory for %zu bytes", size);
    return p;
}

unsigned cores(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > 64 ? 64 : (unsigned)n;
}

struct parallel {
    size_t count;
    atomic_size_t next;
    void (*fn)(void *context, size_t i);
    void *context;
};

static void *parallel_work(void *arg)
{
    struct parallel *p = arg;
    for (size_t i; (i = atomic_fetch_add(&p->next, 1)) < p->count;)
        p->fn(p->context, i);
    return NULL;
}

void in_parallel(size_t count, unsigned threads, void (*fn)(void *context, size_t i),
                 void *context)
{
    struct parallel p = {.count = count, .fn = fn, .context = context};
    pthread_t ids[64];
    unsigned wanted = threads ? threads : cores(), started = 0;
    if (wanted > 64)
        wanted = 64;
    while (started + 1 < wanted &&
           pthread_create(&ids[started], NULL, parallel_work, &p) == 0)
        started++;
    parallel_work(&p);
    for (unsigned i = 0; i < started; i++)
        pthread_join(ids[i], NULL);
}

double cpu_seconds_of(int pid)
{
    char path[64], text[1024];
    if (pid == 0) {
        struct rusage u;
        getrusage(RUSAGE_SELF, &u);
        return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
               (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
    }
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    text[n] = 0;
    unsigned long user = 0, system = 0;
    const char *after = strrchr(text, ')'); /* the name may hold anything */
    if (!after || sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                         &user, &system) != 2)
        return 0;
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

double percentile(uint64_t samples[], size_t count, double p)
{
    if (count == 0)
        return 0;
    qsort(samples, count, sizeof samples[0], compare);
    size_t at = (size_t)(p * (double)count);
    return (double)samples[at < count ? at : count - 1];
}

void tempdir_make(struct tempdir *t)
{
    const char *base = getenv("TMPDIR");
    snprintf(t->path, sizeof t->path, "%s/stoa-bench-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(t->path))
        die("cannot make a folder: %s", strerror(errno));
    made = t;
}

void tempdir_remove(struct tempdir *t)
{
    DIR *d = t->path[0] ? opendir(t->path) : NULL;
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            (void)unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    (void)rmdir(t->path);
    t->path[0] = 0;
    if (made == t)
        made = NULL;
}

uint64_t folder_bytes(const char *path, const char *prefix)
{
    uint64_t sum = 0;
    struct stat st;
    DIR *d = opendir(path);
    if (!d)
        return 0;
    for (struct dirent *e; (e = readdir(d));)
        if (strncmp(e->d_name, prefix, strlen(prefix)) == 0 &&
            fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(st.st_mode))
            sum += (uint64_t)st.st_size;
    closedir(d);
    return sum;
}
