/* Housekeeping beside the commits: WAL checkpoints, upkeep of the index. */
#include "ledger/store_sqlite.h"

#include <string.h>
#include <stdlib.h>
#include <sys/statvfs.h>

static enum err checkpoint(struct sqlite_store *s, int mode, uint64_t *left)
{
    int in_wal = 0, done = 0;
    int rc = sqlite3_wal_checkpoint_v2(s->checkpointer, NULL, mode, &in_wal, &done);
    uint64_t now = atomic_load(&s->wal_pages);
    uint64_t copied = done > 0 ? (uint64_t)done : 0;
    *left = now > copied ? now - copied : 0;
    return rc == SQLITE_BUSY ? ERR_OK : sqlite_err(s->checkpointer, rc);
}

/* What is left is copied while commits wait, and the WAL starts again from its beginning.
 * Readers that still use it get a moment to finish; if they do not, the next call tries
 * again. */
static enum err finish(struct sqlite_store *s)
{
    bool erased = atomic_exchange(&s->erased, false);
    sqlite3_busy_timeout(s->checkpointer, STORE_WAL_READERS_MS);
    pthread_mutex_lock(&s->commit);
    int in_wal = 0, done = 0;
    int mode = erased ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_RESTART;
    int rc = sqlite3_wal_checkpoint_v2(s->checkpointer, NULL, mode, &in_wal, &done);
    if (rc == SQLITE_OK)
        atomic_store(&s->wal_pages, 0);
    else if (erased)
        atomic_store(&s->erased, true);
    pthread_mutex_unlock(&s->commit);
    sqlite3_busy_timeout(s->checkpointer, STORE_BUSY_MS);
    return rc == SQLITE_BUSY ? ERR_OK : sqlite_err(s->checkpointer, rc);
}

static enum err checkpoint_wal(struct sqlite_store *s)
{
    uint64_t bytes = atomic_load(&s->wal_pages) * STORE_PAGE_BYTES;
    if (bytes < STORE_WAL_SOFT_BYTES && !atomic_load(&s->erased))
        return ERR_OK;
    uint64_t left = 0;
    for (unsigned pass = 0; pass < STORE_WAL_PASSES_MAX; pass++) {
        TRY(checkpoint(s, SQLITE_CHECKPOINT_PASSIVE, &left));
        if (left * STORE_PAGE_BYTES <= STORE_WAL_TAIL_BYTES)
            return finish(s);
    }
    return bytes >= STORE_WAL_HARD_BYTES || atomic_load(&s->erased) ? finish(s) : ERR_OK;
}

enum err sqlite_maintain(struct store *base)
{
    struct sqlite_store *s = sqlite_of(base);
    if (atomic_load(&s->broken))
        return ERR_IO;
    pthread_mutex_lock(&s->upkeep);
    enum err e = sqlite_note(s, checkpoint_wal(s));
    if (e == ERR_OK)
        e = sqlite_index_maintain(s);
    pthread_mutex_unlock(&s->upkeep);
    return e;
}

uint64_t sqlite_free_bytes(struct store *base)
{
    struct sqlite_store *s = sqlite_of(base);
    struct statvfs v;
    if (statvfs(s->path, &v) != 0)
        return 0;
    return (uint64_t)v.f_bavail * v.f_frsize;
}
