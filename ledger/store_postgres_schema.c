#include "ledger/store_postgres_schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/note.h"
#include "ledger/store_postgres.h"

#define SCHEMA_SQL_MAX 1048576

int postgres_schema_version(void)
{
    return postgres_migrations[postgres_migration_count - 1].version;
}

static enum err connect_plain(struct pg_link *l, struct pg_target *t, const char *uri,
                              struct store_why *why)
{
    const char *colon = strchr(uri, ':');
    bool ours = colon != NULL && (strncmp(uri, "postgresql:", 11) == 0 ||
                                  strncmp(uri, "postgres:", 9) == 0);
    *l = (struct pg_link){.target = t, .role = PG_PLAIN};
    *t = (struct pg_target){NULL, ""};
    if (!ours) {
        store_why_set(why, "only a postgresql:// store has a schema to apply");
        return ERR_USAGE;
    }
    TRY(pg_target_open(t, colon + 1, why));
    enum err e = pg_ready(l);
    if (e != ERR_OK && why != NULL)
        *why = l->why;
    return e;
}

static enum err version_of(struct pg_link *l, int *version)
{
    TRY(pg_session_version(l, version));
    if (*version <= postgres_schema_version())
        return ERR_OK;
    store_why_set(
        &l->why,
        "%s: the schema is version %d, this program knows %d; run a newer program",
        l->target->name, *version, postgres_schema_version());
    return ERR_SCHEMA;
}

static void describe(struct postgres_schema_row *row, const struct postgres_migration *m)
{
    memset(row, 0, sizeof *row);
    row->migration = m;
    row->sha256 = hash_sha256(m->sql, m->sql_size);
}

/* What the database remembers of a migration it has. */
static enum err look_up(struct pg_link *l, struct postgres_schema_row *row)
{
    char sql[200], hex[2 * HASH_BYTES + 1];
    PGresult *r = NULL;
    snprintf(sql, sizeof sql,
             "SELECT encode(sha256, 'hex'), to_char(applied_at AT TIME ZONE 'UTC',"
             " 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') FROM stoa.schema_migration WHERE "
             "version = %d",
             row->migration->version);
    TRY(pg_simple(l, sql, &r));
    hex_encode(hex, row->sha256.b, HASH_BYTES);
    row->applied = r != NULL && PQntuples(r) == 1;
    if (row->applied) {
        row->altered = strcmp(PQgetvalue(r, 0, 0), hex) != 0;
        snprintf(row->applied_at, sizeof row->applied_at, "%s", PQgetvalue(r, 0, 1));
    }
    PQclear(r);
    return ERR_OK;
}

static enum err read_all(struct pg_link *l, int *version, postgres_schema_visit *visit,
                         void *context)
{
    TRY(version_of(l, version));
    for (size_t i = 0; i < postgres_migration_count; i++) {
        struct postgres_schema_row row;
        describe(&row, &postgres_migrations[i]);
        if (row.migration->version <= *version)
            TRY(look_up(l, &row));
        visit(context, &row);
    }
    return ERR_OK;
}

/* One transaction: the file, and the row that remembers it. */
static enum err apply_one(struct pg_link *l, const struct postgres_schema_row *row)
{
    const struct postgres_migration *m = row->migration;
    char *sql = malloc(SCHEMA_SQL_MAX), hex[2 * HASH_BYTES + 1];
    if (sql == NULL)
        return ERR_MEMORY;
    hex_encode(hex, row->sha256.b, HASH_BYTES);
    int size = snprintf(sql, SCHEMA_SQL_MAX,
                        "BEGIN; SET LOCAL search_path = pg_catalog;\n%s\n"
                        "INSERT INTO stoa.schema_migration(version, name, sha256)"
                        " VALUES (%d, '%s', '\\x%s'); COMMIT",
                        m->sql, m->version, m->name, hex);
    enum err e = size < 0 || size >= SCHEMA_SQL_MAX ? ERR_BUG : pg_simple(l, sql, NULL);
    free(sql);
    return e;
}

/* On top of a schema that somebody made otherwise nothing is built. */
static enum err as_built_in(struct pg_link *l, struct postgres_schema_row *row)
{
    TRY(look_up(l, row));
    if (row->applied && !row->altered)
        return ERR_OK;
    store_why_set(&l->why,
                  "%s: migration %04d_%s was not applied as it is built in; nothing was "
                  "applied",
                  l->target->name, row->migration->version, row->migration->name);
    return ERR_CORRUPT;
}

/* Two at once would trip over each other: the second waits, and finds it done. */
static enum err apply_all(struct pg_link *l, int *version, postgres_schema_visit *visit,
                          void *context)
{
    char sql[96];
    snprintf(sql, sizeof sql, "SELECT pg_advisory_lock(%d)", POSTGRES_LOCK_CLASS);
    TRY(pg_simple(l, sql, NULL));
    TRY(version_of(l, version));
    for (size_t i = 0; i < postgres_migration_count; i++) {
        struct postgres_schema_row row;
        describe(&row, &postgres_migrations[i]);
        if (row.migration->version <= *version) {
            TRY(as_built_in(l, &row));
            continue;
        }
        TRY(apply_one(l, &row));
        row.applied = true;
        *version = row.migration->version;
        visit(context, &row);
    }
    return ERR_OK;
}

typedef enum err work(struct pg_link *l, int *version, postgres_schema_visit *visit,
                      void *context);

static enum err with_link(const char *uri, work *do_it, int *version,
                          postgres_schema_visit *visit, void *context,
                          struct store_why *why)
{
    struct pg_target t;
    struct pg_link l;
    *version = 0;
    enum err e = connect_plain(&l, &t, uri, why);
    if (e == ERR_OK) {
        e = do_it(&l, version, visit, context);
        if (e != ERR_OK && why != NULL)
            *why = l.why;
        if (e == ERR_CORRUPT && strncmp(l.sqlstate, "42", 2) == 0)
            e = ERR_CONFIG; /* there is a schema "stoa" that is none of ours */
    }
    pg_drop(&l);
    pg_target_close(&t);
    return e;
}

enum err postgres_schema_read(const char *uri, int *version, postgres_schema_visit *visit,
                              void *context, struct store_why *why)
{
    return with_link(uri, read_all, version, visit, context, why);
}

enum err postgres_schema_apply(const char *uri, int *version,
                               postgres_schema_visit *visit, void *context,
                               struct store_why *why)
{
    return with_link(uri, apply_all, version, visit, context, why);
}
