//! Partial indexes, which SeaORM cannot express.

/// The first indexes of the table of tickets. `LANES` replaces them.
pub(crate) const TICKET_INDEXES: [&str; 5] = [
    "CREATE INDEX ticket_unsent ON ticket (state, due_at, id) \
     WHERE state = 'queued' AND sent_at IS NULL",
    "CREATE INDEX ticket_sent ON ticket (lane, sent_at) \
     WHERE state = 'queued' AND sent_at IS NOT NULL",
    "CREATE INDEX ticket_leased ON ticket (lane, lease_until) WHERE state = 'leased'",
    "CREATE INDEX ticket_open ON ticket (lane, state, created_at) \
     WHERE state IN ('queued', 'leased')",
    "CREATE INDEX ticket_by_state ON ticket (state, due_at, id)",
];

/// What lanes need: the stage and class of tickets, indexes by them, and counters.
///
/// Most tickets are done; what looks for open ones must never pass by them.
pub(crate) const LANES: &[&str] = &[
    "DROP INDEX ticket_unsent",
    "DROP INDEX ticket_sent",
    "DROP INDEX ticket_leased",
    "DROP INDEX ticket_open",
    "DROP INDEX ticket_by_state",
    "ALTER TABLE ticket ADD COLUMN class TEXT NOT NULL DEFAULT 'standard'",
    "ALTER TABLE ticket ADD COLUMN stage TEXT NOT NULL DEFAULT 'waiting'",
    "UPDATE ticket SET stage = CASE WHEN state <> 'queued' THEN state \
     WHEN sent_at IS NOT NULL THEN 'sent' ELSE 'waiting' END",
    "CREATE INDEX ticket_waiting ON ticket (due_at, id) WHERE stage = 'waiting'",
    "CREATE INDEX ticket_turns ON ticket (lane, class, merchant, kind, due_at, id) \
     WHERE stage = 'waiting'",
    "CREATE INDEX ticket_delayed ON ticket (due_at, id) WHERE stage = 'delayed'",
    "CREATE INDEX ticket_sent ON ticket (lane, sent_at) WHERE stage = 'sent'",
    "CREATE INDEX ticket_leased ON ticket (lane, lease_until) WHERE stage = 'leased'",
    "CREATE INDEX ticket_dead ON ticket (due_at, id) WHERE stage = 'dead'",
    "CREATE TABLE ticket_count (
        lane TEXT NOT NULL,
        class TEXT NOT NULL,
        merchant TEXT NOT NULL,
        kind TEXT NOT NULL,
        stage TEXT NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (lane, class, merchant, kind, stage)
    ) WITHOUT ROWID",
    "CREATE INDEX ticket_count_none ON ticket_count (count) WHERE count = 0",
    "INSERT INTO ticket_count (lane, class, merchant, kind, stage, count) \
     SELECT lane, class, merchant, kind, stage, count(*) FROM ticket \
     WHERE stage <> 'done' GROUP BY lane, class, merchant, kind, stage",
];

/// Indexes of events by kind and by merchant. All events meet their condition, but only reads that
/// repeat it may use them: SQLite would prefer either to the index by both, and pass by the rest.
pub(crate) const EVENTS_BY_ONE: [&str; 3] = [
    "CREATE INDEX event_log_by_kind ON event_log (kind, seq) WHERE seq > 0",
    "DROP INDEX event_log_by_merchant",
    "CREATE INDEX event_log_by_merchant ON event_log (merchant, seq) WHERE seq > 0",
];

/// The number of the queue's schema, kept in the file. A file with another is replaced: its
/// content can be rebuilt.
pub(crate) const QUEUE_VERSION: i64 = 1;

/// The state of a message that can be delivered.
pub(crate) const READY: i64 = 0;
/// The state of a message that waits until `visible_at`.
pub(crate) const DELAYED: i64 = 1;
/// The state of a message that is held until `visible_at`.
pub(crate) const LEASED: i64 = 2;

/// The queue's tables. Triggers count, so that nothing is ever counted by looking at it all.
pub(crate) const QUEUE: &str = "
CREATE TABLE message (
    id INTEGER PRIMARY KEY,
    lane TEXT NOT NULL,
    ticket TEXT NOT NULL,
    state INTEGER NOT NULL,
    visible_at INTEGER NOT NULL,
    token INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    trace TEXT
);
CREATE UNIQUE INDEX message_by_ticket ON message (lane, ticket);
CREATE INDEX message_by_time ON message (lane, state, visible_at);
CREATE TABLE lane_count (
    lane TEXT NOT NULL,
    state INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (lane, state)
) WITHOUT ROWID;
CREATE TRIGGER message_added AFTER INSERT ON message BEGIN
    INSERT INTO lane_count VALUES (new.lane, new.state, 1)
        ON CONFLICT DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER message_taken AFTER DELETE ON message BEGIN
    UPDATE lane_count SET count = count - 1 WHERE lane = old.lane AND state = old.state;
END;
CREATE TRIGGER message_moved AFTER UPDATE OF state ON message WHEN new.state <> old.state BEGIN
    UPDATE lane_count SET count = count - 1 WHERE lane = old.lane AND state = old.state;
    INSERT INTO lane_count VALUES (new.lane, new.state, 1)
        ON CONFLICT DO UPDATE SET count = count + 1;
END;
";
