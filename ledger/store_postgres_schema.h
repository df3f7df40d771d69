/* The schema of the Postgres edge: numbered SQL files (deploy/schema/NNNN_name.sql) that
 * are built into the programs, applied in order, each in one transaction, and remembered
 * with their hash in stoa.schema_migration. Never edited once released: a change is a new
 * file.
 *
 * Knows no libpq; blocking, for command lines and store_create. URIs as store_open takes
 * them, scheme included. ERR_USAGE; ERR_STORE: no server; ERR_CONFIG: it may not be done
 * by this role or on this server; ERR_SCHEMA: the database is ahead of this program;
 * ERR_CORRUPT: an applied file is not the one built in. `why` says it in a sentence. */
#ifndef LEDGER_STORE_POSTGRES_SCHEMA_H
#define LEDGER_STORE_POSTGRES_SCHEMA_H

#include "crypto/hash.h"
#include "ledger/store.h"

struct postgres_migration {
    int version;      /* 1, 2, .. without a gap */
    const char *name; /* "ledger" */
    const char *sql;
    size_t sql_size;
};
extern const struct postgres_migration postgres_migrations[];
extern const size_t postgres_migration_count;

/* The newest version this program knows. */
int postgres_schema_version(void);

/* A migration and what the database says of it. */
struct postgres_schema_row {
    const struct postgres_migration *migration;
    struct hash sha256;
    bool applied, altered; /* altered: applied, but with other text */
    char applied_at[40];
};
typedef void postgres_schema_visit(void *context, const struct postgres_schema_row *row);

/* Visit every known migration in order; *version: what the database has. */
MUST_CHECK enum err postgres_schema_read(const char *uri, int *version,
                                         postgres_schema_visit *visit, void *context,
                                         struct store_why *why);
/* Apply what is missing; visit each after it was applied. */
MUST_CHECK enum err postgres_schema_apply(const char *uri, int *version,
                                          postgres_schema_visit *visit, void *context,
                                          struct store_why *why);

#endif
