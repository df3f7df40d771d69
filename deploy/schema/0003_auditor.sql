-- Stoa, schema 3: a role for auditors of the hub's own ledger (stoa-audit verify
-- postgresql://..). It reads what a log is made of, envelopes included, and nothing else: no
-- outbox, no saved state, no attachment; and it writes nothing.

-- grant_roles() goes on by calling the one before it.
ALTER FUNCTION stoa.grant_roles() RENAME TO grant_roles_before_3;
CREATE FUNCTION stoa.grant_roles() RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM stoa.grant_roles_before_3();
    IF to_regrole('stoa_auditor') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA stoa TO stoa_auditor;
        GRANT SELECT ON stoa.schema_migration, stoa.ledger, stoa.slot, stoa.record, stoa.tile
            TO stoa_auditor;
    END IF;
END $$;
REVOKE ALL ON FUNCTION stoa.grant_roles FROM PUBLIC;
SELECT stoa.grant_roles();
