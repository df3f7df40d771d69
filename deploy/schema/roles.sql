-- The roles a hub needs, without rights to anything but the ledger. Run once in the
-- hub's database, by a superuser, before or after the schema is applied; again does no harm:
--
--   psql -d stoa -f roles.sql
--
-- stoa_relay   stoad: reads, adds records, moves checkpoints; cannot change or delete a record
--              or a tile, and cannot create, alter or drop a table.
-- stoa_reader  dashboards and tree checks: what is public about a log, and no envelope, no
--              account, no attachment. Cannot write.
-- stoa_auditor stoa-audit on the hub's own ledger: the whole log, envelopes of pinned accounts
--              included; no outbox, no saved state, no attachment. Cannot write.
-- stoa_projector  stoactl projection: reads the log, writes the projections and nothing else.
--
-- None has a password here: use peer authentication, certificates, or \password and a
-- passfile.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['stoa_relay', 'stoa_reader', 'stoa_auditor',
                               'stoa_projector'] LOOP
        IF to_regrole(name) IS NULL THEN
            EXECUTE format('CREATE ROLE %I LOGIN', name);
        END IF;
        EXECUTE format('ALTER ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION'
                       ' NOBYPASSRLS', name);
    END LOOP;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO stoa_relay, stoa_reader, stoa_auditor,'
                   ' stoa_projector', current_database());
    IF to_regprocedure('stoa.grant_roles()') IS NOT NULL THEN
        PERFORM stoa.grant_roles();
    END IF;
END $$;
