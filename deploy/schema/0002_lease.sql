-- Stoa, schema 2: several relays share the ledger. Who is alive, who holds which slot, and how
-- far each slot has settled what the others sent it. Nothing here makes an append safe: that
-- is the epoch in stoa.slot. These rows decide who tries. Times are the server's clock.

-- A relay that is alive writes its row again and again.
CREATE TABLE stoa.relay (
    name       text PRIMARY KEY CHECK (octet_length(name) BETWEEN 1 AND 64),
    instance   bytea NOT NULL UNIQUE CHECK (octet_length(instance) = 16), -- this process
    peer       text NOT NULL CHECK (octet_length(peer) BETWEEN 1 AND 300),
    draining   boolean NOT NULL,
    started_at timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL,
    until      timestamptz NOT NULL -- dead after this
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- One row a slot, made when it is first taken. A free one has no instance. The epoch rises with
-- every new holder; the slot's own epoch rises when he claims it.
CREATE TABLE stoa.lease (
    slot     integer PRIMARY KEY REFERENCES stoa.slot,
    epoch    bigint NOT NULL CHECK (epoch > 0),
    holder   text NOT NULL CHECK (octet_length(holder) BETWEEN 1 AND 64), -- the last one
    instance bytea CHECK (octet_length(instance) = 16),
    until    timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- What `slot` has settled of what `source_slot` sent it: every item below next_in, by records
-- up to idx. Written with those records, and whole when a relay takes the slot.
CREATE TABLE stoa.channel (
    slot        integer NOT NULL REFERENCES stoa.slot,
    source_slot integer NOT NULL CHECK (source_slot BETWEEN 0 AND 255),
    next_in     bigint NOT NULL CHECK (next_in >= 0),
    idx         bigint NOT NULL CHECK (idx BETWEEN 0 AND 1099511627775),
    PRIMARY KEY (slot, source_slot)
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- grant_roles() goes on by calling the one before it.
ALTER FUNCTION stoa.grant_roles() RENAME TO grant_roles_before_2;
CREATE FUNCTION stoa.grant_roles() RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM stoa.grant_roles_before_2();
    IF to_regrole('stoa_relay') IS NOT NULL THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON stoa.relay TO stoa_relay;
        GRANT SELECT, INSERT, UPDATE ON stoa.lease, stoa.channel TO stoa_relay;
    END IF;
END $$;
REVOKE ALL ON FUNCTION stoa.grant_roles FROM PUBLIC;
SELECT stoa.grant_roles();
