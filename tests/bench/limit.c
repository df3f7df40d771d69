/* What the machine can do by itself, measured beside every figure. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "crypto/context.h"
#include "crypto/key.h"
#include "tests/bench/bench.h"

#define SIGNED 256 /* different messages and keys in turn: nothing stays in a cache by luck */
#define MESSAGE_BYTES (BENCH_NOTE_BYTES - SIG_BYTES)

struct checked {
    struct pubkey key;
    struct signature sig;
    uint8_t message[MESSAGE_BYTES];
};

struct verifier {
    const struct checked *all;
    uint64_t until;
    atomic_ullong done;
    atomic_bool bad;
};

static void *verify_until(void *context)
{
    struct verifier *v = context;
    uint64_t done = 0;
    while (now_ns() < v->until)
        for (size_t i = 0; i < 16; i++, done++) {
            const struct checked *c = &v->all[done % SIGNED];
            if (!sig_verify(&c->sig, &c->key, CTX_ENTRY, c->message, MESSAGE_BYTES))
                atomic_store(&v->bad, true);
        }
    atomic_fetch_add(&v->done, done);
    return NULL;
}

static const struct checked *signed_messages(void)
{
    static struct checked all[SIGNED];
    static bool ready;
    if (ready)
        return all;
    for (size_t i = 0; i < SIGNED; i++) {
        struct key *k = key_generate();
        if (!k)
            die("no memory for a key");
        all[i].key = key_public(k);
        random_bytes(all[i].message, MESSAGE_BYTES);
        all[i].sig = key_sign(k, CTX_ENTRY, all[i].message, MESSAGE_BYTES);
        key_free(k);
    }
    ready = true;
    return all;
}

static double us_of_one;

double limit_verify_us(void)
{
    return us_of_one;
}

double limit_verify(double seconds, unsigned threads)
{
    struct verifier v = {.all = signed_messages()};
    pthread_t ids[64];
    unsigned started = 0;
    double cpu = cpu_seconds_of(0);
    uint64_t began = now_ns();
    v.until = began + (uint64_t)(seconds * 1e9);
    while (started + 1 < threads && started < 64 &&
           pthread_create(&ids[started], NULL, verify_until, &v) == 0)
        started++;
    verify_until(&v);
    for (unsigned i = 0; i < started; i++)
        pthread_join(ids[i], NULL);
    if (atomic_load(&v.bad))
        die("a good signature does not verify");
    us_of_one = (cpu_seconds_of(0) - cpu) / (double)atomic_load(&v.done) * 1e6;
    return (double)atomic_load(&v.done) / seconds_since(began);
}

/* ---- the disk ---- */

#define PROBE_MS 40
#define PROBES_MAX 200000

struct disk_probe {
    pthread_t thread;
    atomic_bool stop;
    char path[400];
    int fd;
    size_t bytes, count;
    uint8_t *data;
    uint64_t took[PROBES_MAX];
};

static void disk_open(struct disk_probe *p, const char *folder, size_t bytes)
{
    snprintf(p->path, sizeof p->path, "%s/limit-fdatasync", folder);
    p->fd = open(p->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    p->bytes = bytes;
    p->data = take(bytes);
    if (p->fd < 0)
        die("cannot write %s", p->path);
}

static void disk_write(struct disk_probe *p)
{
    uint64_t at = now_ns();
    if (write(p->fd, p->data, p->bytes) != (ssize_t)p->bytes || fdatasync(p->fd) != 0)
        die("cannot write %s", p->path);
    p->took[p->count++] = now_ns() - at;
}

static void disk_close(struct disk_probe *p, double *p50, double *p99)
{
    close(p->fd);
    (void)unlink(p->path);
    *p50 = percentile(p->took, p->count, 0.50) / 1e6;
    *p99 = percentile(p->took, p->count, 0.99) / 1e6;
    free(p->data);
    free(p);
}

void limit_fdatasync(const char *folder, size_t bytes, double seconds, double *p50, double *p99)
{
    struct disk_probe *p = take(sizeof *p);
    disk_open(p, folder, bytes);
    uint64_t began = now_ns();
    while (seconds_since(began) < seconds && p->count < PROBES_MAX)
        disk_write(p);
    disk_close(p, p50, p99);
}

static void *disk_probe_run(void *context)
{
    struct disk_probe *p = context;
    while (!atomic_load(&p->stop) && p->count < PROBES_MAX) {
        struct timespec t = {0, PROBE_MS * 1000000L};
        disk_write(p);
        nanosleep(&t, NULL);
    }
    return NULL;
}

struct disk_probe *disk_probe_start(const char *folder, size_t bytes)
{
    struct disk_probe *p = take(sizeof *p);
    disk_open(p, folder, bytes);
    if (pthread_create(&p->thread, NULL, disk_probe_run, p) != 0)
        die("no thread");
    return p;
}

void disk_probe_stop(struct disk_probe *p, double *p50, double *p99)
{
    atomic_store(&p->stop, true);
    pthread_join(p->thread, NULL);
    disk_close(p, p50, p99);
}
