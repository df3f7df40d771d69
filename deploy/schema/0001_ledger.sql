-- Stoa, schema 1: one ledger a database, in the schema "stoa". Applied by `stoactl schema
-- apply` or `stoad init`, in one transaction, by the role that shall own it. Nothing here
-- decides: every index and number comes from the ledger; the constraints make a double or a
-- value out of range impossible whoever writes.

CREATE SCHEMA IF NOT EXISTS stoa;

CREATE TABLE stoa.schema_migration (
    version    integer PRIMARY KEY CHECK (version > 0),
    name       text NOT NULL,
    sha256     bytea NOT NULL CHECK (octet_length(sha256) = 32),
    applied_at timestamptz NOT NULL DEFAULT now(),
    applied_by text NOT NULL DEFAULT current_user
);

-- Whose ledger this is: one row for ever.
CREATE TABLE stoa.ledger (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    ledger_id  bytea NOT NULL CHECK (octet_length(ledger_id) = 16),
    federation bytea NOT NULL CHECK (octet_length(federation) = 32),
    hub        text NOT NULL CHECK (octet_length(hub) BETWEEN 1 AND 128),
    slots      integer NOT NULL CHECK (slots BETWEEN 1 AND 256 AND (slots & (slots - 1)) = 0)
);

-- Where each slot stands. Its row is what an append locks and compares (size, epoch).
CREATE TABLE stoa.slot (
    slot       integer PRIMARY KEY CHECK (slot BETWEEN 0 AND 255),
    epoch      bigint NOT NULL CHECK (epoch >= 0),
    size       bigint NOT NULL CHECK (size BETWEEN 0 AND 1099511627775),
    edges      bytea NOT NULL CHECK (octet_length(edges) = 32 * bit_count(size::bit(64))),
    checkpoint bytea NOT NULL CHECK (octet_length(checkpoint) <= 1024),
    CHECK ((size = 0) = (octet_length(checkpoint) = 0))
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- The log. leaf_hash covers the envelope, the account head and both clocks.
CREATE TABLE stoa.record (
    slot         integer NOT NULL CHECK (slot BETWEEN 0 AND 255),
    idx          bigint NOT NULL CHECK (idx BETWEEN 0 AND 1099511627775),
    position     bigint NOT NULL CHECK (position BETWEEN 0 AND 1099511627775),
    hub_lamport  bigint NOT NULL CHECK (hub_lamport > 0),
    hub_time_ms  bigint NOT NULL CHECK (hub_time_ms >= 0),
    account      bytea NOT NULL CHECK (octet_length(account) = 32),
    entry        bytea NOT NULL CHECK (octet_length(entry) = 32),
    account_head bytea NOT NULL CHECK (octet_length(account_head) = 32),
    leaf_hash    bytea NOT NULL CHECK (octet_length(leaf_hash) = 32),
    envelope     bytea NOT NULL CHECK (octet_length(envelope) BETWEEN 65 AND 65471),
    PRIMARY KEY (slot, idx),
    UNIQUE (entry, slot),
    UNIQUE (account, position, slot)
) PARTITION BY LIST (slot);
ALTER TABLE stoa.record ALTER COLUMN envelope SET STORAGE EXTERNAL; -- does not compress

-- Full hash tiles; partial ones are computed from the leaves.
CREATE TABLE stoa.tile (
    slot   integer NOT NULL REFERENCES stoa.slot,
    level  integer NOT NULL CHECK (level BETWEEN 0 AND 5),
    n      bigint NOT NULL CHECK (n >= 0),
    root   bytea NOT NULL CHECK (octet_length(root) = 32),
    hashes bytea NOT NULL CHECK (octet_length(hashes) = 8192),
    PRIMARY KEY (slot, level, n)
);
ALTER TABLE stoa.tile ALTER COLUMN hashes SET STORAGE EXTERNAL;

-- Items on channels that are not settled yet, one number a channel for ever.
CREATE TABLE stoa.outbox (
    slot             integer NOT NULL CHECK (slot BETWEEN 0 AND 255),
    source_index     bigint NOT NULL CHECK (source_index >= 0),
    payee_index      bigint NOT NULL CHECK (payee_index BETWEEN 0 AND 4294967295),
    destination_slot integer NOT NULL CHECK (destination_slot BETWEEN 0 AND 255),
    out_seq          bigint NOT NULL CHECK (out_seq >= 0),
    source_lamport   bigint NOT NULL CHECK (source_lamport > 0),
    amount           bigint NOT NULL,
    is_return        boolean NOT NULL,
    cause            bytea NOT NULL CHECK (octet_length(cause) = 32),
    payer            bytea NOT NULL CHECK (octet_length(payer) = 32),
    payee            bytea NOT NULL CHECK (octet_length(payee) = 32),
    PRIMARY KEY (slot, source_index, payee_index),
    UNIQUE (slot, destination_slot, out_seq)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);

-- Saved states: a cache, replaced whole.
CREATE TABLE stoa.snapshot (
    slot  integer NOT NULL REFERENCES stoa.slot,
    part  integer NOT NULL CHECK (part >= 0),
    parts integer NOT NULL CHECK (parts > part),
    size  bigint NOT NULL CHECK (size BETWEEN 0 AND 1099511627775),
    data  bytea NOT NULL CHECK (octet_length(data) BETWEEN 1 AND 1048576),
    PRIMARY KEY (slot, part)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 16);
ALTER TABLE stoa.snapshot ALTER COLUMN data SET STORAGE EXTERNAL;

-- Private attachments: salt and ciphertext. Rows that were erased are vacuumed at once.
CREATE TABLE stoa.sealed (
    entry bytea PRIMARY KEY CHECK (octet_length(entry) = 32),
    data  bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 0);
ALTER TABLE stoa.sealed ALTER COLUMN data SET STORAGE EXTERNAL;

-- Make the ledger: its row, its slots, one partition each. Runs as the owner, so that a relay
-- needs no right to create tables. A second call fails on ledger's primary key.
CREATE FUNCTION stoa.create_ledger(ledger_id bytea, federation bytea, hub text, slots integer)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO stoa.ledger VALUES (true, ledger_id, federation, hub, slots);
    FOR i IN 0 .. slots - 1 LOOP
        INSERT INTO stoa.slot VALUES (i, 0, 0, '', '');
        EXECUTE format('CREATE TABLE stoa.record_%s PARTITION OF stoa.record FOR VALUES IN (%s)'
                       ' WITH (autovacuum_analyze_scale_factor = 0.2)',
                       lpad(to_hex(i), 2, '0'), i);
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION stoa.create_ledger FROM PUBLIC;

-- What each role may do, for those of the two that exist. Called again by roles.sql.
CREATE FUNCTION stoa.grant_roles() RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF to_regrole('stoa_relay') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA stoa TO stoa_relay;
        GRANT SELECT ON ALL TABLES IN SCHEMA stoa TO stoa_relay;
        GRANT INSERT ON stoa.record, stoa.tile TO stoa_relay;
        GRANT INSERT, DELETE ON stoa.outbox, stoa.snapshot, stoa.sealed TO stoa_relay;
        GRANT UPDATE (epoch, size, edges, checkpoint) ON stoa.slot TO stoa_relay;
        GRANT EXECUTE ON FUNCTION stoa.create_ledger TO stoa_relay;
    END IF;
    IF to_regrole('stoa_reader') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA stoa TO stoa_reader;
        GRANT SELECT ON stoa.schema_migration, stoa.ledger, stoa.slot, stoa.tile TO stoa_reader;
        GRANT SELECT (slot, idx, hub_lamport, hub_time_ms, account_head, leaf_hash)
            ON stoa.record TO stoa_reader;
    END IF;
END $$;
REVOKE ALL ON FUNCTION stoa.grant_roles FROM PUBLIC;
SELECT stoa.grant_roles();
