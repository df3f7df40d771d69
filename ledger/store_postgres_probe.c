/* A look at the server on a connection of its own (ledger/store_probe.h). Reads catalogs and
 * statistics only: it waits for no lock that an append waits for. */
#include "ledger/store_probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ledger/store_postgres.h"

/* Sessions of the ledger call themselves 'stoa' (store_postgres_link.c), and those of a relay
 * of several that may write 'stoa/' and its process (store_postgres_lease.c). */
#define OURS(a) "(" a ".application_name = 'stoa' OR " a ".application_name LIKE 'stoa/%')"
#define LOOK                                                                             \
    "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::int8, pg_is_in_recovery(),"  \
    " count(*), coalesce(max(extract(epoch FROM clock_timestamp() - query_start))"       \
    " * 1000, 0)::int8"                                                                  \
    " FROM pg_stat_activity w WHERE w.datname = current_database()"                      \
    " AND " OURS("w") " AND w.wait_event_type = 'Lock'"

/* Who keeps one of them waiting, and does not wait itself if there is such a one: of ours only
 * who does not, as a relay that was stopped in the middle of a transaction. Else a stranger who
 * holds a lock on a table of the ledger that lets nobody write. Queries of other users are
 * shown to members of pg_monitor only. */
#define HOLDER                                                                           \
    "WITH suspect AS ("                                                                  \
    "SELECT b.pid, 1 AS rank, NULL::text AS lock FROM pg_stat_activity w,"               \
    " LATERAL unnest(pg_blocking_pids(w.pid)) AS b(pid)"                                 \
    " WHERE w.datname = current_database() AND " OURS("w")                               \
    " AND w.wait_event_type = 'Lock'"                                                    \
    " UNION ALL SELECT l.pid, 2, l.mode || ' on stoa.' || c.relname FROM pg_locks l"     \
    " JOIN pg_class c ON c.oid = l.relation"                                             \
    " JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'stoa'"              \
    " WHERE l.granted AND l.database = (SELECT oid FROM pg_database"                     \
    " WHERE datname = current_database()) AND l.mode IN ('ShareLock',"                   \
    " 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'))"                 \
    " SELECT s.pid, coalesce(extract(epoch FROM clock_timestamp() - a.xact_start) * 1000," \
    " 0)::int8, coalesce(a.usename, ''), coalesce(a.state, ''),"                         \
    " coalesce(nullif(a.query, '<insufficient privilege>'), ''),"                        \
    " coalesce(s.lock, (SELECT x.lock FROM suspect x WHERE x.pid = s.pid AND x.lock IS"  \
    " NOT NULL LIMIT 1), '') FROM suspect s LEFT JOIN pg_stat_activity a"                \
    " ON a.pid = s.pid WHERE s.pid <> pg_backend_pid()"                                  \
    " AND NOT coalesce(" OURS("a") " AND (s.rank = 2 OR a.wait_event_type = 'Lock'),"    \
    " false) ORDER BY s.rank, a.wait_event_type IS NOT DISTINCT FROM 'Lock',"            \
    " a.xact_start LIMIT 1"

static uint64_t number(const PGresult *r, int column)
{
    return strtoull(PQgetvalue(r, 0, column), NULL, 10);
}

static void text(const PGresult *r, int column, char out[STORE_PROBE_TEXT_MAX])
{
    snprintf(out, STORE_PROBE_TEXT_MAX, "%s", PQgetvalue(r, 0, column));
}

static uint64_t wall_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static bool look_around(struct pg_link *l, struct store_probe *out)
{
    PGresult *r = NULL;
    uint64_t began = wall_us();
    if (pg_simple(l, LOOK, &r) != ERR_OK || !r || PQntuples(r) != 1) {
        PQclear(r);
        return false;
    }
    uint64_t ended = wall_us();
    out->answer_us = ended > began ? ended - began : 0;
    out->asked_ms = (began + out->answer_us / 2) / 1000u;
    out->server_ms = number(r, 0);
    out->standby = PQgetvalue(r, 0, 1)[0] == 't';
    out->waiting = number(r, 2);
    out->waited_ms = number(r, 3);
    PQclear(r);
    r = NULL;
    if (pg_simple(l, HOLDER, &r) != ERR_OK || !r) {
        PQclear(r);
        return false;
    }
    if (PQntuples(r) == 1) {
        out->held = true;
        out->holder_pid = number(r, 0);
        out->held_ms = number(r, 1);
        text(r, 2, out->holder_user);
        text(r, 3, out->holder_state);
        text(r, 4, out->holder_query);
        text(r, 5, out->holder_lock);
    }
    PQclear(r);
    return true;
}

bool postgres_probe(const struct pg_target *target, unsigned limit_ms,
                    struct store_probe *out, struct store_why *why)
{
    uint64_t began = pg_now_ms();
    struct pg_link l = {.target = target,
                        .role = PG_PLAIN,
                        .patience_ms = limit_ms,
                        .until_ms = began + limit_ms};
    *out = (struct store_probe){.kind = STORE_PROBE_SERVER};
    if (pg_ready(&l) == ERR_OK) {
        out->connect_ms = pg_now_ms() - began;
        out->there = look_around(&l, out);
    }
    if (!out->there && why)
        *why = l.why;
    pg_drop(&l);
    return out->there;
}

bool store_probe_postgres(const char *rest, unsigned limit_ms, struct store_probe *out,
                          struct store_why *why)
{
    struct pg_target target = {NULL, ""};
    *out = (struct store_probe){.kind = STORE_PROBE_SERVER};
    if (pg_target_open(&target, rest, why) == ERR_OK)
        (void)postgres_probe(&target, limit_ms, out, why);
    pg_target_close(&target);
    return out->there;
}
