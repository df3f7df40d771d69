/* Housekeeping beside the commits: WAL checkpoints, upkeep of the index. */
#include "ledger/store_sqlite.h"

#include <sys/statvfs.h>

#include "ledger/failpoint.h"

/* Copies what it can beside the commits; *left: pages of the WAL that are not copied. */
static enum err copy_some(struct sqlite_store *s, uint64_t *left)
{
    int in_wal = 0, copied = 0;
    FP("maintain.copy");
    int rc = sqlite3_wal_checkpoint_v2(s->checkpointer, NULL, SQLITE_CHECKPOINT_PASSIVE,
                                       &in_wal, &copied);
    FP("maintain.copied");
    uint64_t now = atomic_load(&s->wal_pages);
    s->wal_copied = copied > 0 ? (uint64_t)copied : 0;
    *left = now > s->wal_copied ? now - s->wal_copied : 0;
    return rc == SQLITE_BUSY ? ERR_OK : sqlite_err(s->checkpointer, rc);
}

/* What is left is copied while commits wait, and the WAL starts again from its beginning.
 * Readers that still use it get a moment to finish; if they do not, the next call tries
 * again. Erased attachments make it empty. */
static enum err reset(struct sqlite_store *s)
{
    bool erased = atomic_exchange(&s->erased, false);
    int mode = erased ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_RESTART;
    sqlite3_busy_timeout(s->checkpointer, STORE_WAL_READERS_MS);
    pthread_mutex_lock(&s->commit);
    FP("maintain.reset");
    int rc = sqlite3_wal_checkpoint_v2(s->checkpointer, NULL, mode, NULL, NULL);
    FP_DONE("maintain.reset");
    if (rc == SQLITE_OK) {
        atomic_store(&s->wal_pages, 0);
        s->wal_copied = 0;
    } else if (erased) {
        atomic_store(&s->erased, true);
    }
    pthread_mutex_unlock(&s->commit);
    return rc == SQLITE_BUSY ? ERR_OK : sqlite_err(s->checkpointer, rc);
}

static enum err checkpoint_wal(struct sqlite_store *s)
{
    uint64_t pages = atomic_load(&s->wal_pages), left = 0;
    if (s->wal_copied > pages) /* the WAL began anew since */
        s->wal_copied = 0;
    bool wanted =
        atomic_load(&s->erased) || pages * STORE_PAGE_BYTES >= STORE_WAL_RESET_BYTES;
    if (!wanted && (pages - s->wal_copied) * STORE_PAGE_BYTES < STORE_WAL_PASS_BYTES)
        return ERR_OK;
    for (unsigned pass = 0; pass < STORE_WAL_PASSES_MAX; pass++) {
        TRY(copy_some(s, &left));
        if (!wanted)
            return ERR_OK;
        if (left * STORE_PAGE_BYTES <= STORE_WAL_TAIL_BYTES)
            return reset(s);
    }
    return pages * STORE_PAGE_BYTES >= STORE_WAL_HARD_BYTES || atomic_load(&s->erased)
               ? reset(s)
               : ERR_OK;
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
