/* Is this a server to keep a ledger on, and whose ledger does it hold? Asked of every new
 * session: between two of them a standby may have been promoted, a backup restored, a
 * setting changed. */
#include "ledger/store_postgres.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/note.h"
#include "ledger/store_postgres_schema.h"

#define TEXT_(name, role, text) [PG_##name] = text,
const char *const pg_texts[PG_STATEMENT_COUNT] = {
    PG_STATEMENTS(TEXT_) PG_LEASE_STATEMENTS(TEXT_) PG_PROJECT_STATEMENTS(TEXT_)};
#undef TEXT_
#define ROLE_(name, role, text) [PG_##name] = role,
const enum pg_role pg_roles[PG_STATEMENT_COUNT] = {
    PG_STATEMENTS(ROLE_) PG_LEASE_STATEMENTS(ROLE_) PG_PROJECT_STATEMENTS(ROLE_)};
#undef ROLE_

static enum err unfit(struct pg_link *l, const char *sentence)
{
    store_why_set(&l->why, "%s: %s", l->target->name, sentence);
    return ERR_CONFIG;
}

static bool is(const PGresult *r, int column, const char *value)
{
    return strcmp(PQgetvalue(r, 0, column), value) == 0;
}

/* synchronous_commit below "on" acknowledges what a crash, or the loss of the primary,
 * takes away; a session may raise it for itself, so ours does. */
static enum err raise_commit(struct pg_link *l, const char *has)
{
    if (strcmp(has, "on") == 0 || strcmp(has, "remote_apply") == 0)
        return ERR_OK;
    return pg_simple(l, "SET synchronous_commit = on", NULL);
}

static enum err check_settings(struct pg_link *l, const PGresult *r)
{
    if (atoi(PQgetvalue(r, 0, 4)) != PQbackendPID(l->c))
        return unfit(l,
                     "a connection pooler stands before the server; sessions, locks and "
                     "prepared statements need Postgres itself: name its own port");
    if (l->reads_only)
        return ERR_OK;
    if (is(r, 0, "t") || is(r, 3, "on"))
        return unfit(l, "the server is a read-only standby; a hub writes to the primary "
                        "only: name that, or add target_session_attrs=read-write");
    if (!is(r, 1, "on"))
        return unfit(l, "the server runs with fsync=off and would lose what was "
                        "acknowledged; set fsync=on and restart it");
    return raise_commit(l, PQgetvalue(r, 0, 2));
}

enum err pg_session_check(struct pg_link *l)
{
    char sentence[160];
    if (PQserverVersion(l->c) < POSTGRES_SERVER_MIN) {
        snprintf(sentence, sizeof sentence,
                 "the server is Postgres %d; Stoa wants %d or newer",
                 PQserverVersion(l->c) / 10000, POSTGRES_SERVER_MIN / 10000);
        return unfit(l, sentence);
    }
    PGresult *r = NULL;
    enum err e = pg_simple(l,
                           "SELECT pg_is_in_recovery(), current_setting('fsync'),"
                           " current_setting('synchronous_commit'),"
                           " current_setting('transaction_read_only'), pg_backend_pid()",
                           &r);
    if (e == ERR_OK)
        e = r != NULL && PQntuples(r) == 1 ? check_settings(l, r) : ERR_CORRUPT;
    PQclear(r);
    return e;
}

enum err pg_session_version(struct pg_link *l, int *version)
{
    PGresult *r = NULL;
    *version = 0;
    TRY(pg_simple(l, "SELECT to_regclass('stoa.schema_migration') IS NOT NULL", &r));
    bool there = r != NULL && PQntuples(r) == 1 && is(r, 0, "t");
    PQclear(r);
    if (!there)
        return ERR_OK;
    TRY(pg_simple(l, "SELECT coalesce(max(version), 0) FROM stoa.schema_migration", &r));
    *version = r == NULL || PQntuples(r) != 1 ? 0 : atoi(PQgetvalue(r, 0, 0));
    PQclear(r);
    return ERR_OK;
}

static bool take_hex(const PGresult *r, int column, uint8_t *out, size_t size)
{
    const char *text = PQgetvalue(r, 0, column);
    return strlen(text) == 2 * size && hex_decode(out, size, text, 2 * size);
}

static enum err take_ledger(const PGresult *r, struct pg_ledger *out)
{
    out->any = PQntuples(r) == 1;
    if (!out->any)
        return ERR_OK;
    const char *hub = PQgetvalue(r, 0, 2);
    long slots = strtol(PQgetvalue(r, 0, 3), NULL, 10);
    if (!take_hex(r, 0, out->id, sizeof out->id) ||
        !take_hex(r, 1, out->identity.federation.b, HASH_BYTES) ||
        strlen(hub) > HUB_NAME_MAX || slots < 1 || slots > SLOTS_MAX)
        return ERR_CORRUPT;
    memcpy(out->identity.hub, hub, strlen(hub));
    out->identity.slots = (uint32_t)slots;
    return store_identity_ok(&out->identity) ? ERR_OK : ERR_CORRUPT;
}

enum err pg_session_current(struct pg_link *l, int version)
{
    int ours = postgres_schema_version();
    if (version >= ours)
        return ERR_OK;
    store_why_set(&l->why,
                  "%s: the schema is version %d, this program wants %d; run: stoactl "
                  "schema apply --store URI",
                  l->target->name, version, ours);
    return ERR_CONFIG;
}

/* The schema this program was made for, or a sentence with both versions. */
static enum err check_version(struct pg_link *l, int version)
{
    int ours = postgres_schema_version();
    if (version > ours) {
        store_why_set(&l->why,
                      "%s: the schema is version %d, this program knows %d; run a newer "
                      "program",
                      l->target->name, version, ours);
        return ERR_SCHEMA;
    }
    return l->reads_only ? ERR_OK : pg_session_current(l, version);
}

enum err pg_session_ledger(struct pg_link *l, struct pg_ledger *out)
{
    PGresult *r = NULL;
    memset(out, 0, sizeof *out);
    TRY(pg_session_version(l, &out->version));
    if (out->version == 0)
        return ERR_OK;
    TRY(check_version(l, out->version));
    TRY(pg_simple(l,
                  "SELECT encode(ledger_id, 'hex'), encode(federation, 'hex'), hub, slots"
                  " FROM stoa.ledger",
                  &r));
    enum err e = r == NULL ? ERR_CORRUPT : take_ledger(r, out);
    PQclear(r);
    if (e != ERR_OK)
        store_why_set(&l->why, "%s: stoa.ledger does not say whose ledger this is",
                      l->target->name);
    return e;
}

enum err pg_session_may_write(struct pg_link *l)
{
    PGresult *r = NULL;
    TRY(pg_simple(l,
                  "SELECT has_column_privilege('stoa.slot', 'size', 'UPDATE') AND"
                  " has_table_privilege('stoa.record', 'INSERT')",
                  &r));
    bool may = r != NULL && PQntuples(r) == 1 && is(r, 0, "t");
    PQclear(r);
    return may ? ERR_OK
               : unfit(l,
                       "this role may not write to the ledger; connect as stoa_relay, or "
                       "as the owner (deploy/schema/roles.sql)");
}
