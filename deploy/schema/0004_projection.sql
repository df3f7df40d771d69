-- Stoa, schema 4: projections (ledger/projection.h). Everything here follows from stoa.record
-- and may be thrown away: `stoactl projection rebuild`. Written by stoactl projection run as
-- stoa_projector, never by a commit; read by relays.

-- How many records of a slot the tables below hold. Moves with their rows in one transaction.
CREATE TABLE stoa.projection (
    slot    integer PRIMARY KEY REFERENCES stoa.slot,
    next    bigint NOT NULL DEFAULT 0 CHECK (next BETWEEN 0 AND 1099511627775),
    time_ms bigint NOT NULL DEFAULT 0 CHECK (time_ms >= 0),
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

CREATE TABLE stoa.account (
    slot     integer NOT NULL CHECK (slot BETWEEN 0 AND 255),
    account  bytea NOT NULL CHECK (octet_length(account) = 32),
    balance  bigint NOT NULL CHECK (balance BETWEEN 0 AND 4611686018427387904),
    position bigint NOT NULL CHECK (position > 0),
    idx      bigint NOT NULL CHECK (idx >= 0),
    head     bytea NOT NULL CHECK (octet_length(head) = 32),
    pinned   boolean NOT NULL,
    PRIMARY KEY (slot, account)
) WITH (fillfactor = 80);
CREATE INDEX account_by_balance ON stoa.account (slot, balance DESC, account) WHERE NOT pinned;

CREATE TABLE stoa.earning (
    slot     integer NOT NULL CHECK (slot BETWEEN 0 AND 255),
    account  bytea NOT NULL CHECK (octet_length(account) = 32),
    day      integer NOT NULL CHECK (day >= 0),
    amount   bigint NOT NULL CHECK (amount > 0),
    accruals bigint NOT NULL CHECK (accruals > 0),
    idx      bigint NOT NULL CHECK (idx >= 0),
    PRIMARY KEY (slot, account, day)
) WITH (fillfactor = 80);

-- idx: how many records of the slot the list is made of.
CREATE TABLE stoa.rich_list (
    slot    integer NOT NULL CHECK (slot BETWEEN 0 AND 255),
    hour    bigint NOT NULL CHECK (hour > 0),
    rank    integer NOT NULL CHECK (rank BETWEEN 1 AND 100),
    account bytea NOT NULL CHECK (octet_length(account) = 32),
    balance bigint NOT NULL CHECK (balance >= 0),
    idx     bigint NOT NULL CHECK (idx > 0),
    PRIMARY KEY (slot, hour, rank)
);

ALTER FUNCTION stoa.grant_roles() RENAME TO grant_roles_before_4;
CREATE FUNCTION stoa.grant_roles() RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM stoa.grant_roles_before_4();
    IF to_regrole('stoa_projector') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA stoa TO stoa_projector;
        GRANT SELECT ON stoa.schema_migration, stoa.ledger, stoa.slot, stoa.record
            TO stoa_projector;
        GRANT SELECT, INSERT, UPDATE, DELETE
            ON stoa.projection, stoa.account, stoa.earning, stoa.rich_list TO stoa_projector;
    END IF;
    IF to_regrole('stoa_relay') IS NOT NULL THEN
        GRANT SELECT ON stoa.projection, stoa.account, stoa.earning, stoa.rich_list
            TO stoa_relay;
    END IF;
END $$;
REVOKE ALL ON FUNCTION stoa.grant_roles FROM PUBLIC;
SELECT stoa.grant_roles();
