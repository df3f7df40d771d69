#include "tests/crash/power.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTOR 512
#define NODES_MAX 16
#define PATH_BYTES 512

/* Something written since the last sync; data NULL: truncated to `at`. */
struct pending {
    uint64_t at;
    size_t size;
    uint8_t *data;
};

struct image {
    uint8_t *bytes;
    size_t size, cap;
};

struct node {
    char path[PATH_BYTES];
    struct image durable;
    bool durable_there; /* its name is on the disk */
    bool there;         /* as the program sees it */
    struct pending *pending;
    size_t count, cap;
};

struct handle {
    sqlite3_file base;
    struct node *node;
    sqlite3_file *real; /* behind this struct */
};

static sqlite3_vfs *real_vfs;
static sqlite3_vfs power_vfs;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct node nodes[NODES_MAX];
static uint64_t left; /* ops until the cut, 0: none is planned */
static bool off;
static struct power_counts counts;
static enum power_fault fault;
static uint64_t fault_left;
static bool fault_hit;

/* With reallocarray, which nobody makes fail: the disk itself always has memory. */
static void *must_have(void *p)
{
    if (p == NULL)
        abort();
    return p;
}

/* ---- images ---- */

static void image_resize(struct image *m, size_t size)
{
    if (size > m->cap) {
        m->cap = size * 2;
        m->bytes = must_have(reallocarray(m->bytes, m->cap, 1));
    }
    if (size > m->size)
        memset(m->bytes + m->size, 0, size - m->size);
    m->size = size;
}

static void image_write(struct image *m, uint64_t at, const uint8_t *data, size_t size)
{
    if (at + size > m->size)
        image_resize(m, (size_t)at + size);
    memcpy(m->bytes + at, data, size);
}

static void image_apply(struct image *m, const struct pending *p)
{
    if (p->data == NULL)
        image_resize(m, (size_t)p->at);
    else
        image_write(m, p->at, p->data, p->size);
}

static void image_load(struct image *m, const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t room[65536];
    m->size = 0;
    for (size_t n; f && (n = fread(room, 1, sizeof room, f)) > 0;)
        image_write(m, m->size, room, n);
    if (f)
        fclose(f);
}

static void drop_pending(struct node *n)
{
    for (size_t i = 0; i < n->count; i++)
        free(n->pending[i].data);
    n->count = 0;
}

static struct node *node_of(const char *path)
{
    struct node *spare = NULL;
    for (size_t i = 0; i < NODES_MAX; i++) {
        if (nodes[i].path[0] == 0)
            spare = spare ? spare : &nodes[i];
        else if (strcmp(nodes[i].path, path) == 0)
            return &nodes[i];
    }
    must_have(spare);
    snprintf(spare->path, sizeof spare->path, "%s", path);
    spare->durable_there = spare->there = access(path, F_OK) == 0;
    if (spare->there)
        image_load(&spare->durable, path);
    return spare;
}

/* Under lock. True: the power is gone, nothing happens any more. */
static bool step(void)
{
    if (!off && left > 0 && --left == 0) {
        off = true;
        counts.cuts++;
    }
    return off;
}

/* Under lock: this one fails. */
static bool faulty(enum power_fault kind)
{
    if (fault != kind || fault_left == 0 || --fault_left > 0)
        return false;
    fault_hit = true;
    return true;
}

static void note(struct node *n, uint64_t at, const void *data, size_t size)
{
    if (n->count == n->cap) {
        n->cap = n->cap * 2 + 64;
        n->pending = must_have(reallocarray(n->pending, n->cap, sizeof *n->pending));
    }
    struct pending *p = &n->pending[n->count++];
    *p = (struct pending){.at = at, .size = size};
    if (data != NULL) {
        p->data = must_have(reallocarray(NULL, size, 1));
        memcpy(p->data, data, size);
    }
}

/* ---- a file ---- */

static struct handle *of(sqlite3_file *f)
{
    return (struct handle *)(void *)f;
}

static int file_close(sqlite3_file *f)
{
    return of(f)->real->pMethods->xClose(of(f)->real);
}

static int file_read(sqlite3_file *f, void *data, int size, sqlite3_int64 at)
{
    return of(f)->real->pMethods->xRead(of(f)->real, data, size, at);
}

/* The write under way when the power goes is among those that may survive. */
static int file_write(sqlite3_file *f, const void *data, int size, sqlite3_int64 at)
{
    pthread_mutex_lock(&lock);
    bool bad = faulty(POWER_FAULT_WRITE), was_off = off || bad, gone = step() || bad;
    if (!was_off)
        note(of(f)->node, (uint64_t)at, data, (size_t)size);
    counts.writes += !was_off;
    pthread_mutex_unlock(&lock);
    return gone ? SQLITE_IOERR_WRITE
                : of(f)->real->pMethods->xWrite(of(f)->real, data, size, at);
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    pthread_mutex_lock(&lock);
    bool bad = faulty(POWER_FAULT_WRITE), was_off = off || bad, gone = step() || bad;
    if (!was_off)
        note(of(f)->node, (uint64_t)size, NULL, 0);
    pthread_mutex_unlock(&lock);
    return gone ? SQLITE_IOERR_TRUNCATE
                : of(f)->real->pMethods->xTruncate(of(f)->real, size);
}

/* The real file need not be synced: the machine under the test stays up. */
static int file_sync(sqlite3_file *f, int flags)
{
    struct node *n = of(f)->node;
    (void)flags;
    pthread_mutex_lock(&lock);
    bool bad = faulty(POWER_FAULT_SYNC), gone = step() || bad;
    if (!gone) {
        for (size_t i = 0; i < n->count; i++)
            image_apply(&n->durable, &n->pending[i]);
        drop_pending(n);
        n->durable_there = true;
        counts.syncs++;
    }
    pthread_mutex_unlock(&lock);
    return gone ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

static int file_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return of(f)->real->pMethods->xFileSize(of(f)->real, size);
}

static int file_lock(sqlite3_file *f, int how)
{
    return of(f)->real->pMethods->xLock(of(f)->real, how);
}

static int file_unlock(sqlite3_file *f, int how)
{
    return of(f)->real->pMethods->xUnlock(of(f)->real, how);
}

static int file_reserved(sqlite3_file *f, int *out)
{
    return of(f)->real->pMethods->xCheckReservedLock(of(f)->real, out);
}

static int file_control(sqlite3_file *f, int op, void *arg)
{
    return of(f)->real->pMethods->xFileControl(of(f)->real, op, arg);
}

static int file_sector(sqlite3_file *f)
{
    return of(f)->real->pMethods->xSectorSize(of(f)->real);
}

static int file_device(sqlite3_file *f)
{
    return of(f)->real->pMethods->xDeviceCharacteristics(of(f)->real);
}

static int shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    return of(f)->real->pMethods->xShmMap(of(f)->real, page, size, extend, out);
}

static int shm_lock(sqlite3_file *f, int at, int n, int flags)
{
    return of(f)->real->pMethods->xShmLock(of(f)->real, at, n, flags);
}

static void shm_barrier(sqlite3_file *f)
{
    of(f)->real->pMethods->xShmBarrier(of(f)->real);
}

static int shm_unmap(sqlite3_file *f, int remove_it)
{
    return of(f)->real->pMethods->xShmUnmap(of(f)->real, remove_it);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_device,
    .xShmMap = shm_map,
    .xShmLock = shm_lock,
    .xShmBarrier = shm_barrier,
    .xShmUnmap = shm_unmap,
};

/* ---- the file system ---- */

static int vfs_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags,
                    int *out)
{
    struct handle *h = of(f);
    const int kept = SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL;
    (void)v;
    if (name == NULL || (flags & kept) == 0) /* goes with the process anyway */
        return real_vfs->xOpen(real_vfs, name, f, flags, out);
    pthread_mutex_lock(&lock);
    bool gone = off;
    if (!gone) {
        h->node = node_of(name);
        h->real = (sqlite3_file *)(void *)(h + 1);
    }
    pthread_mutex_unlock(&lock);
    h->base.pMethods = NULL;
    if (gone)
        return SQLITE_CANTOPEN;
    int rc = real_vfs->xOpen(real_vfs, name, h->real, flags, out);
    if (rc != SQLITE_OK)
        return rc;
    h->base.pMethods = &methods;
    pthread_mutex_lock(&lock);
    if (!h->node->there) { /* made anew */
        h->node->there = true;
        if (h->node->durable_there) /* in the place of one whose end was not synced */
            note(h->node, 0, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *v, const char *name, int sync_folder)
{
    (void)v;
    pthread_mutex_lock(&lock);
    bool gone = step();
    if (!gone) {
        struct node *n = node_of(name);
        n->there = false;
        drop_pending(n);
        if (sync_folder) {
            n->durable_there = false;
            n->durable.size = 0;
        }
    }
    pthread_mutex_unlock(&lock);
    return gone ? SQLITE_IOERR_DELETE : real_vfs->xDelete(real_vfs, name, 0);
}

static int vfs_access(sqlite3_vfs *v, const char *name, int flags, int *out)
{
    (void)v;
    return real_vfs->xAccess(real_vfs, name, flags, out);
}

static int vfs_full(sqlite3_vfs *v, const char *name, int size, char *out)
{
    (void)v;
    return real_vfs->xFullPathname(real_vfs, name, size, out);
}

bool power_install(void)
{
    if (sqlite3_initialize() != SQLITE_OK)
        return false;
    real_vfs = sqlite3_vfs_find(NULL);
    if (real_vfs == NULL)
        return false;
    power_vfs = *real_vfs;
    power_vfs.zName = "power";
    power_vfs.pNext = NULL;
    power_vfs.szOsFile = (int)sizeof(struct handle) + real_vfs->szOsFile;
    power_vfs.xOpen = vfs_open;
    power_vfs.xDelete = vfs_delete;
    power_vfs.xAccess = vfs_access;
    power_vfs.xFullPathname = vfs_full;
    return sqlite3_vfs_register(&power_vfs, 1) == SQLITE_OK;
}

/* ---- the cut ---- */

static uint32_t dice(uint64_t *seed, uint32_t below)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*seed >> 33) % below;
}

static void tear(struct image *m, const struct pending *p, uint64_t *seed)
{
    for (uint64_t at = p->at; at < p->at + p->size;) {
        uint64_t next = (at / SECTOR + 1) * SECTOR;
        uint64_t end = next < p->at + p->size ? next : p->at + p->size;
        uint32_t d = dice(seed, 10);
        if (d < 5) {
            image_write(m, at, p->data + (at - p->at), (size_t)(end - at));
        } else if (d == 9) { /* neither old nor new */
            uint8_t rubbish[SECTOR];
            for (size_t i = 0; i < end - at; i++)
                rubbish[i] = (uint8_t)dice(seed, 256);
            image_write(m, at, rubbish, (size_t)(end - at));
        }
        at = end;
    }
}

static void survive(struct node *n, uint64_t *seed)
{
    uint32_t style = dice(seed, 4); /* all, none, each by itself */
    for (size_t i = 0; i < n->count; i++) {
        const struct pending *p = &n->pending[i];
        uint32_t d = style == 0 ? 0 : style == 1 ? 9 : dice(seed, 10);
        if (d < 4) {
            image_apply(&n->durable, p);
            counts.survived++;
        } else if (d < 7 && p->data != NULL) {
            tear(&n->durable, p, seed);
            counts.torn++;
        } else {
            counts.lost++;
        }
    }
}

static void put_back(struct node *n, uint64_t *seed)
{
    bool there = n->there;
    if (n->there != n->durable_there && dice(seed, 2) == 0) {
        there = n->durable_there;
        counts.undone++;
    }
    survive(n, seed);
    if (!there) {
        (void)unlink(n->path);
        return;
    }
    FILE *f = must_have(fopen(n->path, "wb"));
    if (n->durable.size > 0 &&
        fwrite(n->durable.bytes, 1, n->durable.size, f) != n->durable.size)
        abort();
    if (fclose(f) != 0)
        abort();
}

static void forget(struct node *n)
{
    drop_pending(n);
    free(n->pending);
    free(n->durable.bytes);
    memset(n, 0, sizeof *n);
}

void power_forget(void)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < NODES_MAX; i++)
        forget(&nodes[i]);
    off = false;
    left = 0;
    pthread_mutex_unlock(&lock);
}

void power_restore(uint64_t seed)
{
    if (!power_is_off())
        return;
    for (size_t i = 0; i < NODES_MAX; i++) {
        struct node *n = &nodes[i];
        char shm[PATH_BYTES + 8];
        if (n->path[0] == 0)
            continue;
        put_back(n, &seed);
        snprintf(shm, sizeof shm, "%.*s-shm", PATH_BYTES - 1, n->path);
        (void)unlink(shm);
    }
    power_forget();
}

void power_cut_after(uint64_t ops)
{
    pthread_mutex_lock(&lock);
    left = ops;
    pthread_mutex_unlock(&lock);
}

void power_fail_nth(enum power_fault kind, uint64_t n)
{
    pthread_mutex_lock(&lock);
    fault = kind;
    fault_left = n;
    fault_hit = false;
    pthread_mutex_unlock(&lock);
}

bool power_failed(void)
{
    pthread_mutex_lock(&lock);
    bool hit = fault_hit;
    pthread_mutex_unlock(&lock);
    return hit;
}

bool power_is_off(void)
{
    pthread_mutex_lock(&lock);
    bool is = off;
    pthread_mutex_unlock(&lock);
    return is;
}

struct power_counts power_counts(void)
{
    return counts;
}
