-- Stoa, schema 5: where a slot is. A hub's ledger may stand on several servers, each with this
-- schema and the same ledger row; of each slot exactly one of them can be written to. Whoever
-- looks for a slot begins at the hub's own database and follows `place`.
--
--   here      it can be claimed and written
--   leaving   its records are being copied; a claim waits for who copies, or, when he is gone
--             (pg_try_advisory_xact_lock), makes it "here" again
--   away      it is at `place`; the row is of no use but to show the way. NULL: ask the hub's own
--             database
--   coming    it is on its way from `place`, and is here as soon as that says "away" with the same
--             `moves`
--
-- "leaving" to "away" is one transaction, and the only moment at which the place changes: before
-- it no claim at the new place succeeds, after it none at the old one. Both raise the epoch, so
-- what an owner has under way at the old place is lost to him.
ALTER TABLE stoa.slot
    ADD COLUMN placed text NOT NULL DEFAULT 'here'
        CHECK (placed IN ('here', 'leaving', 'away', 'coming')),
    ADD COLUMN moves  bigint NOT NULL DEFAULT 0 CHECK (moves >= 0),
    ADD COLUMN place  text CHECK (octet_length(place) BETWEEN 1 AND 500),
    ADD CHECK (placed <> 'coming' OR place IS NOT NULL);

-- An empty place for slots of a ledger whose own database is elsewhere.
CREATE FUNCTION stoa.create_place(ledger_id bytea, federation bytea, hub text, slots integer)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM stoa.create_ledger(ledger_id, federation, hub, slots);
    UPDATE stoa.slot SET placed = 'away';
END $$;
REVOKE ALL ON FUNCTION stoa.create_place FROM PUBLIC;

-- Room for a slot that comes: what an earlier stay, or a move that broke off, has left. The log
-- of a slot that is here cannot be touched with it.
CREATE FUNCTION stoa.clear_slot(which integer) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM stoa.slot WHERE slot = which AND placed = 'coming' FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'slot % is not on its way to this database', which;
    END IF;
    DELETE FROM stoa.sealed AS s USING stoa.record AS r
        WHERE r.slot = which AND r.entry = s.entry;
    EXECUTE format('TRUNCATE stoa.record_%s', lpad(to_hex(which), 2, '0'));
    DELETE FROM stoa.tile WHERE slot = which;
    DELETE FROM stoa.outbox WHERE slot = which;
    DELETE FROM stoa.snapshot WHERE slot = which;
    DELETE FROM stoa.channel WHERE slot = which;
    DELETE FROM stoa.rich_list WHERE slot = which;
    DELETE FROM stoa.earning WHERE slot = which;
    DELETE FROM stoa.account WHERE slot = which;
    DELETE FROM stoa.projection WHERE slot = which;
    UPDATE stoa.slot SET size = 0, edges = '', checkpoint = '' WHERE slot = which;
END $$;
REVOKE ALL ON FUNCTION stoa.clear_slot FROM PUBLIC;

ALTER FUNCTION stoa.grant_roles() RENAME TO grant_roles_before_5;
CREATE FUNCTION stoa.grant_roles() RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM stoa.grant_roles_before_5();
    IF to_regrole('stoa_relay') IS NOT NULL THEN
        GRANT UPDATE (placed) ON stoa.slot TO stoa_relay;
    END IF;
END $$;
REVOKE ALL ON FUNCTION stoa.grant_roles FROM PUBLIC;
SELECT stoa.grant_roles();
