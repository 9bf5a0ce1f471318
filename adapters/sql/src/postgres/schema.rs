//! Tables and indexes that only servers have, as PostgreSQL says them.

/// What writers need. All keys are compared byte by byte, whatever the database's language.
pub(crate) const WRITES: &[&str] = &[
    "CREATE INDEX ticket_waiting ON ticket (due_at, id) WHERE stage = 'waiting'",
    "CREATE INDEX ticket_turns ON ticket (lane, class, merchant, kind, due_at, id) \
     WHERE stage = 'waiting'",
    "CREATE INDEX ticket_delayed ON ticket (due_at, id) WHERE stage = 'delayed'",
    "CREATE INDEX ticket_sent ON ticket (lane, sent_at) WHERE stage = 'sent'",
    "CREATE INDEX ticket_leased ON ticket (lane, lease_until) WHERE stage = 'leased'",
    "CREATE INDEX ticket_dead ON ticket (due_at, id) WHERE stage = 'dead'",
    "CREATE INDEX ticket_done ON ticket (due_at) WHERE state = 'done'",
    "CREATE INDEX request_by_age ON request (at)",
    // Rows come and go all the time: what was deleted is cleaned up before it is much.
    "CREATE TABLE event_inbox (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        merchant TEXT COLLATE \"C\" NOT NULL,
        stream TEXT COLLATE \"C\" NOT NULL,
        sequence BIGINT NOT NULL,
        kind TEXT COLLATE \"C\" NOT NULL,
        subject TEXT COLLATE \"C\" NOT NULL,
        data TEXT NOT NULL,
        at BIGINT NOT NULL,
        trace TEXT,
        UNIQUE (stream, sequence)
    ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)",
    "CREATE TABLE event_head (
        id SMALLINT PRIMARY KEY,
        seq BIGINT NOT NULL,
        latest BIGINT NOT NULL
    ) WITH (fillfactor = 50)",
    "INSERT INTO event_head (id, seq, latest) VALUES (1, 0, -9223372036854775808)",
    "CREATE TABLE ticket_counter (
        lane TEXT COLLATE \"C\" NOT NULL,
        class TEXT COLLATE \"C\" NOT NULL,
        merchant TEXT COLLATE \"C\" NOT NULL,
        kind TEXT COLLATE \"C\" NOT NULL,
        stage TEXT COLLATE \"C\" NOT NULL,
        shard SMALLINT NOT NULL,
        count BIGINT NOT NULL,
        PRIMARY KEY (lane, class, merchant, kind, stage, shard)
    ) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, \
            autovacuum_vacuum_threshold = 1000)",
    "CREATE VIEW ticket_count AS
        SELECT lane, class, merchant, kind, stage, sum(count)::BIGINT AS count
        FROM ticket_counter GROUP BY lane, class, merchant, kind, stage",
    "ALTER TABLE ticket SET (fillfactor = 80)",
];
