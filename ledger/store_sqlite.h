/* What the files of the SQLite edge share and nobody outside includes. The only headers
 * and files that see sqlite3.h are store_sqlite*. Schema and promises:
 * docs/architecture/store.md.
 *
 * Locks, in the order they are taken:
 *   upkeep      maintain, one call at a time
 *   commit      one write transaction of the ledger at a time; the tail of a WAL
 * checkpoint index.file  the connections that flush and merge the index index.lock  the
 * generations in memory: short, readers share it */
#ifndef LEDGER_STORE_SQLITE_H
#define LEDGER_STORE_SQLITE_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "ledger/store.h"
#include "ledger/store_table.h"
#include "ledger/store_tree.h"
#include "ledger/store_util.h"

#define STOA_APPLICATION_ID 0x53746f61 /* "Stoa" */
#define STOA_INDEX_APPLICATION_ID 0x53746f69
#define STORE_SCHEMA_VERSION 1
#define STORE_PAGE_BYTES 8192
#define STORE_WRITER_CACHE_KIB 16384
#define STORE_READER_CACHE_KIB 2048
#define STORE_BUSY_MS 2000 /* nobody else writes, so waiting at all is rare */

/* WAL: what is not in the file yet is copied there in passes of PASS, beside the commits.
 * From RESET on the WAL shall start again from its beginning; for that the rest, at most
 * TAIL, is copied while commits wait, unless the WAL has passed HARD. */
#ifndef STORE_WAL_PASS_BYTES /* tests/crash comes here sooner */
#define STORE_WAL_PASS_BYTES (4u << 20)
#define STORE_WAL_RESET_BYTES (64u << 20)
#endif
#define STORE_WAL_TAIL_BYTES (512u << 10)
#define STORE_WAL_HARD_BYTES (256u << 20)
#define STORE_WAL_PASSES_MAX 8
#define STORE_WAL_READERS_MS 10 /* how long the tail may wait for readers */

#define OUTBOX_ROW_ITEMS 512      /* a row ends at the first record past this many */
#define OUTBOX_FORGET_ROWS_MAX 64 /* rows forgotten in one append */
#define LEDGER_ID_BYTES 16
/* Where an envelope of ours names its account: [version, account bin32, .. (entry.h).
 * Most records then need no account column of their own. */
#define ENVELOPE_ACCOUNT_AT 4

/* The index: what is newer than the file is in generations in memory. */
#define GENERATION_RECORDS 65536
#define GENERATIONS_MAX 16  /* then append itself flushes */
#define GENERATIONS_FLUSH 2 /* full ones that make a flush worth while */
#define RUN_FANOUT 8        /* runs of one level that are merged into one of the next */
#define RUN_LEVELS_MAX 20
#define RUN_PAGE_BYTES 8192
#define RUN_BLOCK_BYTES 8120     /* with its row it fills one page */
#define RUN_STEP_BLOCKS 512      /* merged in one transaction */
#define RUN_BUILD_RECORDS 131072 /* records of one run while the index is built anew */

enum run_kind { RUN_ENTRY, RUN_ACCOUNT, RUN_KINDS };
/* Entry: id prefix (8), place (6). Account: id prefix (8), position (5), place (6). All
 * big-endian, so that memcmp is the order. */
#define RUN_ENTRY_BYTES 14
#define RUN_ACCOUNT_BYTES 19
#define RUN_PREFIX_BYTES 8
static inline size_t run_width(enum run_kind k)
{
    return k == RUN_ENTRY ? RUN_ENTRY_BYTES : RUN_ACCOUNT_BYTES;
}

struct generation {
    struct table entry;   /* id prefix -> place */
    struct table account; /* table_account_key -> place */
    size_t count;
    struct generation_row *row; /* what the tables hold, as the runs want it */
    uint64_t end[SLOTS_MAX];    /* sizes when it was closed to further records */
};
struct generation_row {
    uint64_t id_prefix, account_prefix, position, place;
};

struct merge; /* store_sqlite_runs.c */

struct sqlite_index {
    uint64_t seed;
    pthread_rwlock_t lock;
    struct generation
        *generation[GENERATIONS_MAX]; /* oldest first; all but the last closed */
    size_t generations;
    pthread_mutex_t file;
    sqlite3 *db;
    sqlite3 *ledger;             /* reads the ledger for the index; guarded by file */
    uint64_t covered[SLOTS_MAX]; /* by the runs in the file; guarded by file */
    struct merge *merge;
    atomic_bool damaged; /* found while reading: absence cannot be told until next open */
};

enum writer_statement {
    W_BEGIN,
    W_COMMIT,
    W_ROLLBACK,
    W_CLAIM,
    W_SLOT,
    W_SLOT_CHECK,
    W_SLOT_UPDATE,
    W_TILE,
    W_OUTBOX_PUT,
    W_OUTBOX_BOUND,
    W_OUTBOX_FORGET,
    W_OUTBOX,
    W_SNAPSHOT_PUT,
    W_SNAPSHOT_DROP,
    W_SNAPSHOT,
    W_SEALED_PUT,
    W_SEALED_BLANK,
    W_SEALED_ERASE,
    W_STATEMENTS
};

struct sqlite_store {
    struct store base;
    struct store_identity identity;
    uint8_t ledger_id[LEDGER_ID_BYTES];
    char *path;
    int lock_fd;
    atomic_bool broken;
    pthread_mutex_t commit; /* recursive */
    pthread_mutex_t upkeep;
    bool locks_ready, index_ready; /* initialised */
    sqlite3 *checkpointer;         /* guarded by upkeep */
    sqlite3 *db;
    sqlite3_stmt *statement[W_STATEMENTS];
    sqlite3_stmt *insert[SLOTS_MAX];
    uint64_t size[SLOTS_MAX];       /* as last committed; guarded by commit */
    uint64_t outbox_low[SLOTS_MAX]; /* nothing is left below; guarded by commit */
    struct buf room;                /* an outbox row being packed */
    atomic_uint_fast64_t wal_pages; /* in the WAL since it last began */
    uint64_t wal_copied;            /* of those, in the file; guarded by upkeep */
    atomic_bool erased;             /* sealed bytes may still stand in the WAL */
    struct sqlite_index index;
};

static inline struct sqlite_store *sqlite_of(struct store *s)
{
    return (struct sqlite_store *)(void *)s;
}

static inline uint64_t sqlite_tile_key(uint32_t slot, unsigned level, uint64_t n)
{
    return (uint64_t)slot << 44 | (uint64_t)level << 40 | n;
}

/* store_sqlite.c: connections and errors */
enum sqlite_role { SQLITE_WRITER, SQLITE_READER, SQLITE_MAINTAINER };
enum err sqlite_connect(const char *path, enum sqlite_role role, sqlite3 **db);
void sqlite_disconnect(sqlite3 *db, sqlite3_stmt *statement[], size_t count);
/* What a result code of `db` means. Marks nothing. */
enum err sqlite_err(sqlite3 *db, int rc);
/* The same on the ledger's own file: an I/O error breaks the store. */
enum err sqlite_note(struct sqlite_store *s, enum err e);
enum err sqlite_exec(sqlite3 *db, const char *sql);
enum err sqlite_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out);
/* Step a statement that returns no row, and reset it. */
enum err sqlite_run(sqlite3 *db, sqlite3_stmt *q);
/* Step to a row: ERR_OK, or ERR_NOT_FOUND. Not reset: call sqlite3_reset. */
enum err sqlite_row(sqlite3 *db, sqlite3_stmt *q);
void sqlite_bind_u64(sqlite3_stmt *q, int at, uint64_t v);
/* A column that must be an integer in 0 .. STORE_INDEX_MAX (or `max`); ERR_CORRUPT. */
enum err sqlite_u64(sqlite3_stmt *q, int at, uint64_t max, uint64_t *out);
/* A blob of exactly `size` bytes; ERR_CORRUPT. */
enum err sqlite_blob(sqlite3_stmt *q, int at, size_t size, const uint8_t **out);
/* A PRAGMA that answers with one integer. */
enum err sqlite_pragma(sqlite3 *db, const char *sql, int64_t *out);
/* Checksum of a row's bytes, `key` included: SQLite has none, and a flipped bit must be
 * told from an answer. Against damage, not against people: who can write the file can do
 * it. */
uint32_t sqlite_sum(uint64_t key, const void *data, size_t size);
/* Of a record's row; `account` NULL where the row has none. The envelope, and an account
 * in it, are covered through the leaf. */
uint32_t sqlite_record_sum(uint64_t place, uint64_t position, const uint8_t *account,
                           const uint8_t leaf[LEAF_BYTES]);
/* Columns idx, position, sum, account, leaf from 0 on. *account NULL where there is none;
 * both stay until `q` is stepped. ERR_CORRUPT. */
enum err sqlite_leaf_row(sqlite3_stmt *q, uint32_t slot, uint64_t *index,
                         uint64_t *position, const uint8_t **account,
                         const uint8_t **leaf);
/* Of a tile: its root and its hashes can each be checked alone. */
uint64_t sqlite_tile_sum(uint64_t key, const struct hash *root, const uint8_t *hashes);
#define TILE_SUM_ROOT(sum) ((sum) >> 32)
#define TILE_SUM_HASHES(sum) ((sum)&0xffffffff)
/* "<path><suffix>", heap; NULL: no memory. */
char *sqlite_path(const char *path, const char *suffix);
/* Columns epoch, size, edges, checkpoint from `at` on. */
enum err sqlite_slot_row(sqlite3_stmt *q, int at, struct store_slot *out);

/* store_sqlite_create.c */
enum err sqlite_create(const char *rest, const struct store_identity *id,
                       struct store **out, struct store_why *why);
/* Is the file a ledger of ours, whole as far as its header tells? Reads only. */
enum err sqlite_inspect(const char *path, struct store_why *why);
enum err sqlite_open(const char *rest, struct store **out, struct store_why *why);

/* store_sqlite_append.c: operations of the writer */
enum err sqlite_writer_prepare(struct sqlite_store *s);
enum err sqlite_claim(struct store *base, uint32_t slot, uint64_t *epoch);
enum err sqlite_slot(struct store *base, uint32_t slot, struct store_slot *out);
void sqlite_append(struct store *base, const struct store_append appends[], size_t count,
                   enum store_outcome outcome[]);

/* store_sqlite_side.c: outbox, snapshots, sealed attachments */
enum err sqlite_txn_begin(struct sqlite_store *s);
/* Commit if `e` is ERR_OK, else roll back and return `e`. `effect` names the commit. */
enum err sqlite_txn_end(struct sqlite_store *s, const char *effect, enum err e);
enum err sqlite_outbox_put(struct sqlite_store *s, const struct store_append *a);
enum err sqlite_outbox_forget(struct sqlite_store *s, const struct store_append *a);
enum err sqlite_outbox(struct store *base, uint32_t slot,
                       bool (*visit)(void *context, const struct channel_item *item),
                       void *context);
enum err sqlite_snapshot_save(struct store *base, uint32_t slot, tree_size size,
                              const struct bytes parts[], size_t count);
enum err sqlite_snapshot_load(struct store *base, uint32_t slot, tree_size *size,
                              bool (*visit)(void *context, struct bytes part),
                              void *context);
enum err sqlite_snapshot_drop(struct store *base, uint32_t slot);
enum err sqlite_sealed_put(struct store *base, const struct hash *entry,
                           struct bytes data);
enum err sqlite_sealed_erase(struct store *base, const struct hash *entry);

/* store_sqlite_read.c */
enum err sqlite_reader_open(struct store *base, struct store_reader **out);
/* SQLITE_RECORD_COLUMNS. ERR_CORRUPT. */
enum err sqlite_record_row(sqlite3_stmt *q, uint32_t slot, struct record *r,
                           struct hash *account);
#define SQLITE_LEAF_COLUMNS "idx, position, sum, account, leaf"
#define SQLITE_RECORD_COLUMNS SQLITE_LEAF_COLUMNS ", envelope"

/* store_sqlite_index.c: from ids to places */
/* Open or build the file beside the ledger; everything committed is covered after it. */
enum err sqlite_index_open(struct sqlite_store *s, struct store_why *why);
void sqlite_index_close(struct sqlite_store *s);
/* Room for `records` more before a commit; may flush. Under commit. */
enum err sqlite_index_room(struct sqlite_store *s, size_t records);
/* Add the records of an append that is about to commit. Under commit, after _room. */
void sqlite_index_add(struct sqlite_store *s, const struct store_append *a);
/* Write full generations to the file (`all`: also the newest). */
enum err sqlite_index_flush(struct sqlite_store *s, bool all);
enum err sqlite_index_maintain(struct sqlite_store *s);
/* The places memory knows for a key: all are counted, at most `cap` are written. Each is
 * a candidate: the record there tells. */
size_t sqlite_index_entry(struct sqlite_index *x, const struct hash *id, uint64_t place[],
                          size_t cap);
size_t sqlite_index_position(struct sqlite_index *x, const struct hash *account,
                             uint64_t position, uint64_t place[], size_t cap);

/* store_sqlite_runs.c: sorted runs in the index file */
#define RUN_SCHEMA                                                                         \
    "CREATE TABLE run(no INTEGER PRIMARY KEY, kind INTEGER NOT NULL,"                      \
    " level INTEGER NOT NULL, entries INTEGER NOT NULL, blocks INTEGER NOT NULL,"          \
    " ready INTEGER NOT NULL) STRICT;"                                                     \
    "CREATE TABLE block(key INTEGER PRIMARY KEY, sum INTEGER NOT NULL,"                    \
    " data BLOB NOT NULL) STRICT;"                                                         \
    "CREATE TABLE total(kind INTEGER PRIMARY KEY, entries INTEGER NOT NULL) STRICT;"
/* Write `count` sorted entries as a run of level 0, inside the caller's transaction. */
enum err run_write(sqlite3 *db, enum run_kind kind, const uint8_t *entries, size_t count);
/* Drop what a merge left half done. */
enum err run_sweep(sqlite3 *db);
/* One bounded step of merging; *more: there is more to do. */
enum err run_merge_step(sqlite3 *db, struct merge **m, bool *more);
void run_merge_close(struct merge *m);

/* A reader's view of the runs. */
struct run_reader {
    sqlite3 *db;
    sqlite3_stmt *runs;
    sqlite3_stmt *total;
    sqlite3_stmt *first; /* of a block: its first entry's start, unchecked */
    sqlite3_stmt *block;
};
enum err run_reader_open(struct run_reader *r, const char *path);
void run_reader_close(struct run_reader *r);
/* Visit entries of all runs that are >= from[key] and <= to[key] in their first `key`
 * bytes; newest run first, in order within a run. `visit` returns false to stop. One read
 * transaction. ERR_CORRUPT: a run is damaged. */
enum err run_range(struct run_reader *r, enum run_kind kind, const uint8_t *from,
                   const uint8_t *to, size_t key,
                   bool (*visit)(void *context, const uint8_t *entry), void *context);

/* store_sqlite_maintain.c */
enum err sqlite_maintain(struct store *base);
uint64_t sqlite_free_bytes(struct store *base);

#endif
