/* Statements of the projections: PROJECT_* write them, VIEW_* are what relays ask. Included by
 * store_postgres.h alone. What they keep: deploy/schema/0004_projection.sql. */
#ifndef LEDGER_STORE_POSTGRES_PROJECT_H
#define LEDGER_STORE_POSTGRES_PROJECT_H

#define PG_PROJECT_STATEMENTS(X)                                                         \
    X(VIEW_SLOTS, PG_READER,                                                             \
      "SELECT s.slot, s.size, (p.slot IS NOT NULL)::int4, coalesce(p.next, 0),"          \
      " coalesce(p.time_ms, 0), coalesce(greatest(0,"                                    \
      " (extract(epoch FROM clock_timestamp() - p.seen_at) * 1000)::int8), 0)"           \
      " FROM stoa.slot AS s LEFT JOIN stoa.projection AS p ON p.slot = s.slot"           \
      " WHERE s.placed IN ('here', 'leaving') ORDER BY s.slot")                                                                \
    X(VIEW_ACCOUNT, PG_READER,                                                           \
      "SELECT balance, position, idx, head, pinned::int4 FROM stoa.account"              \
      " WHERE slot = $1::int4 AND account = $2::bytea")                                  \
    X(VIEW_EARNINGS, PG_READER,                                                          \
      "SELECT day, amount, accruals, idx FROM stoa.earning WHERE slot = $1::int4"        \
      " AND account = $2::bytea AND day < $3::int4 ORDER BY day DESC LIMIT $4::int8")    \
    X(VIEW_LISTS, PG_READER,                                                             \
      "SELECT u.slot, r.account, r.balance FROM unnest($1::int4[]) AS u(slot)"           \
      " CROSS JOIN LATERAL (SELECT account, balance FROM stoa.rich_list AS l"            \
      " WHERE l.slot = u.slot AND l.hour = $2::int8 ORDER BY rank LIMIT 100) AS r")      \
    X(VIEW_RICHEST, PG_READER,                                                           \
      "SELECT u.slot, r.account, r.balance FROM unnest($1::int4[]) AS u(slot)"           \
      " CROSS JOIN LATERAL (SELECT account, balance FROM stoa.account AS a"              \
      " WHERE a.slot = u.slot AND NOT a.pinned ORDER BY balance DESC, account LIMIT 100)"\
      " AS r")                                                                           \
    X(PROJECT_BEGIN, PG_PROJECTOR, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")    \
    X(PROJECT_COMMIT, PG_PROJECTOR, "COMMIT")                                            \
    X(PROJECT_ROLLBACK, PG_PROJECTOR, "ROLLBACK")                                        \
    X(PROJECT_MAKE, PG_PROJECTOR,                                                        \
      "INSERT INTO stoa.projection(slot) SELECT slot FROM stoa.slot ON CONFLICT DO NOTHING")\
    X(PROJECT_WHERE, PG_PROJECTOR,                                                       \
      "SELECT p.slot, p.next, p.time_ms, s.size FROM stoa.projection AS p"               \
      " JOIN stoa.slot AS s ON s.slot = p.slot ORDER BY p.slot")                         \
    X(PROJECT_MOVE, PG_PROJECTOR,                                                        \
      "UPDATE stoa.projection SET next = $3::int8, time_ms = $4::int8,"                  \
      " seen_at = clock_timestamp() WHERE slot = $1::int4 AND next = $2::int8")          \
    X(PROJECT_SEEN, PG_PROJECTOR,                                                        \
      "UPDATE stoa.projection SET seen_at = clock_timestamp()"                           \
      " WHERE slot = ANY ($1::int4[])")                                                  \
    X(PROJECT_LIST, PG_PROJECTOR,                                                        \
      "INSERT INTO stoa.rich_list(slot, hour, rank, account, balance, idx)"              \
      " SELECT $1::int4, $2::int8, row_number() OVER (ORDER BY balance DESC, account),"  \
      " account, balance, $3::int8 FROM (SELECT account, balance FROM stoa.account"      \
      " WHERE slot = $1::int4 AND NOT pinned ORDER BY balance DESC, account LIMIT 100)"  \
      " AS richest")                                                                     \
    X(PROJECT_FORGET, PG_PROJECTOR,                                                      \
      "DELETE FROM stoa.rich_list WHERE slot = $1::int4 AND hour < $2::int8")            \
    X(PROJECT_OPEN, PG_PROJECTOR,                                                        \
      "INSERT INTO stoa.account(slot, account, balance, position, idx, head, pinned)"    \
      " SELECT s, a, b, p, i, h, q <> 0 FROM unnest($1::int4[], $2::bytea[], $3::int8[],"\
      " $4::int8[], $5::int8[], $6::bytea[], $7::int4[]) AS u(s, a, b, p, i, h, q)")     \
    X(PROJECT_ADD, PG_PROJECTOR,                                                         \
      "UPDATE stoa.account AS t SET balance = t.balance + u.b, position = u.p,"          \
      " idx = u.i, head = u.h FROM unnest($1::int4[], $2::bytea[], $3::int8[],"          \
      " $4::int8[], $5::int8[], $6::bytea[]) AS u(s, a, b, p, i, h)"                     \
      " WHERE t.slot = u.s AND t.account = u.a")                                         \
    X(PROJECT_EARN, PG_PROJECTOR,                                                        \
      "INSERT INTO stoa.earning AS t(slot, account, day, amount, accruals, idx)"         \
      " SELECT * FROM unnest($1::int4[], $2::bytea[], $3::int4[], $4::int8[], $5::int8[],"\
      " $6::int8[]) ON CONFLICT (slot, account, day) DO UPDATE SET"                      \
      " amount = t.amount + excluded.amount, accruals = t.accruals + excluded.accruals," \
      " idx = excluded.idx")                                                             \
    X(PROJECT_DROP_LISTS, PG_PROJECTOR,                                                  \
      "DELETE FROM stoa.rich_list WHERE slot = $1::int4")                                \
    X(PROJECT_DROP_EARNINGS, PG_PROJECTOR,                                               \
      "DELETE FROM stoa.earning WHERE slot = $1::int4")                                  \
    X(PROJECT_DROP_ACCOUNTS, PG_PROJECTOR,                                               \
      "DELETE FROM stoa.account WHERE slot = $1::int4")                                  \
    X(PROJECT_RESET, PG_PROJECTOR,                                                       \
      "UPDATE stoa.projection SET next = 0, time_ms = 0 WHERE slot = $1::int4"           \
      " RETURNING slot")                                                                 \
    X(PROJECT_OLD, PG_PROJECTOR,                                                         \
      "SELECT next FROM stoa.projection WHERE slot = $1::int4 FOR UPDATE")               \
    X(PROJECT_DIGEST, PG_PROJECTOR,                                                      \
      "SELECT convert_to(concat_ws(' ',"                                                 \
      " (SELECT count(*) || '/' || sum(hash_record_extended(t, 0)::numeric)"             \
      " FROM stoa.account AS t WHERE slot = $1::int4),"                                  \
      " (SELECT count(*) || '/' || sum(hash_record_extended(t, 0)::numeric)"             \
      " FROM stoa.earning AS t WHERE slot = $1::int4),"                                  \
      " (SELECT count(*) || '/' || sum(hash_record_extended(t, 0)::numeric)"             \
      " FROM stoa.rich_list AS t WHERE slot = $1::int4)), 'UTF8')")

#endif
