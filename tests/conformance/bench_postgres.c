/* Measures ways into Postgres on one server of its own, in one run; prints one line a
 * way. bench_postgres [seconds [records-per-commit [envelope-bytes]]]
 *
 *   store      the store's append, end to end: everything of a batch over 16 slots
 *   unnest     INSERT .. SELECT unnest(arrays) into the record table, and COMMIT
 *   conflict   the same with ON CONFLICT DO NOTHING
 *   copy       COPY BINARY of the same rows, and COMMIT
 *   plain-copy COPY BINARY into a table without index or constraint, and COMMIT: what the
 *              server can take at all
 *   fdatasync  the same bytes appended to a file in the server's folder, and fdatasync
 *
 * Not a test. */
#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "crypto/sig.h"
#include "ledger/store_postgres.h"
#include "tests/conformance/feed.h"
#include "tests/lib/pgproc.h"

#define SLOTS 16

static double seconds = 3;
static size_t per_commit = 512, envelope_bytes = 500;
static double bare; /* fdatasync's rate */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "bench_postgres: %s\n", what);
        exit(1);
    }
}

/* Only the time inside is counted: rows are made outside. */
struct meter {
    const char *name;
    double busy;
    uint64_t records, commits;
};

static void tell(const struct meter *m)
{
    double rate = (double)m->records / m->busy;
    printf("%-11s %5zu records a commit: %8.0f records/s, %6.2f ms a commit, %.2f of "
           "fdatasync\n",
           m->name, per_commit, rate, m->busy / (double)m->commits * 1e3,
           bare > 0 ? rate / bare : 1.0);
    fflush(stdout);
}

static void bench_file(const struct pgproc *server)
{
    struct meter m = {"fdatasync", 0, 0, 0};
    char path[300];
    size_t size = per_commit * (envelope_bytes + 180);
    char *bytes = malloc(size);
    snprintf(path, sizeof path, "%s/data/bench", server->dir);
    int fd = open(path, O_CREAT | O_WRONLY | O_APPEND, 0600);
    must(fd >= 0 && bytes != NULL, "file");
    memset(bytes, 7, size);
    while (m.busy < seconds) {
        double t = now();
        must(write(fd, bytes, size) == (ssize_t)size && fdatasync(fd) == 0, "fdatasync");
        m.busy += now() - t;
        m.records += per_commit;
        m.commits++;
    }
    close(fd);
    unlink(path);
    free(bytes);
    bare = (double)m.records / m.busy;
    tell(&m);
}

static void bench_store(struct pgproc *server, const char *database)
{
    struct meter m = {"store", 0, 0, 0};
    struct store_identity id = {.hub = "bench", .slots = SLOTS};
    struct store *s = NULL;
    struct store_why why;
    static struct feed_slot feed[SLOTS];
    static struct feed_append f[SLOTS];
    char uri[400];
    must(pgproc_database(server, database), server->why);
    pgproc_uri(server, database, 0, uri, sizeof uri);
    must(store_create(uri, &id, &s, &why) == ERR_OK, why.text);
    for (uint32_t i = 0; i < SLOTS; i++) {
        uint64_t epoch = 0;
        must(s->ops->claim(s, i, &epoch) == ERR_OK, "claim");
        feed_slot_init(&feed[i], i, SLOTS, epoch);
    }
    while (m.busy < seconds) {
        struct store_append a[SLOTS];
        enum store_outcome outcome[SLOTS];
        for (uint32_t i = 0; i < SLOTS; i++) {
            feed_make(&f[i], &feed[i], per_commit / SLOTS, envelope_bytes, 0, 1);
            a[i] = f[i].a;
        }
        double t = now();
        s->ops->append(s, a, SLOTS, outcome);
        m.busy += now() - t;
        m.commits++;
        for (uint32_t i = 0; i < SLOTS; i++) {
            must(outcome[i] == STORE_COMMITTED, "append");
            feed[i] = f[i].after;
            m.records += a[i].record_count;
            feed_close(&f[i]);
        }
    }
    s->ops->close(s);
    tell(&m);
}

/* Rows for the record table by hand; slots in turn, ids that never repeat. */
static struct store_record *make_rows(struct feed_slot feed[SLOTS],
                                      struct feed_append f[SLOTS])
{
    struct store_record *rows = malloc(per_commit * sizeof *rows);
    size_t n = 0;
    for (uint32_t i = 0; i < SLOTS; i++) {
        feed_make(&f[i], &feed[i], per_commit / SLOTS, envelope_bytes, 0, 9);
        for (size_t k = 0; k < f[i].a.record_count; k++)
            rows[n++] = f[i].records[k];
        feed[i] = f[i].after;
    }
    return rows;
}

static void run(PGconn *c, const char *sql)
{
    PGresult *r = PQexec(c, sql);
    must(PQresultStatus(r) == PGRES_COMMAND_OK || PQresultStatus(r) == PGRES_TUPLES_OK,
         PQerrorMessage(c));
    PQclear(r);
}

static void insert_rows(PGconn *c, const struct store_record *rows, size_t count)
{
    static struct pg_array x[10];
    static const enum pg_type types[] = {PG_INT4,  PG_INT8,  PG_INT8,  PG_INT8,
                                         PG_INT8,  PG_BYTEA, PG_BYTEA, PG_BYTEA,
                                         PG_BYTEA, PG_BYTEA};
    static const int binary[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    struct pg_params p = {.count = 0};
    for (size_t i = 0; i < 10; i++)
        pg_array_clear(&x[i], types[i]);
    for (size_t i = 0; i < count; i++) {
        const struct store_record *in = &rows[i];
        pg_array_i32(&x[0], in->r.slot);
        pg_array_i64(&x[1], in->r.index);
        pg_array_i64(&x[2], in->r.position);
        pg_array_i64(&x[3], in->r.hub_lamport);
        pg_array_i64(&x[4], in->r.hub_time_ms);
        pg_array_bytes(&x[5], in->account.b, HASH_BYTES);
        pg_array_bytes(&x[6], in->id.b, HASH_BYTES);
        pg_array_bytes(&x[7], in->r.account_head.b, HASH_BYTES);
        pg_array_bytes(&x[8], in->leaf_hash.b, HASH_BYTES);
        pg_array_bytes(&x[9], in->r.envelope.data, in->r.envelope.size);
    }
    must(pg_add_arrays(&p, x, 10) == ERR_OK, "memory");
    PGresult *r = PQexecPrepared(c, "put", p.count, p.value, p.length, binary, 1);
    must(PQresultStatus(r) == PGRES_COMMAND_OK, PQerrorMessage(c));
    PQclear(r);
}

static void copy_field(struct buf *b, const void *data, uint32_t size)
{
    uint32_t n = htobe32(size);
    must(buf_add(b, &n, 4) && buf_add(b, data, size), "memory");
}

static void copy_rows(PGconn *c, const char *sql, const struct store_record *rows,
                      size_t count)
{
    static struct buf b;
    static const char head[19] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0";
    run(c, "SELECT 1");
    PGresult *r = PQexec(c, sql);
    must(PQresultStatus(r) == PGRES_COPY_IN, PQerrorMessage(c));
    PQclear(r);
    buf_clear(&b);
    must(buf_add(&b, head, sizeof head), "memory");
    for (size_t i = 0; i < count; i++) {
        const struct store_record *in = &rows[i];
        uint64_t words[] = {htobe64(in->r.index), htobe64(in->r.position),
                            htobe64(in->r.hub_lamport), htobe64(in->r.hub_time_ms)};
        uint32_t slot = htobe32(in->r.slot);
        uint16_t fields = htobe16(10);
        must(buf_add(&b, &fields, 2), "memory");
        copy_field(&b, &slot, 4);
        for (int k = 0; k < 4; k++)
            copy_field(&b, &words[k], 8);
        copy_field(&b, in->account.b, HASH_BYTES);
        copy_field(&b, in->id.b, HASH_BYTES);
        copy_field(&b, in->r.account_head.b, HASH_BYTES);
        copy_field(&b, in->leaf_hash.b, HASH_BYTES);
        copy_field(&b, in->r.envelope.data, (uint32_t)in->r.envelope.size);
    }
    uint16_t end = 0xffff;
    must(buf_add(&b, &end, 2), "memory");
    must(PQputCopyData(c, (const char *)b.data, (int)b.size) == 1 &&
             PQputCopyEnd(c, NULL) == 1,
         PQerrorMessage(c));
    while ((r = PQgetResult(c)) != NULL) {
        must(PQresultStatus(r) == PGRES_COMMAND_OK, PQerrorMessage(c));
        PQclear(r);
    }
}

#define COLUMNS                                                                          \
    "(slot, idx, position, hub_lamport, hub_time_ms, account, entry, account_head,"      \
    " leaf_hash, envelope)"

static void bench_way(struct pgproc *server, const char *name, const char *sql, bool copy)
{
    struct meter m = {name, 0, 0, 0};
    struct store_identity id = {.hub = "bench", .slots = SLOTS};
    struct store *s = NULL;
    struct store_why why;
    static struct feed_slot feed[SLOTS];
    static struct feed_append f[SLOTS];
    char uri[400], database[40];
    static unsigned ways;
    snprintf(database, sizeof database, "way_%u", ++ways);
    must(pgproc_database(server, database), server->why);
    pgproc_uri(server, database, 0, uri, sizeof uri);
    must(store_create(uri, &id, &s, &why) == ERR_OK, why.text);
    s->ops->close(s);
    for (uint32_t i = 0; i < SLOTS; i++)
        feed_slot_init(&feed[i], i, SLOTS, 1);
    PGconn *c = PQconnectdb(uri);
    must(PQstatus(c) == CONNECTION_OK, PQerrorMessage(c));
    run(c, "CREATE TABLE public.plain AS SELECT slot, idx, position, hub_lamport,"
           " hub_time_ms, account, entry, account_head, leaf_hash, envelope"
           " FROM stoa.record WITH NO DATA");
    run(c, "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit "
           "= off");
    if (!copy) {
        PGresult *r = PQprepare(c, "put", sql, 0, NULL);
        must(PQresultStatus(r) == PGRES_COMMAND_OK, PQerrorMessage(c));
        PQclear(r);
    }
    while (m.busy < seconds) {
        struct store_record *rows = make_rows(feed, f);
        size_t count = per_commit / SLOTS * SLOTS;
        double t = now();
        run(c, "BEGIN");
        if (copy)
            copy_rows(c, sql, rows, count);
        else
            insert_rows(c, rows, count);
        run(c, "COMMIT");
        m.busy += now() - t;
        m.records += count;
        m.commits++;
        free(rows);
        for (size_t i = 0; i < SLOTS; i++)
            feed_close(&f[i]);
    }
    PQfinish(c);
    tell(&m);
}

static struct pgproc p = {.settings = "max_wal_size = 4GB\n"};

static void clean_up(void)
{
    pgproc_close(&p);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        seconds = atof(argv[1]);
    if (argc > 2)
        per_commit = strtoul(argv[2], NULL, 10) / SLOTS * SLOTS;
    if (argc > 3)
        envelope_bytes = strtoul(argv[3], NULL, 10);
    must(crypto_start() && per_commit > 0, "arguments");
    if (atexit(clean_up) != 0 || !pgproc_open(&p)) {
        fprintf(stderr, "%s\n", p.why);
        return 1;
    }
    bench_file(&p);
    bench_store(&p, "bench_1");
    char conflict[2048];
    snprintf(conflict, sizeof conflict, "%s ON CONFLICT DO NOTHING",
             pg_texts[PG_RECORDS]);
    bench_way(&p, "unnest", pg_texts[PG_RECORDS], false);
    bench_way(&p, "conflict", conflict, false);
    bench_way(&p, "copy", "COPY stoa.record" COLUMNS " FROM STDIN (FORMAT binary)", true);
    bench_way(&p, "plain-copy", "COPY public.plain" COLUMNS " FROM STDIN (FORMAT binary)",
              true);
    bench_store(&p, "bench_2"); /* again: how much is chance */
    return 0;
}
