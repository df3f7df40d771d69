/* What the files of the Postgres edge share and nobody outside includes. The only files
 * that see libpq-fe.h are store_postgres*. Schema: deploy/schema; promises and figures:
 * docs/architecture/postgres.md.
 *
 * A link is one connection and belongs to one thread at a time: the writer's is guarded
 * by its mutex (maintain looks at it too), each reader has its own. Everything waits with
 * a deadline; a link that missed one is closed, never used again half-way through an
 * answer. */
#ifndef LEDGER_STORE_POSTGRES_H
#define LEDGER_STORE_POSTGRES_H

#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>

#include "ledger/store.h"
#include "ledger/store_lease.h"
#include "ledger/store_postgres_lease.h"
#include "ledger/store_postgres_project.h"
#include "ledger/store_tree.h"
#include "ledger/store_util.h"

#define POSTGRES_SERVER_MIN 150000 /* 15: the oldest one the tests run on */
#define POSTGRES_CONNECT_MS 5000u  /* from the first packet to a session that is ready */
#define POSTGRES_STATEMENT_MS 10000u /* the server gives a statement up after this */
#define POSTGRES_ANSWER_MS 12000u    /* we give up an exchange after this */
#define POSTGRES_LOCK_MS 2000u       /* a row someone else holds */
#define POSTGRES_PLACE_MS                                                                \
    4000u /* of a server of single slots: a connect, an exchange. So long, and once, all   \
             other slots may have to wait for one that hangs */
#define POSTGRES_PLACE_PAUSE_MS 60000u /* after one that could not be opened */
#define POSTGRES_CLAIM_LOCK_MS 300u  /* a slot someone else owns .. */
#define POSTGRES_START_LOCK_MS                                                           \
    2000u /* .. the first one: who was killed may not be gone */
#define POSTGRES_IDLE_TXN_MS                                                             \
    10000u                            /* the server ends a transaction that says nothing \
                                       */
#define POSTGRES_BACKOFF_MS 100u      /* after a failed connect, doubled up to .. */
#define POSTGRES_BACKOFF_MAX_MS 2000u /* .. this: calls answer ERR_STORE at once */
#define POSTGRES_TRIES_MAX 4u         /* of one append, after a conflict or a lost link */
#define POSTGRES_PING_EVERY_MS 1000u  /* maintain looks whether the server is there */
#define POSTGRES_INSERT_BYTES 8388608u /* of records in one statement */
#define POSTGRES_PAGE_RECORDS 256u     /* read at a time */
#define POSTGRES_TEXT_MAX 320
#define POSTGRES_URI_MAX 1024
#define POSTGRES_LEDGER_ID_BYTES 16
#define POSTGRES_LOCK_CLASS                                                              \
    0x53746f61 /* advisory locks: (this, slot) is a slot's owner */
#define POSTGRES_MOVE_LOCK_CLASS                                                         \
    0x53746f6d /* (this, slot): whoever moves a slot away from this database */
#define POSTGRES_PLACES_MAX 32u /* servers of one hub */
#define POSTGRES_HOPS_MAX 8u    /* from one place to the next, looking for a slot */
#define POSTGRES_PLACES_EVERY_MS 1000u /* it is looked whether slots have moved */
#define POSTGRES_MOVE_WAIT_MS 15000u /* at the start, for a slot that is being moved */

/* Where to connect. `name` is for people: user, host, database, never a secret. */
struct pg_target {
    PQconninfoOption *options;
    char name[POSTGRES_TEXT_MAX];
};

/* The ledger a session is bound to, and its schema. */
struct pg_ledger {
    bool any;
    int version; /* of the schema; 0: none */
    uint8_t id[POSTGRES_LEDGER_ID_BYTES];
    struct store_identity identity;
};

/* AUDITOR: rows as they are stored; PLAIN: simple queries only */
enum pg_role { PG_WRITER, PG_READER, PG_AUDITOR, PG_LEASE, PG_PROJECTOR, PG_PLAIN };

struct pg_link {
    PGconn *c; /* NULL: none */
    const struct pg_target *target;
    enum pg_role role;
    bool reads_only; /* a standby will do, an older schema too; the session cannot write */
    const struct pg_ledger *bound; /* a new session must find this one; NULL: any */
    atomic_bool *deaf; /* of a place; see postgres_store. NULL: of none */
    atomic_uint_fast64_t *made_ms; /* of the store; see there. NULL: of no store */
    unsigned patience_ms; /* the longest an exchange or a connect may take; 0: the usual
                             time */
    uint64_t until_ms; /* nothing is waited for after this; 0: no such end */
    bool probes;       /* asks all the same, to know whether it answers again */
    bool late;         /* the last exchange ended because there was no answer in time */
    uint64_t deadline_ms;          /* of the exchange under way */
    uint64_t retry_at_ms;          /* no connect before, unless another link got a session .. */
    uint64_t tried_ms;             /* .. since this: when the last connect began */
    uint64_t used_ms;              /* last answer */
    uint32_t failures;
    uint32_t sessions;    /* connections made so far */
    bool lost;            /* the last error was the loss of the link */
    bool again;           /* .. was a conflict: the transaction may be tried again */
    bool warned;          /* the server warned during the last exchange */
    char sqlstate[6];     /* of the last error; "" */
    struct store_why why; /* the last error, for people */
};

/* May a slot be claimed here (deploy/schema/0005_place.sql)? `moves`: of the move that is known
 * to have brought it, -1: none is. `lock`: the class of the lock that whoever moves it holds. */
#define PG_CLAIMABLE(moves, lock)                                                        \
    "CASE placed WHEN 'here' THEN true WHEN 'coming' THEN moves = " moves "::int8"        \
    " WHEN 'leaving' THEN pg_try_advisory_xact_lock(" lock "::int4, slot) ELSE false END"

/* Statements are prepared when a session begins. */
#define PG_STATEMENTS(X)                                                                 \
    X(BEGIN, PG_WRITER, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")               \
    X(COMMIT, PG_WRITER, "COMMIT")                                                       \
    X(ROLLBACK, PG_WRITER, "ROLLBACK")                                                   \
    X(LOCK_WAIT, PG_WRITER, "SELECT set_config('lock_timeout', $1::int4::text, true)")   \
    X(OWN, PG_WRITER, "SELECT pg_advisory_lock($1::int4, $2::int4)")                     \
    X(OWN_AGAIN, PG_WRITER,                                                              \
      "SELECT pg_try_advisory_lock($1::int4, u.slot) FROM unnest($2::int4[]) AS "        \
      "u(slot)")                                                                         \
    X(LAZY, PG_WRITER, "SET LOCAL synchronous_commit = off")                             \
    X(CLAIM, PG_WRITER,                                                                  \
      "UPDATE stoa.slot SET epoch = epoch + 1, placed = 'here' WHERE slot = $1::int4"    \
      " AND " PG_CLAIMABLE("$2", "$3") " RETURNING epoch")                               \
    X(PLACE, PG_WRITER,                                                                  \
      "SELECT convert_to(placed, 'UTF8'), moves, convert_to(coalesce(place, ''),"        \
      " 'UTF8') FROM stoa.slot WHERE slot = $1::int4")                                   \
    X(PLACES, PG_WRITER,                                                                 \
      "SELECT slot FROM stoa.slot WHERE placed IN ('away', 'coming') ORDER BY slot")     \
    X(LEASE_HELD, PG_WRITER,                                                             \
      "SELECT slot FROM stoa.lease WHERE slot = $1::int4 AND instance = $2::bytea")      \
    X(WHOSE, PG_WRITER,                                                                  \
      "SELECT slot FROM stoa.record WHERE entry = $1::bytea LIMIT 1")                    \
    X(MOVE, PG_WRITER,                                                                   \
      "UPDATE stoa.slot AS s SET size = u.new, edges = u.edges, checkpoint = u.note"     \
      " FROM unnest($1::int4[], $2::int8[], $3::int8[], $4::int8[], $5::bytea[],"        \
      " $6::bytea[]) AS u(slot, epoch, old, new, edges, note)"                           \
      " WHERE s.slot = u.slot AND s.epoch = u.epoch AND s.size = u.old RETURNING "       \
      "s.slot")                                                                          \
    X(RECORDS, PG_WRITER,                                                                \
      "INSERT INTO stoa.record(slot, idx, position, hub_lamport, hub_time_ms, account,"  \
      " entry, account_head, leaf_hash, envelope) SELECT * FROM unnest($1::int4[],"      \
      " $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::bytea[], $7::bytea[],"       \
      " $8::bytea[], $9::bytea[], $10::bytea[])")                                        \
    X(TILES, PG_WRITER,                                                                  \
      "INSERT INTO stoa.tile(slot, level, n, root, hashes) SELECT * FROM"                \
      " unnest($1::int4[], $2::int4[], $3::int8[], $4::bytea[], $5::bytea[])")           \
    X(ITEMS, PG_WRITER,                                                                  \
      "INSERT INTO stoa.outbox(slot, source_index, payee_index, destination_slot, "      \
      "out_seq,"                                                                         \
      " source_lamport, amount, is_return, cause, payer, payee) SELECT s, i, p, d, o, "  \
      "l,"                                                                               \
      " a, r <> 0, c, f, t FROM unnest($1::int4[], $2::int8[], $3::int8[], $4::int4[],"  \
      " $5::int8[], $6::int8[], $7::int8[], $8::int4[], $9::bytea[], $10::bytea[],"      \
      " $11::bytea[]) AS u(s, i, p, d, o, l, a, r, c, f, t)")                            \
    X(FORGET, PG_WRITER,                                                                 \
      "DELETE FROM stoa.outbox AS o USING unnest($1::int4[], $2::int8[], $3::int8[]) AS" \
      " u(slot, low, high) WHERE o.slot = u.slot AND o.source_index >= u.low"            \
      " AND o.source_index < u.high")                                                    \
    X(OUTBOX, PG_WRITER,                                                                 \
      "SELECT source_index, payee_index, destination_slot, out_seq, source_lamport,"     \
      " amount, is_return::int4, cause, payer, payee FROM stoa.outbox"                   \
      " WHERE slot = $1::int4 AND (source_index, payee_index) > ($2::int8, $3::int8)"    \
      " ORDER BY source_index, payee_index LIMIT $4::int8")                              \
    X(SNAPSHOT_PUT, PG_WRITER,                                                           \
      "INSERT INTO stoa.snapshot(slot, part, parts, size, data) VALUES ($1::int4,"       \
      " $2::int4, $3::int4, $4::int8, $5::bytea)")                                       \
    X(SNAPSHOT_DROP, PG_WRITER, "DELETE FROM stoa.snapshot WHERE slot = $1::int4")       \
    X(SNAPSHOT, PG_WRITER,                                                               \
      "SELECT parts, size, data FROM stoa.snapshot WHERE slot = $1::int4"                \
      " AND part = $2::int4")                                                            \
    X(SEALED_PUT, PG_WRITER,                                                             \
      "INSERT INTO stoa.sealed(entry, data) SELECT $1::bytea, $2::bytea WHERE NOT EXISTS"\
      " (SELECT FROM stoa.record AS r JOIN stoa.slot AS s ON s.slot = r.slot"            \
      " WHERE r.entry = $1::bytea AND s.placed <> 'here') ON CONFLICT DO NOTHING")       \
    X(SEALED_ERASE, PG_WRITER, "DELETE FROM stoa.sealed WHERE entry = $1::bytea")        \
    X(WRITER_SLOT, PG_WRITER,                                                            \
      "SELECT epoch, size, edges, checkpoint FROM stoa.slot WHERE slot = $1::int4")      \
    X(SLOT, PG_READER,                                                                   \
      "SELECT epoch, size, edges, checkpoint, (placed IN ('away', 'coming'))::int4"      \
      " FROM stoa.slot WHERE slot = $1::int4")                                           \
    X(SIZE, PG_READER, "SELECT size FROM stoa.slot WHERE slot = $1::int4")               \
    X(RANGE, PG_READER,                                                                  \
      "SELECT slot, " PG_RECORD_COLUMNS " FROM stoa.record WHERE slot = $1::int4"        \
      " AND idx >= $2::int8 AND idx < $3::int8 ORDER BY idx")                            \
    X(ACCOUNT, PG_READER,                                                                \
      "SELECT slot, " PG_RECORD_COLUMNS " FROM stoa.record WHERE account = $1::bytea"    \
      " AND slot = $2::int4 AND position >= $3::int8 AND position < $4::int8"            \
      " ORDER BY position")                                                              \
    X(ANY_ACCOUNT, PG_READER,                                                            \
      "SELECT slot, " PG_RECORD_COLUMNS " FROM stoa.record WHERE account = $1::bytea"    \
      " AND position >= $2::int8 AND position < $3::int8 ORDER BY position")             \
    X(FIND, PG_READER,                                                                   \
      "SELECT slot, idx FROM stoa.record WHERE entry = $1::bytea LIMIT 1")               \
    X(LEAVES, PG_READER,                                                                 \
      "SELECT leaf_hash FROM stoa.record WHERE slot = $1::int4 AND idx >= $2::int8"      \
      " AND idx < $3::int8 ORDER BY idx")                                                \
    X(TILE, PG_READER,                                                                   \
      "SELECT root, hashes FROM stoa.tile WHERE slot = $1::int4 AND level = $2::int4"    \
      " AND n = $3::int8")                                                               \
    X(ROOTS, PG_READER,                                                                  \
      "SELECT root FROM stoa.tile WHERE slot = $1::int4 AND level = $2::int4"            \
      " AND n >= $3::int8 AND n < $4::int8 ORDER BY n")                                  \
    X(SEALED, PG_READER, "SELECT data FROM stoa.sealed WHERE entry = $1::bytea")         \
    X(AUDIT_SLOT, PG_AUDITOR,                                                            \
      "SELECT epoch, size, edges, checkpoint, convert_to(coalesce(to_jsonb(s)->>'placed',"\
      " 'here'), 'UTF8'), convert_to(coalesce(to_jsonb(s)->>'place', ''), 'UTF8')"       \
      " FROM stoa.slot AS s WHERE slot = $1::int4")                                      \
    X(AUDIT_RECORDS, PG_AUDITOR,                                                         \
      "SELECT idx, position, hub_lamport, hub_time_ms, account, entry, account_head,"    \
      " leaf_hash, envelope FROM stoa.record WHERE slot = $1::int4 AND idx >= $2::int8"  \
      " AND idx < $3::int8 ORDER BY idx LIMIT $4::int8")                                 \
    X(AUDIT_TILE, PG_AUDITOR,                                                            \
      "SELECT root, hashes FROM stoa.tile WHERE slot = $1::int4 AND level = $2::int4"    \
      " AND n = $3::int8")
#define PG_RECORD_COLUMNS                                                                \
    "idx, position, hub_lamport, hub_time_ms, account, account_head, leaf_hash, "        \
    "envelope"

#define PG_STATEMENT_ENUM_(name, role, text) PG_##name,
enum pg_statement {
    PG_STATEMENTS(PG_STATEMENT_ENUM_) PG_LEASE_STATEMENTS(PG_STATEMENT_ENUM_)
    PG_PROJECT_STATEMENTS(PG_STATEMENT_ENUM_) PG_STATEMENT_COUNT
};
#undef PG_STATEMENT_ENUM_

/* Parameters of one statement, binary. Numbers are kept here; spans are borrowed. */
#define PG_PARAMS_MAX 11
struct pg_params {
    int count;
    const char *value[PG_PARAMS_MAX];
    int length[PG_PARAMS_MAX];
    uint8_t number[PG_PARAMS_MAX][8];
};
void pg_add_i32(struct pg_params *p, uint32_t v);
void pg_add_i64(struct pg_params *p, uint64_t v);
void pg_add_bytes(struct pg_params *p, const void *data, size_t size);

/* A growing array of one type in the server's binary form. */
enum pg_type { PG_INT4 = 23, PG_INT8 = 20, PG_BYTEA = 17 };
struct pg_array {
    struct buf b;
    uint32_t count;
    bool failed; /* no memory */
};
void pg_array_clear(struct pg_array *a, enum pg_type type);
void pg_array_i32(struct pg_array *a, uint32_t v);
void pg_array_i64(struct pg_array *a, uint64_t v);
void pg_array_bytes(struct pg_array *a, const void *data, size_t size);
/* The first `count` of arrays[] as parameters. ERR_MEMORY when one had failed. */
enum err pg_add_arrays(struct pg_params *p, struct pg_array arrays[], size_t count);

/* Columns of a row. ERR_CORRUPT: not what the schema says. */
enum err pg_u64(const PGresult *r, int row, int column, uint64_t max, uint64_t *out);
enum err pg_span(const PGresult *r, int row, int column, struct bytes *out);
enum err pg_hash(const PGresult *r, int row, int column, struct hash *out);
uint64_t pg_changed(const PGresult *r); /* rows of an INSERT, UPDATE or DELETE */

/* store_postgres_target.c. ERR_USAGE: no such URI, or it has a password in it. */
enum err pg_target_open(struct pg_target *t, const char *rest, struct store_why *why);
void pg_target_close(struct pg_target *t);
/* As store_place.asked_by has it; "" also when `cap` is too small. */
void pg_target_asked_by(const struct pg_target *t, char *out, size_t cap);

/* store_postgres_link.c */
uint64_t pg_now_us(void); /* of a clock that never jumps */
uint64_t pg_now_ms(void);
void pg_sleep_ms(unsigned ms);
unsigned pg_jitter_ms(unsigned most);
/* A link that is connected and bound, or is made so now. ERR_STORE: not there, or too
 * soon after it was not; ERR_MISSING, ERR_SCHEMA, ERR_CONFIG, ERR_CORRUPT: see why. */
enum err pg_ready(struct pg_link *l);
void pg_drop(struct pg_link *l);
/* The session was found dead, not slow: a question may be asked once more, of a new one. Who
 * was kept waiting until the deadline does not wait for it twice. */
static inline bool pg_died(const struct pg_link *l)
{
    return l->lost && !l->late;
}
/* Steps sent as one pipeline, answered in one exchange. The first error ends it; results
 * of the steps before it stand. pg_clear afterwards, always. */
struct pg_step {
    enum pg_statement statement;
    struct pg_params p;
    PGresult *result;
};
/* The same in parts: what is sent may be overwritten once pg_send has returned. */
void pg_begin(struct pg_link *l);
enum err pg_send(struct pg_link *l, struct pg_step *step);
enum err pg_finish(struct pg_link *l, struct pg_step steps[], size_t count);
enum err pg_exchange(struct pg_link *l, struct pg_step steps[], size_t count);
void pg_clear(struct pg_step steps[], size_t count);
/* One simple query, before a session is prepared (PG_PLAIN) or while it is: text results.
 */
enum err pg_simple(struct pg_link *l, const char *sql, PGresult **out);
/* What the server's answer means; notes it in the link. */
enum err pg_result_err(struct pg_link *l, const PGresult *r);

/* store_postgres_session.c: is this a server and a ledger to write to? */
enum err pg_session_check(struct pg_link *l);
/* Of the schema; 0: none. */
enum err pg_session_version(struct pg_link *l, int *version);
/* ERR_CONFIG when it is older than this program's. */
enum err pg_session_current(struct pg_link *l, int version);
/* May this role write to the ledger? ERR_CONFIG when not. */
enum err pg_session_may_write(struct pg_link *l);
enum err pg_session_ledger(struct pg_link *l, struct pg_ledger *out);
extern const char *const pg_texts[PG_STATEMENT_COUNT];
extern const enum pg_role pg_roles[PG_STATEMENT_COUNT];

/* Statements of one transaction on their way, and what must come of them. */
#define PG_BATCH_STEPS 12
struct pg_batch {
    struct pg_step step[PG_BATCH_STEPS];
    uint64_t expect[PG_BATCH_STEPS]; /* rows changed; UINT64_MAX: any number */
    size_t count, bytes;
    size_t moving;         /* slots that MOVE must move */
    bool moved[SLOTS_MAX]; /* those it did */
};

struct pg_places;
struct postgres_store {
    struct store base;
    struct pg_places *places; /* store_postgres_place.c; NULL: a place itself, or a replica */
    bool is_place;            /* not the hub's own database: leases are kept there */
    struct pg_target target;
    struct pg_ledger ledger;
    bool reads_only; /* a replica: readers only */
    unsigned patience_ms; /* .. which is asked for so long; see pg_link */
    pthread_mutex_t lock; /* of the writer's link and all below */
    struct pg_link link;
    uint32_t owned_session;     /* the session that holds `owned` */
    bool owned[SLOTS_MAX];      /* advisory locks had */
    bool shared;                /* with other relays: by lease, the locks are shared too */
    bool shared_locked;         /* this session has them */
    struct lease_self self;     /* shared: who we are */
    uint64_t forgot[SLOTS_MAX]; /* outbox: nothing is left below */
    struct pg_array array[PG_PARAMS_MAX];
    struct pg_batch batch;
    atomic_bool broken;
    atomic_bool away; /* the last look found no server */
    /* A place that did not answer in time, on any link. Until maintain has an answer from it,
     * a good one or not, all links say ERR_STORE at once. */
    atomic_bool deaf;
    atomic_uint_fast64_t looked_ms;
    /* The newest session with the server, on any link: one that was made shows all others that
     * were refused before that they need not be patient any more. */
    atomic_uint_fast64_t made_ms;
};
static inline struct postgres_store *postgres_of(struct store *s)
{
    return (struct postgres_store *)(void *)s;
}
/* store_postgres.c: this edge's part of store_open_replica. */
enum err store_replica_postgres(const char *rest, unsigned patience_ms,
                                struct store **out, struct store_why *why);
/* A link to the store's server, not connected. */
struct pg_link postgres_link(struct postgres_store *s, enum pg_role role);
/* An error that concerns the whole database breaks the store. */
enum err postgres_note(struct postgres_store *s, enum err e);

/* store_postgres_append.c */
/* A writer's session, made anew when it was lost, that owns what the last one did. */
enum err postgres_ready(struct postgres_store *s);
enum err postgres_begin(struct postgres_store *s, bool lazy);
/* Commit if `e` is ERR_OK, else roll back and return `e`. `effect` names the commit.
 * ERR_UNKNOWN: sent, and not answered. */
enum err postgres_end(struct postgres_store *s, const char *effect, enum err e);
/* Of a slot that is at `s`. `moves` as PG_CLAIMABLE has it. ERR_LOST: it is not there any more;
 * ERR_STORE: not now. */
enum err postgres_claim_at(struct postgres_store *s, uint32_t slot, uint64_t moves,
                           uint64_t *epoch);
enum err postgres_claim(struct store *base, uint32_t slot, uint64_t *epoch);
void postgres_append(struct store *base, const struct store_append appends[],
                     size_t count, enum store_outcome outcome[]);
/* store_postgres_rows.c: what an append is made of, as arrays, sent as it is built */
void postgres_batch(struct postgres_store *s);
/* One statement over the first `arrays` arrays, nothing when `rows` is 0; `expect` rows
 * must be changed. Sends what waits when there is much of it. */
enum err postgres_add(struct postgres_store *s, enum pg_statement statement,
                      size_t arrays, uint64_t expect);
/* All answers. ERR_LOST: slots are not where they were given, see `moved`. */
enum err postgres_flush(struct postgres_store *s);
enum err postgres_put_moves(struct postgres_store *s,
                            const struct store_append *const a[], size_t count);
enum err postgres_put_records(struct postgres_store *s,
                              const struct store_append *const a[], size_t count);
enum err postgres_put_tiles(struct postgres_store *s,
                            const struct store_append *const a[], size_t count);
enum err postgres_put_items(struct postgres_store *s,
                            const struct store_append *const a[], size_t count);
enum err postgres_forget_items(struct postgres_store *s,
                               const struct store_append *const a[], size_t count);
enum err postgres_put_settled(struct postgres_store *s,
                              const struct store_append *const a[], size_t count);
/* store_postgres_side.c: one question of the writer, outside a transaction; `lock` is held. */
enum err postgres_ask_writer(struct postgres_store *s, struct pg_step *step);
/* store_postgres_probe.c: store_probe of a target that is open. */
bool postgres_probe(const struct pg_target *target, unsigned limit_ms,
                    struct store_probe *out, struct store_why *why);
/* store_postgres_place.c: slots on several servers */
/* Where everything is; from now on `s` passes each call on to where its slot is. */
enum err postgres_places_open(struct postgres_store *s);
void postgres_places_close(struct postgres_store *s);
/* store_postgres.c: a place of `s`, opened by its URI. */
enum err postgres_place_open(struct postgres_store *s, const char *uri,
                             struct postgres_store **out, struct store_why *why);
extern const struct store_ops postgres_ops; /* of one database */
/* store_postgres_lease.c */
enum err postgres_share(struct store *base, const struct lease_self *self,
                        struct store_lease **out, struct store_why *why);
/* The process whose lease on the slot ended at this epoch without being given back.
 * ERR_NOT_FOUND: there is none any more. */
enum err postgres_lease_was(struct store_lease *l, uint32_t slot, uint64_t epoch,
                            struct lease_self *out);
/* store_postgres_append.c: end what that process has open at this server. */
enum err postgres_end_sessions(struct postgres_store *s, const struct lease_self *of);
#define PG_LEASE_APP_BYTES (8 + 2 * LEASE_INSTANCE_BYTES)
/* Names a session of this process on the server, so that others can end it, and its longest
 * silence within a transaction, which holds rows: $1 and $2 of NAME and LEASE_NAME. `app` has
 * PG_LEASE_APP_BYTES and is borrowed by the parameters. */
void postgres_lease_name(const struct lease_self *self, char *app, struct pg_params *p);
/* store_postgres_side.c */
enum err postgres_item_row(const PGresult *r, int row, uint32_t slot,
                           struct channel_item *i);
enum err postgres_slot_row(const PGresult *r, struct store_slot *out);
enum err postgres_slot(struct store *base, uint32_t slot, struct store_slot *out);
enum err postgres_outbox(struct store *base, uint32_t slot,
                         bool (*visit)(void *context, const struct channel_item *item),
                         void *context);
enum err postgres_snapshot_save(struct store *base, uint32_t slot, tree_size size,
                                const struct bytes parts[], size_t count);
enum err postgres_snapshot_load(struct store *base, uint32_t slot, tree_size *size,
                                bool (*visit)(void *context, struct bytes part),
                                void *context);
enum err postgres_snapshot_drop(struct store *base, uint32_t slot);
enum err postgres_sealed_put(struct store *base, const struct hash *entry,
                             struct bytes data);
enum err postgres_sealed_erase(struct store *base, const struct hash *entry);
/* store_postgres_read.c */
struct postgres_reader {
    struct store_reader base;
    struct postgres_store *s;
    struct pg_link link;
    uint32_t slot; /* of the tree being read */
    bool away; /* the slot that was looked at last is not here any more */
};
static inline struct postgres_reader *postgres_reader_of(struct store_reader *r)
{
    return (struct postgres_reader *)(void *)r;
}
enum err postgres_ask(struct postgres_reader *r, struct pg_step *step);
/* store_postgres_view.c: projections, as relays read them */
extern const struct projection_ops postgres_projection_ops;
/* store_postgres_read.c */
enum err postgres_reader_open(struct store *base, struct store_reader **out);

#endif
