/* The selftest's forged hub (client/audit/forge.h) as rows of a Postgres ledger whose
 * tables take everything: constraints but the primary keys are gone. */
#ifndef TESTS_INTEGRATION_POSTGRES_FORGED_H
#define TESTS_INTEGRATION_POSTGRES_FORGED_H

#include <libpq-fe.h>

#include "client/audit/forge.h"
#include "tests/lib/pgproc.h"

extern PGconn *forged_db; /* the owner's session */

/* A database with an empty ledger of FORGE_SLOTS. 0: done; as cmocka's setup. */
int forged_make(struct pgproc *server, const char *database, char uri[400]);
/* SQL that must go well. */
void forged_sql(const char *text);
/* Its answer as text, rows by newlines, columns by '|'; released by free. */
char *forged_ask(const char *text);
/* The forge's rows, tiles and checkpoints in the place of what there was. */
void forged_write(const struct forge *f);

#endif
