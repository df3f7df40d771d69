/* The statements of a shared ledger (ledger/store_lease.h, schema 2); part of the table in
 * store_postgres.h. Each is a row of a relay's presence, a lease or a channel. */
#ifndef LEDGER_STORE_POSTGRES_LEASE_H
#define LEDGER_STORE_POSTGRES_LEASE_H

#define PG_LEASE_UNTIL(ms) "clock_timestamp() + " ms "::int4 * interval '1 millisecond'"
/* Milliseconds of an interval that is not negative. */
#define PG_LEASE_MS(t) "greatest(0, (extract(epoch FROM " t ") * 1000)::int8)"
#define PG_LEASE_ITEM_COLUMNS                                                            \
    "o.source_index, o.payee_index, o.destination_slot, o.out_seq, o.source_lamport,"    \
    " o.amount, o.is_return::int4, o.cause, o.payer, o.payee, o.slot"

#define PG_LEASE_STATEMENTS(X)                                                           \
    X(NAME, PG_WRITER,                                                                   \
      "SELECT set_config('application_name', $1::text, false),"                          \
      " set_config('idle_in_transaction_session_timeout', $2::int4::text, false)")       \
    X(OWN_SHARED, PG_WRITER,                                                             \
      "SELECT pg_try_advisory_lock_shared($1::int4, s.slot) FROM stoa.slot AS s")        \
    X(CLAIM_LEASED, PG_WRITER,                                                           \
      "UPDATE stoa.slot SET epoch = epoch + 1, placed = 'here' WHERE slot = $1::int4"    \
      " AND EXISTS (SELECT FROM stoa.lease AS l WHERE l.slot = $1::int4"                 \
      " AND l.instance = $4::bytea) AND " PG_CLAIMABLE("$2", "$3") " RETURNING epoch")   \
    X(SETTLED, PG_WRITER,                                                                \
      "INSERT INTO stoa.channel(slot, source_slot, next_in, idx) SELECT * FROM"          \
      " unnest($1::int4[], $2::int4[], $3::int8[], $4::int8[]) ON CONFLICT (slot,"       \
      " source_slot) DO UPDATE SET next_in = excluded.next_in, idx = excluded.idx")      \
    X(LEASE_NAME, PG_LEASE,                                                              \
      "SELECT set_config('application_name', $1::text, false),"                          \
      " set_config('idle_in_transaction_session_timeout', $2::int4::text, false)")       \
    X(LEASE_LISTEN, PG_LEASE, "LISTEN stoa_lease")                                       \
    X(LEASE_NOTIFY, PG_LEASE, "NOTIFY stoa_lease")                                       \
    X(LEASE_BEAT, PG_LEASE,                                                              \
      "INSERT INTO stoa.relay AS r(name, instance, peer, draining, started_at, seen_at," \
      " until) VALUES ($1::text, $2::bytea, $3::text, $4::int4 <> 0, clock_timestamp()," \
      " clock_timestamp(), " PG_LEASE_UNTIL("$5") ") ON CONFLICT (name) DO UPDATE SET"   \
      " instance = excluded.instance, peer = excluded.peer, draining ="                  \
      " excluded.draining, started_at = CASE WHEN r.instance = excluded.instance THEN"   \
      " r.started_at ELSE excluded.started_at END, seen_at = excluded.seen_at, until ="  \
      " excluded.until WHERE r.instance = excluded.instance OR r.until <"                \
      " clock_timestamp()")                                                              \
    X(LEASE_RENEW, PG_LEASE,                                                             \
      "UPDATE stoa.lease SET until = " PG_LEASE_UNTIL("$2")                              \
      " WHERE instance = $1::bytea AND EXISTS (SELECT FROM stoa.relay AS r"              \
      " WHERE r.instance = $1::bytea)")                                                  \
    X(LEASE_RELAYS, PG_LEASE,                                                            \
      "SELECT name, peer, (instance = $1::bytea)::int4, draining::int4, "                \
      PG_LEASE_MS("clock_timestamp() - seen_at") " FROM stoa.relay WHERE until >="       \
      " clock_timestamp() ORDER BY name COLLATE \"C\" LIMIT $2::int8")                   \
    X(LEASE_SLOTS, PG_LEASE,                                                             \
      "SELECT slot, epoch, holder, CASE WHEN instance IS NULL THEN 0 WHEN instance ="    \
      " $1::bytea THEN 2 WHEN until < clock_timestamp() THEN 3 ELSE 1 END, "             \
      PG_LEASE_MS("until - clock_timestamp()") " FROM stoa.lease ORDER BY slot")         \
    X(END, PG_WRITER,                                                                    \
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"                           \
      " WHERE application_name = $1::text AND usename = current_user")                   \
    X(LEASE_WAS, PG_LEASE,                                                               \
      "SELECT instance FROM stoa.lease WHERE slot = $1::int4 AND epoch = $2::int8"       \
      " AND until < clock_timestamp() AND instance IS NOT NULL")                         \
    X(LEASE_END, PG_LEASE,                                                               \
      "SELECT pg_terminate_backend(a.pid) FROM stoa.lease AS l, pg_stat_activity AS a"   \
      " WHERE l.slot = $1::int4 AND l.epoch = $2::int8 AND l.until < clock_timestamp()"  \
      " AND a.application_name = 'stoa/' || encode(l.instance, 'hex')"                   \
      " AND a.usename = current_user")                                                   \
    X(LEASE_TAKE, PG_LEASE,                                                              \
      "INSERT INTO stoa.lease AS l(slot, epoch, holder, instance, until) VALUES"         \
      " ($1::int4, 1, $3::text, $4::bytea, " PG_LEASE_UNTIL("$5") ") ON CONFLICT (slot)" \
      " DO UPDATE SET epoch = l.epoch + 1, holder = excluded.holder, instance ="         \
      " excluded.instance, until = excluded.until WHERE l.epoch = $2::int8 AND"          \
      " (l.instance IS NULL OR l.until < clock_timestamp())")                            \
    X(LEASE_FREE, PG_LEASE,                                                              \
      "UPDATE stoa.lease SET instance = NULL, until = clock_timestamp()"                 \
      " WHERE slot = $1::int4 AND instance = $2::bytea")                                 \
    X(LEASE_FREE_ALL, PG_LEASE,                                                          \
      "UPDATE stoa.lease SET instance = NULL, until = clock_timestamp()"                 \
      " WHERE instance = $1::bytea")                                                     \
    X(LEASE_LEAVE, PG_LEASE,                                                             \
      "DELETE FROM stoa.relay WHERE instance = $1::bytea"                                \
      " OR until < clock_timestamp() - interval '7 days'")                               \
    X(LEASE_ITEMS, PG_LEASE,                                                             \
      "SELECT " PG_LEASE_ITEM_COLUMNS " FROM unnest($1::int4[], $2::int4[], $3::int8[])" \
      " WITH ORDINALITY AS u(source, destination, low, n) CROSS JOIN LATERAL (SELECT *"  \
      " FROM stoa.outbox AS x WHERE x.slot = u.source AND x.destination_slot ="          \
      " u.destination AND x.out_seq >= u.low ORDER BY x.out_seq LIMIT $4::int8) AS o"    \
      " ORDER BY u.n, o.out_seq")                                                        \
    X(LEASE_CHANNELS, PG_LEASE,                                                          \
      "SELECT c.slot, c.source_slot, c.next_in, c.idx FROM unnest($1::int4[],"           \
      " $2::int4[], $3::int8[]) AS u(source, destination, low) JOIN stoa.channel AS c"   \
      " ON c.slot = u.destination AND c.source_slot = u.source WHERE c.next_in > u.low") \
    X(LEASE_CHANNELS_PUT, PG_LEASE,                                                      \
      "INSERT INTO stoa.channel AS c(slot, source_slot, next_in, idx) SELECT u.* FROM"   \
      " unnest($1::int4[], $2::int4[], $3::int8[], $4::int8[]) AS u(slot, source, next," \
      " idx) JOIN stoa.slot AS s ON s.slot = u.slot AND s.epoch = $5::int8"              \
      " ON CONFLICT (slot, source_slot) DO UPDATE SET next_in = excluded.next_in,"       \
      " idx = excluded.idx WHERE c.next_in <= excluded.next_in")

#endif
